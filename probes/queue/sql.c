/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/near.h"
#include "probes/queue/sql.h"

enum {
	REQUIRED_MAX = 16
};

const char *const sql_keys[] = {"driver", "table", "schema", "id", "payload",
    "status", "waiting", "active", "done", "failed", "dead", "lease",
    "attempts", "max_attempts", "created", "updated", "owner", "run_at",
    "error", "queue", "queue_column", "where", "time", "tz", "cost",
    "procedure", "dlq", "test", "ts", "timeout", "budget", "pass", NULL};
const char *const sql_client_keys[] = {"ssl-mode", "ssl-ca", "encrypt", NULL};

int
sql_layout(struct queue *queue, struct sql_table *table, struct err *err)
{
	const char *procedure = queue_option(queue, "procedure");

	if (procedure != NULL && procedure[0] != '\0')
		table->procedure = procedure;
	return table_layout_read(queue, &table->layout, err);
}

/* --- the table -------------------------------------------------------------
 */

int
sql_run(struct queue *queue, const char *text, const struct sql_bound *bound,
    struct sql_rows *ret, struct err *err)
{
	const struct sql_table *table = queue->state;

	if (table->backend->run(queue, text, bound, bound->arena, ret, err) ==
	    -1)
		return err_wrap(err, "table '%s'", queue->name);
	return 0;
}

static int
describe(struct queue *queue, struct err *err)
{
	struct sql_table *table = queue->state;
	const char *leads = table->layout.queue_column != NULL
	                        ? table->layout.queue_column
	                        : table->layout.status;

	if (table->columns != NULL)
		return 0;
	table->about_rows = -1;
	return table->backend->describe(queue, leads, table, err);
}

static int
check_columns(struct queue *queue, struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct table_layout *layout = &table->layout;
	const char *required[REQUIRED_MAX];
	const char *names[SQL_COLUMNS_MAX];
	const char *const times[] = {
	    layout->lease, layout->created, layout->run_at, layout->updated};
	size_t count = table_columns(layout, required, REQUIRED_MAX);

	for (size_t i = 0; i < table->ncolumns; i++)
		names[i] = table->columns[i].name;
	for (size_t i = 0; i < count; i++) {
		if (sql_column(table, required[i]) != NULL)
			continue;
		const char *near =
		    text_nearest(required[i], names, table->ncolumns);

		return queue_trouble(queue, CAUSE_MISMATCH, "42S22", err,
		    ERR_REFUSED, "table '%s' has no column '%s'%s%s%s",
		    queue->name, required[i], near != NULL ? "; it has '" : "",
		    near != NULL ? near : "", near != NULL ? "'" : "");
	}
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		if (times[i] != NULL &&
		    sql_now(&queue->arena, table, times[i]) == NULL)
			return queue_trouble(queue, CAUSE_MISMATCH, "", err,
			    ERR_REFUSED,
			    "column '%s' of table '%s' is of type %s, which is "
			    "no time",
			    times[i], queue->name,
			    sql_column(table, times[i])->type);
	}
	return 0;
}

int
sql_need(struct queue *queue, struct err *err)
{
	const struct sql_table *table = queue->state;

	if (describe(queue, err) == -1)
		return -1;
	if (table->columns == NULL)
		return queue_trouble(queue, CAUSE_NOT_FOUND, "42S02", err,
		    ERR_REFUSED, "there is no table '%s'", queue->name);
	return check_columns(queue, err);
}

/* --- observe ---------------------------------------------------------------
 */

/* " AND column OP now" */
static const char *
against_now(struct arena *arena, const struct sql_table *table,
    const char *column, const char *op)
{
	return arena_format(arena, " AND %s%s%s",
	    sql_quote(arena, table, column), op, sql_now(arena, table, column));
}

