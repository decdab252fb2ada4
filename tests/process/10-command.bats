#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031 # every test is a process of its own
# `reeve run -- CMD`, as PID 1 of a namespace and as anybody's child.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

@test "the exit code is the command's" {
	for how in pid1 child; do
		for code in 0 1 7 255; do
			run reeve_as $how run -- "$HELPER" exit $code
			[ "$status" -eq $code ]
		done
	done
}

@test "a death by signal n is exit code 128 + n" {
	for how in pid1 child; do
		for signo in 9 11 15; do
			run reeve_as $how run -- "$HELPER" die $signo
			[ "$status" -eq $((128 + signo)) ]
		done
	done
}

@test "a command that isn't there is 127, one that can't run is 126, and both say so" {
	for how in pid1 child; do
		run -127 reeve_as $how run -- /nowhere/at/all
		[[ $output == *"'/nowhere/at/all': No such file"* ]]
		run reeve_as $how run -- /etc/passwd
		[ "$status" -eq 126 ]
		[[ $output == *"'/etc/passwd': Permission denied"* ]]
	done
}

@test "wrong usage is 64" {
	run "$REEVE" run --
	[ "$status" -eq 64 ]
	run "$REEVE" run --grace 5 -- true
	[ "$status" -eq 64 ]
	run "$REEVE" run --nonsense -- true
	[ "$status" -eq 64 ]
	[[ $output == *--nonsense* ]]
}

@test "200 commands that end at once give 200 right codes" {
	for i in {1..100}; do
		local code=0
		"$REEVE" run -- "$HELPER" exit $((i + 1)) || code=$?
		[ $code -eq $((i + 1)) ]
		code=0
		reeve_as pid1 run -- "$HELPER" exit $((i + 1)) || code=$?
		[ $code -eq $((i + 1)) ]
	done
}

@test "every signal is forwarded" {
	for how in pid1 child; do
		for signo in 1 2 3 10 12 13 14 15 18 23 28 34 64; do
			rm -f "$T/ready" "$T/count"
			launch $how run -- "$HELPER" count $signo 1 "$T/ready" "$T/count"
			until_ok file_there "$T/ready"
			kill -$signo "$INIT"
			expect_code 0
		done
	done
}

@test "three TERMs one after another arrive as three" {
	launch pid1 run -- "$HELPER" count 15 3 "$T/ready" "$T/count"
	until_ok file_there "$T/ready"
	for n in 1 2 3; do
		kill -TERM "$INIT"
		[ $n -eq 3 ] || until_ok grep -qx $n "$T/count"
	done
	expect_code 0
}

@test "without -g the command alone has the signal, with -g its group" {
	launch child run -- sh -c "trap 'exit 9' USR1; '$HELPER' count 10 1 '$T/a' '$T/n' & while :; do wait; done"
	until_ok file_there "$T/a"
	kill -USR1 "$INIT"
	expect_code 9
	[ ! -e "$T/n" ]
	rm -f "$T/a"
	launch child run -g -- sh -c "trap : USR1; '$HELPER' count 10 1 '$T/a' '$T/n' & wait; wait; exit 4"
	until_ok file_there "$T/a"
	kill -USR1 "$INIT"
	until_ok file_there "$T/n"
	expect_code 4
}

@test "2000 orphans are reaped while the command goes on" {
	for how in pid1 child; do
		rm -f "$T/done"
		launch $how run -- "$HELPER" orphans 2000 "$T/done"
		until_ok file_there "$T/done"
		until_ok no_zombies "$INIT"
		alive "$INIT"
		kill -TERM "$INIT"
		expect_code 143
	done
}

@test "not PID 1, it adopts what its command orphans" {
	launch child run -- sh -c "'$HELPER' escapee '$T/ready' '$T/mark' 1; exec '$HELPER' wait"
	until_ok file_there "$T/ready"
	orphan=$(<"$T/ready")
	ALSO+=("$orphan")
	adopted() { children_of "$INIT" | grep -qw "$orphan"; }
	until_ok adopted
	kill -TERM "$orphan"
	until_ok file_there "$T/mark"
	until_ok no_zombies "$INIT"
	kill -TERM "$INIT"
	expect_code 143
}

@test "a member of the group that outlives the command has TERM and time to drain" {
	for how in pid1 child; do
		rm -f "$T/ready" "$T/mark"
		launch $how run -- "$HELPER" member "$T/ready" "$T/mark" drain 300
		expect_code 5
		[ -e "$T/mark" ]
	done
}

@test "a member that ignores TERM is killed after the grace" {
	for how in pid1 child; do
		rm -f "$T/ready"
		launch $how run --grace 200ms -- "$HELPER" member "$T/ready" "$T/mark" ignore
		expect_code 5
		[ $how = pid1 ] || gone "$(<"$T/ready")"
	done
}

