/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/init/beside.h"
#include "supervisor/init/core.h"
#include "supervisor/init/finish.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/table.h"

enum {
	/* descriptors of the init beside those of workers */
	APPLY_FDS_OWN = 256,
	/* of a worker: the read ends of stdout and stderr */
	APPLY_FDS_CAPTURED = 2,
};

bool
plan_applied(const struct core *core)
{
	return core->plans[core->current].bytes != NULL;
}

/* --- which plan an instance belongs to --- */

void
plan_bind(struct core *core, int32_t slot, uint8_t plan, uint16_t worker)
{
	core->instances[slot].plan = plan;
	core->instances[slot].worker = worker;
	core->plan_users[plan]++;
}

void
plan_unbind(struct core *core, int32_t slot)
{
	uint8_t plan = core->instances[slot].plan;

	core->plan_users[plan]--;
	if (core->plan_users[plan] == 0 && plan != core->current)
		plan_close(&core->plans[plan]);
}

static void
plan_move(struct core *core, int32_t slot, uint16_t worker)
{
	uint8_t old = core->instances[slot].plan;

	if (old == core->current) {
		core->instances[slot].worker = worker;
		return;
	}
	plan_unbind(core, slot);
	plan_bind(core, slot, core->current, worker);
}

static const char *
instance_name(const struct core *core, const struct instance *instance)
{
	return plan_worker_name(&core->plans[instance->plan], instance->worker);
}

/* How many instances it may have. */
static uint32_t
places_of(const struct core *core, int32_t run)
{
	return schedule_is(core, run) ? WORKER_RUNS_MAX
	                              : core->runs[run].desired;
}

bool
plan_rebind(struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];

	if (instance->run == CORE_NO_RUN ||
	    instance->replica >= places_of(core, instance->run))
		return false;
	/* runs are in the order of the current plan's workers */
	plan_move(core, slot, (uint16_t)instance->run);
	return true;
}

/* --- what should run --- */

bool
run_add(struct core *core, int32_t run, uint32_t replica)
{
	int32_t slot = table_take(core);

	if (slot == CORE_NO_SLOT) {
		log_error("workers.full",
		    "worker=%s/%u: all %u places are taken",
		    plan_worker_name(
		        &core->plans[core->current], (uint32_t)run),
		    replica, core->max_workers);
		return false;
	}
	struct instance *instance = &core->instances[slot];
	instance->replica = (uint16_t)replica;
	instance->run = run;
	instance->next_in_run = core->runs[run].first;
	core->runs[run].first = slot;
	plan_bind(core, slot, core->current, (uint16_t)run);
	instance_want(core, slot);
	return true;
}

void
run_reconcile(struct core *core, int32_t run)
{
	static uint64_t present[(WORKER_REPLICAS_MAX + 63) / 64];
	uint32_t desired = core->runs[run].desired;
	int32_t slot, next;

	if (core->phase != PHASE_RUN)
		return;
	memset(present, 0, sizeof(present));
	for (slot = core->runs[run].first; slot != CORE_NO_SLOT; slot = next) {
		uint32_t replica = core->instances[slot].replica;
		next = core->instances[slot].next_in_run;
		present[replica / 64] |= UINT64_C(1) << (replica % 64);
		if (replica >= places_of(core, run))
			instance_stop(core, slot, WHY_SCALED);
	}
	if (core->runs[run].held || schedule_is(core, run))
		return;
	for (uint32_t i = 0; i < desired; i++)
		if ((present[i / 64] >> (i % 64) & 1) == 0 &&
		    !run_add(core, run, i))
			break;
}

/* --- the exec allow-list (decisions.md 14)
 * --------------------------------------------- */

static bool
row_append(char *row, size_t size, size_t *at, const void *bytes, size_t len)
{
	if (len > size - *at)
		return false;
	memcpy(row + *at, bytes, len);
	*at += len;
	return true;
}

