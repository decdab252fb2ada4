/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/fsm.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/table.h"
#include "supervisor/wire/plan_encode.h"
#include "worker/send.h"
#include "worker/spawn.h"

/*
 * The init's state machine against a kernel that is made up: processes are
 * rows, time is a number, and 10^6 random things happen to them. After each,
 * what must always hold is looked at. Which things is told by the seed alone:
 * REEVE_SEED=N tries others.
 */
enum {
	STEPS = 1000000,
	PROCESSES = 4096,
	PLACES = 24, /* instances that the plan may have at once */
};

enum life {
	LIFE_NONE,
	LIFE_CLONED,
	LIFE_RUNS,
	LIFE_ZOMBIE,
	LIFE_REAPED
};

struct process {
	enum life life;
	char label[32]; /* worker/replica */
	int code, status, pidfd;
	bool exec_fails;
	bool deaf;   /* ignores TERM */
	bool family; /* leaves a member of its group behind */
	bool member; /* that member lives */
	bool member_deaf;
	bool told; /* its group heard TERM */
};

static struct process processes[PROCESSES]; /* pid - 2 */
static unsigned nprocesses, reaped;
static int64_t fake_now_ms;
static struct core *core;
static int64_t tick_ms; /* that each look at the clock takes */
static bool cloning_fails, no_pidfds, all_pidfds;
static uint64_t seed;

static unsigned
chance(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

/* --- the kernel --- */

int64_t __wrap_clock_ms(void);
uint32_t __wrap_core_noise(void);
void __wrap_log_open(
    int fd, enum log_format format, enum log_level least, const char *role);
void __real_log_open(
    int fd, enum log_format format, enum log_level least, const char *role);
int __wrap_spawn_start(
    const struct spawn_request *request, struct spawned *ret, struct err *err);
int __wrap_spawn_report(int report_fd, struct worker_exit *ret);
int __wrap_send_to_process(pid_t pid, int signo);
int __wrap_send_to_group(pid_t pgid, int pidfd, int signo);
int __wrap_send_to_led(int pidfd, int signo);
bool __wrap_send_group_exists(pid_t pgid);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
void __wrap_room_for_processes(char *dst, size_t size);

/* It would look at every process of the machine. */
void
__wrap_room_for_processes(char *dst, size_t size)
{
	(void)size;
	dst[0] = '\0';
}

/* What is chance in the init comes from the seed too: a run can be repeated. */
uint32_t
__wrap_core_noise(void)
{
	return chance(UINT32_MAX);
}

/* A million of them say too much. */
void
__wrap_log_open(
    int fd, enum log_format format, enum log_level least, const char *role)
{
	(void)fd;
	(void)least;
	__real_log_open(-1, format, LOG_ERROR, role);
}

int64_t
__wrap_clock_ms(void)
{
	fake_now_ms += tick_ms;
	return fake_now_ms;
}

static struct process *
process_of(pid_t pid)
{
	assert_true(pid >= 2 && (unsigned)pid < 2 + nprocesses);
	return &processes[pid - 2];
}

int
__wrap_spawn_start(
    const struct spawn_request *request, struct spawned *ret, struct err *err)
{
	if (cloning_fails || nprocesses == PROCESSES) {
		errno = EAGAIN;
		return err_sys(err, "clone");
	}
	struct process *process = &processes[nprocesses];
	*process = (struct process){.life = LIFE_CLONED,
	    .exec_fails = chance(20) == 0,
	    .deaf = chance(8) == 0,
	    .family = chance(8) == 0,
	    .member_deaf = chance(3) == 0};
	(void)snprintf(process->label, sizeof(process->label), "%s/%s",
	    request->spec->name, strchr(request->extra->entries[1], '=') + 1);
	ret->pid = (pid_t)(2 + nprocesses++);
	ret->pidfd = no_pidfds || (!all_pidfds && chance(8) == 0)
	                 ? -1
	                 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret->report_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	process->pidfd = ret->pidfd;
	return 0;
}

/* Which process a report belongs to is asked through this. */
static struct process *reported;

int
__wrap_spawn_report(int report_fd, struct worker_exit *ret)
{
	(void)report_fd;
	if (reported == NULL)
		return 0;
	if (!reported->exec_fails)
		return 1;
	*ret = (struct worker_exit){
	    .kind = EXIT_EXEC, .stage = STAGE_EXEC, .value = ENOENT};
	return -1;
}

static void
dies(struct process *process, int code, int status)
{
	if (process->life != LIFE_CLONED && process->life != LIFE_RUNS)
		return;
	process->life = LIFE_ZOMBIE;
	process->code = code;
	process->status = status;
	process->member = process->family;
}

int
__wrap_send_to_process(pid_t pid, int signo)
{
	struct process *process = process_of(pid);

	/* only what we haven't reaped may be signalled */
	assert_true(process->life != LIFE_REAPED);
	if (signo == SIGKILL || (signo == SIGTERM && !process->deaf))
		dies(process, CLD_KILLED, signo);
	return 0;
}

static void
hears(struct process *process, int signo)
{
	if (signo == SIGKILL || (signo == SIGTERM && !process->deaf))
		dies(process, CLD_KILLED, signo);
	if (signo == SIGKILL || (signo == SIGTERM && !process->member_deaf))
		process->member = false;
}

int
__wrap_send_to_group(pid_t pgid, int pidfd, int signo)
{
	struct process *process = process_of(pgid);

	(void)pidfd;
	process->told = process->told || signo == SIGTERM;
	hears(process, signo);
	return 0;
}

int
__wrap_send_to_led(int pidfd, int signo)
{
	unsigned at = nprocesses;

	/* a descriptor's number is used again: whose it is now came last */
	while (at > 0 && processes[at - 1].pidfd != pidfd)
		at--;
	assert_true(pidfd >= 0 && at > 0 && core->led);
	struct process *process = &processes[at - 1];
	assert_int_equal(process->life, LIFE_REAPED);
	bool member = process->member;
	hears(process, signo);
	errno = ESRCH;
	return member ? 0 : -1;
}

bool
__wrap_send_group_exists(pid_t pgid)
{
	const struct process *process = process_of(pgid);

	return process->life != LIFE_REAPED || process->member;
}

int
__wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	for (unsigned i = 0; i < nprocesses; i++) {
		struct process *process = &processes[i];
		if (process->life != LIFE_ZOMBIE ||
		    (type == P_PID && id != i + 2))
			continue;
		info->si_pid = (pid_t)(i + 2);
		info->si_code = process->code;
		info->si_status = process->status;
		if ((options & WNOWAIT) == 0) {
			process->life = LIFE_REAPED;
			reaped++;
		}
		return 0;
	}
	info->si_pid = 0;
	return 0;
}

