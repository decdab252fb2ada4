/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/init/core.h"
#include "supervisor/init/life.h"
#include "supervisor/init/peers.h"
#include "supervisor/init/probe.h"
#include "supervisor/init/table.h"
#include "worker/send.h"
#include "worker/spawn.h"

enum {
	/* the probe child keeps its own time; it is killed only when it can't
	 */
	PROBER_EXTRA_MS = 250,
};

static const char *const kind_names[] = {
    [PROBER_READINESS] = "readiness",
    [PROBER_LIVENESS] = "liveness",
    [PROBER_STARTUP] = "startup",
    [PROBER_PRE_STOP] = "preStop",
};

static_assert(ARRAY_LEN(kind_names) == PROBER_KINDS, "a name for each");

static const char *
kind_name(enum prober_kind kind)
{
	return (unsigned)kind < PROBER_KINDS ? kind_names[kind] : "unknown";
}

static struct probe_spec
probe_of(const struct worker_spec *spec, enum prober_kind kind)
{
	switch (kind) {
	case PROBER_READINESS:
		return spec->readiness;
	case PROBER_LIVENESS:
		return spec->liveness;
	case PROBER_PRE_STOP:
		return spec->pre_stop;
	case PROBER_STARTUP:
	case PROBER_KINDS:
		break;
	}
	return spec->startup;
}

static struct prober *
prober_of(struct core *core, int32_t slot, enum prober_kind kind)
{
	int32_t index = links_of(core, slot)->probers[kind];

	return index == 0 ? NULL : &core->probers[index - 1];
}

const char *
prober_text(const struct core *core, int32_t slot)
{
	for (unsigned kind = 0; kind < PROBER_KINDS; kind++) {
		int32_t index = links_of(core, slot)->probers[kind];
		if (index != 0 && core->probers[index - 1].failures > 0)
			return core->probers[index - 1].text;
	}
	return "";
}

static void prober_timer(struct loop_timer *timer, int64_t now_ms);

static void
prober_add(struct core *core, int32_t slot, enum prober_kind kind)
{
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	struct probe_spec probe = probe_of(&spec, kind);
	if (probe.kind == PROBE_NONE)
		return;
	int32_t index = prober_take(core);
	if (index == CORE_NO_SLOT) {
		log_error("probe.none", "worker=%s: no room for its %s probe",
		    instance_label(core, slot), kind_name(kind));
		return;
	}
	struct prober *prober = &core->probers[index];
	prober->slot = slot;
	prober->kind = (uint8_t)kind;
	prober->timer =
	    (struct loop_timer){.fire = prober_timer, .owner = core};
	links_make(core, slot)->probers[kind] = index + 1;
	core_wake(core, &prober->timer,
	    clock_after(core->loop.now_ms, probe.initial_delay_ms));
}

static void
prober_drop(struct core *core, int32_t slot, enum prober_kind kind)
{
	int32_t index = links_of(core, slot)->probers[kind];

	if (index == 0)
		return;
	struct prober *prober = &core->probers[index - 1];
	core->links[slot].probers[kind] = 0;
	loop_timer_clear(&core->loop, &prober->timer);
	if (prober->pid == 0) {
		prober_release(core, index - 1);
		return;
	}
	/* released when it is reaped */
	prober->orphaned = true;
	(void)send_to_process(prober->pid, SIGKILL);
}

void
probers_begin(struct core *core, int32_t slot)
{
	struct worker_spec spec;

	instance_spec(core, slot, &spec);
	if (spec.startup.kind != PROBE_NONE) {
		prober_add(core, slot, PROBER_STARTUP);
		return;
	}
	prober_add(core, slot, PROBER_LIVENESS);
	if (spec.readiness.kind != PROBE_NONE)
		prober_add(core, slot, PROBER_READINESS);
	else
		instance_check_ready(core, slot);
}

void
instance_check_ready(struct core *core, int32_t slot)
{
	const struct instance *instance = &core->instances[slot];
	const struct prober *prober = prober_of(core, slot, PROBER_READINESS);
	struct worker_spec spec;

	if (instance->state != INSTANCE_RUNNING || notify_awaited(core, slot) ||
	    links_of(core, slot)->probers[PROBER_STARTUP] != 0)
		return;
	instance_spec(core, slot, &spec);
	if (spec.readiness.kind != PROBE_NONE &&
	    (prober == NULL ||
	        prober->successes < spec.readiness.success_threshold))
		return;
	instance_change(core, slot, EVENT_READY);
}

