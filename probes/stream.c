/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "probes/stream.h"

enum {
	TLS_TEXT_SIZE = 256
};

struct stream {
	int fd;
	SSL_CTX *context;
	SSL *ssl; /* NULL: plain */
	int64_t days_left;
	char address[STREAM_ADDRESS_SIZE];
	char local[STREAM_ADDRESS_SIZE];
	char subject[TLS_TEXT_SIZE];
	char not_after[TLS_TEXT_SIZE];
};

void
stream_address_text(const struct sockaddr *address, socklen_t len,
    char dst[STREAM_ADDRESS_SIZE])
{
	char host[INET6_ADDRSTRLEN] = "";

	dst[0] = '\0';
	if (address->sa_family == AF_UNIX) {
		const struct sockaddr_un *un = (const void *)address;
		size_t path =
		    len > offsetof(struct sockaddr_un, sun_path)
		        ? (size_t)len - offsetof(struct sockaddr_un, sun_path)
		        : 0;
		bool abstract = path > 0 && un->sun_path[0] == '\0';
		(void)snprintf(dst, STREAM_ADDRESS_SIZE, "unix:%s%.*s",
		    abstract ? "@" : "",
		    (int)(abstract ? path - 1 : strnlen(un->sun_path, path)),
		    un->sun_path + (abstract ? 1 : 0));
	} else if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)address;
		(void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		(void)snprintf(dst, STREAM_ADDRESS_SIZE, "%s:%u", host,
		    (unsigned)ntohs(in->sin_port));
	} else if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;
		(void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		(void)snprintf(dst, STREAM_ADDRESS_SIZE, "[%s]:%u", host,
		    (unsigned)ntohs(in6->sin6_port));
	}
}

static void
addresses_fill(const struct addrinfo *list, struct stream_addresses *ret)
{
	for (; list != NULL && ret->count < STREAM_ADDRESSES_MAX;
	     list = list->ai_next) {
		if (list->ai_addrlen > sizeof(ret->all[0]))
			continue;
		memcpy(&ret->all[ret->count], list->ai_addr, list->ai_addrlen);
		ret->len[ret->count++] = list->ai_addrlen;
	}
}

static const char *
addresses_text(const struct stream_addresses *addresses, char *dst, size_t size)
{
	size_t used = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < addresses->count && i < 4; i++) {
		char one[STREAM_ADDRESS_SIZE];
		stream_address_text(
		    (const void *)&addresses->all[i], addresses->len[i], one);
		int n = snprintf(
		    dst + used, size - used, "%s%s", i == 0 ? "" : ", ", one);
		if (n < 0 || (size_t)n >= size - used)
			break;
		used += (size_t)n;
	}
	return dst;
}

/* The resolver's words, apart from EAI_SYSTEM whose errno says more. */
static int
resolve_failed(struct ladder *ladder, const char *host, int rc, int sys)
{
	switch (rc) {
	case EAI_NONAME:
		return ladder_fail(
		    ladder, CAUSE_DNS, "NXDOMAIN", "no such name: '%s'", host);
	case EAI_NODATA:
		return ladder_fail(ladder, CAUSE_DNS, "NODATA",
		    "the name '%s' has no address", host);
	case EAI_FAIL:
		return ladder_fail(ladder, CAUSE_DNS, "SERVFAIL",
		    "the name server could not resolve '%s'", host);
	case EAI_AGAIN:
		return ladder_unknown(ladder, CAUSE_DNS, "EAI_AGAIN",
		    "DNS did not answer for '%s'", host);
	case EAI_SYSTEM:
		return ladder_unknown(ladder, CAUSE_DNS, "EAI_SYSTEM",
		    "resolve '%s': %s", host, strerror(sys));
	default:
		return ladder_unknown(ladder, CAUSE_DNS, "EAI",
		    "resolve '%s': %s", host, gai_strerror(rc));
	}
}

