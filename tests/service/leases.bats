#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016
# Who is told to end and still holds a job: a real Redis, the reference worker,
# the real operator and init. The grace is far shorter than the job, and far longer
# than the operator takes to hear of the end.

bats_require_minimum_version 1.5.0
load ../lib
load queue_lib

setup() {
	need python3 jq redis-server
	cd "$BATS_TEST_TMPDIR" || return
	mkdir run
	export REEVE_SOCKET=$PWD/run
	start_redis
	write_job
	# ten times of it are waited for, and those it is killed after
	GRACE=5
	[[ $BATS_TEST_DESCRIPTION != *'after ten times'* ]] || GRACE=3
	[[ $BATS_TEST_DESCRIPTION != *'operator dead'* ]] || GRACE=2
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: le
	supervisor: {grace: 120s}
	queues:
	  - {name: jobs, kind: redis, url: '$REDIS_URL/0', list: jobs}
	workers:
	  - name: w
	    command: ['$REEVE_TOOL', worker, --queue, '$REDIS_URL/0?list=jobs', --, '$BATS_TEST_TMPDIR/job']
	    consumes: [{queue: jobs}]
	    terminationGracePeriodSeconds: $GRACE
	YAML
	start_background reeve "$REEVE" run -f reeve.yaml
	wait_until in_status '.queues[0].waiting != null and .workers[0].ready == 1'
	redis LPUSH jobs block1 >/dev/null
	wait_until in_status '.queues[0].active == 1'
}

extended() { grep -q 'drain.extended.*w/0 holds a job of queue jobs' "$BACKGROUND_LOG"; }
granted() { grep -q 'worker.extended.*w/0' "$BACKGROUND_LOG"; }
# done once, by whoever took it first
finished() { [ "$(wc -l <"$EFFECTS")" = 1 ] && [ "$(wc -l <"$EFFECTS.tries")" = 1 ]; }
# So long that without a word of the operator it would be killed.
beyond_the_grace() {
	local end=$((SECONDS + GRACE + 2))
	until ((SECONDS >= end)); do read -r -t 0.2 <> <(:) || :; done
}

@test "a worker that is stopped while it holds a job ends when the job is done" {
	"$REEVE" stop w
	wait_until extended
	wait_until granted
	beyond_the_grace
	in_status '.workers[0].instances[0].state == "stopping"'
	release_blocked
	wait_until in_status '.workers[0].instances[0].state == "stopped"'
	finished
}

@test "so in the drain of the whole container" {
	kill -TERM "$BACKGROUND_PID"
	wait_until extended
	wait_until granted
	beyond_the_grace
	release_blocked
	wait "$BACKGROUND_PID"
	finished
}

@test "with the operator dead the grace is what was declared" {
	local operator
	operator=$(operator_pid)
	kill -STOP "$operator"
	"$REEVE_BUILD/tests/process/ctl" stop w
	wait_until grep -q 'worker=w/0.*SIGKILL' "$BACKGROUND_LOG"
	run ! granted
	kill -KILL "$operator"
}

@test "who never lets go of its job ends after ten times its grace" {
	"$REEVE" stop w
	wait_until granted
	wait_until -t 120 in_status '.workers[0].instances[0].state == "stopped"'
	[ "$(wc -l <"$EFFECTS")" = 0 ]
	# it was told to before it was killed, and gave the job back
	[ "$(redis EXISTS jobs jobs:reeve:delayed)" -ge 1 ]
}
