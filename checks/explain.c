/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "checks/explain.h"

const char *
explain_page_find(unsigned number)
{
	for (const struct explain_page *p = explain_pages; p->number != 0; p++)
		if (p->number == number)
			return p->text;
	return NULL;
}
