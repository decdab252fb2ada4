/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/json_read.h"
#include "probes/look.h"
#include "probes/observation_write.h"
#include "probes/request.h"
#include "probes/words.h"

enum {
	JOBS_DEFAULT = 8,
	JOBS_MAX = 256,
	LINE_MAX_BYTES = 1 << 20,
	ERRORS_MAX_BYTES = 4096,
	CHUNK_BYTES = 4096,
	DETAIL_MAX = 128
};
/* After its answer a prober may say goodbye to its server; then it is ended. */
static const int64_t GOODBYE_MS = 200;
/* How long a killed process is waited for before it is left to the kernel. */
static const int64_t REAP_MS = 500;

struct pool;

/* One prober at work. */
struct job {
	struct pool *pool;
	struct probe_request *request; /* NULL: idle */
	pid_t pid;
	int64_t started_ms;
	size_t sent;
	struct loop_source in, out, errors;
	struct loop_timer timer;
	struct buffer line;    /* of its stdout, not yet whole */
	struct buffer trouble; /* its stderr, the beginning */
	bool answered;
	bool ended;
	enum step_kind step;
	bool any_step;
	char detail[DETAIL_MAX];
};

struct pool {
	struct probe_request *requests;
	size_t count, next, done;
	const struct probe_pool_options *options;
	const char *tool;
	struct arena *arena;
	struct loop loop;
	struct job *jobs;
	unsigned njobs, running;
	bool any_started;
};

/* What was looked at, as far as the request says, without its secret. */
static const char *
target(struct pool *pool, const struct probe_request *request)
{
	static const char *const keys[] = {"host", "path"};
	const char *text = "";
	CLEANUP(json_free)
	cJSON *json = json_read(request->json, strlen(request->json), NULL);

	if (json == NULL || !cJSON_IsObject(json))
		return "";
	if (json_text(json, "url", "", &text, NULL) == 0 && text[0] != '\0')
		return url_shown(pool->arena, text);
	for (size_t i = 0; i < ARRAY_LEN(keys) && text[0] == '\0'; i++)
		if (json_text(json, keys[i], "", &text, NULL) == -1)
			text = "";
	return strstr(text, "://") != NULL ? url_redacted(pool->arena, text)
	                                   : arena_text(pool->arena, text);
}

/* An answer of our own: the prober gave none. */
static void
answer_ourselves(
    struct pool *pool, struct probe_request *request, struct observation *out)
{
	struct buffer line;

	out->kind = request->kind;
	out->subject = request->subject;
	out->target = target(pool, request);
	out->identity = "";
	out->code = out->code != NULL ? out->code : "";
	out->at_wall_ms = clock_wall_ms();
	buffer_init(&line, LINE_MAX_BYTES);
	observation_write(&line, out);
	request->answer = arena_bytes(pool->arena, line.data, line.len - 1);
	request->answer_len = line.len - 1;
	buffer_fini(&line);
}

/* Whatever the request holds that its prober's last words may repeat. */
static void
learn_request(struct redactor *redactor, const cJSON *item)
{
	for (; item != NULL; item = item->next) {
		if (cJSON_IsString(item) && item->valuestring != NULL)
			look_learn_url(redactor, item->valuestring);
		/* depth is bounded by cJSON's own limit */
		learn_request(redactor, item->child);
	}
}

static const char *
last_words(struct pool *pool, struct job *job)
{
	if (job->trouble.len == 0)
		return "";
	struct redactor *redactor = redactor_new();
	if (redactor == NULL)
		return "";
	CLEANUP(json_free)
	cJSON *request =
	    json_read(job->request->json, strlen(job->request->json), NULL);
	if (request != NULL)
		learn_request(redactor, request);
	for (size_t i = 0; i < job->trouble.len; i++)
		if ((unsigned char)job->trouble.data[i] < ' ')
			job->trouble.data[i] = ' ';
	const char *text =
	    redactor_clean(redactor, pool->arena, job->trouble.data);
	redactor_free(redactor);
	return text;
}

