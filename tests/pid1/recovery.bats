#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Cases 19, 20 and 30: the operator fails, the init itself fails, nothing has
# changed.

bats_require_minimum_version 1.5.0
load lib
setup_file() { make_world tool; }

# How often the operator is killed; in a container it comes back later each
# time, up to 15 s.
KILLS=${PID1_KILLS:-40}
CONTAINER_KILLS=4

manifest() {
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		workers:
		  - name: a
		    command: [$HELPER, wait]
		    replicas: 3
		  - name: b
		    command: [$HELPER, wait]
		    restart: {backoff: {first: 10ms, cap: 10ms}}
	END
}

operated() {
	manifest
	start "${1:-$REEVE}" run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok worker_has a ready 3
	until_ok is b/0 ready
	until_ok operator_is running
}

# 1: its state, 2: its pid
operator() { "$CTL" show | awk -v word="$1" '$1 == "init" { print $(3 + word) }'; }
operator_is() { [[ $(operator 1) == "$1" ]]; }
# In one look: between two it may die.
another_operator() {
	local state pid
	read -r state pid < <("$CTL" show | awk '$1 == "init" { print $4, $5 }')
	[[ $state == running && $pid != "$1" ]]
}
pids_of() { "$CTL" show | awk -v who="^$1/" '$1 == "instance" && $2 ~ who { print $2, $5 }' | sort; }
crash_comes_back() {
	local before
	before=$(figure b/0 restarts)
	kill -KILL "$(worker_pid b/0)"
	until_ok at_least b/0 restarts $((before + 1))
	until_ok is b/0 ready
}

# --- 19 ------------------------------------------------------------------------

operator_killed() {
	local before old n kills=$KILLS
	export REEVE_TEST_OPERATOR_SOON=1
	[[ $MODE != container ]] || kills=$CONTAINER_KILLS
	operated
	before=$(pids_of a)
	for ((n = 0; n < kills; n++)); do
		old=$(operator 2)
		kill -KILL "$(host_pid "$old")"
		# meanwhile: reflexes are the init's
		crash_comes_back
		"$CTL" live
		until_ok another_operator "$old"
	done
	[ "$(pids_of a)" = "$before" ]
	[ "$(figure a/0 restarts)" = 0 ]
	"$REEVE" status >"$T/status"
	grep -q '3 of 3 ready' "$T/status"
	stop_with 0
}

operator_stopped() {
	local before
	operated
	before=$(pids_of a)
	kill -STOP "$(host_pid "$(operator 2)")"
	crash_comes_back
	"$CTL" stop a 2
	until_ok is a/2 stopped
	"$CTL" live
	[ "$(pids_of a | head -2)" = "$(head -2 <<<"$before")" ]
	stop_with 0
}

operator_degraded() { [[ $(operator 1) == backoff ]] && (($(lines_in operator.exited) >= 3)); }

# Its program is overwritten while it is away: what comes back speaks nonsense.
operator_raves() {
	local before
	mkdir "$T/own"
	cp "$REEVE" "$WORLD/bin/reeve-tool" "$T/own"
	operated "$T/own/reeve"
	before=$(pids_of a)
	kill -KILL "$(host_pid "$(operator 2)")"
	overwritten() { cat "$HOSTILE" 2>/dev/null >"$T/own/reeve-tool"; }
	until_ok overwritten
	until_ok operator_degraded
	crash_comes_back
	[ "$(pids_of a)" = "$before" ]
	"$CTL" live
	no_zombies "$INIT" || until_ok no_zombies "$INIT"
	stop_with 0
}

@test "case 19: an operator that is killed changes no worker; crashes are restarted without it [pid1]" { in_mode pid1; operator_killed; }
@test "case 19: an operator that is killed changes no worker; crashes are restarted without it [subreaper]" { in_mode subreaper; operator_killed; }
@test "case 19: an operator that is killed changes no worker; crashes are restarted without it [container]" { in_mode container; operator_killed; }

@test "case 19: while the operator hangs, crashes are restarted and orders obeyed [pid1]" { in_mode pid1; operator_stopped; }
@test "case 19: while the operator hangs, crashes are restarted and orders obeyed [subreaper]" { in_mode subreaper; operator_stopped; }
@test "case 19: while the operator hangs, crashes are restarted and orders obeyed [container]" { in_mode container; operator_stopped; }

@test "case 19: an operator that speaks nonsense is put off, again and again, and changes nothing [pid1]" { in_mode pid1; operator_raves; }
@test "case 19: an operator that speaks nonsense is put off, again and again, and changes nothing [subreaper]" { in_mode subreaper; operator_raves; }
@test "case 19: an operator that speaks nonsense is put off, again and again, and changes nothing [container]" { in_mode container; operator_raves; }

# --- 20 ------------------------------------------------------------------------

init_faults() {
	local pid count
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		worker b
		arg $HELPER
		arg exit
		arg 3
		backoff 50ms 50ms
		worker c
		arg $HELPER
		arg count
		arg 15
		arg 1
		arg $T/ready
		arg $T/count
		grace 20s
	END
	supervise
	until_ok file_there "$T/ready"
	until_ok is a/0 ready
	pid=$(figure a/0 pid)
	kill -SEGV "$INIT"
	said init.recovered
	until_ok "$CTL" live
	is_reeve "$INIT"
	[ "$(figure a/0 pid)" = "$pid" ]
	# ends are collected as before
	count=$(figure b/0 restarts)
	until_ok at_least b/0 restarts $((count + 2))
	# and another at once: whoever is there drains, and that was all
	kill -ABRT "$INIT"
	expect_code 70
	[ "$(<"$T/count")" = 1 ]
	said init.crashed
}

@test "case 20: a fault of the init: it goes on with its children; a second one at once: all drains, 70 [pid1]" { in_mode pid1; init_faults; }
@test "case 20: a fault of the init: it goes on with its children; a second one at once: all drains, 70 [subreaper]" { in_mode subreaper; init_faults; }
@test "case 20: a fault of the init: it goes on with its children; a second one at once: all drains, 70 [container]" { in_mode container; init_faults; }

# --- 30 ------------------------------------------------------------------------

nothing_changed() {
	local before old
	operated
	before=$(pids_of '[ab]')
	kill -HUP "$INIT"
	"$REEVE" reload
	touch "$T/reeve.yaml"
	"$REEVE" reload
	old=$(operator 2)
	kill -KILL "$(host_pid "$old")"
	until_ok another_operator "$old"
	"$REEVE" reload
	kill -HUP "$INIT"
	"$REEVE" reload
	[ "$(pids_of '[ab]')" = "$before" ]
	# the same with a comment more; and a change, so that this can be seen to act
	echo '# a comment' >>"$T/reeve.yaml"
	"$REEVE" reload
	[ "$(pids_of '[ab]')" = "$before" ]
	sed -i 's/replicas: 3/replicas: 2/' "$T/reeve.yaml"
	"$REEVE" reload
	until_ok worker_has a ready 2
	[ "$(pids_of '[ab]')" = "$(grep -v a/2 <<<"$before")" ]
	stop_with 0
}

@test "case 30: a reload that changes nothing restarts nothing, nor does the next operator [pid1]" { in_mode pid1; nothing_changed; }
@test "case 30: a reload that changes nothing restarts nothing, nor does the next operator [subreaper]" { in_mode subreaper; nothing_changed; }
@test "case 30: a reload that changes nothing restarts nothing, nor does the next operator [container]" { in_mode container; nothing_changed; }
