/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "base/text.h"
#include "probes/http.h"
#include "probes/look.h"
#include "probes/supervisor.h"

enum {
	CANDIDATES_MAX = 8,
	WORKERS_MAX = 10000,
	INSTANCES_MAX = 10000,
	UNIX_LIST_BYTES = 8 << 20,
	STATUS_OK = 200,
	STATUS_UNAUTHORIZED = 401,
	STATUS_FORBIDDEN = 403
};
#define OPERATOR_SOCKET "operator.sock"
#define STATUS_PATH     "/status"

/* "2026-11-22T02:18:00.123Z" as unix milliseconds; 0: not such a time. */
static int64_t
time_parse(const char *text)
{
	struct tm tm = {.tm_isdst = 0};
	char *end = NULL;

	end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (end == NULL)
		return 0;
	int64_t ms = (int64_t)timegm(&tm) * 1000;
	int64_t fraction = 0;
	int64_t scale = 100;
	if (*end == '.')
		for (end++; *end >= '0' && *end <= '9'; end++, scale /= 10)
			fraction += (*end - '0') * scale;
	return text_equal(end, "Z") ? ms + fraction : 0;
}

static const char *
text_or_empty(struct arena *arena, const cJSON *object, const char *key)
{
	const char *text = "";

	/* a fact that is told otherwise is a fact that we don't know */
	(void)!json_text(object, key, "", &text, NULL);
	return arena_text(arena, text);
}

static int64_t
time_of(const cJSON *object, const char *key)
{
	const char *text = NULL;
	int64_t ms = 0;

	if (json_i64(object, key, 0, &ms, NULL) == 0)
		return ms;
	if (json_text(object, key, NULL, &text, NULL) == 0 && text != NULL)
		return time_parse(text);
	return 0;
}

static int
parse_instances(struct arena *arena, const cJSON *worker,
    struct observed_worker *ret, struct err *err)
{
	const cJSON *all = NULL;
	const cJSON *item = NULL;

	if (json_array(worker, "instances", &all, err) == -1)
		return -1;
	int count = cJSON_GetArraySize(all);
	if (count > INSTANCES_MAX)
		return err_set(err, ERR_INPUT, "too many instances");
	ret->instances =
	    arena_array(arena, (size_t)count + 1, sizeof(*ret->instances));
	cJSON_ArrayForEach(item, all)
	{
		struct observed_instance *one =
		    &ret->instances[ret->ninstances++];
		if (!cJSON_IsObject(item))
			return err_set(
			    err, ERR_INPUT, "'instances' holds no object");
		if (json_i64(item, "index", 0, &one->index, err) == -1 ||
		    json_i64(item, "pid", -1, &one->pid, err) == -1 ||
		    json_bool(item, "ready", false, &one->ready, err) == -1 ||
		    json_i64(item, "restarts", 0, &one->restarts, err) == -1)
			return err_wrap(err, "'instances'");
		one->state = text_or_empty(arena, item, "state");
		one->started_wall_ms = time_of(item, "started_at");
		one->config_digest =
		    text_or_empty(arena, item, "config_digest");
		one->last_exit = text_or_empty(arena, item, "last_exit");
	}
	return 0;
}

static int
parse_workers(struct arena *arena, const cJSON *json,
    struct observed_supervisor *ret, struct err *err)
{
	const cJSON *all = NULL;
	const cJSON *item = NULL;

	if (json_array(json, "workers", &all, err) == -1)
		return -1;
	if (all == NULL)
		return err_set(err, ERR_INPUT, "it tells of no 'workers'");
	int count = cJSON_GetArraySize(all);
	if (count > WORKERS_MAX)
		return err_set(err, ERR_INPUT, "too many workers");
	ret->workers =
	    arena_array(arena, (size_t)count + 1, sizeof(*ret->workers));
	cJSON_ArrayForEach(item, all)
	{
		struct observed_worker *one = &ret->workers[ret->nworkers++];
		if (!cJSON_IsObject(item))
			return err_set(
			    err, ERR_INPUT, "'workers' holds no object");
		one->name = text_or_empty(arena, item, "name");
		if (json_i64(item, "desired", 0, &one->desired, err) == -1 ||
		    json_i64(item, "ready", 0, &one->ready, err) == -1 ||
		    parse_instances(arena, item, one, err) == -1)
			return err_wrap(err, "'workers'");
	}
	return 0;
}

