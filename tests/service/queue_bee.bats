#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
# Bee-Queue: the real library against our driver.

load ../lib
load queue_lib

setup_file() {
	node_packages
	start_redis --enable-debug-command local
}

setup() {
	redis FLUSHALL >/dev/null
	URL="bee+$REDIS_URL/0?queue=fileprocess"
}

lib() {
	node "$NODE_DIR/bull.js" bee "$REDIS_URL/0" "${LIB_QUEUE:-fileprocess}" "$@"
}

start_lib_worker() {
	start_background bee.worker node "$NODE_DIR/bull.js" bee "$REDIS_URL/0" fileprocess work
	wait_until grep -q ready "$BACKGROUND_LOG"
}

# A worker's look for stalled jobs leaves stallBlock for five seconds.
end_background() {
	kill_started "$BACKGROUND_PID"
	wait_until nobody_connected
	redis DEL bq:fileprocess:stallBlock >/dev/null
}

nobody_connected() {
	! redis CLIENT LIST | grep -q 'cmd=brpoplpush'
}

same_counts() {
	counts_agree "$(lib counts)" waiting=waiting active=active delayed=delayed \
	    failed=failed completed=succeeded
}

# counts_are active|failed|succeeded N: by the key, for to ask the library costs as
# much as a test.
counts_are() {
	local count=SCARD
	[ "$1" != active ] || count=LLEN
	key_is "$count" "$1" "$2"
}

key_is() {
	[ "$(redis "$1" "bq:fileprocess:$2" "${@:4}")" = "$3" ]
}

@test "counts are the library's own in every state, and looking writes nothing" {
	same_counts
	field waiting 0
	field consumers 0
	lib add '[{"data":{"fail":true}},{"data":{}},{"data":{}}]'
	same_counts
	field waiting 3
	start_lib_worker
	wait_until counts_are failed 1
	wait_until counts_are succeeded 2
	same_counts
	lib add '[{"data":{"block":true}}]'
	wait_until counts_are active 1
	same_counts
	end_background
	lib add '[{"data":{}},{"data":{},"opts":{"delay":100000}}]'
	# the worker's, which would expire meanwhile
	redis DEL bq:fileprocess:stallBlock >/dev/null
	before=$(redis_keys)
	same_counts
	field waiting 1
	field delayed 1
	field active 1
	field failed 1
	field completed 2
	run "$REEVE_TOOL" diagnose "$URL"
	run "$REEVE_TOOL" queue peek "$URL"
	[ "$before" = "$(redis_keys)" ]
}

@test "ages by the server's clock, and who may work on it" {
	lib add '[{"data":{}},{"data":{}}]'
	oldest=$(redis HGET bq:fileprocess:jobs 1 |
	    command jq -c ".options.timestamp = $(($(redis TIME | head -n 1) * 1000 - 90000))")
	redis HSET bq:fileprocess:jobs 1 "$oldest" >/dev/null
	run_ls "$URL"
	[ "$(get oldest_ms)" -ge 90000 ]
	[ "$(get oldest_ms)" -lt 600000 ]
	field consumers 0
	redis DEL bq:fileprocess:waiting >/dev/null
	start_lib_worker
	redis SET bq:fileprocess:stallBlock 1 PX 60000 >/dev/null
	run_ls "$URL"
	field consumers 1
	field quality.consumers at-least
	wait_pid "$URL" "$BACKGROUND_PID"
	# without that trace Redis doesn't say on which queue it waits
	redis DEL bq:fileprocess:stallBlock >/dev/null
	run_ls "$URL"
	field consumers null
	has 'may work on it'
	# the keys of another queue are longer than what it waits for
	run_ls "bee+$REDIS_URL/0?queue=fileprocess2"
	field consumers 0
	end_background
}

canary_done() {
	look follow "$URL" '{}'
	[ "$(fact state)" = gone ] && [ "$(fact "done")" = yes ]
}

@test "a job that is tried again at once says so by its options" {
	tried() {
		redis FLUSHALL >/dev/null
		lib add "[{\"opts\":$1}]"
		run_ls "$URL"
	}
	tried '{}'
	[ "$(command jq '.queues[0].server | has("backs_off")' <<<"$output")" = false ]
	tried '{"retries":3}'
	field server.backs_off.is False
	tried '{"retries":3,"backoff":["exponential",1000]}'
	field server.backs_off.is True
	tried '{"retries":3,"backoff":["immediate"]}'
	field server.backs_off.is False
}

@test "a canary goes through the real worker, and what became of it is told" {
	look submit "$URL" '{"echo":"$(CANARY)"}'
	look follow "$URL" '{}'
	[ "$(fact state)" = visible ]
	[ "$(lib state "reeve-canary-$CANARY")" = created ]
	start_lib_worker
	wait_until canary_done
	# it says so after Redis has it
	wait_until grep -q "done reeve-canary-$CANARY" "$BACKGROUND_LOG"
	look remove "$URL" '{}'
	[ "$(fact removed)" = yes ]
	end_background
	key_is HEXISTS jobs 0 "reeve-canary-$CANARY"
	key_is SCARD succeeded 0
	look follow "$URL" '{}'
	[ "$(fact state)" = gone ]
	[ "$(fact "done")" = "" ]
}

