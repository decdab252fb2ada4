/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "base/buffer.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "cli/queue_moving.h"
#include "cli/queue_peek.h"

enum {
	SAMPLE = 3 /* jobs shown; --verbose: all */
};

static const char *const outcome_names[] = {[OUTCOME_DRY_RUN] = "dry-run",
    [OUTCOME_NOTHING] = "nothing",
    [OUTCOME_MOVED] = "moved",
    [OUTCOME_REFUSED] = "refused",
    [OUTCOME_UNKNOWN] = "unknown"};

/* NULL: not known. */
static void
write_ids(
    struct jsonw *json, const char *key, const char *const *ids, size_t count)
{
	if (ids == NULL) {
		jsonw_null(json, key);
		return;
	}
	jsonw_array(json, key);
	for (size_t i = 0; i < count; i++)
		jsonw_text(json, NULL, ids[i]);
	jsonw_end(json);
}

static void
write_held(struct jsonw *json, const struct moving *moving)
{
	jsonw_array(json, "held_back");
	for (size_t i = 0; i < moving->choice.nheld; i++) {
		const struct held_job *held = &moving->choice.held[i];

		jsonw_object(json, NULL);
		jsonw_text(json, "id", held->item->id);
		jsonw_text(json, "error", held->item->error);
		jsonw_text(json, "moved_before", held->before->id);
		jsonw_text(json, "moved_at", held->before->at);
		jsonw_end(json);
	}
	jsonw_end(json);
}

void
queue_moving_json(const void *what, struct buffer *out)
{
	const struct moving *moving = what;
	struct jsonw json;

	jsonw_init(&json, out, true);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.moves/1");
	jsonw_text(&json, "verb", moving->verb->name);
	queue_row_write(&json, &moving->rows.all[0], &moving->rows.cli->arena);
	jsonw_text(&json, "outcome", outcome_names[moving->outcome]);
	jsonw_text(&json, "why", moving->why);
	if (moving->total.know == KNOW_UNKNOWN)
		jsonw_null(&json, "total");
	else
		jsonw_i64(&json, "total", moving->total.value);
	jsonw_array(&json, "chosen");
	for (size_t i = 0; i < moving->choice.nchosen; i++)
		queue_item_write(&json, &moving->choice.chosen[i]);
	jsonw_end(&json);
	write_held(&json, moving);
	write_ids(&json, "moved",
	    moving->outcome == OUTCOME_MOVED ? moving->moved : NULL,
	    moving->nmoved);
	write_ids(&json, "moved_as", moving->moved_as, moving->nmoved);
	write_ids(&json, "still_there",
	    moving->looked_again ? moving->moved : NULL, moving->nmoved);
	jsonw_text(&json, "log", moving->log.path);
	jsonw_text(
	    &json, "move", moving->move[0] != '\0' ? moving->move : NULL);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

static void
show_target(const struct moving *moving, struct buffer *out)
{
	const struct queue_state *state = moving->state;

	if (state == NULL)
		return;
	if (state->waiting.know != KNOW_UNKNOWN)
		buffer_format(
		    out, ", where %" PRId64 " wait", state->waiting.value);
	if (state->consumers.know == KNOW_EXACT && state->consumers.value == 0)
		buffer_text(out, "; nobody consumes them");
	if (state->paused == 1)
		buffer_text(out, "; the queue is paused");
}

static void
show_held(const struct moving *moving, struct buffer *out)
{
	size_t shown =
	    moving->rows.cli->verbose ? moving->choice.nheld : SAMPLE;

	if (moving->choice.nheld == 0)
		return;
	buffer_format(out,
	    "held back: %zu that would fail again (--force moves them all the "
	    "same)\n",
	    moving->choice.nheld);
	for (size_t i = 0; i < MIN(shown, moving->choice.nheld); i++) {
		const struct held_job *held = &moving->choice.held[i];
		bool itself = text_equal(held->before->id, held->item->id);

		buffer_format(out,
		    "  %s  %s%s was moved at %s, and came back%s\n",
		    held->item->id, itself ? "it" : "job ",
		    itself ? "" : held->before->id, held->before->at,
		    held->item->error[0] != '\0' ? " with the same error:"
		                                 : "");
		if (held->item->error[0] != '\0')
			buffer_format(out, "    %s\n", held->item->error);
	}
}

static void
show_chosen(const struct moving *moving, struct buffer *out)
{
	struct cli *cli = moving->rows.cli;
	size_t shown = cli->verbose ? moving->choice.nchosen : SAMPLE;

	for (size_t i = 0; i < MIN(shown, moving->choice.nchosen); i++)
		queue_item_show(cli, &moving->choice.chosen[i], out);
	if (shown < moving->choice.nchosen)
		buffer_format(out, "… and %zu more (--verbose shows them)\n",
		    moving->choice.nchosen - shown);
}

static void
show_unknown(const struct moving *moving, struct buffer *out)
{
	buffer_format(out, "It is not known whether the %zu were moved: %s\n",
	    moving->choice.nchosen, moving->why);
	if (!moving->looked_again)
		buffer_format(out,
		    "Nobody could look again; those that are still %s were not "
		    "moved.\n",
		    moving->verb->what);
	else
		buffer_format(out,
		    "Looked at again: %zu of them are where they were.\n",
		    moving->nmoved);
}

void
queue_moving_text(const void *what, struct buffer *out)
{
	const struct moving *moving = what;
	const char *name = moving->rows.all[0].queue.name;

	buffer_format(out, "%s: ", name);
	if (moving->total.know == KNOW_UNKNOWN)
		buffer_format(out, "%s\n", moving->verb->what);
	else
		buffer_format(out, "%" PRId64 " %s\n", moving->total.value,
		    moving->total.value == 1 ? moving->verb->one
		                             : moving->verb->what);
	show_held(moving, out);
	switch (moving->outcome) {
	case OUTCOME_NOTHING:
		buffer_format(out, "Nothing to be moved%s.\n",
		    moving->nasked > 0 && moving->choice.nheld == 0
		        ? ": no such id is among them"
		        : "");
		return;
	case OUTCOME_DRY_RUN:
		buffer_format(out, "would be moved: %zu, to the queue",
		    moving->choice.nchosen);
		show_target(moving, out);
		buffer_text(out, "\n");
		show_chosen(moving, out);
		buffer_text(out, "Nothing was done: --yes does it.\n");
		return;
	case OUTCOME_MOVED:
		buffer_format(out, "moved: %zu, to the queue", moving->nmoved);
		show_target(moving, out);
		buffer_text(out, "\n");
		if (moving->nmoved < moving->choice.nchosen)
			buffer_format(out,
			    "%zu were no longer there: somebody else took "
			    "them\n",
			    moving->choice.nchosen - moving->nmoved);
		buffer_format(out, "logged in %s as %s\n", moving->log.path,
		    moving->move);
		return;
	case OUTCOME_REFUSED:
		buffer_format(out, "Nothing was moved: %s\n", moving->why);
		return;
	case OUTCOME_UNKNOWN:
		show_unknown(moving, out);
		return;
	}
	UNREACHABLE("outcome");
}
