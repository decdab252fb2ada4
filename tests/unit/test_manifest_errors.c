/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <sys/stat.h>

#include "tests/unit/manifest_try.h"

/* One wrong thing each, where it is, and what must be said about it. */
struct wrong {
	const char *text;
	int line, column;
	const char *says;
};

#define Q "queues: [{name: q, kind: redis, url: redis://h, list: l}]\n"
#define J "queues: [{name: q, kind: redis, url: redis://h, list: l, jobs: {"
#define V "- name: v\n  command: [/bin/v]\n"           /* two more */
#define W "workers:\n- name: w\n  command: [/bin/w]\n" /* lines 3 to 5 */

static const struct wrong wrongs[] = {
    /* the text */
    {"", 1, 1, "the file is empty"},
    {"# only this\n", 1, 1, "nothing is declared"},
    {"---\n", 1, 1, "nothing is declared"},
    {"[a, b]\n", 1, 1, "a manifest is a mapping"},
    {"just text\n", 1, 1, "a manifest is a mapping"},
    {"a: [b\n", 2, 1, "not YAML"},
    {"a: \"b\n", 2, 1, "not YAML"},
    {"a: b\xC3\n", 1, 5, "not UTF-8"},
    {"a: b\n\x01", 2, 1, "control character"},
    {"a: \"b\\0c\"\n", 1, 4, "NUL"},
    {TRY_HEAD "---\nname: b\n", 3, 1, "a second document"},
    {"a: &x [1]\nb: *x\n", 1, 4, "anchors"},
    {"a: *x\n", 1, 4, "aliases"},
    {"a: !!binary aGk=\n", 1, 4, "tags"},
    {"? [a]\n: b\n", 1, 3, "a key must be a single word"},
    /* the top */
    {"name: a\n", 1, 1, "'apiVersion' is missing"},
    {"apiVersion: reeve/v1\n", 1, 1, "'name' is missing"},
    {"apiVersion: reeve/v2\nname: a\n", 1, 13, "did you mean 'reeve/v1'?"},
    {TRY_HEAD "worker: []\n", 3, 1, "did you mean 'workers'?"},
    /* what only Kubernetes has */
    {TRY_HEAD W "  lifecycle: {postStart: {exec: {command: [/x]}}}\n", 6, 15,
        "there is no 'postStart'"},
    {TRY_HEAD W "  restartPolicy: Never\n", 6, 3,
        "'restart: {policy: OnFailure}'"},
    {TRY_HEAD "name: b\n", 3, 1, "the first is in line 2"},
    {"apiVersion: reeve/v1\nname: File_Process\n", 2, 7, "lower-case"},
    {"apiVersion: reeve/v1\nname: 7\n", 2, 7, "this is a number"},
    {"apiVersion: reeve/v1\nname:\n", 2, 6, "'name' has no value"},
    {TRY_HEAD "workers: {}\n", 3, 10, "must be a list, not a mapping"},
    {TRY_HEAD "workers:\n", 3, 9, "must be a list, not empty"},
    {TRY_HEAD "workers: [w]\n", 3, 11, "must be a mapping, not text"},
    /* numbers, booleans, words */
    {TRY_HEAD W "  replcas: 2\n", 6, 3, "did you mean 'replicas'?"},
    {TRY_HEAD W "  replicas: 2x\n", 6, 13, "from 0 to 10000, not '2x'"},
    {TRY_HEAD W "  replicas: two\n", 6, 13, "a whole number"},
    {TRY_HEAD W "  replicas: \"2\"\n", 6, 13, "not the text \"2\""},
    {TRY_HEAD W "  replicas: 010\n", 6, 13, "not '010'"},
    {TRY_HEAD W "  replicas: 0x10\n", 6, 13, "not '0x10'"},
    {TRY_HEAD W "  replicas: -1\n", 6, 13, "not '-1'"},
    {TRY_HEAD W "  replicas: 1.5\n", 6, 13, "not '1.5'"},
    {TRY_HEAD W "  replicas: 10001\n", 6, 13, "not '10001'"},
    {TRY_HEAD W "  replicas: 99999999999999999999\n", 6, 13, "from 0 to"},
    {TRY_HEAD W "  replicas: [2]\n", 6, 13, "must be a number, not a list"},
    {TRY_HEAD W "  terminationGracePeriodSeconds: 30s\n", 6, 34, "not '30s'"},
    {TRY_HEAD W "  restart: {policy: always}\n", 6, 21,
        "did you mean 'Always'?"},
    {TRY_HEAD W "  restart: {backoff: {first: 500}}\n", 6, 30,
        "must be a duration"},
    {TRY_HEAD W "  restart: {backoff: {first: 2m}}\n", 6, 22,
        "longer than 'cap'"},
    {TRY_HEAD W "  restart: {alertAfter: 3/h}\n", 6, 25, "must be a rate"},
    {TRY_HEAD W "  restart: {startLimit: 5/s}\n", 6, 25,
        "must be a rate such as '5 per 1s', or 'off'"},
    {TRY_HEAD W "  notify: {ready: none, fd: 3}\n", 6, 29,
        "'fd' beside 'ready'"},
    {TRY_HEAD W "  notify: {watchdog: 0s}\n", 6, 22, "of no time"},
    {TRY_HEAD W "  notify: {fd: 2}\n", 6, 16, "2"},
    {TRY_HEAD W "  resources: {limits: {memory: 1GB}}\n", 6, 32,
        "must be a quantity"},
    {TRY_HEAD W "  inheritEnv: some\n", 6, 15, "none or a list"},
    {TRY_HEAD W "  workingDir: app\n", 6, 15, "an absolute path"},
    {TRY_HEAD "checks: [{name: c, required: yes, dns: {host: h}}]\n", 3, 30,
        "true or false, not 'yes'"},
    {TRY_HEAD "checks: [{name: c, required: maybe, dns: {host: h}}]\n", 3, 30,
        "true or false, not 'maybe'"},
    /* text that YAML takes for something else */
    {TRY_HEAD "env: [{name: A, value: 8080}]\n", 3, 24, "put it in quotes"},
    {TRY_HEAD "env: [{name: A, value: true}]\n", 3, 24, "a boolean"},
    {TRY_HEAD "env: [{name: A, value: }]\n", 3, 24, "write \"\""},
    {TRY_HEAD "env: [{name: 1A, value: a}]\n", 3, 14, "no variable's name"},
    {TRY_HEAD "workers: [{name: w, command: [sleep, 60]}]\n", 3, 38,
        "put it in quotes: \"60\""},
    {TRY_HEAD "workers: [{name: w, command: []}]\n", 3, 30, "is empty"},
    {TRY_HEAD "workers: [{name: w, command: /bin/w}]\n", 3, 30,
        "must be a list, not text"},
    /* names that are there twice, or not at all */
    {TRY_HEAD W "- name: w\n  command: [/bin/x]\n", 6, 9,
        "for the second time; the first is in line 4"},
    {TRY_HEAD "env: [{name: A, value: a}, {name: A, value: b}]\n", 3, 35,
        "for the second time"},
    {TRY_HEAD Q W "  consumes: [{queue: jobs}]\n", 7, 22,
        "unknown queue 'jobs'"},
    {TRY_HEAD W "  consumes: [{queue: q}]\n", 6, 22, "none is declared"},
    {TRY_HEAD "secrets: [{name: nexus-secrets, dir: /s}]\n"
              "env: [{name: A, valueFrom: {secretKeyRef: "
              "{name: nexus-secret, key: A}}}]\n",
        4, 50, "did you mean 'nexus-secrets'?"},
    {TRY_HEAD "configs: [{name: c, data: {A: b}}]\n" W
              "  envFrom: [{configMapRef: {name: d}}]\n",
        7, 35, "unknown config 'd'"},
    {TRY_HEAD W "  dependsOn: [v]\n", 6, 15, "unknown worker 'v'"},
    {TRY_HEAD W "  dependsOn: [w]\n", 6, 15, "depend on itself"},
    {TRY_HEAD W V "  dependsOn: [{worker: w, condition: healthy}]\n", 8, 38,
        "valid: started, ready or completed"},
    {TRY_HEAD W V "  dependsOn: [{worker: w, condition: completed}]\n", 8, 38,
        "never completes"},
    {TRY_HEAD W "  dependsOn: [v]\n" V "  dependsOn: [w]\n", 6, 15,
        "'w' (line 6) -> 'v' (line 9) -> 'w'"},
    {TRY_HEAD W "  activeDeadlineSeconds: 5\n", 6, 3, "for a worker that ends"},
    {TRY_HEAD W "  ioPriority: {class: idle, level: 3}\n", 6, 29,
        "'level' beside 'class: idle', which has none"},
    {TRY_HEAD W "  restart: {backoffLimit: 2}\n", 6, 13,
        "'backoffLimit' needs 'policy: OnFailure'"},
    {TRY_HEAD W "initWorkers:\n- {name: i, command: [x], restart: "
                "{policy: Never, backoffLimit: 2}}\n",
        7, 52, "'backoffLimit' needs 'policy: OnFailure'"},
    {TRY_HEAD W "initWorkers:\n- {name: i, command: [x], timeZone: UTC}\n", 7,
        27, "'timeZone' means nothing in 'initWorkers'"},
    {TRY_HEAD W "initWorkers:\n- {name: w, command: [x]}\n", 7, 10,
        "also a name in 'workers'"},
    {TRY_HEAD W "initWorkers:\n- {name: i, command: [x], replicas: 2}\n", 7, 27,
        "means nothing in 'initWorkers'"},
    {TRY_HEAD W
        "initWorkers:\n- {name: i, command: [x], restart: {policy: Always}}\n",
        7, 45, "an init worker has to end"},
    {TRY_HEAD W "  lifecycle: {preStop: {httpGet: {port: p}}}\n", 6, 41,
        "unknown port 'p'"},
    /* one of several keys */
    {TRY_HEAD "env: [{name: A}]\n", 3, 7,
        "one of these is missing here: value or valueFrom"},
    {TRY_HEAD "env: [{name: A, value: a, valueFrom: {secretKeyRef: "
              "{name: s, key: k}}}]\nsecrets: [{name: s, dir: /s}]\n",
        3, 27, "'valueFrom' beside 'value'"},
    {TRY_HEAD "secrets: [{name: s, dir: /a, envFile: /b}]\n", 3, 30,
        "'envFile' beside 'dir'"},
    {TRY_HEAD "checks: [{name: c}]\n", 3, 10, "one of these is missing"},
    {TRY_HEAD "checks: [{name: c, tcp: {host: h}}]\n", 3, 25,
        "'port' is missing"},
    /* queues */
    {TRY_HEAD "queues: [{name: q, kind: reddis, url: redis://h}]\n", 3, 26,
        "did you mean 'redis'?"},
    {TRY_HEAD "queues: [{name: q, kind: redis, url: redis://h}]\n", 3, 10,
        "a queue of kind redis needs 'list'"},
    {TRY_HEAD "queues: [{name: q, kind: redis, url: redis://h, list: l, "
              "table: t}]\n",
        3, 58, "a queue of kind redis has no key 'table'"},
    {TRY_HEAD "queues: [{name: q, kind: redis, url: http://h, list: l}]\n", 3,
        38, "a URL of scheme redis rediss"},
    {TRY_HEAD "queues: [{name: q, kind: redis, url: \"not a url\", list: "
              "l}]\n",
        3, 38, "white space"},
    {TRY_HEAD "queues: [{name: q, url: \"redis://h/0?list=l?x=y\"}]\n", 3, 25,
        "a second '?'"},
    {TRY_HEAD "env: [{name: U, value: \"redis://h/0\"}]\n"
              "queues: [{name: q, url: \"$(U)/0?list=l\"}]\n",
        4, 25, "a second path"},
    {TRY_HEAD "env: [{name: U, value: \"redis://h/0?a=b\"}]\n"
              "queues: [{name: q, url: \"$(U)?list=l\"}]\n",
        4, 25, "a second '?'"},
    {TRY_HEAD "queues: [{name: q, url: \"redis://h/0?lst=l\"}]\n", 3, 25,
        "'lst' is no key"},
    {TRY_HEAD "queues: [{name: q, url: \"redis://h/0\"}]\n", 3, 25,
        "needs 'list'"},
    {TRY_HEAD "queues: [{name: q, url: \"postgresql://h/d?table=t\"}]\n", 3, 25,
        "write KIND+postgresql://"},
    {TRY_HEAD "queues: [{name: q, url: \"redis://h/0\", list: l}]\n", 3, 40,
        "'list' without 'kind'"},
    /* $(NAME) */
    {TRY_HEAD "env: [{name: A, value: \"$(A)\"}]\n", 3, 24,
        "$(A) refers to itself"},
    {TRY_HEAD "env:\n- {name: A, value: \"$(B)\"}\n"
              "- {name: B, value: \"$(A)\"}\n",
        4, 20, "$(B) is declared only later, in line 5"},
    {TRY_HEAD "queues: [{name: q, kind: redis, url: $(NOPE), list: l}]\n", 3,
        38, "$(NOPE) is declared nowhere"},
    {TRY_HEAD "configs: [{name: c, data: {A: b}}]\n" W
              "  envFrom: [{configMapRef: {name: c}}]\n"
              "  env: [{name: X, value: \"$(Y)\"}, {name: Y, value: \"\"}]\n",
        8, 26, "$(Y) is declared only later"},
    {TRY_HEAD "configs: [{name: c, data: {A: b}}]\n" W
              "  envFrom: [{configMapRef: {name: c}}]\n"
              "checks: [{name: c, dns: {host: $(NOPE)}}]\n",
        8, 32, "$(NOPE) is declared nowhere"},
    {TRY_HEAD "checks: [{name: c, dns: {host: $(CANARY)}}]\n", 3, 32,
        "only within 'smoke'"},
    {TRY_HEAD "checks: [{name: c, dns: {host: $(JOB)}}]\n", 3, 32,
        "only within 'row' of a queue's 'jobs'"},
    {TRY_HEAD J "id: a, row: {sqlite: {path: /p, query: \"SELECT 1 WHERE "
                "a = '$(JOB)'\"}}}}]\n",
        3, 104, "write it bare"},
    {TRY_HEAD J "id: a, row: {sqlite: {path: /p, query: SELECT 1}}}}]\n", 3,
        104, "'query' must hold $(JOB)"},
    {TRY_HEAD J "row: {sqlite: {path: /p, query: SELECT $(JOB)}}}}]\n", 3, 65,
        "'row' needs 'id'"},
    {TRY_HEAD J "id: a, row: {sqlite: {path: /p, query: SELECT $(CANARY) "
                "$(JOB)}}}}]\n",
        3, 104, "only within 'smoke'"},
    {TRY_HEAD "secrets: [{name: s, dir: /nonexistent}]\n" W
              "  args: [--port, $(PORT_HEALTH)]\n",
        7, 18, "differs between replicas"},
    /* probes and ports */
    {TRY_HEAD W "  replicas: 2\n"
                "  readinessProbe: {httpGet: {port: 8080}}\n",
        7, 36, "a fixed port with 2 replicas"},
    {TRY_HEAD W "  scale: {max: 3, queue: q}\n"
                "  livenessProbe: {tcpSocket: {port: 8080}}\n" Q,
        7, 37, "a fixed port with 3 replicas"},
    {TRY_HEAD W "  ports: [{name: health, base: 80}]\n"
                "  readinessProbe: {httpGet: {port: helth}}\n",
        7, 36, "did you mean 'health'?"},
    {TRY_HEAD W "  readinessProbe: {httpGet: {port: 70000}}\n", 6, 36,
        "is no port"},
    {TRY_HEAD W "  replicas: 10\n  ports: [{name: p, base: 65530}]\n", 7, 27,
        "go beyond 65535"},
    {TRY_HEAD W "  livenessProbe: {successThreshold: 2, exec: {command: "
                "[/x]}}\n",
        6, 37, "must be 1"},
    {TRY_HEAD W "  readinessProbe: {periodSeconds: 5}\n", 6, 19,
        "one of these is missing here: httpGet, tcpSocket or exec"},
    /* smoke */
    {TRY_HEAD Q "smoke: [{name: s, submit: {queue: q, payload: hello}, "
                "stages: [{name: t, queue: q, state: taken}]}]\n",
        4, 47, "must hold $(CANARY)"},
    {TRY_HEAD Q "smoke: [{name: s, submit: {queue: q, payload: $(CANARY)}, "
                "stages: []}]\n",
        4, 67, "'stages' is empty"},
    {TRY_HEAD Q "smoke: [{name: s, submit: {queue: q, payload: $(CANARY)}, "
                "stages: [{name: t, queue: q}]}]\n",
        4, 78, "'queue' needs 'state'"},
    {TRY_HEAD Q
        "smoke: [{name: s, submit: {queue: q, payload: $(CANARY)}, stages: "
        "[{name: t, sqlite: {path: /p, query: \"SELECT 1 WHERE a = "
        "'$(CANARY)'\", equals: x}}]}]\n",
        4, 104, "write it bare"},
    {TRY_HEAD Q "smoke: [{name: s, mode: isolated, submit: {queue: q, "
                "payload: $(CANARY)}, stages: [{name: t, queue: q, state: "
                "gone}]}]\n",
        4, 25, "needs the key 'test'"},
    /* the rest */
    {TRY_HEAD "alerts: [{name: o, webhook: {url: h}}]\n", 3, 35,
        "must be a URL"},
    {TRY_HEAD "alerts: [{name: o, stderr: {a: b}}]\n", 3, 29, "has no keys"},
    {TRY_HEAD "supervisor: {exitOnTerm: 7}\n", 3, 26, "0 or 143"},
    {TRY_HEAD "supervisor: {grace: soon}\n", 3, 21, "must be a duration"},
    {TRY_HEAD "waivers: [{id: RV1, because: b, owner: o, expires: "
              "2026-12-31}]\n",
        3, 16, "a finding's id"},
    {TRY_HEAD "waivers: [{id: RV103, because: b, owner: o, expires: "
              "2026-02-31}]\n",
        3, 54, "must be a date"},
};

