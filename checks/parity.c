/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "checks/engine.h"
#include "checks/parity.h"
#include "checks/rows.h"

/*
 * The descriptions of one form become a declaration like reeve.yaml's: each
 * container a worker, with what reeve.yaml says that this worker requires and
 * consumes. Then the same rows judge it that judge the manifest itself; only
 * what is missing on one side is judged here.
 */

enum {
	WORDS_MAX = 16
};

struct parity {
	struct check check;
	const struct declared *declared; /* reeve.yaml's, or NULL */
	const struct foreign *foreign;
	enum foreign_format format;
	struct declared synthetic;
};

/* --- which component is which worker ---------------------------------------
 */

struct words {
	const char *at[WORDS_MAX];
	size_t len[WORDS_MAX];
	size_t count;
};

static bool
is_generic(const char *word, size_t len)
{
	static const char *const generic[] = {"worker", "workers", "consumer",
	    "processor", "deployment", "service", "app"};

	for (size_t i = 0; i < ARRAY_LEN(generic); i++)
		if (strlen(generic[i]) == len &&
		    strncasecmp(word, generic[i], len) == 0)
			return true;
	return false;
}

/* "registry:5000/nexus-fileprocess-worker:latest" is nexus, fileprocess: what
 * says no more than that it works is left out. */
static void
split(const char *name, struct words *words)
{
	const char *slash = strrchr(name, '/');
	const char *p = slash == NULL ? name : slash + 1;
	const char *end = p + strcspn(p, ":@");

	words->count = 0;
	while (p < end && words->count < WORDS_MAX) {
		size_t len = strcspn(p, "-_.:@");

		len = MIN(len, (size_t)(end - p));
		if (len > 0 && !is_generic(p, len)) {
			words->at[words->count] = p;
			words->len[words->count++] = len;
		}
		p += len;
		while (p < end && strchr("-_.", *p) != NULL)
			p++;
	}
}

/* Do the words of `name` end with those of `wanted`? So fileprocess is
 * nexus-fileprocess-worker, and not nexus-fileprocess-api. */
static bool
ends_with_words(const char *name, const char *wanted)
{
	struct words have, want;

	split(name, &have);
	split(wanted, &want);
	if (want.count == 0 || have.count < want.count)
		return false;
	for (size_t i = 0; i < want.count; i++) {
		size_t h = have.count - want.count + i;

		if (have.len[h] != want.len[i] ||
		    strncasecmp(have.at[h], want.at[i], want.len[i]) != 0)
			return false;
	}
	return true;
}

/* A name that says only "worker". */
static bool
says_only_worker(const char *name)
{
	struct words words;

	split(name, &words);
	return words.count == 0;
}

static bool
is_component_of(const struct foreign_component *component, const char *name)
{
	return text_equal(component->name, name) ||
	       text_equal(component->container, name) ||
	       ends_with_words(component->name, name) ||
	       (component->image != NULL &&
	           ends_with_words(component->image, name));
}

static const struct declared_worker *
worker_of(
    const struct parity *parity, const struct foreign_component *component)
{
	const struct declared *declared = parity->declared;

	for (size_t w = 0; declared != NULL && w < declared->nworkers; w++)
		if (is_component_of(component, declared->workers[w].name))
			return &declared->workers[w];
	/* Compose's "worker", where there is only one that it can be. */
	if (declared != NULL && declared->nworkers == 1 &&
	    says_only_worker(component->name) &&
	    (component->image == NULL || says_only_worker(component->image)))
		return &declared->workers[0];
	return NULL;
}

static const struct declared_producer *
producer_of(
    const struct parity *parity, const struct foreign_component *component)
{
	const struct declared *declared = parity->declared;

	for (size_t p = 0; declared != NULL && p < declared->nproducers; p++)
		if (is_component_of(component, declared->producers[p].name))
			return &declared->producers[p];
	return NULL;
}

/* --- a declaration made of the descriptions --------------------------------
 */

static const char *
component_title(
    struct parity *parity, const struct foreign_component *component)
{
	return check_text(&parity->check, "%s (%s)", component->name,
	    component->format == FOREIGN_COMPOSE ? "Compose" : component->kind);
}

static const struct declared_source *
declared_source_of(const struct parity *parity, const char *name)
{
	for (size_t s = 0;
	     parity->declared != NULL && s < parity->declared->nsources; s++)
		if (text_equal(parity->declared->sources[s].name, name))
			return &parity->declared->sources[s];
	return NULL;
}

