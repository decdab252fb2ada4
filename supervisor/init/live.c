/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "supervisor/init/live.h"
#include "supervisor/wire/messages.h"

static const char alive[] = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n"
                            "Content-Length: 3\r\nConnection: close\r\n"
                            "\r\nok\n";
static const char stuck[] =
    "HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
    "Content-Length: 27\r\nConnection: close\r\n"
    "\r\nthe init does not answer...";

struct client {
	int fd; /* -1: free */
	int64_t until_ms;
	unsigned matched; /* of the empty line that ends a request's head */
};

struct live {
	struct client clients[LIVE_CLIENTS];
	uint32_t sequence;
	bool closed; /* the init has gone */
};

/* False when no answer to this question came in time. */
static bool
ask_init(struct live *live)
{
	union wire_message message;
	struct pollfd wire = {.fd = LIVE_WIRE_FD, .events = POLLIN};
	int64_t until_ms = clock_after(clock_ms(), LIVE_ASK_MS);

	wire_prepare(&message, WIRE_LIVE, ++live->sequence);
	if (fd_send(LIVE_WIRE_FD, &message, message.head.length, NULL, 0,
	        NULL) == -1)
		return false;
	for (;;) {
		int64_t now_ms = clock_ms();
		if (now_ms >= until_ms ||
		    poll(&wire, 1, clock_timeout(now_ms, until_ms)) < 0)
			return false;
		ssize_t got = fd_receive(
		    LIVE_WIRE_FD, &message, sizeof(message), NULL, 0, NULL);
		if (got == 0) {
			live->closed = true;
			return false;
		}
		if (got > 0 && wire_check(&message, (size_t)got, NULL) == 0 &&
		    message.head.type == WIRE_REPLY &&
		    message.head.sequence == live->sequence)
			return message.reply.ok != 0;
	}
}

static void
drop(struct client *client)
{
	fd_close(&client->fd);
}

static void
answer(struct live *live, struct client *client)
{
	bool ok = ask_init(live);

	/* so short that it fits in any socket's buffer */
	(void)!send(client->fd, ok ? alive : stuck,
	    ok ? sizeof(alive) - 1 : sizeof(stuck) - 1,
	    MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)shutdown(client->fd, SHUT_WR);
	drop(client);
}

static void
read_request(struct live *live, struct client *client)
{
	static const char end[] = "\r\n\r\n";
	char bytes[2048];
	ssize_t got = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (got == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		drop(client);
		return;
	}
	for (ssize_t i = 0; i < got; i++) {
		if (bytes[i] == end[client->matched])
			client->matched++;
		else
			client->matched = bytes[i] == '\r';
		if (client->matched == sizeof(end) - 1) {
			answer(live, client);
			return;
		}
	}
}

static void
accept_one(struct live *live)
{
	int fd =
	    accept4(LIVE_LISTEN_FD, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (size_t i = 0; fd != -1 && i < ARRAY_LEN(live->clients); i++) {
		struct client *client = &live->clients[i];
		if (client->fd != -1)
			continue;
		*client = (struct client){.fd = fd,
		    .until_ms = clock_after(clock_ms(), LIVE_READ_MS)};
		return;
	}
	fd_close(&fd);
}

/* What to wait for; returns the number of entries. */
static nfds_t
gather(const struct live *live, struct pollfd *fds, int64_t *ret_until_ms)
{
	nfds_t count = 0;
	size_t used = 0;

	*ret_until_ms = CLOCK_NEVER;
	fds[count++] = (struct pollfd){.fd = LIVE_WIRE_FD, .events = POLLIN};
	for (size_t i = 0; i < ARRAY_LEN(live->clients); i++) {
		const struct client *client = &live->clients[i];
		fds[count++] =
		    (struct pollfd){.fd = client->fd, .events = POLLIN};
		if (client->fd == -1)
			continue;
		used++;
		*ret_until_ms = MIN(*ret_until_ms, client->until_ms);
	}
	fds[count++] = (struct pollfd){
	    .fd = used < LIVE_CLIENTS ? LIVE_LISTEN_FD : -1, .events = POLLIN};
	return count;
}

/* The init says hello, and else only answers. */
static void
read_wire(struct live *live)
{
	union wire_message message;

	if (fd_receive(
	        LIVE_WIRE_FD, &message, sizeof(message), NULL, 0, NULL) == 0)
		live->closed = true;
}

static void
turn(struct live *live)
{
	struct pollfd fds[LIVE_CLIENTS + 2];
	int64_t until_ms;
	nfds_t count = gather(live, fds, &until_ms);
	int64_t now_ms = clock_ms();

	if (poll(fds, count, clock_timeout(now_ms, until_ms)) == -1 &&
	    errno != EINTR)
		return;
	now_ms = clock_ms();
	if (fds[0].revents != 0)
		read_wire(live);
	for (size_t i = 0; i < ARRAY_LEN(live->clients); i++) {
		struct client *client = &live->clients[i];
		if (client->fd == -1)
			continue;
		if (fds[1 + i].revents != 0)
			read_request(live, client);
		else if (now_ms >= client->until_ms)
			drop(client);
	}
	if (fds[count - 1].revents != 0)
		accept_one(live);
}

int
live_main(void)
{
	struct live live = {.sequence = 0};

	(void)prctl(PR_SET_NAME, "reeve-live");
	for (size_t i = 0; i < ARRAY_LEN(live.clients); i++)
		live.clients[i].fd = -1;
	while (!live.closed)
		turn(&live);
	return EXIT_PASSED;
}
