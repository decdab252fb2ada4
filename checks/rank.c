/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "checks/rank.h"

/* Outgoing edges of all nodes in one array; those of node i are
 * [first[i], first[i + 1]). */
struct graph {
	const struct rank *rank;
	uint32_t *first;
	uint32_t *to;
	uint32_t *edge; /* which edge of the rank it is */
};

static void
graph_make(struct graph *graph, const struct rank *rank, struct arena *arena)
{
	size_t nnodes = rank->nnodes;

	graph->rank = rank;
	graph->first = arena_array(arena, nnodes + 2, sizeof(*graph->first));
	graph->to = arena_array(arena, rank->nedges + 1, sizeof(*graph->to));
	graph->edge =
	    arena_array(arena, rank->nedges + 1, sizeof(*graph->edge));
	for (size_t i = 0; i < rank->nedges; i++)
		graph->first[rank->edges[i].cause + 2]++;
	for (size_t i = 2; i < nnodes + 2; i++)
		graph->first[i] += graph->first[i - 1];
	for (size_t i = 0; i < rank->nedges; i++) {
		uint32_t at = graph->first[rank->edges[i].cause + 1]++;

		graph->to[at] = rank->edges[i].symptom;
		graph->edge[at] = (uint32_t)i;
	}
}

/* Tarjan's strongly connected components, with a stack of our own: a graph may
 * be a chain of thousands. */
struct components {
	uint32_t *of; /* component of each node, 1-based; 0: not yet */
	uint32_t *index, *low, *next;
	uint32_t *stack, *path;
	bool *on_stack;
	uint32_t depth, count, visits, npath;
};

static void
components_enter(
    struct components *scc, const struct graph *graph, uint32_t node)
{
	scc->index[node] = scc->low[node] = ++scc->visits;
	scc->next[node] = graph->first[node];
	scc->stack[scc->depth++] = node;
	scc->on_stack[node] = true;
	scc->path[scc->npath++] = node;
}

static void
components_leave(struct components *scc, uint32_t node)
{
	uint32_t member;

	scc->npath--;
	if (scc->npath > 0) {
		uint32_t parent = scc->path[scc->npath - 1];

		scc->low[parent] = MIN(scc->low[parent], scc->low[node]);
	}
	if (scc->low[node] != scc->index[node])
		return;
	scc->count++;
	do {
		member = scc->stack[--scc->depth];
		scc->on_stack[member] = false;
		scc->of[member] = scc->count;
	} while (member != node);
}

static void
components_from(
    struct components *scc, const struct graph *graph, uint32_t start)
{
	components_enter(scc, graph, start);
	while (scc->npath > 0) {
		uint32_t node = scc->path[scc->npath - 1];

		if (scc->next[node] == graph->first[node + 1]) {
			components_leave(scc, node);
			continue;
		}
		uint32_t to = graph->to[scc->next[node]++];

		if (scc->index[to] == 0)
			components_enter(scc, graph, to);
		else if (scc->on_stack[to])
			scc->low[node] = MIN(scc->low[node], scc->index[to]);
	}
}

static const uint32_t *
components_find(const struct graph *graph, struct arena *arena)
{
	size_t n = graph->rank->nnodes + 1;
	struct components scc = {
	    .of = arena_array(arena, n, sizeof(uint32_t)),
	    .index = arena_array(arena, n, sizeof(uint32_t)),
	    .low = arena_array(arena, n, sizeof(uint32_t)),
	    .next = arena_array(arena, n, sizeof(uint32_t)),
	    .stack = arena_array(arena, n, sizeof(uint32_t)),
	    .path = arena_array(arena, n, sizeof(uint32_t)),
	    .on_stack = arena_array(arena, n, sizeof(bool)),
	};

	for (uint32_t i = 0; i < graph->rank->nnodes; i++)
		if (scc.index[i] == 0)
			components_from(&scc, graph, i);
	return scc.of;
}

/* Within a cycle only the edges that lead from the deeper layer to the higher
 * one stay, and within a layer those from the earlier to the later finding. */
static void
break_cycles(struct rank *rank, const struct graph *graph, struct arena *arena)
{
	const uint32_t *component = components_find(graph, arena);

	for (size_t i = 0; i < rank->nedges; i++) {
		uint32_t cause = rank->edges[i].cause;
		uint32_t symptom = rank->edges[i].symptom;

		if (component[cause] != component[symptom])
			continue;
		enum layer from = rank->nodes[cause].layer;
		enum layer to = rank->nodes[symptom].layer;

		if (from > to || (from == to && cause >= symptom))
			rank->edge_dropped[i] = true;
	}
}

static void
give_roles(struct rank *rank, struct arena *arena)
{
	bool *has_out = arena_array(arena, rank->nnodes + 1, sizeof(bool));

	for (size_t i = 0; i < rank->nedges; i++) {
		if (rank->edge_dropped[i])
			continue;
		has_out[rank->edges[i].cause] = true;
		rank->roles[rank->edges[i].symptom] = ROLE_EXPLAINED;
	}
	for (size_t i = 0; i < rank->nnodes; i++) {
		const struct rank_node *node = &rank->nodes[i];

		if (rank->roles[i] == ROLE_EXPLAINED)
			continue;
		if (has_out[i] || (node->candidate && node->hurts))
			rank->roles[i] = ROLE_ROOT;
		else if (node->candidate)
			rank->roles[i] = ROLE_LATENT;
		else
			rank->roles[i] = ROLE_UNEXPLAINED;
	}
}

