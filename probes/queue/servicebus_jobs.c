/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/digest.h"
#include "probes/queue/servicebus.h"

/*
 * Dead letters of Service Bus, as people look at them, and their way back.
 *
 * A message is shown only by locking it, and each lock counts as a delivery.
 * MaxDeliveryCount doesn't bound those of a dead letter, so dead letters are
 * looked at, and each is given back; a lock that can't be ends by itself, after
 * LockDuration. No waiting message is ever locked.
 *
 * A dead letter goes back as a copy that the service has taken, and only then
 * is deleted where it was: over REST nothing makes one of the two. Nothing is
 * lost; a connection that ends between them leaves it in both.
 */
enum {
	SHOWN_MAX = 100,   /* locked by one look */
	LOOKED_MAX = 1000, /* by one move */
	LETTER_MAX = 16 << 20,
	PROPERTIES_MAX = 64 << 10,
	ESCAPED_MAX = 6 * PROPERTIES_MAX,
	OWN_HEADERS = 3, /* of a copy: all but the application's */
	SERVER_ERROR = 500,
	MS_PER_S = 1000
};
/* Seconds; a message without an end is said to have some more. */
static const double LIFE_MAX_S = 9e11;

static const char NO_RECLAIM[] =
    "Service Bus gives a message out again when its lock ends: there is "
    "nothing to reclaim";
static const char NO_LOCK[] =
    "what Service Bus answered names no lock of a message";

/* --- what a message says about itself --------------------------------------
 */

struct letter {               /* whose lock we have */
	const char *lock;     /* "NUMBER/TOKEN", as in its URL; NULL: none */
	const char *sequence; /* its number in the queue of dead letters */
	const char *id;       /* MessageId, else the body's digest */
	const char *error;
	const char *broker; /* BrokerProperties */
	int64_t attempts, since_ms;
	struct cloud_reply reply;
};

/* The digits behind `"name":`, which a double would round: those of a
 * partitioned queue are beyond 2^53. */
static const char *
digits_of(struct arena *arena, const char *json, const char *name)
{
	const char *at = strstr(json, arena_format(arena, "\"%s\":", name));

	if (at == NULL)
		return "";
	at += strlen(name) + 3;
	at += strspn(at, " ");
	return arena_bytes(arena, at, strspn(at, "0123456789"));
}

/* Out of the URL of the lock what is ours to name in a request: two parts. */
static const char *
lock_of(struct arena *arena, const char *location)
{
	static const char before[] = "/messages/";
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789-_~%";
	const char *at = NULL;

	for (const char *next = location; (next = strstr(next, before)) != NULL;
	     next = at)
		at = next + strlen(before);
	if (at == NULL)
		return NULL;
	size_t number = strspn(at, allowed);
	size_t token = at[number] == '/' ? strspn(at + number + 1, allowed) : 0;
	const char *end = at + number + 1 + token;

	if (number == 0 || token == 0 || (*end != '\0' && *end != '?'))
		return NULL;
	return arena_bytes(arena, at, number + 1 + token);
}

/* A text among the application's properties is written in quotes. */
static const char *
unquoted(struct arena *arena, const char *value)
{
	size_t len = strlen(value);

	if (len < 2 || value[0] != '"' || value[len - 1] != '"')
		return value;
	return arena_bytes(arena, value + 1, len - 2);
}

static const char *
error_of(struct arena *arena, const struct cloud_reply *reply)
{
	const char *reason =
	    unquoted(arena, cloud_header(arena, reply, "DeadLetterReason"));
	const char *more = unquoted(
	    arena, cloud_header(arena, reply, "DeadLetterErrorDescription"));

	if (reason[0] == '\0' || more[0] == '\0')
		return reason[0] != '\0' ? reason : more;
	return arena_format(arena, "%s: %s", reason, more);
}

/* "Sun, 22 Nov 2026 13:00:00 GMT" */
static int64_t
time_of(const char *text)
{
	struct tm tm = {.tm_year = 0};

	if (strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) == NULL)
		return -1;
	return (int64_t)timegm(&tm) * MS_PER_S;
}

static int
read_letter(struct queue *queue, struct arena *arena, struct letter *ret,
    struct err *err)
{
	struct cloud_reply *reply = &ret->reply;

