/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/table.h"
#include "worker/notify.h"
#include "worker/spawn.h"

/*
 * What workers say of themselves: datagrams on one socket (sd_notify), and a
 * newline on a descriptor of theirs (as s6 and dinit have it). The kernel says
 * who sent a datagram; a process counts as the worker in whose session it is.
 */
enum {
	/* the kernel passes no more at once (SCM_MAX_FD) */
	NOTIFY_FDS_MAX = 253,
	/* a worker that says a new word every millisecond is told of less often
	 */
	NOTIFY_TELL_MS = 200,
	/* before the newline; more is not meant for us */
	NOTIFY_NEWLINE_MOST = 64 * 1024,
};

/* --- readiness --- */

static void
said_ready(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];
	struct worker_spec spec;

	instance->said_ready = 1;
	instance_spec(core, slot, &spec);
	if (past_of(core, slot)->watchdog_at_ms == 0 &&
	    spec.notify.watchdog_ms > 0 &&
	    (instance->state == INSTANCE_RUNNING ||
	        instance->state == INSTANCE_READY))
		notify_watch(core, slot);
	instance_check_ready(core, slot);
}

bool
notify_awaited(const struct core *core, int32_t slot)
{
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	return core->instances[slot].said_ready == 0 &&
	       (spec.notify.ready == NOTIFY_MESSAGE ||
	           spec.notify.ready == NOTIFY_NEWLINE);
}

/* --- the watchdog --- */

void
notify_watch(struct core *core, int32_t slot)
{
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	past_make(core, slot)->watchdog_at_ms =
	    clock_after(core->loop.now_ms, spec.notify.watchdog_ms);
	start_limits(core, slot);
}

static void
missed(struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];

	log_warning("watchdog.missed", "worker=%s pid=%d: SIGABRT",
	    instance_label(core, slot), (int)instance->pid);
	instance_stop(core, slot, WHY_WATCHDOG);
}

void
notify_due(struct core *core, int32_t slot, int64_t now_ms)
{
	const struct instance *instance = &core->instances[slot];

	/* what it said may be waiting for us */
	notify_read(core);
	int64_t due_ms = past_of(core, slot)->watchdog_at_ms;
	if ((instance->state == INSTANCE_RUNNING ||
	        instance->state == INSTANCE_READY) &&
	    due_ms != 0 && due_ms <= now_ms)
		missed(core, slot);
}

void
notify_begin(struct core *core, int32_t slot)
{
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	/* whoever has to say that it is ready is watched from then on */
	if (spec.notify.watchdog_ms > 0 && !notify_awaited(core, slot))
		notify_watch(core, slot);
}

/* --- one message --- */

static struct notice *
notice_of(struct core *core, int32_t slot)
{
	if (!instance_has(core, slot, ROW_NOTICE)) {
		core->notices[slot] = (struct notice){.untold = 0};
		core->instances[slot].rows |= ROW_NOTICE;
	}
	return &core->notices[slot];
}

static void
take_status(struct core *core, int32_t slot, const char *status)
{
	struct notice *notice = notice_of(core, slot);

	if (strcmp(notice->status, status) == 0)
		return;
	memcpy(notice->status, status, sizeof(notice->status));
	notice->untold = 1;
	log_debug("worker.status", "worker=%s: %s", instance_label(core, slot),
	    notice->status);
	if (core->notify.timer.slot == 0)
		core_wake(core, &core->notify.timer,
		    clock_after(core->loop.now_ms, NOTIFY_TELL_MS));
}

static void
take_stopping(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];

	instance->said_ready = 0;
	if (instance->state == INSTANCE_READY && notify_awaited(core, slot))
		instance_change(core, slot, EVENT_UNREADY);
}

static void
take_refused(struct core *core, int32_t slot, const char *name)
{
	struct notice *notice = notice_of(core, slot);

	if (notice->warned)
		return;
	notice->warned = 1;
	log_warning("notify.refused",
	    "worker=%s: '%s' is not acted on (docs/notify.md)",
	    instance_label(core, slot), name);
}

static void
take_message(
    struct core *core, int32_t slot, const struct notify_message *message)
{
	const struct instance *instance = &core->instances[slot];
	bool up = instance->state == INSTANCE_RUNNING ||
	          instance->state == INSTANCE_READY;

	if (message->has_status)
		take_status(core, slot, message->status);
	if (message->refused != NULL)
		take_refused(core, slot, message->refused);
	if (message->ready)
		said_ready(core, slot);
	if (message->stopping)
		take_stopping(core, slot);
	bool watched = up && past_of(core, slot)->watchdog_at_ms != 0;
	if (message->alive && watched)
		notify_watch(core, slot);
	if (message->extend_us >= 0)
		instance_extend(core, slot, message->extend_us / 1000);
	if (message->trigger && watched)
		missed(core, slot);
}

/* --- the socket --- */

/* A session is the worker's own; a sender that has ended and was reaped by its
 * parent can't be told any more. */
