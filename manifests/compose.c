/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <sys/stat.h>

#include "base/text.h"
#include "manifests/dotenv.h"
#include "manifests/foreign_read.h"

enum {
	VALUE_MAX = 128 * 1024
};

/* --- files beside it --- */

static const char *
beside(struct foreign_reading *reading, const char *path)
{
	const char *slash = strrchr(reading->file, '/');

	if (path[0] == '/' || slash == NULL)
		return path;
	return arena_format(reading->arena, "%.*s/%s",
	    (int)(slash - reading->file), reading->file, path);
}

static void
read_lines(struct foreign_reading *reading, const char *path,
    struct foreign_source *source)
{
	struct dotenv_entry *entries = NULL;
	struct err err = ERR_INIT;
	struct buffer text;
	size_t count = 0;

	if (document_file(path, &text, &err) == -1 ||
	    dotenv_parse(text.len == 0 ? "" : text.data, text.len,
	        reading->arena, &entries, &count, &err) == -1) {
		source->readable = false;
		source->why = arena_text(reading->arena, err.text);
	}
	buffer_wipe(&text);
	source->keys =
	    arena_array(reading->arena, count, sizeof(*source->keys));
	source->nkeys = count;
	for (size_t i = 0; i < count; i++)
		source->keys[i] = (struct foreign_key){.name = entries[i].name,
		    .value = entries[i].value,
		    .len = entries[i].len,
		    .place = {path, entries[i].line, 1}};
}

static const struct foreign_source *
source_at(const struct foreign *foreign, const char *path)
{
	for (size_t i = 0; i < foreign->nsources; i++) {
		if (text_equal(foreign->sources[i].kind, "env_file") &&
		    text_equal(foreign->sources[i].name, path))
			return &foreign->sources[i];
	}
	return NULL;
}

static const char *
take_env_file(struct foreign_reading *reading, const struct node *item)
{
	const struct node *named = node_get(item, "path");
	const struct node *node = named == NULL ? item : named;
	const char *given = node_text(node);

	if (given == NULL) {
		complain(reading->complaints, item,
		    "an env_file must be a path, not %s", node_what(item));
		return NULL;
	}
	const char *path = beside(reading, given);
	if (source_at(reading->foreign, path) == NULL) {
		struct foreign_source *source =
		    foreign_add_source(reading, node);
		source->kind = "env_file";
		source->name = path;
		read_lines(reading, path, source);
	}
	return path;
}

static const char *const *
take_env_files(struct foreign_reading *reading, const struct node *service)
{
	const struct node *node = node_get(service, "env_file");
	size_t count = 0;

	if (node == NULL)
		return NULL;
	const char **paths =
	    arena_array(reading->arena, node->count + 2, sizeof(*paths));
	if (node->kind == NODE_SCALAR)
		paths[count] = take_env_file(reading, node);
	for (const struct node *it = node_items(node); it != NULL;
	     it = it->next) {
		const char *path = take_env_file(reading, it);
		if (path != NULL)
			paths[count++] = path;
	}
	return paths;
}

/* --- services --- */

static const char *const *
command_of(struct foreign_reading *reading, const struct node *service)
{
	const struct node *node = node_get(service, "command");
	size_t n = 0;

	if (node == NULL || text_equal(node_not_text(node), "empty"))
		return NULL;
	const char **words =
	    arena_array(reading->arena, node->count + 2, sizeof(*words));
	if (node->kind == NODE_SCALAR)
		words[n++] = node->text; /* split by a shell's rules; as is */
	for (const struct node *it = node_items(node); it != NULL;
	     it = it->next) {
		if (it->kind == NODE_SCALAR)
			words[n++] = it->text;
	}
	return words;
}

static void
check_environment(
    struct foreign_reading *reading, const struct node *environment)
{
	if (environment == NULL)
		return;
	if (environment->kind == NODE_SCALAR) {
		if (!text_equal(node_not_text(environment), "empty"))
			complain(reading->complaints, environment,
			    "'environment' must be a mapping or a list, not "
			    "%s",
			    node_what(environment));
		return;
	}
	for (const struct node *it = environment->first; it != NULL;
	     it = it->next) {
		bool merge = it->key != NULL && text_equal(it->key->text, "<<");
		if (it->kind != NODE_SCALAR && !merge)
			complain(reading->complaints, it,
			    "a variable must be text, not %s", node_what(it));
	}
}

