#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The liveness port: says whether the init's loop turns, and nothing else.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

# The status code, or 000 when nobody answered.
asks() { curl -s -m 5 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$PORT/healthz" || :; }
answers() { [[ $(asks) == "$1" ]]; }
answerer() { pgrep -P "$INIT" -x reeve-live; }
reaped() { ! kill -0 "$1"; }
another_answerer() { [[ -n $(answerer) && $(answerer) != "$1" ]]; }

@test "200 while the init turns, 503 while it doesn't, the answerer is replaced, a fault survived" {
	# two faults within a minute
	export REEVE_TEST_CRASH_AGAIN_OK=1
	PORT=$(free_port)
	plan_of a.plan <<-END
		liveness-port $PORT
		worker a
		arg $HELPER
		arg wait
	END
	supervise child
	until_ok answers 200
	old=$(answerer)
	kill -KILL "$old"
	until_ok another_answerer "$old"
	until_ok answers 200
	kill -STOP "$INIT"
	[ "$(asks)" = 503 ]
	kill -CONT "$INIT"
	[ "$(asks)" = 200 ]
	# the port is held over a fault of the init
	old=$(answerer)
	kill -SEGV "$INIT"
	until_ok another_answerer "$old"
	[ "$(asks)" = 200 ]
	# and while the next answerer is not there yet
	old=$(answerer)
	kill -KILL "$old"
	until_ok reaped "$old"
	kill -SEGV "$INIT"
	until_ok answers 200
	kill -TERM "$INIT"
	expect_code 0
	answers 000
}
