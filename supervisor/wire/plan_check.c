/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/err.h"
#include "supervisor/wire/format.h"
#include "supervisor/wire/plan.h"
#include "worker/spec.h"

/* Longer is a mistake of units; and sums of two can't overflow. */
#define TIME_MAX_MS (INT64_C(10) * 366 * 24 * 3600 * 1000)
#define ID_MAX      ((int64_t)UINT32_MAX - 1)
#define LIMIT_MAX   1000000

uint64_t
plan_checksum(uint64_t sum, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ p[i]) * UINT64_C(0x100000001b3);
	return sum;
}

size_t
plan_item_bytes(enum plan_section section)
{
	static const size_t bytes[SECTION_COUNT] = {
	    [SECTION_WORKERS] = sizeof(struct plan_record),
	    [SECTION_ORDER] = sizeof(uint32_t),
	    [SECTION_SLOTS] = sizeof(union plan_slot),
	    [SECTION_PORTS] = sizeof(struct plan_port),
	    [SECTION_DEPENDENCIES] = sizeof(struct plan_dependency),
	    [SECTION_CHANGES] = sizeof(struct calendar_change),
	    [SECTION_NUMBERS] = sizeof(int64_t),
	    [SECTION_SETUPS] = sizeof(struct plan_setup),
	    [SECTION_TEXTS] = 1,
	};

	return bytes[section];
}

static int
in_range(int64_t value, int64_t least, int64_t most, const char *what,
    struct err *err)
{
	if (value >= least && value <= most)
		return 0;
	return err_set(err, ERR_INPUT, "%s %lld is not in %lld..%lld", what,
	    (long long)value, (long long)least, (long long)most);
}

static int
check_probe(const struct plan_probe *probe, const char *what, struct err *err)
{
	if (probe->kind > PROBE_TCP || probe->zero != 0 ||
	    (probe->flags & ~(uint32_t)PROBE_FLAGS) != 0)
		return err_set(err, ERR_INPUT, "%s probe: unknown kind", what);
	if (probe->kind == PROBE_NONE)
		return 0;
	if (probe->kind == PROBE_EXEC && probe->argv.count == 0)
		return err_set(err, ERR_INPUT, "%s probe: no command", what);
	if (probe->kind == PROBE_HTTP && probe->path.offset == 0)
		return err_set(err, ERR_INPUT, "%s probe: no path", what);
	if (probe->kind != PROBE_EXEC &&
	    in_range(probe->port, 1, 65535, "port", err) == -1)
		return err_wrap(err, "%s probe", what);
	if (in_range(probe->initial_delay_ms, 0, TIME_MAX_MS, "initial delay",
	        err) == -1 ||
	    in_range(probe->period_ms, 1, TIME_MAX_MS, "period", err) == -1 ||
	    in_range(probe->timeout_ms, 1, TIME_MAX_MS, "timeout", err) == -1 ||
	    in_range(probe->success_threshold, 1, INT32_MAX,
	        "success threshold", err) == -1 ||
	    in_range(probe->failure_threshold, 1, INT32_MAX,
	        "failure threshold", err) == -1)
		return err_wrap(err, "%s probe", what);
	return 0;
}

static int
check_ids(const struct plan_record *record, struct err *err)
{
	if (in_range(record->uid, WORKER_ID_NONE, ID_MAX, "uid", err) == -1 ||
	    in_range(record->gid, WORKER_ID_NONE, ID_MAX, "gid", err) == -1)
		return -1;
	if (record->umask != UINT32_MAX && record->umask > 0777)
		return err_set(err, ERR_INPUT, "umask 0%o is not in 0..0777",
		    record->umask);
	if (record->zero_too != 0 ||
	    (record->flags & ~(uint32_t)RECORD_FLAGS) != 0)
		return err_set(err, ERR_INPUT, "unknown flags");
	return 0;
}

