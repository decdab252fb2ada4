/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/queue/amqp.h"

/*
 * Canaries, messages as people look at them, and the way back of dead letters.
 *
 * Nobody is shown a message but who takes it, so each look takes some, and
 * gives them back: to their places, marked `redelivered`. A quorum queue counts
 * that as a failed delivery, and at its limit drops the message: there nobody
 * looks.
 *
 * A dead letter goes back as a copy that the broker has confirmed, and only
 * then is acknowledged where it was. RabbitMQ's transactions are not atomic
 * over two queues, and acknowledge what couldn't be routed; so it is this way
 * that nothing is lost, at the price that a connection which ends between the
 * two leaves it in both.
 */
enum {
	LOOKED_MAX = 10000, /* dead letters looked through for ids */
	CANARY_SOUGHT = 1000
};
static const int64_t TAKEN_BYTES_MAX = 32 << 20; /* in one look */

static int
need_session(struct queue *queue, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;

	if (amqp->session == NULL)
		return queue_trouble(queue, CAUSE_WRONG_DATABASE, "530", err,
		    ERR_REFUSED, "%s", amqp->amiss);
	amqp_session_deadline(amqp->session, queue->deadline_ms);
	return 0;
}

/* --- canaries --------------------------------------------------------------
 */

/* Whether what expires in it becomes a dead letter, as far as is known. */
static bool
keeps_expired(struct queue *queue, struct arena *arena)
{
	const struct amqp_queue *amqp = queue->state;
	struct amqp_counted counted = {0};
	struct err err = ERR_INIT;

	return amqp->dead != NULL ||
	       (amqp_mgmt_queue(queue, arena, &counted, &err) == 0 &&
	           counted.dead_lettered);
}

int
amqp_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	struct amqp_trouble trouble = {0};

	if (need_session(queue, err) == -1)
		return -1;
	if (amqp_session_publish(amqp->session, queue->name, job,
	        !keeps_expired(queue, arena), &trouble, err) == -1)
		return amqp_failed(queue, &trouble, "publish", err);
	*ret_receipt = arena_text(arena, job->canary);
	return 0;
}

/* That none waits says that this one was taken. */
int
amqp_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	struct amqp_trouble trouble = {0};
	struct amqp_depth depth = {0};

	(void)job;
	if (need_session(queue, err) == -1)
		return -1;
	if (amqp_session_depth(
	        amqp->session, queue->name, &depth, &trouble, err) == -1)
		return amqp_failed(queue, &trouble, "look at the queue", err);
	if (depth.ready == 0) {
		ret->place = PLACE_TAKEN;
		ret->detail = "no message waits: it was taken, or it expired";
	} else if (depth.consumers == 0) {
		ret->place = PLACE_VISIBLE;
		ret->detail = "messages wait and nobody consumes";
	} else {
		ret->detail = arena_format(arena,
		    "%" PRId64
		    " messages wait; which they are is seen only by taking "
		    "them",
		    depth.ready);
	}
	return 0;
}

/* Takes what waits before it, and gives that back. */
static int
fish_out(struct queue *queue, const char *id, struct arena *arena,
    bool *ret_removed, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	struct amqp_trouble trouble = {0};

	for (int i = 0; i < CANARY_SOUGHT; i++) {
		struct amqp_message message;

		if (amqp_session_take(amqp->session, queue->name, arena,
		        &message, &trouble, err) == -1)
			return amqp_failed(
			    queue, &trouble, "look for the canary", err);
		if (message.tag == 0)
			break;
		if (!text_equal(message.id, id))
			continue;
		*ret_removed = true;
		if (amqp_session_settle(amqp->session, message.tag, err) == -1)
			return amqp_failed(
			    queue, &trouble, "remove the canary", err);
		break;
	}
	if (amqp_session_release(amqp->session, queue->name, &trouble, err) ==
	    -1)
		return amqp_failed(
		    queue, &trouble, "give the others back", err);
	return 0;
}

/* One that expires does so a minute after it was put in. */
int
amqp_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	struct arena arena;
	int rc = 0;

	*ret_removed = false;
	if (need_session(queue, err) == -1)
		return -1;
	arena_init(&arena, AMQP_BODY_MAX);
	if (keeps_expired(queue, &arena))
		rc = fish_out(queue, job->canary, &arena, ret_removed, err);
	arena_fini(&arena);
	return rc;
}

/* --- where dead letters are ------------------------------------------------
 */

/* The declared queue, else the one that the queue's own exchange of dead
 * letters leads to. */
