/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_SUPERVISOR_OPERATOR_DELIVER_H
#define REEVE_SUPERVISOR_OPERATOR_DELIVER_H

#include "base/base.h"

/*
 * The child that takes one alert to one receiver and ends: `reeve-tool
 * deliver`. One JSON request on `in`:
 *   {"kind":"webhook","url":…,"format":"json|slack","timeout_ms":…,
 *    "command":[…],"payload":{reeve.alert/1}}
 * A command gets the payload on its stdin and decides by its exit code. A
 * webhook has taken it when it answers 2xx. Returns an exit code: 0 delivered;
 * else one line {"error":…} on `out` says why not, without the URL, which is a
 * secret.
 */
int deliver(int in, int out);

#endif
