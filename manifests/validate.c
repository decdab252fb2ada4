/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <inttypes.h>

#include "base/address.h"
#include "base/text.h"
#include "manifests/cron.h"
#include "manifests/expand.h"
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

struct words
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

/* --- forms --- */

/* Each says what is wrong, or NULL. */
static const char *
form_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > 63 ||
	    text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] != 0 ||
	    text[0] == '-' || text[len - 1] == '-')
		return "must be lower-case letters, digits and '-' between "
		       "them, at most 63";
	return NULL;
}

static const char *
form_label(const char *text)
{
	size_t len = strlen(text);

	for (const char *p = text; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && strchr("._:-/", *p) == NULL)
			return "must be letters, digits and . _ : - /";
	}
	return len == 0 || len > 253 ? "must have 1 to 253 characters" : NULL;
}

static const char *
form_title(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20)
			return "must be one line";
	}
	return strlen(text) > 200 ? "must have at most 200 bytes" : NULL;
}

static const char *
form_env_name(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && strchr("_.-", *p) == NULL)
			return "is no variable's name: letters, digits and _ . "
			       "- are";
	}
	if (*text == '\0' || isdigit((unsigned char)*text))
		return "is no variable's name: it begins with a letter or _";
	return NULL;
}

static const char *
form_date(const char *text)
{
	static const int days[] = {
	    31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t year, month, day;
	char copy[11];

	if (strlen(text) != 10 || text[4] != '-' || text[7] != '-')
		return "must be a date such as 2026-12-31";
	memcpy(copy, text, sizeof(copy));
	copy[4] = copy[7] = '\0';
	if (text_i64(copy, 2000, 9999, &year, NULL) == -1 ||
	    text_i64(copy + 5 + (copy[5] == '0'), 1, 12, &month, NULL) == -1 ||
	    text_i64(copy + 8 + (copy[8] == '0'), 1, 31, &day, NULL) == -1 ||
	    day > days[month - 1])
		return "must be a date such as 2026-12-31";
	return NULL;
}

static const char *
form_finding(const char *text)
{
	if (strlen(text) != 5 || text[0] != 'R' || text[1] != 'V' ||
	    text[2 + strspn(text + 2, "0123456789")] != '\0')
		return "must be a finding's id such as RV103";
	return NULL;
}

static const char *
form_rate(const char *text)
{
	const char *per = strstr(text, " per ");
	int64_t count, window;
	char digits[12];

	if (per == NULL || (size_t)(per - text) >= sizeof(digits))
		return "must be a rate such as '3 per 1h'";
	memcpy(digits, text, (size_t)(per - text));
	digits[per - text] = '\0';
	if (text_i64(digits, 1, 1000000, &count, NULL) == -1 ||
	    text_duration_ms(per + 5, &window, NULL) == -1 || window <= 0)
		return "must be a rate such as '3 per 1h'";
	return NULL;
}

static const char *
form_port(const char *text)
{
	int64_t port;

	if (text[strspn(text, "0123456789")] == '\0')
		return text_i64(text, 1, 65535, &port, NULL) == -1
		           ? "is no port: 1 to 65535, or a name of 'ports'"
		           : NULL;
	return form_name(text) == NULL
	           ? NULL
	           : "is no port: 1 to 65535, or a name of 'ports'";
}

static const char *
form_number_like(enum row_form form, const char *text)
{
	int64_t number;
	double ratio;

	if (form == FORM_DURATION)
		return text_duration_ms(text, &number, NULL) == -1 || number < 0
		           ? "must be a duration such as 30s, 5m or 1h30m"
		           : NULL;
	if (form == FORM_QUANTITY)
		return text_quantity_milli(text, &number, NULL) == -1 ||
		               number < 0
		           ? "must be a quantity such as 512Mi, 2 or 250m"
		           : NULL;
	return text_ratio(text, &ratio, NULL) == -1
	           ? "must be a ratio such as 10% or 0.1"
	           : NULL;
}

/* As Kubernetes' IntOrString. */
static const char *
form_portion(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	bool percent = text[digits] == '%' && text[digits + 1] == '\0';
	char copy[8];
	int64_t number = 0;

	if (digits == 0 || digits >= sizeof(copy) ||
	    (text[digits] != '\0' && !percent))
		return "must be a number such as 2, or a percentage such as "
		       "25%";
	memcpy(copy, text, digits);
	copy[digits] = '\0';
	return text_i64(copy, 1, percent ? 100 : 10000, &number, NULL) == -1
	           ? "must be from 1 to 10000, or from 1% to 100%"
	           : NULL;
}

static const char *
form_interval(const char *text)
{
	int64_t ms = 0;

	return text_duration_ms(text, &ms, NULL) == -1 || ms < 1000 ||
	               ms > INT64_C(3600) * 1000
	           ? "must be a duration from 1s to 1h"
	           : NULL;
}

static const char *
form_path(const char *text)
{
	return text[0] == '/' ? NULL : "must be an absolute path";
}

/* A URL that begins with a variable says its scheme only later. */
static const char *
form_url(const char *text)
{
	if (strpbrk(text, " \t\r\n") != NULL)
		return "must be a URL; it has white space in it";
	if (text_starts(text, "$(") || strstr(text, "://") != NULL)
		return NULL;
	return "must be a URL: scheme://host…";
}

static const char *
form_sql(const char *text)
{
	if (expand_sql_quoted_canary(text) != -1)
		return "has $(CANARY) within quotes or a comment: it is bound "
		       "as a parameter, so write it bare";
	return NULL;
}

static const char *
form_header(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) &&
		    strchr("!#$%&'*+-.^_`|~", *p) == NULL)
			return "is no header's name";
	}
	return *text == '\0' ? "is no header's name" : NULL;
}

