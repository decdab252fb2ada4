/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ncurses.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/top.h"
#include "cli/top_screen.h"
#include "supervisor/wire/logs_client.h"

/* The screen of `reeve top`. Curses sends only what has changed, so a slow line
 * will do. */
enum {
	QUEUES_SHOWN = 6,
	TROUBLES_SHOWN = 4,
	LOG_LINES_MAX = 200,
	LOGS_MS = 500,
	/* Narrower ones have no room for pid and memory beside the note, and
	 * those below for the note alone: why a replica isn't ready counts most
	 */
	COLUMNS_WIDE = 100,
	COLUMNS_NARROW = 70,
	HEAD_NAME =
	    18, /* of the system's name and the gap behind it: at least */
	HEAD_STATE = 76, /* what follows, with the time */
	/* On a narrow one: of the name at least; of what follows */
	HEAD_NAME_LEAST = 8,
	HEAD_SHORT = 32,
	NAME_WIDTH = 24, /* at least; more where there is room */
	NAME_LEAST = 12, /* below COLUMNS_SMALL */
	COLUMNS_SMALL = 60,
	WORKERS_LEAST = 3, /* lines that queues and alerts leave to workers */
	STATE_WIDTH = 10,
};

static const char HELP[] =
    "Up, Down, PgUp, PgDn   select          o  order by the next column\n"
    "/                      filter          l  the last lines of the replica\n"
    "r  restart the replica                 R  restart the whole worker, one\n"
    "s  stop the worker                        replica after the other\n"
    "t  start it again                      +, -  one replica more or fewer\n"
    "q  quit                                h, ?  this\n"
    "\n"
    "Everything that changes something asks first.";

/* --- drawing ----------------------------------------------------------------
 */

/* A number, or "?" where it isn't known. */
static const char *
number_text(int64_t number, char dst[32])
{
	if (number == TOP_UNKNOWN)
		return "?";
	(void)snprintf(dst, 32, "%" PRId64, number);
	return dst;
}

static const char *
duration_text(int64_t ms, char dst[32])
{
	return ms == TOP_UNKNOWN ? "-" : text_ms_for_people(ms, dst, 32);
}

static const char *
memory_text(int64_t bytes, char dst[32])
{
	if (bytes == TOP_UNKNOWN)
		return "-";
	(void)snprintf(dst, 32, "%.1f MiB", (double)bytes / (1 << 20));
	return dst;
}

/* The time, where it doesn't come too near. */
static void
draw_time(int end)
{
	char now[CLOCK_TEXT_SIZE];

	if (end + 2 <= COLS - 9)
		screen_format(0, COLS - 9, 9, "%.8s",
		    clock_text(clock_wall_ms(), now) + 11);
}

/* How many are ready and what is wrong come first where not all has room. */
static int
draw_head(const struct top *top)
{
	const struct top_model *model = &top->model;
	bool good = model->ready >= model->desired && model->ntroubles == 0;
	bool narrow = COLS < COLUMNS_NARROW;
	const char *name = model->name == NULL ? "reeve" : model->name;
	const char *state = model->state == NULL ? "?" : model->state;
	int len = (int)strlen(name) + 2;
	int at = narrow ? MIN(len, MAX(HEAD_NAME_LEAST, COLS - HEAD_SHORT))
	                : MAX(HEAD_NAME, MIN(len, COLS - HEAD_STATE));

	(void)attron(A_BOLD);
	screen_put(0, 0, at - 2, name);
	(void)attroff(A_BOLD);
	screen_paint(top, good ? COLOUR_GOOD : COLOUR_WARNING, true);
	screen_format(0, at, COLS - at,
	    "%s%s%s%" PRId64 " of %" PRId64 " ready   %zu alerts%sdrifts",
	    narrow ? "" : "operator ", narrow ? "" : state, narrow ? "" : "   ",
	    model->ready, model->desired, model->ntroubles,
	    narrow ? "/" : " and ");
	screen_paint(top, good ? COLOUR_GOOD : COLOUR_WARNING, false);
	draw_time(getcurx(stdscr));
	const char *trouble = top->stale[0] != '\0' ? top->stale
	                      : model->why == NULL  ? ""
	                                            : model->why;

	if (*trouble == '\0')
		return 1;
	screen_paint(top, COLOUR_BAD, true);
	screen_put(1, 0, COLS, trouble);
	screen_paint(top, COLOUR_BAD, false);
	return 2;
}

