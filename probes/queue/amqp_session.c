/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/queue/amqp_channel.h"

enum {
	AMQP_TCP_PORT = 5672,
	AMQP_TLS_PORT = 5671,
	FRAME_BYTES_MAX = 131072,
	SESSION_BYTES_MAX = 1 << 16,
	PERSISTENT = 2
};
static const char CANARY_MS[] = "60000";

static struct timeval
left_of(int64_t deadline_ms)
{
	int64_t left_ms = MAX(deadline_ms - clock_ms(), 1);

	return (struct timeval){
	    .tv_sec = left_ms / 1000, .tv_usec = left_ms % 1000 * 1000};
}

/* --- what the server says no with ------------------------------------------
 */

static enum cause
cause_of_code(int code)
{
	switch (code) {
	case AMQP_NOT_FOUND:
		return CAUSE_NOT_FOUND;
	case AMQP_ACCESS_REFUSED:
		return CAUSE_PERMISSION;
	case AMQP_NOT_ALLOWED:
		return CAUSE_WRONG_DATABASE;
	case AMQP_RESOURCE_LOCKED:
	case AMQP_PRECONDITION_FAILED:
		return CAUSE_MISMATCH;
	default:
		return CAUSE_UNAVAILABLE;
	}
}

/* The server's own words of a reply that is none. */
static int
refused(const amqp_rpc_reply_t *reply, struct amqp_trouble *trouble,
    struct err *err)
{
	amqp_bytes_t text = amqp_empty_bytes;
	int code = 0;

	trouble->code[0] = '\0';
	if (reply->reply_type != AMQP_RESPONSE_SERVER_EXCEPTION) {
		bool late = reply->library_error == AMQP_STATUS_TIMEOUT;

		trouble->cause = late ? CAUSE_SILENT : CAUSE_UNAVAILABLE;
		return err_set(err, late ? ERR_TIMEOUT : ERR_SYSTEM, "%s",
		    amqp_error_string2(reply->library_error));
	}
	if (reply->reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
		const amqp_channel_close_t *close = reply->reply.decoded;

		code = close->reply_code;
		text = close->reply_text;
	} else if (reply->reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
		const amqp_connection_close_t *close = reply->reply.decoded;

		code = close->reply_code;
		text = close->reply_text;
	}
	trouble->cause = cause_of_code(code);
	(void)snprintf(trouble->code, sizeof(trouble->code), "%d", code);
	return err_set(err, ERR_REFUSED, "%.*s", (int)MIN(text.len, 300),
	    (const char *)text.bytes);
}

/* --- opening ---------------------------------------------------------------
 */

static int
connect_plain(
    struct amqp_session *amqp, const struct url *url, struct ladder *ladder)
{
	const struct endpoint endpoint = {.host = url->host,
	    .port = url->port == -1 ? AMQP_TCP_PORT : url->port};
	struct stream *stream = NULL;

	/* our own rungs of the ladder; the library takes the socket over */
	if (stream_open(&endpoint, ladder, &stream) == -1)
		return -1;
	int fd = fcntl(stream_fd(stream), F_DUPFD_CLOEXEC, 0);
	amqp_socket_t *socket = amqp_tcp_socket_new(amqp->state);

	(void)snprintf(
	    amqp->address, sizeof(amqp->address), "%s", stream_address(stream));
	stream_close(stream);
	if (fd == -1 || socket == NULL) {
		if (fd != -1)
			(void)close(fd);
		return ladder_unknown(
		    ladder, CAUSE_INTERNAL, "", "no socket left");
	}
	amqp_tcp_socket_set_sockfd(socket, fd);
	return 0;
}

/* The library goes all the way to the handshake in one call. */
static int
tls_failed(int status, const char *ca, struct ladder *ladder)
{
	const char *why = amqp_error_string2(status);

	switch (status) {
	case AMQP_STATUS_TIMEOUT:
		return ladder_unknown(ladder, CAUSE_UNREACHABLE, "",
		    "no answer to a connection attempt");
	case AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED:
		return ladder_fail(ladder, CAUSE_DNS, "", "%s", why);
	case AMQP_STATUS_SOCKET_ERROR:
		return ladder_fail(ladder, CAUSE_REFUSED, "", "%s", why);
	case AMQP_STATUS_SSL_PEER_VERIFY_FAILED:
		return ladder_fail(ladder, CAUSE_TLS, "",
		    "the server's certificate is of no authority in '%s'", ca);
	case AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED:
		return ladder_fail(ladder, CAUSE_TLS, "",
		    "the server's certificate is of another hostname");
	default:
		return ladder_fail(ladder, CAUSE_TLS, "", "%s", why);
	}
}

