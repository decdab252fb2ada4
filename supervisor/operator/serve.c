/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/openmetrics.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/page.h"
#include "supervisor/operator/serve_settings.h"

/*
 * The status server: `supervisor.status` of the manifest. For reading only:
 * there is no request that changes anything, whoever asks. It comes and goes
 * with the manifest; what stands in its way (a port that is taken, a
 * certificate that can't be read) is said in the log and in the status, tried
 * again, and never the end of anything else. Until a manifest is read it goes
 * by what an earlier operator has kept.
 */
enum {
	CONNECTIONS_MAX = 64,
	BACKLOG = 64,
	AGAIN_MS = 5 * 1000,
	PEM_MAX = 1 << 20,
	WHY_MAX = 1 << 20,
	TOKEN_MAX = 8 * 1024,
	ETAG_MAX = 40,
};

struct serve {
	struct operator_core *op;
	struct serve_settings settings; /* wanted */
	bool kept;                      /* ... is what the disk has */
	struct http_server *http;       /* NULL: closed */
	int listen_fd;                  /* ours; the server has a copy of it */
	char *listen;                   /* the address in force; NULL */
	bool loopback;                  /* ... is nobody else's */
	struct buffer certificate, key; /* in force; empty: plain */
	char trouble[256];              /* "" */
	struct loop_timer again;
	char etag[ETAG_MAX]; /* of the answer at hand */
	char policy[PAGE_POLICY_MAX];
};

/* --- answers ------------------------------------------------------------- */

static void
plain(struct http_request *request, unsigned status, const char *text)
{
	request->status = status;
	request->content_type = "text/plain; charset=utf-8";
	buffer_clear(&request->out);
	buffer_text(&request->out, text);
}

typedef void page_fn(
    struct serve *serve, struct http_request *request, bool details);

static void
get_live(struct serve *serve, struct http_request *request, bool details)
{
	(void)serve;
	(void)details;
	plain(request, MHD_HTTP_OK, "ok\n");
}

