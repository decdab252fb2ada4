/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "cli/child.h"
#include "cli/demo.h"
#include "probes/queue/queue.h"

/*
 * The whole story on an embedded queue: a system that works, a secret that is
 * rotated, and four ways in which teams lost days, each broken, gated,
 * diagnosed and mended. It plays a user: every command is one that could be
 * typed. It ends with 0 only when every step came out as it should.
 */
enum {
	OUTPUT_MAX = 4 << 20,
	LOOK_EVERY_MS = 100
};
static const int64_t COMMAND_MS = 30000;
static const int64_t SETTLED_MS = 20000;
static const int64_t STOP_MS = 15000;

struct demo {
	struct cli *cli;
	struct arena *arena;
	const char *dir, *reeve, *manifest, *database, *queue_url;
	pid_t supervisor; /* 0: not running */
	/* what is broken at the moment */
	bool misnamed, renamed;
	unsigned failures;
	unsigned jobs;
};

/* For the signal handler alone. */
static volatile pid_t running_supervisor;

/* Interrupted: neither the supervisor nor a command is left behind. The
 * directory stays, to look into. */
static void
interrupted(int signo)
{
	child_interrupt();
	if (running_supervisor > 1)
		(void)kill(running_supervisor, SIGTERM);
	_exit(128 + signo);
}

static void say(const struct demo *demo, const char *fmt, ...)
    PRINTF_LIKE(2, 3);

static void
say(const struct demo *demo, const char *fmt, ...)
{
	va_list args;

	(void)demo;
	va_start(args, fmt);
	(void)vprintf(fmt, args);
	va_end(args);
	(void)fflush(stdout);
}

static void
expect(struct demo *demo, bool as_it_should, const char *what)
{
	const char *mark = as_it_should ? "ok" : "NOT AS IT SHOULD BE";
	const char *color = as_it_should ? "\033[32m" : "\033[31;1m";

	if (demo->cli->color)
		say(demo, "  %s%s\033[0m  %s\n", color, mark, what);
	else
		say(demo, "  %s  %s\n", mark, what);
	if (!as_it_should)
		demo->failures++;
}

static void
heading(const struct demo *demo, const char *text)
{
	if (demo->cli->color)
		say(demo, "\n\033[1m== %s\033[0m\n", text);
	else
		say(demo, "\n== %s\n", text);
}

/* --- the system ------------------------------------------------------------
 */

static int
write_file(const char *path, const char *text, struct err *err)
{
	return fd_replace_file(path, 0600, text, strlen(text), err);
}

/* `shape` with each @NAME@ replaced by its value. */
static const char *
fill(struct demo *demo, const char *shape)
{
	const struct {
		const char *name, *value;
	} values[] = {
	    {"@DIR@", demo->dir},
	    {"@REEVE@", demo->reeve},
	    {"@DATABASE@", demo->database},
	    {"@MISNAMED@",
	        demo->misnamed
	            ? "      - {name: QUEUE_NAME, value: 'fileprocess-jobs'}\n"
	            : ""},
	};
	struct buffer out;

	buffer_init(&out, OUTPUT_MAX);
	while (*shape != '\0') {
		size_t i = 0;

		while (i < ARRAY_LEN(values) &&
		       !text_starts(shape, values[i].name))
			i++;
		if (i < ARRAY_LEN(values)) {
			buffer_text(&out, values[i].value);
			shape += strlen(values[i].name);
		} else {
			buffer_append(&out, shape++, 1);
		}
	}
	const char *text = arena_text(demo->arena, out.data);

	buffer_fini(&out);
	return text;
}

