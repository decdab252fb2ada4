/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/fd.h"
#include "base/text.h"
#include "supervisor/operator/files.h"

enum {
	READ_SIZE = 64 * 1024,
	NS_A_MS = 1000000
};

void
files_fini(struct files *files)
{
	while (files->first != NULL) {
		struct file_watch *watch = files->first;
		files->first = watch->next;
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
	for (unsigned int i = 0; ok && i < 32; i++)
		(void)snprintf(ret + (size_t)2 * i, 3, "%02x", sum[i]);
	return ok;
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
		return;
	}
	struct file_identity seen = {
	    .device = (uint64_t)st.st_dev,
	    .inode = (uint64_t)st.st_ino,
	    .size = (int64_t)st.st_size,
	    .modified_ns = nanoseconds(&st.st_mtim),
	    .changed_ms = nanoseconds(&st.st_ctim) / NS_A_MS,
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
	fd_close(&fd);
	watch->now = seen;
}

const struct file_identity *
files_look(struct files *files, const char *path)
{
	static const struct file_identity unknown;
	struct file_watch *watch = files->first;

	while (watch != NULL && !text_equal(watch->path, path))
		watch = watch->next;
	if (watch == NULL) {
		watch = calloc(1, sizeof(*watch));
		if (watch == NULL)
			return &unknown;
		watch->path = strdup(path);
		if (watch->path == NULL) {
			free(watch);
			return &unknown;
		}
		watch->next = files->first;
		files->first = watch;
	}
	look(watch);
	return &watch->now;
}

bool
files_differ(const struct file_identity *then, const struct file_identity *now)
{
	return then->known && now->known &&
	       strcmp(then->sha256, now->sha256) != 0;
}

static bool
regular(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

size_t
files_of_worker(const struct worker_spec *spec,
    char ret_paths[FILES_OF_WORKER][FILES_PATH_MAX])
{
	size_t count = 0;
	const char *script = NULL;

	if (text_copy(ret_paths[0], FILES_PATH_MAX, spec->executable, NULL) ==
	    0)
		count++;
	for (size_t i = 1; spec->argv[i] != NULL && script == NULL; i++)
		if (spec->argv[i][0] != '-')
			script = spec->argv[i];
	if (script == NULL || count == 0)
		return count;
	const char *cwd = spec->cwd == NULL ? "/" : spec->cwd;
	int rc = script[0] == '/'
	             ? text_copy(ret_paths[1], FILES_PATH_MAX, script, NULL)
	             : text_format(ret_paths[1], FILES_PATH_MAX, NULL, "%s/%s",
	                   cwd, script);

	if (rc == 0 && regular(ret_paths[1]))
		count++;
	return count;
}
