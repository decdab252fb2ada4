#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Cases 10, 13, 14 and 18: somebody's buffer, table or memory is full.

bats_require_minimum_version 1.5.0
load lib

# How many processes are started to see whether a descriptor is lost.
SPAWNS=${PID1_SPAWNS:-4000}

# --- 10 ------------------------------------------------------------------------

# The one that reads the container's output, as containerd's shim does.
reader_of() { awk '/^PPid/ { print $2 }' "/proc/$1/status"; }

restarts_go_on() {
	local before
	before=$(figure b/0 restarts)
	until_ok at_least b/0 restarts $((before + 5))
}

nobody_reads() {
	local reader=
	plan_of a.plan <<-END
		worker a
		arg $HOSTILE
		arg shout
		arg 10485760
		arg $T/done
		worker b
		arg $HELPER
		arg exit
		arg 1
		backoff 5ms 5ms
	END
	if [[ $MODE == container ]]; then
		supervise
		reader=$(reader_of "$INIT")
		ALSO+=("$reader")
		kill -STOP "$reader"
	else
		mkfifo "$T/pipe"
		exec 8<>"$T/pipe"
		start "$REEVE" run --plan "$T/a.plan" >"$T/pipe" 2>"$T/pipe"
	fi
	until_ok reeve_or_gone "$INIT"
	until_ok file_there "$T/done"
	restarts_go_on
	"$CTL" live
	# our own lines: dropped, and counted
	lost_some() { (($(init_figure dropped) > 0)); }
	until_ok lost_some
	# and now it is gone altogether
	if [[ $MODE == container ]]; then
		kill -CONT "$reader"
	else
		exec 8>&-
	fi
	restarts_go_on
	"$CTL" live
	no_zombies "$INIT" || until_ok no_zombies "$INIT"
	stop_with 0
}

@test "case 10: output that nobody reads stops neither workers nor orders nor reaping [pid1]" { in_mode pid1; nobody_reads; }
@test "case 10: output that nobody reads stops neither workers nor orders nor reaping [subreaper]" { in_mode subreaper; nobody_reads; }
@test "case 10: output that nobody reads stops neither workers nor orders nor reaping [container]" { in_mode container; nobody_reads; }

# --- 13 ------------------------------------------------------------------------

short_of_processes() { "$CTL" show | grep -q 'why no process could be made'; }

no_process() {
	local i room=6
	# not PID 1, it has a guard too
	[[ $MODE != subreaper ]] || room=7
	printf '%s\n' 'logs none' 'worker a' "arg $HELPER" 'arg wait' \
		'replicas 12' | plan_of a.plan
	as_nobody_known
	AS+=(prlimit "--nproc=$room")
	# the container has the limit that Kubernetes sets
	CONTAINER=(--pids-limit 6)
	supervise
	until_ok worker_has a running 5
	until_ok short_of_processes
	for i in 0 1 2; do
		[ "$(figure a/$i restarts)" = 0 ]
	done
	[ "$("$CTL" show | grep -c ' config 0 crash 0 ')" = 12 ]
	if [[ $MODE == container ]]; then
		said 'clone: .*: pids.current=6 of pids.max=6'
	else
		said "clone: .* this user may have $room (RLIMIT_NPROC)"
	fi
	"$CTL" live
	# room again: the next try makes one
	"$CTL" stop a 0
	until_ok is a/0 stopped
	until_ok worker_has a running 5
	stop_with 0
}

@test "case 13: no process can be made: no crash is counted, the numbers are said [pid1]" { in_mode pid1; no_process; }
@test "case 13: no process can be made: no crash is counted, the numbers are said [subreaper]" { in_mode subreaper; no_process; }
@test "case 13: no process can be made: no crash is counted, the numbers are said [container]" { in_mode container; no_process; }

# --- 14 ------------------------------------------------------------------------

all_exits() { "$CTL" show | awk '{ for (i = 3; i < NF; i++) if ($i == "exits") sum += $(i + 1) } END { print sum + 0 }'; }
exits_reach() { (($(all_exits) >= $1)); }

as_before() { (($(descriptors_of "$INIT") <= BEFORE)); }

all_stopped() {
	"$CTL" stop a
	"$CTL" stop b
	until_ok worker_has a running 0
	until_ok worker_has b running 0
}

