/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_CONSUMERS_H
#define REEVE_SUPERVISOR_OPERATOR_CONSUMERS_H

#include "base/base.h"
#include "supervisor/operator/drift.h"
#include "supervisor/operator/running.h"

/*
 * Who is really connected to the queues, beside what is declared: a worker's
 * process that reads in another database, under another name or at another
 * server, and a consumer that is no worker of ours. By the consumers that the
 * queue's own server lists, whose connections are matched to processes of this
 * host, and by the connections of the process itself.
 *
 * What is seen at one look may be over at the next (a reconnect, a replica that
 * ends): it counts once looks have shown it for CONSUMERS_HOLD_MS, and not
 * while the right connection is seen too. What can't be seen counts for
 * nothing.
 */
enum {
	CONSUMERS_HOLD_MS = 10 * 1000,
	SUSPECTS_MAX = 512,
	SUSPECT_KEY_MAX = 255,
};

struct operator_core;

/* Something that isn't as declared, and since which look. */
struct suspect {
	char key[SUSPECT_KEY_MAX + 1];
	int64_t since_ms, last_ms; /* monotonic: of looks */
	bool marked;               /* in this pass */
};
struct consumers {
	struct suspect list[SUSPECTS_MAX];
	size_t count;
};

/* Around the calls of one pass. */
void consumers_begin(struct consumers *consumers);
void consumers_end(struct consumers *consumers);
/* Adds where the process of an instance is connected to instead of its queues.
 * Returns whether it is to be replaced for it. */
bool consumers_compare(struct operator_core *op, struct drift_list *list,
    const struct declared_worker *declared, struct running_instance *instance);
/* Adds the consumers that no declaration knows. */
void consumers_strangers(struct operator_core *op, struct drift_list *list);

#endif
