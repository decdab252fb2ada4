/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_PROMETHEUS_H
#define REEVE_PROBES_PROMETHEUS_H

#include "base/base.h"
#include "base/err.h"

/*
 * One metric out of an exposition in Prometheus' text format (0.0.4; what
 * OpenMetrics adds is read past). Foreign bytes: a line that is none is an
 * error with its number, never a zero.
 */
struct prometheus_sample {
	double value;  /* of all series that match, added up */
	size_t series; /* how many match; 0: there is none */
	bool gauge;    /* its TYPE says that it falls as well */
};

/* `wanted` is a name, with labels that must be there where needed:
 * `jobs_total{queue="a"}`. Other labels may have any value. ERR_INPUT where
 * `wanted` or `text` isn't in the format. */
int prometheus_find(const char *text, size_t len, const char *wanted,
    struct prometheus_sample *ret, struct err *err) MUST_CHECK;

#endif
