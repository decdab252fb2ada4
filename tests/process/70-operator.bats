#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `reeve run -f reeve.yaml`: the init with its operator, and the commands that
# speak to them.

# shellcheck disable=SC2030,SC2031 # every test is a process of its own
bats_require_minimum_version 1.5.0
load lib
setup() { begin_there; }
teardown() { drain_and_finish; }

manifest() {
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		workers:
		  - name: a
		    command: [$HELPER, wait]
		    replicas: ${1:-2}
		    onDrift: {env: restart}
		    env: [{name: COLOUR, value: ${2:-red}}]
		  - name: talker
		    command: [/bin/sh, -c, "echo hello; echo again; exec '$HELPER' wait"]
	END
}

run_manifest() {
	launch "$1" run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok worker_has a ready 2
	until_ok is talker/0 ready
	until_ok operator_is running
}

# 1: its state, 2: its pid
operator() {
	"$CTL" show | awk -v word="$1" '$1 == "init" { print $(3 + word) }'
}
operator_is() { [[ $(operator 1) == "$1" ]]; }

@test "as PID 1 and not: workers run, status tells, TERM ends all of it" {
	manifest
	for how in pid1 child; do
		run_manifest $how
		run "$REEVE" status
		[ "$status" -eq 0 ]
		[[ $output == *"worker a"*"2 of 2 ready"* ]]
		"$REEVE" status --output json >"$T/status"
		grep -q '"schema": "reeve.status/1"' "$T/status"
		"$REEVE" status -o text="$T/text" -o json="$T/json" >"$T/nothing"
		grep -q '2 of 2 ready' "$T/text"
		grep -q '"schema": "reeve.status/1"' "$T/json"
		[ ! -s "$T/nothing" ]
		run "$REEVE" events --output json="$T/none"
		[ "$status" -eq 64 ] # it would have written nothing there
		[[ $output == *"on standard output"* ]]
		[ ! -e "$T/none" ]
		kill -TERM "$INIT"
		expect_code 0
	done
}

@test "stop, start, restart, scale and logs" {
	manifest
	run_manifest child
	one=$(figure a/1 pid)
	zero=$(figure a/0 pid)
	"$REEVE" restart a/0
	changed() { is a/0 ready && [[ $(figure a/0 pid) != "$zero" ]]; }
	until_ok changed
	[ "$(figure a/1 pid)" = "$one" ]
	"$REEVE" stop a
	until_ok worker_has a running 0
	"$REEVE" start a
	until_ok worker_has a ready 2
	"$REEVE" scale a 3
	until_ok worker_has a ready 3
	"$REEVE" scale a 1
	until_ok worker_has a running 1
	run "$REEVE" logs talker
	[ "$status" -eq 0 ]
	[[ $output == *hello*again* ]]
	run "$REEVE" stop nobody
	[ "$status" -ne 0 ]
	is talker/0 ready
}

@test "a worker that isn't there: the nearest is named, exit 4, and nothing is done to the others" {
	manifest
	run_manifest child
	pids >"$T/before"
	for what in "restart a talkre" "stop a talkre" "start talkre" "scale talkre 3" \
	    "logs talkre" "logs talkre --follow" "events talkre" "events talkre --follow"; do
		# shellcheck disable=SC2086 # words
		run "$REEVE" $what
		[ "$status" -eq 4 ]
		[ "$output" = "reeve ${what%% *}: no worker 'talkre'; did you mean 'talker'?" ]
	done
	run "$REEVE" restart elsewhere
	[ "$status" -eq 4 ]
	[ "$output" = "reeve restart: no worker 'elsewhere'; there are a, talker" ]
	run "$REEVE" logs a/2
	[ "$status" -eq 4 ]
	[ "$output" = "reeve logs: 'a' has no replica 2: it has 2, counted from 0" ]
	run "$REEVE" events a --since 1ms
	[ "$status" -eq 0 ]
	run "$REEVE" logs a # which says nothing
	[ "$status" -eq 0 ]
	[ "$(pids)" = "$(<"$T/before")" ]
}

@test "another user is told that it is another user's" {
	[ "$(id -u)" -eq 0 ] || skip "needs another user"
	manifest
	run_manifest child
	chmod 711 "$T"
	run setpriv --reuid 65534 --regid 65534 --clear-groups "$REEVE" status
	[ "$status" -eq 69 ]
	[[ $output == *"no supervisor answers: another user's: connect"*"Permission denied"* ]]
	[[ $output == *"Try: the same as that user, or as root; supervisor.control.group"* ]]
}

@test "follow ends when its reader has gone, though nothing happens" {
	manifest
	run_manifest child
	"$REEVE" events --follow | head -1 >"$T/first"
	[ -s "$T/first" ]
}

said_again() { [[ $("$REEVE" logs talker) == *again ]]; }

@test "logs --follow ends when its reader has gone, and with its time, though nothing is written" {
	manifest
	run_manifest child
	until_ok said_again
	"$REEVE" logs --follow talker | head -1 >"$T/first"
	[ "$(<"$T/first")" = 'talker/0 | hello' ]
	run "$REEVE" logs --follow talker --timeout 1s
	[ "$status" -eq 0 ]
	[ "$output" = $'talker/0 | hello\ntalker/0 | again' ]
}

