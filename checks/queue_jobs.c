/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <regex.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "checks/looks.h"
#include "checks/names.h"
#include "checks/queue_facts.h"
#include "checks/rows.h"

/* 2xx: what a queue's jobs are like, as declared (`jobs`), against what the
 * broker does with them; and which queue is in use at all. */

enum {
	AGE_TEXT_SIZE = 32
};

/* --- RV205 queue-name-convention -------------------------------------------
 */

void
check_rv205(struct check *check)
{
	const struct declared *declared = check->declared;
	regex_t pattern;

	/* the manifest's own validation tried it */
	if (declared->queue_names == NULL ||
	    regcomp(
	        &pattern, declared->queue_names, REG_EXTENDED | REG_NOSUB) != 0)
		return;
	for (size_t q = 0; q < declared->nqueues; q++) {
		const struct declared_queue *queue = &declared->queues[q];
		const struct subject subject = {.queue = queue->name};

		if (queue->real_name == NULL)
			continue;
		struct report_finding *finding = check_begin(check, &subject);

		if (finding == NULL)
			continue;
		if (regexec(&pattern, queue->real_name, 0, NULL, 0) == 0) {
			check_set(check, finding, RESULT_PASSED, "'%s'",
			    queue->real_name);
			continue;
		}
		check_set(check, finding, RESULT_FAILED,
		    "'%s' does not match %s", queue->real_name,
		    declared->queue_names);
		check_evidence(check, finding,
		    check_place(check, &queue->real_name_place),
		    queue->real_name, declared->queue_names);
		check_fix(check, finding,
		    "rename the queue on both sides at once, or widen "
		    "'queueNames'",
		    NULL, "reeve lint");
	}
	regfree(&pattern);
}

/* --- RV207 visibility-shorter-than-job, RV208 retry-budget-incoherent -------
 */

static void
judge_visibility(struct check *check, const struct queue_look *look)
{
	const struct queue_number *lease = &look->state->lease_ms;
	int64_t longest_ms = look->queue->jobs.longest_ms;
	char held[AGE_TEXT_SIZE], takes[AGE_TEXT_SIZE];

	if (longest_ms <= 0 || lease->know == KNOW_NOT_APPLICABLE ||
	    (lease->know == KNOW_UNKNOWN && lease->why == NULL))
		return;
	struct report_finding *finding = queue_begin(check, look, lease);

	if (finding == NULL)
		return;
	(void)text_ms_for_people(lease->value, held, sizeof(held));
	(void)text_ms_for_people(longest_ms, takes, sizeof(takes));
	if (look->queue->jobs.extends || lease->value > longest_ms) {
		check_set(check, finding, RESULT_PASSED,
		    look->queue->jobs.extends
		        ? "a claim lasts %s, and workers extend it"
		        : "a claim lasts %s, a job at most %s",
		    held, takes);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "a claim lasts %s, a job may take %s: it is given to a second "
	    "worker while the first still works",
	    held, takes);
	queue_evidence(check, finding, look,
	    check_text(check, "a claim lasts %s", held),
	    check_text(check, "more than %s", takes));
	check_fix(check, finding,
	    "raise the broker's deadline above the longest job, or have the "
	    "workers extend their claims and declare `extends: true`",
	    NULL, "reeve check");
}

static void
judge_budget(struct check *check, const struct queue_look *look)
{
	const struct queue_number *limit = &look->state->attempts_limit;
	const struct declared_jobs *jobs = &look->queue->jobs;

	if (jobs->most_tries <= 0 || limit->know == KNOW_NOT_APPLICABLE ||
	    (limit->know == KNOW_UNKNOWN && limit->why == NULL))
		return;
	struct report_finding *finding = queue_begin(check, look, limit);

	if (finding == NULL)
		return;
	/* both are bounded by the manifest and the wire */
	if (limit->value > 0 &&
	    limit->value <= jobs->most_tries / jobs->tries) {
		check_set(check, finding, RESULT_PASSED,
		    "%lld deliveries x %lld tries", (long long)limit->value,
		    (long long)jobs->tries);
		return;
	}
	if (limit->value == 0)
		check_set(check, finding, RESULT_FAILED,
		    "a job is delivered without limit, %lld tries each; at "
		    "most %lld are meant",
		    (long long)jobs->tries, (long long)jobs->most_tries);
	else
		check_set(check, finding, RESULT_FAILED,
		    "%lld deliveries x %lld tries in each: a job that can't "
		    "succeed is tried more than the %lld times that are meant",
		    (long long)limit->value, (long long)jobs->tries,
		    (long long)jobs->most_tries);
	queue_evidence(check, finding, look,
	    queue_number_text(check, "deliveries at most", limit),
	    check_text(
	        check, "%lld tries altogether", (long long)jobs->most_tries));
	check_fix(check, finding,
	    "let one layer retry: take the tries out of the worker, or lower "
	    "the broker's deliveries",
	    NULL, "reeve check");
}

