/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process tests run as workers, and their stop-watch: a static
 * program, so that it also runs where there is nothing else. Every mode says
 * by a file or an exit code what happened; nothing here is a matter of timing.
 */
#include "base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/process/props.h"

/* exit N */
static int
mode_exit(char *argv[])
{
	return number(argv[0]);
}

/* die N: by signal N */
static int
mode_die(char *argv[])
{
	struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
	if (number(argv[0]) != SIGKILL)
		handle(number(argv[0]), SIG_DFL); /* a sanitizer's is not */
	(void)raise(number(argv[0]));
	wait_for_ever();
}

/* wait [READY]: until a signal */
NORETURN static int
mode_wait(char *argv[])
{
	if (argv[0] != NULL)
		mark_pid(argv[0]);
	wait_for_ever();
}

/* ignore-term READY */
NORETURN static int
mode_ignore_term(char *argv[])
{
	handle(SIGTERM, SIG_IGN);
	mark_pid(argv[0]);
	wait_for_ever();
}

static volatile sig_atomic_t caught[NSIG];

static void
count_signal(int signo)
{
	caught[signo] = caught[signo] + 1;
}

/* count SIGNO N READY COUNT: catches N times, then exits 0 */
static int
mode_count(char *argv[])
{
	int signo = number(argv[0]);
	int want = number(argv[1]);
	sigset_t all;
	sigset_t none;

	(void)sigfillset(&all);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	handle(signo, count_signal);
	mark_pid(argv[2]);
	while (caught[signo] < want) {
		char text[32];

		(void)sigsuspend(&none);
		(void)snprintf(text, sizeof(text), "%d\n", (int)caught[signo]);
		mark(argv[3], text);
	}
	return 0;
}

/* drain READY MARK MS: on TERM works on for MS, marks, exits 0 */
static int
mode_drain(char *argv[])
{
	struct timespec rest = {.tv_sec = number(argv[2]) / 1000,
	    .tv_nsec = (long)(number(argv[2]) % 1000) * 1000000};
	sigset_t term;
	int got = 0;

	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &term, NULL);
	mark_pid(argv[0]);
	(void)sigwait(&term, &got);
	(void)nanosleep(&rest, NULL);
	mark(argv[1], "drained\n");
	return 0;
}

/* signals: what we were born with */
static int
mode_signals(char *argv[])
{
	sigset_t mask;
	(void)argv;

	(void)sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int signo = 1; signo < NSIG; signo++) {
		struct sigaction now;
		if (sigismember(&mask, signo) == 1)
			(void)printf("blocked %d\n", signo);
		if (sigaction(signo, NULL, &now) == 0 &&
		    now.sa_handler == SIG_IGN)
			(void)printf("ignored %d\n", signo);
	}
	(void)printf("pgid %s\n", getpgrp() == getpid() ? "own" : "shared");
	return fflush(stdout) == 0 ? 0 : 1;
}

/* orphans N DONE: N grandchildren end with nobody but the init to reap them */
static int
mode_orphans(char *argv[])
{
	int count = number(argv[0]);

	for (int i = 0; i < count; i++) {
		pid_t pid;
		fork_or_die(&pid);
		if (pid == 0) {
			fork_or_die(&pid);
			_exit(0);
		}
		(void)waitpid(pid, NULL, 0);
	}
	mark(argv[1], "done\n");
	wait_for_ever();
}

/* member READY MARK ignore|drain: leader exits 5, a member of its group stays.
 */
static int
mode_member(char *argv[])
{
	pid_t pid;

	fork_or_die(&pid);
	if (pid == 0) {
		if (strcmp(argv[2], "ignore") == 0)
			return mode_ignore_term(argv);
		char *drain[] = {argv[0], argv[1], argv[3], NULL};
		return mode_drain(drain);
	}
	while (access(argv[0], F_OK) == -1)
		(void)sched_yield();
	return 5;
}

/* escapee READY MARK MS: a double-forked setsid daemon that drains; leader
 * exits 6 */
static int
mode_escapee(char *argv[])
{
	pid_t pid;

	fork_or_die(&pid);
	if (pid == 0) {
		(void)setsid();
		fork_or_die(&pid);
		if (pid != 0)
			_exit(0);
		return mode_drain(argv);
	}
	(void)waitpid(pid, NULL, 0);
	while (access(argv[0], F_OK) == -1)
		(void)sched_yield();
	return 6;
}

/* hold READY: a grandchild in another session keeps our stdout; exits 0 */
static int
mode_hold(char *argv[])
{
	pid_t pid;

	fork_or_die(&pid);
	if (pid == 0) {
		(void)setsid();
		mark_pid(argv[0]);
		wait_for_ever();
	}
	while (access(argv[0], F_OK) == -1)
		(void)sched_yield();
	return 0;
}

