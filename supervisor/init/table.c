/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/recover.h"

/*
 * All memory is mapped here, once, for the most that will ever be needed; pages
 * that are never touched cost nothing.
 */
static int
map_bytes(size_t bytes, void **ret, struct err *err)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return err_sys(err, "map %zu bytes for tables", bytes);
	*ret = at;
	return 0;
}

/* Where what lies in the state memfd: all that the next image wants to read. */
struct layout {
	size_t instances, wires, runs, spare, probers, allowed, total;
};

static size_t
place(size_t *at, size_t count, size_t bytes)
{
	size_t here = *at;

	*at = (here + count * bytes + 4095) & ~(size_t)4095;
	return here;
}

static struct layout
layout_of(const struct core *core)
{
	struct layout ret;
	size_t at = 0;

	(void)place(&at, 1, sizeof(struct kept));
	ret.instances = place(&at, core->max_workers, sizeof(struct instance));
	ret.wires = place(&at, core->max_workers, sizeof(struct wires));
	ret.runs = place(&at, PLAN_WORKERS_MAX, sizeof(struct run));
	ret.spare = place(&at, PLAN_WORKERS_MAX, sizeof(struct run));
	ret.probers = place(&at, core->probers_max, sizeof(struct prober));
	ret.allowed = place(&at, PLAN_WORKERS_MAX, sizeof(struct fingerprint));
	ret.total = at;
	return ret;
}