static void
read_service(struct foreign_reading *reading, const char *project,
    const struct foreign_source *dotenv, const struct node *service)
{
	struct foreign_raw *raw = arena_alloc(reading->arena, sizeof(*raw));
	const struct node *deploy = foreign_map(reading, service, "deploy");
	const struct node *replicas = node_get(deploy, "replicas");

	raw->environment = node_get(service, "environment");
	check_environment(reading, raw->environment);
	raw->env_files = take_env_files(reading, service);
	raw->dotenv = dotenv;
	struct foreign_component *to =
	    foreign_add_component(reading, service->key);
	to->format = FOREIGN_COMPOSE;
	to->kind = "service";
	to->name = service->key->text;
	to->space = project;
	to->image = foreign_text(reading, service, "image");
	to->replicas = replicas != NULL
	                   ? foreign_number(reading, deploy, "replicas", 1)
	                   : foreign_number(reading, service, "scale", 1);
	if (replicas == NULL)
		replicas = node_get(service, "scale");
	if (replicas != NULL)
		to->replicas_place = (struct place){
		    reading->file, replicas->line, replicas->column};
	to->command = command_of(reading, service);
	to->raw = raw;
	if (node_get(service, "extends") != NULL)
		foreign_skip(reading, node_get(service, "extends"),
		    "'extends' of service '%s' is not followed", to->name);
}

static const struct foreign_source *
read_dotenv(struct foreign_reading *reading)
{
	struct foreign_source *source =
	    arena_alloc(reading->arena, sizeof(*source));
	const char *path = beside(reading, ".env");
	struct stat st;

	if (stat(path, &st) == 0)
		read_lines(reading, path, source);
	return source;
}

void
compose_read(struct foreign_reading *reading, const struct node *document)
{
	const struct node *services =
	    foreign_map(reading, document, "services");
	const char *project = foreign_text(reading, document, "name");
	const struct foreign_source *dotenv = read_dotenv(reading);

	if (node_get(document, "include") != NULL)
		foreign_skip(reading, node_get(document, "include"),
		    "'include' is not followed");
	for (const struct node *it = services == NULL ? NULL : services->first;
	     it != NULL; it = it->next) {
		if (it->kind == NODE_MAPPING)
			read_service(reading, project, dotenv, it);
		else
			complain(reading->complaints, it,
			    "service '%.60s' must be a mapping, not %s",
			    it->key->text, node_what(it));
	}
}

/* --- ${NAME} --- */

struct interpolation {
	struct arena *arena;
	const struct foreign_source *dotenv;
	const char *unresolved;
};

static const struct foreign_key *
dotenv_key(const struct foreign_source *dotenv, const char *name, size_t len)
{
	for (size_t i = 0; i < dotenv->nkeys; i++) {
		if (strlen(dotenv->keys[i].name) == len &&
		    strncmp(dotenv->keys[i].name, name, len) == 0)
			return &dotenv->keys[i];
	}
	return NULL;
}

static size_t
name_length(const char *p)
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || p[n] == '_')
		n++;
	return isdigit((unsigned char)p[0]) ? 0 : n;
}

/* `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?text}` at `p`,
 * which stands behind the '$'. Returns what comes after it. A default counts
 * only where nothing sets the name, and who starts it may: so it is noted as
 * unresolved all the same when the file doesn't. */
static const char *
substitute(struct interpolation *it, const char *p, struct buffer *out)
{
	bool braced = *p == '{';
	const char *name = braced ? p + 1 : p;
	size_t len = name_length(name);
	const char *end = name + len;
	const char *fallback = NULL;
	size_t fallback_len = 0;

	if (braced) {
		const char *close = strchr(end, '}');
		if (close == NULL || len == 0)
			return NULL;
		const char *op = end + (*end == ':');
		if (*op == '-') {
			fallback = op + 1;
			fallback_len = (size_t)(close - fallback);
		}
		end = close + 1;
	}
	const struct foreign_key *key = dotenv_key(it->dotenv, name, len);
	if (key != NULL && (key->len > 0 || fallback == NULL)) {
		buffer_append(out, key->value, key->len);
	} else if (fallback != NULL) {
		buffer_append(out, fallback, fallback_len);
	} else if (it->unresolved == NULL) {
		it->unresolved = arena_bytes(it->arena, name, len);
	}
	return end;
}

static void
interpolate(struct interpolation *it, const char *text, struct buffer *out)
{
	for (const char *p = text; *p != '\0';) {
		const char *after = NULL;
		if (p[0] == '$' && p[1] == '$') {
			buffer_append(out, "$", 1);
			p += 2;
			continue;
		}
		if (p[0] == '$' && (p[1] == '{' || name_length(p + 1) > 0))
			after = substitute(it, p + 1, out);
		if (after == NULL)
			buffer_append(out, p++, 1);
		else
			p = after;
	}
}

