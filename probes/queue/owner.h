/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_OWNER_H
#define REEVE_PROBES_QUEUE_OWNER_H

#include "base/arena.h"
#include "base/base.h"

/*
 * Who holds a lease, as the reference worker writes it: "WORKER/REPLICA:LIFE"
 * under a supervisor, "HOST#PID:LIFE" without one. LIFE is this one process and
 * no other, ever: "MACHINE.PID.START" in hex, where MACHINE is a digest of the
 * kernel's boot id, the host's name and the pid namespace, and START is the
 * process's start in clock ticks since boot (proc(5), stat, field 22). So
 * whoever is in the same pid namespace can ask the kernel whether it still
 * lives, and nobody elsewhere can mistake one of his own for it. Where the
 * kernel doesn't tell all of that, LIFE is random: told apart from others, but
 * never known to be over.
 */
enum {
	OWNER_LIFE_SIZE = 64
};

enum owner_state {
	OWNER_UNKNOWN = 0, /* of another machine, or no such text */
	OWNER_LIVES,
	OWNER_DEAD, /* the kernel has no such process any more */
};

void owner_life(char dst[OWNER_LIFE_SIZE]); /* ours */
enum owner_state owner_state(const char *owner);
/* "fileprocess/0" of "fileprocess/0:…"; "": no supervisor started it. */
const char *owner_replica(struct arena *arena, const char *owner);
/* Whether it is a replica of one of these workers. */
bool owner_is_of(const char *owner, const char *const *workers, size_t count);

#endif
