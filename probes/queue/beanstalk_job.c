/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "probes/queue/beanstalk.h"

/* Canaries, jobs as people look at them, and buried jobs that are kicked. */

enum {
	TTR_S = 60,
	PRIORITY = 1024,  /* the least that isn't "urgent" */
	SCAN_JOBS = 1000, /* ids behind the first that are looked at */
	SCAN_AT_ONCE = 50,
	MS_PER_S = 1000,
	AGE_MAX_S = 1000000000
};

/* --- canaries ------------------------------------------------------------- */

/* The receipt is "ID SERVER": a server that starts anew counts from 1 again. */
int
beanstalk_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	struct beanstalk_stats server;

	if (beanstalk_get_stats(queue, "stats", arena, &server, NULL, err) ==
	    -1)
		return -1;
	const struct beanstalk_command commands[] = {
	    {.line = arena_format(arena, "use %s", queue->name)},
	    {.line = arena_format(
	         arena, "put %d 0 %d %zu", PRIORITY, TTR_S, job->len),
	        .body = job->payload,
	        .len = job->len},
	    {.line = "use default"}};
	struct beanstalk_answer answers[ARRAY_LEN(commands)];

	if (beanstalk_ask(queue, commands, ARRAY_LEN(commands), arena, answers,
	        err) == -1)
		return -1;
	const struct beanstalk_line *put = &answers[1].line;
	/* DRAINING, JOB_TOO_BIG, OUT_OF_MEMORY; BURIED: it had no room */
	if (!text_equal(put->word, "INSERTED") || put->number[0] <= 0)
		return queue_trouble(queue, CAUSE_UNAVAILABLE, put->word, err,
		    ERR_REFUSED, "put: %s", put->word);
	*ret_receipt = arena_format(arena, "%" PRId64 " %s", put->number[0],
	    beanstalk_text(&server, "id"));
	return 0;
}

/* `*ret_same`: it is still the server that gave the receipt. */
static int
read_receipt(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, int64_t *ret_id, bool *ret_same, struct err *err)
{
	struct beanstalk_stats server;
	char *id = arena_text(arena, job->receipt);
	char *space = id != NULL ? strchr(id, ' ') : NULL;

	if (space != NULL)
		*space = '\0';
	if (space == NULL || text_i64(id, 1, INT64_MAX, ret_id, NULL) == -1)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err, ERR_INPUT,
		    "the receipt is none of a queue of this kind");
	if (beanstalk_get_stats(queue, "stats", arena, &server, NULL, err) ==
	    -1)
		return -1;
	*ret_same = text_equal(beanstalk_text(&server, "id"), space + 1);
	return 0;
}

static void
judge(const struct beanstalk_stats *job, struct arena *arena,
    struct queue_sighting *ret)
{
	const char *state = beanstalk_text(job, "state");
	struct queue_number reserves = beanstalk_number(job, "reserves");

	ret->detail = arena_format(arena, "state '%.20s'", state);
	if (reserves.know == KNOW_EXACT)
		ret->attempts = reserves.value;
	if (text_equal(state, "reserved"))
		ret->place = PLACE_TAKEN;
	else if (text_equal(state, "buried"))
		ret->place = PLACE_DEAD;
	else if (text_equal(state, "ready") || text_equal(state, "delayed"))
		ret->place = reserves.value > 0 ? PLACE_TAKEN : PLACE_VISIBLE;
}

int
beanstalk_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	struct beanstalk_stats stats;
	int64_t id = 0;
	bool same = false;
	bool absent = false;

	if (read_receipt(queue, job, arena, &id, &same, err) == -1)
		return -1;
	if (!same) {
		ret->detail = "the server was started anew since, and counts "
		              "its jobs from 1 again";
		return 0;
	}
	if (beanstalk_get_stats(queue,
	        arena_format(arena, "stats-job %" PRId64, id), arena, &stats,
	        &absent, err) == -1)
		return -1;
	if (absent) {
		ret->place = PLACE_GONE;
		ret->detail = "deleted, which is how a worker says that it is "
		              "done; the server doesn't say who did";
		return 0;
	}
	judge(&stats, arena, ret);
	return 0;
}

