#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# cgroup v2 with every controller, for real and on any machine: the suite
# tests/cgroup2/limits.bats runs in a kernel of its own (User Mode Linux). What
# this machine's own hierarchies allow is in 36-cgroup.bats.

bats_require_minimum_version 1.5.0
load lib

@test "cgroup v2: limits, escapees and OOM kills in a kernel of its own" {
	needs_static
	command -v linux.uml >/dev/null || skip "no linux.uml (make deps)"
	run "$REEVE_ROOT/tests/cgroup2/kernel.sh" \
		bats --tap -T tests/cgroup2/limits.bats
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[0]} =~ ^1\.\.([0-9]+)$ ]]
	local all=${BASH_REMATCH[1]}
	[ "$(grep -c '^ok ' <<<"$output")" -eq "$all" ]
	[ "$(grep -c '# skip' <<<"$output")" -eq 0 ]
	[ "$all" -ge 14 ]
}
