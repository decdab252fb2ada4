/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_OBSERVATION_WRITE_H
#define REEVE_PROBES_OBSERVATION_WRITE_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "base/jsonw.h"
#include "base/secret.h"
#include "probes/observed.h"

/*
 * The one way to write verdict lines (reeve.observation/1, reeve.smoke/1);
 * observed_add_line reads each of them back. One line, ended by a newline.
 */
void observation_write(
    struct buffer *out, const struct observation *observation);
void observed_smoke_write(
    struct buffer *out, const struct observed_smoke *smoke);

/* Passes every text that may hold somebody else's words through the redactor,
 * in place; copies live in `arena`. Names of queues stay. */
void observation_redact(struct observation *observation,
    const struct redactor *redactor, struct arena *arena);

#endif
