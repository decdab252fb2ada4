/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/http.h"
#include "probes/look.h"
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
	BODY_SHOWN_BYTES = 200,
	STATUS_MAX = 64,
	REDIRECTS_MAX = 5,
	SOCKETS_MAX = 8,
	RESOLVE_SIZE = 2048,
	OK_FIRST = 200,
	OK_LAST = 399,
	STATUS_UNAUTHORIZED = 401,
	STATUS_FORBIDDEN = 403,
	STATUS_NOT_FOUND = 404,
	STATUS_METHOD = 405,
	STATUS_GONE = 410,
	STATUS_MANY = 429,
	STATUS_SERVER = 500
};
static const int64_t BASE_LOOK_MS = 2000;

struct http_wanted {
	long status[STATUS_MAX];
	size_t nstatus;
	const char *contains;
	const char *method;
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

static int
take_status(struct look *look, struct http_wanted *wanted)
{
	const cJSON *status =
	    cJSON_GetObjectItemCaseSensitive(look->request, "status");
	const cJSON *item = NULL;
	int64_t code = 0;

	if (status == NULL || cJSON_IsNull(status))
		return 0;
	if (json_item_i64(status, &code, NULL) == 0) {
		wanted->status[wanted->nstatus++] = (long)code;
		return 0;
	}
	if (!cJSON_IsArray(status) || cJSON_GetArraySize(status) > STATUS_MAX)
		goto wrong;
	cJSON_ArrayForEach(item, status)
	{
		if (json_item_i64(item, &code, NULL) == -1)
			goto wrong;
		wanted->status[wanted->nstatus++] = (long)code;
	}
	return 0;
wrong:
	look_unknown(look, CAUSE_INTERNAL, "",
	    "the request is wrong: 'status' is a list of numbers");
	return -1;
}

/* ["Name: value"], [{"name","value"}] or {"Name":"value"}. */
static int
take_headers(struct look *look, struct http_request *request)
{
	const cJSON *headers =
	    cJSON_GetObjectItemCaseSensitive(look->request, "headers");
	const cJSON *item = NULL;

	cJSON_ArrayForEach(item, headers)
	{
		const char *text = NULL;
		if (request->nheaders == HTTP_HEADERS_MAX)
			goto wrong;
		if (cJSON_IsObject(item)) {
			const char *name = NULL;
			if (json_text(item, "name", NULL, &name, NULL) == -1 ||
			    json_text(item, "value", "", &text, NULL) == -1 ||
			    name == NULL)
				goto wrong;
			text = arena_format(look->arena, "%s: %s", name, text);
		} else if (json_item_text(item, &text, NULL) == -1) {
			goto wrong;
		} else if (cJSON_IsObject(headers)) {
			text = arena_format(
			    look->arena, "%s: %s", item->string, text);
		}
		if (strpbrk(text, "\r\n") != NULL)
			goto wrong;
		/* an Authorization is a secret, whatever it looks like */
		const char *colon = strchr(text, ':');
		if (colon != NULL)
			redactor_add(
			    look->redactor, colon + 1 + strspn(colon + 1, " "));
		request->headers[request->nheaders++] =
		    look_canary(look, text, false);
	}
	return 0;
wrong:
	look_unknown(look, CAUSE_INTERNAL, "",
	    "the request is wrong: 'headers' are lines 'Name: value'");
	return -1;
}

static int
take_request(
    struct look *look, struct http_request *request, struct http_wanted *wanted)
{
	const char *url = NULL;
	const char *server_name = NULL;

