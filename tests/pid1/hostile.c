/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes wrong around an init, on purpose: lost signals, floods of orphans,
 * recycled process numbers, file systems that hang, kernels and sandboxes
 * without the newer calls. A static program, as the helper of the process
 * tests is.
 */
#include "base/base.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/fuse.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

#include "tests/process/props.h"

enum {
	KERNEL_SIGSET_SIZE = 8,
	STRANGERS = 40,
};

static void
rest(long ms)
{
	struct timespec time = {
	    .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	(void)nanosleep(&time, NULL);
}

/* --- workers ----------------------------------------------------------------
 */

/* stamp FILE CODE: adds the monotonic time in ms to FILE, exits */
static int
mode_stamp(char *argv[])
{
	struct timespec now;
	char text[32];
	int fd = open(argv[0], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	int len = snprintf(text, sizeof(text), "%lld\n",
	    (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
	if (fd == -1 || write(fd, text, (size_t)len) != len)
		die(argv[0]);
	return number(argv[1]);
}

/* environ FILE: what we were given, byte by byte; then until a signal */
NORETURN static int
mode_environ(char *argv[])
{
	static char bytes[1 << 20];
	int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t got;

	while ((got = read(fd, bytes + len, sizeof(bytes) - len)) > 0)
		len += (size_t)got;
	if (got == -1)
		die("environ");
	mark_bytes(argv[0], bytes, len);
	wait_for_ever();
}

/* flood N READY DONE: N orphans that live at the same time and, when somebody
 * has removed READY, end in one instant */
NORETURN static int
mode_flood(char *argv[])
{
	int count = number(argv[0]);
	int gate[2];
	char byte;
	pid_t middle;

	if (pipe(gate) == -1)
		die("pipe");
	fork_or_die(&middle);
	if (middle == 0) {
		(void)close(gate[1]);
		for (int i = 0; i < count; i++) {
			pid_t pid;
			fork_or_die(&pid);
			if (pid == 0)
				_exit((int)read(gate[0], &byte, 1));
		}
		_exit(0);
	}
	int status = 0;
	(void)waitpid(middle, &status, 0);
	if (status != 0)
		_exit(98);
	mark_pid(argv[1]);
	while (access(argv[1], F_OK) == 0)
		(void)poll(NULL, 0, 5);
	(void)close(gate[1]);
	mark(argv[2], "done\n");
	wait_for_ever();
}

/* pair READY: a member of our group that ignores TERM; we don't */
NORETURN static int
mode_pair(char *argv[])
{
	pid_t pid;

	fork_or_die(&pid);
	if (pid == 0) {
		handle(SIGTERM, SIG_IGN);
		mark_pid(argv[0]);
	}
	wait_for_ever();
}

/* deserter READY: a process that has left our session, has no parent that
 * waits, and ignores TERM; we wait for a signal */
NORETURN static int
mode_deserter(char *argv[])
{
	pid_t pid;

	fork_or_die(&pid);
	if (pid == 0) {
		(void)setsid();
		fork_or_die(&pid);
		if (pid != 0)
			_exit(0);
		handle(SIGTERM, SIG_IGN);
		mark_pid(argv[0]);
		wait_for_ever();
	}
	(void)waitpid(pid, NULL, 0);
	wait_for_ever();
}

/* talk: "ready N" every now and then */
NORETURN static int
mode_talk(char *argv[])
{
	(void)argv;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0;; i++) {
		(void)printf("ready %d\n", i);
		rest(20);
	}
}

/* shout BYTES DONE: as much in lines, then until a signal */
NORETURN static int
mode_shout(char *argv[])
{
	static char line[100];
	int left = number(argv[0]);

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	for (; left > 0; left -= (int)sizeof(line))
		if (write(STDOUT_FILENO, line, sizeof(line)) == -1)
			die("write");
	mark(argv[1], "done\n");
	wait_for_ever();
}

/* talk-later READY GO: ends at once; a process of another session keeps our
 * stdout and speaks when the file GO is there */
static int
mode_talk_later(char *argv[])
{
	pid_t pid;

	fork_or_die(&pid);
	if (pid == 0) {
		(void)setsid();
		mark_pid(argv[0]);
		while (access(argv[1], F_OK) == -1)
			rest(10);
		(void)printf("said by %d\n", (int)getpid());
		return fflush(stdout) != 0;
	}
	while (access(argv[0], F_OK) == -1)
		(void)sched_yield();
	return 0;
}

/* eat READY: memory, until there is none */
NORETURN static int
mode_eat(char *argv[])
{
	enum {
		PIECE = 1 << 20
	};

	mark_pid(argv[0]);
	for (;;) {
		char *piece = mmap(NULL, PIECE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (piece == MAP_FAILED)
			die("mmap");
		memset(piece, 1, PIECE);
	}
}

/* open PATH READY */
NORETURN static int
mode_open(char *argv[])
{
	mark_pid(argv[1]);
	(void)open(argv[0], O_RDONLY | O_CLOEXEC);
	wait_for_ever();
}

/* operate: in the operator's place: nonsense, and then the end */
static int
mode_operate(char *argv[])
{
	static char nonsense[4096];

	(void)argv;
	memset(nonsense, 0xa5, sizeof(nonsense));
	for (size_t len = 1; len <= sizeof(nonsense); len *= 2)
		(void)!write(STDERR_FILENO + 1, nonsense, len);
	rest(50);
	return 3;
}

/* --- what happens to the init
 * ---------------------------------------------------
 */

/* deafen PID: unblocks SIGCHLD in it, so that the kernel discards every one
 * that comes from now on */
static int
mode_deafen(char *argv[])
{
	pid_t pid = number(argv[0]);
	uint64_t mask = 0;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == -1 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == -1)
		die("ptrace");
	(void)waitpid(pid, NULL, __WALL);
	if (ptrace(PTRACE_GETSIGMASK, pid, KERNEL_SIGSET_SIZE, &mask) == -1)
		die("mask");
	if ((mask & UINT64_C(1) << (SIGCHLD - 1)) == 0)
		return 98; /* wasn't blocked: this tests nothing */
	mask &= ~(UINT64_C(1) << (SIGCHLD - 1));
	if (ptrace(PTRACE_SETSIGMASK, pid, KERNEL_SIGSET_SIZE, &mask) == -1 ||
	    ptrace(PTRACE_DETACH, pid, NULL, NULL) == -1)
		die("ptrace");
	return 0;
}

/* SIGTERM is blocked in `pid` and it is reeve; false: it is gone */
static bool
blocks_term(pid_t pid, bool *ret_gone)
{
	char path[64], text[4096];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd == -1 ? -1 : read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	*ret_gone = got <= 0;
	if (got <= 0)
		return false;
	text[got] = '\0';
	const char *blocked = strstr(text, "SigBlk:");
	return strncmp(text, "Name:\treeve\n", 12) == 0 && blocked != NULL &&
	       (strtoull(blocked + 7, NULL, 16) & 1U << (SIGTERM - 1)) != 0;
}

/* aim PID: SIGTERM at a random moment of the 4 ms after it has become a reeve
 * that has blocked its signals */
static int
mode_aim(char *argv[])
{
	pid_t pid = number(argv[0]);
	bool gone = false;

	srandom((unsigned)getpid());
	while (!blocks_term(pid, &gone))
		if (gone)
			return 1;
	struct timespec delay = {.tv_nsec = random() % 4000000};
	(void)nanosleep(&delay, NULL);
	return kill(pid, SIGTERM) == -1;
}

static volatile sig_atomic_t signalled;

static void
note_signal(int signo)
{
	signalled = signo;
}

NORETURN static void
be_a_stranger(const char *hit)
{
	for (int signo = 1; signo < NSIG; signo++) {
		struct sigaction action = {.sa_handler = note_signal};
		(void)sigaction(signo, &action, NULL);
	}
	rest(10 + random() % 20);
	if (signalled != 0)
		mark_pid(hit);
	_exit(0);
}

/* strangers ROUNDS HIT DONE: processes come and go under numbers that have just
 * been used, because the counter of this namespace is turned back all the
 * time. Who of them gets a signal makes the file HIT. */
static int
mode_strangers(char *argv[])
{
	int rounds = number(argv[0]);
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);

	if (fd == -1)
		die("ns_last_pid");
	handle(SIGCHLD, SIG_DFL);
	for (int i = 0; i < rounds; i++) {
		if (pwrite(fd, "100", 3, 0) != 3)
			die("ns_last_pid");
		for (int k = 0; k < STRANGERS; k++) {
			pid_t pid;
			fork_or_die(&pid);
			srandom((unsigned)(i * STRANGERS + k));
			if (pid == 0)
				be_a_stranger(argv[1]);
		}
		while (waitpid(-1, NULL, 0) > 0)
			continue;
	}
	mark(argv[2], "done\n");
	return 0;
}

/* --- what is around it
 * ----------------------------------------------------------
 */

static void
fuse_answer_init(int fd, const struct fuse_in_header *in)
{
	struct {
		struct fuse_out_header head;
		struct fuse_init_out init;
	} out = {.head = {.len = sizeof(out), .unique = in->unique},
	    .init = {.major = FUSE_KERNEL_VERSION,
	        .minor = FUSE_KERNEL_MINOR_VERSION,
	        .max_write = 4096}};

	if (write(fd, &out, sizeof(out)) == -1)
		die("fuse init");
}

/* hang-fs DIR READY ASKED: a file system that takes every request and answers
 * none: whoever has asked sleeps until we end, and then no KILL wakes him */
NORETURN static int
mode_hang_fs(char *argv[])
{
	static char request[1 << 17];
	char options[128];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	(void)snprintf(options, sizeof(options),
	    "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
	if (fd == -1 ||
	    mount("hang", argv[0], "fuse", MS_NOSUID | MS_NODEV, options) == -1)
		die("fuse");
	for (;;) {
		const struct fuse_in_header *in = (const void *)request;
		if (read(fd, request, sizeof(request)) <= 0)
			die("fuse");
		if (in->opcode == FUSE_INIT) {
			fuse_answer_init(fd, in);
			mark_pid(argv[1]);
		} else {
			mark_pid(argv[2]);
		}
	}
}

static void
fuse_answer(int fd, const struct fuse_in_header *in, const void *body,
    size_t len, int error)
{
	char out[512];
	struct fuse_out_header head = {.unique = in->unique,
	    .error = -error,
	    .len = (uint32_t)(sizeof(head) + len)};

	memcpy(out, &head, sizeof(head));
	if (len > 0)
		memcpy(out + sizeof(head), body, len);
	/* ENOENT: whoever asked was killed */
	if (write(fd, out, head.len) == -1 && errno != ENOENT)
		die("fuse answer");
}

static bool
is_there(const char *file, const char *end)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s%s", file, end);
	return access(path, F_OK) == 0;
}

/* Keeps what was written in `copy`; waits as long as `gate` is there. Answers
 * an error while `gate`.full or `gate`.broken are. */
static void
fuse_write(
    int fd, const struct fuse_in_header *in, const char *copy, const char *gate)
{
	const struct fuse_write_in *wanted = (const void *)(in + 1);
	struct fuse_write_out done = {.size = wanted->size};
	int out = open(copy, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	int error = 0;

	while (is_there(gate, ""))
		rest(10);
	if (is_there(gate, ".full"))
		error = ENOSPC;
	if (is_there(gate, ".broken"))
		error = EIO;
	if (error != 0) {
		(void)close(out);
		fuse_answer(fd, in, NULL, 0, error);
		return;
	}
	if (out == -1 || write(out, wanted + 1, wanted->size) == -1)
		die(copy);
	(void)close(out);
	fuse_answer(fd, in, &done, sizeof(done), 0);
}

/* network-file FILE COPY GATE READY: FILE becomes one of a file system with
 * somebody else behind it, who appends to COPY what is written, and answers no
 * write while there is a file GATE; with GATE.full the disk is full, with
 * GATE.broken it fails */
NORETURN static int
mode_network_file(char *argv[])
{
	static char request[1 << 17];
	char options[128];
	const struct fuse_attr_out attributes = {
	    .attr = {.ino = 1, .mode = S_IFREG | 0666, .nlink = 1}};
	const struct fuse_statfs_out room = {.st = {.bsize = 4096}};
	const struct fuse_open_out opened = {.open_flags = FOPEN_DIRECT_IO};
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	(void)snprintf(options, sizeof(options),
	    "fd=%d,rootmode=100000,user_id=0,group_id=0,allow_other", fd);
	if (fd == -1 ||
	    mount("net", argv[0], "fuse", MS_NOSUID | MS_NODEV, options) == -1)
		die("fuse");
	for (;;) {
		const struct fuse_in_header *in = (const void *)request;
		if (read(fd, request, sizeof(request)) <= 0)
			die("fuse");
		if (in->opcode == FUSE_INIT) {
			fuse_answer_init(fd, in);
			mark_pid(argv[3]);
		} else if (in->opcode == FUSE_GETATTR) {
			fuse_answer(fd, in, &attributes, sizeof(attributes), 0);
		} else if (in->opcode == FUSE_OPEN) {
			fuse_answer(fd, in, &opened, sizeof(opened), 0);
		} else if (in->opcode == FUSE_STATFS) {
			fuse_answer(fd, in, &room, sizeof(room), 0);
		} else if (in->opcode == FUSE_WRITE) {
			fuse_write(fd, in, argv[1], argv[2]);
		} else if (in->opcode != FUSE_FORGET &&
		           in->opcode != FUSE_INTERRUPT) {
			fuse_answer(fd, in, NULL, 0, ENOSYS);
		}
	}
}

#define DATA(field) ((uint32_t)offsetof(struct seccomp_data, field))
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, DATA(field))
#define REFUSE(call, number)                               \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), \
	    BPF_STMT(BPF_RET | BPF_K, (uint32_t)SECCOMP_RET_ERRNO | (number))

/* without pidfds|eperm CMD…: as on Linux 4.18, or under Docker's profile of
 * 2020, which answered EPERM to calls that it didn't know */
static int
mode_without(char *argv[])
{
	bool old = strcmp(argv[0], "pidfds") == 0;
	const uint32_t refusal = old ? ENOSYS : EPERM;
	struct sock_filter filter[] = {
	    LOAD(nr),
	    REFUSE(SYS_clone3, refusal),
	    REFUSE(SYS_pidfd_open, refusal),
	    REFUSE(SYS_pidfd_send_signal, refusal),
	    REFUSE(SYS_close_range, refusal),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
	    LOAD(args[0]),
	    BPF_JUMP(
	        BPF_JMP | BPF_JSET | BPF_K, old ? 0x1000 /* PIDFD */ : 0, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, (uint32_t)SECCOMP_RET_ERRNO | EINVAL),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
	    .len = ARRAY_LEN(filter), .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
		die("seccomp");
	(void)execv(argv[1], argv + 1);
	die(argv[1]);
}

/* The other end of the terminal, until somebody says "ready". */
NORETURN static void
be_the_terminal(int master)
{
	static char all[65536];
	size_t len = 0;

	(void)setsid();
	while (strstr(all, "ready") == NULL) {
		ssize_t got = read(master, all + len, sizeof(all) - 1 - len);
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	_exit(0);
}

/* hangup CMD…: becomes CMD, with a terminal for stdin and stdout that stops who
 * writes to it from the background, and that is taken away as soon as "ready"
 * is said there */
static int
mode_hangup(char *argv[])
{
	struct termios attributes;
	int master = -1, slave = -1;
	pid_t pid;

	if (openpty(&master, &slave, NULL, NULL, NULL) == -1 ||
	    tcgetattr(slave, &attributes) == -1)
		die("openpty");
	attributes.c_lflag |= TOSTOP;
	(void)tcsetattr(slave, TCSANOW, &attributes);
	fork_or_die(&pid);
	if (pid == 0) {
		(void)close(slave);
		be_the_terminal(master);
	}
	(void)close(master);
	(void)setsid(); /* as PID 1 it may lead one already */
	if (ioctl(slave, TIOCSCTTY, 0) == -1 ||
	    dup2(slave, STDIN_FILENO) == -1 || dup2(slave, STDOUT_FILENO) == -1)
		die("terminal");
	(void)close(slave);
	(void)execv(argv[0], argv);
	die(argv[0]);
}

static const struct mode modes[] = {
    {"stamp", 2, mode_stamp},
    {"environ", 1, mode_environ},
    {"flood", 3, mode_flood},
    {"pair", 1, mode_pair},
    {"deserter", 1, mode_deserter},
    {"talk", 0, mode_talk},
    {"shout", 2, mode_shout},
    {"talk-later", 2, mode_talk_later},
    {"eat", 1, mode_eat},
    {"open", 2, mode_open},
    {"operate", 0, mode_operate},
    {"deafen", 1, mode_deafen},
    {"aim", 1, mode_aim},
    {"strangers", 3, mode_strangers},
    {"hang-fs", 3, mode_hang_fs},
    {"network-file", 4, mode_network_file},
    {"without", 2, mode_without},
    {"hangup", 1, mode_hangup},
};

int
main(int argc, char *argv[])
{
	return run_mode(modes, ARRAY_LEN(modes), argc, argv);
}
