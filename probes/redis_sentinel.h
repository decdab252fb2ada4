/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_REDIS_SENTINEL_H
#define REEVE_PROBES_REDIS_SENTINEL_H

#include "base/base.h"
#include "probes/ladder.h"
#include "probes/redis_connection.h"

/*
 * Asks the Sentinels one after the other who is the master called `master`
 * (NULL: "mymaster"), and connects to it: `url` has the credentials, TLS and
 * database. A master that says that it is none (the failover isn't over yet)
 * isn't taken. -1 with the reason in `ladder`.
 */
struct redis_sentinels {
	const struct redis_place *all;
	int count;
	const char *master;
};
int redis_sentinel_open(const char *url, const struct redis_sentinels *from,
    const char *name, struct ladder *ladder,
    struct redis_connection **ret) MUST_CHECK;

/* The end of the first of so many tries that have to be over by then: one
 * server that hangs leaves time for the next. */
int64_t redis_share_of(int64_t deadline_ms, int tries);

#endif