static int
find_dead(
    struct queue *queue, struct arena *arena, const char **ret, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	struct amqp_counted counted = {0};
	CLEANUP(json_free) cJSON *bindings = NULL;

	*ret = amqp->dead;
	if (*ret != NULL)
		return 0;
	if (amqp->mgmt == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "where dead letters go isn't known: 'deadLetter' names "
		    "their queue, or 'mgmt' the API that shows it");
	if (amqp_mgmt_queue(queue, arena, &counted, err) == -1)
		return queue_trouble(queue, CAUSE_UNAVAILABLE, "mgmt", err,
		    ERR_SYSTEM, "%s", arena_text(arena, err->text));
	if (!counted.dead_lettered)
		return err_set(err, ERR_UNSUPPORTED,
		    "queue '%s' has no x-dead-letter-exchange: what is "
		    "rejected there is gone",
		    queue->name);
	const char *key =
	    counted.dead_key[0] != '\0' ? counted.dead_key : queue->name;

	*ret = key;
	if (counted.dead_exchange[0] == '\0')
		return 0; /* its keys are names of queues */
	const char *path =
	    arena_format(arena, "/api/exchanges/%s/%s/bindings/source",
	        url_encode(arena, amqp->vhost),
	        url_encode(arena, counted.dead_exchange));

	if (amqp_mgmt_read(queue, arena, path, &bindings, err) == -1)
		return queue_trouble(queue, CAUSE_UNAVAILABLE, "mgmt", err,
		    ERR_SYSTEM, "%s", arena_text(arena, err->text));
	*ret = amqp_bound_of(arena, bindings, key);
	return *ret != NULL ? 0
	                    : err_set(err, ERR_UNSUPPORTED,
	                          "dead letters go to exchange '%s', to which "
	                          "no queue, or more than one, is bound: "
	                          "'deadLetter' says which is meant",
	                          counted.dead_exchange);
}

/* A queue of dead letters may be one of several queues'. */
static bool
is_ours(const struct queue *queue, const struct amqp_message *message)
{
	return message->origin[0] == '\0' ||
	       text_equal(message->origin, queue->name);
}

/* --- looking ---------------------------------------------------------------
 */

struct peek {
	const char *from;
	bool dead; /* others' dead letters are passed over */
	size_t limit;
	struct queue_item *items;
	size_t count, looked;
	int64_t total; /* in `from`, when it began */
};

/* Quorum queues alone write the count of deliveries, from the first on. */
static int
quorum_trouble(struct queue *queue, const char *from, struct err *err)
{
	return queue_trouble(queue, CAUSE_MISMATCH, "quorum", err,
	    ERR_UNSUPPORTED,
	    "'%s' is a quorum queue that counts each look as a failed "
	    "delivery, and drops a message at its limit",
	    from);
}

static int
check_limit(struct queue *queue, struct arena *arena, struct err *err)
{
	struct amqp_counted counted = {.delivery_limit = -1};
	struct err unknown = ERR_INIT;

	if (amqp_mgmt_queue(queue, arena, &counted, &unknown) == 0 &&
	    text_equal(counted.type, "quorum"))
		return quorum_trouble(queue, queue->name, err);
	return 0;
}

static void
show(const struct amqp_message *message, struct peek *peek)
{
	peek->items[peek->count++] = (struct queue_item){.id = message->id,
	    .error = message->error,
	    .owner = "",
	    .payload = message->body,
	    .payload_len = message->shown,
	    .payload_whole = message->whole,
	    .age_ms = message->since_ms >= 0
	                  ? MAX(clock_wall_ms() - message->since_ms, 0)
	                  : -1,
	    .attempts = message->deliveries >= 0 ? message->deliveries
	                                         : message->rejected};
}

static int
take_some(struct queue *queue, struct peek *peek, struct arena *arena,
    struct amqp_trouble *trouble, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	int64_t bytes = 0;

	while (peek->count < peek->limit && peek->looked < LOOKED_MAX &&
	       bytes < TAKEN_BYTES_MAX) {
		struct amqp_message message;

		if (amqp_session_take(amqp->session, peek->from, arena,
		        &message, trouble, err) == -1)
			return -1;
		if (message.tag == 0)
			return 0;
		if (peek->looked++ == 0)
			peek->total = message.behind + 1;
		bytes += message.whole;
		if (!peek->dead || is_ours(queue, &message))
			show(&message, peek);
		if (!peek->dead && message.deliveries >= 0)
			return quorum_trouble(queue, peek->from, err);
	}
	return 0;
}

