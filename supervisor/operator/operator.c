/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/live.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/trim.h"
#include "supervisor/wire/place.h"

enum {
	HELLO_MS = 10 * 1000,
	ALIVE_EVERY_MS = 10 * 1000,
	SNAPSHOT_MS_EACH = 10, /* so often, for each instance */
	SNAPSHOT_MAX_MS = 20 * 1000,
	REFUSAL_MAX = 64 * 1024,
	MESSAGES_A_TURN = 256,
	LOST_MS = 15 * 1000, /* the init answers within milliseconds */
	PASS_DELAY_MS = 20,  /* facts come in groups */
	REST_MS = 500,       /* so long no pass was needed */
};

/* --- shared ------------------------------------------------------------ */

void
operator_wake(struct operator_core *op, int64_t at_ms)
{
	struct err err = ERR_INIT;
	int64_t soon_ms = clock_after(clock_ms(), PASS_DELAY_MS);

	at_ms = MAX(at_ms, soon_ms);
	if (at_ms == CLOCK_NEVER ||
	    (op->pass_timer.slot != 0 && op->pass_timer.at_ms <= at_ms))
		return;
	if (loop_timer_set(&op->loop, &op->pass_timer, at_ms, &err) == -1)
		log_error("operator.timer", "%s", err.text);
}

static const char *
tracked_name(const void *list, size_t at)
{
	const struct operator_core *op = list;

	return op->tracked[at].name;
}

struct tracked *
operator_track(struct operator_core *op, const char *name)
{
	size_t at = names_find(&op->tracked_names, name, tracked_name, op);

	if (at != NAMES_NONE)
		return &op->tracked[at];
	if (op->ntracked == op->tracked_room) {
		size_t room = op->tracked_room == 0 ? 16 : op->tracked_room * 2;
		struct tracked *more =
		    reallocarray(op->tracked, room, sizeof(*more));
		if (more == NULL)
			abort();
		op->tracked = more;
		op->tracked_room = room;
	}
	struct tracked *tracked = &op->tracked[op->ntracked++];

	*tracked = (struct tracked){.scale = -1, .scale_over = -1};
	(void)snprintf(tracked->name, sizeof(tracked->name), "%s", name);
	names_add(&op->tracked_names, tracked->name, op->ntracked - 1);
	return tracked;
}

const struct tracked *
operator_tracked(const struct operator_core *op, const char *name,
    const struct tracked *otherwise)
{
	size_t at = names_find(&op->tracked_names, name, tracked_name, op);

	return at == NAMES_NONE ? otherwise : &op->tracked[at];
}

const struct declared_worker *
operator_declared(
    const struct operator_core *op, const char *name, size_t *ret_index)
{
	size_t at = op->intent == NULL || name == NULL
	                ? NAMES_NONE
	                : intent_worker(op->intent, name);

	if (at == NAMES_NONE)
		return NULL;
	if (ret_index != NULL)
		*ret_index = at;
	return &op->intent->declared->workers[at];
}

/* --- the wire ---------------------------------------------------------- */

static void
ask(struct operator_core *op, enum wire_type type, uint32_t *ret_sequence)
{
	union wire_message message;
	struct err err = ERR_INIT;

	memset(&message, 0, sizeof(message));
	if (wire_client_send(
	        &op->init, type, &message, -1, ret_sequence, &err) == -1)
		log_warning("wire", "%s", err.text);
}

static void
begin(struct operator_core *op)
{
	if (op->ready)
		return;
	if (!op->asked_old) {
		op->asked_old = true;
		plans_ask_old(op);
	}
	for (size_t i = 0; i < OLD_PLANS_MAX; i++)
		if (op->old_sequences[i] != 0)
			return;
	op->ready = true;
	notes_read(op);
	live_begin(op->live);
	log_info("operator.ready", "plan=%s workers=%zu",
	    op->applied.known ? "found" : "none", op->running.count);
	operator_wake(op, 0);
}

