/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "manifests/settings_form.h"
#include "supervisor/operator/settings.h"
#include "supervisor/wire/plan.h"

enum {
	NAMES_MAX = 10000, /* of users or groups that are compared */
};

static const char CPUS_ONLINE[] = "/sys/devices/system/cpu/online";

struct making {
	struct arena *arena;
	const struct declared_worker *from;
	struct worker_spec *to;
	struct err *err;
};

static int
refuse(struct making *making, const struct place *place, const char *key,
    const char *why)
{
	return err_set(making->err, ERR_INPUT, "%s:%d:%d: worker '%s': %s: %s",
	    place->file, place->line, place->column, making->from->name, key,
	    why);
}

/* --- users and groups --- */

static const char *
nearest_user(struct arena *arena, const char *name)
{
	const char **names = arena_array(arena, NAMES_MAX, sizeof(*names));
	const struct passwd *entry;
	size_t count = 0;

	setpwent();
	while (count < NAMES_MAX && (entry = getpwent()) != NULL)
		names[count++] = arena_text(arena, entry->pw_name);
	endpwent();
	return text_nearest(name, names, count);
}

static const char *
nearest_group(struct arena *arena, const char *name)
{
	const char **names = arena_array(arena, NAMES_MAX, sizeof(*names));
	const struct group *entry;
	size_t count = 0;

	setgrent();
	while (count < NAMES_MAX && (entry = getgrent()) != NULL)
		names[count++] = arena_text(arena, entry->gr_name);
	endgrent();
	return text_nearest(name, names, count);
}

/* The name service itself may be what fails: that says nothing of the name. */
static int
unknown_name(struct making *making, const struct declared_id *id,
    const char *key, bool user, int why)
{
	const char *near = user ? nearest_user(making->arena, id->text)
	                        : nearest_group(making->arena, id->text);
	const char *what = user ? "user" : "group";

	if (why != 0 && why != ENOENT && why != ESRCH)
		return refuse(making, &id->place, key,
		    arena_format(making->arena,
		        "%s '%s' can't be looked up: %s", what, id->text,
		        strerror(why)));
	return refuse(making, &id->place, key,
	    arena_format(making->arena,
	        "there is no %s '%s' here%s%s%s; a number needs no entry in "
	        "/etc/%s",
	        what, id->text, near == NULL ? "" : "; did you mean '",
	        near == NULL ? "" : near, near == NULL ? "" : "'?",
	        user ? "passwd" : "group"));
}

static bool
is_number(const char *text, int64_t *ret)
{
	return text_i64(text, 0, (int64_t)UINT32_MAX - 1, ret, NULL) == 0;
}

static int
group_of(struct making *making, const struct declared_id *id, const char *key,
    int64_t *ret)
{
	if (is_number(id->text, ret))
		return 0;
	errno = 0;
	const struct group *entry = getgrnam(id->text);

	if (entry == NULL)
		return unknown_name(making, id, key, false, errno);
	*ret = (int64_t)entry->gr_gid;
	return 0;
}

/* The entry of /etc/passwd, or NULL for a number that has none. */
static int
user_of(struct making *making, const struct passwd **ret_entry)
{
	const struct declared_id *id = &making->from->security.user;
	int64_t *uid = &making->to->uid;

	*ret_entry = NULL;
	if (id->text == NULL)
		return 0;
	if (is_number(id->text, uid)) {
		*ret_entry = getpwuid((uid_t)*uid);
		return 0;
	}
	errno = 0;
	*ret_entry = getpwnam(id->text);
	if (*ret_entry == NULL)
		return unknown_name(
		    making, id, "securityContext.runAsUser", true, errno);
	*uid = (int64_t)(*ret_entry)->pw_uid;
	return 0;
}

static void
add_group(struct worker_spec *to, int64_t *groups, int64_t gid)
{
	for (uint32_t i = 0; i < to->ngroups; i++)
		if (groups[i] == gid)
			return;
	groups[to->ngroups++] = gid;
}

/* Those of the user in /etc/group, then those that are declared. */
static int
make_groups(struct making *making, const struct passwd *user)
{
	const struct declared_security *from = &making->from->security;
	struct worker_spec *to = making->to;
	gid_t of_user[PLAN_GROUPS_MAX];
	int count = PLAN_GROUPS_MAX;

	if (user == NULL)
		count = 0;
	else if (getgrouplist(user->pw_name, (gid_t)to->gid, of_user, &count) <
	         0)
		return refuse(making, &from->user.place,
		    "securityContext.runAsUser",
		    "the user is in more groups than can be had");
	int64_t *groups = arena_array(
	    making->arena, (size_t)count + from->ngroups + 1, sizeof(*groups));

	for (int i = 0; i < count; i++)
		add_group(to, groups, (int64_t)of_user[i]);
	for (size_t i = 0; i < from->ngroups; i++) {
		int64_t gid = 0;
		if (group_of(making, &from->groups[i],
		        "securityContext.supplementalGroups", &gid) == -1)
			return -1;
		add_group(to, groups, gid);
	}
	to->groups = groups;
	return 0;
}

