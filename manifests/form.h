/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_MANIFESTS_FORM_H
#define REEVE_MANIFESTS_FORM_H

#include "base/base.h"
#include "manifests/table.h"

/* What a scalar's text must look like, by its row's form: what is wrong, to be
 * said behind the value ("must be …"), a constant; NULL: nothing, or it takes
 * more than a look at the text (a parser, or the other keys). */
const char *form_fault(enum row_form form, const char *text);

#endif
