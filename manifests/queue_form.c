/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "base/url.h"
#include "manifests/queue_form.h"

enum {
	KEYS_MAX = 96 /* that a queue may have */
};

static bool
word_in(const char *words, const char *word, size_t len)
{
	for (const char *p = words; *p != '\0'; p += *p == ' ') {
		size_t n = strcspn(p, " ");
		if (n == len && strncmp(p, word, len) == 0)
			return true;
		p += n;
	}
	return false;
}

/* The bytes of the kind's word at the beginning of a URL; 0: it isn't there. Of
 * BullMQ on PostgreSQL, what is behind the '+' says enough. */
static size_t
word_of(enum queue_kind_id kind, const char *url)
{
	const char *word = queue_kinds[kind].word;

	if (text_starts(url, word))
		return strlen(word);
	return kind == QUEUE_KIND_bullmqpg &&
	               text_starts(url, "bullmq+postgres")
	           ? strlen("bullmq")
	           : 0;
}

const char *
queue_form_plain(enum queue_kind_id kind, const char *url)
{
	const struct queue_kind *row = &queue_kinds[kind];
	size_t word = word_of(kind, url);
	const char *end = strstr(url, "://");

	if (end == NULL || memchr(url, '$', (size_t)(end - url)) != NULL ||
	    word_in(row->schemes, url, (size_t)(end - url)))
		return url;
	if (word > 0 && url[word] == '+' &&
	    word_in(
	        row->schemes, url + word + 1, (size_t)(end - url) - word - 1))
		return url + word + 1;
	return NULL;
}

/* "pgtable+postgresql://…" says its kind, and so do redis://, rediss:// and
 * amqps://, whose scheme begins with the kind's word; postgresql:// doesn't. */
static enum queue_kind_id
kind_of_url(const char *url)
{
	for (enum queue_kind_id kind = 0; kind < QUEUE_KINDS; kind++) {
		if (word_of(kind, url) > 0 &&
		    queue_form_plain(kind, url) != NULL)
			return kind;
	}
	return QUEUE_KINDS;
}

/* `len` bytes of scheme that no kind takes as they are. */
static int
refuse_scheme(
    struct arena *arena, const char *scheme, size_t len, struct err *err)
{
	const char *words[QUEUE_KINDS];
	const char *plus = memchr(scheme, '+', len);
	const char *word = arena_bytes(
	    arena, scheme, plus != NULL ? (size_t)(plus - scheme) : len);
	enum queue_kind_id kind = queue_kind_find(word);

	if (kind != QUEUE_KINDS)
		return err_set(err, ERR_INPUT,
		    "a queue of kind %s has a URL of scheme %s, not '%.*s'",
		    word, queue_kinds[kind].schemes, (int)MIN(len, 40), scheme);
	for (size_t i = 0; i < QUEUE_KINDS; i++) {
		words[i] = queue_kinds[i].word;
		if (word_in(queue_kinds[i].schemes, scheme, len))
			return err_set(err, ERR_INPUT,
			    "'%s://' doesn't say what the queue is made of: "
			    "write KIND+%s://…, such as %s+%s://…",
			    word, word, words[i], word);
	}
	const char *near = text_nearest(word, words, ARRAY_LEN(words));
	return err_set(err, ERR_INPUT, "'%.40s' is no kind of queue%s%s%s",
	    word, near != NULL ? "; did you mean '" : "",
	    near != NULL ? near : "", near != NULL ? "'?" : "");
}

static int
take_kind(struct arena *arena, const char *text, enum queue_kind_id *ret_kind,
    const char **ret_url, struct err *err)
{
	const char *end = strstr(text, "://");

	if (end == NULL)
		return err_set(err, ERR_INPUT,
		    "the one-URL form begins with a kind and '://', such as "
		    "redis://host/0?list=jobs or "
		    "pgtable+postgresql://host/db?table=jobs");
	*ret_kind = kind_of_url(text);
	if (*ret_kind == QUEUE_KINDS)
		return refuse_scheme(arena, text, (size_t)(end - text), err);
	*ret_url = queue_form_plain(*ret_kind, text);
	return 0;
}

