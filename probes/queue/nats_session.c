/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <nats/nats.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/queue/nats.h"
#include "probes/stream.h"

enum {
	NATS_PORT = 4222,
	INFO_MAX = 32 << 10, /* a cluster's list of servers is in it */
	SLICE_MS = 50,       /* a refusal is noticed within it */
	SESSION_BYTES_MAX = 1 << 20,
	DENIED_SIZE = 256,
	SUBJECT_SIZE = 512
};

/* Written by libnats' thread, read by ours; the last of the two frees it. */
struct async_error {
	pthread_mutex_t lock;
	int holders;
	bool denied;
	char text[DENIED_SIZE];
};

struct nats_session {
	natsConnection *connection;
	natsSubscription *inbox;
	natsMsg *answer; /* of the last request */
	char *prefix;    /* of the inbox's subjects */
	int64_t asked;   /* how many requests */
	struct async_error *async;
	struct arena arena;
	struct nats_server server;
	char address[STREAM_ADDRESS_SIZE];
};

static void
on_error(natsConnection *connection, natsSubscription *subscription,
    natsStatus status, void *closure)
{
	struct async_error *async = closure;
	const char *text = NULL;

	(void)subscription;
	if (status != NATS_NOT_PERMITTED)
		return;
	(void)pthread_mutex_lock(&async->lock);
	if (natsConnection_GetLastError(connection, &text) != NATS_OK &&
	    text == NULL)
		text = "";
	(void)snprintf(async->text, sizeof(async->text), "%s",
	    text != NULL && text[0] != '\0' ? text : "Permissions Violation");
	async->denied = true;
	(void)pthread_mutex_unlock(&async->lock);
}

static void
let_go(struct async_error *async)
{
	(void)pthread_mutex_lock(&async->lock);
	int left = --async->holders;

	(void)pthread_mutex_unlock(&async->lock);
	if (left > 0)
		return;
	(void)pthread_mutex_destroy(&async->lock);
	free(async);
}

/* The last callback of a connection. */
static void
on_closed(natsConnection *connection, void *closure)
{
	(void)connection;
	let_go(closure);
}

/* Takes what came meanwhile. */
static bool
was_denied(struct async_error *async, char text[DENIED_SIZE])
{
	(void)pthread_mutex_lock(&async->lock);
	bool denied = async->denied;

	async->denied = false;
	memcpy(text, async->text, DENIED_SIZE);
	(void)pthread_mutex_unlock(&async->lock);
	return denied;
}

/* --- before the login ------------------------------------------------------
 */

/* "INFO {…}\r\n" is the first thing that a NATS server says. */
static int
read_info(struct stream *stream, struct ladder *ladder, struct buffer *line)
{
	struct err err = ERR_INIT;
	char bytes[4096];

	while (line->len == 0 || memchr(line->data, '\n', line->len) == NULL) {
		ssize_t got = stream_read(
		    stream, bytes, sizeof(bytes), ladder->deadline_ms, &err);

		if (got == -1 && err.kind == ERR_TIMEOUT)
			return ladder_unknown(ladder, CAUSE_SILENT, "",
			    "connected, but no NATS server greets there");
		if (got <= 0)
			return ladder_fail(ladder, CAUSE_UNAVAILABLE, "closed",
			    "the connection was closed before a greeting");
		buffer_append(line, bytes, (size_t)got);
		if (line->overflow ||
		    strncmp(line->data, "INFO ", MIN(line->len, 5)) != 0)
			return ladder_fail(ladder, CAUSE_WRONG_TYPE, "",
			    "what answers there is no NATS server");
	}
	return 0;
}

static int
parse_info(
    struct nats_session *nats, struct ladder *ladder, const struct buffer *line)
{
	struct err err = ERR_INIT;
	const char *json_text_at = line->data + strlen("INFO ");
	const char *end = memchr(line->data, '\n', line->len);
	char *text = arena_bytes(
	    &nats->arena, json_text_at, (size_t)(end - json_text_at));
	CLEANUP(json_free) cJSON *json = json_read(text, strlen(text), &err);
	const char *id = NULL;
	const char *version = NULL;

