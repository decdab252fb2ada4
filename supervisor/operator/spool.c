/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/record.h"
#include "supervisor/operator/spool.h"

enum {
	FILE_MAX = 1 << 20,
	CHECKPOINT_MAX = 64 << 20,
	PATH_SIZE = 512,
	SPOOL_DIR_MODE = 0700,
	SPOOL_FILE_MODE = 0600,
};

static const char CHECKPOINT[] = "active.json";

/* Names of receivers: too few to be anything but a list. */
static bool
names_hold(char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal(names[i], name))
			return true;
	return false;
}

static void
names_put(char **names, size_t *count, const char *name)
{
	if (*count == ALERT_RECEIVERS_MAX || names_hold(names, *count, name))
		return;
	names[*count] = strdup(name);
	if (names[*count] != NULL)
		(*count)++;
}

static void
names_free(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
}

static void
write_names(
    struct jsonw *json, const char *key, char *const *names, size_t count)
{
	jsonw_array(json, key);
	for (size_t i = 0; i < count; i++)
		jsonw_text(json, NULL, names[i]);
	jsonw_end(json);
}

static void
event_free(struct alert_event *event)
{
	for (size_t i = 0; i < event->npending; i++)
		free(event->pending[i].name);
	names_free(event->to, event->nto);
	free(event->key);
	free(event->subject);
	free(event->json);
	free(event);
}

void
spool_free_told(struct alert *alert)
{
	names_free(alert->told_to, alert->ntold_to);
	alert->ntold_to = 0;
}

void
spool_free_alert(struct alert *alert)
{
	free(alert->key);
	free(alert->kind);
	free(alert->subject);
	free(alert->summary);
	free(alert->evidence);
	free(alert->worker);
	free(alert->queues);
	free(alert->finding);
	free(alert->fix);
	spool_free_told(alert);
	free(alert);
}

bool
spool_was_told(const struct alert *alert, const char *name)
{
	return names_hold(alert->told_to, alert->ntold_to, name);
}

void
spool_note_told(struct alert *alert, const char *name)
{
	names_put(alert->told_to, &alert->ntold_to, name);
}

static bool
is_declared(const struct alerts *alerts, const char *name)
{
	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++)
		if (alerts->receivers[i].used &&
		    text_equal(alerts->receivers[i].name, name))
			return true;
	return false;
}

void
spool_forget_told(const struct alerts *alerts, struct alert *alert)
{
	size_t kept = 0;

	for (size_t i = 0; i < alert->ntold_to; i++) {
		if (is_declared(alerts, alert->told_to[i]))
			alert->told_to[kept++] = alert->told_to[i];
		else
			free(alert->told_to[i]);
	}
	alert->ntold_to = kept;
}

struct alert_pending *
spool_waits_for(struct alert_event *event, const char *name)
{
	for (size_t i = 0; i < event->npending; i++)
		if (text_equal(event->pending[i].name, name))
			return &event->pending[i];
	return NULL;
}

/* A disk that is full or gone costs only the promise to outlive us, and only
 * until it can be written again. */
static bool
store(struct alerts *alerts, const char *name, const struct buffer *bytes)
{
	struct err err = ERR_INIT;
	char path[PATH_SIZE];

	if (alerts->dir == NULL)
		return true;
	if (bytes->overflow)
		(void)err_set(&err, ERR_CAPACITY, "too long");
	else if (text_format(path, sizeof(path), &err, "%s/%s", alerts->dir,
	             name) == 0 &&
	         fd_replace_file(
	             path, SPOOL_FILE_MODE, bytes->data, bytes->len, &err) == 0)
		return true;
	if (alerts->trouble[0] == '\0')
		log_warning("alert.spool",
		    "alerts that wait are in memory only: %s: %s", name,
		    err.text);
	(void)snprintf(alerts->trouble, sizeof(alerts->trouble), "%.*s",
	    (int)sizeof(alerts->trouble) - 1, err.text);
	return false;
}

static void
event_name(uint64_t number, char dst[64])
{
	(void)snprintf(dst, 64, "%020" PRIu64 ".json", number);
}

static void
keep(struct alerts *alerts, struct alert_event *event)
{
	char name[64];
	struct buffer bytes;
	struct jsonw json;

	buffer_init(&bytes, FILE_MAX);
	jsonw_init(&json, &bytes, false);
	jsonw_object(&json, NULL);
	jsonw_i64(&json, "number", (int64_t)event->number);
	jsonw_array(&json, "pending");
	for (size_t i = 0; i < event->npending; i++)
		jsonw_text(&json, NULL, event->pending[i].name);
	jsonw_end(&json);
	write_names(&json, "to", event->to, event->nto);
	jsonw_raw(&json, "event", event->json);
	jsonw_end(&json);
	event_name(event->number, name);
	event->unsaved = !store(alerts, name, &bytes);
	buffer_fini(&bytes);
}

