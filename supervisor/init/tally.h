/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_TALLY_H
#define REEVE_SUPERVISOR_INIT_TALLY_H

#include "base/base.h"
#include "base/err.h"

/*
 * What became of each instance's output, in memory that the init and the logger
 * share (a memfd of its own: whatever the logger does to it, the init's state
 * is not in reach). The logger counts; the init only shows the numbers, gives a
 * slot a new incarnation when another instance takes it, and hands the memory
 * to the next logger. So the counts outlive a logger that is killed:
 *
 *     received = written + dropped + limited + lost + what it holds
 *
 * holds at each moment; what a dead logger held is its successor's to call
 * lost. A line is counted with its newline; a piece of a line that is longer
 * than LOGGER_LINE_MAX counts as a line.
 */
struct tally_count {
	uint64_t lines, bytes;
};

struct tally {
	uint32_t incarnation; /* of the slot: written by the init */
	uint32_t unsure;      /* a logger was killed within a system call: the
	                         counts may be off by one read or write */
	struct tally_count received;
	struct tally_count written;
	struct tally_count dropped; /* nobody read, or nobody could */
	struct tally_count limited; /* more than the rate limit */
	struct tally_count lost;    /* with a logger that died */
	struct {
		int32_t pid;     /* that the pipe was made for */
		uint32_t within; /* 1: a line's beginning was read, no end yet
		                  */
	} place[2];              /* stdout, stderr */
};

/*
 * Of stdout or stderr while a writer's process has the file (writer.h): taken
 * from the pipe = written + lost + what the writer holds. Bytes, for nothing
 * there says any more whose they are. The writer counts, all but `lost`.
 */
struct tally_file {
	uint64_t taken, written;
	uint64_t lost;    /* with a writer that died, or can write no more */
	uint32_t reading; /* 1: from a read until it is counted */
	uint32_t writing; /* 1: from a write until it is counted */
	uint32_t unsure;  /* some of `lost` may not be, or more */
	uint32_t padding;
};

struct tallies {
	struct tally_file files[2]; /* stdout, stderr */
	uint32_t used;    /* slots that a logger has ever counted for */
	uint32_t reading; /* slot + 1: from a read until it is counted */
	uint32_t writing; /* 1: from a write until it is counted */
	uint32_t writes;  /* how many have begun: a hang is one that stays */
	int64_t write_ms; /* since when it is within this one; 0: within none */
	struct tally slots[];
};

/* Bytes of the memory for `slots` slots. */
size_t tally_bytes(uint32_t slots);
/* Maps it; of no descriptor (-1), private memory. */
struct tallies *tally_map(int fd, uint32_t slots, struct err *err) MUST_CHECK;
/* What another logger held when it died is lost. */
void tally_settle(struct tallies *tallies);
/* Received and nowhere yet. */
struct tally_count tally_held(const struct tally *tally);

/* Taken by a writer and nowhere yet. */
uint64_t tally_file_held(const struct tally_file *file);
/* What a writer that is dead held is lost; returns how much. *ret_exact: that
 * is what it was, and no system call of it was under way. */
uint64_t tally_file_settle(struct tally_file *file, bool *ret_exact);

/* What was stored before is there before what is stored after it: a process
 * that is killed leaves its stores in the order of its program, but a compiler
 * may have changed that order. */
static inline void
tally_in_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void
tally_add(struct tally_count *count, uint64_t lines, uint64_t bytes)
{
	count->lines += lines;
	count->bytes += bytes;
}

#endif
