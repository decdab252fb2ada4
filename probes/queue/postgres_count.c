/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <math.h>

#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/postgres_count.h"

enum {
	PLAN_DEPTH_MAX = 32
};

static const double guess_max = 1e15; /* of a planner, in rows */

/* What the planner says of one figure. */
struct guess {
	double cost; /* -1 unknown */
	double rows; /* that it would count without the cap; -1 unknown */
};

static const char *
figure_text(struct arena *arena, const struct pg_figures *figures, int figure)
{
	const char *text = figures->text[figure];

	return figure < PG_COUNTS
	           ? arena_format(arena,
	                 "SELECT count(*) FROM (SELECT 1 %s LIMIT %" PRId64
	                 ") s",
	                 text, figures->count_to)
	           : text;
}

/* A column for what time it is, then one for each figure: a subquery of its
 * own, which the plan shows as one. What isn't asked for still stands there,
 * since every parameter must be, but the planner throws it away. */
static const char *
statement(
    struct arena *arena, const struct pg_figures *figures, const bool *asked)
{
	const char *text =
	    "SELECT (extract(epoch FROM clock_timestamp())*1000)::bigint";

	for (int i = 0; i < PG_FIGURES; i++) {
		if (figures->text[i] == NULL)
			text = arena_format(arena, "%s,NULL", text);
		else
			text = arena_format(arena,
			    asked[i] ? "%s,(%s)::text"
			             : "%s,CASE WHEN false THEN (%s)::text END",
			    text, figure_text(arena, figures, i));
	}
	return text;
}

/* How many rows the part below the first LIMIT would give. */
static double
rows_below_limit(const cJSON *plan, int depth)
{
	const cJSON *plans = cJSON_GetObjectItemCaseSensitive(plan, "Plans");
	const cJSON *type = cJSON_GetObjectItemCaseSensitive(plan, "Node Type");
	const cJSON *inner = NULL;

	if (cJSON_IsString(type) && text_equal(type->valuestring, "Limit")) {
		const cJSON *rows = cJSON_GetObjectItemCaseSensitive(
		    cJSON_GetArrayItem(plans, 0), "Plan Rows");

		return cJSON_IsNumber(rows) ? rows->valuedouble : -1;
	}
	cJSON_ArrayForEach(inner, plans)
	{
		double rows = depth < PLAN_DEPTH_MAX
		                  ? rows_below_limit(inner, depth + 1)
		                  : -1;

		if (rows >= 0)
			return rows;
	}
	return -1;
}

/* The plan has an "InitPlan" for each figure, in their order. A plan of another
 * shape leaves the guesses unknown. */
static void
read_plan(const char *text, const bool *asked, struct guess *ret)
{
	CLEANUP(json_free) cJSON *json = json_read(text, strlen(text), NULL);
	const cJSON *plans = cJSON_GetObjectItemCaseSensitive(
	    cJSON_GetObjectItemCaseSensitive(
	        cJSON_GetArrayItem(json, 0), "Plan"),
	    "Plans");
	const cJSON *plan = NULL;
	int figure = 0;

	cJSON_ArrayForEach(plan, plans)
	{
		const cJSON *kind = cJSON_GetObjectItemCaseSensitive(
		    plan, "Parent Relationship");
		const cJSON *cost =
		    cJSON_GetObjectItemCaseSensitive(plan, "Total Cost");

		if (!cJSON_IsString(kind) ||
		    !text_equal(kind->valuestring, "InitPlan"))
			continue;
		while (figure < PG_FIGURES && !asked[figure])
			figure++;
		if (figure == PG_FIGURES)
			return;
		if (cJSON_IsNumber(cost))
			ret[figure].cost = cost->valuedouble;
		ret[figure++].rows = rows_below_limit(plan, 0);
	}
}

static int
guess(struct postgres_session *session, const char *text,
    const struct pg_sql *bound, const bool *asked, struct guess *ret,
    struct err *err)
{
	CLEANUP(postgres_result_free) PGresult *rows = NULL;

	for (int i = 0; i < PG_FIGURES; i++)
		ret[i] = (struct guess){.cost = -1, .rows = -1};
	if (postgres_query(session,
	        arena_format(bound->arena, "EXPLAIN (FORMAT JSON) %s", text),
	        bound->count, bound->params, &rows, err) == -1)
		return -1;
	if (PQntuples(rows) > 0)
		read_plan(PQgetvalue(rows, 0, 0), asked, ret);
	return 0;
}

/* --- into the state --------------------------------------------------------
 */

static struct queue_number *
slot(struct queue_state *state, int figure)
{
	switch (figure) {
	case PG_WAITING:
		return &state->waiting;
	case PG_ACTIVE:
		return &state->active;
	case PG_DELAYED:
		return &state->delayed;
	case PG_FAILED:
		return &state->failed;
	case PG_DEAD:
		return &state->dead;
	case PG_COMPLETED:
		return &state->completed;
	case PG_LEASE_EXPIRED:
		return &state->lease_expired;
	case PG_LEASE_MISSING:
		return &state->lease_missing;
	case PG_OLDEST:
		return &state->oldest_ms;
	case PG_ATTEMPTS:
		return &state->attempts_max;
	default:
		return NULL; /* no number */
	}
}

