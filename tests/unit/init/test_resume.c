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
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"
#include "supervisor/wire/plan_encode.h"
#include "worker/send.h"
#include "worker/spawn.h"

/*
 * The image after a fault, or another build, and a state that is not what it
 * should be: whatever lies in the memfd, no index is taken unlooked at. Each
 * case is a process of its own; processes and signals are made up.
 */
enum {
	CASES = 1200,
	PLACES = 16,
	FIRST_PID = 1000,
	SECONDS = 20,
};

static int32_t next_pid = FIRST_PID;
static int32_t gone_pid; /* is no child of ours any more */
static unsigned groups_told;
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

/* Thousands of them say too much. */
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
	ret->pid = next_pid++;
	ret->pidfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret->report_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return 0;
}

int
__wrap_spawn_report(int report_fd, struct worker_exit *ret)
{
	(void)ret;
	return report_fd % 2; /* some execute */
}

int
__wrap_send_to_process(pid_t pid, int signo)
{
	(void)signo;
	/* ours, or nobody */
	assert_true(pid >= FIRST_PID && pid < next_pid);
	return 0;
}

int
__wrap_send_to_group(pid_t pgid, int pidfd, int signo)
{
	(void)pidfd;
	(void)signo;
	assert_true(pgid > 1);
	return 0;
}

int
__wrap_send_to_led(int pidfd, int signo)
{
	assert_true(pidfd >= 0);
	groups_told += signo == SIGTERM;
	errno = ESRCH;
	return -1;
}

bool
__wrap_send_group_exists(pid_t pgid)
{
	return pgid % 2 == 0;
}

int
__wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	(void)options;
	info->si_pid = 0;
	if (type == P_PID && id == (id_t)gone_pid) {
		errno = ECHILD;
		return -1;
	}
	if (type == P_ALL || (id >= FIRST_PID && id < (id_t)next_pid))
		return 0;
	errno = ECHILD;
	return -1;
}

/* --- a state --- */

static void
apply(struct core *core)
{
	static const char *const argv[] = {"x", NULL};
	static const char *const envp[] = {NULL};
	static const char *const names[] = {"a", "b"};
	struct worker_spec specs[2];
	struct plan_settings settings;
	struct buffer out;
	struct err err = ERR_INIT;
	int fd = -1;

	for (unsigned i = 0; i < ARRAY_LEN(specs); i++)
		specs[i] = (struct worker_spec){.name = names[i],
		    .argv = argv,
		    .executable = "/x",
		    .envp = envp,
		    .uid = -1,
		    .gid = -1,
		    .umask = UINT32_MAX,
		    .replicas = 3,
		    .backoff_first_ms = 100,
		    .backoff_cap_ms = 5000,
		    .grace_ms = 3000,
		    .drain_signal = SIGTERM};
	plan_settings_default(&settings);
	settings.logs = LOGS_NONE;
	settings.name = "resume";
	buffer_init(&out, 1 << 20);
	if (plan_encode(specs, ARRAY_LEN(specs), &settings, &out, &err) == -1 ||
	    plan_memfd(out.data, out.len, &fd, &err) == -1 ||
	    apply_plan(core, fd, true, &err) == -1)
		fail_msg("%s", err.text);
	fd_close(&fd);
	buffer_wipe(&out);
}

/* What a faulted image leaves; returns its memfd. */
static int
leave_state(struct core *core)
{
	struct err err = ERR_INIT;

	core_reset(core, PLACES);
	core->pid = (int32_t)getpid();
	core->placed = true; /* no sockets */
	assert_int_equal(table_map(core, &err), 0);
	apply(core);
	for (int32_t slot = 0; slot < 3; slot++)
		start_collect(core, slot);
	memcpy(&core->kept->core, core, sizeof(*core));
	return core->state_fd;
}

/* One field of somewhere, by the table that says where they are: so no byte is
 * wasted on padding. */
