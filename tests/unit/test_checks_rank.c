/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "checks/rank.h"

enum {
	ARENA_MAX = 64 << 20,
	GRAPHS = 3000,
	NODES_MAX = 24
};

static struct rank_node
node(enum layer layer)
{
	return (struct rank_node){
	    .layer = layer, .severity = SEVERITY_ERROR, .candidate = true};
}

static void
the_cause_is_the_root_and_the_symptom_is_explained(void **state)
{
	struct arena arena;
	const struct rank_node nodes[] = {
	    node(LAYER_METRIC), node(LAYER_PROCESS)};
	const struct rank_edge edges[] = {{1, 0}};
	struct rank rank = {
	    .nodes = nodes, .nnodes = 2, .edges = edges, .nedges = 1};

	(void)state;
	arena_init(&arena, ARENA_MAX);
	rank_run(&rank, &arena);
	assert_int_equal(rank.roles[1], ROLE_ROOT);
	assert_int_equal(rank.roles[0], ROLE_EXPLAINED);
	assert_int_equal(rank.order[0], 1);
	assert_int_equal(rank.covers[1], 1);
	arena_fini(&arena);
}

static void
a_cause_in_the_middle_is_explained_not_a_root(void **state)
{
	struct arena arena;
	const struct rank_node nodes[] = {
	    node(LAYER_CONFIG), node(LAYER_PROCESS), node(LAYER_METRIC)};
	const struct rank_edge edges[] = {{0, 1}, {1, 2}};
	struct rank rank = {
	    .nodes = nodes, .nnodes = 3, .edges = edges, .nedges = 2};

	(void)state;
	arena_init(&arena, ARENA_MAX);
	rank_run(&rank, &arena);
	assert_int_equal(rank.roles[0], ROLE_ROOT);
	assert_int_equal(rank.roles[1], ROLE_EXPLAINED);
	assert_int_equal(rank.roles[2], ROLE_EXPLAINED);
	assert_int_equal(rank.covers[0], 2);
	arena_fini(&arena);
}

static void
warnings_are_read_after_failures_however_much_they_explain(void **state)
{
	struct arena arena;
	struct rank_node nodes[] = {node(LAYER_CONFIG), node(LAYER_CONFIG),
	    node(LAYER_CONFIG), node(LAYER_PROCESS)};
	const struct rank_edge edges[] = {{0, 1}, {0, 2}};
	const struct rank_edge harmful[] = {{0, 1}, {0, 2}, {2, 3}};
	struct rank rank = {
	    .nodes = nodes, .nnodes = 4, .edges = edges, .nedges = 2};

	(void)state;
	nodes[0].severity = SEVERITY_WARNING;
	nodes[1].severity = SEVERITY_WARNING;
	nodes[2].severity = SEVERITY_WARNING;
	nodes[3].hurts = true;
	arena_init(&arena, ARENA_MAX);
	rank_run(&rank, &arena);
	assert_int_equal(rank.roles[3], ROLE_ROOT);
	assert_int_equal(rank.order[0], 3);
	assert_int_equal(rank.order[1], 0);
	/* unless a failure follows from it */
	rank.edges = harmful;
	rank.nedges = 3;
	rank_run(&rank, &arena);
	assert_int_equal(rank.order[0], 0);
	arena_fini(&arena);
}

static void
independent_roots_are_all_there_the_one_that_explains_most_first(void **state)
{
	struct arena arena;
	const struct rank_node nodes[] = {node(LAYER_CONFIG),
	    node(LAYER_PROCESS), node(LAYER_JOB), node(LAYER_METRIC),
	    node(LAYER_METRIC)};
	const struct rank_edge edges[] = {{0, 2}, {1, 3}, {1, 4}};
	struct rank rank = {
	    .nodes = nodes, .nnodes = 5, .edges = edges, .nedges = 3};

	(void)state;
	arena_init(&arena, ARENA_MAX);
	rank_run(&rank, &arena);
	assert_int_equal(rank.order[0], 1);
	assert_int_equal(rank.order[1], 0);
	assert_int_equal(rank.roles[0], ROLE_ROOT);
	assert_int_equal(rank.roles[1], ROLE_ROOT);
	arena_fini(&arena);
}

static void
a_root_whose_symptoms_others_cover_stays_a_root(void **state)
{
	struct arena arena;
	const struct rank_node nodes[] = {
	    node(LAYER_CONFIG), node(LAYER_CONFIG), node(LAYER_METRIC)};
	const struct rank_edge edges[] = {{0, 2}, {1, 2}};
	struct rank rank = {
	    .nodes = nodes, .nnodes = 3, .edges = edges, .nedges = 2};

	(void)state;
	arena_init(&arena, ARENA_MAX);
	rank_run(&rank, &arena);
	assert_int_equal(rank.roles[0], ROLE_ROOT);
	assert_int_equal(rank.roles[1], ROLE_ROOT);
	arena_fini(&arena);
}

