/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_TABLE_H
#define REEVE_SUPERVISOR_INIT_TABLE_H

#include "base/base.h"
#include "base/err.h"
#include "supervisor/init/core.h"

/*
 * Memory: slots of instances and the rows beside them, process numbers and
 * their owners.
 */

/* --- table.c --- */

int table_map(struct core *core, struct err *err) MUST_CHECK;
/* The same from the state that another image left in `fd`; what `old` says of
 * the order of runs. */
int table_remap(struct core *core, int fd, const struct core *old,
    struct err *err) MUST_CHECK;
/* From the state of another build: into a new memfd of our own, whose `kept`
 * then holds what could be taken. `fd` stays as it is. */
int table_convert(struct core *core, int fd, struct err *err) MUST_CHECK;
/* Which of the two tables of runs is in use, as `old` had it. */
void table_take_turns(struct core *core, const struct core *old);
/* The tables in `fd`, of another process, to be read: maps them. */
int table_look(struct core *core, int fd, struct err *err) MUST_CHECK;
/* No start under way. */
void table_reset_wires(struct core *core, int32_t slot);
/* Its row, to be read: one of nothing where it has none. */
const struct past *past_of(const struct core *core, int32_t slot);
const struct links *links_of(const struct core *core, int32_t slot);
/* ... to be written: now it has one. */
struct past *past_make(struct core *core, int32_t slot);
struct links *links_make(struct core *core, int32_t slot);
/* Its pidfd, or -1. */
int pidfd_of(const struct core *core, int32_t slot);
/* Closes it. */
void pidfd_forget(struct core *core, int32_t slot);
/* A zeroed slot, or CORE_NO_SLOT. */
int32_t table_take(struct core *core);
void table_release(struct core *core, int32_t slot);
/* Sets a timer; the heap has room for all that there can be. */
void core_wake(struct core *core, struct loop_timer *timer, int64_t at_ms);
/* A table of `count` (a power of two) for process numbers, empty; it grows. */
void owners_open(struct core *core, uint32_t count);
int owner_set(struct core *core, pid_t pid, enum owner_kind kind, int32_t index,
    struct err *err) MUST_CHECK;
struct owner owner_of(const struct core *core, pid_t pid);
void owner_clear(struct core *core, pid_t pid);
int32_t prober_take(struct core *core);
void prober_release(struct core *core, int32_t index);
uint32_t core_noise(void); /* random bits, for spreading only */

static inline bool
instance_has(const struct core *core, int32_t slot, enum instance_row row)
{
	return (core->instances[slot].rows & row) != 0;
}

#endif
