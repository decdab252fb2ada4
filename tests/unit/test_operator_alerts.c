/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "supervisor/operator/alerts.h"
#include "supervisor/operator/sending.h"
#include "supervisor/operator/spool.h"

/*
 * The receiver is a command; its child is never started (posix_spawn is
 * replaced), so what is in the spool is what there is to see.
 */
static struct loop loop;
static struct loop_timer *heap[64];
static char dir[64];
static struct alerts alerts;

static unsigned tried; /* deliveries */
int __wrap_posix_spawn(void);
int
__wrap_posix_spawn(void)
{
	tried++;
	return 11; /* EAGAIN */
}

static const char *const command[] = {"/bin/true", NULL};
static const struct declared_alert receiver = {
    .name = "cmd",
    .kind = "command",
    .command = command,
};

static void
open_alerts(void)
{
	alerts_init(&alerts, &loop, "sys", dir);
	alerts_receivers(&alerts, &receiver, 1);
}

/* As SIGKILL leaves it: nothing is written any more. */
static void
die(void)
{
	alerts_fini(&alerts);
}

static struct alert_condition
condition(const char *name)
{
	return (struct alert_condition){
	    .key = name,
	    .kind = "test",
	    .severity = SEVERITY_ERROR,
	    .subject = "worker w",
	    .summary = "is wrong",
	    .evidence = "seen",
	};
}

static void
judge(const char *a, const char *b)
{
	struct alert_condition conditions[2];
	size_t count = 0;

	if (a != NULL)
		conditions[count++] = condition(a);
	if (b != NULL)
		conditions[count++] = condition(b);
	alerts_judge(&alerts, conditions, count);
}

/* "raised a, resolved a": what waits, in order. */
static const char *
waiting(void)
{
	static char text[1024];
	size_t len = 0;

	text[0] = '\0';
	for (const struct alert_event *event = alerts.events; event != NULL;
	     event = event->next) {
		const char *state =
		    strstr(event->json, "\"raised\"") != NULL     ? "raised"
		    : strstr(event->json, "\"repeated\"") != NULL ? "repeated"
		                                                  : "resolved";
		int put = snprintf(text + len, sizeof(text) - len, "%s%s %s",
		    len == 0 ? "" : ", ", state, event->key);
		assert_true(put > 0);
		len += (size_t)put;
	}
	return text;
}

static int
setup(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	log_open(-1, LOG_TEXT, LOG_ERROR, "test");
	(void)snprintf(dir, sizeof(dir), "/tmp/test-alerts-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	return loop_init(&loop, heap, ARRAY_LEN(heap), &err);
}

static int
teardown(void **state)
{
	DIR *list = opendir(dir);
	const struct dirent *entry = NULL;
	char path[512];

	(void)state;
	while (list != NULL && (entry = readdir(list)) != NULL) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		(void)unlink(path);
	}
	if (list != NULL)
		(void)closedir(list);
	(void)rmdir(dir);
	loop_fini(&loop);
	return 0;
}

static void
a_condition_is_raised_once_and_resolved_once(void **state)
{
	(void)state;
	open_alerts();
	judge("a", NULL);
	judge("a", NULL);
	judge("a", "b");
	judge("b", NULL);
	judge("b", NULL);
	assert_string_equal(waiting(), "raised a, raised b, resolved a");
	judge(NULL, NULL);
	judge("a", NULL);
	assert_string_equal(
	    waiting(), "raised a, raised b, resolved a, resolved b, raised a");
	die();
}

static void
what_waits_and_what_is_raised_outlives_the_operator(void **state)
{
	(void)state;
	open_alerts();
	judge("a", "b");
	judge("b", NULL);
	die();
	open_alerts();
	assert_string_equal(waiting(), "raised a, raised b, resolved a");
	judge("b", NULL); /* still true: not raised again */
	assert_string_equal(waiting(), "raised a, raised b, resolved a");
	judge(NULL, NULL);
	die();
	open_alerts();
	assert_string_equal(
	    waiting(), "raised a, raised b, resolved a, resolved b");
	judge(NULL, NULL);
	assert_string_equal(
	    waiting(), "raised a, raised b, resolved a, resolved b");
	die();
}

/* Killed after an event's file and before the checkpoint's: the event counts.
 */
