/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "checks/looks.h"
#include "checks/names.h"
#include "checks/queue_facts.h"
#include "checks/rows.h"

/* What the first jobs that wait are like, as the prober saw them
 * (probes/queue/sample.c), against what the manifest says of this queue's. */

/* --- RV210 message-schema-version, RV217 duplicate-messages -----------------
 */

static bool
is_known_version(const struct declared_jobs *jobs, const char *version)
{
	for (size_t i = 0; jobs->versions[i] != NULL; i++)
		if (strcmp(jobs->versions[i], version) == 0)
			return true;
	return false;
}

static const char *
versions_text(struct check *check, const struct declared_jobs *jobs)
{
	const char *text = "";

	for (size_t i = 0; jobs->versions[i] != NULL; i++)
		text = check_text(check, "%s%s%s", text, i == 0 ? "" : ", ",
		    jobs->versions[i]);
	return text;
}

/* Nothing to judge: no job was looked at, or none says what is asked for. */
static void
none_says(struct check *check, struct report_finding *finding,
    const struct queue_look *look, const char *field)
{
	const char *why = look_fact(look->seen, "sample-unknown");

	finding->finding.required = false;
	if (look_fact(look->seen, "sampled") != NULL)
		check_set(check, finding, RESULT_UNKNOWN,
		    "no job that waits has a '%s'", field);
	else
		check_set(check, finding, RESULT_UNKNOWN,
		    "no job was looked at%s%s", why == NULL ? "" : ": ",
		    why == NULL ? "" : why);
}

/* The prober looked at the first jobs that wait: a fact "version V" for each
 * version that it met, and how often. */
static void
judge_versions(struct check *check, const struct queue_look *look)
{
	static const char prefix[] = "version ";
	const struct declared_jobs *jobs = &look->queue->jobs;
	const char *sampled = look_fact(look->seen, "sampled");
	bool fails = false;

	if (jobs->version == NULL)
		return;
	struct report_finding *finding = queue_begin(check, look, NULL);

	if (finding == NULL)
		return;
	if (sampled == NULL) {
		none_says(check, finding, look, jobs->version);
		return;
	}
	check_set(check, finding, RESULT_PASSED,
	    "%s jobs that wait are of a version that the workers know",
	    sampled);
	for (size_t i = 0; i < look->seen->nfacts; i++) {
		const struct fact *fact = &look->seen->facts[i];

		if (!text_starts(fact->key, prefix) ||
		    is_known_version(jobs, fact->key + sizeof(prefix) - 1))
			continue;
		if (!fails)
			check_set(check, finding, RESULT_FAILED,
			    "jobs wait of version %s, the workers know %s",
			    fact->key + sizeof(prefix) - 1,
			    versions_text(check, jobs));
		fails = true;
		queue_evidence(check, finding, look,
		    check_text(check, "%s of %s jobs: %s", fact->value, sampled,
		        fact->key),
		    versions_text(check, jobs));
	}
	if (fails)
		check_fix(check, finding,
		    "deploy workers that know the version before producers "
		    "that send it; jobs without one come from something else",
		    queue_command(check, look->queue, "peek"), "reeve check");
}

