/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/exitcode.h"

static void
memory_is_zeroed_and_aligned_for_any_type(void **state)
{
	(void)state;
	struct arena arena;

	arena_init(&arena, 1 << 20);
	for (size_t size = 0; size < 100; size++) {
		char *piece = arena_alloc(&arena, size);
		assert_int_equal((uintptr_t)piece % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(piece[i], 0);
		memset(piece, 0xFF, size);
	}
	arena_fini(&arena);
}

static void
pieces_larger_than_a_block_are_given(void **state)
{
	(void)state;
	struct arena arena;

	arena_init(&arena, 10 << 20);
	char *before = arena_text(&arena, "before");
	char *large = arena_alloc(&arena, 1 << 20);
	memset(large, 'x', 1 << 20);
	char *after = arena_text(&arena, "after");
	assert_string_equal(before, "before");
	assert_string_equal(after, "after");
	arena_fini(&arena);
}

static void
texts_are_copied_whole(void **state)
{
	(void)state;
	struct arena arena;
	char text[3] = "ab";

	arena_init(&arena, 1 << 20);
	char *copy = arena_text(&arena, text);
	text[0] = 'x';
	assert_string_equal(copy, "ab");
	assert_null(arena_text(&arena, NULL));
	char *bytes = arena_bytes(&arena, "a\0b", 3);
	assert_memory_equal(bytes, "a\0b", 4);
	assert_string_equal(arena_bytes(&arena, NULL, 0), "");
	assert_string_equal(arena_format(&arena, "%s-%d", "job", 17), "job-17");
	arena_fini(&arena);
}

static void
it_can_be_used_again_after_fini(void **state)
{
	(void)state;
	struct arena arena;

	arena_init(&arena, 1000);
	(void)arena_alloc(&arena, 500);
	arena_fini(&arena);
	arena_init(&arena, 1000);
	(void)arena_alloc(&arena, 900);
	arena_wipe(&arena);
	assert_null(arena.last);
	assert_int_equal(arena.used_bytes, 0);
}

/* The exit status of a child that allocates so much. */
static int
status_after(size_t max, size_t count, size_t size)
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct arena arena;

		(void)close(STDERR_FILENO);
		arena_init(&arena, max);
		(void)arena_array(&arena, count, size);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
passing_the_maximum_ends_the_process_with_70(void **state)
{
	(void)state;
	assert_int_equal(status_after(1024, 1, 1024), 0);
	assert_int_equal(status_after(1024, 1, 1025), EXIT_BUG);
}

static void
a_product_that_overflows_ends_the_process_with_70(void **state)
{
	(void)state;
	assert_int_equal(status_after(SIZE_MAX, SIZE_MAX / 2, 3), EXIT_BUG);
	assert_int_equal(status_after(SIZE_MAX, SIZE_MAX, 1), EXIT_BUG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(memory_is_zeroed_and_aligned_for_any_type),
	    cmocka_unit_test(pieces_larger_than_a_block_are_given),
	    cmocka_unit_test(texts_are_copied_whole),
	    cmocka_unit_test(it_can_be_used_again_after_fini),
	    cmocka_unit_test(passing_the_maximum_ends_the_process_with_70),
	    cmocka_unit_test(a_product_that_overflows_ends_the_process_with_70),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
