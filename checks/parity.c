/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "base/text.h"
#include "checks/component.h"
#include "checks/engine.h"
#include "checks/parity.h"
#include "checks/synthetic.h"

/* The rows that judge the manifest itself judge what the descriptions amount
 * to; only what is missing on one side is judged here. */

struct parity {
	struct check check;
	const struct declared *declared; /* reeve.yaml's, or NULL */
	const struct foreign *foreign;
	enum foreign_format format;
	struct declared synthetic;
};

static void
run_rows(struct parity *parity)
{
	static const unsigned rows[] = {
	    102, 105, 122, 101, 103, 104, 106, 127, 128, 201};
	struct check *check = &parity->check;
	size_t first = check->report->nfindings;

	check->declared = &parity->synthetic;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		check->row = finding_row_number(rows[i]);
		check->row->run(check);
	}
	/* Secrets are rightly not in the repository: what can't be known for
	 * that reason doesn't make the run inconclusive. */
	for (size_t i = first; i < check->report->nfindings; i++) {
		struct finding *f = &check->report->findings[i]->finding;

		if (f->result == RESULT_UNKNOWN)
			f->required = false;
		if (f->fix_verify != NULL)
			f->fix_verify = "reeve lint";
	}
}

/* --- what is missing on one side: RV301, RV303, RV304 ----------------------
 */

static const struct foreign_component *
component_of(const struct parity *parity, const struct declared_worker *worker,
    enum foreign_format format)
{
	for (size_t c = 0; c < parity->foreign->ncomponents; c++) {
		const struct foreign_component *component =
		    &parity->foreign->components[c];

		if (component_is_of(component, format) &&
		    component_worker(parity->declared, component) == worker)
			return component;
	}
	return NULL;
}

/* `reeve run` with a manifest, as the container's command. */
static bool
runs_manifest(const struct foreign_component *component)
{
	const char *const *argv = component->command;

	if (argv == NULL || argv[0] == NULL || argv[1] == NULL)
		return false;
	const char *slash = strrchr(argv[0], '/');
	return text_equal(slash == NULL ? argv[0] : slash + 1, "reeve") &&
	       text_equal(argv[1], "run") &&
	       (argv[2] == NULL || !text_equal(argv[2], "--"));
}

/* Who starts all workers of the manifest there. */
static const struct foreign_component *
supervisor_of(const struct parity *parity, enum foreign_format format)
{
	for (size_t c = 0; c < parity->foreign->ncomponents; c++) {
		const struct foreign_component *component =
		    &parity->foreign->components[c];

		if (component_is_of(component, format) &&
		    runs_manifest(component))
			return component;
	}
	return NULL;
}

static size_t
count_components(const struct parity *parity, enum foreign_format format)
{
	size_t count = 0;

	for (size_t c = 0; c < parity->foreign->ncomponents; c++)
		count +=
		    component_is_of(&parity->foreign->components[c], format);
	return count;
}

static const char *
format_name(enum foreign_format format)
{
	return format == FOREIGN_KUBERNETES ? "Kubernetes" : "Compose";
}

static const char *
first_file(const struct parity *parity, enum foreign_format format)
{
	for (size_t c = 0; c < parity->foreign->ncomponents; c++)
		if (parity->foreign->components[c].format == format)
			return parity->foreign->components[c].place.file;
	return format_name(format);
}

static void
say_elsewhere(struct parity *parity, struct report_finding *finding,
    const struct declared_worker *worker)
{
	enum foreign_format other = parity->format == FOREIGN_COMPOSE
	                                ? FOREIGN_KUBERNETES
	                                : FOREIGN_COMPOSE;
	const struct foreign_component *component =
	    component_of(parity, worker, other);

	if (component != NULL)
		check_evidence(&parity->check, finding,
		    check_place(&parity->check, &component->place),
		    check_text(&parity->check, "%s has it, as %s '%s'",
		        format_name(other), component->kind, component->name),
		    NULL);
}

static void
judge_deployed(struct parity *parity, const struct declared_worker *worker)
{
	struct check *check = &parity->check;
	const struct foreign_component *component =
	    component_of(parity, worker, parity->format);
	const struct subject subject = {
	    .other = check_text(check, "worker %s in %s", worker->name,
	        format_name(parity->format)),
	};
	struct report_finding *finding =
	    report_add(check->report, 301, &subject);

	report_label(check->report, finding, LABEL_WORKER, worker->name);
	if (component != NULL) {
		check_set(check, finding, RESULT_PASSED, "%s '%s' (%s)",
		    component->kind, component->name,
		    check_place(check, &component->place));
		return;
	}
	component = supervisor_of(parity, parity->format);
	if (component != NULL) {
		check_set(check, finding, RESULT_PASSED,
		    "%s '%s' runs reeve, which starts it (%s)", component->kind,
		    component->name, check_place(check, &component->place));
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "worker '%s' is declared, and %s never starts it", worker->name,
	    format_name(parity->format));
	check_evidence(check, finding, check_place(check, &worker->place),
	    check_text(check, "worker %s, %lld replicas", worker->name,
	        (long long)worker->replicas),
	    NULL);
	say_elsewhere(parity, finding, worker);
	check_evidence(check, finding, first_file(parity, parity->format),
	    check_text(check, "0 of %zu containers are it",
	        count_components(parity, parity->format)),
	    "one");
	check_fix(check, finding,
	    check_text(check, "describe it there: %s for worker %s",
	        parity->format == FOREIGN_KUBERNETES ? "a Deployment"
	                                             : "a service",
	        worker->name),
	    NULL, "reeve lint");
}

