/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "supervisor/operator/trim.h"

enum {
	LARGE_BYTES = 64 * 1024,
	/* kept at the top of the heap: a pass needs as much */
	SPARE_BYTES = 64 * 1024,
};

void
trim_prepare(void)
{
	/* Set, it doesn't grow with the largest block that was ever freed. */
	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	(void)mallopt(M_TRIM_THRESHOLD, 2 * SPARE_BYTES);
	(void)mallopt(M_TOP_PAD, SPARE_BYTES);
}

/* What nobody may write to is as it is on disk: dropped, a page comes back from
 * the page cache when it is needed again. Relocated tables lie in segments that
 * are writable to the loader, and stay. */
static int
drop_unwritten(struct dl_phdr_info *object, size_t size, void *arg)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)arg;
	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &object->dlpi_phdr[i];
		if (part->p_type != PT_LOAD || (part->p_flags & PF_W) != 0)
			continue;
		uintptr_t begin =
		    (object->dlpi_addr + part->p_vaddr) & ~(page - 1);
		uintptr_t end =
		    (object->dlpi_addr + part->p_vaddr + part->p_memsz) &
		    ~(page - 1);
		/* The loader tells addresses as numbers.
		 * NOLINTNEXTLINE(performance-no-int-to-ptr) */
		void *from = (void *)begin;

		if (end > begin)
			(void)madvise(from, end - begin, MADV_DONTNEED);
	}
	return 0;
}

void
trim(void)
{
	(void)malloc_trim(SPARE_BYTES);
	(void)dl_iterate_phdr(drop_unwritten, NULL);
}
