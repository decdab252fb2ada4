/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "base/url.h"
#include "checks/engine.h"
#include "cli/verify.h"
#include "probes/look.h"
#include "probes/queue/queue.h"

static const int64_t DIAGNOSE_TIMEOUT_MS = 30000;

static const char *
option_of(const struct queue_spec *spec, const char *key)
{
	for (size_t i = 0; i < spec->noptions; i++)
		if (text_equal(spec->options[i].key, key))
			return spec->options[i].value;
	return NULL;
}

static int
queue_from_url(struct cli *cli, const char *url, struct declared_queue *ret)
{
	struct queue_spec spec;
	struct url parts;
	struct err err = ERR_INIT;

	look_learn_url(cli->redactor, url);
	if (queue_spec_from_url(&cli->arena, url, &spec, &err) == -1)
		return cli_usage(
		    cli, "%s: %s", url_redacted(&cli->arena, url), err.text);
	*ret = (struct declared_queue){
	    .name = url_redacted(&cli->arena, url),
	    .kind = spec.kind,
	    .url = spec.url,
	    .noptions = spec.noptions,
	    .options = arena_array(
	        &cli->arena, spec.noptions, sizeof(struct declared_option)),
	    .objectives = {-1, -1, -1, -1, -1, 0, 0, 1},
	    .real_key = queue_driver_find(spec.kind)->name_key,
	};
	ret->real_name = option_of(&spec, ret->real_key);
	for (size_t i = 0; i < spec.noptions; i++)
		ret->options[i] = (struct declared_option){
		    .key = spec.options[i].key,
		    .value = spec.options[i].value,
		};
	if (url_parse(&cli->arena, url, &parts, &err) == 0 &&
	    parts.password != NULL)
		ret->url_secret = true;
	return 0;
}

/* Bare URLs: a declaration of nothing but queues. */
static int
declare_urls(struct verify *verify, int argc, char **argv)
{
	struct cli *cli = verify->cli;
	struct declared *declared = arena_alloc(&cli->arena, sizeof(*declared));

	declared->arena = &cli->arena;
	declared->nqueues = (size_t)argc;
	declared->queues = arena_array(
	    &cli->arena, (size_t)argc, sizeof(struct declared_queue));
	for (int i = 0; i < argc; i++) {
		int rc = queue_from_url(cli, argv[i], &declared->queues[i]);

		if (rc != 0)
			return rc;
	}
	verify->declared = declared;
	verify->smoke.gather.only_queues = true;
	return 0;
}

/* Without a manifest `reeve check` would have nothing to look at. */
static void
verify_by_url(struct verify *verify, int argc)
{
	struct report *report = &verify->report;
	const char *again =
	    argc > 1 ? "reeve diagnose with the same URLs"
	             : arena_format(&verify->cli->arena, "reeve diagnose '%s'",
	                   verify->declared->queues[0].name);

	for (size_t i = 0; i < report->nfindings; i++) {
		struct finding *f = &report->findings[i]->finding;

		if (f->fix_verify != NULL)
			f->fix_verify = again;
	}
}

int
cmd_diagnose(struct cli *cli, int argc, char **argv)
{
	struct verify verify;
	struct err err = ERR_INIT;
	int rc = verify_begin(&verify, cli, DIAGNOSE_TIMEOUT_MS);

	if (rc == 0)
		rc = argc > 0 ? declare_urls(&verify, argc, argv)
		              : verify_load(&verify);
	if (rc != 0)
		return rc;
	verify.smoke.gather.queues_twice = true;
	if (gather(verify.declared, &verify.smoke.gather, &verify.observed,
	        &err) == -1)
		return cli_fail(cli, EXIT_BUG, "%s", err.text);
	checks_run(verify.declared, &verify.observed,
	    STAGE_LINT | STAGE_CHECK | STAGE_DIAGNOSE, &verify.report);
	if (argc > 0)
		verify_by_url(&verify, argc);
	return verify_end(&verify);
}
