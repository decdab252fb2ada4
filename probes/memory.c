/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "probes/memory.h"

enum {
	STAT_SIZE = 1024,
	ROLLUP_SIZE = 4096,
	/* words of proc(5)'s stat behind the name: state ppid pgrp SESSION … */
	STAT_SESSION = 4,
	STAT_RSS = 22,
};

static int
by_id(const void *a, const void *b)
{
	const struct memory_session *left = a;
	const struct memory_session *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

/* The number that `text` begins with, after blanks. */
static bool
read_number(const char *text, uint64_t *ret)
{
	char *end;

	*ret = strtoull(text, &end, 10);
	return end != text;
}

/* The nth word behind `at`, with the blank before it; NULL: there are fewer. */
static const char *
nth_word(const char *at, unsigned n)
{
	for (; at != NULL && n > 0; n--)
		at = strchr(at + 1, ' ');
	return at;
}

/* Session and RSS of a process; false: it is gone. The name, in parentheses,
 * may hold anything. */
static bool
read_stat(int proc, const char *pid, pid_t *ret_session, uint64_t *ret_rss)
{
	char path[300];
	char text[STAT_SIZE];
	uint64_t session = 0, pages = 0;

	(void)snprintf(path, sizeof(path), "%s/stat", pid);
	if (cgroup_read(proc, path, text, sizeof(text)) <= 0)
		return false;
	const char *end = strrchr(text, ')');
	const char *first = nth_word(end, STAT_SESSION);
	const char *rss = nth_word(first, STAT_RSS - STAT_SESSION);
	if (rss == NULL || !read_number(first, &session) ||
	    !read_number(rss, &pages))
		return false;
	*ret_session = (pid_t)session;
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
	if (at == NULL || !read_number(at + strlen("\nPss:"), &kib))
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
