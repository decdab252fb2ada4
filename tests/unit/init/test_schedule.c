/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/calendar.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"
#include "supervisor/wire/plan_encode.h"
#include "worker/send.h"
#include "worker/spawn.h"

/*
 * Runs by the calendar, with a wall clock and processes that are made up: what
 * is late, missed, set back; what a reload makes of what runs; and all of it
 * with a fault of the init in between. No run is lost, none made twice.
 */
enum {
	PLACES = 16,
	FIRST_PID = 1000,
	PROCESSES = 256,
	IMAGES = 64, /* faults that one test may have */
	/* 2033-05-18 03:33:00: the machine's own clock is never there */
	BEGIN_S = 1999999980,
};

static const int64_t MINUTE = 60;

enum life {
	LIFE_RUNS,
	LIFE_ZOMBIE,
	LIFE_REAPED
};

static struct {
	enum life life;
	bool asked; /* to end */
	int status;
} processes[PROCESSES];
static int nprocesses;
static int64_t fake_wall_s, armed_s, fake_ms = 1000;
static bool clock_was_set;
static struct core images[IMAGES], *core;
static int nimages;

/* --- the kernel --- */

int64_t __wrap_clock_ms(void);
int64_t __wrap_clock_wall_ms(void);
int __wrap_timerfd_settime(
    int fd, int flags, const struct itimerspec *at, struct itimerspec *old);
ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
int __wrap_spawn_start(
    const struct spawn_request *request, struct spawned *ret, struct err *err);
void __wrap_log_open(
    int fd, enum log_format format, enum log_level least, const char *role);
void __real_log_open(
    int fd, enum log_format format, enum log_level least, const char *role);
int __wrap_spawn_report(int report_fd, struct worker_exit *ret);
int __wrap_send_to_process(pid_t pid, int signo);
int __wrap_send_to_group(pid_t pgid, int pidfd, int signo);
int __wrap_send_to_led(int pidfd, int signo);
bool __wrap_send_group_exists(pid_t pgid);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);

int64_t
__wrap_clock_ms(void)
{
	return fake_ms;
}

int64_t
__wrap_clock_wall_ms(void)
{
	return fake_wall_s * 1000;
}

int
__wrap_timerfd_settime(
    int fd, int flags, const struct itimerspec *at, struct itimerspec *old)
{
	(void)old;
	assert_true(fd == core->calendar.fd);
	assert_int_equal(flags, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
	armed_s = (int64_t)at->it_value.tv_sec;
	return 0;
}

ssize_t
__wrap_read(int fd, void *bytes, size_t size)
{
	if (core == NULL || fd != core->calendar.fd || fd == -1)
		return __real_read(fd, bytes, size);
	errno = clock_was_set ? ECANCELED : EAGAIN;
	return -1;
}

void
__wrap_log_open(
    int fd, enum log_format format, enum log_level least, const char *role)
{
	(void)fd;
	(void)least;
	__real_log_open(-1, format, LOG_ERROR, role);
}

int
__wrap_spawn_start(
    const struct spawn_request *request, struct spawned *ret, struct err *err)
{
	(void)request;
	(void)err;
	assert_true(nprocesses < PROCESSES);
	processes[nprocesses].life = LIFE_RUNS;
	processes[nprocesses].asked = false;
	ret->pid = FIRST_PID + nprocesses++;
	ret->pidfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret->report_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return 0;
}

int
__wrap_spawn_report(int report_fd, struct worker_exit *ret)
{
	(void)report_fd;
	(void)ret;
	return 1;
}

int
__wrap_send_to_process(pid_t pid, int signo)
{
	assert_true(processes[pid - FIRST_PID].life != LIFE_REAPED);
	if (signo == SIGTERM)
		processes[pid - FIRST_PID].asked = true;
	return 0;
}

int
__wrap_send_to_group(pid_t pgid, int pidfd, int signo)
{
	(void)pgid;
	(void)pidfd;
	(void)signo;
	return 0;
}

int
__wrap_send_to_led(int pidfd, int signo)
{
	(void)pidfd;
	(void)signo;
	errno = ESRCH;
	return -1;
}

bool
__wrap_send_group_exists(pid_t pgid)
{
	return processes[pgid - FIRST_PID].life != LIFE_REAPED;
}

int
__wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	info->si_pid = 0;
	for (int i = 0; i < nprocesses; i++) {
		if (type == P_PID && id != (id_t)(FIRST_PID + i))
			continue;
		if (type == P_PID && processes[i].life == LIFE_REAPED)
			break;
		if (processes[i].life != LIFE_ZOMBIE)
			continue;
		info->si_pid = FIRST_PID + i;
		info->si_code = CLD_EXITED;
		info->si_status = processes[i].status;
		if ((options & WNOWAIT) == 0)
			processes[i].life = LIFE_REAPED;
		return 0;
	}
	if (type != P_PID || processes[id - FIRST_PID].life != LIFE_REAPED)
		return 0;
	errno = ECHILD;
	return -1;
}