static struct declared_source *
source_in(struct declared *synthetic, const char *name)
{
	for (size_t s = 0; s < synthetic->nsources; s++)
		if (text_equal(synthetic->sources[s].name, name))
			return &synthetic->sources[s];
	return NULL;
}

static void
add_source(struct parity *parity, const struct foreign_source *source)
{
	struct arena *arena = parity->check.report->arena;
	struct declared_source *to =
	    &parity->synthetic.sources[parity->synthetic.nsources++];
	const char **keys =
	    arena_array(arena, source->nkeys + 1, sizeof(*keys));
	const char **values =
	    arena_array(arena, source->nkeys + 1, sizeof(*values));

	for (size_t k = 0; k < source->nkeys; k++) {
		keys[k] = source->keys[k].name;
		values[k] = source->keys[k].value;
	}
	*to = (struct declared_source){
	    .name = source->name,
	    .secret = source->secret,
	    .kind = source->kind,
	    .origin = check_text(&parity->check, "%s", source->kind),
	    .place = source->place,
	    .readable = source->readable,
	    .why = source->why,
	    .keys = keys,
	    .values = values,
	    .nkeys = source->nkeys,
	};
}

/* "secret a": named by a component, held by no description that was given. What
 * reeve.yaml knows of it counts; else it can't be known here. */
static void
add_missing(struct parity *parity, const char *missing)
{
	const char *space = strchr(missing, ' ');
	const char *name = space == NULL ? missing : space + 1;
	const struct declared_source *known = declared_source_of(parity, name);

	if (source_in(&parity->synthetic, name) != NULL)
		return;
	struct declared_source *to =
	    &parity->synthetic.sources[parity->synthetic.nsources++];

	if (known != NULL) {
		*to = *known;
		return;
	}
	*to = (struct declared_source){
	    .name = name,
	    .secret = text_starts(missing, "secret "),
	    .kind = "",
	    .origin = "not among these files",
	    .why = "none of the given files holds it",
	    .unresolvable = true,
	};
	report_not_checked(parity->check.report,
	    "%s: none of the given files holds it", missing);
}

static bool
has_entry(const struct declared_env *entries, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(entries[i].name, name) == 0)
			return true;
	return false;
}

/* What a whole Secret would bring that only reeve.yaml knows, and what may
 * come from one that nobody knows. */
static void
add_hidden_entries(struct parity *parity, struct declared_worker *worker,
    const struct foreign_component *component)
{
	struct declared_env *entries = worker->env.entries;
	bool unknown = false;

	for (size_t m = 0; m < component->nmissing; m++) {
		const char *space = strchr(component->missing[m], ' ');
		const struct declared_source *source =
		    source_in(&parity->synthetic,
		        space == NULL ? component->missing[m] : space + 1);

		unknown = unknown || source == NULL || source->unresolvable;
		for (size_t k = 0; source != NULL && k < source->nkeys; k++) {
			const char *value =
			    source->values == NULL ? NULL : source->values[k];

			if (has_entry(
			        entries, worker->env.count, source->keys[k]))
				continue;
			entries[worker->env.count++] = (struct declared_env){
			    .name = source->keys[k],
			    .value = value,
			    .len = value == NULL ? 0 : strlen(value),
			    .secret = source->secret,
			    .place = component->place,
			    .source = check_text(
			        &parity->check, "secret %s", source->name),
			    .ref_name = source->name,
			    .ref_key = source->keys[k],
			    .absence = value == NULL ? ABSENT_UNRESOLVABLE
			                             : ABSENT_NOT,
			};
		}
	}
	for (const char *const *r = worker->requires;
	     unknown && r != NULL && *r != NULL; r++)
		if (!has_entry(entries, worker->env.count, *r))
			entries[worker->env.count++] = (struct declared_env){
			    .name = *r,
			    .place = component->place,
			    .source = "a secret that is not among these files",
			    .absence = ABSENT_UNRESOLVABLE,
			};
}

static size_t
hidden_entries_max(
    const struct parity *parity, const struct declared_worker *worker)
{
	size_t count = 0;

	for (size_t s = 0; s < parity->synthetic.nsources; s++)
		count += parity->synthetic.sources[s].nkeys;
	for (const char *const *r = worker->requires; r != NULL && *r != NULL;
	     r++)
		count++;
	return count;
}

