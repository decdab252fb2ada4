/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "supervisor/operator/record.h"
#include "supervisor/operator/serve_settings.h"

enum {
	SETTINGS_MAX = 64 * 1024,
	TEXTS_MAX = 64 << 20, /* more than a manifest can hold */
	SETTINGS_MODE = 0600,
	PATH_SIZE = 512,
};

static const char SETTINGS_FILE[] = "status.json";

struct serve_settings
serve_settings_of(
    const struct declared_status *declared, const struct fingerprint_key *key)
{
	struct serve_settings made = {0};

	arena_init(&made.arena, TEXTS_MAX);
	if (declared->token_unresolved != NULL)
		return made;
	made.listen = arena_text(&made.arena, declared->listen);
	made.certificate = arena_text(&made.arena, declared->certificate);
	made.key = arena_text(&made.arena, declared->key);
	made.locked = declared->token != NULL;
	if (made.locked)
		made.token = fingerprint_of(
		    key, declared->token, strlen(declared->token));
	return made;
}

void
serve_settings_fini(struct serve_settings *settings)
{
	arena_fini(&settings->arena);
	*settings = (struct serve_settings){0};
}

bool
serve_settings_equal(
    const struct serve_settings *a, const struct serve_settings *b)
{
	return text_equal(a->listen, b->listen) &&
	       text_equal(a->certificate, b->certificate) &&
	       text_equal(a->key, b->key) && a->locked == b->locked &&
	       fingerprint_equal(&a->token, &b->token);
}

static struct fingerprint
seal_of(
    const struct serve_settings *settings, const struct fingerprint_key *key)
{
	const char *texts[] = {"reeve status server 1", settings->listen,
	    settings->certificate, settings->key,
	    settings->locked ? "locked" : NULL};
	struct buffer bytes;

	buffer_init(&bytes, TEXTS_MAX);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		/* With a NUL behind it: no two lists give the same bytes. */
		buffer_format(&bytes, "%c%s%c", texts[i] == NULL ? '-' : '+',
		    texts[i] == NULL ? "" : texts[i], '\0');
	buffer_append(&bytes, &settings->token, sizeof(settings->token));
	struct fingerprint seal = fingerprint_of(key, bytes.data, bytes.len);

	buffer_fini(&bytes);
	return seal;
}

static void
write_settings(const struct serve_settings *settings,
    const struct fingerprint_key *key, struct buffer *out)
{
	struct fingerprint seal = seal_of(settings, key);
	char text[RECORD_HEX_SIZE];
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "seal", record_hex(seal.bytes, text));
	jsonw_text(&json, "listen", settings->listen);
	jsonw_text(&json, "certificate", settings->certificate);
	jsonw_text(&json, "key", settings->key);
	jsonw_text(&json, "token",
	    settings->locked ? record_hex(settings->token.bytes, text) : NULL);
	jsonw_end(&json);
}

int
serve_settings_keep(const struct serve_settings *settings, const char *dir,
    const struct fingerprint_key *key, struct err *err)
{
	char path[PATH_SIZE];
	struct buffer bytes;

	if (dir == NULL)
		return 0;
	if (text_format(path, sizeof(path), err, "%s/%s", dir, SETTINGS_FILE) ==
	    -1)
		return -1;
	if (settings->listen == NULL)
		return unlink(path) == 0 || errno == ENOENT
		           ? 0
		           : err_sys(err, "'%s'", path);
	buffer_init(&bytes, SETTINGS_MAX);
	write_settings(settings, key, &bytes);
	int rc = bytes.overflow
	             ? err_set(err, ERR_CAPACITY, "'%s': too large", path)
	             : fd_replace_file(
	                   path, SETTINGS_MODE, bytes.data, bytes.len, err);
	buffer_fini(&bytes);
	return rc;
}

static bool
read_settings(const cJSON *json, const struct fingerprint_key *key,
    struct serve_settings *ret)
{
	const char *token = record_text(json, "token", NULL);
	struct fingerprint seal;

	ret->listen =
	    arena_text(&ret->arena, record_text(json, "listen", NULL));
	ret->certificate =
	    arena_text(&ret->arena, record_text(json, "certificate", NULL));
	ret->key = arena_text(&ret->arena, record_text(json, "key", NULL));
	ret->locked = token != NULL;
	if (ret->locked && !record_unhex(token, ret->token.bytes))
		return false;
	struct fingerprint right = seal_of(ret, key);

	return record_unhex(record_text(json, "seal", NULL), seal.bytes) &&
	       fingerprint_equal(&seal, &right);
}

bool
serve_settings_recall(const char *dir, const struct fingerprint_key *key,
    struct serve_settings *ret)
{
	struct serve_settings kept = {0};
	struct err err = ERR_INIT;
	char path[PATH_SIZE];
	struct buffer bytes;

	if (dir == NULL || text_format(path, sizeof(path), &err, "%s/%s", dir,
	                       SETTINGS_FILE) == -1)
		return false;
	buffer_init(&bytes, SETTINGS_MAX);
	CLEANUP(record_free)
	cJSON *json = buffer_read_file(&bytes, path, &err) == 0
	                  ? record_parse(bytes.data, bytes.len)
	                  : NULL;

	buffer_fini(&bytes);
	if (json == NULL)
		return false;
	arena_init(&kept.arena, TEXTS_MAX);
	if (!read_settings(json, key, &kept)) {
		serve_settings_fini(&kept);
		return false;
	}
	*ret = kept;
	return true;
}
