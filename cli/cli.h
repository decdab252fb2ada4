/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_CLI_H
#define REEVE_CLI_CLI_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "base/exitcode.h"
#include "base/finding.h"
#include "base/secret.h"
#include "manifests/declared.h"

/*
 * What every command shares: one table of commands, one parser of options that
 * also prints the help, the manifest's loading, and where output goes. A
 * command is a file in cli/ and a row in cli/commands.c; it is glue between
 * the rooms and decides nothing itself.
 */

/* Groups of options that many commands take. */
enum cli_uses {
	CLI_MANIFEST = 1 << 0, /* -f FILE, --secret NAME=dir:PATH|env:PREFIX */
	CLI_OUTPUT = 1 << 1,   /* --output FORMAT[=FILE], repeatable */
	CLI_FORMAT = 1 << 6,   /* --output text|json, on standard output */
	CLI_TIMEOUT = 1 << 2,  /* --timeout DURATION, for the whole command */
	CLI_VERDICT = 1 << 3,  /* --fail-on SEVERITY, --strict */
	CLI_TARGET = 1 << 4,   /* --status URL, --jobs N */
	CLI_REST = 1 << 5,     /* takes `-- CMD ARG…` */
};

struct cli_option {
	const char *name;  /* without the dashes */
	const char *value; /* "N" in the help; NULL: a flag */
	const char *help;
};

struct cli;
typedef int cli_run(struct cli *cli, int argc, char **argv);

struct cli_command {
	const char *name;
	const char *arguments; /* "[NAME|URL…]" for the synopsis; "" none */
	const char *summary;   /* one line */
	const char *examples;  /* lines, each "  reeve …  # why\n" */
	unsigned uses;
	int args_min, args_max;           /* positional; -1: no limit */
	bool hidden;                      /* for our own processes */
	const struct cli_option *options; /* ends with a NULL name */
	cli_run *run; /* gets the positional arguments; returns an exit code */
};

enum {
	CLI_OUTPUTS_MAX = 8,
	CLI_SECRETS_MAX = 16,
	CLI_VALUES_MAX = 16
};

struct cli_output {
	const char *format;
	const char *path; /* NULL: stdout */
};

struct cli {
	const struct cli_command *command;
	struct arena arena; /* lives as long as the command */
	struct redactor *redactor;
	const char *manifest; /* -f; default reeve.yaml */
	bool manifest_given;
	const char *secrets[CLI_SECRETS_MAX + 1]; /* NULL-terminated */
	size_t nsecrets;
	struct cli_output outputs[CLI_OUTPUTS_MAX];
	size_t noutputs; /* 0: text on stdout */
	const char *status_url;
	unsigned jobs;
	enum severity fail_on;
	bool strict, quiet, verbose, color;
	bool timeout_given;
	int64_t timeout_ms;  /* of the whole command */
	int64_t deadline_ms; /* the same, monotonic */
	struct {
		const char *name, *value;
	} values[CLI_VALUES_MAX]; /* the command's own options, as given */
	size_t nvalues;
	char **rest; /* after `--`, NULL-terminated; NULL: none */
	int nrest;
};

/* The command's own option: its value ("" for a flag), or NULL if not given.
 * The last one given wins. */
const char *cli_value(const struct cli *cli, const char *name);
bool cli_flag(const struct cli *cli, const char *name);
/* As cli_value, parsed; `otherwise` when not given. On bad input prints the
 * error with the option's name and returns -1: the command returns EXIT_USAGE.
 */
int cli_number(const struct cli *cli, const char *name, int64_t min,
    int64_t max, int64_t otherwise, int64_t *ret) MUST_CHECK;
int cli_duration(const struct cli *cli, const char *name, int64_t otherwise_ms,
    int64_t *ret_ms) MUST_CHECK;

/* "reeve COMMAND: text" on stderr, redacted; returns `code`. */
int cli_fail(const struct cli *cli, int code, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* Usage error: the text and a hint at --help; returns EXIT_USAGE. */
int cli_usage(const struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Loads -f. 0, or an exit code after all errors were printed as
 * file:line:column: text. */
int cli_load(struct cli *cli, struct declared **ret) MUST_CHECK;
/* Says, where none was named, how one is, and what does without. */
void cli_try_manifest(const struct cli *cli);
/* The same as cli_load(), with what was wrong for whoever reports it. */
int cli_load_or_errors(struct cli *cli, struct declared **ret,
    struct manifest_errors *errors, struct err *err) MUST_CHECK;
/* Prints what is wrong with a file, each with its place, and returns `code`. */
int cli_refuse(struct cli *cli, int code, const char *path,
    const struct manifest_errors *errors, const struct err *err);

/* Next on stderr: "Try: …", what to do about what was just said. */
void cli_try(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* For CLI_OUTPUT: EXIT_USAGE, said why, when --output asks for something else.
 */
int cli_text_or_json(const struct cli *cli) MUST_CHECK;

/* True if `format` goes to stdout ("text" does when nothing was asked for). */
bool cli_wants(const struct cli *cli, const char *format);
/* Writes to stdout and checks that it arrived: a full disk is an error. 0, or
 * an exit code. */
int cli_print(const struct cli *cli, const char *text, size_t len) MUST_CHECK;
/* The same to the file of `--output FORMAT=FILE`, by rename. */
int cli_write(const struct cli *cli, const struct cli_output *output,
    const char *text, size_t len) MUST_CHECK;

extern const struct cli_command cli_commands[]; /* ends with a NULL name */

cli_run cmd_check;
cli_run cmd_compile;
cli_run cmd_deliver;
cli_run cmd_read;
cli_run cmd_demo;
cli_run cmd_demo_job;
cli_run cmd_diagnose;
cli_run cmd_diff;
cli_run cmd_plan;
cli_run cmd_inspect;
cli_run cmd_events;
cli_run cmd_alert;
cli_run cmd_explain;
cli_run cmd_gate;
cli_run cmd_lint;
cli_run cmd_logs;
cli_run cmd_operate;
cli_run cmd_probe;
cli_run cmd_queue;
cli_run cmd_reload;
cli_run cmd_restart;
cli_run cmd_scale;
cli_run cmd_schema;
cli_run cmd_smoke;
cli_run cmd_start;
cli_run cmd_status;
cli_run cmd_stop;
cli_run cmd_upgrade;
cli_run cmd_top;
cli_run cmd_version;
cli_run cmd_worker;

#endif
