/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "supervisor/wire/format.h"
#include "supervisor/wire/order_encode.h"
#include "supervisor/wire/plan_encode.h"
#include "supervisor/wire/pool_encode.h"

/* Each section is written into its own buffer, then they are joined. Equal
 * texts, lists and setups are in there once. */
struct encoder {
	struct buffer sections[SECTION_COUNT];
	struct pool texts, lists, setups;
	struct buffer list; /* the one that is being made */
};

static struct plan_text
put_text(struct encoder *encoder, const char *text)
{
	if (text == NULL)
		return (struct plan_text){0};
	size_t len = strlen(text);
	size_t offset = pool_put(
	    &encoder->texts, &encoder->sections[SECTION_TEXTS], text, len + 1);

	return (struct plan_text){
	    .offset = (uint32_t)offset, .length = (uint32_t)len};
}

static struct plan_list
put_list(struct encoder *encoder, const char *const *list)
{
	struct buffer *slots = &encoder->sections[SECTION_SLOTS];
	union plan_slot slot = {.text = {0}};
	struct plan_list at = {0};

	buffer_clear(&encoder->list);
	for (; list != NULL && list[at.count] != NULL; at.count++) {
		slot.text = put_text(encoder, list[at.count]);
		buffer_append(&encoder->list, &slot, sizeof(slot));
	}
	slot.text = (struct plan_text){0};
	buffer_append(&encoder->list, &slot, sizeof(slot));
	slots->overflow |= encoder->list.overflow;
	at.first = (uint32_t)(pool_put(&encoder->lists, slots,
	                          encoder->list.data, encoder->list.len) /
	                      sizeof(slot));
	return at;
}

static struct plan_list
put_groups(struct encoder *encoder, const struct worker_spec *spec)
{
	struct buffer *numbers = &encoder->sections[SECTION_NUMBERS];
	struct plan_list at = {
	    .first = (uint32_t)(numbers->len / sizeof(int64_t)),
	    .count = spec->ngroups};

	for (uint32_t i = 0; i < spec->ngroups; i++)
		buffer_append(numbers, &spec->groups[i], sizeof(int64_t));
	return at;
}

static struct plan_list
put_ports(struct encoder *encoder, const struct worker_spec *spec)
{
	struct buffer *ports = &encoder->sections[SECTION_PORTS];
	struct plan_list at = {
	    .first = (uint32_t)(ports->len / sizeof(struct plan_port)),
	    .count = spec->nports};

	for (uint32_t i = 0; i < spec->nports; i++) {
		struct plan_port port = {.base = spec->ports[i].base};
		port.name.text = put_text(encoder, spec->ports[i].name);
		buffer_append(ports, &port, sizeof(port));
	}
	return at;
}

static struct plan_list
put_dependencies(struct encoder *encoder, const struct worker_spec *spec)
{
	struct buffer *section = &encoder->sections[SECTION_DEPENDENCIES];
	struct plan_list at = {
	    .first = (uint32_t)(section->len / sizeof(struct plan_dependency)),
	    .count = spec->ndependencies};

	for (uint32_t i = 0; i < spec->ndependencies; i++) {
		struct plan_dependency dependency = {
		    .condition = spec->dependencies[i].condition};
		dependency.worker.text =
		    put_text(encoder, spec->dependencies[i].worker);
		buffer_append(section, &dependency, sizeof(dependency));
	}
	return at;
}

