/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/fd.h"
#include "base/text.h"
#include "worker/cgroup.h"
#include "worker/clone.h"
#include "worker/exit.h"
#include "worker/send.h"

enum {
	CPU_PERIOD_US = 100000, /* Kubernetes' */
	CPU_LEAST_US = 1000,    /* the kernel refuses less */
	KILL_ROUNDS = 8,        /* of a cgroup that goes on forking */
	FILE_NAME_MAX = CGROUP_NAME_MAX + 32,
};

static const char OWN_LEAF[] = "init";

static const struct controller {
	uint32_t bit;
	const char *name, *enable, *disable;
} controllers[] = {
    {CGROUP_MEMORY, "memory", "+memory", "-memory"},
    {CGROUP_CPU, "cpu", "+cpu", "-cpu"},
    {CGROUP_PIDS, "pids", "+pids", "-pids"},
};

/* --- is it ours to divide? --- */

/* The supervisor is alone in it; `ret_others`: processes beside us. */
static bool
count_others(int dir, uint32_t *ret_others)
{
	struct cgroup_procs list = {
	    .fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC)};
	uint32_t others = 0;
	pid_t pid;

	if (list.fd == -1)
		return false;
	while ((pid = cgroup_procs_next(&list)) != 0)
		others += pid != getpid();
	fd_close(&list.fd);
	*ret_others = others + list.hidden;
	return true;
}

/* systemd divides its own units, unless it says that it doesn't. */
static bool
is_systemds(int dir, const char *path)
{
	char value[8];

	if (getpid() == 1 ||
	    (!text_ends(path, ".service") && !text_ends(path, ".scope")))
		return false;
	return fgetxattr(dir, "user.delegate", value, sizeof(value)) <= 0 &&
	       fgetxattr(dir, "trusted.delegate", value, sizeof(value)) <= 0;
}

static void explain(struct cgroup_tree *tree, const char *fmt, ...)
    PRINTF_LIKE(2, 3);

static void
explain(struct cgroup_tree *tree, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(tree->why, sizeof(tree->why), fmt, args);
	va_end(args);
}

/* The tail of a path, so that it fits a line. */
static const char *
tail(const char *path)
{
	size_t len = strlen(path);

	return len > 48 ? path + len - 48 : path;
}

static bool
may_divide(struct cgroup_tree *tree, const char *path)
{
	uint32_t others;

	if (faccessat(tree->dir, "cgroup.procs", W_OK, AT_EACCESS) == -1) {
		struct statvfs how;
		bool read_only = fstatvfs(tree->dir, &how) == 0 &&
		                 (how.f_flag & ST_RDONLY) != 0;
		explain(tree, "'%s' is %s", tail(path),
		    read_only || errno == EROFS ? "read-only"
		                                : "not writable for us");
		return false;
	}
	if (!count_others(tree->dir, &others)) {
		explain(
		    tree, "'%s' can't be read: error %d", tail(path), errno);
		return false;
	}
	if (others > 0) {
		explain(tree, "'%s' has %u other processes in it", tail(path),
		    others);
		return false;
	}
	if (is_systemds(tree->dir, path)) {
		explain(
		    tree, "'%s' is a unit without Delegate=yes", tail(path));
		return false;
	}
	return true;
}

/* --- making the tree --- */

static bool
move_self(int dir, const char *leaf)
{
	char file[FILE_NAME_MAX];

	(void)snprintf(file, sizeof(file), "%s%scgroup.procs", leaf,
	    *leaf == '\0' ? "" : "/");
	return cgroup_write(dir, file, "0");
}

static bool
make_leaf(struct cgroup_tree *tree, const char *path)
{
	if (mkdirat(tree->dir, OWN_LEAF, 0755) == -1 && errno != EEXIST) {
		explain(tree, "no cgroup can be made in '%s': error %d",
		    tail(path), errno);
		return false;
	}
	if (!move_self(tree->dir, OWN_LEAF)) {
		explain(tree, "we can't move into '%s/%s': error %d",
		    tail(path), OWN_LEAF, errno);
		(void)unlinkat(tree->dir, OWN_LEAF, AT_REMOVEDIR);
		return false;
	}
	return true;
}

/* One by one: a controller that is refused takes no other with it. */
static void
enable_controllers(struct cgroup_tree *tree)
{
	char missing[32] = "";
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
		const struct controller *one = &controllers[i];
		if (cgroup_read_word(
		        tree->dir, "cgroup.controllers", one->name) &&
		    cgroup_write(
		        tree->dir, "cgroup.subtree_control", one->enable)) {
			tree->have |= one->bit;
			continue;
		}
		int wrote = snprintf(missing + len, sizeof(missing) - len,
		    "%s%s", len == 0 ? "" : ", ", one->name);
		len += (size_t)MAX(wrote, 0);
	}
	if (len > 0)
		explain(tree, "no %s controller in cgroup v2 here", missing);
}

static void
probe_features(struct cgroup_tree *tree)
{
	if (faccessat(tree->dir, "init/cgroup.kill", W_OK, AT_EACCESS) == 0)
		tree->have |= CGROUP_KILL;
	if (clone_into_possible())
		tree->have |= CGROUP_CLONE;
}

