/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/address.h"
#include "base/text.h"
#include "manifests/cron.h"
#include "manifests/form.h"
#include "manifests/settings_form.h"
#include "manifests/validate.h"

enum {
	KEYS_MAX = LIST_MAX,
	QUOTE_MAX = 60 /* bytes of a wrong value that are shown */
};

/* The way to a value, for `declared, not acted on`. */
struct way {
	const struct way *up;
	const char *key;
	size_t index; /* when key is NULL */
};

static const char *
way_text(struct arena *arena, const struct way *way)
{
	if (way->up == NULL)
		return way->key == NULL ? "" : way->key;
	const char *up = way_text(arena, way->up);
	if (way->key == NULL)
		return arena_format(arena, "%s[%zu]", up, way->index);
	return *up == '\0' ? way->key
	                   : arena_format(arena, "%s.%s", up, way->key);
}

static void
note_inert(struct validation *v, const struct node *node, const struct way *way)
{
	if (v->ninert == v->inert_cap) {
		size_t cap = MAX(v->inert_cap * 2, 16);
		struct declared_inert *list =
		    arena_array(v->arena, cap, sizeof(*list));
		if (v->ninert > 0)
			memcpy(list, v->inert, v->ninert * sizeof(*list));
		v->inert = list;
		v->inert_cap = cap;
	}
	const struct node *at = node->key == NULL ? node : node->key;
	v->inert[v->ninert++] =
	    (struct declared_inert){.key = way_text(v->arena, way),
	        .place = {v->complaints->file, at->line, at->column}};
}

/* --- words --- */

/* Names under the key `name` of the items of root's list `key`. */
static struct words
validate_names(struct validation *v, const char *key)
{
	const struct node *list = node_get(v->root, key);
	struct words names = {0};

	names.list = arena_array(v->arena, (list == NULL ? 0 : list->count) + 1,
	    sizeof(*names.list));
	for (const struct node *it = node_items(list); it != NULL;
	     it = it->next) {
		const char *name = node_text(node_get(it, "name"));
		if (name != NULL)
			names.list[names.count++] = name;
	}
	return names;
}

bool
words_have(const struct words *words, const char *word)
{
	for (size_t i = 0; i < words->count; i++) {
		if (text_equal(words->list[i], word))
			return true;
	}
	return false;
}

void
validate_unknown(struct validation *v, const struct node *node,
    const char *what, const struct words *words)
{
	const char *near = text_nearest(node->text, words->list, words->count);

	if (words->count == 0) {
		complain(v->complaints, node, "%s '%.*s': none is declared",
		    what, QUOTE_MAX, node->text);
		return;
	}
	complain(v->complaints, node, "%s '%.*s'%s%s%s; valid: %s", what,
	    QUOTE_MAX, node->text, near == NULL ? "" : ": did you mean '",
	    near == NULL ? "" : near, near == NULL ? "" : "'?",
	    words_listed(v->arena, words->list));
}

/* --- references --- */

static void
unknown_capability(struct validation *v, const struct node *node)
{
	const char *list[SETTINGS_CAPABILITIES + 2];

	memcpy(list, settings_capabilities, sizeof(list));
	validate_unknown(v, node, "unknown capability",
	    &(struct words){list, SETTINGS_CAPABILITIES + 1});
}

static void
check_reference(
    struct validation *v, const struct row *row, const struct node *node)
{
	if (row->form == FORM_REF_QUEUE && !words_have(&v->queues, node->text))
		validate_unknown(v, node, "unknown queue", &v->queues);
	if (row->form == FORM_REF_SECRET &&
	    !words_have(&v->secrets, node->text))
		validate_unknown(v, node, "unknown secret", &v->secrets);
	if (row->form == FORM_REF_CONFIG &&
	    !words_have(&v->configs, node->text))
		validate_unknown(v, node, "unknown config", &v->configs);
	if (row->form == FORM_REF_WORKER &&
	    !words_have(&v->workers, node->text))
		validate_unknown(v, node, "unknown worker", &v->workers);
	if (row->form == FORM_CAPABILITY &&
	    settings_capability(node->text) == 0)
		unknown_capability(v, node);
	if (row->form != FORM_QUEUE_KIND ||
	    queue_kind_find(node->text) != QUEUE_KINDS)
		return;
	const char *list[QUEUE_KINDS + 1] = {0};
	for (size_t i = 0; i < QUEUE_KINDS; i++)
		list[i] = queue_kinds[i].word;
	validate_unknown(v, node, "unknown kind of queue",
	    &(struct words){list, QUEUE_KINDS});
}