/* Of the longest name what the other columns leave room for. */
static int
name_width(const struct top *top)
{
	const struct top_model *model = &top->model;
	char label[TOP_LABEL_SIZE];
	int least =
	    MAX(NAME_LEAST, NAME_WIDTH - MAX(COLUMNS_SMALL - COLS, 0) / 2);
	size_t longest = (size_t)least;
	int spare = COLS >= COLUMNS_WIDE     ? (COLS - COLUMNS_WIDE) / 2
	            : COLS >= COLUMNS_NARROW ? (COLS - COLUMNS_NARROW) / 3
	                                     : 0;

	for (size_t i = 0; i < model->nrows; i++) {
		top_label(model->rows[i].worker, model->rows[i].replica,
		    sizeof(label), label);
		longest = MAX(longest, strlen(label));
	}
	return MIN((int)longest, least + spare);
}

enum {
	QUEUE_CELLS = 5
};

/* Those columns of a queue that there is room for as a whole. */
static void
put_queue(int y, int x, const char *const cells[QUEUE_CELLS])
{
	static const int widths[QUEUE_CELLS] = {9, 8, 7, 10, 10};

	for (size_t i = 0; i < QUEUE_CELLS && x + 1 + widths[i] <= COLS; i++) {
		screen_format(y, x + 1, widths[i], "%*s", widths[i], cells[i]);
		x += 1 + widths[i];
	}
}

static void
draw_queue(const struct top *top, int y, const struct top_queue *queue)
{
	char oldest[32];
	char label[TOP_LABEL_SIZE];
	bool bad = *queue->error != '\0' || queue->nobody;
	int x = name_width(top);

	screen_paint(top, bad ? COLOUR_BAD : COLOUR_PLAIN, true);
	top_label(queue->name, TOP_UNKNOWN, (size_t)x, label);
	screen_put(y, 0, x, label);
	if (*queue->error != '\0') {
		screen_format(
		    y, x, COLS - x, " %9s  %s", queue->waiting, queue->error);
	} else {
		const char *const cells[QUEUE_CELLS] = {queue->waiting,
		    queue->active, queue->dead, queue->consumers,
		    duration_text(queue->oldest_ms, oldest)};
		put_queue(y, x, cells);
	}
	screen_paint(top, bad ? COLOUR_BAD : COLOUR_PLAIN, false);
}

/* Lines of the screen: with the title, and that there are more. */
static int
queue_lines(const struct top_model *model, int queues)
{
	return queues == 0 ? 0 : queues + 1 + (model->nqueues > (size_t)queues);
}

/* How many queues and alerts are shown below line `y`, so that some workers are
 * on any screen: first all alerts but one give way, then queues. */
static void
share(const struct top *top, int y, int *ret_queues, int *ret_troubles)
{
	const struct top_model *model = &top->model;
	int queues = (int)MIN(model->nqueues, (size_t)QUEUES_SHOWN);
	int troubles = (int)MIN(model->ntroubles, (size_t)TROUBLES_SHOWN);
	/* beside the workers' title and the last line */
	int room =
	    LINES - y - 2 - (int)MIN(model->nshown, (size_t)WORKERS_LEAST);

	while (troubles > 1 && queue_lines(model, queues) + troubles > room)
		troubles--;
	while (queues > 0 && queue_lines(model, queues) + troubles > room)
		queues--;
	*ret_queues = queues;
	*ret_troubles = MIN(troubles, MAX(room, 0));
}

