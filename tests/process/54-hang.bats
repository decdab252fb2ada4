#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Files that hang whoever writes to them: the init goes on, lines wait or are
# counted, and all comes right when the disk is back. Pipes that outlive their
# worker and their logger.

bats_require_minimum_version 1.5.0
load lib
setup() {
	begin
	HOSTILE=$REEVE_BUILD/tests/pid1/hostile
	DISK=
}
teardown() {
	# first: whoever asks for anything of that file system waits for it
	rm -f "$T/gate" "$T/gate.full"
	[ -z "$DISK" ] || fsfreeze -u "$DISK" 2>/dev/null || :
	kill -TERM "$INIT" 2>/dev/null || :
	finish
	[ -z "$DISK" ] || umount -l "$DISK" 2>/dev/null || :
}

# Of the children of the init, one that writes a file in its place.
writer_pid() {
	local pid
	for pid in $(children_of "$INIT"); do
		! grep -qx reeve-writer "/proc/$pid/comm" 2>/dev/null || echo "$pid"
	done
}
writes() { [[ -n $(writer_pid) ]]; }
# What WORKER/N wrote is somewhere, to the last byte.
all_counted() {
	local what
	for what in lines bytes; do
		(($(figure "$1" "received-$what") == \
		    $(figure "$1" "written-$what") + $(figure "$1" "dropped-$what") + \
		    $(figure "$1" "lost-$what") + $(figure "$1" "held-$what"))) || return 1
	done
}

# Worker NAME with POLICY, that writes N lines of 100 bytes when it may.
writer() {
	cat <<-END
		when-blocked $2
		worker $1
		arg /bin/sh
		arg -c
		arg '$HELPER' lines 3 99; while [ ! -e $T/go ]; do sleep 0.05; done; '$HELPER' lines $3 99; echo >$T/done.$1; exec '$HELPER' wait
	END
}

# A logger that sleeps within a write, as strace sees to; $TRACER keeps it there.
hang_logger() {
	logger=$(logger_pid)
	strace -qq -o "$T/trace" -e trace=write -e inject=write:delay_enter=3600000000 \
		-p "$logger" 3>&- &
	TRACER=$!
	ALSO+=("$TRACER")
	until_ok grep -q 'TracerPid:.[1-9]' "/proc/$logger/status"
}

@test "a logger that hangs in a write is replaced, and nobody waits" {
	writer a dropNew 50000 | plan_of a.plan
	supervise child a.plan >>"$T/out" 2>"$T/err"
	until_ok at_least a/0 written-lines 3
	hang_logger
	touch "$T/go"
	until_ok grep -q 'logger.hangs pid=' "$T/err"
	# strace has the killed one reaped late
	kill -KILL "$TRACER"
	until_ok gone "$logger"
	until_ok another_logger "$logger"
	writes
	until_ok file_there "$T/done.a"
	until_ok none_held a/0
	all_counted a/0
	(($(figure a/0 written-lines) > 3))
	kill -TERM "$INIT"
	expect_code 0
	# what was written is there, whole and in order
	[ "$(awk 'length($0) > 99' "$T/out" | wc -l)" -eq 0 ]
	tail -n +4 "$T/out" | awk 'length($0) == 99' | cut -d: -f1 | sort -nc
}

@test "with block alone a logger that hangs is left in peace, and loses nothing" {
	writer a block 50000 | plan_of a.plan
	supervise child a.plan >>"$T/out" 2>"$T/err"
	until_ok at_least a/0 written-lines 3
	hang_logger
	touch "$T/go"
	until_ok grep -q 'logger.hangs .*every worker waits' "$T/err"
	"$CTL" live
	[ ! -e "$T/done.a" ]
	kill -TERM "$TRACER"
	until_ok file_there "$T/done.a"
	until_ok none_held a/0
	[ "$(logger_pid)" -eq "$logger" ]
	[ "$(figure a/0 written-lines)" -eq 50003 ]
	kill -TERM "$INIT"
	expect_code 0
	[ "$(wc -l <"$T/out")" -eq 50003 ]
	[ "$(grep -c logger.hangs "$T/err")" -eq 1 ]
}

# A disk of our own that can freeze, at $DISK.
make_disk() {
	needs_root
	truncate -s 16M "$T/image"
	mkfs.ext4 -q "$T/image"
	mkdir "$T/disk"
	mount -o loop "$T/image" "$T/disk"
	DISK=$T/disk
}

