/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>

#include "base/text.h"
#include "manifests/foreign_read.h"

/* --- for the readers --- */

/* Doubles at powers of two: the count alone says when. */
static void *
grown(struct arena *arena, void *items, size_t count, size_t size)
{
	if (count != 0 && (count & (count - 1)) != 0)
		return items;
	void *more = arena_array(arena, count == 0 ? 1 : count * 2, size);
	if (count > 0)
		memcpy(more, items, count * size);
	return more;
}

static struct place
place_of(const struct foreign_reading *reading, const struct node *at)
{
	return (struct place){reading->file, at->line, at->column};
}

struct foreign_component *
foreign_add_component(struct foreign_reading *reading, const struct node *at)
{
	struct foreign *foreign = reading->foreign;

	foreign->components = grown(reading->arena, foreign->components,
	    foreign->ncomponents, sizeof(*foreign->components));
	struct foreign_component *it =
	    &foreign->components[foreign->ncomponents++];
	*it = (struct foreign_component){
	    .place = place_of(reading, at), .replicas = -1};
	return it;
}

struct foreign_source *
foreign_add_source(struct foreign_reading *reading, const struct node *at)
{
	struct foreign *foreign = reading->foreign;

	foreign->sources = grown(reading->arena, foreign->sources,
	    foreign->nsources, sizeof(*foreign->sources));
	struct foreign_source *it = &foreign->sources[foreign->nsources++];
	*it = (struct foreign_source){
	    .place = place_of(reading, at), .readable = true};
	return it;
}

void
foreign_skip(struct foreign_reading *reading, const struct node *at,
    const char *fmt, ...)
{
	struct foreign *foreign = reading->foreign;
	char text[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	foreign->skipped = grown(reading->arena, foreign->skipped,
	    foreign->nskipped, sizeof(*foreign->skipped));
	foreign->skipped[foreign->nskipped++] = arena_format(
	    reading->arena, "%s:%d: %s", reading->file, at->line, text);
}

static const struct node *
typed(struct foreign_reading *reading, const struct node *map, const char *key,
    enum node_kind kind)
{
	static const char *const names[] = {[NODE_SCALAR] = "text",
	    [NODE_SEQUENCE] = "a list",
	    [NODE_MAPPING] = "a mapping"};
	const struct node *node = node_get(map, key);
	const char *what = node == NULL ? NULL : node_not_text(node);

	if (node == NULL || text_equal(what, "empty"))
		return NULL;
	if (node->kind == kind)
		return node;
	complain(reading->complaints, node, "'%s' must be %s, not %s", key,
	    names[kind], node_what(node));
	return NULL;
}

const char *
foreign_text(
    struct foreign_reading *reading, const struct node *map, const char *key)
{
	return node_text(typed(reading, map, key, NODE_SCALAR));
}

const struct node *
foreign_list(
    struct foreign_reading *reading, const struct node *map, const char *key)
{
	return typed(reading, map, key, NODE_SEQUENCE);
}

const struct node *
foreign_map(
    struct foreign_reading *reading, const struct node *map, const char *key)
{
	return typed(reading, map, key, NODE_MAPPING);
}

int64_t
foreign_number(struct foreign_reading *reading, const struct node *map,
    const char *key, int64_t otherwise)
{
	const struct node *node = typed(reading, map, key, NODE_SCALAR);
	int64_t number = otherwise;

	if (node != NULL &&
	    text_i64(node->text, 0, INT32_MAX, &number, NULL) == -1)
		complain(reading->complaints, node,
		    "'%s' must be a whole number, not '%.60s'", key,
		    node->text);
	return number;
}

/* --- which form --- */

static enum foreign_format
format_of(const struct node *top)
{
	static const char *const ours[] = {
	    "workers", "queues", "producers", "smoke"};
	const char *version = node_text(node_get(top, "apiVersion"));

	if (version != NULL && text_starts(version, "reeve/"))
		return FOREIGN_REEVE;
	if (version != NULL && node_get(top, "kind") != NULL)
		return FOREIGN_KUBERNETES;
	if (node_get(top, "services") != NULL)
		return FOREIGN_COMPOSE;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if (node_get(top, ours[i]) != NULL)
			return FOREIGN_REEVE;
	}
	return FOREIGN_UNKNOWN;
}

