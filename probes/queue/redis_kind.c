/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/redis_kind.h"

enum {
	PASS_BYTES_MAX = 256 << 20,
	ROUNDS_MAX = 8,
	CLIENTS_MAX = 16000, /* more lines are longer than a reply may be */
	FLAG_TEXT_MAX = 512,
	DOING_MAX = 256,
	TYPE_MAX = 64 /* a module's type has nine characters and a name */
};

const char *const redis_client_keys[] = {"tls.ca", "db", "master", NULL};

int
redis_kind_open(struct queue *queue, const char *name, const char *what,
    redis_round_fn *const *rounds, struct err *err)
{
	struct redis_handle *handle = redis_handle_of(queue);

	handle->rounds = rounds;
	if (redis_server_open(
	        queue->spec.url, name, &queue->ladder, &handle->server) == -1)
		return queue_trouble(queue, queue->ladder.cause,
		    queue->ladder.code != NULL ? queue->ladder.code : "", err,
		    queue->ladder.result == RESULT_FAILED ? ERR_REFUSED
		                                          : ERR_TIMEOUT,
		    "%s", queue->ladder.summary);
	const struct redis_connection *redis =
	    redis_server_main(handle->server);

	queue->target = arena_format(&queue->arena, "%s db %d %s",
	    redis_connection_address(redis), redis_connection_db(redis), what);
	return 0;
}

void
redis_kind_close(struct queue *queue)
{
	struct redis_handle *handle = redis_handle_of(queue);

	redis_server_close(handle->server);
	handle->server = NULL;
}

/* --- one command -----------------------------------------------------------
 */

static const char *
key_of(const struct queue *queue, struct arena *arena, const char *base,
    const char *key)
{
	size_t before = strcspn(key, "#");

	return key[before] == '\0'
	           ? arena_format(arena, "%s%s", base, key)
	           : arena_format(arena, "%s%.*s%s%s", base, (int)before, key,
	                 queue->name, key + before + 1);
}

const struct redis_key_type *
redis_key_types(const struct queue *queue, struct arena *arena,
    const char *base, const struct redis_key_type *rows)
{
	size_t count = 0;

	while (rows[count].key != NULL)
		count++;
	struct redis_key_type *types =
	    arena_array(arena, count + 1, sizeof(*types));

	for (size_t i = 0; i < count; i++)
		types[i] = (struct redis_key_type){
		    key_of(queue, arena, base, rows[i].key), rows[i].type};
	return types;
}

static const char *
type_for_people(const char *type)
{
	return text_equal(type, "zset") ? "sorted set" : type;
}

/* The first key of the layout that is there and of another type. False: none
 * is, or the server doesn't tell. */
static bool
find_foreign(struct queue *queue, struct err *err)
{
	const struct redis_handle *handle = redis_handle_of(queue);
	const struct redis_key_type *types = handle->types;
	struct redis_batch batch;
	bool found = false;

	if (types == NULL)
		return false;
	redis_batch_init(&batch, handle->server);
	for (size_t i = 0; types[i].key != NULL; i++)
		(void)redis_batch_ask(&batch, "TYPE", types[i].key);
	if (batch.count > 0 &&
	    redis_batch_run(&batch, queue->deadline_ms, NULL) == 0) {
		for (size_t i = 0; i < batch.count && !found; i++) {
			const redisReply *reply = redis_batch_reply(&batch, i);

			found = reply->type == REDIS_REPLY_STATUS &&
			        !text_equal(reply->str, "none") &&
			        !text_equal(reply->str, types[i].type);
			if (found)
				(void)!redis_wrong_type(queue, types[i].key,
				    type_for_people(reply->str),
				    type_for_people(types[i].type), err);
		}
	}
	redis_batch_fini(&batch);
	return found;
}

int
redis_checked(struct queue *queue, const redisReply *reply, const char *doing,
    struct err *err)
{
	const char *code = "";
	struct arena arena;

	if (reply->type != REDIS_REPLY_ERROR)
		return 0;
	arena_init(&arena, 64 << 10);
	enum cause cause = redis_error_cause(reply, &arena, &code);

