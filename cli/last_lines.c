/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "cli/answer.h"
#include "cli/last_lines.h"
#include "supervisor/wire/logs_client.h"

enum {
	LINE_SHOWN = 200, /* bytes of it */
	PATIENCE_MS = 2000
};

struct ended {
	cJSON *event;
	const char *worker;
	int64_t pid;
	uint32_t replica;
	bool goes_on; /* the next record is more of the same line */
	size_t len;
	char line[LINE_SHOWN];
};

static int
by_process(const void *one, const void *two)
{
	const struct ended *a = one, *b = two;

	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	if (a->replica != b->replica)
		return a->replica < b->replica ? -1 : 1;
	return strcmp(a->worker, b->worker);
}

static int64_t
number_of(const cJSON *event, const char *key)
{
	const cJSON *number = cJSON_GetObjectItemCaseSensitive(event, key);

	return cJSON_IsNumber(number) ? (int64_t)number->valuedouble : -1;
}

/* Those that ended, sorted; NULL: none, or no memory. */
static struct ended *
collect(const cJSON *events, size_t *ret_count)
{
	struct ended *all =
	    calloc((size_t)cJSON_GetArraySize(events) + 1, sizeof(*all));
	cJSON *event = NULL;
	size_t count = 0;

	cJSON_ArrayForEach(event, events)
	{
		int64_t pid = number_of(event, "pid");
		if (all != NULL && pid > 0 &&
		    text_equal(answer_text(event, "kind"), "exited"))
			all[count++] = (struct ended){
			    .event = event,
			    .worker = answer_text(event, "worker"),
			    .pid = pid,
			    .replica = (uint32_t)number_of(event, "replica"),
			};
	}
	if (count == 0) {
		free(all);
		return NULL;
	}
	qsort(all, count, sizeof(*all), by_process);
	*ret_count = count;
	return all;
}

static void
note(struct ended *all, size_t count, const struct logs_record *record,
    const char *text)
{
	struct ended key = {.worker = record->worker,
	    .pid = record->pid,
	    .replica = record->replica};
	struct ended *one = bsearch(&key, all, count, sizeof(*all), by_process);

	if (one == NULL || (record->flags & LOGS_LOST) != 0)
		return;
	bool more = one->goes_on;

	one->goes_on = (record->flags & LOGS_PARTIAL) != 0;
	if (more || record->len == 0)
		return;
	one->len = MIN((size_t)record->len, sizeof(one->line));
	/* not through the middle of a character */
	while (one->len < record->len && one->len > 0 &&
	       ((unsigned char)text[one->len] & 0xC0) == 0x80)
		one->len--;
	memcpy(one->line, text, one->len);
}

static void
read_lines(const struct control_client *client, const char *worker,
    struct ended *all, size_t count)
{
	struct logs_request request = {
	    .replica = WIRE_ALL_REPLICAS, .tail = INT32_MAX};
	int64_t until_ms = clock_after(clock_ms(), PATIENCE_MS);
	static char text[LOGS_TEXT_MAX];
	struct logs_record record;
	int64_t left_ms = PATIENCE_MS;

	if (text_copy(request.worker, sizeof(request.worker), worker, NULL) ==
	    -1)
		return;
	int fd = logs_connect(
	    &client->logs, client->logs_len, &request, PATIENCE_MS, NULL);

	if (fd == -1)
		return;
	while (left_ms > 0 &&
	       logs_next(fd, &record, text, (int)left_ms, NULL) > 0) {
		note(all, count, &record, text);
		left_ms = until_ms - clock_ms();
	}
	(void)close(fd);
}

static void
write_line(const struct ended *one)
{
	struct buffer bytes;
	struct jsonw json;

	buffer_init(&bytes, sizeof(one->line) * 8);
	jsonw_init(&json, &bytes, false);
	jsonw_bytes(&json, NULL, one->line, one->len);
	(void)cJSON_AddRawToObject(one->event, "last_line",
	    one->len == 0 || bytes.overflow ? "null" : bytes.data);
	buffer_fini(&bytes);
}

void
last_lines_add(const struct control_client *client, const char *worker,
    const cJSON *events)
{
	size_t count = 0;
	struct ended *all = collect(events, &count);

	if (all == NULL)
		return;
	read_lines(client, worker, all, count);
	for (size_t i = 0; i < count; i++)
		write_line(&all[i]);
	free(all);
}
