/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "probes/queue/redis_script.h"
#include "probes/queue/redis_stream.h"

/*
 * Entries of a stream as people look at them, and the way back of dead letters
 * and of what hangs at a consumer that is gone.
 *
 * Nobody but a consumer can take an entry over, and one that was claimed for a
 * worker is seen by it only if it reads its own history. So an entry goes back
 * as a copy: one script adds it anew, which every worker of the group gets as
 * any other, and acknowledges the old one. A stream has no other way to one
 * group: where there is a second group, it would get the copy too, and that is
 * refused.
 */
enum {
	PENDING_LOOKED_AT = 10000,
	PENDING_PAGE = 1000,
	CONTENT_BYTES = 1 << 20, /* of entries that one script reads */
	IDS_AT_ONCE = 40,
	TEXT_MAX = 64 << 10,
	DELIVERIES_MAX = 1 << 30 /* Lua has doubles */
};

/* ARGV: how many bytes of each are shown, of how many together, then FROM and
 * TO of each range (to `-`: backwards); ends when that many bytes were read. Of
 * each entry: its id, its bytes, then fields and values, cut. */
static const char content_script[] =
    "local shown,left=tonumber(ARGV[1]),tonumber(ARGV[2])\n"
    "local out={}\n"
    "for i=4,#ARGV,2 do\n"
    " local from=ARGV[i]\n"
    " local read=ARGV[i+1]=='-' and 'XREVRANGE' or 'XRANGE'\n"
    " for n=1,tonumber(ARGV[3]) do\n"
    "  if left<0 then return out end\n"
    "  local e=redis.call(read,KEYS[1],from,ARGV[i+1],'COUNT',1)[1]\n"
    "  if not e then break end\n"
    "  local one,bytes={e[1],''},0\n"
    "  for k,v in ipairs(e[2]) do\n"
    "   bytes=bytes+#v\n"
    "   if k<=128 then one[#one+1]=string.sub(v,1,shown) end\n"
    "  end\n"
    "  one[2]=tostring(bytes)\n"
    "  out[#out+1]=one\n"
    "  left=left-bytes\n"
    "  from='('..e[1]\n"
    " end\n"
    "end\n"
    "return out\n";

/* KEYS: the stream, its dead letters'  ARGV: "IDLE LEAST MOST GROUP" (LEAST to
 * MOST deliveries), ids.
 * Answers the new id of each, "" of what is no longer there. What was copied
 * before an error (no memory left) is told; it is done. */
static const char move_script[] = REDIS_SCRIPT_REFUSED
    "local rows={{'XADD',KEYS[1],'stream'}}\n"
    "for i=2,#ARGV do rows[i]=string.find(ARGV[i],':',1,true) and\n"
    " {'XDEL',KEYS[2],'stream'} or {'XACK',KEYS[1]} end\n"
    "local no=refused(rows)\n"
    "if no then return no end\n"
    "local idle,least,most,group=\n"
    " string.match(ARGV[1],'^(%d+) (%d+) (%d+) (.*)$')\n"
    "local groups=redis.call('XINFO','GROUPS',KEYS[1])\n"
    "if #groups~=1 then return redis.error_reply('GROUPS the stream has '\n"
    "  ..#groups..' groups, and each would get the copy') end\n"
    "local out,any={},false\n"
    "for i=2,#ARGV do\n"
    " local dead=string.match(ARGV[i],':(%d+%-%d+)$')\n"
    " local id=dead or string.match(ARGV[i],'^%d+%-%d+$')\n"
    " local mine=dead\n"
    " out[i-1]=''\n"
    " if id and not dead then\n"
    "  local p=redis.call('XPENDING',KEYS[1],group,'IDLE',idle,id,id,1)[1]\n"
    "  mine=p and p[4]>=tonumber(least) and p[4]<=tonumber(most)\n"
    " end\n"
    " local e=mine and\n"
    "  redis.call('XRANGE',dead and KEYS[2] or KEYS[1],id,id)[1]\n"
    " if e then\n"
    "  local new=redis.pcall('XADD',KEYS[1],'*',unpack(e[2]))\n"
    "  if type(new)=='table' then return any and out or new end\n"
    "  if dead then redis.call('XDEL',KEYS[2],id)\n"
    "  else redis.call('XACK',KEYS[1],group,id) end\n"
    "  out[i-1]=new\n"
    "  any=true\n"
    " end\n"
    "end\n"
    "return out\n";

/* --- contents --------------------------------------------------------------
 */

/* An entry of the one field `payload` is what that holds; any other is shown as
 * a JSON object of its fields. */
