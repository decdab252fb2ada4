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

/* The facts lie in a memfd: they can be handed to the next image. */
static int
map_instances(struct core *core, struct err *err)
{
	size_t bytes = core->max_workers * sizeof(struct instance);
	int fd = memfd_create("reeve-state", MFD_CLOEXEC);

	if (fd == -1)
		return err_sys(err, "memfd for the state");
	if (ftruncate(fd, (off_t)bytes) == -1) {
		(void)err_sys(err, "size of the state");
		fd_close(&fd);
		return -1;
	}
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		(void)err_sys(err, "map the state");
		fd_close(&fd);
		return -1;
	}
	core->state_fd = fd;
	core->instances = at;
	return 0;
}

static int
map_tables(struct core *core, size_t timers, struct err *err)
{
	size_t most = core->max_workers;
	void *wires = NULL, *runs = NULL, *spare = NULL, *probers = NULL;
	void *owners = NULL, *allowed = NULL, *heap = NULL;

	if (map_bytes(most * sizeof(struct wires), &wires, err) == -1 ||
	    map_bytes(PLAN_WORKERS_MAX * sizeof(struct run), &runs, err) ==
	        -1 ||
	    map_bytes(PLAN_WORKERS_MAX * sizeof(struct run), &spare, err) ==
	        -1 ||
	    map_bytes(core->probers_max * sizeof(struct prober), &probers,
	        err) == -1 ||
	    map_bytes((core->owners_mask + 1) * sizeof(struct owner), &owners,
	        err) == -1 ||
	    map_bytes(PLAN_WORKERS_MAX * sizeof(struct fingerprint), &allowed,
	        err) == -1 ||
	    map_bytes(timers * sizeof(struct loop_timer *), &heap, err) == -1)
		return -1;
	core->wires = wires;
	core->runs = runs;
	core->spare_runs = spare;
	core->probers = probers;
	core->owners = owners;
	core->allowed = allowed;
	return loop_init(&core->loop, heap, (uint32_t)timers, err);
}

int
table_map(struct core *core, struct err *err)
{
	uint32_t owners = 1;

	core->probers_max = core->max_workers * PROBER_KINDS;
	/* at most half full, so that a search is short */
	while (owners < 2 * (core->max_workers + core->probers_max + 16))
		owners *= 2;
	core->owners_mask = owners - 1;
	if (map_instances(core, err) == -1 ||
	    map_tables(core, core->max_workers + core->probers_max + 64, err) ==
	        -1)
		return -1;
	for (size_t i = 0; i < CORE_STARTS_MAX; i++)
		core->starts[i].slot = CORE_NO_SLOT;
	core->queue_first = core->queue_last = CORE_NO_SLOT;
	core->ending_first = CORE_NO_SLOT;
	core->probers_free = core->free_first = CORE_NO_SLOT;
	return 0;
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
	core->wires[slot] =
	    (struct wires){.timer = {.fire = instance_timer, .owner = core},
	        .pidfd = {.fd = -1},
	        .out = {-1, -1},
	        .start = -1};
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
