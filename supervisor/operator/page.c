/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <openssl/evp.h>

#include "base/err.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "supervisor/operator/html.h"
#include "supervisor/operator/operator.h"
#include "supervisor/operator/page.h"

enum {
	SECTION_MAX = 16 << 20,
	HASH_TEXT = 64,
};

static const struct page_section sections[PAGE_SECTIONS] = {
    {"summary", NULL, page_summary},
    {"alerts", "Alerts", page_alerts},
    {"queues", "Queues", page_queues},
    {"workers", "Workers", page_workers},
    {"drift", "Drift", page_drift},
    {"events", "Events", page_events},
};

static void
write_main(struct operator_core *op, struct buffer *out)
{
	for (size_t i = 0; i < PAGE_SECTIONS; i++) {
		const struct page_section *one = &sections[i];
		if (one->title == NULL)
			HTML(out, "<section aria-label=\"Summary\">", NULL);
		else
			HTML(out,
			    "<section aria-labelledby=\"title-{}\"><h2 "
			    "id=\"title-{}\">{}</h2>",
			    one->id, one->id, one->title);
		HTML(out, "<div id=\"{}\">", one->id);
		one->write(op, out);
		buffer_text(out, "</div></section>\n");
	}
}

/* The page with each "<!--word-->" in it filled in. */
void
page_write(struct operator_core *op, struct buffer *out)
{
	const char *at = page_html;
	const char *mark;

	while ((mark = strstr(at, "<!--")) != NULL) {
		buffer_append(out, at, (size_t)(mark - at));
		at = strstr(mark, "-->") + 3;
		if (text_starts(mark, "<!--name"))
			html_text(out, op->name);
		else if (text_starts(mark, "<!--style"))
			buffer_text(out, page_css);
		else if (text_starts(mark, "<!--script"))
			buffer_text(out, page_js);
		else if (text_starts(mark, "<!--main"))
			write_main(op, out);
	}
	buffer_text(out, at);
}

void
page_write_json(struct operator_core *op, struct buffer *out)
{
	struct jsonw json;

	jsonw_init(&json, out, false);
	jsonw_object(&json, NULL);
	jsonw_text(&json, "schema", "reeve.page/1");
	jsonw_text(&json, "name", op->name);
	jsonw_object(&json, "sections");
	for (size_t i = 0; i < PAGE_SECTIONS; i++) {
		struct buffer part;
		buffer_init(&part, SECTION_MAX);
		sections[i].write(op, &part);
		jsonw_text(&json, sections[i].id,
		    part.overflow ? "<p>too long to show</p>" : part.data);
		buffer_fini(&part);
	}
	jsonw_end(&json);
	jsonw_end(&json);
	buffer_text(out, "\n");
}

static int
hash_of(const char *text, char dst[HASH_TEXT])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (EVP_Digest(text, strlen(text), hash, &len, EVP_sha256(), NULL) != 1)
		return -1;
	(void)EVP_EncodeBlock((unsigned char *)dst, hash, (int)len);
	return 0;
}

int
page_policy(char dst[PAGE_POLICY_MAX])
{
	char style[HASH_TEXT], script[HASH_TEXT];

	if (hash_of(page_css, style) == -1 || hash_of(page_js, script) == -1)
		return -1;
	return text_format(dst, PAGE_POLICY_MAX, NULL,
	    "default-src 'none'; style-src 'sha256-%s'; "
	    "script-src 'sha256-%s'; connect-src 'self'; img-src data:; "
	    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	    style, script);
}
