/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_SUPERVISOR_H
#define REEVE_PROBES_SUPERVISOR_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "probes/observed.h"

/*
 * The running supervisor's own word on its workers (reeve.status/1), read from
 * the operator's socket or a URL. Kind "supervisor" {name, status}: without
 * "status" (an http URL, or a socket's path) it is looked for where it listens
 * (decisions.md 2): $REEVE_SOCKET, /run/reeve/NAME,
 * $XDG_RUNTIME_DIR/reeve/NAME,
 * @reeve/NAME/…. No socket anywhere is FAILED, with where was looked; one that
 * doesn't answer is UNKNOWN.
 */

/* Strict in types; keys that are unknown are somebody's newer version. The
 * texts are copies in `arena`. */
int supervisor_parse(const char *text, size_t len, struct arena *arena,
    struct observed_supervisor *ret, struct err *err) MUST_CHECK;

#endif
