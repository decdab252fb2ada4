/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <sys/mman.h>

#include "supervisor/init/core.h"
#include "supervisor/init/table.h"

/* Process number -> owner: open addressing, no tombstones. */

/* A table of n lies in its room from n on, so the next larger one is beside
 * it. It is as small as it can be: numbers of processes go round, and would
 * touch every page of a large one. */
void
owners_open(struct core *core, uint32_t count)
{
	core->owners = core->owners_room + count;
	core->owners_mask = count - 1;
	core->owners_used = 0;
}

static uint32_t
owner_home(const struct core *core, pid_t pid)
{
	/* neighbours stay neighbours: few pages are touched */
	return (uint32_t)pid & core->owners_mask;
}

static void
owners_grow(struct core *core)
{
	struct owner *old = core->owners;
	uint32_t count = core->owners_mask + 1;

	owners_open(core, 2 * count);
	for (uint32_t i = 0; i < count; i++)
		if (old[i].pid != 0)
			(void)!owner_set(core, old[i].pid,
			    (enum owner_kind)old[i].kind, (int32_t)old[i].index,
			    NULL);
	/* whole pages: the room is aligned, and so is each table in it */
	(void)madvise(old, count * sizeof(*old), MADV_DONTNEED);
}

int
owner_set(struct core *core, pid_t pid, enum owner_kind kind, int32_t index,
    struct err *err)
{
	if (2 * core->owners_used > core->owners_mask &&
	    core->owners_mask + 1 < core->owners_max)
		owners_grow(core);
	uint32_t at = owner_home(core, pid);

	for (uint32_t n = 0; n <= core->owners_mask; n++) {
		struct owner *owner = &core->owners[at];
		if (owner->pid == 0 || owner->pid == pid) {
			core->owners_used += owner->pid == 0;
			*owner = (struct owner){.pid = pid,
			    .kind = (uint32_t)kind & 0xF,
			    .index = (uint32_t)index & 0xFFFFFFF};
			return 0;
		}
		at = (at + 1) & core->owners_mask;
	}
	return err_set(err, ERR_CAPACITY, "the process table is full");
}

static struct owner *
owner_find(const struct core *core, pid_t pid)
{
	uint32_t at = owner_home(core, pid);

	for (uint32_t n = 0; n <= core->owners_mask; n++) {
		struct owner *owner = &core->owners[at];
		if (owner->pid == pid)
			return owner;
		if (owner->pid == 0)
			return NULL;
		at = (at + 1) & core->owners_mask;
	}
	return NULL;
}

struct owner
owner_of(const struct core *core, pid_t pid)
{
	const struct owner *owner = pid > 0 ? owner_find(core, pid) : NULL;

	return owner != NULL ? *owner : (struct owner){.kind = OWNER_NONE};
}

void
owner_clear(struct core *core, pid_t pid)
{
	struct owner *owner = pid > 0 ? owner_find(core, pid) : NULL;

	if (owner == NULL)
		return;
	uint32_t hole = (uint32_t)(owner - core->owners);
	uint32_t at = hole;
	/* what was pushed on by the one that leaves moves back */
	for (;;) {
		at = (at + 1) & core->owners_mask;
		if (core->owners[at].pid == 0)
			break;
		uint32_t home = owner_home(core, core->owners[at].pid);
		uint32_t to_hole = (at - hole) & core->owners_mask;
		uint32_t to_home = (at - home) & core->owners_mask;
		if (to_home < to_hole)
			continue;
		core->owners[hole] = core->owners[at];
		hole = at;
	}
	core->owners[hole] = (struct owner){.pid = 0};
	core->owners_used--;
}
