/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "probes/prober.h"

/* How long a killed process is waited for before it is left to the kernel. */
static const int64_t REAP_MS = 500;

/* The child's ends of the three channels. */
struct child_fds {
	int in, out, errors;
};

static int
channels_open(struct prober *prober, struct child_fds *child, struct err *err)
{
	int in[2] = {-1, -1};
	int out[2] = {-1, -1};
	int errors[2] = {-1, -1};

	/* a socket, so that writing to a dead prober is no SIGPIPE */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) == -1 ||
	    pipe2(out, O_CLOEXEC) == -1 || pipe2(errors, O_CLOEXEC) == -1 ||
	    fcntl(out[0], F_SETFL, O_NONBLOCK) == -1 ||
	    fcntl(errors[0], F_SETFL, O_NONBLOCK) == -1) {
		(void)err_sys(err, "channels to a prober");
		for (int i = 0; i < 2; i++) {
			fd_close(&in[i]);
			fd_close(&out[i]);
			fd_close(&errors[i]);
		}
		return -1;
	}
	*prober =
	    (struct prober){.in = in[0], .out = out[0], .errors = errors[0]};
	*child = (struct child_fds){in[1], out[1], errors[1]};
	return 0;
}

static int
spawn(struct prober *prober, const char *tool, const struct child_fds *child,
    struct err *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	sigset_t all;
	char probe[] = "probe";
	char name[PATH_MAX];
	char *argv[] = {name, probe, NULL};

	(void)snprintf(name, sizeof(name), "%s", tool);
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return err_set(err, ERR_SYSTEM, "out of memory");
	if (posix_spawnattr_init(&attributes) != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return err_set(err, ERR_SYSTEM, "out of memory");
	}
	int rc =
	    posix_spawn_file_actions_adddup2(&actions, child->in, STDIN_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(
		    &actions, child->out, STDOUT_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(
		    &actions, child->errors, STDERR_FILENO);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
	                                                POSIX_SPAWN_SETSIGMASK |
	                                                POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setpgroup(&attributes, 0);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	if (rc == 0)
		rc = posix_spawn(
		    &prober->pid, tool, &actions, &attributes, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	if (rc == 0)
		return 0;
	errno = rc;
	return err_sys(err, "start the prober '%s'", tool);
}

int
prober_start(struct prober *ret, const char *tool, struct err *err)
{
	struct child_fds child = {-1, -1, -1};
	struct prober prober;

	if (channels_open(&prober, &child, err) == -1)
		return -1;
	int rc = spawn(&prober, tool, &child, err);

	fd_close(&child.in);
	fd_close(&child.out);
	fd_close(&child.errors);
	if (rc == -1) {
		fd_close(&prober.in);
		fd_close(&prober.out);
		fd_close(&prober.errors);
		return -1;
	}
	*ret = prober;
	return 0;
}

/* The whole group: a command probe's own children go with it. The leader is
 * not reaped yet, so the group's number can't be anybody else's. */
int
prober_reap(pid_t pid)
{
	int status = 0;
	int64_t until_ms = clock_after(clock_ms(), REAP_MS);

	(void)kill(-pid, SIGKILL);
	(void)kill(pid, SIGKILL);
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	for (;;) {
		pid_t ended = waitpid(pid, &status, WNOHANG);
		if (ended == pid || (ended == -1 && errno != EINTR))
			break;
		int64_t now_ms = clock_ms();
		if (now_ms >= until_ms)
			break; /* in the kernel's hands: uninterruptible */
		struct pollfd one = {.fd = pidfd, .events = POLLIN};
		(void)poll(
		    &one, 1, pidfd == -1 ? 2 : clock_timeout(now_ms, until_ms));
	}
	fd_close(&pidfd);
	return status;
}
