/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/queue/drivers.h"
#include "probes/queue/postgres_library.h"

enum {
	COST_DEFAULT = 10000,
	PGMQ_NAME_MAX = 47
};

/* --- texts -----------------------------------------------------------------
 */

/* What {x} stands for. */
static const char *
meaning(const struct pg_queue *pg, char letter)
{
	switch (letter) {
	case 's':
		return pg->schema;
	case 'j':
		return pg->library->jobs;
	case 'q':
		return pg->table;
	case 'a':
		return pg->archive;
	default:
		UNREACHABLE("a letter of a layout");
	}
}

const char *
pg_library_text(
    struct arena *arena, const struct pg_queue *pg, const char *text)
{
	const char *done = "";
	const char *brace;

	while ((brace = strchr(text, '{')) != NULL && brace[1] != '\0' &&
	       brace[2] == '}') {
		done = arena_format(arena, "%s%.*s%s", done,
		    (int)(brace - text), text,
		    pg_library_text(arena, pg, meaning(pg, brace[1])));
		text = brace + 3;
	}
	return arena_format(arena, "%s%s", done, text);
}

struct pg_sql
pg_library_bind(struct arena *arena, const struct queue *queue)
{
	struct pg_sql sql = {.arena = arena};

	(void)pg_bind(&sql, queue->name);
	return sql;
}

int
pg_library_refused(struct queue *queue, struct err *err)
{
	const struct pg_queue *pg = queue->state;

	(void)pg_failed(queue, err);
	if (text_starts(queue->code, "42") &&
	    !text_equal(queue->code, "42501")) {
		queue->cause = CAUSE_MISMATCH;
		return err_wrap(err,
		    "this is not the layout of %s that is known (%s)",
		    pg->library->name, pg->library->versions);
	}
	return -1;
}

int
pg_library_ask(struct queue *queue, const char *text, const struct pg_sql *sql,
    PGresult **ret, struct err *err)
{
	struct pg_queue *pg = queue->state;

	if (postgres_query(&pg->session, pg_library_text(sql->arena, pg, text),
	        sql->count, sql->params, ret, err) == 0)
		return 0;
	return pg_library_refused(queue, err);
}

int
pg_library_change(struct queue *queue, const char *text,
    const struct pg_sql *sql, PGresult **ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;

	return pg_do(queue, PG_WRITES, pg_library_text(sql->arena, pg, text),
	    sql, ret, err);
}

/* --- open ------------------------------------------------------------------
 */

static const struct pg_library *
find(const char *kind)
{
	for (size_t i = 0; i < pg_libraries_count; i++) {
		if (text_equal(pg_libraries[i].kind, kind))
			return &pg_libraries[i];
	}
	UNREACHABLE("a driver without a layout");
}

/* PGMQ has two tables a queue, whose names are in lower case. */
static int
name_tables(struct queue *queue, struct pg_queue *pg, struct err *err)
{
	struct arena *arena = &queue->arena;
	char *lower = arena_text(arena, queue->name);

	if (strlen(lower) > PGMQ_NAME_MAX)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "PGMQ has no queue whose name is longer than %d bytes",
		    PGMQ_NAME_MAX);
	for (char *c = lower; *c != '\0'; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	pg->table = arena_format(arena, "%s.%s", pg->schema,
	    table_quote(arena, arena_format(arena, "q_%s", lower)));
	pg->archive = arena_format(arena, "%s.%s", pg->schema,
	    table_quote(arena, arena_format(arena, "a_%s", lower)));
	return 0;
}

static int
library_open(struct queue *queue, struct err *err)
{
	struct pg_queue *pg = arena_alloc(&queue->arena, sizeof(*pg));
	const struct pg_library *library = find(queue->spec.kind);
	const char *cost = queue_option(queue, "cost");

	queue->state = pg;
	pg->library = library;
	const char *schema = queue_option(queue, library->schema_key);

	pg->layout.schema = schema != NULL ? schema : library->schema;
	pg->schema = table_quote(&queue->arena, pg->layout.schema);
	pg->layout.cost_max = COST_DEFAULT;
	if (cost != NULL &&
	    text_i64(cost, 1, INT64_MAX, &pg->layout.cost_max, err) == -1) {
		queue->cause = CAUSE_URL;
		return err_wrap(err, "'cost'");
	}
	if (text_equal(library->kind, "pgmq") &&
	    name_tables(queue, pg, err) == -1)
		return -1;
	if (pg_connect(queue, err) == -1)
		return -1;
	queue->target = arena_format(&queue->arena, "%s %s schema %s queue %s",
	    queue->target, library->name, pg->layout.schema, queue->name);
	return 0;
}

/* --- a canary --------------------------------------------------------------
 */

