/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures one supervisor and prints its figures on one line. The supervisor
 * is told by its own configuration to run `worker report FIFO` or `worker
 * storm N FIFO`; this program makes FIFO, starts the supervisor and looks.
 *
 *     driver round  FIFO COUNT SAMPLES GAP STOP -- CMD…
 *         start_ms cpu_ms pss_kib dirty_kib processes p50_ms p99_ms stop_ms
 *         restart_cpu_ms
 *         COUNT workers; SAMPLES of them are killed, one each GAP ms
 *     driver memory FIFO COUNT -- CMD…
 *         pss_kib dirty_kib of CMD as PID 1
 *     driver killed FIFO COUNT -- CMD…
 *         workers that are left a second after CMD was killed
 *     driver soak   FIFO COUNT STOP -- CMD…
 *         cpu_ms more_dirty_kib more_fds: for each restart of workers that end
 *         at once, of the second half of COUNT restarts
 *     driver idle   FIFO COUNT SECONDS STOP -- CMD…
 *         wake-ups a minute of the supervising processes
 *     driver storm  FIFO COUNT STOP -- CMD…
 *         ms until 99 % of the orphans are reaped, "-" when not within 20 s
 *     driver late   FIFO COUNT WAIT STOP -- CMD…
 *         late_ms waited_ms: that CMD was late to make a `worker born
 *         FIFO.late`, which it starts again WAIT ms after its end at most,
 *         during such a storm; that it waited for a processor meanwhile, all
 *         in all
 *     driver lost   RUNS -- CMD…
 *         lost accepted: of SIGTERMs 0 to 4 ms after the start
 *
 * STOP is the number of the signal that ends CMD with all its workers. All
 * memory and processor time is that of CMD and its descendants that aren't
 * workers. Nothing is measured by sleeping: the driver waits for events, except
 * where a wait is what is asked for.
 */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/report.h"

enum {
	PIDS_MAX = 65536,
	PATIENCE_MS = 60000,
	STORM_MS = 20000,
	SAMPLES_MS = 4000,
	LOST_MS = 250,
	KILLED_MS = 1000,
	LOST_DELAY_US = 4000,
	DIRTY_LOOKS = 15,
	DIRTY_APART_US = 40000,
	RUNS_MAX = 10000
};

static pid_t workers[PIDS_MAX]; /* in the order of their reports */
static size_t nworkers;
static int64_t last_report;
static int fifo = -1;

NORETURN static void
die(const char *what)
{
	(void)fprintf(stderr, "driver: %s: %s\n", what, strerror(errno));
	_exit(99);
}

static int64_t
now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static double
ms(int64_t ns)
{
	return (double)ns / 1e6;
}

static void
pass_us(int64_t us)
{
	struct timespec wait = {
	    .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

	while (nanosleep(&wait, &wait) == -1 && errno == EINTR)
		;
}

static long
number(const char *text)
{
	char *end = NULL;
	long value = strtol(text, &end, 10);

	if (end == text || *end != '\0' || value < 0)
		die(text);
	return value;
}

/* --- starting and ending ----------------------------------------------------
 */

static void
make_fifo(const char *path)
{
	(void)unlink(path);
	if (mkfifo(path, 0600) == -1)
		die(path);
	/* for both, so that it never ends */
	fifo = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fifo == -1)
		die(path);
	(void)fcntl(fifo, F_SETPIPE_SZ, 1 << 20);
}

static void
become(char *argv[])
{
	int null = open("/dev/null", O_RDWR);

	if (null == -1 || dup2(null, 0) == -1 || dup2(null, 1) == -1)
		die("/dev/null");
	if (getenv("BENCH_VERBOSE") == NULL)
		(void)dup2(null, 2);
	(void)close(null);
	(void)execvp(argv[0], argv);
	die(argv[0]);
}

static pid_t
start(char *argv[])
{
	pid_t pid = fork();

	if (pid == -1)
		die("fork");
	if (pid == 0)
		become(argv);
	return pid;
}

