/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/reading.h"

/*
 * One reading at a time. Whoever asks while one is under way may mean what was
 * written after it began: another one follows, for all who asked meanwhile.
 */
enum {
	TRY_AGAIN_MS = 1000, /* no child could be started */
};

struct waiter {
	uint64_t number; /* of the reading that it waits for */
	reload_done_fn *done;
	void *arg;
	struct waiter *next;
};

struct reload {
	struct operator_core *op;
	struct reading *reading; /* NULL: none */
	struct loop_timer again;
	const char *why, *next_why; /* for the log; static texts, or NULL */
	bool wanted;                /* another one */
	uint64_t number;            /* of the last that was begun */
	struct waiter *waiters;     /* oldest first */
};

static void begin_reading(struct reload *reload);

static void
log_lines(const char *event, const char *text)
{
	while (*text != '\0') {
		int len = (int)MIN(strcspn(text, "\n"), (size_t)1024);
		log_error(event, "%.*s", len, text);
		text += strcspn(text, "\n");
		text += *text == '\n' ? 1 : 0;
	}
}

/* Of workers that are neither declared any more nor run. */
static void
forget_counters(struct operator_core *op)
{
	size_t i = 0;

	while (i < op->counters.count) {
		const char *name = op->counters.workers[i].name;
		if (operator_declared(op, name, NULL) == NULL &&
		    running_find(&op->running, name) == NULL)
			counters_forget(&op->counters, name);
		else
			i++;
	}
}

void
reload_take(struct operator_core *op, struct intent *intent)
{
	if (op->intent != intent)
		intent_free(op->intent);
	op->intent = intent;
	/* The list of the last pass points into what was just freed. */
	op->drift.count = 0;
	op->judged = false;
	op->trim_due = true;
	op->intent_refused = false;
	op->has_refused = false;
	op->plan_refusal[0] = '\0';
	for (size_t i = 0; i < intent->declared->ninert; i++) {
		const struct declared_inert *inert =
		    &intent->declared->inert[i];
		log_warning("declared", "not acted on: %s (%s:%d)", inert->key,
		    inert->place.file, inert->place.line);
	}
	op->rules.due_ms = 0;
	alerts_rules(&op->alerts, intent->declared->alert_rules,
	    intent->declared->nalert_rules);
	alerts_receivers(
	    &op->alerts, intent->declared->alerts, intent->declared->nalerts);
	if (op->watch != NULL)
		watch_set(op->watch);
	queues_set(op->queues);
	serve_set(op->serve);
	forget_counters(op);
}

/* --- what was read ------------------------------------------------------- */

static void
refused(struct operator_core *op, const struct buffer *why)
{
	bool news = !text_equal(why->data, op->refusal.data);

	buffer_clear(&op->refusal);
	buffer_text(&op->refusal, why->len == 0 ? "out of memory" : why->data);
	if (news) {
		log_lines("manifest.refused", op->refusal.data);
		events_say(op->events, "manifest-refused", NULL, "%.*s",
		    (int)strcspn(op->refusal.data, "\n"), op->refusal.data);
	}
	/* It may come back by a rename in its directory. */
	if (op->watch != NULL)
		watch_set(op->watch);
}

static void
accepted(struct reload *reload, struct intent *intent)
{
	struct operator_core *op = reload->op;

	buffer_clear(&op->refusal);
	if (op->intent != NULL &&
	    fingerprint_equal(&op->intent->print, &intent->print)) {
		if (reload->why != NULL)
			log_info("manifest.same", "%s", reload->why);
		intent_free(intent);
		/* A directory may have been replaced by an equal one, a
		 * certificate by a newer one. */
		if (op->watch != NULL)
			watch_set(op->watch);
		serve_set(op->serve);
		return;
	}
	log_info("manifest.read", "file=%s digest=%.12s why=\"%s\"",
	    op->manifest, intent->declared->digest,
	    reload->why == NULL ? "slow reading" : reload->why);
	events_say(op->events, "manifest", NULL, "read again: digest %.12s",
	    intent->declared->digest);
	reload_take(op, intent);
}

/* Those who waited for the readings up to this one. */
static void
tell_waiters(struct reload *reload, uint64_t number, bool ok, const char *text)
{
	while (reload->waiters != NULL && reload->waiters->number <= number) {
		struct waiter *waiter = reload->waiters;
		reload->waiters = waiter->next;
		waiter->done(waiter->arg, ok, text);
		free(waiter);
	}
}