static int
check_notify(const struct plan_record *record, struct err *err)
{
	if (in_range(record->notify_ready, NOTIFY_ABSENT, NOTIFY_NONE, "notify",
	        err) == -1 ||
	    in_range(record->watchdog_ms, 0, TIME_MAX_MS, "watchdog", err) ==
	        -1 ||
	    in_range(record->limit_count, 0, LIMIT_MAX, "start limit", err) ==
	        -1 ||
	    in_range(record->limit_window_ms, record->limit_count > 0,
	        TIME_MAX_MS, "window of the start limit", err) == -1)
		return -1;
	if (record->notify_ready == NOTIFY_ABSENT && record->watchdog_ms > 0)
		return err_set(err, ERR_INPUT, "a watchdog without notify");
	if (record->notify_ready == NOTIFY_NEWLINE &&
	    in_range(record->notify_fd, 3, 255, "notify descriptor", err) == -1)
		return -1;
	return 0;
}

static int
check_limits(const struct worker_process *process, struct err *err)
{
	if ((process->limited >> WORKER_LIMITS) != 0)
		return err_set(err, ERR_INPUT, "unknown limits");
	for (uint32_t i = 0; i < WORKER_LIMITS; i++) {
		const struct worker_limit *limit = &process->limits[i];
		if ((process->limited >> i & 1) != 0 &&
		    limit->soft > limit->hard)
			return err_set(err, ERR_INPUT,
			    "limit %s: the soft one is above the hard one",
			    worker_limit_name((enum worker_limit_id)i));
	}
	return 0;
}

static int
check_process(const struct worker_process *process, struct err *err)
{
	uint64_t cpus = 0;

	if ((process->declared & ~(uint32_t)PROCESS_ALL) != 0 ||
	    process->zero != 0)
		return err_set(err, ERR_INPUT, "unknown settings");
	for (size_t i = 0; i < ARRAY_LEN(process->cpus); i++)
		cpus |= process->cpus[i];
	if ((process->declared & PROCESS_CPUS) != 0 && cpus == 0)
		return err_set(err, ERR_INPUT, "no CPU to run on");
	if (check_limits(process, err) == -1 ||
	    in_range(process->nice, WORKER_NICE_MIN, WORKER_NICE_MAX, "nice",
	        err) == -1 ||
	    in_range(process->scheduling, 0, SCHEDULINGS - 1, "scheduling",
	        err) == -1 ||
	    in_range(process->io_class, 0, IO_CLASSES - 1, "io class", err) ==
	        -1 ||
	    in_range(process->io_level, 0, WORKER_IO_LEVELS - 1, "io level",
	        err) == -1)
		return -1;
	return in_range(process->oom_score_adj, -WORKER_OOM_MAX, WORKER_OOM_MAX,
	    "oom_score_adj", err);
}

static int
check_logs(const struct worker_logs *logs, struct err *err)
{
	if (in_range(logs->format, LOGS_NONE, LOGS_JSON, "log format", err) ==
	        -1 ||
	    in_range(logs->when_blocked, LOGS_DROP_NEW, LOGS_BLOCK,
	        "whenBlocked", err) == -1 ||
	    in_range(logs->keep_lines, 0, LOGS_KEEP_MAX, "kept lines", err) ==
	        -1 ||
	    in_range(logs->rate_lines, 0, LOGS_RATE_LINES_MAX, "lines a second",
	        err) == -1 ||
	    in_range((int64_t)MIN(logs->rate_bytes, (uint64_t)INT64_MAX), 0,
	        LOGS_RATE_BYTES_MAX, "bytes a second", err) == -1 ||
	    in_range(logs->burst_ms, 0, LOGS_BURST_MAX_MS, "burst", err) == -1)
		return -1;
	return 0;
}

void
plan_rule_of(const struct plan_schedule *schedule, struct calendar_rule *ret)
{
	*ret = (struct calendar_rule){.minutes = schedule->minutes,
	    .hours = schedule->hours,
	    .days = schedule->days,
	    .months = schedule->months,
	    .weekdays = schedule->weekdays,
	    .either_day = schedule->either_day != 0};
}

