/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <curl/curl.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "base/url.h"
#include "cli/control.h"
#include "supervisor/wire/place.h"

/*
 * Commands that change something about a running supervisor. The operator is
 * asked first: what it is told it keeps to. Where it doesn't answer, the init
 * does what it can.
 */
enum {
	ANSWER_MAX = 64 << 20,
	ANSWER_MS = 10 * 1000,
	PATH_MAX_BYTES = 512,
	URL_MAX_BYTES = 5200,
};

/* --- reaching it ------------------------------------------------------- */

static int
socket_address(const struct wire_hello *hello, const char *file,
    struct sockaddr_un *ret, socklen_t *ret_len, struct err *err)
{
	struct place_socket place = {.dir = ""};

	if (text_copy(place.dir, sizeof(place.dir), hello->socket_dir, err) ==
	        -1 ||
	    text_copy(place.name, sizeof(place.name), hello->name, err) == -1)
		return -1;
	return place_address(&place, file, ret, ret_len, err);
}

static int
socket_name(const struct sockaddr_un *address, socklen_t len, char *dst,
    size_t size, struct err *err)
{
	if (address->sun_path[0] != '\0')
		return text_copy(dst, size, address->sun_path, err);
	/* An abstract name: not terminated. */
	int name_len = (int)(len - offsetof(struct sockaddr_un, sun_path) - 1);

	return text_format(
	    dst, size, err, "@%.*s", name_len, address->sun_path + 1);
}

/* Which supervisor is meant: `--name`, else the manifest's of `-f`, else the
 * only one there is (NULL). */
static int
supervisor_name(struct cli *cli, const char **ret)
{
	struct declared *declared = NULL;

	*ret = cli_value(cli, "name");
	if (*ret != NULL || !cli->manifest_given)
		return EXIT_PASSED;
	int rc = cli_load(cli, &declared);

	if (rc == EXIT_PASSED)
		*ret = declared->name;
	return rc;
}

/* `err` says why none answers. */
static int
find(struct cli *cli, struct control_client *ret, bool *ret_running,
    struct err *err)
{
	struct control_client client = {.init = WIRE_CLIENT_INIT};
	const char *name = NULL;
	int rc = cli_text_or_json(cli);

	*ret_running = false;
	if (rc == EXIT_PASSED)
		rc = supervisor_name(cli, &name);
	if (rc != EXIT_PASSED)
		return rc;
	if (wire_client_connect(&client.init, name, cli->deadline_ms, err) ==
	    -1)
		return EXIT_PASSED;
	const struct wire_hello *hello = &client.init.hello;
	struct sockaddr_un address;
	socklen_t len = 0;

	if (socket_address(hello, PLACE_OPERATOR_SOCKET, &address, &len, err) ==
	        -1 ||
	    socket_name(&address, len, client.operator_socket,
	        sizeof(client.operator_socket), err) == -1 ||
	    socket_address(hello, PLACE_LOGS_SOCKET, &client.logs,
	        &client.logs_len, err) == -1) {
		wire_client_close(&client.init);
		return cli_fail(cli, EXIT_UNREACHABLE, "%s", err->text);
	}
	*ret = client;
	*ret_running = true;
	return EXIT_PASSED;
}

int
control_find(struct cli *cli, struct control_client *ret, bool *ret_running)
{
	struct err err = ERR_INIT;

	return find(cli, ret, ret_running, &err);
}

int
control_open(struct cli *cli, struct control_client *ret)
{
	struct err err = ERR_INIT;
	bool running = false;
	int rc = find(cli, ret, &running, &err);

	if (rc != EXIT_PASSED || running)
		return rc;
	(void)cli_fail(
	    cli, EXIT_UNREACHABLE, "no supervisor answers: %s", err.text);
	cli_try(
	    "%s", err.sys == EACCES
	              ? "the same as that user, or as root; "
	                "supervisor.control.group lets others in"
	              : "reeve run -f reeve.yaml; or say which one is meant: "
	                "--name NAME, or REEVE_SOCKET=DIRECTORY");
	return EXIT_UNREACHABLE;
}

void
control_close(struct control_client *client)
{
	wire_client_close(&client->init);
}

static size_t
take_answer(const char *bytes, size_t size, size_t count, void *arg)
{
	struct buffer *answer = arg;

	buffer_append(answer, bytes, size * count);
	return answer->overflow ? 0 : size * count;
}

int
control_ask(struct cli *cli, const struct control_client *client,
    const char *method, const char *path, struct buffer *answer,
    struct err *err)
{
	char url[URL_MAX_BYTES];
	long status = 0;
	const char *socket = client->operator_socket;
	/* Half of what is left: the other half is for the init. */
	int64_t left_ms = (cli->deadline_ms - clock_ms()) / 2;

