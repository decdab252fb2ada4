/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "base/url.h"
#include "cli/control.h"
#include "supervisor/wire/status_encode.h"
#include "worker/exit.h"

/* `reeve status` and `reeve diff`: what the operator says, for people. */
enum {
	STATUS_MAX = 64 << 20,
	LINE_MAX_BYTES = 512,
	PATH_BYTES = 4200,
	KNOWN_SPARE_MS = 500, /* of the timeout, for the last question */
};

static const char *
text_of(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsString(item) ? item->valuestring : "";
}

/* A number, or "?" where it isn't known. */
static const char *
number_of(struct arena *arena, const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNumber(item)
	           ? arena_format(arena, "%.0f", item->valuedouble)
	           : "?";
}

static const cJSON *
list_of(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

static bool
any(const cJSON *list)
{
	return cJSON_GetArraySize(list) > 0;
}

/* Output that reached nobody. */
static void
print_output(struct arena *arena, struct buffer *out, const cJSON *instance)
{
	static const char *const ways[] = {"dropped", "limited", "lost"};
	const cJSON *output =
	    cJSON_GetObjectItemCaseSensitive(instance, "output");

	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		const char *lines = number_of(arena,
		    cJSON_GetObjectItemCaseSensitive(output, ways[i]), "lines");
		if (cJSON_IsObject(output) && !text_equal(lines, "0"))
			buffer_format(out, "  %s: %s lines", ways[i], lines);
	}
}

static void
print_instance(struct arena *arena, struct buffer *out, const cJSON *instance)
{
	const char *last = text_of(instance, "last_exit");
	const char *probe = text_of(instance, "probe");
	const char *waits = text_of(instance, "waits_for");
	const char *says = text_of(instance, "status_text");

	buffer_format(out, "  %-4s %-9s pid %-8s restarts %-4s %s",
	    number_of(arena, instance, "index"), text_of(instance, "state"),
	    number_of(arena, instance, "pid"),
	    number_of(arena, instance, "restarts"),
	    text_of(instance, "config_digest"));
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
	    text_of(worker, "name"), text_of(worker, "schedule"),
	    suspended ? " (suspended)" : "",
	    or_never(text_of(worker, "next_run")),
	    or_never(text_of(worker, "last_run")),
	    or_never(text_of(worker, "last_success")),
	    or_never(text_of(worker, "last_failure")),
	    number_of(arena, worker, "missed"));
}

/* How many have ended for good: they need not be ready. */
static int
finished_of(const cJSON *worker)
{
	const cJSON *instance = NULL;
	int count = 0;

	cJSON_ArrayForEach(instance, list_of(worker, "instances")) count +=
	    text_equal(text_of(instance, "state"), "finished");
	return count;
}

static void
print_ready(struct arena *arena, struct buffer *out, const cJSON *worker)
{
	int finished = finished_of(worker);

	buffer_format(out, "worker %s  %s of %s ready", text_of(worker, "name"),
	    number_of(arena, worker, "ready"),
	    number_of(arena, worker, "desired"));
	if (finished > 0)
		buffer_format(out, ", %d finished", finished);
}

static void
print_workers(struct arena *arena, struct buffer *out, const cJSON *status)
{
	const cJSON *worker = NULL;
	const cJSON *instance = NULL;

	cJSON_ArrayForEach(worker, list_of(status, "workers"))
	{
		const char *held = text_of(worker, "held");
		bool stopped = cJSON_IsTrue(
		    cJSON_GetObjectItemCaseSensitive(worker, "stopped"));
		if (*text_of(worker, "schedule") != '\0')
			print_schedule(arena, out, worker);
		else
			print_ready(arena, out, worker);
		const char *scaled = text_of(
		    cJSON_GetObjectItemCaseSensitive(worker, "scale"), "why");
		if (*scaled != '\0')
			buffer_format(out, "  %s", scaled);
		buffer_text(out, stopped ? "  stopped by order" : "");
		if (*held != '\0')
			buffer_format(out, "  not as declared: %s", held);
		buffer_text(out, "\n");
		cJSON_ArrayForEach(instance, list_of(worker, "instances"))
		    print_instance(arena, out, instance);
	}
}