/* What Compose fills in from the shell that starts it can't be known here. */
static void
note_shell_variables(struct parity *parity, struct declared_worker *worker)
{
	for (size_t i = 0; i < worker->env.count; i++) {
		struct declared_env *env = &worker->env.entries[i];

		if (env->unresolved == NULL)
			continue;
		report_not_checked(parity->check.report,
		    "%s: %s comes from ${%s} of the shell that starts Compose",
		    worker->name, env->name, env->unresolved);
		env->source = check_text(&parity->check,
		    "${%s} of the shell that starts Compose", env->unresolved);
		env->value = NULL;
		env->len = 0;
		env->unresolved = NULL;
		env->absence = ABSENT_UNRESOLVABLE;
	}
}

static void
add_component(struct parity *parity, const struct foreign_component *component)
{
	static const char *const no_command[] = {NULL};
	struct declared *synthetic = &parity->synthetic;
	const struct declared_worker *wanted = worker_of(parity, component);
	const struct declared_producer *producer =
	    wanted == NULL ? producer_of(parity, component) : NULL;
	struct declared_worker *worker =
	    &synthetic->workers[synthetic->nworkers++];

	*worker = (struct declared_worker){
	    .name = component_title(parity, component),
	    .place = component->place,
	    .command =
	        component->command == NULL ? no_command : component->command,
	    .replicas = component->replicas,
	    .requires = wanted == NULL ? NULL : wanted->requires,
	    .requires_place =
	        wanted == NULL ? component->place : wanted->requires_place,
	    .consumes = wanted == NULL ? NULL : wanted->consumes,
	    .nconsumes = wanted == NULL ? 0 : wanted->nconsumes,
	};
	size_t max = component->env.count + hidden_entries_max(parity, worker);

	worker->env.entries = arena_array(
	    parity->check.report->arena, max + 1, sizeof(*worker->env.entries));
	if (component->env.count > 0)
		memcpy(worker->env.entries, component->env.entries,
		    component->env.count * sizeof(*worker->env.entries));
	worker->env.count = component->env.count;
	add_hidden_entries(parity, worker, component);
	if (component->format == FOREIGN_COMPOSE)
		note_shell_variables(parity, worker);
	if (producer == NULL)
		return;
	synthetic->producers[synthetic->nproducers++] =
	    (struct declared_producer){
	        .name = worker->name,
	        .place = component->place,
	        .produces = producer->produces,
	        .nproduces = producer->nproduces,
	        .env = worker->env,
	    };
}

static bool
is_ours(const struct parity *parity, const struct foreign_component *component)
{
	return component->format == parity->format && !component->init;
}

static void
make_synthetic(struct parity *parity)
{
	const struct foreign *foreign = parity->foreign;
	struct arena *arena = parity->check.report->arena;
	struct declared *s = &parity->synthetic;
	size_t nmissing = 0;

	for (size_t c = 0; c < foreign->ncomponents; c++)
		nmissing += foreign->components[c].nmissing;
	*s = (struct declared){.arena = arena};
	s->sources = arena_array(
	    arena, foreign->nsources + nmissing + 1, sizeof(*s->sources));
	s->workers =
	    arena_array(arena, foreign->ncomponents + 1, sizeof(*s->workers));
	s->producers =
	    arena_array(arena, foreign->ncomponents + 1, sizeof(*s->producers));
	for (size_t i = 0; i < foreign->nsources; i++) {
		bool compose = text_equal(foreign->sources[i].kind, "env_file");

		if (compose == (parity->format == FOREIGN_COMPOSE))
			add_source(parity, &foreign->sources[i]);
	}
	for (size_t c = 0; c < foreign->ncomponents; c++)
		for (size_t m = 0; is_ours(parity, &foreign->components[c]) &&
		                   m < foreign->components[c].nmissing;
		     m++)
			add_missing(parity, foreign->components[c].missing[m]);
	for (size_t c = 0; c < foreign->ncomponents; c++)
		if (is_ours(parity, &foreign->components[c]))
			add_component(parity, &foreign->components[c]);
}

static void
run_rows(struct parity *parity)
{
	static const unsigned rows[] = {
	    102, 105, 122, 101, 103, 104, 106, 127, 128, 201};
	struct check *check = &parity->check;
	size_t first = check->report->nfindings;

	check->declared = &parity->synthetic;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		check->row = finding_row_number(rows[i]);
		check->row->run(check);
	}
	/* Secrets are rightly not in the repository: what can't be known for
	 * that reason doesn't make the run inconclusive. */
	for (size_t i = first; i < check->report->nfindings; i++) {
		struct finding *f = &check->report->findings[i]->finding;

		if (f->result == RESULT_UNKNOWN)
			f->required = false;
		if (f->fix_verify != NULL)
			f->fix_verify = "reeve lint";
	}
}