/* --- the plan --- */

static void
apply(unsigned a, unsigned b, bool with_c, uint64_t version)
{
	static const char *const argv[] = {"x", NULL};
	static const char *const envp[] = {NULL};
	static const char *const names[] = {"a", "b", "c"};
	static const enum worker_restart restarts[] = {
	    RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NEVER};
	/* in every second plan, one after the other */
	static const struct worker_dependency after[] = {
	    {"a", CONDITION_READY}, {"b", CONDITION_COMPLETED}};
	uint32_t ordered = version % 2;
	unsigned replicas[] = {a, b, 2};
	struct worker_spec specs[3];
	struct plan_settings settings;
	struct buffer out;
	struct err err = ERR_INIT;
	int fd = -1;

	for (unsigned i = 0; i < 3; i++) {
		specs[i] = (struct worker_spec){.name = names[i],
		    .argv = argv,
		    .executable = "/x",
		    .envp = envp,
		    .uid = -1,
		    .gid = -1,
		    .umask = UINT32_MAX,
		    .replicas = replicas[i],
		    .restart = restarts[i],
		    .backoff_first_ms = i == 0 ? 0 : 100,
		    .backoff_cap_ms = 5000,
		    .start_limit = {.count = i, .window_ms = 700},
		    .grace_ms = 3000,
		    .drain_signal = SIGTERM,
		    .dependencies = i > 0 ? &after[i - 1] : NULL,
		    .ndependencies = i > 0 ? ordered : 0,
		    .rank = i * ordered,
		    .generation = version};
		specs[i].config_digest[0] = (uint8_t)(version >> (i * 2) & 3);
	}
	plan_settings_default(&settings);
	settings.logs = LOGS_NONE;
	settings.name = "life";
	buffer_init(&out, 1 << 20);
	if (plan_encode(specs, with_c ? 3 : 2, &settings, &out, &err) == -1 ||
	    plan_memfd(out.data, out.len, &fd, &err) == -1)
		fail_msg("%s", err.text);
	/* too many configurations alive is an answer, nothing else is */
	if (apply_plan(core, fd, true, &err) == -1)
		assert_int_equal(err.kind, ERR_CAPACITY);
	fd_close(&fd);
	buffer_wipe(&out);
}

