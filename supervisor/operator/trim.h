/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_TRIM_H
#define REEVE_SUPERVISOR_OPERATOR_TRIM_H

/*
 * The operator does little, most of the time, in memory that was touched once:
 * by the reading of a manifest, by the libraries as they began.
 */
/* Before anything is allocated: what is large goes back when it is freed. */
void trim_prepare(void);
/* Gives back what isn't in use. */
void trim(void);

#endif
