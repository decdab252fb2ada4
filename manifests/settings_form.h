/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_SETTINGS_FORM_H
#define REEVE_MANIFESTS_SETTINGS_FORM_H

#include "base/base.h"
#include "manifests/declared.h"

/*
 * The texts of a worker's settings and what they mean. Read twice: by the
 * validator for whether they are right, and when the manifest is resolved.
 * Each parser returns false for what is wrong.
 */

/* "1024", "1024:4096" (soft:hard), "unlimited"; `bytes`: quantities too. */
bool settings_limit(const char *text, bool bytes, struct declared_limit *ret);
/* "0-3,7" */
bool settings_cpus(const char *text, uint64_t ret[DECLARED_CPU_WORDS]);
/* "027": octal, at most 0777 */
bool settings_umask(const char *text, uint32_t *ret);
/* A number below 2^32 - 1, or what may be a user's or group's name. */
bool settings_id(const char *text);

/* All names, as Kubernetes writes them, NULL-terminated: at index i that of
 * capability i, and last ALL. */
extern const char *const settings_capabilities[];
enum {
	SETTINGS_CAPABILITIES = 41
};
/* Bits; 0: no such name. */
uint64_t settings_capability(const char *name);

#endif
