/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/drivers.h"
#include "probes/queue/near.h"
#include "probes/queue/postgres_library.h"

enum {
	LOOK_MS = 2000, /* for one look */
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

static const char *
expand(struct arena *arena, const struct pg_queue *pg, const char *text)
{
	const char *done = "";
	const char *brace;

	while ((brace = strchr(text, '{')) != NULL && brace[1] != '\0' &&
	       brace[2] == '}') {
		done =
		    arena_format(arena, "%s%.*s%s", done, (int)(brace - text),
		        text, expand(arena, pg, meaning(pg, brace[1])));
		text = brace + 3;
	}
	return arena_format(arena, "%s%s", done, text);
}

static struct pg_sql
bound(struct arena *arena, const struct queue *queue)
{
	struct pg_sql sql = {.arena = arena};

	(void)pg_bind(&sql, queue->name);
	return sql;
}

/* What went wrong, into the handle; what the tables don't fit says whose layout
 * it is. */
static int
refused(struct queue *queue, struct err *err)
{
	const struct pg_queue *pg = queue->state;

	(void)pg_failed(queue, err);
	if (text_starts(queue->code, "42") && !text_equal(queue->code, "42501"))
		return err_wrap(err,
		    "this is not the layout of %s that is known (%s)",
		    pg->library->name, pg->library->versions);
	return -1;
}

static int
ask(struct queue *queue, const char *text, const struct pg_sql *sql,
    PGresult **ret, struct err *err)
{
	struct pg_queue *pg = queue->state;

	if (postgres_query(&pg->session, expand(sql->arena, pg, text),
	        sql->count, sql->params, ret, err) == 0)
		return 0;
	return refused(queue, err);
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

/* --- observe ---------------------------------------------------------------
 */

/* Within a transaction: whether the layout's tables are there at all. */
static int
look_for_layout(
    struct queue *queue, struct arena *arena, bool *ret_there, struct err *err)
{
	struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = {.arena = arena};

	*ret_there = pg->claimable;
	if (pg->claimable)
		return 0;
	(void)pg_bind(&sql, arena_format(arena, "%s.%s", pg->schema,
	                        table_quote(arena, pg->library->anchor)));
	if (ask(queue, "SELECT to_regclass($1) IS NOT NULL", &sql, &rows,
	        err) == -1)
		return -1;
	pg->claimable = text_equal(PQgetvalue(rows, 0, 0), "t");
	*ret_there = pg->claimable;
	return 0;
}

static int
look_for_queue(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = bound(arena, queue);

	if (ask(queue, pg->library->known, &sql, &rows, err) == -1)
		return -1;
	if (PQntuples(rows) > 0)
		ret->exists = EXISTS_YES;
	else
		ret->exists =
		    pg->library->closed ? EXISTS_NO : EXISTS_EMPTY_OR_NOT;
	return 0;
}

static const char *
oldest_text(struct arena *arena, const struct pg_library *library)
{
	if (library->oldest != NULL)
		return library->oldest;
	return arena_format(arena, "SELECT %s %s ORDER BY %s LIMIT 1",
	    library->since, library->rows[PG_WAITING], library->since);
}

static struct pg_figures
figures_of(struct arena *arena, const struct pg_queue *pg, int64_t count_to)
{
	const struct pg_library *library = pg->library;
	struct pg_figures figures = {.hint = "an index of its own",
	    .cost_max = pg->layout.cost_max,
	    .count_to = count_to};

	for (int i = 0; i < PG_COUNTS; i++)
		figures.text[i] = library->rows[i];
	figures.text[PG_OLDEST] = arena_format(arena,
	    "SELECT CASE WHEN isfinite(t) THEN (extract(epoch FROM t)*1000)"
	    "::bigint END FROM (%s) o(t)",
	    oldest_text(arena, library));
	figures.text[PG_HEAD] =
	    arena_format(arena, "SELECT (%s)::text %s ORDER BY %s LIMIT 1",
	        library->id, library->rows[PG_WAITING], library->since);
	if (library->attempts != NULL)
		figures.text[PG_ATTEMPTS] = arena_format(arena,
		    "SELECT coalesce(max(n),0) FROM (SELECT %s AS n %s LIMIT "
		    "%d) a",
		    library->attempts, library->live, PG_SAMPLE);
	else
		figures.why[PG_ATTEMPTS] = arena_format(
		    arena, "%s keeps no count of attempts", library->name);
	figures.text[PG_PAUSED] = library->paused;
	for (int i = 0; i < PG_FIGURES; i++) {
		if (figures.text[i] != NULL)
			figures.text[i] = expand(arena, pg, figures.text[i]);
	}
	return figures;
}

static void
read_consumers(struct queue *queue, struct arena *arena, const PGresult *rows,
    struct queue_state *ret)
{
	const struct pg_library *library =
	    ((const struct pg_queue *)queue->state)->library;
	struct queue_consumer *who =
	    arena_array(arena, QUEUE_WHO_MAX, sizeof(*who));
	int64_t surely = 0;
	int64_t perhaps = 0;

	for (int i = 0; i < PQntuples(rows); i++) {
		bool sure = text_equal(PQgetvalue(rows, i, 3), "t");

		surely += sure ? 1 : 0;
		perhaps += sure ? 0 : 1;
		if (ret->nwho == QUEUE_WHO_MAX)
			continue;
		who[ret->nwho++] = (struct queue_consumer){
		    .id = arena_text(arena, PQgetvalue(rows, i, 0)),
		    .address = arena_text(arena, PQgetvalue(rows, i, 1)),
		    .reads = arena_text(arena, PQgetvalue(rows, i, 2)),
		    .worker = "",
		    .pid = -1,
		    .proof = PROOF_CONNECTED | (sure ? PROOF_HEARTBEAT : 0u)};
	}
	pg_match_pids(arena, who, ret->nwho);
	ret->who = who;
	if (surely > 0)
		ret->consumers = (struct queue_number){.value = surely,
		    .know = perhaps > 0 || !library->roll ? KNOW_AT_LEAST
		                                          : KNOW_EXACT};
	else if (perhaps == 0 && library->roll)
		ret->consumers = queue_exact(0);
	else
		ret->consumers = queue_unknown(library->why_consumers);
}

/* The last of the transaction: what it is refused says why it isn't known. */
static void
look_for_consumers(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = bound(arena, queue);
	struct err err = ERR_INIT;

	if (pg->library->consumers == NULL)
		ret->consumers = queue_unknown(pg->library->why_consumers);
	else if (ask(queue, pg->library->consumers, &sql, &rows, &err) == -1)
		ret->consumers = queue_unknown(arena_text(arena, err.text));
	else
		read_consumers(queue, arena, rows, ret);
}

static int
observe_within(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	struct pg_queue *pg = queue->state;
	struct pg_sql sql = bound(arena, queue);
	bool there = false;
	bool ended = false;

	if (look_for_layout(queue, arena, &there, err) == -1)
		return -1;
	ret->exists = EXISTS_NO;
	if (!there)
		return 0;
	if (look_for_queue(queue, arena, ret, err) == -1)
		return -1;
	if (ret->exists == EXISTS_NO)
		return 0;
	struct pg_figures figures = figures_of(arena, pg, queue->spec.count_to);

	if (pg_count(&pg->session, &figures, &sql, ret, &ended, err) == -1)
		return refused(queue, err);
	if (ended)
		ret->consumers = queue_unknown("the server's time was over");
	else
		look_for_consumers(queue, arena, ret);
	return 0;
}

static int
library_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	pg_server(queue, arena, ret);
	if (pg_begin(queue, LOOK_MS, err) == -1)
		return -1;
	int rc = observe_within(queue, arena, ret, err);

	pg_end(queue, false);
	return rc;
}

/* --- near names ------------------------------------------------------------
 */

static const char schemas_sql[] =
    "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON "
    "n.oid=c.relnamespace WHERE c.relname=$1 AND c.relkind IN ('r','p','v') "
    "AND n.nspname NOT IN ('pg_catalog','information_schema') LIMIT 100";

static int
offer(struct queue *queue, struct near *near, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = {.arena = near->arena};
	bool there = false;

	if (look_for_layout(queue, near->arena, &there, err) == -1)
		return -1;
	if (!there)
		(void)pg_bind(&sql, pg->library->anchor);
	if (ask(queue, there ? pg->library->queues : schemas_sql, &sql, &rows,
	        err) == -1)
		return -1;
	for (int i = 0; i < PQntuples(rows); i++) {
		if (there)
			near_offer(near, PQgetvalue(rows, i, 0), "", "queue");
		else
			near_offer(near, queue->name,
			    arena_format(near->arena, "schema %s",
			        PQgetvalue(rows, i, 0)),
			    "queue");
	}
	return 0;
}

static int
library_near(struct queue *queue, struct arena *arena,
    struct queue_state *state, struct err *err)
{
	struct near near;

