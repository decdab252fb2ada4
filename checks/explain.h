/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_EXPLAIN_H
#define REEVE_CHECKS_EXPLAIN_H

#include "base/base.h"

/* The pages of docs/findings/, compiled in: `reeve explain` works offline. */
struct explain_page {
	unsigned number;
	const char *text; /* Markdown, NUL-terminated */
};
extern const struct explain_page explain_pages[]; /* ends with number 0 */

/* NULL: no such page. */
const char *explain_page_find(unsigned number);

#endif