static void
take_fields(struct arena *arena, const redisReply *entry, int64_t whole,
    struct queue_item *item)
{
	struct buffer text;
	struct jsonw json;

	item->payload_whole = whole;
	if (entry->elements == 4 &&
	    text_equal(entry->element[2]->str, "payload")) {
		item->payload_len =
		    MIN((size_t)entry->element[3]->len, (size_t)QUEUE_PEEK_MAX);
		item->payload = arena_bytes(
		    arena, entry->element[3]->str, item->payload_len);
		item->payload_whole = whole - (int64_t)strlen("payload");
		return;
	}
	buffer_init(&text, TEXT_MAX);
	jsonw_init(&json, &text, false);
	jsonw_object(&json, NULL);
	for (size_t i = 2; i + 1 < entry->elements; i += 2)
		jsonw_bytes(&json,
		    arena_bytes(arena, entry->element[i]->str,
		        (size_t)entry->element[i]->len),
		    entry->element[i + 1]->str,
		    (size_t)entry->element[i + 1]->len);
	jsonw_end(&json);
	item->payload_len = MIN(text.len, (size_t)QUEUE_PEEK_MAX);
	item->payload = arena_bytes(
	    arena, text.len > 0 ? text.data : "", item->payload_len);
	buffer_fini(&text);
}

static bool
is_entry(const redisReply *entry)
{
	if (entry->type != REDIS_REPLY_ARRAY || entry->elements < 2)
		return false;
	for (size_t i = 0; i < entry->elements; i++) {
		if (entry->element[i]->type != REDIS_REPLY_STRING)
			return false;
	}
	return true;
}

/* What is to be read: of `key`, `each` entries of every range at most. */
struct reading {
	const char *key;
	const char *const *ranges; /* FROM, TO, … */
	size_t nranges, each;
};

/* One script; `*ret` is a list of entries. */
static int
read_entries(struct queue *queue, const struct reading *reading,
    struct arena *arena, redisReply **ret, struct err *err)
{
	struct redis_command command;

	redis_command_init(&command);
	redis_command_text(&command, "EVAL");
	redis_command_text(&command, content_script);
	redis_command_text(&command, "1");
	redis_command_text(&command, reading->key);
	redis_command_text(&command, arena_format(arena, "%d", QUEUE_PEEK_MAX));
	redis_command_text(&command, arena_format(arena, "%d", CONTENT_BYTES));
	redis_command_text(&command, arena_format(arena, "%zu", reading->each));
	for (size_t i = 0; i < 2 * reading->nranges; i++)
		redis_command_text(&command, reading->ranges[i]);
	if (redis_send(queue, &command, "look at the entries", ret, err) == -1)
		return -1;
	bool good = (*ret)->type == REDIS_REPLY_ARRAY;

	for (size_t i = 0; good && i < (*ret)->elements; i++)
		good = is_entry((*ret)->element[i]);
	if (!good)
		return queue_trouble(queue, CAUSE_WRONG_TYPE, "", err,
		    ERR_REFUSED,
		    "the server's answer is not what was asked for");
	return 0;
}

static struct queue_item
item_of(const char *id, int64_t now_ms)
{
	return (struct queue_item){.id = id,
	    .error = "",
	    .owner = "",
	    .payload = "",
	    .payload_whole = -1,
	    /* an id begins with the ms at which it was put in */
	    .age_ms = MAX(now_ms - strtoll(id, NULL, 10), (int64_t)0),
	    .attempts = -1};
}

struct page {
	struct arena *arena;
	struct queue_item *items;
	size_t count, limit;
	int64_t now_ms;
};

/* The entries of a stream from `from` on, or back from `+`; their ids get
 * `prefix`. */
static int
page_through(struct queue *queue, const char *key, const char *from,
    const char *prefix, struct page *page, struct err *err)
{
	bool back = text_equal(from, "+");

	while (page->count < page->limit) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		const char *const range[] = {from, back ? "-" : "+"};
		const struct reading reading = {key, range, 1,
		    MIN(page->limit - page->count, (size_t)PENDING_PAGE)};

		if (read_entries(queue, &reading, page->arena, &reply, err) ==
		    -1)
			return -1;
		if (reply->elements == 0)
			return 0;
		for (size_t i = 0;
		     i < reply->elements && page->count < page->limit; i++) {
			const redisReply *entry = reply->element[i];
			struct queue_item *item = &page->items[page->count++];
			const char *id = entry->element[0]->str;

			*item =
			    item_of(arena_text(page->arena, id), page->now_ms);
			item->id =
			    arena_format(page->arena, "%s%s", prefix, id);
			take_fields(page->arena, entry,
			    strtoll(entry->element[1]->str, NULL, 10), item);
			from = arena_format(page->arena, "(%s", id);
		}
	}
	return 0;
}

