#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Incident 000, replayed on a real redis-server and a real PostgreSQL: the
# worker that was never deployed, the queue name off by one character, the key
# under another name, the wrong literal password, the endpoint that answers 404;
# one at a time and all together.

bats_require_minimum_version 1.5.0
load ../../lib

HERE=$BATS_TEST_DIRNAME
REDIS_PASSWORD=redis-s3cret-pw
DB_PASSWORD=unified-s3cret-pw
WRONG_PASSWORD=graphrag123
API_KEY=voyage-s3cret-key

setup() {
	need redis-server psql jq curl python3
	cd "$BATS_TEST_TMPDIR"
	start_redis --requirepass "$REDIS_PASSWORD"
	start_postgres
	sql "CREATE ROLE unified_brain LOGIN PASSWORD '$DB_PASSWORD'"
	sql "CREATE DATABASE nexus OWNER unified_brain"
	PGPASSWORD=$DB_PASSWORD psql -Xq -h 127.0.0.1 -p "$PG_PORT" \
	    -U unified_brain nexus -c 'CREATE TABLE documents(id text PRIMARY KEY,
	    status text NOT NULL, worker_id text, lease_expires_at timestamptz)'
	AGENT_PORT=$(free_port)
	start_background mageagent python3 "$HERE/mageagent.py" "$AGENT_PORT" \
	    /api/ocr "$PWD/ocr-404"
	wait_until port_listens "$AGENT_PORT"
	mkdir secrets
	printf %s "postgresql://unified_brain:$DB_PASSWORD@127.0.0.1:$PG_PORT/nexus" \
	    >secrets/DATABASE_URL
	printf %s "$API_KEY" >secrets/VOYAGE_API_KEY
	printf %s "redis://:$REDIS_PASSWORD@127.0.0.1:$REDIS_PORT/0" \
	    >secrets/REDIS_URL
	export REEVE_SOCKET=$PWD/run
	mkdir run
	API_QUEUE=fileprocess:jobs
	WORKER_DATABASE=
}

# The manifest, with what the API writes to and what the worker gets.
manifest() {
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: fileprocess
	secrets:
	  - {name: nexus-secrets, dir: $PWD/secrets}
	env:
	  - {name: REDIS_URL, valueFrom: {secretKeyRef: {name: nexus-secrets, key: REDIS_URL}}}
	  - {name: DATABASE_URL, valueFrom: {secretKeyRef: {name: nexus-secrets, key: DATABASE_URL}}}
	  - {name: MAGEAGENT_URL, value: "http://127.0.0.1:$AGENT_PORT"}
	queues:
	  - name: jobs
	    kind: redis
	    url: \$(REDIS_URL)
	    list: fileprocess:jobs
	    deadLetter: fileprocess:dead
	    objectives: {depth: 50, oldest: 5m}
	workers:
	  - name: fileprocess
	    command: [$REEVE, worker, -f, $PWD/reeve.yaml, --queue, jobs, --max-attempts, "1", --, $HERE/job.sh]
	    replicas: 2
	    consumes: [{queue: jobs, env: QUEUE_NAME}]
	    requires: [REDIS_URL, DATABASE_URL, VOYAGE_API_KEY, MAGEAGENT_URL]
	    env:
	      - {name: VOYAGE_API_KEY, valueFrom: {secretKeyRef: {name: nexus-secrets, key: VOYAGE_API_KEY}}}
	$WORKER_DATABASE
	    terminationGracePeriodSeconds: 10
	producers:
	  - name: api
	    produces: [{queue: jobs, env: JOB_QUEUE}]
	    env: [{name: JOB_QUEUE, value: "$API_QUEUE"}]
	checks:
	  - name: schema
	    postgres: {url: \$(DATABASE_URL), tables: [{name: documents, columns: [id, status, lease_expires_at]}]}
	  - name: ocr endpoint
	    http: {url: \$(MAGEAGENT_URL)/api/ocr, method: POST, body: "{}", status: [200, 400, 422]}
	smoke:
	  - name: a document goes through
	    submit: {queue: jobs, payload: '{"id": "\$(CANARY)", "filename": "valid.pdf"}'}
	    stages:
	      - {name: claimed, within: 10s, queue: jobs, state: taken}
	      - {name: processed, within: 20s, postgres: {url: \$(DATABASE_URL), query: "SELECT status, worker_id FROM documents WHERE id = \$(CANARY)", equals: completed}, by: worker_id}
	    floor: 1ms
	    cleanup: {postgres: {url: \$(DATABASE_URL), execute: "DELETE FROM documents WHERE id = \$(CANARY)"}}
	YAML
}

# The API: three documents to do.
produce() {
	local i
	for i in 1 2 3; do
		REDISCLI_AUTH=$REDIS_PASSWORD redis LPUSH "$API_QUEUE" \
		    "{\"id\": \"upload-$RANDOM-$i\", \"filename\": \"valid.pdf\"}"
	done >produced
}

