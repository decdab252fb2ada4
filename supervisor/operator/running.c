/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "supervisor/operator/running.h"

static void
worker_fini(struct running_worker *worker)
{
	for (size_t i = 0; i < worker->ninstances; i++)
		free(worker->instances[i].files);
	free(worker->instances);
	free(worker->crashes_ms);
}

static void
add_crash(struct running_worker *worker, int64_t now_ms)
{
	if (worker->crashes_ms == NULL)
		worker->crashes_ms =
		    calloc(RUNNING_CRASHES_MAX, sizeof(*worker->crashes_ms));
	if (worker->crashes_ms != NULL)
		worker->crashes_ms[worker->ncrashes++ % RUNNING_CRASHES_MAX] =
		    now_ms;
}

void
running_fini(struct running *running)
{
	for (size_t i = 0; i < running->count; i++)
		worker_fini(&running->workers[i]);
	free(running->workers);
	free(running->leaders);
	names_fini(&running->names);
	*running = (struct running){0};
}

static const char *
name_at(const void *list, size_t at)
{
	const struct running *running = list;

	return running->workers[at].wire.name;
}

struct running_worker *
running_find(struct running *running, const char *name)
{
	size_t at = names_find(&running->names, name, name_at, running);

	return at == NAMES_NONE ? NULL : &running->workers[at];
}

