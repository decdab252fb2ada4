/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/http.h"

enum {
	IDLE_S = 10,
	MEMORY_MAX = 32 * 1024,
	ANSWER_MAX = 64 << 20,
	WAIT_MS_MAX = 60 * 1000,
	OPTIONS_MAX = 4,
};

static const char JSON[] = "application/json";

/* What `seen` of a request is once its head was seen; else NULL, or the request
 * whose answer comes later. */
static int once;

/* --- one request -------------------------------------------------------- */

const char *
http_argument(const struct http_request *request, const char *key)
{
	return MHD_lookup_connection_value(
	    request->connection, MHD_GET_ARGUMENT_KIND, key);
}

const char *
http_header(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(
	    request->connection, MHD_HEADER_KIND, name);
}

void
http_answer_header(
    struct http_request *request, const char *name, const char *value)
{
	assert(request->nheaders < HTTP_HEADERS_MAX);
	request->headers[request->nheaders].name = name;
	request->headers[request->nheaders++].value = value;
}

int
http_descriptor(const struct http_request *request)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
	    request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info == NULL ? -1 : info->connect_fd;
}

int
http_number(const struct http_request *request, const char *key, int64_t max,
    int64_t *ret, struct err *err)
{
	const char *text = http_argument(request, key);

	if (text == NULL || text_i64(text, 0, max, ret, err) == 0)
		return 0;
	return err_wrap(err, "%s", key);
}

static enum MHD_Result
respond(struct http_request *request)
{
	if (request->out.overflow) {
		buffer_clear(&request->out);
		request->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
	}
	struct MHD_Response *response = MHD_create_response_from_buffer(
	    request->out.len, request->out.data, MHD_RESPMEM_MUST_COPY);

	if (response == NULL)
		return MHD_NO;
	(void)MHD_add_response_header(
	    response, MHD_HTTP_HEADER_CONTENT_TYPE, request->content_type);
	(void)MHD_add_response_header(
	    response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	(void)MHD_add_response_header(
	    response, "X-Content-Type-Options", "nosniff");
	for (size_t i = 0; i < request->nheaders; i++)
		(void)MHD_add_response_header(response,
		    request->headers[i].name, request->headers[i].value);
	enum MHD_Result rc =
	    MHD_queue_response(request->connection, request->status, response);

	MHD_destroy_response(response);
	return rc;
}

struct http_request *
http_defer(struct http_request *request)
{
	struct http_request *later = calloc(1, sizeof(*later));

	if (later == NULL)
		return NULL;
	*later = *request;
	buffer_init(&later->out, ANSWER_MAX);
	MHD_suspend_connection(request->connection);
	request->deferred = true;
	request->later = later;
	return later;
}

static void
set_timer(struct http_server *server, int64_t wait_ms)
{
	struct err err = ERR_INIT;

	if (loop_timer_set(server->loop, &server->timer,
	        clock_after(clock_ms(), wait_ms), &err) == -1)
		log_warning("http", "%s", err.text);
}

void
http_answer_deferred(struct http_request *later)
{
	later->deferred = false;
	MHD_resume_connection(later->connection);
	/* The connection has no event of its own to go on by. */
	set_timer(later->server, 0);
}

static void
forget(struct http_request *later)
{
	buffer_wipe(&later->out);
	free(later);
}

/* The signature is libmicrohttpd's, as below. */
static void
completed(void *arg, struct MHD_Connection *connection, void **seen,
    enum MHD_RequestTerminationCode code)
{
	(void)arg;
	(void)connection;
	(void)code;
	if (*seen != NULL && *seen != &once)
		forget(*seen);
	*seen = NULL;
}

/* The signature is libmicrohttpd's.
 * NOLINTBEGIN(readability-function-size) */
static enum MHD_Result
handle(void *arg, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *upload_data,
    size_t *upload_data_size, void **seen)
{
	struct http_server *server = arg;

	(void)version;
	(void)upload_data;
	/* First the head alone; then the body, which nobody needs, in parts;
	 * then the request is whole. */
	if (*seen == NULL) {
		*seen = &once;
		return MHD_YES;
	}
	if (*upload_data_size > 0) {
		*upload_data_size = 0;
		return MHD_YES;
	}
	if (*seen != &once)
		return respond(*seen);
	struct http_request request = {
	    .server = server,
	    .connection = connection,
	    .method = method,
	    .path = url,
	    .status = MHD_HTTP_OK,
	    .content_type = JSON,
	};

	buffer_init(&request.out, ANSWER_MAX);
	server->answer(server->arg, &request);
	if (request.deferred)
		*seen = request.later;
	enum MHD_Result rc = request.deferred ? MHD_YES : respond(&request);

	buffer_wipe(&request.out);
	return rc;
}
/* NOLINTEND(readability-function-size) */

/* --- the loop ------------------------------------------------------------ */

static void
run(struct http_server *server)
{
	unsigned long long timeout_ms = 0;

	(void)MHD_run(server->daemon);
	if (MHD_get_timeout(server->daemon, &timeout_ms) != MHD_YES) {
		loop_timer_clear(server->loop, &server->timer);
		return;
	}
	set_timer(
	    server, (int64_t)MIN(timeout_ms, (unsigned long long)WAIT_MS_MAX));
}

static void
ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	run(source->owner);
}

