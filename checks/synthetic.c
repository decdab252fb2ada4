/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "checks/component.h"
#include "checks/synthetic.h"

struct making {
	struct check *check;
	const struct declared *declared; /* reeve.yaml's, or NULL */
	const struct foreign *foreign;
	enum foreign_format format;
	struct declared *made;
};

static const char *
component_title(
    struct making *making, const struct foreign_component *component)
{
	return check_text(making->check, "%s (%s)", component->name,
	    component->format == FOREIGN_COMPOSE ? "Compose" : component->kind);
}

static const struct declared_source *
declared_source_of(const struct making *making, const char *name)
{
	for (size_t s = 0;
	     making->declared != NULL && s < making->declared->nsources; s++)
		if (text_equal(making->declared->sources[s].name, name))
			return &making->declared->sources[s];
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
add_source(struct making *making, const struct foreign_source *source)
{
	struct arena *arena = making->check->report->arena;
	struct declared_source *to =
	    &making->made->sources[making->made->nsources++];
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
	    .origin = check_text(making->check, "%s", source->kind),
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
add_missing(struct making *making, const char *missing)
{
	const char *space = strchr(missing, ' ');
	const char *name = space == NULL ? missing : space + 1;
	const struct declared_source *known = declared_source_of(making, name);

	if (source_in(making->made, name) != NULL)
		return;
	struct declared_source *to =
	    &making->made->sources[making->made->nsources++];

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
	report_not_checked(making->check->report,
	    "%s: none of the given files holds it", missing);
}

static bool
has_entry(const struct declared_environment *env, const char *name)
{
	for (size_t i = 0; i < env->count; i++)
		if (strcmp(env->entries[i]->name, name) == 0)
			return true;
	return false;
}

/* There is room for it. */
static void
add_entry(struct check *check, struct declared_worker *worker,
    const struct declared_env *entry)
{
	struct declared_env *own =
	    arena_alloc(check->report->arena, sizeof(*own));

	*own = *entry;
	worker->env.entries[worker->env.count++] = own;
}

/* What a whole Secret would bring that only reeve.yaml knows, and what may
 * come from one that nobody knows. */
static void
add_hidden_entries(struct making *making, struct declared_worker *worker,
    const struct foreign_component *component)
{
	bool unknown = false;

	for (size_t m = 0; m < component->nmissing; m++) {
		const char *space = strchr(component->missing[m], ' ');
		const struct declared_source *source = source_in(making->made,
		    space == NULL ? component->missing[m] : space + 1);

		unknown = unknown || source == NULL || source->unresolvable;
		for (size_t k = 0; source != NULL && k < source->nkeys; k++) {
			const char *value =
			    source->values == NULL ? NULL : source->values[k];

			if (has_entry(&worker->env, source->keys[k]))
				continue;
			const struct declared_env entry = {
			    .name = source->keys[k],
			    .value = value,
			    .len = value == NULL ? 0 : strlen(value),
			    .secret = source->secret,
			    .place = component->place,
			    .source = check_text(
			        making->check, "secret %s", source->name),
			    .ref_name = source->name,
			    .ref_key = source->keys[k],
			    .absence = value == NULL ? ABSENT_UNRESOLVABLE
			                             : ABSENT_NOT,
			};
			add_entry(making->check, worker, &entry);
		}
	}
	for (const char *const *r = worker->requires;
	     unknown && r != NULL && *r != NULL; r++) {
		const struct declared_env entry = {
		    .name = *r,
		    .place = component->place,
		    .source = "a secret that is not among these files",
		    .absence = ABSENT_UNRESOLVABLE,
		};
		if (!has_entry(&worker->env, *r))
			add_entry(making->check, worker, &entry);
	}
}

static size_t
hidden_entries_max(
    const struct making *making, const struct declared_worker *worker)
{
	size_t count = 0;

	for (size_t s = 0; s < making->made->nsources; s++)
		count += making->made->sources[s].nkeys;
	for (const char *const *r = worker->requires; r != NULL && *r != NULL;
	     r++)
		count++;
	return count;
}

/* What Compose fills in from the shell that starts it can't be known here. */
static void
note_shell_variables(struct making *making, struct declared_worker *worker)
{
	for (size_t i = 0; i < worker->env.count; i++) {
		const struct declared_env *from = worker->env.entries[i];

		if (from->unresolved == NULL)
			continue;
		struct declared_env *env =
		    arena_alloc(making->check->report->arena, sizeof(*env));
		*env = *from;
		worker->env.entries[i] = env;
		report_not_checked(making->check->report,
		    "%s: %s comes from ${%s} of the shell that starts Compose",
		    worker->name, env->name, env->unresolved);
		env->source = check_text(making->check,
		    "${%s} of the shell that starts Compose", env->unresolved);
		env->value = NULL;
		env->len = 0;
		env->unresolved = NULL;
		env->absence = ABSENT_UNRESOLVABLE;
	}
}

static void
add_component(struct making *making, const struct foreign_component *component)
{
	static const char *const no_command[] = {NULL};
	struct declared *synthetic = making->made;
	const struct declared_worker *wanted =
	    component_worker(making->declared, component);
	const struct declared_producer *producer =
	    wanted == NULL ? component_producer(making->declared, component)
	                   : NULL;
	struct declared_worker *worker =
	    &synthetic->workers[synthetic->nworkers++];

	*worker = (struct declared_worker){
	    .name = component_title(making, component),
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
	size_t max = component->env.count + hidden_entries_max(making, worker);

	worker->env.entries = arena_array(making->check->report->arena, max + 1,
	    sizeof(struct declared_env *));
	if (component->env.count > 0)
		memcpy(worker->env.entries, component->env.entries,
		    component->env.count * sizeof(struct declared_env *));
	worker->env.count = component->env.count;
	add_hidden_entries(making, worker, component);
	if (component->format == FOREIGN_COMPOSE)
		note_shell_variables(making, worker);
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

void
synthetic_make(struct check *check, const struct declared *declared,
    const struct foreign *foreign, enum foreign_format format,
    struct declared *ret)
{
	struct arena *arena = check->report->arena;
	struct making making = {.check = check,
	    .declared = declared,
	    .foreign = foreign,
	    .format = format,
	    .made = ret};
	size_t nmissing = 0;

	for (size_t c = 0; c < foreign->ncomponents; c++)
		nmissing += foreign->components[c].nmissing;
	*ret = (struct declared){.arena = arena};
	ret->sources = arena_array(
	    arena, foreign->nsources + nmissing + 1, sizeof(*ret->sources));
	ret->workers =
	    arena_array(arena, foreign->ncomponents + 1, sizeof(*ret->workers));
	ret->producers = arena_array(
	    arena, foreign->ncomponents + 1, sizeof(*ret->producers));
	for (size_t i = 0; i < foreign->nsources; i++) {
		bool compose = text_equal(foreign->sources[i].kind, "env_file");

		if (compose == (format == FOREIGN_COMPOSE))
			add_source(&making, &foreign->sources[i]);
	}
	for (size_t c = 0; c < foreign->ncomponents; c++)
		for (size_t m = 0;
		     component_is_of(&foreign->components[c], format) &&
		     m < foreign->components[c].nmissing;
		     m++)
			add_missing(&making, foreign->components[c].missing[m]);
	for (size_t c = 0; c < foreign->ncomponents; c++)
		if (component_is_of(&foreign->components[c], format))
			add_component(&making, &foreign->components[c]);
}
