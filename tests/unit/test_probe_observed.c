/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "probes/observation_write.h"
#include "probes/observed.h"
#include "probes/supervisor.h"

enum {
	ARENA_BYTES = 256 << 20,
	LINE_BYTES = 1 << 20,
	MANY = 1000
};

static struct arena arena;
static struct observed observed;

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, ARENA_BYTES);
	observed_init(&observed, &arena);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static int
add(const char *line)
{
	struct err err = ERR_INIT;

	return observed_add_line(&observed, line, strlen(line), &err);
}

static void
refused(const char *line)
{
	struct err err = ERR_INIT;
	size_t before = observed.nobservations + observed.nsmokes;

	if (observed_add_line(&observed, line, strlen(line), &err) == 0)
		fail_msg("accepted: %s", line);
	assert_int_equal(err.kind, ERR_INPUT);
	assert_int_equal(observed.nobservations + observed.nsmokes, before);
}

#define HEAD \
	"{\"schema\":\"reeve.observation/1\",\"kind\":\"k\",\"subject\":\"s\","

static struct queue_state
sample_queue(void)
{
	static const struct queue_consumer who[] = {
	    {"fileprocess/0", "10.0.0.7:51234", "jobs", "fileprocess/0", 17, 16,
	        PROOF_CONNECTED | PROOF_WAITS, "db 1",
	        {.value = 40, .know = KNOW_EXACT}},
	    {"", "", "", "", -1, -1, 0, NULL, {.know = KNOW_UNKNOWN}}};
	static const struct queue_near near[] = {{"fileprocess-jobs", "db 1",
	    "list", {.value = 3, .know = KNOW_EXACT}, 1}};

	return (struct queue_state){.engine = "redis 7.0.15",
	    .identity = "abc",
	    .target = "127.0.0.1:6379 db 0 list \"x\"",
	    .as_of_wall_ms = 1795316948678,
	    .exists = EXISTS_EMPTY_OR_NOT,
	    .paused = -1,
	    .waiting = {.value = 37, .know = KNOW_EXACT},
	    .active = {.know = KNOW_UNKNOWN, .why = "no permission"},
	    .delayed = {.know = KNOW_NOT_APPLICABLE},
	    .failed = {.value = 5, .know = KNOW_AT_LEAST},
	    .completed = {.value = 9, .know = KNOW_ESTIMATE},
	    .who = who,
	    .nwho = ARRAY_LEN(who),
	    .near = near,
	    .nnear = ARRAY_LEN(near),
	    .lease_ms = {.value = 30000, .know = KNOW_EXACT},
	    .read_only = {HOLDS_YES, "role:slave"},
	    .bound = {HOLDS_NO, ""},
	    .head = "h"};
}

static void
same_queue(const struct queue_state *a, const struct queue_state *b)
{
	assert_string_equal(a->target, b->target);
	assert_int_equal(a->as_of_wall_ms, b->as_of_wall_ms);
	assert_int_equal(a->exists, b->exists);
	assert_int_equal(a->paused, b->paused);
	assert_int_equal(a->waiting.value, 37);
	assert_int_equal(a->waiting.know, KNOW_EXACT);
	assert_int_equal(a->active.know, KNOW_UNKNOWN);
	assert_string_equal(a->active.why, "no permission");
	assert_int_equal(a->delayed.know, KNOW_NOT_APPLICABLE);
	assert_int_equal(a->failed.know, KNOW_AT_LEAST);
	assert_int_equal(a->completed.know, KNOW_ESTIMATE);
	assert_int_equal(a->dead.know, KNOW_UNKNOWN);
	assert_int_equal(a->nwho, 2);
	assert_int_equal(a->who[0].pid, 17);
	assert_int_equal(a->who[0].proof, PROOF_CONNECTED | PROOF_WAITS);
	assert_int_equal(a->who[0].held.value, 40);
	assert_int_equal(a->who[1].held.know, KNOW_UNKNOWN);
	assert_string_equal(a->who[0].where, "db 1");
	assert_int_equal(a->who[1].pid, -1);
	assert_string_equal(a->who[1].where, "");
	assert_int_equal(a->lease_ms.value, b->lease_ms.value);
	assert_int_equal(a->read_only.is, HOLDS_YES);
	assert_string_equal(a->read_only.why, "role:slave");
	assert_int_equal(a->bound.is, HOLDS_NO);
	assert_int_equal(a->evicts.is, HOLDS_UNKNOWN);
	assert_int_equal(a->nnear, 1);
	assert_string_equal(a->near[0].where, "db 1");
	assert_int_equal(a->near[0].waiting.value, 3);
}