/* --- rows --- */

/* What says itself what is wrong. */
static int
check_parsed(enum row_form form, const char *text, struct err *err)
{
	struct calendar_rule rule;
	struct sockaddr_storage address;
	socklen_t len;

	if (form == FORM_CRON)
		return cron_parse(text, &rule, err);
	if (form == FORM_ZONE)
		return cron_zone_check(text, err);
	if (form == FORM_ADDRESS)
		return address_parse(text, &address, &len, err);
	return 0;
}

static void
check_text(struct validation *v, const struct row *row, const struct node *node)
{
	bool hide = (row->flags & F_HIDE) != 0;

	if (node->kind != NODE_SCALAR) {
		complain(v->complaints, node, "'%s' must be text, not %s",
		    row->key, node_what(node));
		return;
	}
	const char *not_text = node_not_text(node);
	if (not_text != NULL && text_equal(not_text, "empty")) {
		complain(v->complaints, node, "'%s' has no value%s", row->key,
		    (row->flags & F_MAY_BE_EMPTY) != 0
		        ? "; for an empty text write \"\""
		        : "");
		return;
	}
	if (not_text != NULL && !row_form_any_scalar(row->form)) {
		complain(v->complaints, node,
		    "'%s' must be text, and this is %s: put it in quotes%s%.*s%s",
		    row->key, not_text, hide ? "" : ": \"",
		    hide ? 0 : QUOTE_MAX, node->text, hide ? "" : "\"");
		return;
	}
	if (node->len == 0 && (row->flags & F_MAY_BE_EMPTY) == 0) {
		complain(v->complaints, node, "'%s' is empty", row->key);
		return;
	}
	struct err err = ERR_INIT;
	if (check_parsed(row->form, node->text, &err) == -1) {
		complain(v->complaints, node, "'%s': %s", row->key, err.text);
		return;
	}
	const char *fault = form_fault(row->form, node->text);
	if (fault != NULL && (hide || row->form == FORM_SQL))
		complain(v->complaints, node, "'%s' %s", row->key, fault);
	else if (fault != NULL)
		complain(v->complaints, node, "'%s': '%.*s' %s", row->key,
		    QUOTE_MAX, node->text, fault);
	else
		check_reference(v, row, node);
}

static void
check_word(struct validation *v, const struct row *row, const struct node *node)
{
	struct words words = {0};
	size_t count = 0;

	if (node->kind != NODE_SCALAR) {
		complain(v->complaints, node, "'%s' must be a word, not %s",
		    row->key, node_what(node));
		return;
	}
	while (row->words[count] != NULL)
		count++;
	words.list = arena_array(v->arena, count + 1, sizeof(*words.list));
	words.count = count;
	for (size_t i = 0; i < count; i++)
		words.list[i] = row->words[i];
	if (!words_have(&words, node->text))
		validate_unknown(v, node,
		    arena_format(v->arena, "'%s' can't be", row->key), &words);
}

