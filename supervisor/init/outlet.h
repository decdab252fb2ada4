/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_OUTLET_H
#define REEVE_SUPERVISOR_INIT_OUTLET_H

#include "base/base.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/nowait.h"
#include "supervisor/init/tally.h"

/*
 * Where captured lines leave: stdout or stderr, and a queue for when their
 * reader is slow. A line goes in whole, or is dropped whole and counted; nobody
 * waits. What a full queue means is each line's own policy (worker_logs): a
 * dropNew line is dropped itself; a dropOldest line makes room at the cost of
 * the oldest such lines; a line of a worker that blocks always goes in, because
 * its pipe isn't read while outlet_full() holds.
 *
 * To a file everything that there is goes in one write, to anything else what
 * ends with a line within PIPE_BUF: so others' lines on the same pipe stay
 * whole too.
 */
enum {
	OUTLET_LIMIT = 1 << 20, /* bytes: then the queue is full */
	OUTLET_LINES = 3 << 20, /* lines that it may hold */
	OUTLET_BYTES = OUTLET_LIMIT + (30 << 20), /* with the one read, each
	                                             byte a line in JSON, that
	                                             made it full */
	OUTLET_RETRY_MS = 250, /* a disk that is full is tried again */
};

/* A line, or a piece of one, on its way. */
struct outlet_line {
	uint32_t out_len; /* bytes to write */
	uint32_t raw_len; /* bytes that the worker wrote */
	uint32_t slot, incarnation;
	uint32_t policy; /* enum logs_blocked */
	uint32_t dead;   /* used within outlet.c */
};

struct outlet {
	struct loop *loop;
	struct loop_source source; /* while bytes wait for room */
	struct loop_timer timer;   /* while the disk is full */
	struct nowait out;
	struct tallies *tallies;
	char *queue; /* mapped; touched as far as it is used */
	size_t start, len;
	struct outlet_line *lines;
	uint32_t first, nlines;
	size_t sent; /* bytes of the first line that are written already */
	uint64_t dropped_lines, dropped_bytes; /* since the last report */
	bool is_file;
	bool closed;  /* nobody will ever read: no more tries */
	bool no_room; /* ENOSPC and the like: the timer tries again */
	/* room again after a drop: report `dropped_…`, then clear them */
	void (*flows)(struct outlet *outlet);
	void *user; /* of `flows` */
};

/* `fd` stays the caller's. */
int outlet_init(struct outlet *outlet, struct loop *loop, int fd,
    struct tallies *tallies, struct err *err) MUST_CHECK;
/* `count` lines of one instance that lie behind one another at `bytes`. */
void outlet_send(struct outlet *outlet, const char *bytes,
    const struct outlet_line *lines, uint32_t count);
/* The same for lines that go out as they came, each with its newline: `all` is
 * of their lengths together, and no line is looked at while all of it goes. */
void outlet_send_plain(struct outlet *outlet, const char *bytes,
    const struct outlet_line *all, uint32_t count);
/* A line of our own: counted for nobody. */
void outlet_say(struct outlet *outlet, const char *text);
/* A logger before us was killed within a write: the kernel ends one to a file
 * at any page, and what comes next must not be glued to half a line. */
void outlet_mend(struct outlet *outlet);
/* Writes what can be written now, and waits for room in the loop. */
void outlet_flush(struct outlet *outlet);
bool outlet_empty(const struct outlet *outlet);
/* Who may wait should. */
bool outlet_full(const struct outlet *outlet);
/* A write may succeed later that failed with this errno: a full disk. */
bool outlet_is_no_room(int sys);
/* Of a file, whether its end is within a line. */
bool outlet_ends_torn(int fd);
/* What waits, and what comes, is dropped. */
void outlet_close(struct outlet *outlet);

#endif
