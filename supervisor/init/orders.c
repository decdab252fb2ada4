/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "worker/send.h"

/* --- answers --- */

static void answer(struct core *core, struct peer *peer, uint32_t sequence,
    int code, uint32_t affected, const char *fmt, ...) PRINTF_LIKE(6, 7);

static void
answer(struct core *core, struct peer *peer, uint32_t sequence, int code,
    uint32_t affected, const char *fmt, ...)
{
	union wire_message message;
	struct wire_reply *reply = &message.reply;
	va_list args;

	memset(reply, 0, sizeof(*reply));
	wire_prepare(&message, WIRE_REPLY, sequence);
	reply->ok = code == EXIT_PASSED;
	reply->code = code;
	reply->plan_number = core->plan_number;
	reply->affected = affected;
	va_start(args, fmt);
	(void)vsnprintf(reply->text, sizeof(reply->text), fmt, args);
	va_end(args);
	/* whoever asks and doesn't read its answers loses them */
	(void)peer_send(core, peer, &message, -1);
}

void
order_answer(struct core *core, struct peer *peer, uint32_t sequence, int code,
    const char *text)
{
	answer(core, peer, sequence, code, 0, "%s", text);
}

/* --- orders about workers --- */

typedef bool act_fn(struct core *core, int32_t slot, int32_t value);

static bool
act_start(struct core *core, int32_t slot, int32_t value)
{
	struct instance *instance = &core->instances[slot];

	(void)value;
	switch ((enum instance_state)instance->state) {
	case INSTANCE_BACKOFF:
	case INSTANCE_FINISHED:
	case INSTANCE_STOPPED:
		instance_order(core, slot);
		return true;
	case INSTANCE_STOPPING:
	case INSTANCE_ENDING:
	case INSTANCE_KILLING:
		/* it was stopped by order, and the order is taken back */
		if (instance->why != WHY_ORDER_STOP)
			return false;
		instance->why = WHY_ORDER_RESTART;
		return true;
	case INSTANCE_NONE:
	case INSTANCE_PENDING:
	case INSTANCE_STARTING:
	case INSTANCE_RUNNING:
	case INSTANCE_READY:
	case INSTANCE_STATES:
		return false;
	}
	return false;
}

static bool
act_stop(struct core *core, int32_t slot, int32_t value)
{
	(void)value;
	if (core->instances[slot].state == INSTANCE_STOPPED)
		return false;
	instance_stop(core, slot, WHY_ORDER_STOP);
	return true;
}

static bool
act_restart(struct core *core, int32_t slot, int32_t value)
{
	enum instance_state state =
	    (enum instance_state)core->instances[slot].state;

	if (state == INSTANCE_STOPPED || state == INSTANCE_NONE)
		return false;
	if (value != WIRE_RESTART_MEMORY)
		instance_stop(core, slot, WHY_ORDER_RESTART);
	else if (state == INSTANCE_RUNNING || state == INSTANCE_READY)
		instance_stop(core, slot, WHY_MEMORY);
	else
		return false;
	return true;
}

static bool
act_signal(struct core *core, int32_t slot, int32_t value)
{
	const struct instance *instance = &core->instances[slot];

	/* before exec there is nobody who could take it */
	if (instance->pid <= 0 || core->wires[slot].start >= 0)
		return false;
	return send_to_process(instance->pid, value) == 0;
}

static act_fn *
act_of(enum wire_type type)
{
	if (type == WIRE_START)
		return act_start;
	if (type == WIRE_STOP)
		return act_stop;
	if (type == WIRE_RESTART)
		return act_restart;
	return act_signal;
}

static const char *
order_name(enum wire_type type)
{
	if (type == WIRE_START)
		return "start";
	if (type == WIRE_STOP)
		return "stop";
	if (type == WIRE_RESTART)
		return "restart";
	return type == WIRE_SCALE ? "scale" : "signal";
}

/* Before the instances: what the worker as a whole is to do from now on. */
static void
order_run(struct core *core, int32_t run, const struct wire_order *order)
{
	bool whole = order->replica == WIRE_ALL_REPLICAS;

	if (order->head.type == WIRE_STOP && whole)
		core->runs[run].held = true;
	if (order->head.type == WIRE_START)
		core->runs[run].held = false;
	if (order->head.type == WIRE_SCALE) {
		core->runs[run].desired = (uint32_t)order->value;
		/* who waits for all of them may have what it waited for, though
		 * nothing else changes: the others were stopped before */
		core->order_due = core->order_due || core->ordered;
	}
}

