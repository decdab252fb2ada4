/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_WRITER_H
#define REEVE_SUPERVISOR_INIT_WRITER_H

#include "base/base.h"

/*
 * A file on a disk that doesn't answer holds whoever writes to it within the
 * kernel, for as long as that lasts, and no flag of write(2) helps everywhere.
 * So neither the init nor the logger writes to such a file: they write to a
 * pipe, which never makes them wait, and a child of the init does the rest:
 *
 *     reeve --writer STREAM [mend]
 *
 * from stdin to stdout until stdin ends. STREAM is 0 or 1, our stdout or
 * stderr: it counts what it takes and writes in that one of `files` (tally.h),
 * whose memory is descriptor WRITER_COUNTS_FD. A full disk is tried again; any
 * other error ends it with a code, and then nobody will ever write this file
 * (but EXIT_AGAIN: there was no memory).
 * `mend`: somebody was killed within a write before, so half a line at the
 * file's end gets a newline first. It ignores every signal but SIGKILL and
 * SIGSTOP.
 */
enum {
	WRITER_COUNTS_FD = 3,
	WRITER_CHUNK = 65536, /* the most that is lost when it is killed */
	WRITER_RETRY_MS = 250,
};

/* The child; returns the exit code. */
int writer_main(int argc, char *argv[]);

#endif