/* --- pending entries -------------------------------------------------------
 */

/* The rows of a page of XPENDING: id, consumer, idle, deliveries. */
static int
ask_pending(struct queue *queue, struct arena *arena, const char *min_idle,
    const char *from, redisReply **ret, struct err *err)
{
	const struct stream_queue *stream = queue->state;

	if (redis_ask(queue, "look at the pending entries", ret, err,
	        "XPENDING", stream->stream, stream->group, "IDLE", min_idle,
	        from, "+", arena_format(arena, "%d", PENDING_PAGE)) == -1)
		return -1;
	bool good = (*ret)->type == REDIS_REPLY_ARRAY;

	for (size_t i = 0; good && i < (*ret)->elements; i++) {
		const redisReply *row = (*ret)->element[i];

		good = row->type == REDIS_REPLY_ARRAY && row->elements == 4 &&
		       row->element[0]->type == REDIS_REPLY_STRING &&
		       row->element[1]->type == REDIS_REPLY_STRING &&
		       row->element[3]->type == REDIS_REPLY_INTEGER;
	}
	return good ? 0
	            : queue_trouble(queue, CAUSE_WRONG_TYPE, "", err,
	                  ERR_REFUSED,
	                  "the server's answer is not what was asked for");
}

/* Which pending entries a part is made of. */
struct sieve {
	const char *min_idle;
	int64_t least, most; /* deliveries */
};

static struct sieve
sieve_of(const struct stream_queue *stream, enum queue_part part)
{
	struct sieve sieve = {stream->min_idle, 0, DELIVERIES_MAX};

	if (part == PART_ACTIVE)
		sieve.min_idle = "0";
	else if (part == PART_DEAD)
		sieve.least = stream->deliveries;
	else if (stream->deliveries > 0)
		sieve.most = stream->deliveries - 1;
	return sieve;
}

/* The first `limit` of them, and how many of those that were looked at. */
static int
list_pending(struct queue *queue, const struct sieve *sieve, struct page *page,
    struct queue_number *ret_total, struct err *err)
{
	const char *from = "-";
	size_t seen = 0;

	*ret_total = queue_exact(0);
	while (seen < PENDING_LOOKED_AT) {
		CLEANUP(redis_reply_free) redisReply *rows = NULL;

		if (ask_pending(queue, page->arena, sieve->min_idle, from,
		        &rows, err) == -1)
			return -1;
		for (size_t i = 0; i < rows->elements; i++) {
			const redisReply *row = rows->element[i];
			int64_t tried = row->element[3]->integer;

			if (tried < sieve->least || tried > sieve->most)
				continue;
			ret_total->value++;
			if (page->count == page->limit)
				continue;
			struct queue_item *item = &page->items[page->count++];

			*item = item_of(
			    arena_text(page->arena, row->element[0]->str),
			    page->now_ms);
			item->owner =
			    arena_text(page->arena, row->element[1]->str);
			item->attempts = tried;
		}
		seen += rows->elements;
		if (rows->elements < PENDING_PAGE)
			return 0;
		from = arena_format(page->arena, "(%s",
		    rows->element[rows->elements - 1]->element[0]->str);
	}
	ret_total->know = KNOW_AT_LEAST;
	return 0;
}

/* What the pending entries hold. One that was deleted, or trimmed, is pending
 * all the same, and nobody can read it any more. */
static int
fill_pending(
    struct queue *queue, struct page *page, size_t first, struct err *err)
{
	const struct stream_queue *stream = queue->state;

	for (size_t at = first; at < page->count;) {
		const char *ranges[IDS_AT_ONCE];
		size_t some = MIN(page->count - at, IDS_AT_ONCE / 2U);
		CLEANUP(redis_reply_free) redisReply *reply = NULL;
		size_t k = 0;

		for (size_t i = 0; i < some; i++)
			ranges[2 * i] = ranges[2 * i + 1] =
			    page->items[at + i].id;
		const struct reading reading = {
		    stream->stream, ranges, some, 1};

		if (read_entries(queue, &reading, page->arena, &reply, err) ==
		    -1)
			return -1;
		for (size_t i = 0; i < some; i++, at++) {
			struct queue_item *item = &page->items[at];
			const redisReply *entry =
			    k < reply->elements ? reply->element[k] : NULL;

			if (entry == NULL && k > 0)
				break; /* long ones: the rest with the next */
			if (entry == NULL ||
			    !text_equal(entry->element[0]->str, item->id)) {
				item->error = "its entry was deleted";
				continue;
			}
			take_fields(page->arena, entry,
			    strtoll(entry->element[1]->str, NULL, 10), item);
			k++;
		}
	}
	return 0;
}

