/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "checks/engine.h"
#include "checks/report.h"

enum {
	ARENA_MAX = 64 << 20,
	OUT_MAX = 8 << 20,
	MANY = 40
};

struct fixture {
	struct arena arena;
	struct report report;
};

static int
set_up(void **state)
{
	static struct fixture fixture;

	arena_init(&fixture.arena, ARENA_MAX);
	report_init(&fixture.report, &fixture.arena, "gate", "1.2.3");
	*state = &fixture;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *fixture = *state;

	arena_fini(&fixture->arena);
	return 0;
}

static struct report_finding *
add(struct report *report, unsigned number, const char *worker,
    enum result result)
{
	const struct subject subject = {.worker = worker};
	struct report_finding *f = report_add(report, number, &subject);

	if (result != RESULT_UNKNOWN)
		report_set(report, f, result, "%s", result_name(result));
	return f;
}

static const char *
written(struct fixture *fixture, const char *format, bool verbose)
{
	const struct report_style style = {.verbose = verbose};
	struct buffer out;

	buffer_init(&out, OUT_MAX);
	report_writer_find(format)->write(&fixture->report, &style, &out);
	assert_false(out.overflow);
	const char *text = arena_bytes(&fixture->arena, out.data, out.len);

	buffer_fini(&out);
	return text;
}

static void
what_the_redactor_knows_is_in_no_text(void **state)
{
	struct fixture *fixture = *state;
	struct report *report = &fixture->report;
	struct redactor *redactor = redactor_new();

	redactor_add(redactor, "s3cret-pw");
	report->redactor = redactor;
	struct report_finding *f = add(report, 110, "w", RESULT_UNKNOWN);
	const struct evidence evidence = {.source = "http h/s3cret-pw",
	    .observed = "s3cret-pw: 404",
	    .expected = "not s3cret-pw"};

	report_set(report, f, RESULT_FAILED, "no s3cret-pw");
	report_evidence(report, f, &evidence);
	report_fix(report, f, "drop s3cret-pw", "rm s3cret-pw", "ls s3cret-pw");
	report_target(report, "check c", "h/s3cret-pw", "id s3cret-pw");
	report_queue(report, "q", "s3cret-pw: refused", false);
	report_not_checked(report, "s3cret-pw");
	report_conclude(report);
	assert_null(strstr(written(fixture, "text", true), "s3cret"));
	assert_null(strstr(written(fixture, "json", true), "s3cret"));
	assert_null(strstr(written(fixture, "junit", true), "s3cret"));
	assert_non_null(strstr(written(fixture, "text", true), "no ***"));
	redactor_free(redactor);
}

static void
a_suggested_command_names_the_manifest_that_was_given(void **state)
{
	struct fixture *fixture = *state;
	struct report *report = &fixture->report;
	struct report_finding *f = add(report, 110, "w", RESULT_FAILED);

	report_fix(report, f, "fix it", "reeve restart w", "reeve check");
	assert_string_equal(f->finding.fix_verify, "reeve check");
	report->manifest = "my manifest.yaml";
	report_fix(report, f, "fix it", "reeve restart w", "reeve check");
	assert_string_equal(
	    f->finding.fix_command, "reeve restart w -f 'my manifest.yaml'");
	assert_string_equal(
	    f->finding.fix_verify, "reeve check -f 'my manifest.yaml'");
	report_fix(report, f, "fix it", "kill 1", NULL);
	assert_string_equal(f->finding.fix_command, "kill 1");
	assert_null(f->finding.fix_verify);
}

static const struct finding *
find(const struct report *report, const char *id, const char *subject)
{
	for (size_t i = 0; i < report->nfindings; i++) {
		const struct finding *f = &report->findings[i]->finding;

		if (strcmp(f->id, id) == 0 &&
		    (subject == NULL || strcmp(f->subject, subject) == 0))
			return f;
	}
	return NULL;
}

/* --- verdict and exit code ---------------------------------------------------
 */

static void
a_finding_that_nobody_judged_is_unknown_and_makes_the_run_inconclusive(
    void **state)
{
	struct report *report = &((struct fixture *)*state)->report;

	(void)add(report, 301, "a", RESULT_UNKNOWN);
	(void)add(report, 101, "a", RESULT_PASSED);
	report_conclude(report);
	assert_int_equal(report->exit, EXIT_INCONCLUSIVE);
	assert_int_equal(report->verdict, VERDICT_INCONCLUSIVE);
}

