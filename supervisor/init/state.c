/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "base/secret.h"
#include "base/text.h"
#include "supervisor/init/core.h"
#include "supervisor/init/recover.h"
#include "supervisor/init/state.def"
#include "supervisor/init/state.h"

/* --- the fields of this image --- */

#define ROW(number, type, field)                         \
	{                                                \
	    .name = #field,                              \
	    .table = (number),                           \
	    .offset = (uint32_t)offsetof(type, field),   \
	    .size = sizeof(((const type *)NULL)->field), \
	},
#define OF_KEPT(field)     ROW(STATE_KEPT, struct kept, field)
#define OF_CORE(field)     ROW(STATE_CORE, struct core, field)
#define OF_PLAN(field)     ROW(STATE_PLAN, struct plan, field)
#define OF_START(field)    ROW(STATE_START, struct start, field)
#define OF_INSTANCE(field) ROW(STATE_INSTANCE, struct instance, field)
#define OF_PAST(field)     ROW(STATE_PAST, struct past, field)
#define OF_NOTICE(field)   ROW(STATE_NOTICE, struct notice, field)
#define OF_WIRES(field)    ROW(STATE_WIRES, struct wires, field)
#define OF_LINKS(field)    ROW(STATE_LINKS, struct links, field)
#define OF_PIDFD(field)    ROW(STATE_PIDFD, struct loop_source, field)
#define OF_STRAY(field)    ROW(STATE_STRAY, struct stray, field)
#define OF_RUN(field)      ROW(STATE_RUN, struct run, field)
#define OF_SPARE(field)    ROW(STATE_SPARE, struct run, field)
#define OF_PROBER(field)   ROW(STATE_PROBER, struct prober, field)
#define OF_ALLOWED(field)  ROW(STATE_ALLOWED, struct fingerprint, field)
#define OF_JOURNAL(field)  ROW(STATE_JOURNAL, struct wire_event, field)

/* Pointers are taken as numbers: NOLINTBEGIN(bugprone-sizeof-expression) */
static const struct state_field own_fields[] = {
    STATE_KEPT_FIELDS(OF_KEPT) STATE_CORE_FIELDS(OF_CORE) STATE_PLAN_FIELDS(
        OF_PLAN) STATE_START_FIELDS(OF_START) STATE_INSTANCE_FIELDS(OF_INSTANCE)
        STATE_WIRES_FIELDS(OF_WIRES) STATE_RUN_FIELDS(OF_RUN) STATE_RUN_FIELDS(
            OF_SPARE) STATE_PROBER_FIELDS(OF_PROBER)
            STATE_FINGERPRINT_FIELDS(OF_ALLOWED) STATE_JOURNAL_FIELDS(
                OF_JOURNAL) STATE_NOTICE_FIELDS(OF_NOTICE)
                STATE_PAST_FIELDS(OF_PAST) STATE_LINKS_FIELDS(OF_LINKS)
                    STATE_PIDFD_FIELDS(OF_PIDFD) STATE_STRAY_FIELDS(OF_STRAY)};

/* NOLINTEND(bugprone-sizeof-expression) */
static_assert(ARRAY_LEN(own_fields) <= STATE_FIELDS_MAX, "they have room");

#ifndef REEVE_TEST_LAYOUT
/* A fact that is listed nowhere would be lost with an upgrade. */
enum {
	/* that the compiler leaves between the fields */
	GAPS_INSTANCE = 3,
	GAPS_PAST = 0,
	GAPS_RUN = 14,
	GAPS_PROBER = 9,
};

#define PLUS_INSTANCE(field) +sizeof(((struct instance *)NULL)->field)
#define PLUS_PAST(field)     +sizeof(((struct past *)NULL)->field)
#define PLUS_RUN(field)      +sizeof(((struct run *)NULL)->field)
#define PLUS_PROBER(field)   +sizeof(((struct prober *)NULL)->field)

static_assert(GAPS_INSTANCE STATE_INSTANCE_FIELDS(PLUS_INSTANCE) ==
                  sizeof(struct instance),
    "every field of struct instance is in state.def");
static_assert(GAPS_PAST STATE_PAST_FIELDS(PLUS_PAST) == sizeof(struct past),
    "every field of struct past is in state.def");
static_assert(GAPS_RUN STATE_RUN_FIELDS(PLUS_RUN) == sizeof(struct run),
    "every field of struct run is in state.def");
static_assert(
    GAPS_PROBER STATE_PROBER_FIELDS(PLUS_PROBER) == sizeof(struct prober),
    "every field of struct prober is in state.def");
#endif

void
state_describe(
    struct state_head *head, const struct state_place places[STATE_TABLES])
{
	*head = (struct state_head){.magic = STATE_MAGIC,
	    .version = STATE_VERSION,
	    .nfields = ARRAY_LEN(own_fields)};
	memcpy(head->places, places, STATE_TABLES * sizeof(places[0]));
	memcpy(head->fields, own_fields, sizeof(own_fields));
}

/* --- another image's --- */

static bool
place_fits(const struct state_place *place, uint64_t bytes)
{
	/* two 32 bit numbers: no product overflows */
	return place->offset <= bytes &&
	       (uint64_t)place->stride * place->count <= bytes - place->offset;
}

static bool
field_fits(const struct state_head *head, const struct state_field *field)
{
	if (field->table >= STATE_TABLES_MAX ||
	    memchr(field->name, '\0', sizeof(field->name)) == NULL)
		return false;
	uint32_t stride = head->places[field->table].stride;

	return field->offset <= stride && field->size <= stride - field->offset;
}