@test "where no directory can be written, status finds the supervisor by itself" {
	needs_root
	local dir as
	dir=$(mktemp -d)
	as=(setpriv --reuid 23457 --regid 23457 --clear-groups
		env -u REEVE_SOCKET -u XDG_RUNTIME_DIR)
	chmod 755 "$dir"
	cp "$REEVE" "$REEVE_TOOL" "$HELPER" "$dir"
	cd "$dir"
	manifest
	sed "s|$HELPER|$dir/helper|g" "$T/reeve.yaml" >"$dir/reeve.yaml"
	"${as[@]}" "$dir/reeve" run -f "$dir/reeve.yaml" 3>&- 2>"$T/err" &
	TOP=$!
	INIT=$!
	LAUNCHED+=("$INIT")
	found() { "${as[@]}" "$dir/reeve" status --output json | jq -e '.name == "t"'; }
	until_ok found
	kill -TERM "$INIT"
	expect_code 0
	rm -r "$dir"
}

@test "SIGHUP: what changed is changed, what didn't is left alone" {
	manifest 2
	run_manifest child
	before=$(pids)
	kill -HUP "$INIT"
	"$REEVE" reload
	manifest 3
	kill -HUP "$INIT"
	until_ok worker_has a ready 3
	[ "$(pids | grep -v a/2)" = "$before" ]
	talker=$(figure talker/0 pid)
	manifest 3 blue
	kill -HUP "$INIT"
	all_blue() {
		local n
		for n in 0 1 2; do
			tr '\0' '\n' <"/proc/$(figure a/$n pid)/environ" |
				grep -qx COLOUR=blue || return 1
		done
	}
	until_ok all_blue || { cat "$T/err"; "$CTL" show; false; }
	[ "$(figure talker/0 pid)" = "$talker" ]
}

@test "a reload of a manifest that is wrong is refused, and everything goes on" {
	manifest
	run_manifest child
	before=$(pids)
	echo 'worker: [' >>"$T/reeve.yaml"
	run "$REEVE" reload
	"$CTL" live
	[ "$(pids)" = "$before" ]
	until_ok grep -q 'reeve.yaml' "$T/err"
	manifest
	kill -HUP "$INIT"
	[ "$(pids)" = "$before" ]
}

@test "a manifest that is wrong or missing at the start: exit 78, and no worker" {
	manifest
	echo 'wrokers: []' >>"$T/reeve.yaml"
	launch child run -f "$T/reeve.yaml" 2>"$T/err"
	expect_code 78
	grep -q wrokers "$T/err"
	launch child run -f "$T/none.yaml" 2>"$T/err"
	ended
	[ "$CODE" -ne 0 ]
	grep -q none.yaml "$T/err"
}

@test "without reeve-tool it says where it was looked for" {
	mkdir "$T/alone"
	cp "$REEVE" "$T/alone/reeve"
	run "$T/alone/reeve" check
	[ "$status" -eq 70 ]
	[[ $output == *"reeve-tool not found"*"$T/alone/"*libexec/reeve* ]]
	manifest
	run timeout -k 1 10 "$T/alone/reeve" run -f "$T/reeve.yaml"
	[ "$status" -eq 70 ]
	[[ $output == *"reeve-tool not found"* ]]
	# and never by PATH
	mkdir "$T/bin"
	printf '#!/bin/sh\nexit 0\n' >"$T/bin/reeve-tool"
	chmod +x "$T/bin/reeve-tool"
	PATH=$T/bin:$PATH run "$T/alone/reeve" check
	[ "$status" -eq 70 ]
}

@test "a reeve-tool that can't run here ends it with the reason, before anything ran" {
	mkdir "$T/bin"
	cp "$REEVE" "$T/bin/reeve"
	manifest
	# 127, as the dynamic loader ends it where a library is missing: env finds
	# no program of the operator's name
	cp /usr/bin/env "$T/bin/reeve-tool"
	run -70 timeout -k 1 30 "$T/bin/reeve" run -f "$T/reeve.yaml"
	[[ $output == *"operator.exited"*"exit code 127; nothing runs yet"* ]]
	[[ $output == *"init.ends operator: exit code 127: a library of reeve-tool is missing"*"exit code 70"* ]]
	# where its interpreter, or a dynamic program's loader, isn't there
	printf '#!%s/none\n' "$T" >"$T/bin/reeve-tool"
	run -70 timeout -k 1 30 "$T/bin/reeve" run -f "$T/reeve.yaml"
	[[ $output == *"init.ends operator: "*"reeve-tool can't be executed here; exit code 70"* ]]
}

@test "a second supervisor of the same name starts nothing and says why" {
	manifest
	run_manifest child
	until_ok is a/0 ready
	old=$(figure a/0 pid)
	run -75 timeout -k 5 20 "$REEVE" run -f "$T/reeve.yaml"
	[[ $output == *"runs here already"* ]]
	[[ $output != *"event=execed"* ]]
	# the first one goes on, and still answers
	[ "$(figure a/0 pid)" = "$old" ]
	"$CTL" live
	"$REEVE" status >"$T/status"
	run ! grep -q 'does not answer' "$T/status"
}

@test "without its operator, status has each instance under its own worker" {
	manifest
	run_manifest child
	kill -STOP "$(operator 2)"
	"$REEVE" status --output json >"$T/status"
	kill -CONT "$(operator 2)"
	jq -e '.operator.why | test("does not answer")' "$T/status"
	jq -e '[.workers[] | {(.name): [.instances[].index] | sort}] | add
	    == {"a": [0, 1], "talker": [0]}' "$T/status"
}
