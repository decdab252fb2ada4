/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_WIRE_FORMAT_H
#define REEVE_SUPERVISOR_WIRE_FORMAT_H

#include "base/base.h"
#include "base/calendar.h"
#include "worker/process.h"
#include "worker/spec.h"

/*
 * The bytes of a plan, shared by plan_decode.c and plan.c (read) and
 * plan_encode.c (writes). docs/design/plan.md says the same in words. Sections
 * follow one another in the order of enum plan_section, each starting at a
 * multiple of eight, the gap filled with zeroes; nothing lies behind the last
 * one.
 */
#define PLAN_MAGIC "REEVEPLN"

static_assert(sizeof(void *) == 8, "slots become pointers in place");
static_assert(
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "plans are little endian");

enum plan_section {
	SECTION_WORKERS, /* struct plan_record */
	SECTION_ORDER,   /* uint32_t: record indexes, ascending by name */
	SECTION_SLOTS,   /* union plan_slot: lists of texts, each ended by 0 */
	SECTION_PORTS,   /* struct plan_port */
	SECTION_DEPENDENCIES, /* struct plan_dependency */
	SECTION_CHANGES,      /* struct calendar_change */
	SECTION_NUMBERS,      /* int64_t: supplementary groups */
	SECTION_SETUPS,       /* struct plan_setup */
	SECTION_TEXTS,        /* bytes; the first is 0 */
	SECTION_COUNT
};

/* A text: `length` bytes at `offset` of SECTION_TEXTS, then a NUL, none within.
 * Offset 0: absent. */
struct plan_text {
	uint32_t offset, length;
};

/* In the file a plan_text; after validation, in our own copy, the pointer. */
union plan_slot {
	struct plan_text text;
	const char *pointer;
};

/* `count` items from `first` of its section; of slots, then one that is 0. */
struct plan_list {
	uint32_t first, count;
};

struct plan_span {
	uint64_t offset; /* from the start of the plan */
	uint64_t count;  /* of items */
};

/* The layout of struct worker_port. */
struct plan_port {
	union plan_slot name;
	uint32_t base;
	uint32_t zero;
};

/* The layout of struct worker_dependency. */
struct plan_dependency {
	union plan_slot worker;
	uint32_t condition;
	uint32_t zero;
};

enum {
	PROBE_FLAG_PER_REPLICA = 1,
	PROBE_FLAGS = 1,
	RECORD_FLAG_NO_NEW_PRIVS = 1,
	RECORD_FLAG_INIT = 2,
	RECORD_FLAGS = 3,
	SETTINGS_FLAG_LOG_JSON = 1,
	SETTINGS_FLAGS = 1,
};

struct plan_probe {
	uint32_t kind, port, flags, zero;
	struct plan_text host, path;
	struct plan_list argv, headers;
	int64_t initial_delay_ms, period_ms, timeout_ms;
	uint32_t success_threshold, failure_threshold;
};

enum {
	PLAN_READINESS,
	PLAN_LIVENESS,
	PLAN_STARTUP,
	PLAN_PRE_STOP,
	PLAN_PROBES
};

struct plan_schedule {
	struct plan_text text, zone_name; /* no text: not scheduled */
	struct plan_list changes;
	uint64_t minutes;
	uint32_t hours, days, months, weekdays;
	uint32_t either_day, suspended, concurrency, zero;
	int64_t starting_deadline_s;
};

/* What most workers leave as it is: those of which it is all the same have one
 * in common. */
struct plan_setup {
	struct worker_process process;
	struct plan_schedule schedule;
	struct plan_probe probes[PLAN_PROBES];
};

struct plan_record {
	struct plan_text name, executable, cwd;
	struct plan_list argv, envp, groups, ports, dependencies;
	int64_t uid, gid;
	int64_t backoff_first_ms, backoff_cap_ms, grace_ms;
	int64_t limit_window_ms, watchdog_ms;
	uint32_t limit_count, notify_ready, notify_fd, zero_too;
	uint64_t memory_limit_bytes, generation;
	uint32_t cpu_limit_milli, pids_limit;
	uint32_t umask, flags, replicas, restart;
	int32_t drain_signal;
	uint32_t setup; /* index of its plan_setup */
	/* more than that of every worker that it depends on: so there is no
	 * cycle */
	uint32_t rank;
	uint32_t failures_max;
	int64_t deadline_ms;
	struct worker_logs logs;
	uint8_t config_digest[16];
};

struct plan_options {
	struct plan_text name;
	int64_t grace_ms, control_gid;
	int32_t exit_on_term;
	uint32_t second_term, exit_code, liveness_port, logs;
	uint32_t flags;
	uint8_t manifest_digest[32];
};

struct plan_header {
	char magic[8];
	uint32_t version;
	uint32_t header_bytes;
	uint64_t total_bytes;
	uint64_t checksum; /* FNV-1a of the whole with this field 0 */
	struct plan_span sections[SECTION_COUNT];
	struct plan_options options;
};

static_assert(sizeof(struct plan_header) % 8 == 0, "aligned sections");
static_assert(sizeof(struct plan_record) % 8 == 0, "aligned records");
static_assert(sizeof(struct plan_setup) % 8 == 0, "aligned setups");
static_assert(sizeof(struct worker_process) ==
                  32 + 16 * WORKER_LIMITS + 8 * WORKER_CPU_WORDS + 16,
    "without gaps");
static_assert(sizeof(union plan_slot) == 8, "a slot is a pointer");
static_assert(sizeof(struct worker_logs) == 32, "no gaps in a record");

/* FNV-1a, 64 bits, over `len` bytes, from `sum` on. Against accidents, not
 * against people: who can send a plan may send a right one. */
uint64_t plan_checksum(uint64_t sum, const void *bytes, size_t len);
#define PLAN_CHECKSUM_START 0xcbf29ce484222325U

/* Bytes of one item of a section. */
size_t plan_item_bytes(enum plan_section section);
/* What a record, a probe or the settings hold is in range; `what` names it in
 * the error. Used by both sides, so that they can't disagree. */
struct err;
int plan_check_numbers(const struct plan_record *record,
    const struct plan_setup *setup, struct err *err);
int plan_check_options(const struct plan_options *options, struct err *err);
int plan_check_name(const char *name, struct err *err);
void plan_rule_of(
    const struct plan_schedule *schedule, struct calendar_rule *ret);

/* The sections as arrays, once their bounds are known to be right. */
struct plan_view {
	struct plan_header *header;
	struct plan_record *workers;
	uint32_t *order;
	union plan_slot *slots;
	struct plan_port *ports;
	struct plan_dependency *dependencies;
	struct calendar_change *changes;
	int64_t *numbers;
	struct plan_setup *setups;
	const char *texts;
	uint64_t count[SECTION_COUNT];
};
/* Of a plan whose sections lie within it. */
void plan_view_of(uint8_t *bytes, struct plan_view *ret);
struct calendar_zone plan_view_zone(
    const struct plan_view *view, const struct plan_schedule *schedule);
const char *plan_view_name(const struct plan_view *view, uint32_t index);
/* The index of a worker; -1: none. */
int32_t plan_view_find(const struct plan_view *view, const char *name);

#endif
