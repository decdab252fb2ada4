/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/exitcode.h"
#include "base/fd.h"
#include "base/text.h"
#include "worker/reference/job.h"

enum {
	CHUNK = 4096, /* PIPE_BUF: what poll promises */
	TURN_BYTES_MAX = 256 << 10,
	ENTRY_MAX = 512,
	OWN_ENTRIES = 3
};

void
job_process_init(struct job_process *process)
{
	*process = (struct job_process){.output_fd = -1};
}

void
job_process_fini(struct job_process *process)
{
	fd_close(&process->output_fd);
	job_process_init(process);
}

static bool
runnable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       access(path, X_OK) == 0;
}

int
job_find_command(char *const *argv, struct job_command *ret, struct err *err)
{
	const char *path = getenv("PATH");
	const char *name = argv[0];

	ret->argv = argv;
	if (strchr(name, '/') != NULL) {
		if (!runnable(name))
			return err_set(err, ERR_INPUT,
			    "'%.200s' is not a program that can be run", name);
		return text_copy(ret->path, sizeof(ret->path), name, err);
	}
	if (path == NULL)
		path = "/bin:/usr/bin";
	while (*path != '\0') {
		size_t len = strcspn(path, ":");

		if (text_format(ret->path, sizeof(ret->path), NULL, "%.*s/%s",
		        len > 0 ? (int)len : 1, len > 0 ? path : ".",
		        name) == 0 &&
		    runnable(ret->path))
			return 0;
		path += len;
		path += *path == ':';
	}
	return err_set(
	    err, ERR_INPUT, "there is no program '%.200s' in PATH", name);
}

/* Our environment with the job's own entries in place of older ones. */
static char **
build_environment(char own[OWN_ENTRIES][ENTRY_MAX])
{
	size_t count = 0;
	size_t kept = 0;

	while (environ[count] != NULL)
		count++;
	char **envp = calloc(count + OWN_ENTRIES + 1, sizeof(*envp));

	if (envp == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (!text_starts(environ[i], "REEVE_JOB_") &&
		    !text_starts(environ[i], "REEVE_QUEUE="))
			envp[kept++] = environ[i];
	}
	for (size_t i = 0; i < OWN_ENTRIES; i++)
		envp[kept++] = own[i];
	return envp;
}

/* What the child needs; everything is made before the fork. */
struct launch {
	const char *path;
	char *const *argv;
	char **envp;
	int in, out, report;
	pid_t parent;
};

/* In the child, between fork and exec: async-signal-safe calls only. */
static NORETURN void
become_job(const struct launch *launch)
{
	static const int ours[] = {
	    SIGTERM, SIGINT, SIGCHLD, SIGPIPE, SIGHUP, SIGQUIT};
	sigset_t none;
	int why = 0;

	(void)setpgid(0, 0);
	/* A killed worker's job would go on beside the next attempt. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != launch->parent)
		_exit(127);
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		(void)sigaction(
		    ours[i], &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(launch->in, STDIN_FILENO) != -1 &&
	    dup2(launch->out, STDOUT_FILENO) != -1 &&
	    dup2(launch->out, STDERR_FILENO) != -1)
		(void)execve(launch->path, launch->argv, launch->envp);
	why = errno;
	(void)!write(launch->report, &why, sizeof(why));
	_exit(127);
}

/* 0, or why it never became the job. */
static int
spawn(struct job_process *process, struct launch *launch)
{
	int report[2];
	int why = 0;

	if (pipe2(report, O_CLOEXEC) == -1)
		return errno;
	launch->report = report[1];
	launch->parent = getpid();
	pid_t pid = fork();

	if (pid == 0)
		become_job(launch);
	int failure = errno;

	fd_close(&report[1]);
	if (pid == -1) {
		fd_close(&report[0]);
		return failure;
	}
	(void)setpgid(pid, pid); /* whoever comes first */
	/* ends with exec: the descriptor closes */
	ssize_t n = read(report[0], &why, sizeof(why));

	fd_close(&report[0]);
	if (n == (ssize_t)sizeof(why)) {
		(void)waitpid(pid, NULL, 0);
		return why;
	}
	process->pid = pid;
	return 0;
}

/*
 * The payload as a file in memory: the job has it whole from its first
 * instruction. Through a pipe, a job whose worker is killed early would see an
 * empty or a cut payload, and might act on it before it is killed too.
 */
static int
payload_file(const struct queue_job *job, int *ret, struct err *err)
{
	int fd = memfd_create("reeve-job", MFD_CLOEXEC);

	if (fd == -1)
		return err_sys(err, "a file for the payload");
	if ((job->payload.len > 0 && fd_write_all(fd, job->payload.data,
	                                 job->payload.len, err) == -1) ||
	    lseek(fd, 0, SEEK_SET) == -1) {
		fd_close(&fd);
		return err_wrap(err, "the payload");
	}
	*ret = fd;
	return 0;
}

static int
open_files(
    const struct queue_job *job, int *ret_in, int out[2], struct err *err)
{
	if (pipe2(out, O_CLOEXEC) == -1)
		return err_sys(err, "a pipe for a job");
	if (fd_nonblock(out[0], true, err) == -1)
		return -1;
	return payload_file(job, ret_in, err);
}

int
job_start(struct job_process *process, const struct queue_job *job,
    const char *queue_name, const struct job_command *command, struct err *err)
{
	char own[OWN_ENTRIES][ENTRY_MAX];
	int in = -1;
	int out[2] = {-1, -1};
	int rc = -1;

	if (text_format(own[0], ENTRY_MAX, err, "REEVE_JOB_ID=%s", job->id) ==
	        -1 ||
	    text_format(own[1], ENTRY_MAX, err, "REEVE_JOB_ATTEMPT=%" PRId64,
	        job->attempt) == -1 ||
	    text_format(own[2], ENTRY_MAX, err, "REEVE_QUEUE=%s", queue_name) ==
	        -1)
		return -1;
	struct launch launch = {.path = command->path,
	    .argv = command->argv,
	    .envp = build_environment(own)};

	if (launch.envp == NULL)
		return err_set(err, ERR_SYSTEM, "no memory for a job");
	if (open_files(job, &in, out, err) == 0) {
		launch.in = in;
		launch.out = out[1];
		errno = spawn(process, &launch);
		if (errno == 0)
			rc = 0;
		else
			(void)err_sys(err, "run '%.200s'", command->path);
	}
	free(launch.envp);
	if (rc == 0) {
		process->output_fd = out[0];
		out[0] = -1;
	} else if (err != NULL && (err->sys == ENOENT || err->sys == EACCES ||
	                              err->sys == ENOEXEC)) {
		err->kind = ERR_INPUT;
	}
	fd_close(&in);
	fd_close(&out[0]);
	fd_close(&out[1]);
	return rc;
}

/* Our stderr has room for a chunk. A reader who doesn't read stops the job, by
 * its own full pipe, and never us. */
bool
job_output_room(void)
{
	struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};

	return poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT) != 0;
}