	if (json == NULL || json_text(json, "server_id", "", &id, &err) == -1 ||
	    json_text(json, "version", "", &version, &err) == -1 ||
	    json_i64(json, "max_payload", -1, &nats->server.max_payload,
	        &err) == -1 ||
	    json_bool(json, "jetstream", false, &nats->server.jetstream,
	        &err) == -1 ||
	    json_bool(json, "tls_required", false, &nats->server.tls, &err) ==
	        -1)
		return ladder_fail(ladder, CAUSE_WRONG_TYPE, "",
		    "the server's greeting can't be read: %s", err.text);
	nats->server.id = arena_text(&nats->arena, id);
	nats->server.version = arena_text(&nats->arena, version);
	return 0;
}

/* A connection of its own, so that each rung of the ladder has its own word:
 * libnats says "no server available" for all of them. */
static int
greet(struct nats_session *nats, const struct url *url, struct ladder *ladder)
{
	const struct endpoint endpoint = {
	    .host = url->host, .port = url->port == -1 ? NATS_PORT : url->port};
	struct stream *stream = NULL;
	struct buffer line;

	if (stream_open(&endpoint, ladder, &stream) == -1)
		return -1;
	buffer_init(&line, INFO_MAX);
	ladder_begin(ladder, STEP_PROTOCOL, "INFO");
	int rc = read_info(stream, ladder, &line);

	if (rc == 0)
		rc = parse_info(nats, ladder, &line);
	if (rc == 0) {
		ladder_pass(ladder, "nats-server %s", nats->server.version);
		(void)snprintf(nats->address, sizeof(nats->address), "%s",
		    stream_address(stream));
	}
	stream_close(stream);
	buffer_fini(&line);
	return rc;
}

/* --- the login -------------------------------------------------------------
 */

static natsStatus
set_login(natsOptions *options, const struct url *url, const char *creds)
{
	if (creds != NULL)
		return natsOptions_SetUserCredentialsFromFiles(
		    options, creds, NULL);
	if (url->user != NULL && url->password != NULL)
		return natsOptions_SetUserInfo(
		    options, url->user, url->password);
	if (url->user != NULL) /* alone it is a token */
		return natsOptions_SetToken(options, url->user);
	return NATS_OK;
}

static natsStatus
set_options(struct nats_session *nats, natsOptions *options,
    const struct url *url, const char *creds, int64_t left_ms)
{
	const char *ca = url_query(url, "tls.ca");
	bool v6 = strchr(url->host, ':') != NULL;
	/* the login goes in by itself: libnats would show it in its errors */
	const char *plain = arena_format(&nats->arena, "nats://%s%s%s:%d",
	    v6 ? "[" : "", url->host, v6 ? "]" : "",
	    url->port == -1 ? NATS_PORT : url->port);
	natsStatus s = natsOptions_SetURL(options, plain);

	if (s == NATS_OK)
		s = set_login(options, url, creds);
	if (s == NATS_OK && (text_equal(url->scheme, "tls") || ca != NULL)) {
		s = natsOptions_SetSecure(options, true);
		if (s == NATS_OK && ca != NULL)
			s = natsOptions_LoadCATrustedCertificates(options, ca);
		if (s == NATS_OK)
			s = natsOptions_SetExpectedHostname(options, url->host);
	}
	if (s == NATS_OK)
		s = natsOptions_SetName(options, "reeve-probe");
	if (s == NATS_OK)
		s = natsOptions_SetTimeout(options, left_ms);
	if (s == NATS_OK)
		s = natsOptions_SetAllowReconnect(options, false);
	if (s == NATS_OK)
		s = natsOptions_SetIgnoreDiscoveredServers(options, true);
	if (s == NATS_OK)
		s = natsOptions_SetErrorHandler(options, on_error, nats->async);
	if (s == NATS_OK)
		s = natsOptions_SetClosedCB(options, on_closed, nats->async);
	return s;
}

static int
login_failed(
    const struct nats_session *nats, natsStatus status, struct ladder *ladder)
{
	natsStatus last = NATS_OK;
	const char *why = nats_GetLastError(&last);

	if (why == NULL || why[0] == '\0')
		why = natsStatus_GetText(status);
	switch ((int)status) {
	case NATS_CONNECTION_AUTH_FAILED:
	case NATS_NOT_PERMITTED:
		return ladder_fail(ladder, CAUSE_AUTH, "", "%s", why);
	case NATS_SECURE_CONNECTION_REQUIRED:
	case NATS_SECURE_CONNECTION_WANTED:
	case NATS_SSL_ERROR:
		return ladder_fail(ladder, CAUSE_TLS, "", "%s%s", why,
		    nats->server.tls ? " (the server requires TLS)" : "");
	case NATS_TIMEOUT:
		return ladder_unknown(ladder, CAUSE_SILENT, "",
		    "the login was not answered in time");
	default:
		return ladder_fail(ladder, CAUSE_UNAVAILABLE, "", "%s", why);
	}
}