static int
map_state(struct core *core, int fd, struct err *err)
{
	struct layout at = layout_of(core);
	char *base =
	    mmap(NULL, at.total, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (base == MAP_FAILED)
		return err_sys(err, "map the state");
	core->kept = (void *)base;
	core->instances = (void *)(base + at.instances);
	core->wires = (void *)(base + at.wires);
	core->runs = (void *)(base + at.runs);
	core->spare_runs = (void *)(base + at.spare);
	core->probers = (void *)(base + at.probers);
	core->allowed = (void *)(base + at.allowed);
	core->state_fd = fd;
	return 0;
}

static int
make_state(struct core *core, struct err *err)
{
	int fd = memfd_create("reeve-state", MFD_CLOEXEC);

	if (fd == -1)
		return err_sys(err, "memfd for the state");
	if (ftruncate(fd, (off_t)layout_of(core).total) == -1) {
		(void)err_sys(err, "size of the state");
		fd_close(&fd);
		return -1;
	}
	if (map_state(core, fd, err) == -1) {
		fd_close(&fd);
		return -1;
	}
	*core->kept = (struct kept){.magic = RECOVER_MAGIC,
	    .core_bytes = sizeof(struct core),
	    .instance_bytes = sizeof(struct instance),
	    .max_workers = core->max_workers};
	return 0;
}

/* What each image makes anew. */
static int
map_own(struct core *core, struct err *err)
{
	size_t timers = core->max_workers + core->probers_max + 64;
	void *owners = NULL, *heap = NULL;

	if (map_bytes((core->owners_mask + 1) * sizeof(struct owner), &owners,
	        err) == -1 ||
	    map_bytes(timers * sizeof(struct loop_timer *), &heap, err) == -1)
		return -1;
	core->owners = owners;
	for (size_t i = 0; i < CORE_STARTS_MAX; i++)
		core->starts[i].slot = CORE_NO_SLOT;
	core->queue_first = core->queue_last = CORE_NO_SLOT;
	core->ending_first = CORE_NO_SLOT;
	core->probers_free = core->free_first = CORE_NO_SLOT;
	return loop_init(&core->loop, heap, (uint32_t)timers, err);
}

static void
size_tables(struct core *core)
{
	uint32_t owners = 1;

	core->probers_max = core->max_workers * PROBER_KINDS;
	/* at most half full, so that a search is short */
	while (owners < 2 * (core->max_workers + core->probers_max + 16))
		owners *= 2;
	core->owners_mask = owners - 1;
}

int
table_map(struct core *core, struct err *err)
{
	size_tables(core);
	if (make_state(core, err) == -1)
		return -1;
	return map_own(core, err);
}

int
table_remap(struct core *core, int fd, const struct core *old, struct err *err)
{
	size_tables(core);
	if (map_state(core, fd, err) == -1)
		return -1;
	if (old->runs > old->spare_runs) {
		struct run *runs = core->runs;
		core->runs = core->spare_runs;
		core->spare_runs = runs;
	}
	return map_own(core, err);
}

void
table_reset_wires(struct core *core, int32_t slot)
{
	core->wires[slot] =
	    (struct wires){.timer = {.fire = instance_timer, .owner = core},
	        .pidfd = {.fd = -1},
	        .out = {-1, -1},
	        .start = -1};
}

int32_t
table_take(struct core *core)
{
	int32_t slot = core->free_first;

	if (slot != CORE_NO_SLOT)
		core->free_first = core->instances[slot].next_queued;
	else if (core->slots_used < core->max_workers)
		slot = (int32_t)core->slots_used++;
	else
		return CORE_NO_SLOT;
	core->instances[slot] = (struct instance){.run = CORE_NO_RUN,
	    .next_in_run = CORE_NO_SLOT,
	    .next_queued = CORE_NO_SLOT};
	table_reset_wires(core, slot);
	return slot;
}

void
table_release(struct core *core, int32_t slot)
{
	loop_timer_clear(&core->loop, &core->wires[slot].timer);
	core->instances[slot] = (struct instance){
	    .run = CORE_NO_RUN, .next_queued = core->free_first};
	core->free_first = slot;
}

void
core_wake(struct core *core, struct loop_timer *timer, int64_t at_ms)
{
	struct err err = ERR_INIT;

	if (loop_timer_set(&core->loop, timer, at_ms, &err) == -1)
		log_error("timer.full", "%s", err.text);
}

/* --- process number -> owner: open addressing, no tombstones -----------------
 */

static uint32_t
owner_home(const struct core *core, pid_t pid)
{
	/* neighbours stay neighbours: few pages are touched */
	return (uint32_t)pid & core->owners_mask;
}

int
owner_set(struct core *core, pid_t pid, enum owner_kind kind, int32_t index,
    struct err *err)
{
	uint32_t at = owner_home(core, pid);

	for (uint32_t n = 0; n <= core->owners_mask; n++) {
		struct owner *owner = &core->owners[at];
		if (owner->pid == 0 || owner->pid == pid) {
			*owner = (struct owner){
			    .pid = pid, .kind = (uint16_t)kind, .index = index};
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
}

/* --- probers --- */

int32_t
prober_take(struct core *core)
{
	int32_t index = core->probers_free;

	if (index != CORE_NO_SLOT)
		core->probers_free = core->probers[index].next_free;
	else if (core->probers_used < core->probers_max)
		index = (int32_t)core->probers_used++;
	else
		return CORE_NO_SLOT;
	core->probers[index] = (struct prober){.slot = CORE_NO_SLOT,
	    .report_fd = -1,
	    .text_fd = -1,
	    .next_free = CORE_NO_SLOT};
	return index;
}

void
prober_release(struct core *core, int32_t index)
{
	struct prober *prober = &core->probers[index];

	loop_timer_clear(&core->loop, &prober->timer);
	fd_close(&prober->report_fd);
	fd_close(&prober->text_fd);
	prober->slot = CORE_NO_SLOT;
	prober->next_free = core->probers_free;
	core->probers_free = index;
}

/* xorshift, begun from the kernel's randomness. */
uint32_t
core_noise(void)
{
	static uint64_t state;

	if (state == 0 && (getrandom(&state, sizeof(state), GRND_NONBLOCK) !=
	                          (ssize_t)sizeof(state) ||
	                      state == 0))
		state = (uint64_t)clock_wall_ms() * 2 + 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}
