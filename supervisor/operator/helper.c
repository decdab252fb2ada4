/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/operator/helper.h"

enum {
	READ_SIZE = 4 * 1024,
	US_PER_S = 1000000,
};

/* All that run: SIGCHLD says that one has ended, not which. */
static struct helper *running;
/* Processor time of those that have ended. */
static int64_t ended_us[HELPER_PARTS];

static void
close_source(struct helper *helper, struct loop_source *source)
{
	if (source->added)
		loop_remove(helper->loop, source);
	fd_close(&source->fd);
}

static void
forget(struct helper *helper)
{
	struct helper **at = &running;

	while (*at != NULL && *at != helper)
		at = &(*at)->next;
	if (*at != NULL)
		*at = helper->next;
	helper->next = NULL;
	helper->pid = 0;
	loop_timer_clear(helper->loop, &helper->deadline);
	close_source(helper, &helper->to);
	close_source(helper, &helper->from);
}

static void
read_answer(struct helper *helper)
{
	char bytes[READ_SIZE];

	for (;;) {
		ssize_t got = read(helper->from.fd, bytes, sizeof(bytes));
		if (got > 0) {
			buffer_append(&helper->out, bytes, (size_t)got);
			if (helper->said != NULL)
				helper->said(helper);
			if (helper->from.fd == -1)
				return;
			continue;
		}
		if (got == -1 && errno == EINTR)
			continue;
		if (got == 0 || errno != EAGAIN)
			close_source(helper, &helper->from);
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
write_request(struct helper *helper)
{
	while (helper->in.len > 0) {
		ssize_t put =
		    write(helper->to.fd, helper->in.data, helper->in.len);
		if (put == -1 && errno == EINTR)
			continue;
		if (put == -1 && errno == EAGAIN)
			return;
		if (put == -1) {
			/* It doesn't listen; how it ends says the rest. */
			close_source(helper, &helper->to);
			return;
		}
		buffer_drop_front(&helper->in, (size_t)put);
	}
	if (!helper->keep_stdin)
		close_source(helper, &helper->to);
	else if (helper->to.added)
		loop_remove(helper->loop, &helper->to);
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
	struct helper *helper = timer->owner;

	(void)now_ms;
	helper->killed = true;
	helper_kill(helper);
}

void
helper_init(
    struct helper *helper, struct loop *loop, helper_over_fn *over, void *owner)
{
	*helper = (struct helper){
	    .loop = loop,
	    .to = {.fd = -1, .ready = can_write, .owner = helper},
	    .from = {.fd = -1, .ready = can_read, .owner = helper},
	    .deadline = {.fire = too_late, .owner = helper},
	    .over = over,
	    .owner = owner,
	};
	buffer_init(&helper->in, HELPER_TEXT_MAX);
	buffer_init(&helper->out, HELPER_TEXT_MAX);
}

void
helper_fini(struct helper *helper)
{
	if (helper->loop == NULL)
		return;
	helper_kill(helper);
	if (helper->pid > 0)
		forget(helper); /* reaped as an unknown one */
	buffer_wipe(&helper->in);
	buffer_wipe(&helper->out);
	helper->loop = NULL;
}

bool
helper_runs(const struct helper *helper)
{
	return helper->pid > 0;
}

void
helper_kill(struct helper *helper)
{
	if (helper->pid > 1)
		(void)kill(-helper->pid, SIGKILL);
}

static int
spawn(struct helper *helper, const char *const *argv, int in, int out)
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
		helper->pid = pid;
	return rc;
}

/* Half a request would be another one. */
static int
refuse_request(struct err *err)
{
	return err_set(err, ERR_CAPACITY,
	    "what is to be asked is longer than %d bytes",
	    (int)HELPER_TEXT_MAX);
}

int
helper_start(struct helper *helper, const char *const *argv,
    int64_t deadline_ms, struct err *err)
{
	int in[2] = {-1, -1};
	int out[2] = {-1, -1};
	int rc = 0;

	assert(helper->pid == 0);
	if (helper->in.overflow)
		return refuse_request(err);
	buffer_clear(&helper->out);
	helper->killed = false;
	if (pipe2(in, O_CLOEXEC) == -1 || pipe2(out, O_CLOEXEC) == -1) {
		(void)err_sys(err, "pipe");
		goto fail;
	}
	if (fd_nonblock(in[1], true, err) == -1 ||
	    fd_nonblock(out[0], true, err) == -1)
		goto fail;
	rc = spawn(helper, argv, in[0], out[1]);
	if (rc != 0) {
		errno = rc;
		(void)err_sys(err, "start '%s'",
		    argv[0] == NULL ? "reeve-tool" : argv[0]);
		goto fail;
	}
	fd_close(&in[0]);
	fd_close(&out[1]);
	helper->to.fd = in[1];
	helper->from.fd = out[0];
	helper->next = running;
	running = helper;
	if (loop_add(helper->loop, &helper->from, EPOLLIN, err) == -1 ||
	    helper_deadline(helper, deadline_ms, err) == -1 ||
	    helper_tell(helper, err) == -1) {
		helper_kill(helper);
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
helper_tell(struct helper *helper, struct err *err)
{
	if (helper->to.fd == -1)
		return err_set(err, ERR_REFUSED, "it doesn't listen any more");
	if (helper->in.overflow)
		return refuse_request(err);
	write_request(helper);
	if (helper->in.len > 0 && !helper->to.added)
		return loop_add(helper->loop, &helper->to, EPOLLOUT, err);
	return 0;
}

int
helper_deadline(struct helper *helper, int64_t deadline_ms, struct err *err)
{
	if (deadline_ms == CLOCK_NEVER) {
		loop_timer_clear(helper->loop, &helper->deadline);
		return 0;
	}
	return loop_timer_set(
	    helper->loop, &helper->deadline, deadline_ms, err);
}

static int64_t
usage_us(const struct rusage *usage)
{
	return ((int64_t)usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) *
	           US_PER_S +
	       usage->ru_utime.tv_usec + usage->ru_stime.tv_usec;
}

int64_t
helpers_cpu_us(enum helper_part part)
{
	int64_t us = ended_us[part];

	for (const struct helper *one = running; one != NULL; one = one->next) {
		struct timespec spent;
		clockid_t clock = 0;
		if (one->part == part &&
		    clock_getcpuclockid(one->pid, &clock) == 0 &&
		    clock_gettime(clock, &spent) == 0)
			us += (int64_t)spent.tv_sec * US_PER_S +
			      spent.tv_nsec / 1000;
	}
	return us;
}

void
helpers_reap(void)
{
	struct rusage usage;
	int status = 0;
	pid_t pid = 0;

	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		struct helper *helper = running;
		while (helper != NULL && helper->pid != pid)
			helper = helper->next;
		/* one that was given up before it ended is nobody's now */
		ended_us[helper == NULL ? HELPER_OTHER : helper->part] +=
		    usage_us(&usage);
		if (helper == NULL)
			continue;
		if (helper->from.fd != -1)
			read_answer(helper);
		forget(helper);
		helper->over(helper, status, helper->killed);
	}
}