static int
draw_queues(const struct top *top, int y, int count)
{
	static const char *const titles[QUEUE_CELLS] = {
	    "WAITING", "ACTIVE", "DEAD", "CONSUMERS", "OLDEST"};
	const struct top_model *model = &top->model;

	if (count == 0)
		return y;
	screen_title(y, "QUEUE");
	(void)attron(A_REVERSE);
	put_queue(y++, name_width(top), titles);
	(void)attroff(A_REVERSE);
	for (int i = 0; i < count; i++)
		draw_queue(top, y++, &model->queues[i]);
	if (model->nqueues > (size_t)count)
		screen_format(y++, 0, COLS, "… and %zu more",
		    model->nqueues - (size_t)count);
	return y;
}

static void
draw_row(const struct top *top, int y, const struct top_row *row, bool selected)
{
	char number[32], restarts[32], age[32], memory[32];
	char label[TOP_LABEL_SIZE];
	enum colour colour = row->ready ? COLOUR_GOOD : COLOUR_BAD;
	int width = name_width(top);
	int x = 2 + width + 1; /* of the state, then of what follows it */

	top_label(row->worker, row->replica, (size_t)width, label);
	screen_format(y, 0, 1, "%s", selected ? ">" : " ");
	if (selected)
		(void)attron(A_BOLD);
	screen_put(y, 2, MIN(width, COLS - 2), label);
	screen_paint(top, colour, true);
	screen_format(y, x, MIN(STATE_WIDTH, COLS - x), "%s", row->state);
	screen_paint(top, colour, false);
	x += STATE_WIDTH + 1;
	(void)snprintf(restarts, sizeof(restarts), "%s",
	    row->restarts == TOP_UNKNOWN ? "-"
	                                 : number_text(row->restarts, number));
	if (COLS >= COLUMNS_WIDE)
		screen_format(y, x, COLS - x, "%8s %8s  %-11s %-10s  %s",
		    row->pid <= 0 ? "-" : number_text(row->pid, number),
		    restarts, duration_text(row->age_ms, age),
		    memory_text(row->memory_bytes, memory), row->note);
	else if (COLS >= COLUMNS_NARROW)
		screen_format(y, x, COLS - x, "%8s  %-11s %s", restarts,
		    duration_text(row->age_ms, age), row->note);
	else
		screen_put(y, x, COLS - x, row->note);
	if (selected)
		(void)attroff(A_BOLD);
}

/* Keeps the selection in sight. */
static void
scroll_to(struct top *top, size_t room)
{
	size_t count = top->model.nshown;

	if (count > 0 && top->at >= count)
		top->at = count - 1;
	if (count == 0)
		top->at = 0;
	if (top->at < top->first)
		top->first = top->at;
	if (room > 0 && top->at >= top->first + room)
		top->first = top->at - room + 1;
}

static void
draw_workers(struct top *top, int y, int bottom)
{
	char title[CELL_MAX], by[CELL_MAX];
	size_t room = bottom > y + 1 ? (size_t)(bottom - y - 1) : 0;

	int len = snprintf(title, sizeof(title), "  %-*s STATE      %s",
	    name_width(top), "WORKER",
	    COLS >= COLUMNS_WIDE ? "     PID RESTARTS  AGE         MEMORY      "
	    : COLS >= COLUMNS_NARROW ? "RESTARTS  AGE         "
	                             : "");
	(void)snprintf(by, sizeof(by), "(by %s%s%s)", top_sort_name(top->sort),
	    top->filter[0] == '\0' ? "" : ", /", top->filter);
	if (len + (int)strlen(by) <= COLS)
		(void)snprintf(
		    title + len, sizeof(title) - (size_t)len, "%s", by);
	screen_title(y++, title);
	scroll_to(top, room);
	for (size_t i = 0; i < room && top->first + i < top->model.nshown; i++)
		draw_row(top, y + (int)i, &top->model.rows[top->first + i],
		    top->first + i == top->at);
	if (top->model.nshown == 0 && room > 0)
		screen_put(y, 2, COLS - 2,
		    top->filter[0] == '\0' ? "no worker is known"
		                           : "nothing matches the filter");
}

