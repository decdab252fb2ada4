/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <ncurses.h>

#include "cli/top.h"
#include "cli/top_screen.h"

enum {
	ESCAPE_MS = 25
};

void
screen_put(int y, int x, int width, const char *text)
{
	wchar_t wide[CELL_MAX];
	mbstate_t state = {0};
	const char *at = text;
	int used = 0;
	size_t count = 0;

	while (*at != '\0' && used < width && count < CELL_MAX - 1) {
		wchar_t one = L'?';
		size_t len = mbrtowc(&one, at, strlen(at), &state);
		if (len == (size_t)-1 || len == (size_t)-2) {
			len = 1;
			one = L'?';
			state = (mbstate_t){0};
		}
		int columns = wcwidth(one);
		if (columns < 0) {
			one = L'?';
			columns = 1;
		}
		if (used + columns > width)
			break;
		wide[count++] = one;
		used += columns;
		at += len;
	}
	wide[count] = L'\0';
	if (y >= 0 && y < LINES)
		(void)mvaddwstr(y, x, wide);
}

void
screen_format(int y, int x, int width, const char *fmt, ...)
{
	char text[CELL_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	screen_put(y, x, width, text);
}

void
screen_paint(const struct top *top, enum colour colour, bool on)
{
	chtype how = top->cli->color ? COLOR_PAIR(colour) : A_NORMAL;

	if (!top->cli->color && colour != COLOUR_PLAIN && colour != COLOUR_GOOD)
		how = A_BOLD;
	if (on)
		(void)attron(how);
	else
		(void)attroff(how);
}

void
screen_title(int y, const char *text)
{
	(void)attron(A_REVERSE);
	(void)mvhline(y, 0, ' ', COLS);
	screen_put(y, 0, COLS, text);
	(void)attroff(A_REVERSE);
}

void
top_screen_begin(const struct top *top)
{
	if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX == 1)
		(void)setlocale(LC_CTYPE, "C.UTF-8");
	(void)initscr();
	(void)cbreak();
	(void)noecho();
	(void)keypad(stdscr, TRUE);
	(void)curs_set(0);
	(void)set_escdelay(ESCAPE_MS);
	if (!top->cli->color || start_color() == ERR)
		return;
	(void)use_default_colors();
	(void)init_pair(COLOUR_GOOD, COLOR_GREEN, -1);
	(void)init_pair(COLOUR_BAD, COLOR_RED, -1);
	(void)init_pair(COLOUR_WARNING, COLOR_YELLOW, -1);
}

void
top_screen_end(void)
{
	(void)endwin();
}
