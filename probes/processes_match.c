/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "probes/connections.h"
#include "probes/processes.h"

/*
 * Whose a connection is takes a walk through the descriptors of every process,
 * and a prober asks for the same ones every few seconds. So what was found is
 * kept, and believed as long as that process has that very socket at that
 * descriptor: one readlink, every few looks. What was not found is looked for
 * again after a while. A walk that takes too long (thousands of processes, a
 * machine that is busy) ends early; the next one goes on behind it.
 */
enum {
	KEPT_MAX = 16 * 1024, /* slots; half of them are used at most */
	KEPT_ADDRESS = 64,
	AGAIN_MS = 60 * 1000, /* that somebody wasn't found */
	VERIFY_MS = 10 * 1000,
	WALK_MS = 2000,
	PATH_SIZE = 64,
	LINK_SIZE = 64,
};

/* A local end as /proc/net/tcp has it; v4 as v4-mapped. */
struct local_end {
	unsigned char address[CONNECTION_ADDRESS];
	unsigned port;
	uint64_t inode; /* 0: not found */
	int fd;         /* of the process that has it */
};

/* --- what is kept -------------------------------------------------------- */

struct kept {
	char address[KEPT_ADDRESS]; /* "": free */
	uint64_t inode;
	int64_t pid, session; /* -1: not found */
	int64_t until_ms;     /* monotonic: then it is looked at again */
	enum result result;
	const char *why; /* a literal */
	int fd;
};
/* A prober has one thread, and lives for its connections. */
static struct {
	struct kept *slots;
	size_t count;
	int64_t walked; /* up to this process; 0: all of them */
} memory;

static struct kept *
kept_slot(const char *address)
{
	uint32_t hash = UINT32_C(2166136261);

	for (const char *at = address; *at != '\0'; at++)
		hash = (hash ^ (unsigned char)*at) * UINT32_C(16777619);
	size_t at = hash % KEPT_MAX;

	while (memory.slots[at].address[0] != '\0' &&
	       strcmp(memory.slots[at].address, address) != 0)
		at = (at + 1) % KEPT_MAX;
	return &memory.slots[at];
}

static bool
still_has(const struct kept *kept)
{
	char path[PATH_SIZE];
	char link[LINK_SIZE];
	char wanted[LINK_SIZE];

	(void)snprintf(
	    path, sizeof(path), "/proc/%" PRId64 "/fd/%d", kept->pid, kept->fd);
	(void)snprintf(
	    wanted, sizeof(wanted), "socket:[%" PRIu64 "]", kept->inode);
	ssize_t len = readlink(path, link, sizeof(link) - 1);

	if (len <= 0)
		return false;
	link[len] = '\0';
	return strcmp(link, wanted) == 0;
}

/* Fills `match` by what is known already. */
static bool
recall(struct consumer_match *match, int64_t now_ms)
{
	if (memory.slots == NULL)
		return false;
	struct kept *kept = kept_slot(match->address);

	if (kept->address[0] == '\0')
		return false;
	if (kept->until_ms <= now_ms) {
		if (kept->pid <= 0 || !still_has(kept))
			return false;
		kept->until_ms = clock_after(now_ms, VERIFY_MS);
	}
	match->result = kept->result;
	match->why = kept->why;
	match->pid = kept->pid;
	match->session = kept->session;
	return true;
}

static void
keep(const struct consumer_match *match, const struct local_end *end,
    int64_t now_ms)
{
	if (strlen(match->address) >= KEPT_ADDRESS)
		return;
	if (memory.slots == NULL)
		memory.slots = calloc(KEPT_MAX, sizeof(*memory.slots));
	if (memory.slots == NULL)
		return;
	/* Full of connections that are over: those that aren't come back. */
	if (memory.count >= KEPT_MAX / 2) {
		memset(memory.slots, 0, KEPT_MAX * sizeof(*memory.slots));
		memory.count = 0;
	}
	struct kept *kept = kept_slot(match->address);

	memory.count += kept->address[0] == '\0';
	*kept = (struct kept){
	    .inode = end->inode,
	    .pid = match->pid,
	    .session = match->session,
	    .until_ms =
	        clock_after(now_ms, match->pid > 0 ? VERIFY_MS : AGAIN_MS),
	    .result = match->result,
	    .why = match->why,
	    .fd = end->fd,
	};
	(void)snprintf(
	    kept->address, sizeof(kept->address), "%s", match->address);
}

/* --- looking ------------------------------------------------------------- */

static bool
end_parse(const char *text, struct local_end *ret)
{
	static const unsigned char mapped[12] = {
	    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2];
	int64_t port = 0;
	size_t from = text[0] == '[' ? 1 : 0;

	if (colon == NULL ||
	    text_i64(colon + 1, 1, UINT16_MAX, &port, NULL) == -1)
		return false;
	size_t len = (size_t)(colon - text);
	if (from == 1 && (len < 2 || text[len - 1] != ']'))
		return false;
	len -= 2 * from;
	if (len >= sizeof(host))
		return false;
	memcpy(host, text + from, len);
	host[len] = '\0';
	*ret = (struct local_end){.port = (unsigned)port};
	if (inet_pton(AF_INET6, host, ret->address) == 1)
		return true;
	memcpy(ret->address, mapped, sizeof(mapped));
	return inet_pton(AF_INET, host, ret->address + sizeof(mapped)) == 1;
}

