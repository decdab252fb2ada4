#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
# The table driver on a real MariaDB.

load ../lib
load queue_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	start_mariadb
}

setup() {
	my 'DROP TABLE IF EXISTS documents; DROP PROCEDURE IF EXISTS acquire_document_lease;
	CREATE TABLE documents(id bigint AUTO_INCREMENT PRIMARY KEY, filename varchar(80) NOT NULL,
	  status varchar(20) NOT NULL, lease_expires_at datetime, processing_attempts int NOT NULL DEFAULT 0,
	  worker_id varchar(80), last_error text, run_at datetime(3), created_at datetime(3) NOT NULL,
	  updated_at timestamp NULL, KEY (status, created_at))' app
	KEYS='table=documents&lease=lease_expires_at&attempts=processing_attempts&error=last_error'
	KEYS+='&created=created_at&updated=updated_at&owner=worker_id'
	QUEUE="mysqltable+$MY_URL?$KEYS"
}

fill() {
	my "INSERT INTO documents(filename,status,created_at) SELECT 'f','queued',
	  UTC_TIMESTAMP(3)-INTERVAL 90 SECOND FROM seq_1_to_12;
	INSERT INTO documents(filename,status,lease_expires_at,processing_attempts,worker_id,created_at) VALUES
	  ('a','processing',UTC_TIMESTAMP()+INTERVAL 1 HOUR,1,'w1',UTC_TIMESTAMP()),
	  ('b','processing',UTC_TIMESTAMP()-INTERVAL 5 SECOND,4,'w2',UTC_TIMESTAMP()),
	  ('c','processing',UTC_TIMESTAMP()-INTERVAL 1 HOUR,2,NULL,UTC_TIMESTAMP()),
	  ('d','processing',NULL,1,NULL,UTC_TIMESTAMP()),
	  ('e','failed',NULL,3,NULL,UTC_TIMESTAMP()),('f','completed',NULL,1,NULL,UTC_TIMESTAMP());
	UPDATE documents SET last_error='no such file' WHERE status='failed'" app
}

