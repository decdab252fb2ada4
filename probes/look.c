/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/look.h"

enum {
	TEXT_MAX = 4096,
	URL_ARENA_BYTES = 4 << 20
};
/* An idle connection is trusted no longer than this: servers and middleboxes
 * drop them, and a fresh login is what notices a changed password. */
static const int64_t KEPT_MS = 60000;

struct kept {
	char *kind, *url;
	void *connection;
	void (*close)(void *connection);
	int64_t used_ms;
};

struct look_kept {
	struct kept all[LOOK_KEPT_MAX];
};

static const char *PRINTF_LIKE(2, 0)
    look_vformat(struct look *look, const char *fmt, va_list args)
{
	char text[TEXT_MAX];

	(void)vsnprintf(text, sizeof(text), fmt, args);
	return arena_text(look->arena, text);
}

static void
look_answer(struct look *look, enum result result, enum cause cause,
    const char *code, const char *summary)
{
	look->out.result = result;
	look->out.cause = cause;
	look->out.code = code == NULL ? "" : arena_text(look->arena, code);
	look->out.summary = summary;
}

void
look_passed(struct look *look, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	look_answer(
	    look, RESULT_PASSED, CAUSE_NONE, "", look_vformat(look, fmt, args));
	va_end(args);
}

void
look_init(struct look *look, const struct look *base, struct arena *arena,
    const cJSON *request)
{
	*look = *base;
	look->arena = arena;
	look->request = request;
	look->out = (struct observation){.kind = "",
	    .subject = "",
	    .target = "",
	    .code = "",
	    .summary = "the look ended without an answer",
	    .identity = "",
	    .cause = CAUSE_INTERNAL,
	    .at_wall_ms = clock_wall_ms()};
	ladder_init(&look->ladder, arena, CLOCK_NEVER);
}

void
look_failed(
    struct look *look, enum cause cause, const char *code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	look_answer(
	    look, RESULT_FAILED, cause, code, look_vformat(look, fmt, args));
	va_end(args);
}

void
look_unknown(
    struct look *look, enum cause cause, const char *code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	look_answer(
	    look, RESULT_UNKNOWN, cause, code, look_vformat(look, fmt, args));
	va_end(args);
}

void
look_ladder_failed(struct look *look)
{
	look_answer(look, look->ladder.result, look->ladder.cause,
	    look->ladder.code, look->ladder.summary);
}

void
look_note(struct look *look, const char *key, const char *fmt, ...)
{
	va_list args;

	if (look->out.nfacts == LOOK_FACTS_MAX) {
		/* the last one counts what did not fit */
		look->facts[LOOK_FACTS_MAX - 1] =
		    (struct fact){"facts-dropped", "more than there is room"};
		return;
	}
	va_start(args, fmt);
	look->facts[look->out.nfacts++] = (struct fact){
	    arena_text(look->arena, key), look_vformat(look, fmt, args)};
	va_end(args);
}

void
look_note_bytes(
    struct look *look, const char *key, const struct buffer *bytes, size_t max)
{
	size_t len = MIN(bytes->len, max);
	char *shown = arena_alloc(look->arena, len + 1);

	for (size_t i = 0; i < len; i++) {
		shown[i] = ' ';
		if ((unsigned char)bytes->data[i] > ' ')
			shown[i] = bytes->data[i];
	}
	if (len > 0)
		look_note(look, key, "%s", shown);
}

static int
asker_wrong(struct look *look, const struct err *err)
{
	look_unknown(
	    look, CAUSE_INTERNAL, "", "the request is wrong: %s", err->text);
	return -1;
}

int
look_text(
    struct look *look, const char *key, const char *absent, const char **ret)
{
	struct err err = ERR_INIT;

	if (json_text(look->request, key, absent, ret, &err) == -1)
		return asker_wrong(look, &err);
	return 0;
}

int
look_need(struct look *look, const char *key, const char **ret)
{
	const char *text = NULL;

	if (look_text(look, key, NULL, &text) == -1)
		return -1;
	if (text == NULL || text[0] == '\0') {
		look_unknown(look, CAUSE_UNRESOLVED, "",
		    "the request has no '%s', or an empty one", key);
		return -1;
	}
	*ret = text;
	return 0;
}

int
look_i64(struct look *look, const char *key, int64_t absent, int64_t *ret)
{
	struct err err = ERR_INIT;

	if (json_i64(look->request, key, absent, ret, &err) == -1)
		return asker_wrong(look, &err);
	return 0;
}

int
look_bool(struct look *look, const char *key, bool absent, bool *ret)
{
	struct err err = ERR_INIT;

	if (json_bool(look->request, key, absent, ret, &err) == -1)
		return asker_wrong(look, &err);
	return 0;
}