static void
what_is_written_is_read_back(void **state)
{
	struct queue_state queue = sample_queue();
	struct step steps[] = {{STEP_DNS, RESULT_PASSED, 3, "x is 10.0.0.5"},
	    {STEP_AUTH, RESULT_FAILED, 8, "SQLSTATE 28P01: \"no\"\n"}};
	struct fact facts[] = {{"table documents", "missing"}};
	struct observation one = {.kind = "queue",
	    .subject = "queue jobs",
	    .target = "redis://h",
	    .result = RESULT_FAILED,
	    .cause = CAUSE_AUTH,
	    .code = "28P01",
	    .summary = "caf\xc3\xa9 \x01 \\u0000",
	    .identity = "id",
	    .at_wall_ms = 1795316948678,
	    .elapsed_ms = 42,
	    .steps = steps,
	    .nsteps = 2,
	    .facts = facts,
	    .nfacts = 1,
	    .queue = &queue};
	struct buffer out;

	(void)state;
	buffer_init(&out, LINE_BYTES);
	observation_write(&out, &one);
	assert_ptr_equal(strchr(out.data, '\n'), out.data + out.len - 1);
	assert_int_equal(add(out.data), 0);
	const struct observation *got = observed_find(&observed, "queue jobs");
	assert_non_null(got);
	assert_int_equal(got->result, RESULT_FAILED);
	assert_int_equal(got->cause, CAUSE_AUTH);
	assert_string_equal(got->code, "28P01");
	assert_string_equal(got->summary, one.summary);
	assert_int_equal(got->at_wall_ms, one.at_wall_ms);
	assert_int_equal(got->elapsed_ms, 42);
	assert_int_equal(got->nsteps, 2);
	assert_int_equal(got->steps[1].kind, STEP_AUTH);
	assert_string_equal(got->steps[1].detail, steps[1].detail);
	assert_int_equal(got->nfacts, 1);
	assert_string_equal(got->facts[0].value, "missing");
	same_queue(got->queue, &queue);
	buffer_fini(&out);
}

static void
jobs_and_what_was_moved_are_read_back(void **state)
{
	static const struct queue_item items[] = {
	    {"7", "timed \"out\"\n", "fileprocess/0", "a\0\xff\n", 4, 9000,
	        61000, 3},
	    {"8", "", "", "", 0, -1, -1, -1}};
	struct observed_jobs jobs = {.part = PART_DEAD,
	    .page = {.items = items,
	        .count = 2,
	        .total = {.value = 40, .know = KNOW_AT_LEAST}}};
	const char *const ids[] = {"8", "7"};
	const char *const as[] = {"18-0", "17-0"};
	struct observed_moved moved = {.ids = ids, .count = 2, .as = as};
	struct observation one = {.kind = "queue",
	    .subject = "queue jobs",
	    .result = RESULT_PASSED,
	    .jobs = &jobs,
	    .moved = &moved};
	struct buffer out;

	(void)state;
	buffer_init(&out, LINE_BYTES);
	observation_write(&out, &one);
	assert_int_equal(add(out.data), 0);
	const struct observation *got = observed_find(&observed, "queue jobs");
	assert_int_equal(got->jobs->part, PART_DEAD);
	assert_int_equal(got->jobs->page.count, 2);
	assert_int_equal(got->jobs->page.total.know, KNOW_AT_LEAST);
	const struct queue_item *first = &got->jobs->page.items[0];
	assert_string_equal(first->id, "7");
	assert_string_equal(first->error, items[0].error);
	assert_string_equal(first->owner, "fileprocess/0");
	assert_int_equal(first->payload_len, 4);
	assert_memory_equal(first->payload, "a\0\xff\n", 4);
	assert_int_equal(first->payload_whole, 9000);
	assert_int_equal(first->age_ms, 61000);
	assert_int_equal(first->attempts, 3);
	assert_int_equal(first[1].payload_len, 0);
	assert_int_equal(first[1].attempts, -1);
	assert_int_equal(got->moved->count, 2);
	assert_string_equal(got->moved->ids[1], "7");
	assert_string_equal(got->moved->as[1], "17-0");
	buffer_fini(&out);
}

