/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/verify.h"
#include "supervisor/wire/place.h"

enum {
	REPORT_MAX = 64 << 20
};

static void
show_looks(
    void *arg, const struct probe_request *request, size_t done, size_t total)
{
	struct verify *verify = arg;

	progress_show(&verify->progress, "%s: %zu of %zu, %s", verify->phase,
	    done, total, request->subject);
}

static void
show_smoke(void *arg, const char *smoke, const char *stage, const char *what)
{
	struct verify *verify = arg;

	progress_show(
	    &verify->progress, "smoke '%s': %s: %s", smoke, stage, what);
}

/* A report that nobody could write is found before the work, not after it. */
static int
check_outputs(const struct cli *cli)
{
	for (size_t i = 0; i < cli->noutputs; i++) {
		const char *format = cli->outputs[i].format;

		if (report_writer_find(format) == NULL)
			return cli_usage(cli,
			    "--output: no format '%s'; there are text, json "
			    "and junit",
			    format);
	}
	return 0;
}

int
verify_begin(struct verify *verify, struct cli *cli, int64_t own_timeout_ms)
{
	*verify = (struct verify){.cli = cli, .phase = cli->command->name};
	if (!cli->timeout_given) {
		cli->timeout_ms = own_timeout_ms;
		cli->deadline_ms = clock_after(clock_ms(), own_timeout_ms);
	}
	observed_init(&verify->observed, &cli->arena);
	report_init(
	    &verify->report, &cli->arena, cli->command->name, REEVE_VERSION);
	verify->report.fail_on = cli->fail_on;
	verify->report.strict = cli->strict;
	verify->report.started_wall_ms = clock_wall_ms();
	progress_begin(&verify->progress, cli->quiet);
	verify->smoke = (struct smoke_options){
	    .gather =
	        {
	            .pool =
	                {
	                    .jobs = cli->jobs,
	                    .progress = show_looks,
	                    .arg = verify,
	                },
	            .deadline_ms = cli->deadline_ms,
	            .status_url = cli->status_url,
	        },
	    .progress = show_smoke,
	    .arg = verify,
	};
	return check_outputs(cli);
}

/* Where a supervisor of this name would listen on this host. */
static int
find_sockets(struct verify *verify)
{
	enum {
		PLACES_MAX = 8
	};
	struct arena *arena = &verify->cli->arena;
	const char **sockets =
	    arena_array(arena, PLACES_MAX + 1, sizeof(*sockets));
	struct place_socket place;
	struct err err = ERR_INIT;

	for (unsigned i = 0;
	     i < PLACES_MAX &&
	     place_candidate(verify->declared->name,
	         (const char *const *)environ, i, &place, &err) == 0;
	     i++) {
		struct sockaddr_un address;
		socklen_t len;

		if (place_address(&place, PLACE_OPERATOR_SOCKET, &address, &len,
		        &err) == -1)
			return cli_fail(verify->cli, EXIT_DATA, "%s", err.text);
		bool abstract = address.sun_path[0] == '\0';

		sockets[i] = arena_format(arena, "%s%s", abstract ? "@" : "",
		    address.sun_path + (abstract ? 1 : 0));
	}
	verify->smoke.gather.sockets = sockets;
	return 0;
}

int
verify_load(struct verify *verify)
{
	int rc = cli_load(verify->cli, &verify->declared);

	if (rc != 0)
		return rc;
	verify->report.name = verify->declared->name;
	verify->report.file = verify->declared->file;
	verify->report.digest = verify->declared->digest;
	return find_sockets(verify);
}

static int
write_output(const struct verify *verify, const struct cli_output *output)
{
	const struct report_style style = {
	    .color = verify->cli->color && output->path == NULL,
	    .verbose = verify->cli->verbose,
	    .quiet = verify->cli->quiet,
	};
	struct buffer out;

	buffer_init(&out, REPORT_MAX);
	report_writer_find(output->format)
	    ->write(&verify->report, &style, &out);
	int rc = out.overflow
	             ? cli_fail(verify->cli, EXIT_BUG,
	                   "the report is larger than %d MiB", REPORT_MAX >> 20)
	             : cli_write(verify->cli, output, out.data, out.len);

	buffer_fini(&out);
	return rc;
}

int
verify_end(struct verify *verify)
{
	static const struct cli_output text = {.format = "text"};
	struct cli *cli = verify->cli;
	int failed = 0;

	progress_end(&verify->progress);
	if (verify->report.vantage == NULL)
		verify->report.vantage = verify->observed.vantage;
	verify->report.finished_wall_ms = clock_wall_ms();
	verify->report.deadline_hit = clock_ms() >= cli->deadline_ms;
	report_conclude(&verify->report);
	if (cli->noutputs == 0)
		failed = write_output(verify, &text);
	for (size_t i = 0; i < cli->noutputs; i++) {
		int rc = write_output(verify, &cli->outputs[i]);

		if (rc != 0)
			failed = rc;
	}
	return failed != 0 ? failed : verify->report.exit;
}