int
beanstalk_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	struct beanstalk_answer answer = {.absent = true};
	struct arena arena;
	int64_t id = 0;
	bool same = false;

	arena_init(&arena, 4 << 20);
	int rc = read_receipt(queue, job, &arena, &id, &same, err);

	/* a job that a worker has in hand isn't found */
	if (rc == 0 && same)
		rc = beanstalk_get(queue,
		    arena_format(&arena, "delete %" PRId64, id), "DELETED",
		    &arena, &answer, err);
	if (rc == 0)
		*ret_removed = same && !answer.absent;
	arena_fini(&arena);
	return rc;
}

/* --- looking at jobs ------------------------------------------------------ */

struct listing {
	struct queue *queue;
	struct arena *arena;
	const char *state;
	struct queue_item *items;
	size_t count, limit;
};

/* "stats-job N" and so on, of ids in a row. */
static int
ask_jobs(struct listing *listing, const char *command, const int64_t *ids,
    size_t count, struct beanstalk_answer *ret, struct err *err)
{
	struct beanstalk_command commands[SCAN_AT_ONCE];

	for (size_t i = 0; i < count; i++)
		commands[i] = (struct beanstalk_command){
		    .line = arena_format(
		        listing->arena, "%s %" PRId64, command, ids[i])};
	return beanstalk_ask(
	    listing->queue, commands, count, listing->arena, ret, err);
}

static void
take_stats(struct listing *listing, const struct beanstalk_answer *answer)
{
	struct beanstalk_stats stats;
	struct queue_number age;
	struct queue_number reserves;

	if (answer->body == NULL || listing->count == listing->limit ||
	    beanstalk_stats_of(listing->arena, answer->body, answer->len,
	        &stats, NULL) == -1 ||
	    !text_equal(beanstalk_text(&stats, "tube"), listing->queue->name) ||
	    !text_equal(beanstalk_text(&stats, "state"), listing->state))
		return;
	age = beanstalk_number(&stats, "age");
	reserves = beanstalk_number(&stats, "reserves");
	listing->items[listing->count++] =
	    (struct queue_item){.id = beanstalk_text(&stats, "id"),
	        .error = "",
	        .owner = "",
	        .payload = "",
	        .payload_whole = -1,
	        .age_ms = age.know == KNOW_EXACT
	                      ? MIN(age.value, AGE_MAX_S) * MS_PER_S
	                      : -1,
	        .attempts = reserves.know == KNOW_EXACT ? reserves.value : -1};
}

/* The server shows the first job of a state, and any job by its id; ids are
 * given out in turn. So those that follow the first are looked at. */
static int
find_jobs(struct listing *listing, int64_t first, struct err *err)
{
	for (int64_t at = 0; at < SCAN_JOBS && listing->count < listing->limit;
	     at += SCAN_AT_ONCE) {
		struct beanstalk_answer answers[SCAN_AT_ONCE];
		int64_t ids[SCAN_AT_ONCE];

		for (int64_t i = 0; i < SCAN_AT_ONCE; i++)
			ids[i] = first + at + i;
		if (ask_jobs(listing, "stats-job", ids, SCAN_AT_ONCE, answers,
		        err) == -1)
			return -1;
		for (size_t i = 0; i < SCAN_AT_ONCE; i++)
			take_stats(listing, &answers[i]);
	}
	return 0;
}

static int
read_payloads(struct listing *listing, struct err *err)
{
	for (size_t i = 0; i < listing->count; i++) {
		struct queue_item *item = &listing->items[i];
		struct beanstalk_answer answer;
		struct arena arena; /* of the body, which may be long */

		arena_init(&arena, (size_t)4 * BEANSTALK_ANSWER_MAX);
		int rc = beanstalk_get(listing->queue,
		    arena_format(&arena, "peek %s", item->id), "FOUND", &arena,
		    &answer, err);

		if (rc == 0 && !answer.absent) {
			item->payload_whole = (int64_t)answer.whole;
			item->payload_len =
			    MIN(answer.len, (size_t)QUEUE_PEEK_MAX);
			item->payload = arena_bytes(
			    listing->arena, answer.body, item->payload_len);
		}
		arena_fini(&arena);
		if (rc == -1)
			return -1;
	}
	return 0;
}

