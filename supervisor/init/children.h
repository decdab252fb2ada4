/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_INIT_CHILDREN_H
#define REEVE_SUPERVISOR_INIT_CHILDREN_H

#include "base/base.h"
#include "base/loop.h"
#include "supervisor/init/facts.h"
#include "supervisor/init/logger.h"
#include "supervisor/wire/messages.h"
#include "worker/backoff.h"

#include <sys/types.h>

/*
 * The processes beside the workers, and who is connected: what is known of
 * each. What is done about them: beside.h, peers.h.
 */

enum owner_kind {
	OWNER_NONE = 0,
	OWNER_INSTANCE,
	OWNER_PROBER,
	OWNER_OPERATOR,
	OWNER_LOGGER,
	OWNER_ANSWER,
	OWNER_UPGRADE,
	OWNER_GUARD,
	OWNER_SINK,
};

struct owner {
	int32_t pid;
	uint32_t kind : 4; /* enum owner_kind */
	uint32_t index : 28;
};

struct peer {
	struct loop_source source; /* fd -1: free */
	bool is_operator;
	bool watching;
	bool dirty;        /* something was not sent: a snapshot is due */
	bool wants_out;    /* EPOLLOUT is asked for */
	bool full_control; /* root or our uid */
	uint8_t snapshot_part;
	int32_t snapshot_at;
	uint64_t snapshot_number; /* 0: none under way */
	uint64_t journal_at;      /* the next event for it; 0: wants none */
};

struct operate {
	int exec_fd; /* O_PATH of reeve-tool, or -1: no operator */
	int argc;
	const char *argv[64];
	const char *const *environment;
	int32_t pid;
	int report_fd;
	bool replaced; /* its wire was closed: another one comes at once */
	/* the session of one that ended, while any of it is left; 0: none */
	pid_t left_session;
	enum wire_operator state;
	uint32_t restarts;
	int64_t started_ms, heard_ms;
	struct loop_timer timer; /* restart, or next ping */
	struct peer peer;
	struct backoff backoff;
	char text[128];
};

/* stray.c: a pipe that the newest process of its instance doesn't have. */
struct stray {
	int fd; /* read end */
	uint8_t attached;
	struct logger_message who;
};

/* sink.c: our stdout or stderr while a child of ours has its file. */
struct sink {
	int32_t pid; /* of the writer; 0: none */
	int file_fd; /* -1: whoever has the descriptor writes it */
	int pipe_fd; /* the read end of what took its place */
	bool mends;  /* half a line may be at the end of the file */
	int64_t started_ms;
	struct backoff backoff;
};

/* Of stdout and stderr. */
struct outputs {
	bool file[2]; /* a regular file, which the logger writes itself */
	bool one;     /* both are the same file */
};

struct logger {
	int32_t pid;
	int listen_fd; /* of `reeve logs`, handed to it */
	struct loop_source socket;
	struct loop_timer timer;
	struct loop_source beat; /* hang.c; -1: it writes to no file */
	struct backoff backoff;
	int64_t started_ms;
	uint32_t writes;   /* tallies.writes at the last look, if `looked` */
	uint32_t protocol; /* LOGGER_MAGIC of the image that started it */
	int32_t attach_at; /* next slot to look at; CORE_NO_SLOT: none */
	bool wanted;       /* the plan asks for it, and it can be had */
	bool closing;      /* told to end */
	bool looked;       /* and it was within a write */
	bool killed;       /* for hanging */
	bool hang_told;
	bool json;    /* its own lines: as it was started */
	bool counted; /* there has been one: its memory is in use */
};

struct notify {
	struct loop_source socket; /* -1: no worker has a notify yet */
	struct loop_timer timer;   /* the peers are told of statuses */
	uint64_t dropped;          /* datagrams of nobody that may speak */
	uint64_t gone;             /* ... among them, of who had ended before */
};

/* The process that answers liveness probes over HTTP. */
struct answer {
	int32_t pid;
	int listen_fd;
	uint32_t port; /* 0: none asked for */
	uint32_t padding;
	int64_t started_ms;
	struct loop_timer timer;
	struct backoff backoff;
};

/* Another build of reeve that is to take over (upgrade.c). */
struct upgrade {
	int32_t pid;    /* of the child that asks it what it can; 0: none */
	int exec_fd;    /* the program, or -1 */
	int report_fd;  /* of the exec; -1 */
	int said_fd;    /* what it says of itself; -1 */
	int32_t client; /* in core.clients, that wants to know; -1 */
	uint32_t sequence;
	bool late;  /* it didn't answer in time */
	bool ready; /* it can: executed when this turn is over */
	struct loop_timer timer;
	char version[32];
};

/* guard.h: who ends what is left when the init is killed (not PID 1). */
struct guard {
	int32_t pid;
	bool waits; /* for that of the init before: nothing is started yet */
	int64_t started_ms;
	struct loop_timer timer;
	struct backoff backoff;
};

enum phase {
	PHASE_RUN = 0,
	PHASE_DRAIN,    /* workers end */
	PHASE_OPERATOR, /* the operator ends */
	PHASE_SWEEP,    /* adopted and escaped processes end */
	PHASE_LOGGER,   /* the logger writes out what is left */
	PHASE_DONE,
};

#endif
