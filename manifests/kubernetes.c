/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>

#include <openssl/evp.h>

#include "base/text.h"
#include "manifests/expand.h"
#include "manifests/foreign_read.h"

enum {
	VALUE_MAX = 128 * 1024
};

/* --- ConfigMap and Secret --- */

/* Strict, white space aside; NULL when it isn't base64. */
static char *
decoded(struct arena *arena, const char *text, size_t *ret_len)
{
	size_t n = 0, padding = 0, len = strlen(text);
	unsigned char *bare = arena_alloc(arena, len + 1);
	unsigned char *out = arena_alloc(arena, len + 4);

	for (const char *p = text; *p != '\0'; p++) {
		if (!isspace((unsigned char)*p))
			bare[n++] = (unsigned char)*p;
	}
	while (padding < n && bare[n - 1 - padding] == '=')
		padding++;
	if (n % 4 != 0 || padding > 2)
		return NULL;
	int size = n == 0 ? 0 : EVP_DecodeBlock(out, bare, (int)n);
	if (size < 0)
		return NULL;
	*ret_len = (size_t)size - padding;
	out[*ret_len] = '\0';
	return (char *)out;
}

static void
take_keys(struct foreign_reading *reading, struct foreign_source *source,
    const struct node *data, bool encoded)
{
	struct foreign_key *keys = NULL;
	size_t count = data == NULL ? 0 : data->count;

	if (count == 0)
		return;
	keys =
	    arena_array(reading->arena, source->nkeys + count, sizeof(*keys));
	if (source->nkeys > 0)
		memcpy(keys, source->keys, source->nkeys * sizeof(*keys));
	source->keys = keys;
	for (const struct node *it = data->first; it != NULL; it = it->next) {
		struct foreign_key *key = &keys[source->nkeys++];
		key->name = it->key->text;
		key->place = (struct place){
		    reading->file, it->key->line, it->key->column};
		if (it->kind != NODE_SCALAR) {
			complain(reading->complaints, it,
			    "the value of '%.60s' must be text, not %s",
			    key->name, node_what(it));
			continue;
		}
		key->value = it->text;
		key->len = it->len;
		if (!encoded)
			continue;
		key->value = decoded(reading->arena, it->text, &key->len);
		key->encoding_broken = key->value == NULL;
		/* Binary content is there, but can't be a variable. */
		if (key->value != NULL && strlen(key->value) != key->len)
			key->value = NULL;
	}
}

static void
read_source(struct foreign_reading *reading, const struct node *document,
    bool secret, const char *name, const char *space)
{
	struct foreign_source *source = foreign_add_source(reading, document);

	source->secret = secret;
	source->kind = secret ? "Secret" : "ConfigMap";
	source->name = name;
	source->space = space;
	take_keys(
	    reading, source, foreign_map(reading, document, "data"), secret);
	if (secret)
		take_keys(reading, source,
		    foreign_map(reading, document, "stringData"), false);
}

/* --- workloads --- */

static size_t
take_words(struct foreign_reading *reading, const struct node *list,
    const char **words, size_t n)
{
	for (const struct node *it = node_items(list); it != NULL;
	     it = it->next) {
		if (it->kind == NODE_SCALAR)
			words[n++] = it->text;
		else
			complain(reading->complaints, it,
			    "an argument must be text, not %s", node_what(it));
	}
	return n;
}

static const char *const *
command_of(struct foreign_reading *reading, const struct node *container)
{
	const struct node *command =
	    foreign_list(reading, container, "command");
	const struct node *args = foreign_list(reading, container, "args");
	const char **words;

	if (command == NULL && args == NULL)
		return NULL;
	words = arena_array(reading->arena,
	    (command == NULL ? 0 : command->count) +
	        (args == NULL ? 0 : args->count) + 1,
	    sizeof(*words));
	size_t n = take_words(reading, command, words, 0);
	(void)take_words(reading, args, words, n);
	return words;
}

