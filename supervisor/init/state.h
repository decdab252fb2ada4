/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_STATE_H
#define REEVE_SUPERVISOR_INIT_STATE_H

#include "base/base.h"
#include "base/err.h"

/*
 * The state memfd describes itself, so that another build of reeve can take it
 * over: its head says where each table lies and where in a row each field. The
 * next image copies what it knows by name into a memfd of its own layout; what
 * the one before didn't have is zero, of what is longer now the rest is.
 * The same image after a fault maps it as it is. docs/design/init.md.
 */
enum {
	/* What the facts mean. Goes up with every change that an older image
	 * would misread: a new word of an enum, another unit. */
	STATE_VERSION = 1,
	/* The oldest that this image can take over. */
	STATE_OLDEST = 1,
	STATE_TABLES_MAX = 16,
	STATE_FIELDS_MAX = 256,
	STATE_NAME_SIZE = 28,
};

#define STATE_MAGIC UINT64_C(0x3172657663655200)

enum state_table {
	STATE_KEPT, /* struct kept: one */
	STATE_CORE, /* struct core: one */
	STATE_PLAN, /* core.plans */
	STATE_START,
	STATE_INSTANCE,
	STATE_WIRES,
	STATE_RUN,   /* the two tables of runs take turns: core.runs > */
	STATE_SPARE, /* core.spare_runs says that they did */
	STATE_PROBER,
	STATE_ALLOWED,
	STATE_JOURNAL,
	STATE_NOTICE,
	STATE_PAST,
	STATE_LINKS,
	STATE_PIDFD,
	STATE_STRAY,
	STATE_TABLES
};

struct state_place {
	uint64_t offset; /* in the memfd */
	uint32_t stride, count;
};

struct state_field {
	char name[STATE_NAME_SIZE];
	uint32_t table; /* enum state_table */
	uint32_t offset, size;
};

struct state_head {
	uint64_t magic;
	uint32_t version, nfields;
	struct state_place places[STATE_TABLES_MAX];
	struct state_field fields[STATE_FIELDS_MAX];
};

/* Writes the head of this image; `places` are its tables. */
void state_describe(
    struct state_head *head, const struct state_place places[STATE_TABLES]);
/* `bytes` is the size of the memfd: no field lies beyond it. */
int state_check(
    const struct state_head *head, uint64_t bytes, struct err *err) MUST_CHECK;
/* One number of the first row of a table; -1: there is no such field. */
int64_t state_number(const struct state_head *from, const char *from_base,
    enum state_table table, const char *name);
/* Copies of each table as many rows as `rows` says, or as there are. */
void state_copy(const struct state_head *from, const char *from_base,
    const struct state_head *to, char *to_base,
    const uint32_t rows[STATE_TABLES]);

/* `reeve --state`: one line on stdout. */
enum {
	STATE_SAID_MAX = 128
};
int state_say(void);
/* Whether whoever said that can take over a state of this image; `ret_version`
 * gets its version. */
int state_read_said(const char *said, char *ret_version, size_t size,
    struct err *err) MUST_CHECK;

#endif
