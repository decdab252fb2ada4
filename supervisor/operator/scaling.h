/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_SCALING_H
#define REEVE_SUPERVISOR_OPERATOR_SCALING_H

#include "base/base.h"
#include "base/jsonw.h"
#include "manifests/declared.h"
#include "supervisor/operator/http.h"
#include "supervisor/operator/queues.h"

/*
 * Workers whose number is their queue's affair (`scale`). What is decided goes
 * into the plan like any other number of replicas, so the init has it, also
 * when there is no operator; a number by order (`reeve scale`) holds until it
 * is taken back (`reeve scale WORKER auto`).
 */
struct operator_core;
struct tracked;

/* A queue was looked at, or could not be. */
void scaling_saw(struct operator_core *op, const struct queue_view *view);
/* The replicas of a worker with `scale`. */
int64_t scaling_replicas(const struct operator_core *op,
    const struct declared_worker *declared, const struct tracked *tracked);
/* The object `scale` of a worker in reeve.status/1; nothing without `scale`. */
void scaling_write(struct operator_core *op, struct jsonw *json,
    const char *worker, const struct tracked *tracked);

/* GET /scaler?queue=NAME, for KEDA's metrics-api scaler:
 * {"queue":NAME,"value":N} with valueLocation `value`; 503 when it isn't known,
 * 404 when there is no such queue. */
void scaler_write(struct operator_core *op, struct http_request *request);

#endif