/* --- list ------------------------------------------------------------------
 */

static int
list_waiting(struct queue *queue, struct page *page, struct queue_page *ret,
    struct err *err)
{
	const struct stream_queue *stream = queue->state;
	struct queue_state state = {.head = ""};

	if (redis_kind_observe(queue, page->arena, &state, err) == -1)
		return -1;
	ret->total = state.waiting;
	if (state.head[0] == '\0')
		return 0;
	return page_through(queue, stream->stream, state.head, "", page, err);
}

static int
list_dead(struct queue *queue, struct page *page, struct queue_page *ret,
    struct err *err)
{
	const struct stream_queue *stream = queue->state;
	const struct sieve sieve = sieve_of(stream, PART_DEAD);

	if (stream->dead == NULL && stream->deliveries == 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "a stream doesn't say which entries were given up: "
		    "'max_attempts' (deliveries) or 'deadLetter' (a stream of "
		    "them) does");
	if (stream->dead != NULL) {
		CLEANUP(redis_reply_free) redisReply *reply = NULL;

		if (redis_ask(queue, "look at the dead letters", &reply, err,
		        "XLEN", stream->dead) == -1 ||
		    page_through(queue, stream->dead, "-",
		        arena_format(page->arena, "%s:", stream->dead), page,
		        err) == -1)
			return -1;
		ret->total = queue_exact(reply->integer);
	}
	if (stream->deliveries > 0) {
		struct queue_number given_up = queue_exact(0);
		size_t first = page->count;

		if (list_pending(queue, &sieve, page, &given_up, err) == -1 ||
		    fill_pending(queue, page, first, err) == -1)
			return -1;
		given_up.value += ret->total.value;
		ret->total = given_up;
	}
	return 0;
}

int
stream_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	const struct stream_queue *stream = queue->state;
	CLEANUP(redis_reply_free) redisReply *clock = NULL;
	struct page page = {.arena = arena,
	    .items = arena_array(arena, limit + 1, sizeof(*page.items)),
	    .limit = limit};
	const struct sieve sieve = sieve_of(stream, part);
	int rc = -1;

	if (part == PART_DELAYED)
		return err_set(
		    err, ERR_UNSUPPORTED, "a stream has no delayed entries");
	if (redis_ask(queue, "ask for the time", &clock, err, "TIME") == -1)
		return -1;
	page.now_ms = redis_time_ms(clock);
	if (part == PART_WAITING)
		rc = list_waiting(queue, &page, ret, err);
	else if (part == PART_DEAD)
		rc = list_dead(queue, &page, ret, err);
	else if (part == PART_NEWEST)
		rc = page_through(queue, stream->stream, "+", "", &page, err);
	else if (list_pending(queue, &sieve, &page, &ret->total, err) == 0)
		rc = fill_pending(queue, &page, 0, err);
	ret->items = page.items;
	ret->count = page.count;
	return rc;
}

/* --- move ------------------------------------------------------------------
 */

/* Ids of pending entries, and those of dead letters as STREAM:ID. */
static int
check_ids(struct queue *queue, const struct queue_move *move, struct err *err)
{
	const struct stream_queue *stream = queue->state;

	for (size_t i = 0; i < move->nids; i++) {
		const char *id = move->ids[i];
		const char *colon = strrchr(id, ':');

		if (colon == NULL)
			continue;
		if (move->from != PART_DEAD || stream->dead == NULL ||
		    strlen(stream->dead) != (size_t)(colon - id) ||
		    !text_starts(id, stream->dead))
			return queue_trouble(queue, CAUSE_URL, "id", err,
			    ERR_INPUT, "'%.60s' is no entry of %s", id,
			    stream->dead != NULL ? stream->dead
			                         : "a stream of dead letters");
	}
	return 0;
}

int
stream_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	const struct stream_queue *stream = queue->state;
	const struct sieve sieve = sieve_of(stream, move->from);

	if (move->from == PART_EXPIRED && !stream->idle_declared)
		return err_set(err, ERR_UNSUPPORTED,
		    "how long a worker may be at an entry isn't known: what is "
		    "idle for longer would be done twice. Say it with 'idle'");
	if (check_ids(queue, move, err) == -1)
		return -1;
	return redis_move(queue,
	    &(struct redis_mover){.script = move_script,
	        .key = stream->stream,
	        .other_key =
	            stream->dead != NULL ? stream->dead : stream->stream,
	        .arg = arena_format(arena, "%s %" PRId64 " %" PRId64 " %s",
	            sieve.min_idle, sieve.least, sieve.most, stream->group)},
	    move, arena, ret, err);
}
