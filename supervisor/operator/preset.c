/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/text.h"
#include "checks/finding_table.h"
#include "supervisor/operator/operator.h"

/*
 * The rules of alertPresets.default. Each goes by what the last look shows
 * first, which costs nothing where all is well, and asks the history only when
 * that doesn't settle it. What a look doesn't show is unknown; a rule that had
 * been broken then stays so until it is seen to hold.
 */
enum {
	OLDEST_FLOOR_MS = 60 * 1000, /* younger is never unusual */
	OLDEST_FOR_MS = 60 * 1000,
	LOOK_SLACK_MS = 30 * 1000, /* between two looks at a slow server */
};

#define NOBODY_CONSUMES                                         \
	"CASE WHEN waiting = 0 THEN 0 WHEN waiting IS NULL OR " \
	"consumers IS NULL THEN NULL ELSE consumers = 0 END"

struct broken {
	const char *rule, *finding;
	enum severity severity;
	int64_t hold_ms;
	const char *summary, *evidence, *fix;
};

static const char *
finding_of(const char *id)
{
	return finding_row_find(id) == NULL ? NULL : id;
}

/* `about` has what it is about: its worker or its queue. */
static void
say_broken(struct rules *rules, const char *subject,
    const struct broken *broken, struct alert_condition about)
{
	rules_say(rules, broken->rule, subject, RESULT_FAILED, NULL);
	about.key = arena_format(&rules->arena, "%s:%s", broken->rule,
	    about.worker != NULL ? about.worker : about.queues);
	about.kind = broken->rule;
	about.severity = broken->severity;
	about.subject = subject;
	about.summary = broken->summary;
	about.evidence = broken->evidence;
	about.hold_ms = broken->hold_ms;
	about.finding = finding_of(broken->finding);
	about.fix = broken->fix;
	rules_add(rules, &about);
}

static void
broken_queue(const struct rule_look *look, const struct broken *broken)
{
	say_broken(look->rules, look->subject, broken,
	    (struct alert_condition){.queues = look->queue->name});
}

static void
holds(const struct rule_look *look, const char *rule)
{
	rules_say(look->rules, rule, look->subject, RESULT_PASSED, NULL);
}

static void
unknown(const struct rule_look *look, const char *rule, const char *why)
{
	rules_say(look->rules, rule, look->subject, RESULT_UNKNOWN, why);
}

/* Above `limit` in every look that had the value, for `for_ms`. */
static bool
lasts(const struct rule_look *look, const char *expression, double limit,
    int64_t for_ms, struct trend_above *ret)
{
	trend_above(look->op->trend, look->queue->name, expression, limit, ret);
	return ret->since_wall_ms != 0 &&
	       ret->last_wall_ms - ret->since_wall_ms >= for_ms;
}

static bool
is(const struct queue_number *number, int64_t value)
{
	return number->know == KNOW_EXACT && number->value == value;
}

static const struct declared_preset *
preset_of(const struct rule_look *look)
{
	return &look->op->intent->declared->preset;
}

static void
no_consumer(const struct rule_look *look)
{
	const struct queue_state *state = look->view.state;
	struct trend_above above;

	if (is(&state->waiting, 0)) {
		holds(look, "no-consumer");
		return;
	}
	if (lasts(look, NOBODY_CONSUMES, 0.5, preset_of(look)->no_consumer_ms,
	        &above)) {
		broken_queue(
		    look, &(struct broken){
		              .rule = "no-consumer",
		              .finding = "RV701",
		              .severity = SEVERITY_CRITICAL,
		              .summary = "jobs wait and nobody consumes them",
		              .evidence = arena_format(&look->rules->arena,
		                  "0 consumers since %s, last seen %s",
		                  rules_time(look->rules, above.since_wall_ms),
		                  rules_time(look->rules, above.last_wall_ms)),
		              .fix = "reeve diagnose",
		          });
	} else if (rules_known(look, "no-consumer", &state->waiting) &&
	           rules_known(look, "no-consumer", &state->consumers)) {
		holds(look, "no-consumer");
	}
}