/* What did not come, at each step, in the words of the one who waits. */
static const char *
hung_at(const struct job *job)
{
	if (!job->any_step)
		return "no answer";
	switch (job->step) {
	case STEP_DNS:
		return "DNS did not answer";
	case STEP_TCP:
		return "no answer to a connection attempt";
	case STEP_TLS:
		return "the TLS handshake was not answered";
	case STEP_AUTH:
		return "the login was not answered";
	case STEP_PROTOCOL:
		return "connected, but the server answered nothing";
	case STEP_QUERY:
		return "connected, but the request was not answered";
	}
	UNREACHABLE("step kind");
}

static void
answer_deadline(struct pool *pool, struct job *job, int64_t now_ms)
{
	char people[32];
	struct step step = {.kind = job->step,
	    .result = RESULT_UNKNOWN,
	    .elapsed_ms = now_ms - job->started_ms,
	    .detail = job->detail};
	struct observation out = {.cause = CAUSE_DEADLINE,
	    .code = job->any_step ? step_name(job->step) : "",
	    .elapsed_ms = now_ms - job->started_ms,
	    .steps = job->any_step ? &step : NULL,
	    .nsteps = job->any_step ? 1 : 0};

	out.summary =
	    arena_format(pool->arena, "%s within %s%s%s%s", hung_at(job),
	        text_ms_for_people(out.elapsed_ms, people, sizeof(people)),
	        job->detail[0] != '\0' ? " (" : "", job->detail,
	        job->detail[0] != '\0' ? ")" : "");
	answer_ourselves(pool, job->request, &out);
}

static void
answer_crash(struct pool *pool, struct job *job, int status)
{
	const char *words = last_words(pool, job);
	const char *how =
	    WIFSIGNALED(status)
	        ? arena_format(pool->arena, "signal %d", WTERMSIG(status))
	        : arena_format(pool->arena, "exit %d", WEXITSTATUS(status));
	struct observation out = {.cause = CAUSE_INTERNAL,
	    .code = how,
	    .elapsed_ms = clock_ms() - job->started_ms};

	out.summary = arena_format(pool->arena,
	    "the prober ended (%s) before it answered%s%s", how,
	    words[0] != '\0' ? ": " : "", words);
	answer_ourselves(pool, job->request, &out);
}

static void
answer_garbage(struct pool *pool, struct job *job, const char *why)
{
	struct observation out = {.cause = CAUSE_INTERNAL,
	    .elapsed_ms = clock_ms() - job->started_ms};

	out.summary = arena_format(
	    pool->arena, "the prober's answer is not usable: %s", why);
	answer_ourselves(pool, job->request, &out);
}

static void
job_stop_source(struct job *job, struct loop_source *source)
{
	if (source->added)
		loop_remove(&job->pool->loop, source);
	fd_close(&source->fd);
}

/* The whole group: a command probe's own children go with it. The leader is
 * not reaped yet, so the group's number can't be anybody else's. */
static int
job_reap(struct job *job)
{
	int status = 0;
	int64_t until_ms = clock_after(clock_ms(), REAP_MS);

	(void)kill(-job->pid, SIGKILL);
	(void)kill(job->pid, SIGKILL);
	int pidfd = (int)syscall(SYS_pidfd_open, job->pid, 0);
	for (;;) {
		pid_t pid = waitpid(job->pid, &status, WNOHANG);
		if (pid == job->pid || (pid == -1 && errno != EINTR))
			break;
		int64_t now_ms = clock_ms();
		if (now_ms >= until_ms)
			break; /* in the kernel's hands: uninterruptible */
		struct pollfd one = {.fd = pidfd, .events = POLLIN};
		(void)poll(
		    &one, 1, pidfd == -1 ? 2 : clock_timeout(now_ms, until_ms));
	}
	fd_close(&pidfd);
	return status;
}

