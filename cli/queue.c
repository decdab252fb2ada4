/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/queue_history.h"
#include "cli/queue_move.h"
#include "cli/queue_peek.h"
#include "cli/queue_rows.h"
#include "cli/queue_watch.h"
#include "probes/words.h"

static const int64_t COMMAND_MS = 30000;

/* --- what is written -------------------------------------------------------
 */

/* The columns of the text; JSON has all numbers. */
static const struct {
	const char *key, *title;
} columns[] = {
    {"waiting", "WAITING"},
    {"active", "ACTIVE"},
    {"delayed", "DELAYED"},
    {"dead", "DEAD"},
    {"oldest_ms", "OLDEST"},
    {"consumers", "CONSUMERS"},
};

static const struct queue_number *
number_of(const struct queue_state *state, size_t index)
{
	return (const void *)((const char *)state +
	                      queue_number_keys[index].offset);
}

static const struct queue_number *
column_of(const struct queue_state *state, size_t column)
{
	size_t i = 0;

	while (!text_equal(queue_number_keys[i].key, columns[column].key))
		i++;
	/* As `dead` lists them: what failed for good, where that is all that a
	 * kind has of it. */
	if (number_of(state, i) == &state->dead &&
	    state->dead.know == KNOW_NOT_APPLICABLE)
		return &state->failed;
	return number_of(state, i);
}

static const struct queue_flag *
flag_of(const struct queue_state *state, size_t index)
{
	return (
	    const void *)((const char *)state + queue_flag_keys[index].offset);
}

static void
write_numbers(struct jsonw *json, const struct queue_state *state)
{
	for (size_t i = 0; i < QUEUE_NUMBERS; i++) {
		const struct queue_number *number =
		    state != NULL ? number_of(state, i) : NULL;

		if (number == NULL || number->know == KNOW_UNKNOWN ||
		    number->know == KNOW_NOT_APPLICABLE)
			jsonw_null(json, queue_number_keys[i].key);
		else
			jsonw_i64(
			    json, queue_number_keys[i].key, number->value);
	}
	if (state == NULL || state->paused < 0)
		jsonw_null(json, "paused");
	else
		jsonw_bool(json, "paused", state->paused == 1);
}

