/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <poll.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/text.h"
#include "checks/request_line.h"
#include "checks/smoke.h"

enum {
	UUID_SIZE = 37,
	STAGES_MAX = 32,
};
/* A stage is looked at at once and then ever less often: a canary that is done
 * faster than physics allows must be seen to be. */
static const int64_t FIRST_PAUSE_MS = 20;
static const int64_t LONGEST_PAUSE_MS = 500;
static const int64_t STAGE_LOOK_MS = 5000;
static const int64_t KILL_SLACK_MS = 1000;

struct run {
	const struct declared_smoke *smoke;
	const struct smoke_options *options;
	struct arena *arena;
	struct observed_smoke *seen;
	const char *canary;
	const char *receipt;
	const char *payload;
	int64_t submitted_ms; /* monotonic: the acknowledgement */
	/* what each metric was before; NULL: not a metric, or no number */
	const char *base[STAGES_MAX];
};

/* A random UUIDv4 (decisions.md 27). */
static int
new_canary(struct arena *arena, const char **ret, struct err *err)
{
	unsigned char r[16];

	if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
		return err_sys(err, "random bytes for the canary's id");
	r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
	r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
	*ret = arena_format(arena,
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
	    "%02x%02x%02x%02x%02x%02x",
	    r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10],
	    r[11], r[12], r[13], r[14], r[15]);
	return 0;
}

static void
progress(const struct run *run, const char *stage, const char *what)
{
	if (run->options->progress != NULL)
		run->options->progress(
		    run->options->arg, run->smoke->name, stage, what);
}

static int64_t
time_left(const struct run *run, int64_t wanted_ms)
{
	int64_t left_ms = run->options->gather.deadline_ms - clock_ms();

	return MAX(MIN(wanted_ms, left_ms), 1);
}

/* Asks `count` requests side by side and parses the answers, in order. An
 * answer that isn't one is an observation "unknown, internal". */
static int
ask(const struct run *run, struct probe_request *requests, size_t count,
    struct observation *ret, struct err *err)
{
	struct observed scratch;

	if (count == 0)
		return 0;
	for (size_t i = 0; i < count; i++)
		if (requests[i].json == NULL)
			return err_set(err, ERR_CAPACITY,
			    "what '%s' asks for is longer than 2 MiB: its "
			    "payload is too large",
			    requests[i].subject);
	if (probe_pool_run(requests, count, &run->options->gather.pool,
	        run->arena, err) == -1)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct err bad = ERR_INIT;

		observed_init(&scratch, run->arena);
		if (observed_add_line(&scratch, requests[i].answer,
		        requests[i].answer_len, &bad) == 0 &&
		    scratch.nobservations == 1) {
			ret[i] = scratch.observations[0];
			continue;
		}
		ret[i] = (struct observation){
		    .kind = requests[i].kind,
		    .subject = requests[i].subject,
		    .result = RESULT_UNKNOWN,
		    .cause = CAUSE_INTERNAL,
		    .summary = arena_format(run->arena,
		        "the prober's answer is not usable: %s", bad.text),
		};
	}
	return 0;
}

static bool
is_metric(const struct declared_stage *stage)
{
	return stage->queue == NULL &&
	       text_equal(stage->request.kind, "metric");
}

bool
smoke_stage_is_effect(const struct declared_stage *stage)
{
	return stage->queue == NULL && !is_metric(stage) &&
	       !text_equal(stage->request.kind, "log");
}

static const char *
fact(const struct observation *seen, const char *key)
{
	for (size_t i = 0; i < seen->nfacts; i++)
		if (text_equal(seen->facts[i].key, key))
			return seen->facts[i].value;
	return NULL;
}

static struct probe_request
queue_request(const struct run *run, const char *op, int64_t timeout_ms)
{
	return (struct probe_request){
	    .json = request_line_queue(run->arena, run->smoke->queue, op,
	        &(struct request_more){.subject = run->smoke->name,
	            .timeout_ms = timeout_ms,
	            .canary = run->canary,
	            .payload = run->payload,
	            .receipt = run->receipt}),
	    .subject = run->smoke->name,
	    .kind = "queue",
	    .deadline_ms = clock_after(clock_ms(), timeout_ms + KILL_SLACK_MS),
	};
}

