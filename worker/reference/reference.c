/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "probes/queue/owner.h"
#include "worker/reference/health.h"
#include "worker/reference/job.h"
#include "worker/reference/reference.h"

enum {
	CALL_MS = 5000,      /* of one call to the queue */
	CALL_LEASE_PART = 3, /* …and never more than a third of the lease */
	IDLE_WAIT_MS = 500,  /* for a job, when none runs */
	BUSY_WAIT_MS = 100,  /* between looks for a job, when some run */
	HEARTBEAT_MS = 5000,
	RECONNECT_FIRST_MS = 200,
	RECONNECT_MAX_MS = 10000,
	KILL_AFTER_MS = 2000, /* from TERM to KILL of a job given back */
};

enum slot_state {
	SLOT_FREE = 0,
	SLOT_RUNNING,
	SLOT_STOPPING, /* told to end; what then: `given_back` */
	SLOT_ENDED,    /* its outcome must still reach the queue */
};

struct slot {
	enum slot_state state;
	struct queue_job job;
	struct job_process process;
	int64_t started_ms, extend_ms;
	int64_t lease_end_ms; /* after it somebody else may have the job */
	int64_t kill_ms;      /* stopping: when KILL follows TERM */
	bool lost;            /* the claim is gone: throw the result away */
	bool given_back;      /* ended by us: back to the queue, uncounted */
	bool overtime;
	int status;
};

struct reference {
	const struct reference_options *options;
	struct queue queue;
	bool open;
	int64_t reopen_ms, reopen_delay_ms, beat_ms;
	struct queue_consuming consuming;
	char owner[QUEUE_OWNER_SIZE];
	struct slot *slots;
	int signal_fd;
	bool draining, giving_back;
	int64_t drain_end_ms;
	bool broken; /* the command can't be run */
	struct err why;
	struct health health;
	struct job_command command;
};

static uint32_t
noise(void)
{
	uint32_t value = 0;

	(void)!getrandom(&value, sizeof(value), 0);
	return value;
}

static int
name_owner(struct reference *self, struct err *err)
{
	const char *worker = getenv("REEVE_WORKER");
	const char *replica = getenv("REEVE_REPLICA");
	char host[65] = "";
	char life[OWNER_LIFE_SIZE];

	owner_life(life); /* tells two lives of one replica apart */
	if (worker != NULL && replica != NULL)
		return text_format(self->owner, sizeof(self->owner), err,
		    "%s/%s:%s", worker, replica, life);
	if (gethostname(host, sizeof(host) - 1) == -1)
		return err_sys(err, "the host's name");
	return text_format(self->owner, sizeof(self->owner), err, "%s#%d:%s",
	    host, (int)getpid(), life);
}

static unsigned
count_slots(const struct reference *self, bool busy)
{
	unsigned count = 0;

	for (unsigned i = 0; i < self->options->concurrency; i++) {
		if ((self->slots[i].state != SLOT_FREE) == busy)
			count++;
	}
	return count;
}

/* --- the connection ------------------------------------------------------- */

static int64_t
call_deadline(const struct reference *self, int64_t more_ms)
{
	int64_t most =
	    MIN((int64_t)CALL_MS, self->options->lease_ms / CALL_LEASE_PART);

	return clock_after(clock_ms(), most + more_ms);
}

static void
disconnected(struct reference *self, const struct err *err)
{
	if (!self->broken)
		log_warning("queue.unreachable", "retry in %" PRId64 " ms: %s",
		    self->reopen_delay_ms, err->text);
	queue_close(&self->queue);
	self->open = false;
	self->reopen_ms = clock_after(
	    clock_ms(), self->reopen_delay_ms / 2 +
	                    (int64_t)noise() % (self->reopen_delay_ms / 2 + 1));
	self->reopen_delay_ms =
	    MIN(self->reopen_delay_ms * 2, (int64_t)RECONNECT_MAX_MS);
	atomic_store(&self->health.reachable, false);
}

static void
answered(struct reference *self)
{
	atomic_store(&self->health.reachable, true);
	atomic_store(&self->health.reachable_ms, clock_ms());
	self->reopen_delay_ms = RECONNECT_FIRST_MS;
}

/* What no server will mend ends the worker: a declaration that can't work, a
 * kind that this build is without. */
