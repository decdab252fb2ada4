/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "supervisor/init/feed.h"
#include "supervisor/init/limiter.h"
#include "supervisor/init/lineform.h"
#include "supervisor/init/stream.h"
#include "supervisor/wire/logs.h"

/* --- what is known of a line --- */

static struct tally *
tally_of(const struct stream *stream)
{
	struct tally *tally = &stream->all->tallies->slots[stream->who.slot];

	/* its slot may be another instance's by now */
	return tally->incarnation == stream->who.incarnation ? tally : NULL;
}

/* The beginning of a line whose end has not come yet. */
static char *
text_of(const struct stream *stream)
{
	const struct streams *all = stream->all;

	return all->texts + (size_t)(stream - all->list) * LOGGER_LINE_MAX;
}

/* A line's beginning was read and its end wasn't (`continued`: a piece of it is
 * on its way already): a successor must know. */
static void
note_place(const struct stream *stream, bool continued)
{
	struct tally *tally = tally_of(stream);
	unsigned which = stream->who.stream == LOGGER_STDOUT ? 0 : 1;
	bool within = stream->len > 0 || continued || stream->skipping;

	if (tally != NULL && tally->place[which].pid == stream->who.pid)
		tally->place[which].within = within ? 1 : 0;
}

static int64_t
wall_ms(struct streams *all)
{
	if (all->now_ms != all->loop->now_ms || all->wall_ms == 0) {
		all->now_ms = all->loop->now_ms;
		all->wall_ms = clock_wall_ms();
		(void)clock_text(all->wall_ms, all->wall_text);
	}
	return all->wall_ms;
}

/* --- the rate limit --- */

static struct limiter *
limiter_of(const struct stream *stream)
{
	struct limiter *limiter = &stream->all->limiters[stream->who.slot];

	limiter_fill(limiter, &stream->who.logs, stream->who.incarnation,
	    stream->all->loop->now_ms);
	return limiter;
}

static void
tell_cut(const struct stream *stream, struct limiter *limiter)
{
	if (limiter->cut_lines == 0)
		return;
	streams_say(stream->all, "logger.limited",
	    "worker=%s replica=%lu: dropped %llu lines, %llu bytes: more than "
	    "its rateLimit",
	    stream->who.worker, (unsigned long)stream->who.replica,
	    (unsigned long long)limiter->cut_lines,
	    (unsigned long long)limiter->cut_bytes);
	limiter->cut_lines = limiter->cut_bytes = 0;
}

static bool
is_within_limit(
    const struct stream *stream, struct limiter *limiter, uint32_t bytes)
{
	struct tally *tally = tally_of(stream);

	if (limiter_take(limiter, &stream->who.logs, bytes)) {
		tell_cut(stream, limiter);
		return true;
	}
	if (tally != NULL)
		tally_add(&tally->limited, 1, bytes);
	return false;
}

/* --- lines on their way --- */

static void
form_open(const struct stream *stream, struct lineform *form)
{
	(void)wall_ms(stream->all);
	lineform_open(form, stream->all->out, STREAM_OUT, &stream->who,
	    stream->all->wall_text);
}

/* Appends it as it goes out. */
static void
format_line(const struct stream *stream, struct lineform *form,
    const char *text, uint32_t raw_len)
{
	bool partial = text[raw_len - 1] != '\n';
	bool continued =
	    text == stream->all->batch ? stream->continued : text[-1] != '\n';

	lineform_add(
	    form, text, partial ? raw_len : raw_len - 1, continued, partial);
}

/* `count` lines, one behind the other, all of which pass. */
static void
send_lines(const struct stream *stream, const char *bytes,
    struct outlet_line *lines, uint32_t count)
{
	struct lineform form;
	struct outlet *outlet = stream_outlet(stream);
	uint32_t first = 0;

	if (stream->who.logs.format == LOGS_PLAIN) {
		outlet_send(outlet, bytes, lines, count);
		return;
	}
	form_open(stream, &form);
	for (uint32_t i = 0; i < count; i++) {
		size_t before = form.len;
		if (STREAM_OUT - form.len < lineform_most(lines[i].raw_len)) {
			outlet_send(
			    outlet, form.bytes, &lines[first], i - first);
			first = i;
			before = form.len = 0;
		}
		format_line(stream, &form, bytes, lines[i].raw_len);
		lines[i].out_len = (uint32_t)(form.len - before);
		bytes += lines[i].raw_len;
	}
	outlet_send(outlet, form.bytes, &lines[first], count - first);
}

/* The last of `before` + `count` lines: those before them would be pushed out
 * again at once. */