static void
remove_file(struct alerts *alerts, uint64_t number)
{
	char name[64];
	char path[PATH_SIZE];

	event_name(number, name);
	if (alerts->dir == NULL || text_format(path, sizeof(path), NULL,
	                               "%s/%s", alerts->dir, name) == -1)
		return;
	if (unlink(path) == -1 && errno != ENOENT)
		log_warning("alert.spool", "remove '%s': %s", path,
		    strerrordesc_np(errno));
}

/* Takes it off the list, removes its file and frees it. */
static void
forget(struct alerts *alerts, struct alert_event *event)
{
	struct alert_event **at = &alerts->events;

	while (*at != event)
		at = &(*at)->next;
	*at = event->next;
	alerts->nevents--;
	remove_file(alerts, event->number);
	event_free(event);
}

void
spool_delivered(
    struct alerts *alerts, struct alert_event *event, const char *name)
{
	struct alert_pending *pending = spool_waits_for(event, name);

	if (pending == NULL)
		return;
	free(pending->name);
	*pending = event->pending[--event->npending];
	if (event->npending == 0)
		forget(alerts, event);
	else
		keep(alerts, event);
}

struct alert_event *
spool_find(const struct alerts *alerts, uint64_t number)
{
	struct alert_event *event = alerts->events;

	while (event != NULL && event->number != number)
		event = event->next;
	return event;
}

void
spool_delivered_all(struct alert_receiver *receiver)
{
	for (size_t i = 0; i < receiver->nsending; i++) {
		struct alert_event *event =
		    spool_find(receiver->alerts, receiver->sending[i]);
		if (event != NULL)
			spool_delivered(
			    receiver->alerts, event, receiver->name);
	}
	receiver->nsending = 0;
}

static bool
under_way(const struct alerts *alerts, uint64_t number)
{
	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++) {
		const struct alert_receiver *receiver = &alerts->receivers[i];
		for (size_t k = 0; k < receiver->nsending && !receiver->unsure;
		     k++)
			if (receiver->sending[k] == number)
				return true;
	}
	return false;
}

/* Bounded: with nobody to take them for weeks, the oldest go, counted. */
static void
make_room(struct alerts *alerts)
{
	if (alerts->nevents < ALERT_EVENTS_MAX)
		return;
	struct alert_event *oldest = alerts->events;

	if (under_way(alerts, oldest->number))
		return;
	alerts->dropped++;
	log_error("alert.dropped", "number=%" PRIu64 " total=%" PRIu64,
	    oldest->number, alerts->dropped);
	forget(alerts, oldest);
}

static void
link_event(struct alerts *alerts, struct alert_event *event)
{
	struct alert_event **at = &alerts->events;

	while (*at != NULL && (*at)->number < event->number)
		at = &(*at)->next;
	event->next = *at;
	*at = event;
	alerts->nevents++;
}

static struct alert_event *
event_new(uint64_t number, const char *json)
{
	CLEANUP(record_free)
	cJSON *parsed = record_parse(json, strlen(json));
	struct alert_event *event = calloc(1, sizeof(*event));

	if (event == NULL)
		return NULL;
	event->number = number;
	event->json = strdup(json);
	event->key = strdup(record_text(parsed, "key", ""));
	event->subject = strdup(record_text(parsed, "subject", ""));
	event->test = record_true(parsed, "test");
	if (event->json == NULL || event->key == NULL ||
	    event->subject == NULL) {
		event_free(event);
		return NULL;
	}
	return event;
}

static void
event_add_pending(struct alert_event *event, const char *name)
{
	if (event->npending == ALERT_RECEIVERS_MAX)
		return;
	char *copy = strdup(name);

	if (copy != NULL)
		event->pending[event->npending++] =
		    (struct alert_pending){.name = copy};
}

void
spool_append(struct alerts *alerts, const char *json, const char *const *names,
    size_t count)
{
	struct alert_event *event = event_new(alerts->next++, json);

	if (event == NULL)
		return;
	for (size_t i = 0; i < count; i++) {
		event_add_pending(event, names[i]);
		names_put(event->to, &event->nto, names[i]);
	}
	make_room(alerts);
	link_event(alerts, event);
	keep(alerts, event);
	alerts->changed = true;
}

static void
write_alert(struct jsonw *json, const struct alert *alert)
{
	jsonw_object(json, NULL);
	jsonw_text(json, "key", alert->key);
	jsonw_text(json, "kind", alert->kind);
	jsonw_text(json, "severity", severity_name(alert->severity));
	jsonw_text(json, "subject", alert->subject);
	jsonw_text(json, "summary", alert->summary);
	jsonw_text(json, "evidence", alert->evidence);
	jsonw_text(json, "worker", alert->worker);
	jsonw_text(json, "queues", alert->queues);
	jsonw_text(json, "finding", alert->finding);
	jsonw_text(json, "fix", alert->fix);
	jsonw_i64(json, "since_ms", alert->since_wall_ms);
	jsonw_i64(json, "hold_ms", alert->hold_ms);
	jsonw_bool(json, "told", alert->told);
	jsonw_bool(json, "quiet", alert->quiet);
	write_names(json, "told_to", alert->told_to, alert->ntold_to);
	jsonw_end(json);
}

