#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031 # every test is a process of its own
# Faults of the init itself. A SIGSEGV that somebody sends comes through, as
# PID 1 too, because there is a handler. From within: builds for tests fault on
# real-time signals 41… (supervisor/init/recover.h, enum recover_point).

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

STACK=41 ASSERT=42 CLONED=43 REAPED=44 DRAIN=45 STORE=46

# How many faults the init says that it had.
faults() { grep -c 'event=init.recovered\|init\.recovered' "$T/err"; }
faulted() { (($(faults) >= $1)); }
# fault SIGNAL: one, and it is over.
fault() {
	local before
	before=$(faults) || :
	kill "-$1" "$INIT"
	until_ok faulted $((before + 1))
	until_ok "$CTL" live
}
# More than one worker of a name: never.
running() { pgrep -fc "^$HELPER wait $1\$" || :; }

two_workers() {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		arg $T/ready
		worker b
		arg $HELPER
		arg exit
		arg 3
		backoff 100ms 100ms
	END
}

@test "a fault in the init: it goes on in the same process, with the same children" {
	two_workers
	for how in pid1 child; do
		rm -f "$T/ready"
		supervise $how 2>"$T/err"
		until_ok file_there "$T/ready"
		until_ok is a/0 ready
		pid=$(figure a/0 pid)
		fault SEGV
		alive "$INIT"
		is_reeve "$INIT"
		[ "$(figure a/0 pid)" = "$pid" ]
		before=$(figure b/0 restarts)
		until_ok at_least b/0 restarts $((before + 1))
		[ "$(figure a/0 pid)" = "$pid" ]
		kill -TERM "$INIT"
		expect_code 0
	done
}

@test "every kind of fault: abort, bus, illegal, arithmetic, store, assertion, a full stack" {
	needs_faults
	export REEVE_TEST_CRASH_AGAIN_OK=1
	two_workers
	supervise pid1 2>"$T/err"
	until_ok is a/0 ready
	pid=$(figure a/0 pid)
	for signo in ABRT BUS ILL FPE "$STORE" "$ASSERT" "$STACK"; do
		fault "$signo"
		[ "$(figure a/0 pid)" = "$pid" ]
	done
	grep -q 'point != POINT_ASSERT' "$T/err"
	kill -TERM "$INIT"
	expect_code 0
}

@test "a hundred faults in a row: the same workers, no descriptor more" {
	needs_faults
	export REEVE_TEST_CRASH_AGAIN_OK=1
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		arg $T/marked
		replicas 8
		worker b
		arg $HELPER
		arg exit
		arg 0
		backoff 10ms 10ms
	END
	supervise pid1 2>"$T/err"
	until_ok worker_has a ready 8
	before=$("$CTL" show | awk '$2 ~ /^a\// { print $2, $5 }' | sort)
	fault SEGV
	files=$(open_files)
	for ((i = 0; i < 99; i++)); do
		fault SEGV
	done
	[ "$("$CTL" show | awk '$2 ~ /^a\// { print $2, $5 }' | sort)" = "$before" ]
	# b comes and goes: its pidfd and report
	(($(open_files) <= files + 4))
	at_least b/0 restarts 2
	# a worker that is started now has nothing of ours
	"$CTL" restart a 0
	until_ok worker_has a ready 8
	for pid in $(pgrep -fx "$HELPER wait $T/marked"); do
		[ "$(echo /proc/"$pid"/fd/*)" = "$(echo /proc/"$pid"/fd/{0,1,2})" ]
	done
	no_zombies "$INIT" || until_ok no_zombies "$INIT"
	kill -TERM "$INIT"
	expect_code 0
}

# What is there of a worker: nobody twice, nobody else.
replicas_of() { pgrep -P "$INIT" -fx "$HELPER wait $1" | while read -r pid; do
	tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep '^REEVE_REPLICA'
done | sort; }
all_once() { [[ $(replicas_of "$T/c") == "$(printf 'REEVE_REPLICA=%s\n' 0 1 2 3)" ]]; }

