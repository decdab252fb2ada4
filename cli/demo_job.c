/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <cjson/cJSON.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "cli/demo.h"
#include "probes/observed.h"
#include "probes/request.h"

/*
 * The demo's work: what the command behind `reeve worker --` does with a job.
 * Its payload comes on stdin; the result is a row in a table, which is what
 * the smoke reads back. A file "broken" beside the database makes it fail as
 * incident 000's pipeline did.
 */
enum {
	PAYLOAD_MAX = 1 << 20,
	WORK_MS = 60
};
static const int64_t WRITE_TIMEOUT_MS = 5000;

int
demo_execute(struct cli *cli, const char *database, const char *statement,
    const char *id, struct err *err)
{
	const struct probe_pool_options options = {.jobs = 1};
	struct probe_request request = {.subject = "job", .kind = "sqlite"};
	struct observed seen;
	struct buffer line;
	struct jsonw json;

	buffer_init(&line, PAYLOAD_MAX);
	jsonw_init(&json, &line, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "kind", request.kind);
	jsonw_text(&json, "subject", request.subject);
	jsonw_i64(&json, "timeout_ms", WRITE_TIMEOUT_MS);
	jsonw_text(&json, "path", database);
	jsonw_text(&json, "canary", id);
	jsonw_text(&json, "execute", statement);
	jsonw_end(&json);
	request.json = line.data;
	request.deadline_ms = clock_after(clock_ms(), WRITE_TIMEOUT_MS);
	observed_init(&seen, &cli->arena);
	int rc = probe_pool_run(&request, 1, &options, &cli->arena, err);

	if (rc == 0)
		rc = observed_add_line(
		    &seen, request.answer, request.answer_len, err);
	buffer_fini(&line);
	if (rc == -1)
		return -1;
	if (seen.nobservations != 1 ||
	    seen.observations[0].result != RESULT_PASSED)
		return err_set(err, ERR_REFUSED, "'%s': %s", database,
		    seen.nobservations == 1 ? seen.observations[0].summary
		                            : "no answer");
	return 0;
}

static int
write_row(struct cli *cli, const char *database, const char *id)
{
	const char *worker = getenv("REEVE_WORKER");
	const char *replica = getenv("REEVE_REPLICA");
	struct err err = ERR_INIT;
	const char *statement = arena_format(&cli->arena,
	    "INSERT INTO documents(id, status, worker) "
	    "VALUES($(CANARY), 'completed', '%s/%s') ON CONFLICT(id) DO NOTHING",
	    worker == NULL ? "unsupervised" : worker,
	    replica == NULL ? "0" : replica);

	if (demo_execute(cli, database, statement, id, &err) == 0)
		return 0;
	return cli_fail(cli, EXIT_FAILED, "%s", err.text);
}

int
cmd_demo_job(struct cli *cli, int argc, char **argv)
{
	struct buffer payload;
	struct err err = ERR_INIT;
	const char *broken = arena_format(&cli->arena, "%s.broken", argv[0]);

	(void)argc;
	buffer_init(&payload, PAYLOAD_MAX);
	if (buffer_read_all(&payload, STDIN_FILENO, &err) == -1)
		return cli_fail(cli, EXIT_DATA, "%s", err.text);
	cJSON *job = cJSON_ParseWithLength(payload.data, payload.len);
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(job, "id");
	int rc;

	/* A document takes a moment: what is done sooner wasn't done. */
	(void)poll(NULL, 0, WORK_MS);
	if (access(broken, F_OK) == 0)
		rc = cli_fail(
		    cli, EXIT_FAILED, "MageAgent returned error status 404");
	else if (!cJSON_IsString(id))
		rc = cli_fail(cli, EXIT_MANIFEST, "the job has no id");
	else
		rc = write_row(cli, argv[0], id->valuestring);
	cJSON_Delete(job);
	buffer_fini(&payload);
	return rc;
}
