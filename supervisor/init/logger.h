/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_LOGGER_H
#define REEVE_SUPERVISOR_INIT_LOGGER_H

#include "base/base.h"
#include "worker/spec.h"

/*
 * The logger is a child of the init that captures what the workers write:
 *
 *     reeve --logger --socket FD [--listen FD] [--format plain|prefix|json]
 *         [--keep-lines N] [--keep-bytes N] [--instances N]
 *
 * FD numbers are descriptors that the init leaves open across the exec:
 * --socket is its end of a SOCK_SEQPACKET pair, --listen a listening unix
 * stream socket on which `reeve logs` is served (supervisor/wire/logs.h). Its
 * stdout and stderr are the init's own: there the lines go, each to the stream
 * that it came from. It ignores every signal but SIGKILL, and ends when the
 * init's end of the socket closes: it then writes out what is in the pipes, but
 * waits at most LOGGER_LAST_MS for a reader that doesn't take it.
 *
 * For each start of a worker the init makes one pipe a stream, keeps the read
 * end, and sends LOGGER_ATTACH with a copy of it. When everybody has closed the
 * write end (a grandchild may hold it long after the worker is gone) the logger
 * answers LOGGER_ENDED and the init closes its read end. When the logger itself
 * dies, the init starts another one and attaches every pipe that it still
 * holds: bytes that nobody read yet are not lost; the kept lines are.
 * `format: none` has no logger at all.
 */
enum {
	LOGGER_MAGIC = 0x52564c31, /* "RVL1"; another number: another version */
	LOGGER_LAST_MS = 2000,
	LOGGER_LINE_MAX = 4096, /* longer lines pass in pieces of this size */
	LOGGER_KEEP_LINES = 1000,
	LOGGER_KEEP_BYTES = 65536, /* of each instance, heads included */
};

enum logger_message_kind {
	LOGGER_ATTACH = 1, /* init -> logger, with one descriptor */
	LOGGER_ENDED = 2,  /* logger -> init: identity as it was attached */
};

enum logger_stream {
	LOGGER_STDOUT = 1,
	LOGGER_STDERR = 2
};

enum logger_format {
	LOGGER_PLAIN = 0, /* unchanged, byte by byte */
	LOGGER_PREFIX,    /* "worker/replica | line" */
	LOGGER_JSON,      /* one object a line */
};

/* One message, both ways, exactly this size. */
struct logger_message {
	uint32_t magic;
	uint32_t kind; /* enum logger_message_kind */
	uint32_t replica;
	uint32_t stream; /* enum logger_stream */
	uint64_t generation;
	int64_t pid; /* of the instance, for people; 0: unknown */
	char worker[WORKER_NAME_MAX + 1];
};

/* The child: `argv` are the options after "--logger". Returns the exit code. */
int logger_main(int argc, char *argv[]);

#endif
