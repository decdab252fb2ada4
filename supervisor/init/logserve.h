/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_LOGSERVE_H
#define REEVE_SUPERVISOR_INIT_LOGSERVE_H

#include "base/base.h"
#include "base/err.h"
#include "base/loop.h"
#include "supervisor/init/keep.h"
#include "supervisor/wire/logs.h"

/*
 * Serves the kept lines to `reeve logs`. A client is a reader of the rings with
 * a place in each of them: slow ones lose lines (and are told how many), and
 * nobody waits for them. Lines of several instances come in the order in which
 * they were written.
 */
enum {
	LOGSERVE_OUT = 131072 /* bytes under way to one client */
};

/* Where a client is in one instance's ring. */
struct logserve_place {
	uint64_t at, number;
	uint64_t order; /* of the line at `at`, when `queued` */
	bool queued;
};

struct logserve_client {
	struct loop_source source; /* fd -1: the slot is free */
	struct logserve *server;
	struct logs_request request;
	size_t request_len;
	/* instances that have lines for it: a heap, the oldest line first */
	uint32_t *heap;
	uint32_t heap_len;
	struct logserve_place *places;
	char *out;
	size_t out_start, out_len;
};

struct logserve {
	struct loop *loop;
	struct loop_source listener;
	const struct keep *keep;
	struct logserve_client clients[LOGS_CLIENTS_MAX];
};

int logserve_init(struct logserve *server, struct loop *loop, int listen_fd,
    const struct keep *keep, struct err *err) MUST_CHECK;
/* A line was added to `instance`: followers get it with the next pump. */
void logserve_added(
    struct logserve *server, const struct keep_instance *instance);
/* Sends what can be sent now. */
void logserve_pump(struct logserve *server);

#endif
