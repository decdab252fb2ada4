/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/fd.h"
#include "base/jsonw.h"
#include "base/secret.h"
#include "base/text.h"
#include "probes/connections.h"
#include "probes/inspect.h"
#include "probes/json_read.h"
#include "probes/processes.h"

enum {
	REQUEST_MAX = 16 << 20,
	ANSWER_MAX = 16 << 20,
	ARENA_MAX = 256 << 20,
	PROC_MAX = 4 << 20,
	PATH_SIZE = 64,
	STRANGERS_MAX = 64,
	PEERS_MAX = 32, /* told of one target */
	ANCESTORS_MAX = 64,
	HEX_SIZE = 33,
};

struct seen {
	int64_t pid, parent, session;
	bool init; /* of some supervisor, by its name */
	bool own;  /* a program of ours */
	bool zombie;
};

struct peer {
	uint64_t inode;
	struct connection_end remote;
};

struct inspection {
	struct arena arena;
	const cJSON *request;
	struct fingerprint_key key;
	int64_t init;
	struct seen *all; /* every process, by pid */
	size_t count;
	struct peer *peers; /* established connections, by inode */
	size_t npeers, peers_room;
	enum result peers_read;
	struct processes_known workers, known;
	struct jsonw *json;
	size_t told;
};

/* --- /proc ------------------------------------------------------------- */

