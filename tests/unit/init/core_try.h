/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_TESTS_UNIT_INIT_CORE_TRY_H
#define REEVE_TESTS_UNIT_INIT_CORE_TRY_H

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/init/core.h"
#include "supervisor/init/table.h"

/* The init's tables for a test, and nothing that runs; core_try_free after. */
static inline struct core *
core_try(uint32_t workers)
{
	struct err err = ERR_INIT;
	struct core *core = calloc(1, sizeof(*core));

	assert_non_null(core);
	core_reset(core, workers);
	assert_int_equal(table_map(core, &err), 0);
	return core;
}

static inline void
core_try_free(struct core *core)
{
	(void)close(core->state_fd);
	loop_fini(&core->loop);
	free(core);
}

#endif