static struct probe_request
other_request(const struct run *run,
    const struct declared_probe_request *request, const char *subject,
    const struct request_more *extra)
{
	int64_t timeout_ms = time_left(run, STAGE_LOOK_MS);

	return (struct probe_request){
	    .json = request_line(run->arena, request->kind, request->json,
	        &(struct request_more){.subject = subject,
	            .timeout_ms = timeout_ms,
	            .canary = run->canary,
	            .by = extra->by,
	            .base = extra->base,
	            .reader = extra->reader}),
	    .subject = subject,
	    .kind = request->kind,
	    .deadline_ms = clock_after(clock_ms(), timeout_ms + KILL_SLACK_MS),
	};
}

static struct probe_request
stage_request(const struct run *run, size_t index)
{
	const struct declared_stage *stage = &run->smoke->stages[index];
	bool log = text_equal(stage->request.kind, "log");

	return other_request(run, &stage->request, stage->name,
	    &(struct request_more){.by = stage->by,
	        .base = run->base[index],
	        .reader = log ? run->options->gather.log_reader : NULL});
}

/* Nobody answered the question: that says nothing of the canary. */
static bool
could_not_look(enum cause cause)
{
	switch (cause) {
	case CAUSE_URL:
	case CAUSE_DNS:
	case CAUSE_REFUSED:
	case CAUSE_UNREACHABLE:
	case CAUSE_SILENT:
	case CAUSE_TLS:
	case CAUSE_AUTH:
	case CAUSE_PERMISSION:
	case CAUSE_WRONG_DATABASE:
	case CAUSE_UNAVAILABLE:
	case CAUSE_INTERNAL:
	case CAUSE_DEADLINE:
	case CAUSE_UNRESOLVED:
		return true;
	case CAUSE_NONE:
	case CAUSE_WRONG_TYPE:
	case CAUSE_NOT_FOUND:
	case CAUSE_MISMATCH:
		break;
	}
	return false;
}

static enum result
result_of(const struct observation *answer)
{
	return answer->result == RESULT_FAILED && could_not_look(answer->cause)
	           ? RESULT_UNKNOWN
	           : answer->result;
}

/* How far along the queue a state is; a stage holds when its state or a later
 * one was seen (decisions.md 28). */
static int
state_rank(const char *state)
{
	static const char *const order[] = {"visible", "taken", "gone"};

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (text_equal(state, order[i]))
			return (int)i + 1;
	return 0;
}

/* What is among the dead letters was taken before it died. */
static bool
stage_holds(const struct declared_stage *stage, const struct observation *seen)
{
	if (stage->queue == NULL)
		return seen->result == RESULT_PASSED;
	const char *state = fact(seen, "state");

	if (text_equal(stage->state, "dead"))
		return text_equal(state, "dead");
	if (text_equal(state, "dead"))
		state = "taken";
	return state_rank(state) > 0 &&
	       state_rank(state) >= state_rank(stage->state);
}

/* Each side effect's expectation, before there is a canary. */
static int
look_before(struct run *run, struct err *err)
{
	struct probe_request requests[STAGES_MAX];
	struct observation answers[STAGES_MAX];
	size_t stage_of[STAGES_MAX];
	size_t count = 0;

	for (size_t i = 0; i < run->smoke->nstages; i++) {
		const struct declared_stage *stage = &run->smoke->stages[i];

		run->seen->stages[i].before = RESULT_SKIPPED;
		if (stage->queue != NULL || stage->request.unresolved != NULL)
			continue;
		stage_of[count] = i;
		requests[count++] = stage_request(run, i);
	}
	if (ask(run, requests, count, answers, err) == -1)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct observed_stage *seen = &run->seen->stages[stage_of[i]];

		seen->before = result_of(&answers[i]);
		if (is_metric(&run->smoke->stages[stage_of[i]]))
			run->base[stage_of[i]] = fact(&answers[i], "value");
		if (seen->before == RESULT_UNKNOWN) {
			seen->summary = answers[i].summary;
			seen->cause = answers[i].cause;
		}
	}
	return 0;
}

static int
submit(struct run *run, struct err *err)
{
	struct observation answer;
	struct probe_request request =
	    queue_request(run, "submit", time_left(run, STAGE_LOOK_MS));

	run->seen->submitted_wall_ms = clock_wall_ms();
	if (ask(run, &request, 1, &answer, err) == -1)
		return -1;
	run->submitted_ms = clock_ms();
	run->seen->cause = answer.cause;
	run->seen->summary = answer.summary;
	run->seen->submitted = answer.result == RESULT_PASSED;
	run->receipt = fact(&answer, "receipt");
	return 0;
}