/* The end of a job: every request has its answer here. */
static void
job_end(struct job *job, bool deadline)
{
	struct pool *pool = job->pool;

	if (job->ended)
		return;
	job->ended = true;
	loop_timer_clear(&pool->loop, &job->timer);
	job_stop_source(job, &job->in);
	job_stop_source(job, &job->out);
	job_stop_source(job, &job->errors);
	int status = job_reap(job);
	if (!job->answered) {
		if (deadline)
			answer_deadline(pool, job, clock_ms());
		else
			answer_crash(pool, job, status);
	}
	buffer_fini(&job->line);
	buffer_fini(&job->trouble);
	struct probe_request *request = job->request;
	job->request = NULL;
	pool->running--;
	pool->done++;
	if (pool->options->progress != NULL)
		pool->options->progress(
		    pool->options->arg, request, pool->done, pool->count);
}

static void
job_progress(struct job *job, const cJSON *line)
{
	const char *word = NULL;
	const char *detail = NULL;

	if (json_text(line, "progress", NULL, &word, NULL) == -1 ||
	    json_text(line, "detail", "", &detail, NULL) == -1 ||
	    word == NULL || !step_parse(word, &job->step))
		return;
	job->any_step = true;
	(void)snprintf(job->detail, sizeof(job->detail), "%s", detail);
}

/* Its verdict, checked as far as that it is one, for this request. */
static void
job_verdict(struct job *job, const cJSON *json, size_t len)
{
	struct pool *pool = job->pool;
	const char *schema = NULL;
	const char *subject = NULL;

	job->answered = true;
	if (json_text(json, "schema", "", &schema, NULL) == -1 ||
	    json_text(json, "subject", "", &subject, NULL) == -1 ||
	    !text_equal(schema, OBSERVATION_SCHEMA) ||
	    !text_equal(subject, job->request->subject)) {
		answer_garbage(pool, job, "not a verdict on what was asked");
		return;
	}
	job->request->answer = arena_bytes(pool->arena, job->line.data, len);
	job->request->answer_len = len;
}

static void
job_line(struct job *job, size_t len)
{
	struct err err = ERR_INIT;

	job->line.data[len] = '\0';
	CLEANUP(json_free) cJSON *json = json_read(job->line.data, len, &err);
	if (json == NULL || !cJSON_IsObject(json)) {
		job->answered = true;
		answer_garbage(job->pool, job,
		    json == NULL ? err.text : "not a JSON object");
	} else if (cJSON_GetObjectItemCaseSensitive(json, "progress") != NULL) {
		job_progress(job, json);
	} else {
		job_verdict(job, json, len);
	}
}

static void
job_goodbye(struct job *job)
{
	job_stop_source(job, &job->in);
	if (loop_timer_set(&job->pool->loop, &job->timer,
	        clock_after(clock_ms(), GOODBYE_MS), NULL) == -1)
		job_end(job, false);
}

static void
job_out(struct loop_source *source, uint32_t events)
{
	struct job *job = source->owner;
	char bytes[CHUNK_BYTES];

	(void)events;
	ssize_t n = read(source->fd, bytes, sizeof(bytes));
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		job_end(job, false);
		return;
	}
	if (job->answered)
		return; /* one answer was asked for */
	buffer_append(&job->line, bytes, (size_t)n);
	while (!job->answered && job->line.len > 0) {
		char *end = memchr(job->line.data, '\n', job->line.len);
		if (end == NULL)
			break;
		size_t len = (size_t)(end - job->line.data);
		job_line(job, len);
		buffer_drop_front(&job->line, len + 1);
	}
	if (!job->answered && job->line.overflow) {
		job->answered = true;
		answer_garbage(job->pool, job, "longer than a line may be");
	}
	if (job->answered)
		job_goodbye(job);
}

static void
job_errors(struct loop_source *source, uint32_t events)
{
	struct job *job = source->owner;
	char bytes[CHUNK_BYTES];

	(void)events;
	ssize_t n = read(source->fd, bytes, sizeof(bytes));
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		job_stop_source(job, source);
		return;
	}
	size_t room = ERRORS_MAX_BYTES - job->trouble.len;
	buffer_append(&job->trouble, bytes, MIN((size_t)n, room));
}

