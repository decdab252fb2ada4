/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/queue/amqp.h"
#include "probes/queue/drivers.h"
#include "probes/queue/near.h"

enum {
	LISTED_MAX = 500 /* queues of all vhosts that are looked through */
};

static int
failed(struct queue *queue, const struct amqp_trouble *trouble,
    const char *doing, struct err *err)
{
	queue->cause = trouble->cause;
	(void)snprintf(queue->code, sizeof(queue->code), "%s", trouble->code);
	return err_wrap(err, "%s", doing);
}

static struct queue_number
estimate(int64_t value)
{
	return (struct queue_number){.value = value, .know = KNOW_ESTIMATE};
}

/* --- looking ---------------------------------------------------------------
 */

static void
fill_counted(const struct amqp_counted *counted, struct queue_state *ret)
{
	if (counted->unacked >= 0)
		ret->active = estimate(counted->unacked);
	if (counted->nwho > 0)
		ret->capacity = counted->prefetch > 0
		                    ? estimate(counted->prefetch)
		                    : queue_inapplicable();
	if (counted->delivery_limit >= 0)
		ret->attempts_limit = queue_exact(counted->delivery_limit);
	ret->dead_kept = (struct queue_flag){
	    .is = counted->dead_exchange[0] != '\0' ? HOLDS_YES : HOLDS_NO,
	    .why = counted->dead_exchange[0] != '\0'
	               ? counted->dead_exchange
	               : "the queue has no x-dead-letter-exchange"};
	ret->who = counted->who;
	ret->nwho = counted->nwho;
}

/* What only the management API knows: up to 5 s old, so never exact. */
static void
look_by_mgmt(struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct amqp_queue *amqp = queue->state;
	CLEANUP(json_free) cJSON *answer = NULL;
	CLEANUP(json_free) cJSON *nodes = NULL;
	struct amqp_counted counted = {0};
	struct err err = ERR_INIT;
	const char *path = arena_format(arena, "/api/queues/%s/%s",
	    url_encode(arena, amqp_session_vhost(amqp->session)),
	    url_encode(arena, queue->name));

	ret->active = queue_unknown(
	    "AMQP doesn't show what is in hand; the management API does: "
	    "'mgmt'");
	if (amqp->mgmt == NULL)
		return;
	ret->active =
	    queue_unknown("the management API has not counted it yet");
	if (amqp_mgmt_read(queue, arena, path, &answer, &err) == 0 &&
	    amqp_counted_of(arena, answer, &counted, &err) == 0)
		fill_counted(&counted, ret);
	else
		ret->active = queue_unknown(arena_text(arena, err.text));
	if (amqp_mgmt_read(queue, arena, "/api/nodes", &nodes, &err) == 0) {
		const char *alarm = amqp_alarm_of(arena, nodes);

		ret->held = (struct queue_flag){
		    .is = alarm != NULL ? HOLDS_YES : HOLDS_NO, .why = alarm};
	}
}

static void
look_at_dead(struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct amqp_queue *amqp = queue->state;
	struct amqp_trouble trouble = {0};
	struct amqp_depth depth = {0};
	struct err err = ERR_INIT;

	if (amqp->dead == NULL)
		ret->dead = queue_unknown("no 'deadLetter' queue is declared");
	else if (amqp_session_depth(
	             amqp->session, amqp->dead, &depth, &trouble, &err) == -1)
		ret->dead = queue_unknown(arena_text(arena, err.text));
	else
		ret->dead = queue_exact(depth.ready);
}

static int
observe(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	struct amqp_trouble trouble = {0};
	struct amqp_depth depth = {0};

	amqp_session_deadline(amqp->session, queue->deadline_ms);
	ret->engine = "rabbitmq";
	ret->as_of_wall_ms = clock_wall_ms();
	if (amqp_session_depth(
	        amqp->session, queue->name, &depth, &trouble, err) == -1) {
		if (trouble.cause != CAUSE_NOT_FOUND)
			return failed(
			    queue, &trouble, "look at the queue", err);
		ret->exists = EXISTS_NO;
		ret->amiss = arena_text(arena, err->text);
		return 0;
	}
	ret->exists = EXISTS_YES;
	ret->paused = 0;
	ret->waiting = queue_exact(depth.ready);
	ret->consumers = queue_exact(depth.consumers);
	ret->delayed = queue_inapplicable();
	ret->failed = queue_inapplicable();
	ret->completed = queue_unknown("RabbitMQ counts no successes");
	ret->oldest_ms = queue_unknown(
	    depth.ready == 0 ? "nothing waits" : "RabbitMQ keeps no times");
	ret->lease_expired = queue_inapplicable();
	ret->lease_missing = queue_inapplicable();
	ret->attempts_max = queue_unknown("only a delivery shows its attempts");
	look_by_mgmt(queue, arena, ret);
	look_at_dead(queue, arena, ret);
	return 0;
}