static void
a_required_check_that_is_blocked_makes_the_run_inconclusive(void **state)
{
	struct report *report = &((struct fixture *)*state)->report;

	(void)add(report, 401, "a", RESULT_BLOCKED);
	report_conclude(report);
	assert_int_equal(report->exit, EXIT_INCONCLUSIVE);
}

static void
an_unknown_that_is_not_required_fails_nothing(void **state)
{
	struct report *report = &((struct fixture *)*state)->report;

	(void)add(report, 101, "a", RESULT_PASSED);
	(void)add(report, 619, "a", RESULT_UNKNOWN);
	report_conclude(report);
	assert_int_equal(report->exit, EXIT_PASSED);
	assert_int_equal(report->coverage.unknown, 1);
}

static void
a_failure_counts_more_than_the_deadline_and_that_more_than_unknown(void **state)
{
	struct report *report = &((struct fixture *)*state)->report;

	(void)add(report, 301, "a", RESULT_UNKNOWN);
	report->deadline_hit = true;
	report_conclude(report);
	assert_int_equal(report->exit, EXIT_DEADLINE);
	(void)add(report, 301, "b", RESULT_FAILED);
	report_conclude(report);
	assert_int_equal(report->exit, EXIT_FAILED);
}

static void
nothing_checked_is_a_failure_of_its_own(void **state)
{
	struct report *report = &((struct fixture *)*state)->report;

	report_conclude(report);
	assert_int_equal(report->exit, EXIT_NOTHING);
	assert_int_equal(report->verdict, VERDICT_EMPTY);
	assert_non_null(find(report, "RV911", NULL));
	/* concluding again changes nothing */
	report_conclude(report);
	assert_int_equal(report->nfindings, 1);
	assert_int_equal(report->exit, EXIT_NOTHING);
}

static void
only_skipped_checks_are_nothing_checked(void **state)
{
	struct report *report = &((struct fixture *)*state)->report;

	(void)add(report, 304, "a", RESULT_SKIPPED);
	report_conclude(report);
	assert_int_equal(report->exit, EXIT_NOTHING);
}

static void
warnings_pass_unless_strict(void **state)
{
	struct report *report = &((struct fixture *)*state)->report;

	(void)add(report, 501, "a", RESULT_FAILED);
	report_conclude(report);
	assert_int_equal(report->exit, EXIT_PASSED);
	report->strict = true;
	report_conclude(report);
	assert_int_equal(report->exit, EXIT_WARNINGS);
	report->fail_on = SEVERITY_WARNING;
	report_conclude(report);
	assert_int_equal(report->exit, EXIT_FAILED);
}

static void
a_waived_failure_fails_nothing_but_is_counted(void **state)
{
	struct report *report = &((struct fixture *)*state)->report;

	(void)add(report, 110, "a", RESULT_WAIVED);
	(void)add(report, 101, "a", RESULT_PASSED);
	report_conclude(report);
	assert_int_equal(report->exit, EXIT_PASSED);
	assert_int_equal(report->coverage.waived, 1);
}

/* --- ranking over labels
 * ------------------------------------------------------ */

static void
a_cause_explains_only_what_has_its_label(void **state)
{
	struct report *report = &((struct fixture *)*state)->report;
	struct report_finding *cause = add(report, 301, "a", RESULT_FAILED);
	const struct subject jobs = {.queue = "jobs"},
	                     mails = {.queue = "mails"};
	struct report_finding *ours = report_add(report, 701, &jobs);
	struct report_finding *others = report_add(report, 701, &mails);

	report_label(report, cause, LABEL_QUEUE, "jobs");
	report_set(report, ours, RESULT_FAILED, "waits");
	report_set(report, others, RESULT_FAILED, "waits");
	report_conclude(report);
	assert_int_equal(cause->finding.role, ROLE_ROOT);
	assert_int_equal(ours->finding.role, ROLE_EXPLAINED);
	/* 701 of another queue stands for itself */
	assert_int_not_equal(others->finding.role, ROLE_EXPLAINED);
	assert_int_equal(cause->finding.nexplains, 1);
	assert_ptr_equal(report->findings[cause->finding.explains[0]], ours);
}

