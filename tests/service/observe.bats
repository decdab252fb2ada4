#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016
# The declared queues, watched by the operator: what is known, what isn't and
# why, and that nobody who hangs keeps the others waiting.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	need python3 jq
	cd "$BATS_TEST_TMPDIR" || return
	mkdir run
	export REEVE_SOCKET=$PWD/run
}

# manifest QUEUE-LINE…: a worker that does nothing, and these queues.
manifest() {
	{
		echo 'apiVersion: reeve/v1'
		echo 'name: ob'
		echo 'workers:'
		echo '  - {name: w, command: [/bin/sleep, "1000"], terminationGracePeriodSeconds: 1}'
		echo 'queues:'
		printf '  - %s\n' "$@"
	} >reeve.yaml
}

supervise() {
	start_background reeve "$REEVE" run -f reeve.yaml
}

queue() { printf '.queues[] | select(.name == "%s") | %s' "$1" "$2"; }
probers() { pgrep -P "$(operator_pid)" -f ' probe'; }

@test "a prober that hangs is killed: its queues become unknown and say why, the others go on" {
	start_redis
	redis LPUSH jobs a b >/dev/null
	manifest "{name: jobs, kind: redis, url: '$REDIS_URL/0', list: jobs}" \
	    "{name: more, kind: redis, url: '$REDIS_URL/1', list: more}"
	supervise
	wait_until in_status "$(queue jobs '.waiting == 2 and .error == null')"
	wait_until in_status "$(queue more '.waiting == 0')"
	# one prober for each URL; one of them hangs from now on
	local hung born
	hung=$(probers | head -n 1)
	born=$(start_time "$hung")
	kill -STOP "$hung"
	# in one answer: the next prober may be quick
	wait_until in_status '([.queues[] | select(.error != null and .waiting == null and .error_since_ms > 0)] |
		length == 1 and (.[0].error | test("killed|ended"))) and
		([.queues[] | select(.error == null and .waiting != null)] | length == 1)'
	wait_until gone "$hung" "$born"
	# and it is asked again
	wait_until -t 60 in_status '[.queues[] | select(.error == null)] | length == 2'
	in_status "$(queue jobs '.waiting == 2')"
}

looks_are() {
	"$REEVE" queue history jobs --since 1h --output json | jq -e "$1"
}

@test "the history of a queue outlives the operator; what wasn't known is null" {
	start_redis
	redis LPUSH jobs a b >/dev/null
	manifest "{name: jobs, kind: redis, url: '$REDIS_URL/0', list: jobs}"
	supervise
	wait_until looks_are '.looks | any(.waiting == 2)'
	redis LPUSH jobs c >/dev/null
	# what is older than the last look is in the file
	wait_until looks_are '[.looks[] | select(.waiting == 3)] | length >= 2'
	local operator
	operator=$(operator_pid)
	kill -KILL "$operator"
	wait_until in_status ".operator.state == \"running\" and .operator.pid != $operator"
	looks_are '.schema == "reeve.history/1" and (.looks | any(.waiting == 2) and any(.waiting == 3))'
	kill -STOP "$REDIS_PID"
	wait_until looks_are '.looks[-1].waiting == null'
	kill -CONT "$REDIS_PID"
	run "$REEVE" queue history jobs
	expect_status 0
	has 'now 3, 2 to 3'
	has 'now ?, ? to ?'
	run "$REEVE" queue history nobody
	expect_status 4
	has "no queue 'nobody' is declared"
}

alert_is() { in_status ".alerts | any(.key == \"$1\")"; }
no_alert() { in_status ".alerts | any(.key == \"$1\") | not"; }

@test "objectives: missed for long enough, kept while nothing is known, over when it is well" {
	start_redis
	redis LPUSH jobs a b c >/dev/null
	manifest "{name: jobs, kind: redis, url: '$REDIS_URL/0', list: jobs, objectives: {depth: 2, deadLetters: 9, for: 1s}}" \
	    "{name: fine, kind: redis, url: '$REDIS_URL/0', list: other, objectives: {depth: 2, for: 1s}}"
	supervise
	wait_until -t 60 alert_is objective:jobs:depth
	no_alert objective:fine:depth
	no_alert objective:jobs:deadLetters
	run "$REEVE" status
	has 'depth is above 2'
	local operator
	operator=$(operator_pid)
	kill -STOP "$REDIS_PID"
	wait_until in_status "$(queue jobs '.waiting == null')"
	# the new one knows it by the history; unknown isn't well
	kill -KILL "$operator"
	wait_until in_status ".operator.state == \"running\" and .operator.pid != $operator"
	"$REEVE" reload
	alert_is objective:jobs:depth
	kill -CONT "$REDIS_PID"
	redis LPOP jobs >/dev/null
	wait_until -t 60 no_alert objective:jobs:depth
}

