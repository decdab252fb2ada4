/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/buffer.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "checks/explain.h"
#include "checks/finding_table.h"
#include "cli/cli.h"

/* `reeve explain`: what a finding means, offline. The pages are compiled in;
 * what stands in the table (severity, needs, what follows) comes from there. */

enum {
	OUT_MAX = 4 << 20,
	NEAREST_MAX = 3,
	DISTANCE_MAX = 64,
	SLUG_MAX = 64
};

static const struct {
	unsigned stage;
	const char *name;
} stages[] = {
    {STAGE_LINT, "lint"},
    {STAGE_CHECK, "check"},
    {STAGE_SMOKE, "smoke"},
    {STAGE_GATE, "gate"},
    {STAGE_DIAGNOSE, "diagnose"},
    {STAGE_ALERT, "alerts"},
};

/* The gate runs lint, check and smoke, diagnose runs check. */
static bool
is_found_by(const struct finding_row *row, unsigned stage)
{
	unsigned with = stage;

	if (stage == STAGE_GATE)
		with |= STAGE_LINT | STAGE_CHECK | STAGE_SMOKE;
	if (stage == STAGE_DIAGNOSE)
		with |= STAGE_LINT | STAGE_CHECK;
	if (stage == STAGE_CHECK)
		with |= STAGE_LINT;
	return (row->stages & with) != 0;
}

static void
put_row(struct buffer *out, const struct finding_row *row)
{
	const char *comma = "";

	buffer_format(out, "%s\n\n", row->title);
	buffer_format(
	    out, "severity  %s\nfound by  ", severity_name(row->severity));
	for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
		if (!is_found_by(row, stages[i].stage))
			continue;
		buffer_format(out, "%s%s", comma, stages[i].name);
		comma = ", ";
	}
	if (row->needs[0] != 0)
		buffer_text(out, "\nneeds    ");
	for (const unsigned *need = row->needs; *need != 0; need++)
		buffer_format(out, " %s", finding_row_number(*need)->id);
	if (row->explains[0].id != 0)
		buffer_text(out, "\nexplains ");
	for (const struct row_edge *e = row->explains; e->id != 0; e++) {
		bool again = false;

		for (const struct row_edge *b = row->explains; b < e; b++)
			again = again || b->id == e->id;
		if (!again)
			buffer_format(
			    out, " %s", finding_row_number(e->id)->id);
	}
	buffer_text(out, "\n\n");
}

static void
put_text(struct buffer *out, const struct finding_row *row)
{
	const char *page = explain_page_find(row->number);
	const char *rest = page + strcspn(page, "\n");

	/* the title, then the table's part, then the page */
	buffer_append(out, page + 2, (size_t)(rest - page) - 2);
	buffer_text(out, ": ");
	put_row(out, row);
	buffer_text(out, rest + strspn(rest, "\n"));
}

static void
put_json(struct buffer *out, const struct finding_row *row)
{
	struct jsonw json;

	jsonw_init(&json, out, true);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.explain/1");
	jsonw_text(&json, "id", row->id);
	jsonw_text(&json, "slug", row->slug);
	jsonw_text(&json, "title", row->title);
	jsonw_text(&json, "severity", severity_name(row->severity));
	jsonw_bool(&json, "required", row->required);
	jsonw_array(&json, "found_by");
	for (size_t i = 0; i < ARRAY_LEN(stages); i++)
		if (is_found_by(row, stages[i].stage))
			jsonw_text(&json, NULL, stages[i].name);
	jsonw_end(&json);
	jsonw_array(&json, "needs");
	for (const unsigned *need = row->needs; *need != 0; need++)
		jsonw_text(&json, NULL, finding_row_number(*need)->id);
	jsonw_end(&json);
	jsonw_array(&json, "explains");
	for (const struct row_edge *e = row->explains; e->id != 0; e++) {
		bool again = false;

		for (const struct row_edge *b = row->explains; b < e; b++)
			again = again || b->id == e->id;
		if (!again)
			jsonw_text(&json, NULL, finding_row_number(e->id)->id);
	}
	jsonw_end(&json);
	jsonw_text(&json, "page", explain_page_find(row->number));
	jsonw_end(&json);
	buffer_text(out, "\n");
}

