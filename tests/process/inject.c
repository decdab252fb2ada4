/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fails one system call of the init, and looks at what becomes of it:
 *
 *     inject REEVE HELPER sample           each call of the init once
 *     inject REEVE HELPER full [PART/OF]   every call × error × occurrence
 *     inject REEVE HELPER one CALL ERROR N (N 0: every time)
 *     inject REEVE HELPER denied CALL… -- ERROR
 *
 * The init is traced (ptrace works on static programs, LD_PRELOAD doesn't), its
 * children are not. `denied` is a seccomp profile: for the children as well.
 * TAP on stdout; the log of a case that failed on stderr.
 */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "supervisor/wire/client.h"
#include "supervisor/wire/plan_encode.h"
#include "worker/exit.h"

enum {
	WORKERS = 3,
	PATIENCE_MS = 60000,
	CALLS_MAX = 512,
	DENIED_MAX = 8,
	NTH_MAX = 40, /* occurrences of one call in a full sweep */
};

/* --- the calls --- */

#define CALL(name)                \
	{                         \
		SYS_##name, #name \
	}

/* What the init makes; those that can't fail, or that end a process, are left
 * out. */
static const struct call {
	long number;
	const char *name;
} calls[] = {CALL(read), CALL(write), CALL(close), CALL(poll), CALL(mmap),
    CALL(mprotect), CALL(ioctl), CALL(pread64), CALL(access), CALL(dup),
    CALL(nanosleep), CALL(socket), CALL(connect), CALL(accept4), CALL(sendto),
    CALL(sendmsg), CALL(recvmsg), CALL(bind), CALL(listen), CALL(getsockname),
    CALL(socketpair), CALL(setsockopt), CALL(getsockopt), CALL(clone),
    CALL(kill), CALL(fcntl), CALL(fstat), CALL(newfstatat), CALL(ftruncate),
    CALL(getcwd), CALL(chdir), CALL(mkdir), CALL(chmod), CALL(unlink),
    CALL(readlink), CALL(chown), CALL(getrlimit), CALL(setrlimit),
    CALL(prlimit64), CALL(sigaltstack), CALL(prctl), CALL(rt_sigaction),
    CALL(rt_sigprocmask), CALL(rt_sigtimedwait), CALL(epoll_create1),
    CALL(epoll_ctl), CALL(epoll_wait), CALL(epoll_pwait), CALL(openat),
    CALL(pipe2), CALL(signalfd4), CALL(memfd_create), CALL(getrandom),
    CALL(waitid), CALL(setpgid), CALL(getsid), CALL(splice), CALL(pwritev2),
    CALL(pidfd_send_signal), CALL(close_range), CALL(faccessat),
    CALL(faccessat2), CALL(pidfd_open), CALL(clone3)};

static const struct {
	int number;
	const char *name;
} errors[] = {{EAGAIN, "EAGAIN"}, {ENOMEM, "ENOMEM"}, {EMFILE, "EMFILE"},
    {ENFILE, "ENFILE"}, {EPERM, "EPERM"}, {ENOSYS, "ENOSYS"}, {EINTR, "EINTR"},
    {EIO, "EIO"}};

/* What is done to one run. */
struct trouble {
	const struct call *call; /* NULL: nothing, only counted */
	int error;
	unsigned nth; /* 0: every time */
	long denied[DENIED_MAX];
	size_t ndenied;
};

/* Shared with the tracer. */
struct seen {
	unsigned count[CALLS_MAX];
	pid_t init;
	unsigned injected;
	bool at_start; /* before any worker was made */
};

static struct seen *seen;
static const char *reeve, *helper;
static char dir[] = "/tmp/reeve-inject.XXXXXX";
static unsigned tests, failures;

NORETURN static void
die(const char *what)
{
	(void)fprintf(stderr, "inject: %s: error %d\n", what, errno);
	exit(99);
}

/* --- the tracer --- */

/* A profile that answers `error` to these calls, for it and all its children.
 */
static void
deny(const struct trouble *trouble)
{
	struct sock_filter filter[DENIED_MAX + 3];
	unsigned short at = 0, n = (unsigned short)trouble->ndenied;

	filter[at++] = (struct sock_filter)BPF_STMT(
	    BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned short i = 0; i < n; i++)
		filter[at++] = (struct sock_filter)BPF_JUMP(
		    BPF_JMP | BPF_JEQ | BPF_K, (unsigned)trouble->denied[i],
		    (unsigned char)(n - i), 0);
	filter[at++] =
	    (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[at++] = (struct sock_filter)BPF_STMT(
	    BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)trouble->error);
	const struct sock_fprog program = {.len = at, .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
		die("seccomp");
}

NORETURN static void
become_init(const struct trouble *trouble, bool traced)
{
	char plan[64], log[64];

	(void)snprintf(plan, sizeof(plan), "%s/plan", dir);
	(void)snprintf(log, sizeof(log), "%s/log", dir);
	int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	if (fd == -1 || dup2(fd, STDERR_FILENO) == -1 ||
	    dup2(fd, STDOUT_FILENO) == -1 ||
	    setenv("REEVE_SOCKET", dir, 1) != 0)
		die("set up");
	(void)close(fd);
	if (trouble->ndenied > 0)
		deny(trouble);
	if (traced && ptrace(PTRACE_TRACEME, 0, 0, 0) == -1)
		die("traceme");
	(void)execl(reeve, "reeve", "run", "--plan", plan, "--max-workers",
	    "16", (char *)NULL);
	die("execute");
}

/* Once the init has blocked its signals, its own calls begin. */
static bool
begins(long number)
{
	static bool begun;

	begun = begun || number == SYS_rt_sigprocmask;
	return begun;
}

/* The kernel closes also when it says that it failed. */
static bool
happens_anyway(long number)
{
	return number == SYS_close;
}

static bool
is_meant(const struct trouble *trouble, long number)
{
	if (number < 0 || number >= CALLS_MAX || !begins(number))
		return false;
	seen->count[number]++;
	if (trouble->call == NULL || trouble->call->number != number)
		return false;
	if (trouble->nth != 0 && seen->count[number] != trouble->nth)
		return false;
	if (seen->injected++ == 0)
		seen->at_start =
		    seen->count[SYS_clone] == 0 ||
		    (number == SYS_clone && seen->count[number] == 1);
	return true;
}

/* Entry and exit of each call until the one that is meant. */
static void
trace(pid_t pid, const struct trouble *trouble)
{
	struct user_regs_struct regs;
	bool entering = true, meant = false;
	int status, give = 0;

	while (ptrace(PTRACE_SYSCALL, pid, 0, give) == 0 &&
	       waitpid(pid, &status, 0) == pid) {
		if (!WIFSTOPPED(status))
			exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128);
		give = 0;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			if (WSTOPSIG(status) != SIGTRAP)
				give = WSTOPSIG(status);
			continue;
		}
		if (ptrace(PTRACE_GETREGS, pid, 0, &regs) == -1)
			die("getregs");
		if (entering) {
			meant = is_meant(trouble, (long)regs.orig_rax);
			if (meant && !happens_anyway((long)regs.orig_rax))
				regs.orig_rax = (unsigned long long)-1;
		} else if (meant) {
			regs.rax = (unsigned long long)-trouble->error;
		}
		if (meant && ptrace(PTRACE_SETREGS, pid, 0, &regs) == -1)
			die("setregs");
		entering = !entering;
		if (meant && entering && trouble->nth != 0) {
			(void)ptrace(PTRACE_DETACH, pid, 0, 0);
			return;
		}
	}
}

