/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "probes/observed.h"
#include "probes/queue/queue.h"
#include "supervisor/operator/deaths.h"
#include "supervisor/operator/endpoint.h"
#include "supervisor/operator/helper.h"
#include "supervisor/operator/operator.h"

enum {
	PROBERS = 2,
	QUEUES_AT_ONCE = 100, /* of one endpoint, by one process */
	ANSWER_MS = 5000,
	KILL_MS = 6000,
	RETRY_MS = 1000, /* doubled with each try */
	TRIES_MAX = 12,  /* more than an hour: then the lease is left to end */
};

/* Somebody of this worker died, who may have held jobs of this queue. */
struct death {
	char *queue, *worker;
	int64_t due_ms;
	unsigned tries;
	bool asked; /* under way */
	bool again; /* somebody else died since */
	bool told;  /* the log says already that its queue isn't reached */
	struct death *next;
};

struct prober {
	struct helper helper;
	struct deaths *deaths;
	/* What it is asked for, in this order; `asked` 0: it is free. */
	char *queues[QUEUES_AT_ONCE];
	size_t asked, answered;
};

struct deaths {
	struct operator_core *op;
	struct death *list;
	struct loop_timer timer;
	struct prober probers[PROBERS];
	char **seen; /* queues that were looked at */
	size_t nseen;
	struct names seen_names;
};

static void ask_all(struct deaths *deaths);

/* --- what is to be asked ---------------------------------------------------
 */

static void
drop(struct death **at)
{
	struct death *death = *at;

	*at = death->next;
	free(death->queue);
	free(death->worker);
	free(death);
}

static void
add(struct deaths *deaths, const char *queue, const char *worker)
{
	struct death **at = &deaths->list;

	while (*at != NULL && (!text_equal((*at)->queue, queue) ||
	                          !text_equal((*at)->worker, worker)))
		at = &(*at)->next;
	if (*at != NULL) {
		(*at)->again = (*at)->asked;
		(*at)->tries = 0;
		(*at)->due_ms = MIN((*at)->due_ms, clock_ms());
		return;
	}
	struct death *death = calloc(1, sizeof(*death));

	if (death == NULL)
		return; /* the lease ends by itself */
	death->queue = strdup(queue);
	death->worker = strdup(worker);
	death->due_ms = clock_ms();
	*at = death;
	if (death->queue == NULL || death->worker == NULL)
		drop(at);
}

/* Whether this kind of queue says who holds what. */
static bool
can_tell(const struct declared_queue *queue)
{
	const struct queue_driver *driver =
	    queue->kind == NULL ? NULL : queue_driver_find(queue->kind);

	return queue->url != NULL && driver != NULL && driver->reap != NULL;
}

static bool
reads(const struct declared_worker *worker, const struct declared_queue *queue)
{
	for (size_t i = 0; i < worker->nconsumes; i++)
		if (worker->consumes[i].queue == queue)
			return true;
	/* it doesn't say: any may be its */
	return worker->nconsumes == 0;
}

static void
add_worker(struct deaths *deaths, const char *name)
{
	const struct intent *intent = deaths->op->intent;
	const struct declared_worker *worker =
	    intent == NULL ? NULL : operator_declared(deaths->op, name, NULL);

	for (size_t i = 0; worker != NULL && i < intent->declared->nqueues;
	     i++) {
		const struct declared_queue *queue =
		    &intent->declared->queues[i];
		if (can_tell(queue) && reads(worker, queue))
			add(deaths, queue->name, name);
	}
}

/* --- asking --------------------------------------------------------------- */

static const struct declared_queue *
queue_find(const struct deaths *deaths, const char *name)
{
	const struct intent *intent = deaths->op->intent;
	size_t at = intent == NULL ? NAMES_NONE : intent_queue(intent, name);

	return at == NAMES_NONE ? NULL : &intent->declared->queues[at];
}

static bool
is_asked(const struct deaths *deaths, const char *queue)
{
	for (size_t i = 0; i < PROBERS; i++) {
		const struct prober *prober = &deaths->probers[i];
		for (size_t k = prober->answered; k < prober->asked; k++)
			if (text_equal(prober->queues[k], queue))
				return true;
	}
	return false;
}