int
state_check(const struct state_head *head, uint64_t bytes, struct err *err)
{
	if (bytes < sizeof(*head) || head->magic != STATE_MAGIC)
		return err_set(err, ERR_INPUT, "the state isn't one of ours");
	if (head->version < STATE_OLDEST || head->version > STATE_VERSION)
		return err_set(err, ERR_INPUT,
		    "a state of version %u, not in %d..%d", head->version,
		    STATE_OLDEST, STATE_VERSION);
	if (head->nfields > STATE_FIELDS_MAX)
		return err_set(
		    err, ERR_INPUT, "a state with %u fields", head->nfields);
	for (size_t i = 0; i < STATE_TABLES_MAX; i++)
		if (!place_fits(&head->places[i], bytes))
			return err_set(err, ERR_INPUT,
			    "table %zu of the state is not within it", i);
	for (uint32_t i = 0; i < head->nfields; i++)
		if (!field_fits(head, &head->fields[i]))
			return err_set(err, ERR_INPUT,
			    "field %u of the state is not within its table", i);
	return 0;
}

static const struct state_field *
find(const struct state_head *head, uint32_t table, const char *name)
{
	for (uint32_t i = 0; i < head->nfields; i++)
		if (head->fields[i].table == table &&
		    text_equal(head->fields[i].name, name))
			return &head->fields[i];
	return NULL;
}

int64_t
state_number(const struct state_head *from, const char *from_base,
    enum state_table table, const char *name)
{
	const struct state_field *field = find(from, table, name);
	const struct state_place *place = &from->places[table];
	uint32_t value = 0;

	if (field == NULL || field->size != sizeof(value) || place->count == 0)
		return -1;
	memcpy(
	    &value, from_base + place->offset + field->offset, sizeof(value));
	return value;
}

static bool
is_zero(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

/* One field of all rows of a table, in either layout. */
struct column {
	const char *from;
	char *to;
	uint32_t from_stride, to_stride;
	size_t bytes;
};

/* `fresh`: there are zeros already, of which no page is to be touched. */
static void
copy_column(const struct column *column, uint32_t rows, bool fresh)
{
	for (uint64_t row = 0; row < rows; row++) {
		const char *from = column->from + row * column->from_stride;

		if (!fresh || !is_zero(from, column->bytes))
			memcpy(column->to + row * column->to_stride, from,
			    column->bytes);
	}
}

void
state_copy(const struct state_head *from, const char *from_base,
    const struct state_head *to, char *to_base,
    const uint32_t rows[STATE_TABLES])
{
	for (uint32_t i = 0; i < to->nfields; i++) {
		const struct state_field *is = &to->fields[i];
		const struct state_field *was = find(from, is->table, is->name);
		const struct state_place *source = &from->places[is->table];
		const struct state_place *target = &to->places[is->table];
		uint32_t count =
		    MIN(rows[is->table], MIN(source->count, target->count));
		if (was == NULL)
			continue;
		struct column column = {
		    .from = from_base + source->offset + was->offset,
		    .from_stride = source->stride,
		    .to_stride = target->stride,
		    .bytes = MIN(was->size, is->size)};

		column.to = to_base + target->offset + is->offset;
		copy_column(&column, count, is->table >= STATE_INSTANCE);
	}
}

/* --- reeve --state --- */

static const char said_format[] = "reeve-state %d %d %s\n";

int
state_say(void)
{
	char line[STATE_SAID_MAX];
	int len = snprintf(line, sizeof(line), said_format, STATE_VERSION,
	    STATE_OLDEST, REEVE_VERSION);

	return len > 0 && write(STDOUT_FILENO, line, (size_t)len) == len
	           ? EXIT_PASSED
	           : EXIT_BUG;
}

/* The next number, and moves behind it and its space. */
static bool
take_number(const char **at, int64_t *ret)
{
	char digits[16];
	size_t len = strspn(*at, "0123456789");

	if (len == 0 || len >= sizeof(digits) || (*at)[len] != ' ')
		return false;
	memcpy(digits, *at, len);
	digits[len] = '\0';
	*at += len + 1;
	return text_i64(digits, 1, INT32_MAX, ret, NULL) == 0;
}

int
state_read_said(
    const char *said, char *ret_version, size_t size, struct err *err)
{
	static const char start[] = "reeve-state ";
	const char *at = said;
	int64_t version = 0, oldest = 0;
	size_t len;

	if (!text_starts(said, start))
		goto other;
	at += sizeof(start) - 1;
	if (!take_number(&at, &version) || !take_number(&at, &oldest))
		goto other;
	len = strcspn(at, "\n");
	if (len == 0 || len >= size || at[len] != '\n' || at[len + 1] != '\0')
		goto other;
	memcpy(ret_version, at, len);
	ret_version[len] = '\0';
	if (oldest > STATE_VERSION || version < STATE_VERSION)
		return err_set(err, ERR_REFUSED,
		    "reeve %s takes over states of version %lld to %lld, this "
		    "one's is %d: restart the container instead",
		    ret_version, (long long)oldest, (long long)version,
		    STATE_VERSION);
	return 0;
other:
	return err_set(err, ERR_REFUSED,
	    "it doesn't say what states it can take over: not a reeve, or one "
	    "from before upgrades");
}