static void
an_event_that_is_younger_than_the_checkpoint_is_replayed(void **state)
{
	char path[128];
	struct err err = ERR_INIT;
	struct buffer before;

	(void)state;
	open_alerts();
	judge("a", NULL);
	(void)snprintf(path, sizeof(path), "%s/active.json", dir);
	buffer_init(&before, 1 << 20);
	assert_int_equal(buffer_read_file(&before, path, &err), 0);
	judge("a", "b");  /* raises b */
	judge("b", NULL); /* resolves a */
	die();
	assert_int_equal(
	    fd_replace_file(path, 0600, before.data, before.len, &err), 0);
	buffer_fini(&before);
	open_alerts();
	judge("b", NULL);
	assert_string_equal(waiting(), "raised a, raised b, resolved a");
	assert_int_equal(alerts.next, 4);
	die();
}

static void
a_torn_or_strange_file_is_no_event(void **state)
{
	char path[128];
	struct err err = ERR_INIT;

	(void)state;
	open_alerts();
	judge("a", NULL);
	die();
	(void)snprintf(path, sizeof(path), "%s/%020d.json", dir, 9);
	assert_int_equal(fd_replace_file(path, 0600, "{\"numb", 6, &err), 0);
	open_alerts();
	judge("a", NULL);
	assert_string_equal(waiting(), "raised a");
	die();
}

static void
a_window_that_is_not_over_holds_a_restored_alert(void **state)
{
	struct alert_condition one = condition("a");

	(void)state;
	one.hold_ms = 60000;
	open_alerts();
	alerts_judge(&alerts, &one, 1);
	die();
	open_alerts();
	judge(NULL, NULL);
	assert_string_equal(waiting(), "raised a");
	/* a new operator measures from later on: it has a little longer */
	assert_true(alerts_wake_ms(&alerts) > clock_ms() + 60000);
	assert_true(alerts_wake_ms(&alerts) <= clock_ms() + 75000);
	/* seen true again, it is over when it is over */
	alerts_judge(&alerts, &one, 1);
	judge(NULL, NULL);
	assert_string_equal(waiting(), "raised a, resolved a");
	die();
}

static void
a_repeat_comes_when_it_is_due(void **state)
{
	struct declared_alert often = receiver;

	(void)state;
	often.repeat_ms = 300;
	alerts_init(&alerts, &loop, "sys", dir);
	alerts_receivers(&alerts, &often, 1);
	judge("a", NULL);
	int64_t due_ms = alerts_wake_ms(&alerts);

	while (clock_ms() < due_ms) {
	}
	/* what waits says already that it lasts */
	judge("a", NULL);
	assert_string_equal(waiting(), "raised a");
	spool_delivered(&alerts, alerts.events, "cmd");
	due_ms = alerts_wake_ms(&alerts);
	while (clock_ms() < due_ms) {
	}
	judge("a", NULL);
	assert_string_equal(waiting(), "repeated a");
	die();
}

static void
what_waits_for_a_receiver_that_is_gone_is_dropped(void **state)
{
	struct declared_alert other = receiver;
	char path[128];

	(void)state;
	open_alerts();
	judge("a", NULL);
	(void)snprintf(path, sizeof(path), "%s/%020d.json", dir, 1);
	assert_int_equal(access(path, R_OK), 0);
	other.name = "other";
	alerts_receivers(&alerts, &other, 1);
	assert_string_equal(waiting(), "");
	assert_int_equal(access(path, R_OK), -1);
	die();
}

/* What it wants to hear of may have been declared anew since. */
static void
who_was_told_of_the_beginning_is_told_of_the_end(void **state)
{
	struct declared_alert quieter = receiver;

	(void)state;
	quieter.min_severity = SEVERITY_CRITICAL;
	open_alerts();
	judge("a", NULL);
	alerts_receivers(&alerts, &quieter, 1);
	judge("a", "b"); /* b is for nobody */
	die();
	alerts_init(&alerts, &loop, "sys", dir);
	alerts_receivers(&alerts, &quieter, 1);
	judge("a", "b");
	judge(NULL, NULL);
	assert_string_equal(waiting(), "raised a, resolved a");
	die();
}

/* By the findings' own relation, of the same queue; the end of the cause lets
 * out what is still there. */
static void
explained(const char *finding)
{
	struct alert_condition conditions[] = {
	    condition("missed"), condition("crash")};

	conditions[0].finding = finding;
	conditions[0].queues = "jobs";
	conditions[1].finding = "RV506";
	conditions[1].severity = SEVERITY_CRITICAL;
	conditions[1].worker = "w";
	conditions[1].queues = "other jobs";
	alerts_judge(&alerts, conditions, 2);
	assert_string_equal(waiting(), "raised crash");
	alerts_judge(&alerts, conditions, 1);
	assert_string_equal(
	    waiting(), "raised crash, resolved crash, raised missed");
}