static void
note(struct run *run, size_t index, const struct observation *answer)
{
	const struct declared_stage *stage = &run->smoke->stages[index];
	struct observed_stage *seen = &run->seen->stages[index];
	const char *by = fact(answer, "by");

	seen->summary = answer->summary;
	seen->cause = answer->cause;
	if (by != NULL && by[0] != '\0')
		seen->by = by;
	if (stage_holds(stage, answer)) {
		seen->after = RESULT_PASSED;
		seen->reached_ms = clock_ms() - run->submitted_ms;
		progress(run, stage->name, "reached");
	} else {
		seen->after = result_of(answer) == RESULT_UNKNOWN
		                  ? RESULT_UNKNOWN
		                  : RESULT_FAILED;
	}
}

/* One look at every stage that isn't reached yet and still has time. Sets
 * `ret_pending` to whether any such stage is left. */
static int
look_once(struct run *run, bool *ret_pending, struct err *err)
{
	struct probe_request requests[STAGES_MAX];
	struct observation answers[STAGES_MAX];
	size_t stage_of[STAGES_MAX];
	size_t count = 0;
	int64_t waited_ms = clock_ms() - run->submitted_ms;

	for (size_t i = 0; i < run->smoke->nstages; i++) {
		const struct declared_stage *stage = &run->smoke->stages[i];
		const struct observed_stage *seen = &run->seen->stages[i];

		/* Every stage is looked at once, however late it is. */
		if (seen->after == RESULT_PASSED ||
		    stage->request.unresolved != NULL ||
		    (is_metric(stage) && seen->before == RESULT_UNKNOWN) ||
		    (seen->after != RESULT_UNKNOWN &&
		        waited_ms > stage->within_ms))
			continue;
		stage_of[count] = i;
		requests[count++] = stage->queue != NULL
		                        ? queue_request(run, "follow",
		                              time_left(run, STAGE_LOOK_MS))
		                        : stage_request(run, i);
	}
	if (ask(run, requests, count, answers, err) == -1)
		return -1;
	*ret_pending = false;
	waited_ms = clock_ms() - run->submitted_ms;
	for (size_t i = 0; i < count; i++) {
		note(run, stage_of[i], &answers[i]);
		if (run->seen->stages[stage_of[i]].after != RESULT_PASSED &&
		    waited_ms <= run->smoke->stages[stage_of[i]].within_ms)
			*ret_pending = true;
	}
	return 0;
}

/* A stage that the end of the whole run cut short might still have come. */
static void
cut_short(struct run *run)
{
	for (size_t i = 0; i < run->smoke->nstages; i++) {
		struct observed_stage *seen = &run->seen->stages[i];

		if (seen->after != RESULT_FAILED ||
		    run->seen->total_ms >= run->smoke->stages[i].within_ms)
			continue;
		seen->after = RESULT_UNKNOWN;
		seen->cause = CAUSE_DEADLINE;
		seen->summary = "not there yet when the time for the whole run "
		                "was over; it had more";
	}
}

static int
follow(struct run *run, struct err *err)
{
	int64_t pause_ms = FIRST_PAUSE_MS;
	bool pending = true;

	for (;;) {
		if (look_once(run, &pending, err) == -1)
			return -1;
		if (!pending || clock_ms() >= run->options->gather.deadline_ms)
			break;
		(void)poll(NULL, 0, (int)time_left(run, pause_ms));
		pause_ms = MIN(pause_ms * 2, LONGEST_PAUSE_MS);
	}
	run->seen->total_ms = clock_ms() - run->submitted_ms;
	cut_short(run);
	return 0;
}

/* Whether what the canary left is gone: a clean-up that removes nothing says
 * nothing. */
