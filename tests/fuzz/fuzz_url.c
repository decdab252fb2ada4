/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "base/url.h"
#include "probes/queue/queue.h"
#include "tests/fuzz/fuzz.h"

/* URLs, and queues given as one. */

static void
use_redacted(struct arena *arena, const char *text)
{
	struct url url = {.port = -1};
	const char *redacted = url_redacted(arena, text);

	(void)url_redacted_text(arena, text);
	if (url_parse(arena, redacted, &url, NULL) == 0)
		assert(url.password == NULL || text_equal(url.password, "***"));
}

static void
use_queue(struct arena *arena, const char *text)
{
	struct queue_spec spec = {0};
	struct err err = ERR_INIT;

	(void)queue_is_url(text);
	if (queue_spec_from_url(arena, text, &spec, &err) == -1) {
		assert(err.kind != ERR_NONE && err.text[0] != '\0');
		return;
	}
	assert(queue_driver_find(spec.kind) != NULL && spec.url != NULL);
	for (size_t i = 0; i < spec.noptions; i++)
		assert(spec.options[i].key != NULL &&
		       spec.options[i].value != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char *const drop[] = {"list", "queue", "tls.ca", NULL};
	struct arena arena;
	struct url url = {.port = -1};
	struct err err = ERR_INIT;
	char *text = fuzz_text(bytes, len);

	arena_init(&arena, FUZZ_ARENA_MAX);
	if (url_parse(&arena, text, &url, &err) == 0) {
		assert(url.scheme != NULL && url.host != NULL);
		assert(url.path != NULL && url.port >= -1 && url.port <= 65535);
		struct url without = {.port = -1};
		const char *shorter = url_without(&arena, text, drop);
		int rc = url_parse(&arena, shorter, &without, &err);
		assert(rc == 0);
		assert(url_query(&without, "list") == NULL);
		assert(text_equal(without.password, url.password));
	} else {
		assert(err.kind != ERR_NONE && err.text[0] != '\0');
	}
	use_redacted(&arena, text);
	(void)url_encode(&arena, text);
	use_queue(&arena, text);
	arena_fini(&arena);
	free(text);
	return 0;
}
