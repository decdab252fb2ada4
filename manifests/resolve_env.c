/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "manifests/expand.h"
#include "manifests/resolve.h"

/* --- layers --- */

static bool
inherited(const struct resolve_layers *layers, const char *name)
{
	const struct node *inherit = layers->inherit;

	if (!layers->inherits)
		return false;
	if (inherit == NULL)
		return true;
	for (const struct node *it = node_items(inherit); it != NULL;
	     it = it->next) {
		if (text_equal(it->text, name))
			return true;
	}
	return false;
}

static void
redact(const struct resolve *r, const char *name, const char *value)
{
	if (r->redactor != NULL && value != NULL && env_list_looks_secret(name))
		redactor_add(r->redactor, value);
}

/* Every worker's declaration shares the texts of what it inherits. */
static void
read_environ(struct resolve *r)
{
	const char *const *it = r->options->environ;

	for (; it != NULL && *it != NULL; it++) {
		const char *equals = strchr(*it, '=');
		if (equals == NULL || equals == *it)
			continue;
		env_list_add(r->arena, &r->environ,
		    (struct declared_env){.name = arena_bytes(r->arena, *it,
		                              (size_t)(equals - *it)),
		        .value = arena_text(r->arena, equals + 1),
		        .len = strlen(equals + 1),
		        .source = "supervisor's environment"});
	}
}

static void
add_environ(struct resolve *r, const struct resolve_layers *layers,
    struct env_list *list)
{
	for (size_t i = 0; i < r->environ.count; i++) {
		const struct declared_env *entry = r->environ.entries[i];
		if (!inherited(layers, entry->name))
			continue;
		redact(r, entry->name, entry->value);
		env_list_share(r->arena, list, entry);
	}
}

static const struct source *
resolve_source(const struct resolve *r, bool secret, const char *name)
{
	for (size_t i = 0; i < r->declared->nsources; i++) {
		const struct declared_source *it = &r->declared->sources[i];
		if (it->secret == secret && text_equal(it->name, name))
			return &r->sources[i];
	}
	assert_failed("all sources were collected", __FILE__, __LINE__);
}

struct declared_import *
resolve_imports(
    struct resolve *r, const struct resolve_layers *layers, size_t *ret_count)
{
	struct declared_import *imports =
	    arena_array(r->arena, layers->env_from_count, sizeof(*imports));
	const struct node *node = node_items(layers->env_from_node);

	for (unsigned i = 0; i < layers->env_from_count; i++) {
		const struct manifest_env_from *raw = &layers->env_from[i];
		bool secret = raw->secret_ref != NULL;
		const bool *optional = secret ? raw->secret_ref->optional
		                              : raw->config_map_ref->optional;
		const char *name =
		    secret ? raw->secret_ref->name : raw->config_map_ref->name;
		const struct source *source = resolve_source(r, secret, name);
		imports[i] =
		    (struct declared_import){.source = source->declared,
		        .prefix = raw->prefix == NULL
		                      ? ""
		                      : arena_text(r->arena, raw->prefix),
		        .optional = optional != NULL && *optional,
		        .place = resolve_place(r, node)};
		node = node->next;
	}
	*ret_count = layers->env_from_count;
	return imports;
}

static void
add_import(struct resolve *r, const struct declared_import *import,
    struct env_list *list)
{
	const struct source *source =
	    resolve_source(r, import->source->secret, import->source->name);

	if (!import->source->readable && !import->optional)
		r->unreadable_import = true;
	for (size_t i = 0; i < source->count; i++) {
		const struct source_value *value = &source->values[i];
		const char *name = *import->prefix == '\0'
		                       ? value->key
		                       : arena_format(r->arena, "%s%s",
		                             import->prefix, value->key);
		if (!env_list_takes(name))
			continue;
		env_list_add(r->arena, list,
		    (struct declared_env){.name = name,
		        .value = value->value,
		        .len = value->len,
		        .secret = import->source->secret,
		        .place = import->place,
		        .source = arena_format(r->arena, "%s %s key %s",
		            import->source->secret ? "secret" : "config",
		            import->source->name, value->key),
		        .ref_name = import->source->name,
		        .ref_key = value->key,
		        .absence =
		            value->value == NULL ? ABSENT_KEY : ABSENT_NOT,
		        .why = value->why});
	}
}