static void
write_consumers(struct jsonw *json, const struct queue_state *state)
{
	jsonw_array(json, "consumer_list");
	for (size_t i = 0; state != NULL && i < state->nwho; i++) {
		const struct queue_consumer *who = &state->who[i];

		jsonw_object(json, NULL);
		jsonw_text(json, "id", who->id);
		jsonw_text(json, "address",
		    who->address[0] != '\0' ? who->address : NULL);
		if (who->pid > 0)
			jsonw_i64(json, "pid", who->pid);
		else
			jsonw_null(json, "pid");
		jsonw_text(json, "worker",
		    who->worker[0] != '\0' ? who->worker : NULL);
		jsonw_text(
		    json, "where", who->where[0] != '\0' ? who->where : NULL);
		jsonw_text(
		    json, "reads", who->reads[0] != '\0' ? who->reads : NULL);
		/* nobody says of itself that it holds nothing */
		if ((who->proof & PROOF_HOLDS_LEASE) != 0)
			jsonw_bool(json, "holds_lease", true);
		else
			jsonw_null(json, "holds_lease");
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
write_quality(struct jsonw *json, const struct queue_state *state)
{
	jsonw_object(json, "quality");
	for (size_t i = 0; state != NULL && i < QUEUE_NUMBERS; i++) {
		const char *word = know_quality(number_of(state, i)->know);

		if (word != NULL)
			jsonw_text(json, queue_number_keys[i].key, word);
	}
	jsonw_end(json);
	jsonw_object(json, "why");
	for (size_t i = 0; state != NULL && i < QUEUE_NUMBERS; i++) {
		const struct queue_number *number = number_of(state, i);

		if (number->know == KNOW_UNKNOWN && number->why != NULL &&
		    number->why[0] != '\0')
			jsonw_text(json, queue_number_keys[i].key, number->why);
	}
	jsonw_end(json);
}

static void
write_flags(struct jsonw *json, const struct queue_state *state)
{
	jsonw_object(json, "server");
	for (size_t i = 0; state != NULL && i < QUEUE_FLAGS; i++) {
		const struct queue_flag *flag = flag_of(state, i);

		if (flag->is == HOLDS_UNKNOWN)
			continue;
		jsonw_object(json, queue_flag_keys[i].key);
		jsonw_bool(json, "is", flag->is == HOLDS_YES);
		jsonw_text(json, "why", flag->why);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
write_near(struct jsonw *json, const struct queue_state *state)
{
	jsonw_array(json, "near");
	for (size_t i = 0; state != NULL && i < state->nnear; i++) {
		const struct queue_near *near = &state->near[i];

		jsonw_object(json, NULL);
		jsonw_text(json, "name", near->name);
		jsonw_text(json, "where", near->where);
		jsonw_text(json, "type", near->type);
		if (near->waiting.know == KNOW_UNKNOWN)
			jsonw_null(json, "waiting");
		else
			jsonw_i64(json, "waiting", near->waiting.value);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
write_json(const void *what, struct buffer *out)
{
	const struct queue_rows *rows = what;
	struct jsonw json;

	jsonw_init(&json, out, true);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.queues/1");
	jsonw_array(&json, "queues");
	for (size_t i = 0; i < rows->count; i++) {
		const struct queue_row *row = &rows->all[i];
		const struct queue_state *state =
		    row->seen != NULL ? row->seen->queue : NULL;

		jsonw_object(&json, NULL);
		queue_row_write(&json, row, &rows->cli->arena);
		write_numbers(&json, state);
		write_consumers(&json, state);
		write_quality(&json, state);
		write_flags(&json, state);
		write_near(&json, state);
		jsonw_text(&json, "error", queue_row_error(row));
		jsonw_end(&json);
	}
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

static void
write_cell(struct buffer *out, const struct queue_number *number, bool age)
{
	char text[QUEUE_NUMBER_SIZE];

	buffer_format(out, " %10s", queue_row_number(number, age, text));
}

/* Of an empty queue nothing is the oldest; JSON says it in `why`. */
static bool
has_no_oldest(const struct queue_state *state)
{
	return state->waiting.know == KNOW_EXACT && state->waiting.value == 0;
}

static void
write_row(const struct queue_row *row, struct buffer *out)
{
	const struct queue_number none = {.know = KNOW_NOT_APPLICABLE};

	buffer_format(out, "%-28s", row->queue.name);
	if (!queue_row_readable(row)) {
		buffer_format(out, " %s\n", queue_row_error(row));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		bool age = text_equal(columns[i].key, "oldest_ms");

		write_cell(out,
		    age && has_no_oldest(row->seen->queue)
		        ? &none
		        : column_of(row->seen->queue, i),
		    age);
	}
	buffer_text(out, "\n");
}

/* The numbers that have no column. */
static void
write_rest(const struct queue_row *row, struct buffer *out)
{
	const struct queue_state *state = row->seen->queue;
	const char *between = "";

	for (size_t i = 0; i < QUEUE_NUMBERS; i++) {
		const struct queue_number *number = number_of(state, i);
		const char *quality = know_quality(number->know);
		bool shown = number->know == KNOW_UNKNOWN ||
		             number->know == KNOW_NOT_APPLICABLE;

		for (size_t k = 0; k < ARRAY_LEN(columns); k++)
			shown = shown || column_of(state, k) == number;
		if (shown)
			continue;
		if (between[0] == '\0')
			buffer_format(out, "  %s:", row->queue.name);
		buffer_format(out, "%s %s %s%s%" PRId64, between,
		    queue_number_keys[i].key, quality != NULL ? quality : "",
		    quality != NULL ? " " : "", number->value);
		between = ",";
	}
	if (between[0] != '\0')
		buffer_text(out, "\n");
}

static void
write_reasons(const struct queue_rows *rows, struct buffer *out)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct queue_row *row = &rows->all[i];

		if (queue_row_readable(row))
			write_rest(row, out);
		for (size_t k = 0;
		     queue_row_readable(row) && k < ARRAY_LEN(columns); k++) {
			const struct queue_number *number =
			    column_of(row->seen->queue, k);

			if (number->know == KNOW_UNKNOWN &&
			    number->why != NULL && number->why[0] != '\0')
				buffer_format(out, "  %s: %s unknown: %s\n",
				    row->queue.name, columns[k].key,
				    number->why);
		}
		for (size_t k = 0; queue_row_readable(row) && k < QUEUE_FLAGS;
		     k++) {
			const struct queue_flag *flag =
			    flag_of(row->seen->queue, k);

			if (flag->is != HOLDS_UNKNOWN)
				buffer_format(out, "  %s: %s: %s%s%s\n",
				    row->queue.name, queue_flag_keys[k].key,
				    holds_name(flag->is),
				    flag->why[0] != '\0' ? ": " : "",
				    flag->why);
		}
	}
}

static void
write_text(const void *what, struct buffer *out)
{
	const struct queue_rows *rows = what;

	buffer_format(out, "%-28s", "QUEUE");
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		buffer_format(out, " %10s", columns[i].title);
	buffer_text(out, "\n");
	for (size_t i = 0; i < rows->count; i++)
		write_row(&rows->all[i], out);
	if (rows->cli->verbose)
		write_reasons(rows, out);
}

static int
queue_ls(struct cli *cli, int argc, char **argv)
{
	struct queue_rows rows = {.cli = cli};
	int code = queue_rows_collect(&rows, argc, argv);

	if (code == 0)
		code = queue_rows_ask(&rows, &cli->arena, "observe", NULL);
	if (code == 0)
		code = queue_output(cli, &rows, write_json, write_text);
	for (size_t i = 0; i < rows.count && code == 0; i++) {
		if (!queue_row_readable(&rows.all[i]))
			code = EXIT_INCONCLUSIVE;
	}
	return code;
}

static int
queue_peek_any(struct cli *cli, int argc, char **argv)
{
	return queue_peek(cli, NULL, argc, argv);
}

static int
queue_dead(struct cli *cli, int argc, char **argv)
{
	return queue_peek(cli, "dead", argc, argv);
}

static int
queue_requeue(struct cli *cli, int argc, char **argv)
{
	return queue_move_jobs(cli, &queue_move_requeue, argc, argv);
}

static int
queue_reclaim(struct cli *cli, int argc, char **argv)
{
	return queue_move_jobs(cli, &queue_move_reclaim, argc, argv);
}

/* Each takes a few of the command's options; one of another verb is a mistake
 * that must not pass in silence. */
static const struct {
	const char *name;
	cli_run *run;
	const char *options[6];
} verbs[] = {
    {"ls", queue_ls, {NULL}},
    {"peek", queue_peek_any, {"part", "limit", NULL}},
    {"dead", queue_dead, {"limit", NULL}},
    {"requeue", queue_requeue, {"id", "limit", "yes", "force", "log", NULL}},
    {"reclaim", queue_reclaim, {"id", "limit", "yes", "force", "log", NULL}},
    {"watch", queue_watch, {"interval", "for", "until-drained", NULL}},
    {"history", queue_history, {"name", "since", NULL}},
};

static int
check_options(struct cli *cli, size_t verb)
{
	for (size_t i = 0; i < cli->nvalues; i++) {
		const char *const *known = verbs[verb].options;

		while (
		    *known != NULL && !text_equal(*known, cli->values[i].name))
			known++;
		if (*known == NULL)
			return cli_usage(cli, "`queue %s` has no option '--%s'",
			    verbs[verb].name, cli->values[i].name);
	}
	return 0;
}

int
cmd_queue(struct cli *cli, int argc, char **argv)
{
	const char *words[ARRAY_LEN(verbs)];
	size_t verb = 0;

	if (cli->deadline_ms == 0)
		cli->deadline_ms = clock_after(clock_ms(), COMMAND_MS);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		words[i] = verbs[i].name;
	while (verb < ARRAY_LEN(verbs) && !text_equal(words[verb], argv[0]))
		verb++;
	if (verb == ARRAY_LEN(verbs)) {
		const char *near =
		    text_nearest(argv[0], words, ARRAY_LEN(verbs));

		return cli_usage(cli,
		    "'%s' is not something to do with a queue: ls, peek, dead, "
		    "requeue, reclaim, watch, history%s%s%s",
		    argv[0], near != NULL ? "; did you mean '" : "",
		    near != NULL ? near : "", near != NULL ? "'?" : "");
	}
	int code = check_options(cli, verb);

	if (code == 0)
		code = cli_text_or_json(cli);
	return code != 0 ? code : verbs[verb].run(cli, argc - 1, argv + 1);
}
