/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "supervisor/wire/format.h"
#include "supervisor/wire/plan.h"

static_assert(
    sizeof(struct plan_port) == sizeof(struct worker_port) &&
        offsetof(struct plan_port, base) == offsetof(struct worker_port, base),
    "ports are used in place");
static_assert(
    sizeof(struct plan_dependency) == sizeof(struct worker_dependency) &&
        offsetof(struct plan_dependency, condition) ==
            offsetof(struct worker_dependency, condition),
    "dependencies are used in place");

enum {
	PLAN_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE
};

/* --- where the bytes come from --- */

static int
plan_size(int fd, bool sealed, size_t *ret, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return err_sys(err, "stat of the plan");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INPUT, "not a regular file");
	if (sealed) {
		int seals = fcntl(fd, F_GET_SEALS);
		if (seals == -1 || (seals & PLAN_SEALS) != PLAN_SEALS)
			return err_set(
			    err, ERR_INPUT, "not a memfd with all its seals");
	}
	if (st.st_size < (off_t)sizeof(struct plan_header) ||
	    st.st_size > PLAN_BYTES_MAX)
		return err_set(err, ERR_INPUT,
		    "a plan of %lld bytes is not in %zu..%d",
		    (long long)st.st_size, sizeof(struct plan_header),
		    PLAN_BYTES_MAX);
	*ret = (size_t)st.st_size;
	return 0;
}

static int
read_whole(int fd, uint8_t *bytes, size_t size, struct err *err)
{
	for (size_t at = 0; at < size;) {
		ssize_t got = pread(fd, bytes + at, size - at, (off_t)at);
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return err_sys(err, "read the plan");
		if (got == 0)
			return err_set(err, ERR_INPUT, "truncated");
		at += (size_t)got;
	}
	return 0;
}