static void
judge_replicas(struct parity *parity, const struct declared_worker *worker)
{
	struct check *check = &parity->check;
	const struct foreign_component *component =
	    component_of(parity, worker, parity->format);

	if (component == NULL || component->replicas < 0 ||
	    component->format != FOREIGN_KUBERNETES)
		return;
	const struct subject subject = {
	    .other = check_text(check, "worker %s in %s", worker->name,
	        format_name(parity->format)),
	};
	struct report_finding *finding =
	    report_add(check->report, 304, &subject);

	report_label(check->report, finding, LABEL_WORKER, worker->name);
	if (component->replicas >= worker->replicas) {
		check_set(check, finding, RESULT_PASSED, "%lld",
		    (long long)component->replicas);
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "%lld replicas there, %lld declared",
	    (long long)component->replicas, (long long)worker->replicas);
	check_evidence(check, finding,
	    check_place(check, component->replicas_place.line == 0
	                           ? &component->place
	                           : &component->replicas_place),
	    check_text(check, "replicas: %lld", (long long)component->replicas),
	    check_text(check, "%lld (%s)", (long long)worker->replicas,
	        check_place(check, &worker->place)));
	check_fix(
	    check, finding, "make the two numbers one", NULL, "reeve lint");
}

static bool
has_counterpart(
    const struct parity *parity, const struct foreign_component *service)
{
	const struct declared_worker *worker =
	    component_worker(parity->declared, service);

	for (size_t c = 0; c < parity->foreign->ncomponents; c++) {
		const struct foreign_component *other =
		    &parity->foreign->components[c];

		if (!component_is_of(other, FOREIGN_KUBERNETES))
			continue;
		if (worker != NULL
		        ? component_worker(parity->declared, other) == worker
		        : component_has_name(other, service->name))
			return true;
	}
	return false;
}

static void
judge_service(struct parity *parity, const struct foreign_component *service)
{
	struct check *check = &parity->check;
	const struct subject subject = {
	    .other = check_text(check, "service %s", service->name),
	};
	const struct declared_worker *worker =
	    component_worker(parity->declared, service);
	struct report_finding *finding =
	    report_add(check->report, 303, &subject);

	if (worker != NULL)
		report_label(
		    check->report, finding, LABEL_WORKER, worker->name);
	if (has_counterpart(parity, service)) {
		check_set(check, finding, RESULT_PASSED, "in both");
		return;
	}
	check_set(check, finding, RESULT_FAILED,
	    "Compose starts '%s', Kubernetes does not", service->name);
	check_evidence(check, finding, check_place(check, &service->place),
	    check_text(check, "service %s", service->name), NULL);
	check_evidence(check, finding, first_file(parity, FOREIGN_KUBERNETES),
	    check_text(check, "0 of %zu containers are it",
	        count_components(parity, FOREIGN_KUBERNETES)),
	    "one");
	check_fix(check, finding,
	    "describe it there too, or take it out of Compose", NULL,
	    "reeve lint");
}

static void
judge_presence(struct parity *parity)
{
	const struct declared *declared = parity->declared;
	const struct foreign *foreign = parity->foreign;

	/* Where the cluster's own description is given, Compose is not where
	 * the workers are meant to run. */
	if (parity->format == FOREIGN_KUBERNETES ||
	    count_components(parity, FOREIGN_KUBERNETES) == 0)
		for (size_t w = 0; declared != NULL && w < declared->nworkers;
		     w++) {
			/* elsewhere these aren't components of their own */
			if (declared->workers[w].init ||
			    declared->workers[w].schedule.text != NULL)
				continue;
			judge_deployed(parity, &declared->workers[w]);
			judge_replicas(parity, &declared->workers[w]);
		}
	if (parity->format != FOREIGN_COMPOSE ||
	    count_components(parity, FOREIGN_KUBERNETES) == 0)
		return;
	for (size_t c = 0; c < foreign->ncomponents; c++)
		if (component_is_of(&foreign->components[c], parity->format) &&
		    !component_is_infrastructure(&foreign->components[c]))
			judge_service(parity, &foreign->components[c]);
}

void
parity_run(const struct declared *declared, const struct foreign *foreign,
    struct report *report)
{
	static const enum foreign_format formats[] = {
	    FOREIGN_KUBERNETES, FOREIGN_COMPOSE};
	const struct observed nothing = {.arena = report->arena};

	report->stages_run |= STAGE_LINT;
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		struct parity parity = {
		    .check =
		        {
		            .observed = &nothing,
		            .report = report,
		            .stages = STAGE_LINT,
		        },
		    .declared = declared,
		    .foreign = foreign,
		    .format = formats[i],
		};

		fingerprint_key_random(&parity.check.key);
		if (count_components(&parity, formats[i]) == 0)
			continue;
		synthetic_make(&parity.check, declared, foreign, formats[i],
		    &parity.synthetic);
		judge_presence(&parity);
		run_rows(&parity);
	}
}