void
probers_end(struct core *core, int32_t slot)
{
	for (unsigned kind = 0; kind < PROBER_KINDS; kind++)
		prober_drop(core, slot, (enum prober_kind)kind);
}

bool
prober_hook(struct core *core, int32_t slot)
{
	prober_add(core, slot, PROBER_PRE_STOP);
	return prober_of(core, slot, PROBER_PRE_STOP) != NULL;
}

bool
prober_hook_end(struct core *core, int32_t slot)
{
	if (prober_of(core, slot, PROBER_PRE_STOP) == NULL)
		return false;
	log_warning("hook.late", "worker=%s: its preStop hook is given up",
	    instance_label(core, slot));
	prober_drop(core, slot, PROBER_PRE_STOP);
	return true;
}

/* Well or not, the worker is told now. */
static void
hook_over(struct core *core, struct prober *prober, bool passed)
{
	int32_t slot = prober->slot;

	if (!passed)
		log_warning("hook.failed", "worker=%s: preStop: %s",
		    instance_label(core, slot), prober->text);
	prober_drop(core, slot, PROBER_PRE_STOP);
	stop_hooked(core, slot);
}

static bool
is_named(const struct core *core, const struct prober *prober)
{
	if (prober->slot < 0 || (uint32_t)prober->slot >= core->slots_used ||
	    prober->kind >= PROBER_KINDS || prober->orphaned)
		return false;
	uint8_t state = core->instances[prober->slot].state;
	return (state == INSTANCE_RUNNING || state == INSTANCE_READY) &&
	       links_of(core, prober->slot)->probers[prober->kind] ==
	           (int32_t)(prober - core->probers) + 1;
}

/* Names that nobody answers to. */
static void
forget_names(struct core *core, int32_t slot)
{
	if (!instance_has(core, slot, ROW_LINKS))
		return;
	for (unsigned kind = 0; kind < PROBER_KINDS; kind++) {
		int32_t *name = &core->links[slot].probers[kind];
		if (*name < 1 || (uint32_t)*name > core->probers_used ||
		    core->probers[*name - 1].slot != slot ||
		    core->probers[*name - 1].kind != kind ||
		    !is_named(core, &core->probers[*name - 1]))
			*name = 0;
	}
}

void
probers_take(struct core *core, uint32_t used)
{
	core->probers_used = MIN(used, core->probers_max);
	for (uint32_t i = 0; i < core->slots_used; i++)
		forget_names(core, (int32_t)i);
	for (uint32_t i = core->probers_used; i-- > 0;) {
		struct prober *prober = &core->probers[i];
		if (exit_is_child(prober->pid)) {
			(void)send_to_group(prober->pid, -1, SIGKILL);
			(void)send_to_process(prober->pid, SIGKILL);
		}
		prober->pid = 0;
		prober->killed = false;
		prober->report_fd = prober->text_fd = -1;
		prober->text[sizeof(prober->text) - 1] = '\0';
		prober->timer =
		    (struct loop_timer){.fire = prober_timer, .owner = core};
		if (!is_named(core, prober))
			prober_release(core, (int32_t)i);
	}
}

static void
prober_resume(struct core *core, int32_t slot, enum prober_kind kind)
{
	struct prober *prober = prober_of(core, slot, kind);
	struct worker_spec spec;

	if (prober == NULL) {
		prober_add(core, slot, kind);
		return;
	}
	instance_spec(core, slot, &spec);
	struct probe_spec probe = probe_of(&spec, kind);
	int64_t at_ms = prober->began_ms != 0
	                    ? clock_after(prober->began_ms, probe.period_ms)
	                    : clock_after(core->instances[slot].started_ms,
	                          probe.initial_delay_ms);
	core_wake(core, &prober->timer, MAX(at_ms, core->loop.now_ms));
}