static struct plan_schedule
put_schedule(struct encoder *encoder, const struct worker_schedule *from)
{
	struct buffer *changes = &encoder->sections[SECTION_CHANGES];
	struct plan_schedule to = {.text = {0}};

	if (from->text == NULL)
		return to;
	to.changes.first =
	    (uint32_t)(changes->len / sizeof(struct calendar_change));
	to.text = put_text(encoder, from->text);
	to.zone_name = put_text(encoder, from->zone_name);
	to.changes.count = (uint32_t)from->zone.count;
	for (size_t i = 0; i < from->zone.count; i++)
		buffer_append(changes, &from->zone.changes[i],
		    sizeof(from->zone.changes[i]));
	to.minutes = from->rule.minutes;
	to.hours = from->rule.hours;
	to.days = from->rule.days;
	to.months = from->rule.months;
	to.weekdays = from->rule.weekdays;
	to.either_day = from->rule.either_day ? 1 : 0;
	to.suspended = from->suspended ? 1 : 0;
	to.concurrency = from->concurrency;
	to.starting_deadline_s = from->starting_deadline_s;
	return to;
}

static struct plan_probe
put_probe(struct encoder *encoder, const struct probe_spec *probe)
{
	struct plan_probe record = {
	    .kind = probe->kind,
	    .port = probe->port,
	    .flags = probe->port_per_replica ? PROBE_FLAG_PER_REPLICA : 0,
	    .initial_delay_ms = probe->initial_delay_ms,
	    .period_ms = probe->period_ms,
	    .timeout_ms = probe->timeout_ms,
	    .success_threshold = probe->success_threshold,
	    .failure_threshold = probe->failure_threshold,
	};
	bool none = probe->kind == PROBE_NONE;

	record.host = put_text(encoder, none ? NULL : probe->host);
	record.path = put_text(encoder, none ? NULL : probe->path);
	record.argv =
	    put_list(encoder, probe->kind == PROBE_EXEC ? probe->argv : NULL);
	record.headers = put_list(encoder, none ? NULL : probe->headers);
	return record;
}

static struct plan_setup
setup_of(struct encoder *encoder, const struct worker_spec *spec)
{
	struct plan_setup setup = {
	    .process = spec->process,
	    .schedule = put_schedule(encoder, &spec->schedule),
	};

	setup.probes[PLAN_READINESS] = put_probe(encoder, &spec->readiness);
	setup.probes[PLAN_LIVENESS] = put_probe(encoder, &spec->liveness);
	setup.probes[PLAN_STARTUP] = put_probe(encoder, &spec->startup);
	setup.probes[PLAN_PRE_STOP] = put_probe(encoder, &spec->pre_stop);
	return setup;
}

static int
put_worker(struct encoder *encoder, const struct worker_spec *spec,
    uint32_t rank, struct err *err)
{
	struct plan_record record = {
	    .uid = spec->uid,
	    .gid = spec->gid,
	    .backoff_first_ms = spec->backoff_first_ms,
	    .backoff_cap_ms = spec->backoff_cap_ms,
	    .grace_ms = spec->grace_ms,
	    .limit_window_ms = spec->start_limit.window_ms,
	    .limit_count = spec->start_limit.count,
	    .notify_ready = spec->notify.ready,
	    .notify_fd = spec->notify.fd,
	    .watchdog_ms = spec->notify.watchdog_ms,
	    .memory_limit_bytes = spec->memory_limit_bytes,
	    .cpu_limit_milli = spec->cpu_limit_milli,
	    .pids_limit = spec->pids_limit,
	    .generation = spec->generation,
	    .umask = spec->umask,
	    .flags = (spec->no_new_privs ? RECORD_FLAG_NO_NEW_PRIVS : 0U) |
	             (spec->init ? RECORD_FLAG_INIT : 0U),
	    .rank = rank,
	    .failures_max = spec->failures_max,
	    .deadline_ms = spec->deadline_ms,
	    .replicas = spec->replicas,
	    .restart = spec->restart,
	    .drain_signal = spec->drain_signal,
	    .logs = spec->logs,
	};

	if (spec->executable == NULL || spec->argv == NULL)
		return err_set(err, ERR_INPUT, "no command");
	record.name = put_text(encoder, spec->name);
	record.executable = put_text(encoder, spec->executable);
	record.cwd = put_text(encoder, spec->cwd);
	record.argv = put_list(encoder, spec->argv);
	record.envp = put_list(encoder, spec->envp);
	record.groups = put_groups(encoder, spec);
	record.ports = put_ports(encoder, spec);
	record.dependencies = put_dependencies(encoder, spec);
	memcpy(record.config_digest, spec->config_digest,
	    sizeof(record.config_digest));
	const struct plan_setup setup = setup_of(encoder, spec);

	record.setup = (uint32_t)(pool_put(&encoder->setups,
	                              &encoder->sections[SECTION_SETUPS],
	                              &setup, sizeof(setup)) /
	                          sizeof(setup));
	buffer_append(
	    &encoder->sections[SECTION_WORKERS], &record, sizeof(record));
	return plan_check_numbers(&record, &setup, err);
}

