/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "cli/answer.h"
#include "cli/control.h"

/* `reeve diff` and `reeve plan`: what runs against what is declared, and what
 * would be done about it. */
enum {
	PATH_BYTES = 4200,
	KNOWN_SPARE_MS = 500, /* of the timeout, for the last question */
};

static void
print_diff(struct arena *arena, struct buffer *out, const cJSON *report)
{
	const cJSON *finding = NULL;
	const cJSON *evidence = NULL;
	const cJSON *item = NULL;

	(void)arena;
	cJSON_ArrayForEach(finding, answer_list(report, "findings"))
	{
		const cJSON *fix =
		    cJSON_GetObjectItemCaseSensitive(finding, "fix");
		buffer_format(out, "%-10s %s: %s [%s]\n",
		    answer_text(finding, "class"),
		    answer_text(finding, "subject"),
		    answer_text(finding, "summary"),
		    answer_text(finding, "policy"));
		cJSON_ArrayForEach(evidence, answer_list(finding, "evidence"))
		    buffer_format(out, "           %s: runs %s, declared %s\n",
		        answer_text(evidence, "source"),
		        answer_text(evidence, "observed"),
		        answer_text(evidence, "expected"));
		buffer_format(
		    out, "           fix: %s\n", answer_text(fix, "command"));
	}
	cJSON_ArrayForEach(item, answer_list(report, "not_checked"))
	{
		if (cJSON_IsString(item))
			buffer_format(
			    out, "not checked: %s\n", item->valuestring);
	}
	if (cJSON_GetArraySize(answer_list(report, "findings")) == 0 &&
	    text_equal(answer_text(report, "verdict"), "passed"))
		buffer_text(out, "what runs is what is declared\n");
}

static void
take_operator_state(void *arg, const union wire_message *message)
{
	uint32_t *state = arg;

	if (message->head.type == WIRE_SNAPSHOT_BEGIN)
		*state = message->snapshot.operator_state;
}

/* Whether an operator that didn't answer is on its way: killed in the middle
 * of an answer, starting, or waiting for its next start. */
static bool
operator_comes(
    struct cli *cli, struct control_client *client, const struct err *why)
{
	uint32_t state = OPERATOR_NONE;
	struct err err = ERR_INIT;

	return why->kind == ERR_REFUSED &&
	       wire_client_snapshot(&client->init, take_operator_state, &state,
	           cli->deadline_ms, &err) == 0 &&
	       (state == OPERATOR_STARTING || state == OPERATOR_BACKOFF ||
	           state == OPERATOR_RUNNING);
}

/* Nothing is known in the moments after a reading or a start of the operator:
 * asked again until it is. Returns the HTTP status, or -1. */
static int
ask_until_known(struct cli *cli, struct control_client *client,
    const char *method, const char *path, struct buffer *answer,
    struct err *err)
{
	static const struct timespec pause = {.tv_nsec = 50000000L};

	for (;;) {
		buffer_clear(answer);
		int status =
		    control_ask(cli, client, method, path, answer, err);
		bool unknown = false;
		if (status == 200) {
			cJSON *json = cJSON_ParseWithLengthOpts(
			    answer->data, answer->len + 1, NULL, 1);
			unknown =
			    cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(
			        json, "drift_known"));
			cJSON_Delete(json);
		} else if (status == -1) {
			unknown = operator_comes(cli, client, err);
		}
		if (!unknown || clock_ms() + KNOWN_SPARE_MS > cli->deadline_ms)
			return status;
		(void)nanosleep(&pause, NULL);
	}
}

int
cmd_diff(struct cli *cli, int argc, char **argv)
{
	struct control_client client = {.init = WIRE_CLIENT_INIT};
	struct buffer answer;
	struct err err = ERR_INIT;
	int verdict = EXIT_INCONCLUSIVE;
	int rc = control_open(cli, &client);

	(void)argc;
	(void)argv;
	if (rc != EXIT_PASSED)
		return rc;
	buffer_init(&answer, ANSWER_MAX);
	if (ask_until_known(cli, &client, "GET", "/diff", &answer, &err) != 200)
		rc = cli_fail(cli, EXIT_INCONCLUSIVE,
		    "the operator does not answer, and only it knows what is "
		    "declared: %s",
		    err.text);
	else
		rc = answer_print(cli, &answer, print_diff, &verdict);
	buffer_fini(&answer);
	control_close(&client);
	return rc == EXIT_PASSED ? verdict : rc;
}

static void
print_plan(struct arena *arena, struct buffer *out, const cJSON *plan)
{
	const cJSON *item = NULL;
	const char *why = answer_text(plan, "why");

	cJSON_ArrayForEach(item, answer_list(plan, "actions"))
	{
		const char *replica = answer_number(arena, item, "replica");
		bool whole = text_equal(replica, "?");
		buffer_format(out, "%3s. %-8s %s%s%s  %s: %s\n",
		    answer_number(arena, item, "step"),
		    answer_text(item, "action"), answer_text(item, "worker"),
		    whole ? "" : "/", whole ? "" : replica,
		    answer_text(item, "key"), answer_text(item, "reason"));
	}
	cJSON_ArrayForEach(item, answer_list(plan, "left"))
	{
		const char *instances = answer_text(item, "instances");
		buffer_format(out, "stays   %s%s%s  %s %s [%s]\n",
		    answer_text(item, "worker"), *instances == '\0' ? "" : "/",
		    instances, answer_text(item, "class"),
		    answer_text(item, "key"), answer_text(item, "policy"));
	}
	if (*why != '\0')
		buffer_format(out, "not known: %s\n", why);
	else if (text_equal(answer_text(plan, "verdict"), "nothing"))
		buffer_text(out, "nothing would be done\n");
}

/* The path as the operator, which has another directory, will open it. */
static int
plan_request(struct cli *cli, char *path, size_t size, struct err *err)
{
	if (!cli->manifest_given)
		return text_copy(path, size, "/plan", err);
	char *absolute = realpath(cli->manifest, NULL);
	if (absolute == NULL)
		return err_sys(err, "'%s'", cli->manifest);
	int rc = text_format(path, size, err, "/plan?file=%s",
	    url_encode(&cli->arena, absolute));
	free(absolute);
	return rc;
}

int
cmd_plan(struct cli *cli, int argc, char **argv)
{
	struct control_client client = {.init = WIRE_CLIENT_INIT};
	struct buffer answer;
	struct err err = ERR_INIT;
	char path[PATH_BYTES];
	int verdict = EXIT_INCONCLUSIVE;
	int rc = control_open(cli, &client);

	(void)argc;
	(void)argv;
	if (rc != EXIT_PASSED)
		return rc;
	buffer_init(&answer, ANSWER_MAX);
	int status = plan_request(cli, path, sizeof(path), &err);
	if (status == 0)
		status = ask_until_known(cli, &client,
		    cli->manifest_given ? "POST" : "GET", path, &answer, &err);
	if (status == 200)
		rc = answer_print(cli, &answer, print_plan, &verdict);
	else if (status == -1)
		rc = cli_fail(cli, EXIT_INCONCLUSIVE,
		    "the operator does not answer, and only it knows what is "
		    "declared: %s",
		    err.text);
	else
		rc = control_refused(cli, &answer,
		    status == 409 ? EXIT_MANIFEST : EXIT_INCONCLUSIVE);
	buffer_fini(&answer);
	control_close(&client);
	return rc == EXIT_PASSED ? verdict : rc;
}