/* --- what a test does --- */

/* The newest processes execute, and what has ended is reaped. */
static void
settle(void)
{
	for (int i = 0; i < 4; i++) {
		for (uint32_t slot = 0; slot < core->slots_used; slot++)
			if (core->wires[slot].start >= 0)
				start_collect(core, (int32_t)slot);
		core->reaped = 0;
		reap(core);
	}
}

/* A worker that is due every minute, or (NULL) always there. */
static struct worker_spec
every_minute(const char *text)
{
	static const char *const argv[] = {"x", NULL};
	static const char *const envp[] = {NULL};

	return (struct worker_spec){.name = "job",
	    .argv = argv,
	    .executable = "/x",
	    .envp = envp,
	    .uid = WORKER_ID_NONE,
	    .gid = WORKER_ID_NONE,
	    .umask = UINT32_MAX,
	    .replicas = 1,
	    .restart = text == NULL ? RESTART_ALWAYS : RESTART_NEVER,
	    .backoff_first_ms = 1000,
	    .backoff_cap_ms = 5000,
	    .grace_ms = 3000,
	    .drain_signal = SIGTERM,
	    .schedule = {.text = text,
	        .zone_name = text == NULL ? NULL : "UTC",
	        .rule = {.minutes = (UINT64_C(1) << 60) - 1,
	            .hours = (1U << 24) - 1,
	            .days = UINT32_MAX - 1,
	            .months = (1U << 13) - 2,
	            .weekdays = (1U << 7) - 1},
	        .concurrency = CONCURRENCY_FORBID,
	        .starting_deadline_s = -1}};
}

static void
apply(const struct worker_spec *spec)
{
	struct plan_settings settings;
	struct buffer out;
	struct err err = ERR_INIT;
	int fd = -1;

	plan_settings_default(&settings);
	settings.logs = LOGS_NONE;
	settings.name = "schedule";
	buffer_init(&out, 1 << 20);
	if (plan_encode(spec, 1, &settings, &out, &err) == -1 ||
	    plan_memfd(out.data, out.len, &fd, &err) == -1 ||
	    apply_plan(core, fd, true, &err) == -1)
		fail_msg("%s", err.text);
	fd_close(&fd);
	buffer_fini(&out);
	settle();
}

/* Another image goes on with what this one has noted. */
static void
fault(void)
{
	struct core *next = &images[nimages++];
	struct err err = ERR_INIT;

	assert_true(nimages <= IMAGES);
	memcpy(&core->kept->core, core, sizeof(*core));
	if (resume_state(next, core->state_fd, &err) == -1)
		fail_msg("%s", err.text);
	core = next;
	resume_work(core);
	settle();
}

/* The wall clock stands at `second` of the test; by itself, or set. */
static void
at_second(int64_t second, bool was_set)
{
	fake_wall_s = BEGIN_S + second;
	clock_was_set = was_set;
	/* after a fault there is one only where it is needed */
	if (core->calendar.fd != -1)
		core->calendar.ready(&core->calendar, EPOLLIN);
	clock_was_set = false;
	settle();
}

/* The oldest process that is left ends by itself. */
static void
ends(int status)
{
	int i = 0;

	while (i < nprocesses && processes[i].life != LIFE_RUNS)
		i++;
	assert_true(i < nprocesses);
	processes[i].life = LIFE_ZOMBIE;
	processes[i].status = status;
	settle();
}

static const struct run *
job(void)
{
	return &core->runs[0];
}

static int
living(void)
{
	int count = 0;

	for (int i = 0; i < nprocesses; i++)
		count += processes[i].life == LIFE_RUNS;
	return count;
}

/* A test is done twice: with a fault of the init after each step, and without.
 */
static bool with_faults;

static void
step(void)
{
	if (with_faults)
		fault();
}

static void
begin(const struct worker_spec *spec)
{
	struct err err = ERR_INIT;

	memset(processes, 0, sizeof(processes));
	memset(images, 0, sizeof(images));
	nprocesses = 0;
	fake_wall_s = BEGIN_S;
	core = &images[0];
	nimages = 1;
	core_reset(core, PLACES);
	core->pid = (int32_t)getpid();
	core->placed = true; /* no sockets */
	assert_int_equal(table_map(core, &err), 0);
	assert_int_equal(capture_map(core, &err), 0);
	assert_int_equal(core->calendar.fd, -1);
	apply(spec);
	step();
}

/* --- late, missed --- */

