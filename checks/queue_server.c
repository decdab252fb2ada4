/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "checks/looks.h"
#include "checks/queue_facts.h"
#include "checks/rows.h"

/* 2xx: what the broker itself says about the queue. Each row reads a field that
 * every driver fills the same way, so it knows no technology. */

enum {
	POISON_ATTEMPTS = 10 /* of one job, where nothing limits them */
};

/* --- flags -----------------------------------------------------------------
 */

/* A flag that must not be `bad`. */
struct flag_row {
	enum holds bad;
	const char *summary; /* when it is; what the server says follows */
	const char *passed;
	const char *expected, *fix;
	const char *near; /* the type of the near names that help; NULL */
};

/* "; near: NAME (WHERE)" of the nearest name of that type, or nothing. */
static const char *
nearest(struct check *check, const struct queue_state *state, const char *type)
{
	for (size_t i = 0; type != NULL && i < state->nnear; i++) {
		const struct queue_near *near = &state->near[i];

		if (text_equal(near->type, type))
			return check_text(
			    check, "; near: %s (%s)", near->name, near->where);
	}
	return "";
}

/* A technology without the notion has no finding; one that could not be looked
 * at says why. */
static void
judge_flag(struct check *check, const struct queue_look *look,
    const struct queue_flag *flag, const struct flag_row *row)
{
	const char *why = flag->why != NULL ? flag->why : "";

	if (flag->is == HOLDS_UNKNOWN && why[0] == '\0')
		return;
	struct report_finding *finding = queue_begin(check, look, NULL);

	if (finding == NULL)
		return;
	if (flag->is == HOLDS_UNKNOWN) {
		finding->finding.required = false;
		check_set(check, finding, RESULT_UNKNOWN, "not known: %s", why);
		return;
	}
	if (flag->is != row->bad) {
		check_set(check, finding, RESULT_PASSED, "%s", row->passed);
		return;
	}
	check_set(check, finding, RESULT_FAILED, "%s%s%s%s", row->summary,
	    why[0] != '\0' ? ": " : "", why,
	    nearest(check, look->state, row->near));
	queue_evidence(check, finding, look,
	    why[0] != '\0' ? why : row->summary, row->expected);
	check_fix(check, finding, row->fix, NULL, "reeve check");
}

static void
judge_bound(struct check *check, const struct queue_look *look)
{
	static const struct flag_row row = {.bad = HOLDS_NO,
	    .summary = "what is sent under its name does not arrive in it",
	    .passed = "what is sent under its name arrives in it",
	    .expected = "a stream that takes the subject, or a binding",
	    .fix = "correct the subject or routing key, or bind the queue to "
	           "it",
	    .near = "subject"};

	judge_flag(check, look, &look->state->bound, &row);
}

static void
judge_dead_kept(struct check *check, const struct queue_look *look)
{
	static const struct flag_row row = {.bad = HOLDS_NO,
	    .summary = "a job that fails for good is lost",
	    .passed = "jobs that fail for good are kept",
	    .expected = "a dead-letter place that somebody can read",
	    .fix = "give the queue a dead-letter exchange, topic or list, and "
	           "somebody who reads it"};

	judge_flag(check, look, &look->state->dead_kept, &row);
}

static void
judge_evicts(struct check *check, const struct queue_look *look)
{
	static const struct flag_row row = {.bad = HOLDS_YES,
	    .summary = "the server may throw jobs away when it is full",
	    .passed = "the server throws no job away",
	    .expected = "maxmemory-policy noeviction, or its like",
	    .fix = "set the server to refuse writes instead of evicting keys, "
	           "or give the queue a server of its own"};

	judge_flag(check, look, &look->state->evicts, &row);
}

/* Two reasons of one kind: it may not write, or has no room to. */
static void
judge_writes(struct check *check, const struct queue_look *look)
{
	static const struct flag_row read_only = {.bad = HOLDS_YES,
	    .summary = "the server refuses writes",
	    .passed = "the server takes writes",
	    .expected = "the primary",
	    .fix = "point the URL at the primary (after a failover: its new "
	           "address), or mend what makes the server read-only"};
	static const struct flag_row held = {.bad = HOLDS_YES,
	    .summary = "the server takes no jobs from producers",
	    .passed = "the server takes jobs from producers",
	    .expected = "room for more jobs",
	    .fix = "make room: drain the queue, or raise the limit of memory, "
	           "disk or messages that is named"};

	if (look->state->read_only.is != HOLDS_YES &&
	    look->state->held.is != HOLDS_UNKNOWN)
		judge_flag(check, look, &look->state->held, &held);
	else
		judge_flag(check, look, &look->state->read_only, &read_only);
}

static void
judge_stuck(struct check *check, const struct queue_look *look)
{
	static const struct flag_row row = {.bad = HOLDS_YES,
	    .summary = "consumers are there, and can take nothing",
	    .passed = "consumers can take jobs",
	    .expected = "consumers that may take jobs, and have room for them",
	    .fix =
	        "grant the workers the commands and keys that they need; or, "
	        "where their limit is reached, acknowledge what they hold or "
	        "raise the limit"};

	judge_flag(check, look, &look->state->stuck, &row);
}

