/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "manifests/dotenv.h"
#include "manifests/expand.h"
#include "tests/fuzz/fuzz.h"

/* NAME=value files, and the references within values. */

static bool
look_up(void *arg, const char *name, size_t len, struct buffer *out)
{
	size_t *wanted = arg;

	(*wanted)++;
	if (len == 0 || name[0] == 'x')
		return false;
	buffer_append(out, name, len);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct arena arena;
	struct dotenv_entry *entries = NULL;
	size_t count = 0, wanted = 0;
	struct buffer out;
	struct err err = ERR_INIT;
	char *text = fuzz_text(bytes, len);

	arena_init(&arena, FUZZ_ARENA_MAX);
	buffer_init(&out, FUZZ_ARENA_MAX);
	if (dotenv_parse(text, len, &arena, &entries, &count, &err) == 0)
		for (size_t i = 0; i < count; i++) {
			assert(strlen(entries[i].value) == entries[i].len);
			assert(entries[i].name[0] != '\0');
			assert(strchr(entries[i].name, '=') == NULL);
		}
	else
		assert(err.text[0] != '\0');
	expand(&out, text, len, look_up, &wanted);
	assert(!out.overflow && out.len <= len);
	ptrdiff_t at = expand_sql_quoted(text, "$(CANARY)");
	assert(at >= -1 && (at == -1 || (size_t)at < len));
	buffer_fini(&out);
	arena_fini(&arena);
	free(text);
	return 0;
}
