#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031
# The PostgreSQL table driver and the reference worker on it.

load ../lib
load queue_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	start_postgres
}

setup() {
	sql 'DROP SCHEMA IF EXISTS audit CASCADE; DROP TABLE IF EXISTS documents, jobs;
	CREATE TABLE documents(id bigserial PRIMARY KEY, filename text NOT NULL,
	  status varchar(20) NOT NULL, lease_expires_at timestamptz,
	  processing_attempts int NOT NULL DEFAULT 0, max_retries int,
	  worker_id text, created_at timestamptz NOT NULL DEFAULT now(),
	  updated_at timestamptz);
	CREATE INDEX ON documents(status)'
	KEYS='table=documents&lease=lease_expires_at&attempts=processing_attempts'
	KEYS+='&max_attempts=max_retries&created=created_at&updated=updated_at&owner=worker_id'
	QUEUE="pgtable+$PG_URL?$KEYS"
}

@test "jobs in each state are counted right" {
	sql "INSERT INTO documents(filename,status,lease_expires_at,processing_attempts,created_at)
	  SELECT 'f','queued',NULL,0,now()-interval '90 s' FROM generate_series(1,12);
	INSERT INTO documents(filename,status,lease_expires_at,processing_attempts) VALUES
	  ('a','processing',now()+interval '1 h',1),('b','processing',now()-interval '5 s',4),
	  ('c','processing',now()-interval '1 h',2),('d','processing',NULL,1),
	  ('e','failed',NULL,5),('f','completed',NULL,1),('g','completed',NULL,1)"
	run_ls "$QUEUE"
	expect_status 0
	field waiting 12
	field active 4
	field lease_expired 2
	field lease_missing 1
	field attempts_max 4
	field failed 1
	field completed 2
	field consumers 0
	field delayed null
	field quality.delayed not-applicable
	field dead null
	[ "$(get oldest_ms)" -ge 90000 ]
	[ "$(get oldest_ms)" -lt 600000 ]
	lacks "$PG_PASSWORD"
}

@test "a timestamp without zone is read in UTC, or as tz says" {
	sql "ALTER TABLE documents ALTER lease_expires_at TYPE timestamp;
	INSERT INTO documents(filename,status,lease_expires_at) VALUES
	  ('a','processing',(now() AT TIME ZONE 'utc')+interval '1 min')"
	run_ls "$QUEUE"
	field lease_expired 0
	run_ls "$QUEUE&tz=America/New_York"
	field lease_expired 0
	run_ls "$QUEUE&tz=Asia/Tokyo"
	field lease_expired 1
}

@test "a table that is absent is not found, with the near names" {
	sql 'CREATE SCHEMA audit; CREATE TABLE audit.documents(id int)'
	run_ls "pgtable+$PG_URL?table=document"
	expect_status 3
	field waiting null
	has "there is no 'document'"
	has '"name": "documents"'
	run_ls "pgtable+$PG_URL?table=documents&schema=audit&status=id"
	run_ls "pgtable+$PG_URL?table=documents&schema=nowhere"
	expect_status 3
	has '"where": "schema audit"'
}

@test "a column that is absent is named with its nearest" {
	run_ls "pgtable+$PG_URL?table=documents&lease=lease_expire_at"
	expect_status 3
	has "no column 'lease_expire_at'; it has 'lease_expires_at'"
}

@test "row security hides no rows: it is an error" {
	sql "DROP ROLE IF EXISTS looker; CREATE ROLE looker LOGIN PASSWORD 'looker-password';
	GRANT SELECT ON documents TO looker;
	INSERT INTO documents(filename,status) VALUES ('a','queued');
	ALTER TABLE documents ENABLE ROW LEVEL SECURITY"
	run_ls "pgtable+postgresql://looker:looker-password@127.0.0.1:$PG_PORT/postgres?$KEYS"
	expect_status 3
	field waiting null
	has 'row-level security'
	lacks looker-password
	sql 'ALTER TABLE documents DISABLE ROW LEVEL SECURITY;
	DROP OWNED BY looker; DROP ROLE looker'
}

