/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <unistd.h>

#include "cli/cli.h"
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
