/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/jsonw.h"
#include "base/text.h"
#include "probes/json_read.h"
#include "supervisor/operator/move_log.h"

#define MOVE_SCHEMA "reeve.move/1"

enum {
	LINE_MAX_BYTES = 4 << 20
};
static const long LOCK_POLL_NS = 50L * 1000 * 1000;

/* --- the file --------------------------------------------------------------
 */

int
move_log_path(
    struct arena *arena, const char *given, const char **ret, struct err *err)
{
	const char *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");

	if (given != NULL)
		*ret = given;
	else if (state != NULL && state[0] == '/')
		*ret = arena_format(arena, "%s/reeve/moves.jsonl", state);
	else if (home != NULL && home[0] == '/')
		*ret = arena_format(
		    arena, "%s/.local/state/reeve/moves.jsonl", home);
	else
		return err_set(err, ERR_INPUT,
		    "neither XDG_STATE_HOME nor HOME says where the log of what "
		    "was moved is to be: give --log FILE");
	return 0;
}

int
move_log_open(const char *path, struct move_log *ret, struct err *err)
{
	*ret = (struct move_log){
	    .path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
	return ret->fd == -1 && errno != ENOENT
	           ? err_sys(err, "the log '%s'", path)
	           : 0;
}

/* The name is on the disk too, and not only the bytes. */
static int
sync_directory(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char dir[4096] = ".";

	if (slash != NULL && text_format(dir, sizeof(dir), err, "%.*s",
	                         (int)MAX(slash - path, 1), path) == -1)
		return -1;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return err_sys(err, "'%s'", dir);
	int rc = fsync(fd) == -1 ? err_sys(err, "'%s'", dir) : 0;

	fd_close(&fd);
	return rc;
}

static int
make_parent(struct arena *arena, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path)
		return 0;
	return fd_make_dirs(
	    arena_bytes(arena, path, (size_t)(slash - path)), 0700, err);
}

