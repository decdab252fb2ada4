/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "probes/redis_nodes.h"

static uint16_t
crc16(const unsigned char *bytes, size_t len) /* XMODEM */
{
	uint16_t crc = 0;

	for (size_t i = 0; i < len; i++) {
		crc = (uint16_t)(crc ^ (bytes[i] << 8));
		for (int bit = 0; bit < 8; bit++)
			crc =
			    (uint16_t)((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021
			                                   : crc << 1);
	}
	return crc;
}

unsigned
redis_slot(const void *key, size_t len)
{
	const char *bytes = key;
	const char *open = memchr(bytes, '{', len);

	if (open != NULL) {
		size_t rest = len - (size_t)(open + 1 - bytes);
		const char *close = memchr(open + 1, '}', rest);

		if (close != NULL && close > open + 1) {
			bytes = open + 1;
			len = (size_t)(close - bytes);
		}
	}
	return crc16((const unsigned char *)bytes, len) % REDIS_SLOTS;
}

/* Where a command has its first key; those not listed: behind its name. */
static const struct {
	const char *name;
	int key; /* 0: it has none */
} key_places[] = {
    {"PING", 0},
    {"TIME", 0},
    {"INFO", 0},
    {"CLIENT", 0},
    {"CLUSTER", 0},
    {"SELECT", 0},
    {"SCAN", 0},
    {"ACL", 0},
    {"EVAL", 3},
    {"XINFO", 2},
    {"OBJECT", 2},
    {"PUBLISH", 0},
};

unsigned
redis_command_slot(const struct redis_command *command)
{
	int key = 1;

	for (size_t i = 0; i < ARRAY_LEN(key_places); i++)
		if (command->len[0] == strlen(key_places[i].name) &&
		    strncmp(command->argv[0], key_places[i].name,
		        command->len[0]) == 0)
			key = key_places[i].key;
	return key > 0 && key < command->argc
	           ? redis_slot(command->argv[key], command->len[key])
	           : REDIS_NO_SLOT;
}

bool
redis_redirect_parse(const char *text, bool *ret_ask, unsigned *ret_slot,
    char *host, size_t size, int *ret_port)
{
	bool ask = text_starts(text, "ASK ");
	char number[8];
	int64_t slot = 0;
	int64_t port = 0;

	if (!ask && !text_starts(text, "MOVED "))
		return false;
	const char *at = strchr(text, ' ') + 1;
	size_t len = strcspn(at, " ");
	const char *where = at + len;
	const char *colon = strrchr(where, ':');

	if (len >= sizeof(number) || *where != ' ' || colon == NULL)
		return false;
	(void)snprintf(number, sizeof(number), "%.*s", (int)len, at);
	where++;
	if (text_i64(number, 0, REDIS_SLOTS - 1, &slot, NULL) == -1 ||
	    text_i64(colon + 1, 1, 65535, &port, NULL) == -1 ||
	    (size_t)(colon - where) >= size)
		return false;
	(void)snprintf(host, size, "%.*s", (int)(colon - where), where);
	*ret_ask = ask;
	*ret_slot = (unsigned)slot;
	*ret_port = (int)port;
	return true;
}