	if (look_need(look, "url", &url) == -1)
		return -1;
	look_url(look, url);
	request->url = look_canary(look, url, true);
	if (look_text(look, "body", NULL, &request->body) == -1 ||
	    look_text(look, "method", request->body != NULL ? "POST" : "GET",
	        &request->method) == -1 ||
	    look_text(look, "contains", NULL, &wanted->contains) == -1 ||
	    look_bool(look, "followRedirects", false, &request->follow) == -1 ||
	    look_tls(look, &request->ca, &server_name) == -1 ||
	    take_status(look, wanted) == -1 ||
	    take_headers(look, request) == -1)
		return -1;
	request->body = look_canary(look, request->body, false);
	wanted->contains = look_canary(look, wanted->contains, false);
	return 0;
}

static bool
status_wanted(const struct http_wanted *wanted, long status)
{
	if (wanted->nstatus == 0)
		return status >= OK_FIRST && status <= OK_LAST;
	for (size_t i = 0; i < wanted->nstatus; i++)
		if (wanted->status[i] == status)
			return true;
	return false;
}

static enum cause
status_cause(long status)
{
	switch (status) {
	case STATUS_UNAUTHORIZED:
		return CAUSE_AUTH;
	case STATUS_FORBIDDEN:
		return CAUSE_PERMISSION;
	case STATUS_NOT_FOUND:
	case STATUS_GONE:
		return CAUSE_NOT_FOUND;
	case STATUS_MANY:
		return CAUSE_UNAVAILABLE;
	default:
		return status >= STATUS_SERVER ? CAUSE_UNAVAILABLE
		                               : CAUSE_MISMATCH;
	}
}

/* A look that discriminates: when the same host answers at its root, the
 * machine is right and the path is wrong. */
static const char *
base_look(struct look *look, const struct http_request *request)
{
	struct http_request base = {.method = "GET", .ca = request->ca};
	struct http_answer answer = {.status = 0};
	struct ladder ladder;
	const char *authority = strstr(request->url, "://");

	if (authority == NULL)
		return "";
	size_t len = (size_t)(authority - request->url) + 3;
	len += strcspn(authority + 3, "/?#");
	base.url = arena_format(look->arena, "%.*s/", (int)len, request->url);
	ladder_init(&ladder, look->arena,
	    MIN(look->ladder.deadline_ms,
	        clock_after(clock_ms(), BASE_LOOK_MS)));
	int rc = http_perform(&base, &ladder, &answer);
	http_answer_fini(&answer);
	if (rc == -1)
		return "";
	look_note(look, "base-status", "%ld", answer.status);
	if (answer.status == STATUS_NOT_FOUND)
		return "; so does / of the same host";
	return arena_format(look->arena,
	    "; GET / of the same host answers %ld: the host is right, the "
	    "path is wrong",
	    answer.status);
}

static void
judge(struct look *look, const struct http_request *request,
    const struct http_wanted *wanted, const struct http_answer *answer)
{
	look_note(look, "status", "%ld", answer->status);
	look_note(look, "path", "%s", answer->path);
	if (answer->location != NULL)
		look_note(look, "location", "%s", answer->location);
	if (!status_wanted(wanted, answer->status)) {
		const char *more = answer->status == STATUS_NOT_FOUND ||
		                           answer->status == STATUS_METHOD ||
		                           answer->status == STATUS_GONE
		                       ? base_look(look, request)
		                       : "";
		look_note_bytes(look, "body", &answer->body, BODY_SHOWN_BYTES);
		look_failed(look, status_cause(answer->status),
		    arena_format(look->arena, "%ld", answer->status),
		    "%s %s answers %ld%s", request->method, answer->path,
		    answer->status, more);
		return;
	}
	if (wanted->contains != NULL &&
	    (answer->body.len == 0 ||
	        memmem(answer->body.data, answer->body.len, wanted->contains,
	            strlen(wanted->contains)) == NULL)) {
		look_note_bytes(look, "body", &answer->body, BODY_SHOWN_BYTES);
		look_failed(look, CAUSE_MISMATCH, "",
		    "%s %s answers %ld, but not with '%.100s'", request->method,
		    answer->path, answer->status, wanted->contains);
		return;
	}
	look_passed(look, "%s %s answers %ld", request->method, answer->path,
	    answer->status);
}

void
probe_http(struct look *look)
{
	struct http_request request = {.method = "GET"};
	struct http_wanted wanted = {.nstatus = 0};
	struct http_answer answer = {.status = 0};

	if (take_request(look, &request, &wanted) == -1)
		return;
	if (http_perform(&request, &look->ladder, &answer) == -1) {
		if (answer.status != 0)
			look_note(look, "status", "%ld", answer.status);
		look_ladder_failed(look);
	} else {
		look->out.identity = answer.peer;
		judge(look, &request, &wanted, &answer);
	}
	http_answer_fini(&answer);
}