void
check_rv207(struct check *check)
{
	queues_each(check, judge_visibility);
}

void
check_rv208(struct check *check)
{
	queues_each(check, judge_budget);
}

/* --- RV214 no-active-transport, RV218 dlq-on-disabled-transport -------------
 */

enum use {
	USE_UNKNOWN,
	USE_NO,
	USE_YES
};

/* Whether a queue is in use by who has this environment. */
static enum use
in_use(const struct declared_queue *queue,
    const struct declared_environment *environment)
{
	static const char *const yes[] = {"true", "1", "yes", "on"};

	if (queue->enabled_by == NULL)
		return USE_YES;
	const struct declared_env *env =
	    declared_env_find(environment, queue->enabled_by);

	/* a variable that isn't there enables nothing */
	if (env == NULL)
		return USE_NO;
	if (env->value == NULL)
		return USE_UNKNOWN;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if (strcasecmp(env->value, yes[i]) == 0)
			return USE_YES;
	return USE_NO;
}

/* Somebody who is declared to run takes from it. */
static bool
is_served(const struct declared *declared, const struct declared_queue *queue)
{
	for (size_t w = 0; w < declared->nworkers; w++) {
		const struct declared_worker *worker = &declared->workers[w];

		for (size_t i = 0; i < worker->nconsumes; i++)
			if (worker->consumes[i].queue == queue &&
			    (worker->replicas > 0 || worker->scale.max > 0) &&
			    in_use(queue, &worker->env) != USE_NO)
				return true;
	}
	return false;
}

static const char *
use_text(struct check *check, const struct declared_queue *queue, enum use use)
{
	static const char *const words[] = {
	    [USE_UNKNOWN] = "'s value is not declared",
	    [USE_NO] = " is not true",
	    [USE_YES] = " is true",
	};

	return queue->enabled_by == NULL
	           ? "always in use"
	           : check_text(check, "%s%s", queue->enabled_by, words[use]);
}

static void
judge_transports(struct check *check, const struct declared_producer *producer)
{
	const struct subject subject = {.producer = producer->name};
	bool chooses = false, unknown = false;

	for (size_t i = 0; i < producer->nproduces; i++)
		chooses =
		    chooses || producer->produces[i].queue->enabled_by != NULL;
	if (!chooses)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	for (size_t i = 0; i < producer->nproduces; i++) {
		const struct declared_queue *queue =
		    producer->produces[i].queue;
		enum use use = in_use(queue, &producer->env);
		bool served = is_served(check->declared, queue);

		if (use == USE_YES && served) {
			check_set(check, finding, RESULT_PASSED,
			    "queue '%s' is in use and served", queue->name);
			return;
		}
		unknown = unknown || (use == USE_UNKNOWN && served);
		check_evidence(check, finding,
		    check_place(check, &producer->produces[i].place),
		    check_text(check, "queue '%s': %s, %s", queue->name,
		        use_text(check, queue, use),
		        served ? "served" : "no worker takes from it"),
		    "in use and served");
	}
	check_set(check, finding, unknown ? RESULT_UNKNOWN : RESULT_FAILED,
	    "producer '%s' has no queue that is both in use and served: its "
	    "jobs go nowhere",
	    producer->name);
	check_fix(check, finding,
	    "enable a transport on both sides, or deploy the worker that takes "
	    "from the one that is enabled",
	    NULL, "reeve lint");
}

void
check_rv214(struct check *check)
{
	for (size_t p = 0; p < check->declared->nproducers; p++)
		judge_transports(check, &check->declared->producers[p]);
}

