/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/text.h"
#include "probes/connections.h"
#include "probes/processes.h"

/*
 * What is kept of whose a connection is, and for how long: by a clock that the
 * test sets, with the looks at the kernel's tables counted.
 */
enum {
	ARENA_BYTES = 64 << 20,
	ADDRESS_SIZE = 32,
	VERIFY_MS = 10 * 1000,
	AGAIN_MS = 60 * 1000,
	TOO_LONG_MS = 3000, /* for one walk */
	MANY = 9000,        /* more than are kept */
	WALKS_MAX = 100     /* of a /proc that changes meanwhile */
};

static int64_t at_ms = 1000000;
static int64_t step_ms; /* that each look at the clock takes */
static unsigned looks;
static struct arena arena;

int64_t __wrap_clock_ms(void);
int64_t
__wrap_clock_ms(void)
{
	at_ms += step_ms;
	return at_ms;
}

int __real_connections_each(connection_fn *fn, void *arg, struct err *err);
int __wrap_connections_each(connection_fn *fn, void *arg, struct err *err);
int
__wrap_connections_each(connection_fn *fn, void *arg, struct err *err)
{
	looks++;
	return __real_connections_each(fn, arg, err);
}

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, ARENA_BYTES);
	step_ms = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

/* A connection to ourselves. */
struct pair {
	int listener, client, server;
	char address[ADDRESS_SIZE]; /* of the client's end */
	struct sockaddr_in own, other;
};

