/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_QUEUE_MOVE_H
#define REEVE_CLI_QUEUE_MOVE_H

#include "cli/cli.h"
#include "probes/queue/state.h"

/*
 * `reeve queue requeue` and `reeve queue reclaim`: jobs go back to the waiting
 * ones. Nothing is done without --yes; a job that was moved before and has come
 * back with the same error is held back, and so are others with that error,
 * unless --force.
 */
struct move_verb {
	const char *name;       /* "requeue" */
	enum queue_part from;   /* PART_DEAD, PART_EXPIRED */
	const char *what, *one; /* "dead letters", "dead letter" */
};
extern const struct move_verb queue_move_requeue, queue_move_reclaim;

/* Returns an exit code. */
int queue_move_jobs(
    struct cli *cli, const struct move_verb *verb, int argc, char **argv);

#endif