/* --- what must hold --- */

static bool
has_timer(int32_t slot)
{
	int16_t start = core->wires[slot].start;

	if (core->instances[slot].state == INSTANCE_STARTING)
		return start >= 0 && core->starts[start].deadline.slot != 0;
	return instance_has(core, slot, ROW_TIMER) &&
	       core->timers[slot].slot != 0;
}

/* Who is to start is in the queue, or waits for somebody by name. */
static void
check_wait(int32_t slot)
{
	const struct instance *instance = &core->instances[slot];
	bool queued = core->wires[slot].queued;
	char text[WIRE_WAIT_MAX];

	if (instance->state != INSTANCE_PENDING) {
		assert_false(queued);
		return;
	}
	order_text(core, slot, text, sizeof(text));
	if (queued == (text[0] != '\0'))
		fail_msg("%s is to start, %s: '%s'", instance_label(core, slot),
		    queued ? "now" : "and isn't in the queue", text);
}

static void
check_instance(int32_t slot)
{
	const struct instance *instance = &core->instances[slot];
	const struct wires *wires = &core->wires[slot];
	enum instance_state state = (enum instance_state)instance->state;

	uint32_t unordered = 0;
	for (unsigned kind = CLASS_NONE + 1; kind < CLASS_ORDERED; kind++)
		unordered += past_of(core, slot)->restarted[kind];
	assert_int_equal(past_of(core, slot)->restarts, unordered);
	if (fsm_needs_timer(state) && !has_timer(slot))
		fail_msg("%s waits in '%s' for nothing",
		    instance_label(core, slot), instance_state_name(state));
	check_wait(slot);
	if (!instance_state_alive(state)) {
		assert_int_equal(instance->pid, 0);
		assert_int_equal(instance->pgid, 0);
		assert_int_equal(wires->start, -1);
		return;
	}
	assert_true(instance->pgid > 0);
	if (instance->pid > 0) {
		struct owner owner = owner_of(core, instance->pid);
		assert_int_equal(owner.kind, OWNER_INSTANCE);
		assert_int_equal(owner.index, slot);
		assert_true(process_of(instance->pid)->life != LIFE_REAPED);
	}
}

static void
check_all(void)
{
	uint32_t alive = 0, living = 0, unreaped = 0;
	static const char *labels[PROCESSES];

	for (uint32_t slot = 0; slot < core->slots_used; slot++) {
		if (core->instances[slot].state == INSTANCE_NONE)
			continue;
		alive += instance_state_alive(
		    (enum instance_state)core->instances[slot].state);
		check_instance((int32_t)slot);
	}
	assert_int_equal(alive, core->alive);
	/* whose end may go unheard, and may come soon, is looked after */
	if (core->hurried > 0 && core->alive > core->witnesses)
		assert_int_not_equal(core->safety_timer.slot, 0);
	for (unsigned i = 0; i < nprocesses; i++) {
		struct process *process = &processes[i];
		unreaped += process->life != LIFE_REAPED;
		if (process->life != LIFE_CLONED &&
		    process->life != LIFE_RUNS && !process->member)
			continue;
		for (unsigned j = 0; j < living; j++)
			if (strcmp(labels[j], process->label) == 0)
				fail_msg("%s lives twice", process->label);
		labels[living++] = process->label;
	}
	/* exits = spawns but for those that are there */
	assert_int_equal(nprocesses, reaped + unreaped);
}

/* --- what happens --- */

static void
exec_news(void)
{
	int32_t slot = (int32_t)chance(core->slots_used + 1);

	if ((uint32_t)slot >= core->slots_used || core->wires[slot].start < 0 ||
	    core->instances[slot].pid <= 0)
		return;
	reported = process_of(core->instances[slot].pid);
	if (reported->life == LIFE_CLONED && !reported->exec_fails)
		reported->life = LIFE_RUNS;
	start_collect(core, slot);
	if (reported->exec_fails)
		dies(reported, CLD_EXITED, 127);
	reported = NULL;
	start_pump(core);
}

