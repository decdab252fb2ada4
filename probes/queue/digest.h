/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_DIGEST_H
#define REEVE_PROBES_QUEUE_DIGEST_H

#include "base/base.h"

/*
 * The name of a job that has none of its own: its payload's SHA-1 in hex, as
 * redis.sha1hex writes it. Equal payloads have the same, so it stands for as
 * many jobs as there are of it.
 */
enum {
	QUEUE_DIGEST_SIZE = 41
};

void queue_digest(const void *bytes, size_t len, char dst[QUEUE_DIGEST_SIZE]);

#endif