@test "a canary that fails is dead, one that is taken back was never there" {
	look submit "$URL" '{"fail":true}'
	start_lib_worker
	wait_until canary_is dead
	[[ $(fact detail) = *"told to fail"* ]]
	end_background
	look remove "$URL" '{}'
	look submit "$URL" 'no JSON at all'
	[ "$(redis HGET bq:fileprocess:jobs "reeve-canary-$CANARY" | command jq -r .data)" = 'no JSON at all' ]
	look remove "$URL" '{}'
	[ "$(fact removed)" = yes ]
	same_counts
	field waiting 0
	field failed 0
}

@test "a canary that a worker has in hand is not taken back" {
	look submit "$URL" '{"block":true}'
	start_lib_worker
	wait_until canary_is taken
	look remove "$URL" '{}'
	[ "$(fact removed)" != yes ]
	key_is LLEN active 1
	end_background
}

@test "another prefix, another name, another technology: named" {
	LIB_QUEUE=fileprocess-jobs lib add '[{"data":{}},{"data":{}}]'
	run_ls "bee+$REDIS_URL/0?queue=fileprocess_jobs"
	field near.0.name fileprocess-jobs
	field near.0.type 'bee queue'
	field near.0.waiting 2
	run_ls "bee+$REDIS_URL/0?queue=fileprocess-jobs&prefix=app"
	field near.0.name fileprocess-jobs
	field near.0.where 'prefix bq'
	field near.0.waiting 2
	run_ls "bee+$REDIS_URL/1?queue=fileprocess-jobs"
	field near.0.where 'db 0'
	redis LPUSH imports a b c >/dev/null
	run_ls "bee+$REDIS_URL/0?queue=imports"
	field near.0.where 'a key of its own'
	run "$REEVE_TOOL" diagnose "bee+$REDIS_URL/0?queue=fileprocess_jobs"
	has RV203
	has fileprocess-jobs
	redis SET bq:odd:waiting x >/dev/null
	run_ls "bee+$REDIS_URL/0?queue=odd"
	expect_status 3
	has "is a string, not a list"
}

@test "failed jobs go back as the library's own retry puts them, once" {
	lib add '[{"data":{"fail":true}},{"data":{"fail":true}}]'
	start_lib_worker
	wait_until counts_are failed 2
	end_background
	list_jobs dead
	printf '%s\n' "$output" | tail -n 1 | command jq -e '.jobs.items | map(.id) | sort == ["1","2"]'
	printf '%s\n' "$output" | tail -n 1 | command jq -e '.jobs.items[0] |
	    .error == "Error: told to fail" and .payload_bytes > 0 and .age_ms >= 0 and .attempts == 1'
	move_jobs dead 1 2 99
	[ "$MOVED" = '["1","2"]' ]
	move_jobs dead 1 2
	[ "$MOVED" = '[]' ]
	same_counts
	field waiting 2
	field failed 0
	for id in 1 2; do
		redis HSET bq:fileprocess:jobs "$id" \
		    "$(redis HGET bq:fileprocess:jobs "$id" | command jq -c '.data = {}')" >/dev/null
	done
	start_lib_worker
	wait_until counts_are succeeded 2
	end_background
}

# What queue.checkStalledJobs() does twice, an interval apart, is what counts.
@test "stalled jobs go back to wait; what a living worker may hold stays" {
	# as many as it may have: it waits for no more
	lib add '[{"data":{"block":true}},{"data":{"block":true}}]'
	start_lib_worker
	wait_until key_is LLEN active 2
	redis DEL bq:fileprocess:stallBlock >/dev/null
	run_ls "$URL"
	field lease_expired 0
	move_jobs expired 1
	[ "$MOVED" = '[]' ]
	# marked, and no worker spoke for it meanwhile: but the interval isn't over
	kill -STOP "$BACKGROUND_PID"
	redis SADD bq:fileprocess:stalling 1 >/dev/null
	redis SET bq:fileprocess:stallBlock 1 PX 60000 >/dev/null
	run_ls "$URL"
	field lease_expired 0
	move_jobs expired 1
	[ "$MOVED" = '[]' ]
	redis DEL bq:fileprocess:stallBlock >/dev/null
	run_ls "$URL"
	field lease_expired 1
	[ "$(list_jobs expired)" = '["1"]' ]
	move_jobs expired 1
	[ "$MOVED" = '["1"]' ]
	move_jobs expired 1
	[ "$MOVED" = '[]' ]
	key_is LLEN active 1
	key_is SCARD stalling 0
	end_background
	same_counts
	field waiting 1
}

@test "with no worker connected every active job is stalled" {
	lib add '[{"data":{"block":true}}]'
	start_lib_worker
	wait_until key_is LLEN active 1
	end_background
	key_is SCARD stalling 0
	run_ls "$URL"
	field consumers 0
	field lease_expired 1
	run "$REEVE_TOOL" queue reclaim "$URL" --yes --log "$BATS_TEST_TMPDIR/moves"
	expect_status 0
	same_counts
	field active 0
	field waiting 1
	redis HSET bq:fileprocess:jobs 1 \
	    "$(redis HGET bq:fileprocess:jobs 1 | command jq -c '.data = {}')" >/dev/null
	start_lib_worker
	wait_until counts_are succeeded 1
	end_background
}
