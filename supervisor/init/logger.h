/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_LOGGER_H
#define REEVE_SUPERVISOR_INIT_LOGGER_H

#include "base/base.h"
#include "worker/spec.h"

/*
 * The logger is a child of the init that captures what the workers write:
 *
 *     reeve --logger --socket FD [--listen FD] [--counts FD] [--json 0|1]
 *         [--beat FD] [--keep-bytes N] [--instances N]
 *
 * FD numbers are descriptors that the init leaves open across the exec:
 * --socket is its end of a SOCK_SEQPACKET pair, --listen a listening unix
 * stream socket on which `reeve logs` is served (supervisor/wire/logs.h),
 * --counts the memory of tally.h, --beat a timer that it sets LOGGER_BEAT_MS
 * ahead while it works (hang.c). Its stdout and stderr are the init's own:
 * there the lines go, each to the stream that it came from. It ignores every
 * signal but SIGKILL and SIGSTOP, and ends when the init's end of the socket
 * closes: it then writes out what is in the pipes, but waits at most
 * LOGGER_LAST_MS for a reader that doesn't take it. --json: its own lines are
 * JSON.
 *
 * For each start of a worker the init makes one pipe a stream, keeps the read
 * end, and sends LOGGER_ATTACH with a copy of it. When everybody has closed the
 * write end (a grandchild may hold it long after the worker is gone) the logger
 * answers LOGGER_ENDED and the init closes its read end. When the logger itself
 * dies, the init starts another one and attaches every pipe that it still
 * holds, those of earlier processes too: bytes that nobody read yet are not
 * lost; the kept lines are, and what it had read and not written, which its
 * successor counts as lost. `format: none` has no pipes.
 */
enum {
	LOGGER_MAGIC = 0x52564c32, /* "RVL2"; another number: another version */
	LOGGER_LAST_MS = 2000,
	LOGGER_BEAT_MS = 5000,   /* whole seconds */
	LOGGER_LINE_MAX = 16384, /* longer lines pass in pieces, none longer */
	LOGGER_KEEP_LINES = 1000,
	LOGGER_KEEP_BYTES = 65536, /* of each instance, heads included */
};

enum logger_message_kind {
	LOGGER_ATTACH = 1, /* init -> logger, with one descriptor */
	LOGGER_ENDED = 2,  /* logger -> init: identity as it was attached */
	LOGGER_CHANGE = 3, /* init -> logger: `logs` is new */
};

enum logger_stream {
	LOGGER_STDOUT = 1,
	LOGGER_STDERR = 2
};

/* One message, both ways, exactly this size. */
struct logger_message {
	uint32_t magic;
	uint32_t kind; /* enum logger_message_kind */
	uint32_t replica;
	uint32_t stream;            /* enum logger_stream */
	uint32_t slot, incarnation; /* in tally.h */
	uint32_t stray; /* 1: its instance has a newer one, or will */
	uint32_t zero;
	uint64_t generation;
	int64_t pid; /* of the instance, for people; 0: unknown */
	struct worker_logs logs;
	char worker[WORKER_NAME_MAX + 1];
};

/* The child: `argv` are the options after "--logger". Returns the exit code. */
int logger_main(int argc, char *argv[]);

#endif
