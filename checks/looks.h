/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_LOOKS_H
#define REEVE_CHECKS_LOOKS_H

#include "checks/engine.h"

/*
 * Everything that was looked at over the network or on disk, in one form: a
 * worker's variable, a queue, a declared check, with what was seen. Each row
 * about endpoints judges its own step of the ladder for all of them.
 */
enum look_of {
	LOOK_ENV,
	LOOK_QUEUE,
	LOOK_CHECK
};

/* Which row judges what answered: the families of kinds. */
enum look_family {
	FAMILY_OBJECTS,  /* s3: RV115 */
	FAMILY_SERVICE,  /* http, tcp, tls, dns, …: RV110 */
	FAMILY_BROKER,   /* redis, sqlite queues, …: RV206 */
	FAMILY_DATABASE, /* postgres, mysql, queues in them: RV401 */
	FAMILY_LOCAL,    /* command, file, sqlite: RV119, RV407 */
};

struct look {
	enum look_of of;
	enum look_family family;
	struct subject subject;
	const char *kind;
	const struct observation *seen; /* NULL: never looked */
	const struct declared_check *check;
	const struct declared_queue *queue;
	bool required;
};

typedef void look_fn(struct check *check, const struct look *look);
/* Variables, then queues, then checks. */
void looks_each(struct check *check, look_fn *judge);

/* As check_begin, with the look's `required` and the endpoint as a label. The
 * label of an account is the whole redacted target, of a host the host. */
enum look_label {
	LOOK_LABEL_HOST,
	LOOK_LABEL_PORT,
	LOOK_LABEL_TARGET
};
struct report_finding *look_begin(
    struct check *check, const struct look *look, enum look_label label);
/* Failed or unknown, as the observation says, with it as evidence. */
void look_fail(struct check *check, struct report_finding *finding,
    const struct look *look, const char *expected);
/* A fact of the observation by key, or NULL. */
const char *look_fact(const struct observation *seen, const char *key);
/* Has the declared request this key? */
bool look_asks(const struct look *look, const char *key);

#endif
