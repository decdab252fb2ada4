/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <strings.h>

#include "base/utf8.h"
#include "supervisor/operator/openmetrics.h"

enum {
	THOUSAND = 1000,
	MILLION = 1000 * 1000,
	Q_MAX = 1000,
	RANGE_MAX = 256,
};

void
openmetrics_init(struct openmetrics *metrics, struct buffer *out, bool classic)
{
	*metrics = (struct openmetrics){.out = out, .classic = classic};
}

void
openmetrics_family(struct openmetrics *metrics, enum openmetrics_type type,
    const char *name, const char *unit, const char *help)
{
	metrics->type = type;
	metrics->name = name;
	metrics->unit = unit;
	metrics->help = help;
	metrics->said = false;
}

/* What a sample of it is called beyond the family's name. */
static const char *
suffix_of(enum openmetrics_type type)
{
	switch (type) {
	case OPENMETRICS_COUNTER:
		return "_total";
	case OPENMETRICS_INFO:
		return "_info";
	case OPENMETRICS_GAUGE:
	case OPENMETRICS_SUMMARY:
		break;
	}
	return "";
}

static const char *
type_name(const struct openmetrics *metrics)
{
	switch (metrics->type) {
	case OPENMETRICS_COUNTER:
		return "counter";
	case OPENMETRICS_SUMMARY:
		return "summary";
	case OPENMETRICS_INFO:
		return metrics->classic ? "gauge" : "info";
	case OPENMETRICS_GAUGE:
		break;
	}
	return "gauge";
}

static void
say_family(struct openmetrics *metrics)
{
	const char *suffix = metrics->classic ? suffix_of(metrics->type) : "";

	if (metrics->said)
		return;
	metrics->said = true;
	buffer_format(metrics->out, "# TYPE %s%s %s\n", metrics->name, suffix,
	    type_name(metrics));
	if (metrics->unit != NULL && !metrics->classic)
		buffer_format(metrics->out, "# UNIT %s %s\n", metrics->name,
		    metrics->unit);
	buffer_format(metrics->out, "# HELP %s%s %s\n", metrics->name, suffix,
	    metrics->help);
}

/* ASCII that stands for itself. */
static size_t
plain_len(const char *value)
{
	size_t len = 0;

	while (value[len] >= ' ' && value[len] <= '~' && value[len] != '"' &&
	       value[len] != '\\')
		len++;
	return len;
}

/* One character that doesn't, or isn't one; returns its bytes. */
static size_t
write_special(struct buffer *out, const char *value, size_t left)
{
	size_t len = utf8_len((const unsigned char *)value, left);

	if (len == 0)
		buffer_text(out, "\xEF\xBF\xBD");
	else if (*value == '\n')
		buffer_text(out, "\\n");
	else if (*value == '"' || *value == '\\')
		buffer_format(out, "\\%c", *value);
	else
		buffer_append(out, value, len);
	return MAX(len, (size_t)1);
}

static void
write_value(struct buffer *out, const char *value)
{
	size_t left = strlen(value);

	while (left > 0) {
		size_t len = plain_len(value);
		buffer_append(out, value, len);
		if (len == 0)
			len = write_special(out, value, left);
		value += len;
		left -= len;
	}
}

static void
write_name(struct openmetrics *metrics, const char *suffix,
    const struct openmetrics_label *labels)
{
	const char *separator = "{";

	say_family(metrics);
	buffer_text(metrics->out, metrics->name);
	buffer_text(metrics->out, suffix);
	for (; labels != NULL && labels->name != NULL; labels++) {
		buffer_text(metrics->out, separator);
		buffer_text(metrics->out, labels->name);
		buffer_text(metrics->out, "=\"");
		write_value(metrics->out, labels->value);
		buffer_text(metrics->out, "\"");
		separator = ",";
	}
	buffer_text(metrics->out, *separator == ',' ? "} " : " ");
}

void
openmetrics_number(struct openmetrics *metrics, int64_t value,
    const struct openmetrics_label *labels)
{
	write_name(metrics, suffix_of(metrics->type), labels);
	buffer_format(metrics->out, "%" PRId64 "\n", value);
}

void
openmetrics_milli(struct openmetrics *metrics, int64_t thousandths,
    const struct openmetrics_label *labels)
{
	bool negative = thousandths < 0;
	uint64_t all =
	    negative ? -(uint64_t)thousandths : (uint64_t)thousandths;

	write_name(metrics, suffix_of(metrics->type), labels);
	buffer_format(metrics->out, "%s%" PRIu64 ".%03" PRIu64 "\n",
	    negative ? "-" : "", all / THOUSAND, all % THOUSAND);
}

void
openmetrics_summary(
    struct openmetrics *metrics, uint64_t count, uint64_t sum_us)
{
	write_name(metrics, "_count", NULL);
	buffer_format(metrics->out, "%" PRIu64 "\n", count);
	write_name(metrics, "_sum", NULL);
	buffer_format(metrics->out, "%" PRIu64 ".%06" PRIu64 "\n",
	    sum_us / MILLION, sum_us % MILLION);
}

void
openmetrics_end(struct openmetrics *metrics)
{
	if (!metrics->classic)
		buffer_text(metrics->out, "# EOF\n");
}

/* --- what is asked for ------------------------------------------------- */

/* The weight of a media range, in thousandths: its q, or 1000. */
static int
weight_of(const char *range)
{
	static const char *const names[] = {";q=", "; q="};
	const char *q = NULL;
	int weight = 0;

	for (size_t i = 0; q == NULL && i < ARRAY_LEN(names); i++)
		if ((q = strcasestr(range, names[i])) != NULL)
			q += strlen(names[i]);
	if (q == NULL)
		return Q_MAX;
	if (*q == '1')
		return Q_MAX;
	if (q[0] != '0' || q[1] != '.')
		return 0;
	q += 2;
	for (int unit = Q_MAX / 10; unit > 0 && *q >= '0' && *q <= '9';
	     unit /= 10, q++)
		weight += (*q - '0') * unit;
	return weight;
}

static bool
is_type(const char *range, const char *type)
{
	size_t len = strlen(type);

	return strncasecmp(range, type, len) == 0 &&
	       strchr("; \t", range[len]) != NULL;
}

bool
openmetrics_accepted(const char *accept)
{
	char range[RANGE_MAX];
	int open = 0, classic = 0;

	while (accept != NULL && *accept != '\0') {
		size_t len;
		accept += strspn(accept, " \t,");
		len = strcspn(accept, ",");
		(void)snprintf(
		    range, sizeof(range), "%.*s", (int)MIN(len, 255), accept);
		accept += len;
		int weight = weight_of(range);
		if (is_type(range, "application/openmetrics-text"))
			open = MAX(open, weight);
		else if (is_type(range, "text/plain") ||
		         is_type(range, "text/*") || is_type(range, "*/*"))
			classic = MAX(classic, weight);
	}
	return open > 0 && open >= classic;
}
