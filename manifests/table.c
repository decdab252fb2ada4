/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "manifests/table.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): initialisers */
const struct queue_kind queue_kinds[QUEUE_KINDS] = {
#define QUEUE_KIND(id, word_, acts_, schemes_, client_, name_key_, doc_) \
	[QUEUE_KIND_##id] = {word_, acts_, schemes_, client_, name_key_, doc_},
#include "manifests/manifest.def"
};

#define WORDS(set)       static const char *const words_##set[] = {
#define W(set, id, word) word,
#define ENDWORDS(set) \
	NULL          \
	}             \
	;
#include "manifests/manifest.def"

/* Groups of kinds that share keys. */
#define K(id) (UINT64_C(1) << QUEUE_KIND_##id)
#define K_ALL ((UINT64_C(1) << QUEUE_KINDS) - 1)
/* reeve's own queue has its dead letters and times within. */
#define K_MOST (K_ALL & ~K(sqlite))
/* job libraries in a PostgreSQL schema of that name */
#define K_SCHEMA                                                            \
	(K(bullmqpg) | K(pgboss) | K(graphile) | K(river) | K(solidqueue) | \
	    K(pgmq) | K(que) | K(procrastinate) | K(goodjob) | K(delayedjob))
#define K_TABLES (K(pgtable) | K(sqlitetable) | K(mysqltable) | K(mssqltable))
#define K_NAMED_QUEUE                                                       \
	(K(sqlite) | K(bullmq) | K(bullmqpg) | K(bull) | K(bee) | K(rq) |   \
	    K(celery) | K(sidekiq) | K(resque) | K(pgboss) | K(river) |     \
	    K(oban) | K(solidqueue) | K(pgmq) | K(que) | K(procrastinate) | \
	    K(goodjob) | K(delayedjob) | K(amqp) | K(servicebus) | K(sqs))

#define MAPPING(m, title, doc) static const struct row rows_##m[] = {
#define END(m) \
	}      \
	;
#define TEXT(m, f, key_, need_, flags_, form_, dflt_, doc_) \
	[ROW_##m##_##f] = {.key = key_,                     \
	    .type = ROW_TEXT,                               \
	    .need = NEED_##need_,                           \
	    .flags = flags_,                                \
	    .form = FORM_##form_,                           \
	    .dflt = dflt_,                                  \
	    .doc = doc_},
#define WORD(m, f, key_, need_, flags_, set_, dflt_, doc_) \
	[ROW_##m##_##f] = {.key = key_,                    \
	    .type = ROW_WORD,                              \
	    .need = NEED_##need_,                          \
	    .flags = flags_,                               \
	    .words = words_##set_,                         \
	    .dflt = dflt_,                                 \
	    .doc = doc_},
#define INT(m, f, key_, need_, flags_, min_, max_, dflt_, doc_) \
	[ROW_##m##_##f] = {.key = key_,                         \
	    .type = ROW_INT,                                    \
	    .need = NEED_##need_,                               \
	    .flags = flags_,                                    \
	    .min = min_,                                        \
	    .max = max_,                                        \
	    .dflt = dflt_,                                      \
	    .doc = doc_},
#define FLAG(m, f, key_, need_, flags_, dflt_, doc_) \
	[ROW_##m##_##f] = {.key = key_,              \
	    .type = ROW_FLAG,                        \
	    .need = NEED_##need_,                    \
	    .flags = flags_,                         \
	    .dflt = dflt_,                           \
	    .doc = doc_},
#define TEXTS(m, f, key_, need_, flags_, form_, max_, doc_) \
	[ROW_##m##_##f] = {.key = key_,                     \
	    .type = ROW_TEXTS,                              \
	    .need = NEED_##need_,                           \
	    .flags = flags_,                                \
	    .form = FORM_##form_,                           \
	    .max = max_,                                    \
	    .doc = doc_},
#define INTS(m, f, key_, need_, flags_, min_, max_, doc_) \
	[ROW_##m##_##f] = {.key = key_,                   \
	    .type = ROW_INTS,                             \
	    .need = NEED_##need_,                         \
	    .flags = flags_,                              \
	    .min = min_,                                  \
	    .max = max_,                                  \
	    .doc = doc_},