/* What was applied stays available, even when the file is changed. */
static int
keep_copy(const uint8_t *bytes, size_t size, int *ret_fd, struct err *err)
{
	int fd = memfd_create("reeve-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1)
		return err_sys(err, "memfd for the plan");
	if (fd_write_all(fd, bytes, size, err) == -1) {
		fd_close(&fd);
		return -1;
	}
	if (fcntl(fd, F_ADD_SEALS, PLAN_SEALS) == -1) {
		(void)err_sys(err, "seal the plan");
		fd_close(&fd);
		return -1;
	}
	*ret_fd = fd;
	return 0;
}

int
plan_open(int fd, bool sealed, struct plan *ret, struct err *err)
{
	size_t size = 0;
	int kept = -1;
	struct plan plan = PLAN_INIT;

	if (plan_size(fd, sealed, &size, err) == -1)
		return -1;
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return err_sys(err, "memory for a plan of %zu bytes", size);
	if (read_whole(fd, bytes, size, err) == -1)
		goto fail;
	if (sealed) {
		kept = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (kept == -1) {
			(void)err_sys(err, "duplicate the plan");
			goto fail;
		}
	} else if (keep_copy(bytes, size, &kept, err) == -1) {
		goto fail;
	}
	if (plan_decode(bytes, size, &plan, err) == -1)
		goto fail;
	/* from here on a stray write ends in a fault, not in a wrong exec */
	if (mprotect(bytes, size, PROT_READ) == -1) {
		(void)err_sys(err, "protect the plan");
		goto fail;
	}
	plan.mapped = size;
	plan.fd = kept;
	*ret = plan;
	return 0;
fail:
	explicit_bzero(bytes, size);
	(void)munmap(bytes, size);
	fd_close(&kept);
	return -1;
}

void
plan_close(struct plan *plan)
{
	if (plan->bytes != NULL && plan->mapped > 0) {
		if (mprotect(
		        plan->bytes, plan->mapped, PROT_READ | PROT_WRITE) == 0)
			explicit_bzero(plan->bytes, plan->mapped);
		(void)munmap(plan->bytes, plan->mapped);
	}
	fd_close(&plan->fd);
	*plan = PLAN_INIT;
}

/* --- views --- */

void
plan_view_of(uint8_t *bytes, struct plan_view *ret)
{
	struct plan_header *header = (void *)bytes;
	void *at[SECTION_COUNT];

	for (unsigned i = 0; i < SECTION_COUNT; i++) {
		at[i] = bytes + header->sections[i].offset;
		ret->count[i] = header->sections[i].count;
	}
	ret->header = header;
	ret->workers = at[SECTION_WORKERS];
	ret->order = at[SECTION_ORDER];
	ret->slots = at[SECTION_SLOTS];
	ret->ports = at[SECTION_PORTS];
	ret->dependencies = at[SECTION_DEPENDENCIES];
	ret->changes = at[SECTION_CHANGES];
	ret->numbers = at[SECTION_NUMBERS];
	ret->setups = at[SECTION_SETUPS];
	ret->texts = at[SECTION_TEXTS];
}

struct calendar_zone
plan_view_zone(
    const struct plan_view *view, const struct plan_schedule *schedule)
{
	return (struct calendar_zone){
	    view->changes + schedule->changes.first, schedule->changes.count};
}

const char *
plan_view_name(const struct plan_view *view, uint32_t index)
{
	return view->texts + view->workers[index].name.offset;
}

int32_t
plan_view_find(const struct plan_view *view, const char *name)
{
	uint32_t low = 0, high = (uint32_t)view->count[SECTION_ORDER];

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		uint32_t index = view->order[middle];
		int order = strcmp(plan_view_name(view, index), name);
		if (order == 0)
			return (int32_t)index;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

static const char *
text_at(const struct plan_view *view, struct plan_text text)
{
	return text.offset == 0 ? NULL : view->texts + text.offset;
}

static const char *const *
list_at(const struct plan_view *view, struct plan_list list)
{
	return &view->slots[list.first].pointer;
}

void
plan_settings_of(const struct plan *plan, struct plan_settings *ret)
{
	struct plan_view view;

	plan_view_of(plan->bytes, &view);
	const struct plan_options *options = &view.header->options;
	*ret = (struct plan_settings){
	    .name = text_at(&view, options->name),
	    .grace_ms = options->grace_ms,
	    .exit_on_term = options->exit_on_term,
	    .second_term = options->second_term,
	    .exit_code = options->exit_code,
	    .liveness_port = options->liveness_port,
	    .logs = options->logs,
	    .control_gid = options->control_gid,
	    .log_json = (options->flags & SETTINGS_FLAG_LOG_JSON) != 0,
	};
	if (ret->name == NULL)
		ret->name = "";
	memcpy(ret->manifest_digest, options->manifest_digest,
	    sizeof(ret->manifest_digest));
}

static void
probe_view(const struct plan_view *view, const struct plan_probe *probe,
    struct probe_spec *ret)
{
	*ret = (struct probe_spec){
	    .kind = (enum probe_kind)probe->kind,
	    .argv = list_at(view, probe->argv),
	    .host = text_at(view, probe->host),
	    .path = text_at(view, probe->path),
	    .headers = list_at(view, probe->headers),
	    .port = probe->port,
	    .port_per_replica = (probe->flags & PROBE_FLAG_PER_REPLICA) != 0,
	    .initial_delay_ms = probe->initial_delay_ms,
	    .period_ms = probe->period_ms,
	    .timeout_ms = probe->timeout_ms,
	    .success_threshold = probe->success_threshold,
	    .failure_threshold = probe->failure_threshold,
	};
}

static void
schedule_view(const struct plan_view *view,
    const struct plan_schedule *schedule, struct worker_schedule *ret)
{
	*ret = (struct worker_schedule){
	    .text = text_at(view, schedule->text),
	    .zone_name = text_at(view, schedule->zone_name),
	    .zone = plan_view_zone(view, schedule),
	    .concurrency = (enum worker_concurrency)schedule->concurrency,
	    .starting_deadline_s = schedule->starting_deadline_s,
	    .suspended = schedule->suspended != 0,
	};
	plan_rule_of(schedule, &ret->rule);
}

void
plan_worker(const struct plan *plan, uint32_t index, struct worker_spec *ret)
{
	struct plan_view view;

	assert(index < plan->nworkers);
	plan_view_of(plan->bytes, &view);
	const struct plan_record *record = &view.workers[index];
	const struct plan_setup *setup = &view.setups[record->setup];
	*ret = (struct worker_spec){
	    .name = text_at(&view, record->name),
	    .argv = list_at(&view, record->argv),
	    .executable = text_at(&view, record->executable),
	    .envp = list_at(&view, record->envp),
	    .cwd = text_at(&view, record->cwd),
	    .uid = record->uid,
	    .gid = record->gid,
	    .groups = view.numbers + record->groups.first,
	    .ngroups = record->groups.count,
	    .umask = record->umask,
	    .no_new_privs = (record->flags & RECORD_FLAG_NO_NEW_PRIVS) != 0,
	    .replicas = record->replicas,
	    .restart = (enum worker_restart)record->restart,
	    .backoff_first_ms = record->backoff_first_ms,
	    .backoff_cap_ms = record->backoff_cap_ms,
	    .failures_max = record->failures_max,
	    .deadline_ms = record->deadline_ms,
	    .grace_ms = record->grace_ms,
	    .start_limit = {.count = record->limit_count,
	        .window_ms = record->limit_window_ms},
	    .notify = {.ready = (enum notify_ready)record->notify_ready,
	        .fd = record->notify_fd,
	        .watchdog_ms = record->watchdog_ms},
	    .drain_signal = record->drain_signal,
	    .ports = (const void *)(view.ports + record->ports.first),
	    .nports = record->ports.count,
	    .dependencies =
	        (const void *)(view.dependencies + record->dependencies.first),
	    .ndependencies = record->dependencies.count,
	    .rank = record->rank,
	    .init = (record->flags & RECORD_FLAG_INIT) != 0,
	    .memory_limit_bytes = record->memory_limit_bytes,
	    .process = setup->process,
	    .cpu_limit_milli = record->cpu_limit_milli,
	    .pids_limit = record->pids_limit,
	    .generation = record->generation,
	    .logs = record->logs,
	};
	probe_view(&view, &setup->probes[PLAN_READINESS], &ret->readiness);
	probe_view(&view, &setup->probes[PLAN_LIVENESS], &ret->liveness);
	probe_view(&view, &setup->probes[PLAN_STARTUP], &ret->startup);
	probe_view(&view, &setup->probes[PLAN_PRE_STOP], &ret->pre_stop);
	schedule_view(&view, &setup->schedule, &ret->schedule);
	memcpy(ret->config_digest, record->config_digest,
	    sizeof(ret->config_digest));
}

const char *
plan_worker_name(const struct plan *plan, uint32_t index)
{
	struct plan_view view;

	assert(index < plan->nworkers);
	plan_view_of(plan->bytes, &view);
	return plan_view_name(&view, index);
}

int32_t
plan_worker_find(const struct plan *plan, const char *name)
{
	struct plan_view view;

	if (plan->bytes == NULL)
		return -1;
	plan_view_of(plan->bytes, &view);
	return plan_view_find(&view, name);
}
