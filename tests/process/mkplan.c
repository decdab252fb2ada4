/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "base/text.h"
#include "supervisor/wire/plan_encode.h"

/*
 * Makes a plan for tests, without a manifest:
 *
 *     mkplan OUT [name=N] [grace_ms=N] [logs=none|plain|prefix|json] …
 *         worker NAME [replicas=N] [restart=always|onfailure|never] … -- ARGV…
 *         [, worker …]
 *
 * Keys of a worker: replicas, restart, first_ms, cap_ms, grace_ms, signal,
 * cwd, uid, gid, generation, digest (text), env (NAME=value, repeated), and
 * ready/live/startup=tcp:PORT | http:PORT:PATH | exec:PATH, with period_ms,
 * timeout_ms and failures for all of them; port=NAME:BASE.
 */
enum {
	MAX_WORKERS = 64,
	MAX_ENV = 64
};

struct made {
	struct worker_spec spec;
	const char *env[MAX_ENV + 1];
	size_t nenv;
	const char *probe_argv[3][2];
	struct worker_port port;
	int64_t period_ms, timeout_ms;
	uint32_t failures;
};

static struct made made[MAX_WORKERS];
static struct worker_spec specs[MAX_WORKERS];

static void NORETURN
usage(const char *what)
{
	(void)fprintf(stderr, "mkplan: what is '%s'?\n", what);
	exit(64);
}

static int64_t
number(const char *text)
{
	struct err err = ERR_INIT;
	int64_t value = 0;

	if (text_i64(text, INT64_MIN, INT64_MAX, &value, &err) == -1) {
		(void)fprintf(stderr, "mkplan: %s\n", err.text);
		exit(64);
	}
	return value;
}

static const char *
after(const char *word, const char *key)
{
	size_t len = strlen(key);

	return strncmp(word, key, len) == 0 && word[len] == '=' ? word + len + 1
	                                                        : NULL;
}

static bool
settings_word(struct plan_settings *settings, const char *word)
{
	static const char *const logs[] = {"none", "plain", "prefix", "json"};
	const char *value;

	if ((value = after(word, "name")) != NULL)
		settings->name = value;
	else if ((value = after(word, "grace_ms")) != NULL)
		settings->grace_ms = number(value);
	else if ((value = after(word, "exit_on_term")) != NULL)
		settings->exit_on_term = (int32_t)number(value);
	else if ((value = after(word, "second_term")) != NULL)
		settings->second_term = (uint32_t)number(value);
	else if ((value = after(word, "exit_code")) != NULL)
		settings->exit_code = (uint32_t)number(value);
	else if ((value = after(word, "keep")) != NULL)
		settings->logs_keep = (uint32_t)number(value);
	else if ((value = after(word, "logs")) != NULL) {
		for (uint32_t i = 0; i < ARRAY_LEN(logs); i++)
			if (strcmp(value, logs[i]) == 0)
				settings->logs = i;
	} else
		return false;
	return true;
}

static struct probe_spec
probe(struct made *one, unsigned which, const char *text)
{
	struct probe_spec spec = {
	    .initial_delay_ms = 0, .success_threshold = 1};
	char *rest = NULL;

	if (strncmp(text, "exec:", 5) == 0) {
		spec.kind = PROBE_EXEC;
		one->probe_argv[which][0] = text + 5;
		spec.argv = one->probe_argv[which];
		return spec;
	}
	spec.kind = strncmp(text, "tcp:", 4) == 0 ? PROBE_TCP : PROBE_HTTP;
	text = strchr(text, ':');
	if (text == NULL)
		usage("probe");
	spec.port = (uint32_t)strtoul(text + 1, &rest, 10);
	if (spec.kind == PROBE_HTTP)
		spec.path = *rest == ':' ? rest + 1 : "/";
	return spec;
}

static bool
worker_number(struct made *one, const char *word)
{
	struct worker_spec *spec = &one->spec;
	const char *value;

	if ((value = after(word, "replicas")) != NULL)
		spec->replicas = (uint32_t)number(value);
	else if ((value = after(word, "first_ms")) != NULL)
		spec->backoff_first_ms = number(value);
	else if ((value = after(word, "cap_ms")) != NULL)
		spec->backoff_cap_ms = number(value);
	else if ((value = after(word, "grace_ms")) != NULL)
		spec->grace_ms = number(value);
	else if ((value = after(word, "signal")) != NULL)
		spec->drain_signal = (int)number(value);
	else if ((value = after(word, "uid")) != NULL)
		spec->uid = number(value);
	else if ((value = after(word, "gid")) != NULL)
		spec->gid = number(value);
	else if ((value = after(word, "generation")) != NULL)
		spec->generation = (uint64_t)number(value);
	else if ((value = after(word, "period_ms")) != NULL)
		one->period_ms = number(value);
	else if ((value = after(word, "timeout_ms")) != NULL)
		one->timeout_ms = number(value);
	else if ((value = after(word, "failures")) != NULL)
		one->failures = (uint32_t)number(value);
	else
		return false;
	return true;
}