static int
write_manifest(struct demo *demo, struct err *err)
{
	static const char shape[] =
	    "apiVersion: reeve/v1\n"
	    "name: demo\n"
	    "secrets:\n"
	    "  - {name: demo-secrets, dir: @DIR@/secrets}\n"
	    "queues:\n"
	    "  - name: jobs\n"
	    "    kind: sqlite\n"
	    "    url: sqlite://@DIR@/queue.db\n"
	    "    queue: fileprocess:jobs\n"
	    "    objectives: {depth: 50, oldest: 5m, failureRatio: 10%}\n"
	    "workers:\n"
	    "  - name: fileprocess\n"
	    "    command: [@REEVE@, worker, --queue, "
	    "'sqlite://@DIR@/queue.db?queue=$(QUEUE_NAME)', --max-attempts, "
	    "'1', --, @REEVE@, demo-job, @DATABASE@]\n"
	    "    replicas: 2\n"
	    "    consumes: [{queue: jobs, env: QUEUE_NAME}]\n"
	    "    requires: [VOYAGE_API_KEY]\n"
	    "    env:\n"
	    "@MISNAMED@"
	    "      - {name: VOYAGE_API_KEY, valueFrom: {secretKeyRef: {name: "
	    "demo-secrets, key: VOYAGE_API_KEY}}}\n"
	    "    terminationGracePeriodSeconds: 10\n"
	    "    onDrift: {secret: restart, env: restart, queue: restart, "
	    "config: restart}\n"
	    "producers:\n"
	    "  - name: api\n"
	    "    produces: [{queue: jobs, env: JOB_QUEUE}]\n"
	    "    env: [{name: JOB_QUEUE, value: 'fileprocess:jobs'}]\n"
	    "smoke:\n"
	    "  - name: a document goes through\n"
	    "    submit: {queue: jobs, payload: '{\"id\": \"$(CANARY)\"}'}\n"
	    "    stages:\n"
	    "      - {name: claimed, within: 5s, queue: jobs, state: taken}\n"
	    "      - {name: processed, within: 5s, sqlite: {path: @DATABASE@, query: "
	    "'SELECT status, worker FROM documents WHERE id = $(CANARY)', "
	    "equals: completed}, by: worker}\n"
	    "    floor: 20ms\n"
	    "    cleanup: {sqlite: {path: @DATABASE@, execute: "
	    "'DELETE FROM documents WHERE id = $(CANARY)'}}\n";
	return write_file(demo->manifest, fill(demo, shape), err);
}

static int
write_secret(struct demo *demo, const char *value, struct err *err)
{
	const char *path =
	    arena_format(demo->arena, "%s/secrets/VOYAGE_API_KEY", demo->dir);

	return write_file(path, value, err);
}

/* The API of the story: puts jobs into the queue that the manifest means. */
static int
produce(struct demo *demo, unsigned count, struct err *err)
{
	struct queue_spec spec;
	struct queue queue;

	if (queue_spec_from_url(demo->arena, demo->queue_url, &spec, err) == -1)
		return -1;
	int rc =
	    queue_open(&queue, &spec, clock_after(clock_ms(), COMMAND_MS), err);

	for (unsigned i = 0; rc == 0 && i < count; i++) {
		const char *id =
		    arena_format(demo->arena, "document-%u", ++demo->jobs);
		const char *payload =
		    arena_format(demo->arena, "{\"id\": \"%s\"}", id);
		struct queue_submission job = {
		    .canary = id, .payload = payload, .len = strlen(payload)};
		const char *receipt;

		rc = queue_submit(&queue, &job, demo->arena, &receipt, err);
	}
	queue_close(&queue);
	return rc;
}

static int
start_supervisor(struct demo *demo, struct err *err)
{
	const char *log = arena_format(demo->arena, "%s/run.log", demo->dir);
	const char *argv[] = {demo->reeve, "run", "-f", demo->manifest, NULL};

	say(demo, "  $ reeve run -f reeve.yaml &\n");
	if (child_start(argv, log, &demo->supervisor, err) == -1)
		return -1;
	running_supervisor = demo->supervisor;
	return 0;
}

static void
stop_supervisor(struct demo *demo)
{
	if (demo->supervisor == 0)
		return;
	running_supervisor = 0;
	child_stop(demo->supervisor, clock_after(clock_ms(), STOP_MS));
	demo->supervisor = 0;
}

/* --- what a user would type ------------------------------------------------
 */

static void
indented(const struct demo *demo, const char *text)
{
	while (*text != '\0') {
		const char *end = strchrnul(text, '\n');

		say(demo, "    %.*s\n", (int)(end - text), text);
		text = *end == '\0' ? end : end + 1;
	}
}

/* `reeve COMMAND …`: prints it and its output, gives its exit code, or -1. */
static int
reeve(
    struct demo *demo, const char *const *words, bool print, struct buffer *out)
{
	const char *argv[12] = {demo->reeve};
	struct err err = ERR_INIT;
	size_t count = 1;
	int code = -1;

