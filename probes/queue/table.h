/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_TABLE_H
#define REEVE_PROBES_QUEUE_TABLE_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"
#include "probes/queue/queue.h"

#include <cjson/cJSON.h>

/*
 * A table that serves as a queue: which column is what, and which words its
 * status has. Shared by the SQL drivers. NULL: the table has no such column.
 */
enum {
	TABLE_WORDS_MAX = 6, /* of one state: "queued,pending" */
	TABLE_SAMPLE = 5000  /* rows whose attempts are looked at */
};

struct table_words {
	const char *word[TABLE_WORDS_MAX];
	size_t count; /* 0: the layout has no such state */
};

enum table_time {
	TABLE_TIME_TEXT, /* SQLite: "YYYY-MM-DD HH:MM:SS.SSS", UTC */
	TABLE_TIME_MS,   /* integer, unix time in milliseconds */
	TABLE_TIME_S,    /* integer, unix time in seconds */
};

struct table_layout {
	const char *schema, *table;
	const char *id, *payload, *status;
	const char *lease, *attempts, *max_attempts, *created, *updated;
	const char *owner, *run_at, *error;
	const char *queue_column, *queue_value; /* one table, many queues */
	const char *where; /* SQL of the manifest's author, in parentheses */
	const char *tz;    /* of timestamps without zone; "utc" */
	struct table_words waiting, active, done, failed, dead;
	int64_t max_attempts_fixed; /* max_attempts=5; 0: a column or none */
	bool done_deletes;          /* done= (empty): success deletes the row */
	enum table_time time;
	int64_t cost_max; /* of one query, as the planner counts */
};

extern const char *const table_keys[]; /* for drivers' rows */

/* Reads the layout out of the queue's options. */
int table_layout_read(
    struct queue *queue, struct table_layout *ret, struct err *err) MUST_CHECK;
/* What it takes to know who holds a job; ERR_UNSUPPORTED without. */
int table_layout_owned(struct queue *queue, const struct table_layout *layout,
    struct err *err) MUST_CHECK;
/* What claiming needs; the error names the missing keys. */
int table_layout_claimable(struct queue *queue,
    const struct table_layout *layout, struct err *err) MUST_CHECK;
/* The embedded default: table reeve_jobs, its queue in a column. */
void table_layout_embedded(struct table_layout *ret, const char *queue);
/* The word that dead jobs get: dead, else failed. */
const char *table_dead_word(const struct table_layout *layout);

/* "name" as a quoted identifier, quotes doubled. */
const char *table_quote(struct arena *arena, const char *name);
/* The declared columns that must exist, in `ret` (at most `max`). */
size_t table_columns(
    const struct table_layout *layout, const char **ret, size_t max);

/* A value of a job that is a JSON object, as a parameter; NULL of null. */
const char *table_value_text(struct arena *arena, const cJSON *value);

/* Says what a row's status means to whoever follows it. */
void table_sighting(const struct table_layout *layout, struct arena *arena,
    const char *status, struct queue_sighting *ret);

/* --- table_job.c: jobs by their id -----------------------------------------
 */

/* One INSERT, put together in step: begin with "" and "". `column` is quoted
 * already, `value` is SQL. */
struct table_insert {
	struct arena *arena;
	const char *columns, *values;
};
void table_insert_add(
    struct table_insert *insert, const char *column, const char *value);
/* Without a payload column the payload is a row, {"column": value, …}: whether
 * it says that column (NULL: it isn't one), and whether it is one at all. */
bool table_row_names(const cJSON *row, const char *column);
/* What else a new row needs of the layout's columns, which the row doesn't say:
 * how many. */
enum table_fill {
	TABLE_FILL_WAITING, /* the first word of what waits */
	TABLE_FILL_QUEUE,   /* queue_value */
	TABLE_FILL_ZERO,
	TABLE_FILL_NOW,
};
struct table_missing {
	const char *column;
	enum table_fill fill;
};
enum {
	TABLE_MISSING_MAX = 5
};
size_t table_missing(const struct table_layout *layout, const cJSON *row,
    struct table_missing ret[TABLE_MISSING_MAX]);
int table_row_check(struct queue *queue, const cJSON *row, int columns_max,
    struct err *err) MUST_CHECK;
/* It says one that the table lacks; `code` is the server's for that. Returns
 * -1. */
int table_no_column(
    struct queue *queue, const char *code, const char *column, struct err *err);
/* Whether there is a receipt, by which follow and remove find the row. */
int table_receipt(struct queue *queue, const struct queue_submission *job,
    struct err *err) MUST_CHECK;
/* What it means that its row isn't there. */
void table_gone(const struct table_layout *layout, struct queue_sighting *ret);
/* Changing the job of that id changes several rows. Returns -1. */
int table_many_rows(struct queue *queue, const struct table_layout *layout,
    const char *id, struct err *err);
/* Jobs of that part would be known by a column that isn't declared. Returns -1,
 * ERR_UNSUPPORTED. */
int table_lacks(struct queue *queue, enum queue_part part, const char *column,
    struct err *err);
/* A cell that is a number from 0; -1: it is NULL, or none. */
int64_t table_number(const char *text);

#endif
