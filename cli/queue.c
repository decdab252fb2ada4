/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "base/url.h"
#include "checks/gather.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/queue_history.h"
#include "probes/observed.h"
#include "probes/queue/queue.h"
#include "probes/request.h"

enum {
	OUTPUT_MAX = 16 << 20,
	LOOK_MS = 5000,
	QUEUES_MAX = 1000
};

static const int64_t COMMAND_MS = 30000;

/* What is asked, and what came back. */
struct row {
	struct declared_queue queue;
	const struct observation *seen;
};

struct listing {
	struct cli *cli;
	struct row *rows;
	size_t count;
	struct progress progress;
};

static int
row_from_url(struct cli *cli, const char *url, struct declared_queue *ret)
{
	struct queue_spec spec;
	struct err err = ERR_INIT;

	if (queue_spec_from_url(&cli->arena, url, &spec, &err) == -1)
		return cli_usage(
		    cli, "%s: %s", url_redacted(&cli->arena, url), err.text);
	struct declared_option *options =
	    arena_array(&cli->arena, spec.noptions + 1, sizeof(*options));

	*ret = (struct declared_queue){.kind = spec.kind,
	    .url = spec.url,
	    .options = options,
	    .noptions = spec.noptions,
	    .real_key = queue_driver_find(spec.kind)->name_key};
	for (size_t i = 0; i < spec.noptions; i++) {
		options[i].key = spec.options[i].key;
		options[i].value = spec.options[i].value;
		if (text_equal(options[i].key, ret->real_key))
			ret->real_name = options[i].value;
	}
	ret->name = ret->real_name != NULL ? ret->real_name : "";
	return 0;
}

static int
row_from_name(struct cli *cli, const struct declared *declared,
    const char *name, struct declared_queue *ret)
{
	const struct declared_queue *queue =
	    declared_queue_find(declared, name);
	const char **names =
	    arena_array(&cli->arena, declared->nqueues + 1, sizeof(*names));

	for (size_t i = 0; i < declared->nqueues; i++)
		names[i] = declared->queues[i].name;
	if (queue == NULL) {
		const char *near = text_nearest(name, names, declared->nqueues);

		return cli_fail(cli, EXIT_NOTHING,
		    "'%s' declares no queue '%s'%s%s%s", cli->manifest, name,
		    near != NULL ? "; did you mean '" : "",
		    near != NULL ? near : "", near != NULL ? "'?" : "");
	}
	*ret = *queue;
	return 0;
}

static int
collect(struct listing *listing, int argc, char **argv)
{
	struct cli *cli = listing->cli;
	struct declared *declared = NULL;
	bool manifest = argc == 0;
	int code = 0;

	if (argc > QUEUES_MAX)
		return cli_usage(cli, "at most %d queues", QUEUES_MAX);
	for (int i = 0; i < argc; i++)
		manifest = manifest || !queue_is_url(argv[i]);
	if (manifest) {
		code = cli_load(cli, &declared);
		if (code != 0 || declared == NULL)
			return code;
	}
	listing->count = (size_t)argc;
	if (argc == 0 && declared != NULL)
		listing->count = declared->nqueues;
	listing->rows = arena_array(
	    &cli->arena, listing->count + 1, sizeof(*listing->rows));
	for (size_t i = 0; i < listing->count && code == 0; i++) {
		struct declared_queue *queue = &listing->rows[i].queue;

		if (argc > 0 && queue_is_url(argv[i]))
			code = row_from_url(cli, argv[i], queue);
		else if (argc > 0 && declared != NULL)
			code = row_from_name(cli, declared, argv[i], queue);
		else if (declared != NULL)
			*queue = declared->queues[i];
	}
	if (code == 0 && listing->count == 0)
		code = cli_fail(
		    cli, EXIT_NOTHING, "'%s' declares no queue", cli->manifest);
	return code;
}

static void
show_progress(
    void *arg, const struct probe_request *request, size_t done, size_t total)
{
	struct listing *listing = arg;

	(void)request;
	progress_show(&listing->progress, "%zu of %zu queues", done, total);
}

static const char *
subject_of(struct arena *arena, size_t index)
{
	return arena_format(arena, "queue %zu", index);
}

