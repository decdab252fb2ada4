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

struct sample {
	struct look *look;
	const char *ids[SAMPLE_JOBS]; /* NULL: the job says none */
	const char *versions[VERSIONS_MAX];
	size_t counts[VERSIONS_MAX];
	size_t nversions, count;
};

/* A field of a payload as text; NULL: it isn't there, or is no plain value. */
static const char *
field(struct arena *arena, const cJSON *json, const char *path)
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
	if (most == 1)
		return;
	look_note(sample->look, "duplicates", "%zu", most);
	look_note(
	    sample->look, "duplicate-of", "%.100s", page->items[first].id);
}

static void
take(struct sample *sample, const struct queue_page *page, const char *id,
    const char *version)
{
	for (size_t i = 0; i < page->count && sample->count < SAMPLE_JOBS;
	     i++) {
		const struct queue_item *item = &page->items[i];
		/* one that was cut is no JSON any more, and isn't counted */
		bool whole = item->payload_whole < 0 ||
		             item->payload_whole == (int64_t)item->payload_len;
		CLEANUP(json_free)
		cJSON *json =
		    whole ? json_read(arena_bytes(sample->look->arena,
		                          item->payload, item->payload_len),
		                item->payload_len, NULL)
		          : NULL;

		if (!cJSON_IsObject(json))
			continue;
		if (version != NULL)
			count_version(sample,
			    as_version(
			        field(sample->look->arena, json, version)));
		if (id != NULL)
			sample->ids[sample->count] =
			    field(sample->look->arena, json, id);
		sample->count++;
	}
}

void
queue_sample(struct look *look, struct queue *queue)
{
	struct sample sample = {.look = look};
	const cJSON *wanted = NULL;
	const char *id = NULL;
	const char *version = NULL;
	struct queue_page page = {.items = NULL};
	struct err err = ERR_INIT;

	if (json_object(look->request, "sample", &wanted, NULL) == -1 ||
	    wanted == NULL || json_text(wanted, "id", NULL, &id, NULL) == -1 ||
	    json_text(wanted, "version", NULL, &version, NULL) == -1)
		return;
	if (queue_list(queue, PART_WAITING, SAMPLE_JOBS, look->arena, &page,
	        &err) == -1) {
		look_note(look, "sample-unknown", "%s", err.text);
		return;
	}
	take(&sample, &page, id, version);
	if (sample.count == 0) {
		look_note(look, "sample-unknown", "%s",
		    page.count == 0 ? "nothing waits"
		                    : "no job that waits is a JSON object");
		return;
	}
	look_note(look, "sampled", "%zu", sample.count);
	note_versions(&sample);
	note_duplicates(&sample, &page);
}
