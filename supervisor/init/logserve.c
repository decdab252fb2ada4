/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "supervisor/init/logserve.h"

/* --- the heap of instances with something to send --- */

static uint64_t
order_at(const struct logserve_client *client, uint32_t at)
{
	return client->places[client->heap[at]].order;
}

static void
swap(struct logserve_client *client, uint32_t a, uint32_t b)
{
	uint32_t keep = client->heap[a];

	client->heap[a] = client->heap[b];
	client->heap[b] = keep;
}

static void
push(struct logserve_client *client, uint32_t index)
{
	uint32_t at = client->heap_len++;

	client->places[index].queued = true;
	client->heap[at] = index;
	while (
	    at > 0 && order_at(client, at) < order_at(client, (at - 1) / 2)) {
		swap(client, at, (at - 1) / 2);
		at = (at - 1) / 2;
	}
}

static uint32_t
pop(struct logserve_client *client)
{
	uint32_t index = client->heap[0];
	uint32_t at = 0;

	client->places[index].queued = false;
	client->heap[0] = client->heap[--client->heap_len];
	for (;;) {
		uint32_t least = at;
		for (uint32_t child = 2 * at + 1;
		     child <= 2 * at + 2 && child < client->heap_len; child++)
			if (order_at(client, child) < order_at(client, least))
				least = child;
		if (least == at)
			return index;
		swap(client, at, least);
		at = least;
	}
}

/* --- lines --- */

static bool
matches(
    const struct logs_request *request, const struct keep_instance *instance)
{
	return (request->worker[0] == '\0' ||
	           text_equal(request->worker, instance->worker)) &&
	       (request->replica == -1 ||
	           (uint32_t)request->replica == instance->replica);
}

static bool
is_wanted(const struct logs_request *request,
    const struct keep_instance *instance, const struct keep_line *line)
{
	if ((request->flags & LOGS_PREVIOUS) != 0 &&
	    (instance->previous == 0 || line->pid != instance->previous))
		return false;
	return line->wall_ms >= request->since_ms;
}

/* Queues the instance when it has a line that this client wants and hasn't had.
 */
static void
look(struct logserve_client *client, uint32_t index)
{
	const struct keep *keep = client->server->keep;
	const struct keep_instance *instance = &keep->instances[index];
	struct logserve_place *place = &client->places[index];
	struct keep_line line;
	uint64_t at = place->at;

	if (place->queued)
		return;
	while (keep_read(keep, instance, &at, &line, NULL)) {
		if (is_wanted(&client->request, instance, &line)) {
			place->order = line.order;
			push(client, index);
			return;
		}
		place->at = at;
		place->number = line.number + 1;
	}
}

static char *
put_record(struct logserve_client *client, const struct logs_record *record)
{
	char *end = client->out + client->out_start + client->out_len;

	memcpy(end, record, sizeof(*record));
	client->out_len += sizeof(*record) + record->len;
	return end + sizeof(*record);
}

static void
put_line(struct logserve_client *client, uint32_t index)
{
	const struct keep *keep = client->server->keep;
	const struct keep_instance *instance = &keep->instances[index];
	struct logserve_place *place = &client->places[index];
	struct logs_record record = {.magic = LOGS_MAGIC};
	struct keep_line line;
	uint64_t at = place->at;

	if (!keep_read(keep, instance, &at, &line, NULL))
		return;
	memcpy(record.worker, instance->worker, sizeof(record.worker));
	record.replica = instance->replica;
	record.stream = line.stream;
	record.generation = line.generation;
	record.pid = line.pid;
	record.wall_ms = line.wall_ms;
	if (line.number != place->number) {
		record.flags = LOGS_LOST;
		record.lost = (uint32_t)MIN(
		    line.number - place->number, (uint64_t)UINT32_MAX);
		(void)put_record(client, &record);
		record.lost = 0;
	}
	record.flags = line.flags;
	record.len = line.len;
	(void)keep_read(
	    keep, instance, &place->at, &line, put_record(client, &record));
	place->number = line.number + 1;
}

static bool
has_room(struct logserve_client *client)
{
	size_t most = 2 * sizeof(struct logs_record) + LOGS_TEXT_MAX;

	if (client->out_len == 0)
		client->out_start = 0;
	if (client->out_start + client->out_len + most <= LOGSERVE_OUT)
		return true;
	memmove(client->out, client->out + client->out_start, client->out_len);
	client->out_start = 0;
	return client->out_len + most <= LOGSERVE_OUT;
}

/* --- clients --- */

static void
client_close(struct logserve_client *client)
{
	loop_remove(client->server->loop, &client->source);
	fd_close(&client->source.fd);
}