/* The first value of the answer; NULL: none. */
static int
value_of(struct queue *queue, const char *text, const struct sql_bound *bound,
    const char **ret, struct err *err)
{
	struct sql_rows rows;

	if (sql_run(queue, text, bound, &rows, err) == -1)
		return -1;
	*ret = rows.rows > 0 && rows.columns > 0 ? rows.cell[0] : NULL;
	return 0;
}

static struct queue_number
number_of(const char *text, const char *why_null)
{
	int64_t value = 0;

	if (text == NULL)
		return queue_unknown(why_null);
	if (text_i64(text, INT64_MIN, INT64_MAX, &value, NULL) == -1)
		return queue_unknown("the server didn't answer with a number");
	return queue_exact(value);
}

/* A statement that took too long says so and ends nothing; any other trouble is
 * the whole look's. */
static int
timed_out(const struct queue *queue)
{
	static const char *const codes[] = {
	    "1969", "3024", "HYT00", "S1T00", "57014", "1222"};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (text_equal(queue->code, codes[i]))
			return 0;
	}
	return -1;
}

static int
count(struct queue *queue, struct arena *arena, const struct table_words *words,
    const char *also, struct queue_number *ret, struct err *err)
{
	const struct sql_table *table = queue->state;
	struct sql_bound bound = {.arena = arena};
	const char *value = NULL;
	const char *where;

	*ret = queue_inapplicable();
	if (words->count == 0 || also == NULL)
		return 0;
	where = sql_where(&bound, table, words);
	if (value_of(queue,
	        arena_format(arena, "SELECT COUNT(*) FROM (%s) c",
	            sql_limited(arena, table, "1 AS x",
	                arena_format(arena, "FROM %s%s WHERE %s%s",
	                    table->table, table->dialect->hint, where, also),
	                queue->spec.count_to)),
	        &bound, &value, err) == -1) {
		*ret = queue_unknown("the server's time for it was over");
		return timed_out(queue);
	}
	*ret = number_of(value, "the server gave no number");
	if (ret->know == KNOW_EXACT)
		*ret = queue_counted(ret->value, queue->spec.count_to);
	return 0;
}

/* One value of the oldest waiting job. */
static int
oldest(struct queue *queue, struct arena *arena, const char *what,
    const char *order, const char **ret, struct err *err)
{
	const struct sql_table *table = queue->state;
	struct sql_bound bound = {.arena = arena};
	const char *where = sql_where(&bound, table, &table->layout.waiting);

	*ret = NULL;
	if (value_of(queue,
	        sql_limited(arena, table, what,
	            arena_format(arena, "FROM %s%s WHERE %s%s ORDER BY %s",
	                table->table, table->dialect->hint, where,
	                sql_due(arena, table), sql_quote(arena, table, order)),
	            1),
	        &bound, ret, err) == -1)
		return timed_out(queue);
	return 0;
}

static int
attempts(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct table_layout *layout = &table->layout;
	struct sql_bound bound = {.arena = arena};
	const char *value = NULL;

	if (layout->attempts == NULL) {
		ret->attempts_max = queue_unknown("no column for 'attempts'");
		return 0;
	}
	const char *waits = sql_where(&bound, table, &layout->waiting);
	const char *takes = sql_where(&bound, table, &layout->active);

	if (value_of(queue,
	        arena_format(arena, "SELECT MAX(a) FROM (%s) m",
	            sql_limited(arena, table,
	                arena_format(arena, "%s AS a",
	                    sql_quote(arena, table, layout->attempts)),
	                arena_format(arena, "FROM %s%s WHERE (%s) OR (%s)",
	                    table->table, table->dialect->hint, waits, takes),
	                TABLE_SAMPLE)),
	        &bound, &value, err) == -1) {
		ret->attempts_max =
		    queue_unknown("the server's time for it was over");
		return timed_out(queue);
	}
	ret->attempts_max = number_of(value != NULL ? value : "0", "");
	if (ret->attempts_max.know == KNOW_EXACT &&
	    ret->waiting.value + ret->active.value > TABLE_SAMPLE)
		ret->attempts_max.know = KNOW_AT_LEAST;
	return 0;
}

