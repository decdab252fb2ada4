/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>

#include <sys/random.h>

#include "base/text.h"
#include "base/url.h"
#include "probes/google_token.h"
#include "probes/look.h"
#include "probes/object_store.h"

/*
 * Kind "s3": {url, endpoint, region, accessKey, secretKey, sessionToken,
 * pathStyle, key, exists, delete}. `url` is s3://bucket/prefix,
 * gs://bucket/prefix or file:///folder, and may carry endpoint and region as
 * keys. With `key` that object is looked for, with `delete` it is removed;
 * with neither an object of our own is put, got back, compared and deleted.
 * Without keys those of the environment sign, as with every client of S3.
 * Facts: status, code, and for our own object put, get and delete.
 */
enum {
	NONCE_BYTES = 8,
	NAMES_MAX = 64,
	SHOWN_BYTES = 200,
	STATUS_OK_LAST = 299,
	STATUS_MOVED = 301,
	STATUS_BAD = 400,
	STATUS_UNAUTHORIZED = 401,
	STATUS_FORBIDDEN = 403,
	STATUS_NOT_FOUND = 404,
	STATUS_RANGE = 416, /* it is there, and empty */
	STATUS_MANY = 429,
	STATUS_SERVER = 500
};
static const char AWS_ENDPOINT[] = "https://s3.%s.amazonaws.com";
static const char GOOGLE_ENDPOINT[] = "https://storage.googleapis.com";
static const char REGION[] = "us-east-1";

struct wanted {
	struct object_store store;
	const char *prefix; /* "" or "a/b/" */
	const char *key;    /* NULL: none asked for */
	const char *remove; /* NULL */
	bool exists;
};

