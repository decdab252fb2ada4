/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/near.h"
#include "probes/queue/process.h"
#include "probes/queue/sqlite.h"

enum {
	COLUMNS_MAX = 16,
	NAMES_MAX = 500,          /* looked at for near names */
	NEAR_ROWS_MAX = 50000,    /* of a table, for the names in a column */
	CONSUMER_STALE_MS = 15000 /* three heartbeats */
};

/* One number; an unknown says why. */
static struct queue_number
number(struct queue *queue, struct arena *arena, const char *sql)
{
	struct sqlite_bound bound = {.now_ms = clock_wall_ms()};
	struct err err = ERR_INIT;
	CLEANUP(sqlite_statement_free) sqlite3_stmt *statement = NULL;

	if (sqlite_prepare(queue, sql, &statement, &err) == -1)
		return queue_unknown(arena_text(arena, err.text));
	sqlite_bind(queue, statement, &bound);
	int rc = sqlite3_step(statement);

	if (rc == SQLITE_INTERRUPT)
		return queue_unknown(
		    "counting took longer than the time given");
	if (rc != SQLITE_ROW) {
		(void)sqlite_failed(queue, "count in", &err);
		return queue_unknown(arena_text(arena, err.text));
	}
	if (sqlite3_column_type(statement, 0) == SQLITE_NULL)
		return queue_unknown("no such row");
	return queue_exact(sqlite3_column_int64(statement, 0));
}

/* How many rows there are, of those behind FROM; no more are read than are
 * counted. */
static struct queue_number
counted(struct queue *queue, struct arena *arena, const char *from)
{
	struct queue_number ret = number(queue, arena,
	    arena_format(arena,
	        "SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %" PRId64 ")",
	        from, queue->spec.count_to));

	return ret.know == KNOW_EXACT
	           ? queue_counted(ret.value, queue->spec.count_to)
	           : ret;
}

static struct queue_number
count_state(struct queue *queue, struct arena *arena, const char *state,
    const struct table_words *words)
{
	const struct sqlite_queue *sqlite = queue->state;

	if (words->count == 0)
		return queue_inapplicable();
	return counted(queue, arena,
	    arena_format(arena, "%s WHERE %s AND %s IN (%s)", sqlite->looked,
	        sqlite->scope, sqlite->status,
	        sqlite_words(arena, state, words)));
}

/* Done jobs that were deleted are done all the same. A file that nobody
 * consumed from has no count of them yet. */
static void
add_pruned(struct queue *queue, struct arena *arena, struct queue_number *done)
{
	const struct sqlite_queue *sqlite = queue->state;

	if (!sqlite->embedded || done->know != KNOW_EXACT)
		return;
	struct queue_number pruned = number(queue, arena,
	    "SELECT coalesce(max(count),0) FROM reeve_pruned WHERE "
	    "queue=:queue");

	if (pruned.know == KNOW_EXACT)
		done->value += pruned.value;
}

static void
look_at_waiting(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;

	ret->waiting = counted(queue, arena,
	    arena_format(arena, "%s WHERE %s", sqlite->looked, sqlite->ready));
	if (layout->run_at != NULL)
		ret->delayed = counted(queue, arena,
		    arena_format(arena, "%s WHERE %s AND %s IN %s AND %s>:now",
		        sqlite->looked, sqlite->scope, sqlite->status,
		        sqlite->waiting,
		        sqlite_ms(arena, sqlite,
		            table_quote(arena, layout->run_at))));
	else
		ret->delayed = queue_inapplicable();
	if (layout->created == NULL) {
		ret->oldest_ms = queue_unknown("no column for 'created'");
	} else if (ret->waiting.know == KNOW_EXACT && ret->waiting.value == 0) {
		ret->oldest_ms = queue_unknown("nothing waits");
	} else {
		const char *column = table_quote(arena, layout->created);
		const char *created = sqlite_ms(arena, sqlite, column);

		ret->oldest_ms = number(queue, arena,
		    arena_format(arena,
		        "SELECT max(0,:now-%s) FROM %s WHERE %s=(%s)", created,
		        sqlite->table, sqlite->id,
		        sqlite->embedded ? sqlite->first
		                         : sqlite_first(arena, sqlite, column,
		                               arena_format(arena,
		                                   "%s IS NOT NULL", column))));
	}
}