static void
worker_word(struct made *one, const char *word)
{
	struct worker_spec *spec = &one->spec;
	const char *value;

	if (worker_number(one, word))
		return;
	if ((value = after(word, "restart")) != NULL)
		spec->restart = *value == 'a'   ? RESTART_ALWAYS
		                : *value == 'o' ? RESTART_ON_FAILURE
		                                : RESTART_NEVER;
	else if ((value = after(word, "cwd")) != NULL)
		spec->cwd = value;
	else if ((value = after(word, "digest")) != NULL)
		memcpy(spec->config_digest, value,
		    MIN(strlen(value), sizeof(spec->config_digest)));
	else if ((value = after(word, "env")) != NULL && one->nenv < MAX_ENV)
		one->env[one->nenv++] = value;
	else if ((value = after(word, "ready")) != NULL)
		spec->readiness = probe(one, 0, value);
	else if ((value = after(word, "live")) != NULL)
		spec->liveness = probe(one, 1, value);
	else if ((value = after(word, "startup")) != NULL)
		spec->startup = probe(one, 2, value);
	else if ((value = after(word, "port")) != NULL) {
		char *colon = strchr(value, ':');
		if (colon == NULL)
			usage(word);
		*colon = '\0';
		one->port.name = value;
		one->port.base = (uint32_t)number(colon + 1);
		spec->ports = &one->port;
		spec->nports = 1;
	} else
		usage(word);
}

static void
set_times(struct made *one, struct probe_spec *spec)
{
	spec->period_ms = one->period_ms;
	spec->timeout_ms = one->timeout_ms;
	spec->failure_threshold = one->failures;
}

/* From after "worker" to the "," or the end; the index behind it. */
static int
worker_words(struct made *one, int argc, char *argv[], int at)
{
	*one =
	    (struct made){.period_ms = 100, .timeout_ms = 1000, .failures = 3};
	one->spec = (struct worker_spec){.uid = WORKER_ID_NONE,
	    .gid = WORKER_ID_NONE,
	    .umask = UINT32_MAX,
	    .no_new_privs = true,
	    .replicas = 1,
	    .backoff_first_ms = 100,
	    .backoff_cap_ms = 5000,
	    .grace_ms = 5000,
	    .drain_signal = 15};
	one->spec.name = argv[at++];
	while (at < argc && strcmp(argv[at], "--") != 0)
		worker_word(one, argv[at++]);
	if (at + 1 >= argc)
		usage("worker without command");
	int end = ++at;
	while (end < argc && strcmp(argv[end], ",") != 0)
		end++;
	if (end < argc)
		argv[end] = NULL;
	one->spec.argv = (const char *const *)(argv + at);
	one->spec.executable = argv[at];
	one->spec.envp = one->env;
	set_times(one, &one->spec.readiness);
	set_times(one, &one->spec.liveness);
	set_times(one, &one->spec.startup);
	return end + 1;
}

int
main(int argc, char *argv[])
{
	struct plan_settings settings;
	struct buffer out;
	struct err err = ERR_INIT;
	size_t count = 0;
	int at = 2;

	plan_settings_default(&settings);
	if (argc < 2)
		usage("nothing");
	while (at < argc) {
		if (strcmp(argv[at], "worker") == 0 && at + 1 < argc &&
		    count < MAX_WORKERS) {
			at = worker_words(&made[count], argc, argv, at + 1);
			specs[count] = made[count].spec;
			count++;
		} else if (settings_word(&settings, argv[at])) {
			at++;
		} else {
			usage(argv[at]);
		}
	}
	buffer_init(&out, PLAN_BYTES_MAX);
	if (plan_encode(specs, count, &settings, &out, &err) == -1 ||
	    fd_replace_file(argv[1], 0600, out.data, out.len, &err) == -1) {
		(void)fprintf(stderr, "mkplan: %s\n", err.text);
		return 1;
	}
	buffer_wipe(&out);
	return 0;
}
