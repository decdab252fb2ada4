/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "probes/look.h"

/*
 * Kind "file": {path, exists, contains}. Facts: type, size, mode, modified. The
 * contents are searched, never shown.
 */
enum {
	FILE_MAX_BYTES = 1 << 20,
	MODE_BITS = 07777
};
static const int64_t MS_PER_S = 1000;
static const int64_t NS_PER_MS = 1000000;

static void
facts(struct look *look, const struct stat *st)
{
	char when[CLOCK_TEXT_SIZE];

	look_note(look, "type", "%s",
	    S_ISREG(st->st_mode)   ? "file"
	    : S_ISDIR(st->st_mode) ? "directory"
	                           : "other");
	look_note(look, "size", "%lld", (long long)st->st_size);
	look_note(look, "mode", "%04o", (unsigned)st->st_mode & MODE_BITS);
	look_note(look, "modified", "%s",
	    clock_text((int64_t)st->st_mtim.tv_sec * MS_PER_S +
	                   (int64_t)st->st_mtim.tv_nsec / NS_PER_MS,
	        when));
}

static void
search(struct look *look, const char *path, const char *contains)
{
	struct buffer text;
	struct err err = ERR_INIT;

	buffer_init(&text, FILE_MAX_BYTES);
	if (buffer_read_file(&text, path, &err) == -1) {
		if (err.kind == ERR_INPUT)
			look_failed(look, CAUSE_WRONG_TYPE, "", "%s", err.text);
		else
			look_unknown(look,
			    err.sys == EACCES ? CAUSE_PERMISSION
			                      : CAUSE_INTERNAL,
			    "", "%s", err.text);
	} else if (text.len == 0 || memmem(text.data, text.len, contains,
	                                strlen(contains)) == NULL) {
		look_failed(look, CAUSE_MISMATCH, "",
		    "%s does not hold what was expected", path);
	} else {
		look_passed(look, "%s holds what was expected", path);
	}
	buffer_wipe(&text);
}

void
probe_file(struct look *look)
{
	const char *path = NULL;
	const char *contains = NULL;
	bool wanted = true;
	struct stat st;

	if (look_need(look, "path", &path) == -1 ||
	    look_text(look, "contains", NULL, &contains) == -1 ||
	    look_bool(look, "exists", true, &wanted) == -1)
		return;
	path = look_canary(look, path, false);
	look->out.target = path;
	ladder_begin(&look->ladder, STEP_QUERY, path);
	if (stat(path, &st) == -1) {
		if (errno != ENOENT && errno != ENOTDIR)
			look_unknown(look,
			    errno == EACCES ? CAUSE_PERMISSION : CAUSE_INTERNAL,
			    "", "%s: %s", path, strerror(errno));
		else if (wanted)
			look_failed(look, CAUSE_NOT_FOUND, "ENOENT",
			    "%s does not exist", path);
		else
			look_passed(look, "%s does not exist", path);
		return;
	}
	facts(look, &st);
	if (!wanted)
		look_failed(look, CAUSE_MISMATCH, "", "%s exists", path);
	else if (contains != NULL)
		search(look, path, look_canary(look, contains, false));
	else
		look_passed(look, "%s exists", path);
}
