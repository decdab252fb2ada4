/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/specs.h"
#include "supervisor/wire/plan_encode.h"

enum {
	ARENA_MAX = 64 << 20
};

static void
plan_forget(struct operator_plan *plan)
{
	if (plan->known)
		plan_close(&plan->plan);
	names_fini(&plan->names);
	*plan = (struct operator_plan){.plan = PLAN_INIT};
}

static const char *
name_in_plan(const void *list, size_t at)
{
	struct worker_spec spec;

	plan_worker(list, (uint32_t)at, &spec);
	return spec.name;
}

/* The plan in a sealed memfd, decoded, with the fingerprint of its bytes. */
static int
plan_take(struct operator_core *op, int fd, struct operator_plan *ret,
    struct err *err)
{
	struct operator_plan taken = {.plan = PLAN_INIT};
	struct stat st;

	if (fstat(fd, &st) == -1)
		return err_sys(err, "plan");
	if (st.st_size <= 0 || st.st_size > PLAN_BYTES_MAX)
		return err_set(err, ERR_INPUT, "plan: its size is wrong");
	size_t size = (size_t)st.st_size;
	void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (bytes == MAP_FAILED)
		return err_sys(err, "map the plan");
	taken.print = fingerprint_of(&op->key, bytes, size);
	(void)munmap(bytes, size);
	if (plan_open(fd, true, &taken.plan, err) == -1)
		return -1;
	taken.known = true;
	names_set(&taken.names, taken.plan.nworkers, name_in_plan, &taken.plan);
	*ret = taken;
	return 0;
}

/* What runs with a configuration is known by the plan that brought it. */
static void
put_in_force(struct operator_core *op, struct operator_plan *plan)
{
	history_force(&op->history, &plan->plan);
	plan_forget(&op->applied);
	op->applied = *plan;
	*plan = (struct operator_plan){.plan = PLAN_INIT};
	for (uint32_t i = 0; i < op->applied.plan.nworkers; i++) {
		struct worker_spec spec;
		plan_worker(&op->applied.plan, i, &spec);
		struct tracked *tracked = operator_track(op, spec.name);
		tracked->generation = MAX(tracked->generation, spec.generation);
	}
}

int
plans_adopt(struct operator_core *op, int fd, struct err *err)
{
	struct operator_plan taken;

	if (plan_take(op, fd, &taken, err) == -1)
		return -1;
	put_in_force(op, &taken);
	return 0;
}

void
plans_drop_sent(struct operator_core *op)
{
	plan_forget(&op->sent);
}

void
plans_fini(struct operator_core *op)
{
	plan_forget(&op->applied);
	plan_forget(&op->sent);
}

bool
plans_applied(
    const struct operator_core *op, const char *name, struct worker_spec *ret)
{
	size_t at = names_find(
	    &op->applied.names, name, name_in_plan, &op->applied.plan);

	if (at == NAMES_NONE)
		return false;
	plan_worker(&op->applied.plan, (uint32_t)at, ret);
	return true;
}

static bool
good_of(const struct operator_core *op, const char *name,
    const struct reconcile_memory *memory, struct worker_spec *ret)
{
	return memory->has_good &&
	       history_find(&op->history, name, memory->good, ret);
}

/* Declared, unless there is a reason against it; then what it has, or what was
 * good. */
bool
plans_choice(const struct operator_core *op, const struct intent *intent,
    size_t which, struct worker_spec *ret, const char **ret_held)
{
	static const struct tracked unknown = {.scale = -1};
	const struct declared_worker *declared =
	    &intent->declared->workers[which];
	struct worker_spec spec;
	const struct tracked *tracked =
	    operator_tracked(op, declared->name, &unknown);
	bool starts = true;

	intent_spec(intent, which, &spec);
	*ret = spec;
	*ret_held = NULL;
	if (op->intent_refused && intent == op->intent) {
		/* A worker that the init can't have yet has to wait. */
		if (!plans_applied(op, declared->name, ret))
			return false;
		*ret_held = "refused by the init";
	} else if (specs_gap(declared) != NULL) {
		/* Never from complete to incomplete; and, as in Kubernetes,
		 * what was never complete is not started. */
		if (!good_of(op, declared->name, &tracked->memory, ret))
			starts = plans_applied(op, declared->name, ret) &&
			         ret->replicas > 0;
		*ret_held = "a declared value is missing";
	} else if (reconcile_held(&tracked->memory, spec.config_digest) &&
	           good_of(op, declared->name, &tracked->memory, ret)) {
		*ret_held = "rolled back";
	}
	ret->replicas = spec.replicas;
	if (tracked->scale >= 0 && tracked->scale_over == declared->replicas)
		ret->replicas = (uint32_t)tracked->scale;
	else if (declared->scale.queue != NULL)
		ret->replicas =
		    (uint32_t)scaling_replicas(op, declared, tracked);
	if (!starts)
		ret->replicas = 0;
	ret->generation = MAX(tracked->generation, (uint64_t)1);
	return true;
}

