/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "checks/waiver.h"

/* What a waiver does to a report of 23 November 2026. */

enum {
	ARENA_MAX = 16 << 20,
};
static const int64_t TODAY_MS = INT64_C(1795392000000);

static struct arena arena;
static struct report report;
static struct declared_waiver waiver;
static struct declared declared;
static struct check check;

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, ARENA_MAX);
	report_init(&report, &arena, "gate", "1.2.3");
	report.started_wall_ms = TODAY_MS;
	report.stages_run = ~0U;
	waiver = (struct declared_waiver){.id = "RV301",
	    .because = "it moves",
	    .owner = "ann",
	    .expires = "2026-12-01",
	    .place = {.file = "reeve.yaml", .line = 7}};
	declared = (struct declared){.waivers = &waiver, .nwaivers = 1};
	check = (struct check){.declared = &declared, .report = &report};
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static struct finding *
add(unsigned number, const char *worker, enum result result)
{
	const struct subject subject = {.worker = worker};
	struct report_finding *f = report_add(&report, number, &subject);

	report_set(&report, f, result, "%s", result_name(result));
	return &f->finding;
}

/* The only finding about the waiver itself. */
static const struct finding *
about(void)
{
	const struct finding *found = NULL;

	for (size_t i = 0; i < report.nfindings; i++)
		if (report.findings[i]->row->number == 904) {
			assert_null(found);
			found = &report.findings[i]->finding;
		}
	assert_non_null(found);
	return found;
}

static void
what_it_covers_is_waived_and_nothing_else(void **state)
{
	(void)state;
	const struct finding *other = add(501, "w", RESULT_FAILED);
	const struct finding *passed = add(301, "w", RESULT_PASSED);
	const struct finding *one = add(301, "w", RESULT_FAILED);
	const struct finding *unknown = add(301, "w", RESULT_UNKNOWN);
	const struct finding *two = add(301, "v", RESULT_FAILED);

	waivers_apply(&check);
	assert_int_equal(other->result, RESULT_FAILED);
	assert_int_equal(passed->result, RESULT_PASSED);
	assert_int_equal(one->result, RESULT_WAIVED);
	assert_int_equal(two->result, RESULT_WAIVED);
	assert_int_equal(unknown->result, RESULT_UNKNOWN);
	assert_string_equal(one->waiver, "ann: it moves, until 2026-12-01");
	assert_null(other->waiver);
	assert_int_equal(about()->result, RESULT_PASSED);
}

static void
of_one_subject_it_covers_that_alone(void **state)
{
	(void)state;
	const struct finding *one = add(301, "w", RESULT_FAILED);
	const struct finding *two = add(301, "v", RESULT_FAILED);

	waiver.subject = "worker v";
	waivers_apply(&check);
	assert_int_equal(one->result, RESULT_FAILED);
	assert_int_equal(two->result, RESULT_WAIVED);
	assert_string_equal(about()->subject, "waiver RV301 worker v");
}

static void
one_that_covers_nothing_is_told_with_what_to_do(void **state)
{
	(void)state;
	const struct finding *other = add(501, "w", RESULT_FAILED);

	waivers_apply(&check);
	assert_int_equal(other->result, RESULT_FAILED);
	assert_int_equal(about()->result, RESULT_FAILED);
	assert_int_equal(about()->severity, SEVERITY_WARNING);
	assert_string_equal(about()->fix, "take it out of the manifest");
}

/* A report may be judged a second time (a gate does, after its smokes). */
static void
applied_again_it_is_told_once(void **state)
{
	(void)state;
	const struct finding *one = add(301, "w", RESULT_FAILED);

	waivers_apply(&check);
	const struct finding *late = add(301, "v", RESULT_FAILED);

	waivers_apply(&check);
	assert_int_equal(one->result, RESULT_WAIVED);
	assert_int_equal(late->result, RESULT_WAIVED);
	assert_int_equal(about()->result, RESULT_PASSED);
	assert_int_equal(report.nfindings, 3);
}

static void
it_holds_until_the_end_of_its_last_day_and_for_90_days_at_most(void **state)
{
	static const struct {
		const char *expires;
		enum result about, covered;
	} days[] = {
	    {"2026-11-22", RESULT_FAILED, RESULT_FAILED},
	    {"2026-11-23", RESULT_PASSED, RESULT_WAIVED},
	    {"2027-02-21", RESULT_PASSED, RESULT_WAIVED},
	    {"2027-02-22", RESULT_FAILED, RESULT_WAIVED},
	};
	struct finding *one = add(301, "w", RESULT_FAILED);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(days); i++) {
		one->result = RESULT_FAILED;
		waiver.expires = days[i].expires;
		waivers_apply(&check);
		assert_int_equal(about()->result, days[i].about);
		assert_int_equal(one->result, days[i].covered);
		assert_true(
		    about()->result == RESULT_PASSED || *about()->fix != '\0');
	}
}

static void
of_a_stage_that_did_not_run_nothing_is_said(void **state)
{
	(void)state;
	report.stages_run = 0;
	waivers_apply(&check);
	assert_int_equal(report.nfindings, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        what_it_covers_is_waived_and_nothing_else, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        of_one_subject_it_covers_that_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        one_that_covers_nothing_is_told_with_what_to_do, setup,
	        teardown),
	    cmocka_unit_test_setup_teardown(
	        applied_again_it_is_told_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        it_holds_until_the_end_of_its_last_day_and_for_90_days_at_most,
	        setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        of_a_stage_that_did_not_run_nothing_is_said, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
