/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/text.h"
#include "probes/queue/cloud_letters.h"

enum {
	RECEIPT_MAX = 8 << 10,
	HELD_ARENA_MAX = 32 << 20,
	/* Of the services' short looks one may find nothing though there is
	 * something; two in a row are believed. */
	EMPTY_MAX = 2
};

/* --- receiving, and giving back --------------------------------------------
 */

struct receiving {
	struct queue *queue;
	const struct cloud_letters *how;
	const char *from;
	int64_t until_ms; /* no more is received then: the rest of the time is
	                     for giving back */
	struct arena arena;
	const char **held; /* receipts */
	size_t nheld, looked;
	unsigned empty;
};

static void
receiving_init(struct receiving *receiving, struct queue *queue,
    const struct cloud_letters *how, const char *from)
{
	*receiving =
	    (struct receiving){.queue = queue, .how = how, .from = from};
	receiving->until_ms =
	    clock_after(clock_ms(), queue_remaining_ms(queue) * 2 / 3);
	arena_init(&receiving->arena, HELD_ARENA_MAX);
	receiving->held = arena_array(
	    &receiving->arena, CLOUD_LOOKED_MAX, sizeof(*receiving->held));
}

/* What was received and neither settled nor to be hidden any longer. */
static void
hold(struct receiving *receiving, const struct cloud_letter *letter)
{
	receiving->held[receiving->nheld++] =
	    arena_text(&receiving->arena, letter->receipt);
}

static bool
may_receive(const struct receiving *receiving)
{
	return receiving->looked + CLOUD_BATCH <= CLOUD_LOOKED_MAX &&
	       receiving->empty < EMPTY_MAX && clock_ms() < receiving->until_ms;
}

/* Clean up `batch->reply` in either case. */
static int
receive(struct receiving *receiving, struct arena *arena,
    struct cloud_batch *batch, struct err *err)
{
	*batch = (struct cloud_batch){.count = 0};
	if (receiving->how->receive(
	        receiving->queue, receiving->from, arena, batch, err) == -1)
		return -1;
	receiving->looked += batch->count;
	receiving->empty = batch->count == 0 ? receiving->empty + 1 : 0;
	for (size_t i = 0; i < batch->count; i++) {
		const struct cloud_letter *letter = &batch->letters[i];

		if (letter->id[0] == '\0' ||
		    strlen(letter->id) >= QUEUE_ID_SIZE ||
		    letter->receipt[0] == '\0' ||
		    strlen(letter->receipt) > RECEIPT_MAX)
			return queue_trouble(receiving->queue, CAUSE_MISMATCH,
			    "", err, ERR_REFUSED,
			    "'%s' shows a message without an id or a receipt",
			    receiving->from);
	}
	return 0;
}

/* Gives back what is held, also after a failure, whose `err` then stays. */
static int
receiving_end(struct receiving *receiving, int rc, struct err *err)
{
	struct err later = ERR_INIT;
	struct arena arena;
	int given = 0;

	for (size_t i = 0; i < receiving->nheld && given == 0;
	     i += CLOUD_BATCH) {
		arena_init(&arena, CLOUD_BATCH_ARENA_MAX);
		given = receiving->how->give_back(receiving->queue,
		    receiving->from, &receiving->held[i],
		    MIN(receiving->nheld - i, (size_t)CLOUD_BATCH), &arena,
		    rc == 0 ? err : &later);
		arena_fini(&arena);
	}
	arena_fini(&receiving->arena);
	if (rc == 0 && given == -1)
		return err_wrap(err,
		    "letters that were looked at are hidden in '%s' until "
		    "their time is over",
		    receiving->from);
	return rc;
}

/* --- looking ---------------------------------------------------------------
 */

static void
show(const struct cloud_letter *letter, struct arena *arena,
    struct queue_item *ret)
{
	size_t shown = MIN(letter->len, (size_t)QUEUE_PEEK_MAX);

	*ret = (struct queue_item){.id = arena_text(arena, letter->id),
	    .error = "",
	    .owner = "",
	    .payload = arena_bytes(arena, letter->payload, shown),
	    .payload_len = shown,
	    .payload_whole = (int64_t)letter->len,
	    .age_ms = letter->age_ms,
	    .attempts = letter->attempts};
}

struct listing {
	struct queue_item *items;
	size_t count, limit;
	bool foreign; /* another queue's are there too */
};

static int
list_some(struct receiving *receiving, struct listing *listing,
    struct arena *arena, struct err *err)
{
	int rc = 0;

	while (rc == 0 && listing->count < listing->limit &&
	       may_receive(receiving)) {
		struct cloud_batch batch;
		struct arena scratch;

		arena_init(&scratch, CLOUD_BATCH_ARENA_MAX);
		rc = receive(receiving, &scratch, &batch, err);
		for (size_t i = 0; rc == 0 && i < batch.count; i++) {
			hold(receiving, &batch.letters[i]);
			listing->foreign |= !batch.letters[i].ours;
			if (batch.letters[i].ours &&
			    listing->count < listing->limit)
				show(&batch.letters[i], arena,
				    &listing->items[listing->count++]);
		}
		cloud_reply_fini(&batch.reply);
		arena_fini(&scratch);
	}
	return rc;
}