static void
every_word_goes_both_ways(void **state)
{
	struct buffer out;

	(void)state;
	buffer_init(&out, LINE_BYTES);
	for (int cause = CAUSE_NONE; cause <= CAUSE_UNAVAILABLE; cause++) {
		struct observation one = {.kind = "k",
		    .subject = cause_name((enum cause)cause),
		    .result = RESULT_UNKNOWN,
		    .cause = (enum cause)cause};
		buffer_clear(&out);
		observation_write(&out, &one);
		assert_int_equal(add(out.data), 0);
		assert_int_equal(
		    observed_find(&observed, one.subject)->cause, cause);
	}
	buffer_fini(&out);
}

static void
a_line_without_a_result_is_unknown(void **state)
{
	(void)state;
	assert_int_equal(add(HEAD "\"summary\":\"x\"}"), 0);
	assert_int_equal(observed_find(&observed, "s")->result, RESULT_UNKNOWN);
}

static void
the_latest_look_at_a_subject_counts(void **state)
{
	(void)state;
	assert_int_equal(add(HEAD "\"result\":\"failed\"}"), 0);
	assert_int_equal(add(HEAD "\"result\":\"passed\"}"), 0);
	assert_int_equal(observed_find(&observed, "s")->result, RESULT_PASSED);
	assert_null(observed_find(&observed, "never"));
}

static void
hostile_lines_are_refused(void **state)
{
	(void)state;
	refused("");
	refused("{");
	refused("[]");
	refused("null");
	refused("{}");
	refused("{\"schema\":\"reeve.observation/2\"}");
	refused("{\"Schema\":\"reeve.observation/1\"}");
	refused("{\"schema\":\"reeve.observation/1\"}");
	refused(HEAD "\"result\":\"green\"}");
	refused(HEAD "\"result\":1}");
	refused(HEAD "\"result\":\"passed\",\"result\":\"failed\"}");
	refused(HEAD "\"result\":\"passed\",\"cause\":\"auth\"}");
	refused(HEAD "\"at\":1e300}");
	refused(HEAD "\"at\":1.5}");
	refused(HEAD "\"at\":9007199254740993000}");
	refused(HEAD "\"at\":\"1\"}");
	refused(HEAD "\"steps\":{}}");
	refused(HEAD "\"steps\":[1]}");
	refused(HEAD "\"steps\":[{\"step\":\"ddns\"}]}");
	refused(HEAD "\"facts\":[[]]}");
	refused(HEAD "\"queue\":[]}");
	refused(HEAD "\"queue\":{\"waiting\":7}}");
	refused(HEAD "\"queue\":{\"waiting\":{\"know\":\"exact\"}}}");
	refused(HEAD "\"queue\":{\"waiting\":{\"know\":\"maybe\"}}}");
	refused(HEAD "\"queue\":{\"paused\":7}}");
	refused(HEAD "\"queue\":{\"who\":[{\"proof\":-1}]}}");
	refused(HEAD "\"queue\":{\"bound\":1}}");
	refused(HEAD "\"queue\":{\"bound\":{\"is\":\"maybe\"}}}");
	refused(HEAD "\"jobs\":[]}");
	refused(HEAD "\"jobs\":{\"part\":\"half\"}}");
	refused(HEAD "\"jobs\":{\"part\":\"dead\",\"items\":[7]}}");
	refused(HEAD "\"jobs\":{\"part\":\"dead\",\"items\":"
	             "[{\"payload\":\"YQ=\"}]}}");
	refused(HEAD "\"jobs\":{\"part\":\"dead\",\"items\":"
	             "[{\"payload\":\"Y===\"}]}}");
	refused(HEAD "\"jobs\":{\"part\":\"dead\",\"items\":"
	             "[{\"payload\":\" YQ=\"}]}}");
	refused(HEAD "\"moved\":{}}");
	refused(HEAD "\"moved\":[7]}");
	refused(HEAD "\"moved\":[\"7\"],\"movedAs\":[]}");
	refused(HEAD "\"summary\":\"a\\u0000b\"}");
	refused(HEAD "\"summary\":\"a\"} trailing");
	refused("{\"schema\":\"reeve.smoke/1\"}");
}

