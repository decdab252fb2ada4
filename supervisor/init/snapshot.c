/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/table.h"

enum snapshot_part {
	PART_NONE = 0,
	PART_BEGIN,
	PART_WORKERS,
	PART_INSTANCES,
	PART_END,
};

/* The same for the same moment in each snapshot: whoever compares two of them
 * takes a difference for another process. */
static int64_t
wall_of(struct core *core, int64_t monotonic_ms)
{
	if (monotonic_ms == 0)
		return 0;
	core->wall_ahead_ms = clock_wall_ahead(core->wall_ahead_ms);
	return core->wall_ahead_ms + monotonic_ms;
}

/* --- the packets --- */

static void
snapshot_frame(const struct core *core, const struct peer *peer,
    enum wire_type type, union wire_message *ret)
{
	struct wire_snapshot *frame = &ret->snapshot;

	memset(frame, 0, sizeof(*frame));
	wire_prepare(ret, type, 0);
	frame->number = peer->snapshot_number;
	frame->plan_number = core->plan_number;
	frame->wall_ms = clock_wall_ms();
	frame->started_wall_ms = core->started_wall_ms;
	frame->workers = core->nruns;
	for (uint32_t i = 0; i < core->slots_used; i++)
		frame->instances += core->instances[i].state != INSTANCE_NONE;
	frame->init_pid = core->pid;
	frame->operator_pid = core->operate.pid;
	frame->logger_pid = core->logger.pid;
	frame->operator_state = core->operate.state;
	frame->operator_restarts = core->operate.restarts;
	frame->draining = core->phase != PHASE_RUN;
	frame->log_dropped = log_dropped();
	frame->orphans_reaped = core->orphans_reaped;
	frame->notify_dropped = core->notify.dropped;
	for (size_t i = 0; i < ARRAY_LEN(frame->files_lost); i++) {
		frame->files_lost[i] = core->tallies->files[i].lost;
		frame->files_unsure[i] = core->tallies->files[i].unsure;
	}
	frame->cgroup = core->cgroup.have;
	memcpy(frame->cgroup_why, core->cgroup.why, sizeof(frame->cgroup_why));
	memcpy(frame->name, core->name, sizeof(frame->name));
	memcpy(frame->operator_text, core->operate.text,
	    sizeof(frame->operator_text));
}

static void
snapshot_schedule(const struct run *run, const struct worker_schedule *schedule,
    struct wire_worker *ret)
{
	if (schedule->text == NULL)
		return;
	(void)snprintf(ret->schedule, sizeof(ret->schedule), "%.80s %.40s",
	    schedule->text, schedule->zone_name);
	ret->suspended = schedule->suspended;
	ret->missed = run->missed;
	ret->last_run_wall_ms = run->last_run_ms;
	ret->last_success_wall_ms = run->last_success_ms;
	ret->last_failure_wall_ms = run->last_failure_ms;
	if (run->due_s != CALENDAR_NEVER && !run->held && !schedule->suspended)
		ret->next_run_wall_ms = run->due_s * 1000;
}

void
snapshot_worker(const struct core *core, uint32_t run, uint64_t number,
    union wire_message *ret)
{
	struct wire_worker *worker = &ret->worker;
	struct worker_spec spec;

	plan_worker(&core->plans[core->current], run, &spec);
	memset(worker, 0, sizeof(*worker));
	wire_prepare(ret, WIRE_WORKER, 0);
	worker->snapshot = number;
	(void)snprintf(worker->name, sizeof(worker->name), "%s", spec.name);
	worker->declared = spec.replicas;
	worker->desired = core->runs[run].held ? 0 : core->runs[run].desired;
	worker->held = core->runs[run].held;
	worker->generation = spec.generation;
	memcpy(worker->config_digest, spec.config_digest,
	    sizeof(worker->config_digest));
	snapshot_schedule(&core->runs[run], &spec.schedule, worker);
	for (int32_t slot = core->runs[run].first; slot != CORE_NO_SLOT;
	     slot = core->instances[slot].next_in_run) {
		uint8_t state = core->instances[slot].state;
		worker->ready += state == INSTANCE_READY;
		worker->running +=
		    state == INSTANCE_READY || state == INSTANCE_RUNNING;
	}
}

static struct wire_count
count_of(const struct tally_count *count)
{
	return (struct wire_count){count->lines, count->bytes};
}

/* Read while the logger counts: what doesn't add up by a line is on its way. */
static void
snapshot_output(const struct tally *tally, struct wire_output *to)
{
	struct tally_count held = tally_held(tally);

	to->captured = tally->place[0].pid != 0 || tally->place[1].pid != 0;
	to->unsure = tally->unsure;
	to->received = count_of(&tally->received);
	to->written = count_of(&tally->written);
	to->dropped = count_of(&tally->dropped);
	to->limited = count_of(&tally->limited);
	to->lost = count_of(&tally->lost);
	to->held = count_of(&held);
}

