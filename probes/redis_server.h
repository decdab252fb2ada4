/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_REDIS_SERVER_H
#define REEVE_PROBES_REDIS_SERVER_H

#include "base/base.h"
#include "base/buffer.h"
#include "base/err.h"
#include "probes/ladder.h"
#include "probes/redis_connection.h"

/*
 * A Redis as one URL names it, whatever it is made of: one server (of several
 * hosts with commas, the first that lets us in), a cluster (the nodes that its
 * answers MOVED and ASK point to), or the master that Sentinel knows of
 * (redis+sentinel://s1:26379,s2:26379/0?master=NAME; rediss+sentinel: TLS to
 * all of them). A Sentinel that wants a password is given the URL's.
 */
struct redis_server;

/* `name` as for redis_connection_open. NULL is for looking only: such handles
 * of one process share one connection for each URL, so that a thousand queues
 * of a server cost one login. -1 with the reason in `ladder`. */
int redis_server_open(const char *url, const char *name, struct ladder *ladder,
    struct redis_server **ret) MUST_CHECK;
void redis_server_close(struct redis_server *server); /* NULL is fine */

/* The connection that URL led to: its address, database, cause of a failure. */
struct redis_connection *redis_server_main(const struct redis_server *server);

/* The nodes that have keys: of a cluster all masters that can be reached, as
 * they know of each other now, of anything else the one. How many. */
enum {
	REDIS_NODES_MAX = 64 /* of a cluster, that we speak to */
};
size_t redis_server_masters(struct redis_server *server, int64_t deadline_ms,
    uint8_t ret[REDIS_NODES_MAX]);

/* One command to whoever has its key; what the connection's calls of these
 * names do otherwise. */
int redis_server_run(struct redis_server *server, int64_t deadline_ms,
    const struct redis_command *command, redisReply **ret,
    struct err *err) MUST_CHECK;

/*
 * Commands that go out together and whose answers come together: one round
 * trip (of a cluster: one to each node, and another where a key has moved).
 */
struct redis_sent;
struct redis_batch {
	struct redis_server *server;
	struct buffer wire;
	struct redis_sent *sent;
	size_t count, size;
};
void redis_batch_init(struct redis_batch *batch, struct redis_server *server);
void redis_batch_fini(struct redis_batch *batch); /* frees the replies too */
/* The command is copied; its number is for redis_batch_reply. */
size_t redis_batch_add(
    struct redis_batch *batch, const struct redis_command *command);
size_t redis_batch_words(struct redis_batch *batch, const char *const *words);
#define redis_batch_ask(batch, ...) \
	redis_batch_words((batch), (const char *const[]){__VA_ARGS__, NULL})
/* Sends what was added since the last run, and takes all answers: after 0 each
 * command has a reply, if only an error. -1: redis_connection_cause of main. */
int redis_batch_run(
    struct redis_batch *batch, int64_t deadline_ms, struct err *err) MUST_CHECK;
/* To that node, of a command without a key: see redis_server_masters. */
void redis_batch_to(struct redis_batch *batch, size_t number, uint8_t node);
const redisReply *redis_batch_reply(
    const struct redis_batch *batch, size_t number);
/* The caller's from now on. */
redisReply *redis_batch_take(struct redis_batch *batch, size_t number);

/* --- for tests ------------------------------------------------------------ */
enum {
	REDIS_SLOTS = 16384
};
/* Of a key: CRC16 of its hash tag, as a cluster counts. */
unsigned redis_slot(const void *key, size_t len);
/* "MOVED 3999 127.0.0.1:6381", "ASK …": the host goes to `host`, "" when it is
 * the one that answered. False: not that. */
bool redis_redirect_parse(const char *text, bool *ret_ask, unsigned *ret_slot,
    char *host, size_t size, int *ret_port);

#endif
