/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "checks/report.h"

/*
 * JUnit's XML, as CI systems read it: failed is <failure>, unknown is <error>
 * where it is required, everything that was not judged is <skipped> with its
 * reason. There is always at least one <testcase>: without any the file would
 * be invalid, and "no tests" must not look green.
 */

/* XML 1.0 has no way to write most control characters, not even escaped. */
static void
put_xml(struct buffer *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t left = text == NULL ? 0 : strlen(text);

	while (left > 0) {
		size_t len = utf8_len(p, left);
		/* U+FFFE and U+FFFF are no characters of XML. */
		bool none =
		    len == 3 && p[0] == 0xEF && p[1] == 0xBF && p[2] >= 0xBE;

		if (p[0] == '&')
			buffer_text(out, "&amp;");
		else if (p[0] == '<')
			buffer_text(out, "&lt;");
		else if (p[0] == '>')
			buffer_text(out, "&gt;");
		else if (p[0] == '"')
			buffer_text(out, "&quot;");
		else if (p[0] == '\n' || p[0] == '\t' || p[0] == '\r')
			buffer_format(out, "&#%u;", (unsigned)p[0]);
		else if (len == 0 || none || p[0] < 0x20)
			buffer_text(out, "\xEF\xBF\xBD");
		else
			buffer_append(out, p, len);
		p += MAX(len, (size_t)1);
		left -= MAX(len, (size_t)1);
	}
}

static void
put_attribute(struct buffer *out, const char *name, const char *text)
{
	buffer_format(out, " %s=\"", name);
	put_xml(out, text);
	buffer_text(out, "\"");
}

static void
put_details(struct buffer *out, const struct finding *f)
{
	for (size_t i = 0; i < f->nevidence; i++) {
		put_xml(out, f->evidence[i].source);
		buffer_text(out, ": ");
		put_xml(out, f->evidence[i].observed);
		if (f->evidence[i].expected != NULL) {
			buffer_text(out, "; expected: ");
			put_xml(out, f->evidence[i].expected);
		}
		buffer_text(out, "\n");
	}
	if (f->fix != NULL) {
		buffer_text(out, "fix: ");
		put_xml(out, f->fix);
		buffer_text(out, "\n");
	}
	if (f->fix_command != NULL) {
		buffer_text(out, "$ ");
		put_xml(out, f->fix_command);
		buffer_text(out, "\n");
	}
}

static const char *
element_of(const struct report *report, const struct finding *f)
{
	switch (f->result) {
	case RESULT_PASSED:
		return NULL;
	case RESULT_FAILED:
		/* Below --fail-on it doesn't fail the run, and must not fail
		 * the suite either: the two would contradict each other. */
		return f->severity >= report->fail_on ? "failure" : NULL;
	case RESULT_UNKNOWN:
		return f->required ? "error" : "skipped";
	case RESULT_BLOCKED:
	case RESULT_SKIPPED:
	case RESULT_WAIVED:
		return "skipped";
	}
	UNREACHABLE("a result that is none");
}

static void
put_case(
    struct buffer *out, const struct report *report, const struct finding *f)
{
	const char *element = element_of(report, f);

	buffer_text(out, "    <testcase");
	put_attribute(out, "classname", f->id);
	buffer_text(out, " name=\"");
	put_xml(out, f->slug);
	buffer_text(out, ": ");
	put_xml(out, f->subject);
	buffer_format(out, "\" time=\"%" PRId64 ".%03" PRId64 "\"",
	    f->elapsed_ms / 1000, f->elapsed_ms % 1000);
	if (element == NULL && f->result == RESULT_PASSED) {
		buffer_text(out, "/>\n");
		return;
	}
	buffer_text(out, ">\n      ");
	if (element == NULL) {
		buffer_text(out, "<system-out>");
		put_xml(out, severity_name(f->severity));
		buffer_text(out, ": ");
		put_xml(out, f->summary);
		buffer_text(out, "\n");
		put_details(out, f);
		buffer_text(out, "</system-out>\n    </testcase>\n");
		return;
	}
	buffer_format(out, "<%s", element);
	put_attribute(out, "message",
	    f->result == RESULT_WAIVED ? f->waiver : f->summary);
	if (strcmp(element, "skipped") == 0) {
		buffer_text(out, "/>\n    </testcase>\n");
		return;
	}
	put_attribute(out, "type", severity_name(f->severity));
	buffer_text(out, ">");
	put_details(out, f);
	buffer_format(out, "</%s>\n    </testcase>\n", element);
}

struct counts {
	size_t tests, failures, errors, skipped;
};

static struct counts
count(const struct report *report)
{
	struct counts c = {.tests = report->nfindings};

	for (size_t i = 0; i < report->nfindings; i++) {
		const char *element =
		    element_of(report, &report->findings[i]->finding);

		if (element == NULL)
			continue;
		c.failures += strcmp(element, "failure") == 0;
		c.errors += strcmp(element, "error") == 0;
		c.skipped += strcmp(element, "skipped") == 0;
	}
	return c;
}

/* The run's own verdict where no case says it: out of time, or nothing at
 * all. */
static void
put_run(struct buffer *out, const struct report *report)
{
	buffer_text(out, "    <testcase classname=\"reeve\" name=\"verdict\"");
	buffer_text(out, ">\n      <error");
	put_attribute(out, "message",
	    report->deadline_hit ? "out of time: the report is partial"
	                         : verdict_name(report->verdict));
	buffer_text(out, "/>\n    </testcase>\n");
}

void
report_junit(const struct report *report, const struct report_style *style,
    struct buffer *out)
{
	struct counts c = count(report);
	bool own = report->deadline_hit || c.tests == 0;
	int64_t took_ms =
	    MAX(report->finished_wall_ms - report->started_wall_ms, 0);
	char at[CLOCK_TEXT_SIZE];

	(void)style;
	c.tests += own;
	c.errors += own;
	buffer_text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	buffer_text(out, "<testsuites>\n  <testsuite name=\"reeve ");
	put_xml(out, report->command);
	if (report->name != NULL) {
		buffer_text(out, " ");
		put_xml(out, report->name);
	}
	buffer_format(out,
	    "\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" "
	    "skipped=\"%zu\" time=\"%" PRId64 ".%03" PRId64 "\"",
	    c.tests, c.failures, c.errors, c.skipped, took_ms / 1000,
	    took_ms % 1000);
	if (report->started_wall_ms > 0)
		put_attribute(
		    out, "timestamp", clock_text(report->started_wall_ms, at));
	buffer_text(out, ">\n");
	for (size_t i = 0; i < report->nfindings; i++)
		put_case(out, report, &report->findings[i]->finding);
	if (own)
		put_run(out, report);
	buffer_text(out, "  </testsuite>\n</testsuites>\n");
}
