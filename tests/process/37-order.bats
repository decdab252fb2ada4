#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Who starts after whom, what runs once before all, who is told last: the init
# by itself, on plans.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

# What instance WORKER/REPLICA waits for.
waits() { "$CTL" show | sed -n "s|^instance $1 .* waits=||p"; }
# shellcheck disable=SC2053 # a pattern
waits_like() { [[ $(waits "$1") == $2 ]]; }

# worker NAME SCRIPT: a shell that runs SCRIPT.
worker() {
	printf 'worker %s\narg /bin/sh\narg -c\narg %s\n' "$1" "$2"
}
# lives NAME: says by a file that it runs, and by another that it ended well.
lives() {
	echo "worker $1"
	printf 'arg %s\n' "$HELPER" drain "$T/ready-$1" "$T/end-$1" 50
}
hastened() { [[ $(grep -c 'drain.hastened' "$T/said") == "$1" ]]; }
log_is() { [[ $(tr '\n' ' ' <"$T/log") == "$1" ]]; }

@test "a worker waits until the one that it depends on is ready, and says so" {
	{
		lives proxy
		echo "readiness exec /bin/test -e $T/well"
		echo "times 0s 50ms 1s 1 1"
		lives app
		echo "after proxy ready"
	} | plan_of a.plan
	supervise pid1
	until_ok file_there "$T/ready-proxy"
	until_ok waits_like app/0 "waits for worker 'proxy' to be ready"
	is app/0 pending
	[ ! -e "$T/ready-app" ]
	touch "$T/well"
	until_ok is app/0 ready
	[ -z "$(waits app/0)" ]
	kill -TERM "$INIT"
	expect_code 0
}

@test "a worker that waits for a failed one never starts, and says why" {
	{
		worker migrate "exit 3"
		echo "restart never"
		lives app
		echo "after migrate completed"
	} | plan_of a.plan
	supervise child
	until_ok waits_like app/0 "waits for worker 'migrate' to complete; it has failed: exit code 3"
	[ ! -e "$T/ready-app" ]
	# mended and run again, it lets the other one go
	is migrate/0 finished
	kill -TERM "$INIT"
	expect_code 0
}

@test "start NAME runs a finished one again, and its success lets the others go" {
	{
		worker migrate "test -e $T/mended"
		echo "restart never"
		lives app
		echo "after migrate completed"
	} | plan_of a.plan
	supervise child
	until_ok waits_like app/0 "*it has failed: exit code 1"
	touch "$T/mended"
	"$CTL" start migrate
	until_ok is app/0 ready
	is migrate/0 finished
}

@test "the drain goes the other way round, each step with its own grace" {
	for how in pid1 child; do
		rm -f "$T"/{ready,end}-*
		{
			lives proxy
			lives app
			echo "after proxy started"
			echo "worker slow"
			printf 'arg %s\n' "$HELPER" drain "$T/ready-slow" "$T/end-slow" 300
			echo "after app ready"
		} | plan_of a.plan
		supervise $how
		until_ok is slow/0 ready
		until_ok file_there "$T/ready-slow"
		kill -TERM "$INIT"
		expect_code 0
		# ends are files: their times tell the order
		[ "$T/end-app" -nt "$T/end-slow" ]
		[ "$T/end-proxy" -nt "$T/end-app" ]
	done
}

@test "of a budget that is too short each step has its share: the last one still ends by itself" {
	{
		echo "budget 3s"
		lives proxy
		echo "grace 1s"
		echo "worker deaf"
		printf 'arg %s\n' "$HELPER" ignore-term "$T/ready-deaf"
		echo "grace 60s"
		echo "after proxy started"
	} | plan_of a.plan
	supervise pid1
	until_ok file_there "$T/ready-deaf"
	kill -TERM "$INIT"
	expect_code 0
	[ -e "$T/end-proxy" ]
}

@test "init workers run one after the other before all others" {
	{
		# started together, they would end the other way round
		worker one "sleep 0.4; echo one >>$T/log"
		echo "restart on-failure"
		echo "init yes"
		worker two "sleep 0.2; echo two >>$T/log"
		echo "restart on-failure"
		echo "init yes"
		echo "after one completed"
		worker app "echo app >>$T/log; exec sleep 1000"
		echo "after two completed"
	} | plan_of a.plan
	supervise pid1
	until_ok log_is "one two app "
}

