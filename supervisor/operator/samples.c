/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "supervisor/operator/samples.h"

static void
free_one(struct queue_samples *one)
{
	free(one->name);
	free(one);
}

void
samples_fini(struct samples *samples)
{
	for (size_t i = 0; i < samples->count; i++)
		free_one(samples->all[i]);
	free(samples->all);
	names_fini(&samples->names);
	*samples = (struct samples){0};
}

static const char *
name_at(const void *list, size_t at)
{
	const struct samples *samples = list;

	return samples->all[at]->name;
}

static struct queue_samples *
find(const struct samples *samples, const char *queue)
{
	size_t at = names_find(&samples->names, queue, name_at, samples);

	return at == NAMES_NONE ? NULL : samples->all[at];
}

static struct queue_samples *
get(struct samples *samples, const char *queue)
{
	struct queue_samples *one = find(samples, queue);

	if (one != NULL)
		return one;
	if (samples->count == samples->room) {
		size_t room = samples->room == 0 ? 16 : 2 * samples->room;
		struct queue_samples **more = reallocarray(
		    samples->all, room, sizeof(struct queue_samples *));
		if (more == NULL)
			return NULL;
		samples->all = more;
		samples->room = room;
	}
	one = calloc(1, sizeof(*one));
	if (one == NULL)
		return NULL;
	one->name = strdup(queue);
	if (one->name == NULL) {
		free(one);
		return NULL;
	}
	samples->all[samples->count] = one;
	names_add(&samples->names, one->name, samples->count++);
	return one;
}

static void
put(struct sample *ring, size_t room, const struct sample *sample)
{
	struct sample *at = &ring[(size_t)sample->step % room];

	if (at->step != sample->step) {
		*at = *sample;
		return;
	}
	at->depth = MAX(at->depth, sample->depth);
	at->oldest_ms = MAX(at->oldest_ms, sample->oldest_ms);
}

void
samples_add(struct samples *samples, const char *queue, int64_t wall_ms,
    int64_t depth, int64_t oldest_ms)
{
	struct queue_samples *one = get(samples, queue);

	if (one == NULL || wall_ms < SAMPLE_COARSE_MS)
		return;
	struct sample sample = {.depth = depth, .oldest_ms = oldest_ms};

	sample.step = wall_ms / SAMPLE_FINE_MS;
	put(one->fine, SAMPLE_FINE_COUNT, &sample);
	sample.step = wall_ms / SAMPLE_COARSE_MS;
	put(one->coarse, SAMPLE_COARSE_COUNT, &sample);
	one->last = sample.step;
}

bool
samples_know(const struct samples *samples, const char *queue)
{
	return find(samples, queue) != NULL;
}

void
samples_forget(struct samples *samples, int64_t wall_ms)
{
	int64_t oldest = wall_ms / SAMPLE_COARSE_MS - SAMPLE_COARSE_COUNT;
	size_t kept = 0;

	for (size_t i = 0; i < samples->count; i++)
		if (samples->all[i]->last > oldest)
			samples->all[kept++] = samples->all[i];
		else
			free_one(samples->all[i]);
	if (kept == samples->count)
		return;
	samples->count = kept;
	names_set(&samples->names, kept, name_at, samples);
}

size_t
queues_history(const struct samples *samples, const char *queue,
    int64_t wall_ms, int64_t step_ms, struct sample *ret, size_t count)
{
	bool fine = step_ms == SAMPLE_FINE_MS;
	size_t room = fine ? SAMPLE_FINE_COUNT : SAMPLE_COARSE_COUNT;
	const struct queue_samples *one = find(samples, queue);
	int64_t step = wall_ms / step_ms - (int64_t)count + 1;
	size_t known = 0;

	for (size_t i = 0; i < count; i++, step++) {
		ret[i] = (struct sample){.step = step,
		    .depth = SAMPLE_UNKNOWN,
		    .oldest_ms = SAMPLE_UNKNOWN};
		if (one == NULL || step <= 0)
			continue;
		const struct sample *at =
		    &(fine ? one->fine : one->coarse)[(size_t)step % room];
		if (at->step == step)
			ret[i] = *at;
		if (ret[i].depth != SAMPLE_UNKNOWN)
			known++;
	}
	return known;
}
