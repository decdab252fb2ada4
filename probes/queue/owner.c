/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/buffer.h"
#include "base/text.h"
#include "probes/queue/owner.h"
#include "probes/queue/process.h"
#include "probes/queue/queue.h"

enum {
	MACHINE_BYTES = 8,
	MACHINE_SIZE = 2 * MACHINE_BYTES + 1,
	BOOT_ID_MAX = 64
};

/* false: the kernel doesn't tell. */
static bool
machine(char dst[MACHINE_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char host[PROCESS_HOST_SIZE];
	struct err err = ERR_INIT;
	struct buffer text;
	unsigned len = 0;
	bool known = false;

	buffer_init(&text, BOOT_ID_MAX + PROCESS_HOST_SIZE);
	process_host(host);
	if (strstr(host, "pid:[") != NULL &&
	    buffer_read_file(&text, "/proc/sys/kernel/random/boot_id", &err) ==
	        0 &&
	    text.len > 0) {
		buffer_text(&text, host);
		known =
		    !text.overflow && EVP_Digest(text.data, text.len, digest,
		                          &len, EVP_sha256(), NULL) == 1;
	}
	if (known)
		(void)text_hex(digest, MACHINE_BYTES, dst);
	buffer_fini(&text);
	return known;
}

void
owner_life(char dst[OWNER_LIFE_SIZE])
{
	char here[MACHINE_SIZE];
	char nonce[QUEUE_NONCE_SIZE];
	int64_t started = 0;

	if (machine(here) && process_started(getpid(), &started) == 0) {
		(void)snprintf(dst, OWNER_LIFE_SIZE, "%s.%x.%" PRIx64, here,
		    (unsigned)getpid(), (uint64_t)started);
		return;
	}
	queue_nonce(nonce);
	(void)snprintf(dst, OWNER_LIFE_SIZE, "%s", nonce);
}

/* One hex number that ends at `end`; false: it is none. */
static bool
hex_number(const char **at, char end, int64_t *ret)
{
	char *after = NULL;

	errno = 0;
	*ret = strtoll(*at, &after, 16);
	if (after == *at || *after != end || errno != 0 || *ret < 0)
		return false;
	*at = after + (end != '\0');
	return true;
}

static enum owner_state
process_state(int64_t pid, int64_t started)
{
	int64_t now_started = 0;

	/* /proc may be hidden from us (hidepid); a signal to nobody isn't */
	if (kill((pid_t)pid, 0) == -1 && errno == ESRCH)
		return OWNER_DEAD;
	if (process_started((pid_t)pid, &now_started) == -1)
		return OWNER_UNKNOWN;
	return now_started == started ? OWNER_LIVES : OWNER_DEAD;
}

enum owner_state
owner_state(const char *owner)
{
	const char *at = strrchr(owner, ':');
	char here[MACHINE_SIZE];
	int64_t pid = 0;
	int64_t started = 0;

	if (at == NULL || !machine(here) || !text_starts(at + 1, here))
		return OWNER_UNKNOWN;
	at += 1 + strlen(here);
	if (*at++ != '.' || !hex_number(&at, '.', &pid) ||
	    !hex_number(&at, '\0', &started) || pid < 1 || pid > INT32_MAX)
		return OWNER_UNKNOWN;
	return process_state(pid, started);
}

const char *
owner_replica(struct arena *arena, const char *owner)
{
	const char *slash = strrchr(owner, '/');
	const char *colon = strrchr(owner, ':');

	if (slash == NULL || colon == NULL || slash > colon)
		return "";
	return arena_format(arena, "%.*s", (int)(colon - owner), owner);
}

bool
owner_is_of(const char *owner, const char *const *workers, size_t count)
{
	const char *slash = strrchr(owner, '/');

	for (size_t i = 0; slash != NULL && i < count; i++)
		if (strlen(workers[i]) == (size_t)(slash - owner) &&
		    strncmp(owner, workers[i], (size_t)(slash - owner)) == 0)
			return true;
	return false;
}
