/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/queue/drivers.h"
#include "probes/queue/near.h"
#include "probes/queue/sqlite.h"

enum {
	BUSY_MS_MAX = 5000,
	FILES_MAX = 200, /* of a folder that are compared */
	PROGRESS_STEPS =
	    4000, /* virtual machine steps between deadline looks */
	SQL_TEXT_MAX = 16 << 10,
	/* done jobs that stay, for whoever follows one: enough for a canary,
	 * and no more than a file can bear */
	KEEP_DONE = 10000,
	KEEP_LEAST = 100,
	KEEP_MOST = 100000000
};

void
sqlite_statement_free(sqlite3_stmt **statement)
{
	(void)sqlite3_finalize(*statement);
	*statement = NULL;
}

static enum cause
cause_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return CAUSE_UNAVAILABLE;
	case SQLITE_INTERRUPT:
		return CAUSE_DEADLINE;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
		return CAUSE_PERMISSION;
	case SQLITE_CANTOPEN:
		return CAUSE_NOT_FOUND;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return CAUSE_WRONG_TYPE;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_ERROR:
		return CAUSE_MISMATCH;
	default:
		return CAUSE_UNAVAILABLE;
	}
}

int
sqlite_failed(struct queue *queue, const char *doing, struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;
	int code = sqlite3_extended_errcode(sqlite->db);
	char number[16];
	enum cause cause = cause_of(code);

	(void)snprintf(number, sizeof(number), "%d", code);
	return queue_trouble(queue, cause, number, err,
	    cause == CAUSE_DEADLINE ? ERR_TIMEOUT : ERR_REFUSED, "%s '%s': %s",
	    doing, sqlite->path, sqlite3_errmsg(sqlite->db));
}

/* Files beside one that isn't there: the nearest name, or some. */
static const char *
files_beside(struct arena *arena, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *folder = slash == NULL ? "."
	                                   : arena_format(arena, "%.*s",
	                                         (int)(slash + 1 - path), path);
	const char *names[FILES_MAX];
	const struct dirent *entry;
	size_t count = 0;
	DIR *dir = opendir(folder);

	if (dir == NULL)
		return arena_format(
		    arena, ": the folder '%s': %s", folder, strerror(errno));
	while (count < FILES_MAX && (entry = readdir(dir)) != NULL) {
		bool file = entry->d_type == DT_REG || entry->d_type == DT_LNK;

		/* the journal of a database is none */
		if (file && !text_ends(entry->d_name, "-wal") &&
		    !text_ends(entry->d_name, "-shm") &&
		    !text_ends(entry->d_name, "-journal"))
			names[count++] = arena_text(arena, entry->d_name);
	}
	(void)closedir(dir);
	return near_text(arena, slash == NULL ? path : slash + 1, names, count);
}

/* What is asked of a file that isn't there. */
int
sqlite_need(struct queue *queue, struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;

	if (sqlite->db != NULL)
		return 0;
	return queue_trouble(queue, CAUSE_NOT_FOUND, "ENOENT", err, ERR_REFUSED,
	    "there is no database file '%s'%s", sqlite->path,
	    files_beside(&queue->arena, sqlite->path));
}

int
sqlite_prepare(
    struct queue *queue, const char *sql, sqlite3_stmt **ret, struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;
	const char *tail = NULL;

	if (sqlite_need(queue, err) == -1)
		return -1;
	if (sqlite3_prepare_v2(sqlite->db, sql, -1, ret, &tail) != SQLITE_OK)
		return sqlite_failed(queue, "read", err);
	if (tail != NULL && tail[strspn(tail, " \t\r\n")] != '\0') {
		/* only `where` comes from outside */
		sqlite_statement_free(ret);
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'where' is one condition, not several statements");
	}
	return 0;
}

static void
bind_text(sqlite3_stmt *statement, const char *name, const char *value)
{
	int index = sqlite3_bind_parameter_index(statement, name);

	if (index > 0)
		(void)sqlite3_bind_text(
		    statement, index, value, -1, SQLITE_TRANSIENT);
}

static void
bind_number(sqlite3_stmt *statement, const char *name, int64_t value)
{
	int index = sqlite3_bind_parameter_index(statement, name);

	if (index > 0)
		(void)sqlite3_bind_int64(statement, index, value);
}

static void
bind_words(
    sqlite3_stmt *statement, const char *state, const struct table_words *words)
{
	for (size_t i = 0; i < words->count; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), ":%s%zu", state, i);
		bind_text(statement, name, words->word[i]);
	}
}