both_ready() {
	"$REEVE" status -f reeve.yaml --output json |
	    jq -e '.workers[0].ready == 2'
}

start_workers() {
	start_background run "$REEVE" run -f reeve.yaml
}

# gate fails, diagnose names exactly the findings given as root causes, the
# symptoms are explained below them, and no secret is anywhere.
assert_roots() {
	run "$REEVE" gate -f reeve.yaml --timeout 60s --rollout 5s --output text \
	    --output json=gate.json --output junit=gate.xml
	expect_status 1
	run "$REEVE" diagnose -f reeve.yaml --output text --output json=diagnose.json
	expect_status 1
	local id roots
	roots=$(jq -r '[.findings[] | select(.role == "root") | .id] | unique | join(" ")' diagnose.json)
	if [ "$roots" != "$*" ]; then
		printf 'expected the root causes %s, got %s:\n%s\n' "$*" "$roots" "$output" >&2
		return 1
	fi
	for id in "$@"; do
		has "$id"
		jq -e --arg id "$id" '.findings[] | select(.id == $id and .role == "root")
		    | (.evidence | length > 0) and (.fix.text != null)' diagnose.json
	done
	no_secret_shown
}

# Whatever it finds: it says something, and neither crashes nor hangs. An empty
# file would hold no secret either.
words_of() {
	local file=$1 code=0
	shift
	timeout -k 5 60 "$REEVE" "$@" >"$file" 2>&1 || code=$?
	[ -s "$file" ] && [ "$code" -ne 70 ] && [ "$code" -lt 124 ]
}

no_secret_shown() {
	local secret
	words_of check.txt check -f reeve.yaml --verbose --output text
	words_of status.txt status -f reeve.yaml
	words_of queues.json queue ls -f reeve.yaml --output json
	printf '%s\n' "$output" >diagnose.txt
	for secret in "$REDIS_PASSWORD" "$DB_PASSWORD" "$WRONG_PASSWORD" "$API_KEY"; do
		if grep -RFl -e "$secret" ./*.txt ./*.json ./*.xml ./*.log; then
			echo "a secret is in the files above" >&2
			return 1
		fi
		if ps -eo args | grep -F -e "$secret" | grep -v 'grep -F'; then
			echo "a secret is in a command line" >&2
			return 1
		fi
	done
}

@test "000: as it was meant: the gate is green" {
	manifest
	produce
	start_workers
	wait_until both_ready
	run "$REEVE" gate -f reeve.yaml --timeout 60s
	expect_status 0
	run "$REEVE" diagnose -f reeve.yaml
	expect_status 0
	no_secret_shown
}

@test "000: the worker isn't running" {
	manifest
	produce
	assert_roots RV301
	jq -e '.findings[] | select(.id == "RV701" and .role == "explained")' diagnose.json
}

@test "000: the API writes another queue name" {
	API_QUEUE=fileprocess-jobs
	manifest
	produce
	start_workers
	wait_until both_ready
	assert_roots RV201
	has fileprocess-jobs
}

@test "000: the secret holds VOYAGEAI_API_KEY" {
	mv secrets/VOYAGE_API_KEY secrets/VOYAGEAI_API_KEY
	manifest
	produce
	start_workers
	wait_until "$REEVE" status -f reeve.yaml
	assert_roots RV102
	has VOYAGEAI_API_KEY
}

wrong_literal_password() {
	WORKER_DATABASE="      - {name: DATABASE_URL, value: \"postgresql://unified_brain:$WRONG_PASSWORD@127.0.0.1:$PG_PORT/nexus\"}"
}

@test "000: DATABASE_URL has a wrong literal password" {
	wrong_literal_password
	manifest
	start_workers
	wait_until both_ready
	produce
	assert_roots RV104
	jq -e '.findings[] | select(.id == "RV401" and .result == "failed")' diagnose.json
}

@test "000: the OCR endpoint answers 404" {
	touch ocr-404
	manifest
	produce
	start_workers
	wait_until both_ready
	assert_roots RV110
	has 404
}

@test "000: all of it together, then mended" {
	touch ocr-404
	mv secrets/VOYAGE_API_KEY secrets/VOYAGEAI_API_KEY
	API_QUEUE=fileprocess-jobs
	wrong_literal_password
	manifest
	produce
	assert_roots RV102 RV104 RV110 RV201 RV301

	rm ocr-404
	mv secrets/VOYAGEAI_API_KEY secrets/VOYAGE_API_KEY
	API_QUEUE=fileprocess:jobs
	WORKER_DATABASE=
	manifest
	# the jobs of the wrong name are moved to the right one
	REDISCLI_AUTH=$REDIS_PASSWORD redis RENAME fileprocess-jobs fileprocess:jobs
	start_workers
	wait_until both_ready
	run "$REEVE" gate -f reeve.yaml --timeout 60s
	expect_status 0
	run "$REEVE" diagnose -f reeve.yaml
	expect_status 0
}
