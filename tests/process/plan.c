/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a plan from lines of "key value", so that the init can be tested
 * without manifest, YAML and operator:
 *
 *     plan FILE <<END
 *     name t
 *     worker a
 *     arg /helper
 *     arg wait
 *     replicas 2
 *     END
 */
#include "base/base.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "manifests/cron.h"
#include "supervisor/wire/plan_encode.h"

enum {
	WORKERS_MAX = 64,
	ARGS_MAX = 32,
	PORTS_MAX = 4,
	LINES_MAX = 4096
};

struct building {
	const char *args[ARGS_MAX + 1];
	const char *env[ARGS_MAX + 1];
	const char *probe_args[4][ARGS_MAX + 1];
	struct worker_dependency dependencies[PORTS_MAX];
	struct worker_port ports[PORTS_MAX];
	size_t nargs, nenv;
};

static struct worker_spec specs[WORKERS_MAX];
static struct building parts[WORKERS_MAX];
static size_t nspecs;
static struct plan_settings settings;
/* of the workers that come */
static struct worker_logs logs = {.format = LOGS_PLAIN, .keep_lines = 1000};
static struct probe_spec *last_probe;
static char *lines[LINES_MAX]; /* specs point into them */
static size_t nlines;

NORETURN static void
die(const char *what, const char *why)
{
	(void)fprintf(stderr, "plan: %s: %s\n", what, why);
	exit(99);
}

static int64_t
number(const char *text)
{
	struct err err = ERR_INIT;
	int64_t value = 0;

	if (text_i64(text, INT64_MIN, INT64_MAX, &value, &err) == -1)
		die(text, err.text);
	return value;
}

static int64_t
duration(const char *text)
{
	struct err err = ERR_INIT;
	int64_t value = 0;

	if (text_duration_ms(text, &value, &err) == -1)
		die(text, err.text);
	return value;
}

/* Cuts off the next word, or returns NULL. */
static char *
word(char **rest)
{
	char *start = *rest == NULL ? NULL : *rest + strspn(*rest, " ");

	if (start == NULL || *start == '\0')
		return NULL;
	char *end = start + strcspn(start, " ");
	*rest = *end == '\0' ? NULL : end + 1;
	*end = '\0';
	return start;
}

static uint32_t
one_of(const char *text, const char *const *names, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (text_equal(text, names[i]))
			return i;
	die(text, "not one of the words");
}