static void
some_die(void)
{
	for (unsigned n = chance(4); n > 0 && nprocesses > 0; n--) {
		struct process *process = &processes[chance(nprocesses)];
		if (chance(3) == 0)
			dies(process, CLD_KILLED, SIGSEGV);
		else
			dies(process, CLD_EXITED, (int)chance(3));
		if (chance(4) == 0 && process->life == LIFE_REAPED)
			process->member = false;
	}
}

static void
time_passes(void)
{
	struct err err = ERR_INIT;

	fake_now_ms += chance(1200);
	assert_int_equal(loop_turn(&core->loop, 0, &err), 0);
	core->reaped = 0;
	reap(core);
}

static void
order(void)
{
	static const enum wire_type types[] = {
	    WIRE_START, WIRE_STOP, WIRE_RESTART, WIRE_SCALE};
	static const char *const names[] = {"a", "b", "c", ""};
	static struct peer nobody = {.source = {.fd = -1}};
	union wire_message message;

	memset(&message, 0, sizeof(message));
	wire_prepare(&message, types[chance(4)], 1);
	(void)snprintf(message.order.name, sizeof(message.order.name), "%s",
	    names[chance(4)]);
	message.order.replica =
	    chance(2) == 0 ? WIRE_ALL_REPLICAS : (int32_t)chance(4);
	message.order.value = (int32_t)chance(6);
	order_handle(core, &nobody, &message, -1);
}

