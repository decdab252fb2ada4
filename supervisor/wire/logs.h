/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_WIRE_LOGS_H
#define REEVE_SUPERVISOR_WIRE_LOGS_H

#include "base/base.h"
#include "worker/spec.h"

/*
 * What `reeve logs` and the logger say to each other over a unix stream socket
 * on one machine (so: native byte order). The client sends one logs_request;
 * the logger answers with records, each a logs_record and `len` bytes of text
 * without the newline, oldest first, and closes after the last kept line unless
 * LOGS_FOLLOW was asked for. Only the supervisor's own uid and root are served;
 * others get a closed connection.
 */
enum {
	LOGS_MAGIC = 0x52564c51, /* "RVLQ"; another number: another version */
	LOGS_TEXT_MAX = 16384,
	LOGS_CLIENTS_MAX = 16,
};

enum logs_request_flags {
	LOGS_FOLLOW = 1,
	LOGS_PREVIOUS = 2, /* of the process before the last one only */
};

struct logs_request {
	uint32_t magic;
	uint32_t flags;
	uint32_t tail;    /* at most so many lines of each instance */
	int32_t replica;  /* -1: all */
	int64_t since_ms; /* Unix time; older lines are left out */
	char worker[WORKER_NAME_MAX + 1]; /* "": all */
};

enum logs_record_flags {
	LOGS_PARTIAL = 1, /* the line goes on in this stream's next record */
	LOGS_LOST = 2,    /* no text: `lost` lines were overwritten unread */
};

struct logs_record {
	uint32_t magic;
	uint32_t len;
	uint32_t flags;
	uint32_t replica;
	uint32_t stream; /* 1 stdout, 2 stderr */
	uint32_t lost;
	uint64_t generation;
	int64_t pid;
	int64_t wall_ms;
	char worker[WORKER_NAME_MAX + 1];
};

#endif