static int
look(struct listing *listing)
{
	struct cli *cli = listing->cli;
	struct arena *arena = &cli->arena;
	int64_t left_ms = cli->deadline_ms - clock_ms();
	int64_t timeout_ms = MAX(MIN(left_ms, (int64_t)LOOK_MS), 1);
	struct probe_request *requests =
	    arena_array(arena, listing->count + 1, sizeof(*requests));
	struct probe_pool_options options = {
	    .jobs = cli->jobs, .progress = show_progress, .arg = listing};
	struct observed *observed = arena_alloc(arena, sizeof(*observed));
	struct err err = ERR_INIT;
	size_t asked = 0;

	for (size_t i = 0; i < listing->count; i++) {
		const struct declared_queue *queue = &listing->rows[i].queue;

		if (queue->url == NULL)
			continue;
		requests[asked].subject = subject_of(arena, i);
		requests[asked].kind = "queue";
		requests[asked].deadline_ms =
		    clock_after(clock_ms(), timeout_ms + 500);
		requests[asked].json = gather_queue_line(arena, queue,
		    "observe",
		    &(struct gather_request){.subject = requests[asked].subject,
		        .timeout_ms = timeout_ms});
		asked++;
	}
	progress_begin(&listing->progress, cli->quiet);
	int rc = probe_pool_run(requests, asked, &options, arena, &err);

	progress_end(&listing->progress);
	observed_init(observed, arena);
	for (size_t i = 0; i < asked && rc == 0; i++)
		rc = observed_add_line(
		    observed, requests[i].answer, requests[i].answer_len, &err);
	if (rc == -1)
		return cli_fail(cli, EXIT_BUG, "%s", err.text);
	for (size_t i = 0; i < listing->count; i++)
		listing->rows[i].seen =
		    observed_find(observed, subject_of(arena, i));
	return 0;
}

/* --- what is written -------------------------------------------------------
 */

static const struct {
	const char *key;
	const char *title; /* of the text's column; NULL: only in JSON */
	size_t offset;
} numbers[] = {
    {"waiting", "WAITING", offsetof(struct queue_state, waiting)},
    {"active", "ACTIVE", offsetof(struct queue_state, active)},
    {"delayed", "DELAYED", offsetof(struct queue_state, delayed)},
    {"failed", NULL, offsetof(struct queue_state, failed)},
    {"dead", "DEAD", offsetof(struct queue_state, dead)},
    {"completed", NULL, offsetof(struct queue_state, completed)},
    {"oldest_ms", "OLDEST", offsetof(struct queue_state, oldest_ms)},
    {"lease_expired", NULL, offsetof(struct queue_state, lease_expired)},
    {"lease_missing", NULL, offsetof(struct queue_state, lease_missing)},
    {"attempts_max", NULL, offsetof(struct queue_state, attempts_max)},
    {"consumers", "CONSUMERS", offsetof(struct queue_state, consumers)},
};

static const struct queue_number *
number_of(const struct queue_state *state, size_t index)
{
	return (const void *)((const char *)state + numbers[index].offset);
}

static const char *
quality_of(enum know know)
{
	switch (know) {
	case KNOW_UNKNOWN:
	case KNOW_EXACT:
		return NULL;
	case KNOW_AT_LEAST:
		return "at-least";
	case KNOW_ESTIMATE:
		return "estimate";
	case KNOW_NOT_APPLICABLE:
		return "not-applicable";
	}
	UNREACHABLE("know");
}

static bool
readable(const struct row *row)
{
	return row->seen != NULL && row->seen->queue != NULL &&
	       row->seen->result == RESULT_PASSED;
}

static void
write_numbers(struct jsonw *json, const struct queue_state *state)
{
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		const struct queue_number *number =
		    state != NULL ? number_of(state, i) : NULL;

		if (number == NULL || number->know == KNOW_UNKNOWN ||
		    number->know == KNOW_NOT_APPLICABLE)
			jsonw_null(json, numbers[i].key);
		else
			jsonw_i64(json, numbers[i].key, number->value);
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
		    json, "reads", who->reads[0] != '\0' ? who->reads : NULL);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
