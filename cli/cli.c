/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "cli/cli.h"

const char *
cli_value(const struct cli *cli, const char *name)
{
	for (size_t i = cli->nvalues; i > 0; i--)
		if (text_equal(cli->values[i - 1].name, name))
			return cli->values[i - 1].value;
	return NULL;
}

bool
cli_flag(const struct cli *cli, const char *name)
{
	return cli_value(cli, name) != NULL;
}

int
cli_number(const struct cli *cli, const char *name, int64_t min, int64_t max,
    int64_t otherwise, int64_t *ret)
{
	const char *value = cli_value(cli, name);
	struct err err = ERR_INIT;

	if (value == NULL) {
		*ret = otherwise;
		return 0;
	}
	if (text_i64(value, min, max, ret, &err) == 0)
		return 0;
	(void)cli_usage(cli, "--%s: %s", name, err.text);
	return -1;
}

int
cli_duration(const struct cli *cli, const char *name, int64_t otherwise_ms,
    int64_t *ret_ms)
{
	const char *value = cli_value(cli, name);
	struct err err = ERR_INIT;

	if (value == NULL) {
		*ret_ms = otherwise_ms;
		return 0;
	}
	if (text_duration_ms(value, ret_ms, &err) == 0)
		return 0;
	(void)cli_usage(cli, "--%s: %s", name, err.text);
	return -1;
}

/* As a user typed it: the operator is what became of `run`. */
static const char *
command_name(const struct cli *cli)
{
	if (cli->command == NULL)
		return "";
	return text_equal(cli->command->name, "operate") ? "run"
	                                                 : cli->command->name;
}

void
cli_try(const char *fmt, ...)
{
	va_list args;

	(void)fputs("Try: ", stderr);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args);
	va_end(args);
	(void)fputc('\n', stderr);
}

/* One line on stderr; what a library or a user's file said goes through the
 * redactor first. */
static void PRINTF_LIKE(2, 0)
    complain(const struct cli *cli, const char *fmt, va_list args)
{
	char text[2048];
	struct arena arena;

	(void)vsnprintf(text, sizeof(text), fmt, args);
	arena_init(&arena, (size_t)1 << 20);
	(void)fprintf(stderr, "reeve%s%s: %s\n",
	    cli->command == NULL ? "" : " ", command_name(cli),
	    redactor_clean(cli->redactor, &arena, text));
	arena_wipe(&arena);
	arena_fini(&arena);
}

int
cli_fail(const struct cli *cli, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain(cli, fmt, args);
	va_end(args);
	return code;
}

int
cli_usage(const struct cli *cli, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain(cli, fmt, args);
	va_end(args);
	if (cli->command != NULL)
		cli_try("reeve %s --help", command_name(cli));
	else
		cli_try("reeve help");
	return EXIT_USAGE;
}

int
cli_refuse(struct cli *cli, int code, const char *path,
    const struct manifest_errors *errors, const struct err *err)
{
	for (size_t i = 0; i < errors->count; i++) {
		const struct manifest_error *e = &errors->errors[i];

		(void)fprintf(stderr, "%s:%d:%d: %s\n", e->place.file,
		    e->place.line, e->place.column,
		    redactor_clean(cli->redactor, &cli->arena, e->text));
	}
	if (errors->count == 0)
		return cli_fail(cli, code, "%s", err->text);
	return cli_fail(cli, code, "%zu error%s in '%s'", errors->count,
	    errors->count == 1 ? "" : "s", path);
}

void
cli_try_manifest(const struct cli *cli)
{
	const char *name = command_name(cli);
	const char *without = "";

	if (cli->manifest_given)
		return;
	if (text_equal(name, "run"))
		without = ", or reeve run -- CMD, which needs none";
	else if (text_equal(name, "diagnose"))
		without = ", or reeve diagnose URL, which needs none";
	else if (text_equal(name, "queue"))
		without = ", or the queue's URL instead of its name";
	cli_try("reeve %s -f FILE%s; `reeve schema --markdown` says what "
	        "stands in it, `reeve demo --keep` leaves one to play with",
	    name, without);
}

int
cli_load_or_errors(struct cli *cli, struct declared **ret,
    struct manifest_errors *errors, struct err *err)
{
	struct declared_options options = {
	    .environ = (const char *const *)environ,
	    .secret_overrides = cli->secrets,
	};

	if (declared_load(cli->manifest, &options, &cli->arena, cli->redactor,
	        ret, errors, err) == 0)
		return 0;
	(void)cli_refuse(cli, EXIT_MANIFEST, cli->manifest, errors, err);
	if (errors->count == 0)
		cli_try_manifest(cli);
	return EXIT_MANIFEST;
}

int
cli_load(struct cli *cli, struct declared **ret)
{
	struct manifest_errors errors = {0};
	struct err err = ERR_INIT;

	return cli_load_or_errors(cli, ret, &errors, &err);
}

int
cli_text_or_json(const struct cli *cli)
{
	for (size_t i = 0; i < cli->noutputs; i++)
		if (!text_equal(cli->outputs[i].format, "text") &&
		    !text_equal(cli->outputs[i].format, "json"))
			return cli_usage(cli,
			    "--output: no format '%s' here; there are text "
			    "and json",
			    cli->outputs[i].format);
	return 0;
}

bool
cli_wants(const struct cli *cli, const char *format)
{
	if (cli->noutputs == 0)
		return text_equal(format, "text");
	for (size_t i = 0; i < cli->noutputs; i++)
		if (cli->outputs[i].path == NULL &&
		    text_equal(cli->outputs[i].format, format))
			return true;
	return false;
}

int
cli_print(const struct cli *cli, const char *text, size_t len)
{
	struct err err = ERR_INIT;

	if (fd_write_all(STDOUT_FILENO, text, len, &err) == 0)
		return 0;
	return cli_fail(cli, EXIT_BUG, "standard output: %s", err.text);
}

int
cli_write(const struct cli *cli, const struct cli_output *output,
    const char *text, size_t len)
{
	struct err err = ERR_INIT;

	if (output->path == NULL)
		return cli_print(cli, text, len);
	if (fd_replace_file(output->path, 0644, text, len, &err) == 0)
		return 0;
	return cli_fail(
	    cli, EXIT_BUG, "--output %s: %s", output->format, err.text);
}