static void
a_missed_objective_is_explained_by_who_should_do_the_work(void **state)
{
	(void)state;
	open_alerts();
	explained("RV702");
	die();
}

static void
leases_that_run_out_are_explained_by_a_crash_loop(void **state)
{
	(void)state;
	open_alerts();
	explained("RV721");
	die();
}

static void
a_cause_of_another_queue_explains_nothing(void **state)
{
	struct alert_condition conditions[] = {
	    condition("missed"), condition("crash")};

	(void)state;
	conditions[0].finding = "RV702";
	conditions[0].queues = "job";
	conditions[1].finding = "RV506";
	conditions[1].severity = SEVERITY_CRITICAL;
	conditions[1].queues = "jobs";
	open_alerts();
	alerts_judge(&alerts, conditions, 2);
	assert_string_equal(waiting(), "raised missed, raised crash");
	die();
}

static void
who_is_declared_later_is_told_once(void **state)
{
	struct declared_alert two[2] = {receiver, receiver};
	char path[128];
	struct err err = ERR_INIT;
	struct buffer before;

	(void)state;
	two[1].name = "other";
	open_alerts();
	judge("a", NULL);
	spool_delivered(&alerts, alerts.events, "cmd");
	assert_string_equal(waiting(), "");
	(void)snprintf(path, sizeof(path), "%s/active.json", dir);
	buffer_init(&before, 1 << 20);
	assert_int_equal(buffer_read_file(&before, path, &err), 0);
	alerts_receivers(&alerts, two, 2);
	judge("a", NULL);
	judge("a", NULL);
	assert_string_equal(waiting(), "raised a");
	assert_null(spool_waits_for(alerts.events, "cmd"));
	assert_non_null(spool_waits_for(alerts.events, "other"));
	die();
	/* as if the checkpoint had not been written any more */
	assert_int_equal(
	    fd_replace_file(path, 0600, before.data, before.len, &err), 0);
	buffer_fini(&before);
	alerts_init(&alerts, &loop, "sys", dir);
	alerts_receivers(&alerts, two, 2);
	judge("a", NULL);
	assert_string_equal(waiting(), "raised a");
	judge(NULL, NULL);
	assert_string_equal(waiting(), "raised a, resolved a");
	assert_non_null(spool_waits_for(alerts.events->next, "cmd"));
	assert_non_null(spool_waits_for(alerts.events->next, "other"));
	die();
}

/* The note of what is on its way: "sending", or "taken". */
static bool
note_path(const char *kind, char path[512])
{
	DIR *list = opendir(dir);
	const struct dirent *entry = NULL;
	bool found = false;

	assert_non_null(list);
	while (!found && (entry = readdir(list)) != NULL) {
		found = strncmp(entry->d_name, kind, strlen(kind)) == 0;
		(void)snprintf(path, 512, "%s/%s", dir, entry->d_name);
	}
	(void)closedir(list);
	return found;
}

static void
what_was_under_way_at_our_death_goes_again_as_the_same_message(void **state)
{
	struct declared_alert slack = receiver;
	char path[512];

	(void)state;
	slack.format = "slack"; /* several in a message */
	alerts_init(&alerts, &loop, "sys", dir);
	alerts_receivers(&alerts, &slack, 1);
	judge("a", "b");
	assert_int_equal(alerts.receivers[0].nsending, 2);
	assert_true(note_path("sending.", path));
	judge("b", NULL); /* now there is a third */
	die();
	alerts_init(&alerts, &loop, "sys", dir);
	alerts_receivers(&alerts, &slack, 1);
	assert_string_equal(waiting(), "raised a, raised b, resolved a");
	assert_int_equal(alerts.receivers[0].nsending, 2);
	assert_int_equal(alerts.receivers[0].sending[0], 1);
	assert_int_equal(alerts.receivers[0].sending[1], 2);
	die();
}