int
look_tls(struct look *look, const char **ret_ca, const char **ret_server_name)
{
	struct err err = ERR_INIT;
	const cJSON *tls = NULL;
	const char *ca = NULL;
	const char *server_name = NULL;

	if (json_object(look->request, "tls", &tls, &err) == -1 ||
	    (tls != NULL && (json_text(tls, "ca", NULL, &ca, &err) == -1 ||
	                        json_text(tls, "serverName", NULL, &server_name,
	                            &err) == -1)))
		return asker_wrong(look, &err);
	*ret_ca = ca;
	*ret_server_name = server_name;
	return 0;
}

int64_t
look_left_ms(const struct look *look)
{
	return MAX(look->ladder.deadline_ms - clock_ms(), 1);
}

bool
look_number(const char *text, double *ret)
{
	char *end = NULL;

	errno = 0;
	double value = strtod(text, &end);
	if (end == text || *end != '\0' || errno == ERANGE || !isfinite(value))
		return false;
	*ret = value;
	return true;
}

/* As the databases print it: true is also "t" and 1. */
static bool
value_equals(const cJSON *wanted, const char *value)
{
	double number = 0;

	if (cJSON_IsString(wanted))
		return text_equal(wanted->valuestring, value);
	if (cJSON_IsNumber(wanted))
		return look_number(value, &number) &&
		       number >= wanted->valuedouble &&
		       number <= wanted->valuedouble;
	if (cJSON_IsTrue(wanted))
		return text_equal(value, "true") || text_equal(value, "t") ||
		       text_equal(value, "1");
	return text_equal(value, "false") || text_equal(value, "f") ||
	       text_equal(value, "0");
}

void
look_expect(struct look *look, const char *what, const char *value)
{
	const cJSON *equals =
	    cJSON_GetObjectItemCaseSensitive(look->request, "equals");
	const cJSON *least =
	    cJSON_GetObjectItemCaseSensitive(look->request, "atLeast");
	double number = 0;

	if ((equals != NULL && !cJSON_IsString(equals) &&
	        !cJSON_IsNumber(equals) && !cJSON_IsBool(equals)) ||
	    (least != NULL && !cJSON_IsNumber(least))) {
		look_unknown(look, CAUSE_INTERNAL, "",
		    "the request is wrong: 'equals' or 'atLeast'");
		return;
	}
	if (value == NULL) {
		look_failed(
		    look, CAUSE_MISMATCH, "no-row", "%s gives nothing", what);
		return;
	}
	look_note(look, "value", "%.1000s", value);
	if (equals != NULL && !value_equals(equals, value)) {
		char *wanted = cJSON_PrintUnformatted(equals);
		look_failed(look, CAUSE_MISMATCH, "",
		    "%s gives '%.200s', not %.200s", what, value,
		    wanted != NULL ? wanted : "what was expected");
		cJSON_free(wanted);
		return;
	}
	if (least != NULL &&
	    (!look_number(value, &number) || number < least->valuedouble)) {
		look_failed(look, CAUSE_MISMATCH, "",
		    "%s gives '%.200s', which is not at least %g", what, value,
		    least->valuedouble);
		return;
	}
	look_passed(look, "%s gives '%.200s'", what, value);
}

/* The next place of what is bound; NULL: none. */
static const char *
next_bound(const char *text, size_t *ret_len)
{
	static const char *const marks[] = {"$(CANARY)", "$(JOB)"};
	const char *next = NULL;

	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		const char *at = strstr(text, marks[i]);

		if (at == NULL || (next != NULL && next < at))
			continue;
		next = at;
		*ret_len = strlen(marks[i]);
	}
	return next;
}

int
look_bind_canary(struct look *look, const char *sql, const char *prefix,
    const char **ret_sql, int *ret_count)
{
	const char *done = "";
	const char *rest = sql;
	size_t len = 0;
	bool numbered = text_equal(prefix, "$");
	int count = 0;

	for (const char *at = next_bound(rest, &len); at != NULL;
	     at = next_bound(rest, &len)) {
		count++;
		done = numbered ? arena_format(look->arena, "%s%.*s$%d", done,
		                      (int)(at - rest), rest, count)
		                : arena_format(look->arena, "%s%.*s%s", done,
		                      (int)(at - rest), rest, prefix);
		rest = at + len;
	}
	if (count > 0 && look->canary == NULL) {
		look_unknown(look, CAUSE_UNRESOLVED, "",
		    "it needs $(CANARY), which only a smoke has");
		return -1;
	}
	*ret_sql = arena_format(look->arena, "%s%s", done, rest);
	*ret_count = count;
	return 0;
}

