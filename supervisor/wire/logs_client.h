/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_WIRE_LOGS_CLIENT_H
#define REEVE_SUPERVISOR_WIRE_LOGS_CLIENT_H

#include "base/base.h"
#include "base/err.h"
#include "supervisor/wire/logs.h"

#include <sys/socket.h>
#include <sys/un.h>

/*
 * The client's side of `reeve logs`. No allocation.
 *
 *     int fd = logs_open(name, environment, &request, timeout_ms, &err);
 *     while ((got = logs_next(fd, &record, text, -1, &err)) > 0)
 *             … text[0 .. record.len) …
 */

/* Finds the supervisor of the system `name` as place.h says (`environment` is a
 * getenv-like list), connects and sends the request; its `magic` is set here.
 * `timeout_ms` bounds the sending. ERR_SYSTEM when no supervisor is there.
 * Returns the descriptor or -1. */
int logs_open(const char *name, const char *const *environment,
    const struct logs_request *request, int timeout_ms,
    struct err *err) MUST_CHECK;
/* The same at a known address. */
int logs_connect(const struct sockaddr_un *address, socklen_t len,
    const struct logs_request *request, int timeout_ms,
    struct err *err) MUST_CHECK;

/* Reads one record. 1, 0 at the end, -1 on failure; `timeout_ms` -1 waits as
 * long as it takes, else ERR_TIMEOUT. */
int logs_next(int fd, struct logs_record *ret_record,
    char ret_text[LOGS_TEXT_MAX], int timeout_ms, struct err *err) MUST_CHECK;

#endif
