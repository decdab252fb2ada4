/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "base/url.h"
#include "manifests/queue_form.h"
#include "manifests/resolve.h"

static const char *
driver_word(const char *key)
{
	return text_equal(key, "deadLetter") ? "dlq" : key;
}

static void
note_unresolved(struct declared_queue *queue, const char *name)
{
	if (queue->url_unresolved == NULL)
		queue->url_unresolved = name;
}

static void
hide(struct resolve *r, struct declared_queue *queue, bool from_secret)
{
	struct err err = ERR_INIT;
	struct url url = {0};

	queue->url_secret = from_secret;
	if (queue->url == NULL ||
	    url_parse(r->arena, queue->url, &url, &err) == -1)
		return;
	queue->url_secret = from_secret || url.password != NULL;
	if (r->redactor != NULL && url.password != NULL)
		redactor_add(r->redactor, url.password);
}

/* --- kind and its own keys --- */

static void
take_key(struct resolve *r, struct declared_queue *queue, const struct row *row,
    const struct node *node)
{
	struct resolved_text text = resolve_text(r, node->text, node);

	if (text.unresolved != NULL) {
		note_unresolved(queue, text.unresolved);
		return;
	}
	queue->options[queue->noptions++] = (struct declared_option){
	    driver_word(row->key), text.text, resolve_key_place(r, node)};
	if (text_equal(row->key, queue->real_key)) {
		queue->real_name = text.text;
		queue->real_name_place = resolve_place(r, node);
	}
}

static void
take_keys(struct resolve *r, struct declared_queue *queue,
    const struct manifest_queue *raw, const struct node *node)
{
	const struct mapping *mapping = mapping_of(MAPPING_queue);
	enum queue_kind_id id = queue_kind_find(raw->kind);
	const struct queue_kind *kind = &queue_kinds[id];
	const struct node *url_node = node_get(node, "url");

	queue->kind = kind->word;
	queue->real_key = kind->name_key;
	queue->options =
	    arena_array(r->arena, node->count, sizeof(*queue->options));
	for (const struct node *it = node->first; it != NULL; it = it->next) {
		const struct row *row = mapping_row(mapping, it->key->text);
		if (row != NULL && row->kinds != 0)
			take_key(r, queue, row, it);
	}
	struct resolved_text url = resolve_text(r, raw->url, url_node);
	if (url.unresolved != NULL)
		note_unresolved(queue, url.unresolved);
	const char *plain =
	    url.text != NULL ? queue_form_plain(id, url.text) : NULL;
	if (queue->url_unresolved == NULL) /* the driver refuses what is none */
		queue->url = plain != NULL ? plain : url.text;
	hide(r, queue, url.secret);
}

/* --- the one-URL form --- */

/* Of a URL whose base can't be resolved, what is literal still says kind and
 * name: enough to compare names. */
static void
take_literal_rest(struct resolve *r, struct declared_queue *queue,
    const char *text, const struct node *node)
{
	const char *query = strchr(text, '?');
	struct queue_form form;
	struct err err = ERR_INIT;
	const char *prefix = "redis://h";

	queue->kind = "";
	queue->real_key = "";
	const char *plus = strchr(text, '+');
	if (plus != NULL && (query == NULL || plus < query)) {
		const char *word =
		    arena_bytes(r->arena, text, (size_t)(plus - text));
		enum queue_kind_id id = queue_kind_find(word);
		if (id == QUEUE_KINDS)
			return;
		const char *scheme = queue_kinds[id].schemes;
		prefix = arena_format(r->arena, "%s+%.*s://h", word,
		    (int)strcspn(scheme, " "), scheme);
	}
	if (query == NULL || strstr(query, "$(") != NULL ||
	    queue_form_take(r->arena,
	        arena_format(r->arena, "%s%s", prefix, query), &form,
	        &err) == -1)
		return;
	queue->kind = queue_kinds[form.kind].word;
	queue->real_key = queue_kinds[form.kind].name_key;
	for (size_t i = 0; i < form.noptions; i++) {
		if (text_equal(form.options[i].key, queue->real_key))
			queue->real_name = form.options[i].value;
	}
	queue->real_name_place = resolve_place(r, node);
}

