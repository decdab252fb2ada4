/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/events.h"
#include "worker/exit.h"

enum {
	COMMIT_MS = 200, /* events come in groups */
	PRUNE_EVERY = 1000,
	TEXT_MAX = 1024,
	DETAIL_MAX = 1024,
	MS_PER_DAY = 24 * 60 * 60 * 1000,
};

/* A difference that was there at the last pass. */
struct known_drift {
	char *key, *worker;
	bool there;
};

struct events {
	struct store *store;
	struct loop *loop;
	struct loop_timer commit;
	sqlite3_stmt *insert, *read;
	int64_t boot_ms;
	uint64_t last; /* of the init's events */
	uint64_t safe; /* up to here all of them are in the store */
	/* Those that could not be written, as far as the init still has them:
	 * the last that came again, and the last of them. */
	uint64_t redo_from, redo_to;
	events_again_fn *again;
	void *again_arg;
	unsigned written; /* since the last pruning */
	struct known_drift *drift;
	size_t ndrift;
};

/* One row. */
struct event {
	int64_t boot_ms; /* 0: our own */
	uint64_t number;
	int64_t at_ms;
	const char *kind, *worker;
	int64_t replica, pid; /* -1: none */
	const char *text;
	const char *detail; /* JSON: how it ended; or NULL */
	const char *key;    /* of a difference; or NULL */
};

/* --- writing ------------------------------------------------------------ */

static void
prune(struct events *events)
{
	char sql[256];

	events->written = 0;
	(void)snprintf(sql, sizeof(sql),
	    "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - %d "
	    "OR at_ms < %" PRId64,
	    (int)EVENTS_MAX,
	    clock_wall_ms() - (int64_t)EVENTS_DAYS * MS_PER_DAY);
	CLEANUP(store_statement_free)
	sqlite3_stmt *statement = store_prepare(events->store, sql);

	(void)!store_run(events->store, statement);
}

/* After a commit. The gap is also of what others wrote into the store: whoever
 * commits may be the first for whom it works again. */
static void
tell_gap(struct events *events)
{
	char since[CLOCK_TEXT_SIZE];
	int64_t since_wall_ms = store_take_gap(events->store);

	if (since_wall_ms == 0) {
		if (events->store->trouble_wall_ms == 0)
			events->safe = events->redo_from < events->redo_to
			                   ? events->redo_from
			                   : events->last;
		return;
	}
	events->redo_from = events->safe;
	events->redo_to = events->last;
	events_say(events, "lost", NULL,
	    "the history could not be written since %s: of what happened until "
	    "now it gets what the init keeps",
	    clock_text(since_wall_ms, since));
	if (events->redo_from < events->redo_to && events->again != NULL)
		events->again(events->again_arg, events->redo_from);
}

static void
commit_fired(struct loop_timer *timer, int64_t now_ms)
{
	struct events *events = timer->owner;

	(void)now_ms;
	if (events->written >= PRUNE_EVERY)
		prune(events);
	store_commit(events->store);
	tell_gap(events);
}

static void
bind_text(sqlite3_stmt *statement, int at, const char *text)
{
	(void)sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT);
}

static void
bind_known(sqlite3_stmt *statement, int at, int64_t value, bool known)
{
	if (known)
		(void)sqlite3_bind_int64(statement, at, value);
	else
		(void)sqlite3_bind_null(statement, at);
}

static void
keep(struct events *events, const struct event *event)
{
	struct err err = ERR_INIT;
	sqlite3_stmt *insert = events->insert;

	if (insert == NULL)
		return;
	bind_known(insert, 1, event->boot_ms, event->boot_ms != 0);
	bind_known(insert, 2, (int64_t)event->number, event->boot_ms != 0);
	(void)sqlite3_bind_int64(insert, 3, event->at_ms);
	bind_text(insert, 4, event->kind);
	bind_text(insert, 5, event->worker);
	bind_known(insert, 6, event->replica, event->replica >= 0);
	bind_known(insert, 7, event->pid, event->pid > 0);
	bind_text(insert, 8, event->text);
	bind_text(insert, 9, event->detail);
	bind_text(insert, 10, event->key);
	(void)!store_run(events->store, insert);
	events->written++;
	if (events->commit.slot == 0 &&
	    loop_timer_set(events->loop, &events->commit,
	        clock_after(clock_ms(), COMMIT_MS), &err) == -1)
		store_commit(events->store);
}