static void
spoil(struct core *core)
{
	static const uint64_t values[] = {0, 1, 2, 3, 5, 7, 16, 17, 255, 256,
	    9999, 10000, INT32_MAX, 0x80000000U, UINT32_MAX, UINT64_MAX,
	    UINT64_C(1) << 63};
	struct state_head *head = &core->kept->head;
	const struct state_field *field = &head->fields[chance(head->nfields)];
	const struct state_place *place = &head->places[field->table];
	uint64_t row = chance(MIN(place->count, 8U));
	char *at = (char *)core->kept + place->offset + row * place->stride +
	           field->offset;
	uint64_t value = values[chance(ARRAY_LEN(values))];

	if (chance(4) == 0)
		value = (uint64_t)chance(UINT32_MAX) << 32 | chance(1U << 31);
	for (size_t i = 0; i < field->size; i += sizeof(value))
		memcpy(at + i, &value, MIN(sizeof(value), field->size - i));
}

static void
spoil_head(struct core *core)
{
	struct state_head *head = &core->kept->head;
	uint32_t *words = (uint32_t *)(void *)head;

	words[chance(sizeof(*head) / sizeof(*words))] =
	    chance(2) == 0 ? UINT32_MAX : chance(1U << 20);
}

/* --- what becomes of it --- */

static void
look_at_all(struct core *core)
{
	for (uint32_t slot = 0; slot < core->slots_used; slot++) {
		const struct instance *instance = &core->instances[slot];
		union wire_message message;
		struct err err = ERR_INIT;
		if (instance->state == INSTANCE_NONE)
			continue;
		assert_true(instance->state < INSTANCE_STATES);
		snapshot_instance(core, (int32_t)slot, EVENT_NONE, &message);
		assert_int_equal(
		    wire_check(&message, message.head.length, &err), 0);
	}
}

static void
go_on(struct core *core)
{
	struct err err = ERR_INIT;

	resume_work(core);
	look_at_all(core);
	for (int i = 0; i < 3; i++) {
		(void)!loop_turn(&core->loop, 0, &err);
		core->reaped = 0;
		reap(core);
	}
	drain_signal(core, SIGTERM);
	(void)!loop_turn(&core->loop, 0, &err);
	core->reaped = 0;
	reap(core);
	look_at_all(core);
}

/* 0: went on; 1: refused. */
static int
one_case(unsigned number)
{
	static struct core before, after;
	struct err err = ERR_INIT;
	bool other = number % 2 == 1;

	(void)alarm(SECONDS);
	int fd = leave_state(&before);
	for (unsigned n = number == 0 ? 0 : 1 + chance(4); n > 0; n--)
		spoil(&before);
	if (other && chance(4) == 0)
		spoil_head(&before);
	int rc = other ? resume_other(&after, fd, -1, &err)
	               : resume_state(&after, fd, &err);
	if (rc == -1) {
		assert_true(err.text[0] != '\0');
		return 1;
	}
	go_on(&after);
	return 0;
}

