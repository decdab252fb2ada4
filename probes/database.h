/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_DATABASE_H
#define REEVE_PROBES_DATABASE_H

#include "base/base.h"
#include "probes/look.h"
#include "probes/rows.h"

/*
 * What a check, a stage or a clean-up asks of a database, whichever it is:
 * tables with their columns and grants, indexes, the migration's version, one
 * query's value, one statement. How each is found out is the server's
 * (postgres.c, mysql.c); what it means is here. Facts:
 *   table T           present, missing       columns-missing T   a, b
 *   elsewhere T       audit.T                nearest T           documents
 *   index I           valid, invalid, missing
 *   claim             atomic: …, twice, unknown: …
 *   migration, migration-expected            value, by, by-unknown, rows
 * and those that the server notes itself.
 */
enum database_index {
	DATABASE_INDEX_MISSING = 0,
	DATABASE_INDEX_VALID,
	DATABASE_INDEX_INVALID
};

struct database_migration {
	const char *rows;   /* how many there are */
	const char *newest; /* NULL: none */
	bool applied;       /* the wanted one is one of them */
};

struct database;

/* Each call but `end` and `try` returns -1 with the look's answer set. A
 * relation is what `relation` found: the other calls take it as their own. */
struct database_server {
	const char *placeholder;                     /* look_bind_canary()'s */
	const char *no_table, *no_column, *no_index; /* codes */
	const char *quote;                           /* around a name */
	int (*begin)(struct database *db, bool writes);
	int (*commit)(struct database *db);
	void (*end)(struct database *db);
	int (*who)(struct database *db);
	/* "" when there is none */
	int (*relation)(
	    struct database *db, const char *name, const char **ret);
	/* all tables: schema and name in a row */
	int (*tables)(struct database *db, struct sql_rows *ret);
	/* one name in a row */
	int (*columns)(
	    struct database *db, const char *relation, struct sql_rows *ret);
	/* facts about a table, as the server has them */
	int (*privileges)(
	    struct database *db, const char *name, const char *relation);
	int (*granted)(struct database *db, const char *relation,
	    const char *privilege, bool *ret);
	int (*index)(
	    struct database *db, const char *name, enum database_index *ret);
	/* `column` is quoted */
	int (*migration)(struct database *db, const char *relation,
	    const char *column, const char *wanted,
	    struct database_migration *ret);
	/* a second session to the same database, and its end */
	int (*second)(struct database *db, struct database *ret);
	void (*close)(struct database *second);
	/* the last statement that failed waited for somebody's lock */
	bool (*waited)(const struct database *db);
	/* one statement; -1 leaves the look without an answer: `err` says why,
	 * and `refused` answers with it */
	int (*try)(struct database *db, const char *sql, size_t nparams,
	    const char *const *params, struct sql_rows *ret, struct err *err);
	/* the statement that was tried last was refused: -1 */
	int (*refused)(
	    struct database *db, const char *doing, const struct err *err);
};

struct database {
	struct look *look;
	const struct database_server *server;
	void *session; /* the server's */
	/* what doesn't hold: the first decides the cause, all are told */
	enum cause cause;
	const char *code;
	const char *faults;
};

/* A name within the server's quotes. */
const char *database_quoted(struct database *db, const char *name);
/* One statement of ours, or the asker's; a refusal ends the look: -1. */
int database_ask(struct database *db, const char *doing, const char *sql,
    size_t nparams, const char *const *params, struct sql_rows *ret) MUST_CHECK;
/* Looks at what the request asks for, once the session stands. `logged_in` is
 * said when nothing more was asked. */
void database_look(struct database *db, const char *logged_in);

#endif
