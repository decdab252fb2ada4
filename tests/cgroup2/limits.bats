#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Limits, escapees and OOM kills by cgroup v2 (docs/limits.md). Run by
# tests/process/38-cgroup2.bats in a kernel of its own (kernel.sh): needs root,
# the root of the hierarchy and every controller.

bats_require_minimum_version 1.5.0
load ../process/lib

setup() {
	begin
	ROOT=/sys/fs/cgroup
	echo "+memory +cpu +pids" >"$ROOT/cgroup.subtree_control"
	OWN=$ROOT/t$BATS_TEST_NUMBER
	mkdir "$OWN"
	inside "$OWN"
}
teardown() {
	kill -TERM "$INIT" 2>/dev/null && until_ok gone "$TOP"
	finish
	echo 1 >"$OWN/cgroup.kill"
	until_ok find "$OWN" -depth -type d -exec rmdir {} +
}

# inside DIR [COMMAND…]: from now on $REEVE is started as the only process of
# that cgroup, by COMMAND.
inside() {
	local real=$REEVE_BUILD/reeve
	printf '#!/bin/bash\necho $$ >%q/cgroup.procs || exit\nexec %s %q "$@"\n' \
		"$1" "${*:2}" "$real" >"$T/reeve-inside"
	chmod +x "$T/reeve-inside"
	REEVE=$T/reeve-inside
}

at() { cat "$OWN/worker.$1/$2"; }
says() { grep -q -- "$1" "$T/log"; }
instance() { "$CTL" show | grep "^instance $1 "; }
pid_of() { figure "$1" pid; }

@test "cgroup: an instance starts in a cgroup of its own, with what is declared" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		replicas 2
		memory 67108864
		cpu 250
		pids 7
		worker b
		arg $HELPER
		arg wait
	END
	supervise child 2>"$T/log"
	until_ok is a/1 ready
	until_ok is b/0 ready
	[ "$(at a.0 cgroup.procs)" = "$(pid_of a/0)" ]
	[ "$(at a.1 cgroup.procs)" = "$(pid_of a/1)" ]
	[ "$(at a.1 memory.max)" = 67108864 ]
	[ "$(at a.1 memory.oom.group)" = 1 ]
	[ "$(at a.1 cpu.max)" = "25000 100000" ]
	[ "$(at a.1 pids.max)" = 7 ]
	[ "$(at b.0 memory.max)" = max ]
	# the init and its helpers are beside them, no worker is
	grep -qx "$INIT" "$OWN/init/cgroup.procs"
	run ! grep -qxE "$(pid_of a/0)|$(pid_of a/1)|$(pid_of b/0)" \
		"$OWN/init/cgroup.procs"
	run ! says limits.off
	kill -TERM "$INIT"
	expect_code 0
	# and it is left as it was found
	[ -z "$(find "$OWN" -mindepth 1 -type d)" ]
	[ -z "$(cat "$OWN/cgroup.subtree_control")" ]
}

@test "cgroup: as PID 1 of a namespace of its own" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		memory 67108864
	END
	supervise pid1 2>"$T/log"
	until_ok is a/0 ready
	[ "$(at a.0 memory.max)" = 67108864 ]
	[ "$(wc -l <"$OWN/worker.a.0/cgroup.procs")" -eq 1 ]
}

@test "cgroup: more memory than its limit is an end by oom, with its own counter and backoff" {
	plan_of a.plan <<-END
		worker hog
		arg $HELPER
		arg eat
		arg 256
		memory 33554432
		backoff 10ms 50ms
		worker calm
		arg $HELPER
		arg wait
	END
	supervise child 2>"$T/log"
	until_ok at_least hog/0 after-oom 2
	[ "$(figure hog/0 after-crash)" = 0 ]
	[ "$(figure hog/0 oom-kills)" -ge 2 ]
	says "worker=hog/0 .*killed by SIGKILL, out of memory"
	[ "$(figure calm/0 restarts)" = 0 ]
}

@test "cgroup: a SIGKILL by somebody else is a crash, not oom" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		memory 33554432
		backoff 10ms 50ms
	END
	supervise child 2>"$T/log"
	until_ok is a/0 ready
	kill -KILL "$(pid_of a/0)"
	until_ok at_least a/0 after-crash 1
	[ "$(figure a/0 after-oom)" = 0 ]
	[ "$(figure a/0 oom-kills)" = 0 ]
}

@test "cgroup: an OOM kill of a child ends the whole instance" {
	plan_of a.plan <<-END
		worker parent
		arg /bin/sh
		arg -c
		arg $HELPER eat 256 & wait; sleep 1000
		memory 33554432
		backoff 10s 10s
	END
	supervise child 2>"$T/log"
	until_ok is parent/0 backoff
	says "worker=parent/0 .*out of memory"
	[ "$(figure parent/0 oom-kills)" -ge 1 ]
}

