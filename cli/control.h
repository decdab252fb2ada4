/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_CONTROL_H
#define REEVE_CLI_CONTROL_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base/base.h"
#include "base/buffer.h"
#include "cli/cli.h"
#include "supervisor/wire/client.h"

/*
 * A running supervisor, as commands reach it: through the init's socket, which
 * always answers, and from there the operator's, which knows more.
 */
struct control_client {
	struct wire_client init;
	char operator_socket[128]; /* a path, or "@name": an abstract one */
	struct sockaddr_un logs;
	socklen_t logs_len;
};

/* 0, or an exit code after the error was printed. `--name` says which. */
int control_open(struct cli *cli, struct control_client *ret) MUST_CHECK;
/* The same where it is no error that none runs (`*ret_running` false). */
int control_find(
    struct cli *cli, struct control_client *ret, bool *ret_running) MUST_CHECK;
void control_close(struct control_client *client);

/* One request to the operator. Returns the HTTP status, or -1 when it doesn't
 * answer: ERR_TIMEOUT when it took the question, else ERR_REFUSED. */
int control_ask(struct cli *cli, const struct control_client *client,
    const char *method, const char *path, struct buffer *answer,
    struct err *err) MUST_CHECK;

/* Prints why the operator refused; returns `code`. */
int control_refused(
    struct cli *cli, const struct buffer *answer, int code) MUST_CHECK;

/* Something to be done to a worker. */
struct control_order {
	const char *path; /* the operator's: "/restart", "/scale"… */
	const char *worker;
	int32_t replica; /* WIRE_ALL_REPLICAS */
	int64_t value;   /* replicas for /scale; -1: none */
	bool automatic;  /* for /scale: as the manifest or the queue says */
};
/* As control_ask. */
int control_order(struct cli *cli, const struct control_client *client,
    const struct control_order *order, struct buffer *answer,
    struct err *err) MUST_CHECK;

/* Whether it runs there: 0, or an exit code after the nearest name, or all that
 * there are, was printed. `replica` may be WIRE_ALL_REPLICAS. */
int control_meant(struct cli *cli, struct control_client *client,
    const char *worker, int32_t replica) MUST_CHECK;

/* What the init alone can say of the status, as reeve.status/1. */
int control_init_status(struct cli *cli, struct control_client *client,
    struct buffer *out, struct err *err) MUST_CHECK;

/* "NAME" or "NAME/REPLICA"; the replica is WIRE_ALL_REPLICAS if absent. 0, or
 * an exit code after the error was printed. */
int control_target(struct cli *cli, const char *text, const char **ret_name,
    int32_t *ret_replica) MUST_CHECK;

#endif
