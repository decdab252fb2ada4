/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/signals.h"
#include "worker/child.h"

enum {
	CHILD_FD_LOW = 16, /* the child's own descriptors move above this */
};

typedef int step_fn(struct child *child);

static int
step_signals(struct child *child)
{
	sigset_t none;

	(void)child;
	signals_reset();
	(void)sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
step_session(struct child *child)
{
	(void)child;
	return setsid() == -1 ? -1 : 0;
}

/* After everything that changes ids or capabilities: the kernel then forgets
 * whom we die with. Whether the parent has ended meanwhile is asked after. */
static int
step_parent(struct child *child)
{
	if (!child->request->die_with_parent)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
		return -1;
	if (getppid() != child->parent) {
		errno = ESRCH;
		return -1;
	}
	return 0;
}

static int
move_up(int *fd)
{
	if (*fd < 0 || *fd >= CHILD_FD_LOW)
		return 0;
	int moved = fcntl(*fd, F_DUPFD_CLOEXEC, CHILD_FD_LOW);
	if (moved == -1)
		return -1;
	*fd = moved;
	return 0;
}

static int
step_stdio(struct child *child)
{
	struct spawn_fd fds[SPAWN_FDS_MAX];
	size_t nfds = child->request->nfds;

	if (nfds > ARRAY_LEN(fds)) {
		errno = E2BIG;
		return -1;
	}
	memcpy(fds, child->request->fds, nfds * sizeof(fds[0]));
	/* no source may lie where another's target is */
	if (move_up(&child->report_fd) == -1 ||
	    move_up(&child->exec_fd) == -1 || move_up(&child->cgroup_fd) == -1)
		return -1;
	for (size_t i = 0; i < nfds; i++)
		if (fds[i].from != fds[i].to && move_up(&fds[i].from) == -1)
			return -1;
	for (size_t i = 0; i < nfds; i++) {
		if (fds[i].from == fds[i].to) {
			if (fcntl(fds[i].to, F_SETFD, 0) == -1)
				return -1;
		} else if (dup2(fds[i].from, fds[i].to) == -1) {
			return -1;
		}
	}
	return 0;
}

/* While we may still write there: before the user changes. */
static int
step_cgroup(struct child *child)
{
	if (child->cgroup_fd < 0)
		return 0;
	return cgroup_write(child->cgroup_fd, "cgroup.procs", "0") ? 0 : -1;
}

static bool
same_name(const char *entry, const char *other)
{
	while (*entry != '\0' && *entry != '=' && *entry == *other) {
		entry++;
		other++;
	}
	return *entry == '=' && *other == '=';
}

static bool
overridden(const char *entry, const struct spawn_extra *extra)
{
	for (size_t i = 0; i < extra->count; i++)
		if (same_name(entry, extra->entries[i]))
			return true;
	return false;
}

/* The array of pointers is the child's own: the parent allocates nothing. */
static int
step_environment(struct child *child)
{
	static const struct spawn_extra nothing;
	const char *const *base = child->spec->envp;
	const struct spawn_extra *extra = child->request->extra;
	size_t count = 0, at = 0;

	while (base[count] != NULL)
		count++;
	if (extra == NULL)
		extra = &nothing;
	size_t bytes = (count + extra->count + 1) * sizeof(*child->envp);
	void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapped == MAP_FAILED)
		return -1;
	child->envp = mapped;
	for (size_t i = 0; i < count; i++)
		if (extra->count == 0 || !overridden(base[i], extra))
			child->envp[at++] = base[i];
	for (size_t i = 0; i < extra->count; i++)
		child->envp[at++] = extra->entries[i];
	child->envp[at] = NULL;
	return 0;
}

static int
step_umask(struct child *child)
{
	if (!child->request->plain && child->spec->umask != UINT32_MAX)
		(void)umask((mode_t)child->spec->umask);
	return 0;
}

static int
step_chdir(struct child *child)
{
	const char *cwd = child->spec->cwd;

	return cwd == NULL ? 0 : chdir(cwd);
}

static const char *
value_of(const char *const *envp, const char *name)
{
	for (; *envp != NULL; envp++)
		if (same_name(name, *envp))
			return strchr(*envp, '=') + 1;
	return NULL;
}

/* The kernel's own call: libc's wants arrays that it might write to. */
static long
execute(const char *path, const char *const *argv, const char *const *envp)
{
	return syscall(SYS_execve, path, argv, envp);
}

/* execvp's rule: every directory is tried; a refusal is remembered. */
static void
exec_along_path(
    const char *name, const char *const *argv, const char *const *envp)
{
	const char *path = value_of(envp, "PATH=");
	static char whole[PATH_MAX];
	int why = ENOENT;

	if (path == NULL)
		path = "/usr/local/bin:/usr/bin:/bin";
	while (path != NULL) {
		const char *end = strchrnul(path, ':');
		int len = snprintf(whole, sizeof(whole), "%.*s%s%s",
		    (int)(end - path), path, end == path ? "" : "/", name);
		if (len > 0 && (size_t)len < sizeof(whole)) {
			(void)execute(whole, argv, envp);
			if (errno != ENOENT && errno != ENOTDIR)
				why = errno;
		}
		path = *end == ':' ? end + 1 : NULL;
	}
	errno = why;
}

static int
step_exec(struct child *child)
{
	const struct spawn_request *request = child->request;
	const char *const *argv =
	    request->argv != NULL ? request->argv : child->spec->argv;
	const char *path =
	    request->path != NULL ? request->path : child->spec->executable;
	const char *const *envp = child->envp;

	if (child->exec_fd >= 0)
		(void)syscall(SYS_execveat, child->exec_fd, "", argv, envp,
		    AT_EMPTY_PATH);
	else if (request->look_up && strchr(path, '/') == NULL)
		exec_along_path(path, argv, envp);
	else
		(void)execute(path, argv, envp);
	return -1;
}

static const struct {
	enum spawn_stage stage;
	step_fn *run;
} steps[] = {
    {STAGE_SIGNALS, step_signals},
    {STAGE_SESSION, step_session},
    {STAGE_STDIO, step_stdio},
    {STAGE_CGROUP, step_cgroup},
    {STAGE_ENVIRONMENT, step_environment},
    /* with the init's rights */
    {STAGE_OOM, child_oom},
    {STAGE_LIMITS, child_limits},
    {STAGE_SCHEDULING, child_scheduling},
    {STAGE_NICE, child_nice},
    {STAGE_IO, child_io},
    {STAGE_CPUS, child_cpus},
    {STAGE_GROUPS, child_groups},
    {STAGE_GID, child_gid},
    {STAGE_BOUNDING, child_bounding},
    {STAGE_UID, child_uid},
    {STAGE_CAPABILITIES, child_capabilities},
    /* with its own */
    {STAGE_PARENT, step_parent},
    {STAGE_NO_NEW_PRIVS, child_no_new_privs},
    {STAGE_UMASK, step_umask},
    {STAGE_CHDIR, step_chdir},
    {STAGE_EXEC, step_exec},
};

void
child_become(struct child *child)
{
	struct child_report report = {0};

	if (child->request->pid_note != NULL)
		*child->request->pid_note = (int32_t)getpid();
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (steps[i].run(child) == -1) {
			report.stage = (int32_t)steps[i].stage;
			report.number = errno;
			report.detail = child->detail;
			break;
		}
	ssize_t wrote = write(child->report_fd, &report, sizeof(report));
	(void)wrote;
	_exit(127);
}
