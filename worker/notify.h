/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_WORKER_NOTIFY_H
#define REEVE_WORKER_NOTIFY_H

#include "base/base.h"

/*
 * What a worker says of itself over NOTIFY_SOCKET: a datagram of lines
 * NAME=value, as sd_notify(3) of systemd 252 describes them. Anybody's bytes:
 * nothing here fails, what isn't understood is left out.
 */
enum {
	NOTIFY_BYTES_MAX = 4096, /* of a datagram; longer ones are not read */
	NOTIFY_STATUS_SIZE = 128,
	NOTIFY_NEVER = -1,
};

struct notify_message {
	bool ready;    /* READY=1 */
	bool stopping; /* STOPPING=1 */
	bool alive;    /* WATCHDOG=1 */
	bool trigger;  /* WATCHDOG=trigger: as if it had missed it */
	bool has_status;
	/* microseconds from now, or NOTIFY_NEVER */
	int64_t extend_us;
	/* the name of a line that asks for what isn't done here, or NULL */
	const char *refused;
	char status[NOTIFY_STATUS_SIZE]; /* as notify_text makes it */
};

void notify_parse(const void *bytes, size_t len, struct notify_message *ret);
/* `len` bytes as one line of whole UTF-8 characters that fits: what is none, or
 * controls a terminal, is a '?'. `size` of at least 1. */
void notify_text(const char *bytes, size_t len, char *dst, size_t size);

#endif
