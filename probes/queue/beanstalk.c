/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/beanstalk.h"
#include "probes/queue/drivers.h"
#include "probes/queue/near.h"

/* What is in a tube of beanstalkd, and who watches it. queues.md part 14. */

enum {
	MS_PER_S = 1000,
	AGE_MAX_S = 1000000000
};

/* --- questions ------------------------------------------------------------ */

int
beanstalk_get(struct queue *queue, const char *command, const char *word,
    struct arena *arena, struct beanstalk_answer *ret, struct err *err)
{
	const struct beanstalk_command one = {.line = command};

	if (beanstalk_ask(queue, &one, 1, arena, ret, err) == -1)
		return -1;
	if (ret->absent || text_equal(ret->line.word, word))
		return 0;
	return queue_trouble(queue, CAUSE_MISMATCH, ret->line.word, err,
	    ERR_REFUSED, "%.60s: %s", command, ret->line.word);
}

int
beanstalk_get_stats(struct queue *queue, const char *command,
    struct arena *arena, struct beanstalk_stats *ret, bool *absent,
    struct err *err)
{
	struct beanstalk_answer answer;

	*ret = (struct beanstalk_stats){.count = 0};
	if (beanstalk_get(queue, command, "OK", arena, &answer, err) == -1)
		return -1;
	if (absent != NULL)
		*absent = answer.absent;
	if (answer.absent)
		return 0;
	if (beanstalk_stats_of(arena, answer.body, answer.len, ret, err) == 0)
		return 0;
	queue->cause = CAUSE_WRONG_TYPE;
	return err_wrap(err, "%.60s", command);
}

/* peek-… looks into the tube that the connection uses; using one holds it in
 * being, so it is let go of at once. */
int
beanstalk_first(struct queue *queue, const char *state, struct arena *arena,
    int64_t *ret_id, bool *absent, struct err *err)
{
	const struct beanstalk_command commands[] = {
	    {.line = arena_format(arena, "use %s", queue->name)},
	    {.line = arena_format(arena, "peek-%s", state)},
	    {.line = "use default"}};
	struct beanstalk_answer answers[ARRAY_LEN(commands)];

	if (beanstalk_ask(queue, commands, ARRAY_LEN(commands), arena, answers,
	        err) == -1)
		return -1;
	const struct beanstalk_line *peeked = &answers[1].line;
	*absent = text_equal(peeked->word, "NOT_FOUND");
	*ret_id = peeked->number[0];
	if (*absent || text_equal(peeked->word, "FOUND"))
		return 0;
	return queue_trouble(queue, CAUSE_MISMATCH, peeked->word, err,
	    ERR_REFUSED, "peek-%s: %s", state, peeked->word);
}

/* --- looking -------------------------------------------------------------- */

static void
read_server(struct queue *queue, struct arena *arena,
    const struct beanstalk_stats *stats, struct queue_state *ret)
{
	const char *draining = beanstalk_text(stats, "draining");

	(void)queue;
	ret->as_of_wall_ms = clock_wall_ms();
	ret->engine = arena_format(
	    arena, "beanstalkd %s", beanstalk_text(stats, "version"));
	ret->identity = beanstalk_text(stats, "id");
	ret->payload_max = beanstalk_number(stats, "max-job-size");
	if (draining[0] != '\0')
		ret->held = (struct queue_flag){
		    .is = text_equal(draining, "true") ? HOLDS_YES : HOLDS_NO,
		    .why = text_equal(draining, "true")
		               ? "drain mode: the server takes no jobs any more"
		               : "not in drain mode"};
	ret->dead_kept = (struct queue_flag){.is = HOLDS_YES,
	    .why = "buried jobs stay until somebody kicks or deletes them"};
	ret->failed = queue_inapplicable();
	/* the server takes a job back itself when its time to run is over */
	ret->lease_expired = queue_inapplicable();
	ret->lease_missing = queue_inapplicable();
}

/* Every connection watches 'default' until it says otherwise: ours, producers
 * that never do, and workers. There only who waits is known to work. */
static struct queue_number
consumers_of(const struct queue *queue, const struct beanstalk_stats *tube)
{
	struct queue_number watching =
	    beanstalk_number(tube, "current-watching");
	struct queue_number waiting = beanstalk_number(tube, "current-waiting");

	if (!text_equal(queue->name, "default") ||
	    watching.know != KNOW_EXACT || waiting.know != KNOW_EXACT)
		return watching;
	if (watching.value <= 1) /* we do */
		return queue_exact(0);
	if (waiting.value > 0)
		return (struct queue_number){
		    .value = waiting.value, .know = KNOW_AT_LEAST};
	return queue_unknown("every connection watches the tube 'default' "
	                     "until it says otherwise");
}

/* By priority, then by age: the first isn't the oldest where priorities differ.
 */
static int
read_first(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	struct beanstalk_stats job;
	struct queue_number age;
	int64_t id = 0;
	bool absent = false;

	ret->oldest_ms = queue_unknown("nothing waits");
	ret->attempts_max = (struct queue_number){.know = KNOW_AT_LEAST};
	if (beanstalk_first(queue, "ready", arena, &id, &absent, err) == -1)
		return -1;
	if (absent)
		return 0;
	ret->head = arena_format(arena, "%" PRId64, id);
	if (beanstalk_get_stats(queue,
	        arena_format(arena, "stats-job %" PRId64, id), arena, &job,
	        &absent, err) == -1)
		return -1;
	if (absent) /* taken and done meanwhile */
		return 0;
	age = beanstalk_number(&job, "age");
	if (age.know == KNOW_EXACT)
		ret->oldest_ms = (struct queue_number){
		    .value = MIN(age.value, AGE_MAX_S) * MS_PER_S,
		    .know = KNOW_AT_LEAST};
	ret->attempts_max.value = beanstalk_number(&job, "reserves").value;
	return 0;
}