void
check_rv222(struct check *check)
{
	queues_each(check, judge_bound);
}

void
check_rv213(struct check *check)
{
	queues_each(check, judge_dead_kept);
}

void
check_rv224(struct check *check)
{
	queues_each(check, judge_evicts);
}

void
check_rv226(struct check *check)
{
	queues_each(check, judge_writes);
}

void
check_rv229(struct check *check)
{
	queues_each(check, judge_stuck);
}

/* --- RV228 queue-paused ----------------------------------------------------
 */

static void
judge_paused(struct check *check, const struct queue_look *look)
{
	if (look->state->paused < 0)
		return;
	struct report_finding *finding = queue_begin(check, look, NULL);

	if (finding == NULL)
		return;
	if (look->state->paused == 0) {
		check_set(check, finding, RESULT_PASSED, "it is not paused");
		return;
	}
	check_set(check, finding, RESULT_FAILED, "it is paused; %s",
	    queue_number_text(check, "waiting", &look->state->waiting));
	queue_evidence(check, finding, look, "paused", "not paused");
	check_fix(check, finding,
	    "resume it with the library that paused it, once what it was "
	    "paused for is over",
	    NULL, "reeve check");
}

static void
judge_backoff(struct check *check, const struct queue_look *look)
{
	static const struct flag_row row = {.bad = HOLDS_NO,
	    .summary = "a job that failed is given out again at once",
	    .passed = "what failed waits before it is tried again",
	    .expected = "a delay that grows",
	    .fix = "give the subscription or queue a retry policy with a least "
	           "delay, or have the worker delay what it gives back"};

	judge_flag(check, look, &look->state->backs_off, &row);
}

void
check_rv212(struct check *check)
{
	queues_each(check, judge_backoff);
}

void
check_rv228(struct check *check)
{
	queues_each(check, judge_paused);
}

/* --- RV230 poison-without-limit, RV234 jobs-expired ------------------------
 */

static void
judge_poison(struct check *check, const struct queue_look *look)
{
	const struct queue_number *limit = &look->state->attempts_limit;
	const struct queue_number *most = &look->state->attempts_max;

	if (!queue_number_known(limit) || !queue_number_known(most))
		return;
	struct report_finding *finding = queue_begin(check, look, most);

	if (finding == NULL)
		return;
	if (limit->value > 0 || most->value < POISON_ATTEMPTS) {
		check_set(check, finding, RESULT_PASSED, "%s, %s",
		    queue_number_text(check, "attempts at most", most),
		    limit->value > 0 ? "and they are limited"
		                     : "though nothing limits them");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "a job is at attempt %lld, and nothing ends that",
	    (long long)most->value);
	queue_evidence(check, finding, look,
	    queue_number_text(check, "attempts at most", most),
	    "a limit, and dead letters after it");
	check_fix(check, finding,
	    "set a limit of attempts (max_deliver, delivery-limit) with a "
	    "dead-letter place, and look at the job",
	    NULL, "reeve check");
}

static void
judge_expired(struct check *check, const struct queue_look *look)
{
	const struct queue_number *expired = &look->state->expired;

	if (!queue_number_known(expired))
		return;
	struct report_finding *finding = queue_begin(check, look, expired);

	if (finding == NULL)
		return;
	if (expired->value == 0) {
		check_set(
		    check, finding, RESULT_PASSED, "no job outlived its time");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%s dropped because they waited longer than they may live",
	    queue_number_text(check, "were", expired));
	queue_evidence(check, finding, look,
	    queue_number_text(check, "expired", expired), "0");
	check_fix(check, finding,
	    "let jobs live longer than the longest backlog, or dead-letter "
	    "what expires",
	    NULL, "reeve check");
}

void
check_rv230(struct check *check)
{
	queues_each(check, judge_poison);
}

void
check_rv234(struct check *check)
{
	queues_each(check, judge_expired);
}

/* --- RV233 payload-too-large ------------------------------------------------
 */

/* The limit as the broker says it, and the only payload that we know of. */
static void
judge_payload(struct check *check, const struct queue_look *look)
{
	const struct queue_number *most = &look->state->payload_max;
	const struct declared *declared = check->declared;

	if (!queue_number_known(most))
		return;
	struct report_finding *finding = queue_begin(check, look, most);

	if (finding == NULL)
		return;
	check_set(check, finding, RESULT_PASSED, "at most %lld bytes",
	    (long long)most->value);
	for (size_t i = 0; i < declared->nsmokes; i++) {
		const struct declared_smoke *smoke = &declared->smokes[i];

		if (smoke->queue != look->queue || smoke->payload == NULL ||
		    (int64_t)strlen(smoke->payload) <= most->value)
			continue;
		check_set(check, finding, RESULT_FAILED,
		    "smoke '%s' sends %zu bytes; it takes %lld", smoke->name,
		    strlen(smoke->payload), (long long)most->value);
		queue_evidence(check, finding, look,
		    queue_number_text(check, "bytes of one job", most), NULL);
		check_fix(check, finding,
		    "put what is large into an object store and its address "
		    "into the job, or raise the broker's limit",
		    NULL, "reeve check");
	}
}

