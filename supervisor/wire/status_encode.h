/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_WIRE_STATUS_ENCODE_H
#define REEVE_SUPERVISOR_WIRE_STATUS_ENCODE_H

#include "base/base.h"
#include "base/jsonw.h"
#include "supervisor/wire/messages.h"

/*
 * An instance as reeve.status/1 tells of it: by the operator, and by `status`
 * from the init's own snapshot while the operator doesn't answer. For the tool;
 * the init writes no JSON.
 */
/* When it runs, of a worker that runs by the calendar; else only nulls. */
void status_schedule(struct jsonw *json, const struct wire_worker *wire);
void status_instance(struct jsonw *json, const struct wire_instance *wire);
/* Which limits the init can set, and why not the others. */
void status_cgroup(struct jsonw *json, const struct wire_snapshot *snapshot);
/* What a file that hangs has lost, by stream. */
void status_files(struct jsonw *json, const struct wire_snapshot *snapshot);
/* Unix milliseconds as RFC 3339; null for 0, which is "never". */
void status_time(struct jsonw *json, const char *key, int64_t wall_ms);
/* Bytes that the cgroup of the instance with this process holds; false: not
 * known. */
bool status_memory_current(int32_t pid, uint64_t *ret);
void status_digest(
    struct jsonw *json, const char *key, const uint8_t digest[16]);

#endif
