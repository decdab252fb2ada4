/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_ERR_H
#define REEVE_BASE_ERR_H

#include "base/base.h"

/*
 * The one error idiom: a function that can fail returns 0 or -1 and puts the
 * details into a struct err that its caller owns. Never allocates; safe in the
 * init. Outputs (`ret_…`) stay untouched on failure. Text is for people and
 * reads: what failed first, subject in single quotes, no capital, no full stop.
 */

enum err_kind {
	ERR_NONE = 0,
	ERR_INPUT,       /* the user's input is wrong: usage, manifest, data */
	ERR_SYSTEM,      /* a system call or a library failed */
	ERR_TIMEOUT,     /* a deadline passed */
	ERR_REFUSED,     /* the other side answered and said no */
	ERR_CAPACITY,    /* it would not fit within a stated limit */
	ERR_UNSUPPORTED, /* there is no such thing here, whatever one does */
};

enum {
	ERR_TEXT_MAX = 512
};

struct err {
	enum err_kind kind;
	int sys;                 /* errno, or 0 */
	char text[ERR_TEXT_MAX]; /* cut, never overrun; always terminated */
};

#define ERR_INIT ((struct err){.kind = ERR_NONE})

/* Each returns -1, so that `return err_set(…)` reads as one step. `err` may be
 * NULL where the caller doesn't want the details. */
int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* As err_set with ERR_SYSTEM, errno saved and its text appended after ": ". */
int err_sys(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Puts context in front of the text that is there: "context: text". */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The same functions, with their result where compilers and analysers see it:
 * they know then that what follows a failure isn't reached. */
#define err_set(...)                        \
	__extension__({                     \
		(void)err_set(__VA_ARGS__); \
		-1;                         \
	})
#define err_sys(...)                        \
	__extension__({                     \
		(void)err_sys(__VA_ARGS__); \
		-1;                         \
	})
#define err_wrap(...)                        \
	__extension__({                      \
		(void)err_wrap(__VA_ARGS__); \
		-1;                          \
	})

#endif
