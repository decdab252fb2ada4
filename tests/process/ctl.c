/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speaks to the init's own socket ($REEVE_SOCKET), so that it can be tested
 * without the operator:
 *
 *     ctl show                    one line a worker and an instance
 *     ctl live | reload | shutdown | version
 *     ctl start|stop|restart|scale|signal WORKER [REPLICA [VALUE]]
 *     ctl logs WORKER TAIL [follow]
 *     ctl flood COUNT             connections full of what isn't for it
 *     ctl descriptors N           an order with N descriptors that nobody wants
 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "supervisor/wire/client.h"
#include "supervisor/wire/logs_client.h"

enum {
	PATIENCE_MS = 20000
};

NORETURN static void
die(const struct err *err)
{
	(void)fprintf(stderr, "ctl: %s\n", err->text);
	exit(99);
}

static int64_t
number(const char *text)
{
	struct err err = ERR_INIT;
	int64_t value = 0;

	if (text_i64(text, INT32_MIN, INT32_MAX, &value, &err) == -1)
		die(&err);
	return value;
}

static void
show_one(void *arg, const union wire_message *message)
{
	(void)arg;
	if (message->head.type == WIRE_SNAPSHOT_END) {
		(void)printf("init %d operator %s %d logger %d draining %u "
		             "orphans %llu dropped %llu files-lost %llu %llu "
		             "cgroup %u: %s\n",
		    message->snapshot.init_pid,
		    wire_operator_name(
		        (enum wire_operator)message->snapshot.operator_state),
		    message->snapshot.operator_pid,
		    message->snapshot.logger_pid, message->snapshot.draining,
		    (unsigned long long)message->snapshot.orphans_reaped,
		    (unsigned long long)message->snapshot.log_dropped,
		    (unsigned long long)message->snapshot.files_lost[0],
		    (unsigned long long)message->snapshot.files_lost[1],
		    message->snapshot.cgroup, message->snapshot.cgroup_why);
	} else if (message->head.type == WIRE_WORKER) {
		(void)printf("worker %s desired %u running %u ready %u missed "
		             "%u last %lld success %lld next %lld\n",
		    message->worker.name, message->worker.desired,
		    message->worker.running, message->worker.ready,
		    message->worker.missed,
		    (long long)message->worker.last_run_wall_ms,
		    (long long)message->worker.last_success_wall_ms,
		    (long long)message->worker.next_run_wall_ms);
	} else if (message->head.type == WIRE_INSTANCE) {
		const struct wire_instance *it = &message->instance;
		(void)printf("instance %s/%u %s pid %d restarts %u why %s "
		             "exit %u:%d stage %s survivors %u exits %u "
		             "config %u crash %u",
		    it->name, it->replica,
		    instance_state_name((enum instance_state)it->state),
		    it->pid, it->restarts,
		    instance_why_name((enum instance_why)it->why),
		    (unsigned)it->last_exit.kind, it->last_exit.value,
		    spawn_stage_name(it->last_exit.stage),
		    it->last_exit.group_survivors, it->total_exits,
		    it->failures[CLASS_CONFIG], it->failures[CLASS_CRASH]);
		for (unsigned kind = 0; kind < CLASS_COUNT; kind++)
			(void)printf(" after-%s %u",
			    exit_class_name((enum exit_class)kind),
			    it->restarted[kind]);
		const struct wire_output *output = &it->output;
		const struct wire_count *counts[] = {&output->received,
		    &output->written, &output->dropped, &output->limited,
		    &output->lost, &output->held};
		static const char *const names[] = {"received", "written",
		    "dropped", "limited", "lost", "held"};
		for (size_t i = 0; i < ARRAY_LEN(counts); i++)
			(void)printf(" %s-lines %llu %s-bytes %llu", names[i],
			    (unsigned long long)counts[i]->lines, names[i],
			    (unsigned long long)counts[i]->bytes);
		(void)printf(" unsure %u", output->unsure);
		(void)printf(" oom-kills %u escaped %u waits=%s\n",
		    it->oom_kills, it->last_exit.escaped, it->wait_text);
		if (*it->status_text != '\0')
			(void)printf("says %s/%u %s\n", it->name, it->replica,
			    it->status_text);
	}
}

static int
order(struct wire_client *client, enum wire_type type, char *argv[])
{
	union wire_message message = {.head = {.magic = 0}};
	struct wire_reply reply;
	struct err err = ERR_INIT;

	if (argv[0] != NULL) {
		if (text_copy(message.order.name, sizeof(message.order.name),
		        argv[0], &err) == -1)
			die(&err);
		message.order.replica = argv[1] == NULL
		                            ? WIRE_ALL_REPLICAS
		                            : (int32_t)number(argv[1]);
		message.order.value = argv[1] == NULL || argv[2] == NULL
		                          ? 0
		                          : (int32_t)number(argv[2]);
	}
	if (wire_client_ask(client, type, &message, &reply,
	        clock_after(clock_ms(), PATIENCE_MS), &err) == -1)
		die(&err);
	(void)printf("%s affected %u %s\n", reply.ok != 0 ? "ok" : "refused",
	    reply.affected, reply.text);
	return reply.ok != 0 ? 0 : 1;
}