void
sqlite_bind(struct queue *queue, sqlite3_stmt *statement,
    const struct sqlite_bound *bound)
{
	const struct sqlite_queue *sqlite = queue->state;
	const struct table_layout *layout = &sqlite->layout;

	bind_words(statement, "waiting", &layout->waiting);
	bind_words(statement, "active", &layout->active);
	bind_words(statement, "done", &layout->done);
	bind_words(statement, "failed", &layout->failed);
	bind_words(statement, "dead", &layout->dead);
	bind_text(statement, ":buried", table_dead_word(layout));
	bind_text(statement, ":queue", layout->queue_value);
	bind_text(statement, ":owner", queue->consuming.owner);
	bind_text(statement, ":error", bound->error);
	bind_text(statement, ":id", bound->id);
	bind_number(statement, ":now", bound->now_ms);
	bind_number(statement, ":until", bound->until_ms);
	bind_number(statement, ":retry", bound->retry_ms);
	bind_number(statement, ":attempt", bound->attempt);
	bind_number(statement, ":keep", sqlite->keep);
	bind_number(statement, ":rows", bound->rows);
	bind_number(statement, ":max",
	    layout->max_attempts_fixed > 0 ? layout->max_attempts_fixed
	                                   : queue->consuming.max_attempts);
}

const char *
sqlite_ms(
    struct arena *arena, const struct sqlite_queue *sqlite, const char *column)
{
	if (sqlite->embedded)
		return column; /* bare, so that the index serves it */
	/* each value says by itself what it is: text, seconds or ms */
	return arena_format(arena,
	    "(CASE typeof(%s) WHEN 'null' THEN NULL WHEN 'text' THEN "
	    "CAST(round((julianday(%s)-2440587.5)*86400000.0) AS INTEGER) "
	    "ELSE CASE WHEN %s>100000000000 THEN CAST(%s AS INTEGER) "
	    "ELSE CAST(%s*1000 AS INTEGER) END END)",
	    column, column, column, column, column);
}

const char *
sqlite_time(struct arena *arena, const struct sqlite_queue *sqlite,
    const char *parameter)
{
	switch (sqlite->layout.time) {
	case TABLE_TIME_MS:
		return parameter;
	case TABLE_TIME_S:
		return arena_format(arena, "(%s/1000)", parameter);
	case TABLE_TIME_TEXT:
		return arena_format(arena,
		    "strftime('%%Y-%%m-%%d %%H:%%M:%%f',%s/1000.0,'unixepoch')",
		    parameter);
	}
	UNREACHABLE("table_time");
}

const char *
sqlite_words(
    struct arena *arena, const char *state, const struct table_words *words)
{
	const char *list = "";

	for (size_t i = 0; i < words->count; i++)
		list = arena_format(
		    arena, "%s%s:%s%zu", list, i > 0 ? "," : "", state, i);
	return list;
}

/* Each word of what waits by itself: an index on (status, COLUMN) gives the
 * first of one status at once, that of several only after sorting them all. */
const char *
sqlite_first(struct arena *arena, const struct sqlite_queue *sqlite,
    const char *column, const char *also)
{
	const char *each = "";

	for (size_t i = 0; i < sqlite->layout.waiting.count; i++)
		each = arena_format(arena,
		    "%s%sSELECT * FROM (SELECT %s AS f,%s AS i FROM %s WHERE "
		    "%s AND %s=:waiting%zu AND %s AND %s ORDER BY %s,%s LIMIT "
		    "1)",
		    each, i > 0 ? " UNION ALL " : "", column, sqlite->id,
		    sqlite->table, sqlite->scope, sqlite->status, i,
		    sqlite->due, also, column, sqlite->id);
	return arena_format(
	    arena, "SELECT i FROM (%s) ORDER BY f,i LIMIT 1", each);
}

/* The texts that the statements are put together from. */
static void
build_texts(struct queue *queue, struct sqlite_queue *sqlite)
{
	const struct table_layout *layout = &sqlite->layout;
	struct arena *arena = &queue->arena;

	sqlite->table = table_quote(arena, layout->table);
	sqlite->id = table_quote(arena, layout->id);
	sqlite->status = table_quote(arena, layout->status);
	sqlite->waiting = arena_format(
	    arena, "(%s)", sqlite_words(arena, "waiting", &layout->waiting));
	sqlite->active = arena_format(
	    arena, "(%s)", sqlite_words(arena, "active", &layout->active));
	sqlite->scope = "1";
	if (layout->queue_column != NULL)
		sqlite->scope = arena_format(arena, "%s=:queue",
		    table_quote(arena, layout->queue_column));
	if (layout->where != NULL)
		sqlite->scope = arena_format(
		    arena, "%s AND (%s)", sqlite->scope, layout->where);
	const char *at =
	    layout->run_at != NULL ? layout->run_at : layout->lease;
	const char *due = "1";

	/* without a column of its own, a retry waits by its lease */
	if (at != NULL) {
		const char *column = table_quote(arena, at);

		due = sqlite->embedded
		          ? arena_format(arena, "%s<=:now", column)
		          : arena_format(arena, "coalesce(%s,0)<=:now",
		                sqlite_ms(arena, sqlite, column));
	}
	sqlite->ready = arena_format(arena, "%s AND %s IN %s AND %s",
	    sqlite->scope, sqlite->status, sqlite->waiting, due);
	sqlite->due = due;
	const char *first = sqlite->embedded ? layout->run_at : layout->created;

	first = first != NULL ? table_quote(arena, first) : sqlite->id;
	sqlite->order =
	    arena_format(arena, "ORDER BY %s,%s", first, sqlite->id);
	sqlite->order_back =
	    arena_format(arena, "ORDER BY %s DESC,%s DESC", first, sqlite->id);
	sqlite->first = sqlite_first(arena, sqlite, first, "1");
}