static void
each_error_has_its_place_and_says_what_is_wrong(void **state)
{
	size_t failures = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
		const struct wrong *wrong = &wrongs[i];
		struct try try;
		try_begin(&try);
		try_load(&try, wrong->text, NULL);
		const struct manifest_error *error =
		    try.errors.count == 0 ? NULL : &try.errors.errors[0];
		if (try.declared != NULL || try.errors.count != 1 ||
		    error->place.line != wrong->line ||
		    error->place.column != wrong->column ||
		    strstr(error->text, wrong->says) == NULL) {
			failures++;
			print_error("--- expected %d:%d: …%s\n%s", wrong->line,
			    wrong->column, wrong->says, wrong->text);
			for (size_t j = 0; j < try.errors.count; j++)
				print_error("got %d:%d: %s\n",
				    try.errors.errors[j].place.line,
				    try.errors.errors[j].place.column,
				    try.errors.errors[j].text);
		}
		try_end(&try);
	}
	assert_int_equal(failures, 0);
}

static void
all_errors_come_in_one_run_in_order(void **state)
{
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    "apiVersion: reeve/v2\n"
	    "nam: a\n"
	    "workers:\n"
	    "- name: w\n"
	    "  command: [/bin/w]\n"
	    "  replicas: 2x\n"
	    "  consumes: [{queue: jbos}]\n"
	    "queues:\n"
	    "- {name: jobs, kind: redis, url: redis://h, lst: l}\n",
	    NULL);
	static const int lines[] = {1, 1, 2, 6, 7, 9, 9};
	assert_null(try.declared);
	assert_int_equal(try.errors.count, ARRAY_LEN(lines));
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_int_equal(try.errors.errors[i].place.line, lines[i]);
	assert_int_equal(try.err.kind, ERR_INPUT);
	assert_non_null(strstr(try.err.text, "7 errors in"));
	try_end(&try);
}

