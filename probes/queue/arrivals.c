/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/arrivals.h"
#include "probes/queue/sample.h"

enum {
	LOOKED_AT = 50,   /* jobs of one look at the queue */
	ASKED_MAX = 1000, /* jobs whose row is asked for, altogether */
	WITHOUT_MAX = 50, /* of which the row is asked for again */
	LOOK_BYTES_MAX = 16 << 20,
	ROW_BYTES_MAX = 4 << 20,
};
static const int64_t WATCH_MS = 2000;
/* Between two looks at the queue: four times as long as its server took, so
 * that the watch is never much of its work. */
static const int64_t REST_MS = 25;
static const int64_t REST_TIMES = 4;
static const int64_t LATE_MS = 5000;
static const int64_t AGAIN_FIRST_MS = 5;
static const int64_t AGAIN_MOST_MS = 250;
static const int64_t ENDS_BEFORE_MS = 200; /* the look's own deadline */

/* A job that was seen, and its row was not. */
struct arrival {
	const char *value; /* what is bound */
	const char *id;    /* the queue's own */
	int64_t met_ms, met_wall_ms;
	int64_t due_ms, wait_ms; /* asked for again */
};

struct arrivals {
	struct look *look;
	struct queue *queue;
	const char *field;
	look_fn *ask;
	cJSON *row;                    /* the request that asks for it */
	const char *values[ASKED_MAX]; /* each is asked for once */
	size_t nvalues;
	struct arrival without[WITHOUT_MAX];
	size_t nwithout;
	bool shows_active;
	bool answered; /* a row can't be asked for, and the look says why */
	int64_t ends_ms;
	int64_t
	    listed_ms; /* of the last look at the queue: its server's part */
	size_t looks, early, never, undecided, unread, odd;
	struct arrival longest;
	int64_t longest_ms;
	const char *never_id;
};

/* --- a row -----------------------------------------------------------------
 */

enum row {
	ROW_UNKNOWN, /* `answered` */
	ROW_ABSENT,
	ROW_THERE,
	ROW_ODD, /* such an id no row can have */
};

static const char *
fact_of(const struct look *look, const char *key)
{
	for (size_t i = 0; i < look->out.nfacts; i++)
		if (text_equal(look->facts[i].key, key))
			return look->facts[i].value;
	return "";
}

static enum row
row_of_answer(struct arrivals *all, const struct look *asked)
{
	const struct observation *out = &asked->out;
	/* what a replica hasn't yet, its primary may have had for long */
	bool replica = text_equal(fact_of(asked, "in-recovery"), "t");

	if (!replica && out->result == RESULT_PASSED)
		return ROW_THERE;
	if (!replica && fact_of(asked, "value")[0] != '\0')
		return ROW_ABSENT;
	/* SQLSTATE 22…: data exception */
	if (!replica && text_starts(out->code, "22"))
		return ROW_ODD;
	all->answered = true;
	if (replica)
		look_unknown(all->look, CAUSE_MISMATCH, "replica",
		    "the row is asked for of a server that is read only: a "
		    "replica, which may lag behind");
	else
		look_unknown(all->look, out->cause, out->code,
		    "the row can't be asked for: %s", out->summary);
	return ROW_UNKNOWN;
}

/* As a smoke's stage asks, with another id bound. */
static enum row
ask_row(struct arrivals *all, const char *value)
{
	struct arena arena;
	struct look asked;

	arena_init(&arena, ROW_BYTES_MAX);
	look_init(&asked, all->look, &arena, all->row);
	asked.canary = value;
	asked.ladder.deadline_ms = all->look->ladder.deadline_ms;
	all->ask(&asked);
	enum row row = row_of_answer(all, &asked);

	arena_wipe(&arena);
	arena_fini(&arena);
	return row;
}

/* Whether there is a row, whatever is in it. */
static const char *
exists_sql(struct arena *arena, const char *query)
{
	size_t len = strlen(query);

	while (len > 0 && strchr(" \t\r\n;", query[len - 1]) != NULL)
		len--;
	/* a line of its own: the query may end in a comment */
	return arena_format(arena, "SELECT EXISTS (%.*s\n)", (int)len, query);
}