static int
connect_tls(
    struct amqp_session *amqp, const struct url *url, struct ladder *ladder)
{
	const char *ca = url_query(url, "tls.ca");
	int port = url->port == -1 ? AMQP_TLS_PORT : url->port;
	struct timeval left = left_of(ladder->deadline_ms);

	ladder_begin(ladder, STEP_TLS, url->host);
	amqp_socket_t *socket = amqp_ssl_socket_new(amqp->state);

	if (socket == NULL)
		return ladder_unknown(
		    ladder, CAUSE_INTERNAL, "", "no socket left");
	amqp_ssl_socket_set_verify_peer(socket, 1);
	amqp_ssl_socket_set_verify_hostname(socket, 1);
	if (ca == NULL)
		ca = "/etc/ssl/certs/ca-certificates.crt";
	if (amqp_ssl_socket_set_cacert(socket, ca) != AMQP_STATUS_OK)
		return ladder_fail(ladder, CAUSE_TLS, "",
		    "'%s' can't be read as certificates of authorities", ca);
	int status = amqp_socket_open_noblock(socket, url->host, port, &left);

	if (status != AMQP_STATUS_OK)
		return tls_failed(status, ca, ladder);
	(void)snprintf(
	    amqp->address, sizeof(amqp->address), "%s:%d", url->host, port);
	ladder_pass(ladder, "certificate good");
	return 0;
}

static int
login_failed(const amqp_rpc_reply_t *reply, struct ladder *ladder)
{
	struct amqp_trouble trouble = {0};
	struct err err = ERR_INIT;

	(void)refused(reply, &trouble, &err);
	if (trouble.cause == CAUSE_PERMISSION)
		return ladder_fail(
		    ladder, CAUSE_AUTH, trouble.code, "%s", err.text);
	if (reply->reply_type == AMQP_RESPONSE_SERVER_EXCEPTION)
		return ladder_fail(
		    ladder, trouble.cause, trouble.code, "%s", err.text);
	if (trouble.cause == CAUSE_SILENT)
		return ladder_unknown(ladder, CAUSE_SILENT, "",
		    "connected, but no AMQP server answers there");
	if (reply->library_error == AMQP_STATUS_BAD_AMQP_DATA ||
	    reply->library_error == AMQP_STATUS_INCOMPATIBLE_AMQP_VERSION)
		return ladder_fail(ladder, CAUSE_WRONG_TYPE, "",
		    "what answers there does not speak AMQP 0-9-1");
	return ladder_fail(ladder, CAUSE_UNAVAILABLE, "closed", "%s", err.text);
}

static int
log_in(struct amqp_session *amqp, const struct url *url, struct ladder *ladder)
{
	struct timeval left = left_of(ladder->deadline_ms);

	ladder_begin(ladder, STEP_AUTH, url->user != NULL ? url->user : "");
	(void)amqp_set_handshake_timeout(amqp->state, &left);
	(void)amqp_set_rpc_timeout(amqp->state, &left);
	amqp_rpc_reply_t reply =
	    amqp_login(amqp->state, amqp->vhost, 0, FRAME_BYTES_MAX, 0,
	        AMQP_SASL_METHOD_PLAIN, url->user != NULL ? url->user : "guest",
	        url->password != NULL ? url->password : "guest");

	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
		return login_failed(&reply, ladder);
	ladder_pass(ladder, "vhost %s", amqp->vhost);
	return 0;
}

const char *
amqp_vhost_of(const struct url *url)
{
	return url->path[0] != '\0' && url->path[1] != '\0' ? url->path + 1
	                                                    : "/";
}

