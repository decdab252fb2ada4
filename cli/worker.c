/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/log.h"
#include "base/text.h"
#include "cli/cli.h"
#include "probes/queue/queue.h"
#include "worker/reference/reference.h"

enum {
	ATTEMPTS_DEFAULT = 5,
	ATTEMPTS_MAX = 1000000,
	DAY_MS = 24 * 3600 * 1000
};

/* The queue that the manifest gives this worker: the one named, else what the
 * worker of this name (REEVE_WORKER) consumes, else the only one there is. */
static int
find_queue(struct cli *cli, const struct declared *declared, const char *name,
    const struct declared_queue **ret)
{
	const char *self = getenv("REEVE_WORKER");
	const struct declared_worker *worker =
	    self != NULL ? declared_worker_find(declared, self) : NULL;

	if (name != NULL)
		*ret = declared_queue_find(declared, name);
	else if (worker != NULL && worker->nconsumes == 1)
		*ret = worker->consumes[0].queue;
	else if (declared->nqueues == 1)
		*ret = &declared->queues[0];
	else
		return cli_usage(cli,
		    "'%s' declares %zu queues: say which with --queue",
		    cli->manifest, declared->nqueues);
	if (*ret == NULL)
		return cli_fail(cli, EXIT_MANIFEST,
		    "'%s' declares no queue '%s'", cli->manifest, name);
	if ((*ret)->url == NULL)
		return cli_fail(cli, EXIT_MANIFEST,
		    "the URL of queue '%s' needs $(%s), which isn't set",
		    (*ret)->name,
		    (*ret)->url_unresolved != NULL ? (*ret)->url_unresolved
		                                   : "?");
	return 0;
}

static int
spec_from_manifest(struct cli *cli, const char *name, struct queue_spec *ret)
{
	struct declared *declared = NULL;
	const struct declared_queue *queue = NULL;
	int code = cli_load(cli, &declared);

	if (code == 0)
		code = find_queue(cli, declared, name, &queue);
	if (code != 0 || queue == NULL)
		return code;
	struct queue_option *options =
	    arena_array(&cli->arena, queue->noptions + 1, sizeof(*options));

	for (size_t i = 0; i < queue->noptions; i++)
		options[i] = (struct queue_option){
		    queue->options[i].key, queue->options[i].value};
	*ret = (struct queue_spec){.kind = queue->kind,
	    .url = queue->url,
	    .options = options,
	    .noptions = queue->noptions};
	return 0;
}

static int
read_queue(struct cli *cli, struct queue_spec *ret)
{
	const char *queue = cli_value(cli, "queue");
	struct err err = ERR_INIT;

	if (queue == NULL || !queue_is_url(queue))
		return spec_from_manifest(cli, queue, ret);
	if (queue_spec_from_url(&cli->arena, queue, ret, &err) == -1)
		return cli_usage(cli, "--queue: %s", err.text);
	return 0;
}

static int
read_options(struct cli *cli, struct reference_options *ret)
{
	int64_t concurrency = 0;

	if (cli_number(cli, "concurrency", 1, REFERENCE_CONCURRENCY_MAX, 1,
	        &concurrency) == -1 ||
	    cli_number(cli, "max-attempts", 1, ATTEMPTS_MAX, ATTEMPTS_DEFAULT,
	        &ret->max_attempts) == -1 ||
	    cli_duration(cli, "lease", 30000, &ret->lease_ms) == -1 ||
	    cli_duration(cli, "backoff", 1000, &ret->backoff_first_ms) == -1 ||
	    cli_duration(cli, "backoff-cap", 60000, &ret->backoff_cap_ms) ==
	        -1 ||
	    cli_duration(cli, "drain", 25000, &ret->drain_ms) == -1 ||
	    cli_duration(cli, "job-timeout", 0, &ret->job_max_ms) == -1)
		return EXIT_USAGE;
	if (ret->lease_ms < REFERENCE_LEASE_MIN_MS || ret->lease_ms > DAY_MS)
		return cli_usage(cli,
		    "--lease: between 1s and 24h, so that it can be "
		    "extended in time");
	if (ret->backoff_first_ms > ret->backoff_cap_ms)
		return cli_usage(
		    cli, "--backoff: not longer than --backoff-cap");
	ret->concurrency = (unsigned)concurrency;
	ret->health = cli_value(cli, "health");
	return 0;
}

int
cmd_worker(struct cli *cli, int argc, char **argv)
{
	struct reference_options options = {.concurrency = 1};
	struct err err = ERR_INIT;

	(void)argc;
	(void)argv;
	if (cli->nrest == 0)
		return cli_usage(cli, "which command? reeve worker … -- CMD");
	options.command = cli->rest;
	int code = read_options(cli, &options);

	if (code == 0)
		code = read_queue(cli, &options.queue);
	if (code != 0)
		return code;
	log_open(STDERR_FILENO, LOG_TEXT, cli->quiet ? LOG_WARNING : LOG_INFO,
	    "worker");
	code = reference_run(&options, &err);
	if (code != EXIT_PASSED)
		return cli_fail(cli, code, "%s", err.text);
	return EXIT_PASSED;
}