#define ONE_OF(text, ...)                                \
	one_of(text, (const char *const[]){__VA_ARGS__}, \
	    ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static struct worker_spec *
spec(void)
{
	if (nspecs == 0)
		die("worker", "must come first");
	return &specs[nspecs - 1];
}

static struct building *
part(void)
{
	(void)spec();
	return &parts[nspecs - 1];
}

static void
worker(const char *value)
{
	struct building *building = &parts[nspecs];

	specs[nspecs++] = (struct worker_spec){.name = value,
	    .argv = building->args,
	    .envp = building->env,
	    .uid = WORKER_ID_NONE,
	    .gid = WORKER_ID_NONE,
	    .umask = UINT32_MAX,
	    .no_new_privs = true,
	    .replicas = 1,
	    .backoff_first_ms = 500,
	    .backoff_cap_ms = 60000,
	    .grace_ms = 30000,
	    .drain_signal = SIGTERM,
	    .logs = logs,
	    .ports = building->ports,
	    .dependencies = building->dependencies,
	    .generation = 1};
}

static void
arg(const char *value)
{
	if (part()->nargs == 0)
		spec()->executable = value;
	part()->args[part()->nargs++] = value;
}

static void
env(const char *value)
{
	part()->env[part()->nenv++] = value;
}

/* A file that holds NAME=VALUE, whatever bytes VALUE is made of. */
static void
env_of(const char *path)
{
	FILE *file = fopen(path, "re");
	char *bytes = NULL;
	size_t size = 0;

	if (file == NULL || nlines == LINES_MAX ||
	    getdelim(&bytes, &size, '\0', file) <= 0)
		die(path, "can't be read");
	(void)fclose(file);
	lines[nlines++] = bytes;
	env(bytes);
}

/* KIND [PORT [PATH]], or exec ARG… */
static void
probe(struct probe_spec *which, size_t index, char *value)
{
	char *rest = value;
	size_t n = 0;

	*which =
	    (struct probe_spec){.kind = (enum probe_kind)ONE_OF(
	                            word(&rest), "none", "exec", "http", "tcp"),
	        .period_ms = 10000,
	        .timeout_ms = 1000,
	        .success_threshold = 1,
	        .failure_threshold = 3};
	last_probe = which;
	if (which->kind == PROBE_EXEC) {
		which->argv = part()->probe_args[index];
		for (char *at = word(&rest); at != NULL; at = word(&rest))
			part()->probe_args[index][n++] = at;
		return;
	}
	char *port = word(&rest);
	which->port_per_replica = port != NULL && port[0] == '+';
	if (port != NULL)
		which->port = (uint32_t)number(port + which->port_per_replica);
	which->path = which->kind == PROBE_HTTP ? word(&rest) : NULL;
}

/* INITIAL PERIOD TIMEOUT SUCCESS FAILURE of the probe before */
static void
times(char *value)
{
	char *rest = value;

	if (last_probe == NULL)
		die("times", "no probe before");
	last_probe->initial_delay_ms = duration(word(&rest));
	last_probe->period_ms = duration(word(&rest));
	last_probe->timeout_ms = duration(word(&rest));
	last_probe->success_threshold = (uint32_t)number(word(&rest));
	last_probe->failure_threshold = (uint32_t)number(word(&rest));
}

static void
port(char *value)
{
	char *rest = value;
	struct worker_port *to = &part()->ports[spec()->nports++];

	to->name = word(&rest);
	to->base = (uint32_t)number(word(&rest));
}

/* WORKER CONDITION */
static void
after(char *value)
{
	char *rest = value;
	struct worker_dependency *to =
	    &part()->dependencies[spec()->ndependencies++];

	to->worker = word(&rest);
	to->condition = ONE_OF(word(&rest), "started", "ready", "completed");
}

/* Five fields, in UTC. */
static void
schedule(const char *value)
{
	struct err err = ERR_INIT;

	spec()->schedule = (struct worker_schedule){
	    .text = value, .zone_name = "UTC", .starting_deadline_s = -1};
	if (cron_parse(value, &spec()->schedule.rule, &err) == -1)
		die(value, err.text);
}

static void
backoff(char *value)
{
	char *rest = value;

	spec()->backoff_first_ms = duration(word(&rest));
	spec()->backoff_cap_ms = duration(word(&rest));
}

/* COUNT WINDOW */
static void
limit(char *value)
{
	char *rest = value;

	spec()->start_limit.count = (uint32_t)number(word(&rest));
	spec()->start_limit.window_ms = duration(word(&rest));
}

/* message|newline|none [FD [WATCHDOG]] */
static void
notify(char *value)
{
	char *rest = value;

	spec()->notify.ready = (enum notify_ready)ONE_OF(
	    word(&rest), "absent", "message", "newline", "none");
	char *fd = word(&rest);
	char *watchdog = word(&rest);
	spec()->notify.fd = fd == NULL ? 3 : (uint32_t)number(fd);
	spec()->notify.watchdog_ms = watchdog == NULL ? 0 : duration(watchdog);
}

/* LINES BYTES BURST */
static void
rate(char *value)
{
	char *rest = value;

	logs.rate_lines = (uint32_t)number(word(&rest));
	logs.rate_bytes = (uint64_t)number(word(&rest));
	logs.burst_ms = duration(word(&rest));
}

static void
cpus(char *value)
{
	struct worker_process *process = &spec()->process;
	char *rest = value;

	process->declared |= PROCESS_CPUS;
	for (char *at = word(&rest); at != NULL; at = word(&rest)) {
		int64_t cpu = number(at) % WORKER_CPUS_MAX;
		process->cpus[cpu / 64] |= UINT64_C(1) << (cpu % 64);
	}
}

static void
of_worker(const char *key, char *value)
{
	if (text_equal(key, "arg"))
		arg(value);
	else if (text_equal(key, "env"))
		env(value);
	else if (text_equal(key, "env-of"))
		env_of(value);
	else if (text_equal(key, "replicas"))
		spec()->replicas = (uint32_t)number(value);
	else if (text_equal(key, "restart"))
		spec()->restart = (enum worker_restart)ONE_OF(
		    value, "always", "on-failure", "never");
	else if (text_equal(key, "backoff"))
		backoff(value);
	else if (text_equal(key, "grace"))
		spec()->grace_ms = duration(value);
	else if (text_equal(key, "signal"))
		spec()->drain_signal = (int)number(value);
	else if (text_equal(key, "cwd"))
		spec()->cwd = value;
	else if (text_equal(key, "uid"))
		spec()->uid = spec()->gid = number(value);
	else if (text_equal(key, "cpus"))
		cpus(value);
	else if (text_equal(key, "memory"))
		spec()->memory_limit_bytes = (uint64_t)number(value);
	else if (text_equal(key, "cpu"))
		spec()->cpu_limit_milli = (uint32_t)number(value);
	else if (text_equal(key, "pids"))
		spec()->pids_limit = (uint32_t)number(value);
	else if (text_equal(key, "generation"))
		spec()->generation = (uint64_t)number(value);
	else if (text_equal(key, "digest"))
		memset(spec()->config_digest, (int)number(value), 16);
	else if (text_equal(key, "port"))
		port(value);
	else if (text_equal(key, "readiness"))
		probe(&spec()->readiness, 0, value);
	else if (text_equal(key, "liveness"))
		probe(&spec()->liveness, 1, value);
	else if (text_equal(key, "startup"))
		probe(&spec()->startup, 2, value);
	else if (text_equal(key, "limit"))
		limit(value);
	else if (text_equal(key, "notify"))
		notify(value);
	else if (text_equal(key, "pre-stop"))
		probe(&spec()->pre_stop, 3, value);
	else if (text_equal(key, "after"))
		after(value);
	else if (text_equal(key, "init"))
		spec()->init = true;
	else if (text_equal(key, "schedule"))
		schedule(value);
	else if (text_equal(key, "concurrency"))
		spec()->schedule.concurrency = (enum worker_concurrency)ONE_OF(
		    value, "allow", "forbid", "replace");
	else if (text_equal(key, "starting-deadline"))
		spec()->schedule.starting_deadline_s = number(value);
	else if (text_equal(key, "suspend"))
		spec()->schedule.suspended = true;
	else if (text_equal(key, "failures"))
		spec()->failures_max = (uint32_t)number(value);
	else if (text_equal(key, "deadline"))
		spec()->deadline_ms = duration(value);
	else if (text_equal(key, "times"))
		times(value);
	else
		die(key, "no such key");
}

static void
line(const char *key, char *value)
{
	if (text_equal(key, "name"))
		settings.name = value;
	else if (text_equal(key, "budget"))
		settings.grace_ms = duration(value);
	else if (text_equal(key, "exit-on-term"))
		settings.exit_on_term = (int32_t)number(value);
	else if (text_equal(key, "second-term"))
		settings.second_term =
		    ONE_OF(value, "ignore", "hasten", "kill");
	else if (text_equal(key, "exit-code"))
		settings.exit_code = ONE_OF(value, "worst", "first", "fixed");
	else if (text_equal(key, "liveness-port"))
		settings.liveness_port = (uint32_t)number(value);
	else if (text_equal(key, "logs"))
		logs.format = settings.logs =
		    ONE_OF(value, "none", "plain", "prefix", "json");
	else if (text_equal(key, "keep"))
		logs.keep_lines = (uint32_t)number(value);
	else if (text_equal(key, "when-blocked"))
		logs.when_blocked =
		    ONE_OF(value, "dropNew", "dropOldest", "block");
	else if (text_equal(key, "rate"))
		rate(value);
	else if (text_equal(key, "worker"))
		worker(value);
	else
		of_worker(key, value);
}

int
main(int argc, char *argv[])
{
	struct err err = ERR_INIT;
	struct buffer out;
	char *text = NULL;
	size_t size = 0;

	if (argc != 2)
		die("usage", "plan FILE, lines on stdin");
	plan_settings_default(&settings);
	settings.name = "t";
	while (getline(&text, &size, stdin) > 0) {
		char *rest = nlines < LINES_MAX ? strdup(text) : NULL;
		if (rest == NULL)
			die("line", "no memory");
		lines[nlines++] = rest;
		rest[strcspn(rest, "\n")] = '\0';
		rest += strspn(rest, " \t");
		if (*rest == '\0' || *rest == '#')
			continue;
		char *key = word(&rest);
		line(key, rest);
	}
	free(text);
	buffer_init(&out, PLAN_BYTES_MAX);
	if (plan_encode(specs, nspecs, &settings, &out, &err) == -1 ||
	    fd_replace_file(argv[1], 0600, out.data, out.len, &err) == -1)
		die(argv[1], err.text);
	buffer_fini(&out);
	while (nlines > 0)
		free(lines[--nlines]);
	return 0;
}
