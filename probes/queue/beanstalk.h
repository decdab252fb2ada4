/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_BEANSTALK_H
#define REEVE_PROBES_QUEUE_BEANSTALK_H

#include "base/arena.h"
#include "base/base.h"
#include "probes/ladder.h"
#include "probes/queue/queue.h"

/*
 * beanstalkd (1.10 on) by its text protocol (doc/protocol.txt of its source).
 * Debian has no C client library of it; the protocol is lines.
 */
enum {
	BEANSTALK_NAME_MAX = 200, /* bytes of a tube's name */
	BEANSTALK_ANSWER_MAX = 1
	                       << 20, /* bytes of what is kept of one answer */
	BEANSTALK_FIELDS_MAX = 64,
	BEANSTALK_TUBES_MAX = 10000 /* of one list */
};

/* --- answers: beanstalk_answer.c ------------------------------------------ */

/* What stats, stats-tube and stats-job answer: "---\nkey: value\n…", a small
 * part of YAML. Anything else in it is an error. */
struct beanstalk_stats {
	struct {
		const char *key, *value;
	} field[BEANSTALK_FIELDS_MAX];
	size_t count;
};
int beanstalk_stats_of(struct arena *arena, const char *text, size_t len,
    struct beanstalk_stats *ret, struct err *err) MUST_CHECK;
const char *beanstalk_text(
    const struct beanstalk_stats *stats, const char *key); /* "" absent */
/* Absent, or no number: why it isn't known. */
struct queue_number beanstalk_number(
    const struct beanstalk_stats *stats, const char *key);

/* What list-tubes answers: "---\n- name\n…". */
struct beanstalk_names {
	const char **names;
	size_t count;
};
int beanstalk_names_of(struct arena *arena, const char *text, size_t len,
    struct beanstalk_names *ret, struct err *err) MUST_CHECK;

/* The first line of an answer, its end taken off: "OK 259", "FOUND 1 3",
 * "INSERTED 17", "NOT_FOUND". */
struct beanstalk_line {
	char word[24];
	int64_t number[2]; /* those behind it; -1: absent */
	bool has_body;     /* so many bytes follow: the last number */
	int64_t body;
};
int beanstalk_line_of(
    const char *line, struct beanstalk_line *ret, struct err *err) MUST_CHECK;
/* Letters, digits and "-+/;.$_()", not beginning with "-", of 200 bytes at
 * most: no name can hold a command. */
bool beanstalk_name_valid(const char *name);

/* --- the connection: beanstalk_session.c ---------------------------------- */

struct beanstalk_session;

/* -1 with the reason in `ladder`. */
int beanstalk_session_open(const char *url, struct ladder *ladder,
    struct beanstalk_session **ret) MUST_CHECK;
void beanstalk_session_close(struct beanstalk_session *session);
const char *beanstalk_session_address(const struct beanstalk_session *session);

struct beanstalk_answer {
	struct beanstalk_line line;
	const char *body; /* its first BEANSTALK_ANSWER_MAX bytes and a NUL;
	                     NULL: the answer has none */
	size_t len, whole;
	bool absent; /* NOT_FOUND */
};
/* Sends `count` commands ("stats-tube t", without the end of line; one with a
 * body has it in `bodies`) and reads their answers in turn: one round trip. An
 * answer that is an error of the protocol (UNKNOWN_COMMAND, BAD_FORMAT…) is an
 * answer. After -1 the session is of no use. */
struct beanstalk_command {
	const char *line;
	const char *body; /* NULL: none */
	size_t len;
};
int beanstalk_ask(struct queue *queue, const struct beanstalk_command *commands,
    size_t count, struct arena *arena, struct beanstalk_answer *ret,
    struct err *err) MUST_CHECK;

/* --- the driver ------------------------------------------------------------*/

struct beanstalk_queue {
	struct beanstalk_session *session;
};
/* One command whose answer must begin with `word`, or be NOT_FOUND: then
 * `absent`. Another one is this queue's trouble. With OK and FOUND the body is
 * in `ret`. */
int beanstalk_get(struct queue *queue, const char *command, const char *word,
    struct arena *arena, struct beanstalk_answer *ret,
    struct err *err) MUST_CHECK;
/* The same, read as statistics; `absent` may be NULL. */
int beanstalk_get_stats(struct queue *queue, const char *command,
    struct arena *arena, struct beanstalk_stats *ret, bool *absent,
    struct err *err) MUST_CHECK;
/* "ready", "delayed" or "buried": the job that comes first there. */
int beanstalk_first(struct queue *queue, const char *state, struct arena *arena,
    int64_t *ret_id, bool *absent, struct err *err) MUST_CHECK;

int beanstalk_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err);
int beanstalk_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err);
int beanstalk_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err);
int beanstalk_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err);
int beanstalk_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err);

#endif
