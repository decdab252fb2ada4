#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
# BullMQ and Bull: real libraries, of several versions, against our drivers.

load ../lib
load queue_lib

setup_file() {
	node_packages
	start_redis --enable-debug-command local
}

setup() {
	redis FLUSHALL >/dev/null
	redis CONFIG RESETSTAT >/dev/null
}

# use LIB: the queue fileprocess of it; URL names it for reeve.
use() {
	LIB=$1
	local kind=bullmq
	[ "$LIB" != bull ] || kind=bull
	URL="$kind+$REDIS_URL/0?queue=fileprocess"
}

lib() {
	node "$NODE_DIR/bull.js" "$LIB" "${LIB_URL:-$REDIS_URL/0}" "${LIB_QUEUE:-fileprocess}" "$@"
}

start_lib_worker() {
	start_background "$LIB.worker" node "$NODE_DIR/bull.js" "$LIB" \
	    "${LIB_URL:-$REDIS_URL/0}" "${LIB_QUEUE:-fileprocess}" work
	wait_until grep -q ready "$BACKGROUND_LOG"
}

end_background() {
	kill_started "$BACKGROUND_PID"
	wait_until nobody_listed
}

# Redis notices a moment later that it is gone.
nobody_listed() {
	! redis CLIENT LIST | grep -q "name=bull:"
}

# Waiting is all that is ready, in whatever list the version keeps it.
same_counts() {
	counts_agree "$(lib counts)" waiting=waiting+prioritized+paused active=active \
	    delayed=delayed failed=failed completed=completed paused=isPaused
}

# counts_are active|failed|completed N: by the key, for to ask the library costs as
# much as a test.
counts_are() {
	local count=ZCARD
	[ "$1" != active ] || count=LLEN
	keys_are "$count" "$1" "$2"
}

keys_are() {
	[ "$(redis "$1" "bull:fileprocess:$2")" = "$3" ]
}

@test "counts are the library's own in every state, and looking writes nothing" {
	for lib in bullmq4 bullmq5 bullmq6 bull; do
		redis FLUSHALL >/dev/null
		use "$lib"
		same_counts
		field waiting 0
		lib add '[{"data":{"fail":true}},{"data":{}},{"data":{}}]'
		start_lib_worker
		wait_until counts_are failed 1
		wait_until counts_are completed 2
		lib add '[{"data":{"block":true}}]'
		wait_until counts_are active 1
		same_counts
		field consumers 1
		end_background
		lib add '[{"data":{}},{"data":{},"opts":{"delay":100000}},{"data":{},"opts":{"priority":3}}]'
		same_counts
		field waiting 2
		field paused False
		lib pause
		keep_keys
		before=$(redis_keys)
		same_counts
		field paused True
		run "$REEVE_TOOL" diagnose "$URL"
		[[ "$output" == *" 1 failed"* ]]
		has RV228
		run "$REEVE_TOOL" queue ls "$URL"
		[ "$(awk 'NR == 2 { print $5 }' <<<"$output")" = 1 ] # DEAD
		[ "$before" = "$(redis_keys)" ]
	done
}

@test "a marker of BullMQ 4 is no job" {
	use bullmq4
	lib add '[{"data":{},"opts":{"delay":100000}}]'
	[[ $(redis LRANGE bull:fileprocess:wait 0 -1) = 0:* ]]
	run_ls "$URL"
	field waiting 0
	field oldest_ms null
}

@test "a job that is tried again at once says so by its options" {
	backs_off() { run_ls "$URL" && field "server.backs_off.is" "$1"; }
	says_nothing() {
		run_ls "$URL"
		expect_status 0
		[ "$(command jq '.queues[0].server | has("backs_off")' <<<"$output")" = false ]
	}
	options() { redis HSET bull:fileprocess:1 opts "$1" >/dev/null; }
	# as the libraries write them
	for lib in bullmq4 bullmq6 bull; do
		redis FLUSHALL >/dev/null
		use "$lib"
		lib add '[{"opts":{"attempts":3}},{"opts":{"attempts":3,"backoff":{"type":"exponential","delay":1000}}}]'
		backs_off False
		has "'attempts' and no 'backoff'"
		options "$(redis HGET bull:fileprocess:2 opts)"
		backs_off True
	done
	run "$REEVE_TOOL" diagnose "$URL" --verbose
	has RV212
	options '{"attempts":3,"backoff":{"type":"fixed","delay":0}}'
	backs_off False
	options '{"attempts":3,"backoff":2000}'
	backs_off True
	options '{"attempts":3,"backoff":{"type":"jitter-of-ours"}}'
	backs_off True
	options '{"attempts":1}'
	says_nothing
	options '{"attempts":"many","backoff":['
	says_nothing
}

