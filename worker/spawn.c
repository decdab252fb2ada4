/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "worker/child.h"
#include "worker/clone.h"
#include "worker/spawn.h"

/* --- what the init adds to the environment --- */

bool
spawn_extra_add(struct spawn_extra *extra, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);
	size_t need = name_len + value_len + 2;

	if (extra->count == SPAWN_EXTRA_MAX ||
	    need > sizeof(extra->bytes) - extra->used)
		return false;
	char *entry = extra->bytes + extra->used;
	memcpy(entry, name, name_len + 1);
	entry[name_len] = '=';
	memcpy(entry + name_len + 1, value, value_len + 1);
	extra->entries[extra->count++] = entry;
	extra->used += need;
	return true;
}

bool
spawn_extra_add_number(
    struct spawn_extra *extra, const char *name, uint64_t value)
{
	char digits[24], *p = digits + sizeof(digits);

	*--p = '\0';
	do {
		*--p = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	return spawn_extra_add(extra, name, p);
}

static bool
add_port(
    struct spawn_extra *extra, const struct worker_port *port, uint32_t replica)
{
	char name[sizeof("PORT_") + WORKER_NAME_MAX] = "PORT_";
	size_t at = sizeof("PORT_") - 1;

	for (const char *p = port->name; *p != '\0'; p++) {
		if (at + 1 >= sizeof(name))
			return false;
		unsigned char c = (unsigned char)*p;
		if (c >= 'a' && c <= 'z')
			c = (unsigned char)(c - 'a' + 'A');
		else if (c == '-' || c == '.')
			c = '_';
		name[at++] = (char)c;
	}
	name[at] = '\0';
	return spawn_extra_add_number(
	    extra, name, (uint64_t)port->base + replica);
}

bool
spawn_extra_worker(
    struct spawn_extra *extra, const struct worker_spec *spec, uint32_t replica)
{
	bool fits =
	    spawn_extra_add(extra, "REEVE_WORKER", spec->name) &&
	    spawn_extra_add_number(extra, "REEVE_REPLICA", replica) &&
	    spawn_extra_add_number(extra, "REEVE_GENERATION", spec->generation);

	for (uint32_t i = 0; fits && i < spec->nports; i++)
		fits = add_port(extra, &spec->ports[i], replica);
	return fits;
}

/* --- the parent --- */

int
spawn_start(
    const struct spawn_request *request, struct spawned *ret, struct err *err)
{
	int report[2];

	if (pipe2(report, O_CLOEXEC | O_NONBLOCK) == -1)
		return err_sys(err, "pipe for the exec report");
	struct child child = {.request = request,
	    .spec = request->spec,
	    .report_fd = report[1],
	    .exec_fd = request->exec_fd,
	    .cgroup_fd = request->cgroup_fd > 0 ? request->cgroup_fd : -1,
	    .parent = getpid()};
	struct cloned cloned =
	    clone_process(request->cgroup_clone ? child.cgroup_fd : -1);
	if (cloned.pid == 0) {
		if (cloned.into_cgroup)
			child.cgroup_fd = -1;
		child_become(&child);
	}
	if (cloned.pid == -1) {
		(void)err_sys(err, "clone");
		fd_close(&report[0]);
		fd_close(&report[1]);
		return -1;
	}
	fd_close(&report[1]);
	*ret = (struct spawned){
	    .pid = cloned.pid, .pidfd = cloned.pidfd, .report_fd = report[0]};
	return 0;
}

int
spawn_report(int report_fd, struct worker_exit *ret)
{
	struct child_report report;
	ssize_t got = read(report_fd, &report, sizeof(report));

	if (got == 0)
		return 1;
	if (got == -1)
		return 0;
	*ret = (struct worker_exit){.kind = EXIT_EXEC};
	if (got == (ssize_t)sizeof(report) && report.stage > STAGE_NONE &&
	    report.stage < STAGE_COUNT) {
		ret->stage = (uint8_t)report.stage;
		ret->value = report.number;
		ret->detail = (uint8_t)report.detail;
	} else {
		ret->stage = STAGE_EXEC;
		ret->value = EIO;
	}
	return -1;
}
