/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fnmatch.h>
#include <string.h>

#include "base/text.h"
#include "checks/deploy.h"
#include "checks/looks.h"
#include "checks/names.h"
#include "checks/queue_facts.h"
#include "checks/rows.h"

/* 2xx: do those who fill a queue and those who read it mean the same one? */

/* --- RV201 queue-name-mismatch ---------------------------------------------
 */

/* "differ in 1 character: '-' instead of ':'": what the eye overlooks. */
static const char *
difference_text(struct check *check, const char *is, const char *should)
{
	size_t len = strlen(is), at = 0, count = 0;

	if (len != strlen(should))
		return check_text(
		    check, "lengths %zu and %zu", len, strlen(should));
	for (size_t i = 0; i < len; i++)
		if (is[i] != should[i]) {
			at = count == 0 ? i : at;
			count++;
		}
	if (count == 1)
		return check_text(check,
		    "differ in 1 character: '%c' instead of '%c'", is[at],
		    should[at]);
	return check_text(check, "differ in %zu characters", count);
}

/* What lies under the wrong name, if the queue's server was asked. */
static void
say_what_lies_there(struct check *check, struct report_finding *finding,
    const struct declared_queue *queue, const char *wrong)
{
	const struct observation *seen =
	    check_observation(check, "queue %s", queue->name);

	if (seen == NULL || seen->queue == NULL)
		return;
	check_evidence_of(check, finding, seen, NULL);
	for (size_t i = 0; i < seen->queue->nnear; i++) {
		const struct queue_near *near = &seen->queue->near[i];

		if (strcmp(near->name, wrong) == 0)
			check_evidence(check, finding, seen->target,
			    check_text(check, "%s '%s': %s", near->type,
			        near->name,
			        queue_number_text(
			            check, "waiting", &near->waiting)),
			    NULL);
	}
}

/* One side of a binding: the variable must carry the queue's real name. */
static void
judge_binding(struct check *check, const struct subject *subject,
    const struct declared_binding *binding,
    const struct declared_environment *environment)
{
	const struct declared_queue *queue = binding->queue;
	bool worker = subject->worker != NULL;
	const char *who = worker ? subject->worker : subject->producer;

	if (binding->env == NULL || queue->real_name == NULL)
		return;
	const struct declared_env *env =
	    declared_env_find(environment, binding->env);
	struct report_finding *finding = check_begin(check, subject);

	if (finding == NULL)
		return;
	if (env == NULL || env->value == NULL) {
		finding->finding.required = worker;
		check_set(check, finding,
		    worker ? RESULT_PASSED : RESULT_UNKNOWN, "%s",
		    worker ? "reeve sets it"
		           : "the producer's value is not "
		             "declared");
		return;
	}
	if (strcmp(env->value, queue->real_name) == 0) {
		check_set(check, finding, RESULT_PASSED, "%s is '%s'",
		    env->name, queue->real_name);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%s %s %s '%s', the queue is '%s'", worker ? "worker" : "producer",
	    who, worker ? "reads" : "fills", env->value, queue->real_name);
	check_evidence(check, finding, check_place(check, &env->place),
	    check_text(check, "%s=%s", env->name, env->value),
	    check_text(check, "%s (%s)", queue->real_name,
	        check_place(check, &queue->real_name_place)));
	check_evidence(check, finding, "the two names",
	    difference_text(check, env->value, queue->real_name), NULL);
	say_what_lies_there(check, finding, queue, env->value);
	check_fix(check, finding,
	    check_text(check, "set %s=%s for %s %s", env->name,
	        queue->real_name, worker ? "worker" : "producer", who),
	    worker && check->stages != STAGE_LINT
	        ? check_text(check, "reeve restart %s", who)
	        : NULL,
	    "reeve check");
}

/* A worker that still runs with the old name, whatever is declared now. */
static void
judge_running_name(struct check *check, const struct observed_drift *drift)
{
	const struct declared_worker *worker =
	    declared_worker_find(check->declared, drift->worker);
	struct subject subject = {.worker = drift->worker};

	if (!text_equal(drift->class, "queue") || worker == NULL)
		return;
	for (size_t i = 0; i < worker->nconsumes; i++)
		if (text_equal(worker->consumes[i].env, drift->key))
			subject.queue = worker->consumes[i].queue->name;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	check_set(check, finding, RESULT_FAILED, "running: %s", drift->summary);
	check_evidence(check, finding, "running supervisor",
	    drift_evidence(drift), "what is declared");
	check_fix(check, finding,
	    "restart the worker so that it starts with the queue's name",
	    check_text(check, "reeve restart %s", drift->worker), "reeve diff");
}

