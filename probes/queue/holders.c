/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "probes/queue/owner.h"
#include "probes/queue/queue.h"

/* Who of those that consume is listed, and who of them holds a lease. */
enum {
	PASSERS_MAX = 4, /* of others, beside the asker's own */
};

bool
queue_lists(
    const struct queue *queue, int64_t pid, int64_t session, size_t *passers)
{
	return queue->asker.all == NULL || pids_have(&queue->asker, pid) ||
	       pids_have(&queue->asker, session) || (*passers)++ < PASSERS_MAX;
}

bool
queue_reap_is_due(const struct queue_reap *reap, const char *owner)
{
	return owner_is_of(owner, reap->workers, reap->nworkers) &&
	       owner_state(owner) == OWNER_DEAD;
}

void
queue_reaped_add(struct queue_reaped *ret, struct arena *arena, const char *id,
    const char *owner)
{
	if (ret->count == QUEUE_REAP_MAX)
		return;
	ret->ids[ret->count] = arena_text(arena, id);
	ret->owners[ret->count++] = arena_text(arena, owner);
}

/* What a server knows of a name may be cut, but not before who it is. */
static bool
is_named(const struct queue_consumer *who, const char *owner)
{
	return text_starts(owner, who->id) && strchr(who->id, ':') != NULL;
}

void
queue_mark_holders(struct arena *arena, struct queue_state *state,
    const char *const *owners, size_t count)
{
	struct queue_consumer *who =
	    arena_array(arena, QUEUE_WHO_MAX, sizeof(*who));
	size_t listed = state->nwho;

	for (size_t i = 0; i < listed; i++)
		who[i] = state->who[i];
	for (size_t k = 0; k < count; k++) {
		const char *replica = owner_replica(arena, owners[k]);
		bool there = false;

		for (size_t i = 0; i < listed; i++) {
			if (!is_named(&who[i], owners[k]))
				continue;
			who[i].proof |= PROOF_HOLDS_LEASE;
			there = true;
		}
		if (there || *replica == '\0' || state->nwho == QUEUE_WHO_MAX ||
		    owner_state(owners[k]) == OWNER_DEAD)
			continue;
		who[state->nwho++] = (struct queue_consumer){.id = owners[k],
		    .address = "",
		    .reads = "",
		    .worker = replica,
		    .pid = -1,
		    .proof = PROOF_HOLDS_LEASE};
	}
	state->who = who;
}
