/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/text.h"
#include "probes/connections.h"

enum {
	TABLE_MAX_BYTES = 64 << 20,
	ROW_SIZE = 512,
	END_SIZE = 40, /* "…0100007F:1F90" */
	LINK_SIZE = 64,
	PATH_SIZE = 64,
	ESTABLISHED = 1, /* TCP_ESTABLISHED of the kernel */
};

/* "0100007F:1F90": words of 32 bits, each in the host's order, and a port. */
static bool
end_parse(const char *text, bool v6, struct connection_end *ret)
{
	size_t words = v6 ? 4 : 1;
	unsigned char *at = ret->address + (v6 ? 0 : 12);
	char *end = NULL;

	if (strlen(text) != 8 * words + 5)
		return false;
	*ret = (struct connection_end){0};
	if (!v6) {
		ret->address[10] = 0xff;
		ret->address[11] = 0xff;
	}
	for (size_t i = 0; i < words; i++) {
		char one[9] = "";
		memcpy(one, text + 8 * i, 8);
		uint32_t word = (uint32_t)strtoul(one, &end, 16);
		if (*end != '\0')
			return false;
		memcpy(at + 4 * i, &word, sizeof(word));
	}
	ret->port = (unsigned)strtoul(text + 8 * words + 1, &end, 16);
	return *end == '\0';
}

/* " 0: 0100007F:1F90 0100007F:C3A2 01 … uid timeout inode …" */
static bool
row_parse(const char *row, size_t len, bool v6, struct connection *ret)
{
	char text[ROW_SIZE];
	char local[END_SIZE];
	char remote[END_SIZE];
	unsigned state = 0;

	(void)snprintf(text, sizeof(text), "%.*s", (int)len, row);
	*ret = (struct connection){0};
	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own format */
	if (sscanf(text, " %*u: %39s %39s %x %*s %*s %*s %*u %*u %" SCNu64,
	        local, remote, &state, &ret->inode) != 4 ||
	    ret->inode == 0)
		return false;
	ret->established = state == ESTABLISHED;
	return end_parse(local, v6, &ret->local) &&
	       end_parse(remote, v6, &ret->remote);
}

static int
table_each(
    const char *path, bool v6, connection_fn *fn, void *arg, struct err *err)
{
	struct buffer table;
	struct connection one;

	buffer_init(&table, TABLE_MAX_BYTES);
	if (buffer_read_file(&table, path, err) == -1) {
		buffer_fini(&table);
		return -1;
	}
	const char *row = table.len == 0 ? NULL : strchr(table.data, '\n');
	while (row != NULL && row[1] != '\0') {
		const char *next = strchr(row + 1, '\n');
		size_t len =
		    next == NULL ? strlen(row + 1) : (size_t)(next - row - 1);
		if (row_parse(row + 1, len, v6, &one))
			fn(arg, &one);
		row = next;
	}
	buffer_fini(&table);
	return 0;
}

int
connections_each(connection_fn *fn, void *arg, struct err *err)
{
	struct err none = ERR_INIT;
	int v4 = table_each("/proc/net/tcp", false, fn, arg, err);
	int v6 = table_each("/proc/net/tcp6", true, fn, arg, &none);

	return v4 == -1 && v6 == -1 ? -1 : 0;
}

const char *
connection_end_text(struct arena *arena, const struct connection_end *end)
{
	static const unsigned char mapped[12] = {
	    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	char host[INET6_ADDRSTRLEN] = "";

	if (memcmp(end->address, mapped, sizeof(mapped)) == 0) {
		(void)inet_ntop(
		    AF_INET, end->address + sizeof(mapped), host, sizeof(host));
		return arena_format(arena, "%s:%u", host, end->port);
	}
	(void)inet_ntop(AF_INET6, end->address, host, sizeof(host));
	return arena_format(arena, "[%s]:%u", host, end->port);
}

bool
connections_of(int64_t pid, socket_fn *fn, void *arg)
{
	char path[PATH_SIZE];

	(void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/fd", pid);
	DIR *fds = opendir(path);
	if (fds == NULL)
		return false;
	for (struct dirent *entry = readdir(fds); entry != NULL;
	     entry = readdir(fds)) {
		char link[LINK_SIZE];
		ssize_t len = readlinkat(
		    dirfd(fds), entry->d_name, link, sizeof(link) - 1);
		if (len <= 0)
			continue;
		link[len] = '\0';
		if (!text_starts(link, "socket:["))
			continue;
		char *end = NULL;
		uint64_t inode = strtoull(link + 8, &end, 10);
		if (*end == ']')
			fn(arg, (int)strtol(entry->d_name, NULL, 10), inode);
	}
	(void)closedir(fds);
	return true;
}
