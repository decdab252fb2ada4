/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "base/utf8.h"
#include "supervisor/init/keep.h"
#include "supervisor/init/logger.h"
#include "supervisor/init/logserve.h"
#include "supervisor/init/outlet.h"
#include "supervisor/wire/logs.h"

enum {
	READ_SIZE = 65536,    /* a turn's share of one stream */
	QUEUE_SIZE = 1 << 18, /* of each outlet */
	LINE_SIZE = 6 * LOGGER_LINE_MAX + 1024, /* every byte escaped */
	STREAMS_EACH = 4, /* pipes an instance may have: old ones linger */
	LAST_READS = 64,  /* of one stream at the end */
};

struct stream {
	struct loop_source source;
	struct logger *logger;
	struct keep_instance *instance;
	struct logger_message who; /* as it was attached */
	uint32_t len;              /* of the line under way */
	char text[LOGGER_LINE_MAX];
};

struct logger {
	struct loop loop;
	struct loop_source socket;
	struct keep keep;
	struct logserve server;
	struct outlet outlets[2];
	enum logger_format format;
	struct stream *streams;
	uint32_t *free_streams;
	uint32_t nfree, nstreams;
	bool ending;
	int64_t wall_ms; /* of this turn */

	int socket_fd, listen_fd;
	int64_t keep_lines, keep_bytes, instances;

	char line[LINE_SIZE];
	size_t line_len;
	char scratch[READ_SIZE];
	char queues[2][QUEUE_SIZE];
};

/* --- a line on its way out --- */

static void
put(struct logger *logger, const char *bytes, size_t len)
{
	len = MIN(len, sizeof(logger->line) - logger->line_len);
	memcpy(logger->line + logger->line_len, bytes, len);
	logger->line_len += len;
}

static void
put_text(struct logger *logger, const char *text)
{
	put(logger, text, strlen(text));
}

static void
put_number(struct logger *logger, uint64_t number)
{
	char text[24];

	if (text_format(text, sizeof(text), NULL, "%llu",
	        (unsigned long long)number) == 0)
		put_text(logger, text);
}

static void
put_escaped(struct logger *logger, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

	if (c == '"' || c == '\\') {
		text[1] = (char)c;
		put(logger, text, 2);
	} else {
		put(logger, text, sizeof(text));
	}
}

/* Returns whether every byte could be said: JSON knows only UTF-8, and what is
 * not becomes U+FFFD. */
static bool
put_json(struct logger *logger, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	bool whole = true;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_len(p + i, len - i);
		if (n == 0) {
			put_text(logger, "\\ufffd");
			whole = false;
			n = 1;
		} else if (p[i] < 0x20 || p[i] == '"' || p[i] == '\\' ||
		           p[i] == 0x7f) {
			put_escaped(logger, p[i]);
		} else {
			put(logger, text + i, n);
		}
		i += n;
	}
	return whole;
}

static void
line_json(struct logger *logger, const struct stream *stream, const char *text,
    size_t len, bool partial)
{
	char at[CLOCK_TEXT_SIZE];

	put_text(logger, "{\"at\":\"");
	put_text(logger, clock_text(logger->wall_ms, at));
	put_text(logger, "\",\"worker\":\"");
	(void)put_json(logger, stream->who.worker, strlen(stream->who.worker));
	put_text(logger, "\",\"replica\":");
	put_number(logger, stream->who.replica);
	put_text(logger, ",\"generation\":");
	put_number(logger, stream->who.generation);
	put_text(logger, stream->who.stream == LOGGER_STDOUT
	                     ? ",\"stream\":\"stdout\""
	                     : ",\"stream\":\"stderr\"");
	put_text(logger, ",\"text\":\"");
	bool whole = put_json(logger, text, len);
	put_text(logger, whole ? "\"" : "\",\"lossy\":true");
	put_text(logger, partial ? ",\"partial\":true}\n" : "}\n");
}

static void
line_format(struct logger *logger, const struct stream *stream,
    const char *text, size_t len, bool partial)
{
	logger->line_len = 0;
	switch (logger->format) {
	case LOGGER_PLAIN:
		put(logger, text, len);
		if (!partial)
			put_text(logger, "\n");
		return;
	case LOGGER_PREFIX:
		put_text(logger, stream->who.worker);
		put_text(logger, "/");
		put_number(logger, stream->who.replica);
		put_text(logger, " | ");
		put(logger, text, len);
		put_text(logger, "\n");
		return;
	case LOGGER_JSON:
		line_json(logger, stream, text, len, partial);
		return;
	}
}