/* --- what is missing on one side: RV301, RV303, RV304 ----------------------
 */

static const struct foreign_component *
component_of(const struct parity *parity, const struct declared_worker *worker,
    enum foreign_format format)
{
	for (size_t c = 0; c < parity->foreign->ncomponents; c++) {
		const struct foreign_component *component =
		    &parity->foreign->components[c];

		if (component->format == format && !component->init &&
		    worker_of(parity, component) == worker)
			return component;
	}
	return NULL;
}

static size_t
count_components(const struct parity *parity, enum foreign_format format)
{
	size_t count = 0;

	for (size_t c = 0; c < parity->foreign->ncomponents; c++)
		count += parity->foreign->components[c].format == format &&
		         !parity->foreign->components[c].init;
	return count;
}

static const char *
format_name(enum foreign_format format)
{
	return format == FOREIGN_KUBERNETES ? "Kubernetes" : "Compose";
}

static const char *
first_file(const struct parity *parity, enum foreign_format format)
{
	for (size_t c = 0; c < parity->foreign->ncomponents; c++)
		if (parity->foreign->components[c].format == format)
			return parity->foreign->components[c].place.file;
	return format_name(format);
}

static void
say_elsewhere(struct parity *parity, struct report_finding *finding,
    const struct declared_worker *worker)
{
	enum foreign_format other = parity->format == FOREIGN_COMPOSE
	                                ? FOREIGN_KUBERNETES
	                                : FOREIGN_COMPOSE;
	const struct foreign_component *component =
	    component_of(parity, worker, other);

	if (component != NULL)
		check_evidence(&parity->check, finding,
		    check_place(&parity->check, &component->place),
		    check_text(&parity->check, "%s has it, as %s '%s'",
		        format_name(other), component->kind, component->name),
		    NULL);
}

static void
judge_deployed(struct parity *parity, const struct declared_worker *worker)
{
	struct check *check = &parity->check;
	const struct foreign_component *component =
	    component_of(parity, worker, parity->format);
	const struct subject subject = {
	    .other = check_text(check, "worker %s in %s", worker->name,
	        format_name(parity->format)),
	};
	struct report_finding *finding =
	    report_add(check->report, 301, &subject);

	report_label(check->report, finding, LABEL_WORKER, worker->name);
	if (component != NULL) {
		check_set(check, finding, RESULT_PASSED, "%s '%s' (%s)",
		    component->kind, component->name,
		    check_place(check, &component->place));
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "worker '%s' is declared, and %s never starts it", worker->name,
	    format_name(parity->format));
	check_evidence(check, finding, check_place(check, &worker->place),
	    check_text(check, "worker %s, %lld replicas", worker->name,
	        (long long)worker->replicas),
	    NULL);
	say_elsewhere(parity, finding, worker);
	check_evidence(check, finding, first_file(parity, parity->format),
	    check_text(check, "0 of %zu containers are it",
	        count_components(parity, parity->format)),
	    "one");
	check_fix(check, finding,
	    check_text(check, "describe it there: %s for worker %s",
	        parity->format == FOREIGN_KUBERNETES ? "a Deployment"
	                                             : "a service",
	        worker->name),
	    NULL, "reeve lint");
}

static void
judge_replicas(struct parity *parity, const struct declared_worker *worker)
{
	struct check *check = &parity->check;
	const struct foreign_component *component =
	    component_of(parity, worker, parity->format);

	if (component == NULL || component->replicas < 0 ||
	    component->format != FOREIGN_KUBERNETES)
		return;
	const struct subject subject = {
	    .other = check_text(check, "worker %s in %s", worker->name,
	        format_name(parity->format)),
	};
	struct report_finding *finding =
	    report_add(check->report, 304, &subject);

	report_label(check->report, finding, LABEL_WORKER, worker->name);
	if (component->replicas >= worker->replicas) {
		check_set(check, finding, RESULT_PASSED, "%lld",
		    (long long)component->replicas);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%lld replicas there, %lld declared",
	    (long long)component->replicas, (long long)worker->replicas);
	check_evidence(check, finding,
	    check_place(check, component->replicas_place.line == 0
	                           ? &component->place
	                           : &component->replicas_place),
	    check_text(check, "replicas: %lld", (long long)component->replicas),
	    check_text(check, "%lld (%s)", (long long)worker->replicas,
	        check_place(check, &worker->place)));
	check_fix(
	    check, finding, "make the two numbers one", NULL, "reeve lint");
}