# A daemon in a session of its own that ignores TERM; its parent goes on.
escapee() {
	cat <<-END
		worker a
		arg /bin/bash
		arg -c
		arg trap "exit 0" TERM; setsid bash -c '(trap "" TERM; echo \$BASHPID >$T/daemon; exec sleep 1000) & exit'; touch $T/ready; while :; do read -rt 1 <> <(:); done
		grace $1
	END
}
run_escapee() {
	escapee "$1" | plan_of a.plan
	supervise child 2>"$T/log"
	until_ok file_there "$T/ready"
	until_ok test -s "$T/daemon"
	DAEMON=$(<"$T/daemon")
	ALSO+=("$DAEMON")
	alive "$DAEMON"
}

@test "cgroup: who escaped by setsid and fork dies with its worker, and is counted" {
	run_escapee 300ms
	# it is in no group or session of the worker's
	[ "$(ps -o sid= -p "$DAEMON" | tr -d ' ')" != "$(pid_of a/0)" ]
	"$CTL" restart a
	until_ok gone "$DAEMON"
	until_ok at_least a/0 after-ordered 1
	says "worker=a/0 .*escaped: 1"
	[ "$(figure a/0 escaped)" = 1 ]
}

@test "cgroup: nothing is started again before the escaped are gone" {
	run_escapee 3s
	kill -KILL "$(pid_of a/0)"
	until_ok is a/0 ending
	alive "$DAEMON"
	until_ok at_least a/0 after-crash 1
	gone "$DAEMON"
}

@test "cgroup: without cgroup.kill they are found in the list of processes" {
	inside "$OWN" "unshare -m $REEVE_ROOT/tests/cgroup2/without-kill.sh $OWN"
	run_escapee 300ms
	"$CTL" restart a
	until_ok gone "$DAEMON"
	until_ok at_least a/0 after-ordered 1
	"$CTL" show | grep -q "^init .* cgroup $((1 + 2 + 4 + 16 + 32)): *$"
}

@test "cgroup: after a fault of the init the instance's cgroup is found again" {
	cat <<-END | plan_of a.plan
		worker hog
		arg /bin/bash
		arg -c
		arg touch $T/up; while [ ! -e $T/go ]; do read -rt 0.1 <> <(:); done; exec $HELPER eat 256
		memory 33554432
		backoff 10ms 50ms
		$(escapee 300ms)
	END
	supervise child 2>"$T/log"
	until_ok file_there "$T/up"
	until_ok test -s "$T/daemon"
	DAEMON=$(<"$T/daemon")
	ALSO+=("$DAEMON")
	kill -SEGV "$INIT"
	until_ok says init.recovered
	touch "$T/go"
	until_ok at_least hog/0 after-oom 1
	"$CTL" restart a
	until_ok gone "$DAEMON"
	until_ok at_least a/0 after-ordered 1
	[ "$(figure a/0 escaped)" = 1 ]
	kill -TERM "$INIT"
	ended
	[ -z "$(find "$OWN" -mindepth 1 -type d)" ]
}

@test "cgroup: a limit of processes holds, and the init is not in it" {
	plan_of a.plan <<-END
		worker a
		arg /bin/bash
		arg -c
		arg for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; wait
		pids 4
		backoff 10ms 50ms
	END
	supervise child 2>"$T/log"
	until_ok is a/0 ready
	until_ok grep -qE '^max [1-9]' "$OWN/worker.a.0/pids.events"
	alive "$INIT"
}

# --- where it can't be had ------------------------------------------------------

plain() {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		memory 33554432
	END
}

@test "cgroup: a read-only file system: workers run, and it is said once" {
	plain
	inside "$OWN" "unshare -Cm $REEVE_ROOT/tests/cgroup2/read-only.sh"
	supervise child 2>"$T/log"
	until_ok is a/0 ready
	until_ok says "cgroup limits are off: memory: '/sys/fs/cgroup' is read-only"
	[ "$(grep -c "limits.off" "$T/log")" -eq 1 ]
	"$CTL" show | grep -q "cgroup 0: '/sys/fs/cgroup' is read-only"
}

@test "cgroup: read-only: an OOM kill of the container's own limit is told" {
	echo 50331648 >"$OWN/memory.max"
	echo 0 >"$OWN/memory.swap.max" || :
	plan_of a.plan <<-END
		worker hog
		arg $HELPER
		arg eat
		arg 256
		backoff 10ms 50ms
	END
	inside "$OWN" "unshare -Cm $REEVE_ROOT/tests/cgroup2/read-only.sh"
	supervise child 2>"$T/log"
	until_ok at_least hog/0 after-oom 1
	alive "$INIT"
}

@test "cgroup: a shared one is left alone" {
	plain
	sleep 1000 &
	ALSO+=($!)
	echo "$!" >"$OWN/cgroup.procs"
	supervise child 2>"$T/log"
	until_ok is a/0 ready
	says "has 1 other processes in it"
	[ -z "$(find "$OWN" -mindepth 1 -type d)" ]
}

@test "cgroup: where seccomp refuses clone3 a worker joins by itself" {
	plain
	inside "$OWN" "$HELPER refuse-clone3"
	supervise child 2>"$T/log"
	until_ok is a/0 ready
	[ "$(at a.0 cgroup.procs)" = "$(pid_of a/0)" ]
	[ "$(at a.0 memory.max)" = 33554432 ]
	# every bit but CGROUP_CLONE
	"$CTL" show | grep -q "^init .* cgroup $((63 - 16)): *$"
}
