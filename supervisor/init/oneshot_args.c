/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <signal.h>
#include <string.h>

#include "base/text.h"
#include "supervisor/init/oneshot_args.h"
#include "worker/exit.h"

enum {
	GRACE_MS = 5000
};

#define SIGNAL_FORMS                                                         \
	"a name such as TERM, SIGTERM or SIGRTMIN+1, or a number from 1 to " \
	"64"

struct option_form {
	const char *name; /* NULL: only the letter */
	int (*take)(
	    struct oneshot_args *args, const char *value, struct err *err);
	char letter; /* '\0': only the long form */
	bool valued;
	bool shared; /* with `reeve run` of a manifest */
};

static int
take_single(struct oneshot_args *args, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	args->to_one = true;
	return 0;
}

static int
take_code(struct oneshot_args *args, const char *value, struct err *err)
{
	int64_t code = 0;

	if (text_i64(value, 0, ONESHOT_CODES - 1, &code, err) == -1)
		return -1;
	args->as_zero[code] = true;
	return 0;
}

static int
take_group(struct oneshot_args *args, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	args->to_group = true;
	return 0;
}

static int
take_parent_death(struct oneshot_args *args, const char *value, struct err *err)
{
	args->parent_death = exit_signal_number(value);
	if (args->parent_death == 0)
		return err_set(
		    err, ERR_INPUT, "'%s' is no signal: " SIGNAL_FORMS, value);
	return 0;
}

/* What never comes in can't be rewritten; to say it all the same is a slip. */
static bool
comes_in(int signo)
{
	return signo != SIGKILL && signo != SIGSTOP && signo != SIGCHLD;
}

static int
take_rewrite(struct oneshot_args *args, const char *value, struct err *err)
{
	const char *colon = strchr(value, ':');
	char received[16];

	if (colon == NULL ||
	    text_format(received, sizeof(received), NULL, "%.*s",
	        (int)MIN(colon - value, (ptrdiff_t)sizeof(received)),
	        value) == -1)
		return err_set(err, ERR_INPUT,
		    "'%s' isn't 'RECEIVED:SENT', for example 15:3 or "
		    "TERM:QUIT; TERM:0 drops TERM",
		    value);
	int from = exit_signal_number(received);
	int to = exit_signal_number(colon + 1);
	if (from == 0)
		return err_set(err, ERR_INPUT,
		    "'%s' is no signal: " SIGNAL_FORMS, received);
	if (to == 0 && !text_equal(colon + 1, "0"))
		return err_set(err, ERR_INPUT,
		    "'%s' is no signal: " SIGNAL_FORMS
		    ", or 0 to drop what comes",
		    colon + 1);
	if (!comes_in(from))
		return err_set(err, ERR_INPUT,
		    "'%s' is never forwarded, so it can't be rewritten; any "
		    "signal but KILL, STOP and CHLD can",
		    received);
	args->sent_as[from] = (uint8_t)to;
	return 0;
}

/* We are a subreaper wherever we aren't PID 1. */
static int
take_subreaper(struct oneshot_args *args, const char *value, struct err *err)
{
	(void)args;
	(void)value;
	(void)err;
	return 0;
}

static int
take_verbose(struct oneshot_args *args, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	args->verbose++;
	if (args->verbose > 1)
		args->say_reaped = true;
	return 0;
}

static int
take_say_reaped(struct oneshot_args *args, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	args->say_reaped = true;
	return 0;
}

static int
take_grace(struct oneshot_args *args, const char *value, struct err *err)
{
	return text_duration_ms(value, &args->grace_ms, err);
}

static const struct option_form forms[] = {
    {"--single-child", take_single, 'c', false, false},
    {NULL, take_code, 'e', true, false},
    {NULL, take_group, 'g', false, false},
    {NULL, take_parent_death, 'p', true, false},
    {"--rewrite", take_rewrite, 'r', true, false},
    {NULL, take_subreaper, 's', false, false},
    {"--verbose", take_verbose, 'v', false, true},
    {NULL, take_say_reaped, 'w', false, false},
    {"--grace", take_grace, '\0', true, true},
};

