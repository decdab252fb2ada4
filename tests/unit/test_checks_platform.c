/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "checks/engine.h"
#include "tests/unit/manifest_try.h"

/* RV325 and RV503: each rule by which a declared setting can't be had, and the
 * right with which it can. Capabilities are hexadecimal, as in /proc. */
enum {
	TEXT_SIZE = 1024
};

static const char *
judge(struct try *try, const char *worker, const struct fact *facts,
    const char *slug)
{
	struct report report;
	struct observed observed;
	char text[TEXT_SIZE];
	size_t nfacts = 0;

	(void)snprintf(text, sizeof(text),
	    TRY_HEAD
	    "workers:\n  - name: w\n    command: [/bin/true]\n    %s\n",
	    worker);
	try_load(try, text, NULL);
	try_good(try);
	while (facts[nfacts].key != NULL)
		nfacts++;
	observed_init(&observed, &try->arena);
	struct observation seen = {.kind = "platform",
	    .subject = "platform",
	    .target = "",
	    .result = RESULT_PASSED,
	    .summary = "looked",
	    .facts = (struct fact *)(uintptr_t)facts,
	    .nfacts = nfacts};

	observed.observations = &seen;
	observed.nobservations = 1;
	report_init(&report, &try->arena, "check", "test");
	checks_run(try->declared, &observed, STAGE_CHECK, &report);
	for (size_t i = 0; i < report.nfindings; i++)
		if (text_equal(report.findings[i]->row->slug, slug))
			return report.findings[i]->finding.result ==
			               RESULT_FAILED
			           ? report.findings[i]->finding.summary
			           : "";
	return NULL;
}

struct rule {
	const char *worker; /* in YAML */
	struct fact facts[4];
	const char *refused; /* what the finding begins with; "" it passes */
};

#define NO_RIGHTS                   \
	{                           \
		"capabilities", "0" \
	}

static const struct rule rules[] = {
    {"securityContext: {runAsUser: 5}", {{"uid", "7"}, NO_RIGHTS},
        "securityContext.runAsUser: '5'"},
    {"securityContext: {runAsUser: 5}", {{"uid", "5"}, NO_RIGHTS}, ""},
    {"securityContext: {runAsUser: app}",
        {{"uid", "5"}, {"user", "app"}, NO_RIGHTS}, ""},
    {"securityContext: {runAsUser: 5}", {{"uid", "0"}, {"capabilities", "c0"}},
        ""},
    {"securityContext: {runAsUser: 5}", {{"uid", "0"}, {"capabilities", "80"}},
        "securityContext.runAsUser: '5'"},
    {"securityContext: {runAsGroup: 5}", {{"gid", "7"}, NO_RIGHTS},
        "securityContext.runAsGroup: '5'"},
    {"securityContext: {runAsGroup: 5}", {{"gid", "7"}, {"capabilities", "40"}},
        ""},
    {"securityContext: {supplementalGroups: [27]}",
        {{"groups", "2 bin 7"}, NO_RIGHTS},
        "securityContext.supplementalGroups: '27'"},
    {"securityContext: {supplementalGroups: [27]}",
        {{"groups", "2 bin 27"}, NO_RIGHTS}, ""},
    {"securityContext: {runAsUser: app}", {{"uid", "0"}, {"user app", "none"}},
        "securityContext.runAsUser: there is no user 'app' here"},
    {"securityContext: {runAsUser: app}", {{"uid", "0"}, {"user app", "5"}},
        ""},
    {"securityContext: {runAsGroup: app}", {{"group app", "none"}},
        "securityContext.runAsGroup: there is no group 'app' here"},
    {"securityContext: {supplementalGroups: [27, app]}",
        {{"group app", "none"}},
        "securityContext.supplementalGroups: there is no group 'app' here"},
    {"securityContext: {runAsNonRoot: true}", {{"uid", "0"}},
        "securityContext.runAsNonRoot: it would run as user 0"},
    {"securityContext: {runAsNonRoot: true, runAsUser: toor}",
        {{"uid", "5"}, {"user", "app"}, {"user toor", "0"}},
        "securityContext.runAsNonRoot: it would run as user 0"},
    {"securityContext: {runAsNonRoot: true, runAsUser: app}",
        {{"uid", "0"}, {"user app", "5"}}, ""},
    {"securityContext: {runAsNonRoot: true, runAsUser: 0}", {{"uid", "5"}},
        "securityContext.runAsNonRoot: it would run as user 0"},
    {"securityContext: {runAsNonRoot: true}", {{"uid", "5"}}, ""},
    {"securityContext: {capabilities: {add: [SYS_NICE]}}",
        {{"capabilities", "400000"}},
        "securityContext.capabilities.add: SYS_NICE"},
    {"securityContext: {capabilities: {add: [SYS_NICE]}}",
        {{"capabilities", "800000"}}, ""},
    {"securityContext: {capabilities: {add: [ALL]}}", {NO_RIGHTS}, ""},
    {"securityContext: {allowPrivilegeEscalation: true, capabilities: "
     "{drop: [ALL]}}",
        {NO_RIGHTS, {"capabilities-bounding", "ff"}},
        "securityContext.capabilities.drop: "},
    {"securityContext: {capabilities: {drop: [ALL]}}",
        {NO_RIGHTS, {"capabilities-bounding", "ff"}}, ""},
    {"limits: {nofile: \"10:20\"}", {{"limit nofile", "5:19"}, NO_RIGHTS},
        "limits.nofile: above our hard limit (19)"},
    {"limits: {nofile: \"10:20\"}", {{"limit nofile", "5:20"}, NO_RIGHTS}, ""},
    {"limits: {nofile: \"10:20\"}",
        {{"limit nofile", "5:19"}, {"capabilities", "1000000"}}, ""},
    {"limits: {nofile: \"10:20\"}",
        {{"nofile-most", "19"}, {"capabilities", "1ffffffffff"}},
        "limits.nofile: more than the kernel gives"},
    {"limits: {memlock: unlimited}", {{"limit memlock", "5:19"}, NO_RIGHTS},
        "limits.memlock: "},
    {"nice: -1", {{"nice", "0"}, {"limit nice", "0:0"}, NO_RIGHTS},
        "nice: -1 is below ours (0)"},
    {"nice: -1", {{"nice", "0"}, {"limit nice", "21:21"}, NO_RIGHTS}, ""},
    {"nice: -1", {{"nice", "0"}, {"capabilities", "800000"}}, ""},
    {"nice: 3", {{"nice", "4"}, NO_RIGHTS}, "nice: 3 is below ours (4)"},
    {"nice: 4", {{"nice", "4"}, NO_RIGHTS}, ""},
    {"oomScoreAdj: -5", {{"oom-score-adj", "0"}, NO_RIGHTS},
        "oomScoreAdj: -5 is below ours (0)"},
    {"oomScoreAdj: -5", {{"oom-score-adj", "0"}, {"capabilities", "1000000"}},
        ""},
    {"ioPriority: {class: realtime}", {NO_RIGHTS}, "ioPriority: "},
    {"ioPriority: {class: realtime}", {{"capabilities", "200000"}}, ""},
    {"ioPriority: {class: idle}", {NO_RIGHTS}, ""},
    {"cpus: \"0,2\"", {{"cpus", "0-1,3-3"}, NO_RIGHTS},
        "cpus: CPU 2 is none that we may run on (0-1,3-3)"},
    {"cpus: \"0,2\"", {{"cpus", "0-2"}, NO_RIGHTS}, ""},
    /* what wasn't seen refuses nothing */
    {"nice: -1", {{"uid", "5"}}, ""},
};

