/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "base/url.h"
#include "cli/answer.h"
#include "cli/control.h"
#include "supervisor/operator/alerts.h"

/*
 * `reeve alert`: tests, lists, silences. A running supervisor is asked: it
 * has the values that the manifest's `$(NAME)` have there. Without one, the
 * receivers of the manifest are tried from here, by the same code.
 */
enum {
	PATH_SIZE = 512,
	POLL_MS = 100,
	REAP_MS = 50,
	TIMERS = 32,
	FOUND = 200,
	ACCEPTED = 202,
};

/* --- the answer to a test ---------------------------------------------- */

static bool
meant(const cJSON *receiver, const char *name)
{
	return name == NULL || text_equal(answer_text(receiver, "name"), name);
}

static bool
testing(const cJSON *receivers, const char *name)
{
	const cJSON *item = NULL;

	cJSON_ArrayForEach(item, receivers)
	{
		if (meant(item, name) &&
		    cJSON_IsTrue(
		        cJSON_GetObjectItemCaseSensitive(item, "testing")))
			return true;
	}
	return false;
}

static const char *
test_error(const cJSON *receiver)
{
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(receiver, "testing")))
		return "no answer yet: it is tried again";
	return answer_text(receiver, "test_error");
}

static int
print_test(struct cli *cli, const cJSON *receivers, const char *name)
{
	const cJSON *item = NULL;
	bool failed = false;
	bool as_json = cli_wants(cli, "json");
	struct buffer out;
	struct jsonw json;

	buffer_init(&out, ANSWER_MAX);
	jsonw_init(&json, &out, true);
	if (as_json) {
		jsonw_object(&json, NULL);
		jsonw_text(&json, "schema", "reeve.alert-test/1");
		jsonw_array(&json, "receivers");
	}
	cJSON_ArrayForEach(item, receivers)
	{
		const char *error = test_error(item);
		if (!meant(item, name))
			continue;
		failed = failed || *error != '\0';
		if (!as_json) {
			buffer_format(&out, "%-6s  %s (%s)%s%s\n",
			    *error == '\0' ? "taken" : "FAILED",
			    answer_text(item, "name"),
			    answer_text(item, "kind"),
			    *error == '\0' ? "" : ": ", error);
			continue;
		}
		jsonw_object(&json, NULL);
		jsonw_text(&json, "name", answer_text(item, "name"));
		jsonw_text(&json, "kind", answer_text(item, "kind"));
		jsonw_bool(&json, "taken", *error == '\0');
		jsonw_text(&json, "error", *error == '\0' ? NULL : error);
		jsonw_end(&json);
	}
	if (as_json) {
		jsonw_end(&json);
		jsonw_end(&json);
		buffer_text(&out, "\n");
	}
	int rc = cli_print(cli, out.data == NULL ? "" : out.data, out.len);

	buffer_fini(&out);
	return rc == EXIT_PASSED && failed ? EXIT_FAILED : rc;
}

/* --- by a running supervisor ------------------------------------------- */

static int
ask(struct cli *cli, const struct control_client *client, const char *method,
    const char *path, int wanted, cJSON **ret)
{
	struct err err = ERR_INIT;
	struct buffer answer;
	int rc = EXIT_PASSED;

	buffer_init(&answer, ANSWER_MAX);
	int status = control_ask(cli, client, method, path, &answer, &err);

	*ret = status == -1 ? NULL
	                    : cJSON_ParseWithLength(answer.data, answer.len);
	if (status == -1)
		rc = cli_fail(cli, EXIT_UNREACHABLE, "%s", err.text);
	else if (status != wanted)
		rc =
		    cli_fail(cli, EXIT_FAILED, "%s", answer_text(*ret, "text"));
	buffer_fini(&answer);
	return rc;
}

static int
test_there(
    struct cli *cli, const struct control_client *client, const char *name)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
	char path[PATH_SIZE] = "/alert-test";
	struct err err = ERR_INIT;
	cJSON *answer = NULL;

	if (name != NULL &&
	    text_format(path, sizeof(path), &err, "/alert-test?receiver=%s",
	        url_encode(&cli->arena, name)) == -1)
		return cli_usage(cli, "%s", err.text);
	int rc = ask(cli, client, "POST", path, ACCEPTED, &answer);

	while (rc == EXIT_PASSED) {
		cJSON_Delete(answer);
		rc = ask(cli, client, "GET", "/status", FOUND, &answer);
		if (rc != EXIT_PASSED ||
		    !testing(answer_list(answer, "receivers"), name) ||
		    clock_ms() + POLL_MS >= cli->deadline_ms)
			break;
		(void)nanosleep(&pause, NULL);
	}
	if (rc == EXIT_PASSED)
		rc = print_test(cli, answer_list(answer, "receivers"), name);
	cJSON_Delete(answer);
	return rc;
}

/* --- from here --------------------------------------------------------- */

