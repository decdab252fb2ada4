#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
# The table driver through ODBC: SQL Server can't be had here, so its calls are
# tried with PostgreSQL's driver and SQLite's, and its statements with a parser.

load ../lib
load queue_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	node_packages
	start_postgres
	make -s -C "$REEVE_ROOT" "${REEVE_BUILD#"$REEVE_ROOT"/}/tests/unit/test_queue_sql" >&2
}

setup() {
	KEYS='table=documents&lease=lease_expires_at&attempts=tries&created=created_at&owner=worker_id'
	FOLDER=/usr/lib/$(uname -m)-linux-gnu/odbc
	PG="mssqltable+tds://postgres:$PG_PASSWORD@127.0.0.1:$PG_PORT/postgres?$KEYS&driver=$FOLDER/psqlodbcw.so"
	FILE=$(test_dir)/q.db
	SQLITE="mssqltable+tds://$FILE?$KEYS&driver=$FOLDER/libsqlite3odbc.so"
}

part() { # OP URL PART [ID…]
	run "$REEVE_TOOL" probe < <(python3 -c '
import json, sys
print(json.dumps({"kind": "queue", "subject": "q", "timeout_ms": 20000, "op": sys.argv[1],
    "url": sys.argv[2], "part": sys.argv[3], "ids": sys.argv[4:]}))' "$@")
	[ "$status" -eq 0 ]
}

# through URL ID: what holds through every driver.
through() {
	run_ls "$1"
	expect_status 0
	field waiting 2
	field active 3
	field lease_expired 1
	field lease_missing 1
	field attempts_max 4
	field failed 1
	field completed 0
	[ "$(get oldest_ms)" -ge 90000 ]
	[ "$(get oldest_ms)" -lt 600000 ]
	RECEIPT='' look submit "$1" '{"id":"it'"'"'s $(CANARY)"}'
	RECEIPT=$(fact receipt)
	look follow "$1"
	[ "$(fact state)" = visible ]
	part list "$1" waiting
	has "it's 7d9f1c52"
	look remove "$1"
	[ "$(fact removed)" = yes ]
	part move "$1" dead f nowhere
	has '1 of 2 moved'
	part move "$1" expired b
	has '1 of 1 moved'
	part move "$1" expired b
	has '0 of 1 moved'
	run_ls "$1"
	field waiting 4
	field lease_expired 0
	run_ls "${1/table=documents/table=document}"
	expect_status 3
	has "there is no 'document'"
	has '"name": "documents"'
	run "$REEVE_TOOL" diagnose "${1/table=documents/table=document}"
	has 'ROOT CAUSE  RV209' && has 'near: documents'
	run "$REEVE_TOOL" diagnose "$1&updated=updatet_at"
	has 'ROOT CAUSE  RV204' && has "no column 'updatet_at'"
}

@test "through ODBC to PostgreSQL" {
	sql "DROP TABLE IF EXISTS documents;
	CREATE TABLE documents(id varchar(80) PRIMARY KEY, status varchar(20), lease_expires_at timestamp,
	  tries int, worker_id text, created_at timestamptz);
	INSERT INTO documents VALUES ('a','queued',NULL,0,NULL,now()-interval '90 s'),('x','queued',NULL,4,NULL,now()),
	  ('b','processing',timezone('utc',now())-interval '1 h',1,'w',now()),('c','processing',NULL,1,'w',now()),
	  ('d','processing',timezone('utc',now())+interval '1 h',1,'w',now()),('f','failed',NULL,1,NULL,now())"
	through "$PG"
	lacks "$PG_PASSWORD"
	run_ls "${PG/$PG_PASSWORD/wrong-one}"
	expect_status 3
	field waiting null
	lacks wrong-one
	run_ls "$PG&procedure=acquire_document_lease"
	expect_status 3
	has "there is no procedure 'acquire_document_lease'"
}

@test "through ODBC to SQLite" {
	sqlite3 "$FILE" "CREATE TABLE documents(id varchar(80) PRIMARY KEY, status varchar(20), lease_expires_at datetime,
	  tries int, worker_id text, created_at datetime);
	INSERT INTO documents VALUES ('a','queued',NULL,0,NULL,datetime('now','-90 seconds')),
	  ('x','queued',NULL,4,NULL,datetime('now')),('b','processing',datetime('now','-1 hour'),1,'w',datetime('now')),
	  ('c','processing',NULL,1,'w',datetime('now')),('d','processing',datetime('now','+1 hour'),1,'w',datetime('now')),
	  ('f','failed',NULL,1,NULL,datetime('now'))"
	through "$SQLITE"
}

