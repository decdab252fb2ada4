/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_REDIS_KIND_H
#define REEVE_PROBES_QUEUE_REDIS_KIND_H

#include "probes/queue/queue.h"
#include "probes/queue/redis_client.h"
#include "probes/redis_server.h"

/*
 * What every kind of queue on Redis stands on: the server, checked replies, and
 * looking in rounds. A round puts its commands into the batch of the pass that
 * all queues of the server share, and the next one reads their answers: a
 * thousand queues cost as many round trips as one.
 */
struct redis_look;
struct redis_naming;
/* -1: this queue can't be seen (queue_trouble was called). The first is called
 * before anything was sent, and each after the answers to what those before it
 * asked for. `look->server` holds the clock from the second on, the clients
 * from the third. */
typedef int redis_round_fn(struct redis_look *look, struct err *err);

/* What type a key of a layout has, as TYPE says it. */
struct redis_key_type {
	const char *key, *type;
};
/* Rows of a layout, up to one without a key, for one queue: each key behind
 * `base`, '#' being the queue's name. */
const struct redis_key_type *redis_key_types(const struct queue *queue,
    struct arena *arena, const char *base, const struct redis_key_type *rows);

/* The first member of each driver's state. */
struct redis_handle {
	struct redis_server *server;
	redis_round_fn *const *rounds;     /* NULL-terminated */
	const struct redis_naming *naming; /* set before it is opened */
	/* The layout's own keys, up to one that is NULL: one of another type
	 * is another technology's. Set before it is opened; NULL: not known. */
	const struct redis_key_type *types;
};
static inline struct redis_handle *
redis_handle_of(const struct queue *queue)
{
	return queue->state;
}

/* Opens the queue's URL; `name` as for redis_server_open. `queue->state` is
 * set before. The target becomes "ADDRESS db N WHAT". */
int redis_kind_open(struct queue *queue, const char *name, const char *what,
    redis_round_fn *const *rounds, struct err *err) MUST_CHECK;
void redis_kind_close(struct queue *queue);

/* --- one command ---------------------------------------------------------- */

/* An error reply as this queue's trouble; 0: it is none. `doing` begins the
 * text. Of a key of another type it is looked up which it is (a round trip), by
 * the handle's `types`: not while a batch is under way. */
int redis_checked(struct queue *queue, const redisReply *reply,
    const char *doing, struct err *err) MUST_CHECK;
/* The key is a `type`, and should be a `wanted` ("list"). Always -1. */
int redis_wrong_type(struct queue *queue, const char *key, const char *type,
    const char *wanted, struct err *err) MUST_CHECK;
/* The answer to a command of `key`, which should be a `wanted` or nothing. An
 * error is the queue's trouble; of a key of another type it is asked then (a
 * round trip) which it has. Not while a batch is under way. */
int redis_check_key(struct queue *queue, const redisReply *reply,
    const char *key, const char *wanted, struct err *err) MUST_CHECK;
/* One command, its reply checked. */
int redis_send(struct queue *queue, const struct redis_command *command,
    const char *doing, redisReply **ret, struct err *err) MUST_CHECK;
int redis_send_words(struct queue *queue, const char *doing, redisReply **ret,
    struct err *err, const char *const *words) MUST_CHECK;
#define redis_ask(queue, doing, ret_reply, err, ...)           \
	redis_send_words((queue), (doing), (ret_reply), (err), \
	    (const char *const[]){__VA_ARGS__, NULL})
/* A script of one key, which all of the queue's keys begin with. */
struct redis_script {
	const char *text, *key;
	const char *const *args; /* NULL-terminated */
};
int redis_run_script(struct queue *queue, const struct redis_script *script,
    const char *doing, redisReply **ret, struct err *err) MUST_CHECK;
/* A batch, sent; -1 with the queue's cause. */
int redis_batch_send(struct queue *queue, struct redis_batch *batch,
    const char *doing, struct err *err) MUST_CHECK;

/* Moves jobs by a script that takes what all of a queue's keys begin with as
 * its key (and another one, unless that is NULL), an argument, and the ids; it
 * answers 1 or 0 for each, or the id that it has now, "" for 0. */
struct redis_mover {
	const char *script, *key, *arg, *other_key;
};
int redis_move(struct queue *queue, const struct redis_mover *mover,
    const struct queue_move *move, struct arena *arena, struct queue_moved *ret,
    struct err *err) MUST_CHECK;
/* TIME's answer in ms; our own clock where it is refused. */
int64_t redis_time_ms(const redisReply *reply);
/* Keys of every kind's URL that are the connection's, not ours. */
extern const char *const redis_client_keys[];

/* --- looking -------------------------------------------------------------- */

/* The server, as one pass saw it. Texts live as long as the pass. */
struct redis_seen {
	struct arena *arena; /* of the pass */
	int64_t now_ms;   /* the server's clock; ours where TIME is refused */
	const char *info; /* of INFO; "" where it is refused */
	struct redis_clients clients;
	const char *self; /* our own address, as the server sees it */
	int64_t db;
};
/* "run_id" → its value, a copy in `arena`; "" when it isn't there. */
const char *redis_info(
    struct arena *arena, const struct redis_seen *server, const char *key);

struct redis_look {
	struct queue *queue;
	struct arena *arena; /* of the answer */
	struct queue_state *state;
	struct redis_batch *batch; /* of the whole pass */
	struct redis_seen *server;
	void *own; /* the driver's, from one round to the next */
};

/* For the table of drivers. */
int redis_kind_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err);
void redis_kind_observe_many(struct queue_pass *all, size_t count);

/* Answers as numbers: an error says why it isn't known; what is no integer is
 * none. */
struct queue_number redis_number(const struct redis_look *look, size_t asked);
/* As text, a copy in the answer's arena; NULL: nil, or no text. */
const char *redis_text(const struct redis_look *look, size_t asked);
bool redis_positive(const struct queue_number *number);
struct queue_flag redis_flag(const struct redis_look *look, enum holds is,
    const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