void
probers_resume(struct core *core, int32_t slot)
{
	bool ready = core->instances[slot].state == INSTANCE_READY;
	const int32_t *names = links_of(core, slot)->probers;

	if (!ready && names[PROBER_STARTUP] != 0) {
		prober_resume(core, slot, PROBER_STARTUP);
	} else if (!ready && names[PROBER_READINESS] == 0) {
		/* they had not begun yet */
		probers_end(core, slot);
		probers_begin(core, slot);
	} else {
		prober_drop(core, slot, PROBER_STARTUP);
		prober_resume(core, slot, PROBER_LIVENESS);
		prober_resume(core, slot, PROBER_READINESS);
		instance_check_ready(core, slot);
	}
}

/* --- one probe --- */

static int
prober_spawn(struct core *core, struct prober *prober,
    const struct worker_spec *spec, int text_fd, struct err *err)
{
	static struct spawn_extra extra;
	static struct probe_command command;
	const struct instance *instance = &core->instances[prober->slot];
	struct probe_spec probe = probe_of(spec, prober->kind);
	struct spawned spawned;

	if (probe_command(&probe, instance->replica, &command, err) == -1)
		return -1;
	extra.count = extra.used = 0;
	if (!start_extra(core, &extra, spec, instance->replica))
		return err_set(err, ERR_CAPACITY, "too many ports");
	const struct spawn_fd fds[] = {{core->null_fd, STDIN_FILENO},
	    {core->null_fd, STDOUT_FILENO}, {text_fd, STDERR_FILENO}};
	const struct spawn_request request = {
	    .spec = spec,
	    .argv = command.argv,
	    .path = command.argv[0],
	    .exec_fd = command.self ? core->self_fd : -1,
	    .look_up = true,
	    .die_with_parent = core->die_with_parent,
	    .oom_score_adj = SPAWN_OOM_KEEP,
	    .nofile_soft = core->nofile_soft,
	    .extra = &extra,
	    .fds = fds,
	    .nfds = ARRAY_LEN(fds),
	};
	if (spawn_start(&request, &spawned, err) == -1)
		return -1;
	/* its end comes as SIGCHLD; nothing else of it is waited for */
	fd_close(&spawned.pidfd);
	prober->pid = spawned.pid;
	prober->report_fd = spawned.report_fd;
	return owner_set(core, spawned.pid, OWNER_PROBER,
	    (int32_t)(prober - core->probers), err);
}

static int
prober_start(struct core *core, struct prober *prober, struct err *err)
{
	struct worker_spec spec;
	int text[2];

	instance_spec(core, prober->slot, &spec);
	if (pipe2(text, O_CLOEXEC | O_NONBLOCK) == -1)
		return err_sys(err, "pipe for the probe's words");
	int rc = prober_spawn(core, prober, &spec, text[1], err);
	fd_close(&text[1]);
	if (rc == -1) {
		fd_close(&text[0]);
		return -1;
	}
	prober->text_fd = text[0];
	prober->killed = false;
	prober->began_ms = core->loop.now_ms;
	core_wake(core, &prober->timer,
	    clock_after(core->loop.now_ms,
	        clock_after(probe_of(&spec, prober->kind).timeout_ms,
	            PROBER_EXTRA_MS)));
	return 0;
}

static void
prober_timer(struct loop_timer *timer, int64_t now_ms)
{
	struct core *core = timer->owner;
	struct prober *prober = CONTAINER_OF(timer, struct prober, timer);
	enum prober_kind kind = (enum prober_kind)prober->kind;
	struct err err = ERR_INIT;

	if (prober->pid != 0) {
		prober->killed = true;
		(void)send_to_group(prober->pid, -1, SIGKILL);
		(void)send_to_process(prober->pid, SIGKILL);
		return;
	}
	if (prober_start(core, prober, &err) == 0)
		return;
	if (kind == PROBER_PRE_STOP) {
		(void)snprintf(
		    prober->text, sizeof(prober->text), "%.100s", err.text);
		hook_over(core, prober, false);
		return;
	}
	/* we couldn't look: neither a success nor a failure of the worker */
	log_warning("probe.not-run", "worker=%s probe=%s: %s",
	    instance_label(core, prober->slot), kind_name(kind), err.text);
	struct worker_spec spec;
	instance_spec(core, prober->slot, &spec);
	core_wake(core, timer,
	    clock_after(now_ms, probe_of(&spec, prober->kind).period_ms));
}