static const char *
from_environment(const char *given, const char *name)
{
	if (given != NULL && given[0] != '\0')
		return given;
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* As Google's own clients: a service account's key, or the machine's. */
static int
take_token(struct look *look, struct object_store *store)
{
	struct ladder ladder;
	struct err err = ERR_INIT;

	ladder_init(&ladder, look->arena, look->ladder.deadline_ms);
	if (google_token(&ladder, &store->bearer, &err) == -1) {
		look_unknown(look, CAUSE_UNRESOLVED, "",
		    "nothing to sign with: %s; or give accessKey and secretKey "
		    "(HMAC)",
		    err.text);
		return -1;
	}
	redactor_add(look->redactor, store->bearer);
	return 0;
}

static int
take_keys(struct look *look, bool google, struct object_store *store)
{
	if (look_text(look, "accessKey", NULL, &store->access_key) == -1 ||
	    look_text(look, "secretKey", NULL, &store->secret_key) == -1 ||
	    look_text(look, "sessionToken", NULL, &store->token) == -1)
		return -1;
	/* keys that are given don't go with a token that isn't */
	if (store->access_key == NULL)
		store->token =
		    from_environment(store->token, "AWS_SESSION_TOKEN");
	store->access_key =
	    from_environment(store->access_key, "AWS_ACCESS_KEY_ID");
	store->secret_key =
	    from_environment(store->secret_key, "AWS_SECRET_ACCESS_KEY");
	if ((store->access_key == NULL) != (store->secret_key == NULL)) {
		look_unknown(look, CAUSE_UNRESOLVED, "",
		    "%s is given without the other: set accessKey and "
		    "secretKey, or AWS_ACCESS_KEY_ID and "
		    "AWS_SECRET_ACCESS_KEY",
		    store->access_key != NULL ? "the access key"
		                              : "the secret key");
		return -1;
	}
	if (google && store->access_key == NULL)
		return take_token(look, store);
	if (store->secret_key != NULL)
		redactor_add(look->redactor, store->secret_key);
	if (store->token != NULL)
		redactor_add(look->redactor, store->token);
	return 0;
}

/* "/a/b" and "/a/b/" as "a/b/". */
static const char *
prefix_of(struct arena *arena, const char *path)
{
	path += strspn(path, "/");
	size_t len = strlen(path);

	while (len > 0 && path[len - 1] == '/')
		len--;
	return len == 0 ? "" : arena_format(arena, "%.*s/", (int)len, path);
}

static const char *
without_slashes(struct arena *arena, const char *endpoint)
{
	size_t len = strlen(endpoint);

	while (len > 0 && endpoint[len - 1] == '/')
		len--;
	return arena_bytes(arena, endpoint, len);
}

static int
take_place(struct look *look, const struct url *url, struct wanted *ret)
{
	struct object_store *store = &ret->store;
	bool google = text_equal(url->scheme, "gs");
	const char *endpoint = NULL;
	bool path_style = false;

	if (look_text(look, "endpoint", url_query(url, "endpoint"),
	        &endpoint) == -1 ||
	    look_text(
	        look, "region", url_query(url, "region"), &store->region) == -1)
		return -1;
	store->region = from_environment(store->region, "AWS_REGION");
	if (store->region == NULL)
		store->region = google ? "auto" : REGION;
	/* what isn't Amazon itself seldom has names for its buckets */
	if (look_bool(look, "pathStyle", google || endpoint != NULL,
	        &path_style) == -1)
		return -1;
	store->style = path_style ? OBJECT_PATH : OBJECT_VIRTUAL;
	if (endpoint != NULL)
		store->endpoint = without_slashes(look->arena, endpoint);
	else if (google)
		store->endpoint = GOOGLE_ENDPOINT;
	else
		store->endpoint =
		    arena_format(look->arena, AWS_ENDPOINT, store->region);
	store->bucket = url->host;
	ret->prefix = prefix_of(look->arena, url->path);
	return 0;
}

/* A part of a key that would lead out of a folder. */
static bool
climbs(const char *key)
{
	for (const char *at = key; at != NULL;) {
		if (text_starts(at, "../") || text_equal(at, ".."))
			return true;
		at = strchr(at, '/');
		at = at == NULL ? NULL : at + 1;
	}
	return false;
}

static int
take_wanted(struct look *look, struct wanted *ret)
{
	const char *text = NULL;
	const char *server_name = NULL;
	struct err err = ERR_INIT;
	struct url url;

	ret->store.ladder = &look->ladder;
	if (look_need(look, "url", &text) == -1 ||
	    look_text(look, "key", NULL, &ret->key) == -1 ||
	    look_text(look, "delete", NULL, &ret->remove) == -1 ||
	    look_bool(look, "exists", true, &ret->exists) == -1 ||
	    look_tls(look, &ret->store.ca, &server_name) == -1)
		return -1;
	look_url(look, text);
	ret->key = look_canary(look, ret->key, false);
	ret->remove = look_canary(look, ret->remove, false);
	if (url_parse(look->arena, text, &url, &err) == -1) {
		look_failed(look, CAUSE_URL, "", "%s", err.text);
		return -1;
	}
	if (text_equal(url.scheme, "file")) {
		ret->store.style = OBJECT_FOLDER;
		ret->store.bucket = url.path;
		ret->prefix = "";
		if ((ret->key != NULL && climbs(ret->key)) ||
		    (ret->remove != NULL && climbs(ret->remove))) {
			look_failed(look, CAUSE_URL, "",
			    "a key leads out of the folder");
			return -1;
		}
		return 0;
	}
	if ((!text_equal(url.scheme, "s3") && !text_equal(url.scheme, "gs")) ||
	    url.host[0] == '\0') {
		look_failed(look, CAUSE_URL, "",
		    "an object store is s3://bucket/prefix, gs://bucket/prefix "
		    "or file:///folder");
		return -1;
	}
	return take_place(look, &url, ret) == -1
	           ? -1
	           : take_keys(look, text_equal(url.scheme, "gs"), &ret->store);
}

/* --- answers ----------------------------------------------------------- */

static enum cause
cause_of(const struct object_answer *answer)
{
	static const char *const login[] = {"SignatureDoesNotMatch",
	    "InvalidAccessKeyId", "ExpiredToken", "InvalidToken",
	    "RequestTimeTooSkewed", "AuthorizationHeaderMalformed"};

	for (size_t i = 0; i < ARRAY_LEN(login); i++)
		if (text_equal(answer->code, login[i]))
			return CAUSE_AUTH;
	switch (answer->status) {
	case STATUS_UNAUTHORIZED:
		return CAUSE_AUTH;
	case STATUS_FORBIDDEN:
		return CAUSE_PERMISSION;
	case STATUS_NOT_FOUND:
		return CAUSE_NOT_FOUND;
	case STATUS_MANY:
		return CAUSE_UNAVAILABLE;
	default:
		return answer->status >= STATUS_SERVER ? CAUSE_UNAVAILABLE
		                                       : CAUSE_MISMATCH;
	}
}

/* The bucket that there is and that was perhaps meant, out of the list of all;
 * NULL when there is none, or the list isn't ours to read. */
static const char *
near_bucket(struct look *look, const struct object_store *store)
{
	const char *names[NAMES_MAX];
	size_t count = 0;
	struct object_store all = *store;
	struct ladder ladder;
	struct object_answer answer;
	const char *near = NULL;

	if (store->style == OBJECT_FOLDER)
		return NULL;
	ladder_init(&ladder, look->arena, look->ladder.deadline_ms);
	all.ladder = &ladder;
	all.bucket = "";
	if (object_ask(&all, "GET", "", NULL, &answer) == 0 &&
	    answer.status <= STATUS_OK_LAST && answer.body.len > 0) {
		static const char open[] = "<Name>";
		const char *at = answer.body.data;
		const char *end = at + answer.body.len;

		while (count < NAMES_MAX &&
		       (at = memmem(at, (size_t)(end - at), open,
		            sizeof(open) - 1)) != NULL) {
			at += sizeof(open) - 1;
			const char *close = memchr(at, '<', (size_t)(end - at));
			if (close == NULL)
				break;
			names[count++] =
			    arena_bytes(look->arena, at, (size_t)(close - at));
			at = close;
		}
		near = text_nearest(store->bucket, names, count);
	}
	object_answer_fini(&answer);
	return near;
}

static const char *
advice(struct look *look, const struct object_store *store,
    const struct object_answer *answer)
{
	if (text_equal(answer->code, "NoSuchBucket")) {
		const char *near = near_bucket(look, store);

		return near == NULL ? ""
		                    : arena_format(look->arena,
		                          "; there is a bucket '%s'", near);
	}
	if (text_equal(answer->code, "RequestTimeTooSkewed"))
		return "; this machine's clock is wrong";
	if (answer->status == STATUS_MOVED ||
	    text_equal(answer->code, "AuthorizationHeaderMalformed"))
		return arena_format(look->arena,
		    "; the bucket is in another region than '%s'",
		    store->region);
	return "";
}

static void
refused(struct look *look, const struct wanted *wanted, const char *what,
    const struct object_answer *answer)
{
	const char *code = answer->code[0] != '\0' ? answer->code
	                                           : arena_format(look->arena,
	                                                 "%ld", answer->status);

	look_note(look, "status", "%ld", answer->status);
	look_failed(look, cause_of(answer), code, "%s: %s%s%s%s", what, code,
	    answer->message[0] != '\0' ? ", " : "", answer->message,
	    advice(look, &wanted->store, answer));
}

static bool
well(const struct object_answer *answer)
{
	return answer->status >= 200 && answer->status <= STATUS_OK_LAST;
}

/* --- one object that must, or must not, be there ------------------------- */

static void
look_for(struct look *look, const struct wanted *wanted)
{
	const char *key =
	    arena_format(look->arena, "%s%s", wanted->prefix, wanted->key);
	struct object_answer answer;

	if (object_ask(&wanted->store, "GET", key, NULL, &answer) == -1) {
		look_ladder_failed(look);
	} else if (well(&answer) || answer.status == STATUS_RANGE) {
		look_note(look, "status", "%ld", answer.status);
		if (wanted->exists)
			look_passed(look, "'%s' is there", key);
		else
			look_failed(look, CAUSE_MISMATCH, "",
			    "'%s' is there, and should not be", key);
	} else if (answer.status == STATUS_NOT_FOUND && !wanted->exists &&
	           !text_equal(answer.code, "NoSuchBucket")) {
		look_note(look, "status", "%ld", answer.status);
		look_passed(look, "'%s' is not there", key);
	} else {
		refused(look, wanted,
		    arena_format(look->arena, "GET '%s'", key), &answer);
	}
	object_answer_fini(&answer);
}

static void
take_away(struct look *look, const struct wanted *wanted)
{
	const char *key =
	    arena_format(look->arena, "%s%s", wanted->prefix, wanted->remove);
	struct object_answer answer;

	if (object_ask(&wanted->store, "DELETE", key, NULL, &answer) == -1)
		look_ladder_failed(look);
	else if (well(&answer) || (answer.status == STATUS_NOT_FOUND &&
	                              !text_equal(answer.code, "NoSuchBucket")))
		look_passed(look, "'%s' is gone", key);
	else
		refused(look, wanted,
		    arena_format(look->arena, "DELETE '%s'", key), &answer);
	object_answer_fini(&answer);
}

/* --- put, get, delete ---------------------------------------------------- */

static const char *
nonce(struct arena *arena)
{
	uint8_t bytes[NONCE_BYTES];
	char text[2 * NONCE_BYTES + 1];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		abort(); /* 8 bytes are never short once the pool is up */
	return arena_text(arena, text_hex(bytes, sizeof(bytes), text));
}

/* True when the step went well; else the answer is set. */
static bool
step(struct look *look, const struct wanted *wanted, const char *method,
    const char *key, const char *body, struct object_answer *ret)
{
	if (object_ask(&wanted->store, method, key, body, ret) == -1) {
		look_ladder_failed(look);
		return false;
	}
	look_note(look,
	    text_equal(method, "PUT")   ? "put"
	    : text_equal(method, "GET") ? "get"
	                                : "delete",
	    "%ld", ret->status);
	if (well(ret))
		return true;
	refused(look, wanted, arena_format(look->arena, "%s '%s'", method, key),
	    ret);
	return false;
}

static bool
same_again(struct look *look, const struct wanted *wanted, const char *key,
    const char *body)
{
	struct object_answer answer;
	bool same = step(look, wanted, "GET", key, NULL, &answer);

	if (same && (answer.body.len != strlen(body) ||
	                memcmp(answer.body.data, body, answer.body.len) != 0)) {
		look_note_bytes(look, "body", &answer.body, SHOWN_BYTES);
		look_failed(look, CAUSE_MISMATCH, "",
		    "what was put as '%s' comes back as something else", key);
		same = false;
	}
	object_answer_fini(&answer);
	return same;
}

static void
round_trip(struct look *look, const struct wanted *wanted)
{
	const char *once = nonce(look->arena);
	const char *key =
	    arena_format(look->arena, "%sreeve-check-%s", wanted->prefix, once);
	const char *body =
	    arena_format(look->arena, "put by reeve check, %s\n", once);
	struct object_answer put;
	struct object_answer gone;

	bool stored = step(look, wanted, "PUT", key, body, &put);
	object_answer_fini(&put);
	if (!stored)
		return;
	bool same = same_again(look, wanted, key, body);
	struct observation before = look->out;
	bool removed = step(look, wanted, "DELETE", key, NULL, &gone);

	object_answer_fini(&gone);
	if (!removed) {
		look_note(look, "left", "%s", key);
	} else if (!same) {
		look->out = before; /* what went wrong first */
	} else {
		look_passed(look, "put, got back and deleted '%s'", key);
	}
}

void
probe_object(struct look *look)
{
	struct wanted wanted = {.exists = true};

	if (take_wanted(look, &wanted) == -1)
		return;
	if (wanted.remove != NULL)
		take_away(look, &wanted);
	else if (wanted.key != NULL)
		look_for(look, &wanted);
	else
		round_trip(look, &wanted);
}
