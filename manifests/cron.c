/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "manifests/cron.h"

enum {
	FIELDS = 5,
	TOKEN_MAX = 24,
	MINUTE = 0,
	HOUR,
	DAY,
	MONTH,
	WEEKDAY,
};

static const char *const months[] = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN",
    "JUL", "AUG", "SEP", "OCT", "NOV", "DEC", NULL};
static const char *const weekdays[] = {
    "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", NULL};

static const struct field {
	const char *name;
	uint32_t least, most;
	const char *const *names; /* of least, least + 1, …; NULL: none */
} fields[FIELDS] = {
    [MINUTE] = {"minute", 0, 59, NULL},
    [HOUR] = {"hour", 0, 23, NULL},
    [DAY] = {"day of the month", 1, 31, NULL},
    [MONTH] = {"month", 1, 12, months},
    [WEEKDAY] = {"day of the week", 0, 7, weekdays},
};

static const struct alias {
	const char *word, *stands_for;
} aliases[] = {
    {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
    {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},
    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
};

struct reader {
	const char *text, *at;
	const struct field *field;
};

/* What stands at the reader's place is wrong: where, what, what else. */
static int
refuse(const struct reader *reader, const char *what, struct err *err)
{
	size_t len = strcspn(reader->at, ", \t");

	return err_set(err, ERR_INPUT,
	    "%s, column %d: '%.*s' %s; valid: %u to %u%s, *, lists, ranges and "
	    "steps of them such as %u,%u-%u or */2",
	    reader->field->name, (int)(reader->at - reader->text) + 1,
	    (int)MIN(len, (size_t)TOKEN_MAX), reader->at, what,
	    reader->field->least, reader->field->most,
	    reader->field->names == months     ? ", JAN to DEC"
	    : reader->field->names == weekdays ? ", SUN to SAT"
	                                       : "",
	    reader->field->least, reader->field->least + 1,
	    reader->field->least + 3);
}

static bool
named(const struct field *field, const char *word, size_t len, uint32_t *ret)
{
	for (uint32_t i = 0; field->names != NULL && field->names[i] != NULL;
	     i++)
		if (len == strlen(field->names[i]) &&
		    strncasecmp(word, field->names[i], len) == 0) {
			*ret = field->least + i;
			return true;
		}
	return false;
}

/* A number or a name within the field's range; goes on behind it. */
static int
value(struct reader *reader, uint32_t *ret, struct err *err)
{
	size_t len = strspn(reader->at, "0123456789");
	uint32_t number = 0;

	if (len == 0) {
		while (isalpha((unsigned char)reader->at[len]))
			len++;
		if (!named(reader->field, reader->at, len, &number))
			return refuse(reader, "can't stand here", err);
	}
	for (size_t i = 0; i < len && isdigit((unsigned char)reader->at[i]);
	     i++)
		number = MIN(number * 10 + (uint32_t)(reader->at[i] - '0'),
		    UINT32_C(1000000));
	if (number < reader->field->least || number > reader->field->most)
		return refuse(reader, "is out of range", err);
	reader->at += len;
	*ret = number;
	return 0;
}

static int
step(struct reader *reader, uint32_t *ret, struct err *err)
{
	size_t len = strspn(reader->at, "0123456789");
	uint32_t number = 0;

	for (size_t i = 0; i < len; i++)
		number = MIN(number * 10 + (uint32_t)(reader->at[i] - '0'),
		    UINT32_C(1000000));
	if (number < 1 ||
	    number > reader->field->most - reader->field->least + 1)
		return refuse(reader, "is no step that fits", err);
	reader->at += len;
	*ret = number;
	return 0;
}

/* One entry of a list: *, N, N-M, each range with a step. */
static int
entry(struct reader *reader, uint64_t *mask, struct err *err)
{
	uint32_t first = reader->field->least, last = reader->field->most;
	uint32_t by = 1;
	const char *start = reader->at;
	bool range = true;

	if (*reader->at == '*') {
		reader->at++;
		last -= reader->field->names == weekdays; /* 7 is 0 again */
	} else {
		if (value(reader, &first, err) == -1)
			return -1;
		range = *reader->at == '-';
		last = first;
		reader->at += range;
		if (range && value(reader, &last, err) == -1)
			return -1;
	}
	if (last < first) {
		reader->at = start;
		return refuse(reader, "goes backwards", err);
	}
	if (*reader->at == '/') {
		if (!range) {
			reader->at = start;
			return refuse(reader, "has a step and no range", err);
		}
		reader->at++;
		if (step(reader, &by, err) == -1)
			return -1;
	}
	/* value() keeps them in the field's range; 63 is what a mask has */
	for (uint32_t i = first; i <= last && i < 64; i += by)
		*mask |= UINT64_C(1) << i;
	return 0;
}

static int
list(struct reader *reader, uint64_t *ret_mask, struct err *err)
{
	uint64_t mask = 0;

	for (;;) {
		if (entry(reader, &mask, err) == -1)
			return -1;
		if (*reader->at != ',')
			break;
		reader->at++;
	}
	if (*reader->at != '\0' && *reader->at != ' ' && *reader->at != '\t')
		return refuse(reader, "can't stand here", err);
	*ret_mask = mask;
	return 0;
}

static int
alias(const char *text, const char **ret, struct err *err)
{
	if (text_equal(text, "@reboot"))
		return err_set(err, ERR_INPUT,
		    "@reboot isn't a time: what runs once at the start is an "
		    "init worker, or a worker with 'restart: {policy: "
		    "OnFailure}'");
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (text_equal(text, aliases[i].word)) {
			*ret = aliases[i].stands_for;
			return 0;
		}
	return err_set(err, ERR_INPUT,
	    "'%.20s' isn't known; valid: @yearly, @annually, @monthly, "
	    "@weekly, @daily, @midnight, @hourly, or five fields",
	    text);
}

static int
parse_fields(const char *text, uint64_t masks[FIELDS], bool stars[FIELDS],
    struct err *err)
{
	struct reader reader = {.text = text, .at = text};

	for (size_t i = 0; i < FIELDS; i++) {
		reader.at += strspn(reader.at, " \t");
		if (*reader.at == '\0')
			return err_set(err, ERR_INPUT,
			    "has %zu field%s and no %s; it needs five: minute, "
			    "hour, day of the month, month, day of the week",
			    i, i == 1 ? "" : "s", fields[i].name);
		reader.field = &fields[i];
		stars[i] = *reader.at == '*';
		if (list(&reader, &masks[i], err) == -1)
			return -1;
	}
	reader.at += strspn(reader.at, " \t");
	if (*reader.at != '\0')
		return err_set(err, ERR_INPUT,
		    "column %d: '%.20s' is more than the five fields minute, "
		    "hour, day of the month, month, day of the week",
		    (int)(reader.at - text) + 1, reader.at);
	return 0;
}

int
cron_parse(const char *text, struct calendar_rule *ret, struct err *err)
{
	uint64_t masks[FIELDS] = {0};
	bool stars[FIELDS];

	if (text[0] == '@' && alias(text, &text, err) == -1)
		return -1;
	if (parse_fields(text, masks, stars, err) == -1)
		return -1;
	if ((masks[WEEKDAY] >> 7 & 1) != 0)
		masks[WEEKDAY] = (masks[WEEKDAY] | 1) & 0x7f;
	struct calendar_rule rule = {.minutes = masks[MINUTE],
	    .hours = (uint32_t)masks[HOUR],
	    .days = (uint32_t)masks[DAY],
	    .months = (uint32_t)masks[MONTH],
	    .weekdays = (uint32_t)masks[WEEKDAY],
	    .either_day = !stars[DAY] && !stars[WEEKDAY]};
	if (!calendar_possible(&rule))
		return err_set(err, ERR_INPUT,
		    "is never due: none of its months has such a day");
	*ret = rule;
	return 0;
}
