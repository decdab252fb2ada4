#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `reeve top` on a real terminal (tmux): what it shows, its keys, and that it
# survives the operator and another size.

# shellcheck disable=SC2030,SC2031 # every test is a process of its own
bats_require_minimum_version 1.5.0
load lib
setup() {
	begin
	export REEVE_SOCKET=$T/socket
	cd "$T" || exit
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: shop-of-a-long-name
		queues:
		  - {name: jobs, kind: sqlite, url: "sqlite://$T/none.db", queue: jobs}
		workers:
		  - name: mailer
		    command: [/bin/sh, -c, 'printf "caf\\303\\251 \\033[31mred\\n"; exec "$HELPER" wait']
		    replicas: 2
		  - name: crasher
		    command: [/bin/sh, -c, "exit 3"]
		    restart: {backoff: {first: 1h, cap: 1h}}
	END
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok is mailer/1 ready
	until_ok "$REEVE" diff
}
teardown() {
	terminal kill-server 2>/dev/null || :
	kill -TERM "$INIT" 2>/dev/null || :
	finish
}
terminal() { tmux -f /dev/null -S "$T/tmux" "$@"; }
# top COLUMNS LINES
top() {
	terminal new-session -d -s t -x "$1" -y "$2" \
	    "LC_ALL=C.UTF-8 '$REEVE' top; echo over \$?; exec cat"
	until_ok shows 'q quit|o order'
}
key() { terminal send-keys -t t "$@"; }
screen() { terminal capture-pane -p -t t; }
shows() { screen | grep -Eq "$1"; }
lacks() { ! screen | grep -Eq "$1"; }

@test "workers, queues and what is wrong; what isn't known is a question mark" {
	top 120 30
	until_ok shows '^> mailer/0 +ready +[0-9]+ +0 '
	until_ok shows '^  crasher/0 +backoff .*exit code 3'
	until_ok shows '^jobs +\? .*no database file'
	until_ok shows '^shop-of-a-long-name +operator running +2 of 3 ready'
	key q
	until_ok shows '^over 0'
}

@test "a narrow terminal keeps what counts: why it isn't ready, and what isn't known" {
	top 80 24
	until_ok shows '^  crasher/0 +backoff +[0-9]+ .*exit code 3'
	until_ok shows '^jobs +\? +.*no database file'
	until_ok shows '^h help  q quit'
	terminal resize-window -t t -x 60 -y 15
	until_ok shows '^  crasher/0 +backoff +exit code 3'
	# whole columns or none
	until_ok shows '^QUEUE +WAITING +ACTIVE +DEAD *$'
}

@test "a small terminal shows how many are ready, and some workers before any queue" {
	top 40 6
	until_ok shows '^shop-o +2 of 3 ready'
	until_ok shows '^  crasher/0 +backoff +exit code'
	until_ok shows '^> mailer/0'
	until_ok lacks '^QUEUE'
	terminal resize-window -t t -x 40 -y 9
	until_ok shows '^jobs'
	until_ok shows '^  crasher/0'
}

@test "queue watch stays in its place where a line is longer than the terminal" {
	terminal new-session -d -s t -x 30 -y 20 \
	    "'$REEVE' queue watch --interval 100ms --for 2s; echo over; exec cat"
	until_ok shows '^over'
	[ "$(screen | grep -c .)" = 2 ]
	shows '^jobs '
}

@test "orders are asked about, carried out only after a y" {
	top 120 30
	key Down
	until_ok shows '^> mailer/1'
	before=$(figure mailer/1 pid)
	other=$(figure mailer/0 pid)
	key r
	until_ok shows 'restart mailer/1\?'
	key n
	until_ok lacks 'restart mailer/1\?'
	[ "$(figure mailer/1 pid)" = "$before" ]
	key r
	until_ok shows 'restart mailer/1\?'
	key y
	another() { is mailer/1 ready && [[ $(figure mailer/1 pid) != "$before" ]]; }
	until_ok another
	[ "$(figure mailer/0 pid)" = "$other" ]
	key +
	until_ok shows 'scale mailer to 3\?'
	key y
	until_ok is mailer/2 ready
	until_ok shows 'mailer/2 +ready'
	key s
	until_ok shows 'stop mailer\?'
	key y
	until_ok worker_has mailer running 0
	until_ok shows 'mailer/0 +stopped'
}

@test "filter, order, logs and help; output can't reach the terminal" {
	top 120 30
	key / 'crash' Enter
	until_ok shows 'by worker, /crash'
	until_ok lacks 'mailer/0'
	key / Escape
	until_ok shows 'mailer/0'
	key o
	until_ok shows 'by state'
	until_ok shows '^> crasher/0'
	key / 'mailer/0' Enter
	until_ok shows '^> mailer/0'
	key l
	until_ok shows 'café \?\[31mred'
	key x
	until_ok shows 'WORKER'
	key h
	until_ok shows 'Everything that changes something asks first'
	key x
	until_ok shows 'WORKER'
}

@test "another size, a dead operator, and a supervisor that is gone" {
	top 120 30
	until_ok shows 'mailer/0'
	terminal resize-window -t t -x 50 -y 8
	until_ok shows '^shop'
	terminal resize-window -t t -x 110 -y 28
	until_ok shows 'mailer/1'
	kill -STOP "$(operator_pid)"
	until_ok shows 'what the init knows by itself'
	until_ok shows 'mailer/0 +ready'
	kill -CONT "$(operator_pid)"
	until_ok lacks 'what the init knows by itself'
	kill -TERM "$INIT"
	until_ok gone "$INIT"
	until_ok shows 'what is shown is old'
	key q
	until_ok shows '^over 0'
}

@test "without a terminal it says what to use instead" {
	run "$REEVE" top </dev/null
	[ "$status" -eq 64 ]
	[[ $output == *"needs a terminal"*"reeve status"* ]]
}

# on_terminal TERM [NAME=VALUE]: what a verdict looks like there.
on_terminal() {
	env TERM="$1" "${@:2}" script -qc "stty cols 40; '$REEVE' diagnose --timeout 20s" /dev/null </dev/null
}

@test "colour on a terminal that knows it, not with NO_COLOR; on a dumb one no escape at all" {
	on_terminal xterm NO_COLOR= >coloured
	grep -q $'\033\\[1;31mROOT CAUSE' coloured
	# what is shown while it looks fits into a line, or it could not be erased
	tr '\r' '\n' <coloured | sed -n $'s/^\033\\[K\\([-|\\\\/] diagnose:\\)/\\1/p' >shown
	[ -s shown ]
	[ "$(wc -L <shown)" -lt 40 ]
	on_terminal xterm NO_COLOR=1 >plain
	grep -q '^ROOT CAUSE\|KROOT CAUSE' plain
	run grep -c $'\033\\[[0-9]' plain
	[ "$output" = 0 ]
	on_terminal dumb NO_COLOR= >bare
	grep -q '^ROOT CAUSE' bare
	run grep -c $'\033' bare
	[ "$output" = 0 ]
}