/* --- one entry of `env` --- */

static bool
add_ref(struct resolve *r, const struct manifest_value_from *from,
    struct declared_env *entry)
{
	bool secret = from->secret_key_ref != NULL;
	const char *name =
	    secret ? from->secret_key_ref->name : from->config_key_ref->name;
	const char *key =
	    secret ? from->secret_key_ref->key : from->config_key_ref->key;
	const bool *optional = secret ? from->secret_key_ref->optional
	                              : from->config_key_ref->optional;
	const struct source *source = resolve_source(r, secret, name);
	const struct source_value *value = source_find(source, key);

	entry->secret = secret;
	entry->ref_name = source->declared->name;
	entry->ref_key = arena_text(r->arena, key);
	entry->source = arena_format(r->arena, "%s %s key %s",
	    secret ? "secret" : "config", entry->ref_name, entry->ref_key);
	if (value != NULL && value->value != NULL) {
		entry->value = value->value;
		entry->len = value->len;
		return true;
	}
	if (optional != NULL && *optional)
		return false;
	if (!source->declared->readable) {
		entry->absence = source->absence;
		entry->why = source->declared->why;
	} else {
		entry->absence = ABSENT_KEY;
		entry->why = value == NULL ? "no such key" : value->why;
	}
	return true;
}

struct look {
	struct resolve *r;
	const struct env_list *list;
	struct declared_env *entry;
	const struct node *entries; /* the list in the document */
	const struct node *node;    /* of the entry */
	bool reported;
};

static const struct node *
entry_named(const struct node *entries, const char *name, size_t len)
{
	for (const struct node *it = node_items(entries); it != NULL;
	     it = it->next) {
		const char *text = node_text(node_get(it, "name"));
		if (text != NULL && strlen(text) == len &&
		    strncmp(text, name, len) == 0)
			return it;
	}
	return NULL;
}

/* A reference to itself or to what comes later, with every layer below read:
 * the validator could not know those that come by envFrom. */
static void
complain_order(struct look *look, const char *name, size_t len)
{
	const struct node *at = entry_named(look->entries, name, len);

	if (at == NULL || look->r->unreadable_import ||
	    look->r->options->environ == NULL)
		return;
	complain(look->r->complaints, node_get(look->node, "value"),
	    at == look->node ? "$(%.*s) refers to itself"
	                     : "$(%.*s) is declared only later: a reference "
	                       "sees what stands before it",
	    (int)MIN(len, 100), name);
}

static bool
look_up(void *arg, const char *name, size_t len, struct buffer *out)
{
	struct look *look = arg;
	struct declared_env *entry = look->entry;
	const struct declared_env *found = env_list_find(look->list, name, len);

	if (found != NULL && found->value != NULL) {
		entry->secret = entry->secret || found->secret;
		if (found->unresolved != NULL && entry->unresolved == NULL)
			entry->unresolved = found->unresolved;
		buffer_append(out, found->value, found->len);
		return true;
	}
	if (entry->unresolved == NULL)
		entry->unresolved = arena_bytes(look->r->arena, name, len);
	if (found == NULL) {
		complain_order(look, name, len);
		return false; /* stays as it is written */
	}
	entry->absence = ABSENT_VARIABLE;
	entry->secret = entry->secret || found->secret;
	entry->why = arena_format(look->r->arena, "$(%s) has no value: %s",
	    found->name, found->why == NULL ? "absent" : found->why);
	return false;
}

