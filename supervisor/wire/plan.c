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

/* The sections as arrays, once their bounds are known to be right. */
struct view {
	struct plan_header *header;
	struct plan_record *workers;
	uint32_t *order;
	union plan_slot *slots;
	struct plan_port *ports;
	struct plan_dependency *dependencies;
	struct calendar_change *changes;
	int64_t *numbers;
	const char *texts;
	uint64_t count[SECTION_COUNT];
};

static void
view_of(uint8_t *bytes, struct view *ret)
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
	ret->texts = at[SECTION_TEXTS];
}

/* --- validation --- */

static int
check_header(const struct plan_header *header, size_t size, struct err *err)
{
	if (size < sizeof(*header))
		return err_set(
		    err, ERR_INPUT, "%zu bytes are too few for a plan", size);
	if (memcmp(header->magic, PLAN_MAGIC, sizeof(header->magic)) != 0)
		return err_set(err, ERR_INPUT, "not a plan: wrong magic");
	if (header->version != PLAN_VERSION)
		return err_set(err, ERR_INPUT,
		    "plan version %u, this is for version %d", header->version,
		    PLAN_VERSION);
	if (header->header_bytes != sizeof(*header))
		return err_set(err, ERR_INPUT, "a header of %u bytes",
		    header->header_bytes);
	if (header->total_bytes != size)
		return err_set(err, ERR_INPUT,
		    "truncated or oversized: %zu bytes of %llu", size,
		    (unsigned long long)header->total_bytes);
	return 0;
}

/* In order, aligned, without a gap of more than the alignment, to the end. */
static int
check_sections(const struct plan_header *header, struct err *err)
{
	uint64_t at = sizeof(*header);

	for (unsigned i = 0; i < SECTION_COUNT; i++) {
		const struct plan_span *span = &header->sections[i];
		uint64_t item = plan_item_bytes((enum plan_section)i);

		at = (at + 7) & ~(uint64_t)7;
		if (span->offset != at || at > header->total_bytes ||
		    span->count > (header->total_bytes - at) / item)
			return err_set(err, ERR_INPUT,
			    "section %u lies outside the plan", i);
		at += span->count * item;
	}
	if (at != header->total_bytes)
		return err_set(err, ERR_INPUT, "bytes behind the last section");
	if (header->sections[SECTION_WORKERS].count > PLAN_WORKERS_MAX)
		return err_set(
		    err, ERR_INPUT, "more than %d workers", PLAN_WORKERS_MAX);
	if (header->sections[SECTION_ORDER].count !=
	    header->sections[SECTION_WORKERS].count)
		return err_set(err, ERR_INPUT, "order and workers differ");
	return 0;
}

static int
check_sum(struct plan_header *header, size_t size, struct err *err)
{
	uint64_t stated = header->checksum;

	header->checksum = 0;
	uint64_t sum = plan_checksum(PLAN_CHECKSUM_START, header, size);
	header->checksum = stated;
	if (sum != stated)
		return err_set(err, ERR_INPUT, "the checksum is wrong");
	return 0;
}

/* `required`: must be there. */
static int
check_text(const struct view *view, struct plan_text text, bool required,
    const char *what, struct err *err)
{
	if (text.offset == 0 && text.length == 0 && !required)
		return 0;
	if (text.offset == 0)
		return err_set(err, ERR_INPUT, "no %s", what);
	if (text.length > PLAN_TEXT_MAX)
		return err_set(err, ERR_INPUT, "%s is longer than %d bytes",
		    what, PLAN_TEXT_MAX);
	if ((uint64_t)text.offset + text.length >= view->count[SECTION_TEXTS])
		return err_set(
		    err, ERR_INPUT, "%s lies outside the plan", what);
	const char *bytes = view->texts + text.offset;
	if (memchr(bytes, '\0', (size_t)text.length + 1) != bytes + text.length)
		return err_set(
		    err, ERR_INPUT, "%s doesn't end where it says", what);
	return 0;
}

static bool
slot_empty(const union plan_slot *slot)
{
	return slot->text.offset == 0 && slot->text.length == 0;
}

static int
check_list(const struct view *view, struct plan_list list, const char *what,
    struct err *err)
{
	uint64_t end = (uint64_t)list.first + list.count;

