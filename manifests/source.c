/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "manifests/dotenv.h"
#include "manifests/inputs.h"
#include "manifests/run.h"
#include "manifests/source.h"

enum {
	KEYS_MAX = 10000,
	VALUE_MAX = 1024 * 1024,
	SOURCE_MAX = 16 * 1024 * 1024,
	COMMAND_TIMEOUT_MS = 10000,
	STDERR_MAX = 16384,
	COMPLAINT_MAX = 300
};

static void
unreadable(struct source *source, enum absence absence, const char *why)
{
	source->absence = absence;
	source->declared->readable = false;
	source->declared->why = why;
	source->values = NULL;
	source->count = 0;
}

static struct source_value *
value_new(struct arena *arena, struct source *source, size_t *cap)
{
	if (source->count == *cap) {
		size_t more = MAX(*cap * 2, 16);
		struct source_value *values =
		    arena_array(arena, more, sizeof(*values));
		if (source->count > 0)
			memcpy(values, source->values,
			    source->count * sizeof(*values));
		source->values = values;
		*cap = more;
	}
	return &source->values[source->count++];
}

/* --- a directory --- */

static void
read_key(const struct source_reader *reader, int dir, const char *name,
    struct source_value *ret)
{
	struct err err = ERR_INIT;
	struct buffer bytes;
	struct stat st;

	ret->key = arena_text(reader->arena, name);
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1 || fstat(fd, &st) == -1) {
		ret->why = arena_text(reader->arena, strerror(errno));
		fd_close(&fd);
		return;
	}
	buffer_init(&bytes, VALUE_MAX);
	if (!S_ISREG(st.st_mode))
		ret->why = "not a regular file";
	else if (buffer_read_all(&bytes, fd, &err) == -1)
		ret->why = arena_text(reader->arena, err.text);
	else if (bytes.len > 0 && memchr(bytes.data, '\0', bytes.len) != NULL)
		ret->why = "a NUL byte in it: it can't be a variable's value";
	if (ret->why == NULL) {
		ret->len = bytes.len;
		ret->value = arena_bytes(
		    reader->arena, bytes.len == 0 ? "" : bytes.data, bytes.len);
	}
	buffer_wipe(&bytes);
	fd_close(&fd);
}

/* Kubernetes' mounts hold `..data`, a link to the directory of the moment: all
 * keys are read behind it, so that a rotation under way can't mix two. */
static int
open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return -1;
	int data = openat(fd, "..data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (data == -1)
		return fd;
	fd_close(&fd);
	return data;
}

static bool
is_key(int dir, const char *name)
{
	struct stat st;

	if (strcmp(name, ".") == 0 || text_starts(name, ".."))
		return false;
	/* A directory is no key; what can't be looked at is one, with a
	 * reason. */
	return fstatat(dir, name, &st, 0) == -1 || !S_ISDIR(st.st_mode);
}

static void
read_dir(
    const struct source_reader *reader, const char *path, struct source *source)
{
	size_t cap = 0, bytes = 0;
	const struct dirent *entry;
	int fd = open_dir(path);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);

	if (dir == NULL) {
		int saved = errno;
		fd_close(&fd);
		bool remote = reader->options->secret_overrides != NULL &&
		              reader->options->secret_overrides[0] != NULL;
		unreadable(source, remote ? ABSENT_UNRESOLVABLE : ABSENT_SOURCE,
		    arena_format(reader->arena, "directory '%s': %s", path,
		        strerror(saved)));
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (!is_key(dirfd(dir), entry->d_name))
			continue;
		struct source_value *value =
		    value_new(reader->arena, source, &cap);
		read_key(reader, dirfd(dir), entry->d_name, value);
		bytes += value->len;
		if (source->count <= KEYS_MAX && bytes <= SOURCE_MAX)
			continue;
		unreadable(source, ABSENT_SOURCE,
		    arena_format(reader->arena,
		        "directory '%s' holds more than %d keys or %d bytes",
		        path, KEYS_MAX, SOURCE_MAX));
		(void)closedir(dir);
		return;
	}
	(void)closedir(dir);
	source->declared->readable = true;
}

/* --- lines --- */

static void
take_lines(const struct source_reader *reader, const char *what,
    const struct buffer *text, struct source *source)
{
	struct dotenv_entry *entries = NULL;
	struct err err = ERR_INIT;
	size_t count = 0, cap = 0;

	if (dotenv_parse(text->len == 0 ? "" : text->data, text->len,
	        reader->arena, &entries, &count, &err) == -1) {
		unreadable(source, ABSENT_SOURCE,
		    arena_format(reader->arena, "%s: %s", what, err.text));
		return;
	}
	for (size_t i = 0; i < count; i++)
		*value_new(reader->arena, source, &cap) = (struct source_value){
		    entries[i].name, entries[i].value, entries[i].len, NULL};
	source->declared->readable = true;
}

static void
read_env_file(
    const struct source_reader *reader, const char *path, struct source *source)
{
	struct err err = ERR_INIT;
	struct buffer text;
	bool remote = reader->options->secret_overrides != NULL &&
	              reader->options->secret_overrides[0] != NULL;

	if (document_file(path, &text, &err) == -1)
		unreadable(source, remote ? ABSENT_UNRESOLVABLE : ABSENT_SOURCE,
		    arena_text(reader->arena, err.text));
	else
		take_lines(reader,
		    arena_format(reader->arena, "file '%s'", path), &text,
		    source);
	buffer_wipe(&text);
}