static void
print_queues(struct arena *arena, struct buffer *out, const cJSON *status)
{
	const cJSON *queue = NULL;
	char age[32];

	cJSON_ArrayForEach(queue, list_of(status, "queues"))
	{
		const cJSON *oldest =
		    cJSON_GetObjectItemCaseSensitive(queue, "oldest_ms");
		const char *error = text_of(queue, "error");
		buffer_format(out,
		    "queue %s  waiting %s  active %s  dead %s  consumers %s",
		    text_of(queue, "name"), number_of(arena, queue, "waiting"),
		    number_of(arena, queue, "active"),
		    number_of(arena, queue, "dead"),
		    number_of(arena, queue, "consumers"));
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
	const char *state = text_of(alert, "state");

	buffer_format(out, "alert %s %s: %s (%s since %s)\n",
	    text_of(alert, "severity"), text_of(alert, "subject"),
	    text_of(alert, "summary"), state, text_of(alert, "since"));
	put_line(out, "", text_of(alert, "evidence"));
	put_line(out, "fix: ", text_of(alert, "fix"));
	put_line(out, "explained by ", text_of(alert, "explained_by"));
}

/* Only one that doesn't take alerts. */
static void
print_receiver(struct buffer *out, const cJSON *receiver)
{
	const cJSON *count =
	    cJSON_GetObjectItemCaseSensitive(receiver, "undelivered");

	if (*text_of(receiver, "error") == '\0')
		return;
	buffer_format(out, "receiver %s: %.0f undelivered: %s (since %s)\n",
	    text_of(receiver, "name"),
	    cJSON_IsNumber(count) ? count->valuedouble : 0,
	    text_of(receiver, "error"), text_of(receiver, "failing_since"));
}

static void
print_trouble(struct buffer *out, const cJSON *status)
{
	const cJSON *item = NULL;

	cJSON_ArrayForEach(item, list_of(status, "drift"))
	    buffer_format(out, "drift %s %s %s: %s; %s [%s]\n",
	        text_of(item, "worker"), text_of(item, "class"),
	        text_of(item, "key"), text_of(item, "summary"),
	        text_of(item, "evidence"), text_of(item, "policy"));
	cJSON_ArrayForEach(item, list_of(status, "alerts"))
	    print_alert(out, item);
	cJSON_ArrayForEach(item, list_of(status, "silences")) buffer_format(out,
	    "silence %.0f of '%s' until %s by %s: %s\n",
	    cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(item, "id")),
	    text_of(item, "match"), text_of(item, "until"), text_of(item, "by"),
	    text_of(item, "reason"));
	cJSON_ArrayForEach(item, list_of(status, "receivers"))
	    print_receiver(out, item);
}

