/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "probes/queue/drivers.h"

/*
 * Rows of what this build was made without (the Makefile's BACKENDS): their
 * URLs are known, and looking at one says why it can't be.
 */
#ifndef WITH_NATS
const struct queue_driver queue_nats = {.kind = "nats",
    .schemes = (const char *const[]){"nats", "nats+nats", "nats+tls", NULL},
    .name_key = "stream",
    .keys = (const char *const[]){"stream", NULL},
    .any_key = true,
    .left_out = true};
#endif
#ifndef WITH_MYSQL
const struct queue_driver queue_mysql_table = {.kind = "mysqltable",
    .schemes =
        (const char *const[]){"mysqltable+mysql", "mysqltable+mariadb", NULL},
    .name_key = "table",
    .keys = (const char *const[]){"table", NULL},
    .any_key = true,
    .left_out = true};
#endif
#ifndef WITH_ODBC
const struct queue_driver queue_mssql_table = {.kind = "mssqltable",
    .schemes = (const char *const[]){"mssqltable+tds", NULL},
    .name_key = "table",
    .keys = (const char *const[]){"table", NULL},
    .any_key = true,
    .deep_path = true,
    .left_out = true};
#endif
#ifndef WITH_AMQP
const struct queue_driver queue_amqp = {.kind = "amqp",
    .schemes =
        (const char *const[]){"amqp", "amqps", "amqp+amqp", "amqp+amqps", NULL},
    .name_key = "queue",
    .keys = (const char *const[]){"queue", NULL},
    .any_key = true,
    .deep_path = true,
    .left_out = true};
#endif
#ifndef WITH_KAFKA
const struct queue_driver queue_kafka = {.kind = "kafka",
    .schemes = (const char *const[]){"kafka", "kafka+kafka", "kafka+tls", NULL},
    .name_key = "topic",
    .keys = (const char *const[]){"topic", NULL},
    .any_key = true,
    .left_out = true};
#endif
