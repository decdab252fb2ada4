/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/secret.h"
#include "tests/fuzz/fuzz.h"

/* The first line is a secret, what follows a text: the secret is not in what
 * the redactor lets through. */

enum {
	KNOWN_MIN = 6 /* base/secret.h */
};

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct arena arena;
	struct redactor *redactor = redactor_new();
	char *text = fuzz_text(bytes, len);
	char *end = memchr(text, '\n', len);

	assert(redactor != NULL);
	arena_init(&arena, FUZZ_ARENA_MAX);
	if (end != NULL) {
		*end = '\0';
		redactor_add(redactor, text);
		const char *clean = redactor_clean(redactor, &arena, end + 1);
		if (strlen(text) >= KNOWN_MIN && strchr(text, '*') == NULL)
			assert(strstr(clean, text) == NULL);
	}
	redactor_free(redactor);
	arena_wipe(&arena);
	free(text);
	return 0;
}