@test "a disk that freezes: no KILL ends the logger, the init goes on, and so do the lines" {
	make_disk
	{ writer a dropNew 50000; writer b block 50000; } | plan_of a.plan
	# stderr too: the init's own lines go there
	supervise child a.plan >>"$DISK/out" 2>&1
	until_ok at_least a/0 written-lines 3
	until_ok at_least b/0 written-lines 3
	logger=$(logger_pid)
	fsfreeze -f "$DISK"
	touch "$T/go"
	until_ok another_logger "$logger"
	alive "$logger"
	# one is dropped, the other waits; who crashes is started again
	until_ok file_there "$T/done.a"
	[ ! -e "$T/done.b" ]
	kill -KILL "$(figure a/0 pid)"
	until_ok at_least a/0 restarts 1
	until_ok is a/0 ready
	fsfreeze -u "$DISK"
	until_ok file_there "$T/done.b"
	until_ok none_held b/0
	until_ok gone "$logger"
	all_counted a/0
	all_counted b/0
	(($(figure a/0 dropped-lines) > 0))
	[ "$(figure b/0 dropped-lines)" -eq 0 ]
	kill -TERM "$INIT"
	expect_code 0
	grep -q logger.hangs "$DISK/out"
	grep -q logger.unkillable "$DISK/out"
	grep -q 'init.ends' "$DISK/out"
}

@test "a disk that freezes: a line of the init's own doesn't wait for it where the logger has for a second" {
	make_disk
	writer a block 50000 | plan_of a.plan
	supervise child a.plan >>"$DISK/out" 2>&1
	until_ok at_least a/0 written-lines 3
	logger=$(logger_pid)
	fsfreeze -f "$DISK"
	touch "$T/go"
	until_ok in_state "$logger" D
	# that long: the one wait that is for time
	read -rt 1.5 <> <(:) || :
	"$CTL" stop a
	until_ok is a/0 stopped
	"$CTL" live
	fsfreeze -u "$DISK"
	kill -TERM "$INIT"
	expect_code 0
	grep -q 'order.done order=stop' "$DISK/out"
	grep -q 'init.ends' "$DISK/out"
}

# on_network [STDERR]: supervises with both streams in a file on one, or stdout
# alone.
on_network() {
	needs_root
	[ -e /dev/fuse ] || skip "needs FUSE"
	: >"$T/file"
	"$HOSTILE" network-file "$T/file" "$T/out" "$T/gate" "$T/fuse" 3>&- &
	ALSO+=($!)
	DISK=$T/file
	until_ok file_there "$T/fuse"
	if [[ -n ${1:-} ]]; then
		supervise child a.plan >>"$T/file" 2>"$1"
	else
		supervise child a.plan >>"$T/file" 2>&1
	fi
}
size() { stat -c %s "$1"; }
# By the number of the system call that it is in: nanosleep, and not write.
sleeps() { grep -qE '^(35|230) ' "/proc/$1/syscall"; }
# Stopped between two tries to write what it holds.
stopped_between_writes() {
	kill -STOP "$1"
	until_ok in_state "$1" T && sleeps "$1" && return
	kill -CONT "$1"
	return 1
}
in_state() { [[ $(state_of "$1") == "$2" ]]; }

@test "a file on a network: a process of its own writes it, and nothing is lost while it hangs" {
	{ writer a dropNew 50000; writer b block 50000; } | plan_of a.plan
	on_network
	until_ok at_least b/0 written-lines 3
	writes
	logger=$(logger_pid)
	touch "$T/gate" "$T/go"
	until_ok file_there "$T/done.a"
	(($(figure a/0 dropped-lines) > 0))
	"$CTL" live
	[ ! -e "$T/done.b" ]
	rm "$T/gate"
	until_ok file_there "$T/done.b"
	until_ok none_held b/0
	[ "$(figure b/0 written-lines)" -eq 50003 ]
	[ "$(logger_pid)" -eq "$logger" ]
	written=$(($(figure a/0 written-lines) + 50003))
	kill -TERM "$INIT"
	expect_code 0
	# what the container says last is there too
	grep -q 'init.ends' "$T/out"
	[ "$(grep -cE '^[0-9]+:' "$T/out")" -eq "$written" ]
}

@test "a writer that is killed comes back, after a fault of the init too" {
	writer a block 1000 | plan_of a.plan
	on_network
	until_ok at_least a/0 written-lines 3
	until_ok writes
	writer=$(writer_pid)
	kill -KILL "$writer"
	until_ok gone "$writer"
	until_ok writes
	kill -SEGV "$INIT"
	until_ok grep -q init.recovered "$T/out"
	writer=$(writer_pid)
	kill -KILL "$writer"
	until_ok gone "$writer"
	until_ok writes
	touch "$T/go"
	until_ok file_there "$T/done.a"
	kill -TERM "$INIT"
	expect_code 0
	[ "$(grep -cE '^[0-9]+:' "$T/out")" -eq 1003 ]
	[ "$(grep -c 'output.writer stdout' "$T/out")" -eq 2 ]
}

# The bytes that "$T/err" says are lost.
lost_bytes() { sed -nE 's/.*[; ]([0-9]+) bytes .*lost$/\1/p' "$T/err" | tail -n 1; }
init_files() { "$CTL" show | sed -n 's/.* files-lost \([0-9]*\) .*/\1/p'; }