static int
progress(void *arg)
{
	const struct queue *queue = arg;

	return queue->deadline_ms <= clock_ms();
}

/* file:///p, sqlite:///p, sqlite://./p and a bare path. */
static int
path_of(struct queue *queue, const char **ret, struct err *err)
{
	const char *text = queue->spec.url;
	struct url url;

	if (strstr(text, "://") == NULL) {
		*ret = text;
		return text[0] != '\0'
		           ? 0
		           : queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		                 "the file has no name");
	}
	if (url_parse(&queue->arena, text, &url, err) == -1) {
		queue->cause = CAUSE_URL;
		return -1;
	}
	if (!text_equal(url.scheme, "file") &&
	    !text_equal(url.scheme, "sqlite"))
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'%s' is not the URL of a file: file:///PATH",
		    url_redacted(&queue->arena, text));
	*ret = arena_format(&queue->arena, "%s%s",
	    text_equal(url.host, "localhost") ? "" : url.host, url.path);
	if ((*ret)[0] == '\0')
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'%s' names no file", text);
	return 0;
}

static int
open_file(struct queue *queue, bool create, struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;
	struct stat st;
	int flags =
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

	if (stat(sqlite->path, &st) == -1) {
		if (errno != ENOENT && errno != ENOTDIR)
			return queue_trouble(queue, CAUSE_PERMISSION, "", err,
			    ERR_SYSTEM, "look at '%s': %s", sqlite->path,
			    strerror(errno));
		if (!create)
			return 0; /* asked later: it isn't there */
		flags |= SQLITE_OPEN_CREATE;
	} else if (!S_ISREG(st.st_mode)) {
		/* a FIFO would block the open */
		return queue_trouble(queue, CAUSE_WRONG_TYPE, "", err,
		    ERR_INPUT, "'%s' is not a regular file", sqlite->path);
	}
	int rc = sqlite3_open_v2(sqlite->path, &sqlite->db, flags, NULL);

	if (rc == SQLITE_OK && sqlite3_db_readonly(sqlite->db, "main") == 1)
		rc = SQLITE_OK; /* observing works all the same */
	if (rc != SQLITE_OK) {
		(void)sqlite_failed(queue, "open", err);
		(void)sqlite3_close(sqlite->db);
		sqlite->db = NULL;
		return -1;
	}
	int64_t busy = MIN(queue_remaining_ms(queue), BUSY_MS_MAX);

	(void)sqlite3_busy_timeout(sqlite->db, (int)MAX(busy, 1));
	sqlite3_progress_handler(sqlite->db, PROGRESS_STEPS, progress, queue);
	return 0;
}