/* The part between ':' and the '@' as it stands there: what a library that
 * takes the URL apart otherwise may print. */
static void
learn_raw(struct redactor *redactor, struct arena *arena, const char *url)
{
	size_t len = 0;
	const char *userinfo = url_userinfo(url, &len);
	const char *colon =
	    userinfo != NULL ? memchr(userinfo, ':', len) : NULL;

	if (colon == NULL)
		return;
	len -= (size_t)(colon + 1 - userinfo);
	redactor_add(redactor, arena_bytes(arena, colon + 1, len));
	/* the same for the nearest '@' */
	const char *first = memchr(colon + 1, '@', len);
	if (first != NULL)
		redactor_add(redactor,
		    arena_bytes(arena, colon + 1, (size_t)(first - colon - 1)));
}

/* Of NATS and HTTP a lone name is a token. */
static bool
is_token(const struct url *url)
{
	return url->user != NULL && url->password == NULL &&
	       (text_equal(url->scheme, "nats") ||
	           text_equal(url->scheme, "nats+tls") ||
	           text_equal(url->scheme, "tls") ||
	           text_starts(url->scheme, "http"));
}

void
look_learn_url(struct redactor *redactor, const char *url)
{
	struct arena arena;
	struct url parsed = {.port = -1};

	arena_init(&arena, URL_ARENA_BYTES);
	learn_raw(redactor, &arena, url);
	if (url_parse(&arena, url, &parsed, NULL) == 0) {
		if (parsed.password != NULL)
			redactor_add(redactor, parsed.password);
		if (is_token(&parsed))
			redactor_add(redactor, parsed.user);
		const char *word = url_query(&parsed, "password");
		if (word != NULL)
			redactor_add(redactor, word);
	}
	arena_wipe(&arena);
	arena_fini(&arena);
}

void
look_url(struct look *look, const char *url)
{
	look_learn_url(look->redactor, url);
	look->out.target = url_shown(look->arena, url);
}

const char *
look_canary(struct look *look, const char *text, bool encode)
{
	static const char mark[] = "$(CANARY)";

	if (look->canary == NULL || text == NULL)
		return text;
	const char *value =
	    encode ? url_encode(look->arena, look->canary) : look->canary;
	const char *rest = text;
	const char *done = "";
	for (const char *at = strstr(rest, mark); at != NULL;
	     at = strstr(rest, mark)) {
		done = arena_format(look->arena, "%s%.*s%s", done,
		    (int)(at - rest), rest, value);
		rest = at + sizeof(mark) - 1;
	}
	return rest == text ? text
	                    : arena_format(look->arena, "%s%s", done, rest);
}

static void
kept_drop(struct kept *kept)
{
	if (kept->connection != NULL)
		kept->close(kept->connection);
	free(kept->kind);
	secret_free(kept->url);
	*kept = (struct kept){.connection = NULL};
}

void *
look_take(struct look *look, const char *kind, const char *url)
{
	for (size_t i = 0; i < LOOK_KEPT_MAX; i++) {
		struct kept *kept = &look->kept->all[i];
		if (kept->connection == NULL || !text_equal(kept->url, url) ||
		    !text_equal(kept->kind, kind))
			continue;
		void *connection = NULL;
		if (clock_ms() - kept->used_ms <= KEPT_MS) {
			connection = kept->connection;
			kept->connection = NULL;
		}
		kept_drop(kept);
		return connection;
	}
	return NULL;
}

void
look_keep(struct look *look, const char *kind, const char *url,
    void *connection, void (*close)(void *connection))
{
	struct kept *place = &look->kept->all[0];

	for (size_t i = 0; i < LOOK_KEPT_MAX; i++) {
		struct kept *kept = &look->kept->all[i];
		if (kept->connection == NULL) {
			place = kept;
			break;
		}
		if (kept->used_ms < place->used_ms)
			place = kept;
	}
	kept_drop(place);
	place->kind = strdup(kind);
	place->url = strdup(url);
	place->connection = connection;
	place->close = close;
	place->used_ms = clock_ms();
	if (place->kind == NULL || place->url == NULL)
		kept_drop(place);
}

struct look_kept *
look_kept_new(void)
{
	return calloc(1, sizeof(struct look_kept));
}

/* Closes all kept connections. */
static void
look_kept_close(struct look_kept *kept)
{
	for (size_t i = 0; i < LOOK_KEPT_MAX; i++)
		kept_drop(&kept->all[i]);
}

void
look_kept_free(struct look_kept *kept)
{
	if (kept == NULL)
		return;
	look_kept_close(kept);
	free(kept);
}