static bool
choose(struct operator_core *op, size_t which, struct worker_spec *ret)
{
	const struct declared_worker *declared =
	    &op->intent->declared->workers[which];
	struct tracked *tracked = operator_track(op, declared->name);

	if (tracked->scale >= 0 && tracked->scale_over != declared->replicas)
		tracked->scale = -1; /* declared anew */
	tracked->generation = MAX(tracked->generation, (uint64_t)1);
	return plans_choice(op, op->intent, which, ret, &tracked->held);
}

static int
compose(struct operator_core *op, struct buffer *out, struct err *err)
{
	size_t nworkers = op->intent->declared->nworkers;
	struct arena arena;
	size_t count = 0;

	arena_init(&arena, ARENA_MAX);
	struct worker_spec *chosen =
	    arena_array(&arena, nworkers + 1, sizeof(*chosen));

	for (size_t i = 0; i < nworkers; i++)
		if (choose(op, i, &chosen[count]))
			count++;
	int rc = plan_encode(chosen, count, &op->intent->settings, out, err);

	arena_fini(&arena);
	return rc;
}

/* The good configurations, as a plan that the init keeps unread: whoever comes
 * after us can still go back to them. */
void
plans_keep(struct operator_core *op)
{
	union wire_message message;
	struct plan_settings settings;
	struct err err = ERR_INIT;
	struct arena arena;
	struct buffer bytes;
	size_t count = 0;
	int fd = -1;

	arena_init(&arena, ARENA_MAX);
	buffer_init(&bytes, PLAN_BYTES_MAX);
	struct worker_spec *good =
	    arena_array(&arena, op->ntracked + 1, sizeof(*good));

	for (size_t i = 0; i < op->ntracked; i++)
		if (good_of(op, op->tracked[i].name, &op->tracked[i].memory,
		        &good[count]))
			count++;
	plan_settings_default(&settings);
	settings.name = op->name;
	memset(&message, 0, sizeof(message));
	if (plan_encode(good, count, &settings, &bytes, &err) == -1 ||
	    plan_memfd(bytes.data, bytes.len, &fd, &err) == -1 ||
	    wire_client_send(&op->init, WIRE_KEEP, &message, fd, NULL, &err) ==
	        -1)
		log_warning("operator.keep", "%s", err.text);
	fd_close(&fd);
	buffer_wipe(&bytes);
	arena_fini(&arena);
}

void
plans_kept(struct operator_core *op, int fd)
{
	struct err err = ERR_INIT;
	struct plan plan = PLAN_INIT;

	if (plan_open(fd, true, &plan, &err) == -1) {
		log_warning("operator.kept", "%s", err.text);
		return;
	}
	for (uint32_t i = 0; i < plan.nworkers; i++) {
		struct worker_spec spec;
		plan_worker(&plan, i, &spec);
		history_add(&op->history, &spec);
		struct reconcile_memory *memory =
		    &operator_track(op, spec.name)->memory;
		memory->has_good = true;
		memcpy(memory->good, spec.config_digest, RECONCILE_DIGEST);
	}
	plan_close(&plan);
}

static void
ask_old(struct operator_core *op, uint64_t number)
{
	union wire_message message;
	struct err err = ERR_INIT;

	for (size_t i = 0; i < OLD_PLANS_MAX; i++) {
		if (op->old_sequences[i] != 0)
			continue;
		memset(&message, 0, sizeof(message));
		message.order.replica = WIRE_ALL_REPLICAS;
		message.order.value = (int32_t)number;
		if (wire_client_send(&op->init, WIRE_GET_OLD_PLAN, &message, -1,
		        &op->old_sequences[i], &err) == -1)
			log_warning("plan.unknown", "%s", err.text);
		return;
	}
}

void
plans_ask_old(struct operator_core *op)
{
	uint64_t asked[OLD_PLANS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < op->running.count; i++) {
		const struct running_worker *worker = &op->running.workers[i];
		for (size_t k = 0; k < worker->ninstances; k++) {
			const struct wire_instance *wire =
			    &worker->instances[k].wire;
			struct worker_spec known;
			size_t at = 0;
			if (wire->pid <= 0 || wire->plan_number > INT32_MAX ||
			    history_find(&op->history, wire->name,
			        wire->config_digest, &known))
				continue;
			while (at < count && asked[at] != wire->plan_number)
				at++;
			if (at < count || count == OLD_PLANS_MAX)
				continue;
			asked[count++] = wire->plan_number;
			ask_old(op, wire->plan_number);
		}
	}
}

void
plans_learn(struct operator_core *op, int fd)
{
	struct err err = ERR_INIT;
	struct plan plan = PLAN_INIT;

	if (plan_open(fd, true, &plan, &err) == -1) {
		log_warning("plan.unknown", "%s", err.text);
		return;
	}
	for (uint32_t i = 0; i < plan.nworkers; i++) {
		struct worker_spec spec;
		plan_worker(&plan, i, &spec);
		history_add(&op->history, &spec);
	}
	plan_close(&plan);
}

