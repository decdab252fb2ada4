/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_TIMESTAMP_H
#define REEVE_PROBES_QUEUE_TIMESTAMP_H

#include "base/base.h"

/*
 * Times as payloads write them, to unix ms. Text: RFC 3339, with 'T' or a
 * space, a fraction or none, 'Z', an offset, or nothing (then UTC).
 */
int timestamp_parse(const char *text, int64_t *ret_ms);
/* Seconds up to 1e11 (year 5138), milliseconds above; -1 for what is neither.
 */
int64_t timestamp_of_number(double number);

#endif
