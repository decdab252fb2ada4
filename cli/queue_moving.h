/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_QUEUE_MOVING_H
#define REEVE_CLI_QUEUE_MOVING_H

#include "checks/retry_storm.h"
#include "cli/queue_move.h"
#include "cli/queue_rows.h"
#include "probes/queue/queue.h"
#include "supervisor/operator/move_log.h"

/* One requeue or reclaim under way: what cli/queue_move.c finds out and does,
 * and cli/queue_move_write.c shows. */

enum outcome {
	OUTCOME_DRY_RUN,
	OUTCOME_NOTHING, /* to be moved */
	OUTCOME_MOVED,
	OUTCOME_REFUSED,
	OUTCOME_UNKNOWN,
};
struct moving {
	struct queue_rows rows; /* of one */
	const struct move_verb *verb;
	const char *asked[CLI_VALUES_MAX]; /* --id; none: all */
	size_t nasked;
	int64_t limit;
	bool yes, force;
	bool by_name; /* of the manifest, not by URL */

	const char *key; /* the queue in the log */
	struct move_log log;
	struct move_history history;

	struct queue_item *found; /* cleaned; asked for and not seen last */
	size_t nfound;
	struct queue_number total;
	const struct queue_state *state; /* of the queue; NULL: not known */
	struct storm_choice choice;

	enum outcome outcome;
	const char *why; /* refused, unknown */
	char move[QUEUE_NONCE_SIZE];
	const char *const *moved; /* unknown: which were found where they were
	                           */
	const char *const *moved_as; /* their new ids; NULL: as before */
	size_t nmoved;
	bool looked_again;
};

/* reeve.moves/1, and the same for people: queue_write_fn of a moving. */
void queue_moving_json(const void *what, struct buffer *out);
void queue_moving_text(const void *what, struct buffer *out);

#endif