static uint32_t
act_on_run(struct core *core, int32_t run, const struct wire_order *order)
{
	act_fn *act = act_of((enum wire_type)order->head.type);
	uint32_t affected = 0;
	int32_t next;

	order_run(core, run, order);
	if (order->head.type == WIRE_START && schedule_is(core, run)) {
		affected = schedule_run(core, (uint32_t)run) ? 1 : 0;
		schedule_apply(core); /* held no more: its time goes on */
		return affected;
	}
	if (order->head.type == WIRE_SCALE) {
		run_reconcile(core, run);
		return (uint32_t)order->value;
	}
	for (int32_t slot = core->runs[run].first; slot != CORE_NO_SLOT;
	     slot = next) {
		next = core->instances[slot].next_in_run;
		if (order->replica == WIRE_ALL_REPLICAS ||
		    order->replica == core->instances[slot].replica)
			affected += act(core, slot, order->value);
	}
	if (order->head.type == WIRE_START)
		run_reconcile(core, run);
	return affected;
}

static void
name_workers(const struct core *core, char *dst, size_t size)
{
	size_t at = 0;

	dst[0] = '\0';
	for (uint32_t i = 0; i < core->nruns && at < size; i++) {
		int len = snprintf(dst + at, size - at, " %s",
		    plan_worker_name(&core->plans[core->current], i));
		if (len < 0)
			return;
		at += (size_t)len;
	}
}

static uint64_t
total_replicas(const struct core *core, int32_t but_run)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < core->nruns; i++)
		if ((int32_t)i != but_run)
			total += core->runs[i].desired;
	return total;
}

static bool
order_refused(struct core *core, struct peer *peer,
    const struct wire_order *order, int32_t run)
{
	char names[256];

	if (order->name[0] != '\0' && run == -1) {
		name_workers(core, names, sizeof(names));
		answer(core, peer, order->head.sequence, EXIT_USAGE, 0,
		    "no worker '%s'; there are:%s", order->name, names);
		return true;
	}
	if (order->head.type == WIRE_SIGNAL &&
	    (order->value < 1 || order->value > 64)) {
		answer(core, peer, order->head.sequence, EXIT_USAGE, 0,
		    "signal %d is not in 1..64", (int)order->value);
		return true;
	}
	if (order->head.type != WIRE_SCALE)
		return false;
	if (run == -1) {
		answer(core, peer, order->head.sequence, EXIT_USAGE, 0,
		    "which worker?");
		return true;
	}
	if (total_replicas(core, run) + (uint64_t)order->value >
	    core->max_workers) {
		answer(core, peer, order->head.sequence, EXIT_USAGE, 0,
		    "more than the %u replicas that are reserved "
		    "(--max-workers)",
		    core->max_workers);
		return true;
	}
	return false;
}

static void
order_worker(
    struct core *core, struct peer *peer, const struct wire_order *order)
{
	int32_t run =
	    plan_worker_find(&core->plans[core->current], order->name);
	uint32_t affected = 0;

	if (core->phase != PHASE_RUN) {
		answer(core, peer, order->head.sequence, EXIT_AGAIN, 0,
		    "the container is ending");
		return;
	}
	if (order_refused(core, peer, order, run))
		return;
	for (uint32_t i = 0; i < core->nruns; i++)
		if (run == -1 || (int32_t)i == run)
			affected += act_on_run(core, (int32_t)i, order);
	start_pump(core);
	log_info("order.done", "order=%s worker=%s replica=%d value=%d: %u",
	    order_name((enum wire_type)order->head.type),
	    order->name[0] != '\0' ? order->name : "*", (int)order->replica,
	    (int)order->value, affected);
	answer(
	    core, peer, order->head.sequence, EXIT_PASSED, affected, "%s", "");
}

/* --- the others --- */

