/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "base/utf8.h"
#include "cli/control.h"
#include "probes/base64.h"
#include "supervisor/wire/logs_client.h"

/* `reeve logs`: the last lines of each worker, as the logger kept them. */
enum {
	/* control characters take six bytes in JSON, and base64 a third more */
	LINE_BYTES_MAX = 8 * LOGS_TEXT_MAX,
	TAIL_DEFAULT = 100,
};

static void
write_text(
    const struct logs_record *record, const char *text, struct buffer *out)
{
	buffer_format(
	    out, "%s/%" PRIu32 " | ", record->worker, record->replica);
	if ((record->flags & LOGS_LOST) != 0)
		buffer_format(out, "(%" PRIu32 " lines lost)", record->lost);
	else /* whatever its bytes are */
		buffer_append(out, text, record->len);
	buffer_text(out, "\n");
}

static bool
is_utf8(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t at = 0, step = 1;

	for (; at < len && step > 0; at += step)
		step = utf8_len(p + at, len - at);
	return step > 0;
}

/* As the logger writes it: what isn't UTF-8 has its bytes beside it. */
static void
put_line(struct jsonw *json, const char *text, size_t len)
{
	struct buffer bytes;

	jsonw_bytes(json, "text", text, len);
	if (is_utf8(text, len))
		return;
	buffer_init(&bytes, BASE64_SIZE(LOGS_TEXT_MAX));
	base64_encode(&bytes, text, len);
	jsonw_bytes(json, "base64", bytes.data, bytes.len);
	buffer_fini(&bytes);
}

static void
write_json(
    const struct logs_record *record, const char *text, struct buffer *out)
{
	char at[CLOCK_TEXT_SIZE];
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "at", clock_text(record->wall_ms, at));
	jsonw_text(&json, "worker", record->worker);
	jsonw_i64(&json, "replica", record->replica);
	jsonw_text(&json, "stream", record->stream == 2 ? "stderr" : "stdout");
	jsonw_i64(&json, "generation", (int64_t)record->generation);
	jsonw_i64(&json, "pid", record->pid);
	jsonw_bool(&json, "partial", (record->flags & LOGS_PARTIAL) != 0);
	if ((record->flags & LOGS_LOST) != 0)
		jsonw_i64(&json, "lost", record->lost);
	else
		put_line(&json, text, record->len);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

/* Until the next line is there. False: whoever read ours is gone (`… | head
 * -1`), or the time that was given is over. */
static bool
next_comes(const struct cli *cli, int fd)
{
	struct pollfd both[] = {
	    {.fd = fd, .events = POLLIN}, {.fd = STDOUT_FILENO}};
	int n = -1;

	while (n == -1) {
		int64_t left_ms = cli->deadline_ms - clock_ms();
		int timeout_ms =
		    cli->timeout_given
		        ? (int)MIN(MAX(left_ms, (int64_t)0), (int64_t)INT32_MAX)
		        : -1;

		n = poll(both, ARRAY_LEN(both), timeout_ms);
		if (n == -1 && errno != EINTR)
			return true; /* the read says what is wrong */
	}
	return n > 0 && (both[1].revents & POLLERR) == 0;
}

static int
copy_records(struct cli *cli, int fd, bool follow, bool *ret_any)
{
	struct logs_record record;
	static char text[LOGS_TEXT_MAX];
	struct err err = ERR_INIT;
	struct buffer out;
	int rc = EXIT_PASSED;
	int got = 0;

	buffer_init(&out, LINE_BYTES_MAX);
	while (rc == EXIT_PASSED) {
		int64_t left_ms = cli->deadline_ms - clock_ms();
		int timeout_ms = follow ? -1 : (int)MAX(left_ms, (int64_t)0);

		if (follow && !next_comes(cli, fd))
			break;
		got = logs_next(fd, &record, text, timeout_ms, &err);
		if (got <= 0)
			break;
		buffer_clear(&out);
		if (cli_wants(cli, "json"))
			write_json(&record, text, &out);
		else
			write_text(&record, text, &out);
		*ret_any = true;
		rc = cli_print(cli, out.data, out.len);
	}
	buffer_fini(&out);
	if (rc == EXIT_PASSED && got == -1)
		return cli_fail(cli,
		    err.kind == ERR_TIMEOUT ? EXIT_DEADLINE : EXIT_UNREACHABLE,
		    "%s", err.text);
	return rc;
}

static int
print_logs(struct cli *cli, struct control_client *client,
    const struct logs_request *request)
{
	bool follow = (request->flags & LOGS_FOLLOW) != 0;
	bool named = request->worker[0] != '\0';
	struct err err = ERR_INIT;
	bool any = false;
	int rc = EXIT_PASSED;

	if (follow && named) /* nothing would come, for ever */
		rc = control_meant(
		    cli, client, request->worker, request->replica);
	if (rc != EXIT_PASSED)
		return rc;
	int fd =
	    logs_connect(&client->logs, client->logs_len, request, 5000, &err);

	if (fd == -1)
		return cli_fail(cli, EXIT_UNREACHABLE,
		    "the logger does not answer (with `logs: {format: none}` "
		    "there is none): %s",
		    err.text);
	rc = copy_records(cli, fd, follow, &any);
	(void)close(fd);
	/* one that is no longer there has lines all the same */
	if (rc == EXIT_PASSED && named && !any)
		rc = control_meant(
		    cli, client, request->worker, request->replica);
	return rc;
}

int
cmd_logs(struct cli *cli, int argc, char **argv)
{
	struct control_client client = {.init = WIRE_CLIENT_INIT};
	struct err err = ERR_INIT;
	const char *name = "";
	int64_t tail = 0;
	int64_t since_ms = 0;
	struct logs_request request = {
	    .magic = LOGS_MAGIC,
	    .flags = cli_flag(cli, "follow") ? LOGS_FOLLOW : 0,
	    .replica = WIRE_ALL_REPLICAS,
	};

	if (cli_number(cli, "tail", 0, INT32_MAX, TAIL_DEFAULT, &tail) == -1)
		return EXIT_USAGE;
	request.tail = (uint32_t)tail;
	if (cli_duration(cli, "since", -1, &since_ms) == -1)
		return EXIT_USAGE;
	if (since_ms >= 0)
		request.since_ms = clock_wall_ms() - since_ms;
	if (cli_flag(cli, "previous"))
		request.flags |= LOGS_PREVIOUS;
	if (argc > 0) {
		int rc = control_target(cli, argv[0], &name, &request.replica);
		if (rc != EXIT_PASSED)
			return rc;
	}
	if (text_copy(request.worker, sizeof(request.worker), name, &err) == -1)
		return cli_usage(cli, "%s", err.text);
	int rc = control_open(cli, &client);

	if (rc != EXIT_PASSED)
		return rc;
	rc = print_logs(cli, &client, &request);
	control_close(&client);
	return rc;
}