static void
keep_lines(struct stream *stream, const char *bytes,
    const struct outlet_line *lines, uint32_t count, uint32_t before)
{
	struct streams *all = stream->all;
	struct keep_line line = {.stream = stream->who.stream,
	    .generation = stream->who.generation,
	    .pid = stream->who.pid,
	    .wall_ms = wall_ms(all)};

	if (stream->instance->slot != stream->who.slot ||
	    stream->instance->incarnation != stream->who.incarnation)
		return; /* forgotten: another has its ring */
	if (before > 0)
		keep_skip(&all->keep, stream->instance, before);
	for (uint32_t i = 0; i < count; bytes += lines[i++].raw_len) {
		bool partial = bytes[lines[i].raw_len - 1] != '\n';
		line.len = lines[i].raw_len - (partial ? 0 : 1);
		line.flags = partial ? LOGS_PARTIAL : 0;
		keep_add(&all->keep, stream->instance,
		    stream->who.logs.keep_lines, &line, bytes);
	}
	logserve_added(&all->server, stream->instance);
}

static void
pass_lines(struct stream *stream, const char *bytes, struct outlet_line *lines,
    uint32_t count)
{
	struct limiter *limiter;
	uint32_t run = 0;
	size_t run_bytes = 0;

	if (!limiter_limits(&stream->who.logs)) {
		send_lines(stream, bytes, lines, count);
		return;
	}
	limiter = limiter_of(stream);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = lines[i].raw_len;
		if (is_within_limit(stream, limiter, len)) {
			run++;
			run_bytes += len;
			continue;
		}
		send_lines(stream, bytes, &lines[i - run], run);
		bytes += run_bytes + len;
		run = 0;
		run_bytes = 0;
	}
	send_lines(stream, bytes, &lines[count - run], run);
}

/* --- from bytes to lines --- */

/* What is left of a line whose beginning was lost is no line. Returns how much
 * of it is here. */
static size_t
skip_rest(struct stream *stream, const char *bytes, size_t n)
{
	const char *end = memchr(bytes, '\n', n);
	size_t len = end == NULL ? n : (size_t)(end - bytes) + 1;
	struct tally *tally = tally_of(stream);

	stream->skipping = end == NULL;
	if (tally != NULL) {
		tally_add(&tally->lost, end == NULL ? 0 : 1, len);
		tally_add(&tally->received, end == NULL ? 0 : 1, 0);
	}
	return len;
}

/* Whole lines, and pieces of those that are too long. Returns their bytes. */
static size_t
cut(struct stream *stream, const char *bytes, size_t n, uint32_t *ret_count)
{
	struct outlet_line *lines = stream->all->lines;
	uint32_t count = 0;
	size_t at = 0;

	while (at < n) {
		size_t most = MIN(n - at, (size_t)LOGGER_LINE_MAX);
		size_t len = bytes_newline(bytes + at, most);
		if (len < most)
			len++;
		else if (most < LOGGER_LINE_MAX)
			break;
		else /* no piece ends within a character */
			len =
			    utf8_whole((const unsigned char *)bytes + at, len);
		lines[count++] = (struct outlet_line){.out_len = (uint32_t)len,
		    .raw_len = (uint32_t)len,
		    .slot = stream->who.slot,
		    .incarnation = stream->who.incarnation,
		    .policy = stream->who.logs.when_blocked};
		at += len;
	}
	*ret_count = count;
	return at;
}

/* The bytes up to the last newline, when no line among them is too long. */
static bool
find_end(const char *bytes, size_t n, size_t *ret_len)
{
	size_t at = 0;

	while (at < n) {
		size_t most = MIN(n - at, (size_t)LOGGER_LINE_MAX);
		size_t len = bytes_lines_end(bytes + at, most);
		if (len == 0 && most == LOGGER_LINE_MAX)
			return false;
		if (len == 0)
			break;
		at += len;
	}
	*ret_len = at;
	return true;
}

static bool
is_plain(const struct stream *stream)
{
	return stream->who.logs.format == LOGS_PLAIN &&
	       !limiter_limits(&stream->who.logs);
}

/* Nothing is to be known of a single line but of the last ones, which are
 * kept. */
static void
feed_plain(struct stream *stream, const char *bytes, size_t len, uint32_t count)
{
	struct streams *all = stream->all;
	struct outlet_line whole = {.out_len = (uint32_t)len,
	    .raw_len = (uint32_t)len,
	    .slot = stream->who.slot,
	    .incarnation = stream->who.incarnation,
	    .policy = stream->who.logs.when_blocked};
	uint32_t kept = 0;
	size_t from = 0;
	uint32_t last = keep_last(
	    &all->keep, stream->who.logs.keep_lines, bytes, len, &from);

	(void)cut(stream, bytes + from, len - from, &kept);
	keep_lines(stream, bytes + from, all->lines, kept, count - last);
	outlet_send_plain(stream_outlet(stream), bytes, &whole, count);
}

/* The lines that were cut. `short_ones`: no line among them is too long. */
static void
feed_lines(struct stream *stream, const char *bytes, size_t len, uint32_t count,
    bool short_ones)
{
	struct outlet_line *lines = stream->all->lines;
	uint32_t last = count;
	size_t from = 0;

	stream->all->batch = bytes;
	if (short_ones)
		last = keep_last(&stream->all->keep,
		    stream->who.logs.keep_lines, bytes, len, &from);
	keep_lines(
	    stream, bytes + from, lines + (count - last), last, count - last);
	pass_lines(stream, bytes, lines, count);
}

