#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Where captured output goes: terminals, sockets, files that are rotated; and
# what `reeve logs` finds of it, of thousands of workers too.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { drain_and_finish; }

# How many workers are captured at once. 10000 take 20768 descriptors, which
# not every machine's hard limit has room for.
WORKERS=${WORKERS:-2000}

ticker() {
	plan_of a.plan <<-END
		worker a
		arg /bin/sh
		arg -c
		arg $1 n=0; while :; do n=\$((n+1)); echo line \$n; sleep 0.02; done
	END
}

# Whole lines of `helper lines N 99`, all of them, in order.
all_lines() { diff <("$HELPER" lines "$2" 99) "$1" >/dev/null; }

@test "a terminal gets every line, and is waited for" {
	plan_of a.plan <<-END
		when-blocked block
		worker a
		arg /bin/sh
		arg -c
		arg '$HELPER' lines 500 99; echo ready
		restart never
	END
	export REEVE_SOCKET=$T/socket
	# the init's own lines are another writer's: not on the same terminal
	"$HELPER" pty '' sh -c 'exec "$0" run --plan "$1" 2>"$2"' "$REEVE" \
	    "$T/a.plan" "$T/err" >"$T/tty"
	tr -d '\r' <"$T/tty" | grep -E '^[0-9]+:' >"$T/out"
	all_lines "$T/out" 500
}

@test "a socket gets every line when its reader comes, and the init answers until then" {
	plan_of a.plan <<-END
		when-blocked block
		worker a
		arg /bin/sh
		arg -c
		arg '$HELPER' lines 50000 99; echo >$T/done; exec '$HELPER' wait
	END
	export REEVE_SOCKET=$T/socket
	"$HELPER" socket "$T/go" "$REEVE" run --plan "$T/a.plan" >"$T/out" 2>"$T/err" 3>&- &
	TOP=$!
	LAUNCHED+=("$TOP")
	until_ok child_of "$TOP"
	INIT=$(child_of "$TOP")
	LAUNCHED+=("$INIT")
	until_ok at_least a/0 held-bytes 300000
	until_ok nothing_comes a/0
	"$CTL" live
	[ ! -e "$T/done" ]
	[ ! -s "$T/out" ]
	touch "$T/go"
	until_ok file_there "$T/done"
	kill -TERM "$INIT"
	expect_code 0
	all_lines "$T/out" 50000
}

@test "a log file that is copied and truncated has no hole, and no half line" {
	ticker ''
	supervise child >>"$T/log" 2>"$T/err"
	for n in 1 2 3; do
		until_ok grep -q '^line' "$T/log"
		cp "$T/log" "$T/log.$n"
		: >"$T/log"
	done
	until_ok grep -q '^line' "$T/log"
	kill -TERM "$INIT"
	expect_code 0
	# a write behind the old end would leave NULs before it
	[ "$(cat "$T"/log* | tr -dc '\000' | wc -c)" -eq 0 ]
	[ "$(cat "$T"/log.? "$T/log" | grep -cvE '^line [0-9]+$')" -eq 0 ]
	sort -k2n -uc <(cat "$T"/log.? "$T/log")
}

only_new() {
	local said
	said=$("$REEVE" logs a/0 --since 2s)
	[[ $said == *'line '* && $said != *old* ]]
}
nothing_new() { [[ -z $("$REEVE" logs a/0 --since 2s) ]]; }

@test "reeve logs --since: what is older isn't shown" {
	ticker "echo old; while [ ! -e $T/go ]; do sleep 0.05; done;"
	supervise child >"$T/out" 2>"$T/err"
	until_ok grep -qx old "$T/out"
	[ "$("$REEVE" logs a/0 --since 1h)" = 'a/0 | old' ]
	until_ok nothing_new
	touch "$T/go"
	until_ok only_new
	[[ $("$REEVE" logs a/0 --tail 1000) == 'a/0 | old'* ]]
}

# The bytes of each line of JSON.
bytes_of() {
	command jq -r '.base64 // (.text | @base64)' |
		while read -r line; do
			base64 -d <<<"$line"
			echo
		done
}

