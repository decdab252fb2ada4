/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/parse.h"

typedef int set_fn(struct cli *cli, const char *value, struct err *err);

/* An option that several commands share. */
struct shared {
	struct cli_option option;
	char letter;
	unsigned uses; /* 0: every command */
	set_fn *set;
};

static int
set_manifest(struct cli *cli, const char *value, struct err *err)
{
	(void)err;
	cli->manifest = value;
	cli->manifest_given = true;
	return 0;
}

static int
set_secret(struct cli *cli, const char *value, struct err *err)
{
	if (cli->nsecrets == CLI_SECRETS_MAX)
		return err_set(err, ERR_CAPACITY, "more than %d times --secret",
		    CLI_SECRETS_MAX);
	cli->secrets[cli->nsecrets++] = value;
	return 0;
}

static int
set_output(struct cli *cli, const char *value, struct err *err)
{
	if (cli->noutputs == CLI_OUTPUTS_MAX)
		return err_set(err, ERR_CAPACITY, "more than %d times --output",
		    CLI_OUTPUTS_MAX);
	struct cli_output *output = &cli->outputs[cli->noutputs++];
	const char *equals = strchr(value, '=');

	output->format = value;
	if (equals != NULL) {
		output->format =
		    arena_bytes(&cli->arena, value, (size_t)(equals - value));
		output->path = equals + 1;
	}
	return 0;
}

static int
set_format(struct cli *cli, const char *value, struct err *err)
{
	if (!text_equal(value, "text") && !text_equal(value, "json"))
		return err_set(err, ERR_INPUT,
		    "no format '%s' here; there are text and json, on standard "
		    "output",
		    value);
	cli->outputs[0].format = value;
	cli->noutputs = 1;
	return 0;
}

static int
set_timeout(struct cli *cli, const char *value, struct err *err)
{
	int64_t timeout_ms;

	if (text_duration_ms(value, &timeout_ms, err) == -1)
		return -1;
	if (timeout_ms == 0)
		return err_set(
		    err, ERR_INPUT, "a timeout of 0 leaves no time to look");
	cli->timeout_given = true;
	cli->timeout_ms = timeout_ms;
	cli->deadline_ms = clock_after(clock_ms(), timeout_ms);
	return 0;
}

static int
set_fail_on(struct cli *cli, const char *value, struct err *err)
{
	for (enum severity s = SEVERITY_INFO; s <= SEVERITY_CRITICAL; s++) {
		if (text_equal(value, severity_name(s))) {
			cli->fail_on = s;
			return 0;
		}
	}
	return err_set(err, ERR_INPUT,
	    "'%s' is none of info, warning, error, critical", value);
}

static int
set_jobs(struct cli *cli, const char *value, struct err *err)
{
	int64_t jobs;

	if (text_i64(value, 1, 64, &jobs, err) == -1)
		return -1;
	cli->jobs = (unsigned)jobs;
	return 0;
}

static int
set_status(struct cli *cli, const char *value, struct err *err)
{
	(void)err;
	cli->status_url = value;
	return 0;
}

static int
set_color(struct cli *cli, const char *value, struct err *err)
{
	if (!text_equal(value, "always") && !text_equal(value, "never"))
		return err_set(
		    err, ERR_INPUT, "'%s' is none of always, never", value);
	cli->color = text_equal(value, "always");
	return 0;
}

static int
set_strict(struct cli *cli, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	cli->strict = true;
	return 0;
}

static int
set_quiet(struct cli *cli, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	cli->quiet = true;
	return 0;
}

static int
set_verbose(struct cli *cli, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	cli->verbose = true;
	return 0;
}

