#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Readiness, liveness and startup probes of supervised workers.

bats_require_minimum_version 1.5.0
load lib
setup() {
	begin
	PORT=$("$HELPER" port)
}
teardown() {
	kill -TERM "$INIT" 2>/dev/null || :
	finish
}

@test "http readiness follows what the worker answers; a worker that isn't ready is not restarted" {
	echo 503 >"$T/answer"
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg serve
		arg $PORT
		arg $T/answer
		arg $T/request
		readiness http $PORT /health
		times 0 20ms 5s 1 2
	END
	supervise child
	until_ok file_there "$T/request"
	is a/0 running
	pid=$(figure a/0 pid)
	echo ok >"$T/answer"
	until_ok is a/0 ready
	echo 500 >"$T/answer"
	until_ok is a/0 running
	echo ok >"$T/answer"
	until_ok is a/0 ready
	[ "$(figure a/0 pid)" = "$pid" ]
	[ "$(figure a/0 restarts)" = 0 ]
}

@test "liveness: a worker that hangs is restarted" {
	echo ok >"$T/answer"
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg serve
		arg $PORT
		arg $T/answer
		arg $T/request
		backoff 10ms 20ms
		grace 1s
		liveness http $PORT /
		times 0 20ms 200ms 1 3
	END
	supervise child
	until_ok file_there "$T/request"
	is a/0 ready
	pid=$(figure a/0 pid)
	echo silent >"$T/answer"
	until_ok at_least a/0 restarts 1
	echo ok >"$T/answer"
	until_ok is a/0 ready
	[ "$(figure a/0 pid)" != "$pid" ]
}

@test "tcp readiness: ready when it listens, each replica on its own port" {
	plan_of a.plan <<-END
		worker a
		arg /bin/sh
		arg -c
		arg while [ ! -e $T/go ]; do sleep 0.05; done; exec '$HELPER' serve \$((PORT_P)) $T/answer $T/request
		env PATH=/usr/bin:/bin
		port p $PORT
		readiness tcp +$PORT
		times 0 20ms 1s 1 1
	END
	supervise child
	until_ok is a/0 running
	touch "$T/go"
	until_ok is a/0 ready
}

@test "exec readiness: the worker's own environment, found along its PATH" {
	mkdir "$T/bin"
	cat >"$T/bin/ready-or-not" <<-'END'
		#!/bin/sh
		[ -e "$FLAG" ] && [ "$REEVE_WORKER" = a ] && [ "$1" = an-argument ]
	END
	chmod +x "$T/bin/ready-or-not"
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		env PATH=$T/bin:/usr/bin:/bin
		env FLAG=$T/flag
		readiness exec ready-or-not an-argument
		times 0 20ms 5s 1 1
	END
	supervise child
	until_ok is a/0 running
	touch "$T/flag"
	until_ok is a/0 ready
	rm "$T/flag"
	until_ok is a/0 running
}

@test "startup holds the others back, and a worker that never starts up is restarted" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		backoff 10ms 20ms
		grace 1s
		liveness exec /bin/false
		times 0 10ms 1s 1 1
		startup exec /bin/false
		times 0 20ms 1s 1 5
		worker b
		arg $HELPER
		arg wait
		liveness exec /usr/bin/test -e $T/live
		times 0 20ms 1s 1 1
		startup exec /usr/bin/test -e $T/started
		times 0 20ms 1s 1 1000000
	END
	supervise child
	until_ok at_least a/0 restarts 1
	[ "$(figure b/0 restarts)" = 0 ]
	touch "$T/live" "$T/started"
	until_ok is b/0 ready
	[ "$(figure b/0 restarts)" = 0 ]
}

@test "the liveness port answers while the init turns, and not while it doesn't" {
	plan_of a.plan <<-END
		liveness-port $PORT
		worker a
		arg $HELPER
		arg wait
	END
	for how in pid1 child; do
		supervise $how
		until_ok "$REEVE" --probe http 127.0.0.1 "$PORT" / 5000
		kill -STOP "$INIT"
		run "$REEVE" --probe http 127.0.0.1 "$PORT" / 20000
		[ "$status" -eq 1 ]
		kill -CONT "$INIT"
		until_ok "$REEVE" --probe http 127.0.0.1 "$PORT" / 5000
		kill -TERM "$INIT"
		expect_code 0
	done
}
