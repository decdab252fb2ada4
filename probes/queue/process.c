/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "probes/queue/process.h"

enum {
	STAT_TEXT_MAX = 1024,
	FIELD_STARTED = 22,
	FIELD_STATE = 3
};

void
process_host(char dst[PROCESS_HOST_SIZE])
{
	char host[65] = "";
	char space[48] = "";

	if (gethostname(host, sizeof(host) - 1) == -1)
		host[0] = '\0';
	if (readlink("/proc/self/ns/pid", space, sizeof(space) - 1) == -1)
		space[0] = '\0';
	(void)snprintf(dst, PROCESS_HOST_SIZE, "%s %s", host, space);
}

int
process_started(pid_t pid, int64_t *ret)
{
	char path[64];
	char text[STAT_TEXT_MAX];

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		return -1;
	ssize_t len = read(fd, text, sizeof(text) - 1);

	fd_close(&fd);
	if (len <= 0)
		return -1;
	text[len] = '\0';
	/* the command's name may hold anything, ')' too */
	const char *at = strrchr(text, ')');
	int field = FIELD_STATE - 1;

	while (at != NULL && field < FIELD_STARTED) {
		at = strchr(at + 1, ' ');
		field++;
		if (at != NULL && field == FIELD_STATE && at[1] == 'Z')
			return -1;
	}
	if (at == NULL)
		return -1;
	*ret = strtoll(at + 1, NULL, 10);
	return 0;
}
