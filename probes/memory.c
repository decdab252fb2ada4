/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "probes/memory.h"

enum {
	STAT_SIZE = 1024,
	ROLLUP_SIZE = 4096,
};

static int
by_id(const void *a, const void *b)
{
	const struct memory_session *left = a;
	const struct memory_session *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

/* Session and RSS of a process; false: it is gone. The name, in parentheses,
 * may hold anything. */
static bool
read_stat(int proc, const char *pid, pid_t *ret_session, uint64_t *ret_rss)
{
	char path[300];
	char text[STAT_SIZE];
	int session = 0;
	uint64_t pages = 0;

	(void)snprintf(path, sizeof(path), "%s/stat", pid);
	if (cgroup_read(proc, path, text, sizeof(text)) <= 0)
		return false;
	const char *at = strrchr(text, ')');
	/* state ppid pgrp SESSION, then 17 numbers until RSS: proc(5) */
	if (at == NULL ||
	    sscanf(at + 1,
	        " %*c %*d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d "
	        "%*d %*d %*d %*d %*u %*u %" SCNu64,
	        &session, &pages) != 2)
		return false;
	*ret_session = session;
	*ret_rss = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

typedef void process_fn(
    void *arg, int proc, const char *pid, pid_t session, uint64_t rss);

static int
each_process(process_fn *tell, void *arg, struct err *err)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;

	if (proc == NULL)
		return err_sys(err, "open '/proc'");
	while ((entry = readdir(proc)) != NULL) {
		pid_t session;
		uint64_t rss;
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    read_stat(dirfd(proc), entry->d_name, &session, &rss))
			tell(arg, dirfd(proc), entry->d_name, session, rss);
	}
	(void)closedir(proc);
	return 0;
}

struct looking {
	struct memory_session *sessions;
	size_t count;
};

static void
add_process(void *arg, int proc, const char *pid, pid_t session, uint64_t rss)
{
	const struct looking *looking = arg;
	const struct memory_session key = {.id = session};

	(void)proc;
	(void)pid;
	struct memory_session *one = bsearch(
	    &key, looking->sessions, looking->count, sizeof(key), by_id);
	if (one == NULL)
		return;
	one->processes++;
	one->rss += rss;
	one->largest = MAX(one->largest, rss);
}

int
memory_look(struct memory_session *sessions, size_t count, struct err *err)
{
	struct looking looking = {sessions, count};

	qsort(sessions, count, sizeof(*sessions), by_id);
	return each_process(add_process, &looking, err);
}

const struct memory_session *
memory_find(const struct memory_session *sessions, size_t count, pid_t id)
{
	const struct memory_session key = {.id = id};

	return bsearch(&key, sessions, count, sizeof(key), by_id);
}

struct sharing {
	pid_t session;
	uint64_t pss;
	bool unknown;
};

static void
add_pss(void *arg, int proc, const char *pid, pid_t session, uint64_t rss)
{
	struct sharing *sharing = arg;
	char path[300];
	char text[ROLLUP_SIZE];
	uint64_t kib = 0;

	(void)rss;
	if (session != sharing->session)
		return;
	(void)snprintf(path, sizeof(path), "%s/smaps_rollup", pid);
	const char *at = cgroup_read(proc, path, text, sizeof(text)) <= 0
	                     ? NULL
	                     : strstr(text, "\nPss:");
	if (at == NULL || sscanf(at, "\nPss: %" SCNu64, &kib) != 1)
		sharing->unknown = true;
	sharing->pss += kib * 1024;
}

uint64_t
memory_certain(const struct memory_session *session)
{
	struct sharing sharing = {.session = session->id};

	if (session->processes <= 1)
		return session->rss;
	if (each_process(add_pss, &sharing, NULL) == -1 || sharing.unknown)
		return session->largest;
	return sharing.pss;
}
