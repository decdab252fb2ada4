/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "base/url.h"
#include "checks/deploy.h"
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

static const char *
env_source(struct check *check, const struct declared_env *env)
{
	return check_text(check, "%s (%s)", check_place(check, &env->place),
	    env->source == NULL ? "unknown source" : env->source);
}

/* One passed finding for a worker of which nothing is wrong, so that a green
 * report says what was looked at. */
static void
all_well(
    struct check *check, const struct declared_worker *worker, const char *what)
{
	const struct subject subject = {.worker = worker->name};
	struct report_finding *finding = check_begin(check, &subject);

	if (finding != NULL)
		check_set(check, finding, RESULT_PASSED, "%s", what);
}

/* A line that several workers share is one fault: what it causes for the others
 * follows from the first. */
static struct report_finding *
begin_at(struct check *check, const struct subject *subject,
    const struct place *place)
{
	struct report_finding *finding = check_begin(check, subject);

	if (finding != NULL && place->line > 0)
		report_label(check->report, finding, LABEL_ENDPOINT,
		    check_text(check, "%s %s", check->row->id,
		        check_place(check, place)));
	return finding;
}

/* --- RV101 env-required-missing --------------------------------------------
 */

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
		    env_source(check, env));
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
	} else {
		check_set(check, finding, RESULT_FAILED,
		    "%s is required, and %s%s%s", name,
		    env->value != NULL ? "is empty" : "has no value",
		    env->value != NULL || env->why == NULL ? "" : ": ",
		    env->value != NULL || env->why == NULL ? "" : env->why);
		check_evidence(check, finding, env_source(check, env),
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
		const struct declared_env *env = &worker->env.entries[i];
		const struct near candidate = {
		    .where = env_source(check, env),
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
	struct report_finding *finding = begin_at(check, &subject,
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
			any |= near_key(check, worker, &worker->env.entries[i]);
		for (const char *const *r = worker->requires;
		     r != NULL && *r != NULL; r++)
			any |= near_variable(check, worker, *r);
		if (!any)
			all_well(check, worker,
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
			        worker->env.entries[i].ref_name, source->name))
				continue;
			report_label(
			    check->report, finding, LABEL_WORKER, worker->name);
			report_label(check->report, finding, LABEL_ENV,
			    worker->env.entries[i].name);
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
	finding = begin_at(check, &subject, &env->place);
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
			    &declared->workers[w].env.entries[i]);
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
	struct report_finding *finding = begin_at(check, &subject, &env->place);

	if (finding == NULL)
		return true;
	if (env->unresolved != NULL)
		check_set(check, finding, RESULT_FAILED,
		    "$(%s) in it is not declared before it: it stays as text",
		    env->unresolved);
	else
		check_set(check, finding, RESULT_FAILED, "it is empty");
	check_evidence(check, finding, env_source(check, env),
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
			    check, worker, &worker->env.entries[i]);
		if (!any && worker->env.count > 0)
			all_well(
			    check, worker, "every variable is filled in whole");
	}
}

/* --- RV103 literal-secret-in-manifest --------------------------------------
 */

static bool
holds_literal_secret(struct check *check, const struct declared_env *env)
{
	return !env->shadowed && env->literal && !env->secret &&
	       env->value != NULL && env->len > 0 &&
	       (url_has_password(check->report->arena, env->value) ||
	           (name_is_secret(env->name) &&
	               strstr(env->value, "://") == NULL));
}

static bool
judge_literal(struct check *check, const struct declared_worker *worker,
    const struct declared_env *env)
{
	const struct subject subject = {
	    .worker = worker->name, .env = env->name};
	struct report_finding *finding;
	char print[FINGERPRINT_TEXT_SIZE];

	if (!holds_literal_secret(check, env))
		return false;
	finding = begin_at(check, &subject, &env->place);
	if (finding == NULL)
		return true;
	struct fingerprint value =
	    fingerprint_of(&check->key, env->value, env->len);

	check_set(check, finding, RESULT_FAILED,
	    "a %s is written into the manifest",
	    name_is_secret(env->name) ? "secret" : "URL with its password");
	check_evidence(check, finding, check_place(check, &env->place),
	    check_text(check, "literal value of length %zu, %s", env->len,
	        fingerprint_text(&value, print)),
	    "valueFrom: {secretKeyRef: …}");
	check_fix(check, finding,
	    check_text(check,
	        "take it from a secret: {name: %s, valueFrom: {secretKeyRef: "
	        "{name: …, key: %s}}}, and change the password: whoever could "
	        "read the manifest has it",
	        env->name, env->name),
	    NULL, "reeve lint");
	return true;
}