static void
due(struct loop_timer *timer, int64_t now_ms)
{
	(void)now_ms;
	run(timer->owner);
}

static struct MHD_Daemon *
start(struct http_server *server, const struct http_options *options)
{
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
	struct MHD_OptionItem tls[OPTIONS_MAX] = {{.option = MHD_OPTION_END}};

	if (options->certificate != NULL) {
		flags |= MHD_USE_TLS;
		tls[0] =
		    (struct MHD_OptionItem){.option = MHD_OPTION_HTTPS_MEM_CERT,
		        .ptr_value = options->certificate};
		tls[1] =
		    (struct MHD_OptionItem){.option = MHD_OPTION_HTTPS_MEM_KEY,
		        .ptr_value = options->key};
		tls[2] = (struct MHD_OptionItem){.option = MHD_OPTION_END};
	}
	return MHD_start_daemon(flags, 0, NULL, NULL, handle, server,
	    MHD_OPTION_LISTEN_SOCKET, options->listen_fd,
	    MHD_OPTION_CONNECTION_LIMIT, options->connections,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_MAX,
	    MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_ARRAY, tls,
	    MHD_OPTION_END);
}

int
http_open(struct http_server *server, struct loop *loop,
    const struct http_options *options, http_answer_fn *answer, void *arg,
    struct err *err)
{
	*server = (struct http_server){
	    .loop = loop,
	    .answer = answer,
	    .arg = arg,
	    .source = {.fd = -1, .ready = ready, .owner = server},
	    .timer = {.fire = due, .owner = server},
	};
	server->daemon = start(server, options);
	if (server->daemon == NULL) {
		(void)close(options->listen_fd);
		return err_set(err, ERR_SYSTEM, "libmicrohttpd can't start%s",
		    options->certificate == NULL
		        ? ""
		        : ": is the certificate that of the key?");
	}
	const union MHD_DaemonInfo *info =
	    MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);

	if (info == NULL)
		(void)err_set(err, ERR_SYSTEM, "libmicrohttpd has no epoll");
	else
		server->source.fd = info->epoll_fd;
	if (info == NULL ||
	    loop_add(loop, &server->source, EPOLLIN, err) == -1) {
		http_close(server);
		return -1;
	}
	return 0;
}

void
http_close(struct http_server *server)
{
	if (server->daemon == NULL)
		return;
	if (server->source.added)
		loop_remove(server->loop, &server->source);
	loop_timer_clear(server->loop, &server->timer);
	/* Given back first: stopping would shut it down for who has a copy. */
	int listen_fd = MHD_quiesce_daemon(server->daemon);

	MHD_stop_daemon(server->daemon);
	fd_close(&listen_fd);
	server->daemon = NULL;
}