/* All descendants, for we are their reaper. */
static void
await_all(void)
{
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

static void
kill_children(void)
{
	char path[64];
	int child = 0;

	(void)snprintf(
	    path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	FILE *in = fopen(path, "re");
	if (in == NULL)
		die(path);
	while (fscanf(in, "%d", &child) == 1) // NOLINT(cert-err34-c)
		(void)kill(child, SIGKILL);
	(void)fclose(in);
}

/* Those whose parent we kill become ours. */
static void
kill_all(void)
{
	for (int i = 0; i < 5; i++) {
		kill_children();
		pass_us(50000);
	}
	await_all();
}

/* The next report; false when none came in time. */
static bool
next_report(struct bench_report *ret, int64_t until)
{
	for (;;) {
		struct pollfd look = {.fd = fifo, .events = POLLIN};
		ssize_t got = read(fifo, ret, sizeof(*ret));
		int64_t left = until - now_ns();

		if (got == (ssize_t)sizeof(*ret))
			return true;
		if (left <= 0)
			return false;
		(void)poll(&look, 1, (int)(left / 1000000) + 1);
	}
}

static void
await_reports(size_t count)
{
	struct bench_report report;
	int64_t until = now_ns() + PATIENCE_MS * INT64_C(1000000);

	while (nworkers < count) {
		if (!next_report(&report, until)) {
			(void)fprintf(stderr,
			    "driver: %zu of %zu workers reported\n", nworkers,
			    count);
			kill_all();
			_exit(99);
		}
		workers[nworkers++] = (pid_t)report.pid;
		last_report = MAX(last_report, report.ns);
	}
}

/* --- looking ----------------------------------------------------------------
 */

struct usage {
	int64_t cpu_ns, switches;
	long pss, dirty, processes;
};

static bool
is_worker(pid_t pid)
{
	char path[64], name[32] = "";

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	FILE *in = fopen(path, "re");
	if (in == NULL)
		return true;
	bool got = fgets(name, sizeof(name), in) != NULL;
	(void)fclose(in);
	/* a script's name is that of the file */
	return !got || strcmp(name, "worker\n") == 0 ||
	       strcmp(name, "run\n") == 0;
}

/* The sum of the numbers behind a word at the start of a line. */
static long
field(const char *path, const char *word)
{
	char line[512];
	long sum = 0;
	FILE *in = fopen(path, "re");

	if (in == NULL)
		return 0;
	while (fgets(line, sizeof(line), in) != NULL)
		if (strncmp(line, word, strlen(word)) == 0)
			sum += strtol(line + strlen(word), NULL, 10);
	(void)fclose(in);
	return sum;
}

static void
add_thread(struct usage *to, const char *task)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/schedstat", task);
	to->cpu_ns += field(path, "");
	(void)snprintf(path, sizeof(path), "%s/status", task);
	to->switches += field(path, "voluntary_ctxt_switches:");
}

static void add_tree(struct usage *to, pid_t pid, bool memory);

static void
add_children(struct usage *to, const char *task, bool memory)
{
	char path[512];
	int child = 0;

	(void)snprintf(path, sizeof(path), "%s/children", task);
	FILE *in = fopen(path, "re");
	if (in == NULL)
		return;
	/* the numbers are the kernel's own */
	while (fscanf(in, "%d", &child) == 1) // NOLINT(cert-err34-c)
		if (!is_worker(child))
			add_tree(to, child, memory);
	(void)fclose(in);
}

static void
add_tree(struct usage *to, pid_t pid, bool memory)
{
	char path[64], task[384];
	struct dirent *entry;

	to->processes++;
	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	if (memory) {
		to->pss += field(path, "Pss:");
		to->dirty += field(path, "Private_Dirty:");
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(
		    task, sizeof(task), "%s/%s", path, entry->d_name);
		add_thread(to, task);
		add_children(to, task, memory);
	}
	(void)closedir(dir);
}

/* --- what is measured --------------------------------------------------------
 */

static int
by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* From kill to the report of the next one; workers take turns. */
static size_t
restarts(size_t count, long gap, double *ret)
{
	size_t taken = 0;
	int64_t until =
	    now_ns() +
	    MAX((int64_t)SAMPLES_MS, 2 * gap * (int64_t)count) * 1000000;

	/* those that wait for a second each time give fewer */
	for (size_t i = 0; i < count && now_ns() < until; i++) {
		struct bench_report report;
		size_t which = i % nworkers;
		int64_t from = now_ns();

		(void)kill(workers[which], SIGKILL);
		if (!next_report(&report, from + INT64_C(10000000000)))
			return taken;
		ret[taken++] = ms(report.ns - from);
		workers[which] = (pid_t)report.pid;
		pass_us(gap * 1000);
	}
	return taken;
}

static void
measure_round(char *args[], char *argv[])
{
	static double samples[PIDS_MAX];
	size_t count = (size_t)number(args[1]);
	size_t wanted = (size_t)number(args[2]);
	struct usage usage = {0}, after = {0};

	make_fifo(args[0]);
	int64_t from = now_ns();
	pid_t pid = start(argv);
	await_reports(count);
	double start_ms = ms(last_report - from);
	pass_us(1500000); /* runsv and s6-supervise want it a second old */
	add_tree(&usage, pid, true);
	size_t n = restarts(wanted, number(args[3]), samples);
	add_tree(&after, pid, false);
	qsort(samples, n, sizeof(samples[0]), by_size);
	from = now_ns();
	(void)kill(pid, (int)number(args[4]));
	await_all();
	double stop_ms = ms(now_ns() - from);
	(void)printf("%.1f %.1f %ld %ld %ld ", start_ms, ms(usage.cpu_ns),
	    usage.pss, usage.dirty, usage.processes);
	if (n == 0)
		(void)printf("- - ");
	else
		(void)printf(
		    "%.2f %.2f ", samples[n / 2], samples[(n - 1) * 99 / 100]);
	(void)printf("%.1f ", stop_ms);
	if (n == 0)
		(void)printf("-\n");
	else
		(void)printf(
		    "%.3f\n", ms(after.cpu_ns - usage.cpu_ns) / (double)n);
}

static void
measure_idle(char *args[], char *argv[])
{
	struct usage before = {0}, after = {0};
	long seconds = number(args[2]);

	make_fifo(args[0]);
	pid_t pid = start(argv);
	await_reports((size_t)number(args[1]));
	pass_us(8000000); /* what follows the start is over */
	add_tree(&before, pid, false);
	pass_us(seconds * 1000000);
	add_tree(&after, pid, false);
	(void)kill(pid, (int)number(args[3]));
	await_all();
	(void)printf("%.1f\n",
	    (double)(after.switches - before.switches) * 60 / (double)seconds);
}

/* As PID 1 of a namespace, where every orphan becomes its child. */
static pid_t
start_pid1(char *argv[])
{
	if (unshare(CLONE_NEWPID | CLONE_NEWNS) == -1)
		die("unshare");
	pid_t pid = fork();
	if (pid == -1)
		die("fork");
	if (pid != 0)
		return pid;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("proc", "/proc", "proc", 0, NULL) == -1)
		die("mount");
	become(argv);
	return -1;
}

