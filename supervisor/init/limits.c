/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/table.h"
#include "worker/send.h"

/* --- the tree --- */

void
limits_open(struct core *core)
{
	cgroup_tree_open(&core->cgroup);
	if ((core->cgroup.have & CGROUP_TREE) == 0)
		log_info("cgroup.off", "workers get no cgroups: %s",
		    core->cgroup.why);
	else
		log_info("cgroup.on", "each instance gets a cgroup%s%s",
		    core->cgroup.why[0] == '\0' ? "" : "; ", core->cgroup.why);
}

void
limits_close(struct core *core)
{
	cgroup_tree_close(&core->cgroup);
}

static struct cgroup_limits
limits_of(const struct worker_spec *spec)
{
	return (struct cgroup_limits){
	    .memory_bytes = spec->memory_limit_bytes,
	    .cpu_milli = spec->cpu_limit_milli,
	    .pids = spec->pids_limit,
	};
}

void
limits_judge(struct core *core)
{
	const struct plan *plan = &core->plans[core->current];
	struct worker_spec spec;
	char text[256];
	uint32_t missing = 0;

	if (core->limits_told)
		return;
	for (uint32_t i = 0; i < plan->nworkers; i++) {
		plan_worker(plan, i, &spec);
		struct cgroup_limits limits = limits_of(&spec);
		missing |= cgroup_missing(&core->cgroup, &limits);
	}
	if (missing == 0)
		return;
	core->limits_told = true;
	(void)snprintf(text, sizeof(text), "cgroup limits are off:%s%s%s: %s%s",
	    (missing & CGROUP_MEMORY) != 0 ? " memory" : "",
	    (missing & CGROUP_CPU) != 0 ? " cpu" : "",
	    (missing & CGROUP_PIDS) != 0 ? " pids" : "", core->cgroup.why,
	    (missing & CGROUP_MEMORY) == 0 ? ""
	    : core->operate.state == OPERATOR_NONE
	        ? "; nobody watches memory without an operator"
	        : "; the operator watches memory");
	log_warning("limits.off", "%s", text);
	peers_text(core, WIRE_NOTE, LOG_WARNING, "limits.off", text);
}

/* --- an instance's --- */

static const char *
name_of(const struct core *core, int32_t slot, char dst[CGROUP_NAME_MAX])
{
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	(void)snprintf(dst, CGROUP_NAME_MAX, "worker.%s.%u", spec.name,
	    (unsigned)core->instances[slot].replica);
	return dst;
}

int
limits_prepare(struct core *core, int32_t slot, const struct worker_spec *spec,
    int *ret_dir, struct err *err)
{
	struct cgroup_limits limits = limits_of(spec);
	char name[CGROUP_NAME_MAX];

	core->instances[slot].in_cgroup = 0;
	if ((core->cgroup.have & CGROUP_TREE) == 0)
		return 0;
	int dir = cgroup_prepare(&core->cgroup, name_of(core, slot, name), err);
	if (dir == -1 && err->kind == ERR_CAPACITY)
		return -1;
	if (dir == -1 || cgroup_limit(&core->cgroup, dir, &limits, err) == -1)
		log_warning("limits.failed", "worker=%s: %s",
		    instance_label(core, slot), err->text);
	core->instances[slot].in_cgroup = dir != -1;
	*ret_dir = MAX(dir, 0);
	return 0;
}

static bool
killed_by_others(const struct worker_exit *ended)
{
	if (ended->by_us == SIGKILL)
		return false;
	/* a shell says 137 of what it waited for */
	return (ended->kind == EXIT_SIGNAL && ended->value == SIGKILL) ||
	       (ended->kind == EXIT_CODE && ended->value == 128 + SIGKILL);
}

void
limits_note_exit(struct core *core, int32_t slot, struct worker_exit *ended)
{
	const struct instance *instance = &core->instances[slot];
	char name[CGROUP_NAME_MAX];
	uint64_t kills = 0;

	if (instance->in_cgroup != 0 &&
	    cgroup_oom_kills(
	        &core->cgroup, name_of(core, slot, name), &kills)) {
		past_make(core, slot)->oom_kills +=
		    (uint32_t)MIN(kills, UINT16_MAX);
		ended->oom =
		    kills > 0 && killed_by_others(ended) ? OOM_YES : OOM_NO;
		return;
	}
	if (core->cgroup.oom_file == -1)
		return;
	bool oom =
	    killed_by_others(ended) && cgroup_take_oom_kill(&core->cgroup);
	past_make(core, slot)->oom_kills += oom;
	ended->oom = oom ? OOM_YES : OOM_NO;
}

uint32_t
limits_signal(struct core *core, int32_t slot, int signo)
{
	const struct instance *instance = &core->instances[slot];
	char name[CGROUP_NAME_MAX];

	if (instance->in_cgroup == 0)
		return 0;
	(void)name_of(core, slot, name);
	uint32_t escaped = cgroup_escaped(
	    &core->cgroup, name, instance->pgid, signo == SIGKILL ? 0 : signo);
	if (signo == SIGKILL)
		cgroup_kill(&core->cgroup, name);
	return escaped;
}

bool
limits_populated(const struct core *core, int32_t slot)
{
	char name[CGROUP_NAME_MAX];

	return core->instances[slot].in_cgroup != 0 &&
	       cgroup_populated(&core->cgroup, name_of(core, slot, name));
}

bool
limits_left(const struct core *core, int32_t slot)
{
	return send_group_exists(core->instances[slot].pgid) ||
	       limits_populated(core, slot);
}

void
limits_gone(struct core *core, int32_t slot)
{
	char name[CGROUP_NAME_MAX];

	if (core->instances[slot].in_cgroup == 0)
		return;
	cgroup_remove(&core->cgroup, name_of(core, slot, name));
	core->instances[slot].in_cgroup = 0;
}