static void
add_value(struct resolve *r, const char *value, struct look *look)
{
	struct buffer text;

	look->entry->source = "literal";
	look->entry->literal = true;
	buffer_init(&text, EXPANDED_MAX);
	expand(&text, value, strlen(value), look_up, look);
	r->expanded_bytes += text.len;
	if (text.overflow || r->expanded_bytes > EXPANDED_ALL_MAX) {
		complain(r->complaints, node_get(look->node, "value"),
		    "'value' is longer than %d bytes, or all are longer than "
		    "%d, once $(…) is filled in",
		    EXPANDED_MAX, EXPANDED_ALL_MAX);
		look->entry->absence = ABSENT_VARIABLE;
		look->entry->why = "too long";
	}
	if (look->entry->absence == ABSENT_NOT) {
		look->entry->value = arena_bytes(
		    r->arena, text.len == 0 ? "" : text.data, text.len);
		look->entry->len = text.len;
	}
	buffer_wipe(&text);
}

static void
add_entries(struct resolve *r, const struct resolve_layers *layers,
    struct env_list *list)
{
	const struct node *node = node_items(layers->env_node);

	for (unsigned i = 0; i < layers->env_count; i++, node = node->next) {
		const struct manifest_env *raw = &layers->env[i];
		struct declared_env entry = {
		    .name = arena_text(r->arena, raw->name),
		    .place = resolve_place(r, node)};
		struct look look = {.r = r,
		    .list = list,
		    .entry = &entry,
		    .entries = layers->env_node,
		    .node = node};
		if (raw->value_from == NULL)
			add_value(
			    r, raw->value == NULL ? "" : raw->value, &look);
		else if (!add_ref(r, raw->value_from, &entry))
			continue;
		redact(r, entry.name, entry.value);
		env_list_add(r->arena, list, entry);
	}
}

/* --- whole environments --- */

void
resolve_top_env(struct resolve *r)
{
	struct resolve_layers layers = {.env = r->raw->env,
	    .env_count = r->raw->env_count,
	    .env_node = node_get(r->root, "env"),
	    .inherits = true};
	struct env_list list = {0};

	read_environ(r);
	add_environ(r, &layers, &list);
	size_t below = list.count;
	add_entries(r, &layers, &list);
	r->declared->env = (struct declared_environment){
	    below < list.count ? list.entries + below : NULL,
	    list.count - below};
}

/* At most so many entries; thousands of workers may have such a list. */
static size_t
room_of(const struct resolve *r, const struct resolve_layers *layers,
    const struct declared_import *imports, size_t count)
{
	size_t room = r->declared->env.count + layers->env_count;

	for (size_t i = 0; i < r->environ.count; i++)
		if (inherited(layers, r->environ.entries[i]->name))
			room++;
	for (size_t i = 0; i < count; i++)
		room += resolve_source(
		    r, imports[i].source->secret, imports[i].source->name)
		            ->count;
	return room;
}

void
resolve_env(struct resolve *r, const struct resolve_layers *layers,
    struct env_list *list)
{
	size_t count = 0;
	struct declared_import *imports = resolve_imports(r, layers, &count);
	const struct declared_environment *top = &r->declared->env;

	env_list_reserve(r->arena, list, room_of(r, layers, imports, count));
	add_environ(r, layers, list);
	for (size_t i = 0; i < top->count; i++)
		env_list_share(r->arena, list, top->entries[i]);
	for (size_t i = 0; i < count; i++)
		add_import(r, &imports[i], list);
	add_entries(r, layers, list);
}

void
resolve_bindings_env(struct resolve *r, const struct declared_binding *bindings,
    size_t count, struct env_list *list)
{
	for (size_t i = 0; i < count; i++) {
		const struct declared_binding *it = &bindings[i];
		if (it->env == NULL || it->queue->real_name == NULL ||
		    env_list_find(list, it->env, strlen(it->env)) != NULL)
			continue;
		env_list_add(r->arena, list,
		    (struct declared_env){.name = it->env,
		        .value = it->queue->real_name,
		        .len = strlen(it->queue->real_name),
		        .place = it->place,
		        .source = arena_format(
		            r->arena, "queue %s", it->queue->name)});
	}
}