static int
logs(char *argv[])
{
	struct logs_request request = {.replica = -1,
	    .tail = (uint32_t)number(argv[1]),
	    .flags = argv[2] != NULL ? LOGS_FOLLOW : 0};
	struct logs_record record;
	struct err err = ERR_INIT;
	static char text[LOGS_TEXT_MAX];
	int got;

	if (text_copy(request.worker, sizeof(request.worker), argv[0], &err) ==
	    -1)
		die(&err);
	int fd = logs_open(
	    "t", (const char *const *)environ, &request, PATIENCE_MS, &err);
	if (fd == -1)
		die(&err);
	while ((got = logs_next(fd, &record, text, -1, &err)) == 1) {
		(void)printf("%s/%u %u %.*s\n", record.worker, record.replica,
		    record.stream, (int)record.len, text);
		(void)fflush(stdout);
	}
	if (got == -1)
		die(&err);
	return 0;
}

/* Whole packets that a client has no business to send, and pieces of others. */
static void
flood_one(int socket, unsigned n)
{
	static const enum wire_type wrong[] = {WIRE_HELLO, WIRE_SNAPSHOT_BEGIN,
	    WIRE_INSTANCE, WIRE_SNAPSHOT_END, WIRE_PING, WIRE_REPLY, WIRE_PONG,
	    WIRE_PLAN, WIRE_KEEP, WIRE_GET_KEPT, WIRE_GET_OLD_PLAN,
	    WIRE_OPERATOR_STATE, WIRE_ALIVE, WIRE_WATCH, WIRE_GET_SNAPSHOT};
	static char bytes[WIRE_MESSAGE_MAX + 1];
	union wire_message message;

	memset(&message, 0, sizeof(message));
	wire_prepare(&message, wrong[n % ARRAY_LEN(wrong)], n);
	size_t len = message.head.length;
	if (n % 64 == 0)
		message.head.magic++;
	else if (n % 64 == 21)
		message.head.version++;
	else if (n % 64 == 42)
		len--;
	if (n % 64 == 63)
		(void)!send(
		    socket, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		(void)!send(socket, &message, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Nothing is read: not the hello, no answer, no snapshot. */
static int
flood(unsigned count)
{
	struct wire_client client = WIRE_CLIENT_INIT;
	struct err err = ERR_INIT;
	unsigned connections = 0;

	for (unsigned n = 0; n < count; n++) {
		if (n % 64 == 0)
			wire_client_close(&client);
		/* refused when all places are taken: that is an answer */
		if (client.fd == -1 &&
		    wire_client_connect(
		        &client, "t", clock_after(clock_ms(), 1000), &err) == 0)
			connections++;
		if (client.fd != -1)
			flood_one(client.fd, n);
	}
	wire_client_close(&client);
	(void)printf("%u connections\n", connections);
	return connections > 0 ? 0 : 1;
}

/* The connection ends, and nothing was answered. */
static bool
is_hung_up(const struct wire_client *client)
{
	struct pollfd one = {.fd = client->fd, .events = POLLIN};
	union wire_message message;

	while (poll(&one, 1, PATIENCE_MS) == 1) {
		ssize_t n =
		    recv(client->fd, &message, sizeof(message), MSG_DONTWAIT);
		if (n == 0 || (n == -1 && errno == ECONNRESET))
			return true;
		if (n > 0 && message.head.type == WIRE_REPLY)
			return false;
	}
	return false;
}

static int
descriptors(struct wire_client *client, const char *count)
{
	union wire_message message;
	int fds[64];
	size_t len = (size_t)number(count) * sizeof(fds[0]);
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(fds))];
	} control = {.head = {.cmsg_len = CMSG_LEN(len),
	                 .cmsg_level = SOL_SOCKET,
	                 .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {.iov_base = &message};
	struct msghdr header = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = &control,
	    .msg_controllen = CMSG_SPACE(len)};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = STDIN_FILENO;
	memcpy(CMSG_DATA(&control.head), fds, len);
	wire_prepare(&message, WIRE_LIVE, 1);
	iov.iov_len = message.head.length;
	return sendmsg(client->fd, &header, MSG_NOSIGNAL) == -1 ||
	       !is_hung_up(client);
}

int
main(int argc, char *argv[])
{
	static const struct {
		const char *name;
		enum wire_type type;
	} orders[] = {
	    {"live", WIRE_LIVE},
	    {"reload", WIRE_RELOAD},
	    {"shutdown", WIRE_SHUTDOWN},
	    {"start", WIRE_START},
	    {"stop", WIRE_STOP},
	    {"restart", WIRE_RESTART},
	    {"scale", WIRE_SCALE},
	    {"signal", WIRE_SIGNAL},
	};
	struct wire_client client = WIRE_CLIENT_INIT;
	struct err err = ERR_INIT;
	int64_t deadline_ms = clock_after(clock_ms(), PATIENCE_MS);

	if (argc >= 4 && text_equal(argv[1], "logs"))
		return logs(argv + 2);
	if (argc == 3 && text_equal(argv[1], "flood"))
		return flood((unsigned)number(argv[2]));
	if (argc < 2 ||
	    wire_client_connect(&client, "t", deadline_ms, &err) == -1)
		die(&err);
	if (text_equal(argv[1], "version")) {
		(void)printf("%s\n", client.hello.version);
		return 0;
	}
	if (text_equal(argv[1], "show")) {
		if (wire_client_snapshot(
		        &client, show_one, NULL, deadline_ms, &err) == -1)
			die(&err);
		return 0;
	}
	if (argc == 3 && text_equal(argv[1], "descriptors"))
		return descriptors(&client, argv[2]);
	for (size_t i = 0; i < ARRAY_LEN(orders); i++)
		if (text_equal(argv[1], orders[i].name))
			return order(&client, orders[i].type, argv + 2);
	(void)err_set(&err, ERR_INPUT, "'%s' is no order", argv[1]);
	die(&err);
}
