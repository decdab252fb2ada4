#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A fault in the init of one command. Builds for tests have one on real-time
# signal 46 (supervisor/init/oneshot_again.h).

bats_require_minimum_version 1.5.0
load lib
setup() {
	begin
	grep -q REEVE_TEST_ONESHOT "$REEVE" || skip "needs a build for tests"
	export REEVE_TEST_ONESHOT=1
}
teardown() { finish; }

FAULT=46
recovered() { (($(grep -c 'of this init; process' "$T/err") >= $1)); }
# A command that says where it is, and ends with 7 when it is asked to.
command_of() {
	echo "trap 'exit 7' TERM; trap 'echo usr1 >>$T/heard' USR1; echo \$\$ >$T/ready; while :; do sleep 0.02; done"
}

@test "the command goes on, signals reach it, its exit code is ours" {
	for how in pid1 child; do
		rm -f "$T/ready" "$T/heard"
		launch $how run -- sh -c "$(command_of)" 2>"$T/err"
		until_ok file_there "$T/ready"
		command=$(child_of "$INIT")
		kill "-$FAULT" "$INIT"
		until_ok recovered 1
		until_ok is_reeve "$INIT"
		[ "$(child_of "$INIT")" = "$command" ]
		kill -USR1 "$INIT"
		until_ok grep -q usr1 "$T/heard"
		kill -TERM "$INIT"
		expect_code 7
	done
}

# What is sent meanwhile is read in the order of its numbers: SIGCHLD before the
# fault, real-time signals of a higher number after it.
@test "a signal that came with the fault is not lost" {
	for how in pid1 child; do
		rm -f "$T/ready"
		launch $how run -- bash -c "trap 'exit 7' SIGRTMIN+13; echo >$T/ready; while :; do sleep 0.02; done" 2>"$T/err"
		until_ok file_there "$T/ready"
		kill -STOP "$INIT"
		kill "-$FAULT" "$INIT"
		kill -s RTMIN+13 "$INIT"
		kill -CONT "$INIT"
		expect_code 7
		recovered 1
	done
}

@test "an end that came with the fault is collected; orphans too" {
	for how in pid1 child; do
		mkfifo "$T/$how.go"
		launch $how run -- sh -c "(sleep 0.3 &); echo >$T/$how; read -r x <$T/$how.go; exit 9" 2>"$T/err"
		until_ok file_there "$T/$how"
		command=$(pgrep -o -P "$INIT")
		kill -STOP "$INIT"
		echo >"$T/$how.go"
		until_ok gone "$command"
		kill "-$FAULT" "$INIT"
		kill -CONT "$INIT"
		expect_code 9
		recovered 1
	done
}

@test "options hold after the fault as before" {
	launch pid1 run -e 7 -r USR1:TERM -- sh -c "$(command_of)" 2>"$T/err"
	until_ok file_there "$T/ready"
	kill "-$FAULT" "$INIT"
	until_ok recovered 1
	kill -USR1 "$INIT"
	expect_code 0
}

@test "a fault that somebody sends is still the command's" {
	launch child run -- sh -c "trap 'exit 8' SEGV; echo >$T/ready; while :; do sleep 0.02; done" 2>"$T/err"
	until_ok file_there "$T/ready"
	kill -SEGV "$INIT"
	expect_code 8
}

@test "a second fault within ten seconds ends it" {
	launch child run -- sh -c "$(command_of)" 2>"$T/err"
	until_ok file_there "$T/ready"
	ALSO+=("$(child_of "$INIT")")
	kill "-$FAULT" "$INIT"
	until_ok recovered 1
	kill "-$FAULT" "$INIT"
	expect_code 139
}