static int
look_at_ages(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct table_layout *layout = &table->layout;
	const char *created = NULL;
	const char *head = NULL;

	if (oldest(queue, arena, sql_text(arena, table, layout->id),
	        layout->created != NULL ? layout->created : layout->id, &head,
	        err) == -1)
		return -1;
	ret->head = head != NULL ? head : "";
	if (layout->created == NULL) {
		ret->oldest_ms = queue_unknown("no column for 'created'");
		return 0;
	}
	if (oldest(queue, arena, sql_ms(arena, table, layout->created),
	        layout->created, &created, err) == -1)
		return -1;
	ret->oldest_ms =
	    number_of(created, head != NULL ? "the oldest was put in at no time"
	                                    : "nothing waits");
	if (ret->oldest_ms.know == KNOW_EXACT &&
	    __builtin_sub_overflow(ret->as_of_wall_ms, ret->oldest_ms.value,
	        &ret->oldest_ms.value))
		ret->oldest_ms =
		    queue_unknown("the oldest was put in at no time");
	ret->oldest_ms.value = MAX(ret->oldest_ms.value, 0);
	return 0;
}

static int
look_at_rows(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct table_layout *layout = &table->layout;
	const char *later = layout->run_at != NULL
	                        ? against_now(arena, table, layout->run_at, ">")
	                        : NULL;
	const char *over = NULL;
	const char *missing = NULL;

	if (layout->lease != NULL) {
		over = against_now(arena, table, layout->lease, "<");
		missing = arena_format(arena, " AND %s IS NULL",
		    sql_quote(arena, table, layout->lease));
	}
	if (count(queue, arena, &layout->waiting, sql_due(arena, table),
	        &ret->waiting, err) == -1 ||
	    count(queue, arena, &layout->active, "", &ret->active, err) == -1 ||
	    count(queue, arena, &layout->waiting, later, &ret->delayed, err) ==
	        -1 ||
	    count(queue, arena, &layout->failed, "", &ret->failed, err) == -1 ||
	    count(queue, arena, &layout->dead, "", &ret->dead, err) == -1 ||
	    count(queue, arena, &layout->done, "", &ret->completed, err) ==
	        -1 ||
	    count(queue, arena, &layout->active, over, &ret->lease_expired,
	        err) == -1 ||
	    count(queue, arena, &layout->active, missing, &ret->lease_missing,
	        err) == -1)
		return -1;
	if (layout->lease == NULL) {
		ret->lease_expired = queue_unknown("no column for 'lease'");
		ret->lease_missing = queue_unknown("no column for 'lease'");
	}
	if (attempts(queue, arena, ret, err) == -1)
		return -1;
	return look_at_ages(queue, arena, ret, err);
}

/* A large table that no index leads into isn't read. */
static void
too_large(
    const struct sql_table *table, struct arena *arena, struct queue_state *ret)
{
	struct queue_number *const numbers[] = {&ret->waiting, &ret->active,
	    &ret->delayed, &ret->failed, &ret->dead, &ret->completed,
	    &ret->lease_expired, &ret->lease_missing, &ret->oldest_ms,
	    &ret->attempts_max};
	const char *why = arena_format(arena,
	    "the table has about %" PRId64
	    " rows and no index that begins with %s",
	    table->about_rows,
	    table->layout.queue_column != NULL ? table->layout.queue_column
	                                       : table->layout.status);

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		*numbers[i] = queue_unknown(why);
}

