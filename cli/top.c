/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <ncurses.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/top.h"
#include "cli/top_screen.h"

/* `reeve top`: the status, live, on a terminal, and keys to do something about
 * it. */
enum {
	REFRESH_MS = 1000,
	ANSWER_MS = 4000, /* the operator, then the init */
	STATUS_MAX = 64 << 20,
	KEY_ESCAPE = 27,
	PAGE = 10,
};

/* --- looking
 * ------------------------------------------------------------------ */

/* What can't be had leaves what is shown, and says since when it is old. */
static void
look(struct top *top)
{
	struct err err = ERR_INIT;
	struct buffer answer;

	buffer_init(&answer, STATUS_MAX);
	top->cli->deadline_ms = clock_after(clock_ms(), ANSWER_MS);
	int status = control_ask(
	    top->cli, &top->client, "GET", "/status", &answer, &err);
	bool alone = status != 200;

	if (alone) {
		buffer_clear(&answer);
		(void)snprintf(top->stale, sizeof(top->stale),
		    "%s; this is what the init knows by itself",
		    status == -1 ? err.text : "the operator has no status");
	}
	if ((alone && control_init_status(
	                  top->cli, &top->client, &answer, &err) == -1) ||
	    top_model_read(&top->model, answer.data, answer.len,
	        clock_wall_ms(), &err) == -1)
		(void)snprintf(top->stale, sizeof(top->stale),
		    "nobody answers (%s): what is shown is old", err.text);
	else if (!alone)
		top->stale[0] = '\0';
	buffer_fini(&answer);
	top_model_arrange(&top->model, top->sort, top->filter);
}

/* --- doing
 * -------------------------------------------------------------------- */

static const struct top_row *
selected(const struct top *top)
{
	return top->at < top->model.nshown ? &top->model.rows[top->at] : NULL;
}

static int64_t
desired_of(const struct top *top, const char *worker)
{
	int64_t count = 0;

	for (size_t i = 0; i < top->model.nrows; i++)
		count += top->model.rows[i].replica != TOP_UNKNOWN &&
		         text_equal(top->model.rows[i].worker, worker);
	return count;
}

/* `key` means something: the question is put. */
static bool
propose(struct top *top, int key)
{
	static const struct {
		int key;
		const char *path, *word;
		bool whole; /* the worker, not the replica */
		int more;   /* replicas */
	} keys[] = {
	    {'r', "/restart", "restart", false, 0},
	    {'R', "/restart", "restart", true, 0},
	    {'s', "/stop", "stop", true, 0},
	    {'t', "/start", "start", true, 0},
	    {'+', "/scale", "scale", true, 1},
	    {'-', "/scale", "scale", true, -1},
	};
	const struct top_row *row = selected(top);

	for (size_t i = 0; row != NULL && i < ARRAY_LEN(keys); i++) {
		if (keys[i].key != key)
			continue;
		bool whole = keys[i].whole || row->replica == TOP_UNKNOWN;
		int64_t to = desired_of(top, row->worker) + keys[i].more;
		char what[32] = "";
		(void)snprintf(
		    top->worker, sizeof(top->worker), "%s", row->worker);
		top->order = (struct control_order){.path = keys[i].path,
		    .worker = top->worker,
		    .replica =
		        whole ? WIRE_ALL_REPLICAS : (int32_t)row->replica,
		    .value = keys[i].more == 0 ? -1 : MAX(to, (int64_t)0)};
		if (keys[i].more != 0)
			(void)snprintf(what, sizeof(what), " to %" PRId64,
			    top->order.value);
		else if (!whole)
			(void)snprintf(
			    what, sizeof(what), "/%" PRId64, row->replica);
		(void)snprintf(top->said, sizeof(top->said),
		    "%s %s%s?  y: yes, any other key: no", keys[i].word,
		    top->worker, what);
		top->mode = MODE_CONFIRM;
		return true;
	}
	return false;
}

static void
act(struct top *top)
{
	struct err err = ERR_INIT;
	struct buffer answer;

	buffer_init(&answer, STATUS_MAX);
	top->cli->deadline_ms = clock_after(clock_ms(), ANSWER_MS);
	int status =
	    control_order(top->cli, &top->client, &top->order, &answer, &err);
	cJSON *json = status == -1
	                  ? NULL
	                  : cJSON_ParseWithLength(answer.data, answer.len);
	const cJSON *text = cJSON_GetObjectItemCaseSensitive(json, "text");

	(void)snprintf(top->said, sizeof(top->said), "%s %s: %s",
	    top->order.path + 1, top->order.worker,
	    status == -1           ? err.text
	    : cJSON_IsString(text) ? text->valuestring
	                           : "no readable answer");
	cJSON_Delete(json);
	buffer_fini(&answer);
}