	if (print)
		say(demo, "  $ reeve");
	for (; *words != NULL && count < ARRAY_LEN(argv) - 1; words++) {
		argv[count++] = *words;
		if (print)
			say(demo, " %s",
			    text_equal(*words, demo->manifest) ? "reeve.yaml"
			                                       : *words);
	}
	if (print)
		say(demo, "\n");
	buffer_clear(out);
	if (child_run(argv, clock_after(clock_ms(), COMMAND_MS), out, &code,
	        &err) == -1)
		say(demo, "    %s\n", err.text);
	return code;
}

/* The report of a command, parsed; the caller deletes it. */
static cJSON *
report_of(struct demo *demo, const char *command, struct buffer *out)
{
	const char *words[] = {
	    command, "-f", demo->manifest, "--output", "json", NULL};

	(void)reeve(demo, words, false, out);
	return cJSON_ParseWithLength(out->data, out->len);
}

/* At the head of the report: a root cause, or a failure that nothing explains,
 * which ranks with them. */
static bool
is_named(const cJSON *report, const char *id)
{
	const cJSON *finding;

	cJSON_ArrayForEach(
	    finding, cJSON_GetObjectItemCaseSensitive(report, "findings"))
	{
		const cJSON *its =
		    cJSON_GetObjectItemCaseSensitive(finding, "id");
		const cJSON *role =
		    cJSON_GetObjectItemCaseSensitive(finding, "role");

		if (cJSON_IsString(its) && cJSON_IsString(role) &&
		    text_equal(its->valuestring, id) &&
		    (text_equal(role->valuestring, "root") ||
		        text_equal(role->valuestring, "unexplained")))
			return true;
	}
	return false;
}

static void
gate(struct demo *demo, int expected, struct buffer *out)
{
	const char *words[] = {
	    "gate", "-f", demo->manifest, "--settle", "500ms", NULL};
	int code = reeve(demo, words, true, out);

	indented(demo, out->data);
	expect(demo, code == expected,
	    arena_format(
	        demo->arena, "gate exits %d, as it must: %d", code, expected));
}

static void
diagnose(struct demo *demo, const char *id, struct buffer *out)
{
	const char *words[] = {"diagnose", "-f", demo->manifest, NULL};

	(void)reeve(demo, words, true, out);
	indented(demo, out->data);
	cJSON *report = report_of(demo, "diagnose", out);

	expect(demo, is_named(report, id),
	    arena_format(demo->arena, "diagnose names the cause: %s", id));
	cJSON_Delete(report);
}

/* --- waiting for the system ------------------------------------------------
 */

/* The instances' pids as one text, "" while not all of them are ready. */
static const char *
ready_pids(struct demo *demo, struct buffer *out)
{
	const char *pids = "";
	cJSON *status = report_of(demo, "status", out);
	const cJSON *workers =
	    cJSON_GetObjectItemCaseSensitive(status, "workers");
	const cJSON *worker = cJSON_GetArrayItem(workers, 0);
	const cJSON *instance;
	int ready = 0;

	cJSON_ArrayForEach(
	    instance, cJSON_GetObjectItemCaseSensitive(worker, "instances"))
	{
		const cJSON *pid =
		    cJSON_GetObjectItemCaseSensitive(instance, "pid");

		if (!cJSON_IsTrue(
		        cJSON_GetObjectItemCaseSensitive(instance, "ready")) ||
		    !cJSON_IsNumber(pid))
			continue;
		ready++;
		pids = arena_format(demo->arena, "%s%s%d", pids,
		    pids[0] == '\0' ? "" : ", ", (int)pid->valuedouble);
	}
	cJSON_Delete(status);
	return ready == 2 ? pids : "";
}

/* Both workers ready, and none of them one of `before`. */
static const char *
wait_ready(struct demo *demo, const char *before, struct buffer *out)
{
	int64_t until_ms = clock_after(clock_ms(), SETTLED_MS);

	while (clock_ms() < until_ms) {
		const char *pids = ready_pids(demo, out);
		const char *comma = strchr(before, ',');

		if (pids[0] != '\0' &&
		    (comma == NULL ||
		        (strstr(pids, comma + 2) == NULL &&
		            strstr(pids, arena_bytes(demo->arena, before,
		                             (size_t)(comma - before))) ==
		                NULL)))
			return pids;
		(void)poll(NULL, 0, LOOK_EVERY_MS);
	}
	return "";
}