@test "a payload column of bytes is shown as it is, through both" {
	bytes() {
		"$REEVE_TOOL" queue peek "$1" --output json >"$(test_dir)/shown"
		[ "$(jq -c '.queues[0].jobs[0] | [.payload_base64, .payload_bytes]' "$(test_dir)/shown")" = '["YQD/CmI=",5]' ]
	}
	sql "DROP TABLE IF EXISTS raw; CREATE TABLE raw(id varchar(80) PRIMARY KEY, status varchar(20), payload bytea,
	  lease_expires_at timestamp, tries int, worker_id text, created_at timestamptz);
	INSERT INTO raw(id,status,payload) VALUES ('a','queued','\\x6100ff0a62')"
	bytes "${PG/table=documents/table=raw}&payload=payload"
	sqlite3 "$FILE" "CREATE TABLE raw(id varchar(80) PRIMARY KEY, status varchar(20), payload blob,
	  lease_expires_at datetime, tries int, worker_id text, created_at datetime);
	INSERT INTO raw(id,status,payload) VALUES ('a','queued',x'6100ff0a62')"
	bytes "${SQLITE/table=documents/table=raw}&payload=payload"
}

@test "no driver, and a server that isn't there, are unknown or unreachable" {
	run_ls "mssqltable+tds://sa:p@127.0.0.1:1/db?$KEYS&driver=/nowhere/driver.so"
	expect_status 3
	field waiting null
	has '/nowhere/driver.so'
	run_ls "mssqltable+tds://sa:secret-word@127.0.0.1:1/db?$KEYS&driver=$FOLDER/libtdsodbc.so"
	expect_status 3
	field waiting null
	lacks secret-word
}

@test "what is said to SQL Server is T-SQL" {
	REEVE_SQL_TEXTS=$(test_dir)/texts "$REEVE_BUILD/tests/unit/test_queue_sql"
	[ "$(grep -c . "$(test_dir)/texts")" -gt 30 ]
	grep -qF '[lease]]at] IS NULL' "$(test_dir)/texts"
	NODE_PATH=$NODE_DIR/node_modules run node -e '
const { Parser } = require("node-sql-parser")
const parser = new Parser()
let bad = 0, good = 0
for (const text of require("fs").readFileSync(process.argv[1], "utf8").trim().split("\n")) {
	if (/^(BEGIN TRANSACTION|COMMIT|ROLLBACK)$/.test(text)) continue
	// what the parser has no rule for, and is read by eye
	const known = text.replaceAll("?", "\x27x\x27").replaceAll(" WITH (READPAST)", "")
		.replace(/ AT TIME ZONE \x27[^\x27]*\x27/g, "").replaceAll(" OUTPUT INSERTED.[id]", "")
		.replaceAll("@@SPID", "1").replaceAll("]]", "_")
	try { parser.astify(known, { database: "transactsql" }); good++ }
	catch (error) { bad++; console.log("not T-SQL: " + known + "\n  " + error.message.slice(0, 200)) }
}
console.log(good + " parsed")
process.exit(bad > 0 || good < 20 ? 1 : 0)' "$(test_dir)/texts"
	expect_status 0
	# the same parser refuses what other servers say
	run env NODE_PATH="$NODE_DIR/node_modules" node -e '
new (require("node-sql-parser").Parser)().astify("SELECT TOP (3) [a FROM t", { database: "transactsql" })'
	[ "$status" -ne 0 ]
}