part() { # OP URL PART [ID…]
	run "$REEVE_TOOL" probe < <(python3 -c '
import json, sys
print(json.dumps({"kind": "queue", "subject": "q", "timeout_ms": 20000, "op": sys.argv[1],
    "url": sys.argv[2], "part": sys.argv[3], "ids": sys.argv[4:]}))' "$@")
	[ "$status" -eq 0 ]
}

jobs() {
	printf '%s\n' "$output" | tail -n 1 | jq -r "$1"
}

@test "jobs in each state are counted right, as incident 003 had them" {
	fill
	run_ls "$QUEUE"
	expect_status 0
	field waiting 12
	field active 4
	field lease_expired 2
	field lease_missing 1
	field attempts_max 4
	field failed 1
	field completed 1
	field quality.delayed not-applicable
	[ "$(get oldest_ms)" -ge 90000 ]
	[ "$(get oldest_ms)" -lt 600000 ]
	lacks jobs-password
}

@test "a DATETIME is UTC, or as tz says; a TIMESTAMP is a moment" {
	my "INSERT INTO documents(filename,status,lease_expires_at,created_at) VALUES
	  ('a','processing',UTC_TIMESTAMP()+INTERVAL 1 MINUTE,UTC_TIMESTAMP())" app
	run_ls "$QUEUE"
	field lease_expired 0
	run_ls "$QUEUE&tz=%2B09:00"
	field lease_expired 1
	my "SET time_zone='+05:00'; ALTER TABLE documents MODIFY lease_expires_at timestamp NULL;
	UPDATE documents SET lease_expires_at=NOW()+INTERVAL 1 MINUTE" app
	run_ls "$QUEUE"
	field lease_expired 0
	run_ls "$QUEUE&tz=%2B09:00"
	field lease_expired 0
}

@test "who isn't let in, and what isn't there, each says which" {
	run_ls "mysqltable+mysql://jobs:wrong@127.0.0.1:$MY_PORT/app?$KEYS"
	expect_status 3
	has '1045'
	lacks wrong@
	my "CREATE USER ''@'127.0.0.1'"
	run_ls "$QUEUE"
	expect_status 3
	has "jobs'@'127.0.0.1"
	has "a row for ''@'localhost' wins"
	my "DROP USER ''@'127.0.0.1'"
	run_ls "mysqltable+mysql://jobs:jobs-password@127.0.0.1:$MY_PORT/nowhere?$KEYS"
	expect_status 3
	has '1044'
	run_ls "mysqltable+$MY_URL?table=document"
	expect_status 3
	has "there is no 'document'"
	has '"name": "documents"'
	run_ls "mysqltable+$MY_URL?table=documents&lease=lease_expire_at"
	expect_status 3
	has "no column 'lease_expire_at'; it has 'lease_expires_at'"
	my "CREATE USER IF NOT EXISTS blind@'%' IDENTIFIED BY 'p'; GRANT INSERT ON app.documents TO blind@'%'"
	run_ls "mysqltable+mysql://blind:p@127.0.0.1:$MY_PORT/app?$KEYS"
	expect_status 3
	has '1142'
	run_ls "mysqltable+mysql://jobs:p@127.0.0.1:1/app?$KEYS"
	expect_status 3
	field waiting null
}

@test "the procedure by which leases are acquired must be there" {
	run_ls "$QUEUE&procedure=acquire_document_lease"
	expect_status 3
	has "there is no procedure 'acquire_document_lease'"
	my "CREATE PROCEDURE acquire_document_lease(IN p_id bigint) UPDATE documents SET status='processing'
	  WHERE id=p_id AND status='queued'" app
	run_ls "$QUEUE&procedure=acquire_document_lease"
	expect_status 0
}

@test "the sessions of others are candidates; without PROCESS nobody can say" {
	run_ls "$QUEUE"
	field consumers null
	has "isn't shown the sessions of others"
	my "GRANT PROCESS ON *.* TO jobs@'%'"
	run_ls "$QUEUE"
	field consumers 0
	start_background session mariadb --no-defaults -h 127.0.0.1 -P "$MY_PORT" -u jobs \
	    -pjobs-password app -e 'SELECT SLEEP(600)'
	has_session() { run_ls "$QUEUE" && [[ $output = *'may read the table'* ]]; }
	wait_until has_session
	field consumers null
	my "REVOKE PROCESS ON *.* FROM jobs@'%'"
}

@test "a canary is put in, followed, and taken out unless somebody has it" {
	RECEIPT='' look submit "$QUEUE" '{"filename":"it'"'"'s \"$(CANARY)\"","status":"queued"}'
	RECEIPT=$(fact receipt)
	look follow "$QUEUE"
	[ "$(fact state)" = visible ]
	my "UPDATE documents SET status='processing', worker_id='w1', processing_attempts=1" app
	look follow "$QUEUE"
	[ "$(fact state)" = taken ]
	[ "$(fact by)" = w1 ]
	look remove "$QUEUE"
	[ "$(fact removed)" = no ]
	my "UPDATE documents SET status='completed'" app
	look follow "$QUEUE"
	[ "$(fact "done")" = yes ]
	look remove "$QUEUE"
	[ "$(fact removed)" = yes ]
	look follow "$QUEUE"
	[ "$(fact state)" = gone ]
	[ -z "$(fact "done")" ]
	RECEIPT='' look submit "$QUEUE" '{"nowhere":1}'
	[ "$(answer result)" = failed ]
	has "has no column 'nowhere'"
}

@test "failed and expired jobs go back to wait, each once" {
	fill
	part list "$QUEUE" dead
	[ "$(jobs '.jobs.items | length')" = 1 ]
	has 'no such file'
	id=$(jobs '.jobs.items[0].id')
	part move "$QUEUE" dead "$id" 999999
	has '1 of 2 moved'
	part move "$QUEUE" dead "$id"
	has '0 of 1 moved'
	part list "$QUEUE" expired
	[ "$(jobs '.jobs.items | length')" = 2 ]
	ids=$(jobs '.jobs.items[].id')
	# shellcheck disable=SC2086 # two ids
	part move "$QUEUE" expired $ids
	has '2 of 2 moved'
	run_ls "$QUEUE"
	field waiting 15
	field lease_expired 0
	part list "$QUEUE" delayed
	has 'has no delayed jobs'
}

@test "a reclaimed job keeps its attempts, a requeued one begins anew" {
	fill
	part move "$QUEUE" expired "$(my "SELECT id FROM documents WHERE filename='b'" app)"
	has '1 of 1 moved'
	[ "$(my "SELECT status,processing_attempts FROM documents WHERE filename='b'" app)" = $'queued\t4' ]
	part move "$QUEUE" dead "$(my "SELECT id FROM documents WHERE filename='e'" app)"
	[ "$(my "SELECT status,processing_attempts FROM documents WHERE filename='e'" app)" = $'queued\t0' ]
}

@test "an id of several rows moves none of them, and no worker takes one" {
	my "DROP TABLE IF EXISTS jobs; CREATE TABLE jobs(id bigint, tenant int, payload varchar(80),
	  status varchar(20), lease datetime(3), attempts int DEFAULT 0, PRIMARY KEY(id,tenant));
	INSERT INTO jobs(id,tenant,payload,status) VALUES (1,1,'a','failed'),(1,2,'b','failed'),(2,1,'c','queued'),(2,2,'d','queued')" app
	url="mysqltable+$MY_URL?table=jobs&payload=payload&lease=lease&attempts=attempts"
	part move "$url" dead 1
	has "several rows of 'jobs' have the id '1'"
	[ "$(my "SELECT COUNT(*) FROM jobs WHERE status='failed'" app)" = 2 ]
	start_worker "$url"
	wait_until grep -q "several rows of 'jobs' have the id '2'" "$WORKER_LOG"
	[ "$(my "SELECT COUNT(*) FROM jobs WHERE status='queued'" app)" = 2 ]
	[ ! -s "$EFFECTS.tries" ]
}