	if (text_format(url, sizeof(url), err, "http://operator%s", path) == -1)
		return -1;
	CURL *curl = curl_easy_init();

	if (curl == NULL)
		return err_set(err, ERR_SYSTEM, "libcurl can't be used");
	if (*socket == '@')
		(void)curl_easy_setopt(
		    curl, CURLOPT_ABSTRACT_UNIX_SOCKET, socket + 1);
	else
		(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
	    (long)MAX(MIN(left_ms, (int64_t)ANSWER_MS), (int64_t)1));
	if (text_equal(method, "POST"))
		(void)curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, "");
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	CURLcode rc = curl_easy_perform(curl);

	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	if (rc != CURLE_OK)
		return err_set(err,
		    rc == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_REFUSED,
		    "the operator: %s", curl_easy_strerror(rc));
	return (int)status;
}

int
control_target(struct cli *cli, const char *text, const char **ret_name,
    int32_t *ret_replica)
{
	struct err err = ERR_INIT;
	const char *slash = strchr(text, '/');
	int64_t replica = WIRE_ALL_REPLICAS;

	if (slash != NULL &&
	    text_i64(slash + 1, 0, WORKER_REPLICAS_MAX, &replica, &err) == -1)
		return cli_usage(cli, "%s", err.text);
	*ret_name = slash == NULL ? text
	                          : arena_bytes(&cli->arena, text,
	                                (size_t)(slash - text));
	*ret_replica = (int32_t)replica;
	return EXIT_PASSED;
}

/* --- doing something --------------------------------------------------- */

static int
print_done(struct cli *cli, bool ok, const char *text, const char *who)
{
	struct buffer out;
	struct jsonw json;

	if (!ok)
		return cli_fail(cli, EXIT_FAILED, "%s", text);
	buffer_init(&out, ANSWER_MAX);
	if (cli_wants(cli, "json")) {
		jsonw_init(&json, &out, true);
		jsonw_object(&json, NULL);
		jsonw_text(&json, "schema", "reeve.control/1");
		jsonw_bool(&json, "ok", ok);
		jsonw_text(&json, "by", who);
		jsonw_text(&json, "text", text);
		jsonw_end(&json);
		buffer_text(&out, "\n");
	} else if (!cli->quiet) {
		buffer_format(&out, "%s\n", text);
	}
	int rc = cli_print(cli, out.data == NULL ? "" : out.data, out.len);

	buffer_fini(&out);
	return rc;
}

static int
print_answer(struct cli *cli, const struct buffer *answer)
{
	cJSON *json =
	    cJSON_ParseWithLengthOpts(answer->data, answer->len + 1, NULL, 1);
	const cJSON *text = cJSON_GetObjectItemCaseSensitive(json, "text");
	bool ok = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "ok"));
	int rc = print_done(cli, ok,
	    cJSON_IsString(text) ? text->valuestring : "no readable answer",
	    "operator");

	cJSON_Delete(json);
	return rc;
}

int
control_refused(struct cli *cli, const struct buffer *answer, int code)
{
	cJSON *json =
	    cJSON_ParseWithLengthOpts(answer->data, answer->len + 1, NULL, 1);
	const cJSON *text = cJSON_GetObjectItemCaseSensitive(json, "text");
	int rc = cli_fail(cli, code, "%s",
	    cJSON_IsString(text) ? text->valuestring : "no readable answer");

	cJSON_Delete(json);
	return rc;
}

static int
ask_init(struct cli *cli, struct control_client *client, enum wire_type type,
    union wire_message *message, const char *why)
{
	struct wire_reply reply;
	struct err err = ERR_INIT;
	char text[WIRE_TEXT_MAX + 64];

	if (wire_client_ask(&client->init, type, message, &reply,
	        cli->deadline_ms, &err) == -1)
		return cli_fail(cli, EXIT_UNREACHABLE, "%s", err.text);
	if (reply.ok == 0)
		return cli_fail(cli, reply.code > 0 ? reply.code : EXIT_FAILED,
		    "%s", reply.text);
	(void)snprintf(text, sizeof(text),
	    "%s, by the init alone (%s): %" PRIu32 " instances", reply.text,
	    why, reply.affected);
	return print_done(cli, true, text, "init");
}

int
control_order(struct cli *cli, const struct control_client *client,
    const struct control_order *order, struct buffer *answer, struct err *err)
{
	char path[PATH_MAX_BYTES];
	char replica[32] = "";
	char value[48] = "";

	if (order->replica >= 0)
		(void)snprintf(
		    replica, sizeof(replica), "&replica=%d", order->replica);
	if (order->automatic)
		(void)snprintf(value, sizeof(value), "&replicas=auto");
	else if (order->value >= 0)
		(void)snprintf(
		    value, sizeof(value), "&replicas=%" PRId64, order->value);
	if (text_format(path, sizeof(path), err, "%s?worker=%s%s%s",
	        order->path, url_encode(&cli->arena, order->worker), replica,
	        value) == -1)
		return -1;
	return control_ask(cli, client, "POST", path, answer, err);
}