/* As the API server would: names are there, values are text. */
static void
check_env(struct foreign_reading *reading, const struct node *env)
{
	for (const struct node *it = node_items(env); it != NULL;
	     it = it->next) {
		const struct node *value = node_get(it, "value");
		const char *what = value == NULL ? NULL : node_not_text(value);
		if (node_text(node_get(it, "name")) == NULL)
			complain(reading->complaints, it,
			    "an entry of 'env' without 'name'");
		if (value != NULL && value->kind != NODE_SCALAR)
			complain(reading->complaints, value,
			    "'value' must be text, not %s", node_what(value));
		else if (what != NULL && !text_equal(what, "empty"))
			complain(reading->complaints, value,
			    "'value' must be text, and this is %s: put it in "
			    "quotes",
			    what);
	}
}

struct workload {
	const char *kind, *name, *space;
	int64_t replicas;
	const struct node *replicas_node;
};

static void
read_container(struct foreign_reading *reading, const struct workload *workload,
    const struct node *container, bool init)
{
	struct foreign_raw *raw = arena_alloc(reading->arena, sizeof(*raw));

	if (container->kind != NODE_MAPPING) {
		complain(reading->complaints, container,
		    "a container must be a mapping, not %s",
		    node_what(container));
		return;
	}
	raw->env = foreign_list(reading, container, "env");
	raw->env_from = foreign_list(reading, container, "envFrom");
	check_env(reading, raw->env);
	struct foreign_component *to =
	    foreign_add_component(reading, container);
	to->format = FOREIGN_KUBERNETES;
	to->kind = workload->kind;
	to->name = workload->name;
	to->space = workload->space;
	to->container = foreign_text(reading, container, "name");
	to->image = foreign_text(reading, container, "image");
	to->init = init;
	to->replicas = workload->replicas;
	if (workload->replicas_node != NULL)
		to->replicas_place =
		    (struct place){reading->file, workload->replicas_node->line,
		        workload->replicas_node->column};
	to->command = command_of(reading, container);
	to->raw = raw;
}

static void
read_pod(struct foreign_reading *reading, const struct workload *workload,
    const struct node *spec, const struct node *at, size_t before)
{
	const struct node *containers =
	    foreign_list(reading, spec, "containers");
	const struct node *inits =
	    foreign_list(reading, spec, "initContainers");

	if (containers == NULL) {
		/* unless something on the way there was wrong already */
		if (reading->complaints->count == before)
			complain(reading->complaints, at,
			    "a %s without containers", workload->kind);
		return;
	}
	for (const struct node *it = node_items(inits); it != NULL;
	     it = it->next)
		read_container(reading, workload, it, true);
	for (const struct node *it = node_items(containers); it != NULL;
	     it = it->next)
		read_container(reading, workload, it, false);
}

/* Where the pod's spec lies below the object, and whether it has replicas. */
static const struct {
	const char *kind;
	const char *path[5];
	int64_t replicas; /* the default; -1: the kind has none */
} workloads[] = {
    {"Deployment", {"spec", "template", "spec"}, 1},
    {"StatefulSet", {"spec", "template", "spec"}, 1},
    {"ReplicaSet", {"spec", "template", "spec"}, 1},
    {"ReplicationController", {"spec", "template", "spec"}, 1},
    {"DaemonSet", {"spec", "template", "spec"}, -1},
    {"Job", {"spec", "template", "spec"}, -1},
    {"CronJob", {"spec", "jobTemplate", "spec", "template", "spec"}, -1},
    {"Pod", {"spec"}, 1},
};

static bool
read_workload(struct foreign_reading *reading, const struct node *document,
    struct workload *workload)
{
	for (size_t i = 0; i < ARRAY_LEN(workloads); i++) {
		const struct node *spec = document;
		size_t before = reading->complaints->count;
		if (!text_equal(workloads[i].kind, workload->kind))
			continue;
		for (size_t j = 0; j < ARRAY_LEN(workloads[i].path) &&
		                   workloads[i].path[j] != NULL && spec != NULL;
		     j++)
			spec = foreign_map(reading, spec, workloads[i].path[j]);
		const struct node *own = node_get(document, "spec");
		workload->replicas = workloads[i].replicas;
		if (workload->replicas != -1) {
			workload->replicas_node = node_get(own, "replicas");
			workload->replicas =
			    foreign_number(reading, own, "replicas", 1);
		}
		read_pod(reading, workload, spec, document, before);
		return true;
	}
	return false;
}