/* Visits everything that `start` explains, directly or through others, and
 * counts what `covered` doesn't hold yet; marks it there when `take`. */
struct walk {
	const struct graph *graph;
	uint32_t *seen; /* stamp of the walk that saw the node last */
	uint32_t *queue;
	bool *covered;
	uint32_t stamp;
	enum severity worst; /* of the last walk, its start included */
};

static uint32_t
walk_from(struct walk *walk, uint32_t start, bool take, uint32_t *ret_all)
{
	const struct graph *graph = walk->graph;
	uint32_t head = 0, tail = 0, fresh = 0;

	walk->worst = graph->rank->nodes[start].severity;

	walk->stamp++;
	walk->seen[start] = walk->stamp;
	walk->queue[tail++] = start;
	while (head < tail) {
		uint32_t node = walk->queue[head++];

		for (uint32_t i = graph->first[node];
		     i < graph->first[node + 1]; i++) {
			uint32_t to = graph->to[i];

			if (graph->rank->edge_dropped[graph->edge[i]] ||
			    walk->seen[to] == walk->stamp)
				continue;
			walk->seen[to] = walk->stamp;
			walk->queue[tail++] = to;
			walk->worst =
			    MAX(walk->worst, graph->rank->nodes[to].severity);
			if (!walk->covered[to])
				fresh++;
			if (take)
				walk->covered[to] = true;
		}
	}
	if (ret_all != NULL)
		*ret_all = tail - 1;
	return fresh;
}

/* Is root a to be read before root b, when both explain as much? */
static bool
before(const struct rank *rank, uint32_t a, uint32_t b)
{
	const struct rank_node *x = &rank->nodes[a], *y = &rank->nodes[b];

	if (x->confirmed != y->confirmed)
		return x->confirmed;
	if (x->specific != y->specific)
		return x->specific > y->specific;
	if (x->layer != y->layer)
		return x->layer < y->layer;
	if (x->severity != y->severity)
		return x->severity > y->severity;
	return a < b;
}

/* What a root newly covers only shrinks as others are taken: so the count of
 * an earlier round is a bound, and only the best is counted again. */
static size_t
order_roots(
    struct rank *rank, struct walk *walk, bool *taken, struct arena *arena)
{
	uint32_t *gain = arena_array(arena, rank->nnodes + 1, sizeof(*gain));
	uint32_t *round = arena_array(arena, rank->nnodes + 1, sizeof(*round));
	/* What is only a warning, and explains no more, is read last however
	 * many others say the same. */
	bool *fails = arena_array(arena, rank->nnodes + 1, sizeof(*fails));
	uint32_t count = 0;

	for (uint32_t i = 0; i < rank->nnodes; i++)
		if (rank->roles[i] == ROLE_ROOT) {
			gain[i] = walk_from(walk, i, false, &rank->covers[i]);
			fails[i] = walk->worst >= SEVERITY_ERROR;
		}
	for (;;) {
		uint32_t best = UINT32_MAX;

		for (uint32_t i = 0; i < rank->nnodes; i++) {
			if (rank->roles[i] != ROLE_ROOT || taken[i])
				continue;
			if (best == UINT32_MAX || fails[i] > fails[best] ||
			    (fails[i] == fails[best] &&
			        (gain[i] > gain[best] ||
			            (gain[i] == gain[best] &&
			                before(rank, i, best)))))
				best = i;
		}
		if (best == UINT32_MAX)
			return count;
		if (round[best] != count) {
			gain[best] = walk_from(walk, best, false, NULL);
			round[best] = count;
			continue;
		}
		(void)walk_from(walk, best, true, NULL);
		taken[best] = true;
		rank->order[count++] = best;
	}
}

static size_t
order_rest(struct rank *rank, enum role role, const bool *taken, size_t count)
{
	size_t start = count;

	for (uint32_t i = 0; i < rank->nnodes; i++) {
		if (rank->roles[i] != role || taken[i])
			continue;
		size_t at = count++;

		while (at > start && rank->nodes[rank->order[at - 1]].severity <
		                         rank->nodes[i].severity) {
			rank->order[at] = rank->order[at - 1];
			at--;
		}
		rank->order[at] = i;
	}
	return count;
}

void
rank_run(struct rank *rank, struct arena *arena)
{
	struct graph graph;
	size_t n = rank->nnodes + 1;

	rank->roles = arena_array(arena, n, sizeof(*rank->roles));
	rank->order = arena_array(arena, n, sizeof(*rank->order));
	rank->covers = arena_array(arena, n, sizeof(*rank->covers));
	rank->edge_dropped =
	    arena_array(arena, rank->nedges + 1, sizeof(*rank->edge_dropped));
	graph_make(&graph, rank, arena);
	break_cycles(rank, &graph, arena);
	give_roles(rank, arena);

	bool *taken = arena_array(arena, n, sizeof(bool));
	struct walk walk = {
	    .graph = &graph,
	    .seen = arena_array(arena, n, sizeof(uint32_t)),
	    .queue = arena_array(arena, n, sizeof(uint32_t)),
	    .covered = arena_array(arena, n, sizeof(bool)),
	};
	size_t count = order_roots(rank, &walk, taken, arena);

	count = order_rest(rank, ROLE_UNEXPLAINED, taken, count);
	count = order_rest(rank, ROLE_LATENT, taken, count);
	count = order_rest(rank, ROLE_EXPLAINED, taken, count);
	assert(count == rank->nnodes);
}