/* It answered: those that it was asked for are done with, but for whoever died
 * since. Otherwise it is asked again, later and later. */
static void
settle(struct deaths *deaths, const char *queue, const char *trouble)
{
	struct death **at = &deaths->list;

	while (*at != NULL) {
		struct death *death = *at;
		if (!death->asked || !text_equal(death->queue, queue)) {
			at = &death->next;
			continue;
		}
		death->asked = false;
		if (trouble == NULL && death->again) {
			death->again = death->told = false;
			death->due_ms = clock_ms();
		} else if (trouble == NULL || ++death->tries > TRIES_MAX) {
			drop(at);
			continue;
		} else {
			death->due_ms = clock_after(
			    clock_ms(), (int64_t)RETRY_MS << death->tries);
		}
		at = &death->next;
	}
}

/* Whoever dies while a queue isn't reached adds no line to the log: a worker
 * that crashes because of that would fill it. The next answer ends that. */
static bool
is_news(struct deaths *deaths, const char *queue)
{
	bool news = true;

	for (struct death *death = deaths->list; death != NULL;
	     death = death->next) {
		if (!text_equal(death->queue, queue))
			continue;
		news = news && !death->told;
		death->told = true;
	}
	return news;
}

static const char *
fact(const struct observation *seen, const char *key)
{
	for (size_t i = 0; i < seen->nfacts; i++)
		if (text_equal(seen->facts[i].key, key))
			return seen->facts[i].value;
	return "";
}

static void
tell(struct deaths *deaths, const char *queue, const struct observation *seen)
{
	const char *count = fact(seen, "count");
	const char *first = fact(seen, "reaped");
	bool several = !text_equal(count, "1");

	if (*count == '\0' || text_equal(count, "0"))
		return;
	log_info("leases.ended", "queue=%s count=%s first=\"%s\"", queue, count,
	    first);
	events_say(deaths->op->events, "leases-ended", NULL,
	    "queue %s: %s lease%s of processes that are over ended, whoever is "
	    "free takes the job%s: %s%s",
	    queue, count, several ? "s" : "", several ? "s" : "", first,
	    several ? " …" : "");
}

/* Whether it was an answer that says something. */
static bool
take_answer(
    struct deaths *deaths, const char *queue, const char *line, size_t len)
{
	const char *trouble = NULL;
	struct observed observed;
	struct err err = ERR_INIT;
	struct arena arena;

	arena_init(&arena, OBSERVED_ONE_BYTES_MAX);
	observed_init(&observed, &arena);
	if (observed_add_line(&observed, line, len, &err) == -1 ||
	    observed.nobservations != 1) {
		trouble = "no answer";
	} else {
		const struct observation *seen = observed.observations;
		if (seen->result == RESULT_PASSED)
			tell(deaths, queue, seen);
		else if (!text_equal(seen->code, "unsupported"))
			trouble = seen->summary;
	}
	if (trouble != NULL && is_news(deaths, queue))
		log_warning("leases.unknown",
		    "queue=%s what the dead held is not known: %s", queue,
		    trouble);
	settle(deaths, queue, trouble);
	arena_fini(&arena);
	return trouble == NULL;
}

/* Each answer in its turn. After one that says nothing no other is waited for:
 * it mostly is the endpoint's trouble, and so that of them all. */
static void
prober_said(struct helper *helper)
{
	struct prober *prober = helper->owner;
	struct err err = ERR_INIT;
	const char *end = NULL;

	while (
	    helper->out.len > 0 && prober->answered < prober->asked &&
	    (end = memchr(helper->out.data, '\n', helper->out.len)) != NULL) {
		size_t len = (size_t)(end - helper->out.data);
		bool good = true;
		if (!endpoint_is_step(helper->out.data, len))
			good = take_answer(prober->deaths,
			    prober->queues[prober->answered++],
			    helper->out.data, len);
		buffer_drop_front(&helper->out, len + 1);
		if (!good || helper_deadline(helper,
		                 clock_after(clock_ms(), KILL_MS), &err) == -1)
			helper_kill(helper);
	}
}