/* lines N LENGTH [STDERR]: N numbered lines of LENGTH bytes */
static int
mode_lines(char *argv[])
{
	int count = number(argv[0]);
	int len = number(argv[1]);
	FILE *out = argv[2] != NULL ? stderr : stdout;

	(void)setvbuf(out, NULL, _IOFBF, 1 << 16);
	for (int i = 0; i < count; i++) {
		int n = fprintf(out, "%d:", i);
		for (; n < len; n++)
			(void)fputc('a' + i % 26, out);
		(void)fputc('\n', out);
	}
	return fflush(out) == 0 ? 0 : 1;
}

/* twice FIFO: says "up", and "again" when somebody has opened FIFO to write;
 * then until a signal */
NORETURN static int
mode_twice(char *argv[])
{
	(void)!write(STDOUT_FILENO, "up\n", 3);
	if (open(argv[0], O_RDONLY | O_CLOEXEC) == -1)
		die(argv[0]);
	(void)!write(STDOUT_FILENO, "again\n", 6);
	wait_for_ever();
}

/* born blocked|ignored CMD…: executes CMD as a careless parent would */
static int
mode_born(char *argv[])
{
	sigset_t all;

	if (strcmp(argv[0], "blocked") == 0) {
		(void)sigfillset(&all);
		(void)sigprocmask(SIG_SETMASK, &all, NULL);
	} else {
		handle(SIGCHLD, SIG_IGN);
		handle(SIGTERM, SIG_IGN);
	}
	(void)execv(argv[1], argv + 1);
	die(argv[1]);
}

/* ends within the seconds, or is killed */
static bool
ends_within(pid_t pid, int seconds, int *status)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	if (pidfd == -1)
		die("pidfd_open");
	bool ended = poll(&end, 1, seconds * 1000) == 1;
	(void)close(pidfd);
	if (!ended)
		(void)kill(pid, SIGKILL);
	(void)waitpid(pid, status, 0);
	return ended;
}

static pid_t
start_namespaced(char *argv[], bool first)
{
	/* without root a user namespace gives the right to it */
	long flags = SIGCHLD | (first ? CLONE_NEWPID : 0) |
	             (first && geteuid() != 0 ? CLONE_NEWUSER : 0);
	pid_t pid = (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);

	if (pid == -1)
		die("clone");
	if (pid == 0) {
		(void)execv(argv[0], argv);
		die(argv[0]);
	}
	return pid;
}

/* early RUNS pid1|child CODE CMD…: SIGTERM at a random moment of 0..4 ms after
 * the start, RUNS times; each must end with CODE within 10 s. Every signal is
 * blocked from before the exec, so that none has an excuse. Exits with the
 * number of lost ones. */
static int
mode_early(char *argv[])
{
	int runs = number(argv[0]);
	bool first = strcmp(argv[1], "pid1") == 0;
	int code = number(argv[2]);
	int lost = 0;
	sigset_t all;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	srandom((unsigned)getpid());
	for (int i = 0; i < runs; i++) {
		struct timespec delay = {.tv_nsec = random() % 4000000};
		int status = 0;
		pid_t pid = start_namespaced(argv + 3, first);

		(void)nanosleep(&delay, NULL);
		(void)kill(pid, SIGTERM);
		if (!ends_within(pid, 10, &status) || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != code) {
			(void)fprintf(stderr,
			    "run %d: delay %ld ns, status %x\n", i,
			    delay.tv_nsec, (unsigned)status);
			lost++;
		}
	}
	return lost > 98 ? 98 : lost;
}

/* pty INPUT CMD…: CMD on a terminal of its own; when it has said "ready",
 * types INPUT (^C as \003). Exits as CMD does; its output goes to stdout. */
