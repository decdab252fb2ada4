#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What an end is taken for, what it costs, and how restarts are spread
# (docs/design/init.md, "An instance's life").

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { drain_and_finish; }

# counts WORKER/REPLICA: its starts by what they came after, as "crash=2 …",
# without those that are 0.
counts() {
	"$CTL" show | awk -v who="$1" '$1 == "instance" && $2 == who {
		for (i = 4; i < NF; i++)
			if (sub(/^after-/, "", $i) && $(i + 1) > 0 && $i != "none")
				printf "%s%s=%s", n++ ? " " : "", $i, $(i + 1) }'
}
# one_of WORKER/REPLICA CLASS: it was started after one such end, and no other.
only() { [[ $(counts "$1") =~ ^$2=[0-9]+$ ]]; }

@test "a crash, a wrong configuration, a missing program and a clean end are counted apart" {
	plan_of a.plan <<-END
		worker crash
		arg $HELPER
		arg exit
		arg 3
		backoff 10ms 20ms
		worker config
		arg $HELPER
		arg exit
		arg 78
		backoff 10ms 20ms
		worker missing
		arg /nowhere/at/all
		backoff 10ms 20ms
		worker clean
		arg $HELPER
		arg exit
		arg 0
		backoff 10ms 20ms
		worker quiet
		arg $HELPER
		arg wait
	END
	supervise child 2>"$T/err"
	for worker in crash config missing clean; do
		until_ok at_least $worker/0 restarts 2
	done
	only crash/0 crash
	only config/0 config
	only missing/0 config
	only clean/0 clean
	[ "$(counts quiet/0)" = "" ]
}

@test "a probe's kill is counted as one, whatever the worker ends with" {
	plan_of a.plan <<-END
		worker a
		arg /bin/sh
		arg -c
		arg trap 'exit 0' TERM; while :; do sleep 0.02; done
		backoff 10ms 20ms
		grace 5s
		liveness exec /bin/false
		times 0 20ms 5s 1 1
	END
	supervise child 2>"$T/err"
	until_ok at_least a/0 restarts 2
	only a/0 probe
}

@test "an ordered restart has no penalty: it is no failure, and starts at once what waits" {
	plan_of a.plan <<-END
		worker waits
		arg $HELPER
		arg exit
		arg 3
		backoff 1h 2h
		worker runs
		arg $HELPER
		arg wait
		backoff 1h 2h
	END
	supervise child 2>"$T/err"
	until_ok is waits/0 backoff
	until_ok is runs/0 ready
	"$CTL" restart runs 0
	"$CTL" restart waits 0
	until_ok is runs/0 ready
	until_ok at_least waits/0 after-ordered 1
	[ "$(counts runs/0)" = "ordered=1" ]
	until_ok is waits/0 backoff
	[ "$(counts waits/0)" = "ordered=1" ]
	[ "$(figure waits/0 restarts)" = 0 ]
}

# 50 that crash together, in a world in which only five may start again.
herd() {
	plan_of a.plan <<-END
		worker a
		arg /bin/sh
		arg -c
		arg [ -e $T/second\$REEVE_REPLICA ] && exec $HELPER wait; until [ -e $T/crash ]; do sleep 0.05; done; >$T/second\$REEVE_REPLICA; exit 3
		replicas 50
		backoff $1 $1
		limit $2
	END
	supervise "${3:-child}" 2>"$T/err"
	PATIENCE=60 until_ok worker_has a ready 50
	: >"$T/crash"
}
in_state() { "$CTL" show | awk -v s="$1" '$1 == "instance" && $3 == s { n++ } END { print n + 0 }'; }
so_many_wait() { [ "$(in_state backoff)" = "$1" ]; }

@test "50 replicas that crash together: so many start at once, the rest in their turn; an order doesn't wait" {
	for backoff in 10ms 0s; do
		rm -f "$T"/second* "$T/crash"
		herd $backoff "5 1h"
		PATIENCE=60 until_ok so_many_wait 45
		[ "$(restarted)" = 5 ]
		# first starts and what is ordered have no turn
		"$CTL" restart a
		PATIENCE=60 until_ok worker_has a ready 50
		[ "$(restarted)" = 5 ]
		kill -TERM "$INIT"
		expect_code 0
	done
}

@test "turns outlive a fault of the init, and come one after another" {
	herd 10ms "20 4s" pid1
	PATIENCE=60 until_ok so_many_restarted 20
	kill -SEGV "$INIT"
	PATIENCE=60 until_ok so_many_restarted 50
	PATIENCE=60 until_ok worker_has a ready 50
	grep -q init.recovered "$T/err"
}

@test "without a limit all start again at once" {
	herd 0s "0 0s"
	PATIENCE=60 until_ok so_many_restarted 50
	PATIENCE=60 until_ok worker_has a ready 50
}

# limited LIMIT: the herd again, by a manifest.
limited() {
	cat >"$T/new.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		workers:
		  - name: a
		    command: [/bin/sh, -c, "[ -e $T/second\$REEVE_REPLICA ] && exec $HELPER wait; until [ -e $T/crash ]; do sleep 0.05; done; >$T/second\$REEVE_REPLICA; exit 3"]
		    replicas: 8
		    restart: {backoff: {first: 10ms, cap: 10ms}, startLimit: $1}
	END
	mv "$T/new.yaml" "$T/reeve.yaml"
}

@test "a limit that the plan changes or takes away holds at once for those that wait" {
	export REEVE_SOCKET=$T/socket
	limited '2 per 1h'
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok worker_has a ready 8
	: >"$T/crash"
	until_ok so_many_wait 6
	[ "$(restarted)" = 2 ]
	limited '3 per 1h'
	"$REEVE" reload -f "$T/reeve.yaml"
	until_ok so_many_wait 3
	[ "$(restarted)" = 5 ]
	limited off
	"$REEVE" reload -f "$T/reeve.yaml"
	until_ok worker_has a ready 8
	[ "$(restarted)" = 8 ]
}

late_says() { "$CTL" show | grep '^instance late/0 backoff' | grep -q "$1"; }

@test "no room for a process: no crash is counted, status says what is full, and it starts when there is room" {
	needs_root
	# another user gets neither here nor into the folders of bats
	local place
	place=$(mktemp -d)
	chmod 777 "$place"
	plan_of a.plan <<-END
		worker hog
		arg /bin/sleep
		arg 1000
		replicas 10
		worker late
		arg /bin/sleep
		arg 1000
		replicas 3
	END
	export REEVE_SOCKET=$place/socket
	install -m 644 "$T/a.plan" "$place/a.plan"
	install -m 755 "$REEVE" "$place/reeve"
	# the init, its logger and ten: more than this user may have
	setpriv --reuid 61357 --regid 61357 --clear-groups \
	    bash -c 'ulimit -u 11; exec "$@"' - "$place/reeve" run --plan "$place/a.plan" 2>"$T/err" 3>&- &
	INIT=$!
	export TOP=$INIT
	LAUNCHED+=("$INIT")
	until_ok late_says 'this user may have 11 (RLIMIT_NPROC).* zombies'
	"$CTL" stop hog
	until_ok worker_has late ready 3
	[ "$(counts late/0)" = "" ]
	[ "$(figure late/0 restarts)" = 0 ]
	kill -TERM "$INIT"
	expect_code 0
	rm -r "$place"
}
