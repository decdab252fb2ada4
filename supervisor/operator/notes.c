/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/record.h"
#include "supervisor/operator/spool.h"

/*
 * operator.json in the state directory: what is held down, what
 * was scaled, and which files the running processes were started from. Only
 * fingerprints under the init's key; with another key it is another init's,
 * and worth nothing.
 */
enum {
	NOTES_MAX = 64 << 20,
	NOTES_MODE = 0600,
	PATH_SIZE = 512,
};

static const char NOTES_FILE[] = "operator.json";
static const char KEY_MARK[] = "reeve operator notes";

static const char *
key_mark(const struct operator_core *op, char dst[RECORD_HEX_SIZE])
{
	struct fingerprint print =
	    fingerprint_of(&op->key, KEY_MARK, sizeof(KEY_MARK));

	return record_hex(print.bytes, dst);
}

static void
write_tracked(const struct tracked *tracked, struct jsonw *json)
{
	char text[RECORD_HEX_SIZE];

	jsonw_object(json, NULL);
	jsonw_text(json, "name", tracked->name);
	if (tracked->memory.has_bad)
		jsonw_text(json, "bad", record_hex(tracked->memory.bad, text));
	if (tracked->scale >= 0) {
		jsonw_i64(json, "scale", tracked->scale);
		jsonw_i64(json, "scale_over", tracked->scale_over);
	}
	jsonw_array(json, "stalls");
	for (size_t i = 0; i < STALL_RESTARTS_MAX; i++)
		jsonw_i64(json, NULL, tracked->stall_ms[i]);
	jsonw_end(json);
	jsonw_end(json);
}

static void
write_files(const struct running_instance *instance, struct jsonw *json)
{
	if (instance->files_pid == 0 ||
	    instance->files_pid != instance->wire.pid)
		return;
	jsonw_object(json, NULL);
	jsonw_text(json, "worker", instance->wire.name);
	jsonw_i64(json, "replica", (int64_t)instance->wire.replica);
	jsonw_i64(json, "pid", instance->files_pid);
	jsonw_i64(json, "exits", (int64_t)instance->wire.total_exits);
	jsonw_array(json, "sha256");
	for (size_t i = 0; i < instance->nfiles; i++)
		jsonw_format(json, NULL, "%016" PRIx64 ":%s",
		    instance->files[i].path, instance->files[i].sha256);
	jsonw_end(json);
	jsonw_end(json);
}

void
notes_write(struct operator_core *op)
{
	struct err err = ERR_INIT;
	char path[PATH_SIZE];
	char mark[RECORD_HEX_SIZE];
	struct buffer bytes;
	struct jsonw json;

	if (op->state_dir == NULL)
		return;
	buffer_init(&bytes, NOTES_MAX);
	jsonw_init(&json, &bytes, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "key", key_mark(op, mark));
	jsonw_array(&json, "workers");
	for (size_t i = 0; i < op->ntracked; i++)
		write_tracked(&op->tracked[i], &json);
	jsonw_end(&json);
	jsonw_array(&json, "files");
	for (size_t i = 0; i < op->running.count; i++)
		for (size_t k = 0; k < op->running.workers[i].ninstances; k++)
			write_files(
			    &op->running.workers[i].instances[k], &json);
	jsonw_end(&json);
	jsonw_end(&json);
	if (bytes.overflow ||
	    text_format(path, sizeof(path), &err, "%s/%s", op->state_dir,
	        NOTES_FILE) == -1 ||
	    fd_replace_file(path, NOTES_MODE, bytes.data, bytes.len, &err) ==
	        -1) {
		log_warning("operator.notes", "not kept: %s", err.text);
		op->notes_due = true; /* with the next pass */
	}
	buffer_fini(&bytes);
}

static void
read_tracked(struct operator_core *op, const cJSON *from)
{
	const char *name = record_text(from, "name", "");
	const cJSON *item = NULL;
	size_t stalls = 0;

	if (*name == '\0' || strlen(name) > WORKER_NAME_MAX)
		return;
	struct tracked *tracked = operator_track(op, name);

	tracked->memory.has_bad =
	    record_unhex(record_text(from, "bad", NULL), tracked->memory.bad);
	cJSON_ArrayForEach(item, record_array(from, "stalls"))
	{
		if (stalls < STALL_RESTARTS_MAX && cJSON_IsNumber(item))
			tracked->stall_ms[stalls++] =
			    (int64_t)item->valuedouble;
	}
	tracked->scale = record_i64(from, "scale", -1);
	tracked->scale_over = record_i64(from, "scale_over", -1);
	if (tracked->scale > WORKER_REPLICAS_MAX)
		tracked->scale = -1;
}

