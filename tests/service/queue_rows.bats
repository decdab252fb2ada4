#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016
# RV216: a job that is in the queue before the row that it refers to is
# committed, as incident 003's were. Real producers, a real PostgreSQL.

bats_require_minimum_version 1.5.0
load ../lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	need jq redis-server node psql sqlite3
	node_packages
	start_redis
	start_postgres
	sql 'CREATE TABLE documents (id uuid PRIMARY KEY, status text)'
}

setup() {
	cd "$BATS_TEST_TMPDIR"
	export REEVE_SOCKET=$PWD/nowhere
	redis flushall
	sql 'DELETE FROM documents'
}

# manifest KIND-KEYS [ROW]: without a row as PostgreSQL has it.
manifest() {
	local row="postgres: {url: '$PG_URL', query: \"${QUERY:-SELECT 1 FROM documents WHERE id = \$(JOB)}\"}"
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: found
	queues:
	  - name: documents
	    $1
	    url: "$REDIS_URL"
	    jobs:
	      id: document.id
	      row: {${2:-$row}}
	YAML
}

# judged RESULT [TEXT [COMMAND]]: of RV216.
judged() {
	local code=0
	"$REEVE" "${3:-check}" -f reeve.yaml --output json >out.json || code=$?
	[ "$code" -lt 64 ] # a verdict, whichever
	jq -e --arg r "$1" --arg t "${2:-}" 'any(.findings[];
	    .id == "RV216" and .result == $r and (.summary | contains($t)))' out.json ||
	    { jq -c '.findings[] | {id, result, summary, evidence}' out.json >&2; return 1; }
}

# produce list|bullmq send-first|commit-first
produce() {
	NODE_PATH=$NODE_DIR/node_modules start_background "producer.$RANDOM" node \
	    "$REEVE_ROOT/tests/service/documents.cjs" "$REDIS_URL" "$PG_URL" "$@"
	PRODUCER=$BACKGROUND_PID
	wait_until grep -q committed "$BACKGROUND_LOG"
}

@test "a producer that sends its job first, and one that commits first: a list" {
	manifest $'kind: redis\n    list: documents'
	produce list send-first
	judged failed 'in the queue before their row was there, the longest for'
	jq -e '.findings[] | select(.id == "RV216") | .evidence[0].observed |
	    test("^job [0-9a-f]{40} was in the queue at [0-9TZ:.-]+, its row was not there until [0-9TZ:.-]+$")' out.json
	jq -e '.findings[] | select(.id == "RV216") | .summary | capture("the longest for (?<ms>[0-9]+) ms").ms |
	    tonumber > 0 and tonumber < 5000' out.json
	judged failed '' diagnose
	kill_started "$PRODUCER"
	redis flushall
	produce list commit-first
	judged passed 'looks, each with its row'
	kill_started "$PRODUCER"
}

@test "the same of BullMQ" {
	manifest $'kind: bullmq\n    queue: documents'
	produce bullmq send-first
	judged failed 'in the queue before their row was there'
	kill_started "$PRODUCER"
	redis flushall
	produce bullmq commit-first
	judged passed 'looks, each with its row'
	kill_started "$PRODUCER"
}

@test "a row that never comes is no early job, and nothing is proved without jobs" {
	local id=11111111-1111-4111-8111-111111111111
	manifest $'kind: redis\n    list: documents'
	judged unknown 'no job was there to be asked about'
	redis lpush documents "{\"document\":{\"id\":\"$id\"}}" '{"document":{"id":"no uuid"}}' '{"other":1}'
	judged unknown 'of 2 jobs 1 refer to a row that'
	jq -e '[.findings[] | select(.id == "RV216") | .evidence[].observed] | join(" ") |
	    contains("1 jobs refer to a row that didn") and contains("1 jobs whose id no row can have") and
	    contains("1 jobs of a look that don")' out.json
	sql "INSERT INTO documents VALUES ('$id', 'queued')"
	judged passed '2 jobs at'
	run cat out.json
	lacks "$id"
}

@test "what can't be asked is unknown: another table, a query of no use, a kind that can't show" {
	redis lpush documents '{"document":{"id":"11111111-1111-4111-8111-111111111111"}}'
	QUERY='SELECT 1 FROM document WHERE id = $(JOB)' manifest $'kind: redis\n    list: documents'
	judged unknown "the row can't be asked for"
	QUERY='SELECT count(*) FROM documents WHERE id = $(JOB)' manifest $'kind: redis\n    list: documents'
	judged unknown "for a job that doesn't exist"
	manifest $'kind: rq\n    queue: documents'
	judged unknown "can't show its newest jobs"
}