static int
check_schedule(const struct plan_record *record,
    const struct plan_schedule *schedule, struct err *err)
{
	struct calendar_rule rule;

	if (schedule->text.offset == 0)
		return 0;
	plan_rule_of(schedule, &rule);
	if (!calendar_rule_valid(&rule) || schedule->zero != 0 ||
	    schedule->either_day > 1 || schedule->suspended > 1 ||
	    schedule->concurrency >= CONCURRENCY_COUNT)
		return err_set(err, ERR_INPUT, "schedule: nothing to run by");
	if (record->restart == RESTART_ALWAYS)
		return err_set(err, ERR_INPUT,
		    "schedule: with restart policy Always it would never end");
	return in_range(schedule->starting_deadline_s, -1, TIME_MAX_MS / 1000,
	    "starting deadline", err);
}

int
plan_check_numbers(const struct plan_record *record,
    const struct plan_setup *setup, struct err *err)
{
	static const char *const names[PLAN_PROBES] = {
	    [PLAN_READINESS] = "readiness",
	    [PLAN_LIVENESS] = "liveness",
	    [PLAN_STARTUP] = "startup",
	    [PLAN_PRE_STOP] = "preStop",
	};

	if (check_ids(record, err) == -1 || check_notify(record, err) == -1 ||
	    check_process(&setup->process, err) == -1 ||
	    check_logs(&record->logs, err) == -1)
		return -1;
	if (in_range(record->replicas, 0, WORKER_REPLICAS_MAX, "replicas",
	        err) == -1 ||
	    in_range(record->restart, RESTART_ALWAYS, RESTART_NEVER,
	        "restart policy", err) == -1 ||
	    in_range(record->backoff_cap_ms, 0, TIME_MAX_MS, "backoff cap",
	        err) == -1 ||
	    in_range(record->backoff_first_ms, 0, record->backoff_cap_ms,
	        "first backoff", err) == -1 ||
	    in_range(record->grace_ms, 0, TIME_MAX_MS, "grace", err) == -1 ||
	    in_range(record->drain_signal, 1, 64, "drain signal", err) == -1 ||
	    in_range(record->deadline_ms, 0, TIME_MAX_MS, "deadline", err) ==
	        -1 ||
	    in_range(record->rank, 0, PLAN_RANK_MAX, "rank", err) == -1 ||
	    in_range(record->cpu_limit_milli, 0, INT32_MAX, "cpu limit", err) ==
	        -1 ||
	    in_range(record->pids_limit, 0, INT32_MAX, "pids limit", err) ==
	        -1 ||
	    check_schedule(record, &setup->schedule, err) == -1)
		return -1;
	for (unsigned i = 0; i < PLAN_PROBES; i++)
		if (check_probe(&setup->probes[i], names[i], err) == -1)
			return -1;
	return 0;
}

int
plan_check_options(const struct plan_options *options, struct err *err)
{
	if (in_range(options->grace_ms, -1, TIME_MAX_MS, "grace", err) == -1 ||
	    in_range(options->control_gid, -1, ID_MAX, "control group", err) ==
	        -1 ||
	    in_range(options->second_term, 0, SECOND_TERM_KILL, "second TERM",
	        err) == -1 ||
	    in_range(options->exit_code, 0, EXIT_CODE_FIXED, "exit code rule",
	        err) == -1 ||
	    in_range(options->liveness_port, 0, 65535, "liveness port", err) ==
	        -1 ||
	    in_range(options->logs, 0, LOGS_JSON, "log format", err) == -1)
		return -1;
	if (options->exit_on_term != 0 && options->exit_on_term != 143)
		return err_set(err, ERR_INPUT, "exitOnTerm %d is not 0 or 143",
		    options->exit_on_term);
	if ((options->flags & ~(uint32_t)SETTINGS_FLAGS) != 0)
		return err_set(err, ERR_INPUT, "unknown flags");
	return 0;
}

int
plan_check_name(const char *name, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
	                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                              "0123456789-_.";
	size_t len = strlen(name);

	if (len == 0 || len > PLAN_NAME_MAX)
		return err_set(err, ERR_INPUT,
		    "a name of %zu bytes is not in 1..%d", len, PLAN_NAME_MAX);
	if (strspn(name, allowed) != len || name[0] == '.')
		return err_set(err, ERR_INPUT,
		    "a name has other characters than letters, digits, '-', "
		    "'_' and '.'");
	return 0;
}
