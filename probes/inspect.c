/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "probes/inspect.h"
#include "probes/inspection.h"

enum {
	REQUEST_MAX = 16 << 20,
	ANSWER_MAX = 16 << 20,
	ARENA_MAX = 256 << 20,
	PROC_MAX = 4 << 20,
};

int
inspect_read_file(int64_t pid, const char *name, struct buffer *out)
{
	char path[INSPECT_PATH_SIZE];
	struct err err = ERR_INIT;

	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/%s", pid, name);
	buffer_clear(out);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	int rc = buffer_read_all(out, fd, &err);
	int saved = errno;
	fd_close(&fd);
	errno = saved;
	return rc;
}

/* Behind the name, which may hold anything. */
static bool
read_seen(int64_t pid, struct buffer *text, struct seen *ret)
{
	char state = '\0';
	struct seen seen = {.pid = pid};

	if (inspect_read_file(pid, "stat", text) == -1 || text->len == 0)
		return false;
	const char *open = strchr(text->data, '(');
	const char *close = strrchr(text->data, ')');
	if (open == NULL || close == NULL ||
	    /* NOLINTNEXTLINE(cert-err34-c): the kernel's own format */
	    sscanf(close + 1, " %c %" SCNd64 " %*d %" SCNd64, &state,
	        &seen.parent, &seen.session) != 3)
		return false;
	/* The init's own children, by the names that it gives them: what they
	 * execute may not be seen. */
	seen.own =
	    text_starts(open + 1, "reeve") || text_starts(open + 1, "guard)");
	seen.init = seen.own && close - open == 6;
	seen.zombie = state == 'Z' || state == 'X';
	*ret = seen;
	return true;
}

static int
by_pid(const void *a, const void *b)
{
	const struct seen *x = a;
	const struct seen *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static int
look_around(struct inspection *inspection, struct err *err)
{
	size_t room = 1024;
	DIR *proc = opendir("/proc");
	struct buffer text;

	if (proc == NULL)
		return err_sys(err, "open '/proc'");
	buffer_init(&text, PROC_MAX);
	struct seen *all = reallocarray(NULL, room, sizeof(*all));

	for (struct dirent *entry = readdir(proc); entry != NULL && all != NULL;
	     entry = readdir(proc)) {
		struct seen *next = &all[inspection->count];
		int64_t pid = 0;
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    text_i64(entry->d_name, 1, INT32_MAX, &pid, NULL) == -1)
			continue;
		/* Of the workers, which may be thousands, it is known. */
		if (pids_have(&inspection->workers, pid))
			*next = (struct seen){.pid = pid,
			    .parent = inspection->init,
			    .session = pid};
		else if (!read_seen(pid, &text, next))
			continue;
		if (++inspection->count < room)
			continue;
		room *= 2;
		struct seen *more = reallocarray(all, room, sizeof(*more));
		if (more == NULL)
			free(all);
		all = more;
	}
	buffer_fini(&text);
	(void)closedir(proc);
	if (all == NULL)
		return err_set(err, ERR_SYSTEM, "no memory");
	qsort(all, inspection->count, sizeof(*all), by_pid);
	inspection->all = all;
	return 0;
}

const struct seen *
inspect_find(const struct inspection *inspection, int64_t pid)
{
	const struct seen wanted = {.pid = pid};

	return bsearch(&wanted, inspection->all, inspection->count,
	    sizeof(wanted), by_pid);
}

/* "Uid:\t1000\t1000\t…": the effective one; -1 unknown. */
static int64_t
status_id(const struct buffer *status, const char *key)
{
	const char *at = status->len == 0 ? NULL : strstr(status->data, key);
	int64_t real = -1;
	int64_t effective = -1;

	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own format */
	if (at == NULL || sscanf(at + strlen(key), " %" SCNd64 " %" SCNd64,
	                      &real, &effective) != 2)
		return -1;
	return effective;
}

