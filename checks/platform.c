/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "checks/looks.h"
#include "checks/rows.h"
#include "manifests/settings_form.h"

/*
 * What is declared, against what can be had where we are: rights, limits,
 * priorities, processors, the container's cgroup. Judged by the rules that the
 * kernel goes by (setuid(2), setrlimit(2), setpriority(2), capabilities(7)); a
 * fact that wasn't seen refuses nothing.
 */
enum {
	HEX = 16,
	/* linux/capability.h */
	SETGID = 6,
	SETUID = 7,
	SETPCAP = 8,
	SYS_ADMIN = 21,
	SYS_NICE = 23,
	SYS_RESOURCE = 24,
	NICE_BASE = 20, /* RLIMIT_NICE n allows nice 20 - n */
};

/* One worker being judged. */
struct judging {
	struct check *check;
	const struct declared_worker *worker;
	const struct observation *seen;
	struct report_finding *finding;
	const char *first; /* what can't be had, in a sentence; NULL: nothing */
	size_t refused;
};

static const struct observation *
seen_platform(struct check *check)
{
	const struct observation *seen = check_observation(check, "platform");

	return seen != NULL && seen->result == RESULT_PASSED ? seen : NULL;
}

/* A number that was seen; `absent` where it wasn't. "unlimited" is the most. */
static uint64_t
seen_number(
    const struct observation *seen, const char *key, int base, uint64_t absent)
{
	const char *text = look_fact(seen, key);
	char *end = NULL;

	if (text == NULL || text[0] == '\0')
		return absent;
	if (text_equal(text, "unlimited"))
		return UINT64_MAX;
	uint64_t value = strtoull(text, &end, base);

	return *end == '\0' ? value : absent;
}

static int64_t
seen_signed(const struct observation *seen, const char *key, int64_t absent)
{
	int64_t value = absent;
	const char *text = look_fact(seen, key);

	if (text == NULL ||
	    text_i64(text, INT32_MIN, INT32_MAX, &value, NULL) == -1)
		return absent;
	return value;
}

static bool
may(const struct judging *judging, unsigned capability)
{
	return (seen_number(judging->seen, "capabilities", HEX, UINT64_MAX) >>
	               capability &
	           1) != 0;
}

static void
refuse(struct judging *judging, const char *key, const char *why)
{
	if (judging->first == NULL)
		judging->first = check_text(judging->check, "%s: %s", key, why);
	judging->refused++;
	check_evidence(judging->check, judging->finding, key, why, NULL);
}

/* --- RV325 setting-unavailable: the rules ----------------------------------
 */

static bool
is_among(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; at != NULL && *at != '\0';) {
		size_t span = strcspn(at, " ");
		if (span == len && memcmp(at, word, len) == 0)
			return true;
		at += span;
		at += *at == ' ';
	}
	return false;
}

/* Whom it is to run as is us, by number or by name. */
static bool
is_ours(const struct judging *judging, const struct declared_id *id,
    const char *number, const char *name)
{
	return id->text == NULL || look_fact(judging->seen, number) == NULL ||
	       text_equal(id->text, look_fact(judging->seen, number)) ||
	       text_equal(id->text, look_fact(judging->seen, name));
}

/* What a name stands for here: a number, "none", or NULL where that wasn't
 * seen. A number stands for itself. */
static const char *
number_here(const struct judging *judging, const struct declared_id *id,
    const char *what)
{
	int64_t number = 0;

	if (text_i64(id->text, 0, UINT32_MAX, &number, NULL) == 0)
		return id->text;
	return look_fact(
	    judging->seen, check_text(judging->check, "%s %s", what, id->text));
}

static void
judge_name(struct judging *judging, const struct declared_id *id,
    const char *key, const char *what)
{
	if (id->text != NULL &&
	    text_equal(number_here(judging, id, what), "none"))
		refuse(judging, key,
		    check_text(judging->check, "there is no %s '%s' here", what,
		        id->text));
}

static void
judge_names(struct judging *judging)
{
	const struct declared_security *security = &judging->worker->security;
	const char *uid = security->user.text == NULL
	                      ? look_fact(judging->seen, "uid")
	                      : number_here(judging, &security->user, "user");

	judge_name(
	    judging, &security->user, "securityContext.runAsUser", "user");
	judge_name(
	    judging, &security->group, "securityContext.runAsGroup", "group");
	for (size_t i = 0; i < security->ngroups; i++)
		judge_name(judging, &security->groups[i],
		    "securityContext.supplementalGroups", "group");
	if (security->non_root && text_equal(uid, "0"))
		refuse(judging, "securityContext.runAsNonRoot",
		    "it would run as user 0");
}