NORETURN static void
tracer(const struct trouble *trouble)
{
	bool traced = trouble->ndenied == 0;
	pid_t pid = fork();
	int status;

	if (pid == 0)
		become_init(trouble, traced);
	seen->init = pid;
	if (traced) {
		if (waitpid(pid, &status, 0) != pid ||
		    ptrace(PTRACE_SETOPTIONS, pid, 0,
		        PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == -1)
			die("trace");
		trace(pid, trouble);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("wait");
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* --- what is looked at --- */

struct look {
	pid_t tracer;
	int status; /* of the tracer; -1: it runs */
	char why[256];
};

static bool
wrong(struct look *look, const char *why)
{
	if (look->why[0] == '\0')
		(void)snprintf(look->why, sizeof(look->why), "%s", why);
	return false;
}

static bool
has_ended(struct look *look)
{
	int status;

	if (look->status == -1 &&
	    waitpid(look->tracer, &status, WNOHANG) == look->tracer)
		look->status = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
	return look->status != -1;
}

static void
a_while(void)
{
	const struct timespec ms = {0, 5000000};

	(void)nanosleep(&ms, NULL);
}

static bool
in_log(const char *text)
{
	static char bytes[65536];
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/log", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd == -1 ? 0 : read(fd, bytes, sizeof(bytes) - 1);
	fd_close(&fd);
	bytes[MAX(len, (ssize_t)0)] = '\0';
	return strstr(bytes, text) != NULL;
}

static size_t
slurp(pid_t pid, const char *what, char *bytes, size_t size)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd == -1 ? 0 : read(fd, bytes, size - 1);
	fd_close(&fd);
	bytes[MAX(len, (ssize_t)0)] = '\0';
	return (size_t)MAX(len, (ssize_t)0);
}

/* How many of our workers run; -1 when two are the same replica. `zombies`: of
 * all children of the init. */
static int
count_workers(unsigned *zombies)
{
	static char children[8192], line[4096], environment[65536];
	bool present[16] = {false};
	int count = 0;
	char what[64];

	*zombies = 0;
	(void)snprintf(what, sizeof(what), "task/%d/children", (int)seen->init);
	(void)slurp(seen->init, what, children, sizeof(children));
	for (char *at = children; *at != '\0';) {
		pid_t pid = (pid_t)strtol(at, &at, 10);
		at += strspn(at, " ");
		(void)slurp(pid, "stat", line, sizeof(line));
		const char *end = strrchr(line, ')');
		*zombies += end != NULL && end[1] != '\0' && end[2] == 'Z';
		size_t len = slurp(pid, "cmdline", line, sizeof(line));
		if (len < 6 || memmem(line, len, "\0wait", 6) == NULL)
			continue;
		len = slurp(pid, "environ", environment, sizeof(environment));
		const char *replica =
		    memmem(environment, len, "REEVE_REPLICA=", 14);
		if (replica == NULL)
			continue;
		size_t index = (size_t)(replica[14] - '0') & 15;
		if (present[index])
			return -1;
		present[index] = true;
		count++;
	}
	return count;
}

static unsigned
count_files(void)
{
	char path[64];
	unsigned count = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)seen->init);
	DIR *files = opendir(path);
	while (files != NULL && readdir(files) != NULL)
		count++;
	if (files != NULL)
		(void)closedir(files);
	return count;
}