static int
open_locked(struct move_log *ret, int64_t deadline_ms, struct err *err)
{
	const struct timespec pause = {.tv_nsec = LOCK_POLL_NS};
	struct stat st;

	ret->fd = open(ret->path,
	    O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	if (ret->fd == -1 || fstat(ret->fd, &st) == -1)
		return err_sys(err, "the log '%s'", ret->path);
	if (!S_ISREG(st.st_mode))
		return err_set(
		    err, ERR_INPUT, "the log '%s' is no file", ret->path);
	while (flock(ret->fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(err, "the log '%s'", ret->path);
		if (clock_ms() >= deadline_ms)
			return err_set(err, ERR_TIMEOUT,
			    "another move with the log '%s' is under way",
			    ret->path);
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

/* The file before this one. */
static const char *
older_path(struct arena *arena, const char *path)
{
	return arena_format(arena, "%s.1", path);
}

/* Locked, it may be another's older file by now, or long enough to become ours:
 * then the next one is to be locked. */
static int
settle(struct arena *arena, struct move_log *log, bool *ret_settled,
    struct err *err)
{
	struct stat mine;
	struct stat named;

	*ret_settled = false;
	if (fstat(log->fd, &mine) == -1)
		return err_sys(err, "the log '%s'", log->path);
	if (stat(log->path, &named) == -1 || named.st_ino != mine.st_ino ||
	    named.st_dev != mine.st_dev) {
		fd_close(&log->fd);
		return 0;
	}
	if (mine.st_size <= MOVE_LOG_MAX) {
		*ret_settled = true;
		return 0;
	}
	if (rename(log->path, older_path(arena, log->path)) == -1)
		return err_sys(err, "the log '%s'", log->path);
	fd_close(&log->fd);
	return 0;
}

int
move_log_lock(struct arena *arena, const char *path, int64_t deadline_ms,
    struct move_log *ret, struct err *err)
{
	bool settled = false;

	*ret = (struct move_log){.path = path, .fd = -1};
	if (make_parent(arena, path, err) == -1)
		return err_wrap(err, "the log '%s'", path);
	while (!settled) {
		if (open_locked(ret, deadline_ms, err) == -1 ||
		    settle(arena, ret, &settled, err) == -1)
			return -1;
	}
	return sync_directory(path, err) == -1 ? err_wrap(err, "the log") : 0;
}

void
move_log_close(struct move_log *log)
{
	fd_close(&log->fd);
}

/* --- reading ---------------------------------------------------------------
 */

struct reading {
	struct arena *arena;
	const char *queue;
	struct move_history *history;
	size_t jobs_max, open_max;
};

static const char *
text_of(const cJSON *object, const char *key)
{
	const char *text = NULL;

	return json_text(object, key, "", &text, NULL) == -1 ? "" : text;
}

static void *
grown(struct arena *arena, void *array, size_t count, size_t *max, size_t size)
{
	if (count < *max)
		return array;
	*max = MAX(2 * *max, (size_t)64);
	void *more = arena_array(arena, *max, size);

	if (count > 0)
		memcpy(more, array, count * size);
	return more;
}

/* Jobs of a move that was begun aren't moved jobs yet: they are held here until
 * its end says which of them were. */
static void
take_begun(struct reading *reading, const cJSON *line)
{
	struct move_history *history = reading->history;

	history->open = grown(reading->arena, history->open, history->nopen,
	    &reading->open_max, sizeof(*history->open));
	history->open[history->nopen++] = (struct open_move){
	    .move = arena_text(reading->arena, text_of(line, "move")),
	    .at = arena_text(reading->arena, text_of(line, "at")),
	    .jobs = cJSON_GetArraySize(
	        cJSON_GetObjectItemCaseSensitive(line, "jobs")),
	};
}

static void
take_ended(struct reading *reading, const cJSON *line)
{
	struct move_history *history = reading->history;
	const char *move = text_of(line, "move");
	const cJSON *item = NULL;

	for (size_t i = 0; i < history->nopen; i++) {
		if (text_equal(history->open[i].move, move)) {
			history->open[i] = history->open[--history->nopen];
			break;
		}
	}
	if (!text_equal(text_of(line, "state"), "moved"))
		return;
	cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(line, "jobs"))
	{
		history->jobs = grown(reading->arena, history->jobs,
		    history->count, &reading->jobs_max, sizeof(*history->jobs));
		const char *as = text_of(item, "as");

		history->jobs[history->count++] = (struct moved_job){
		    .id = arena_text(reading->arena,
		        as[0] != '\0' ? as : text_of(item, "id")),
		    .error = arena_text(reading->arena, text_of(item, "error")),
		    .at = arena_text(reading->arena, text_of(line, "at")),
		};
	}
}

static void
take_line(struct reading *reading, const char *text, size_t len)
{
	CLEANUP(json_free) cJSON *line = json_read(text, len, NULL);

	if (line == NULL || !text_equal(text_of(line, "schema"), MOVE_SCHEMA) ||
	    !text_equal(text_of(line, "queue"), reading->queue))
		return;
	if (text_equal(text_of(line, "state"), "begun"))
		take_begun(reading, line);
	else
		take_ended(reading, line);
}

static int
read_file(struct reading *reading, int fd, struct err *err)
{
	struct buffer all;
	off_t size = lseek(fd, 0, SEEK_END);
	off_t from = MAX(size - MOVE_LOG_READ_MAX, (off_t)0);

	if (size == -1 || lseek(fd, from, SEEK_SET) == -1)
		return err_sys(err, "seek");
	buffer_init(&all, MOVE_LOG_READ_MAX + LINE_MAX_BYTES);
	int rc = buffer_read_all(&all, fd, err);

	for (size_t at = 0; rc == 0 && at < all.len;) {
		char *end = memchr(all.data + at, '\n', all.len - at);
		size_t len =
		    end == NULL ? all.len - at : (size_t)(end - all.data) - at;

		if (end != NULL)
			*end = '\0';
		take_line(reading, all.data + at, len);
		at += len + 1;
	}
	buffer_fini(&all);
	return rc;
}

int
move_log_read(const struct move_log *log, struct arena *arena,
    const char *queue, struct move_history *ret, struct err *err)
{
	struct reading reading = {
	    .arena = arena, .queue = queue, .history = ret};
	const char *path = older_path(arena, log->path);

	*ret = (struct move_history){0};
	int older = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (older == -1 && errno != ENOENT)
		return err_sys(err, "the log '%s'", path);
	int rc = older == -1 ? 0 : read_file(&reading, older, err);

	fd_close(&older);
	if (rc == -1)
		return err_wrap(err, "the log '%s'", path);
	if (log->fd != -1 && read_file(&reading, log->fd, err) == -1)
		return err_wrap(err, "the log '%s'", log->path);
	return 0;
}

/* --- writing ---------------------------------------------------------------
 */

/* What a crash or a full disk left of a line. */
static bool
ends_within_line(const struct move_log *log)
{
	off_t size = lseek(log->fd, 0, SEEK_END);
	char last = '\n';

	return size > 0 && pread(log->fd, &last, 1, size - 1) == 1 &&
	       last != '\n';
}

static void
begin_line(const struct move_log *log, struct jsonw *json, struct buffer *out,
    const struct move_entry *entry, const char *state)
{
	char at[CLOCK_TEXT_SIZE];

	buffer_init(out, LINE_MAX_BYTES);
	if (ends_within_line(log))
		buffer_text(out, "\n");
	jsonw_init(json, out, false);
	jsonw_object(json, NULL);
	jsonw_text(json, "schema", MOVE_SCHEMA);
	jsonw_text(json, "state", state);
	jsonw_text(json, "move", entry->move);
	jsonw_text(json, "at", clock_text(clock_wall_ms(), at));
	jsonw_text(json, "verb", entry->verb);
	jsonw_text(json, "queue", entry->queue);
}

static void
write_job(struct jsonw *json, const char *id, const char *as, const char *error)
{
	jsonw_object(json, NULL);
	jsonw_text(json, "id", id);
	if (as != NULL)
		jsonw_text(json, "as", as);
	jsonw_bytes(json, "error", error, strnlen(error, STORM_ERROR_KEPT));
	jsonw_end(json);
}

/* Whole, and on the disk, before anything else happens. */
static int
append_line(const struct move_log *log, struct jsonw *json, struct buffer *out,
    struct err *err)
{
	int rc = 0;

	jsonw_end(json);
	buffer_text(out, "\n");
	if (out->overflow)
		rc = err_set(err, ERR_CAPACITY, "the line is too long");
	else if (fd_write_all(log->fd, out->data, out->len, err) == -1)
		rc = -1;
	else if (fdatasync(log->fd) == -1)
		rc = err_sys(err, "fdatasync");
	buffer_fini(out);
	return rc == -1 ? err_wrap(err, "the log '%s'", log->path) : 0;
}

int
move_log_begun(
    const struct move_log *log, const struct move_entry *entry, struct err *err)
{
	struct buffer out;
	struct jsonw json;

	begin_line(log, &json, &out, entry, "begun");
	jsonw_i64(&json, "uid", (int64_t)getuid());
	jsonw_i64(&json, "pid", (int64_t)getpid());
	jsonw_bool(&json, "forced", entry->forced);
	jsonw_array(&json, "jobs");
	for (size_t i = 0; i < entry->nitems; i++)
		write_job(
		    &json, entry->items[i].id, NULL, entry->items[i].error);
	jsonw_end(&json);
	return append_line(log, &json, &out, err);
}

/* The error that a job had, which its end repeats: an end is read alone. */
static const char *
error_of(const struct move_entry *entry, const char *id)
{
	for (size_t i = 0; i < entry->nitems; i++) {
		if (text_equal(entry->items[i].id, id))
			return entry->items[i].error;
	}
	return "";
}

int
move_log_ended(
    const struct move_log *log, const struct move_entry *entry, struct err *err)
{
	static const char *const states[] = {[MOVE_MOVED] = "moved",
	    [MOVE_REFUSED] = "refused",
	    [MOVE_UNKNOWN] = "unknown"};
	struct buffer out;
	struct jsonw json;

	begin_line(log, &json, &out, entry, states[entry->outcome]);
	jsonw_text(&json, "why", entry->error);
	jsonw_array(&json, "jobs");
	for (size_t i = 0; i < entry->nids; i++)
		write_job(&json, entry->ids[i],
		    entry->as != NULL ? entry->as[i] : NULL,
		    error_of(entry, entry->ids[i]));
	jsonw_end(&json);
	return append_line(log, &json, &out, err);
}
