#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154
# The server of a job library dies, or answers garbage, in the middle of a move:
# it is said, no job is lost or doubled, and asked again all are moved. The other
# kinds' own files do so too.

load ../lib
load queue_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	need jq redis-server psql pg_dump node
	node_packages
	start_redis
	start_postgres
}

# cut URL PORT WORD: of three jobs that are to be moved by VERB.
cut_at() {
	local how log url=$1
	for how in before after garbage; do
		"$FILL"
		start_cut "$2" "$3" "$how"
		log=$(test_dir)/moves.$RANDOM
		run --separate-stderr "$REEVE_TOOL" queue "$VERB" "${url/:$2/:$CUT_PORT}" \
		    --yes --log "$log" --output json
		expect_status 3
		jq -e '.outcome == "unknown" and (.why | length > 10)' <<<"$output"
		# the server may still be at what it heard last
		wait_until all_there "$url"
		[ "$how" != before ] || [ "$WAIT" = 0 ]
		run --separate-stderr "$REEVE_TOOL" queue "$VERB" "$url" --yes --log "$log"
		expect_status 0
		all_there "$url"
		[ "$WAIT $REST" = "$JOBS 0" ]
		kill_started "$BACKGROUND_PID" 2>/dev/null
	done
}

# all_there URL: WAIT were moved, REST were not, and together they are all.
all_there() {
	run_ls "$1"
	WAIT=$(($(get waiting) - WAITED)) REST=$(get "$PART")
	[ "$((WAIT + REST))" = "$JOBS" ]
}

fill_redis() {
	local id
	redis FLUSHALL >/dev/null
	for id in 1 2 3; do
		case $KIND in
		bee) redis HSET bq:jobs:jobs "$id" '{"data":{},"options":{"timestamp":1,"stacktraces":["no"]},"status":"failed"}' &&
			redis SADD bq:jobs:failed "$id" ;;
		rq) redis HSET "rq:job:$id" status failed origin jobs created_at 2026-01-01T00:00:00Z data x exc_info no &&
			redis ZADD rq:failed:jobs 1 "$id" ;;
		sidekiq) redis ZADD dead "$id" "{\"class\":\"W\",\"args\":[],\"queue\":\"jobs\",\"jid\":\"$id\",\"error_message\":\"no\"}" ;;
		resque) redis RPUSH resque:failed "{\"failed_at\":\"2026/01/01 00:00:00 UTC\",\"payload\":{\"class\":\"W\",\"args\":[$id]},\"exception\":\"E\",\"error\":\"no\",\"queue\":\"jobs\"}" ;;
		celery) redis ZADD unacked_index 1 "$id" &&
			redis HSET unacked "$id" "[{\"body\":\"\",\"headers\":{\"id\":\"$id\"},\"properties\":{\"delivery_tag\":\"$id\",\"delivery_info\":{}}},\"\",\"jobs\"]" ;;
		esac >/dev/null
	done
}

@test "Bee-Queue, RQ, Sidekiq, Resque, Celery: the connection ends before or after a move, or says garbage" {
	FILL=fill_redis JOBS=3 WAITED=0
	for kind in bee:SREM:failed rq:ZREM:failed sidekiq:ZREM:dead resque:LSET:failed celery:HDEL:active; do
		IFS=: read -r KIND word PART <<<"$kind"
		VERB=requeue
		[ "$KIND" != celery ] || VERB=reclaim
		cut_at "$KIND+redis://127.0.0.1:$REDIS_PORT/0?queue=jobs" "$REDIS_PORT" "$word"
	done
}

fill_postgres() {
	sql 'DROP SCHEMA public CASCADE; CREATE SCHEMA public' 2>/dev/null
	sql "$(cat "$BATS_TEST_DIRNAME/pg_layouts/$KIND.sql")" >/dev/null
}

@test "libraries in PostgreSQL: the connection ends before, in or after the transaction, or says garbage" {
	FILL=fill_postgres JOBS=1 VERB=requeue PART=failed
	for KIND in river oban solidqueue que procrastinate goodjob delayedjob; do
		WAITED=2
		[ "$KIND" != que ] || WAITED=4 # without a locker nothing is in hand
		cut_at "$KIND+$PG_URL?queue=jobs" "$PG_PORT" 'BEGIN;SET>COMMIT'
	done
}

# As the libraries made their tables themselves, once; then from a copy.
fill_dumped() {
	local dump
	dump=$(test_dir)/$KIND.sql
	sql 'DROP SCHEMA IF EXISTS pgboss, graphile_worker CASCADE' 2>/dev/null
	if [ -e "$dump" ]; then
		psql -X -q -v ON_ERROR_STOP=1 -f "$dump" "$PG_URL" >/dev/null
		return
	fi
	NODE_PATH=$NODE_DIR/node_modules node "$BATS_TEST_DIRNAME/pg_jobs.js" "$KIND" fill "$PG_URL"
	pg_dump -n pgboss -n graphile_worker -d "$PG_URL" >"$dump"
}

@test "pg-boss and Graphile Worker: the connection ends before, in or after the transaction, or says garbage" {
	FILL=fill_dumped JOBS=1 WAITED=3 VERB=requeue PART=failed
	KIND=pgboss
	cut_at "pgboss+$PG_URL?queue=jobs" "$PG_PORT" 'BEGIN;SET>COMMIT'
	KIND=graphile
	cut_at "graphile+$PG_URL?task=jobs" "$PG_PORT" 'BEGIN;SET>COMMIT'
}