static void
look_at_sessions(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct sql_table *table = queue->state;
	struct sql_bound bound = {.arena = arena};
	struct sql_rows rows;
	struct err err = ERR_INIT;

	if (table->dialect->sessions == NULL) {
		ret->consumers = queue_unknown(arena_format(
		    arena, "%s doesn't show who reads", table->dialect->name));
		return;
	}
	if (sql_run(queue, table->dialect->sessions, &bound, &rows, &err) ==
	    -1) {
		ret->consumers = queue_unknown(arena_text(arena, err.text));
		return;
	}
	struct queue_consumer *who =
	    arena_array(arena, QUEUE_WHO_MAX, sizeof(*who));

	for (size_t i = 1; i < rows.rows && ret->nwho < QUEUE_WHO_MAX; i++) {
		const char *const *cell = rows.cell + i * rows.columns;

		who[ret->nwho++] = (struct queue_consumer){
		    .id = cell[0] != NULL ? cell[0] : "",
		    .address = cell[1] != NULL ? cell[1] : "",
		    .reads = "",
		    .worker = "",
		    .pid = -1,
		    .proof = PROOF_CONNECTED};
	}
	ret->who = who;
	if (rows.rows == 1 && text_equal(rows.cell[0], "1"))
		ret->consumers = queue_exact(0);
	else if (rows.rows <= 1)
		ret->consumers = queue_unknown(
		    "this account isn't shown the sessions of others");
	else
		ret->consumers = queue_unknown(arena_format(arena,
		    "%zu other sessions of this database may read the table",
		    rows.rows - 1));
}

/* Whether the procedure that acquires a lease is there. */
static int
look_at_procedure(struct queue *queue, struct arena *arena, struct err *err)
{
	const struct sql_table *table = queue->state;
	struct sql_bound bound = {.arena = arena};
	const char *text = NULL;

	if (table->procedure == NULL || table->dialect->procedure == NULL)
		return 0;
	(void)sql_bind(&bound, table->procedure);
	if (value_of(queue, table->dialect->procedure, &bound, &text, err) ==
	    -1)
		return -1;
	if (text == NULL)
		return queue_trouble(queue, CAUSE_NOT_FOUND, "", err,
		    ERR_REFUSED,
		    "there is no procedure '%s', by which workers acquire "
		    "leases of table '%s', or this account may not see it",
		    table->procedure, queue->name);
	return 0;
}

static int
clock_of(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct sql_dialect *dialect = table->dialect;
	struct sql_bound bound = {.arena = arena};
	const char *now = NULL;

	if (value_of(queue,
	        arena_format(arena, "SELECT %s%s%s", dialect->ms, dialect->now,
	            dialect->ms_end),
	        &bound, &now, err) == -1)
		return -1;
	ret->as_of_wall_ms = number_of(now, "").value;
	return 0;
}

/* Who the server is, and whether it takes writes; what it doesn't tell stays
 * unknown. */
static void
look_at_server(
    struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct sql_table *table = queue->state;
	struct sql_bound none = {.arena = arena};
	struct sql_rows rows;

	if (table->dialect->variables == NULL ||
	    sql_run(queue, table->dialect->variables, &none, &rows, NULL) == -1)
		return;
	for (size_t i = 0; i < rows.rows && rows.columns == 2; i++) {
		const char *name = rows.cell[2 * i];
		const char *value = rows.cell[2 * i + 1];

		if (name == NULL || value == NULL)
			continue;
		if (!text_ends(name, "read_only"))
			ret->identity = arena_format(
			    arena, "%s/%s", value, table->database);
		else if (text_equal(value, "ON"))
			ret->read_only = (struct queue_flag){
			    HOLDS_YES, arena_format(arena, "%s is on", name)};
		else if (ret->read_only.is == HOLDS_UNKNOWN)
			ret->read_only =
			    (struct queue_flag){HOLDS_NO, "it takes writes"};
	}
}

static int
observe_within(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	const struct sql_table *table = queue->state;

	if (clock_of(queue, arena, ret, err) == -1 ||
	    look_at_procedure(queue, arena, err) == -1)
		return -1;
	if (!table->indexed && table->about_rows > SQL_SCAN_ROWS_MAX)
		too_large(table, arena, ret);
	else if (look_at_rows(queue, arena, ret, err) == -1)
		return -1;
	look_at_sessions(queue, arena, ret);
	return 0;
}