static void
order_plan(struct core *core, struct peer *peer, uint32_t sequence, int fd)
{
	struct err err = ERR_INIT;

	if (!peer->is_operator) {
		answer(core, peer, sequence, EXIT_USAGE, 0,
		    "only the operator hands over plans");
		return;
	}
	if (fd == -1)
		(void)err_set(&err, ERR_INPUT, "no plan came with the message");
	else if (apply_plan(core, fd, true, &err) == 0) {
		answer(
		    core, peer, sequence, EXIT_PASSED, core->nruns, "%s", "");
		/* workers of the new plan, wanted replicas */
		snapshot_begin(core, peer);
		snapshot_pump(core, peer);
		return;
	}
	log_warning("plan.refused", "%s", err.text);
	answer(core, peer, sequence,
	    err.kind == ERR_INPUT ? EXIT_DATA : EXIT_MANIFEST, 0, "%s",
	    err.text);
}

static void
order_get_plan(struct core *core, struct peer *peer, uint32_t sequence)
{
	union wire_message message;

	if (!peer->full_control || !plan_applied(core)) {
		answer(core, peer, sequence, EXIT_AGAIN, 0, "%s",
		    plan_applied(core) ? "only for root and the same user"
		                       : "no plan was applied yet");
		return;
	}
	memset(&message.reply, 0, sizeof(message.reply));
	wire_prepare(&message, WIRE_REPLY, sequence);
	message.reply.ok = 1;
	message.reply.plan_number = core->plan_number;
	(void)peer_send(core, peer, &message, core->plans[core->current].fd);
}

/* What the operator wants to find again when it has been replaced. */
static void
order_keep(struct core *core, struct peer *peer, uint32_t sequence, int fd)
{
	int copy = -1;

	if (peer->is_operator && fd >= 0)
		copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (copy == -1) {
		answer(core, peer, sequence, EXIT_USAGE, 0,
		    "nothing came that could be kept");
		return;
	}
	fd_close(&core->kept_fd);
	core->kept_fd = copy;
	answer(core, peer, sequence, EXIT_PASSED, 0, "%s", "");
}

static void
order_get_kept(struct core *core, struct peer *peer, uint32_t sequence)
{
	union wire_message message;

	if (!peer->is_operator || core->kept_fd == -1) {
		answer(core, peer, sequence, EXIT_AGAIN, 0,
		    "nothing is kept for you");
		return;
	}
	memset(&message.reply, 0, sizeof(message.reply));
	wire_prepare(&message, WIRE_REPLY, sequence);
	message.reply.ok = 1;
	(void)peer_send(core, peer, &message, core->kept_fd);
}

/* What an instance runs with is known as long as it runs. */
static void
order_get_old_plan(
    struct core *core, struct peer *peer, const struct wire_order *order)
{
	union wire_message message;
	const struct plan *old = NULL;
	uint32_t sequence = order->head.sequence;

	for (size_t i = 0; i < ARRAY_LEN(core->plans); i++)
		if (core->plans[i].bytes != NULL && order->value > 0 &&
		    core->plans[i].number == (uint64_t)order->value)
			old = &core->plans[i];
	if (!peer->is_operator || old == NULL) {
		answer(core, peer, sequence, EXIT_AGAIN, 0,
		    "nothing runs from plan %d", order->value);
		return;
	}
	memset(&message.reply, 0, sizeof(message.reply));
	wire_prepare(&message, WIRE_REPLY, sequence);
	message.reply.ok = 1;
	message.reply.plan_number = old->number;
	(void)peer_send(core, peer, &message, old->fd);
}

static void
order_reload(struct core *core, struct peer *peer, uint32_t sequence)
{
	union wire_message message;
	struct peer *to = peers_operator(core);

	wire_prepare(&message, WIRE_RELOAD_WANTED, 0);
	if (to == NULL || !peer_send(core, to, &message, -1))
		answer(core, peer, sequence, EXIT_AGAIN, 0,
		    "the operator is not there: nothing can be reloaded now");
	else
		answer(core, peer, sequence, EXIT_PASSED, 0, "%s", "");
}

static void
order_state(struct core *core, struct peer *peer, const struct wire_text *text)
{
	if (peer->is_operator)
		(void)snprintf(core->operate.text, sizeof(core->operate.text),
		    "%.*s", (int)sizeof(core->operate.text) - 1, text->text);
}

/* Asked for by somebody: not what failed its probe or its watchdog. */
static bool
may_extend(enum instance_why why)
{
	return why == WHY_DRAIN || why == WHY_ORDER_STOP ||
	       why == WHY_ORDER_RESTART || why == WHY_SCALED ||
	       why == WHY_REMOVED;
}

