/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <regex.h>
#include <string.h>

#include "base/text.h"
#include "manifests/queue_form.h"
#include "manifests/validate.h"

static void
queue_keys(
    struct validation *v, const struct node *queue, enum queue_kind_id kind)
{
	const struct mapping *mapping = mapping_of(MAPPING_queue);
	const char *valid[ROWS_queue + 1] = {0};
	uint64_t bit = UINT64_C(1) << kind;
	size_t n = 0;

	for (size_t i = 0; i < mapping->nrows; i++) {
		if ((mapping->rows[i].kinds & bit) != 0)
			valid[n++] = mapping->rows[i].key;
	}
	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		const struct node *value = node_get(queue, row->key);
		if (value != NULL && row->kinds != 0 && (row->kinds & bit) == 0)
			complain(v->complaints, value->key,
			    "a queue of kind %s has no key '%s'; valid: %s",
			    queue_kinds[kind].word, row->key,
			    words_listed(v->arena, valid));
		if (value == NULL && (row->needed_by & bit) != 0)
			complain(v->complaints, queue,
			    "a queue of kind %s needs '%s'",
			    queue_kinds[kind].word, row->key);
	}
}

static void
queue_one_url(struct validation *v, const struct node *queue)
{
	const struct mapping *mapping = mapping_of(MAPPING_queue);
	const struct node *url = node_get(queue, "url");
	struct queue_form form;
	bool outside = false;
	struct err err;

	for (size_t i = 0; i < mapping->nrows; i++) {
		const struct row *row = &mapping->rows[i];
		const struct node *value = node_get(queue, row->key);
		if (value == NULL || row->kinds == 0)
			continue;
		outside = true;
		complain(v->complaints, value->key,
		    "'%s' without 'kind': in the one-URL form it "
		    "belongs into 'url' (…?%s=…); or say 'kind'",
		    row->key,
		    text_equal(row->key, "deadLetter") ? "dlq" : row->key);
	}
	if (outside || node_text(url) == NULL)
		return;
	const char *query = strchr(url->text, '?');
	if (strstr(url->text, "$(") == NULL) {
		if (queue_form_take(v->arena, url->text, &form, &err) == -1)
			complain(v->complaints, url, "'url': %s", err.text);
	} else if (query != NULL && strchr(query + 1, '?') != NULL) {
		complain(v->complaints, url,
		    "'url': a second '?': in the one-URL form everything "
		    "after the first is key=value&…");
	}
}

static void
check_jobs(struct validation *v, const struct node *queue)
{
	const struct node *jobs = node_get(queue, "jobs");

	validate_goes_with(v, jobs, "version", "versions");
	validate_goes_with(v, jobs, "versions", "version");
	validate_goes_with(v, jobs, "row", "id");
	const struct node *row = node_get(jobs, "row");

	/* which kind of database it is doesn't matter */
	for (const struct node *it =
	         row != NULL && row->kind == NODE_MAPPING ? row->first : NULL;
	     it != NULL; it = it->next) {
		const struct node *query = node_get(it, "query");

		if (node_text(query) != NULL &&
		    strstr(query->text, "$(JOB)") == NULL)
			complain(v->complaints, query,
			    "'query' must hold $(JOB): without it no job's row "
			    "can be told from another's");
	}
}

void
validate_queue(struct validation *v, const struct node *queue)
{
	const struct node *kind = node_get(queue, "kind");
	const struct node *url = node_get(queue, "url");
	enum queue_kind_id id = queue_kind_find(node_text(kind));

	check_jobs(v, queue);
	if (kind == NULL) {
		queue_one_url(v, queue);
		return;
	}
	if (id == QUEUE_KINDS)
		return;
	queue_keys(v, queue, id);
	if (node_text(url) != NULL && queue_form_plain(id, url->text) == NULL)
		complain(v->complaints, url,
		    "'url': a queue of kind %s has a URL of scheme %s",
		    queue_kinds[id].word, queue_kinds[id].schemes);
	const char *end = node_text(node_get(queue, "consume"));
	if (end != NULL && !text_equal(end, "left") &&
	    !text_equal(end, "right") && strstr(end, "$(") == NULL)
		complain(v->complaints, node_get(queue, "consume"),
		    "'consume' must be left or right");
}

/* What the name of a queue must match has to be an expression at all. */
void
validate_queue_names(struct validation *v)
{
	const struct node *node = node_get(v->root, "queueNames");
	const char *text = node_text(node);
	char why[100];
	regex_t pattern;

	if (text == NULL)
		return;
	int rc = regcomp(&pattern, text, REG_EXTENDED | REG_NOSUB);

	if (rc == 0) {
		regfree(&pattern);
		return;
	}
	(void)regerror(rc, &pattern, why, sizeof(why));
	complain(v->complaints, node,
	    "'%s' is no extended regular expression: %s", text, why);
}
