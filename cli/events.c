/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/answer.h"
#include "cli/control.h"
#include "cli/last_lines.h"

/* `reeve events`: what the operator kept of what happened, with the last line
 * of who ended. */
enum {
	TAIL_DEFAULT = 100,
	TAIL_MAX = 10000,
	FOLLOW_MS = 500,
	PATIENCE = 120, /* times FOLLOW_MS: an operator is started again */
	PATH_SIZE = 256,
};

/* So that it needs no escaping in the query. */
static const char NAME_CHARACTERS[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

struct asking {
	struct control_client client;
	const char *worker; /* "": all */
	int64_t since_ms, tail, after;
	unsigned patience; /* how often it may fail to answer */
};

static void
write_text(const cJSON *event, struct buffer *out)
{
	const cJSON *replica =
	    cJSON_GetObjectItemCaseSensitive(event, "replica");
	const cJSON *pid = cJSON_GetObjectItemCaseSensitive(event, "pid");
	const char *worker = answer_text(event, "worker");
	const cJSON *line =
	    cJSON_GetObjectItemCaseSensitive(event, "last_line");

	buffer_format(out, "%s  %-11s %s", answer_text(event, "at"),
	    answer_text(event, "kind"), worker);
	if (cJSON_IsNumber(replica))
		buffer_format(out, "/%.0f", replica->valuedouble);
	if (cJSON_IsNumber(pid))
		buffer_format(out, " pid %.0f", pid->valuedouble);
	const char *text = answer_text(event, "text");

	buffer_format(
	    out, "%s%s", *worker == '\0' || *text == '\0' ? "" : "  ", text);
	/* quoted, with its control characters escaped */
	if (cJSON_IsRaw(line) && !text_equal(line->valuestring, "null"))
		buffer_format(out, "; last line %s", line->valuestring);
	buffer_text(out, "\n");
}

static int
print_events(struct cli *cli, struct asking *asking, const cJSON *answer)
{
	const cJSON *events =
	    cJSON_GetObjectItemCaseSensitive(answer, "events");
	const cJSON *event = NULL;
	struct buffer out;

	last_lines_add(&asking->client, asking->worker, events);
	buffer_init(&out, ANSWER_MAX);
	cJSON_ArrayForEach(event, events)
	{
		const cJSON *id = cJSON_GetObjectItemCaseSensitive(event, "id");
		if (cJSON_IsNumber(id))
			asking->after = (int64_t)id->valuedouble;
		if (!cli_wants(cli, "json")) {
			write_text(event, &out);
			continue;
		}
		char *line = cJSON_PrintUnformatted(event);
		if (line != NULL)
			buffer_format(&out, "%s\n", line);
		cJSON_free(line);
	}
	int rc = cli_print(cli, out.data, out.len);

	buffer_fini(&out);
	return rc;
}

static int
ask_once(struct cli *cli, struct asking *asking)
{
	struct err err = ERR_INIT;
	struct buffer answer;
	char path[PATH_SIZE];
	int rc = EXIT_PASSED;

	if (text_format(path, sizeof(path), &err,
	        "/events?since_ms=%" PRId64 "&after=%" PRId64 "&limit=%" PRId64
	        "%s%s",
	        asking->since_ms, asking->after, asking->tail,
	        *asking->worker == '\0' ? "" : "&worker=", asking->worker) ==
	    -1)
		return cli_usage(cli, "%s", err.text);
	buffer_init(&answer, ANSWER_MAX);
	int status =
	    control_ask(cli, &asking->client, "GET", path, &answer, &err);
	cJSON *json = status == -1
	                  ? NULL
	                  : cJSON_ParseWithLength(answer.data, answer.len);

	if (status == -1 && asking->patience > 0)
		asking->patience--;
	else if (json == NULL)
		rc = cli_fail(cli, EXIT_UNREACHABLE, "%s",
		    status == -1 ? err.text : "the answer is not JSON");
	else if (status != 200)
		rc = cli_fail(
		    cli, EXIT_UNREACHABLE, "%s", answer_text(json, "text"));
	else
		rc = print_events(cli, asking, json);
	cJSON_Delete(json);
	buffer_fini(&answer);
	return rc;
}

static int
follow(struct cli *cli, struct asking *asking)
{
	struct pollfd out = {.fd = STDOUT_FILENO};
	int rc = EXIT_PASSED;

	asking->since_ms = 0;
	asking->tail = TAIL_MAX;
	asking->patience = PATIENCE;
	while (rc == EXIT_PASSED) {
		/* whoever read it is gone: `… | head -1` */
		if (poll(&out, 1, FOLLOW_MS) == 1)
			return EXIT_PASSED;
		if (!cli->timeout_given)
			cli->deadline_ms =
			    clock_after(clock_ms(), cli->timeout_ms);
		else if (clock_ms() >= cli->deadline_ms)
			return EXIT_PASSED;
		rc = ask_once(cli, asking);
	}
	return rc;
}

int
cmd_events(struct cli *cli, int argc, char **argv)
{
	struct asking asking = {
	    .client = {.init = WIRE_CLIENT_INIT},
	    .worker = argc > 0 ? argv[0] : "",
	};
	int64_t age_ms = 0;

	if (argc > 0 && strspn(argv[0], NAME_CHARACTERS) != strlen(argv[0]))
		return cli_usage(cli, "'%s' is not a worker's name", argv[0]);
	if (cli_number(cli, "tail", 1, TAIL_MAX, TAIL_DEFAULT, &asking.tail) ==
	        -1 ||
	    cli_duration(cli, "since", 0, &age_ms) == -1)
		return EXIT_USAGE;
	if (age_ms > 0) {
		asking.since_ms = MAX(clock_wall_ms() - age_ms, (int64_t)0);
		if (!cli_flag(cli, "tail"))
			asking.tail = TAIL_MAX;
	}
	int rc = control_open(cli, &asking.client);

	if (rc != EXIT_PASSED)
		return rc;
	rc = ask_once(cli, &asking);
	/* one that is no longer there has events all the same */
	if (rc == EXIT_PASSED && asking.after == 0 && *asking.worker != '\0')
		rc = control_meant(
		    cli, &asking.client, asking.worker, WIRE_ALL_REPLICAS);
	if (rc == EXIT_PASSED && cli_flag(cli, "follow"))
		rc = follow(cli, &asking);
	control_close(&asking.client);
	return rc;
}
