#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The demo checks itself: it ends with 0 only when every step came out right.

bats_require_minimum_version 1.5.0
load ../lib

@test "the demo tells its story, and each step comes out as it should" {
	run timeout -s KILL 300 "$REEVE" demo
	expect_status 0
	has "Every step came out as it should."
	lacks "NOT AS IT SHOULD BE"
	local id
	for id in RV301 RV201 RV102 RV703; do
		has "diagnose names the cause: $id"
	done
	# the secret's values were never shown
	lacks "value-of-the-key"
	dir=$(sed -n 's/^Everything lies in \([^;]*\);.*/\1/p' <<<"$output")
	[ -n "$dir" ]
	[ ! -e "$dir" ]
}

@test "a demo that is interrupted takes its supervisor and its commands with it" {
	start_background demo "$REEVE" demo
	local demo=$BACKGROUND_PID supervisor dir
	wait_until grep -q "both workers are ready" "$BACKGROUND_LOG"
	dir=$(sed -n 's/^Everything lies in \([^;]*\);.*/\1/p' "$BACKGROUND_LOG")
	[ -d "$dir" ]
	supervisor=$(child_of "$demo")
	[ -n "$supervisor" ]
	born=$(start_time "$supervisor")
	# it is in the middle of one, which doesn't end by itself
	wait_until command_stops "$demo" "$supervisor"
	remember "$COMMAND_PID"
	kill -TERM "$demo"
	wait_until gone "$supervisor" "$born"
	wait_until told_to_end "$COMMAND_PID"
	kill -CONT "$COMMAND_PID"
	wait_until nobody_has "$dir"
	rm -rf "$dir"
}

# Stops a command of the demo's; sets COMMAND_PID.
command_stops() {
	for COMMAND_PID in $(<"/proc/$1/task/$1/children"); do
		[ "$COMMAND_PID" != "$2" ] && kill -STOP "$COMMAND_PID" &&
		    wait_until -t 5 has_state "$COMMAND_PID" T && return 0
	done
	return 1
}
has_state() { grep -q "^State:	$2" "/proc/$1/status"; }
# TERM, 15, waits for it: bit 14.
told_to_end() { ((0x$(sed -n 's/^ShdPnd:	//p' "/proc/$1/status") & 1 << 14)); }

# Nobody's command line names it; grep's own doesn't either.
nobody_has() { ! grep -sqF -f <(echo "$1") /proc/[0-9]*/cmdline; }

child_of() {
	local pid
	for pid in $(<"/proc/$1/task/$1/children"); do
		case $(tr '\0' ' ' <"/proc/$pid/cmdline") in
		*" run -f "*) echo "$pid" ;;
		esac
	done
}
