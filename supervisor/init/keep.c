/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/text.h"
#include "supervisor/init/keep.h"

enum {
	RING_MIN = 32768, /* a line of LOGGER_LINE_MAX and its head fit */
	ALIGN = 8,
};

static void *
map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static uint32_t
power_of_two(uint32_t at_least)
{
	uint32_t size = RING_MIN;

	while (size < at_least && size < 1U << 30)
		size *= 2;
	return size;
}

int
keep_init(struct keep *keep, uint32_t max, uint32_t ring_bytes, struct err *err)
{
	struct keep fresh = {
	    .max = max, .ring_bytes = power_of_two(ring_bytes)};

	fresh.instances = map(max * sizeof(*fresh.instances));
	if (fresh.instances == NULL)
		return err_sys(err, "map %lu instances", (unsigned long)max);
	for (;;) {
		fresh.rings = map((size_t)max * fresh.ring_bytes);
		if (fresh.rings != NULL)
			break;
		if (fresh.ring_bytes == RING_MIN) {
			(void)err_sys(err, "map %lu rings", (unsigned long)max);
			(void)munmap(
			    fresh.instances, max * sizeof(*fresh.instances));
			return -1;
		}
		fresh.ring_bytes /= 2;
	}
	*keep = fresh;
	return 0;
}

void
keep_fini(struct keep *keep)
{
	(void)munmap(keep->instances, keep->max * sizeof(*keep->instances));
	(void)munmap(keep->rings, (size_t)keep->max * keep->ring_bytes);
	*keep = (struct keep){.max = 0};
}

struct keep_instance *
keep_instance(struct keep *keep, uint32_t slot, uint32_t incarnation,
    const char *worker, uint32_t replica)
{
	struct keep_instance *instance = &keep->instances[slot];

	assert(slot < keep->max);
	keep->count = MAX(keep->count, slot + 1);
	if (instance->worker[0] != '\0' && instance->incarnation == incarnation)
		return instance;
	/* offsets and numbers go on: who still reads here sees a loss, not
	 * another's lines as its own */
	(void)!text_copy(
	    instance->worker, sizeof(instance->worker), worker, NULL);
	instance->replica = replica;
	instance->slot = slot;
	instance->incarnation = incarnation;
	instance->pid = instance->previous = 0;
	instance->tail = instance->head;
	instance->first = instance->next;
	return instance;
}

void
keep_started(struct keep_instance *instance, int64_t pid)
{
	if (instance->pid == pid)
		return;
	instance->previous = instance->pid;
	instance->pid = pid;
}

static char *
ring_of(const struct keep *keep, const struct keep_instance *instance)
{
	size_t index = (size_t)(instance - keep->instances);

	return keep->rings + index * keep->ring_bytes;
}

static void
ring_put(const struct keep *keep, const struct keep_instance *instance,
    uint64_t at, const void *bytes, size_t len)
{
	char *ring = ring_of(keep, instance);
	size_t start = at & (keep->ring_bytes - 1);
	size_t room = MIN(len, keep->ring_bytes - start);

	bytes_copy(ring + start, bytes, room);
	if (room < len)
		memcpy(ring, (const char *)bytes + room, len - room);
}

static void
ring_get(const struct keep *keep, const struct keep_instance *instance,
    uint64_t at, void *bytes, size_t len)
{
	const char *ring = ring_of(keep, instance);
	size_t start = at & (keep->ring_bytes - 1);
	size_t room = MIN(len, keep->ring_bytes - start);

	memcpy(bytes, ring + start, room);
	memcpy((char *)bytes + room, ring, len - room);
}

static uint64_t
size_of(size_t len)
{
	return (sizeof(struct keep_line) + len + ALIGN - 1) &
	       ~(uint64_t)(ALIGN - 1);
}

static void
forget_oldest(struct keep *keep, struct keep_instance *instance)
{
	struct keep_line line;

	ring_get(keep, instance, instance->tail, &line, sizeof(line));
	instance->tail += size_of(line.len);
	instance->first++;
}

void
keep_add(struct keep *keep, struct keep_instance *instance, uint32_t lines_max,
    struct keep_line *line, const char *text)
{
	uint64_t size = size_of(line->len);

	line->order = keep->order++;
	line->number = instance->next++;
	if (size > keep->ring_bytes || lines_max == 0) {
		instance->tail = instance->head;
		instance->first = instance->next;
		return;
	}
	while (instance->head - instance->tail + size > keep->ring_bytes ||
	       (instance->tail < instance->head &&
	           line->number - instance->first >= lines_max))
		forget_oldest(keep, instance);
	ring_put(keep, instance, instance->head, line, sizeof(*line));
	ring_put(
	    keep, instance, instance->head + sizeof(*line), text, line->len);
	instance->head += size;
}

uint32_t
keep_last(const struct keep *keep, uint32_t lines_max, const char *bytes,
    size_t len, size_t *ret_at)
{
	uint64_t used = 0;
	uint32_t count = 0;

	for (*ret_at = len; count<lines_max && * ret_at> 0; count++) {
		size_t end = *ret_at - 1; /* the line's newline */
		size_t start = bytes_lines_end(bytes, end);
		used += size_of(end - start);
		if (used > keep->ring_bytes)
			break;
		*ret_at = start;
	}
	return count;
}

void
keep_skip(struct keep *keep, struct keep_instance *instance, uint32_t count)
{
	keep->order += count;
	instance->next += count;
	instance->tail = instance->head;
	instance->first = instance->next;
}

bool
keep_read(const struct keep *keep, const struct keep_instance *instance,
    uint64_t *at, struct keep_line *ret_line, char *ret_text)
{
	uint64_t from = MAX(*at, instance->tail);

	if (from >= instance->head)
		return false;
	ring_get(keep, instance, from, ret_line, sizeof(*ret_line));
	if (ret_text != NULL)
		ring_get(keep, instance, from + sizeof(*ret_line), ret_text,
		    ret_line->len);
	*at = from + size_of(ret_line->len);
	return true;
}
