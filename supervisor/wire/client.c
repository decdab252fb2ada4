/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "supervisor/wire/client.h"
#include "supervisor/wire/place.h"

void
wire_client_adopt(struct wire_client *client, int fd)
{
	*client = WIRE_CLIENT_INIT;
	client->fd = fd;
}

void
wire_client_close(struct wire_client *client)
{
	fd_close(&client->fd);
	explicit_bzero(&client->hello.key, sizeof(client->hello.key));
	client->greeted = false;
}

static int
wait_ready(int fd, short events, int64_t deadline_ms, struct err *err)
{
	for (;;) {
		int64_t now_ms = clock_ms();
		struct pollfd one = {.fd = fd, .events = events};
		int got = poll(&one, 1, clock_timeout(now_ms, deadline_ms));
		if (got > 0)
			return 0;
		if (got == -1 && errno != EINTR)
			return err_sys(err, "poll the init's socket");
		if (clock_ms() >= deadline_ms)
			return err_set(err, ERR_TIMEOUT,
			    "the supervisor didn't answer in time");
	}
}

/* --- connecting --- */

static int
check_peer(int fd, struct err *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1)
		return err_sys(err, "credentials of the listener");
	if (peer.uid != 0 && peer.uid != geteuid() && geteuid() != 0)
		return err_set(err, ERR_REFUSED,
		    "the listener belongs to uid %lu", (unsigned long)peer.uid);
	return 0;
}

static int
connect_place(const struct place_socket *place, int *ret_fd, struct err *err)
{
	struct sockaddr_un address;
	socklen_t len;

	if (place_address(place, PLACE_INIT_SOCKET, &address, &len, err) == -1)
		return -1;
	int fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return err_sys(err, "socket");
	if (connect(fd, (struct sockaddr *)&address, len) == -1) {
		(void)err_sys(err, "connect '%s'",
		    place->dir[0] != '\0' ? place->dir : address.sun_path + 1);
		if (err != NULL)
			err->kind = ERR_REFUSED;
		fd_close(&fd);
		return -1;
	}
	if (check_peer(fd, err) == -1) {
		fd_close(&fd);
		return -1;
	}
	*ret_fd = fd;
	return 0;
}

/* There is one, and we may not speak to it: err->sys tells the two apart. */
static int
refuse_stranger(const struct err *refused, struct err *err)
{
	(void)err_set(err, ERR_REFUSED, "another user's: %s", refused->text);
	if (err != NULL)
		err->sys = refused->sys;
	return -1;
}

static int
connect_name(const char *name, int *ret_fd, struct err *err)
{
	const char *const *environment = (const char *const *)environ;
	struct place_socket place;
	struct err refused = ERR_INIT;

	for (unsigned i = 0;
	     place_candidate(name, environment, i, &place, NULL) == 0; i++) {
		struct err one = ERR_INIT;
		if (connect_place(&place, ret_fd, &one) == 0)
			return 0;
		if (one.sys == EACCES)
			refused = one;
	}
	if (refused.sys == EACCES)
		return refuse_stranger(&refused, err);
	if (name[0] == '\0')
		return err_set(
		    err, ERR_REFUSED, "none listens where $REEVE_SOCKET says");
	return err_set(err, ERR_REFUSED,
	    "no supervisor of '%s' listens on this host", name);
}

/* Without a name: the only directory in /run/reeve (or the user's own) whose
 * socket answers. `refused` is why another user's doesn't. */
static int
connect_only(const char *parent, int *ret_fd, char *others, size_t size,
    struct err *refused)
{
	DIR *dir = opendir(parent);
	int found = -1, count = 0;

	if (dir == NULL)
		return 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		struct place_socket place = {.explicit_dir = true};
		int fd = -1;
		struct err one = ERR_INIT;
		if (entry->d_name[0] == '.' ||
		    text_format(place.dir, sizeof(place.dir), NULL, "%s/%s",
		        parent, entry->d_name) == -1)
			continue;
		if (connect_place(&place, &fd, &one) == -1) {
			if (one.sys == EACCES)
				*refused = one;
			continue;
		}
		size_t used = strlen(others);
		if (text_format(others + used, size - used, NULL, " %s",
		        entry->d_name) == -1)
			others[used] = '\0'; /* a long list may be cut */
		count++;
		if (found == -1)
			found = fd;
		else
			fd_close(&fd);
	}
	(void)closedir(dir);
	if (count == 1)
		*ret_fd = found;
	else
		fd_close(&found);
	return count;
}