@test "a row in an SQLite file, and jobs of a stream" {
	sqlite3 rows.db 'CREATE TABLE documents (id INTEGER PRIMARY KEY); INSERT INTO documents VALUES (7)'
	redis xgroup create documents g 0 mkstream
	redis xadd documents '*' payload '{"document":{"id":7}}'
	manifest $'kind: redisstream\n    stream: documents\n    group: g' \
	    "sqlite: {path: '$PWD/rows.db', query: 'SELECT NULL FROM documents WHERE id = \$(JOB) -- its row'}"
	judged passed '1 jobs at'
	redis xadd documents '*' payload '{"document":{"id":8}}'
	judged unknown 'of 2 jobs 1 refer'
}

# jobs FORMAT FIRST LAST: one a line, its number in place of each %s.
jobs() {
	local n
	for ((n = $2; n <= $3; n++)); do printf '%b\n' "${1//%s/$n}"; done
}

@test "of 60 jobs the 50 newest are looked at, whatever the queue is made of" {
	local kind keys
	sqlite3 rows.db "CREATE TABLE documents (id INTEGER PRIMARY KEY);
	    INSERT INTO documents SELECT value FROM generate_series(11, 60);
	    CREATE TABLE work (id INTEGER PRIMARY KEY, status TEXT, payload TEXT);
	    INSERT INTO work SELECT value, 'queued', json_object('id', value) FROM generate_series(1, 60)"
	sql "CREATE TABLE work (id int PRIMARY KEY, status text, payload text);
	    INSERT INTO work SELECT n, 'queued', format('{\"id\": %s}', n) FROM generate_series(1, 60) n"
	{
		jobs "RPUSH left '{\"id\":%s}'" 1 60
		jobs "LPUSH right '{\"id\":%s}'" 1 60
		jobs "XADD stream * payload '{\"id\":%s}'" 1 60
		jobs "HSET bull:bullmq:%s data '{\"id\":%s}'\nLPUSH bull:bullmq:wait %s" 1 60
		jobs "HSET bull:bull:%s data '{\"id\":%s}'\nLPUSH bull:bull:wait %s" 1 60
		jobs "HSET bq:bee:jobs %s '{\"id\":%s}'\nLPUSH bq:bee:waiting %s" 1 60
		jobs "LPUSH celery '{\"id\":%s}'" 1 60
		jobs "LPUSH queue:sidekiq '{\"id\":%s}'" 1 60
		jobs "RPUSH resque:queue:resque '{\"id\":%s}'" 1 60
	} | redis >replies
	redis xgroup create stream g 0
	printf 'apiVersion: reeve/v1\nname: found\nqueues:\n' >reeve.yaml
	while read -r kind keys; do
		printf '  - {name: %s, %s, jobs: {id: id, row: {sqlite: {path: "%s", query: "SELECT 1 FROM documents WHERE id = $(JOB)"}}}}\n' \
		    "$kind" "$keys" "$PWD/rows.db"
	done >>reeve.yaml <<-KINDS
	left kind: redis, list: left, consume: left, url: "$REDIS_URL"
	right kind: redis, list: right, url: "$REDIS_URL"
	stream kind: redisstream, stream: stream, group: g, url: "$REDIS_URL"
	bullmq kind: bullmq, queue: bullmq, url: "$REDIS_URL"
	bull kind: bull, queue: bull, url: "$REDIS_URL"
	bee kind: bee, queue: bee, url: "$REDIS_URL"
	celery kind: celery, queue: celery, url: "$REDIS_URL"
	sidekiq kind: sidekiq, queue: sidekiq, url: "$REDIS_URL"
	resque kind: resque, queue: resque, url: "$REDIS_URL"
	pgtable kind: pgtable, table: work, waiting: queued, payload: payload, url: "$PG_URL"
	sqlitetable kind: sqlitetable, table: work, waiting: queued, payload: payload, url: "sqlite://$PWD/rows.db"
	KINDS
	judged passed '50 jobs at'
	jq -e '[.findings[] | select(.id == "RV216" and .result == "passed") | .summary | startswith("50 jobs")] | length == 11' out.json ||
	    { jq -c '.findings[] | select(.id | IN("RV216", "RV204", "RV206")) | {id, result, summary, evidence}' out.json >&2; return 1; }
}