/* Brokers and databases are often a service in Compose and something managed
 * in the cluster. */
static bool
is_infrastructure(const struct foreign_component *component)
{
	static const char *const known[] = {"redis", "valkey", "postgres",
	    "mysql", "mariadb", "rabbitmq", "nats", "kafka", "zookeeper",
	    "minio", "seaweedfs", "mongo", "elasticsearch", "localstack",
	    "traefik", "nginx", "prometheus", "grafana", "adminer", "pgbouncer",
	    "memcached"};
	const char *name =
	    component->image == NULL ? component->name : component->image;
	struct words words;

	split(name, &words);
	for (size_t w = 0; w < words.count; w++)
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			if (words.len[w] == strlen(known[i]) &&
			    strncasecmp(words.at[w], known[i], words.len[w]) ==
			        0)
				return true;
	return false;
}

static bool
has_counterpart(
    const struct parity *parity, const struct foreign_component *service)
{
	const struct declared_worker *worker = worker_of(parity, service);

	for (size_t c = 0; c < parity->foreign->ncomponents; c++) {
		const struct foreign_component *other =
		    &parity->foreign->components[c];

		if (other->format != FOREIGN_KUBERNETES || other->init)
			continue;
		if (worker != NULL ? worker_of(parity, other) == worker
		                   : is_component_of(other, service->name))
			return true;
	}
	return false;
}

static void
judge_service(struct parity *parity, const struct foreign_component *service)
{
	struct check *check = &parity->check;
	const struct subject subject = {
	    .other = check_text(check, "service %s", service->name),
	};
	const struct declared_worker *worker = worker_of(parity, service);
	struct report_finding *finding =
	    report_add(check->report, 303, &subject);

	if (worker != NULL)
		report_label(
		    check->report, finding, LABEL_WORKER, worker->name);
	if (has_counterpart(parity, service)) {
		check_set(check, finding, RESULT_PASSED, "in both");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "Compose starts '%s', Kubernetes does not", service->name);
	check_evidence(check, finding, check_place(check, &service->place),
	    check_text(check, "service %s", service->name), NULL);
	check_evidence(check, finding, first_file(parity, FOREIGN_KUBERNETES),
	    check_text(check, "0 of %zu containers are it",
	        count_components(parity, FOREIGN_KUBERNETES)),
	    "one");
	check_fix(check, finding,
	    "describe it there too, or take it out of Compose", NULL,
	    "reeve lint");
}

static void
judge_presence(struct parity *parity)
{
	const struct declared *declared = parity->declared;
	const struct foreign *foreign = parity->foreign;

	/* Where the cluster's own description is given, Compose is not where
	 * the workers are meant to run. */
	if (parity->format == FOREIGN_KUBERNETES ||
	    count_components(parity, FOREIGN_KUBERNETES) == 0)
		for (size_t w = 0; declared != NULL && w < declared->nworkers;
		     w++) {
			/* elsewhere these aren't components of their own */
			if (declared->workers[w].init ||
			    declared->workers[w].schedule.text != NULL)
				continue;
			judge_deployed(parity, &declared->workers[w]);
			judge_replicas(parity, &declared->workers[w]);
		}
	if (parity->format != FOREIGN_COMPOSE ||
	    count_components(parity, FOREIGN_KUBERNETES) == 0)
		return;
	for (size_t c = 0; c < foreign->ncomponents; c++)
		if (is_ours(parity, &foreign->components[c]) &&
		    !is_infrastructure(&foreign->components[c]))
			judge_service(parity, &foreign->components[c]);
}

void
parity_run(const struct declared *declared, const struct foreign *foreign,
    struct report *report)
{
	static const enum foreign_format formats[] = {
	    FOREIGN_KUBERNETES, FOREIGN_COMPOSE};
	const struct observed nothing = {.arena = report->arena};

	report->stages_run |= STAGE_LINT;
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		struct parity parity = {
		    .check =
		        {
		            .observed = &nothing,
		            .report = report,
		            .stages = STAGE_LINT,
		        },
		    .declared = declared,
		    .foreign = foreign,
		    .format = formats[i],
		};

		fingerprint_key_random(&parity.check.key);
		if (count_components(&parity, formats[i]) == 0)
			continue;
		make_synthetic(&parity);
		judge_presence(&parity);
		run_rows(&parity);
	}
}