/* A row's identity: worker, executable, ids, directory, and what it may;
 * not arguments. */
static int
allow_row(const struct core *core, const struct worker_spec *spec,
    struct fingerprint *ret, struct err *err)
{
	static char row[24 * 1024];
	const char *cwd = spec->cwd == NULL ? "" : spec->cwd;
	const struct worker_process *process = &spec->process;
	const uint64_t rights[] = {spec->no_new_privs ? 1 : 0,
	    process->declared & PROCESS_CAPABILITIES, process->cap_add,
	    process->cap_drop};
	size_t at = 0;

	if (!row_append(
	        row, sizeof(row), &at, spec->name, strlen(spec->name) + 1) ||
	    !row_append(row, sizeof(row), &at, spec->executable,
	        strlen(spec->executable) + 1) ||
	    !row_append(row, sizeof(row), &at, cwd, strlen(cwd) + 1) ||
	    !row_append(row, sizeof(row), &at, &spec->uid, sizeof(spec->uid)) ||
	    !row_append(row, sizeof(row), &at, &spec->gid, sizeof(spec->gid)) ||
	    !row_append(row, sizeof(row), &at, rights, sizeof(rights)) ||
	    !row_append(row, sizeof(row), &at, spec->groups,
	        spec->ngroups * sizeof(spec->groups[0])))
		return err_set(err, ERR_CAPACITY,
		    "worker '%s': paths are too long", spec->name);
	*ret = fingerprint_of(&core->key, row, at);
	return 0;
}

static bool
row_allowed(
    const struct core *core, const struct fingerprint *row, uint32_t hint)
{
	const struct fingerprint *rows = (const void *)core->allowed;

	if (hint < core->nallowed && fingerprint_equal(&rows[hint], row))
		return true;
	for (uint32_t i = 0; i < core->nallowed; i++)
		if (fingerprint_equal(&rows[i], row))
			return true;
	return false;
}

static int
allow_first(struct core *core, const struct plan *plan, struct err *err)
{
	struct fingerprint *rows = (void *)core->allowed;
	struct worker_spec spec;

	for (uint32_t i = 0; i < plan->nworkers; i++) {
		plan_worker(plan, i, &spec);
		if (allow_row(core, &spec, &rows[i], err) == -1)
			return -1;
	}
	core->nallowed = plan->nworkers;
	return 0;
}

static int
allow_check(struct core *core, const struct plan *plan, struct err *err)
{
	struct worker_spec spec;
	struct fingerprint row;
	char names[256] = "";
	unsigned others = 0;

	if (core->allow_exec_changes)
		return 0;
	if (core->plan_number == 0)
		return allow_first(core, plan, err);
	for (uint32_t i = 0; i < plan->nworkers; i++) {
		plan_worker(plan, i, &spec);
		if (allow_row(core, &spec, &row, err) == -1)
			return -1;
		if (row_allowed(core, &row, i))
			continue;
		size_t used = strlen(names);
		if (text_format(names + used, sizeof(names) - used, NULL,
		        " %s (%s)", spec.name, spec.executable) == -1) {
			names[used] = '\0';
			others++;
		}
	}
	if (names[0] == '\0' && others == 0)
		return 0;
	return err_set(err, ERR_REFUSED,
	    "what is executed may not change while running:%s%s; restart the "
	    "container, or run with --allow-exec-changes",
	    names, others > 0 ? " and others" : "");
}

/* --- applying --- */

