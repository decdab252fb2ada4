/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "checks/deploy.h"
#include "checks/given.h"
#include "checks/names.h"
#include "checks/rows.h"

/* 1xx: what the workers are given, before anything is asked over the network.
 */

static const char *
count_text(struct check *check, size_t count, const char *one)
{
	return check_text(check, "%zu %s%s", count, one, count == 1 ? "" : "s");
}

static bool
is_required(const struct declared_worker *worker, const char *name)
{
	for (const char *const *r = worker->requires; r != NULL && *r != NULL;
	     r++)
		if (strcmp(*r, name) == 0)
			return true;
	return false;
}

/* --- RV101 env-required-missing --------------------------------------------
 */

/* Of two names, how long what they begin with in common is, up to a word's
 * end: 15 of P8FS_SEAWEEDFS_ENDPOINT and P8FS_SEAWEEDFS_FILER. */
static size_t
common_words(const char *a, const char *b)
{
	size_t end = 0;

	for (size_t i = 0; a[i] != '\0' && a[i] == b[i]; i++)
		if (a[i] == '_')
			end = i + 1;
	return end;
}

/* A variable that is about the same thing (all words but the last), where no
 * name is near enough for RV102. */
static void
say_alike(struct check *check, struct report_finding *finding,
    const struct declared_worker *worker, const char *name)
{
	const char *last = strrchr(name, '_');

	if (last == NULL || memchr(name, '_', (size_t)(last - name)) == NULL)
		return;
	for (size_t i = 0; i < worker->env.count; i++) {
		const struct declared_env *env = worker->env.entries[i];

		if (common_words(name, env->name) ==
		        (size_t)(last - name) + 1 &&
		    !is_required(worker, env->name))
			check_evidence(check, finding, given_source(check, env),
			    check_text(check,
			        "'%s' is given, which begins alike", env->name),
			    NULL);
	}
}

static void
judge_required(
    struct check *check, const struct declared_worker *worker, const char *name)
{
	const struct subject subject = {.worker = worker->name, .env = name};
	const struct declared_env *env = declared_env_find(&worker->env, name);
	struct report_finding *finding = check_begin(check, &subject);
	const char *where = check_place(check, &worker->requires_place);

	if (finding == NULL)
		return;
	if (env != NULL && env->absence == ABSENT_UNRESOLVABLE) {
		check_set(check, finding, RESULT_UNKNOWN,
		    "it comes from %s, which can't be read from here",
		    env->source);
		return;
	}
	if (env != NULL && env->value != NULL && env->len > 0) {
		check_set(check, finding, RESULT_PASSED, "provided by %s",
		    given_source(check, env));
		return;
	}
	check_evidence(check, finding, where,
	    check_text(check, "worker %s requires %s", worker->name, name),
	    NULL);
	if (env == NULL) {
		check_set(check, finding, RESULT_FAILED,
		    "%s is required, and none of the worker's %s provides it",
		    name, count_text(check, worker->env.count, "variable"));
		check_evidence(check, finding,
		    check_place(check, &worker->place),
		    check_text(check, "not among the worker's %s",
		        count_text(check, worker->env.count, "variable")),
		    "one that is set and not empty");
		say_alike(check, finding, worker, name);
	} else {
		check_set(check, finding, RESULT_FAILED,
		    "%s is required, and %s%s%s", name,
		    env->value != NULL ? "is empty" : "has no value",
		    env->value != NULL || env->why == NULL ? "" : ": ",
		    env->value != NULL || env->why == NULL ? "" : env->why);
		check_evidence(check, finding, given_source(check, env),
		    env->value != NULL ? "empty" : "no value",
		    "set and not empty");
	}
	check_fix(check, finding,
	    check_text(check,
	        "give worker %s the variable %s (env or envFrom), from the "
	        "secret or config that holds it",
	        worker->name, name),
	    NULL, "reeve check");
}

void
check_rv101(struct check *check)
{
	for (size_t w = 0; w < check->declared->nworkers; w++) {
		const struct declared_worker *worker =
		    &check->declared->workers[w];

		for (const char *const *r = worker->requires;
		     r != NULL && *r != NULL; r++)
			judge_required(check, worker, *r);
	}
}

/* --- RV102 env-near-miss ---------------------------------------------------
 */

struct near {
	const char *name;
	const char *where;
	bool key;    /* of a source; else a variable of the worker */
	bool secret; /* the source is one */
	const char *source;
	unsigned distance;
};