/* Returns whether the reply was the answer to such a question. */
static bool
take_old(struct operator_core *op, const struct wire_reply *reply, int fd)
{
	for (size_t i = 0; i < OLD_PLANS_MAX; i++) {
		if (op->old_sequences[i] == 0 ||
		    op->old_sequences[i] != reply->head.sequence)
			continue;
		op->old_sequences[i] = 0;
		if (reply->ok != 0 && fd != -1)
			plans_learn(op, fd);
		begin(op);
		return true;
	}
	return false;
}

static void
take_reply(struct operator_core *op, const struct wire_reply *reply, int fd)
{
	struct err err = ERR_INIT;

	uint32_t sequence = reply->head.sequence;

	if (op->kept_sequence != 0 && sequence == op->kept_sequence) {
		op->kept_sequence = 0;
		if (reply->ok != 0 && fd != -1)
			plans_kept(op, fd);
		return;
	}
	if (op->plan_sequence != 0 && sequence == op->plan_sequence) {
		op->plan_sequence = 0;
		if (reply->ok != 0 && fd != -1 &&
		    plans_adopt(op, fd, &err) == -1)
			log_warning("plan.unknown", "%s", err.text);
		if (op->running.known)
			begin(op);
		return;
	}
	if (take_old(op, reply, fd))
		return;
	if (op->sent.known && reply->head.sequence == op->sent_sequence) {
		plans_replied(op, reply);
		return;
	}
	if (reply->ok == 0)
		log_warning("order.refused", "%s", reply->text);
}

static void
take(struct operator_core *op, const union wire_message *message, int fd)
{
	switch (message->head.type) {
	case WIRE_REPLY:
		take_reply(op, &message->reply, fd);
		return;
	case WIRE_RELOAD_WANTED:
		operator_reload(op, "asked for");
		return;
	case WIRE_EVENT:
		events_take(op->events, &message->event);
		counters_event(&op->counters, &message->event);
		return;
	case WIRE_DRAINING:
		log_info("operator.draining", "%s", message->text.text);
		events_say(
		    op->events, "draining", NULL, "%s", message->text.text);
		op->draining = true;
		return;
	default:
		break;
	}
	if (message->head.type == WIRE_INSTANCE) {
		counters_instance(&op->counters, &message->instance);
		deaths_instance(op->deaths, &message->instance);
	}
	if (!running_take(&op->running, message, clock_ms(), clock_wall_ms()))
		return;
	if (op->plan_sequence == 0)
		begin(op);
	operator_wake(op, 0);
}

static void
init_ready(struct loop_source *source, uint32_t events)
{
	struct operator_core *op = source->owner;
	union wire_message message;
	int fds[WIRE_FDS_MAX];
	struct err err = ERR_INIT;

	(void)events;
	for (unsigned i = 0; i < MESSAGES_A_TURN && !op->stop; i++) {
		int rc = wire_client_next(&op->init, &message, fds, &err);
		if (rc == 0)
			return;
		if (rc == -1) {
			log_info("operator.alone", "%s", err.text);
			op->stop = true;
			return;
		}
		take(op, &message, fds[0]);
		for (size_t k = 0; k < WIRE_FDS_MAX; k++)
			fd_close(&fds[k]);
	}
}

static int
greet(struct operator_core *op, int wire_fd, struct err *err)
{
	union wire_message message;
	int fds[WIRE_FDS_MAX];
	int64_t deadline_ms = clock_after(clock_ms(), HELLO_MS);

	/* Our children have no business with it. */
	if (fcntl(wire_fd, F_SETFD, FD_CLOEXEC) == -1)
		return err_sys(err, "no wire to the init");
	wire_client_adopt(&op->init, wire_fd);
	while (!op->init.greeted) {
		if (wire_client_wait(
		        &op->init, &message, fds, deadline_ms, err) == -1)
			return err_wrap(err, "no word from the init");
		for (size_t k = 0; k < WIRE_FDS_MAX; k++)
			fd_close(&fds[k]);
	}
	op->key = op->init.hello.key;
	return 0;
}

/* --- life -------------------------------------------------------------- */

