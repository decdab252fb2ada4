/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/jsonw.h"
#include "manifests/inputs.h"
#include "supervisor/operator/reading.h"
#include "supervisor/operator/record.h"

enum {
	/* All commands together; then the child has still time to say what
	 * became of them, before it is killed. */
	COMMANDS_MS = 50 * 1000,
	KILL_MS = 60 * 1000,
	WHY_MAX = 64 * 1024,
	ARENA_MAX = 512 << 20,
	REQUEST_MAX = 1 << 20,
};

struct reading {
	struct helper child;
	struct reading_of of;
	reading_done_fn *done;
	void *arg;
};

static void
reading_free(struct reading *reading)
{
	helper_fini(&reading->child);
	free(reading);
}

/* --- the operator's side ------------------------------------------------- */

/* What the child read, as what it comes to. */
static struct intent *
make_sense(const struct reading *reading, struct buffer *why)
{
	const struct helper *child = &reading->child;
	struct intent *intent = NULL;
	struct err err = ERR_INIT;
	struct inputs inputs;
	struct arena arena;

	arena_init(&arena, ARENA_MAX);
	if (child->out.overflow) {
		buffer_format(why,
		    "what its secrets and configs hold is more than %d MiB\n",
		    INPUTS_BYTES_MAX >> 20);
	} else if (inputs_decode(child->out.data, child->out.len, &arena,
	               &inputs, &err) == -1) {
		buffer_format(why, "%s\n", err.text);
	} else {
		const struct declared_options options = {
		    .environ = reading->of.environment,
		    .secret_overrides = reading->of.secrets,
		    .inputs = &inputs,
		};
		intent = intent_load(
		    reading->of.path, &options, reading->of.key, why);
	}
	if (intent != NULL &&
	    !intent_fits(intent->declared, reading->of.max_workers, why)) {
		intent_free(intent);
		intent = NULL;
	}
	arena_wipe(&arena);
	return intent;
}

static void
child_over(struct helper *child, int status, bool killed)
{
	struct reading *reading = child->owner;
	struct intent *intent = NULL;
	struct buffer why;

	buffer_init(&why, WHY_MAX);
	if (killed)
		buffer_format(&why,
		    "%s: it could not be read within %d s, with its secrets\n",
		    reading->of.path, KILL_MS / 1000);
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		buffer_format(&why, "%s: the process that reads it failed\n",
		    reading->of.path);
	else
		intent = make_sense(reading, &why);
	reading->done(reading->arg, intent, &why);
	buffer_wipe(&why);
	reading_free(reading);
}

static void
write_request(const struct reading_of *of, struct buffer *out)
{
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "manifest", of->path);
	jsonw_array(&json, "secrets");
	for (size_t i = 0; of->secrets != NULL && of->secrets[i] != NULL; i++)
		jsonw_text(&json, NULL, of->secrets[i]);
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

struct reading *
reading_start(struct loop *loop, const struct reading_of *of,
    reading_done_fn *done, void *arg, struct err *err)
{
	static const char *const READ[] = {NULL, "read", NULL};
	struct reading *reading = calloc(1, sizeof(*reading));

	if (reading == NULL) {
		(void)err_sys(err, "read '%s'", of->path);
		return NULL;
	}
	reading->of = *of;
	reading->done = done;
	reading->arg = arg;
	helper_init(&reading->child, loop, child_over, reading);
	buffer_init(&reading->child.out, INPUTS_BYTES_MAX);
	write_request(of, &reading->child.in);
	if (helper_start(&reading->child, READ,
	        clock_after(clock_ms(), KILL_MS), err) == -1) {
		(void)err_wrap(err, "read '%s'", of->path);
		reading_free(reading);
		return NULL;
	}
	return reading;
}

void
reading_cancel(struct reading *reading)
{
	if (reading != NULL)
		reading_free(reading);
}

/* --- the child's side ---------------------------------------------------- */

/* The errors are found again by who gets the bytes. */
static int
read_all(const cJSON *request, struct buffer *out)
{
	const cJSON *given = record_array(request, "secrets");
	struct arena arena;

	arena_init(&arena, ARENA_MAX);
	const char **secrets = arena_array(
	    &arena, (size_t)cJSON_GetArraySize(given) + 1, sizeof(*secrets));
	struct declared_options options = {
	    .environ = (const char *const *)environ,
	    .secret_overrides = secrets,
	    .deadline_ms = clock_after(clock_ms(), COMMANDS_MS),
	    .record = out,
	};
	const char *path = record_text(request, "manifest", NULL);
	struct manifest_errors errors = {0};
	struct declared *declared = NULL;
	struct err err = ERR_INIT;
	const cJSON *item = NULL;
	size_t count = 0;

	cJSON_ArrayForEach(item, given)
	{
		secrets[count++] = cJSON_GetStringValue(item);
	}
	struct redactor *redactor = redactor_new();

	inputs_begin(out);
	if (path != NULL)
		(void)!declared_load(
		    path, &options, &arena, redactor, &declared, &errors, &err);
	inputs_end(out);
	redactor_free(redactor);
	arena_wipe(&arena);
	return path == NULL ? -1 : 0;
}

int
reading_serve(int in, int out)
{
	struct err err = ERR_INIT;
	struct buffer bytes, inputs;
	cJSON *request = NULL;
	int rc = EXIT_BUG;

	buffer_init(&bytes, REQUEST_MAX);
	/* One more than is taken: too much has to be seen as that. */
	buffer_init(&inputs, (size_t)2 * INPUTS_BYTES_MAX);
	if (buffer_read_all(&bytes, in, &err) == 0)
		request = record_parse(bytes.data, bytes.len);
	if (request != NULL && read_all(request, &inputs) == 0 &&
	    !inputs.overflow &&
	    fd_write_all(out, inputs.data, inputs.len, &err) == 0)
		rc = EXIT_PASSED;
	record_free(&request);
	buffer_wipe(&inputs);
	buffer_wipe(&bytes);
	return rc;
}