static void
a_wrong_value_that_may_be_secret_is_not_quoted(void **state)
{
	static const char *const texts[] = {TRY_HEAD
	    "env: [{name: A, value: 31337}]\n",
	    TRY_HEAD "alerts: [{name: o, slack: {url: hook31337}}]\n",
	    TRY_HEAD "queues: [{name: q, url: \"redis://:31337@h/0?x=l\"}]\n",
	    TRY_HEAD
	    "queues: [{name: q, url: \"redis://:31337@h/0/1?list=l\"}]\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct try try;
		try_begin(&try);
		try_load(&try, texts[i], NULL);
		assert_int_equal(try.errors.count, 1);
		assert_null(strstr(try.errors.errors[0].text, "31337"));
		try_end(&try);
	}
}

/* --- files that are no manifest at all --- */

static void
refused_by(const char *path, const char *says)
{
	struct manifest_errors errors;
	struct declared *declared = NULL;
	struct err err = ERR_INIT;
	struct arena arena;

	arena_init(&arena, TRY_ARENA_MAX);
	assert_int_equal(
	    declared_load(path, NULL, &arena, NULL, &declared, &errors, &err),
	    -1);
	assert_int_equal(errors.count, 0);
	assert_non_null(strstr(err.text, says));
	arena_fini(&arena);
}

