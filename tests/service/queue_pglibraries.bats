#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154
# Job libraries that keep their queues in PostgreSQL: pg-boss and Graphile Worker
# with their own producers and workers; the others, whose workers can't be had
# here, on schema fixtures (pg_layouts/) with one job in each state.

load ../lib
load queue_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	node_packages
	export NODE_PATH=$NODE_DIR/node_modules
	start_postgres
}

setup() {
	sql 'DROP SCHEMA IF EXISTS pgboss, graphile_worker, pgmq, public CASCADE;
	CREATE SCHEMA public; DROP ROLE IF EXISTS looker' 2>/dev/null
	BOSS="pgboss+$PG_URL?queue=jobs"
	GRAPHILE="graphile+$PG_URL?task=jobs"
}

# library NAME fill|counts|work: the library's own client.
library() {
	node "$BATS_TEST_DIRNAME/pg_jobs.js" "$1" "$2" "$PG_URL"
}

# work NAME: its worker, in the background; sets BACKGROUND_PID and _LOG.
work() {
	start_background "$1-worker" node "$BATS_TEST_DIRNAME/pg_jobs.js" "$1" work "$PG_URL"
	wait_until grep -q ready "$BACKGROUND_LOG"
}

# part OP URL PART [ID…]: the prober's list and move.
part() {
	run "$REEVE_TOOL" probe < <(python3 -c '
import json, sys
print(json.dumps({"kind": "queue", "subject": "q", "timeout_ms": 20000, "op": sys.argv[1],
    "url": sys.argv[2], "part": sys.argv[3], "ids": sys.argv[4:]}))' "$@")
	[ "$status" -eq 0 ]
}

# jobs FILTER: of what part answered.
jobs() {
	printf '%s\n' "$output" | tail -n 1 | jq -r "$1"
}

followed() {
	look follow "$1" && [ "$(fact state)" = "$2" ]
}

done_with() {
	look follow "$1" && [ "$(fact "done")" = yes ]
}

canary_waits() { # URL PAYLOAD
	RECEIPT='' look submit "$1" "$2"
	RECEIPT=$(fact receipt)
	[ -n "$RECEIPT" ]
	look follow "$1"
	[ "$(fact state)" = visible ]
}

@test "pg-boss: every count is the one that its own client says" {
	library pgboss fill
	said=$(library pgboss counts)
	run_ls "$BOSS"
	expect_status 0
	[ "$(jq '.created + .retry' <<<"$said")" = 5 ]
	[ "$(($(get waiting) + $(get delayed)))" = "$(jq .waits <<<"$said")" ]
	field waiting 3
	field delayed 2
	field active "$(jq .active <<<"$said")"
	field completed "$(jq .completed <<<"$said")"
	field failed "$(jq .failed <<<"$said")"
	field dead "$(jq .dead <<<"$said")"
	field lease_expired 0
	field consumers 0
	lacks "$PG_PASSWORD"
	# its default: at once
	field server.backs_off.is False
	sql "UPDATE pgboss.job SET retry_backoff=true WHERE retry_limit>0"
	run_ls "$BOSS"
	field server.backs_off.is True
	sql "UPDATE pgboss.job SET started_on=now()-interval '1 day' WHERE state='active'"
	run_ls "$BOSS"
	field lease_expired 1
}

@test "pg-boss: a canary goes through its own worker, or dies in it" {
	work pgboss
	RECEIPT='' look submit "$BOSS" '{"n":1}'
	RECEIPT=$(fact receipt)
	wait_until done_with "$BOSS"
	CANARY=7d9f1c52-0d4b-4a58-9a3e-52a1a2f0c4f2 RECEIPT='' look submit "$BOSS" '{"fail":true}'
	RECEIPT=$(fact receipt)
	wait_until followed "$BOSS" dead
	run_ls "$BOSS"
	field failed 1
	field consumers null
	has 'sessions of this database may work on it'
	has '"id": "pgboss '
}

@test "pg-boss 11 and 12: the counts are their own, a canary is done by their worker, what failed goes back" {
	local version key
	for version in 11 12; do
		sql 'DROP SCHEMA IF EXISTS pgboss CASCADE' 2>/dev/null
		library "pgboss$version" fill
		said=$(library "pgboss$version" counts)
		run_ls "$BOSS"
		expect_status 0
		for key in waiting delayed active dead; do
			field "$key" "$(jq ".$key" <<<"$said")"
		done
		field waiting 3
		[ "$(($(get completed) + $(get failed)))" = "$(jq .finished <<<"$said")" ]
		work "pgboss$version"
		RECEIPT='' look submit "$BOSS" '{"n":1}'
		RECEIPT=$(fact receipt)
		wait_until done_with "$BOSS"
		part list "$BOSS" dead
		part move "$BOSS" dead "$(jobs '.jobs.items[0].id')"
		[ "$(jobs '.moved | length')" = 1 ]
		wait_until test_sql "SELECT 1 FROM pgboss.job WHERE name='jobs' AND state='completed' HAVING count(*)>=6"
		kill_started "$BACKGROUND_PID"
		run_ls "$BOSS"
		field waiting 0
	done
}

@test "Graphile Worker 0.18: what waits and what is delayed, a canary through its worker" {
	library graphile18 fill
	run_ls "$GRAPHILE"
	expect_status 0
	field waiting "$(sql "SELECT count(*) FROM graphile_worker.jobs WHERE task_identifier='jobs' AND run_at<=now() AND attempts<max_attempts")"
	field delayed 2
	field failed 1
	work graphile18
	RECEIPT='' look submit "$GRAPHILE" '{"n":1}'
	RECEIPT=$(fact receipt)
	wait_until followed "$GRAPHILE" gone
	wait_until seen_waiting 0
}

seen_waiting() {
	run_ls "$GRAPHILE"
	field waiting "$1"
}

@test "pg-boss: failed and expired jobs go back, each once, and are done" {
	library pgboss fill
	part list "$BOSS" dead
	id=$(jobs '.jobs.items[0].id')
	[ "$(jobs '.jobs.items | length')" = 1 ]
	has 'no such file'
	part move "$BOSS" dead "$id" 7d9f1c52-0d4b-4a58-9a3e-52a1a2f0c4f9
	has '1 of 2 moved'
	part move "$BOSS" dead "$id"
	has '0 of 1 moved'
	part list "$BOSS" expired
	[ "$(jobs '.jobs.items | length')" = 0 ]
	sql "UPDATE pgboss.job SET started_on=now()-interval '1 day' WHERE state='active'"
	part list "$BOSS" expired
	part move "$BOSS" expired "$(jobs '.jobs.items[0].id')"
	has '1 of 1 moved'
	work pgboss
	wait_until test_sql "SELECT 1 FROM pgboss.job WHERE name='jobs' AND state='completed' HAVING count(*)=6"
}

@test "a queue, a task or a schema that isn't there is named with the nearest" {
	library pgboss fill
	run_ls "pgboss+$PG_URL?queue=job"
	expect_status 3
	has "there is no 'job'"
	has '"name": "jobs"'
	RECEIPT='' look submit "pgboss+$PG_URL?queue=job" '{}'
	[ "$(answer result)" = failed ]
	has 'no partition of relation'
	run_ls "$BOSS&schema=boss"
	expect_status 3
	has '"where": "schema pgboss"'
	library graphile fill
	run_ls "graphile+$PG_URL?task=jbos"
	expect_status 3
	has '"name": "jobs"'
}

@test "Graphile Worker: every count is the one of its own view" {
	library graphile fill
	view="FROM graphile_worker.jobs WHERE task_identifier='jobs' AND"
	run_ls "$GRAPHILE"
	expect_status 0
	field waiting "$(sql "SELECT count(*) $view locked_at IS NULL AND attempts<max_attempts AND run_at<=now()")"
	field waiting 3
	field delayed "$(sql "SELECT count(*) $view attempts<max_attempts AND run_at>now()")"
	field failed "$(sql "SELECT count(*) $view attempts>=max_attempts")"
	field active 0
	field consumers 0
	sql "DELETE FROM graphile_worker._private_jobs"
	run_ls "$GRAPHILE"
	[ "$(get waiting) $(get delayed) $(get failed)" = '0 0 0' ]
	[ "$(sql "SELECT count(*) FROM graphile_worker.jobs")" = 0 ]
	work graphile
	RECEIPT='' look submit "$GRAPHILE" '{"block":true}'
	RECEIPT=$(fact receipt)
	wait_until followed "$GRAPHILE" taken
	run_ls "$GRAPHILE"
	field waiting 0
	field active "$(sql "SELECT count(*) $view locked_at IS NOT NULL")"
	field active 1
	field lease_expired 0
	field consumers 1
	sql "UPDATE graphile_worker._private_jobs SET locked_at=now()-interval '5 h' WHERE locked_at IS NOT NULL"
	run_ls "$GRAPHILE"
	field lease_expired 1
}

@test "Graphile Worker: a canary goes through its own worker, or dies in it" {
	library graphile fill
	work graphile
	RECEIPT='' look submit "$GRAPHILE" '{"n":1}'
	RECEIPT=$(fact receipt)
	wait_until done_with "$GRAPHILE"
	CANARY=7d9f1c52-0d4b-4a58-9a3e-52a1a2f0c4f2 RECEIPT='' look submit "$GRAPHILE" '{"fail":true}'
	RECEIPT=$(fact receipt)
	wait_until followed "$GRAPHILE" dead
	part list "$GRAPHILE" dead
	[ "$(jobs '.jobs.items | length')" = 2 ]
	part move "$GRAPHILE" dead "$(jobs '.jobs.items[0].id')"
	has '1 of 1 moved'
	look remove "$GRAPHILE"
	[ "$(fact removed)" = yes ]
}

@test "row security that hides Graphile Worker's rows is an error, never 0" {
	library graphile fill
	sql "CREATE ROLE looker LOGIN PASSWORD 'looker-password';
	GRANT USAGE ON SCHEMA graphile_worker TO looker;
	GRANT SELECT ON ALL TABLES IN SCHEMA graphile_worker TO looker"
	run_ls "graphile+postgresql://looker:looker-password@127.0.0.1:$PG_PORT/postgres?task=jobs"
	expect_status 3
	field waiting null
	has 'row-level security'
	sql 'DROP OWNED BY looker'
}

# layout KIND QUEUE PAYLOAD: two waiting, the oldest 90 s; two in hand; two
# delayed; one failed; all of the fixture.
layout() {
	sql "$(cat "$BATS_TEST_DIRNAME/pg_layouts/$1.sql")"
	url="$1+$PG_URL?queue=$2"
	run_ls "$url"
	expect_status 0
	field waiting 2
	field active 2
	field delayed 2
	[ "$(get oldest_ms)" -ge 90000 ]
	[ "$(get oldest_ms)" -lt 3600000 ]
	canary_waits "$url" "$3"
	part list "$url" waiting
	[ "$(jobs '.jobs.items | length')" = 3 ]
	[ "$(jobs '.jobs.items[0].age_ms')" -ge 90000 ]
	look remove "$url"
	[ "$(fact removed)" = yes ]
	look follow "$url"
	[ "$(fact state)" = gone ]
	[ -z "$(fact "done")" ]
	part list "$url" active
	[ "$(jobs '.jobs.items | length')" = 2 ]
}

# The failed one goes back, once.
failed_goes_back() {
	part list "$url" dead
	[ "$(jobs '.jobs.items | length')" = 1 ]
	has 'no such file'
	id=$(jobs '.jobs.items[0].id')
	part move "$url" dead "$id"
	has '1 of 1 moved'
	part move "$url" dead "$id"
	has '0 of 1 moved'
	run_ls "$url"
	field waiting 3
	field failed 0
}

expired_goes_back() {
	field lease_expired 1
	part list "$url" expired
	part move "$url" expired "$(jobs '.jobs.items[0].id')"
	has '1 of 1 moved'
	run_ls "$url"
	field lease_expired 0
	field active 1
}

@test "River, on a schema fixture" {
	layout river jobs '{"kind":"canary","args":{}}'
	run_ls "$url"
	field completed 1
	field attempts_max 3
	field paused False
	field consumers 0
	failed_goes_back
	expired_goes_back
	sql "UPDATE river_queue SET paused_at=now(), updated_at=now()"
	run_ls "$url"
	field paused True
	field consumers null
	RECEIPT='' look submit "$url" '{"args":{}}'
	[ "$(answer result)" = failed ]
	has "a JSON object with 'kind' and 'args'"
	run_ls "river+$PG_URL?queue=job"
	has '"name": "jobs"'
}

@test "Oban, on a schema fixture" {
	layout oban jobs '{"worker":"Canary","args":{}}'
	run_ls "$url"
	field completed 1
	field attempts_max 3
	field consumers null
	failed_goes_back
	expired_goes_back
	run_ls "oban+$PG_URL?queue=jobs&prefix=elsewhere"
	expect_status 3
	has '"where": "schema public"'
}

@test "Solid Queue, on a schema fixture" {
	layout solidqueue jobs '{"class_name":"Canary","arguments":{}}'
	run_ls "$url"
	field completed 1
	field paused False
	field consumers 1
	has '"id": "host-1:11"'
	has 'keeps no count of attempts'
	failed_goes_back
	expired_goes_back
	run_ls "solidqueue+$PG_URL?queue=others"
	field paused True
}

@test "PGMQ, on a schema fixture" {
	layout pgmq jobs '{}'
	run_ls "$url"
	field completed 1
	field attempts_max 3
	field failed null
	field quality.failed not-applicable
	field consumers null
	part list "$url" dead
	[ "$(answer result)" != passed ]
	has 'has no dead jobs'
	run_ls "pgmq+$PG_URL?queue=JOBS"
	field waiting 2
	run_ls "pgmq+$PG_URL?queue=mails"
	expect_status 3
	has '"name": "mail"'
}

@test "Que, on a schema fixture" {
	sql "$(cat "$BATS_TEST_DIRNAME/pg_layouts/que.sql")"
	# a locker as Que's: it holds the advisory locks of what is in hand
	start_background locker env PGPASSWORD="$PG_PASSWORD" psql -X -q -h 127.0.0.1 \
	    -p "$PG_PORT" -U postgres -d postgres -c "SELECT pg_advisory_lock(3), pg_advisory_lock(4);
		INSERT INTO que_lockers SELECT pg_backend_pid(), 2, '{1}', 11, 'host-1', '{jobs}', true, 2" \
	    -c 'SELECT pg_sleep(600)'
	wait_until test_sql 'SELECT 1 FROM que_lockers'
	sql() { # the fixture is loaded already
		[[ $1 = --* ]] || command psql "postgresql://postgres:$PG_PASSWORD@127.0.0.1:$PG_PORT/postgres" -XqAt -c "$1"
	}
	layout que jobs '{"job_class":"Canary","args":[]}'
	run_ls "$url"
	field completed 1
	field consumers 1
	has '"id": "host-1:11"'
	failed_goes_back
	sql 'SELECT pg_terminate_backend(pid, 10000) FROM que_lockers'
	run_ls "$url"
	field consumers 0
	field active 0
	field waiting 5
}

@test "Procrastinate, on a schema fixture" {
	layout procrastinate jobs '{"task_name":"canary","args":{}}'
	run_ls "$url"
	field completed 1
	field attempts_max 3
	field consumers null
	has "don't say which queues"
	expired_goes_back
	part list "$url" dead
	part move "$url" dead "$(jobs '.jobs.items[0].id')"
	has '1 of 1 moved'
	sql 'DELETE FROM procrastinate_workers'
	run_ls "$url"
	field consumers 0
}

@test "GoodJob, on a schema fixture" {
	layout goodjob jobs '{"job_class":"Canary"}'
	run_ls "$url"
	field completed 1
	field failed 1
	field attempts_max 3
	field lease_expired 1
	field consumers null
	has 'host-1:11'
	failed_goes_back
	# Active Job counts anew, and its other parameters are as they were
	test_sql "SELECT 1 FROM good_jobs WHERE serialized_params @>
	    '{\"n\":7,\"executions\":0}' AND executions_count=0 AND error IS NULL"
	expired_goes_back
}

@test "Delayed Job, on a schema fixture" {
	layout delayedjob jobs '--- !ruby/struct:Canary'
	run_ls "$url"
	field attempts_max 3
	field consumers 1
	field quality.consumers at-least
	failed_goes_back
	expired_goes_back
}

delayed() { ruby "$BATS_TEST_DIRNAME/delayed_jobs.rb" "$PG_URL" "$1"; }

delayed_is() { [ "$(delayed counts)" = "$1" ]; }

@test "Delayed Job: every count is its own, a canary goes through its worker, what failed goes back" {
	need ruby
	delayed fill
	url="delayedjob+$PG_URL?queue=jobs"
	run_ls "$url"
	expect_status 0
	[ "$(get waiting) $(get delayed) $(get active) $(get failed)" = "$(delayed counts)" ]
	field waiting 3
	RECEIPT='' look submit "$url" $'--- !ruby/struct:Sort\nfile: canary\n'
	RECEIPT=$(fact receipt)
	start_background delayed ruby "$BATS_TEST_DIRNAME/delayed_jobs.rb" "$PG_URL" work
	wait_until -t 60 followed "$url" gone
	wait_until grep -q 'works on canary' "$BACKGROUND_LOG"
	wait_until delayed_is '0 2 0 1'
	delayed block
	wait_until delayed_is '0 2 1 1'
	run_ls "$url"
	[ "$(get waiting) $(get delayed) $(get active) $(get failed)" = '0 2 1 1' ]
	part list "$url" dead
	part move "$url" dead "$(jobs '.jobs.items[0].id')"
	[ "$(jobs '.moved | length')" = 1 ]
	kill_started "$BACKGROUND_PID"
	sql 'DELETE FROM delayed_jobs'
	run_ls "$url"
	[ "$(get waiting) $(get delayed) $(get active) $(get failed)" = "$(delayed counts)" ]
	field waiting 0
}

@test "another layout than the one that is known says whose it is" {
	sql 'CREATE TABLE river_job(id int); CREATE TABLE river_queue(name text, updated_at timestamptz)'
	run_ls "river+$PG_URL?queue=jobs"
	expect_status 3
	has "not the layout of River that is known"
	has 'migrations 4 to 7'
}
