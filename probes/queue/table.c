/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "probes/queue/table.h"

enum {
	COST_DEFAULT = 10000, /* about 50 ms of a sequential scan */
	ATTEMPTS_LIMIT = 1000000
};

const char *const table_keys[] = {"table", "schema", "id", "payload", "status",
    "waiting", "active", "done", "failed", "dead", "lease", "attempts",
    "max_attempts", "created", "updated", "owner", "run_at", "error", "queue",
    "queue_column", "where", "time", "tz", "cost", "dlq", "test", "ts",
    "timeout", "budget", "pass", NULL};

static int
split_words(struct queue *queue, const char *key, const char *otherwise,
    struct table_words *ret, struct err *err)
{
	const char *given = queue_option(queue, key);
	char *text =
	    arena_text(&queue->arena, given != NULL ? given : otherwise);

	ret->count = 0;
	while (text != NULL && *text != '\0') {
		char *comma = strchr(text, ',');

		if (comma != NULL)
			*comma++ = '\0';
		if (*text == '\0' || ret->count == TABLE_WORDS_MAX)
			return queue_trouble(queue, CAUSE_URL, "", err,
			    ERR_INPUT,
			    "'%s' is one to %d status words, joined by commas",
			    key, TABLE_WORDS_MAX);
		ret->word[ret->count++] = text;
		text = comma;
	}
	return 0;
}

static int
read_words(struct queue *queue, struct table_layout *layout, struct err *err)
{
	const char *done = queue_option(queue, "done");

	if (split_words(queue, "waiting", "queued", &layout->waiting, err) ==
	        -1 ||
	    split_words(queue, "active", "processing", &layout->active, err) ==
	        -1 ||
	    split_words(queue, "done", "completed", &layout->done, err) == -1 ||
	    split_words(queue, "failed", "failed", &layout->failed, err) ==
	        -1 ||
	    split_words(queue, "dead", NULL, &layout->dead, err) == -1)
		return -1;
	layout->done_deletes = done != NULL && done[0] == '\0';
	if (layout->waiting.count == 0 || layout->active.count == 0)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'waiting' and 'active' need a status word each");
	return 0;
}

static int
read_time(struct queue *queue, struct table_layout *layout, struct err *err)
{
	const char *time = queue_option(queue, "time");

	if (time == NULL || text_equal(time, "text"))
		layout->time = TABLE_TIME_TEXT;
	else if (text_equal(time, "ms"))
		layout->time = TABLE_TIME_MS;
	else if (text_equal(time, "s"))
		layout->time = TABLE_TIME_S;
	else
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'time' is text, ms or s, not '%.40s'", time);
	return 0;
}

/* The name of a column, or what the layout says when nothing was given. */
static const char *
column(const struct queue *queue, const char *key, const char *otherwise)
{
	const char *given = queue_option(queue, key);

	if (given == NULL)
		return otherwise;
	return given[0] != '\0' ? given : NULL;
}

static int
read_numbers(struct queue *queue, struct table_layout *layout, struct err *err)
{
	const char *cost = queue_option(queue, "cost");
	const char *most = layout->max_attempts;

	layout->cost_max = COST_DEFAULT;
	if (cost != NULL &&
	    text_i64(cost, 1, INT64_MAX, &layout->cost_max, err) == -1) {
		queue->cause = CAUSE_URL;
		return err_wrap(err, "'cost'");
	}
	/* a number is a limit for all rows, anything else a column */
	if (most != NULL && most[0] >= '0' && most[0] <= '9') {
		if (text_i64(most, 1, ATTEMPTS_LIMIT,
		        &layout->max_attempts_fixed, err) == -1) {
			queue->cause = CAUSE_URL;
			return err_wrap(err, "'max_attempts'");
		}
		layout->max_attempts = NULL;
	}
	return 0;
}

int
table_layout_read(
    struct queue *queue, struct table_layout *ret, struct err *err)
{
	struct table_layout layout = {
	    .table = queue_option(queue, "table"),
	    .schema = column(queue, "schema", NULL),
	    .id = column(queue, "id", "id"),
	    .payload = column(queue, "payload", NULL),
	    .status = column(queue, "status", "status"),
	    .lease = column(queue, "lease", NULL),
	    .attempts = column(queue, "attempts", NULL),
	    .max_attempts = column(queue, "max_attempts", NULL),
	    .created = column(queue, "created", NULL),
	    .updated = column(queue, "updated", NULL),
	    .owner = column(queue, "owner", NULL),
	    .run_at = column(queue, "run_at", NULL),
	    .error = column(queue, "error", NULL),
	    .queue_column = column(queue, "queue_column", NULL),
	    .queue_value = queue_option(queue, "queue"),
	    .where = column(queue, "where", NULL),
	    .tz = column(queue, "tz", "utc"),
	};