static int
open_documents(const char *path, struct complaints *complaints,
    struct arena *arena, struct node **ret, struct err *err)
{
	struct buffer text;
	int rc = document_file(path, &text, err);

	if (rc == 0) {
		*ret = document_parse(&text, DOCUMENT_LOOSE, arena, complaints);
		if (*ret == NULL)
			rc =
			    err_set(err, ERR_INPUT, "'%s' can't be read", path);
	}
	buffer_wipe(&text);
	return rc;
}

int
foreign_format(const char *path, enum foreign_format *ret,
    struct manifest_errors *errors, struct arena *arena, struct err *err)
{
	struct complaints complaints;
	struct node *top = NULL;
	enum foreign_format format = FOREIGN_UNKNOWN;

	*errors = (struct manifest_errors){0};
	complaints_init(&complaints, arena, arena_text(arena, path));
	int rc = open_documents(path, &complaints, arena, &top, err);
	(void)!complaints_done(&complaints, errors);
	if (rc == -1)
		return -1;
	for (; top != NULL && format == FOREIGN_UNKNOWN; top = top->next)
		format = format_of(top);
	*ret = format;
	return 0;
}

/* --- reading --- */

int
foreign_read(const char *path, struct foreign *foreign, struct arena *arena,
    struct redactor *redactor, struct manifest_errors *errors, struct err *err)
{
	struct complaints complaints;
	struct node *top = NULL;

	*errors = (struct manifest_errors){0};
	complaints_init(&complaints, arena, arena_text(arena, path));
	struct foreign_reading reading = {.arena = arena,
	    .redactor = redactor,
	    .complaints = &complaints,
	    .foreign = foreign,
	    .file = complaints.file};
	int rc = open_documents(path, &complaints, arena, &top, err);
	for (; rc == 0 && top != NULL; top = top->next) {
		enum foreign_format format = format_of(top);
		if (text_equal(node_not_text(top), "empty"))
			continue;
		foreign->ndocuments++;
		if (format == FOREIGN_KUBERNETES)
			kubernetes_read(&reading, top);
		else if (format == FOREIGN_COMPOSE)
			compose_read(&reading, top);
		else
			foreign_skip(&reading, top,
			    "a document that is neither a Kubernetes object "
			    "nor a Compose file");
	}
	if (complaints_done(&complaints, errors) == -1)
		rc = err_set(err, ERR_INPUT, "%zu error%s in '%s'",
		    errors->count, errors->count == 1 ? "" : "s", path);
	return rc;
}

static void
redact_sources(const struct foreign *foreign, struct redactor *redactor)
{
	for (size_t i = 0; redactor != NULL && i < foreign->nsources; i++) {
		const struct foreign_source *source = &foreign->sources[i];
		for (size_t j = 0; source->secret && j < source->nkeys; j++) {
			if (source->keys[j].value != NULL)
				redactor_add(redactor, source->keys[j].value);
		}
	}
}

static void
redact_env(const struct declared_environment *env, struct redactor *redactor)
{
	for (size_t i = 0; redactor != NULL && i < env->count; i++) {
		const struct declared_env *it = env->entries[i];
		if (it->value != NULL &&
		    (it->secret || env_list_looks_secret(it->name)))
			redactor_add(redactor, it->value);
	}
}

void
foreign_resolve(
    struct foreign *foreign, struct arena *arena, struct redactor *redactor)
{
	redact_sources(foreign, redactor);
	for (size_t i = 0; i < foreign->ncomponents; i++) {
		struct foreign_component *it = &foreign->components[i];
		if (it->format == FOREIGN_KUBERNETES)
			kubernetes_resolve(foreign, it, arena);
		else
			compose_resolve(foreign, it, arena);
		redact_env(&it->env, redactor);
	}
}

const struct foreign_component *
foreign_component_find(const struct foreign *foreign, const char *name)
{
	for (size_t i = 0; i < foreign->ncomponents; i++) {
		if (text_equal(foreign->components[i].name, name))
			return &foreign->components[i];
	}
	return NULL;
}