	if (cause != CAUSE_WRONG_TYPE || !find_foreign(queue, err))
		(void)queue_trouble(queue, cause, code, err, ERR_REFUSED,
		    "%s: %s", doing, reply->str);
	arena_fini(&arena);
	return -1;
}

static int
connection_trouble(struct queue *queue, const char *doing, struct err *err)
{
	const struct redis_server *server = redis_handle_of(queue)->server;

	queue->cause = redis_connection_cause(redis_server_main(server));
	queue->code[0] = '\0';
	return err_wrap(err, "%s", doing);
}

int
redis_send(struct queue *queue, const struct redis_command *command,
    const char *doing, redisReply **ret, struct err *err)
{
	if (redis_server_run(redis_handle_of(queue)->server, queue->deadline_ms,
	        command, ret, err) == -1)
		return connection_trouble(queue, doing, err);
	return redis_checked(queue, *ret, doing, err);
}

int
redis_wrong_type(struct queue *queue, const char *key, const char *type,
    const char *wanted, struct err *err)
{
	return queue_trouble(queue, CAUSE_WRONG_TYPE, "WRONGTYPE", err,
	    ERR_REFUSED, "'%s' is a %s, not a %s: somebody else's protocol",
	    key, type, wanted);
}

/* The type that a key has, where the server tells. */
static void
type_of(struct queue *queue, const char *key, char ret[TYPE_MAX])
{
	CLEANUP(redis_reply_free) redisReply *reply = NULL;
	struct redis_command command;
	struct err why = ERR_INIT;

	redis_command_init(&command);
	redis_command_text(&command, "TYPE");
	redis_command_text(&command, key);
	bool known = redis_server_run(redis_handle_of(queue)->server,
	                 queue->deadline_ms, &command, &reply, &why) == 0 &&
	             reply->type == REDIS_REPLY_STATUS;

	(void)snprintf(
	    ret, TYPE_MAX, "%s", known ? reply->str : "key of another type");
}

int
redis_check_key(struct queue *queue, const redisReply *reply, const char *key,
    const char *wanted, struct err *err)
{
	char doing[DOING_MAX];
	char type[TYPE_MAX];

	(void)snprintf(
	    doing, sizeof(doing), "look at the %s '%s'", wanted, key);
	if (redis_checked(queue, reply, doing, err) == 0)
		return 0;
	if (queue->cause != CAUSE_WRONG_TYPE)
		return -1;
	type_of(queue, key, type);
	return redis_wrong_type(queue, key, type, wanted, err);
}

int
redis_send_words(struct queue *queue, const char *doing, redisReply **ret,
    struct err *err, const char *const *words)
{
	struct redis_command command;

	redis_command_init(&command);
	for (; *words != NULL; words++)
		redis_command_text(&command, *words);
	return redis_send(queue, &command, doing, ret, err);
}

int
redis_run_script(struct queue *queue, const struct redis_script *script,
    const char *doing, redisReply **ret, struct err *err)
{
	struct redis_command command;

	redis_command_init(&command);
	redis_command_text(&command, "EVAL");
	redis_command_text(&command, script->text);
	redis_command_text(&command, "1");
	redis_command_text(&command, script->key);
	for (const char *const *arg = script->args; *arg != NULL; arg++)
		redis_command_text(&command, *arg);
	return redis_send(queue, &command, doing, ret, err);
}

int
redis_batch_send(struct queue *queue, struct redis_batch *batch,
    const char *doing, struct err *err)
{
	return redis_batch_run(batch, queue->deadline_ms, err) == -1
	           ? connection_trouble(queue, doing, err)
	           : 0;
}

int64_t
redis_time_ms(const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
	    reply->element[0]->type != REDIS_REPLY_STRING ||
	    reply->element[1]->type != REDIS_REPLY_STRING)
		return clock_wall_ms();
	return strtoll(reply->element[0]->str, NULL, 10) * 1000 +
	       strtoll(reply->element[1]->str, NULL, 10) / 1000;
}

static size_t
ask_script(struct redis_batch *batch, const struct redis_mover *mover,
    struct arena *arena, const char *const *ids, size_t count)
{
	struct redis_command *command = arena_alloc(arena, sizeof(*command));

