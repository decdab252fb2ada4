/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "supervisor/init/logserve.h"
#include "supervisor/wire/logs_client.h"
#include "tests/fuzz/fuzz.h"

/*
 * A client of the logger: its first byte says how many of the others come at a
 * time. Meanwhile lines are added, so that rings turn over under its feet.
 * Whatever it asks for, it gets whole records of what it may have asked for.
 */
enum {
	INSTANCES = 3,
	RING = 4096,
	TURNS = 8,
	LINES = 40,
	WAIT_MS = 1000,
	MORE = 256, /* after the request: the server reads a little a turn */
};

static struct keep keep;
static struct loop loop;
static struct loop_timer *heap[4];
static struct logserve server;
static struct sockaddr_un place = {.sun_family = AF_UNIX};
static socklen_t place_len = sizeof(place);

static void
add_lines(unsigned count)
{
	static const char text[] = "a line of a worker's";

	for (unsigned i = 0; i < count; i++) {
		struct keep_instance *instance = &keep.instances[i % INSTANCES];
		struct keep_line line = {.len = (uint32_t)(i % sizeof(text)),
		    .stream = 1 + i % 2,
		    .pid = instance->pid,
		    .wall_ms = i};
		keep_add(&keep, instance, LINES, &line, text);
		logserve_added(&server, instance);
	}
}

static void
begin(void)
{
	struct err err = ERR_INIT;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* a name of the kernel's choice */
	int rc =
	    bind(fd, (const struct sockaddr *)&place, sizeof(place.sun_family));
	assert(rc == 0);
	rc = getsockname(fd, (struct sockaddr *)&place, &place_len);
	assert(rc == 0);
	rc = listen(fd, 4);
	assert(rc == 0);
	rc = loop_init(&loop, heap, ARRAY_LEN(heap), &err);
	assert(rc == 0);
	rc = keep_init(&keep, INSTANCES, RING, &err);
	assert(rc == 0);
	rc = logserve_init(&server, &loop, fd, &keep, &err);
	assert(rc == 0);
	for (uint32_t i = 0; i < INSTANCES; i++) {
		struct keep_instance *instance =
		    keep_instance(&keep, i, 1, i < 2 ? "a" : "b", i % 2);
		keep_started(instance, 10 + i);
		keep_started(instance, 20 + i);
	}
	add_lines(2 * LINES);
}

static void
turn(void)
{
	struct err err = ERR_INIT;
	int rc = loop_turn(&loop, 0, &err);

	assert(rc == 0);
	logserve_pump(&server);
}

/* Of a whole request that is one; NULL: there was none. */
static const struct logs_request *
request_of(const uint8_t *bytes, size_t len)
{
	static struct logs_request request;

	if (len < sizeof(request))
		return NULL;
	memcpy(&request, bytes, sizeof(request));
	request.worker[WORKER_NAME_MAX] = '\0';
	return request.magic == LOGS_MAGIC ? &request : NULL;
}

static void
read_answer(int fd, const struct logs_request *request)
{
	static char text[LOGS_TEXT_MAX];
	struct logs_record record;
	struct err err = ERR_INIT;
	int rc;

	/* nothing more comes: what is there is all */
	while ((rc = logs_next(fd, &record, text, WAIT_MS, &err)) == 1) {
		assert(request != NULL);
		assert(request->worker[0] == '\0' ||
		       text_equal(request->worker, record.worker));
		assert(request->replica == -1 ||
		       (uint32_t)request->replica == record.replica);
		assert((record.flags & LOGS_LOST) != 0 ||
		       record.wall_ms >= request->since_ms);
		assert((record.flags & LOGS_LOST) == 0 || record.len == 0);
	}
	assert(rc == 0 || err.kind != ERR_TIMEOUT);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static bool begun;

	if (!begun)
		begin();
	begun = true;
	if (len < 2)
		return 0;
	size_t piece = MAX((size_t)bytes[0], (size_t)1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc = connect(fd, (const struct sockaddr *)&place, place_len);
	assert(rc == 0);
	bytes++;
	len = MIN(len - 1, sizeof(struct logs_request) + MORE);
	for (size_t at = 0, turns = 0; at < len && turns < TURNS; turns++) {
		size_t some = MIN(piece, len - at);
		(void)!send(fd, bytes + at, some, MSG_NOSIGNAL);
		at += some;
		turn();
		add_lines((unsigned)turns);
	}
	(void)shutdown(fd, SHUT_WR);
	for (int i = 0; i < TURNS; i++)
		turn();
	read_answer(fd, request_of(bytes, len));
	fd_close(&fd);
	turn();
	return 0;
}
