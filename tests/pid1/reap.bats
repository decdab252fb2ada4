#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Cases 05 to 09 and 11: who has ended, and what is left behind.

bats_require_minimum_version 1.5.0
load lib

# --- 05 ------------------------------------------------------------------------

many_ended() { (($(ps --ppid "$INIT" -o stat= | grep -c Z) > 1000)); }
# The most that were reaped between two waits for events.
most_in_a_turn() {
	awk '/^epoll_/ { n = 0 }
		/^waitid/ && !/WNOWAIT/ && /si_pid=[1-9]/ { if (++n > most) most = n }
		END { print most + 0 }' "$T/turns"
}

flood_of_orphans() {
	# no limit of processes for this user, within or around the container
	CONTAINER=(--user 0:0 --pids-limit -1)
	plan_of a.plan <<-END
		worker a
		arg $HOSTILE
		arg flood
		arg 5000
		arg $T/ready
		arg $T/done
		worker b
		arg $HELPER
		arg exit
		arg 1
		backoff 5ms 5ms
	END
	supervise
	# ends of its own would be looked for, and others' found with them
	"$CTL" stop b
	until_ok is b/0 stopped
	until_ok file_there "$T/ready"
	strace -qq -e trace=waitid,epoll_wait,epoll_pwait -o "$T/turns" -p "$INIT" 3>&- &
	ALSO+=($!)
	until_ok grep -q epoll_ "$T/turns"
	# more than it may reap in a turn are there when it looks
	kill -STOP "$INIT"
	rm "$T/ready"
	until_ok many_ended
	kill -CONT "$INIT"
	until_ok file_there "$T/done"
	"$CTL" live
	until_ok init_has orphans 5000
	no_zombies "$INIT" || until_ok no_zombies "$INIT"
	# by their number, or by the time that they take
	most=$(most_in_a_turn)
	((most > 1 && most <= 256))
	"$CTL" start b
	until_ok at_least b/0 restarts 3
	[ "$(figure a/0 restarts)" = 0 ]
	stop_with 0
}

@test "case 05: 5,000 orphans that end in one instant are all reaped [pid1]" { in_mode pid1; flood_of_orphans; }
@test "case 05: 5,000 orphans that end in one instant are all reaped [subreaper]" { in_mode subreaper; flood_of_orphans; }
@test "case 05: 5,000 orphans that end in one instant are all reaped [container]" { in_mode container; flood_of_orphans; }

# --- 06 ------------------------------------------------------------------------

two_kinds() {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		backoff 10ms 10ms
		worker b
		arg $HELPER
		arg orphans
		arg 50
		arg $T/done
		backoff 10ms 10ms
	END
}

lost_sigchld() {
	two_kinds
	supervise
	until_ok is a/0 ready
	until_ok file_there "$T/done"
	"$HOSTILE" deafen "$INIT"
	kill -KILL "$(worker_pid a/0)"
	# its pidfd says so
	until_ok at_least a/0 restarts 1
	until_ok is a/0 ready
	stop_with 0
}

lost_sigchld_without_pidfds() {
	two_kinds
	# nor has it close_range: what was inherited is closed one by one
	start "$HOSTILE" without pidfds "$REEVE" run --plan "$T/a.plan" >"$T/out" 2>"$T/err" 9</dev/null
	until_ok reeve_or_gone "$INIT"
	until_ok is a/0 ready
	run ! file_there "/proc/$(worker_pid a/0)/fd/9"
	until_ok file_there "$T/done"
	until_ok no_zombies "$INIT"
	"$HOSTILE" deafen "$INIT"
	rm "$T/done"
	kill -KILL "$(worker_pid a/0)" "$(worker_pid b/0)"
	# the tick of the second says so, and reaps the orphans too
	until_ok at_least a/0 restarts 1
	until_ok at_least b/0 restarts 1
	until_ok file_there "$T/done"
	until_ok no_zombies "$INIT"
	stop_with 0
}

@test "case 06: a lost SIGCHLD is made up for by the pidfd [pid1]" { in_mode pid1; lost_sigchld; }
@test "case 06: a lost SIGCHLD is made up for by the pidfd [subreaper]" { in_mode subreaper; lost_sigchld; }
@test "case 06: a lost SIGCHLD is made up for by the pidfd [container]" { in_mode container; lost_sigchld; }
@test "case 06: a lost SIGCHLD on a kernel without pidfds is made up for by a tick [pid1]" { in_mode pid1; lost_sigchld_without_pidfds; }
@test "case 06: a lost SIGCHLD on a kernel without pidfds is made up for by a tick [subreaper]" { in_mode subreaper; lost_sigchld_without_pidfds; }
@test "case 06: a lost SIGCHLD on a kernel without pidfds is made up for by a tick [container]" { in_mode container; lost_sigchld_without_pidfds; }

# --- 07 ------------------------------------------------------------------------

survivor_known() { is a/0 ending && [[ $(figure a/0 survivors) == 1 ]]; }

group_outlives() {
	local member
	plan_of a.plan <<-END
		second-term kill
		worker a
		arg $HOSTILE
		arg pair
		arg $T/ready
		grace 1h
	END
	supervise
	until_ok file_there "$T/ready"
	member=$(host_pid "$(<"$T/ready")")
	kill -TERM "$INIT"
	until_ok survivor_known
	alive "$member"
	stop_with 0
	gone "$member"
	# the same without anybody's help
	rm "$T/ready"
	printf '%s\n' 'worker a' "arg $HOSTILE" 'arg pair' "arg $T/ready" \
		'grace 300ms' | plan_of a.plan
	supervise
	until_ok file_there "$T/ready"
	member=$(host_pid "$(<"$T/ready")")
	stop_with 0
	gone "$member"
}

