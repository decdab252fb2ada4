/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/url.h"
#include "probes/queue/drivers.h"

enum {
	HANDLE_BYTES_MAX = 4 << 20, /* of one open queue's own texts */
	PASSWORD_MAX = 4096,
};

const char *
queue_place_name(enum queue_place place)
{
	switch (place) {
	case PLACE_UNKNOWN:
		return "";
	case PLACE_VISIBLE:
		return "visible";
	case PLACE_TAKEN:
		return "taken";
	case PLACE_GONE:
		return "gone";
	case PLACE_DEAD:
		return "dead";
	}
	UNREACHABLE("queue_place");
}

/* pass=env:NAME | file:/path: a URL that can be printed, its secret elsewhere
 */
static int
resolve_password(struct queue *queue, const char *reference, struct err *err)
{
	const char *value = NULL;
	struct buffer file;
	int rc = 0;

	buffer_init(&file, PASSWORD_MAX);
	if (text_starts(reference, "env:")) {
		value = getenv(reference + 4);
		if (value == NULL)
			rc = queue_trouble(queue, CAUSE_UNRESOLVED, "", err,
			    ERR_INPUT, "the variable %s of 'pass' is not set",
			    reference + 4);
	} else if (text_starts(reference, "file:")) {
		rc = buffer_read_file(&file, reference + 5, err);
		if (rc == -1)
			queue->cause = CAUSE_UNRESOLVED;
		else
			value = file.len > 0 ? file.data : "";
	} else {
		rc = queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "'pass' is env:NAME or file:/PATH, never the password");
	}
	const char *rest = strstr(queue->spec.url, "://");

	if (rc == 0 && value != NULL && rest != NULL) {
		const char *host = rest + 3;
		size_t authority = strcspn(host, "/?#");
		const char *at = memrchr(host, '@', authority);
		size_t user = at != NULL ? (size_t)(at - host) : 0;

		queue->spec.url = arena_format(&queue->arena, "%.*s%.*s:%s@%s",
		    (int)(host - queue->spec.url), queue->spec.url,
		    (int)MIN(user, strcspn(host, ":@")), host,
		    url_encode(&queue->arena, value),
		    at != NULL ? at + 1 : host);
	}
	buffer_wipe(&file);
	return rc;
}

static void
copy_spec(struct queue *queue, const struct queue_spec *spec)
{
	struct arena *arena = &queue->arena;
	struct queue_option *options =
	    arena_array(arena, spec->noptions + 1, sizeof(*options));

	for (size_t i = 0; i < spec->noptions; i++) {
		options[i].key = arena_text(arena, spec->options[i].key);
		options[i].value = arena_text(arena, spec->options[i].value);
	}
	queue->spec.kind = arena_text(arena, spec->kind);
	queue->spec.url = arena_text(arena, spec->url);
	queue->spec.options = options;
	queue->spec.noptions = spec->noptions;
	queue->spec.count_to =
	    MIN(MAX(spec->count_to, (int64_t)QUEUE_COUNT_MIN),
	        (int64_t)QUEUE_COUNT_MAX);
}

/* "b" of sqs://host/a/b, unless the key says another. */
static const char *
last_of_path(struct queue *queue, const char *given)
{
	struct url url;

	if ((given != NULL && given[0] != '\0') ||
	    url_parse(&queue->arena, queue->spec.url, &url, NULL) == -1)
		return given;
	const char *slash = strrchr(url.path, '/');

	return slash == NULL ? "" : slash + 1;
}

/* Only some kinds have what a worker calls. */
static int
refuse_consuming(struct queue *queue, const char *kind, struct err *err)
{
	const char *valid = "";
	size_t count = 0;
	const struct queue_driver *const *all = queue_drivers(&count);

	for (size_t i = 0; i < count; i++)
		if (all[i]->consumes)
			valid = arena_format(&queue->arena, "%s%s%s", valid,
			    *valid == '\0' ? "" : ", ", all[i]->kind);
	return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
	    "`reeve worker` takes no jobs from a queue of kind '%s'; it does "
	    "from %s",
	    kind, valid);
}

static int
open_spec(struct queue *queue, struct err *err)
{
	const struct queue_driver *driver = queue_driver_find(queue->spec.kind);

	if (driver == NULL)
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "queue kind '%.40s' is not built into this program",
		    queue->spec.kind);
	/* unknown, not a failure of the queue: it can't be looked at from here
	 */
	if (driver->left_out)
		return queue_trouble(queue, CAUSE_INTERNAL, "", err,
		    ERR_UNSUPPORTED,
		    "this build is without queues of kind '%s'", driver->kind);
	if (queue->consuming.owner != NULL && !driver->consumes)
		return refuse_consuming(queue, driver->kind, err);
	for (size_t i = 0; i < queue->spec.noptions; i++) {
		if (queue_key_check(driver, queue->spec.options[i].key, err) ==
		    -1) {
			queue->cause = CAUSE_URL;
			return -1;
		}
	}
	queue->name = queue_option(queue, driver->name_key);
	if (driver->name_in_path)
		queue->name = last_of_path(queue, queue->name);
	if (queue->name == NULL || queue->name[0] == '\0')
		return queue_trouble(queue, CAUSE_URL, "", err, ERR_INPUT,
		    "a queue of kind '%s' needs the key '%s'", driver->kind,
		    driver->name_key);
	const char *pass = queue_option(queue, "pass");

	if (pass != NULL && resolve_password(queue, pass, err) == -1)
		return -1;
	queue->driver = driver;
	return driver->open(queue, err);
}

