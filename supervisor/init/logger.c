/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/text.h"
#include "supervisor/init/logger.h"
#include "supervisor/init/stream.h"

enum {
	LAST_READS = 64, /* of one stream in a turn, at the end */
	LAST_POLL_MS = 20,
	MS_PER_S = 1000,
};

struct logger {
	struct loop loop;
	struct loop_timer *heap[4]; /* the outlets' */
	struct loop_source socket;
	struct streams streams;
	bool ending;
	int socket_fd, listen_fd, counts_fd, beat_fd;
	int64_t beaten_ms;
	int64_t json, keep_bytes, instances;
};

/* --- the init's wire --- */

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
		if (stream_attach(&logger->streams, &message, fd, &err) == 0)
			return;
	} else if (n == (ssize_t)sizeof(message) &&
	           message.magic == LOGGER_MAGIC &&
	           message.kind == LOGGER_CHANGE) {
		streams_change(&logger->streams, &message);
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
read_options(struct logger *logger, int argc, char *argv[], struct err *err)
{
	int64_t socket_fd = -1;
	int64_t listen_fd = -1;
	int64_t counts_fd = -1;
	int64_t beat_fd = -1;
	const struct {
		const char *name;
		int64_t min, max;
		int64_t *value;
	} numbers[] = {
	    {"--socket", 0, INT32_MAX, &socket_fd},
	    {"--listen", 0, INT32_MAX, &listen_fd},
	    {"--counts", 0, INT32_MAX, &counts_fd},
	    {"--beat", 0, INT32_MAX, &beat_fd},
	    {"--json", 0, 1, &logger->json},
	    {"--keep-bytes", 0, 1 << 30, &logger->keep_bytes},
	    {"--instances", 1, 1 << 20, &logger->instances},
	};

	for (int i = 0; i + 1 < argc; i += 2) {
		size_t at = 0;

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
	logger->counts_fd = (int)counts_fd;
	logger->beat_fd = (int)beat_fd;
	return 0;
}

static int
logger_init(struct logger *logger, struct err *err)
{
	struct streams *streams = &logger->streams;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)prctl(PR_SET_NAME, "reeve-logger", 0, 0, 0);
	log_open(STDERR_FILENO, logger->json != 0 ? LOG_JSON : LOG_TEXT,
	    LOG_INFO, "logger");
	struct tallies *tallies =
	    tally_map(logger->counts_fd, (uint32_t)logger->instances, err);

	if (tallies == NULL)
		return -1;
	bool killed_writing = tallies->writing != 0;

	tally_settle(tallies);
	if (loop_init(&logger->loop, logger->heap, ARRAY_LEN(logger->heap),
	        err) == -1 ||
	    streams_init(streams, &logger->loop, tallies,
	        (uint32_t)logger->instances, (uint32_t)logger->keep_bytes,
	        err) == -1 ||
	    logserve_init(&streams->server, &logger->loop, logger->listen_fd,
	        &streams->keep, err) == -1)
		return -1;
	streams->json = logger->json != 0;
	for (size_t i = 0; i < ARRAY_LEN(streams->outlets); i++)
		if (killed_writing)
			outlet_mend(&streams->outlets[i]);
	streams->socket_fd = logger->socket_fd;
	logger->socket = (struct loop_source){
	    .fd = logger->socket_fd, .ready = socket_ready, .owner = logger};
	if (fd_nonblock(logger->socket_fd, true, err) == -1)
		return -1;
	return loop_add(&logger->loop, &logger->socket, EPOLLIN, err);
}

/* We are well. The init hears of it only when it isn't said any more. */
static void
beat(struct logger *logger)
{
	const struct itimerspec in = {
	    .it_value = {.tv_sec = LOGGER_BEAT_MS / MS_PER_S}};

	if (logger->beat_fd == -1 ||
	    logger->loop.now_ms - logger->beaten_ms < MS_PER_S)
		return;
	logger->beaten_ms = logger->loop.now_ms;
	(void)timerfd_settime(logger->beat_fd, 0, &in, NULL);
}

static int
logger_turn(struct logger *logger, int64_t deadline_ms, struct err *err)
{
	struct streams *streams = &logger->streams;

	if (loop_turn(&logger->loop, deadline_ms, err) == -1)
		return -1;
	beat(logger);
	streams_resume(streams);
	logserve_pump(&streams->server);
	return 0;
}

/* Passes on what is in the pipes. Returns whether all have ended. */
static bool
last_reads(struct streams *streams)
{
	bool done = true;

	for (uint32_t i = 0; i < streams->count; i++) {
		struct stream *stream = &streams->list[i];
		bool more =
		    stream->source.fd != -1 && stream->wait == STREAM_FLOWS;

		for (int n = 0; n < LAST_READS && more; n++)
			more = stream_read(stream);
		/* empty, though somebody holds it: nobody waits for that */
		if (!more && stream->source.fd != -1 &&
		    stream->wait == STREAM_FLOWS)
			stream_end(stream);
		done = done && stream->source.fd == -1;
	}
	return done;
}

static bool
all_written(const struct streams *streams)
{
	return outlet_empty(&streams->outlets[0]) &&
	       outlet_empty(&streams->outlets[1]);
}

/* What is in the pipes now is the last that will be passed on. */
static void
logger_end(struct logger *logger)
{
	struct streams *streams = &logger->streams;
	int64_t deadline_ms = clock_after(clock_ms(), LOGGER_LAST_MS);

	loop_remove(&logger->loop, &logger->socket);
	streams->untold = true;
	while (clock_ms() < deadline_ms) {
		if (last_reads(streams) && all_written(streams))
			return;
		int64_t turn_ms = clock_after(clock_ms(), LAST_POLL_MS);
		if (logger_turn(logger, MIN(turn_ms, deadline_ms), NULL) == -1)
			break;
	}
	/* nobody reads: the rest is counted */
	for (size_t i = 0; i < ARRAY_LEN(streams->outlets); i++)
		outlet_close(&streams->outlets[i]);
	streams_resume(streams);
	(void)last_reads(streams);
	for (size_t i = 0; i < ARRAY_LEN(streams->outlets); i++)
		if (streams->outlets[i].dropped_lines > 0)
			log_warning("logger.dropped",
			    "stream=%s lines=%llu bytes=%llu: nobody read them "
			    "to the end",
			    i == 0 ? "stdout" : "stderr",
			    (unsigned long long)streams->outlets[i]
			        .dropped_lines,
			    (unsigned long long)streams->outlets[i]
			        .dropped_bytes);
}

int
logger_main(int argc, char *argv[])
{
	/* Mapped here, not static: the init is the same program. */
	struct logger *logger = mmap(NULL, sizeof(*logger),
	    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct err err = ERR_INIT;

	if (logger == MAP_FAILED) {
		log_error("logger.start", "no memory for its tables");
		return EXIT_AGAIN;
	}
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
