/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "checks/deploy.h"
#include "checks/rows.h"

/* 3xx: is what was declared there at all? */

static const struct observed_worker *
supervised_find(const struct observed_supervisor *supervisor, const char *name)
{
	if (supervisor->reached != RESULT_PASSED)
		return NULL;
	for (size_t i = 0; i < supervisor->nworkers; i++)
		if (text_equal(supervisor->workers[i].name, name))
			return &supervisor->workers[i];
	return NULL;
}

static size_t
count_processes(const struct observed *observed, const char *worker)
{
	size_t count = 0;

	for (size_t i = 0; i < observed->nprocesses; i++)
		if (text_equal(observed->processes[i].worker, worker))
			count++;
	return count;
}

/* NULL: it should run. */
static const char *
need_not_run(const struct worker_look *look)
{
	if (look->worker->init && look->supervised == NULL)
		return "an init worker: it runs once, before all others";
	if (look->worker->schedule.text != NULL)
		return "it runs by its schedule";
	if (look->worker->scale.queue != NULL)
		return look->supervised != NULL && look->supervised->desired > 0
		           ? NULL
		       : look->worker->replicas > 0 && look->supervised == NULL
		           ? NULL
		           : "its queue calls for none";
	return look->worker->replicas > 0 ? NULL : "0 replicas are declared";
}

static void
look_at_worker(
    struct check *check, const struct declared_worker *worker, worker_fn *judge)
{
	struct worker_look look = {
	    .worker = worker,
	    .supervised =
	        supervised_find(&check->observed->supervisor, worker->name),
	    .processes = count_processes(check->observed, worker->name),
	};
	const struct subject subject = {.worker = worker->name};

	for (size_t i = 0;
	     look.supervised != NULL && i < look.supervised->ninstances; i++) {
		const struct observed_instance *instance =
		    &look.supervised->instances[i];

		look.running += instance->pid > 0;
		look.ready += instance->pid > 0 && instance->ready;
		look.restarts += instance->restarts;
		look.waits = look.waits || (instance->waits_for != NULL &&
		                               *instance->waits_for != '\0');
	}
	const char *excuse = need_not_run(&look);
	if (excuse == NULL) {
		judge(check, &look);
		return;
	}
	struct report_finding *finding = check_begin(check, &subject);

	if (finding != NULL)
		check_set(check, finding, RESULT_SKIPPED, "%s", excuse);
}

void
workers_each(struct check *check, worker_fn *judge)
{
	const struct declared *declared = check->declared;

	for (size_t w = 0; w < declared->nworkers; w++)
		look_at_worker(check, &declared->workers[w], judge);
}

/* What keeps those from running that it waits for explains it too. */
static void
label_awaited(struct check *check, struct report_finding *finding,
    const struct worker_look *look)
{
	const struct declared *declared = check->declared;

	for (size_t i = 0; i < look->worker->ndependencies; i++)
		report_label_cause(check->report, finding, LABEL_WORKER,
		    look->worker->dependencies[i].worker);
	for (size_t w = 0; w < declared->nworkers; w++)
		if (declared->workers[w].init &&
		    &declared->workers[w] < look->worker)
			report_label_cause(check->report, finding, LABEL_WORKER,
			    declared->workers[w].name);
}

bool
worker_waits(struct check *check, struct report_finding *finding,
    const struct worker_look *look)
{
	if (!look->waits)
		return false;
	for (size_t i = 0; i < look->supervised->ninstances; i++) {
		const char *text = look->supervised->instances[i].waits_for;
		if (text == NULL || *text == '\0')
			continue;
		check_set(check, finding, RESULT_FAILED,
		    "none of %lld runs: %s", (long long)look->worker->replicas,
		    text);
		break;
	}
	label_awaited(check, finding, look);
	check_fix(check, finding, "see what keeps the worker that it waits for",
	    "reeve status", "reeve status");
	return true;
}

/* The words are the init's; recorded ones may be older. */
static bool
ended_well(const char *last)
{
	return text_equal(last, "exit code 0") || text_equal(last, "exit 0");
}

