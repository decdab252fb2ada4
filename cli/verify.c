/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "checks/refused.h"
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
	verify->report.redactor = cli->redactor;
	if (cli->manifest_given && !text_equal(cli->manifest, "reeve.yaml"))
		verify->report.manifest = cli->manifest;
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

/* A socket's address as text, "@" for an abstract one; NULL: it doesn't fit. */
static const char *
socket_text(
    struct arena *arena, const struct place_socket *place, const char *file)
{
	struct sockaddr_un address;
	socklen_t len;

	if (place_address(place, file, &address, &len, NULL) == -1)
		return NULL;
	bool abstract = address.sun_path[0] == '\0';
	size_t used = (size_t)len - offsetof(struct sockaddr_un, sun_path);

	if (!abstract)
		return arena_text(arena, address.sun_path);
	return arena_format(
	    arena, "@%.*s", (int)used - 1, address.sun_path + 1);
}

/* The workers' lines are beside the supervisor, not behind --status. */
static void
find_log_reader(struct verify *verify)
{
	struct arena *arena = &verify->cli->arena;
	const char *const words[] = {"/proc/self/exe", "logs", "--name",
	    verify->declared->name, "--tail", "100000", "--output", "json"};
	const char **reader =
	    arena_array(arena, ARRAY_LEN(words) + 1, sizeof(*reader));

	if (verify->cli->status_url != NULL)
		return;
	memcpy(reader, words, sizeof(words));
	verify->smoke.gather.log_reader = reader;
}

/* Where a supervisor of this name would listen on this host. */
static int
find_places(struct verify *verify)
{
	enum {
		PLACES_MAX = 8
	};
	struct arena *arena = &verify->cli->arena;
	struct gather_place *places =
	    arena_array(arena, PLACES_MAX, sizeof(*places));
	struct place_socket at;
	size_t count = 0;

	while (count < PLACES_MAX && place_candidate(verify->declared->name,
	                                 (const char *const *)environ,
	                                 (unsigned)count, &at, NULL) == 0) {
		const char *operator_socket =
		    socket_text(arena, &at, PLACE_OPERATOR_SOCKET);
		const char *init_socket =
		    socket_text(arena, &at, PLACE_INIT_SOCKET);

		if (operator_socket == NULL || init_socket == NULL)
			return cli_fail(verify->cli, EXIT_DATA,
			    "the place of the sockets is too long: set "
			    "REEVE_SOCKET to a shorter directory");
		places[count++] =
		    (struct gather_place){operator_socket, init_socket};
	}
	verify->smoke.gather.places = places;
	verify->smoke.gather.nplaces = count;
	return 0;
}

int
verify_read(struct verify *verify)
{
	struct manifest_errors errors = {0};
	struct err err = ERR_INIT;
	int rc =
	    cli_load_or_errors(verify->cli, &verify->declared, &errors, &err);

	if (rc != 0) {
		verify->report.file = verify->cli->manifest;
		report_refused(&verify->report, verify->cli->redactor,
		    verify->cli->manifest, &errors, &err);
		return rc;
	}
	verify->report.name = verify->declared->name;
	verify->report.file = verify->declared->file;
	verify->report.digest = verify->declared->digest;
	find_log_reader(verify);
	return find_places(verify);
}

int
verify_load(struct verify *verify)
{
	int rc = verify_read(verify);

	return rc == 0 ? 0 : verify_refused(verify, rc);
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

static bool
never_answered(enum cause cause)
{
	return cause == CAUSE_DNS || cause == CAUSE_REFUSED ||
	       cause == CAUSE_UNREACHABLE || cause == CAUSE_SILENT ||
	       cause == CAUSE_DEADLINE;
}

/* Targets were asked, and not one of them said a word (decisions.md 26): that
 * is no verdict on the system but on where we stand. */
static bool
all_unreachable(const struct observed *observed)
{
	size_t asked = 0;

	for (size_t i = 0; i < observed->nobservations; i++) {
		const struct observation *o = &observed->observations[i];

		if (text_equal(o->kind, "supervisor") ||
		    text_equal(o->kind, "processes"))
			continue;
		asked++;
		if (!never_answered(o->cause))
			return false;
	}
	return asked > 0;
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
	if (verify->report.exit == EXIT_INCONCLUSIVE &&
	    all_unreachable(&verify->observed))
		verify->report.exit = EXIT_UNREACHABLE;
	if (cli->noutputs == 0)
		failed = write_output(verify, &text);
	for (size_t i = 0; i < cli->noutputs; i++) {
		int rc = write_output(verify, &cli->outputs[i]);

		if (rc != 0)
			failed = rc;
	}
	return failed != 0 ? failed : verify->report.exit;
}

int
verify_refused(struct verify *verify, int code)
{
	struct cli *cli = verify->cli;

	progress_end(&verify->progress);
	if (verify->report.nfindings == 0)
		return code;
	verify->report.vantage = "offline";
	verify->report.finished_wall_ms = clock_wall_ms();
	report_conclude(&verify->report);
	verify->report.exit = code;
	for (size_t i = 0; i < cli->noutputs; i++) {
		const struct cli_output *output = &cli->outputs[i];

		if ((output->path != NULL ||
		        !text_equal(output->format, "text")) &&
		    write_output(verify, output) != 0)
			return EXIT_DATA;
	}
	return code;
}