void
check_rv201(struct check *check)
{
	const struct declared *declared = check->declared;

	for (size_t w = 0; w < declared->nworkers; w++) {
		const struct declared_worker *worker = &declared->workers[w];

		for (size_t i = 0; i < worker->nconsumes; i++) {
			const struct subject subject = {
			    .worker = worker->name,
			    .queue = worker->consumes[i].queue->name,
			};

			judge_binding(check, &subject, &worker->consumes[i],
			    &worker->env);
		}
	}
	for (size_t p = 0; p < declared->nproducers; p++) {
		const struct declared_producer *producer =
		    &declared->producers[p];

		for (size_t i = 0; i < producer->nproduces; i++) {
			const struct subject subject = {
			    .producer = producer->name,
			    .queue = producer->produces[i].queue->name,
			};

			judge_binding(check, &subject, &producer->produces[i],
			    &producer->env);
		}
	}
	for (size_t i = 0; i < check->observed->supervisor.ndrift; i++)
		judge_running_name(
		    check, &check->observed->supervisor.drift[i]);
}

/* --- RV203 orphan-jobs-near-miss-queue -------------------------------------
 */

/* The reference worker's own keys beside a list (decisions.md 33). */
static bool
is_sidecar(const char *name, const char *queue)
{
	size_t len = strlen(queue);

	return strncmp(name, queue, len) == 0 &&
	       (strcmp(name + len, ":processing") == 0 ||
	           text_starts(name + len, ":reeve:"));
}

/* A name that the manifest knows: another queue, a dead-letter list. */
static bool
is_declared_name(const struct declared *declared, const char *name)
{
	for (size_t q = 0; q < declared->nqueues; q++) {
		const struct declared_queue *queue = &declared->queues[q];

		if (text_equal(queue->real_name, name) ||
		    (queue->real_name != NULL &&
		        is_sidecar(name, queue->real_name)))
			return true;
		for (size_t i = 0; i < queue->noptions; i++)
			if (text_equal(queue->options[i].value, name))
				return true;
	}
	return false;
}

/* Somebody says that he reads it, or it was seen to become shorter. */
static bool
is_read(const struct queue_look *look, const struct queue_near *near)
{
	for (size_t i = 0; i < look->state->nwho; i++)
		if (text_equal(look->state->who[i].reads, near->name))
			return true;
	for (size_t i = 0; look->later != NULL && i < look->later->nnear; i++)
		if (text_equal(look->later->near[i].name, near->name) &&
		    text_equal(look->later->near[i].where, near->where) &&
		    look->later->near[i].waiting.value < near->waiting.value)
			return true;
	return false;
}

/* Declared to be somebody else's. */
static bool
is_others(const struct declared_queue *queue, const char *name)
{
	for (size_t i = 0;
	     queue->other_names != NULL && queue->other_names[i] != NULL; i++)
		if (fnmatch(queue->other_names[i], name, 0) == 0)
			return true;
	return false;
}

/* What tells it from the others: of a table that holds many, the value of its
 * column. */
static const char *
called(const struct declared_queue *queue)
{
	for (size_t i = 0; i < queue->noptions; i++)
		if (text_equal(queue->options[i].key, "queue"))
			return queue->options[i].value;
	return queue->real_name;
}

static bool
is_orphaned(struct check *check, const struct queue_look *look, size_t index)
{
	const struct queue_near *near = &look->state->near[index];

	return queue_number_known(&near->waiting) && near->waiting.value > 0 &&
	       !text_equal(near->name, look->queue->real_name) &&
	       !is_declared_name(check->declared, near->name) &&
	       !is_others(look->queue, near->name) && !is_read(look, near);
}

