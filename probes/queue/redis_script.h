/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_PROBES_QUEUE_REDIS_SCRIPT_H
#define REEVE_PROBES_QUEUE_REDIS_SCRIPT_H

#include "base/base.h"

/*
 * A script isn't a transaction: what it wrote before one of its commands was
 * refused stays written. So a script that writes in more than one place begins
 * with this and asks, before its first write, whether each of them may be done:
 * `refused` takes rows of {COMMAND, key, type that the key must have or nil}
 * and answers the error that the script is to return, or nil. Whether the user
 * has the right is known from Redis 7 on; without the right to TYPE, a type
 * isn't.
 */
#define REDIS_SCRIPT_REFUSED                                                  \
	"local function refused(rows)\n"                                      \
	" for _,row in ipairs(rows) do\n"                                     \
	"  local command,key,kind=row[1],row[2],row[3]\n"                     \
	"  if redis.acl_check_cmd and not redis.acl_check_cmd(command,key)\n" \
	"  then return redis.error_reply('NOPERM this user may not '"         \
	"..command..' '..key) end\n"                                          \
	"  local is=kind and redis.pcall('TYPE',key).ok\n"                    \
	"  if is and is~='none' and is~=kind then\n"                          \
	"   return redis.error_reply('WRONGTYPE '..key..' is a '..is"         \
	"..', not a '..kind) end\n"                                           \
	" end\n"                                                              \
	"end\n"

#endif