static void
look_at_active(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;
	const char *base = arena_format(arena, "%s WHERE %s AND %s IN %s",
	    sqlite->looked, sqlite->scope, sqlite->status, sqlite->active);

	ret->active = count_state(queue, arena, "active", &layout->active);
	if (layout->lease == NULL) {
		ret->lease_expired = queue_unknown("no column for 'lease'");
		ret->lease_missing = queue_unknown("no column for 'lease'");
	} else {
		const char *lease = table_quote(arena, layout->lease);

		ret->lease_expired = counted(queue, arena,
		    arena_format(arena, "%s AND %s<:now", base,
		        sqlite_ms(arena, sqlite, lease)));
		ret->lease_missing = counted(queue, arena,
		    arena_format(arena, "%s AND %s IS NULL", base, lease));
	}
}

/* Among so many of them as are counted. */
static void
look_at_attempts(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;

	if (layout->attempts == NULL) {
		ret->attempts_max = queue_unknown("no column for 'attempts'");
		return;
	}
	ret->attempts_max = number(queue, arena,
	    arena_format(arena,
	        "SELECT coalesce(max(a),0) FROM (SELECT %s AS a FROM %s WHERE "
	        "%s AND %s IN (%s,%s) LIMIT %d)",
	        table_quote(arena, layout->attempts), sqlite->looked,
	        sqlite->scope, sqlite->status,
	        sqlite_words(arena, "waiting", &layout->waiting),
	        sqlite_words(arena, "active", &layout->active), TABLE_SAMPLE));
	if (ret->attempts_max.know == KNOW_EXACT &&
	    ret->waiting.value + ret->active.value > TABLE_SAMPLE)
		ret->attempts_max.know = KNOW_AT_LEAST;
}

static void
look_at_head(struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct sqlite_queue *sqlite = queue->state;
	struct sqlite_bound bound = {.now_ms = clock_wall_ms()};
	struct err err = ERR_INIT;
	CLEANUP(sqlite_statement_free) sqlite3_stmt *statement = NULL;

	if (sqlite_prepare(queue, sqlite->first, &statement, &err) == -1)
		return;
	sqlite_bind(queue, statement, &bound);
	if (sqlite3_step(statement) == SQLITE_ROW) {
		const char *id =
		    (const char *)sqlite3_column_text(statement, 0);

		ret->head = id != NULL ? arena_text(arena, id) : "";
	}
}

/* Table and columns, from the catalogue; what is missing is said by name. */
static int
check_table(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	const char *columns[COLUMNS_MAX];
	const char *found[NAMES_MAX];
	size_t count = table_columns(&sqlite->layout, columns, COLUMNS_MAX);
	size_t nfound = 0;
	CLEANUP(sqlite_statement_free) sqlite3_stmt *statement = NULL;

	if (sqlite_prepare(queue, "SELECT name FROM pragma_table_xinfo(?1)",
	        &statement, err) == -1)
		return -1;
	(void)sqlite3_bind_text(
	    statement, 1, sqlite->layout.table, -1, SQLITE_TRANSIENT);
	int rc;

	while (
	    (rc = sqlite3_step(statement)) == SQLITE_ROW && nfound < NAMES_MAX)
		found[nfound++] = arena_text(
		    arena, (const char *)sqlite3_column_text(statement, 0));
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		return sqlite_failed(queue, "read", err);
	ret->exists = nfound > 0 ? EXISTS_YES : EXISTS_NO;
	for (size_t i = 0; nfound > 0 && i < count; i++) {
		bool there = false;

		for (size_t k = 0; k < nfound && !there; k++)
			there = sqlite3_stricmp(found[k], columns[i]) == 0;
		if (there)
			continue;
		const char *near = text_nearest(columns[i], found, nfound);

		return queue_trouble(queue, CAUSE_MISMATCH, "", err,
		    ERR_REFUSED, "table '%s' has no column '%s'%s%s%s",
		    queue->name, columns[i], near != NULL ? "; it has '" : "",
		    near != NULL ? near : "", near != NULL ? "'" : "");
	}
	return 0;
}

/* The index that leads to the rows of one status, by name: what the planner
 * knows of a queue is an average of all its statuses, by which it reads the
 * whole table to find that nothing is active. NULL: there is none. */