static void
not_connected(struct reference *self, const struct err *err)
{
	if (self->queue.cause == CAUSE_URL || err->kind == ERR_UNSUPPORTED) {
		self->broken = true;
		self->why = *err;
	}
	disconnected(self, err);
}

static void
connect_when_due(struct reference *self)
{
	struct err err = ERR_INIT;

	if (self->open || clock_ms() < self->reopen_ms)
		return;
	self->open = true; /* half open is closed by disconnected() */
	if (queue_open_consuming(&self->queue, &self->options->queue,
	        &self->consuming, call_deadline(self, 0), &err) == -1) {
		not_connected(self, &err);
		return;
	}
	self->queue.deadline_ms = call_deadline(self, 0);
	if (queue_heartbeat(&self->queue, false, &err) == -1) {
		not_connected(self, &err);
		return;
	}
	self->beat_ms = clock_after(clock_ms(), HEARTBEAT_MS);
	answered(self);
	log_info(
	    "queue.connected", "%s as %s", self->queue.target, self->owner);
}

static void
beat_when_due(struct reference *self)
{
	struct err err = ERR_INIT;

	if (!self->open || clock_ms() < self->beat_ms)
		return;
	self->queue.deadline_ms = call_deadline(self, 0);
	self->beat_ms = clock_after(clock_ms(), HEARTBEAT_MS);
	if (queue_heartbeat(&self->queue, false, &err) == -1)
		disconnected(self, &err);
	else
		answered(self);
}

/* --- one job ---------------------------------------------------------------
 */

static void
free_slot(struct slot *slot)
{
	job_process_fini(&slot->process);
	buffer_clear(&slot->job.payload);
	slot->state = SLOT_FREE;
	slot->lost = false;
	slot->given_back = false;
	slot->overtime = false;
	slot->status = 0;
}

static void
lose(struct reference *self, struct slot *slot, const char *why)
{
	if (slot->lost)
		return;
	slot->lost = true;
	slot->lease_end_ms = CLOCK_NEVER;
	slot->extend_ms = CLOCK_NEVER;
	atomic_fetch_add(&self->health.lost, 1);
	log_warning("job.lost",
	    "id=%s attempt=%" PRId64 " %s; its result is "
	    "thrown away",
	    slot->job.id, slot->job.attempt, why);
	/* another may be at it already: no time for courtesy */
	job_kill(&slot->process, SIGKILL);
	if (slot->state == SLOT_ENDED)
		free_slot(slot);
}

static int
settle_failed(
    struct reference *self, struct slot *slot, bool *ret_held, struct err *err)
{
	const struct reference_options *options = self->options;
	struct queue_job *job = &slot->job;
	enum job_outcome outcome = job_outcome_of(slot->status);
	int64_t most =
	    job->max_attempts > 0 ? job->max_attempts : options->max_attempts;
	int64_t delay_ms = job_backoff_ms(job->attempt,
	    options->backoff_first_ms, options->backoff_cap_ms, noise());
	char status[32];

	(void)job_status_text(slot->status, status, sizeof(status));
	if (slot->overtime) {
		outcome = JOB_FAILED;
		(void)snprintf(status, sizeof(status), "overtime");
	}
	if (outcome == JOB_DEAD ||
	    (outcome == JOB_FAILED && job->attempt >= most)) {
		atomic_fetch_add(&self->health.dead, 1);
		log_error("job.dead", "id=%s attempt=%" PRId64 " %s", job->id,
		    job->attempt, status);
		return queue_bury(&self->queue, job, status, ret_held, err);
	}
	atomic_fetch_add(&self->health.failed, 1);
	log_warning("job.retry",
	    "id=%s attempt=%" PRId64 " %s retry_ms=%" PRId64, job->id,
	    job->attempt, status, delay_ms);
	return queue_fail(&self->queue, job, delay_ms, ret_held, err);
}

