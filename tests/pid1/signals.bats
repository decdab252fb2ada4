#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Cases 12, 16, 17 and 22: signals, those we send and those that are sent to us.

bats_require_minimum_version 1.5.0
load lib

# --- 12 ------------------------------------------------------------------------

nobody_in_particular() {
	local value
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		replicas 2
		worker b
		arg $HELPER
		arg exit
		arg 1
		backoff 5ms 5ms
		worker c
		arg $HELPER
		arg wait
		liveness exec $HELPER wait
		times 0 10ms 50ms 1 1
		backoff 5ms 5ms
		worker d
		arg $HOSTILE
		arg pair
		arg $T/pair
		grace 50ms
	END
	supervise
	until_ok is a/1 ready
	until_ok file_there "$T/pair"
	# whoever isn't ours, where kill(-1) and kill(0) would reach him
	if [[ $MODE == subreaper ]]; then
		"$HELPER" count 15 1 "$T/outsider" "$T/hit" &
	else
		within "$HELPER" count 15 1 "$T/outsider" "$T/hit" &
	fi
	ALSO+=($!)
	until_ok file_there "$T/outsider"
	strace -f -qq -e trace=kill,tkill,tgkill,pidfd_send_signal -o "$T/kills" -p "$INIT" &
	ALSO+=($!)
	until_ok grep -q 'kill(' "$T/kills"
	"$CTL" stop a 0
	until_ok is a/0 stopped
	# orders that would be kill(0), if nobody looked
	[[ $("$CTL" signal a 0 15) == "ok affected 0"* ]]
	for value in 0 -1 65 -15; do
		run ! "$CTL" signal a 1 "$value"
	done
	"$CTL" stop d
	until_ok is d/0 stopped
	until_ok at_least c/0 restarts 2
	[ ! -e "$T/hit" ]
	is a/1 ready
	"$CTL" live
	"$CTL" scale a -1 0
	stop_with 0
	[[ $MODE != subreaper ]] || [ ! -e "$T/hit" ]
	(($(grep -c 'kill(' "$T/kills") > 5))
	run ! grep -E 'kill\((-1|0|1),' "$T/kills"
}

@test "case 12: nobody but a process or a group of ours is ever signalled [pid1]" { in_mode pid1; nobody_in_particular; }
@test "case 12: nobody but a process or a group of ours is ever signalled [subreaper]" { in_mode subreaper; nobody_in_particular; }
@test "case 12: nobody but a process or a group of ours is ever signalled [container]" { in_mode container; nobody_in_particular; }

# --- 16 ------------------------------------------------------------------------

more_lines_in() { (($(lines_in "$1") > $2)); }

storm() {
	local n signo
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg count
		arg 15
		arg 2
		arg $T/ready
		arg $T/count
		grace 1h
	END
	supervise
	until_ok file_there "$T/ready"
	kill -TERM "$INIT"
	until_ok grep -qx 1 "$T/count"
	for signo in TERM TERM INT; do
		n=$(lines_in drain.again)
		kill -$signo "$INIT"
		until_ok more_lines_in drain.again "$n"
	done
	"$CTL" live
	[ "$(<"$T/count")" = 1 ]
	kill -KILL "$(worker_pid a/0)"
	expect_code 0
}

# Each one halves what is left of the hour.
again_until_gone() {
	kill -TERM "$INIT" 2>/dev/null || :
	gone "$INIT"
}

second_term() {
	local policy
	for policy in hasten kill; do
		rm -f "$T/ready" "$T/count"
		plan_of a.plan <<-END
			second-term $policy
			worker a
			arg $HELPER
			arg count
			arg 15
			arg 2
			arg $T/ready
			arg $T/count
			grace 1h
		END
		supervise
		until_ok file_there "$T/ready"
		kill -TERM "$INIT"
		until_ok grep -qx 1 "$T/count"
		if [[ $policy == kill ]]; then
			stop_with 0
		else
			until_ok again_until_gone
			expect_code 0
		fi
		# the worker had no second one of it
		[ "$(<"$T/count")" = 1 ]
	done
}

@test "case 16: three TERMs and an INT are one drain signal [pid1]" { in_mode pid1; storm; }
@test "case 16: three TERMs and an INT are one drain signal [subreaper]" { in_mode subreaper; storm; }
@test "case 16: three TERMs and an INT are one drain signal [container]" { in_mode container; storm; }
@test "case 16: a second TERM shortens the wait where that is configured [pid1]" { in_mode pid1; second_term; }
@test "case 16: a second TERM shortens the wait where that is configured [subreaper]" { in_mode subreaper; second_term; }
@test "case 16: a second TERM shortens the wait where that is configured [container]" { in_mode container; second_term; }

