#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031 # every test is a process of its own
# `reeve run -- CMD` in the place of tini and dumb-init: their options, and
# their exit codes, side by side with the real ones.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

# The options of `reeve run` are REEVE's, those of the others are theirs.
TINI=(tini -s)
has_peers() {
	local peer
	for peer in tini dumb-init; do
		command -v $peer >/dev/null || skip "needs $peer"
	done
}

# start pid1|child PROGRAM ARG…: in the background, where bash ignores INT and QUIT
# (which tini would hand on); $TOP and $INIT as launch.
start() {
	local how=$1
	shift
	if [[ $how == pid1 ]]; then
		env --default-signal=INT,QUIT "${PID1[@]}" -- "$@" 3>&- >>"$T/out" 2>>"$T/said" &
		TOP=$!
		until_ok child_or_gone "$TOP" || return 1
		INIT=$(child_of "$TOP") || INIT=$TOP
	else
		env --default-signal=INT,QUIT "$@" 3>&- >>"$T/out" 2>>"$T/said" &
		TOP=$!
		INIT=$TOP
	fi
	LAUNCHED+=("$INIT")
}

# in_front pid1|child PROGRAM ARG…: in the foreground.
in_front() {
	local how=$1
	shift
	if [[ $how == pid1 ]]; then
		"${PID1[@]}" -- "$@"
	else
		"$@"
	fi
}

# code_of pid1|child PROGRAM ARG…: prints its exit code.
code_of() {
	local code=0
	in_front "$@" >/dev/null 2>&1 || code=$?
	echo $code
}

# The command's pid as we see it, by way of its init.
command_in() { child_of "$INIT"; }
in_state() { [[ $(state_of "$1") == "$2" ]]; }
not_in_state() { [[ $(state_of "$1") != "$2" ]]; }

# code_after "SIGNAL…" pid1|child PROGRAM ARG…: sends the signals one after
# another once $T/ready is there, and prints the exit code. TSTP is waited for.
code_after() {
	local signals=$1 signo pid
	shift
	rm -f "$T/ready"
	start "$@" || return 1
	until_ok file_there "$T/ready" || return 1
	pid=$(command_in) || return 1
	for signo in $signals; do
		kill -"$signo" "$INIT"
		case $signo in
		TSTP) until_ok in_state "$pid" T || return 1 ;;
		CONT) until_ok not_in_state "$pid" T || return 1 ;;
		esac
	done
	CODE=
	ended || return 1
	echo "$CODE"
}

# agree WHAT CODE…: that all exit codes are the first.
agree() {
	local what=$1 code
	shift
	for code in "$@"; do
		if [[ $code != "$1" ]]; then
			echo "$what: exit codes $*" >&2
			return 1
		fi
	done
}

# --- side by side ------------------------------------------------------------

@test "the exit code is tini's and dumb-init's, whatever the command ends with" {
	has_peers
	local how words
	for how in pid1 child; do
		for words in "exit "{0,1,2,7,77,126,127,128,130,143,254,255} \
			"die "{1,2,3,4,6,8,9,11,12,13,14,15,31,34,64}; do
			# shellcheck disable=SC2086 # words
			agree "$how: $words" \
				"$(code_of $how "$REEVE" run -- "$HELPER" $words)" \
				"$(code_of $how "${TINI[@]}" -- "$HELPER" $words)" \
				"$(code_of $how dumb-init -- "$HELPER" $words)" \
				"$(code_of $how dumb-init -c -- "$HELPER" $words)"
		done
	done
}

@test "stopped, the exit code is tini's and dumb-init's" {
	has_peers
	local how signals
	for how in pid1 child; do
		for signals in TERM INT QUIT HUP USR1 ALRM PIPE XCPU \
			"WINCH TERM" "CONT TERM" "TSTP CONT TERM" "TSTP CONT INT"; do
			agree "$how: $signals" \
				"$(code_after "$signals" $how "$REEVE" run -- "$HELPER" wait "$T/ready")" \
				"$(code_after "$signals" $how "$REEVE" run -g -- "$HELPER" wait "$T/ready")" \
				"$(code_after "$signals" $how "${TINI[@]}" -- "$HELPER" wait "$T/ready")" \
				"$(code_after "$signals" $how "${TINI[@]}" -g -- "$HELPER" wait "$T/ready")" \
				"$(code_after "$signals" $how dumb-init -- "$HELPER" wait "$T/ready")" \
				"$(code_after "$signals" $how dumb-init -c -- "$HELPER" wait "$T/ready")"
		done
	done
}

