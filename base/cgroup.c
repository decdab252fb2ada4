/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/fd.h"
#include "base/text.h"

enum {
	LINE_SIZE = 4096, /* a longer line of mountinfo is not ours */
	FIELDS = 16,      /* of mountinfo that can matter */
	FILE_SIZE = 2048, /* memory.events, cgroup.controllers */
};

/* --- lines of a file of the kernel --- */

struct lines {
	int fd;
	size_t at, len;
	char bytes[LINE_SIZE];
};

/* The next whole line, or NULL. */
static char *
next_line(struct lines *lines)
{
	bool too_long = false;

	for (;;) {
		char *start = lines->bytes + lines->at;
		char *end = memchr(start, '\n', lines->len - lines->at);
		if (end != NULL) {
			*end = '\0';
			lines->at = (size_t)(end + 1 - lines->bytes);
			if (!too_long)
				return start;
			too_long = false;
			continue;
		}
		memmove(lines->bytes, start, lines->len - lines->at);
		lines->len -= lines->at;
		lines->at = 0;
		if (lines->len == sizeof(lines->bytes)) {
			lines->len = 0;
			too_long = true;
		}
		ssize_t got = read(lines->fd, lines->bytes + lines->len,
		    sizeof(lines->bytes) - lines->len);
		if (got <= 0)
			return NULL;
		lines->len += (size_t)got;
	}
}

static int
open_lines(struct lines *lines, const char *path, struct err *err)
{
	*lines = (struct lines){.fd = open(path, O_RDONLY | O_CLOEXEC)};
	if (lines->fd == -1)
		return err_sys(err, "open '%s'", path);
	return 0;
}

/* `word` in a list with `separator` between. */
static bool
has_word(const char *list, const char *word, char separator)
{
	size_t len = strlen(word);

	for (;;) {
		const char *end = strchrnul(list, separator);
		if ((size_t)(end - list) == len && memcmp(list, word, len) == 0)
			return true;
		if (*end == '\0')
			return false;
		list = end + 1;
	}
}

/* --- where it is --- */

/* The controller that a hierarchy of version 1 is looked for by. */
static const char *
controller_of(enum cgroup_hierarchy hierarchy)
{
	return hierarchy == CGROUP_V1_PIDS ? "pids" : "memory";
}

/* "4:memory:/path", "0::/path": the path, or NULL. */
static const char *
membership_path(char *line, enum cgroup_hierarchy hierarchy)
{
	char *controllers = strchr(line, ':');
	char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');

	if (path == NULL)
		return NULL;
	*controllers++ = '\0';
	*path++ = '\0';
	if (hierarchy == CGROUP_V2)
		return text_equal(line, "0") && *controllers == '\0' ? path
		                                                     : NULL;
	return has_word(controllers, controller_of(hierarchy), ',') ? path
	                                                            : NULL;
}

static int
find_membership(const char *file, enum cgroup_hierarchy hierarchy, char *dst,
    size_t size, struct err *err)
{
	struct lines lines;
	char *line;
	int rc = -1;

	if (open_lines(&lines, file, err) == -1)
		return -1;
	(void)err_set(err, ERR_CAPACITY, "the process is in no cgroup of %s%s",
	    hierarchy == CGROUP_V2 ? "version 2" : "the v1 controller ",
	    hierarchy == CGROUP_V2 ? "" : controller_of(hierarchy));
	while (rc == -1 && (line = next_line(&lines)) != NULL) {
		const char *path = membership_path(line, hierarchy);
		if (path != NULL)
			rc = text_copy(dst, size, path, err);
	}
	fd_close(&lines.fd);
	return rc;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void
unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' &&
		    from[2] >= '0' && from[2] <= '7' && from[3] >= '0' &&
		    from[3] <= '7') {
			*to++ = (char)((from[1] - '0') * 64 +
			               (from[2] - '0') * 8 + (from[3] - '0'));
			from += 3;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
}

struct mount {
	char *root, *point;
};

/* 36 35 98:0 /root /point rw,noatime opt… - type source super,options */
static bool
parse_mount(char *line, enum cgroup_hierarchy hierarchy, struct mount *ret)
{
	char *dash = strstr(line, " - ");
	char *fields[FIELDS];
	size_t count = 0;

	if (dash == NULL)
		return false;
	*dash = '\0';
	char *type = dash + 3;
	char *source = strchr(type, ' ');
	char *options = source == NULL ? NULL : strchr(source + 1, ' ');
	if (options == NULL)
		return false;
	*source = '\0';
	options++;
	for (char *at = line; at != NULL && count < FIELDS;) {
		fields[count++] = at;
		at = strchr(at, ' ');
		if (at != NULL)
			*at++ = '\0';
	}
	if (count < 5)
		return false;
	if (hierarchy == CGROUP_V2
	        ? !text_equal(type, "cgroup2")
	        : !text_equal(type, "cgroup") ||
	              !has_word(options, controller_of(hierarchy), ','))
		return false;
	ret->root = fields[3];
	ret->point = fields[4];
	unescape(ret->root);
	unescape(ret->point);
	return true;
}

