/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/text.h"
#include "manifests/inputs.h"
#include "tests/fuzz/fuzz.h"

/* What the process that reads the manifest hands to the operator. What is
 * accepted says the same again when it is written. */

static void
write_again(struct inputs *inputs, struct arena *arena, struct buffer *out)
{
	struct buffer text;
	struct declared_source declared = {0};
	struct source source = {.declared = &declared};

	inputs_begin(out);
	if (inputs->whole) {
		buffer_init(&text, INPUTS_BYTES_MAX);
		buffer_append(&text, inputs->text, inputs->len);
		inputs_put_text(out, &text);
		buffer_fini(&text);
	} else {
		inputs_put_failure(out, &inputs->failed);
	}
	while (inputs_take_source(inputs, arena, &source))
		inputs_put_source(out, &source);
	inputs_end(out);
}

static void
assert_same(const struct inputs *a, const struct inputs *b)
{
	assert(a->whole == b->whole && a->count == b->count);
	for (size_t i = 0; i < a->count; i++) {
		assert(a->of[i].readable == b->of[i].readable);
		assert(a->sources[i].count == b->sources[i].count);
		for (size_t k = 0; k < a->sources[i].count; k++)
			assert(text_equal(a->sources[i].values[k].key,
			           b->sources[i].values[k].key) &&
			       text_equal(a->sources[i].values[k].value,
			           b->sources[i].values[k].value));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct inputs inputs, again;
	struct err err = ERR_INIT;
	struct arena arena;
	struct buffer out;
	char *text = fuzz_text(bytes, len);

	arena_init(&arena, FUZZ_ARENA_MAX);
	if (inputs_decode(text, len, &arena, &inputs, &err) == 0) {
		buffer_init(&out, INPUTS_BYTES_MAX);
		write_again(&inputs, &arena, &out);
		int rc = inputs_decode(out.data, out.len, &arena, &again, &err);
		assert(rc == 0);
		assert_same(&inputs, &again);
		buffer_fini(&out);
	} else {
		assert(err.kind == ERR_INPUT);
	}
	arena_fini(&arena);
	free(text);
	return 0;
}
