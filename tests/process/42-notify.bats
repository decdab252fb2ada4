#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What workers say of themselves (docs/notify.md): NOTIFY_SOCKET, a newline on a
# descriptor, the watchdog, more time to end.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() {
	finish
}

# worker NOTIFY…: one whose every word the test tells it (helper says).
worker() {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg says
		arg $T/orders
		arg $T/up
		grace ${GRACE:-60s}
		backoff 10ms 10ms
		notify $*
	END
}
tell() { printf '%s\n' "$*" >"$T/orders"; }
# What it says, as the init tells it.
says() { [[ $("$CTL" show | sed -n 's/^says a\/0 //p') == "$1" ]]; }
waits() { "$CTL" show | sed -n 's/^instance a\/0 .* waits=//p'; }
# Everything that it was told is done and heard.
heard() {
	rm -f "$T/heard"
	tell barrier "$T/heard"
	until_ok file_there "$T/heard"
}
logged() { grep -q "$1" "$T/err"; }

start() {
	supervise "${1:-child}" a.plan "${@:2}" 2>"$T/err"
	until_ok file_there "$T/up"
}

@test "ready when it says READY=1, not before; its STATUS is shown; STOPPING takes it back" {
	for how in pid1 child; do
		rm -f "$T/up" "$T/orders"
		worker message
		start $how
		tell send 'STATUS=loading the model'
		heard
		is a/0 running
		until_ok says "loading the model"
		[ "$(waits)" = "has not said READY=1" ]
		tell send 'READY=1|STATUS=at work'
		heard
		is a/0 ready
		says "at work"
		[ -z "$(waits)" ]
		# harmless, and a second time
		tell send 'RELOADING=1|MONOTONIC_USEC=12345'
		tell send 'READY=1'
		heard
		is a/0 ready
		tell send 'STOPPING=1'
		heard
		is a/0 running
		tell exit 0
		until_ok at_least a/0 restarts 1
		# the next one has to say it itself
		until_ok is a/0 running
		run ! says "at work"
		kill -KILL "$INIT"
		ended
	done
}

