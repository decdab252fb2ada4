#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2154
# Redis streams with consumer groups: Redis' own words are the truth.

load ../lib
load queue_lib

setup_file() {
	start_redis
}

setup() {
	redis FLUSHALL >/dev/null
	redis XGROUP CREATE jobs workers 0 MKSTREAM >/dev/null
	URL="redisstream+$REDIS_URL/0?stream=jobs&group=workers"
}

put() {
	redis XADD jobs '*' payload "$1"
}

take() {
	redis XREADGROUP GROUP workers "$1" COUNT "${2:-1}" STREAMS jobs '>' >/dev/null
}

# What Redis itself says of the group: its lag, what is pending, its consumers.
same_counts() {
	local theirs
	theirs=$(redis --json XINFO GROUPS jobs | command jq -r '.[0] | "\(.lag) \(.pending) \(.consumers)"')
	run_ls "$URL"
	[ "$(get waiting) $(get active) $(get consumers)" = "$theirs" ] || {
		printf 'Redis says: %s\n%s\n' "$theirs" "$output" >&2
		return 1
	}
}

@test "lag, pending, ages, attempts and consumers are what Redis says" {
	same_counts
	expect_status 0
	field waiting 0
	redis XADD jobs "$(($(redis TIME | head -n 1) * 1000 - 90000))-0" payload old >/dev/null
	put a
	put b
	same_counts
	field waiting 3
	field active 0
	field consumers 0
	[ "$(get oldest_ms)" -ge 90000 ]
	[ "$(get oldest_ms)" -lt 600000 ]
	take w-1 2
	same_counts
	field waiting 1
	field active 2
	field attempts_max 1
	field consumers 1
	field consumer_list.0.id w-1
	field lease_expired 0
	# what is pending for longer than that is lost
	wait_until idle_seen
}

idle_seen() {
	run_ls "$URL&idle=20ms" && field lease_expired 2 && field consumers 0
}

@test "a lag that Redis lost is counted instead" {
	put a
	local gone
	gone=$(put b)
	put c
	take w-1
	redis XDEL jobs "$gone" >/dev/null
	run_ls "$URL"
	field waiting 1
	field active 1
}

@test "no stream, no group, no stream at all" {
	put a
	run_ls "redisstream+$REDIS_URL/0?stream=job&group=workers"
	expect_status 3
	field near.0.name jobs
	field near.0.type stream
	run_ls "redisstream+$REDIS_URL/0?stream=jobs&group=worker"
	expect_status 3
	has "has no group 'worker'"
	redis LPUSH plain a >/dev/null
	run_ls "redisstream+$REDIS_URL/0?stream=plain&group=workers"
	expect_status 3
	has 'is a list, not a stream'
	run_ls "redisstream+$REDIS_URL/0?stream=jobs"
	expect_status 3
	has "needs the key 'group'"
}

@test "a canary waits, is taken, is acknowledged; one nobody took is taken back" {
	look submit "$URL" 'canary $(CANARY)'
	RECEIPT=$(fact receipt)
	look follow "$URL" x
	[ "$(fact state)" = visible ]
	take w-1
	look follow "$URL" x
	[ "$(fact state)" = taken ]
	[ "$(fact by)" = w-1 ]
	look remove "$URL" x
	[ "$(fact removed)" = no ]
	redis XACK jobs workers "$RECEIPT" >/dev/null
	look follow "$URL" x
	[ "$(fact state)" = gone ]
	[ "$(fact "done")" = yes ]
	RECEIPT=
	look submit "$URL" again
	RECEIPT=$(fact receipt)
	look remove "$URL" x
	[ "$(fact removed)" = yes ]
	look follow "$URL" x
	[ "$(fact state)" = gone ]
	[ "$(fact "done")" = "" ]
}

# --- jobs, and their way back -----------------------------------------------

queue() {
	run --separate-stderr "$REEVE_TOOL" queue "$@" --log "$(test_dir)/moves.jsonl"
}

