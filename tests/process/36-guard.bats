#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2119,SC2120 # a round may have options
# An init that isn't PID 1 and is killed: nothing of its workers goes on
# without it, and the next one doubles nothing.

bats_require_minimum_version 1.5.0
load lib
setup() {
	begin
	export REEVE_SOCKET=$T/socket
}
teardown() { finish; }

# The guard of $INIT.
guard() {
	local pid
	for pid in $(children_of "$INIT"); do
		[[ $(<"/proc/$pid/comm") == guard ]] && echo "$pid" && return
	done 2>/dev/null
	return 1
}
# Everything that has this test's folder among its arguments or environment.
survivors() {
	local pid
	for pid in /proc/[0-9]*; do
		pid=${pid#/proc/}
		[[ $pid != "$$" && $pid != "$BASHPID" ]] || continue
		grep -qsF "THIS=$T" "/proc/$pid/environ" && [[ $(state_of "$pid") != [ZX] ]] && echo "$pid"
	done
	return 0
}
whole_tree() { (($(survivors | wc -l) >= 6)); }
no_survivors() { [[ -z $(survivors) ]]; }

# The worker's tree: its own child, one in another group of its session, one in
# another session, a daemon whose parents are gone. All hold the lock; a worker
# that doesn't get it runs twice.
tree_plan() {
	cat >"$T/tree" <<-END
		#!/bin/bash
		exec 9>>"$T/lock"
		flock -n 9 || touch "$T/doubled"
		trap '' TERM
		sleep 1001 &
		bash -mc 'sleep 1002 & wait' &
		setsid sleep 1003 &
		(setsid sleep 1004 &)
		mv "$T/new" "$T/ready"
		while :; do sleep 1005; done
	END
	chmod 755 "$T/tree"
	touch "$T/lock"
	chmod 666 "$T/lock"
	plan_of a.plan <<-END
		worker a
		arg $T/tree
		env THIS=$T
		env PATH=$PATH
		grace 1s
	END
}
# The next round of it, up to its last line.
round() {
	rm -f "$T/ready"
	touch "$T/new"
	supervise child a.plan "$@" 2>>"$T/err"
	until_ok file_there "$T/ready"
}

@test "killed 20 times and started again at once: nothing survives, nothing is doubled" {
	tree_plan
	for _ in {1..20}; do
		round
		until_ok whole_tree
		kill -KILL "$INIT"
		wait "$INIT" || :
	done
	until_ok no_survivors
	[ ! -e "$T/doubled" ]
	[ "$(grep -c guard.ends "$T/err")" = 20 ]
}

@test "workers of other users, with capabilities, and one that executes a setuid program" {
	needs_root
	local open
	open=$(mktemp -d)
	chmod 755 "$open"
	cp "$HELPER" "$open/helper"
	cp "$HELPER" "$open/setuid"
	chmod 4755 "$open/setuid"
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		env: [{name: THIS, value: "$T"}]
		workers:
		  - {name: user, command: [$open/helper, wait], replicas: 2, securityContext: {runAsUser: 4123456}}
		  - {name: group, command: [$open/helper, wait], securityContext: {runAsGroup: 4123456}}
		  - {name: caps, command: [$open/helper, wait], securityContext: {runAsUser: 4123456, capabilities: {add: [KILL], drop: [ALL]}}}
		  - {name: suid, command: [$open/setuid, wait], securityContext: {runAsUser: 4123456, allowPrivilegeEscalation: true}}
	END
	for _ in {1..5}; do
		launch child run -f "$T/reeve.yaml" 2>>"$T/err"
		for worker in user/0 user/1 group/0 caps/0 suid/0; do
			until_ok is $worker ready
		done
		kill -KILL "$INIT"
		wait "$INIT" || :
		until_ok no_survivors
	done
	rm -r "$open"
}

@test "the next supervisor starts no worker before the guard of the one before has gone" {
	tree_plan
	round
	former=$(guard)
	ALSO+=("$former")
	kill -STOP "$former"
	kill -KILL "$INIT"
	wait "$INIT" || :
	rm "$T/ready"
	touch "$T/new"
	supervise child a.plan 2>"$T/err"
	until_ok grep -q guard.waits "$T/err"
	[[ $(shown a/0) == pending ]]
	[ ! -e "$T/ready" ]
	kill -CONT "$former"
	until_ok file_there "$T/ready"
	[ ! -e "$T/doubled" ]
	run ! alive "$former"
	# and one that waits can be ended
	former=$(guard)
	ALSO+=("$former")
	kill -STOP "$former"
	kill -KILL "$INIT"
	wait "$INIT" || :
	supervise child a.plan 2>"$T/err"
	until_ok grep -q guard.waits "$T/err"
	kill -TERM "$INIT"
	expect_code 0
	kill -CONT "$former"
	until_ok no_survivors
}

@test "a guard that is killed comes back, and guards" {
	tree_plan
	round
	former=$(guard)
	kill -KILL "$former"
	another() { local now; now=$(guard) && [[ $now != "$former" ]]; }
	until_ok another
	is a/0 ready
	kill -KILL "$INIT"
	until_ok no_survivors
}

@test "after a fault of the init the same guard goes on" {
	tree_plan
	round
	same=$(guard)
	kill -SEGV "$INIT"
	until_ok grep -q init.recovered "$T/err"
	until_ok is a/0 ready
	[ "$(guard)" = "$same" ]
	# nobody waits for it: workers are started again
	rm "$T/ready"
	touch "$T/new"
	"$CTL" restart a 0
	until_ok file_there "$T/ready"
	kill -KILL "$INIT"
	until_ok no_survivors
}

@test "an end in order leaves neither guard nor socket, and the guard says nothing" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
	END
	supervise child a.plan 2>"$T/err"
	until_ok is a/0 ready
	watch=$(guard)
	[ -S "$T/socket/guard.sock" ]
	kill -TERM "$INIT"
	expect_code 0
	until_ok gone "$watch"
	[ ! -e "$T/socket/guard.sock" ]
	run ! grep guard "$T/err"
}

@test "as PID 1 there is none: the kernel ends everything" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		logs none
	END
	supervise pid1 a.plan 2>"$T/err"
	until_ok is a/0 ready
	run ! guard
	[ ! -e "$T/socket/guard.sock" ]
}
