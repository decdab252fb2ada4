/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "manifests/expand.h"
#include "manifests/validate.h"

struct env_look {
	struct validation *v;
	const struct node *list; /* the list that the entry stands in */
	const struct node *self; /* the entry */
	const struct node *worker;
};

static bool
same_name(const struct node *entry, const char *name, size_t len)
{
	const char *text = node_text(node_get(entry, "name"));

	return text != NULL && strlen(text) == len &&
	       strncmp(text, name, len) == 0;
}

static const struct node *
env_entry(const struct node *list, const char *name, size_t len)
{
	const struct node *it = node_items(list);

	while (it != NULL && !same_name(it, name, len))
		it = it->next;
	return it;
}

static bool
environ_has(const struct validation *v, const char *name, size_t len)
{
	for (size_t i = 0; v->environ != NULL && v->environ[i] != NULL; i++) {
		if (strncmp(v->environ[i], name, len) == 0 &&
		    v->environ[i][len] == '=')
			return true;
	}
	return false;
}

/* Self and later references never resolve (Kubernetes has only what stands
 * before), unless a layer below holds the name too. */
static bool
look_at_reference(void *arg, const char *name, size_t len, struct buffer *out)
{
	const struct env_look *look = arg;
	const struct validation *v = look->v;
	const struct node *top = node_get(v->root, "env");
	const struct node *at = env_entry(look->list, name, len);

	(void)out;
	if (at == NULL || at->line < look->self->line ||
	    (at->line == look->self->line && at->column < look->self->column))
		return false;
	if (environ_has(v, name, len) ||
	    (look->list != top && env_entry(top, name, len) != NULL) ||
	    node_get(look->worker, "envFrom") != NULL)
		return false;
	const struct node *value = node_get(look->self, "value");
	if (at != look->self)
		complain(v->complaints, value,
		    "$(%.*s) is declared only later, in line %d: a reference "
		    "sees what stands before it",
		    (int)MIN(len, 100), name, at->line);
	else if (v->environ != NULL)
		complain(v->complaints, value, "$(%.*s) refers to itself",
		    (int)MIN(len, 100), name);
	return false;
}

void
validate_env(struct validation *v, const struct node *owner)
{
	struct buffer none;
	struct env_look look = {
	    .v = v, .list = node_get(owner, "env"), .worker = owner};

	buffer_init(&none, 1);
	for (const struct node *it = node_items(look.list); it != NULL;
	     it = it->next) {
		const struct node *value = node_get(it, "value");
		look.self = it;
		if (node_text(value) != NULL)
			expand(&none, value->text, value->len,
			    look_at_reference, &look);
	}
	buffer_fini(&none);
}

struct place_look {
	struct validation *v;
	const struct node *at;
	enum mapping_id within; /* smoke, row; else the manifest */
};

static bool
somebody_has(const struct validation *v, const char *name, size_t len)
{
	if (environ_has(v, name, len) ||
	    env_entry(node_get(v->root, "env"), name, len) != NULL)
		return true;
	for (const struct node *it = node_items(node_get(v->root, "workers"));
	     it != NULL; it = it->next) {
		if (env_entry(node_get(it, "env"), name, len) != NULL)
			return true;
		for (const struct node *queue =
		         node_items(node_get(it, "consumes"));
		     queue != NULL; queue = queue->next) {
			const char *env = node_text(node_get(queue, "env"));
			if (env != NULL && strlen(env) == len &&
			    strncmp(env, name, len) == 0)
				return true;
		}
	}
	return false;
}

/* Whether names come from where only resolving can look. */
static bool
names_from_outside(const struct validation *v)
{
	if (v->environ == NULL)
		return true;
	for (const struct node *it = node_items(node_get(v->root, "workers"));
	     it != NULL; it = it->next) {
		if (node_get(it, "envFrom") != NULL)
			return true;
	}
	return false;
}

static bool
look_at_name(void *arg, const char *name, size_t len, struct buffer *out)
{
	const struct place_look *look = arg;
	const struct validation *v = look->v;

	(void)out;
	if (len == 6 && strncmp(name, "CANARY", 6) == 0) {
		if (look->within != MAPPING_smoke)
			complain(v->complaints, look->at,
			    "$(CANARY) has a value only within 'smoke'");
		return false;
	}
	if (len == 3 && strncmp(name, "JOB", 3) == 0) {
		if (look->within != MAPPING_row)
			complain(v->complaints, look->at,
			    "$(JOB) has a value only within 'row' of a "
			    "queue's 'jobs'");
		return false;
	}
	if (!names_from_outside(v) && !somebody_has(v, name, len))
		complain(v->complaints, look->at,
		    "$(%.*s) is declared nowhere: not in 'env', in a "
		    "worker's 'env' or in the supervisor's environment",
		    (int)MIN(len, 100), name);
	return false;
}

static void check_expansions(struct place_look *look,
    const struct mapping *mapping, const struct node *node);

static void
check_expansion(
    struct place_look *look, const struct row *row, const struct node *node)
{
	struct buffer none;

	if (node->kind == NODE_MAPPING && row->type == ROW_MAP) {
		check_expansions(look, mapping_of(row->sub), node);
		return;
	}
	if (row->type == ROW_LIST) {
		for (const struct node *it = node_items(node); it != NULL;
		     it = it->next)
			check_expansions(look, mapping_of(row->sub), it);
		return;
	}
	if ((row->flags & F_EXPAND) == 0)
		return;
	if (node->kind != NODE_SCALAR) { /* a list of texts, or pairs */
		for (const struct node *it = node->first; it != NULL;
		     it = it->next) {
			if (it->kind == NODE_SCALAR)
				check_expansion(look, row, it);
		}
		return;
	}
	buffer_init(&none, 1);
	look->at = node;
	expand(&none, node->text, node->len, look_at_name, look);
	buffer_fini(&none);
}

/* As deep as the table is, whatever the document. */
static void
check_expansions(struct place_look *look, const struct mapping *mapping,
    const struct node *node)
{
	const struct node *it = node->kind == NODE_MAPPING ? node->first : NULL;

	for (; it != NULL; it = it->next) {
		const struct row *row = mapping_row(mapping, it->key->text);
		enum mapping_id within = look->within;
		if (row == NULL)
			continue;
		if (row->sub == MAPPING_smoke || row->sub == MAPPING_row)
			look->within = row->sub;
		check_expansion(look, row, it);
		look->within = within;
	}
}

void
validate_expansions(struct validation *v)
{
	struct place_look look = {.v = v, .within = MAPPING_manifest};

	check_expansions(&look, mapping_of(MAPPING_manifest), v->root);
}