@test "a command that ends by itself when it is stopped: the exit code is tini's and dumb-init's" {
	has_peers
	local how code trap
	for how in pid1 child; do
		for code in 0 3 143; do
			trap="trap 'exit $code' TERM; echo >'$T/ready'; while :; do read -r x <>'$T/never'; done"
			[ -p "$T/never" ] || mkfifo "$T/never"
			agree "$how: $code" "$code" \
				"$(code_after TERM $how "$REEVE" run -- bash -c "$trap")" \
				"$(code_after TERM $how "${TINI[@]}" -- bash -c "$trap")" \
				"$(code_after TERM $how dumb-init -- bash -c "$trap")" \
				"$(code_after TERM $how dumb-init -c -- bash -c "$trap")"
		done
	done
}

@test "a command that can't be started: the exit code is tini's" {
	has_peers
	local how command
	for how in pid1 child; do
		for command in /nowhere/at/all no-such-program-in-path /etc/passwd /etc; do
			agree "$how: $command" \
				"$(code_of $how "$REEVE" run -- $command)" \
				"$(code_of $how "${TINI[@]}" -- $command)"
			agree "$how: $command" \
				"$(code_of $how "$REEVE" run -e 126 -e 127 -- $command)" \
				"$(code_of $how "${TINI[@]}" -e 126 -e 127 -- $command)"
		done
	done
}

@test "-e: the exit code is tini's" {
	has_peers
	local how words
	for how in pid1 child; do
		for words in "exit "{0,1,7,143,255} "die "{9,15}; do
			# shellcheck disable=SC2086 # words
			agree "$how: $words" \
				"$(code_of $how "$REEVE" run -e 143 -e 7 -e255 -- "$HELPER" $words)" \
				"$(code_of $how "${TINI[@]}" -e 143 -e 7 -e255 -- "$HELPER" $words)"
		done
		agree "$how: stopped" 0 \
			"$(code_after TERM $how "$REEVE" run -s -e 143 -- "$HELPER" wait "$T/ready")" \
			"$(code_after TERM $how tini -s -e 143 -- "$HELPER" wait "$T/ready")"
	done
}

@test "-r: the exit code is dumb-init's" {
	has_peers
	local how rewrite
	for how in pid1 child; do
		for rewrite in "-r 15:2" "-r 15:9" "-r15:3" "--rewrite 15:1" \
			"--rewrite=15:12" "-r 15:2 -r 15:10" "-r 2:3 -r 15:2" \
			"-c -r 15:2"; do
			# shellcheck disable=SC2086 # options
			agree "$how: $rewrite" \
				"$(code_after TERM $how "$REEVE" run $rewrite -- "$HELPER" wait "$T/ready")" \
				"$(code_after TERM $how dumb-init $rewrite -- "$HELPER" wait "$T/ready")"
		done
		# dropped: what comes after it is what ends the command
		for rewrite in "-r 15:0" "-r 15:0 -r 10:3"; do
			# shellcheck disable=SC2086 # options
			agree "$how: $rewrite" \
				"$(code_after "TERM USR1" $how "$REEVE" run $rewrite -- "$HELPER" wait "$T/ready")" \
				"$(code_after "TERM USR1" $how dumb-init $rewrite -- "$HELPER" wait "$T/ready")"
		done
	done
}

@test "-g reaches a shell's child, as tini -g and dumb-init do; -c, and neither, the shell alone" {
	has_peers
	local how init
	for how in pid1 child; do
		for init in "$REEVE run -g" "tini -s -g" dumb-init; do
			rm -f "$T/n"
			# shellcheck disable=SC2086 # words
			[ "$(code_after USR1 $how $init -- bash -c "'$HELPER' count 10 1 '$T/ready' '$T/n' & trap : USR1; wait; wait; exit 4")" = 4 ]
			until_ok file_there "$T/n"
		done
		for init in "$REEVE run" "$REEVE run -c" "tini -s" "dumb-init -c"; do
			rm -f "$T/n"
			# shellcheck disable=SC2086 # words
			[ "$(code_after USR1 $how $init -- bash -c "'$HELPER' count 10 1 '$T/ready' '$T/n' & trap 'kill -9 \$!; exit 9' USR1; while :; do wait; done")" = 9 ]
			[ ! -e "$T/n" ]
		done
	done
}

# --- the options by themselves --------------------------------------------------

@test "wrong values are 64, with what would be right" {
	while IFS='|' read -r options says; do
		# shellcheck disable=SC2086 # options
		run -64 "$REEVE" run $options -- "$HELPER" exit 0
		[[ $output == *"$says"* ]]
	done <<-'ROWS'
		-x|-c, -e CODE, -g, -p SIGNAL, -r RECEIVED:SENT, -s, -v, -w and --grace D
		-e 256|0..255
		-e|needs a value
		-p TREM|TERM, SIGTERM or SIGRTMIN+1, or a number from 1 to 64
		-r 15|15:3 or TERM:QUIT
		-r 9:15|any signal but KILL, STOP and CHLD
		-r 15:99|or 0 to drop
		-g -c|exclude each other
		--grace 5|'30s'
	ROWS
	run -64 "$REEVE" run "$HELPER" exit 0
	[[ $output == *"reeve run -- $HELPER"* ]]
	# as `tini -s CMD`: nothing is started to find out that "--" is missing
	for options in -s -sg -e143 --rewrite=15:3; do
		run -64 "$REEVE" run $options "$HELPER" exit 0
		[[ $output == *"goes behind '--': reeve run $options ... -- CMD" ]]
	done
}

