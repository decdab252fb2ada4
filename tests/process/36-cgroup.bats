#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Cgroups as this machine has them. Where the controllers belong to version 1
# (hybrid), version 2 still names and kills, and version 1 tells OOM kills.
# Every controller in version 2: 38-cgroup2.bats.

bats_require_minimum_version 1.5.0
load lib

# The mount point of cgroup v2, and of the v1 memory controller.
v2() { findmnt -rnt cgroup2 -o TARGET | head -n 1; }
v1_memory() { findmnt -rnt cgroup -o TARGET,OPTIONS | awk '$2 ~ /memory/ { print $1; exit }'; }

setup() {
	needs_root
	begin
	OWN='' V1=''
}
teardown() {
	kill -TERM "$INIT" 2>/dev/null && until_ok gone "$TOP"
	finish
	local dir
	for dir in "$OWN" "$V1"; do
		[ -z "$dir" ] || until_ok find "$dir" -depth -type d -exec rmdir {} +
	done
}

# inside DIR…: from now on $REEVE is started as a process of these cgroups.
inside() {
	local real=$REEVE_BUILD/reeve dir
	{
		echo '#!/bin/bash'
		for dir; do printf 'echo $$ >%q/cgroup.procs || exit\n' "$dir"; done
		printf 'exec %q "$@"\n' "$real"
	} >"$T/reeve-inside"
	chmod +x "$T/reeve-inside"
	REEVE=$T/reeve-inside
}
says() { grep -q -- "$1" "$T/log"; }

@test "cgroup: who escaped dies with the worker, without any controller" {
	local at
	at=$(v2)
	[ -n "$at" ] || skip "no cgroup v2"
	OWN=$at/reeve-test-$$
	mkdir "$OWN"
	inside "$OWN"
	plan_of a.plan <<-END
		worker a
		arg /bin/bash
		arg -c
		arg trap "exit 0" TERM; setsid bash -c '(trap "" TERM; echo \$BASHPID >$T/daemon; exec sleep 1000) & exit'; while :; do read -rt 1 <> <(:); done
		grace 1s
	END
	supervise child 2>"$T/log"
	until_ok test -s "$T/daemon"
	local daemon
	daemon=$(<"$T/daemon")
	ALSO+=("$daemon")
	grep -qx "$daemon" "$OWN/worker.a.0/cgroup.procs"
	kill -TERM "$INIT"
	expect_code 0
	gone "$daemon"
	says "worker=a/0 .*escaped: 1"
	[ -z "$(find "$OWN" -mindepth 1 -type d)" ]
}

@test "cgroup: version 1 tells an OOM kill, and a limit that it can't set is named" {
	local at
	at=$(v1_memory)
	[ -n "$at" ] || skip "no memory controller of version 1"
	V1=$at/reeve-test-$$
	mkdir "$V1"
	echo 67108864 >"$V1/memory.limit_in_bytes"
	inside "$V1"
	plan_of a.plan <<-END
		worker hog
		arg $HELPER
		arg eat
		arg 256
		memory 33554432
		backoff 60s 60s
		worker calm
		arg $HELPER
		arg wait
		backoff 10ms 50ms
	END
	supervise child 2>"$T/log"
	until_ok is hog/0 backoff
	says "worker=hog/0 .*killed by SIGKILL, out of memory"
	until_ok says "cgroup limits are off: memory:"
	until_ok is calm/0 ready
	kill -KILL "$(figure calm/0 pid)"
	until_ok at_least calm/0 after-crash 1
	[ "$(figure calm/0 after-oom)" = 0 ]
}

@test "cgroup: where none holds the memory limit the operator drains and restarts" {
	# this shell's own cgroup is shared, so none is made
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: ceiling
		workers:
		  - name: hog
		    command: [$HELPER, eat, "96"]
		    resources: {limits: {memory: 32Mi}}
		    restart: {backoff: {first: 100ms, cap: 1s}}
		  - name: calm
		    command: [$HELPER, wait]
		    resources: {limits: {memory: 32Mi}}
	END
	export REEVE_SOCKET=$T/socket
	launch child run -f "$T/reeve.yaml" 2>"$T/log"
	until_ok says "limits.off.*the operator watches memory"
	until_ok is hog/0 ready
	local first
	first=$(figure hog/0 pid)
	"$REEVE" status --output json >"$T/status"
	[ "$(jq -r .init.cgroup.memory "$T/status")" = false ]
	[ -n "$(jq -r .init.cgroup.why "$T/status")" ]
	[ "$(jq -r '.workers[0].instances[0].memory' "$T/status")" = null ]
	# two looks in a row, ten seconds apart
	PATIENCE=90 until_ok at_least hog/0 after-oom 1
	gone "$first"
	says "memory.ceiling.*worker=hog/0: .* in 2 looks in a row, limit 33554432"
	[ "$(figure calm/0 restarts)" = 0 ]
	[ "$(figure hog/0 after-ordered)" = 0 ]
}
