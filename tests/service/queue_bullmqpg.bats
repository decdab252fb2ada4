#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# BullMQ 6 on PostgreSQL, with its own producer and worker.

load ../lib
load queue_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	node_packages
	export NODE_PATH=$NODE_DIR/node_modules
	start_postgres
}

setup() {
	sql 'DROP SCHEMA IF EXISTS bullmq CASCADE' 2>/dev/null
	BULL="bullmq+$PG_URL?queue=jobs"
}

# bullmq fill|counts|pause: the library itself.
bullmq() {
	node "$BATS_TEST_DIRNAME/pg_jobs.js" bullmqpg "$1" "$PG_URL"
}

# works DOING WORD: its worker, until it says that word; sets BACKGROUND_PID.
works() {
	start_background "bullmq-$1" node "$BATS_TEST_DIRNAME/pg_jobs.js" bullmqpg "$1" "$PG_URL"
	wait_until grep -q "$2" "$BACKGROUND_LOG"
}

queue() {
	XDG_STATE_HOME=$BATS_TEST_TMPDIR run "$REEVE_TOOL" queue "$@"
}

followed() {
	look follow "$BULL" && [ "$(fact state)" = "$1" ]
}

seen() { # KEY VALUE
	run_ls "$BULL" && field "$1" "$2"
}

@test "every count is the one that its own client says, in every state" {
	bullmq fill
	said=$(bullmq counts)
	run_ls "$BULL"
	expect_status 0
	field kind bullmqpg
	field waiting "$(jq '.waiting + .prioritized' <<<"$said")"
	field waiting 3
	field delayed "$(jq .delayed <<<"$said")"
	field delayed 2
	field failed "$(jq .failed <<<"$said")"
	field failed 1
	field completed "$(jq .completed <<<"$said")"
	field active 0
	field lease_expired 0
	field consumers 0
	field paused False
	field server.backs_off.is False
	lacks "$PG_PASSWORD"
	bullmq pause
	run_ls "$BULL"
	field paused True
	run "$REEVE_TOOL" diagnose "$BULL"
	expect_status 1
	has RV228
	# the kind's own word, and what isn't there
	run_ls "bullmqpg+$PG_URL?queue=job"
	has '"name": "jobs"'
}

@test "a canary goes through its own worker, or dies in it; the worker is known by its session" {
	bullmq counts >/dev/null
	works work ready
	wait_until seen consumers 1
	has '"id": "jobs:w:w1 '
	RECEIPT='' look submit "$BULL" '{"n":1}'
	RECEIPT=$(fact receipt)
	wait_until followed gone
	[ "$(fact "done")" = yes ]
	CANARY=7d9f1c52-0d4b-4a58-9a3e-52a1a2f0c4f2 RECEIPT='' look submit "$BULL" '{"fail":true}'
	RECEIPT=$(fact receipt)
	wait_until followed dead
	kill_started "$BACKGROUND_PID"
	wait_until seen consumers 0
}

@test "a canary that nobody takes waits, and is removed" {
	bullmq counts >/dev/null
	RECEIPT='' look submit "$BULL" '{"n":1}'
	RECEIPT=$(fact receipt)
	followed visible
	look remove "$BULL"
	run_ls "$BULL"
	field waiting 0
}

@test "what failed, and what a dead worker holds, goes back once and is done" {
	bullmq fill
	sql "DELETE FROM bullmq.job WHERE state IN ('waiting','delayed')"
	queue dead "$BULL"
	has 'no such file'
	queue requeue "$BULL" --yes
	expect_status 0
	has 'moved: 1'
	queue requeue "$BULL" --yes
	has 'Nothing to be moved'
	run_ls "$BULL"
	field waiting 1
	field failed 0
	works hold holds
	kill_started "$BACKGROUND_PID"
	wait_until seen lease_expired 1
	field active 1
	queue reclaim "$BULL" --yes
	expect_status 0
	has 'moved: 1'
	run_ls "$BULL"
	field waiting 1
	field active 0
	# its data still says that it fails: no such end is told to the worker
	sql "UPDATE bullmq.job SET data='{}'"
	works work ready
	wait_until seen completed 2
	field waiting 0
}

judged() { # FINDING URL
	run "$REEVE_TOOL" diagnose "$2"
	expect_status 1
	has "ROOT CAUSE  $1"
}

@test "not migrated, another schema, name or version, and a role without rights are told" {
	queue ls "$BULL"
	expect_status 3
	judged RV209 "$BULL"
	bullmq fill
	judged RV203 "${BULL/queue=jobs/queue=job}"
	has jobs
	sql 'CREATE SCHEMA empty'
	judged RV202 "$BULL&schema=empty"
	has bullmq
	sql "CREATE ROLE stranger LOGIN PASSWORD 'x'"
	judged RV206 "${BULL/postgres:$PG_PASSWORD@/stranger:x@}"
	sql 'GRANT USAGE ON SCHEMA bullmq TO stranger;
	GRANT SELECT ON ALL TABLES IN SCHEMA bullmq TO stranger;
	ALTER ROLE stranger SET default_transaction_read_only = on'
	judged RV226 "${BULL/postgres:$PG_PASSWORD@/stranger:x@}"
	sql 'ALTER TABLE bullmq.job RENAME attempts_made TO tries'
	judged RV204 "$BULL"
	has 'BullMQ 6'
}
