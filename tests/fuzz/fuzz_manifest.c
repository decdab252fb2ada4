/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "base/fd.h"
#include "base/secret.h"
#include "manifests/complaints.h"
#include "manifests/declared.h"
#include "tests/fuzz/fuzz.h"

/* reeve.yaml: the tree, and all that is resolved of it. No command runs. */

static size_t
walk(const struct node *node)
{
	size_t count = 0;

	for (; node != NULL; node = node->next) {
		if (node->kind == NODE_SCALAR)
			assert(strlen(node->text) == node->len);
		else
			count += walk(node->first);
		count++;
		assert(node->line > 0 && node->column > 0);
	}
	return count;
}

static void
load(const char *path)
{
	static const char *const environment[] = {
	    "PATH=/usr/bin:/bin", "HOME=/root", "A=$(B)", NULL};
	const struct declared_options options = {
	    .environ = environment, .no_commands = true};
	struct arena arena;
	struct declared *declared = NULL;
	struct manifest_errors errors = {.count = 0};
	struct err err = ERR_INIT;
	struct redactor *redactor = redactor_new();

	assert(redactor != NULL);
	arena_init(&arena, FUZZ_ARENA_MAX);
	int rc = declared_load(
	    path, &options, &arena, redactor, &declared, &errors, &err);
	assert((rc == 0) == (declared != NULL));
	assert(rc == 0 || errors.count > 0 || err.text[0] != '\0');
	for (size_t i = 0; i < errors.count; i++)
		(void)redactor_clean(redactor, &arena, errors.errors[i].text);
	if (declared != NULL) {
		for (size_t i = 0; i < declared->nworkers; i++)
			assert(declared_worker_find(declared,
			           declared->workers[i].name) != NULL);
		for (size_t i = 0; i < declared->nqueues; i++)
			assert(declared_queue_find(
			           declared, declared->queues[i].name) != NULL);
	}
	redactor_free(redactor);
	arena_wipe(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char path[64];
	struct arena arena;
	struct buffer text;
	struct complaints complaints;

	/* The strict reading is load()'s; a loose one shares nodes, so it is
	 * not walked: that could take exponential time. */
	arena_init(&arena, FUZZ_ARENA_MAX);
	buffer_init(&text, DOCUMENT_BYTES_MAX);
	buffer_append(&text, bytes, len);
	complaints_init(&complaints, &arena, "fuzz");
	struct node *top =
	    document_parse(&text, DOCUMENT_STRICT, &arena, &complaints);
	assert((top == NULL) == (complaints.count > 0));
	assert(walk(top) <= DOCUMENT_NODES_MAX);
	buffer_wipe(&text);
	arena_fini(&arena);
	if (top == NULL)
		return 0;
	int fd = fuzz_file(bytes, len, path, sizeof(path));
	load(path);
	fd_close(&fd);
	return 0;
}
