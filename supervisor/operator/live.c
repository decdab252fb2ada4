/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "probes/inspect.h"
#include "supervisor/operator/live_seen.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/record.h"

enum {
	LOOK_EVERY_MS = 10 * 1000,
	/* Looked at in their turn at once: of more than these, each is seen
	 * less often. */
	BATCH_MAX = 500,
	KILL_MS = 5 * 1000,
};

/* --- what was seen ----------------------------------------------------- */

static void
process_forget(struct live_process *process)
{
	free(process->why);
	record_free(&process->detail);
	*process = (struct live_process){0};
}

static int
by_pid(const void *a, const void *b)
{
	const struct live_process *x = a;
	const struct live_process *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static struct live_process *
seen_pid(const struct live *live, int32_t pid)
{
	const struct live_process wanted = {.pid = pid};

	return live->nseen == 0 ? NULL
	                        : bsearch(&wanted, live->seen, live->nseen,
	                              sizeof(wanted), by_pid);
}

struct live_process *
live_process_of(const struct live *live, const struct wire_instance *wire)
{
	struct live_process *process = seen_pid(live, wire->pid);

	return process != NULL &&
	               process->started_wall_ms == wire->started_wall_ms
	           ? process
	           : NULL;
}

static void
forget_seen(struct live *live)
{
	for (size_t i = 0; i < live->nseen; i++)
		process_forget(&live->seen[i]);
	free(live->seen);
	live->seen = NULL;
	live->nseen = 0;
}

/* --- asking ------------------------------------------------------------ */

/* Calls `each` for every process of a worker; returns how many. */
typedef void each_fn(struct live *live, const struct running_instance *instance,
    size_t at, void *arg);
static size_t
each_process(struct live *live, each_fn *each, void *arg)
{
	const struct running *running = &live->op->running;
	size_t at = 0;

	for (size_t i = 0; i < running->count; i++) {
		const struct running_worker *worker = &running->workers[i];
		for (size_t k = 0; k < worker->ninstances; k++)
			if (worker->instances[k].wire.pid > 0)
				each(live, &worker->instances[k], at++, arg);
	}
	return at;
}

static void
write_pid(struct live *live, const struct running_instance *instance, size_t at,
    void *arg)
{
	(void)live;
	(void)at;
	jsonw_i64(arg, NULL, instance->wire.pid);
}

struct picking {
	struct jsonw *json;
	size_t first, last, all; /* the part that has its turn */
	size_t extra;            /* others that may be added */
};

/* Those whose turn it is, and those that can't wait: never seen, or known to
 * differ. */
static void
write_target(struct live *live, const struct running_instance *instance,
    size_t at, void *arg)
{
	const struct wire_instance *wire = &instance->wire;
	struct picking *picking = arg;
	struct jsonw *json = picking->json;
	const struct live_process *seen = live_process_of(live, wire);
	bool turn = (at + picking->all - picking->first) % picking->all <
	            picking->last - picking->first;

	if (!turn && (seen == NULL || seen->differs) && picking->extra > 0) {
		picking->extra--;
		turn = true;
	}
	if (!turn)
		return;
	struct worker_spec spec;
	bool known = history_find(
	    &live->op->history, wire->name, wire->config_digest, &spec);

	jsonw_object(json, NULL);
	jsonw_i64(json, "pid", wire->pid);
	if (known && spec.process.limited != 0)
		jsonw_bool(json, "limits", true);
	if (instance->peers_wanted)
		jsonw_bool(json, "peers", true);
	if (known && seen != NULL && seen->differs) {
		jsonw_array(json, "env");
		for (size_t i = 0; spec.envp != NULL && spec.envp[i] != NULL;
		     i++)
			if (inspect_compares(spec.envp[i]))
				jsonw_format(json, NULL, "%.*s",
				    (int)strcspn(spec.envp[i], "="),
				    spec.envp[i]);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
write_commands(const struct operator_core *op, struct jsonw *json)
{
	jsonw_array(json, "commands");
	for (size_t i = 0;
	     op->intent != NULL && i < op->intent->declared->nworkers; i++) {
		const struct declared_worker *worker =
		    &op->intent->declared->workers[i];
		jsonw_object(json, NULL);
		jsonw_text(json, "name", worker->name);
		jsonw_array(json, "command");
		for (size_t k = 0; worker->command[k] != NULL; k++)
			jsonw_text(json, NULL, worker->command[k]);
		jsonw_end(json);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
write_request(struct live *live, struct buffer *out)
{
	struct operator_core *op = live->op;
	struct jsonw json;
	char hex[RECORD_HEX_SIZE];

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "key", record_hex(op->key.bytes, hex));
	jsonw_i64(&json, "init", op->init.hello.init_pid);
	jsonw_array(&json, "known");
	jsonw_i64(&json, NULL, getpid());
	jsonw_i64(&json, NULL, op->running.snapshot.logger_pid);
	jsonw_end(&json);
	jsonw_array(&json, "workers");
	struct picking picking = {
	    .json = &json,
	    .all = each_process(live, write_pid, &json),
	    .extra = BATCH_MAX,
	};
	jsonw_end(&json);
	jsonw_array(&json, "targets");
	if (picking.all > 0) {
		picking.first = live->cursor % picking.all;
		picking.last =
		    picking.first + MIN(picking.all, (size_t)BATCH_MAX);
		(void)each_process(live, write_target, &picking);
		live->cursor = picking.last % picking.all;
	}
	jsonw_end(&json);
	write_commands(op, &json);
	jsonw_end(&json);
	buffer_text(out, "\n");
	explicit_bzero(hex, sizeof(hex));
}

void
live_look_at(struct live *live, int64_t at_ms)
{
	struct err err = ERR_INIT;

	if (live->timer.slot != 0 && live->timer.at_ms <= at_ms)
		return;
	if (loop_timer_set(&live->op->loop, &live->timer, at_ms, &err) == -1)
		log_warning("live", "%s", err.text);
}

static void
look(struct loop_timer *timer, int64_t now_ms)
{
	static const char *const INSPECT[] = {NULL, "inspect", NULL};
	struct live *live = timer->owner;
	struct err err = ERR_INIT;

	live_look_at(live, clock_beat(now_ms, LOOK_EVERY_MS));
	if (helper_runs(&live->child) || !live->op->ready || live->op->draining)
		return;
	buffer_clear(&live->child.in);
	buffer_clear(&live->child.out);
	write_request(live, &live->child.in);
	if (helper_start(&live->child, INSPECT, clock_after(now_ms, KILL_MS),
	        &err) == -1) {
		log_warning("live", "%s", err.text);
		live->trouble = "the look at the processes can't be started";
		live->asked = true;
	}
}

/* Everything that an answer says, in the order of the pids. */
struct learning {
	cJSON **answers; /* ascending pids */
	size_t count;
	struct live_process *now;
	size_t nnow;
	bool ask_more; /* which variables of it differ isn't known yet */
	bool news;     /* something isn't as it was at the last look */
};

static int
by_answer(const void *a, const void *b)
{
	cJSON *const *x = a;
	cJSON *const *y = b;
	int64_t one = record_i64(*x, "pid", 0);
	int64_t two = record_i64(*y, "pid", 0);

	return one < two ? -1 : one > two;
}

static int
is_answer(const void *pid, const void *answer)
{
	const int64_t *wanted = pid;
	cJSON *const *one = answer;
	int64_t has = record_i64(*one, "pid", 0);

	return *wanted < has ? -1 : *wanted > has;
}

static void
learn_new(struct live *live, const struct wire_instance *wire, cJSON *answer,
    struct learning *learning, struct live_process *ret)
{
	const struct fingerprint *expected = history_print(&live->op->history,
	    &live->op->key, wire->name, wire->config_digest);
	const char *why = record_text(answer, "why", "");

	ret->pid = wire->pid;
	ret->started_wall_ms = wire->started_wall_ms;
	ret->uid = record_i64(answer, "uid", -1);
	ret->gid = record_i64(answer, "gid", -1);
	if (!record_unhex(record_text(answer, "print", NULL), ret->print.bytes))
		ret->why = strdup(*why == '\0' ? "?" : why);
	ret->differs = ret->why == NULL && expected != NULL &&
	               !fingerprint_equal(&ret->print, expected);
	if (ret->differs &&
	    cJSON_GetObjectItemCaseSensitive(answer, "env") == NULL)
		learning->ask_more = true;
	if (cJSON_GetObjectItemCaseSensitive(answer, "env") != NULL ||
	    cJSON_GetObjectItemCaseSensitive(answer, "limits") != NULL ||
	    cJSON_GetObjectItemCaseSensitive(answer, "peers") != NULL)
		ret->detail = cJSON_Duplicate(answer, 1);
}

static bool
same_process(const struct live_process *a, const struct live_process *b)
{
	return a->uid == b->uid && a->gid == b->gid &&
	       a->differs == b->differs && text_equal(a->why, b->why) &&
	       fingerprint_equal(&a->print, &b->print) &&
	       (a->detail == NULL
	               ? b->detail == NULL
	               : cJSON_Compare(a->detail, b->detail, true) != 0);
}

static void
learn_one(struct live *live, const struct running_instance *instance, size_t at,
    void *arg)
{
	const struct wire_instance *wire = &instance->wire;
	struct learning *learning = arg;
	struct live_process *old = live_process_of(live, wire);
	int64_t pid = wire->pid;
	cJSON **answer = learning->count == 0
	                     ? NULL
	                     : bsearch(&pid, learning->answers, learning->count,
	                           sizeof(cJSON *), is_answer);

	(void)at;
	if (answer != NULL) {
		struct live_process *now = &learning->now[learning->nnow++];
		learn_new(live, wire, *answer, learning, now);
		learning->news |= old == NULL || !same_process(old, now);
	} else if (old != NULL) {
		learning->now[learning->nnow++] = *old;
		*old = (struct live_process){.pid = old->pid};
	}
}

static void
count_one(struct live *live, const struct running_instance *instance, size_t at,
    void *arg)
{
	size_t *count = arg;

	(void)live;
	(void)instance;
	*count = at + 1;
}

/* Returns whether there is any news; `ret_more`: another look is wanted at
 * once. */
static bool
learn(struct live *live, cJSON *answer, bool *ret_more)
{
	const cJSON *list = record_array(answer, "targets");
	struct learning learning = {.count = 0};
	cJSON *item = NULL;
	size_t count = 0;

	(void)each_process(live, count_one, &count);
	learning.now = calloc(count + 1, sizeof(*learning.now));
	learning.answers =
	    calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof(cJSON *));
	*ret_more = false;
	if (learning.now == NULL || learning.answers == NULL) {
		free(learning.now);
		free(learning.answers);
		return true;
	}
	cJSON_ArrayForEach(item, list) learning.answers[learning.count++] =
	    item;
	qsort(learning.answers, learning.count, sizeof(cJSON *), by_answer);
	(void)each_process(live, learn_one, &learning);
	qsort(learning.now, learning.nnow, sizeof(*learning.now), by_pid);
	forget_seen(live);
	live->seen = learning.now;
	live->nseen = learning.nnow;
	free(learning.answers);
	*ret_more = learning.ask_more;
	return learning.news;
}

static bool
any(const cJSON *strangers)
{
	return cJSON_GetArraySize(strangers) > 0;
}

static void
answered(struct helper *child, int status, bool killed)
{
	struct live *live = child->owner;
	CLEANUP(record_free)
	cJSON *answer = WIFEXITED(status) && WEXITSTATUS(status) == 0
	                    ? record_parse(child->out.data, child->out.len)
	                    : NULL;

	bool news = !live->asked || answer == NULL || live->trouble != NULL ||
	            any(live->strangers);
	bool more = false;

	live->asked = true;
	record_free(&live->before);
	live->before = live->strangers;
	live->strangers =
	    cJSON_DetachItemFromObjectCaseSensitive(answer, "strangers");
	news = news || live->whole != record_true(answer, "whole");
	live->whole = record_true(answer, "whole");
	free(live->scope);
	live->scope = strdup(record_text(answer, "scope", ""));
	live->trouble = killed ? "the look at the processes took too long"
	                : answer == NULL ? "the look at the processes failed"
	                                 : NULL;
	if (answer != NULL && learn(live, answer, &more))
		news = true;

	buffer_wipe(&child->in);
	buffer_wipe(&child->out);
	/* Who is there twice is no passer-by. */
	if (more)
		live_look_at(live, clock_ms());
	else if (any(live->strangers) && !any(live->before))
		live_look_at(live, clock_after(clock_ms(), LIVE_SOON_MS));
	if (news || any(live->strangers))
		operator_wake(live->op, 0);
}

/* --- life -------------------------------------------------------------- */

const cJSON *
live_peers(struct live *live, int32_t pid)
{
	const struct live_process *process = seen_pid(live, pid);

	return process == NULL ? NULL : record_array(process->detail, "peers");
}

struct live *
live_new(struct operator_core *op)
{
	struct live *live = calloc(1, sizeof(*live));

	if (live == NULL)
		return NULL;
	live->op = op;
	live->timer = (struct loop_timer){.fire = look, .owner = live};
	helper_init(&live->child, &op->loop, answered, live);
	live->child.part = HELPER_PROCESSES;
	return live;
}

void
live_begin(struct live *live)
{
	live_look_at(live, clock_ms());
}

void
live_free(struct live *live)
{
	if (live == NULL)
		return;
	helper_fini(&live->child);
	loop_timer_clear(&live->op->loop, &live->timer);
	forget_seen(live);
	record_free(&live->strangers);
	record_free(&live->before);
	free(live->scope);
	free(live);
}