/* What it waits for, where `why` alone doesn't say it. */
static void
wait_text(const struct core *core, int32_t slot, const struct worker_spec *spec,
    char *dst, size_t size)
{
	const struct instance *instance = &core->instances[slot];
	bool running = instance->state == INSTANCE_RUNNING;

	order_text(core, slot, dst, size);
	if (instance->state == INSTANCE_BACKOFF && instance->has_turn != 0)
		(void)snprintf(dst, size,
		    "waits for its turn: restart.startLimit is %u per %lld ms",
		    spec->start_limit.count,
		    (long long)spec->start_limit.window_ms);
	else if (instance->state == INSTANCE_BACKOFF &&
	         instance->why == WHY_RESOURCES)
		(void)snprintf(dst, size, "%s", core->room);
	else if (running && notify_awaited(core, slot))
		(void)snprintf(dst, size, "%s%s",
		    spec->notify.ready == NOTIFY_NEWLINE
		        ? "has not written a newline to its descriptor of "
		          "readiness"
		        : "has not said READY=1",
		    spec->notify.ready == NOTIFY_NEWLINE ||
		            core->notify.gone == 0
		        ? ""
		        : " (somebody said something and ended before it was "
		          "read: see docs/notify.md)");
}

void
snapshot_instance(struct core *core, int32_t slot, enum instance_event event,
    union wire_message *ret)
{
	const struct instance *instance = &core->instances[slot];
	const struct past *past = past_of(core, slot);
	struct wire_instance *to = &ret->instance;
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	memset(to, 0, sizeof(*to));
	wire_prepare(ret, WIRE_INSTANCE, 0);
	(void)snprintf(to->name, sizeof(to->name), "%s", spec.name);
	to->replica = instance->replica;
	to->state = instance->state;
	to->event = event;
	to->why = instance->why;
	to->pid = instance->pid;
	to->restarts = past->restarts;
	for (unsigned i = 0; i < CLASS_COUNT; i++)
		to->failures[i] = past->backoff.failures[i];
	memcpy(to->restarted, past->restarted, sizeof(to->restarted));
	to->total_exits = past->total_exits;
	to->oom_kills = past->oom_kills;
	to->has_readiness = worker_says_ready(&spec);
	to->generation = instance->generation;
	to->plan_number = instance->plan_number;
	memcpy(to->config_digest, instance->config_digest,
	    sizeof(to->config_digest));
	to->started_wall_ms = wall_of(core, instance->started_ms);
	to->ready_wall_ms = instance->state == INSTANCE_READY
	                        ? wall_of(core, instance->ready_ms)
	                        : 0;
	to->next_start_wall_ms = instance->state == INSTANCE_BACKOFF
	                             ? wall_of(core, past->next_start_ms)
	                             : 0;
	to->last_exit = past->last_exit;
	to->last_exit_wall_ms = past->last_exit_wall_ms;
	to->last_ran_ms = past->last_ran_ms;
	(void)snprintf(to->probe_text, sizeof(to->probe_text), "%s",
	    prober_text(core, slot));
	wait_text(core, slot, &spec, to->wait_text, sizeof(to->wait_text));
	if (instance_has(core, slot, ROW_NOTICE))
		(void)snprintf(to->status_text, sizeof(to->status_text), "%s",
		    core->notices[slot].status);
	if (core->logger.counted)
		snapshot_output(&core->tallies->slots[slot], &to->output);
}

/* --- sending it, as it goes --- */

void
snapshot_begin(struct core *core, struct peer *peer)
{
	if (peer->snapshot_part != PART_NONE) {
		peer->dirty = true; /* another one, when this one is over */
		return;
	}
	peer->dirty = false;
	peer->snapshot_number = ++core->snapshots;
	peer->snapshot_part = PART_BEGIN;
	peer->snapshot_at = 0;
}

/* Fills the next packet; false: this part is over. */
static bool
next_packet(struct core *core, struct peer *peer, union wire_message *ret)
{
	uint32_t at = (uint32_t)peer->snapshot_at;

	switch ((enum snapshot_part)peer->snapshot_part) {
	case PART_BEGIN:
	case PART_END:
		if (at > 0)
			return false;
		snapshot_frame(core, peer,
		    peer->snapshot_part == PART_BEGIN ? WIRE_SNAPSHOT_BEGIN
		                                      : WIRE_SNAPSHOT_END,
		    ret);
		return true;
	case PART_WORKERS:
		if (at >= core->nruns)
			return false;
		snapshot_worker(core, at, peer->snapshot_number, ret);
		return true;
	case PART_INSTANCES:
		while (at < core->slots_used &&
		       core->instances[at].state == INSTANCE_NONE)
			at++;
		peer->snapshot_at = (int32_t)at;
		if (at >= core->slots_used)
			return false;
		snapshot_instance(core, (int32_t)at, EVENT_NONE, ret);
		ret->instance.snapshot = peer->snapshot_number;
		return true;
	case PART_NONE:
		break;
	}
	return false;
}

void
snapshot_pump(struct core *core, struct peer *peer)
{
	union wire_message message;

	while (peer->snapshot_part != PART_NONE) {
		if (next_packet(core, peer, &message)) {
			if (!peer_send(core, peer, &message, -1))
				return; /* when it is writable again */
			peer->snapshot_at++;
			continue;
		}
		peer->snapshot_at = 0;
		if (peer->snapshot_part != PART_END) {
			peer->snapshot_part++;
			continue;
		}
		peer->snapshot_part = PART_NONE;
		if (peer->dirty && peer->watching)
			snapshot_begin(core, peer);
	}
}
