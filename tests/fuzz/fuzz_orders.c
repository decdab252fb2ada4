/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/table.h"
#include "supervisor/wire/plan_encode.h"
#include "tests/fuzz/fuzz.h"

/*
 * Packets to the init, from a client or (the first byte says so) from the
 * operator. No process can be made here, so whatever is ordered: none lives,
 * every state is one of the table's, and the init is still there.
 */
enum {
	PLACES = 8
};

int __wrap_spawn_start(
    const struct spawn_request *request, struct spawned *ret, struct err *err);

int
__wrap_spawn_start(
    const struct spawn_request *request, struct spawned *ret, struct err *err)
{
	(void)request;
	(void)ret;
	errno = EAGAIN;
	return err_sys(err, "clone");
}

static struct core core;

static void
begin(void)
{
	static const char *const argv[] = {"x", NULL};
	static const char *const envp[] = {NULL};
	const struct worker_spec specs[] = {{.name = "a",
	    .argv = argv,
	    .executable = "/x",
	    .envp = envp,
	    .uid = WORKER_ID_NONE,
	    .gid = WORKER_ID_NONE,
	    .umask = UINT32_MAX,
	    .replicas = 2,
	    .backoff_first_ms = 100,
	    .backoff_cap_ms = 1000,
	    .grace_ms = 1000,
	    .drain_signal = 15}};
	struct plan_settings settings;
	struct buffer out;
	struct err err = ERR_INIT;
	int fd = -1;

	core_reset(&core, PLACES);
	core.pid = (int32_t)getpid();
	core.placed = true; /* no sockets */
	plan_settings_default(&settings);
	settings.logs = LOGS_NONE;
	settings.name = "fuzz";
	buffer_init(&out, 1 << 20);
	int rc = table_map(&core, &err);
	assert(rc == 0);
	rc = capture_map(&core, &err);
	assert(rc == 0);
	rc = plan_encode(specs, ARRAY_LEN(specs), &settings, &out, &err);
	assert(rc == 0);
	rc = plan_memfd(out.data, out.len, &fd, &err);
	assert(rc == 0);
	rc = apply_plan(&core, fd, true, &err);
	assert(rc == 0);
	log_open(-1, LOG_TEXT, LOG_ERROR, "fuzz");
	fd_close(&fd);
	buffer_fini(&out);
}

static void
look(void)
{
	assert(core.alive == 0 && core.hurried == 0);
	assert(core.nruns == 1 && plan_applied(&core));
	for (uint32_t slot = 0; slot < core.slots_used; slot++) {
		assert(core.instances[slot].state < INSTANCE_STATES);
		assert(core.instances[slot].pid == 0);
	}
}

/* Lengths of packets stand before them: two bytes each. */
static void
send_all(int socket, const uint8_t *bytes, size_t len)
{
	while (len > 2) {
		size_t size = (size_t)bytes[0] | (size_t)bytes[1] << 8;
		bytes += 2;
		len -= 2;
		size = MIN(size, len);
		(void)!send(socket, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		bytes += size;
		len -= size;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static bool begun;
	struct err err = ERR_INIT;
	int fds[2];

	if (!begun)
		begin();
	begun = true;
	if (len == 0)
		return 0;
	int rc = socketpair(
	    AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds);
	assert(rc == 0);
	struct peer *peer =
	    bytes[0] == 'o' ? &core.operate.peer : &core.clients[0];
	rc = peer_open(&core, peer, fds[0], &err);
	assert(rc == 0);
	send_all(fds[1], bytes + 1, len - 1);
	for (int i = 0; i < 8; i++) {
		rc = loop_turn(&core.loop, 0, &err);
		assert(rc == 0);
	}
	look();
	if (peer->source.fd != -1)
		peer_close(&core, peer);
	fd_close(&fds[1]);
	/* a drain is for good: the next input has a running one */
	core.phase = PHASE_RUN;
	return 0;
}
