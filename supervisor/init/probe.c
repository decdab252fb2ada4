/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "supervisor/init/probe.h"

enum {
	REQUEST_MAX = 16384,
	STATUS_LINE_MAX = 512,
	STATUS_OK_MIN = 200, /* Kubernetes: 200 <= code < 400 */
	STATUS_OK_MAX = 399,
	PORT_MAX = 65535,
	TIMEOUT_MAX_MS = 3600 * 1000,
};

struct address {
	struct sockaddr_storage name;
	socklen_t len;
};

struct request {
	char bytes[REQUEST_MAX];
	size_t len;
};

/* --- the init's side --- */

static int
add(struct probe_command *command, size_t *at, const char *arg, struct err *err)
{
	if (*at + 1 >= PROBE_ARGV_MAX)
		return err_set(err, ERR_CAPACITY,
		    "a probe has more than %d arguments", PROBE_ARGV_MAX - 1);
	command->argv[(*at)++] = arg;
	command->argv[*at] = NULL;
	return 0;
}

static int
add_all(struct probe_command *command, size_t *at, const char *const *args,
    struct err *err)
{
	for (size_t i = 0; args != NULL && args[i] != NULL; i++)
		if (add(command, at, args[i], err) == -1)
			return -1;
	return 0;
}

static int
port_text(const struct probe_spec *spec, uint32_t replica, char *dst,
    size_t size, struct err *err)
{
	uint64_t port = spec->port;

	if (spec->port_per_replica)
		port += replica;
	if (port == 0 || port > PORT_MAX)
		return err_set(err, ERR_INPUT,
		    "probe port %llu is not in 1..%d", (unsigned long long)port,
		    PORT_MAX);
	return text_format(dst, size, err, "%u", (unsigned)port);
}

static int
command_network(const struct probe_spec *spec, uint32_t replica,
    struct probe_command *command, struct err *err)
{
	bool http = spec->kind == PROBE_HTTP;
	const char *head[] = {"reeve", "--probe", http ? "http" : "tcp",
	    spec->host != NULL ? spec->host : "127.0.0.1", command->port,
	    http ? (spec->path != NULL ? spec->path : "/") : command->timeout,
	    http ? command->timeout : NULL, NULL};
	size_t at = 0;

	if (port_text(spec, replica, command->port, sizeof(command->port),
	        err) == -1 ||
	    text_format(command->timeout, sizeof(command->timeout), err, "%lld",
	        (long long)spec->timeout_ms) == -1)
		return -1;
	command->self = true;
	if (add_all(command, &at, head, err) == -1)
		return -1;
	return http ? add_all(command, &at, spec->headers, err) : 0;
}

int
probe_command(const struct probe_spec *spec, uint32_t replica,
    struct probe_command *ret, struct err *err)
{
	size_t at = 0;

	switch (spec->kind) {
	case PROBE_EXEC:
		if (spec->argv == NULL || spec->argv[0] == NULL)
			break;
		ret->self = false;
		return add_all(ret, &at, spec->argv, err);
	case PROBE_HTTP:
	case PROBE_TCP:
		return command_network(spec, replica, ret, err);
	case PROBE_NONE:
		break;
	}
	return err_set(err, ERR_INPUT, "no probe is declared");
}

/* --- the child --- */

static int
address_read(
    const char *host, int64_t port, struct address *ret, struct err *err)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&ret->name;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&ret->name;

	memset(&ret->name, 0, sizeof(ret->name));
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		ret->len = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		ret->len = sizeof(*v6);
		return 0;
	}
	return err_set(err, ERR_INPUT,
	    "'%s' is not a numeric address (names are not looked up)", host);
}

static int
await(int fd, short events, int64_t deadline_ms, const char *what,
    struct err *err)
{
	for (;;) {
		struct pollfd ready = {.fd = fd, .events = events};
		int64_t now_ms = clock_ms();

		if (now_ms >= deadline_ms)
			return err_set(err, ERR_TIMEOUT, "timeout: %s", what);
		int got = poll(&ready, 1, clock_timeout(now_ms, deadline_ms));
		if (got == 1)
			return 0;
		if (got == -1 && errno != EINTR)
			return err_sys(err, "poll");
	}
}

