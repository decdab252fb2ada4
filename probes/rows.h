/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_ROWS_H
#define REEVE_PROBES_ROWS_H

#include "base/base.h"

/* What an SQL server answers, bounded, as texts in the asker's arena. */
enum {
	SQL_ROWS_MAX = 5000,    /* of one answer; the rest is thrown away */
	SQL_CELL_MAX = 64 << 10 /* bytes of one value; the rest is cut */
};

struct sql_rows {
	const char *const *cell; /* row by row; NULL is NULL */
	const char *const *name; /* of the columns; NULL: not asked for */
	size_t rows, columns;
	int64_t affected;
};

/* A value; "" where it is NULL. Lives as long as the rows. */
static inline const char *
sql_cell(const struct sql_rows *rows, size_t row, size_t column)
{
	const char *text = rows->cell[row * rows->columns + column];

	return text != NULL ? text : "";
}

#endif
