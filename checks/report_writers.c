/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <string.h>

#include "checks/report.h"

/* A format is a file with one function, and a row here. */
const struct report_writer report_writers[] = {
    {"text", report_text},
    {"json", report_json},
    {"junit", report_junit},
    {NULL, NULL},
};

const struct report_writer *
report_writer_find(const char *format)
{
	for (const struct report_writer *w = report_writers; w->format != NULL;
	     w++)
		if (strcmp(w->format, format) == 0)
			return w;
	return NULL;
}