static void
a_line_too_deep_or_too_long_is_refused(void **state)
{
	struct buffer deep;
	struct err err = ERR_INIT;

	(void)state;
	buffer_init(&deep, 64 << 20);
	for (int i = 0; i < 100000; i++)
		buffer_text(&deep, "[");
	refused(deep.data);
	buffer_clear(&deep);
	buffer_text(&deep, HEAD "\"facts\":[");
	for (int i = 0; i < 600; i++)
		buffer_text(&deep, "{},");
	buffer_text(&deep, "{}]}");
	refused(deep.data);
	static const char nul[] = "{\"a\":1}\0{\"b\":2}";
	assert_int_equal(
	    observed_add_line(&observed, nul, sizeof(nul) - 1, &err), -1);
	buffer_fini(&deep);
}

static void
a_number_that_is_absent_is_unknown_and_not_zero(void **state)
{
	(void)state;
	assert_int_equal(add(HEAD "\"queue\":{}}"), 0);
	const struct queue_state *queue = observed_find(&observed, "s")->queue;
	assert_int_equal(queue->waiting.know, KNOW_UNKNOWN);
	assert_int_equal(queue->exists, EXISTS_UNKNOWN);
	assert_int_equal(queue->paused, -1);
	assert_string_equal(queue->waiting.why, "not looked at");
}

static void
many_observations_are_kept(void **state)
{
	(void)state;
	for (int i = 0; i < MANY; i++)
		assert_int_equal(
		    add(arena_format(&arena,
		        "{\"schema\":\"reeve.observation/1\",\"kind\":\"k\","
		        "\"subject\":\"s%d\",\"elapsed_ms\":%d}",
		        i, i)),
		    0);
	assert_int_equal(observed.nobservations, MANY);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(
		    observed_find(&observed, arena_format(&arena, "s%d", i))
		        ->elapsed_ms,
		    i);
}

/* checks/ appends to the array by itself. */
static void
an_array_made_elsewhere_is_grown_too(void **state)
{
	struct observation mine = {.subject = "mine", .kind = "k"};

	(void)state;
	observed.observations = &mine;
	observed.nobservations = 1;
	assert_int_equal(add(HEAD "\"result\":\"passed\"}"), 0);
	assert_int_equal(observed.nobservations, 2);
	assert_non_null(observed_find(&observed, "mine"));
	assert_non_null(observed_find(&observed, "s"));
}

