/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_FSM_H
#define REEVE_SUPERVISOR_INIT_FSM_H

#include "base/base.h"
#include "supervisor/wire/messages.h"

/*
 * An instance's life as a table of (state, event) -> state; what isn't in it
 * can't happen. docs/design/init.md draws it.
 */

/* The next state, or INSTANCE_STATES when the event has no place here. */
enum instance_state fsm_next(
    enum instance_state state, enum instance_event event);
/* A state in which nothing happens unless a timer fires. */
bool fsm_needs_timer(enum instance_state state);

#endif