bool
worker_gave_up(const struct worker_look *look, const char **ret_last)
{
	if (!worker_is_finished(look))
		return false;
	for (size_t i = 0; i < look->supervised->ninstances; i++) {
		const char *last = look->supervised->instances[i].last_exit;
		if (last == NULL || *last == '\0' || ended_well(last))
			continue;
		*ret_last = last;
		return true;
	}
	return false;
}

void
say_instances(struct check *check, struct report_finding *finding,
    const struct worker_look *look)
{
	if (look->supervised == NULL)
		return;
	for (size_t i = 0; i < look->supervised->ninstances; i++) {
		const struct observed_instance *instance =
		    &look->supervised->instances[i];
		const char *last = instance->last_exit;
		const struct evidence evidence = {
		    .source = check_text(check, "supervisor: %s/%lld",
		        look->worker->name, (long long)instance->index),
		    .at_wall_ms = check->observed->at_wall_ms,
		    .observed = check_text(check, "%s%s, %lld restart%s%s%s",
		        instance->state, instance->ready ? ", ready" : "",
		        (long long)instance->restarts,
		        instance->restarts == 1 ? "" : "s",
		        last == NULL || last[0] == '\0' ? "" : ", last ended: ",
		        last == NULL ? "" : last),
		};

		report_evidence(check->report, finding, &evidence);
	}
}

const char *
drift_evidence(const struct observed_drift *drift)
{
	return drift->evidence == NULL || drift->evidence[0] == '\0'
	           ? drift->summary
	           : drift->evidence;
}

bool
worker_is_finished(const struct worker_look *look)
{
	if (look->worker->restart == DECLARED_ALWAYS ||
	    look->supervised == NULL || look->supervised->ninstances == 0)
		return false;
	for (size_t i = 0; i < look->supervised->ninstances; i++)
		if (!text_equal(
		        look->supervised->instances[i].state, "finished"))
			return false;
	return true;
}

/* --- RV301 component-not-deployed ------------------------------------------
 */

static void
say_absence(struct check *check, struct report_finding *finding,
    const struct worker_look *look)
{
	const struct observed *observed = check->observed;
	const struct observed_supervisor *supervisor = &observed->supervisor;
	const struct evidence processes = {
	    .source = "processes",
	    .at_wall_ms = observed->at_wall_ms,
	    .observed = "0 look like this worker",
	    .expected =
	        check_text(check, "%lld", (long long)look->worker->replicas),
	    .scope = observed->processes_scope,
	};
	const struct evidence supervision = {
	    .source = "supervisor",
	    .at_wall_ms = observed->at_wall_ms,
	    .observed =
	        supervisor->reached == RESULT_PASSED
	            ? check_text(check, "'%s' runs, and has no worker '%s'",
	                  supervisor->name, look->worker->name)
	            : (supervisor->why == NULL ? "none" : supervisor->why),
	    .scope = observed->vantage,
	};

	check_evidence(check, finding, check_place(check, &look->worker->place),
	    check_text(check, "worker %s with %lld replica%s",
	        look->worker->name, (long long)look->worker->replicas,
	        look->worker->replicas == 1 ? "" : "s"),
	    NULL);
	report_evidence(check->report, finding, &supervision);
	report_evidence(check->report, finding, &processes);
	finding->confirmed = true;
}

