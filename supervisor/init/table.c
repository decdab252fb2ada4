/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/state.h"
#include "supervisor/init/table.h"

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

enum {
	OWNERS_FIRST = 1024, /* at most half full, as every larger one */
};

/* Where what lies in the state memfd: all that the next image wants to read. */
struct layout {
	size_t instances, pasts, notices, links, pidfds, wires, runs, spare,
	    probers, allowed, journal, strays, total;
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
	ret.pasts = place(&at, core->max_workers, sizeof(struct past));
	ret.notices = place(&at, core->max_workers, sizeof(struct notice));
	ret.links = place(&at, core->max_workers, sizeof(struct links));
	ret.pidfds = place(&at, core->max_workers, sizeof(struct loop_source));
	ret.wires = place(&at, core->max_workers, sizeof(struct wires));
	ret.runs = place(&at, PLAN_WORKERS_MAX, sizeof(struct run));
	ret.spare = place(&at, PLAN_WORKERS_MAX, sizeof(struct run));
	ret.probers = place(&at, core->probers_max, sizeof(struct prober));
	ret.allowed = place(&at, PLAN_WORKERS_MAX, sizeof(struct fingerprint));
	ret.journal = place(&at, CORE_JOURNAL, sizeof(struct wire_event));
	ret.strays = place(&at, CORE_STRAYS_MAX, sizeof(struct stray));
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
	core->pasts = (void *)(base + at.pasts);
	core->notices = (void *)(base + at.notices);
	core->links = (void *)(base + at.links);
	core->pidfds = (void *)(base + at.pidfds);
	core->wires = (void *)(base + at.wires);
	core->runs = (void *)(base + at.runs);
	core->spare_runs = (void *)(base + at.spare);
	core->probers = (void *)(base + at.probers);
	core->allowed = (void *)(base + at.allowed);
	core->journal = (void *)(base + at.journal);
	core->strays = (void *)(base + at.strays);
	core->state_fd = fd;
	return 0;
}

/* The head, by which another build finds its way. */
static void
describe(struct core *core)
{
	struct layout at = layout_of(core);
	const struct state_place places[STATE_TABLES] = {
	    [STATE_KEPT] = {0, sizeof(struct kept), 1},
	    [STATE_CORE] = {offsetof(struct kept, core), sizeof(struct core),
	        1},
	    [STATE_PLAN] = {offsetof(struct kept, core.plans),
	        sizeof(struct plan), CORE_PLANS_MAX},
	    [STATE_START] = {offsetof(struct kept, core.starts),
	        sizeof(struct start), CORE_STARTS_MAX},
	    [STATE_INSTANCE] = {at.instances, sizeof(struct instance),
	        core->max_workers},
	    [STATE_PAST] = {at.pasts, sizeof(struct past), core->max_workers},
	    [STATE_NOTICE] = {at.notices, sizeof(struct notice),
	        core->max_workers},
	    [STATE_LINKS] = {at.links, sizeof(struct links), core->max_workers},
	    [STATE_PIDFD] = {at.pidfds, sizeof(struct loop_source),
	        core->max_workers},
	    [STATE_WIRES] = {at.wires, sizeof(struct wires), core->max_workers},
	    [STATE_RUN] = {at.runs, sizeof(struct run), PLAN_WORKERS_MAX},
	    [STATE_SPARE] = {at.spare, sizeof(struct run), PLAN_WORKERS_MAX},
	    [STATE_PROBER] = {at.probers, sizeof(struct prober),
	        core->probers_max},
	    [STATE_ALLOWED] = {at.allowed, sizeof(struct fingerprint),
	        PLAN_WORKERS_MAX},
	    [STATE_JOURNAL] = {at.journal, sizeof(struct wire_event),
	        CORE_JOURNAL},
	    [STATE_STRAY] = {at.strays, sizeof(struct stray), CORE_STRAYS_MAX},
	};
	struct kept *kept = core->kept;

	kept->core_bytes = sizeof(struct core);
	kept->instance_bytes = sizeof(struct instance);
	kept->max_workers = core->max_workers;
	(void)snprintf(
	    kept->version, sizeof(kept->version), "%s", REEVE_VERSION);
	state_describe(&kept->head, places);
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
	describe(core);
	while (core->kept->run_id == 0)
		core->kept->run_id =
		    (uint64_t)core_noise() << 32 | core_noise();
	return 0;
}

/* What each image makes anew. */
static int
map_own(struct core *core, struct err *err)
{
	/* those of instances, of probers, of starts and our own */
	size_t timers =
	    core->max_workers + core->probers_max + CORE_STARTS_MAX + 64;
	void *owners = NULL, *heap = NULL, *own = NULL;

	if (map_bytes(2 * (size_t)core->owners_max * sizeof(struct owner),
	        &owners, err) == -1 ||
	    map_bytes(timers * sizeof(struct loop_timer *), &heap, err) == -1 ||
	    map_bytes(
	        core->max_workers * sizeof(struct loop_timer), &own, err) == -1)
		return -1;
	core->timers = own;
	core->owners_room = owners;
	owners_open(core, MIN(core->owners_max, (uint32_t)OWNERS_FIRST));
	for (size_t i = 0; i < CORE_STARTS_MAX; i++)
		core->starts[i].slot = CORE_NO_SLOT;
	for (size_t i = 0; i < LANES; i++)
		core->lanes[i] =
		    (struct lane_queue){CORE_NO_SLOT, CORE_NO_SLOT};
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
	core->owners_max = owners;
}

