/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/fd.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/http.h"
#include "probes/object_store.h"

enum {
	FOLDER_BODY_MAX = 1 << 20,
	FILE_MODE = 0600,
	STATUS_OK = 200,
	STATUS_GONE = 204,
	STATUS_FORBIDDEN = 403,
	STATUS_NOT_FOUND = 404,
	STATUS_REFUSED = 500,
	SHA256_BYTES = 32
};
/* Enough to show what is there, and the whole of an error. */
static const char RANGE[] = "Range: bytes=0-65535";

/* --- a folder ---------------------------------------------------------- */

static int
folder_status(struct object_answer *ret, struct arena *arena, int sys)
{
	ret->status = sys == ENOENT || sys == ENOTDIR ? STATUS_NOT_FOUND
	              : sys == EACCES || sys == EPERM || sys == EROFS
	                  ? STATUS_FORBIDDEN
	                  : STATUS_REFUSED;
	ret->message = arena_text(arena, strerrordesc_np(sys));
	return 0;
}

static int
folder_get(struct object_answer *ret, struct arena *arena, const char *path,
    bool directory)
{
	struct err err = ERR_INIT;

	if (directory) {
		if (access(path, R_OK | X_OK) == -1)
			return folder_status(ret, arena, errno);
	} else if (buffer_read_file(&ret->body, path, &err) == -1 &&
	           err.kind != ERR_CAPACITY) { /* the beginning is enough */
		return folder_status(
		    ret, arena, err.sys != 0 ? err.sys : EINVAL);
	}
	ret->status = STATUS_OK;
	return 0;
}

static int
folder_ask(const struct object_store *store, const char *method,
    const char *key, const char *body, struct object_answer *ret)
{
	struct arena *arena = store->ladder->arena;
	struct err err = ERR_INIT;
	const char *path = arena_format(arena, "%s/%s", store->bucket, key);

	ladder_begin(store->ladder, STEP_QUERY, path);
	if (text_equal(method, "GET")) {
		(void)folder_get(ret, arena, path, key[0] == '\0');
	} else if (text_equal(method, "DELETE")) {
		if (unlink(path) == -1)
			(void)folder_status(ret, arena, errno);
		else
			ret->status = STATUS_GONE;
	} else if (fd_replace_file(path, FILE_MODE, body, strlen(body), &err) ==
	           -1) {
		(void)folder_status(ret, arena, err.sys != 0 ? err.sys : EIO);
	} else {
		ret->status = STATUS_OK;
	}
	ladder_pass(store->ladder, "%s %s: %ld", method, path, ret->status);
	return 0;
}

/* --- S3 ---------------------------------------------------------------- */

/* Each part of a key is encoded, the slashes between stay. */
static const char *
encode_key(struct arena *arena, const char *key)
{
	const char *out = "";

	while (*key != '\0') {
		size_t len = strcspn(key, "/");

		out = arena_format(arena, "%s%s%s", out,
		    url_encode(arena, arena_bytes(arena, key, len)),
		    key[len] == '/' ? "/" : "");
		key += len + (key[len] == '/' ? 1 : 0);
	}
	return out;
}

static const char *
object_url(const struct object_store *store, const char *key)
{
	struct arena *arena = store->ladder->arena;
	const char *encoded = encode_key(arena, key);
	const char *host = strstr(store->endpoint, "://");

	if (store->bucket[0] == '\0')
		return arena_format(arena, "%s/", store->endpoint);
	if (store->style == OBJECT_PATH || host == NULL)
		return arena_format(arena, "%s/%s%s%s", store->endpoint,
		    store->bucket, encoded[0] == '\0' ? "" : "/", encoded);
	return arena_format(arena, "%.*s://%s.%s/%s",
	    (int)(host - store->endpoint), store->endpoint, store->bucket,
	    host + 3, encoded);
}

/* The text of the first <NAME> in an answer of XML; "" when there is none. */
static const char *
xml_text(struct arena *arena, const struct buffer *body, const char *name)
{
	const char *open = arena_format(arena, "<%s>", name);
	const char *at =
	    body->len == 0 ? NULL
	                   : memmem(body->data, body->len, open, strlen(open));

	if (at == NULL)
		return "";
	at += strlen(open);
	size_t left = body->len - (size_t)(at - body->data);
	const char *end = memchr(at, '<', left);

	return arena_bytes(arena, at, end == NULL ? left : (size_t)(end - at));
}

/* S3 wants the digest of the body said, and signed; libcurl adds none. */
static const char *
digest_header(struct arena *arena, const char *body)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	char hex[2 * SHA256_BYTES + 1];

	if (EVP_Digest(body, strlen(body), digest, &len, EVP_sha256(), NULL) !=
	        1 ||
	    len != SHA256_BYTES)
		return NULL;
	return arena_format(
	    arena, "x-amz-content-sha256: %s", text_hex(digest, len, hex));
}

static int
s3_ask(const struct object_store *store, const char *method, const char *key,
    const char *body, struct object_answer *ret)
{
	struct arena *arena = store->ladder->arena;
	struct http_answer answer = {.status = 0};
	struct http_request request = {
	    .url = object_url(store, key),
	    .method = method,
	    .body = body,
	    .ca = store->ca,
	};
	const char *digest = digest_header(arena, body == NULL ? "" : body);

	if (digest == NULL)
		return ladder_unknown(store->ladder, CAUSE_INTERNAL, "",
		    "SHA-256 can't be computed");
	request.headers[request.nheaders++] = digest;
	if (body == NULL && text_equal(method, "GET") && key[0] != '\0')
		request.headers[request.nheaders++] = RANGE;
	if (body != NULL)
		request.headers[request.nheaders++] =
		    "Content-Type: application/octet-stream";
	if (store->token != NULL)
		request.headers[request.nheaders++] = arena_format(
		    arena, "x-amz-security-token: %s", store->token);
	if (store->bearer != NULL)
		request.headers[request.nheaders++] = arena_format(
		    arena, "Authorization: Bearer %s", store->bearer);
	if (store->access_key != NULL) {
		request.sigv4 =
		    arena_format(arena, "aws:amz:%s:s3", store->region);
		request.credentials = arena_format(
		    arena, "%s:%s", store->access_key, store->secret_key);
	}
	int rc = http_perform(&request, store->ladder, &answer);

	ret->status = answer.status;
	if (rc == 0 && answer.status >= 300) {
		ret->code = xml_text(arena, &answer.body, "Code");
		ret->message = xml_text(arena, &answer.body, "Message");
	}
	buffer_fini(&ret->body);
	ret->body = answer.body; /* taken over */
	return rc;
}

int
object_ask(const struct object_store *store, const char *method,
    const char *key, const char *body, struct object_answer *ret)
{
	*ret = (struct object_answer){.code = "", .message = ""};
	buffer_init(&ret->body, FOLDER_BODY_MAX);
	return store->style == OBJECT_FOLDER
	           ? folder_ask(store, method, key, body, ret)
	           : s3_ask(store, method, key, body, ret);
}

void
object_answer_fini(struct object_answer *answer)
{
	buffer_fini(&answer->body);
}
