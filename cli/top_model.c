/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "base/text.h"
#include "cli/answer.h"
#include "cli/top_model.h"

enum {
	MODEL_BYTES_MAX = 256 << 20,
	MS_PER_S = 1000,
};

static const cJSON *
member(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const char *
text_of(struct top_model *model, const cJSON *object, const char *key)
{
	const cJSON *item = member(object, key);

	return cJSON_IsString(item)
	           ? arena_text(&model->arena, item->valuestring)
	           : "";
}

static int64_t
number_of(const cJSON *object, const char *key)
{
	const cJSON *item = member(object, key);

	return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : TOP_UNKNOWN;
}

/* "2026-11-22T05:40:12.123Z"; TOP_UNKNOWN when it isn't one. */
static int64_t
age_of(const cJSON *object, const char *key, int64_t now_ms)
{
	const cJSON *item = member(object, key);
	struct tm when = {0};

	if (!cJSON_IsString(item) ||
	    strptime(item->valuestring, "%Y-%m-%dT%H:%M:%S", &when) == NULL)
		return TOP_UNKNOWN;
	return MAX(now_ms - (int64_t)timegm(&when) * MS_PER_S, (int64_t)0);
}

static const char *
note_of(struct top_model *model, const cJSON *instance, bool ready)
{
	static const char *const keys[] = {
	    "waits_for", "probe", "last_exit", "why", "status_text"};
	const char *said = text_of(model, instance, "status_text");

	if (ready && *said != '\0')
		return said;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *note = text_of(model, instance, keys[i]);
		if (*note != '\0')
			return text_equal(keys[i], "probe")
			           ? arena_format(
			                 &model->arena, "probe: %s", note)
			           : note;
	}
	return "";
}

/* --- workers -------------------------------------------------------------- */

static void
read_instance(struct top_model *model, const char *worker,
    const cJSON *instance, int64_t now_ms)
{
	struct top_row *row = &model->rows[model->nrows];
	bool ready = cJSON_IsTrue(member(instance, "ready"));

	*row = (struct top_row){
	    .worker = worker,
	    .replica = number_of(instance, "index"),
	    .state = text_of(model, instance, "state"),
	    .note = note_of(model, instance, ready),
	    .ready = ready,
	    .pid = number_of(instance, "pid"),
	    .restarts = number_of(instance, "restarts"),
	    .age_ms = age_of(instance, "started_at", now_ms),
	    .memory_bytes =
	        number_of(member(instance, "memory"), "current_bytes"),
	    .order = model->nrows,
	};
	model->nrows++;
}

/* A worker without instances is not to be overlooked. */
static void
read_empty(struct top_model *model, const char *worker, const cJSON *declared)
{
	const char *schedule = text_of(model, declared, "schedule");
	bool stopped = cJSON_IsTrue(member(declared, "stopped"));

	model->rows[model->nrows] = (struct top_row){
	    .worker = worker,
	    .replica = TOP_UNKNOWN,
	    .state = *schedule != '\0' ? "scheduled"
	             : stopped         ? "stopped"
	                               : "none",
	    .note = *schedule != '\0' ? schedule : "",
	    .ready = *schedule != '\0' || number_of(declared, "desired") == 0,
	    .pid = TOP_UNKNOWN,
	    .restarts = TOP_UNKNOWN,
	    .age_ms = TOP_UNKNOWN,
	    .memory_bytes = TOP_UNKNOWN,
	    .order = model->nrows,
	};
	model->nrows++;
}

/* It has ended for good, and need not be ready. */
static bool
is_finished(const struct top_row *row)
{
	return text_equal(row->state, "finished");
}

static void
read_workers(struct top_model *model, const cJSON *workers, int64_t now_ms)
{
	const cJSON *worker = NULL;
	const cJSON *instance = NULL;
	size_t room = 0;

	cJSON_ArrayForEach(worker, workers) room +=
	    (size_t)cJSON_GetArraySize(member(worker, "instances")) + 1;
	model->rows =
	    arena_array(&model->arena, room + 1, sizeof(*model->rows));
	cJSON_ArrayForEach(worker, workers)
	{
		const char *name = text_of(model, worker, "name");
		const cJSON *instances = member(worker, "instances");
		model->desired += MAX(number_of(worker, "desired"), (int64_t)0);
		model->ready += MAX(number_of(worker, "ready"), (int64_t)0);
		if (cJSON_GetArraySize(instances) == 0)
			read_empty(model, name, worker);
		cJSON_ArrayForEach(instance, instances)
		{
			read_instance(model, name, instance, now_ms);
			model->desired -=
			    is_finished(&model->rows[model->nrows - 1]);
		}
	}
}

