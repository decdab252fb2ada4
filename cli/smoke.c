/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "checks/engine.h"
#include "cli/verify.h"

static const int64_t SMOKE_TIMEOUT_MS = INT64_C(5) * 60 * 1000;

static bool
wanted(const struct declared_smoke *smoke, int argc, char **argv)
{
	if (argc == 0)
		return true;
	for (int i = 0; i < argc; i++)
		if (text_equal(smoke->name, argv[i]))
			return true;
	return false;
}

/* A name that matches nothing would be a smoke that was never sent. */
static int
check_names(const struct cli *cli, const struct declared *declared, int argc,
    char **argv)
{
	for (int i = 0; i < argc; i++) {
		size_t s = 0;

		while (s < declared->nsmokes &&
		       !text_equal(declared->smokes[s].name, argv[i]))
			s++;
		if (s == declared->nsmokes)
			return cli_fail(cli, EXIT_NOTHING,
			    "no smoke '%s' in '%s'", argv[i], cli->manifest);
	}
	return 0;
}

/* The others weren't asked for, so they are not part of this run. */
static void
keep_wanted(struct declared *declared, int argc, char **argv)
{
	size_t kept = 0;

	for (size_t i = 0; i < declared->nsmokes; i++)
		if (wanted(&declared->smokes[i], argc, argv))
			declared->smokes[kept++] = declared->smokes[i];
	declared->nsmokes = kept;
}

int
cmd_smoke(struct cli *cli, int argc, char **argv)
{
	struct verify verify;
	struct err err = ERR_INIT;
	int rc = verify_begin(&verify, cli, SMOKE_TIMEOUT_MS);

	if (rc == 0)
		rc = verify_load(&verify);
	if (rc == 0)
		rc = check_names(cli, verify.declared, argc, argv);
	if (rc != 0)
		return rc;
	keep_wanted(verify.declared, argc, argv);
	/* Who could have worked is known only from the supervisor. */
	if (gather_supervisor(verify.declared, &verify.smoke.gather,
	        &verify.observed, &err) == -1)
		return cli_fail(cli, EXIT_BUG, "%s", err.text);
	for (size_t i = 0; i < verify.declared->nsmokes; i++) {
		if (smoke_run(&verify.declared->smokes[i], &verify.smoke,
		        &verify.observed, &err) == -1)
			return cli_fail(cli, EXIT_BUG, "%s", err.text);
	}
	checks_run(
	    verify.declared, &verify.observed, STAGE_SMOKE, &verify.report);
	return verify_end(&verify);
}