static int
check_room(const struct core *core, const struct plan *plan, struct err *err)
{
	struct worker_spec spec;
	struct rlimit files;
	uint64_t total = 0, captured = 0, newlines = 0;

	for (uint32_t i = 0; i < plan->nworkers; i++) {
		plan_worker(plan, i, &spec);
		total += spec.replicas;
		captured += spec.logs.format == LOGS_NONE ? 0 : spec.replicas;
		if (spec.notify.ready == NOTIFY_NEWLINE)
			newlines += spec.replicas;
	}
	if (total > core->max_workers)
		return err_set(err, ERR_CAPACITY,
		    "%llu replicas are more than the %u that are reserved "
		    "(--max-workers)",
		    (unsigned long long)total, core->max_workers);
	uint64_t need = APPLY_FDS_OWN + newlines +
	                captured * APPLY_FDS_CAPTURED +
	                MIN(total, (uint64_t)CORE_PIDFDS_MAX);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < need)
		return err_set(err, ERR_CAPACITY,
		    "%llu replicas need %llu descriptors, the limit is %llu%s",
		    (unsigned long long)total, (unsigned long long)need,
		    (unsigned long long)files.rlim_cur,
		    captured == 0
		        ? ""
		        : "; with `logs: {format: none}` they need less");
	return 0;
}

/* A place for it. An instance keeps the plan that it was started from until it
 * ends, or until one comes in which its configuration is the same. */
static int
free_plan(struct core *core, struct err *err)
{
	for (int i = 0; i < CORE_PLANS_MAX; i++)
		if (core->plans[i].bytes == NULL)
			return i;
	return err_set(err, ERR_CAPACITY,
	    "%d configurations are still in use by running instances: restart "
	    "some of them first",
	    CORE_PLANS_MAX);
}

static bool
same_limit(const struct worker_spec *a, const struct plan *old, int32_t worker)
{
	struct worker_spec b;

	plan_worker(old, (uint32_t)worker, &b);
	return a->start_limit.count == b.start_limit.count &&
	       a->start_limit.window_ms == b.start_limit.window_ms;
}

/* Held workers stay held; what isn't in the new plan has no run. Another limit
 * begins with a full bucket. */
static void
make_runs(struct core *core, const struct plan *plan, const struct plan *old)
{
	struct run *runs = core->spare_runs;

	for (uint32_t i = 0; i < plan->nworkers; i++) {
		struct worker_spec spec;
		plan_worker(plan, i, &spec);
		int32_t before = plan_worker_find(old, spec.name);
		runs[i] = (struct run){
		    .first = CORE_NO_SLOT, .desired = spec.replicas};
		if (before < 0)
			continue;
		runs[i].held = core->runs[before].held;
		if (same_limit(&spec, old, before))
			runs[i].limit = core->runs[before].limit;
		schedule_carry(&runs[i], &core->runs[before]);
	}
	core->spare_runs = core->runs;
	core->runs = runs;
	core->nruns = plan->nworkers;
}

/* An instance goes over to the new plan when it has no process, or when its
 * configuration is the same in both: else it is probed and drained as it was
 * started. */
static void
adopt_instance(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];
	const struct plan *plan = &core->plans[core->current];
	int32_t run = plan_worker_find(plan, instance_name(core, instance));
	struct worker_spec spec;

	instance->next_in_run = CORE_NO_SLOT;
	instance->run = run;
	if (run == -1) {
		instance->run = CORE_NO_RUN;
		instance_stop(core, slot, WHY_REMOVED);
		return;
	}
	instance->next_in_run = core->runs[run].first;
	core->runs[run].first = slot;
	plan_worker(plan, (uint32_t)run, &spec);
	if (!instance_state_alive((enum instance_state)instance->state) ||
	    memcmp(spec.config_digest, instance->config_digest,
	        sizeof(spec.config_digest)) == 0)
		plan_move(core, slot, (uint16_t)run);
}

/* A turn that was given by another limit than its worker's is (a turn leaves
 * `full_at_us` set): it takes one by that limit, at once if there is none. */
static void
renew_turn(struct core *core, int32_t slot)
{
	struct instance *instance = &core->instances[slot];

	if (instance->state != INSTANCE_BACKOFF || instance->has_turn == 0 ||
	    instance->run == CORE_NO_RUN ||
	    core->runs[instance->run].limit.full_at_us != 0)
		return;
	instance->has_turn = 0;
	instance_wake_at(core, slot, core->loop.now_ms);
}