@test "a payload column of bytes is shown as it is" {
	my "DROP TABLE IF EXISTS jobs; CREATE TABLE jobs(id bigint AUTO_INCREMENT PRIMARY KEY, payload mediumblob, status varchar(20));
	INSERT INTO jobs(payload,status) VALUES (x'6100ff0a62','queued'),('','queued'),(NULL,'queued'),(REPEAT('x',1000000),'queued')" app
	"$REEVE_TOOL" queue peek "mysqltable+$MY_URL?table=jobs&payload=payload" --output json >"$(test_dir)/shown"
	is() { [ "$(jq -c ".queues[0].jobs | $1" "$(test_dir)/shown")" = "$2" ]; }
	is 'map(.payload_bytes)' '[5,0,null,1000000]'
	is '.[0].payload_base64' '"YQD/CmI="'
	is '.[3].payload | length' 4096
}

@test "odd values are unknown or cut, and end nothing" {
	my "ALTER TABLE documents MODIFY last_error longtext, MODIFY processing_attempts varchar(200), MODIFY created_at datetime NULL;
	INSERT INTO documents(filename,status,processing_attempts,created_at,last_error) VALUES
	  ('a','queued','99999999999999999999999',NULL,REPEAT('x',2000000)),
	  ('b','failed','NaN','9999-12-31 23:59:59',REPEAT('y',200000))" app
	run_ls "$QUEUE"
	expect_status 0
	field waiting 1
	field attempts_max null
	has "didn't answer with a number"
	field oldest_ms null
	has 'put in at no time'
	part list "$QUEUE" dead
	[ "$(jobs '.jobs.items | length')" = 1 ]
	[[ $(jobs '.jobs.items[0].attempts') = @(-1|null) ]]
}

@test "a large table without an index isn't read; with one, counts end" {
	my "INSERT INTO documents(filename,status,created_at) SELECT 'f','queued',UTC_TIMESTAMP(3)
	  FROM seq_1_to_120000; ANALYZE TABLE documents" app
	run_ls "$QUEUE"
	expect_status 0
	field waiting 5001
	field quality.waiting at-least
	my 'ALTER TABLE documents DROP KEY status; ANALYZE TABLE documents' app
	run_ls "$QUEUE"
	expect_status 0
	field waiting null
	has 'no index that begins with status'
}

@test "what people read: what failed has its column, --verbose the rest, and a payload without a column no line" {
	fill
	run "$REEVE_TOOL" queue ls "$QUEUE"
	expect_status 0
	[[ ${lines[1]} =~ ^documents\ +12\ +4\ +-\ +1\  ]]
	lacks lease_expired
	run "$REEVE_TOOL" queue ls "$QUEUE" --verbose
	has 'completed 1, lease_expired 2, lease_missing 1, attempts_max 4'
	run "$REEVE_TOOL" queue dead "$QUEUE"
	expect_status 0
	[ "${lines[0]}" = 'documents: 1 dead' ]
	has 'no such file'
	lacks payload
	run "$REEVE_TOOL" queue requeue "$QUEUE"
	expect_status 0
	[ "${lines[0]}" = 'documents: 1 dead letter' ]
	run "$REEVE_TOOL" diagnose "${QUEUE/table=documents/table=document}"
	expect_status 1
	[[ ${lines[0]} == *"table=document&"*": isn't there" ]]
}

in_table() {
	[ "$(my "SELECT COUNT(*) FROM documents WHERE $1" app)" = "$2" ]
}