/* Returns whether all are on disk. */
static bool
save_events(struct alerts *alerts)
{
	for (struct alert_event *event = alerts->events; event != NULL;
	     event = event->next) {
		if (event->unsaved)
			keep(alerts, event);
		if (event->unsaved)
			return false;
	}
	return true;
}

void
spool_save_again(struct alerts *alerts)
{
	if (alerts->trouble[0] != '\0')
		spool_checkpoint(alerts);
}

void
spool_checkpoint(struct alerts *alerts)
{
	struct buffer bytes;
	struct jsonw json;

	alerts->changed = false;
	/* A checkpoint counts for all that came before it: with one of these
	 * in memory only, an older one raises too much after our death, and
	 * this one would lose an alert. */
	if (alerts->dir == NULL || !save_events(alerts))
		return;
	buffer_init(&bytes, CHECKPOINT_MAX);
	jsonw_init(&json, &bytes, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "nonce", alerts->nonce);
	jsonw_i64(&json, "next", (int64_t)alerts->next);
	jsonw_array(&json, "active");
	for (const struct alert *alert = alerts->known; alert != NULL;
	     alert = alert->next)
		write_alert(&json, alert);
	jsonw_end(&json);
	jsonw_end(&json);
	if (store(alerts, CHECKPOINT, &bytes) && alerts->trouble[0] != '\0') {
		alerts->trouble[0] = '\0';
		log_info("alert.spool", "all that waits is on disk again");
	}
	buffer_fini(&bytes);
}

void
spool_prune(struct alerts *alerts)
{
	struct alert_event *next = NULL;

	for (struct alert_event *event = alerts->events; event != NULL;
	     event = next) {
		bool waits = false;
		next = event->next;
		for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++)
			waits = waits ||
			        (alerts->receivers[i].used &&
			            spool_waits_for(event,
			                alerts->receivers[i].name) != NULL);
		if (!waits)
			forget(alerts, event);
	}
}

/* --- reading ----------------------------------------------------------- */

static enum severity
severity_of(const char *name)
{
	static const enum severity all[] = {
	    SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_ERROR, SEVERITY_CRITICAL};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (text_equal(severity_name(all[i]), name))
			return all[i];
	return SEVERITY_ERROR;
}

static char *
text_of(const cJSON *from, const char *key)
{
	const char *text = record_text(from, key, NULL);

	return text == NULL ? NULL : strdup(text);
}

static void
read_names(const cJSON *list, char **names, size_t *count)
{
	const cJSON *item = NULL;

	cJSON_ArrayForEach(item, list)
	{
		if (cJSON_IsString(item))
			names_put(names, count, item->valuestring);
	}
}

/* `told`: it is an event, which says so by itself. NULL: no memory. */
static struct alert *
restore(struct alerts *alerts, const cJSON *from, bool told)
{
	struct alert *alert = calloc(1, sizeof(*alert));

	if (alert == NULL)
		return NULL;
	alert->key = strdup(record_text(from, "key", ""));
	alert->kind = strdup(record_text(from, "kind", ""));
	alert->subject = strdup(record_text(from, "subject", ""));
	alert->summary = strdup(record_text(from, "summary", ""));
	alert->evidence = strdup(record_text(from, "evidence", ""));
	alert->worker = text_of(from, "worker");
	alert->queues = text_of(from, "queues");
	alert->finding = text_of(from, "finding");
	alert->fix = text_of(from, "fix");
	alert->severity = severity_of(record_text(from, "severity", ""));
	alert->since_wall_ms = record_i64(from, "since_ms", 0);
	alert->since_ms =
	    clock_ms() -
	    MAX(clock_wall_ms() - alert->since_wall_ms, (int64_t)0);
	alert->hold_ms = record_i64(from, "hold_ms", 0);
	for (size_t i = 0; i < ALERT_RECEIVERS_MAX; i++)
		alert->repeat_at_ms[i] = CLOCK_NEVER;
	alert->told = told || record_true(from, "told");
	alert->quiet = record_true(from, "quiet");
	read_names(
	    record_array(from, "told_to"), alert->told_to, &alert->ntold_to);
	alert->restored = true;
	alert->next = alerts->known;
	alerts->known = alert;
	return alert;
}

/* One that wasn't raised when the checkpoint was written, or not to all that
 * have been told of it since. */
