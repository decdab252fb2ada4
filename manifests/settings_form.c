/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>

#include "base/text.h"
#include "manifests/settings_form.h"

enum {
	NUMBER_MAX = 32, /* bytes of one number */
	ID_NAME_MAX = 255,
	UMASK_MAX = 0777,
	OCTAL = 8,
};

/* In the kernel's order (linux/capability.h), which never changes. */
const char *const settings_capabilities[] = {"CHOWN", "DAC_OVERRIDE",
    "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST",
    "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO",
    "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT",
    "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
    "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN",
    "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE", "ALL", NULL};
static_assert(ARRAY_LEN(settings_capabilities) == SETTINGS_CAPABILITIES + 2,
    "a name for each");

uint64_t
settings_capability(const char *name)
{
	if (text_equal(name, "ALL"))
		return UINT64_MAX;
	for (size_t i = 0; i < SETTINGS_CAPABILITIES; i++)
		if (text_equal(name, settings_capabilities[i]))
			return UINT64_C(1) << i;
	return 0;
}

static bool
amount(const char *text, bool bytes, uint64_t *ret)
{
	int64_t value;

	if (text_equal(text, "unlimited")) {
		*ret = DECLARED_UNLIMITED;
		return true;
	}
	if (text_i64(text, 0, INT64_MAX, &value, NULL) == -1 &&
	    (!bytes || text_quantity(text, &value, NULL) == -1 || value < 0))
		return false;
	*ret = (uint64_t)value;
	return true;
}

bool
settings_limit(const char *text, bool bytes, struct declared_limit *ret)
{
	const char *colon = strchr(text, ':');
	char soft[NUMBER_MAX];

	if (colon == NULL) {
		if (!amount(text, bytes, &ret->soft))
			return false;
		ret->hard = ret->soft;
		return true;
	}
	if ((size_t)(colon - text) >= sizeof(soft))
		return false;
	memcpy(soft, text, (size_t)(colon - text));
	soft[colon - text] = '\0';
	return amount(soft, bytes, &ret->soft) &&
	       amount(colon + 1, bytes, &ret->hard) && ret->soft <= ret->hard;
}

/* A number of `text`, which is moved behind it. */
static bool
cpu(const char **text, size_t *ret)
{
	size_t value = 0;

	if (!isdigit((unsigned char)**text))
		return false;
	for (; isdigit((unsigned char)**text); (*text)++) {
		value = value * 10 + (size_t)(**text - '0');
		if (value >= DECLARED_CPUS_MAX)
			return false;
	}
	*ret = value;
	return true;
}

bool
settings_cpus(const char *text, uint64_t ret[DECLARED_CPU_WORDS])
{
	memset(ret, 0, DECLARED_CPU_WORDS * sizeof(*ret));
	for (;;) {
		size_t first, last;
		if (!cpu(&text, &first))
			return false;
		last = first;
		if (*text == '-') {
			text++;
			if (!cpu(&text, &last) || last < first)
				return false;
		}
		for (; first <= last; first++)
			ret[first / 64] |= UINT64_C(1) << (first % 64);
		if (*text == '\0')
			return true;
		if (*text++ != ',')
			return false;
	}
}

bool
settings_umask(const char *text, uint32_t *ret)
{
	uint32_t value = 0;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p < '0' || *p > '7')
			return false;
		value = value * OCTAL + (uint32_t)(*p - '0');
		if (value > UMASK_MAX)
			return false;
	}
	*ret = value;
	return *text != '\0';
}

bool
settings_id(const char *text)
{
	int64_t number;

	if (text[strspn(text, "0123456789")] == '\0')
		return (text[0] != '0' || text[1] == '\0') &&
		       text_i64(text, 0, (int64_t)UINT32_MAX - 1, &number,
		           NULL) == 0;
	for (const char *p = text; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("_.-$", *p) == NULL)
			return false;
	return text[0] != '-' && strlen(text) <= ID_NAME_MAX;
}
