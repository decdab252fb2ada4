/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/json_read.h"
#include "probes/look.h"
#include "probes/observation_write.h"
#include "probes/pool_answer.h"
#include "probes/words.h"

enum {
	LINE_MAX_BYTES = 1 << 20
};

/* What was looked at, as far as the request says, without its secret. */
static const char *
target(struct arena *arena, const struct probe_request *request)
{
	static const char *const keys[] = {"host", "path"};
	const char *text = "";
	CLEANUP(json_free)
	cJSON *json = json_read(request->json, strlen(request->json), NULL);

	if (json == NULL || !cJSON_IsObject(json))
		return "";
	if (json_text(json, "url", "", &text, NULL) == 0 && text[0] != '\0')
		return url_shown(arena, text);
	for (size_t i = 0; i < ARRAY_LEN(keys) && text[0] == '\0'; i++)
		if (json_text(json, keys[i], "", &text, NULL) == -1)
			text = "";
	return strstr(text, "://") != NULL ? url_redacted(arena, text)
	                                   : arena_text(arena, text);
}

/* An answer of our own: the prober gave none. */
static void
answer_ourselves(
    struct arena *arena, struct probe_request *request, struct observation *out)
{
	struct buffer line;

	out->kind = request->kind;
	out->subject = request->subject;
	out->target = target(arena, request);
	out->identity = "";
	out->code = out->code != NULL ? out->code : "";
	out->at_wall_ms = clock_wall_ms();
	buffer_init(&line, LINE_MAX_BYTES);
	observation_write(&line, out);
	request->answer = arena_bytes(arena, line.data, line.len - 1);
	request->answer_len = line.len - 1;
	buffer_fini(&line);
}

/* Whatever the request holds that its prober's last words may repeat. */
static void
learn_request(struct redactor *redactor, const cJSON *item)
{
	for (; item != NULL; item = item->next) {
		if (cJSON_IsString(item) && item->valuestring != NULL)
			look_learn_url(redactor, item->valuestring);
		/* depth is bounded by cJSON's own limit */
		learn_request(redactor, item->child);
	}
}

static const char *
last_words(struct arena *arena, const struct probe_request *request,
    const struct pool_crash *crash)
{
	if (crash->len == 0)
		return "";
	struct redactor *redactor = redactor_new();
	if (redactor == NULL)
		return "";
	CLEANUP(json_free)
	cJSON *json = json_read(request->json, strlen(request->json), NULL);
	if (json != NULL)
		learn_request(redactor, json);
	for (size_t i = 0; i < crash->len; i++)
		if ((unsigned char)crash->words[i] < ' ')
			crash->words[i] = ' ';
	const char *text = redactor_clean(redactor, arena, crash->words);
	redactor_free(redactor);
	return text;
}

/* What did not come, at each step, in the words of the one who waits. */
static const char *
hung_at(const struct pool_hang *hang)
{
	if (!hang->any_step)
		return "no answer";
	switch (hang->step) {
	case STEP_DNS:
		return "DNS did not answer";
	case STEP_TCP:
		return "no answer to a connection attempt";
	case STEP_TLS:
		return "the TLS handshake was not answered";
	case STEP_AUTH:
		return "the login was not answered";
	case STEP_PROTOCOL:
		return "connected, but the server answered nothing";
	case STEP_QUERY:
		return "connected, but the request was not answered";
	}
	UNREACHABLE("step kind");
}

void
pool_answer_deadline(struct arena *arena, struct probe_request *request,
    const struct pool_hang *hang)
{
	char people[32];
	int64_t elapsed_ms = clock_ms() - hang->asked_ms;
	bool detailed = hang->detail[0] != '\0';
	struct step step = {.kind = hang->step,
	    .result = RESULT_UNKNOWN,
	    .elapsed_ms = elapsed_ms,
	    .detail = hang->detail};
	struct observation out = {.cause = CAUSE_DEADLINE,
	    .code = hang->any_step ? step_name(hang->step) : "",
	    .elapsed_ms = elapsed_ms,
	    .steps = hang->any_step ? &step : NULL,
	    .nsteps = hang->any_step ? 1 : 0};

	out.summary = arena_format(arena, "%s within %s%s%s%s", hung_at(hang),
	    text_ms_for_people(elapsed_ms, people, sizeof(people)),
	    detailed ? " (" : "", hang->detail, detailed ? ")" : "");
	answer_ourselves(arena, request, &out);
}

