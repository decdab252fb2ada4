/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_INSPECTION_H
#define REEVE_PROBES_INSPECTION_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"
#include "base/jsonw.h"
#include "base/secret.h"
#include "probes/json_read.h"
#include "probes/pids.h"
#include "probes/words.h"

/*
 * For the files of inspect.h alone: one request while it is answered. Each part
 * of the answer is written where it is found out; `text` is room for a file of
 * /proc, which the next one overwrites.
 */
struct seen {
	int64_t pid, parent, session;
	bool init; /* of some supervisor, by its name */
	bool own;  /* a program of ours */
	bool zombie;
};

struct peer;
struct inspection {
	struct arena arena;
	const cJSON *request;
	struct fingerprint_key key;
	int64_t init;
	struct seen *all; /* every process, by pid; owned */
	size_t count;
	struct peer *peers; /* established connections, by inode; owned */
	size_t npeers, peers_room;
	enum result peers_read; /* unknown: nobody asked yet */
	struct pids workers, known;
	struct jsonw *json;
	size_t told; /* strangers */
};

enum {
	INSPECT_HEX_SIZE = 33,
	INSPECT_PATH_SIZE = 64, /* "/proc/PID/NAME" */
};

/* inspect.c: -1 with errno; "" is no error. */
int inspect_read_file(
    int64_t pid, const char *name, struct buffer *out) MUST_CHECK;
/* NULL: no such process, or it came later. */
const struct seen *inspect_find(
    const struct inspection *inspection, int64_t pid);

/* inspect_settings.c: a target's limits, and the variables it began with. */
void inspect_tell_limits(
    struct inspection *inspection, int64_t pid, struct buffer *text);
void inspect_tell_environ(struct inspection *inspection, const cJSON *target,
    int64_t pid, int64_t uid, int64_t gid, struct buffer *text);

/* inspect_peers.c: who a target's session is connected to, where it is asked
 * for. */
void inspect_tell_peers(
    struct inspection *inspection, const cJSON *target, int64_t pid);

/* inspect_strangers.c */
int inspect_tell_strangers(struct inspection *inspection, struct buffer *text,
    struct err *err) MUST_CHECK;

#endif
