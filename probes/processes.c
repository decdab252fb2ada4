/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "probes/look.h"
#include "probes/processes.h"

enum {
	CMDLINE_MAX_BYTES = 128 * 1024,
	SMALL_MAX_BYTES = 4096,
	TABLE_MAX_BYTES = 64 << 20,
	ARGV_MAX = 512,
	COMMANDS_MAX = 10000,
	FOUND_MAX = 10000,
	PATH_SIZE = 64,
	LINK_SIZE = 64,
	STAT_START = 22, /* proc(5): starttime */
};
static const int64_t MS_PER_S = 1000;

/* proc files have no size: read to the end. -1 when it can't be read. */
static int
read_proc(const char *path, struct buffer *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	buffer_clear(out);
	if (fd == -1)
		return -1;
	int rc = buffer_read_all(out, fd, NULL);
	fd_close(&fd);
	return rc == -1 && !out->overflow ? -1 : 0;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

/* The first word that is no option; 0: none. */
static size_t
operand(const char *const *argv)
{
	if (argv[0] == NULL)
		return 0;
	for (size_t i = 1; argv[i] != NULL; i++)
		if (argv[i][0] != '-')
			return i;
	return 0;
}

/* reeve starts its own commands by another file. */
static bool
same_program(const char *declared, const char *running)
{
	const char *a = base_name(declared);
	const char *b = base_name(running);

	/* a login shell's name begins with '-' */
	return text_equal(a, b[0] == '-' ? b + 1 : b) ||
	       (text_equal(a, "reeve") && text_equal(b, "reeve-tool"));
}

static bool
same_arguments(const char *const *a, const char *const *b)
{
	for (; *a != NULL && *b != NULL; a++, b++)
		if (!text_equal(*a, *b))
			return false;
	return *a == NULL && *b == NULL;
}

/* What stands behind the "--" of a wrapper's arguments; NULL: no "--". */
static const char *const *
wrapped(const char *const *argv)
{
	for (; *argv != NULL; argv++)
		if (text_equal(*argv, "--"))
			return argv + 1;
	return NULL;
}

int
processes_alike(const char *const *declared, const char *const *argv)
{
	if (declared[0] == NULL || argv[0] == NULL)
		return 0;
	/* a script with "#!": the kernel puts the interpreter in front */
	if (!same_program(declared[0], argv[0])) {
		size_t script = operand(argv);
		if (script == 0 || !same_program(declared[0], argv[script]))
			return 0;
		argv += script;
	}
	if (same_arguments(declared + 1, argv + 1))
		return 2;
	/* `reeve worker … -- CMD`: it is CMD that tells them apart */
	if (text_equal(base_name(declared[0]), "reeve") &&
	    wrapped(declared) != NULL)
		return wrapped(argv) != NULL &&
		               same_arguments(wrapped(declared), wrapped(argv))
		           ? 1
		           : 0;
	size_t wanted = operand(declared);
	size_t has = operand(argv);
	if (wanted == 0)
		return 1;
	if (has == 0)
		return 0;
	return text_equal(base_name(declared[wanted]), base_name(argv[has]))
	           ? 1
	           : 0;
}

/* From the state on; the name before it may hold anything. */
static const char *
stat_rest(const struct buffer *stat)
{
	const char *at = stat->len == 0 ? NULL : strrchr(stat->data, ')');

	return at == NULL || at[1] == '\0' ? "" : at + 2;
}

/* The n-th field of /proc/PID/stat, counted as proc(5) does; -1: none. */
static int64_t
stat_field(const struct buffer *stat, int field)
{
	const char *at = stat_rest(stat);
	char *end = NULL;

	for (int i = 3; i < field && at != NULL; i++) {
		at = strchr(at, ' ');
		at = at == NULL ? NULL : at + 1;
	}
	if (at == NULL)
		return -1;
	errno = 0;
	int64_t value = strtoll(at, &end, 10);
	return end != at && errno == 0 ? value : -1;
}

static int64_t
started_wall_ms(int64_t ticks)
{
	struct timespec boot;
	long per_s = sysconf(_SC_CLK_TCK);

	if (per_s <= 0 || clock_gettime(CLOCK_BOOTTIME, &boot) == -1)
		return 0;
	int64_t up_ms =
	    (int64_t)boot.tv_sec * MS_PER_S + (int64_t)boot.tv_nsec / 1000000;
	return clock_wall_ms() - up_ms + ticks * MS_PER_S / per_s;
}

/* NUL-separated words. */
static void
split(struct buffer *cmdline, const char **argv)
{
	size_t count = 0;

	for (size_t at = 0; at < cmdline->len && count + 1 < ARGV_MAX;) {
		argv[count++] = cmdline->data + at;
		at += strlen(cmdline->data + at) + 1;
	}
	argv[count] = NULL;
}

/* The program, and its script where that is plainly a file's name. */
static const char *
shown(struct arena *arena, const char *const *argv)
{
	size_t script = operand(argv);

	if (script == 0 || strpbrk(argv[script], " =:@?&;$\n") != NULL ||
	    strchr(base_name(argv[script]), '.') == NULL)
		return arena_text(arena, argv[0]);
	return arena_format(arena, "%s %s", argv[0], argv[script]);
}

/* A command under the name of its program. */
struct named {
	const char *name;
	const struct processes_command *command;
};

struct search {
	struct named *commands; /* by name */
	size_t ncommands;
	struct arena *arena;
	struct processes_found *found;
	size_t seen, hidden;
	struct buffer cmdline, stat;
};

static void
found_add(struct search *search, const char *worker, int64_t pid,
    const char *command, int64_t started, bool exact)
{
	if (search->found->count == FOUND_MAX)
		return;
	search->found->all[search->found->count++] =
	    (struct observed_process){.worker = worker,
	        .pid = pid,
	        .command = command,
	        .started_wall_ms = started,
	        .exact = exact};
}

static int
by_name(const void *a, const void *b)
{
	const struct named *x = a;
	const struct named *y = b;
	int order = strcmp(x->name, y->name);

	return order != 0
	           ? order
	           : (x->command > y->command) - (x->command < y->command);
}

/* There may be thousands of commands, and of processes: each is held against
 * those only whose program has its name. */
static void
name_commands(struct search *search, const struct processes_command *commands,
    size_t count)
{
	search->commands =
	    arena_array(search->arena, count + 1, sizeof(*search->commands));
	for (size_t i = 0; i < count; i++)
		if (commands[i].argv[0] != NULL)
			search->commands[search->ncommands++] = (struct named){
			    base_name(commands[i].argv[0]), &commands[i]};
	qsort(search->commands, search->ncommands, sizeof(*search->commands),
	    by_name);
}

/* The first command of a program that same_program() takes for `running`. */
static size_t
first_named(const struct search *search, const char *running)
{
	size_t low = 0;
	size_t high = search->ncommands;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(search->commands[middle].name, running) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The names under which a program may be declared that runs as `argv`: its own,
 * its script's, and ours for our tool's. */
enum {
	NAMES = 3
};
static size_t
names_of(const char *const *argv, const char *names[NAMES])
{
	size_t script = operand(argv);
	size_t count = 1;

	names[0] = base_name(argv[0]);
	if (script != 0)
		names[count++] = base_name(argv[script]);
	for (size_t i = 0; i < count; i++)
		if (names[i][0] == '-')
			names[i]++;
	if (count == 2 && text_equal(names[0], names[1]))
		count = 1;
	for (size_t i = 0, before = count; i < before; i++)
		if (text_equal(names[i], "reeve-tool") &&
		    !text_equal(names[before - 1 - i], "reeve"))
			names[count++] = "reeve";
	return count;
}

typedef void alike_fn(struct search *search,
    const struct processes_command *command, int how, void *arg);

static void
each_alike(
    struct search *search, const char *const *argv, alike_fn *fn, void *arg)
{
	const char *names[NAMES];
	size_t count = names_of(argv, names);

	for (size_t n = 0; n < count; n++)
		for (size_t i = first_named(search, names[n]);
		     i < search->ncommands &&
		     text_equal(search->commands[i].name, names[n]);
		     i++) {
			const struct processes_command *command =
			    search->commands[i].command;
			int how = processes_alike(command->argv, argv);
			if (how > 0)
				fn(search, command, how, arg);
		}
}

/* One process, and how much it is like a command at best. */
struct compared {
	int64_t pid, started_wall_ms;
	const char *command;
	int best;
};

static void
take_best(struct search *search, const struct processes_command *command,
    int how, void *arg)
{
	struct compared *compared = arg;

	(void)search;
	(void)command;
	compared->best = MAX(compared->best, how);
}

static void
add_best(struct search *search, const struct processes_command *command,
    int how, void *arg)
{
	const struct compared *compared = arg;

	if (how == compared->best)
		found_add(search, command->worker, compared->pid,
		    compared->command, compared->started_wall_ms, how == 2);
}

static void
compare(struct search *search, int64_t pid, const char *const *argv)
{
	struct compared compared = {.pid = pid};
	int64_t ticks = stat_field(&search->stat, STAT_START);

	each_alike(search, argv, take_best, &compared);
	if (compared.best == 0 || ticks == -1)
		return;
	compared.started_wall_ms = started_wall_ms(ticks);
	compared.command = shown(search->arena, argv);
	each_alike(search, argv, add_best, &compared);
}

static void
look_at(struct search *search, int64_t pid)
{
	char path[PATH_SIZE];
	const char *argv[ARGV_MAX];

	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
	if (read_proc(path, &search->stat) == -1)
		return; /* it ended meanwhile */
	search->seen++;
	char state = stat_rest(&search->stat)[0];
	if (state == 'Z' || state == 'X' || state == '\0')
		return;
	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/cmdline", pid);
	if (read_proc(path, &search->cmdline) == -1) {
		search->hidden += errno == EACCES || errno == EPERM;
		return;
	}
	if (search->cmdline.len == 0)
		return; /* a thread of the kernel */
	split(&search->cmdline, argv);
	compare(search, pid, argv);
}

static bool
is_pid(const char *name, int64_t *ret)
{
	return isdigit((unsigned char)name[0]) &&
	       text_i64(name, 1, INT32_MAX, ret, NULL) == 0;
}

/* With hidepid other users' processes have no directory at all. */
static bool
proc_hides(void)
{
	struct buffer mounts;
	bool hides = false;

	buffer_init(&mounts, TABLE_MAX_BYTES);
	if (geteuid() != 0 && read_proc("/proc/self/mountinfo", &mounts) == 0 &&
	    mounts.len > 0) {
		const char *at = strstr(mounts.data, "hidepid=");
		hides = at != NULL && !text_starts(at, "hidepid=0") &&
		        !text_starts(at, "hidepid=off");
	}
	buffer_fini(&mounts);
	return hides;
}

static void
say_scope(struct search *search)
{
	char ns[LINK_SIZE] = "";
	bool hides = proc_hides();
	ssize_t len = readlink("/proc/self/ns/pid", ns, sizeof(ns) - 1);

	ns[MAX(len, 0)] = '\0';
	search->found->searched =
	    hides || search->hidden > 0 || search->seen == 0 ? RESULT_UNKNOWN
	                                                     : RESULT_PASSED;
	search->found->scope =
	    arena_format(search->arena, "%zu processes of pid namespace %.*s%s",
	        search->seen, (int)strcspn(ns + MIN(5, MAX(len, 0)), "]"),
	        ns + MIN(5, MAX(len, 0)),
	        hides                ? "; /proc hides other users' processes"
	        : search->hidden > 0 ? "; some could not be read"
	                             : "");
}

int
processes_find(const struct processes_command *commands, size_t count,
    struct arena *arena, struct processes_found *ret, struct err *err)
{
	static const struct pids nobody = {.count = 0};

	return processes_find_others(commands, count, &nobody, arena, ret, err);
}

/* NOLINTBEGIN(readability-function-size): what is looked for, and where it
 * goes */
int
processes_find_others(const struct processes_command *commands, size_t count,
    const struct pids *known, struct arena *arena, struct processes_found *ret,
    struct err *err)
{
	struct processes_found found = {
	    .all = arena_array(arena, FOUND_MAX, sizeof(*found.all))};
	struct search search = {.arena = arena, .found = &found};
	DIR *proc = opendir("/proc");

	if (proc == NULL)
		return err_sys(err, "open '/proc'");
	name_commands(&search, commands, count);
	buffer_init(&search.cmdline, CMDLINE_MAX_BYTES);
	buffer_init(&search.stat, SMALL_MAX_BYTES);
	for (struct dirent *entry = readdir(proc); entry != NULL;
	     entry = readdir(proc)) {
		int64_t pid = 0;
		if (!is_pid(entry->d_name, &pid) || pid == getpid())
			continue;
		if (pids_have(known, pid))
			search.seen++;
		else
			look_at(&search, pid);
	}
	(void)closedir(proc);
	buffer_wipe(&search.cmdline);
	buffer_fini(&search.stat);
	say_scope(&search);
	*ret = found;
	return 0;
}
/* NOLINTEND(readability-function-size) */

static int
take_argv(struct look *look, const cJSON *worker, const char *const **ret)
{
	const cJSON *command = NULL;
	const cJSON *item = NULL;
	size_t count = 0;

	if (json_array(worker, "command", &command, NULL) == -1)
		return -1;
	const char **argv = arena_array(look->arena,
	    (size_t)cJSON_GetArraySize(command) + 1, sizeof(*argv));
	cJSON_ArrayForEach(item, command)
	{
		if (json_item_text(item, &argv[count], NULL) == -1)
			return -1;
		count++;
	}
	*ret = argv;
	return 0;
}

static int
take_commands(struct look *look, struct processes_command **ret, size_t *count)
{
	const cJSON *workers = NULL;
	const cJSON *item = NULL;

	if (json_array(look->request, "workers", &workers, NULL) == -1 ||
	    cJSON_GetArraySize(workers) > COMMANDS_MAX)
		goto wrong;
	*ret = arena_array(look->arena, (size_t)cJSON_GetArraySize(workers) + 1,
	    sizeof(**ret));
	cJSON_ArrayForEach(item, workers)
	{
		struct processes_command *one = &(*ret)[(*count)++];
		if (!cJSON_IsObject(item) ||
		    json_text(item, "name", "", &one->worker, NULL) == -1 ||
		    take_argv(look, item, &one->argv) == -1)
			goto wrong;
	}
	return 0;
wrong:
	look_unknown(look, CAUSE_INTERNAL, "",
	    "the request is wrong: 'workers' are names and commands");
	return -1;
}

/* Kind "processes" {workers:[{name, command:[…]}]}: passed when all could be
 * seen, whether or not any matches. */
void
probe_processes(struct look *look)
{
	struct processes_command *commands = NULL;
	struct processes_found found = {.count = 0};
	struct err err = ERR_INIT;
	size_t count = 0;

	if (take_commands(look, &commands, &count) == -1)
		return;
	ladder_begin(&look->ladder, STEP_QUERY, "/proc");
	look->out.target = "/proc";
	if (processes_find(commands, count, look->arena, &found, &err) == -1) {
		look_unknown(look, CAUSE_INTERNAL, "", "%s", err.text);
		return;
	}
	look->out.processes = found.all;
	look->out.nprocesses = found.count;
	if (found.searched == RESULT_PASSED)
		look_passed(look, "%s", found.scope);
	else
		look_unknown(look, CAUSE_PERMISSION, "", "%s", found.scope);
}