write_quality(struct jsonw *json, const struct queue_state *state)
{
	jsonw_object(json, "quality");
	for (size_t i = 0; state != NULL && i < ARRAY_LEN(numbers); i++) {
		const char *word = quality_of(number_of(state, i)->know);

		if (word != NULL)
			jsonw_text(json, numbers[i].key, word);
	}
	jsonw_end(json);
	jsonw_object(json, "why");
	for (size_t i = 0; state != NULL && i < ARRAY_LEN(numbers); i++) {
		const struct queue_number *number = number_of(state, i);

		if (number->know == KNOW_UNKNOWN && number->why != NULL &&
		    number->why[0] != '\0')
			jsonw_text(json, numbers[i].key, number->why);
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

static const char *
error_of(const struct row *row)
{
	if (readable(row))
		return NULL;
	if (row->queue.url == NULL)
		return "its URL has a $(NAME) that isn't set";
	return row->seen != NULL ? row->seen->summary : "no answer";
}

static void
write_json(const struct listing *listing, struct buffer *out)
{
	struct jsonw json;

	jsonw_init(&json, out, true);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.queues/1");
	jsonw_array(&json, "queues");
	for (size_t i = 0; i < listing->count; i++) {
		const struct row *row = &listing->rows[i];
		const struct queue_state *state =
		    row->seen != NULL ? row->seen->queue : NULL;

		jsonw_object(&json, NULL);
		jsonw_text(&json, "name", row->queue.name);
		jsonw_text(&json, "url",
		    row->queue.url != NULL
		        ? url_shown(&listing->cli->arena, row->queue.url)
		        : NULL);
		jsonw_text(&json, "kind", row->queue.kind);
		write_numbers(&json, state);
		write_consumers(&json, state);
		write_quality(&json, state);
		write_near(&json, state);
		jsonw_text(&json, "error", error_of(row));
		jsonw_end(&json);
	}
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

static void
write_cell(struct buffer *out, const struct queue_number *number, bool age)
{
	char text[32];
	static const char *const marks[] = {
	    [KNOW_UNKNOWN] = "?",
	    [KNOW_EXACT] = "",
	    [KNOW_AT_LEAST] = "+",
	    [KNOW_ESTIMATE] = "~",
	    [KNOW_NOT_APPLICABLE] = "-",
	};

	if (number->know == KNOW_UNKNOWN || number->know == KNOW_NOT_APPLICABLE)
		(void)snprintf(text, sizeof(text), "%s", marks[number->know]);
	else if (age)
		(void)text_ms_for_people(number->value, text, sizeof(text));
	else
		(void)snprintf(text, sizeof(text), "%" PRId64 "%s",
		    number->value, marks[number->know]);
	buffer_format(out, " %10s", text);
}

static void
write_row(const struct row *row, struct buffer *out)
{
	buffer_format(out, "%-28s", row->queue.name);
	if (!readable(row)) {
		buffer_format(out, " %s\n", error_of(row));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		if (numbers[i].title != NULL)
			write_cell(out, number_of(row->seen->queue, i),
			    text_equal(numbers[i].key, "oldest_ms"));
	}
	buffer_text(out, "\n");
}

static void
write_reasons(const struct listing *listing, struct buffer *out)
{
	for (size_t i = 0; i < listing->count; i++) {
		const struct row *row = &listing->rows[i];

		for (size_t k = 0; readable(row) && k < ARRAY_LEN(numbers);
		     k++) {
			const struct queue_number *number =
			    number_of(row->seen->queue, k);

			if (numbers[k].title != NULL &&
			    number->know == KNOW_UNKNOWN &&
			    number->why != NULL && number->why[0] != '\0')
				buffer_format(out, "  %s: %s unknown: %s\n",
				    row->queue.name, numbers[k].key,
				    number->why);
		}
	}
}

static void
write_text(const struct listing *listing, struct buffer *out)
{
	buffer_format(out, "%-28s", "QUEUE");
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		if (numbers[i].title != NULL)
			buffer_format(out, " %10s", numbers[i].title);
	}
	buffer_text(out, "\n");
	for (size_t i = 0; i < listing->count; i++)
		write_row(&listing->rows[i], out);
	if (listing->cli->verbose)
		write_reasons(listing, out);
}

static int
write_output(const struct listing *listing, const struct cli_output *output)
{
	bool json = text_equal(output->format, "json");
	struct buffer out;

	buffer_init(&out, OUTPUT_MAX);
	if (json)
		write_json(listing, &out);
	else
		write_text(listing, &out);
	int code =
	    out.overflow
	        ? cli_fail(listing->cli, EXIT_BUG, "the list is too long")
	        : cli_write(listing->cli, output, out.data, out.len);

	buffer_fini(&out);
	return code;
}

static int
write_outputs(const struct listing *listing)
{
	const struct cli_output text = {.format = "text"};
	const struct cli *cli = listing->cli;
	int code = 0;

	if (cli->noutputs == 0)
		return write_output(listing, &text);
	for (size_t i = 0; i < cli->noutputs && code == 0; i++)
		code = write_output(listing, &cli->outputs[i]);
	return code;
}

static int
queue_ls(struct cli *cli, int argc, char **argv)
{
	struct listing listing = {.cli = cli};
	int code = cli_text_or_json(cli);

	if (code == 0)
		code = collect(&listing, argc, argv);
	if (code == 0)
		code = look(&listing);
	if (code == 0)
		code = write_outputs(&listing);
	for (size_t i = 0; i < listing.count && code == 0; i++) {
		if (!readable(&listing.rows[i]))
			code = EXIT_INCONCLUSIVE;
	}
	return code;
}

int
cmd_queue(struct cli *cli, int argc, char **argv)
{
	if (cli->deadline_ms == 0)
		cli->deadline_ms = clock_after(clock_ms(), COMMAND_MS);
	if (text_equal(argv[0], "history"))
		return queue_history(cli, argc - 1, argv + 1);
	if (!text_equal(argv[0], "ls"))
		return cli_usage(cli,
		    "'%s' is not something to do with a queue: ls, history",
		    argv[0]);
	return queue_ls(cli, argc - 1, argv + 1);
}