@test "what a writer held when it was killed is counted, to the byte" {
	writer a block 50000 | plan_of a.plan
	on_network "$T/err"
	until_ok at_least a/0 written-lines 3
	until_ok writes
	writer=$(writer_pid)
	touch "$T/gate.full" "$T/go"
	until_ok stopped_between_writes "$writer"
	# half a line at the end gets a newline of ours
	mended=$((1 - $(tail -c 1 "$T/out" | wc -l)))
	kill -KILL "$writer"
	until_ok grep -q 'output.writer' "$T/err"
	run ! grep 'at most' "$T/err"
	lost=$(lost_bytes)
	((lost > 0 && lost <= 65536))
	# a fault takes nothing of it away
	kill -SEGV "$INIT"
	until_ok grep -q init.recovered "$T/err"
	until_ok "$CTL" live
	[ "$(init_files)" -eq "$lost" ]
	"$REEVE" status --output json >"$T/status"
	[ "$(jq -c .init.files_lost.stdout "$T/status")" = "{\"bytes\":$lost,\"exact\":true}" ]
	"$REEVE" status | grep -qx "stdout: its file has lost $lost bytes"
	rm "$T/gate.full"
	until_ok file_there "$T/done.a"
	until_ok none_held a/0
	all_counted a/0
	bytes=$(figure a/0 written-bytes)
	kill -TERM "$INIT"
	expect_code 0
	[ "$(($(size "$T/out") + lost))" -eq $((bytes + mended)) ]
}

@test "a writer that is killed within a write: what may be lost is said not to be exact" {
	writer a block 1000 | plan_of a.plan
	on_network "$T/err"
	until_ok at_least a/0 written-lines 3
	until_ok writes
	writer=$(writer_pid)
	touch "$T/gate" "$T/go"
	until_ok file_there "$T/done.a"
	until_ok none_held a/0
	kill -KILL "$writer"
	rm "$T/gate"
	until_ok grep -q 'output.writer .*; at most [0-9]* bytes are lost' "$T/err"
	"$REEVE" status --output json >"$T/status"
	[ "$(jq .init.files_lost.stdout.exact "$T/status")" = false ]
	[ "$(jq .init.files_lost.stdout.bytes "$T/status")" -eq "$(lost_bytes)" ]
	bytes=$(figure a/0 written-bytes)
	kill -TERM "$INIT"
	expect_code 0
	(($(size "$T/out") + $(lost_bytes) >= bytes))
}

@test "a file that can be written no more: what was on its way is counted, and what comes then too" {
	writer a block 1000 | plan_of a.plan
	on_network "$T/err"
	until_ok at_least a/0 written-lines 3
	touch "$T/gate" "$T/go"
	until_ok file_there "$T/done.a"
	until_ok none_held a/0
	bytes=$(figure a/0 written-bytes)
	touch "$T/gate.broken"
	rm "$T/gate"
	until_ok grep -q output.closed "$T/err"
	[ "$(($(size "$T/out") + $(lost_bytes)))" -eq "$bytes" ]
	[ "$(init_files)" -eq "$(lost_bytes)" ]
	"$CTL" restart a 0
	until_ok at_least a/0 dropped-lines 1003
	[ "$(figure a/0 written-bytes)" -eq "$bytes" ]
	all_counted a/0
}

@test "a file that hangs at the end: what it hasn't taken is said where that can be" {
	writer a block 1000 | plan_of a.plan
	on_network "$T/err"
	until_ok at_least a/0 written-lines 3
	touch "$T/gate" "$T/go"
	until_ok file_there "$T/done.a"
	until_ok none_held a/0
	bytes=$(figure a/0 written-bytes)
	size=$(size "$T/out")
	kill -TERM "$INIT"
	expect_code 0
	grep -q "output.unwritten stdout: its file hasn't taken the last $((bytes - size)) bytes" "$T/err"
	# nobody ended its writer here
	rm "$T/gate"
	all_there() { (($(size "$T/out") == bytes)); }
	until_ok all_there
}

# A daemon of a worker that has ended writes on, to the pipe of that time.
@test "what a daemon of an earlier process writes survives the logger, and a fault" {
	plan_of a.plan <<-END
		worker a
		arg /bin/sh
		arg -c
		arg if [ -e $T/second ]; then exec '$HELPER' wait; fi; touch $T/second; setsid sh -c 'echo \$\$ >$T/daemon; while [ ! -e $T/go ]; do sleep 0.05; done; echo late one; while [ ! -e $T/again ]; do sleep 0.05; done; echo late two' & while [ ! -s $T/daemon ]; do sleep 0.05; done; exit 1
	END
	supervise child a.plan >"$T/out" 2>"$T/err"
	until_ok at_least a/0 restarts 1
	until_ok is a/0 ready
	logger=$(logger_pid)
	# while nobody reads them
	kill -STOP "$INIT"
	kill -KILL "$logger"
	touch "$T/go"
	kill -CONT "$INIT"
	until_ok another_logger "$logger"
	until_ok grep -qx 'late one' "$T/out"
	logger=$(logger_pid)
	kill -SEGV "$INIT"
	until_ok grep -q init.recovered "$T/err"
	until_ok another_logger 0
	touch "$T/again"
	until_ok grep -qx 'late two' "$T/out"
}