struct search_ends {
	struct local_end *ends;
	size_t count;
};

static void
search_end(void *arg, const struct connection *one)
{
	const struct search_ends *search = arg;

	for (size_t i = 0; i < search->count; i++)
		if (search->ends[i].port == one->local.port &&
		    memcmp(search->ends[i].address, one->local.address,
		        CONNECTION_ADDRESS) == 0)
			search->ends[i].inode = one->inode;
}

/* One process, whose sockets are held against the ends. */
struct match_process {
	int64_t pid;
	struct local_end *ends;
	struct consumer_match *matches;
	size_t count;
	size_t wanted; /* of them that nobody has yet */
};

static void
match_socket(void *arg, int fd, uint64_t inode)
{
	struct match_process *process = arg;

	for (size_t i = 0; i < process->count; i++) {
		struct consumer_match *match = &process->matches[i];
		/* shared by a parent and its child: the first that has it */
		if (process->ends[i].inode == inode && match->pid == -1) {
			match->pid = process->pid;
			match->session = getsid((pid_t)process->pid);
			match->result = RESULT_PASSED;
			match->why = "";
			process->ends[i].fd = fd;
			process->wanted--;
		}
	}
}

/* Of the processes from memory.walked on, until all are found; /proc lists them
 * in order. */
static int
match_processes(struct match_process *process, struct err *err)
{
	int64_t until_ms = clock_after(clock_ms(), WALK_MS);
	int64_t first = memory.walked;
	DIR *proc = opendir("/proc");

	if (proc == NULL)
		return err_sys(err, "open '/proc'");
	memory.walked = 0;
	for (struct dirent *entry = readdir(proc);
	     entry != NULL && process->wanted > 0; entry = readdir(proc)) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    text_i64(entry->d_name, 1, INT32_MAX, &process->pid,
		        NULL) == -1 ||
		    process->pid < first)
			continue;
		/* what may not be seen stays unknown */
		(void)connections_of(process->pid, match_socket, process);
		if (clock_ms() >= until_ms) {
			memory.walked = process->pid + 1;
			break;
		}
	}
	(void)closedir(proc);
	return 0;
}

/* Looks for all of them: their sockets first, then who has these open. */
static int
find_all(struct consumer_match *matches, struct local_end *ends, size_t count,
    struct err *err)
{
	struct match_process process = {
	    .ends = ends, .matches = matches, .count = count};

	if (connections_each(
	        search_end, &(struct search_ends){ends, count}, err) == -1)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (ends[i].inode == 0) {
			matches[i].result = RESULT_FAILED;
			matches[i].why =
			    "no socket of this network namespace has that "
			    "address: it is elsewhere, or its address is "
			    "translated";
			continue;
		}
		matches[i].why = "the socket is here, but whose it is may not "
		                 "be seen";
		process.wanted++;
	}
	return process.wanted > 0 ? match_processes(&process, err) : 0;
}

int
processes_match_consumers(struct consumer_match *matches, size_t count,
    struct arena *arena, struct err *err)
{
	struct local_end *ends = arena_array(arena, count + 1, sizeof(*ends));
	struct consumer_match *open =
	    arena_array(arena, count + 1, sizeof(*open));
	size_t *at = arena_array(arena, count + 1, sizeof(*at));
	int64_t now_ms = clock_ms();
	size_t nopen = 0;

	for (size_t i = 0; i < count; i++) {
		matches[i].pid = matches[i].session = -1;
		matches[i].result = RESULT_UNKNOWN;
		matches[i].why = "its address is no address and port";
		if (recall(&matches[i], now_ms) ||
		    !end_parse(matches[i].address, &ends[nopen]))
			continue;
		at[nopen] = i;
		open[nopen++] = matches[i];
	}
	if (nopen == 0)
		return 0;
	bool whole = memory.walked == 0;

	if (find_all(open, ends, nopen, err) == -1)
		return -1;
	whole = whole && memory.walked == 0;
	for (size_t i = 0; i < nopen; i++) {
		matches[at[i]] = open[i];
		/* what wasn't looked for to the end isn't known to be hidden */
		if (whole || open[i].pid > 0)
			keep(&open[i], &ends[i], now_ms);
	}
	return 0;
}

int
processes_match_consumer(const char *address, struct arena *arena,
    struct consumer_match *ret, struct err *err)
{
	struct consumer_match one = {.address = address};

	if (processes_match_consumers(&one, 1, arena, err) == -1)
		return -1;
	*ret = one;
	return 0;
}
