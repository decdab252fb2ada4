/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_CHECKS_ROWS_H
#define REEVE_CHECKS_ROWS_H

#include "checks/engine.h"

/* The functions that checks/findings.def names: each judges one row for every
 * subject that it has. They live in the file of their family. */

/* checks/config.c */
check_fn check_rv101, check_rv102, check_rv105, check_rv121, check_rv122;
/* checks/values.c */
check_fn check_rv103, check_rv104, check_rv106, check_rv127, check_rv128;
/* checks/endpoint.c */
check_fn check_rv110, check_rv115, check_rv119, check_rv129, check_rv130,
    check_rv131, check_rv206;
/* checks/database.c */
check_fn check_rv401, check_rv402, check_rv405, check_rv407, check_rv408,
    check_rv409, check_rv416, check_rv418;
/* checks/queue.c */
check_fn check_rv201, check_rv203, check_rv204, check_rv211;
/* checks/queue_place.c */
check_fn check_rv202, check_rv223;
/* checks/queue_server.c */
check_fn check_rv209, check_rv212, check_rv213, check_rv222, check_rv224,
    check_rv225, check_rv226, check_rv228, check_rv229, check_rv230,
    check_rv232, check_rv233, check_rv234;
/* checks/queue_jobs.c */
check_fn check_rv205, check_rv207, check_rv208, check_rv214, check_rv218,
    check_rv220, check_rv221, check_rv227, check_rv231;
/* checks/queue_samples.c */
check_fn check_rv210, check_rv216, check_rv217, check_rv219;
/* checks/deploy.c */
check_fn check_rv301, check_rv304, check_rv318, check_rv327;
/* checks/runtime.c */
check_fn check_rv501, check_rv506, check_rv507;
/* checks/platform.c */
check_fn check_rv325, check_rv326, check_rv503, check_rv511;
/* checks/end_to_end.c */
check_fn check_rv215, check_rv601, check_rv602, check_rv604, check_rv607,
    check_rv611, check_rv612, check_rv624, check_rv908, check_rv919;
/* checks/processor.c */
check_fn check_rv619, check_rv620;
/* checks/metrics.c */
check_fn check_rv701, check_rv702, check_rv703, check_rv715;

#endif
