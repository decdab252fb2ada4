/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_SPOOL_H
#define REEVE_SUPERVISOR_OPERATOR_SPOOL_H

#include "base/base.h"
#include "supervisor/operator/alerts.h"

/*
 * Where alerts lie until they are delivered: alerts' own business, apart from
 * it only because it is about files.
 *
 *   DIR/00000000000000000007.json  one event, with who hasn't taken it yet
 *   DIR/active.json                what is known, and the next number
 *
 * An event whose number isn't below active.json's was written after it, and is
 * replayed over it. So each file is replaced whole, and no order of crashes
 * loses or repeats a raise.
 */
struct alert {
	char *key, *kind, *subject, *summary, *evidence;
	char *worker, *queues, *finding, *fix; /* NULL: none */
	enum severity severity;
	int64_t since_wall_ms;
	int64_t since_ms; /* monotonic */
	int64_t hold_ms;
	int64_t for_ms;
	int64_t repeat_at_ms[ALERT_RECEIVERS_MAX];
	bool holds;      /* true in this pass */
	bool told;       /* raised; else it waits, is explained or is muted */
	bool muted;      /* a rule says that nobody wants to know */
	bool quiet;      /* it would have been raised, but for a silence */
	int64_t silence; /* the one that it is under now; 0: none */
	bool restored;   /* read from the spool, not seen true since */
	const struct alert *cause; /* what explains it now; NULL: nothing */
	/* names of the receivers that were told of its beginning, and so are to
	 * be told of its end, whatever they are declared to want by then */
	char *told_to[ALERT_RECEIVERS_MAX];
	size_t ntold_to;
	struct alert *next;
};

struct alert_pending {
	char *name;            /* of the receiver */
	int64_t not_before_ms; /* it was refused: not tried sooner */
};

struct alert_event {
	uint64_t number;
	char *key, *subject;
	bool test;
	bool
	    unsaved; /* its file isn't what it should be: to be written again */
	char *json;  /* what is delivered */
	struct alert_pending pending[ALERT_RECEIVERS_MAX];
	size_t npending;
	/* names of all that it was for, also of those that have it by now */
	char *to[ALERT_RECEIVERS_MAX];
	size_t nto;
	struct alert_event *next;
};

/* Reads what is there into `alerts`; sets `dir`, or leaves it NULL. */
void spool_open(struct alerts *alerts, const char *dir);
void spool_close(struct alerts *alerts); /* frees the events, not the files */
/* Takes the next number; nobody to deliver to: only counts. */
void spool_append(struct alerts *alerts, const char *json,
    const char *const *names, size_t count);
void spool_checkpoint(struct alerts *alerts);
/* What couldn't be written when it was to be: again. */
void spool_save_again(struct alerts *alerts);
/* Drops what waits for no receiver that there is; after a checkpoint, which
 * knows what it said. */
void spool_prune(struct alerts *alerts);

/* NULL: it doesn't wait for that receiver. */
struct alert_pending *spool_waits_for(
    struct alert_event *event, const char *name);
/* The receiver has it; when it was the last, the event is freed. */
void spool_delivered(
    struct alerts *alerts, struct alert_event *event, const char *name);
/* The same of every event in receiver->sending, which is empty afterwards. */
void spool_delivered_all(struct alert_receiver *receiver);
struct alert_event *spool_find(const struct alerts *alerts, uint64_t number);
void spool_free_alert(struct alert *alert);
/* Only who was told of it: of an alert that is on the stack. */
void spool_free_told(struct alert *alert);
/* Whether that receiver was told that it began; and that it was. */
bool spool_was_told(const struct alert *alert, const char *name);
void spool_note_told(struct alert *alert, const char *name);
/* Forgets names of receivers that aren't declared any more. */
void spool_forget_told(const struct alerts *alerts, struct alert *alert);

#endif
