/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "supervisor/init/core.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/table.h"

/*
 * What happened to the workers, for an operator that may be away: the last
 * CORE_JOURNAL events in a ring that lies in the state memfd. Event n lies at
 * n modulo the ring's size, so that a number is all a reader needs to go on.
 */

static bool
worth_telling(const struct core *core, int32_t slot, enum instance_event event)
{
	switch (event) {
	case EVENT_EXECED:
	case EVENT_UNREADY:
	case EVENT_STOP:
	case EVENT_KILL:
	case EVENT_EXITED:
	case EVENT_CLONE_FAILED:
	case EVENT_FINISH:
	case EVENT_HELD:
		return true;
	case EVENT_READY:
		/* without a probe it only repeats that it was executed */
		return links_of(core, slot)->probers[PROBER_READINESS] != 0;
	case EVENT_NONE:
	case EVENT_WANTED:
	case EVENT_CLONED:
	case EVENT_RETRY:
	case EVENT_FORGET:
	case EVENT_COUNT:
		return false;
	}
	return false;
}

static void
describe(const struct core *core, int32_t slot, enum instance_event event,
    struct wire_event *ret)
{
	const struct instance *instance = &core->instances[slot];

	*ret = (struct wire_event){
	    .wall_ms = clock_wall_ms(),
	    .replica = instance->replica,
	    /* of a main process that was reaped, its group still has the number
	     */
	    .pid = instance->pid > 0 ? instance->pid : instance->pgid,
	    .event = event,
	    .why = instance->why,
	};
	(void)snprintf(ret->name, sizeof(ret->name), "%s",
	    plan_worker_name(&core->plans[instance->plan], instance->worker));
	if (event != EVENT_EXITED)
		return;
	ret->exit = past_of(core, slot)->last_exit;
	ret->ran_ms = past_of(core, slot)->last_ran_ms;
}

void
journal_note(struct core *core, int32_t slot, enum instance_event event)
{
	union wire_message message;

	/* nobody would ever read it */
	if (core->operate.exec_fd == -1 || !worth_telling(core, slot, event))
		return;
	describe(core, slot, event, &message.event);
	wire_prepare(&message, WIRE_EVENT, 0);
	message.event.number = ++core->journalled;
	core->journal[core->journalled % CORE_JOURNAL] = message.event;
	journal_pump(core, &core->operate.peer);
}

void
journal_since(struct core *core, struct peer *peer, uint64_t number)
{
	/* another init's numbers, or none: from the oldest on */
	if (number > core->journalled)
		number = 0;
	peer->journal_at = number + 1;
	journal_pump(core, peer);
}

void
journal_pump(struct core *core, struct peer *peer)
{
	union wire_message message;

	if (peer->source.fd == -1 || peer->journal_at == 0)
		return;
	if (core->journalled >= CORE_JOURNAL)
		peer->journal_at =
		    MAX(peer->journal_at, core->journalled - CORE_JOURNAL + 1);
	for (; peer->journal_at <= core->journalled; peer->journal_at++) {
		message.event = core->journal[peer->journal_at % CORE_JOURNAL];
		/* another build's ring may have had another size */
		if (message.event.number != peer->journal_at)
			continue;
		if (!peer_send(core, peer, &message, -1))
			return; /* when it is writable again */
	}
}