static int32_t
slot_of_sender(const struct core *core, pid_t pid)
{
	struct owner owner = owner_of(core, pid);
	struct worker_spec spec;

	if (owner.kind != OWNER_INSTANCE && pid > 0)
		owner = owner_of(core, getsid(pid));
	if (owner.kind != OWNER_INSTANCE)
		return CORE_NO_SLOT;
	int32_t slot = (int32_t)owner.index;
	instance_spec(core, slot, &spec);
	return spec.notify.ready == NOTIFY_ABSENT ? CORE_NO_SLOT : slot;
}

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(struct ucred)) +
	           CMSG_SPACE(NOTIFY_FDS_MAX * sizeof(int))];
};

/* Descriptors that came along are not kept: BARRIER=1 waits for just that. */
static void
close_fds(const struct cmsghdr *part)
{
	size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < count; i++) {
		int fd = -1;
		memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
		fd_close(&fd);
	}
}

static pid_t
sender_of(struct msghdr *header)
{
	struct ucred ucred = {.pid = 0};

	for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL;
	     part = CMSG_NXTHDR(header, part))
		if (part->cmsg_level == SOL_SOCKET &&
		    part->cmsg_type == SCM_CREDENTIALS &&
		    part->cmsg_len == CMSG_LEN(sizeof(ucred)))
			memcpy(&ucred, CMSG_DATA(part), sizeof(ucred));
	return ucred.pid;
}

static void
drop_fds(struct msghdr *header)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL;
	     part = CMSG_NXTHDR(header, part))
		if (part->cmsg_level == SOL_SOCKET &&
		    part->cmsg_type == SCM_RIGHTS)
			close_fds(part);
}

/* Of who has ended nobody knows whose it was. That is said once: it may have
 * been the word that somebody waits for. */
static void
drop(struct core *core, pid_t pid, int32_t slot)
{
	bool gone = slot == CORE_NO_SLOT && getsid(pid) == -1;

	core->notify.dropped++;
	if (gone && core->notify.gone++ == 0)
		log_warning("notify.gone",
		    "pid=%d had ended when its message was read, so nobody "
		    "knows of which worker it was: a sender that ends at once "
		    "waits at the barrier (docs/notify.md)",
		    (int)pid);
	log_debug("notify.dropped", "pid=%d: %s", (int)pid,
	    gone                   ? "it had ended"
	    : slot == CORE_NO_SLOT ? "not of a worker that has a notify"
	                           : "too long");
}

/* False: there is none. */
static bool
receive(struct core *core)
{
	static char bytes[NOTIFY_BYTES_MAX];
	static union control control;
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr header = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = sizeof(control)};
	struct notify_message message;
	ssize_t got = recvmsg(
	    core->notify.socket.fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got == -1)
		return errno == EINTR;
	pid_t pid = sender_of(&header);
	int32_t slot = slot_of_sender(core, pid);
	if (slot == CORE_NO_SLOT || (header.msg_flags & MSG_TRUNC) != 0) {
		drop(core, pid, slot);
	} else {
		notify_parse(bytes, (size_t)got, &message);
		take_message(core, slot, &message);
	}
	/* last: whoever waits at a barrier has been heard then */
	drop_fds(&header);
	return true;
}

void
notify_read(struct core *core)
{
	unsigned count = 0;

	if (core->notify.socket.fd == -1)
		return;
	while (count < CORE_MESSAGE_BUDGET && receive(core))
		count++;
}

static void
socket_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	notify_read(source->owner);
}

static int
socket_watch(struct core *core, struct err *err)
{
	core->notify.socket.ready = socket_ready;
	core->notify.socket.owner = core;
	return loop_add(&core->loop, &core->notify.socket, EPOLLIN, err);
}

/* Abstract, so that it needs no writable place; the kernel picks the name. */
static int
socket_open(struct core *core, struct err *err)
{
	const struct sockaddr_un any = {.sun_family = AF_UNIX};
	const int on = 1;

	if (core->notify.socket.fd != -1)
		return 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return err_sys(err, "socket for notifications");
	core->notify.socket.fd = fd;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == -1 ||
	    bind(fd, (const struct sockaddr *)&any, sizeof(any.sun_family)) ==
	        -1)
		(void)err_sys(err, "socket for notifications");
	else if (socket_watch(core, err) == 0)
		return 0;
	fd_close(&core->notify.socket.fd);
	return -1;
}

/* "@name": how sd_notify and its like write an abstract address. */
static int
socket_name(const struct core *core, char *dst, size_t size, struct err *err)
{
	struct sockaddr_un name;
	socklen_t len = sizeof(name);

	if (getsockname(
	        core->notify.socket.fd, (struct sockaddr *)&name, &len) == -1)
		return err_sys(err, "name of the socket for notifications");
	size_t bytes = len - offsetof(struct sockaddr_un, sun_path);
	if (bytes < 2 || bytes >= size)
		return err_set(err, ERR_SYSTEM, "a socket without a name");
	memcpy(dst, name.sun_path, bytes);
	dst[0] = '@';
	dst[bytes] = '\0';
	return 0;
}