static int
by_name(const void *a, const void *b, void *context)
{
	const struct worker_spec *const *specs = context;

	return strcmp((*specs)[*(const uint32_t *)a].name,
	    (*specs)[*(const uint32_t *)b].name);
}

static int
put_order(struct encoder *encoder, const struct worker_spec *specs,
    size_t nspecs, struct err *err)
{
	struct buffer *order = &encoder->sections[SECTION_ORDER];

	for (uint32_t i = 0; i < nspecs; i++)
		buffer_append(order, &i, sizeof(i));
	if (order->overflow || nspecs == 0)
		return 0;
	qsort_r(order->data, nspecs, sizeof(uint32_t), by_name, &specs);
	for (size_t i = 1; i < nspecs; i++) {
		uint32_t pair[2];
		memcpy(pair, order->data + (i - 1) * sizeof(uint32_t),
		    sizeof(pair));
		if (strcmp(specs[pair[0]].name, specs[pair[1]].name) == 0)
			return err_set(err, ERR_INPUT,
			    "worker '%s' appears twice", specs[pair[0]].name);
	}
	return 0;
}

static struct plan_options
put_options(struct encoder *encoder, const struct plan_settings *settings)
{
	struct plan_options options = {
	    .grace_ms = settings->grace_ms,
	    .control_gid = settings->control_gid,
	    .exit_on_term = settings->exit_on_term,
	    .second_term = settings->second_term,
	    .exit_code = settings->exit_code,
	    .liveness_port = settings->liveness_port,
	    .logs = settings->logs,
	    .flags = settings->log_json ? SETTINGS_FLAG_LOG_JSON : 0,
	};
	const char *name = settings->name;

	options.name =
	    put_text(encoder, name == NULL || *name == '\0' ? NULL : name);
	memcpy(options.manifest_digest, settings->manifest_digest,
	    sizeof(options.manifest_digest));
	return options;
}

static void
pad(struct buffer *out, size_t start)
{
	static const char zeroes[8];

	buffer_append(out, zeroes, (8 - (out->len - start) % 8) % 8);
}

static int
join(struct encoder *encoder, const struct plan_options *options,
    struct buffer *out, struct err *err)
{
	struct plan_header header = {.version = PLAN_VERSION};
	uint64_t at = sizeof(header);

	memcpy(header.magic, PLAN_MAGIC, sizeof(header.magic));
	header.header_bytes = sizeof(header);
	header.options = *options;
	for (unsigned i = 0; i < SECTION_COUNT; i++) {
		struct buffer *section = &encoder->sections[i];
		if (section->overflow)
			return err_set(err, ERR_CAPACITY,
			    "the plan is larger than %zu bytes", section->max);
		at = (at + 7) & ~(uint64_t)7;
		header.sections[i] = (struct plan_span){.offset = at,
		    .count =
		        section->len / plan_item_bytes((enum plan_section)i)};
		at += section->len;
	}
	header.total_bytes = at;
	buffer_append(out, &header, sizeof(header));
	for (unsigned i = 0; i < SECTION_COUNT; i++) {
		pad(out, 0);
		buffer_append(
		    out, encoder->sections[i].data, encoder->sections[i].len);
	}
	if (out->overflow)
		return err_set(err, ERR_CAPACITY,
		    "the plan is larger than %zu bytes", out->max);
	uint64_t sum = plan_checksum(PLAN_CHECKSUM_START, out->data, out->len);
	memcpy(out->data + offsetof(struct plan_header, checksum), &sum,
	    sizeof(sum));
	return 0;
}

