/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>

#include "base/text.h"
#include "checks/engine.h"
#include "checks/parity.h"
#include "checks/refused.h"
#include "cli/verify.h"
#include "manifests/foreign.h"

static const int64_t LINT_TIMEOUT_MS = 60000;

/* In `lint` a wrong file is a finding of the run, so exit 1 (decisions.md 26);
 * one that can't be read says nothing of what it describes: bad input. */
static int
refuse(struct verify *verify, const char *path,
    const struct manifest_errors *errors, const struct err *err)
{
	bool unread = errors->count == 0 && err->kind == ERR_SYSTEM;

	report_refused(
	    &verify->report, verify->cli->redactor, path, errors, err);
	int code = cli_refuse(
	    verify->cli, unread ? EXIT_DATA : EXIT_FAILED, path, errors, err);

	if (unread && text_equal(path, verify->cli->manifest))
		cli_try_manifest(verify->cli);
	return code;
}

static int
read_one(struct verify *verify, const char *path, struct foreign *foreign)
{
	struct cli *cli = verify->cli;
	struct manifest_errors errors = {0};
	struct err err = ERR_INIT;
	enum foreign_format format = FOREIGN_UNKNOWN;

	if (foreign_format(path, &format, &errors, &cli->arena, &err) == -1)
		return refuse(verify, path, &errors, &err);
	if (format == FOREIGN_REEVE) {
		if (verify->declared != NULL)
			return cli_usage(cli,
			    "'%s' and '%s' are both reeve manifests: lint "
			    "takes one, with other descriptions of it",
			    verify->declared->file, path);
		cli->manifest = path;
		int rc = verify_read(verify);

		return rc == EXIT_MANIFEST ? EXIT_FAILED : rc;
	}
	if (format == FOREIGN_UNKNOWN)
		return cli_fail(cli, EXIT_FAILED,
		    "'%s' is neither a reeve manifest nor Kubernetes objects "
		    "nor a Compose file",
		    path);
	if (foreign_read(
	        path, foreign, &cli->arena, cli->redactor, &errors, &err) == -1)
		return refuse(verify, path, &errors, &err);
	return 0;
}

int
cmd_lint(struct cli *cli, int argc, char **argv)
{
	struct verify verify;
	struct foreign foreign = {0};
	int failed = verify_begin(&verify, cli, LINT_TIMEOUT_MS);
	char *only[] = {NULL};

	if (failed != 0)
		return failed;
	if (argc == 0) {
		only[0] = arena_text(&cli->arena, cli->manifest);
		argv = only;
		argc = 1;
	}
	/* Every file's errors in one run. */
	for (int i = 0; i < argc; i++) {
		int rc = read_one(&verify, argv[i], &foreign);

		if (rc != 0)
			failed = rc;
	}
	if (failed != 0)
		return verify_refused(&verify, failed);
	foreign_resolve(&foreign, &cli->arena, cli->redactor);
	if (verify.declared != NULL) {
		checks_run(verify.declared, &verify.observed, STAGE_LINT,
		    &verify.report);
		verify.report.vantage = "offline";
	}
	if (foreign.ncomponents > 0 || foreign.nsources > 0)
		parity_run(verify.declared, &foreign, &verify.report);
	for (size_t i = 0; i < foreign.nskipped; i++)
		report_not_checked(&verify.report, "%s", foreign.skipped[i]);
	return verify_end(&verify);
}
