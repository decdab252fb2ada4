/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/json_read.h"
#include "probes/queue/cloud.h"

enum {
	WORDS_MAX = 300
};

int
cloud_ask(struct queue *queue, struct arena *arena,
    const struct http_request *request, struct cloud_reply *ret,
    struct err *err)
{
	struct http_answer answer = {.status = 0};
	struct ladder later;
	struct ladder *ladder = &later;

	*ret = (struct cloud_reply){.body = "", .headers = ""};
	ladder_init(&later, arena, queue->deadline_ms);
	if (queue->ladder.nsteps == 0)
		ladder = &queue->ladder;
	int rc = http_perform(request, ladder, &answer);

	if (rc == 0) {
		ret->status = answer.status;
		ret->len = answer.body.len;
		ret->body = arena_bytes(arena,
		    answer.body.len > 0 ? answer.body.data : "",
		    answer.body.len);
		ret->headers = arena_bytes(arena,
		    answer.headers.len > 0 ? answer.headers.data : "",
		    answer.headers.len);
		ret->cut = answer.body.overflow || answer.headers.overflow;
		ret->json = json_read(ret->body, ret->len, NULL);
	}
	http_answer_fini(&answer);
	if (rc == 0)
		return 0;
	return queue_trouble(queue, ladder->cause,
	    ladder->code != NULL ? ladder->code : "", err,
	    ladder->result == RESULT_FAILED ? ERR_REFUSED : ERR_TIMEOUT, "%s",
	    ladder->summary);
}

void
cloud_reply_fini(struct cloud_reply *reply)
{
	cJSON_Delete(reply->json);
	reply->json = NULL;
}

const char *
cloud_header(
    struct arena *arena, const struct cloud_reply *reply, const char *name)
{
	size_t len = strlen(name);
	const char *next = NULL;

	for (const char *at = reply->headers; at[0] != '\0'; at = next) {
		size_t line = strcspn(at, "\n");

		next = at + line + (at[line] == '\n');
		if (line >= len + 2 && strncasecmp(at, name, len) == 0 &&
		    memcmp(at + len, ": ", 2) == 0)
			return arena_bytes(arena, at + len + 2, line - len - 2);
	}
	return "";
}

const char *
cloud_text(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsString(item) ? item->valuestring : "";
}

int
cloud_refused(struct queue *queue, const struct cloud_reply *reply,
    const struct cloud_refusal *refusal, struct err *err)
{
	char status[16];
	const char *code = refusal->code;
	const char *words = refusal->words == NULL ? "" : refusal->words;

	(void)snprintf(status, sizeof(status), "%ld", reply->status);
	if (code == NULL || code[0] == '\0')
		code = status;
	return queue_trouble(queue,
	    refusal->cause != CAUSE_NONE ? refusal->cause
	                                 : http_status_cause(reply->status),
	    code, err, ERR_REFUSED, "%s: %s%s%.*s", refusal->what, code,
	    words[0] == '\0' ? "" : ", ", WORDS_MAX, words);
}

/* --- XML ---------------------------------------------------------------- */

/* Whether a start tag of this name begins at `at` ("<"), with any prefix; what
 * follows its '>' goes to `ret_text`. */
static bool
opens(const char *at, const char *end, const char *name, const char **ret_text)
{
	const char *close = memchr(at, '>', (size_t)(end - at));
	const char *word = at + 1;

	if (close == NULL || word == close || *word == '/' || close[-1] == '/')
		return false;
	size_t len = 0;

	while (word + len < close && strchr(" \t\r\n", word[len]) == NULL)
		len++;
	const char *colon = memchr(word, ':', len);

	if (colon != NULL) {
		len -= (size_t)(colon + 1 - word);
		word = colon + 1;
	}
	*ret_text = close + 1;
	return len == strlen(name) && memcmp(word, name, len) == 0;
}

static const char *
decoded(struct arena *arena, const char *text, size_t len)
{
	static const struct {
		const char *entity;
		char is;
	} entities[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'},
	    {"&quot;", '"'}, {"&apos;", '\''}};
	char *out = arena_bytes(arena, text, len);
	size_t to = 0;

	for (size_t i = 0; i < len;) {
		size_t used = 1;

		out[to] = text[i];
		for (size_t k = 0; k < ARRAY_LEN(entities); k++) {
			size_t n = strlen(entities[k].entity);

			if (n <= len - i &&
			    memcmp(text + i, entities[k].entity, n) == 0) {
				out[to] = entities[k].is;
				used = n;
			}
		}
		to++;
		i += used;
	}
	out[to] = '\0';
	return out;
}

const char *
cloud_xml_next(
    struct arena *arena, const char **at, const char *end, const char *name)
{
	const char *text = NULL;

	while ((*at = memchr(*at, '<', (size_t)(end - *at))) != NULL) {
		if (opens(*at, end, name, &text)) {
			const char *stop =
			    memchr(text, '<', (size_t)(end - text));

			*at = stop == NULL ? end : stop;
			return decoded(arena, text, (size_t)(*at - text));
		}
		(*at)++;
	}
	*at = end;
	return NULL;
}

const char *
cloud_xml(
    struct arena *arena, const struct cloud_reply *reply, const char *name)
{
	const char *at = reply->body;

	return cloud_xml_next(arena, &at, reply->body + reply->len, name);
}

int
cloud_url(struct queue *queue, struct url *ret, struct err *err)
{
	if (url_parse(&queue->arena, queue->spec.url, ret, err) == -1) {
		queue->cause = CAUSE_URL;
		return -1;
	}
	if (ret->path[0] == '/')
		ret->path++;
	return 0;
}
