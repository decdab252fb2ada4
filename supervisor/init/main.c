/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "base/signals.h"
#include "base/text.h"
#include "supervisor/init/guard.h"
#include "supervisor/init/init.h"
#include "supervisor/init/live.h"
#include "supervisor/init/logger.h"
#include "supervisor/init/oneshot.h"
#include "supervisor/init/oneshot_args.h"
#include "supervisor/init/probe.h"
#include "supervisor/init/state.h"
#include "supervisor/init/tool.h"
#include "supervisor/init/writer.h"

/*
 * The program `reeve`: `run` and its own children are here; every other command
 * is the other program's, which this one becomes. What follows is for when that
 * one isn't there: it has the whole list.
 */
static const char help[] =
    "reeve " REEVE_VERSION ": is the queue really being drained?\n"
    "\n"
    "usage: reeve COMMAND [OPTION…]\n"
    "\n"
    "  run [-f reeve.yaml]   supervise the workers of a manifest (PID 1 or "
    "not)\n"
    "  run --plan FILE       the same from a compiled plan, without operator\n"
    "  run -- CMD ARG…       a correct init for one command\n"
    "\n"
    "Every other command is reeve-tool's, which isn't installed here.\n";

static const char run_help[] =
    "usage: reeve run [-f reeve.yaml] | run --plan FILE | run [OPTION…] -- "
    "CMD ARG…\n"
    "\n"
    "Supervises workers, as PID 1 of a container or anywhere else.\n"
    "\n"
    "  -f FILE       the manifest; without it ./reeve.yaml\n"
    "  --plan FILE   a compiled plan instead: no operator, no YAML\n"
    "  --grace D     budget of the whole container from SIGTERM on\n"
    "  --max-workers N         instances that there is room for: 10000\n"
    "  --allow-exec-changes    a reload may change what is executed\n"
    "\n"
    "With a command after --: an init for this one command, without "
    "manifest.\n"
    "Forwards every signal, reaps orphans, ends with the command's exit code\n"
    "(128+n for a signal n, 127 when it isn't there, 126 when it can't run).\n"
    "\n"
    "  -g            signals go to the command's whole process group\n"
    "  -c, --single-child      to the command alone; that is so without -g\n"
    "  -r, --rewrite S:D       a signal S that comes is sent as D; 0 drops it\n"
    "  -e CODE       this exit code of the command counts as 0; repeatable\n"
    "  -p SIGNAL     sent to us when our parent ends, to the command when we "
    "do\n"
    "  -s            adopt orphans when not PID 1 (always on; for tini's "
    "users)\n"
    "  --grace D     what the command left behind has so long after TERM: 5s\n"
    "  -v, --verbose say on stderr what is done; -vv, -w: also each orphan\n"
    "\n"
    "examples:\n"
    "  ENTRYPOINT [\"reeve\", \"run\"]\n"
    "  reeve run -f reeve.yaml\n"
    "  reeve run --grace 30s -- python worker.py --queue jobs\n"
    "  reeve run -e 143 -r TERM:QUIT -- nginx -g 'daemon off;'\n";

static int
say(int fd, const char *text, int code)
{
	return write(fd, text, strlen(text)) == -1 ? EXIT_BUG : code;
}

/* From the first instruction on no signal may get lost: PID 1 has no default
 * actions, others die by them. Faults stay, they are not for later; but after
 * one, until there is a handler again. */
static void
block_signals(bool faults_too)
{
	static const int faults[] = {
	    SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS};

	signals_block(faults, faults_too ? 0 : ARRAY_LEN(faults));
}

static bool
asks_for_help(int argc, char *const argv[])
{
	for (int i = 0; i < argc && !text_equal(argv[i], "--"); i++)
		if (text_equal(argv[i], "--help") || text_equal(argv[i], "-h"))
			return true;
	return false;
}

/* `reeve run CMD` or `reeve run -s CMD`, as `tini -s CMD`: whether an argument
 * is the command or an option's value must not be guessed. */
static bool
means_command(int argc, char *const argv[])
{
	return argc > 0 && (argv[0][0] != '-' || oneshot_args_alone(argv[0]));
}