	if (list.count > PLAN_LIST_MAX || end >= view->count[SECTION_SLOTS])
		return err_set(err, ERR_INPUT, "%s lie outside the plan", what);
	for (uint64_t i = list.first; i < end; i++)
		if (slot_empty(&view->slots[i]))
			return err_set(err, ERR_INPUT, "%s have a hole", what);
	if (!slot_empty(&view->slots[end]))
		return err_set(err, ERR_INPUT, "%s have no end", what);
	return 0;
}

static int
check_range(const struct view *view, enum plan_section section,
    struct plan_list list, uint32_t most, const char *what, struct err *err)
{
	if (list.count > most ||
	    (uint64_t)list.first + list.count > view->count[section])
		return err_set(err, ERR_INPUT, "%s lie outside the plan", what);
	return 0;
}

static int
check_environment(
    const struct view *view, const struct plan_record *record, struct err *err)
{
	if (check_list(view, record->envp, "environment entries", err) == -1)
		return -1;
	for (uint32_t i = 0; i < record->envp.count; i++) {
		const char *entry =
		    view->texts +
		    view->slots[record->envp.first + i].text.offset;
		if (*entry == '=' || strchr(entry, '=') == NULL)
			return err_set(err, ERR_INPUT,
			    "environment entry %u is not NAME=value", i);
	}
	return 0;
}

static int
check_groups_ports(
    const struct view *view, const struct plan_record *record, struct err *err)
{
	if (check_range(view, SECTION_NUMBERS, record->groups, PLAN_GROUPS_MAX,
	        "groups", err) == -1 ||
	    check_range(view, SECTION_PORTS, record->ports, PLAN_PORTS_MAX,
	        "ports", err) == -1 ||
	    check_range(view, SECTION_DEPENDENCIES, record->dependencies,
	        WORKER_DEPENDENCIES_MAX, "dependencies", err) == -1)
		return -1;
	for (uint32_t i = 0; i < record->groups.count; i++) {
		int64_t gid = view->numbers[record->groups.first + i];
		if (gid < 0 || gid >= UINT32_MAX)
			return err_set(err, ERR_INPUT, "group %lld is no id",
			    (long long)gid);
	}
	return 0;
}

static int
check_probe_texts(
    const struct view *view, const struct plan_probe *probe, struct err *err)
{
	if (check_text(view, probe->host, false, "probe host", err) == -1 ||
	    check_text(view, probe->path, false, "probe path", err) == -1 ||
	    check_list(view, probe->argv, "probe arguments", err) == -1)
		return -1;
	return check_list(view, probe->headers, "probe headers", err);
}

static struct calendar_zone
zone_of(const struct view *view, const struct plan_schedule *schedule)
{
	return (struct calendar_zone){
	    view->changes + schedule->changes.first, schedule->changes.count};
}

static int
check_calendar(const struct view *view, const struct plan_schedule *schedule,
    struct err *err)
{
	if (check_text(view, schedule->text, false, "schedule", err) == -1 ||
	    check_text(view, schedule->zone_name, schedule->text.offset != 0,
	        "time zone", err) == -1 ||
	    check_range(view, SECTION_CHANGES, schedule->changes,
	        CALENDAR_CHANGES_MAX, "changes of the clock", err) == -1)
		return -1;
	struct calendar_zone zone = zone_of(view, schedule);
	if (!calendar_zone_valid(&zone))
		return err_set(
		    err, ERR_INPUT, "the changes of the clock aren't in order");
	return 0;
}

static int
check_record(
    const struct view *view, const struct plan_record *record, struct err *err)
{
	if (check_text(view, record->name, true, "name", err) == -1 ||
	    plan_check_name(view->texts + record->name.offset, err) == -1 ||
	    check_text(view, record->executable, true, "executable", err) ==
	        -1 ||
	    check_text(view, record->cwd, false, "working directory", err) ==
	        -1 ||
	    check_list(view, record->argv, "arguments", err) == -1)
		return -1;
	if (view->texts[record->executable.offset] != '/')
		return err_set(
		    err, ERR_INPUT, "the executable's path is not absolute");
	if (record->argv.count == 0)
		return err_set(err, ERR_INPUT, "no arguments");
	if (check_environment(view, record, err) == -1 ||
	    check_groups_ports(view, record, err) == -1)
		return -1;
	if (check_calendar(view, &record->schedule, err) == -1)
		return -1;
	for (unsigned i = 0; i < PLAN_PROBES; i++)
		if (check_probe_texts(view, &record->probes[i], err) == -1)
			return -1;
	return plan_check_numbers(record, err);
}

