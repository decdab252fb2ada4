#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Cases 15, 28 and 29: time passes, or seems to.

bats_require_minimum_version 1.5.0
load lib

# --- 15 ------------------------------------------------------------------------

# Everything in there stands still, for longer than the grace is.
freeze() {
	if [[ $MODE == container ]]; then
		"${POD[@]}" pause -l >/dev/null
	else
		kill -STOP "$WORKER" "$INIT"
	fi
}
thaw() {
	if [[ $MODE == container ]]; then
		"${POD[@]}" unpause -l >/dev/null
	else
		kill -CONT "$INIT" "$WORKER"
	fi
}

frozen() {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg drain
		arg $T/ready
		arg $T/mark
		arg 1500
		grace 3s
	END
	supervise
	until_ok file_there "$T/ready"
	WORKER=$(host_pid "$(<"$T/ready")")
	kill -TERM "$INIT"
	until_ok is a/0 stopping
	freeze
	# longer than the grace: the one wait that is for time
	read -rt 4 <> <(:) || :
	# the init first: it has the chance to be wrong
	thaw
	expect_code 0
	[ -e "$T/mark" ]
	said init.stalled
}

@test "case 15: frozen for longer than a grace, no deadline is fired on waking [pid1]" { in_mode pid1; frozen; }
@test "case 15: frozen for longer than a grace, no deadline is fired on waking [subreaper]" { in_mode subreaper; frozen; }
@test "case 15: frozen for longer than a grace, no deadline is fired on waking [container]" { in_mode container; frozen; }

# The same where one is stopped by order, or has to say that it lives: nothing
# else of the init is about to end.
frozen_alone() {
	local what=$1
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg drain
		arg $T/ready
		arg $T/mark
		arg 1500
		grace 3s
		${2:-}
	END
	supervise
	until_ok file_there "$T/ready"
	WORKER=$(host_pid "$(<"$T/ready")")
	[[ $what == watched ]] || "$CTL" stop a
	[[ $what == watched ]] || until_ok is a/0 stopping
	freeze
	read -rt "${3:-4}" <> <(:) || :
	thaw
	said init.stalled
}
# Shorter than pid1.md's two seconds, and as long as a short grace.
frozen_briefly() {
	frozen_alone stopped '' 1.5
	until_ok is a/0 stopped
	[ -e "$T/mark" ]
	stop_with 0
}
frozen_stopped() {
	frozen_alone stopped
	until_ok is a/0 stopped
	[ -e "$T/mark" ]
	stop_with 0
}
logged_ms() { date -d "$(grep -m 1 " $1 " "$T/err" | cut -d ' ' -f 1)" +%s%3N; }
# It is missed all the same, for it says nothing; but not on waking.
frozen_watched() {
	frozen_alone watched "notify none 3 5s" 6
	said watchdog.missed
	(($(logged_ms watchdog.missed) - $(logged_ms init.stalled) > 300))
	kill -KILL "$INIT"
}

@test "case 15: frozen while one is stopped by order [pid1]" { in_mode pid1; frozen_stopped; }
@test "case 15: frozen while one is stopped by order [subreaper]" { in_mode subreaper; frozen_stopped; }
@test "case 15: frozen while one is stopped by order [container]" { in_mode container; frozen_stopped; }

@test "case 15: frozen for as long as a short grace [pid1]" { in_mode pid1; frozen_briefly; }
@test "case 15: frozen for as long as a short grace [subreaper]" { in_mode subreaper; frozen_briefly; }
@test "case 15: frozen for as long as a short grace [container]" { in_mode container; frozen_briefly; }

@test "case 15: frozen for longer than a watchdog [pid1]" { in_mode pid1; frozen_watched; }
@test "case 15: frozen for longer than a watchdog [subreaper]" { in_mode subreaper; frozen_watched; }
@test "case 15: frozen for longer than a watchdog [container]" { in_mode container; frozen_watched; }

