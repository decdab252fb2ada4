/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/buffer.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "checks/request_line.h"
#include "probes/queue/queue.h"

enum {
	LINE_MAX = 2 << 20,
};

static void
head(struct jsonw *json, const char *kind, const struct request_more *request)
{
	jsonw_object(json, NULL);
	jsonw_text(json, "kind", kind);
	jsonw_text(json, "subject", request->subject);
	jsonw_i64(json, "timeout_ms", request->timeout_ms);
	if (request->canary != NULL)
		jsonw_text(json, "canary", request->canary);
}

const char *
request_text(struct buffer *line, struct arena *arena)
{
	const char *text =
	    line->overflow ? NULL : arena_bytes(arena, line->data, line->len);

	buffer_wipe(line);
	return text;
}

const char *
request_line(struct arena *arena, const char *kind, const char *params,
    const struct request_more *request)
{
	struct buffer line;
	struct jsonw json;

	buffer_init(&line, LINE_MAX);
	jsonw_init(&json, &line, false);
	head(&json, kind, request);
	if (request->by != NULL)
		jsonw_text(&json, "by", request->by);
	if (request->base != NULL)
		jsonw_text(&json, "base", request->base);
	if (request->reader != NULL) {
		jsonw_array(&json, "reader");
		for (size_t i = 0; request->reader[i] != NULL; i++)
			jsonw_text(&json, NULL, request->reader[i]);
		jsonw_end(&json);
	}
	jsonw_end(&json);
	/* `params` is a JSON object of our own making: its members follow ours
	 * in the same object. */
	size_t len = params == NULL ? 0 : strlen(params);

	if (len > 2 && line.len > 0) {
		assert(params[0] == '{');
		line.data[--line.len] = '\0';
		buffer_text(&line, ",");
		buffer_append(&line, params + 1, len - 1);
	}
	return request_text(&line, arena);
}

/* What is asked of the jobs that wait, where the manifest says what they are
 * like. */
static void
put_sample(struct jsonw *json, const struct declared_jobs *jobs)
{
	if (jobs->id == NULL && jobs->version == NULL && jobs->size == NULL)
		return;
	jsonw_object(json, "sample");
	if (jobs->id != NULL)
		jsonw_text(json, "id", jobs->id);
	if (jobs->version != NULL)
		jsonw_text(json, "version", jobs->version);
	if (jobs->size != NULL) {
		jsonw_text(json, "size", jobs->size);
		jsonw_i64(json, "sizeFrom", jobs->size_from);
		jsonw_i64(json, "sizeBelow", jobs->size_below);
	}
	jsonw_end(json);
}

const char *
request_line_queue(struct arena *arena, const struct declared_queue *queue,
    const char *op, const struct request_more *request)
{
	struct buffer line;
	struct jsonw json;

	buffer_init(&line, LINE_MAX);
	jsonw_init(&json, &line, false);
	head(&json, "queue", request);
	jsonw_text(&json, "queueKind", queue->kind);
	jsonw_text(&json, "url", queue->url);
	jsonw_i64(&json, "countTo", queue->count_to);
	jsonw_object(&json, "options");
	for (size_t i = 0; i < queue->noptions; i++)
		jsonw_text(
		    &json, queue->options[i].key, queue->options[i].value);
	jsonw_end(&json);
	jsonw_text(&json, "op", op);
	if (text_equal(op, "observe"))
		jsonw_bool(&json, "near", !request->alone);
	if (text_equal(op, "observe") && !request->alone)
		put_sample(&json, &queue->jobs);
	if (text_equal(op, "arrivals")) {
		jsonw_text(&json, "id", queue->jobs.id);
		jsonw_text(&json, "rowKind", queue->jobs.row.kind);
		jsonw_raw(&json, "row", queue->jobs.row.json);
	}
	if (request->payload != NULL)
		jsonw_text(&json, "payload", request->payload);
	if (request->receipt != NULL)
		jsonw_text(&json, "receipt", request->receipt);
	if (request->part != NULL)
		jsonw_text(&json, "part", request->part);
	if (request->limit > 0)
		jsonw_i64(&json, "limit", request->limit);
	if (request->force)
		jsonw_bool(&json, "force", true);
	if (request->ids != NULL) {
		jsonw_array(&json, "ids");
		for (size_t i = 0; i < request->nids; i++)
			jsonw_text(&json, NULL, request->ids[i]);
		jsonw_end(&json);
	}
	jsonw_end(&json);
	return request_text(&line, arena);
}

void
request_share_prober(
    struct probe_request *request, const struct declared_queue *queue)
{
	request->endpoint = queue->url;
	request->together = queue_observes_together(queue->kind);
}
