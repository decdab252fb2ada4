#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `reeve events`: what happened is kept, in order and each once, whatever
# becomes of the operator meanwhile.

# shellcheck disable=SC2030,SC2031 # every test is a process of its own
bats_require_minimum_version 1.5.0
load lib
setup() { begin_there; }
teardown() { drain_and_finish; }

# $1: of `COLOUR`, $2: what c does
manifest() {
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		workers:
		  - name: a
		    command: [$HELPER, wait]
		    replicas: 2
		    env: [{name: COLOUR, value: ${1:-red}}]
		  - name: c
		    command: [/bin/sh, -c, "${2:-exit 3}"]
		    restart: {backoff: {first: 100ms, cap: 100ms}}
	END
}
run_manifest() {
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok is a/1 ready
	until_ok events_answer
}
events_answer() { "$REEVE" events; }
events() { "$REEVE" events --tail 10000 --output json; }
# count JQ: how many events for which it holds.
count() { events | jq -s "[.[] | select($1)] | length"; }
has() { (($(count "$1") >= ${2:-1})); }
another_operator() {
	local pid
	pid=$(operator_pid)
	[[ $pid != 0 && $pid != "$1" ]] && events_answer
}

@test "starts and ends, with how and how long, for people and programs" {
	manifest red "exit 3"
	run_manifest
	until_ok has '.kind == "exited" and .worker == "c"' 2
	events >"$T/events"
	jq -se 'map(select(.kind == "exited" and .worker == "c"))
	    | all(.exit.code == 3 and .exit.class == "crash" and .pid > 0
	        and .exit.ran_ms >= 0)' "$T/events"
	# in order, each started before it ended
	jq -se 'map(.id) | . == sort and . == unique' "$T/events"
	jq -se 'map(select(.worker == "c" and .replica == 0)
	    | select(.kind == "started" or .kind == "exited") | .kind)
	    | [range(0; length)] as $n
	    | . == [$n[] | if . % 2 == 0 then "started" else "exited" end]' \
	    "$T/events"
	run "$REEVE" events a
	[ "$status" -eq 0 ]
	[[ $output == *"started"*"a/1 pid"* ]]
	[[ $output != *" c/0"* ]]
	run "$REEVE" events --tail 1
	[ "${#lines[@]}" -eq 1 ]
	run "$REEVE" events 'no such&worker'
	[ "$status" -eq 64 ]
}

@test "an end has the last line of who ended, escaped, and only from where reeve logs has it" {
	manifest red "echo first; printf 'famous \\\\033[31m words\\\\n'; exit 3"
	run_manifest
	told() {
		has '.kind == "exited" and .worker == "c" and
		    .last_line == "famous \u001b[31m words"'
	}
	until_ok told
	"$REEVE" events c >"$T/text"
	grep -qF '; last line "famous \u001b[31m words"' "$T/text"
	run ! grep -q $'\033' "$T/text"
	# neither in what the operator serves, nor in its file
	curl -sf --unix-socket "$T/socket/operator.sock" 'http://localhost/events?limit=1000' >"$T/served"
	grep -q '"exited"' "$T/served"
	run ! grep -rq famous "$T/served" "$T"/socket/history.db*
	# the logger has it, whatever becomes of the operator
	before=$(operator_pid)
	kill -KILL "$before"
	until_ok another_operator "$before"
	told
	# who said nothing has none
	pid=$(figure a/0 pid)
	kill -KILL "$pid"
	until_ok has ".kind == \"exited\" and .pid == $pid and has(\"last_line\") and .last_line == null"
}