static void
was_read(void *arg, struct intent *intent, const struct buffer *why)
{
	struct reload *reload = arg;
	struct operator_core *op = reload->op;

	reload->reading = NULL;
	/* What called for it may be a file of a worker. */
	op->files_since_ms = clock_ms();
	operator_wake(op, 0);
	if (intent == NULL)
		refused(op, why);
	else
		accepted(reload, intent);
	tell_waiters(reload, reload->number, intent != NULL,
	    intent != NULL ? "read again" : op->refusal.data);
	if (reload->wanted)
		begin_reading(reload);
}

static struct reading_of
reading_of(const struct operator_core *op)
{
	return (struct reading_of){
	    .path = op->manifest,
	    .environment = op->environment,
	    .secrets = op->secrets,
	    .key = &op->key,
	    .max_workers = op->init.hello.max_workers,
	};
}

/* --- asking for it ------------------------------------------------------- */

static void
begin_reading(struct reload *reload)
{
	const struct reading_of of = reading_of(reload->op);
	struct err err = ERR_INIT;

	reload->wanted = false;
	reload->why = reload->next_why;
	reload->next_why = NULL;
	reload->reading =
	    reading_start(&reload->op->loop, &of, was_read, reload, &err);
	reload->number++;
	if (reload->reading != NULL)
		return;
	/* Not the manifest's fault: what is in force stays, and is no refusal.
	 */
	log_warning("manifest.unread", "%s", err.text);
	tell_waiters(reload, reload->number, false, err.text);
	reload->wanted = true;
	reload->next_why = reload->why;
	if (loop_timer_set(&reload->op->loop, &reload->again,
	        clock_after(clock_ms(), TRY_AGAIN_MS), &err) == -1)
		log_error("operator.timer", "%s", err.text);
}

static void
try_again(struct loop_timer *timer, int64_t now_ms)
{
	struct reload *reload = timer->owner;

	(void)now_ms;
	if (reload->wanted && reload->reading == NULL)
		begin_reading(reload);
}

static void
want(struct reload *reload, const char *why)
{
	if (why != NULL)
		reload->next_why = why;
	reload->wanted = true;
	if (reload->reading == NULL)
		begin_reading(reload);
}

void
operator_reload(struct operator_core *op, const char *why)
{
	want(op->reload, why);
}

int
operator_reload_then(struct operator_core *op, const char *why,
    reload_done_fn *done, void *arg, struct err *err)
{
	struct reload *reload = op->reload;
	struct waiter **at = &reload->waiters;
	struct waiter *waiter = calloc(1, sizeof(*waiter));

	if (waiter == NULL)
		return err_sys(err, "reload");
	*waiter = (struct waiter){
	    .number = reload->number + 1, .done = done, .arg = arg};
	while (*at != NULL)
		at = &(*at)->next;
	*at = waiter;
	want(reload, why);
	return 0;
}

/* --- life ---------------------------------------------------------------- */

struct first {
	struct operator_core *op;
	bool over;
};

static void
first_read(void *arg, struct intent *intent, const struct buffer *why)
{
	struct first *first = arg;

	first->over = true;
	first->op->intent = intent;
	if (intent == NULL)
		buffer_text(&first->op->refusal, why->data);
}

int
reload_first(struct operator_core *op, struct err *err)
{
	struct first first = {.op = op};
	const struct reading_of of = reading_of(op);
	struct reading *reading =
	    reading_start(&op->loop, &of, first_read, &first, err);

	if (reading == NULL)
		return -1;
	while (!first.over && !op->stop) {
		if (loop_turn(&op->loop, CLOCK_NEVER, err) == -1) {
			reading_cancel(reading);
			return -1;
		}
	}
	if (!first.over)
		reading_cancel(reading);
	return 0;
}

struct reload *
reload_new(struct operator_core *op)
{
	struct reload *reload = calloc(1, sizeof(*reload));

	if (reload == NULL)
		return NULL;
	reload->op = op;
	reload->again = (struct loop_timer){.fire = try_again, .owner = reload};
	return reload;
}

void
reload_free(struct reload *reload)
{
	if (reload == NULL)
		return;
	reading_cancel(reload->reading);
	loop_timer_clear(&reload->op->loop, &reload->again);
	tell_waiters(reload, UINT64_MAX, false, "the operator ends");
	free(reload);
}
