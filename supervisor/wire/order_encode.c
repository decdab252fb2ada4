/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "supervisor/wire/order_encode.h"
#include "supervisor/wire/plan.h"

#define UNSEEN  UINT32_MAX /* no rank yet */
#define NOWHERE UINT32_MAX /* no such worker */

struct order {
	const struct worker_spec *specs;
	uint32_t *by_name; /* indexes, ascending by name */
	uint32_t *ranks;
	uint32_t *next;  /* which dependency of a worker comes next */
	uint32_t *stack; /* the chain that is being followed */
	size_t count, depth;
};

static int
by_name(const void *a, const void *b, void *context)
{
	const struct worker_spec *const *specs = context;

	return strcmp((*specs)[*(const uint32_t *)a].name,
	    (*specs)[*(const uint32_t *)b].name);
}

static uint32_t
find(const struct order *order, const char *name)
{
	size_t low = 0, high = order->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint32_t at = order->by_name[middle];
		int sign = strcmp(order->specs[at].name, name);
		if (sign == 0)
			return at;
		if (sign < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NOWHERE;
}

static int
cycle(const struct order *order, uint32_t back_to, struct err *err)
{
	char names[192] = "";
	size_t from = 0;

	while (order->stack[from] != back_to)
		from++;
	for (size_t i = from; i < order->depth; i++) {
		size_t used = strlen(names);
		if (text_format(names + used, sizeof(names) - used, NULL,
		        "%s -> ", order->specs[order->stack[i]].name) == -1)
			names[used] = '\0'; /* too many to name */
	}
	return err_set(err, ERR_INPUT, "workers wait for one another: %s%s",
	    names, order->specs[back_to].name);
}

/* The next dependency of the worker on top: followed, or counted when its rank
 * is known. */
static int
follow(struct order *order, uint32_t worker, struct err *err)
{
	const struct worker_spec *spec = &order->specs[worker];
	const char *name = spec->dependencies[order->next[worker]].worker;
	uint32_t on = find(order, name);

	if (on == NOWHERE || order->ranks[on] != UNSEEN) {
		order->next[worker]++;
		return 0;
	}
	for (size_t i = 0; i < order->depth; i++)
		if (order->stack[i] == on)
			return cycle(order, on, err);
	if (order->depth > PLAN_RANK_MAX)
		return err_set(err, ERR_INPUT,
		    "more than %d workers wait for one another in a chain",
		    PLAN_RANK_MAX);
	order->stack[order->depth++] = on;
	return 0;
}

static uint32_t
rank_of(const struct order *order, const struct worker_spec *spec)
{
	uint32_t rank = 0;

	for (uint32_t i = 0; i < spec->ndependencies; i++) {
		uint32_t on = find(order, spec->dependencies[i].worker);
		if (on != NOWHERE)
			rank = MAX(rank, order->ranks[on] + 1);
	}
	return rank;
}

static int
rank_from(struct order *order, uint32_t worker, struct err *err)
{
	order->depth = 0;
	order->stack[order->depth++] = worker;
	while (order->depth > 0) {
		uint32_t top = order->stack[order->depth - 1];
		const struct worker_spec *spec = &order->specs[top];
		if (order->next[top] < spec->ndependencies) {
			if (follow(order, top, err) == -1)
				return -1;
			continue;
		}
		order->ranks[top] = rank_of(order, spec);
		order->depth--;
	}
	return 0;
}

int
plan_ranks(const struct worker_spec *specs, size_t count, uint32_t **ret_ranks,
    struct err *err)
{
	struct order order = {.specs = specs, .count = count};
	uint32_t *lists = calloc(4 * count + 1, sizeof(*lists));
	int rc = 0;

	if (lists == NULL)
		return err_set(err, ERR_CAPACITY, "no memory for the order");
	order.ranks = lists;
	order.by_name = lists + count;
	order.next = lists + 2 * count;
	order.stack = lists + 3 * count;
	for (uint32_t i = 0; i < count; i++) {
		order.by_name[i] = i;
		order.ranks[i] = UNSEEN;
	}
	qsort_r(order.by_name, count, sizeof(*lists), by_name, &specs);
	for (uint32_t i = 0; i < count && rc == 0; i++)
		if (order.ranks[i] == UNSEEN)
			rc = rank_from(&order, i, err);
	if (rc == -1)
		free(lists);
	else
		*ret_ranks = lists;
	return rc;
}