static void
something_happens(unsigned step)
{
	switch (chance(12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		exec_news();
		return;
	case 4:
	case 5:
		some_die();
		return;
	case 6:
	case 7:
	case 8:
		time_passes();
		return;
	case 9:
		order();
		return;
	case 10:
		if (chance(8) == 0)
			apply(chance(5), chance(5), chance(3) > 0, step / 100);
		return;
	default:
		cloning_fails = chance(6) == 0;
		core->reaped = 0;
		reap(core);
	}
}

/* Rows of processes that are wholly gone are used again. */
static void
forget_processes(void)
{
	for (unsigned i = 0; i < nprocesses; i++)
		if (processes[i].life != LIFE_REAPED || processes[i].member)
			return;
	if (core->alive > 0)
		return;
	nprocesses = reaped = 0;
}

static void
begin(uint64_t with_seed)
{
	struct err err = ERR_INIT;

	seed = with_seed;
	nprocesses = reaped = 0;
	cloning_fails = false;
	reported = NULL;
	fake_now_ms = 1000000;
	core = calloc(1, sizeof(*core));
	assert_non_null(core);
	core_reset(core, PLACES);
	core->pid = (int32_t)getpid();
	core->placed = true; /* no sockets */
	assert_int_equal(table_map(core, &err), 0);
	/* kernels, and a plan of more workers than get a pidfd */
	core->led = chance(3) > 0;
	all_pidfds = chance(2) == 0;
	apply(2, 2, true, 0);
}

static void
drain_to_the_end(void)
{
	cloning_fails = false;
	drain_signal(core, SIGTERM);
	unsigned spawned = nprocesses;
	for (int turns = 0; core->phase < PHASE_LOGGER; turns++) {
		if (turns > 10000)
			fail_msg("the drain doesn't end: phase %d, %u alive",
			    (int)core->phase, core->alive);
		exec_news();
		time_passes();
		order_step(core);
		check_all();
		assert_int_equal(nprocesses, spawned);
	}
	assert_int_equal(core->alive, 0);
	for (unsigned i = 0; i < nprocesses; i++) {
		assert_int_equal(processes[i].life, LIFE_REAPED);
		assert_false(processes[i].member);
	}
}

static void
whatever_happens_the_invariants_hold(void **state)
{
	const char *other = getenv("REEVE_SEED");
	unsigned drains = 0;

	(void)state;
	log_open(-1, LOG_TEXT, LOG_ERROR, "test");
	begin(other == NULL ? 88172645463325252U : strtoull(other, NULL, 10));
	for (unsigned step = 0; step < STEPS; step++) {
		something_happens(step);
		order_step(core);
		check_all();
		forget_processes();
		if (nprocesses > PROCESSES / 2 || chance(4000) == 0) {
			drain_to_the_end();
			drains++;
			free(core);
			begin(seed);
		}
	}
	drain_to_the_end();
	assert_true(drains > 3);
	free(core);
}

static void
what_is_not_in_the_table_does_not_happen(void **state)
{
	(void)state;
	/* no start but from pending, no second process */
	for (int from = 0; from < INSTANCE_STATES; from++) {
		enum instance_state to =
		    fsm_next((enum instance_state)from, EVENT_CLONED);
		assert_int_equal(to, from == INSTANCE_PENDING
		                         ? INSTANCE_STARTING
		                         : INSTANCE_STATES);
		/* what lives is not forgotten unless it has ended */
		if (instance_state_alive((enum instance_state)from) &&
		    from != INSTANCE_ENDING && from != INSTANCE_KILLING)
			assert_int_equal(
			    fsm_next((enum instance_state)from, EVENT_FORGET),
			    INSTANCE_STATES);
	}
	assert_int_equal(
	    fsm_next(INSTANCE_STATES, EVENT_STOP), INSTANCE_STATES);
	assert_int_equal(
	    fsm_next(INSTANCE_READY, EVENT_COUNT), INSTANCE_STATES);
}

static void
process_numbers_lead_to_their_owners(void **state)
{
	enum {
		MANY = 60
	};
	struct err err = ERR_INIT;

	(void)state;
	begin(7);
	/* numbers that collide, taken out in another order */
	for (int i = 0; i < MANY; i++)
		assert_int_equal(
		    owner_set(core,
		        (pid_t)(100 +
		                (uint32_t)i % 3 * (core->owners_mask + 1) +
		                (uint32_t)i / 3),
		        OWNER_PROBER, i, &err),
		    0);
	for (int n = 0; n < MANY; n++) {
		int i = (n * 37) % MANY;
		pid_t pid =
		    (pid_t)(100 + (uint32_t)i % 3 * (core->owners_mask + 1) +
		            (uint32_t)i / 3);
		assert_int_equal(owner_of(core, pid).index, i);
		owner_clear(core, pid);
		assert_int_equal(owner_of(core, pid).kind, OWNER_NONE);
	}
	free(core);
}

/* pid1.md case 5 */
static void
a_storm_of_orphans_is_reaped_in_turns(void **state)
{
	enum {
		ORPHANS = 2 * CORE_REAP_BUDGET + 88
	};

	(void)state;
	begin(9);
	for (int i = 0; i < ORPHANS; i++)
		processes[nprocesses++] =
		    (struct process){.life = LIFE_ZOMBIE, .code = CLD_EXITED};
	for (unsigned done = 0; done < ORPHANS;) {
		unsigned before = reaped;
		unsigned due =
		    MIN((unsigned)ORPHANS - done, (unsigned)CORE_REAP_SHARE);
		core->reaped = 0;
		reap(core);
		assert_int_equal(reaped - before, due);
		assert_int_equal(core->reap_again, due == CORE_REAP_SHARE);
		done += due;
	}
	assert_int_equal(core->orphans_reaped, ORPHANS);
	free(core);
}

/* Where each takes long, timers don't wait for as many as a turn has room. */
static void
a_turn_of_a_storm_ends_in_time(void **state)
{
	(void)state;
	begin(9);
	for (int i = 0; i < CORE_REAP_BUDGET; i++)
		processes[nprocesses++] =
		    (struct process){.life = LIFE_ZOMBIE, .code = CLD_EXITED};
	tick_ms = 1;
	reap(core);
	tick_ms = 0;
	assert_in_range(reaped, 1, 32);
	assert_true(core->reap_again);
	free(core);
}

/* The kernel tells the oldest child first: the worker is behind all orphans. */
static void
a_worker_does_not_wait_for_the_orphans_before_it(void **state)
{
	struct err err = ERR_INIT;
	int32_t slot = 0;

	(void)state;
	for (int led = 0; led < 2; led++) {
		begin(9);
		core->led = led == 1;
		while (!instance_has(core, slot, ROW_PIDFD))
			slot++;
		/* what was started moves behind as many orphans */
		for (int i = 0; i < 2 * CORE_REAP_BUDGET; i++)
			processes[nprocesses++] = (struct process){
			    .life = LIFE_ZOMBIE, .code = CLD_EXITED};
		struct instance *instance = &core->instances[slot];
		struct process *process = &processes[nprocesses++];
		*process = *process_of(instance->pid);
		process_of(instance->pid)->life = LIFE_REAPED;
		reaped++;
		owner_clear(core, instance->pid);
		instance->pid = instance->pgid = (int32_t)(nprocesses + 1);
		assert_int_equal(
		    owner_set(core, instance->pid, OWNER_INSTANCE, slot, &err),
		    0);
		process->family = false;
		dies(process, CLD_EXITED, 3);
		uint64_t one = 1;
		assert_int_equal(
		    write(process->pidfd, &one, sizeof(one)), sizeof(one));
		core->reaped = 0;
		assert_int_equal(loop_turn(&core->loop, 0, &err), 0);
		assert_int_equal(process->life, LIFE_REAPED);
		assert_int_equal(past_of(core, slot)->last_exit.value, 3);
		assert_true(reaped < CORE_REAP_BUDGET);
		free(core);
	}
}

/* A drain of one that takes no notice of TERM. All times in ms of it. */
struct drain_case {
	int64_t budget_ms;
	bool stopping; /* by an order, already */
	enum plan_second_term second;
	int64_t second_ms; /* when the second TERM comes; 0: never */
	int64_t extend_ms; /* so much more is asked for after half a second */
	/* when its group was told, -1: never; and when it was killed */
	int64_t told_ms, killed_ms;
};

static void
drain_is(const struct drain_case *expected)
{
	int64_t told_ms = -1, at_ms = 0;
	struct err err = ERR_INIT;

	begin(9);
	core->settings.grace_ms = expected->budget_ms;
	core->settings.second_term = expected->second;
	struct process *process = process_of(core->instances[0].pid);
	process->exec_fails = false;
	process->deaf = true;
	while (process->life == LIFE_CLONED)
		exec_news();
	if (expected->stopping)
		instance_stop(core, 0, WHY_ORDER_STOP);
	drain_signal(core, SIGTERM);
	for (; process->life == LIFE_RUNS; at_ms += 10) {
		assert_true(at_ms < 60000);
		assert_int_equal(loop_turn(&core->loop, 0, &err), 0);
		if (expected->second_ms > 0 && at_ms == expected->second_ms)
			drain_signal(core, SIGTERM);
		if (expected->extend_ms > 0 && at_ms == 500)
			instance_extend(core, 0, expected->extend_ms);
		if (process->told && told_ms < 0)
			told_ms = at_ms;
		fake_now_ms += 10;
	}
	assert_int_equal(told_ms, expected->told_ms);
	assert_int_equal(at_ms - 10, expected->killed_ms);
	free(core);
}

/* pid1.md 5.4 rules 9 and 10; the grace is 3 s. */
static void
a_drain_kills_when_the_shorter_one_of_grace_and_budget_is_over(void **state)
{
	static const int64_t hour = 3600000;
	const struct drain_case cases[] = {
	    {.budget_ms = hour, .told_ms = -1, .killed_ms = 3000},
	    {.budget_ms = -1, .told_ms = -1, .killed_ms = 3000},
	    /* seven tenths of it are within the grace, nine are not */
	    {.budget_ms = 3400, .told_ms = -1, .killed_ms = 3000},
	    {.budget_ms = 3000, .told_ms = 2100, .killed_ms = 2700},
	    {.budget_ms = 1000, .told_ms = 700, .killed_ms = 900},
	    {.budget_ms = 1000,
	        .stopping = true,
	        .told_ms = 700,
	        .killed_ms = 900},
	    {.budget_ms = hour,
	        .second = SECOND_TERM_IGNORE,
	        .second_ms = 1000,
	        .told_ms = -1,
	        .killed_ms = 3000},
	    {.budget_ms = hour,
	        .second = SECOND_TERM_HASTEN,
	        .second_ms = 1000,
	        .told_ms = -1,
	        .killed_ms = 2000},
	    {.budget_ms = hour,
	        .second = SECOND_TERM_KILL,
	        .second_ms = 1000,
	        .told_ms = -1,
	        .killed_ms = 1000},
	    {.budget_ms = hour,
	        .second = SECOND_TERM_HASTEN,
	        .extend_ms = 5000,
	        .told_ms = 3500,
	        .killed_ms = 5500},
	    {.budget_ms = 10000,
	        .extend_ms = 50000,
	        .told_ms = 6000,
	        .killed_ms = 8000},
	    /* who is in a hurry gives nothing */
	    {.budget_ms = hour,
	        .second = SECOND_TERM_HASTEN,
	        .second_ms = 200,
	        .extend_ms = 5000,
	        .told_ms = -1,
	        .killed_ms = 1600},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		drain_is(&cases[i]);
}

/* b/0 is executed, is ready for so long, and crashes. Returns how many crashes
 * its next delay is made of. */
static unsigned
crashes_after(int32_t slot, int64_t ready_ms)
{
	const struct instance *instance = &core->instances[slot];
	struct err err = ERR_INIT;

	for (int turns = 0; instance->state != INSTANCE_READY; turns++) {
		assert_true(turns < 10000);
		if (instance->pid > 0)
			process_of(instance->pid)->exec_fails = false;
		exec_news();
		time_passes();
	}
	fake_now_ms = instance->ready_ms + ready_ms;
	assert_int_equal(loop_turn(&core->loop, 0, &err), 0);
	process_of(instance->pid)->family = false;
	dies(process_of(instance->pid), CLD_KILLED, SIGSEGV);
	core->reaped = 0;
	reap(core);
	assert_int_equal(instance->state, INSTANCE_BACKOFF);
	return past_of(core, slot)->backoff.failures[CLASS_CRASH];
}

static void
only_a_long_time_of_being_ready_forgives_crashes(void **state)
{
	int32_t slot = 0;

	(void)state;
	begin(9);
	while (strcmp(instance_label(core, slot), "b/0") != 0)
		slot++;
	assert_int_equal(crashes_after(slot, 0), 1);
	assert_int_equal(crashes_after(slot, BACKOFF_HEALTHY_MS - 1), 2);
	assert_int_equal(crashes_after(slot, 0), 3);
	assert_int_equal(crashes_after(slot, BACKOFF_HEALTHY_MS), 1);
	/* that was the last process, and says nothing of this one */
	assert_int_equal(crashes_after(slot, 0), 2);
	free(core);
}

static void
safety_timer_fires(void)
{
	fake_now_ms += CORE_SAFETY_MS;
	loop_timer_clear(&core->loop, &core->safety_timer);
	core->safety_timer.fire(&core->safety_timer, fake_now_ms);
}

/* Workers beyond those that get a pidfd; and a kernel that has none. */
static void
nobody_looks_for_ends_at_rest(void **state)
{
	(void)state;
	no_pidfds = true;
	begin(9);
	no_pidfds = false;
	assert_int_not_equal(core->hurried, 0);
	assert_int_not_equal(core->safety_timer.slot, 0);
	for (int turns = 0; core->hurried > 0 && turns < 10000; turns++) {
		exec_news();
		time_passes();
	}
	assert_int_equal(core->hurried, 0);
	core->no_pidfd = true;
	safety_timer_fires();
	assert_int_not_equal(core->safety_timer.slot, 0);
	core->no_pidfd = false;
	safety_timer_fires();
	assert_int_equal(core->safety_timer.slot, 0);
	instance_stop(core, 0, WHY_ORDER_RESTART);
	assert_int_not_equal(core->safety_timer.slot, 0);
	drain_to_the_end();
	free(core);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_not_in_the_table_does_not_happen),
	    cmocka_unit_test(process_numbers_lead_to_their_owners),
	    cmocka_unit_test(a_storm_of_orphans_is_reaped_in_turns),
	    cmocka_unit_test(a_turn_of_a_storm_ends_in_time),
	    cmocka_unit_test(a_worker_does_not_wait_for_the_orphans_before_it),
	    cmocka_unit_test(
	        a_drain_kills_when_the_shorter_one_of_grace_and_budget_is_over),
	    cmocka_unit_test(only_a_long_time_of_being_ready_forgives_crashes),
	    cmocka_unit_test(nobody_looks_for_ends_at_rest),
	    cmocka_unit_test(whatever_happens_the_invariants_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
