#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
# Tables are counted as far as something judges them by, and no further.

load ../lib
load queue_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	start_postgres
	start_mariadb
}

setup() {
	need jq sqlite3 curl
	cd "$BATS_TEST_TMPDIR" || return
	COLUMNS_OF='id int PRIMARY KEY, status varchar(20), created_at'
	ODBC=/usr/lib/$(uname -m)-linux-gnu/odbc
	sql "DROP TABLE IF EXISTS documents; CREATE TABLE documents($COLUMNS_OF timestamptz);
	CREATE INDEX ON documents(status, created_at)"
	my "DROP TABLE IF EXISTS documents; CREATE TABLE documents($COLUMNS_OF datetime(3), KEY (status, created_at))" app
	sqlite3 q.db "CREATE TABLE documents($COLUMNS_OF datetime); CREATE INDEX d ON documents(status, created_at)"
}

# rows FROM TO STATUS: in every one of the tables.
rows() {
	sql "INSERT INTO documents SELECT i, '$3', now() FROM generate_series($1, $2) i; ANALYZE documents"
	my "INSERT INTO documents SELECT seq, '$3', UTC_TIMESTAMP(3) FROM seq_$1_to_$2; ANALYZE TABLE documents" app
	sqlite3 q.db "WITH RECURSIVE i(n) AS (SELECT $1 UNION ALL SELECT n+1 FROM i WHERE n<$2)
	INSERT INTO documents SELECT n, '$3', datetime('now') FROM i"
}

# manifest OBJECTIVES [WORKERS]
manifest() {
	local kind
	echo 'apiVersion: reeve/v1'
	echo 'name: counts'
	echo 'queues:'
	for kind in postgres mariadb sqlite odbc; do
		printf -- '  - {name: %s, ' "$kind"
		case $kind in
		postgres) printf "kind: pgtable, url: '%s'" "$PG_URL" ;;
		mariadb) printf "kind: mysqltable, url: '%s'" "$MY_URL" ;;
		sqlite) printf "kind: sqlitetable, url: 'file://%s/q.db'" "$PWD" ;;
		odbc) printf "kind: mssqltable, url: 'tds://%s/q.db', driver: '%s'" "$PWD" "$ODBC/libsqlite3odbc.so" ;;
		esac
		printf ", table: documents, created: created_at, dead: dead, objectives: {%s}}\n" "$1"
	done
	printf '%s' "${2-}"
}

# judged ID RESULT: of all four queues.
judged() {
	run --separate-stderr "$REEVE_TOOL" diagnose -f reeve.yaml --verbose --output json
	jq -e --arg id "$1" --arg result "$2" '[.findings[] | select(.id == $id) | .result] |
		length == 4 and all(.[]; . == $result)' <<<"$output" || {
		jq -c --arg id "$1" '.findings[] | select(.id == $id) | [.subject, .result, .detail, .why]' <<<"$output" >&2
		return 1
	}
}

# counted NUMBER QUALITY PART
counted() {
	run_ls -f reeve.yaml
	expect_status 0
	jq -e --argjson n "$1" --arg quality "$2" --arg part "$3" '.queues | length == 4 and
		all(.[]; .[$part] == $n and (.quality[$part] // "exact") == $quality)' <<<"$output" || {
		jq -c '.queues[] | [.name, .waiting, .dead, .failed, .quality, .why]' <<<"$output" >&2
		return 1
	}
}

@test "an objective of 8,000: kept at 8,000, missed at 8,001, and nothing counted beyond" {
	manifest 'depth: 8000' >reeve.yaml
	rows 1 7999 queued
	counted 7999 exact waiting
	judged RV702 passed
	rows 8000 8000 queued
	counted 8000 exact waiting
	judged RV702 passed
	rows 8001 8001 queued
	counted 8001 at-least waiting
	judged RV702 failed
	rows 8002 12000 queued
	counted 8001 at-least waiting
}

@test "dead letters are counted as far as their own objective" {
	manifest 'deadLetters: 6000' >reeve.yaml
	rows 1 6001 dead
	judged RV715 failed
	sql 'DELETE FROM documents WHERE id = 6001'
	my 'DELETE FROM documents WHERE id = 6001' app
	sqlite3 q.db 'DELETE FROM documents WHERE id = 6001'
	judged RV715 passed
}

@test "without an objective counting ends at 5,001; what that can't tell is unknown, not passed" {
	manifest 'failureRatio: 10%' >reeve.yaml
	rows 1 6000 completed
	rows 6001 6600 failed
	# 600 of 6,600 are less than 10 %, 600 of the 5,601 that are counted more
	counted 5001 at-least completed
	judged RV703 unknown
}

@test "counting ends at 1,000,001: an objective beyond is unknown" {
	manifest 'depth: 2000000' | grep -v 'name: [pm]' >reeve.yaml
	sqlite3 q.db "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM i WHERE n<1000100)
	INSERT INTO documents SELECT n, 'queued', datetime('now') FROM i"
	run --separate-stderr "$REEVE_TOOL" diagnose -f reeve.yaml --verbose --output json
	jq -e '[.findings[] | select(.id == "RV702") | .result] == ["unknown", "unknown"]' <<<"$output"
	has 'at least 1000001 waiting: no more are counted'
}

# desired N: and what the scaler tells KEDA.
desired() {
	"$REEVE" status --output json | jq -e --argjson n "$1" 'all(.workers[]; .desired == $n) and (.workers | length) == 3'
}

@test "replicas are by as many jobs as the most of them are for" {
	mkdir run
	export REEVE_SOCKET=$PWD/run
	{
		manifest 'oldest: 1h' | grep -v 'name: odbc'
		echo 'workers:'
		for queue in postgres mariadb sqlite; do
			printf -- '  - {name: w-%s, command: [sleep, infinity], consumes: [{queue: %s}], ' "$queue" "$queue"
			printf 'scale: {queue: %s, min: 0, max: 10, jobsPerReplica: 1000, cooldown: 1s, stabilization: 1s}}\n' "$queue"
		done
	} >reeve.yaml
	rows 1 7001 queued
	start_background reeve "$REEVE" run -f reeve.yaml
	wait_until desired 8
	rows 7002 8001 queued
	wait_until desired 9
	rows 8002 20000 queued
	wait_until desired 10
	run --separate-stderr curl -sf --unix-socket run/operator.sock 'http://localhost/scaler?queue=sqlite'
	[ "$(jq .value <<<"$output")" = 10001 ]
}