@test "names are quoted, words are bound" {
	sql "CREATE TABLE jobs(\"id\" serial, \"sta\"\"tus\" text)"
	sql "INSERT INTO jobs(\"sta\"\"tus\") VALUES ('it''s'), ('it''s'), ('x')"
	run_ls "pgtable+$PG_URL?table=jobs&status=sta%22tus&waiting=it%27s"
	expect_status 0
	field waiting 2
}

@test "what is too expensive is the planner's estimate, or unknown, and says why" {
	sql "DROP INDEX documents_status_idx;
	INSERT INTO documents(filename,status) SELECT 'f','queued' FROM generate_series(1,12000);
	ANALYZE documents"
	run_ls "$QUEUE&cost=10"
	expect_status 0
	field waiting 12000
	field quality.waiting estimate
	field oldest_ms null
	has 'an index on status'
	run_ls "$QUEUE"
	field waiting 5001
	field quality.waiting at-least
}

@test "odd values are unknown, and end nothing" {
	sql "ALTER TABLE documents ALTER processing_attempts TYPE numeric, ALTER worker_id TYPE bytea USING NULL;
	INSERT INTO documents(filename,status,lease_expires_at,processing_attempts,created_at,worker_id) VALUES
	  ('a','queued',NULL,'NaN','-infinity',NULL),
	  ('b','processing','infinity',99999999999999999999999999,now(),'\\xff00fe'),
	  ('c','processing','-infinity',-1,now(),NULL),
	  ('d','failed',NULL,0,'infinity',NULL)"
	run_ls "$QUEUE"
	expect_status 0
	field waiting 1
	field active 2
	field lease_expired 1
	field failed 1
	field oldest_ms null
	has 'the oldest was put in at no time'
	field attempts_max null
	has "didn't answer with a number"
	sql "ALTER TABLE documents ALTER created_at DROP DEFAULT, ALTER created_at TYPE numeric USING 1e30"
	run_ls "$QUEUE"
	expect_status 0
	field waiting 1
	field oldest_ms null
}

@test "an id of several rows moves none of them, and no worker takes one" {
	sql "DROP TABLE IF EXISTS jobs; CREATE TABLE jobs(id bigint, tenant int, payload text, status text, lease timestamptz,
	  attempts int DEFAULT 0, PRIMARY KEY(id,tenant)) PARTITION BY LIST(tenant);
	CREATE TABLE jobs_1 PARTITION OF jobs FOR VALUES IN (1); CREATE TABLE jobs_2 PARTITION OF jobs FOR VALUES IN (2);
	INSERT INTO jobs(id,tenant,payload,status) VALUES (1,1,'a','failed'),(1,2,'b','processing'),(2,1,'c','queued'),(2,2,'d','queued')"
	url="pgtable+$PG_URL?table=jobs&payload=payload&lease=lease&attempts=attempts"
	run "$REEVE_TOOL" queue requeue "$url" --yes --log "$(test_dir)/moves"
	expect_status 1
	has "Nothing was moved: several rows of 'jobs' have the id '1': declare as id a column that is unique"
	start_worker "$url"
	wait_until grep -q "several rows of 'jobs' have the id '2'" "$WORKER_LOG"
	[ "$(sql "SELECT string_agg(status,' ' ORDER BY id,tenant) FROM jobs")" = 'failed processing queued queued' ]
	[ ! -s "$EFFECTS.tries" ]
}

@test "the other sessions of the database are candidates, not consumers" {
	start_background session env PGPASSWORD="$PG_PASSWORD" psql -X -h 127.0.0.1 \
	    -p "$PG_PORT" -U postgres -c 'SELECT pg_sleep(600)' \
	    'dbname=postgres application_name=api'
	wait_until test_sql "SELECT 1 FROM pg_stat_activity WHERE application_name='api' AND state='active'"
	run_ls "$QUEUE"
	field consumers null
	has 'may read the table'
	has 'api'
}