	near_init(&near, arena, queue->name);
	if (pg_begin(queue, LOOK_MS, err) == -1)
		return -1;
	int rc = offer(queue, &near, err);

	pg_end(queue, false);
	if (rc == 0)
		near_finish(&near, state);
	return rc;
}

/* --- a canary --------------------------------------------------------------
 */

/* A statement that writes, in a transaction of its own. */
static int
change(struct queue *queue, const char *text, const struct pg_sql *sql,
    PGresult **ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;

	return pg_do(
	    queue, PG_WRITES, expand(sql->arena, pg, text), sql, ret, err);
}

static int
library_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct pg_library *library =
	    ((const struct pg_queue *)queue->state)->library;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = bound(arena, queue);

	(void)pg_bind(&sql, arena_bytes(arena, job->payload, job->len));
	(void)pg_bind(&sql, job->canary);
	if (change(queue, library->submit, &sql, &rows, err) == -1)
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

static int
need_receipt(
    struct queue *queue, const struct queue_submission *job, struct err *err)
{
	if (job->receipt != NULL)
		return 0;
	return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_INPUT,
	    "a job in a table is found again by its receipt");
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
	struct pg_sql sql = bound(arena, queue);

	if (need_receipt(queue, job, err) == -1)
		return -1;
	(void)pg_bind(&sql, job->receipt);
	if (pg_do(queue, 0, expand(arena, pg, pg->library->follow), &sql, &rows,
	        err) == -1)
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

