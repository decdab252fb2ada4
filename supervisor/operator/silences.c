/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/record.h"
#include "supervisor/operator/silences.h"

enum {
	FILE_MAX = 256 * 1024,
	FILE_MODE = 0600,
	PATH_SIZE = 320
};

static const char FILE_NAME[] = "silences.json";

/* --- the file ------------------------------------------------------------ */

/* A disk that is full costs only the promise to outlive us. */
static void
keep(const struct silences *silences, const char *dir)
{
	struct err err = ERR_INIT;
	char path[PATH_SIZE];
	struct buffer bytes;
	struct jsonw json;

	if (dir == NULL)
		return;
	buffer_init(&bytes, FILE_MAX);
	jsonw_init(&json, &bytes, false);
	jsonw_object(&json, NULL);
	jsonw_i64(&json, "next", silences->next);
	jsonw_array(&json, "silences");
	for (size_t i = 0; i < silences->count; i++) {
		const struct silence *one = &silences->list[i];
		jsonw_object(&json, NULL);
		jsonw_i64(&json, "id", one->id);
		jsonw_text(&json, "match", one->match);
		jsonw_text(&json, "reason", one->reason);
		jsonw_text(&json, "by", one->by);
		jsonw_i64(&json, "since_ms", one->since_wall_ms);
		jsonw_i64(&json, "until_ms", one->until_wall_ms);
		jsonw_end(&json);
	}
	jsonw_end(&json);
	jsonw_end(&json);
	if (text_format(path, sizeof(path), &err, "%s/%s", dir, FILE_NAME) ==
	        -1 ||
	    fd_replace_file(path, FILE_MODE, bytes.data, bytes.len, &err) == -1)
		log_warning("silences", "kept in memory only: %s", err.text);
	buffer_fini(&bytes);
}

static void
read_one(struct silences *silences, const cJSON *item, int64_t now_wall_ms)
{
	struct silence one = {
	    .id = record_i64(item, "id", 0),
	    .since_wall_ms = record_i64(item, "since_ms", 0),
	    .until_wall_ms = record_i64(item, "until_ms", 0),
	};
	/* Not longer than it was meant to be, whatever the clock says now. */
	int64_t left_ms = MIN(one.until_wall_ms - now_wall_ms,
	    one.until_wall_ms - one.since_wall_ms);

	if (one.id <= 0 || silences->count == SILENCES_MAX ||
	    text_copy(one.match, sizeof(one.match),
	        record_text(item, "match", ""), NULL) == -1 ||
	    text_copy(one.reason, sizeof(one.reason),
	        record_text(item, "reason", ""), NULL) == -1 ||
	    text_copy(one.by, sizeof(one.by), record_text(item, "by", ""),
	        NULL) == -1)
		return;
	one.until_ms = clock_after(clock_ms(), MAX(left_ms, (int64_t)0));
	silences->list[silences->count++] = one;
	silences->next = MAX(silences->next, one.id + 1);
}

void
silences_read(struct silences *silences, const char *dir)
{
	struct err err = ERR_INIT;
	char path[PATH_SIZE];
	struct buffer bytes;
	const cJSON *item = NULL;

	*silences = (struct silences){.next = 1};
	if (dir == NULL || text_format(path, sizeof(path), &err, "%s/%s", dir,
	                       FILE_NAME) == -1)
		return;
	buffer_init(&bytes, FILE_MAX);
	if (buffer_read_file(&bytes, path, &err) == 0) {
		CLEANUP(record_free)
		cJSON *json = record_parse(bytes.data, bytes.len);
		silences->next = MAX(record_i64(json, "next", 1), (int64_t)1);
		cJSON_ArrayForEach(item, record_array(json, "silences"))
		    read_one(silences, item, clock_wall_ms());
	}
	buffer_fini(&bytes);
}

/* --- the list ------------------------------------------------------------ */

int
silences_add(struct silences *silences, const char *dir,
    const struct silence *wanted, int64_t for_ms, int64_t *ret_id,
    struct err *err)
{
	struct silence one = *wanted;

	if (one.match[0] == '\0' || one.reason[0] == '\0')
		return err_set(
		    err, ERR_INPUT, "it needs a pattern and a reason");
	if (for_ms < SILENCE_LEAST_MS || for_ms > SILENCE_MOST_MS)
		return err_set(err, ERR_INPUT, "for how long? from 1s to 720h");
	if (silences->count == SILENCES_MAX)
		return err_set(err, ERR_CAPACITY,
		    "there are %d silences already: take one back first",
		    SILENCES_MAX);
	one.id = silences->next++;
	one.since_wall_ms = clock_wall_ms();
	one.until_wall_ms = one.since_wall_ms + for_ms;
	one.until_ms = clock_after(clock_ms(), for_ms);
	silences->list[silences->count++] = one;
	keep(silences, dir);
	*ret_id = one.id;
	return 0;
}

static void
drop(struct silences *silences, size_t at)
{
	memmove(&silences->list[at], &silences->list[at + 1],
	    (silences->count - at - 1) * sizeof(silences->list[0]));
	silences->count--;
}

bool
silences_remove(struct silences *silences, const char *dir, int64_t id)
{
	for (size_t i = 0; i < silences->count; i++) {
		if (silences->list[i].id != id)
			continue;
		drop(silences, i);
		keep(silences, dir);
		return true;
	}
	return false;
}

void
silences_expire(struct silences *silences, const char *dir, int64_t now_ms,
    void (*over)(void *, const struct silence *), void *arg)
{
	size_t before = silences->count;
	size_t i = 0;

	while (i < silences->count) {
		if (silences->list[i].until_ms > now_ms) {
			i++;
			continue;
		}
		struct silence gone = silences->list[i];
		drop(silences, i);
		over(arg, &gone);
	}
	if (silences->count != before)
		keep(silences, dir);
}

static bool
fits(const char *pattern, const char *text)
{
	return text != NULL && fnmatch(pattern, text, 0) == 0;
}

int64_t
silences_find(
    const struct silences *silences, const struct silence_subject *subject)
{
	for (size_t i = 0; i < silences->count; i++) {
		const char *match = silences->list[i].match;
		if (fits(match, subject->key) || fits(match, subject->kind) ||
		    fits(match, subject->subject) ||
		    fits(match, subject->finding))
			return silences->list[i].id;
	}
	return 0;
}

int64_t
silences_wake_ms(const struct silences *silences)
{
	int64_t wake_ms = CLOCK_NEVER;

	for (size_t i = 0; i < silences->count; i++)
		wake_ms = MIN(wake_ms, silences->list[i].until_ms);
	return wake_ms;
}