	ret->broker = cloud_header(arena, reply, "BrokerProperties");
	ret->lock = lock_of(arena, cloud_header(arena, reply, "Location"));
	ret->sequence = digits_of(arena, ret->broker, "SequenceNumber");
	CLEANUP(json_free)
	cJSON *broker = json_read(ret->broker, strlen(ret->broker), NULL);

	if (!cJSON_IsObject(broker) || ret->lock == NULL ||
	    ret->sequence[0] == '\0')
		return queue_trouble(
		    queue, CAUSE_WRONG_TYPE, "", err, ERR_INPUT, "%s", NO_LOCK);
	ret->id = arena_text(arena, cloud_text(broker, "MessageId"));
	ret->error = error_of(arena, reply);
	ret->since_ms = time_of(cloud_text(broker, "EnqueuedTimeUtc"));
	if (json_i64(broker, "DeliveryCount", -1, &ret->attempts, NULL) == -1)
		ret->attempts = -1;
	if (ret->id[0] == '\0') {
		char *digest = arena_alloc(arena, QUEUE_DIGEST_SIZE);

		queue_digest(reply->body, reply->len, digest);
		ret->id = digest;
	}
	return 0;
}

/* --- locks -----------------------------------------------------------------
 */

struct held {
	const char *lock, *sequence;
};
/* A walk through the dead letters: each is kept locked until the end, or the
 * next one locked would be the same. */
struct walk {
	struct queue *queue;
	struct arena *arena; /* of the locks */
	const char *path;    /* of the dead letters */
	struct held *held;   /* room for `most` and one */
	size_t nheld, looked, most;
	int64_t until_ms; /* then there is but time to give them back */
	bool over;        /* there is none that wasn't seen */
};

static void
walk_begin(
    struct walk *walk, struct queue *queue, struct arena *arena, size_t most)
{
	const struct servicebus *bus = queue->state;

	*walk = (struct walk){.queue = queue,
	    .arena = arena,
	    .most = most,
	    .held = arena_array(arena, most + 1, sizeof(*walk->held)),
	    .until_ms = clock_ms() + queue_remaining_ms(queue) / 4 * 3,
	    .path = arena_format(
	        arena, "%s/$DeadLetterQueue/messages", bus->entity)};
}

static bool
walk_goes_on(const struct walk *walk)
{
	return !walk->over && walk->looked < walk->most &&
	       clock_ms() < walk->until_ms;
}

/* A lock that ended while we walked shows its message once more. */
static bool
seen_before(const struct walk *walk, const char *sequence)
{
	for (size_t i = 0; i < walk->nheld; i++) {
		if (text_equal(walk->held[i].sequence, sequence))
			return true;
	}
	return false;
}

/* Locks the next one, which is in `held` then. Without one the walk is over;
 * call cloud_reply_fini in every case. */
static int
walk_on(
    struct walk *walk, struct arena *arena, struct letter *ret, struct err *err)
{
	struct http_request request = {.method = "POST",
	    .body = "",
	    .headers = {"Content-Type:"},
	    .nheaders = 1,
	    .http1 = true};

	*ret = (struct letter){.lock = NULL};
	if (servicebus_ask(walk->queue, arena,
	        arena_format(arena, "%s/head?timeout=1", walk->path), &request,
	        &ret->reply, err) == -1)
		return -1;
	if (ret->reply.status == SERVICEBUS_NOTHING) {
		walk->over = true;
		return 0;
	}
	if (read_letter(walk->queue, arena, ret, err) == -1)
		return -1;
	walk->over = seen_before(walk, ret->sequence);
	walk->looked++;
	walk->held[walk->nheld++] =
	    (struct held){arena_text(walk->arena, ret->lock),
	        arena_text(walk->arena, ret->sequence)};
	return 0;
}

/* PUT gives the message back, DELETE ends it. */
static int
settle(struct walk *walk, struct arena *arena, const char *lock,
    const char *method, long *ret_status, struct err *err)
{
	struct http_request request = {.method = method,
	    .body = "", /* a length of 0 is said */
	    .headers = {"Content-Type:"},
	    .nheaders = 1};
	struct cloud_reply reply = {.body = ""};
	int rc = servicebus_ask(walk->queue, arena,
	    arena_format(arena, "%s/%s", walk->path, lock), &request, &reply,
	    err);

	*ret_status = reply.status;
	cloud_reply_fini(&reply);
	return rc;
}