/* By number: the table stands in the order of judging. */
static void
put_list(struct buffer *out)
{
	unsigned after = 0;

	for (size_t i = 0; i < finding_rows_count; i++) {
		const struct finding_row *next = NULL;

		for (size_t k = 0; k < finding_rows_count; k++)
			if (finding_rows[k].number > after &&
			    (next == NULL ||
			        finding_rows[k].number < next->number))
				next = &finding_rows[k];
		if (next == NULL)
			return;
		after = next->number;
		buffer_format(
		    out, "%-6s %-36s %s\n", next->id, next->slug, next->title);
	}
}

static void
put_list_json(struct buffer *out)
{
	struct jsonw json;

	jsonw_init(&json, out, true);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.findings/1");
	jsonw_array(&json, "findings");
	for (size_t i = 0; i < finding_rows_count; i++) {
		jsonw_object(&json, NULL);
		jsonw_text(&json, "id", finding_rows[i].id);
		jsonw_text(&json, "slug", finding_rows[i].slug);
		jsonw_text(&json, "title", finding_rows[i].title);
		jsonw_text(
		    &json, "severity", severity_name(finding_rows[i].severity));
		jsonw_end(&json);
	}
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

/* The nearest run of whole words of the name: "not-deployd" is meant for
 * component-not-deployed. */
static unsigned
distance(const struct finding_row *row, const char *asked)
{
	unsigned best = text_distance(row->id, asked, DISTANCE_MAX);
	size_t len = strlen(row->slug);
	char part[SLUG_MAX];

	for (size_t from = 0; from < len; from++) {
		if (from > 0 && row->slug[from - 1] != '-')
			continue;
		for (size_t to = from + 1; to <= len && to - from < SLUG_MAX;
		     to++) {
			if (row->slug[to] != '-' && row->slug[to] != '\0')
				continue;
			memcpy(part, row->slug + from, to - from);
			part[to - from] = '\0';
			best =
			    MIN(best, text_distance(part, asked, DISTANCE_MAX));
		}
	}
	return best;
}

static int
unknown_id(struct cli *cli, const char *asked)
{
	const struct finding_row *near[NEAREST_MAX] = {NULL};
	struct buffer text;

	for (size_t i = 0; i < finding_rows_count; i++) {
		const struct finding_row *row = &finding_rows[i];

		for (size_t k = 0; k < NEAREST_MAX; k++) {
			const struct finding_row *other = near[k];

			if (other != NULL &&
			    distance(other, asked) <= distance(row, asked))
				continue;
			near[k] = row;
			row = other;
			if (row == NULL)
				break;
		}
	}
	buffer_init(&text, OUT_MAX);
	for (size_t k = 0; k < NEAREST_MAX && near[k] != NULL; k++)
		buffer_format(&text, "%s%s (%s)", k == 0 ? "" : ", ",
		    near[k]->id, near[k]->slug);
	int rc =
	    cli_usage(cli, "no finding '%s'; nearest: %s", asked, text.data);

	buffer_fini(&text);
	return rc;
}

static int
write_all(struct cli *cli, const struct finding_row *row)
{
	static const struct cli_output plain = {.format = "text"};
	size_t count = MAX(cli->noutputs, (size_t)1);
	int failed = 0;

	for (size_t i = 0; i < count; i++) {
		const struct cli_output *output =
		    cli->noutputs == 0 ? &plain : &cli->outputs[i];
		bool json = text_equal(output->format, "json");
		struct buffer out;

		if (!json && !text_equal(output->format, "text"))
			return cli_usage(cli,
			    "--output: no format '%s'; there are text and json",
			    output->format);
		buffer_init(&out, OUT_MAX);
		if (row == NULL)
			json ? put_list_json(&out) : put_list(&out);
		else
			json ? put_json(&out, row) : put_text(&out, row);
		int rc = cli_write(cli, output, out.data, out.len);

		buffer_fini(&out);
		if (rc != 0)
			failed = rc;
	}
	return failed;
}

int
cmd_explain(struct cli *cli, int argc, char **argv)
{
	if (argc == 0)
		return write_all(cli, NULL);
	const struct finding_row *row = finding_row_find(argv[0]);

	if (row == NULL)
		return unknown_id(cli, argv[0]);
	return write_all(cli, row);
}