static void
measure_memory(char *args[], char *argv[])
{
	struct usage usage = {0};

	make_fifo(args[0]);
	pid_t pid = start_pid1(argv);
	await_reports((size_t)number(args[1]));
	pass_us(500000);
	/* as /proc of its namespace, which we look at, has it */
	add_tree(&usage, 1, true);
	(void)kill(pid, SIGKILL);
	await_all();
	(void)printf("%ld %ld\n", usage.pss, usage.dirty);
}

static void
measure_killed(char *args[], char *argv[])
{
	size_t left = 0;

	make_fifo(args[0]);
	pid_t pid = start(argv);
	await_reports((size_t)number(args[1]));
	(void)kill(pid, SIGKILL);
	pass_us(KILLED_MS * INT64_C(1000));
	/* those that have ended are ours to reap */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	for (size_t i = 0; i < nworkers; i++)
		left += kill(workers[i], 0) == 0;
	kill_all();
	(void)printf("%zu\n", left);
}

static long
open_files(pid_t pid)
{
	char path[64];
	long count = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *dir = opendir(path);
	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		count++;
	(void)closedir(dir);
	return count;
}

static void
pass_reports(size_t count)
{
	struct bench_report report;

	for (size_t i = 0; i < count; i++)
		if (!next_report(
		        &report, now_ns() + PATIENCE_MS * INT64_C(1000000))) {
			kill_all();
			_exit(99);
		}
}