/* Until what runs is what is declared. */
static void
wait_no_drift(struct demo *demo, struct buffer *out)
{
	const char *words[] = {"diff", "-f", demo->manifest, NULL};
	int64_t until_ms = clock_after(clock_ms(), SETTLED_MS);

	while (clock_ms() < until_ms &&
	       reeve(demo, words, false, out) != EXIT_PASSED)
		(void)poll(NULL, 0, LOOK_EVERY_MS);
}

static void
workers_are_ready(struct demo *demo, struct buffer *out)
{
	wait_no_drift(demo, out);
	const char *pids = wait_ready(demo, "", out);

	expect(demo, pids[0] != '\0',
	    arena_format(demo->arena, "both workers are ready: pids %s", pids));
}

/* --- the story -------------------------------------------------------------
 */

static int
it_works(struct demo *demo, struct buffer *out, struct err *err)
{
	heading(demo, "a producer, a queue, two workers");
	if (start_supervisor(demo, err) == -1 || produce(demo, 3, err) == -1)
		return -1;
	workers_are_ready(demo, out);
	gate(demo, EXIT_PASSED, out);
	return 0;
}

static int
secret_is_rotated(struct demo *demo, struct buffer *out, struct err *err)
{
	heading(demo, "a secret is rotated: the workers roll to it");
	const char *before = ready_pids(demo, out);

	if (write_secret(demo, "second-value-of-the-key", err) == -1)
		return -1;
	const char *after = wait_ready(demo, before, out);

	expect(demo, before[0] != '\0' && after[0] != '\0',
	    arena_format(demo->arena,
	        "restarted one after the other: pids %s became %s", before,
	        after));
	gate(demo, EXIT_PASSED, out);
	return 0;
}

static int
worker_is_not_started(struct demo *demo, struct buffer *out, struct err *err)
{
	heading(demo, "broken: the worker was never started");
	stop_supervisor(demo);
	if (produce(demo, 2, err) == -1)
		return -1;
	gate(demo, EXIT_FAILED, out);
	diagnose(demo, "RV301", out);
	if (start_supervisor(demo, err) == -1)
		return -1;
	workers_are_ready(demo, out);
	return 0;
}

static int
queue_is_misnamed(struct demo *demo, struct buffer *out, struct err *err)
{
	heading(demo, "broken: a queue name off by one character");
	const char *before = ready_pids(demo, out);

	demo->misnamed = true;
	if (write_manifest(demo, err) == -1)
		return -1;
	before = wait_ready(demo, before, out);
	expect(demo, before[0] != '\0', "the workers rolled to the wrong name");
	if (produce(demo, 2, err) == -1)
		return -1;
	gate(demo, EXIT_FAILED, out);
	diagnose(demo, "RV201", out);
	demo->misnamed = false;
	if (write_manifest(demo, err) == -1)
		return -1;
	expect(demo, wait_ready(demo, before, out)[0] != '\0',
	    "mended: the workers rolled to the right name");
	return 0;
}

static int
key_is_renamed(struct demo *demo, struct buffer *out, struct err *err)
{
	const char *right =
	    arena_format(demo->arena, "%s/secrets/VOYAGE_API_KEY", demo->dir);
	const char *wrong =
	    arena_format(demo->arena, "%s/secrets/VOYAGEAI_API_KEY", demo->dir);

	heading(demo,
	    "broken: deployed again, and the secret's key has another "
	    "name");
	stop_supervisor(demo);
	if (rename(right, wrong) == -1)
		return err_sys(err, "rename '%s'", right);
	if (start_supervisor(demo, err) == -1 || produce(demo, 2, err) == -1)
		return -1;
	gate(demo, EXIT_FAILED, out);
	diagnose(demo, "RV102", out);
	if (rename(wrong, right) == -1)
		return err_sys(err, "rename '%s'", wrong);
	workers_are_ready(demo, out);
	return 0;
}