static void
take_form(struct resolve *r, struct declared_queue *queue, const char *text,
    const struct node *node)
{
	struct resolved_text url = resolve_text(r, text, node);
	struct place place = resolve_place(r, node);
	struct queue_form form;
	struct err err = ERR_INIT;

	if (url.unresolved != NULL) {
		note_unresolved(queue, url.unresolved);
		take_literal_rest(r, queue, text, node);
		return;
	}
	if (queue_form_take(r->arena, url.text, &form, &err) == -1) {
		complain(r->complaints, node, "'url': %s", err.text);
		return;
	}
	queue->kind = queue_kinds[form.kind].word;
	queue->real_key = queue_kinds[form.kind].name_key;
	queue->url = form.url;
	queue->options =
	    arena_array(r->arena, form.noptions, sizeof(*queue->options));
	for (size_t i = 0; i < form.noptions; i++) {
		queue->options[queue->noptions++] =
		    (struct declared_option){driver_word(form.options[i].key),
		        form.options[i].value, place};
		if (text_equal(form.options[i].key, queue->real_key))
			queue->real_name = form.options[i].value;
	}
	queue->real_name_place = place;
	hide(r, queue, url.secret);
}

/* Kinds whose URL names the queue itself: `sqs://region/account/jobs`. */
static void
name_from_path(struct resolve *r, struct declared_queue *queue)
{
	static const char *const kinds[] = {"pubsub", "servicebus", "sqs"};
	struct url url;

	if (queue->real_name != NULL || queue->url == NULL)
		return;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!text_equal(queue->kind, kinds[i]) ||
		    url_parse(r->arena, queue->url, &url, NULL) == -1)
			continue;
		const char *slash = strrchr(url.path, '/');

		if (slash != NULL && slash[1] != '\0')
			queue->real_name = slash + 1;
	}
}

/* --- all --- */

static double
ratio_of(const char *text)
{
	double ratio = -1;

	if (text != NULL)
		(void)!text_ratio(text, &ratio, NULL);
	return ratio;
}

#define FIRST(a, b) ((a) != NULL ? (a) : (b))

/* What the presets say where the queue says nothing itself; of both, the one
 * with fixed thresholds. */
static void
take_presets(const struct manifest_alert_presets *presets,
    const struct manifest_objectives *own, struct declared_objectives *ret)
{
	if (presets != NULL && presets->standard != NULL) {
		const struct manifest_preset_default *preset =
		    presets->standard;
		ret->failure_ratio = ratio_of(
		    FIRST(FIRST(own->failure_ratio, preset->failure_ratio),
		        DEFAULT_OF(preset_default, failure_ratio)));
		ret->window_ms =
		    resolve_duration(FIRST(own->window, preset->window),
		        DEFAULT_OF(preset_default, window));
		ret->min_count =
		    resolve_int(FIRST(own->min_count, preset->min_count),
		        DEFAULT_OF(preset_default, min_count));
	}
	if (presets != NULL && presets->incident != NULL) {
		const struct manifest_preset_incident *preset =
		    presets->incident;
		ret->depth = resolve_int(FIRST(own->depth, preset->depth),
		    DEFAULT_OF(preset_incident, depth));
		ret->dead_letters =
		    resolve_int(FIRST(own->dead_letters, preset->dead_letters),
		        DEFAULT_OF(preset_incident, dead_letters));
		ret->lease_expiry_ratio = ratio_of(FIRST(
		    FIRST(own->lease_expiry_ratio, preset->lease_expiry_ratio),
		    DEFAULT_OF(preset_incident, lease_expiry_ratio)));
		ret->failure_ratio = ratio_of(
		    FIRST(FIRST(own->failure_ratio, preset->failure_ratio),
		        DEFAULT_OF(preset_incident, failure_ratio)));
		ret->min_count =
		    resolve_int(FIRST(own->min_count, preset->min_count),
		        DEFAULT_OF(preset_incident, min_count));
	}
}

static struct declared_objectives
objectives_of(const struct resolve *r, const struct manifest_objectives *raw)
{
	static const struct manifest_objectives none = {0};

	if (raw == NULL)
		raw = &none;
	struct declared_objectives ret = {
	    .depth = resolve_int(raw->depth, "-1"),
	    .oldest_ms = resolve_duration(raw->oldest, NULL),
	    .dead_letters = resolve_int(raw->dead_letters, "-1"),
	    .failure_ratio = ratio_of(raw->failure_ratio),
	    .lease_expiry_ratio = ratio_of(raw->lease_expiry_ratio),
	    .hold_ms =
	        resolve_duration(raw->hold, DEFAULT_OF(objectives, hold)),
	    .window_ms =
	        resolve_duration(raw->window, DEFAULT_OF(objectives, window)),
	    .min_count =
	        resolve_int(raw->min_count, DEFAULT_OF(objectives, min_count)),
	};

	take_presets(r->raw->alert_presets, raw, &ret);
	return ret;
}

