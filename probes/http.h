/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_HTTP_H
#define REEVE_PROBES_HTTP_H

#include "base/base.h"
#include "base/buffer.h"
#include "probes/ladder.h"

/*
 * One HTTP request by libcurl, within the ladder's deadline. Blocks; for
 * probers. A status is an answer, whatever it says: judging it is the caller's.
 */
enum {
	HTTP_HEADERS_MAX = 64,
	HTTP_NOT_FOUND = 404,
	HTTP_GONE = 410,
};

struct http_request {
	const char *url;
	const char *method;
	const char *body;                      /* NULL: none */
	size_t body_len;                       /* 0: up to its NUL */
	const char *headers[HTTP_HEADERS_MAX]; /* "Name: value" */
	size_t nheaders;
	const char *ca;        /* PEM file; NULL: the system's */
	const char *unix_path; /* NULL: by host; "@name": abstract */
	bool follow;           /* redirects, at most five */
	bool http1; /* HTTP/2 would write all names of headers small */
	/* AWS Signature Version 4: "aws:amz:REGION:SERVICE", and "KEY:SECRET".
	 * libcurl 7.88 signs the query as it is written: sort its keys, write
	 * each as KEY=VALUE (queues.md part 12). NULL: not signed. */
	const char *sigv4, *credentials;
	size_t body_max; /* of the answer; 0: 1 MiB */
};

struct http_answer {
	long status;        /* also of an answer that was not whole; 0 none */
	struct buffer body; /* at most body_max, cut there: `overflow` */
	struct buffer headers; /* lines "Name: value\n", 64 KiB at most */
	const char *path;      /* of the URL, decoded */
	const char *location;  /* of a redirect, redacted; NULL */
	const char *peer;      /* address that answered */
};

/* -1 with the reason in `ladder`. Call http_answer_fini in either case. */
int http_perform(const struct http_request *request, struct ladder *ladder,
    struct http_answer *ret) MUST_CHECK;
void http_answer_fini(struct http_answer *answer);
/* What a status that wasn't wanted means. */
enum cause http_status_cause(long status);

#endif