static void
job_in(struct loop_source *source, uint32_t events)
{
	struct job *job = source->owner;
	size_t len = strlen(job->request->json);

	(void)events;
	while (job->sent < len) {
		ssize_t n = send(source->fd, job->request->json + job->sent,
		    len - job->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n == -1)
			break; /* it died: its stdout will say so */
		job->sent += (size_t)n;
	}
	if (job->sent == len &&
	    send(source->fd, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == -1 &&
	    (errno == EAGAIN || errno == EINTR))
		return;
	loop_remove(&job->pool->loop, source);
}

static void
job_due(struct loop_timer *timer, int64_t now_ms)
{
	(void)now_ms;
	job_end(timer->owner, true);
}

/* The child's ends of the three channels. */
struct child_fds {
	int in, out, errors;
};

static int
channels_open(struct job *job, struct child_fds *child, struct err *err)
{
	int in[2] = {-1, -1};
	int out[2] = {-1, -1};
	int errors[2] = {-1, -1};

	/* a socket, so that writing to a dead prober is no SIGPIPE */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) == -1 ||
	    pipe2(out, O_CLOEXEC) == -1 || pipe2(errors, O_CLOEXEC) == -1 ||
	    fcntl(out[0], F_SETFL, O_NONBLOCK) == -1 ||
	    fcntl(errors[0], F_SETFL, O_NONBLOCK) == -1) {
		(void)err_sys(err, "channels to a prober");
		for (int i = 0; i < 2; i++) {
			fd_close(&in[i]);
			fd_close(&out[i]);
			fd_close(&errors[i]);
		}
		return -1;
	}
	job->in =
	    (struct loop_source){.fd = in[0], .ready = job_in, .owner = job};
	job->out =
	    (struct loop_source){.fd = out[0], .ready = job_out, .owner = job};
	job->errors = (struct loop_source){
	    .fd = errors[0], .ready = job_errors, .owner = job};
	*child = (struct child_fds){in[1], out[1], errors[1]};
	return 0;
}