static void
judge_ids(struct judging *judging)
{
	const struct declared_security *security = &judging->worker->security;
	const char *uid = look_fact(judging->seen, "uid");

	if (!is_ours(judging, &security->user, "uid", "user") &&
	    !(may(judging, SETUID) && may(judging, SETGID)))
		refuse(judging, "securityContext.runAsUser",
		    check_text(judging->check,
		        "'%s' needs CAP_SETUID and CAP_SETGID; user %s hasn't both",
		        security->user.text, uid));
	if (!is_ours(judging, &security->group, "gid", "group") &&
	    !may(judging, SETGID))
		refuse(judging, "securityContext.runAsGroup",
		    check_text(judging->check,
		        "'%s' needs CAP_SETGID, which user %s hasn't",
		        security->group.text, uid));
	for (size_t i = 0; i < security->ngroups && !may(judging, SETGID); i++)
		if (!is_among(look_fact(judging->seen, "groups"),
		        security->groups[i].text))
			refuse(judging, "securityContext.supplementalGroups",
			    check_text(judging->check,
			        "'%s' needs CAP_SETGID, which user %s hasn't",
			        security->groups[i].text, uid));
}

static void
judge_capabilities(struct judging *judging)
{
	const struct declared_security *security = &judging->worker->security;
	uint64_t have =
	    seen_number(judging->seen, "capabilities", HEX, UINT64_MAX);
	uint64_t bounding =
	    seen_number(judging->seen, "capabilities-bounding", HEX, 0);

	if (!security->capabilities)
		return;
	for (unsigned i = 0; i < SETTINGS_CAPABILITIES; i++)
		if (security->cap_add != UINT64_MAX &&
		    (security->cap_add & ~have) >> i & 1)
			refuse(judging, "securityContext.capabilities.add",
			    check_text(judging->check,
			        "%s is none of those that we have",
			        settings_capabilities[i]));
	/* What may gain nothing by executing has nothing to drop. */
	if ((security->cap_drop & ~security->cap_add & bounding) != 0 &&
	    security->escalation && !may(judging, SETPCAP))
		refuse(judging, "securityContext.capabilities.drop",
		    "needs CAP_SETPCAP with allowPrivilegeEscalation");
}

static void
judge_limits(struct judging *judging)
{
	const struct declared_settings *settings = &judging->worker->settings;

	for (size_t i = 0; i < settings->nlimits; i++) {
		const struct declared_limit *limit = &settings->limits[i];
		const char *key =
		    check_text(judging->check, "limits.%s", limit->name);
		const char *seen = look_fact(judging->seen,
		    check_text(judging->check, "limit %s", limit->name));
		struct declared_limit have = {.hard = UINT64_MAX};
		uint64_t most = text_equal(limit->name, "nofile")
		                    ? seen_number(judging->seen, "nofile-most",
		                          10, UINT64_MAX)
		                    : UINT64_MAX;

		if (limit->hard > most)
			refuse(judging, key,
			    check_text(judging->check,
			        "more than the kernel gives anybody (%llu, "
			        "fs.nr_open)",
			        (unsigned long long)most));
		else if (seen != NULL && settings_limit(seen, false, &have) &&
		         limit->hard > have.hard && !may(judging, SYS_RESOURCE))
			refuse(judging, key,
			    check_text(judging->check,
			        "above our hard limit (%llu) needs "
			        "CAP_SYS_RESOURCE",
			        (unsigned long long)have.hard));
	}
}

/* RLIMIT_NICE lets anybody go down to 20 - its soft limit. */
static int64_t
least_nice(const struct judging *judging, int64_t now)
{
	struct declared_limit limit = {.soft = 0};
	const char *seen = look_fact(judging->seen, "limit nice");

	if (seen == NULL || !settings_limit(seen, false, &limit))
		return now;
	return MIN(now, limit.soft > (uint64_t)2 * NICE_BASE
	                    ? -NICE_BASE
	                    : NICE_BASE - (int64_t)limit.soft);
}

static void
judge_priorities(struct judging *judging)
{
	const struct declared_settings *settings = &judging->worker->settings;
	int64_t nice = seen_signed(judging->seen, "nice", INT64_MIN + 1);
	int64_t oom =
	    seen_signed(judging->seen, "oom-score-adj", INT64_MIN + 1);

	if (settings->nice != DECLARED_UNSET && !may(judging, SYS_NICE) &&
	    settings->nice < least_nice(judging, nice))
		refuse(judging, "nice",
		    check_text(judging->check,
		        "%lld is below ours (%lld), which needs CAP_SYS_NICE",
		        (long long)settings->nice, (long long)nice));
	if (settings->oom_score_adj != DECLARED_UNSET &&
	    settings->oom_score_adj < oom && !may(judging, SYS_RESOURCE))
		refuse(judging, "oomScoreAdj",
		    check_text(judging->check,
		        "%lld is below ours (%lld), which needs CAP_SYS_RESOURCE",
		        (long long)settings->oom_score_adj, (long long)oom));
	if (text_equal(settings->io_class, "realtime") &&
	    !may(judging, SYS_NICE) && !may(judging, SYS_ADMIN))
		refuse(judging, "ioPriority",
		    "'realtime' needs CAP_SYS_NICE or CAP_SYS_ADMIN");
}