# Monotonic and boot time far from the host's, as after years, or in a container
# that was moved.
other_clocks() {
	plan_of a.plan <<-END
		exit-on-term 143
		worker a
		arg $HELPER
		arg wait
		arg $T/ready
		worker b
		arg $HELPER
		arg exit
		arg 1
		backoff 10ms 10ms
	END
	AS=(unshare -T --fork --kill-child --monotonic "$1" --boottime "$1" --)
	start "$REEVE" run --plan "$T/a.plan" >"$T/out" 2>"$T/err"
	until_ok inner_reeve
	INIT=$(inner_reeve)
	until_ok file_there "$T/ready"
	until_ok at_least b/0 restarts 3
	stop_with 143
}

@test "case 15: monotonic clocks that are years ahead change nothing [pid1]" { in_mode pid1; other_clocks 300000000; }
@test "case 15: monotonic clocks that are years ahead change nothing [subreaper]" { in_mode subreaper; other_clocks 300000000; }

# The wall clock can't be set in a test without setting everybody's. So: who
# reads it at all? Not the files that make deadlines; schedules are of the wall
# clock's time by their nature.
@test "case 15: no deadline knows of the wall clock [source]" {
	local file deadlines=(base/loop.c worker/backoff.c worker/limit.c)
	cd "$REEVE_ROOT"
	while read -r file; do
		# starts and ends are stamped there for people, and a seed is made
		[[ $file == */@(schedule|reap|core|table).c ]] || deadlines+=("$file")
	done < <(grep -lE 'instance_wake_at|core_wake' supervisor/init/*.c)
	((${#deadlines[@]} > 10))
	run ! grep -nE 'clock_wall|CLOCK_REALTIME|gettimeofday|[^_[:alnum:]]time\(' "${deadlines[@]}"
	# ... once each
	for file in reap core table; do
		[ "$(grep -cE 'clock_wall|CLOCK_REALTIME' supervisor/init/$file.c)" = 1 ]
	done
}

# --- 28 ------------------------------------------------------------------------

all_came_back() { (($(wc -l <"$T/stamps") >= 100)); }

# 50 crash in one instant; what they wait is spread over half of their backoff.
herd() {
	local spread
	plan_of a.plan <<-END
		logs none
		worker a
		arg $HOSTILE
		arg stamp
		arg $T/stamps
		arg 1
		backoff 4s 4s
		replicas 50
	END
	supervise
	until_ok file_there "$T/stamps"
	until_ok all_came_back
	# the second time of each
	spread=$(sort -n "$T/stamps" | sed -n '51,100p' | sed -n '1p;$p' | paste -sd- | bc)
	((-spread >= 1000)) || { echo "spread over $spread ms"; false; }
	stop_with 0
}

@test "case 28: 50 replicas that crash together come back one after another [pid1]" { in_mode pid1; herd; }
@test "case 28: 50 replicas that crash together come back one after another [subreaper]" { in_mode subreaper; herd; }
@test "case 28: 50 replicas that crash together come back one after another [container]" { in_mode container; herd; }

# --- 29 ------------------------------------------------------------------------

hung_probe() {
	local probe
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		readiness exec $HELPER ignore-term $T/probing
		times 0 20ms 100ms 1 1
		worker b
		arg $HELPER
		arg wait
		liveness exec $HELPER ignore-term $T/living
		times 0 20ms 100ms 1 2
		backoff 10ms 10ms
	END
	supervise
	until_ok file_there "$T/probing"
	# it may be over before it is looked at
	probe=$(host_pid "$(<"$T/probing")") || probe=
	[ -z "$probe" ] || until_ok gone "$probe"
	until_ok no_zombies "$INIT"
	is a/0 running
	# of the kind that counts: the worker is started again
	until_ok at_least b/0 restarts 1
	[ "$(figure a/0 restarts)" = 0 ]
	stop_with 0
}

@test "case 29: a probe that hangs is killed, reaped and counted as failed [pid1]" { in_mode pid1; hung_probe; }
@test "case 29: a probe that hangs is killed, reaped and counted as failed [subreaper]" { in_mode subreaper; hung_probe; }
@test "case 29: a probe that hangs is killed, reaped and counted as failed [container]" { in_mode container; hung_probe; }