int
queue_open_consuming(struct queue *ret, const struct queue_spec *spec,
    const struct queue_consuming *consuming, int64_t deadline_ms,
    struct err *err)
{
	*ret = (struct queue){.deadline_ms = deadline_ms};
	arena_init(&ret->arena, HANDLE_BYTES_MAX);
	ladder_init(&ret->ladder, &ret->arena, deadline_ms);
	if (consuming != NULL)
		ret->consuming = *consuming;
	ret->name = "";
	ret->target = "";
	if (spec->url == NULL)
		return queue_trouble(ret, CAUSE_UNRESOLVED, "", err, ERR_INPUT,
		    "the queue has no URL");
	struct queue_spec whole = *spec;

	if (spec->kind == NULL || spec->kind[0] == '\0') {
		if (queue_spec_from_url(&ret->arena, spec->url, &whole, err) ==
		    -1) {
			ret->cause = CAUSE_URL;
			return -1;
		}
		whole.count_to = spec->count_to;
	}
	copy_spec(ret, &whole);
	return open_spec(ret, err);
}

int
queue_open(struct queue *ret, const struct queue_spec *spec,
    int64_t deadline_ms, struct err *err)
{
	return queue_open_consuming(ret, spec, NULL, deadline_ms, err);
}

void
queue_close(struct queue *queue)
{
	if (queue->driver != NULL && queue->state != NULL)
		queue->driver->close(queue);
	queue->state = NULL;
	arena_wipe(&queue->arena);
	arena_fini(&queue->arena);
	*queue = (struct queue){0};
}

static void
begin(struct queue *queue)
{
	queue->cause = CAUSE_NONE;
	queue->code[0] = '\0';
}

static struct queue_state
nothing_seen(const struct queue *queue)
{
	return (struct queue_state){.paused = -1,
	    .engine = "",
	    .identity = "",
	    .target = queue->target,
	    .amiss = "",
	    .head = ""};
}

int
queue_observe(struct queue *queue, struct arena *arena, struct queue_state *ret,
    struct err *err)
{
	struct queue_state state = nothing_seen(queue);

	begin(queue);
	if (queue->driver->observe(queue, arena, &state, err) == -1)
		return -1;
	*ret = state;
	return 0;
}

void
queue_observe_many(struct queue_pass *all, size_t count)
{
	for (size_t i = 0; i < count;) {
		const struct queue_driver *driver = all[i].queue->driver;
		size_t end = i;

		while (end < count && all[end].queue->driver->observe_many ==
		                          driver->observe_many) {
			begin(all[end].queue);
			all[end].state = nothing_seen(all[end].queue);
			all[end].rc = 0;
			all[end++].err = ERR_INIT;
		}
		if (driver->observe_many != NULL)
			driver->observe_many(&all[i], end - i);
		for (; driver->observe_many == NULL && i < end; i++)
			all[i].rc = all[i].queue->driver->observe(all[i].queue,
			    all[i].arena, &all[i].state, &all[i].err);
		i = end;
	}
}

int
queue_near_names(struct queue *queue, struct arena *arena,
    struct queue_state *state, struct err *err)
{
	begin(queue);
	return queue->driver->near(queue, arena, state, err);
}

void
queue_near_names_many(struct queue_pass *all, size_t count)
{
	for (size_t i = 0; i < count;) {
		const struct queue_driver *driver = all[i].queue->driver;
		size_t end = i;

		while (end < count &&
		       all[end].queue->driver->near_many == driver->near_many) {
			begin(all[end].queue);
			all[end].rc = 0;
			all[end++].err = ERR_INIT;
		}
		if (driver->near_many != NULL)
			driver->near_many(&all[i], end - i);
		for (; driver->near_many == NULL && i < end; i++)
			all[i].rc = all[i].queue->driver->near(all[i].queue,
			    all[i].arena, &all[i].state, &all[i].err);
		i = end;
	}
}

int
queue_submit(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, const char **ret_receipt, struct err *err)
{
	begin(queue);
	return queue->driver->submit(queue, job, arena, ret_receipt, err);
}

int
queue_follow(struct queue *queue, const struct queue_submission *job,
    struct arena *arena, struct queue_sighting *ret, struct err *err)
{
	struct queue_sighting sighting = {
	    .by = "", .attempts = -1, .detail = ""};