static void
read_files(struct operator_core *op, const cJSON *from)
{
	struct running_worker *worker =
	    running_find(&op->running, record_text(from, "worker", ""));
	struct running_instance *instance =
	    worker == NULL
	        ? NULL
	        : running_instance_find(worker,
	              (uint32_t)record_i64(from, "replica", UINT32_MAX));
	const cJSON *item = NULL;

	if (instance == NULL ||
	    instance->wire.pid != record_i64(from, "pid", -1) ||
	    (int64_t)instance->wire.total_exits !=
	        record_i64(from, "exits", -1))
		return;
	instance->files_pid = instance->wire.pid;
	instance->nfiles = 0;
	cJSON_ArrayForEach(item, record_array(from, "sha256"))
	{
		char *end = NULL;
		if (!cJSON_IsString(item))
			break;
		uint64_t path = strtoull(item->valuestring, &end, 16);
		if (*end != ':')
			break;
		struct file_identity *file = running_file_add(instance);
		file->path = path;
		file->known = text_copy(file->sha256, sizeof(file->sha256),
		                  end + 1, NULL) == 0 &&
		              *file->sha256 != '\0';
	}
}

/* To be called once the running instances are known. */
void
notes_read(struct operator_core *op)
{
	struct err err = ERR_INIT;
	char path[PATH_SIZE];
	char mark[RECORD_HEX_SIZE];
	struct buffer bytes;
	const cJSON *item = NULL;

	if (op->state_dir == NULL ||
	    text_format(path, sizeof(path), &err, "%s/%s", op->state_dir,
	        NOTES_FILE) == -1)
		return;
	buffer_init(&bytes, NOTES_MAX);
	CLEANUP(record_free)
	cJSON *json = buffer_read_file(&bytes, path, &err) == 0
	                  ? record_parse(bytes.data, bytes.len)
	                  : NULL;

	buffer_fini(&bytes);
	if (json == NULL ||
	    !text_equal(record_text(json, "key", ""), key_mark(op, mark)))
		return;
	cJSON_ArrayForEach(item, record_array(json, "workers"))
	    read_tracked(op, item);
	cJSON_ArrayForEach(item, record_array(json, "files"))
	    read_files(op, item);
}

/* --- the history --------------------------------------------------------- */

static void
alert_told(void *arg, const struct alert *alert, const char *state)
{
	struct operator_core *op = arg;

	if (text_equal(state, "raised"))
		counters_alert(&op->counters, alert->kind);
	events_say(op->events,
	    text_equal(state, "raised")     ? "alert"
	    : text_equal(state, "silenced") ? "alert-silenced"
	                                    : "alert-over",
	    NULL, "%s: %s", alert->subject, alert->summary);
}

static void
silence_over(void *arg, const struct silence *silence)
{
	struct operator_core *op = arg;

	events_say(op->events, "silence-over", NULL,
	    "silence %" PRId64 " of '%s' is over", silence->id, silence->match);
}

static void
receiver_told(void *arg, const char *name, const char *why)
{
	struct operator_core *op = arg;

	events_say(op->events, why == NULL ? "receiver-up" : "receiver-down",
	    NULL, "%s: %s", name, why == NULL ? "takes alerts again" : why);
}

/* The init tells what came after the event of this number, and goes on. */
static void
ask_events(void *arg, uint64_t number)
{
	struct operator_core *op = arg;
	union wire_message message;
	struct err err = ERR_INIT;

	memset(&message, 0, sizeof(message));
	message.since.number = number;
	if (wire_client_send(
	        &op->init, WIRE_EVENTS, &message, -1, NULL, &err) == -1)
		log_warning("history", "no events: %s", err.text);
}

void
notes_open_history(struct operator_core *op)
{
	struct err err = ERR_INIT;

	if (store_open(&op->store, op->state_dir, &err) == 0)
		op->events = events_new(&op->store, &op->loop,
		    op->init.hello.started_wall_ms, &err);
	op->trend = trend_new(&op->store, &op->loop, &err);
	op->counters.last_event = events_last(op->events);
	if (op->events == NULL)
		log_warning("history", "no events: %s", err.text);
	else
		ask_events(op, op->counters.last_event);
	events_ask_again(op->events, ask_events, op);
	events_say(
	    op->events, "operator", NULL, "started, pid %d", (int)getpid());
	op->alerts.told = alert_told;
	op->alerts.receiver_told = receiver_told;
	op->alerts.silence_over = silence_over;
	op->alerts.told_arg = op;
}
