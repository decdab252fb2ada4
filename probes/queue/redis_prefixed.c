/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "probes/queue/redis_prefixed.h"

const char *
prefixed_key(const struct queue *queue, struct arena *arena, const char *word)
{
	const struct prefixed_queue *prefixed = queue->state;

	return arena_format(arena, "%s%s", prefixed->base, word);
}

int
prefixed_script(struct queue *queue, const char *script, const char *doing,
    const char *const *args, redisReply **ret, struct err *err)
{
	const struct prefixed_queue *prefixed = queue->state;

	return redis_run_script(queue,
	    &(struct redis_script){script, prefixed->base, args}, doing, ret,
	    err);
}

void
prefixed_ask(struct redis_look *look, const struct prefixed_question *questions,
    size_t count)
{
	for (size_t i = 0; i < count; i++)
		*questions[i].ret = redis_batch_ask(look->batch,
		    questions[i].command,
		    prefixed_key(look->queue, look->arena, questions[i].word));
}

/* --- near names ----------------------------------------------------------- */

static const char *
near_key(struct queue *queue, struct arena *arena, const char *name)
{
	const struct prefixed_queue *prefixed = queue->state;

	return arena_format(
	    arena, "%s:%s:%s", prefixed->prefix, name, prefixed->layout->trace);
}

/* PREFIX:QUEUE:TRACE */
static bool
near_name(struct queue *queue, struct arena *arena, const char *key,
    const char **ret_name, const char **ret_where)
{
	const struct prefixed_queue *prefixed = queue->state;
	const char *trace = prefixed->naming.match + strlen("*");
	size_t skip = strlen(prefixed->prefix);

	if (!text_ends(key, trace))
		return false;
	size_t len = strlen(key) - strlen(trace);

	*ret_where = "";
	if (!text_starts(key, prefixed->prefix) || key[skip] != ':') {
		skip = strcspn(key, ":");
		*ret_where = arena_format(
		    arena, "%s%.*s", REDIS_OTHER_PREFIX, (int)skip, key);
	}
	if (skip >= len)
		return false;
	*ret_name =
	    arena_format(arena, "%.*s", (int)(len - skip - 1), key + skip + 1);
	return true;
}

static const char *
near_waiting(
    struct queue *queue, struct arena *arena, const struct queue_near *found)
{
	const struct prefixed_queue *prefixed = queue->state;
	const char *prefix = text_starts(found->where, REDIS_OTHER_PREFIX)
	                         ? found->where + strlen(REDIS_OTHER_PREFIX)
	                         : prefixed->prefix;

	return arena_format(
	    arena, "%s:%s:%s", prefix, found->name, prefixed->layout->waiting);
}

/* --- opening -------------------------------------------------------------- */

int
prefixed_open(struct queue *queue, const struct prefixed_layout *layout,
    redis_round_fn *const *rounds, struct err *err)
{
	struct prefixed_queue *prefixed = queue->state;
	const char *declared = queue_option(queue, "prefix");

	prefixed->layout = layout;
	prefixed->prefix = declared != NULL ? declared : layout->prefix;
	prefixed->base = arena_format(
	    &queue->arena, "%s:%s:", prefixed->prefix, queue->name);
	prefixed->naming = (struct redis_naming){.key = near_key,
	    .name = near_name,
	    .waiting = near_waiting,
	    .type = arena_format(&queue->arena, "%s queue", queue->spec.kind),
	    .plain = true,
	    .scans = layout->scans,
	    .match = arena_format(&queue->arena, "*:%s", layout->trace)};
	prefixed->handle.naming = &prefixed->naming;
	prefixed->handle.types = redis_key_types(
	    queue, &queue->arena, prefixed->base, layout->types);
	return redis_kind_open(queue, NULL,
	    arena_format(&queue->arena, "%s queue %s%s%s", queue->spec.kind,
	        declared != NULL ? declared : "", declared != NULL ? ":" : "",
	        queue->name),
	    rounds, err);
}
