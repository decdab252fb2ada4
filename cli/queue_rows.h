/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_QUEUE_ROWS_H
#define REEVE_CLI_QUEUE_ROWS_H

#include "base/buffer.h"
#include "base/jsonw.h"
#include "checks/request_line.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "probes/observed.h"

/*
 * The queues that a command is about, by URL or by their names in the manifest,
 * and what a prober answers about each. Client libraries run in the probers,
 * never here.
 */
enum {
	QUEUE_ROWS_MAX = 1000
};

struct queue_row {
	struct declared_queue queue;
	const struct observation *seen; /* of the last question; or NULL */
};

struct queue_rows {
	struct cli *cli;
	struct queue_row *all;
	size_t count;
	struct progress progress;
};

/* Each argument is a URL or a name; none: all that the manifest declares. 0, or
 * an exit code after the error was printed. */
int queue_rows_collect(
    struct queue_rows *rows, int argc, char **argv) MUST_CHECK;
/* The same for commands that are about one queue. */
int queue_rows_one(struct queue_rows *rows, int argc, char **argv) MUST_CHECK;
/* Asks all of them side by side; `what` may be NULL, its subject and timeout
 * are set here. Answers live in `arena`. 0, or an exit code. */
int queue_rows_ask(struct queue_rows *rows, struct arena *arena, const char *op,
    const struct request_more *what) MUST_CHECK;

/* Why there is no answer; NULL: there is one. */
const char *queue_row_error(const struct queue_row *row);
/* The same; `state` was read too. */
bool queue_row_readable(const struct queue_row *row);
/* "name", "url" (without its password), "kind": of the object being written. */
void queue_row_write(
    struct jsonw *json, const struct queue_row *row, struct arena *arena);

/* "37", "5001+" counted to a bound, "40~" an estimate, "?" not known, "-" no
 * such thing; `age`: a duration for people, instead of its milliseconds. */
enum {
	QUEUE_NUMBER_SIZE = 32
};
const char *queue_row_number(
    const struct queue_number *number, bool age, char dst[QUEUE_NUMBER_SIZE]);

typedef void queue_write_fn(const void *what, struct buffer *out);
/* Writes `what` to each --output. 0, or an exit code. */
int queue_output(struct cli *cli, const void *what, queue_write_fn *write_json,
    queue_write_fn *write_text) MUST_CHECK;

#endif