static struct declared_probe_request
row_of(struct resolve *r, const struct node *node)
{
	if (node == NULL)
		return (struct declared_probe_request){.kind = NULL};
	const struct row *row = resolve_chosen(MAPPING_row, node);

	return resolve_request(r, row->key, row->sub, node_get(node, row->key));
}

static struct declared_jobs
jobs_of(
    struct resolve *r, const struct manifest_jobs *raw, const struct node *node)
{
	static const struct manifest_jobs none = {0};

	if (raw == NULL)
		raw = &none;
	int64_t from = 0, below = -1;

	/* what isn't a quantity was refused */
	if (raw->size_from != NULL)
		(void)!text_quantity(raw->size_from, &from, NULL);
	if (raw->size_below != NULL)
		(void)!text_quantity(raw->size_below, &below, NULL);
	return (struct declared_jobs){
	    .size = arena_text(r->arena, raw->size),
	    .size_from = from,
	    .size_below = below,
	    .longest_ms = resolve_duration(raw->longest, NULL),
	    .extends = raw->extends != NULL && *raw->extends,
	    .tries = resolve_int(raw->tries, DEFAULT_OF(jobs, tries)),
	    .most_tries = resolve_int(raw->most_tries, "0"),
	    .id = arena_text(r->arena, raw->id),
	    .row = row_of(r, node_get(node, "row")),
	    .version = arena_text(r->arena, raw->version),
	    .versions = resolve_texts(r, raw->versions, raw->versions_count),
	};
}

void
resolve_queues(struct resolve *r)
{
	struct declared *declared = r->declared;
	const struct node *node = node_items(node_get(r->root, "queues"));

	declared->queue_names = arena_text(r->arena, r->raw->queue_names);
	declared->nqueues = r->raw->queues_count;
	declared->queues =
	    arena_array(r->arena, declared->nqueues, sizeof(*declared->queues));
	for (size_t i = 0; i < declared->nqueues; i++, node = node->next) {
		const struct manifest_queue *raw = &r->raw->queues[i];
		struct declared_queue *queue = &declared->queues[i];
		queue->name = arena_text(r->arena, raw->name);
		queue->place = resolve_place(r, node);
		queue->objectives = objectives_of(r, raw->objectives);
		queue->jobs = jobs_of(r, raw->jobs, node_get(node, "jobs"));
		queue->enabled_by = arena_text(r->arena, raw->enabled_by);
		queue->other_names =
		    resolve_texts(r, raw->other_names, raw->other_names_count);
		queue->other_consumers = resolve_texts(
		    r, raw->other_consumers, raw->other_consumers_count);
		if (raw->kind != NULL)
			take_keys(r, queue, raw, node);
		else
			take_form(r, queue, raw->url, node_get(node, "url"));
		name_from_path(r, queue);
	}
}

/* By how many jobs the last replica is called for, and the first. */
static int64_t
most_of(const struct declared_scale *scale)
{
	return MAX(scale->max * scale->jobs_per_replica, scale->activation);
}

void
resolve_counts(struct resolve *r)
{
	struct declared *declared = r->declared;

	for (size_t i = 0; i < declared->nqueues; i++) {
		struct declared_queue *queue = &declared->queues[i];
		int64_t most = MAX(
		    queue->objectives.depth, queue->objectives.dead_letters);

		for (size_t j = 0; j < declared->nworkers; j++) {
			const struct declared_scale *scale =
			    &declared->workers[j].scale;

			if (scale->queue == queue)
				most = MAX(most, most_of(scale));
		}
		queue->count_to = most + 1;
	}
}

struct declared_binding *
resolve_bindings(struct resolve *r, const struct manifest_binding *raw,
    unsigned count, const struct node *node)
{
	struct declared_binding *bindings =
	    arena_array(r->arena, count, sizeof(*bindings));
	const struct node *it = node_items(node);

	for (unsigned i = 0; i < count; i++, it = it->next)
		bindings[i] = (struct declared_binding){
		    .queue = declared_queue_find(r->declared, raw[i].queue),
		    .env = arena_text(r->arena, raw[i].env),
		    .place = resolve_place(r, it)};
	return bindings;
}