@test "PID 1 gives an escaped daemon TERM and time to drain, and kills one that ignores it" {
	launch pid1 run -- "$HELPER" escapee "$T/ready" "$T/mark" 300
	expect_code 6
	[ -e "$T/mark" ]
	rm -f "$T/ready"
	launch pid1 run --grace 200ms -- sh -c "setsid '$HELPER' ignore-term '$T/ready' & while [ ! -e '$T/ready' ]; do :; done; exit 8"
	expect_code 8
}

@test "the grace is not waited out when nobody is left" {
	launch pid1 run --grace 1h -- "$HELPER" escapee "$T/ready" "$T/mark" 1
	expect_code 6
	rm -f "$T/ready"
	launch child run --grace 1h -- "$HELPER" member "$T/ready" "$T/mark" drain 1
	expect_code 5
}

@test "a grandchild that holds stdout doesn't hold reeve" {
	mkfifo "$T/pipe"
	exec 8<>"$T/pipe"
	launch child run -- "$HELPER" hold "$T/ready" >"$T/pipe"
	expect_code 0
	ALSO+=("$(<"$T/ready")")
	exec 8>&-
}

@test "it works as a uid that nobody knows" {
	needs_root
	local drop=(setpriv --reuid 12345 --regid 12345 --clear-groups)
	# a place that such a user can reach
	local dir
	dir=$(mktemp -d)
	chmod 755 "$dir"
	cp "$REEVE" "$HELPER" "$dir"
	run "${drop[@]}" "$dir/reeve" run -- "$dir/helper" exit 7
	[ "$status" -eq 7 ]
	run "${PID1[@]}" "${drop[@]}" "$dir/reeve" run -- "$dir/helper" exit 7
	[ "$status" -eq 7 ]
	rm -r "$dir"
}

# A world of two static programs: no /proc, /dev, /run or /tmp, mounted
# read-only.
readonly_world() {
	mkdir "$T/world"
	mount -t tmpfs none "$T/world"
	cp "$REEVE" "$T/world/reeve"
	cp "$HELPER" "$T/world/helper"
	mount -o remount,ro "$T/world"
}

@test "it works on a read-only root with nothing in it, as PID 1 and not" {
	needs_root
	needs_static
	run unshare -m bash -c "
		$(declare -f readonly_world)
		T='$T' REEVE='$REEVE' HELPER='$HELPER'
		readonly_world
		for uid in 0 12345; do
			'$HELPER' readonly '$T/world' \$uid /reeve run -- /helper exit 7
			[ \$? = 7 ] || exit 1
			unshare -fp '$HELPER' readonly '$T/world' \$uid /reeve run -- /helper exit 7
			[ \$? = 7 ] || exit 2
		done"
	[ "$status" -eq 0 ]
}

@test "closed standard descriptors hurt nobody" {
	local code=0
	"$REEVE" run -v -- "$HELPER" exit 3 <&- >&- 2>&- || code=$?
	[ $code -eq 3 ]
}

@test "a stderr that nobody reads doesn't stop it" {
	mkfifo "$T/pipe"
	exec 8<>"$T/pipe"
	dd if=/dev/zero of="$T/pipe" bs=4096 count=16 2>/dev/null
	launch child run -v -- "$HELPER" exit 3 2>"$T/pipe"
	expect_code 3
	exec 8>&-
}

@test "on a terminal: ^C reaches the command, which can read /dev/tty" {
	run "$HELPER" pty $'\003' "$REEVE" run -- sh -c 'trap "exit 42" INT; echo ready; while :; do sleep 1; done'
	[ "$status" -eq 42 ]
	# shellcheck disable=SC2016 # the command's own $x
	run "$HELPER" pty $'hello\n' "$REEVE" run -- sh -c 'echo ready; read x </dev/tty; echo "got <$x>"'
	[ "$status" -eq 0 ]
	[[ $output == *"got <hello>"* ]]
	run "$HELPER" pty $'\003' "${PID1[@]}" "$REEVE" run -- sh -c 'echo ready; read x'
	[ "$status" -eq 130 ]
}

@test "on a terminal: ^Z stops the job for the shell, which can go on with it" {
	# said in a file: ^Z also throws away what is on its way to the terminal
	run "$HELPER" pty $'\032\n' bash -c "set -m; exec 5>'$T/said'; '$REEVE' run -- sh -c 'echo ready; read x; exit 5'; echo stopped \$? >&5; fg; echo ended \$? >&5"
	[ "$(<"$T/said")" = $'stopped 148\nended 5' ]
}

@test "help run is run --help, as of every other command" {
	run "$REEVE" help run
	[ "$status" -eq 0 ]
	[ "$output" = "$("$REEVE" run --help)" ]
}