/* Its stderr may quote what it could not decrypt: redacted, one line, cut. */
static const char *
complaint_of(const struct source_reader *reader, const char *why,
    struct buffer *complaint)
{
	if (complaint->len == 0)
		return arena_text(reader->arena, why);
	size_t len = MIN(strcspn(complaint->data, "\r\n"), COMPLAINT_MAX);
	const char *line = arena_bytes(reader->arena, complaint->data, len);
	if (reader->redactor != NULL)
		line = redactor_clean(reader->redactor, reader->arena, line);
	else
		line = "its stderr is not shown without a redactor";
	return arena_format(reader->arena, "%s: %s", why, line);
}

/* How long a command may take: its own time, or what is left of all's. */
static int64_t
timeout_of(const struct declared_options *options)
{
	int64_t timeout_ms = options->command_timeout_ms > 0
	                         ? options->command_timeout_ms
	                         : COMMAND_TIMEOUT_MS;

	if (options->deadline_ms == 0)
		return timeout_ms;
	return MAX(
	    MIN(timeout_ms, options->deadline_ms - clock_ms()), (int64_t)1);
}

static void
read_command(const struct source_reader *reader, const char *const *command,
    struct source *source)
{
	struct err err = ERR_INIT;
	struct buffer out, complaint;
	struct run_options run = {.argv = command,
	    .environ = reader->options->environ,
	    .timeout_ms = timeout_of(reader->options)};

	if (reader->options->no_commands) {
		unreadable(
		    source, ABSENT_UNRESOLVABLE, "commands are not run here");
		return;
	}
	buffer_init(&out, VALUE_MAX);
	buffer_init(&complaint, STDERR_MAX);
	if (run_command(&run, &out, &complaint, &err) == -1)
		unreadable(source, ABSENT_SOURCE,
		    complaint_of(reader, err.text, &complaint));
	else
		take_lines(reader,
		    arena_format(
		        reader->arena, "the output of '%s'", command[0]),
		    &out, source);
	buffer_wipe(&out);
	buffer_wipe(&complaint);
}

/* --- elsewhere --- */

static void
read_data(const struct source_reader *reader, const struct node *data,
    struct source *source)
{
	size_t cap = 0;

	for (const struct node *it = data->first; it != NULL; it = it->next)
		*value_new(reader->arena, source, &cap) = (struct source_value){
		    arena_text(reader->arena, it->key->text),
		    arena_bytes(reader->arena, it->text, it->len), it->len,
		    NULL};
	source->declared->readable = true;
}

static void
read_environ(const struct source_reader *reader, const char *prefix,
    struct source *source)
{
	size_t cap = 0, len = strlen(prefix);
	const char *const *it = reader->options->environ;

	for (; it != NULL && *it != NULL; it++) {
		const char *equals = strchr(*it, '=');
		if (equals == NULL || strncmp(*it, prefix, len) != 0 ||
		    (size_t)(equals - *it) <= len)
			continue;
		*value_new(reader->arena, source, &cap) =
		    (struct source_value){arena_bytes(reader->arena, *it + len,
		                              (size_t)(equals - *it) - len),
		        arena_text(reader->arena, equals + 1),
		        strlen(equals + 1), NULL};
	}
	source->declared->readable = source->count > 0;
	if (source->count == 0)
		unreadable(source, ABSENT_UNRESOLVABLE,
		    arena_format(
		        reader->arena, "no variable begins with '%s'", prefix));
}

static int
by_key(const void *a, const void *b)
{
	const struct source_value *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static void
publish(const struct source_reader *reader, struct source *source)
{
	struct declared_source *declared = source->declared;
	const char **keys =
	    arena_array(reader->arena, source->count + 1, sizeof(*keys));

	if (source->count > 0)
		qsort(source->values, source->count, sizeof(*source->values),
		    by_key);
	for (size_t i = 0; i < source->count; i++) {
		keys[i] = source->values[i].key;
		if (declared->secret && reader->redactor != NULL &&
		    source->values[i].value != NULL)
			redactor_add(reader->redactor, source->values[i].value);
	}
	declared->keys = keys;
	declared->nkeys = source->count;
}

/* What lies outside of the manifest and of our environment. */
static void
read_outside(const struct source_reader *reader, const struct source_from *from,
    struct source *source)
{
	if (reader->options->inputs != NULL) {
		if (!inputs_take_source(
		        reader->options->inputs, reader->arena, source))
			unreadable(source, ABSENT_SOURCE, "it was not read");
		return;
	}
	if (from->dir != NULL)
		read_dir(reader, from->dir, source);
	else if (from->env_file != NULL)
		read_env_file(reader, from->env_file, source);
	else
		read_command(reader, from->command, source);
	if (reader->options->record != NULL)
		inputs_put_source(reader->options->record, source);
}

void
source_read(const struct source_reader *reader, const struct source_from *from,
    struct source *source)
{
	struct declared_source *declared = source->declared;

	if (from->dir != NULL) {
		declared->kind = "dir";
		declared->origin = arena_text(reader->arena, from->dir);
		read_outside(reader, from, source);
	} else if (from->env_file != NULL) {
		declared->kind = "envFile";
		declared->origin = arena_text(reader->arena, from->env_file);
		read_outside(reader, from, source);
	} else if (from->command != NULL) {
		declared->kind = "command";
		declared->origin = arena_text(reader->arena, from->command[0]);
		read_outside(reader, from, source);
	} else if (from->data != NULL) {
		declared->kind = "data";
		declared->origin = "the manifest";
		read_data(reader, from->data, source);
	} else {
		declared->kind = "env";
		declared->origin = arena_text(reader->arena, from->env_prefix);
		read_environ(reader, from->env_prefix, source);
	}
	publish(reader, source);
}

const struct source_value *
source_find(const struct source *source, const char *key)
{
	struct source_value wanted = {.key = key};

	return source->count == 0 ? NULL
	                          : bsearch(&wanted, source->values,
	                                source->count, sizeof(wanted), by_key);
}