static int
job_spawn(struct job *job, const struct child_fds *child, struct err *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	sigset_t all;
	char probe[] = "probe";
	char *argv[] = {
	    arena_text(job->pool->arena, job->pool->tool), probe, NULL};

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return err_set(err, ERR_SYSTEM, "out of memory");
	if (posix_spawnattr_init(&attributes) != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return err_set(err, ERR_SYSTEM, "out of memory");
	}
	int rc =
	    posix_spawn_file_actions_adddup2(&actions, child->in, STDIN_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(
		    &actions, child->out, STDOUT_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(
		    &actions, child->errors, STDERR_FILENO);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
	                                                POSIX_SPAWN_SETSIGMASK |
	                                                POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setpgroup(&attributes, 0);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	if (rc == 0)
		rc = posix_spawn(&job->pid, job->pool->tool, &actions,
		    &attributes, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	if (rc == 0)
		return 0;
	errno = rc;
	return err_sys(err, "start the prober '%s'", job->pool->tool);
}

static int
job_watch(struct job *job, struct err *err)
{
	struct loop *loop = &job->pool->loop;

	if (loop_add(loop, &job->out, EPOLLIN, err) == -1 ||
	    loop_add(loop, &job->errors, EPOLLIN, err) == -1 ||
	    loop_add(loop, &job->in, EPOLLOUT, err) == -1)
		return -1;
	return loop_timer_set(
	    loop, &job->timer, job->request->deadline_ms, err);
}

static int
job_start(struct job *job, struct probe_request *request, struct err *err)
{
	struct pool *pool = job->pool;
	struct child_fds child = {-1, -1, -1};

	*job = (struct job){.pool = pool,
	    .request = request,
	    .started_ms = clock_ms(),
	    .timer = {.fire = job_due, .owner = job}};
	if (channels_open(job, &child, err) == -1) {
		job->request = NULL;
		return -1;
	}
	int rc = job_spawn(job, &child, err);
	fd_close(&child.in);
	fd_close(&child.out);
	fd_close(&child.errors);
	if (rc == -1) {
		fd_close(&job->in.fd);
		fd_close(&job->out.fd);
		fd_close(&job->errors.fd);
		job->request = NULL;
		return -1;
	}
	buffer_init(&job->line, LINE_MAX_BYTES);
	buffer_init(&job->trouble, ERRORS_MAX_BYTES);
	pool->running++;
	if (job_watch(job, err) == -1) {
		job_end(job, false);
		return 0; /* it has its answer: unknown */
	}
	pool->any_started = true;
	return 0;
}

static struct job *
idle_job(struct pool *pool)
{
	for (unsigned i = 0; i < pool->njobs; i++)
		if (pool->jobs[i].request == NULL)
			return &pool->jobs[i];
	return NULL;
}

static void
answer_not_started(
    struct pool *pool, struct probe_request *request, const char *why)
{
	struct observation out = {.cause = CAUSE_DEADLINE, .summary = why};

	answer_ourselves(pool, request, &out);
	pool->done++;
	if (pool->options->progress != NULL)
		pool->options->progress(
		    pool->options->arg, request, pool->done, pool->count);
}

/* Starts what there is room for. */
static int
pool_start(struct pool *pool, struct err *err)
{
	while (pool->next < pool->count) {
		struct probe_request *request = &pool->requests[pool->next];
		struct job *job = idle_job(pool);
		struct err why = ERR_INIT;

		if (job == NULL)
			return 0;
		pool->next++;
		if (request->deadline_ms <= clock_ms()) {
			answer_not_started(pool, request,
			    "its time was over before a prober was free");
			continue;
		}
		if (job_start(job, request, &why) == 0)
			continue;
		if (!pool->any_started && pool->done == 0)
			return err_set(err, ERR_SYSTEM, "%s", why.text);
		struct observation out = {
		    .cause = CAUSE_INTERNAL, .summary = why.text};
		answer_ourselves(pool, request, &out);
		pool->done++;
	}
	return 0;
}

static int
pool_turns(struct pool *pool, struct err *err)
{
	for (;;) {
		if (pool_start(pool, err) == -1)
			return -1;
		if (pool->running == 0 && pool->next == pool->count)
			return 0;
		if (loop_turn(&pool->loop, CLOCK_NEVER, err) == -1)
			return -1;
	}
}

static void
pool_init(struct pool *pool)
{
	unsigned jobs =
	    pool->options->jobs == 0 ? JOBS_DEFAULT : pool->options->jobs;

	pool->njobs = (unsigned)MIN(MIN(jobs, JOBS_MAX), pool->count);
	pool->jobs = arena_array(pool->arena, pool->njobs, sizeof(*pool->jobs));
	for (unsigned i = 0; i < pool->njobs; i++)
		pool->jobs[i].pool = pool;
	pool->tool = pool->options->tool != NULL ? pool->options->tool
	                                         : "/proc/self/exe";
	for (size_t i = 0; i < pool->count; i++) {
		pool->requests[i].answer = NULL;
		pool->requests[i].answer_len = 0;
	}
}

int
probe_pool_run(struct probe_request *requests, size_t count,
    const struct probe_pool_options *options, struct arena *arena,
    struct err *err)
{
	static const struct probe_pool_options none;
	struct pool pool = {.requests = requests,
	    .count = count,
	    .options = options == NULL ? &none : options,
	    .arena = arena};

	if (count == 0)
		return 0;
	pool_init(&pool);
	struct loop_timer **heap =
	    arena_array(arena, pool.njobs + 1, sizeof(struct loop_timer *));
	if (loop_init(&pool.loop, heap, pool.njobs + 1, err) == -1)
		return -1;
	int rc = pool_turns(&pool, err);
	for (unsigned i = 0; i < pool.njobs; i++)
		if (pool.jobs[i].request != NULL)
			job_end(&pool.jobs[i], false);
	loop_fini(&pool.loop);
	return rc;
}