static void
tell_target(
    struct inspection *inspection, const cJSON *target, struct buffer *text)
{
	bool with_limits = false;
	int64_t pid = 0;

	if (json_i64(target, "pid", 0, &pid, NULL) == -1 || pid <= 0 ||
	    json_bool(target, "limits", false, &with_limits, NULL) == -1 ||
	    inspect_read_file(pid, "status", text) == -1)
		return; /* it ended meanwhile */
	int64_t uid = status_id(text, "\nUid:");
	int64_t gid = status_id(text, "\nGid:");

	jsonw_object(inspection->json, NULL);
	jsonw_i64(inspection->json, "pid", pid);
	jsonw_i64(inspection->json, "uid", uid);
	jsonw_i64(inspection->json, "gid", gid);
	if (with_limits)
		inspect_tell_limits(inspection, pid, text);
	inspect_tell_environ(inspection, target, pid, uid, gid, text);
	inspect_tell_peers(inspection, target, pid);
	jsonw_end(inspection->json);
	/* the next one overwrites it; the last is wiped by the caller */
	if (text->len > 0)
		explicit_bzero(text->data, text->len);
}

static int
take_key(struct inspection *inspection, struct err *err)
{
	const char *hex = NULL;

	if (json_text(inspection->request, "key", "", &hex, err) == -1 ||
	    json_i64(inspection->request, "init", 0, &inspection->init, err) ==
	        -1)
		return -1;
	if (strlen(hex) != INSPECT_HEX_SIZE - 1)
		return err_set(err, ERR_INPUT, "key: wrong");
	for (size_t i = 0; i < sizeof(inspection->key.bytes); i++) {
		char byte[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
		inspection->key.bytes[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return 0;
}

static int
answer(struct inspection *inspection, struct err *err)
{
	const cJSON *targets = NULL;
	const cJSON *item = NULL;
	struct buffer text;

	if (take_key(inspection, err) == -1 ||
	    pids_read(&inspection->arena, inspection->request, "workers",
	        &inspection->workers, err) == -1 ||
	    pids_read(&inspection->arena, inspection->request, "known",
	        &inspection->known, err) == -1 ||
	    json_array(inspection->request, "targets", &targets, err) == -1 ||
	    look_around(inspection, err) == -1)
		return -1;
	buffer_init(&text, PROC_MAX);
	jsonw_object(inspection->json, NULL);
	jsonw_array(inspection->json, "targets");
	cJSON_ArrayForEach(item, targets) tell_target(inspection, item, &text);
	jsonw_end(inspection->json);
	int rc = inspect_tell_strangers(inspection, &text, err);

	jsonw_end(inspection->json);
	buffer_wipe(&text);
	free(inspection->all);
	free(inspection->peers);
	return rc;
}

int
inspect_serve(int in, int out, struct err *err)
{
	struct buffer request, reply;
	struct jsonw json;
	int rc = -1;

	/* We hold the init's key, and may act as the worker's user. */
	(void)prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L);
	buffer_init(&request, REQUEST_MAX);
	buffer_init(&reply, ANSWER_MAX);
	jsonw_init(&json, &reply, false);
	struct inspection inspection = {.json = &json};

	arena_init(&inspection.arena, ARENA_MAX);
	if (buffer_read_all(&request, in, err) == 0) {
		CLEANUP(json_free)
		cJSON *parsed = json_read(request.data, request.len, err);
		inspection.request = parsed;
		if (parsed != NULL && answer(&inspection, err) == 0)
			rc = reply.overflow ? err_set(err, ERR_CAPACITY,
			                          "the answer is too long")
			                    : 0;
	}
	buffer_text(&reply, "\n");
	if (rc == 0)
		rc = fd_write_all(out, reply.data, reply.len, err);
	buffer_wipe(&request);
	buffer_fini(&reply);
	arena_wipe(&inspection.arena);
	return rc;
}