static void
a_smoke_is_read_back(void **state)
{
	struct observed_stage stages[] = {{.smoke = "doc",
	    .stage = "processed",
	    .before = RESULT_FAILED,
	    .after = RESULT_PASSED,
	    .summary = "x",
	    .by = "fileprocess/0",
	    .reached_ms = 120}};
	struct observed_smoke smoke = {.name = "doc",
	    .submitted = true,
	    .canary = "c",
	    .summary = "",
	    .submitted_wall_ms = 1,
	    .total_ms = 2,
	    .stages = stages,
	    .nstages = 1,
	    .cleaned = true,
	    .cleanup_summary = NULL};
	struct buffer out;

	(void)state;
	buffer_init(&out, LINE_BYTES);
	observed_smoke_write(&out, &smoke);
	for (int i = 0; i < 3; i++)
		assert_int_equal(add(out.data), 0);
	assert_int_equal(observed.nsmokes, 3);
	const struct observed_smoke *got = &observed.smokes[2];
	assert_true(got->submitted);
	assert_true(got->cleaned);
	assert_int_equal(got->stages[0].before, RESULT_FAILED);
	assert_int_equal(got->stages[0].after, RESULT_PASSED);
	assert_int_equal(got->stages[0].reached_ms, 120);
	assert_string_equal(got->stages[0].by, "fileprocess/0");
	buffer_fini(&out);
}

static void
a_look_at_the_supervisor_that_never_came_back_is_unknown(void **state)
{
	(void)state;
	assert_int_equal(
	    add("{\"schema\":\"reeve.observation/1\",\"kind\":\"supervisor\","
	        "\"subject\":\"supervisor\",\"cause\":\"deadline\","
	        "\"summary\":\"no answer within 5 s\"}"),
	    0);
	assert_int_equal(observed.supervisor.reached, RESULT_UNKNOWN);
	assert_string_equal(observed.supervisor.why, "no answer within 5 s");
}

static const char status[] =
    "{\"schema\":\"reeve.status/1\",\"name\":\"fileprocess\","
    "\"operator\":{\"pid\":7,\"state\":\"running\","
    "\"manifest_digest\":\"a66a\"},\"new\":[1],"
    "\"workers\":[{\"name\":\"w\",\"desired\":2,\"ready\":1,"
    "\"instances\":[{\"index\":0,\"pid\":17,\"state\":\"running\","
    "\"ready\":true,\"restarts\":3,"
    "\"started_at\":\"2026-11-22T02:18:00.123Z\","
    "\"config_digest\":\"ab\",\"last_exit\":\"exit 1\"},"
    "{\"index\":1,\"pid\":null,\"state\":\"backoff\",\"ready\":false,"
    "\"started_at\":1795313880123}]}],"
    "\"drift\":[{\"worker\":\"w\",\"class\":\"env\",\"key\":\"A\"}]}";

static void
a_status_is_understood(void **state)
{
	struct observed_supervisor sup;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(
	    supervisor_parse(status, strlen(status), &arena, &sup, &err), 0);
	assert_int_equal(sup.reached, RESULT_PASSED);
	assert_string_equal(sup.operator_state, "running");
	assert_string_equal(sup.manifest_digest, "a66a");
	assert_int_equal(sup.nworkers, 1);
	assert_int_equal(sup.workers[0].desired, 2);
	assert_int_equal(sup.workers[0].ninstances, 2);
	const struct observed_instance *first = &sup.workers[0].instances[0];
	assert_int_equal(first->pid, 17);
	assert_true(first->ready);
	assert_int_equal(first->restarts, 3);
	assert_int_equal(first->started_wall_ms, 1795313880123);
	assert_int_equal(first[1].started_wall_ms, 1795313880123);
	assert_int_equal(first[1].pid, -1);
	assert_int_equal(sup.ndrift, 1);
	assert_string_equal(sup.drift[0].key, "A");
}

