#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031 # every test is a process of its own
# Cases in which other inits lose a signal, a child or their nerve.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

@test "no SIGTERM of 200 in the first milliseconds of a supervised start is lost" {
	plan_of a.plan <<-END
		exit-on-term 143
		worker a
		arg $HELPER
		arg wait
		replicas 3
	END
	export REEVE_SOCKET=$T/socket
	"$HELPER" early 100 pid1 143 "$REEVE" run --plan "$T/a.plan" 2>"$T/err"
	"$HELPER" early 100 child 143 "$REEVE" run --plan "$T/a.plan" 2>"$T/err"
}

@test "three TERMs and an INT are one drain signal to the worker" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg count
		arg 15
		arg 2
		arg $T/ready
		arg $T/count
		grace 700ms
	END
	supervise pid1
	until_ok file_there "$T/ready"
	for signo in TERM TERM TERM INT; do
		kill -$signo "$INIT"
	done
	ended
	[ "$(<"$T/count")" = 1 ]
}

@test "secondTerm: kill ends the wait for a worker that takes too long" {
	plan_of a.plan <<-END
		second-term kill
		worker a
		arg $HELPER
		arg count
		arg 15
		arg 2
		arg $T/ready
		arg $T/count
		grace 1h
	END
	supervise pid1
	until_ok file_there "$T/ready"
	kill -TERM "$INIT"
	until_ok grep -qx 1 "$T/count"
	kill -TERM "$INIT"
	ended
}

@test "a worker that is stopped by SIGSTOP drains all the same" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg drain
		arg $T/ready
		arg $T/mark
		arg 10
		grace 20s
	END
	supervise child
	until_ok file_there "$T/ready"
	kill -STOP "$(<"$T/ready")"
	kill -TERM "$INIT"
	expect_code 0
	[ -e "$T/mark" ]
}

@test "with 400 process numbers that are used up again and again, nobody else is ever signalled" {
	needs_root
	plan_of a.plan <<-END
		worker victims
		arg $HELPER
		arg count
		arg 15
		arg 1000
		arg $T/ready
		arg $T/count
		grace 1s
		worker churn
		arg /bin/sh
		arg -c
		arg rm -f $T/done; exec '$HELPER' orphans 100 $T/done
		liveness exec /usr/bin/test ! -e $T/done
		times 0 10ms 1s 1 1
		grace 1s
		backoff 1ms 1ms
	END
	export REEVE_SOCKET=$T/socket
	"${PID1[@]}" sh -c "echo 400 >/proc/sys/kernel/pid_max;
		exec '$REEVE' run --plan '$T/a.plan'" 3>&- 2>"$T/err" &
	TOP=$!
	until_ok file_there "$T/done"
	INIT=$(child_of "$TOP")
	LAUNCHED+=("$INIT")
	until_ok at_least churn/0 restarts 5
	[ ! -e "$T/count" ]
	is victims/0 ready
	[ "$(figure victims/0 restarts)" = 0 ]
	kill -TERM "$INIT"
	ended
	[ "$(<"$T/count")" = 1 ]
}

@test "no descriptor is lost over many starts" {
	needs_root
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg exit
		arg 1
		backoff 1ms 1ms
		replicas 3
		worker b
		arg $HELPER
		arg wait
		readiness exec /bin/true
		times 0 5ms 1s 1 1
		replicas 3
	END
	supervise child 2>"$T/err"
	until_ok at_least a/0 restarts 5
	descriptors() { find "/proc/$INIT/fd" -mindepth 1 | wc -l; }
	local before most=0 n
	before=$(descriptors)
	until_ok at_least a/0 restarts 25
	for _ in {1..20}; do
		n=$(descriptors)
		((n > most)) && most=$n
	done
	# what comes and goes with starts and probes under way
	((most <= before + 24)) || { echo "$before then $most"; false; }
	kill -TERM "$INIT"
	expect_code 0
}

@test "when no process can be made, that is no crash of the worker, and the others go on" {
	needs_root
	local dir
	dir=$(mktemp -d)
	chmod 777 "$dir"
	cp "$REEVE" "$HELPER" "$dir"
	printf '%s\n' 'logs none' 'worker a' "arg $dir/helper" 'arg wait' 'replicas 12' |
		"$PLAN" "$dir/plan"
	chmod 644 "$dir/plan"
	export REEVE_SOCKET=$dir/socket
	setpriv --reuid 23456 --regid 23456 --clear-groups prlimit --nproc=6 \
		"$dir/reeve" run --plan "$dir/plan" 3>&- 2>"$T/err" &
	TOP=$!
	INIT=$!
	LAUNCHED+=("$INIT")
	short() { "$CTL" show | grep -q 'why no process could be made'; }
	until_ok worker_has a running 5
	until_ok short
	for i in 0 1; do
		[ "$(figure a/$i restarts)" = 0 ]
	done
	"$CTL" live
	kill -TERM "$INIT"
	expect_code 0
	rm -r "$dir"
}

@test "with too few descriptors for so many captured workers it says so, with numbers" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		replicas 200
	END
	export REEVE_SOCKET=$T/socket
	run timeout -k 1 10 prlimit --nofile=128:128 "$REEVE" run --plan "$T/a.plan"
	[ "$status" -ne 0 ]
	[ "$status" -ne 124 ]
	[[ $output == *128* ]]
}

@test "SIGHUP without an operator ends nothing" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		arg $T/ready
	END
	supervise pid1
	until_ok file_there "$T/ready"
	until_ok is a/0 ready
	kill -HUP "$INIT"
	"$CTL" live
	is a/0 ready
	[ "$(figure a/0 restarts)" = 0 ]
	kill -TERM "$INIT"
	expect_code 0
}

@test "frozen for a while, it fires no deadline that it slept through" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg drain
		arg $T/ready
		arg $T/mark
		arg 100
		grace 2s
	END
	supervise child
	until_ok file_there "$T/ready"
	worker=$(<"$T/ready")
	kill -STOP "$worker" "$INIT"
	kill -TERM "$INIT"
	# longer than the grace: the one wait in these tests that is for time
	read -rt 3 <> <(:) || :
	kill -CONT "$INIT" "$worker"
	expect_code 0
	[ -e "$T/mark" ]
}