static int
observe(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	struct beanstalk_stats server;
	struct beanstalk_stats tube;
	bool absent = false;

	if (beanstalk_get_stats(queue, "stats", arena, &server, NULL, err) ==
	        -1 ||
	    beanstalk_get_stats(queue,
	        arena_format(arena, "stats-tube %s", queue->name), arena, &tube,
	        &absent, err) == -1)
		return -1;
	read_server(queue, arena, &server, ret);
	if (absent) {
		/* a tube is there as long as it has jobs or clients */
		ret->exists = EXISTS_EMPTY_OR_NOT;
		ret->paused = 0;
		ret->waiting = ret->active = ret->delayed = ret->dead =
		    ret->consumers = queue_exact(0);
		ret->completed = queue_unknown("a tube that isn't there "
		                               "counts nothing");
		ret->oldest_ms = queue_unknown("nothing waits");
		return 0;
	}
	struct queue_number pause = beanstalk_number(&tube, "pause-time-left");

	ret->exists = EXISTS_YES;
	ret->paused = pause.know == KNOW_EXACT ? pause.value > 0 : -1;
	ret->waiting = beanstalk_number(&tube, "current-jobs-ready");
	ret->active = beanstalk_number(&tube, "current-jobs-reserved");
	ret->delayed = beanstalk_number(&tube, "current-jobs-delayed");
	ret->dead = beanstalk_number(&tube, "current-jobs-buried");
	ret->completed = beanstalk_number(&tube, "cmd-delete");
	if (ret->completed.know == KNOW_EXACT)
		ret->completed.know = KNOW_ESTIMATE; /* not only workers may */
	ret->consumers = consumers_of(queue, &tube);
	return read_first(queue, arena, ret, err);
}

/* --- near names ----------------------------------------------------------- */

static int
near_names(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err)
{
	struct beanstalk_answer answer;
	struct beanstalk_names tubes;
	struct near near;

	if (beanstalk_get(queue, "list-tubes", "OK", arena, &answer, err) == -1)
		return -1;
	if (answer.absent)
		return 0;
	/* of a longer list only the first part was kept: its last name may be
	 * cut */
	while (answer.len < answer.whole && answer.len > 0 &&
	       answer.body[answer.len - 1] != '\n')
		answer.len--;
	if (beanstalk_names_of(arena, answer.body, answer.len, &tubes, err) ==
	    -1) {
		queue->cause = CAUSE_WRONG_TYPE;
		return err_wrap(err, "list-tubes");
	}
	near_init(&near, arena, queue->name);
	for (size_t i = 0; i < tubes.count; i++)
		near_offer(&near, tubes.names[i], "", "beanstalk tube");
	for (size_t i = 0; i < near.count; i++) {
		struct beanstalk_stats tube;
		bool absent = false;

		if (beanstalk_get_stats(queue,
		        arena_format(
		            arena, "stats-tube %s", near.found[i].name),
		        arena, &tube, &absent, err) == -1)
			return -1;
		near.found[i].waiting =
		    beanstalk_number(&tube, "current-jobs-ready");
	}
	near_finish(&near, state);
	return 0;
}

/* --- the handle ----------------------------------------------------------- */

static int
open_beanstalk(struct queue *queue, struct err *err)
{
	struct beanstalk_queue *beanstalk =
	    arena_alloc(&queue->arena, sizeof(*beanstalk));

	if (!beanstalk_name_valid(queue->name))
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'%.60s' can't be a tube: letters, digits and -+/;.$_() "
		    "that don't begin with '-', %d bytes at most",
		    queue->name, BEANSTALK_NAME_MAX);
	if (beanstalk_session_open(
	        queue->spec.url, &queue->ladder, &beanstalk->session) == -1)
		return queue_trouble(queue, queue->ladder.cause,
		    queue->ladder.code != NULL ? queue->ladder.code : "", err,
		    queue->ladder.result == RESULT_FAILED ? ERR_REFUSED
		                                          : ERR_TIMEOUT,
		    "%s", queue->ladder.summary);
	queue->state = beanstalk;
	queue->target = arena_format(&queue->arena, "%s tube %s",
	    beanstalk_session_address(beanstalk->session), queue->name);
	return 0;
}

static void
close_beanstalk(struct queue *queue)
{
	struct beanstalk_queue *beanstalk = queue->state;

	beanstalk_session_close(beanstalk->session);
	beanstalk->session = NULL;
}

static const char *const schemes[] = {"beanstalk", "beanstalk+beanstalk", NULL};
static const char *const keys[] = {"tube", "dlq", "deadLetter", "test", "ts",
    "tz", "timeout", "budget", "pass", NULL};

const struct queue_driver queue_beanstalk = {
    .kind = "beanstalk",
    .schemes = schemes,
    .name_key = "tube",
    .keys = keys,
    .open = open_beanstalk,
    .close = close_beanstalk,
    .observe = observe,
    .near = near_names,
    .submit = beanstalk_submit,
    .follow = beanstalk_follow,
    .remove = beanstalk_remove,
    .list = beanstalk_list,
    .move = beanstalk_move,
};