/* libcyaml reads 010 as 8 and 0x10 as 16, and text_i64 says no to both. */
static void
check_int(struct validation *v, const struct row *row, const struct node *node)
{
	int64_t value;
	bool right =
	    node->kind == NODE_SCALAR && node->plain &&
	    text_i64(node->text, row->min, row->max, &value, NULL) == 0 &&
	    (node->text[0] != '0' || node->text[1] == '\0');

	if (right && (row->flags & F_EXIT) != 0)
		right = value == 0 || value == 143;
	if (right)
		return;
	if (node->kind != NODE_SCALAR) {
		complain(v->complaints, node, "'%s' must be a number, not %s",
		    row->key, node_what(node));
		return;
	}
	const char *range =
	    (row->flags & F_EXIT) != 0
	        ? "0 or 143"
	        : arena_format(v->arena,
	              "a whole number from %" PRId64 " to %" PRId64, row->min,
	              row->max);
	complain(v->complaints, node, "'%s' must be %s, not %s%.*s%s", row->key,
	    range, node->plain ? "'" : "the text \"", QUOTE_MAX, node->text,
	    node->plain ? "'" : "\"");
}

static void
check_flag(struct validation *v, const struct row *row, const struct node *node)
{
	if (node->kind == NODE_SCALAR && node->plain &&
	    (text_equal(node->text, "true") || text_equal(node->text, "false")))
		return;
	if (node->kind == NODE_SCALAR)
		complain(v->complaints, node,
		    "'%s' must be true or false, not '%.*s'", row->key,
		    QUOTE_MAX, node->text);
	else
		complain(v->complaints, node,
		    "'%s' must be true or false, not %s", row->key,
		    node_what(node));
}

static bool
check_is(struct validation *v, const struct row *row, const struct node *node,
    enum node_kind kind)
{
	if (node->kind == kind)
		return true;
	complain(v->complaints, node, "'%s' must be %s, not %s", row->key,
	    kind == NODE_SEQUENCE ? "a list" : "a mapping", node_what(node));
	return false;
}

static void
check_list_size(
    struct validation *v, const struct row *row, const struct node *node)
{
	size_t max = row->type == ROW_INTS ? 100 : (size_t)row->max;

	if (node->count > max)
		complain(v->complaints, node,
		    "'%s' has %zu entries; at most %zu are read", row->key,
		    node->count, max);
	if (node->count == 0 && (row->type != ROW_LIST || row->min > 0))
		complain(v->complaints, node, "'%s' is empty", row->key);
}

static void
check_scalars(
    struct validation *v, const struct row *row, const struct node *node)
{
	if (!check_is(v, row, node, NODE_SEQUENCE))
		return;
	check_list_size(v, row, node);
	struct row item = *row;
	if (row->type == ROW_TEXTS) /* "" is an argument like any other */
		item.flags |= row->form == FORM_ANY ? F_MAY_BE_EMPTY : 0;
	for (const struct node *it = node->first; it != NULL; it = it->next) {
		if (row->type == ROW_INTS)
			check_int(v, &item, it);
		else
			check_text(v, &item, it);
	}
}

static void
check_duplicate_keys(struct validation *v, const struct node *mapping)
{
	for (const struct node *a = mapping->first; a != NULL; a = a->next) {
		const struct node *b = mapping->first;
		while (b != a && !text_equal(b->key->text, a->key->text))
			b = b->next;
		if (b != a)
			complain(v->complaints, a->key,
			    "key '%.*s' stands here for the second time; the "
			    "first is in line %d",
			    QUOTE_MAX, a->key->text, b->key->line);
	}
}

static void
check_pairs(
    struct validation *v, const struct row *row, const struct node *node)
{
	struct row item = {
	    .flags = row->flags | F_MAY_BE_EMPTY, .form = FORM_ANY};

	if (!check_is(v, row, node, NODE_MAPPING))
		return;
	if (node->count > KEYS_MAX) {
		complain(v->complaints, node, "more than %d keys", KEYS_MAX);
		return;
	}
	check_duplicate_keys(v, node);
	for (const struct node *it = node->first; it != NULL; it = it->next) {
		item.key = it->key->text;
		check_text(v, &item, it);
	}
}

static void
check_names(
    struct validation *v, const struct row *row, const struct node *node)
{
	if (node->kind == NODE_SCALAR && text_equal(node->text, "none"))
		return;
	if (node->kind == NODE_SEQUENCE)
		check_scalars(v, row, node);
	else
		complain(v->complaints, node,
		    "'%s' must be none or a list of names, not %s", row->key,
		    node_what(node));
}