static void
a_status_survives_the_verdict_line(void **state)
{
	struct observed_supervisor sup;
	struct observed_process processes[] = {
	    {"w", 17, "python3 worker.py", 1795313880123, false}};
	struct observation one = {.kind = "supervisor",
	    .subject = "supervisor",
	    .result = RESULT_PASSED,
	    .supervisor = &sup};
	struct observation two = {.kind = "processes",
	    .subject = "processes",
	    .result = RESULT_PASSED,
	    .summary = "1 process",
	    .processes = processes,
	    .nprocesses = 1};
	struct err err = ERR_INIT;
	struct buffer out;

	(void)state;
	assert_int_equal(
	    supervisor_parse(status, strlen(status), &arena, &sup, &err), 0);
	buffer_init(&out, LINE_BYTES);
	observation_write(&out, &one);
	assert_int_equal(add(out.data), 0);
	buffer_clear(&out);
	observation_write(&out, &two);
	assert_int_equal(add(out.data), 0);
	assert_int_equal(observed.supervisor.reached, RESULT_PASSED);
	assert_int_equal(observed.supervisor.workers[0].instances[1].pid, -1);
	assert_string_equal(observed.supervisor.drift[0].class, "env");
	assert_int_equal(observed.nprocesses, 1);
	assert_int_equal(observed.processes[0].pid, 17);
	assert_int_equal(observed.processes_searched, RESULT_PASSED);
	assert_string_equal(observed.processes_scope, "1 process");
	buffer_fini(&out);
}

static void
what_is_no_status_is_refused(void **state)
{
	static const char *const bad[] = {"", "{}", "<html>",
	    "{\"schema\":\"reeve.status/1\"}",
	    "{\"schema\":\"reeve.status/2\",\"workers\":[]}",
	    "{\"schema\":\"reeve.status/1\",\"workers\":[7]}",
	    "{\"schema\":\"reeve.status/1\",\"workers\":[{\"desired\":\"2\"}]}"};
	struct observed_supervisor sup = {.name = "untouched"};
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(supervisor_parse(bad[i], strlen(bad[i]),
		                     &arena, &sup, &err),
		    -1);
	assert_string_equal(sup.name, "untouched");
}

static void
a_secret_in_any_text_is_redacted(void **state)
{
	struct queue_state queue = sample_queue();
	struct step steps[] = {
	    {STEP_AUTH, RESULT_FAILED, 8, "for hunter2secret"}};
	struct fact facts[] = {{"body", "hunter2secret"}};
	struct observation one = {.kind = "k",
	    .subject = "s",
	    .target = "hunter2secret",
	    .summary = "tried hunter2secret",
	    .identity = "hunter2secret",
	    .steps = steps,
	    .nsteps = 1,
	    .facts = facts,
	    .nfacts = 1,
	    .queue = &queue};
	struct redactor *redactor = redactor_new();
	struct buffer out;

	(void)state;
	queue.target = "list at hunter2secret";
	queue.head = "hunter2secret";
	queue.active.why = "no hunter2secret";
	redactor_add(redactor, "hunter2secret");
	observation_redact(&one, redactor, &arena);
	buffer_init(&out, LINE_BYTES);
	observation_write(&out, &one);
	assert_null(strstr(out.data, "hunter2secret"));
	assert_non_null(strstr(out.data, "tried ***"));
	buffer_fini(&out);
	redactor_free(redactor);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_is_written_is_read_back),
	    TEST(jobs_and_what_was_moved_are_read_back),
	    TEST(every_word_goes_both_ways),
	    TEST(a_line_without_a_result_is_unknown),
	    TEST(the_latest_look_at_a_subject_counts),
	    TEST(hostile_lines_are_refused),
	    TEST(a_line_too_deep_or_too_long_is_refused),
	    TEST(a_number_that_is_absent_is_unknown_and_not_zero),
	    TEST(many_observations_are_kept),
	    TEST(an_array_made_elsewhere_is_grown_too),
	    TEST(a_smoke_is_read_back),
	    TEST(a_look_at_the_supervisor_that_never_came_back_is_unknown),
	    TEST(a_status_is_understood),
	    TEST(a_status_survives_the_verdict_line),
	    TEST(what_is_no_status_is_refused),
	    TEST(a_secret_in_any_text_is_redacted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