	if (layout.id == NULL || layout.status == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'id' and 'status' are columns that a queue needs");
	if (layout.queue_value != NULL && layout.queue_column == NULL)
		layout.queue_column = "queue";
	if (layout.queue_column != NULL && layout.queue_value == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'queue_column' needs 'queue', the value to look for");
	if (read_words(queue, &layout, err) == -1 ||
	    read_time(queue, &layout, err) == -1 ||
	    read_numbers(queue, &layout, err) == -1)
		return -1;
	*ret = layout;
	return 0;
}

int
table_layout_claimable(
    struct queue *queue, const struct table_layout *layout, struct err *err)
{
	if (layout->lease == NULL || layout->attempts == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "consuming from a table needs the keys 'lease' and "
		    "'attempts' (columns for the lease's end and the count of "
		    "attempts)");
	if (table_dead_word(layout) == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "consuming from a table needs a status word for 'dead' or "
		    "'failed'");
	if (layout->done.count == 0 && !layout->done_deletes)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "consuming from a table needs a status word for 'done'");
	return 0;
}

int
table_layout_owned(
    struct queue *queue, const struct table_layout *layout, struct err *err)
{
	if (layout->owner != NULL && layout->lease != NULL)
		return 0;
	return queue_trouble(queue, CAUSE_MISMATCH, "unsupported", err,
	    ERR_UNSUPPORTED,
	    "table '%s' is declared without the column '%s', so nobody knows "
	    "who holds a job",
	    queue->name, layout->owner == NULL ? "owner" : "lease");
}

void
table_layout_embedded(struct table_layout *ret, const char *queue)
{
	*ret = (struct table_layout){
	    .table = "reeve_jobs",
	    .id = "id",
	    .payload = "payload",
	    .status = "status",
	    .lease = "lease",
	    .attempts = "attempts",
	    .max_attempts = "max_attempts",
	    .created = "created",
	    .updated = "updated",
	    .owner = "owner",
	    .run_at = "run_at",
	    .error = "error",
	    .queue_column = "queue",
	    .queue_value = queue,
	    .tz = "utc",
	    .waiting = {.word = {"waiting"}, .count = 1},
	    .active = {.word = {"active"}, .count = 1},
	    .done = {.word = {"done"}, .count = 1},
	    .dead = {.word = {"dead"}, .count = 1},
	    .time = TABLE_TIME_MS,
	    .cost_max = COST_DEFAULT,
	};
}

static bool
table_is(const struct table_words *words, const char *word)
{
	for (size_t i = 0; i < words->count; i++) {
		if (text_equal(words->word[i], word))
			return true;
	}
	return false;
}

const char *
table_dead_word(const struct table_layout *layout)
{
	if (layout->dead.count > 0)
		return layout->dead.word[0];
	return layout->failed.count > 0 ? layout->failed.word[0] : NULL;
}

const char *
table_quote(struct arena *arena, const char *name)
{
	size_t len = strlen(name);
	char *quoted = arena_alloc(arena, 2 * len + 3);
	size_t at = 0;

	quoted[at++] = '"';
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '"')
			quoted[at++] = '"';
		quoted[at++] = name[i];
	}
	quoted[at++] = '"';
	quoted[at] = '\0';
	return quoted;
}

size_t
table_columns(const struct table_layout *layout, const char **ret, size_t max)
{
	const char *const all[] = {layout->id, layout->payload, layout->status,
	    layout->lease, layout->attempts, layout->max_attempts,
	    layout->created, layout->updated, layout->owner, layout->run_at,
	    layout->error, layout->queue_column};
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (all[i] != NULL && count < max)
			ret[count++] = all[i];
	}
	return count;
}

void
table_sighting(const struct table_layout *layout, struct arena *arena,
    const char *status, struct queue_sighting *ret)
{
	ret->detail = arena_format(
	    arena, "status '%.60s'", status != NULL ? status : "NULL");
	if (table_is(&layout->waiting, status)) {
		/* tried before and waiting again: it was taken */
		ret->place = ret->attempts > 0 ? PLACE_TAKEN : PLACE_VISIBLE;
		if (ret->attempts > 0)
			ret->detail = arena_format(arena,
			    "status '%.60s' after %lld failed attempts", status,
			    (long long)ret->attempts);
	} else if (table_is(&layout->active, status)) {
		ret->place = PLACE_TAKEN;
	} else if (table_is(&layout->done, status)) {
		ret->place = PLACE_GONE;
		ret->done = true;
	} else if (table_is(&layout->dead, status) ||
	           table_is(&layout->failed, status)) {
		ret->place = PLACE_DEAD;
	} else {
		ret->detail = arena_format(arena,
		    "status '%.60s' is none of the declared words",
		    status != NULL ? status : "NULL");
	}
}

const char *
table_value_text(struct arena *arena, const cJSON *value)
{
	if (cJSON_IsNull(value))
		return NULL;
	if (cJSON_IsString(value))
		return value->valuestring;
	if (cJSON_IsBool(value))
		return cJSON_IsTrue(value) ? "true" : "false";
	if (cJSON_IsNumber(value) && value->valuedouble > -9e15 &&
	    value->valuedouble < 9e15 &&
	    (double)(int64_t)value->valuedouble == value->valuedouble)
		return arena_format(
		    arena, "%" PRId64, (int64_t)value->valuedouble);
	char *printed = cJSON_PrintUnformatted(value);
	const char *text = arena_text(arena, printed);

	cJSON_free(printed);
	return text;
}
