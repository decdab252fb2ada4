/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/secret.h"
#include "manifests/dotenv.h"
#include "tests/unit/manifest_try.h"

/* --- NAME=value lines --- */

static void
lines_are_read_by_the_stated_rules(void **state)
{
	static const char text[] = "\xEF\xBB\xBF# a comment\n"
	                           "\n"
	                           "BARE=value with  blanks  \n"
	                           "  export EXPORTED=yes\n"
	                           "COMMENT=value # not this\n"
	                           "HASH=a#b\n"
	                           "EMPTY=\n"
	                           "SPACED = x\r\n"
	                           "SINGLE='a $(B) \\n # \"'\n"
	                           "DOUBLE=\"a\\n\\t\\\"\\\\\\$\\x\" # after\n"
	                           "LINES='one\ntwo'\n"
	                           "EQUALS=a=b=c\n"
	                           "URL=postgresql://u:p@h/d?a=b\n"
	                           "AGAIN=first\n"
	                           "AGAIN=second\n"
	                           "LAST=no newline";
	static const char *const expected[][2] = {
	    {"BARE", "value with  blanks"},
	    {"EXPORTED", "yes"},
	    {"COMMENT", "value"},
	    {"HASH", "a#b"},
	    {"EMPTY", ""},
	    {"SPACED", "x"},
	    {"SINGLE", "a $(B) \\n # \""},
	    {"DOUBLE", "a\n\t\"\\$\\x"},
	    {"LINES", "one\ntwo"},
	    {"EQUALS", "a=b=c"},
	    {"URL", "postgresql://u:p@h/d?a=b"},
	    {"AGAIN", "second"},
	    {"LAST", "no newline"},
	};
	struct dotenv_entry *entries = NULL;
	struct arena arena;
	struct err err = ERR_INIT;
	size_t count = 0;

	(void)state;
	arena_init(&arena, TRY_ARENA_MAX);
	assert_int_equal(dotenv_parse(text, sizeof(text) - 1, &arena, &entries,
	                     &count, &err),
	    0);
	assert_int_equal(count, ARRAY_LEN(expected));
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(entries[i].name, expected[i][0]);
		assert_string_equal(entries[i].value, expected[i][1]);
		assert_int_equal(entries[i].len, strlen(expected[i][1]));
	}
	arena_fini(&arena);
}

static void
a_line_that_is_none_spoils_the_file_with_its_number(void **state)
{
	static const struct {
		const char *text, *says;
	} wrongs[] = {
	    {"A=1\nsecret-text\n", "line 2 is not NAME=value"},
	    {"=x\n", "line 1 is not"},
	    {"A B=x\n", "line 1 is not"},
	    {"A=1\n\nB='x\ny\n", "line 3: the quote is never closed"},
	    {"A='x' y\n", "line 1: something stands after"},
	};
	struct arena arena;

	(void)state;
	arena_init(&arena, TRY_ARENA_MAX);
	for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
		struct dotenv_entry *entries = NULL;
		struct err err = ERR_INIT;
		size_t count = 7;
		assert_int_equal(
		    dotenv_parse(wrongs[i].text, strlen(wrongs[i].text), &arena,
		        &entries, &count, &err),
		    -1);
		assert_int_equal(count, 7);
		assert_non_null(strstr(err.text, wrongs[i].says));
		assert_null(strstr(err.text, "secret-text"));
	}
	arena_fini(&arena);
}

/* --- directories --- */

static void
make_dir(const struct try *try, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", try->dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void
link_to(const struct try *try, const char *target, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", try->dir, name);
	assert_int_equal(symlink(target, path), 0);
}

#define DIR_TEXT                                                             \
	TRY_HEAD "secrets: [{name: s, dir: secret}]\n"                       \
	         "workers: [{name: w, command: [/w], envFrom: [{secretRef: " \
	         "{name: s}}]}]\n"

static void
a_kubernetes_mount_is_read_behind_its_data_link(void **state)
{
	struct try try;

	(void)state;
	try_begin(&try);
	make_dir(&try, "secret");
	make_dir(&try, "secret/sub"); /* ..2026_11_22, as the kubelet names */
	try_file(&try, "secret/sub/A", "new", 3);
	link_to(&try, "sub", "secret/..data");
	/* What a rotation leaves for a moment: links to what is gone. */
	link_to(&try, "..gone/A", "secret/A");
	try_load(&try, DIR_TEXT, NULL);
	try_good(&try);
	const struct declared_source *source = &try.declared->sources[0];
	assert_int_equal(source->nkeys, 1);
	assert_string_equal(source->keys[0], "A");
	assert_string_equal(
	    declared_env_find(&try.declared->workers[0].env, "A")->value,
	    "new");
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/secret/sub/A", try.dir);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/secret/..data", try.dir);
	assert_int_equal(unlink(path), 0);
	try_end(&try);
}