static int
make_ids(struct making *making)
{
	const struct declared_security *from = &making->from->security;
	struct worker_spec *to = making->to;
	const struct passwd *user = NULL;

	to->uid = to->gid = WORKER_ID_NONE;
	if (user_of(making, &user) == -1)
		return -1;
	if (user != NULL)
		to->gid = (int64_t)user->pw_gid;
	if (from->group.text != NULL &&
	    group_of(making, &from->group, "securityContext.runAsGroup",
	        &to->gid) == -1)
		return -1;
	if (make_groups(making, user) == -1)
		return -1;
	if (from->non_root &&
	    (to->uid == 0 || (to->uid == WORKER_ID_NONE && geteuid() == 0)))
		return refuse(making, &from->place,
		    "securityContext.runAsNonRoot",
		    "it would run as user 0; set runAsUser");
	return 0;
}

/* --- the process --- */

static int
check_cpus(struct making *making)
{
	const struct declared_settings *from = &making->from->settings;
	uint64_t online[DECLARED_CPU_WORDS];
	char text[4096];
	int fd = open(CPUS_ONLINE, O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		return 0; /* the init says so when it can't be had */
	ssize_t got = read(fd, text, sizeof(text) - 1);

	fd_close(&fd);
	text[got > 0 ? got : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (!settings_cpus(text, online))
		return 0;
	for (unsigned i = 0; i < DECLARED_CPUS_MAX; i++)
		if (((from->cpus[i / 64] & ~online[i / 64]) >> (i % 64) & 1) !=
		    0)
			return refuse(making, &from->cpus_place, "cpus",
			    arena_format(making->arena,
			        "there is no CPU %u here; there are %s", i,
			        text));
	return 0;
}

static void
make_limits(
    const struct declared_settings *from, struct worker_process *process)
{
	for (size_t i = 0; i < from->nlimits; i++) {
		const struct declared_limit *limit = &from->limits[i];
		enum worker_limit_id id = worker_limit_find(limit->name);
		if (id == WORKER_LIMITS)
			continue;
		process->limited |= 1U << id;
		process->limits[id] =
		    (struct worker_limit){limit->soft, limit->hard};
	}
}

static uint32_t
word_index(const char *word, const char *const *words, uint32_t count)
{
	uint32_t i = 0;

	while (i < count && !text_equal(word, words[i]))
		i++;
	assert(i < count);
	return i;
}

static void
make_priorities(
    const struct declared_settings *from, struct worker_process *process)
{
	static const char *const schedulings[SCHEDULINGS] = {
	    [SCHEDULING_OTHER] = "other",
	    [SCHEDULING_BATCH] = "batch",
	    [SCHEDULING_IDLE] = "idle",
	};
	static const char *const io_classes[IO_CLASSES] = {
	    [IO_CLASS_NONE] = "none",
	    [IO_CLASS_REALTIME] = "realtime",
	    [IO_CLASS_BEST_EFFORT] = "best-effort",
	    [IO_CLASS_IDLE] = "idle",
	};

	if (from->nice != DECLARED_UNSET) {
		process->declared |= PROCESS_NICE;
		process->nice = (int32_t)from->nice;
	}
	if (from->oom_score_adj != DECLARED_UNSET) {
		process->declared |= PROCESS_OOM;
		process->oom_score_adj = (int32_t)from->oom_score_adj;
	}
	if (from->scheduling != NULL) {
		process->declared |= PROCESS_SCHEDULING;
		process->scheduling =
		    word_index(from->scheduling, schedulings, SCHEDULINGS);
	}
	if (from->io_class != NULL) {
		process->declared |= PROCESS_IO;
		process->io_class =
		    word_index(from->io_class, io_classes, IO_CLASSES);
		/* the kernel takes none for this class */
		process->io_level = process->io_class == IO_CLASS_IDLE
		                        ? 0
		                        : (uint32_t)from->io_level;
	}
}

static_assert((int)WORKER_CPU_WORDS == (int)DECLARED_CPU_WORDS, "as many CPUs");

int
settings_make(struct arena *arena, const struct declared_worker *from,
    struct worker_spec *to, struct err *err)
{
	struct making making = {arena, from, to, err};
	struct worker_process *process = &to->process;

	to->no_new_privs = !from->security.escalation;
	to->umask = from->settings.umask;
	make_limits(&from->settings, process);
	make_priorities(&from->settings, process);
	if (from->security.capabilities) {
		process->declared |= PROCESS_CAPABILITIES;
		process->cap_add = from->security.cap_add;
		process->cap_drop = from->security.cap_drop;
	}
	if (from->settings.has_cpus) {
		process->declared |= PROCESS_CPUS;
		memcpy(
		    process->cpus, from->settings.cpus, sizeof(process->cpus));
		if (check_cpus(&making) == -1)
			return -1;
	}
	return make_ids(&making);
}