static void
say(struct events *events, const char *kind, const char *worker,
    const char *key, const char *text)
{
	keep(events, &(struct event){.at_ms = clock_wall_ms(),
	                 .kind = kind,
	                 .worker = worker,
	                 .replica = -1,
	                 .text = text,
	                 .key = key});
	/* Ours come seldom, and nobody has them a second time. */
	store_commit(events->store);
	tell_gap(events);
}

void
events_say(struct events *events, const char *kind, const char *worker,
    const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list args;

	if (events == NULL)
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	say(events, kind, worker, NULL, text);
}

/* --- the init's ---------------------------------------------------------- */

static const char *
kind_of(const struct wire_event *wire)
{
	switch ((enum instance_event)wire->event) {
	case EVENT_EXECED:
		return "started";
	case EVENT_READY:
		return "ready";
	case EVENT_UNREADY:
		return "not-ready";
	case EVENT_STOP:
		return "stopping";
	case EVENT_KILL:
		return "killed";
	case EVENT_EXITED:
		return wire->exit.kind == EXIT_EXEC ? "not-started" : "exited";
	case EVENT_CLONE_FAILED:
		return "not-started";
	case EVENT_FINISH:
		return "finished";
	case EVENT_HELD:
		return "stopped";
	case EVENT_NONE:
	case EVENT_WANTED:
	case EVENT_CLONED:
	case EVENT_RETRY:
	case EVENT_FORGET:
	case EVENT_COUNT:
		break;
	}
	return "changed";
}

static void
exit_words(const struct wire_event *wire, char *dst, size_t size)
{
	char how[EXIT_TEXT_SIZE];
	char ran[32];

	(void)exit_text(&wire->exit, how, sizeof(how));
	if (wire->exit.kind == EXIT_EXEC)
		(void)snprintf(dst, size, "%s", how);
	else
		(void)snprintf(dst, size, "%s after %s", how,
		    text_ms_for_people(wire->ran_ms, ran, sizeof(ran)));
}

static void
exit_json(const struct wire_event *wire, struct buffer *out)
{
	static const char *const oom[] = {
	    [OOM_UNKNOWN] = NULL, [OOM_NO] = "no", [OOM_YES] = "yes"};
	const struct worker_exit *ended = &wire->exit;
	char name[16];
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "class", exit_class_name(exit_classify(ended)));
	if (ended->kind == EXIT_CODE)
		jsonw_i64(&json, "code", ended->value);
	if (ended->kind == EXIT_SIGNAL)
		jsonw_text(&json, "signal",
		    exit_signal_name(ended->value, name, sizeof(name)));
	if (ended->kind == EXIT_EXEC) {
		jsonw_text(&json, "stage",
		    spawn_stage_name((enum spawn_stage)ended->stage));
		jsonw_text(&json, "errno", exit_errno_name(ended->value));
	}
	jsonw_text(
	    &json, "oom", ended->oom < ARRAY_LEN(oom) ? oom[ended->oom] : NULL);
	jsonw_bool(&json, "core_dumped", ended->core_dumped != 0);
	jsonw_i64(&json, "ran_ms", wire->ran_ms);
	jsonw_i64(&json, "group_survivors", ended->group_survivors);
	jsonw_end(&json);
}