static void
a_setting_needs_its_right(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		struct try try;

		try_begin(&try);
		const char *said = judge(&try, rules[i].worker, rules[i].facts,
		    "setting-unavailable");

		if (said == NULL || !text_starts(said, rules[i].refused) ||
		    (rules[i].refused[0] == '\0' && said[0] != '\0'))
			fail_msg("rule %zu, %s: %s", i, rules[i].worker,
			    said == NULL ? "not judged" : said);
		try_end(&try);
	}
}

static const struct rule limits[] = {
    {"resources: {limits: {cpu: 500m}}",
        {{"cgroup-controllers", "memory pids"}}, "resources.limits.cpu: not"},
    {"resources: {limits: {cpu: 500m}}", {{"cgroup-controllers", "cpu"}}, ""},
    {"resources: {limits: {memory: 1Gi, pids: 5}}",
        {{"cgroup-controllers", "cpu memory pids"}, {"cgroup-why", "it is ro"}},
        "resources.limits.memory, resources.limits.pids: not held by a "
        "cgroup: it is ro"},
    {"resources: {limits: {memory: 1Gi}}", {{"cgroup-controllers", "pids"}},
        "resources.limits.memory: watched, not held"},
};

static void
a_limit_needs_a_cgroup_that_can_hold_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct try try;

		try_begin(&try);
		const char *said = judge(&try, limits[i].worker,
		    limits[i].facts, "runtime-memory-limit");

		if (said == NULL || !text_starts(said, limits[i].refused) ||
		    (limits[i].refused[0] == '\0' && said[0] != '\0'))
			fail_msg("limit %zu: %s", i,
			    said == NULL ? "not judged" : said);
		try_end(&try);
	}
}

static void
what_declares_nothing_is_not_judged(void **state)
{
	const struct fact facts[] = {NO_RIGHTS, {NULL, NULL}};
	struct try try;

	(void)state;
	try_begin(&try);
	assert_null(judge(&try, "replicas: 2", facts, "setting-unavailable"));
	assert_null(judge(&try, "replicas: 2", facts, "runtime-memory-limit"));
	try_end(&try);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_setting_needs_its_right),
	    cmocka_unit_test(a_limit_needs_a_cgroup_that_can_hold_it),
	    cmocka_unit_test(what_declares_nothing_is_not_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