@test "ages and attempts by the server's clock; what works and what is stalled" {
	for lib in bullmq5 bull; do
		redis FLUSHALL >/dev/null
		use "$lib"
		lib add '[{"data":{"block":true},"opts":{"attempts":3}},{"data":{}}]'
		redis HSET bull:fileprocess:1 timestamp $(($(redis TIME | head -n 1) * 1000 - 90000)) >/dev/null
		run_ls "$URL"
		[ "$(get oldest_ms)" -ge 90000 ]
		[ "$(get oldest_ms)" -lt 600000 ]
		start_lib_worker
		wait_until keys_are LLEN active 1
		run_ls "$URL"
		field lease_expired 0
		field consumers 1
		field "consumer_list.0.reads" fileprocess
		wait_pid "$URL" "$BACKGROUND_PID"
		end_background
		redis DEL bull:fileprocess:1:lock bull:fileprocess:stalled-check >/dev/null
		run_ls "$URL"
		field lease_expired 1
		field consumers 0
	done
}

@test "a canary goes through the real worker, and what became of it is told" {
	for lib in bullmq4 bullmq5 bullmq6 bull; do
		redis FLUSHALL >/dev/null
		use "$lib"
		lib add '[{"data":{}}]'
		redis DEL bull:fileprocess:marker >/dev/null
		look submit "$URL" '{"echo":"$(CANARY)"}'
		RECEIPT=$(fact receipt)
		# without one an idle worker of 5 and 6 takes it after 5 s only
		case $lib in bullmq[56]) keys_are EXISTS marker 1 ;; esac
		look follow "$URL" '{"echo":"$(CANARY)"}'
		[ "$(fact state)" = visible ]
		start_lib_worker
		wait_until canary_done
		look remove "$URL" '{}'
		end_background
		[ "$(redis EXISTS "bull:fileprocess:reeve-canary-$CANARY")" = 0 ]
	done
}

canary_done() {
	look follow "$URL" '{}'
	[ "$(fact state)" = gone ] && [ "$(fact "done")" = yes ] &&
	    [[ $(fact detail) = *"$CANARY"* ]]
}

@test "a canary that fails is dead, one that is taken back was never there" {
	for lib in bullmq6 bull; do
		redis FLUSHALL >/dev/null
		use "$lib"
		lib add '[{"data":{}}]'
		look submit "$URL" '{"fail":true}'
		RECEIPT=$(fact receipt)
		start_lib_worker
		wait_until canary_is dead
		[[ $(fact detail) = *"told to fail"* ]]
		end_background
		look remove "$URL" '{}'
		redis FLUSHALL >/dev/null
		lib add '[{"data":{}}]'
		look submit "$URL" 'no JSON at all'
		RECEIPT=$(fact receipt)
		look remove "$URL" '{}'
		[ "$(fact removed)" = yes ]
		look follow "$URL" '{}'
		[ "$(fact state)" = gone ]
		[ "$(fact "done")" = "" ]
		same_counts
	done
}

@test "a worker without the rights is no consumer, though it is connected" {
	use bullmq5
	lib add '[{"data":{}}]'
	redis ACL SETUSER worker on '>worker-password' '~other:*' +@all >/dev/null
	LIB_URL="redis://worker:worker-password@127.0.0.1:$REDIS_PORT/0"
	start_background barred node "$NODE_DIR/bull.js" "$LIB" "$LIB_URL" fileprocess work
	wait_until barred_seen
	field consumers 0
	field waiting 1
	# the library itself counts it
	redis CLIENT LIST | grep -q "name=bull:ZmlsZXByb2Nlc3M="
}

barred_seen() {
	look observe "$URL"
	run_ls "$URL"
	look observe "$URL"
	printf '%s\n' "$output" | tail -n 1 | command jq -e '.queue.stuck.is == "yes"' &&
	    run_ls "$URL"
}

