/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/live.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/table.h"
#include "worker/send.h"
#include "worker/spawn.h"

/* The process that answers liveness probes: started, restarted, ended. */

enum {
	ANSWER_FIRST_MS = 100,
	ANSWER_CAP_MS = 5000,
	ANSWER_BACKLOG = 64,
};

static int
listen_tcp(int family, const void *address, socklen_t len, struct err *err)
{
	int on = 1, off = 0;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return err_sys(err, "socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET6)
		(void)setsockopt(
		    fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, address, len) == -1 || listen(fd, ANSWER_BACKLOG) == -1) {
		(void)err_sys(err, "listen");
		fd_close(&fd);
		return -1;
	}
	return fd;
}

/* All addresses: a kubelet asks by the pod's. IPv4 alone where the kernel has
 * no IPv6. */
static int
listen_port(uint32_t port, struct err *err)
{
	const struct sockaddr_in6 six = {.sin6_family = AF_INET6,
	    .sin6_port = htons((uint16_t)port),
	    .sin6_addr = IN6ADDR_ANY_INIT};
	const struct sockaddr_in four = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr = {.s_addr = INADDR_ANY}};
	int fd = listen_tcp(AF_INET6, &six, sizeof(six), err);

	if (fd == -1)
		fd = listen_tcp(AF_INET, &four, sizeof(four), err);
	return fd;
}

static struct peer *
free_client(struct core *core)
{
	for (size_t i = 0; i < ARRAY_LEN(core->clients); i++)
		if (core->clients[i].source.fd == -1)
			return &core->clients[i];
	return NULL;
}

static int
answer_spawn(struct core *core, int wire_fd, struct err *err)
{
	static const char *const argv[] = {"reeve", "--live", NULL};
	static const char *const envp[] = {NULL};
	const struct worker_spec spec = {.envp = envp};
	const struct spawn_fd fds[] = {
	    {core->null_fd, STDIN_FILENO},
	    {core->null_fd, STDOUT_FILENO},
	    {STDERR_FILENO, STDERR_FILENO},
	    {wire_fd, LIVE_WIRE_FD},
	    {core->answer.listen_fd, LIVE_LISTEN_FD},
	};
	const struct spawn_request request = {
	    .spec = &spec,
	    .argv = argv,
	    .exec_fd = core->self_fd,
	    .plain = true,
	    .die_with_parent = core->die_with_parent,
	    .oom_score_adj = SPAWN_OOM_KEEP,
	    .fds = fds,
	    .nfds = ARRAY_LEN(fds),
	};
	struct spawned spawned = {.pidfd = -1, .report_fd = -1};

	if (spawn_start(&request, &spawned, err) == -1)
		return -1;
	fd_close(&spawned.pidfd);
	fd_close(&spawned.report_fd);
	core->answer.pid = spawned.pid;
	return owner_set(core, spawned.pid, OWNER_ANSWER, 0, err);
}

static int
answer_try(struct core *core, struct err *err)
{
	struct peer *peer = free_client(core);
	int pair[2];

	if (peer == NULL)
		return err_set(err, ERR_CAPACITY, "too many clients");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
	        0, pair) == -1)
		return err_sys(err, "socketpair");
	int rc = answer_spawn(core, pair[1], err);
	fd_close(&pair[1]);
	if (rc == -1 || peer_open(core, peer, pair[0], err) == -1) {
		fd_close(&pair[0]);
		return -1;
	}
	peer->full_control = false;
	return 0;
}

static void
answer_start(struct core *core)
{
	struct answer *answer = &core->answer;
	struct err err = ERR_INIT;

	if (answer->pid != 0 || answer->listen_fd == -1)
		return;
	answer->started_ms = core->loop.now_ms;
	if (answer_try(core, &err) == 0)
		return;
	log_error("liveness.not-started", "%s", err.text);
	if (answer->pid == 0)
		core_wake(core, &answer->timer,
		    clock_after(core->loop.now_ms, ANSWER_CAP_MS));
}

void
answer_timer(struct loop_timer *timer, int64_t now_ms)
{
	(void)now_ms;
	answer_start(timer->owner);
}

void
answer_exited(struct core *core)
{
	struct answer *answer = &core->answer;
	int64_t ran_ms = core->loop.now_ms - answer->started_ms;

	answer->pid = 0;
	/* it answers during the drain too, until the sweep */
	if (answer->listen_fd == -1 || core->phase >= PHASE_OPERATOR)
		return;
	core_wake(core, &answer->timer,
	    clock_after(core->loop.now_ms,
	        backoff_next(&answer->backoff, CLASS_CRASH, ran_ms,
	            ANSWER_FIRST_MS, ANSWER_CAP_MS, core_noise())));
}

void
answer_apply(struct core *core)
{
	struct answer *answer = &core->answer;
	struct err err = ERR_INIT;

	if (answer->port == core->settings.liveness_port)
		return;
	fd_close(&answer->listen_fd);
	if (answer->pid != 0)
		(void)send_to_process(answer->pid, SIGKILL);
	answer->port = core->settings.liveness_port;
	if (answer->port == 0)
		return;
	answer->listen_fd = listen_port(answer->port, &err);
	if (answer->listen_fd == -1)
		log_error(
		    "liveness.port", "port %u: %s", answer->port, err.text);
	else
		answer_start(core);
}

/* Its wire was one of the clients': it ends, and another one comes. The port
 * was listened on all the time. */
void
answer_resume(struct core *core)
{
	struct answer *answer = &core->answer;

	if (answer->pid == 0 && answer->listen_fd != -1 &&
	    core->phase < PHASE_OPERATOR)
		core_wake(core, &answer->timer, core->loop.now_ms);
}