	if (need_receipt(queue, job, err) == -1)
		return -1;
	arena_init(&arena, PG_CALL_BYTES_MAX);
	struct pg_sql sql = bound(&arena, queue);

	(void)pg_bind(&sql, job->receipt);
	int rc = change(queue, pg->library->remove, &sql, &rows, err);

	if (rc == 0)
		*ret_removed = !text_equal(PQcmdTuples(rows), "0");
	arena_fini(&arena);
	return rc;
}

/* --- jobs as people look at them -------------------------------------------
 */

/* The rows of a part; NULL: the library has no such part. */
static const char *
part_rows(const struct pg_library *library, enum queue_part part)
{
	switch (part) {
	case PART_WAITING:
		return library->rows[PG_WAITING];
	case PART_ACTIVE:
		return library->rows[PG_ACTIVE];
	case PART_DELAYED:
		return library->rows[PG_DELAYED];
	case PART_DEAD:
		return library->rows[PG_FAILED];
	case PART_EXPIRED:
		return library->rows[PG_LEASE_EXPIRED];
	}
	UNREACHABLE("queue_part");
}

static int
no_such_part(struct queue *queue, const char *what, struct err *err)
{
	const struct pg_queue *pg = queue->state;

	return queue_trouble(queue, CAUSE_URL, "", err, ERR_UNSUPPORTED,
	    "%s has no %s jobs", pg->library->name, what);
}

static const char *
or_null(const char *expression)
{
	return expression != NULL ? expression : "NULL";
}

/* Columns in the order of read_item. */
static const char *
list_sql(struct arena *arena, const struct pg_queue *pg, const char *rows,
    size_t limit)
{
	const struct pg_library *library = pg->library;

	return arena_format(arena,
	    "SELECT (%s)::text, left((%s)::text,%d), (%s)::text, "
	    "left(%s,%d), octet_length(%s), CASE WHEN isfinite(%s) THEN "
	    "(extract(epoch FROM now()-%s)*1000)::bigint END, (%s)::text %s "
	    "ORDER BY %s LIMIT %zu",
	    library->id, or_null(library->error), QUEUE_PEEK_MAX,
	    or_null(library->owner), library->payload, QUEUE_PEEK_MAX,
	    library->payload, library->since, library->since,
	    or_null(library->attempts), rows, library->since, limit);
}

static int64_t
number_or_unknown(const PGresult *rows, int row, int column)
{
	int64_t value = -1;

	if (PQgetisnull(rows, row, column) != 0 ||
	    text_i64(PQgetvalue(rows, row, column), 0, INT64_MAX, &value,
	        NULL) == -1)
		return -1;
	return value;
}

static struct queue_item
read_item(struct arena *arena, const PGresult *rows, int row)
{
	size_t len = (size_t)PQgetlength(rows, row, 3);

	len = MIN(len, (size_t)QUEUE_PEEK_MAX);
	return (struct queue_item){
	    .id = arena_text(arena, PQgetvalue(rows, row, 0)),
	    .error = arena_text(arena, PQgetvalue(rows, row, 1)),
	    .owner = arena_text(arena, PQgetvalue(rows, row, 2)),
	    .payload = arena_bytes(arena, PQgetvalue(rows, row, 3), len),
	    .payload_len = len,
	    .payload_whole = number_or_unknown(rows, row, 4),
	    .age_ms = number_or_unknown(rows, row, 5),
	    .attempts = number_or_unknown(rows, row, 6)};
}

