/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "probes/inspection.h"
#include "probes/processes.h"

enum {
	STRANGERS_MAX = 64,
	ANCESTORS_MAX = 64,
};

static bool
is_ours(const struct inspection *inspection, const struct seen *seen)
{
	return pids_have(&inspection->workers, seen->session) ||
	       pids_have(&inspection->workers, seen->pid);
}

static bool
under_a_supervisor(const struct inspection *inspection, const struct seen *seen)
{
	seen = inspect_find(inspection, seen->parent);
	for (int i = 0; i < ANCESTORS_MAX && seen != NULL; i++) {
		if (seen->init || seen->pid == inspection->init)
			return true;
		seen = inspect_find(inspection, seen->parent);
	}
	return false;
}

/* The same file or folder, as each of them sees it. */
static bool
same_link(int64_t a, int64_t b, const char *name)
{
	char path[INSPECT_PATH_SIZE];
	struct stat one, two;

	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/%s", a, name);
	if (stat(path, &one) == -1)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/%s", b, name);
	return stat(path, &two) == 0 && one.st_dev == two.st_dev &&
	       one.st_ino == two.st_ino;
}

static bool
same_as_a_worker(const struct inspection *inspection, int64_t pid)
{
	for (size_t i = 0; i < inspection->workers.count; i++) {
		int64_t one = inspection->workers.all[i];
		if (same_link(one, pid, "exe") && same_link(one, pid, "cwd"))
			return true;
	}
	return false;
}

static void
tell_stranger(struct inspection *inspection, int64_t pid, const char *worker,
    const char *command)
{
	if (inspection->told++ >= STRANGERS_MAX)
		return;
	jsonw_object(inspection->json, NULL);
	jsonw_i64(inspection->json, "pid", pid);
	jsonw_text(inspection->json, "worker", worker);
	jsonw_text(inspection->json, "command", command);
	jsonw_end(inspection->json);
}

static void
tell_children(struct inspection *inspection, struct buffer *text)
{
	for (size_t i = 0; i < inspection->count; i++) {
		const struct seen *one = &inspection->all[i];
		if (one->parent != inspection->init || one->zombie ||
		    one->own || pids_have(&inspection->known, one->pid) ||
		    pids_have(&inspection->known, one->session) ||
		    is_ours(inspection, one))
			continue;
		/* Its name only: arguments may hold anything. */
		if (inspect_read_file(one->pid, "comm", text) == 0 &&
		    text->len > 0)
			tell_stranger(inspection, one->pid, "",
			    arena_bytes(&inspection->arena, text->data,
			        strcspn(text->data, "\n")));
	}
}

static int
take_commands(struct inspection *inspection, struct processes_command **ret,
    size_t *ret_count)
{
	const cJSON *commands = NULL;
	const cJSON *command = NULL;
	const cJSON *item = NULL;
	const cJSON *word = NULL;
	size_t count = 0;

	if (json_array(inspection->request, "commands", &commands, NULL) == -1)
		return -1;
	struct processes_command *list = arena_array(&inspection->arena,
	    (size_t)cJSON_GetArraySize(commands) + 1, sizeof(*list));
	cJSON_ArrayForEach(item, commands)
	{
		size_t n = 0;
		if (json_text(item, "name", "", &list[count].worker, NULL) ==
		        -1 ||
		    json_array(item, "command", &command, NULL) == -1)
			return -1;
		const char **argv = arena_array(&inspection->arena,
		    (size_t)cJSON_GetArraySize(command) + 1, sizeof(*argv));
		cJSON_ArrayForEach(word, command)
		{
			if (json_item_text(word, &argv[n++], NULL) == -1)
				return -1;
		}
		list[count++].argv = argv;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

int
inspect_tell_strangers(
    struct inspection *inspection, struct buffer *text, struct err *err)
{
	struct processes_command *commands = NULL;
	struct processes_found found = {.count = 0};
	size_t count = 0;

	if (take_commands(inspection, &commands, &count) == -1)
		return err_set(err, ERR_INPUT, "commands: wrong");
	if (processes_find_others(commands, count, &inspection->workers,
	        &inspection->arena, &found, err) == -1)
		return -1;
	jsonw_array(inspection->json, "strangers");
	tell_children(inspection, text);
	for (size_t i = 0; i < found.count; i++) {
		const struct seen *one =
		    inspect_find(inspection, found.all[i].pid);
		if (one != NULL && found.all[i].exact &&
		    !is_ours(inspection, one) &&
		    !under_a_supervisor(inspection, one) &&
		    same_as_a_worker(inspection, one->pid))
			tell_stranger(inspection, one->pid, found.all[i].worker,
			    found.all[i].command);
	}
	jsonw_end(inspection->json);
	jsonw_text(inspection->json, "scope", found.scope);
	jsonw_bool(inspection->json, "whole", found.searched == RESULT_PASSED);
	return 0;
}
