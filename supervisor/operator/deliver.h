/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_DELIVER_H
#define REEVE_SUPERVISOR_OPERATOR_DELIVER_H

#include "base/base.h"
#include "base/buffer.h"

#include <cjson/cJSON.h>

/*
 * The child that takes one message to one receiver and ends: `reeve-tool
 * deliver`. One JSON request on `in`:
 *   {"kind":"webhook","url":…,"secret":…,"format":"json|slack","group":bool,
 *    "resend_ms":…,"timeout_ms":…,"command":[…],"sending":…,"taken":…,
 *    "events":[{reeve.alert/1}…]}
 * A command gets the message on its stdin and decides by its exit code. The
 * others have taken it when they answer 2xx. Then, before anything else, the
 * file `sending` is renamed to `taken` (sending.h): who started us may be dead
 * by now. Returns an exit code: 0 delivered;
 * else one line {"error":…,"status":…,"retry_after_ms":…} on `out` says why
 * not, without the URL, which is a secret.
 */
int deliver(int in, int out);

/* --- deliver_body.c: what the receivers understand --- */
/* The message, as its kind and format want it; -1: no such kind. */
int deliver_body(const cJSON *request, struct buffer *body) MUST_CHECK;
/* "ID", or "FIRST..LAST" of several: the same for the same message. */
void deliver_id(const cJSON *request, char *dst, size_t size);
/* Reeve-Signature's value, `t=SECONDS,v1=HEX`: HMAC-SHA256 of "SECONDS.BODY".
 */
int deliver_sign(const char *key, int64_t seconds, const struct buffer *body,
    char *dst, size_t size) MUST_CHECK;

#endif