static int
look_through(struct queue *queue, struct peek *peek, struct arena *arena,
    struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	struct amqp_trouble trouble = {0};
	int rc = take_some(queue, peek, arena, &trouble, err);

	if (rc == -1 && err->kind == ERR_UNSUPPORTED)
		return -1; /* the handle is closed, which gives them back */
	if (rc == 0 && peek->looked > 0)
		rc = amqp_session_release(
		    amqp->session, peek->from, &trouble, err);
	return rc == -1
	           ? amqp_failed(queue, &trouble, "look at the messages", err)
	           : 0;
}

int
amqp_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	struct peek peek = {.from = queue->name,
	    .limit = limit,
	    .dead = part == PART_DEAD,
	    .items = arena_array(arena, limit + 1, sizeof(*peek.items))};

	if (part != PART_WAITING && part != PART_DEAD)
		return err_set(err, ERR_UNSUPPORTED,
		    part == PART_EXPIRED
		        ? "RabbitMQ gives a message out again as soon as its "
		          "consumer's connection ends: there is nothing to "
		          "reclaim"
		        : "RabbitMQ shows messages that wait, and dead ones");
	if (need_session(queue, err) == -1 ||
	    (peek.dead && find_dead(queue, arena, &peek.from, err) == -1) ||
	    (!peek.dead && check_limit(queue, arena, err) == -1) ||
	    look_through(queue, &peek, arena, err) == -1)
		return -1;
	*ret = (struct queue_page){.items = peek.items, .count = peek.count};
	/* all were looked at, or all of those were ours */
	if ((int64_t)peek.looked >= peek.total)
		ret->total = queue_exact((int64_t)peek.count);
	else if (peek.count == peek.looked)
		ret->total = (struct queue_number){
		    peek.total, peek.dead ? KNOW_ESTIMATE : KNOW_EXACT, NULL};
	else
		ret->total = (struct queue_number){
		    (int64_t)peek.count, KNOW_AT_LEAST, NULL};
	return 0;
}

/* --- moving ----------------------------------------------------------------
 */

struct moving {
	const struct queue_move *move;
	const char *from;
	bool *moved;
	size_t count;
};

static int
move_some(struct queue *queue, struct moving *moving,
    struct amqp_trouble *trouble, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;

	for (int looked = 0;
	     looked < LOOKED_MAX && moving->count < moving->move->nids;
	     looked++) {
		struct amqp_message message;
		struct arena arena;

		arena_init(&arena, AMQP_BODY_MAX);
		int rc = amqp_session_take(amqp->session, moving->from, &arena,
		    &message, trouble, err);
		size_t at =
		    rc == 0 && message.tag != 0 && is_ours(queue, &message)
		        ? queue_move_wanted(
		              moving->move, moving->moved, message.id)
		        : moving->move->nids;

		arena_fini(&arena);
		if (rc == -1 || message.tag == 0)
			return rc;
		if (at == moving->move->nids)
			continue;
		if (amqp_session_copy(
		        amqp->session, queue->name, trouble, err) == -1)
			return err_wrap(err, "'%s'", moving->move->ids[at]);
		moving->moved[at] = true;
		moving->count++;
		if (amqp_session_settle(amqp->session, message.tag, err) == -1)
			return err_wrap(err,
			    "'%s' is in the queue again, and in '%s' still",
			    moving->move->ids[at], moving->from);
	}
	return 0;
}

int
amqp_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	struct moving moving = {.move = move,
	    .moved = arena_array(arena, move->nids + 1, sizeof(bool))};
	struct amqp_trouble trouble = {0};
	struct amqp_depth depth = {0};

	if (move->from != PART_DEAD)
		return err_set(err, ERR_UNSUPPORTED,
		    "RabbitMQ gives a message out again as soon as its "
		    "consumer's connection ends: there is nothing to reclaim");
	if (need_session(queue, err) == -1 ||
	    find_dead(queue, arena, &moving.from, err) == -1)
		return -1;
	/* before anything is taken */
	if (amqp_session_depth(
	        amqp->session, queue->name, &depth, &trouble, err) == -1)
		return amqp_failed(queue, &trouble, "look at the queue", err);
	int rc = move_some(queue, &moving, &trouble, err);

	if (rc == 0)
		rc = amqp_session_release(
		    amqp->session, moving.from, &trouble, err);
	if (rc == -1) {
		(void)amqp_failed(queue, &trouble, "move", err);
		if (moving.count > 0)
			(void)err_wrap(err,
			    "the last of them perhaps still in '%s'",
			    moving.from);
		return queue_moved_so_far(queue, moving.count, move->nids, err);
	}
	*ret =
	    (struct queue_moved){.moved = moving.moved, .count = moving.count};
	return 0;
}
