/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/record.h"
#include "supervisor/operator/sending.h"
#include "supervisor/operator/spool.h"

enum {
	FILE_MAX = 16 * 1024,
	FILE_MODE = 0600,
	HASH_BYTES = 16,
};

/* A receiver's name may hold what a file's can't. */
static int
find_paths(const struct alert_receiver *receiver, struct sending_paths *ret)
{
	const char *dir = receiver->alerts->dir;
	unsigned char digest[EVP_MAX_MD_SIZE];
	char hash[2 * HASH_BYTES + 1];
	unsigned len = 0;

	*ret = (struct sending_paths){.sending = ""};
	if (dir == NULL || EVP_Digest(receiver->name, strlen(receiver->name),
	                       digest, &len, EVP_sha256(), NULL) != 1)
		return -1;
	(void)text_hex(digest, HASH_BYTES, hash);
	return text_format(ret->sending, sizeof(ret->sending), NULL,
	           "%s/sending.%s", dir, hash) == -1 ||
	               text_format(ret->taken, sizeof(ret->taken), NULL,
	                   "%s/taken.%s", dir, hash) == -1
	           ? -1
	           : 0;
}

static void
remove_file(const char *path)
{
	if (unlink(path) == -1 && errno != ENOENT)
		log_warning("alert.spool", "remove '%s': %s", path,
		    strerrordesc_np(errno));
}

void
sending_begins(const struct alert_receiver *receiver, struct sending_paths *ret)
{
	struct err err = ERR_INIT;
	struct buffer bytes;
	struct jsonw json;

	if (find_paths(receiver, ret) == -1) {
		*ret = (struct sending_paths){.sending = ""};
		return;
	}
	buffer_init(&bytes, FILE_MAX);
	jsonw_init(&json, &bytes, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "receiver", receiver->name);
	jsonw_array(&json, "numbers");
	for (size_t i = 0; i < receiver->nsending; i++)
		jsonw_i64(&json, NULL, (int64_t)receiver->sending[i]);
	jsonw_end(&json);
	jsonw_end(&json);
	if (fd_replace_file(
	        ret->sending, FILE_MODE, bytes.data, bytes.len, &err) == -1) {
		log_warning("alert.spool",
		    "receiver=%s a message goes without a note on disk: %s",
		    receiver->name, err.text);
		/* an older note must not be taken for this message's */
		remove_file(ret->sending);
		*ret = (struct sending_paths){.sending = ""};
	}
	buffer_fini(&bytes);
}

void
sending_is_over(const struct alert_receiver *receiver)
{
	struct sending_paths paths;

	if (find_paths(receiver, &paths) == -1)
		return;
	remove_file(paths.sending);
	remove_file(paths.taken);
}

void
sending_was_taken(const char *sending, const char *taken)
{
	/* Where it fails the operator still hears of it by our exit code. */
	if (sending != NULL && taken != NULL && *sending != '\0')
		(void)rename(sending, taken);
}

/* Sets receiver->sending; false: there is no such file. */
static bool
read_numbers(struct alert_receiver *receiver, const char *path)
{
	struct err err = ERR_INIT;
	const cJSON *item = NULL;
	struct buffer bytes;
	cJSON *json = NULL;

	receiver->nsending = 0;
	buffer_init(&bytes, FILE_MAX);
	if (buffer_read_file(&bytes, path, &err) == 0)
		json = record_parse(bytes.data, bytes.len);
	buffer_fini(&bytes);
	cJSON_ArrayForEach(item, record_array(json, "numbers"))
	{
		if (cJSON_IsNumber(item) && item->valuedouble >= 1 &&
		    receiver->nsending < ALERT_BATCH_MAX)
			receiver->sending[receiver->nsending++] =
			    (uint64_t)item->valuedouble;
	}
	cJSON_Delete(json);
	return receiver->nsending > 0;
}

void
sending_resume(struct alert_receiver *receiver)
{
	struct sending_paths paths;

	if (find_paths(receiver, &paths) == -1)
		return;
	if (read_numbers(receiver, paths.taken)) {
		spool_delivered_all(receiver);
		remove_file(paths.taken);
	}
	receiver->unsure = read_numbers(receiver, paths.sending);
}
