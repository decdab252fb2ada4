/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_TABLE_H
#define REEVE_MANIFESTS_TABLE_H

#include "base/base.h"

/*
 * manifest.def as data: what the validator, the schema and the docs walk.
 * Knows nothing about YAML.
 */
enum row_type {
	ROW_TEXT,
	ROW_WORD,
	ROW_INT,
	ROW_FLAG,
	ROW_TEXTS,
	ROW_INTS,
	ROW_MAP,
	ROW_LIST,  /* of mappings */
	ROW_PAIRS, /* any keys, text values */
	ROW_EMPTY, /* a mapping without keys */
	ROW_NAMES, /* `none` or a list of names */
};

enum row_need {
	NEED_OPTIONAL,
	NEED_REQUIRED,
	NEED_ONE_OF,
	NEED_SOME_OF
};

/* What a text must look like. */
enum row_form {
	FORM_ANY,    /* text in YAML's sense: not a number, bool or null */
	FORM_SCALAR, /* whatever stands there, as its text */
	FORM_NAME,   /* lower case, digits, '-'; at most 63 */
	FORM_LABEL,  /* letters, digits and ". _ : - /"; at most 253 */
	FORM_TITLE,  /* one line for people; at most 200 */
	FORM_ENV_NAME,
	FORM_PATH, /* absolute */
	FORM_FILE, /* relative ones lie beside the manifest */
	FORM_URL,
	FORM_SQL,
	FORM_PORT, /* number or name */
	FORM_HEADER,
	FORM_DURATION,
	FORM_INTERVAL, /* a duration from 1s to 1h */
	FORM_PORTION,  /* a number from 1 on, or 1% to 100% */
	FORM_QUANTITY,
	FORM_RATIO,
	FORM_RATE,  /* "3 per 1h" */
	FORM_LIMIT, /* a rate, or "off" */
	FORM_DATE,
	FORM_CRON, /* crontab(5) */
	FORM_ZONE, /* of the IANA database */
	FORM_FINDING,
	FORM_QUEUE_KIND,
	FORM_ID,     /* a user or group: number or name */
	FORM_RLIMIT, /* soft:hard, or one for both */
	FORM_RLIMIT_BYTES,
	FORM_CPUS,    /* "0-3,7" */
	FORM_UMASK,   /* octal */
	FORM_ADDRESS, /* to listen on: base/address.h */
	FORM_CAPABILITY,
	FORM_REF_QUEUE,
	FORM_REF_SECRET,
	FORM_REF_CONFIG,
	FORM_REF_WORKER,
};

enum {
	ROW_FORMS = FORM_REF_WORKER + 1,
};

enum {
	F_INERT = 1 << 0,  /* accepted, doesn't act yet (decisions.md 15) */
	F_EXPAND = 1 << 1, /* `$(NAME)`; an unknown name is an error */
	F_EXPAND_KEEP = 1 << 2,  /* `$(NAME)`; an unknown one stays, as in
	                            Kubernetes' command and args */
	F_HIDE = 1 << 3,         /* may hold a secret: never quoted */
	F_MAY_BE_EMPTY = 1 << 4, /* "" is a value */
	F_ID = 1 << 5,           /* unique among its siblings */
	F_EXIT = 1 << 6,         /* 0 or 143 */
	F_SHORT = 1 << 7,        /* of a list: a text stands for a mapping with
	                            that value of its first key */
};

enum {
	LIST_MAX = 10000
};

enum queue_kind_id {
#define QUEUE_KIND(id, word, acts, schemes, client_keys, name_key, doc) \
	QUEUE_KIND_##id,
#include "manifests/manifest.def"
	QUEUE_KINDS
};
static_assert(QUEUE_KINDS <= 64, "kinds fit a mask");

struct queue_kind {
	const char *word;
	bool acts;
	const char *schemes;     /* of the URL itself, separated by spaces */
	const char *client_keys; /* that stay in its query; "*": any */
	const char *name_key;
	const char *doc;
};
/* Indexed by enum queue_kind_id. */
extern const struct queue_kind queue_kinds[QUEUE_KINDS];
/* QUEUE_KINDS: no such kind. */
enum queue_kind_id queue_kind_find(const char *word);

enum mapping_id {
#define MAPPING(m, title, doc) MAPPING_##m,
#include "manifests/manifest.def"
	MAPPINGS
};

struct row {
	const char *key;
	enum row_type type;
	enum row_need need;
	unsigned flags;
	enum row_form form;
	const char *const *words; /* NULL-terminated */
	int64_t min, max;         /* ROW_INT(S): of the value; ROW_LIST and
	                             ROW_TEXTS: of the count */
	enum mapping_id sub;
	uint64_t kinds, needed_by; /* of a queue's key; 0: not one */
	const char *dflt;
	const char *doc;
};

struct mapping {
	const char *name;
	const char *title;
	const char *doc;
	const struct row *rows;
	size_t nrows;
};

const struct mapping *mapping_of(enum mapping_id id);
const struct row *mapping_row(const struct mapping *mapping, const char *key);

/* ROW_<mapping>_<member>: index of a row within its mapping. */
#define MAPPING(m, title, doc) \
	enum rows_of_##m       \
	{
#define END(m)   \
	ROWS_##m \
	}        \
	;
#define TEXT(m, f, key, need, flags, form, dflt, doc)    ROW_##m##_##f,
#define WORD(m, f, key, need, flags, set, dflt, doc)     ROW_##m##_##f,
#define INT(m, f, key, need, flags, min, max, dflt, doc) ROW_##m##_##f,
#define FLAG(m, f, key, need, flags, dflt, doc)          ROW_##m##_##f,
#define TEXTS(m, f, key, need, flags, form, max, doc)    ROW_##m##_##f,
#define INTS(m, f, key, need, flags, min, max, doc)      ROW_##m##_##f,
#define MAP(m, f, key, need, flags, sub, doc)            ROW_##m##_##f,
#define LIST(m, f, key, need, flags, sub, min, doc)      ROW_##m##_##f,
#define PAIRS(m, f, key, need, flags, doc)               ROW_##m##_##f,
#define SHORTS(m, f, key, need, flags, sub, doc)         ROW_##m##_##f,
#define EMPTY(m, f, key, need, flags, doc)               ROW_##m##_##f,
#define NAMES(m, f, key, need, flags, doc)               ROW_##m##_##f,
#define QKEY(m, f, key, kinds, needed_by, doc)           ROW_##m##_##f,
#include "manifests/manifest.def"

/* The default that the table states for a member. */
#define DEFAULT_OF(m, f) (mapping_of(MAPPING_##m)->rows[ROW_##m##_##f].dflt)

/* Forms that say themselves what a number is: quotes make no difference. */
bool row_form_any_scalar(enum row_form form);

#endif
