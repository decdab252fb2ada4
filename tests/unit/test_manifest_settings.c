/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "manifests/settings_form.h"

static void
a_limit_is_one_number_or_soft_and_hard(void **state)
{
	static const struct {
		const char *text;
		bool bytes;
		uint64_t soft, hard;
	} good[] = {
	    {"0", false, 0, 0},
	    {"1024", false, 1024, 1024},
	    {"1024:4096", false, 1024, 4096},
	    {"0:unlimited", false, 0, DECLARED_UNLIMITED},
	    {"unlimited", false, DECLARED_UNLIMITED, DECLARED_UNLIMITED},
	    {"8Mi", true, 8 << 20, 8 << 20},
	    {"1Ki:1M", true, 1024, 1000000},
	};
	static const char *const bad[] = {"", "-1", "x", "1:", ":1", "2:1",
	    "unlimited:1", "1:2:3", "8Mi", "1024 ", "18446744073709551616"};
	struct declared_limit limit;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(
		    settings_limit(good[i].text, good[i].bytes, &limit));
		assert_int_equal(limit.soft, good[i].soft);
		assert_int_equal(limit.hard, good[i].hard);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(settings_limit(bad[i], false, &limit));
}

static void
cpus_are_numbers_and_ranges(void **state)
{
	static const char *const bad[] = {"", "a", "1,", ",1", "3-1", "1-",
	    "-1", "1024", "0-1024", "1 2", "99999999999999999999"};
	uint64_t cpus[DECLARED_CPU_WORDS];

	(void)state;
	assert_true(settings_cpus("0-3,7", cpus));
	assert_int_equal(cpus[0], 0x8f);
	assert_int_equal(cpus[1], 0);
	assert_true(settings_cpus("1023", cpus));
	assert_int_equal(cpus[0], 0);
	assert_true(cpus[DECLARED_CPU_WORDS - 1] == UINT64_C(1) << 63);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(settings_cpus(bad[i], cpus));
}

static void
a_umask_is_octal(void **state)
{
	static const char *const bad[] = {"", "8", "1000", "0o22", "-1", "22x"};
	uint32_t mask;

	(void)state;
	assert_true(settings_umask("27", &mask));
	assert_int_equal(mask, 027);
	assert_true(settings_umask("0022", &mask));
	assert_int_equal(mask, 022);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(settings_umask(bad[i], &mask));
}

static void
ids_are_numbers_or_names(void **state)
{
	static const char *const good[] = {
	    "0", "4294967294", "www-data", "_apt", "Some.One", "machine$"};
	static const char *const bad[] = {
	    "", "-1", "4294967295", "a b", "a:b", "-x", "007"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(settings_id(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(settings_id(bad[i]));
}

static void
capabilities_have_the_kernels_numbers(void **state)
{
	(void)state;
	assert_true(settings_capability("CHOWN") == 1);
	assert_true(settings_capability("NET_BIND_SERVICE") == 1 << 10);
	assert_true(settings_capability("SYS_NICE") == 1 << 23);
	assert_true(
	    settings_capability("CHECKPOINT_RESTORE") == UINT64_C(1) << 40);
	assert_true(settings_capability("ALL") == UINT64_MAX);
	assert_true(settings_capability("CAP_CHOWN") == 0);
	assert_true(settings_capability("chown") == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_limit_is_one_number_or_soft_and_hard),
	    cmocka_unit_test(cpus_are_numbers_and_ranges),
	    cmocka_unit_test(a_umask_is_octal),
	    cmocka_unit_test(ids_are_numbers_or_names),
	    cmocka_unit_test(capabilities_have_the_kernels_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