	redis_command_init(command);
	redis_command_text(command, "EVAL");
	redis_command_text(command, mover->script);
	redis_command_text(command, mover->other_key != NULL ? "2" : "1");
	redis_command_text(command, mover->key);
	if (mover->other_key != NULL)
		redis_command_text(command, mover->other_key);
	redis_command_text(command, mover->arg);
	for (size_t i = 0; i < count; i++)
		redis_command_text(command, ids[i]);
	return redis_batch_add(batch, command);
}

/* Whether the answer for one job says that it was moved; `*ret_as` is its new
 * id where that says one. */
static bool
read_moved(struct arena *arena, const redisReply *one, const char **ret_as)
{
	if (one->type != REDIS_REPLY_STRING)
		return one->type == REDIS_REPLY_INTEGER && one->integer == 1;
	*ret_as = arena_text(arena, one->str);
	return one->str[0] != '\0';
}

/* Each script moves a few jobs, whole or not at all; all go out at once. */
int
redis_move(struct queue *queue, const struct redis_mover *mover,
    const struct queue_move *move, struct arena *arena, struct queue_moved *ret,
    struct err *err)
{
	enum {
		IDS = REDIS_ARGV_MAX - 9,
		SCRIPTS = QUEUE_MOVE_MAX / IDS + 1
	};
	struct redis_batch batch;
	size_t asked[SCRIPTS];
	bool *moved = arena_array(arena, move->nids + 1, sizeof(*moved));
	const char **as = arena_array(arena, move->nids + 1, sizeof(*as));
	bool renamed = false;
	size_t count = 0;

	redis_batch_init(&batch, redis_handle_of(queue)->server);
	for (size_t at = 0; at < move->nids; at += IDS)
		asked[at / IDS] = ask_script(&batch, mover, arena,
		    move->ids + at, MIN(move->nids - at, (size_t)IDS));
	int rc = redis_batch_send(queue, &batch, "move jobs", err);

	for (size_t i = 0; rc == 0 && i < move->nids; i++) {
		const redisReply *reply =
		    redis_batch_reply(&batch, asked[i / IDS]);

		if (reply->type == REDIS_REPLY_ERROR && count > 0)
			break; /* those before it were moved: they are told */
		rc = redis_checked(queue, reply, "move jobs", err);
		if (rc == -1 || reply->type != REDIS_REPLY_ARRAY ||
		    i % IDS >= reply->elements)
			continue;
		moved[i] = read_moved(arena, reply->element[i % IDS], &as[i]);
		renamed = renamed || (moved[i] && as[i] != NULL);
		count += moved[i];
	}
	redis_batch_fini(&batch);
	if (rc == 0)
		*ret = (struct queue_moved){
		    .moved = moved, .count = count, .as = renamed ? as : NULL};
	return rc;
}

/* --- answers ---------------------------------------------------------------
 */

struct queue_number
redis_number(const struct redis_look *look, size_t asked)
{
	const redisReply *reply = redis_batch_reply(look->batch, asked);

	if (reply->type == REDIS_REPLY_ERROR)
		return queue_unknown(arena_text(look->arena, reply->str));
	if (reply->type != REDIS_REPLY_INTEGER)
		return queue_unknown("the server didn't answer with a number");
	return queue_exact(reply->integer);
}

const char *
redis_text(const struct redis_look *look, size_t asked)
{
	const redisReply *reply = redis_batch_reply(look->batch, asked);

	return reply->type == REDIS_REPLY_STRING ||
	               reply->type == REDIS_REPLY_STATUS
	           ? arena_bytes(look->arena, reply->str, (size_t)reply->len)
	           : NULL;
}

bool
redis_positive(const struct queue_number *number)
{
	return number->know == KNOW_EXACT && number->value > 0;
}