static void
judge_orphans(struct check *check, const struct queue_look *look)
{
	struct report_finding *finding = queue_begin(check, look, NULL);
	const struct queue_near *first = NULL;
	const char *name = called(look->queue);

	if (finding == NULL)
		return;
	for (size_t i = 0; i < look->state->nnear; i++) {
		const struct queue_near *near = &look->state->near[i];

		if (!is_orphaned(check, look, i))
			continue;
		if (first == NULL)
			first = near;
		queue_evidence(check, finding, look,
		    check_text(check, "%s '%s'%s%s: %s", near->type, near->name,
		        near->where[0] == '\0' ? "" : " in ", near->where,
		        queue_number_text(check, "waiting", &near->waiting)),
		    check_text(check, "'%s' (%s)", name,
		        difference_text(check, near->name, name)));
	}
	if (first == NULL) {
		const char *not_looked = look_fact(look->seen, "near");

		finding->finding.required = not_looked == NULL;
		check_set(check, finding,
		    not_looked == NULL ? RESULT_PASSED : RESULT_UNKNOWN,
		    not_looked == NULL ? "no jobs wait under a name like it"
		                       : "names like it were %s",
		    not_looked);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "'%s' holds %lld that nobody reads; the queue is '%s'", first->name,
	    (long long)first->waiting.value, name);
	check_fix(check, finding,
	    check_text(check,
	        "find what fills '%s' and have it use '%s'; then move the jobs "
	        "over. If it is another application's, name it in 'otherNames'",
	        first->name, name),
	    text_equal(first->type, "list")
	        ? check_text(check, "redis-cli LMOVE %s %s RIGHT LEFT",
	              shell_quote(check->report->arena, first->name),
	              shell_quote(check->report->arena, look->queue->real_name))
	        : NULL,
	    "reeve check");
}

void
check_rv203(struct check *check)
{
	queues_each(check, judge_orphans);
}

/* --- RV204 queue-protocol-mismatch -----------------------------------------
 */

static void
judge_type(struct check *check, const struct look *look)
{
	if (look->of != LOOK_QUEUE || look->seen == NULL)
		return;
	/* what an old or unknown layout answers is no such queue either */
	bool laid_out = look->seen->cause == CAUSE_MISMATCH &&
	                look->seen->result == RESULT_FAILED &&
	                !queue_code_has_row(look->seen->code);
	bool other = look->seen->cause == CAUSE_WRONG_TYPE || laid_out;

	if (!other && look->seen->queue == NULL)
		return;
	struct report_finding *finding =
	    look_begin(check, look, LOOK_LABEL_TARGET);

	if (finding == NULL)
		return;
	if (!other) {
		check_set(check, finding, RESULT_PASSED, "it is a %s queue",
		    look->kind);
		return;
	}
	look_fail(check, finding, look,
	    check_text(check, "a queue of kind %s", look->kind));
	check_fix(check, finding,
	    laid_out ? "correct the queue's kind, or the names of its columns, "
	               "in the manifest; or migrate to a layout that is known"
	             : "correct the queue's kind in the manifest, or who "
	               "writes there in another protocol",
	    NULL, "reeve check");
}

void
check_rv204(struct check *check)
{
	looks_each(check, judge_type);
}

/* --- RV211 consumer-missing ------------------------------------------------
 */

/* How many replicas are declared to read this queue; -1: nobody is. */
static int64_t
declared_consumers(
    const struct declared *declared, const struct declared_queue *queue)
{
	int64_t count = -1;

	for (size_t w = 0; w < declared->nworkers; w++)
		for (size_t i = 0; i < declared->workers[w].nconsumes; i++)
			if (text_equal(
			        declared->workers[w].consumes[i].queue->name,
			        queue->name))
				count = MAX(count, 0) +
				        declared->workers[w].replicas;
	return count;
}

static void
say_candidates(struct check *check, struct report_finding *finding,
    const struct queue_look *look)
{
	for (size_t i = 0; i < look->state->nwho; i++) {
		const struct queue_consumer *who = &look->state->who[i];

		queue_evidence(check, finding, look,
		    check_text(check, "client '%s' %s%s%s%s%s", who->id,
		        who->address, who->reads[0] == '\0' ? "" : " reads ",
		        who->reads, who->worker[0] == '\0' ? "" : ", worker ",
		        who->worker),
		    NULL);
	}
}

static void
judge_consumers(struct check *check, const struct queue_look *look)
{
	int64_t declared = declared_consumers(check->declared, look->queue);

	if (declared < 0)
		return;
	struct report_finding *finding =
	    queue_begin(check, look, queue_consumers(look));

	if (finding == NULL)
		return;
	if (declared == 0) {
		check_set(check, finding, RESULT_SKIPPED,
		    "its workers are declared with 0 replicas");
		return;
	}
	if (queue_consumers(look)->value > 0) {
		check_set(check, finding, RESULT_PASSED, "%s",
		    queue_number_text(
		        check, "consuming", queue_consumers(look)));
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%lld %s declared to consume it, none does", (long long)declared,
	    declared == 1 ? "replica is" : "replicas are");
	queue_evidence(check, finding, look, "0 consumers",
	    check_text(check, "%lld", (long long)declared));
	say_candidates(check, finding, look);
	check_fix(check, finding,
	    "start the workers; if they run, see which queue they read", NULL,
	    "reeve check");
}

void
check_rv211(struct check *check)
{
	queues_each(check, judge_consumers);
}