void
events_take(struct events *events, const struct wire_event *wire)
{
	char text[EXIT_TEXT_SIZE + 64];
	struct buffer detail;
	bool ended = wire->event == EVENT_EXITED;

	if (events == NULL)
		return;
	bool again = wire->number <= events->last;
	uint64_t *before = again ? &events->redo_from : &events->last;

	if (wire->number <= *before ||
	    (again && wire->number > events->redo_to))
		return;
	if (wire->number > *before + 1)
		events_say(events, "lost", NULL,
		    "%" PRIu64 " events came while the operator was away, more "
		    "than the init keeps",
		    wire->number - *before - 1);
	*before = wire->number;
	buffer_init(&detail, DETAIL_MAX);
	if (ended) {
		exit_words(wire, text, sizeof(text));
		exit_json(wire, &detail);
	} else {
		(void)snprintf(text, sizeof(text), "%s",
		    instance_why_name((enum instance_why)wire->why));
	}
	keep(events, &(struct event){.boot_ms = events->boot_ms,
	                 .number = wire->number,
	                 .at_ms = wire->wall_ms,
	                 .kind = kind_of(wire),
	                 .worker = wire->name,
	                 .replica = wire->replica,
	                 .pid = wire->pid,
	                 .text = text,
	                 .detail = ended ? detail.data : NULL});
	buffer_fini(&detail);
}

void
events_ask_again(struct events *events, events_again_fn *again, void *arg)
{
	if (events == NULL)
		return;
	events->again = again;
	events->again_arg = arg;
}

uint64_t
events_last(const struct events *events)
{
	return events == NULL ? 0 : events->last;
}

/* --- drift --------------------------------------------------------------- */

static const char *
column(sqlite3_stmt *row, int at)
{
	return (const char *)sqlite3_column_text(row, at);
}

static struct known_drift *
drift_find(struct events *events, const char *key)
{
	for (size_t i = 0; i < events->ndrift; i++)
		if (text_equal(events->drift[i].key, key))
			return &events->drift[i];
	return NULL;
}

static void
drift_know(struct events *events, const char *key, const char *worker)
{
	struct known_drift *more = reallocarray(
	    events->drift, events->ndrift + 1, sizeof(*events->drift));

	if (more == NULL)
		return;
	events->drift = more;
	more[events->ndrift++] = (struct known_drift){
	    .key = strdup(key), .worker = strdup(worker), .there = true};
}

static void
drift_begins(struct events *events, const struct drift *item, const char *key)
{
	char text[TEXT_MAX];

	drift_know(events, key, item->worker);
	(void)snprintf(text, sizeof(text), "%s (%s)", item->summary,
	    drift_policy_name(item->policy));
	say(events, "drift", item->worker, key, text);
}

/* What our predecessor had found and not seen over. */
static void
drift_recall(struct events *events)
{
	CLEANUP(store_statement_free)
	sqlite3_stmt *row = store_prepare(events->store,
	    "SELECT key, worker, kind, max(id) FROM events "
	    "WHERE key IS NOT NULL GROUP BY key");

	while (row != NULL && sqlite3_step(row) == SQLITE_ROW)
		if (text_equal(column(row, 2), "drift"))
			drift_know(events, column(row, 0), column(row, 1));
}

void
events_drift(struct events *events, const struct drift_list *list)
{
	char key[TEXT_MAX];
	size_t kept = 0;

	if (events == NULL)
		return;
	for (size_t i = 0; i < events->ndrift; i++)
		events->drift[i].there = false;
	for (size_t i = 0; i < list->count; i++) {
		const struct drift *item = &list->items[i];
		(void)snprintf(key, sizeof(key), "%s %s %s", item->worker,
		    drift_class_name(item->kind), item->key);
		struct known_drift *known = drift_find(events, key);
		if (known != NULL)
			known->there = true;
		else
			drift_begins(events, item, key);
	}
	for (size_t i = 0; i < events->ndrift; i++) {
		struct known_drift *known = &events->drift[i];
		if (known->there) {
			events->drift[kept++] = *known;
			continue;
		}
		say(events, "drift-over", known->worker, known->key,
		    known->key + strlen(known->worker) + 1);
		free(known->key);
		free(known->worker);
	}
	events->ndrift = kept;
}

/* --- reading ------------------------------------------------------------- */

static void
write_number(struct jsonw *json, const char *key, sqlite3_stmt *row, int at)
{
	if (sqlite3_column_type(row, at) == SQLITE_NULL)
		jsonw_null(json, key);
	else
		jsonw_i64(json, key, sqlite3_column_int64(row, at));
}

