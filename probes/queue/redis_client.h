/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_REDIS_CLIENT_H
#define REEVE_PROBES_QUEUE_REDIS_CLIENT_H

#include "base/arena.h"
#include "base/base.h"
#include "probes/redis_connection.h"

/* The clients of a Redis, as CLIENT LIST shows them (queues.md part 5). */
struct redis_client {
	int64_t id, db, argv_mem; /* -1: not said */
	const char *address, *name, *flags, *command, *user;
	int64_t pid;     /* on this host; -1: not, or not seen */
	int64_t session; /* of that process */
};

struct redis_clients {
	struct redis_client *list; /* without ourselves */
	size_t count;
	const char *why; /* they aren't known; NULL: they are */
	bool pids_asked;
};

/* One line. Texts in the arena; false: it is none. */
bool redis_client_parse(struct arena *arena, const char *line, size_t len,
    struct redis_client *ret);
/* All of an answer, but the one at `self`. An error as answer is the reason why
 * they aren't known. */
void redis_clients_read(struct arena *arena, const redisReply *reply,
    const char *self, struct redis_clients *ret);
/* Finds the pids of those on this host: a walk through /proc, made once. */
void redis_clients_pids(struct redis_clients *clients, struct arena *arena);
bool redis_client_blocked(const struct redis_client *client);

#endif