static void
print_server(struct buffer *out, const cJSON *status)
{
	const cJSON *server =
	    cJSON_GetObjectItemCaseSensitive(status, "status_server");
	const char *at = text_of(server, "listen");
	const char *trouble = text_of(server, "trouble");

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

static void
print_status(struct arena *arena, struct buffer *out, const cJSON *status)
{
	const cJSON *op = cJSON_GetObjectItemCaseSensitive(status, "operator");
	const char *why = text_of(op, "why");

	buffer_format(out, "%s: operator %s (pid %s, restarts %s)\n",
	    text_of(status, "name"), text_of(op, "state"),
	    number_of(arena, op, "pid"), number_of(arena, op, "restarts"));
	if (*why != '\0')
		buffer_format(out, "  %s\n", why);
	print_server(out, status);
	print_workers(arena, out, status);
	print_queues(arena, out, status);
	print_trouble(out, status);
}

/* --- from the init alone ----------------------------------------------- */

/* A snapshot has all workers first, then all instances. */
struct rebuilt {
	struct arena arena;
	struct wire_snapshot snapshot;
	struct wire_worker *workers;
	struct wire_instance *instances;
	size_t nworkers, ninstances;
};

static void
rebuild(void *arg, const union wire_message *message)
{
	struct rebuilt *rebuilt = arg;

	switch (message->head.type) {
	case WIRE_SNAPSHOT_BEGIN:
		rebuilt->snapshot = message->snapshot;
		rebuilt->workers = arena_array(&rebuilt->arena,
		    (size_t)message->snapshot.workers + 1,
		    sizeof(*rebuilt->workers));
		rebuilt->instances = arena_array(&rebuilt->arena,
		    (size_t)message->snapshot.instances + 1,
		    sizeof(*rebuilt->instances));
		break;
	case WIRE_WORKER:
		if (rebuilt->nworkers < rebuilt->snapshot.workers)
			rebuilt->workers[rebuilt->nworkers++] = message->worker;
		break;
	case WIRE_INSTANCE:
		if (rebuilt->ninstances < rebuilt->snapshot.instances)
			rebuilt->instances[rebuilt->ninstances++] =
			    message->instance;
		break;
	default: /* its end, and what isn't part of it */
		break;
	}
}

static void
write_worker(const struct rebuilt *rebuilt, struct jsonw *json, size_t at)
{
	const struct wire_worker *wire = &rebuilt->workers[at];

	jsonw_object(json, NULL);
	jsonw_text(json, "name", wire->name);
	jsonw_i64(json, "desired", wire->desired);
	jsonw_i64(json, "ready", wire->ready);
	jsonw_i64(json, "generation", (int64_t)wire->generation);
	jsonw_bool(json, "stopped", wire->held != 0);
	status_schedule(json, wire);
	jsonw_array(json, "instances");
	for (size_t i = 0; i < rebuilt->ninstances; i++)
		if (text_equal(rebuilt->instances[i].name, wire->name))
			status_instance(json, &rebuilt->instances[i]);
	jsonw_end(json);
	jsonw_end(json);
}

static void
write_rebuilt(const struct rebuilt *rebuilt, struct jsonw *json)
{
	const struct wire_snapshot *snapshot = &rebuilt->snapshot;

	jsonw_object(json, NULL);
	jsonw_text(json, "schema", "reeve.status/1");
	jsonw_text(json, "name", snapshot->name);
	jsonw_object(json, "operator");
	if (snapshot->operator_pid > 0)
		jsonw_i64(json, "pid", snapshot->operator_pid);
	else
		jsonw_null(json, "pid");
	jsonw_text(json, "state",
	    wire_operator_name((enum wire_operator)snapshot->operator_state));
	jsonw_text(
	    json, "why", "it does not answer; this is what the init knows");
	jsonw_i64(json, "restarts", snapshot->operator_restarts);
	jsonw_end(json);
	jsonw_object(json, "init");
	jsonw_i64(json, "pid", snapshot->init_pid);
	status_cgroup(json, snapshot);
	jsonw_end(json);
	jsonw_array(json, "workers");
	for (size_t i = 0; i < rebuilt->nworkers; i++)
		write_worker(rebuilt, json, i);
	jsonw_end(json);
	jsonw_null(json, "queues");
	jsonw_bool(json, "drift_known", false);
	jsonw_null(json, "drift");
	jsonw_null(json, "alerts");
	jsonw_end(json);
}

int
control_init_status(struct cli *cli, struct control_client *client,
    struct buffer *out, struct err *err)
{
	struct jsonw json;
	struct rebuilt rebuilt = {.nworkers = 0};

	arena_init(&rebuilt.arena, STATUS_MAX);
	int rc = wire_client_snapshot(
	    &client->init, rebuild, &rebuilt, cli->deadline_ms, err);

	if (rc == 0) {
		jsonw_init(&json, out, true);
		write_rebuilt(&rebuilt, &json);
		buffer_text(out, "\n");
	}
	arena_fini(&rebuilt.arena);
	return rc;
}

/* --- the commands ------------------------------------------------------ */

static int
print_either(struct cli *cli, const struct buffer *answer,
    void (*print)(struct arena *, struct buffer *, const cJSON *),
    int *ret_exit)
{
	static const struct cli_output standard = {.format = "text"};
	cJSON *json =
	    cJSON_ParseWithLengthOpts(answer->data, answer->len + 1, NULL, 1);
	const cJSON *code = cJSON_GetObjectItemCaseSensitive(json, "exit");
	const struct cli_output *outputs =
	    cli->noutputs == 0 ? &standard : cli->outputs;
	struct buffer text;
	int rc = EXIT_PASSED;

	if (json == NULL)
		return cli_fail(cli, EXIT_UNREACHABLE, "no readable answer");
	if (ret_exit != NULL)
		*ret_exit =
		    cJSON_IsNumber(code) ? code->valueint : EXIT_INCONCLUSIVE;
	buffer_init(&text, STATUS_MAX);
	print(&cli->arena, &text, json);
	for (size_t i = 0;
	     i < MAX(cli->noutputs, (size_t)1) && rc == EXIT_PASSED; i++) {
		const struct buffer *out =
		    text_equal(outputs[i].format, "json") ? answer : &text;

		rc = cli_write(cli, &outputs[i],
		    out->data == NULL ? "" : out->data, out->len);
	}
	buffer_fini(&text);
	cJSON_Delete(json);
	return rc;
}

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
	buffer_init(&answer, STATUS_MAX);
	if (control_ask(cli, &client, "GET", "/status", &answer, &err) != 200) {
		buffer_clear(&answer);
		if (control_init_status(cli, &client, &answer, &err) == -1)
			rc = cli_fail(cli, EXIT_UNREACHABLE, "%s", err.text);
	}
	if (rc == EXIT_PASSED)
		rc = print_either(cli, &answer, print_status, NULL);
	buffer_fini(&answer);
	control_close(&client);
	return rc;
}

