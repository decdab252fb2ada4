/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/child.h"

enum {
	CAPABILITIES_MAX = 64
};

/* As capset(2) has them, in two halves. */
struct capabilities {
	uint64_t effective, permitted, inheritable;
};

static bool
declared(const struct child *child)
{
	return !child->request->plain &&
	       (child->spec->process.declared & PROCESS_CAPABILITIES) != 0;
}

/* --- ids --- */

static bool
holds(const gid_t *groups, int count, int64_t gid)
{
	for (int i = 0; i < count; i++)
		if ((int64_t)groups[i] == gid)
			return true;
	return false;
}

/* Whether the supplementary groups are those of `spec` already, in any order.
 * That none is declared says nothing about those that we have. */
static bool
keeps_groups(const struct worker_spec *spec)
{
	static gid_t groups[SPAWN_GROUPS_MAX]; /* the child's own copy */

	if (spec->ngroups == 0)
		return true;
	int count = (int)syscall(SYS_getgroups, ARRAY_LEN(groups), groups);
	if (count < 0)
		return false;
	for (uint32_t i = 0; i < spec->ngroups; i++)
		if (!holds(groups, count, spec->groups[i]))
			return false;
	for (int i = 0; i < count; i++) {
		uint32_t k = 0;
		while (
		    k < spec->ngroups && spec->groups[k] != (int64_t)groups[i])
			k++;
		if (k == spec->ngroups)
			return false;
	}
	return true;
}

/* Asking for what we are already needs no rights. */
static bool
keeps_ids(const struct child *child)
{
	const struct worker_spec *spec = child->spec;

	if (child->request->plain)
		return true;
	return (spec->uid == WORKER_ID_NONE || spec->uid == geteuid()) &&
	       (spec->gid == WORKER_ID_NONE || spec->gid == getegid()) &&
	       keeps_groups(spec);
}

/* Another user has none of ours: without any declared they are cleared. */
int
child_groups(struct child *child)
{
	const struct worker_spec *spec = child->spec;
	static gid_t groups[SPAWN_GROUPS_MAX];

	if (keeps_ids(child))
		return 0;
	if (spec->ngroups > ARRAY_LEN(groups)) {
		errno = E2BIG;
		return -1;
	}
	for (uint32_t i = 0; i < spec->ngroups; i++)
		groups[i] = (gid_t)spec->groups[i];
	return (int)syscall(SYS_setgroups, (size_t)spec->ngroups, groups);
}

int
child_gid(struct child *child)
{
	gid_t gid = (gid_t)child->spec->gid;

	if (child->request->plain || child->spec->gid == WORKER_ID_NONE ||
	    gid == getegid())
		return 0;
	return (int)syscall(SYS_setresgid, gid, gid, gid);
}

int
child_uid(struct child *child)
{
	uid_t uid = (uid_t)child->spec->uid;

	if (child->request->plain || child->spec->uid == WORKER_ID_NONE ||
	    uid == geteuid())
		return 0;
	/* what is to be kept for it: see child_capabilities */
	if (declared(child) && child->spec->process.cap_add != 0 &&
	    prctl(PR_SET_KEEPCAPS, 1) == -1)
		return -1;
	return (int)syscall(SYS_setresuid, uid, uid, uid);
}

/* --- capabilities --- */

static int
capabilities_get(struct capabilities *ret)
{
	struct __user_cap_header_struct head = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(SYS_capget, &head, data) == -1)
		return -1;
	*ret = (struct capabilities){
	    .effective = data[0].effective | (uint64_t)data[1].effective << 32,
	    .permitted = data[0].permitted | (uint64_t)data[1].permitted << 32,
	    .inheritable = data[0].inheritable | (uint64_t)data[1].inheritable
	                                             << 32};
	return 0;
}

static int
capabilities_set(const struct capabilities *set)
{
	struct __user_cap_header_struct head = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct data[2] = {
	    {(uint32_t)set->effective, (uint32_t)set->permitted,
	        (uint32_t)set->inheritable},
	    {(uint32_t)(set->effective >> 32), (uint32_t)(set->permitted >> 32),
	        (uint32_t)(set->inheritable >> 32)},
	};

	return (int)syscall(SYS_capset, &head, data);
}

static uint64_t
capabilities_ambient(void)
{
	uint64_t set = 0;

	for (unsigned cap = 0; cap < CAPABILITIES_MAX; cap++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) ==
		    1)
			set |= UINT64_C(1) << cap;
	return set;
}

/* What it may ever have, by whatever it executes. Dropping needs CAP_SETPCAP;
 * who hasn't got it, and may gain nothing by executing either, has nothing to
 * drop. */
int
child_bounding(struct child *child)
{
	const struct worker_process *process = &child->spec->process;
	struct capabilities have;

	if (!declared(child))
		return 0;
	if (capabilities_get(&have) == -1)
		return -1;
	bool harmless = child->spec->no_new_privs &&
	                (have.effective >> CAP_SETPCAP & 1) == 0;
	uint64_t keep = ~process->cap_drop | process->cap_add;

	for (unsigned cap = 0; cap < CAPABILITIES_MAX; cap++) {
		if ((keep >> cap & 1) != 0 || prctl(PR_CAPBSET_READ, cap) != 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap) == -1 && !harmless)
			return -1;
	}
	return 0;
}

/* Root keeps what the init has, but for what is dropped; anybody else has what
 * is added, by the ambient set, so that it outlives exec. */
int
child_capabilities(struct child *child)
{
	const struct worker_process *process = &child->spec->process;
	bool root = geteuid() == 0;
	struct capabilities have;

	if (!declared(child))
		return 0;
	if (capabilities_get(&have) == -1)
		return -1;
	uint64_t base = root ? have.permitted : capabilities_ambient();
	uint64_t add =
	    process->cap_add == UINT64_MAX ? have.permitted : process->cap_add;
	uint64_t want = (base & ~process->cap_drop) | add;

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1)
		return -1;
	const struct capabilities set = {.effective = want,
	    .permitted = want,
	    .inheritable = root ? 0 : want};
	if (capabilities_set(&set) == -1)
		return -1;
	for (unsigned cap = 0; !root && cap < CAPABILITIES_MAX; cap++)
		if ((want >> cap & 1) != 0 &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) ==
		        -1)
			return -1;
	return 0;
}

int
child_no_new_privs(struct child *child)
{
	if (child->request->plain || !child->spec->no_new_privs)
		return 0;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
