/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "checks/draining.h"
#include "cli/queue_rows.h"
#include "cli/queue_watch.h"
#include "cli/terminal.h"
#include "probes/words.h"

enum {
	OUTPUT_MAX = 4 << 20,
	LOOK_ARENA_MAX = 256 << 20,
};
static const int64_t INTERVAL_MS = 1000;
static const int64_t INTERVAL_MIN_MS = 100;
static const int64_t LOOK_MS = 5000;
/* A line that wrapped would be two, and not be found again. */
static const char WRAP_OFF[] = "\033[?7l";
static const char WRAP_ON[] = "\033[?7h";

struct watch {
	struct queue_rows rows;
	struct draining *drains;
	bool terminal, until_drained;
	size_t lines; /* written by the last look on the terminal */
	int64_t interval_ms, end_ms;
};

/* --- what is written -------------------------------------------------------
 */

/* Of all its numbers, those that tell how it drains. */
static const struct {
	const char *key;
	size_t offset;
} watched[] = {
    {"waiting", offsetof(struct queue_state, waiting)},
    {"active", offsetof(struct queue_state, active)},
    {"delayed", offsetof(struct queue_state, delayed)},
    {"dead", offsetof(struct queue_state, dead)},
    {"oldest_ms", offsetof(struct queue_state, oldest_ms)},
    {"consumers", offsetof(struct queue_state, consumers)},
};

static const struct queue_number *
watched_number(const struct queue_state *state, size_t index)
{
	return (const void *)((const char *)state + watched[index].offset);
}

static void
write_numbers(struct jsonw *json, const struct queue_state *state)
{
	for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
		const struct queue_number *number = watched_number(state, i);

		if (number->know == KNOW_UNKNOWN ||
		    number->know == KNOW_NOT_APPLICABLE)
			jsonw_null(json, watched[i].key);
		else
			jsonw_i64(json, watched[i].key, number->value);
	}
	jsonw_object(json, "quality");
	for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
		const char *quality =
		    know_quality(watched_number(state, i)->know);

		if (quality != NULL)
			jsonw_text(json, watched[i].key, quality);
	}
	jsonw_end(json);
}

static void
write_rate(struct jsonw *json, const char *key, double value)
{
	if (isnan(value))
		jsonw_null(json, key);
	else
		jsonw_double(json, key, value);
}

static void
write_json(struct watch *watch, size_t index, struct buffer *out)
{
	const struct queue_row *row = &watch->rows.all[index];
	const struct draining *drain = &watch->drains[index];
	char at[CLOCK_TEXT_SIZE];
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.watch/1");
	jsonw_text(&json, "at", clock_text(clock_wall_ms(), at));
	jsonw_text(&json, "queue", row->queue.name);
	if (queue_row_readable(row)) {
		write_numbers(&json, row->seen->queue);
		write_rate(&json, "net_per_s", drain->net);
		write_rate(&json, "out_per_s", drain->out);
		write_rate(&json, "in_per_s", drain->net + drain->out);
		if (drain->head_moving < 0)
			jsonw_null(&json, "head_moving");
		else
			jsonw_bool(
			    &json, "head_moving", drain->head_moving == 1);
	}
	if (drain->drained == RESULT_UNKNOWN)
		jsonw_null(&json, "drained");
	else
		jsonw_bool(&json, "drained", drain->drained == RESULT_PASSED);
	jsonw_text(
	    &json, "why", drain->drained == RESULT_UNKNOWN ? drain->why : NULL);
	jsonw_text(&json, "error", queue_row_error(row));
	jsonw_end(&json);
	buffer_text(out, "\n");
}

static void
show_number(struct buffer *out, const char *what,
    const struct queue_number *number, bool age)
{
	char text[QUEUE_NUMBER_SIZE];

	if (number->know != KNOW_NOT_APPLICABLE)
		buffer_format(
		    out, "  %s %s", what, queue_row_number(number, age, text));
}

static void
show_row(struct watch *watch, size_t index, struct buffer *out)
{
	const struct queue_row *row = &watch->rows.all[index];
	const struct draining *drain = &watch->drains[index];
	char age[32];

	buffer_format(out, "%s", row->queue.name);
	if (!queue_row_readable(row)) {
		buffer_format(out, "  %s", queue_row_error(row));
		return;
	}
	const struct queue_state *state = row->seen->queue;

	show_number(out, "waiting", &state->waiting, false);
	show_number(out, "active", &state->active, false);
	show_number(out, "dead", &state->dead, false);
	if (state->waiting.know != KNOW_EXACT || state->waiting.value != 0)
		show_number(out, "oldest", &state->oldest_ms, true);
	show_number(out, "consumers", &state->consumers, false);
	if (!isnan(drain->out))
		buffer_format(out, "  in %.1f/s  out %.1f/s",
		    drain->net + drain->out, drain->out);
	else if (!isnan(drain->net))
		buffer_format(out, "  %+.1f/s", drain->net);
	if (drain->head_moving == 1)
		buffer_text(out, "  head moves");
	else if (drain->head_moving == 0)
		buffer_format(out, "  same head for %s",
		    text_ms_for_people(
		        clock_ms() - drain->head_since_ms, age, sizeof(age)));
	if (drain->drained == RESULT_PASSED)
		buffer_text(out, "  drained");
	else if (drain->drained == RESULT_UNKNOWN)
		buffer_format(
		    out, "  whether it drained isn't known: %s", drain->why);
}

