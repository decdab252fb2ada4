/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_OPENMETRICS_H
#define REEVE_SUPERVISOR_OPERATOR_OPENMETRICS_H

#include "base/base.h"
#include "base/buffer.h"

/*
 * Metrics as text, in the two forms that are asked for: OpenMetrics 1.0
 * (github.com/OpenObservability/OpenMetrics) and Prometheus' own 0.0.4. They
 * differ in where `_total` and `_info` stand, in the types that exist, and in
 * `# EOF`.
 *
 * A family is begun and then gets its samples. One without samples leaves no
 * trace: what isn't known is absent.
 */
enum openmetrics_type {
	OPENMETRICS_GAUGE,
	OPENMETRICS_COUNTER,
	OPENMETRICS_SUMMARY,
	OPENMETRICS_INFO,
};

struct openmetrics {
	struct buffer *out;
	bool classic; /* 0.0.4 */
	/* the family at hand */
	enum openmetrics_type type;
	const char *name, *unit, *help;
	bool said; /* it has a sample */
};

struct openmetrics_label {
	const char *name; /* NULL ends a list */
	const char *value;
};

#define OPENMETRICS_CONTENT \
	"application/openmetrics-text; version=1.0.0; charset=utf-8"
#define OPENMETRICS_CLASSIC_CONTENT "text/plain; version=0.0.4; charset=utf-8"

void openmetrics_init(
    struct openmetrics *metrics, struct buffer *out, bool classic);
/* `name` without `_total` and `_info`; `unit` is its last word, or NULL. The
 * texts are borrowed until the next family. */
void openmetrics_family(struct openmetrics *metrics, enum openmetrics_type type,
    const char *name, const char *unit, const char *help);
/* `labels` may be NULL. A counter's is a number that never falls. */
void openmetrics_number(struct openmetrics *metrics, int64_t value,
    const struct openmetrics_label *labels);
/* Thousandths: milliseconds of a family in seconds. */
void openmetrics_milli(struct openmetrics *metrics, int64_t thousandths,
    const struct openmetrics_label *labels);
void openmetrics_summary(
    struct openmetrics *metrics, uint64_t count, uint64_t sum_us);
void openmetrics_end(struct openmetrics *metrics);

/* Which form an Accept header asks for: true for OpenMetrics. NULL, and what
 * likes both the same, is the classic one, which everything reads. */
bool openmetrics_accepted(const char *accept);

#endif
