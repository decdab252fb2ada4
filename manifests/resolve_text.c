/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/jsonw.h"
#include "base/text.h"
#include "manifests/expand.h"
#include "manifests/resolve.h"

enum {
	REQUEST_MAX = 4 * 1024 * 1024
};

struct look {
	struct resolve *r;
	const struct node *node;
	struct resolved_text *result;
	const char *why; /* beside the name, when it isn't simply absent */
};

/* The worker that has the variable; another with another value makes it
 * nobody's: a check must not speak for one of them only. */
static const struct declared_env *
of_workers(struct look *look, const char *name)
{
	const struct declared *declared = look->r->declared;
	const struct declared_env *found = NULL;
	const char *whose = NULL;

	for (size_t i = 0; i < declared->nworkers; i++) {
		const struct declared_worker *worker = &declared->workers[i];
		const struct declared_env *it =
		    declared_env_find(&worker->env, name);
		if (it == NULL ||
		    text_equal(it->source, "supervisor's environment"))
			continue;
		if (found != NULL && !text_equal(found->value, it->value)) {
			look->why = arena_format(look->r->arena,
			    "%s (workers %s and %s differ)", name, whose,
			    worker->name);
			return NULL;
		}
		if (found == NULL)
			whose = worker->name;
		found = it;
	}
	return found;
}

static bool
of_environ(struct look *look, const char *name, struct buffer *out)
{
	const char *const *it = look->r->options->environ;
	size_t len = strlen(name);

	for (; it != NULL && *it != NULL; it++) {
		if (strncmp(*it, name, len) == 0 && (*it)[len] == '=') {
			buffer_text(out, *it + len + 1);
			return true;
		}
	}
	return false;
}

static bool
look_up(void *arg, const char *text, size_t len, struct buffer *out)
{
	struct look *look = arg;
	struct resolve *r = look->r;
	const char *name = arena_bytes(r->arena, text, len);

	if (text_equal(name, "CANARY") || text_equal(name, "JOB"))
		return false; /* bound or filled in by whoever asks */
	const struct declared_env *found =
	    declared_env_find(&r->declared->env, name);
	if (found == NULL)
		found = of_workers(look, name);
	if (found != NULL && found->value != NULL &&
	    found->unresolved == NULL) {
		look->result->secret = look->result->secret || found->secret;
		buffer_append(out, found->value, found->len);
		return true;
	}
	if (found == NULL && look->why == NULL && of_environ(look, name, out))
		return true;
	if (found == NULL && look->why == NULL && !r->unreadable_import &&
	    r->options->environ != NULL)
		complain(r->complaints, look->node,
		    "$(%s) is declared nowhere: not in 'env', in a worker's "
		    "environment or in the supervisor's",
		    name);
	if (look->result->unresolved == NULL)
		look->result->unresolved = look->why == NULL ? name : look->why;
	look->why = NULL;
	return false;
}

struct resolved_text
resolve_text(struct resolve *r, const char *text, const struct node *node)
{
	struct resolved_text result = {0};
	struct look look = {.r = r, .node = node, .result = &result};
	struct buffer out;

	buffer_init(&out, DOCUMENT_BYTES_MAX);
	expand(&out, text, strlen(text), look_up, &look);
	r->expanded_bytes += out.len;
	if (out.overflow || r->expanded_bytes > EXPANDED_ALL_MAX) {
		complain(r->complaints, node,
		    "this is too long once $(…) is filled in");
		result.unresolved = "too long";
	}
	if (result.unresolved == NULL)
		result.text = arena_bytes(
		    r->arena, out.len == 0 ? "" : out.data, out.len);
	buffer_wipe(&out);
	return result;
}

/* --- requests --- */

struct writing {
	struct resolve *r;
	struct jsonw json;
	const char *unresolved;
};

