/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/terminal.h"

enum {
	COLUMNS_DEFAULT = 80,
	LINES_DEFAULT = 24,
};

bool
terminal_is(int fd)
{
	const char *kind = getenv("TERM");

	return isatty(fd) == 1 && kind != NULL && kind[0] != '\0' &&
	       !text_equal(kind, "dumb");
}

int
terminal_columns(int fd)
{
	struct winsize size = {0};

	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0
	           ? size.ws_col
	           : COLUMNS_DEFAULT;
}

int
terminal_lines(int fd)
{
	struct winsize size = {0};

	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0
	           ? size.ws_row
	           : LINES_DEFAULT;
}
