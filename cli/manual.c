/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "cli/parse.h"

/* roff takes '\', and '.' or '\'' at the start of a line, for itself. */
static void
roff(struct buffer *out, const char *text)
{
	bool line_start = true;

	for (; *text != '\0'; text++) {
		if (line_start && (*text == '.' || *text == '\''))
			buffer_text(out, "\\&");
		if (*text == '\\')
			buffer_text(out, "\\e");
		else if (*text == '-')
			buffer_text(out, "\\-");
		else
			buffer_append(out, text, 1);
		line_start = *text == '\n';
	}
}

static void
command(struct buffer *out, const struct cli_command *c)
{
	struct buffer help;

	buffer_init(&help, (size_t)64 << 10);
	cli_help(c, &help);
	buffer_text(out, ".SS ");
	roff(out, c->name);
	buffer_text(out, "\n.nf\n");
	roff(out, help.data);
	buffer_text(out, ".fi\n");
	buffer_fini(&help);
}

static const char head[] =
    ".\\\" Made by `reeve help --manual`; a test holds them together.\n"
    ".TH REEVE 1 \"\" \"reeve\" \"User Commands\"\n"
    ".SH NAME\n"
    "reeve \\- supervise queue workers, verify deployments, diagnose queues\n"
    ".SH SYNOPSIS\n"
    ".nf\n"
    "reeve run [\\-f FILE | \\-\\-plan FILE]\n"
    "reeve run [\\-g | \\-c] [\\-svw] [\\-e CODE] [\\-p SIGNAL] [\\-r S:D]\n"
    "    [\\-\\-grace DURATION] \\-\\- CMD [ARG...]\n"
    "reeve COMMAND [OPTION...]\n"
    ".fi\n"
    ".SH DESCRIPTION\n"
    "reeve answers one question: is the queue really being drained, by the\n"
    "workers we meant to deploy, with the configuration we meant them to\n"
    "have? One manifest, reeve.yaml, says what should be there.\n"
    ".PP\n"
    "reeve run is the supervisor: process 1 of a container, or a subreaper.\n"
    "With a command behind \\-\\- it needs no manifest and is a correct init\n"
    "for that command. All other commands look, judge, or speak to it.\n"
    ".SS reeve run [OPTION...] \\-\\- CMD [ARG...]\n"
    "Takes the options of tini and dumb\\-init, with their meaning:\n"
    ".nf\n"
    "  \\-g                     signals go to CMD's process group\n"
    "  \\-c, \\-\\-single\\-child     to CMD alone; that is so without \\-g\n"
    "  \\-r, \\-\\-rewrite S:D      when signal S comes, send D; 0 drops S\n"
    "  \\-e CODE                this exit code becomes 0; repeatable\n"
    "  \\-p SIGNAL              sent to reeve when its parent ends, and to\n"
    "                         CMD when reeve ends\n"
    "  \\-s                     accepted; reeve always adopts orphans\n"
    "  \\-v, \\-\\-verbose          say what is done; \\-vv orphans too\n"
    "  \\-w                     say each orphan that is reaped\n"
    "  \\-\\-grace DURATION       what CMD left behind has so long: 5s\n"
    ".fi\n"
    ".SH COMMANDS\n";

static const char tail[] =
    ".SH EXIT STATUS\n"
    ".nf\n"
    "  0  every required check passed\n"
    "  1  at least one failure; diff: something differs; diagnose: a root\n"
    "     cause was found\n"
    "  2  only warnings, and \\-\\-strict was given\n"
    "  3  inconclusive: a required check is unknown, or no smoke ran\n"
    "  4  nothing matched, or no check ran\n"
    " 64  usage\n"
    " 65  bad input data\n"
    " 69  the target was unreachable before any check\n"
    " 70  a bug in reeve\n"
    " 75  try again later\n"
    " 78  invalid manifest\n"
    "124  the deadline of the whole run was hit\n"
    ".fi\n"
    ".PP\n"
    "reeve run ends with 0 after a clean stop; reeve run \\-\\- CMD with CMD's\n"
    "own status, or 128 + the signal that ended it.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n"
    "REEVE_SOCKET\n"
    "directory of the sockets and of the state; default /run/reeve/NAME,\n"
    "then $XDG_RUNTIME_DIR/reeve/NAME, then an abstract socket.\n"
    ".TP\n"
    "NO_COLOR\n"
    "no colour in output.\n"
    ".SH FILES\n"
    ".TP\n"
    "reeve.yaml\n"
    "the manifest; docs/manifest.md describes every key.\n";

void
cli_manual(struct buffer *out)
{
	buffer_text(out, head);
	for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
		if (!c->hidden)
			command(out, c);
	buffer_text(out, tail);
}
