/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/secret.h"
#include "supervisor/wire/status_encode.h"
#include "worker/exit.h"

void
status_time(struct jsonw *json, const char *key, int64_t wall_ms)
{
	char at[CLOCK_TEXT_SIZE];

	if (wall_ms <= 0)
		jsonw_null(json, key);
	else
		jsonw_text(json, key, clock_text(wall_ms, at));
}

void
status_digest(struct jsonw *json, const char *key, const uint8_t digest[16])
{
	struct fingerprint print;
	char text[FINGERPRINT_TEXT_SIZE];

	memcpy(print.bytes, digest, sizeof(print.bytes));
	jsonw_text(json, key, fingerprint_text(&print, text));
}

/* An end that nobody may ask for again is no key of its own: CLASS_NONE. */
static void
restart_counts(struct jsonw *json, const struct wire_instance *wire)
{
	jsonw_object(json, "restart_counts");
	for (unsigned kind = CLASS_NONE + 1; kind < CLASS_COUNT; kind++)
		jsonw_i64(json, exit_class_name((enum exit_class)kind),
		    wire->restarted[kind]);
	jsonw_end(json);
}

static void
status_count(
    struct jsonw *json, const char *key, const struct wire_count *count)
{
	jsonw_object(json, key);
	jsonw_i64(json, "lines", (int64_t)count->lines);
	jsonw_i64(json, "bytes", (int64_t)count->bytes);
	jsonw_end(json);
}

static void
status_output(struct jsonw *json, const struct wire_output *output)
{
	if (output->captured == 0) {
		jsonw_null(json, "output");
		return;
	}
	jsonw_object(json, "output");
	status_count(json, "received", &output->received);
	status_count(json, "written", &output->written);
	status_count(json, "dropped", &output->dropped);
	status_count(json, "limited", &output->limited);
	status_count(json, "lost", &output->lost);
	status_count(json, "held", &output->held);
	jsonw_bool(json, "exact", output->unsure == 0);
	jsonw_end(json);
}

static void
status_amount(struct jsonw *json, int dir, const char *key, const char *file)
{
	uint64_t bytes;

	if (cgroup_read_number(dir, file, &bytes) && bytes <= INT64_MAX)
		jsonw_i64(json, key, (int64_t)bytes);
	else
		jsonw_null(json, key);
}

/* The instance's own cgroup; -1 where it has none, or we can't see it. */
static int
cgroup_of(int32_t pid)
{
	char path[CGROUP_PATH_MAX] = "";

	if (pid <= 0 ||
	    cgroup_find(pid, CGROUP_V2, path, sizeof(path), NULL) == -1 ||
	    strstr(path, "/worker.") == NULL)
		return -1;
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool
status_memory_current(int32_t pid, uint64_t *ret)
{
	int dir = cgroup_of(pid);
	bool known =
	    dir != -1 && cgroup_read_number(dir, "memory.current", ret);

	fd_close(&dir);
	return known;
}

/* As the instance's own cgroup has it; null where that doesn't count. */
static void
status_memory(struct jsonw *json, int32_t pid)
{
	int dir = cgroup_of(pid);

	if (dir == -1 || faccessat(dir, "memory.current", R_OK, 0) == -1) {
		fd_close(&dir);
		jsonw_null(json, "memory");
		return;
	}
	jsonw_object(json, "memory");
	status_amount(json, dir, "current_bytes", "memory.current");
	status_amount(json, dir, "peak_bytes", "memory.peak");
	status_amount(json, dir, "limit_bytes", "memory.max");
	jsonw_end(json);
	fd_close(&dir);
}

void
status_schedule(struct jsonw *json, const struct wire_worker *wire)
{
	if (wire->schedule[0] == '\0') {
		jsonw_null(json, "schedule");
		return;
	}
	jsonw_text(json, "schedule", wire->schedule);
	jsonw_bool(json, "suspended", wire->suspended != 0);
	status_time(json, "last_run", wire->last_run_wall_ms);
	status_time(json, "last_success", wire->last_success_wall_ms);
	status_time(json, "last_failure", wire->last_failure_wall_ms);
	status_time(json, "next_run", wire->next_run_wall_ms);
	jsonw_i64(json, "missed", wire->missed);
}

void
status_instance(struct jsonw *json, const struct wire_instance *wire)
{
	char text[EXIT_TEXT_SIZE];

	jsonw_object(json, NULL);
	jsonw_i64(json, "index", wire->replica);
	if (wire->pid > 0)
		jsonw_i64(json, "pid", wire->pid);
	else
		jsonw_null(json, "pid");
	jsonw_text(json, "state",
	    instance_state_name((enum instance_state)wire->state));
	jsonw_text(
	    json, "why", instance_why_name((enum instance_why)wire->why));
	jsonw_bool(json, "ready", wire->state == INSTANCE_READY);
	jsonw_i64(json, "restarts", wire->restarts);
	restart_counts(json, wire);
	jsonw_i64(json, "generation", (int64_t)wire->generation);
	status_time(json, "started_at", wire->started_wall_ms);
	status_time(json, "ready_at", wire->ready_wall_ms);
	status_time(json, "next_start_at", wire->next_start_wall_ms);
	status_digest(json, "config_digest", wire->config_digest);
	jsonw_text(json, "last_exit",
	    wire->last_exit.kind == EXIT_UNKNOWN
	        ? ""
	        : exit_text(&wire->last_exit, text, sizeof(text)));
	status_time(json, "last_exit_at", wire->last_exit_wall_ms);
	jsonw_text(json, "probe", wire->probe_text);
	jsonw_text(json, "waits_for", wire->wait_text);
	jsonw_text(json, "status_text", wire->status_text);
	jsonw_i64(json, "oom_kills", wire->oom_kills);
	jsonw_i64(json, "escaped", wire->last_exit.escaped);
	status_memory(json, wire->pid);
	status_output(json, &wire->output);
	jsonw_end(json);
}

/* What was written for a file that hangs, and never came to it. */
void
status_files(struct jsonw *json, const struct wire_snapshot *snapshot)
{
	static const char *const names[] = {"stdout", "stderr"};

	jsonw_object(json, "files_lost");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		jsonw_object(json, names[i]);
		jsonw_i64(json, "bytes", (int64_t)snapshot->files_lost[i]);
		jsonw_bool(json, "exact", snapshot->files_unsure[i] == 0);
		jsonw_end(json);
	}
	jsonw_end(json);
}

void
status_cgroup(struct jsonw *json, const struct wire_snapshot *snapshot)
{
	jsonw_object(json, "cgroup");
	jsonw_bool(json, "tree", (snapshot->cgroup & CGROUP_TREE) != 0);
	jsonw_bool(json, "memory", (snapshot->cgroup & CGROUP_MEMORY) != 0);
	jsonw_bool(json, "cpu", (snapshot->cgroup & CGROUP_CPU) != 0);
	jsonw_bool(json, "pids", (snapshot->cgroup & CGROUP_PIDS) != 0);
	jsonw_text(json, "why", snapshot->cgroup_why);
	jsonw_end(json);
}
