/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/operator/counters.h"
#include "supervisor/operator/openmetrics.h"
#include "supervisor/operator/samples.h"

static struct buffer out;

static int
setup(void **state)
{
	(void)state;
	buffer_init(&out, 1 << 20);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buffer_fini(&out);
	return 0;
}

static const struct openmetrics_label labels[] = {
    {"worker", "w"}, {"class", "crash"}, {NULL, NULL}};

static void
write_some(bool classic)
{
	struct openmetrics metrics;

	openmetrics_init(&metrics, &out, classic);
	openmetrics_family(&metrics, OPENMETRICS_INFO, "x_build", NULL, "B.");
	openmetrics_number(&metrics, 1, NULL);
	openmetrics_family(
	    &metrics, OPENMETRICS_COUNTER, "x_restarts", NULL, "R.");
	openmetrics_number(&metrics, 7, labels);
	openmetrics_number(&metrics, 8, labels);
	openmetrics_family(
	    &metrics, OPENMETRICS_GAUGE, "x_unknown", NULL, "never said");
	openmetrics_family(
	    &metrics, OPENMETRICS_GAUGE, "x_age_seconds", "seconds", "A.");
	openmetrics_milli(&metrics, 1042, NULL);
	openmetrics_milli(&metrics, -5, NULL);
	openmetrics_family(&metrics, OPENMETRICS_SUMMARY,
	    "x_pass_duration_seconds", "seconds", "P.");
	openmetrics_summary(&metrics, 3, 2000017);
	openmetrics_end(&metrics);
}

static void
the_open_form(void **state)
{
	(void)state;
	write_some(false);
	assert_string_equal(out.data,
	    "# TYPE x_build info\n# HELP x_build B.\nx_build_info 1\n"
	    "# TYPE x_restarts counter\n# HELP x_restarts R.\n"
	    "x_restarts_total{worker=\"w\",class=\"crash\"} 7\n"
	    "x_restarts_total{worker=\"w\",class=\"crash\"} 8\n"
	    "# TYPE x_age_seconds gauge\n# UNIT x_age_seconds seconds\n"
	    "# HELP x_age_seconds A.\nx_age_seconds 1.042\n"
	    "x_age_seconds -0.005\n"
	    "# TYPE x_pass_duration_seconds summary\n"
	    "# UNIT x_pass_duration_seconds seconds\n"
	    "# HELP x_pass_duration_seconds P.\n"
	    "x_pass_duration_seconds_count 3\n"
	    "x_pass_duration_seconds_sum 2.000017\n# EOF\n");
}

static void
the_classic_form(void **state)
{
	(void)state;
	write_some(true);
	assert_non_null(strstr(out.data, "# TYPE x_build_info gauge\n"));
	assert_non_null(strstr(out.data, "# TYPE x_restarts_total counter\n"));
	assert_null(strstr(out.data, "# UNIT"));
	assert_null(strstr(out.data, "# EOF"));
	assert_null(strstr(out.data, "x_unknown"));
}

static void
a_label_is_escaped(void **state)
{
	const struct openmetrics_label hostile[] = {
	    {"queue", "a\"b\\c\nd\xff\xc3\xa4"}, {NULL, NULL}};
	struct openmetrics metrics;

	(void)state;
	openmetrics_init(&metrics, &out, false);
	openmetrics_family(&metrics, OPENMETRICS_GAUGE, "x", NULL, "X.");
	openmetrics_number(&metrics, 0, hostile);
	assert_non_null(strstr(
	    out.data, "x{queue=\"a\\\"b\\\\c\\nd\xEF\xBF\xBD\xc3\xa4\"} 0\n"));
}

static void
what_is_accepted(void **state)
{
	(void)state;
	assert_false(openmetrics_accepted(NULL));
	assert_false(openmetrics_accepted(""));
	assert_false(openmetrics_accepted("*/*"));
	assert_false(openmetrics_accepted("text/html, text/plain"));
	assert_true(openmetrics_accepted("application/openmetrics-text"));
	/* as Prometheus asks */
	assert_true(openmetrics_accepted(
	    "application/openmetrics-text;version=1.0.0,application/"
	    "openmetrics-text;version=0.0.1;q=0.75,text/"
	    "plain;version=0.0.4;q=0.5,*/*;q=0.1"));
	assert_false(openmetrics_accepted(
	    "text/plain;version=0.0.4, application/openmetrics-text; q=0.9"));
	assert_false(openmetrics_accepted("application/openmetrics-text;q=0"));
	assert_false(openmetrics_accepted("application/openmetrics-textual"));
	assert_false(openmetrics_accepted(",,;q=,"));
}

/* --- counters ------------------------------------------------------------ */

static struct wire_instance
instance(uint32_t replica, uint32_t crashes, uint64_t lines)
{
	struct wire_instance wire = {.replica = replica};

	(void)snprintf(wire.name, sizeof(wire.name), "w");
	wire.restarted[CLASS_CRASH] = crashes;
	wire.output.captured = 1;
	wire.output.written = (struct wire_count){lines, lines * 10};
	return wire;
}

static uint64_t
crashes_after(struct counters *counters, struct wire_instance wire)
{
	counters_instance(counters, &wire);
	return counters_find(counters, "w")->total.restarts[CLASS_CRASH];
}

