/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"

enum {
	ROOM_LOOKS = 4096, /* processes; it is in our own time */
};

/* A file's first bytes as text without its last newline; false: none. */
static bool
read_text(const char *path, char *dst, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd == -1)
		return false;
	ssize_t got = read(fd, dst, size - 1);
	fd_close(&fd);
	if (got <= 0)
		return false;
	dst[got] = '\0';
	if (dst[got - 1] == '\n')
		dst[got - 1] = '\0';
	return true;
}

static bool
count_of(const char *folder, char *dst, size_t size)
{
	char path[512], most[32], now[32];

	(void)snprintf(path, sizeof(path), "%s/pids.max", folder);
	if (!read_text(path, most, sizeof(most)))
		return false;
	(void)snprintf(path, sizeof(path), "%s/pids.current", folder);
	if (!read_text(path, now, sizeof(now)))
		return false;
	(void)snprintf(
	    dst, size, ": pids.current=%s of pids.max=%s", now, most);
	return true;
}

/* "12:pids:/a/b" is below the hierarchy of version 1, "0::/a/b" of version 2.
 */
static bool
count_by_path(char *dst, size_t size)
{
	char lines[2048], folder[256];

	if (!read_text("/proc/self/cgroup", lines, sizeof(lines)))
		return false;
	for (char *line = lines, *end; line != NULL; line = end) {
		end = strchr(line, '\n');
		if (end != NULL)
			*end++ = '\0';
		const char *v1 = strstr(line, ":pids:");
		bool v2 = text_starts(line, "0::");
		if (v1 == NULL && !v2)
			continue;
		(void)snprintf(folder, sizeof(folder), "/sys/fs/cgroup%s%s",
		    v2 ? "" : "/pids", v2 ? line + 3 : v1 + 6);
		if (count_of(folder, dst, size))
			return true;
	}
	return false;
}

/* Processes that have ended and that their parent doesn't reap: not ours, and
 * often what fills the limit. -1: not known. */
static int
zombies(void)
{
	char bytes[4096], path[64], text[512];
	unsigned looked = 0;
	int count = 0;
	long got;
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return -1;
	while (looked < ROOM_LOOKS &&
	       (got = syscall(SYS_getdents64, fd, bytes, sizeof(bytes))) > 0)
		for (long at = 0; at < got && looked < ROOM_LOOKS;) {
			const struct dirent64 *entry =
			    (const void *)(bytes + at);
			at += entry->d_reclen;
			if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
				continue;
			looked++;
			(void)snprintf(path, sizeof(path), "/proc/%.16s/stat",
			    entry->d_name);
			if (!read_text(path, text, sizeof(text)))
				continue;
			const char *state = strrchr(text, ')');
			count += state != NULL && text_starts(state, ") Z");
		}
	fd_close(&fd);
	return count;
}

/* What `dst` says so far, and more of it. */
static void
add_limit(char *dst, size_t size)
{
	size_t used = strlen(dst);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NPROC, &limit) == -1 ||
	    limit.rlim_cur == RLIM_INFINITY)
		return;
	(void)snprintf(dst + used, size - used,
	    "%s this user may have %llu (RLIMIT_NPROC)", used > 0 ? ";" : ":",
	    (unsigned long long)limit.rlim_cur);
}

void
room_for_processes(char *dst, size_t size)
{
	dst[0] = '\0';
	/* a container sees its own cgroup there */
	if (!count_of("/sys/fs/cgroup", dst, size) &&
	    !count_of("/sys/fs/cgroup/pids", dst, size))
		(void)count_by_path(dst, size);
	add_limit(dst, size);
	int dead = zombies();
	size_t used = strlen(dst);
	if (dead >= 0)
		(void)snprintf(dst + used, size - used, "%s %d zombies",
		    used > 0 ? "," : ":", dead);
}
