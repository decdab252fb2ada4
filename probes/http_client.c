/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/http.h"
#include "probes/stream.h"

/*
 * HTTP by libcurl, one request without redirects unless asked for. The name is
 * resolved by our own rung and handed to curl, so that DNS trouble is told
 * apart and a hung resolver can be killed. No proxy: what the worker would
 * reach is what is looked at.
 */
enum {
	BODY_MAX_BYTES = 1 << 20,
	HEADERS_MAX_BYTES = 64 << 10,
	REDIRECTS_MAX = 5,
	SOCKETS_MAX = 8,
	RESOLVE_SIZE = 2048,
	STATUS_UNAUTHORIZED = 401,
	STATUS_FORBIDDEN = 403,
	STATUS_MANY = 429,
	STATUS_SERVER = 500,
};

/* curl tells only of a connection that is whole, TLS and all: how far one got
 * that never was is seen on its sockets. */
struct reached {
	curl_socket_t sockets[SOCKETS_MAX];
	size_t count;
	bool tcp;
};

static int
socket_made(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	struct reached *reached = arg;

	(void)purpose;
	reached->sockets[reached->count++ % SOCKETS_MAX] = fd;
	return CURL_SOCKOPT_OK;
}

static int
socket_watch(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total,
    curl_off_t up)
{
	struct reached *reached = arg;
	struct sockaddr_storage peer;

	(void)total, (void)now, (void)up_total, (void)up;
	for (size_t i = 0; i < MIN(reached->count, (size_t)SOCKETS_MAX); i++) {
		socklen_t len = sizeof(peer);
		if (getpeername(reached->sockets[i], (void *)&peer, &len) == 0)
			reached->tcp = true;
	}
	return 0;
}

static size_t
body_take(char *bytes, size_t size, size_t count, void *arg)
{
	struct buffer *body = arg;
	size_t len = size * count;
	size_t most = body->max - 1;

	/* more than this is neither searched nor kept; curl stops then */
	if (body->len + len > most) {
		buffer_append(body, bytes, most - body->len);
		body->overflow = true;
		return 0;
	}
	buffer_append(body, bytes, len);
	return len;
}

/* "host:port:addr,addr" for CURLOPT_RESOLVE; NULL: the host is numeric. */
static struct curl_slist *
resolved(const struct url *url, int port, const struct stream_addresses *found)
{
	char text[RESOLVE_SIZE];
	int used = snprintf(text, sizeof(text), "%s:%d:", url->host, port);

	for (size_t i = 0; i < found->count; i++) {
		char one[STREAM_ADDRESS_SIZE];
		if (used < 0 || (size_t)used >= sizeof(text))
			return NULL;
		stream_address_text(
		    (const void *)&found->all[i], found->len[i], one);
		char *colon = strrchr(one, ':');
		if (colon != NULL)
			*colon = '\0';
		used += snprintf(text + used, sizeof(text) - (size_t)used,
		    "%s%s", i == 0 ? "" : ",", one);
	}
	if (used < 0 || (size_t)used >= sizeof(text))
		return NULL;
	return curl_slist_append(NULL, text);
}

static void
set_common(CURL *curl, const struct http_request *request, int64_t left_ms,
    struct buffer *body)
{
	(void)curl_easy_setopt(curl, CURLOPT_URL, request->url);
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)left_ms);
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)left_ms);
	(void)curl_easy_setopt(
	    curl, CURLOPT_FOLLOWLOCATION, request->follow ? 1L : 0L);
	(void)curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	(void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "reeve-probe");
	(void)curl_easy_setopt(curl, CURLOPT_HTTPAUTH,
	    (long)CURLAUTH_BASIC | (long)CURLAUTH_DIGEST);
	(void)curl_easy_setopt(
	    curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_take);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
	if (request->sigv4 != NULL) {
		(void)curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, request->sigv4);
		(void)curl_easy_setopt(
		    curl, CURLOPT_USERPWD, request->credentials);
	}
	if (request->http1)
		(void)curl_easy_setopt(
		    curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	if (request->ca != NULL)
		(void)curl_easy_setopt(curl, CURLOPT_CAINFO, request->ca);
	if (request->unix_path != NULL && request->unix_path[0] == '@')
		(void)curl_easy_setopt(
		    curl, CURLOPT_ABSTRACT_UNIX_SOCKET, request->unix_path + 1);
	else if (request->unix_path != NULL)
		(void)curl_easy_setopt(
		    curl, CURLOPT_UNIX_SOCKET_PATH, request->unix_path);
}

