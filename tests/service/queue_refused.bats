#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154
# Redis doesn't take back what a script wrote before one of its commands was
# refused: what would be refused in the middle must be refused before it begins.

load ../lib
load queue_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	start_redis --enable-debug-command local
}

setup() {
	redis FLUSHALL >/dev/null
	DB="127.0.0.1:$REDIS_PORT/0"
}

# as USER VERB URL: that verb done; what it moved in MOVED, a JSON array or null.
as() {
	run --separate-stderr "$REEVE_TOOL" queue "$2" "${3/:\/\//:\/\/$1:pw@}" --yes \
	    --log "$(test_dir)/moves.$RANDOM$RANDOM" --output json
	MOVED=$(jq -c .moved <<<"$output")
}

# refused_whole VERB URL RIGHTS TEXT: to a user without these rights nothing is
# moved, with the reason; to one with all of them the one job is.
refused_whole() {
	local before
	redis ACL SETUSER less reset on '>pw' '~*' '&*' +@all -debug >/dev/null
	# shellcheck disable=SC2086
	redis ACL SETUSER less $3 >/dev/null
	redis ACL SETUSER all reset on '>pw' '~*' '&*' +@all >/dev/null
	before=$(redis_keys)
	[ -n "$before" ]
	as less "$1" "$2"
	expect_status 1
	has "$4"
	[ "$MOVED" = null ]
	[ "$(redis_keys)" = "$before" ]
	as all "$1" "$2"
	expect_status 0
	[ "$(jq length <<<"$MOVED")" = 1 ]
	redis FLUSHALL >/dev/null
}

@test "a write that isn't allowed is found before the first one: lists and streams" {
	redis LPUSH jobs:dead d-1 >/dev/null
	refused_whole requeue "redis://$DB?list=jobs" -lrem lrem
	redis XADD jobs '*' payload one >/dev/null
	redis XGROUP CREATE jobs g 0 >/dev/null
	redis XREADGROUP GROUP g gone COUNT 1 STREAMS jobs '>' >/dev/null
	redis XCLAIM jobs g gone 0 "$(redis --raw XRANGE jobs - + | head -n 1)" IDLE 60000 \
	    >/dev/null
	refused_whole reclaim "redisstream+redis://$DB?stream=jobs&group=g&idle=1s" -xack XACK
}

@test "a write that isn't allowed is found before the first one: BullMQ, Bull, Bee-Queue" {
	failed() {
		redis HSET bull:q:1 name a data '{}' opts '{}' timestamp 1 failedReason no >/dev/null
		redis ZADD bull:q:failed 1 1 >/dev/null
	}
	failed
	refused_whole requeue "bullmq+redis://$DB?queue=q" -xadd XADD
	failed
	redis HSET bull:q:1 parentKey bull:up:7 >/dev/null
	redis HSET bull:up:7 name b data '{}' >/dev/null
	refused_whole requeue "bullmq+redis://$DB?queue=q" 'resetkeys ~bull:q:*' bull:up:7
	redis HSET bull:q:1 name a data '{}' opts '{}' timestamp 1 processedOn 1 >/dev/null
	redis LPUSH bull:q:active 1 >/dev/null
	refused_whole reclaim "bullmq+redis://$DB?queue=q" -zadd ZADD
	failed
	refused_whole requeue "bull+redis://$DB?queue=q" resetchannels PUBLISH
	redis HSET bq:q:jobs 1 '{"data":{},"options":{"timestamp":1},"status":"failed"}' >/dev/null
	redis SADD bq:q:failed 1 >/dev/null
	refused_whole requeue "bee+redis://$DB?queue=q" -lpush LPUSH
}

@test "a write that isn't allowed is found before the first one: RQ, Sidekiq, Resque, Celery" {
	redis ZADD rq:failed:q 1 j >/dev/null
	redis HSET rq:job:j data x origin q status failed created_at 2026-01-01T00:00:00Z >/dev/null
	redis SADD rq:queues rq:queue:q >/dev/null
	refused_whole requeue "rq+redis://$DB?queue=q" -rpush RPUSH
	redis ZADD dead 1 '{"jid":"a","queue":"q","class":"C","args":[]}' >/dev/null
	redis SADD queues q >/dev/null
	refused_whole requeue "sidekiq+redis://$DB?queue=q" -lpush LPUSH
	redis RPUSH resque:failed '{"payload":{"class":"C","args":[]},"queue":"q","exception":"E","error":"e","failed_at":"2026/11/22 12:00:00 UTC"}' >/dev/null
	redis SADD resque:queues q >/dev/null
	refused_whole requeue "resque+redis://$DB?queue=q" -sadd SADD
	redis ZADD unacked_index 1 t >/dev/null
	redis HSET unacked t '[{"body":"e30=","headers":{},"properties":{"delivery_info":{"exchange":"","routing_key":"q"}}},"","q"]' >/dev/null
	redis SADD _kombu.binding.q x >/dev/null
	refused_whole reclaim "celery+redis://$DB?queue=q" -rpush RPUSH
}

@test "a key of another type where jobs are put back: nothing is moved, nothing is lost" {
	redis HSET bull:q:1 name a data '{}' opts '{}' timestamp 1 failedReason no >/dev/null
	redis ZADD bull:q:failed 1 1 >/dev/null
	redis ACL SETUSER all reset on '>pw' '~*' '&*' +@all >/dev/null
	for key in wait events marker; do
		redis SET "bull:q:$key" text >/dev/null
		before=$(redis_keys)
		as all requeue "bullmq+redis://$DB?queue=q"
		expect_status 1
		has "bull:q:$key"
		has 'is a string, not a'
		[ "$(redis_keys)" = "$before" ]
		redis DEL "bull:q:$key" >/dev/null
	done
	as all requeue "bullmq+redis://$DB?queue=q"
	[ "$MOVED" = '["1"]' ]
}

@test "a worker whose dead letters can't be put takes no job, and says why" {
	redis HSET dead a b >/dev/null
	redis LPUSH jobs dead-1 >/dev/null
	start_worker "redis://$DB?list=jobs&dlq=dead"
	wait_until grep -q "'dead' is a hash, not a list" "$WORKER_LOG"
	[ "$(redis LRANGE jobs 0 -1)" = dead-1 ]
	redis DEL dead >/dev/null
	wait_until grep -q job.dead "$WORKER_LOG"
	[ "$(redis LRANGE dead 0 -1)" = dead-1 ]
}