/* What was read is counted whole, and where in a line it ends is noted, before
 * any of it goes on: so wherever the logger is killed from now on, its
 * successor knows what it held, and with what its pipe goes on. */
static void
end_reading(const struct stream *stream, uint32_t lines, bool continued)
{
	struct tally *tally = tally_of(stream);

	if (tally != NULL)
		tally->received.lines += lines;
	note_place(stream, continued);
	tally_in_order();
	stream->all->tallies->reading = 0;
}

static void
feed_bytes(struct stream *stream, char *bytes, size_t n)
{
	uint32_t count = 0;
	size_t done = 0;

	if (stream->skipping) {
		size_t skipped = skip_rest(stream, bytes, n);
		bytes += skipped;
		n -= skipped;
	}
	bool short_ones = find_end(bytes, n, &done);
	bool plain = short_ones && is_plain(stream);

	if (plain)
		count = bytes_count_newlines(bytes, done);
	else
		done = cut(stream, bytes, n, &count);
	bool continued =
	    count > 0 ? bytes[done - 1] != '\n' : stream->continued;

	stream->len = (uint32_t)(n - done);
	if (n > done)
		memcpy(text_of(stream), bytes + done, n - done);
	end_reading(stream, count, continued);
	if (count > 0 && plain)
		feed_plain(stream, bytes, done, count);
	else if (count > 0)
		feed_lines(stream, bytes, done, count, short_ones);
	stream->continued = continued;
}

/* A last line without its newline gets one: what comes next on the same outlet
 * is another's. */
static void
feed_last(struct stream *stream)
{
	struct outlet_line line = {.out_len = stream->len + 1,
	    .raw_len = stream->len + 1,
	    .slot = stream->who.slot,
	    .incarnation = stream->who.incarnation,
	    .policy = stream->who.logs.when_blocked};
	struct lineform form;
	char *bytes = stream->all->scratch;
	struct tally *tally = tally_of(stream);

	if (stream->len == 0 && !stream->continued)
		return;
	if (stream->len > 0)
		memcpy(bytes, text_of(stream), stream->len);
	bytes[stream->len] = '\n';
	stream->all->batch = bytes;
	if (tally != NULL)
		tally->received.lines++;
	keep_lines(stream, bytes, &line, 1, 0);
	if (stream->who.logs.format != LOGS_PLAIN) {
		form_open(stream, &form);
		format_line(stream, &form, bytes, line.raw_len);
		line.out_len = (uint32_t)form.len;
		bytes = form.bytes;
	}
	line.raw_len = stream->len; /* the newline is ours */
	if (!limiter_limits(&stream->who.logs) ||
	    is_within_limit(stream, limiter_of(stream), line.raw_len))
		outlet_send(stream_outlet(stream), bytes, &line, 1);
	stream->len = 0;
	stream->continued = false;
}

/* --- a stream's life --- */

/* Is this the pipe of which a logger before us read half a line? */
static bool
begins_within(const struct stream *stream)
{
	struct tally *tally = tally_of(stream);
	unsigned which = stream->who.stream == LOGGER_STDOUT ? 0 : 1;

	/* the counts know the place in the newest only */
	if (tally == NULL || stream->who.stray)
		return false;
	bool within = tally->place[which].within != 0 &&
	              tally->place[which].pid == stream->who.pid;

	/* never another's place under this pid, wherever we are killed */
	tally->place[which].within = within ? 1 : 0;
	tally_in_order();
	tally->place[which].pid = (int32_t)stream->who.pid;
	return within;
}

void
feed_attached(struct stream *stream)
{
	stream->len = 0;
	stream->continued = false;
	stream->skipping = begins_within(stream);
	note_place(stream, false);
}

char *
feed_begin(const struct stream *stream, size_t *ret_most)
{
	*ret_most = stream->who.logs.format == LOGS_JSON ? STREAM_READ_JSON
	                                                 : STREAM_READ;
	stream->all->tallies->reading = stream->who.slot + 1;
	return stream->all->scratch + LOGGER_LINE_MAX;
}

void
feed(struct stream *stream, ssize_t n)
{
	char *into = stream->all->scratch + LOGGER_LINE_MAX;
	struct tally *tally = tally_of(stream);

	if (n <= 0) {
		stream->all->tallies->reading = 0;
		return;
	}
	if (tally != NULL)
		tally->received.bytes += (uint64_t)n;
	if (stream->len > 0)
		memcpy(into - stream->len, text_of(stream), stream->len);
	feed_bytes(stream, into - stream->len, stream->len + (size_t)n);
}

void
feed_end(struct stream *stream)
{
	feed_last(stream);
	if (limiter_limits(&stream->who.logs))
		tell_cut(stream, limiter_of(stream));
	stream->skipping = false;
	note_place(stream, false);
}