static void
consider(struct near *best, const char *want, const char *have,
    const struct near *candidate)
{
	if (!names_near(want, have))
		return;
	unsigned distance = names_distance(want, have);

	if (best->name != NULL && best->distance <= distance)
		return;
	*best = *candidate;
	best->name = have;
	best->distance = distance;
}

static void
consider_source(struct check *check, struct near *best, const char *want,
    const struct declared_source *source)
{
	const struct near candidate = {
	    .where = check_text(check, "%s %s (%s)",
	        source->secret ? "secret" : "config", source->name,
	        check_place(check, &source->place)),
	    .key = true,
	    .secret = source->secret,
	    .source = source->name,
	};

	for (size_t k = 0; k < source->nkeys; k++)
		consider(best, want, source->keys[k], &candidate);
}

/* What the worker requires by that very name is meant for itself. */
static void
consider_variables(struct check *check, struct near *best, const char *want,
    const struct declared_worker *worker)
{
	for (size_t i = 0; i < worker->env.count; i++) {
		const struct declared_env *env = worker->env.entries[i];
		const struct near candidate = {
		    .where = given_source(check, env),
		};

		if (!env->shadowed && !is_required(worker, env->name))
			consider(best, want, env->name, &candidate);
	}
}

static void
say_near(struct check *check, const struct declared_worker *worker,
    const struct declared_env *env, const char *want, const struct near *near)
{
	/* The subject is the variable that stays empty, so that RV101 and
	 * RV105 of the same one are explained. */
	const char *name = env == NULL ? want : env->name;
	const struct subject subject = {.worker = worker->name, .env = name};
	struct report_finding *finding = given_begin(check, &subject,
	    env == NULL ? &worker->requires_place : &env->place);

	if (finding == NULL)
		return;
	check_set(check, finding, RESULT_FAILED,
	    "'%s' is wanted, '%s' is what there is", want, near->name);
	check_evidence(check, finding,
	    env == NULL ? check_place(check, &worker->requires_place)
	                : check_place(check, &env->place),
	    check_text(check, "worker %s wants '%s'", worker->name, want),
	    NULL);
	check_evidence(check, finding, near->where,
	    check_text(check, "there is '%s' (differs by %u), but no '%s'",
	        near->name, near->distance, want),
	    check_text(check, "'%s'", want));
	if (near->key)
		check_fix(check, finding,
		    check_text(check,
		        "env: {name: %s, valueFrom: {%s: {name: %s, key: "
		        "%s}}}, or rename the key to %s",
		        name, near->secret ? "secretKeyRef" : "configMapKeyRef",
		        near->source, near->name, want),
		    NULL, "reeve check");
	else
		check_fix(check, finding,
		    check_text(check, "rename the variable %s to %s",
		        near->name, want),
		    NULL, "reeve check");
}

static const struct declared_source *
source_find(const struct declared *declared, const char *name)
{
	for (size_t i = 0; name != NULL && i < declared->nsources; i++)
		if (strcmp(declared->sources[i].name, name) == 0)
			return &declared->sources[i];
	return NULL;
}

/* A reference to a key that the source doesn't have. */
static bool
near_key(struct check *check, const struct declared_worker *worker,
    const struct declared_env *env)
{
	struct near best = {0};
	const struct declared_source *source =
	    source_find(check->declared, env->ref_name);

	if (env->shadowed || env->absence != ABSENT_KEY || source == NULL ||
	    env->ref_key == NULL)
		return false;
	consider_source(check, &best, env->ref_key, source);
	if (best.name == NULL)
		return false;
	say_near(check, worker, env, env->ref_key, &best);
	return true;
}

/* A required variable that nobody provides. */
static bool
near_variable(
    struct check *check, const struct declared_worker *worker, const char *want)
{
	struct near best = {0};

	if (declared_env_find(&worker->env, want) != NULL)
		return false;
	consider_variables(check, &best, want, worker);
	if (best.name == NULL)
		for (size_t s = 0; s < check->declared->nsources; s++)
			consider_source(
			    check, &best, want, &check->declared->sources[s]);
	if (best.name == NULL)
		return false;
	/* seed 000: the secret held VOYAGEAI_API_KEY, imported by envFrom */
	const struct declared_env *have =
	    declared_env_find(&worker->env, best.name);

	if (have != NULL && have->ref_name != NULL) {
		best.key = true;
		best.secret = have->secret;
		best.source = have->ref_name;
		if (have->ref_key != NULL)
			best.name = have->ref_key;
	}
	say_near(check, worker, NULL, want, &best);
	return true;
}

