#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# System calls of the init that fail (tests/process/inject.c): it stays until it
# is asked to end, each worker runs once, nothing is leaked, its code is right.
# All calls with all errors at all times: make inject.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

INJECT=$REEVE_BUILD/tests/process/inject

inject() {
	needs_static
	"$INJECT" "$REEVE" "$HELPER" "$@" >"$T/tap" 2>"$T/log" || {
		grep '^not ok' "$T/tap"
		tail -n 40 "$T/log"
		return 1
	}
}

@test "each system call of the init fails once" {
	inject sample
	# as many as an init makes, or it looked at nothing
	(($(grep -c '^ok' "$T/tap") >= 35))
}

@test "a seccomp profile without clone3 and pidfds, by EPERM as by ENOSYS" {
	for error in EPERM ENOSYS; do
		inject denied clone3 pidfd_open pidfd_send_signal -- $error
	done
}

@test "a kernel without close_range; one on which nothing writes without waiting" {
	inject denied close_range -- ENOSYS
	inject denied pwritev2 splice -- ENOSYS
}