static void
what_was_taken_before_our_death_does_not_go_again(void **state)
{
	char path[512];
	char taken[512];

	(void)state;
	open_alerts();
	judge("a", NULL);
	assert_true(note_path("sending.", path));
	/* what the child does */
	(void)snprintf(
	    taken, sizeof(taken), "%s/taken.%s", dir, strrchr(path, '.') + 1);
	sending_was_taken(path, taken);
	judge(NULL, NULL);
	die();
	open_alerts();
	assert_string_equal(waiting(), "resolved a");
	assert_false(note_path("taken.", path));
	die();
}

static void
without_a_directory_it_all_works_in_memory(void **state)
{
	(void)state;
	alerts_init(&alerts, &loop, "sys", NULL);
	alerts_receivers(&alerts, &receiver, 1);
	judge("a", NULL);
	assert_string_equal(waiting(), "raised a");
	assert_null(alerts.dir);
	die();
}

static void
the_default_receiver_is_our_own_log(void **state)
{
	(void)state;
	alerts_init(&alerts, &loop, "sys", dir);
	alerts_receivers(&alerts, NULL, 0);
	judge("a", NULL);
	/* said at once */
	assert_string_equal(waiting(), "");
	assert_int_equal(alerts.next, 2);
	die();
}

/* --- silences ------------------------------------------------------------ */

static char told[256];
static void
note(void *arg, const struct alert *alert, const char *state)
{
	size_t len = strlen(told);

	(void)arg;
	(void)snprintf(
	    told + len, sizeof(told) - len, "%s %s,", state, alert->key);
}

static int64_t
silence(const char *match, int64_t for_ms)
{
	struct silence wanted = {.reason = "being moved", .by = "uid 0"};
	struct err err = ERR_INIT;
	int64_t id = 0;
	size_t count = 0;

	(void)snprintf(wanted.match, sizeof(wanted.match), "%s", match);
	assert_int_equal(
	    alerts_silence(&alerts, &wanted, for_ms, &id, &count, &err), 0);
	return id;
}

/* It is recorded, also its end; and who was told of one hears of its end. */
static void
what_is_silenced_is_told_to_nobody(void **state)
{
	(void)state;
	open_alerts();
	told[0] = '\0';
	alerts.told = note;
	judge("a", NULL);
	(void)silence("[ab]", 3600000);
	judge("a", "b");
	judge("a", "b");
	assert_string_equal(waiting(), "raised a");
	assert_string_equal(told, "raised a,silenced b,");
	judge(NULL, NULL);
	assert_string_equal(waiting(), "raised a, resolved a");
	assert_non_null(strstr(told, "resolved a,"));
	assert_non_null(strstr(told, "resolved b,"));
	judge("c", NULL);
	assert_string_equal(waiting(), "raised a, resolved a, raised c");
	die();
}

static void
a_silence_outlives_the_operator_and_ends(void **state)
{
	int64_t id = 0;

	(void)state;
	open_alerts();
	id = silence("test", 3600000); /* the kind */
	judge("a", NULL);
	die();
	open_alerts();
	assert_int_equal(alerts.silences.count, 1);
	assert_string_equal(alerts.silences.list[0].reason, "being moved");
	told[0] = '\0';
	alerts.told = note;
	judge("a", NULL);
	/* it was recorded before */
	assert_string_equal(told, "");
	assert_string_equal(waiting(), "");
	assert_false(alerts_unsilence(&alerts, id + 1));
	assert_true(alerts_unsilence(&alerts, id));
	judge("a", NULL);
	assert_string_equal(waiting(), "raised a");
	die();
	open_alerts();
	assert_int_equal(alerts.silences.count, 0);
	/* an id is never used again */
	assert_int_equal(silence("a", 1000), id + 1);
	alerts.silences.list[0].until_ms = clock_ms();
	judge("a", "b");
	assert_int_equal(alerts.silences.count, 0);
	assert_string_equal(waiting(), "raised a, raised b");
	die();
}

static void
the_first_silence_to_end_is_woken_for(void **state)
{
	(void)state;
	open_alerts();
	assert_int_equal(silences_wake_ms(&alerts.silences), CLOCK_NEVER);
	(void)silence("a", 7200000);
	(void)silence("b", 3600000);
	(void)silence("c", 7200000);
	assert_int_equal(silences_wake_ms(&alerts.silences),
	    alerts.silences.list[1].until_ms);
	die();
}

static void
what_waits_is_tried_by_the_next_operator_at_once(void **state)
{
	(void)state;
	open_alerts();
	judge("a", NULL);
	die();
	tried = 0;
	open_alerts();
	assert_int_equal(tried, 1);
	assert_string_equal(waiting(), "raised a");
	die();
}

