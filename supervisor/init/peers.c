/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/finish.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/recover.h"

enum {
	PEERS_BACKLOG = 16
};

/* --- sending --- */

static void
want_out(struct core *core, struct peer *peer, bool wanted)
{
	if (peer->wants_out == wanted || !peer->source.added)
		return;
	peer->wants_out = wanted;
	(void)!loop_change(&core->loop, &peer->source,
	    wanted ? EPOLLIN | EPOLLOUT : EPOLLIN, NULL);
}

bool
peer_send(struct core *core, struct peer *peer,
    const union wire_message *message, int fd)
{
	struct err err = ERR_INIT;

	if (peer->source.fd == -1)
		return false;
	if (fd_send(peer->source.fd, message, message->head.length, &fd,
	        fd >= 0 ? 1 : 0, &err) == 0)
		return true;
	/* gone or full: reading tells which */
	if (err.sys == EAGAIN || err.sys == ENOBUFS)
		want_out(core, peer, true);
	return false;
}

static void
peer_changed(
    struct core *core, struct peer *peer, const union wire_message *message)
{
	if (peer->source.fd == -1 || !peer->watching)
		return;
	/* nothing may overtake a snapshot */
	if (peer->snapshot_part != 0) {
		peer->dirty = true;
		return;
	}
	if (!peer_send(core, peer, message, -1))
		peer->dirty = true;
}

static bool
anybody_watches(const struct core *core)
{
	if (core->operate.peer.source.fd != -1)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(core->clients); i++)
		if (core->clients[i].source.fd != -1 &&
		    core->clients[i].watching)
			return true;
	return false;
}

static void
tell_all(struct core *core, const union wire_message *message)
{
	peer_changed(core, &core->operate.peer, message);
	for (size_t i = 0; i < ARRAY_LEN(core->clients); i++)
		peer_changed(core, &core->clients[i], message);
}

void
peers_changed(struct core *core, int32_t slot, enum instance_event event)
{
	union wire_message message;

	if (!anybody_watches(core))
		return;
	snapshot_instance(core, slot, event, &message);
	tell_all(core, &message);
}

void
peers_run_changed(struct core *core, uint32_t run)
{
	union wire_message message;

	if (!anybody_watches(core))
		return;
	snapshot_worker(core, run, 0, &message);
	tell_all(core, &message);
}

void
peers_text(struct core *core, enum wire_type type, int level, const char *event,
    const char *text)
{
	union wire_message message;

	memset(&message.text, 0, sizeof(message.text));
	wire_prepare(&message, type, 0);
	message.text.level = (uint32_t)level;
	(void)snprintf(
	    message.text.event, sizeof(message.text.event), "%s", event);
	(void)snprintf(
	    message.text.text, sizeof(message.text.text), "%s", text);
	tell_all(core, &message);
}

struct peer *
peers_operator(struct core *core)
{
	return core->operate.peer.source.fd == -1 ? NULL : &core->operate.peer;
}

/* --- one connection --- */

static void
peer_greet(struct core *core, struct peer *peer)
{
	union wire_message message;
	struct wire_hello *hello = &message.hello;

	memset(hello, 0, sizeof(*hello));
	wire_prepare(&message, WIRE_HELLO, 0);
	if (peer->is_operator)
		hello->key = core->key;
	hello->init_pid = core->pid;
	hello->max_workers = core->max_workers;
	hello->started_wall_ms = core->started_wall_ms;
	hello->plan_number = core->plan_number;
	hello->upgrades = core->kept == NULL ? 0 : core->kept->upgrades;
	(void)snprintf(
	    hello->version, sizeof(hello->version), "%s", REEVE_VERSION);
	memcpy(hello->name, core->name, sizeof(hello->name));
	memcpy(hello->socket_dir, core->place.dir, sizeof(core->place.dir));
	(void)peer_send(core, peer, &message, -1);
}

void
peer_close(struct core *core, struct peer *peer)
{
	upgrade_forget(core, peer);
	loop_remove(&core->loop, &peer->source);
	fd_close(&peer->source.fd);
	*peer = (struct peer){
	    .source = {.fd = -1}, .is_operator = peer->is_operator};
}