void
kubernetes_read(struct foreign_reading *reading, const struct node *document)
{
	const struct node *metadata =
	    foreign_map(reading, document, "metadata");
	struct workload workload = {
	    .kind = foreign_text(reading, document, "kind"),
	    .name = foreign_text(reading, metadata, "name"),
	    .space = foreign_text(reading, metadata, "namespace")};

	if (workload.kind == NULL)
		return;
	if (text_equal(workload.kind, "List")) {
		/* One level: a list within a list is nothing that is used. */
		const struct node *it =
		    node_items(foreign_list(reading, document, "items"));
		for (; it != NULL; it = it->next) {
			if (!text_equal(
			        node_text(node_get(it, "kind")), "List"))
				kubernetes_read(reading, it);
		}
		return;
	}
	if (workload.name == NULL)
		workload.name = "";
	if (text_equal(workload.kind, "ConfigMap"))
		read_source(
		    reading, document, false, workload.name, workload.space);
	else if (text_equal(workload.kind, "Secret"))
		read_source(
		    reading, document, true, workload.name, workload.space);
	else if (!read_workload(reading, document, &workload))
		foreign_skip(reading, document, "%s '%s' is not read",
		    workload.kind, workload.name);
}

/* --- resolving --- */

struct resolving {
	const struct foreign *foreign;
	struct foreign_component *component;
	struct arena *arena;
	struct env_list list;
	const char **missing;
	size_t nmissing, missing_cap;
};

static const struct foreign_source *
source_of(const struct resolving *r, bool secret, const char *name)
{
	const char *kind = secret ? "Secret" : "ConfigMap";

	for (size_t i = 0; i < r->foreign->nsources; i++) {
		const struct foreign_source *it = &r->foreign->sources[i];
		if (text_equal(it->kind, kind) && text_equal(it->name, name) &&
		    (it->space == NULL || r->component->space == NULL ||
		        text_equal(it->space, r->component->space)))
			return it;
	}
	return NULL;
}

static const struct foreign_key *
key_of(const struct foreign_source *source, const char *name)
{
	/* The last one: stringData wins over data. */
	for (size_t i = source->nkeys; i > 0; i--) {
		if (text_equal(source->keys[i - 1].name, name))
			return &source->keys[i - 1];
	}
	return NULL;
}

static void
note_missing(struct resolving *r, bool secret, const char *name)
{
	const char *what =
	    arena_format(r->arena, "%s %s", secret ? "secret" : "config", name);

	for (size_t i = 0; i < r->nmissing; i++) {
		if (text_equal(r->missing[i], what))
			return;
	}
	if (r->nmissing + 1 >= r->missing_cap) {
		size_t cap = MAX(r->missing_cap * 2, 8);
		const char **more = arena_array(r->arena, cap, sizeof(*more));
		if (r->nmissing > 0)
			memcpy(more, r->missing, r->nmissing * sizeof(*more));
		r->missing = more;
		r->missing_cap = cap;
	}
	r->missing[r->nmissing++] = what;
}

static bool
is_true(const struct node *node)
{
	return text_equal(node_text(node), "true");
}

static struct place
here(const struct resolving *r, const struct node *node)
{
	return (struct place){
	    r->component->place.file, node->line, node->column};
}

static const char *
named_source(
    const struct resolving *r, bool secret, const char *name, const char *key)
{
	return arena_format(
	    r->arena, "%s %s key %s", secret ? "secret" : "config", name, key);
}

static void
import(struct resolving *r, const struct node *item)
{
	const struct node *secret_ref = node_get(item, "secretRef");
	bool secret = secret_ref != NULL;
	const struct node *ref =
	    secret ? secret_ref : node_get(item, "configMapRef");
	const char *name = node_text(node_get(ref, "name"));
	const char *prefix = node_text(node_get(item, "prefix"));

	if (name == NULL)
		return;
	const struct foreign_source *source = source_of(r, secret, name);
	if (source == NULL) {
		if (!is_true(node_get(ref, "optional")))
			note_missing(r, secret, name);
		return;
	}
	for (size_t i = 0; i < source->nkeys; i++) {
		const struct foreign_key *key = &source->keys[i];
		const char *variable = arena_format(
		    r->arena, "%s%s", prefix == NULL ? "" : prefix, key->name);
		if (!env_list_takes(variable))
			continue;
		env_list_add(r->arena, &r->list,
		    (struct declared_env){.name = variable,
		        .value = key->value,
		        .len = key->len,
		        .secret = secret,
		        .place = here(r, item),
		        .source = named_source(r, secret, name, key->name),
		        .ref_name = name,
		        .ref_key = key->name,
		        .absence = key->value == NULL ? ABSENT_KEY : ABSENT_NOT,
		        .why = key->value == NULL ? "it is not text" : NULL});
	}
}