@test "faults at random moments under load: no worker is lost, none is there twice (REEVE_FAULTS=N)" {
	needs_faults
	export REEVE_TEST_CRASH_AGAIN_OK=1
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		replicas 30
		worker b
		arg $HELPER
		arg exit
		arg 1
		replicas 4
		backoff 10ms 10ms
		worker c
		arg $HELPER
		arg wait
		arg $T/c
		replicas 4
	END
	supervise pid1 2>"$T/err"
	until_ok worker_has a ready 30
	until_ok worker_has c ready 4
	before=$("$CTL" show | awk '$2 ~ /^a\// { print $2, $5 }' | sort)
	for ((i = 0; i < ${REEVE_FAULTS:-15}; i++)); do
		# in the middle of restarts and of what was ordered
		"$CTL" restart c $((i % 4)) 3>&- &
		read -rt "0.0$((RANDOM % 6))$((RANDOM % 10))" <> <(:) || :
		kill -SEGV "$INIT"
		# its connection may have ended with the image
		wait $! || :
		until_ok faulted $((i + 1))
		until_ok worker_has c ready 4
		until_ok all_once
	done
	[ "$("$CTL" show | awk '$2 ~ /^a\// { print $2, $5 }' | sort)" = "$before" ]
	restarts=$(figure b/0 restarts)
	until_ok at_least b/0 restarts $((restarts + 2))
	"$CTL" stop b
	until_ok worker_has b running 0
	until_ok no_zombies "$INIT"
	kill -TERM "$INIT"
	expect_code 0
}

@test "a fault between a clone and its record: the worker runs once" {
	needs_faults
	export REEVE_TEST_CRASH_AGAIN_OK=1
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		arg $T/ready
		backoff 10ms 10ms
	END
	for how in pid1 child; do
		rm -f "$T/ready"
		supervise $how 2>"$T/err"
		until_ok is a/0 ready
		kill "-$CLONED" "$INIT"
		old=$(figure a/0 pid)
		"$CTL" restart a
		until_ok faulted 1
		until_ok is a/0 ready
		[ "$(figure a/0 pid)" != "$old" ]
		[ "$(running "$T/ready")" = 1 ]
		"$CTL" stop a
		until_ok is a/0 stopped
		[ "$(running "$T/ready")" = 0 ]
		kill -TERM "$INIT"
		expect_code 0
	done
}

@test "a fault between reaping a worker and its record: it is started again" {
	needs_faults
	export REEVE_TEST_CRASH_AGAIN_OK=1
	two_workers
	supervise pid1 2>"$T/err"
	until_ok is a/0 ready
	pid=$(figure a/0 pid)
	kill "-$REAPED" "$INIT"
	until_ok faulted 1
	restarts=$(figure b/0 restarts)
	until_ok at_least b/0 restarts $((restarts + 2))
	[ "$(figure a/0 pid)" = "$pid" ]
	kill -TERM "$INIT"
	expect_code 0
}

@test "a fault between reaping a worker and its record: how it ended is known" {
	needs_faults
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		arg $T/ready
		restart never
	END
	supervise child 2>"$T/err"
	until_ok is a/0 ready
	pid=$(figure a/0 pid)
	kill "-$REAPED" "$INIT"
	"$CTL" live # it has read that
	kill -USR1 "$pid"
	# given up: the exit code is the worker's
	expect_code 138
	faulted 1
	grep -q "worker.exited worker=a/0 pid=$pid .*SIGUSR1" "$T/err"
}

@test "a fault in the middle of the beginning drain: the rest is asked to end too" {
	needs_faults
	plan_of a.plan <<-END
		exit-on-term 143
		worker a
		arg $HELPER
		arg wait
		replicas 4
	END
	for how in pid1 child; do
		supervise $how 2>"$T/err"
		until_ok worker_has a ready 4
		kill "-$DRAIN" "$INIT"
		"$CTL" live # it has read that
		kill -TERM "$INIT"
		expect_code 143
		faulted 1
		run ! grep -q unkillable "$T/err"
	done
}

@test "a fault during a drain: the grace goes on, and its end is kept" {
	plan_of a.plan <<-END
		exit-on-term 143
		worker a
		arg $HELPER
		arg ignore-term
		arg $T/ready
		grace 2s
	END
	supervise pid1 2>"$T/err"
	until_ok file_there "$T/ready"
	until_ok is a/0 ready
	kill -TERM "$INIT"
	until_ok is a/0 stopping
	fault SEGV
	is a/0 stopping
	expect_code 143
}