int
cloud_letters_part(
    const struct cloud_letters *how, enum queue_part part, struct err *err)
{
	if (part == PART_DEAD)
		return 0;
	return err_set(err, ERR_UNSUPPORTED, "%s",
	    part == PART_EXPIRED ? how->no_claims : how->only_dead);
}

int
cloud_letters_list(struct queue *queue, const struct cloud_letters *how,
    size_t limit, struct arena *arena, struct queue_page *ret, struct err *err)
{
	struct listing listing = {
	    .items = arena_array(arena, limit + 1, sizeof(*listing.items)),
	    .limit = limit};
	struct receiving receiving;
	const char *from = NULL;
	int64_t about = -1;

	if (how->find(queue, arena, &from, &about, err) == -1)
		return -1;
	receiving_init(&receiving, queue, how, from);
	int rc = list_some(&receiving, &listing, arena, err);
	bool all = receiving.empty == EMPTY_MAX;

	if (receiving_end(&receiving, rc, err) == -1)
		return -1;
	*ret =
	    (struct queue_page){.items = listing.items, .count = listing.count};
	int64_t count = (int64_t)listing.count;

	if (all || (!listing.foreign && about >= count))
		ret->total = (struct queue_number){
		    all ? count : about, KNOW_ESTIMATE, NULL};
	else
		ret->total = (struct queue_number){count, KNOW_AT_LEAST, NULL};
	return 0;
}

/* --- moving ----------------------------------------------------------------
 */

struct moving {
	const struct queue_move *move;
	struct arena *arena; /* of the answer */
	bool *moved;
	const char **as;
	bool renames;
	size_t count;
};

static int
move_one(struct receiving *receiving, struct moving *moving,
    const struct cloud_letter *letter, size_t at, struct arena *scratch,
    struct err *err)
{
	struct queue *queue = receiving->queue;
	const char *as = NULL;
	bool unsent = false;

	if (receiving->how->copy(queue, letter, scratch, &as, &unsent, err) ==
	    -1) {
		hold(receiving, letter);
		if (unsent)
			return err_wrap(err, "'%s'", letter->id);
		queue->code[0] = '\0'; /* not "nothing was moved" */
		return err_wrap(err,
		    "'%s' is in '%s' still, and perhaps in the queue again",
		    letter->id, receiving->from);
	}
	moving->moved[at] = true;
	moving->count++;
	moving->renames = moving->renames || as != NULL;
	moving->as[at] = arena_text(moving->arena, as);
	if (receiving->how->settle(
	        queue, receiving->from, letter->receipt, scratch, err) == -1)
		return err_wrap(err,
		    "'%s' is in the queue again, and perhaps in '%s' still",
		    letter->id, receiving->from);
	return 0;
}

static int
move_some(struct receiving *receiving, struct moving *moving, struct err *err)
{
	int rc = 0;

	while (rc == 0 && moving->count < moving->move->nids &&
	       may_receive(receiving)) {
		struct cloud_batch batch;
		struct arena scratch;

		arena_init(&scratch, CLOUD_BATCH_ARENA_MAX);
		rc = receive(receiving, &scratch, &batch, err);
		if (rc == -1)
			batch.count = 0;
		/* after a failure the rest of them is given back */
		for (size_t i = 0; i < batch.count; i++) {
			const struct cloud_letter *letter = &batch.letters[i];
			size_t at = rc == 0 && letter->ours
			                ? queue_move_wanted(moving->move,
			                      moving->moved, letter->id)
			                : moving->move->nids;

			if (at == moving->move->nids)
				hold(receiving, letter);
			else
				rc = move_one(receiving, moving, letter, at,
				    &scratch, err);
		}
		cloud_reply_fini(&batch.reply);
		arena_fini(&scratch);
	}
	return rc;
}

int
cloud_letters_move(struct queue *queue, const struct cloud_letters *how,
    const struct queue_move *move, struct arena *arena, struct queue_moved *ret,
    struct err *err)
{
	struct moving moving = {.move = move,
	    .arena = arena,
	    .moved = arena_array(arena, move->nids + 1, sizeof(bool)),
	    .as = arena_array(arena, move->nids + 1, sizeof(const char *))};
	struct receiving receiving;
	const char *from = NULL;
	int64_t about = -1;

	if (cloud_letters_part(how, move->from, err) == -1 ||
	    how->find(queue, arena, &from, &about, err) == -1 ||
	    (how->check != NULL && how->check(queue, arena, err) == -1))
		return -1;
	receiving_init(&receiving, queue, how, from);
	int rc = move_some(&receiving, &moving, err);

	/* what was moved was moved, whether the others are visible or not */
	if (receiving_end(&receiving, rc, err) == -1)
		return queue_moved_so_far(queue, moving.count, move->nids, err);
	*ret = (struct queue_moved){.moved = moving.moved,
	    .count = moving.count,
	    .as = moving.renames ? moving.as : NULL};
	return 0;
}

/* --- what their words have in common ---------------------------------------
 */

bool
cloud_said_no(const struct cloud_reply *reply)
{
	enum {
		NO_FIRST = 400,
		NO_LAST = 499
	};

	return reply->status >= NO_FIRST && reply->status <= NO_LAST;
}

const char *
cloud_printed(struct arena *arena, const cJSON *json)
{
	char *text = cJSON_PrintUnformatted(json);
	const char *copy = arena_text(arena, text != NULL ? text : "null");

	cJSON_free(text);
	return copy;
}