/* --- mappings --- */

static void check_mapping(struct validation *v, const struct mapping *mapping,
    const struct node *node, const struct way *way);

/* The items of a list of mappings; no two with the same identity. */
static void
check_unique(struct validation *v, const struct row *row,
    const struct node *list, const struct row *id)
{
	for (const struct node *a = list->first; a != NULL; a = a->next) {
		const struct node *x = node_get(a, id->key);
		const struct node *b = list->first;
		if (node_text(x) == NULL)
			continue;
		while (b != a &&
		       !text_equal(node_text(node_get(b, id->key)), x->text))
			b = b->next;
		if (b != a)
			complain(v->complaints, x,
			    "'%.*s' stands in '%s' for the second time; the "
			    "first is in line %d",
			    QUOTE_MAX, x->text, row->key,
			    node_get(b, id->key)->line);
	}
}

static void
check_list(struct validation *v, const struct row *row, const struct node *node,
    const struct way *way)
{
	const struct mapping *sub = mapping_of(row->sub);
	struct way item = {.up = way};

	if (!check_is(v, row, node, NODE_SEQUENCE))
		return;
	check_list_size(v, row, node);
	if (node->count > (size_t)row->max)
		return;
	for (size_t i = 0; i < sub->nrows; i++) {
		if ((sub->rows[i].flags & F_ID) != 0)
			check_unique(v, row, node, &sub->rows[i]);
	}
	for (const struct node *it = node->first; it != NULL; it = it->next) {
		if (it->kind == NODE_MAPPING)
			check_mapping(v, sub, it, &item);
		else if (it->kind == NODE_SCALAR && (row->flags & F_SHORT) != 0)
			check_text(v, &sub->rows[0], it);
		else
			complain(v->complaints, it,
			    "each entry of '%s' must be a mapping, not %s",
			    row->key, node_what(it));
		item.index++;
	}
}

static void
check_value(struct validation *v, const struct row *row,
    const struct node *node, const struct way *way)
{
	if ((row->flags & F_INERT) != 0)
		note_inert(v, node, way);
	switch (row->type) {
	case ROW_TEXT:
		check_text(v, row, node);
		return;
	case ROW_WORD:
		check_word(v, row, node);
		return;
	case ROW_INT:
		check_int(v, row, node);
		return;
	case ROW_FLAG:
		check_flag(v, row, node);
		return;
	case ROW_TEXTS:
	case ROW_INTS:
		check_scalars(v, row, node);
		return;
	case ROW_MAP:
		if (check_is(v, row, node, NODE_MAPPING))
			check_mapping(v, mapping_of(row->sub), node, way);
		return;
	case ROW_LIST:
		check_list(v, row, node, way);
		return;
	case ROW_PAIRS:
		check_pairs(v, row, node);
		return;
	case ROW_EMPTY:
		if (check_is(v, row, node, NODE_MAPPING) && node->count > 0)
			complain(v->complaints, node->first->key,
			    "'%s' has no keys: write {}", row->key);
		return;
	case ROW_NAMES:
		check_names(v, row, node);
		return;
	}
	UNREACHABLE("a type of row");
}

/* The words of a mapping, or those of one need. */
static struct words
keys_of(struct validation *v, const struct mapping *mapping,
    const struct node *node, int need)
{
	enum queue_kind_id kind =
	    queue_kind_find(node_text(node_get(node, "kind")));

	struct words keys = {.list = arena_array(v->arena, mapping->nrows + 1,
	                         sizeof(*keys.list))};

	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		/* of a queue's keys only those of its kind */
		if (row->kinds != 0 &&
		    (kind == QUEUE_KINDS || ((row->kinds >> kind) & 1) == 0))
			continue;
		if (need == -1 || (int)row->need == need)
			keys.list[keys.count++] = row->key;
	}
	return keys;
}

