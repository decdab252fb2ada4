/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_INSPECT_H
#define REEVE_PROBES_INSPECT_H

#include "base/base.h"
#include "base/err.h"
#include "base/secret.h"

/*
 * Workers' processes as they are now, for the operator to compare with what
 * was executed; and processes beside them that are nobody's. One request on
 * `in`, one answer on `out`, both a line of JSON:
 *
 *     {"key": "00…", "init": 1, "known": [7], "workers": [12, 13, …],
 *      "targets": [{"pid": 12, "limits": true, "env": ["NAME", …],
 *                   "peers": true}, …],
 *      "commands": [{"name": "a", "command": ["worker", …]}]}
 *     {"targets": [{"pid": 12, "uid": 1000, "gid": 1000,
 *                   "limits": {"nofile": "1024 4096", …},
 *                   "print": "00…" | null, "why": "…",
 *                   "env": {"NAME": "00…", "OTHER": null},
 *                   "peers": ["10.0.0.5:6379", …] | null}],
 *      "strangers": [{"pid": 99, "worker": "a", "command": "worker x.py"}],
 *      "scope": "…", "whole": true}
 *
 * `workers` are the processes of all workers, in any order; `targets` those of
 * them to look at, of which limits and single variables are told where they are
 * asked for. `print` is of the environment as a whole (inspect_print()), and
 * enough to know that nothing of it changed.
 * Values are told by keyed fingerprint only. Where our own rights don't reach
 * (root of a container has no CAP_SYS_PTRACE), /proc/PID/environ is read as the
 * worker's user; what can't be read is null, with the reason. `known` are
 * children of the init that are no workers. `peers`, where asked for, are the
 * other ends of the connections of a target's session; null: they can't be
 * seen. A stranger with a worker's name has
 * its program, arguments and directory, and runs under no supervisor; one
 * without is a child of the init that belongs to none of the targets.
 */
int inspect_serve(int in, int out, struct err *err) MUST_CHECK;

/* Whether a variable ("NAME=value") counts: not what the init adds at each
 * start, nor what a shell between it and the worker sets by itself or doesn't
 * pass on. */
bool inspect_compares(const char *entry);
/* Of all variables that count, whatever their order: the sum of their keyed
 * fingerprints. Begin with a zeroed one. */
void inspect_print(const struct fingerprint_key *key, const char *entry,
    struct fingerprint *sum);

/* A row of the text of a /proc/PID/limits, as the kernel writes it: "1024",
 * "unlimited"; empty: it isn't there. Returns its name in the manifest, or
 * NULL: `i` is behind the last. */
struct inspect_limit {
	char soft[32], hard[32];
};
const char *inspect_limit(
    const char *text, size_t i, struct inspect_limit *ret);

#endif