/* --- the newline --- */

static void
newline_close(struct core *core, int32_t slot)
{
	struct links *links = &core->links[slot];

	if (!instance_has(core, slot, ROW_LINKS))
		return;
	loop_remove(&core->loop, &links->newline);
	fd_close(&links->newline.fd);
}

static void
newline_ready(struct loop_source *source, uint32_t events)
{
	struct core *core = source->owner;
	struct links *links = CONTAINER_OF(source, struct links, newline);
	int32_t slot = (int32_t)(links - core->links);
	char bytes[512];
	ssize_t got = read(source->fd, bytes, sizeof(bytes));

	(void)events;
	if (got == -1)
		return;
	if (got > 0 && memchr(bytes, '\n', (size_t)got) != NULL) {
		newline_close(core, slot);
		said_ready(core, slot);
		return;
	}
	links->newline_bytes += (uint32_t)got;
	if (got > 0 && links->newline_bytes < NOTIFY_NEWLINE_MOST)
		return;
	newline_close(core, slot);
	log_warning("notify.no-newline",
	    "worker=%s: %s on its descriptor of readiness: it never gets ready",
	    instance_label(core, slot),
	    got == 0 ? "the end, and no newline before," : "much, no newline,");
}

static int
newline_watch(struct core *core, int32_t slot, struct err *err)
{
	struct links *links = links_make(core, slot);

	links->newline.ready = newline_ready;
	links->newline.owner = core;
	return loop_add(&core->loop, &links->newline, EPOLLIN, err);
}

static int
newline_open(struct core *core, int32_t slot, int *ret_write, struct err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) == -1)
		return err_sys(err, "pipe for the worker's readiness");
	struct links *links = links_make(core, slot);
	links->newline = (struct loop_source){.fd = ends[0]};
	links->newline_bytes = 0;
	if (fd_nonblock(ends[0], true, err) == -1 ||
	    newline_watch(core, slot, err) == -1) {
		fd_close(&links->newline.fd);
		fd_close(&ends[1]);
		return -1;
	}
	*ret_write = ends[1];
	return 0;
}

/* --- an instance's life --- */

int
notify_open(struct core *core, int32_t slot, struct spawn_extra *extra,
    int *ret_write, struct err *err)
{
	char name[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
	struct worker_spec spec;

	*ret_write = -1;
	notify_end(core, slot);
	core->instances[slot].rows &= (uint8_t)~ROW_NOTICE;
	core->instances[slot].said_ready = 0;
	instance_spec(core, slot, &spec);
	if (spec.notify.ready == NOTIFY_ABSENT)
		return 0;
	if (socket_open(core, err) == -1 ||
	    socket_name(core, name, sizeof(name), err) == -1)
		return -1;
	if (!spawn_extra_add(extra, "NOTIFY_SOCKET", name) ||
	    (spec.notify.watchdog_ms > 0 &&
	        !spawn_extra_add_number(extra, "WATCHDOG_USEC",
	            (uint64_t)spec.notify.watchdog_ms * 1000)))
		return err_set(err, ERR_CAPACITY, "too many ports");
	if (spec.notify.ready != NOTIFY_NEWLINE)
		return 0;
	return newline_open(core, slot, ret_write, err);
}

void
notify_end(struct core *core, int32_t slot)
{
	if (instance_has(core, slot, ROW_PAST))
		core->pasts[slot].watchdog_at_ms = 0;
	newline_close(core, slot);
}

static void
tell_statuses(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;

	(void)now_ms;
	for (uint32_t slot = 0; slot < core->slots_used; slot++) {
		if (!instance_has(core, (int32_t)slot, ROW_NOTICE) ||
		    core->notices[slot].untold == 0)
			continue;
		core->notices[slot].untold = 0;
		peers_changed(core, (int32_t)slot, EVENT_NONE);
	}
}

void
notify_reset(struct core *core)
{
	core->notify.socket.fd = -1;
	core->notify.timer =
	    (struct loop_timer){.fire = tell_statuses, .owner = core};
}

/* --- after a fault --- */

void
notify_resume(struct core *core)
{
	struct err err = ERR_INIT;

	if (core->notify.socket.fd == -1)
		return;
	if (socket_watch(core, &err) == -1)
		log_error("notify", "%s", err.text);
	core_wake(core, &core->notify.timer, core->loop.now_ms);
}

void
notify_resume_slot(struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];
	struct err err = ERR_INIT;

	if (links_of(core, slot)->newline.fd != -1 &&
	    newline_watch(core, slot, &err) == -1)
		log_error("notify", "%s", err.text);
	if (instance->state != INSTANCE_RUNNING &&
	    instance->state != INSTANCE_READY)
		return;
	if (past_of(core, slot)->watchdog_at_ms == 0)
		notify_begin(core, slot);
}