static void
of_two_that_explain_each_other_the_deeper_is_the_root(void **state)
{
	struct arena arena;
	const struct rank_node nodes[] = {
	    node(LAYER_METRIC), node(LAYER_NETWORK)};
	const struct rank_edge edges[] = {{0, 1}, {1, 0}};
	struct rank rank = {
	    .nodes = nodes, .nnodes = 2, .edges = edges, .nedges = 2};

	(void)state;
	arena_init(&arena, ARENA_MAX);
	rank_run(&rank, &arena);
	assert_int_equal(rank.roles[1], ROLE_ROOT);
	assert_int_equal(rank.roles[0], ROLE_EXPLAINED);
	assert_true(rank.edge_dropped[0]);
	assert_false(rank.edge_dropped[1]);
	arena_fini(&arena);
}

static void
what_explains_nothing_is_latent_unless_it_hurts(void **state)
{
	struct arena arena;
	struct rank_node nodes[] = {
	    node(LAYER_CONFIG), node(LAYER_CONFIG), node(LAYER_METRIC)};
	struct rank rank = {.nodes = nodes, .nnodes = 3};

	(void)state;
	nodes[1].hurts = true;
	nodes[2].candidate = false;
	arena_init(&arena, ARENA_MAX);
	rank_run(&rank, &arena);
	assert_int_equal(rank.roles[0], ROLE_LATENT);
	assert_int_equal(rank.roles[1], ROLE_ROOT);
	assert_int_equal(rank.roles[2], ROLE_UNEXPLAINED);
	/* roots, then what nobody explains, then what will bite next */
	assert_int_equal(rank.order[0], 1);
	assert_int_equal(rank.order[1], 2);
	assert_int_equal(rank.order[2], 0);
	arena_fini(&arena);
}

static void
of_equal_roots_the_one_seen_by_a_probe_comes_first(void **state)
{
	struct arena arena;
	struct rank_node nodes[] = {node(LAYER_CONFIG), node(LAYER_PROCESS),
	    node(LAYER_METRIC), node(LAYER_METRIC)};
	const struct rank_edge edges[] = {{0, 2}, {1, 3}};
	struct rank rank = {
	    .nodes = nodes, .nnodes = 4, .edges = edges, .nedges = 2};

	(void)state;
	nodes[1].confirmed = true;
	arena_init(&arena, ARENA_MAX);
	rank_run(&rank, &arena);
	assert_int_equal(rank.order[0], 1);
	arena_fini(&arena);
}

/* --- properties over random graphs -----------------------------------------
 */

static uint32_t
draw(uint32_t *seed, uint32_t below)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 8) % below;
}

struct random_graph {
	struct rank_node nodes[NODES_MAX];
	struct rank_edge edges[NODES_MAX * 4];
	struct rank rank;
};

static void
make_graph(struct random_graph *graph, uint32_t *seed)
{
	size_t n = 1 + draw(seed, NODES_MAX);
	size_t m = draw(seed, (uint32_t)n * 4);

	*graph = (struct random_graph){0};
	for (size_t i = 0; i < n; i++)
		graph->nodes[i] = (struct rank_node){
		    .layer = (enum layer)draw(seed, LAYER_METRIC + 1),
		    .severity = (enum severity)draw(seed, 4),
		    .candidate = draw(seed, 2) == 0,
		    .confirmed = draw(seed, 2) == 0,
		    .specific = draw(seed, 4),
		    .hurts = draw(seed, 3) == 0,
		};
	for (size_t i = 0; i < m; i++) {
		uint32_t from = draw(seed, (uint32_t)n);
		uint32_t to = draw(seed, (uint32_t)n);

		/* only candidates have edges; never to themselves */
		graph->nodes[from].candidate = true;
		if (from == to)
			to = (to + 1) % (uint32_t)n;
		graph->edges[i] = (struct rank_edge){from, to};
		if (from == to)
			m = i; /* a graph of one node */
	}
	graph->rank = (struct rank){
	    .nodes = graph->nodes,
	    .nnodes = n,
	    .edges = graph->edges,
	    .nedges = m,
	};
}

static bool
has_incoming(const struct rank *rank, uint32_t node_index)
{
	for (size_t i = 0; i < rank->nedges; i++)
		if (!rank->edge_dropped[i] &&
		    rank->edges[i].symptom == node_index)
			return true;
	return false;
}

static bool
has_outgoing(const struct rank *rank, uint32_t node_index)
{
	for (size_t i = 0; i < rank->nedges; i++)
		if (!rank->edge_dropped[i] &&
		    rank->edges[i].cause == node_index)
			return true;
	return false;
}

static void
check_roles(const struct rank *rank)
{
	for (uint32_t i = 0; i < rank->nnodes; i++) {
		bool in = has_incoming(rank, i);
		bool out = has_outgoing(rank, i);
		const struct rank_node *n = &rank->nodes[i];

		switch (rank->roles[i]) {
		case ROLE_ROOT:
			assert_false(in);
			assert_true(out || (n->candidate && n->hurts));
			break;
		case ROLE_EXPLAINED:
			assert_true(in);
			break;
		case ROLE_LATENT:
			assert_false(in || out);
			assert_true(n->candidate && !n->hurts);
			break;
		case ROLE_UNEXPLAINED:
			assert_false(in || out);
			assert_false(n->candidate);
			break;
		case ROLE_NONE:
			fail_msg("a failed finding without a role");
			break;
		}
	}
}

