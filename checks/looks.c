/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "base/url.h"
#include "checks/looks.h"
#include "checks/names.h"

static enum look_family
family_of(const char *kind, bool queue)
{
	static const char *const databases[] = {
	    "postgres", "mysql", "pgtable", "mysqltable"};
	static const char *const local[] = {"command", "file", "sqlite"};

	for (size_t i = 0; kind != NULL && i < ARRAY_LEN(databases); i++)
		if (strcmp(kind, databases[i]) == 0)
			return FAMILY_DATABASE;
	if (queue || text_equal(kind, "redis"))
		return FAMILY_BROKER;
	for (size_t i = 0; kind != NULL && i < ARRAY_LEN(local); i++)
		if (strcmp(kind, local[i]) == 0)
			return FAMILY_LOCAL;
	if (text_equal(kind, "s3"))
		return FAMILY_OBJECTS;
	return FAMILY_SERVICE;
}

static void
look_at_env(struct check *check, look_fn *judge,
    const struct declared_worker *worker, const struct declared_env *env)
{
	struct look look = {
	    .of = LOOK_ENV,
	    .subject = {.worker = worker->name, .env = env->name},
	    .seen =
	        check_observation(check, "env %s %s", worker->name, env->name),
	    .required = true,
	};

	/* Not every variable is a place; who gathers decides. */
	if (env->shadowed || look.seen == NULL)
		return;
	look.kind = look.seen->kind;
	look.family = family_of(look.kind, false);
	judge(check, &look);
}

void
looks_each(struct check *check, look_fn *judge)
{
	const struct declared *declared = check->declared;

	for (size_t w = 0; w < declared->nworkers; w++)
		for (size_t i = 0; i < declared->workers[w].env.count; i++)
			look_at_env(check, judge, &declared->workers[w],
			    declared->workers[w].env.entries[i]);
	for (size_t q = 0; q < declared->nqueues; q++) {
		const struct declared_queue *queue = &declared->queues[q];
		const struct look look = {
		    .of = LOOK_QUEUE,
		    .family = family_of(queue->kind, true),
		    .subject = {.queue = queue->name},
		    .kind = queue->kind,
		    .seen = check_observation(check, "queue %s", queue->name),
		    .queue = queue,
		    .required = true,
		};

		judge(check, &look);
	}
	for (size_t c = 0; c < declared->nchecks; c++) {
		const struct declared_check *wanted = &declared->checks[c];
		const struct look look = {
		    .of = LOOK_CHECK,
		    .family = family_of(wanted->request.kind, false),
		    .subject = {.check = wanted->name},
		    .kind = wanted->request.kind,
		    .seen = check_observation(check, "check %s", wanted->name),
		    .check = wanted,
		    .required = wanted->required,
		};

		judge(check, &look);
	}
}

static const char *
endpoint_label(struct check *check, const char *target, enum look_label label)
{
	struct arena *arena = check->report->arena;
	struct url url;

	if (label == LOOK_LABEL_TARGET || strstr(target, "://") == NULL)
		return target;
	if (url_parse(arena, target, &url, NULL) == -1)
		return NULL;
	return label == LOOK_LABEL_HOST ? url.host
	                                : url_endpoint(arena, target);
}

static void
drop_labels(struct report_finding *finding, enum label_kind kind)
{
	struct label *labels = finding->labels;
	size_t kept = 0;

	for (size_t i = 0; i < finding->nlabels; i++)
		if (labels[i].kind != kind)
			labels[kept++] = labels[i];
	finding->nlabels = kept;
}

struct report_finding *
look_begin(struct check *check, const struct look *look, enum look_label label)
{
	struct report_finding *finding = check_begin(check, &look->subject);
	size_t last = check->report->nfindings - 1;

	/* Blocked ones too. */
	check->report->findings[last]->finding.required = look->required;
	if (finding == NULL)
		return NULL;
	/* Without a service that the work needs jobs are taken all the same:
	 * it says nothing of who consumes the queue. */
	if (look->of == LOOK_CHECK && look->family == FAMILY_SERVICE)
		drop_labels(finding, LABEL_QUEUE);
	if (look->seen != NULL && look->seen->target != NULL &&
	    look->seen->target[0] != '\0')
		report_label(check->report, finding, LABEL_ENDPOINT,
		    endpoint_label(check, look->seen->target, label));
	return finding;
}

static const char *
step_name(enum step_kind kind)
{
	switch (kind) {
	case STEP_DNS:
		return "DNS";
	case STEP_TCP:
		return "TCP";
	case STEP_TLS:
		return "TLS";
	case STEP_AUTH:
		return "login";
	case STEP_PROTOCOL:
		return "protocol";
	case STEP_QUERY:
		return "request";
	}
	UNREACHABLE("a step that is none");
}

/* "DNS ok, TCP ok, login failed": how far it got. */
static const char *
ladder_text(struct check *check, const struct observation *seen)
{
	const char *text = "";

	for (size_t i = 0; i < seen->nsteps; i++)
		text = check_text(check, "%s%s%s %s", text,
		    text[0] == '\0' ? "" : ", ", step_name(seen->steps[i].kind),
		    seen->steps[i].result == RESULT_PASSED
		        ? "ok"
		        : result_name(seen->steps[i].result));
	return text;
}

void
look_fail(struct check *check, struct report_finding *finding,
    const struct look *look, const char *expected)
{
	const struct observation *seen = look->seen;
	const struct place *place = look->check != NULL   ? &look->check->place
	                            : look->queue != NULL ? &look->queue->place
	                                                  : NULL;
	enum result result =
	    seen->result == RESULT_FAILED ? RESULT_FAILED : RESULT_UNKNOWN;

	check_set(check, finding, result, "%s", seen->summary);
	check_evidence_of(check, finding, seen, expected);
	if (seen->nsteps > 0)
		check_evidence(
		    check, finding, "ladder", ladder_text(check, seen), NULL);
	for (size_t i = 0; i < seen->nfacts; i++)
		if (!text_equal(seen->facts[i].key, "asked")) /* for the tool */
			check_evidence(check, finding, seen->facts[i].key,
			    seen->facts[i].value, NULL);
	if (look->of == LOOK_ENV) {
		const struct declared_worker *worker =
		    declared_worker_find(check->declared, look->subject.worker);
		const struct declared_env *env =
		    worker == NULL
		        ? NULL
		        : declared_env_find(&worker->env, look->subject.env);

		if (env != NULL)
			check_evidence(check, finding,
			    check_place(check, &env->place),
			    check_text(check, "%s comes from: %s", env->name,
			        env->source),
			    NULL);
	} else if (place != NULL && place->file != NULL) { /* not by its URL */
		check_evidence(check, finding, check_place(check, place),
		    "declared here", NULL);
	}
}

const char *
look_fact(const struct observation *seen, const char *key)
{
	for (size_t i = 0; seen != NULL && i < seen->nfacts; i++)
		if (text_equal(seen->facts[i].key, key))
			return seen->facts[i].value;
	return NULL;
}

bool
look_asks(const struct look *look, const char *key)
{
	char quoted[64];

	if (look->check == NULL || look->check->request.json == NULL ||
	    text_format(quoted, sizeof(quoted), NULL, "\"%s\":", key) == -1)
		return false;
	/* Within a string the quotes are escaped: this finds only keys. */
	return strstr(look->check->request.json, quoted) != NULL;
}