void
check_rv102(struct check *check)
{
	for (size_t w = 0; w < check->declared->nworkers; w++) {
		const struct declared_worker *worker =
		    &check->declared->workers[w];
		bool any = false;

		for (size_t i = 0; i < worker->env.count; i++)
			any |= near_key(check, worker, worker->env.entries[i]);
		for (const char *const *r = worker->requires;
		     r != NULL && *r != NULL; r++)
			any |= near_variable(check, worker, *r);
		if (!any)
			given_well(check, worker,
			    "no name is wanted that exists only almost");
	}
}

/* --- RV105 ref-unresolved --------------------------------------------------
 */

static void
judge_source(struct check *check, const struct declared_source *source)
{
	const struct subject subject = {
	    .other = check_text(check, "%s %s",
	        source->secret ? "secret" : "config", source->name),
	};
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	if (source->readable) {
		check_set(check, finding, RESULT_PASSED, "%s with %s",
		    source->origin, count_text(check, source->nkeys, "key"));
		return;
	}
	check_set(check, finding,
	    source->unresolvable ? RESULT_UNKNOWN : RESULT_FAILED,
	    "can't be read: %s", source->why);
	check_evidence(check, finding, check_place(check, &source->place),
	    check_text(check, "%s: %s", source->origin, source->why),
	    "readable");
	check_fix(check, finding,
	    "mount or create it where the manifest says, or say where it is "
	    "with --secret NAME=dir:PATH",
	    NULL, "reeve check");
	for (size_t w = 0; w < check->declared->nworkers; w++) {
		const struct declared_worker *worker =
		    &check->declared->workers[w];

		for (size_t i = 0; i < worker->env.count; i++) {
			if (!text_equal(
			        worker->env.entries[i]->ref_name, source->name))
				continue;
			report_label(
			    check->report, finding, LABEL_WORKER, worker->name);
			report_label(check->report, finding, LABEL_ENV,
			    worker->env.entries[i]->name);
		}
	}
}

static void
judge_ref(struct check *check, const struct declared_worker *worker,
    const struct declared_env *env)
{
	const struct subject subject = {
	    .worker = worker->name, .env = env->name};
	struct report_finding *finding;

	if (env->shadowed || env->ref_name == NULL || env->ref_key == NULL ||
	    env->absence == ABSENT_SOURCE)
		return;
	finding = given_begin(check, &subject, &env->place);
	if (finding == NULL)
		return;
	if (env->absence == ABSENT_NOT) {
		check_set(check, finding, RESULT_PASSED, "%s", env->source);
		return;
	}
	check_set(check, finding,
	    env->absence == ABSENT_KEY ? RESULT_FAILED : RESULT_UNKNOWN,
	    "%s: %s", env->source, env->why == NULL ? "no such key" : env->why);
	check_evidence(check, finding, check_place(check, &env->place),
	    check_text(check, "refers to key '%s' of '%s', which it has not",
	        env->ref_key, env->ref_name),
	    "a key that is there");
	check_fix(check, finding,
	    check_text(check,
	        "put the key %s into %s, or refer to the one that is meant",
	        env->ref_key, env->ref_name),
	    NULL, "reeve check");
}

void
check_rv105(struct check *check)
{
	const struct declared *declared = check->declared;

	for (size_t s = 0; s < declared->nsources; s++)
		judge_source(check, &declared->sources[s]);
	for (size_t w = 0; w < declared->nworkers; w++)
		for (size_t i = 0; i < declared->workers[w].env.count; i++)
			judge_ref(check, &declared->workers[w],
			    declared->workers[w].env.entries[i]);
}

/* --- RV122 env-empty-after-interpolation -----------------------------------
 */

static bool
judge_interpolated(struct check *check, const struct declared_worker *worker,
    const struct declared_env *env)
{
	const struct subject subject = {
	    .worker = worker->name, .env = env->name};
	bool empty = env->value != NULL && env->len == 0 && !env->literal;

	if (env->shadowed ||
	    (env->unresolved == NULL && env->absence != ABSENT_VARIABLE &&
	        !(empty && is_required(worker, env->name))))
		return false;
	struct report_finding *finding =
	    given_begin(check, &subject, &env->place);

	if (finding == NULL)
		return true;
	if (env->unresolved != NULL)
		check_set(check, finding, RESULT_FAILED,
		    "$(%s) in it is not declared before it: it stays as text",
		    env->unresolved);
	else
		check_set(check, finding, RESULT_FAILED, "it is empty");
	check_evidence(check, finding, given_source(check, env),
	    env->unresolved != NULL
	        ? check_text(check, "$(%s) is left", env->unresolved)
	        : "length 0",
	    "a value with everything in it filled in");
	check_fix(check, finding,
	    env->unresolved != NULL
	        ? check_text(check,
	              "declare %s above %s, or write $$(%s) if the text itself "
	              "is meant",
	              env->unresolved, env->name, env->unresolved)
	        : "give it a value, or take it out of requires",
	    NULL, "reeve lint");
	return true;
}

