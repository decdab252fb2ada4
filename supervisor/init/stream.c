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

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/init/feed.h"
#include "supervisor/init/stream.h"

enum {
	STREAMS_EACH = 4, /* pipes an instance may have: old ones linger */
	READ_MAX = STREAM_READ + LOGGER_LINE_MAX, /* with a beginning */
	LINES_MAX = READ_MAX,                     /* each byte may be one */
	PIPE_BUSY = 32768,
};

/* Where the newest pipe of its instance and stream is noted. */
static uint32_t *
newest_of(const struct streams *all, const struct logger_message *who)
{
	return &all->newest[2 * (size_t)who->slot +
	                    (who->stream == LOGGER_STDOUT ? 0 : 1)];
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
	const struct outlet *outlet = stream_outlet(stream);

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
	size_t most = 0;

	if (must_wait(stream)) {
		pause_stream(stream);
		return false;
	}
	char *into = feed_begin(stream, &most);
	ssize_t n = read(stream->source.fd, into, most);
	int sys = errno;

	feed(stream, n);
	if (n >= PIPE_BUSY && !stream->grown)
		grow_pipe(stream);
	if (n > 0 || (n == -1 && sys == EINTR))
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

	feed_end(stream);
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
	stream->next = 0;
	stream->wait = STREAM_FLOWS;
	stream->grown = false;
	stream->source = (struct loop_source){
	    .fd = fd, .ready = stream_ready, .owner = stream};
	if (fd_nonblock(fd, true, err) == -1 ||
	    loop_add(all->loop, &stream->source, EPOLLIN, err) == -1) {
		all->free_list[all->nfree++] = (uint32_t)(stream - all->list);
		return -1;
	}
	if (!message->stray)
		keep_started(stream->instance, message->pid);
	feed_attached(stream);
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
	all->out = map(STREAM_OUT);
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