peek() {
	run --separate-stderr "$REEVE_TOOL" queue peek "$@" --output json
	expect_status 0
}

# of JQ: in what peek or a move answered.
of() {
	jq -er "$1" <<<"$output"
}

# What every worker of the group gets from now on, one payload a line.
given_out() {
	redis --json XREADGROUP GROUP workers w-new COUNT 100 STREAMS jobs '>' |
	    jq -r '.jobs[]? | .[1][1]'
}

# idle_for MS: the pending entries have been idle for so long.
idle_for() {
	[ -n "$(redis XPENDING jobs workers IDLE "$1" - + 1)" ]
}

@test "peek shows what waits and what is pending, and takes nothing" {
	put first
	redis XADD jobs '*' kind mail to $'a\xffb' >/dev/null
	put third
	take w-1
	before=$(redis XINFO GROUPS jobs | cksum; redis XPENDING jobs workers | cksum)
	peek "$URL"
	of '.queues[0] | .total == 2 and (.jobs | length) == 2'
	of '.queues[0].jobs[1].payload == "third" and .queues[0].jobs[1].age_ms >= 0'
	of '.queues[0].jobs[0].payload | fromjson | .kind == "mail"'
	peek "$URL" --part active
	of '.queues[0].jobs[0] | .payload == "first" and .owner == "w-1" and .attempts == 1'
	peek "$URL" --limit 1
	of '.queues[0] | .total == 2 and (.jobs | length) == 1'
	[ "$(redis XINFO GROUPS jobs | cksum; redis XPENDING jobs workers | cksum)" = "$before" ]
	# an entry larger than what is read at once doesn't hide the next
	redis -x XADD jobs '*' payload < <(head -c 3000000 /dev/zero | tr '\0' x) >/dev/null
	put last
	peek "$URL"
	of '.queues[0].jobs | (map(.payload_bytes) | contains([3000000])) and .[-1].payload == "last"'
}

@test "an entry that was deleted while it was pending is told, and can't be moved" {
	gone=$(put a)
	put b
	take w-1 2
	redis XDEL jobs "$gone" >/dev/null
	peek "$URL" --part active
	of '.queues[0].jobs | map([.payload_bytes, .error]) == [[null, "its entry was deleted"], [1, null]]'
	wait_until idle_for 20
	queue reclaim "$URL&idle=20ms" --yes --output json
	of '.moved | length == 1'
	[ "$(given_out)" = b ]
}

@test "reclaim puts back a copy of what hangs at a dead consumer, once, and logs both ids" {
	for i in 1 2 3; do put "j-$i"; done
	take w-dead 2
	# who didn't say how long a worker may take is refused
	look move "$URL" '' "\"part\":\"expired\",\"ids\":[\"$(redis XPENDING jobs workers - + 1 | head -n 1)\"]"
	[ "$(answer code)" = unsupported ]
	has "Say it with 'idle'"
	queue reclaim "$URL&idle=10m" --yes
	expect_status 0
	has 'Nothing to be moved'
	wait_until idle_for 50
	queue reclaim "$URL&idle=50ms"
	expect_status 0
	has 'would be moved: 2'
	[ "$(redis XLEN jobs)" = 3 ]
	queue reclaim "$URL&idle=50ms" --yes --output json
	expect_status 0
	of '.outcome == "moved" and (.moved | length) == 2 and (.moved_as | length) == 2'
	of '.moved[0] != .moved_as[0]'
	[ "$(redis XPENDING jobs workers | head -n 1)" = 0 ]
	[ "$(given_out | sort | paste -sd' ')" = 'j-1 j-2 j-3' ]
	jq -es '.[1].jobs | length == 2 and all(.as != .id)' "$(test_dir)/moves.jsonl"
	# it came back: held, by the id that it has now
	wait_until idle_for 50
	queue reclaim "$URL&idle=50ms"
	expect_status 1
	has 'held back: 2'
	has 'would be moved: 1'
}