static void
what_is_no_key_is_left_out_and_what_is_broken_says_why(void **state)
{
	struct try try;

	(void)state;
	try_begin(&try);
	make_dir(&try, "secret");
	make_dir(&try, "secret/sub");
	try_file(&try, "secret/A", "a\0b", 3);
	link_to(&try, "/nonexistent", "secret/B");
	try_load(&try, DIR_TEXT, NULL);
	try_good(&try);
	const struct declared_environment *env = &try.declared->workers[0].env;
	assert_int_equal(try.declared->sources[0].nkeys, 2);
	assert_null(declared_env_find(env, "A")->value);
	assert_non_null(strstr(declared_env_find(env, "A")->why, "NUL"));
	assert_null(declared_env_find(env, "B")->value);
	assert_non_null(
	    strstr(declared_env_find(env, "B")->why, "No such file"));
	assert_null(declared_env_find(env, "sub"));
	try_end(&try);
}

static void
keys_that_are_no_names_stay_out_of_env_from(void **state)
{
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try,
	    TRY_HEAD
	    "configs: [{name: c, data: {1A: a, \"a b\": b, voyage-key: c, D: "
	    "d}}]\n"
	    "workers: [{name: w, command: [/w], inheritEnv: none, envFrom: "
	    "[{configMapRef: {name: c}, prefix: P_}, {configMapRef: {name: "
	    "c}}]}]\n",
	    NULL);
	try_good(&try);
	const struct declared_environment *env = &try.declared->workers[0].env;
	assert_int_equal(env->count, 5);
	assert_non_null(declared_env_find(env, "P_1A"));
	assert_non_null(declared_env_find(env, "voyage-key"));
	assert_int_equal(try.declared->workers[0].nimports, 2);
	assert_string_equal(try.declared->workers[0].imports[0].prefix, "P_");
	try_end(&try);
}

/* --- commands --- */

static void
command_manifest(
    struct try *try, const char *script, const struct declared_options *options)
{
	char path[256], text[512];

	try_file(try, "run.sh", script, strlen(script));
	(void)snprintf(path, sizeof(path), "%s/run.sh", try->dir);
	assert_int_equal(chmod(path, 0700), 0);
	(void)snprintf(text, sizeof(text),
	    TRY_HEAD "secrets: [{name: s, command: [/bin/sh, %s, \"$HOME\"]}]\n"
	             "workers: [{name: w, command: [/w], inheritEnv: none, "
	             "envFrom: [{secretRef: {name: s}}]}]\n",
	    path);
	try_load(try, text, options);
	try_good(try);
}

static const char *const environment[] = {"PATH=/usr/bin:/bin", NULL};

static void
a_command_prints_lines_and_sees_no_shell(void **state)
{
	const struct declared_options options = {.environ = environment};
	struct try try;

	(void)state;
	try_begin(&try);
	command_manifest(&try,
	    "#!/bin/sh\necho \"A='$1'\"\nread x || echo B=no-stdin\n",
	    &options);
	const struct declared_environment *env = &try.declared->workers[0].env;
	assert_string_equal(declared_env_find(env, "A")->value, "$HOME");
	assert_string_equal(declared_env_find(env, "B")->value, "no-stdin");
	assert_true(declared_env_find(env, "A")->secret);
	assert_string_equal(try.declared->sources[0].kind, "command");
	assert_string_equal(try.declared->sources[0].origin, "/bin/sh");
	try_end(&try);
}

