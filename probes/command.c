/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "probes/command.h"

/*
 * Kind "command": {command:[…], exitCode, contains}. No shell unless the
 * command is one. Facts: exit, output (its beginning, redacted).
 */
enum {
	OUTPUT_MAX_BYTES = 64 * 1024,
	OUTPUT_SHOWN_BYTES = 500,
	CHUNK_BYTES = 2048,
	EXIT_NOT_FOUND = 127
};
static const int64_t POLL_GAP_MS = 20;

int
command_argv(struct look *look, const char *key, size_t most, char **argv)
{
	struct err err = ERR_INIT;
	const cJSON *command = NULL;
	const cJSON *item = NULL;
	size_t count = 0;

	if (json_array(look->request, key, &command, &err) == -1)
		goto wrong;
	cJSON_ArrayForEach(item, command)
	{
		const char *word = NULL;
		if (count + 1 == most ||
		    json_item_text(item, &word, &err) == -1)
			goto wrong;
		argv[count++] =
		    arena_text(look->arena, look_canary(look, word, false));
	}
	argv[count] = NULL;
	if (count > 0)
		return 0;
wrong:
	look_unknown(look, CAUSE_INTERNAL, "",
	    "the request is wrong: '%s' is a list of words", key);
	return -1;
}

static int
start(char *const *argv, int out, pid_t *ret)
{
	posix_spawn_file_actions_t actions;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return ENOMEM;
	int rc = posix_spawn_file_actions_addopen(
	    &actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(
		    &actions, out, STDOUT_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(
		    &actions, out, STDERR_FILENO);
	posix_spawnattr_t attributes;
	sigset_t standard;
	(void)sigemptyset(&standard);
	(void)sigaddset(&standard, SIGPIPE); /* the prober ignores it */
	if (rc == 0)
		rc = posix_spawnattr_init(&attributes);
	if (rc == 0) {
		(void)posix_spawnattr_setflags(
		    &attributes, POSIX_SPAWN_SETSIGDEF);
		(void)posix_spawnattr_setsigdefault(&attributes, &standard);
		rc = posix_spawnp(
		    ret, argv[0], &actions, &attributes, argv, environ);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	return rc;
}

/* Reads until the command ended or the time is over: what it left running may
 * keep the pipe open, and is no reason to wait. -1: out of time. */
static int
wait_for_end(const struct look *look, pid_t pid, int fd, size_t most,
    struct buffer *out, int *status)
{
	bool open = true;
	bool ended = false;

	for (;;) {
		char bytes[CHUNK_BYTES];
		int64_t now_ms = clock_ms();
		int64_t until_ms = MIN(
		    look->ladder.deadline_ms, clock_after(now_ms, POLL_GAP_MS));
		struct pollfd one = {.fd = open ? fd : -1, .events = POLLIN};
		if (!ended)
			(void)poll(&one, 1, clock_timeout(now_ms, until_ms));
		ssize_t n = open ? read(fd, bytes, sizeof(bytes)) : 0;
		if (n > 0)
			buffer_append(
			    out, bytes, MIN((size_t)n, most - out->len));
		else if (n == 0)
			open = false;
		if (ended && n <= 0)
			return 0;
		if (!ended)
			ended = waitpid(pid, status, WNOHANG) == pid;
		if (!ended && clock_ms() >= look->ladder.deadline_ms)
			return -1;
	}
}

static void
judge(struct look *look, const char *name, int status, const struct buffer *out)
{
	int64_t wanted = 0;
	const char *contains = NULL;

	if (look_i64(look, "exitCode", 0, &wanted) == -1 ||
	    look_text(look, "contains", NULL, &contains) == -1)
		return;
	if (WIFSIGNALED(status)) {
		look_note(look, "exit", "signal %d", WTERMSIG(status));
		look_failed(look, CAUSE_MISMATCH, "signal",
		    "%s was killed by signal %d", name, WTERMSIG(status));
		return;
	}
	int code = WEXITSTATUS(status);
	look_note(look, "exit", "%d", code);
	if (code != (int)wanted)
		look_failed(look,
		    code == EXIT_NOT_FOUND ? CAUSE_NOT_FOUND : CAUSE_MISMATCH,
		    arena_format(look->arena, "%d", code),
		    "%s exits %d, not %d", name, code, (int)wanted);
	else if (contains != NULL &&
	         (out->len == 0 || memmem(out->data, out->len, contains,
	                               strlen(contains)) == NULL))
		look_failed(look, CAUSE_MISMATCH, "",
		    "%s exits %d, but without '%.100s' in its output", name,
		    code, contains);
	else
		look_passed(look, "%s exits %d", name, code);
}

static int
run(struct look *look, char *const *argv, size_t most, int fds[2],
    struct buffer *out, int *ret_status)
{
	pid_t pid = -1;
	int rc = start(argv, fds[1], &pid);

	fd_close(&fds[1]);
	if (rc != 0) {
		if (rc == ENOENT)
			look_failed(look, CAUSE_NOT_FOUND, "ENOENT",
			    "there is no command %s", argv[0]);
		else
			look_unknown(look,
			    rc == EACCES ? CAUSE_PERMISSION : CAUSE_INTERNAL,
			    "", "run %s: %s", argv[0], strerror(rc));
		return -1;
	}
	if (wait_for_end(look, pid, fds[0], most, out, ret_status) == 0)
		return 0;
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, ret_status, 0);
	look_unknown(look, CAUSE_DEADLINE, "", "%s did not end within its time",
	    argv[0]);
	return -1;
}

int
command_run(struct look *look, char *const *argv, size_t most,
    struct buffer *out, int *ret_status)
{
	int fds[2] = {-1, -1};
	int rc = -1;

	buffer_init(out, most);
	if (pipe2(fds, O_CLOEXEC) == -1 ||
	    fcntl(fds[0], F_SETFL, O_NONBLOCK) == -1)
		look_unknown(
		    look, CAUSE_INTERNAL, "", "pipe: %s", strerror(errno));
	else
		rc = run(look, argv, most, fds, out, ret_status);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	return rc;
}

void
probe_command(struct look *look)
{
	char *argv[COMMAND_ARGV_MAX];
	struct buffer out;
	int status = 0;

	if (command_argv(look, "command", COMMAND_ARGV_MAX, argv) == -1)
		return;
	/* the words behind it may hold secrets */
	look->out.target = argv[0];
	ladder_begin(&look->ladder, STEP_QUERY, argv[0]);
	if (command_run(look, argv, OUTPUT_MAX_BYTES, &out, &status) == 0)
		judge(look, argv[0], status, &out);
	look_note_bytes(look, "output", &out, OUTPUT_SHOWN_BYTES);
	buffer_wipe(&out);
}