static void
replay_raised(
    struct alerts *alerts, const cJSON *body, const struct alert_event *event)
{
	struct alert *alert = alerts->known;

	while (alert != NULL && !text_equal(alert->key, event->key))
		alert = alert->next;
	if (alert == NULL)
		alert = restore(alerts, body, true);
	if (alert == NULL)
		return;
	alert->told = true;
	alert->severity = severity_of(record_text(body, "severity", ""));
	for (size_t i = 0; i < event->nto; i++)
		spool_note_told(alert, event->to[i]);
}

static void
drop_known(struct alerts *alerts, const char *key)
{
	struct alert **at = &alerts->known;

	while (*at != NULL && !text_equal((*at)->key, key))
		at = &(*at)->next;
	if (*at == NULL)
		return;
	struct alert *alert = *at;

	*at = alert->next;
	spool_free_alert(alert);
}

static cJSON *
read_json(const char *dir, const char *name, size_t max)
{
	struct err err = ERR_INIT;
	char path[PATH_SIZE];
	struct buffer bytes;
	cJSON *json = NULL;

	buffer_init(&bytes, max);
	if (text_format(path, sizeof(path), &err, "%s/%s", dir, name) == 0 &&
	    buffer_read_file(&bytes, path, &err) == 0)
		json = record_parse(bytes.data, bytes.len);
	buffer_fini(&bytes);
	return json;
}

static void
read_checkpoint(struct alerts *alerts)
{
	CLEANUP(record_free)
	cJSON *json = read_json(alerts->dir, CHECKPOINT, CHECKPOINT_MAX);
	const cJSON *item = NULL;
	int64_t next = record_i64(json, "next", 1);
	char fresh[sizeof(alerts->nonce)];

	memcpy(fresh, alerts->nonce, sizeof(fresh));
	alerts->next = next > 0 ? (uint64_t)next : 1;
	if (text_copy(alerts->nonce, sizeof(alerts->nonce),
	        record_text(json, "nonce", fresh), NULL) == -1)
		memcpy(alerts->nonce, fresh, sizeof(fresh));
	cJSON_ArrayForEach(item, record_array(json, "active"))
	{
		(void)restore(alerts, item, false);
	}
}

static void
read_event(struct alerts *alerts, const char *name, uint64_t checkpoint)
{
	CLEANUP(record_free)
	cJSON *json = read_json(alerts->dir, name, FILE_MAX);
	const cJSON *body = cJSON_GetObjectItemCaseSensitive(json, "event");
	const cJSON *item = NULL;
	int64_t number = record_i64(json, "number", 0);

	if (number <= 0 || !cJSON_IsObject(body)) {
		log_warning("alert.spool", "file=%s is no event, left", name);
		return;
	}
	char *text = cJSON_PrintUnformatted(body);
	struct alert_event *event =
	    text == NULL ? NULL : event_new((uint64_t)number, text);

	free(text);
	if (event == NULL)
		return;
	cJSON_ArrayForEach(item, record_array(json, "pending"))
	{
		if (cJSON_IsString(item))
			event_add_pending(event, item->valuestring);
	}
	read_names(record_array(json, "to"), event->to, &event->nto);
	link_event(alerts, event);
	alerts->next = MAX(alerts->next, (uint64_t)number + 1);
	if ((uint64_t)number < checkpoint)
		return;
	const char *state = record_text(body, "state", "");

	if (text_equal(state, "repeated") || event->test)
		return;
	if (text_equal(state, "raised"))
		replay_raised(alerts, body, event);
	else
		drop_known(alerts, event->key);
}

static int
is_event(const struct dirent *entry)
{
	return strlen(entry->d_name) == 25 && text_ends(entry->d_name, ".json");
}

void
spool_open(struct alerts *alerts, const char *dir)
{
	struct err err = ERR_INIT;
	struct dirent **names = NULL;

	if (dir == NULL || *dir == '\0')
		return;
	if (fd_make_dirs(dir, SPOOL_DIR_MODE, &err) == -1 ||
	    access(dir, W_OK) == -1) {
		log_warning("alert.spool",
		    "dir='%s' can't be written: alerts that wait are lost "
		    "with the operator",
		    dir);
		return;
	}
	alerts->dir = strdup(dir);
	if (alerts->dir == NULL)
		return;
	read_checkpoint(alerts);
	uint64_t checkpoint = alerts->next;
	int count = scandir(dir, &names, is_event, alphasort);

	for (int i = 0; i < count; i++) {
		read_event(alerts, names[i]->d_name, checkpoint);
		free(names[i]);
	}
	free(names);
	spool_checkpoint(alerts); /* the nonce, before it is used */
}

void
spool_close(struct alerts *alerts)
{
	while (alerts->events != NULL) {
		struct alert_event *event = alerts->events;
		alerts->events = event->next;
		event_free(event);
	}
	alerts->nevents = 0;
}