static void
set_method(CURL *curl, const struct http_request *request)
{
	const char *method = request->method;

	if (request->body != NULL) {
		(void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE,
		    request->body_len > 0 ? (long)request->body_len
		                          : (long)strlen(request->body));
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
	} else if (text_equal(method, "HEAD")) {
		(void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	}
	(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

/* curl measures from the start of its work, each rung from the one before. */
static int64_t
between_ms(curl_off_t from_us, curl_off_t to_us)
{
	return to_us > from_us ? (int64_t)(to_us - from_us) / 1000 : 0;
}

static void
step_put(struct ladder *ladder, enum step_kind kind, int64_t elapsed_ms,
    const char *detail)
{
	if (ladder->nsteps < LADDER_STEPS_MAX)
		ladder->steps[ladder->nsteps++] = (struct step){.kind = kind,
		    .result = RESULT_PASSED,
		    .elapsed_ms = elapsed_ms,
		    .detail = detail};
}

static const char *
peer(CURL *curl, struct arena *arena)
{
	char *ip = NULL;
	long port = 0;

	(void)curl_easy_getinfo(curl, CURLINFO_PRIMARY_IP, &ip);
	(void)curl_easy_getinfo(curl, CURLINFO_PRIMARY_PORT, &port);
	if (ip == NULL || ip[0] == '\0')
		return "";
	return strchr(ip, ':') != NULL
	           ? arena_format(arena, "[%s]:%ld", ip, port)
	           : arena_format(arena, "%s:%ld", ip, port);
}

/* What curl reached, as rungs: TCP, then TLS. */
static void
rungs(CURL *curl, const struct http_request *request,
    const struct reached *reached, struct ladder *ladder)
{
	curl_off_t lookup = 0;
	curl_off_t connected = 0;
	curl_off_t secured = 0;
	const char *where = request->unix_path != NULL
	                        ? request->unix_path
	                        : peer(curl, ladder->arena);

	(void)curl_easy_getinfo(curl, CURLINFO_NAMELOOKUP_TIME_T, &lookup);
	(void)curl_easy_getinfo(curl, CURLINFO_CONNECT_TIME_T, &connected);
	(void)curl_easy_getinfo(curl, CURLINFO_APPCONNECT_TIME_T, &secured);
	if (connected > 0 || reached->tcp)
		step_put(ladder, STEP_TCP, between_ms(lookup, connected),
		    arena_format(ladder->arena, "connected%s%s",
		        where[0] != '\0' ? " to " : "", where));
	if (secured > 0)
		step_put(ladder, STEP_TLS, between_ms(connected, secured),
		    "certificate good");
}

/* The deadline passed: where were we? */
static int
timed_out(CURL *curl, struct ladder *ladder, const struct buffer *body,
    const struct reached *reached)
{
	curl_off_t first = 0;
	curl_off_t secured = 0;
	long headers = 0;
	char *scheme = NULL;

	(void)curl_easy_getinfo(curl, CURLINFO_STARTTRANSFER_TIME_T, &first);
	(void)curl_easy_getinfo(curl, CURLINFO_APPCONNECT_TIME_T, &secured);
	(void)curl_easy_getinfo(curl, CURLINFO_HEADER_SIZE, &headers);
	(void)curl_easy_getinfo(curl, CURLINFO_SCHEME, &scheme);
	if (!reached->tcp) {
		ladder->current = STEP_TCP;
		return ladder_unknown(ladder, CAUSE_UNREACHABLE, "ETIMEDOUT",
		    "no answer to a connection attempt");
	}
	if (secured == 0 && scheme != NULL &&
	    (text_equal(scheme, "HTTPS") || text_equal(scheme, "https"))) {
		ladder->current = STEP_TLS;
		return ladder_unknown(ladder, CAUSE_SILENT, "",
		    "connected, but nothing came in a TLS handshake");
	}
	ladder->current = STEP_PROTOCOL;
	if (first == 0)
		return ladder_unknown(ladder, CAUSE_SILENT, "",
		    "the server accepts connections but answers nothing");
	return ladder_unknown(ladder, CAUSE_SILENT, "drip",
	    "the answer did not end: %ld bytes of headers and %zu of body came "
	    "in the time there was",
	    headers, body->len);
}

static int
tls_failed(CURL *curl, CURLcode code, struct ladder *ladder, const char *why)
{
	long verify = 0;

	ladder->current = STEP_TLS;
	if (strstr(why, "wrong version number") != NULL)
		return ladder_fail(ladder, CAUSE_TLS, "not-tls",
		    "the port does not speak TLS");
	(void)curl_easy_getinfo(curl, CURLINFO_SSL_VERIFYRESULT, &verify);
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		/* names are matched by curl itself, in words of its own */
		return ladder_fail(ladder, CAUSE_TLS,
		    strstr(why, "subject name") != NULL
		        ? "wrong-name"
		        : stream_tls_code(verify),
		    "the certificate is not good: %s", why);
	return ladder_fail(
	    ladder, CAUSE_TLS, "handshake", "TLS handshake: %s", why);
}

static int
connect_failed(CURL *curl, struct ladder *ladder, const char *why)
{
	long sys = 0;

	ladder->current = STEP_TCP;
	(void)curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &sys);
	if (sys == ECONNREFUSED)
		return ladder_fail(ladder, CAUSE_REFUSED, "ECONNREFUSED",
		    "connection refused: nothing listens there");
	if (sys == ENOENT)
		return ladder_fail(
		    ladder, CAUSE_REFUSED, "ENOENT", "there is no such socket");
	return ladder_unknown(ladder, CAUSE_UNREACHABLE,
	    sys == EHOSTUNREACH ? "EHOSTUNREACH" : "", "%s", why);
}

static int
perform_failed(CURL *curl, CURLcode code, struct ladder *ladder,
    const struct buffer *body, const struct reached *reached, const char *why)
{
	switch ((int)code) {
	case CURLE_OPERATION_TIMEDOUT:
		return timed_out(curl, ladder, body, reached);
	case CURLE_COULDNT_CONNECT:
		return connect_failed(curl, ladder, why);
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
		return tls_failed(curl, code, ladder, why);
	case CURLE_SSL_CACERT_BADFILE:
		ladder->current = STEP_TLS;
		return ladder_unknown(ladder, CAUSE_INTERNAL, "", "%s", why);
	case CURLE_URL_MALFORMAT:
		return ladder_fail(ladder, CAUSE_URL, "", "%s", why);
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		ladder->current = STEP_PROTOCOL;
		return ladder_fail(ladder, CAUSE_WRONG_TYPE, "",
		    "what answers there does not speak HTTP");
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		ladder->current = STEP_PROTOCOL;
		return ladder_fail(ladder, CAUSE_UNAVAILABLE, "closed",
		    "the server closed the connection without a whole answer: "
		    "%s",
		    why);
	case CURLE_TOO_MANY_REDIRECTS:
		ladder->current = STEP_PROTOCOL;
		return ladder_fail(ladder, CAUSE_MISMATCH, "", "%s", why);
	default:
		ladder->current = STEP_PROTOCOL;
		return ladder_unknown(ladder, CAUSE_INTERNAL, "", "%s", why);
	}
}

/* Those of the last answer, folded lines made one. */
static void
keep_headers(CURL *curl, struct buffer *headers)
{
	struct curl_header *at = NULL;

	while ((at = curl_easy_nextheader(curl, CURLH_HEADER, -1, at)) != NULL)
		buffer_format(headers, "%s: %s\n", at->name, at->value);
}

static int
perform(CURL *curl, const struct http_request *request, struct ladder *ladder,
    struct http_answer *ret)
{
	char why[CURL_ERROR_SIZE] = "";
	struct reached reached = {.count = 0};

	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	(void)curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, socket_made);
	(void)curl_easy_setopt(curl, CURLOPT_SOCKOPTDATA, &reached);
	(void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, socket_watch);
	(void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &reached);
	(void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	ladder_begin(ladder, STEP_TCP, "");
	CURLcode code = curl_easy_perform(curl);
	(void)socket_watch(&reached, 0, 0, 0, 0);
	rungs(curl, request, &reached, ladder);
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret->status);
	/* it said enough before we hung up on a body without an end */
	if (code == CURLE_WRITE_ERROR && ret->body.overflow)
		code = CURLE_OK;
	if (code != CURLE_OK)
		return perform_failed(curl, code, ladder, &ret->body, &reached,
		    why[0] != '\0' ? why : curl_easy_strerror(code));
	keep_headers(curl, &ret->headers);
	char *location = NULL;
	(void)curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &location);
	if (location != NULL)
		ret->location = url_redacted(ladder->arena, location);
	ret->peer = request->unix_path != NULL ? request->unix_path
	                                       : peer(curl, ladder->arena);
	ladder->current = STEP_PROTOCOL;
	ladder_pass(ladder, "%s %s answered %ld", request->method, ret->path,
	    ret->status);
	return 0;
}

