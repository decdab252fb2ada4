/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <sys/mman.h>

#include "supervisor/init/tally.h"

size_t
tally_bytes(uint32_t slots)
{
	return sizeof(struct tallies) + (size_t)slots * sizeof(struct tally);
}

struct tallies *
tally_map(int fd, uint32_t slots, struct err *err)
{
	int flags = fd == -1 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *memory = mmap(
	    NULL, tally_bytes(slots), PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED) {
		(void)err_sys(err, "map the counts of output");
		return NULL;
	}
	return memory;
}

struct tally_count
tally_held(const struct tally *tally)
{
	const struct tally_count *gone[] = {
	    &tally->written, &tally->dropped, &tally->limited, &tally->lost};
	struct tally_count held = tally->received;

	/* read while the logger counts: never below nothing */
	for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
		held.lines -= MIN(held.lines, gone[i]->lines);
		held.bytes -= MIN(held.bytes, gone[i]->bytes);
	}
	return held;
}

uint64_t
tally_file_held(const struct tally_file *file)
{
	uint64_t gone = file->written + file->lost;

	return file->taken - MIN(file->taken, gone);
}

uint64_t
tally_file_settle(struct tally_file *file, bool *ret_exact)
{
	uint64_t held = tally_file_held(file);

	/* it reads when it holds nothing, and writes what it holds */
	*ret_exact = held == 0 ? file->reading == 0 : file->writing == 0;
	if (!*ret_exact)
		file->unsure = 1;
	file->lost += held;
	file->reading = file->writing = 0;
	return held;
}

void
tally_settle(struct tallies *tallies)
{
	for (uint32_t i = 0; i < tallies->used; i++) {
		struct tally *tally = &tallies->slots[i];
		struct tally_count held = tally_held(tally);

		/* a newline of ours is a line without bytes */
		if (tallies->reading == i + 1 ||
		    (tallies->writing != 0 &&
		        (held.lines > 0 || held.bytes > 0)))
			tally->unsure = 1;
		/* whoever is killed here leaves it to be settled again */
		tally_in_order();
		tally_add(&tally->lost, held.lines, held.bytes);
	}
	tally_in_order();
	tallies->reading = tallies->writing = 0;
	tallies->write_ms = 0;
}
