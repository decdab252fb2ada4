/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "checks/names.h"
#include "checks/queue_facts.h"
#include "checks/rows.h"

/* 2xx: the same queue name in two places: another database, vhost, account or
 * broker (RV202), or under another prefix (RV223). */

/* --- RV202 broker-db-vhost-account-mismatch --------------------------------
 */

/* "localhost:6379" is "127.0.0.1:6379". */
static const char *
plain_endpoint(struct check *check, const char *value)
{
	const char *endpoint = url_endpoint(check->report->arena, value);

	if (endpoint == NULL)
		return NULL;
	if (text_starts(endpoint, "localhost:"))
		return check_text(
		    check, "127.0.0.1:%s", endpoint + sizeof("localhost:") - 1);
	if (text_starts(endpoint, "::1:"))
		return check_text(
		    check, "127.0.0.1:%s", endpoint + sizeof("::1:") - 1);
	return endpoint;
}

/* "db 0" of "redis host:6379 db 0". */
static const char *
database_of(struct check *check, const char *value)
{
	const char *place = url_place(check->report->arena, value);
	const char *db = place == NULL ? NULL : strstr(place, " db ");

	return db == NULL ? "" : db + 1;
}

enum same {
	SAME_UNKNOWN,
	SAME_YES,
	SAME_NO
};

static const char *
identity_of(const struct observation *seen)
{
	return seen == NULL || seen->identity == NULL ? "" : seen->identity;
}

/* Two names may be one server: then what answered says so. */
static enum same
same_server(struct check *check, const struct declared_queue *queue,
    const char *owner, const struct declared_env *env)
{
	const char *a = plain_endpoint(check, queue->url);
	const char *b = plain_endpoint(check, env->value);

	if (a == NULL || b == NULL)
		return SAME_UNKNOWN;
	if (strcmp(a, b) == 0)
		return SAME_YES;
	const char *ours =
	    identity_of(check_observation(check, "queue %s", queue->name));
	const char *theirs = identity_of(
	    check_observation(check, "env %s %s", owner, env->name));

	if (ours[0] == '\0' || theirs[0] == '\0')
		return SAME_UNKNOWN;
	return strcmp(ours, theirs) == 0 ? SAME_YES : SAME_NO;
}

/* The broker URLs of one side: does one of them lead where the queue is? */
struct broker_search {
	const struct declared_env *other; /* one that leads elsewhere */
	enum same server;                 /* of that one */
	bool found;
};

static void
search_brokers(struct check *check, struct broker_search *search,
    const struct declared_queue *queue, const char *owner,
    const struct declared_environment *environment)
{
	const char *family = url_family(queue->url, NULL);

	for (size_t i = 0; i < environment->count; i++) {
		const struct declared_env *env = environment->entries[i];

		if (env->shadowed || env->value == NULL || search->found ||
		    !text_equal(url_family(env->value, NULL), family))
			continue;
		enum same server = same_server(check, queue, owner, env);

		if (server == SAME_YES &&
		    strcmp(database_of(check, env->value),
		        database_of(check, queue->url)) == 0)
			search->found = true;
		/* The same server with another database says most. */
		else if (search->other == NULL || server == SAME_YES) {
			search->other = env;
			search->server = server;
		}
	}
}

