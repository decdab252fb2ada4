/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "checks/finding_table.h"
#include "checks/rows.h"

/* The words of findings.def. */
#define L STAGE_LINT
#define C STAGE_CHECK
#define S STAGE_SMOKE
#define G STAGE_GATE
#define D STAGE_DIAGNOSE
#define A STAGE_ALERT
#define W(number)                    \
	{                            \
		number, LABEL_WORKER \
	}
#define Q(number)                   \
	{                           \
		number, LABEL_QUEUE \
	}
#define E(number)                                \
	{                                        \
		number, LABEL_WORKER | LABEL_ENV \
	}
#define K(number)                   \
	{                           \
		number, LABEL_CHECK \
	}
#define S_(number)                  \
	{                           \
		number, LABEL_SMOKE \
	}
#define P(number)                      \
	{                              \
		number, LABEL_ENDPOINT \
	}
/* Both end with a zero, also when nothing stands in the brackets. */
#define NEEDS(...) ((const unsigned[]){__VA_ARGS__ __VA_OPT__(, ) 0})
#define EXPLAINS(...) \
	((const struct row_edge[]){__VA_ARGS__ __VA_OPT__(, ){0, 0}})

#define ROW(row_number, row_slug, row_title, row_severity, row_stages, \
    row_layer, row_required, row_run, row_needs, row_explains)         \
	{                                                              \
	    .number = (row_number),                                    \
	    .id = "RV" #row_number,                                    \
	    .slug = (row_slug),                                        \
	    .title = (row_title),                                      \
	    .severity = SEVERITY_##row_severity,                       \
	    .stages = (row_stages),                                    \
	    .layer = LAYER_##row_layer,                                \
	    .required = (row_required),                                \
	    .writes = ((row_stages)&STAGE_SMOKE) != 0 &&               \
	              ((row_stages)&STAGE_CHECK) == 0,                 \
	    .run = (row_run),                                          \
	    .needs = (row_needs),                                      \
	    .explains = (row_explains),                                \
	},

const struct finding_row finding_rows[] = {
#include "checks/findings.def"
};
const size_t finding_rows_count = ARRAY_LEN(finding_rows);

const struct finding_row *
finding_row_number(unsigned number)
{
	for (size_t i = 0; i < finding_rows_count; i++)
		if (finding_rows[i].number == number)
			return &finding_rows[i];
	return NULL;
}

const struct finding_row *
finding_row_find(const char *id_or_slug)
{
	const char *digits = id_or_slug;
	int64_t number;

	if ((digits[0] == 'R' || digits[0] == 'r') &&
	    (digits[1] == 'V' || digits[1] == 'v'))
		digits += 2;
	if (text_i64(digits, 1, 9999, &number, NULL) == 0)
		return finding_row_number((unsigned)number);
	for (size_t i = 0; i < finding_rows_count; i++)
		if (strcmp(finding_rows[i].slug, id_or_slug) == 0)
			return &finding_rows[i];
	return NULL;
}
