/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_STREAM_H
#define REEVE_PROBES_STREAM_H

#include "base/base.h"
#include "base/err.h"
#include "probes/ladder.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * A connected byte stream: TCP or a unix socket, with TLS where asked for. The
 * socket is non-blocking inside; every call here waits at most until the
 * deadline that it is given. Only the resolver can wait longer (getaddrinfo has
 * no deadline), which is why this runs in processes that may be killed.
 */
struct endpoint {
	const char *host; /* name or numeric; ignored with unix_path */
	int port;
	const char *unix_path; /* NULL: TCP; "@name": abstract */
	bool tls;
	const char *server_name; /* to verify and to send; NULL: host */
	const char *ca;          /* PEM file; NULL: the system's */
};

enum {
	STREAM_ADDRESS_SIZE = 128,
	STREAM_ADDRESSES_MAX = 16
};

struct stream_addresses {
	struct sockaddr_storage all[STREAM_ADDRESSES_MAX];
	socklen_t len[STREAM_ADDRESSES_MAX];
	size_t count;
};

struct stream;

/* The DNS rung: fills `ret` with the port set. A numeric host is no rung. */
int stream_resolve(const char *host, int port, struct ladder *ladder,
    struct stream_addresses *ret) MUST_CHECK;
/* DNS, TCP to each address in turn, TLS with the name verified. -1 with the
 * reason in `ladder`. */
int stream_open(const struct endpoint *endpoint, struct ladder *ladder,
    struct stream **ret) MUST_CHECK;
void stream_close(struct stream *stream); /* NULL is fine */

/* At least one byte, 0 at end of stream, or -1 (ERR_TIMEOUT, ERR_SYSTEM). */
ssize_t stream_read(struct stream *stream, void *bytes, size_t size,
    int64_t deadline_ms, struct err *err) MUST_CHECK;
/* All of it, or -1: then the stream is of no use any more. */
int stream_write(struct stream *stream, const void *bytes, size_t len,
    int64_t deadline_ms, struct err *err) MUST_CHECK;

int stream_fd(const struct stream *stream); /* for poll; stays the stream's */
const char *stream_address(const struct stream *stream); /* "10.0.0.5:6379" */
/* Our own end, as the server sees it when nobody translates: "10.0.0.9:40112".
 */
const char *stream_local(const struct stream *stream);
/* What TLS agreed on and showed: "TLSv1.3", "CN=…", notAfter; "" without. */
const char *stream_tls_version(const struct stream *stream);
const char *stream_tls_subject(const struct stream *stream);
const char *stream_tls_not_after(const struct stream *stream);
int64_t stream_tls_days_left(const struct stream *stream);
/* A certificate's fault as a code: "expired", "self-signed", "wrong-name",
 * "untrusted", "not-yet-valid", "invalid"; of OpenSSL's X509_V_ERR_…. */
const char *stream_tls_code(long verify);
/* "10.0.0.5:6379", "[::1]:6379", "unix:/run/x". */
void stream_address_text(const struct sockaddr *address, socklen_t len,
    char dst[STREAM_ADDRESS_SIZE]);

/* Waits for POLLIN or POLLOUT (or an error, which the next call tells). 0, or
 * -1 with errno: ETIMEDOUT at the deadline. */
int stream_wait(int fd, short events, int64_t deadline_ms) MUST_CHECK;

#endif