/* Everything that the plan depends on, without composing it. */
static struct fingerprint
ingredients(struct operator_core *op)
{
	const struct intent *intent = op->intent;
	struct buffer bytes;

	buffer_init(&bytes, PLAN_BYTES_MAX);
	buffer_append(&bytes, &intent->print, sizeof(intent->print));
	if (op->intent_refused)
		buffer_append(
		    &bytes, &op->applied.print, sizeof(op->applied.print));
	for (size_t i = 0; i < intent->declared->nworkers; i++) {
		struct worker_spec spec;
		struct {
			uint8_t digest[16];
			uint64_t generation;
			uint32_t replicas, held;
		} one;
		if (!choose(op, i, &spec))
			continue;
		const char *name = intent->declared->workers[i].name;
		const char *held = operator_track(op, name)->held;
		memset(&one, 0, sizeof(one));
		memcpy(one.digest, spec.config_digest, sizeof(one.digest));
		one.generation = spec.generation;
		one.replicas = spec.replicas;
		one.held = held == NULL ? 0 : 1;
		buffer_append(&bytes, &one, sizeof(one));
		buffer_append(&bytes, name, strlen(name) + 1);
	}
	struct fingerprint print =
	    fingerprint_of(&op->key, bytes.data, bytes.len);

	buffer_fini(&bytes);
	return print;
}

/* The fingerprint of the plan as it should be; composed only when something
 * that it depends on is new. */
static bool
wanted_print(struct operator_core *op, struct fingerprint *ret)
{
	struct fingerprint of = ingredients(op);
	struct err err = ERR_INIT;
	struct buffer bytes;

	if (op->has_composed && fingerprint_equal(&of, &op->composed_of)) {
		*ret = op->composed;
		return true;
	}
	buffer_init(&bytes, PLAN_BYTES_MAX);
	op->has_composed = compose(op, &bytes, &err) == 0;
	if (op->has_composed) {
		op->composed_of = of;
		op->composed = fingerprint_of(&op->key, bytes.data, bytes.len);
		*ret = op->composed;
	}
	buffer_wipe(&bytes);
	return op->has_composed;
}

bool
plans_current(struct operator_core *op)
{
	struct fingerprint print;

	if (op->intent == NULL || !wanted_print(op, &print))
		return false;
	/* What was refused as it is isn't sent again. */
	if (op->has_refused && op->intent_refused &&
	    fingerprint_equal(&print, &op->refused))
		return op->applied.known;
	return op->applied.known &&
	       fingerprint_equal(&print, &op->applied.print);
}

static void
refuse(struct operator_core *op, const char *why)
{
	log_error("plan.refused", "%s", why);
	(void)snprintf(op->plan_refusal, sizeof(op->plan_refusal), "%s", why);
	op->intent_refused = true;
}

void
plans_want_another(struct operator_core *op)
{
	op->plan_under_way = true;
	operator_wake(op, 0);
}

void
plans_send(struct operator_core *op)
{
	struct err err = ERR_INIT;
	struct buffer bytes;
	int fd = -1;

	if (op->sent.known || op->intent == NULL)
		return;
	buffer_init(&bytes, PLAN_BYTES_MAX);
	if (compose(op, &bytes, &err) == -1) {
		refuse(op, err.text);
		goto out;
	}
	if (plan_memfd(bytes.data, bytes.len, &fd, &err) == -1 ||
	    plan_take(op, fd, &op->sent, &err) == -1) {
		refuse(op, err.text);
		goto out;
	}
	if (wire_client_plan(&op->init, fd, &op->sent_sequence, &err) == -1) {
		/* Its queue is full: tried again with the next pass. */
		log_warning("plan.unsent", "%s", err.text);
		plan_forget(&op->sent);
		operator_wake(op, clock_after(clock_ms(), 200));
		goto out;
	}
	op->sent_ms = clock_ms();
	log_info("plan.sent", "workers=%u bytes=%zu", op->sent.plan.nworkers,
	    bytes.len);
out:
	fd_close(&fd);
	buffer_wipe(&bytes);
}

void
plans_replied(struct operator_core *op, const struct wire_reply *reply)
{
	if (!op->sent.known)
		return;
	if (reply->ok != 0) {
		put_in_force(op, &op->sent);
		log_info("plan.applied", "number=%" PRIu64, reply->plan_number);
		events_say(op->events, "plan", NULL,
		    "number %" PRIu64 " is in force", reply->plan_number);
		if (!op->intent_refused)
			op->plan_refusal[0] = '\0';
	} else {
		op->refused = op->sent.print;
		op->has_refused = true;
		plan_forget(&op->sent);
		refuse(op, reply->text);
		if (!op->applied.known) {
			/* There is nothing to go on with. */
			op->exit_code =
			    reply->code > 0 ? reply->code : EXIT_MANIFEST;
			op->stop = true;
		}
	}
	operator_wake(op, 0);
}