static int
by_pid(const void *a, const void *b)
{
	const int32_t *x = a;
	const int32_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
gather_leaders(struct running *running)
{
	size_t all = 0;

	for (size_t i = 0; i < running->count; i++)
		all += running->workers[i].ninstances;
	free(running->leaders);
	running->leaders = calloc(all + 1, sizeof(*running->leaders));
	/* As below. */
	if (running->leaders == NULL)
		abort();
	running->nleaders = 0;
	for (size_t i = 0; i < running->count; i++) {
		const struct running_worker *worker = &running->workers[i];
		for (size_t k = 0; k < worker->ninstances; k++)
			if (worker->instances[k].wire.pid > 0)
				running->leaders[running->nleaders++] =
				    worker->instances[k].wire.pid;
	}
	qsort(running->leaders, running->nleaders, sizeof(*running->leaders),
	    by_pid);
	running->gathered = true;
}

bool
running_is_up(const struct wire_instance *wire)
{
	return wire->pid > 0 && (wire->state == INSTANCE_RUNNING ||
	                            wire->state == INSTANCE_READY);
}

bool
running_leads(struct running *running, int64_t pid)
{
	int32_t wanted = (int32_t)pid;

	if (pid <= 0 || pid > INT32_MAX)
		return false;
	if (!running->gathered)
		gather_leaders(running);
	return bsearch(&wanted, running->leaders, running->nleaders,
	           sizeof(wanted), by_pid) != NULL;
}

struct running_instance *
running_instance_find(struct running_worker *worker, uint32_t replica)
{
	if (replica < worker->ninstances &&
	    worker->instances[replica].wire.replica == replica)
		return &worker->instances[replica];
	for (size_t i = 0; i < worker->ninstances; i++)
		if (worker->instances[i].wire.replica == replica)
			return &worker->instances[i];
	return NULL;
}

struct file_identity *
running_file(const struct running_instance *instance, uint64_t path)
{
	for (size_t i = 0; i < instance->nfiles; i++)
		if (instance->files[i].path == path)
			return &instance->files[i];
	return NULL;
}

struct file_identity *
running_file_add(struct running_instance *instance)
{
	struct file_identity *more =
	    reallocarray(instance->files, instance->nfiles + 1, sizeof(*more));

	/* As below. */
	if (more == NULL)
		abort();
	instance->files = more;
	more = &more[instance->nfiles++];
	*more = (struct file_identity){0};
	return more;
}

static void *
grown(void *list, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return list;
	/* most workers have one instance, of almost 1 KiB */
	size_t wanted = *room == 0 ? 1 : *room * 2;
	void *more = reallocarray(list, wanted, size);

	/* As the arena does: without memory, the init starts us afresh. */
	if (more == NULL)
		abort();
	*room = wanted;
	return more;
}

static struct running_worker *
worker_get(struct running *running, const char *name)
{
	struct running_worker *worker = running_find(running, name);

	if (worker != NULL)
		return worker;
	running->workers = grown(running->workers, running->count,
	    &running->room, sizeof(*running->workers));
	worker = &running->workers[running->count++];
	*worker = (struct running_worker){0};
	(void)snprintf(
	    worker->wire.name, sizeof(worker->wire.name), "%s", name);
	names_add(&running->names, worker->wire.name, running->count - 1);
	return worker;
}

static struct running_instance *
instance_get(struct running_worker *worker, uint32_t replica)
{
	struct running_instance *instance =
	    running_instance_find(worker, replica);

	if (instance != NULL)
		return instance;
	worker->instances = grown(worker->instances, worker->ninstances,
	    &worker->room, sizeof(*worker->instances));
	instance = &worker->instances[worker->ninstances++];
	*instance = (struct running_instance){0};
	return instance;
}

/* Whether two messages say the same, whatever they came for. */
static bool
same_instance(const struct wire_instance *a, const struct wire_instance *b)
{
	struct wire_instance as_b = *a;

	as_b.head = b->head;
	as_b.snapshot = b->snapshot;
	as_b.event = b->event;
	as_b.why = b->why;
	/* grows with every line that it writes */
	as_b.output = b->output;
	/* Zeroed before they are filled: what differs in between is news that
	 * is none, at worst.
	 * NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
	return memcmp(&as_b, b, sizeof(as_b)) == 0;
}

static bool
same_worker(const struct wire_worker *a, const struct wire_worker *b)
{
	struct wire_worker as_b = *a;

	as_b.head = b->head;
	as_b.snapshot = b->snapshot;
	return memcmp(&as_b, b, sizeof(as_b)) == 0;
}

/* Returns whether it told something new. */
static bool
take_instance(struct running *running, const struct wire_instance *wire,
    int64_t now_ms, int64_t now_wall_ms)
{
	struct running_worker *worker = worker_get(running, wire->name);
	struct running_instance *instance = instance_get(worker, wire->replica);
	const struct wire_instance *before = &instance->wire;
	bool first = before->head.magic == 0;

	if (first && wire->state == INSTANCE_READY) {
		/* Found like this: how long ago, only wall time can say. */
		int64_t ago_ms = now_wall_ms - wire->ready_wall_ms;
		instance->since_ms = now_ms - MAX(ago_ms, (int64_t)0);
	} else if (first || before->state != wire->state ||
	           before->pid != wire->pid) {
		instance->since_ms = now_ms;
	}
	if (first)
		instance->exits_seen = wire->total_exits;
	if (wire->state == INSTANCE_BACKOFF &&
	    wire->total_exits > instance->exits_seen)
		add_crash(worker, now_ms);
	if (wire->state == INSTANCE_BACKOFF || wire->state == INSTANCE_READY)
		instance->exits_seen = wire->total_exits;
	if (first || before->state != wire->state || before->pid != wire->pid ||
	    wire->event != EVENT_NONE)
		instance->ordered_ms = 0;
	bool news = wire->event != EVENT_NONE || !same_instance(before, wire);

	running->gathered = running->gathered && before->pid == wire->pid;
	instance->wire = *wire;
	instance->marked = running->number;
	return news;
}

/* Those that the last snapshot had come first; returns how many. */
static size_t
gather_marked(struct running_worker *worker, uint64_t number)
{
	size_t held = 0;

	for (size_t i = 0; i < worker->ninstances; i++) {
		struct running_instance one = worker->instances[i];
		if (one.marked != number)
			continue;
		worker->instances[i] = worker->instances[held];
		worker->instances[held++] = one;
	}
	return held;
}

/* Returns whether there was any. */
static bool
forget_unmarked(struct running *running)
{
	bool any = false;
	size_t kept = 0;

	for (size_t i = 0; i < running->count; i++) {
		struct running_worker *worker = &running->workers[i];
		if (worker->marked != running->number) {
			worker_fini(worker);
			any = true;
			continue;
		}
		size_t held = gather_marked(worker, running->number);
		for (size_t k = held; k < worker->ninstances; k++)
			free(worker->instances[k].files);
		any = any || held != worker->ninstances;
		worker->ninstances = held;
		running->workers[kept++] = *worker;
	}
	if (running->count != kept) {
		running->count = kept;
		names_set(&running->names, kept, name_at, running);
	}
	running->gathered = running->gathered && !any;
	return any;
}

bool
running_take(struct running *running, const union wire_message *message,
    int64_t now_ms, int64_t now_wall_ms)
{
	struct running_worker *worker = NULL;
	bool news = false;

	switch (message->head.type) {
	case WIRE_SNAPSHOT_BEGIN:
		running->number = message->snapshot.number;
		return false;
	case WIRE_WORKER:
		worker = worker_get(running, message->worker.name);
		news = !same_worker(&worker->wire, &message->worker);
		worker->wire = message->worker;
		worker->marked = running->number;
		return running->known && news;
	case WIRE_INSTANCE:
		news = take_instance(
		    running, &message->instance, now_ms, now_wall_ms);
		return running->known && news;
	case WIRE_SNAPSHOT_END:
		if (message->snapshot.number != running->number)
			return false;
		news =
		    !running->known || running->snapshot.operator_restarts !=
		                           message->snapshot.operator_restarts;
		running->snapshot = message->snapshot;
		running->known = true;
		/* What is gone is forgotten either way. */
		return forget_unmarked(running) || news;
	default:
		return false;
	}
}

unsigned
running_crashes(
    const struct running_worker *worker, int64_t window_ms, int64_t now_ms)
{
	unsigned count = 0;
	uint64_t known = MIN(worker->ncrashes, (uint64_t)RUNNING_CRASHES_MAX);

	for (uint64_t i = 0; i < known; i++)
		if (now_ms - worker->crashes_ms[i] < window_ms)
			count++;
	return count;
}
