#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What many restarts leave behind in the init: nothing. (`make bench` has
# 100,000 of them.)

bats_require_minimum_version 1.5.0
load lib
setup() {
	begin
	export REEVE_SOCKET=$T/socket
}
teardown() { finish; }

all_stopped() {
	[[ $("$CTL" show | awk '$1 == "instance" && $3 == "stopped" { n++ } END { print n + 0 }') == 10 ]]
}
descriptors() { find "/proc/$INIT/fd" -mindepth 1 | wc -l; }
memory_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$INIT/status"; }

# Stopped: nothing is under way that holds a descriptor.
rest() {
	"$CTL" stop a
	until_ok all_stopped
}

@test "two thousand restarts take no descriptor and no memory with them" {
	plan_of a.plan <<-END
		worker a
		arg /bin/false
		replicas 10
		backoff 0s 0s
		limit 0 0s
	END
	supervise child 2>/dev/null
	# the ring of events is full, and every page was touched
	PATIENCE=60 until_ok so_many_restarted 600
	rest
	local files before
	files=$(descriptors)
	before=$(memory_kib)
	"$CTL" start a
	PATIENCE=120 until_ok so_many_restarted 2600
	rest
	[ "$(descriptors)" = "$files" ]
	(($(memory_kib) <= before + 64))
	# and none of them is left
	until_ok no_zombies "$INIT"
}
