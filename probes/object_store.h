/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_OBJECT_STORE_H
#define REEVE_PROBES_OBJECT_STORE_H

#include "base/base.h"
#include "base/buffer.h"
#include "probes/ladder.h"

/*
 * Objects by name: S3 and what speaks it (SeaweedFS, MinIO, Google's XML API
 * with HMAC keys), or a local folder, which answers with the same statuses.
 * Source: the Amazon S3 API reference; queues.md part 12. Calls block within
 * the ladder's deadline: for probers.
 */
enum object_style {
	OBJECT_PATH = 0, /* https://endpoint/bucket/key */
	OBJECT_VIRTUAL,  /* https://bucket.endpoint/key */
	OBJECT_FOLDER,   /* a file below a directory */
};

struct object_store {
	struct ladder *ladder;
	enum object_style style;
	const char
	    *endpoint; /* "https://s3.eu-west-1.amazonaws.com"; folder: "" */
	const char *bucket; /* folder: the directory */
	const char *region;
	const char *access_key, *secret_key; /* NULL: anonymous */
	const char *token;                   /* of a session; NULL: none */
	const char *bearer; /* Google\'s, instead of keys; NULL: none */
	const char *ca;     /* PEM file; NULL: the system's */
};

struct object_answer {
	long status;         /* as of HTTP; a folder's are 200, 204, 403, 404 */
	const char *code;    /* S3's: "NoSuchKey"; "" none */
	const char *message; /* S3's words, or the system's; "" none */
	struct buffer body;  /* of an object that was got: its beginning */
};

/* `body` is put, NULL otherwise; `method` is PUT, GET, DELETE; a key of "" is
 * the bucket itself, a bucket of "" all of them. A status is an answer: -1 only
 * when none came, with the reason in the ladder. object_answer_fini in either
 * case. */
int object_ask(const struct object_store *store, const char *method,
    const char *key, const char *body, struct object_answer *ret) MUST_CHECK;
void object_answer_fini(struct object_answer *answer);

#endif
