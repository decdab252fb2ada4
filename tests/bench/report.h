/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_TESTS_BENCH_REPORT_H
#define REEVE_TESTS_BENCH_REPORT_H

#include <stdint.h>

/* What a worker writes into the driver's named pipe when it starts. */
struct bench_report {
	int64_t pid;     /* in the worker's own namespace */
	int64_t ns;      /* CLOCK_MONOTONIC */
	int64_t born_ns; /* when it was cloned; 0: not asked for */
};

#endif
