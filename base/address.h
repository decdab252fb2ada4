/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_ADDRESS_H
#define REEVE_BASE_ADDRESS_H

#include "base/base.h"
#include "base/err.h"

#include <sys/socket.h>

/*
 * "127.0.0.1:9102", "[::1]:9102", ":9102" (every IPv4 address): where to
 * listen. Numeric only: a listener needs no resolver.
 */
int address_parse(const char *text, struct sockaddr_storage *ret,
    socklen_t *ret_len, struct err *err) MUST_CHECK;

#endif