static const struct shared shared_options[] = {
    {{"file", "FILE", "the manifest (default: reeve.yaml)"}, 'f', CLI_MANIFEST,
        set_manifest},
    {{"secret", "NAME=dir:PATH|env:PREFIX",
         "read the secret NAME from there instead"},
        0, CLI_MANIFEST, set_secret},
    {{"output", "FORMAT[=FILE]",
         "text or json, of a verdict also junit; repeatable"},
        'o', CLI_OUTPUT, set_output},
    {{"output", "FORMAT", "text or json"}, 'o', CLI_FORMAT, set_format},
    {{"timeout", "DURATION", "for the whole command, as 30s or 5m"}, 't',
        CLI_TIMEOUT, set_timeout},
    {{"fail-on", "SEVERITY",
         "least severity that fails: info, warning, error, critical"},
        0, CLI_VERDICT, set_fail_on},
    {{"strict", NULL, "exit 2 when there are only warnings"}, 0, CLI_VERDICT,
        set_strict},
    {{"status", "URL", "ask this supervisor: a socket, or an http:// URL"}, 0,
        CLI_TARGET, set_status},
    {{"jobs", "N", "looks at once (default 8)"}, 'j', CLI_TARGET, set_jobs},
    {{"color", "always|never", "default: on a terminal, unless NO_COLOR"}, 0, 0,
        set_color},
    {{"quiet", NULL, "only what is wrong"}, 'q', 0, set_quiet},
    {{"verbose", NULL, "everything that was seen"}, 'v', 0, set_verbose},
};

static const struct shared *
find_shared(const struct cli *cli, const char *name, char letter)
{
	for (size_t i = 0; i < ARRAY_LEN(shared_options); i++) {
		const struct shared *s = &shared_options[i];

		if (s->uses != 0 && (cli->command->uses & s->uses) == 0)
			continue;
		if (name != NULL ? text_equal(s->option.name, name)
		                 : s->letter == letter)
			return s;
	}
	return NULL;
}

static const struct cli_option *
find_own(const struct cli *cli, const char *name)
{
	const struct cli_option *o = cli->command->options;

	for (; o != NULL && o->name != NULL; o++)
		if (text_equal(o->name, name))
			return o;
	return NULL;
}

enum {
	NAMES_MAX = 48
};

static int
unknown_option(const struct cli *cli, const char *name, struct err *err)
{
	const char *names[NAMES_MAX];
	size_t count = 0;
	const struct cli_option *o = cli->command->options;

	for (; o != NULL && o->name != NULL && count < NAMES_MAX; o++)
		names[count++] = o->name;
	for (size_t i = 0; i < ARRAY_LEN(shared_options) && count < NAMES_MAX;
	     i++) {
		const struct shared *s = &shared_options[i];

		if (s->uses == 0 || (cli->command->uses & s->uses) != 0)
			names[count++] = s->option.name;
	}
	const char *near = text_nearest(name, names, count);

	if (near != NULL)
		return err_set(err, ERR_INPUT,
		    "no option '--%s'; did you mean '--%s'?", name, near);
	return err_set(err, ERR_INPUT, "no option '--%s'", name);
}

/* The state of one pass over argv. */
struct scan {
	struct cli *cli;
	int argc;
	char **argv;
	int next;
	bool *help;
};

/* The option's value: behind '=', the rest of a short one, or the next word. */
static int
take_value(struct scan *scan, const struct cli_option *option,
    const char *inlined, const char **ret, struct err *err)
{
	if (option->value == NULL) {
		if (inlined != NULL)
			return err_set(err, ERR_INPUT, "'--%s' takes no value",
			    option->name);
		*ret = "";
		return 0;
	}
	if (inlined == NULL && scan->next < scan->argc)
		inlined = scan->argv[scan->next++];
	if (inlined == NULL)
		return err_set(err, ERR_INPUT, "'--%s' needs a value: %s",
		    option->name, option->value);
	*ret = inlined;
	return 0;
}

static int
apply(struct scan *scan, const struct shared *shared,
    const struct cli_option *own, const char *inlined, struct err *err)
{
	struct cli *cli = scan->cli;
	const struct cli_option *option = own != NULL ? own : &shared->option;
	const char *value = NULL;

	if (take_value(scan, option, inlined, &value, err) == -1)
		return -1;
	if (own == NULL) {
		if (shared->set(cli, value, err) == -1)
			return err_wrap(err, "--%s", option->name);
		return 0;
	}
	if (cli->nvalues == CLI_VALUES_MAX)
		return err_set(err, ERR_CAPACITY, "too many options");
	cli->values[cli->nvalues].name = own->name;
	cli->values[cli->nvalues++].value = value;
	return 0;
}

static int
long_option(struct scan *scan, char *word, struct err *err)
{
	char *equals = strchr(word, '=');
	const char *inlined = NULL;

	if (equals != NULL) {
		*equals = '\0';
		inlined = equals + 1;
	}
	if (text_equal(word, "help")) {
		*scan->help = true;
		return 0;
	}
	const struct cli_option *own = find_own(scan->cli, word);
	const struct shared *shared = find_shared(scan->cli, word, 0);

	if (own == NULL && shared == NULL)
		return unknown_option(scan->cli, word, err);
	return apply(scan, shared, own, inlined, err);
}

