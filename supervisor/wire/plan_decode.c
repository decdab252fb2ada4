/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "supervisor/wire/format.h"
#include "supervisor/wire/plan.h"

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
check_text(const struct plan_view *view, struct plan_text text, bool required,
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
check_list(const struct plan_view *view, struct plan_list list,
    const char *what, struct err *err)
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
check_range(const struct plan_view *view, enum plan_section section,
    struct plan_list list, uint32_t most, const char *what, struct err *err)
{
	if (list.count > most ||
	    (uint64_t)list.first + list.count > view->count[section])
		return err_set(err, ERR_INPUT, "%s lie outside the plan", what);
	return 0;
}

static int
check_environment(const struct plan_view *view,
    const struct plan_record *record, struct err *err)
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
check_groups_ports(const struct plan_view *view,
    const struct plan_record *record, struct err *err)
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
check_probe_texts(const struct plan_view *view, const struct plan_probe *probe,
    struct err *err)
{
	if (check_text(view, probe->host, false, "probe host", err) == -1 ||
	    check_text(view, probe->path, false, "probe path", err) == -1 ||
	    check_list(view, probe->argv, "probe arguments", err) == -1)
		return -1;
	return check_list(view, probe->headers, "probe headers", err);
}

static int
check_calendar(const struct plan_view *view,
    const struct plan_schedule *schedule, struct err *err)
{
	if (check_text(view, schedule->text, false, "schedule", err) == -1 ||
	    check_text(view, schedule->zone_name, schedule->text.offset != 0,
	        "time zone", err) == -1 ||
	    check_range(view, SECTION_CHANGES, schedule->changes,
	        CALENDAR_CHANGES_MAX, "changes of the clock", err) == -1)
		return -1;
	struct calendar_zone zone = plan_view_zone(view, schedule);
	if (!calendar_zone_valid(&zone))
		return err_set(
		    err, ERR_INPUT, "the changes of the clock aren't in order");
	return 0;
}

static int
check_record(const struct plan_view *view, const struct plan_record *record,
    struct err *err)
{
	if (check_text(view, record->name, true, "name", err) == -1 ||
	    plan_check_name(view->texts + record->name.offset, err) == -1 ||
	    check_text(view, record->executable, true, "executable", err) ==
	        -1 ||
	    check_text(view, record->cwd, false, "working directory", err) ==
	        -1 ||
	    check_list(view, record->argv, "arguments", err) == -1)
		return -1;
	if (record->setup >= view->count[SECTION_SETUPS])
		return err_set(
		    err, ERR_INPUT, "its setup lies outside the plan");
	const struct plan_setup *setup = &view->setups[record->setup];
	if (view->texts[record->executable.offset] != '/')
		return err_set(
		    err, ERR_INPUT, "the executable's path is not absolute");
	if (record->argv.count == 0)
		return err_set(err, ERR_INPUT, "no arguments");
	if (check_environment(view, record, err) == -1 ||
	    check_groups_ports(view, record, err) == -1)
		return -1;
	if (check_calendar(view, &setup->schedule, err) == -1)
		return -1;
	for (unsigned i = 0; i < PLAN_PROBES; i++)
		if (check_probe_texts(view, &setup->probes[i], err) == -1)
			return -1;
	return plan_check_numbers(record, setup, err);
}

static int
check_order(const struct plan_view *view, struct err *err)
{
	uint64_t count = view->count[SECTION_ORDER];

	for (uint64_t i = 0; i < count; i++) {
		if (view->order[i] >= count)
			return err_set(
			    err, ERR_INPUT, "the order names no worker");
		/* strictly ascending: so it is a permutation, and no name
		 * appears twice */
		if (i > 0 && strcmp(plan_view_name(view, view->order[i - 1]),
		                 plan_view_name(view, view->order[i])) >= 0)
			return err_set(err, ERR_INPUT,
			    "worker '%s' appears twice or out of order",
			    plan_view_name(view, view->order[i]));
	}
	return 0;
}

/* Ranks that rise along every dependency: so nobody waits for itself. */
static int
check_ranks(const struct plan_view *view, struct err *err)
{
	for (uint64_t i = 0; i < view->count[SECTION_WORKERS]; i++) {
		const struct plan_record *record = &view->workers[i];
		for (uint32_t k = 0; k < record->dependencies.count; k++) {
			const struct plan_dependency *dependency =
			    &view->dependencies[record->dependencies.first + k];
			const char *name =
			    view->texts + dependency->worker.text.offset;
			int32_t on = plan_view_find(view, name);
			if (on >= 0 && view->workers[on].rank >= record->rank)
				return err_set(err, ERR_INPUT,
				    "workers '%s' and '%s' wait for one "
				    "another",
				    plan_view_name(view, (uint32_t)i), name);
		}
	}
	return 0;
}

static int
check_dependencies(const struct plan_view *view, struct err *err)
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
check_slots(const struct plan_view *view, struct err *err)
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
check_all(const struct plan_view *view, struct err *err)
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
relocate(const struct plan_view *view)
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
	struct plan_view view;

	if (check_header(header, size, err) == -1 ||
	    check_sections(header, err) == -1 ||
	    check_sum(header, size, err) == -1)
		return -1;
	plan_view_of(bytes, &view);
	if (check_all(&view, err) == -1)
		return -1;
	relocate(&view);
	*ret = (struct plan){.bytes = bytes,
	    .size = size,
	    .nworkers = (uint32_t)view.count[SECTION_WORKERS],
	    .fd = -1};
	return 0;
}
