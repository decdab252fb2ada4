/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/exitcode.h"
#include "base/format.h"
#include "base/text.h"
#include "worker/exit.h"
#include "worker/process.h"

static const char *const stage_names[] = {
    [STAGE_NONE] = "none",
    [STAGE_CLONE] = "clone",
    [STAGE_SIGNALS] = "signals",
    [STAGE_SESSION] = "session",
    [STAGE_STDIO] = "stdio",
    [STAGE_CGROUP] = "cgroup",
    [STAGE_ENVIRONMENT] = "environment",
    [STAGE_OOM] = "oom_score_adj",
    [STAGE_LIMITS] = "limits",
    [STAGE_SCHEDULING] = "scheduling",
    [STAGE_NICE] = "nice",
    [STAGE_IO] = "io priority",
    [STAGE_CPUS] = "cpus",
    [STAGE_GROUPS] = "groups",
    [STAGE_GID] = "gid",
    [STAGE_BOUNDING] = "bounding capabilities",
    [STAGE_UID] = "uid",
    [STAGE_CAPABILITIES] = "capabilities",
    [STAGE_PARENT] = "parent",
    [STAGE_NO_NEW_PRIVS] = "no_new_privs",
    [STAGE_UMASK] = "umask",
    [STAGE_CHDIR] = "chdir",
    [STAGE_EXEC] = "exec",
    [STAGE_TIMEOUT] = "exec deadline",
};
static_assert(ARRAY_LEN(stage_names) == STAGE_COUNT, "a name for each stage");

static const char *const class_names[] = {
    [CLASS_NONE] = "none",
    [CLASS_CLEAN] = "clean",
    [CLASS_CONFIG] = "config",
    [CLASS_CRASH] = "crash",
    [CLASS_PROBE] = "probe",
    [CLASS_OOM] = "oom",
    [CLASS_ORDERED] = "ordered",
};
static_assert(ARRAY_LEN(class_names) == CLASS_COUNT, "a name for each class");

struct numbered {
	int number;
	const char *name;
};

#define NAMED(constant)             \
	{                           \
		constant, #constant \
	}
static const struct numbered signal_names[] = {
    NAMED(SIGHUP),
    NAMED(SIGINT),
    NAMED(SIGQUIT),
    NAMED(SIGILL),
    NAMED(SIGTRAP),
    NAMED(SIGABRT),
    NAMED(SIGBUS),
    NAMED(SIGFPE),
    NAMED(SIGKILL),
    NAMED(SIGUSR1),
    NAMED(SIGSEGV),
    NAMED(SIGUSR2),
    NAMED(SIGPIPE),
    NAMED(SIGALRM),
    NAMED(SIGTERM),
    NAMED(SIGCHLD),
    NAMED(SIGCONT),
    NAMED(SIGSTOP),
    NAMED(SIGTSTP),
    NAMED(SIGTTIN),
    NAMED(SIGTTOU),
    NAMED(SIGURG),
    NAMED(SIGXCPU),
    NAMED(SIGXFSZ),
    NAMED(SIGVTALRM),
    NAMED(SIGPROF),
    NAMED(SIGWINCH),
    NAMED(SIGIO),
    NAMED(SIGPWR),
    NAMED(SIGSYS),
};

/* What can stop a process from becoming the worker. */
static const struct {
	int number;
	const char *name, *text;
} errno_names[] = {
    {EPERM, "EPERM", "operation not permitted"},
    {ENOENT, "ENOENT", "no such file or directory"},
    {EIO, "EIO", "input/output error"},
    {E2BIG, "E2BIG", "arguments and environment are too long"},
    {ENOEXEC, "ENOEXEC", "not an executable format"},
    {EAGAIN, "EAGAIN", "no process or resource available"},
    {ENOMEM, "ENOMEM", "out of memory"},
    {EACCES, "EACCES", "permission denied"},
    {EBADF, "EBADF", "bad file descriptor"},
    {EFAULT, "EFAULT", "bad address"},
    {EBUSY, "EBUSY", "busy"},
    {ENODEV, "ENODEV", "no such device"},
    {ENOTDIR, "ENOTDIR", "not a directory"},
    {EISDIR, "EISDIR", "is a directory"},
    {EINVAL, "EINVAL", "invalid argument"},
    {ENFILE, "ENFILE", "the system has no more open files"},
    {EMFILE, "EMFILE", "too many open files"},
    {ETXTBSY, "ETXTBSY", "the program is being written"},
    {ENOSPC, "ENOSPC", "no space"},
    {EROFS, "EROFS", "read-only file system"},
    {ENAMETOOLONG, "ENAMETOOLONG", "name too long"},
    {ENOSYS, "ENOSYS", "not implemented by the kernel"},
    {ELOOP, "ELOOP", "too many symbolic links"},
    {ELIBBAD, "ELIBBAD", "corrupted interpreter"},
    {ETIMEDOUT, "ETIMEDOUT", "deadline passed"},
};

const char *
spawn_stage_name(enum spawn_stage stage)
{
	return (unsigned)stage < STAGE_COUNT ? stage_names[stage] : "unknown";
}

const char *
exit_class_name(enum exit_class kind)
{
	return (unsigned)kind < CLASS_COUNT ? class_names[kind] : "unknown";
}

