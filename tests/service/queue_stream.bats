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

@test "lag, pending, ages, attempts and consumers are what Redis says" {
	run_ls "$URL"
	expect_status 0
	field waiting 0
	redis XADD jobs "$(($(redis TIME | head -n 1) * 1000 - 90000))-0" payload old >/dev/null
	put a
	put b
	run_ls "$URL"
	field waiting 3
	field active 0
	field consumers 0
	[ "$(get oldest_ms)" -ge 90000 ]
	[ "$(get oldest_ms)" -lt 600000 ]
	take w-1 2
	run_ls "$URL"
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