/* Something was dropped and now there is room: say how much, once. */
static void
outlet_flows(struct outlet *outlet)
{
	struct logger *logger = outlet->user;
	struct outlet *to = &logger->outlets[1];
	bool json = logger->format == LOGGER_JSON;
	char at[CLOCK_TEXT_SIZE];
	char line[512];

	if (text_format(line, sizeof(line), NULL,
	        json ? "{\"at\":\"%s\",\"level\":\"warning\",\"event\":"
	               "\"logger.dropped\",\"text\":\"stream=%s lines=%llu "
	               "bytes=%llu: nobody read them\"}\n"
	             : "%s warning logger.dropped stream=%s lines=%llu "
	               "bytes=%llu: nobody read them\n",
	        clock_text(clock_wall_ms(), at),
	        outlet == &logger->outlets[0] ? "stdout" : "stderr",
	        (unsigned long long)outlet->dropped_lines,
	        (unsigned long long)outlet->dropped_bytes) == -1)
		return;
	outlet->dropped_lines = outlet->dropped_bytes = 0;
	outlet_put(to, line, strlen(line));
	outlet_flush(to);
}

static void
emit(struct stream *stream, const char *text, size_t len, bool partial)
{
	struct logger *logger = stream->logger;
	struct keep_line line = {.len = (uint32_t)len,
	    .flags = partial ? LOGS_PARTIAL : 0,
	    .stream = stream->who.stream,
	    .generation = stream->who.generation,
	    .wall_ms = logger->wall_ms};

	keep_add(&logger->keep, stream->instance, &line, text);
	logserve_added(&logger->server, stream->instance);
	line_format(logger, stream, text, len, partial);
	outlet_put(&logger->outlets[stream->who.stream == LOGGER_STDERR],
	    logger->line, logger->line_len);
}

/* --- streams --- */

static void
stream_feed(struct stream *stream, const char *bytes, size_t n)
{
	while (n > 0) {
		const char *end = memchr(bytes, '\n', n);
		size_t take = end == NULL ? n : (size_t)(end - bytes);
		size_t room = sizeof(stream->text) - stream->len;
		bool whole = end != NULL && take < room;

		if (whole && stream->len == 0) {
			emit(stream, bytes, take, false);
			bytes += take + 1;
			n -= take + 1;
			continue;
		}
		take = MIN(take, room);
		memcpy(stream->text + stream->len, bytes, take);
		stream->len += (uint32_t)take;
		bytes += take;
		n -= take;
		if (whole || stream->len == sizeof(stream->text)) {
			emit(stream, stream->text, stream->len, !whole);
			stream->len = 0;
		}
		if (whole) {
			bytes++;
			n--;
		}
	}
}

/* Nobody can write any more. A last line without its newline gets one: what
 * comes next on the same outlet is another's. */
static void
stream_end(struct stream *stream)
{
	struct logger *logger = stream->logger;
	uint32_t index = (uint32_t)(stream - logger->streams);

	if (stream->len > 0)
		emit(stream, stream->text, stream->len, false);
	stream->len = 0;
	stream->instance->streams--;
	stream->who.kind = LOGGER_ENDED;
	loop_remove(&logger->loop, &stream->source);
	fd_close(&stream->source.fd);
	if (!logger->ending && fd_send(logger->socket_fd, &stream->who,
	                           sizeof(stream->who), NULL, 0, NULL) == -1)
		log_debug("logger.untold",
		    "worker=%s: the init doesn't take "
		    "the end of a stream",
		    stream->who.worker);
	logger->free_streams[logger->nfree++] = index;
}

/* Returns whether more may wait. */
static bool
stream_read(struct stream *stream)
{
	struct logger *logger = stream->logger;
	ssize_t n =
	    read(stream->source.fd, logger->scratch, sizeof(logger->scratch));

	if (n > 0) {
		stream_feed(stream, logger->scratch, (size_t)n);
		return true;
	}
	if (n == -1 && errno == EINTR)
		return true;
	if (n == 0 || errno != EAGAIN)
		stream_end(stream);
	return false;
}

static void
stream_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	(void)stream_read(source->owner);
}