static int
look_after(struct run *run, struct err *err)
{
	struct probe_request requests[STAGES_MAX];
	struct observation answers[STAGES_MAX];
	size_t stage_of[STAGES_MAX];
	size_t count = 0;

	for (size_t i = 0; i < run->smoke->nstages; i++) {
		const struct declared_stage *stage = &run->smoke->stages[i];

		if (!smoke_stage_is_effect(stage) ||
		    run->seen->stages[i].after != RESULT_PASSED)
			continue;
		stage_of[count] = i;
		requests[count++] = stage_request(run, i);
	}
	if (ask(run, requests, count, answers, err) == -1)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (answers[i].result != RESULT_PASSED)
			continue;
		run->seen->cleaned = false;
		run->seen->cleanup_summary = arena_format(run->arena,
		    "the clean-up ran, and stage '%s' still finds it",
		    run->smoke->stages[stage_of[i]].name);
	}
	return 0;
}

/* A canary that nobody took is taken out again, then the manifest's own
 * clean-up runs, also after a failure. */
static int
clean_up(struct run *run, struct err *err)
{
	struct probe_request requests[STAGES_MAX];
	struct observation answers[STAGES_MAX];
	size_t count = 0;

	requests[count++] = queue_request(run, "remove", STAGE_LOOK_MS);
	for (size_t i = 0; i < run->smoke->ncleanup && count < STAGES_MAX; i++)
		requests[count++] = other_request(run, &run->smoke->cleanup[i],
		    "cleanup", &(struct request_more){.by = NULL});
	if (ask(run, requests, count, answers, err) == -1)
		return -1;
	run->seen->cleaned = true;
	for (size_t i = 0; i < count; i++) {
		if (answers[i].result == RESULT_PASSED)
			continue;
		/* The queue has nothing left to remove: as it should be. */
		if (i == 0 && answers[i].cause == CAUSE_NOT_FOUND)
			continue;
		run->seen->cleaned = false;
		run->seen->cleanup_summary = answers[i].summary;
	}
	return 0;
}

static struct observed_smoke *
append(struct observed *observed)
{
	struct observed_smoke *grown = arena_array(observed->arena,
	    observed->nsmokes + 1, sizeof(struct observed_smoke));

	if (observed->nsmokes > 0)
		memcpy(grown, observed->smokes,
		    observed->nsmokes * sizeof(struct observed_smoke));
	observed->smokes = grown;
	return &observed->smokes[observed->nsmokes++];
}

static void
prepare(struct run *run)
{
	run->seen->name = run->smoke->name;
	run->seen->canary = run->canary;
	run->seen->nstages = run->smoke->nstages;
	run->seen->stages = arena_array(
	    run->arena, run->smoke->nstages, sizeof(struct observed_stage));
	for (size_t i = 0; i < run->smoke->nstages; i++) {
		const struct declared_stage *stage = &run->smoke->stages[i];
		struct observed_stage *seen = &run->seen->stages[i];

		seen->smoke = run->smoke->name;
		seen->stage = stage->name;
		seen->reached_ms = -1;
		if (stage->request.unresolved == NULL)
			continue;
		seen->cause = CAUSE_UNRESOLVED;
		seen->summary =
		    arena_format(run->arena, "it needs $(%s), which isn't set",
		        stage->request.unresolved);
	}
}

int
smoke_run(const struct declared_smoke *smoke,
    const struct smoke_options *options, struct observed *observed,
    struct err *err)
{
	struct run run = {
	    .smoke = smoke,
	    .options = options,
	    .arena = observed->arena,
	    .payload = smoke->payload,
	};

	if (smoke->nstages > STAGES_MAX)
		return err_set(err, ERR_CAPACITY,
		    "smoke '%s' has more than %d stages", smoke->name,
		    STAGES_MAX);
	if (new_canary(run.arena, &run.canary, err) == -1)
		return -1;
	run.seen = append(observed);
	prepare(&run);
	if (smoke->queue->url == NULL) {
		run.seen->cause = CAUSE_UNRESOLVED;
		run.seen->summary = arena_format(run.arena,
		    "queue '%s' needs $(%s), which isn't set",
		    smoke->queue->name, smoke->queue->url_unresolved);
		return 0;
	}
	if (look_before(&run, err) == -1)
		return -1;
	progress(&run, "submit", run.canary);
	if (submit(&run, err) == -1)
		return -1;
	if (run.seen->submitted && follow(&run, err) == -1)
		return -1;
	if (clean_up(&run, err) == -1)
		return -1;
	return run.smoke->ncleanup > 0 && run.seen->cleaned
	           ? look_after(&run, err)
	           : 0;
}
