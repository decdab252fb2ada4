/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_TOP_SCREEN_H
#define REEVE_CLI_TOP_SCREEN_H

#include "base/base.h"
#include "cli/top.h"

/* What the screen of `reeve top` is written with: cut to a width in columns,
 * nothing outside of the screen. */
enum {
	CELL_MAX = 512 /* of a text, with its end */
};

enum colour {
	COLOUR_PLAIN = 0,
	COLOUR_GOOD,
	COLOUR_BAD,
	COLOUR_WARNING,
};

/* The terminal becomes the screen, until top_screen_end. */
void top_screen_begin(const struct top *top);
void top_screen_end(void);
/* What a terminal could take for a command is shown as '?'. */
void screen_put(int y, int x, int width, const char *text);
void screen_format(int y, int x, int width, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* A whole line, reversed. */
void screen_title(int y, const char *text);
/* What is written between on and off; bold where there are no colours. */
void screen_paint(const struct top *top, enum colour colour, bool on);

#endif
