/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>

#include "base/buffer.h"
#include "base/text.h"
#include "base/url.h"
#include "cli/control.h"
#include "cli/queue_moving.h"
#include "cli/queue_peek.h"

enum {
	LIMIT_DEFAULT = 100,
	ANSWER_MAX = 64 << 10,
};

const struct move_verb queue_move_requeue = {.name = "requeue",
    .from = PART_DEAD,
    .what = "dead letters",
    .one = "dead letter"};
const struct move_verb queue_move_reclaim = {.name = "reclaim",
    .from = PART_EXPIRED,
    .what = "expired claims",
    .one = "expired claim"};

/* --- what there is, and what of it is to be moved --------------------------
 */

static int
read_options(struct moving *moving)
{
	struct cli *cli = moving->rows.cli;

	for (size_t i = 0; i < cli->nvalues; i++) {
		if (text_equal(cli->values[i].name, "id"))
			moving->asked[moving->nasked++] = cli->values[i].value;
	}
	moving->yes = cli_flag(cli, "yes");
	moving->force = cli_flag(cli, "force");
	return cli_number(
	    cli, "limit", 1, QUEUE_MOVE_MAX, LIMIT_DEFAULT, &moving->limit);
}

static bool
is_found(const struct moving *moving, const char *id)
{
	for (size_t i = 0; i < moving->nfound; i++) {
		if (text_equal(moving->found[i].id, id))
			return true;
	}
	return false;
}

/* One that is asked for by its id may lie beyond what one look shows. */
static void
add_unseen(struct moving *moving, bool whole)
{
	for (size_t i = 0; i < moving->nasked && !whole; i++) {
		if (is_found(moving, moving->asked[i]))
			continue;
		moving->found[moving->nfound++] =
		    storm_unseen(moving->asked[i]);
	}
}

static int
look(struct moving *moving)
{
	struct cli *cli = moving->rows.cli;
	const struct queue_row *row = &moving->rows.all[0];
	int code = queue_rows_ask(&moving->rows, &cli->arena, "observe",
	    &(struct request_more){.alone = true});

	if (code != 0)
		return code;
	if (queue_row_readable(row))
		moving->state = row->seen->queue;
	code = queue_rows_ask(&moving->rows, &cli->arena, "list",
	    &(struct request_more){.part = queue_part_name(moving->verb->from),
	        .limit = QUEUE_MOVE_MAX});
	if (code != 0)
		return code;
	const char *error = queue_row_error(row);

	if (error != NULL || row->seen->jobs == NULL)
		return cli_fail(cli,
		    row->seen != NULL &&
		            text_equal(row->seen->code, "unsupported")
		        ? EXIT_NOTHING
		        : EXIT_INCONCLUSIVE,
		    "%s: %s", row->queue.name,
		    error != NULL ? error : "no jobs in the answer");
	const struct queue_page *page = &row->seen->jobs->page;

	moving->total = page->total;
	moving->found = arena_array(&cli->arena,
	    page->count + moving->nasked + 1, sizeof(*moving->found));
	for (; moving->nfound < page->count; moving->nfound++)
		moving->found[moving->nfound] =
		    queue_item_clean(cli, &page->items[moving->nfound]);
	add_unseen(moving, page->total.know == KNOW_EXACT &&
	                       page->total.value <= (int64_t)page->count);
	return 0;
}

static void
choose(struct moving *moving)
{
	storm_choose(&moving->rows.cli->arena,
	    &(struct storm_question){.found = moving->found,
	        .nfound = moving->nfound,
	        .asked = moving->asked,
	        .nasked = moving->nasked,
	        .limit = (size_t)moving->limit,
	        .force = moving->force,
	        .before = moving->history.jobs,
	        .nbefore = moving->history.count},
	    &moving->choice);
}

/* --- moving ----------------------------------------------------------------
 */

static const char *const *
ids_of(struct arena *arena, const struct queue_item *items, size_t count)
{
	const char **ids = arena_array(arena, count + 1, sizeof(*ids));

	for (size_t i = 0; i < count; i++)
		ids[i] = items[i].id;
	return ids;
}

/* The server may have done it before it fell silent: which of them are where
 * they were? */
