/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/fd.h"
#include "base/text.h"
#include "probes/inspect.h"
#include "probes/look.h"

/*
 * Kind "platform" {users, groups}: what a supervisor that is started here, by
 * us, could give its workers. docs/probes.md lists the facts; one that can't be
 * had is left out. Source of the formats: proc_pid_status(5), cgroup-v2.rst.
 */
enum {
	STATUS_SIZE = 4096,
	TEXT_SIZE = 1024,
	GROUPS_MAX = 256,
};

/* --- who we are --- */

static void
note_ids(struct look *look)
{
	const struct passwd *user = getpwuid(geteuid());
	const struct group *group = getgrgid(getegid());
	gid_t groups[GROUPS_MAX];
	const char *list = "";
	int count = getgroups(GROUPS_MAX, groups);

	look_note(look, "uid", "%u", (unsigned)geteuid());
	look_note(look, "gid", "%u", (unsigned)getegid());
	if (user != NULL)
		look_note(look, "user", "%s", user->pw_name);
	if (group != NULL)
		look_note(look, "group", "%s", group->gr_name);
	for (int i = 0; i < count; i++) {
		const struct group *entry = getgrgid(groups[i]);

		list = arena_format(look->arena, "%s%s%u%s%s", list,
		    list[0] == '\0' ? "" : " ", (unsigned)groups[i],
		    entry == NULL ? "" : " ",
		    entry == NULL ? "" : entry->gr_name);
	}
	if (count >= 0)
		look_note(look, "groups", "%s", list);
}

static bool
is_noted(const struct look *look, const char *fact)
{
	for (size_t i = 0; i < look->out.nfacts; i++)
		if (text_equal(look->facts[i].key, fact))
			return true;
	return false;
}

/* Where the name service itself fails, nothing is known of the name. */
static void
note_name(struct look *look, const char *fact, const char *name, bool user)
{
	errno = 0;
	const struct passwd *passwd = user ? getpwnam(name) : NULL;
	const struct group *group = user ? NULL : getgrnam(name);

	if (passwd != NULL)
		look_note(look, fact, "%u", (unsigned)passwd->pw_uid);
	else if (group != NULL)
		look_note(look, fact, "%u", (unsigned)group->gr_gid);
	else if (errno == 0 || errno == ENOENT || errno == ESRCH)
		look_note(look, fact, "none");
}

/* Whom workers are to run as: a number needs no entry, a name does. */
static int
note_names(struct look *look, const char *key, bool user)
{
	const cJSON *names = NULL, *item = NULL;
	const char *name = NULL;
	int64_t number = 0;

	if (!cJSON_HasObjectItem(look->request, key))
		return 0;
	if (json_array(look->request, key, &names, NULL) == -1)
		return -1;
	cJSON_ArrayForEach(item, names)
	{
		if (json_item_text(item, &name, NULL) == -1)
			return -1;
		const char *fact = arena_format(
		    look->arena, "%s %s", user ? "user" : "group", name);
		if (text_i64(name, 0, UINT32_MAX, &number, NULL) == -1 &&
		    !is_noted(look, fact))
			note_name(look, fact, name, user);
	}
	return 0;
}

/* "CapEff:\t000001ffffffffff" */
static const char *
status_value(char *status, const char *name, char *dst, size_t size)
{
	const char *at = strstr(status, name);

	if (at == NULL)
		return NULL;
	at += strlen(name);
	at += strspn(at, ":\t ");
	(void)snprintf(dst, size, "%.*s", (int)strcspn(at, "\n"), at);
	return dst;
}

static void
note_status(struct look *look)
{
	static const struct {
		const char *line, *fact;
	} lines[] = {
	    {"\nCapPrm", "capabilities"},
	    {"\nCapBnd", "capabilities-bounding"},
	};
	char status[STATUS_SIZE], value[TEXT_SIZE];

	if (cgroup_read(
	        AT_FDCWD, "/proc/self/status", status, sizeof(status)) == -1)
		return;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (status_value(status, lines[i].line, value, sizeof(value)) !=
		    NULL)
			look_note(look, lines[i].fact, "%s", value);
}

/* --- what the kernel lets us ask for --- */

static void
note_limits(struct look *look)
{
	char text[STATUS_SIZE];
	struct inspect_limit limit;
	uint64_t most = 0;
	const char *name;

	if (cgroup_read(AT_FDCWD, "/proc/self/limits", text, sizeof(text)) < 0)
		text[0] = '\0';
	for (size_t i = 0; (name = inspect_limit(text, i, &limit)) != NULL; i++)
		/* a prober leaves no core: that limit is its own */
		if (limit.hard[0] != '\0' && !text_equal(name, "core"))
			look_note(look,
			    arena_format(look->arena, "limit %s", name),
			    "%s:%s", limit.soft, limit.hard);
	if (cgroup_read_number(AT_FDCWD, "/proc/sys/fs/nr_open", &most))
		look_note(look, "nofile-most", "%" PRIu64, most);
}