/* What of `path` lies below the mount's root, or NULL. */
static const char *
below(const char *path, const char *root)
{
	size_t len = strlen(root);

	if (text_equal(root, "/"))
		return path;
	if (strncmp(path, root, len) != 0 ||
	    (path[len] != '/' && path[len] != '\0'))
		return NULL;
	return path + len;
}

int
cgroup_find_in(const char *membership, const char *mountinfo,
    enum cgroup_hierarchy hierarchy, char *dst, size_t size, struct err *err)
{
	char path[CGROUP_PATH_MAX];
	static struct lines lines; /* too much for a stack; no threads here */
	char *line;
	int rc = -1;

	if (find_membership(membership, hierarchy, path, sizeof(path), err) ==
	    -1)
		return -1;
	if (open_lines(&lines, mountinfo, err) == -1)
		return -1;
	(void)err_set(err, ERR_CAPACITY,
	    "the cgroup of '%s' is not mounted here", membership);
	while (rc == -1 && (line = next_line(&lines)) != NULL) {
		struct mount mount;
		const char *rest = NULL;
		if (parse_mount(line, hierarchy, &mount))
			rest = below(path, mount.root);
		if (rest != NULL)
			rc = text_format(dst, size, err, "%s%s", mount.point,
			    text_equal(rest, "/") ? "" : rest);
	}
	fd_close(&lines.fd);
	return rc;
}

int
cgroup_find(pid_t pid, enum cgroup_hierarchy hierarchy, char *dst, size_t size,
    struct err *err)
{
	char membership[64] = "/proc/self/cgroup";

	if (pid != 0)
		(void)snprintf(membership, sizeof(membership),
		    "/proc/%d/cgroup", (int)pid);
	return cgroup_find_in(
	    membership, "/proc/self/mountinfo", hierarchy, dst, size, err);
}

/* --- files --- */

ssize_t
cgroup_read(int dir, const char *file, char *dst, size_t size)
{
	size_t len = 0;
	ssize_t got = 0;
	int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd == -1)
		return -1;
	while (len < size && (got = read(fd, dst + len, size - len)) > 0)
		len += (size_t)got;
	fd_close(&fd);
	if (got == -1 || len == size)
		return -1;
	dst[len] = '\0';
	return (ssize_t)len;
}

/* The digits at `text`, which end at white space. */
static bool
parse_number(const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		unsigned digit = (unsigned)(*text - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret = value;
	return *text == '\0' || *text == '\n' || *text == ' ';
}

bool
cgroup_read_number(int dir, const char *file, uint64_t *ret)
{
	char text[64];

	if (cgroup_read(dir, file, text, sizeof(text)) <= 0)
		return false;
	if (text_starts(text, "max")) {
		*ret = UINT64_MAX;
		return true;
	}
	return parse_number(text, ret);
}

bool
cgroup_read_key(int dir, const char *file, const char *key, uint64_t *ret)
{
	char text[FILE_SIZE];
	size_t len = strlen(key);

	if (cgroup_read(dir, file, text, sizeof(text)) <= 0)
		return false;
	for (const char *at = text; *at != '\0';) {
		if (strncmp(at, key, len) == 0 && at[len] == ' ')
			return parse_number(at + len + 1, ret);
		at = strchrnul(at, '\n');
		at += *at == '\n';
	}
	return false;
}

bool
cgroup_read_word(int dir, const char *file, const char *word)
{
	char text[FILE_SIZE];
	ssize_t len = cgroup_read(dir, file, text, sizeof(text));

	if (len <= 0)
		return false;
	if (text[len - 1] == '\n')
		text[len - 1] = '\0';
	return has_word(text, word, ' ');
}

bool
cgroup_write(int dir, const char *file, const char *text)
{
	/* without O_NONBLOCK a lower memory.max waits for reclaim (6.15) */
	int fd = openat(dir, file, O_WRONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd == -1)
		return false;
	ssize_t wrote = write(fd, text, strlen(text));
	fd_close(&fd);
	return wrote > 0;
}

pid_t
cgroup_procs_next(struct cgroup_procs *list)
{
	int64_t pid = 0;

	for (;;) {
		if (list->at == list->len) {
			ssize_t got =
			    read(list->fd, list->bytes, sizeof(list->bytes));
			list->at = 0;
			list->len = got > 0 ? (uint16_t)got : 0;
			if (got <= 0)
				return 0;
		}
		char c = list->bytes[list->at++];
		if (c >= '0' && c <= '9' && pid <= INT32_MAX / 10)
			pid = pid * 10 + (c - '0');
		else if (pid > 0)
			return (pid_t)pid;
		else
			list->hidden += c == '\n';
	}
}