/* False: the connection is over. */
static bool
peer_read(struct core *core, struct peer *peer)
{
	union wire_message message;
	struct err err = ERR_INIT;
	int fds[1];

	for (int i = 0; i < CORE_MESSAGE_BUDGET; i++) {
		ssize_t got = fd_receive(peer->source.fd, &message,
		    sizeof(message), fds, ARRAY_LEN(fds), &err);
		if (got == -1 && err.sys == EAGAIN)
			return true;
		if (got == 0)
			return false;
		if (got == -1 ||
		    wire_check(&message, (size_t)got, &err) == -1) {
			log_warning("peer.garbage", "%s%s",
			    peer->is_operator ? "operator: " : "", err.text);
			fd_close(&fds[0]);
			return false;
		}
		if (peer->is_operator)
			operator_heard(core);
		order_handle(core, peer, &message, fds[0]);
		fd_close(&fds[0]);
		if (peer->source.fd == -1)
			return true; /* closed meanwhile */
	}
	return true;
}

static void
peer_ready(struct loop_source *source, uint32_t events)
{
	struct core *core = source->owner;
	struct peer *peer = CONTAINER_OF(source, struct peer, source);

	if ((events & EPOLLOUT) != 0) {
		want_out(core, peer, false);
		if (peer->dirty && peer->watching && peer->snapshot_part == 0)
			snapshot_begin(core, peer);
		snapshot_pump(core, peer);
		journal_pump(core, peer);
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 &&
	    !peer_read(core, peer)) {
		bool was_operator = peer->is_operator;
		peer_close(core, peer);
		if (was_operator)
			operator_unwired(core);
	}
	finish_step(core);
}

int
peer_open(struct core *core, struct peer *peer, int fd, struct err *err)
{
	bool is_operator = peer == &core->operate.peer;

	*peer = (struct peer){
	    .source = {.fd = fd, .ready = peer_ready, .owner = core},
	    .is_operator = is_operator,
	    .watching = is_operator,
	    .full_control = true};
	if (loop_add(&core->loop, &peer->source, EPOLLIN, err) == -1) {
		peer->source.fd = -1;
		return -1;
	}
	peer_greet(core, peer);
	if (is_operator) {
		snapshot_begin(core, peer);
		snapshot_pump(core, peer);
	}
	return 0;
}

/* --- the control socket --- */

/* As its primary group or as any other. Who is in more than GROUPS_MAX of them
 * (or a kernel before 4.13) is known by the primary one only. */
static bool
in_group(int fd, const struct ucred *who, int64_t gid)
{
	enum {
		GROUPS_MAX = 1024
	};
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);

	if (who->gid == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == -1)
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static bool
may_control(const struct core *core, int fd, bool *ret_full)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == -1)
		return false;
	*ret_full = who.uid == 0 || who.uid == geteuid();
	return *ret_full || (core->settings.control_gid >= 0 &&
	                        in_group(fd, &who, core->settings.control_gid));
}

static void
accept_one(struct core *core, int fd)
{
	struct err err = ERR_INIT;
	bool full = false;

	if (!may_control(core, fd, &full)) {
		log_warning("control.refused", "not root, not our own user");
		fd_close(&fd);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(core->clients); i++) {
		struct peer *peer = &core->clients[i];
		if (peer->source.fd != -1)
			continue;
		if (peer_open(core, peer, fd, &err) == -1) {
			log_error("control.accept", "%s", err.text);
			fd_close(&fd);
			return;
		}
		peer->full_control = full;
		return;
	}
	log_warning("control.full", "more than %d clients", CORE_CLIENTS_MAX);
	fd_close(&fd);
}

static void
control_ready(struct loop_source *source, uint32_t events)
{
	struct core *core = source->owner;

	(void)events;
	for (int i = 0; i < PEERS_BACKLOG; i++) {
		int fd = accept4(
		    source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd == -1)
			return;
		accept_one(core, fd);
	}
}

/* A socket that is there but not listened on is left over. */
static int
bind_socket(int fd, const struct sockaddr_un *address, socklen_t len)
{
	const struct sockaddr *to = (const void *)address;

	if (bind(fd, to, len) == 0)
		return 0;
	if (errno != EADDRINUSE || address->sun_path[0] == '\0')
		return -1;
	/* Init and logger: only the init's own socket says that it lives. */
	if (place_lives(address, len, SOCK_SEQPACKET)) {
		errno = EADDRINUSE;
		return -1;
	}
	if (unlink(address->sun_path) == -1)
		return -1;
	return bind(fd, to, len);
}