void
check_rv122(struct check *check)
{
	for (size_t w = 0; w < check->declared->nworkers; w++) {
		const struct declared_worker *worker =
		    &check->declared->workers[w];
		bool any = false;

		for (size_t i = 0; i < worker->env.count; i++)
			any |= judge_interpolated(
			    check, worker, worker->env.entries[i]);
		if (!any && worker->env.count > 0)
			given_well(
			    check, worker, "every variable is filled in whole");
	}
}

/* --- RV121 effective-config-diff -------------------------------------------
 */

/* The executable is RV318's, the queue's name RV201's, replicas are RV304's. */
static bool
is_config_drift(const struct observed_drift *drift)
{
	return !text_equal(drift->class, "executable") &&
	       !text_equal(drift->class, "queue") &&
	       !text_equal(drift->class, "replicas");
}

static void
judge_drift(struct check *check, const struct worker_look *look)
{
	const struct observed_supervisor *supervisor =
	    &check->observed->supervisor;
	bool any = false;

	if (look->supervised == NULL)
		return;
	for (size_t i = 0; i < supervisor->ndrift; i++) {
		const struct observed_drift *drift = &supervisor->drift[i];
		const struct subject subject = {
		    .worker = drift->worker,
		    .env = drift->key != NULL && drift->key[0] != '\0'
		               ? drift->key
		               : NULL,
		};

		if (!is_config_drift(drift) ||
		    !text_equal(drift->worker, look->worker->name))
			continue;
		struct report_finding *finding = check_begin(check, &subject);

		any = true;
		if (finding == NULL)
			continue;
		check_set(check, finding, RESULT_FAILED, "%s", drift->summary);
		check_evidence(check, finding, "running supervisor",
		    drift_evidence(drift), "what is declared");
		check_fix(check, finding,
		    "restart the worker so that it starts with what is "
		    "declared",
		    check_text(check, "reeve restart %s", drift->worker),
		    "reeve diff");
	}
	if (!any)
		given_well(
		    check, look->worker, "it runs with what is declared");
}

/* One that is there and can't be asked: with what the workers run, and whether
 * they keep running (5xx), nobody can say. */
static void
judge_unasked(struct check *check, const struct subject *subject)
{
	const struct observation *seen = check_observation(check, "supervisor");

	if (seen == NULL || check->declared->nworkers == 0)
		return;
	struct report_finding *finding = check_begin(check, subject);

	if (finding == NULL)
		return;
	finding->finding.required = true;
	check_set(check, finding, RESULT_UNKNOWN, "it can't be asked: %s",
	    seen->summary);
	check_evidence_of(check, finding, seen, "an answer");
	check_fix(check, finding,
	    "ask as its user or as root; where it does not answer, see what "
	    "its operator does",
	    "reeve status", "reeve check");
}

/* Everything that the supervisor says of drift is against the manifest that it
 * read itself. */
static void
judge_manifest(struct check *check)
{
	const struct subject subject = {.other = "supervisor"};
	const struct observed_supervisor *supervisor =
	    &check->observed->supervisor;
	const char *declared = check->declared->digest;

	if (supervisor->reached == RESULT_UNKNOWN) {
		judge_unasked(check, &subject);
		return;
	}
	if (supervisor->reached != RESULT_PASSED ||
	    supervisor->manifest_digest == NULL ||
	    supervisor->manifest_digest[0] == '\0' || declared[0] == '\0')
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	if (text_equal(supervisor->manifest_digest, declared)) {
		check_set(
		    check, finding, RESULT_PASSED, "it goes by this manifest");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "the supervisor goes by another manifest than this one");
	check_evidence(check, finding, "running supervisor",
	    check_text(
	        check, "manifest digest %.12s", supervisor->manifest_digest),
	    check_text(check, "%.12s (%s)", declared, check->declared->file));
	check_fix(check, finding,
	    "deploy this manifest to it and have it read again; its log says "
	    "why, when it refused to",
	    "reeve reload", "reeve status");
}

void
check_rv121(struct check *check)
{
	judge_manifest(check);
	workers_each(check, judge_drift);
}