#define MAP(m, f, key_, need_, flags_, sub_, doc_) \
	[ROW_##m##_##f] = {.key = key_,            \
	    .type = ROW_MAP,                       \
	    .need = NEED_##need_,                  \
	    .flags = flags_,                       \
	    .sub = MAPPING_##sub_,                 \
	    .doc = doc_},
#define LIST(m, f, key_, need_, flags_, sub_, min_, doc_) \
	[ROW_##m##_##f] = {.key = key_,                   \
	    .type = ROW_LIST,                             \
	    .need = NEED_##need_,                         \
	    .flags = flags_,                              \
	    .sub = MAPPING_##sub_,                        \
	    .min = min_,                                  \
	    .max = LIST_MAX,                              \
	    .doc = doc_},
#define SHORTS(m, f, key_, need_, flags_, sub_, doc_) \
	[ROW_##m##_##f] = {.key = key_,               \
	    .type = ROW_LIST,                         \
	    .need = NEED_##need_,                     \
	    .flags = (flags_) | F_SHORT,              \
	    .sub = MAPPING_##sub_,                    \
	    .max = LIST_MAX,                          \
	    .doc = doc_},
#define PAIRS(m, f, key_, need_, flags_, doc_) \
	[ROW_##m##_##f] = {.key = key_,        \
	    .type = ROW_PAIRS,                 \
	    .need = NEED_##need_,              \
	    .flags = flags_,                   \
	    .doc = doc_},
#define EMPTY(m, f, key_, need_, flags_, doc_) \
	[ROW_##m##_##f] = {.key = key_,        \
	    .type = ROW_EMPTY,                 \
	    .need = NEED_##need_,              \
	    .flags = flags_,                   \
	    .doc = doc_},
#define NAMES(m, f, key_, need_, flags_, doc_) \
	[ROW_##m##_##f] = {.key = key_,        \
	    .type = ROW_NAMES,                 \
	    .need = NEED_##need_,              \
	    .flags = flags_,                   \
	    .form = FORM_ENV_NAME,             \
	    .max = 1000,                       \
	    .doc = doc_},
#define QKEY(m, f, key_, kinds_, needed_by_, doc_) \
	[ROW_##m##_##f] = {.key = key_,            \
	    .type = ROW_TEXT,                      \
	    .flags = F_EXPAND,                     \
	    .form = FORM_SCALAR,                   \
	    .kinds = kinds_,                       \
	    .needed_by = needed_by_,               \
	    .doc = doc_},
#include "manifests/manifest.def"

static const struct mapping mappings[MAPPINGS] = {
#define MAPPING(m, title_, doc_) \
	[MAPPING_##m] = {#m, title_, doc_, rows_##m, ARRAY_LEN(rows_##m)},
#include "manifests/manifest.def"
};

/* NOLINTEND(bugprone-macro-parentheses) */

const struct mapping *
mapping_of(enum mapping_id id)
{
	assert(id < MAPPINGS);
	return &mappings[id];
}

const struct row *
mapping_row(const struct mapping *mapping, const char *key)
{
	for (size_t i = 0; i < mapping->nrows; i++) {
		if (strcmp(mapping->rows[i].key, key) == 0)
			return &mapping->rows[i];
	}
	return NULL;
}

enum queue_kind_id
queue_kind_find(const char *word)
{
	enum queue_kind_id id = 0;

	while (id < QUEUE_KINDS && !text_equal(queue_kinds[id].word, word))
		id++;
	return id;
}

bool
row_form_any_scalar(enum row_form form)
{
	return form == FORM_SCALAR || form == FORM_PORT ||
	       form == FORM_DURATION || form == FORM_INTERVAL ||
	       form == FORM_PORTION || form == FORM_QUANTITY ||
	       form == FORM_RATIO || form == FORM_RATE || form == FORM_ID ||
	       form == FORM_LIMIT || form == FORM_RLIMIT ||
	       form == FORM_RLIMIT_BYTES || form == FORM_CPUS ||
	       form == FORM_UMASK;
}