void
check_rv103(struct check *check)
{
	for (size_t w = 0; w < check->declared->nworkers; w++) {
		const struct declared_worker *worker =
		    &check->declared->workers[w];
		bool any = false;

		for (size_t i = 0; i < worker->env.count; i++)
			any |= judge_literal(
			    check, worker, &worker->env.entries[i]);
		if (!any && worker->env.count > 0)
			all_well(check, worker,
			    "no secret is written into the manifest");
	}
}

/* --- RV104 credential-divergence, RV106 same-var-different-value -----------
 */

/* One value of a variable, somewhere in the declaration. */
struct holder {
	const char *owner; /* "worker a", "producer api", "secret nexus" */
	const char *where;
	const char *value;
};

struct search {
	const struct declared_env *env; /* what is compared */
	struct holder found;
};

/* Entries of `name` in an environment that come from a secret by that key. */
static void
secret_in(struct check *check, struct search *search, const char *owner,
    const struct declared_environment *environment)
{
	for (size_t i = 0; i < environment->count; i++) {
		const struct declared_env *e = &environment->entries[i];
		bool same = strcmp(e->name, search->env->name) == 0 ||
		            text_equal(e->ref_key, search->env->name);

		if (search->found.value != NULL || e == search->env ||
		    !e->secret || e->ref_name == NULL || e->value == NULL ||
		    !same || strcmp(e->value, search->env->value) == 0)
			continue;
		search->found = (struct holder){
		    .owner = owner,
		    .where = env_source(check, e),
		    .value = e->value,
		};
	}
}

static void
secret_in_sources(struct check *check, struct search *search)
{
	const struct declared *declared = check->declared;

	for (size_t s = 0; s < declared->nsources; s++) {
		const struct declared_source *source = &declared->sources[s];

		for (size_t k = 0; source->secret && source->values != NULL &&
		                   k < source->nkeys;
		     k++) {
			const char *value = source->values[k];

			if (search->found.value != NULL || value == NULL ||
			    strcmp(source->keys[k], search->env->name) != 0 ||
			    strcmp(value, search->env->value) == 0)
				continue;
			search->found = (struct holder){
			    .owner =
			        check_text(check, "secret %s", source->name),
			    .where = check_text(check, "secret %s key %s (%s)",
			        source->name, source->keys[k],
			        check_place(check, &source->place)),
			    .value = value,
			};
		}
	}
}

/* The value that some secret holds for this variable, where it is another. */
static bool
find_divergence(struct check *check, struct search *search)
{
	const struct declared *declared = check->declared;

	secret_in_sources(check, search);
	for (size_t w = 0; w < declared->nworkers; w++)
		secret_in(check, search,
		    check_text(check, "worker %s", declared->workers[w].name),
		    &declared->workers[w].env);
	for (size_t p = 0; p < declared->nproducers; p++)
		secret_in(check, search,
		    check_text(
		        check, "producer %s", declared->producers[p].name),
		    &declared->producers[p].env);
	secret_in(check, search, "the manifest", &declared->env);
	return search->found.value != NULL;
}

/* Only the passwords of two URLs are compared where the rest is the same: the
 * message then says what it means. */
static const char *
credential_difference(struct check *check, const char *ours, const char *theirs)
{
	struct arena *arena = check->report->arena;
	struct url a, b;

	if (strstr(ours, "://") != NULL && strstr(theirs, "://") != NULL &&
	    url_parse(arena, ours, &a, NULL) == 0 &&
	    url_parse(arena, theirs, &b, NULL) == 0 && a.password != NULL &&
	    b.password != NULL && strcmp(a.password, b.password) != 0)
		return check_text(check, "passwords: %s",
		    values_differ(arena, &check->key, a.password, b.password));
	return values_differ(arena, &check->key, ours, theirs);
}

static bool
judge_divergence(struct check *check, const struct declared_worker *worker,
    const struct declared_env *env)
{
	const struct subject subject = {
	    .worker = worker->name, .env = env->name};
	struct search search = {.env = env};
	struct report_finding *finding;

	if (!holds_literal_secret(check, env) ||
	    !find_divergence(check, &search))
		return false;
	finding = begin_at(check, &subject, &env->place);
	if (finding == NULL)
		return true;
	check_set(check, finding, RESULT_FAILED,
	    "the literal in the manifest is not what %s has",
	    search.found.owner);
	check_evidence(check, finding, check_place(check, &env->place),
	    check_text(check, "literal: %s",
	        credential_difference(check, env->value, search.found.value)),
	    "the value that the secret holds");
	check_evidence(
	    check, finding, search.found.where, "holds the other value", NULL);
	check_fix(check, finding,
	    check_text(check,
	        "take %s from the secret instead of the literal: valueFrom: "
	        "{secretKeyRef: …}",
	        env->name),
	    NULL, "reeve check");
	return true;
}

