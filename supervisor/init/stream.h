/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_STREAM_H
#define REEVE_SUPERVISOR_INIT_STREAM_H

#include "base/base.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "supervisor/init/keep.h"
#include "supervisor/init/limiter.h"
#include "supervisor/init/logger.h"
#include "supervisor/init/logserve.h"
#include "supervisor/init/outlet.h"
#include "supervisor/init/tally.h"

/*
 * The pipes that the logger reads; feed.c makes lines of what they bring, which
 * are kept, limited and sent to an outlet. Lines of one stream stay in order; a
 * line is sent when it is whole, so lines of two streams never mix.
 */
enum {
	STREAM_READ = 262144, /* a turn's share of one stream, and the size of
	                         a busy worker's pipe */
	STREAM_READ_JSON = 65536, /* as much comes out of it at worst */
	STREAM_OUT = 1 << 18,     /* formatted lines that go out at once */
};

/* Why no descriptor waits in the loop. */
enum stream_wait {
	STREAM_FLOWS = 0,
	STREAM_PAUSED, /* its worker waits for our readers: whenBlocked: block
	                */
};

struct stream {
	struct loop_source source;
	struct streams *all;
	struct keep_instance *instance;
	struct logger_message who; /* as it was attached */
	uint32_t next;             /* of those that are paused, + 1; 0: none */
	uint32_t older; /* of the same instance and stream, + 1; 0: none */
	enum stream_wait wait;
	bool grown;     /* its pipe */
	bool continued; /* the beginning of its line has been sent */
	bool skipping;  /* ... has died with another logger */
	uint32_t len;   /* of the line under way: text_of() */
};

struct streams {
	struct loop *loop;
	struct keep keep;
	struct logserve server;
	struct tallies *tallies;
	struct outlet outlets[2];
	struct outlet *stderr_outlet; /* the first, when both are one file */
	struct stream *list;
	char *texts;      /* of each, LOGGER_LINE_MAX; most never need any */
	uint32_t *newest; /* of a slot's two streams, + 1; 0: none */
	uint32_t *free_list;
	uint32_t nfree, count, max;
	uint32_t paused_first, paused_last; /* + 1 */
	struct limiter *limiters;
	bool json;      /* our own lines are */
	bool untold;    /* the init is no longer there to be told */
	int socket_fd;  /* to the init */
	int64_t now_ms; /* of the loop's turn that `wall_ms` is of */
	int64_t wall_ms;
	char wall_text[CLOCK_TEXT_SIZE];

	struct outlet_line *lines; /* of one read */
	const char *batch;         /* where they begin */
	char *out;                 /* formatted lines */
	char *scratch;             /* a line's beginning, then what is read */
};

static inline struct outlet *
stream_outlet(const struct stream *stream)
{
	return stream->who.stream == LOGGER_STDOUT ? &stream->all->outlets[0]
	                                           : stream->all->stderr_outlet;
}

/* All memory, for so many instances; `loop` and `tallies` stay the caller's. */
int streams_init(struct streams *all, struct loop *loop,
    struct tallies *tallies, uint32_t instances, uint32_t keep_bytes,
    struct err *err) MUST_CHECK;
/* Takes `fd` over on success. */
int stream_attach(struct streams *all, const struct logger_message *message,
    int fd, struct err *err) MUST_CHECK;
/* Its settings are new. */
void streams_change(struct streams *all, const struct logger_message *message);
/* Returns whether more may be there: false when the pipe is empty, has ended,
 * or waits. */
bool stream_read(struct stream *stream);
void stream_end(struct stream *stream);
/* Reads on where the outlets have room again. */
void streams_resume(struct streams *all);
/* A line of the logger's own, to stderr. */
void streams_say(struct streams *all, const char *event, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

#endif
