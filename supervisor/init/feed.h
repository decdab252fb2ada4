/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_FEED_H
#define REEVE_SUPERVISOR_INIT_FEED_H

#include <sys/types.h>

#include "base/base.h"
#include "supervisor/init/stream.h"

/*
 * What was read of a stream becomes lines, which are counted, kept, limited and
 * sent to its outlet, in this order: wherever the logger is killed, its
 * successor knows from the counts what was held, and where in a line the rest
 * of the pipe begins.
 */

/* It is new: whether its pipe begins within a line is looked up in the counts.
 */
void feed_attached(struct stream *stream);
/* Where the next read goes, and how much it may be. The counts are not exact
 * from here until feed() has been told what came. */
char *feed_begin(const struct stream *stream, size_t *ret_most);
/* What the read returned: so many bytes are there, or nothing came. */
void feed(struct stream *stream, ssize_t n);
/* Nothing comes any more: a last line without its end is sent too. */
void feed_end(struct stream *stream);

#endif
