/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "base/text.h"
#include "probes/inspect.h"
#include "probes/inspection.h"

static const struct {
	const char *row, *name;
} limits[] = {
    {"Max cpu time", "cpu"},
    {"Max file size", "fsize"},
    {"Max data size", "data"},
    {"Max stack size", "stack"},
    {"Max core file size", "core"},
    {"Max resident set", "rss"},
    {"Max processes", "nproc"},
    {"Max open files", "nofile"},
    {"Max locked memory", "memlock"},
    {"Max address space", "as"},
    {"Max file locks", "locks"},
    {"Max pending signals", "sigpending"},
    {"Max msgqueue size", "msgqueue"},
    {"Max nice priority", "nice"},
    {"Max realtime priority", "rtprio"},
    {"Max realtime timeout", "rttime"},
};

const char *
inspect_limit(const char *text, size_t i, struct inspect_limit *ret)
{
	if (i >= ARRAY_LEN(limits))
		return NULL;
	const char *at = strstr(text, limits[i].row);

	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own format */
	if (at == NULL || sscanf(at + strlen(limits[i].row), " %31s %31s",
	                      ret->soft, ret->hard) != 2)
		ret->soft[0] = ret->hard[0] = '\0';
	return limits[i].name;
}

void
inspect_tell_limits(
    struct inspection *inspection, int64_t pid, struct buffer *text)
{
	struct inspect_limit limit;
	const char *name;

	jsonw_object(inspection->json, "limits");
	if (inspect_read_file(pid, "limits", text) == -1)
		buffer_clear(text);
	for (size_t i = 0; text->len > 0 && (name = inspect_limit(text->data, i,
	                                         &limit)) != NULL;
	     i++)
		if (limit.soft[0] != '\0')
			jsonw_format(inspection->json, name, "%s %s",
			    limit.soft, limit.hard);
	jsonw_end(inspection->json);
}

/* By our own rights, else as the worker's user: setfsuid() leaves the other
 * capabilities, so that a worker with some of its own can be read too. */
static int
read_environ(int64_t pid, int64_t uid, int64_t gid, struct buffer *out)
{
	if (inspect_read_file(pid, "environ", out) == 0)
		return 0;
	if (geteuid() != 0 || uid <= 0 || gid < 0)
		return -1;
	gid_t old_gid = (gid_t)setfsgid((gid_t)gid);
	uid_t old_uid = (uid_t)setfsuid((uid_t)uid);
	int rc = inspect_read_file(pid, "environ", out);
	int saved = errno;

	(void)setfsuid(old_uid);
	(void)setfsgid(old_gid);
	errno = saved;
	return rc;
}

static const char *
variable(const struct buffer *block, const char *name)
{
	size_t len = strlen(name);

	for (size_t at = 0; at < block->len;) {
		const char *entry = block->data + at;
		if (strncmp(entry, name, len) == 0 && entry[len] == '=')
			return entry + len + 1;
		at += strlen(entry) + 1;
	}
	return NULL;
}

/* Programs that write their title over it leave other bytes there. */
static bool
is_environment(const struct buffer *block)
{
	for (size_t at = 0; at < block->len;) {
		const char *entry = block->data + at;
		size_t name = strcspn(entry, "=");
		if (name == 0 || entry[name] == '\0' ||
		    strcspn(entry, " \t") < name)
			return false;
		at += strlen(entry) + 1;
	}
	return block->len > 0;
}

static void
tell_hex(struct inspection *inspection, const char *key,
    const struct fingerprint *print)
{
	char hex[INSPECT_HEX_SIZE];

	jsonw_text(inspection->json, key,
	    text_hex(print->bytes, sizeof(print->bytes), hex));
}

bool
inspect_compares(const char *entry)
{
	static const char *const others[] = {"REEVE_", "PORT_",
	    "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "PWD=", "OLDPWD=", "SHLVL=",
	    "_="};
	static const char name[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                           "abcdefghijklmnopqrstuvwxyz_0123456789";

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (text_starts(entry, others[i]))
			return false;
	return entry[strspn(entry, name)] == '=';
}

void
inspect_print(const struct fingerprint_key *key, const char *entry,
    struct fingerprint *sum)
{
	struct fingerprint print = fingerprint_of(key, entry, strlen(entry));
	unsigned carry = 0;

	for (size_t i = 0; i < sizeof(sum->bytes); i++) {
		carry += (unsigned)sum->bytes[i] + print.bytes[i];
		sum->bytes[i] = (uint8_t)carry;
		carry >>= 8;
	}
}

static void
tell_variables(struct inspection *inspection, const cJSON *names,
    const struct buffer *text)
{
	const cJSON *item = NULL;

	jsonw_object(inspection->json, "env");
	cJSON_ArrayForEach(item, names)
	{
		const char *name = NULL;
		if (json_item_text(item, &name, NULL) == -1)
			continue;
		const char *value = variable(text, name);
		if (value == NULL) {
			jsonw_null(inspection->json, name);
			continue;
		}
		struct fingerprint print =
		    fingerprint_of(&inspection->key, value, strlen(value));
		tell_hex(inspection, name, &print);
	}
	jsonw_end(inspection->json);
}

void
inspect_tell_environ(struct inspection *inspection, const cJSON *target,
    int64_t pid, int64_t uid, int64_t gid, struct buffer *text)
{
	const cJSON *names = NULL;
	struct fingerprint sum = {.bytes = {0}};
	const char *why = "";

	if (read_environ(pid, uid, gid, text) == -1)
		why = errno == EACCES || errno == EPERM
		          ? "it may not be read: the process is another "
		            "user's, or keeps it from everybody"
		          : strerrordesc_np(errno);
	else if (!is_environment(text))
		why = "the process has written something else over it";
	jsonw_text(inspection->json, "why", why);
	if (*why != '\0') {
		jsonw_null(inspection->json, "print");
		return;
	}
	for (size_t at = 0; at < text->len; at += strlen(text->data + at) + 1)
		if (inspect_compares(text->data + at))
			inspect_print(&inspection->key, text->data + at, &sum);
	tell_hex(inspection, "print", &sum);
	if (json_array(target, "env", &names, NULL) == 0 && names != NULL)
		tell_variables(inspection, names, text);
}
