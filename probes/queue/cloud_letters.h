/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_CLOUD_LETTERS_H
#define REEVE_PROBES_QUEUE_CLOUD_LETTERS_H

#include "base/base.h"
#include "probes/queue/cloud.h"

/*
 * Dead letters of services that show a message only to who receives it, and
 * hide it from all others for a while: looked at by receiving them and giving
 * them back, moved by sending a copy and only then settling the letter. So
 * nothing is lost, at the price that an answer which never comes between the
 * two leaves a letter in both places: at least once.
 */
enum {
	CLOUD_BATCH = 10,        /* letters of one request */
	CLOUD_LOOKED_MAX = 1000, /* letters received in one call */
	CLOUD_ANSWER_MAX = 16 << 20,
	CLOUD_BATCH_ARENA_MAX = 128 << 20
};

struct cloud_letter {
	const char *id;      /* as `move` is given it */
	const char *receipt; /* of this delivery */
	const char *payload;
	size_t len;
	int64_t age_ms, attempts; /* -1 unknown */
	bool ours;                /* another queue's are passed over */
	const cJSON *json;        /* all of it, for `copy` */
};

struct cloud_batch {
	struct cloud_letter letters[CLOUD_BATCH];
	size_t count;
	struct cloud_reply reply; /* what they point into */
};

/* What a service does in its own words. `from` is where its dead letters are,
 * as `find` says. All return 0 or -1 with `err`. */
struct cloud_letters {
	/* `*ret_about`: how many there are, roughly; -1 unknown. Where none are
	 * kept, or looking would harm them: ERR_UNSUPPORTED. */
	int (*find)(struct queue *queue, struct arena *arena,
	    const char **ret_from, int64_t *ret_about, struct err *err);
	/* Whether they may be sent: before the first is touched. NULL: they may
	 */
	int (*check)(struct queue *queue, struct arena *arena, struct err *err);
	/* None: nothing is visible now. */
	int (*receive)(struct queue *queue, const char *from,
	    struct arena *arena, struct cloud_batch *ret, struct err *err);
	/* CLOUD_BATCH receipts at most. */
	int (*give_back)(struct queue *queue, const char *from,
	    const char *const *receipts, size_t count, struct arena *arena,
	    struct err *err);
	/* To the original place; `*ret_as`: what it is called there, NULL as
	 * before. `*ret_unsent`: the service said no, so there is no copy. */
	int (*copy)(struct queue *queue, const struct cloud_letter *letter,
	    struct arena *arena, const char **ret_as, bool *ret_unsent,
	    struct err *err);
	int (*settle)(struct queue *queue, const char *from,
	    const char *receipt, struct arena *arena, struct err *err);
	const char *only_dead; /* why there is nothing but dead letters to see
	                        */
	const char *no_claims; /* why there is nothing to reclaim */
};

/* That there is such a part: ERR_UNSUPPORTED, but of dead letters. */
int cloud_letters_part(const struct cloud_letters *how, enum queue_part part,
    struct err *err) MUST_CHECK;
/* Dead letters; the first `limit`. */
int cloud_letters_list(struct queue *queue, const struct cloud_letters *how,
    size_t limit, struct arena *arena, struct queue_page *ret,
    struct err *err) MUST_CHECK;
int cloud_letters_move(struct queue *queue, const struct cloud_letters *how,
    const struct queue_move *move, struct arena *arena, struct queue_moved *ret,
    struct err *err) MUST_CHECK;

/* One value as text. */
const char *cloud_printed(struct arena *arena, const cJSON *json);
/* Whether the service said no in words of its own, so that nothing was done. */
bool cloud_said_no(const struct cloud_reply *reply);

#endif