many_spawns() {
	local count=$SPAWNS
	# a container is the pid1 case with a runtime around it
	[[ $MODE != container ]] || count=$((SPAWNS / 5))
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg exit
		arg 1
		backoff 1ms 1ms
		replicas 16
		worker b
		arg $HELPER
		arg wait
		readiness exec $HELPER exit 0
		times 0 5ms 10s 1 1
		replicas 3
	END
	supervise
	until_ok exits_reach 100
	all_stopped
	BEFORE=$(descriptors_of "$INIT")
	"$CTL" start a
	"$CTL" start b
	PATIENCE=150 until_ok exits_reach "$count"
	all_stopped
	until_ok as_before
	stop_with 0
}

# The init's soft limit of descriptors; only the same user, or more than root
# has in a container, may set it.
may_have() {
	local as=()
	[[ $MODE != container ]] || as=(setpriv --reuid 23456 --regid 23456 --clear-groups)
	"${as[@]}" prlimit --pid "$INIT" --nofile="$1":
}

no_descriptor() {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		worker b
		arg $HELPER
		arg exit
		arg 1
		backoff 5ms 5ms
	END
	supervise
	until_ok is a/0 ready
	"$CTL" stop b
	until_ok is b/0 stopped
	BEFORE=$(descriptors_of "$INIT")
	# as a client connects there is no more room: one descriptor of many arrives
	may_have $((BEFORE + 2))
	"$CTL" descriptors 8
	"$CTL" live
	"$CTL" start b
	until_ok short_of_processes
	is a/0 ready
	may_have 1024
	restarts_go_on
	"$CTL" stop b
	until_ok is b/0 stopped
	until_ok as_before
	[ "$(figure a/0 restarts)" = 0 ]
	stop_with 0
}

@test "case 14: after thousands of starts not a descriptor more [pid1]" { in_mode pid1; many_spawns; }
@test "case 14: after thousands of starts not a descriptor more [subreaper]" { in_mode subreaper; many_spawns; }
@test "case 14: after thousands of starts not a descriptor more [container]" { in_mode container; many_spawns; }
@test "case 14: no descriptor is left: starts wait, a message that lost some ends its connection [pid1]" { in_mode pid1; no_descriptor; }
@test "case 14: no descriptor is left: starts wait, a message that lost some ends its connection [subreaper]" { in_mode subreaper; no_descriptor; }
@test "case 14: no descriptor is left: starts wait, a message that lost some ends its connection [container]" { in_mode container; no_descriptor; }

# --- 18 ------------------------------------------------------------------------

# MiB; a sanitizer's own memory comes on top.
MEMORY=48
[[ -z ${ASAN_OPTIONS:-} ]] || MEMORY=256

# A memory limit for the first two modes: cgroup v1 or v2, whichever there is.
limit_memory() {
	local base=/sys/fs/cgroup/memory file=memory.limit_in_bytes
	if [[ ! -d $base ]]; then
		base=/sys/fs/cgroup file=memory.max
	fi
	CGROUP=$base/reeve-pid1-$$-$BATS_TEST_NUMBER
	mkdir "$CGROUP"
	echo $((MEMORY << 20)) >"$CGROUP/$file"
	AS=(sh -c "echo \$\$ >$CGROUP/cgroup.procs && exec \"\$@\"" -)
}

out_of_memory() {
	local pid
	CONTAINER=(--memory "${MEMORY}m" --memory-swap "${MEMORY}m")
	[[ $MODE == container ]] || limit_memory
	plan_of a.plan <<-END
		worker hungry
		arg $HOSTILE
		arg eat
		arg $T/ready
		backoff 10ms 10ms
		worker modest
		arg $HELPER
		arg wait
	END
	supervise
	until_ok is modest/0 ready
	pid=$(figure modest/0 pid)
	until_ok at_least hungry/0 restarts 2
	[ "$(figure modest/0 pid)" = "$pid" ]
	[ "$(figure modest/0 restarts)" = 0 ]
	said 'worker.exited worker=hungry/0 .*killed by SIGKILL, out of memory'
	at_least hungry/0 after-oom 2
	# nobody of us has sent that
	run ! grep 'worker=hungry/0 .*SIGKILL.*sent by reeve' "$T/err"
	"$CTL" live
	stop_with 0
	[[ -z ${CGROUP:-} ]] || rmdir "$CGROUP"
}

@test "case 18: out of memory: the one that ate it is started again, the others stay [pid1]" { in_mode pid1; out_of_memory; }
@test "case 18: out of memory: the one that ate it is started again, the others stay [subreaper]" { in_mode subreaper; out_of_memory; }
@test "case 18: out of memory: the one that ate it is started again, the others stay [container]" { in_mode container; out_of_memory; }