static void
judge_cpus(struct judging *judging)
{
	const struct declared_settings *settings = &judging->worker->settings;
	const char *seen = look_fact(judging->seen, "cpus");
	uint64_t have[DECLARED_CPU_WORDS];

	if (!settings->has_cpus || seen == NULL || !settings_cpus(seen, have))
		return;
	for (unsigned i = 0; i < DECLARED_CPUS_MAX; i++)
		if ((settings->cpus[i / 64] & ~have[i / 64]) >> (i % 64) & 1) {
			refuse(judging, "cpus",
			    check_text(judging->check,
			        "CPU %u is none that we may run on (%s)", i,
			        seen));
			return;
		}
}

/* --- RV325: the row --------------------------------------------------------
 */

static bool
declares_settings(const struct declared_worker *worker)
{
	const struct declared_security *security = &worker->security;
	const struct declared_settings *settings = &worker->settings;

	return security->user.text != NULL || security->group.text != NULL ||
	       security->ngroups > 0 || security->non_root ||
	       security->capabilities || settings->nlimits > 0 ||
	       settings->nice != DECLARED_UNSET ||
	       settings->oom_score_adj != DECLARED_UNSET ||
	       settings->io_class != NULL || settings->has_cpus;
}

static const struct observed_worker *
supervised(struct check *check, const char *name)
{
	const struct observed_supervisor *all = &check->observed->supervisor;

	for (size_t i = 0; i < all->nworkers; i++)
		if (text_equal(all->workers[i].name, name))
			return &all->workers[i];
	return NULL;
}

static bool
runs(const struct observed_worker *worker)
{
	for (size_t i = 0; worker != NULL && i < worker->ninstances; i++)
		if (worker->instances[i].pid > 0 &&
		    !text_equal(worker->instances[i].state, "starting"))
			return true;
	return false;
}

static void
judge_settings(struct judging *judging)
{
	struct check *check = judging->check;

	judge_names(judging);
	judge_ids(judging);
	judge_capabilities(judging);
	judge_limits(judging);
	judge_priorities(judging);
	judge_cpus(judging);
	if (judging->refused == 0) {
		check_set(check, judging->finding, RESULT_PASSED,
		    "whoever starts it here may give it what is declared");
		return;
	}
	check_set(check, judging->finding, RESULT_FAILED, "%s%s",
	    judging->first,
	    judging->refused == 1
	        ? ""
	        : check_text(check, "; and %zu more", judging->refused - 1));
	check_evidence(check, judging->finding,
	    check_place(check, &judging->worker->place), "declared here", NULL);
	check_evidence_of(check, judging->finding, judging->seen, NULL);
	check_fix(check, judging->finding,
	    "start reeve with the right that is named (as root, or by the "
	    "container's capabilities and ulimits), add the user or group to the "
	    "image, or leave the setting out",
	    NULL, "reeve check");
}

void
check_rv325(struct check *check)
{
	const struct observation *seen = seen_platform(check);

	for (size_t w = 0; seen != NULL && w < check->declared->nworkers; w++) {
		const struct declared_worker *worker =
		    &check->declared->workers[w];
		const struct subject subject = {.worker = worker->name};

		if (!declares_settings(worker))
			continue;
		struct judging judging = {
		    check, worker, seen, check_begin(check, &subject), NULL, 0};

		if (judging.finding == NULL)
			continue;
		if (runs(supervised(check, worker->name)))
			check_set(check, judging.finding, RESULT_PASSED,
			    "it runs with what is declared");
		else
			judge_settings(&judging);
	}
}

/* --- RV326 room-too-small, RV511 oom-kills-all -----------------------------
 */

static int64_t
most_replicas(const struct declared_worker *worker)
{
	if (worker->schedule.text != NULL || worker->init)
		return 1;
	return worker->scale.queue != NULL ? worker->scale.max
	                                   : worker->replicas;
}

/* A process for each replica, without what these start themselves. */
static int64_t
most_workers(const struct declared *declared)
{
	int64_t sum = 0;

	for (size_t w = 0; w < declared->nworkers; w++)
		sum += most_replicas(&declared->workers[w]);
	return sum;
}

