/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/operator/files.h"

/* What of a worker lies on disk, and when that counts as another. */
enum {
	PATH_SIZE = 512
};

static char folder[] = "/tmp/test_operator_files.XXXXXX";
static struct files files;

static int
setup(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	static const char *const made[] = {"program", "next", "tool", "fifo",
	    "script.py", "bin/interpreter", "bin", ""};
	char path[PATH_SIZE];

	(void)state;
	files_fini(&files);
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, made[i]);
		(void)remove(path);
	}
	return 0;
}

static const char *
in_folder(const char *name)
{
	static char paths[4][PATH_SIZE];
	static unsigned turn;
	char *path = paths[turn++ % ARRAY_LEN(paths)];

	(void)snprintf(path, PATH_SIZE, "%s/%s", folder, name);
	return path;
}

static void
write_file(const char *name, const char *bytes)
{
	int fd = open(
	    in_folder(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_int_not_equal(fd, -1);
	assert_int_equal(fd_write_all(fd, bytes, strlen(bytes), NULL), 0);
	fd_close(&fd);
}

static struct file_identity
look(const char *name)
{
	return *files_look(&files, in_folder(name), INT64_MAX);
}

static void
other_bytes_differ_and_equal_ones_do_not_however_they_came(void **state)
{
	(void)state;
	write_file("program", "one");
	struct file_identity then = look("program");
	assert_true(then.known);
	assert_int_equal(then.size, 3);
	assert_int_equal(then.path, files_name(in_folder("program")));

	/* installed anew: another inode */
	write_file("next", "one");
	assert_int_equal(rename(in_folder("next"), in_folder("program")), 0);
	struct file_identity now = look("program");
	assert_int_not_equal(now.inode, then.inode);
	assert_false(files_differ(&then, &now));
	/* touched */
	struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	assert_int_equal(
	    utimensat(AT_FDCWD, in_folder("program"), times, 0), 0);
	now = look("program");
	assert_int_equal(now.modified_ns, 1000000000);
	assert_false(files_differ(&then, &now));
	/* as long as before, and as old: its inode has changed since, once the
	 * kernel's clock of files has gone on (every 1 to 10 ms) */
	struct stat st;
	do {
		write_file("program", "two");
		assert_int_equal(
		    utimensat(AT_FDCWD, in_folder("program"), times, 0), 0);
		assert_int_equal(stat(in_folder("program"), &st), 0);
	} while (
	    (int64_t)st.st_ctim.tv_sec * 1000 + st.st_ctim.tv_nsec / 1000000 ==
	    now.changed_ms);
	now = look("program");
	assert_true(files_differ(&then, &now));
}

static void
what_was_looked_at_since_is_not_again(void **state)
{
	(void)state;
	write_file("tool", "one");
	int64_t before_ms = clock_ms();
	struct file_identity then =
	    *files_look(&files, in_folder("tool"), before_ms);
	write_file("tool", "more than that");
	struct file_identity now =
	    *files_look(&files, in_folder("tool"), before_ms);
	assert_false(files_differ(&then, &now));
	now = *files_look(&files, in_folder("tool"), INT64_MAX);
	assert_true(files_differ(&then, &now));
}

static void
what_is_not_there_or_no_file_is_not_known_and_differs_from_nothing(void **state)
{
	(void)state;
	write_file("next", "one");
	struct file_identity then = look("next");
	assert_false(files_gone(&then, in_folder("next")));
	assert_int_equal(unlink(in_folder("next")), 0);
	struct file_identity now = look("next");
	assert_false(now.known);
	assert_false(files_differ(&then, &now));
	assert_true(files_gone(&then, in_folder("next")));
	/* that never was there isn't gone */
	assert_false(files_gone(&now, in_folder("next")));
	/* nobody waits for a pipe's other end */
	assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
	assert_false(look("fifo").known);
	assert_false(look("").known); /* a folder */
}

static int64_t since_ms = INT64_MAX;

static size_t
program(const char *const *argv, const char *const *envp,
    char paths[FILES_OF_PROGRAM][FILES_PATH_MAX])
{
	const struct worker_spec spec = {.executable = in_folder("program"),
	    .argv = argv,
	    .envp = envp,
	    .cwd = folder};

	return files_of_program(&files, &spec, since_ms, paths);
}

static void
a_program_its_interpreter_and_its_script_are_found(void **state)
{
	char paths[FILES_OF_PROGRAM][FILES_PATH_MAX];
	char path[PATH_SIZE];
	const char *const none[] = {NULL};
	const char *const bare[] = {"program", NULL};
	const char *const script[] = {"program", "-u", "script.py", NULL};
	const char *const other[] = {"program", "no-such.py", NULL};

	(void)state;
	(void)snprintf(path, sizeof(path), "PATH=/no/such:%s/bin", folder);
	const char *const envp[] = {path, NULL};
	assert_int_equal(mkdir(in_folder("bin"), 0755), 0);
	write_file("bin/interpreter", "an interpreter");
	write_file("script.py", "a script");

	write_file("program", "\177ELF");
	assert_int_equal(program(bare, none, paths), 1);
	assert_string_equal(paths[0], in_folder("program"));
	/* an option isn't a script, nor is what isn't there */
	assert_int_equal(program(script, none, paths), 2);
	assert_string_equal(paths[1], in_folder("script.py"));
	assert_int_equal(program(other, none, paths), 1);

	write_file("program", "#! /bin/sh -e\n");
	assert_int_equal(program(script, envp, paths), 3);
	assert_string_equal(paths[1], "/bin/sh");
	assert_string_equal(paths[2], in_folder("script.py"));
	/* env(1) looks along PATH; where that fails, it is env itself */
	write_file("program", "#!/usr/bin/env interpreter\n");
	assert_int_equal(program(bare, envp, paths), 2);
	assert_string_equal(paths[1], in_folder("bin/interpreter"));
	assert_int_equal(program(bare, none, paths), 2);
	assert_string_equal(paths[1], "/usr/bin/env");
	/* what was looked at since is not again */
	since_ms = INT64_MIN;
	assert_int_equal(unlink(in_folder("script.py")), 0);
	write_file("program", "#!relative\n");
	assert_int_equal(program(script, envp, paths), 3);
	since_ms = INT64_MAX;
	assert_int_equal(program(script, envp, paths), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
	        other_bytes_differ_and_equal_ones_do_not_however_they_came),
	    cmocka_unit_test(what_was_looked_at_since_is_not_again),
	    cmocka_unit_test(
	        what_is_not_there_or_no_file_is_not_known_and_differs_from_nothing),
	    cmocka_unit_test(
	        a_program_its_interpreter_and_its_script_are_found),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
