/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/buffer.h"
#include "cli/cli.h"
#include "manifests/manifest.h"

enum {
	SCHEMA_MAX = 4 << 20
};

int
cmd_schema(struct cli *cli, int argc, char **argv)
{
	struct buffer out;

	(void)argc;
	(void)argv;
	buffer_init(&out, SCHEMA_MAX);
	if (cli_flag(cli, "markdown"))
		manifest_docs_write(&out);
	else
		manifest_schema_write(&out);
	int rc = cli_print(cli, out.data, out.len);

	buffer_fini(&out);
	return rc;
}