static const char *
index_of(struct queue *queue, struct arena *arena)
{
	const struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;
	const char *const columns[] = {layout->table, layout->status,
	    layout->queue_column != NULL ? layout->queue_column
	                                 : layout->status,
	    layout->created};
	CLEANUP(sqlite_statement_free) sqlite3_stmt *statement = NULL;
	struct err ignored = ERR_INIT; /* then without */

	if (sqlite_prepare(queue,
	        "SELECT l.name FROM pragma_index_list(?1) l JOIN "
	        "pragma_index_xinfo(l.name) c ON c.seqno=0 AND c.coll='BINARY' WHERE l.partial=0 "
	        "AND lower(c.name) IN (lower(?2),lower(?3)) ORDER BY (SELECT "
	        "count(*) FROM pragma_index_info(l.name) m WHERE m.seqno<3 "
	        "AND lower(m.name) IN (lower(?2),lower(?3),lower(?4))) DESC "
	        "LIMIT 1",
	        &statement, &ignored) == -1)
		return NULL;
	for (int i = 0; i < (int)ARRAY_LEN(columns); i++)
		(void)sqlite3_bind_text(
		    statement, i + 1, columns[i], -1, SQLITE_TRANSIENT);
	if (sqlite3_step(statement) != SQLITE_ROW)
		return NULL;
	return arena_text(
	    arena, (const char *)sqlite3_column_text(statement, 0));
}

static const char *
looked_at(struct queue *queue, struct arena *arena)
{
	const struct sqlite_queue *sqlite = queue->state;
	const char *name = index_of(queue, arena);

	return name == NULL ? sqlite->table
	                    : arena_format(arena, "%s INDEXED BY %s",
	                          sqlite->table, table_quote(arena, name));
}

static bool
alive(const char *host, int64_t pid, int64_t started, int64_t seen_ms)
{
	char here[PROCESS_HOST_SIZE];
	int64_t now_started = 0;

	if (clock_wall_ms() - seen_ms > CONSUMER_STALE_MS)
		return false;
	process_host(here);
	if (!text_equal(host, here))
		return true; /* only its heartbeat can tell */
	return process_started((pid_t)pid, &now_started) == 0 &&
	       now_started == started;
}

static const char *
text_at(struct arena *arena, sqlite3_stmt *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row, column);

	return text != NULL ? arena_text(arena, text) : "";
}

static int
sqlite_consumers(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	struct queue_consumer *who =
	    arena_array(arena, QUEUE_WHO_MAX, sizeof(*who));
	CLEANUP(sqlite_statement_free) sqlite3_stmt *row = NULL;
	int64_t count = 0;
	int rc;

	if (sqlite_prepare(queue,
	        "SELECT owner,queue,worker,host,pid,started,seen FROM "
	        "reeve_consumers ORDER BY queue<>:queue,seen DESC",
	        &row, err) == -1)
		return -1;
	sqlite_bind(queue, row, &(struct sqlite_bound){0});
	while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
		char here[PROCESS_HOST_SIZE];
		const char *host = text_at(arena, row, 3);
		int64_t pid = sqlite3_column_int64(row, 4);

		if (!alive(host, pid, sqlite3_column_int64(row, 5),
		        sqlite3_column_int64(row, 6)))
			continue;
		process_host(here);
		const char *reads = text_at(arena, row, 1);

		if (text_equal(reads, queue->name))
			count++;
		if (ret->nwho == QUEUE_WHO_MAX)
			continue;
		who[ret->nwho++] =
		    (struct queue_consumer){.id = text_at(arena, row, 0),
		        .address = "",
		        .reads = reads,
		        .worker = text_at(arena, row, 2),
		        .pid = text_equal(host, here) ? pid : -1,
		        .proof = PROOF_HEARTBEAT};
	}
	if (rc != SQLITE_DONE)
		return sqlite_failed(queue, "read the consumers of", err);
	ret->who = who;
	ret->consumers = queue_exact(count);
	return 0;
}

static void
look_at_consumers(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct sqlite_queue *sqlite = queue->state;
	struct err err = ERR_INIT;

	if (!sqlite->embedded)
		ret->consumers =
		    queue_unknown("SQLite does not know who reads a table");
	else if (sqlite_consumers(queue, arena, ret, &err) == -1)
		ret->consumers = queue_unknown(arena_text(arena, err.text));
	sqlite_holders(queue, arena, ret);
}

/* Of the file alone: a folder in which no journal can be made shows when
 * somebody writes. */
static struct queue_flag
read_only(const struct sqlite_queue *sqlite, struct arena *arena)
{
	if (sqlite3_db_readonly(sqlite->db, "main") == 0)
		return (struct queue_flag){HOLDS_NO, "it may be written"};
	return (struct queue_flag){HOLDS_YES,
	    arena_format(
	        arena, "'%s' may not be written by this user", sqlite->path)};
}

