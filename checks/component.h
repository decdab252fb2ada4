/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_COMPONENT_H
#define REEVE_CHECKS_COMPONENT_H

#include "base/base.h"
#include "manifests/declared.h"
#include "manifests/foreign.h"

/*
 * Which component of Kubernetes or Compose is which worker or producer of
 * reeve.yaml: nothing says so but their names, which are compared word by word
 * and without words such as "worker". Pointers go into what was given.
 */

/* Is it one that is started there, and stays? */
bool component_is_of(
    const struct foreign_component *component, enum foreign_format format);
bool component_has_name(
    const struct foreign_component *component, const char *name);
/* NULL: none; so too where `declared` is NULL. */
const struct declared_worker *component_worker(
    const struct declared *declared, const struct foreign_component *component);
const struct declared_producer *component_producer(
    const struct declared *declared, const struct foreign_component *component);
/* Brokers and databases are often a service in Compose and something managed
 * in the cluster. */
bool component_is_infrastructure(const struct foreign_component *component);

#endif
