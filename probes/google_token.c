/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/url.h"
#include "probes/base64.h"
#include "probes/google_token.h"
#include "probes/http.h"
#include "probes/json_read.h"

enum {
	FILE_MAX = 64 << 10,
	LIFE_S = 3600,
	MS_PER_S = 1000,
	OK = 200
};
static const char SCOPE[] = "https://www.googleapis.com/auth/cloud-platform";
static const char GRANT[] =
    "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
static const char METADATA[] =
    "http://%s/computeMetadata/v1/instance/service-accounts/default/token";

/* base64 as URLs have it: other letters, no padding. */
static const char *
base64url(struct arena *arena, const void *bytes, size_t len)
{
	struct buffer text;

	buffer_init(&text, FILE_MAX);
	base64_encode(&text, bytes, len);
	while (text.len > 0 && text.data[text.len - 1] == '=')
		text.len--;
	char *out =
	    arena_bytes(arena, text.data == NULL ? "" : text.data, text.len);

	for (char *at = out; *at != '\0'; at++) {
		if (*at == '+')
			*at = '-';
		else if (*at == '/')
			*at = '_';
	}
	buffer_wipe(&text);
	return out;
}

static int
sign(struct arena *arena, const char *pem, const char *text, const char **ret,
    struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key =
	    bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t len = 0;
	int rc = -1;

	if (key != NULL && md != NULL &&
	    EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestSign(md, NULL, &len, (const unsigned char *)text,
	        strlen(text)) == 1) {
		unsigned char *signature = arena_alloc(arena, len);

		if (EVP_DigestSign(md, signature, &len,
		        (const unsigned char *)text, strlen(text)) == 1) {
			*ret = base64url(arena, signature, len);
			rc = 0;
		}
	}
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return rc == 0 ? 0
	               : err_set(err, ERR_INPUT,
	                     "the private key of the service account can't "
	                     "sign");
}

/* The token of an answer {"access_token":…}. */
static int
take_token(const struct http_request *request, struct ladder *ladder,
    const char **ret, struct err *err)
{
	struct http_answer answer = {.status = 0};
	cJSON *json = NULL;
	const char *token = NULL;
	int rc = http_perform(request, ladder, &answer);

	if (rc == -1) {
		(void)err_set(
		    err, ERR_REFUSED, "no token: %s", ladder->summary);
	} else {
		json = json_read(answer.body.len > 0 ? answer.body.data : "",
		    answer.body.len, NULL);
		if (answer.status != OK || json == NULL ||
		    json_text(json, "access_token", NULL, &token, NULL) == -1 ||
		    token == NULL)
			rc = err_set(err, ERR_REFUSED,
			    "no token: %s answers %ld",
			    url_redacted(ladder->arena, request->url),
			    answer.status);
		else
			*ret = arena_text(ladder->arena, token);
	}
	json_free(&json);
	buffer_wipe(&answer.body);
	return rc;
}

static int
of_account(const cJSON *account, struct ladder *ladder, const char **ret,
    struct err *err)
{
	struct arena *arena = ladder->arena;
	const char *email = NULL;
	const char *pem = NULL;
	const char *uri = NULL;
	const char *signature = NULL;
	int64_t now_s = clock_wall_ms() / MS_PER_S;
	static const char header[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";

	if (json_text(account, "client_email", NULL, &email, err) == -1 ||
	    json_text(account, "private_key", NULL, &pem, err) == -1 ||
	    json_text(account, "token_uri",
	        "https://oauth2.googleapis.com/token", &uri, err) == -1)
		return -1;
	if (email == NULL || pem == NULL)
		return err_set(err, ERR_INPUT,
		    "the file of GOOGLE_APPLICATION_CREDENTIALS is no key of a "
		    "service account: it has no client_email or private_key");
	const char *claims = arena_format(arena,
	    "{\"iss\":\"%s\",\"scope\":\"%s\",\"aud\":\"%s\",\"iat\":%" PRId64
	    ",\"exp\":%" PRId64 "}",
	    email, SCOPE, uri, now_s, now_s + LIFE_S);
	const char *text = arena_format(arena, "%s.%s",
	    base64url(arena, header, strlen(header)),
	    base64url(arena, claims, strlen(claims)));

	if (sign(arena, pem, text, &signature, err) == -1)
		return -1;
	const struct http_request request = {
	    .url = uri,
	    .method = "POST",
	    .body = arena_format(
	        arena, "grant_type=%s&assertion=%s.%s", GRANT, text, signature),
	    .headers = {"Content-Type: application/x-www-form-urlencoded"},
	    .nheaders = 1,
	};

	return take_token(&request, ladder, ret, err);
}

static int
of_file(
    const char *path, struct ladder *ladder, const char **ret, struct err *err)
{
	struct buffer file;
	int rc = -1;

	buffer_init(&file, FILE_MAX);
	if (buffer_read_file(&file, path, err) == 0) {
		cJSON *account =
		    json_read(file.len > 0 ? file.data : "", file.len, err);

		if (account != NULL)
			rc = of_account(account, ladder, ret, err);
		json_free(&account);
	}
	buffer_wipe(&file);
	return rc;
}

int
google_token(struct ladder *ladder, const char **ret, struct err *err)
{
	const char *file = getenv("GOOGLE_APPLICATION_CREDENTIALS");
	const char *host = getenv("GCE_METADATA_HOST");

	if (file != NULL && file[0] != '\0')
		return of_file(file, ladder, ret, err);
	if (host == NULL || host[0] == '\0')
		host = "metadata.google.internal";
	const struct http_request request = {
	    .url = arena_format(ladder->arena, METADATA, host),
	    .method = "GET",
	    .headers = {"Metadata-Flavor: Google"},
	    .nheaders = 1,
	};

	return take_token(&request, ladder, ret, err);
}
