/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_CGROUP_H
#define REEVE_BASE_CGROUP_H

#include "base/base.h"
#include "base/err.h"

#include <sys/types.h>

/*
 * Control groups as the kernel shows them: where a process's own one is in
 * this mount namespace, and the few kinds of files in it. Source of the
 * formats: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst,
 * proc(5) for /proc/PID/cgroup and mountinfo. No allocation; the files are the
 * kernel's own, so that nothing here waits for a disk or a network.
 */
enum cgroup_hierarchy {
	CGROUP_V2,        /* the unified one: "0::/path" */
	CGROUP_V1_MEMORY, /* the memory controller of version 1 */
	CGROUP_V1_PIDS,
};

enum {
	CGROUP_PATH_MAX = 1024,
};

/* The directory of the cgroup of `pid` (0: our own). ERR_CAPACITY: the process
 * is in none of that kind, or none is mounted where we could see it. */
int cgroup_find(pid_t pid, enum cgroup_hierarchy hierarchy, char *dst,
    size_t size, struct err *err) MUST_CHECK;
/* The same from the two files, which may be recorded ones. */
int cgroup_find_in(const char *membership, const char *mountinfo,
    enum cgroup_hierarchy hierarchy, char *dst, size_t size,
    struct err *err) MUST_CHECK;

/* --- files of the cgroup that `dir` is a descriptor of; `file` may lead into
 * one below it --- */

/* The whole (small) file as text; -1: it isn't there, or too long. */
ssize_t cgroup_read(int dir, const char *file, char *dst, size_t size);
/* A number; "max" is UINT64_MAX. */
bool cgroup_read_number(int dir, const char *file, uint64_t *ret);
/* The number behind `key` in a file of "key number" lines. */
bool cgroup_read_key(int dir, const char *file, const char *key, uint64_t *ret);
/* A word of a list separated by spaces: cgroup.controllers. */
bool cgroup_read_word(int dir, const char *file, const char *word);
/* One write; false with errno. */
bool cgroup_write(int dir, const char *file, const char *text);

/* The next process of cgroup.procs, 0 at its end. `list` begins zeroed, with
 * `fd` set; processes of other pid namespaces are only counted. */
struct cgroup_procs {
	int fd;
	uint32_t hidden;
	uint16_t at, len;
	char bytes[512];
};
pid_t cgroup_procs_next(struct cgroup_procs *list);

#endif