/* A base URL from a variable and ours in one: `redis://h/0` + `/0?list=a`. */
static int
check_shape(const char *url, struct err *err)
{
	const char *authority = strstr(url, "://");

	if (authority == NULL) /* take_kind found it */
		return 0;
	authority += 3;
	const char *query = strchr(authority, '?');
	const char *path = strchr(authority, '/');
	if (query != NULL && strchr(query + 1, '?') != NULL)
		return err_set(err, ERR_INPUT,
		    "a second '?': the variable in it already has a query; "
		    "write 'kind' and its keys instead of the one-URL form");
	if (text_starts(url, "file:") || text_starts(url, "sqlite:") ||
	    text_starts(url, "sqs:") || text_starts(url, "servicebus:") ||
	    text_starts(url, "unix:") || text_starts(url, "redis+unix:") ||
	    path == NULL || (query != NULL && path > query))
		return 0;
	const char *second = strchr(path + 1, '/');
	if (second != NULL && (query == NULL || second < query))
		return err_set(err, ERR_INPUT,
		    "a second path: the variable in it already has one; write "
		    "'kind' and its keys instead of the one-URL form");
	return 0;
}

static const struct row *
own_row(enum queue_kind_id kind, const char *key)
{
	const struct row *row = mapping_row(mapping_of(MAPPING_queue),
	    text_equal(key, "dlq") ? "deadLetter" : key);

	if (row == NULL || text_equal(key, "deadLetter") ||
	    (row->kinds & (UINT64_C(1) << kind)) == 0)
		return NULL;
	return row;
}

/* Whether it is its client library's or connection's, and stays there. */
static bool
passes_key(enum queue_kind_id kind, const char *key)
{
	const char *keys = queue_kinds[kind].client_keys;

	return text_equal(keys, "*") || word_in(keys, key, strlen(key));
}

static int
refuse_key(enum queue_kind_id kind, const char *key, struct err *err)
{
	const struct mapping *queue = mapping_of(MAPPING_queue);
	const char *words[KEYS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < queue->nrows && count < KEYS_MAX; i++) {
		if ((queue->rows[i].kinds & (UINT64_C(1) << kind)) != 0)
			words[count++] = queue->rows[i].key;
	}
	const char *near = text_nearest(key, words, count);
	return err_set(err, ERR_INPUT,
	    "'%.40s' is no key of a queue of kind %s%s%s%s", key,
	    queue_kinds[kind].word, near != NULL ? "; did you mean '" : "",
	    near != NULL ? near : "", near != NULL ? "'?" : "");
}

static int
take_options(struct arena *arena, const struct url *url,
    struct queue_form *form, struct err *err)
{
	const char **drop = arena_array(arena, url->nquery + 1, sizeof(*drop));

	form->options = arena_array(arena, url->nquery, sizeof(*form->options));
	for (size_t i = 0; i < url->nquery; i++) {
		const char *key = url->query[i].key;
		const struct row *row = own_row(form->kind, key);
		if (row == NULL && passes_key(form->kind, key))
			continue;
		if (row == NULL)
			return refuse_key(form->kind, key, err);
		for (size_t j = 0; j < form->noptions; j++) {
			if (text_equal(form->options[j].key, row->key))
				return err_set(err, ERR_INPUT,
				    "'%.40s' stands twice in the URL", key);
		}
		drop[form->noptions] = key;
		form->options[form->noptions++] =
		    (struct queue_form_option){row->key, url->query[i].value};
	}
	form->url = url_without(arena, form->url, drop);
	return 0;
}

static int
check_needed(const struct queue_form *form, struct err *err)
{
	const struct mapping *queue = mapping_of(MAPPING_queue);

	for (size_t i = 0; i < queue->nrows; i++) {
		const struct row *row = &queue->rows[i];
		bool there =
		    (row->needed_by & (UINT64_C(1) << form->kind)) == 0;
		for (size_t j = 0; j < form->noptions; j++)
			there =
			    there || text_equal(form->options[j].key, row->key);
		if (!there)
			return err_set(err, ERR_INPUT,
			    "a queue of kind %s needs '%s': …?%s=…",
			    queue_kinds[form->kind].word, row->key, row->key);
	}
	return 0;
}

int
queue_form_take(struct arena *arena, const char *text, struct queue_form *ret,
    struct err *err)
{
	struct queue_form form = {.url = text};
	struct url url;

	if (take_kind(arena, text, &form.kind, &form.url, err) == -1 ||
	    check_shape(form.url, err) == -1 ||
	    url_parse(arena, form.url, &url, err) == -1 ||
	    take_options(arena, &url, &form, err) == -1 ||
	    check_needed(&form, err) == -1)
		return -1;
	*ret = form;
	return 0;
}