static int
parse_drift(struct arena *arena, const cJSON *json,
    struct observed_supervisor *ret, struct err *err)
{
	const cJSON *all = NULL;
	const cJSON *item = NULL;

	if (json_array(json, "drift", &all, err) == -1)
		return -1;
	int count = cJSON_GetArraySize(all);
	if (count > WORKERS_MAX)
		return err_set(err, ERR_INPUT, "too much drift");
	ret->drift = arena_array(arena, (size_t)count + 1, sizeof(*ret->drift));
	cJSON_ArrayForEach(item, all)
	{
		struct observed_drift *one = &ret->drift[ret->ndrift++];
		if (!cJSON_IsObject(item))
			return err_set(
			    err, ERR_INPUT, "'drift' holds no object");
		one->worker = text_or_empty(arena, item, "worker");
		one->class = text_or_empty(arena, item, "class");
		one->key = text_or_empty(arena, item, "key");
		one->summary = text_or_empty(arena, item, "summary");
		one->evidence = text_or_empty(arena, item, "evidence");
	}
	return 0;
}

int
supervisor_parse(const char *text, size_t len, struct arena *arena,
    struct observed_supervisor *ret, struct err *err)
{
	CLEANUP(json_free) cJSON *json = json_read(text, len, err);
	struct observed_supervisor sup = {.reached = RESULT_PASSED, .why = ""};
	const cJSON *head = NULL;
	const char *schema = NULL;

	if (json == NULL)
		return -1;
	if (!cJSON_IsObject(json) ||
	    json_text(json, "schema", "", &schema, err) == -1 ||
	    !text_equal(schema, "reeve.status/1"))
		return err_set(
		    err, ERR_INPUT, "the answer is no reeve.status/1");
	if (json_object(json, "operator", &head, err) == -1 ||
	    parse_workers(arena, json, &sup, err) == -1 ||
	    parse_drift(arena, json, &sup, err) == -1)
		return -1;
	sup.name = text_or_empty(arena, json, "name");
	sup.operator_state =
	    head == NULL ? "" : text_or_empty(arena, head, "state");
	*ret = sup;
	return 0;
}

/* One place where it may listen. */
struct candidate {
	const char *path; /* "@name": abstract */
	bool abstract;
};

/* Another uid's abstract socket can be seen, and its own check of who may ask
 * is its business. */
static void
listening_abstract(
    struct look *look, const char *name, struct candidate *all, size_t *count)
{
	struct buffer list;
	const char *prefix = arena_format(look->arena, " @reeve/%s/", name);

	buffer_init(&list, UNIX_LIST_BYTES);
	int fd = open("/proc/net/unix", O_RDONLY | O_CLOEXEC);
	if (fd != -1 && buffer_read_all(&list, fd, NULL) == 0 && list.len > 0)
		for (const char *at = strstr(list.data, prefix);
		     at != NULL && *count < CANDIDATES_MAX;
		     at = strstr(at + 1, prefix)) {
			const char *path = arena_bytes(
			    look->arena, at + 1, strcspn(at + 1, " \n"));
			if (text_ends(path, "/" OPERATOR_SOCKET))
				all[(*count)++] =
				    (struct candidate){path, true};
		}
	fd_close(&fd);
	buffer_fini(&list);
}

static size_t
candidates(struct look *look, const char *name, struct candidate *all)
{
	const char *given = getenv("REEVE_SOCKET");
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	size_t count = 0;

	if (given != NULL && given[0] != '\0') {
		all[count++].path =
		    arena_format(look->arena, "%s/" OPERATOR_SOCKET, given);
		return count;
	}
	all[count++].path =
	    arena_format(look->arena, "/run/reeve/%s/" OPERATOR_SOCKET, name);
	if (runtime != NULL && runtime[0] != '\0')
		all[count++].path = arena_format(
		    look->arena, "%s/reeve/%s/" OPERATOR_SOCKET, runtime, name);
	listening_abstract(look, name, all, &count);
	return count;
}

