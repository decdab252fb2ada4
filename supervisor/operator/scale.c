/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "supervisor/operator/scale.h"

static int64_t
clamp(const struct scale_policy *policy, int64_t replicas)
{
	return MIN(MAX(replicas, policy->min), policy->max);
}

static int64_t
wanted(const struct scale_policy *policy, int64_t jobs)
{
	int64_t replicas = jobs / policy->jobs_per_replica +
	                   (jobs % policy->jobs_per_replica > 0 ? 1 : 0);

	if (policy->min == 0)
		replicas = jobs <= policy->activation ? 0 : MAX(replicas, 1);
	return clamp(policy, replicas);
}

/* Puts it into the window and returns the most that is in there. */
static int64_t
most_wanted(const struct scale_policy *policy, struct scale_memory *memory,
    int64_t replicas, int64_t now_ms)
{
	int64_t length_ms = MAX(policy->stabilization_ms / SCALE_PARTS, 1);
	int64_t part = now_ms / length_ms;
	size_t slot = (size_t)(part % (SCALE_PARTS + 1));
	int64_t most = replicas;

	if (memory->part[slot] != part) {
		memory->part[slot] = part;
		memory->most[slot] = replicas;
	}
	memory->most[slot] = MAX(memory->most[slot], replicas);
	if (policy->stabilization_ms == 0)
		return replicas;
	for (size_t i = 0; i < ARRAY_LEN(memory->most); i++)
		if (part - memory->part[i] <= SCALE_PARTS)
			most = MAX(most, memory->most[i]);
	return most;
}

void
scale_begin(struct scale_memory *memory, int64_t replicas, int64_t now_ms)
{
	*memory = (struct scale_memory){
	    .begun = true,
	    .replicas = replicas,
	    .active_ms = now_ms,
	};
	for (size_t i = 0; i < ARRAY_LEN(memory->part); i++)
		memory->part[i] = INT64_MIN / 2;
}

int64_t
scale_decide(const struct scale_policy *policy, struct scale_memory *memory,
    const struct scale_facts *facts)
{
	int64_t before = memory->replicas;
	bool active = !facts->known || facts->jobs > policy->activation;

	if (!memory->decided)
		(void)most_wanted(
		    policy, memory, clamp(policy, before), facts->now_ms);
	memory->decided = true;
	int64_t replicas = most_wanted(policy, memory,
	    facts->known ? wanted(policy, facts->jobs) : clamp(policy, before),
	    facts->now_ms);

	if (active)
		memory->active_ms = facts->now_ms;
	else if (replicas == 0 && before > 0 &&
	         facts->now_ms <
	             clock_after(memory->active_ms, policy->cooldown_ms))
		replicas = 1;
	if (replicas < before)
		replicas = MAX(replicas, MIN(facts->busy, before));
	memory->replicas = clamp(policy, replicas);
	return memory->replicas;
}
