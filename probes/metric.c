/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <math.h>

#include "base/text.h"
#include "probes/http.h"
#include "probes/look.h"
#include "probes/prometheus.h"

/*
 * Kind "metric": {url, name, atLeast, base}: a counter of a Prometheus endpoint
 * that has risen by at least so much above `base`, which an earlier look gave
 * as the fact "value". Without a base nothing has risen yet. A counter that
 * fell was begun anew: what it rose by is unknown. Facts: value, series,
 * type (gauge).
 */
enum {
	STATUS_OK = 200
};

/* 0 and the value: there is no such series yet, as of a label that nothing was
 * counted for, is 0. */
static int
scrape(struct look *look, const char *url, const char *name,
    struct prometheus_sample *ret)
{
	struct http_request request = {.url = url,
	    .method = "GET",
	    .headers = {"Accept: text/plain;version=0.0.4"},
	    .nheaders = 1};
	struct http_answer answer;
	struct err err = ERR_INIT;
	int rc = -1;

	if (look_tls(look, &request.ca, &(const char *){NULL}) == -1)
		return -1;
	if (http_perform(&request, &look->ladder, &answer) == -1)
		look_ladder_failed(look);
	else if (answer.status != STATUS_OK)
		look_unknown(look, CAUSE_UNAVAILABLE,
		    arena_format(look->arena, "%ld", answer.status),
		    "%s answers %ld, not 200", look->out.target, answer.status);
	else if (prometheus_find(
	             answer.body.data, answer.body.len, name, ret, &err) == -1)
		look_unknown(look, CAUSE_WRONG_TYPE, "", "%s: %s",
		    look->out.target, err.text);
	else
		rc = 0;
	http_answer_fini(&answer);
	return rc;
}

static void
judge(struct look *look, const char *name,
    const struct prometheus_sample *sample, int64_t least)
{
	const char *text = NULL;
	double base = 0;

	if (look_text(look, "base", NULL, &text) == -1)
		return;
	if (text == NULL) {
		look_failed(look, CAUSE_MISMATCH, "base",
		    "%s is %g: it has to rise by %" PRId64, name, sample->value,
		    least);
		return;
	}
	if (!look_number(text, &base)) {
		look_unknown(look, CAUSE_INTERNAL, "",
		    "the request is wrong: 'base' is a number");
		return;
	}
	if (sample->value < base)
		look_unknown(look, CAUSE_MISMATCH, "reset",
		    "%s fell from %g to %g: it was begun anew, and what it "
		    "rose by can't be told",
		    name, base, sample->value);
	else if (sample->value - base >= (double)least)
		look_passed(
		    look, "%s rose from %g to %g", name, base, sample->value);
	else
		look_failed(look, CAUSE_MISMATCH, "",
		    "%s rose from %g to %g, not by %" PRId64, name, base,
		    sample->value, least);
}

void
probe_metric(struct look *look)
{
	const char *url = NULL;
	const char *name = NULL;
	int64_t least = 1;
	struct prometheus_sample sample;

	if (look_need(look, "url", &url) == -1 ||
	    look_need(look, "name", &name) == -1 ||
	    look_i64(look, "atLeast", 1, &least) == -1)
		return;
	look_url(look, url);
	name = look_canary(look, name, false);
	if (scrape(look, url, name, &sample) == -1)
		return;
	look_note(look, "series", "%zu", sample.series);
	if (sample.gauge) {
		look_note(look, "type", "gauge");
		look_failed(look, CAUSE_WRONG_TYPE, "gauge",
		    "%s is a gauge: only a counter says what was done", name);
		return;
	}
	if (!isfinite(sample.value)) {
		look_unknown(
		    look, CAUSE_MISMATCH, "", "%s is not a number", name);
		return;
	}
	look_note(look, "value", "%.17g", sample.value);
	judge(look, name, &sample, least);
}