/* The same to the init, in case the operator doesn't answer. */
struct command {
	struct control_order order;
	enum wire_type type;
};

static int
do_command(struct cli *cli, struct control_client *client,
    const struct command *command)
{
	const struct control_order *order = &command->order;
	struct buffer answer;
	struct err err = ERR_INIT;
	union wire_message message;
	int rc = EXIT_PASSED;

	buffer_init(&answer, ANSWER_MAX);
	if (control_order(cli, client, order, &answer, &err) != -1) {
		rc = print_answer(cli, &answer);
	} else if (order->automatic) {
		rc = cli_fail(cli, EXIT_INCONCLUSIVE,
		    "%s; only the operator knows what is declared", err.text);
	} else {
		memset(&message, 0, sizeof(message));
		message.order.replica = order->replica;
		message.order.value = (int32_t)MAX(order->value, (int64_t)0);
		rc = text_copy(message.order.name, sizeof(message.order.name),
		         order->worker, &err) == 0
		         ? ask_init(
		               cli, client, command->type, &message, err.text)
		         : cli_usage(cli, "%s", err.text);
	}
	buffer_fini(&answer);
	return rc;
}

/* All names are looked at before anything is done to the first. */
static int
do_commands(struct cli *cli, const struct command *commands, size_t count)
{
	struct control_client client = {.init = WIRE_CLIENT_INIT};
	int rc = control_open(cli, &client);

	if (rc != EXIT_PASSED)
		return rc;
	for (size_t i = 0; i < count && rc == EXIT_PASSED; i++)
		rc = control_meant(cli, &client, commands[i].order.worker,
		    commands[i].order.replica);
	for (size_t i = 0; i < count && rc == EXIT_PASSED; i++)
		rc = do_command(cli, &client, &commands[i]);
	control_close(&client);
	return rc;
}

static int
each_target(struct cli *cli, int argc, char **argv, struct command command)
{
	struct command *all =
	    arena_array(&cli->arena, (size_t)argc, sizeof(*all));

	for (int i = 0; i < argc; i++) {
		int rc = control_target(cli, argv[i], &command.order.worker,
		    &command.order.replica);
		if (rc != EXIT_PASSED)
			return rc;
		all[i] = command;
	}
	return do_commands(cli, all, (size_t)argc);
}

int
cmd_restart(struct cli *cli, int argc, char **argv)
{
	return each_target(cli, argc, argv,
	    (struct command){.order = {.path = "/restart", .value = -1},
	        .type = WIRE_RESTART});
}

int
cmd_stop(struct cli *cli, int argc, char **argv)
{
	return each_target(cli, argc, argv,
	    (struct command){
	        .order = {.path = "/stop", .value = -1}, .type = WIRE_STOP});
}

int
cmd_start(struct cli *cli, int argc, char **argv)
{
	return each_target(cli, argc, argv,
	    (struct command){
	        .order = {.path = "/start", .value = -1}, .type = WIRE_START});
}

int
cmd_scale(struct cli *cli, int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct command command = {
	    .order = {.path = "/scale",
	        .worker = argv[0],
	        .replica = WIRE_ALL_REPLICAS},
	    .type = WIRE_SCALE,
	};

	(void)argc;
	command.order.automatic = text_equal(argv[1], "auto");
	if (!command.order.automatic &&
	    text_i64(argv[1], 0, WORKER_REPLICAS_MAX, &command.order.value,
	        &err) == -1)
		return cli_usage(cli, "%s", err.text);
	return do_commands(cli, &command, 1);
}

int
cmd_reload(struct cli *cli, int argc, char **argv)
{
	struct control_client client = {.init = WIRE_CLIENT_INIT};
	struct buffer answer;
	struct err err = ERR_INIT;
	union wire_message message;
	int rc = control_open(cli, &client);

	(void)argc;
	(void)argv;
	if (rc != EXIT_PASSED)
		return rc;
	buffer_init(&answer, ANSWER_MAX);
	int status =
	    control_ask(cli, &client, "POST", "/reload", &answer, &err);

	if (status == -1) {
		memset(&message, 0, sizeof(message));
		rc = ask_init(cli, &client, WIRE_RELOAD, &message, err.text);
	} else {
		rc = print_answer(cli, &answer);
		/* The manifest's errors are 78 everywhere (decisions.md 26). */
		if (rc == EXIT_FAILED && status == 409)
			rc = EXIT_MANIFEST;
	}
	buffer_fini(&answer);
	control_close(&client);
	return rc;
}