/* Tells the queue how a job came out; stays SLOT_ENDED while it can't. */
static void
settle(struct reference *self, struct slot *slot)
{
	struct err err = ERR_INIT;
	bool held = false;
	int rc;

	if (slot->state != SLOT_ENDED || !self->open)
		return;
	self->queue.deadline_ms = call_deadline(self, 0);
	if (slot->given_back) {
		rc = queue_release(&self->queue, &slot->job, &held, &err);
	} else if (!slot->overtime &&
	           job_outcome_of(slot->status) == JOB_DONE) {
		rc = queue_finish(&self->queue, &slot->job, &held, &err);
	} else {
		rc = settle_failed(self, slot, &held, &err);
	}
	if (rc == -1) {
		disconnected(self, &err);
		return;
	}
	answered(self);
	if (!held) {
		lose(self, slot, "the claim was gone at the end");
		return;
	}
	if (slot->given_back)
		log_info("job.given-back", "id=%s", slot->job.id);
	else if (!slot->overtime && job_outcome_of(slot->status) == JOB_DONE) {
		atomic_fetch_add(&self->health.done, 1);
		log_info("job.done", "id=%s attempt=%" PRId64 " ms=%" PRId64,
		    slot->job.id, slot->job.attempt,
		    clock_ms() - slot->started_ms);
	}
	free_slot(slot);
}

static void
note_end(struct reference *self, struct slot *slot)
{
	if ((slot->state != SLOT_RUNNING && slot->state != SLOT_STOPPING) ||
	    !job_ended(&slot->process, &slot->status))
		return;
	if (slot->process.dropped_bytes > 0)
		log_warning("job.output",
		    "id=%s %" PRId64 " bytes beyond the "
		    "limit were dropped",
		    slot->job.id, slot->process.dropped_bytes);
	/* it came to its own end before our signal did */
	if (slot->given_back && job_outcome_of(slot->status) == JOB_DONE)
		slot->given_back = false;
	slot->state = SLOT_ENDED;
	if (slot->lost)
		free_slot(slot);
	else
		settle(self, slot);
}

static void
extend(struct reference *self, struct slot *slot)
{
	int64_t asked_ms = clock_ms();
	struct err err = ERR_INIT;
	bool held = false;

	if (slot->state == SLOT_FREE || slot->lost)
		return;
	if (asked_ms >= slot->lease_end_ms) {
		lose(self, slot,
		    "its lease ran out before it could be extended");
		return;
	}
	if (!self->open || asked_ms < slot->extend_ms)
		return;
	self->queue.deadline_ms = call_deadline(self, 0);
	if (queue_extend(&self->queue, &slot->job, &held, &err) == -1) {
		disconnected(self, &err);
		return;
	}
	answered(self);
	if (!held) {
		lose(self, slot, "its claim is gone");
		return;
	}
	/* counted from before the question: the server's clock began later */
	slot->lease_end_ms = asked_ms + self->options->lease_ms;
	slot->extend_ms = asked_ms + self->options->lease_ms / 3;
}

static void
enforce_times(struct reference *self, struct slot *slot)
{
	int64_t now_ms = clock_ms();
	int64_t most = self->options->job_max_ms;

	if (slot->state == SLOT_RUNNING && most > 0 &&
	    now_ms - slot->started_ms >= most) {
		log_warning("job.overtime", "id=%s ran %" PRId64 " ms",
		    slot->job.id, now_ms - slot->started_ms);
		slot->overtime = true;
		slot->state = SLOT_STOPPING;
		slot->kill_ms = clock_after(now_ms, KILL_AFTER_MS);
		job_kill(&slot->process, SIGTERM);
	}
	if (slot->state == SLOT_RUNNING && self->draining &&
	    (self->giving_back || now_ms >= self->drain_end_ms)) {
		slot->given_back = true;
		slot->state = SLOT_STOPPING;
		slot->kill_ms = clock_after(now_ms, KILL_AFTER_MS);
		job_kill(&slot->process, SIGTERM);
	}
	if (slot->state == SLOT_STOPPING && now_ms >= slot->kill_ms) {
		slot->kill_ms = CLOCK_NEVER;
		job_kill(&slot->process, SIGKILL);
	}
}

/* --- taking jobs -----------------------------------------------------------
 */

