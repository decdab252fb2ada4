/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/text.h"
#include "base/utf8.h"
#include "cli/queue_peek.h"
#include "cli/queue_rows.h"
#include "probes/base64.h"
#include "probes/queue/queue.h"

enum {
	LIMIT_DEFAULT = 20,
	SHOWN_BYTES =
	    200, /* of a payload, for people; --verbose: all we have */
};

/* --- one job ---------------------------------------------------------------
 */

struct queue_item
queue_item_clean(struct cli *cli, const struct queue_item *item)
{
	struct queue_item clean = *item;
	bool cut = item->payload_whole != (int64_t)item->payload_len;

	clean.error = redactor_clean(cli->redactor, &cli->arena, item->error);
	clean.owner = redactor_clean(cli->redactor, &cli->arena, item->owner);
	clean.payload = redactor_clean_bytes(cli->redactor, &cli->arena,
	    item->payload, item->payload_len, cut, &clean.payload_len);
	return clean;
}

static bool
is_text(const char *bytes, size_t len)
{
	const unsigned char *at = (const unsigned char *)bytes;

	for (size_t i = 0; i < len;) {
		size_t step = at[i] == '\0' ? 0 : utf8_len(at + i, len - i);

		if (step == 0)
			return false;
		i += step;
	}
	return true;
}

/* A character that the end of what is shown cut in two is no reason to call a
 * payload binary. */
static size_t
whole_characters(const struct queue_item *item)
{
	const unsigned char *bytes = (const unsigned char *)item->payload;
	size_t len = item->payload_len;

	if (item->payload_whole == (int64_t)len)
		return len;
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		if ((bytes[len - back] & 0xC0) != 0x80)
			return bytes[len - back] >= 0xC0 ? len - back : len;
	}
	return len;
}

static void
write_known(struct jsonw *json, const char *key, int64_t value)
{
	if (value < 0)
		jsonw_null(json, key);
	else
		jsonw_i64(json, key, value);
}

static void
write_payload(struct jsonw *json, const struct queue_item *item)
{
	size_t len = whole_characters(item);
	struct buffer base64;

	if (is_text(item->payload, len)) {
		jsonw_bytes(json, "payload", item->payload, len);
		return;
	}
	buffer_init(&base64, BASE64_SIZE(2 * QUEUE_PEEK_MAX));
	base64_encode(&base64, item->payload, item->payload_len);
	jsonw_null(json, "payload");
	jsonw_bytes(json, "payload_base64", base64.data, base64.len);
	buffer_wipe(&base64);
}

void
queue_item_write(struct jsonw *json, const struct queue_item *item)
{
	jsonw_object(json, NULL);
	jsonw_text(json, "id", item->id);
	write_known(json, "age_ms", item->age_ms);
	write_known(json, "attempts", item->attempts);
	jsonw_text(json, "owner", item->owner[0] != '\0' ? item->owner : NULL);
	jsonw_text(json, "error", item->error[0] != '\0' ? item->error : NULL);
	write_payload(json, item);
	write_known(json, "payload_bytes", item->payload_whole);
	jsonw_end(json);
}

/* Nothing that a payload holds may reach the terminal as a command. */
static void
show_bytes(struct buffer *out, const char *bytes, size_t len)
{
	const unsigned char *at = (const unsigned char *)bytes;

	for (size_t i = 0; i < len;) {
		size_t step = utf8_len(at + i, len - i);
		bool control = at[i] < ' ' || at[i] == 0x7F ||
		               (at[i] == 0xC2 && step == 2 && at[i + 1] < 0xA0);

		if (at[i] == '\n')
			buffer_text(out, "\\n");
		else if (at[i] == '\t')
			buffer_text(out, "\\t");
		else if (step == 0 || control)
			for (size_t k = 0; k < MAX(step, (size_t)1); k++)
				buffer_format(out, "\\x%02x", at[i + k]);
		else
			buffer_append(out, at + i, step);
		i += MAX(step, (size_t)1);
	}
}

static void
show_payload(struct cli *cli, const struct queue_item *item, struct buffer *out)
{
	size_t len = item->payload_len;

	if (!cli->verbose)
		len = MIN(len, (size_t)SHOWN_BYTES);
	if (len == 0 && item->payload_whole < 0)
		return; /* no column is declared as it, say */
	buffer_text(out, "  payload  ");
	show_bytes(out, item->payload, len);
	if (item->payload_whole < 0)
		buffer_text(out, " … (its length is not known)");
	else if ((int64_t)len < item->payload_whole)
		buffer_format(
		    out, " … (%" PRId64 " bytes)", item->payload_whole);
	buffer_text(out, "\n");
}

void
queue_item_show(
    struct cli *cli, const struct queue_item *item, struct buffer *out)
{
	char age[32];