static void
no_state_is_taken_unlooked_at(void **state)
{
	unsigned refused = 0, taken = 0;

	(void)state;
	for (unsigned i = 0; i < CASES; i++) {
		int status = 0;
		seed = 88172645463325252U + i * 7919UL;
		pid_t pid = fork();
		if (pid == 0) {
			log_open(-1, LOG_TEXT, LOG_ERROR, "test");
			_exit(one_case(i));
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
			fail_msg("case %u: status %x", i, (unsigned)status);
		if (WEXITSTATUS(status) == 1)
			refused++;
		else
			taken++;
	}
	/* neither is the rule */
	assert_true(refused > CASES / 50);
	assert_true(taken > CASES / 4);
}

/* Between the kernel's word of an end and ours: bits of what was wrong. */
static int
end_of_the_taken(void)
{
	static struct core before, after;
	struct err err = ERR_INIT;
	const int32_t slot = 1;
	int wrong = 0;

	(void)alarm(SECONDS);
	int fd = leave_state(&before);
	gone_pid = before.instances[slot].pid;
	before.kept->taken =
	    (siginfo_t){.si_signo = SIGCHLD, .si_code = CLD_EXITED};
	before.kept->taken.si_pid = gone_pid;
	before.kept->taken.si_status = 7;
	if (resume_state(&after, fd, &err) == -1)
		return 1;
	resume_work(&after);
	const struct past *past = past_of(&after, slot);
	wrong |= past->last_exit.kind == EXIT_CODE &&
	                 past->last_exit.value == 7 && past->total_exits == 1
	             ? 0
	             : 2;
	wrong |= after.instances[slot].pid == 0 ? 0 : 4;
	wrong |= after.kept->taken.si_pid == 0 ? 0 : 8;
	wrong |= groups_told == 1 ? 0 : 16;
	/* those of the others are as they were */
	wrong |= past_of(&after, 0)->total_exits == 0 &&
	                 after.instances[0].pid == before.instances[0].pid
	             ? 0
	             : 32;
	return wrong;
}

static void
an_end_that_was_reaped_and_not_noted_is_known(void **state)
{
	int status = 0;

	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		log_open(-1, LOG_TEXT, LOG_ERROR, "test");
		_exit(end_of_the_taken());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* What says how far a drain is, who works for the init and what was counted. */
#define KEPT_FACTS(X)                    \
	X(started_wall_ms)               \
	X(nofile_soft)                   \
	X(no_pidfd)                      \
	X(die_with_parent)               \
	X(allow_exec_changes)            \
	X(orphans_reaped)                \
	X(notify.dropped)                \
	X(notify.gone)                   \
	X(snapshots)                     \
	X(journalled)                    \
	X(limits_told)                   \
	X(swept)                         \
	X(budget_ms)                     \
	X(drain_started_ms)              \
	X(drain_deadline_ms)             \
	X(terms)                         \
	X(exit_code)                     \
	X(first_code)                    \
	X(worst_code)                    \
	X(operate.restarts)              \
	X(operate.replaced)              \
	X(operate.started_ms)            \
	X(operate.backoff.last_delay_ms) \
	X(logger.started_ms)             \
	X(logger.protocol)               \
	X(logger.wanted)                 \
	X(logger.closing)                \
	X(logger.json)                   \
	X(logger.counted)                \
	X(logger.killed)                 \
	X(logger.backoff.last_delay_ms)  \
	X(guard.waits)                   \
	X(guard.started_ms)              \
	X(guard.backoff.last_delay_ms)   \
	X(answer.port)                   \
	X(answer.started_ms)             \
	X(answer.backoff.last_delay_ms)

#define SET_FACT(fact) kept->fact = ++number;
#define COMPARE_FACT(fact)                  \
	if (after.fact != kept->fact) {     \
		print_error("%s\n", #fact); \
		wrong++;                    \
	}

/* How many facts a drain's image did not take over. */
static int
facts_not_taken(void)
{
	static struct core before, after;
	struct err err = ERR_INIT;
	uint8_t number = 1;
	int wrong = 0;

	(void)alarm(SECONDS);
	int fd = leave_state(&before);
	struct core *kept = &before.kept->core;
	kept->phase = PHASE_DRAIN;
	KEPT_FACTS(SET_FACT)
	kept->operate.pid = next_pid++;
	kept->logger.pid = next_pid++;
	kept->answer.pid = next_pid++;
	kept->guard.pid = next_pid++;
	if (resume_state(&after, fd, &err) == -1)
		return 100;
	KEPT_FACTS(COMPARE_FACT)
	wrong += after.phase != PHASE_DRAIN;
	wrong += owner_of(&after, kept->operate.pid).kind != OWNER_OPERATOR;
	wrong += owner_of(&after, kept->logger.pid).kind != OWNER_LOGGER;
	wrong += owner_of(&after, kept->answer.pid).kind != OWNER_ANSWER;
	wrong += owner_of(&after, kept->guard.pid).kind != OWNER_GUARD;
	return wrong;
}

/* A signal that was read before the fault, and the look for ends after it. */
static int
signal_not_taken(int signo, bool ends)
{
	static struct core before, after;
	struct err err = ERR_INIT;

	(void)alarm(SECONDS);
	int fd = leave_state(&before);
	before.kept->core.came = UINT64_C(1) << signo;
	if (resume_state(&after, fd, &err) == -1)
		return 100;
	resume_work(&after);
	return ((after.phase != PHASE_RUN) != ends) + !after.reap_again;
}

static void
facts_signals_and_ends_outlive_a_fault(void **state)
{
	static const struct {
		int signo; /* 0: the facts */
		bool ends;
	} cases[] = {{0, false}, {SIGTERM, true}, {SIGINT, true},
	    {SIGQUIT, true}, {SIGHUP, false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int status = 0;
		pid_t pid = fork();
		if (pid == 0) {
			log_open(-1, LOG_TEXT, LOG_ERROR, "test");
			_exit(cases[i].signo == 0
			          ? facts_not_taken()
			          : signal_not_taken(
			                cases[i].signo, cases[i].ends));
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

/* --- the words before an upgrade --- */

static void
only_a_reeve_of_the_right_age_is_let_in(void **state)
{
	static const struct {
		const char *said;
		int rc;
		const char *version;
	} cases[] = {
	    {"reeve-state 1 1 0.1.0\n", 0, "0.1.0"},
	    {"reeve-state 7 1 2.0\n", 0, "2.0"},
	    {"reeve-state 7 2 2.0\n", -1, NULL},
	    {"reeve-state 0 0 2.0\n", -1, NULL},
	    {"reeve-state 1 1 \n", -1, NULL},
	    {"reeve-state 1 1 0.1.0", -1, NULL},
	    {"reeve-state 1 1 0.1.0\nmore", -1, NULL},
	    {"reeve-state 1 1\n", -1, NULL},
	    {"reeve-state -1 1 x\n", -1, NULL},
	    {"reeve-state 99999999999999999999 1 x\n", -1, NULL},
	    {"reeve 0.1.0\n", -1, NULL},
	    {"", -1, NULL},
	    {"reeve-state 1 1 0123456789012345678901234567890123\n", -1, NULL},
	};

	(void)state;
	assert_int_equal(STATE_VERSION, 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		char version[32] = "";
		assert_int_equal(state_read_said(cases[i].said, version,
		                     sizeof(version), &err),
		    cases[i].rc);
		if (cases[i].rc == 0)
			assert_string_equal(version, cases[i].version);
		else
			assert_true(err.text[0] != '\0');
	}
}

/* --- one layout to another --- */

static void
fields_are_found_by_name(void **state)
{
	struct was {
		uint32_t b;
		uint16_t a;
	} old[2] = {{.b = 7, .a = 300}, {.b = 8, .a = 301}};
	struct is {
		uint64_t a; /* has grown */
		uint64_t c; /* is new */
		uint32_t b;
	} now[3];
	static struct state_head from;
	static struct state_head to;

	from = (struct state_head){.magic = STATE_MAGIC,
	    .version = STATE_VERSION,
	    .nfields = 2,
	    .places = {{0, sizeof(old[0]), 2}},
	    .fields = {{"a", 0, offsetof(struct was, a), sizeof(old[0].a)},
	        {"b", 0, offsetof(struct was, b), sizeof(old[0].b)}}};
	to = (struct state_head){.nfields = 3,
	    .places = {{0, sizeof(now[0]), 3}},
	    .fields = {{"a", 0, offsetof(struct is, a), sizeof(now[0].a)},
	        {"c", 0, offsetof(struct is, c), sizeof(now[0].c)},
	        {"b", 0, offsetof(struct is, b), sizeof(now[0].b)}}};
	const uint32_t rows[STATE_TABLES] = {UINT32_MAX};

	(void)state;
	memset(now, 0, sizeof(now));
	state_copy(&from, (const char *)old, &to, (char *)now, rows);
	assert_int_equal(now[0].a, 300);
	assert_int_equal(now[1].a, 301);
	assert_int_equal(now[1].b, 8);
	assert_int_equal(now[1].c, 0);
	assert_int_equal(now[2].a, 0); /* there was no such row */
	assert_int_equal(
	    state_number(&from, (const char *)old, STATE_KEPT, "b"), 7);
	assert_int_equal(
	    state_number(&from, (const char *)old, STATE_KEPT, "a"), -1);
	assert_int_equal(
	    state_number(&from, (const char *)old, STATE_KEPT, "z"), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_a_reeve_of_the_right_age_is_let_in),
	    cmocka_unit_test(fields_are_found_by_name),
	    cmocka_unit_test(an_end_that_was_reaped_and_not_noted_is_known),
	    cmocka_unit_test(facts_signals_and_ends_outlive_a_fault),
	    cmocka_unit_test(no_state_is_taken_unlooked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