static void
begin(struct reference *self, struct slot *slot, int64_t asked_ms)
{
	struct err err = ERR_INIT;
	bool held = false;

	slot->started_ms = clock_ms();
	slot->lease_end_ms = asked_ms + self->options->lease_ms;
	slot->extend_ms = asked_ms + self->options->lease_ms / 3;
	slot->state = SLOT_RUNNING;
	if (slot->job.payload.overflow) {
		log_error("job.dead",
		    "id=%s its payload is larger than %d "
		    "bytes",
		    slot->job.id, QUEUE_PAYLOAD_MAX);
		atomic_fetch_add(&self->health.dead, 1);
		self->queue.deadline_ms = call_deadline(self, 0);
		if (queue_bury(&self->queue, &slot->job, "payload too large",
		        &held, &err) == -1)
			disconnected(self, &err);
		free_slot(slot);
		return;
	}
	job_process_init(&slot->process);
	if (job_start(&slot->process, &slot->job, self->queue.name,
	        &self->command, &err) == -1) {
		log_error("job.start", "id=%s %s", slot->job.id, err.text);
		/* not the job's fault */
		slot->given_back = true;
		slot->state = SLOT_ENDED;
		if (err.kind == ERR_INPUT) {
			self->broken = true;
			self->why = err;
		}
		settle(self, slot);
		return;
	}
	log_info("job.started", "id=%s attempt=%" PRId64 " pid=%d",
	    slot->job.id, slot->job.attempt, (int)slot->process.pid);
}

static struct slot *
next_free(const struct reference *self)
{
	for (unsigned i = 0; i < self->options->concurrency; i++) {
		if (self->slots[i].state == SLOT_FREE)
			return &self->slots[i];
	}
	return NULL;
}

static void
take(struct reference *self)
{
	struct slot *slot = next_free(self);

	while (slot != NULL && self->open && !self->draining && !self->broken) {
		bool idle = count_slots(self, true) == 0;
		int64_t wait_ms = idle ? IDLE_WAIT_MS : 0;
		/* the lease may begin at any moment of the wait */
		int64_t asked_ms = clock_ms();
		struct err err = ERR_INIT;
		bool got = false;

		self->queue.deadline_ms = call_deadline(self, wait_ms);
		if (queue_claim(
		        &self->queue, wait_ms, &slot->job, &got, &err) == -1) {
			disconnected(self, &err);
			return;
		}
		answered(self);
		if (!got)
			return;
		begin(self, slot, asked_ms);
		slot = next_free(self);
	}
}

/* --- the loop --------------------------------------------------------------
 */

static void
read_signals(struct reference *self)
{
	struct signalfd_siginfo info;

	while (read(self->signal_fd, &info, sizeof(info)) ==
	       (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		if (!self->draining) {
			self->draining = true;
			self->drain_end_ms =
			    clock_after(clock_ms(), self->options->drain_ms);
			atomic_store(&self->health.draining, true);
			log_info("worker.draining", "running=%u",
			    count_slots(self, true));
		} else if (!self->giving_back) {
			self->giving_back = true;
			log_info("worker.giving-back", "running=%u",
			    count_slots(self, true));
		}
	}
}

static int64_t
wait_ms_for(const struct reference *self)
{
	int64_t now_ms = clock_ms();
	int64_t until_ms = clock_after(now_ms, 1000);
	bool busy = count_slots(self, true) > 0;

	if (!self->open)
		until_ms = MIN(until_ms, self->reopen_ms);
	else if (!self->draining && !busy)
		return 0; /* the claim waits */
	else if (!self->draining && next_free(self) != NULL)
		until_ms = MIN(until_ms, now_ms + BUSY_WAIT_MS);
	for (unsigned i = 0; i < self->options->concurrency; i++) {
		const struct slot *slot = &self->slots[i];

		if (slot->state == SLOT_FREE)
			continue;
		until_ms = MIN(until_ms, slot->lease_end_ms);
		if (self->open)
			until_ms = MIN(until_ms, slot->extend_ms);
		if (slot->state == SLOT_STOPPING)
			until_ms = MIN(until_ms, slot->kill_ms);
		if (slot->state == SLOT_RUNNING && self->draining)
			until_ms = MIN(until_ms, self->drain_end_ms);
	}
	return MAX(until_ms - now_ms, 0);
}

static void
wait_for_events(struct reference *self)
{
	struct pollfd fds[2 + REFERENCE_CONCURRENCY_MAX];
	nfds_t count = 0;
	bool room = job_output_room();
	bool held_up = false;

	fds[count++] = (struct pollfd){.fd = self->signal_fd, .events = POLLIN};
	for (unsigned i = 0; i < self->options->concurrency; i++) {
		const struct job_process *process = &self->slots[i].process;

		/* poll skips descriptors of -1 */
		fds[count++] = (struct pollfd){
		    .fd = room ? process->output_fd : -1, .events = POLLIN};
		held_up = held_up || (!room && process->output_fd != -1);
	}
	if (held_up) /* who reads our stderr decides when jobs go on */
		fds[count++] =
		    (struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT};
	(void)poll(fds, count, (int)wait_ms_for(self));
	read_signals(self);
}

static void
turn(struct reference *self)
{
	atomic_store(&self->health.turned_ms, clock_ms());
	connect_when_due(self);
	for (unsigned i = 0; i < self->options->concurrency; i++) {
		struct slot *slot = &self->slots[i];

		job_drain_output(&slot->process);
		note_end(self, slot);
		settle(self, slot);
		extend(self, slot);
		enforce_times(self, slot);
	}
	beat_when_due(self);
	take(self);
	atomic_store(&self->health.running, count_slots(self, true));
	wait_for_events(self);
}

static int
catch_signals(struct reference *self, sigset_t *ret_old, struct err *err)
{
	sigset_t mask;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGCHLD);
	(void)sigaddset(&mask, SIGPIPE); /* our stderr's reader may go */
	if (sigprocmask(SIG_BLOCK, &mask, ret_old) == -1)
		return err_sys(err, "block signals");
	(void)sigdelset(&mask, SIGPIPE);
	self->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (self->signal_fd == -1)
		return err_sys(err, "signalfd");
	return 0;
}