static int
refuse(const char *arg, struct err *err)
{
	return err_set(err, ERR_INPUT,
	    "'%s' is no option before '-- CMD'; there are -c, -e CODE, -g, "
	    "-p SIGNAL, -r RECEIVED:SENT, -s, -v, -w and --grace D",
	    arg);
}

/* Where we are in the arguments. */
struct cursor {
	int argc;
	char **argv;
	int at;
};

/* `attached` is what stands in the same argument behind the option, or NULL. */
static int
take(struct oneshot_args *args, const struct option_form *form,
    const char *attached, struct cursor *cursor, struct err *err)
{
	const char *option = cursor->argv[cursor->at];
	const char *value = attached;

	if (form->valued && value == NULL) {
		if (cursor->at + 1 >= cursor->argc ||
		    text_equal(cursor->argv[cursor->at + 1], "--"))
			return err_set(
			    err, ERR_INPUT, "'%s' needs a value", option);
		value = cursor->argv[++cursor->at];
	}
	if (form->take(args, value, err) == -1)
		return form->name != NULL ? err_wrap(err, "%s", form->name)
		                          : err_wrap(err, "-%c", form->letter);
	return 0;
}

static int
take_long(struct oneshot_args *args, struct cursor *cursor, struct err *err)
{
	const char *arg = cursor->argv[cursor->at];

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const char *name = forms[i].name;

		if (name == NULL || !text_starts(arg, name))
			continue;
		if (arg[strlen(name)] == '\0')
			return take(args, &forms[i], NULL, cursor, err);
		if (arg[strlen(name)] == '=' && forms[i].valued)
			return take(args, &forms[i], arg + strlen(name) + 1,
			    cursor, err);
	}
	return refuse(arg, err);
}

static const struct option_form *
form_of(char letter)
{
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (forms[i].letter == letter)
			return &forms[i];
	return NULL;
}

/* -vv, -sg, -e143, -ge143: the first that has a value takes the rest. */
static int
take_letters(struct oneshot_args *args, struct cursor *cursor, struct err *err)
{
	const char *arg = cursor->argv[cursor->at];

	for (const char *letter = arg + 1; *letter != '\0'; letter++) {
		const struct option_form *form = form_of(*letter);

		if (form == NULL)
			return refuse(arg, err);
		if (form->valued)
			return take(args, form,
			    letter[1] != '\0' ? letter + 1 : NULL, cursor, err);
		if (take(args, form, NULL, cursor, err) == -1)
			return -1;
	}
	return 0;
}

bool
oneshot_args_alone(const char *arg)
{
	const struct option_form *form =
	    arg[0] == '-' && arg[1] != '\0' ? form_of(arg[1]) : NULL;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (forms[i].name != NULL && text_starts(arg, forms[i].name))
			form = &forms[i];
	return form != NULL && !form->shared;
}

int
oneshot_args_read(
    int argc, char *argv[], struct oneshot_args *ret, struct err *err)
{
	struct cursor cursor = {.argc = argc, .argv = argv};

	*ret = (struct oneshot_args){.grace_ms = GRACE_MS};
	for (unsigned signo = 0; signo < NSIG; signo++)
		ret->sent_as[signo] = (uint8_t)signo;
	for (; cursor.at < argc; cursor.at++) {
		const char *arg = argv[cursor.at];
		int took = -1;

		if (text_equal(arg, "--"))
			break;
		if (text_starts(arg, "--"))
			took = take_long(ret, &cursor, err);
		else if (arg[0] == '-' && arg[1] != '\0')
			took = take_letters(ret, &cursor, err);
		else
			took = refuse(arg, err);
		if (took == -1)
			return -1;
	}
	if (cursor.at + 1 >= argc)
		return err_set(err, ERR_INPUT, "no command after '--'");
	if (ret->to_group && ret->to_one)
		return err_set(err, ERR_INPUT,
		    "-g (signals go to the whole group) and -c (to the command "
		    "alone) exclude each other");
	ret->command = argv + cursor.at + 1;
	return 0;
}
