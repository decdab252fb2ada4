/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "supervisor/init/tool.h"

enum {
	DIR_MAX = 2048
};

static const char *const beside[] = {
    "reeve-tool", "../libexec/reeve/reeve-tool"};

/* The path that our own image had, without what the kernel puts behind it when
 * the file was replaced. */
static int
own_path(char path[DIR_MAX], struct err *err)
{
	static const char deleted[] = " (deleted)";
	ssize_t len = readlink("/proc/self/exe", path, DIR_MAX - 1);

	if (len == -1)
		return err_sys(err, "readlink '/proc/self/exe'");
	if (len == DIR_MAX - 1)
		return err_set(err, ERR_CAPACITY, "our own path is too long");
	path[len] = '\0';
	if (text_ends(path, deleted))
		path[(size_t)len - (sizeof(deleted) - 1)] = '\0';
	return 0;
}

/* The directory of our own image, with its '/' at the end. */
static int
own_directory(char dir[DIR_MAX], struct err *err)
{
	if (own_path(dir, err) == -1)
		return -1;
	char *slash = strrchr(dir, '/');
	if (slash == NULL)
		return err_set(
		    err, ERR_SYSTEM, "our own path '%s' has no '/'", dir);
	slash[1] = '\0';
	return 0;
}

static int
open_executable(const char *path)
{
	struct stat what;
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd == -1)
		return -1;
	if (fstat(fd, &what) == 0 && S_ISREG(what.st_mode) &&
	    (what.st_mode & 0111) != 0)
		return fd;
	fd_close(&fd);
	return -1;
}

int
tool_open(struct err *err)
{
	char dir[DIR_MAX];
	char path[DIR_MAX + 64];
	bool have_dir = own_directory(dir, NULL) == 0;

	for (size_t i = 0; have_dir && i < ARRAY_LEN(beside); i++) {
		if (text_format(
		        path, sizeof(path), err, "%s%s", dir, beside[i]) == -1)
			return -1;
		int fd = open_executable(path);
		if (fd != -1)
			return fd;
	}
	int fd = open_executable(REEVE_LIBEXECDIR "/reeve-tool");
	if (fd != -1)
		return fd;
	if (!have_dir)
		return err_set(err, ERR_SYSTEM,
		    "reeve-tool not found: /proc is not there, and it is not "
		    "in " REEVE_LIBEXECDIR);
	return err_set(err, ERR_SYSTEM,
	    "reeve-tool not found: looked beside %sreeve, in "
	    "%s../libexec/reeve and in " REEVE_LIBEXECDIR,
	    dir, dir);
}

int
tool_open_installed(struct err *err)
{
	char path[DIR_MAX];

	if (own_path(path, err) == -1)
		return -1;
	int fd = open_executable(path);
	return fd != -1 ? fd
	                : err_set(err, ERR_INPUT, "'%s' can't be executed: %s",
	                      path, errno == 0 ? "not a program" : "not there");
}

int
tool_open_self(struct err *err)
{
	int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);

	if (fd == -1)
		return err_sys(err, "open '/proc/self/exe'");
	return fd;
}

void
tool_exec(int fd, const char *const argv[], const char *const envp[])
{
	(void)syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
}