/* --- the scenario --- */

static int
order(enum wire_type type, const char *name, int32_t replica, int32_t value)
{
	struct wire_client client = WIRE_CLIENT_INIT;
	union wire_message message;
	struct wire_reply reply = {.ok = 0};
	struct err err = ERR_INIT;

	memset(&message, 0, sizeof(message));
	(void)snprintf(
	    message.order.name, sizeof(message.order.name), "%s", name);
	message.order.replica = replica;
	message.order.value = value;
	int rc = wire_client_connect(
	    &client, "t", clock_after(clock_ms(), 2000), &err);
	if (rc == 0)
		rc = wire_client_ask(&client, type, &message, &reply,
		    clock_after(clock_ms(), 5000), &err);
	wire_client_close(&client);
	return rc == 0 && reply.ok != 0 ? 0 : -1;
}

/* Until so many workers run, each once, and no zombie is left. */
static bool
settle(struct look *look, int wanted, const char *when)
{
	int64_t until_ms = clock_after(clock_ms(), PATIENCE_MS);
	char why[128];
	unsigned zombies = 0;
	int count = 0;

	do {
		if (has_ended(look))
			return wrong(look, "the init ended unasked");
		count = count_workers(&zombies);
		if (count == -1)
			return wrong(look, "a worker runs twice");
		if (count == wanted && zombies == 0)
			return true;
		a_while();
	} while (clock_ms() < until_ms);
	(void)snprintf(why, sizeof(why), "%s: %d of %d workers, %u zombies",
	    when, count, wanted, zombies);
	return wrong(look, why);
}

/* An order may be what fails: it is given again, as people would. */
static bool
insist(struct look *look, enum wire_type type, const char *name,
    int32_t replica, int32_t value)
{
	for (int i = 0; i < 5; i++) {
		if (order(type, name, replica, value) == 0)
			return true;
		if (has_ended(look))
			return wrong(look, "the init ended at an order");
	}
	/* without a socket nobody can ask; it has said so */
	if (in_log("control.none"))
		return true;
	return wrong(look, "an order isn't answered");
}

static unsigned files_at_rest; /* of a run without trouble */
/* What isn't known to be a pipe or a file is written to through a pipe of our
 * own (base/nowait.h). */
static unsigned files_more;

