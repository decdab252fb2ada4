#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031
# Findings of what jobs are like and of who holds them, as `reeve check` gets
# them from real servers: each fires, and is quiet when it is mended.

bats_require_minimum_version 1.5.0
load ../lib
load broker_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	need jq redis-server nats-server node psql
	node_packages
	start_redis
	start_nats
	start_postgres
}

setup() {
	cd "$BATS_TEST_TMPDIR"
	export REEVE_SOCKET=$PWD/nowhere
	redis flushall
}

# manifest QUEUE-KEYS [REST…]
manifest() {
	printf 'apiVersion: reeve/v1\nname: found\nqueues:\n  - {name: jobs, %s}\n' "$1" >reeve.yaml
	shift
	[ $# -eq 0 ] || printf '%s\n' "$@" >>reeve.yaml
}

# judged ID RESULT [TEXT]: after a check.
judged() {
	local code=0
	"$REEVE" check -f reeve.yaml --output json >out.json || code=$?
	[ "$code" -lt 64 ] # a verdict, whichever
	jq -e --arg id "$1" --arg r "$2" --arg t "${3:-}" 'any(.findings[];
	    .id == $id and .result == $r and (.summary | contains($t)))' out.json ||
	    { jq -c '.findings[] | {id, result, summary}' out.json >&2; return 1; }
}

@test "jobs of a version that nobody knows, and the same job twice" {
	redis rpush jobs '{"v":1,"order":{"id":"a"}}' '{"v":2,"order":{"id":"b"}}' \
	    '{"v":1,"order":{"id":"secret-customer"}}' '{"v":1,"order":{"id":"secret-customer"}}'
	manifest "kind: redis, list: jobs, url: '$REDIS_URL', jobs: {id: order.id, version: v, versions: [1]}"
	judged RV210 failed 'of version 2, the workers know 1'
	judged RV217 failed "2 jobs that wait are for one 'order.id'"
	run cat out.json
	lacks secret-customer
	redis del jobs
	redis rpush jobs '{"v":1,"order":{"id":"a"}}' '{"v":1,"order":{"id":"b"}}' '{"x":1'
	judged RV210 passed '2 jobs'
	judged RV217 passed
	redis del jobs
	redis rpush jobs '{"v":1}' '{"v":1}'
	judged RV217 unknown "no job that waits has a 'order.id'"
	redis del jobs
	judged RV210 unknown 'nothing waits'
	judged RV217 unknown 'nothing waits'
}

@test "entries at a consumer that is gone, and one that holds all" {
	redis xgroup create s g 0 mkstream
	for i in 1 2 3 4; do redis xadd s '*' payload "$i" >/dev/null; done
	redis xgroup createconsumer s g idle
	redis xreadgroup group g busy count 4 streams s '>' >/dev/null
	redis xreadgroup group g idle count 1 streams s '>' >/dev/null
	manifest "kind: redisstream, stream: s, group: g, idle: 600s, url: '$REDIS_URL'"
	judged RV231 failed 'one consumer holds 4, and 1 of 2'
	judged RV227 passed
	manifest "kind: redisstream, stream: s, group: g, idle: 1s, url: '$REDIS_URL'"
	wait_until judged RV227 failed "4 pending at consumers that are gone ('busy')"
	redis xautoclaim s g idle 0 0 count 2 >/dev/null
	manifest "kind: redisstream, stream: s, group: g, idle: 600s, url: '$REDIS_URL'"
	judged RV231 passed
}

@test "a router that takes nothing" {
	redis rpush jobs a b
	cat >rest <<-YAML
	  - {name: small, kind: redis, list: small, url: "$REDIS_URL"}
	workers:
	  - {name: router, command: [/bin/true], consumes: [{queue: jobs}], produces: [small]}
	YAML
	manifest "kind: redis, list: jobs, url: '$REDIS_URL'" "$(cat rest)"
	judged RV221 failed "2 waiting, and the router isn't there: 'small'"
	redis del jobs
	judged RV221 passed
	redis xgroup create stream g 0 mkstream
	redis xgroup createconsumer stream g router
	for i in 1 2; do redis xadd stream '*' payload "$i" >/dev/null; done
	manifest "kind: redisstream, stream: stream, group: g, url: '$REDIS_URL'" "$(cat rest)"
	judged RV221 failed "2 waiting, and the router takes none: 'small'"
}

@test "JetStream: a claim shorter than a job, more tries than are meant, a consumer younger than its workers" {
	nats_client stream S '{"subjects":["s.>"],"retention":"workqueue"}'
	nats_client consumer S c '{"ack_wait":30000000000,"max_deliver":5}'
	manifest "kind: nats, stream: S, consumer: c, url: '$NATS_URL', jobs: {longest: 94s, tries: 3, mostTries: 10}"
	judged RV207 failed 'a claim lasts 30 s, a job may take 1 min 34 s'
	judged RV208 failed '5 deliveries x 3 tries'
	manifest "kind: nats, stream: S, consumer: c, url: '$NATS_URL', jobs: {longest: 20s, tries: 2, mostTries: 10}"
	judged RV207 passed
	judged RV208 passed
	jq -e '[.findings[] | select(.id == "RV220")] | length == 0' out.json
	run "$REEVE_TOOL" probe <<<"{\"kind\":\"queue\",\"subject\":\"q\",\"url\":\"$NATS_URL?stream=S&consumer=c\",\"timeout_ms\":20000}"
	tail -n 1 <<<"$output" | jq -e '.queue.consumer_age_ms | .know == "exact" and .value >= 0 and .value < 600000'
}

