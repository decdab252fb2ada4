/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"
#include "worker/child.h"
#include "worker/process.h"

/* glibc has no names for these (ioprio_set(2)). */
enum {
	IO_WHO_PROCESS = 1,
	IO_CLASS_SHIFT = 13,
};

static const struct {
	const char *name;
	int resource;
} limits[WORKER_LIMITS] = {
#define LIMIT(id, name) [WORKER_LIMIT_##id] = {name, (int)RLIMIT_##id},
    WORKER_LIMIT_ROWS(LIMIT)
#undef LIMIT
};

const char *
worker_limit_name(enum worker_limit_id id)
{
	return id < WORKER_LIMITS ? limits[id].name : "limit";
}

enum worker_limit_id
worker_limit_find(const char *name)
{
	enum worker_limit_id id = 0;

	while (id < WORKER_LIMITS && !text_equal(limits[id].name, name))
		id++;
	return id;
}

/* --- the steps --- */

static bool
declares(const struct child *child, uint32_t what)
{
	return !child->request->plain &&
	       (child->spec->process.declared & what) != 0;
}

static int
write_number(const char *path, int number)
{
	char digits[16];
	int len = snprintf(digits, sizeof(digits), "%d", number);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd == -1)
		return -1;
	ssize_t wrote = write(fd, digits, (size_t)len);
	int why = errno;
	(void)close(fd);
	errno = why;
	return wrote == (ssize_t)len ? 0 : -1;
}

/* What we ask for our own children is best effort: raising is always allowed,
 * lowering needs CAP_SYS_RESOURCE. What was declared must come about. */
int
child_oom(struct child *child)
{
	bool declared = declares(child, PROCESS_OOM);
	int16_t asked = child->request->oom_score_adj;

	if (!declared && asked == SPAWN_OOM_KEEP)
		return 0;
	/* a process that isn't dumpable doesn't own its /proc files */
	(void)prctl(PR_SET_DUMPABLE, 1);
	int rc = write_number("/proc/self/oom_score_adj",
	    declared ? child->spec->process.oom_score_adj : asked);
	return declared ? rc : 0;
}

/* The init raised its own soft limit; workers get the one before. */
static int
restore_files(const struct child *child)
{
	struct rlimit limit;

	if (child->request->nofile_soft == 0)
		return 0;
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return -1;
	limit.rlim_cur = MIN(child->request->nofile_soft, limit.rlim_max);
	return setrlimit(RLIMIT_NOFILE, &limit);
}

int
child_limits(struct child *child)
{
	const struct worker_process *process = &child->spec->process;
	uint32_t limited = child->request->plain ? 0 : process->limited;

	child->detail = WORKER_LIMIT_NOFILE + 1;
	if ((limited >> WORKER_LIMIT_NOFILE & 1) == 0 &&
	    restore_files(child) == -1)
		return -1;
	for (uint32_t i = 0; i < WORKER_LIMITS; i++) {
		const struct rlimit limit = {
		    process->limits[i].soft, process->limits[i].hard};
		child->detail = i + 1;
		if ((limited >> i & 1) != 0 &&
		    syscall(SYS_prlimit64, 0, limits[i].resource, &limit,
		        NULL) == -1)
			return -1;
	}
	child->detail = 0;
	return 0;
}

int
child_scheduling(struct child *child)
{
	static const int policies[SCHEDULINGS] = {
	    [SCHEDULING_OTHER] = SCHED_OTHER,
	    [SCHEDULING_BATCH] = SCHED_BATCH,
	    [SCHEDULING_IDLE] = SCHED_IDLE,
	};
	const struct sched_param none = {.sched_priority = 0};

	if (!declares(child, PROCESS_SCHEDULING))
		return 0;
	return (int)syscall(SYS_sched_setscheduler, 0,
	    policies[child->spec->process.scheduling], &none);
}

int
child_nice(struct child *child)
{
	int nice = child->spec->process.nice;

	if (!declares(child, PROCESS_NICE))
		return 0;
	/* Outside of containers the kernel groups by session, and a worker has
	 * one of its own: there the group's number is what counts. */
	(void)prctl(PR_SET_DUMPABLE, 1);
	(void)write_number("/proc/self/autogroup", nice);
	return setpriority(PRIO_PROCESS, 0, nice);
}

int
child_io(struct child *child)
{
	const struct worker_process *process = &child->spec->process;

	if (!declares(child, PROCESS_IO))
		return 0;
	return (int)syscall(SYS_ioprio_set, IO_WHO_PROCESS, 0,
	    process->io_class << IO_CLASS_SHIFT | process->io_level);
}

/* The kernel drops those that don't exist or that the container hasn't got, and
 * says nothing as long as one is left. */
int
child_cpus(struct child *child)
{
	const struct worker_process *process = &child->spec->process;
	uint64_t got[WORKER_CPU_WORDS] = {0};

	if (!declares(child, PROCESS_CPUS))
		return 0;
	if (syscall(SYS_sched_setaffinity, 0, sizeof(process->cpus),
	        process->cpus) == -1 ||
	    syscall(SYS_sched_getaffinity, 0, sizeof(got), got) == -1)
		return -1;
	if (memcmp(got, process->cpus, sizeof(got)) == 0)
		return 0;
	errno = ENODEV;
	return -1;
}
