#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every command that looks at things, each with a timeout of 3 s, and says
# "COMMAND exit CODE" after its output. 137 is a command that hung: 30 s more is
# what a loaded machine may take.
for command in check smoke gate diagnose "queue ls"; do
	# shellcheck disable=SC2086 # `queue ls` is two words
	timeout -s KILL 33 "$REEVE" $command -f reeve.yaml --timeout 3s
	echo "$command exit $?"
done
timeout -s KILL 33 "$REEVE" diagnose "redis://$1/0?list=jobs" --timeout 3s
echo "diagnose URL exit $?"