static int
log_in(struct nats_session *nats, const struct url *url, const char *creds,
    struct ladder *ladder)
{
	natsOptions *options = NULL;
	natsInbox *inbox = NULL;
	int64_t left_ms = MAX(ladder->deadline_ms - clock_ms(), 1);

	ladder_begin(ladder, STEP_AUTH, url->user != NULL ? url->user : "");
	natsStatus s = natsOptions_Create(&options);

	if (s == NATS_OK)
		s = set_options(nats, options, url, creds, left_ms);
	if (s == NATS_OK)
		s = natsConnection_Connect(&nats->connection, options);
	if (s == NATS_OK)
		nats->async->holders++; /* until it is closed */
	natsOptions_Destroy(options);
	if (s == NATS_OK)
		s = natsInbox_Create(&inbox);
	if (s == NATS_OK) {
		nats->prefix = arena_text(&nats->arena, inbox);
		s = natsConnection_SubscribeSync(&nats->inbox, nats->connection,
		    arena_format(&nats->arena, "%s.*", inbox));
	}
	natsInbox_Destroy(inbox);
	if (s != NATS_OK)
		return login_failed(nats, s, ladder);
	ladder_pass(ladder, "logged in");
	return 0;
}

int
nats_session_open(const char *text, const char *creds, struct ladder *ladder,
    struct nats_session **ret)
{
	struct nats_session *nats = calloc(1, sizeof(*nats));
	struct async_error *async = calloc(1, sizeof(*async));
	struct err err = ERR_INIT;
	struct url url;

	if (nats == NULL || async == NULL ||
	    pthread_mutex_init(&async->lock, NULL) != 0) {
		free(nats);
		free(async);
		return ladder_unknown(
		    ladder, CAUSE_INTERNAL, "", "out of memory");
	}
	async->holders = 1;
	nats->async = async;
	arena_init(&nats->arena, SESSION_BYTES_MAX);
	if (url_parse(&nats->arena, text, &url, &err) == -1)
		(void)ladder_fail(ladder, CAUSE_URL, "", "%s", err.text);
	else if (greet(nats, &url, ladder) == 0 &&
	         log_in(nats, &url, creds, ladder) == 0) {
		*ret = nats;
		return 0;
	}
	nats_session_close(nats);
	return -1;
}

void
nats_session_close(struct nats_session *nats)
{
	natsMsg_Destroy(nats->answer);
	natsSubscription_Destroy(nats->inbox);
	if (nats->connection != NULL)
		natsConnection_Close(nats->connection);
	natsConnection_Destroy(nats->connection);
	let_go(nats->async);
	arena_wipe(&nats->arena);
	arena_fini(&nats->arena);
	free(nats);
}

const struct nats_server *
nats_session_server(const struct nats_session *nats)
{
	return &nats->server;
}

const char *
nats_session_address(const struct nats_session *nats)
{
	return nats->address;
}

/* --- requests --------------------------------------------------------------
 */

static int
failed(struct nats_call *call, enum cause cause, const char *code,
    struct err *err, enum err_kind kind, const char *text)
{
	call->cause = cause;
	(void)snprintf(call->code, sizeof(call->code), "%s", code);
	return err_set(err, kind, "%s", text);
}

static natsStatus
publish(
    struct nats_session *nats, const struct nats_send *send, const char *reply)
{
	natsMsg *msg = NULL;
	natsStatus s = natsMsg_Create(
	    &msg, send->subject, reply, send->data, (int)send->len);

	for (const char *const *h = send->headers;
	     s == NATS_OK && h != NULL && *h != NULL; h += 2)
		s = natsMsgHeader_Set(msg, h[0], h[1]);
	if (s == NATS_OK)
		s = natsConnection_PublishMsg(nats->connection, msg);
	natsMsg_Destroy(msg);
	return s;
}

/* The next message that is the answer to `reply`; anything else is what came
 * too late for somebody who gave up. */
static int
await(struct nats_session *nats, const char *reply, struct nats_call *call,
    struct err *err)
{
	char denied[DENIED_SIZE];