static int
short_option(struct scan *scan, const char *word, struct err *err)
{
	if (word[0] == 'h' && word[1] == '\0') {
		*scan->help = true;
		return 0;
	}
	const struct shared *shared = find_shared(scan->cli, NULL, word[0]);

	if (shared == NULL)
		return err_set(err, ERR_INPUT, "no option '-%c'", word[0]);
	if (shared->option.value == NULL && word[1] != '\0')
		return err_set(
		    err, ERR_INPUT, "'-%s': write flags one by one", word);
	return apply(
	    scan, shared, NULL, word[1] == '\0' ? NULL : word + 1, err);
}

static int
check_count(const struct cli_command *command, int count, struct err *err)
{
	if (count < command->args_min)
		return err_set(
		    err, ERR_INPUT, "missing argument: %s", command->arguments);
	if (command->args_max != -1 && count > command->args_max)
		return err_set(err, ERR_INPUT, "too many arguments");
	return 0;
}

int
cli_parse(struct cli *cli, int argc, char **argv, bool *help, struct err *err)
{
	struct scan scan = {cli, argc, argv, 1, NULL};
	int count = 0;

	scan.help = help;
	while (scan.next < argc) {
		char *word = argv[scan.next++];
		int rc = 0;

		if (text_equal(word, "--")) {
			if ((cli->command->uses & CLI_REST) == 0)
				return err_set(err, ERR_INPUT,
				    "'--' and a command are not expected here");
			cli->rest = argv + scan.next;
			cli->nrest = argc - scan.next;
			break;
		}
		if (text_starts(word, "--"))
			rc = long_option(&scan, word + 2, err);
		else if (word[0] == '-' && word[1] != '\0')
			rc = short_option(&scan, word + 1, err);
		else
			argv[count++] = word;
		if (rc == -1)
			return -1;
	}
	if (*help)
		return 0;
	return check_count(cli->command, count, err) == -1 ? -1 : count;
}

static void
help_option(struct buffer *out, const struct cli_option *option, char letter)
{
	char left[80];
	const char *space = option->value == NULL ? "" : " ";
	const char *value = option->value == NULL ? "" : option->value;
	int len;

	if (letter != 0)
		len = snprintf(left, sizeof(left), "-%c, --%s%s%s", letter,
		    option->name, space, value);
	else
		len = snprintf(left, sizeof(left), "    --%s%s%s", option->name,
		    space, value);
	if (len > 26)
		buffer_format(
		    out, "  %s\n  %-26s  %s\n", left, "", option->help);
	else
		buffer_format(out, "  %-26s  %s\n", left, option->help);
}

void
cli_help(const struct cli_command *command, struct buffer *out)
{
	buffer_format(out, "%s\n\nUsage: reeve %s [OPTION…]%s%s%s\n",
	    command->summary, command->name,
	    command->arguments[0] == '\0' ? "" : " ", command->arguments,
	    (command->uses & CLI_REST) != 0 ? " -- CMD [ARG…]" : "");
	buffer_text(out, "\nOptions:\n");
	const struct cli_option *o = command->options;

	for (; o != NULL && o->name != NULL; o++)
		help_option(out, o, 0);
	for (size_t i = 0; i < ARRAY_LEN(shared_options); i++) {
		const struct shared *s = &shared_options[i];

		if (s->uses == 0 || (command->uses & s->uses) != 0)
			help_option(out, &s->option, s->letter);
	}
	static const struct cli_option help = {"help", NULL, "this text"};

	help_option(out, &help, 'h');
	if (command->examples != NULL)
		buffer_format(out, "\nExamples:\n%s", command->examples);
}

void
cli_overview(struct buffer *out)
{
	buffer_text(out,
	    "reeve supervises queue workers and says whether the queue is "
	    "really being drained.\n\nUsage: reeve COMMAND [OPTION…]\n\n"
	    "  run          supervise: the init; `reeve run -- CMD` needs no "
	    "manifest\n");
	for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
		if (!c->hidden)
			buffer_format(
			    out, "  %-11s  %s\n", c->name, c->summary);
	buffer_text(out,
	    "\n`reeve COMMAND --help` has the options and examples of each.\n"
	    "Begin with: reeve demo\n");
}
