/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "supervisor/operator/operator.h"

/*
 * News of the files that a declaration is made of. Directories are watched,
 * not files: an editor and Kubernetes both replace a file by rename (the latter
 * the symbolic link `..data` beside it), and a watch on the file would stay
 * with the old one. What is missed (another mount, a full queue, a network
 * file system) heals with the slow reading.
 */
enum {
	NAMES_MAX = 1024,
	QUIET_MS = 250,         /* of no news, before reading */
	PATIENCE_MS = 2000,     /* but not longer than this */
	SLOW_MS = 60 * 1000,    /* reading without any news */
	EVENTS_SIZE = 4 * 1024, /* holds at least one with the longest name */
};

struct watched {
	int number;
	char *name; /* in the directory; NULL: any */
};

struct watch {
	struct operator_core *op;
	struct loop_source source;
	struct loop_timer quiet, slow;
	struct watched names[NAMES_MAX];
	size_t count;
	int64_t first_ms; /* of the news that wait; 0 none */
};

static void
forget(struct watch *watch)
{
	for (size_t i = 0; i < watch->count; i++)
		free(watch->names[i].name);
	watch->count = 0;
}

static void
add_name(struct watch *watch, const char *dir, const char *name)
{
	const uint32_t mask = IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO |
	                      IN_MOVED_FROM | IN_DELETE | IN_ATTRIB |
	                      IN_DELETE_SELF | IN_MOVE_SELF;

	if (watch->count == NAMES_MAX || watch->source.fd == -1)
		return;
	int number = inotify_add_watch(watch->source.fd, dir, mask);

	if (number == -1) {
		if (errno != ENOENT && errno != ENOTDIR)
			log_warning("watch", "'%s': %s; read every minute", dir,
			    strerrordesc_np(errno));
		return;
	}
	watch->names[watch->count++] = (struct watched){
	    .number = number,
	    .name = name == NULL ? NULL : strdup(name),
	};
}

/* A file: its name in its directory, and `..data` beside it, through which it
 * may be a symbolic link. */
static void
add_file(struct watch *watch, const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (slash == NULL) {
		add_name(watch, ".", path);
		add_name(watch, ".", "..data");
		return;
	}
	size_t len = slash == path ? 1 : (size_t)(slash - path);

	if (len >= sizeof(dir))
		return;
	memcpy(dir, path, len);
	dir[len] = '\0';
	add_name(watch, dir, slash + 1);
	add_name(watch, dir, "..data");
}

void
watch_set(struct watch *watch)
{
	const struct intent *intent = watch->op->intent;

	/* Watches that are no longer wanted go with the old descriptor. */
	if (watch->source.added)
		loop_remove(&watch->op->loop, &watch->source);
	fd_close(&watch->source.fd);
	forget(watch);
	watch->source.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch->source.fd == -1) {
		log_warning("watch", "inotify: %s; read every minute",
		    strerrordesc_np(errno));
		return;
	}
	add_file(watch, watch->op->manifest);
	for (size_t i = 0; intent != NULL && i < intent->declared->nsources;
	     i++) {
		const struct declared_source *source =
		    &intent->declared->sources[i];
		if (source->origin == NULL)
			continue;
		if (text_equal(source->kind, "dir"))
			add_name(watch, source->origin, NULL);
		if (text_equal(source->kind, "dir") ||
		    text_equal(source->kind, "envFile"))
			add_file(watch, source->origin);
	}
	for (size_t i = 0; intent != NULL && i < intent->declared->nworkers;
	     i++) {
		const char *const *files = intent->declared->workers[i].files;
		for (; files != NULL && *files != NULL; files++)
			add_file(watch, *files);
	}
	struct err err = ERR_INIT;

	if (loop_add(&watch->op->loop, &watch->source, EPOLLIN, &err) == -1)
		log_warning("watch", "%s", err.text);
}

static bool
matters(const struct watch *watch, const struct inotify_event *event)
{
	if ((event->mask & IN_Q_OVERFLOW) != 0)
		return true;
	for (size_t i = 0; i < watch->count; i++) {
		const struct watched *one = &watch->names[i];
		if (one->number != event->wd)
			continue;
		if (one->name == NULL || event->len == 0 ||
		    strcmp(one->name, event->name) == 0)
			return true;
	}
	return false;
}

static void
news(struct watch *watch)
{
	struct err err = ERR_INIT;
	int64_t now_ms = clock_ms();

	if (watch->first_ms == 0)
		watch->first_ms = now_ms;
	int64_t at_ms = MIN(clock_after(now_ms, QUIET_MS),
	    clock_after(watch->first_ms, PATIENCE_MS));

	if (loop_timer_set(&watch->op->loop, &watch->quiet, at_ms, &err) == -1)
		log_warning("watch", "%s", err.text);
}

static void
can_read(struct loop_source *source, uint32_t events)
{
	struct watch *watch = source->owner;
	_Alignas(struct inotify_event) char bytes[EVENTS_SIZE];
	bool any = false;
	ssize_t got = 0;

	(void)events;
	while ((got = read(source->fd, bytes, sizeof(bytes))) > 0) {
		for (size_t at = 0; at < (size_t)got;) {
			struct inotify_event event;
			memcpy(&event, bytes + at, sizeof(event));
			const struct inotify_event *whole =
			    (const struct inotify_event *)(const void *)(bytes +
			                                                 at);
			any = any || matters(watch, whole);
			at += sizeof(event) + event.len;
		}
	}
	if (any)
		news(watch);
}

static void
set_slow(struct watch *watch, int64_t now_ms)
{
	struct err err = ERR_INIT;

	if (loop_timer_set(&watch->op->loop, &watch->slow,
	        clock_after(now_ms, SLOW_MS), &err) == -1)
		log_warning("watch", "%s", err.text);
}

static void
is_quiet(struct loop_timer *timer, int64_t now_ms)
{
	struct watch *watch = timer->owner;

	watch->first_ms = 0;
	operator_reload(watch->op, "files changed");
	set_slow(watch, now_ms);
}

static void
is_slow(struct loop_timer *timer, int64_t now_ms)
{
	struct watch *watch = timer->owner;

	operator_reload(watch->op, NULL);
	set_slow(watch, now_ms);
}

struct watch *
watch_new(struct operator_core *op, struct err *err)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (watch == NULL) {
		(void)err_sys(err, "watch");
		return NULL;
	}
	watch->op = op;
	watch->source =
	    (struct loop_source){.fd = -1, .ready = can_read, .owner = watch};
	watch->quiet = (struct loop_timer){.fire = is_quiet, .owner = watch};
	watch->slow = (struct loop_timer){.fire = is_slow, .owner = watch};
	set_slow(watch, clock_ms());
	return watch;
}

void
watch_free(struct watch *watch)
{
	if (watch == NULL)
		return;
	if (watch->source.added)
		loop_remove(&watch->op->loop, &watch->source);
	fd_close(&watch->source.fd);
	loop_timer_clear(&watch->op->loop, &watch->quiet);
	loop_timer_clear(&watch->op->loop, &watch->slow);
	forget(watch);
	free(watch);
}
