/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "worker/spawn.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

enum {
	SPAWN_FD_LOW = 16, /* the child's own descriptors move above this */
	SPAWN_NSIG = 65,
};

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

/* --- the child, between clone and exec --- */

/* Everything a step needs; lives on the child's copy of the parent's stack. */
struct child {
	const struct spawn_request *request;
	const struct worker_spec *spec;
	int report_fd;
	int exec_fd;
	pid_t parent;
	const char **envp;
};

typedef int step_fn(struct child *child);

static int
step_signals(struct child *child)
{
	struct sigaction normal = {.sa_handler = SIG_DFL};
	sigset_t none;

	(void)child;
	for (int signo = 1; signo < SPAWN_NSIG; signo++)
		(void)sigaction(signo, &normal, NULL);
	(void)sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
step_session(struct child *child)
{
	if (setsid() == -1)
		return -1;
	if (!child->request->die_with_parent)
		return 0;
	/* set again after the uid changed, which clears it */
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
	if (*fd < 0 || *fd >= SPAWN_FD_LOW)
		return 0;
	int moved = fcntl(*fd, F_DUPFD_CLOEXEC, SPAWN_FD_LOW);
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
	if (move_up(&child->report_fd) == -1 || move_up(&child->exec_fd) == -1)
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

/* Best effort: raising is always allowed, lowering needs a capability. */
static void
set_oom_score(int16_t adj)
{
	char digits[8];
	int len = snprintf(digits, sizeof(digits), "%d", adj);

	/* a process that isn't dumpable doesn't own its /proc files */
	(void)prctl(PR_SET_DUMPABLE, 1);
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd == -1)
		return;
	ssize_t wrote = write(fd, digits, (size_t)len);
	(void)wrote;
	(void)close(fd);
}

static int
step_limits(struct child *child)
{
	const struct worker_spec *spec = child->spec;

	if (child->request->oom_score_adj != SPAWN_OOM_KEEP)
		set_oom_score(child->request->oom_score_adj);
	if (!child->request->plain && spec->umask != UINT32_MAX)
		(void)umask((mode_t)spec->umask);
	struct rlimit limit = {spec->nofile_limit, spec->nofile_limit};
	if (child->request->plain || spec->nofile_limit == 0) {
		if (child->request->nofile_soft == 0)
			return 0;
		if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
			return -1;
		limit.rlim_cur = child->request->nofile_soft;
	}
	return setrlimit(RLIMIT_NOFILE, &limit);
}

/* Asking for what we are already needs no rights. */
static bool
keeps_ids(const struct child *child)
{
	const struct worker_spec *spec = child->spec;

	if (child->request->plain)
		return true;
	return spec->ngroups == 0 &&
	       (spec->uid == WORKER_ID_NONE || spec->uid == geteuid()) &&
	       (spec->gid == WORKER_ID_NONE || spec->gid == getegid());
}

static int
step_groups(struct child *child)
{
	const struct worker_spec *spec = child->spec;
	static gid_t groups[1024]; /* the child's own copy */

	if (keeps_ids(child))
		return 0;
	if (spec->ngroups > ARRAY_LEN(groups)) {
		errno = E2BIG;
		return -1;
	}
	for (uint32_t i = 0; i < spec->ngroups; i++)
		groups[i] = (gid_t)spec->groups[i];
	return (int)syscall(SYS_setgroups, (size_t)spec->ngroups, groups);
}

static int
step_gid(struct child *child)
{
	gid_t gid = (gid_t)child->spec->gid;

	if (keeps_ids(child) || child->spec->gid == WORKER_ID_NONE)
		return 0;
	return (int)syscall(SYS_setresgid, gid, gid, gid);
}

static int
step_uid(struct child *child)
{
	uid_t uid = (uid_t)child->spec->uid;

	if (keeps_ids(child) || child->spec->uid == WORKER_ID_NONE)
		return 0;
	if (syscall(SYS_setresuid, uid, uid, uid) == -1)
		return -1;
	if (child->request->die_with_parent)
		return prctl(PR_SET_PDEATHSIG, SIGKILL);
	return 0;
}

static int
step_no_new_privs(struct child *child)
{
	if (child->request->plain || !child->spec->no_new_privs)
		return 0;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
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
    {STAGE_ENVIRONMENT, step_environment},
    {STAGE_LIMITS, step_limits},
    {STAGE_GROUPS, step_groups},
    {STAGE_GID, step_gid},
    {STAGE_UID, step_uid},
    {STAGE_NO_NEW_PRIVS, step_no_new_privs},
    {STAGE_CHDIR, step_chdir},
    {STAGE_EXEC, step_exec},
};

struct report {
	int32_t stage, number;
};

static void NORETURN
run_child(struct child *child)
{
	struct report report = {0};

	if (child->request->pid_note != NULL)
		*child->request->pid_note = (int32_t)getpid();
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (steps[i].run(child) == -1) {
			report.stage = (int32_t)steps[i].stage;
			report.number = errno;
			break;
		}
	ssize_t wrote = write(child->report_fd, &report, sizeof(report));
	(void)wrote;
	_exit(127);
}

/* --- the parent --- */

/* Like fork, with a pidfd where the kernel has them. glibc's fork runs handlers
 * and its posix_spawn needs clone3, which old seccomp profiles refuse
 * (pid1.md M11). */
static pid_t
clone_child(int *ret_pidfd)
{
	int pidfd = -1;
	long pid = syscall(SYS_clone, (unsigned long)CLONE_PIDFD | SIGCHLD,
	    NULL, &pidfd, 0L, 0L);

	if (pid == -1 && (errno == EINVAL || errno == ENOSYS)) {
		pidfd = -1;
		pid = fork();
	}
	*ret_pidfd = pidfd;
	return (pid_t)pid;
}

int
spawn_start(
    const struct spawn_request *request, struct spawned *ret, struct err *err)
{
	int report[2], pidfd;

	if (pipe2(report, O_CLOEXEC | O_NONBLOCK) == -1)
		return err_sys(err, "pipe for the exec report");
	struct child child = {.request = request,
	    .spec = request->spec,
	    .report_fd = report[1],
	    .exec_fd = request->exec_fd,
	    .parent = getpid()};
	pid_t pid = clone_child(&pidfd);
	if (pid == 0)
		run_child(&child);
	if (pid == -1) {
		(void)err_sys(err, "clone");
		fd_close(&report[0]);
		fd_close(&report[1]);
		return -1;
	}
	fd_close(&report[1]);
	*ret = (struct spawned){
	    .pid = pid, .pidfd = pidfd, .report_fd = report[0]};
	return 0;
}

int
spawn_report(int report_fd, struct worker_exit *ret)
{
	struct report report;
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
	} else {
		ret->stage = STAGE_EXEC;
		ret->value = EIO;
	}
	return -1;
}
