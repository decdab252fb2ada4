/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <unistd.h>

#include "base/exitcode.h"
#include "cli/cli.h"
#include "probes/inspect.h"
#include "probes/request.h"

/* Our own child: requests on stdin, verdict lines on stdout. */
int
cmd_probe(struct cli *cli, int argc, char **argv)
{
	(void)cli;
	(void)argc;
	(void)argv;
	return probe_serve(STDIN_FILENO, STDOUT_FILENO);
}

/* Our own child too: the workers' processes, once. */
int
cmd_inspect(struct cli *cli, int argc, char **argv)
{
	struct err err = ERR_INIT;

	(void)argc;
	(void)argv;
	if (inspect_serve(STDIN_FILENO, STDOUT_FILENO, &err) == -1)
		return cli_fail(cli, EXIT_INCONCLUSIVE, "%s", err.text);
	return EXIT_PASSED;
}
