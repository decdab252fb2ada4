/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/fd.h"
#include "base/secret.h"
#include "manifests/foreign.h"
#include "tests/fuzz/fuzz.h"

/* Kubernetes objects and Compose files. */

/* So that no reading is optimised away. */
static volatile size_t sink;

static size_t
use(const struct foreign *foreign)
{
	size_t bytes = 0;

	for (size_t i = 0; i < foreign->ncomponents; i++) {
		const struct foreign_component *c = &foreign->components[i];
		bytes += strlen(c->kind) + strlen(c->name);
		assert(foreign_component_find(foreign, c->name) != NULL);
		for (size_t j = 0; c->command != NULL && c->command[j] != NULL;
		     j++)
			bytes += strlen(c->command[j]);
		for (size_t j = 0; j < c->nmissing; j++)
			bytes += strlen(c->missing[j]);
	}
	for (size_t i = 0; i < foreign->nsources; i++)
		for (size_t j = 0; j < foreign->sources[i].nkeys; j++)
			bytes += strlen(foreign->sources[i].keys[j].name);
	for (size_t i = 0; i < foreign->nskipped; i++)
		bytes += strlen(foreign->skipped[i]);
	return bytes;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char path[64];
	struct arena arena;
	struct foreign foreign = {0};
	struct manifest_errors errors = {.count = 0};
	enum foreign_format format = FOREIGN_UNKNOWN;
	struct err err = ERR_INIT;
	struct redactor *redactor = redactor_new();
	int fd = fuzz_file(bytes, len, path, sizeof(path));

	assert(redactor != NULL);
	arena_init(&arena, FUZZ_ARENA_MAX);
	if (foreign_format(path, &format, &errors, &arena, &err) == 0) {
		int rc = foreign_read(
		    path, &foreign, &arena, redactor, &errors, &err);
		assert(rc == 0 || errors.count > 0 || err.text[0] != '\0');
		foreign_resolve(&foreign, &arena, redactor);
		sink += use(&foreign);
	}
	redactor_free(redactor);
	arena_wipe(&arena);
	fd_close(&fd);
	return 0;
}