int
http_perform(const struct http_request *request, struct ladder *ladder,
    struct http_answer *ret)
{
	struct url url = {.port = -1};
	struct err err = ERR_INIT;
	struct stream_addresses found = {.count = 0};

	buffer_init(&ret->body,
	    (request->body_max != 0 ? request->body_max : BODY_MAX_BYTES) + 1);
	buffer_init(&ret->headers, HEADERS_MAX_BYTES);
	ladder_begin(ladder, STEP_DNS, "");
	if (url_parse(ladder->arena, request->url, &url, &err) == -1)
		return ladder_fail(ladder, CAUSE_URL, "", "%s", err.text);
	bool https = text_equal(url.scheme, "https");
	if (!https && !text_equal(url.scheme, "http"))
		return ladder_fail(ladder, CAUSE_URL, "",
		    "'%s' is no scheme for HTTP", url.scheme);
	int port = url.port != -1 ? url.port : https ? 443 : 80;
	ret->path = url.path[0] != '\0' ? url.path : "/";
	if (request->unix_path == NULL &&
	    stream_resolve(url.host, port, ladder, &found) == -1)
		return -1;
	CURL *curl = curl_easy_init();
	if (curl == NULL)
		return ladder_unknown(
		    ladder, CAUSE_INTERNAL, "", "out of memory");
	struct curl_slist *names =
	    found.count > 0 ? resolved(&url, port, &found) : NULL;
	struct curl_slist *headers = NULL;
	for (size_t i = 0; i < request->nheaders; i++)
		headers = curl_slist_append(headers, request->headers[i]);
	set_common(curl, request, MAX(ladder->deadline_ms - clock_ms(), 1),
	    &ret->body);
	set_method(curl, request);
	(void)curl_easy_setopt(curl, CURLOPT_RESOLVE, names);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	int rc = perform(curl, request, ladder, ret);
	curl_easy_cleanup(curl);
	curl_slist_free_all(names);
	curl_slist_free_all(headers);
	return rc;
}

void
http_answer_fini(struct http_answer *answer)
{
	buffer_fini(&answer->body);
	buffer_fini(&answer->headers);
}

enum cause
http_status_cause(long status)
{
	switch (status) {
	case STATUS_UNAUTHORIZED:
		return CAUSE_AUTH;
	case STATUS_FORBIDDEN:
		return CAUSE_PERMISSION;
	case HTTP_NOT_FOUND:
	case HTTP_GONE:
		return CAUSE_NOT_FOUND;
	case STATUS_MANY:
		return CAUSE_UNAVAILABLE;
	default:
		return status >= STATUS_SERVER ? CAUSE_UNAVAILABLE
		                               : CAUSE_MISMATCH;
	}
}