/* Nobody who is declared has it enabled. */
static bool
is_disabled(const struct declared *declared, const struct declared_queue *queue)
{
	if (queue->enabled_by == NULL)
		return false;
	for (size_t w = 0; w < declared->nworkers; w++)
		for (size_t i = 0; i < declared->workers[w].nconsumes; i++)
			if (declared->workers[w].consumes[i].queue == queue &&
			    in_use(queue, &declared->workers[w].env) != USE_NO)
				return false;
	for (size_t p = 0; p < declared->nproducers; p++)
		for (size_t i = 0; i < declared->producers[p].nproduces; i++)
			if (declared->producers[p].produces[i].queue == queue &&
			    in_use(queue, &declared->producers[p].env) !=
			        USE_NO)
				return false;
	return true;
}

static void
judge_stranded(struct check *check, const struct queue_look *look)
{
	const struct queue_number *dead = &look->state->dead;

	if (!is_disabled(check->declared, look->queue))
		return;
	struct report_finding *finding = queue_begin(check, look, dead);

	if (finding == NULL)
		return;
	if (dead->value == 0) {
		check_set(check, finding, RESULT_PASSED,
		    "it is disabled, and holds no dead letters");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%s, and the queue is disabled: nobody will ever replay them",
	    queue_number_text(check, "dead letters", dead));
	queue_evidence(check, finding, look,
	    queue_number_text(check, "dead letters", dead),
	    check_text(check, "%s is true, or none", look->queue->enabled_by));
	check_fix(check, finding,
	    "look at them, and either put them into the transport that is in "
	    "use or say that they are lost",
	    queue_command(check, look->queue, "dead"), "reeve check");
}

void
check_rv218(struct check *check)
{
	queues_each(check, judge_stranded);
}

/* --- RV220 consumer-recreated -----------------------------------------------
 */

/* A worker may make its consumer when it starts. */
static const int64_t MAKES_ITS_OWN_MS = 60000;

/* The worker instance that has been there longest, of those that take from the
 * queue; NULL: none is known. */
static const struct observed_instance *
oldest_reader(struct check *check, const struct declared_queue *queue,
    const char **ret_worker)
{
	const struct observed_supervisor *supervisor =
	    &check->observed->supervisor;
	const struct observed_instance *oldest = NULL;

	for (size_t w = 0; w < supervisor->nworkers; w++) {
		const struct observed_worker *seen = &supervisor->workers[w];
		const struct declared_worker *worker =
		    declared_worker_find(check->declared, seen->name);
		bool reads = false;

		for (size_t i = 0; worker != NULL && i < worker->nconsumes; i++)
			reads = reads || worker->consumes[i].queue == queue;
		for (size_t i = 0; reads && i < seen->ninstances; i++) {
			const struct observed_instance *one =
			    &seen->instances[i];

			if (one->pid <= 0 || one->started_wall_ms <= 0 ||
			    (oldest != NULL && oldest->started_wall_ms <=
			                           one->started_wall_ms))
				continue;
			oldest = one;
			*ret_worker = seen->name;
		}
	}
	return oldest;
}

static void
judge_recreated(struct check *check, const struct queue_look *look)
{
	const struct queue_number *age = &look->state->consumer_age_ms;
	const char *worker = "";

	if (!queue_number_known(age) || look->state->as_of_wall_ms <= 0)
		return;
	const struct observed_instance *reader =
	    oldest_reader(check, look->queue, &worker);

	if (reader == NULL)
		return;
	struct report_finding *finding = queue_begin(check, look, age);
	int64_t worker_ms =
	    look->state->as_of_wall_ms - reader->started_wall_ms;
	char theirs[AGE_TEXT_SIZE], its[AGE_TEXT_SIZE];

	if (finding == NULL)
		return;
	(void)text_ms_for_people(MAX(worker_ms, 0), theirs, sizeof(theirs));
	(void)text_ms_for_people(MAX(age->value, 0), its, sizeof(its));
	if (worker_ms <= age->value + MAKES_ITS_OWN_MS) {
		check_set(check, finding, RESULT_PASSED,
		    "the consumer is %s old, its oldest worker %s", its,
		    theirs);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "the consumer was made anew %s ago, under workers that have run "
	    "for %s: what was in hand is delivered again",
	    its, theirs);
	queue_evidence(check, finding, look,
	    check_text(check, "the consumer is %s old", its),
	    check_text(check, "as old as worker %s/%lld: %s", worker,
	        (long long)reader->index, theirs));
	check_fix(check, finding,
	    "have whoever made it (a router, a deployment, a second router "
	    "against the same cluster) update a consumer instead of deleting "
	    "it; make sure that the jobs may be done twice",
	    NULL, "reeve check");
}