@test "PostgreSQL: a claim that two sessions win, two that wait, one that skips" {
	sql "CREATE TABLE work (id int PRIMARY KEY, status text); INSERT INTO work VALUES (1, 'queued'), (2, 'queued')"
	claims() {
		manifest "kind: pgtable, table: work, url: '$PG_URL'" 'checks:' "  - {name: claim, postgres: {url: \"$PG_URL\", claim: \"$1\"}}"
	}
	claims "SELECT id FROM work WHERE status = 'queued' ORDER BY id LIMIT 1"
	judged RV418 failed 'the same job'
	claims "UPDATE work SET status = 'x' WHERE id = (SELECT id FROM work WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE) RETURNING id"
	judged RV418 passed 'waits for the first'
	# it has read before it waits, and takes the same job after the commit
	claims "UPDATE work SET status = 'x' WHERE id = (SELECT id FROM work WHERE status = 'queued' ORDER BY id LIMIT 1) RETURNING id"
	judged RV418 unknown 'FOR UPDATE SKIP LOCKED'
	claims "UPDATE work SET status = 'x' WHERE id = (SELECT id FROM work WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id"
	judged RV418 passed 'another job'
	[ "$(sql "SELECT count(*) FROM work WHERE status = 'queued'")" = 2 ]
	sql 'DELETE FROM work'
	judged RV418 unknown 'no job waits'
}

@test "names by a pattern, and transports that are switched off" {
	manifest "kind: redis, list: file-jobs, url: '$REDIS_URL', enabledBy: BROKER" 'queueNames: "^[a-z]+:[a-z]+$"' \
	    'workers: [{name: w, command: [/bin/true], consumes: [{queue: jobs}], env: [{name: BROKER, value: "on"}]}]' \
	    'producers: [{name: api, produces: [{queue: jobs}], env: [{name: BROKER, value: "false"}]}]'
	run "$REEVE" lint reeve.yaml --output json
	expect_status 1
	jq -e '[.findings[] | select(.result == "failed") | .id] | sort == ["RV205", "RV214"]' <<<"$output" || { echo "$output" >&2; false; }
	sed -i 's/"false"/"true"/; s/file-jobs/file:jobs/' reeve.yaml
	run "$REEVE" lint reeve.yaml
	expect_status 0
	sed -i 's/\^\[a-z\]+:/(/' reeve.yaml
	run "$REEVE" lint reeve.yaml
	expect_status 1
	has 'no extended regular expression'
}

# tiers [SMALL [MEDIUM]]: three queues by size, and the router that fills them.
tiers() {
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: found
	queues:
	  - {name: events, kind: redis, list: events, url: '$REDIS_URL'}
	  - {name: small, kind: redis, list: small, url: '$REDIS_URL', jobs: {size: meta.bytes, ${1:-sizeBelow: 100M}}}
	  - {name: large, kind: redis, list: large, url: '$REDIS_URL', jobs: {size: meta.bytes, sizeFrom: 1G}}
	  - {name: medium, kind: redis, list: medium, url: '$REDIS_URL', jobs: {size: meta.bytes, ${2:-sizeFrom: 100M, sizeBelow: 1G}}}
	workers:
	  - {name: router, command: [/bin/true], consumes: [{queue: events}], produces: [large, small, medium]}
	YAML
}

@test "each size has one queue, and each job is in the one for its size" {
	local size
	tiers
	for size in 0 1 99999999; do redis rpush small "{\"meta\":{\"bytes\":$size}}" >/dev/null; done
	for size in 100000000 100000001 999999999; do redis rpush medium "{\"meta\":{\"bytes\":$size}}" >/dev/null; done
	judged RV219 passed '3 jobs that wait'
	judged RV219 passed '2 boundaries'
	judged RV219 unknown 'nothing waits'
	redis rpush small '{"meta":{"bytes":100000000}}' '{"meta":{}}'
	judged RV219 failed "1 of 4 jobs that wait don't belong here by their 'meta.bytes': 100000000"
	redis del medium
	redis rpush medium '{"bytes":1}'
	judged RV219 unknown "no job that waits has a 'meta.bytes'"
	tiers 'sizeBelow: 100M' 'sizeFrom: 100Mi, sizeBelow: 1G'
	judged RV219 failed "a job of 100000000 has no queue: 'small' takes 0 to below 100000000, 'medium' 104857600"
	tiers 'sizeBelow: 100Mi'
	judged RV219 failed 'a job of 100000000 has two queues'
	tiers 'sizeFrom: 1'
	judged RV219 failed "a job of 100000000 has two queues: 'small' takes 1 and more"
}
