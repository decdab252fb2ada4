/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_PROBE_H
#define REEVE_SUPERVISOR_INIT_PROBE_H

#include "base/base.h"
#include "base/err.h"
#include "worker/spec.h"

/*
 * A readiness, liveness or startup probe is a short-lived child of the init:
 *
 *     reeve --probe http HOST PORT PATH TIMEOUT_MS [HEADER…]
 *     reeve --probe tcp  HOST PORT TIMEOUT_MS
 *
 * An exec probe is the declared command itself, started directly. HOST is a
 * numeric IPv4 or IPv6 address or `localhost`; names are not looked up, because
 * a resolver can block. HTTP is one GET; as in Kubernetes a status of 200..399
 * is success, and no redirect is followed. HEADER is "Name: value"; a Host or
 * User-Agent among them replaces ours.
 *
 * The child ends by itself after TIMEOUT_MS; the init kills it a little later
 * (a stopped child can't keep time). It exits with a probe_exit and writes one
 * line on stderr that says why it failed; nothing when it succeeded.
 */
enum probe_exit {
	PROBE_EXIT_OK = 0,
	PROBE_EXIT_FAILED = 1,
	PROBE_EXIT_USAGE = 64, /* our own bug, or a plan that is wrong */
};

enum {
	PROBE_ARGV_MAX = 64, /* with the NULL at its end */
	PROBE_REASON_MAX = 256,
};

/* What to execute for one probe. `argv` borrows from the spec and from the
 * fields below: the struct must not move while `argv` is in use. */
struct probe_command {
	/* false: argv[0] is the user's own executable, looked up with the PATH
	 * of the worker's environment; true: execute our own image */
	bool self;
	const char *argv[PROBE_ARGV_MAX];
	char port[8];
	char timeout[24];
};

/* Fills the command for replica `replica`. ERR_INPUT for a kind that is
 * PROBE_NONE or a port above 65535, ERR_CAPACITY for too many headers or
 * arguments. */
int probe_command(const struct probe_spec *spec, uint32_t replica,
    struct probe_command *ret, struct err *err) MUST_CHECK;

/* The child: `argv` starts with "http" or "tcp". Returns the exit code. */
int probe_main(int argc, char *argv[]);

#endif
