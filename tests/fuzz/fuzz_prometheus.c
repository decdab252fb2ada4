/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "probes/prometheus.h"
#include "tests/fuzz/fuzz.h"

/* A metric's name up to the first newline, then what an endpoint answers. */

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const uint8_t *end = len == 0 ? NULL : memchr(bytes, '\n', len);
	size_t named = end == NULL ? len : (size_t)(end - bytes);
	size_t rest = end == NULL ? 0 : len - named - 1;
	struct prometheus_sample sample;
	struct err err = ERR_INIT;
	/* of their exact sizes, so that a step beyond is seen */
	char *wanted = calloc(1, named + 1);
	char *text = malloc(rest > 0 ? rest : 1);

	assert(wanted != NULL && text != NULL);
	if (named > 0)
		memcpy(wanted, bytes, named);
	if (rest > 0)
		memcpy(text, end + 1, rest);
	if (prometheus_find(text, rest, wanted, &sample, &err) == -1)
		assert(err.kind == ERR_INPUT && err.text[0] != '\0');
	free(text);
	free(wanted);
	return 0;
}
