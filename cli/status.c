/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "cli/answer.h"
#include "cli/control.h"

/* `reeve status`: what the operator says, for people. */

/* The digest of no configuration. */
static const char NEVER_STARTED[] = "h:00000000";

/* Output that reached nobody. */
static void
print_output(struct arena *arena, struct buffer *out, const cJSON *instance)
{
	static const char *const ways[] = {"dropped", "limited", "lost"};
	const cJSON *output =
	    cJSON_GetObjectItemCaseSensitive(instance, "output");

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		const char *lines = answer_number(arena,
		    cJSON_GetObjectItemCaseSensitive(output, ways[i]), "lines");
		if (cJSON_IsObject(output) && !text_equal(lines, "0"))
			buffer_format(out, "  %s: %s lines", ways[i], lines);
	}
}

/* A dash for what it has none of. */
static const char *
or_none(const char *text, const char *none)
{
	return text_equal(text, none) ? "-" : text;
}

static void
print_instance(struct arena *arena, struct buffer *out, const cJSON *instance)
{
	const char *last = answer_text(instance, "last_exit");
	const char *probe = answer_text(instance, "probe");
	const char *waits = answer_text(instance, "waits_for");
	const char *says = answer_text(instance, "status_text");

	buffer_format(out, "  %-4s %-9s pid %-8s restarts %-4s %s",
	    answer_number(arena, instance, "index"),
	    answer_text(instance, "state"),
	    or_none(answer_number(arena, instance, "pid"), "?"),
	    answer_number(arena, instance, "restarts"),
	    or_none(answer_text(instance, "config_digest"), NEVER_STARTED));
	if (*last != '\0')
		buffer_format(out, "  last end: %s", last);
	if (*probe != '\0')
		buffer_format(out, "  probe: %s", probe);
	if (*waits != '\0')
		buffer_format(out, "  %s", waits);
	if (*says != '\0')
		buffer_format(out, "  says: %s", says);
	print_output(arena, out, instance);
	buffer_text(out, "\n");
}

static const char *
or_never(const char *time)
{
	return *time == '\0' ? "never" : time;
}

static void
print_schedule(struct arena *arena, struct buffer *out, const cJSON *worker)
{
	bool suspended =
	    cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(worker, "suspended"));

	buffer_format(out,
	    "worker %s  runs by '%s'%s  next %s  last run %s  last success %s  "
	    "last failure %s  missed %s",
	    answer_text(worker, "name"), answer_text(worker, "schedule"),
	    suspended ? " (suspended)" : "",
	    or_never(answer_text(worker, "next_run")),
	    or_never(answer_text(worker, "last_run")),
	    or_never(answer_text(worker, "last_success")),
	    or_never(answer_text(worker, "last_failure")),
	    answer_number(arena, worker, "missed"));
}

/* How many have ended for good: they need not be ready. */
static int
finished_of(const cJSON *worker)
{
	const cJSON *instance = NULL;
	int count = 0;

	cJSON_ArrayForEach(instance, answer_list(worker, "instances")) count +=
	    text_equal(answer_text(instance, "state"), "finished");
	return count;
}

static void
print_ready(struct arena *arena, struct buffer *out, const cJSON *worker)
{
	int finished = finished_of(worker);

	buffer_format(out, "worker %s  %s of %s ready",
	    answer_text(worker, "name"), answer_number(arena, worker, "ready"),
	    answer_number(arena, worker, "desired"));
	if (finished > 0)
		buffer_format(out, ", %d finished", finished);
}

static void
print_workers(struct arena *arena, struct buffer *out, const cJSON *status)
{
	const cJSON *worker = NULL;
	const cJSON *instance = NULL;

	cJSON_ArrayForEach(worker, answer_list(status, "workers"))
	{
		const char *held = answer_text(worker, "held");
		bool stopped = cJSON_IsTrue(
		    cJSON_GetObjectItemCaseSensitive(worker, "stopped"));
		if (*answer_text(worker, "schedule") != '\0')
			print_schedule(arena, out, worker);
		else
			print_ready(arena, out, worker);
		const char *scaled = answer_text(
		    cJSON_GetObjectItemCaseSensitive(worker, "scale"), "why");
		if (*scaled != '\0')
			buffer_format(out, "  %s", scaled);
		buffer_text(out, stopped ? "  stopped by order" : "");
		if (*held != '\0')
			buffer_format(out, "  not as declared: %s", held);
		buffer_text(out, "\n");
		cJSON_ArrayForEach(instance, answer_list(worker, "instances"))
		    print_instance(arena, out, instance);
	}
}

