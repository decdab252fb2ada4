/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "probes/command.h"
#include "probes/json_read.h"

/*
 * Kind "log": {marker, canary, worker | path, reader:[…]}: one line that holds
 * both the marker and the canary's id, so that no other job's line counts and
 * none from before. The line is a worker's, as the supervisor kept it (`reader`
 * is the command that prints those as JSON, one a line), or a file's, of its
 * last bytes. What it says is never shown: a line may hold anything. Facts:
 * lines (looked at), by (WORKER/REPLICA, as the supervisor knows it), stream.
 */
enum {
	OUTPUT_MAX_BYTES = 16 << 20,
	TAIL_BYTES = 1 << 20,
	ERROR_SHOWN_BYTES = 200
};

struct search {
	const char *marker, *worker;
	size_t lines;
	bool found;
};

static bool
holds(const char *line, size_t len, const char *text)
{
	return memmem(line, len, text, strlen(text)) != NULL;
}

/* A line as `reeve logs --output json` prints it. */
static void
judge_record(
    struct look *look, struct search *search, const char *line, size_t len)
{
	CLEANUP(json_free) cJSON *json = NULL;
	const char *text = NULL;
	const char *worker = "";
	const char *stream = "";
	int64_t replica = -1;

	search->lines++;
	/* an id is the same in JSON: nothing else is worth reading */
	if (search->found || !holds(line, len, look->canary))
		return;
	json = json_read(arena_bytes(look->arena, line, len), len, NULL);
	if (!cJSON_IsObject(json) ||
	    json_text(json, "text", NULL, &text, NULL) == -1 || text == NULL ||
	    json_text(json, "worker", "", &worker, NULL) == -1 ||
	    json_text(json, "stream", "", &stream, NULL) == -1 ||
	    json_i64(json, "replica", -1, &replica, NULL) == -1)
		return;
	if (strstr(text, look->canary) == NULL ||
	    strstr(text, search->marker) == NULL)
		return;
	search->found = true;
	look_note(look, "by", "%s/%lld", worker, (long long)replica);
	look_note(look, "stream", "%s", stream);
}

static void
judge_line(
    struct look *look, struct search *search, const char *line, size_t len)
{
	search->lines++;
	search->found = search->found || (holds(line, len, look->canary) &&
	                                     holds(line, len, search->marker));
}

typedef void line_fn(
    struct look *look, struct search *search, const char *line, size_t len);

static void
each_line(struct look *look, struct search *search, const struct buffer *text,
    line_fn *judge)
{
	size_t at = 0;

	while (at < text->len) {
		const char *line = text->data + at;
		const char *end = memchr(line, '\n', text->len - at);
		size_t len =
		    end == NULL ? text->len - at : (size_t)(end - line);

		judge(look, search, line, len);
		at += len + 1;
	}
}

static void
conclude(struct look *look, const struct search *search, const char *where)
{
	look_note(look, "lines", "%zu", search->lines);
	if (search->found)
		look_passed(look, "%s: a line holds '%s' and this canary",
		    where, search->marker);
	else
		look_failed(look, CAUSE_MISMATCH, "no-line",
		    "%s: none of %zu lines holds '%s' and this canary", where,
		    search->lines, search->marker);
}

/* The last bytes, without the beginning of a line that was cut. */
static int
read_tail(struct look *look, const char *path, struct buffer *ret)
{
	CLEANUP(fd_close)
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	ssize_t n = 0;

	if (fd == -1 || fstat(fd, &st) == -1) {
		if (errno == ENOENT || errno == ENOTDIR)
			look_failed(look, CAUSE_NOT_FOUND, "ENOENT",
			    "%s does not exist", path);
		else
			look_unknown(look,
			    errno == EACCES ? CAUSE_PERMISSION : CAUSE_INTERNAL,
			    "", "%s: %s", path, strerror(errno));
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		look_failed(
		    look, CAUSE_WRONG_TYPE, "", "%s is not a file", path);
		return -1;
	}
	off_t at = MAX(st.st_size - TAIL_BYTES, (off_t)0);
	char *bytes = arena_alloc(look->arena, TAIL_BYTES);

	while (ret->len < TAIL_BYTES &&
	       (n = pread(fd, bytes, TAIL_BYTES, at)) > 0) {
		buffer_append(
		    ret, bytes, MIN((size_t)n, TAIL_BYTES - ret->len));
		at += n;
	}
	if (n == -1) {
		look_unknown(look, CAUSE_INTERNAL, "", "read %s: %s", path,
		    strerror(errno));
		return -1;
	}
	return 0;
}

static void
search_file(struct look *look, struct search *search, const char *path)
{
	struct buffer text;

	path = look_canary(look, path, false);
	look->out.target = path;
	buffer_init(&text, TAIL_BYTES);
	if (read_tail(look, path, &text) == 0) {
		each_line(look, search, &text, judge_line);
		conclude(look, search, path);
	}
	buffer_wipe(&text);
}

static void
search_output(struct look *look, struct search *search)
{
	char *argv[COMMAND_ARGV_MAX];
	struct buffer out;
	int status = 0;

	look->out.target = search->worker[0] != '\0'
	                       ? arena_format(look->arena,
	                             "output of worker %s", search->worker)
	                       : "the workers' output";
	if (cJSON_GetObjectItemCaseSensitive(look->request, "reader") == NULL) {
		look_unknown(look, CAUSE_UNRESOLVED, "",
		    "the workers' output can be read beside their supervisor "
		    "only: run this there, without --status");
		return;
	}
	if (command_argv(look, "reader", COMMAND_ARGV_MAX - 1, argv) == -1)
		return;
	if (search->worker[0] != '\0') {
		size_t count = 0;

		while (argv[count] != NULL)
			count++;
		argv[count] = arena_text(look->arena, search->worker);
		argv[count + 1] = NULL;
	}
	if (command_run(look, argv, OUTPUT_MAX_BYTES, &out, &status) == 0) {
		each_line(look, search, &out, judge_record);
		if (search->found ||
		    (WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
		        out.len < OUTPUT_MAX_BYTES))
			conclude(look, search, look->out.target);
		else if (out.len == OUTPUT_MAX_BYTES)
			look_unknown(look, CAUSE_INTERNAL, "",
			    "more than %d MiB of lines are kept",
			    OUTPUT_MAX_BYTES >> 20);
		else
			look_unknown(look, CAUSE_UNAVAILABLE, "",
			    "the supervisor's lines can't be read: %.*s",
			    (int)MIN(out.len, (size_t)ERROR_SHOWN_BYTES),
			    out.len > 0 ? out.data : "");
	}
	buffer_wipe(&out);
}

void
probe_log(struct look *look)
{
	struct search search = {.marker = NULL};
	const char *path = NULL;

	if (look_need(look, "marker", &search.marker) == -1 ||
	    look_text(look, "path", NULL, &path) == -1 ||
	    look_text(look, "worker", "", &search.worker) == -1)
		return;
	if (look->canary == NULL) {
		look_unknown(look, CAUSE_UNRESOLVED, "",
		    "only a smoke has a canary whose line can be looked for");
		return;
	}
	search.marker = look_canary(look, search.marker, false);
	ladder_begin(&look->ladder, STEP_QUERY, "");
	if (path != NULL)
		search_file(look, &search, path);
	else
		search_output(look, &search);
}
