/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_FILES_H
#define REEVE_SUPERVISOR_OPERATOR_FILES_H

#include "base/base.h"
#include "worker/spec.h"

/*
 * Whether the file that a worker was started from is still the one on disk:
 * looked at by (device, inode, size, change time), and by its bytes only when
 * one of these is new. A touched or re-installed, byte-equal file is the same.
 */
struct file_identity {
	bool known;
	uint64_t device, inode;
	int64_t size, modified_ns, changed_ms;
	char sha256[65];
	uint64_t path; /* its name, as files_name() has it */
};

enum {
	FILES_BUCKETS = 256,
	FILES_LINE_SIZE = 256, /* BINPRM_BUF_SIZE: where "#!" ends */
};

/* The last look at one path. */
struct file_watch {
	char *path;
	struct file_identity now;
	bool regular;               /* it was there, readable or not */
	char line[FILES_LINE_SIZE]; /* how it begins, while `now` is known */
	int64_t looked_ms;          /* monotonic */
	struct file_watch *next;
};
struct files {
	struct file_watch *buckets[FILES_BUCKETS]; /* by files_name() */
};

void files_fini(struct files *files);
/* Looks (stat; reads the file only if that is new), unless it did so at or
 * after `since_ms`, and returns the identity; `known` is false when it can't be
 * read. The pointer lasts until the next call. */
const struct file_identity *files_look(
    struct files *files, const char *path, int64_t since_ms);
/* Both known, and other bytes. */
bool files_differ(
    const struct file_identity *then, const struct file_identity *now);
/* It was there, and nothing is there now. */
bool files_gone(const struct file_identity *then, const char *path);
/* A number for a path, to find it again by. */
uint64_t files_name(const char *path);
/* What of a worker lies on disk: its executable; the interpreter that its "#!"
 * names, also by env(1); and its first argument that is a file (a script).
 * Absolute paths; returns how many. Looks as files_look() does. */
enum {
	FILES_OF_PROGRAM = 3,
	FILES_PATH_MAX = 1024
};
size_t files_of_program(struct files *files, const struct worker_spec *spec,
    int64_t since_ms, char ret_paths[FILES_OF_PROGRAM][FILES_PATH_MAX]);

#endif