static void
a_label_that_is_missing_on_both_sides_is_not_equal(void **state)
{
	struct report *report = &((struct fixture *)*state)->report;
	const struct subject other = {.other = "somewhere"};
	struct report_finding *cause = report_add(report, 301, &other);
	struct report_finding *symptom = report_add(report, 701, &other);

	report_set(report, cause, RESULT_FAILED, "gone");
	report_set(report, symptom, RESULT_FAILED, "waits");
	report_conclude(report);
	assert_int_not_equal(symptom->finding.role, ROLE_EXPLAINED);
}

static void
a_cause_that_the_canary_contradicts_is_latent(void **state)
{
	struct report *report = &((struct fixture *)*state)->report;
	const struct subject check = {.check = "ocr"}, smoke = {.smoke = "s"};
	struct report_finding *cause = report_add(report, 110, &check);
	struct report_finding *canary = report_add(report, 602, &smoke);

	report_label(report, cause, LABEL_WORKER, "a");
	report_label(report, canary, LABEL_WORKER, "a");
	report_set(report, cause, RESULT_FAILED, "404");
	report_conclude(report);
	assert_int_equal(cause->finding.role, ROLE_ROOT);
	report_set(report, canary, RESULT_PASSED, "done");
	report_conclude(report);
	assert_int_equal(cause->finding.role, ROLE_LATENT);
}

/* --- the writers
 * --------------------------------------------------------------- */

static void
evidence_beyond_the_maximum_is_counted_not_dropped_silently(void **state)
{
	struct fixture *fixture = *state;
	struct report *report = &fixture->report;
	struct report_finding *f = add(report, 301, "a", RESULT_FAILED);

	for (int i = 0; i < MANY; i++) {
		const struct evidence e = {.source = "s", .observed = "o"};

		report_evidence(report, f, &e);
	}
	assert_int_equal(f->finding.nevidence, FINDING_EVIDENCE_MAX);
	assert_string_equal(
	    f->finding.evidence[FINDING_EVIDENCE_MAX - 1].observed,
	    "and 25 more");
	static_assert(MANY - FINDING_EVIDENCE_MAX + 1 == 25, "as counted");
}

static void
the_json_is_json_and_has_what_product_md_fixes(void **state)
{
	static const char *const keys[] = {"schema", "command", "verdict",
	    "exit", "target", "coverage", "findings", "not_checked"};
	static const char *const finding_keys[] = {"id", "slug", "result",
	    "severity", "role", "subject", "summary", "evidence", "explains",
	    "impact", "elapsed_ms", "fix", "waiver"};
	struct fixture *fixture = *state;
	struct report *report = &fixture->report;
	struct report_finding *f =
	    add(report, 301, "a \"quoted\" \\ \x01 \xff name", RESULT_FAILED);
	const struct evidence e = {
	    .source = "redis", .observed = "a\nb\x1b[31m", .at_wall_ms = 1};

	report_evidence(report, f, &e);
	report_fix(report, f, "do", "reeve run", NULL);
	report_not_checked(report, "%s", "the moon");
	report_conclude(report);
	const char *end = NULL;
	const char *text = written(fixture, "json", false);
	cJSON *json = cJSON_ParseWithOpts(text, &end, true);

	assert_non_null(json);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_true(cJSON_HasObjectItem(json, keys[i]));
	assert_string_equal(
	    cJSON_GetObjectItemCaseSensitive(json, "schema")->valuestring,
	    "reeve.report/1");
	cJSON *first = cJSON_GetArrayItem(
	    cJSON_GetObjectItemCaseSensitive(json, "findings"), 0);

	for (size_t i = 0; i < ARRAY_LEN(finding_keys); i++)
		assert_true(cJSON_HasObjectItem(first, finding_keys[i]));
	assert_string_equal(
	    cJSON_GetObjectItemCaseSensitive(first, "role")->valuestring,
	    "root");
	assert_true(
	    cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(first, "waiver")));
	cJSON_Delete(json);
}

static size_t
count_of(const char *text, const char *part)
{
	size_t count = 0;

	for (const char *p = strstr(text, part); p != NULL;
	     p = strstr(p + 1, part))
		count++;
	return count;
}

