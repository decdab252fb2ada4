/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_LOOK_H
#define REEVE_PROBES_LOOK_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"
#include "base/secret.h"
#include "probes/json_read.h"
#include "probes/ladder.h"
#include "probes/observed.h"

/*
 * One request being answered inside a prober. A kind is one function that
 * looks and fills `out` through the calls below; serve.c redacts and writes it.
 * A function that returns without a word has answered "unknown".
 */
enum {
	LOOK_FACTS_MAX = 96,
	LOOK_KEPT_MAX = 16
};

struct look {
	struct arena *arena;       /* of this request */
	struct ladder ladder;      /* deadline, steps, first failure */
	struct redactor *redactor; /* secrets of the process so far */
	const cJSON *request; /* an object; kind and subject were checked */
	const char *canary;   /* or the job's id that is bound; NULL: none */
	struct observation out;
	struct fact facts[LOOK_FACTS_MAX];
	struct look_kept *kept; /* connections between requests */
};

typedef void look_fn(struct look *look);

/* A look that has no answer yet, of the same process as `base`: its secrets and
 * its kept connections are the same. Texts go into `arena`; it has no deadline.
 */
void look_init(struct look *look, const struct look *base, struct arena *arena,
    const cJSON *request);
/* The function of a kind; NULL: there is none (in this build). */
look_fn *look_of_kind(const char *kind);

/* Parameters. On a wrong type the answer is set (INTERNAL: the asker's fault)
 * and -1 returned. `look_need` also refuses what is absent or empty. */
int look_text(struct look *look, const char *key, const char *absent,
    const char **ret) MUST_CHECK;
int look_need(struct look *look, const char *key, const char **ret) MUST_CHECK;
int look_i64(struct look *look, const char *key, int64_t absent,
    int64_t *ret) MUST_CHECK;
int look_bool(
    struct look *look, const char *key, bool absent, bool *ret) MUST_CHECK;

/* The URL's password (as written and decoded) becomes known to the redactor,
 * and `out.target` becomes the URL without it. */
void look_url(struct look *look, const char *url);
/* `text` with $(CANARY) replaced, percent-encoded if asked. */
const char *look_canary(struct look *look, const char *text, bool encode);

/* "tls": {"ca": FILE, "serverName": NAME}, each NULL when absent. */
int look_tls(struct look *look, const char **ret_ca,
    const char **ret_server_name) MUST_CHECK;
/* Milliseconds until the deadline, at least 1. */
int64_t look_left_ms(const struct look *look);

/* Compares what was read with the request's "equals" (text, number or bool) and
 * "atLeast" (number): sets the answer, and the fact "value". `value` NULL:
 * there was none. `what` for people: "the query", "key a". With neither in the
 * request, any value passes. */
void look_expect(struct look *look, const char *what, const char *value);
/* A text that is a number as a whole. */
bool look_number(const char *text, double *ret);
/* `sql` with each $(CANARY), or $(JOB), replaced by a placeholder of its own:
 * "$" and 1, 2…, or "?", since each may stand where another type is due.
 * `ret_count` says how many there are; -1 (answer set) when there is one but no
 * canary. */
int look_bind_canary(struct look *look, const char *sql, const char *prefix,
    const char **ret_sql, int *ret_count) MUST_CHECK;

/* The answer. The texts are kept as copies. */
void look_passed(struct look *look, const char *fmt, ...) PRINTF_LIKE(2, 3);
void look_failed(struct look *look, enum cause cause, const char *code,
    const char *fmt, ...) PRINTF_LIKE(4, 5);
void look_unknown(struct look *look, enum cause cause, const char *code,
    const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The answer is the ladder's first failure. */
void look_ladder_failed(struct look *look);
/* Facts beyond LOOK_FACTS_MAX are dropped, and "facts-dropped" counts them. */
void look_note(struct look *look, const char *key, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* The beginning of some bytes as a fact: at most `max` of them, control
 * characters as spaces. Nothing for no bytes. */
void look_note_bytes(
    struct look *look, const char *key, const struct buffer *bytes, size_t max);

/* Connections that live from one request of a prober to the next, by kind and
 * exact URL. `take` hands it out (NULL: none, or too old to trust); `keep`
 * gives it back in working order. */
void *look_take(struct look *look, const char *kind, const char *url);
void look_keep(struct look *look, const char *kind, const char *url,
    void *connection, void (*close)(void *connection));

struct look_kept *look_kept_new(void);
void look_kept_free(struct look_kept *kept);

/* Makes the redactor know the password of a URL: as written, and decoded. Text
 * that is no URL is fine. */
void look_learn_url(struct redactor *redactor, const char *url);

/* The kinds, one file each; kind "queue" is probes/queue/request.h. */
look_fn probe_dns, probe_tcp, probe_tls, probe_http, probe_postgres,
    probe_mysql, probe_redis, probe_sqlite, probe_object, probe_command,
    probe_file, probe_supervisor, probe_processes, probe_platform, probe_nats,
    probe_amqp, probe_log, probe_metric;

#endif