static int
connect_to(const struct address *to, int64_t deadline_ms, struct err *err)
{
	int problem = 0;
	socklen_t len = sizeof(problem);
	int fd = socket(
	    to->name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return err_sys(err, "socket");
	if (connect(fd, (const struct sockaddr *)&to->name, to->len) == 0)
		return fd;
	if (errno != EINPROGRESS) {
		(void)err_sys(err, "connect");
		goto fail;
	}
	if (await(fd, POLLOUT, deadline_ms, "no connection", err) == -1)
		goto fail;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &len) == -1)
		problem = errno;
	if (problem != 0) {
		errno = problem;
		(void)err_sys(err, "connect");
		goto fail;
	}
	return fd;
fail:
	fd_close(&fd);
	return -1;
}

/* Without a resolver `localhost` is both loopback addresses, one after the
 * other. */
static int
tcp_open(const char *host, int64_t port, int64_t deadline_ms, struct err *err)
{
	bool local = text_equal(host, "localhost");
	struct address to;

	if (address_read(local ? "127.0.0.1" : host, port, &to, err) == -1)
		return -1;
	int fd = connect_to(&to, deadline_ms, err);
	if (fd != -1 || !local || err->sys != ECONNREFUSED)
		return fd;
	if (address_read("::1", port, &to, NULL) == -1)
		return -1;
	return connect_to(&to, deadline_ms, NULL);
}

static int
put(struct request *request, const char *text, struct err *err)
{
	size_t len = strlen(text);

	if (len > sizeof(request->bytes) - request->len)
		return err_set(err, ERR_CAPACITY,
		    "the request is longer than %d bytes", REQUEST_MAX);
	memcpy(request->bytes + request->len, text, len);
	request->len += len;
	return 0;
}

static bool
has_header(char *const headers[], const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; headers[i] != NULL; i++)
		if (strncasecmp(headers[i], name, len) == 0 &&
		    headers[i][len] == ':')
			return true;
	return false;
}

static int
put_line(struct request *request, const char *a, const char *b, const char *c,
    struct err *err)
{
	/* a line break in a value would smuggle in a header or a request */
	if (strpbrk(a, "\r\n") != NULL || strpbrk(b, "\r\n") != NULL)
		return err_set(
		    err, ERR_INPUT, "a line break in the path or a header");
	if (put(request, a, err) == -1 || put(request, b, err) == -1)
		return -1;
	return put(request, c, err);
}

static int
request_make(struct request *request, const char *host, const char *port,
    const char *path, char *const headers[], struct err *err)
{
	char authority[128];
	bool v6 = strchr(host, ':') != NULL;

	if (text_format(authority, sizeof(authority), err, "%s%s%s:%s",
	        v6 ? "[" : "", host, v6 ? "]" : "", port) == -1)
		return -1;
	if (strchr(path, ' ') != NULL)
		return err_set(err, ERR_INPUT, "a space in the path");
	if (put_line(request, path[0] == '/' ? "GET " : "GET /", path,
	        " HTTP/1.1\r\n", err) == -1)
		return -1;
	if (!has_header(headers, "Host") &&
	    put_line(request, "Host: ", authority, "\r\n", err) == -1)
		return -1;
	if (!has_header(headers, "User-Agent") &&
	    put(request, "User-Agent: reeve-probe/" REEVE_VERSION "\r\n",
	        err) == -1)
		return -1;
	for (size_t i = 0; headers[i] != NULL; i++)
		if (put_line(request, headers[i], "", "\r\n", err) == -1)
			return -1;
	return put(request, "Accept: */*\r\nConnection: close\r\n\r\n", err);
}

static int
send_all(
    int fd, const struct request *request, int64_t deadline_ms, struct err *err)
{
	size_t sent = 0;

	while (sent < request->len) {
		ssize_t n = send(fd, request->bytes + sent, request->len - sent,
		    MSG_NOSIGNAL);
		if (n >= 0) {
			sent += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return err_sys(err, "send");
		if (await(fd, POLLOUT, deadline_ms, "request not taken", err) ==
		    -1)
			return -1;
	}
	return 0;
}

/* Reads up to the first line's end: the status is all that counts, and what
 * comes after it may be endless. */
static int
read_status_line(
    int fd, char line[STATUS_LINE_MAX], int64_t deadline_ms, struct err *err)
{
	size_t len = 0;

	for (;;) {
		if (await(fd, POLLIN, deadline_ms,
		        len == 0 ? "connected, but no answer"
		                 : "the answer stopped within its first line",
		        err) == -1)
			return -1;
		ssize_t n = recv(fd, line + len, STATUS_LINE_MAX - 1 - len, 0);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n == -1)
			return err_sys(err, "receive");
		if (n == 0)
			return err_set(err, ERR_REFUSED,
			    "connection closed before an HTTP status");
		char *end = memchr(line + len, '\n', (size_t)n);
		len += (size_t)n;
		if (end != NULL) {
			*end = '\0';
			return 0;
		}
		if (len == STATUS_LINE_MAX - 1)
			return err_set(err, ERR_REFUSED,
			    "not an HTTP answer: its first line has no end");
	}
}