/* --- the rest ---------------------------------------------------------------
 */

/* Nobody at all; of an uncertain number that isn't known. */
static bool
has_nobody(struct top_model *model, const cJSON *queue)
{
	return number_of(queue, "consumers") == 0 &&
	       text_of(model, member(queue, "quality"), "consumers")[0] == '\0';
}

static void
read_queues(struct top_model *model, const cJSON *queues)
{
	const cJSON *queue = NULL;
	size_t room = (size_t)cJSON_GetArraySize(queues);

	model->queues =
	    arena_array(&model->arena, room + 1, sizeof(*model->queues));
	cJSON_ArrayForEach(queue, queues)
	    model->queues[model->nqueues++] = (struct top_queue){
	    .name = text_of(model, queue, "name"),
	    .error = text_of(model, queue, "error"),
	    .waiting = answer_queue_number(&model->arena, queue, "waiting"),
	    .active = answer_queue_number(&model->arena, queue, "active"),
	    .dead = answer_queue_number(&model->arena, queue, "dead"),
	    .consumers = answer_queue_number(&model->arena, queue, "consumers"),
	    .nobody = has_nobody(model, queue),
	    .oldest_ms = number_of(queue, "oldest_ms"),
	};
}

/* Less is worse; drift, which has none, comes behind the alerts, and what
 * nobody is told of behind all. */
static size_t
badness(const struct top_trouble *trouble)
{
	static const char *const severities[] = {
	    "critical", "error", "warning", "info"};
	size_t at = 0;

	while (at < ARRAY_LEN(severities) &&
	       !text_equal(severities[at], trouble->severity))
		at++;
	return trouble->quiet ? at + ARRAY_LEN(severities) + 1 : at;
}

static int
by_badness(const void *a, const void *b)
{
	const struct top_trouble *one = a, *other = b;
	size_t first = badness(one), second = badness(other);

	if (first != second)
		return first < second ? -1 : 1;
	return one->order < other->order ? -1 : 1;
}

static void
read_alert(struct top_model *model, const cJSON *alert)
{
	const char *state = text_of(model, alert, "state");
	bool quiet =
	    text_equal(state, "silenced") || text_equal(state, "explained");

	model->troubles[model->ntroubles++] = (struct top_trouble){
	    .severity = text_of(model, alert, "severity"),
	    .text = arena_format(&model->arena, "%s%s%s%s: %s",
	        quiet ? "(" : "", quiet ? state : "", quiet ? ") " : "",
	        text_of(model, alert, "subject"),
	        text_of(model, alert, "summary")),
	    .quiet = quiet,
	};
}

static void
read_troubles(struct top_model *model, const cJSON *alerts, const cJSON *drift)
{
	const cJSON *item = NULL;
	size_t room = (size_t)cJSON_GetArraySize(alerts) +
	              (size_t)cJSON_GetArraySize(drift);

	model->troubles =
	    arena_array(&model->arena, room + 1, sizeof(*model->troubles));
	cJSON_ArrayForEach(item, alerts) read_alert(model, item);
	cJSON_ArrayForEach(item, drift) model->troubles[model->ntroubles++] =
	    (struct top_trouble){
	        .severity = "drift",
	        .text = arena_format(&model->arena, "worker %s: %s",
	            text_of(model, item, "worker"),
	            text_of(model, item, "summary")),
	    };
	for (size_t i = 0; i < model->ntroubles; i++)
		model->troubles[i].order = i;
	qsort(model->troubles, model->ntroubles, sizeof(*model->troubles),
	    by_badness);
}