/* What the init would refuse is refused here, in the same words. */
static int
try_decode(const struct buffer *out, struct err *err)
{
	struct plan plan = PLAN_INIT;
	void *copy = aligned_alloc(8, (out->len + 7) & ~(size_t)7);

	if (copy == NULL)
		return err_set(err, ERR_CAPACITY, "no memory to try the plan");
	memcpy(copy, out->data, out->len);
	int rc = plan_decode(copy, out->len, &plan, err);
	explicit_bzero(copy, out->len);
	free(copy);
	return rc;
}

int
plan_encode(const struct worker_spec *specs, size_t nspecs,
    const struct plan_settings *settings, struct buffer *out, struct err *err)
{
	struct encoder encoder = {0};
	struct plan_options options;
	uint32_t *ranks = NULL;
	int rc = -1;

	assert(out->len == 0);
	if (nspecs > PLAN_WORKERS_MAX)
		return err_set(err, ERR_CAPACITY, "more than %d workers",
		    PLAN_WORKERS_MAX);
	for (size_t i = 0; i < nspecs; i++)
		if (specs[i].name == NULL)
			return err_set(err, ERR_INPUT, "a worker has no name");
	if (plan_ranks(specs, nspecs, &ranks, err) == -1)
		return -1;
	for (unsigned i = 0; i < SECTION_COUNT; i++)
		buffer_init(&encoder.sections[i],
		    MIN(out->max, (size_t)PLAN_BYTES_MAX));
	buffer_init(&encoder.list, PLAN_BYTES_MAX);
	buffer_append(&encoder.sections[SECTION_TEXTS], "", 1);
	for (size_t i = 0; i < nspecs; i++)
		if (put_worker(&encoder, &specs[i], ranks[i], err) == -1) {
			(void)err_wrap(err, "worker '%s'",
			    specs[i].name != NULL ? specs[i].name : "");
			goto out;
		}
	if (put_order(&encoder, specs, nspecs, err) == -1)
		goto out;
	options = put_options(&encoder, settings);
	if (join(&encoder, &options, out, err) == -1 ||
	    try_decode(out, err) == -1)
		goto out;
	rc = 0;
out:
	for (unsigned i = 0; i < SECTION_COUNT; i++)
		buffer_wipe(&encoder.sections[i]);
	buffer_fini(&encoder.list);
	pool_fini(&encoder.texts);
	pool_fini(&encoder.lists);
	pool_fini(&encoder.setups);
	free(ranks);
	if (rc == -1)
		buffer_clear(out);
	return rc;
}

int
plan_memfd(const void *bytes, size_t len, int *ret_fd, struct err *err)
{
	int fd = memfd_create("reeve-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1)
		return err_sys(err, "memfd for the plan");
	if (fd_write_all(fd, bytes, len, err) == -1) {
		fd_close(&fd);
		return -1;
	}
	if (fcntl(fd, F_ADD_SEALS,
	        F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) ==
	    -1) {
		(void)err_sys(err, "seal the plan");
		fd_close(&fd);
		return -1;
	}
	*ret_fd = fd;
	return 0;
}

void
plan_settings_default(struct plan_settings *ret)
{
	*ret = (struct plan_settings){.name = "",
	    .grace_ms = -1,
	    .second_term = SECOND_TERM_IGNORE,
	    .exit_code = EXIT_CODE_WORST,
	    .logs = LOGS_PLAIN,
	    .control_gid = -1};
}
