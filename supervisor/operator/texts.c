/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include "supervisor/operator/texts.h"

enum {
	ROOM_FIRST = 64
};

static const char *
text_at(const void *list, size_t at)
{
	const struct texts *texts = list;

	return texts->list[at];
}

const char *
texts_once(struct texts *texts, const char *text)
{
	size_t at = names_find(&texts->names, text, text_at, texts);

	if (at != NAMES_NONE)
		return texts->list[at];
	if (texts->count == texts->room) {
		size_t room = MAX(2 * texts->room, (size_t)ROOM_FIRST);
		const char **more =
		    reallocarray(texts->list, room, sizeof(*more));
		/* As the arena does: without memory, the init starts us afresh.
		 */
		if (more == NULL)
			abort();
		texts->list = more;
		texts->room = room;
	}
	at = texts->count++;
	texts->list[at] = arena_text(texts->arena, text);
	names_add(&texts->names, text, at);
	return texts->list[at];
}

void
texts_fini(struct texts *texts)
{
	names_fini(&texts->names);
	free(texts->list);
	*texts = (struct texts){0};
}