@test "two faults within ten seconds: everything ends in order, exit code 70" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg count
		arg 15
		arg 1
		arg $T/ready
		arg $T/count
		grace 1s
		worker b
		arg $HELPER
		arg ignore-term
		arg $T/stubborn
		grace 1s
	END
	for how in pid1 child; do
		rm -f "$T/ready" "$T/count" "$T/stubborn"
		supervise $how 2>"$T/err"
		until_ok file_there "$T/ready"
		until_ok file_there "$T/stubborn"
		fault SEGV
		kill -SEGV "$INIT"
		expect_code 70
		[ "$(<"$T/count")" = 1 ]
		[ "$(pgrep -fc "^$HELPER ignore-term $T/stubborn\$")" = 0 ]
		grep -q init.crashed "$T/err"
	done
}


@test "operator, logger and their wires outlive faults; no line is lost, none comes twice" {
	needs_faults
	export REEVE_TEST_CRASH_AGAIN_OK=1 REEVE_SOCKET=$T/socket
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		workers:
		  - name: a
		    command: [$HELPER, wait]
		    replicas: 2
		  - name: talker
		    command:
		      - /bin/sh
		      - -c
		      - "i=0; while :; do i=\$((i+1)); echo line \$i; sleep 0.01; done"
	END
	for how in pid1 child; do
		launch $how run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
		until_ok worker_has a ready 2
		until_ok operator_runs
		until_ok more_lines 20
		before=$(pids)
		children=$(word_of_init 5)/$(word_of_init 7)
		for ((i = 0; i < 10; i++)); do
			fault SEGV
		done
		[ "$(pids)" = "$before" ]
		until_ok operator_runs
		[ "$(word_of_init 5)/$(word_of_init 7)" = "$children" ]
		until_ok more_lines $(($(lines_of) + 20))
		# the operator is heard, and hears
		"$REEVE" status >"$T/status"
		sed -i 's/replicas: 2/replicas: 3/' "$T/reeve.yaml"
		"$REEVE" reload
		until_ok worker_has a ready 3
		grep '^line ' "$T/out" | head -n -1 | awk '$2 != NR { exit 1 }'
		# the pipes are the init's too: another logger reads on
		kill -KILL "$(pgrep -P "$INIT" -f '^reeve --logger')"
		until_ok more_lines $(($(lines_of) + 20))
		kill -TERM "$INIT"
		expect_code 0
		sed -i 's/replicas: 3/replicas: 2/' "$T/reeve.yaml"
	done
}

@test "what may be executed is as before the fault" {
	export REEVE_SOCKET=$T/socket
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		workers:
		  - name: a
		    command: [$HELPER, wait]
	END
	launch pid1 run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok worker_has a ready 1
	until_ok operator_runs
	fault SEGV
	sed -i "s,$HELPER,/bin/sh," "$T/reeve.yaml"
	"$REEVE" reload || :
	until_ok grep -q "what is executed may not change" "$T/err"
	kill -TERM "$INIT"
	expect_code 0
}

@test "probes go on where they were" {
	needs_faults
	export REEVE_TEST_CRASH_AGAIN_OK=1
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		readiness exec /usr/bin/test -e $T/well
		times 0 20ms 5s 1 1
	END
	supervise pid1 2>"$T/err"
	until_ok is a/0 running
	fault SEGV
	is a/0 running
	: >"$T/well"
	until_ok is a/0 ready
	fault SEGV
	is a/0 ready
	rm "$T/well"
	until_ok is a/0 running
	kill -TERM "$INIT"
	expect_code 0
}

@test "where it can't execute itself, without /proc: one fault ends everything in order" {
	needs_root
	needs_static
	mkdir "$T/root"
	cp "$REEVE" "$HELPER" "$T/root"
	plan_of root/a.plan <<-END
		worker a
		arg /helper
		arg count
		arg 15
		arg 1
		arg /ready
		arg /count
		grace 5s
	END
	for how in pid1 child; do
		rm -f "$T/root/ready" "$T/root/count"
		world=(chroot "$T/root")
		[[ $how == child ]] || world=(unshare -fp chroot "$T/root")
		"${world[@]}" /reeve run --plan /a.plan 2>"$T/err" 3>&- &
		TOP=$!
		INIT=$TOP
		ALSO+=("$TOP")
		until_ok file_there "$T/root/ready"
		[[ $how == child ]] || INIT=$(child_of "$TOP")
		kill -SEGV "$INIT"
		expect_code 70
		grep -q init.crashed "$T/err"
		# it was asked, and waited for
		[ "$(<"$T/root/count")" = 1 ]
	done
}
