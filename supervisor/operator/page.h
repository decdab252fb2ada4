/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_PAGE_H
#define REEVE_SUPERVISOR_OPERATOR_PAGE_H

#include "base/base.h"
#include "base/buffer.h"

struct operator_core;

/*
 * The page for people, at `/` of the status server: made here whole, so that it
 * reads without JavaScript; a script then asks for the sections that have
 * changed. Both come from the same functions.
 */
enum {
	PAGE_SECTIONS = 6
};

typedef void page_section_fn(struct operator_core *op, struct buffer *out);
struct page_section {
	const char *id, *title;
	page_section_fn *write;
};

/* --- page_sections.c, page_workers.c, page_queues.c --- */
page_section_fn page_summary, page_alerts, page_queues, page_workers,
    page_drift, page_events;
/* A word with a sign before it, so that its colour is never alone. `tone` is
 * "good", "bad", "warn" or "unknown". */
void page_badge(struct buffer *out, const char *tone, const char *word);
/* Where nothing is listed: none is declared, or that isn't known. */
void page_none(const struct operator_core *op, struct buffer *out);
/* As RFC 3339; the script says how long ago that was. 0: "never". */
void page_time(struct buffer *out, int64_t wall_ms);

/* --- page.c --- */
void page_write(struct operator_core *op, struct buffer *out);
/* reeve.page/1: the sections as HTML, and nothing that changes by itself. */
void page_write_json(struct operator_core *op, struct buffer *out);

enum {
	PAGE_POLICY_MAX = 512
};
/* Its Content-Security-Policy: its own style and script, by their hashes, and
 * nothing else. */
int page_policy(char dst[PAGE_POLICY_MAX]) MUST_CHECK;

/* Made from page/ at build time. */
extern const char page_html[], page_css[], page_js[];

#endif
