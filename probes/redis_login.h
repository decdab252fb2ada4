/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_REDIS_LOGIN_H
#define REEVE_PROBES_REDIS_LOGIN_H

#include "probes/redis_connection.h"
#include "probes/stream.h"

/* For redis_connection.c alone: whom a URL means, and being let in there. Texts
 * are the arena's. */
struct redis_target {
	struct endpoint endpoint;
	const char *user, *password; /* NULL: none */
	int64_t db;
};

int redis_target_parse(struct arena *arena, const char *text,
    struct redis_target *ret, struct err *err) MUST_CHECK;
/* Another server of the same URL. */
void redis_target_move(
    struct redis_target *target, const struct redis_place *place);

/* What redis_connection_open says that it does once it is connected. */
int redis_login(struct redis_connection *redis,
    const struct redis_target *target, const char *name,
    struct ladder *ladder) MUST_CHECK;

#endif