void
check_rv104(struct check *check)
{
	for (size_t w = 0; w < check->declared->nworkers; w++) {
		const struct declared_worker *worker =
		    &check->declared->workers[w];
		bool any = false;

		for (size_t i = 0; i < worker->env.count; i++)
			any |= judge_divergence(
			    check, worker, &worker->env.entries[i]);
		if (!any && worker->env.count > 0)
			all_well(check, worker,
			    "no literal contradicts what a secret holds");
	}
}

/* Worth comparing between components: where something is, and as whom. A log
 * level or a pool size may well differ. What the supervisor's own environment
 * brings is one for all. */
static bool
is_shared_kind(const struct declared_env *env)
{
	return !env->shadowed && env->value != NULL && env->len > 0 &&
	       env->place.line > 0 &&
	       (strstr(env->value, "://") != NULL || env->secret ||
	           name_is_secret(env->name));
}

/* A variable, and whose it is. */
struct shared {
	const struct declared_env *env;
	const struct declared_worker *worker; /* or NULL: the producer's */
	const struct declared_producer *producer;
	size_t order; /* of declaration */
};

struct shared_list {
	struct shared *all;
	size_t count;
};

static void
add_shared(struct shared_list *list, const struct declared_environment *env,
    const struct declared_worker *worker,
    const struct declared_producer *producer)
{
	for (size_t i = 0; i < env->count; i++) {
		if (!is_shared_kind(&env->entries[i]))
			continue;
		list->all[list->count] = (struct shared){
		    .env = &env->entries[i],
		    .worker = worker,
		    .producer = producer,
		    .order = list->count,
		};
		list->count++;
	}
}

static int
by_name_and_order(const void *a, const void *b)
{
	const struct shared *x = a, *y = b;
	int names = strcmp(x->env->name, y->env->name);

	if (names != 0)
		return names;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void
collect_shared(struct check *check, struct shared_list *list)
{
	const struct declared *declared = check->declared;
	size_t max = 0;

	for (size_t w = 0; w < declared->nworkers; w++)
		max += declared->workers[w].env.count;
	for (size_t p = 0; p < declared->nproducers; p++)
		max += declared->producers[p].env.count;
	list->count = 0;
	list->all =
	    arena_array(check->report->arena, max + 1, sizeof(*list->all));
	for (size_t w = 0; w < declared->nworkers; w++)
		add_shared(list, &declared->workers[w].env,
		    &declared->workers[w], NULL);
	/* of another description the producers are among the workers too */
	for (size_t p = 0; p < declared->nproducers; p++)
		if (declared_worker_find(
		        declared, declared->producers[p].name) == NULL)
			add_shared(list, &declared->producers[p].env, NULL,
			    &declared->producers[p]);
	qsort(list->all, list->count, sizeof(*list->all), by_name_and_order);
}

static const char *
owner_text(struct check *check, const struct shared *shared)
{
	return shared->worker != NULL
	           ? check_text(check, "worker %s", shared->worker->name)
	           : check_text(check, "producer %s", shared->producer->name);
}

/* `first` is where the variable is declared first; `other` differs from it. */
static void
say_difference(
    struct check *check, const struct shared *first, const struct shared *other)
{
	const struct declared_worker *worker =
	    other->worker != NULL ? other->worker : first->worker;
	const struct subject subject = {
	    .worker = worker == NULL ? NULL : worker->name,
	    .producer = worker == NULL ? other->producer->name : NULL,
	    .env = first->env->name,
	};
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	check_set(check, finding, RESULT_FAILED,
	    "%s and %s have different values of %s", owner_text(check, first),
	    owner_text(check, other), first->env->name);
	check_evidence(check, finding, env_source(check, first->env),
	    credential_difference(check, first->env->value, other->env->value),
	    "one value");
	check_evidence(check, finding, env_source(check, other->env),
	    check_text(check, "the value of %s", owner_text(check, other)),
	    NULL);
	check_fix(check, finding,
	    check_text(check,
	        "declare %s once, at the top of the manifest or in one "
	        "secret; where two are meant, give them two names",
	        first->env->name),
	    NULL, "reeve lint");
}

void
check_rv106(struct check *check)
{
	const struct subject subject = {.other = "shared variables"};
	struct shared_list list;
	size_t first = 0, shared = 0, differ = 0;

	collect_shared(check, &list);
	for (size_t i = 1; i < list.count; i++) {
		if (strcmp(list.all[i].env->name, list.all[first].env->name) !=
		    0) {
			first = i;
			continue;
		}
		shared++;
		if (strcmp(list.all[i].env->value,
		        list.all[first].env->value) == 0)
			continue;
		differ++;
		say_difference(check, &list.all[first], &list.all[i]);
	}
	if (differ > 0 || shared == 0)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding != NULL)
		check_set(check, finding, RESULT_PASSED,
		    "what is declared more than once has one value");
}

