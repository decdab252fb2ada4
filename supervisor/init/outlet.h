/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_OUTLET_H
#define REEVE_SUPERVISOR_INIT_OUTLET_H

#include "base/base.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/nowait.h"

/*
 * Where captured lines leave: stdout or stderr, and a queue of fixed size for
 * when their reader is slow. A line goes in whole or is dropped and counted:
 * the newest gives way, nobody waits. Whole lines of up to PIPE_BUF are written
 * in one call each, so that others' lines on the same pipe stay whole too.
 */
struct outlet {
	struct loop *loop;
	struct loop_source source; /* while bytes wait for room */
	struct nowait out;
	char *queue; /* borrowed */
	size_t size, start, len;
	uint64_t dropped_lines, dropped_bytes; /* since the last report */
	bool closed; /* nobody will ever read: no more tries */
	/* room again after a drop: report `dropped_…`, then clear them */
	void (*flows)(struct outlet *outlet);
	void *user; /* of `flows` */
};

void outlet_init(
    struct outlet *outlet, struct loop *loop, int fd, char *queue, size_t size);
/* One line, with its newline. */
void outlet_put(struct outlet *outlet, const char *bytes, size_t len);
/* Writes what can be written now, and waits for room in the loop. */
void outlet_flush(struct outlet *outlet);
bool outlet_empty(const struct outlet *outlet);

#endif