/* The queue's trouble is what went wrong before, if anything. */
static void
walk_end(struct walk *walk)
{
	struct queue *queue = walk->queue;
	enum cause cause = queue->cause;
	char code[QUEUE_CODE_SIZE];

	memcpy(code, queue->code, sizeof(code));
	for (size_t i = 0; i < walk->nheld; i++) {
		struct arena arena;
		struct err err = ERR_INIT;
		long status = 0;

		arena_init(&arena, LETTER_MAX);
		int rc = settle(
		    walk, &arena, walk->held[i].lock, "PUT", &status, &err);

		arena_fini(&arena);
		if (rc == -1 && status == 0)
			break; /* nobody answers any more: they end by
			          themselves */
	}
	queue->cause = cause;
	memcpy(queue->code, code, sizeof(code));
}

/* --- looking ---------------------------------------------------------------
 */

static void
show(struct arena *arena, const struct letter *letter, struct queue_item *ret)
{
	size_t shown = MIN(letter->reply.len, (size_t)QUEUE_PEEK_MAX);

	*ret = (struct queue_item){.id = arena_text(arena, letter->id),
	    .error = arena_text(arena, letter->error),
	    .owner = "",
	    .payload = arena_bytes(arena, letter->reply.body, shown),
	    .payload_len = shown,
	    .payload_whole =
	        letter->reply.cut ? -1 : (int64_t)letter->reply.len,
	    .age_ms = letter->since_ms >= 0
	                  ? MAX(clock_wall_ms() - letter->since_ms, 0)
	                  : -1,
	    .attempts = letter->attempts};
}

int
servicebus_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	size_t most = MIN(limit, (size_t)SHOWN_MAX);
	struct queue_item *items = arena_array(arena, most + 1, sizeof(*items));
	struct walk walk;
	int rc = 0;

	if (part == PART_EXPIRED)
		return err_set(err, ERR_UNSUPPORTED, "%s", NO_RECLAIM);
	if (part != PART_DEAD)
		return err_set(err, ERR_UNSUPPORTED,
		    "Service Bus shows a message only to who locks it, and that "
		    "counts as a delivery: looked at too often it would become "
		    "a dead letter; those alone are shown");
	*ret = (struct queue_page){.items = items};
	walk_begin(&walk, queue, arena, most);
	while (rc == 0 && walk_goes_on(&walk)) {
		struct letter letter;
		struct arena one;

		arena_init(&one, LETTER_MAX);
		rc = walk_on(&walk, &one, &letter, err);
		if (rc == 0 && !walk.over)
			show(arena, &letter, &items[ret->count++]);
		cloud_reply_fini(&letter.reply);
		arena_fini(&one);
	}
	walk_end(&walk);
	/* of those that nobody else has locked */
	ret->total = (struct queue_number){
	    (int64_t)ret->count, walk.over ? KNOW_EXACT : KNOW_AT_LEAST, NULL};
	return rc;
}

/* --- moving ----------------------------------------------------------------
 */

/* ASCII alone goes through a header whatever is in between. */
static void
append_escaped(struct buffer *out, const char *json)
{
	const unsigned char *at = (const unsigned char *)json;

	while (*at != '\0') {
		uint32_t rune = *at++;

		if (rune < 0x80) {
			buffer_format(out, "%c", (int)rune);
			continue;
		}
		/* jsonw writes nothing but well-formed UTF-8 */
		int more = rune >= 0xF0 ? 3 : rune >= 0xE0 ? 2 : 1;

		rune &= 0x3FU >> more;
		for (; more > 0; more--)
			rune = rune << 6 | (*at++ & 0x3FU);
		if (rune >= 0x10000)
			buffer_format(out, "\\u%04x\\u%04x",
			    0xD800 + ((rune - 0x10000) >> 10),
			    0xDC00 + ((rune - 0x10000) & 0x3FF));
		else
			buffer_format(out, "\\u%04x", rune);
	}
}

