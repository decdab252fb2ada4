#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What comes over the init's sockets and isn't meant for it, or isn't whole.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() {
	finish
	[[ -z ${OPEN:-} ]] || rm -rf -- "$OPEN"
}

two_workers() {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		replicas 3
		worker b
		arg $HELPER
		arg exit
		arg 3
		backoff 20ms 20ms
	END
}

@test "a flood of wrong messages changes nothing; restarts and orders go on meanwhile" {
	two_workers
	supervise pid1 2>"$T/err"
	until_ok worker_has a ready 3
	before=$(pids_of a)
	files=$(open_files)
	for i in 1 2 3; do
		"$CTL" flood 20000 >"$T/flood$i" 3>&- &
		ALSO+=($!)
		floods+=("$!")
	done
	# while they last: the crash loop is gone on with, others are answered
	restarts=$(figure b/0 restarts)
	until_ok at_least b/0 restarts $((restarts + 10))
	"$CTL" restart a 0
	for pid in "${floods[@]}"; do wait "$pid"; done
	grep -q 'peer.garbage' "$T/err"
	until_ok worker_has a ready 3
	[ "$(pids_of a | tail -n 2)" = "$(tail -n 2 <<<"$before")" ]
	until_ok eval '(($(open_files) <= files + 4))'
	until_ok no_zombies "$INIT"
	kill -TERM "$INIT"
	expect_code 0
}

@test "a plan that is cut off, changed, of another version, unsealed or too large: the old one goes on" {
	two_workers
	mkdir "$T/bin"
	cp "$REEVE" "$T/bin/reeve"
	cp "$REEVE_BUILD/tests/process/badplans" "$T/bin/reeve-tool"
	export REEVE_SOCKET=$T/socket PLAN=$T/a.plan SAID=$T/said
	REEVE=$T/bin/reeve launch pid1 run -f none.yaml 2>"$T/err"
	until_ok worker_has a ready 3
	before=$(pids_of a)
	PATIENCE=120 until_ok grep -qE '^(done|failed)' "$T/said"
	# the plan itself, and nothing else
	[ "$(head -n 1 "$T/said")" = "accepted: the plan 0" ]
	[ "$(wc -l <"$T/said")" = 2 ]
	(($(awk '/^done/ { print $2 }' "$T/said") > 2000))
	[ "$(pids_of a)" = "$before" ]
	restarts=$(figure b/0 restarts)
	until_ok at_least b/0 restarts $((restarts + 3))
	kill -TERM "$INIT"
	expect_code 0
}

@test "a member of supervisor.control.group may order, by a supplementary group too" {
	needs_root
	OPEN=$(mktemp -d "${TMPDIR:-/tmp}/reeve-open.XXXXXX")
	chmod 755 "$OPEN"
	cp "$CTL" "$OPEN"
	export REEVE_SOCKET=$OPEN
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		supervisor: {control: {group: daemon}}
		workers:
		  - name: a
		    command: [$HELPER, wait]
	END
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok is a/0 ready
	local group
	group=$(getent group daemon | cut -d: -f3)
	run ! setpriv --reuid=65534 --regid=65534 --clear-groups "$OPEN/ctl" stop a
	run ! setpriv --reuid=65534 --regid=65534 --groups=7,8 "$OPEN/ctl" stop a
	setpriv --reuid=65534 --regid=65534 --groups="7,$group,8" "$OPEN/ctl" stop a
	until_ok is a/0 stopped
	setpriv --reuid=65534 --regid="$group" --clear-groups "$OPEN/ctl" start a
	until_ok is a/0 ready
	kill -TERM "$INIT"
	expect_code 0
}

@test "somebody else's user gets no answer" {
	needs_root
	two_workers
	# bats' own folders are closed to other users
	OPEN=$(mktemp -d "${TMPDIR:-/tmp}/reeve-open.XXXXXX")
	cp "$CTL" "$OPEN"
	export REEVE_SOCKET=$OPEN
	launch child run --plan "$T/a.plan" 2>"$T/err"
	until_ok worker_has a ready 3
	chmod 777 "$OPEN" "$OPEN/init.sock"
	run ! setpriv --reuid=65534 --regid=65534 --clear-groups "$OPEN/ctl" stop a
	until_ok grep -q control.refused "$T/err"
	worker_has a ready 3
	kill -TERM "$INIT"
	expect_code 0
}
