/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/operator/child.h"

enum {
	READ_SIZE = 4 * 1024
};

/* All that run: SIGCHLD says that one has ended, not which. */
static struct child *running;

static void
close_source(struct child *child, struct loop_source *source)
{
	if (source->added)
		loop_remove(child->loop, source);
	fd_close(&source->fd);
}

static void
forget(struct child *child)
{
	struct child **at = &running;

	while (*at != NULL && *at != child)
		at = &(*at)->next;
	if (*at != NULL)
		*at = child->next;
	child->next = NULL;
	child->pid = 0;
	loop_timer_clear(child->loop, &child->deadline);
	close_source(child, &child->to);
	close_source(child, &child->from);
}

static void
read_answer(struct child *child)
{
	char bytes[READ_SIZE];

	for (;;) {
		ssize_t got = read(child->from.fd, bytes, sizeof(bytes));
		if (got > 0) {
			buffer_append(&child->out, bytes, (size_t)got);
			if (child->said != NULL)
				child->said(child);
			if (child->from.fd == -1)
				return;
			continue;
		}
		if (got == -1 && errno == EINTR)
			continue;
		if (got == 0 || errno != EAGAIN)
			close_source(child, &child->from);
		return;
	}
}

static void
can_read(struct loop_source *source, uint32_t events)
{
	(void)events;
	read_answer(source->owner);
}

static void
write_request(struct child *child)
{
	while (child->in.len > 0) {
		ssize_t put =
		    write(child->to.fd, child->in.data, child->in.len);
		if (put == -1 && errno == EINTR)
			continue;
		if (put == -1 && errno == EAGAIN)
			return;
		if (put == -1) {
			/* It doesn't listen; how it ends says the rest. */
			close_source(child, &child->to);
			return;
		}
		buffer_drop_front(&child->in, (size_t)put);
	}
	if (!child->keep_stdin)
		close_source(child, &child->to);
	else if (child->to.added)
		loop_remove(child->loop, &child->to);
}

static void
can_write(struct loop_source *source, uint32_t events)
{
	(void)events;
	write_request(source->owner);
}

static void
too_late(struct loop_timer *timer, int64_t now_ms)
{
	struct child *child = timer->owner;

	(void)now_ms;
	child->killed = true;
	child_kill(child);
}

void
child_init(
    struct child *child, struct loop *loop, child_over_fn *over, void *owner)
{
	*child = (struct child){
	    .loop = loop,
	    .to = {.fd = -1, .ready = can_write, .owner = child},
	    .from = {.fd = -1, .ready = can_read, .owner = child},
	    .deadline = {.fire = too_late, .owner = child},
	    .over = over,
	    .owner = owner,
	};
	buffer_init(&child->in, CHILD_TEXT_MAX);
	buffer_init(&child->out, CHILD_TEXT_MAX);
}

void
child_fini(struct child *child)
{
	if (child->loop == NULL)
		return;
	child_kill(child);
	if (child->pid > 0)
		forget(child); /* reaped as an unknown one */
	buffer_wipe(&child->in);
	buffer_wipe(&child->out);
	child->loop = NULL;
}

bool
child_runs(const struct child *child)
{
	return child->pid > 0;
}

void
child_kill(struct child *child)
{
	if (child->pid > 1)
		(void)kill(-child->pid, SIGKILL);
}

static int
spawn(struct child *child, const char *const *argv, int in, int out)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	const char *path = argv[0] == NULL ? "/proc/self/exe" : argv[0];
	const char *name = argv[0] == NULL ? "reeve-tool" : argv[0];
	/* posix_spawn takes char *const [] and doesn't write to it. */
	char *args[64] = {0};
	pid_t pid = 0;

	memcpy(&args[0], &name, sizeof(name));
	for (size_t i = 1; i + 1 < ARRAY_LEN(args) && argv[i] != NULL; i++)
		memcpy(&args[i], &argv[i], sizeof(argv[i]));
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	(void)posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	(void)posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	(void)posix_spawnattr_setpgroup(&attributes, 0);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
	                                                POSIX_SPAWN_SETSIGDEF |
	                                                POSIX_SPAWN_SETPGROUP);
	int rc = posix_spawn(&pid, path, &actions, &attributes, args, environ);

	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	if (rc == 0)
		child->pid = pid;
	return rc;
}

int
child_start(struct child *child, const char *const *argv, int64_t deadline_ms,
    struct err *err)
{
	int in[2] = {-1, -1};
	int out[2] = {-1, -1};
	int rc = 0;

	assert(child->pid == 0);
	buffer_clear(&child->out);
	child->killed = false;
	if (pipe2(in, O_CLOEXEC) == -1 || pipe2(out, O_CLOEXEC) == -1) {
		(void)err_sys(err, "pipe");
		goto fail;
	}
	if (fd_nonblock(in[1], true, err) == -1 ||
	    fd_nonblock(out[0], true, err) == -1)
		goto fail;
	rc = spawn(child, argv, in[0], out[1]);
	if (rc != 0) {
		errno = rc;
		(void)err_sys(err, "start '%s'",
		    argv[0] == NULL ? "reeve-tool" : argv[0]);
		goto fail;
	}
	fd_close(&in[0]);
	fd_close(&out[1]);
	child->to.fd = in[1];
	child->from.fd = out[0];
	child->next = running;
	running = child;
	if (loop_add(child->loop, &child->from, EPOLLIN, err) == -1 ||
	    child_deadline(child, deadline_ms, err) == -1 ||
	    child_tell(child, err) == -1) {
		child_kill(child);
		return -1;
	}
	return 0;
fail:
	fd_close(&in[0]);
	fd_close(&in[1]);
	fd_close(&out[0]);
	fd_close(&out[1]);
	return -1;
}

int
child_tell(struct child *child, struct err *err)
{
	if (child->to.fd == -1)
		return err_set(err, ERR_REFUSED, "it doesn't listen any more");
	write_request(child);
	if (child->in.len > 0 && !child->to.added)
		return loop_add(child->loop, &child->to, EPOLLOUT, err);
	return 0;
}

int
child_deadline(struct child *child, int64_t deadline_ms, struct err *err)
{
	if (deadline_ms == CLOCK_NEVER) {
		loop_timer_clear(child->loop, &child->deadline);
		return 0;
	}
	return loop_timer_set(child->loop, &child->deadline, deadline_ms, err);
}

void
children_reap(void)
{
	int status = 0;
	pid_t pid = 0;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *child = running;
		while (child != NULL && child->pid != pid)
			child = child->next;
		if (child == NULL)
			continue;
		if (child->from.fd != -1)
			read_answer(child);
		forget(child);
		child->over(child, status, child->killed);
	}
}