static int
list_within(struct queue *queue, const char *rows_text, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	CLEANUP(postgres_result_free) PGresult *total = NULL;
	struct pg_sql sql = bound(arena, queue);

	if (ask(queue, list_sql(arena, pg, rows_text, limit), &sql, &rows,
	        err) == -1 ||
	    ask(queue,
	        arena_format(arena,
	            "SELECT count(*) FROM (SELECT 1 %s LIMIT %" PRId64 ") s",
	            rows_text, queue->spec.count_to),
	        &sql, &total, err) == -1)
		return -1;
	size_t n = (size_t)PQntuples(rows);
	struct queue_item *items = arena_array(arena, n + 1, sizeof(*items));

	for (size_t i = 0; i < n; i++)
		items[i] = read_item(arena, rows, (int)i);
	ret->items = items;
	ret->count = n;
	ret->total =
	    queue_counted(number_or_unknown(total, 0, 0), queue->spec.count_to);
	return 0;
}

static int
library_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const char *rows = part_rows(pg->library, part);

	if (rows == NULL)
		return no_such_part(queue, queue_part_name(part), err);
	if (pg_begin(queue, 0, err) == -1)
		return -1;
	int rc = list_within(queue, rows, limit, arena, ret, err);

	pg_end(queue, false);
	return rc;
}

/* '{"7","8"}': quotes and backslashes escaped, as an array is written. */
static const char *
array_text(struct arena *arena, const struct queue_move *move)
{
	size_t size = 3;

	for (size_t i = 0; i < move->nids; i++)
		size += 2 * strlen(move->ids[i]) + 3;
	char *text = arena_alloc(arena, size);
	char *at = text;

	*at++ = '{';
	for (size_t i = 0; i < move->nids; i++) {
		if (i > 0)
			*at++ = ',';
		*at++ = '"';
		for (const char *c = move->ids[i]; *c != '\0'; c++) {
			if (*c == '"' || *c == '\\')
				*at++ = '\\';
			*at++ = *c;
		}
		*at++ = '"';
	}
	*at++ = '}';
	*at = '\0';
	return text;
}

static int
library_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	const struct pg_queue *pg = queue->state;
	const char *text = move->from == PART_DEAD      ? pg->library->requeue
	                   : move->from == PART_EXPIRED ? pg->library->reclaim
	                                                : NULL;
	CLEANUP(postgres_result_free) PGresult *rows = NULL;
	struct pg_sql sql = bound(arena, queue);
	bool *moved = arena_array(arena, move->nids + 1, sizeof(*moved));

	if (text == NULL)
		return no_such_part(queue, queue_part_name(move->from), err);
	(void)pg_bind(&sql, array_text(arena, move));
	if (change(queue, text, &sql, &rows, err) == -1)
		return -1;
	ret->moved = moved;
	ret->count = (size_t)PQntuples(rows);
	for (int row = 0; row < PQntuples(rows); row++) {
		for (size_t i = 0; i < move->nids; i++) {
			if (text_equal(move->ids[i], PQgetvalue(rows, row, 0)))
				moved[i] = true;
		}
	}
	return 0;
}

/* --- the drivers -----------------------------------------------------------
 */

/* names and words, which no parentheses can be around
 * NOLINTBEGIN(bugprone-macro-parentheses) */
#define LIBRARY(id, kind_, name_key_, schema_key_)                          \
	static const char *const id##_schemes[] = {                         \
	    kind_ "+postgresql", kind_ "+postgres", NULL};                  \
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
	    .observe = library_observe,                                     \
	    .near = library_near,                                           \
	    .submit = library_submit,                                       \
	    .follow = library_follow,                                       \
	    .remove = library_remove,                                       \
	    .list = library_list,                                           \
	    .move = library_move,                                           \
	}

/* NOLINTEND(bugprone-macro-parentheses) */

LIBRARY(pgboss, "pgboss", "queue", "schema");
LIBRARY(graphile, "graphile", "task", "schema");
LIBRARY(river, "river", "queue", "schema");
LIBRARY(oban, "oban", "queue", "prefix");
LIBRARY(solidqueue, "solidqueue", "queue", "schema");
LIBRARY(pgmq, "pgmq", "queue", "schema");
LIBRARY(que, "que", "queue", "schema");
LIBRARY(procrastinate, "procrastinate", "queue", "schema");
LIBRARY(goodjob, "goodjob", "queue", "schema");
LIBRARY(delayedjob, "delayedjob", "queue", "schema");
