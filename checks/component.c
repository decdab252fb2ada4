/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "checks/component.h"

enum {
	WORDS_MAX = 16 /* of a name */
};

struct words {
	const char *at[WORDS_MAX];
	size_t len[WORDS_MAX];
	size_t count;
};

static bool
is_generic(const char *word, size_t len)
{
	static const char *const generic[] = {"worker", "workers", "consumer",
	    "processor", "deployment", "service", "app"};

	for (size_t i = 0; i < ARRAY_LEN(generic); i++)
		if (strlen(generic[i]) == len &&
		    strncasecmp(word, generic[i], len) == 0)
			return true;
	return false;
}

/* "registry:5000/nexus-fileprocess-worker:latest" is nexus, fileprocess: what
 * says no more than that it works is left out. */
static void
split(const char *name, struct words *words)
{
	const char *slash = strrchr(name, '/');
	const char *p = slash == NULL ? name : slash + 1;
	const char *end = p + strcspn(p, ":@");

	words->count = 0;
	while (p < end && words->count < WORDS_MAX) {
		size_t len = strcspn(p, "-_.:@");

		len = MIN(len, (size_t)(end - p));
		if (len > 0 && !is_generic(p, len)) {
			words->at[words->count] = p;
			words->len[words->count++] = len;
		}
		p += len;
		while (p < end && strchr("-_.", *p) != NULL)
			p++;
	}
}

/* Do the words of `name` end with those of `wanted`? So fileprocess is
 * nexus-fileprocess-worker, and not nexus-fileprocess-api. */
static bool
ends_with_words(const char *name, const char *wanted)
{
	struct words have, want;

	split(name, &have);
	split(wanted, &want);
	if (want.count == 0 || have.count < want.count)
		return false;
	for (size_t i = 0; i < want.count; i++) {
		size_t h = have.count - want.count + i;

		if (have.len[h] != want.len[i] ||
		    strncasecmp(have.at[h], want.at[i], want.len[i]) != 0)
			return false;
	}
	return true;
}

/* A name that says only "worker". */
static bool
says_only_worker(const char *name)
{
	struct words words;

	split(name, &words);
	return words.count == 0;
}

bool
component_has_name(const struct foreign_component *component, const char *name)
{
	return text_equal(component->name, name) ||
	       text_equal(component->container, name) ||
	       ends_with_words(component->name, name) ||
	       (component->image != NULL &&
	           ends_with_words(component->image, name));
}

const struct declared_worker *
component_worker(
    const struct declared *declared, const struct foreign_component *component)
{
	for (size_t w = 0; declared != NULL && w < declared->nworkers; w++)
		if (component_has_name(component, declared->workers[w].name))
			return &declared->workers[w];
	/* Compose's "worker", where there is only one that it can be. */
	if (declared != NULL && declared->nworkers == 1 &&
	    says_only_worker(component->name) &&
	    (component->image == NULL || says_only_worker(component->image)))
		return &declared->workers[0];
	return NULL;
}

const struct declared_producer *
component_producer(
    const struct declared *declared, const struct foreign_component *component)
{
	for (size_t p = 0; declared != NULL && p < declared->nproducers; p++)
		if (component_has_name(component, declared->producers[p].name))
			return &declared->producers[p];
	return NULL;
}

bool
component_is_infrastructure(const struct foreign_component *component)
{
	static const char *const known[] = {"redis", "valkey", "postgres",
	    "mysql", "mariadb", "rabbitmq", "nats", "kafka", "zookeeper",
	    "minio", "seaweedfs", "mongo", "elasticsearch", "localstack",
	    "traefik", "nginx", "prometheus", "grafana", "adminer", "pgbouncer",
	    "memcached"};
	const char *name =
	    component->image == NULL ? component->name : component->image;
	struct words words;

	split(name, &words);
	for (size_t w = 0; w < words.count; w++)
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			if (words.len[w] == strlen(known[i]) &&
			    strncasecmp(words.at[w], known[i], words.len[w]) ==
			        0)
				return true;
	return false;
}

bool
component_is_of(
    const struct foreign_component *component, enum foreign_format format)
{
	return component->format == format && !component->init;
}
