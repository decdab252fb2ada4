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

void
workers_each(struct check *check, worker_fn *judge)
{
	const struct declared *declared = check->declared;

	for (size_t w = 0; w < declared->nworkers; w++) {
		const struct declared_worker *worker = &declared->workers[w];
		struct worker_look look = {
		    .worker = worker,
		    .supervised = supervised_find(
		        &check->observed->supervisor, worker->name),
		    .processes = count_processes(check->observed, worker->name),
		};
		const struct subject subject = {.worker = worker->name};

		for (size_t i = 0;
		     look.supervised != NULL && i < look.supervised->ninstances;
		     i++) {
			const struct observed_instance *instance =
			    &look.supervised->instances[i];

			look.running += instance->pid > 0;
			look.ready += instance->pid > 0 && instance->ready;
			look.restarts += instance->restarts;
		}
		if (worker->replicas > 0) {
			judge(check, &look);
			continue;
		}
		struct report_finding *finding = check_begin(check, &subject);

		if (finding != NULL)
			check_set(check, finding, RESULT_SKIPPED,
			    "0 replicas are declared");
	}
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
		    "%zu process%s of it, not under reeve", look->processes,
		    look->processes == 1 ? "" : "es");
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
	size_t wanted = (size_t)look->worker->replicas;
	bool supervised = look->supervised != NULL;
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
	check_set(check, finding, RESULT_FAILED, "%zu of %zu %s", have, wanted,
	    supervised ? "are ready" : "run");
	check_evidence(check, finding, check_place(check, &look->worker->place),
	    check_text(check, "%zu replicas declared", wanted), NULL);
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
