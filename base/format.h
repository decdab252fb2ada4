/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_FORMAT_H
#define REEVE_BASE_FORMAT_H

#include "base/base.h"

#include <stdarg.h>

/*
 * snprintf for lines that come by the thousand. musl's, which the init is
 * linked with, takes two microseconds for a line of a log: it goes through a
 * stream and copies a hundred times. What our lines are made of (%s %.*s %c %d
 * %i %u %x with l, ll and z, and %%) is written here directly; a format with
 * anything else in it is handed to vsnprintf whole. Result and arguments are
 * vsnprintf's.
 */
int format_args(char *dst, size_t size, const char *fmt, va_list args)
    PRINTF_LIKE(3, 0);
int format_text(char *dst, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