@test "tini's and dumb-init's environment variables change nothing" {
	export TINI_KILL_PROCESS_GROUP=1 TINI_VERBOSITY=3 TINI_SUBREAPER=1
	export DUMB_INIT_DEBUG=1 DUMB_INIT_SETSID=1
	local how
	for how in pid1 child; do
		[ "$(code_after USR1 $how "$REEVE" run -- bash -c "'$HELPER' count 10 1 '$T/ready' '$T/n' & trap 'kill -9 \$!; exit 9' USR1; while :; do wait; done")" = 9 ]
		[ ! -e "$T/n" ]
	done
	[ ! -s "$T/said" ]
}

@test "-v says what is done, -w and -vv each orphan, and without them nothing is said" {
	local how option
	for how in pid1 child; do
		: >"$T/said"
		[ "$(code_after "USR2 TERM" $how "$REEVE" run -v -e 143 -r USR2:0 -- "$HELPER" wait "$T/ready")" = 0 ]
		grep -q "started '$HELPER'" "$T/said"
		grep -q "SIGUSR2 dropped" "$T/said"
		grep -q "SIGTERM forwarded" "$T/said"
		grep -q "143 counts as 0" "$T/said"
		for option in -w -vv -v; do
			: >"$T/said"
			[ "$(code_after TERM $how "$REEVE" run $option -- "$HELPER" orphans 1 "$T/ready")" = 143 ]
			[ $option = -v ] || grep -q "reaped orphan process" "$T/said"
			[[ $option != -v || $(<"$T/said") != *reaped* ]]
			[[ $option != -w || $(<"$T/said") != *started* ]]
		done
	done
	run "$REEVE" run -- "$HELPER" die 15
	[ "$status" -eq 143 ]
	[ -z "$output" ]
}

@test "sent ABRT, SEGV, BUS, FPE, ILL, TRAP and SYS are forwarded too" {
	local how signo
	for how in pid1 child; do
		for signo in ABRT SEGV BUS FPE ILL TRAP SYS; do
			rm -f "$T/count"
			[ "$(code_after $signo $how "$REEVE" run -- "$HELPER" count \
				"$(kill -l $signo)" 1 "$T/ready" "$T/count")" = 0 ]
		done
	done
}

# --- -p -------------------------------------------------------------------------

@test "-p KILL: after kill -9 of a reeve that isn't PID 1, the command is gone" {
	start child "$REEVE" run -p KILL -- "$HELPER" wait "$T/ready"
	until_ok file_there "$T/ready"
	local pid
	pid=$(<"$T/ready")
	ALSO+=("$pid")
	alive "$pid"
	kill -KILL "$INIT"
	until_ok gone "$pid"
}

# strace has short-lived children of its own before it starts what it is to.
has_reeve() {
	local pid
	pid=$(child_of "$1") && is_reeve "$pid"
}

@test "-p: a reeve that is killed before its command has asked for the signal" {
	# the command's prctl is held until reeve is dead: then nothing would come
	strace -f -qq -o /dev/null -e trace=prctl \
		-e inject=prctl:delay_enter=1000000 \
		"$REEVE" run -p KILL -- "$HELPER" wait "$T/ready" 3>&- &
	TOP=$!
	LAUNCHED+=("$TOP")
	until_ok has_reeve "$TOP"
	INIT=$(child_of "$TOP")
	LAUNCHED+=("$INIT")
	until_ok child_of "$INIT"
	local pid
	pid=$(child_of "$INIT")
	ALSO+=("$pid")
	kill -KILL "$INIT"
	until_ok gone "$pid"
	[ ! -e "$T/ready" ]
}

@test "-p TERM: when reeve's parent ends, the command has TERM and drains" {
	bash -c "'$REEVE' run -p TERM -- '$HELPER' drain '$T/ready' '$T/mark' 100 & wait" 3>&- &
	TOP=$!
	LAUNCHED+=("$TOP")
	until_ok file_there "$T/ready"
	INIT=$(child_of "$TOP")
	LAUNCHED+=("$INIT")
	kill -KILL "$TOP"
	until_ok file_there "$T/mark"
	until_ok gone "$INIT"
}

@test "-p TERM: as PID 1, when the parent outside ends" {
	start pid1 "$REEVE" run -p SIGTERM -- "$HELPER" drain "$T/ready" "$T/mark" 100
	until_ok file_there "$T/ready"
	kill -KILL "$TOP"
	until_ok file_there "$T/mark"
	until_ok gone "$INIT"
}
