/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/init/lineform.h"
#include "supervisor/init/stream.h"
#include "supervisor/wire/logs.h"

enum {
	STREAMS_EACH = 4, /* pipes an instance may have: old ones linger */
	READ_MAX = STREAM_READ + LOGGER_LINE_MAX, /* with a beginning */
	LINES_MAX = READ_MAX,                     /* each byte may be one */
	PIPE_BUSY = 32768,
	OUT_SIZE = 1 << 18,
	MILLE = 1000,
};

/* --- what is known of a line --- */

static struct tally *
tally_of(const struct stream *stream)
{
	struct tally *tally = &stream->all->tallies->slots[stream->who.slot];

	/* its slot may be another instance's by now */
	return tally->incarnation == stream->who.incarnation ? tally : NULL;
}

static struct outlet *
outlet_of(const struct stream *stream)
{
	return stream->who.stream == LOGGER_STDOUT ? &stream->all->outlets[0]
	                                           : stream->all->stderr_outlet;
}

/* The beginning of a line whose end has not come yet. */
static char *
text_of(const struct stream *stream)
{
	const struct streams *all = stream->all;

	return all->texts + (size_t)(stream - all->list) * LOGGER_LINE_MAX;
}

/* Where the newest pipe of its instance and stream is noted. */
static uint32_t *
newest_of(const struct streams *all, const struct logger_message *who)
{
	return &all->newest[2 * (size_t)who->slot +
	                    (who->stream == LOGGER_STDOUT ? 0 : 1)];
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

void
streams_say(struct streams *all, const char *event, const char *fmt, ...)
{
	char at[CLOCK_TEXT_SIZE];
	char text[256];
	char line[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (text_format(line, sizeof(line), NULL,
	        all->json ? "{\"at\":\"%s\",\"level\":\"warning\","
	                    "\"event\":\"%s\",\"text\":\"%s\"}\n"
	                  : "%s warning %s %s\n",
	        clock_text(clock_wall_ms(), at), event, text) == 0)
		outlet_say(all->stderr_outlet, line);
}

/* --- the rate limit --- */

static bool
is_limited(const struct stream *stream)
{
	return stream->who.logs.rate_lines > 0 ||
	       stream->who.logs.rate_bytes > 0;
}

static int64_t
filled(int64_t has, uint64_t rate, int64_t ms, int64_t burst_ms)
{
	int64_t most = (int64_t)rate * burst_ms;
	int64_t more = 0;

	if (rate == 0 || __builtin_mul_overflow((int64_t)rate, ms, &more) ||
	    __builtin_add_overflow(has, more, &more))
		return most;
	return MIN(more, most);
}

static struct limiter *
limiter_of(const struct stream *stream)
{
	const struct worker_logs *logs = &stream->who.logs;
	struct limiter *limiter = &stream->all->limiters[stream->who.slot];
	int64_t now_ms = stream->all->loop->now_ms;

	if (!limiter->began || limiter->incarnation != stream->who.incarnation)
		*limiter = (struct limiter){.began = true,
		    .incarnation = stream->who.incarnation,
		    .at_ms = now_ms,
		    .lines = (int64_t)logs->rate_lines * logs->burst_ms,
		    .bytes = (int64_t)logs->rate_bytes * logs->burst_ms};
	int64_t ms = MAX(now_ms - limiter->at_ms, (int64_t)0);

	limiter->at_ms = now_ms;
	limiter->lines =
	    filled(limiter->lines, logs->rate_lines, ms, logs->burst_ms);
	limiter->bytes =
	    filled(limiter->bytes, logs->rate_bytes, ms, logs->burst_ms);
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

/* Whether it passes. A line may overdraw: else one that is longer than the
 * whole burst would never pass. */
static bool
limiter_take(struct stream *stream, struct limiter *limiter, uint32_t bytes)
{
	const struct worker_logs *logs = &stream->who.logs;

	if ((logs->rate_lines > 0 && limiter->lines < MILLE) ||
	    (logs->rate_bytes > 0 && limiter->bytes <= 0)) {
		struct tally *tally = tally_of(stream);
		limiter->cut_lines++;
		limiter->cut_bytes += bytes;
		if (tally != NULL)
			tally_add(&tally->limited, 1, bytes);
		return false;
	}
	if (logs->rate_lines > 0)
		limiter->lines -= MILLE;
	if (logs->rate_bytes > 0)
		limiter->bytes -= (int64_t)bytes * MILLE;
	tell_cut(stream, limiter);
	return true;
}

/* --- lines on their way --- */

static void
form_open(const struct stream *stream, struct lineform *form)
{
	(void)wall_ms(stream->all);
	lineform_open(form, stream->all->out, OUT_SIZE, &stream->who,
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
	struct outlet *outlet = outlet_of(stream);
	uint32_t first = 0;

	if (stream->who.logs.format == LOGS_PLAIN) {
		outlet_send(outlet, bytes, lines, count);
		return;
	}
	form_open(stream, &form);
	for (uint32_t i = 0; i < count; i++) {
		size_t before = form.len;
		if (OUT_SIZE - form.len < lineform_most(lines[i].raw_len)) {
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

	if (!is_limited(stream)) {
		send_lines(stream, bytes, lines, count);
		return;
	}
	limiter = limiter_of(stream);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = lines[i].raw_len;
		if (limiter_take(stream, limiter, len)) {
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
	return stream->who.logs.format == LOGS_PLAIN && !is_limited(stream);
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
	outlet_send_plain(outlet_of(stream), bytes, &whole, count);
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
feed(struct stream *stream, char *bytes, size_t n)
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
	if (!is_limited(stream) ||
	    limiter_take(stream, limiter_of(stream), line.raw_len))
		outlet_send(outlet_of(stream), bytes, &line, 1);
	stream->len = 0;
	stream->continued = false;
}

/* --- reading --- */

static void
pause_stream(struct stream *stream)
{
	struct streams *all = stream->all;
	uint32_t index = (uint32_t)(stream - all->list) + 1;

	loop_remove(all->loop, &stream->source);
	stream->wait = STREAM_PAUSED;
	stream->next = 0;
	if (all->paused_last != 0)
		all->list[all->paused_last - 1].next = index;
	else
		all->paused_first = index;
	all->paused_last = index;
}

static bool
must_wait(const struct stream *stream)
{
	const struct outlet *outlet = outlet_of(stream);

	return stream->who.logs.when_blocked == LOGS_BLOCK && !outlet->closed &&
	       outlet_full(outlet);
}

/* A worker that fills its pipe gets a larger one, and is waited for less often.
 * Only then: the kernel limits what a user who isn't root has in all pipes. */
static void
grow_pipe(struct stream *stream)
{
	stream->grown = true;
	(void)!fcntl(stream->source.fd, F_SETPIPE_SZ, STREAM_READ);
}

bool
stream_read(struct stream *stream)
{
	struct streams *all = stream->all;
	char *into = all->scratch + LOGGER_LINE_MAX;
	struct tally *tally = tally_of(stream);
	size_t most = stream->who.logs.format == LOGS_JSON ? STREAM_READ_JSON
	                                                   : STREAM_READ;

	if (must_wait(stream)) {
		pause_stream(stream);
		return false;
	}
	all->tallies->reading = stream->who.slot + 1;
	ssize_t n = read(stream->source.fd, into, most);
	int sys = errno;

	if (n > 0 && tally != NULL)
		tally->received.bytes += (uint64_t)n;
	if (n <= 0)
		all->tallies->reading = 0;
	if (n >= PIPE_BUSY && !stream->grown)
		grow_pipe(stream);
	if (n > 0) {
		if (stream->len > 0)
			memcpy(
			    into - stream->len, text_of(stream), stream->len);
		feed(stream, into - stream->len, stream->len + (size_t)n);
		return true;
	}
	if (n == -1 && sys == EINTR)
		return true;
	if (n == 0 || sys != EAGAIN)
		stream_end(stream);
	return false;
}

static void
forget_newest(const struct stream *stream)
{
	const struct streams *all = stream->all;
	uint32_t *at = newest_of(all, &stream->who);
	uint32_t index = (uint32_t)(stream - all->list) + 1;

	while (*at != 0 && *at != index)
		at = &all->list[*at - 1].older;
	if (*at == index)
		*at = stream->older;
}

void
stream_end(struct stream *stream)
{
	struct streams *all = stream->all;
	uint32_t index = (uint32_t)(stream - all->list);

	feed_last(stream);
	if (is_limited(stream))
		tell_cut(stream, limiter_of(stream));
	stream->skipping = false;
	note_place(stream, false);
	stream->who.kind = LOGGER_ENDED;
	loop_remove(all->loop, &stream->source);
	fd_close(&stream->source.fd);
	if (!all->untold && fd_send(all->socket_fd, &stream->who,
	                        sizeof(stream->who), NULL, 0, NULL) == -1)
		log_debug("logger.untold",
		    "worker=%s: the init doesn't take "
		    "the end of a stream",
		    stream->who.worker);
	forget_newest(stream);
	all->free_list[all->nfree++] = index;
}

static void
stream_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	(void)stream_read(source->owner);
}

void
streams_resume(struct streams *all)
{
	uint32_t last = all->paused_last;
	uint32_t at = 0;

	/* each once: one that must wait again goes to the end */
	while (all->paused_first != 0 && at != last) {
		at = all->paused_first;
		struct stream *stream = &all->list[at - 1];
		if (must_wait(stream) && all->stderr_outlet == all->outlets)
			return; /* and so must all others */
		all->paused_first = stream->next;
		if (all->paused_first == 0)
			all->paused_last = 0;
		stream->wait = STREAM_FLOWS;
		if (loop_add(all->loop, &stream->source, EPOLLIN, NULL) == -1)
			pause_stream(stream);
		else
			(void)stream_read(stream);
	}
}

/* --- attaching --- */

static struct stream *
stream_new(struct streams *all)
{
	if (all->nfree > 0)
		return &all->list[all->free_list[--all->nfree]];
	return all->count == all->max ? NULL : &all->list[all->count++];
}

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

int
stream_attach(struct streams *all, const struct logger_message *message, int fd,
    struct err *err)
{
	if (message->slot >= all->keep.max ||
	    message->logs.format < LOGS_PLAIN ||
	    message->logs.format > LOGS_JSON)
		return err_set(err, ERR_CAPACITY,
		    "no room for the output of more than %lu instances",
		    (unsigned long)all->keep.max);
	struct stream *stream = stream_new(all);

	if (stream == NULL)
		return err_set(err, ERR_CAPACITY,
		    "no room for more than %lu pipes", (unsigned long)all->max);
	stream->all = all;
	stream->who = *message;
	stream->instance = keep_instance(&all->keep, message->slot,
	    message->incarnation, message->worker, message->replica);
	stream->len = stream->next = 0;
	stream->wait = STREAM_FLOWS;
	stream->grown = stream->continued = false;
	stream->skipping = begins_within(stream);
	stream->source = (struct loop_source){
	    .fd = fd, .ready = stream_ready, .owner = stream};
	if (fd_nonblock(fd, true, err) == -1 ||
	    loop_add(all->loop, &stream->source, EPOLLIN, err) == -1) {
		all->free_list[all->nfree++] = (uint32_t)(stream - all->list);
		return -1;
	}
	if (!message->stray)
		keep_started(stream->instance, message->pid);
	note_place(stream, false);
	stream->older = *newest_of(all, message);
	*newest_of(all, message) = (uint32_t)(stream - all->list) + 1;
	all->tallies->used = MAX(all->tallies->used, message->slot + 1);
	return 0;
}

void
streams_change(struct streams *all, const struct logger_message *message)
{
	uint32_t at =
	    message->slot < all->keep.max ? *newest_of(all, message) : 0;

	for (; at != 0; at = all->list[at - 1].older)
		if (all->list[at - 1].who.incarnation == message->incarnation)
			all->list[at - 1].who.logs = message->logs;
}

/* --- memory --- */

static void *
map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* Something was dropped and now there is room: say how much, once. */
static void
outlet_flows(struct outlet *outlet)
{
	struct streams *all = outlet->user;
	uint64_t lines = outlet->dropped_lines;
	uint64_t bytes = outlet->dropped_bytes;

	outlet->dropped_lines = outlet->dropped_bytes = 0;
	streams_say(all, "logger.dropped",
	    "stream=%s lines=%llu bytes=%llu: nobody read them",
	    outlet == &all->outlets[0] ? "stdout" : "stderr",
	    (unsigned long long)lines, (unsigned long long)bytes);
}

/* Two queues to one file would tear the lines that are longer than PIPE_BUF. */
static bool
is_one_file(void)
{
	struct stat a, b;

	return fstat(STDOUT_FILENO, &a) == 0 && fstat(STDERR_FILENO, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino &&
	       a.st_rdev == b.st_rdev;
}

int
streams_init(struct streams *all, struct loop *loop, struct tallies *tallies,
    uint32_t instances, uint32_t keep_bytes, struct err *err)
{
	*all = (struct streams){.loop = loop,
	    .tallies = tallies,
	    .socket_fd = -1,
	    .max = instances * STREAMS_EACH};
	all->list = map(all->max * sizeof(*all->list));
	all->texts = map((size_t)all->max * LOGGER_LINE_MAX);
	all->newest = map(2 * (size_t)instances * sizeof(*all->newest));
	all->free_list = map(all->max * sizeof(*all->free_list));
	all->limiters = map(instances * sizeof(*all->limiters));
	all->lines = map(LINES_MAX * sizeof(*all->lines));
	all->out = map(OUT_SIZE);
	all->scratch = map(READ_MAX);
	if (all->list == NULL || all->texts == NULL || all->newest == NULL ||
	    all->free_list == NULL || all->limiters == NULL ||
	    all->lines == NULL || all->out == NULL || all->scratch == NULL)
		return err_sys(err, "map the streams");
	if (keep_init(&all->keep, instances, keep_bytes, err) == -1)
		return -1;
	for (int i = 0; i < 2; i++) {
		if (outlet_init(&all->outlets[i], loop, STDOUT_FILENO + i,
		        tallies, err) == -1)
			return -1;
		all->outlets[i].flows = outlet_flows;
		all->outlets[i].user = all;
	}
	all->stderr_outlet =
	    is_one_file() ? &all->outlets[0] : &all->outlets[1];
	return 0;
}
