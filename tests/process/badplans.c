/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies beside a copy of `reeve` under the name reeve-tool, so the init starts
 * it as its operator. Hands over the plan in $PLAN, then everything that is
 * nearly that plan, and says in $SAID what came of it: a line for each that was
 * accepted, and "done COUNT" at the end.
 */
#include "base/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/wire/client.h"
#include "supervisor/wire/format.h"
#include "supervisor/wire/plan_encode.h"

enum {
	PATIENCE_MS = 60000
};

static struct wire_client client = {.fd = -1};
static FILE *said;
static unsigned sent;

NORETURN static void
die(const struct err *err)
{
	(void)fprintf(said, "failed: %s\n", err->text);
	(void)fflush(said);
	_exit(99);
}

static bool
accepted(int fd)
{
	union wire_message message;
	struct err err = ERR_INIT;
	uint32_t sequence = 0;
	int fds[WIRE_FDS_MAX];

	sent++;
	if (wire_client_plan(&client, fd, &sequence, &err) == -1)
		die(&err);
	for (;;) {
		if (wire_client_wait(&client, &message, fds,
		        clock_after(clock_ms(), PATIENCE_MS), &err) == -1)
			die(&err);
		if (message.head.type == WIRE_REPLY &&
		    message.head.sequence == sequence)
			return message.reply.ok != 0;
	}
}

static void
offer(const char *what, size_t at, int fd)
{
	if (accepted(fd))
		(void)fprintf(said, "accepted: %s %zu\n", what, at);
}

static void
offer_bytes(const char *what, size_t at, const void *bytes, size_t len)
{
	struct err err = ERR_INIT;
	int fd = -1;

	if (plan_memfd(bytes, len, &fd, &err) == -1)
		die(&err);
	offer(what, at, fd);
	fd_close(&fd);
}

/* As if whoever wrote it had got length and sum right. */
static void
offer_summed(const char *what, size_t at, void *bytes, size_t len)
{
	struct plan_header *header = bytes;

	header->total_bytes = len;
	header->checksum = 0;
	header->checksum = plan_checksum(PLAN_CHECKSUM_START, bytes, len);
	offer_bytes(what, at, bytes, len);
}

static void
offer_changed(const struct buffer *plan)
{
	unsigned char *copy = aligned_alloc(8, (plan->len + 15) & ~(size_t)7);
	struct plan_header *header = (void *)copy;
	struct err err = ERR_INIT;

	if (copy == NULL) {
		(void)err_set(&err, ERR_SYSTEM, "no memory");
		die(&err);
	}
	memcpy(copy, plan->data, plan->len);
	for (size_t i = 0; i < plan->len; i++) {
		offer_bytes("cut", i, plan->data, i);
		copy[i] ^= 0x81;
		offer_bytes("changed", i, copy, plan->len);
		copy[i] ^= 0x81;
	}
	for (size_t i = sizeof(*header); i < plan->len; i += 8) {
		memcpy(copy, plan->data, plan->len);
		offer_summed("cut and summed", i, copy, i);
	}
	memcpy(copy, plan->data, plan->len);
	header->version++;
	offer_summed("version", header->version, copy, plan->len);
	memcpy(copy, plan->data, plan->len);
	header->magic[0] ^= 1;
	offer_summed("magic", 0, copy, plan->len);
	memcpy(copy, plan->data, plan->len);
	/* offsets and counts of the sections */
	for (size_t i = offsetof(struct plan_header, sections);
	     i < offsetof(struct plan_header, options); i += 4) {
		memcpy(copy, plan->data, plan->len);
		memset(copy + i, 0xff, 4);
		offer_summed("outside", i, copy, plan->len);
	}
	free(copy);
}

static void
offer_others(const struct buffer *plan)
{
	int fd = memfd_create("unsealed", MFD_CLOEXEC);
	struct err err = ERR_INIT;

	if (fd == -1 || fd_write_all(fd, plan->data, plan->len, &err) == -1)
		die(&err);
	offer("unsealed", 0, fd);
	if (ftruncate(fd, (off_t)PLAN_BYTES_MAX + 4096) == -1)
		die(&err);
	offer("oversized", 0, fd);
	fd_close(&fd);
	offer("none", 0, -1);
	fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	offer("device", 0, fd);
	fd_close(&fd);
}

int
main(void)
{
	const char *path = getenv("PLAN"), *to = getenv("SAID");
	union wire_message message;
	struct err err = ERR_INIT;
	struct buffer plan;
	int fds[WIRE_FDS_MAX];

	said = to == NULL ? NULL : fopen(to, "we");
	if (said == NULL || path == NULL)
		return 99;
	buffer_init(&plan, PLAN_BYTES_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1 || buffer_read_all(&plan, fd, &err) == -1)
		die(&err);
	fd_close(&fd);
	wire_client_adopt(&client, WIRE_OPERATOR_FD);
	offer_bytes("the plan", 0, plan.data, plan.len);
	offer_changed(&plan);
	offer_others(&plan);
	(void)fprintf(said, "done %u\n", sent);
	(void)fflush(said);
	while (
	    wire_client_wait(&client, &message, fds, CLOCK_NEVER, &err) != -1)
		continue;
	return 0;
}