int
sqlite_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;
	struct stat st;

	if (sqlite_need(queue, err) == -1)
		return -1;
	ret->engine = arena_format(arena, "sqlite %s", sqlite3_libversion());
	if (stat(sqlite->path, &st) == 0)
		ret->identity = arena_format(arena, "%s inode %llu",
		    sqlite->path, (unsigned long long)st.st_ino);
	ret->as_of_wall_ms = clock_wall_ms();
	ret->read_only = read_only(sqlite, arena);
	if (check_table(queue, arena, ret, err) == -1)
		return -1;
	if (ret->exists == EXISTS_NO && sqlite->embedded)
		ret->amiss = arena_format(arena,
		    "there is no '%s': '%s' is a database without the tables "
		    "of reeve's own queue",
		    queue->name, sqlite->path);
	if (ret->exists == EXISTS_NO)
		return 0;
	sqlite->looked = looked_at(queue, arena);
	look_at_waiting(queue, arena, ret);
	look_at_active(queue, arena, ret);
	look_at_attempts(queue, arena, ret);
	ret->failed = count_state(queue, arena, "failed", &layout->failed);
	ret->dead = count_state(queue, arena, "dead", &layout->dead);
	ret->completed = count_state(queue, arena, "done", &layout->done);
	add_pruned(queue, arena, &ret->completed);
	look_at_consumers(queue, arena, ret);
	look_at_head(queue, arena, ret);
	sqlite->looked = NULL; /* the answer's */
	return 0;
}

/* The queues that a database has: tables, or in the embedded layout values of
 * the queue's column (each found by one step in the index), or of a table's own
 * column for queues, among so many rows. */
static const char tables_sql[] =
    "SELECT name FROM sqlite_schema WHERE type IN ('table','view') AND name "
    "NOT LIKE 'sqlite!_%' ESCAPE '!' LIMIT 500";
static const char queues_sql[] =
    "WITH RECURSIVE q(n) AS (SELECT min(queue) FROM reeve_jobs UNION ALL "
    "SELECT (SELECT min(queue) FROM reeve_jobs WHERE queue>q.n) FROM q WHERE "
    "q.n IS NOT NULL) SELECT n FROM q WHERE n IS NOT NULL LIMIT 500";

/* What waits in another queue of the same table. */
static int
count_other(struct queue *queue, const char *name, struct queue_number *ret,
    struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;
	struct arena arena;
	CLEANUP(sqlite_statement_free) sqlite3_stmt *count = NULL;

	arena_init(&arena, 64 << 10);
	int rc = sqlite_prepare(queue,
	    arena_format(&arena,
	        "SELECT count(*) FROM %s WHERE %s=:near AND %s IN %s",
	        sqlite->table, table_quote(&arena, layout->queue_column),
	        sqlite->status, sqlite->waiting),
	    &count, err);

	arena_fini(&arena);
	if (rc == -1)
		return -1;
	sqlite_bind(queue, count, &(struct sqlite_bound){0});
	(void)sqlite3_bind_text(count,
	    sqlite3_bind_parameter_index(count, ":near"), name, -1,
	    SQLITE_TRANSIENT);
	if (sqlite3_step(count) == SQLITE_ROW)
		*ret = queue_exact(sqlite3_column_int64(count, 0));
	return 0;
}

static const char *
names_sql(const struct sqlite_queue *sqlite, struct arena *arena)
{
	if (sqlite->embedded)
		return queues_sql;
	return arena_format(arena,
	    "SELECT DISTINCT n FROM (SELECT %s AS n FROM %s LIMIT %d) LIMIT "
	    "500",
	    table_quote(arena, sqlite->layout.queue_column), sqlite->table,
	    NEAR_ROWS_MAX);
}

int
sqlite_near(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err)
{
	const struct sqlite_queue *sqlite = queue->state;
	bool there = state->exists != EXISTS_NO;
	bool queues = there && sqlite->layout.queue_column != NULL;
	struct near near;
	CLEANUP(sqlite_statement_free) sqlite3_stmt *row = NULL;
	int rc;

	/* another's tables are no queues of reeve's */
	if (sqlite->embedded && !there)
		return 0;
	near_init(
	    &near, arena, queues ? sqlite->layout.queue_value : queue->name);
	if (sqlite_prepare(queue,
	        queues ? names_sql(sqlite, arena) : tables_sql, &row,
	        err) == -1)
		return -1;
	while ((rc = sqlite3_step(row)) == SQLITE_ROW)
		near_offer(&near, text_at(arena, row, 0), "",
		    queues ? "queue" : "table");
	if (rc != SQLITE_DONE)
		return sqlite_failed(queue, "list the names in", err);
	for (size_t i = 0; queues && i < near.count; i++)
		if (count_other(queue, near.found[i].name,
		        &near.found[i].waiting, err) == -1)
			return -1;
	near_finish(&near, state);
	return 0;
}