int
stream_resolve(const char *host, int port, struct ladder *ladder,
    struct stream_addresses *ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	struct stream_addresses found = {.count = 0};
	char service[16];
	char text[4 * STREAM_ADDRESS_SIZE];

	if (port < 1 || port > 65535 || host == NULL || host[0] == '\0') {
		ladder_begin(ladder, STEP_DNS, host);
		return ladder_fail(ladder, CAUSE_URL, "",
		    "'%s' port %d is no host and port",
		    host == NULL ? "" : host, port);
	}
	(void)snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(host, service, &hints, &list) == 0) {
		addresses_fill(list, ret);
		freeaddrinfo(list);
		return 0;
	}
	ladder_begin(ladder, STEP_DNS, host);
	hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
	int rc = getaddrinfo(host, service, &hints, &list);
	int sys = errno;
	if (rc != 0)
		return resolve_failed(ladder, host, rc, sys);
	addresses_fill(list, &found);
	freeaddrinfo(list);
	*ret = found;
	ladder_pass(ladder, "%s is %s", host,
	    addresses_text(&found, text, sizeof(text)));
	return 0;
}

/* Waits for the socket; 0 ready, -1 with ETIMEDOUT or poll's errno. */
int
stream_wait(int fd, short events, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd one = {.fd = fd, .events = events};
		int64_t now_ms = clock_ms();
		int n = poll(&one, 1, clock_timeout(now_ms, deadline_ms));
		if (n > 0)
			return 0;
		if (n == -1 && errno != EINTR)
			return -1;
		if (n == 0 && clock_ms() >= deadline_ms) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
}

static int
connect_one(const struct sockaddr *address, socklen_t len, int64_t deadline_ms,
    int *ret_fd)
{
	int fd = socket(
	    address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int sys = 0;
	socklen_t size = sizeof(sys);
	int on = 1;

	if (fd == -1)
		return -1;
	if (connect(fd, address, len) == 0)
		goto connected;
	if (errno != EINPROGRESS && errno != EINTR) {
		/* a unix socket with a full backlog says so at once: wait is
		 * not offered, so it is "not now" rather than refused */
		goto fail;
	}
	if (stream_wait(fd, POLLOUT, deadline_ms) == -1)
		goto fail;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &size) == -1)
		goto fail;
	if (sys != 0) {
		errno = sys;
		goto fail;
	}
connected:
	if (address->sa_family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	*ret_fd = fd;
	return 0;
fail:
	fd_close(&fd);
	return -1;
}

static int
connect_failed(struct ladder *ladder, const char *address, int sys)
{
	switch (sys) {
	case ECONNREFUSED:
		return ladder_fail(ladder, CAUSE_REFUSED, "ECONNREFUSED",
		    "%s refuses connections: nothing listens there", address);
	case ETIMEDOUT:
		return ladder_unknown(ladder, CAUSE_UNREACHABLE, "ETIMEDOUT",
		    "no answer from %s to a connection attempt", address);
	case EHOSTUNREACH:
		return ladder_unknown(ladder, CAUSE_UNREACHABLE, "EHOSTUNREACH",
		    "no route to %s", address);
	case ENETUNREACH:
		return ladder_unknown(ladder, CAUSE_UNREACHABLE, "ENETUNREACH",
		    "the network of %s is unreachable from here", address);
	case ENOENT:
		return ladder_fail(ladder, CAUSE_REFUSED, "ENOENT",
		    "there is no socket %s", address);
	case EACCES:
	case EPERM:
		return ladder_unknown(ladder, CAUSE_PERMISSION, "EACCES",
		    "connect to %s: %s", address, strerror(sys));
	case EAGAIN:
		return ladder_unknown(ladder, CAUSE_SILENT, "EAGAIN",
		    "%s accepts no more connections", address);
	default:
		return ladder_unknown(ladder, CAUSE_UNREACHABLE, "",
		    "connect to %s: %s", address, strerror(sys));
	}
}

/* Each address gets an equal share of the time that is left, so that one that
 * swallows packets doesn't hide the next. */
static int
connect_any(const struct stream_addresses *addresses, struct ladder *ladder,
    struct stream *stream)
{
	int refused = 0;

