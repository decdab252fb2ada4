/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/clock.h"
#include "base/jsonw.h"
#include "checks/report.h"

/* reeve.report/1 (product.md): unknown is null; fields may be added, and never
 * change their meaning. */

static void
put_time(struct jsonw *json, const char *key, int64_t wall_ms)
{
	char text[CLOCK_TEXT_SIZE];

	jsonw_text(json, key, wall_ms > 0 ? clock_text(wall_ms, text) : NULL);
}

static void
put_target(struct jsonw *json, const struct report *report)
{
	jsonw_object(json, "target");
	jsonw_text(json, "name", report->name);
	jsonw_text(json, "file", report->file);
	jsonw_text(json, "digest", report->digest);
	jsonw_array(json, "identities");
	for (size_t i = 0; i < report->ntargets; i++) {
		const struct report_target *target = &report->targets[i];
		bool known =
		    target->identity != NULL && target->identity[0] != '\0';

		jsonw_object(json, NULL);
		jsonw_text(json, "what", target->what);
		jsonw_text(json, "target", target->target);
		jsonw_text(json, "identity", known ? target->identity : NULL);
		jsonw_end(json);
	}
	jsonw_end(json);
	jsonw_end(json);
}

static void
put_coverage(struct jsonw *json, const struct report_coverage *c)
{
	jsonw_object(json, "coverage");
	jsonw_i64(json, "checks", (int64_t)c->checks);
	jsonw_i64(json, "passed", (int64_t)c->passed);
	jsonw_i64(json, "failed", (int64_t)c->failed);
	jsonw_i64(json, "unknown", (int64_t)c->unknown);
	jsonw_i64(json, "blocked", (int64_t)c->blocked);
	jsonw_i64(json, "skipped", (int64_t)c->skipped);
	jsonw_i64(json, "waived", (int64_t)c->waived);
	jsonw_i64(json, "workers", (int64_t)c->workers);
	jsonw_i64(json, "queues", (int64_t)c->queues);
	jsonw_i64(json, "stages_declared", (int64_t)c->stages_declared);
	jsonw_i64(json, "stages_reached", (int64_t)c->stages_reached);
	jsonw_end(json);
}

static void
put_evidence(struct jsonw *json, const struct evidence *e)
{
	jsonw_object(json, NULL);
	jsonw_text(json, "source", e->source);
	put_time(json, "at", e->at_wall_ms);
	jsonw_text(json, "observed", e->observed);
	jsonw_text(json, "expected", e->expected);
	jsonw_text(json, "scope", e->scope);
	jsonw_end(json);
}

static void
put_explains(
    struct jsonw *json, const struct report *report, const struct finding *f)
{
	jsonw_array(json, "explains");
	for (size_t i = 0; i < f->nexplains; i++) {
		const struct finding *s =
		    &report->findings[f->explains[i]]->finding;

		jsonw_object(json, NULL);
		jsonw_text(json, "id", s->id);
		jsonw_text(json, "subject", s->subject);
		jsonw_end(json);
	}
	jsonw_end(json);
}

static void
put_fix(struct jsonw *json, const struct finding *f)
{
	if (f->fix == NULL) {
		jsonw_null(json, "fix");
		return;
	}
	jsonw_object(json, "fix");
	jsonw_text(json, "text", f->fix);
	jsonw_text(json, "command", f->fix_command);
	jsonw_text(json, "patch", f->fix_patch);
	jsonw_text(json, "verify", f->fix_verify);
	jsonw_end(json);
}

static void
put_finding(
    struct jsonw *json, const struct report *report, const struct finding *f)
{
	jsonw_object(json, NULL);
	jsonw_text(json, "id", f->id);
	jsonw_text(json, "slug", f->slug);
	jsonw_text(json, "result", result_name(f->result));
	jsonw_text(json, "severity", severity_name(f->severity));
	jsonw_text(
	    json, "role", f->role == ROLE_NONE ? NULL : role_name(f->role));
	jsonw_text(json, "subject", f->subject);
	jsonw_text(json, "summary", f->summary);
	jsonw_bool(json, "required", f->required);
	jsonw_array(json, "evidence");
	for (size_t i = 0; i < f->nevidence; i++)
		put_evidence(json, &f->evidence[i]);
	jsonw_end(json);
	put_explains(json, report, f);
	jsonw_text(json, "impact", f->writes ? "rw" : "ro");
	jsonw_i64(json, "elapsed_ms", f->elapsed_ms);
	put_fix(json, f);
	jsonw_text(json, "waiver", f->waiver);
	jsonw_end(json);
}

/* Failed ones first, as people read them; then the others as judged. */
static void
put_findings(struct jsonw *json, const struct report *report)
{
	jsonw_array(json, "findings");
	for (size_t i = 0; i < report->nranked; i++)
		put_finding(json, report,
		    &report->findings[report->ranked[i]]->finding);
	for (size_t i = 0; i < report->nfindings; i++)
		if (report->findings[i]->finding.result != RESULT_FAILED)
			put_finding(
			    json, report, &report->findings[i]->finding);
	jsonw_end(json);
}

void
report_json(const struct report *report, const struct report_style *style,
    struct buffer *out)
{
	struct jsonw json;
	int64_t explained = 0;

	(void)style;
	for (size_t i = 0; i < report->nranked; i++)
		explained +=
		    report->findings[report->ranked[i]]->finding.role ==
		    ROLE_EXPLAINED;
	jsonw_init(&json, out, true);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.report/1");
	jsonw_text(&json, "command", report->command);
	jsonw_text(&json, "verdict", verdict_name(report->verdict));
	jsonw_i64(&json, "exit", report->exit);
	jsonw_bool(&json, "deadline_hit", report->deadline_hit);
	put_target(&json, report);
	jsonw_text(&json, "vantage", report->vantage);
	jsonw_text(&json, "version", report->version);
	put_time(&json, "started", report->started_wall_ms);
	put_time(&json, "finished", report->finished_wall_ms);
	put_coverage(&json, &report->coverage);
	jsonw_i64(&json, "explained", explained);
	jsonw_array(&json, "queues");
	for (size_t i = 0; i < report->nqueues; i++) {
		jsonw_object(&json, NULL);
		jsonw_text(&json, "name", report->queues[i].name);
		jsonw_text(&json, "state", report->queues[i].text);
		jsonw_end(&json);
	}
	jsonw_end(&json);
	put_findings(&json, report);
	jsonw_array(&json, "not_checked");
	for (size_t i = 0; i < report->nnot_checked; i++)
		jsonw_text(&json, NULL, report->not_checked[i]);
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_text(out, "\n");
}
