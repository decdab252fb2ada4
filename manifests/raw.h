/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_RAW_H
#define REEVE_MANIFESTS_RAW_H

#include "base/base.h"
#include "base/err.h"

/*
 * reeve.yaml as libcyaml loads it: one struct a mapping, made from
 * manifest.def. A member is NULL when its key is absent, so that "absent" and
 * "zero" stay two declarations. Only for text that the validator accepted.
 */

/* WORD_<set>_<ID> */
#define WORDS(set)          \
	enum manifest_##set \
	{
#define W(set, id, word) WORD_##set##_##id,
#define ENDWORDS(set) \
	WORDS_##set   \
	}             \
	;
#include "manifests/manifest.def"

#define MAPPING(m, title, doc) struct manifest_##m {
#define END(m) \
	}      \
	;
#define TEXT(m, f, key, need, flags, form, dflt, doc)    char *f;
#define WORD(m, f, key, need, flags, set, dflt, doc)     enum manifest_##set *f;
#define INT(m, f, key, need, flags, min, max, dflt, doc) int64_t *f;
#define FLAG(m, f, key, need, flags, dflt, doc)          bool *f;
#define TEXTS(m, f, key, need, flags, form, max, doc) \
	char **f;                                     \
	unsigned f##_count;
#define INTS(m, f, key, need, flags, min, max, doc) \
	int64_t *f;                                 \
	unsigned f##_count;
#define MAP(m, f, key, need, flags, sub, doc) struct manifest_##sub *f;
#define LIST(m, f, key, need, flags, sub, min, doc) \
	struct manifest_##sub *f;                   \
	unsigned f##_count;
#define SHORTS(m, f, key, need, flags, sub, doc) /* nodes are read */
#define QKEY(m, f, key, kinds, needed_by, doc)   char *f;
#include "manifests/manifest.def"

/* Owned by libcyaml until raw_free(), which accepts NULL. */
int raw_load(const char *text, size_t len, struct manifest_manifest **ret,
    struct err *err) MUST_CHECK;
void raw_free(struct manifest_manifest *raw);

#endif
