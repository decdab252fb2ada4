/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_BASE_H
#define REEVE_BASE_BASE_H

/*
 * Included first by every source file: the feature-test macro, the attributes
 * and small macros of the house, and the libc functions that it bans.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Their inline definitions (with optimisation or _FORTIFY_SOURCE) use banned
 * names, so they come before the bans. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MUST_CHECK            __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define CLEANUP(fn)           __attribute__((cleanup(fn)))
#define NORETURN              __attribute__((noreturn))
#define UNUSED                __attribute__((unused))

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b)        ((a) < (b) ? (a) : (b))
#define MAX(a, b)        ((a) > (b) ? (a) : (b))
/* The struct that `ptr` is the `member` of. */
#define CONTAINER_OF(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * Our own bugs, always compiled in; it never sees input. Not <assert.h>: that
 * allocates in order to print. The hook is called (the init sets its own, which
 * doesn't return), what failed is written to fd 2, and the process aborts.
 */
typedef void assert_hook_fn(const char *what, const char *file, int line);
extern assert_hook_fn *assert_hook;
NORETURN void assert_failed(const char *what, const char *file, int line);
#undef assert
#define assert(expr) \
	((expr) ? (void)0 : assert_failed(#expr, __FILE__, __LINE__))
#define static_assert _Static_assert

/* A switch over an enum has no default; what lies behind it is our own bug. */
#define UNREACHABLE(what) \
	assert_failed("unreachable: " #what, __FILE__, __LINE__)

/*
 * Banned: each of them truncates, overflows, hides an error, blocks or keeps
 * hidden state. The names stay usable as struct members.
 */
#define BANNED(name) reeve_does_not_use_##name
/* macros of glibc under clang with _FORTIFY_SOURCE */
#undef sprintf
#undef vsprintf
#define strcpy(...)    BANNED(strcpy)
#define strcat(...)    BANNED(strcat)
#define strncpy(...)   BANNED(strncpy)
#define strncat(...)   BANNED(strncat)
#define sprintf(...)   BANNED(sprintf)
#define vsprintf(...)  BANNED(vsprintf)
#define strtok(...)    BANNED(strtok)
#define gets(...)      BANNED(gets)
#define atoi(...)      BANNED(atoi)
#define atol(...)      BANNED(atol)
#define gmtime(...)    BANNED(gmtime)
#define localtime(...) BANNED(localtime)
#define ctime(...)     BANNED(ctime)
#define system(...)    BANNED(system)
#define popen(...)     BANNED(popen)
#define signal(...)    BANNED(signal)
#define sleep(...)     BANNED(sleep)
#define usleep(...)    BANNED(usleep)

#endif
