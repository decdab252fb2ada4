/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "supervisor/init/fsm.h"

/* One more than the state: a row that isn't written is 0, and no state. */
#define TO(state) ((uint8_t)((state) + 1))

static const uint8_t table[INSTANCE_STATES][EVENT_COUNT] = {
    [INSTANCE_NONE] =
        {
            [EVENT_WANTED] = TO(INSTANCE_PENDING),
        },
    [INSTANCE_PENDING] =
        {
            [EVENT_CLONED] = TO(INSTANCE_STARTING),
            [EVENT_CLONE_FAILED] = TO(INSTANCE_BACKOFF),
            [EVENT_HELD] = TO(INSTANCE_STOPPED),
            [EVENT_FORGET] = TO(INSTANCE_NONE),
        },
    [INSTANCE_STARTING] =
        {
            [EVENT_EXECED] = TO(INSTANCE_RUNNING),
            [EVENT_STOP] = TO(INSTANCE_STOPPING),
            [EVENT_KILL] = TO(INSTANCE_KILLING),
            [EVENT_EXITED] = TO(INSTANCE_ENDING),
        },
    [INSTANCE_RUNNING] =
        {
            [EVENT_READY] = TO(INSTANCE_READY),
            [EVENT_STOP] = TO(INSTANCE_STOPPING),
            [EVENT_KILL] = TO(INSTANCE_KILLING),
            [EVENT_EXITED] = TO(INSTANCE_ENDING),
        },
    [INSTANCE_READY] =
        {
            [EVENT_UNREADY] = TO(INSTANCE_RUNNING),
            [EVENT_STOP] = TO(INSTANCE_STOPPING),
            [EVENT_KILL] = TO(INSTANCE_KILLING),
            [EVENT_EXITED] = TO(INSTANCE_ENDING),
        },
    [INSTANCE_STOPPING] =
        {
            /* its stop came between clone and exec */
            [EVENT_EXECED] = TO(INSTANCE_STOPPING),
            [EVENT_KILL] = TO(INSTANCE_KILLING),
            [EVENT_EXITED] = TO(INSTANCE_ENDING),
        },
    [INSTANCE_ENDING] =
        {
            [EVENT_KILL] = TO(INSTANCE_KILLING),
            [EVENT_WANTED] = TO(INSTANCE_PENDING),
            [EVENT_RETRY] = TO(INSTANCE_BACKOFF),
            [EVENT_FINISH] = TO(INSTANCE_FINISHED),
            [EVENT_HELD] = TO(INSTANCE_STOPPED),
            [EVENT_FORGET] = TO(INSTANCE_NONE),
        },
    [INSTANCE_KILLING] =
        {
            [EVENT_EXECED] = TO(INSTANCE_KILLING),
            [EVENT_EXITED] = TO(INSTANCE_KILLING),
            [EVENT_WANTED] = TO(INSTANCE_PENDING),
            [EVENT_RETRY] = TO(INSTANCE_BACKOFF),
            [EVENT_FINISH] = TO(INSTANCE_FINISHED),
            [EVENT_HELD] = TO(INSTANCE_STOPPED),
            [EVENT_FORGET] = TO(INSTANCE_NONE),
        },
    [INSTANCE_BACKOFF] =
        {
            [EVENT_WANTED] = TO(INSTANCE_PENDING),
            [EVENT_HELD] = TO(INSTANCE_STOPPED),
            [EVENT_FORGET] = TO(INSTANCE_NONE),
        },
    [INSTANCE_FINISHED] =
        {
            [EVENT_WANTED] = TO(INSTANCE_PENDING),
            [EVENT_HELD] = TO(INSTANCE_STOPPED),
            [EVENT_FORGET] = TO(INSTANCE_NONE),
        },
    [INSTANCE_STOPPED] =
        {
            [EVENT_WANTED] = TO(INSTANCE_PENDING),
            [EVENT_FORGET] = TO(INSTANCE_NONE),
        },
};

enum instance_state
fsm_next(enum instance_state state, enum instance_event event)
{
	if ((unsigned)state >= INSTANCE_STATES ||
	    (unsigned)event >= EVENT_COUNT || table[state][event] == 0)
		return INSTANCE_STATES;
	return (enum instance_state)(table[state][event] - 1);
}

bool
fsm_needs_timer(enum instance_state state)
{
	switch (state) {
	case INSTANCE_STARTING:
	case INSTANCE_STOPPING:
	case INSTANCE_ENDING:
	case INSTANCE_KILLING:
	case INSTANCE_BACKOFF:
		return true;
	case INSTANCE_NONE:
	case INSTANCE_PENDING:
	case INSTANCE_RUNNING:
	case INSTANCE_READY:
	case INSTANCE_FINISHED:
	case INSTANCE_STOPPED:
	case INSTANCE_STATES:
		return false;
	}
	return false;
}