int
top_model_read(struct top_model *model, const char *json, size_t len,
    int64_t now_ms, struct err *err)
{
	struct top_model fresh = {0};
	cJSON *status = cJSON_ParseWithLength(json, len);

	if (!cJSON_IsObject(status)) {
		cJSON_Delete(status);
		return err_set(err, ERR_INPUT, "the status is not JSON");
	}
	arena_init(&fresh.arena, MODEL_BYTES_MAX);
	const cJSON *op = member(status, "operator");

	fresh.name = text_of(&fresh, status, "name");
	fresh.state = text_of(&fresh, op, "state");
	fresh.why = text_of(&fresh, op, "why");
	read_workers(&fresh, member(status, "workers"), now_ms);
	read_queues(&fresh, member(status, "queues"));
	read_troubles(
	    &fresh, member(status, "alerts"), member(status, "drift"));
	fresh.nshown = fresh.nrows;
	cJSON_Delete(status);
	top_model_fini(model);
	*model = fresh;
	return 0;
}

void
top_model_fini(struct top_model *model)
{
	if (model->name != NULL)
		arena_fini(&model->arena);
	*model = (struct top_model){0};
}

/* --- order ------------------------------------------------------------------
 */

static const char *const sort_names[] = {
    [TOP_BY_WORKER] = "worker",
    [TOP_BY_STATE] = "state",
    [TOP_BY_RESTARTS] = "restarts",
    [TOP_BY_AGE] = "age",
    [TOP_BY_MEMORY] = "memory",
};
static_assert(ARRAY_LEN(sort_names) == TOP_SORTS, "every order");

void
top_label(
    const char *worker, int64_t replica, size_t width, char dst[TOP_LABEL_SIZE])
{
	static const char cut[] = "..";
	size_t sign = sizeof(cut) - 1;

	if (replica == TOP_UNKNOWN)
		(void)snprintf(dst, TOP_LABEL_SIZE, "%s", worker);
	else
		(void)snprintf(
		    dst, TOP_LABEL_SIZE, "%s/%" PRId64, worker, replica);
	size_t len = strlen(dst);

	if (len <= width || width <= sign)
		return;
	/* two thirds of it from the beginning */
	size_t tail = (width - sign) / 3;
	size_t head = width - sign - tail;

	memcpy(dst + head, cut, sign);
	memmove(dst + head + sign, dst + len - tail, tail + 1);
}

const char *
top_sort_name(enum top_sort sort)
{
	return sort_names[sort];
}

/* Less comes first; what isn't known comes last. */
static int64_t
rank(const struct top_row *row, enum top_sort sort)
{
	switch (sort) {
	case TOP_BY_STATE:
		return row->ready ? 1 : 0;
	case TOP_BY_RESTARTS:
		return -row->restarts;
	case TOP_BY_AGE:
		return row->age_ms == TOP_UNKNOWN ? INT64_MAX : row->age_ms;
	case TOP_BY_MEMORY:
		return -row->memory_bytes;
	case TOP_BY_WORKER:
	case TOP_SORTS:
		break;
	}
	return 0;
}

static int
compare(const void *a, const void *b, void *arg)
{
	const struct top_row *one = a, *other = b;
	const enum top_sort *sort = arg;
	int64_t first = rank(one, *sort), second = rank(other, *sort);

	if (first != second)
		return first < second ? -1 : 1;
	return one->order < other->order ? -1 : 1;
}

static bool
shown(const struct top_row *row, const char *filter)
{
	char label[128];

	(void)snprintf(label, sizeof(label), "%s/%lld", row->worker,
	    (long long)row->replica);
	return *filter == '\0' || strcasestr(label, filter) != NULL ||
	       strcasestr(row->state, filter) != NULL ||
	       strcasestr(row->note, filter) != NULL;
}

void
top_model_arrange(
    struct top_model *model, enum top_sort sort, const char *filter)
{
	model->nshown = 0;
	for (size_t i = 0; i < model->nrows; i++) {
		struct top_row row = model->rows[i];
		if (!shown(&row, filter))
			continue;
		model->rows[i] = model->rows[model->nshown];
		model->rows[model->nshown++] = row;
	}
	qsort_r(
	    model->rows, model->nshown, sizeof(*model->rows), compare, &sort);
}
