/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_PLOT_H
#define REEVE_SUPERVISOR_OPERATOR_PLOT_H

#include "base/base.h"
#include "base/buffer.h"

/*
 * A curve over time as inline SVG, with its scale beside it as text: what a
 * screen reader, or who sees no colours, gets is the same.
 */
struct plot {
	const char *title;     /* "Depth" */
	const char *span;      /* "1 h": what is on the left */
	const int64_t *values; /* oldest first; negative: unknown, a gap */
	size_t count;
	/* a value in words; `dst` of 32 bytes may be used */
	const char *(*words)(int64_t value, char *dst, size_t size);
};

void plot_write(struct buffer *out, const struct plot *plot);

#endif
