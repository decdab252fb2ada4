/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cyaml/cyaml.h>

#include "base/err.h"
#include "manifests/raw.h"
#include "manifests/table.h"

#define WORDS(set)       static const cyaml_strval_t strvals_##set[] = {
#define W(set, id, word) {word, WORD_##set##_##id},
#define ENDWORDS(set) \
	}             \
	;
#include "manifests/manifest.def"

static const cyaml_schema_value_t text_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};
static const cyaml_schema_value_t int_value = {
    CYAML_VALUE_INT(CYAML_FLAG_DEFAULT, int64_t)};

#define FLAGS(need)       (CYAML_FLAG_POINTER | PRESENCE_##need)
#define PRESENCE_REQUIRED CYAML_FLAG_DEFAULT
#define PRESENCE_OPTIONAL CYAML_FLAG_OPTIONAL
#define PRESENCE_ONE_OF   CYAML_FLAG_OPTIONAL
#define PRESENCE_SOME_OF  CYAML_FLAG_OPTIONAL

#define MAPPING(m, title, doc) \
	static const cyaml_schema_field_t fields_##m[] = {
#define END(m)                                                 \
	CYAML_FIELD_END                                        \
	}                                                      \
	;                                                      \
	static UNUSED const cyaml_schema_value_t value_##m = { \
	    CYAML_VALUE_MAPPING(                               \
	        CYAML_FLAG_DEFAULT, struct manifest_##m, fields_##m)};
#define TEXT(m, f, key, need, flags, form, dflt, doc) \
	CYAML_FIELD_STRING_PTR(                       \
	    key, FLAGS(need), struct manifest_##m, f, 0, CYAML_UNLIMITED),
#define WORD(m, f, key, need, flags, set, dflt, doc)               \
	CYAML_FIELD_ENUM_PTR(key, FLAGS(need) | CYAML_FLAG_STRICT, \
	    struct manifest_##m, f, strvals_##set, ARRAY_LEN(strvals_##set)),
#define INT(m, f, key, need, flags, min, max, dflt, doc) \
	CYAML_FIELD_INT_PTR(key, FLAGS(need), struct manifest_##m, f),
#define FLAG(m, f, key, need, flags, dflt, doc) \
	CYAML_FIELD_BOOL_PTR(key, FLAGS(need), struct manifest_##m, f),
#define TEXTS(m, f, key, need, flags, form, max, doc)                  \
	CYAML_FIELD_SEQUENCE(key, FLAGS(need), struct manifest_##m, f, \
	    &text_value, 0, CYAML_UNLIMITED),
#define INTS(m, f, key, need, flags, min, max, doc)                    \
	CYAML_FIELD_SEQUENCE(key, FLAGS(need), struct manifest_##m, f, \
	    &int_value, 0, CYAML_UNLIMITED),
#define MAP(m, f, key, need, flags, sub, doc) \
	CYAML_FIELD_MAPPING_PTR(              \
	    key, FLAGS(need), struct manifest_##m, f, fields_##sub),
#define LIST(m, f, key, need, flags, sub, min, doc)                    \
	CYAML_FIELD_SEQUENCE(key, FLAGS(need), struct manifest_##m, f, \
	    &value_##sub, 0, CYAML_UNLIMITED),
/* What libcyaml has no type for: any keys, nothing, a word or a list. The
 * document's own nodes are read for these. */
#define PAIRS(m, f, key, need, flags, doc) \
	CYAML_FIELD_IGNORE(key, CYAML_FLAG_OPTIONAL),
#define EMPTY(m, f, key, need, flags, doc) \
	CYAML_FIELD_IGNORE(key, CYAML_FLAG_OPTIONAL),
#define SHORTS(m, f, key, need, flags, sub, doc) \
	CYAML_FIELD_IGNORE(key, CYAML_FLAG_OPTIONAL),
#define NAMES(m, f, key, need, flags, doc) \
	CYAML_FIELD_IGNORE(key, CYAML_FLAG_OPTIONAL),
#define QKEY(m, f, key, kinds, needed_by, doc) \
	CYAML_FIELD_STRING_PTR(                \
	    key, FLAGS(OPTIONAL), struct manifest_##m, f, 0, CYAML_UNLIMITED),
#include "manifests/manifest.def"

static const cyaml_schema_value_t top = {CYAML_VALUE_MAPPING(
    CYAML_FLAG_POINTER, struct manifest_manifest, fields_manifest)};

/* The first line at level ERROR says what; libcyaml logs its way up after. */
static void PRINTF_LIKE(3, 0)
    keep_first(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct err *err = ctx;

	if (level < CYAML_LOG_ERROR || err->kind != ERR_NONE)
		return;
	char text[ERR_TEXT_MAX];
	(void)vsnprintf(text, sizeof(text), fmt, args);
	(void)err_set(err, ERR_INPUT, "%s", text);
}

static const cyaml_config_t config = {
    .log_fn = keep_first,
    .mem_fn = cyaml_mem,
    .log_level = CYAML_LOG_ERROR,
    .flags = CYAML_CFG_NO_ALIAS,
};

int
raw_load(const char *text, size_t len, struct manifest_manifest **ret,
    struct err *err)
{
	struct err first = ERR_INIT;
	cyaml_config_t with_log = config;
	cyaml_data_t *data = NULL;

	with_log.log_ctx = &first;
	cyaml_err_t rc = cyaml_load_data(
	    (const uint8_t *)text, len, &with_log, &top, &data, NULL);
	if (rc != CYAML_OK)
		return err_set(err, ERR_INPUT, "%s: %s", cyaml_strerror(rc),
		    first.kind == ERR_NONE ? "no details" : first.text);
	if (data == NULL) /* an empty document is CYAML_OK */
		return err_set(err, ERR_INPUT, "the file is empty");
	*ret = data;
	return 0;
}

void
raw_free(struct manifest_manifest *raw)
{
	if (raw != NULL)
		(void)cyaml_free(&config, &top, raw, 0);
}
