/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "probes/redis_connection.h"

/* Commands on their way out, and what an error that comes back means. */

void
redis_reply_free(redisReply **reply)
{
	if (*reply != NULL)
		freeReplyObject(*reply);
	*reply = NULL;
}

void
redis_command_init(struct redis_command *command)
{
	command->argc = 0;
}

void
redis_command_bytes(
    struct redis_command *command, const void *bytes, size_t len)
{
	assert(command->argc < REDIS_ARGV_MAX);
	command->argv[command->argc] = bytes;
	command->len[command->argc++] = len;
}

void
redis_command_text(struct redis_command *command, const char *word)
{
	redis_command_bytes(command, word, strlen(word));
}

int
redis_command_wire(
    const struct redis_command *command, char **ret, size_t *ret_len)
{
	const char *argv[REDIS_ARGV_MAX];
	char *wire = NULL;

	/* hiredis wants an array that it could change */
	memcpy(argv, command->argv, (size_t)command->argc * sizeof(*argv));
	int len =
	    redisFormatCommandArgv(&wire, command->argc, argv, command->len);

	if (len < 0 || wire == NULL)
		return -1;
	*ret = wire;
	*ret_len = (size_t)len;
	return 0;
}

/* queues.md part 5: matched at the beginning, the words behind differ between
 * versions. */
static const struct {
	const char *prefix;
	enum cause cause;
} error_causes[] = {
    {"NOAUTH", CAUSE_AUTH},
    {"WRONGPASS", CAUSE_AUTH},
    {"ERR AUTH <password> called without any password configured", CAUSE_AUTH},
    {"ERR Client sent AUTH, but no password is set", CAUSE_AUTH},
    {"ERR invalid password", CAUSE_AUTH},
    {"NOPERM", CAUSE_PERMISSION},
    {"ERR The user executing the script", CAUSE_PERMISSION}, /* 7.0 */
    {"DENIED", CAUSE_PERMISSION},
    {"ERR unknown command", CAUSE_PERMISSION}, /* renamed away, managed */
    {"ERR DB index is out of range", CAUSE_WRONG_DATABASE},
    {"ERR invalid DB index", CAUSE_WRONG_DATABASE},
    {"ERR SELECT is not allowed in cluster mode", CAUSE_WRONG_DATABASE},
    {"WRONGTYPE", CAUSE_WRONG_TYPE},
    {"READONLY", CAUSE_UNAVAILABLE},
    {"MISCONF", CAUSE_UNAVAILABLE},
    {"OOM", CAUSE_UNAVAILABLE},
    {"LOADING", CAUSE_UNAVAILABLE},
    {"BUSY", CAUSE_UNAVAILABLE},
    {"MASTERDOWN", CAUSE_UNAVAILABLE},
    {"CLUSTERDOWN", CAUSE_UNAVAILABLE},
    {"TRYAGAIN", CAUSE_UNAVAILABLE},
    {"NOREPLICAS", CAUSE_UNAVAILABLE},
    {"ERR max number of clients reached", CAUSE_UNAVAILABLE},
    {"MOVED", CAUSE_MISMATCH},
    {"ASK", CAUSE_MISMATCH},
    {"CROSSSLOT", CAUSE_MISMATCH},
    {"NOSCRIPT", CAUSE_NOT_FOUND},
};

enum cause
redis_error_cause(
    const redisReply *reply, struct arena *arena, const char **ret_code)
{
	const char *text = reply->str != NULL ? reply->str : "";

	if (ret_code != NULL)
		*ret_code = arena_bytes(arena, text, strcspn(text, " "));
	for (size_t i = 0; i < ARRAY_LEN(error_causes); i++)
		if (text_starts(text, error_causes[i].prefix))
			return error_causes[i].cause;
	return CAUSE_MISMATCH;
}