/* What an application may set of the broker's properties. */
static const char *
properties_of(struct arena *arena, const char *text)
{
	static const char *const names[] = {"MessageId", "CorrelationId",
	    "SessionId", "Label", "ReplyTo", "ReplyToSessionId", "To",
	    "PartitionKey"};
	CLEANUP(json_free) cJSON *broker = json_read(text, strlen(text), NULL);
	const cJSON *life =
	    cJSON_GetObjectItemCaseSensitive(broker, "TimeToLive");
	struct buffer json;
	struct buffer escaped;
	struct jsonw out;

	buffer_init(&json, PROPERTIES_MAX);
	buffer_init(&escaped, ESCAPED_MAX);
	jsonw_init(&out, &json, false);
	jsonw_object(&out, NULL);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *value = cloud_text(broker, names[i]);

		if (value[0] != '\0')
			jsonw_text(&out, names[i], value);
	}
	if (cJSON_IsNumber(life) && life->valuedouble < LIFE_MAX_S)
		jsonw_double(&out, "TimeToLive", life->valuedouble);
	jsonw_end(&out);
	append_escaped(&escaped, json.data);
	const char *ret = json.overflow || escaped.overflow
	                      ? NULL
	                      : arena_bytes(arena, escaped.data, escaped.len);

	buffer_fini(&json);
	buffer_fini(&escaped);
	return ret;
}

/* The application's own properties are headers whose value is a text in quotes,
 * a number, or true or false; no other header of HTTP is, but those here. */
static bool
is_applications(const char *line, size_t len)
{
	static const char *const others[] = {"Content-Length:", "ETag:", "Age:",
	    "Retry-After:", "Authorization:", "BrokerProperties:",
	    /* what was written on it when it died */
	    "DeadLetterReason:", "DeadLetterErrorDescription:"};
	const char *value = memchr(line, ':', len);
	char *end = NULL;

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (strncasecmp(line, others[i], strlen(others[i])) == 0)
			return false;
	}
	if (value == NULL || len - (size_t)(value - line) < 3)
		return false;
	value += 2; /* ": " */
	size_t size = len - (size_t)(value - line);

	if (value[0] == '"')
		return size >= 2 && value[size - 1] == '"';
	if ((size == 4 && strncasecmp(value, "true", size) == 0) ||
	    (size == 5 && strncasecmp(value, "false", size) == 0))
		return true;
	(void)strtod(value, &end);
	return end == value + size;
}

static int
copy_of(
    struct arena *arena, const struct letter *letter, struct http_request *ret)
{
	const char *type = cloud_header(arena, &letter->reply, "Content-Type");
	const char *broker = properties_of(arena, letter->broker);
	const char *next = NULL;

	*ret = (struct http_request){.method = "POST",
	    .body = letter->reply.body,
	    .body_len = letter->reply.len,
	    .http1 = true};
	if (letter->reply.cut || broker == NULL)
		return -1;
	ret->headers[ret->nheaders++] =
	    arena_format(arena, "BrokerProperties: %s", broker);
	ret->headers[ret->nheaders++] =
	    arena_format(arena, "Content-Type: %s", type);
	for (const char *at = letter->reply.headers; at[0] != '\0'; at = next) {
		size_t len = strcspn(at, "\n");

		next = at + len + (at[len] == '\n');
		if (!is_applications(at, len))
			continue;
		if (ret->nheaders + 1 == HTTP_HEADERS_MAX)
			return -1;
		ret->headers[ret->nheaders++] = arena_bytes(arena, at, len);
	}
	return 0;
}

struct moving {
	const struct queue_move *move;
	bool *moved;
	size_t count;
	struct walk walk;
};

static int
send_copy(struct queue *queue, struct arena *arena, const struct letter *letter,
    struct err *err)
{
	const struct servicebus *bus = queue->state;
	struct http_request request;
	struct cloud_reply reply = {.body = ""};

	if (copy_of(arena, letter, &request) == -1)
		return queue_trouble(queue, CAUSE_MISMATCH, "size", err,
		    ERR_REFUSED,
		    "'%s' has more than 1 MiB, or more than %d properties",
		    letter->id, HTTP_HEADERS_MAX - OWN_HEADERS);
	int rc = servicebus_ask(queue, arena,
	    arena_format(arena, "%s/messages", bus->sendto), &request, &reply,
	    err);