static void
write_scalar(struct writing *writing, const struct row *row, const char *key,
    const struct node *node)
{
	int64_t number = 0;

	if (row->type == ROW_INT || row->type == ROW_INTS) {
		(void)!text_i64(node->text, row->min, row->max, &number, NULL);
		jsonw_i64(&writing->json, key, number);
		return;
	}
	if (row->type == ROW_FLAG) {
		jsonw_bool(&writing->json, key, text_equal(node->text, "true"));
		return;
	}
	if ((row->flags & F_EXPAND) == 0) {
		jsonw_text(&writing->json, key, node->text);
		return;
	}
	struct resolved_text text = resolve_text(writing->r, node->text, node);
	if (text.unresolved != NULL && writing->unresolved == NULL)
		writing->unresolved = text.unresolved;
	jsonw_text(&writing->json, key, text.text);
}

static void write_mapping(struct writing *writing,
    const struct mapping *mapping, const struct node *node);

/* A look's own `subject` would be the request's, which names who asks. */
static const char *
wire_key(const struct row *row)
{
	return text_equal(row->key, "subject") ? "natsSubject" : row->key;
}

static void
write_row(
    struct writing *writing, const struct row *row, const struct node *node)
{
	const struct node *it = node->first;

	switch (row->type) {
	case ROW_TEXT:
	case ROW_WORD:
	case ROW_INT:
	case ROW_FLAG:
		write_scalar(writing, row, wire_key(row), node);
		return;
	case ROW_TEXTS:
	case ROW_INTS:
	case ROW_NAMES:
		jsonw_array(&writing->json, row->key);
		for (; it != NULL; it = it->next)
			write_scalar(writing, row, NULL, it);
		jsonw_end(&writing->json);
		return;
	case ROW_PAIRS:
	case ROW_EMPTY:
		jsonw_object(&writing->json, row->key);
		for (; it != NULL; it = it->next)
			write_scalar(writing, row, it->key->text, it);
		jsonw_end(&writing->json);
		return;
	case ROW_MAP:
		jsonw_object(&writing->json, row->key);
		write_mapping(writing, mapping_of(row->sub), node);
		jsonw_end(&writing->json);
		return;
	case ROW_LIST:
		jsonw_array(&writing->json, row->key);
		for (; it != NULL; it = it->next) {
			jsonw_object(&writing->json, NULL);
			write_mapping(writing, mapping_of(row->sub), it);
			jsonw_end(&writing->json);
		}
		jsonw_end(&writing->json);
		return;
	}
	UNREACHABLE("a type of row");
}

static void
write_default(struct writing *writing, const struct row *row)
{
	if (row->type == ROW_INT)
		jsonw_i64(
		    &writing->json, row->key, resolve_int(NULL, row->dflt));
	else if (row->type == ROW_FLAG)
		jsonw_bool(
		    &writing->json, row->key, text_equal(row->dflt, "true"));
	else
		jsonw_text(&writing->json, row->key, row->dflt);
}

static void
write_mapping(struct writing *writing, const struct mapping *mapping,
    const struct node *node)
{
	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		const struct node *value = node_get(node, row->key);
		if (value != NULL)
			write_row(writing, row, value);
		else if (row->dflt != NULL)
			write_default(writing, row);
	}
}

const struct row *
resolve_chosen(enum mapping_id id, const struct node *node)
{
	const struct mapping *mapping = mapping_of(id);

	for (size_t i = 0; i < mapping->nrows; i++) {
		if (mapping->rows[i].need == NEED_ONE_OF &&
		    node_get(node, mapping->rows[i].key) != NULL)
			return &mapping->rows[i];
	}
	UNREACHABLE("validated: one of the keys is there");
}

struct declared_probe_request
resolve_request(struct resolve *r, const char *kind, enum mapping_id mapping,
    const struct node *node)
{
	struct declared_probe_request request = {.kind = kind};
	struct writing writing = {.r = r};
	struct buffer text;

	buffer_init(&text, REQUEST_MAX);
	jsonw_init(&writing.json, &text, false);
	jsonw_object(&writing.json, NULL);
	write_mapping(&writing, mapping_of(mapping), node);
	jsonw_end(&writing.json);
	if (text.overflow)
		complain(r->complaints, node, "this is too long");
	else
		request.json = arena_bytes(r->arena, text.data, text.len);
	request.unresolved = writing.unresolved;
	buffer_wipe(&text);
	return request;
}
