/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_RANK_H
#define REEVE_CHECKS_RANK_H

#include "base/arena.h"
#include "base/base.h"
#include "base/finding.h"
#include "checks/finding_table.h"

/*
 * Cause before symptom. Nodes are failed findings, edges say "explains" and
 * are active already (labels compared). The ranking breaks cycles by layer,
 * finds the roots, and orders them by how much they explain: greedy set cover,
 * ties by what was confirmed by a probe, is more specific, lies deeper.
 * Pure; knows nothing of reports.
 */
struct rank_node {
	enum layer layer;
	enum severity severity;
	bool candidate;    /* its kind can be a cause */
	bool confirmed;    /* by a probe */
	unsigned specific; /* how many labels it has */
	/* A candidate that explains nothing: true where nothing contradicts
	 * that it hurts today (none of what would follow from it was seen to
	 * be well), so that it is a root by itself and not merely latent. */
	bool hurts;
};

struct rank_edge {
	uint32_t cause, symptom;
};

struct rank {
	const struct rank_node *nodes;
	size_t nnodes;
	const struct rank_edge *edges; /* any order, duplicates allowed */
	size_t nedges;
	/* Results, in the arena */
	enum role *roles;   /* of each node */
	uint32_t *order;    /* all nodes as to be read */
	bool *edge_dropped; /* to break a cycle */
	uint32_t *covers;   /* of a root: how many it explains, directly or
	                       through others */
};

/* Fills the results. Roles: EXPLAINED has an active incoming edge; ROOT has
 * none and explains something, or hurts; LATENT is a candidate that explains
 * nothing today; UNEXPLAINED is a symptom that nothing explains. */
void rank_run(struct rank *rank, struct arena *arena);

#endif
