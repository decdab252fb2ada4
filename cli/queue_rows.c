/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "base/url.h"
#include "cli/queue_rows.h"
#include "probes/look.h"
#include "probes/queue/queue.h"
#include "probes/request.h"

enum {
	LOOK_MS = 5000,
	OUTPUT_MAX = 16 << 20
};

static int
row_from_url(struct cli *cli, const char *url, struct declared_queue *ret)
{
	struct queue_spec spec;
	struct err err = ERR_INIT;

	look_learn_url(cli->redactor, url);
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
	ret->name = ret->real_name != NULL ? ret->real_name
	                                   : url_shown(&cli->arena, url);
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

int
queue_rows_collect(struct queue_rows *rows, int argc, char **argv)
{
	struct cli *cli = rows->cli;
	struct declared *declared = NULL;
	bool manifest = argc == 0;
	int code = 0;

	if (argc > QUEUE_ROWS_MAX)
		return cli_usage(cli, "at most %d queues", QUEUE_ROWS_MAX);
	for (int i = 0; i < argc; i++)
		manifest = manifest || !queue_is_url(argv[i]);
	if (manifest) {
		code = cli_load(cli, &declared);
		if (code != 0 || declared == NULL)
			return code;
	}
	rows->count = (size_t)argc;
	if (argc == 0 && declared != NULL)
		rows->count = declared->nqueues;
	rows->all =
	    arena_array(&cli->arena, rows->count + 1, sizeof(*rows->all));
	for (size_t i = 0; i < rows->count && code == 0; i++) {
		struct declared_queue *queue = &rows->all[i].queue;

		if (argc > 0 && queue_is_url(argv[i]))
			code = row_from_url(cli, argv[i], queue);
		else if (argc > 0 && declared != NULL)
			code = row_from_name(cli, declared, argv[i], queue);
		else if (declared != NULL)
			*queue = declared->queues[i];
	}
	if (code == 0 && rows->count == 0)
		code = cli_fail(
		    cli, EXIT_NOTHING, "'%s' declares no queue", cli->manifest);
	return code;
}

static void
show_progress(
    void *arg, const struct probe_request *request, size_t done, size_t total)
{
	struct queue_rows *rows = arg;

	(void)request;
	progress_show(&rows->progress, "%zu of %zu queues", done, total);
}

static const char *
subject_of(struct arena *arena, size_t index)
{
	return arena_format(arena, "queue %zu", index);
}

static void
make_request(const struct queue_rows *rows, size_t index, struct arena *arena,
    const char *op, const struct request_more *what, struct probe_request *ret)
{
	int64_t left_ms = rows->cli->deadline_ms - clock_ms();
	/* a move may take what is left but for one look after it */
	int64_t most_ms = text_equal(op, "move")
	                      ? MAX(left_ms - LOOK_MS, (int64_t)LOOK_MS)
	                      : LOOK_MS;
	int64_t timeout_ms = MAX(MIN(left_ms, most_ms), (int64_t)1);
	struct request_more request =
	    what != NULL ? *what : (struct request_more){0};

	request.subject = subject_of(arena, index);
	request.timeout_ms = timeout_ms;
	*ret = (struct probe_request){.subject = request.subject,
	    .kind = "queue",
	    .deadline_ms = clock_after(clock_ms(), timeout_ms + 500),
	    .json = request_line_queue(
	        arena, &rows->all[index].queue, op, &request)};
	if (text_equal(op, "observe"))
		request_share_prober(ret, &rows->all[index].queue);
}

int
queue_rows_ask(struct queue_rows *rows, struct arena *arena, const char *op,
    const struct request_more *what)
{
	struct cli *cli = rows->cli;
	struct probe_request *requests =
	    arena_array(arena, rows->count + 1, sizeof(*requests));
	struct probe_pool_options options = {
	    .jobs = cli->jobs, .progress = show_progress, .arg = rows};
	struct observed *observed = arena_alloc(arena, sizeof(*observed));
	struct err err = ERR_INIT;
	size_t asked = 0;

	for (size_t i = 0; i < rows->count; i++) {
		if (rows->all[i].queue.url == NULL)
			continue;
		make_request(rows, i, arena, op, what, &requests[asked]);
		if (requests[asked].json == NULL)
			return cli_fail(
			    cli, EXIT_USAGE, "the request is too large");
		asked++;
	}
	progress_begin(&rows->progress, cli->quiet);
	int rc = probe_pool_run(requests, asked, &options, arena, &err);

	progress_end(&rows->progress);
	observed_init(observed, arena);
	for (size_t i = 0; i < asked && rc == 0; i++)
		rc = observed_add_line(
		    observed, requests[i].answer, requests[i].answer_len, &err);
	if (rc == -1)
		return cli_fail(cli, EXIT_BUG, "%s", err.text);
	for (size_t i = 0; i < rows->count; i++)
		rows->all[i].seen =
		    observed_find(observed, subject_of(arena, i));
	return 0;
}

int
queue_rows_one(struct queue_rows *rows, int argc, char **argv)
{
	if (argc != 1)
		return cli_usage(
		    rows->cli, "of one queue: its name, or its URL");
	return queue_rows_collect(rows, argc, argv);
}

const char *
queue_row_error(const struct queue_row *row)
{
	if (row->queue.url == NULL)
		return "its URL has a $(NAME) that isn't set";
	if (row->seen == NULL)
		return "no answer";
	return row->seen->result == RESULT_PASSED ? NULL : row->seen->summary;
}

bool
queue_row_readable(const struct queue_row *row)
{
	return queue_row_error(row) == NULL && row->seen->queue != NULL;
}

void
queue_row_write(
    struct jsonw *json, const struct queue_row *row, struct arena *arena)
{
	jsonw_text(json, "name", row->queue.name);
	jsonw_text(json, "url",
	    row->queue.url != NULL ? url_shown(arena, row->queue.url) : NULL);
	jsonw_text(json, "kind", row->queue.kind);
}

const char *
queue_row_number(
    const struct queue_number *number, bool age, char dst[QUEUE_NUMBER_SIZE])
{
	char words[QUEUE_NUMBER_SIZE - 1];

	if (number->know == KNOW_UNKNOWN)
		return "?";
	if (number->know == KNOW_NOT_APPLICABLE)
		return "-";
	if (age)
		(void)text_ms_for_people(number->value, words, sizeof(words));
	else
		(void)snprintf(words, sizeof(words), "%" PRId64, number->value);
	(void)snprintf(dst, QUEUE_NUMBER_SIZE, "%s%s", words,
	    number->know == KNOW_AT_LEAST   ? "+"
	    : number->know == KNOW_ESTIMATE ? "~"
	                                    : "");
	return dst;
}

int
queue_output(struct cli *cli, const void *what, queue_write_fn *write_json,
    queue_write_fn *write_text)
{
	static const struct cli_output text = {.format = "text"};
	const struct cli_output *outputs =
	    cli->noutputs > 0 ? cli->outputs : &text;
	size_t count = MAX(cli->noutputs, (size_t)1);
	int code = 0;

	for (size_t i = 0; i < count && code == 0; i++) {
		struct buffer out;

		buffer_init(&out, OUTPUT_MAX);
		if (text_equal(outputs[i].format, "json"))
			write_json(what, &out);
		else
			write_text(what, &out);
		code = out.overflow
		           ? cli_fail(cli, EXIT_BUG, "the list is too long")
		           : cli_write(cli, &outputs[i], out.data, out.len);
		buffer_wipe(&out);
	}
	return code;
}
