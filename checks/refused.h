/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_REFUSED_H
#define REEVE_CHECKS_REFUSED_H

#include "base/base.h"
#include "base/err.h"
#include "base/secret.h"
#include "checks/report.h"
#include "manifests/declared.h"

/*
 * A description that was refused, as findings: RV100, one for each error, its
 * place the subject. `errors` may be empty: then `err` says why `path` couldn't
 * be read at all. The report's exit code stays the command's.
 */
void report_refused(struct report *report, struct redactor *redactor,
    const char *path, const struct manifest_errors *errors,
    const struct err *err);

#endif