/* "HTTP/1.1 200 OK": three digits between two blanks. */
static int
judge_status(const char *line, struct err *err)
{
	const char *code = strchr(line, ' ');
	int64_t status = 0;
	char digits[4] = "";

	if (!text_starts(line, "HTTP/1.") || code == NULL || strlen(code) < 4 ||
	    (code[4] != ' ' && code[4] != '\r' && code[4] != '\0'))
		return err_set(err, ERR_REFUSED, "not an HTTP answer");
	memcpy(digits, code + 1, 3);
	if (text_i64(digits, 100, 999, &status, NULL) == -1)
		return err_set(err, ERR_REFUSED, "not an HTTP answer");
	if (status < STATUS_OK_MIN || status > STATUS_OK_MAX)
		return err_set(err, ERR_REFUSED, "HTTP status %s", digits);
	return 0;
}

static int
probe_http(char *argv[], int64_t port, int64_t deadline_ms, struct err *err)
{
	static struct request request;
	char line[STATUS_LINE_MAX];
	int rc = -1;

	if (request_make(&request, argv[1], argv[2], argv[3], argv + 5, err) ==
	    -1)
		return -1;
	int fd = tcp_open(argv[1], port, deadline_ms, err);
	if (fd == -1)
		return -1;
	if (send_all(fd, &request, deadline_ms, err) == 0 &&
	    read_status_line(fd, line, deadline_ms, err) == 0)
		rc = judge_status(line, err);
	fd_close(&fd);
	return rc;
}

static int
probe_tcp(const char *host, int64_t port, int64_t deadline_ms, struct err *err)
{
	int fd = tcp_open(host, port, deadline_ms, err);
	if (fd == -1)
		return -1;
	fd_close(&fd);
	return 0;
}

/* One line, at most PROBE_REASON_MAX bytes. */
static int
report(const struct err *err, const char *host, const char *port, int code)
{
	char line[PROBE_REASON_MAX];
	struct err text = *err;

	if (host != NULL && err_wrap(&text, "%s:%s", host, port) == -1)
		text.text[sizeof(line) - 2] = '\0';
	size_t len = strnlen(text.text, sizeof(line) - 1);
	memcpy(line, text.text, len);
	line[len] = '\n';
	return write(STDERR_FILENO, line, len + 1) == -1 ? PROBE_EXIT_FAILED
	                                                 : code;
}

int
probe_main(int argc, char *argv[])
{
	struct err err = ERR_INIT;
	int64_t port = 0;
	int64_t timeout_ms = 0;
	bool http = argc >= 5 && text_equal(argv[0], "http");

	if (!http && !(argc == 4 && text_equal(argv[0], "tcp"))) {
		(void)err_set(&err, ERR_INPUT,
		    "usage: reeve --probe http HOST PORT PATH TIMEOUT_MS "
		    "[HEADER…] | tcp HOST PORT TIMEOUT_MS");
		return report(&err, NULL, NULL, PROBE_EXIT_USAGE);
	}
	if (text_i64(argv[2], 1, PORT_MAX, &port, &err) == -1 ||
	    text_i64(
	        argv[http ? 4 : 3], 1, TIMEOUT_MAX_MS, &timeout_ms, &err) == -1)
		return report(&err, NULL, NULL, PROBE_EXIT_USAGE);
	int64_t deadline_ms = clock_after(clock_ms(), timeout_ms);
	int rc = http ? probe_http(argv, port, deadline_ms, &err)
	              : probe_tcp(argv[1], port, deadline_ms, &err);
	if (rc == 0)
		return PROBE_EXIT_OK;
	return report(&err, argv[1], argv[2],
	    err.kind == ERR_INPUT ? PROBE_EXIT_USAGE : PROBE_EXIT_FAILED);
}