/* Of the supervisor itself, shared or not: what it shares with a child that has
 * not executed anything yet is private again a moment later. The median of
 * several looks: pages that the kernel takes from it or has yet to give it in
 * one moment are no growth, nor may they hide one. */
static long
dirty_of(pid_t pid)
{
	double looks[DIRTY_LOOKS];
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	for (size_t i = 0; i < DIRTY_LOOKS; i++) {
		looks[i] = (double)(field(path, "Private_Dirty:") +
		                    field(path, "Shared_Dirty:"));
		pass_us(DIRTY_APART_US);
	}
	qsort(looks, DIRTY_LOOKS, sizeof(*looks), by_size);
	if (looks[0] != looks[DIRTY_LOOKS - 1])
		(void)fprintf(stderr,
		    "driver: dirty memory from %.0f to %.0f KiB\n", looks[0],
		    looks[DIRTY_LOOKS - 1]);
	return (long)looks[DIRTY_LOOKS / 2];
}

static void
measure_soak(char *args[], char *argv[])
{
	size_t count = (size_t)number(args[1]);
	struct usage before = {0}, after = {0};

	make_fifo(args[0]);
	pid_t pid = start(argv);
	pass_reports(count / 2);
	add_tree(&before, pid, false); /* first: it goes on while we look */
	long dirty = dirty_of(pid);
	long fds = open_files(pid);
	pass_reports(count / 2);
	add_tree(&after, pid, false);
	fds = open_files(pid) - fds;
	dirty = dirty_of(pid) - dirty;
	(void)kill(pid, (int)number(args[2]));
	await_all();
	(void)printf("%.3f %ld %ld\n",
	    ms(after.cpu_ns - before.cpu_ns) / ((double)count / 2), dirty, fds);
}

/* Processes and threads of the machine, zombies too. */
static long
machine_processes(void)
{
	struct sysinfo info;

	return sysinfo(&info) == -1 ? 0 : info.procs;
}

/* Makes FIFO.SUFFIX, and opens it for both. */
static int
side_fifo(const char *path, const char *suffix)
{
	char name[PATH_MAX];

	(void)snprintf(name, sizeof(name), "%s.%s", path, suffix);
	(void)unlink(name);
	if (mkfifo(name, 0600) == -1)
		die(name);
	int fd = open(name, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1)
		die(name);
	return fd;
}

static void
measure_storm(char *args[], char *argv[])
{
	long count = number(args[1]);

	make_fifo(args[0]);
	int writer = side_fifo(args[0], "end");
	pid_t pid = start_pid1(argv);
	await_reports(1);
	pass_us(500000);
	long before = machine_processes();
	int64_t from = now_ns(), until = from + STORM_MS * INT64_C(1000000);
	(void)close(writer);
	/* the machine's other processes come and go: 1 % is theirs */
	while (before - machine_processes() < count - count / 100 &&
	       now_ns() < until)
		pass_us(500);
	int64_t took = now_ns() - from;
	if (took >= until - from)
		(void)printf("-\n");
	else
		(void)printf("%.1f\n", ms(took));
	(void)kill(pid, SIGKILL);
	await_all();
}

/* How long PID 1 of the namespace was ready to run, and another one ran. */
static int64_t
waited_ns(void)
{
	long long ran = 0, waited = 0;
	FILE *in = fopen("/proc/1/schedstat", "re");

	if (in == NULL)
		return 0;
	/* the numbers are the kernel's own */
	if (fscanf(in, "%lld %lld", &ran, &waited) != 2) // NOLINT(cert-err34-c)
		waited = 0;
	(void)fclose(in);
	return waited;
}

/* The longest time from one's last deed (`*last`: of the one before) to the
 * making of the next: how long either then waits for a processor, among
 * thousands that want to end, is not the supervisor's. */
