/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_TERMINAL_H
#define REEVE_CLI_TERMINAL_H

#include "base/base.h"

/* A terminal that knows colours and how a line is erased: not without $TERM,
 * nor where that is "dumb". */
bool terminal_is(int fd);
/* Its size, 80 by 24 where it doesn't say. */
int terminal_columns(int fd);
int terminal_lines(int fd);

#endif
