/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/operator/intent.h"
#include "supervisor/operator/specs.h"
#include "supervisor/wire/plan_encode.h"

enum {
	INTENT_BYTES_MAX = 512 << 20
};

static void
say_errors(const struct manifest_errors *errors, struct buffer *why)
{
	for (size_t i = 0; i < errors->count; i++) {
		const struct manifest_error *one = &errors->errors[i];
		if (one->place.file != NULL && one->place.line > 0)
			buffer_format(why, "%s:%d:%d: ", one->place.file,
			    one->place.line, one->place.column);
		else if (one->place.file != NULL)
			buffer_format(why, "%s: ", one->place.file);
		buffer_format(why, "%s\n", one->text);
	}
}

/* Everything that an action could depend on, in a fixed order. */
static struct fingerprint
print_of(const struct intent *intent, const struct fingerprint_key *key)
{
	const struct declared *declared = intent->declared;
	struct buffer bytes;

	buffer_init(&bytes, INTENT_BYTES_MAX);
	buffer_text(&bytes, declared->digest);
	for (size_t i = 0; i < declared->nworkers; i++) {
		struct worker_spec spec;
		intent_spec(intent, i, &spec);
		buffer_append(
		    &bytes, spec.config_digest, sizeof(spec.config_digest));
	}
	for (size_t i = 0; i < declared->nqueues; i++)
		buffer_text(&bytes, declared->queues[i].url == NULL
		                        ? "-"
		                        : declared->queues[i].url);
	for (size_t i = 0; i < declared->nalerts; i++) {
		const struct declared_alert *alert = &declared->alerts[i];
		buffer_text(&bytes, alert->url == NULL ? "-" : alert->url);
		buffer_text(&bytes, alert->key == NULL ? "-" : alert->key);
	}
	if (declared->supervisor.status.token != NULL)
		buffer_text(&bytes, declared->supervisor.status.token);
	for (size_t i = 0; i < declared->nsources; i++)
		buffer_text(&bytes, declared->sources[i].readable ? "1" : "0");
	struct fingerprint print = fingerprint_of(key, bytes.data, bytes.len);

	buffer_wipe(&bytes);
	return print;
}

static const char *
worker_name(const void *list, size_t at)
{
	const struct declared *declared = list;

	return declared->workers[at].name;
}

size_t
intent_worker(const struct intent *intent, const char *name)
{
	return names_find(&intent->names, name, worker_name, intent->declared);
}

static const char *
queue_name(const void *list, size_t at)
{
	const struct declared *declared = list;

	return declared->queues[at].name;
}

size_t
intent_queue(const struct intent *intent, const char *name)
{
	return names_find(
	    &intent->queue_names, name, queue_name, intent->declared);
}

const struct intent_queue *
intent_queue_find(const struct intent *intent, const char *name)
{
	static const struct intent_queue nobody;
	size_t at = intent_queue(intent, name);

	return at == NAMES_NONE ? &nobody : &intent->queues[at];
}

/* One more at the end; the room doubles, for a queue may be read by every
 * worker. */
static void
push(struct arena *arena, size_t **list, size_t *count, size_t which)
{
	if ((*count & (*count - 1)) == 0) {
		size_t *more =
		    arena_array(arena, MAX(2 * *count, 1), sizeof(*more));
		if (*count > 0)
			memcpy(more, *list, *count * sizeof(*more));
		*list = more;
	}
	(*list)[(*count)++] = which;
}

static void
find_readers(struct intent *intent)
{
	const struct declared *declared = intent->declared;

	intent->queues = arena_array(
	    &intent->arena, declared->nqueues + 1, sizeof(*intent->queues));
	names_set(
	    &intent->queue_names, declared->nqueues, queue_name, declared);
	for (size_t i = 0; i < declared->nworkers; i++) {
		const struct declared_worker *worker = &declared->workers[i];
		for (size_t k = 0; k < worker->nconsumes; k++) {
			struct intent_queue *read =
			    &intent->queues[worker->consumes[k].queue -
			                    declared->queues];
			push(
			    &intent->arena, &read->readers, &read->nreaders, i);
		}
		if (worker->scale.queue == NULL)
			continue;
		struct intent_queue *by =
		    &intent->queues[worker->scale.queue - declared->queues];
		push(&intent->arena, &by->scaled, &by->nscaled, i);
	}
}

void
intent_spec(const struct intent *intent, size_t which, struct worker_spec *ret)
{
	plan_worker(&intent->plan, (uint32_t)which, ret);
}

static int
make_plan(
    struct intent *intent, const struct fingerprint_key *key, struct err *err)
{
	struct specs specs;
	struct buffer bytes;
	struct arena arena;

	arena_init(&arena, INTENT_BYTES_MAX);
	buffer_init(&bytes, PLAN_BYTES_MAX);
	int rc = specs_make(intent->declared, key, &arena, &specs, err);

	if (rc == 0)
		rc = plan_encode(
		    specs.specs, specs.count, &specs.settings, &bytes, err);
	if (rc == 0) {
		void *kept = arena_bytes(&intent->arena, bytes.data, bytes.len);
		rc = plan_decode(kept, bytes.len, &intent->plan, err);
		intent->settings = specs.settings;
	}
	buffer_wipe(&bytes);
	arena_wipe(&arena);
	return rc;
}

struct intent *
intent_load(const char *path, const struct declared_options *options,
    const struct fingerprint_key *key, struct buffer *why)
{
	struct manifest_errors errors = {0};
	struct err err = ERR_INIT;
	struct intent *intent = calloc(1, sizeof(*intent));

	if (intent == NULL)
		return NULL;
	arena_init(&intent->arena, INTENT_BYTES_MAX);
	intent->redactor = redactor_new();
	int rc = declared_load(path, options, &intent->arena, intent->redactor,
	    &intent->declared, &errors, &err);

	if (rc == 0)
		rc = make_plan(intent, key, &err);
	if (rc == 0) {
		intent->print = print_of(intent, key);
		names_set(&intent->names, intent->declared->nworkers,
		    worker_name, intent->declared);
		find_readers(intent);
		return intent;
	}
	if (errors.count > 0)
		say_errors(&errors, why);
	else
		buffer_format(why, "%s\n", err.text);
	intent_free(intent);
	return NULL;
}

bool
intent_fits(
    const struct declared *declared, uint32_t max_workers, struct buffer *why)
{
	int64_t all = 0;

	for (size_t i = 0; max_workers > 0 && i < declared->nworkers; i++) {
		const struct declared_worker *worker = &declared->workers[i];
		bool scaled = worker->scale.queue != NULL;
		all += scaled ? worker->scale.max : worker->replicas;
		if (all <= (int64_t)max_workers)
			continue;
		buffer_format(why,
		    "%s:%d:%d: worker '%s': with its %s %" PRId64
		    " there may be %" PRId64 " replicas, and 'reeve run "
		    "--max-workers' allows %" PRIu32 "\n",
		    worker->place.file, worker->place.line,
		    worker->place.column, worker->name,
		    scaled ? "'scale.max' of" : "'replicas' of",
		    scaled ? worker->scale.max : worker->replicas, all,
		    max_workers);
		return false;
	}
	return true;
}

void
intent_free(struct intent *intent)
{
	if (intent == NULL)
		return;
	redactor_free(intent->redactor);
	names_fini(&intent->names);
	names_fini(&intent->queue_names);
	arena_wipe(&intent->arena);
	free(intent);
}
