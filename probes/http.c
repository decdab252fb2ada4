/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "probes/http.h"
#include "probes/look.h"

enum {
	BODY_SHOWN_BYTES = 200,
	STATUS_MAX = 64,
	OK_FIRST = 200,
	OK_LAST = 399,
	STATUS_METHOD = 405,
};
static const int64_t BASE_LOOK_MS = 2000;

struct http_wanted {
	long status[STATUS_MAX];
	size_t nstatus;
	const char *contains;
	const char *method;
};

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
	if (answer.status == HTTP_NOT_FOUND)
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
		const char *more = answer->status == HTTP_NOT_FOUND ||
		                           answer->status == STATUS_METHOD ||
		                           answer->status == HTTP_GONE
		                       ? base_look(look, request)
		                       : "";
		look_note_bytes(look, "body", &answer->body, BODY_SHOWN_BYTES);
		look_failed(look, http_status_cause(answer->status),
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