# --- 17 ------------------------------------------------------------------------

ignores_term() {
	local worker
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg ignore-term
		arg $T/ready
		grace 300ms
		worker b
		arg $HELPER
		arg drain
		arg $T/ready-b
		arg $T/mark
		arg 10
	END
	supervise
	until_ok file_there "$T/ready"
	until_ok file_there "$T/ready-b"
	worker=$(host_pid "$(<"$T/ready")")
	# drains though it is stopped
	kill -STOP "$(host_pid "$(<"$T/ready-b")")"
	stop_with 0
	gone "$worker"
	[ -e "$T/mark" ]
	said 'worker.exited worker=a/0 .*killed by SIGKILL (sent by reeve)'
}

hangs_in_the_kernel() { [[ $(state_of "$1") == D ]]; }

unkillable() {
	local worker hanging
	mkdir "$T/hang"
	"$HOSTILE" hang-fs "$T/hang" "$T/mounted" "$T/asked" 3>&- 4>&- &
	hanging=$!
	ALSO+=("$hanging")
	until_ok file_there "$T/mounted"
	plan_of a.plan <<-END
		budget 2s
		worker a
		arg $HOSTILE
		arg open
		arg $T/hang/file
		arg $T/ready
		grace 200ms
		worker b
		arg $HELPER
		arg drain
		arg $T/ready-b
		arg $T/mark
		arg 10
	END
	supervise
	until_ok file_there "$T/ready"
	until_ok file_there "$T/ready-b"
	worker=$(host_pid "$(<"$T/ready")")
	until_ok file_there "$T/asked"
	kill -TERM "$INIT"
	said 'drain.unkillable worker=a/0'
	said 'init.ends'
	[ -e "$T/mark" ]
	# no KILL has ended it, and none can
	hangs_in_the_kernel "$worker"
	# where reeve is PID 1, the kernel itself waits for the last one
	[[ $MODE != subreaper ]] || expect_code 0
	kill -KILL "$hanging"
	[[ $MODE == subreaper ]] || expect_code 0
	until_ok gone "$worker"
	umount "$T/hang"
}

@test "case 17: who ignores TERM is killed after its grace, who was stopped drains [pid1]" { in_mode pid1; ignores_term; }
@test "case 17: who ignores TERM is killed after its grace, who was stopped drains [subreaper]" { in_mode subreaper; ignores_term; }
@test "case 17: who ignores TERM is killed after its grace, who was stopped drains [container]" { in_mode container; ignores_term; }
@test "case 17: a worker that no KILL ends is named, and not waited for [pid1]" { in_mode pid1; unkillable; }
@test "case 17: a worker that no KILL ends is named, and not waited for [subreaper]" { in_mode subreaper; unkillable; }
@test "case 17: a worker that no KILL ends is named, and not waited for [container]" { in_mode container; unkillable; }

# --- 22 ------------------------------------------------------------------------

last_said() { "$CTL" logs a 1 | sed 's/.* //'; }
said_more_than() { (($(last_said) > $1)); }

terminal_goes() {
	local pid before
	plan_of a.plan <<-END
		worker a
		arg $HOSTILE
		arg talk
	END
	start "$HOSTILE" hangup "$REEVE" run --plan "$T/a.plan" 2>"$T/err"
	until_ok reeve_or_gone "$INIT"
	until_ok is a/0 ready
	pid=$(figure a/0 pid)
	# nobody has the other end any more: SIGHUP has come
	said 'reload.nobody'
	before=$(last_said)
	until_ok said_more_than $((before + 20))
	[ "$(figure a/0 pid)" = "$pid" ]
	[ "$(figure a/0 restarts)" = 0 ]
	stop_with 0
}

@test "case 22: a terminal that stops background writers and then hangs up hurts nobody [pid1]" { in_mode pid1; terminal_goes; }
@test "case 22: a terminal that stops background writers and then hangs up hurts nobody [subreaper]" { in_mode subreaper; terminal_goes; }
@test "case 22: a terminal that stops background writers and then hangs up hurts nobody [container]" { in_mode container; terminal_goes; }