static int
show(struct watch *watch)
{
	struct cli *cli = watch->rows.cli;
	bool json = cli_wants(cli, "json");
	bool live = watch->terminal && !json &&
	            watch->rows.count < (size_t)terminal_lines(STDOUT_FILENO);
	struct buffer out;

	buffer_init(&out, OUTPUT_MAX);
	if (live && watch->lines > 0)
		buffer_format(&out, "\033[%zuA", watch->lines);
	if (live)
		buffer_text(&out, WRAP_OFF);
	for (size_t i = 0; i < watch->rows.count; i++) {
		if (json) {
			write_json(watch, i, &out);
			continue;
		}
		buffer_text(&out, live ? "\033[K" : "");
		show_row(watch, i, &out);
		buffer_text(&out, "\n");
	}
	if (live)
		buffer_text(&out, WRAP_ON);
	watch->lines = live ? watch->rows.count : 0;
	int code = cli_print(cli, out.data, out.len);

	buffer_fini(&out);
	return code;
}

/* --- looking ---------------------------------------------------------------
 */

static bool
all_drained(const struct watch *watch)
{
	for (size_t i = 0; i < watch->rows.count; i++) {
		if (watch->drains[i].drained != RESULT_PASSED)
			return false;
	}
	return true;
}

static bool
signal_waits(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGINT) == 1 ||
	           sigismember(&pending, SIGTERM) == 1);
}

static void
look_at(struct watch *watch, size_t index)
{
	const struct queue_row *row = &watch->rows.all[index];

	draining_look(&watch->drains[index],
	    queue_row_readable(row) ? row->seen->queue : NULL, clock_ms());
}

/* A Ctrl-C reaches the probers too: what a look says that it ended isn't so. */
static int
look_once(struct watch *watch, bool *ret_end)
{
	struct cli *cli = watch->rows.cli;
	struct arena arena;

	arena_init(&arena, LOOK_ARENA_MAX);
	cli->deadline_ms = clock_after(clock_ms(), LOOK_MS);
	int code = queue_rows_ask(&watch->rows, &arena, "observe",
	    &(struct request_more){.alone = true});

	*ret_end = signal_waits();
	if (code == 0 && !*ret_end) {
		for (size_t i = 0; i < watch->rows.count; i++)
			look_at(watch, i);
		code = show(watch);
	}
	for (size_t i = 0; i < watch->rows.count; i++) {
		watch->rows.all[i].seen = NULL; /* it was in the arena */
		watch->drains[i].why = NULL;    /* so may this have been */
	}
	arena_fini(&arena);
	*ret_end = *ret_end || (watch->until_drained && all_drained(watch)) ||
	           clock_ms() >= watch->end_ms;
	return code;
}

static bool
pause_for(int64_t ms)
{
	sigset_t ending;
	const struct timespec pause = {
	    .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};

	(void)sigemptyset(&ending);
	(void)sigaddset(&ending, SIGINT);
	(void)sigaddset(&ending, SIGTERM);
	return sigtimedwait(&ending, NULL, &pause) > 0;
}

static int
exit_code_of(const struct watch *watch)
{
	for (size_t i = 0; i < watch->rows.count; i++) {
		if (watch->drains[i].drained == RESULT_FAILED)
			return EXIT_FAILED;
	}
	return all_drained(watch) ? EXIT_PASSED : EXIT_INCONCLUSIVE;
}

static int
read_options(struct watch *watch)
{
	struct cli *cli = watch->rows.cli;
	int64_t for_ms = 0;

	if (cli_duration(cli, "interval", INTERVAL_MS, &watch->interval_ms) ==
	        -1 ||
	    cli_duration(cli, "for", INT64_MAX, &for_ms) == -1)
		return EXIT_USAGE;
	if (watch->interval_ms < INTERVAL_MIN_MS)
		return cli_usage(
		    cli, "--interval: at least %" PRId64 "ms", INTERVAL_MIN_MS);
	for (size_t i = 0; i < cli->noutputs; i++) {
		if (cli->outputs[i].path != NULL)
			return cli_usage(cli,
			    "--output: `queue watch` writes to standard output "
			    "alone");
	}
	watch->end_ms = clock_after(clock_ms(), for_ms);
	if (cli->timeout_given)
		watch->end_ms = MIN(watch->end_ms, cli->deadline_ms);
	watch->until_drained = cli_flag(cli, "until-drained");
	watch->terminal = terminal_is(STDOUT_FILENO);
	return 0;
}

int
queue_watch(struct cli *cli, int argc, char **argv)
{
	struct watch watch = {.rows = {.cli = cli}};
	sigset_t ending;
	bool end = false;

	int code = read_options(&watch);

	if (code == 0)
		code = queue_rows_collect(&watch.rows, argc, argv);
	if (code != 0)
		return code;
	cli->quiet = true; /* the looks themselves are the progress */
	watch.drains = arena_array(
	    &cli->arena, watch.rows.count + 1, sizeof(*watch.drains));
	(void)sigemptyset(&ending);
	(void)sigaddset(&ending, SIGINT);
	(void)sigaddset(&ending, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &ending, NULL);
	for (;;) {
		int64_t next_ms = clock_after(clock_ms(), watch.interval_ms);

		code = look_once(&watch, &end);
		if (code != 0 || end)
			break;
		int64_t until_ms = MIN(next_ms, watch.end_ms) - clock_ms();

		if (pause_for(MAX(until_ms, (int64_t)0)))
			break;
	}
	return code != 0 ? code : exit_code_of(&watch);
}