	show_bytes(out, item->id, strlen(item->id));
	if (item->age_ms >= 0)
		buffer_format(out, "  age %s",
		    text_ms_for_people(item->age_ms, age, sizeof(age)));
	if (item->attempts >= 0)
		buffer_format(out, "  attempts %" PRId64, item->attempts);
	if (item->owner[0] != '\0') {
		buffer_text(out, "  by ");
		show_bytes(out, item->owner, strlen(item->owner));
	}
	buffer_text(out, "\n");
	if (item->error[0] != '\0') {
		buffer_text(out, "  error    ");
		show_bytes(out, item->error, strlen(item->error));
		buffer_text(out, "\n");
	}
	show_payload(cli, item, out);
}

/* --- pages -----------------------------------------------------------------
 */

struct peek {
	struct queue_rows rows;
	const char *part;
};

static bool
is_unsupported(const struct queue_row *row)
{
	return row->seen != NULL && text_equal(row->seen->code, "unsupported");
}

static const struct queue_page *
page_of(const struct queue_row *row)
{
	return queue_row_error(row) == NULL && row->seen->jobs != NULL
	           ? &row->seen->jobs->page
	           : NULL;
}

static void
write_page(struct cli *cli, struct jsonw *json, const struct queue_page *page)
{
	if (page == NULL || page->total.know == KNOW_UNKNOWN ||
	    page->total.know == KNOW_NOT_APPLICABLE)
		jsonw_null(json, "total");
	else
		jsonw_i64(json, "total", page->total.value);
	jsonw_array(json, "jobs");
	for (size_t i = 0; page != NULL && i < page->count; i++) {
		struct queue_item item = queue_item_clean(cli, &page->items[i]);

		queue_item_write(json, &item);
	}
	jsonw_end(json);
}

static void
write_json(const void *what, struct buffer *out)
{
	const struct peek *peek = what;
	struct cli *cli = peek->rows.cli;
	struct jsonw json;

	jsonw_init(&json, out, true);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.jobs/1");
	jsonw_array(&json, "queues");
	for (size_t i = 0; i < peek->rows.count; i++) {
		const struct queue_row *row = &peek->rows.all[i];

		jsonw_object(&json, NULL);
		queue_row_write(&json, row, &cli->arena);
		jsonw_text(&json, "part", peek->part);
		write_page(cli, &json, page_of(row));
		jsonw_text(&json, "error", queue_row_error(row));
		jsonw_end(&json);
	}
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

static void
write_row(
    const struct peek *peek, const struct queue_row *row, struct buffer *out)
{
	struct cli *cli = peek->rows.cli;
	const struct queue_page *page = page_of(row);

	if (page == NULL) {
		buffer_format(out, "%s: %s\n", row->queue.name,
		    queue_row_error(row) != NULL ? queue_row_error(row)
		                                 : "no jobs in the answer");
		return;
	}
	buffer_format(out, "%s: %zu", row->queue.name, page->count);
	if (page->total.know != KNOW_UNKNOWN &&
	    page->total.value > (int64_t)page->count)
		buffer_format(out, " of %s%" PRId64,
		    page->total.know == KNOW_EXACT ? "" : "about ",
		    page->total.value);
	buffer_format(out, " %s\n", peek->part);
	for (size_t i = 0; i < page->count; i++) {
		struct queue_item item = queue_item_clean(cli, &page->items[i]);

		queue_item_show(cli, &item, out);
	}
}

static void
write_text(const void *what, struct buffer *out)
{
	const struct peek *peek = what;

	for (size_t i = 0; i < peek->rows.count; i++)
		write_row(peek, &peek->rows.all[i], out);
}

/* 3 when a queue could not be looked at; 4 when none has such a part. */
static int
exit_code_of(const struct queue_rows *rows)
{
	size_t shown = 0;

	for (size_t i = 0; i < rows->count; i++) {
		if (page_of(&rows->all[i]) != NULL)
			shown++;
		else if (!is_unsupported(&rows->all[i]))
			return EXIT_INCONCLUSIVE;
	}
	return shown > 0 ? EXIT_PASSED : EXIT_NOTHING;
}

int
queue_peek(struct cli *cli, const char *part, int argc, char **argv)
{
	struct peek peek = {.rows = {.cli = cli}, .part = part};
	enum queue_part ignored = PART_WAITING;
	int64_t limit = 0;

	if (part == NULL)
		peek.part = cli_value(cli, "part");
	if (peek.part == NULL)
		peek.part = queue_part_name(PART_WAITING);
	if (!queue_part_parse(peek.part, &ignored))
		return cli_usage(cli,
		    "--part: '%s' is none of waiting, active, delayed, dead, "
		    "expired",
		    peek.part);
	if (cli_number(
	        cli, "limit", 1, QUEUE_MOVE_MAX, LIMIT_DEFAULT, &limit) == -1)
		return EXIT_USAGE;
	int code = queue_rows_collect(&peek.rows, argc, argv);

	if (code == 0)
		code = queue_rows_ask(&peek.rows, &cli->arena, "list",
		    &(struct request_more){.part = peek.part, .limit = limit});
	if (code == 0)
		code = queue_output(cli, &peek, write_json, write_text);
	return code != 0 ? code : exit_code_of(&peek.rows);
}