static void
check_needs(struct validation *v, const struct mapping *mapping,
    const struct node *node)
{
	const struct node *chosen = NULL;
	bool choice = false, some = false;

	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		const struct node *value = node_get(node, row->key);
		choice = choice || row->need == NEED_ONE_OF ||
		         row->need == NEED_SOME_OF;
		some = some || row->need == NEED_SOME_OF;
		if (row->need == NEED_REQUIRED && value == NULL)
			complain(v->complaints, node, "'%s' is missing here",
			    row->key);
		if (row->need == NEED_OPTIONAL || row->need == NEED_REQUIRED ||
		    value == NULL)
			continue;
		if (chosen != NULL && row->need == NEED_ONE_OF)
			complain(v->complaints, value->key,
			    "'%s' beside '%s': only one of them may stand here",
			    row->key, chosen->key->text);
		chosen = chosen == NULL ? value : chosen;
	}
	if (!choice || chosen != NULL)
		return;
	struct words keys =
	    keys_of(v, mapping, node, some ? NEED_SOME_OF : NEED_ONE_OF);
	complain(v->complaints, node, "%s of these is missing here: %s",
	    some ? "at least one" : "one", words_listed(v->arena, keys.list));
}

/* Kubernetes' keys that somebody will look for, and what there is instead. */
static bool
is_kubernetes_only(struct validation *v, const struct node *key)
{
	static const struct {
		const char *key, *instead;
	} rows[] = {
	    {"postStart",
	        "Kubernetes runs it at some time beside the start, so it orders "
	        "nothing; what must come first is a worker of 'initWorkers', "
	        "what readiness waits for a 'startupProbe'"},
	    {"restartPolicy",
	        "here each worker has its own: 'restart: {policy: OnFailure}'"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (text_equal(key->text, rows[i].key)) {
			complain(v->complaints, key, "there is no '%s': %s",
			    key->text, rows[i].instead);
			return true;
		}
	return false;
}

static void
check_mapping(struct validation *v, const struct mapping *mapping,
    const struct node *node, const struct way *way)
{
	if (node->count > KEYS_MAX) {
		complain(v->complaints, node, "more than %d keys", KEYS_MAX);
		return;
	}
	check_duplicate_keys(v, node);
	for (const struct node *it = node->first; it != NULL; it = it->next) {
		const struct row *row = mapping_row(mapping, it->key->text);
		struct way here = {.up = way, .key = it->key->text};
		if (row != NULL) {
			check_value(v, row, it, &here);
			continue;
		}
		if (is_kubernetes_only(v, it->key))
			continue;
		struct words keys = keys_of(v, mapping, node, -1);
		validate_unknown(v, it->key,
		    arena_format(
		        v->arena, "unknown key in '%s':", mapping->title),
		    &keys);
	}
	check_needs(v, mapping, node);
}

static void
note_inert_queues(struct validation *v)
{
	size_t i = 0;

	for (const struct node *it = node_items(node_get(v->root, "queues"));
	     it != NULL; it = it->next, i++) {
		const struct node *kind = node_get(it, "kind");
		enum queue_kind_id id = queue_kind_find(node_text(kind));
		if (id == QUEUE_KINDS || queue_kinds[id].acts)
			continue;
		struct way list = {.key = "queues"};
		struct way item = {.up = &list, .index = i};
		struct way here = {.up = &item, .key = "kind"};
		note_inert(v, kind, &here);
	}
}

void
manifest_validate(struct validation *v)
{
	struct way top = {0};

	if (v->root->kind != NODE_MAPPING) {
		complain(v->complaints, v->root,
		    "a manifest is a mapping that begins with 'apiVersion: "
		    "reeve/v1', and this is %s",
		    node_what(v->root));
		return;
	}
	v->queues = validate_names(v, "queues");
	v->secrets = validate_names(v, "secrets");
	v->configs = validate_names(v, "configs");
	v->workers = validate_names(v, "workers");
	check_mapping(v, mapping_of(MAPPING_manifest), v->root, &top);
	note_inert_queues(v);
	validate_together(v);
}