/* By name over all instances: one that was removed belongs to no run. */
static void
order_extend(
    struct core *core, struct peer *peer, const struct wire_order *order)
{
	uint32_t affected = 0;

	if (!peer->is_operator) {
		answer(core, peer, order->head.sequence, EXIT_USAGE, 0,
		    "only the operator extends a drain");
		return;
	}
	for (uint32_t slot = 0; slot < core->slots_used; slot++) {
		const struct instance *instance = &core->instances[slot];
		struct worker_spec spec;

		if (instance->state != INSTANCE_STOPPING ||
		    instance->replica != (uint32_t)order->replica ||
		    !may_extend((enum instance_why)instance->why))
			continue;
		instance_spec(core, (int32_t)slot, &spec);
		if (!text_equal(spec.name, order->name))
			continue;
		instance_extend(core, (int32_t)slot, order->value);
		affected++;
	}
	answer(
	    core, peer, order->head.sequence, EXIT_PASSED, affected, "%s", "");
}

static void
order_events(
    struct core *core, struct peer *peer, const struct wire_since *since)
{
	if (!peer->is_operator) {
		answer(core, peer, since->head.sequence, EXIT_USAGE, 0,
		    "ask the operator for events");
		return;
	}
	answer(core, peer, since->head.sequence, EXIT_PASSED, 0, "%s", "");
	journal_since(core, peer, since->number);
}

static void
order_snapshot(struct core *core, struct peer *peer, uint32_t sequence)
{
	answer(core, peer, sequence, EXIT_PASSED, 0, "%s", "");
	snapshot_begin(core, peer);
	snapshot_pump(core, peer);
}

static void
order_other(struct core *core, struct peer *peer,
    const union wire_message *message, int fd)
{
	uint32_t sequence = message->head.sequence;

	if (message->head.type == WIRE_PLAN)
		order_plan(core, peer, sequence, fd);
	else if (message->head.type == WIRE_GET_PLAN)
		order_get_plan(core, peer, sequence);
	else if (message->head.type == WIRE_GET_OLD_PLAN)
		order_get_old_plan(core, peer, &message->order);
	else if (message->head.type == WIRE_KEEP)
		order_keep(core, peer, sequence, fd);
	else if (message->head.type == WIRE_GET_KEPT)
		order_get_kept(core, peer, sequence);
	else if (message->head.type == WIRE_EVENTS)
		order_events(core, peer, &message->since);
	else if (message->head.type == WIRE_EXTEND)
		order_extend(core, peer, &message->order);
	else if (message->head.type == WIRE_RELOAD)
		order_reload(core, peer, sequence);
	else if (message->head.type == WIRE_UPGRADE)
		upgrade_begin(core, peer, sequence, fd);
	else if (message->head.type == WIRE_OPERATOR_STATE)
		order_state(core, peer, &message->text);
	else
		answer(core, peer, sequence, EXIT_USAGE, 0,
		    "message type %u is not for the init",
		    (unsigned)message->head.type);
}

void
order_handle(
    struct core *core, struct peer *peer, union wire_message *message, int fd)
{
	uint32_t sequence = message->head.sequence;

	switch (message->head.type) {
	case WIRE_PONG:
	case WIRE_ALIVE:
		return; /* that it was heard is all */
	case WIRE_START:
	case WIRE_STOP:
	case WIRE_RESTART:
	case WIRE_SCALE:
	case WIRE_SIGNAL:
		order_worker(core, peer, &message->order);
		return;
	case WIRE_GET_SNAPSHOT:
		order_snapshot(core, peer, sequence);
		return;
	case WIRE_WATCH:
		peer->watching = true;
		order_snapshot(core, peer, sequence);
		return;
	case WIRE_LIVE:
		answer(
		    core, peer, sequence, EXIT_PASSED, core->alive, "%s", "");
		return;
	case WIRE_SHUTDOWN:
		answer(
		    core, peer, sequence, EXIT_PASSED, core->alive, "%s", "");
		drain_signal(core, SIGTERM);
		return;
	default: /* not an enum: anything else is rare, or not for us */
		order_other(core, peer, message, fd);
		return;
	}
}