/* --- RV127 secret-whitespace-or-double-base64 ------------------------------
 */

static const char *
flaws_text(struct check *check, unsigned flaws)
{
	static const struct {
		unsigned flaw;
		const char *text;
	} words[] = {
	    {SECRET_TRAILING_SPACE, "white space or a newline at the end"},
	    {SECRET_LEADING_SPACE, "white space at the beginning"},
	    {SECRET_QUOTED, "quotes around it that belong to a shell"},
	    {SECRET_DOUBLE_BASE64, "base64 that was encoded twice"},
	    {SECRET_BOM, "a byte order mark at the beginning"},
	};
	const char *text = "";

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if ((flaws & words[i].flaw) != 0)
			text = check_text(check, "%s%s%s", text,
			    text[0] == '\0' ? "" : "; ", words[i].text);
	return text;
}

static bool
judge_secret(struct check *check, const struct declared_worker *worker,
    const struct declared_env *env)
{
	const struct subject subject = {
	    .worker = worker->name, .env = env->name};

	if (env->shadowed || env->value == NULL || env->len == 0 ||
	    (!env->secret && !name_is_secret(env->name)))
		return false;
	unsigned flaws = secret_flaws(env->value, env->len);

	/* A key or certificate in PEM ends with a newline by right. */
	if (strstr(env->value, "-----BEGIN") != NULL)
		flaws &= ~(unsigned)SECRET_TRAILING_SPACE;
	if (flaws == 0)
		return false;
	struct report_finding *finding = begin_at(check, &subject, &env->place);

	if (finding == NULL)
		return true;
	check_set(check, finding, RESULT_FAILED, "the value has %s",
	    flaws_text(check, flaws));
	check_evidence(check, finding, env_source(check, env),
	    check_text(check, "length %zu, last byte 0x%02x", env->len,
	        (unsigned)(unsigned char)env->value[env->len - 1]),
	    "the bare value");
	check_fix(check, finding,
	    "store the value without it: printf %s, not echo; no quotes in an "
	    "env file; base64 once",
	    NULL, "reeve check");
	return true;
}

void
check_rv127(struct check *check)
{
	for (size_t w = 0; w < check->declared->nworkers; w++) {
		const struct declared_worker *worker =
		    &check->declared->workers[w];
		bool any = false;

		for (size_t i = 0; i < worker->env.count; i++)
			any |= judge_secret(
			    check, worker, &worker->env.entries[i]);
		if (!any && worker->env.count > 0)
			all_well(check, worker, "its secrets are bare values");
	}
}

/* --- RV128 url-encoding ----------------------------------------------------
 */

static bool
judge_url(struct check *check, const struct subject *subject,
    const struct place *place, const char *source, const char *value)
{
	const char *flaw =
	    value == NULL ? NULL : url_flaw(check->report->arena, value);

	if (flaw == NULL)
		return false;
	struct report_finding *finding = begin_at(check, subject, place);

	if (finding == NULL)
		return true;
	check_set(check, finding, RESULT_FAILED, "%s", flaw);
	check_evidence(check, finding, source,
	    url_shown(check->report->arena, value), "a URL that parses");
	check_fix(check, finding,
	    "percent-encode user and password: '@' %40, ':' %3A, '/' %2F, "
	    "'#' %23, '%' %25",
	    NULL, "reeve check");
	return true;
}

void
check_rv128(struct check *check)
{
	const struct declared *declared = check->declared;

	for (size_t w = 0; w < declared->nworkers; w++) {
		const struct declared_worker *worker = &declared->workers[w];
		bool any = false;

		for (size_t i = 0; i < worker->env.count; i++) {
			const struct declared_env *env =
			    &worker->env.entries[i];
			const struct subject subject = {
			    .worker = worker->name, .env = env->name};

			if (!env->shadowed && env->unresolved == NULL)
				any |= judge_url(check, &subject, &env->place,
				    env_source(check, env), env->value);
		}
		if (!any && worker->env.count > 0)
			all_well(check, worker, "its URLs parse");
	}
	for (size_t q = 0; q < declared->nqueues; q++) {
		const struct declared_queue *queue = &declared->queues[q];
		const struct subject subject = {.queue = queue->name};

		(void)judge_url(check, &subject, &queue->place,
		    check_place(check, &queue->place), queue->url);
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
		all_well(check, look->worker, "it runs with what is declared");
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
