/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "supervisor/operator/history.h"
#include "supervisor/operator/specs.h"

enum {
	ENTRY_MAX = 64 << 20
};

static struct history_entry *
find(
    const struct history *history, const char *worker, const uint8_t digest[16])
{
	struct history_entry *entry = history->first;

	while (entry != NULL &&
	       (memcmp(entry->spec.config_digest, digest, 16) != 0 ||
	           !text_equal(entry->spec.name, worker)))
		entry = entry->next;
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
