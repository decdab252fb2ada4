/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_DATABASE_SCHEMA_H
#define REEVE_PROBES_DATABASE_SCHEMA_H

#include "probes/database.h"

/* Everything that the request asks for by name, in one transaction that only
 * reads. What doesn't hold is in `db->faults`; -1: the look can't go on, its
 * answer is set. */
int database_check_schema(struct database *db) MUST_CHECK;

#endif