static void
print_diff(struct arena *arena, struct buffer *out, const cJSON *report)
{
	const cJSON *finding = NULL;
	const cJSON *evidence = NULL;
	const cJSON *item = NULL;

	(void)arena;
	cJSON_ArrayForEach(finding, list_of(report, "findings"))
	{
		const cJSON *fix =
		    cJSON_GetObjectItemCaseSensitive(finding, "fix");
		buffer_format(out, "%-10s %s: %s [%s]\n",
		    text_of(finding, "class"), text_of(finding, "subject"),
		    text_of(finding, "summary"), text_of(finding, "policy"));
		cJSON_ArrayForEach(evidence, list_of(finding, "evidence"))
		    buffer_format(out, "           %s: runs %s, declared %s\n",
		        text_of(evidence, "source"),
		        text_of(evidence, "observed"),
		        text_of(evidence, "expected"));
		buffer_format(
		    out, "           fix: %s\n", text_of(fix, "command"));
	}
	cJSON_ArrayForEach(item, list_of(report, "not_checked"))
	{
		if (cJSON_IsString(item))
			buffer_format(
			    out, "not checked: %s\n", item->valuestring);
	}
	if (!any(list_of(report, "findings")) &&
	    text_equal(text_of(report, "verdict"), "passed"))
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
	buffer_init(&answer, STATUS_MAX);
	if (ask_until_known(cli, &client, "GET", "/diff", &answer, &err) != 200)
		rc = cli_fail(cli, EXIT_INCONCLUSIVE,
		    "the operator does not answer, and only it knows what is "
		    "declared: %s",
		    err.text);
	else
		rc = print_either(cli, &answer, print_diff, &verdict);
	buffer_fini(&answer);
	control_close(&client);
	return rc == EXIT_PASSED ? verdict : rc;
}

static void
print_plan(struct arena *arena, struct buffer *out, const cJSON *plan)
{
	const cJSON *item = NULL;
	const char *why = text_of(plan, "why");

	cJSON_ArrayForEach(item, list_of(plan, "actions"))
	{
		const char *replica = number_of(arena, item, "replica");
		bool whole = text_equal(replica, "?");
		buffer_format(out, "%3s. %-8s %s%s%s  %s: %s\n",
		    number_of(arena, item, "step"), text_of(item, "action"),
		    text_of(item, "worker"), whole ? "" : "/",
		    whole ? "" : replica, text_of(item, "key"),
		    text_of(item, "reason"));
	}
	cJSON_ArrayForEach(item, list_of(plan, "left"))
	{
		const char *instances = text_of(item, "instances");
		buffer_format(out, "stays   %s%s%s  %s %s [%s]\n",
		    text_of(item, "worker"), *instances == '\0' ? "" : "/",
		    instances, text_of(item, "class"), text_of(item, "key"),
		    text_of(item, "policy"));
	}
	if (*why != '\0')
		buffer_format(out, "not known: %s\n", why);
	else if (text_equal(text_of(plan, "verdict"), "nothing"))
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
	buffer_init(&answer, STATUS_MAX);
	int status = plan_request(cli, path, sizeof(path), &err);
	if (status == 0)
		status = ask_until_known(cli, &client,
		    cli->manifest_given ? "POST" : "GET", path, &answer, &err);
	if (status == 200)
		rc = print_either(cli, &answer, print_plan, &verdict);
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