static void
what_is_no_file_to_read_is_refused_at_once(void **state)
{
	struct try try;
	char path[128];

	(void)state;
	try_begin(&try);
	refused_by(try.dir, "is a directory");
	refused_by("/dev/zero", "not a regular file");
	(void)snprintf(path, sizeof(path), "%s/secret", try.dir);
	refused_by(path, "No such file");
	assert_int_equal(mkfifo(path, 0600), 0);
	refused_by(path, "not a regular file");
	assert_int_equal(unlink(path), 0);
	try_file(&try, "secret", "", 0);
	assert_int_equal(truncate(path, 100000000), 0);
	refused_by(path, "at most 1048576 are read");
	try_end(&try);
}

/* Text that would cost memory or time without limits: one error each, and
 * little memory. */
static void
bombs_are_refused_within_little_memory(void **state)
{
	static const struct {
		const char *head, *unit;
		size_t times;
		const char *says;
	} bombs[] = {
	    {"a: ", "[", 10000, "nested deeper than 64 levels"},
	    {"", "- ", 10000, "nested deeper than 64 levels"},
	    {"", "{a: ", 10000, "nested deeper than 64 levels"},
	    {"a: [", "x,", 500000, "more than 100000 values"},
	    {"", "? ", 10000, "a key must be a single word"},
	    {"a: &a [l,o,l]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", "", 1, "anchors"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bombs); i++) {
		struct buffer text;
		struct try try;
		buffer_init(&text, 2000000);
		buffer_text(&text, bombs[i].head);
		for (size_t j = 0; j < bombs[i].times; j++)
			buffer_text(&text, bombs[i].unit);
		try_begin(&try);
		try_load(&try, text.data, NULL);
		assert_int_equal(try.errors.count, 1);
		assert_non_null(
		    strstr(try.errors.errors[0].text, bombs[i].says));
		assert_true(try.arena.used_bytes < 65536);
		try_end(&try);
		buffer_fini(&text);
	}
}

