/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_SUPERVISOR_H
#define REEVE_PROBES_SUPERVISOR_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "probes/observed.h"

/*
 * The running supervisor's own word on its workers (reeve.status/1). Kind
 * "supervisor" {url}, an http URL or a socket's path, or
 * {places:[{operator,init}]}: where it would listen on this host, in order
 * ("@…": abstract), both sockets of each place. Nobody at any of them is
 * FAILED, with where was looked; one that doesn't answer, or an init without
 * its operator, is UNKNOWN.
 */

/* Strict in types; keys that are unknown are somebody's newer version. The
 * texts are copies in `arena`. */
int supervisor_parse(const char *text, size_t len, struct arena *arena,
    struct observed_supervisor *ret, struct err *err) MUST_CHECK;

#endif