@test "what happens while the operator is dead or stopped is told once, by the next" {
	manifest red "exec '$HELPER' wait"
	run_manifest
	for round in 1 2 3; do
		before=$(operator_pid)
		pid=$(figure a/0 pid)
		kill -STOP "$before"
		kill -KILL "$pid"
		restarted() { [[ $(figure a/0 pid) != "$pid" ]] && is a/0 ready; }
		until_ok restarted
		kill -KILL "$before"
		# and one more while there is none
		other=$(figure a/1 pid)
		kill -KILL "$other"
		until_ok another_operator "$before"
		until_ok has ".kind == \"exited\" and .pid == $other"
		[ "$(count ".kind == \"exited\" and .pid == $other")" -eq 1 ]
		until_ok is a/1 ready
		# the end, with its signal, exactly once
		until_ok has ".kind == \"exited\" and .pid == $pid"
		[ "$(count ".kind == \"exited\" and .pid == $pid")" -eq 1 ]
		[ "$(count ".pid == $pid and .exit.signal == \"SIGKILL\"")" -eq 1 ]
		[ "$(count ".kind == \"started\" and .pid == $(figure a/0 pid)")" -eq 1 ]
		[ "$(count '.kind == "operator"')" -eq $((round + 1)) ]
	done
	[ "$(count '.kind == "lost"')" -eq 0 ]
	# as many ends as the init counted
	[ "$(count '.kind == "exited" and .worker == "a"')" -eq 6 ]
}

@test "more than the init keeps: how many are lost is said" {
	manifest red "exec '$HELPER' wait"
	sed -i 's/replicas: 2/replicas: 200/' "$T/reeve.yaml"
	run_manifest
	until_ok worker_has a ready 200
	before=$(operator_pid)
	kill -STOP "$before"
	# 200 each of: stopping, exited, stopped, started
	"$CTL" stop a
	until_ok worker_has a running 0
	"$CTL" start a
	until_ok worker_has a ready 200
	kill -KILL "$before"
	until_ok another_operator "$before"
	until_ok has '.kind == "lost"'
	# what is there and what is said to be lost are all of it; one is c's
	lost=$(events | jq -r 'select(.kind == "lost") | .text | split(" ")[0]')
	all_there() {
		(($(count '.kind | IN("started", "stopping", "exited", "stopped")') + lost == 1001))
	}
	until_ok all_there
}

@test "drift, orders and a refused manifest are events, and drift that is over" {
	manifest red "exec '$HELPER' wait"
	run_manifest
	until_ok is c/0 ready
	manifest blue "exec '$HELPER' wait"
	until_ok has '.kind == "drift" and .worker == "a" and (.text | test("COLOUR"))'
	has '.kind == "alert"'
	# found again by another operator: it is no news
	before=$(operator_pid)
	kill -KILL "$before"
	until_ok another_operator "$before"
	"$REEVE" restart a
	until_ok has '.kind == "drift-over" and .worker == "a"'
	[ "$(count '.kind == "drift" and .worker == "a"')" -eq 1 ]
	[ "$(count '.kind == "drift-over"')" -eq 1 ]
	[ "$(count ".kind == \"order\" and .worker == \"a\" and (.text | test(\"by uid $EUID\"))")" -eq 1 ]
	echo 'nonsense: [' >>"$T/reeve.yaml"
	until_ok has '.kind == "manifest-refused"'
}

@test "a history that can't be used is set aside, and said" {
	manifest red "exec '$HELPER' wait"
	mkdir -p "$T/socket"
	head -c 8192 /dev/urandom >"$T/socket/history.db"
	run_manifest
	until_ok has '.kind == "started"' 3
	file_there "$T/socket/history.db.unusable"
	grep -q history.unusable "$T/err"
}

@test "they outlive a fault of the init, and --follow an operator" {
	manifest red "exec '$HELPER' wait"
	run_manifest
	"$REEVE" events --follow >"$T/followed" 2>"$T/followed.err" 3>&- &
	follower=$!
	ALSO+=("$follower")
	until_ok grep -q " started .*a/1" "$T/followed"
	# longer and longer there is none
	for _ in 1 2 3; do
		before=$(operator_pid)
		kill -KILL "$before"
		until_ok another_operator "$before"
		alive "$follower"
	done
	pid=$(figure a/1 pid)
	kill -SEGV "$INIT"
	recovered() { grep -q recover "$T/err" && "$CTL" show | grep -q 'a/1'; }
	until_ok recovered
	kill -KILL "$(operator_pid)" "$pid"
	until_ok grep -q "exited .*a/1 pid $pid .*SIGKILL" "$T/followed"
	[ "$(grep -c "exited .*a/1 pid $pid " "$T/followed")" -eq 1 ]
}