static int
work(struct reference *self, struct err *err)
{
	struct err ignored = ERR_INIT;

	while (!(self->draining && count_slots(self, true) == 0) &&
	       !(self->broken && count_slots(self, true) == 0))
		turn(self);
	if (self->open) {
		self->queue.deadline_ms = call_deadline(self, 0);
		if (queue_heartbeat(&self->queue, true, &ignored) == -1)
			log_warning("queue.goodbye", "%s", ignored.text);
	}
	queue_close(&self->queue);
	if (self->broken) {
		if (err != NULL)
			*err = self->why;
		return EXIT_MANIFEST;
	}
	log_info("worker.stopped",
	    "done=%" PRIu64 " failed=%" PRIu64 " dead=%" PRIu64
	    " lost=%" PRIu64,
	    atomic_load(&self->health.done), atomic_load(&self->health.failed),
	    atomic_load(&self->health.dead), atomic_load(&self->health.lost));
	return EXIT_PASSED;
}

int
reference_run(const struct reference_options *options, struct err *err)
{
	struct reference self = {.options = options,
	    .signal_fd = -1,
	    .reopen_delay_ms = RECONNECT_FIRST_MS};
	sigset_t old;
	int code = EXIT_BUG;

	assert(options->concurrency >= 1 &&
	       options->concurrency <= REFERENCE_CONCURRENCY_MAX);
	if (name_owner(&self, err) == -1)
		return EXIT_USAGE;
	/* before the first job is taken */
	if (job_find_command(options->command, &self.command, err) == -1)
		return EXIT_MANIFEST;
	self.consuming = (struct queue_consuming){.owner = self.owner,
	    .lease_ms = options->lease_ms,
	    .max_attempts = options->max_attempts};
	if (catch_signals(&self, &old, err) == -1)
		return EXIT_BUG;
	self.slots = calloc(options->concurrency, sizeof(*self.slots));
	if (self.slots == NULL) {
		(void)err_set(err, ERR_SYSTEM, "no memory");
		goto out;
	}
	for (unsigned i = 0; i < options->concurrency; i++) {
		queue_job_init(&self.slots[i].job);
		job_process_init(&self.slots[i].process);
	}
	atomic_store(&self.health.turned_ms, clock_ms());
	if (options->health != NULL &&
	    health_start(&self.health, options->health, err) == -1) {
		code = EXIT_USAGE;
		goto out;
	}
	code = work(&self, err);
	health_stop(&self.health);
out:
	for (unsigned i = 0; self.slots != NULL && i < options->concurrency;
	     i++)
		queue_job_fini(&self.slots[i].job);
	free(self.slots);
	fd_close(&self.signal_fd);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return code;
}