/* Queues of every vhost that this user sees. */
static int
near_by_mgmt(struct queue *queue, struct near *near, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	const char *own = amqp_session_vhost(amqp->session);
	CLEANUP(json_free) cJSON *page = NULL;
	const cJSON *items = NULL;
	const cJSON *one = NULL;

	if (amqp_mgmt_read(queue, near->arena,
	        arena_format(near->arena,
	            "/api/queues?page=1&page_size=%d&columns=name,vhost,"
	            "messages_ready",
	            LISTED_MAX),
	        &page, err) == -1 ||
	    json_array(page, "items", &items, err) == -1)
		return -1;
	cJSON_ArrayForEach(one, items)
	{
		const char *name = NULL;
		const char *vhost = NULL;
		int64_t ready = -1;

		if (!cJSON_IsObject(one) ||
		    json_text(one, "name", "", &name, err) == -1 ||
		    json_text(one, "vhost", "", &vhost, err) == -1 ||
		    json_i64(one, "messages_ready", -1, &ready, err) == -1)
			return -1;
		const char *where =
		    text_equal(vhost, own)
		        ? ""
		        : arena_format(near->arena, "vhost %s", vhost);

		near_offer(near, arena_text(near->arena, name), where, "queue");
		for (size_t i = 0; ready >= 0 && i < near->count; i++) {
			if (text_equal(near->found[i].name, name) &&
			    text_equal(near->found[i].where, where))
				near->found[i].waiting = estimate(ready);
		}
	}
	return 0;
}

/* Without it: names that people write instead, each by a passive declare. */
static int
near_by_guess(struct queue *queue, struct near *near, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	const char *names[NEAR_CANDIDATES_MAX];
	size_t count = near_candidates(near->arena, queue->name, names);

	for (size_t i = 0; i < count; i++) {
		struct amqp_trouble trouble = {0};
		struct amqp_depth depth = {0};

		if (amqp_session_depth(
		        amqp->session, names[i], &depth, &trouble, err) == 0)
			near_offer(near, names[i], "", "queue");
		else if (trouble.code[0] == '\0')
			return failed(
			    queue, &trouble, "look for near names", err);
	}
	return 0;
}

static int
near_names(struct queue *queue, struct arena *arena, struct queue_state *state,
    struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	struct near near;

	near_init(&near, arena, queue->name);
	int rc = amqp->mgmt != NULL ? near_by_mgmt(queue, &near, err)
	                            : near_by_guess(queue, &near, err);

	near_finish(&near, state);
	return rc;
}

/* --- canaries --------------------------------------------------------------
 */

static int
submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	struct amqp_trouble trouble = {0};

	amqp_session_deadline(amqp->session, queue->deadline_ms);
	if (amqp_session_publish(
	        amqp->session, queue->name, job, &trouble, err) == -1)
		return failed(queue, &trouble, "publish", err);
	*ret_receipt = arena_text(arena, job->canary);
	return 0;
}

/* A message of a queue can't be looked at without taking it. That none waits
 * says that this one was taken. */
static int
follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	const struct amqp_queue *amqp = queue->state;
	struct amqp_trouble trouble = {0};
	struct amqp_depth depth = {0};

	(void)job;
	amqp_session_deadline(amqp->session, queue->deadline_ms);
	if (amqp_session_depth(
	        amqp->session, queue->name, &depth, &trouble, err) == -1)
		return failed(queue, &trouble, "look at the queue", err);
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

static int
remove_canary(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	(void)queue, (void)job, (void)err;
	*ret_removed = false; /* it expires a minute after it was put in */
	return 0;
}

/* --- the handle ------------------------------------------------------------
 */

static int
open_amqp(struct queue *queue, struct err *err)
{
	struct amqp_queue *amqp = arena_alloc(&queue->arena, sizeof(*amqp));
	const char *dlq = queue_option(queue, "dlq");

	amqp->mgmt = queue_option(queue, "mgmt");
	amqp->dead = dlq != NULL ? dlq : queue_option(queue, "deadLetter");
	if (amqp_session_open(
	        queue->spec.url, &queue->ladder, &amqp->session) == -1)
		return queue_trouble(queue, queue->ladder.cause,
		    queue->ladder.code != NULL ? queue->ladder.code : "", err,
		    queue->ladder.result == RESULT_FAILED ? ERR_REFUSED
		                                          : ERR_TIMEOUT,
		    "%s", queue->ladder.summary);
	queue->state = amqp;
	queue->target = arena_format(&queue->arena, "%s vhost %s queue %s",
	    amqp_session_address(amqp->session),
	    amqp_session_vhost(amqp->session), queue->name);
	return 0;
}

static void
close_amqp(struct queue *queue)
{
	struct amqp_queue *amqp = queue->state;

	amqp_session_close(amqp->session);
	amqp->session = NULL;
}

static const char *const schemes[] = {
    "amqp", "amqps", "amqp+amqp", "amqp+amqps", NULL};
static const char *const keys[] = {"queue", "mgmt", "dlq", "deadLetter", "test",
    "ts", "tz", "timeout", "budget", "pass", NULL};
static const char *const client_keys[] = {"tls.ca", NULL};

/* No list and no move: whoever looks at a message takes it, which marks it as
 * redelivered and counts toward its delivery limit. */
const struct queue_driver queue_amqp = {
    .kind = "amqp",
    .schemes = schemes,
    .name_key = "queue",
    .keys = keys,
    .client_keys = client_keys,
    .deep_path = true, /* a vhost may hold a slash, and the first is one */
    .open = open_amqp,
    .close = close_amqp,
    .observe = observe,
    .near = near_names,
    .submit = submit,
    .follow = follow,
    .remove = remove_canary,
};