static void
what_an_alert_says_outlives_the_operator(void **state)
{
	(void)state;
	open_alerts();
	judge("a", NULL);
	die();
	open_alerts();
	assert_non_null(alerts.known);
	assert_string_equal(alerts.known->key, "a");
	assert_string_equal(alerts.known->kind, "test");
	assert_string_equal(alerts.known->subject, "worker w");
	assert_string_equal(alerts.known->summary, "is wrong");
	assert_string_equal(alerts.known->evidence, "seen");
	assert_int_equal(alerts.known->severity, SEVERITY_ERROR);
	die();
}

static void
a_silence_says_what_and_why(void **state)
{
	struct silence wanted = {.match = "a", .reason = ""};
	struct err err = ERR_INIT;
	int64_t id = 0;
	size_t count = 0;

	(void)state;
	open_alerts();
	assert_int_equal(
	    alerts_silence(&alerts, &wanted, 60000, &id, &count, &err), -1);
	assert_non_null(strstr(err.text, "reason"));
	wanted.reason[0] = 'x';
	assert_int_equal(
	    alerts_silence(&alerts, &wanted, INT64_MAX / 2, &id, &count, &err),
	    -1);
	assert_int_equal(
	    alerts_silence(&alerts, &wanted, 999, &id, &count, &err), -1);
	for (int i = 0; i < SILENCES_MAX; i++)
		(void)silence("a", 60000);
	assert_int_equal(
	    alerts_silence(&alerts, &wanted, 60000, &id, &count, &err), -1);
	assert_int_equal(alerts.silences.count, SILENCES_MAX);
	die();
}

/* The list of a worker's queues may be longer than an event may be. */
static void
an_alert_that_is_too_long_is_told_without_what_makes_it_so(void **state)
{
	size_t len = 300 * 1024;
	char *queues = malloc(len + 1);
	struct alert_condition all[2] = {condition("long"), condition("short")};

	(void)state;
	assert_non_null(queues);
	memset(queues, 'q', len);
	queues[len] = '\0';
	all[0].queues = queues;
	all[1].queues = "jobs";
	open_alerts();
	alerts_judge(&alerts, all, 2);
	assert_string_equal(waiting(), "raised long, raised short");
	assert_non_null(strstr(alerts.events->json, "\"is wrong\""));
	assert_non_null(
	    strstr(alerts.events->next->json, "\"queues\":\"jobs\""));
	die();
	free(queues);
}

int
main(void)
{
#define ALERT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    ALERT_TEST(a_condition_is_raised_once_and_resolved_once),
	    ALERT_TEST(what_waits_and_what_is_raised_outlives_the_operator),
	    ALERT_TEST(
	        an_event_that_is_younger_than_the_checkpoint_is_replayed),
	    ALERT_TEST(a_torn_or_strange_file_is_no_event),
	    ALERT_TEST(a_window_that_is_not_over_holds_a_restored_alert),
	    ALERT_TEST(a_repeat_comes_when_it_is_due),
	    ALERT_TEST(what_waits_for_a_receiver_that_is_gone_is_dropped),
	    ALERT_TEST(who_was_told_of_the_beginning_is_told_of_the_end),
	    ALERT_TEST(
	        a_missed_objective_is_explained_by_who_should_do_the_work),
	    ALERT_TEST(leases_that_run_out_are_explained_by_a_crash_loop),
	    ALERT_TEST(a_cause_of_another_queue_explains_nothing),
	    ALERT_TEST(who_is_declared_later_is_told_once),
	    ALERT_TEST(
	        what_was_under_way_at_our_death_goes_again_as_the_same_message),
	    ALERT_TEST(what_was_taken_before_our_death_does_not_go_again),
	    ALERT_TEST(without_a_directory_it_all_works_in_memory),
	    ALERT_TEST(what_is_silenced_is_told_to_nobody),
	    ALERT_TEST(a_silence_outlives_the_operator_and_ends),
	    ALERT_TEST(the_first_silence_to_end_is_woken_for),
	    ALERT_TEST(what_waits_is_tried_by_the_next_operator_at_once),
	    ALERT_TEST(what_an_alert_says_outlives_the_operator),
	    ALERT_TEST(a_silence_says_what_and_why),
	    ALERT_TEST(the_default_receiver_is_our_own_log),
	    ALERT_TEST(
	        an_alert_that_is_too_long_is_told_without_what_makes_it_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
