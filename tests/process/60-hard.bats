#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031 # every test is a process of its own
# Cases in which other inits lose a signal, a child or their nerve.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

@test "with too few descriptors for so many captured workers it says so, with numbers" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		replicas 200
	END
	export REEVE_SOCKET=$T/socket
	run timeout -k 1 10 prlimit --nofile=128:128 "$REEVE" run --plan "$T/a.plan"
	[ "$status" -ne 0 ]
	[ "$status" -ne 124 ]
	[[ $output == *128* ]]
}

@test "SIGHUP without an operator ends nothing" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		arg $T/ready
	END
	supervise pid1
	until_ok file_there "$T/ready"
	until_ok is a/0 ready
	kill -HUP "$INIT"
	"$CTL" live
	is a/0 ready
	[ "$(figure a/0 restarts)" = 0 ]
	kill -TERM "$INIT"
	expect_code 0
}