static bool
no_leak(struct look *look)
{
	/* news of an exec that can't be waited for is looked at after 5 s */
	int64_t until_ms = clock_after(clock_ms(), 20000);
	char why[64];
	unsigned count;

	do {
		count = count_files();
		if (files_at_rest == 0 || count <= files_at_rest + files_more)
			return true;
		a_while();
	} while (clock_ms() < until_ms);
	(void)snprintf(
	    why, sizeof(why), "%u descriptors, not %u", count, files_at_rest);
	return wrong(look, why);
}

static bool
ends_well(struct look *look)
{
	int64_t until_ms = clock_after(clock_ms(), PATIENCE_MS);
	char why[64];

	(void)kill(seen->init, SIGTERM);
	while (!has_ended(look)) {
		if (clock_ms() > until_ms)
			return wrong(look, "it doesn't end");
		a_while();
	}
	if (look->status == 0)
		return true;
	(void)snprintf(why, sizeof(why), "exit code %d", look->status);
	return wrong(look, why);
}

/* Before anything runs it may give up, if it says so. */
static bool
gave_up_at_start(struct look *look)
{
	int64_t until_ms = clock_after(clock_ms(), 10000);

	while (!has_ended(look) && !in_log("plan.applied") &&
	       clock_ms() < until_ms)
		a_while();
	if (!has_ended(look) || in_log("plan.applied"))
		return false;
	if (!seen->at_start)
		(void)wrong(look, "it gave up with workers");
	if (look->status < 64 || look->status > 78)
		(void)wrong(look, "it gave up without a code of ours");
	return true;
}

static void
scenario(struct look *look)
{
	bool fine = !gave_up_at_start(look);

	fine = fine && settle(look, WORKERS, "start") &&
	       insist(look, WIRE_RESTART, "a", 0, 0) &&
	       settle(look, WORKERS, "restart") &&
	       insist(look, WIRE_SIGNAL, "a", 1, SIGKILL) &&
	       settle(look, WORKERS, "crash") &&
	       insist(look, WIRE_STOP, "b", WIRE_ALL_REPLICAS, 0) &&
	       settle(look, WORKERS, "stop");
	if (fine && !in_log("control.none"))
		fine = insist(look, WIRE_SCALE, "a", WIRE_ALL_REPLICAS,
		           WORKERS - 1) &&
		       settle(look, WORKERS - 1, "scale");
	fine = fine && no_leak(look);
	if (fine && files_at_rest == 0)
		files_at_rest = count_files();
	if (fine)
		(void)ends_well(look);
	if (look->status == -1) {
		(void)kill(seen->init, SIGKILL);
		(void)kill(look->tracer, SIGKILL);
		(void)waitpid(look->tracer, &look->status, 0);
	}
}

/* --- cases --- */

static void
show_log(void)
{
	static char bytes[65536];
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/log", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd == -1 ? 0 : read(fd, bytes, sizeof(bytes));
	fd_close(&fd);
	if (len > 0)
		(void)!write(STDERR_FILENO, bytes, (size_t)len);
}

/* Nothing of the case before is taken for this one's. */
static void
forget_log(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/log", dir);
	(void)unlink(path);
}

static void
run_case(const struct trouble *trouble, const char *name)
{
	struct look look = {.status = -1};

	*seen = (struct seen){.init = 0};
	/* musl calls the one, glibc the other */
	files_more =
	    trouble->call != NULL && (trouble->call->number == SYS_newfstatat ||
	                                 trouble->call->number == SYS_fstat)
	        ? 2
	        : 0;
	forget_log();
	(void)fflush(stdout);
	look.tracer = fork();
	if (look.tracer == 0)
		tracer(trouble);
	while (seen->init == 0 && !has_ended(&look))
		a_while();
	scenario(&look);
	bool good = look.why[0] == '\0';
	if (!good) {
		failures++;
		show_log();
	}
	printf("%sok %u - %s%s%s\n", good ? "" : "not ", ++tests, name,
	    good ? "" : ": ", look.why);
	(void)fflush(stdout);
}

static void
run_one(const struct call *call, size_t error, unsigned nth)
{
	const struct trouble trouble = {
	    .call = call, .error = errors[error].number, .nth = nth};
	char name[96];

	(void)snprintf(name, sizeof(name), "%s %s, time %u", call->name,
	    errors[error].name, nth);
	run_case(&trouble, name);
}

static const struct call *
find_call(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (text_equal(calls[i].name, name))
			return &calls[i];
	(void)fprintf(stderr, "inject: no call '%s'\n", name);
	exit(99);
}