static int
draw_troubles(const struct top *top, int bottom, int count)
{
	const struct top_model *model = &top->model;
	int y = bottom - count;

	for (int i = 0; i < count; i++) {
		screen_paint(top, COLOUR_WARNING, true);
		screen_format(y + i, 0, COLS, "! %-8s %s%s",
		    model->troubles[i].severity, model->troubles[i].text,
		    i + 1 == count && model->ntroubles > (size_t)count
		        ? "  (and more: reeve status)"
		        : "");
		screen_paint(top, COLOUR_WARNING, false);
	}
	return y;
}

static void
draw_foot(const struct top *top)
{
	if (top->mode == MODE_FILTER)
		screen_format(LINES - 1, 0, COLS, "filter: %s_", top->filter);
	else if (top->said[0] != '\0')
		screen_put(LINES - 1, 0, COLS, top->said);
	else
		screen_put(LINES - 1, 0, COLS,
		    "h help  q quit  r restart  R roll  s stop  t start  "
		    "+ - scale  l logs  o order  / filter");
}

static void
draw_help(void)
{
	const char *at = HELP;

	screen_title(0, "reeve top");
	for (int y = 2; *at != '\0'; y++) {
		char line[CELL_MAX];
		size_t len = strcspn(at, "\n");
		(void)snprintf(line, sizeof(line), "%.*s", (int)len, at);
		screen_put(y, 2, COLS - 2, line);
		at += len + (at[len] == '\n' ? 1 : 0);
	}
	screen_put(LINES - 1, 0, COLS, "any key: back");
}

/* The last lines, asked for anew each time: a ring of as many as fit. */
static void
draw_logs(struct top *top)
{
	static char lines[LOG_LINES_MAX][CELL_MAX];
	struct logs_record record;
	static char text[LOGS_TEXT_MAX];
	struct err err = ERR_INIT;
	size_t count = 0;
	size_t room = (size_t)MAX(MIN(LINES - 2, (int)LOG_LINES_MAX), 1);
	struct logs_request request = {.magic = LOGS_MAGIC,
	    .tail = (uint32_t)room,
	    .replica = top->replica};

	screen_title(0, top->worker);
	screen_put(LINES - 1, 0, COLS, "any key: back");
	(void)snprintf(
	    request.worker, sizeof(request.worker), "%s", top->worker);
	int fd = logs_connect(
	    &top->client.logs, top->client.logs_len, &request, LOGS_MS, &err);

	if (fd == -1) {
		screen_put(1, 0, COLS, err.text);
		return;
	}
	while (logs_next(fd, &record, text, LOGS_MS, &err) > 0)
		(void)snprintf(lines[count++ % room], CELL_MAX,
		    "%" PRIu32 " %.*s", record.replica,
		    (int)MIN(record.len, (uint32_t)CELL_MAX), text);
	(void)close(fd);
	size_t kept = MIN(count, room);

	for (size_t i = 0; i < kept; i++)
		screen_put(
		    1 + (int)i, 0, COLS, lines[(count - kept + i) % room]);
	if (count == 0)
		screen_put(1, 0, COLS, "it has written nothing");
}

void
top_draw(struct top *top)
{
	(void)erase();
	if (top->mode == MODE_HELP) {
		draw_help();
	} else if (top->mode == MODE_LOGS) {
		draw_logs(top);
	} else {
		int queues = 0, troubles = 0;
		int y = draw_head(top);
		share(top, y, &queues, &troubles);
		y = draw_queues(top, y, queues);
		draw_workers(top, y, draw_troubles(top, LINES - 1, troubles));
		draw_foot(top);
	}
	(void)refresh();
}
