/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/jsonw.h"
#include "base/secret.h"
#include "base/text.h"
#include "probes/look.h"
#include "probes/observation_write.h"
#include "probes/queue/request.h"
#include "probes/request.h"

enum {
	REQUEST_MAX_BYTES = 4 << 20,
	ANSWER_MAX_BYTES = 1 << 20,
	ARENA_MAX_BYTES = 256 << 20,
	READ_BYTES = 1024
};
static const int64_t TIMEOUT_DEFAULT_MS = 5000;
static const int64_t TIMEOUT_MAX_MS = 24LL * 3600 * 1000;
/* Kept back from the timeout, so that the answer is there in time. */
static const int64_t MARGIN_MAX_MS = 100;
/* Beyond the timeout the kernel ends us, also when nobody else does. */
static const int64_t ALARM_SLACK_MS = 3000;

/* The one request under way, for the progress lines. */
static struct {
	int fd;
	struct look *look;
} under_way = {.fd = -1};

static const struct {
	const char *kind;
	look_fn *run;
} kinds[] = {
    {"dns", probe_dns},
    {"tcp", probe_tcp},
    {"tls", probe_tls},
    {"http", probe_http},
    {"postgres", probe_postgres},
    {"redis", probe_redis},
    {"sqlite", probe_sqlite},
    {"s3", probe_object},
    {"command", probe_command},
    {"file", probe_file},
    {"log", probe_log},
    {"metric", probe_metric},
    {"supervisor", probe_supervisor},
    {"processes", probe_processes},
    {"platform", probe_platform},
    {"queue", probe_queue},
#ifdef WITH_MYSQL
    {"mysql", probe_mysql},
#endif
#ifdef WITH_NATS
    {"nats", probe_nats},
#endif
#ifdef WITH_AMQP
    {"amqp", probe_amqp},
#endif
};

look_fn *
look_of_kind(const char *kind)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (text_equal(kinds[i].kind, kind))
			return kinds[i].run;
	return NULL;
}

static void
progress_line(enum step_kind kind, const char *detail)
{
	struct buffer line;
	struct jsonw json;
	struct look *look = under_way.look;

	if (look == NULL)
		return;
	buffer_init(&line, ANSWER_MAX_BYTES);
	jsonw_init(&json, &line, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "progress", step_name(kind));
	jsonw_text(&json, "detail",
	    detail == NULL
	        ? ""
	        : redactor_clean(look->redactor, look->arena, detail));
	jsonw_end(&json);
	buffer_text(&line, "\n");
	/* nobody may be listening any more; the answer will notice */
	(void)!fd_write_all(under_way.fd, line.data, line.len, NULL);
	buffer_fini(&line);
}

static void
watchdog(int64_t in_ms)
{
	struct itimerval timer = {.it_value = {.tv_sec = in_ms / 1000,
	                              .tv_usec = (in_ms % 1000) * 1000}};

	(void)setitimer(ITIMER_REAL, &timer, NULL);
}

/* What the asker knows to be secret besides the URL's password. */
static int
learn_secrets(struct look *look)
{
	const cJSON *secrets = NULL;
	struct err err = ERR_INIT;
	const cJSON *item = NULL;

	if (json_array(look->request, "secrets", &secrets, &err) == -1) {
		look_unknown(look, CAUSE_INTERNAL, "", "%s", err.text);
		return -1;
	}
	cJSON_ArrayForEach(item, secrets)
	{
		const char *secret = NULL;
		if (json_item_text(item, &secret, NULL) == 0)
			redactor_add(look->redactor, secret);
	}
	return 0;
}

/* Reads what every kind has; the kind's function, or NULL with the answer set.
 * The deadline begins. */
static look_fn *
look_begin(struct look *look)
{
	int64_t timeout_ms = 0;
	const char *text = NULL;

	if (!cJSON_IsObject(look->request)) {
		look_unknown(
		    look, CAUSE_INTERNAL, "", "the request is no JSON object");
		return NULL;
	}
	if (look_text(look, "subject", "", &look->out.subject) == -1 ||
	    look_text(look, "canary", NULL, &look->canary) == -1 ||
	    look_i64(look, "timeout_ms", TIMEOUT_DEFAULT_MS, &timeout_ms) ==
	        -1 ||
	    look_need(look, "kind", &text) == -1 || learn_secrets(look) == -1)
		return NULL;
	look->out.kind = text;
	timeout_ms = MIN(MAX(timeout_ms, 1), TIMEOUT_MAX_MS);
	watchdog(timeout_ms + ALARM_SLACK_MS);
	look->ladder.deadline_ms = clock_after(
	    clock_ms(), timeout_ms - MIN(timeout_ms / 10, MARGIN_MAX_MS));
	look_fn *run = look_of_kind(text);

	if (run == NULL)
		look_unknown(look, CAUSE_INTERNAL, "",
		    "this reeve can't look at kind '%s'", text);
	return run;
}