static const char *
environment_value(const char *name)
{
	size_t len = strlen(name);

	for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
		if (strncmp(*entry, name, len) == 0 && (*entry)[len] == '=')
			return *entry + len + 1;
	return NULL;
}

/* The NAME of one line of /proc/net/unix that ends in "@reeve/NAME/UID/FILE",
 * for the init's socket of this user. */
static bool
abstract_name(char *line, char **ret)
{
	char end[64];
	char *name = strstr(line, " @reeve/");

	if (name == NULL || text_format(end, sizeof(end), NULL, "/%u/%s\n",
	                        (unsigned)getuid(), PLACE_INIT_SOCKET) == -1)
		return false;
	name += strlen(" @reeve/");
	size_t len = strlen(name), end_len = strlen(end);

	if (len <= end_len || strcmp(name + len - end_len, end) != 0)
		return false;
	name[len - end_len] = '\0';
	*ret = name;
	return strchr(name, '/') == NULL;
}

/* Where no directory can be written, supervisors listen at abstract names. */
static int
connect_abstract(int *ret_fd, char *others, size_t size)
{
	FILE *sockets = fopen("/proc/net/unix", "re");
	char *line = NULL, *name = NULL;
	char last[PLACE_DIR_MAX] = "";
	size_t room = 0;
	int count = 0;

	if (sockets == NULL)
		return 0;
	while (getline(&line, &room, sockets) != -1) {
		/* connections have the listener's name, too */
		if (!abstract_name(line, &name) || strcmp(name, last) == 0 ||
		    text_format(last, sizeof(last), NULL, "%s", name) == -1)
			continue;
		size_t used = strlen(others);

		if (text_format(
		        others + used, size - used, NULL, " %s", name) == -1)
			others[used] = '\0';
		count++;
	}
	free(line);
	(void)fclose(sockets);
	if (count == 1 && connect_name(last, ret_fd, NULL) == -1)
		return 0;
	return count;
}

static int
connect_any(int *ret_fd, struct err *err)
{
	char others[256] = "", own[PLACE_DIR_MAX];
	struct err refused = ERR_INIT;
	const char *runtime = environment_value("XDG_RUNTIME_DIR");
	int count = connect_only(
	    "/run/reeve", ret_fd, others, sizeof(others), &refused);

	if (count == 0 && runtime != NULL &&
	    text_format(own, sizeof(own), NULL, "%s/reeve", runtime) == 0)
		count =
		    connect_only(own, ret_fd, others, sizeof(others), &refused);
	if (count == 0)
		count = connect_abstract(ret_fd, others, sizeof(others));
	if (count == 1)
		return 0;
	if (count > 1)
		return err_set(err, ERR_INPUT,
		    "several supervisors run here, name one of:%s", others);
	if (refused.sys == EACCES)
		return refuse_stranger(&refused, err);
	return err_set(err, ERR_REFUSED, "none listens on this host");
}

int
wire_client_connect(struct wire_client *client, const char *name,
    int64_t deadline_ms, struct err *err)
{
	union wire_message message;
	int fds[WIRE_FDS_MAX], fd = -1, rc;

	if (name != NULL && *name != '\0')
		rc = connect_name(name, &fd, err);
	else if (environment_value("REEVE_SOCKET") != NULL)
		rc = connect_name("", &fd, err);
	else
		rc = connect_any(&fd, err);
	if (rc == -1)
		return -1;
	wire_client_adopt(client, fd);
	while (!client->greeted)
		if (wire_client_wait(client, &message, fds, deadline_ms, err) ==
		    -1) {
			wire_client_close(client);
			return err_wrap(err, "greeting of the supervisor");
		}
	return 0;
}

/* --- messages --- */

static int
send_message(struct wire_client *client, const union wire_message *message,
    int fd, struct err *err)
{
	return fd_send(client->fd, message, message->head.length, &fd,
	    fd >= 0 ? 1 : 0, err);
}

int
wire_client_next(struct wire_client *client, union wire_message *ret,
    int ret_fds[WIRE_FDS_MAX], struct err *err)
{
	struct err local = ERR_INIT;

	for (;;) {
		ssize_t got = fd_receive(client->fd, ret, sizeof(*ret), ret_fds,
		    WIRE_FDS_MAX, &local);
		if (got == -1 && local.sys == EAGAIN)
			return 0;
		if (got == 0)
			return err_set(err, ERR_SYSTEM,
			    "the supervisor closed the connection");
		if (got == -1 || wire_check(ret, (size_t)got, &local) == -1) {
			for (int i = 0; i < WIRE_FDS_MAX; i++)
				fd_close(&ret_fds[i]);
			if (err != NULL)
				*err = local;
			return -1;
		}
		if (ret->head.type == WIRE_PING) {
			/* a full queue means that it hears from us anyway */
			wire_prepare(ret, WIRE_PONG, ret->head.sequence);
			(void)!send_message(client, ret, -1, NULL);
			continue;
		}
		if (ret->head.type == WIRE_HELLO) {
			client->hello = ret->hello;
			client->greeted = true;
		}
		return 1;
	}
}