static void
judge_deployed(struct check *check, const struct worker_look *look)
{
	const struct subject subject = {.worker = look->worker->name};
	const struct observed *observed = check->observed;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	if (look->supervised != NULL) {
		check_set(check, finding, RESULT_PASSED, "supervised by '%s'",
		    observed->supervisor.name);
		return;
	}
	if (look->processes > 0) {
		check_set(check, finding, RESULT_PASSED,
		    "%zu process%s of it, %s", look->processes,
		    look->processes == 1 ? "" : "es",
		    observed->supervisor.reached == RESULT_UNKNOWN
		        ? "and the supervisor can't be asked"
		        : "not under reeve");
		return;
	}
	/* "Nothing found" is evidence only where everything was looked at. */
	if (observed->supervisor.reached == RESULT_UNKNOWN ||
	    observed->processes_searched != RESULT_PASSED) {
		check_set(check, finding, RESULT_UNKNOWN, "%s",
		    observed->supervisor.reached == RESULT_UNKNOWN
		        ? check_text(check,
		              "the supervisor was not reached%s%s",
		              observed->supervisor.why == NULL ? "" : ": ",
		              observed->supervisor.why == NULL
		                  ? ""
		                  : observed->supervisor.why)
		        : "the processes could not be searched whole");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "worker '%s' runs nowhere that was looked at", look->worker->name);
	say_absence(check, finding, look);
	check_fix(check, finding,
	    "deploy it: start the container, unit or supervisor that runs it",
	    check->declared->file == NULL
	        ? "reeve run"
	        : check_text(check, "reeve run -f %s", check->declared->file),
	    "reeve check");
}

void
check_rv301(struct check *check)
{
	workers_each(check, judge_deployed);
}

/* --- RV304 replicas-short --------------------------------------------------
 */

static void
judge_replicas(struct check *check, const struct worker_look *look)
{
	const struct subject subject = {.worker = look->worker->name};
	bool supervised = look->supervised != NULL;
	/* With `scale` its queue says how many there are to be. */
	size_t wanted = look->worker->scale.queue != NULL && supervised
	                    ? (size_t)look->supervised->desired
	                    : (size_t)look->worker->replicas;
	size_t have = supervised ? look->ready : look->processes;

	/* None at all is another finding: RV301, RV507 or RV506. */
	if ((supervised && look->running == 0) ||
	    (!supervised && look->processes == 0) || worker_is_finished(look))
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	if (have >= wanted) {
		check_set(
		    check, finding, RESULT_PASSED, "%zu of %zu", have, wanted);
		return;
	}
	if (!supervised &&
	    check->observed->processes_searched != RESULT_PASSED) {
		check_set(check, finding, RESULT_UNKNOWN,
		    "%zu of %zu were found, and the processes could not be "
		    "searched whole",
		    have, wanted);
		return;
	}
	check_set(check, finding, RESULT_FAILED, "%zu of %zu %s", have, wanted,
	    supervised ? "are ready" : "run");
	check_evidence(check, finding, check_place(check, &look->worker->place),
	    check_text(check, "%zu replicas %s", wanted,
	        look->worker->scale.queue == NULL ? "declared"
	                                          : "called for by its queue"),
	    NULL);
	say_instances(check, finding, look);
	check_fix(check, finding,
	    supervised ? "see why the others are not ready"
	               : "start the missing ones",
	    supervised ? check_text(check, "reeve logs %s", look->worker->name)
	               : NULL,
	    "reeve status");
}

void
check_rv304(struct check *check)
{
	workers_each(check, judge_replicas);
}

/* --- RV318 stale-code ------------------------------------------------------
 */

static void
judge_code(struct check *check, const struct worker_look *look)
{
	const struct observed_supervisor *supervisor =
	    &check->observed->supervisor;
	const struct subject subject = {.worker = look->worker->name};

	if (look->supervised == NULL)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	check_set(check, finding, RESULT_PASSED,
	    "it runs the executable that is on disk");
	for (size_t i = 0; i < supervisor->ndrift; i++) {
		const struct observed_drift *drift = &supervisor->drift[i];

		if (!text_equal(drift->class, "executable") ||
		    !text_equal(drift->worker, look->worker->name))
			continue;
		check_set(check, finding, RESULT_FAILED, "%s", drift->summary);
		check_evidence(check, finding, "running supervisor",
		    drift_evidence(drift), "the executable that is on disk");
		check_fix(check, finding, "restart the worker",
		    check_text(check, "reeve restart %s", drift->worker),
		    "reeve diff");
	}
}

void
check_rv318(struct check *check)
{
	workers_each(check, judge_code);
}
