/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"
#include "supervisor/operator/deliver.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/reading.h"
#include "supervisor/wire/messages.h"

/* The init's child: started by `reeve run`, with the wire at a known number. */
int
cmd_operate(struct cli *cli, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	log_open(STDERR_FILENO, LOG_TEXT, cli->verbose ? LOG_DEBUG : LOG_INFO,
	    "operator");
	int code = operator_run(&(struct operator_options){
	    .manifest = cli->manifest,
	    .environment = (const char *const *)environ,
	    .secrets = cli->secrets,
	    .wire_fd = WIRE_OPERATOR_FD,
	});

	if (code == EXIT_MANIFEST && access(cli->manifest, F_OK) == -1)
		cli_try_manifest(cli);
	return code;
}

/* The operator's child: takes one alert to one receiver. */
int
cmd_deliver(struct cli *cli, int argc, char **argv)
{
	(void)cli;
	(void)argc;
	(void)argv;
	return deliver(STDIN_FILENO, STDOUT_FILENO);
}

/* The operator's child: reads the manifest and what it draws on. */
int
cmd_read(struct cli *cli, int argc, char **argv)
{
	(void)cli;
	(void)argc;
	(void)argv;
	return reading_serve(STDIN_FILENO, STDOUT_FILENO);
}