int
table_map(struct core *core, struct err *err)
{
	size_tables(core);
	if (make_state(core, err) == -1)
		return -1;
	return map_own(core, err);
}

void
table_take_turns(struct core *core, const struct core *old)
{
	struct run *runs = core->runs;

	if (old->runs <= old->spare_runs)
		return;
	core->runs = core->spare_runs;
	core->spare_runs = runs;
}

int
table_remap(struct core *core, int fd, const struct core *old, struct err *err)
{
	size_tables(core);
	if (map_state(core, fd, err) == -1)
		return -1;
	table_take_turns(core, old);
	return map_own(core, err);
}

/* How many rows of each table were used; garbage is cut off by the tables. */
static void
rows_of(const struct state_head *from, const char *base,
    uint32_t rows[STATE_TABLES])
{
	static const struct {
		enum state_table table;
		const char *counter; /* in struct core */
	} counted[] = {
	    {STATE_INSTANCE, "slots_used"},
	    {STATE_PAST, "slots_used"},
	    {STATE_NOTICE, "slots_used"},
	    {STATE_LINKS, "slots_used"},
	    {STATE_PIDFD, "slots_used"},
	    {STATE_WIRES, "slots_used"},
	    {STATE_RUN, "nruns"},
	    {STATE_SPARE, "nruns"},
	    {STATE_PROBER, "probers_used"},
	    {STATE_ALLOWED, "nallowed"},
	    {STATE_STRAY, "nstrays"},
	};

	for (size_t i = 0; i < STATE_TABLES; i++)
		rows[i] = UINT32_MAX;
	for (size_t i = 0; i < ARRAY_LEN(counted); i++)
		rows[counted[i].table] = (uint32_t)MAX(
		    state_number(from, base, STATE_CORE, counted[i].counter),
		    (int64_t)0);
}

/* `base` is mapped, `bytes` long. */
static int
convert_from(
    struct core *core, const char *base, uint64_t bytes, struct err *err)
{
	const struct state_head *from = (const void *)base;
	uint32_t rows[STATE_TABLES];

	if (state_check(from, bytes, err) == -1)
		return -1;
	int64_t workers = state_number(from, base, STATE_CORE, "max_workers");
	if (workers < 1 || workers > INT64_C(10) * WORKER_REPLICAS_MAX)
		return err_set(err, ERR_INPUT, "a state for %lld instances",
		    (long long)workers);
	core->max_workers = (uint32_t)workers;
	if (table_map(core, err) == -1)
		return -1;
	/* what is not in the other's state is as in a new one */
	memcpy(&core->kept->core, core, sizeof(*core));
	rows_of(from, base, rows);
	state_copy(from, base, &core->kept->head, (char *)core->kept, rows);
	return 0;
}

int
table_convert(struct core *core, int fd, struct err *err)
{
	struct stat what;

	if (fstat(fd, &what) == -1)
		return err_sys(err, "size of the state");
	if (what.st_size < (off_t)sizeof(struct state_head))
		return err_set(err, ERR_INPUT, "the state isn't one of ours");
	size_t bytes = (size_t)what.st_size;
	void *base = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return err_sys(err, "map the state");
	int rc = convert_from(core, base, bytes, err);
	(void)munmap(base, bytes);
	return rc;
}

int
table_look(struct core *core, int fd, struct err *err)
{
	static struct kept kept;

	if (pread(fd, &kept, sizeof(kept), 0) != (ssize_t)sizeof(kept))
		return err_sys(err, "read the state");
	if (kept.head.magic != STATE_MAGIC ||
	    kept.core_bytes != sizeof(struct core) ||
	    kept.instance_bytes != sizeof(struct instance))
		return err_set(err, ERR_SYSTEM, "the state isn't one of ours");
	core->max_workers = kept.max_workers;
	size_tables(core);
	return map_state(core, fd, err);
}

void
table_reset_wires(struct core *core, int32_t slot)
{
	core->wires[slot] = (struct wires){.start = -1};
}

/* --- rows that only some have: filled before they are in use --- */

static const struct past no_past;
static const struct links no_links = {.newline = {.fd = -1}, .out = {-1, -1}};

const struct past *
past_of(const struct core *core, int32_t slot)
{
	return instance_has(core, slot, ROW_PAST) ? &core->pasts[slot]
	                                          : &no_past;
}

struct past *
past_make(struct core *core, int32_t slot)
{
	if (!instance_has(core, slot, ROW_PAST)) {
		core->pasts[slot] = no_past;
		core->instances[slot].rows |= ROW_PAST;
	}
	return &core->pasts[slot];
}

const struct links *
links_of(const struct core *core, int32_t slot)
{
	return instance_has(core, slot, ROW_LINKS) ? &core->links[slot]
	                                           : &no_links;
}

struct links *
links_make(struct core *core, int32_t slot)
{
	if (!instance_has(core, slot, ROW_LINKS)) {
		core->links[slot] = no_links;
		core->instances[slot].rows |= ROW_LINKS;
	}
	return &core->links[slot];
}

int
pidfd_of(const struct core *core, int32_t slot)
{
	return instance_has(core, slot, ROW_PIDFD) ? core->pidfds[slot].fd : -1;
}

void
pidfd_forget(struct core *core, int32_t slot)
{
	if (!instance_has(core, slot, ROW_PIDFD))
		return;
	loop_remove(&core->loop, &core->pidfds[slot]);
	fd_close(&core->pidfds[slot].fd);
	core->instances[slot].rows &= (uint8_t)~ROW_PIDFD;
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
	instance_wake_never(core, slot);
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