static void
a_command_that_hangs_is_killed_with_its_children(void **state)
{
	const struct declared_options options = {
	    .environ = environment, .command_timeout_ms = 300};
	struct try try;
	char path[256];
	pid_t child = 0;

	(void)state;
	try_begin(&try);
	command_manifest(&try,
	    "#!/bin/sh\nsleep 1000 &\necho $! >${0%/*}/ran\nsleep 1000\n",
	    &options);
	assert_false(try.declared->sources[0].readable);
	assert_non_null(
	    strstr(try.declared->sources[0].why, "did not end within 300 ms"));
	(void)snprintf(path, sizeof(path), "%s/ran", try.dir);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	char digits[32] = "";
	assert_non_null(fgets(digits, sizeof(digits), file));
	assert_int_equal(fclose(file), 0);
	child = (pid_t)strtol(digits, NULL, 10);
	assert_true(child > 1);
	/* SIGKILL was sent to the group; a zombie may remain to be reaped by
	 * whoever is its parent now. */
	int64_t deadline_ms = clock_ms() + 10000;
	bool gone = false;
	while (!gone && clock_ms() < deadline_ms) {
		char stat[64], state_of = '?';
		(void)snprintf(stat, sizeof(stat), "/proc/%d/stat", (int)child);
		FILE *proc = fopen(stat, "r");
		if (proc != NULL) {
			if (fscanf(proc, "%*d %*s %c", &state_of) != 1)
				state_of = 'X';
			(void)fclose(proc);
		}
		gone = proc == NULL || state_of == 'Z' || state_of == 'X';
	}
	assert_true(gone);
	try_end(&try);
}

static void
what_a_failing_command_says_is_shown_without_secrets(void **state)
{
	const struct declared_options options = {.environ = environment};
	struct redactor *redactor = redactor_new();
	struct declared *declared = NULL;
	struct try try;

	(void)state;
	redactor_add(redactor, "hunter2-hunter2");
	try_begin(&try);
	command_manifest(&try,
	    "#!/bin/sh\necho 'A=half-a-secret'\n"
	    "echo 'no vault for hunter2-hunter2' >&2\nexit 3\n",
	    &options);
	assert_int_equal(try.declared->sources[0].nkeys, 0);
	assert_int_equal(declared_load(try.path, &options, &try.arena, redactor,
	                     &declared, &try.errors, &try.err),
	    0);
	assert_non_null(strstr(declared->sources[0].why, "exited with 3"));
	assert_non_null(strstr(declared->sources[0].why, "no vault for ***"));
	assert_null(strstr(declared->sources[0].why, "half"));
	redactor_free(redactor);
	try_end(&try);
}

static void
a_command_that_does_not_exist_or_may_not_run_is_said(void **state)
{
	static const char text[] =
	    TRY_HEAD "secrets: [{name: s, command: [/nonexistent/x]}]\n"
	             "env: [{name: A, valueFrom: {secretKeyRef: {name: s, "
	             "key: A}}}]\n";
	const struct declared_options none = {
	    .environ = environment, .no_commands = true};
	struct try try;

	(void)state;
	try_begin(&try);
	try_load(&try, text, NULL);
	try_good(&try);
	assert_non_null(strstr(try.declared->sources[0].why, "No such file"));
	assert_int_equal(try.declared->env.entries[0]->absence, ABSENT_SOURCE);
	try_load(&try, text, &none);
	try_good(&try);
	assert_int_equal(
	    try.declared->env.entries[0]->absence, ABSENT_UNRESOLVABLE);
	try_end(&try);
}

static void
what_prints_without_end_is_refused(void **state)
{
	const struct declared_options options = {
	    .environ = environment, .command_timeout_ms = 500};
	struct try try;

	(void)state;
	try_begin(&try);
	command_manifest(
	    &try, "#!/bin/sh\nexec yes A=aaaaaaaaaaaaaaaaaaaaaa\n", &options);
	assert_false(try.declared->sources[0].readable);
	try_end(&try);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_are_read_by_the_stated_rules),
	    cmocka_unit_test(
	        a_line_that_is_none_spoils_the_file_with_its_number),
	    cmocka_unit_test(a_kubernetes_mount_is_read_behind_its_data_link),
	    cmocka_unit_test(
	        what_is_no_key_is_left_out_and_what_is_broken_says_why),
	    cmocka_unit_test(keys_that_are_no_names_stay_out_of_env_from),
	    cmocka_unit_test(a_command_prints_lines_and_sees_no_shell),
	    cmocka_unit_test(a_command_that_hangs_is_killed_with_its_children),
	    cmocka_unit_test(
	        what_a_failing_command_says_is_shown_without_secrets),
	    cmocka_unit_test(
	        a_command_that_does_not_exist_or_may_not_run_is_said),
	    cmocka_unit_test(what_prints_without_end_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
