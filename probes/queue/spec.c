/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "base/url.h"
#include "probes/queue/drivers.h"

enum {
	URL_TEXT_MAX = 8192,
	OPTIONS_MAX = 64,
	SCHEME_SHOWN_MAX = 40,
};

static bool
in_list(const char *text, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (text_equal(text, *list))
			return true;
	}
	return false;
}

static size_t
list_len(const char *const *list)
{
	size_t count = 0;

	while (list[count] != NULL)
		count++;
	return count;
}

static int
unknown_scheme(struct arena *arena, const char *url, struct err *err)
{
	size_t ndrivers;
	const struct queue_driver *const *drivers = queue_drivers(&ndrivers);
	const char **words = arena_array(arena, ndrivers, sizeof(*words));
	const char *kinds = "";
	const char *word =
	    arena_bytes(arena, url, MIN(strcspn(url, "+:"), SCHEME_SHOWN_MAX));

	for (size_t i = 0; i < ndrivers; i++) {
		words[i] = drivers[i]->kind;
		kinds = arena_format(
		    arena, "%s%s%s", kinds, i == 0 ? "" : ", ", words[i]);
	}
	const char *near = text_nearest(word, words, ndrivers);
	if (near != NULL && !text_equal(near, word))
		return err_set(err, ERR_INPUT,
		    "'%s' is no kind of queue; did you mean '%s'?", word, near);
	return err_set(err, ERR_INPUT,
	    "'%.40s' is not the URL of a queue: that begins with KIND:// or "
	    "KIND+SERVER://, such as redis://… or pgtable+postgresql://…; "
	    "kinds are %s",
	    url_redacted(arena, url), kinds);
}

bool
queue_is_url(const char *text)
{
	return strstr(text, "://") != NULL;
}

/* What people write when they paste a server's URL in front of our keys, or a
 * password as it is. */
static int
check_shape(const char *text, struct err *err)
{
	const char *question = strchr(text, '?');
	size_t len = 0;
	const char *userinfo = url_userinfo(text, &len);

	if (strlen(text) > URL_TEXT_MAX)
		return err_set(err, ERR_CAPACITY,
		    "the queue's URL is longer than %d bytes", URL_TEXT_MAX);
	for (size_t i = 0; userinfo != NULL && i < len; i++) {
		if (strchr("/?#", userinfo[i]) != NULL)
			return err_set(err, ERR_INPUT,
			    "within a password '/', '?' and '#' are written "
			    "as %%2F, %%3F and %%23; or it stays outside the "
			    "URL: pass=env:NAME");
	}
	if (question != NULL && strchr(question + 1, '?') != NULL)
		return err_set(err, ERR_INPUT,
		    "the queue's URL has a second '?': its keys are joined "
		    "with '&'");
	return 0;
}

static int
check_path(
    const struct queue_driver *driver, const struct url *url, struct err *err)
{
	if (!driver->deep_path && !text_ends(url->scheme, "unix") &&
	    url->path[0] == '/' && strchr(url->path + 1, '/') != NULL)
		return err_set(err, ERR_INPUT,
		    "the queue's URL has a second path: '%.80s' is not the name "
		    "of one database",
		    url->path + 1);
	return 0;
}

int
queue_key_check(
    const struct queue_driver *driver, const char *key, struct err *err)
{
	if (in_list(key, driver->keys))
		return 0;
	const char *nearest =
	    text_nearest(key, driver->keys, list_len(driver->keys));

	return err_set(err, ERR_INPUT,
	    "a queue of kind '%s' has no key '%.60s'%s%s%s", driver->kind, key,
	    nearest != NULL ? "; did you mean '" : "",
	    nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
}

static int
collect_options(struct arena *arena, const struct queue_driver *driver,
    const struct url *url, struct queue_spec *spec, struct err *err)
{
	struct queue_option *options =
	    arena_array(arena, url->nquery + 1, sizeof(*options));
	size_t count = 0;

	if (url->nquery > OPTIONS_MAX)
		return err_set(err, ERR_CAPACITY,
		    "the queue's URL has more than %d keys", OPTIONS_MAX);
	for (size_t i = 0; i < url->nquery; i++) {
		const struct url_query *query = &url->query[i];

		if (!in_list(query->key, driver->keys) &&
		    (driver->any_key ||
		        (driver->client_keys != NULL &&
		            in_list(query->key, driver->client_keys))))
			continue;
		if (queue_key_check(driver, query->key, err) == -1)
			return -1;
		for (size_t k = 0; k < count; k++) {
			if (text_equal(options[k].key, query->key))
				return err_set(err, ERR_INPUT,
				    "the queue's URL gives '%s' twice",
				    query->key);
		}
		options[count].key = query->key;
		options[count].value = query->value;
		count++;
	}
	spec->options = options;
	spec->noptions = count;
	return 0;
}

int
queue_spec_from_url(struct arena *arena, const char *url,
    struct queue_spec *ret, struct err *err)
{
	struct queue_spec spec = {0};
	struct url parsed;
	size_t scheme_len = 0;

	if (check_shape(url, err) == -1)
		return -1;
	const struct queue_driver *driver =
	    queue_driver_of_url(url, &scheme_len);

	if (driver == NULL)
		return unknown_scheme(arena, url, err);
	/* "pgtable+postgresql://…": the kind before '+' is ours */
	const char *plus = memchr(url, '+', scheme_len);
	bool ours = plus != NULL && queue_driver_find(arena_bytes(arena, url,
	                                (size_t)(plus - url))) != NULL;
	const char *plain = ours ? plus + 1 : url;

	if (url_parse(arena, plain, &parsed, err) == -1)
		return err_wrap(err, "the queue's URL");
	if (check_path(driver, &parsed, err) == -1)
		return -1;
	spec.kind = driver->kind;
	spec.url = url_without(arena, plain, driver->keys);
	if (collect_options(arena, driver, &parsed, &spec, err) == -1)
		return -1;
	*ret = spec;
	return 0;
}
