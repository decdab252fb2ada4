/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_CLOUD_H
#define REEVE_PROBES_QUEUE_CLOUD_H

#include <cjson/cJSON.h>

#include "base/base.h"
#include "base/url.h"
#include "probes/http.h"
#include "probes/queue/queue.h"

/*
 * What the queues of cloud services have in common: one HTTPS request a
 * question, JSON or XML in the answer, and a refusal that says by a status and
 * a word of its own what is wrong.
 */
struct cloud_reply {
	long status;
	const char *body; /* of the asker's arena, NUL-terminated */
	size_t len;
	bool cut;    /* the body, or its headers, were longer than is read */
	cJSON *json; /* NULL: the body is no JSON */
	const char *headers; /* lines "Name: value\n" */
};

/* -1 only when no answer came (the queue's cause and code are set). The first
 * request of a handle leaves its rungs in queue->ladder. */
int cloud_ask(struct queue *queue, struct arena *arena,
    const struct http_request *request, struct cloud_reply *ret,
    struct err *err) MUST_CHECK;
void cloud_reply_fini(struct cloud_reply *reply);

/* The value of a header of the answer, whatever the case of its name; "" when
 * there is none. */
const char *cloud_header(
    struct arena *arena, const struct cloud_reply *reply, const char *name);

/* A text of a JSON object; "" when it is absent, or something else. */
const char *cloud_text(const cJSON *object, const char *key);

/* What a service said no with. */
struct cloud_refusal {
	enum cause cause; /* CAUSE_NONE: by the status */
	const char *code; /* its own word; "" none */
	const char *words;
	const char *what; /* was asked, or of whom */
};
/* The refusal as an error; returns -1. */
int cloud_refused(struct queue *queue, const struct cloud_reply *reply,
    const struct cloud_refusal *refusal, struct err *err);

/* The text of the next element of this name in XML, whatever its prefix, from
 * `*at` on, which moves behind it; NULL: there is none. Entities are decoded.
 */
const char *cloud_xml_next(
    struct arena *arena, const char **at, const char *end, const char *name);
/* The first one. */
const char *cloud_xml(
    struct arena *arena, const struct cloud_reply *reply, const char *name);

/* "/a/b" of the queue's URL, without the leading slash; `*ret` the parsed URL.
 */
int cloud_url(struct queue *queue, struct url *ret, struct err *err) MUST_CHECK;

#endif
