/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "manifests/validate.h"

/* dependsOn: who waits for whom, and nobody for itself. */

enum {
	DEPENDENCIES_MAX = 64, /* of one worker, as the plan has it */
	CYCLE_NAMED_MAX = 12,
};

enum mark {
	UNSEEN,
	FOLLOWED, /* it is in the chain that is being followed */
	DONE
};

struct item {
	const struct node *worker;
	const char *name;
	const struct node *next;  /* the dependency to look at next */
	const struct node *taken; /* the one that is being followed */
	enum mark mark;
};

struct order {
	struct validation *v;
	struct item *items; /* ascending by name */
	size_t count;
	struct item **chain;
	size_t depth;
};

static int
by_name(const void *a, const void *b)
{
	const struct item *left = a;
	const struct item *right = b;

	return strcmp(left->name, right->name);
}

static struct item *
find(const struct order *order, const char *name)
{
	struct item key = {.name = name};

	return name == NULL || order->count == 0
	           ? NULL
	           : bsearch(&key, order->items, order->count, sizeof(key),
	                 by_name);
}

/* `x`, or {worker: x, …}. */
static const struct node *
named(const struct node *dependency)
{
	return dependency->kind == NODE_MAPPING ? node_get(dependency, "worker")
	                                        : dependency;
}

static void
complain_cycle(struct order *order, const struct item *back_to)
{
	const char *names = "";
	size_t from = 0, left_out = 0;

	while (order->chain[from] != back_to)
		from++;
	for (size_t i = from; i < order->depth; i++) {
		const struct item *item = order->chain[i];
		if (i - from >= CYCLE_NAMED_MAX) {
			left_out++;
			continue;
		}
		names = arena_format(order->v->arena, "%s'%s' (line %d) -> ",
		    names, item->name, named(item->taken)->line);
	}
	if (left_out > 0)
		names = arena_format(
		    order->v->arena, "%s%zu others -> ", names, left_out);
	complain(order->v->complaints, named(order->chain[from]->taken),
	    "these workers wait for one another, so none of them would ever "
	    "start: %s'%s'; take one 'dependsOn' out",
	    names, back_to->name);
}

static void
follow(struct order *order, struct item *item)
{
	const struct node *dependency = item->next;
	struct item *on = find(order, node_text(named(dependency)));

	item->next = dependency->next;
	if (on == NULL || on->mark == DONE || on == item)
		return;
	item->taken = dependency;
	if (on->mark == FOLLOWED) {
		complain_cycle(order, on);
		return;
	}
	on->mark = FOLLOWED;
	order->chain[order->depth++] = on;
}

static void
follow_from(struct order *order, struct item *first)
{
	order->depth = 0;
	first->mark = FOLLOWED;
	order->chain[order->depth++] = first;
	while (order->depth > 0) {
		struct item *top = order->chain[order->depth - 1];
		if (top->next != NULL) {
			follow(order, top);
			continue;
		}
		top->mark = DONE;
		order->depth--;
	}
}

static bool
runs_for_ever(const struct node *worker)
{
	const char *policy =
	    node_text(node_get(node_get(worker, "restart"), "policy"));

	return node_get(worker, "schedule") == NULL &&
	       (policy == NULL || text_equal(policy, "Always"));
}

static void
check_dependency(struct order *order, const struct node *worker,
    const struct node *dependency)
{
	struct complaints *complaints = order->v->complaints;
	const char *condition = node_text(node_get(dependency, "condition"));
	const char *name = node_text(named(dependency));
	const struct item *on = find(order, name);

	if (text_equal(name, node_text(node_get(worker, "name"))))
		complain(complaints, named(dependency),
		    "a worker can't depend on itself");
	if (on == NULL)
		return;
	if (node_get(on->worker, "schedule") != NULL)
		complain(complaints, named(dependency),
		    "'%s' runs by its schedule: nobody can wait for it", name);
	else if (text_equal(condition, "completed") &&
	         runs_for_ever(on->worker))
		complain(complaints, node_get(dependency, "condition"),
		    "'%s' never completes: its restart.policy is Always; "
		    "valid for it: ready, started",
		    name);
}

static void
check_dependencies(struct order *order, const struct node *worker)
{
	const struct node *list = node_get(worker, "dependsOn");

	if (list != NULL && list->count > DEPENDENCIES_MAX)
		complain(order->v->complaints, list,
		    "'dependsOn' has %zu entries; at most %d are read",
		    list->count, DEPENDENCIES_MAX);
	for (const struct node *it = node_items(list); it != NULL;
	     it = it->next)
		check_dependency(order, worker, it);
}

void
validate_order(struct validation *v)
{
	const struct node *list = node_get(v->root, "workers");
	size_t room = (list == NULL ? 0 : list->count) + 1;
	struct order order = {.v = v};

	order.items = arena_array(v->arena, room, sizeof(*order.items));
	order.chain = arena_array(v->arena, room, sizeof(struct item *));
	for (const struct node *it = node_items(list); it != NULL;
	     it = it->next) {
		const char *name = node_text(node_get(it, "name"));
		if (name == NULL)
			continue;
		order.items[order.count++] = (struct item){.worker = it,
		    .name = name,
		    .next = node_items(node_get(it, "dependsOn"))};
	}
	qsort(order.items, order.count, sizeof(*order.items), by_name);
	for (const struct node *it = node_items(list); it != NULL;
	     it = it->next) {
		struct item *item =
		    find(&order, node_text(node_get(it, "name")));
		check_dependencies(&order, it);
		if (item != NULL && item->mark == UNSEEN)
			follow_from(&order, item);
	}
}
