#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A worker for the operator's tests. It says in $STATE/history what happens to
# it, and is ready when $STATE/ready.REPLICA is there.
#   MODE=ok     becomes ready at once
#   MODE=never  never does
#   MODE=crash  ends with exit code 1
history() { echo "$1 $REEVE_REPLICA" >>"$STATE/history"; }

history start
if [ "$MODE" = crash ]; then exit 1; fi
trap 'rm -f "$STATE/ready.$REEVE_REPLICA"; history stop; exit 0' TERM
if [ "$MODE" = ok ]; then
	if [ -e "$STATE/slow" ]; then sleep 1; fi
	# first: whoever waits for the file may read the history at once
	history ready
	touch "$STATE/ready.$REEVE_REPLICA"
fi
while :; do sleep 0.1; done