static void
junit_has_a_case_even_for_nothing_and_escapes_what_it_is_told(void **state)
{
	struct fixture *fixture = *state;
	struct report *report = &fixture->report;

	/* not even concluded: an aborted run */
	assert_int_equal(
	    count_of(written(fixture, "junit", false), "<testcase"), 1);
	struct report_finding *f =
	    add(report, 301, "<a> & \"b\" \x02", RESULT_FAILED);

	report_set(report, f, RESULT_FAILED, "a < b\n\"c\"");
	(void)add(report, 304, "u", RESULT_UNKNOWN);
	(void)add(report, 501, "w", RESULT_FAILED);
	(void)add(report, 507, "b", RESULT_BLOCKED);
	report_conclude(report);
	const char *text = written(fixture, "junit", false);

	assert_int_equal(count_of(text, "<testcase"), 4);
	assert_int_equal(count_of(text, "<failure"), 1);
	assert_int_equal(count_of(text, "<error"), 1);
	assert_int_equal(count_of(text, "<skipped"), 1);
	assert_non_null(strstr(
	    text, "tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\""));
	assert_non_null(strstr(text, "worker &lt;a&gt; &amp; &quot;b&quot;"));
	assert_null(strstr(text, "\x02"));
}

static void
the_text_cannot_steer_the_terminal(void **state)
{
	struct fixture *fixture = *state;
	struct report *report = &fixture->report;
	struct report_finding *f = add(report, 301, "a", RESULT_FAILED);
	const struct evidence e = {.source = "server",
	    .observed = "\x1b]0;evil\x07 \xc2\x9b"
	                "31m \xff\nnext"};

	report_evidence(report, f, &e);
	report_conclude(report);
	const char *text = written(fixture, "text", true);

	assert_null(strchr(text, '\x1b'));
	assert_null(strchr(text, '\x07'));
	assert_null(strstr(text, "\xc2\x9b"));
	assert_null(strstr(text, "\nnext"));
	assert_non_null(strstr(text, "\\x1b]0;evil\\x07 \\x9b31m \\xff next"));
}

static void
symptoms_are_hidden_but_counted_unless_everything_is_asked_for(void **state)
{
	struct fixture *fixture = *state;
	struct report *report = &fixture->report;
	struct report_finding *cause = add(report, 301, "a", RESULT_FAILED);
	const struct subject jobs = {.queue = "jobs"};
	struct report_finding *symptom = report_add(report, 701, &jobs);

	report_label(report, cause, LABEL_QUEUE, "jobs");
	report_set(report, symptom, RESULT_FAILED, "37 waiting");
	report_conclude(report);
	const char *brief = written(fixture, "text", false);
	const char *whole = written(fixture, "text", true);

	assert_non_null(strstr(brief, "ROOT CAUSE  RV301"));
	assert_non_null(strstr(brief, "explains    RV701"));
	assert_non_null(strstr(brief, "HIDDEN      1 finding"));
	assert_null(strstr(brief, "37 waiting"));
	assert_non_null(strstr(whole, "FOLLOWS     RV701"));
	assert_non_null(strstr(whole, "37 waiting"));
}

static void
a_report_that_passed_is_short_and_quiet_when_asked(void **state)
{
	struct fixture *fixture = *state;
	const struct report_style quiet = {.quiet = true};
	struct buffer out;

	(void)add(&fixture->report, 101, "a", RESULT_PASSED);
	report_conclude(&fixture->report);
	assert_int_equal(count_of(written(fixture, "text", false), "\n"), 2);
	buffer_init(&out, OUT_MAX);
	report_text(&fixture->report, &quiet, &out);
	assert_int_equal(out.len, 0);
	buffer_fini(&out);
}

/* --- the engine
 * ------------------------------------------------------------------ */