static void
each_is_run_once_at_its_time(void **state)
{
	struct worker_spec spec = every_minute("* * * * *");

	(void)state;
	begin(&spec);
	assert_int_equal(nprocesses, 0);
	assert_int_equal(armed_s, BEGIN_S + MINUTE);
	for (int i = 1; i <= 5; i++) {
		at_second(i * MINUTE, false);
		step();
		/* woken for nothing */
		at_second(i * MINUTE + 1, false);
		assert_int_equal(nprocesses, i);
		assert_int_equal(armed_s, BEGIN_S + (i + 1) * MINUTE);
		ends(0);
		step();
		assert_int_equal(job()->last_success_ms, fake_wall_s * 1000);
	}
	assert_int_equal(job()->missed, 0);
	assert_int_equal(job()->last_failure_ms, 0);
}

static void
what_was_missed_is_made_up_for_once(void **state)
{
	struct worker_spec spec = every_minute("* * * * *");

	(void)state;
	begin(&spec);
	at_second(10 * MINUTE + 30, false); /* frozen: ten were due */
	step();
	assert_int_equal(nprocesses, 1);
	assert_int_equal(job()->missed, 9);
	assert_int_equal(armed_s, BEGIN_S + 11 * MINUTE);
	/* it is still there: one more is missed */
	at_second(11 * MINUTE, false);
	step();
	assert_int_equal(nprocesses, 1);
	assert_int_equal(job()->missed, 10);
}

static void
too_late_is_missed(void **state)
{
	struct worker_spec spec = every_minute("* * * * *");

	(void)state;
	spec.schedule.starting_deadline_s = 20;
	begin(&spec);
	at_second(MINUTE + 21, false);
	step();
	assert_int_equal(nprocesses, 0);
	assert_int_equal(job()->missed, 1);
	at_second(2 * MINUTE + 20, false);
	step();
	assert_int_equal(nprocesses, 1);
	assert_int_equal(job()->missed, 1);
}

static void
while_suspended_nothing_runs_and_then_the_latest(void **state)
{
	struct worker_spec spec = every_minute("* * * * *");

	(void)state;
	spec.schedule.suspended = true;
	begin(&spec);
	assert_int_equal(armed_s, 0);
	at_second(3 * MINUTE + 5, false);
	step();
	assert_int_equal(nprocesses, 0);
	spec.schedule.suspended = false;
	apply(&spec);
	step();
	assert_int_equal(nprocesses, 1);
	assert_int_equal(job()->missed, 2);
}

/* --- the clock is set --- */

static void
set_forward_is_late_and_set_back_waits(void **state)
{
	struct worker_spec spec = every_minute("* * * * *");

	(void)state;
	begin(&spec);
	at_second(3600, true);
	step();
	assert_int_equal(nprocesses, 1);
	assert_int_equal(job()->missed, 59);
	ends(0);
	/* an hour back: what has run isn't run again */
	at_second(5, true);
	step();
	assert_int_equal(armed_s, BEGIN_S + 3600 + MINUTE);
	at_second(3600, false);
	step();
	assert_int_equal(nprocesses, 1);
	at_second(3600 + MINUTE, false);
	step();
	assert_int_equal(nprocesses, 2);
	ends(0);
	/* a day back: nobody waits for that long */
	at_second(-86400 + 5, true);
	step();
	assert_int_equal(armed_s, BEGIN_S - 86400 + MINUTE);
	at_second(-86400 + MINUTE, false);
	step();
	assert_int_equal(nprocesses, 3);
}

/* --- failures --- */

static void
a_failure_is_noted_until_a_run_succeeds(void **state)
{
	struct worker_spec spec = every_minute("* * * * *");

	(void)state;
	begin(&spec);
	at_second(MINUTE, false);
	ends(3);
	step();
	assert_int_equal(job()->last_failure_ms, fake_wall_s * 1000);
	assert_int_equal(job()->last_success_ms, 0);
	at_second(2 * MINUTE, false);
	ends(0);
	step();
	assert_true(job()->last_success_ms > job()->last_failure_ms);
}

/* --- reloads --- */

static void
becoming_scheduled_ends_what_was_always_there(void **state)
{
	struct worker_spec always = every_minute(NULL);
	struct worker_spec spec = every_minute("* * * * *");

	(void)state;
	always.replicas = 2;
	begin(&always);
	assert_int_equal(living(), 2);
	apply(&spec);
	step();
	assert_true(processes[0].asked && processes[1].asked);
	/* due while the last of them ends: never two of them */
	ends(0);
	at_second(MINUTE, false);
	step();
	assert_int_equal(living(), 1);
	assert_int_equal(job()->missed, 1);
	ends(0);
	step();
	assert_int_equal(living(), 0);
	at_second(2 * MINUTE, false);
	step();
	assert_int_equal(nprocesses, 3);
	assert_int_equal(living(), 1);
}