static int
print_own(struct cli *cli, const struct alerts *alerts, const char *name)
{
	struct buffer text;
	struct jsonw json;

	buffer_init(&text, ANSWER_MAX);
	jsonw_init(&json, &text, false);
	jsonw_array(&json, NULL);
	alerts_write_receivers(alerts, &json);
	jsonw_end(&json);
	cJSON *receivers = cJSON_ParseWithLength(text.data, text.len);
	int rc = print_test(cli, receivers, name);

	cJSON_Delete(receivers);
	buffer_fini(&text);
	return rc;
}

static int
test_here(struct cli *cli, const char *name)
{
	static struct alerts alerts; /* large */
	struct declared *declared = NULL;
	struct loop_timer *timers[TIMERS];
	struct loop loop;
	struct err err = ERR_INIT;
	int rc = cli_load(cli, &declared);

	if (rc != EXIT_PASSED)
		return rc;
	if (loop_init(&loop, timers, ARRAY_LEN(timers), &err) == -1)
		return cli_fail(cli, EXIT_BUG, "%s", err.text);
	alerts_init(&alerts, &loop, declared->name, NULL);
	alerts_receivers(&alerts, declared->alerts, declared->nalerts);
	if (alerts_test(&alerts, name) == 0)
		rc = cli_fail(cli, EXIT_FAILED,
		    "'%s' is no receiver of %s: see its `alerts`", name,
		    cli->manifest);
	while (rc == EXIT_PASSED && alerts_testing(&alerts) &&
	       clock_ms() < cli->deadline_ms) {
		int64_t turn_ms = clock_after(clock_ms(), REAP_MS);
		if (loop_turn(&loop, MIN(turn_ms, cli->deadline_ms), &err) ==
		    -1)
			rc = cli_fail(cli, EXIT_BUG, "%s", err.text);
		helpers_reap();
	}
	if (rc == EXIT_PASSED)
		rc = print_own(cli, &alerts, name);
	alerts_fini(&alerts);
	loop_fini(&loop);
	return rc;
}

static int
alert_test(struct cli *cli, const char *name)
{
	struct control_client client = {.init = WIRE_CLIENT_INIT};
	bool running = false;
	int rc = control_find(cli, &client, &running);

	if (rc != EXIT_PASSED)
		return rc;
	if (!running)
		return test_here(cli, name);
	rc = test_there(cli, &client, name);
	control_close(&client);
	return rc;
}

/* --- the list ---------------------------------------------------------- */

static void
put_alert(struct buffer *out, const cJSON *alert)
{
	const char *cause = answer_text(alert, "explained_by");
	const cJSON *by =
	    cJSON_GetObjectItemCaseSensitive(alert, "silenced_by");

	buffer_format(out, "%-9s %-8s %s\n          %s: %s\n",
	    answer_text(alert, "state"), answer_text(alert, "severity"),
	    answer_text(alert, "key"), answer_text(alert, "subject"),
	    answer_text(alert, "summary"));
	if (*cause != '\0')
		buffer_format(out, "          explained by %s\n", cause);
	if (cJSON_IsNumber(by))
		buffer_format(out, "          silence %.0f\n", by->valuedouble);
	buffer_format(out, "          since %s\n", answer_text(alert, "since"));
}

/* A rule that can't be judged is not one that is kept. */
static void
put_unknown_rules(struct buffer *out, const cJSON *status)
{
	const cJSON *item = NULL;

	cJSON_ArrayForEach(item, answer_list(status, "rules"))
	{
		if (text_equal(answer_text(item, "result"), "unknown"))
			buffer_format(out, "unknown   %s %s: %s\n",
			    answer_text(item, "rule"),
			    answer_text(item, "subject"),
			    answer_text(item, "why"));
	}
}

static int
print_list(struct cli *cli, const cJSON *status)
{
	const cJSON *item = NULL;
	struct buffer out;

	buffer_init(&out, ANSWER_MAX);
	if (cli_wants(cli, "json")) {
		char *alerts = cJSON_Print(answer_list(status, "alerts"));
		char *receivers = cJSON_Print(answer_list(status, "receivers"));
		char *rules = cJSON_Print(answer_list(status, "rules"));
		struct jsonw json;
		jsonw_init(&json, &out, true);
		jsonw_object(&json, NULL);
		jsonw_text(&json, "schema", "reeve.alert-list/1");
		jsonw_raw(&json, "alerts", alerts == NULL ? "[]" : alerts);
		jsonw_raw(
		    &json, "receivers", receivers == NULL ? "[]" : receivers);
		jsonw_raw(&json, "rules", rules == NULL ? "[]" : rules);
		jsonw_end(&json);
		buffer_text(&out, "\n");
		cJSON_free(rules);
		cJSON_free(alerts);
		cJSON_free(receivers);
	} else {
		cJSON_ArrayForEach(item, answer_list(status, "alerts"))
		    put_alert(&out, item);
		put_unknown_rules(&out, status);
		cJSON_ArrayForEach(item, answer_list(status, "receivers"))
		{
			const char *error = answer_text(item, "error");
			const cJSON *count = cJSON_GetObjectItemCaseSensitive(
			    item, "undelivered");
			buffer_format(&out,
			    "receiver %s (%s): %.0f undelivered%s%s\n",
			    answer_text(item, "name"),
			    answer_text(item, "kind"),
			    cJSON_IsNumber(count) ? count->valuedouble : 0,
			    *error == '\0' ? "" : ": ", error);
		}
	}
	int rc = cli_print(cli, out.data == NULL ? "" : out.data, out.len);

	buffer_fini(&out);
	return rc;
}