static void
look_run(struct look *look)
{
	look_fn *run = look_begin(look);

	if (run != NULL)
		run(look);
	watchdog(0);
}

/* The steps and facts that the look left behind go into the answer, unless
 * whoever answered put its own there. */
static void
look_finish(struct look *look)
{
	struct observation *out = &look->out;

	if (out->steps == NULL) {
		out->steps = look->ladder.steps;
		out->nsteps = look->ladder.nsteps;
	}
	if (out->facts == NULL)
		out->facts = look->facts;
	out->elapsed_ms = clock_wall_ms() - out->at_wall_ms;
	if (out->elapsed_ms < 0)
		out->elapsed_ms = 0;
	observation_redact(out, look->redactor, look->arena);
}

/* What the answer says but for when it was: two with one tag differ in nothing
 * else. */
static const char *
tag_of(const struct observation *out, struct arena *arena)
{
	static const struct fingerprint_key key = {.bytes = {0}};
	struct observation timeless = *out;
	struct queue_state state;
	struct buffer line;
	char *tag = arena_alloc(arena, 2 * sizeof(struct fingerprint) + 1);

	timeless.at_wall_ms = timeless.elapsed_ms = 0;
	if (out->queue != NULL) {
		state = *out->queue;
		state.as_of_wall_ms = 0;
		timeless.queue = &state;
	}
	buffer_init(&line, ANSWER_MAX_BYTES);
	observation_write(&line, &timeless);
	struct fingerprint print = fingerprint_of(&key, line.data, line.len);

	(void)text_hex(print.bytes, sizeof(print.bytes), tag);
	buffer_wipe(&line);
	return tag;
}

static int
answer_same(const struct observation *out, int fd, struct err *err)
{
	struct buffer line;
	struct jsonw json;

	buffer_init(&line, ANSWER_MAX_BYTES);
	jsonw_init(&json, &line, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "same", out->tag);
	jsonw_i64(&json, "at", out->at_wall_ms);
	jsonw_end(&json);
	buffer_text(&line, "\n");
	int rc = fd_write_all(fd, line.data, line.len, err);

	buffer_fini(&line);
	return rc;
}

static int
answer(
    const struct observation *out, const char *unless, int fd, struct err *err)
{
	struct buffer line;

	if (unless != NULL && text_equal(out->tag, unless))
		return answer_same(out, fd, err);
	buffer_init(&line, ANSWER_MAX_BYTES);
	observation_write(&line, out);
	if (line.overflow) {
		struct observation small = {.kind = out->kind,
		    .subject = out->subject,
		    .target = out->target,
		    .cause = CAUSE_INTERNAL,
		    .summary =
		        "the answer is longer than a verdict line may be",
		    .at_wall_ms = out->at_wall_ms,
		    .elapsed_ms = out->elapsed_ms};
		buffer_clear(&line);
		observation_write(&line, &small);
	}
	int rc = fd_write_all(fd, line.data, line.len, err);
	buffer_wipe(&line);
	return rc;
}

static void
look_open(struct look *look, const struct look *base, const cJSON *request)
{
	struct arena *arena = calloc(1, sizeof(*arena));

	if (arena == NULL)
		abort(); /* as an arena without memory ends us */
	arena_init(arena, ARENA_MAX_BYTES);
	look_init(look, base, arena, request);
}

static int
look_close(struct look *look, int fd)
{
	struct err err = ERR_INIT;
	const char *unless = NULL;

	look_finish(look);
	if (cJSON_IsObject(look->request) &&
	    json_text(look->request, "unless", NULL, &unless, NULL) == 0 &&
	    unless != NULL)
		look->out.tag = tag_of(&look->out, look->arena);
	int rc = answer(&look->out, unless, fd, &err);

	under_way.look = NULL;
	arena_wipe(look->arena);
	arena_fini(look->arena);
	free(look->arena);
	return rc;
}

static int
serve_one(const cJSON *request, int fd, struct look *base)
{
	struct look look;

	look_open(&look, base, request);
	under_way.look = &look;
	look_run(&look);
	return look_close(&look, fd);
}