static int
look_again(struct moving *moving)
{
	struct cli *cli = moving->rows.cli;
	const struct queue_row *row = &moving->rows.all[0];
	const char **still = arena_array(
	    &cli->arena, moving->choice.nchosen + 1, sizeof(*still));
	int code = queue_rows_ask(&moving->rows, &cli->arena, "list",
	    &(struct request_more){.part = queue_part_name(moving->verb->from),
	        .limit = QUEUE_MOVE_MAX});

	moving->moved = still;
	if (code != 0 || queue_row_error(row) != NULL ||
	    row->seen->jobs == NULL)
		return code;
	moving->looked_again = true;
	for (size_t i = 0; i < row->seen->jobs->page.count; i++) {
		const char *id = row->seen->jobs->page.items[i].id;

		for (size_t k = 0; k < moving->choice.nchosen; k++) {
			if (text_equal(moving->choice.chosen[k].id, id)) {
				still[moving->nmoved++] =
				    moving->choice.chosen[k].id;
				break;
			}
		}
	}
	return 0;
}

static bool
was_never_asked(const struct observation *seen)
{
	for (size_t i = 0; i < seen->nfacts; i++) {
		if (text_equal(seen->facts[i].key, "asked"))
			return text_equal(seen->facts[i].value, "no");
	}
	return false;
}

static int
ask_to_move(struct moving *moving)
{
	struct cli *cli = moving->rows.cli;
	const struct queue_row *row = &moving->rows.all[0];
	int code = queue_rows_ask(&moving->rows, &cli->arena, "move",
	    &(struct request_more){.part = queue_part_name(moving->verb->from),
	        .ids = ids_of(
	            &cli->arena, moving->choice.chosen, moving->choice.nchosen),
	        .nids = moving->choice.nchosen,
	        .force = moving->force});

	if (code != 0)
		return code;
	const struct observation *seen = row->seen;

	moving->outcome = OUTCOME_UNKNOWN;
	moving->why = queue_row_error(row);
	if (moving->why == NULL && seen->moved != NULL) {
		moving->outcome = OUTCOME_MOVED;
		moving->moved = seen->moved->ids;
		moving->moved_as = seen->moved->as;
		moving->nmoved = seen->moved->count;
		return 0;
	}
	if (moving->why == NULL)
		moving->why = "the answer doesn't say what was moved";
	if (seen != NULL &&
	    (seen->result == RESULT_FAILED || was_never_asked(seen) ||
	        text_equal(seen->code, "unsupported"))) {
		moving->outcome = OUTCOME_REFUSED;
		return 0;
	}
	return look_again(moving);
}

/* The supervisor whose queue it is remembers it among its events. That none
 * runs here, or doesn't answer, changes nothing: the log has it. */
static void
tell_supervisor(const struct moving *moving)
{
	struct cli *cli = moving->rows.cli;
	struct control_client client = {.init = WIRE_CLIENT_INIT};
	struct buffer answer;
	struct err err = ERR_INIT;
	bool running = false;

	if (!moving->by_name || control_find(cli, &client, &running) != 0 ||
	    !running)
		return;
	const char *text =
	    arena_format(&cli->arena, "%zu of %zu were moved back%s (%s)",
	        moving->outcome == OUTCOME_MOVED ? moving->nmoved : 0,
	        moving->choice.nchosen,
	        moving->outcome == OUTCOME_UNKNOWN ? ", or not: no answer came"
	                                           : "",
	        moving->move);
	const char *path =
	    arena_format(&cli->arena, "/moved?queue=%s&verb=%s&text=%s",
	        url_encode(&cli->arena, moving->rows.all[0].queue.name),
	        moving->verb->name, url_encode(&cli->arena, text));

	buffer_init(&answer, ANSWER_MAX);
	(void)!control_ask(cli, &client, "POST", path, &answer, &err);
	buffer_fini(&answer);
	control_close(&client);
}