static void
oldest_unusual(const struct rule_look *look)
{
	static const char rule[] = "oldest-unusual";
	const struct declared_preset *preset = preset_of(look);
	const struct queue_number *oldest = &look->view.state->oldest_ms;
	struct arena *arena = &look->rules->arena;
	struct trend_usual usual;
	struct trend_above above;

	if (is(&look->view.state->waiting, 0) ||
	    (oldest->know == KNOW_EXACT && oldest->value <= OLDEST_FLOOR_MS)) {
		holds(look, rule);
		return;
	}
	/* What has become old now isn't what is usual. */
	trend_above(look->op->trend, look->queue->name, "oldest_ms",
	    OLDEST_FLOOR_MS, &above);
	trend_usual(look->op->trend, look->queue->name,
	    above.since_wall_ms == 0 ? look->now_wall_ms : above.since_wall_ms,
	    &usual);
	if (!rules_known(look, rule, oldest) && above.since_wall_ms == 0)
		return;
	if (usual.minutes < preset->min_count) {
		unknown(look, rule,
		    arena_format(arena,
		        "%" PRId64 " minutes of history; at least %" PRId64
		        " are needed",
		        usual.minutes, preset->min_count));
		return;
	}
	int64_t limit_ms = MAX(
	    preset->oldest_factor * usual.oldest_ms, (int64_t)OLDEST_FLOOR_MS);

	if (!lasts(
	        look, "oldest_ms", (double)limit_ms, OLDEST_FOR_MS, &above)) {
		holds(look, rule);
		return;
	}
	broken_queue(
	    look, &(struct broken){
	              .rule = rule,
	              .finding = "RV702",
	              .severity = SEVERITY_ERROR,
	              .summary = arena_format(arena,
	                  "the oldest job is more than %" PRId64
	                  " times as old as usual",
	                  preset->oldest_factor),
	              .evidence = arena_format(arena,
	                  "%s; 95 of 100 minutes were at most %s; since %s",
	                  rules_age(look->rules, (int64_t)above.most),
	                  rules_age(look->rules, usual.oldest_ms),
	                  rules_time(look->rules, above.since_wall_ms)),
	              .fix = "reeve diagnose",
	          });
}

/* No success for so long that there should have been one: what was never there
 * is missed as well as what has stopped. */
static void
no_success(const struct rule_look *look)
{
	static const char rule[] = "no-success";
	const struct declared_preset *preset = preset_of(look);
	const struct queue_state *state = look->view.state;
	struct arena *arena = &look->rules->arena;
	const char *name = look->queue->name;
	struct trend_usual usual;
	struct trend_work work;
	struct trend_counts counts;

	if (is(&state->waiting, 0)) {
		holds(look, rule);
		return;
	}
	if (!rules_known(look, rule, &state->completed))
		return;
	trend_usual(look->op->trend, name, look->now_wall_ms, &usual);
	/* No further back than looks are kept. */
	int64_t limit_ms =
	    MIN(MAX(preset->window_ms,
	            preset->success_factor * MAX(usual.interval_ms, 0)),
	        (int64_t)TREND_LOOKS_MS - LOOK_SLACK_MS);
	int64_t since_ms = look->now_wall_ms - limit_ms;
	int64_t slack_ms = MAX((int64_t)LOOK_SLACK_MS,
	    2 * look->op->intent->declared->supervisor.observe_every_ms);

	trend_counts(look->op->trend, name, since_ms, &counts);
	trend_work(look->op->trend, name, since_ms, &work);
	if (counts.completed > 0 || work.least == 0) {
		holds(look, rule);
		return;
	}
	if (work.least < 0 ||
	    work.first_wall_ms > since_ms + MIN(slack_ms, limit_ms / 2)) {
		unknown(look, rule, "it hasn't been looked at for long enough");
		return;
	}
	broken_queue(look,
	    &(struct broken){
	        .rule = rule,
	        .finding = "RV702",
	        .severity = SEVERITY_ERROR,
	        .summary = "jobs wait and none has succeeded for far too long",
	        .evidence = arena_format(arena, "none in %s; usual is %s%s",
	            rules_age(look->rules, limit_ms),
	            usual.interval_ms < 0 ? "not known" : "one in ",
	            usual.interval_ms < 0
	                ? ""
	                : rules_age(look->rules, usual.interval_ms)),
	        .fix = "reeve diagnose",
	    });
}

