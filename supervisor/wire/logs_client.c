/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/wire/logs_client.h"
#include "supervisor/wire/place.h"

/* Waits until `fd` is ready for `events`. */
static int
await(int fd, short events, int64_t deadline_ms, struct err *err)
{
	for (;;) {
		struct pollfd ready = {.fd = fd, .events = events};
		int64_t now_ms = clock_ms();
		int got;

		if (deadline_ms != CLOCK_NEVER && now_ms >= deadline_ms)
			return err_set(err, ERR_TIMEOUT,
			    "the supervisor's logger doesn't answer");
		got = poll(&ready, 1, clock_timeout(now_ms, deadline_ms));
		if (got == 1)
			return 0;
		if (got == -1 && errno != EINTR)
			return err_sys(err, "poll");
	}
}

static int64_t
deadline_of(int timeout_ms)
{
	return timeout_ms < 0 ? CLOCK_NEVER
	                      : clock_after(clock_ms(), timeout_ms);
}

/* An abstract name is anybody's to take: only root and our own user may be what
 * we believe. Root may look at anybody's supervisor. */
static int
check_peer(int fd, struct err *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1)
		return err_sys(err, "credentials of the logger");
	if (peer.uid != 0 && geteuid() != 0 && peer.uid != geteuid())
		return err_set(err, ERR_REFUSED,
		    "the logger belongs to user %lu", (unsigned long)peer.uid);
	return 0;
}

int
logs_connect(const struct sockaddr_un *address, socklen_t len,
    const struct logs_request *request, int timeout_ms, struct err *err)
{
	struct logs_request whole = *request;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return err_sys(err, "socket");
	whole.magic = LOGS_MAGIC;
	if (connect(fd, (const struct sockaddr *)address, len) == -1) {
		(void)err_sys(err, "connect to the supervisor's logger");
		goto fail;
	}
	if (check_peer(fd, err) == -1)
		goto fail;
	/* fresh, so it has room for these few bytes */
	if (await(fd, POLLOUT, deadline_of(timeout_ms), err) == -1)
		goto fail;
	if (send(fd, &whole, sizeof(whole), MSG_NOSIGNAL) !=
	    (ssize_t)sizeof(whole)) {
		(void)err_sys(err, "ask the supervisor's logger");
		goto fail;
	}
	return fd;
fail:
	fd_close(&fd);
	return -1;
}

int
logs_open(const char *name, const char *const *environment,
    const struct logs_request *request, int timeout_ms, struct err *err)
{
	struct place_socket place;
	struct sockaddr_un address;
	socklen_t len = 0;
	struct err why = ERR_INIT;

	for (unsigned i = 0;
	     place_candidate(name, environment, i, &place, &why) == 0; i++) {
		if (place_address(
		        &place, PLACE_LOGS_SOCKET, &address, &len, &why) == -1)
			continue;
		int fd = logs_connect(&address, len, request, timeout_ms, &why);
		if (fd != -1)
			return fd;
	}
	return err_set(err, ERR_SYSTEM,
	    "no supervisor of '%s' serves its logs here", name);
}

/* Returns the bytes read: `len`, or 0 when the stream ended before them. */
static ssize_t
read_exactly(
    int fd, void *bytes, size_t len, int64_t deadline_ms, struct err *err)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = recv(fd, (char *)bytes + got, len - got, 0);
		if (n > 0) {
			got += (size_t)n;
			continue;
		}
		if (n == 0 && got == 0)
			return 0;
		if (n == 0)
			return err_set(err, ERR_REFUSED,
			    "the supervisor's logger stopped within a record");
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(err, "read from the logger");
		if (await(fd, POLLIN, deadline_ms, err) == -1)
			return -1;
	}
	return (ssize_t)got;
}

int
logs_next(int fd, struct logs_record *ret_record, char ret_text[LOGS_TEXT_MAX],
    int timeout_ms, struct err *err)
{
	int64_t deadline_ms = deadline_of(timeout_ms);
	struct logs_record record;
	ssize_t n = read_exactly(fd, &record, sizeof(record), deadline_ms, err);

	if (n <= 0)
		return (int)n;
	if (record.magic != LOGS_MAGIC || record.len > LOGS_TEXT_MAX)
		return err_set(err, ERR_REFUSED,
		    "the supervisor speaks another version of the protocol");
	if (record.len > 0) {
		n = read_exactly(fd, ret_text, record.len, deadline_ms, err);
		if (n == 0)
			return err_set(err, ERR_REFUSED,
			    "the supervisor's logger stopped within a record");
		if (n == -1)
			return -1;
	}
	record.worker[WORKER_NAME_MAX] = '\0';
	*ret_record = record;
	return 1;
}