@test "the connection ends before or after a reclaim: nothing is half moved, and it says what it knows" {
	for how in before after garbage; do
		redis DEL jobs >/dev/null
		redis XGROUP CREATE jobs workers 0 MKSTREAM >/dev/null
		for i in 1 2 3; do put "j-$i" >/dev/null; done
		take w-dead 3
		wait_until idle_for 50
		start_cut "$REDIS_PORT" XACK "$how"
		log=$(test_dir)/moves.$how
		run --separate-stderr "$REEVE_TOOL" queue reclaim "${URL/:$REDIS_PORT/:$CUT_PORT}&idle=50ms" \
		    --yes --log "$log" --output json
		expect_status 3
		jq -e '.outcome == "unknown" and (.why | length > 10)' <<<"$output"
		# all or none: copies, and pending entries no more
		case $how in
		before) wait_until pending_and_all '3 3' ;;
		*) wait_until pending_and_all '0 6' ;;
		esac
		run "$REEVE_TOOL" queue reclaim "$URL&idle=50ms" --yes --log "$log"
		expect_status 0
		pending_and_all '0 6'
		[ "$(given_out | sort | paste -sd' ')" = 'j-1 j-2 j-3' ]
	done
}

pending_and_all() {
	[ "$(redis XPENDING jobs workers | head -n 1) $(redis XLEN jobs)" = "$1" ]
}

@test "a hundred are moved once by two at a time" {
	for i in $(seq 100); do echo "XADD jobs * payload j-$i"; done | redis >/dev/null
	take w-dead 100
	wait_until idle_for 50
	pids=()
	for i in 1 2; do
		"$REEVE_TOOL" queue reclaim "$URL&idle=50ms" --yes --force \
		    --log "$(test_dir)/log.$i" >"$(test_dir)/out.$i" 3>&- 4>&- &
		pids+=($!)
	done
	wait "${pids[0]}"
	wait "${pids[1]}"
	[ "$(given_out | sort | uniq | wc -l)" = 100 ]
	[ "$(redis XLEN jobs)" = 200 ]
}

@test "dead is what was delivered too often, or stands in a stream of dead letters; both go back" {
	peek_dead() { run --separate-stderr "$REEVE_TOOL" queue dead "$@" --output json; }
	peek_dead "$URL"
	[ "$status" -ne 0 ]
	of '.queues[0].error | contains("max_attempts")'
	put poison
	take w-1
	redis XCLAIM jobs workers w-2 0 "$(redis XPENDING jobs workers - + 1 | head -n 1)" >/dev/null
	redis XADD jobs:dead '*' payload buried error boom >/dev/null
	put fresh
	take w-3
	DEAD="$URL&idle=30ms&max_attempts=2&dlq=jobs:dead"
	wait_until both_idle
	peek_dead "$DEAD"
	of '.queues[0] | .total == 2 and ([.jobs[].attempts] == [null, 2])'
	queue requeue "$DEAD" --yes --output json
	expect_status 0
	of '.moved | length == 2'
	[ "$(redis XLEN jobs:dead)" = 0 ]
	[ "$(redis XPENDING jobs workers | head -n 1)" = 1 ]
	[ "$(given_out | sort | paste -sd' ')" = 'buried poison' ]
	# what only waits to be reclaimed is no dead letter
	queue requeue "$DEAD" --id "$(redis XPENDING jobs workers - + 1 w-3 | head -n 1)" --yes
	expect_status 4
}

# One that was delivered too often, and one that only waits to be reclaimed.
both_idle() {
	run_ls "$DEAD" && field dead 2 && field lease_expired 1
}

@test "with a second group nothing is moved: it would get the copy too" {
	put a
	take w-dead
	redis XGROUP CREATE jobs others 0 >/dev/null
	wait_until idle_for 20
	queue reclaim "$URL&idle=20ms" --yes
	expect_status 1
	has 'has 2 groups'
	[ "$(redis XLEN jobs)" = 1 ]
	[ "$(redis XPENDING jobs workers | head -n 1)" = 1 ]
}