/* It is asked for nothing any more; what it didn't come to is asked again. */
static void
release(struct prober *prober, const char *trouble)
{
	for (size_t i = 0; i < prober->asked; i++) {
		if (i >= prober->answered)
			settle(prober->deaths, prober->queues[i], trouble);
		free(prober->queues[i]);
	}
	prober->asked = prober->answered = 0;
}

static void
prober_over(struct helper *helper, int status, bool killed)
{
	struct prober *prober = helper->owner;

	(void)status;
	(void)killed;
	if (prober->answered < prober->asked &&
	    is_news(prober->deaths, prober->queues[prober->answered]))
		log_warning("leases.unknown",
		    "queue=%s what the dead held is not known: no answer, nor "
		    "for %zu others of its endpoint",
		    prober->queues[prober->answered],
		    prober->asked - prober->answered - 1);
	release(prober, "no answer");
	ask_all(prober->deaths);
}

static void
write_request(struct deaths *deaths, const struct declared_queue *queue,
    struct buffer *out)
{
	int64_t now_ms = clock_ms();
	size_t count = 0;
	struct jsonw json;

	jsonw_init(&json, out, false);
	queues_begin_request(&json, queue, "reap", ANSWER_MS);
	jsonw_array(&json, "workers");
	for (struct death *death = deaths->list; death != NULL;
	     death = death->next) {
		if (!text_equal(death->queue, queue->name) ||
		    death->due_ms > now_ms || count == QUEUE_REAP_MAX)
			continue;
		death->asked = true;
		jsonw_text(&json, NULL, death->worker);
		count++;
	}
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

/* Of what is to be asked at that endpoint now, as much as one process takes. */
static void
gather(struct deaths *deaths, struct prober *prober, const char *url)
{
	int64_t now_ms = clock_ms();

	buffer_clear(&prober->helper.in);
	buffer_clear(&prober->helper.out);
	for (const struct death *death = deaths->list;
	     death != NULL && prober->asked < QUEUES_AT_ONCE;
	     death = death->next) {
		const struct declared_queue *queue =
		    queue_find(deaths, death->queue);
		if (queue == NULL || !can_tell(queue) ||
		    !text_equal(queue->url, url) || death->asked ||
		    death->due_ms > now_ms || is_asked(deaths, death->queue))
			continue;
		char *name = strdup(queue->name);
		if (name == NULL)
			return;
		prober->queues[prober->asked++] = name;
		write_request(deaths, queue, &prober->helper.in);
	}
}

/* False: there is no memory for it. */
static bool
ask(struct deaths *deaths, struct prober *prober, const char *url)
{
	static const char *const PROBE[] = {NULL, "probe", NULL};
	struct err err = ERR_INIT;

	gather(deaths, prober, url);
	if (prober->asked == 0)
		return false;
	if (helper_start(&prober->helper, PROBE,
	        clock_after(clock_ms(), KILL_MS), &err) == 0 ||
	    helper_runs(&prober->helper))
		return true;
	log_warning(
	    "leases.unknown", "queue=%s %s", prober->queues[0], err.text);
	release(prober, err.text);
	return true;
}

static struct prober *
free_prober(struct deaths *deaths)
{
	for (size_t i = 0; i < PROBERS; i++)
		if (deaths->probers[i].asked == 0 &&
		    !helper_runs(&deaths->probers[i].helper))
			return &deaths->probers[i];
	return NULL;
}

/* As many as there are probers for; the others when one of them is over. */
static void
ask_all(struct deaths *deaths)
{
	struct death **at = &deaths->list;
	int64_t next_ms = CLOCK_NEVER;
	struct err err = ERR_INIT;

	while (*at != NULL) {
		struct death *death = *at;
		const struct declared_queue *queue =
		    queue_find(deaths, death->queue);
		struct prober *prober = free_prober(deaths);
		if (queue == NULL || !can_tell(queue)) {
			drop(at); /* it isn't declared any more */
			continue;
		}
		at = &death->next;
		if (death->asked || is_asked(deaths, death->queue))
			continue;
		if (death->due_ms > clock_ms())
			next_ms = MIN(next_ms, death->due_ms);
		else if (prober != NULL && ask(deaths, prober, queue->url))
			at = &deaths->list; /* some may be gone by now */
	}
	if (next_ms != CLOCK_NEVER && loop_timer_set(&deaths->op->loop,
	                                  &deaths->timer, next_ms, &err) == -1)
		log_warning("leases.unknown", "%s", err.text);
}

static void
timer_fired(struct loop_timer *timer, int64_t now_ms)
{
	(void)now_ms;
	ask_all(timer->owner);
}

/* --- news ------------------------------------------------------------------
 */

/* Who ended in good order gave everything back itself. */
static bool
ended_well(const struct wire_instance *wire)
{
	return wire->last_exit.kind == EXIT_CODE && wire->last_exit.value == 0;
}

void
deaths_instance(struct deaths *deaths, const struct wire_instance *wire)
{
	struct running_worker *worker =
	    running_find(&deaths->op->running, wire->name);
	const struct running_instance *before =
	    worker == NULL ? NULL
	                   : running_instance_find(worker, wire->replica);

	if (before == NULL || before->wire.pid <= 0 ||
	    before->wire.pid == wire->pid || ended_well(wire))
		return;
	add_worker(deaths, wire->name);
	ask_all(deaths);
}

static const char *
seen_name(const void *list, size_t at)
{
	const struct deaths *deaths = list;

	return deaths->seen[at];
}

static bool
is_first_look(struct deaths *deaths, const char *queue)
{
	if (names_find(&deaths->seen_names, queue, seen_name, deaths) !=
	    NAMES_NONE)
		return false;
	char **more = reallocarray(
	    deaths->seen, deaths->nseen + 1, sizeof(*deaths->seen));
	char *name = strdup(queue);

	if (more != NULL)
		deaths->seen = more;
	if (more == NULL || name == NULL) {
		free(name);
		return true;
	}
	deaths->seen[deaths->nseen++] = name;
	names_add(&deaths->seen_names, name, deaths->nseen - 1);
	return true;
}

void
deaths_queue(struct deaths *deaths, const struct queue_view *view)
{
	const struct operator_core *op = deaths->op;
	const struct declared_queue *queue = queue_find(deaths, view->name);
	const struct queue_number *active = &view->state->active;

	if (view->trouble != NULL || queue == NULL || !can_tell(queue) ||
	    !is_first_look(deaths, view->name) ||
	    (active->know == KNOW_EXACT && active->value == 0))
		return;
	for (size_t i = 0; i < op->intent->declared->nworkers; i++) {
		const struct declared_worker *worker =
		    &op->intent->declared->workers[i];
		if (reads(worker, queue))
			add(deaths, queue->name, worker->name);
	}
	ask_all(deaths);
}

/* --- life ------------------------------------------------------------------
 */

struct deaths *
deaths_new(struct operator_core *op)
{
	struct deaths *deaths = calloc(1, sizeof(*deaths));

	if (deaths == NULL)
		return NULL;
	deaths->op = op;
	deaths->timer =
	    (struct loop_timer){.fire = timer_fired, .owner = deaths};
	for (size_t i = 0; i < PROBERS; i++) {
		deaths->probers[i].deaths = deaths;
		helper_init(&deaths->probers[i].helper, &op->loop, prober_over,
		    &deaths->probers[i]);
		deaths->probers[i].helper.said = prober_said;
	}
	return deaths;
}

void
deaths_free(struct deaths *deaths)
{
	if (deaths == NULL)
		return;
	for (size_t i = 0; i < PROBERS; i++) {
		helper_fini(&deaths->probers[i].helper);
		for (size_t k = 0; k < deaths->probers[i].asked; k++)
			free(deaths->probers[i].queues[k]);
	}
	loop_timer_clear(&deaths->op->loop, &deaths->timer);
	while (deaths->list != NULL)
		drop(&deaths->list);
	for (size_t i = 0; i < deaths->nseen; i++)
		free(deaths->seen[i]);
	free(deaths->seen);
	names_fini(&deaths->seen_names);
	free(deaths);
}