static void
note_priorities(struct look *look)
{
	char text[TEXT_SIZE];

	errno = 0;
	int nice = getpriority(PRIO_PROCESS, 0);

	if (errno == 0)
		look_note(look, "nice", "%d", nice);
	if (cgroup_read(
	        AT_FDCWD, "/proc/self/oom_score_adj", text, sizeof(text)) > 0)
		look_note(look, "oom-score-adj", "%.*s",
		    (int)strcspn(text, "\n"), text);
}

/* All that we could run on, not only what we run on now: the kernel cuts a set
 * down to what the container has. Ours is put back. */
static void
note_cpus(struct look *look)
{
	cpu_set_t before, all;
	const char *list = "";

	memset(&all, 0xff, sizeof(all));
	if (sched_getaffinity(0, sizeof(before), &before) == -1 ||
	    sched_setaffinity(0, sizeof(all), &all) == -1)
		return;
	bool told = sched_getaffinity(0, sizeof(all), &all) == 0;

	(void)sched_setaffinity(0, sizeof(before), &before);
	for (size_t i = 0; told && i < CPU_SETSIZE; i++) {
		size_t last = i;

		if (!CPU_ISSET(i, &all))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &all))
			last++;
		list = arena_format(look->arena, "%s%s%zu-%zu", list,
		    list[0] == '\0' ? "" : ",", i, last);
		i = last;
	}
	if (told)
		look_note(look, "cpus", "%s", list);
}

/* --- the cgroup that we are in --- */

/* From `path` up to the mount's root: the least `pids.max`, and whether an OOM
 * kill anywhere there ends all at once. The root has neither file. */
static void
note_bounds(struct look *look, char *path)
{
	uint64_t most = 0, group = 0, least = UINT64_MAX, together = 0;
	bool has_pids = false, has_group = false;

	for (char *end = path + strlen(path); end != NULL && end != path;
	     end = strrchr(path, '/')) {
		*end = '\0';
		if (cgroup_read_number(AT_FDCWD,
		        arena_format(look->arena, "%s/pids.max", path),
		        &most)) {
			has_pids = true;
			least = MIN(least, most);
		}
		if (cgroup_read_number(AT_FDCWD,
		        arena_format(look->arena, "%s/memory.oom.group", path),
		        &group)) {
			has_group = true;
			together |= group;
		}
	}
	if (has_pids && least != UINT64_MAX)
		look_note(look, "pids-max", "%" PRIu64, least);
	else if (has_pids)
		look_note(look, "pids-max", "unlimited");
	if (has_group)
		look_note(look, "memory-oom-group", "%" PRIu64, together);
}

static void
note_cgroup(struct look *look)
{
	char path[CGROUP_PATH_MAX];
	char text[TEXT_SIZE];
	struct err err = ERR_INIT;

	if (cgroup_find(0, CGROUP_V1_PIDS, path, sizeof(path), &err) == 0)
		note_bounds(look, path);
	if (cgroup_find(0, CGROUP_V2, path, sizeof(path), &err) == -1) {
		look_note(look, "cgroup-why", "no cgroup v2: %s", err.text);
		return;
	}
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir == -1) {
		look_note(look, "cgroup-why", "'%s' can't be opened: %s", path,
		    strerror(errno));
		return;
	}
	if (cgroup_read(dir, "cgroup.controllers", text, sizeof(text)) >= 0)
		look_note(look, "cgroup-controllers", "%.*s",
		    (int)strcspn(text, "\n"), text);
	if (faccessat(dir, "cgroup.procs", W_OK, AT_EACCESS) == -1)
		look_note(look, "cgroup-why", "'%s' is %s", path,
		    errno == EROFS ? "read-only" : "not writable for us");
	fd_close(&dir);
	note_bounds(look, path);
}

void
probe_platform(struct look *look)
{
	ladder_begin(&look->ladder, STEP_QUERY, "the platform");
	note_ids(look);
	note_status(look);
	note_limits(look);
	note_priorities(look);
	note_cpus(look);
	note_cgroup(look);
	if (note_names(look, "users", true) == -1 ||
	    note_names(look, "groups", false) == -1) {
		look_unknown(look, CAUSE_INTERNAL, "",
		    "the request is wrong: 'users' and 'groups' are names");
		return;
	}
	look_passed(look, "looked at as user %u", (unsigned)geteuid());
}
