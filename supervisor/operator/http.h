/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_HTTP_H
#define REEVE_SUPERVISOR_OPERATOR_HTTP_H

#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"
#include "base/loop.h"

#include <microhttpd.h>

/*
 * libmicrohttpd in the operator's loop: no threads, nothing that waits. Used
 * for the control socket and for the page of `supervisor.status`.
 */
enum {
	HTTP_HEADERS_MAX = 8
};

struct http_server;
struct http_request {
	struct http_server *server;
	struct MHD_Connection *connection;
	const char *method, *path;
	/* the answer: what the server's function fills */
	struct buffer out;
	unsigned status;          /* 200 unless set */
	const char *content_type; /* "application/json" unless set */
	struct {
		const char *name, *value;
	} headers[HTTP_HEADERS_MAX]; /* more; until the answer is given */
	size_t nheaders;
	bool deferred; /* http_defer() was called; then that is */
	struct http_request *later;
};

typedef void http_answer_fn(void *arg, struct http_request *request);

struct http_server {
	struct loop *loop;
	http_answer_fn *answer;
	void *arg;
	struct MHD_Daemon *daemon;
	struct loop_source source;
	struct loop_timer timer;
};

struct http_options {
	int listen_fd; /* taken over, also on failure */
	unsigned connections;
	char *certificate, *key; /* PEM texts for TLS, borrowed; NULL: plain */
};

/* `server` must stay where it is until http_close. */
int http_open(struct http_server *server, struct loop *loop,
    const struct http_options *options, http_answer_fn *answer, void *arg,
    struct err *err) MUST_CHECK;
/* A zeroed server is closed. */
void http_close(struct http_server *server);

/* The answer comes later: nothing but the returned copy may be used from now
 * on, and http_answer_deferred() must be called with it exactly once, before
 * http_close(). NULL: no memory, answer now. */
struct http_request *http_defer(struct http_request *request);
void http_answer_deferred(struct http_request *later);

/* Adds one to the answer; the texts are borrowed until it is given. */
void http_answer_header(
    struct http_request *request, const char *name, const char *value);
/* Of the query; NULL when it isn't there. Lives as long as the request. */
const char *http_argument(const struct http_request *request, const char *key);
const char *http_header(const struct http_request *request, const char *name);
/* The connection's descriptor, or -1. */
int http_descriptor(const struct http_request *request);
/* The number in the query, or `*ret` as it was. -1: it isn't one in 0..max. */
int http_number(const struct http_request *request, const char *key,
    int64_t max, int64_t *ret, struct err *err) MUST_CHECK;

#endif
