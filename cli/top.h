/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CLI_TOP_H
#define REEVE_CLI_TOP_H

#include "base/base.h"
#include "cli/control.h"
#include "cli/top_model.h"

/* What `reeve top` knows; top.c takes keys and acts, top_draw.c draws by
 * top_screen.c. */
enum {
	TOP_FILTER_MAX = 64,
	TOP_SAID_MAX = 1024,
};

enum mode {
	MODE_LIST = 0,
	MODE_FILTER,  /* the filter is being typed */
	MODE_CONFIRM, /* an order waits for its `y` */
	MODE_LOGS,
	MODE_HELP,
};

struct top {
	struct cli *cli;
	struct control_client client;
	struct top_model model;
	enum top_sort sort;
	enum mode mode;
	size_t at, first; /* the row that is selected, and the topmost */
	char filter[TOP_FILTER_MAX];
	char said[TOP_SAID_MAX];    /* the last answer, or the question */
	char stale[TOP_SAID_MAX];   /* why what is shown is old; "" it isn't */
	struct control_order order; /* that waits for its `y` */
	char worker[64];            /* its name, and that of the logs */
	int32_t replica;
	bool over;
};

/* Draws all of it; moves the topmost row so that the selected one is seen. */
void top_draw(struct top *top);

#endif
