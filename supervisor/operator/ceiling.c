/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "probes/memory.h"
#include "supervisor/operator/operator.h"

/*
 * The memory limit where no cgroup holds it: who is above it at two looks in a
 * row is restarted as by an OOM kill, but drained first. One look may fall on a
 * peak that passes.
 */
enum {
	LOOKS = 2,
};

static void
restart(struct operator_core *op, const struct wire_instance *wire,
    uint64_t bytes, uint64_t limit)
{
	struct err err = ERR_INIT;

	events_say(op->events, "restart", wire->name,
	    "replica %" PRIu32 " holds %" PRIu64
	    " bytes of memory, limit %" PRIu64,
	    wire->replica, bytes, limit);
	log_warning("memory.ceiling",
	    "worker=%s/%" PRIu32 ": %" PRIu64 " bytes in %d looks in a row, "
	    "limit %" PRIu64 ": restarted, no cgroup holds it",
	    wire->name, wire->replica, bytes, (int)LOOKS, limit);
	if (wire_client_order(&op->init, WIRE_RESTART, wire->name,
	        (int32_t)wire->replica, WIRE_RESTART_MEMORY, &err) == -1)
		log_warning("memory.ceiling", "%s", err.text);
}

static void
judge(struct operator_core *op, const struct memory_session *session,
    struct running_instance *instance, uint64_t limit)
{
	uint64_t bytes = session->rss;

	if (bytes > limit)
		bytes = memory_certain(session);
	if (bytes <= limit) {
		instance->over = 0;
		return;
	}
	if (++instance->over < LOOKS)
		return;
	instance->over = 0;
	restart(op, &instance->wire, bytes, limit);
}

/* The limit of a worker's instances, or 0. */
static uint64_t
limit_of(const struct operator_core *op, const struct running_worker *worker)
{
	const struct declared_worker *declared =
	    operator_declared(op, worker->wire.name, NULL);

	if (declared == NULL || declared->memory_limit_bytes <= 0)
		return 0;
	return (uint64_t)declared->memory_limit_bytes;
}

/* The sessions of the instances with a limit, and how many; only counted
 * without `sessions`. A worker's session has its first process's number. */
static size_t
collect(const struct operator_core *op, struct memory_session *sessions)
{
	size_t count = 0;

	for (size_t i = 0; i < op->running.count; i++) {
		const struct running_worker *worker = &op->running.workers[i];
		if (limit_of(op, worker) == 0)
			continue;
		for (size_t k = 0; k < worker->ninstances; k++) {
			const struct wire_instance *wire =
			    &worker->instances[k].wire;
			if (!running_is_up(wire))
				continue;
			if (sessions != NULL)
				sessions[count].id = wire->pid;
			count++;
		}
	}
	return count;
}

static void
judge_all(struct operator_core *op, const struct memory_session *sessions,
    size_t count)
{
	for (size_t i = 0; i < op->running.count; i++) {
		struct running_worker *worker = &op->running.workers[i];
		uint64_t limit = limit_of(op, worker);
		for (size_t k = 0; limit > 0 && k < worker->ninstances; k++) {
			struct running_instance *instance =
			    &worker->instances[k];
			const struct memory_session *session =
			    memory_find(sessions, count, instance->wire.pid);
			if (session != NULL)
				judge(op, session, instance, limit);
			else
				instance->over = 0;
		}
	}
}

void
ceiling_look(struct operator_core *op)
{
	struct err err = ERR_INIT;
	size_t count = 0;

	if (op->draining || !op->running.known ||
	    (op->running.snapshot.cgroup & CGROUP_MEMORY) != 0 ||
	    (count = collect(op, NULL)) == 0)
		return;
	struct memory_session *sessions = calloc(count, sizeof(*sessions));
	if (sessions == NULL)
		return;
	(void)collect(op, sessions);
	if (memory_look(sessions, count, &err) == -1)
		log_warning("memory.ceiling", "%s", err.text);
	else
		judge_all(op, sessions, count);
	free(sessions);
}
