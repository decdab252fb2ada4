#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The manifest and its secrets are read by a process of their own: whatever
# hangs there holds nothing else.

# shellcheck disable=SC2030,SC2031 # every test is a process of its own
bats_require_minimum_version 1.5.0
load lib
setup() { begin_there; }
teardown() { drain_and_finish; }

# manifest [COLOUR]: a secret comes of ./secret.sh.
manifest() {
	cat >"$T/new.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		secrets:
		  - {name: s, command: [$T/secret.sh]}
		workers:
		  - name: a
		    command: [$HELPER, wait]
		    onDrift: {env: restart, secret: alert}
		    env:
		      - {name: COLOUR, value: ${1:-red}}
		      - {name: TOKEN, valueFrom: {secretKeyRef: {name: s, key: TOKEN}}}
	END
	mv "$T/new.yaml" "$T/reeve.yaml"
}
# What hangs says so: each run appends its pid.
secret_that() {
	printf '%s\n' '#!/bin/sh' "echo \$\$ >>$T/asked" "$1" >"$T/secret.new"
	chmod +x "$T/secret.new"
	mv "$T/secret.new" "$T/secret.sh"
}
quick() { secret_that 'echo TOKEN=one'; }
hanging() { secret_that 'exec sleep 1000'; }
asked() { (($(wc -l <"$T/asked") >= $1)); }
status() { "$REEVE" status --output json; }
in_status() { status | jq -e "$1"; }
colour_is() { tr '\0' '\n' <"/proc/$(figure a/0 pid)/environ" | grep -qx "COLOUR=$1"; }

@test "a command that hangs holds neither status nor alerts nor a reload that was asked for" {
	quick
	manifest
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok is a/0 ready
	until_ok in_status '.operator.state == "running"'
	local pid asked
	pid=$(figure a/0 pid)
	asked=$(wc -l <"$T/asked")
	hanging
	manifest blue
	until_ok asked $((asked + 1))
	# it hangs now: what is asked meanwhile is answered, and the loop turns
	in_status '.workers[0].instances[0].ready'
	"$REEVE" diff >"$T/diff" || :
	"$REEVE" restart a/0
	again() { is a/0 ready && [[ $(figure a/0 pid) != "$pid" ]]; }
	until_ok again
	kill -0 "$(tail -1 "$T/asked")"
	colour_is red
	# who asks for a reload waits for it, and hears what became of it
	"$REEVE" reload >"$T/reload" 2>&1 &
	local waiting=$!
	ALSO+=("$waiting")
	quick
	kill -KILL "$(tail -1 "$T/asked")"
	wait "$waiting"
	until_ok colour_is blue
}

@test "a first reading that hangs can be ended" {
	hanging
	manifest
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok asked 1
	kill -TERM "$INIT"
	ended
}

@test "an operator that was killed while its reader hung reads again, and leaves nobody behind" {
	quick
	manifest
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok is a/0 ready
	until_ok in_status '.operator.state == "running"'
	local pid asked operator
	pid=$(figure a/0 pid)
	asked=$(wc -l <"$T/asked")
	operator=$(status | jq .operator.pid)
	hanging
	manifest blue
	until_ok asked $((asked + 1))
	local hangs
	hangs=$(tail -1 "$T/asked")
	quick
	kill -KILL "$operator"
	until_ok gone "$hangs"
	until_ok colour_is blue
	[ "$(figure a/0 pid)" != "$pid" ]
}

@test "fifty writes at once are one reading" {
	quick
	manifest
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok is a/0 ready
	until_ok in_status '.operator.state == "running"'
	local i before
	read_again() { grep -c 'manifest.read.*files changed' "$T/err"; }
	before=$(read_again) || :
	for i in {1..49}; do
		sed "s/value: red/value: c$i/" reeve.yaml >"$T/burst"
		cat "$T/burst" >reeve.yaml
	done
	manifest green
	until_ok colour_is green
	# one; or two where this machine took longer for them than a pause is long
	(($(read_again) - before <= 2))
}
