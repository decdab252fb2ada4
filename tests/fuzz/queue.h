/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_TESTS_FUZZ_QUEUE_H
#define REEVE_TESTS_FUZZ_QUEUE_H

#include "base/base.h"

#include "base/clock.h"
#include "probes/queue/queue.h"
#include "tests/fuzz/fuzz.h"

/* One call of a queue's driver, and what must hold of what it answers. */

enum {
	FUZZ_JOBS = 5 /* shown at once */
};

static inline void
fuzz_queue_look(struct queue *queue, struct arena *arena, bool near)
{
	struct queue_state state = {.amiss = "", .head = "", .engine = ""};
	struct err err = ERR_INIT;
	int rc = near ? queue_near_names(queue, arena, &state, &err)
	              : queue_observe(queue, arena, &state, &err);

	if (rc == -1) {
		assert(err.kind != ERR_NONE);
		return;
	}
	assert(state.nwho <= QUEUE_WHO_MAX && state.nnear <= QUEUE_NEAR_MAX);
	assert(state.head != NULL && state.engine != NULL);
	assert(state.waiting.know <= KNOW_NOT_APPLICABLE);
	for (size_t i = 0; i < state.nwho; i++)
		assert(state.who[i].id != NULL && state.who[i].reads != NULL);
	for (size_t i = 0; i < state.nnear; i++)
		assert(state.near[i].name != NULL);
}

static inline void
fuzz_queue_list(struct queue *queue, struct arena *arena, enum queue_part part)
{
	struct queue_page page = {.count = 0};
	struct err err = ERR_INIT;

	if (queue_list(queue, part, FUZZ_JOBS, arena, &page, &err) == -1) {
		assert(err.kind != ERR_NONE);
		return;
	}
	assert(page.count <= FUZZ_JOBS);
	for (size_t i = 0; i < page.count; i++) {
		assert(page.items[i].id != NULL && page.items[i].error != NULL);
		assert(page.items[i].payload_len <= QUEUE_PEEK_MAX);
		assert(page.items[i].age_ms >= -1);
	}
}

static inline void
fuzz_queue_canary(
    struct queue *queue, struct arena *arena, const char *receipt, bool removes)
{
	const struct queue_submission job = {
	    .canary = "7d9f1c52-0d4b-4a58-9a3e-52a1a2f0c4f1",
	    .payload = "{}",
	    .len = 2,
	    .receipt = receipt};
	struct queue_sighting sighting;
	struct err err = ERR_INIT;
	const char *given = NULL;
	bool removed = false;

	if (receipt == NULL) {
		if (queue_submit(queue, &job, arena, &given, &err) == 0)
			assert(given != NULL);
	} else if (removes) {
		if (queue_remove(queue, &job, &removed, &err) == -1)
			assert(err.kind != ERR_NONE);
	} else if (queue_follow(queue, &job, arena, &sighting, &err) == 0) {
		assert(sighting.detail != NULL && sighting.by != NULL);
	}
}

static inline void
fuzz_queue_move(struct queue *queue, struct arena *arena, enum queue_part from)
{
	static const char *const ids[] = {"1", "2"};
	const struct queue_move wanted = {
	    .from = from, .ids = ids, .nids = ARRAY_LEN(ids)};
	struct queue_moved moved = {.count = 0};
	struct err err = ERR_INIT;

	if (queue_move(queue, &wanted, arena, &moved, &err) == 0)
		assert(moved.count <= ARRAY_LEN(ids));
}

/* Opens the queue that `url` names and asks what `what` says. */
static inline void
fuzz_queue(const char *url, const char *receipt, uint8_t what)
{
	const struct queue_spec spec = {.url = url};
	struct arena arena;
	struct queue queue;
	struct err err = ERR_INIT;

	arena_init(&arena, FUZZ_ARENA_MAX);
	if (queue_open(&queue, &spec, clock_after(clock_ms(), 2000), &err) ==
	    -1)
		assert(queue.cause != CAUSE_NONE);
	else if (what % 12 == 0)
		fuzz_queue_look(&queue, &arena, false);
	else if (what % 12 == 1)
		fuzz_queue_look(&queue, &arena, true);
	else if (what % 12 <= 4)
		fuzz_queue_canary(&queue, &arena,
		    what % 12 == 4 ? NULL : receipt, what % 12 == 3);
	else if (what % 12 <= 6)
		fuzz_queue_move(
		    &queue, &arena, what % 12 == 5 ? PART_DEAD : PART_EXPIRED);
	else
		fuzz_queue_list(
		    &queue, &arena, (enum queue_part)(what % 12 - 7));
	queue_close(&queue);
	arena_fini(&arena);
}

#endif