static void
print_queues(struct arena *arena, struct buffer *out, const cJSON *status)
{
	const cJSON *queue = NULL;
	char age[32];

	if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(status, "queues")))
		buffer_text(out, "queues unknown\n");
	cJSON_ArrayForEach(queue, answer_list(status, "queues"))
	{
		const cJSON *oldest =
		    cJSON_GetObjectItemCaseSensitive(queue, "oldest_ms");
		const char *error = answer_text(queue, "error");
		buffer_format(out,
		    "queue %s  waiting %s  active %s  dead %s  consumers %s",
		    answer_text(queue, "name"),
		    answer_queue_number(arena, queue, "waiting"),
		    answer_queue_number(arena, queue, "active"),
		    answer_queue_number(arena, queue, "dead"),
		    answer_queue_number(arena, queue, "consumers"));
		if (cJSON_IsNumber(oldest))
			buffer_format(out, "  oldest %s",
			    text_ms_for_people((int64_t)oldest->valuedouble,
			        age, sizeof(age)));
		if (*error != '\0')
			buffer_format(out, "  %s", error);
		buffer_text(out, "\n");
	}
}

static void
put_line(struct buffer *out, const char *label, const char *text)
{
	if (*text != '\0')
		buffer_format(out, "      %s%s\n", label, text);
}

static void
print_alert(struct buffer *out, const cJSON *alert)
{
	const char *state = answer_text(alert, "state");

	buffer_format(out, "alert %s %s: %s (%s since %s)\n",
	    answer_text(alert, "severity"), answer_text(alert, "subject"),
	    answer_text(alert, "summary"), state, answer_text(alert, "since"));
	put_line(out, "", answer_text(alert, "evidence"));
	put_line(out, "fix: ", answer_text(alert, "fix"));
	put_line(out, "explained by ", answer_text(alert, "explained_by"));
}

/* Only one that doesn't take alerts. */
static void
print_receiver(struct buffer *out, const cJSON *receiver)
{
	const cJSON *count =
	    cJSON_GetObjectItemCaseSensitive(receiver, "undelivered");

	if (*answer_text(receiver, "error") == '\0')
		return;
	buffer_format(out, "receiver %s: %.0f undelivered: %s (since %s)\n",
	    answer_text(receiver, "name"),
	    cJSON_IsNumber(count) ? count->valuedouble : 0,
	    answer_text(receiver, "error"),
	    answer_text(receiver, "failing_since"));
}

static void
print_trouble(struct buffer *out, const cJSON *status)
{
	const cJSON *item = NULL;

	cJSON_ArrayForEach(item, answer_list(status, "drift"))
	    buffer_format(out, "drift %s %s %s: %s; %s [%s]\n",
	        answer_text(item, "worker"), answer_text(item, "class"),
	        answer_text(item, "key"), answer_text(item, "summary"),
	        answer_text(item, "evidence"), answer_text(item, "policy"));
	cJSON_ArrayForEach(item, answer_list(status, "alerts"))
	    print_alert(out, item);
	cJSON_ArrayForEach(item, answer_list(status, "silences")) buffer_format(
	    out, "silence %.0f of '%s' until %s by %s: %s\n",
	    cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(item, "id")),
	    answer_text(item, "match"), answer_text(item, "until"),
	    answer_text(item, "by"), answer_text(item, "reason"));
	cJSON_ArrayForEach(item, answer_list(status, "receivers"))
	    print_receiver(out, item);
}