static int
read_row(struct arrivals *all)
{
	struct look *look = all->look;
	const cJSON *row = NULL;
	const char *kind = "";
	const char *query = "";
	struct err err = ERR_INIT;

	if (look_need(look, "id", &all->field) == -1 ||
	    look_need(look, "rowKind", &kind) == -1)
		return -1;
	if (json_object(look->request, "row", &row, &err) == -1 ||
	    row == NULL || json_text(row, "query", "", &query, &err) == -1) {
		look_unknown(look, CAUSE_INTERNAL, "",
		    "the request has no row: %s", err.text);
		return -1;
	}
	all->ask = look_of_kind(kind);
	all->row = cJSON_Duplicate(row, true);
	if (all->ask == NULL || all->row == NULL) {
		look_unknown(look, CAUSE_INTERNAL, "",
		    "this reeve can't look at kind '%.40s'", kind);
		return -1;
	}
	(void)cJSON_ReplaceItemInObjectCaseSensitive(all->row, "query",
	    cJSON_CreateString(exists_sql(look->arena, query)));
	(void)cJSON_AddTrueToObject(all->row, "equals");
	return 0;
}

/* A query that doesn't depend on the job finds each one's row: it would prove
 * nothing. Which of the two the column takes isn't known. */
static void
try_query(struct arrivals *all)
{
	char id[QUEUE_NONCE_SIZE];

	queue_nonce(id);
	const char *const none[] = {
	    arena_format(all->look->arena, "%.8s-%.4s-4%.3s-8%.3s-%.12s", id,
	        id + 8, id + 12, id + 15, id + 18),
	    "-2147480001",
	};

	for (size_t i = 0; i < ARRAY_LEN(none) && !all->answered; i++) {
		if (ask_row(all, none[i]) != ROW_THERE)
			continue;
		all->answered = true;
		look_unknown(all->look, CAUSE_MISMATCH, "any-row",
		    "the query finds a row for a job that doesn't exist: it "
		    "would find one for any");
	}
}

/* --- the jobs --------------------------------------------------------------
 */

static bool
is_known(const struct arrivals *all, const char *value)
{
	for (size_t i = 0; i < all->nvalues; i++)
		if (strcmp(all->values[i], value) == 0)
			return true;
	return false;
}

/* The first time that a job is seen. */
static void
meet(struct arrivals *all, const char *value, const struct arrival *seen)
{
	if (is_known(all, value) || all->nvalues == ASKED_MAX)
		return;
	struct arrival arrival = *seen;

	arrival.value = arena_text(all->look->arena, value);
	all->values[all->nvalues++] = arrival.value;
	switch (ask_row(all, value)) {
	case ROW_UNKNOWN:
	case ROW_THERE:
		return;
	case ROW_ODD:
		all->odd++;
		return;
	case ROW_ABSENT:
		break;
	}
	if (all->nwithout == WITHOUT_MAX) {
		all->undecided++;
		return;
	}
	arrival.id = arena_text(all->look->arena, seen->id);
	arrival.wait_ms = AGAIN_FIRST_MS;
	arrival.due_ms = clock_after(clock_ms(), arrival.wait_ms);
	all->without[all->nwithout++] = arrival;
}

/* The newest first: theirs is the row that may not be missing for long. */
static void
meet_all(
    struct arrivals *all, struct arena *arena, const struct queue_page *page)
{
	struct arrival seen = {
	    .met_ms = clock_ms(), .met_wall_ms = clock_wall_ms()};
	size_t unread = 0;

	for (size_t i = 0;
	     i < page->count && !all->answered && clock_ms() < all->ends_ms;
	     i++) {
		CLEANUP(json_free)
		cJSON *json = sample_payload(arena, &page->items[i]);
		const char *value =
		    json == NULL ? NULL : sample_field(arena, json, all->field);

		seen.id = page->items[i].id;
		if (value == NULL)
			unread++;
		else
			meet(all, value, &seen);
	}
	all->unread = MAX(all->unread, unread);
}

static int
look_at(struct arrivals *all, enum queue_part part, struct err *err)
{
	struct queue_page page = {.items = NULL};
	struct arena arena;
	int64_t from_ms = clock_ms();

	arena_init(&arena, LOOK_BYTES_MAX);
	int rc = queue_list(all->queue, part, LOOKED_AT, &arena, &page, err);

	all->listed_ms += clock_ms() - from_ms;
	if (rc == 0)
		meet_all(all, &arena, &page);
	arena_wipe(&arena);
	arena_fini(&arena);
	return rc;
}

/* Those that wait, and those that were taken before anybody could see them
 * wait. */
static int
look_at_queue(struct arrivals *all, struct err *err)
{
	all->looks++;
	all->listed_ms = 0;
	if (look_at(all, PART_NEWEST, err) == -1)
		return -1;
	if (!all->shows_active || look_at(all, PART_ACTIVE, err) == 0)
		return 0;
	all->shows_active = false;
	return err->kind == ERR_UNSUPPORTED ? 0 : -1;
}

