/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/jsonw.h"
#include "base/text.h"
#include "manifests/manifest.h"
#include "manifests/table.h"

static const char *
pattern_of(enum row_form form)
{
	switch (form) {
	case FORM_NAME:
		return "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
	case FORM_LABEL:
		return "^[A-Za-z0-9._:/-]{1,253}$";
	case FORM_ENV_NAME:
		return "^[A-Za-z_.-][A-Za-z0-9_.-]*$";
	case FORM_PATH:
		return "^/";
	case FORM_DATE:
		return "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";
	case FORM_FINDING:
		return "^RV[0-9]{3}$";
	case FORM_RATE:
		return "^[0-9]+ per .+$";
	case FORM_LIMIT:
		return "^(off|[0-9]+ per .+)$";
	case FORM_CAPABILITY:
		return "^[A-Z_]+$";
	case FORM_PORTION:
		return "^[0-9]+%?$";
	case FORM_ID:
	case FORM_RLIMIT:
	case FORM_RLIMIT_BYTES:
	case FORM_CPUS:
	case FORM_UMASK:
	case FORM_ADDRESS:
	case FORM_ANY:
	case FORM_SCALAR:
	case FORM_TITLE:
	case FORM_CRON:
	case FORM_ZONE:
	case FORM_FILE:
	case FORM_URL:
	case FORM_SQL:
	case FORM_PORT:
	case FORM_HEADER:
	case FORM_DURATION:
	case FORM_INTERVAL:
	case FORM_QUANTITY:
	case FORM_RATIO:
	case FORM_QUEUE_KIND:
	case FORM_REF_QUEUE:
	case FORM_REF_SECRET:
	case FORM_REF_CONFIG:
	case FORM_REF_WORKER:
		return NULL;
	}
	UNREACHABLE("a form");
}

static void
write_kinds(struct jsonw *json)
{
	jsonw_array(json, "enum");
	for (size_t i = 0; i < QUEUE_KINDS; i++)
		jsonw_text(json, NULL, queue_kinds[i].word);
	jsonw_end(json);
}

static void
write_text_type(struct jsonw *json, const struct row *row)
{
	const char *pattern = pattern_of(row->form);

	if (row_form_any_scalar(row->form)) {
		jsonw_array(json, "type");
		jsonw_text(json, NULL, "string");
		jsonw_text(json, NULL, "number");
		if (row->form == FORM_SCALAR)
			jsonw_text(json, NULL, "boolean");
		jsonw_end(json);
		return;
	}
	jsonw_text(json, "type", "string");
	if (pattern != NULL)
		jsonw_text(json, "pattern", pattern);
	else if ((row->flags & F_MAY_BE_EMPTY) == 0 && row->type == ROW_TEXT)
		jsonw_i64(json, "minLength", 1);
	if (row->form == FORM_QUEUE_KIND)
		write_kinds(json);
}

static void
write_int_type(struct jsonw *json, const struct row *row)
{
	jsonw_text(json, "type", "integer");
	if ((row->flags & F_EXIT) == 0) {
		jsonw_i64(json, "minimum", row->min);
		jsonw_i64(json, "maximum", row->max);
		return;
	}
	jsonw_array(json, "enum");
	jsonw_i64(json, NULL, 0);
	jsonw_i64(json, NULL, 143);
	jsonw_end(json);
}

/* A text, or the mapping that it stands for. */
static void
write_short_type(struct jsonw *json, const struct row *row)
{
	const struct mapping *sub = mapping_of(row->sub);

	jsonw_array(json, "anyOf");
	jsonw_object(json, NULL);
	write_text_type(json, &sub->rows[0]);
	jsonw_end(json);
	jsonw_object(json, NULL);
	jsonw_format(json, "$ref", "#/$defs/%s", sub->name);
	jsonw_end(json);
	jsonw_end(json);
}

static void
write_items(struct jsonw *json, const struct row *row)
{
	jsonw_text(json, "type", "array");
	if (row->type != ROW_LIST || row->min > 0)
		jsonw_i64(json, "minItems", 1);
	jsonw_object(json, "items");
	if ((row->flags & F_SHORT) != 0)
		write_short_type(json, row);
	else if (row->type == ROW_LIST)
		jsonw_format(
		    json, "$ref", "#/$defs/%s", mapping_of(row->sub)->name);
	else if (row->type == ROW_INTS)
		write_int_type(json, row);
	else
		write_text_type(json, row);
	jsonw_end(json);
}

static void
write_names_type(struct jsonw *json, const struct row *row)
{
	jsonw_array(json, "oneOf");
	jsonw_object(json, NULL);
	jsonw_text(json, "const", "none");
	jsonw_end(json);
	jsonw_object(json, NULL);
	write_items(json, row);
	jsonw_end(json);
	jsonw_end(json);
}

