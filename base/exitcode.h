/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_EXITCODE_H
#define REEVE_BASE_EXITCODE_H

/* Exit codes of every command (product.md); `run` has pid1.md's policy. */
enum exit_code {
	EXIT_PASSED = 0,
	EXIT_FAILED = 1,   /* a failure at or above --fail-on */
	EXIT_WARNINGS = 2, /* only warnings, and --strict */
	EXIT_INCONCLUSIVE =
	    3,            /* a required check is unknown, or no smoke ran */
	EXIT_NOTHING = 4, /* no check ran, or nothing matched */
	EXIT_USAGE = 64,
	EXIT_DATA = 65,
	EXIT_UNREACHABLE = 69,
	EXIT_BUG = 70,
	EXIT_AGAIN = 75,
	EXIT_MANIFEST = 78,
	EXIT_DEADLINE = 124,
};

#endif