/* Of a worker's settings. */
static const char *
form_setting(enum row_form form, const char *text)
{
	struct declared_limit limit;
	uint64_t cpus[DECLARED_CPU_WORDS];
	uint32_t mask;

	if (form == FORM_RLIMIT || form == FORM_RLIMIT_BYTES)
		return settings_limit(text, form == FORM_RLIMIT_BYTES, &limit)
		           ? NULL
		           : "must be a limit such as 1024, 1024:4096 "
		             "(soft:hard, the soft one not above the hard one) "
		             "or unlimited";
	if (form == FORM_CPUS)
		return settings_cpus(text, cpus)
		           ? NULL
		           : "must be CPUs such as 0-3,7, below 1024";
	if (form == FORM_UMASK)
		return settings_umask(text, &mask)
		           ? NULL
		           : "must be an octal number such as 027, at most 777";
	return settings_id(text) ? NULL
	                         : "is no user or group: a number up to "
	                           "4294967294, or a name";
}

static const char *
form_fault(enum row_form form, const char *text)
{
	switch (form) {
	case FORM_NAME:
		return form_name(text);
	case FORM_LABEL:
		return form_label(text);
	case FORM_TITLE:
		return form_title(text);
	case FORM_ENV_NAME:
		return form_env_name(text);
	case FORM_PATH:
		return form_path(text);
	case FORM_URL:
		return form_url(text);
	case FORM_SQL:
		return form_sql(text);
	case FORM_PORT:
		return form_port(text);
	case FORM_HEADER:
		return form_header(text);
	case FORM_DURATION:
	case FORM_QUANTITY:
	case FORM_RATIO:
		return form_number_like(form, text);
	case FORM_ID:
	case FORM_RLIMIT:
	case FORM_RLIMIT_BYTES:
	case FORM_CPUS:
	case FORM_UMASK:
		return form_setting(form, text);
	case FORM_PORTION:
		return form_portion(text);
	case FORM_INTERVAL:
		return form_interval(text);
	case FORM_RATE:
		return form_rate(text);
	case FORM_LIMIT:
		return text_equal(text, "off") || form_rate(text) == NULL
		           ? NULL
		           : "must be a rate such as '5 per 1s', or 'off'";
	case FORM_DATE:
		return form_date(text);
	case FORM_FINDING:
		return form_finding(text);
	case FORM_CRON:
	case FORM_ZONE:
	case FORM_ADDRESS:
	case FORM_ANY:
	case FORM_SCALAR:
	case FORM_FILE:
	case FORM_QUEUE_KIND:
	case FORM_CAPABILITY:
	case FORM_REF_QUEUE:
	case FORM_REF_SECRET:
	case FORM_REF_CONFIG:
	case FORM_REF_WORKER:
		return NULL;
	}
	UNREACHABLE("a form");
}

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