/* Sends until the socket is full. false: the client is gone. */
static bool
client_send(struct logserve_client *client)
{
	while (client->out_len > 0) {
		ssize_t n =
		    send(client->source.fd, client->out + client->out_start,
		        client->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return errno == EAGAIN;
		client->out_start += (size_t)n;
		client->out_len -= (size_t)n;
	}
	return true;
}

static bool
greeted(const struct logserve_client *client)
{
	return client->request_len == sizeof(client->request);
}

static void
client_pump(struct logserve_client *client)
{
	uint32_t index;

	if (client->source.fd == -1 || !greeted(client))
		return;
	do {
		while (client->heap_len > 0 && has_room(client)) {
			index = pop(client);
			put_line(client, index);
			look(client, index);
		}
		if (!client_send(client)) {
			client_close(client);
			return;
		}
	} while (client->out_len == 0 && client->heap_len > 0);
	bool wait = client->out_len > 0;
	if (!wait && (client->request.flags & LOGS_FOLLOW) == 0) {
		client_close(client);
		return;
	}
	uint32_t events = EPOLLIN | (wait ? (uint32_t)EPOLLOUT : 0);
	if (loop_change(client->server->loop, &client->source, events, NULL) ==
	    -1)
		client_close(client);
}

/* Behind all but the last `tail` lines that are wanted. */
static void
go_to_tail(struct logserve_client *client, uint32_t index)
{
	const struct keep *keep = client->server->keep;
	const struct keep_instance *instance = &keep->instances[index];
	struct logserve_place *place = &client->places[index];
	struct keep_line line;
	uint64_t wanted = 0;
	uint64_t at = instance->tail;

	while (keep_read(keep, instance, &at, &line, NULL))
		wanted += is_wanted(&client->request, instance, &line);
	place->at = instance->tail;
	place->number = instance->first;
	while (wanted > client->request.tail &&
	       keep_read(keep, instance, &place->at, &line, NULL)) {
		wanted -= is_wanted(&client->request, instance, &line);
		place->number++;
	}
}

/* The request is here: start at the last `tail` lines of each instance. */
static void
client_begin(struct logserve_client *client)
{
	const struct keep *keep = client->server->keep;

	for (uint32_t i = 0; i < keep->max; i++)
		client->places[i] = (struct logserve_place){.queued = false};
	for (uint32_t i = 0; i < keep->count; i++) {
		if (!matches(&client->request, &keep->instances[i]))
			continue;
		go_to_tail(client, i);
		look(client, i);
	}
}

static void
client_ready(struct loop_source *source, uint32_t events)
{
	struct logserve_client *client = source->owner;
	char junk[64];
	char *into = (char *)&client->request + client->request_len;
	size_t want = sizeof(client->request) - client->request_len;
	bool known = greeted(client);

	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
		return; /* only room to send: the pump comes after this turn */
	ssize_t n = recv(source->fd, known ? junk : into,
	    known ? sizeof(junk) : want, MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(client);
		return;
	}
	if (known)
		return;
	client->request_len += (size_t)n;
	if (!greeted(client))
		return;
	client->request.worker[WORKER_NAME_MAX] = '\0';
	if (client->request.magic != LOGS_MAGIC)
		client_close(client);
	else
		client_begin(client);
}

/* Output may hold anything; it is for root and our own user. */
static bool
may_read(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static void
listener_ready(struct loop_source *source, uint32_t events)
{
	struct logserve *server = source->owner;
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd == -1)
		return;
	for (size_t i = 0; i < ARRAY_LEN(server->clients) && may_read(fd);
	     i++) {
		struct logserve_client *client = &server->clients[i];
		if (client->source.fd != -1)
			continue;
		client->source.fd = fd;
		client->request_len = client->heap_len = 0;
		client->out_start = client->out_len = 0;
		if (loop_add(server->loop, &client->source, EPOLLIN, NULL) ==
		    -1)
			client_close(client);
		return;
	}
	fd_close(&fd);
}

/* --- the server --- */

static void *
map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int
logserve_init(struct logserve *server, struct loop *loop, int listen_fd,
    const struct keep *keep, struct err *err)
{
	*server = (struct logserve){.loop = loop,
	    .keep = keep,
	    .listener = {
	        .fd = listen_fd, .ready = listener_ready, .owner = server}};
	for (size_t i = 0; i < ARRAY_LEN(server->clients); i++) {
		struct logserve_client *client = &server->clients[i];

		client->server = server;
		client->source.fd = -1;
		client->source.ready = client_ready;
		client->source.owner = client;
		client->heap = map(keep->max * sizeof(*client->heap));
		client->places = map(keep->max * sizeof(*client->places));
		client->out = map(LOGSERVE_OUT);
		if (client->heap == NULL || client->places == NULL ||
		    client->out == NULL)
			return err_sys(err, "map a client's tables");
	}
	if (listen_fd == -1)
		return 0;
	if (fd_nonblock(listen_fd, true, err) == -1)
		return -1;
	return loop_add(loop, &server->listener, EPOLLIN, err);
}

void
logserve_added(struct logserve *server, const struct keep_instance *instance)
{
	uint32_t index = (uint32_t)(instance - server->keep->instances);

	for (size_t i = 0; i < ARRAY_LEN(server->clients); i++) {
		struct logserve_client *client = &server->clients[i];
		if (client->source.fd != -1 && greeted(client) &&
		    matches(&client->request, instance))
			look(client, index);
	}
}

void
logserve_pump(struct logserve *server)
{
	for (size_t i = 0; i < ARRAY_LEN(server->clients); i++)
		client_pump(&server->clients[i]);
}
