/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "supervisor/operator/serve_settings.h"

/* What an operator without a readable manifest serves by. */
static const struct fingerprint_key KEY = {{1}};
static const struct fingerprint_key OTHER_KEY = {{2}};
static const struct declared_status LOCKED = {.listen = "127.0.0.1:9102",
    .token = "a-token-value",
    .certificate = "/tls/cert.pem",
    .key = "/tls/key.pem"};
static const struct declared_status OPEN = {.listen = "[::1]:9102"};
static char dir[] = "/tmp/reeve-settings.XXXXXX";
static char path[sizeof(dir) + sizeof("/status.json")];

static int
make_dir(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/status.json", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(dir);
}

static void
keep(const struct declared_status *declared)
{
	struct serve_settings settings = serve_settings_of(declared, &KEY);
	struct err err = ERR_INIT;

	assert_int_equal(serve_settings_keep(&settings, dir, &KEY, &err), 0);
	serve_settings_fini(&settings);
}

static bool
recalls(const struct fingerprint_key *key)
{
	struct serve_settings settings;

	if (!serve_settings_recall(dir, key, &settings))
		return false;
	serve_settings_fini(&settings);
	return true;
}

static void
what_was_kept_comes_back(void **state)
{
	const struct declared_status *each[] = {&LOCKED, &OPEN};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(each); i++) {
		struct serve_settings was = serve_settings_of(each[i], &KEY);
		struct serve_settings is;
		keep(each[i]);
		assert_true(serve_settings_recall(dir, &KEY, &is));
		assert_true(serve_settings_equal(&was, &is));
		assert_int_equal(is.locked, each[i]->token != NULL);
		serve_settings_fini(&was);
		serve_settings_fini(&is);
	}
}

static void
where_nothing_may_be_served_nothing_is_kept(void **state)
{
	const struct declared_status nothing[] = {{.listen = NULL},
	    {.listen = "127.0.0.1:9102", .token_unresolved = "no such key"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(nothing); i++) {
		keep(&LOCKED);
		assert_true(recalls(&KEY));
		keep(&nothing[i]);
		assert_false(recalls(&KEY));
		assert_int_equal(access(path, F_OK), -1);
	}
}

static void
no_value_is_kept(void **state)
{
	struct err err = ERR_INIT;
	struct buffer bytes;

	(void)state;
	keep(&LOCKED);
	buffer_init(&bytes, 4096);
	assert_int_equal(buffer_read_file(&bytes, path, &err), 0);
	assert_non_null(strstr(bytes.data, LOCKED.listen));
	assert_null(strstr(bytes.data, LOCKED.token));
	buffer_fini(&bytes);
}

/* Every fifth byte, wrong or the first that is missing. */
static void
what_is_another_ones_or_changed_is_not_there(void **state)
{
	struct err err = ERR_INIT;
	struct buffer bytes;

	(void)state;
	keep(&LOCKED);
	assert_false(recalls(&OTHER_KEY));
	buffer_init(&bytes, 4096);
	assert_int_equal(buffer_read_file(&bytes, path, &err), 0);
	assert_true(bytes.len > 100);
	for (size_t i = 0; i < bytes.len; i += 5) {
		assert_int_equal(
		    fd_replace_file(path, 0600, bytes.data, i, &err), 0);
		assert_false(recalls(&KEY));
		bytes.data[i] ^= 1;
		assert_int_equal(
		    fd_replace_file(path, 0600, bytes.data, bytes.len, &err),
		    0);
		assert_false(recalls(&KEY));
		bytes.data[i] ^= 1;
	}
	buffer_fini(&bytes);
}

static void
without_a_directory_there_is_nothing_and_no_error(void **state)
{
	struct serve_settings settings = serve_settings_of(&OPEN, &KEY);
	struct serve_settings is;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(serve_settings_keep(&settings, NULL, &KEY, &err), 0);
	assert_false(serve_settings_recall(NULL, &KEY, &is));
	assert_int_equal(
	    serve_settings_keep(&settings, "/nowhere/at/all", &KEY, &err), -1);
	assert_false(serve_settings_recall("/nowhere/at/all", &KEY, &is));
	serve_settings_fini(&settings);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_kept_comes_back),
	    cmocka_unit_test(where_nothing_may_be_served_nothing_is_kept),
	    cmocka_unit_test(no_value_is_kept),
	    cmocka_unit_test(what_is_another_ones_or_changed_is_not_there),
	    cmocka_unit_test(without_a_directory_there_is_nothing_and_no_error),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