void
exit_from_wait(int how, int status, struct worker_exit *ret)
{
	ret->stage = STAGE_NONE;
	ret->core_dumped = how == CLD_DUMPED;
	ret->value = status;
	ret->kind = how == CLD_EXITED ? EXIT_CODE : EXIT_SIGNAL;
}

bool
exit_is_child(pid_t pid)
{
	siginfo_t info = {.si_pid = 0};

	return pid > 0 && waitid(P_PID, (id_t)pid, &info,
	                      WEXITED | WNOHANG | WNOWAIT) == 0;
}

enum exit_class
exit_classify(const struct worker_exit *ended)
{
	switch ((enum exit_kind)ended->kind) {
	case EXIT_UNKNOWN:
		return CLASS_NONE;
	case EXIT_EXEC:
		return CLASS_CONFIG;
	case EXIT_SIGNAL:
		return ended->oom == OOM_YES ? CLASS_OOM : CLASS_CRASH;
	case EXIT_CODE:
		if (ended->oom == OOM_YES)
			return CLASS_OOM;
		if (ended->value == 0)
			return CLASS_CLEAN;
		return ended->value == EXIT_MANIFEST ? CLASS_CONFIG
		                                     : CLASS_CRASH;
	}
	return CLASS_NONE;
}

int
exit_shell_code(const struct worker_exit *ended)
{
	switch ((enum exit_kind)ended->kind) {
	case EXIT_UNKNOWN:
		return 255;
	case EXIT_EXEC:
		return ended->value == ENOENT ? 127 : 126;
	case EXIT_SIGNAL:
		return (128 + ended->value) & 0xff;
	case EXIT_CODE:
		return ended->value & 0xff;
	}
	return 255;
}

const char *
exit_signal_name(int signo, char *dst, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(signal_names); i++)
		if (signal_names[i].number == signo)
			return signal_names[i].name;
	if (signo >= SIGRTMIN && signo <= SIGRTMAX)
		(void)snprintf(dst, size, "SIGRTMIN+%d", signo - SIGRTMIN);
	else
		(void)snprintf(dst, size, "signal %d", signo);
	return dst;
}

/* "RTMIN", "RTMIN+2", "RTMAX-1" */
static int
real_time_signal(const char *text)
{
	int64_t offset = 0;
	bool from_end = text_starts(text, "RTMAX");

	if (!from_end && !text_starts(text, "RTMIN"))
		return 0;
	text += strlen("RTMIN");
	if (text[0] == '\0')
		return from_end ? SIGRTMAX : SIGRTMIN;
	if (text[0] != (from_end ? '-' : '+') ||
	    text_i64(text + 1, 0, SIGRTMAX - SIGRTMIN, &offset, NULL) == -1)
		return 0;
	return from_end ? SIGRTMAX - (int)offset : SIGRTMIN + (int)offset;
}

int
exit_signal_number(const char *text)
{
	const char *name = text_starts(text, "SIG") ? text + 3 : text;
	int64_t number = 0;

	if (text_i64(text, 1, NSIG - 1, &number, NULL) == 0)
		return (int)number;
	for (size_t i = 0; i < ARRAY_LEN(signal_names); i++)
		if (text_equal(signal_names[i].name + 3, name))
			return signal_names[i].number;
	return real_time_signal(name);
}

const char *
exit_errno_name(int number)
{
	for (size_t i = 0; i < ARRAY_LEN(errno_names); i++)
		if (errno_names[i].number == number)
			return errno_names[i].name;
	return NULL;
}

static const char *
errno_text(int number)
{
	for (size_t i = 0; i < ARRAY_LEN(errno_names); i++)
		if (errno_names[i].number == number)
			return errno_names[i].text;
	return NULL;
}

static void
exec_text(const struct worker_exit *ended, char *dst, size_t size)
{
	const char *stage = spawn_stage_name(ended->stage);
	const char *name = exit_errno_name(ended->value);
	const char *detail =
	    ended->detail == 0
	        ? ""
	        : worker_limit_name((enum worker_limit_id)(ended->detail - 1));
	const char *dot = ended->detail == 0 ? "" : ".";

	if (name == NULL)
		(void)snprintf(dst, size, "not started: %s%s%s: error %d",
		    stage, dot, detail, (int)ended->value);
	else
		(void)snprintf(dst, size, "not started: %s%s%s: %s (%s)", stage,
		    dot, detail, errno_text(ended->value), name);
}

const char *
exit_text(const struct worker_exit *ended, char *dst, size_t size)
{
	char spare[32];

	switch ((enum exit_kind)ended->kind) {
	case EXIT_UNKNOWN:
		(void)snprintf(dst, size, "unknown");
		break;
	case EXIT_EXEC:
		exec_text(ended, dst, size);
		break;
	case EXIT_CODE:
		(void)format_text(dst, size, "exit code %d%s",
		    (int)ended->value,
		    ended->oom == OOM_YES ? ", out of memory" : "");
		break;
	case EXIT_SIGNAL:
		(void)format_text(dst, size, "killed by %s%s%s%s",
		    exit_signal_name(ended->value, spare, sizeof(spare)),
		    ended->core_dumped ? ", core dumped" : "",
		    ended->oom == OOM_YES ? ", out of memory" : "",
		    ended->by_us == ended->value ? " (sent by reeve)" : "");
		break;
	}
	size_t len = strlen(dst);
	if (ended->escaped > 0)
		(void)snprintf(dst + len, size - len, ", escaped: %u",
		    (unsigned)ended->escaped);
	return dst;
}