static void
variables_that_double_each_other_are_refused(void **state)
{
	struct buffer text;
	struct try try;

	(void)state;
	buffer_init(&text, 1000000);
	buffer_text(&text, TRY_HEAD "env:\n- {name: A0, value: aaaaaaaa}\n");
	for (int i = 1; i < 64; i++)
		buffer_format(&text, "- {name: A%d, value: \"$(A%d)$(A%d)\"}\n",
		    i, i - 1, i - 1);
	try_begin(&try);
	try_load(&try, text.data, NULL);
	assert_null(try.declared);
	assert_non_null(
	    strstr(try.errors.errors[0].text, "longer than 131072 bytes"));
	assert_true(try.arena.used_bytes < 4000000);
	try_end(&try);
	buffer_fini(&text);
}

static void
many_errors_are_cut_with_their_number(void **state)
{
	struct buffer text;
	struct try try;

	(void)state;
	buffer_init(&text, 1000000);
	buffer_text(&text, TRY_HEAD);
	for (int i = 0; i < 600; i++)
		buffer_format(&text, "k%d: v\n", i);
	try_begin(&try);
	try_load(&try, text.data, NULL);
	assert_int_equal(try.errors.count, 501);
	assert_string_equal(
	    try.errors.errors[500].text, "100 more errors are not shown");
	try_end(&try);
	buffer_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_error_has_its_place_and_says_what_is_wrong),
	    cmocka_unit_test(all_errors_come_in_one_run_in_order),
	    cmocka_unit_test(a_wrong_value_that_may_be_secret_is_not_quoted),
	    cmocka_unit_test(what_is_no_file_to_read_is_refused_at_once),
	    cmocka_unit_test(bombs_are_refused_within_little_memory),
	    cmocka_unit_test(variables_that_double_each_other_are_refused),
	    cmocka_unit_test(many_errors_are_cut_with_their_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