# idle_worker COMMAND: it consumes a queue by declaration, and takes nothing.
idle_worker() {
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: ob
	queues:
	  - {name: jobs, kind: redis, url: '$REDIS_URL/0', list: jobs, processing: taken}
	workers:
	  - name: w
	    command: [/bin/sh, -c, "$1"]
	    consumes: [{queue: jobs}]
	    terminationGracePeriodSeconds: 1
	    onStall: restart
	    stallAfter: 2s
	YAML
}
first_pid() { "$REEVE" status --output json | jq '.workers[0].instances[0].pid'; }
other_pid() { [ "$(first_pid)" != "$1" ] && [ "$(first_pid)" != null ]; }

@test "a worker that is connected and takes nothing is restarted; a job in hand is work" {
	start_redis
	redis LPUSH jobs a >/dev/null
	idle_worker "{ echo 'CLIENT SETNAME reeve:jobs|w/0:x'; exec sleep 1000; } | redis-cli -p $REDIS_PORT"
	supervise
	wait_until in_status '.workers[0].ready == 1'
	local pid
	pid=$(first_pid)
	wait_until -t 60 alert_is stalled:w:jobs
	wait_until -t 60 other_pid "$pid"
	run "$REEVE" events w
	has 'replica 0 is replaced'
	# a job in hand by a lease in force is work
	redis LPUSH taken b >/dev/null
	wait_until -t 60 no_alert stalled:w:jobs
}

@test "onStall: restart: three times an hour, then only the alert stays" {
	start_redis
	redis LPUSH jobs a >/dev/null
	idle_worker "{ echo 'CLIENT SETNAME reeve:jobs|w/0:x'; exec sleep 1000; } | redis-cli -p $REDIS_PORT"
	echo 'supervisor: {observe: {every: 1s}}' >>reeve.yaml
	supervise
	wait_until -t 120 in_status '.alerts[] | select(.key == "stalled:w:jobs") | .evidence | test("restarted 3 times for it in the last hour")'
	local pid
	pid=$(first_pid)
	# more than enough time for a fourth: looks go on
	looks_grow() { looks_are ".looks | length >= $1"; }
	local seen
	seen=$("$REEVE" queue history jobs --since 1h --output json | jq '.looks | length')
	wait_until -t 60 looks_grow $((seen + 8))
	[ "$(first_pid)" = "$pid" ]
	[ "$("$REEVE" events w | grep -c 'replica 0 is replaced')" = 3 ]
}

@test "a ready worker that is not connected is told of, not restarted" {
	start_redis
	redis LPUSH jobs a >/dev/null
	idle_worker 'exec sleep 1000'
	supervise
	wait_until in_status '.workers[0].ready == 1'
	local pid
	pid=$(first_pid)
	wait_until -t 60 alert_is stalled:w:jobs
	run "$REEVE" status
	has 'nobody is connected to the queue'
	[ "$(first_pid)" = "$pid" ]
	redis DEL jobs >/dev/null
	wait_until -t 60 no_alert stalled:w:jobs
	[ "$(first_pid)" = "$pid" ]
}

rule_is() { in_status ".rules | any(.rule == \"$1\" and .subject == \"$2\" and .result == \"$3\")"; }

@test "presets: what is broken alerts, what is kept doesn't, what can't be judged says so" {
	start_redis
	redis LPUSH jobs a >/dev/null
	manifest "{name: jobs, kind: redis, url: '$REDIS_URL/0', list: jobs}" \
	    "{name: fine, kind: redis, url: '$REDIS_URL/0', list: other}"
	cat >>reeve.yaml <<-YAML
	alertPresets:
	  default: {noConsumer: 1s}
	  incident003: {depth: 0}
	YAML
	supervise
	wait_until -t 60 alert_is no-consumer:jobs
	no_alert no-consumer:fine
	rule_is no-consumer 'queue fine' passed
	rule_is worker-absent 'worker w' passed
	rule_is no-success 'queue jobs' unknown
	wait_until -t 90 alert_is objective:jobs:depth
	no_alert objective:fine:depth
	run "$REEVE" alert ls
	expect_status 0
	has "unknown   no-success queue jobs: a list doesn't count what is done"
	redis DEL jobs >/dev/null
	wait_until -t 60 no_alert no-consumer:jobs
	kill -STOP "$REDIS_PID"
	wait_until -t 60 rule_is no-consumer 'queue fine' unknown
	kill -CONT "$REDIS_PID"
}