static int
open_dir(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
}

/* "oom_kill 3" in both versions: memory.events, memory.oom_control. */
static bool
read_oom_kills(const struct cgroup_tree *tree, uint64_t *ret)
{
	char text[512];
	ssize_t len = -1;

	if (tree->oom_file >= 0)
		len = pread(tree->oom_file, text, sizeof(text) - 1, 0);
	if (len <= 0)
		return false;
	text[len] = '\0';
	const char *at = strstr(text, "oom_kill ");
	if (at == NULL)
		return false;
	*ret = 0;
	for (at += strlen("oom_kill "); *at >= '0' && *at <= '9'; at++)
		*ret = *ret * 10 + (uint64_t)(*at - '0');
	return true;
}

/* What counts OOM kills where no cgroup of an instance does. */
static void
open_oom_file(struct cgroup_tree *tree)
{
	char path[CGROUP_PATH_MAX];

	if (tree->dir >= 0)
		tree->oom_file =
		    openat(tree->dir, "memory.events", O_RDONLY | O_CLOEXEC);
	if (tree->oom_file == -1 &&
	    cgroup_find(0, CGROUP_V1_MEMORY, path, sizeof(path), NULL) == 0) {
		int dir = open_dir(path);
		if (dir >= 0)
			tree->oom_file = openat(
			    dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
		fd_close(&dir);
	}
	/* what happened before is nobody's */
	(void)read_oom_kills(tree, &tree->oom_kills);
}

void
cgroup_tree_open(struct cgroup_tree *tree)
{
	char path[CGROUP_PATH_MAX];
	struct err err = ERR_INIT;

	*tree = CGROUP_TREE_INIT;
	if (cgroup_find(0, CGROUP_V2, path, sizeof(path), &err) == -1) {
		explain(tree, "no cgroup v2: %.96s", err.text);
		open_oom_file(tree);
		return;
	}
	tree->dir = open_dir(path);
	if (tree->dir == -1)
		explain(
		    tree, "'%s' can't be opened: error %d", tail(path), errno);
	open_oom_file(tree);
	if (tree->dir == -1 || !may_divide(tree, path) ||
	    !make_leaf(tree, path))
		return;
	tree->have = CGROUP_TREE;
	enable_controllers(tree);
	probe_features(tree);
}

void
cgroup_tree_close(struct cgroup_tree *tree)
{
	if ((tree->have & CGROUP_TREE) != 0) {
		for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
			if ((tree->have & controllers[i].bit) != 0)
				(void)cgroup_write(tree->dir,
				    "cgroup.subtree_control",
				    controllers[i].disable);
		if (move_self(tree->dir, ""))
			(void)unlinkat(tree->dir, OWN_LEAF, AT_REMOVEDIR);
	}
	fd_close(&tree->dir);
	fd_close(&tree->oom_file);
	tree->have = 0;
}

uint32_t
cgroup_missing(
    const struct cgroup_tree *tree, const struct cgroup_limits *limits)
{
	uint32_t wanted = 0;

	if (limits->memory_bytes > 0)
		wanted |= CGROUP_MEMORY;
	if (limits->cpu_milli > 0)
		wanted |= CGROUP_CPU;
	if (limits->pids > 0)
		wanted |= CGROUP_PIDS;
	return wanted & ~tree->have;
}

/* --- one instance --- */

static const char *
file_of(char dst[FILE_NAME_MAX], const char *name, const char *file)
{
	(void)snprintf(dst, FILE_NAME_MAX, "%s/%s", name, file);
	return dst;
}

static int
open_procs(const struct cgroup_tree *tree, const char *name)
{
	char file[FILE_NAME_MAX];

	return openat(tree->dir, file_of(file, name, "cgroup.procs"),
	    O_RDONLY | O_CLOEXEC);
}

static int
make_empty(const struct cgroup_tree *tree, const char *name, struct err *err)
{
	if (mkdirat(tree->dir, name, 0755) == 0)
		return 0;
	if (errno != EEXIST)
		return err_sys(err, "make the cgroup '%s'", name);
	/* one of a start before, with its counters: another one is clean */
	if (cgroup_populated(tree, name))
		cgroup_kill(tree, name);
	if (unlinkat(tree->dir, name, AT_REMOVEDIR) == 0 &&
	    mkdirat(tree->dir, name, 0755) == 0)
		return 0;
	if (errno == EBUSY)
		return err_set(err, ERR_CAPACITY,
		    "the cgroup '%s' has processes that don't end", name);
	return err_sys(err, "make the cgroup '%s' again", name);
}

int
cgroup_prepare(
    const struct cgroup_tree *tree, const char *name, struct err *err)
{
	if (make_empty(tree, name, err) == -1)
		return -1;
	int dir = openat(
	    tree->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
	return dir != -1 ? dir : err_sys(err, "open the cgroup '%s'", name);
}

static int
limit(int dir, const char *file, const char *value, struct err *err)
{
	return cgroup_write(dir, file, value)
	           ? 0
	           : err_sys(err, "%s: %s", file, value);
}

static int
limit_memory(int dir, uint64_t bytes, struct err *err)
{
	char value[32];

	(void)snprintf(value, sizeof(value), "%" PRIu64, bytes);
	/* As for a container: no way out into swap, and it ends as a whole.
	 * Older kernels, and those without swap, lack these files. */
	(void)cgroup_write(dir, "memory.swap.max", "0");
	(void)cgroup_write(dir, "memory.oom.group", "1");
	return limit(dir, "memory.max", value, err);
}

static int
limit_cpu(int dir, uint32_t milli, struct err *err)
{
	char value[32];
	uint64_t quota = (uint64_t)milli * CPU_PERIOD_US / 1000;

	(void)snprintf(value, sizeof(value), "%" PRIu64 " %d",
	    MAX(quota, (uint64_t)CPU_LEAST_US), (int)CPU_PERIOD_US);
	return limit(dir, "cpu.max", value, err);
}

int
cgroup_limit(const struct cgroup_tree *tree, int dir,
    const struct cgroup_limits *limits, struct err *err)
{
	char value[16];
	int rc = 0;

	if (limits->memory_bytes > 0 && (tree->have & CGROUP_MEMORY) != 0)
		rc = limit_memory(dir, limits->memory_bytes, err);
	if (limits->cpu_milli > 0 && (tree->have & CGROUP_CPU) != 0 &&
	    limit_cpu(dir, limits->cpu_milli, err) == -1)
		rc = -1;
	if (limits->pids > 0 && (tree->have & CGROUP_PIDS) != 0) {
		(void)snprintf(value, sizeof(value), "%" PRIu32, limits->pids);
		if (limit(dir, "pids.max", value, err) == -1)
			rc = -1;
	}
	return rc;
}

bool
cgroup_populated(const struct cgroup_tree *tree, const char *name)
{
	char file[FILE_NAME_MAX];
	uint64_t populated = 0;

	return (tree->have & CGROUP_TREE) != 0 &&
	       cgroup_read_key(tree->dir, file_of(file, name, "cgroup.events"),
	           "populated", &populated) &&
	       populated != 0;
}

/* The process that `pid` was when the descriptor was made is the one that is
 * killed; and a second look at the list says that it was in it then. */
static void
kill_one(const struct cgroup_tree *tree, const char *name, pid_t pid)
{
	struct cgroup_procs list = {.fd = open_procs(tree, name)};
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	pid_t found = 0;

	while (list.fd >= 0 && (found = cgroup_procs_next(&list)) != 0)
		if (found == pid)
			break;
	fd_close(&list.fd);
	if (found == pid)
		(void)send_to_opened(pidfd, pid, SIGKILL);
	fd_close(&pidfd);
}

void
cgroup_kill(const struct cgroup_tree *tree, const char *name)
{
	char file[FILE_NAME_MAX];

	if ((tree->have & CGROUP_TREE) == 0)
		return;
	if ((tree->have & CGROUP_KILL) != 0 &&
	    cgroup_write(tree->dir, file_of(file, name, "cgroup.kill"), "1"))
		return;
	for (int i = 0; i < KILL_ROUNDS && cgroup_populated(tree, name); i++) {
		struct cgroup_procs list = {.fd = open_procs(tree, name)};
		pid_t pid;
		while (list.fd >= 0 && (pid = cgroup_procs_next(&list)) != 0)
			kill_one(tree, name, pid);
		fd_close(&list.fd);
	}
}

uint32_t
cgroup_escaped(
    const struct cgroup_tree *tree, const char *name, pid_t pgid, int signo)
{
	struct cgroup_procs list = {.fd = -1};
	uint32_t escaped = 0;
	pid_t pid;

	if ((tree->have & CGROUP_TREE) != 0)
		list.fd = open_procs(tree, name);
	while (list.fd >= 0 && (pid = cgroup_procs_next(&list)) != 0) {
		if (getpgid(pid) == pgid)
			continue;
		escaped++;
		if (signo != 0 && exit_is_child(pid))
			(void)send_to_process(pid, signo);
	}
	fd_close(&list.fd);
	return escaped;
}

bool
cgroup_oom_kills(
    const struct cgroup_tree *tree, const char *name, uint64_t *ret)
{
	char file[FILE_NAME_MAX];

	return (tree->have & CGROUP_MEMORY) != 0 &&
	       cgroup_read_key(tree->dir, file_of(file, name, "memory.events"),
	           "oom_kill", ret);
}

void
cgroup_remove(const struct cgroup_tree *tree, const char *name)
{
	if ((tree->have & CGROUP_TREE) != 0)
		(void)unlinkat(tree->dir, name, AT_REMOVEDIR);
}

/* --- without one --- */

bool
cgroup_take_oom_kill(struct cgroup_tree *tree)
{
	uint64_t kills;

	if (!read_oom_kills(tree, &kills) || kills <= tree->oom_kills)
		return false;
	tree->oom_kills++;
	return true;
}