static int64_t
longest_gap(int late, int64_t *last, int64_t until)
{
	struct bench_report report;
	int64_t gap = 0;

	while (now_ns() < until) {
		struct pollfd look = {.fd = late, .events = POLLIN};
		if (read(late, &report, sizeof(report)) !=
		    (ssize_t)sizeof(report)) {
			(void)poll(&look, 1, 10);
			continue;
		}
		if (*last != 0)
			gap = MAX(gap, report.born_ns - *last);
		*last = report.ns;
	}
	return gap;
}

static void
measure_late(char *args[], char *argv[])
{
	long count = number(args[1]);
	int64_t last = 0, gap = 0;

	make_fifo(args[0]);
	int writer = side_fifo(args[0], "end");
	int late = side_fifo(args[0], "late");
	pid_t pid = start_pid1(argv);
	await_reports(1);
	(void)longest_gap(late, &last, now_ns() + INT64_C(500000000));
	long before = machine_processes();
	int64_t until = now_ns() + STORM_MS * INT64_C(1000000);
	int64_t waited = waited_ns();
	(void)close(writer);
	while (before - machine_processes() < count - count / 100 &&
	       now_ns() < until)
		gap = MAX(
		    gap, longest_gap(late, &last, now_ns() + INT64_C(5000000)));
	waited = waited_ns() - waited;
	/* the one that was made last, when it gets to run */
	gap =
	    MAX(gap, longest_gap(late, &last, now_ns() + INT64_C(1000000000)));
	(void)printf("%.1f %.1f\n",
	    MAX(ms(gap) - (double)number(args[2]), (double)0), ms(waited));
	(void)kill(pid, SIGKILL);
	await_all();
}

struct run {
	pid_t pid;
	int64_t until;
};

/* -1: still there. Otherwise whether the signal was accepted: not so when it
 * ended the supervisor before that had looked at signals at all. */
static int
looked(const struct run *run)
{
	int status = 0;

	if (waitpid(run->pid, &status, WNOHANG) != run->pid)
		return -1;
	return !WIFSIGNALED(status);
}

static void
measure_lost(char *args[], char *argv[])
{
	static struct run waiting[RUNS_MAX];
	size_t nwaiting = 0;
	long runs = number(args[0]), lost = 0, accepted = 0;

	srandom(1);
	for (long i = 0; i < runs && i < RUNS_MAX; i++) {
		struct run run = {.pid = start(argv)};
		int result = -1;
		pass_us(random() % LOST_DELAY_US);
		(void)kill(run.pid, SIGTERM);
		int64_t soon = now_ns() + INT64_C(20000000);
		run.until = now_ns() + LOST_MS * INT64_C(1000000);
		while ((result = looked(&run)) == -1 && now_ns() < soon)
			pass_us(200);
		if (result == -1)
			waiting[nwaiting++] = run;
		accepted += result == 1;
	}
	for (size_t i = 0; i < nwaiting; i++) {
		int result = -1;
		while ((result = looked(&waiting[i])) == -1 &&
		       now_ns() < waiting[i].until)
			pass_us(1000);
		lost += result == -1;
		accepted += result != 0;
	}
	(void)printf("%ld %ld\n", lost, accepted);
	kill_all();
}

int
main(int argc, char *argv[])
{
	static const struct {
		const char *name;
		int args;
		void (*measure)(char *args[], char *argv[]);
	} kinds[] = {{"round", 5, measure_round}, {"idle", 4, measure_idle},
	    {"storm", 3, measure_storm}, {"late", 4, measure_late},
	    {"lost", 1, measure_lost}, {"memory", 2, measure_memory},
	    {"killed", 2, measure_killed}, {"soak", 3, measure_soak}};

	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1)
		die("prctl");
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(kinds); i++) {
		int args = kinds[i].args;
		if (strcmp(argv[1], kinds[i].name) != 0 || argc < args + 4 ||
		    strcmp(argv[2 + args], "--") != 0)
			continue;
		kinds[i].measure(argv + 2, argv + 3 + args);
		return 0;
	}
	(void)fputs(
	    "driver: wrong usage; its first lines say what there is\n", stderr);
	return 64;
}