static int
run(struct queue *queue, const char *sql, struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;

	if (sqlite3_exec(sqlite->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_failed(queue, "prepare", err);
	return 0;
}

/* Documented in docs/reference-worker.md: others may share it. */
static const char embedded_layout[] =
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=NORMAL;"
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS reeve_jobs("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " queue TEXT NOT NULL,"
    " payload BLOB NOT NULL,"
    " status TEXT NOT NULL DEFAULT 'waiting'"
    "  CHECK (status IN ('waiting','active','done','dead')),"
    " attempts INTEGER NOT NULL DEFAULT 0,"
    " max_attempts INTEGER,"
    " run_at INTEGER NOT NULL DEFAULT 0,"
    " lease INTEGER,"
    " owner TEXT,"
    " error TEXT,"
    " created INTEGER NOT NULL DEFAULT"
    "  (CAST((julianday('now')-2440587.5)*86400000 AS INTEGER)),"
    " updated INTEGER);"
    "CREATE INDEX IF NOT EXISTS reeve_jobs_next"
    " ON reeve_jobs(queue,status,run_at,id);"
    "CREATE TABLE IF NOT EXISTS reeve_consumers("
    " owner TEXT PRIMARY KEY,"
    " queue TEXT NOT NULL,"
    " worker TEXT NOT NULL,"
    " host TEXT NOT NULL,"
    " pid INTEGER NOT NULL,"
    " started INTEGER NOT NULL," /* the process's, in clock ticks since boot */
    " seen INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS reeve_pruned(" /* done jobs, deleted */
    " queue TEXT PRIMARY KEY,"
    " count INTEGER NOT NULL);"
    "COMMIT;";

int
sqlite_create(struct queue *queue, struct err *err)
{
	struct sqlite_queue *sqlite = queue->state;

	if (!sqlite->embedded)
		return sqlite_need(queue, err);
	if (sqlite->db == NULL && open_file(queue, true, err) == -1)
		return -1;
	if (run(queue, embedded_layout, err) == -1) {
		if (sqlite3_get_autocommit(sqlite->db) == 0)
			(void)sqlite3_exec(
			    sqlite->db, "ROLLBACK", NULL, NULL, NULL);
		return -1;
	}
	return 0;
}

static int
open_common(struct queue *queue, bool embedded, struct err *err)
{
	struct sqlite_queue *sqlite =
	    arena_alloc(&queue->arena, sizeof(*sqlite));

	sqlite->embedded = embedded;
	queue->state = sqlite;
	if (path_of(queue, &sqlite->path, err) == -1)
		return -1;
	if (embedded)
		table_layout_embedded(&sqlite->layout, queue->name);
	else if (table_layout_read(queue, &sqlite->layout, err) == -1)
		return -1;
	build_texts(queue, sqlite);
	queue->target = arena_format(&queue->arena, "sqlite %s %s %s",
	    sqlite->path, embedded ? "queue" : "table", queue->name);
	const char *create = embedded ? queue_option(queue, "create") : NULL;
	const char *keep = embedded ? queue_option(queue, "keep") : NULL;
	bool make = false;

	if (create != NULL && text_bool(create, &make, err) == -1) {
		queue->cause = CAUSE_URL;
		return err_wrap(err, "'create'");
	}
	sqlite->keep = KEEP_DONE;
	if (keep != NULL &&
	    text_i64(keep, KEEP_LEAST, KEEP_MOST, &sqlite->keep, err) == -1) {
		queue->cause = CAUSE_URL;
		return err_wrap(err, "'keep'");
	}
	if (open_file(queue, make, err) == -1)
		return -1;
	return make ? sqlite_create(queue, err) : 0;
}

/* Opens the file (made if asked for) and builds the texts above. */
static int
sqlite_open(struct queue *queue, struct err *err)
{
	return open_common(queue, false, err);
}

static int
sqlite_open_embedded(struct queue *queue, struct err *err)
{
	return open_common(queue, true, err);
}

static void
sqlite_close(struct queue *queue)
{
	struct sqlite_queue *sqlite = queue->state;

	for (size_t i = 0; i < SQL_STATEMENTS; i++)
		sqlite_statement_free(&sqlite->statements[i]);
	(void)sqlite3_close(sqlite->db);
	sqlite->db = NULL;
}

static const char *const table_schemes[] = {
    "sqlitetable+file", "sqlitetable+sqlite", NULL};
static const char *const embedded_schemes[] = {"sqlite", "sqlite+file", NULL};
static const char *const embedded_keys[] = {
    "queue", "create", "keep", "test", "timeout", NULL};

/* What both have: a file, and everything that can be done with a table. */
#define SQLITE_CALLS                                                        \
	.deep_path = true, .consumes = true, .close = sqlite_close,         \
	.observe = sqlite_observe, .near = sqlite_near,                     \
	.submit = sqlite_submit, .follow = sqlite_follow,                   \
	.remove = sqlite_remove, .list = sqlite_list,                       \
	.newest = NEWEST_WAITING, .move = sqlite_move, .reap = sqlite_reap, \
	.claim = sqlite_claim, .extend = sqlite_extend,                     \
	.finish = sqlite_finish, .fail = sqlite_fail, .bury = sqlite_bury,  \
	.release = sqlite_release, .heartbeat = sqlite_heartbeat

const struct queue_driver queue_sqlite_table = {
    .kind = "sqlitetable",
    .schemes = table_schemes,
    .name_key = "table",
    .keys = table_keys,
    .open = sqlite_open,
    SQLITE_CALLS,
};

const struct queue_driver queue_sqlite_embedded = {
    .kind = "sqlite",
    .schemes = embedded_schemes,
    .name_key = "queue",
    .keys = embedded_keys,
    .open = sqlite_open_embedded,
    SQLITE_CALLS,
};