/* What is known of a figure that wasn't run. */
static struct queue_number
guessed(
    struct arena *arena, int figure, const struct guess *guess, const char *why)
{
	if (figure < PG_COUNTS && guess->rows >= 0 && guess->rows < guess_max)
		return (struct queue_number){.value = llround(guess->rows),
		    .know = KNOW_ESTIMATE,
		    .why = arena_text(arena, why)};
	return queue_unknown(why);
}

static struct queue_number
number_of(const char *text)
{
	int64_t value = 0;

	if (text_i64(text, INT64_MIN, INT64_MAX, &value, NULL) == -1)
		return queue_unknown("the server didn't answer with a number");
	return queue_exact(value);
}

static void
take(struct queue_state *state, struct arena *arena, int figure,
    const char *text, int64_t count_to)
{
	struct queue_number *number = slot(state, figure);

	if (figure == PG_HEAD) {
		state->head = arena_text(arena, text);
	} else if (figure == PG_HOLDERS) {
		state->holders = arena_text(arena, text);
	} else if (figure == PG_PAUSED) {
		state->paused = text_equal(text, "1");
	} else if (figure == PG_BACKS_OFF) {
		state->backs_off.is =
		    text_equal(text, "1") ? HOLDS_YES : HOLDS_NO;
	} else if (number != NULL) {
		*number = number_of(text);
		if (figure < PG_COUNTS && number->know == KNOW_EXACT)
			*number = queue_counted(number->value, count_to);
	}
}

/* From "when it was put in" to "how long ago". */
static void
age(struct queue_state *state)
{
	struct queue_number *oldest = &state->oldest_ms;

	if (oldest->know == KNOW_UNKNOWN && state->waiting.value > 0)
		oldest->why = "the oldest was put in at no time";
	if (oldest->know != KNOW_EXACT)
		return;
	if (oldest->value > state->as_of_wall_ms)
		oldest->value = 0; /* by another clock than the server's */
	else if (__builtin_sub_overflow(
	             state->as_of_wall_ms, oldest->value, &oldest->value))
		*oldest = queue_unknown("the oldest was put in at no time");
}

static int
run(struct postgres_session *session, const struct pg_figures *figures,
    const struct pg_sql *bound, const bool *asked, struct queue_state *ret,
    struct err *err)
{
	CLEANUP(postgres_result_free) PGresult *rows = NULL;

	if (postgres_query(session, statement(bound->arena, figures, asked),
	        bound->count, bound->params, &rows, err) == -1)
		return -1;
	ret->as_of_wall_ms = number_of(PQgetvalue(rows, 0, 0)).value;
	for (int i = 0; i < PG_FIGURES; i++) {
		if (PQgetisnull(rows, 0, i + 1) == 0)
			take(ret, bound->arena, i, PQgetvalue(rows, 0, i + 1),
			    figures->count_to);
	}
	age(ret);
	if (ret->attempts_max.know == KNOW_EXACT &&
	    ret->waiting.value + ret->active.value > PG_SAMPLE)
		ret->attempts_max.know = KNOW_AT_LEAST;
	return 0;
}

int
pg_count(struct postgres_session *session, const struct pg_figures *figures,
    const struct pg_sql *bound, struct queue_state *ret, bool *ret_ended,
    struct err *err)
{
	struct arena *arena = bound->arena;
	struct guess guesses[PG_FIGURES];
	bool asked[PG_FIGURES];
	struct err refused = ERR_INIT;

	*ret_ended = false;
	for (int i = 0; i < PG_FIGURES; i++) {
		struct queue_number *number = slot(ret, i);

		asked[i] = figures->text[i] != NULL;
		if (number != NULL)
			*number = asked[i] ? queue_unknown("nothing waits")
			          : figures->why[i] != NULL
			              ? queue_unknown(figures->why[i])
			              : queue_inapplicable();
	}
	if (guess(session, statement(arena, figures, asked), bound, asked,
	        guesses, err) == -1)
		return -1;
	for (int i = 0; i < PG_FIGURES; i++) {
		struct queue_number *number = slot(ret, i);

		if (!asked[i] || guesses[i].cost <= (double)figures->cost_max)
			continue;
		asked[i] = false;
		if (number != NULL)
			*number = guessed(arena, i, &guesses[i],
			    arena_format(arena,
			        "it costs %.0f by the planner, more than "
			        "%" PRId64 ": %s would make it known",
			        guesses[i].cost, figures->cost_max,
			        figures->hint));
	}
	if (run(session, figures, bound, asked, ret, &refused) == 0)
		return 0;
	if (!text_equal(session->trouble.state, "57014"))
		return err_set(err, refused.kind, "%s", refused.text);
	*ret_ended = true;
	for (int i = 0; i < PG_FIGURES; i++) {
		struct queue_number *number = slot(ret, i);

		if (asked[i] && number != NULL)
			*number = guessed(arena, i, &guesses[i],
			    "the server's time for it was over");
	}
	return 0;
}
