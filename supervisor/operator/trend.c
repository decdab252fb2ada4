/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "supervisor/operator/names.h"
#include "supervisor/operator/trend.h"

enum {
	COMMIT_MS = 2 * 1000,
	MINUTE_MS = 60 * 1000,
	SQL_MAX = 512,
};

static const char TABLES[] =
    "CREATE TABLE IF NOT EXISTS queues("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE IF NOT EXISTS queue_looks("
    " queue INTEGER, at INTEGER, waiting INTEGER, active INTEGER,"
    " delayed INTEGER, failed INTEGER, dead INTEGER, completed INTEGER,"
    " oldest_ms INTEGER, lease_expired INTEGER, consumers INTEGER,"
    " PRIMARY KEY(queue, at)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS queue_minutes("
    " queue INTEGER, at INTEGER, waiting INTEGER, active INTEGER,"
    " delayed INTEGER, failed INTEGER, dead INTEGER, completed INTEGER,"
    " oldest_ms INTEGER, lease_expired INTEGER, consumers INTEGER,"
    " waiting_max INTEGER,"
    " PRIMARY KEY(queue, at)) WITHOUT ROWID;";

/* Every whole minute that has no row yet: also those that our predecessor left
 * behind. */
static const char MINUTES[] =
    "INSERT OR IGNORE INTO queue_minutes SELECT queue, at - at % 60000,"
    " round(avg(waiting)), round(avg(active)), round(avg(delayed)),"
    " max(failed), max(dead), max(completed), max(oldest_ms),"
    " round(avg(lease_expired)), round(avg(consumers)), max(waiting)"
    " FROM queue_looks WHERE queue = ?1 AND at < ?2 AND at >="
    " (SELECT coalesce(max(at) + 60000, 0) FROM queue_minutes"
    "  WHERE queue = ?1) GROUP BY at - at % 60000";

static const char *const COLUMNS[] = {"waiting", "active", "delayed", "failed",
    "dead", "completed", "oldest_ms", "lease_expired", "consumers"};

struct known_queue {
	char *name;
	int64_t id;
	int64_t minute; /* of its last look; 0: none */
};

struct trend {
	struct store *store;
	struct loop *loop;
	struct loop_timer commit;
	sqlite3_stmt *insert, *minutes, *prune_looks, *prune_minutes;
	struct known_queue *queues;
	size_t count;
	struct names names;
};

static const char *
queue_name(const void *list, size_t at)
{
	const struct trend *trend = list;

	return trend->queues[at].name;
}

static int64_t
id_of(struct trend *trend, const char *name)
{
	int64_t id = -1;
	CLEANUP(store_statement_free)
	sqlite3_stmt *add = store_prepare(
	    trend->store, "INSERT OR IGNORE INTO queues(name) VALUES(?1)");
	CLEANUP(store_statement_free)
	sqlite3_stmt *find = store_prepare(
	    trend->store, "SELECT id FROM queues WHERE name = ?1");

	if (add == NULL || find == NULL)
		return -1;
	(void)sqlite3_bind_text(add, 1, name, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(find, 1, name, -1, SQLITE_STATIC);
	(void)!store_run(trend->store, add);
	if (sqlite3_step(find) == SQLITE_ROW)
		id = sqlite3_column_int64(find, 0);
	return id;
}

static struct known_queue *
known(struct trend *trend, const char *name)
{
	size_t at = names_find(&trend->names, name, queue_name, trend);

	if (at != NAMES_NONE)
		return &trend->queues[at];
	struct known_queue *more = reallocarray(
	    trend->queues, trend->count + 1, sizeof(*trend->queues));
	char *copy = strdup(name);

	if (more != NULL)
		trend->queues = more;
	if (more == NULL || copy == NULL) {
		free(copy);
		return NULL;
	}
	struct known_queue *queue = &trend->queues[trend->count++];

	*queue = (struct known_queue){.name = copy, .id = id_of(trend, name)};
	names_add(&trend->names, copy, trend->count - 1);
	return queue;
}

/* --- writing ------------------------------------------------------------ */

static void
run_with(
    struct trend *trend, sqlite3_stmt *statement, int64_t queue, int64_t at_ms)
{
	if (statement == NULL)
		return;
	(void)sqlite3_bind_int64(statement, 1, queue);
	(void)sqlite3_bind_int64(statement, 2, at_ms);
	(void)!store_run(trend->store, statement);
}

static void
roll_up(struct trend *trend, int64_t queue, int64_t now_ms, size_t queues,
    int64_t every_ms)
{
	int64_t many = (int64_t)MAX(queues, (size_t)1);
	int64_t looks_ms =
	    MIN((int64_t)TREND_LOOKS_MS, TREND_LOOKS_MAX / many * every_ms);
	int64_t minutes_ms = MIN(
	    (int64_t)TREND_MINUTES_MS, TREND_MINUTES_MAX / many * MINUTE_MS);

	run_with(trend, trend->minutes, queue, now_ms - now_ms % MINUTE_MS);
	run_with(trend, trend->prune_looks, queue, now_ms - looks_ms);
	run_with(trend, trend->prune_minutes, queue, now_ms - minutes_ms);
}

static void
commit_fired(struct loop_timer *timer, int64_t now_ms)
{
	struct trend *trend = timer->owner;

	(void)now_ms;
	store_commit(trend->store);
}

void
trend_add(struct trend *trend, const struct queue_view *view, size_t queues,
    int64_t every_ms)
{
	const struct queue_state *state = view->state;
	const struct queue_number *const numbers[] = {&state->waiting,
	    &state->active, &state->delayed, &state->failed, &state->dead,
	    &state->completed, &state->oldest_ms, &state->lease_expired,
	    &state->consumers};
	int64_t now_ms = clock_wall_ms();
	struct err err = ERR_INIT;
	struct known_queue *queue =
	    trend == NULL ? NULL : known(trend, view->name);

	if (queue == NULL || queue->id < 0 || trend->insert == NULL)
		return;
	(void)sqlite3_bind_int64(trend->insert, 1, queue->id);
	(void)sqlite3_bind_int64(trend->insert, 2, now_ms);
	for (int i = 0; i < (int)ARRAY_LEN(numbers); i++) {
		enum know know = numbers[i]->know;
		if (know == KNOW_UNKNOWN || know == KNOW_NOT_APPLICABLE)
			(void)sqlite3_bind_null(trend->insert, 3 + i);
		else
			(void)sqlite3_bind_int64(
			    trend->insert, 3 + i, numbers[i]->value);
	}
	(void)!store_run(trend->store, trend->insert);
	if (queue->minute != now_ms / MINUTE_MS)
		roll_up(trend, queue->id, now_ms, queues, every_ms);
	queue->minute = now_ms / MINUTE_MS;
	if (trend->commit.slot == 0 &&
	    loop_timer_set(trend->loop, &trend->commit,
	        clock_after(clock_ms(), COMMIT_MS), &err) == -1)
		store_commit(trend->store);
}

/* --- reading ------------------------------------------------------------- */

static int64_t
number_at(sqlite3_stmt *row, int at)
{
	return sqlite3_column_type(row, at) == SQLITE_NULL
	           ? -1
	           : sqlite3_column_int64(row, at);
}

void
trend_counts(struct trend *trend, const char *name, int64_t since_wall_ms,
    struct trend_counts *ret)
{
	struct known_queue *queue = trend == NULL ? NULL : known(trend, name);
	CLEANUP(store_statement_free)
	sqlite3_stmt *row =
	    queue == NULL
	        ? NULL
	        : store_prepare(trend->store,
	              "SELECT sum(max(c, 0)), sum(max(f, 0)), sum(max(d, 0)), "
	              "sum(max(e, 0)) "
	              "FROM (SELECT completed - lag(completed) OVER w AS c,"
	              " failed - lag(failed) OVER w AS f,"
	              " dead - lag(dead) OVER w AS d,"
	              " lease_expired - lag(lease_expired) OVER w AS e"
	              " FROM queue_looks"
	              " WHERE queue = ?1 AND at >= ?2"
	              " WINDOW w AS (ORDER BY at))");

	*ret = (struct trend_counts){-1, -1, -1, -1};
	if (row == NULL)
		return;
	(void)sqlite3_bind_int64(row, 1, queue->id);
	(void)sqlite3_bind_int64(row, 2, since_wall_ms);
	if (sqlite3_step(row) != SQLITE_ROW)
		return;
	int64_t failed = number_at(row, 1);
	int64_t dead = number_at(row, 2);

	ret->completed = number_at(row, 0);
	ret->dead = dead;
	ret->expired = number_at(row, 3);
	if (failed >= 0 || dead >= 0)
		ret->failed = MAX(failed, 0) + MAX(dead, 0);
}

void
trend_above(struct trend *trend, const char *name, const char *expression,
    double limit, struct trend_above *ret)
{
	struct known_queue *queue = trend == NULL ? NULL : known(trend, name);
	char sql[SQL_MAX];

	*ret = (struct trend_above){.since_wall_ms = 0};
	if (queue == NULL)
		return;
	(void)snprintf(sql, sizeof(sql),
	    "SELECT min(at), max(at), max(v) FROM (SELECT at, %s AS v "
	    "FROM queue_looks WHERE queue = ?1 AND at > coalesce((SELECT at "
	    "FROM queue_looks WHERE queue = ?1 AND %s <= ?2 "
	    "ORDER BY at DESC LIMIT 1), 0)) WHERE v > ?2",
	    expression, expression);
	CLEANUP(store_statement_free)
	sqlite3_stmt *row = store_prepare(trend->store, sql);

	if (row == NULL)
		return;
	(void)sqlite3_bind_int64(row, 1, queue->id);
	(void)sqlite3_bind_double(row, 2, limit);
	if (sqlite3_step(row) == SQLITE_ROW)
		*ret = (struct trend_above){sqlite3_column_int64(row, 0),
		    sqlite3_column_int64(row, 1),
		    sqlite3_column_double(row, 2)};
}

/* A statement of one queue and one time, at its only row; NULL: there is
 * none. */
static sqlite3_stmt *
row_of(struct trend *trend, const char *name, const char *sql, int64_t wall_ms)
{
	struct known_queue *queue = trend == NULL ? NULL : known(trend, name);
	sqlite3_stmt *row =
	    queue == NULL ? NULL : store_prepare(trend->store, sql);

	if (row == NULL)
		return NULL;
	(void)sqlite3_bind_int64(row, 1, queue->id);
	(void)sqlite3_bind_int64(row, 2, wall_ms);
	if (sqlite3_step(row) != SQLITE_ROW)
		store_statement_free(&row);
	return row;
}

void
trend_work(struct trend *trend, const char *name, int64_t since_wall_ms,
    struct trend_work *ret)
{
	CLEANUP(store_statement_free)
	sqlite3_stmt *row = row_of(trend, name,
	    "SELECT min(at), min(waiting + coalesce(active, 0))"
	    " FROM queue_looks WHERE queue = ?1 AND at >= ?2",
	    since_wall_ms);

	*ret = (struct trend_work){0, -1};
	if (row != NULL)
		*ret = (struct trend_work){
		    sqlite3_column_int64(row, 0), number_at(row, 1)};
}

void
trend_usual(struct trend *trend, const char *name, int64_t until_wall_ms,
    struct trend_usual *ret)
{
	CLEANUP(store_statement_free)
	sqlite3_stmt *ages = row_of(trend, name,
	    "SELECT count(*), (SELECT oldest_ms FROM queue_minutes"
	    " WHERE queue = ?1 AND at < ?2 AND oldest_ms IS NOT NULL"
	    " ORDER BY oldest_ms LIMIT 1 OFFSET (SELECT count(*) * 95 / 100"
	    " FROM queue_minutes WHERE queue = ?1 AND at < ?2"
	    " AND oldest_ms IS NOT NULL)) FROM queue_minutes"
	    " WHERE queue = ?1 AND at < ?2 AND oldest_ms IS NOT NULL",
	    until_wall_ms);
	CLEANUP(store_statement_free)
	sqlite3_stmt *successes = row_of(trend, name,
	    "SELECT (max(at) - min(at)) / sum(max(c, 0)) FROM (SELECT at,"
	    " completed - lag(completed) OVER (ORDER BY at) AS c"
	    " FROM queue_minutes WHERE queue = ?1 AND at < ?2"
	    " AND completed IS NOT NULL)",
	    until_wall_ms);

	*ret = (struct trend_usual){0, -1, -1};
	if (ages != NULL) {
		ret->minutes = sqlite3_column_int64(ages, 0);
		ret->oldest_ms = number_at(ages, 1);
	}
	if (successes != NULL)
		ret->interval_ms = number_at(successes, 0);
}

void
trend_each(struct trend *trend, const char *name, int64_t since_wall_ms,
    trend_row_fn *fn, void *arg)
{
	int more = SQLITE_ROW;
	CLEANUP(store_statement_free)
	sqlite3_stmt *row = row_of(trend, name,
	    "SELECT at, waiting_max, oldest_ms FROM queue_minutes"
	    " WHERE queue = ?1 AND at >= ?2 AND at < coalesce("
	    "(SELECT min(at) FROM queue_looks WHERE queue = ?1), at + 1)"
	    " UNION ALL SELECT at, waiting, oldest_ms FROM queue_looks"
	    " WHERE queue = ?1 AND at >= ?2 ORDER BY 1",
	    since_wall_ms);

	for (; row != NULL && more == SQLITE_ROW; more = sqlite3_step(row))
		fn(arg, sqlite3_column_int64(row, 0), number_at(row, 1),
		    number_at(row, 2));
}

static void
write_row(struct jsonw *json, sqlite3_stmt *row)
{
	jsonw_object(json, NULL);
	jsonw_i64(json, "at_ms", sqlite3_column_int64(row, 0));
	jsonw_i64(json, "span_ms", sqlite3_column_int64(row, 1));
	for (int i = 0; i < (int)ARRAY_LEN(COLUMNS); i++) {
		if (sqlite3_column_type(row, 2 + i) == SQLITE_NULL)
			jsonw_null(json, COLUMNS[i]);
		else
			jsonw_i64(
			    json, COLUMNS[i], sqlite3_column_int64(row, 2 + i));
	}
	jsonw_end(json);
}

int
trend_write(struct trend *trend, const char *name, int64_t since_wall_ms,
    struct buffer *out, struct err *err)
{
	struct known_queue *queue = trend == NULL ? NULL : known(trend, name);
	struct jsonw json;
	int code = SQLITE_ERROR;
	CLEANUP(store_statement_free)
	sqlite3_stmt *row =
	    queue == NULL
	        ? NULL
	        : store_prepare(trend->store,
	              "SELECT at, 60000 AS span, waiting, active, delayed, "
	              "failed, dead, completed, oldest_ms, lease_expired, "
	              "consumers FROM queue_minutes WHERE queue = ?1 AND "
	              "at >= ?2 - 60000 AND at < coalesce((SELECT min(at) "
	              "FROM queue_looks WHERE queue = ?1), ?3) - 60000 "
	              "UNION ALL SELECT at, 0, waiting, active, delayed, "
	              "failed, dead, completed, oldest_ms, lease_expired, "
	              "consumers FROM queue_looks WHERE queue = ?1 AND "
	              "at >= ?2 ORDER BY 1");

	if (row == NULL)
		return err_set(err, ERR_SYSTEM, "no history is kept");
	(void)sqlite3_bind_int64(row, 1, queue->id);
	(void)sqlite3_bind_int64(row, 2, since_wall_ms);
	(void)sqlite3_bind_int64(row, 3, INT64_MAX);
	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.history/1");
	jsonw_text(&json, "queue", name);
	jsonw_array(&json, "looks");
	while ((code = sqlite3_step(row)) == SQLITE_ROW)
		write_row(&json, row);
	jsonw_end(&json);
	jsonw_text(&json, "trouble",
	    trend->store->trouble[0] == '\0' ? NULL : trend->store->trouble);
	jsonw_end(&json);
	buffer_text(out, "\n");
	return code == SQLITE_DONE
	           ? 0
	           : err_set(err, ERR_SYSTEM, "the history can't be read: %s",
	                 sqlite3_errmsg(trend->store->db));
}

/* --- life ---------------------------------------------------------------- */

struct trend *
trend_new(struct store *store, struct loop *loop, struct err *err)
{
	struct trend *trend = calloc(1, sizeof(*trend));

	if (trend == NULL) {
		(void)err_sys(err, "history");
		return NULL;
	}
	*trend = (struct trend){
	    .store = store,
	    .loop = loop,
	    .commit = {.fire = commit_fired, .owner = trend},
	};
	if (store->db == NULL ||
	    sqlite3_exec(store->db, TABLES, NULL, NULL, NULL) != SQLITE_OK) {
		(void)err_set(err, ERR_SYSTEM, "%s",
		    store->db == NULL ? "no store" : sqlite3_errmsg(store->db));
		trend_free(trend);
		return NULL;
	}
	trend->insert =
	    store_prepare(store, "INSERT OR REPLACE INTO queue_looks "
	                         "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)");
	trend->minutes = store_prepare(store, MINUTES);
	trend->prune_looks = store_prepare(
	    store, "DELETE FROM queue_looks WHERE queue = ?1 AND at < ?2");
	trend->prune_minutes = store_prepare(
	    store, "DELETE FROM queue_minutes WHERE queue = ?1 AND at < ?2");
	return trend;
}

void
trend_free(struct trend *trend)
{
	if (trend == NULL)
		return;
	loop_timer_clear(trend->loop, &trend->commit);
	store_commit(trend->store);
	store_statement_free(&trend->insert);
	store_statement_free(&trend->minutes);
	store_statement_free(&trend->prune_looks);
	store_statement_free(&trend->prune_minutes);
	for (size_t i = 0; i < trend->count; i++)
		free(trend->queues[i].name);
	free(trend->queues);
	names_fini(&trend->names);
	free(trend);
}
