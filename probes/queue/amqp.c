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
	LISTED_MAX = 500, /* queues of all vhosts that are looked through */
	VHOSTS_MAX = 200
};

int
amqp_failed(struct queue *queue, const struct amqp_trouble *trouble,
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
	    .is = counted->dead_lettered ? HOLDS_YES : HOLDS_NO,
	    .why = !counted->dead_lettered
	               ? "the queue has no x-dead-letter-exchange"
	           : counted->dead_exchange[0] != '\0'
	               ? counted->dead_exchange
	               : "the default exchange"};
	ret->who = counted->who;
	ret->nwho = counted->nwho;
}

/* What only the management API knows: up to 5 s old, so never exact. */
static void
look_by_mgmt(struct queue *queue, struct arena *arena, struct queue_state *ret)
{
	const struct amqp_queue *amqp = queue->state;
	CLEANUP(json_free) cJSON *nodes = NULL;
	struct amqp_counted counted = {0};
	struct err err = ERR_INIT;

	ret->active = queue_unknown(
	    "AMQP doesn't show what is in hand; the management API does: "
	    "'mgmt'");
	if (amqp->mgmt == NULL)
		return;
	ret->active =
	    queue_unknown("the management API has not counted it yet");
	if (amqp_mgmt_queue(queue, arena, &counted, &err) == 0) {
		amqp_mgmt_held(queue, arena, &counted);
		fill_counted(&counted, ret);
	} else {
		ret->active = queue_unknown(arena_text(arena, err.text));
	}
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

	ret->engine = "rabbitmq";
	ret->as_of_wall_ms = clock_wall_ms();
	if (amqp->session == NULL) {
		ret->exists = EXISTS_NO;
		ret->amiss = amqp->amiss;
		return 0;
	}
	amqp_session_deadline(amqp->session, queue->deadline_ms);
	if (amqp_session_depth(
	        amqp->session, queue->name, &depth, &trouble, err) == -1) {
		if (trouble.cause != CAUSE_NOT_FOUND)
			return amqp_failed(
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
	const char *own = amqp->vhost;
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
			return amqp_failed(
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

/* --- the handle ------------------------------------------------------------
 */

/* A broker that lets this user in, and has no such vhost: the management API
 * shows which there are, and whose queues are like the one asked for. */
static bool
is_vhost_missing(struct queue *queue)
{
	struct amqp_queue *amqp = queue->state;
	struct arena *arena = &queue->arena;
	CLEANUP(json_free) cJSON *list = NULL;
	const char *names[VHOSTS_MAX];
	struct err err = ERR_INIT;
	const cJSON *one = NULL;
	size_t count = 0;

	if (amqp->mgmt == NULL ||
	    amqp_mgmt_read(
	        queue, arena, "/api/vhosts?columns=name", &list, &err) == -1)
		return false;
	cJSON_ArrayForEach(one, list)
	{
		const char *name = NULL;

		if (!cJSON_IsObject(one) || count == VHOSTS_MAX ||
		    json_text(one, "name", "", &name, NULL) == -1)
			continue;
		if (text_equal(name, amqp->vhost))
			return false; /* only not for this user */
		names[count++] = arena_text(arena, name);
	}
	const char *near = text_nearest(amqp->vhost, names, count);

	amqp->amiss = arena_format(arena,
	    "vhost '%s' not found, the broker has %zu%s%s%s", amqp->vhost,
	    count, near != NULL ? "; near: '" : "", near != NULL ? near : "",
	    near != NULL ? "'" : "");
	return true;
}

static int
open_amqp(struct queue *queue, struct err *err)
{
	struct amqp_queue *amqp = arena_alloc(&queue->arena, sizeof(*amqp));
	const char *dlq = queue_option(queue, "dlq");
	struct url url;

	queue->state = amqp;
	amqp->mgmt = queue_option(queue, "mgmt");
	amqp->dead = dlq != NULL ? dlq : queue_option(queue, "deadLetter");
	if (url_parse(&queue->arena, queue->spec.url, &url, err) == -1) {
		queue->cause = CAUSE_URL;
		return -1;
	}
	amqp->vhost = amqp_vhost_of(&url);
	queue->target = arena_format(&queue->arena, "%s vhost %s queue %s",
	    url.host, amqp->vhost, queue->name);
	if (amqp_session_open(
	        queue->spec.url, &queue->ladder, &amqp->session) == -1) {
		if (queue->ladder.cause == CAUSE_WRONG_DATABASE &&
		    is_vhost_missing(queue))
			return 0;
		return queue_trouble(queue, queue->ladder.cause,
		    queue->ladder.code != NULL ? queue->ladder.code : "", err,
		    queue->ladder.result == RESULT_FAILED ? ERR_REFUSED
		                                          : ERR_TIMEOUT,
		    "%s", queue->ladder.summary);
	}
	queue->target = arena_format(&queue->arena, "%s vhost %s queue %s",
	    amqp_session_address(amqp->session), amqp->vhost, queue->name);
	return 0;
}

static void
close_amqp(struct queue *queue)
{
	struct amqp_queue *amqp = queue->state;

	if (amqp->session != NULL)
		amqp_session_close(amqp->session);
	amqp->session = NULL;
}

static const char *const schemes[] = {
    "amqp", "amqps", "amqp+amqp", "amqp+amqps", NULL};
static const char *const keys[] = {"queue", "mgmt", "dlq", "deadLetter", "test",
    "ts", "tz", "timeout", "budget", "pass", NULL};
static const char *const client_keys[] = {"tls.ca", NULL};

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
    .submit = amqp_submit,
    .follow = amqp_follow,
    .remove = amqp_remove,
    .list = amqp_list,
    .move = amqp_move,
};