/* Follows the causes upwards: without a cycle it ends, and at a root. */
static void
check_explained_by_root(const struct rank *rank, uint32_t start)
{
	uint32_t at = start;
	size_t steps = 0;

	while (rank->roles[at] == ROLE_EXPLAINED) {
		size_t i = 0;

		while (rank->edge_dropped[i] || rank->edges[i].symptom != at)
			i++;
		at = rank->edges[i].cause;
		assert_true(++steps <= rank->nnodes);
	}
	assert_int_equal(rank->roles[at], ROLE_ROOT);
}

static void
check_order(const struct rank *rank)
{
	bool seen[NODES_MAX] = {false};
	int last = 0;

	for (size_t i = 0; i < rank->nnodes; i++) {
		/* roots, unexplained, latent, explained */
		static const int place[] = {
		    [ROLE_ROOT] = 1,
		    [ROLE_UNEXPLAINED] = 2,
		    [ROLE_LATENT] = 3,
		    [ROLE_EXPLAINED] = 4,
		};
		int now = place[rank->roles[rank->order[i]]];

		assert_false(seen[rank->order[i]]);
		seen[rank->order[i]] = true;
		assert_true(now >= last);
		last = now;
	}
}

/* An edge is dropped only within a cycle: its symptom leads back to its
 * cause. */
static void
check_dropped(const struct rank *rank)
{
	for (size_t e = 0; e < rank->nedges; e++) {
		bool reached[NODES_MAX] = {false};
		bool grew = true;

		if (!rank->edge_dropped[e])
			continue;
		reached[rank->edges[e].symptom] = true;
		while (grew) {
			grew = false;
			for (size_t i = 0; i < rank->nedges; i++)
				if (reached[rank->edges[i].cause] &&
				    !reached[rank->edges[i].symptom]) {
					reached[rank->edges[i].symptom] = true;
					grew = true;
				}
		}
		assert_true(reached[rank->edges[e].cause]);
	}
}

static void
in_any_graph_every_finding_has_one_role_that_its_edges_justify(void **state)
{
	uint32_t seed = 20251127;
	static struct random_graph graph;

	(void)state;
	for (int g = 0; g < GRAPHS; g++) {
		struct arena arena;

		arena_init(&arena, ARENA_MAX);
		make_graph(&graph, &seed);
		rank_run(&graph.rank, &arena);
		check_roles(&graph.rank);
		check_order(&graph.rank);
		check_dropped(&graph.rank);
		for (uint32_t i = 0; i < graph.rank.nnodes; i++)
			if (graph.rank.roles[i] == ROLE_EXPLAINED)
				check_explained_by_root(&graph.rank, i);
		arena_fini(&arena);
	}
}

static void
a_chain_of_many_thousands_needs_no_deep_stack(void **state)
{
	enum {
		CHAIN = 50000
	};
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_MAX);
	struct rank_node *nodes = arena_array(&arena, CHAIN, sizeof(*nodes));
	struct rank_edge *edges = arena_array(&arena, CHAIN, sizeof(*edges));

	for (uint32_t i = 0; i < CHAIN; i++) {
		nodes[i] = node(LAYER_CONFIG);
		/* a ring: the last explains the first */
		edges[i] = (struct rank_edge){i, (i + 1) % CHAIN};
	}
	struct rank rank = {
	    .nodes = nodes, .nnodes = CHAIN, .edges = edges, .nedges = CHAIN};

	rank_run(&rank, &arena);
	assert_int_equal(rank.roles[0], ROLE_ROOT);
	assert_int_equal(rank.roles[CHAIN - 1], ROLE_EXPLAINED);
	assert_int_equal(rank.covers[0], CHAIN - 1);
	arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
	        the_cause_is_the_root_and_the_symptom_is_explained),
	    cmocka_unit_test(a_cause_in_the_middle_is_explained_not_a_root),
	    cmocka_unit_test(
	        warnings_are_read_after_failures_however_much_they_explain),
	    cmocka_unit_test(
	        independent_roots_are_all_there_the_one_that_explains_most_first),
	    cmocka_unit_test(a_root_whose_symptoms_others_cover_stays_a_root),
	    cmocka_unit_test(
	        of_two_that_explain_each_other_the_deeper_is_the_root),
	    cmocka_unit_test(what_explains_nothing_is_latent_unless_it_hurts),
	    cmocka_unit_test(
	        of_equal_roots_the_one_seen_by_a_probe_comes_first),
	    cmocka_unit_test(
	        in_any_graph_every_finding_has_one_role_that_its_edges_justify),
	    cmocka_unit_test(a_chain_of_many_thousands_needs_no_deep_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