/* --- what it said --- */

static void
take_text(struct prober *prober, const struct worker_exit *ended)
{
	char spare[EXIT_TEXT_SIZE];
	ssize_t got =
	    read(prober->text_fd, prober->text, sizeof(prober->text) - 1);
	size_t len = got > 0 ? (size_t)got : 0;

	prober->text[len] = '\0';
	prober->text[strcspn(prober->text, "\n")] = '\0';
	if (prober->killed)
		(void)snprintf(
		    prober->text, sizeof(prober->text), "no answer in time");
	else if (prober->text[0] == '\0')
		(void)snprintf(prober->text, sizeof(prober->text), "%s",
		    exit_text(ended, spare, sizeof(spare)));
}

static void
prober_passed(
    struct core *core, struct prober *prober, const struct probe_spec *probe)
{
	int32_t slot = prober->slot;

	prober->failures = 0;
	prober->successes += prober->successes < UINT32_MAX;
	if (prober->successes < probe->success_threshold)
		return;
	if (prober->kind == PROBER_READINESS)
		instance_check_ready(core, slot);
	if (prober->kind != PROBER_STARTUP)
		return;
	/* over for good: now the others begin */
	struct worker_spec spec;
	instance_spec(core, slot, &spec);
	prober_drop(core, slot, PROBER_STARTUP);
	prober_add(core, slot, PROBER_LIVENESS);
	if (spec.readiness.kind != PROBE_NONE)
		prober_add(core, slot, PROBER_READINESS);
	else
		instance_check_ready(core, slot);
}

static void
prober_failed(
    struct core *core, struct prober *prober, const struct probe_spec *probe)
{
	struct instance *instance = &core->instances[prober->slot];

	prober->successes = 0;
	prober->failures += prober->failures < UINT32_MAX;
	log_event(
	    prober->failures <= probe->failure_threshold ? LOG_INFO : LOG_DEBUG,
	    "probe.failed", "worker=%s probe=%s failures=%u: %s",
	    instance_label(core, prober->slot), kind_name(prober->kind),
	    prober->failures, prober->text);
	if (prober->failures < probe->failure_threshold)
		return;
	if (prober->kind != PROBER_READINESS) {
		instance_stop(core, prober->slot,
		    prober->kind == PROBER_LIVENESS ? WHY_LIVENESS
		                                    : WHY_STARTUP);
		return;
	}
	if (instance->state == INSTANCE_READY)
		instance_change(core, prober->slot, EVENT_UNREADY);
	else if (prober->failures == probe->failure_threshold)
		peers_changed(core, prober->slot, EVENT_UNREADY);
}

void
prober_exited(struct core *core, int32_t index, const struct worker_exit *ended)
{
	struct prober *prober = &core->probers[index];
	struct worker_exit result = *ended, report;
	struct worker_spec spec;
	int32_t slot = prober->slot;

	if (spawn_report(prober->report_fd, &report) == -1)
		result = report;
	prober->pid = 0;
	loop_timer_clear(&core->loop, &prober->timer);
	if (prober->orphaned) {
		prober_release(core, index);
		return;
	}
	bool passed = !prober->killed && result.kind == EXIT_CODE &&
	              result.value == PROBE_EXIT_OK;
	if (!passed)
		take_text(prober, &result);
	fd_close(&prober->text_fd);
	fd_close(&prober->report_fd);
	if (prober->kind == PROBER_PRE_STOP) {
		hook_over(core, prober, passed);
		return;
	}
	instance_spec(core, slot, &spec);
	struct probe_spec probe = probe_of(&spec, prober->kind);
	if (passed)
		prober_passed(core, prober, &probe);
	else
		prober_failed(core, prober, &probe);
	/* it may be gone by now: the instance is being stopped */
	if (prober->slot == slot &&
	    prober == prober_of(core, slot, prober->kind))
		core_wake(core, &prober->timer,
		    MAX(clock_after(prober->began_ms, probe.period_ms),
		        core->loop.now_ms));
}