static void
write_row(struct jsonw *json, sqlite3_stmt *row)
{
	char at[CLOCK_TEXT_SIZE];

	jsonw_object(json, NULL);
	jsonw_i64(json, "id", sqlite3_column_int64(row, 0));
	jsonw_text(json, "at", clock_text(sqlite3_column_int64(row, 1), at));
	jsonw_text(json, "kind", column(row, 2));
	jsonw_text(json, "worker", column(row, 3));
	write_number(json, "replica", row, 4);
	write_number(json, "pid", row, 5);
	jsonw_text(json, "text", column(row, 6));
	if (sqlite3_column_type(row, 7) == SQLITE_NULL)
		jsonw_null(json, "exit");
	else
		jsonw_raw(json, "exit", column(row, 7));
	jsonw_end(json);
}

int
events_write(struct events *events, const struct events_query *query,
    struct buffer *out, struct err *err)
{
	sqlite3_stmt *read = events->read;
	struct jsonw json;
	int code = SQLITE_DONE;

	if (read == NULL)
		return err_set(
		    err, ERR_SYSTEM, "no history: %s", events->store->trouble);
	(void)sqlite3_bind_int64(read, 1, query->since_ms);
	(void)sqlite3_bind_int64(read, 2, query->after);
	bind_text(read, 3, query->worker);
	(void)sqlite3_bind_int64(read, 4, query->limit);
	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.events/1");
	jsonw_array(&json, "events");
	while ((code = sqlite3_step(read)) == SQLITE_ROW)
		write_row(&json, read);
	jsonw_end(&json);
	jsonw_text(&json, "trouble",
	    events->store->trouble[0] == '\0' ? NULL : events->store->trouble);
	jsonw_end(&json);
	buffer_text(out, "\n");
	(void)sqlite3_reset(read);
	return code == SQLITE_DONE
	           ? 0
	           : err_set(err, ERR_SYSTEM, "the history can't be read: %s",
	                 sqlite3_errmsg(events->store->db));
}

/* --- life ---------------------------------------------------------------- */

static uint64_t
read_last(struct events *events)
{
	uint64_t last = 0;
	CLEANUP(store_statement_free)
	sqlite3_stmt *statement = store_prepare(
	    events->store, "SELECT max(number) FROM events WHERE boot = ?1");

	if (statement == NULL)
		return 0;
	(void)sqlite3_bind_int64(statement, 1, events->boot_ms);
	if (sqlite3_step(statement) == SQLITE_ROW)
		last = (uint64_t)sqlite3_column_int64(statement, 0);
	return last;
}

struct events *
events_new(
    struct store *store, struct loop *loop, int64_t boot_ms, struct err *err)
{
	struct events *events = calloc(1, sizeof(*events));

	if (events == NULL) {
		(void)err_sys(err, "events");
		return NULL;
	}
	*events = (struct events){
	    .store = store,
	    .loop = loop,
	    .commit = {.fire = commit_fired, .owner = events},
	    .boot_ms = boot_ms,
	};
	events->insert = store_prepare(store,
	    "INSERT OR IGNORE INTO events(boot, number, at_ms, kind, worker, "
	    "replica, pid, text, detail, key) "
	    "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)");
	events->read = store_prepare(store,
	    "SELECT * FROM (SELECT id, at_ms, kind, worker, replica, pid, "
	    "text, detail FROM events WHERE at_ms >= ?1 AND id > ?2 AND "
	    "(?3 IS NULL OR worker = ?3) ORDER BY id DESC LIMIT ?4) "
	    "ORDER BY id");
	events->last = events->safe = read_last(events);
	drift_recall(events);
	prune(events);
	store_commit(store);
	return events;
}

void
events_free(struct events *events)
{
	if (events == NULL)
		return;
	loop_timer_clear(events->loop, &events->commit);
	store_commit(events->store);
	store_statement_free(&events->insert);
	store_statement_free(&events->read);
	for (size_t i = 0; i < events->ndrift; i++) {
		free(events->drift[i].key);
		free(events->drift[i].worker);
	}
	free(events->drift);
	free(events);
}