int
amqp_session_open(
    const char *text, struct ladder *ladder, struct amqp_session **ret)
{
	struct amqp_session *amqp = calloc(1, sizeof(*amqp));
	struct err err = ERR_INIT;
	struct url url;

	if (amqp == NULL || (amqp->state = amqp_new_connection()) == NULL) {
		free(amqp);
		return ladder_unknown(
		    ladder, CAUSE_INTERNAL, "", "out of memory");
	}
	arena_init(&amqp->arena, SESSION_BYTES_MAX);
	buffer_init(&amqp->body, AMQP_BODY_MAX);
	if (url_parse(&amqp->arena, text, &url, &err) == -1) {
		(void)ladder_fail(ladder, CAUSE_URL, "", "%s", err.text);
		amqp_session_close(amqp);
		return -1;
	}
	amqp->vhost = amqp_vhost_of(&url);
	int rc = text_equal(url.scheme, "amqps")
	             ? connect_tls(amqp, &url, ladder)
	             : connect_plain(amqp, &url, ladder);

	if (rc == -1 || log_in(amqp, &url, ladder) == -1) {
		amqp_session_close(amqp);
		return -1;
	}
	*ret = amqp;
	return 0;
}

void
amqp_session_close(struct amqp_session *amqp)
{
	/* the server needs no farewell, and would be waited for */
	(void)amqp_destroy_connection(amqp->state);
	buffer_fini(&amqp->body);
	arena_wipe(&amqp->arena);
	arena_fini(&amqp->arena);
	free(amqp);
}

const char *
amqp_session_address(const struct amqp_session *amqp)
{
	return amqp->address;
}

const char *
amqp_session_vhost(const struct amqp_session *amqp)
{
	return amqp->vhost;
}

void
amqp_session_deadline(struct amqp_session *amqp, int64_t deadline_ms)
{
	struct timeval left = left_of(deadline_ms);

	amqp->deadline_ms = deadline_ms;
	(void)amqp_set_rpc_timeout(amqp->state, &left);
}

/* --- channels --------------------------------------------------------------
 */

static struct timeval
amqp_time_left(const struct amqp_session *amqp)
{
	return left_of(amqp->deadline_ms);
}

/* The next call takes another channel. */
int
amqp_checked(
    struct amqp_session *amqp, struct amqp_trouble *trouble, struct err *err)
{
	amqp_rpc_reply_t reply = amqp_get_rpc_reply(amqp->state);

	if (reply.reply_type == AMQP_RESPONSE_NORMAL)
		return 0;
	int rc = refused(&reply, trouble, err);

	if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
	    reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
		amqp_channel_close_ok_t ok = {0};

		(void)amqp_send_method(amqp->state, amqp->channel,
		    AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
		amqp->channel_open = false;
		amqp->confirms = false;
	}
	return rc;
}

int
amqp_channel(
    struct amqp_session *amqp, struct amqp_trouble *trouble, struct err *err)
{
	amqp_maybe_release_buffers(amqp->state);
	if (amqp->channel_open)
		return 0;
	/* two in turn: the one that was closed may be used again */
	amqp->channel = amqp->channel == 1 ? 2 : 1;
	(void)amqp_channel_open(amqp->state, amqp->channel);
	if (amqp_checked(amqp, trouble, err) == -1)
		return -1;
	amqp->channel_open = true;
	return 0;
}

int
amqp_session_depth(struct amqp_session *amqp, const char *queue,
    struct amqp_depth *ret, struct amqp_trouble *trouble, struct err *err)
{
	if (amqp_channel(amqp, trouble, err) == -1)
		return -1;
	const amqp_queue_declare_ok_t *ok =
	    amqp_queue_declare(amqp->state, amqp->channel,
	        amqp_cstring_bytes(queue), 1, 0, 0, 0, amqp_empty_table);

	if (ok == NULL)
		return amqp_checked(amqp, trouble, err) == -1
		           ? -1
		           : err_set(err, ERR_SYSTEM, "no answer");
	*ret = (struct amqp_depth){
	    .ready = ok->message_count, .consumers = ok->consumer_count};
	return 0;
}

int
amqp_session_exchange(struct amqp_session *amqp, const char *exchange,
    struct amqp_trouble *trouble, struct err *err)
{
	if (amqp_channel(amqp, trouble, err) == -1)
		return -1;
	(void)amqp_exchange_declare(amqp->state, amqp->channel,
	    amqp_cstring_bytes(exchange), amqp_cstring_bytes("direct"), 1, 0, 0,
	    0, amqp_empty_table);
	return amqp_checked(amqp, trouble, err);
}

/* --- publishing ------------------------------------------------------------
 */

int
amqp_next_frame(struct amqp_session *amqp, amqp_frame_t *ret,
    struct amqp_trouble *trouble, struct err *err)
{
	struct timeval left = amqp_time_left(amqp);
	int status = amqp_simple_wait_frame_noblock(amqp->state, ret, &left);