void
check_rv326(struct check *check)
{
	enum {
		OWN = 3
	}; /* the init, its operator, its logger */
	const struct observation *seen = seen_platform(check);
	const struct subject subject = {.other = "processes"};
	uint64_t most = seen_number(seen, "pids-max", 10, 0);
	uint64_t needed = (uint64_t)most_workers(check->declared) + OWN;

	if (most == 0 || check->declared->nworkers == 0)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	if (needed <= most) {
		check_set(check, finding, RESULT_PASSED,
		    "%llu processes at least, and pids.max is %s",
		    (unsigned long long)needed, look_fact(seen, "pids-max"));
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "at least %llu processes are needed, and pids.max is %llu",
	    (unsigned long long)needed, (unsigned long long)most);
	check_evidence_of(check, finding, seen, NULL);
	check_evidence(check, finding, "pids.max", look_fact(seen, "pids-max"),
	    check_text(check,
	        "%llu: a process for each replica (with `scale` of its `max`), "
	        "and %d of reeve's",
	        (unsigned long long)needed, OWN));
	check_fix(check, finding,
	    "raise the container's pids limit (with room for what the workers "
	    "start), or declare fewer replicas",
	    NULL, "reeve check");
}

void
check_rv511(struct check *check)
{
	const struct observation *seen = seen_platform(check);
	const struct subject subject = {.other = "memory.oom.group"};
	int64_t workers = most_workers(check->declared);

	if (look_fact(seen, "memory-oom-group") == NULL || workers < 2)
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	if (seen_number(seen, "memory-oom-group", 10, 0) == 0) {
		check_set(check, finding, RESULT_PASSED,
		    "the kernel ends one process, not the container");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "memory.oom.group is 1: when the container is out of memory, all "
	    "%lld workers end at once, and reeve with them",
	    (long long)workers);
	check_evidence_of(check, finding, seen, NULL);
	check_evidence(
	    check, finding, "memory.oom.group", "1", "0, or one worker");
	check_fix(check, finding,
	    "one worker a container, or singleProcessOOMKill: true in the "
	    "kubelet's configuration; limits of each worker where a cgroup "
	    "holds them (docs/limits.md)",
	    NULL, "reeve check");
}

/* --- RV503 runtime-memory-limit --------------------------------------------
 */

/* The declared limits that `missing` lists, for people; "" none. */
static const char *
limits_without(struct check *check, const struct declared_worker *worker,
    const char *missing)
{
	const struct {
		const char *kind;
		int64_t declared;
	} limits[] = {
	    {"memory", worker->memory_limit_bytes},
	    {"cpu", worker->cpu_limit_milli},
	    {"pids", worker->pids_limit},
	};
	const char *text = "";

	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		if (limits[i].declared > 0 && is_among(missing, limits[i].kind))
			text = check_text(check, "%s%sresources.limits.%s",
			    text, text[0] == '\0' ? "" : ", ", limits[i].kind);
	return text;
}

/* Before anything runs: what the cgroup that we are in lacks. */
static const char *
foresee_missing(
    struct check *check, const struct observation *seen, const char **ret_why)
{
	static const char *const kinds[] = {"memory", "cpu", "pids"};
	const char *have = look_fact(seen, "cgroup-controllers");
	const char *missing = "";

	*ret_why = look_fact(seen, "cgroup-why");
	if (*ret_why != NULL)
		return "memory cpu pids";
	*ret_why = "cgroup v2 has no such controller here";
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!is_among(have, kinds[i]))
			missing = check_text(check, "%s %s", missing, kinds[i]);
	return missing;
}

static void
judge_held(struct check *check, const struct declared_worker *worker)
{
	const struct observed_supervisor *supervisor =
	    &check->observed->supervisor;
	const struct observation *seen = seen_platform(check);
	const struct subject subject = {.worker = worker->name};
	bool asked = supervised(check, worker->name) != NULL;
	const char *why = supervisor->limits_why;

	if (limits_without(check, worker, "memory cpu pids")[0] == '\0' ||
	    (!asked && seen == NULL))
		return;
	struct report_finding *finding = check_begin(check, &subject);

	if (finding == NULL)
		return;
	const char *lost = limits_without(check, worker,
	    asked ? supervisor->limits_missing
	          : foresee_missing(check, seen, &why));

	if (lost[0] == '\0') {
		check_set(check, finding, RESULT_PASSED,
		    asked ? "no complaint of the supervisor"
		          : "the cgroup here could be divided");
		return;
	}
	check_set(check, finding, RESULT_FAILED, "%s: %s by a cgroup: %s", lost,
	    text_equal(lost, "resources.limits.memory") ? "watched, not held"
	                                                : "not held",
	    why);
	finding->confirmed = asked;
	check_fix(check, finding,
	    "give reeve a cgroup of its own, or each worker a container with "
	    "the limit (docs/limits.md)",
	    NULL, "reeve status --output json");
}

void
check_rv503(struct check *check)
{
	for (size_t w = 0; w < check->declared->nworkers; w++)
		judge_held(check, &check->declared->workers[w]);
}
