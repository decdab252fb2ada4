/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "base/url.h"
#include "probes/queue/beanstalk.h"
#include "probes/stream.h"

/* One connection to a beanstalkd: lines out, lines and bodies in. */

enum {
	BEANSTALK_PORT = 11300,
	LINE_MAX_BYTES = 256,
	READ_BYTES = 16 << 10,
	WIRE_MAX = 4 << 20 /* of all commands that go out together */
};

struct beanstalk_session {
	struct stream *stream;
	char bytes[READ_BYTES]; /* read, and not yet taken: [at, end) */
	size_t at, end;
	bool broken;
};

int
beanstalk_session_open(
    const char *url, struct ladder *ladder, struct beanstalk_session **ret)
{
	struct beanstalk_session *session = NULL;
	struct url parsed;
	struct err err = ERR_INIT;

	if (url_parse(ladder->arena, url, &parsed, &err) == 0 &&
	    (parsed.user != NULL || parsed.path[0] != '\0'))
		(void)err_set(&err, ERR_INPUT,
		    "a URL of beanstalkd has neither user nor path: it knows "
		    "no logins and no databases");
	if (err.kind != ERR_NONE) {
		ladder_begin(ladder, STEP_DNS, "");
		return ladder_fail(ladder, CAUSE_URL, "", "%s", err.text);
	}
	const struct endpoint endpoint = {.host = parsed.host,
	    .port = parsed.port == -1 ? BEANSTALK_PORT : parsed.port};

	session = calloc(1, sizeof(*session));
	if (session == NULL)
		return ladder_unknown(
		    ladder, CAUSE_INTERNAL, "", "out of memory");
	if (stream_open(&endpoint, ladder, &session->stream) == -1) {
		free(session);
		return -1;
	}
	*ret = session;
	return 0;
}

void
beanstalk_session_close(struct beanstalk_session *session)
{
	if (session == NULL)
		return;
	stream_close(session->stream);
	free(session);
}

const char *
beanstalk_session_address(const struct beanstalk_session *session)
{
	return stream_address(session->stream);
}

/* --- reading -------------------------------------------------------------- */

/* More bytes, when all were taken. */
static int
fill(struct beanstalk_session *session, int64_t deadline_ms, struct err *err)
{
	if (session->at < session->end)
		return 0;
	ssize_t n = stream_read(session->stream, session->bytes,
	    sizeof(session->bytes), deadline_ms, err);

	if (n == 0)
		return err_set(
		    err, ERR_SYSTEM, "the server closed the connection");
	if (n < 0)
		return -1;
	session->at = 0;
	session->end = (size_t)n;
	return 0;
}

static int
read_line(struct beanstalk_session *session, int64_t deadline_ms,
    char line[LINE_MAX_BYTES], struct err *err)
{
	size_t len = 0;

	for (;;) {
		if (fill(session, deadline_ms, err) == -1)
			return -1;
		char c = session->bytes[session->at++];

		if (c == '\n' && len > 0 && line[len - 1] == '\r') {
			line[len - 1] = '\0';
			return 0;
		}
		if (c == '\0' || len == LINE_MAX_BYTES - 1)
			return err_set(err, ERR_INPUT,
			    "the server doesn't speak beanstalkd's protocol");
		line[len++] = c;
	}
}

/* All of it, of which the first bytes are kept. */
static int
read_body(struct beanstalk_session *session, int64_t deadline_ms,
    struct arena *arena, struct beanstalk_answer *ret, struct err *err)
{
	size_t whole = (size_t)ret->line.body;
	size_t kept = MIN(whole, (size_t)BEANSTALK_ANSWER_MAX);
	char *body = arena_alloc(arena, kept + 1);
	char end[2] = "";

	for (size_t at = 0; at < whole + sizeof(end);) {
		if (fill(session, deadline_ms, err) == -1)
			return -1;
		size_t n =
		    MIN(session->end - session->at, whole + sizeof(end) - at);

		for (size_t i = 0; i < n; i++, at++) {
			char c = session->bytes[session->at++];

			if (at < kept)
				body[at] = c;
			else if (at >= whole)
				end[at - whole] = c;
		}
	}
	if (end[0] != '\r' || end[1] != '\n')
		return err_set(
		    err, ERR_INPUT, "an answer is longer than the server said");
	ret->body = body;
	ret->len = kept;
	ret->whole = whole;
	return 0;
}

static int
read_answer(struct beanstalk_session *session, int64_t deadline_ms,
    struct arena *arena, struct beanstalk_answer *ret, struct err *err)
{
	char line[LINE_MAX_BYTES];

	*ret = (struct beanstalk_answer){.body = NULL};
	if (read_line(session, deadline_ms, line, err) == -1 ||
	    beanstalk_line_of(line, &ret->line, err) == -1)
		return -1;
	ret->absent = text_equal(ret->line.word, "NOT_FOUND");
	return ret->line.has_body
	           ? read_body(session, deadline_ms, arena, ret, err)
	           : 0;
}

/* --- asking --------------------------------------------------------------- */

static int
send_all(struct beanstalk_session *session, int64_t deadline_ms,
    const struct beanstalk_command *commands, size_t count, struct err *err)
{
	struct buffer wire;
	int rc = 0;

	buffer_init(&wire, WIRE_MAX);
	for (size_t i = 0; i < count; i++) {
		buffer_format(&wire, "%s\r\n", commands[i].line);
		if (commands[i].body != NULL) {
			buffer_append(&wire, commands[i].body, commands[i].len);
			buffer_text(&wire, "\r\n");
		}
	}
	rc = wire.overflow
	         ? err_set(err, ERR_CAPACITY, "the commands are too long")
	         : stream_write(
	               session->stream, wire.data, wire.len, deadline_ms, err);
	buffer_wipe(&wire);
	return rc;
}

int
beanstalk_ask(struct queue *queue, const struct beanstalk_command *commands,
    size_t count, struct arena *arena, struct beanstalk_answer *ret,
    struct err *err)
{
	const struct beanstalk_queue *beanstalk = queue->state;
	struct beanstalk_session *session = beanstalk->session;
	struct err why = ERR_INIT;
	int rc = 0;

	if (session->broken)
		return queue_trouble(queue, CAUSE_UNAVAILABLE, "", err,
		    ERR_SYSTEM, "the connection was lost");
	rc = send_all(session, queue->deadline_ms, commands, count, &why);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = read_answer(
		    session, queue->deadline_ms, arena, &ret[i], &why);
	if (rc == 0)
		return 0;
	session->broken = true;
	return queue_trouble(queue,
	    why.kind == ERR_TIMEOUT ? CAUSE_SILENT
	    : why.kind == ERR_INPUT ? CAUSE_WRONG_TYPE
	                            : CAUSE_UNAVAILABLE,
	    "", err, why.kind, "%s", why.text);
}