static void
judge_brokers(struct check *check, const struct subject *subject,
    const struct declared_queue *queue,
    const struct declared_environment *environment)
{
	const char *owner =
	    subject->worker != NULL ? subject->worker : subject->producer;
	struct broker_search search = {0};
	struct arena *arena = check->report->arena;

	if (queue->url == NULL || url_family(queue->url, NULL) == NULL)
		return;
	search_brokers(check, &search, queue, owner, environment);
	if (!search.found && search.other == NULL)
		return;
	struct report_finding *finding = check_begin(check, subject);

	if (finding == NULL)
		return;
	if (search.found) {
		check_set(check, finding, RESULT_PASSED, "%s",
		    url_place(arena, queue->url));
		return;
	}
	const char *theirs = url_place(arena, search.other->value);

	if (search.server == SAME_UNKNOWN) {
		finding->finding.required = false;
		check_set(check, finding, RESULT_UNKNOWN,
		    "%s leads to %s, the queue is at %s: not known whether "
		    "they are one server",
		    search.other->name, theirs, url_place(arena, queue->url));
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%s leads to %s, the queue is at %s", search.other->name, theirs,
	    url_place(arena, queue->url));
	check_evidence(check, finding, check_place(check, &search.other->place),
	    check_text(check, "%s leads to %s", search.other->name, theirs),
	    check_text(check, "%s (%s)", url_place(arena, queue->url),
	        check_place(check, &queue->place)));
	check_fix(check, finding,
	    "give both sides one URL, declared once at the top of the manifest",
	    NULL, "reeve check");
}

/* "prefix app": the same server and database, under another prefix (RV223);
 * all else is another place (RV202). */
static bool
is_prefix(const char *where)
{
	return text_starts(where, "prefix ");
}

/* The server has no such database, vhost or account at all. */
static void
judge_nowhere(struct check *check, const struct declared_queue *queue,
    const struct observation *seen)
{
	const struct subject subject = {.queue = queue->name};

	if (seen->cause != CAUSE_WRONG_DATABASE ||
	    seen->result != RESULT_FAILED)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	finding->confirmed = true;
	check_set(check, finding, RESULT_FAILED, "%s", seen->summary);
	check_evidence_of(
	    check, finding, seen, "a database or vhost that is there");
	check_fix(check, finding,
	    "correct the database or vhost in the URL (those that exist are "
	    "named where the server tells them), or create it",
	    NULL, "reeve check");
}

/* That name in another place: jobs wait there, or it isn't here at all. */
static bool
is_elsewhere(const struct queue_look *look, const struct queue_near *near)
{
	return text_equal(near->name, look->queue->real_name) &&
	       (look->state->exists == EXISTS_NO ||
	           (queue_number_known(&near->waiting) &&
	               near->waiting.value > 0));
}

/* Seen, not declared. */
static void
judge_elsewhere(struct check *check, const struct queue_look *look, bool prefix)
{
	for (size_t i = 0; i < look->state->nnear; i++) {
		const struct queue_near *near = &look->state->near[i];
		const struct subject subject = {.queue = look->queue->name};
		bool holds = queue_number_known(&near->waiting) &&
		             near->waiting.value > 0;

		if (near->where == NULL || near->where[0] == '\0' ||
		    is_prefix(near->where) != prefix ||
		    !is_elsewhere(look, near))
			continue;
		struct report_finding *finding = check_begin(check, &subject);

		if (finding == NULL)
			continue;
		const char *waiting =
		    queue_number_text(check, "waiting", &near->waiting);

		finding->confirmed = true;
		if (holds)
			check_set(check, finding, RESULT_FAILED,
			    "'%s' holds %s in %s, and is read in another place",
			    near->name, waiting, near->where);
		else
			check_set(check, finding, RESULT_FAILED,
			    "'%s' is in %s, and not where it is looked for",
			    near->name, near->where);
		queue_evidence(check, finding, look,
		    check_text(check, "in %s: %s '%s'%s%s", near->where,
		        near->type, near->name, holds ? ", " : "",
		        holds ? waiting : ""),
		    look->state->target);
		if (look->state->exists == EXISTS_NO)
			queue_evidence(
			    check, finding, look, look->seen->summary, NULL);
		check_fix(check, finding,
		    "find who fills it there, and give both sides one URL",
		    NULL, "reeve check");
	}
}

/* Somebody reads the same name in another place. Redis doesn't show which list
 * a client waits for: one that may wait for it there counts where jobs wait
 * here and nobody takes them. */