static int
listen_at(const struct core *core, const struct place_socket *place, int type,
    const char *file, struct err *err)
{
	struct sockaddr_un address;
	socklen_t len;

	if (place_address(place, file, &address, &len, err) == -1)
		return -1;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return err_sys(err, "socket");
	if (bind_socket(fd, &address, len) == -1 ||
	    listen(fd, PEERS_BACKLOG) == -1) {
		(void)err_sys(err, "listen on '%s/%s'",
		    place->dir[0] != '\0' ? place->dir : "@reeve", file);
		fd_close(&fd);
		return -1;
	}
	if (place->dir[0] != '\0') {
		bool group = core->settings.control_gid >= 0;
		/* best effort: peers are checked at accept all the same */
		if (group)
			(void)!chown(address.sun_path, (uid_t)-1,
			    (gid_t)core->settings.control_gid);
		(void)!chmod(address.sun_path, group ? 0660 : 0600);
	}
	return fd;
}

static int
listen_both(
    struct core *core, const struct place_socket *place, struct err *err)
{
	int control =
	    listen_at(core, place, SOCK_SEQPACKET, PLACE_INIT_SOCKET, err);

	if (control == -1)
		return -1;
	int logs = listen_at(core, place, SOCK_STREAM, PLACE_LOGS_SOCKET, err);
	core->control = (struct loop_source){
	    .fd = control, .ready = control_ready, .owner = core};
	if (logs == -1 ||
	    loop_add(&core->loop, &core->control, EPOLLIN, err) == -1) {
		fd_close(&core->control.fd);
		fd_close(&logs);
		return -1;
	}
	core->logger.listen_fd = logs;
	core->place = *place;
	core->placed = true;
	return 0;
}

bool
peers_listen(struct core *core)
{
	struct place_socket place;
	struct err err = ERR_INIT;

	if (core->placed)
		return true;
	if (place_choose(core->name, core->environment, &place, &err) == 0 &&
	    listen_both(core, &place, &err) == 0) {
		if (place.explicit_dir && place.dir[0] == '\0')
			log_warning("control.place",
			    "the directory in REEVE_SOCKET can't be used: "
			    "listening at the abstract name instead");
		return true;
	}
	/* Somebody supervises these workers already: not a second time. */
	if (err.sys == EADDRINUSE) {
		log_error("control.taken",
		    "%s: a supervisor of '%s' runs here already; stop it, or "
		    "give this one another directory in REEVE_SOCKET",
		    err.text, core->name);
		return false;
	}
	log_warning("control.place", "%s", err.text);
	place.dir[0] = '\0';
	(void)snprintf(place.name, sizeof(place.name), "%s", core->name);
	if (listen_both(core, &place, &err) == -1)
		log_error("control.none",
		    "%s: this supervisor can't be asked anything", err.text);
	return true;
}

int
peers_listen_guard(struct core *core, struct err *err)
{
	if (!core->placed)
		return err_set(err, ERR_SYSTEM, "there is no place for it");
	return listen_at(
	    core, &core->place, SOCK_SEQPACKET, PLACE_GUARD_SOCKET, err);
}

void
peers_resume(struct core *core)
{
	struct err err = ERR_INIT;

	core->control.ready = control_ready;
	core->control.owner = core;
	if (core->control.fd != -1 &&
	    loop_add(&core->loop, &core->control, EPOLLIN, &err) == -1)
		log_error("control.none", "%s", err.text);
}

void
peers_close(struct core *core)
{
	struct sockaddr_un address;
	socklen_t len;
	static const char *const files[] = {
	    PLACE_INIT_SOCKET, PLACE_LOGS_SOCKET, PLACE_GUARD_SOCKET};

	for (size_t i = 0; i < ARRAY_LEN(core->clients); i++)
		if (core->clients[i].source.fd != -1)
			peer_close(core, &core->clients[i]);
	if (!core->placed)
		return;
	loop_remove(&core->loop, &core->control);
	fd_close(&core->control.fd);
	fd_close(&core->logger.listen_fd);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (core->place.dir[0] != '\0' &&
		    place_address(
		        &core->place, files[i], &address, &len, NULL) == 0)
			(void)unlink(address.sun_path);
	core->placed = false;
}