static int
mode_pty(char *argv[])
{
	int master = -1;
	bool typed = false;
	static char all[65536];
	size_t len = 0;
	int status = 0;
	pid_t pid = forkpty(&master, NULL, NULL, NULL);

	if (pid == -1)
		die("forkpty");
	if (pid == 0) {
		(void)execvp(argv[1], argv + 1);
		die(argv[1]);
	}
	for (;;) {
		ssize_t n = read(master, all + len, sizeof(all) - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
		all[len] = '\0';
		if (typed || strstr(all, "ready") == NULL)
			continue;
		typed = true;
		if (write(master, argv[0], strlen(argv[0])) == -1)
			die("type");
	}
	if (write(STDOUT_FILENO, all, len) == -1)
		die("write");
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* socket FILE CMD…: CMD with a socket as its stdout, that is copied to ours as
 * soon as FILE is there */
static int
mode_socket(char *argv[])
{
	static char bytes[65536];
	int pair[2];
	int status = 0;
	ssize_t n;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		die("socketpair");
	pid_t pid = fork();
	if (pid == -1)
		die("fork");
	if (pid == 0) {
		(void)dup2(pair[1], STDOUT_FILENO);
		(void)execvp(argv[1], argv + 1);
		die(argv[1]);
	}
	(void)close(pair[1]);
	while (access(argv[0], F_OK) == -1)
		(void)sched_yield();
	while ((n = read(pair[0], bytes, sizeof(bytes))) > 0)
		if (write(STDOUT_FILENO, bytes, (size_t)n) != n)
			die("write");
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int
listen_on(int port)
{
	struct sockaddr_in name = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(fd, (struct sockaddr *)&name, sizeof(name)) == -1 ||
	    listen(fd, 64) == -1)
		die("listen");
	return fd;
}

/* serve PORT HEALTHY REQUEST: answers 200 while the file HEALTHY is there and
 * says "ok", its first word otherwise ("silent": nothing at all; "drip": a
 * byte and no more); keeps the last request in the file REQUEST */
static void
answer(int fd, const char *healthy, const char *request)
{
	char text[4096] = "";
	char word[64] = "503";
	char reply[128];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
	FILE *file = fopen(healthy, "re");

	if (n <= 0)
		text[0] = '\0';
	if (file != NULL) {
		if (fscanf(file, "%63s", word) != 1)
			word[0] = '\0';
		(void)fclose(file);
	}
	mark(request, text);
	if (strcmp(word, "silent") == 0) {
		(void)recv(fd, text, sizeof(text), 0);
		return;
	}
	if (strcmp(word, "drip") == 0) {
		(void)send(fd, "H", 1, MSG_NOSIGNAL);
		(void)recv(fd, text, sizeof(text), 0);
		return;
	}
	(void)snprintf(reply, sizeof(reply),
	    "HTTP/1.1 %s X\r\nContent-Length: 0\r\n\r\n",
	    strcmp(word, "ok") == 0 ? "200" : word);
	(void)send(fd, reply, strlen(reply), MSG_NOSIGNAL);
}

NORETURN static int
mode_serve(char *argv[])
{
	int fd = listen_on(number(argv[0]));

	for (;;) {
		int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (peer == -1)
			continue;
		answer(peer, argv[1], argv[2]);
		(void)close(peer);
	}
}

/* port: prints a free one */
static int
mode_port(char *argv[])
{
	struct sockaddr_in name = {.sin_family = AF_INET};
	socklen_t len = sizeof(name);
	int fd = listen_on(0);
	(void)argv;

	if (getsockname(fd, (struct sockaddr *)&name, &len) == -1)
		die("getsockname");
	return printf("%d\n", ntohs(name.sin_port)) < 0;
}

/* refuse-clone3 CMD…: as under an old container runtime's seccomp profile */
static int
mode_refuse_clone3(char *argv[])
{
	struct sock_filter code[] = {
	    BPF_STMT(
	        BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_LEN(code), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
		die("seccomp");
	(void)execv(argv[0], argv);
	die(argv[0]);
}

/* eat MIB: takes that much memory, and waits */
static int
mode_eat(char *argv[])
{
	size_t bytes = (size_t)number(argv[0]) << 20;
	volatile char *memory = malloc(bytes);

	if (memory == NULL)
		die("malloc");
	for (size_t at = 0; at < bytes; at += 4096)
		memory[at] = 1;
	wait_for_ever();
}

/* readonly DIR UID CMD…: DIR becomes the whole, read-only world of CMD: no
 * /tmp, no /run, no /proc but what is in it */
static int
mode_readonly(char *argv[])
{
	uid_t uid = (uid_t)number(argv[1]);

	if (chroot(argv[0]) == -1 || chdir("/") == -1)
		die(argv[0]);
	if (uid != 0 && (setgroups(0, NULL) == -1 || setgid(uid) == -1 ||
	                    setuid(uid) == -1))
		die("setuid");
	(void)execv(argv[2], argv + 2);
	die(argv[2]);
}

/* A datagram to NOTIFY_SOCKET with `count` descriptors; '|' is a new line. */
static void
notify(char *text, size_t len, int fd, int count)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *name = getenv("NOTIFY_SOCKET");
	static char control[CMSG_SPACE(253 * sizeof(int))];
	int to_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (name == NULL || to_fd == -1)
		die("NOTIFY_SOCKET");
	memcpy(to.sun_path, name, strlen(name));
	to.sun_path[0] = '\0';
	for (size_t i = 0; i < len; i++)
		if (text[i] == '|')
			text[i] = '\n';
	struct iovec iov = {.iov_base = text, .iov_len = len};
	struct msghdr header = {.msg_name = &to,
	    .msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	                               strlen(name)),
	    .msg_iov = &iov,
	    .msg_iovlen = 1};
	if (count > 0) {
		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
		struct cmsghdr *part = CMSG_FIRSTHDR(&header);
		part->cmsg_level = SOL_SOCKET;
		part->cmsg_type = SCM_RIGHTS;
		part->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
		for (int i = 0; i < count; i++)
			memcpy(CMSG_DATA(part) + (size_t)i * sizeof(int), &fd,
			    sizeof(fd));
	}
	if (sendmsg(to_fd, &header, MSG_NOSIGNAL) == -1)
		die("sendmsg");
	(void)close(to_fd);
}

/* sd_notify_barrier(3): returns when the other side has closed the pipe */
static void
barrier(void)
{
	char text[] = "BARRIER=1";
	int ends[2];

	if (pipe(ends) == -1)
		die("pipe");
	notify(text, strlen(text), ends[1], 1);
	(void)close(ends[1]);
	struct pollfd end = {.fd = ends[0]};
	while (poll(&end, 1, -1) != 1)
		continue;
	(void)close(ends[0]);
}

static void
notify_garbage(size_t len)
{
	static char bytes[8192];

	for (size_t i = 0; i < len && i < sizeof(bytes); i++)
		bytes[i] = (char)(i % 251);
	memcpy(bytes, "STATUS=", 7);
	notify(bytes, len < sizeof(bytes) ? len : sizeof(bytes), -1, 0);
}

static void
say(char *word, char *rest)
{
	pid_t pid;

	if (strcmp(word, "send") == 0) {
		notify(rest, strlen(rest), -1, 0);
	} else if (strcmp(word, "garbage") == 0) {
		notify_garbage((size_t)number(rest));
	} else if (strcmp(word, "fds") == 0) {
		char text[] = "FDSTORE=1|STATUS=with descriptors";
		notify(text, strlen(text), STDIN_FILENO, number(rest));
	} else if (strcmp(word, "stray") == 0) {
		fork_or_die(&pid);
		if (pid == 0) {
			(void)setsid();
			notify(rest, strlen(rest), -1, 0);
			_exit(0);
		}
		(void)waitpid(pid, NULL, 0);
	} else if (strcmp(word, "barrier") == 0) {
		barrier();
		mark(rest, "done\n");
	} else if (strcmp(word, "write") == 0) {
		char *fd = rest + strcspn(rest, " ");
		*fd++ = '\0';
		for (char *p = fd; *p != '\0'; p++)
			*p = *p == '|' ? '\n' : *p;
		if (write(number(rest), fd, strlen(fd)) == -1)
			die("write");
	} else if (strcmp(word, "close") == 0) {
		(void)close(number(rest));
	} else if (strcmp(word, "exit") == 0) {
		_exit(number(rest));
	} else {
		die(word);
	}
}

/* says FIFO [READY]: does what lines there tell it: send TEXT, garbage BYTES,
 * fds COUNT, stray TEXT (from another session), barrier FILE, write FD TEXT,
 * close FD, exit CODE. TERM is not heard. */
NORETURN static int
mode_says(char *argv[])
{
	static char line[8192];

	handle(SIGTERM, SIG_IGN);
	(void)mkfifo(argv[0], 0600);
	FILE *orders = fopen(argv[0], "r+e");
	if (orders == NULL)
		die(argv[0]);
	if (argv[1] != NULL)
		mark_pid(argv[1]);
	while (fgets(line, sizeof(line), orders) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		char *rest = line + strcspn(line, " ");
		if (*rest != '\0')
			*rest++ = '\0';
		say(line, rest);
	}
	die("fgets");
}

static const struct mode modes[] = {
    {"exit", 1, mode_exit},
    {"die", 1, mode_die},
    {"wait", 0, mode_wait},
    {"ignore-term", 1, mode_ignore_term},
    {"count", 4, mode_count},
    {"drain", 3, mode_drain},
    {"signals", 0, mode_signals},
    {"orphans", 2, mode_orphans},
    {"member", 3, mode_member},
    {"escapee", 3, mode_escapee},
    {"hold", 1, mode_hold},
    {"lines", 2, mode_lines},
    {"twice", 1, mode_twice},
    {"socket", 2, mode_socket},
    {"born", 2, mode_born},
    {"early", 4, mode_early},
    {"pty", 2, mode_pty},
    {"serve", 3, mode_serve},
    {"port", 0, mode_port},
    {"refuse-clone3", 1, mode_refuse_clone3},
    {"eat", 1, mode_eat},
    {"readonly", 3, mode_readonly},
    {"says", 1, mode_says},
};

int
main(int argc, char *argv[])
{
	return run_mode(modes, ARRAY_LEN(modes), argc, argv);
}