static int
jobs_fail(struct demo *demo, struct buffer *out, struct err *err)
{
	const char *broken =
	    arena_format(demo->arena, "%s.broken", demo->database);

	heading(demo, "broken: the worker takes jobs but fails them");
	/* Enough of them for a ratio to mean something. */
	if (write_file(broken, "", err) == -1 || produce(demo, 12, err) == -1)
		return -1;
	gate(demo, EXIT_FAILED, out);
	diagnose(demo, "RV703", out);
	if (unlink(broken) == -1)
		return err_sys(err, "remove '%s'", broken);
	return 0;
}

static int
it_works_again(struct demo *demo, struct buffer *out, struct err *err)
{
	(void)err;
	heading(demo, "repaired");
	gate(demo, EXIT_PASSED, out);
	stop_supervisor(demo);
	return 0;
}

typedef int step_fn(struct demo *demo, struct buffer *out, struct err *err);

static step_fn *const story[] = {it_works, secret_is_rotated,
    worker_is_not_started, queue_is_misnamed, key_is_renamed, jobs_fail,
    it_works_again};

static int
prepare(struct demo *demo, struct err *err)
{
	static const char table[] =
	    "CREATE TABLE IF NOT EXISTS documents("
	    "id TEXT PRIMARY KEY, status TEXT, worker TEXT)";
	const struct sigaction on_signal = {.sa_handler = interrupted};
	char reeve_path[PATH_MAX];
	char dir[] = "/tmp/reeve-demo-XXXXXX";

	if (child_reeve_path(reeve_path, sizeof(reeve_path), err) == -1)
		return -1;
	if (mkdtemp(dir) == NULL)
		return err_sys(err, "a temporary directory");
	demo->dir = arena_text(demo->arena, dir);
	demo->reeve = arena_text(demo->arena, reeve_path);
	demo->manifest = arena_format(demo->arena, "%s/reeve.yaml", dir);
	demo->database = arena_format(demo->arena, "%s/documents.db", dir);
	demo->queue_url = arena_format(demo->arena,
	    "sqlite://%s/queue.db?queue=fileprocess%%3Ajobs&create=true", dir);
	if (sigaction(SIGINT, &on_signal, NULL) == -1 ||
	    sigaction(SIGTERM, &on_signal, NULL) == -1)
		return err_sys(err, "signals");
	if (setenv("REEVE_SOCKET", dir, 1) == -1)
		return err_sys(err, "REEVE_SOCKET");
	if (mkdir(arena_format(demo->arena, "%s/secrets", dir), 0700) == -1)
		return err_sys(err, "make '%s/secrets'", dir);
	if (write_secret(demo, "first-value-of-the-key", err) == -1 ||
	    write_manifest(demo, err) == -1 ||
	    write_file(demo->database, "", err) == -1)
		return -1;
	return demo_execute(demo->cli, demo->database, table, "", err);
}

static int
remove_entry(
    const char *path, const struct stat *stat, int type, struct FTW *walk)
{
	(void)stat;
	(void)type;
	(void)walk;
	return remove(path);
}

int
cmd_demo(struct cli *cli, int argc, char **argv)
{
	struct demo demo = {.cli = cli, .arena = &cli->arena};
	struct buffer out;
	struct err err = ERR_INIT;
	int rc;

	(void)argc;
	(void)argv;
	buffer_init(&out, OUTPUT_MAX);
	buffer_text(&out, "");
	rc = prepare(&demo, &err);
	if (rc == 0)
		say(&demo, "Everything lies in %s; the manifest is %s\n",
		    demo.dir, demo.manifest);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(story); i++)
		rc = story[i](&demo, &out, &err);
	stop_supervisor(&demo);
	buffer_fini(&out);
	if (rc == -1)
		return cli_fail(cli, EXIT_BUG, "%s", err.text);
	if (demo.failures > 0)
		return cli_fail(cli, EXIT_FAILED,
		    "%u steps did not come out as they should; look into '%s'",
		    demo.failures, demo.dir);
	say(&demo, "\nEvery step came out as it should.\n");
	if (!cli_flag(cli, "keep") &&
	    nftw(demo.dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == -1)
		return cli_fail(cli, EXIT_BUG, "remove '%s': %s", demo.dir,
		    strerror(errno));
	return EXIT_PASSED;
}