int
sql_observe(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	struct sql_table *table = queue->state;
	struct sql_bound none = {.arena = arena};
	struct sql_rows rows;

	if (describe(queue, err) == -1)
		return -1;
	ret->engine = table->server;
	ret->identity = table->identity;
	look_at_server(queue, arena, ret);
	ret->as_of_wall_ms = clock_wall_ms();
	ret->exists = table->columns != NULL ? EXISTS_YES : EXISTS_NO;
	if (table->columns == NULL)
		return 0;
	if (sql_need(queue, err) == -1)
		return -1;
	if (table->dialect->begin == NULL)
		return observe_within(queue, arena, ret, err);
	if (sql_run(queue, table->dialect->begin, &none, &rows, err) == -1)
		return -1;
	int rc = observe_within(queue, arena, ret, err);

	/* it only read: nothing hangs on how it ends */
	(void)!sql_run(queue, "ROLLBACK", &none, &rows, NULL);
	return rc;
}

/* Other values of the queue's column, with what waits there. They are of every
 * row, so not where that is too many. */
static int
near_queues(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err)
{
	const struct sql_table *table = queue->state;
	const struct table_words *words = &table->layout.waiting;
	struct sql_bound bound = {.arena = arena};
	struct sql_rows rows;
	struct near near;
	const char *marks = "";
	const char *column =
	    sql_quote(arena, table, table->layout.queue_column);

	if (table->about_rows > SQL_SCAN_ROWS_MAX)
		return 0;
	for (size_t i = 0; i < words->count; i++)
		marks = arena_format(arena, "%s%s%s", marks, i > 0 ? "," : "",
		    sql_bind(&bound, words->word[i]));
	if (sql_run(queue,
	        arena_format(arena,
	            "SELECT %s,SUM(CASE WHEN %s IN (%s) THEN 1 ELSE 0 END) "
	            "FROM %s%s GROUP BY %s",
	            sql_text(arena, table, table->layout.queue_column),
	            sql_quote(arena, table, table->layout.status), marks,
	            table->table, table->dialect->hint, column),
	        &bound, &rows, err) == -1)
		return timed_out(queue);
	near_init(&near, arena, table->layout.queue_value);
	for (size_t i = 0; i < rows.rows; i++)
		if (rows.cell[2 * i] != NULL)
			near_offer(&near, rows.cell[2 * i], "", "queue");
	for (size_t i = 0; i < rows.rows; i++)
		for (size_t k = 0; k < near.count; k++)
			if (text_equal(rows.cell[2 * i], near.found[k].name))
				near.found[k].waiting =
				    number_of(rows.cell[2 * i + 1], "");
	near_finish(&near, state);
	return 0;
}

int
sql_near(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err)
{
	const struct sql_table *table = queue->state;
	const char *place = table->dialect->place;
	const char *schema = table->layout.schema;
	struct sql_bound bound = {.arena = arena};
	struct sql_rows rows;
	struct near near;

	if (table->layout.queue_column != NULL && table->columns != NULL)
		return near_queues(queue, arena, state, err);
	(void)sql_bind(&bound, schema != NULL ? schema : "");
	if (sql_run(queue, table->dialect->tables, &bound, &rows, err) == -1)
		return -1;
	near_init(&near, arena, table->layout.table);
	for (size_t i = 0; i < rows.rows; i++) {
		const char *name = rows.cell[i * rows.columns];
		const char *other = rows.cell[i * rows.columns + 1];

		if (name != NULL && other != NULL)
			near_offer(&near, name,
			    other[0] != '\0'
			        ? arena_format(arena, "%s %s",
			              place != NULL ? place : "schema", other)
			        : "",
			    "table");
	}
	near_finish(&near, state);
	return 0;
}