void
job_drain_output(struct job_process *process)
{
	char chunk[CHUNK];
	size_t moved = 0;

	while (process->output_fd != -1 && moved < TURN_BYTES_MAX) {
		bool over = process->output_bytes >= JOB_OUTPUT_MAX;

		if (!over && !job_output_room())
			return;
		ssize_t n = read(process->output_fd, chunk, sizeof(chunk));

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0) {
			fd_close(&process->output_fd);
			return;
		}
		moved += (size_t)n;
		if (over)
			process->dropped_bytes += n;
		else if (fd_write_all(STDERR_FILENO, chunk, (size_t)n, NULL) ==
		         0)
			process->output_bytes += n;
	}
}

void
job_kill(const struct job_process *process, int sig)
{
	if (process->pid > 0)
		(void)kill(-process->pid, sig);
}

bool
job_ended(struct job_process *process, int *ret_status)
{
	siginfo_t info = {.si_pid = 0};
	int status = 0;

	if (process->pid <= 0)
		return false;
	/* looked at first and reaped later, so that the group's number can't
	 * be another's when it is killed */
	if (waitid(P_PID, (id_t)process->pid, &info,
	        WEXITED | WNOHANG | WNOWAIT) == -1 ||
	    info.si_pid == 0)
		return false;
	(void)kill(-process->pid, SIGKILL);
	if (waitpid(process->pid, &status, WNOHANG) != process->pid)
		return false;
	job_drain_output(process);
	process->pid = 0;
	*ret_status = status;
	return true;
}

enum job_outcome
job_outcome_of(int status)
{
	if (!WIFEXITED(status))
		return JOB_FAILED;
	switch (WEXITSTATUS(status)) {
	case 0:
		return JOB_DONE;
	case EXIT_AGAIN:
		return JOB_RETRY;
	case EXIT_MANIFEST:
		return JOB_DEAD;
	default:
		return JOB_FAILED;
	}
}

const char *
job_status_text(int status, char *dst, size_t size)
{
	if (WIFEXITED(status))
		(void)snprintf(dst, size, "exit %d", WEXITSTATUS(status));
	else
		(void)snprintf(dst, size, "signal %d", WTERMSIG(status));
	return dst;
}

int64_t
job_backoff_ms(
    int64_t attempt, int64_t first_ms, int64_t cap_ms, uint32_t noise)
{
	int64_t delay_ms = first_ms;

	for (int64_t i = 1; i < attempt && delay_ms < cap_ms; i++)
		delay_ms *= 2;
	delay_ms = MIN(delay_ms, cap_ms);
	return delay_ms / 2 + (int64_t)noise % (delay_ms / 2 + 1);
}