void
pool_answer_crash(struct arena *arena, struct probe_request *request,
    const struct pool_crash *crash)
{
	const char *words = last_words(arena, request, crash);
	const char *how =
	    WIFSIGNALED(crash->status)
	        ? arena_format(arena, "signal %d", WTERMSIG(crash->status))
	        : arena_format(arena, "exit %d", WEXITSTATUS(crash->status));
	struct observation out = {.cause = CAUSE_INTERNAL,
	    .code = how,
	    .elapsed_ms = clock_ms() - crash->asked_ms};

	out.summary =
	    arena_format(arena, "the prober ended (%s) before it answered%s%s",
	        how, words[0] != '\0' ? ": " : "", words);
	answer_ourselves(arena, request, &out);
}

void
pool_answer_garbage(struct arena *arena, struct probe_request *request,
    int64_t asked_ms, const char *why)
{
	struct observation out = {
	    .cause = CAUSE_INTERNAL, .elapsed_ms = clock_ms() - asked_ms};

	out.summary =
	    arena_format(arena, "the prober's answer is not usable: %s", why);
	answer_ourselves(arena, request, &out);
}

void
pool_answer_not_asked(struct arena *arena, struct probe_request *request,
    enum cause cause, const char *why)
{
	struct observation out = {.cause = cause, .summary = why};

	answer_ourselves(arena, request, &out);
}

/* Silence before anything was asked is the server's, behind that it may be the
 * question's. */
static bool
silent_at_once(const cJSON *verdict)
{
	const cJSON *steps = NULL;
	const char *word = "";
	const char *result = "";
	enum step_kind step = STEP_QUERY;

	if (json_array(verdict, "steps", &steps, NULL) == -1 ||
	    cJSON_GetArraySize(steps) == 0)
		return false;
	const cJSON *last =
	    cJSON_GetArrayItem(steps, cJSON_GetArraySize(steps) - 1);

	return json_text(last, "step", "", &word, NULL) == 0 &&
	       json_text(last, "result", "", &result, NULL) == 0 &&
	       step_parse(word, &step) && step != STEP_QUERY &&
	       !text_equal(result, result_name(RESULT_PASSED));
}

bool
pool_answer_of_endpoint(const cJSON *verdict)
{
	static const enum cause causes[] = {
	    CAUSE_DNS, CAUSE_REFUSED, CAUSE_UNREACHABLE, CAUSE_TLS, CAUSE_AUTH};
	const char *word = NULL;
	enum cause cause = CAUSE_NONE;

	if (json_text(verdict, "cause", "", &word, NULL) == -1 ||
	    !cause_parse(word, &cause))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(causes); i++)
		if (cause == causes[i])
			return true;
	return (cause == CAUSE_SILENT || cause == CAUSE_DEADLINE) &&
	       silent_at_once(verdict);
}

void
pool_answer_alike(
    struct arena *arena, struct probe_request *request, const cJSON *verdict)
{
	CLEANUP(json_free) cJSON *copy = cJSON_Duplicate(verdict, true);
	cJSON *name = cJSON_CreateString(request->subject);
	char *line = NULL;

	if (copy == NULL || name == NULL ||
	    !cJSON_ReplaceItemInObjectCaseSensitive(copy, "subject", name))
		abort(); /* as an arena without memory ends us */
	line = cJSON_PrintUnformatted(copy);
	if (line == NULL)
		abort();
	request->answer = arena_text(arena, line);
	request->answer_len = strlen(line);
	cJSON_free(line);
}
