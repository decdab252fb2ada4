/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_REDIS_CONNECTION_H
#define REEVE_PROBES_REDIS_CONNECTION_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "probes/ladder.h"
#include "probes/observed.h"

#include <hiredis/hiredis.h>

/*
 * One connection to a Redis server: our own socket (bounded connect, TLS with
 * the name verified), hiredis 0.14.1 only as formatter and reader of RESP2.
 * Every call has a deadline; every reply is bounded. An error reply of the
 * server is a reply (REDIS_REPLY_ERROR), never -1; after -1 the connection is
 * broken and can only be closed.
 *
 * URLs: redis://[[user]:password@]host[:6379][/db], rediss://… (TLS;
 * tls.ca=FILE), unix:///path/to.sock?db=N (also redis+unix://). Other query
 * keys are not looked at.
 */
struct redis_connection;

enum {
	REDIS_REPLY_MAX_BYTES = 8 * 1024 * 1024,
	REDIS_ARGV_MAX = 64
};

/*
 * Connects, logs in (AUTH password, or AUTH user password), selects the
 * database, sets the client's name (`name` NULL: "reeve:probe"; refusal is
 * tolerated) and asks PING. -1 with rung, cause, code and text in `ladder`
 * (texts may hold the server's words: redact them before they are shown).
 */
int redis_connection_open(const char *url, const char *name,
    struct ladder *ladder, struct redis_connection **ret) MUST_CHECK;
/* Another server than the URL's, with the same credentials and TLS. */
struct redis_place {
	const char *host;
	int port;
	bool anonymous; /* without the credentials */
	bool no_db;     /* and in database 0 */
};
int redis_connection_open_at(const char *url, const struct redis_place *place,
    const char *name, struct ladder *ladder,
    struct redis_connection **ret) MUST_CHECK;
void redis_connection_close(struct redis_connection *redis); /* NULL is fine */

/* One command of NUL-terminated words, ended by NULL:
 *     redis_connection_do(redis, deadline, &reply, err, "LLEN", key, NULL)
 * The reply is the caller's: freeReplyObject (or CLEANUP(redis_reply_free)). */
int redis_connection_do(struct redis_connection *redis, int64_t deadline_ms,
    redisReply **ret, struct err *err, ...)
    __attribute__((sentinel)) MUST_CHECK;

/* The same with lengths: payloads may hold any byte. */
struct redis_command {
	int argc;
	const char *argv[REDIS_ARGV_MAX];
	size_t len[REDIS_ARGV_MAX];
};
void redis_command_init(struct redis_command *command);
void redis_command_text(struct redis_command *command, const char *word);
void redis_command_bytes(
    struct redis_command *command, const void *bytes, size_t len);
int redis_connection_run(struct redis_connection *redis, int64_t deadline_ms,
    const struct redis_command *command, redisReply **ret,
    struct err *err) MUST_CHECK;

/* Sends what was appended; one reply for each, in order. */
int redis_connection_reply(struct redis_connection *redis, int64_t deadline_ms,
    redisReply **ret, struct err *err) MUST_CHECK;
/* A command as it goes over the wire, which the caller wipes and frees
 * (redisFreeCommand); -1: no memory. */
int redis_command_wire(const struct redis_command *command, char **ret,
    size_t *ret_len) MUST_CHECK;
int redis_connection_append_wire(struct redis_connection *redis,
    const char *wire, size_t len, struct err *err) MUST_CHECK;

/* Why the last call was -1: SILENT (out of time), UNAVAILABLE (closed by the
 * other side), WRONG_TYPE (not Redis' protocol)… */
enum cause redis_connection_cause(const struct redis_connection *redis);
/* What an error reply means (queues.md part 5); `*ret_code` (may be NULL) gets
 * its first word, "NOPERM", a copy in `arena`. */
enum cause redis_error_cause(
    const redisReply *reply, struct arena *arena, const char **ret_code);

int redis_connection_db(const struct redis_connection *redis);
const char *redis_connection_address(const struct redis_connection *redis);
const char *redis_connection_local(const struct redis_connection *redis);
/* From INFO server, asked once when first wanted; "" when refused. */
const char *redis_connection_run_id(struct redis_connection *redis);
const char *redis_connection_version(struct redis_connection *redis);

/* For CLEANUP(). */
void redis_reply_free(redisReply **reply);
void redis_connection_closep(struct redis_connection **redis);

#endif
