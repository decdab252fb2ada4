/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "checks/gate.h"
#include "cli/verify.h"

static const int64_t GATE_TIMEOUT_MS = INT64_C(10) * 60 * 1000;
static const int64_t ROLLOUT_MS = INT64_C(2) * 60 * 1000;
static const int64_t SETTLE_MS = 2000;

static void
enter_phase(void *arg, const char *phase)
{
	struct verify *verify = arg;

	verify->phase = phase;
}

static void
show_wait(void *arg, const char *what)
{
	struct verify *verify = arg;

	progress_show(&verify->progress, "rollout: waiting for %s", what);
}

int
cmd_gate(struct cli *cli, int argc, char **argv)
{
	struct verify verify;
	struct gate_options options = {
	    .phase = enter_phase, .waits = show_wait, .arg = &verify};
	struct err err = ERR_INIT;
	int rc = verify_begin(&verify, cli, GATE_TIMEOUT_MS);

	(void)argc;
	(void)argv;
	if (rc == 0 && (cli_duration(cli, "rollout", ROLLOUT_MS,
	                    &options.rollout_ms) == -1 ||
	                   cli_duration(cli, "settle", SETTLE_MS,
	                       &options.settle_ms) == -1))
		return EXIT_USAGE;
	if (rc == 0)
		rc = verify_load(&verify);
	if (rc != 0)
		return rc;
	options.smoke = verify.smoke;
	if (gate_run(verify.declared, &options, &verify.observed,
	        &verify.report, &err) == -1)
		return cli_fail(cli, EXIT_BUG, "%s", err.text);
	return verify_end(&verify);
}