static void
signals_ready(struct loop_source *source, uint32_t events)
{
	struct operator_core *op = source->owner;
	struct signalfd_siginfo info;

	(void)events;
	while (read(source->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			helpers_reap();
		else if (info.ssi_signo == SIGHUP)
			operator_reload(op, "SIGHUP");
		else
			op->stop = true;
	}
}

static void
tell_state(struct operator_core *op)
{
	union wire_message message;
	struct err err = ERR_INIT;
	const char *text = op->refusal.len > 0  ? "degraded: manifest refused"
	                   : op->intent_refused ? "degraded: plan refused"
	                                        : "ok";

	if (text_equal(text, op->told))
		return;
	memset(&message, 0, sizeof(message));
	(void)snprintf(
	    message.text.text, sizeof(message.text.text), "%s", text);
	if (wire_client_send(
	        &op->init, WIRE_OPERATOR_STATE, &message, -1, NULL, &err) == 0)
		(void)snprintf(op->told, sizeof(op->told), "%s", text);
}

static int64_t
now_us(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* What a reading of the manifest and the start of its workers have touched is
 * given back when they are over. */
static void
give_back(struct operator_core *op)
{
	if (!op->trim_due || !op->judged)
		return;
	op->trim_due = false;
	trim();
}

static void
rested(struct loop_timer *timer, int64_t now_ms)
{
	(void)now_ms;
	give_back(timer->owner);
}

static void
await_rest(struct operator_core *op)
{
	/* without it, alive() does as much a little later */
	if (op->trim_due && op->judged)
		(void)!loop_timer_set(&op->loop, &op->rest_timer,
		    clock_after(clock_ms(), REST_MS), NULL);
}

static void
pass(struct loop_timer *timer, int64_t now_ms)
{
	struct operator_core *op = timer->owner;

	(void)now_ms;
	int64_t begin_us = now_us(CLOCK_MONOTONIC);
	int64_t begin_cpu_us = now_us(CLOCK_PROCESS_CPUTIME_ID);
	int64_t wake_ms = judge_pass(op);

	counters_pass(&op->counters, now_us(CLOCK_MONOTONIC) - begin_us,
	    now_us(CLOCK_PROCESS_CPUTIME_ID) - begin_cpu_us);
	tell_state(op);
	operator_wake(op, wake_ms);
	await_rest(op);
}

/* An answer that was lost (the init never waits for us) is asked for again;
 * what is only nice to know isn't waited for any longer. */
static void
ask_again(struct operator_core *op, int64_t now_ms)
{
	if (op->sent.known && now_ms - op->sent_ms > LOST_MS) {
		log_warning("plan.unanswered", "asking what is in force");
		plans_drop_sent(op);
		ask(op, WIRE_GET_PLAN, &op->plan_sequence);
	}
	if (op->ready || now_ms - op->started_ms < LOST_MS)
		return;
	memset(op->old_sequences, 0, sizeof(op->old_sequences));
	if (op->plan_sequence != 0)
		ask(op, WIRE_GET_PLAN, &op->plan_sequence);
	else if (op->running.known)
		begin(op);
}

struct filling {
	struct samples *samples;
	const char *queue;
};

static void
sample_past(void *arg, int64_t at_wall_ms, int64_t waiting, int64_t oldest_ms)
{
	const struct filling *filling = arg;

	samples_add(
	    filling->samples, filling->queue, at_wall_ms, waiting, oldest_ms);
}

/* For the curves of the page; what our predecessor saw is in the history. */
static void
sample_queue(void *arg, const struct queue_view *view)
{
	struct operator_core *op = arg;
	const struct queue_state *state = view->state;

	if (!samples_know(&op->samples, view->name))
		trend_each(op->trend, view->name,
		    clock_wall_ms() -
		        (int64_t)SAMPLE_COARSE_MS * SAMPLE_COARSE_COUNT,
		    sample_past, &(struct filling){&op->samples, view->name});
	samples_add(&op->samples, view->name, clock_wall_ms(),
	    state->waiting.know == KNOW_UNKNOWN ? SAMPLE_UNKNOWN
	                                        : state->waiting.value,
	    state->oldest_ms.know == KNOW_UNKNOWN ||
	            state->oldest_ms.know == KNOW_NOT_APPLICABLE
	        ? SAMPLE_UNKNOWN
	        : state->oldest_ms.value);
}

/* Whatever was lost on the way is seen again. */
static void
alive(struct loop_timer *timer, int64_t now_ms)
{
	struct operator_core *op = timer->owner;
	struct err err = ERR_INIT;

	ask_again(op, now_ms);
	ceiling_look(op);
	queues_view_each(op->queues, sample_queue, op);
	samples_forget(&op->samples, clock_wall_ms());
	ask(op, WIRE_ALIVE, NULL);
	/* The init tells each change; this is for what was lost on the way. */
	if (now_ms >= op->snapshot_due_ms) {
		ask(op, WIRE_GET_SNAPSHOT, NULL);
		int64_t every_ms = MIN(
		    (int64_t)op->running.snapshot.instances * SNAPSHOT_MS_EACH,
		    (int64_t)SNAPSHOT_MAX_MS);
		op->snapshot_due_ms =
		    clock_after(now_ms, MAX(every_ms, (int64_t)ALIVE_EVERY_MS) -
		                            ALIVE_EVERY_MS / 2);
	}
	give_back(op); /* who never rests, too */
	if (loop_timer_set(&op->loop, timer, clock_beat(now_ms, ALIVE_EVERY_MS),
	        &err) == -1)
		log_error("operator.timer", "%s", err.text);
}

static int
watch_signals(struct operator_core *op, struct err *err)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	if (sigaction(SIGPIPE, &ignore, NULL) == -1)
		return err_sys(err, "SIGPIPE");
	op->signal_source = (struct loop_source){
	    .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
	    .ready = signals_ready,
	    .owner = op,
	};
	if (op->signal_source.fd == -1)
		return err_sys(err, "signalfd");
	return loop_add(&op->loop, &op->signal_source, EPOLLIN, err);
}

/* The init makes its place when it has the first plan, and with it the name:
 * until then we choose by the same rule. */
static void
find_place(struct operator_core *op)
{
	struct place_socket place;
	struct err err = ERR_INIT;

	(void)snprintf(op->name, sizeof(op->name), "%s", op->init.hello.name);
	(void)snprintf(op->socket_dir, sizeof(op->socket_dir), "%s",
	    op->init.hello.socket_dir);
	if (op->name[0] == '\0' && op->intent != NULL)
		(void)snprintf(op->name, sizeof(op->name), "%s",
		    op->intent->declared->name);
	if (op->init.hello.plan_number != 0)
		return;
	if (place_choose(op->name, op->environment, &place, &err) == -1) {
		log_warning("operator.place", "%s", err.text);
		return;
	}
	(void)snprintf(op->socket_dir, sizeof(op->socket_dir), "%s", place.dir);
}

static void
find_state_dir(struct operator_core *op)
{
	const char *dir = op->socket_dir;

	if (*dir == '\0' || access(dir, W_OK) == -1) {
		log_warning("operator.state",
		    "no writable directory: alerts that wait, and what is "
		    "scaled or held down, are lost with the operator");
		return;
	}
	op->state_dir = strdup(dir);
}

static int
start(struct operator_core *op, struct err *err)
{
	char spool[sizeof(op->socket_dir) + 8];

	find_place(op);
	find_state_dir(op);
	(void)snprintf(spool, sizeof(spool), "%s/alerts",
	    op->state_dir == NULL ? "" : op->state_dir);
	rules_init(&op->rules);
	alerts_init(&op->alerts, &op->loop, op->name,
	    op->state_dir == NULL ? NULL : spool);
	notes_open_history(op);
	op->queues = queues_new(op);
	op->deaths = deaths_new(op);
	op->serve = serve_new(op);
	op->watch = watch_new(op, err);
	op->live = live_new(op);
	op->reload = reload_new(op);
	if (op->queues == NULL || op->deaths == NULL || op->serve == NULL ||
	    op->watch == NULL || op->live == NULL || op->reload == NULL)
		return -1;
	op->control = control_new(op, err);
	if (op->control == NULL)
		/* The init's own socket still answers. */
		log_error("operator.control", "%s", err->text);
	if (op->intent != NULL) {
		reload_take(op, op->intent);
	} else {
		serve_set(op->serve);
		operator_reload(op, "start");
	}
	op->init_source = (struct loop_source){
	    .fd = op->init.fd, .ready = init_ready, .owner = op};
	if (loop_add(&op->loop, &op->init_source, EPOLLIN, err) == -1)
		return -1;
	if (op->init.hello.plan_number != 0) {
		ask(op, WIRE_GET_KEPT, &op->kept_sequence);
		ask(op, WIRE_GET_PLAN, &op->plan_sequence);
	}
	alive(&op->alive_timer, clock_ms());
	return 0;
}

/* A restarted operator reads beside everything else: the workers run, the init
 * wants to hear from it, and an unreadable manifest is told to somebody. The
 * first one can't go on without. */
static int
first_reading(struct operator_core *op, struct err *err)
{
	if (op->init.hello.plan_number != 0)
		return EXIT_PASSED;
	if (reload_first(op, err) == -1)
		return EXIT_BUG;
	if (op->intent != NULL || op->stop)
		return EXIT_PASSED;
	if (fd_write_all(
	        STDERR_FILENO, op->refusal.data, op->refusal.len, err) == -1)
		return EXIT_BUG;
	return EXIT_MANIFEST;
}

static void
finish(struct operator_core *op)
{
	/* Whoever waits for it is answered first. */
	reload_free(op->reload);
	control_free(op->control);
	serve_free(op->serve);
	watch_free(op->watch);
	queues_free(op->queues);
	deaths_free(op->deaths);
	live_free(op->live);
	alerts_fini(&op->alerts);
	rules_fini(&op->rules);
	events_free(op->events);
	trend_free(op->trend);
	store_close(&op->store);
	history_fini(&op->history);
	plans_fini(op);
	files_fini(&op->files);
	running_fini(&op->running);
	counters_fini(&op->counters);
	samples_fini(&op->samples);
	intent_free(op->intent);
	arena_fini(&op->drift_arena);
	buffer_fini(&op->refusal);
	free(op->tracked);
	names_fini(&op->tracked_names);
	free(op->state_dir);
	/* The wire is closed by our exit: the init kills an operator that has
	 * closed it and is still there, and would never learn the code. */
	explicit_bzero(&op->key, sizeof(op->key));
	fd_close(&op->signal_source.fd);
	loop_fini(&op->loop);
	free(op->timers);
}

static int
run(struct operator_core *op, struct err *err)
{
	if (watch_signals(op, err) == -1)
		return EXIT_BUG;
	int rc = first_reading(op, err);

	if (rc != EXIT_PASSED || op->stop)
		return rc;
	if (start(op, err) == -1)
		return EXIT_BUG;
	while (!op->stop)
		if (loop_turn(&op->loop, CLOCK_NEVER, err) == -1)
			return EXIT_BUG;
	return op->exit_code;
}

int
operator_run(const struct operator_options *options)
{
	/* Large, and only one of it. */
	static struct operator_core core;
	struct operator_core *op = &core;
	struct err err = ERR_INIT;

	*op = (struct operator_core){
	    .manifest = options->manifest,
	    .environment = options->environment,
	    .secrets = options->secrets,
	    .init = WIRE_CLIENT_INIT,
	    .started_ms = clock_ms(),
	    .started_wall_ms = clock_wall_ms(),
	    .pass_timer = {.fire = pass, .owner = op},
	    .alive_timer = {.fire = alive, .owner = op},
	    .rest_timer = {.fire = rested, .owner = op},
	    .signal_source = {.fd = -1},
	    .applied = {.plan = PLAN_INIT},
	    .sent = {.plan = PLAN_INIT},
	};
	trim_prepare();
	/* Its memory holds every secret: no core dump, no ptrace. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	buffer_init(&op->refusal, REFUSAL_MAX);
	arena_init(&op->drift_arena, 1U << 20);
	op->timers = calloc(OPERATOR_TIMERS_MAX, sizeof(*op->timers));
	if (op->timers == NULL)
		return EXIT_BUG;
	if (loop_init(&op->loop, op->timers, OPERATOR_TIMERS_MAX, &err) == -1 ||
	    greet(op, options->wire_fd, &err) == -1) {
		log_error("operator", "%s", err.text);
		return EXIT_UNREACHABLE;
	}
	int rc = run(op, &err);

	if (rc == EXIT_BUG)
		log_error("operator", "%s", err.text);
	finish(op);
	return rc;
}
