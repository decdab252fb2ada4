/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cli/control.h"

/*
 * Another build for a running init. The init asks it what it can, and answers
 * only to refuse: when it becomes the other, its connections end.
 */
enum {
	ONE_TRY_MS = 2000,
};

/* 1: it answered; 0: the connection has ended. */
static int
wait_for_end(struct cli *cli, struct wire_client *client, uint32_t sequence,
    struct wire_reply *ret, struct err *err)
{
	union wire_message message;
	int fds[WIRE_FDS_MAX];

	for (;;) {
		int rc = wire_client_wait(
		    client, &message, fds, cli->deadline_ms, err);
		if (rc == -1)
			return err->kind == ERR_TIMEOUT ? -1 : 0;
		for (size_t i = 0; i < ARRAY_LEN(fds); i++)
			fd_close(&fds[i]);
		if (message.head.type != WIRE_REPLY ||
		    message.head.sequence != sequence)
			continue;
		*ret = message.reply;
		return 1;
	}
}

static int
connect_again(
    struct cli *cli, const char *name, struct wire_client *ret, struct err *err)
{
	/* the socket is listened on all the time, or there is no init */
	do {
		int64_t until_ms = clock_after(clock_ms(), ONE_TRY_MS);
		if (wire_client_connect(
		        ret, name, MIN(until_ms, cli->deadline_ms), err) == 0)
			return 0;
	} while (err->kind != ERR_REFUSED && clock_ms() < cli->deadline_ms);
	return -1;
}

static int
say_done(struct cli *cli, const struct wire_hello *before,
    struct wire_client *client)
{
	const struct wire_hello *hello = &client->hello;
	union wire_message message;
	struct wire_reply reply;
	struct err err = ERR_INIT;
	char line[256];

	if (hello->upgrades == before->upgrades) {
		(void)cli_fail(cli, EXIT_FAILED,
		    "the new build could not take over; reeve %s goes on, its "
		    "log says why (upgrade.failed)",
		    hello->version);
		return EXIT_FAILED;
	}
	memset(&message, 0, sizeof(message));
	if (wire_client_ask(client, WIRE_LIVE, &message, &reply,
	        cli->deadline_ms, &err) == -1)
		return cli_fail(cli, EXIT_UNREACHABLE, "%s", err.text);
	int len = snprintf(line, sizeof(line),
	    "reeve %s -> %s: %u processes of workers go on\n", before->version,
	    hello->version, reply.affected);
	return cli->quiet || len < 0 ? EXIT_PASSED
	                             : cli_print(cli, line, (size_t)len);
}

static int
upgrade(struct cli *cli, struct control_client *control, int fd)
{
	struct wire_client again = WIRE_CLIENT_INIT;
	struct wire_hello before = control->init.hello;
	union wire_message message;
	struct wire_reply reply;
	struct err err = ERR_INIT;
	uint32_t sequence = 0;

	memset(&message, 0, sizeof(message));
	if (wire_client_send(&control->init, WIRE_UPGRADE, &message, fd,
	        &sequence, &err) == -1)
		return cli_fail(cli, EXIT_UNREACHABLE, "%s", err.text);
	int rc = wait_for_end(cli, &control->init, sequence, &reply, &err);
	if (rc == -1)
		return cli_fail(cli, EXIT_DEADLINE, "%s", err.text);
	if (rc == 1)
		return cli_fail(cli, reply.code > 0 ? reply.code : EXIT_FAILED,
		    "%s; reeve %s goes on", reply.text, before.version);
	if (connect_again(cli, before.name, &again, &err) == -1)
		return cli_fail(
		    cli, EXIT_UNREACHABLE, "the init has ended: %s", err.text);
	rc = say_done(cli, &before, &again);
	wire_client_close(&again);
	return rc;
}

int
cmd_upgrade(struct cli *cli, int argc, char **argv)
{
	struct control_client control = {.init = WIRE_CLIENT_INIT};
	struct err err = ERR_INIT;
	int fd = -1;

	if (argc > 0) {
		fd = open(argv[0], O_PATH | O_CLOEXEC);
		if (fd == -1) {
			(void)err_sys(&err, "open '%s'", argv[0]);
			return cli_fail(cli, EXIT_DATA, "%s", err.text);
		}
	}
	int rc = control_open(cli, &control);
	if (rc == EXIT_PASSED)
		rc = upgrade(cli, &control, fd);
	fd_close(&fd);
	control_close(&control);
	return rc;
}
