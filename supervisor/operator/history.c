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

	while (entry != NULL &&
	       (memcmp(entry->spec.config_digest, digest, 16) != 0 ||
	           !text_equal(entry->spec.name, worker)))
		entry = entry->next_like;
	return entry;
}

void
history_add(struct history *history, const struct worker_spec *spec)
{
	struct history_entry *entry =
	    find(history, spec->name, spec->config_digest);

	if (entry == NULL) {
		entry = calloc(1, sizeof(*entry));
		if (entry == NULL)
			return;
		arena_init(&entry->arena, ENTRY_MAX);
		entry->spec = specs_copy(&entry->arena, spec);
		entry->next = history->first;
		history->first = entry;
		struct history_entry **bucket =
		    &history
		         ->buckets[bucket_of(spec->name, spec->config_digest)];
		entry->next_like = *bucket;
		*bucket = entry;
	}
	entry->wanted = true;
}

const struct worker_spec *
history_find(
    const struct history *history, const char *worker, const uint8_t digest[16])
{
	const struct history_entry *entry = find(history, worker, digest);

	return entry == NULL ? NULL : &entry->spec;
}

const struct fingerprint *
history_print(struct history *history, const struct fingerprint_key *key,
    const char *worker, const uint8_t digest[16])
{
	struct history_entry *entry = find(history, worker, digest);

	if (entry == NULL)
		return NULL;
	const char *const *envp = entry->spec.envp;

	for (; !entry->printed && envp != NULL && *envp != NULL; envp++)
		if (inspect_compares(*envp))
			inspect_print(key, *envp, &entry->print);
	entry->printed = true;
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
		if (entry->wanted && !all) {
			entry->wanted = false;
			at = &entry->next;
			continue;
		}
		*at = entry->next;
		struct history_entry **like = &history->buckets[bucket_of(
		    entry->spec.name, entry->spec.config_digest)];
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