@test "an init worker is tried again so often, then it is given up: exit code 75" {
	{
		worker one "echo x >>$T/log; exit 9"
		echo "restart on-failure"
		echo "backoff 10ms 20ms"
		echo "failures 3"
		echo "init yes"
		lives app
		echo "after one completed"
	} | plan_of a.plan
	supervise pid1
	expect_code 75
	log_is "x x x "
	[ ! -e "$T/ready-app" ]
}

@test "an init worker that doesn't end in its time is ended, and given up" {
	{
		worker one "exec sleep 1000"
		echo "restart on-failure"
		echo "deadline 300ms"
		echo "init yes"
		lives app
		echo "after one completed"
	} | plan_of a.plan
	supervise child
	expect_code 75
}

@test "the preStop hook runs before the drain signal, and its time counts" {
	{
		lives app
		echo "pre-stop exec /bin/sh -c test\${IFS}!\${IFS}-e\${IFS}$T/end-app&&touch\${IFS}$T/hooked"
		echo "times 0s 10s 10s 1 1"
	} | plan_of a.plan
	supervise pid1
	until_ok file_there "$T/ready-app"
	kill -TERM "$INIT"
	expect_code 0
	[ -e "$T/hooked" ]
	[ -e "$T/end-app" ]
}

@test "a preStop hook that hangs blocks no command, and ends with the grace" {
	{
		lives app
		echo "pre-stop exec /bin/sleep 1000"
		echo "times 0s 60s 60s 1 1"
		echo "grace 1h"
		lives brief
		echo "pre-stop exec /bin/sleep 1000"
		echo "times 0s 60s 60s 1 1"
		echo "grace 1s"
		lives other
	} | plan_of a.plan
	supervise pid1
	until_ok file_there "$T/ready-app"
	until_ok file_there "$T/ready-brief"
	"$CTL" stop app
	until_ok is app/0 stopping
	# meanwhile it answers and acts
	"$CTL" stop other
	until_ok is other/0 stopped
	is app/0 stopping
	"$CTL" stop brief
	until_ok is brief/0 stopped
	# it was told after all
	[ -e "$T/end-brief" ]
	is app/0 stopping
}

@test "an order to restart one that waits takes nothing from it: it waits on, and starts" {
	{
		lives proxy
		echo "readiness exec /bin/test -e $T/well"
		echo "times 0s 50ms 1s 1 1"
		lives app
		echo "after proxy ready"
	} | plan_of a.plan
	supervise pid1
	until_ok waits_like app/0 "waits for worker 'proxy' to be ready"
	"$CTL" restart app
	waits_like app/0 "waits for worker 'proxy' to be ready"
	touch "$T/well"
	until_ok is app/0 ready
}

@test "what a second TERM halves, it halves for those too who are told after it" {
	{
		echo "second-term hasten"
		echo "worker proxy"
		printf 'arg %s\n' "$HELPER" ignore-term "$T/ready-proxy"
		echo "grace 1000s"
		echo "worker app"
		printf 'arg %s\n' "$HELPER" ignore-term "$T/ready-app"
		echo "grace 1000s"
		echo "after proxy started"
	} | plan_of a.plan
	supervise pid1 2>"$T/said"
	until_ok file_there "$T/ready-app"
	kill -TERM "$INIT"
	until_ok grep -q 'drain.began' "$T/said"
	# 1000 s to less than half a second
	for i in {1..11}; do
		kill -TERM "$INIT"
		until_ok hastened "$i"
	done
	expect_code 0
}

@test "who waits goes on waiting after a fault in the init, and starts when it may" {
	{
		lives proxy
		echo "readiness exec /bin/test -e $T/well"
		echo "times 0s 50ms 1s 1 1"
		lives app
		echo "after proxy ready"
	} | plan_of a.plan
	supervise pid1 2>"$T/said"
	until_ok waits_like app/0 "waits for worker 'proxy' to be ready"
	kill -SEGV "$INIT"
	until_ok grep -q 'init.recovered.*; 1 processes are kept' "$T/said"
	until_ok waits_like app/0 "waits for worker 'proxy' to be ready"
	touch "$T/well"
	until_ok is app/0 ready
}
