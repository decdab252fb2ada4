/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "cli/child.h"

int
child_reeve_path(char *ret, size_t size, struct err *err)
{
	static const char *const places[] = {"reeve", "../../bin/reeve"};
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len == -1)
		return err_sys(err, "/proc/self/exe");
	self[len] = '\0';
	char *slash = strrchr(self, '/');

	if (slash != NULL)
		*slash = '\0';
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (text_format(ret, size, err, "%s/%s", self, places[i]) == -1)
			return -1;
		if (access(ret, X_OK) == 0)
			return 0;
	}
	return err_set(err, ERR_SYSTEM,
	    "the program 'reeve' is neither beside '%s/reeve-tool' nor at its "
	    "place in an installation: install both",
	    self);
}

/* What child_run() waits for; for child_interrupt(). */
static volatile pid_t running;

static int
start(const char *const *argv, int out_fd, pid_t *ret, struct err *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	/* its prototype lacks the const that it keeps */
	union {
		const char *const *ours;
		char *const *its;
	} words = {argv};

	(void)sigemptyset(&none);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	(void)posix_spawn_file_actions_addopen(
	    &actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	(void)posix_spawn_file_actions_adddup2(&actions, out_fd, STDERR_FILENO);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setflags(
	    &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
	int rc = posix_spawn(
	    ret, argv[0], &actions, &attributes, words.its, environ);

	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	if (rc == 0)
		return 0;
	errno = rc;
	return err_sys(err, "start '%s'", argv[0]);
}

static int
exit_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* True once the child's end of the pipe is closed; false at the deadline. */
static bool
drain(int fd, int64_t deadline_ms, struct buffer *out)
{
	struct pollfd input = {.fd = fd, .events = POLLIN};
	char bytes[4096];

	for (;;) {
		int64_t now_ms = clock_ms();

		if (now_ms >= deadline_ms)
			return false;
		if (poll(&input, 1, clock_timeout(now_ms, deadline_ms)) <= 0)
			continue;
		ssize_t len = read(fd, bytes, sizeof(bytes));

		if (len == 0)
			return true;
		if (len > 0)
			buffer_append(out, bytes, (size_t)len);
		else if (errno != EINTR && errno != EAGAIN)
			return true;
	}
}

int
child_run(const char *const *argv, int64_t deadline_ms, struct buffer *out,
    int *ret_exit, struct err *err)
{
	int fds[2];
	pid_t pid;
	int status = 0;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return err_sys(err, "pipe for '%s'", argv[0]);
	if (start(argv, fds[1], &pid, err) == -1) {
		fd_close(&fds[0]);
		fd_close(&fds[1]);
		return -1;
	}
	running = pid;
	fd_close(&fds[1]);
	bool ended = drain(fds[0], deadline_ms, out);

	fd_close(&fds[0]);
	running = 0; /* before its number may be another's */
	if (!ended)
		(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (!ended)
		return err_set(err, ERR_TIMEOUT, "'%s' took too long", argv[0]);
	*ret_exit = exit_of(status);
	return 0;
}

void
child_interrupt(void)
{
	if (running > 1)
		(void)kill(-running, SIGTERM);
}

int
child_start(
    const char *const *argv, const char *log, pid_t *ret, struct err *err)
{
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd == -1)
		return err_sys(err, "open '%s'", log);
	int rc = start(argv, fd, ret, err);

	fd_close(&fd);
	return rc;
}

void
child_stop(pid_t pid, int64_t deadline_ms)
{
	enum {
		LOOK_EVERY_MS = 20
	};
	bool killed = false;

	(void)kill(pid, SIGTERM);
	for (;;) {
		pid_t ended = waitpid(pid, NULL, WNOHANG);

		if (ended == pid || (ended == -1 && errno != EINTR))
			return;
		if (!killed && clock_ms() >= deadline_ms) {
			(void)kill(pid, SIGKILL);
			killed = true;
		}
		(void)poll(NULL, 0, LOOK_EVERY_MS);
	}
}