static bool
take_ref(struct resolving *r, const struct node *from, bool secret,
    struct declared_env *entry)
{
	const struct node *ref =
	    node_get(from, secret ? "secretKeyRef" : "configMapKeyRef");
	const char *name = node_text(node_get(ref, "name"));
	const char *key = node_text(node_get(ref, "key"));

	if (name == NULL || key == NULL)
		return false;
	const struct foreign_source *source = source_of(r, secret, name);
	const struct foreign_key *found =
	    source == NULL ? NULL : key_of(source, key);
	entry->secret = secret;
	entry->ref_name = name;
	entry->ref_key = key;
	entry->source = named_source(r, secret, name, key);
	if (found != NULL && found->value != NULL) {
		entry->value = found->value;
		entry->len = found->len;
		return true;
	}
	if (is_true(node_get(ref, "optional")))
		return false;
	entry->absence = source == NULL ? ABSENT_UNRESOLVABLE : ABSENT_KEY;
	entry->why = "no such key";
	if (source == NULL) {
		note_missing(r, secret, name);
		entry->why = "no description holds it";
	} else if (found != NULL) {
		entry->why = found->encoding_broken ? "it is not base64"
		                                    : "it is not text";
	}
	return true;
}

struct look {
	struct resolving *r;
	struct declared_env *entry;
};

static bool
look_up(void *arg, const char *name, size_t len, struct buffer *out)
{
	struct look *look = arg;
	const struct declared_env *found =
	    env_list_find(&look->r->list, name, len);

	if (found != NULL)
		look->entry->secret = look->entry->secret || found->secret;
	if (found != NULL && found->value != NULL) {
		buffer_append(out, found->value, found->len);
		return true;
	}
	if (look->entry->unresolved == NULL)
		look->entry->unresolved =
		    arena_bytes(look->r->arena, name, len);
	return false;
}

static void
take_value(
    struct resolving *r, const struct node *value, struct declared_env *entry)
{
	struct look look = {r, entry};
	struct buffer text;

	entry->literal = true;
	entry->source = "literal";
	buffer_init(&text, VALUE_MAX);
	if (value != NULL && value->kind == NODE_SCALAR)
		expand(&text, value->text, value->len, look_up, &look);
	if (text.overflow) {
		entry->absence = ABSENT_VARIABLE;
		entry->why = "too long once $(…) is filled in";
	} else {
		entry->value = arena_bytes(
		    r->arena, text.len == 0 ? "" : text.data, text.len);
		entry->len = text.len;
	}
	buffer_wipe(&text);
}

static void
add_entry(struct resolving *r, const struct node *item)
{
	const struct node *from = node_get(item, "valueFrom");
	struct declared_env entry = {
	    .name = node_text(node_get(item, "name")), .place = here(r, item)};

	if (entry.name == NULL)
		return;
	if (from == NULL) {
		take_value(r, node_get(item, "value"), &entry);
	} else if (node_get(from, "secretKeyRef") != NULL ||
	           node_get(from, "configMapKeyRef") != NULL) {
		bool secret = node_get(from, "secretKeyRef") != NULL;
		if (!take_ref(r, from, secret, &entry))
			return;
	} else {
		entry.source = "the pod";
		entry.absence = ABSENT_UNRESOLVABLE;
		entry.why = "known only where it runs";
	}
	env_list_add(r->arena, &r->list, entry);
}

void
kubernetes_resolve(struct foreign *foreign, struct foreign_component *component,
    struct arena *arena)
{
	struct resolving r = {
	    .foreign = foreign, .component = component, .arena = arena};
	const struct foreign_raw *raw = component->raw;

	for (const struct node *it = node_items(raw->env_from); it != NULL;
	     it = it->next)
		import(&r, it);
	for (const struct node *it = node_items(raw->env); it != NULL;
	     it = it->next)
		add_entry(&r, it);
	component->env =
	    (struct declared_environment){r.list.entries, r.list.count};
	component->missing = r.missing;
	component->nmissing = r.nmissing;
}