static bool
reads_elsewhere(const struct queue_look *look, const struct queue_consumer *who,
    bool prefix)
{
	const struct queue_state *state = look->state;

	if (who->where == NULL || who->where[0] == '\0' ||
	    is_prefix(who->where) != prefix)
		return false;
	if (who->reads[0] != '\0')
		return text_equal(who->reads, look->queue->real_name);
	return queue_number_known(&state->waiting) &&
	       state->waiting.value > 0 &&
	       queue_number_known(&state->consumers) &&
	       state->consumers.value == 0;
}

static void
judge_readers_elsewhere(
    struct check *check, const struct queue_look *look, bool prefix)
{
	const struct subject subject = {.queue = look->queue->name};
	struct report_finding *finding = NULL;

	for (size_t i = 0; i < look->state->nwho; i++) {
		const struct queue_consumer *who = &look->state->who[i];

		if (!reads_elsewhere(look, who, prefix))
			continue;
		if (finding == NULL) {
			finding = check_begin(check, &subject);
			if (finding == NULL)
				return;
			finding->confirmed = true;
			check_set(check, finding, RESULT_FAILED,
			    "%s '%s' in %s, the queue is at %s",
			    who->reads[0] != '\0' ? "a consumer reads"
			                          : "a consumer waits, perhaps "
			                            "for",
			    look->queue->real_name, who->where,
			    look->state->target);
			check_fix(check, finding,
			    "give producers and workers one URL, with one "
			    "database, vhost or prefix",
			    NULL, "reeve check");
		}
		queue_evidence(check, finding, look,
		    check_text(check, "%s %s in %s", who->id, who->address,
		        who->where),
		    look->state->target);
	}
}

/* For each queue that was seen, whatever else is known. */
static void
judge_places(struct check *check)
{
	const struct declared *declared = check->declared;

	for (size_t q = 0; q < declared->nqueues; q++) {
		const struct observation *seen = check_observation(
		    check, "queue %s", declared->queues[q].name);
		const struct queue_look look = {
		    .queue = &declared->queues[q],
		    .seen = seen,
		    .state = seen == NULL ? NULL : seen->queue,
		};

		if (seen != NULL)
			judge_nowhere(check, look.queue, seen);
		if (look.state == NULL)
			continue;
		judge_elsewhere(check, &look, false);
		judge_readers_elsewhere(check, &look, false);
	}
}

/* Another prefix was looked at, and holds nothing. */
static void
judge_prefix(struct check *check, const struct queue_look *look)
{
	size_t before = check->report->nfindings;
	bool any = false;

	judge_elsewhere(check, look, true);
	judge_readers_elsewhere(check, look, true);
	for (size_t i = 0; i < look->state->nnear; i++) {
		const char *where = look->state->near[i].where;

		any = any || (where != NULL && is_prefix(where));
	}
	if (!any || check->report->nfindings != before)
		return;
	struct report_finding *finding = queue_begin(check, look, NULL);

	if (finding != NULL)
		check_set(check, finding, RESULT_PASSED,
		    "nothing waits under another prefix");
}

void
check_rv223(struct check *check)
{
	queues_each(check, judge_prefix);
}

void
check_rv202(struct check *check)
{
	const struct declared *declared = check->declared;

	for (size_t w = 0; w < declared->nworkers; w++) {
		const struct declared_worker *worker = &declared->workers[w];

		for (size_t i = 0; i < worker->nconsumes; i++) {
			const struct declared_queue *queue =
			    worker->consumes[i].queue;
			const struct subject subject = {
			    .worker = worker->name, .queue = queue->name};

			judge_brokers(check, &subject, queue, &worker->env);
		}
	}
	for (size_t p = 0; p < declared->nproducers; p++) {
		const struct declared_producer *producer =
		    &declared->producers[p];

		for (size_t i = 0; i < producer->nproduces; i++) {
			const struct declared_queue *queue =
			    producer->produces[i].queue;
			const struct subject subject = {
			    .producer = producer->name, .queue = queue->name};

			judge_brokers(check, &subject, queue, &producer->env);
		}
	}
	if ((check->stages & ~(unsigned)STAGE_LINT) == 0)
		return;
	judge_places(check);
}