struct queue_flag
redis_flag(const struct redis_look *look, enum holds is, const char *fmt, ...)
{
	char text[FLAG_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return (struct queue_flag){
	    .is = is, .why = arena_text(look->arena, text)};
}

const char *
redis_info(
    struct arena *arena, const struct redis_seen *server, const char *key)
{
	size_t len = strlen(key);

	for (const char *at = strstr(server->info, key); at != NULL;
	     at = strstr(at + 1, key)) {
		if ((at == server->info || at[-1] == '\n') && at[len] == ':') {
			const char *value = at + len + 1;

			return arena_format(
			    arena, "%.*s", (int)strcspn(value, "\r\n"), value);
		}
	}
	return "";
}

/* --- a pass over many ------------------------------------------------------
 */

/* One queue under way. */
struct going {
	struct queue_pass *item;
	struct redis_look look;
	bool over;
};

struct pass {
	struct arena arena;
	struct redis_batch batch;
	struct redis_seen seen;
	struct going *all;
	size_t count;
	int64_t deadline_ms; /* the soonest of theirs */
	size_t time, info, clients;
	bool asked_clients;
};

static void
ask_server(struct pass *pass, int round)
{
	if (round == 0) {
		pass->time = redis_batch_ask(&pass->batch, "TIME");
		pass->info = redis_batch_ask(&pass->batch, "INFO");
	} else if (round == 1) {
		const char *text =
		    redis_info(&pass->arena, &pass->seen, "connected_clients");
		int64_t clients = 0;

		pass->asked_clients =
		    text_i64(text, 0, INT64_MAX, &clients, NULL) == -1 ||
		    clients <= CLIENTS_MAX;
		if (pass->asked_clients)
			pass->clients = redis_batch_ask(
			    &pass->batch, "CLIENT", "LIST", "TYPE", "normal");
		else
			pass->seen.clients.why = arena_format(&pass->arena,
			    "%s clients are too many to be listed", text);
	}
}

static void
read_server(struct pass *pass, int round)
{
	struct redis_seen *seen = &pass->seen;

	if (round == 1) {
		const redisReply *time =
		    redis_batch_reply(&pass->batch, pass->time);
		const redisReply *info =
		    redis_batch_reply(&pass->batch, pass->info);

		seen->now_ms = redis_time_ms(time);
		if (info->type == REDIS_REPLY_STRING)
			seen->info = info->str;
	} else if (round == 2 && pass->asked_clients) {
		redis_clients_read(&pass->arena,
		    redis_batch_reply(&pass->batch, pass->clients), seen->self,
		    &seen->clients);
	}
}

/* A replica, or a master that has stopped taking writes. */
static struct queue_flag
read_only(const struct redis_look *look)
{
	struct arena *arena = look->arena;
	const struct redis_seen *server = look->server;
	const char *role = redis_info(arena, server, "role");

	if (role[0] == '\0')
		return redis_flag(look, HOLDS_UNKNOWN, "INFO isn't allowed");
	if (text_equal(role, "slave"))
		return redis_flag(look, HOLDS_YES,
		    "role:slave of %s:%s, link %s",
		    redis_info(arena, server, "master_host"),
		    redis_info(arena, server, "master_port"),
		    redis_info(arena, server, "master_link_status"));
	return redis_flag(look, HOLDS_NO, "role:%s", role);
}

static struct queue_flag
evicts(const struct redis_look *look)
{
	const char *policy =
	    redis_info(look->arena, look->server, "maxmemory_policy");

	if (policy[0] == '\0')
		return redis_flag(look, HOLDS_UNKNOWN, "INFO isn't allowed");
	if (text_equal(redis_info(look->arena, look->server, "maxmemory"), "0"))
		return redis_flag(look, HOLDS_NO, "no maxmemory is set");
	return redis_flag(look,
	    text_equal(policy, "noeviction") ? HOLDS_NO : HOLDS_YES,
	    "maxmemory-policy %s", policy);
}

/* What every kind says alike of its server. */
static void
say_server(struct redis_look *look)
{
	struct queue_state *state = look->state;
	const struct redis_seen *server = look->server;

	state->as_of_wall_ms = server->now_ms;
	state->identity = redis_info(look->arena, server, "run_id");
	state->engine = arena_format(look->arena, "redis %s",
	    redis_info(look->arena, server, "redis_version"));
	state->read_only = read_only(look);
	state->evicts = evicts(look);
}

/* A number that the type of its key hides: the layout isn't this kind's. */
static int
check_layout(const struct redis_look *look, struct err *err)
{
	const struct queue_state *state = look->state;
	const struct queue_number *const numbers[] = {&state->waiting,
	    &state->active, &state->delayed, &state->failed, &state->dead,
	    &state->completed, &state->lease_expired};
	bool hidden = false;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		hidden |= numbers[i]->know == KNOW_UNKNOWN &&
		          numbers[i]->why != NULL &&
		          text_starts(numbers[i]->why, "WRONGTYPE");
	if (!hidden)
		return 0;
	return find_foreign(look->queue, err) ? -1 : 0;
}

static void
run_round(struct pass *pass, int round, bool *ret_more)
{
	*ret_more = false;
	for (size_t i = 0; i < pass->count; i++) {
		struct going *going = &pass->all[i];
		redis_round_fn *const *rounds =
		    redis_handle_of(going->look.queue)->rounds;

		if (going->over)
			continue;
		if (round == 1)
			say_server(&going->look);
		going->item->rc =
		    rounds[round](&going->look, &going->item->err);
		if (going->item->rc == 0 && rounds[round + 1] == NULL)
			going->item->rc =
			    check_layout(&going->look, &going->item->err);
		going->over =
		    going->item->rc == -1 || rounds[round + 1] == NULL;
		*ret_more |= !going->over;
	}
}

static void
fail_rest(struct pass *pass, const struct err *err)
{
	for (size_t i = 0; i < pass->count; i++) {
		struct going *going = &pass->all[i];

		if (going->over)
			continue;
		going->item->err = *err;
		going->item->rc = connection_trouble(
		    going->look.queue, "look", &going->item->err);
	}
}

static void
run_pass(struct pass *pass)
{
	struct err err = ERR_INIT;
	bool more = true;

	for (int round = 0; more; round++) {
		assert(round < ROUNDS_MAX);
		read_server(pass, round);
		run_round(pass, round, &more);
		if (!more)
			break;
		ask_server(pass, round);
		if (redis_batch_run(&pass->batch, pass->deadline_ms, &err) ==
		    -1) {
			fail_rest(pass, &err);
			return;
		}
	}
}

static void
pass_begin(struct pass *pass, struct redis_server *server, size_t most)
{
	const struct redis_connection *redis = redis_server_main(server);

	*pass = (struct pass){.deadline_ms = CLOCK_NEVER};
	arena_init(&pass->arena, PASS_BYTES_MAX);
	redis_batch_init(&pass->batch, server);
	pass->all = arena_array(&pass->arena, most, sizeof(*pass->all));
	pass->seen = (struct redis_seen){.arena = &pass->arena,
	    .now_ms = clock_wall_ms(),
	    .info = "",
	    .self = redis_connection_local(redis),
	    .db = redis_connection_db(redis)};
	pass->seen.clients.why = "not asked for";
}

static void
pass_add(struct pass *pass, struct queue_pass *item)
{
	struct going *going = &pass->all[pass->count++];

	going->item = item;
	going->look = (struct redis_look){.queue = item->queue,
	    .arena = item->arena,
	    .state = &item->state,
	    .batch = &pass->batch,
	    .server = &pass->seen};
	pass->deadline_ms = MIN(pass->deadline_ms, item->queue->deadline_ms);
}

static void
pass_end(struct pass *pass)
{
	redis_batch_fini(&pass->batch);
	arena_fini(&pass->arena);
}

/* Those of one server go together, whatever their kind. */
void
redis_kind_observe_many(struct queue_pass *all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		all[i].done = false;
	for (size_t i = 0; i < count; i++) {
		struct pass pass;
		struct redis_server *server =
		    redis_handle_of(all[i].queue)->server;

		if (all[i].done)
			continue;
		pass_begin(&pass, server, count - i);
		for (size_t k = i; k < count; k++) {
			if (redis_handle_of(all[k].queue)->server != server)
				continue;
			all[k].done = true;
			pass_add(&pass, &all[k]);
		}
		run_pass(&pass);
		pass_end(&pass);
	}
}

int
redis_kind_observe(struct queue *queue, struct arena *arena,
    struct queue_state *ret, struct err *err)
{
	struct queue_pass item = {
	    .queue = queue, .arena = arena, .state = *ret};

	redis_kind_observe_many(&item, 1);
	*ret = item.state;
	if (item.rc == -1 && err != NULL)
		*err = item.err;
	return item.rc;
}
