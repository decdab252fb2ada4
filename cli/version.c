/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <curl/curl.h>

#include "base/buffer.h"
#include "base/jsonw.h"
#include "cli/cli.h"

enum {
	VERSION_TEXT_MAX = 16 << 10
};

int
cmd_version(struct cli *cli, int argc, char **argv)
{
	struct buffer out;
	const char *libraries = curl_version(); /* names its TLS library too */

	(void)argc;
	(void)argv;
	buffer_init(&out, VERSION_TEXT_MAX);
	if (cli_wants(cli, "json")) {
		struct jsonw json;

		jsonw_init(&json, &out, true);
		jsonw_object(&json, NULL);
		jsonw_text(&json, "schema", "reeve.version/1");
		jsonw_text(&json, "version", REEVE_VERSION);
		jsonw_text(&json, "libraries", libraries);
		jsonw_end(&json);
		buffer_text(&out, "\n");
	} else {
		buffer_format(&out, "reeve %s\n", REEVE_VERSION);
		if (cli->verbose)
			buffer_format(&out, "%s\n", libraries);
	}
	int rc = cli_print(cli, out.data, out.len);

	buffer_fini(&out);
	return rc;
}