void
check_rv233(struct check *check)
{
	queues_each(check, judge_payload);
}

/* --- RV209 queue-object-missing --------------------------------------------
 */

static void
say_near(struct check *check, struct report_finding *finding,
    const struct look *look)
{
	const struct queue_state *state = look->seen->queue;

	for (size_t i = 0; state != NULL && i < state->nnear; i++) {
		const struct queue_near *near = &state->near[i];

		check_evidence(check, finding, look->seen->target,
		    check_text(check, "there is %s '%s'%s%s: %s", near->type,
		        near->name, near->where[0] != '\0' ? " in " : "",
		        near->where,
		        queue_number_text(check, "waiting", &near->waiting)),
		    NULL);
	}
}

/* Who reads what isn't there may not start for it. */
static void
label_readers(struct check *check, struct report_finding *finding,
    const struct declared_queue *queue)
{
	for (size_t w = 0; w < check->declared->nworkers; w++) {
		const struct declared_worker *worker =
		    &check->declared->workers[w];

		for (size_t i = 0; i < worker->nconsumes; i++)
			if (worker->consumes[i].queue == queue)
				report_label(check->report, finding,
				    LABEL_WORKER, worker->name);
	}
}

/* The worker that fills it from other queues, and often makes it; NULL: none.
 */
static const char *
router_of(struct check *check, const struct declared_queue *queue)
{
	for (size_t w = 0; w < check->declared->nworkers; w++) {
		const struct declared_worker *worker =
		    &check->declared->workers[w];

		for (const char *const *q = worker->produces;
		     q != NULL && *q != NULL; q++)
			if (text_equal(*q, queue->name))
				return worker->name;
	}
	return NULL;
}

static void
judge_there(struct check *check, const struct look *look)
{
	if (look->of != LOOK_QUEUE || look->seen == NULL ||
	    look->family != FAMILY_BROKER ||
	    (look->seen->cause != CAUSE_NOT_FOUND && look->seen->queue == NULL))
		return;
	struct report_finding *finding =
	    look_begin(check, look, LOOK_LABEL_TARGET);

	if (finding == NULL)
		return;
	if (look->seen->cause != CAUSE_NOT_FOUND) {
		check_set(check, finding, RESULT_PASSED, "it is there");
		return;
	}
	finding->confirmed = true;
	label_readers(check, finding, look->queue);
	look_fail(check, finding, look, "the queue");
	say_near(check, finding, look);
	const char *router = router_of(check, look->queue);

	check_fix(check, finding,
	    check_text(check,
	        "correct the name of the queue, stream, consumer or "
	        "subscription (the nearest that exist are listed), or create "
	        "it%s%s%s",
	        router == NULL ? "" : "; worker '",
	        router == NULL ? "" : router,
	        router == NULL ? "" : "' fills it: has that run?"),
	    NULL, "reeve check");
}

void
check_rv209(struct check *check)
{
	looks_each(check, judge_there);
}

/* --- RV225 cross-slot, RV232 declared-otherwise ----------------------------
 */

/* What a server of that engine answers with a code of its own. */
struct code_row {
	const char *engine, *code, *passed, *fix;
};

static void
judge_code(
    struct check *check, const struct look *look, const struct code_row *row)
{
	if (look->of != LOOK_QUEUE || look->seen == NULL)
		return;
	bool fails = text_equal(look->seen->code, row->code);

	if (!fails &&
	    (look->seen->queue == NULL || look->seen->queue->engine == NULL ||
	        !text_starts(look->seen->queue->engine, row->engine)))
		return;
	struct report_finding *finding =
	    look_begin(check, look, LOOK_LABEL_TARGET);

	if (finding == NULL)
		return;
	if (!fails) {
		check_set(check, finding, RESULT_PASSED, "%s", row->passed);
		return;
	}
	finding->confirmed = true;
	look_fail(check, finding, look, NULL);
	finding->finding.result = RESULT_FAILED;
	check_fix(check, finding, row->fix, NULL, "reeve check");
}

static const struct code_row slots = {.engine = "redis",
    .code = "CROSSSLOT",
    .passed = "its keys lie on one node",
    .fix = "put a hash tag around the queue's name or prefix, as {jobs}, "
           "on both sides, so that its keys lie in one slot"};
static const struct code_row arguments = {.engine = "rabbitmq",
    .code = "406",
    .passed = "nobody declared it otherwise",
    .fix = "declare the queue with the same arguments on both sides, or "
           "delete it while it is empty and let it be made anew"};

bool
queue_code_has_row(const char *code)
{
	return text_equal(code, slots.code) || text_equal(code, arguments.code);
}

static void
judge_slots(struct check *check, const struct look *look)
{
	judge_code(check, look, &slots);
}

static void
judge_arguments(struct check *check, const struct look *look)
{
	judge_code(check, look, &arguments);
}

void
check_rv225(struct check *check)
{
	looks_each(check, judge_slots);
}

void
check_rv232(struct check *check)
{
	looks_each(check, judge_arguments);
}