/* Queues that are looked at together, from `item` on: `count` of them. */
static int
serve_together(const cJSON *item, size_t count, int fd, struct look *base)
{
	struct look *looks = calloc(count, sizeof(*looks));
	size_t begun = 0;
	int rc = 0;

	if (looks == NULL)
		return -1;
	for (size_t i = 0; i < count; i++, item = item->next)
		look_open(&looks[i], base, item);
	while (begun < count && look_begin(&looks[begun]) != NULL)
		begun++;
	under_way.look = &looks[0];
	probe_queues(looks, begun);
	/* a request that isn't one ends the row of those that go together */
	for (size_t i = begun + 1; i < count; i++)
		look_run(&looks[i]);
	watchdog(0);
	for (size_t i = 0; i < count; i++)
		rc = look_close(&looks[i], fd) == -1 ? -1 : rc;
	free(looks);
	return rc;
}

static bool
joins(const cJSON *item, const struct look *base)
{
	struct look look = *base;
	const char *kind = "";

	look.request = item;
	return cJSON_IsObject(item) &&
	       json_text(item, "kind", "", &kind, NULL) == 0 &&
	       text_equal(kind, "queue") && probe_queue_joins(&look);
}

/* Several requests in one line: those that can, together. */
static int
serve_many(const cJSON *item, int fd, struct look *base)
{
	int rc = 0;

	while (item != NULL && rc == 0) {
		const cJSON *end = item;
		size_t count = 0;

		while (end != NULL && joins(end, base)) {
			end = end->next;
			count++;
		}
		if (count > 0) {
			rc = serve_together(item, count, fd, base);
			item = end;
		} else {
			rc = serve_one(item, fd, base);
			item = item->next;
		}
	}
	return rc;
}

static int
serve_line(const char *line, size_t len, int fd, struct look *base)
{
	CLEANUP(json_free) cJSON *request = json_read(line, len, NULL);

	if (cJSON_IsArray(request) && request->child != NULL)
		return serve_many(request->child, fd, base);
	return serve_one(request, fd, base); /* says so when it is none */
}

/* A prober holds passwords: no core, nobody's ptrace, no life without its
 * parent. */
static void
harden(void)
{
	struct rlimit none = {0, 0};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t nothing;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGALRM, &standard, NULL);
	(void)sigemptyset(&nothing);
	(void)sigprocmask(SIG_SETMASK, &nothing, NULL);
}

/* Takes every whole line out of `in`; -1 when the answers can't be written. */
static int
serve_lines(struct buffer *in, int fd, struct look *base)
{
	size_t done = 0;
	int rc = 0;

	for (;;) {
		char *line = in->data + done;
		char *end = memchr(line, '\n', in->len - done);
		if (end == NULL)
			break;
		*end = '\0';
		rc = serve_line(line, (size_t)(end - line), fd, base);
		explicit_bzero(line, (size_t)(end - line));
		done = (size_t)(end - in->data) + 1;
		if (rc == -1)
			break;
	}
	buffer_drop_front(in, done);
	return rc;
}

static int
serve(int in, int out, struct look *base)
{
	struct buffer lines;
	int code = EXIT_PASSED;

	buffer_init(&lines, REQUEST_MAX_BYTES);
	for (;;) {
		char bytes[READ_BYTES];
		ssize_t n = read(in, bytes, sizeof(bytes));
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			code = n == -1 ? EXIT_BUG : EXIT_PASSED;
			break;
		}
		bool whole = memchr(bytes, '\n', (size_t)n) != NULL;
		buffer_append(&lines, bytes, (size_t)n);
		explicit_bzero(bytes, (size_t)n);
		if (lines.overflow) {
			code = EXIT_DATA;
			break;
		}
		if (whole && serve_lines(&lines, out, base) == -1) {
			code = EXIT_BUG;
			break;
		}
	}
	buffer_wipe(&lines);
	return code;
}

int
probe_serve(int in, int out)
{
	struct look base = {.redactor = NULL};

	harden();
	base.redactor = redactor_new();
	base.kept = look_kept_new();
	if (base.redactor == NULL || base.kept == NULL)
		return EXIT_BUG;
	under_way.fd = out;
	ladder_on_progress(progress_line);
	int code = serve(in, out, &base);
	ladder_on_progress(NULL);
	look_kept_free(base.kept);
	redactor_free(base.redactor);
	return code;
}
