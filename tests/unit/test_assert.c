/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/finding.h"
#include "base/jsonw.h"

static void
hook(const char *what, const char *file, int line)
{
	_exit(what != NULL && file != NULL && line > 0 ? 7 : 8);
}

enum bug {
	BUG_ASSERT,
	BUG_NESTING,
	BUG_DEPTH,
	BUG_ENUM,
	BUG_HOOK
};

static void
commit(enum bug bug)
{
	struct buffer out;
	struct jsonw json;

	buffer_init(&out, 1000);
	jsonw_init(&json, &out, false);
	switch (bug) {
	case BUG_ASSERT:
		assert(out.len == 1);
		break;
	case BUG_NESTING:
		jsonw_end(&json);
		break;
	case BUG_DEPTH:
		for (int i = 0; i <= JSONW_DEPTH_MAX; i++)
			jsonw_array(&json, NULL);
		break;
	case BUG_ENUM:
		(void)result_name((enum result)99);
		break;
	case BUG_HOOK:
		assert_hook = hook;
		assert(out.len == 1);
		break;
	}
}

static int
status_of(enum bug bug)
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(STDERR_FILENO);
		commit(bug);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
our_own_bugs_abort_the_process(void **state)
{
	(void)state;
	for (int bug = BUG_ASSERT; bug < BUG_HOOK; bug++) {
		int status = status_of((enum bug)bug);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
	}
}

static void
the_hook_is_asked_first(void **state)
{
	(void)state;
	int status = status_of(BUG_HOOK);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(our_own_bugs_abort_the_process),
	    cmocka_unit_test(the_hook_is_asked_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
