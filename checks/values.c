/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "base/url.h"
#include "checks/given.h"
#include "checks/names.h"
#include "checks/rows.h"

/* 1xx: the values that the workers are given, one alone and held against each
 * other. config.c has the names. */

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
	finding = given_begin(check, &subject, &env->place);
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
			    check, worker, worker->env.entries[i]);
		if (!any && worker->env.count > 0)
			given_well(check, worker,
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
		const struct declared_env *e = environment->entries[i];
		bool same = strcmp(e->name, search->env->name) == 0 ||
		            text_equal(e->ref_key, search->env->name);

		if (search->found.value != NULL || e == search->env ||
		    !e->secret || e->ref_name == NULL || e->value == NULL ||
		    !same || strcmp(e->value, search->env->value) == 0)
			continue;
		search->found = (struct holder){
		    .owner = owner,
		    .where = given_source(check, e),
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
	finding = given_begin(check, &subject, &env->place);
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
			    check, worker, worker->env.entries[i]);
		if (!any && worker->env.count > 0)
			given_well(check, worker,
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
		if (!is_shared_kind(env->entries[i]))
			continue;
		list->all[list->count] = (struct shared){
		    .env = env->entries[i],
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
	check_evidence(check, finding, given_source(check, first->env),
	    credential_difference(check, first->env->value, other->env->value),
	    "one value");
	check_evidence(check, finding, given_source(check, other->env),
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
	struct report_finding *finding =
	    given_begin(check, &subject, &env->place);

	if (finding == NULL)
		return true;
	check_set(check, finding, RESULT_FAILED, "the value has %s",
	    flaws_text(check, flaws));
	check_evidence(check, finding, given_source(check, env),
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
			any |=
			    judge_secret(check, worker, worker->env.entries[i]);
		if (!any && worker->env.count > 0)
			given_well(
			    check, worker, "its secrets are bare values");
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
	struct report_finding *finding = given_begin(check, subject, place);

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
			const struct declared_env *env = worker->env.entries[i];
			const struct subject subject = {
			    .worker = worker->name, .env = env->name};

			if (!env->shadowed && env->unresolved == NULL)
				any |= judge_url(check, &subject, &env->place,
				    given_source(check, env), env->value);
		}
		if (!any && worker->env.count > 0)
			given_well(check, worker, "its URLs parse");
	}
	for (size_t q = 0; q < declared->nqueues; q++) {
		const struct declared_queue *queue = &declared->queues[q];
		const struct subject subject = {.queue = queue->name};

		(void)judge_url(check, &subject, &queue->place,
		    check_place(check, &queue->place), queue->url);
	}
}
