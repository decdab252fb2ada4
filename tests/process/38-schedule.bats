#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Workers that run by the calendar. What is due when is unit/test_calendar's;
# here the real clock is waited for once, for all that happens at a full minute.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

# The number behind WORD in the line of WORKER.
of() { "$CTL" show | sed -n "s/^worker $1 .* $2 \([0-9-]*\).*/\1/p"; }
is_set() { (($(of "$1" "$2") > 0)); }
begins() { ((10#$(date +%S) < 50)); } # a minute
says() { "$REEVE" status -f "$T/reeve.yaml" "${@:2}" | grep -q "$1"; }
lines() { [[ -e $T/$1 && $(wc -l <"$T/$1") -ge $2 ]]; }
# worker NAME SCRIPT: a shell that runs SCRIPT.
worker() {
	printf 'worker %s\narg /bin/sh\narg -c\narg %s\nrestart never\n' "$1" "$2"
}
# In a leap year, at a time that doesn't come meanwhile.
NEVER='schedule 0 0 29 2 *'

@test "start NAME runs it now; status has the last run, the last success and the next run" {
	{
		worker job "echo x >>$T/ran"
		echo "$NEVER"
	} | plan_of a.plan
	supervise pid1
	until_ok "$CTL" live
	[ "$(of job last)" = 0 ]
	(($(of job next) > 0))
	[ ! -e "$T/ran" ]
	"$CTL" start job
	until_ok is_set job success
	(($(of job last) > 0))
	lines ran 1
	is job/0 finished
	"$CTL" start job
	until_ok lines ran 2
	# it doesn't end the container: the next run comes
	alive "$INIT"
	kill -TERM "$INIT"
	expect_code 0
}

@test "start NAME while it runs: Allow has another one, Forbid none, Replace ends the first" {
	for policy in allow forbid replace; do
		rm -f "$T"/ran
		{
			worker job "echo x >>$T/ran; exec sleep 1000"
			echo "$NEVER"
			echo "concurrency $policy"
		} | plan_of a.plan
		supervise child
		until_ok "$CTL" start job
		until_ok is job/0 ready
		pid=$(figure job/0 pid)
		"$CTL" start job
		case $policy in
		allow)
			until_ok is job/1 ready
			[ "$(figure job/0 pid)" = "$pid" ]
			;;
		forbid)
			[ -z "$(shown job/1)" ]
			[ "$(figure job/0 pid)" = "$pid" ]
			;;
		replace)
			until_ok gone "$pid"
			until_ok lines ran 2
			[ -z "$(shown job/1)" ]
			;;
		esac
		kill -TERM "$INIT"
		expect_code 0
	done
}

@test "a failed run is tried again up to its limit, and is no success" {
	{
		worker job "echo x >>$T/ran; exit 4"
		echo "restart on-failure"
		echo "backoff 10ms 20ms"
		echo "failures 3"
		echo "$NEVER"
	} | plan_of a.plan
	supervise pid1
	until_ok "$CTL" start job
	until_ok is job/0 finished
	[ "$(wc -l <"$T/ran")" -eq 3 ]
	[ "$(of job success)" = 0 ]
	(($(of job last) > 0))
}

@test "at the full minute each runs once: after a fault of the init, and one just then; what is suspended or stopped doesn't" {
	needs_faults
	export REEVE_TEST_CRASH_AGAIN_OK=1
	# shellcheck disable=SC2034 # until_ok's
	PATIENCE=90
	{
		worker every "echo x >>$T/every"
		echo "schedule * * * * *"
		worker suspended "echo x >>$T/suspended"
		echo "schedule * * * * *"
		echo "suspend yes"
		worker stopped "echo x >>$T/stopped"
		echo "schedule * * * * *"
		worker busy "echo x >>$T/busy; exec sleep 1000"
		echo "schedule * * * * *"
		echo "concurrency forbid"
	} | plan_of a.plan
	# not in the last seconds of a minute: what is asked first is asked in it
	until_ok begins
	supervise pid1 2>"$T/err"
	until_ok "$CTL" live
	"$CTL" stop stopped
	"$CTL" start busy
	until_ok lines busy 1
	next=$(of every next)
	kill -SEGV "$INIT"
	until_ok grep -q init.recovered "$T/err"
	until_ok "$CTL" live
	[ "$(of every next)" = "$next" ]
	[ "$(of suspended next)" = 0 ]
	# the next fault: when the first of them is due, and before it is made
	kill -47 "$INIT"
	until_ok lines every 1
	[ "$(grep -c init.recovered "$T/err")" -eq 2 ]
	(($(date +%s) >= next / 1000))
	until_ok is_set busy missed
	[ "$(of busy missed)" = 1 ]
	[ "$(wc -l <"$T/busy")" -eq 1 ]
	[ "$(wc -l <"$T/every")" -eq 1 ]
	(($(of every next) == next + 60000))
	[ "$(of every missed)" = 0 ]
	[ ! -e "$T/suspended" ]
	[ ! -e "$T/stopped" ]
}

@test "a manifest: the zone is read, status tells it all, and a mistake is named with its place" {
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: nightly
		workers:
		- name: report
		  command: [/bin/true]
		  schedule: "30 2 * * *"
		  timeZone: Europe/Berlin
		  concurrencyPolicy: Forbid
	END
	export REEVE_SOCKET=$T/socket
	launch child run -f "$T/reeve.yaml"
	until_ok "$REEVE" status -f "$T/reeve.yaml"
	until_ok says "runs by .30 2 \* \* \* Europe/Berlin.  next 20"
	"$REEVE" start report -f "$T/reeve.yaml"
	until_ok says '"last_success": *"20' --output json
	"$REEVE" diff -f "$T/reeve.yaml"
	kill -TERM "$INIT"
	expect_code 0
	sed -i 's/30 2/30 25/' "$T/reeve.yaml"
	run ! "$REEVE" lint "$T/reeve.yaml"
	[[ $output == *"reeve.yaml:6:13"*"hour, column 4: '25' is out of range"* ]]
}

alert_of() { grep -qE "alert state=$1 kind=schedule-failed.*worker job.*$2" "$T/err"; }

@test "a run that is given up raises schedule-failed with its last success, the next success resolves it" {
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: nightly
		workers:
		- name: job
		  command: [/bin/sh, -c, 'exit \$(cat $T/code)']
		  schedule: "30 2 * * *"
		  restart: {policy: Never}
	END
	export REEVE_SOCKET=$T/socket
	echo 3 >"$T/code"
	launch child run -f "$T/reeve.yaml" 2>"$T/err"
	until_ok "$REEVE" status -f "$T/reeve.yaml"
	"$REEVE" start job -f "$T/reeve.yaml"
	until_ok alert_of raised "the last success: never: .*exit code 3"
	until_ok says '"last_failure": *"20' --output json
	echo 0 >"$T/code"
	"$REEVE" start job -f "$T/reeve.yaml"
	until_ok alert_of resolved
	# and the age of the last success is said
	echo 3 >"$T/code"
	"$REEVE" start job -f "$T/reeve.yaml"
	until_ok alert_of raised "the last success: .* ago"
	kill -TERM "$INIT"
	expect_code 0
}