static struct stream *
stream_new(struct logger *logger)
{
	if (logger->nfree > 0)
		return &logger->streams[logger->free_streams[--logger->nfree]];
	if (logger->nstreams == logger->instances * STREAMS_EACH)
		return NULL;
	return &logger->streams[logger->nstreams++];
}

static int
attach(struct logger *logger, const struct logger_message *message, int fd,
    struct err *err)
{
	struct keep_instance *instance =
	    keep_instance(&logger->keep, message->worker, message->replica);
	struct stream *stream = instance == NULL ? NULL : stream_new(logger);

	if (stream == NULL)
		return err_set(err, ERR_CAPACITY,
		    "no room for the output of more than %lld instances",
		    (long long)logger->instances);
	stream->logger = logger;
	stream->instance = instance;
	stream->who = *message;
	stream->len = 0;
	stream->source = (struct loop_source){
	    .fd = fd, .ready = stream_ready, .owner = stream};
	if (fd_nonblock(fd, true, err) == -1 ||
	    loop_add(&logger->loop, &stream->source, EPOLLIN, err) == -1) {
		logger->free_streams[logger->nfree++] =
		    (uint32_t)(stream - logger->streams);
		return -1;
	}
	instance->streams++;
	return 0;
}

static void
socket_ready(struct loop_source *source, uint32_t events)
{
	struct logger *logger = source->owner;
	struct logger_message message;
	struct err err = ERR_INIT;
	int fd = -1;

	(void)events;
	ssize_t n =
	    fd_receive(source->fd, &message, sizeof(message), &fd, 1, &err);
	if (n == 0) {
		logger->ending = true;
		return;
	}
	if (n == -1 && err.kind == ERR_CAPACITY && err.sys == EAGAIN)
		return;
	if (n == (ssize_t)sizeof(message) && message.magic == LOGGER_MAGIC &&
	    message.kind == LOGGER_ATTACH && fd != -1) {
		message.worker[WORKER_NAME_MAX] = '\0';
		if (attach(logger, &message, fd, &err) == 0)
			return;
	} else if (n != -1) {
		(void)err_set(&err, ERR_INPUT,
		    "a message of %zd bytes that "
		    "isn't one",
		    n);
	}
	log_error("logger.refused", "%s", err.text);
	fd_close(&fd);
	if (n == -1)
		logger->ending = true;
}

/* --- start, run, end --- */

static int
read_format(const char *text, enum logger_format *ret, struct err *err)
{
	static const char *const names[] = {[LOGGER_PLAIN] = "plain",
	    [LOGGER_PREFIX] = "prefix",
	    [LOGGER_JSON] = "json"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (text_equal(text, names[i])) {
			*ret = (enum logger_format)i;
			return 0;
		}
	return err_set(
	    err, ERR_INPUT, "'%s' is not plain, prefix or json", text);
}

static int
read_options(struct logger *logger, int argc, char *argv[], struct err *err)
{
	int64_t socket_fd = -1;
	int64_t listen_fd = -1;
	const struct {
		const char *name;
		int64_t min, max;
		int64_t *value;
	} numbers[] = {
	    {"--socket", 0, INT32_MAX, &socket_fd},
	    {"--listen", 0, INT32_MAX, &listen_fd},
	    {"--keep-lines", 0, INT32_MAX, &logger->keep_lines},
	    {"--keep-bytes", 0, 1 << 30, &logger->keep_bytes},
	    {"--instances", 1, 1 << 20, &logger->instances},
	};

	for (int i = 0; i + 1 < argc; i += 2) {
		size_t at = 0;

		if (text_equal(argv[i], "--format")) {
			if (read_format(argv[i + 1], &logger->format, err) ==
			    -1)
				return -1;
			continue;
		}
		while (at < ARRAY_LEN(numbers) &&
		       !text_equal(argv[i], numbers[at].name))
			at++;
		if (at == ARRAY_LEN(numbers))
			return err_set(
			    err, ERR_INPUT, "'%s' is no option", argv[i]);
		if (text_i64(argv[i + 1], numbers[at].min, numbers[at].max,
		        numbers[at].value, err) == -1)
			return err_wrap(err, "%s", argv[i]);
	}
	if (socket_fd == -1 || argc % 2 != 0)
		return err_set(err, ERR_INPUT, "--socket FD and pairs wanted");
	logger->socket_fd = (int)socket_fd;
	logger->listen_fd = (int)listen_fd;
	return 0;
}

static void *
map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int
logger_init(struct logger *logger, struct err *err)
{
	size_t streams = (size_t)logger->instances * STREAMS_EACH;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)prctl(PR_SET_NAME, "reeve-logger", 0, 0, 0);
	log_open(STDERR_FILENO,
	    logger->format == LOGGER_JSON ? LOG_JSON : LOG_TEXT, LOG_INFO,
	    "logger");
	logger->streams = map(streams * sizeof(*logger->streams));
	logger->free_streams = map(streams * sizeof(*logger->free_streams));
	if (logger->streams == NULL || logger->free_streams == NULL)
		return err_sys(err, "map the streams");
	if (keep_init(&logger->keep, (uint32_t)logger->instances,
	        (uint32_t)logger->keep_bytes, (uint32_t)logger->keep_lines,
	        err) == -1 ||
	    loop_init(&logger->loop, NULL, 0, err) == -1 ||
	    logserve_init(&logger->server, &logger->loop, logger->listen_fd,
	        &logger->keep, err) == -1)
		return -1;
	for (int i = 0; i < 2; i++) {
		outlet_init(&logger->outlets[i], &logger->loop,
		    STDOUT_FILENO + i, logger->queues[i], QUEUE_SIZE);
		logger->outlets[i].flows = outlet_flows;
		logger->outlets[i].user = logger;
	}
	logger->socket = (struct loop_source){
	    .fd = logger->socket_fd, .ready = socket_ready, .owner = logger};
	if (fd_nonblock(logger->socket_fd, true, err) == -1)
		return -1;
	return loop_add(&logger->loop, &logger->socket, EPOLLIN, err);
}