static int
library_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct pg_library *library =
	    ((const struct pg_queue *)queue->state)->library;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = pg_library_bind(arena, queue);

	(void)pg_bind(&sql, arena_bytes(arena, job->payload, job->len));
	(void)pg_bind(&sql, job->canary);
	if (pg_library_change(queue, library->submit, &sql, &rows, err) == -1)
		/* not JSON, or without what every job of it has */
		return text_starts(queue->code, "22") ||
		               text_equal(queue->code, "23502")
		           ? err_wrap(err, "a job of %s is %s", library->name,
		                 library->expects)
		           : -1;
	if (PQntuples(rows) < 1)
		return queue_trouble(queue, CAUSE_MISMATCH, "", err,
		    ERR_REFUSED, "%s took no job", library->name);
	*ret_receipt = arena_text(arena, PQgetvalue(rows, 0, 0));
	return 0;
}

static void
sighting(struct arena *arena, const struct pg_library *library,
    const PGresult *rows, struct queue_sighting *ret)
{
	static const struct {
		const char *word;
		enum queue_place place;
	} places[] = {{"visible", PLACE_VISIBLE}, {"taken", PLACE_TAKEN},
	    {"done", PLACE_GONE}, {"gone", PLACE_GONE}, {"dead", PLACE_DEAD}};
	const char *word;

	if (PQntuples(rows) == 0) {
		ret->place = PLACE_GONE;
		ret->done = library->gone_is_done;
		ret->detail = arena_format(arena,
		    library->gone_is_done
		        ? "it is gone, as %s removes what succeeded"
		        : "it is gone; %s doesn't keep why",
		    library->name);
		return;
	}
	word = PQgetvalue(rows, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (text_equal(places[i].word, word))
			ret->place = places[i].place;
	}
	ret->done = text_equal(word, "done");
	ret->by = arena_text(arena, PQgetvalue(rows, 0, 1));
	if (text_i64(PQgetvalue(rows, 0, 2), 0, INT64_MAX, &ret->attempts,
	        NULL) == -1)
		ret->attempts = -1;
	ret->detail = arena_text(arena, PQgetvalue(rows, 0, 3));
}

static int
library_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = pg_library_bind(arena, queue);

	if (table_receipt(queue, job, err) == -1)
		return -1;
	(void)pg_bind(&sql, job->receipt);
	if (pg_do(queue, 0, pg_library_text(arena, pg, pg->library->follow),
	        &sql, &rows, err) == -1)
		return -1;
	sighting(arena, pg->library, rows, ret);
	return 0;
}

static int
library_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct arena arena;

	if (table_receipt(queue, job, err) == -1)
		return -1;
	arena_init(&arena, PG_CALL_BYTES_MAX);
	struct pg_sql sql = pg_library_bind(&arena, queue);

	(void)pg_bind(&sql, job->receipt);
	int rc =
	    pg_library_change(queue, pg->library->remove, &sql, &rows, err);

	if (rc == 0)
		*ret_removed = !text_equal(PQcmdTuples(rows), "0");
	arena_fini(&arena);
	return rc;
}

/* --- the drivers -----------------------------------------------------------
 */

/* names and words, which no parentheses can be around
 * NOLINTBEGIN(bugprone-macro-parentheses) */
#define SCHEMES(word) word "+postgresql", word "+postgres"
#define LIBRARY(id, kind_, name_key_, schema_key_, ...)                     \
	static const char *const id##_schemes[] = {__VA_ARGS__, NULL};      \
	static const char *const id##_keys[] = {name_key_, schema_key_,     \
	    "cost", "dlq", "test", "ts", "tz", "timeout", "budget", "pass", \
	    NULL};                                                          \
	const struct queue_driver queue_##id = {                            \
	    .kind = kind_,                                                  \
	    .schemes = id##_schemes,                                        \
	    .name_key = name_key_,                                          \
	    .keys = id##_keys,                                              \
	    .any_key = true, /* libpq's own */                              \
	    .open = library_open,                                           \
	    .close = pg_close,                                              \
	    .observe = pg_library_observe,                                  \
	    .near = pg_library_near,                                        \
	    .submit = library_submit,                                       \
	    .follow = library_follow,                                       \
	    .remove = library_remove,                                       \
	    .list = pg_library_list,                                        \
	    .newest = NEWEST_WAITING,                                       \
	    .move = pg_library_move,                                        \
	}

/* NOLINTEND(bugprone-macro-parentheses) */

LIBRARY(bullmqpg, "bullmqpg", "queue", "schema", SCHEMES("bullmq"),
    SCHEMES("bullmqpg"));
LIBRARY(pgboss, "pgboss", "queue", "schema", SCHEMES("pgboss"));
LIBRARY(graphile, "graphile", "task", "schema", SCHEMES("graphile"));
LIBRARY(river, "river", "queue", "schema", SCHEMES("river"));
LIBRARY(oban, "oban", "queue", "prefix", SCHEMES("oban"));
LIBRARY(solidqueue, "solidqueue", "queue", "schema", SCHEMES("solidqueue"));
LIBRARY(pgmq, "pgmq", "queue", "schema", SCHEMES("pgmq"));
LIBRARY(que, "que", "queue", "schema", SCHEMES("que"));
LIBRARY(procrastinate, "procrastinate", "queue", "schema",
    SCHEMES("procrastinate"));
LIBRARY(goodjob, "goodjob", "queue", "schema", SCHEMES("goodjob"));
LIBRARY(delayedjob, "delayedjob", "queue", "schema", SCHEMES("delayedjob"));
