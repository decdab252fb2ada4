/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "probes/json_read.h"
#include "probes/queue/sample.h"

enum {
	SAMPLE_JOBS = 50,
	VERSIONS_MAX = 16, /* different ones that are told */
	VERSION_SIZE = 32
};

/* What the request asks of each job: fields of its payload, NULL where it asks
 * for none, and which sizes belong into the queue. */
struct wanted {
	const char *id, *version, *size;
	int64_t from, below; /* -1: no end */
};

struct sample {
	struct look *look;
	struct wanted wanted;
	const char *ids[SAMPLE_JOBS]; /* NULL: the job says none */
	const char *versions[VERSIONS_MAX];
	size_t counts[VERSIONS_MAX];
	size_t nversions, count;
	size_t named;          /* say an id */
	size_t sized, outside; /* have a size; one that doesn't belong here */
	int64_t first_outside;
};

cJSON *
sample_payload(struct arena *arena, const struct queue_item *item)
{
	if (item->payload_whole >= 0 &&
	    item->payload_whole != (int64_t)item->payload_len)
		return NULL; /* cut, it is no JSON any more */
	cJSON *json =
	    json_read(arena_bytes(arena, item->payload, item->payload_len),
	        item->payload_len, NULL);

	if (!cJSON_IsObject(json))
		json_free(&json);
	return json;
}

const char *
sample_field(struct arena *arena, const cJSON *json, const char *path)
{
	const cJSON *item = json_at(json, path, arena);
	int64_t number = 0;

	if (cJSON_IsString(item))
		return arena_text(arena, item->valuestring);
	if (json_item_i64(item, &number, NULL) == 0)
		return arena_format(arena, "%lld", (long long)number);
	return NULL;
}

/* What isn't a version, but somebody's text in its place, isn't shown. */
static const char *
as_version(const char *text)
{
	if (text == NULL)
		return "none";
	return strlen(text) < VERSION_SIZE &&
	               text[strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz"
	                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-")] ==
	                   '\0'
	           ? text
	           : "odd";
}

static void
count_version(struct sample *sample, const char *version)
{
	size_t i = 0;

	while (
	    i < sample->nversions && strcmp(sample->versions[i], version) != 0)
		i++;
	if (i == VERSIONS_MAX)
		return;
	if (i == sample->nversions)
		sample->versions[sample->nversions++] = version;
	sample->counts[i]++;
}

static void
note_versions(const struct sample *sample)
{
	for (size_t i = 0; i < sample->nversions; i++)
		look_note(sample->look,
		    arena_format(
		        sample->look->arena, "version %s", sample->versions[i]),
		    "%zu", sample->counts[i]);
}

/* The id that most of them share, if any do; the id itself may say too much. */
static void
note_duplicates(const struct sample *sample, const struct queue_page *page)
{
	size_t most = 1, first = 0;

	for (size_t i = 0; i < sample->count; i++) {
		size_t same = 0;

		for (size_t j = i; sample->ids[i] != NULL && j < sample->count;
		     j++)
			same += text_equal(sample->ids[i], sample->ids[j]);
		if (same > most) {
			most = same;
			first = i;
		}
	}
	look_note(sample->look, "named", "%zu", sample->named);
	if (most == 1)
		return;
	look_note(sample->look, "duplicates", "%zu", most);
	look_note(
	    sample->look, "duplicate-of", "%.100s", page->items[first].id);
}

static void
count_size(struct sample *sample, const cJSON *json)
{
	const struct wanted *wanted = &sample->wanted;
	const cJSON *item = json_at(json, wanted->size, sample->look->arena);
	int64_t size = 0;

	if (json_item_i64(item, &size, NULL) == -1)
		return;
	sample->sized++;
	if (size >= wanted->from && (wanted->below < 0 || size < wanted->below))
		return;
	if (sample->outside++ == 0)
		sample->first_outside = size;
}

static void
note_sizes(const struct sample *sample)
{
	look_note(sample->look, "sized", "%zu", sample->sized);
	if (sample->outside == 0)
		return;
	look_note(sample->look, "outside", "%zu", sample->outside);
	look_note(sample->look, "outside-first", "%lld",
	    (long long)sample->first_outside);
}

static void
take(struct sample *sample, const struct queue_page *page)
{
	const struct wanted *wanted = &sample->wanted;

	for (size_t i = 0; i < page->count && sample->count < SAMPLE_JOBS;
	     i++) {
		CLEANUP(json_free)
		cJSON *json =
		    sample_payload(sample->look->arena, &page->items[i]);

		if (json == NULL)
			continue;
		if (wanted->version != NULL)
			count_version(
			    sample, as_version(sample_field(sample->look->arena,
			                json, wanted->version)));
		if (wanted->id != NULL) {
			const char *id =
			    sample_field(sample->look->arena, json, wanted->id);

			sample->ids[sample->count] = id;
			sample->named += id != NULL;
		}
		if (wanted->size != NULL)
			count_size(sample, json);
		sample->count++;
	}
}

void
queue_sample(struct look *look, struct queue *queue)
{
	struct sample sample = {.look = look};
	struct wanted *wanted = &sample.wanted;
	const cJSON *asked = NULL;
	struct queue_page page = {.items = NULL};
	struct err err = ERR_INIT;

	if (json_object(look->request, "sample", &asked, NULL) == -1 ||
	    asked == NULL ||
	    json_text(asked, "id", NULL, &wanted->id, NULL) == -1 ||
	    json_text(asked, "version", NULL, &wanted->version, NULL) == -1 ||
	    json_text(asked, "size", NULL, &wanted->size, NULL) == -1 ||
	    json_i64(asked, "sizeFrom", 0, &wanted->from, NULL) == -1 ||
	    json_i64(asked, "sizeBelow", -1, &wanted->below, NULL) == -1)
		return;
	if (queue_list(queue, PART_WAITING, SAMPLE_JOBS, look->arena, &page,
	        &err) == -1) {
		look_note(look, "sample-unknown", "%s", err.text);
		return;
	}
	take(&sample, &page);
	if (sample.count == 0) {
		look_note(look, "sample-unknown", "%s",
		    page.count == 0 ? "nothing waits"
		                    : "no job that waits is a JSON object");
		return;
	}
	look_note(look, "sampled", "%zu", sample.count);
	note_versions(&sample);
	if (wanted->id != NULL)
		note_duplicates(&sample, &page);
	if (wanted->size != NULL)
		note_sizes(&sample);
}