typedef int print_fn(struct cli *cli, const cJSON *status);

static int
show(struct cli *cli, print_fn *print)
{
	struct control_client client = {.init = WIRE_CLIENT_INIT};
	cJSON *status = NULL;
	int rc = control_open(cli, &client);

	if (rc != EXIT_PASSED)
		return rc;
	rc = ask(cli, &client, "GET", "/status", FOUND, &status);
	if (rc == EXIT_PASSED)
		rc = print(cli, status);
	cJSON_Delete(status);
	control_close(&client);
	return rc;
}

/* --- silences ----------------------------------------------------------- */

static int
print_silences(struct cli *cli, const cJSON *status)
{
	const cJSON *item = NULL;
	struct buffer out;

	buffer_init(&out, ANSWER_MAX);
	if (cli_wants(cli, "json")) {
		char *silences = cJSON_Print(answer_list(status, "silences"));
		struct jsonw json;
		jsonw_init(&json, &out, true);
		jsonw_object(&json, NULL);
		jsonw_text(&json, "schema", "reeve.silences/1");
		jsonw_raw(
		    &json, "silences", silences == NULL ? "[]" : silences);
		jsonw_end(&json);
		buffer_text(&out, "\n");
		cJSON_free(silences);
	} else {
		cJSON_ArrayForEach(item, answer_list(status, "silences"))
		    buffer_format(&out,
		        "%-4.0f %s  until %s\n     by %s: %s; alerts it "
		        "fits now: %.0f\n",
		        cJSON_GetNumberValue(
		            cJSON_GetObjectItemCaseSensitive(item, "id")),
		        answer_text(item, "match"), answer_text(item, "until"),
		        answer_text(item, "by"), answer_text(item, "reason"),
		        cJSON_GetNumberValue(
		            cJSON_GetObjectItemCaseSensitive(item, "alerts")));
	}
	int rc = cli_print(cli, out.data == NULL ? "" : out.data, out.len);

	buffer_fini(&out);
	return rc;
}

static int
order(struct cli *cli, const char *path)
{
	struct control_client client = {.init = WIRE_CLIENT_INIT};
	cJSON *answer = NULL;
	int rc = control_open(cli, &client);

	if (rc != EXIT_PASSED)
		return rc;
	rc = ask(cli, &client, "POST", path, ACCEPTED, &answer);
	if (rc == EXIT_PASSED) {
		const char *text = arena_format(
		    &cli->arena, "%s\n", answer_text(answer, "text"));
		rc = cli_print(cli, text, strlen(text));
	}
	cJSON_Delete(answer);
	control_close(&client);
	return rc;
}

static int
silence(struct cli *cli, const char *match)
{
	const char *reason = cli_value(cli, "reason");
	int64_t for_ms = 0;

	if (reason == NULL || cli_value(cli, "for") == NULL)
		return cli_usage(
		    cli, "a silence needs --for DURATION and --reason TEXT");
	if (cli_duration(cli, "for", 0, &for_ms) == -1)
		return EXIT_USAGE;
	return order(cli,
	    arena_format(&cli->arena, "/silence?match=%s&for_ms=%lld&reason=%s",
	        url_encode(&cli->arena, match), (long long)for_ms,
	        url_encode(&cli->arena, reason)));
}

static int
unsilence(struct cli *cli, int count, char **ids)
{
	int rc = EXIT_PASSED;

	for (int i = 0; i < count && rc == EXIT_PASSED; i++)
		rc = order(cli, arena_format(&cli->arena, "/unsilence?id=%s",
		                    url_encode(&cli->arena, ids[i])));
	return rc;
}

int
cmd_alert(struct cli *cli, int argc, char **argv)
{
	if (text_equal(argv[0], "test") && argc <= 2)
		return alert_test(cli, argc > 1 ? argv[1] : NULL);
	if (text_equal(argv[0], "ls") && argc == 1)
		return show(cli, print_list);
	if (text_equal(argv[0], "silence") && argc == 2)
		return silence(cli, argv[1]);
	if (text_equal(argv[0], "silences") && argc == 1)
		return show(cli, print_silences);
	if (text_equal(argv[0], "unsilence") && argc > 1)
		return unsilence(cli, argc - 1, argv + 1);
	return cli_usage(cli,
	    "'%s': say 'ls', 'test [RECEIVER]', 'silence MATCH', 'silences', "
	    "or 'unsilence ID'",
	    argv[0]);
}