int
wire_client_wait(struct wire_client *client, union wire_message *ret,
    int ret_fds[WIRE_FDS_MAX], int64_t deadline_ms, struct err *err)
{
	for (;;) {
		int rc = wire_client_next(client, ret, ret_fds, err);
		if (rc != 0)
			return rc;
		if (wait_ready(client->fd, POLLIN, deadline_ms, err) == -1)
			return -1;
	}
}

int
wire_client_send(struct wire_client *client, enum wire_type type,
    union wire_message *message, int fd, uint32_t *ret_sequence,
    struct err *err)
{
	if (++client->sequence == 0)
		client->sequence = 1;
	wire_prepare(message, type, client->sequence);
	if (send_message(client, message, fd, err) == -1)
		return -1;
	if (ret_sequence != NULL)
		*ret_sequence = client->sequence;
	return 0;
}

int
wire_client_plan(struct wire_client *client, int memfd, uint32_t *ret_sequence,
    struct err *err)
{
	union wire_message message = {.head = {0}};

	return wire_client_send(
	    client, WIRE_PLAN, &message, memfd, ret_sequence, err);
}

int
wire_client_order(struct wire_client *client, enum wire_type type,
    const char *name, int32_t replica, int32_t value, struct err *err)
{
	union wire_message message;

	memset(&message, 0, sizeof(message));
	if (text_copy(message.order.name, sizeof(message.order.name),
	        name == NULL ? "" : name, err) == -1)
		return -1;
	message.order.replica = replica;
	message.order.value = value;
	return wire_client_send(client, type, &message, -1, NULL, err);
}

/* --- whole conversations, for commands --- */

static void
close_all(int fds[WIRE_FDS_MAX])
{
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		fd_close(&fds[i]);
}

static int
await_reply(struct wire_client *client, uint32_t sequence,
    struct wire_reply *ret, int *ret_fd, int64_t deadline_ms, struct err *err)
{
	union wire_message message;
	int fds[WIRE_FDS_MAX];

	for (;;) {
		if (wire_client_wait(client, &message, fds, deadline_ms, err) ==
		    -1)
			return -1;
		if (message.head.type == WIRE_REPLY &&
		    message.head.sequence == sequence)
			break;
		close_all(fds);
	}
	if (ret_fd != NULL) {
		*ret_fd = fds[0];
		fds[0] = -1;
	}
	close_all(fds);
	*ret = message.reply;
	return 0;
}

int
wire_client_ask(struct wire_client *client, enum wire_type type,
    union wire_message *message, struct wire_reply *ret, int64_t deadline_ms,
    struct err *err)
{
	uint32_t sequence = 0;

	if (wire_client_send(client, type, message, -1, &sequence, err) == -1)
		return -1;
	return await_reply(client, sequence, ret, NULL, deadline_ms, err);
}

int
wire_client_snapshot(struct wire_client *client, wire_each_fn *each, void *arg,
    int64_t deadline_ms, struct err *err)
{
	union wire_message message = {.head = {0}};
	struct wire_reply reply;
	int fds[WIRE_FDS_MAX];
	uint64_t number = 0;

	if (wire_client_ask(client, WIRE_GET_SNAPSHOT, &message, &reply,
	        deadline_ms, err) == -1)
		return -1;
	if (reply.ok == 0)
		return err_set(err, ERR_REFUSED, "%s", reply.text);
	for (;;) {
		if (wire_client_wait(client, &message, fds, deadline_ms, err) ==
		    -1)
			return -1;
		close_all(fds);
		if (message.head.type == WIRE_SNAPSHOT_BEGIN)
			number = message.snapshot.number;
		if (number == 0)
			continue;
		if (message.head.type == WIRE_SNAPSHOT_BEGIN ||
		    message.head.type == WIRE_SNAPSHOT_END ||
		    (message.head.type == WIRE_WORKER &&
		        message.worker.snapshot == number) ||
		    (message.head.type == WIRE_INSTANCE &&
		        message.instance.snapshot == number))
			each(arg, &message);
		if (message.head.type == WIRE_SNAPSHOT_END &&
		    message.snapshot.number == number)
			return 0;
	}
}