# A leader that ends by itself: the rest drains before the worker starts again.
group_drains() {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg member
		arg $T/ready
		arg $T/mark
		arg drain
		arg 100
		backoff 10ms 20ms
		grace 20s
	END
	supervise
	until_ok file_there "$T/mark"
	until_ok at_least a/0 restarts 1
	stop_with 0
}

@test "case 07: a group that outlives its leader is reported and killed [pid1]" { in_mode pid1; group_outlives; }
@test "case 07: a group that outlives its leader is reported and killed [subreaper]" { in_mode subreaper; group_outlives; }
@test "case 07: a group that outlives its leader is reported and killed [container]" { in_mode container; group_outlives; }
@test "case 07: what outlives a leader drains before the worker is started again [pid1]" { in_mode pid1; group_drains; }
@test "case 07: what outlives a leader drains before the worker is started again [subreaper]" { in_mode subreaper; group_drains; }
@test "case 07: what outlives a leader drains before the worker is started again [container]" { in_mode container; group_drains; }

# --- 08 ------------------------------------------------------------------------

escapees() {
	local deserter
	plan_of a.plan <<-END
		worker daemon
		arg $HELPER
		arg escapee
		arg $T/daemon
		arg $T/mark
		arg 100
		restart never
		worker deserter
		arg $HOSTILE
		arg deserter
		arg $T/deserter
	END
	supervise
	until_ok file_there "$T/daemon"
	until_ok file_there "$T/deserter"
	deserter=$(host_pid "$(<"$T/deserter")")
	alive "$deserter"
	stop_with 0
	# the one had time to drain, the other was killed; both are named
	[ -e "$T/mark" ]
	gone "$deserter"
	said "drain.left pid=$(<"$T/daemon") name='helper'"
	said "drain.left pid=$(<"$T/deserter") name='hostile'"
}

@test "case 08: an escaped daemon drains, one that won't is killed, both are named [pid1]" { in_mode pid1; escapees; }
@test "case 08: an escaped daemon drains, one that won't is killed, both are named [subreaper]" { in_mode subreaper; escapees; }
@test "case 08: an escaped daemon drains, one that won't is killed, both are named [container]" { in_mode container; escapees; }

# --- 09 ------------------------------------------------------------------------

stdout_held() {
	local first
	plan_of a.plan <<-END
		worker a
		arg $HOSTILE
		arg talk-later
		arg $T/ready
		arg $T/go
		backoff 300ms 300ms
	END
	supervise
	until_ok file_there "$T/ready"
	first=$(<"$T/ready")
	# dead, and started again, while its stdout is held
	until_ok at_least a/0 restarts 1
	alive "$(host_pid "$first")"
	: >"$T/go"
	until_ok grep -qx "said by $first" "$T/out"
	stop_with 0
}

@test "case 09: a grandchild that holds stdout hides no end, and is still heard [pid1]" { in_mode pid1; stdout_held; }
@test "case 09: a grandchild that holds stdout hides no end, and is still heard [subreaper]" { in_mode subreaper; stdout_held; }
@test "case 09: a grandchild that holds stdout hides no end, and is still heard [container]" { in_mode container; stdout_held; }

# --- 11 ------------------------------------------------------------------------

recycled_numbers() {
	plan_of a.plan <<-END
		logs none
		worker churn
		arg $HELPER
		arg exit
		arg 1
		backoff 1ms 1ms
		replicas 6
		worker members
		arg $HELPER
		arg member
		arg $T/ready
		arg $T/mark
		arg ignore
		grace 10ms
		backoff 1ms 1ms
		worker probed
		arg $HELPER
		arg wait
		readiness exec $HELPER exit 1
		times 0 5ms 1s 1 1
		liveness exec $HELPER exit 1
		times 20ms 20ms 1s 1 1
		backoff 1ms 1ms
		replicas 4
	END
	# as a subreaper in a namespace too: else the strangers' numbers are
	# everybody's
	if [[ $MODE == subreaper ]]; then
		AS=("${PID1[@]}" -- tini -s --)
		start "$REEVE" run --plan "$T/a.plan" >"$T/out" 2>"$T/err"
		until_ok inner_reeve
		INIT=$(inner_reeve)
		LAUNCHED+=("$INIT")
	else
		supervise
	fi
	until_ok at_least churn/0 restarts 1
	within "$HOSTILE" strangers 60 "$T/hit" "$T/strangers-done"
	[ -e "$T/strangers-done" ]
	[ ! -e "$T/hit" ]
	until_ok at_least churn/0 restarts 20
	until_ok at_least members/0 restarts 5
	until_ok at_least probed/0 restarts 5
	stop_with 0
}

@test "case 11: numbers that are used again at once: no stranger is ever signalled [pid1]" { in_mode pid1; recycled_numbers; }
@test "case 11: numbers that are used again at once: no stranger is ever signalled [subreaper]" { in_mode subreaper; recycled_numbers; }
@test "case 11: numbers that are used again at once: no stranger is ever signalled [container]" { in_mode container; recycled_numbers; }