static void
a_count_never_falls(void **state)
{
	struct counters counters = {0};

	(void)state;
	assert_null(counters_find(&counters, "w"));
	assert_int_equal(crashes_after(&counters, instance(0, 2, 5)), 2);
	assert_int_equal(crashes_after(&counters, instance(3, 4, 1)), 6);
	assert_int_equal(crashes_after(&counters, instance(0, 3, 9)), 7);
	assert_int_equal(crashes_after(&counters, instance(0, 3, 9)), 7);
	/* scaled away and back: its slot begins anew */
	assert_int_equal(crashes_after(&counters, instance(3, 1, 0)), 8);
	assert_int_equal(
	    counters_find(&counters, "w")->total.output[OUTPUT_WRITTEN].lines,
	    10);
	counters_forget(&counters, "w");
	assert_null(counters_find(&counters, "w"));
	counters_fini(&counters);
}

static uint64_t
exits_after(struct counters *counters, uint64_t number, enum instance_why why,
    enum exit_class which)
{
	struct wire_event wire = {
	    .number = number,
	    .event = EVENT_EXITED,
	    .why = why,
	    .exit = {.kind = EXIT_SIGNAL, .value = 15},
	};

	(void)snprintf(wire.name, sizeof(wire.name), "w");
	counters_event(counters, &wire);
	return counters_find(counters, "w")->exits[which];
}

static void
an_end_is_counted_once_and_by_its_cause(void **state)
{
	struct counters counters = {0};

	(void)state;
	assert_int_equal(exits_after(&counters, 1, WHY_ENDED, CLASS_CRASH), 1);
	/* told again to a successor */
	assert_int_equal(exits_after(&counters, 1, WHY_ENDED, CLASS_CRASH), 1);
	assert_int_equal(
	    exits_after(&counters, 2, WHY_ORDER_STOP, CLASS_ORDERED), 1);
	assert_int_equal(
	    exits_after(&counters, 3, WHY_LIVENESS, CLASS_PROBE), 1);
	assert_int_equal(exits_after(&counters, 9, WHY_MEMORY, CLASS_OOM), 1);
	assert_int_equal(exits_after(&counters, 10, WHY_ENDED, CLASS_CRASH), 2);
	counters_fini(&counters);
}

static void
alerts_by_kind(void **state)
{
	struct counters counters = {0};

	(void)state;
	counters_alert(&counters, "drift");
	counters_alert(&counters, "crash-looping");
	counters_alert(&counters, "drift");
	assert_string_equal(counters.alerts[0].kind, "drift");
	assert_int_equal(counters.alerts[0].raised, 2);
	assert_int_equal(counters.alerts[1].raised, 1);
	counters_fini(&counters);
}

/* --- samples ------------------------------------------------------------- */

enum {
	T = 1000 * SAMPLE_COARSE_MS, /* of both steps a multiple */
};

static void
a_peak_is_kept_and_a_gap_stays_one(void **state)
{
	struct samples samples = {0};
	struct sample got[6];

	(void)state;
	int64_t t = (int64_t)T;

	samples_add(&samples, "q", t, 3, 100);
	samples_add(&samples, "q", t + 5000, 1, 900);
	samples_add(&samples, "q", t + 10000, SAMPLE_UNKNOWN, SAMPLE_UNKNOWN);
	samples_add(&samples, "q", t + 30000, 0, SAMPLE_UNKNOWN);
	assert_int_equal(queues_history(&samples, "q", t + 40000,
	                     SAMPLE_FINE_MS, got, ARRAY_LEN(got)),
	    2);
	assert_int_equal(got[0].depth, SAMPLE_UNKNOWN); /* before */
	assert_int_equal(got[1].depth, 3);
	assert_int_equal(got[1].oldest_ms, 900);
	assert_int_equal(got[2].depth, SAMPLE_UNKNOWN); /* no answer */
	assert_int_equal(got[3].depth, SAMPLE_UNKNOWN); /* no look */
	assert_int_equal(got[4].depth, 0);
	assert_int_equal(
	    queues_history(&samples, "q", t + 40000, SAMPLE_COARSE_MS, got, 1),
	    1);
	assert_int_equal(got[0].depth, 3);
	samples_fini(&samples);
}

static void
what_is_older_than_the_ring_is_gone(void **state)
{
	static struct sample got[SAMPLE_FINE_COUNT];
	struct samples samples = {0};
	int64_t t = (int64_t)T;
	int64_t later = t + (int64_t)SAMPLE_FINE_COUNT * SAMPLE_FINE_MS;

	(void)state;
	samples_add(&samples, "q", t, 3, 0);
	assert_int_equal(queues_history(&samples, "q", later - SAMPLE_FINE_MS,
	                     SAMPLE_FINE_MS, got, SAMPLE_FINE_COUNT),
	    1);
	assert_int_equal(queues_history(&samples, "q", later, SAMPLE_FINE_MS,
	                     got, SAMPLE_FINE_COUNT),
	    0);
	samples_forget(&samples, later);
	assert_int_equal(samples.count, 1);
	samples_forget(
	    &samples, t + (int64_t)SAMPLE_COARSE_COUNT * SAMPLE_COARSE_MS);
	assert_int_equal(samples.count, 0);
	samples_fini(&samples);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(the_open_form, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_classic_form, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_label_is_escaped, setup, teardown),
	    cmocka_unit_test(what_is_accepted),
	    cmocka_unit_test(a_count_never_falls),
	    cmocka_unit_test(an_end_is_counted_once_and_by_its_cause),
	    cmocka_unit_test(alerts_by_kind),
	    cmocka_unit_test(a_peak_is_kept_and_a_gap_stays_one),
	    cmocka_unit_test(what_is_older_than_the_ring_is_gone),
	};

	return cmocka_run_group_tests_name(
	    "operator_metrics", tests, NULL, NULL);
}