/* --- keys
 * --------------------------------------------------------------------- */

static void
key_filter(struct top *top, int key)
{
	size_t len = strlen(top->filter);

	if (key == KEY_ESCAPE)
		top->filter[0] = '\0';
	if (key == KEY_ESCAPE || key == '\n' || key == KEY_ENTER)
		top->mode = MODE_LIST;
	else if ((key == KEY_BACKSPACE || key == 127 || key == '\b') && len > 0)
		top->filter[len - 1] = '\0';
	else if (key < 256 && isprint(key) && len + 1 < sizeof(top->filter))
		top->filter[len] = (char)key;
	if (key < 256 && isprint(key) && len + 1 < sizeof(top->filter))
		top->filter[len + 1] = '\0';
	top_model_arrange(&top->model, top->sort, top->filter);
}

static void
move_by(struct top *top, int by)
{
	int64_t to = (int64_t)top->at + by;

	top->at = (size_t)MAX(to, (int64_t)0);
}

static void
open_logs(struct top *top)
{
	const struct top_row *row = selected(top);

	if (row == NULL)
		return;
	(void)snprintf(top->worker, sizeof(top->worker), "%s", row->worker);
	top->replica = row->replica == TOP_UNKNOWN ? WIRE_ALL_REPLICAS
	                                           : (int32_t)row->replica;
	top->mode = MODE_LOGS;
}

static void
key_list(struct top *top, int key)
{
	top->said[0] = '\0';
	if (key == KEY_UP || key == 'k')
		move_by(top, -1);
	else if (key == KEY_DOWN || key == 'j')
		move_by(top, 1);
	else if (key == KEY_PPAGE)
		move_by(top, -PAGE);
	else if (key == KEY_NPAGE)
		move_by(top, PAGE);
	else if (key == 'q')
		top->over = true;
	else if (key == 'h' || key == '?')
		top->mode = MODE_HELP;
	else if (key == '/')
		top->mode = MODE_FILTER;
	else if (key == 'l')
		open_logs(top);
	else if (key == 'o')
		top->sort = (top->sort + 1) % TOP_SORTS;
	else
		(void)propose(top, key);
	top_model_arrange(&top->model, top->sort, top->filter);
}

static void
take_key(struct top *top, int key)
{
	if (key == KEY_RESIZE)
		return; /* curses knows already; drawn anew in any case */
	switch (top->mode) {
	case MODE_FILTER:
		key_filter(top, key);
		return;
	case MODE_CONFIRM:
		top->mode = MODE_LIST;
		top->said[0] = '\0';
		if (key == 'y')
			act(top);
		return;
	case MODE_LOGS:
	case MODE_HELP:
		top->mode = MODE_LIST;
		return;
	case MODE_LIST:
		key_list(top, key);
		return;
	}
}

/* --- life
 * --------------------------------------------------------------------- */

static void
loop(struct top *top)
{
	int64_t next_ms = 0;

	while (!top->over) {
		int64_t now_ms = clock_ms();
		if (now_ms >= next_ms) {
			look(top);
			next_ms = clock_after(clock_ms(), REFRESH_MS);
		}
		top_draw(top);
		timeout((int)MAX(next_ms - clock_ms(), (int64_t)1));
		int key = getch();
		if (key != ERR)
			take_key(top, key);
	}
}

int
cmd_top(struct cli *cli, int argc, char **argv)
{
	struct top top = {.cli = cli, .client = {.init = WIRE_CLIENT_INIT}};
	const char *terminal = getenv("TERM");

	(void)argc;
	(void)argv;
	if (isatty(STDIN_FILENO) == 0 || isatty(STDOUT_FILENO) == 0 ||
	    terminal == NULL || text_equal(terminal, "dumb")) {
		(void)cli_usage(cli, "it needs a terminal");
		cli_try("reeve status");
		return EXIT_USAGE;
	}
	int rc = control_open(cli, &top.client);

	if (rc != EXIT_PASSED)
		return rc;
	top_screen_begin(&top);
	loop(&top);
	top_screen_end();
	top_model_fini(&top.model);
	control_close(&top.client);
	return EXIT_PASSED;
}
