/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_REDIS_NODES_H
#define REEVE_PROBES_REDIS_NODES_H

#include "probes/redis_server.h"

/* For the files of redis_server.h alone: what it is made of. */
enum {
	REDIS_NODE_TEXT_MAX = 272,  /* a host's name */
	REDIS_NO_SLOT = REDIS_SLOTS /* of a command without a key */
};

struct redis_node {
	char host[REDIS_NODE_TEXT_MAX];
	int port;
	struct redis_connection *redis; /* owned; NULL: not connected */
};

struct redis_server {
	char *key; /* of those that are shared: the URL; else NULL */
	unsigned refs;
	struct redis_server *next;
	char *url, *name; /* that nodes are opened with */
	/* The first: where the URL led. */
	struct redis_node nodes[REDIS_NODES_MAX];
	size_t nnodes;
	/* An index; of those not known: the first. */
	uint8_t owner[REDIS_SLOTS];
};

/* The node of that address, connected; -1: it can't be had. */
int redis_node_index(struct redis_server *server, const char *host, int port,
    int64_t deadline_ms);

/* The slot of a command's first key, or REDIS_NO_SLOT (redis_slot.c). */
unsigned redis_command_slot(const struct redis_command *command);

#endif