static const char *
record_name(const struct view *view, uint32_t index)
{
	return view->texts + view->workers[index].name.offset;
}

static int
check_order(const struct view *view, struct err *err)
{
	uint64_t count = view->count[SECTION_ORDER];

	for (uint64_t i = 0; i < count; i++) {
		if (view->order[i] >= count)
			return err_set(
			    err, ERR_INPUT, "the order names no worker");
		/* strictly ascending: so it is a permutation, and no name
		 * appears twice */
		if (i > 0 && strcmp(record_name(view, view->order[i - 1]),
		                 record_name(view, view->order[i])) >= 0)
			return err_set(err, ERR_INPUT,
			    "worker '%s' appears twice or out of order",
			    record_name(view, view->order[i]));
	}
	return 0;
}

static int32_t
find_worker(const struct view *view, const char *name)
{
	uint32_t low = 0, high = (uint32_t)view->count[SECTION_ORDER];

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		uint32_t index = view->order[middle];
		int order = strcmp(record_name(view, index), name);
		if (order == 0)
			return (int32_t)index;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

/* Ranks that rise along every dependency: so nobody waits for itself. */
static int
check_ranks(const struct view *view, struct err *err)
{
	for (uint64_t i = 0; i < view->count[SECTION_WORKERS]; i++) {
		const struct plan_record *record = &view->workers[i];
		for (uint32_t k = 0; k < record->dependencies.count; k++) {
			const struct plan_dependency *dependency =
			    &view->dependencies[record->dependencies.first + k];
			const char *name =
			    view->texts + dependency->worker.text.offset;
			int32_t on = find_worker(view, name);
			if (on >= 0 && view->workers[on].rank >= record->rank)
				return err_set(err, ERR_INPUT,
				    "workers '%s' and '%s' wait for one "
				    "another",
				    record_name(view, (uint32_t)i), name);
		}
	}
	return 0;
}

static int
check_dependencies(const struct view *view, struct err *err)
{
	for (uint64_t i = 0; i < view->count[SECTION_DEPENDENCIES]; i++) {
		const struct plan_dependency *dependency =
		    &view->dependencies[i];
		if (check_text(view, dependency->worker.text, true,
		        "a dependency's worker", err) == -1)
			return -1;
		if (dependency->condition >= CONDITION_COUNT ||
		    dependency->zero != 0)
			return err_set(err, ERR_INPUT,
			    "dependency condition %u doesn't exist",
			    dependency->condition);
	}
	return 0;
}

static int
check_slots(const struct view *view, struct err *err)
{
	if (view->count[SECTION_TEXTS] == 0 || view->texts[0] != '\0')
		return err_set(err, ERR_INPUT, "no first byte of texts");
	for (uint64_t i = 0; i < view->count[SECTION_SLOTS]; i++)
		if (check_text(view, view->slots[i].text, false,
		        "a list's "
		        "text",
		        err) == -1)
			return -1;
	for (uint64_t i = 0; i < view->count[SECTION_PORTS]; i++) {
		const struct plan_port *port = &view->ports[i];
		if (check_text(view, port->name.text, true, "port name", err) ==
		    -1)
			return -1;
		if (plan_check_name(
		        view->texts + port->name.text.offset, err) == -1)
			return err_wrap(err, "port");
		if (port->base == 0 || port->base > 65535 || port->zero != 0)
			return err_set(err, ERR_INPUT,
			    "port %u is not in 1..65535", port->base);
	}
	return 0;
}

static int
check_all(const struct view *view, struct err *err)
{
	const struct plan_options *options = &view->header->options;

	if (check_slots(view, err) == -1 ||
	    check_dependencies(view, err) == -1 ||
	    check_text(view, options->name, false, "name", err) == -1 ||
	    plan_check_options(options, err) == -1)
		return -1;
	if (options->name.offset != 0 &&
	    plan_check_name(view->texts + options->name.offset, err) == -1)
		return -1;
	for (uint32_t i = 0; i < view->count[SECTION_WORKERS]; i++)
		if (check_record(view, &view->workers[i], err) == -1)
			return err_wrap(err, "worker %u", i);
	if (check_order(view, err) == -1)
		return -1;
	return check_ranks(view, err);
}

static void
relocate(const struct view *view)
{
	for (uint64_t i = 0; i < view->count[SECTION_SLOTS]; i++) {
		union plan_slot *slot = &view->slots[i];
		slot->pointer =
		    slot_empty(slot) ? NULL : view->texts + slot->text.offset;
	}
	for (uint64_t i = 0; i < view->count[SECTION_PORTS]; i++) {
		union plan_slot *slot = &view->ports[i].name;
		slot->pointer = view->texts + slot->text.offset;
	}
	for (uint64_t i = 0; i < view->count[SECTION_DEPENDENCIES]; i++) {
		union plan_slot *slot = &view->dependencies[i].worker;
		slot->pointer = view->texts + slot->text.offset;
	}
}

int
plan_decode(void *bytes, size_t size, struct plan *ret, struct err *err)
{
	struct plan_header *header = bytes;
	struct view view;

	if (check_header(header, size, err) == -1 ||
	    check_sections(header, err) == -1 ||
	    check_sum(header, size, err) == -1)
		return -1;
	view_of(bytes, &view);
	if (check_all(&view, err) == -1)
		return -1;
	relocate(&view);
	*ret = (struct plan){.bytes = bytes,
	    .size = size,
	    .nworkers = (uint32_t)view.count[SECTION_WORKERS],
	    .fd = -1};
	return 0;
}

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

static const char *
text_at(const struct view *view, struct plan_text text)
{
	return text.offset == 0 ? NULL : view->texts + text.offset;
}

static const char *const *
list_at(const struct view *view, struct plan_list list)
{
	return &view->slots[list.first].pointer;
}

void
plan_settings_of(const struct plan *plan, struct plan_settings *ret)
{
	struct view view;

	view_of(plan->bytes, &view);
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
probe_view(const struct view *view, const struct plan_probe *probe,
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
schedule_view(const struct view *view, const struct plan_schedule *schedule,
    struct worker_schedule *ret)
{
	*ret = (struct worker_schedule){
	    .text = text_at(view, schedule->text),
	    .zone_name = text_at(view, schedule->zone_name),
	    .zone = zone_of(view, schedule),
	    .concurrency = (enum worker_concurrency)schedule->concurrency,
	    .starting_deadline_s = schedule->starting_deadline_s,
	    .suspended = schedule->suspended != 0,
	};
	plan_rule_of(schedule, &ret->rule);
}

void
plan_worker(const struct plan *plan, uint32_t index, struct worker_spec *ret)
{
	struct view view;

	assert(index < plan->nworkers);
	view_of(plan->bytes, &view);
	const struct plan_record *record = &view.workers[index];
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
	    .process = record->process,
	    .cpu_limit_milli = record->cpu_limit_milli,
	    .pids_limit = record->pids_limit,
	    .generation = record->generation,
	    .logs = record->logs,
	};
	probe_view(&view, &record->probes[PLAN_READINESS], &ret->readiness);
	probe_view(&view, &record->probes[PLAN_LIVENESS], &ret->liveness);
	probe_view(&view, &record->probes[PLAN_STARTUP], &ret->startup);
	probe_view(&view, &record->probes[PLAN_PRE_STOP], &ret->pre_stop);
	schedule_view(&view, &record->schedule, &ret->schedule);
	memcpy(ret->config_digest, record->config_digest,
	    sizeof(ret->config_digest));
}

const char *
plan_worker_name(const struct plan *plan, uint32_t index)
{
	struct view view;

	assert(index < plan->nworkers);
	view_of(plan->bytes, &view);
	return record_name(&view, index);
}

int32_t
plan_worker_find(const struct plan *plan, const char *name)
{
	struct view view;

	if (plan->bytes == NULL)
		return -1;
	view_of(plan->bytes, &view);
	return find_worker(&view, name);
}