	for (size_t i = 0; i < addresses->count; i++) {
		const struct sockaddr *one = (const void *)&addresses->all[i];
		int64_t now_ms = clock_ms();
		int64_t share_ms = (ladder->deadline_ms - now_ms) /
		                   (int64_t)(addresses->count - i);

		stream_address_text(one, addresses->len[i], stream->address);
		ladder_begin(ladder, STEP_TCP, stream->address);
		if (connect_one(one, addresses->len[i],
		        clock_after(now_ms, MAX(share_ms, 1)),
		        &stream->fd) == 0) {
			ladder_pass(ladder, "connected to %s", stream->address);
			return 0;
		}
		int sys = errno;
		refused = sys == ECONNREFUSED ? sys : refused;
		if (i + 1 == addresses->count)
			/* one that refuses says more than one that is mute */
			return connect_failed(ladder, stream->address,
			    refused != 0 ? refused : sys);
	}
	return ladder_unknown(ladder, CAUSE_DNS, "", "no address to try");
}

static int
connect_unix(const char *path, struct ladder *ladder, struct stream *stream)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	(void)snprintf(
	    stream->address, sizeof(stream->address), "unix:%s", path);
	ladder_begin(ladder, STEP_TCP, stream->address);
	if (len == 0 || len >= sizeof(un.sun_path))
		return ladder_fail(ladder, CAUSE_URL, "",
		    "a socket's path has 1 to %zu bytes",
		    sizeof(un.sun_path) - 1);
	memcpy(un.sun_path, path, len);
	bool abstract = path[0] == '@';
	if (abstract)
		un.sun_path[0] = '\0';
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	                             len + (abstract ? 0 : 1));
	if (connect_one((const void *)&un, size, ladder->deadline_ms,
	        &stream->fd) == -1)
		return connect_failed(ladder, path, errno);
	ladder_pass(ladder, "connected to %s", path);
	return 0;
}

/* OpenSSL's queue of errors as one short text; emptied. */
static const char *
tls_reason(char *dst, size_t size)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	(void)snprintf(dst, size, "%s",
	    reason != NULL ? reason : "the connection was closed");
	ERR_clear_error();
	return dst;
}

static void
tls_describe(struct stream *stream, X509 *certificate)
{
	int days = 0;
	int seconds = 0;
	char *text = NULL;
	BIO *memory = BIO_new(BIO_s_mem());

	if (memory == NULL)
		return;
	(void)X509_NAME_print_ex(memory, X509_get_subject_name(certificate), 0,
	    XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
	long len = BIO_get_mem_data(memory, &text);
	(void)snprintf(stream->subject, sizeof(stream->subject), "%.*s",
	    (int)MIN(len, TLS_TEXT_SIZE - 1), text);
	(void)BIO_reset(memory);
	(void)ASN1_TIME_print(memory, X509_get0_notAfter(certificate));
	len = BIO_get_mem_data(memory, &text);
	(void)snprintf(stream->not_after, sizeof(stream->not_after), "%.*s",
	    (int)MIN(len, TLS_TEXT_SIZE - 1), text);
	(void)BIO_free(memory);
	if (ASN1_TIME_diff(
	        &days, &seconds, NULL, X509_get0_notAfter(certificate)) == 1)
		stream->days_left = days;
}

const char *
stream_tls_code(long verify)
{
	switch (verify) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "expired";
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "not-yet-valid";
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		return "self-signed";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "wrong-name";
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: /* an authority's own */
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return "untrusted";
	default:
		return "invalid";
	}
}

static int
tls_failed(struct stream *stream, struct ladder *ladder, const char *name)
{
	char reason[TLS_TEXT_SIZE];
	long verify = SSL_get_verify_result(stream->ssl);

	if (verify != X509_V_OK)
		return ladder_fail(ladder, CAUSE_TLS, stream_tls_code(verify),
		    "certificate of %s is not good for '%s': %s%s%s",
		    stream->address, name,
		    X509_verify_cert_error_string(verify),
		    stream->subject[0] != '\0' ? "; it is for " : "",
		    stream->subject);
	(void)tls_reason(reason, sizeof(reason));
	if (text_equal(reason, "wrong version number"))
		return ladder_fail(ladder, CAUSE_TLS, "not-tls",
		    "%s does not speak TLS", stream->address);
	return ladder_fail(ladder, CAUSE_TLS, "handshake",
	    "TLS handshake with %s: %s", stream->address, reason);
}