	for (;;) {
		int64_t left_ms = call->deadline_ms - clock_ms();

		natsMsg_Destroy(nats->answer);
		nats->answer = NULL;
		natsStatus s = natsSubscription_NextMsg(
		    &nats->answer, nats->inbox, MAX(MIN(left_ms, SLICE_MS), 1));

		if (s == NATS_OK &&
		    text_equal(natsMsg_GetSubject(nats->answer), reply))
			return 0;
		if (s == NATS_NO_RESPONDERS)
			return failed(call, CAUSE_NOT_FOUND, "503", err,
			    ERR_REFUSED,
			    "no responders: nobody takes messages of this "
			    "subject");
		if (was_denied(nats->async, denied))
			return failed(call, CAUSE_PERMISSION, "", err,
			    ERR_REFUSED, denied);
		if (s != NATS_OK && s != NATS_TIMEOUT)
			return failed(call, CAUSE_UNAVAILABLE, "closed", err,
			    ERR_SYSTEM, natsStatus_GetText(s));
		if (left_ms <= 0)
			return failed(call, CAUSE_SILENT, "", err, ERR_TIMEOUT,
			    "no answer in time");
	}
}

int
nats_session_ask(struct nats_session *nats, const struct nats_send *send,
    struct nats_call *call, const char **ret, size_t *ret_len, struct err *err)
{
	char reply[DENIED_SIZE];
	char old[DENIED_SIZE];

	if (text_format(reply, sizeof(reply), err, "%s.%" PRId64, nats->prefix,
	        ++nats->asked) == -1)
		return -1;
	(void)was_denied(nats->async, old); /* of a request before */
	natsStatus s = publish(nats, send, reply);

	if (s != NATS_OK)
		return failed(call,
		    s == NATS_MAX_PAYLOAD ? CAUSE_MISMATCH : CAUSE_UNAVAILABLE,
		    s == NATS_MAX_PAYLOAD ? "max-payload" : "closed", err,
		    s == NATS_MAX_PAYLOAD ? ERR_CAPACITY : ERR_SYSTEM,
		    natsStatus_GetText(s));
	if (await(nats, reply, call, err) == -1)
		return -1;
	*ret = natsMsg_GetData(nats->answer);
	*ret_len = (size_t)natsMsg_GetDataLength(nats->answer);
	return 0;
}

int
nats_api(struct nats_session *nats, const char *subject, const char *json,
    struct nats_call *call, cJSON **ret, struct err *err)
{
	char whole[SUBJECT_SIZE];
	struct nats_send send = {
	    .subject = whole, .data = json, .len = strlen(json)};
	struct buffer copy; /* a NUL behind it, and not for long */
	const char *text = NULL;
	size_t len = 0;

	if (text_format(whole, sizeof(whole), err, "$JS.API.%s", subject) == -1)
		return -1;
	if (nats_session_ask(nats, &send, call, &text, &len, err) == -1) {
		if (text_equal(call->code, "503"))
			return failed(call, CAUSE_NOT_FOUND, "503", err,
			    ERR_REFUSED,
			    nats->server.jetstream
			        ? "JetStream does not answer in this account"
			        : "JetStream is off on this server");
		return -1;
	}
	buffer_init(&copy, NATS_ANSWER_MAX);
	buffer_append(&copy, text, len);
	buffer_append(&copy, "", 1);
	*ret = copy.overflow
	           ? NULL
	           : nats_answer_read(copy.data, len, &call->refusal, err);
	bool overflow = copy.overflow;

	buffer_fini(&copy);
	if (overflow)
		return failed(call, CAUSE_MISMATCH, "", err, ERR_CAPACITY,
		    "the answer of JetStream is too large");
	if (*ret == NULL) {
		call->cause = CAUSE_WRONG_TYPE;
		return err_wrap(err, "the answer of JetStream");
	}
	return 0;
}

int
nats_resolve(struct nats_session *nats, const char *subject,
    struct nats_call *call, struct arena *arena, const char **ret,
    struct err *err)
{
	CLEANUP(json_free) cJSON *answer = NULL;
	struct nats_names names = {0};

	if (nats_api(nats, "STREAM.NAMES",
	        nats_wanted(arena, -1, "subject", subject), call, &answer,
	        err) == -1)
		return -1;
	if (call->refusal.err_code != 0)
		return failed(call, CAUSE_MISMATCH, "", err, ERR_REFUSED,
		    call->refusal.description);
	if (nats_names_of(arena, answer, "streams", &names, err) == -1) {
		call->cause = CAUSE_WRONG_TYPE;
		return -1;
	}
	*ret = names.count > 0 ? names.names[0] : NULL;
	return 0;
}