@test "without notify nothing is set, nothing of the supervisor's own leaks, and nobody is heard" {
	plan_of a.plan <<-END
		worker a
		arg /bin/sh
		arg -c
		arg env >$T/env; exec $HELPER wait $T/up
		worker b
		arg $HELPER
		arg says
		arg $T/orders
		arg $T/b
		notify none 3 30s
	END
	export NOTIFY_SOCKET=/nowhere WATCHDOG_USEC=1 WATCHDOG_PID=1 LISTEN_PID=1 LISTEN_FDS=2
	start child
	run ! grep -E '^(NOTIFY_SOCKET|WATCHDOG_|LISTEN_)' "$T/env"
	until_ok file_there "$T/b"
	# `none`: ready without a word, but heard
	until_ok is b/0 ready
	pid=$(figure b/0 pid)
	tr '\0' '\n' <"/proc/$pid/environ" >"$T/env"
	grep -qx 'NOTIFY_SOCKET=@.*' "$T/env"
	grep -qx WATCHDOG_USEC=30000000 "$T/env"
	socket=$(sed -n s/^NOTIFY_SOCKET=//p "$T/env")
	# from outside of every worker: nobody
	python3 - "$socket" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.sendto(b"STATUS=forged\nWATCHDOG=trigger", "\0" + sys.argv[1][1:])
	END
	tell stray 'STATUS=from another session'
	heard
	run ! grep -q '^says' <("$CTL" show)
	[ "$(figure b/0 pid)" = "$pid" ]
	kill -KILL "$INIT"
	ended
}

@test "systemd-notify of systemd, from a shell script" {
	plan_of a.plan <<-END
		worker a
		arg /bin/bash
		arg -c
		arg systemd-notify --ready --status='by systemd-notify'; >$T/up; exec $HELPER wait
		notify message
	END
	start child
	until_ok is a/0 ready
	until_ok says "by systemd-notify"
	kill -TERM "$INIT"
	expect_code 0
}

@test "with a readinessProbe both are needed, whichever comes first" {
	for first in probe word; do
		rm -f "$T/up" "$T/orders" "$T/ok" "$T/seen"
		worker message
		plan_of a.plan <<-END
			worker a
			arg $HELPER
			arg says
			arg $T/orders
			arg $T/up
			notify message
			readiness exec /bin/sh -c >$T/seen;test\${IFS}-e\${IFS}$T/ok
			times 0 20ms 5s 1 1
		END
		start child
		if [ $first = probe ]; then
			: >"$T/ok"
			rm -f "$T/seen"
			until_ok file_there "$T/seen"
			rm -f "$T/seen"
			until_ok file_there "$T/seen"
			is a/0 running
			tell send READY=1
		else
			tell send READY=1
			heard
			is a/0 running
			# not even for a moment, until the next probe
			run ! logged 'worker=a/0 event=ready'
			: >"$T/ok"
		fi
		until_ok is a/0 ready
		# and the probe takes it back
		rm -f "$T/ok"
		until_ok is a/0 running
		: >"$T/ok"
		until_ok is a/0 ready
		kill -KILL "$INIT"
		ended
	done
}

@test "a newline on its descriptor makes it ready; the end without one doesn't" {
	worker newline 7
	start child
	is a/0 running
	tell write 7 'not yet'
	tell send 'STATUS=may speak too'
	heard
	is a/0 running
	[ "$(waits)" = "has not written a newline to its descriptor of readiness" ]
	tell write 7 '; now|'
	until_ok is a/0 ready
	says "may speak too"
	# only now is nothing of it left open here
	files=$(open_files)
	tell close 7
	heard
	is a/0 ready
	[ "$(open_files)" = "$files" ]
	rm -f "$T/up"
	tell exit 1
	until_ok file_there "$T/up"
	tell close 7
	until_ok logged notify.no-newline
	is a/0 running
	kill -KILL "$INIT"
	ended
}

@test "a watchdog that is missed: SIGABRT, counted as a probe's kill; one that is kept: nothing" {
	plan_of a.plan <<-END
		worker lost
		arg $HELPER
		arg wait
		backoff 10ms 10ms
		notify none 3 50ms
		worker deaf
		arg /bin/sh
		arg -c
		arg trap '' ABRT; exec $HELPER wait
		backoff 10ms 10ms
		grace 100ms
		notify none 3 50ms
		worker kept
		arg /bin/bash
		arg -c
		arg systemd-notify READY=1; while :; do systemd-notify WATCHDOG=1; sleep 0.05; done
		notify message 3 30s
		worker unready
		arg $HELPER
		arg wait
		notify message 3 1ms
	END
	supervise child 2>"$T/err"
	until_ok at_least lost/0 after-probe 3
	logged "watchdog.missed.*worker=lost/0.*SIGABRT"
	logged "worker.exited.*worker=lost/0.*SIGABRT.*sent by reeve"
	[ "$(figure lost/0 after-crash)" = 0 ]
	until_ok at_least deaf/0 after-probe 1
	logged "worker.exited.*worker=deaf/0.*SIGKILL.*sent by reeve"
	until_ok is kept/0 ready
	[ "$(figure kept/0 restarts)" = 0 ]
	# whoever has not said READY=1 is a startupProbe's business
	[ "$(figure unready/0 restarts)" = 0 ]
	is unready/0 running
	kill -TERM "$INIT"
	expect_code 0
}

@test "WATCHDOG=trigger restarts it at once, once it is watched" {
	worker message 3 1h
	start child
	tell send 'WATCHDOG=trigger'
	heard
	# not watched yet
	is a/0 running
	tell send READY=1
	heard
	is a/0 ready
	rm -f "$T/up"
	tell send 'WATCHDOG=trigger'
	until_ok at_least a/0 after-probe 1
	until_ok file_there "$T/up"
	until_ok logged "missed its watchdog"
	kill -KILL "$INIT"
	ended
}

@test "EXTEND_TIMEOUT_USEC: a worker that needs longer than its grace gets it, one that doesn't ask doesn't" {
	for ask in yes no; do
		rm -f "$T/up" "$T/orders" "$T/later"
		plan_of a.plan <<-END
			worker a
			arg $HELPER
			arg says
			arg $T/orders
			arg $T/up
			grace 1s
			notify message
			worker later
			arg $HELPER
			arg ignore-term
			arg $T/later
			grace 2s
		END
		start child
		until_ok file_there "$T/later"
		tell send READY=1
		heard
		# running, it means nothing
		tell send EXTEND_TIMEOUT_USEC=3600000000
		heard
		kill -TERM "$INIT"
		until_ok is a/0 stopping
		if [ $ask = yes ]; then
			tell send EXTEND_TIMEOUT_USEC=3600000000
			until_ok logged worker.extended
			# shorter than what it has: nothing
			tell send EXTEND_TIMEOUT_USEC=1
			until_ok logged 'worker=later/0 event=kill'
			is a/0 stopping
			tell exit 0
			expect_code 0
			run ! grep -q 'worker=a/0 event=kill' "$T/err"
		else
			expect_code 0
			grep -q 'worker=a/0 event=kill' "$T/err"
			run ! grep -q worker.extended "$T/err"
		fi
	done
}

@test "an extension ends 2 s before the platform's deadline" {
	GRACE=60s worker message
	start child --grace 4s
	kill -TERM "$INIT"
	until_ok is a/0 stopping
	tell send EXTEND_TIMEOUT_USEC=3600000000
	expect_code 0
	# 90 % of 4 s is later than 4 s - 2 s: nothing to be had
	run ! grep -q worker.extended "$T/err"
	grep -q event=kill "$T/err"
	rm -f "$T/up" "$T/orders"
	start child --grace 30s
	kill -TERM "$INIT"
	until_ok is a/0 stopping
	tell send EXTEND_TIMEOUT_USEC=3600000000
	until_ok logged worker.extended
	more=$(sed -n 's/.*worker.extended.*: \([0-9]*\) ms more.*/\1/p' "$T/err" | tail -n 1)
	((more > 20000 && more <= 28000))
	tell exit 0
	expect_code 0
}

@test "hostile words: too long, no UTF-8, control characters, descriptors; nothing leaks, nobody else suffers" {
	worker message
	start child
	files=$(open_files)
	tell garbage 2000
	heard
	"$CTL" show | grep '^says a/0' >"$T/said"
	run ! grep -qP '[^\x20-\x7e]' "$T/said"
	tell send 'STATUS=before'
	tell garbage 8000
	for ((i = 0; i < 20; i++)); do tell fds 253; done
	heard
	says "with descriptors"
	[ "$(open_files)" = "$files" ]
	tell send 'STATUS='
	tell send '=|READY|READY=|READY=10|ready=1||STATUS'
	tell send 'MAINPID=1|FDSTOREREMOVE=1|EXTEND_TIMEOUT_USEC=99999999999999999999|EXTEND_TIMEOUT_USEC=-1'
	heard
	until_ok says ""
	is a/0 running
	[ "$(grep -c notify.refused "$T/err")" = 1 ]
	tell send READY=1
	heard
	is a/0 ready
	kill -KILL "$INIT"
	ended
}

@test "descriptors that find no room: none of them stays, and the words still count" {
	worker message
	ulimit -n 280
	start child
	files=$(open_files)
	for ((i = 0; i < 5; i++)); do tell fds 253; done
	heard
	[ "$(open_files)" = "$files" ]
	tell send READY=1
	heard
	is a/0 ready
	kill -KILL "$INIT"
	ended
}

@test "all of it outlives a fault of the init: socket, status, readiness, newline, watchdog, more time" {
	worker message 3 1h
	start pid1
	tell send 'STATUS=before the fault'
	heard
	kill -SEGV "$INIT"
	until_ok logged init.recovered
	until_ok says "before the fault"
	is a/0 running
	tell send READY=1
	heard
	is a/0 ready
	kill -TERM "$INIT"
	until_ok is a/0 stopping
	tell send EXTEND_TIMEOUT_USEC=3600000000
	until_ok logged worker.extended
	tell exit 0
	expect_code 0
	rm -f "$T/up" "$T/orders"
	worker newline 3 1s
	start pid1
	tell write 3 'half a line'
	heard
	kill -SEGV "$INIT"
	until_ok logged init.recovered
	is a/0 running
	tell write 3 '|'
	until_ok is a/0 ready
	# nobody keeps the watchdog: it is missed after the fault too
	until_ok at_least a/0 after-probe 1
	kill -KILL "$INIT"
	ended
}

# fence LANGUAGE: the first such block of the page.
fence() {
	# shellcheck disable=SC2016 # no command: how a block begins
	awk -v mark='```' -v kind="$1" '$0 == mark kind { on = 1; next }
		index($0, mark) == 1 { if (on) exit } on' "$REEVE_ROOT/docs/notify.md"
}
status_says() { "$REEVE" status | grep -q "$1"; }

@test "the example of docs/notify.md" {
	cd "$T"
	fence python >worker.py
	fence yaml >reeve.yaml
	sed -i "s|/app/|$T/|" reeve.yaml
	export REEVE_SOCKET=$T/socket
	launch child run -f reeve.yaml 2>"$T/err"
	until_ok status_says 'ready.*says: at work'
	until_ok status_says '1 of 1 ready'
	"$REEVE" status --output json |
	    jq -e '.workers[0].instances[0] | .status_text == "at work" and .restart_counts.probe == 0'
	kill -TERM "$INIT"
	expect_code 0
}

@test "a word of a process that its parent reaped before it was read is nobody's, and that is said" {
	worker message
	cat >"$T/by-another" <<-END
		import os, signal, socket
		child = os.fork()
		if child == 0:
		    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
		        s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
		    os._exit(0)
		os.waitpid(child, 0)
		open("$T/sent", "w").close()
		signal.pause()
	END
	plan_of a.plan <<-END
		worker a
		arg /bin/sh
		arg -c
		arg echo >$T/up; while [ ! -e $T/go ]; do sleep 0.05; done; exec python3 $T/by-another
		notify message
	END
	start
	kill -STOP "$INIT"
	touch "$T/go"
	until_ok file_there "$T/sent"
	kill -CONT "$INIT"
	until_ok logged notify.gone
	is a/0 running
	[[ $(waits) == "has not said READY=1 (somebody"* ]]
	kill -SEGV "$INIT"
	until_ok logged init.recovered
	[[ $(waits) == "has not said READY=1 (somebody"* ]]
}