	begin(queue);
	if (queue->driver->follow(queue, job, arena, &sighting, err) == -1)
		return -1;
	*ret = sighting;
	return 0;
}

int
queue_remove(struct queue *queue, const struct queue_submission *job,
    bool *ret_removed, struct err *err)
{
	begin(queue);
	return queue->driver->remove(queue, job, ret_removed, err);
}

const char *
queue_part_name(enum queue_part part)
{
	switch (part) {
	case PART_WAITING:
		return "waiting";
	case PART_ACTIVE:
		return "active";
	case PART_DELAYED:
		return "delayed";
	case PART_DEAD:
		return "dead";
	case PART_EXPIRED:
		return "expired";
	case PART_NEWEST:
		return "newest";
	}
	UNREACHABLE("queue_part");
}

bool
queue_part_parse(const char *name, enum queue_part *ret)
{
	for (int i = PART_WAITING; i <= PART_EXPIRED; i++) {
		if (text_equal(name, queue_part_name((enum queue_part)i))) {
			*ret = (enum queue_part)i;
			return true;
		}
	}
	return false;
}

int
queue_list(struct queue *queue, enum queue_part part, size_t limit,
    struct arena *arena, struct queue_page *ret, struct err *err)
{
	struct queue_page page = {0};

	begin(queue);
	if (queue->driver->list == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "jobs of a queue of kind '%s' can't be shown",
		    queue->driver->kind);
	if (part == PART_NEWEST && queue->driver->newest == NEWEST_NONE)
		return err_set(err, ERR_UNSUPPORTED,
		    "a queue of kind '%s' can't show its newest jobs without "
		    "touching them",
		    queue->driver->kind);
	if (queue->driver->list(queue, part, limit, arena, &page, err) == -1)
		return -1;
	*ret = page;
	return 0;
}

int
queue_move(struct queue *queue, const struct queue_move *move,
    struct arena *arena, struct queue_moved *ret, struct err *err)
{
	struct queue_moved moved = {0};

	begin(queue);
	assert(move->from == PART_DEAD || move->from == PART_EXPIRED);
	assert(move->nids <= QUEUE_MOVE_MAX);
	if (queue->driver->move == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "jobs of a queue of kind '%s' can't be moved by reeve",
		    queue->driver->kind);
	if (queue->driver->move(queue, move, arena, &moved, err) == -1)
		return -1;
	*ret = moved;
	return 0;
}

int
queue_reap(struct queue *queue, const struct queue_reap *reap,
    struct arena *arena, struct queue_reaped *ret, struct err *err)
{
	begin(queue);
	*ret = (struct queue_reaped){
	    .ids = arena_array(arena, QUEUE_REAP_MAX, sizeof(*ret->ids)),
	    .owners = arena_array(arena, QUEUE_REAP_MAX, sizeof(*ret->owners))};
	if (queue->driver->reap == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "a queue of kind '%s' doesn't say which process holds a job",
		    queue->driver->kind);
	return queue->driver->reap(queue, reap, arena, ret, err);
}

int
queue_claim(struct queue *queue, int64_t wait_ms, struct queue_job *ret,
    bool *ret_got, struct err *err)
{
	begin(queue);
	assert(queue->consuming.owner != NULL && queue->consuming.lease_ms > 0);
	queue_nonce(ret->nonce);
	buffer_clear(&ret->payload);
	ret->id[0] = '\0';
	ret->token[0] = '\0';
	ret->attempt = 0;
	ret->max_attempts = 0;
	return queue->driver->claim(queue, wait_ms, ret, ret_got, err);
}

int
queue_extend(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	begin(queue);
	return queue->driver->extend(queue, job, ret_held, err);
}

int
queue_finish(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	begin(queue);
	return queue->driver->finish(queue, job, ret_held, err);
}

int
queue_fail(struct queue *queue, struct queue_job *job, int64_t retry_ms,
    bool *ret_held, struct err *err)
{
	begin(queue);
	return queue->driver->fail(queue, job, retry_ms, ret_held, err);
}

int
queue_bury(struct queue *queue, struct queue_job *job, const char *reason,
    bool *ret_held, struct err *err)
{
	begin(queue);
	return queue->driver->bury(queue, job, reason, ret_held, err);
}

int
queue_release(
    struct queue *queue, struct queue_job *job, bool *ret_held, struct err *err)
{
	begin(queue);
	return queue->driver->release(queue, job, ret_held, err);
}

int
queue_heartbeat(struct queue *queue, bool leaving, struct err *err)
{
	begin(queue);
	if (queue->driver->heartbeat == NULL)
		return 0;
	return queue->driver->heartbeat(queue, leaving, err);
}

void
queue_job_init(struct queue_job *job)
{
	*job = (struct queue_job){0};
	buffer_init(&job->payload, QUEUE_PAYLOAD_MAX);
}

void
queue_job_fini(struct queue_job *job)
{
	buffer_fini(&job->payload);
}