static bool
is_address(const char *name)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, name, bytes) == 1 ||
	       inet_pton(AF_INET6, name, bytes) == 1;
}

/* Keeps what the server's certificate says also when it is refused. */
static int
tls_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
	    store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct stream *stream = ssl == NULL ? NULL : SSL_get_app_data(ssl);
	X509 *leaf = X509_STORE_CTX_get0_cert(store);

	if (stream != NULL && leaf != NULL)
		tls_describe(stream, leaf);
	return ok;
}

static int
tls_prepare(
    struct stream *stream, const struct endpoint *endpoint, const char *name)
{
	stream->context = SSL_CTX_new(TLS_client_method());
	if (stream->context == NULL)
		return -1;
	(void)SSL_CTX_set_min_proto_version(stream->context, TLS1_2_VERSION);
	SSL_CTX_set_verify(stream->context, SSL_VERIFY_PEER, tls_verify);
	if (endpoint->ca != NULL
	        ? SSL_CTX_load_verify_file(stream->context, endpoint->ca) != 1
	        : SSL_CTX_set_default_verify_paths(stream->context) != 1)
		return -1;
	stream->ssl = SSL_new(stream->context);
	if (stream->ssl == NULL || SSL_set_fd(stream->ssl, stream->fd) != 1)
		return -1;
	SSL_set_app_data(stream->ssl, stream);
	if (is_address(name))
		return X509_VERIFY_PARAM_set1_ip_asc(
		           SSL_get0_param(stream->ssl), name) == 1
		           ? 0
		           : -1;
	char *host = NULL;
	/* only read; OpenSSL's macro casts the const away */
	memcpy(&host, &name, sizeof(host));
	return SSL_set_tlsext_host_name(stream->ssl, host) == 1 &&
	               SSL_set1_host(stream->ssl, name) == 1
	           ? 0
	           : -1;
}

static int
tls_start(struct stream *stream, const struct endpoint *endpoint,
    struct ladder *ladder)
{
	char reason[TLS_TEXT_SIZE];
	const char *name = endpoint->server_name != NULL ? endpoint->server_name
	                                                 : endpoint->host;

	ladder_begin(ladder, STEP_TLS, stream->address);
	ERR_clear_error();
	if (tls_prepare(stream, endpoint, name) == -1)
		return ladder_unknown(ladder, CAUSE_INTERNAL, "",
		    "prepare TLS%s%s: %s", endpoint->ca != NULL ? " with " : "",
		    endpoint->ca != NULL ? endpoint->ca : "",
		    tls_reason(reason, sizeof(reason)));
	for (;;) {
		int rc = SSL_connect(stream->ssl);
		if (rc == 1)
			break;
		int why = SSL_get_error(stream->ssl, rc);
		if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			return tls_failed(stream, ladder, name);
		if (stream_wait(stream->fd,
		        why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT,
		        ladder->deadline_ms) == -1)
			return ladder_unknown(ladder, CAUSE_SILENT, "",
			    "%s said nothing in a TLS handshake",
			    stream->address);
	}
	ladder_pass(ladder, "%s, %s, until %s", SSL_get_version(stream->ssl),
	    stream->subject, stream->not_after);
	return 0;
}

int
stream_open(
    const struct endpoint *endpoint, struct ladder *ladder, struct stream **ret)
{
	struct stream_addresses addresses = {.count = 0};
	struct sockaddr_storage local = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(local);
	struct stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL)
		return ladder_unknown(
		    ladder, CAUSE_INTERNAL, "", "out of memory");
	stream->fd = -1;
	if (endpoint->unix_path != NULL) {
		if (connect_unix(endpoint->unix_path, ladder, stream) == -1)
			goto fail;
	} else {
		if (stream_resolve(endpoint->host, endpoint->port, ladder,
		        &addresses) == -1 ||
		    connect_any(&addresses, ladder, stream) == -1)
			goto fail;
	}
	if (getsockname(stream->fd, (void *)&local, &len) == 0)
		stream_address_text((const void *)&local, len, stream->local);
	if (endpoint->tls && tls_start(stream, endpoint, ladder) == -1)
		goto fail;
	*ret = stream;
	return 0;