int
beanstalk_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	static const char *const states[] = {[PART_WAITING] = "ready",
	    [PART_DELAYED] = "delayed",
	    [PART_DEAD] = "buried",
	    [PART_EXPIRED] = NULL};
	struct listing listing = {.queue = queue,
	    .arena = arena,
	    .state = states[part],
	    .items = arena_array(arena, limit, sizeof(*listing.items)),
	    .limit = limit};
	struct beanstalk_stats tube;
	int64_t first = 0;
	bool absent = false;

	if (listing.state == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    part == PART_ACTIVE
		        ? "beanstalkd doesn't show which jobs are reserved"
		        : "beanstalkd itself takes a job back when its time to "
		          "run is over");
	if (beanstalk_get_stats(queue,
	        arena_format(arena, "stats-tube %s", queue->name), arena, &tube,
	        &absent, err) == -1)
		return -1;
	ret->total =
	    absent ? queue_exact(0)
	           : beanstalk_number(&tube,
	                 arena_format(arena, "current-jobs-%s", listing.state));
	if (!absent && beanstalk_first(queue, listing.state, arena, &first,
	                   &absent, err) == -1)
		return -1;
	if (!absent && (find_jobs(&listing, first, err) == -1 ||
	                   read_payloads(&listing, err) == -1))
		return -1;
	ret->items = listing.items;
	ret->count = listing.count;
	return 0;
}

/* --- moving --------------------------------------------------------------- */

/* Whether the job is buried, in this tube. */
static int
is_buried(struct queue *queue, const char *id, struct arena *arena,
    bool *ret_is, struct err *err)
{
	struct beanstalk_stats stats;
	bool absent = false;

	if (beanstalk_get_stats(queue, arena_format(arena, "stats-job %s", id),
	        arena, &stats, &absent, err) == -1)
		return -1;
	*ret_is = !absent &&
	          text_equal(beanstalk_text(&stats, "tube"), queue->name) &&
	          text_equal(beanstalk_text(&stats, "state"), "buried");
	return 0;
}

/*
 * kick-job puts a job back that is buried, or delayed; it is one job whoever
 * kicks it, so that none is there twice. One that somebody kicks, a worker
 * takes and gives back with a delay between our look and our kick loses that
 * delay.
 */
static int
kick(struct queue *queue, const char *id, struct arena *arena, bool *ret_moved,
    struct err *err)
{
	struct beanstalk_answer answer;
	int64_t number = 0;

	*ret_moved = false;
	if (text_i64(id, 1, INT64_MAX, &number, NULL) == -1)
		return 0;
	if (is_buried(queue, id, arena, ret_moved, err) == -1)
		return -1;
	if (!*ret_moved)
		return 0;
	if (beanstalk_get(queue, arena_format(arena, "kick-job %s", id),
	        "KICKED", arena, &answer, err) == -1)
		return -1;
	*ret_moved = !answer.absent;
	return 0;
}

int
beanstalk_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	bool *moved = arena_array(arena, move->nids + 1, sizeof(*moved));
	size_t count = 0;

	if (move->from != PART_DEAD)
		return err_set(err, ERR_UNSUPPORTED,
		    "beanstalkd itself takes a job back when its time to run "
		    "is over");
	for (size_t i = 0; i < move->nids; i++) {
		if (kick(queue, move->ids[i], arena, &moved[i], err) == -1) {
			if (count == 0)
				return -1;
			break; /* those before it were moved: they are told */
		}
		count += moved[i];
	}
	*ret = (struct queue_moved){.moved = moved, .count = count};
	return 0;
}