static void
retry_storm(const struct rule_look *look)
{
	static const char rule[] = "retry-storm";
	const struct declared_preset *preset = preset_of(look);
	const struct queue_number *attempts = &look->view.state->attempts_max;
	struct trend_counts counts;

	if (!rules_known(look, rule, attempts))
		return;
	if (attempts->value < preset->attempts) {
		holds(look, rule);
		return;
	}
	trend_counts(look->op->trend, look->queue->name,
	    look->now_wall_ms - preset->window_ms, &counts);
	if (counts.completed < 0) {
		unknown(look, rule,
		    arena_format(&look->rules->arena,
		        "one was tried %" PRId64
		        " times; whether others succeed isn't known",
		        attempts->value));
	} else if (counts.completed > 0) {
		holds(look, rule);
	} else {
		broken_queue(look,
		    &(struct broken){
		        .rule = rule,
		        .finding = "RV713",
		        .severity = SEVERITY_ERROR,
		        .summary = "jobs are tried again and again, and none "
		                   "succeeds",
		        .evidence = arena_format(&look->rules->arena,
		            "one was tried %" PRId64
		            " times; no success in the last %s",
		            attempts->value,
		            rules_age(look->rules, preset->window_ms)),
		        .hold_ms = preset->window_ms,
		        .fix = "reeve diagnose",
		    });
	}
}

static void
dead_letters_grow(const struct rule_look *look)
{
	static const char rule[] = "dead-letters-grow";
	const struct declared_preset *preset = preset_of(look);
	const struct queue_number *dead = &look->view.state->dead;
	struct trend_counts counts;

	if (is(dead, 0)) {
		holds(look, rule);
		return;
	}
	trend_counts(look->op->trend, look->queue->name,
	    look->now_wall_ms - preset->window_ms, &counts);
	if (counts.dead > preset->dead_letters)
		broken_queue(look,
		    &(struct broken){
		        .rule = rule,
		        .finding = "RV715",
		        .severity = SEVERITY_WARNING,
		        .summary = "jobs become dead letters",
		        .evidence = arena_format(&look->rules->arena,
		            "%" PRId64 " more in the last %s", counts.dead,
		            rules_age(look->rules, preset->window_ms)),
		        .fix = arena_format(&look->rules->arena,
		            "reeve queue dead %s", look->queue->name),
		    });
	else if (rules_known(look, rule, dead))
		holds(look, rule);
}

static void
lease_not_reclaimed(const struct rule_look *look)
{
	static const char rule[] = "lease-not-reclaimed";
	const struct queue_number *expired = &look->view.state->lease_expired;
	struct trend_above above;

	if (is(expired, 0)) {
		holds(look, rule);
		return;
	}
	if (lasts(look, "lease_expired", 0.5, preset_of(look)->lease_expired_ms,
	        &above))
		broken_queue(look,
		    &(struct broken){
		        .rule = rule,
		        .finding = "RV416",
		        .severity = SEVERITY_WARNING,
		        .summary = "leases have run out and nobody took the "
		                   "jobs back",
		        .evidence = arena_format(&look->rules->arena,
		            "up to %.0f since %s, last seen %s", above.most,
		            rules_time(look->rules, above.since_wall_ms),
		            rules_time(look->rules, above.last_wall_ms)),
		        .fix = arena_format(&look->rules->arena,
		            "reeve queue reclaim %s", look->queue->name),
		    });
	else if (rules_known(look, rule, expired))
		holds(look, rule);
}

void
preset_judge_queue(const struct rule_look *look)
{
	no_consumer(look);
	oldest_unusual(look);
	no_success(look);
	retry_storm(look);
	dead_letters_grow(look);
	lease_not_reclaimed(look);
}

/* --- workers ------------------------------------------------------------ */

struct worker_look {
	struct operator_core *op;
	struct rules *rules;
	const struct declared_worker *declared;
	const struct worker_spec *spec;
	const struct running_worker *running;
	const char *subject;
	int64_t now_ms;
};

static void
broken_worker(const struct worker_look *look, const struct broken *broken)
{
	say_broken(look->rules, look->subject, broken,
	    (struct alert_condition){.worker = look->declared->name});
}