@test "workers do every job once, retry, and bury poison after its attempts" {
	my "INSERT INTO documents(filename,status,created_at) SELECT CONCAT('job',seq),'queued',UTC_TIMESTAMP(3) FROM seq_1_to_40;
	INSERT INTO documents(filename,status,created_at) VALUES ('bad','queued',UTC_TIMESTAMP(3)),('dead','queued',UTC_TIMESTAMP(3))" app
	start_worker "$QUEUE" --backoff 20ms --max-attempts 3
	start_worker "$QUEUE" --backoff 20ms --max-attempts 3
	start_worker "$QUEUE&run_at=run_at" --backoff 20ms --max-attempts 3
	wait_until in_table "status='completed'" 40
	wait_until in_table "status='failed'" 2
	[ "$(grep -c '"job' "$EFFECTS")" = 40 ]
	[ "$(sort -u "$EFFECTS" | grep -c '"job')" = 40 ]
	[ "$(grep -c '"bad"' "$EFFECTS.tries")" = 3 ]
	[ "$(grep -c '"dead"' "$EFFECTS.tries")" = 1 ]
	in_table "filename='bad' AND processing_attempts=3 AND last_error LIKE '%3%'" 1
	in_table 'lease_expires_at IS NOT NULL' 0
}

@test "the job of a killed worker is done by another after its lease" {
	my "INSERT INTO documents(filename,status,created_at) VALUES ('block1','queued',UTC_TIMESTAMP(3))" app
	start_worker "$QUEUE" --lease 6s
	wait_until in_table "status='processing'" 1
	# a lease goes on while the job does
	local first
	first=$(my 'SELECT lease_expires_at FROM documents' app)
	wait_until in_table "status='processing' AND lease_expires_at > '$first'" 1
	in_table 'processing_attempts=1' 1
	kill_worker
	release_blocked
	my 'UPDATE documents SET lease_expires_at = UTC_TIMESTAMP() - INTERVAL 2 SECOND' app
	start_worker "$QUEUE"
	wait_until in_table "status='completed' AND processing_attempts=2" 1
}

@test "a payload column of bytes is given to the job as it is" {
	my "DROP TABLE IF EXISTS jobs; CREATE TABLE jobs(id bigint AUTO_INCREMENT PRIMARY KEY, payload blob,
	  status varchar(20), lease datetime(3), attempts int DEFAULT 0);
	INSERT INTO jobs(payload,status) VALUES (x'6100ff0a62','queued')" app
	EFFECTS=$(test_dir)/effects
	start_worker_command "mysqltable+$MY_URL?table=jobs&payload=payload&lease=lease&attempts=attempts" \
	    -- sh -c "od -An -tx1 >'$EFFECTS'"
	wait_until jobs_done 1
	[ "$(tr -d ' \n' <"$EFFECTS")" = 6100ff0a62 ]
}

jobs_done() {
	[ "$(my "SELECT COUNT(*) FROM jobs WHERE status='completed'" app)" = "$1" ]
}

@test "TLS that was asked for and isn't offered is an error, not a plain connection" {
	run_ls "$QUEUE&ssl-mode=required"
	expect_status 3
	has 'does not offer TLS'
}

@test "the connection ends before, in or after the move: nothing is half moved" {
	states() { my "SELECT status FROM documents GROUP BY status" app; }
	for how in before after garbage; do
		my "DELETE FROM documents; INSERT INTO documents(filename,status,last_error,created_at)
		  SELECT concat('f',seq),'failed','boom',UTC_TIMESTAMP(3) FROM seq_1_to_20" app
		start_cut "$MY_PORT" 'UPDATE `>COMMIT' "$how"
		log=$(test_dir)/moves.$how
		run --separate-stderr "$REEVE_TOOL" queue requeue \
		    "${QUEUE/:$MY_PORT/:$CUT_PORT}" --yes --log "$log" --output json
		expect_status 3
		jq -e '.outcome == "unknown" and (.why | length > 10)' <<<"$output"
		# all or none
		wait_until one_state
		[ "$(jq -rs 'map(.state) | join(" ")' "$log")" = 'begun unknown' ]
		run "$REEVE_TOOL" queue requeue "$QUEUE" --yes --log "$log"
		expect_status 0
		[ "$(states)" = queued ]
	done
}

# One status and twenty rows, once the server has ended what was cut.
one_state() {
	[ "$(my "SELECT count(DISTINCT status), count(*) FROM documents" app | tr '\t' ' ')" = '1 20' ]
}