@test "reeve logs: every byte as it came, in text and in JSON" {
	{
		printf 'nul \0 within\n\377 is no UTF-8\nanother\r\n'
		head -c 16000 /dev/zero | tr '\0' '\1'
		printf '\n\303\251 is\n'
	} >"$T/bytes"
	plan_of a.plan <<-END
		worker a
		arg /bin/sh
		arg -c
		arg cat $T/bytes; exec '$HELPER' wait
	END
	supervise child >"$T/out" 2>"$T/err"
	until_ok cmp "$T/out" "$T/bytes"
	"$REEVE" logs a/0 | sed 's,^a/0 | ,,' | cmp - "$T/bytes"
	"$REEVE" logs a/0 --output json | bytes_of | cmp - "$T/bytes"
	[ "$("$REEVE" logs a/0 --output json | command jq -s 'map(has("base64")) | index(true)')" = 1 ]
}

@test "reeve logs --previous: what the process before said, and nobody else" {
	plan_of a.plan <<-END
		worker a
		arg /bin/sh
		arg -c
		arg echo x >>$T/runs; echo run \$(wc -l <$T/runs); [ \$(wc -l <$T/runs) -ge 3 ] || exit 1; exec '$HELPER' wait
		backoff 0s 0s
	END
	supervise child >"$T/out" 2>"$T/err"
	until_ok grep -qx 'run 3' "$T/out"
	[ "$("$REEVE" logs a/0 --previous)" = 'a/0 | run 2' ]
	[ "$("$REEVE" logs a/0)" = $'a/0 | run 1\na/0 | run 2\na/0 | run 3' ]
}

@test "what a grandchild says late bears the process that it is of" {
	plan_of a.plan <<-END
		logs json
		worker a
		arg /bin/sh
		arg -c
		arg if [ -e $T/first ]; then echo second; exec '$HELPER' wait; fi; echo \$\$ >$T/first; setsid sh -c 'echo >$T/born; while [ ! -e $T/go ]; do sleep 0.05; done; echo late' & while [ ! -e $T/born ]; do sleep 0.05; done; exit 1
		backoff 0s 0s
	END
	supervise child >"$T/out" 2>"$T/err"
	until_ok grep -q '"text":"second"' "$T/out"
	touch "$T/go"
	until_ok grep -q '"text":"late"' "$T/out"
	[ "$(jq 'select(.text == "late") | .pid' "$T/out")" = "$(<"$T/first")" ]
	[ "$(jq 'select(.text == "second") | .pid' "$T/out")" = "$(figure a/0 pid)" ]
}

@test "CRLF, NUL and what is no UTF-8 stay, cut into pieces or not" {
	# a line of 40,000 bytes, all kinds in it, on both sides of each cut
	{ for _ in {1..8000}; do printf 'a\r\0\xff"'; done; printf '\r\n'; } >"$T/in"
	for format in plain prefix json; do
		plan_of a.plan <<-END
			logs $format
			worker a
			arg /bin/cat
			arg $T/in
			restart never
		END
		supervise child >"$T/$format" 2>"$T/err"
		expect_code 0
	done
	cmp "$T/in" "$T/plain"
	[ "$(grep -ac '^a/0 | ' "$T/prefix")" = 1 ]
	[ "$(grep -ac '^a/0 + ' "$T/prefix")" = 2 ]
	[ "$(jq -c '.partial // false' "$T/json" | tr '\n' ' ')" = 'true true false ' ]
	{ jq -r .base64 "$T/json" | while read -r piece; do
		base64 -d <<<"$piece"
	done; echo; } | cmp - "$T/in"
}

all_said() { [[ $(grep -c "^a/[0-9]* | $1\$" "$T/out") == "$WORKERS" ]]; }
# a plan that there is no room for is refused, and waiting helps nobody
all_up_or_ended() { all_said up || gone "$INIT"; }

@test "thousands of workers at once: each one's line, with its name, after a kill of the logger too" {
	local last=a/$((WORKERS - 1)) logger
	PATIENCE=$((PATIENCE + WORKERS / 50))
	plan_of a.plan <<-END
		logs prefix
		worker a
		arg $HELPER
		arg twice
		arg $T/go
		replicas $WORKERS
	END
	mkfifo "$T/go"
	supervise child >"$T/out" 2>"$T/err"
	until_ok all_up_or_ended
	all_said up
	[ "$("$REEVE" logs "$last")" = "$last | up" ]
	logger=$(logger_pid)
	kill -KILL "$logger"
	until_ok another_logger "$logger"
	# all of them at once, into pipes that the successor has been given
	: >"$T/go"
	until_ok all_said again
	[ "$(sort -u "$T/out" | wc -l)" -eq $((2 * WORKERS)) ]
	[ "$("$REEVE" logs "$last" | tail -n 1)" = "$last | again" ]
	kill -TERM "$INIT"
	expect_code 0
}
