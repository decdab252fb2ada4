/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/secret.h"
#include "base/text.h"
#include "supervisor/operator/files.h"
#include "supervisor/operator/specs.h"

enum {
	READ_SIZE = 64 * 1024,
	NS_A_MS = 1000000,
};

void
files_fini(struct files *files)
{
	for (size_t i = 0; i < FILES_BUCKETS; i++)
		while (files->buckets[i] != NULL) {
			struct file_watch *watch = files->buckets[i];
			files->buckets[i] = watch->next;
			free(watch->path);
			free(watch);
		}
}

static bool
digest_file(int fd, char ret[65])
{
	static unsigned char bytes[READ_SIZE];
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	ssize_t got = 0;
	bool ok = context != NULL &&
	          EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

	while (ok && (got = read(fd, bytes, sizeof(bytes))) > 0)
		ok = EVP_DigestUpdate(context, bytes, (size_t)got) == 1;
	ok = ok && got == 0 && EVP_DigestFinal_ex(context, sum, &len) == 1;
	EVP_MD_CTX_free(context);
	if (ok)
		(void)text_hex(sum, len, ret);
	return ok;
}

static bool
regular(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static int64_t
nanoseconds(const struct timespec *at)
{
	return (int64_t)at->tv_sec * 1000000000 + at->tv_nsec;
}

static void
look(struct file_watch *watch)
{
	struct stat st;
	int fd = open(watch->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		fd_close(&fd);
		watch->now.known = false;
		watch->regular = regular(watch->path);
		return;
	}
	watch->regular = true;
	struct file_identity seen = {
	    .device = (uint64_t)st.st_dev,
	    .inode = (uint64_t)st.st_ino,
	    .size = (int64_t)st.st_size,
	    .modified_ns = nanoseconds(&st.st_mtim),
	    .changed_ms = nanoseconds(&st.st_ctim) / NS_A_MS,
	    .path = files_name(watch->path),
	};
	const struct file_identity *before = &watch->now;

	if (before->known && before->device == seen.device &&
	    before->inode == seen.inode && before->size == seen.size &&
	    before->modified_ns == seen.modified_ns &&
	    before->changed_ms == seen.changed_ms) {
		fd_close(&fd);
		return;
	}
	seen.known = digest_file(fd, seen.sha256);
	ssize_t got = pread(fd, watch->line, sizeof(watch->line) - 1, 0);

	watch->line[MAX(got, 0)] = '\0';
	fd_close(&fd);
	watch->now = seen;
}

/* NULL: no memory. */
static const struct file_watch *
watch_path(struct files *files, const char *path, int64_t since_ms)
{
	struct file_watch **bucket =
	    &files->buckets[files_name(path) % FILES_BUCKETS];
	struct file_watch *watch = *bucket;

	while (watch != NULL && !text_equal(watch->path, path))
		watch = watch->next;
	if (watch == NULL) {
		watch = calloc(1, sizeof(*watch));
		if (watch == NULL)
			return NULL;
		watch->path = strdup(path);
		if (watch->path == NULL) {
			free(watch);
			return NULL;
		}
		watch->looked_ms = INT64_MIN;
		watch->next = *bucket;
		*bucket = watch;
	}
	if (watch->looked_ms < since_ms) {
		look(watch);
		watch->looked_ms = clock_ms();
	}
	return watch;
}

const struct file_identity *
files_look(struct files *files, const char *path, int64_t since_ms)
{
	static const struct file_identity unknown;
	const struct file_watch *watch = watch_path(files, path, since_ms);

	return watch == NULL ? &unknown : &watch->now;
}

bool
files_differ(const struct file_identity *then, const struct file_identity *now)
{
	return then->known && now->known &&
	       strcmp(then->sha256, now->sha256) != 0;
}

bool
files_gone(const struct file_identity *then, const char *path)
{
	return then->known && access(path, F_OK) == -1 && errno == ENOENT;
}

uint64_t
files_name(const char *path)
{
	static const struct fingerprint_key key = {.bytes = {0}};
	struct fingerprint print = fingerprint_of(&key, path, strlen(path));
	uint64_t name = 0;

	memcpy(&name, print.bytes, sizeof(name));
	return name;
}

/* "#!PROGRAM ARGUMENT": the words, terminated, in `line`. */
static bool
first_line(const struct file_watch *watch, char line[FILES_LINE_SIZE],
    char **ret_argument)
{
	if (watch == NULL || !watch->now.known ||
	    strncmp(watch->line, "#!", 2) != 0)
		return false;
	memcpy(line, watch->line, FILES_LINE_SIZE);
	line[strcspn(line, "\n")] = '\0';
	char *program = line + 2 + strspn(line + 2, " \t");
	char *end = program + strcspn(program, " \t");
	*ret_argument = *end == '\0' ? end : end + 1 + strspn(end + 1, " \t");
	*end = '\0';
	(*ret_argument)[strcspn(*ret_argument, " \t")] = '\0';
	memmove(line, program, strlen(program) + 1);
	return *line == '/';
}

static bool
in_path(
    const struct worker_spec *spec, const char *name, char ret[FILES_PATH_MAX])
{
	const char *path = specs_env(spec->envp, "PATH");

	for (; path != NULL && *path != '\0'; path += *path == ':' ? 1 : 0) {
		int len = (int)strcspn(path, ":");
		if (text_format(ret, FILES_PATH_MAX, NULL, "%.*s/%s", len, path,
		        name) == 0 &&
		    access(ret, X_OK) == 0 && regular(ret))
			return true;
		path += len;
	}
	return false;
}

static bool
interpreter(const struct file_watch *program, const struct worker_spec *spec,
    char ret[FILES_PATH_MAX])
{
	char line[FILES_LINE_SIZE];
	char *argument = NULL;

	if (!first_line(program, line, &argument))
		return false;
	const char *name = strrchr(line, '/') + 1;
	if (strcmp(name, "env") == 0 && *argument != '\0' && *argument != '-' &&
	    in_path(spec, argument, ret))
		return true;
	return text_copy(ret, FILES_PATH_MAX, line, NULL) == 0;
}

size_t
files_of_program(struct files *files, const struct worker_spec *spec,
    int64_t since_ms, char ret_paths[FILES_OF_PROGRAM][FILES_PATH_MAX])
{
	size_t count = 0;
	const char *script = NULL;

	if (text_copy(ret_paths[0], FILES_PATH_MAX, spec->executable, NULL) ==
	    -1)
		return 0;
	count++;
	if (interpreter(watch_path(files, spec->executable, since_ms), spec,
	        ret_paths[count]))
		count++;
	for (size_t i = 1; spec->argv[i] != NULL && script == NULL; i++)
		if (spec->argv[i][0] != '-')
			script = spec->argv[i];
	if (script == NULL)
		return count;
	const char *cwd = spec->cwd == NULL ? "/" : spec->cwd;
	int rc = script[0] == '/'
	             ? text_copy(ret_paths[count], FILES_PATH_MAX, script, NULL)
	             : text_format(ret_paths[count], FILES_PATH_MAX, NULL,
	                   "%s/%s", cwd, script);

	const struct file_watch *file =
	    rc == 0 ? watch_path(files, ret_paths[count], since_ms) : NULL;

	return file != NULL && file->regular ? count + 1 : count;
}