void
check_rv220(struct check *check)
{
	queues_each(check, judge_recreated);
}

/* --- RV221 router-lag --------------------------------------------------------
 */

static const struct queue_state *
state_of(
    struct check *check, const struct declared_queue *queue, const char *suffix)
{
	const struct observation *seen =
	    check_observation(check, "queue %s%s", queue->name, suffix);

	return seen == NULL ? NULL : seen->queue;
}

/* Whether somebody takes from a queue in which jobs wait, as two looks tell. */
enum routing {
	ROUTING_UNKNOWN,
	ROUTING_NOBODY,
	ROUTING_STANDS, /* the same job at the head, and no fewer behind it */
	ROUTING_GOES
};

static enum routing
routing_of(const struct queue_state *now, const struct queue_state *later)
{
	if (queue_number_known(&now->consumers) && now->consumers.value == 0 &&
	    (later == NULL || later->consumers.value == 0))
		return ROUTING_NOBODY;
	if (later == NULL || !queue_number_known(&later->waiting))
		return ROUTING_UNKNOWN;
	if (later->waiting.value < now->waiting.value)
		return ROUTING_GOES;
	if (now->head == NULL || now->head[0] == '\0')
		return ROUTING_UNKNOWN;
	return text_equal(now->head, later->head) ? ROUTING_STANDS
	                                          : ROUTING_GOES;
}

static void
fail_route(struct check *check, struct report_finding *finding,
    const struct declared_worker *worker, const struct queue_state *now,
    enum routing routing)
{
	const char *waiting =
	    queue_number_text(check, "waiting", &now->waiting);
	bool nobody = routing == ROUTING_NOBODY;
	const char *starved = "";

	for (size_t i = 0; worker->produces[i] != NULL; i++)
		starved = check_text(check, "%s%s'%s'", starved,
		    i == 0 ? "" : ", ", worker->produces[i]);
	check_set(check, finding, RESULT_FAILED,
	    "%s, and the router %s: %s get nothing, whoever reads them",
	    waiting, nobody ? "isn't there" : "takes none", starved);
	check_evidence(check, finding, now->target, waiting,
	    nobody ? "a consumer" : "another job at its head");
	check_fix(check, finding,
	    "start the router, or see what it waits for: every queue behind it "
	    "stands with it",
	    check_text(check, "reeve restart %s", worker->name), "reeve check");
}

static void
judge_route(struct check *check, const struct declared_worker *worker,
    const struct declared_queue *from)
{
	const struct queue_state *now = state_of(check, from, "");
	const struct subject subject = {
	    .worker = worker->name, .queue = from->name};

	/* RV206 or RV401 says that it could not be looked at, and blocks */
	if (now == NULL || now->waiting.know == KNOW_NOT_APPLICABLE)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	if (queue_number_known(&now->waiting) && now->waiting.value == 0) {
		check_set(check, finding, RESULT_PASSED,
		    "nothing waits to be routed");
		return;
	}
	enum routing routing =
	    queue_number_known(&now->waiting)
	        ? routing_of(now, state_of(check, from, " later"))
	        : ROUTING_UNKNOWN;

	if (routing == ROUTING_GOES) {
		check_set(check, finding, RESULT_PASSED, "it routes");
	} else if (routing == ROUTING_UNKNOWN) {
		finding->finding.required = false;
		check_set(check, finding, RESULT_UNKNOWN,
		    "%s: two looks don't tell whether any is taken",
		    queue_number_text(check, "waiting", &now->waiting));
	} else {
		fail_route(check, finding, worker, now, routing);
	}
}