	if (status != AMQP_STATUS_OK) {
		bool late = status == AMQP_STATUS_TIMEOUT;

		trouble->cause = late ? CAUSE_SILENT : CAUSE_UNAVAILABLE;
		return err_set(err, late ? ERR_TIMEOUT : ERR_SYSTEM, "%s",
		    amqp_error_string2(status));
	}
	if (ret->frame_type != AMQP_FRAME_METHOD ||
	    (ret->payload.method.id != AMQP_CHANNEL_CLOSE_METHOD &&
	        ret->payload.method.id != AMQP_CONNECTION_CLOSE_METHOD))
		return 0;
	const amqp_rpc_reply_t reply = {
	    .reply_type = AMQP_RESPONSE_SERVER_EXCEPTION,
	    .reply = ret->payload.method};

	amqp->channel_open = false;
	amqp->confirms = false;
	return refused(&reply, trouble, err);
}

/* Until it is confirmed: what can't be routed comes back before that. */
static int
await_confirm(struct amqp_session *amqp, bool *ret_returned,
    struct amqp_trouble *trouble, struct err *err)
{
	for (;;) {
		amqp_frame_t frame;

		if (amqp_next_frame(amqp, &frame, trouble, err) == -1)
			return err_wrap(err,
			    trouble->cause == CAUSE_SILENT
			        ? "not confirmed (an alarm of memory or disk "
			          "stops publishers)"
			        : "not confirmed");
		if (frame.frame_type != AMQP_FRAME_METHOD)
			continue; /* of the message that comes back */
		switch (frame.payload.method.id) {
		case AMQP_BASIC_ACK_METHOD:
			return 0;
		case AMQP_BASIC_RETURN_METHOD:
			*ret_returned = true;
			break;
		case AMQP_BASIC_NACK_METHOD:
			trouble->cause = CAUSE_MISMATCH;
			(void)snprintf(
			    trouble->code, sizeof(trouble->code), "nack");
			return err_set(err, ERR_REFUSED,
			    "the queue took it not: it is full, or its node "
			    "failed");
		default:
			break;
		}
	}
}

int
amqp_confirmed_publish(struct amqp_session *amqp, const char *queue,
    const amqp_basic_properties_t *properties, const struct buffer *body,
    struct amqp_trouble *trouble, struct err *err)
{
	/* the library's type has no const */
	const amqp_bytes_t bytes = {.len = body->len, .bytes = body->data};
	bool returned = false;

	if (!amqp->confirms) {
		(void)amqp_confirm_select(amqp->state, amqp->channel);
		if (amqp_checked(amqp, trouble, err) == -1)
			return -1;
		amqp->confirms = true;
	}
	int status =
	    amqp_basic_publish(amqp->state, amqp->channel, amqp_empty_bytes,
	        amqp_cstring_bytes(queue), 1, 0, properties, bytes);

	if (status != AMQP_STATUS_OK) {
		trouble->cause = CAUSE_UNAVAILABLE;
		return err_set(
		    err, ERR_SYSTEM, "%s", amqp_error_string2(status));
	}
	if (await_confirm(amqp, &returned, trouble, err) == -1)
		return -1;
	if (!returned)
		return 0;
	trouble->cause = CAUSE_NOT_FOUND;
	(void)snprintf(trouble->code, sizeof(trouble->code), "312");
	return err_set(err, ERR_REFUSED,
	    "NO_ROUTE: no queue '%s' in vhost '%s' took it", queue,
	    amqp->vhost);
}

int
amqp_session_publish(struct amqp_session *amqp, const char *queue,
    const struct queue_submission *job, bool expires,
    struct amqp_trouble *trouble, struct err *err)
{
	amqp_basic_properties_t properties = {
	    ._flags =
	        AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG,
	    .delivery_mode = PERSISTENT,
	    .message_id = amqp_cstring_bytes(job->canary)};

	if (expires) {
		properties._flags |= AMQP_BASIC_EXPIRATION_FLAG;
		properties.expiration = amqp_cstring_bytes(CANARY_MS);
	}
	if (amqp_channel(amqp, trouble, err) == -1)
		return -1;
	buffer_clear(&amqp->body);
	buffer_append(&amqp->body, job->payload, job->len);
	if (amqp->body.overflow)
		return err_set(err, ERR_CAPACITY, "the message is too long");
	return amqp_confirmed_publish(
	    amqp, queue, &properties, &amqp->body, trouble, err);
}
