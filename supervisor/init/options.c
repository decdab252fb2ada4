/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "supervisor/init/core.h"
#include "supervisor/init/options.h"

/* "--name VALUE" and "--name=VALUE". */
static const char *
option_value(int argc, char *argv[], int *at, const char *name)
{
	size_t len = strlen(name);

	if (argv[*at] == NULL || !text_starts(argv[*at], name))
		return NULL;
	if (argv[*at][len] == '=')
		return argv[*at] + len + 1;
	if (argv[*at][len] != '\0' || *at + 1 >= argc)
		return NULL;
	*at += 1;
	return argv[*at];
}

/* What isn't for the init goes to the operator. */
static int
pass_on(struct operate *operate, const char *argument, struct err *err)
{
	if ((size_t)operate->argc + 2 >= ARRAY_LEN(operate->argv))
		return err_set(err, ERR_INPUT, "too many arguments");
	operate->argv[operate->argc++] = argument;
	return 0;
}

static int
parse_one(struct run_options *options, struct operate *operate, int argc,
    char *argv[], int *at, struct err *err)
{
	const char *value;

	if (text_equal(argv[*at], "--allow-exec-changes")) {
		options->allow_exec_changes = true;
		return 0;
	}
	value = option_value(argc, argv, at, "--plan");
	if (value != NULL) {
		options->plan = value;
		return 0;
	}
	value = option_value(argc, argv, at, "--max-workers");
	if (value != NULL)
		return text_i64(value, 1, INT64_C(10) * WORKER_REPLICAS_MAX,
		    &options->max_workers, err);
	value = option_value(argc, argv, at, "--grace");
	if (value != NULL)
		return text_duration_ms(value, &options->grace_ms, err);
	return pass_on(operate, argv[*at], err);
}

int
options_parse(struct run_options *options, struct operate *operate, int argc,
    char *argv[], struct err *err)
{
	const char *grace = getenv("REEVE_GRACE");

	operate->argv[0] = "reeve-tool";
	operate->argv[1] = "operate";
	operate->argc = 2;
	if (grace != NULL && *grace != '\0' &&
	    text_duration_ms(grace, &options->grace_ms, err) == -1)
		return err_wrap(err, "REEVE_GRACE");
	for (int i = 0; i < argc; i++) {
		const char *name = argv[i];
		if (parse_one(options, operate, argc, argv, &i, err) == -1)
			return err_wrap(err, "%s", name);
	}
	if (options->plan != NULL && operate->argc > 2)
		return err_set(err, ERR_INPUT,
		    "'%s' means nothing beside --plan", operate->argv[2]);
	return 0;
}
