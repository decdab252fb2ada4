/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "base/text.h"
#include "probes/http.h"
#include "probes/look.h"
#include "probes/supervisor.h"

enum {
	WORKERS_MAX = 10000,
	INSTANCES_MAX = 10000,
	STATUS_OK = 200,
	STATUS_UNAUTHORIZED = 401,
	STATUS_FORBIDDEN = 403
};
#define STATUS_PATH "/status"

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
		one->waits_for = text_or_empty(arena, item, "waits_for");
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
		one->held = text_or_empty(arena, item, "held");
		one->under_way = text_or_empty(arena, item, "under_way");
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

/* Which kinds of limits no cgroup holds, and why. */
static void
parse_limits(
    struct arena *arena, const cJSON *json, struct observed_supervisor *ret)
{
	static const char *const kinds[] = {"memory", "cpu", "pids"};
	const cJSON *init = cJSON_GetObjectItemCaseSensitive(json, "init");
	const cJSON *cgroup = cJSON_GetObjectItemCaseSensitive(init, "cgroup");

	ret->limits_missing = ret->limits_why = "";
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (cJSON_IsFalse(
		        cJSON_GetObjectItemCaseSensitive(cgroup, kinds[i])))
			ret->limits_missing =
			    arena_format(arena, "%s%s%s", ret->limits_missing,
			        ret->limits_missing[0] == '\0' ? "" : " ",
			        kinds[i]);
	if (ret->limits_missing[0] != '\0')
		ret->limits_why = text_or_empty(arena, cgroup, "why");
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
	parse_limits(arena, json, &sup);
	sup.manifest_digest =
	    head == NULL ? "" : text_or_empty(arena, head, "manifest_digest");
	*ret = sup;
	return 0;
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

/* Whether anybody listens there. A socket whose listener died stays as a file
 * and refuses. UNKNOWN: may not look. */
static enum result
listens(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if (len >= sizeof(address.sun_path))
		return RESULT_FAILED;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return RESULT_UNKNOWN;
	socklen_t size =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	int rc = connect(fd, (struct sockaddr *)&address, size);
	int why = errno;

	fd_close(&fd);
	/* EAGAIN: its queue is full, so it is there */
	if (rc == 0 || why == EAGAIN)
		return RESULT_PASSED;
	if (why == ECONNREFUSED || why == ENOENT || why == ENOTDIR)
		return RESULT_FAILED;
	return RESULT_UNKNOWN;
}

/* FAILED only when there is nobody to ask anywhere. */
static void
not_there(struct look *look, const char *where)
{
	struct observed_supervisor *sup =
	    arena_alloc(look->arena, sizeof(*sup));

	look_failed(look, CAUSE_NOT_FOUND, "ENOENT",
	    "no supervisor listens here: not at %s", where);
	*sup = (struct observed_supervisor){.reached = RESULT_FAILED,
	    .why = look->out.summary,
	    .name = "",
	    .operator_state = "",
	    .limits_missing = "",
	    .limits_why = "",
	    .manifest_digest = ""};
	look->out.supervisor = sup;
}

/* One place; true when that settled it. */
static bool
try_place(struct look *look, const char *operator_socket, const char *init)
{
	enum result here = listens(operator_socket, SOCK_STREAM);

	look->out.target = operator_socket;
	if (here == RESULT_PASSED) {
		ask(look, "http://localhost" STATUS_PATH, operator_socket);
		return true;
	}
	if (here == RESULT_UNKNOWN) {
		look_unknown(look, CAUSE_PERMISSION, "",
		    "'%s' may not be asked: %s", operator_socket,
		    strerror(EACCES));
		return true;
	}
	/* Its operator may be dead while the init goes on by itself. */
	if (init[0] == '\0' || listens(init, SOCK_SEQPACKET) == RESULT_FAILED)
		return false;
	look_unknown(look, CAUSE_UNAVAILABLE, "",
	    "the init listens at '%s', its operator doesn't answer", init);
	return true;
}

static void
find(struct look *look, const cJSON *places)
{
	const cJSON *place = NULL;
	const char *where = "";

	cJSON_ArrayForEach(place, places)
	{
		const char *operator_socket =
		    text_or_empty(look->arena, place, "operator");

		if (try_place(look, operator_socket,
		        text_or_empty(look->arena, place, "init")))
			return;
		where = arena_format(look->arena, "%s%s%s", where,
		    where[0] == '\0' ? "" : ", ", operator_socket);
	}
	not_there(look, where);
}

void
probe_supervisor(struct look *look)
{
	const char *url = NULL;
	const cJSON *places = NULL;

	if (look_text(look, "url", NULL, &url) == -1)
		return;
	if (url == NULL) {
		if (json_array(look->request, "places", &places, NULL) == -1 ||
		    places == NULL)
			look_unknown(look, CAUSE_INTERNAL, "",
			    "neither 'url' nor 'places' in the request");
		else
			find(look, places);
		return;
	}
	look_url(look, url);
	const char *rest = strstr(url, "://");
	if (rest == NULL || text_starts(url, "unix:")) {
		const char *path = text_starts(url, "unix://") ? url + 7
		                   : text_starts(url, "unix:") ? url + 5
		                                               : url;
		ask(look, "http://localhost" STATUS_PATH, path);
		return;
	}
	/* a bare host is asked for its status */
	if (rest[3 + strcspn(rest + 3, "/?#")] == '\0')
		url = arena_format(look->arena, "%s" STATUS_PATH, url);
	ask(look, url, NULL);
}
