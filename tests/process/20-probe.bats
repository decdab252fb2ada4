#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `reeve --probe`: what the init starts to look at a worker.

bats_require_minimum_version 1.5.0
load lib
setup() {
	begin
	PORT=$("$HELPER" port)
	"$HELPER" serve "$PORT" "$T/answer" "$T/request" 3>&- &
	ALSO+=($!)
	echo ok >"$T/answer"
	until_ok "$REEVE" --probe tcp 127.0.0.1 "$PORT" 1000
}
teardown() { finish; }

answers() {
	echo "$1" >"$T/answer"
	run "$REEVE" --probe http "${HOST:-127.0.0.1}" "$PORT" /health "${2:-5000}"
}

@test "200 to 399 is success and silent, everything else is failure and says why" {
	for code in 200 204 302 399; do
		answers $code
		[ "$status" -eq 0 ]
		[ -z "$output" ]
	done
	for code in 100 199 400 404 500 503; do
		answers $code
		[ "$status" -eq 1 ]
		[ "$output" = "127.0.0.1:$PORT: HTTP status $code" ]
	done
}

@test "an answer that is no HTTP status is failure" {
	for word in abc 20 2000 20x; do
		answers $word
		[ "$status" -eq 1 ]
		[[ $output == *"not an HTTP answer"* ]]
	done
}

@test "a server that says nothing, or a byte and no more, meets the deadline" {
	answers silent 200
	[ "$status" -eq 1 ]
	[[ $output == *"timeout: connected, but no answer"* ]]
	answers drip 200
	[ "$status" -eq 1 ]
	[[ $output == *"timeout: the answer stopped within its first line"* ]]
}

@test "the request is what Kubernetes would send, and headers replace ours" {
	run "$REEVE" --probe http localhost "$PORT" /health?x=1 5000
	[ "$status" -eq 0 ]
	tr -d '\r' <"$T/request" >"$T/got"
	[ "$(head -1 "$T/got")" = "GET /health?x=1 HTTP/1.1" ]
	grep -qx "Host: localhost:$PORT" "$T/got"
	grep -q "^User-Agent: reeve-probe/" "$T/got"
	grep -qx "Connection: close" "$T/got"
	run "$REEVE" --probe http 127.0.0.1 "$PORT" / 5000 "host: a.example" "X-Key: a b"
	[ "$status" -eq 0 ]
	tr -d '\r' <"$T/request" >"$T/got"
	[ "$(grep -ci '^host:' "$T/got")" = 1 ]
	grep -qx "host: a.example" "$T/got"
	grep -qx "X-Key: a b" "$T/got"
}

@test "a line break in a header or in the path never leaves the house" {
	rm -f "$T/request"
	run "$REEVE" --probe http 127.0.0.1 "$PORT" / 5000 $'X: a\r\nY: b'
	[ "$status" -eq 64 ]
	run "$REEVE" --probe http 127.0.0.1 "$PORT" $'/ HTTP/1.0\r\n\r\n' 5000
	[ "$status" -eq 64 ]
	[ ! -e "$T/request" ]
}

@test "tcp: who listens is success, who doesn't is failure" {
	run "$REEVE" --probe tcp 127.0.0.1 "$PORT" 1000
	[ "$status" -eq 0 ]
	run "$REEVE" --probe tcp localhost "$PORT" 1000
	[ "$status" -eq 0 ]
	local closed
	closed=$("$HELPER" port)
	run "$REEVE" --probe tcp 127.0.0.1 "$closed" 1000
	[ "$status" -eq 1 ]
	[ "$output" = "127.0.0.1:$closed: connect: Connection refused" ]
	run "$REEVE" --probe tcp ::1 "$closed" 1000
	[ "$status" -eq 1 ]
}

@test "names are not looked up, and nonsense is 64" {
	run "$REEVE" --probe tcp example.com 80 1000
	[ "$status" -eq 64 ]
	[[ $output == *"not a numeric address"* ]]
	for args in "" "tcp" "tcp 127.0.0.1 0 1000" "tcp 127.0.0.1 65536 1000" \
		"tcp 127.0.0.1 80 0" "http 127.0.0.1 80 1000" "udp 127.0.0.1 80 1000"; do
		# shellcheck disable=SC2086 # words
		run "$REEVE" --probe $args
		[ "$status" -eq 64 ]
	done
}
