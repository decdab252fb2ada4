/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "probes/observed.h"
#include "tests/fuzz/fuzz.h"

/* Verdict lines: from a prober that may have been taken over, or a file. */

/* So that no reading is optimised away. */
static volatile size_t sink;

static size_t
use(const struct observed *observed)
{
	size_t bytes = strlen(observed->supervisor.why);

	for (size_t i = 0; i < observed->nobservations; i++) {
		const struct observation *o = &observed->observations[i];
		bytes += strlen(o->kind) + strlen(o->subject);
		bytes += strlen(o->target) + strlen(o->summary);
		bytes += strlen(o->code) + strlen(o->identity);
		bytes += strlen(cause_name(o->cause));
		for (size_t j = 0; j < o->nsteps; j++)
			bytes += strlen(o->steps[j].detail);
		for (size_t j = 0; j < o->nfacts; j++)
			bytes +=
			    strlen(o->facts[j].key) + strlen(o->facts[j].value);
		for (size_t j = 0; o->jobs != NULL && j < o->jobs->page.count;
		     j++) {
			const struct queue_item *item = &o->jobs->page.items[j];
			assert(item->payload_len <= QUEUE_PEEK_MAX);
			bytes += strlen(item->id) + strlen(item->error);
			bytes += strnlen(item->payload, item->payload_len);
		}
		for (size_t j = 0; o->moved != NULL && j < o->moved->count; j++)
			bytes += strlen(o->moved->ids[j]);
		assert(observed_find(observed, o->subject) != NULL);
	}
	for (size_t i = 0; i < observed->nprocesses; i++)
		bytes += strlen(observed->processes[i].command);
	for (size_t i = 0; i < observed->nsmokes; i++)
		bytes += strlen(observed->smokes[i].name);
	return bytes;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct arena arena;
	struct observed observed;
	char *text = fuzz_text(bytes, len);

	arena_init(&arena, FUZZ_ARENA_MAX);
	observed_init(&observed, &arena);
	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t line =
		    end == NULL ? len - at : (size_t)(end - text) - at;
		struct err err = ERR_INIT;
		if (observed_add_line(&observed, text + at, line, &err) == -1)
			assert(err.text[0] != '\0');
		at += line + 1;
	}
	sink += use(&observed);
	arena_fini(&arena);
	free(text);
	return 0;
}