static int
logger_turn(struct logger *logger, int64_t deadline_ms, struct err *err)
{
	if (loop_turn(&logger->loop, deadline_ms, err) == -1)
		return -1;
	logger->wall_ms = clock_wall_ms();
	for (size_t i = 0; i < ARRAY_LEN(logger->outlets); i++)
		outlet_flush(&logger->outlets[i]);
	logserve_pump(&logger->server);
	return 0;
}

/* What is in the pipes now is the last that will be passed on. */
static void
logger_end(struct logger *logger)
{
	int64_t deadline_ms = clock_after(clock_ms(), LOGGER_LAST_MS);

	loop_remove(&logger->loop, &logger->socket);
	logger->wall_ms = clock_wall_ms();
	for (uint32_t i = 0; i < logger->nstreams; i++) {
		struct stream *stream = &logger->streams[i];
		for (int n = 0; n < LAST_READS && stream->source.added; n++) {
			if (!stream_read(stream))
				break;
			outlet_flush(&logger->outlets[stream->who.stream ==
			                              LOGGER_STDERR]);
		}
		if (stream->source.added)
			stream_end(stream);
	}
	while (clock_ms() < deadline_ms) {
		for (size_t i = 0; i < ARRAY_LEN(logger->outlets); i++)
			outlet_flush(&logger->outlets[i]);
		logserve_pump(&logger->server);
		if (outlet_empty(&logger->outlets[0]) &&
		    outlet_empty(&logger->outlets[1]))
			return;
		if (loop_turn(&logger->loop, deadline_ms, NULL) == -1)
			return;
	}
}

int
logger_main(int argc, char *argv[])
{
	/* Mapped here, not static: the init is the same program. */
	struct logger *logger = map(sizeof(*logger));
	struct err err = ERR_INIT;

	if (logger == NULL) {
		log_error("logger.start", "no memory for its tables");
		return EXIT_AGAIN;
	}
	logger->keep_lines = LOGGER_KEEP_LINES;
	logger->keep_bytes = LOGGER_KEEP_BYTES;
	logger->instances = WORKER_REPLICAS_MAX;
	if (read_options(logger, argc, argv, &err) == -1) {
		log_error("logger.usage", "%s", err.text);
		return EXIT_USAGE;
	}
	if (logger_init(logger, &err) == -1) {
		log_error("logger.start", "%s", err.text);
		return EXIT_AGAIN;
	}
	while (!logger->ending) {
		if (logger_turn(logger, CLOCK_NEVER, &err) == -1) {
			log_error("logger.loop", "%s", err.text);
			return EXIT_BUG;
		}
	}
	logger_end(logger);
	return EXIT_PASSED;
}
