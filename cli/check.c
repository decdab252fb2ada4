/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "checks/engine.h"
#include "cli/verify.h"

static const int64_t CHECK_TIMEOUT_MS = 60000;

int
cmd_check(struct cli *cli, int argc, char **argv)
{
	struct verify verify;
	struct err err = ERR_INIT;
	int rc = verify_begin(&verify, cli, CHECK_TIMEOUT_MS);

	(void)argc;
	(void)argv;
	if (rc == 0)
		rc = verify_load(&verify);
	if (rc != 0)
		return rc;
	if (gather(verify.declared, &verify.smoke.gather, &verify.observed,
	        &err) == -1)
		return cli_fail(cli, EXIT_BUG, "%s", err.text);
	checks_run(verify.declared, &verify.observed, STAGE_LINT | STAGE_CHECK,
	    &verify.report);
	return verify_end(&verify);
}