static void
get_ready(struct serve *serve, struct http_request *request, bool details)
{
	struct buffer why;

	buffer_init(&why, WHY_MAX);
	bool ready = ready_judge(serve->op, &why);

	if (ready)
		plain(request, MHD_HTTP_OK, "ok\n");
	else
		plain(request, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready\n");
	if (details)
		buffer_append(&request->out, why.data, why.len);
	buffer_fini(&why);
}

static void
get_metrics(struct serve *serve, struct http_request *request, bool details)
{
	bool open = openmetrics_accepted(http_header(request, "Accept"));

	(void)details;
	request->content_type =
	    open ? OPENMETRICS_CONTENT : OPENMETRICS_CLASSIC_CONTENT;
	http_answer_header(request, "Vary", "Accept");
	metrics_write(serve->op, &request->out, open);
}

static void
get_status(struct serve *serve, struct http_request *request, bool details)
{
	(void)details;
	status_write(serve->op, &request->out);
}

static void
refuse(struct http_request *request, const struct err *err)
{
	plain(request,
	    err->kind == ERR_INPUT ? MHD_HTTP_BAD_REQUEST
	                           : MHD_HTTP_SERVICE_UNAVAILABLE,
	    err->text);
	buffer_text(&request->out, "\n");
}

static void
get_events(struct serve *serve, struct http_request *request, bool details)
{
	struct err err = ERR_INIT;

	(void)details;
	if (status_events(serve->op, request, &err) == -1)
		refuse(request, &err);
}

static void
get_history(struct serve *serve, struct http_request *request, bool details)
{
	struct err err = ERR_INIT;

	(void)details;
	if (status_history(serve->op, request, &err) == -1)
		refuse(request, &err);
}

static void
get_scaler(struct serve *serve, struct http_request *request, bool details)
{
	(void)details;
	scaler_write(serve->op, request);
}

static void
get_page(struct serve *serve, struct http_request *request, bool details)
{
	(void)details;
	request->content_type = "text/html; charset=utf-8";
	page_write(serve->op, &request->out);
}

/* Asked for every two seconds: with the same tag, what it says is the same. */
static void
get_page_json(struct serve *serve, struct http_request *request, bool details)
{
	const char *seen = http_header(request, "If-None-Match");

	(void)details;
	page_write_json(serve->op, &request->out);
	struct fingerprint print = fingerprint_of(
	    &serve->op->key, request->out.data, request->out.len);
	uint64_t tag[2];

	memcpy(tag, print.bytes, sizeof(tag));
	(void)snprintf(serve->etag, sizeof(serve->etag),
	    "\"%016" PRIx64 "%016" PRIx64 "\"", tag[0], tag[1]);
	http_answer_header(request, "ETag", serve->etag);
	if (seen == NULL || !text_equal(seen, serve->etag))
		return;
	buffer_clear(&request->out);
	request->status = MHD_HTTP_NOT_MODIFIED;
}

static const struct page {
	const char *path;
	page_fn *get;
	bool open; /* also without the token, then without details */
} pages[] = {
    {"/", get_page, false},
    {"/page.json", get_page_json, false},
    {"/livez", get_live, true},
    {"/readyz", get_ready, true},
    {"/metrics", get_metrics, false},
    {"/status", get_status, false},
    {"/events", get_events, false},
    {"/history", get_history, false},
    {"/scaler", get_scaler, false},
};

/* --- who asks ------------------------------------------------------------ */

/* By keyed fingerprints: how long that takes says nothing about the token. */
static bool
is_token(const struct serve *serve, const char *given)
{
	struct fingerprint print =
	    fingerprint_of(&serve->op->key, given, strnlen(given, TOKEN_MAX));

	return fingerprint_equal(&print, &serve->settings.token);
}

/* With the token as `Bearer`, or as the password of a browser. */
static bool
has_token(const struct serve *serve, const struct http_request *request)
{
	static const char bearer[] = "Bearer ";
	const char *given = http_header(request, "Authorization");
	char *password = NULL;

	if (given == NULL)
		return false;
	if (strncasecmp(given, bearer, sizeof(bearer) - 1) == 0)
		return is_token(serve, given + sizeof(bearer) - 1);
	char *user = MHD_basic_auth_get_username_password(
	    request->connection, &password);
	bool right = password != NULL && is_token(serve, password);

	if (password != NULL)
		explicit_bzero(password, strlen(password));
	MHD_free(user);
	MHD_free(password);
	return right;
}

/* A page of somebody else's in a browser on this host can give its own name our
 * address (DNS rebinding), and then reads what we answer: it can't give it the
 * name of the loopback. */
static bool
is_rebound(const struct serve *serve, const struct http_request *request)
{
	static const char *const names[] = {
	    "localhost", "127.0.0.1", "[::1]", NULL};
	const char *host = http_header(request, "Host");

	if (!serve->loopback || host == NULL)
		return false;
	for (size_t i = 0; names[i] != NULL; i++) {
		size_t len = strlen(names[i]);
		if (strncasecmp(host, names[i], len) == 0 &&
		    (host[len] == '\0' || host[len] == ':'))
			return false;
	}
	return true;
}

static const struct page *
page_find(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		if (text_equal(pages[i].path, path))
			return &pages[i];
	return NULL;
}

static void
guard_browsers(struct serve *serve, struct http_request *request)
{
	http_answer_header(request, "Content-Security-Policy",
	    text_equal(request->path, "/") ? serve->policy
	                                   : "default-src 'none'");
	http_answer_header(request, "X-Frame-Options", "DENY");
	http_answer_header(request, "Referrer-Policy", "no-referrer");
	http_answer_header(
	    request, "Cross-Origin-Resource-Policy", "same-origin");
}

static void
answer(void *arg, struct http_request *request)
{
	struct serve *serve = arg;
	const struct page *page = page_find(request->path);
	bool locked = serve->settings.locked;
	bool trusted = !locked || has_token(serve, request);

	guard_browsers(serve, request);
	if (!text_equal(request->method, "GET") &&
	    !text_equal(request->method, "HEAD")) {
		http_answer_header(request, "Allow", "GET, HEAD");
		plain(request, MHD_HTTP_METHOD_NOT_ALLOWED,
		    "for reading only: GET and HEAD\n");
	} else if (!locked && is_rebound(serve, request)) {
		plain(request, MHD_HTTP_MISDIRECTED_REQUEST,
		    "this listens on the loopback only: ask for localhost, or "
		    "set a token\n");
	} else if (!trusted && (page == NULL || !page->open)) {
		http_answer_header(request, "WWW-Authenticate",
		    "Bearer realm=\"reeve\", Basic realm=\"reeve\"");
		plain(request, MHD_HTTP_UNAUTHORIZED,
		    "the token is missing or wrong: Authorization: Bearer …, "
		    "or as a browser's password\n");
	} else if (page == NULL) {
		plain(request, MHD_HTTP_NOT_FOUND,
		    "GET / /status /events /history /scaler /metrics /livez /readyz\n");
	} else {
		page->get(serve, request, trusted);
	}
}

/* --- listening ------------------------------------------------------------ */

static void
http_drop(struct http_server **http)
{
	if (*http == NULL)
		return;
	http_close(*http);
	free(*http);
	*http = NULL;
}

static void
shut(struct serve *serve)
{
	http_drop(&serve->http);
	fd_close(&serve->listen_fd);
	free(serve->listen);
	serve->listen = NULL;
	buffer_wipe(&serve->certificate);
	buffer_wipe(&serve->key);
}

static bool
is_loopback(const struct sockaddr_storage *where)
{
	const struct sockaddr_in *v4 = (const void *)where;
	const struct sockaddr_in6 *v6 = (const void *)where;

	if (where->ss_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> IN_CLASSA_NSHIFT ==
		       IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static int
open_socket(
    const char *listen_at, int *ret_fd, bool *ret_loopback, struct err *err)
{
	struct sockaddr_storage where;
	socklen_t len = 0;
	int yes = 1;

	if (address_parse(listen_at, &where, &len, err) == -1)
		return -1;
	int fd = socket(where.ss_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);

	if (fd == -1)
		return err_sys(err, "a socket for %s", listen_at);
	/* A predecessor's connections may still be closing. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (struct sockaddr *)&where, len) == -1 ||
	    listen(fd, BACKLOG) == -1) {
		(void)err_sys(err, "%s", listen_at);
		fd_close(&fd);
		return -1;
	}
	*ret_fd = fd;
	*ret_loopback = is_loopback(&where);
	return 0;
}

/* What is wanted, put together before anything of the old is touched. */
struct wanted {
	const struct serve_settings *settings;
	struct buffer certificate, key;
	int fd; /* -1: the address stays */
	bool loopback;
};

static void
wanted_fini(struct wanted *wanted)
{
	buffer_wipe(&wanted->certificate);
	buffer_wipe(&wanted->key);
	fd_close(&wanted->fd);
}

static bool
same_bytes(const struct buffer *a, const struct buffer *b)
{
	return a->len == b->len &&
	       (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static int
read_wanted(const struct serve *serve, struct wanted *wanted, struct err *err)
{
	const struct serve_settings *settings = wanted->settings;

	if (settings->certificate != NULL &&
	    (buffer_read_file(
	         &wanted->certificate, settings->certificate, err) == -1 ||
	        buffer_read_file(&wanted->key, settings->key, err) == -1))
		return -1;
	if (text_equal(settings->listen, serve->listen))
		return 0;
	return open_socket(
	    settings->listen, &wanted->fd, &wanted->loopback, err);
}

static int
start(struct serve *serve, struct wanted *wanted, struct err *err)
{
	int fd = wanted->fd == -1 ? serve->listen_fd : wanted->fd;
	struct http_server *http = calloc(1, sizeof(*http));
	bool tls = wanted->settings->certificate != NULL;
	struct http_options options = {
	    .listen_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0),
	    .connections = CONNECTIONS_MAX,
	    .certificate = tls ? wanted->certificate.data : NULL,
	    .key = tls ? wanted->key.data : NULL,
	};

	if (http == NULL || options.listen_fd == -1) {
		free(http);
		return err_sys(err, "the status server");
	}
	if (http_open(http, &serve->op->loop, &options, answer, serve, err) ==
	    -1) {
		free(http);
		return -1;
	}
	http_drop(&serve->http);
	serve->http = http;
	return 0;
}

/* The new one serves: what it came from is what is in force. */
static int
take(struct serve *serve, struct wanted *wanted, struct err *err)
{
	char *listen_at = strdup(wanted->settings->listen);

	if (listen_at == NULL || start(serve, wanted, err) == -1) {
		free(listen_at);
		return -1;
	}
	free(serve->listen);
	serve->listen = listen_at;
	if (wanted->fd != -1) {
		fd_close(&serve->listen_fd);
		serve->listen_fd = wanted->fd;
		serve->loopback = wanted->loopback;
		wanted->fd = -1;
	}
	buffer_wipe(&serve->certificate);
	buffer_wipe(&serve->key);
	serve->certificate = wanted->certificate;
	serve->key = wanted->key;
	buffer_init(&wanted->certificate, PEM_MAX);
	buffer_init(&wanted->key, PEM_MAX);
	log_info("status.listening", "address=%s tls=%d token=%d", listen_at,
	    wanted->settings->certificate != NULL, wanted->settings->locked);
	return 0;
}

static void
fail(struct serve *serve, const char *why)
{
	struct err err = ERR_INIT;
	char text[sizeof(serve->trouble)];

	(void)snprintf(text, sizeof(text), "%s", why);
	if (!text_equal(text, serve->trouble))
		log_warning("status.unavailable", "%s; tried again every %d s",
		    text, AGAIN_MS / 1000);
	(void)snprintf(serve->trouble, sizeof(serve->trouble), "%s", text);
	if (loop_timer_set(&serve->op->loop, &serve->again,
	        clock_after(clock_ms(), AGAIN_MS), &err) == -1)
		log_error("status.stuck", "%s", err.text);
}

static int
apply(struct serve *serve, struct wanted *wanted, struct err *err)
{
	if (read_wanted(serve, wanted, err) == -1)
		return -1;
	if (serve->http != NULL && wanted->fd == -1 &&
	    same_bytes(&wanted->certificate, &serve->certificate) &&
	    same_bytes(&wanted->key, &serve->key))
		return 0;
	return take(serve, wanted, err);
}

static void
go_by_settings(struct serve *serve)
{
	struct err err = ERR_INIT;
	struct wanted wanted = {.settings = &serve->settings, .fd = -1};

	buffer_init(&wanted.certificate, PEM_MAX);
	buffer_init(&wanted.key, PEM_MAX);
	if (apply(serve, &wanted, &err) == -1)
		fail(serve, err.text);
	else
		serve->trouble[0] = '\0';
	wanted_fini(&wanted);
}

static void
adopt(struct serve *serve, const struct declared_status *declared)
{
	const struct operator_core *op = serve->op;
	struct serve_settings settings = serve_settings_of(declared, &op->key);
	struct err err = ERR_INIT;

	if (serve->kept && serve_settings_equal(&settings, &serve->settings)) {
		serve_settings_fini(&settings);
		return;
	}
	serve_settings_fini(&serve->settings);
	serve->settings = settings;
	serve->kept = serve_settings_keep(
	                  &serve->settings, op->state_dir, &op->key, &err) == 0;
	if (!serve->kept)
		log_warning("status.settings", "not kept: %s", err.text);
}

void
serve_set(struct serve *serve)
{
	const struct intent *intent = serve->op->intent;
	const struct declared_status *declared =
	    intent == NULL ? NULL : &intent->declared->supervisor.status;

	loop_timer_clear(&serve->op->loop, &serve->again);
	if (declared != NULL)
		adopt(serve, declared);
	if (declared != NULL && declared->token_unresolved != NULL) {
		char why[sizeof(serve->trouble)];
		/* Without the token it would be open to everybody. */
		shut(serve);
		(void)snprintf(why, sizeof(why),
		    "not served: its token has no value: %s",
		    declared->token_unresolved);
		fail(serve, why);
		return;
	}
	if (serve->settings.listen == NULL) {
		if (serve->http != NULL)
			log_info("status.closed", "address=%s", serve->listen);
		shut(serve);
		serve->trouble[0] = '\0';
		return;
	}
	go_by_settings(serve);
}

static void
again(struct loop_timer *timer, int64_t now_ms)
{
	(void)now_ms;
	serve_set(timer->owner);
}

void
serve_write(const struct serve *serve, struct jsonw *json)
{
	if (serve->http == NULL && serve->trouble[0] == '\0') {
		jsonw_null(json, "status_server");
		return;
	}
	jsonw_object(json, "status_server");
	jsonw_text(json, "listen", serve->listen);
	jsonw_bool(json, "tls", serve->certificate.len > 0);
	jsonw_text(
	    json, "trouble", *serve->trouble == '\0' ? NULL : serve->trouble);
	jsonw_end(json);
}

struct serve *
serve_new(struct operator_core *op)
{
	struct serve *serve = calloc(1, sizeof(*serve));

	if (serve == NULL)
		return NULL;
	*serve = (struct serve){
	    .op = op,
	    .listen_fd = -1,
	    .again = {.fire = again, .owner = serve},
	};
	buffer_init(&serve->certificate, PEM_MAX);
	buffer_init(&serve->key, PEM_MAX);
	if (page_policy(serve->policy) == -1) {
		free(serve);
		return NULL;
	}
	serve->kept =
	    serve_settings_recall(op->state_dir, &op->key, &serve->settings);
	return serve;
}

void
serve_free(struct serve *serve)
{
	if (serve == NULL)
		return;
	loop_timer_clear(&serve->op->loop, &serve->again);
	shut(serve);
	serve_settings_fini(&serve->settings);
	free(serve);
}