static void
take_settings(struct core *core, const struct plan *plan)
{
	plan_settings_of(plan, &core->settings);
	if (core->name[0] == '\0')
		(void)snprintf(
		    core->name, sizeof(core->name), "%s", core->settings.name);
	core->settings.name = core->name;
	log_open(STDERR_FILENO, core->settings.log_json ? LOG_JSON : LOG_TEXT,
	    LOG_INFO, "init");
}

static void
plan_switch(struct core *core, int place, const struct plan *plan)
{
	uint8_t old = core->current;

	make_runs(core, plan, &core->plans[old]);
	core->plans[place] = *plan;
	core->plans[place].number = ++core->plan_number;
	core->current = (uint8_t)place;
	take_settings(core, plan);
	recover_note_plan(core);
	order_apply(core);
	limits_judge(core);
	for (uint32_t slot = 0; slot < core->slots_used; slot++)
		if (core->instances[slot].state != INSTANCE_NONE)
			adopt_instance(core, (int32_t)slot);
	for (uint32_t slot = 0; slot < core->slots_used; slot++)
		renew_turn(core, (int32_t)slot);
	if (old != core->current && core->plan_users[old] == 0)
		plan_close(&core->plans[old]);
}

int
apply_plan(struct core *core, int fd, bool sealed, struct err *err)
{
	struct plan plan = PLAN_INIT;

	if (core->phase != PHASE_RUN)
		return err_set(err, ERR_REFUSED, "the container is ending");
	int place = free_plan(core, err);
	if (place == -1 || plan_open(fd, sealed, &plan, err) == -1)
		return -1;
	if (check_room(core, &plan, err) == -1 ||
	    allow_check(core, &plan, err) == -1) {
		plan_close(&plan);
		return -1;
	}
	plan_switch(core, place, &plan);
	log_info("plan.applied", "number=%llu workers=%u",
	    (unsigned long long)core->plan_number, plan.nworkers);
	if (!peers_listen(core)) {
		drain_begin(core, "another supervisor is here", EXIT_AGAIN);
		return 0;
	}
	guard_start(core);
	capture_apply(core);
	answer_apply(core);
	schedule_apply(core);
	for (uint32_t run = 0; run < core->nruns; run++)
		run_reconcile(core, (int32_t)run);
	start_pump(core);
	finish_if_complete(core);
	return 0;
}

/* --- after a fault --- */

static int
plan_again(struct plan *plan, const struct plan *old, struct err *err)
{
	if (old->bytes == NULL)
		return 0;
	if (old->fd == -1 || plan_open(old->fd, true, plan, err) == -1)
		return -1;
	plan->number = old->number;
	/* not its duplicate: where another build gives up, the one before goes
	 * on with the number that it knows */
	fd_close(&plan->fd);
	plan->fd = old->fd;
	return 0;
}

int
apply_resume(struct core *core, const struct core *old, struct err *err)
{
	const struct plan *plan = &core->plans[core->current];

	for (size_t i = 0; i < ARRAY_LEN(core->plans); i++)
		if (plan_again(&core->plans[i], &old->plans[i], err) == -1)
			return err_wrap(err, "a plan that was applied");
	if (!plan_applied(core))
		return 0;
	take_settings(core, plan);
	order_apply(core);
	/* a fault while plans changed: what the plan says counts */
	if (old->nruns != plan->nworkers)
		make_runs(core, plan, &PLAN_INIT);
	core->nruns = plan->nworkers;
	for (uint32_t i = 0; i < core->nruns; i++) {
		core->runs[i].first = CORE_NO_SLOT;
		core->runs[i].desired =
		    MIN(core->runs[i].desired, (uint32_t)WORKER_REPLICAS_MAX);
	}
	return 0;
}