static int
refuse_command(const char *first)
{
	char line[ERR_TEXT_MAX];

	if (text_format(line, sizeof(line), NULL,
	        "reeve run: a command goes behind '--': reeve run %s%s\n",
	        first[0] == '-' ? first : "-- ",
	        first[0] == '-' ? " ... -- CMD" : first) == -1)
		return say(STDERR_FILENO,
		    "reeve run: a command goes behind '--'\n", EXIT_USAGE);
	return say(STDERR_FILENO, line, EXIT_USAGE);
}

static int
run(int argc, char *argv[])
{
	if (asks_for_help(argc, argv))
		return say(STDOUT_FILENO, run_help, EXIT_PASSED);
	if (oneshot_wanted(argc, argv))
		return oneshot_main(argc, argv);
	if (means_command(argc, argv))
		return refuse_command(argv[0]);
	return init_main(argc, argv);
}

/* Returns only when there is no such program. */
static void
become_tool(char *argv[], struct err *err)
{
	int fd = tool_open(err);

	if (fd == -1)
		return;
	tool_exec(fd, (const char *const *)argv, (const char *const *)environ);
	(void)err_sys(err, "execute reeve-tool");
}

static int
other_command(char *argv[])
{
	struct err err = ERR_INIT;
	char line[ERR_TEXT_MAX + 128];
	bool wants_help = argv[1] == NULL || text_equal(argv[1], "--help") ||
	                  text_equal(argv[1], "-h");

	become_tool(argv, &err);
	if (wants_help)
		return argv[1] == NULL ? say(STDERR_FILENO, help, EXIT_USAGE)
		                       : say(STDOUT_FILENO, help, EXIT_PASSED);
	if (text_format(line, sizeof(line), NULL, "reeve %s: %s\n", argv[1],
	        err.text) == -1)
		return say(STDERR_FILENO, "reeve: no reeve-tool\n", EXIT_BUG);
	return say(STDERR_FILENO, line, EXIT_BUG);
}

int
main(int argc, char *argv[])
{
	const char *command = argc > 1 ? argv[1] : "";

	if (text_equal(command, "run") || text_equal(command, "--logger") ||
	    text_equal(command, "--writer") || text_equal(command, "--guard"))
		block_signals(false);
	else if (text_starts(command, "--recover") ||
	         text_starts(command, "--take-"))
		block_signals(true);
	if (text_equal(command, "run"))
		return run(argc - 2, argv + 2);
	if (text_equal(command, "help") && argc > 2 &&
	    text_equal(argv[2], "run"))
		return say(STDOUT_FILENO, run_help, EXIT_PASSED);
	/* The init and its own children: they have the environment of PID 1,
	 * what workers say, the plan. No core dump, and nobody of the same user
	 * looks into them. */
	if (text_starts(command, "--"))
		(void)prctl(PR_SET_DUMPABLE, 0);
	if (text_equal(command, "--logger"))
		return logger_main(argc - 2, argv + 2);
	if (text_equal(command, "--writer"))
		return writer_main(argc - 2, argv + 2);
	if (text_starts(command, "--recover-run="))
		return oneshot_recover(
		    strchr(command, '=') + 1, argc - 2, argv + 2);
	if (text_equal(command, "--recover"))
		return init_recover(argc - 2, argv + 2);
	if (text_equal(command, "--recover-drain"))
		return init_recover_drain(argc - 2, argv + 2);
	if (text_equal(command, "--take-over"))
		return init_take_over(argc - 2, argv + 2);
	if (text_equal(command, "--take-back"))
		return init_take_back(argc - 2, argv + 2);
	if (text_equal(command, "--state"))
		return state_say();
	if (text_equal(command, "--guard"))
		return guard_main(argc - 2, argv + 2);
	if (text_equal(command, "--live"))
		return live_main();
	if (text_equal(command, "--probe"))
		return probe_main(argc - 2, argv + 2);
	if (text_equal(command, "--version") || text_equal(command, "-V"))
		return say(
		    STDOUT_FILENO, "reeve " REEVE_VERSION "\n", EXIT_PASSED);
	return other_command(argv);
}