	cloud_reply_fini(&reply);
	if (rc == 0)
		return 0;
	if (reply.status != 0 && reply.status < SERVER_ERROR)
		return err_wrap(err, "'%s'", letter->id);
	queue->code[0] = '\0'; /* no refusal */
	return err_wrap(err,
	    "'%s' is perhaps in the queue again, and a dead letter still",
	    letter->id);
}

static int
move_one(struct moving *moving, struct arena *arena, struct letter *letter,
    struct err *err)
{
	struct walk *walk = &moving->walk;
	long status = 0;

	if (walk_on(walk, arena, letter, err) == -1)
		return -1;
	size_t at = walk->over ? moving->move->nids
	                       : queue_move_wanted(
	                             moving->move, moving->moved, letter->id);

	if (at == moving->move->nids)
		return 0;
	if (send_copy(walk->queue, arena, letter, err) == -1)
		return -1;
	moving->moved[at] = true;
	moving->count++;
	if (settle(walk, arena, letter->lock, "DELETE", &status, err) == -1)
		return err_wrap(err,
		    "'%s' is in the queue again, and perhaps a dead letter "
		    "still",
		    letter->id);
	walk->nheld--;
	return 0;
}

static int
move_all(struct moving *moving, struct err *err)
{
	struct walk *walk = &moving->walk;

	while (moving->count < moving->move->nids && !walk->over) {
		struct letter letter = {.lock = NULL};
		struct arena arena;

		if (!walk_goes_on(walk))
			return queue_trouble(walk->queue, CAUSE_DEADLINE,
			    "budget", err, ERR_TIMEOUT,
			    "%zu dead letters were looked through, and there "
			    "are more",
			    walk->looked);
		arena_init(&arena, LETTER_MAX);
		int rc = move_one(moving, &arena, &letter, err);

		cloud_reply_fini(&letter.reply);
		arena_fini(&arena);
		if (rc == -1)
			return -1;
	}
	return 0;
}

/* A queue that drops what has a MessageId that it had says that it took it. */
static int
check_duplicates(struct queue *queue, struct arena *arena, struct err *err)
{
	const struct servicebus *bus = queue->state;
	struct cloud_reply reply = {.body = ""};

	if (servicebus_look(queue, arena, bus->entity, &reply, err) == -1)
		return err_wrap(err,
		    "whether the queue drops duplicates isn't known (--force "
		    "moves all the same)");
	const char *drops =
	    cloud_xml(arena, &reply, "RequiresDuplicateDetection");
	bool there = cloud_xml(arena, &reply, "QueueDescription") != NULL;

	cloud_reply_fini(&reply);
	if (!there)
		return queue_trouble(queue, CAUSE_NOT_FOUND, "404", err,
		    ERR_REFUSED, "there is no queue '%s'", bus->entity);
	if (drops != NULL && strcasecmp(drops, "true") == 0)
		return queue_trouble(queue, CAUSE_MISMATCH, "duplicates", err,
		    ERR_REFUSED,
		    "'%s' has duplicate detection: it drops a copy whose "
		    "MessageId it had within its window, and the job would be "
		    "lost; --force moves all the same",
		    bus->entity);
	return 0;
}

int
servicebus_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	const struct servicebus *bus = queue->state;
	struct moving moving = {.move = move,
	    .moved = arena_array(arena, move->nids + 1, sizeof(bool))};

	if (move->from != PART_DEAD)
		return err_set(err, ERR_UNSUPPORTED, "%s", NO_RECLAIM);
	if (!text_equal(bus->entity, bus->sendto))
		return err_set(err, ERR_UNSUPPORTED,
		    "a copy that is sent to topic '%s' would go to all of its "
		    "subscriptions",
		    bus->sendto);
	if (!move->force && check_duplicates(queue, arena, err) == -1)
		return -1;
	walk_begin(&moving.walk, queue, arena, LOOKED_MAX);
	int rc = move_all(&moving, err);

	walk_end(&moving.walk);
	if (rc == -1)
		return queue_moved_so_far(queue, moving.count, move->nids, err);
	*ret =
	    (struct queue_moved){.moved = moving.moved, .count = moving.count};
	return 0;
}