static void
connect_client(struct pair *pair)
{
	struct linger at_once = {.l_onoff = 1};
	int yes = 1;

	pair->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_not_equal(pair->client, -1);
	/* so that the same port can be had again */
	assert_int_equal(setsockopt(pair->client, SOL_SOCKET, SO_REUSEADDR,
	                     &yes, sizeof(yes)),
	    0);
	assert_int_equal(setsockopt(pair->client, SOL_SOCKET, SO_LINGER,
	                     &at_once, sizeof(at_once)),
	    0);
	socklen_t len = sizeof(pair->own);
	assert_int_equal(
	    bind(pair->client, (struct sockaddr *)&pair->own, len), 0);
	assert_int_equal(
	    connect(pair->client, (struct sockaddr *)&pair->other, len), 0);
	assert_int_equal(
	    getsockname(pair->client, (struct sockaddr *)&pair->own, &len), 0);
	(void)snprintf(pair->address, sizeof(pair->address), "127.0.0.1:%u",
	    (unsigned)ntohs(pair->own.sin_port));
	pair->server = accept4(pair->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_int_not_equal(pair->server, -1);
}

static void
pair_open(struct pair *pair)
{
	socklen_t len = sizeof(pair->other);

	*pair = (struct pair){
	    .own = {.sin_family = AF_INET,
	        .sin_addr = {htonl(INADDR_LOOPBACK)}},
	    .other = {.sin_family = AF_INET,
	        .sin_addr = {htonl(INADDR_LOOPBACK)}},
	};
	pair->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_not_equal(pair->listener, -1);
	assert_int_equal(
	    bind(pair->listener, (struct sockaddr *)&pair->other, len), 0);
	assert_int_equal(listen(pair->listener, 1), 0);
	assert_int_equal(
	    getsockname(pair->listener, (struct sockaddr *)&pair->other, &len),
	    0);
	connect_client(pair);
}

static void
pair_close(struct pair *pair)
{
	fd_close(&pair->client);
	fd_close(&pair->server);
	fd_close(&pair->listener);
}

static struct consumer_match
match(const char *address)
{
	struct consumer_match found = {.result = RESULT_UNKNOWN};
	struct err err = ERR_INIT;

	assert_int_equal(
	    processes_match_consumer(address, &arena, &found, &err), 0);
	return found;
}

static void
who_was_found_is_believed_while_the_descriptor_is_that_socket(void **state)
{
	struct pair pair;
	int status = 0;

	(void)state;
	pair_open(&pair);
	unsigned before = looks;
	assert_int_equal(match(pair.address).pid, getpid());
	assert_int_equal(match(pair.address).session, getsid(0));
	assert_int_equal(looks, before + 1);
	at_ms += VERIFY_MS + 1; /* looked at the one descriptor, no more */
	assert_int_equal(match(pair.address).pid, getpid());
	assert_int_equal(looks, before + 1);

	pid_t child = fork();
	if (child == 0)
		for (;;)
			(void)pause();
	fd_close(&pair.client);
	at_ms += VERIFY_MS - 1;
	assert_int_equal(match(pair.address).pid, getpid());
	assert_int_equal(looks, before + 1);
	at_ms += 2;
	assert_int_equal(match(pair.address).pid, child);
	assert_int_equal(looks, before + 2);

	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	at_ms += VERIFY_MS + 1;
	struct consumer_match gone = match(pair.address);
	assert_int_not_equal(gone.result, RESULT_PASSED);
	assert_int_equal(gone.pid, -1);
	assert_int_equal(looks, before + 3);
	pair_close(&pair);
}

static void
a_port_that_is_used_again_is_another_connection(void **state)
{
	struct pair pair;

	(void)state;
	pair_open(&pair);
	unsigned before = looks;
	assert_int_equal(match(pair.address).pid, getpid());
	int descriptor = pair.client;
	fd_close(&pair.client);
	fd_close(&pair.server);
	connect_client(&pair); /* from the same port, as the same descriptor */
	assert_int_equal(pair.client, descriptor);
	at_ms += VERIFY_MS + 1;
	assert_int_equal(match(pair.address).pid, getpid());
	assert_int_equal(looks, before + 2);
	pair_close(&pair);
}

static void
who_was_not_found_is_looked_for_again_after_a_minute(void **state)
{
	(void)state;
	unsigned before = looks;
	assert_int_equal(match("192.0.2.77:4242").result, RESULT_FAILED);
	at_ms += AGAIN_MS - 1;
	struct consumer_match kept = match("192.0.2.77:4242");
	assert_int_equal(kept.result, RESULT_FAILED);
	assert_non_null(strstr(kept.why, "no socket"));
	assert_int_equal(looks, before + 1);
	at_ms += 2;
	assert_int_equal(match("192.0.2.77:4242").result, RESULT_FAILED);
	assert_int_equal(looks, before + 2);
	/* no address: nothing to look for */
	assert_int_equal(match("192.0.2.77").result, RESULT_UNKNOWN);
	assert_int_equal(looks, before + 2);
}

static void
more_than_are_kept_are_looked_for_anew_and_rightly(void **state)
{
	struct consumer_match *matches =
	    arena_array(&arena, MANY, sizeof(*matches));
	struct err err = ERR_INIT;
	struct pair pair;

	(void)state;
	pair_open(&pair);
	assert_int_equal(match(pair.address).pid, getpid());
	for (size_t i = 0; i < MANY; i++)
		matches[i].address =
		    arena_format(&arena, "192.0.2.78:%zu", i + 1);
	assert_int_equal(
	    processes_match_consumers(matches, MANY, &arena, &err), 0);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(matches[i].result, RESULT_FAILED);
	unsigned before = looks;
	assert_int_equal(match(matches[MANY - 1].address).pid, -1);
	assert_int_equal(looks, before); /* one of the last: kept */
	assert_int_equal(match(pair.address).pid, getpid());
	assert_int_equal(looks, before + 1); /* the first isn't any more */
	pair_close(&pair);
}

/* How many are walked past before it comes to us. */
static int64_t
processes_before_us(void)
{
	DIR *proc = opendir("/proc");
	int64_t count = 0;

	assert_non_null(proc);
	for (struct dirent *entry = readdir(proc); entry != NULL;
	     entry = readdir(proc)) {
		int64_t pid = 0;

		if (text_i64(entry->d_name, 1, getpid() - 1, &pid, NULL) == 0)
			count++;
	}
	(void)closedir(proc);
	return count;
}

static void
a_walk_that_takes_too_long_goes_on_where_it_ended(void **state)
{
	struct pair pair;
	unsigned calls = 0;

	(void)state;
	pair_open(&pair);
	/* A walk comes a quarter of the way: each reads all of /proc, so that
	 * one process a walk would be thousands of them on a full machine. */
	int64_t before = processes_before_us();
	step_ms =
	    before < 4 ? TOO_LONG_MS : (int64_t)4 * TOO_LONG_MS / before + 1;
	struct consumer_match found = match(pair.address);
	assert_int_equal(found.result, RESULT_UNKNOWN);
	assert_non_null(strstr(found.why, "may not be seen"));
	/* Each begins behind the one before, so that it comes to us. */
	for (; found.pid == -1 && calls < WALKS_MAX; calls++)
		found = match(pair.address);
	assert_int_equal(found.result, RESULT_PASSED);
	assert_int_equal(found.pid, getpid());
	pair_close(&pair);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(who_was_found_is_believed_while_the_descriptor_is_that_socket),
	    TEST(a_port_that_is_used_again_is_another_connection),
	    TEST(who_was_not_found_is_looked_for_again_after_a_minute),
	    TEST(more_than_are_kept_are_looked_for_anew_and_rightly),
	    TEST(a_walk_that_takes_too_long_goes_on_where_it_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
