/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "manifests/run.h"

enum {
	LOOK_MS = 20 /* how often an exit is looked for while pipes are quiet */
};

struct running {
	pid_t pid;
	int out, complaint; /* -1 once at their end */
	bool exited;
	int status;
};

static int
spawn(const struct run_options *options, int out, int complaint, pid_t *ret,
    struct err *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	union { /* posix_spawnp takes them without const, and doesn't write */
		const char *const *in;
		char *const *out;
	} argv = {options->argv},
	  envp = {options->environ == NULL ? (const char *const *)environ
	                                   : options->environ};

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(
	    &actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	(void)posix_spawn_file_actions_adddup2(
	    &actions, complaint, STDERR_FILENO);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(
	    &attr, (short)(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
	                   POSIX_SPAWN_SETSIGDEF));
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	int rc = posix_spawnp(
	    ret, options->argv[0], &actions, &attr, argv.out, envp.out);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&actions);
	errno = rc;
	return rc == 0 ? 0 : err_sys(err, "start '%s'", options->argv[0]);
}

/* Reads what is there; past the buffer's maximum it is read and dropped. */
static void
take(int *fd, struct buffer *into)
{
	char bytes[4096];
	ssize_t n = read(*fd, bytes, sizeof(bytes));

	if (n > 0)
		buffer_append(into, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		fd_close(fd);
	explicit_bzero(bytes, sizeof(bytes));
}

/* Leaves the zombie: it pins the group's id until the group was killed. */
static void
look_for_exit(struct running *running)
{
	siginfo_t info = {0};

	if (waitid(P_PID, (id_t)running->pid, &info,
	        WEXITED | WNOHANG | WNOWAIT) == -1)
		running->exited = errno != EINTR;
	else
		running->exited = info.si_pid != 0;
}

/* One wait; whoever inherited the pipes may keep them open after the exit, so
 * an exit counts once nothing more is there to read. */
static void
turn(struct running *running, struct buffer *out, struct buffer *complaint,
    int64_t deadline_ms)
{
	struct pollfd fds[] = {
	    {.fd = running->out, .events = POLLIN},
	    {.fd = running->complaint, .events = POLLIN},
	};
	int64_t left_ms = MAX(deadline_ms - clock_ms(), 0);
	int n = poll(fds, ARRAY_LEN(fds), (int)MIN(left_ms, LOOK_MS));

	if (n > 0 && fds[0].revents != 0)
		take(&running->out, out);
	if (n > 0 && fds[1].revents != 0)
		take(&running->complaint, complaint);
	if (n <= 0 || (running->out == -1 && running->complaint == -1))
		look_for_exit(running);
}

static int
outcome(const struct run_options *options, const struct running *running,
    const struct buffer *out, struct err *err)
{
	const char *name = options->argv[0];

	if (!running->exited)
		return err_set(err, ERR_TIMEOUT,
		    "'%s' did not end within %lld ms and was killed", name,
		    (long long)options->timeout_ms);
	if (WIFSIGNALED(running->status))
		return err_set(err, ERR_REFUSED, "'%s' was killed by signal %d",
		    name, WTERMSIG(running->status));
	if (WEXITSTATUS(running->status) != 0)
		return err_set(err, ERR_REFUSED, "'%s' exited with %d", name,
		    WEXITSTATUS(running->status));
	if (out->overflow)
		return err_set(err, ERR_CAPACITY,
		    "'%s' printed more than %zu bytes", name, out->max);
	return 0;
}

int
run_command(const struct run_options *options, struct buffer *out,
    struct buffer *complaint, struct err *err)
{
	struct running running = {.out = -1, .complaint = -1};
	int to_out[2], to_complaint[2];
	int64_t deadline_ms = clock_after(clock_ms(), options->timeout_ms);

	if (pipe2(to_out, O_CLOEXEC) == -1)
		return err_sys(err, "pipe");
	if (pipe2(to_complaint, O_CLOEXEC) == -1) {
		(void)err_sys(err, "pipe");
		fd_close(&to_out[0]);
		fd_close(&to_out[1]);
		return -1;
	}
	running.out = to_out[0];
	running.complaint = to_complaint[0];
	int rc = spawn(options, to_out[1], to_complaint[1], &running.pid, err);
	fd_close(&to_out[1]);
	fd_close(&to_complaint[1]);
	while (rc == 0 && !running.exited && clock_ms() < deadline_ms)
		turn(&running, out, complaint, deadline_ms);
	if (rc == 0) {
		/* What it left behind ends with it. */
		(void)kill(-running.pid, SIGKILL);
		pid_t pid;
		do
			pid = waitpid(running.pid, &running.status, 0);
		while (pid == -1 && errno == EINTR);
		if (pid == -1) /* somebody else reaped it: nothing is known */
			running.status = 127 << 8;
		rc = outcome(options, &running, out, err);
	}
	fd_close(&running.out);
	fd_close(&running.complaint);
	return rc;
}