static void
print_server(struct buffer *out, const cJSON *status)
{
	const cJSON *server =
	    cJSON_GetObjectItemCaseSensitive(status, "status_server");
	const char *at = answer_text(server, "listen");
	const char *trouble = answer_text(server, "trouble");

	if (*at != '\0')
		buffer_format(out, "  status at %s://%s/\n",
		    cJSON_IsTrue(
		        cJSON_GetObjectItemCaseSensitive(server, "tls"))
		        ? "https"
		        : "http",
		    at);
	if (*trouble != '\0')
		buffer_format(out, "  status server: %s\n", trouble);
}

/* What wouldn't outlive the operator now. */
static void
print_kept(struct buffer *out, const cJSON *op)
{
	const char *spool = answer_text(op, "spool_trouble");
	const char *history = answer_text(op, "history_trouble");

	if (*spool != '\0')
		buffer_format(
		    out, "  alerts that wait are in memory only: %s\n", spool);
	if (*history != '\0')
		buffer_format(out, "  the history isn't kept: %s\n", history);
}

/* Output that a file which hangs has lost: of nobody in particular. */
static void
print_files(struct arena *arena, struct buffer *out, const cJSON *status)
{
	static const char *const streams[] = {"stdout", "stderr"};
	const cJSON *files = cJSON_GetObjectItemCaseSensitive(
	    cJSON_GetObjectItemCaseSensitive(status, "init"), "files_lost");

	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		const cJSON *file =
		    cJSON_GetObjectItemCaseSensitive(files, streams[i]);
		const char *bytes = answer_number(arena, file, "bytes");
		bool exact = !cJSON_IsFalse(
		    cJSON_GetObjectItemCaseSensitive(file, "exact"));

		if (cJSON_IsObject(file) && (!text_equal(bytes, "0") || !exact))
			buffer_format(out, "%s: its file has lost %s%s bytes\n",
			    streams[i], exact ? "" : "about ", bytes);
	}
}

static void
print_status(struct arena *arena, struct buffer *out, const cJSON *status)
{
	const cJSON *op = cJSON_GetObjectItemCaseSensitive(status, "operator");
	const char *why = answer_text(op, "why");

	buffer_format(out, "%s: operator %s (pid %s, restarts %s)\n",
	    answer_text(status, "name"), answer_text(op, "state"),
	    answer_number(arena, op, "pid"),
	    answer_number(arena, op, "restarts"));
	if (*why != '\0')
		buffer_format(out, "  %s\n", why);
	print_kept(out, op);
	print_server(out, status);
	print_workers(arena, out, status);
	print_files(arena, out, status);
	print_queues(arena, out, status);
	print_trouble(out, status);
}

/* --- the commands ------------------------------------------------------ */

/* Liveness, as an exec probe wants it: does the init's loop turn? */
static int
live(struct cli *cli, struct control_client *client)
{
	union wire_message message;
	struct wire_reply reply;
	struct err err = ERR_INIT;

	memset(&message, 0, sizeof(message));
	if (wire_client_ask(&client->init, WIRE_LIVE, &message, &reply,
	        cli->deadline_ms, &err) == -1)
		return cli_fail(cli, EXIT_FAILED, "%s", err.text);
	return reply.ok != 0 ? EXIT_PASSED : EXIT_FAILED;
}

int
cmd_status(struct cli *cli, int argc, char **argv)
{
	struct control_client client = {.init = WIRE_CLIENT_INIT};
	struct buffer answer;
	struct err err = ERR_INIT;
	int rc = control_open(cli, &client);

	(void)argc;
	(void)argv;
	if (rc != EXIT_PASSED)
		return rc;
	if (cli_flag(cli, "live")) {
		rc = live(cli, &client);
		control_close(&client);
		return rc;
	}
	buffer_init(&answer, ANSWER_MAX);
	if (control_ask(cli, &client, "GET", "/status", &answer, &err) != 200) {
		buffer_clear(&answer);
		if (control_init_status(cli, &client, &answer, &err) == -1)
			rc = cli_fail(cli, EXIT_UNREACHABLE, "%s", err.text);
	}
	if (rc == EXIT_PASSED)
		rc = answer_print(cli, &answer, print_status, NULL);
	buffer_fini(&answer);
	control_close(&client);
	return rc;
}
