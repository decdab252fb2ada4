/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "probes/http.h"
#include "tests/fuzz/queue.h"

/*
 * What a server that says it is Google's, Microsoft's or Amazon's answers: JSON
 * and XML. The first byte says which, the second what is asked; then answers,
 * each a byte for its status and what comes before the next form feed, of which
 * what stands behind a vertical tab is its headers. The Makefile wraps
 * http_perform.
 */

int __wrap_http_perform(const struct http_request *request,
    struct ladder *ladder, struct http_answer *ret);

static const uint8_t *rest;
static size_t rest_len;

int
__wrap_http_perform(const struct http_request *request, struct ladder *ladder,
    struct http_answer *ret)
{
	static const long statuses[] = {200, 200, 200, 201, 204, 400, 401, 403,
	    404, 409, 410, 429, 500, 503};
	const uint8_t *end = NULL;
	size_t len = 0;

	assert(request->url != NULL && request->method != NULL);
	*ret = (struct http_answer){.path = "", .peer = "127.0.0.1:80"};
	buffer_init(&ret->body, 1 << 20);
	ladder_begin(ladder, STEP_QUERY, "");
	if (rest_len == 0)
		return ladder_unknown(
		    ladder, CAUSE_SILENT, "", "there is no more");
	end = memchr(rest + 1, '\f', rest_len - 1);
	len = end != NULL ? (size_t)(end - rest) : rest_len;
	ret->status = statuses[rest[0] % ARRAY_LEN(statuses)];
	end = memchr(rest + 1, '\v', len - 1);
	size_t body = end != NULL ? (size_t)(end - rest) - 1 : len - 1;

	buffer_append(&ret->body, rest + 1, body);
	buffer_init(&ret->headers, 1 << 20);
	if (end != NULL)
		buffer_append(&ret->headers, end + 1, len - body - 2);
	rest += len;
	rest_len -= len;
	if (rest_len > 0) { /* the form feed */
		rest++;
		rest_len--;
	}
	ladder_pass(ladder, "HTTP %ld", ret->status);
	return 0;
}

static const char *const urls[] = {
    "pubsub://p/jobs?topic=uploads&endpoint=http%3A%2F%2F127.0.0.1%3A1",
    "servicebus://policy:a2V5@ns.servicebus.windows.net/jobs",
    "servicebus://policy:a2V5@ns.servicebus.windows.net/topic/jobs",
    "sqs://KEY:SECRET@us-east-1/123456789012/jobs",
};

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (len < 2)
		return 0;
	rest = bytes + 2;
	rest_len = len - 2;
	fuzz_queue(urls[bytes[0] % ARRAY_LEN(urls)], "receipt 1", bytes[1]);
	return 0;
}