static void
becoming_unscheduled_starts_what_is_to_be_there(void **state)
{
	struct worker_spec always = every_minute(NULL);
	struct worker_spec spec = every_minute("* * * * *");

	(void)state;
	begin(&spec);
	at_second(MINUTE, false);
	ends(0); /* finished, which is no reason not to be there */
	apply(&always);
	step();
	assert_int_equal(nprocesses, 2);
	assert_int_equal(living(), 1);
	at_second(2 * MINUTE, false);
	step();
	assert_int_equal(nprocesses, 2);
	/* and back; a run that is under way then becomes the worker */
	apply(&spec);
	step();
	ends(0);
	at_second(3 * MINUTE, false);
	step();
	assert_int_equal(living(), 1);
	apply(&always);
	step();
	assert_int_equal(nprocesses, 3);
	assert_int_equal(living(), 1);
	assert_false(processes[2].asked);
}

static void
the_same_schedule_goes_on_another_begins_anew(void **state)
{
	struct worker_spec spec = every_minute("* * * * *");

	(void)state;
	begin(&spec);
	fake_wall_s = BEGIN_S + 2 * MINUTE; /* nobody has looked yet */
	apply(&spec);
	step();
	assert_int_equal(nprocesses, 1);
	assert_int_equal(job()->missed, 1);
	fake_wall_s = BEGIN_S + 5 * MINUTE;
	spec.schedule.text = "*/1 * * * *";
	apply(&spec);
	step();
	assert_int_equal(nprocesses, 1);
	assert_int_equal(armed_s, BEGIN_S + 6 * MINUTE);
}

static int
without(void **state)
{
	(void)state;
	with_faults = false;
	return 0;
}

static int
with(void **state)
{
	(void)state;
	with_faults = true;
	return 0;
}

#define BOTH(test)                                        \
	cmocka_unit_test_setup(test, without),            \
	{                                                 \
#test " (faults)", test, with, NULL, NULL \
	}

/* As it is left by a fault after the run was due and before all of it was made.
 */
static void
fault_in_making(int32_t place, int minute)
{
	struct run *run = &core->runs[0];

	fake_wall_s = BEGIN_S + minute * MINUTE;
	run->making = place;
	run->done_s = fake_wall_s;
	run->due_s = fake_wall_s + MINUTE;
	fault();
	assert_int_equal(job()->making, 0);
}

static void
a_fault_while_a_run_is_made_neither_loses_nor_doubles_it(void **state)
{
	static const enum worker_concurrency all[] = {
	    CONCURRENCY_ALLOW, CONCURRENCY_FORBID, CONCURRENCY_REPLACE};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct worker_spec spec = every_minute("* * * * *");

		spec.schedule.concurrency = all[i];
		begin(&spec);
		/* nothing of it was there */
		fault_in_making(1, 1);
		assert_int_equal(nprocesses, 1);
		assert_int_equal(job()->last_run_ms, fake_wall_s * 1000);
		/* all of it was */
		fault_in_making(1, 1);
		step();
		assert_int_equal(nprocesses, 1);
		assert_int_equal(job()->missed, 0);
		ends(0);
		/* the same place again */
		fault_in_making(1, 2);
		assert_int_equal(nprocesses, 2);
		at_second(2 * MINUTE + 1, false);
		assert_int_equal(nprocesses, 2);
	}
}

static void
a_fault_while_a_run_replaces_another_loses_neither(void **state)
{
	struct worker_spec spec = every_minute("* * * * *");

	(void)state;
	spec.schedule.concurrency = CONCURRENCY_REPLACE;
	begin(&spec);
	at_second(MINUTE, false);
	step();
	assert_int_equal(nprocesses, 1);
	/* before the other was asked to end, and after */
	fault_in_making(-1, 2);
	assert_true(processes[0].asked);
	fault_in_making(-1, 2);
	assert_int_equal(nprocesses, 1);
	ends(0);
	step();
	assert_int_equal(nprocesses, 2);
	assert_int_equal(living(), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(each_is_run_once_at_its_time),
	    BOTH(what_was_missed_is_made_up_for_once),
	    BOTH(too_late_is_missed),
	    BOTH(while_suspended_nothing_runs_and_then_the_latest),
	    BOTH(set_forward_is_late_and_set_back_waits),
	    BOTH(a_failure_is_noted_until_a_run_succeeds),
	    BOTH(becoming_scheduled_ends_what_was_always_there),
	    BOTH(becoming_unscheduled_starts_what_is_to_be_there),
	    BOTH(the_same_schedule_goes_on_another_begins_anew),
	    BOTH(a_fault_while_a_run_is_made_neither_loses_nor_doubles_it),
	    BOTH(a_fault_while_a_run_replaces_another_loses_neither),
	};

	__wrap_log_open(-1, LOG_TEXT, LOG_ERROR, "test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