static int
read_file(int64_t pid, const char *name, struct buffer *out)
{
	char path[PATH_SIZE];
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

	if (read_file(pid, "stat", text) == -1 || text->len == 0)
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
	struct seen *all = calloc(room, sizeof(*all));

	for (struct dirent *entry = readdir(proc); entry != NULL && all != NULL;
	     entry = readdir(proc)) {
		struct seen *next = &all[inspection->count];
		int64_t pid = 0;
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    text_i64(entry->d_name, 1, INT32_MAX, &pid, NULL) == -1)
			continue;
		/* Of the workers, which may be thousands, it is known. */
		if (processes_is_known(&inspection->workers, pid))
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

static const struct seen *
find(const struct inspection *inspection, int64_t pid)
{
	const struct seen wanted = {.pid = pid};

	return bsearch(&wanted, inspection->all, inspection->count,
	    sizeof(wanted), by_pid);
}

/* --- one target -------------------------------------------------------- */

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

static const struct {
	const char *row, *name;
} limits[] = {
    {"Max cpu time", "cpu"},
    {"Max file size", "fsize"},
    {"Max data size", "data"},
    {"Max stack size", "stack"},
    {"Max core file size", "core"},
    {"Max resident set", "rss"},
    {"Max processes", "nproc"},
    {"Max open files", "nofile"},
    {"Max locked memory", "memlock"},
    {"Max address space", "as"},
    {"Max file locks", "locks"},
    {"Max pending signals", "sigpending"},
    {"Max msgqueue size", "msgqueue"},
    {"Max nice priority", "nice"},
    {"Max realtime priority", "rtprio"},
    {"Max realtime timeout", "rttime"},
};

const char *
inspect_limit(const char *text, size_t i, struct inspect_limit *ret)
{
	if (i >= ARRAY_LEN(limits))
		return NULL;
	const char *at = strstr(text, limits[i].row);

	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own format */
	if (at == NULL || sscanf(at + strlen(limits[i].row), " %31s %31s",
	                      ret->soft, ret->hard) != 2)
		ret->soft[0] = ret->hard[0] = '\0';
	return limits[i].name;
}

static void
tell_limits(struct inspection *inspection, int64_t pid, struct buffer *text)
{
	struct inspect_limit limit;
	const char *name;

	jsonw_object(inspection->json, "limits");
	if (read_file(pid, "limits", text) == -1)
		buffer_clear(text);
	for (size_t i = 0; text->len > 0 && (name = inspect_limit(text->data, i,
	                                         &limit)) != NULL;
	     i++)
		if (limit.soft[0] != '\0')
			jsonw_format(inspection->json, name, "%s %s",
			    limit.soft, limit.hard);
	jsonw_end(inspection->json);
}

/* By our own rights, else as the worker's user: setfsuid() leaves the other
 * capabilities, so that a worker with some of its own can be read too. */
static int
read_environ(int64_t pid, int64_t uid, int64_t gid, struct buffer *out)
{
	if (read_file(pid, "environ", out) == 0)
		return 0;
	if (geteuid() != 0 || uid <= 0 || gid < 0)
		return -1;
	gid_t old_gid = (gid_t)setfsgid((gid_t)gid);
	uid_t old_uid = (uid_t)setfsuid((uid_t)uid);
	int rc = read_file(pid, "environ", out);
	int saved = errno;

	(void)setfsuid(old_uid);
	(void)setfsgid(old_gid);
	errno = saved;
	return rc;
}

static const char *
variable(const struct buffer *block, const char *name)
{
	size_t len = strlen(name);

	for (size_t at = 0; at < block->len;) {
		const char *entry = block->data + at;
		if (strncmp(entry, name, len) == 0 && entry[len] == '=')
			return entry + len + 1;
		at += strlen(entry) + 1;
	}
	return NULL;
}

/* Programs that write their title over it leave other bytes there. */
static bool
is_environment(const struct buffer *block)
{
	for (size_t at = 0; at < block->len;) {
		const char *entry = block->data + at;
		size_t name = strcspn(entry, "=");
		if (name == 0 || entry[name] == '\0' ||
		    strcspn(entry, " \t") < name)
			return false;
		at += strlen(entry) + 1;
	}
	return block->len > 0;
}

static void
tell_hex(struct inspection *inspection, const char *key,
    const struct fingerprint *print)
{
	char hex[HEX_SIZE];

	for (size_t i = 0; i < sizeof(print->bytes); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", print->bytes[i]);
	jsonw_text(inspection->json, key, hex);
}

bool
inspect_compares(const char *entry)
{
	static const char *const others[] = {"REEVE_", "PORT_",
	    "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "PWD=", "OLDPWD=", "SHLVL=",
	    "_="};
	static const char name[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                           "abcdefghijklmnopqrstuvwxyz_0123456789";

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (text_starts(entry, others[i]))
			return false;
	return entry[strspn(entry, name)] == '=';
}

void
inspect_print(const struct fingerprint_key *key, const char *entry,
    struct fingerprint *sum)
{
	struct fingerprint print = fingerprint_of(key, entry, strlen(entry));
	unsigned carry = 0;

	for (size_t i = 0; i < sizeof(sum->bytes); i++) {
		carry += (unsigned)sum->bytes[i] + print.bytes[i];
		sum->bytes[i] = (uint8_t)carry;
		carry >>= 8;
	}
}

static void
tell_variables(struct inspection *inspection, const cJSON *names,
    const struct buffer *text)
{
	const cJSON *item = NULL;

	jsonw_object(inspection->json, "env");
	cJSON_ArrayForEach(item, names)
	{
		const char *name = NULL;
		if (json_item_text(item, &name, NULL) == -1)
			continue;
		const char *value = variable(text, name);
		if (value == NULL) {
			jsonw_null(inspection->json, name);
			continue;
		}
		struct fingerprint print =
		    fingerprint_of(&inspection->key, value, strlen(value));
		tell_hex(inspection, name, &print);
	}
	jsonw_end(inspection->json);
}

/* --- connections ------------------------------------------------------- */

static int
by_inode(const void *a, const void *b)
{
	const struct peer *x = a;
	const struct peer *y = b;

	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static void
keep_peer(void *arg, const struct connection *one)
{
	struct inspection *inspection = arg;

	if (!one->established)
		return;
	if (inspection->npeers == inspection->peers_room) {
		size_t room = MAX(2 * inspection->peers_room, (size_t)1024);
		struct peer *more =
		    reallocarray(inspection->peers, room, sizeof(*more));
		if (more == NULL)
			return;
		inspection->peers = more;
		inspection->peers_room = room;
	}
	inspection->peers[inspection->npeers++] =
	    (struct peer){one->inode, one->remote};
}

/* Read once, when the first target asks. */
static bool
read_peers(struct inspection *inspection)
{
	struct err err = ERR_INIT;

	if (inspection->peers_read == RESULT_UNKNOWN) {
		inspection->peers_read =
		    connections_each(keep_peer, inspection, &err) == 0
		        ? RESULT_PASSED
		        : RESULT_FAILED;
		if (inspection->npeers > 0)
			qsort(inspection->peers, inspection->npeers,
			    sizeof(*inspection->peers), by_inode);
	}
	return inspection->peers_read == RESULT_PASSED;
}

struct telling {
	struct inspection *inspection;
	struct connection_end told[PEERS_MAX];
	size_t count;
};

static void
tell_peer(void *arg, int fd, uint64_t inode)
{
	(void)fd;
	struct telling *telling = arg;
	struct inspection *inspection = telling->inspection;
	const struct peer wanted = {.inode = inode};
	const struct peer *peer =
	    inspection->npeers == 0
	        ? NULL
	        : bsearch(&wanted, inspection->peers, inspection->npeers,
	              sizeof(*inspection->peers), by_inode);

	if (peer == NULL || telling->count == PEERS_MAX)
		return;
	for (size_t i = 0; i < telling->count; i++)
		if (memcmp(&telling->told[i], &peer->remote,
		        sizeof(peer->remote)) == 0)
			return;
	telling->told[telling->count++] = peer->remote;
	jsonw_text(inspection->json, NULL,
	    connection_end_text(&inspection->arena, &peer->remote));
}

static void
tell_peers(struct inspection *inspection, const cJSON *target, int64_t pid)
{
	struct telling telling = {.inspection = inspection};

	if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(target, "peers")))
		return;
	/* All of its session or nothing: what one of its processes hides could
	 * be the connection that counts. */
	bool seen = read_peers(inspection);
	for (size_t i = 0; seen && i < inspection->count; i++) {
		char path[PATH_SIZE];
		if (inspection->all[i].session != pid)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/fd",
		    inspection->all[i].pid);
		seen = access(path, R_OK | X_OK) == 0 || errno == ENOENT;
	}
	if (!seen) {
		jsonw_null(inspection->json, "peers");
		return;
	}
	jsonw_array(inspection->json, "peers");
	for (size_t i = 0; i < inspection->count; i++)
		if (inspection->all[i].session == pid)
			(void)connections_of(
			    inspection->all[i].pid, tell_peer, &telling);
	jsonw_end(inspection->json);
}

static void
tell_environ(struct inspection *inspection, const cJSON *target, int64_t pid,
    int64_t uid, int64_t gid, struct buffer *text)
{
	const cJSON *names = NULL;
	struct fingerprint sum = {.bytes = {0}};
	const char *why = "";

	if (read_environ(pid, uid, gid, text) == -1)
		why = errno == EACCES || errno == EPERM
		          ? "it may not be read: the process is another "
		            "user's, or keeps it from everybody"
		          : strerrordesc_np(errno);
	else if (!is_environment(text))
		why = "the process has written something else over it";
	jsonw_text(inspection->json, "why", why);
	if (*why != '\0') {
		jsonw_null(inspection->json, "print");
		return;
	}
	for (size_t at = 0; at < text->len; at += strlen(text->data + at) + 1)
		if (inspect_compares(text->data + at))
			inspect_print(&inspection->key, text->data + at, &sum);
	tell_hex(inspection, "print", &sum);
	if (json_array(target, "env", &names, NULL) == 0 && names != NULL)
		tell_variables(inspection, names, text);
}

static void
tell_target(
    struct inspection *inspection, const cJSON *target, struct buffer *text)
{
	bool with_limits = false;
	int64_t pid = 0;

	if (json_i64(target, "pid", 0, &pid, NULL) == -1 || pid <= 0 ||
	    json_bool(target, "limits", false, &with_limits, NULL) == -1 ||
	    read_file(pid, "status", text) == -1)
		return; /* it ended meanwhile */
	int64_t uid = status_id(text, "\nUid:");
	int64_t gid = status_id(text, "\nGid:");

	jsonw_object(inspection->json, NULL);
	jsonw_i64(inspection->json, "pid", pid);
	jsonw_i64(inspection->json, "uid", uid);
	jsonw_i64(inspection->json, "gid", gid);
	if (with_limits)
		tell_limits(inspection, pid, text);
	tell_environ(inspection, target, pid, uid, gid, text);
	tell_peers(inspection, target, pid);
	jsonw_end(inspection->json);
	/* the next one overwrites it; the last is wiped by the caller */
	if (text->len > 0)
		explicit_bzero(text->data, text->len);
}

/* --- strangers --------------------------------------------------------- */

static bool
is_ours(const struct inspection *inspection, const struct seen *seen)
{
	return processes_is_known(&inspection->workers, seen->session) ||
	       processes_is_known(&inspection->workers, seen->pid);
}

static bool
under_a_supervisor(const struct inspection *inspection, const struct seen *seen)
{
	seen = find(inspection, seen->parent);
	for (int i = 0; i < ANCESTORS_MAX && seen != NULL; i++) {
		if (seen->init || seen->pid == inspection->init)
			return true;
		seen = find(inspection, seen->parent);
	}
	return false;
}

/* The same file or folder, as each of them sees it. */
static bool
same_link(int64_t a, int64_t b, const char *name)
{
	char path[PATH_SIZE];
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
		int64_t one = inspection->workers.pids[i];
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
		    one->own ||
		    processes_is_known(&inspection->known, one->pid) ||
		    processes_is_known(&inspection->known, one->session) ||
		    is_ours(inspection, one))
			continue;
		/* Its name only: arguments may hold anything. */
		if (read_file(one->pid, "comm", text) == 0 && text->len > 0)
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

static int
tell_strangers(
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
		const struct seen *one = find(inspection, found.all[i].pid);
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

static int
by_number(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* A list of pids, in order. */
static int
take_pids(struct inspection *inspection, const char *key,
    struct processes_known *ret, struct err *err)
{
	const cJSON *list = NULL;
	const cJSON *item = NULL;
	size_t count = 0;

	if (json_array(inspection->request, key, &list, err) == -1)
		return -1;
	int64_t *pids = arena_array(&inspection->arena,
	    (size_t)cJSON_GetArraySize(list) + 1, sizeof(*pids));

	cJSON_ArrayForEach(item, list)
	{
		if (json_item_i64(item, &pids[count], NULL) == 0)
			count++;
	}
	qsort(pids, count, sizeof(*pids), by_number);
	*ret = (struct processes_known){pids, count};
	return 0;
}

/* --- the request ------------------------------------------------------- */

static int
take_key(struct inspection *inspection, struct err *err)
{
	const char *hex = NULL;

	if (json_text(inspection->request, "key", "", &hex, err) == -1 ||
	    json_i64(inspection->request, "init", 0, &inspection->init, err) ==
	        -1)
		return -1;
	if (strlen(hex) != HEX_SIZE - 1)
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
	    take_pids(inspection, "workers", &inspection->workers, err) == -1 ||
	    take_pids(inspection, "known", &inspection->known, err) == -1 ||
	    json_array(inspection->request, "targets", &targets, err) == -1 ||
	    look_around(inspection, err) == -1)
		return -1;
	buffer_init(&text, PROC_MAX);
	jsonw_object(inspection->json, NULL);
	jsonw_array(inspection->json, "targets");
	cJSON_ArrayForEach(item, targets) tell_target(inspection, item, &text);
	jsonw_end(inspection->json);
	int rc = tell_strangers(inspection, &text, err);

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