/* --- the rows that are missing ---------------------------------------------
 */

static void
came(struct arrivals *all, const struct arrival *arrival)
{
	int64_t late_ms = clock_ms() - arrival->met_ms;

	all->early++;
	if (all->early > 1 && late_ms <= all->longest_ms)
		return;
	all->longest = *arrival;
	all->longest_ms = late_ms;
}

/* Whether this one is settled. */
static bool
ask_again(struct arrivals *all, struct arrival *arrival)
{
	enum row row = ask_row(all, arrival->value);
	int64_t now = clock_ms();

	if (row == ROW_THERE) {
		came(all, arrival);
		return true;
	}
	if (now - arrival->met_ms >= LATE_MS) {
		if (all->never++ == 0)
			all->never_id = arrival->id;
		return true;
	}
	arrival->wait_ms = MIN(2 * arrival->wait_ms, AGAIN_MOST_MS);
	arrival->due_ms = clock_after(now, arrival->wait_ms);
	return false;
}

static void
ask_due(struct arrivals *all)
{
	for (size_t i = 0; i < all->nwithout && !all->answered &&
	                   clock_ms() < all->ends_ms;) {
		struct arrival *arrival = &all->without[i];

		if (arrival->due_ms <= clock_ms() && ask_again(all, arrival))
			*arrival = all->without[--all->nwithout];
		else
			i++;
	}
}

/* --- the watch -------------------------------------------------------------
 */

static void
rest(const struct arrivals *all, int64_t until_ms)
{
	for (size_t i = 0; i < all->nwithout; i++)
		until_ms = MIN(until_ms, all->without[i].due_ms);
	int64_t now = clock_ms();

	if (until_ms > now)
		(void)poll(NULL, 0, clock_timeout(now, until_ms));
}

static void
tell(struct arrivals *all)
{
	struct look *look = all->look;
	const struct arrival *longest = &all->longest;
	char when[CLOCK_TEXT_SIZE];

	look_note(look, "looks", "%zu", all->looks);
	look_note(look, "jobs", "%zu", all->nvalues);
	look_note(look, "early", "%zu", all->early);
	if (all->early > 0) {
		look_note(look, "early-ms", "%lld", (long long)all->longest_ms);
		look_note(look, "early-job", "%.100s", longest->id);
		look_note(look, "early-from", "%s",
		    clock_text(longest->met_wall_ms, when));
		look_note(look, "early-to", "%s",
		    clock_text(longest->met_wall_ms + all->longest_ms, when));
	}
	if (all->never > 0) {
		look_note(look, "never", "%zu", all->never);
		look_note(look, "never-job", "%.100s", all->never_id);
	}
	if (all->undecided + all->nwithout > 0)
		look_note(
		    look, "undecided", "%zu", all->undecided + all->nwithout);
	if (all->unread > 0)
		look_note(look, "unread", "%zu", all->unread);
	if (all->odd > 0)
		look_note(look, "odd", "%zu", all->odd);
	look_passed(look,
	    "%s: %zu jobs in %zu looks, %zu of them before their row",
	    all->queue->target, all->nvalues, all->looks, all->early);
}

static int
watch(struct arrivals *all, struct err *err)
{
	int64_t until_ms = MIN(clock_after(clock_ms(), WATCH_MS), all->ends_ms);
	int64_t look_ms = clock_ms();

	while (!all->answered) {
		int64_t now = clock_ms();

		if (now >= (all->nwithout > 0 ? all->ends_ms : until_ms))
			break;
		if (now >= look_ms && now < until_ms) {
			if (look_at_queue(all, err) == -1)
				return -1;
			look_ms = clock_after(clock_ms(),
			    MAX(REST_TIMES * all->listed_ms, REST_MS));
		}
		ask_due(all);
		rest(all,
		    now < until_ms ? MIN(look_ms, until_ms) : all->ends_ms);
	}
	if (!all->answered)
		tell(all);
	return 0;
}

int
queue_arrivals(struct look *look, struct queue *queue, struct err *err)
{
	struct arrivals *all = arena_alloc(look->arena, sizeof(*all));
	int rc = 0;

	*all = (struct arrivals){.look = look,
	    .queue = queue,
	    .shows_active = queue->driver->newest == NEWEST_WAITING,
	    .ends_ms = look->ladder.deadline_ms - ENDS_BEFORE_MS};
	if (read_row(all) == 0) {
		try_query(all);
		rc = watch(all, err);
	}
	json_free(&all->row);
	return rc;
}