/* Since when (monotonic) it has had no process; 0: it has one, or is to have
 * none. */
static int64_t
absent_since(const struct running_worker *running)
{
	int64_t since_ms = 0;

	if (running->wire.desired == 0 || running->wire.held != 0)
		return 0;
	for (size_t i = 0; i < running->ninstances; i++) {
		const struct running_instance *one = &running->instances[i];
		if (instance_state_alive(one->wire.state) ||
		    one->wire.state == INSTANCE_FINISHED ||
		    one->wire.state == INSTANCE_STOPPED)
			return 0;
		since_ms = MAX(since_ms, one->since_ms);
	}
	return since_ms;
}

static void
worker_absent(const struct worker_look *look)
{
	static const char rule[] = "worker-absent";
	int64_t allowed_ms = look->op->intent->declared->preset.absent_ms;

	if (look->running == NULL) {
		rules_say(look->rules, rule, look->subject, RESULT_UNKNOWN,
		    "the init hasn't told of it yet");
		return;
	}
	int64_t since_ms = absent_since(look->running);

	if (since_ms == 0 || look->now_ms - since_ms < allowed_ms) {
		rules_say(
		    look->rules, rule, look->subject, RESULT_PASSED, NULL);
		return;
	}
	broken_worker(
	    look, &(struct broken){
	              .rule = rule,
	              .finding = "RV301",
	              .severity = SEVERITY_CRITICAL,
	              .summary = "none of its replicas has a process",
	              .evidence = arena_format(&look->rules->arena, "for %s",
	                  rules_age(look->rules, look->now_ms - since_ms)),
	              .hold_ms = allowed_ms,
	              .fix = arena_format(&look->rules->arena,
	                  "reeve logs --previous %s", look->declared->name),
	          });
}

/* A canary that nobody has seen succeed for so many of its times. */
static void
schedule_late(const struct worker_look *look)
{
	static const char rule[] = "schedule-late";
	int64_t allowed = look->op->intent->declared->preset.canary_factor;
	const struct worker_spec *spec = look->spec;
	uint32_t missed = 0;

	if (look->declared->schedule.text == NULL ||
	    look->declared->schedule.suspended)
		return;
	if (look->running == NULL) {
		rules_say(look->rules, rule, look->subject, RESULT_UNKNOWN,
		    "the init hasn't told of it yet");
		return;
	}
	int64_t success_ms = look->running->wire.last_success_wall_ms;
	int64_t since_ms =
	    success_ms != 0 ? success_ms : look->op->init.hello.started_wall_ms;

	(void)calendar_last(&spec->schedule.rule, &spec->schedule.zone,
	    since_ms / 1000, clock_wall_ms() / 1000, &missed);
	if ((int64_t)missed <= allowed) {
		rules_say(
		    look->rules, rule, look->subject, RESULT_PASSED, NULL);
		return;
	}
	broken_worker(look,
	    &(struct broken){
	        .rule = rule,
	        .finding = "RV621",
	        .severity = SEVERITY_ERROR,
	        .summary = arena_format(&look->rules->arena,
	            "it has been due %" PRIu32 " times without a success",
	            missed),
	        .evidence = success_ms == 0
	                        ? "it has never succeeded"
	                        : arena_format(&look->rules->arena,
	                              "the last success: %s",
	                              rules_time(look->rules, success_ms)),
	        .fix = arena_format(&look->rules->arena,
	            "reeve logs --previous %s", look->declared->name),
	    });
}

void
preset_judge_workers(
    struct operator_core *op, struct rules *rules, int64_t now_ms)
{
	const struct declared *declared = op->intent->declared;

	for (size_t i = 0; i < declared->nworkers; i++) {
		const struct declared_worker *worker = &declared->workers[i];
		struct worker_spec spec;
		intent_spec(op->intent, i, &spec);
		struct worker_look look = {
		    .op = op,
		    .rules = rules,
		    .declared = worker,
		    .spec = &spec,
		    .running = running_find(&op->running, worker->name),
		    .subject =
		        arena_format(&rules->arena, "worker %s", worker->name),
		    .now_ms = now_ms,
		};
		if (worker->schedule.text == NULL)
			worker_absent(&look);
		schedule_late(&look);
	}
}