static size_t
find_error(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(errors); i++)
		if (text_equal(errors[i].name, name))
			return i;
	(void)fprintf(stderr, "inject: no error '%s'\n", name);
	exit(99);
}

static unsigned
count_of(const unsigned *counted, const struct call *call)
{
	return call->number < CALLS_MAX ? counted[call->number] : 0;
}

static void
sample(const unsigned *counted)
{
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		unsigned count = count_of(counted, &calls[i]);
		if (count > 0)
			run_one(&calls[i], i % ARRAY_LEN(errors),
			    1 + (unsigned)(i * 7) % MIN(count, 6U));
	}
}

static void
full(const unsigned *counted, const char *part)
{
	unsigned long which = 0, of = 1, number = 0;

	if (part != NULL) {
		char *end;
		which = strtoul(part, &end, 10);
		of = *end == '/' ? strtoul(end + 1, NULL, 10) : 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		for (size_t e = 0; e < ARRAY_LEN(errors); e++)
			for (unsigned n = 1;
			     n <= MIN(count_of(counted, &calls[i]),
			              (unsigned)NTH_MAX);
			     n += 1 + n / 4)
				if (number++ % of == which % of)
					run_one(&calls[i], e, n);
}

static void
write_plan(void)
{
	static const char *const nothing[] = {NULL};
	const char *a[] = {helper, "wait", NULL};
	const char *b[] = {helper, "exit", "1", NULL};
	const struct worker_spec common = {.executable = helper,
	    .envp = nothing,
	    .uid = WORKER_ID_NONE,
	    .gid = WORKER_ID_NONE,
	    .umask = UINT32_MAX,
	    .grace_ms = 2000,
	    .drain_signal = SIGTERM,
	    .replicas = 1,
	    .backoff_first_ms = 30,
	    .backoff_cap_ms = 30,
	    .generation = 1};
	struct worker_spec specs[] = {common, common};
	struct plan_settings settings;
	struct buffer out;
	struct err err = ERR_INIT;
	char path[64];

	specs[0].name = "a";
	specs[0].argv = a;
	specs[0].replicas = WORKERS;
	specs[1].name = "b";
	specs[1].argv = b;
	plan_settings_default(&settings);
	settings.name = "t";
	buffer_init(&out, PLAN_BYTES_MAX);
	(void)snprintf(path, sizeof(path), "%s/plan", dir);
	if (plan_encode(specs, ARRAY_LEN(specs), &settings, &out, &err) == -1 ||
	    fd_replace_file(path, 0600, out.data, out.len, &err) == -1) {
		(void)fprintf(stderr, "inject: %s\n", err.text);
		exit(99);
	}
	buffer_fini(&out);
}

static int
denied(int argc, char *argv[])
{
	struct trouble trouble = {.ndenied = 0};
	char name[128] = "denied:";
	int i = 0;

	for (; i < argc && !text_equal(argv[i], "--"); i++) {
		if (trouble.ndenied == DENIED_MAX)
			die("too many calls");
		trouble.denied[trouble.ndenied++] = find_call(argv[i])->number;
		size_t used = strlen(name);
		(void)snprintf(
		    name + used, sizeof(name) - used, " %s", argv[i]);
	}
	if (i + 1 >= argc)
		die("which error");
	trouble.error = errors[find_error(argv[i + 1])].number;
	run_case(&trouble, name);
	return failures > 0;
}

static void
clean_up(void)
{
	static const char *const files[] = {"plan", "log"};
	char path[64];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
}

int
main(int argc, char *argv[])
{
	static unsigned counted[CALLS_MAX];

	if (argc < 4 || mkdtemp(dir) == NULL)
		die("usage: REEVE HELPER sample|full|one|denied");
	reeve = argv[1];
	helper = argv[2];
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED || setenv("REEVE_SOCKET", dir, 1) != 0)
		die("set up");
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	write_plan();
	run_case(&(struct trouble){.call = NULL}, "nothing fails");
	memcpy(counted, seen->count, sizeof(counted));
	if (text_equal(argv[3], "sample"))
		sample(counted);
	else if (text_equal(argv[3], "full"))
		full(counted, argv[4]);
	else if (text_equal(argv[3], "denied"))
		(void)denied(argc - 4, argv + 4);
	else if (argc == 7)
		run_one(find_call(argv[4]), find_error(argv[5]),
		    (unsigned)strtoul(argv[6], NULL, 10));
	printf("1..%u\n", tests);
	clean_up();
	return failures > 0;
}
