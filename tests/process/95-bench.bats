#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `make bench` in small: every figure is measured. How large they are is nobody's
# business here: the machine does other things too.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

@test "the bench has a figure for every target" {
	needs_root
	needs_static
	QUICK=1 ORPHANS=300 SOAK=100 TERMS=10 IDLE_SECONDS=1 \
		tests/bench/run >"$T/out" 2>"$T/err" || {
		cat "$T/err" "$T/out" >&2
		return 1
	}
	(($(grep -c '^| restart' "$T/out") >= 6))
	grep -q '^| SIGTERMs lost |' "$T/out"
	run ! grep 'not measured' "$T/out"
}