static void
answer(struct look *look, struct observed_supervisor *sup)
{
	size_t instances = 0;

	for (size_t i = 0; i < sup->nworkers; i++)
		instances += sup->workers[i].ninstances;
	look->out.supervisor = sup;
	look_passed(look, "supervisor %s answers: %zu workers, %zu instances",
	    sup->name, sup->nworkers, instances);
}

/* Asks one place. */
static void
ask(struct look *look, const char *url, const char *unix_path)
{
	struct http_request request = {
	    .url = url, .method = "GET", .unix_path = unix_path};
	struct http_answer got = {.status = 0};
	struct err err = ERR_INIT;
	struct observed_supervisor *sup =
	    arena_alloc(look->arena, sizeof(*sup));

	const char *server_name = NULL;

	if (look_tls(look, &request.ca, &server_name) == -1)
		return;
	if (http_perform(&request, &look->ladder, &got) == -1)
		/* whatever it was: nobody told us that nothing runs */
		look_unknown(look, look->ladder.cause, look->ladder.code, "%s",
		    look->ladder.summary);
	else if (got.status != STATUS_OK)
		look_unknown(look,
		    got.status == STATUS_UNAUTHORIZED ||
		            got.status == STATUS_FORBIDDEN
		        ? CAUSE_PERMISSION
		        : CAUSE_MISMATCH,
		    arena_format(look->arena, "%ld", got.status),
		    "the supervisor's status answers %ld", got.status);
	else if (supervisor_parse(got.body.len > 0 ? got.body.data : "",
	             got.body.len, look->arena, sup, &err) == -1)
		look_unknown(look, CAUSE_MISMATCH, "",
		    "the supervisor's status can't be read: %s", err.text);
	else
		answer(look, sup);
	http_answer_fini(&got);
}

/* FAILED only when there is nobody to ask anywhere. */
static void
not_there(struct look *look, const struct candidate *all, size_t count)
{
	struct observed_supervisor *sup =
	    arena_alloc(look->arena, sizeof(*sup));
	const char *where = "";

	for (size_t i = 0; i < count; i++)
		where = arena_format(look->arena, "%s%s%s", where,
		    i == 0 ? "" : ", ", all[i].path);
	look_failed(look, CAUSE_NOT_FOUND, "ENOENT",
	    "no supervisor listens here: there is no %s", where);
	*sup = (struct observed_supervisor){.reached = RESULT_FAILED,
	    .why = look->out.summary,
	    .name = "",
	    .operator_state = ""};
	look->out.supervisor = sup;
}

static void
find(struct look *look, const char *name)
{
	struct candidate all[CANDIDATES_MAX] = {{.path = NULL}};
	size_t count = candidates(look, name, all);
	struct stat st;

	for (size_t i = 0; i < count; i++) {
		if (!all[i].abstract && stat(all[i].path, &st) == -1) {
			if (errno == ENOENT || errno == ENOTDIR)
				continue;
			look->out.target = all[i].path;
			look_unknown(look, CAUSE_PERMISSION, "", "%s: %s",
			    all[i].path, strerror(errno));
			return;
		}
		look->out.target = all[i].path;
		ask(look, "http://localhost" STATUS_PATH, all[i].path);
		return;
	}
	not_there(look, all, count);
}

void
probe_supervisor(struct look *look)
{
	const char *name = NULL;
	const char *status = NULL;

	if (look_text(look, "name", "", &name) == -1 ||
	    look_text(look, "status", NULL, &status) == -1)
		return;
	if (status == NULL) {
		find(look, name);
		return;
	}
	look_url(look, status);
	const char *rest = strstr(status, "://");
	if (rest == NULL || text_starts(status, "unix:")) {
		const char *path = text_starts(status, "unix://") ? status + 7
		                   : text_starts(status, "unix:") ? status + 5
		                                                  : status;
		ask(look, "http://localhost" STATUS_PATH, path);
		return;
	}
	/* a bare host is asked for its status */
	if (rest[3 + strcspn(rest + 3, "/?#")] == '\0')
		status = arena_format(look->arena, "%s" STATUS_PATH, status);
	ask(look, status, NULL);
}