static int
act(struct moving *moving)
{
	struct cli *cli = moving->rows.cli;
	struct err err = ERR_INIT;

	queue_nonce(moving->move);
	struct move_entry entry = {.move = moving->move,
	    .verb = moving->verb->name,
	    .queue = moving->key,
	    .forced = moving->force,
	    .items = moving->choice.chosen,
	    .nitems = moving->choice.nchosen};

	if (move_log_begun(&moving->log, &entry, &err) == -1)
		return cli_fail(
		    cli, EXIT_BUG, "nothing was moved: %s", err.text);
	int code = ask_to_move(moving);

	if (code != 0)
		return code;
	entry.outcome = moving->outcome == OUTCOME_MOVED     ? MOVE_MOVED
	                : moving->outcome == OUTCOME_REFUSED ? MOVE_REFUSED
	                                                     : MOVE_UNKNOWN;
	entry.ids = moving->moved;
	entry.as = moving->moved_as;
	entry.nids = moving->nmoved;
	entry.error = moving->why;
	if (move_log_ended(&moving->log, &entry, &err) == -1)
		return cli_fail(cli, EXIT_BUG, "%zu moved, but %s",
		    moving->outcome == OUTCOME_MOVED ? moving->nmoved : 0,
		    err.text);
	if (moving->outcome != OUTCOME_REFUSED)
		tell_supervisor(moving);
	return 0;
}

static int
exit_code_of(const struct moving *moving)
{
	switch (moving->outcome) {
	case OUTCOME_NOTHING:
		if (moving->nasked > 0 && moving->choice.nheld == 0)
			return EXIT_NOTHING;
		break;
	case OUTCOME_DRY_RUN:
	case OUTCOME_MOVED:
		break;
	case OUTCOME_REFUSED:
		return EXIT_FAILED;
	case OUTCOME_UNKNOWN:
		return EXIT_INCONCLUSIVE;
	}
	return moving->choice.nheld > 0 ? EXIT_FAILED : EXIT_PASSED;
}

/* A crash of ours between the two lines of a move. */
static void
warn_of_open(const struct moving *moving)
{
	for (size_t i = 0; i < moving->history.nopen; i++) {
		const struct open_move *open = &moving->history.open[i];

		(void)cli_fail(moving->rows.cli, 0,
		    "a move of %" PRId64
		    " jobs that began at %s has no end in '%s' (%s): those "
		    "that are still %s were not moved",
		    open->jobs, open->at, moving->log.path, open->move,
		    moving->verb->what);
	}
}

static int
move_locked(struct moving *moving)
{
	struct cli *cli = moving->rows.cli;
	struct err err = ERR_INIT;

	if (move_log_read(&moving->log, &cli->arena, moving->key,
	        &moving->history, &err) == -1)
		return cli_fail(cli, EXIT_BUG, "%s", err.text);
	warn_of_open(moving);
	int code = look(moving);

	if (code != 0)
		return code;
	choose(moving);
	moving->outcome =
	    moving->choice.nchosen == 0 ? OUTCOME_NOTHING : OUTCOME_DRY_RUN;
	if (moving->yes && moving->choice.nchosen > 0)
		code = act(moving);
	if (code == 0)
		code = queue_output(
		    cli, moving, queue_moving_json, queue_moving_text);
	return code != 0 ? code : exit_code_of(moving);
}

static int
open_log(struct moving *moving)
{
	struct cli *cli = moving->rows.cli;
	const char *path = NULL;
	struct err err = ERR_INIT;
	int rc = move_log_path(&cli->arena, cli_value(cli, "log"), &path, &err);

	if (rc == 0 && moving->yes)
		rc = move_log_lock(
		    &cli->arena, path, cli->deadline_ms, &moving->log, &err);
	else if (rc == 0)
		rc = move_log_open(path, &moving->log, &err);
	if (rc == 0)
		return 0;
	return cli_fail(cli,
	    err.kind == ERR_INPUT     ? EXIT_USAGE
	    : err.kind == ERR_TIMEOUT ? EXIT_AGAIN
	                              : EXIT_BUG,
	    "%s", err.text);
}

int
queue_move_jobs(
    struct cli *cli, const struct move_verb *verb, int argc, char **argv)
{
	struct moving moving = {.rows = {.cli = cli}, .verb = verb};

	moving.log.fd = -1;
	if (read_options(&moving) == -1)
		return EXIT_USAGE;
	int code = queue_rows_one(&moving.rows, argc, argv);

	if (code != 0)
		return code;
	moving.by_name = !queue_is_url(argv[0]);
	moving.key = move_log_key(&cli->arena, &moving.rows.all[0].queue);
	code = open_log(&moving);
	if (code == 0)
		code = move_locked(&moving);
	move_log_close(&moving.log);
	return code;
}