static void
judging_again_replaces_what_was_said_before(void **state)
{
	struct fixture *fixture = *state;
	const char *const command[] = {"/bin/w", NULL};
	struct declared_worker worker = {
	    .name = "a", .command = command, .replicas = 1};
	struct declared declared = {.arena = &fixture->arena,
	    .name = "s",
	    .workers = &worker,
	    .nworkers = 1};
	struct observed observed;
	struct observed_instance instance = {
	    .pid = -1, .state = "stopped", .last_exit = ""};
	struct observed_worker supervised = {
	    .name = "a", .desired = 1, .instances = &instance, .ninstances = 1};

	observed_init(&observed, &fixture->arena);
	observed.supervisor.reached = RESULT_PASSED;
	observed.supervisor.workers = &supervised;
	observed.supervisor.nworkers = 1;
	checks_run(&declared, &observed, STAGE_CHECK, &fixture->report);
	assert_int_equal(
	    find(&fixture->report, "RV507", "worker a")->result, RESULT_FAILED);
	instance = (struct observed_instance){
	    .pid = 7, .state = "ready", .ready = true, .last_exit = ""};
	checks_run(
	    &declared, &observed, STAGE_CHECK | STAGE_GATE, &fixture->report);
	assert_int_equal(
	    find(&fixture->report, "RV507", "worker a")->result, RESULT_PASSED);
	size_t count = 0;

	for (size_t i = 0; i < fixture->report.nfindings; i++)
		count += fixture->report.findings[i]->row->number == 507;
	assert_int_equal(count, 1);
}

static void
a_bare_queue_without_a_manifest_can_be_judged(void **state)
{
	struct fixture *fixture = *state;
	struct queue_number zero = {.know = KNOW_EXACT};
	struct queue_state queue = {
	    .target = "redis db 0",
	    .identity = "",
	    .waiting = {.value = 37, .know = KNOW_EXACT},
	    .consumers = zero,
	    .head = "",
	};
	struct observation seen = {
	    .kind = "queue",
	    .subject = "queue redis://h/0?list=jobs",
	    .target = "redis://h/0",
	    .result = RESULT_PASSED,
	    .code = "",
	    .summary = "37 waiting",
	    .identity = "",
	    .queue = &queue,
	};
	struct declared_queue declared_queue = {
	    .name = "redis://h/0?list=jobs",
	    .kind = "redis",
	    .url = "redis://h/0",
	    .real_name = "jobs",
	    .objectives = {-1, -1, -1, -1, -1},
	};
	struct declared declared = {
	    .arena = &fixture->arena, .queues = &declared_queue, .nqueues = 1};
	struct observed observed;

	observed_init(&observed, &fixture->arena);
	observed.observations = &seen;
	observed.nobservations = 1;
	fixture->report.command = "diagnose";
	checks_run(&declared, &observed, STAGE_CHECK | STAGE_DIAGNOSE,
	    &fixture->report);
	report_conclude(&fixture->report);
	assert_int_equal(fixture->report.exit, EXIT_FAILED);
	assert_int_equal(
	    find(&fixture->report, "RV701", NULL)->result, RESULT_FAILED);
	assert_non_null(
	    strstr(written(fixture, "text", false), "NOT DRAINING"));
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(
	        a_finding_that_nobody_judged_is_unknown_and_makes_the_run_inconclusive),
	    TEST(a_required_check_that_is_blocked_makes_the_run_inconclusive),
	    TEST(an_unknown_that_is_not_required_fails_nothing),
	    TEST(
	        a_failure_counts_more_than_the_deadline_and_that_more_than_unknown),
	    TEST(nothing_checked_is_a_failure_of_its_own),
	    TEST(only_skipped_checks_are_nothing_checked),
	    TEST(warnings_pass_unless_strict),
	    TEST(a_waived_failure_fails_nothing_but_is_counted),
	    TEST(a_cause_explains_only_what_has_its_label),
	    TEST(a_label_that_is_missing_on_both_sides_is_not_equal),
	    TEST(a_cause_that_the_canary_contradicts_is_latent),
	    TEST(evidence_beyond_the_maximum_is_counted_not_dropped_silently),
	    TEST(the_json_is_json_and_has_what_product_md_fixes),
	    TEST(junit_has_a_case_even_for_nothing_and_escapes_what_it_is_told),
	    TEST(the_text_cannot_steer_the_terminal),
	    TEST(
	        symptoms_are_hidden_but_counted_unless_everything_is_asked_for),
	    TEST(a_report_that_passed_is_short_and_quiet_when_asked),
	    TEST(judging_again_replaces_what_was_said_before),
	    TEST(a_bare_queue_without_a_manifest_can_be_judged),
	    TEST(what_the_redactor_knows_is_in_no_text),
	    TEST(a_suggested_command_names_the_manifest_that_was_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
