/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_TESTS_UNIT_ARENA_TRY_H
#define REEVE_TESTS_UNIT_ARENA_TRY_H

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/arena.h"

/* The arena of a unit test that needs no more: set up and torn down by begin
 * and end, once a group or once a test. */
static struct arena arena;

static inline int
begin(void **state)
{
	(void)state;
	arena_init(&arena, 4 << 20);
	return 0;
}

static inline int
end(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

#endif