fail:
	stream_close(stream);
	return -1;
}

void
stream_close(struct stream *stream)
{
	if (stream == NULL)
		return;
	SSL_free(stream->ssl);
	SSL_CTX_free(stream->context);
	fd_close(&stream->fd);
	free(stream);
}

/* What a TLS call wants before it can go on: 0 retry, -1 with `err`. */
static int
tls_wait(struct stream *stream, int rc, int64_t deadline_ms, struct err *err)
{
	char reason[TLS_TEXT_SIZE];
	int why = SSL_get_error(stream->ssl, rc);

	if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
		return err_set(err, ERR_SYSTEM, "TLS with %s: %s",
		    stream->address, tls_reason(reason, sizeof(reason)));
	if (stream_wait(stream->fd,
	        why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT,
	        deadline_ms) == 0)
		return 0;
	if (errno == ETIMEDOUT)
		return err_set(err, ERR_TIMEOUT, "%s did not answer in time",
		    stream->address);
	return err_sys(err, "wait for %s", stream->address);
}

ssize_t
stream_read(struct stream *stream, void *bytes, size_t size,
    int64_t deadline_ms, struct err *err)
{
	for (;;) {
		if (stream->ssl != NULL) {
			size_t got = 0;
			ERR_clear_error();
			int rc = SSL_read_ex(stream->ssl, bytes, size, &got);
			if (rc == 1)
				return (ssize_t)got;
			if (SSL_get_error(stream->ssl, rc) ==
			    SSL_ERROR_ZERO_RETURN)
				return 0;
			if (tls_wait(stream, rc, deadline_ms, err) == -1)
				return -1;
			continue;
		}
		ssize_t n = recv(stream->fd, bytes, size, 0);
		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return err_sys(err, "read from %s", stream->address);
		if (stream_wait(stream->fd, POLLIN, deadline_ms) == 0)
			continue;
		if (errno == ETIMEDOUT)
			return err_set(err, ERR_TIMEOUT,
			    "%s did not answer in time", stream->address);
		return err_sys(err, "wait for %s", stream->address);
	}
}

int
stream_write(struct stream *stream, const void *bytes, size_t len,
    int64_t deadline_ms, struct err *err)
{
	const char *at = bytes;

	while (len > 0) {
		size_t done = 0;
		if (stream->ssl != NULL) {
			ERR_clear_error();
			int rc = SSL_write_ex(stream->ssl, at, len, &done);
			if (rc != 1 &&
			    tls_wait(stream, rc, deadline_ms, err) == -1)
				return -1;
		} else {
			ssize_t n = send(stream->fd, at, len, MSG_NOSIGNAL);
			if (n == -1 && errno != EAGAIN && errno != EINTR)
				return err_sys(
				    err, "write to %s", stream->address);
			if (n == -1 && errno == EAGAIN &&
			    stream_wait(stream->fd, POLLOUT, deadline_ms) == -1)
				return err_set(err, ERR_TIMEOUT,
				    "%s takes no more bytes", stream->address);
			done = n > 0 ? (size_t)n : 0;
		}
		at += done;
		len -= done;
	}
	return 0;
}

int
stream_fd(const struct stream *stream)
{
	return stream->fd;
}

const char *
stream_address(const struct stream *stream)
{
	return stream->address;
}

const char *
stream_local(const struct stream *stream)
{
	return stream->local;
}

const char *
stream_tls_version(const struct stream *stream)
{
	return stream->ssl != NULL ? SSL_get_version(stream->ssl) : "";
}

const char *
stream_tls_subject(const struct stream *stream)
{
	return stream->subject;
}

const char *
stream_tls_not_after(const struct stream *stream)
{
	return stream->not_after;
}

int64_t
stream_tls_days_left(const struct stream *stream)
{
	return stream->days_left;
}