@test "another prefix, another name, another technology: named" {
	use bullmq5
	LIB_QUEUE=fileprocess-jobs lib add '[{"data":{}},{"data":{}}]'
	run_ls "bullmq+$REDIS_URL/0?queue=fileprocess_jobs"
	field near.0.name fileprocess-jobs
	field near.0.type 'bullmq queue'
	field near.0.waiting 2
	run_ls "bullmq+$REDIS_URL/0?queue=fileprocess-jobs&prefix=app"
	field near.0.name fileprocess-jobs
	field near.0.where 'prefix bull'
	field near.0.waiting 2
	redis LPUSH imports a b c >/dev/null
	run_ls "bullmq+$REDIS_URL/0?queue=imports"
	field near.0.where 'a key of its own'
	field near.0.type list
	field near.0.waiting 3
	# Bull's and BullMQ's keys are alike, not the same
	run_ls "bull+$REDIS_URL/0?queue=fileprocess-jobs"
	expect_status 3
	has 'a queue of BullMQ, not of Bull'
	redis FLUSHALL >/dev/null
	use bull
	lib add '[{"data":{}}]'
	run_ls "bullmq+$REDIS_URL/0?queue=fileprocess"
	expect_status 3
	has 'a queue of Bull, not of BullMQ'
	redis SET bull:odd:wait x >/dev/null
	run_ls "bullmq+$REDIS_URL/0?queue=odd"
	expect_status 3
	has "is a string, not a list"
}

@test "failed jobs go back to wait as the library's own retry puts them, once" {
	for lib in bullmq4 bullmq5 bullmq6 bull; do
		redis FLUSHALL >/dev/null
		use "$lib"
		lib add '[{"data":{"fail":true}},{"data":{"fail":true}}]'
		start_lib_worker
		wait_until counts_are failed 2
		end_background
		list_jobs dead
		printf '%s\n' "$output" | tail -n 1 | command jq -e '.jobs.items[0] |
		    .error == "told to fail" and .payload_bytes > 0 and .age_ms >= 0'
		move_jobs dead 1 2 99
		[ "$MOVED" = '["1","2"]' ]
		move_jobs dead 1 2
		[ "$MOVED" = '[]' ]
		same_counts
		field waiting 2
		field failed 0
		[ "$(lib state 1)" = waiting ]
		[ -z "$(redis HGET bull:fileprocess:1 failedReason)" ]
		redis HSET bull:fileprocess:1 data '{}' >/dev/null
		redis HSET bull:fileprocess:2 data '{}' >/dev/null
		start_lib_worker
		wait_until -t 20 counts_are completed 2
		end_background
	done
}

@test "the connection ends before or after a retry: nothing is half moved, and it says what it knows" {
	use bullmq5
	for how in before after garbage; do
		redis FLUSHALL >/dev/null
		lib add '[{"data":{"fail":true}},{"data":{"fail":true}},{"data":{"fail":true}}]'
		start_lib_worker
		wait_until counts_are failed 3
		end_background
		start_cut "$REDIS_PORT" unsuccessful "$how"
		log=$(test_dir)/moves.$how
		run --separate-stderr "$REEVE_TOOL" queue requeue "${URL/:$REDIS_PORT/:$CUT_PORT}" --yes --log "$log" \
		    --output json
		expect_status 3
		command jq -e '.outcome == "unknown" and (.why | length > 10)' <<<"$output"
		case $how in
		before) wait_until counts_are failed 3 ;;
		*) wait_until keys_are LLEN wait 3 ;;
		esac
		same_counts
		run "$REEVE_TOOL" queue requeue "$URL" --yes --log "$log"
		expect_status 0
		same_counts
		field waiting 3
		field failed 0
	done
}

@test "stalled jobs go back to wait; what a living worker holds stays" {
	for lib in bullmq4 bullmq6 bull; do
		redis FLUSHALL >/dev/null
		use "$lib"
		lib add '[{"data":{"block":true}}]'
		start_lib_worker
		wait_until keys_are EXISTS 1:lock 1
		move_jobs expired 1
		[ "$MOVED" = '[]' ]
		end_background
		redis DEL bull:fileprocess:1:lock >/dev/null
		[ "$(list_jobs expired)" = '["1"]' ]
		move_jobs expired 1
		[ "$MOVED" = '["1"]' ]
		move_jobs expired 1
		[ "$MOVED" = '[]' ]
		same_counts
		field waiting 1
		field active 0
		redis HSET bull:fileprocess:1 data '{}' >/dev/null
		start_lib_worker
		wait_until -t 20 counts_are completed 1
		end_background
	done
}
