/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/text.h"
#include "manifests/declared.h"

enum {
	ARENA_MAX = 64 * 1024 * 1024
};

static void
products_example_loads_clean(void **state)
{
	static const char *const environ_[] = {
	    "SLACK_URL=https://hooks.slack.example/T0/B0/xyzzy", "PATH=/bin",
	    NULL};
	const struct declared_options options = {.environ = environ_};
	struct declared *declared = NULL;
	struct manifest_errors errors;
	struct err err = ERR_INIT;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_MAX);
	int rc = declared_load("tests/corpus/manifests/product.yaml", &options,
	    &arena, NULL, &declared, &errors, &err);
	for (size_t i = 0; i < errors.count; i++)
		print_error("%s:%d:%d: %s\n", errors.errors[i].place.file,
		    errors.errors[i].place.line, errors.errors[i].place.column,
		    errors.errors[i].text);
	if (rc == -1)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
	arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(products_example_loads_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