void
check_rv221(struct check *check)
{
	for (size_t w = 0; w < check->declared->nworkers; w++) {
		const struct declared_worker *worker =
		    &check->declared->workers[w];

		for (size_t i = 0;
		     worker->produces != NULL && worker->produces[0] != NULL &&
		     i < worker->nconsumes;
		     i++)
			judge_route(check, worker, worker->consumes[i].queue);
	}
}

/* --- RV227 pel-abandoned, RV231 prefetch-hoarding ----------------------------
 */

static bool
is_alive(const struct queue_consumer *who)
{
	return (who->proof & (unsigned)(PROOF_HEARTBEAT | PROOF_WAITS)) != 0;
}

static void
judge_abandoned(struct check *check, const struct queue_look *look)
{
	const struct queue_number *expired = &look->state->lease_expired;
	const char *name = NULL;

	if (!text_equal(look->queue->kind, "redisstream"))
		return;
	struct report_finding *finding = queue_begin(check, look, expired);

	if (finding == NULL)
		return;
	for (size_t i = 0; i < look->state->nwho; i++) {
		const struct queue_consumer *who = &look->state->who[i];

		if (is_alive(who) ||
		    (who->proof & (unsigned)PROOF_HOLDS_LEASE) == 0)
			continue;
		name = name == NULL ? who->id : name;
		queue_evidence(check, finding, look,
		    check_text(check, "consumer '%s' is gone and holds %s",
		        who->id,
		        queue_number_text(check, "entries", &who->held)),
		    "a consumer that lives");
	}
	if (name == NULL || expired->value == 0) {
		check_set(check, finding, RESULT_PASSED,
		    "no entry hangs at a consumer that is gone");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%s at consumers that are gone ('%s'): Redis gives them to nobody "
	    "by itself",
	    queue_number_text(check, "pending", expired), name);
	check_fix(check, finding,
	    "have the workers take entries over that were idle too long "
	    "(XAUTOCLAIM), and name them so that a restarted one finds its own",
	    NULL, "reeve check");
}

void
check_rv227(struct check *check)
{
	queues_each(check, judge_abandoned);
}

static void
hoards(struct check *check, struct report_finding *finding,
    const struct queue_look *look, const char *summary)
{
	check_set(check, finding, RESULT_FAILED, "%s", summary);
	for (size_t i = 0; i < look->state->nwho; i++)
		if (queue_number_known(&look->state->who[i].held))
			queue_evidence(check, finding, look,
			    check_text(check, "consumer '%s' holds %lld",
			        look->state->who[i].id,
			        (long long)look->state->who[i].held.value),
			    NULL);
	check_fix(check, finding,
	    "lower the prefetch to what one worker does at once", NULL,
	    "reeve check");
}

/* A busy one holds what an idle one could do; or nothing limits it. */
static void
judge_hoarding(struct check *check, const struct queue_look *look)
{
	const struct queue_state *state = look->state;
	int64_t most = -1;
	size_t idle = 0, known = 0;
	bool unlimited = state->capacity.know == KNOW_NOT_APPLICABLE &&
	                 state->nwho > 0 && state->engine != NULL &&
	                 text_starts(state->engine, "rabbitmq");

	for (size_t i = 0; i < state->nwho; i++) {
		const struct queue_consumer *who = &state->who[i];

		if (!is_alive(who) || !queue_number_known(&who->held))
			continue;
		known++;
		idle += who->held.value == 0;
		most = MAX(most, who->held.value);
	}
	if (!unlimited && known < 2)
		return;
	struct report_finding *finding = queue_begin(check, look, NULL);

	if (finding == NULL)
		return;
	if (unlimited)
		hoards(check, finding, look,
		    "its consumers have no prefetch: the first takes all that "
		    "waits, into memory");
	else if (most > 1 && idle > 0 && queue_number_known(&state->waiting) &&
	         state->waiting.value == 0)
		hoards(check, finding, look,
		    check_text(check,
		        "one consumer holds %lld, and %zu of %zu have nothing "
		        "to do",
		        (long long)most, idle, known));
	else
		check_set(check, finding, RESULT_PASSED,
		    "nobody holds what another could do");
}

void
check_rv231(struct check *check)
{
	queues_each(check, judge_hoarding);
}