static void
judge_duplicates(struct check *check, const struct queue_look *look)
{
	const char *sampled = look_fact(look->seen, "sampled");
	const char *named = look_fact(look->seen, "named");
	const char *most = look_fact(look->seen, "duplicates");

	if (look->queue->jobs.id == NULL)
		return;
	struct report_finding *finding = queue_begin(check, look, NULL);

	if (finding == NULL)
		return;
	if (named == NULL || text_equal(named, "0")) {
		none_says(check, finding, look, look->queue->jobs.id);
		return;
	}
	if (most == NULL) {
		check_set(check, finding, RESULT_PASSED,
		    "%s jobs that wait differ in '%s'", named,
		    look->queue->jobs.id);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%s jobs that wait are for one '%s'", most, look->queue->jobs.id);
	queue_evidence(check, finding, look,
	    check_text(check, "%s of the first %s jobs, first seen in job %s",
	        most, sampled, look_fact(look->seen, "duplicate-of")),
	    "one");
	check_fix(check, finding,
	    "find who puts it in again (a retry of the producer, a reset by "
	    "hand beside a redelivery), and give the job an id that the queue "
	    "takes once",
	    queue_command(check, look->queue, "peek"), "reeve check");
}

void
check_rv210(struct check *check)
{
	queues_each(check, judge_versions);
}

void
check_rv217(struct check *check)
{
	queues_each(check, judge_duplicates);
}

/* --- RV216 enqueue-before-commit --------------------------------------------
 */

/* What the watch can't say anything about: neither early nor well. */
static void
tell_of_the_rest(struct check *check, struct report_finding *finding,
    const struct observation *watch)
{
	static const struct {
		const char *fact, *text;
	} rest[] = {
	    {"undecided", "jobs whose row wasn't there when the look ended"},
	    {"odd", "jobs whose id no row can have"},
	    {"unread", "jobs of a look that don't say their row"},
	};
	const char *never = look_fact(watch, "never");

	if (never != NULL)
		check_evidence(check, finding, watch->target,
		    check_text(check,
		        "%s jobs refer to a row that didn't come: deleted, "
		        "rolled back, or never written (the first: job %s)",
		        never, look_fact(watch, "never-job")),
		    NULL);
	for (size_t i = 0; i < ARRAY_LEN(rest); i++)
		if (look_fact(watch, rest[i].fact) != NULL)
			check_evidence(check, finding, watch->target,
			    check_text(check, "%s %s",
			        look_fact(watch, rest[i].fact), rest[i].text),
			    NULL);
}

/* No job was met before its row. Of one whose row never came nothing is known:
 * it isn't early, and no other's proof. */
static void
none_early(struct check *check, struct report_finding *finding,
    const struct observation *watch)
{
	const char *jobs = look_fact(watch, "jobs");
	const char *looks = look_fact(watch, "looks");
	const char *never = look_fact(watch, "never");

	if (never == NULL && look_fact(watch, "undecided") == NULL &&
	    !text_equal(jobs, "0")) {
		check_set(check, finding, RESULT_PASSED,
		    "%s jobs at %s looks, each with its row", jobs, looks);
		return;
	}
	if (text_equal(jobs, "0"))
		check_set(check, finding, RESULT_UNKNOWN,
		    "no job was there to be asked about, at %s looks", looks);
	else
		check_set(check, finding, RESULT_UNKNOWN,
		    "of %s jobs %s refer to a row that isn't there", jobs,
		    never != NULL ? never : "some");
}

static void
judge_early(struct check *check, const struct queue_look *look)
{
	const struct observation *watch =
	    check_observation(check, "queue %s rows", look->queue->name);
	const char *early = look_fact(watch, "early");

	if (look->queue->jobs.row.kind == NULL || watch == NULL)
		return;
	struct report_finding *finding = queue_begin(check, look, NULL);

	if (finding == NULL)
		return;
	if (early == NULL) {
		check_set(check, finding, RESULT_UNKNOWN,
		    "no job's row was asked for: %s", watch->summary);
		return;
	}
	if (text_equal(early, "0")) {
		none_early(check, finding, watch);
		tell_of_the_rest(check, finding, watch);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%s of %s jobs were in the queue before their row was there, the "
	    "longest for %s ms",
	    early, look_fact(watch, "jobs"), look_fact(watch, "early-ms"));
	queue_evidence(check, finding, look,
	    check_text(check,
	        "job %s was in the queue at %s, its row was not there until %s",
	        look_fact(watch, "early-job"), look_fact(watch, "early-from"),
	        look_fact(watch, "early-to")),
	    "the row first");
	tell_of_the_rest(check, finding, watch);
	check_fix(check, finding,
	    "commit, then put the job in; or write it to an outbox table in the "
	    "row's own transaction, from where it is sent",
	    NULL, "reeve check");
}

void
check_rv216(struct check *check)
{
	queues_each(check, judge_early);
}

/* --- RV219 routing-boundaries ------------------------------------------------
 */

static const char *
range_text(struct check *check, const struct declared_jobs *jobs)
{
	if (jobs->size_below < 0)
		return check_text(
		    check, "%lld and more", (long long)jobs->size_from);
	return check_text(check, "%lld to below %lld",
	    (long long)jobs->size_from, (long long)jobs->size_below);
}

static void
judge_sizes(struct check *check, const struct queue_look *look)
{
	const struct declared_jobs *jobs = &look->queue->jobs;
	const char *sized = look_fact(look->seen, "sized");
	const char *outside = look_fact(look->seen, "outside");

	if (jobs->size == NULL)
		return;
	struct report_finding *finding = queue_begin(check, look, NULL);

	if (finding == NULL)
		return;
	if (sized == NULL || text_equal(sized, "0")) {
		none_says(check, finding, look, jobs->size);
		return;
	}
	if (outside == NULL) {
		check_set(check, finding, RESULT_PASSED,
		    "%s jobs that wait are of a size that belongs here", sized);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%s of %s jobs that wait don't belong here by their '%s': %s",
	    outside, sized, jobs->size, look_fact(look->seen, "outside-first"));
	queue_evidence(check, finding, look,
	    check_text(
	        check, "a job of %s", look_fact(look->seen, "outside-first")),
	    range_text(check, jobs));
	check_fix(check, finding,
	    "have the router and this queue agree on the boundary: which of "
	    "them has it itself, and whether its unit is 1000 or 1024",
	    queue_command(check, look->queue, "peek"), "reeve check");
}

/* The queue that a router writes into whose sizes begin lowest, of those that
 * begin at `from` or later, `after` apart; NULL: none. */
static const struct declared_queue *
next_size(struct check *check, const struct declared_worker *router,
    const struct declared_queue *after)
{
	const struct declared_queue *next = NULL;
	bool passed = after == NULL;

	for (size_t i = 0; router->produces[i] != NULL; i++) {
		const struct declared_queue *queue =
		    declared_queue_find(check->declared, router->produces[i]);

		if (queue == after) {
			passed = true;
			continue;
		}
		if (queue == NULL || queue->jobs.size == NULL)
			continue;
		/* of equal beginnings those that are declared later */
		if (after != NULL &&
		    (queue->jobs.size_from < after->jobs.size_from ||
		        (queue->jobs.size_from == after->jobs.size_from &&
		            !passed)))
			continue;
		if (next == NULL ||
		    queue->jobs.size_from < next->jobs.size_from)
			next = queue;
	}
	return next;
}

/* Where one queue's sizes end the next one's must begin. */
static void
judge_boundaries(struct check *check, const struct declared_worker *router)
{
	const struct declared_queue *low = next_size(check, router, NULL);
	const struct subject subject = {.worker = router->name};
	const struct declared_queue *high = NULL;
	size_t boundaries = 0;

	if (low == NULL || next_size(check, router, low) == NULL)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	for (; (high = next_size(check, router, low)) != NULL; low = high) {
		int64_t end = low->jobs.size_below,
		        begin = high->jobs.size_from;

		boundaries++;
		if (end == begin)
			continue;
		check_set(check, finding, RESULT_FAILED,
		    "a job of %lld %s: '%s' takes %s, '%s' %s",
		    (long long)(end >= 0 && end < begin ? end : begin),
		    end >= 0 && end < begin ? "has no queue" : "has two queues",
		    low->name, range_text(check, &low->jobs), high->name,
		    range_text(check, &high->jobs));
		check_evidence(check, finding, check_place(check, &low->place),
		    range_text(check, &low->jobs), NULL);
		check_evidence(check, finding, check_place(check, &high->place),
		    range_text(check, &high->jobs),
		    check_text(check, "to begin where '%s' ends", low->name));
		check_fix(check, finding,
		    "let the one's 'sizeBelow' be the other's 'sizeFrom', as "
		    "the router has it",
		    NULL, "reeve check");
		return;
	}
	check_set(check, finding, RESULT_PASSED,
	    "%zu boundaries, and each size has one queue", boundaries);
}

void
check_rv219(struct check *check)
{
	queues_each(check, judge_sizes);
	for (size_t w = 0; w < check->declared->nworkers; w++)
		if (check->declared->workers[w].produces != NULL)
			judge_boundaries(check, &check->declared->workers[w]);
}
