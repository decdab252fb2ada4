#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016
# Replicas by a queue: a real Redis, the reference worker, the real operator.

bats_require_minimum_version 1.5.0
load ../lib
load queue_lib

setup() {
	need python3 jq curl redis-server
	cd "$BATS_TEST_TMPDIR" || return
	mkdir run
	export REEVE_SOCKET=$PWD/run
	start_redis
	QUEUE="$REDIS_URL/0?list=jobs"
	write_job
}

# manifest SCALE: a reference worker by the queue's depth.
manifest() {
	cat >new.yaml <<-YAML
	apiVersion: reeve/v1
	name: sc
	queues:
	  - {name: jobs, kind: redis, url: '$REDIS_URL/0', list: jobs}
	  - {name: away, kind: redis, url: 'redis://127.0.0.1:$(free_port)/0', list: jobs}
	workers:
	  - name: w
	    command: ['$REEVE_TOOL', worker, --queue, '$QUEUE', --, '$BATS_TEST_TMPDIR/job']
	    consumes: [{queue: jobs}]
	    scale: {queue: jobs, max: 4, jobsPerReplica: 2, $1}
	    terminationGracePeriodSeconds: 20
	YAML
	mv new.yaml reeve.yaml
}

supervise() {
	start_background reeve "$REEVE" run -f reeve.yaml
	wait_until in_status '.queues[] | select(.name == "jobs" and .waiting != null)'
}

replicas_are() { in_status ".workers[0] | .desired == $1 and .ready == $1"; }
effects_are() { [ "$(wc -l <"$EFFECTS")" = "$1" ]; }
held_by() { redis ZRANGE jobs:reeve:lease 0 -1 | grep -q ":$1:"; }
scaler() {
	curl -s -o answer -w '%{http_code}' --unix-socket run/operator.sock "http://localhost/scaler?queue=$1"
}

@test "from none to what the jobs call for, at most max, and back to none" {
	manifest 'min: 0, cooldown: 1s, stabilization: 1s'
	supervise
	in_status '.workers[0] | .desired == 0 and .ready == 0'
	run "$REEVE" diff
	expect_status 0
	redis LPUSH jobs block1 block2 block3 >/dev/null
	wait_until replicas_are 2
	run "$REEVE" status
	has 'scaled by queue jobs: '
	has 'of max 4'
	redis LPUSH jobs block4 block5 block6 block7 block8 block9 >/dev/null
	wait_until replicas_are 4
	run "$REEVE" diff
	expect_status 0
	run --separate-stderr "$REEVE" check -f reeve.yaml --verbose --output json
	jq -e 'any(.findings[]; .id == "RV304") and
		all(.findings[]; .id != "RV304" or .result != "failed")' \
		<<<"$output"
	release_blocked
	wait_until effects_are 9
	wait_until -t 60 replicas_are 0
	# nobody lost a job, none was done twice
	[ "$(sort -u "$EFFECTS" | wc -l)" = 9 ]
	run "$REEVE" events w
	has 'scaled '
}

@test "what can't be read is never scaled to none, and the scaler's answer is no number" {
	manifest 'min: 0, cooldown: 1s, stabilization: 1s'
	supervise
	redis LPUSH jobs block1 block2 block3 >/dev/null
	wait_until replicas_are 2
	[ "$(scaler jobs)" = 200 ]
	jq -e '.value == 3' answer
	[ "$(scaler away)" = 503 ]
	jq -e '.error != "" and (has("value") | not)' answer
	[ "$(scaler nobody)" = 404 ]
	kill -STOP "$REDIS_PID"
	wait_until in_status '.queues[] | select(.name == "jobs" and .error != null)'
	[ "$(scaler jobs)" = 503 ]
	wait_until in_status '.workers[0].scale.why | test("can.t be read: 2 stay")'
	in_status '.workers[0].desired == 2'
	kill -CONT "$REDIS_PID"
	release_blocked
	wait_until effects_are 3
	wait_until -t 60 replicas_are 0
}

@test "a replica that holds a job is not scaled away; the idle ones are" {
	manifest 'min: 1, stabilization: 1s'
	supervise
	wait_until replicas_are 1
	redis LPUSH jobs block1 >/dev/null
	wait_until held_by w/0
	# all hold on until as many replicas as they call for have been seen
	redis LPUSH jobs block2 block{3..9} >/dev/null
	wait_until replicas_are 4
	for i in {3..9}; do release_blocked "block$i"; done
	wait_until effects_are 7
	# two jobs, which one replica would be for: the higher holder stays
	local holder
	holder=$(redis ZRANGE jobs:reeve:lease 0 -1 | sed -n 's/.*:w\/\([1-9]\):.*/\1/p')
	wait_until -t 60 replicas_are $((holder + 1))
	[ "$(wc -l <"$EFFECTS.tries")" = 9 ]
	release_blocked
	wait_until -t 60 replicas_are 1
	effects_are 9
}

@test "a number by order holds, also after the operator was killed, until auto" {
	manifest 'min: 1, stabilization: 1s'
	supervise
	wait_until replicas_are 1
	"$REEVE" scale w 3
	wait_until replicas_are 3
	local before
	before=$(operator_pid)
	kill -KILL "$before"
	wait_until in_status ".operator.state == \"running\" and .operator.pid != $before"
	wait_until in_status '.workers[0].scale | .by_order and .replicas != null'
	replicas_are 3
	"$REEVE" scale w auto
	wait_until -t 60 replicas_are 1
}

@test "what was decided outlives the operator: nothing is scaled down by its death" {
	manifest 'min: 0, cooldown: 1h, stabilization: 1h'
	supervise
	redis LPUSH jobs block1 block2 block3 block4 >/dev/null
	wait_until replicas_are 2
	local before pids
	pids=$("$REEVE" status --output json | jq -c '[.workers[].instances[].pid]')
	before=$(operator_pid)
	release_blocked
	wait_until effects_are 4
	kill -KILL "$before"
	wait_until in_status ".operator.state == \"running\" and .operator.pid != $before and (.queues[0].waiting == 0)"
	"$REEVE" reload
	replicas_are 2
	[ "$("$REEVE" status --output json | jq -c '[.workers[].instances[].pid]')" = "$pids" ]
}

@test "what the init has no room for is refused at load, with its place" {
	manifest 'min: 0'
	run timeout 60 "$REEVE" run --max-workers 3 -f reeve.yaml
	expect_status 78
	has "reeve.yaml:7:5: worker 'w': with its 'scale.max' of 4 there may be 4 replicas"
	sed -i 's/max: 4/max: 3/' reeve.yaml
	start_background reeve "$REEVE" run --max-workers 3 -f reeve.yaml
	wait_until in_status '.queues[] | select(.name == "jobs" and .waiting != null)'
	sed -i 's/max: 3/max: 4/' reeve.yaml
	run "$REEVE" reload
	expect_status 78
	has "may be 4 replicas"
	in_status '.workers[0].desired == 0'
}
