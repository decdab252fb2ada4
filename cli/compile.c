/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "supervisor/operator/specs.h"
#include "supervisor/wire/plan_encode.h"

/*
 * The manifest as a plan file: what the operator would hand to the init, for
 * where there shall be no operator.
 */

/* The base of every worker's environment without --with-env: what a shell has
 * where nothing was said. Not ours: a build machine's is full of tokens. */
static char plain_path[] =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
static char *plain_environment[] = {plain_path, NULL};

enum {
	PLAN_MODE = 0600
};

static int
refuse_missing(struct cli *cli, const struct declared *declared)
{
	int rc = EXIT_PASSED;

	for (size_t i = 0; i < declared->nworkers; i++) {
		const struct declared_env *gap =
		    specs_gap(&declared->workers[i]);
		if (gap == NULL)
			continue;
		rc = cli_fail(cli, EXIT_MANIFEST,
		    "worker '%s': '%s' has no value: %s",
		    declared->workers[i].name, gap->name,
		    gap->why != NULL ? gap->why : "not resolved");
	}
	return rc;
}

/* How many values of a worker's environment come from secrets; each is named on
 * stderr where they may not be written. */
static size_t
count_secrets(
    struct cli *cli, const struct declared_worker *worker, bool allowed)
{
	size_t count = 0;

	for (size_t i = 0; i < worker->env.count; i++) {
		const struct declared_env *env = worker->env.entries[i];
		if (!env->secret || env->shadowed)
			continue;
		count++;
		if (!allowed)
			(void)cli_fail(cli, EXIT_MANIFEST,
			    "worker '%s': '%s' is a secret (%s)", worker->name,
			    env->name, env->source);
	}
	return count;
}

/* What only an operator does. */
static void
say_left_out(const struct cli *cli, const struct declared *declared)
{
	size_t scaled = 0;

	for (size_t i = 0; i < declared->nworkers; i++)
		scaled += declared->workers[i].scale.queue != NULL;
	const struct {
		const char *what;
		size_t count;
	} parts[] = {
	    {"queues", declared->nqueues},
	    {"checks", declared->nchecks},
	    {"smoke", declared->nsmokes},
	    {"alerts", declared->nalerts},
	    {"scale", scaled},
	};
	char text[64] = "";
	size_t used = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (parts[i].count > 0)
			used +=
			    (size_t)snprintf(text + used, sizeof(text) - used,
			        "%s%s", used > 0 ? ", " : "", parts[i].what);
	if (used > 0 && !cli->quiet)
		(void)fprintf(stderr,
		    "reeve compile: not in a plan, they are the operator's: "
		    "%s; and nothing repairs drift or reads secrets again\n",
		    text);
	for (size_t i = 0; i < declared->ninert; i++)
		(void)fprintf(stderr,
		    "reeve compile: declared, not acted on: %s (%s:%d)\n",
		    declared->inert[i].key, declared->inert[i].place.file,
		    declared->inert[i].place.line);
}

static int
write_plan(struct cli *cli, const struct declared *declared, const char *path,
    size_t nsecrets)
{
	/* not secret: who has the file has what it was made from, and two
	 * plans of one manifest are the same bytes */
	static const struct fingerprint_key no_key;
	struct err err = ERR_INIT;
	struct specs specs;
	struct buffer bytes;
	char line[512];

	buffer_init(&bytes, PLAN_BYTES_MAX);
	int rc = specs_make(declared, &no_key, &cli->arena, &specs, &err);
	for (size_t i = 0; rc == 0 && i < specs.count; i++)
		specs.specs[i].generation = 1;
	if (rc == 0)
		rc = plan_encode(
		    specs.specs, specs.count, &specs.settings, &bytes, &err);
	if (rc == -1) {
		buffer_wipe(&bytes);
		return cli_fail(cli, EXIT_MANIFEST, "%s", err.text);
	}
	rc = fd_replace_file(path, PLAN_MODE, bytes.data, bytes.len, &err);
	size_t len = bytes.len;
	buffer_wipe(&bytes);
	if (rc == -1)
		return cli_fail(cli, EXIT_AGAIN, "%s", err.text);
	say_left_out(cli, declared);
	int said = snprintf(line, sizeof(line),
	    "%.300s: %zu worker%s, %zu bytes, %zu secret value%s\n", path,
	    specs.count, specs.count == 1 ? "" : "s", len, nsecrets,
	    nsecrets == 1 ? "" : "s");
	return cli->quiet || said < 0 ? EXIT_PASSED
	                              : cli_print(cli, line, (size_t)said);
}

int
cmd_compile(struct cli *cli, int argc, char **argv)
{
	struct declared *declared = NULL;
	bool with_secrets = cli_flag(cli, "with-secrets");
	size_t nsecrets = 0;

	(void)argc;
	if (!cli_flag(cli, "with-env"))
		environ = plain_environment;
	int rc = cli_load(cli, &declared);
	if (rc == EXIT_PASSED)
		rc = refuse_missing(cli, declared);
	if (rc != EXIT_PASSED)
		return rc;
	for (size_t i = 0; i < declared->nworkers; i++)
		nsecrets +=
		    count_secrets(cli, &declared->workers[i], with_secrets);
	if (nsecrets > 0 && !with_secrets) {
		cli_try("reeve compile --with-secrets %s, and treat the file "
		        "as you treat the secrets; or have the worker read "
		        "them itself",
		    argv[0]);
		return EXIT_MANIFEST;
	}
	return write_plan(cli, declared, argv[0], nsecrets);
}