/* --- resolving --- */

struct resolving {
	struct foreign_component *component;
	struct arena *arena;
	struct env_list list;
};

static void
add_variable(struct resolving *r, const char *name, const char *value,
    const struct node *at)
{
	struct interpolation it = {
	    .arena = r->arena, .dotenv = r->component->raw->dotenv};
	struct declared_env entry = {.name = name,
	    .literal = true,
	    .source = "literal",
	    .place = {r->component->place.file, at->line, at->column}};
	struct buffer text;

	if (value == NULL) { /* `- NAME`: of whoever starts it */
		entry.literal = false;
		entry.source = "the environment of whoever starts it";
		entry.absence = ABSENT_UNRESOLVABLE;
		entry.why = "it comes from the environment of whoever starts "
		            "it";
		env_list_add(r->arena, &r->list, entry);
		return;
	}
	buffer_init(&text, VALUE_MAX);
	interpolate(&it, value, &text);
	entry.unresolved = it.unresolved;
	if (strchr(value, '$') != NULL)
		entry.literal = false;
	if (it.unresolved != NULL || text.overflow) {
		entry.absence = ABSENT_VARIABLE;
		entry.why = text.overflow
		                ? "too long"
		                : arena_format(r->arena,
		                      "${%s} has no default, and no .env "
		                      "beside the file sets it",
		                      it.unresolved);
	} else {
		entry.value = arena_bytes(
		    r->arena, text.len == 0 ? "" : text.data, text.len);
		entry.len = text.len;
	}
	buffer_wipe(&text);
	env_list_add(r->arena, &r->list, entry);
}

static void
add_map(struct resolving *r, const struct node *map, unsigned depth)
{
	/* What is merged comes first, so that the map's own entries win. */
	for (const struct node *it = map->first; it != NULL; it = it->next) {
		if (!text_equal(it->key->text, "<<") || depth > 0)
			continue;
		if (it->kind == NODE_MAPPING)
			add_map(r, it, depth + 1);
		for (const struct node *one = node_items(it); one != NULL;
		     one = one->next) {
			if (one->kind == NODE_MAPPING)
				add_map(r, one, depth + 1);
		}
	}
	for (const struct node *it = map->first; it != NULL; it = it->next) {
		bool none = text_equal(node_not_text(it), "empty");
		if (it->kind == NODE_SCALAR)
			add_variable(
			    r, it->key->text, none ? NULL : it->text, it->key);
	}
}

static void
add_list(struct resolving *r, const struct node *list)
{
	for (const struct node *it = node_items(list); it != NULL;
	     it = it->next) {
		if (it->kind != NODE_SCALAR)
			continue;
		const char *equals = strchr(it->text, '=');
		if (equals == NULL)
			add_variable(r, it->text, NULL, it);
		else
			add_variable(r,
			    arena_bytes(r->arena, it->text,
			        (size_t)(equals - it->text)),
			    equals + 1, it);
	}
}

static size_t
add_files(
    struct resolving *r, const struct foreign *foreign, const char **missing)
{
	const char *const *path = r->component->raw->env_files;
	size_t nmissing = 0;

	for (; path != NULL && *path != NULL; path++) {
		const struct foreign_source *source = source_at(foreign, *path);
		if (source == NULL || !source->readable) {
			missing[nmissing++] =
			    arena_format(r->arena, "env_file %s", *path);
			continue;
		}
		for (size_t i = 0; i < source->nkeys; i++) {
			const struct foreign_key *key = &source->keys[i];
			env_list_add(r->arena, &r->list,
			    (struct declared_env){.name = key->name,
			        .value = key->value,
			        .len = key->len,
			        .literal = true,
			        .place = key->place,
			        .source = arena_format(
			            r->arena, "env_file %s", *path)});
		}
	}
	return nmissing;
}

void
compose_resolve(struct foreign *foreign, struct foreign_component *component,
    struct arena *arena)
{
	struct resolving r = {.component = component, .arena = arena};
	const struct foreign_raw *raw = component->raw;
	size_t count = 0;

	while (raw->env_files != NULL && raw->env_files[count] != NULL)
		count++;
	const char **missing = arena_array(arena, count, sizeof(*missing));
	component->nmissing = add_files(&r, foreign, missing);
	component->missing = missing;
	if (raw->environment != NULL && raw->environment->kind == NODE_MAPPING)
		add_map(&r, raw->environment, 0);
	else
		add_list(&r, raw->environment);
	component->env =
	    (struct declared_environment){r.list.entries, r.list.count};
}