@test "a worker does every job, retries, and buries poison after its attempts" {
	start_worker "$QUEUE" --backoff 20ms --max-attempts 5
	wait_until test_sql "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'reeve:documents|%'"
	sql "INSERT INTO documents(filename,status,max_retries) VALUES
	  ('one','queued',3),('bad','queued',3),('dead','queued',3),('two','queued',3)"
	wait_until test_sql "SELECT 1 FROM documents HAVING count(*) FILTER (WHERE status='completed')=2
	  AND count(*) FILTER (WHERE status='failed')=2"
	[ "$(sql "SELECT processing_attempts FROM documents WHERE filename='bad'")" = 3 ]
	[ "$(sql "SELECT processing_attempts FROM documents WHERE filename='dead'")" = 1 ]
	[ "$(grep -c bad "$EFFECTS.tries")" = 3 ]
	run_ls "$QUEUE"
	field consumers 1
	has '"reads": "documents"'
	field failed 2
	wait_pid "$QUEUE" "$WORKER_PID"
}

@test "the job of a killed worker is done by another after its lease" {
	start_worker "$QUEUE"
	sql "INSERT INTO documents(filename,status) VALUES ('block1','queued')"
	wait_until grep -q block1 "$EFFECTS.tries"
	kill_worker
	release_blocked
	sql "UPDATE documents SET lease_expires_at=now()-interval '1 s' WHERE lease_expires_at>now()"
	start_worker "$QUEUE"
	wait_until test_sql "SELECT 1 FROM documents WHERE status='completed' AND processing_attempts=2"
	[ "$(grep -c block1 "$EFFECTS")" = 1 ]
}

@test "a canary: put in, seen, taken, done, and who did it" {
	look submit "$QUEUE" '{"filename":"$(CANARY)"}'
	[ "$(fact receipt)" = 1 ]
	export RECEIPT=1
	look follow "$QUEUE" '{"filename":"$(CANARY)"}'
	[ "$(fact state)" = visible ]
	start_worker "$QUEUE"
	wait_until test_sql "SELECT 1 FROM documents WHERE status='completed'"
	look follow "$QUEUE" '{"filename":"$(CANARY)"}'
	[ "$(fact state)" = gone ]
	[ "$(fact 'done')" = yes ]
	[ -n "$(fact by)" ]
	look remove "$QUEUE" '{"filename":"$(CANARY)"}'
	[ "$(fact removed)" = yes ]
	[ "$(sql 'SELECT count(*) FROM documents')" = 0 ]
}

@test "a payload column of bytes is given to the job as it is" {
	sql "CREATE TABLE jobs(id bigserial PRIMARY KEY, payload bytea, status text,
	  lease timestamptz, attempts int DEFAULT 0);
	INSERT INTO jobs(payload,status) VALUES ('\\x6100ff0a62','queued')"
	EFFECTS=$(test_dir)/effects
	start_worker_command "pgtable+$PG_URL?table=jobs&payload=payload&lease=lease&attempts=attempts&failed=dead" \
	    -- sh -c "od -An -tx1 >'$EFFECTS'"
	wait_until test_sql "SELECT 1 FROM jobs WHERE status='completed'"
	[ "$(tr -d ' \n' <"$EFFECTS")" = 6100ff0a62 ]
}

@test "an enum status works, and a word that it lacks is an error" {
	sql "DROP TYPE IF EXISTS job_state; CREATE TYPE job_state AS ENUM ('queued','processing','completed','failed');
	ALTER TABLE documents ALTER status TYPE job_state USING status::job_state;
	INSERT INTO documents(filename,status) VALUES ('one','queued')"
	run_ls "$QUEUE"
	field waiting 1
	start_worker "$QUEUE"
	wait_until test_sql "SELECT 1 FROM documents WHERE status='completed'"
	run_ls "$QUEUE&waiting=pending"
	expect_status 3
	has pending
}