static void
write_default(struct jsonw *json, const struct row *row)
{
	int64_t number;

	if (row->dflt == NULL)
		return;
	if (row->type == ROW_FLAG)
		jsonw_bool(json, "default", text_equal(row->dflt, "true"));
	else if (row->type == ROW_INT &&
	         text_i64(row->dflt, INT64_MIN, INT64_MAX, &number, NULL) == 0)
		jsonw_i64(json, "default", number);
	else
		jsonw_text(json, "default", row->dflt);
}

static void
write_type(struct jsonw *json, const struct row *row)
{
	switch (row->type) {
	case ROW_TEXT:
		write_text_type(json, row);
		return;
	case ROW_WORD:
		jsonw_array(json, "enum");
		for (size_t i = 0; row->words[i] != NULL; i++)
			jsonw_text(json, NULL, row->words[i]);
		jsonw_end(json);
		return;
	case ROW_INT:
		write_int_type(json, row);
		return;
	case ROW_FLAG:
		jsonw_text(json, "type", "boolean");
		return;
	case ROW_TEXTS:
	case ROW_INTS:
	case ROW_LIST:
		write_items(json, row);
		return;
	case ROW_MAP:
		jsonw_format(
		    json, "$ref", "#/$defs/%s", mapping_of(row->sub)->name);
		return;
	case ROW_PAIRS:
		jsonw_text(json, "type", "object");
		jsonw_object(json, "additionalProperties");
		jsonw_text(json, "type", "string");
		jsonw_end(json);
		return;
	case ROW_EMPTY:
		jsonw_text(json, "type", "object");
		jsonw_bool(json, "additionalProperties", false);
		return;
	case ROW_NAMES:
		write_names_type(json, row);
		return;
	}
	UNREACHABLE("a type of row");
}

static void
write_property(struct jsonw *json, const struct row *row)
{
	jsonw_object(json, row->key);
	jsonw_format(json, "description", "%s%s", row->doc,
	    (row->flags & F_INERT) != 0 ? " (accepted, does not act yet)" : "");
	write_type(json, row);
	write_default(json, row);
	jsonw_end(json);
}

/* {"required":[key]} for every key of that need. */
static void
write_choice(struct jsonw *json, const struct mapping *mapping,
    enum row_need need, const char *word)
{
	bool any = false;

	for (size_t i = 0; i < mapping->nrows; i++) {
		if (mapping->rows[i].need != need)
			continue;
		if (!any)
			jsonw_array(json, word);
		any = true;
		jsonw_object(json, NULL);
		jsonw_array(json, "required");
		jsonw_text(json, NULL, mapping->rows[i].key);
		jsonw_end(json);
		jsonw_end(json);
	}
	if (any)
		jsonw_end(json);
}

static void
write_required(struct jsonw *json, const struct mapping *mapping)
{
	bool any = false;

	for (size_t i = 0; i < mapping->nrows; i++) {
		if (mapping->rows[i].need != NEED_REQUIRED)
			continue;
		if (!any)
			jsonw_array(json, "required");
		any = true;
		jsonw_text(json, NULL, mapping->rows[i].key);
	}
	if (any)
		jsonw_end(json);
}

static void
write_mapping(struct jsonw *json, const struct mapping *mapping)
{
	jsonw_text(json, "description", mapping->doc);
	jsonw_text(json, "type", "object");
	jsonw_bool(json, "additionalProperties", false);
	write_required(json, mapping);
	write_choice(json, mapping, NEED_ONE_OF, "oneOf");
	write_choice(json, mapping, NEED_SOME_OF, "anyOf");
	jsonw_object(json, "properties");
	for (size_t i = 0; i < mapping->nrows; i++)
		write_property(json, &mapping->rows[i]);
	jsonw_end(json);
}

void
manifest_schema_write(struct buffer *out)
{
	struct jsonw json;

	jsonw_init(&json, out, true);
	jsonw_object(&json, NULL);
	jsonw_text(
	    &json, "$schema", "https://json-schema.org/draft/2020-12/schema");
	jsonw_text(&json, "title", "reeve.yaml (reeve/v1)");
	write_mapping(&json, mapping_of(MAPPING_manifest));
	jsonw_object(&json, "$defs");
	for (enum mapping_id id = 0; id < MAPPINGS; id++) {
		if (id == MAPPING_manifest)
			continue;
		jsonw_object(&json, mapping_of(id)->name);
		write_mapping(&json, mapping_of(id));
		jsonw_end(&json);
	}
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_text(out, "\n");
}
