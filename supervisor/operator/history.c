/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "probes/inspect.h"
#include "supervisor/operator/history.h"
#include "supervisor/operator/specs.h"

enum {
	ENTRY_MAX = 64 << 20
};

/* Workers that differ in nothing but their name have the same digest. */
static size_t
bucket_of(const char *worker, const uint8_t digest[16])
{
	uint32_t hash = (uint32_t)digest[0] << 8 | digest[1];

	for (; *worker != '\0'; worker++)
		hash = (hash ^ (unsigned char)*worker) * UINT32_C(16777619);
	return (hash ^ hash >> 16) % HISTORY_BUCKETS;
}

static struct history_entry *
find(
    const struct history *history, const char *worker, const uint8_t digest[16])
{
	struct history_entry *entry =
	    history->buckets[bucket_of(worker, digest)];

	while (entry != NULL && (memcmp(entry->digest, digest, 16) != 0 ||
	                            !text_equal(entry->name, worker)))
		entry = entry->next_like;
	return entry;
}

static struct worker_spec
spec_of(const struct history *history, const struct history_entry *entry)
{
	struct worker_spec spec;

	if (entry->copy != NULL)
		return *entry->copy;
	plan_worker(&history->plan, (uint32_t)entry->at, &spec);
	return spec;
}

/* A new one, neither copied nor in the plan yet; NULL: no memory. */
static struct history_entry *
enter(struct history *history, const struct worker_spec *spec)
{
	struct history_entry *entry = calloc(1, sizeof(*entry));
	struct history_entry **bucket =
	    &history->buckets[bucket_of(spec->name, spec->config_digest)];

	if (entry == NULL)
		return NULL;
	entry->name = spec->name;
	memcpy(entry->digest, spec->config_digest, sizeof(entry->digest));
	entry->at = entry->next_at = -1;
	entry->next = history->first;
	history->first = entry;
	entry->next_like = *bucket;
	*bucket = entry;
	return entry;
}

static void
copy_in(struct history_entry *entry, const struct worker_spec *spec)
{
	arena_init(&entry->arena, ENTRY_MAX);
	entry->copy = arena_alloc(&entry->arena, sizeof(*entry->copy));
	*entry->copy = specs_copy(&entry->arena, spec);
	entry->name = entry->copy->name;
}

void
history_force(struct history *history, const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->nworkers; i++) {
		struct worker_spec spec;
		plan_worker(plan, i, &spec);
		struct history_entry *entry =
		    find(history, spec.name, spec.config_digest);
		if (entry == NULL)
			entry = enter(history, &spec);
		if (entry == NULL)
			continue;
		entry->next_at = (int32_t)i;
	}
	for (struct history_entry *entry = history->first; entry != NULL;
	     entry = entry->next) {
		if (entry->next_at >= 0) {
			entry->name =
			    plan_worker_name(plan, (uint32_t)entry->next_at);
			entry->copy = NULL;
			arena_wipe(&entry->arena);
		} else if (entry->at >= 0) {
			struct worker_spec spec = spec_of(history, entry);
			copy_in(entry, &spec);
			entry->wanted = true;
		}
		entry->at = entry->next_at;
		entry->next_at = -1;
	}
	history->plan = *plan;
}

void
history_add(struct history *history, const struct worker_spec *spec)
{
	struct history_entry *entry =
	    find(history, spec->name, spec->config_digest);

	if (entry == NULL) {
		entry = enter(history, spec);
		if (entry == NULL)
			return;
		copy_in(entry, spec);
	}
	entry->wanted = true;
}

bool
history_find(const struct history *history, const char *worker,
    const uint8_t digest[16], struct worker_spec *ret)
{
	const struct history_entry *entry = find(history, worker, digest);

	if (entry != NULL)
		*ret = spec_of(history, entry);
	return entry != NULL;
}

const struct fingerprint *
history_print(struct history *history, const struct fingerprint_key *key,
    const char *worker, const uint8_t digest[16])
{
	struct history_entry *entry = find(history, worker, digest);

	if (entry == NULL)
		return NULL;
	if (!entry->printed) {
		const struct worker_spec spec = spec_of(history, entry);
		for (const char *const *envp = spec.envp;
		     envp != NULL && *envp != NULL; envp++)
			if (inspect_compares(*envp))
				inspect_print(key, *envp, &entry->print);
		entry->printed = true;
	}
	return &entry->print;
}

void
history_want(
    struct history *history, const char *worker, const uint8_t digest[16])
{
	struct history_entry *entry = find(history, worker, digest);

	if (entry != NULL)
		entry->wanted = true;
}

static void
prune(struct history *history, bool all)
{
	struct history_entry **at = &history->first;

	while (*at != NULL) {
		struct history_entry *entry = *at;
		if ((entry->wanted || entry->at >= 0) && !all) {
			entry->wanted = false;
			at = &entry->next;
			continue;
		}
		*at = entry->next;
		struct history_entry **like =
		    &history->buckets[bucket_of(entry->name, entry->digest)];
		while (*like != entry)
			like = &(*like)->next_like;
		*like = entry->next_like;
		arena_wipe(&entry->arena);
		free(entry);
	}
}

void
history_prune(struct history *history)
{
	prune(history, false);
}

void
history_fini(struct history *history)
{
	prune(history, true);
}
