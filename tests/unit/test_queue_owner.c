/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "probes/queue/owner.h"

static char life[OWNER_LIFE_SIZE];
static char owner[256];

/* "w/0:" and our life, with `from` replaced by `to` at its last place. */
static const char *
changed(const char *from, const char *to)
{
	char copy[OWNER_LIFE_SIZE];
	char *at = NULL;

	owner_life(life);
	(void)snprintf(copy, sizeof(copy), "%s", life);
	for (char *next = strstr(copy, from); next != NULL;
	     next = strstr(next + 1, from))
		at = next;
	assert_non_null(at);
	(void)snprintf(owner, sizeof(owner), "w/0:%.*s%s%s", (int)(at - copy),
	    copy, to, at + strlen(from));
	return owner;
}

static void
a_life_is_the_process_s_own(void **state)
{
	char again[OWNER_LIFE_SIZE];
	char pid[32];

	(void)state;
	owner_life(life);
	owner_life(again);
	assert_string_equal(life, again);
	(void)snprintf(pid, sizeof(pid), ".%x.", (unsigned)getpid());
	assert_non_null(strstr(life, pid));
	(void)snprintf(owner, sizeof(owner), "w/0:%s", life);
	assert_int_equal(owner_state(owner), OWNER_LIVES);
}

static void
another_start_of_the_same_pid_is_over(void **state)
{
	(void)state;
	owner_life(life);
	(void)snprintf(owner, sizeof(owner), "w/0:%s0", life);
	assert_int_equal(owner_state(owner), OWNER_DEAD);
}

static void
who_was_reaped_is_dead_and_a_zombie_is_not_known(void **state)
{
	int pipe_fds[2];
	char text[OWNER_LIFE_SIZE] = "";
	siginfo_t info;

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		owner_life(text);
		_exit(write(pipe_fds[1], text, sizeof(text)) ==
		              (ssize_t)sizeof(text)
		          ? 0
		          : 1);
	}
	assert_true(pid > 0);
	assert_int_equal(
	    read(pipe_fds[0], text, sizeof(text)), (ssize_t)sizeof(text));
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	(void)snprintf(owner, sizeof(owner), "w/0:%s", text);
	assert_int_equal(owner_state(owner), OWNER_UNKNOWN);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(owner_state(owner), OWNER_DEAD);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
}

static void
what_is_not_of_this_machine_is_not_known(void **state)
{
	static const char *const others[] = {"", ":", "w/0",
	    "w/0:", "w/0:0123456789abcdef.1.1", "w/0:3f2a9c11",
	    "w/0:0123456789abcdef", "host#17:3f2a9c11", "::::", "w/0:...",
	    "w/0:\x01\xff"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(owner_state(others[i]), OWNER_UNKNOWN);
}

static void
what_is_no_life_is_not_known(void **state)
{
	static const char *const ends[] = {"", ".", ".1", ".1.", ".x.1", ".1.x",
	    ".1.1.1", ".-1.1", ".0.1", ".ffffffffff.1", ".1.ffffffffffffffffff",
	    ". 1.1x"};

	(void)state;
	owner_life(life);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		(void)snprintf(owner, sizeof(owner), "w/0:%.*s%s",
		    (int)strcspn(life, "."), life, ends[i]);
		assert_int_equal(owner_state(owner), OWNER_UNKNOWN);
	}
	/* the machine's name must be there whole */
	assert_int_equal(owner_state(changed(".", "..")), OWNER_UNKNOWN);
}

static void
a_replica_is_matched_by_its_whole_name(void **state)
{
	static const char *const workers[] = {"fileprocess", "w"};
	struct arena arena;

	(void)state;
	arena_init(&arena, 4096);
	assert_true(owner_is_of("w/0:x", workers, 2));
	assert_true(owner_is_of("fileprocess/12:x", workers, 2));
	assert_false(owner_is_of("file/0:x", workers, 2));
	assert_false(owner_is_of("fileprocessor/0:x", workers, 2));
	assert_false(owner_is_of("host#1:x", workers, 2));
	assert_false(owner_is_of("w", workers, 2));
	assert_string_equal(owner_replica(&arena, "w/0:x"), "w/0");
	assert_string_equal(owner_replica(&arena, "host#1:x"), "");
	assert_string_equal(owner_replica(&arena, "w/0"), "");
	arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_life_is_the_process_s_own),
	    cmocka_unit_test(another_start_of_the_same_pid_is_over),
	    cmocka_unit_test(who_was_reaped_is_dead_and_a_zombie_is_not_known),
	    cmocka_unit_test(what_is_not_of_this_machine_is_not_known),
	    cmocka_unit_test(what_is_no_life_is_not_known),
	    cmocka_unit_test(a_replica_is_matched_by_its_whole_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
