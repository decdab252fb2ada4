/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_PARITY_H
#define REEVE_CHECKS_PARITY_H

#include "base/base.h"
#include "checks/report.h"
#include "manifests/declared.h"
#include "manifests/foreign.h"

/*
 * Several descriptions of one system held against each other: what reeve.yaml
 * declares, and what Kubernetes objects and Compose files would really start.
 * Adds findings (RV101…106, 201, 301, 303) to `report`. `declared` may be
 * NULL: then the foreign descriptions are held against each other only.
 */
void parity_run(const struct declared *declared, const struct foreign *foreign,
    struct report *report);

#endif
