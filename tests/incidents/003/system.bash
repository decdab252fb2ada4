# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The system of incident 003, and what was wrong in it, each to be planted alone.

HERE=$BATS_TEST_DIRNAME

setup_file() {
	need node psql jq
	node_packages
	start_postgres
	BUS_PORT=$(free_port)
	export BUS_PORT
	start_background bus node "$NODE_DIR/servicebus_stub.mjs" "$BUS_PORT"
	wait_until port_listens "$BUS_PORT"
}

# As it should be: 25 documents done, each at its first try.
setup() {
	cd "$BATS_TEST_TMPDIR" || return
	DATABASE=audit$BATS_TEST_NUMBER
	sql "CREATE DATABASE $DATABASE"
	documents "$(cat "$HERE/schema.sql" "$HERE/lease-mended.sql")"
	documents "INSERT INTO documents(id, filename, status, processing_attempts, updated_at)
	    SELECT 'done-' || i, 'report.pdf', 'completed', 1, now() - interval '5 hours' FROM generate_series(1, 25) i"
	mkdir run secrets
	own_program "$HERE/worker.mjs"
	printf %s "${PG_URL%/*}/$DATABASE" >secrets/connection-string
	printf 'servicebus://manage:%s@audit.example' c2VjcmV0LW9mLXRoZS10ZXN0 >secrets/bus
	export REEVE_SOCKET=$PWD/run NODE_DIR
	BUS=idle
	POLLING=true
	manifest
}

documents() {
	sql "$1" "$DATABASE"
}

manifest() {
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: audit
	secrets:
	  - {name: db-secret, dir: secrets}
	env:
	  - {name: DATABASE_URL, valueFrom: {secretKeyRef: {name: db-secret, key: connection-string}}}
	  - {name: SERVICE_BUS, valueFrom: {secretKeyRef: {name: db-secret, key: bus}}}
	  - {name: SERVICE_BUS_ENABLED, value: "false"}
	  - {name: POLLING_ENABLED, value: "$POLLING"}
	queues:
	  - name: documents
	    kind: pgtable
	    url: \$(DATABASE_URL)
	    table: documents
	    lease: lease_expires_at
	    attempts: processing_attempts
	    max_attempts: max_retries
	    owner: worker_id
	    created: created_at
	    updated: updated_at
	    error: error_message
	    enabledBy: POLLING_ENABLED
	    objectives: {depth: 50, oldest: 5m, deadLetters: 10, failureRatio: 10%, leaseExpiryRatio: 5%}
	  - name: bus
	    kind: servicebus
	    url: \$(SERVICE_BUS)/$BUS
	    endpoint: http://127.0.0.1:$BUS_PORT
	    enabledBy: SERVICE_BUS_ENABLED
	workers:
	  - name: audit-worker
	    command: [node, $PROGRAM]
	    replicas: 2
	    consumes: [{queue: documents}, {queue: bus}]
	    requires: [DATABASE_URL, AZURE_OPENAI_ENDPOINT]
	    env: [{name: AZURE_OPENAI_ENDPOINT, value: "http://127.0.0.1:$BUS_PORT"}]
	producers:
	  - name: api
	    produces: [{queue: documents}, {queue: bus}]
	    env: [{name: SERVICE_BUS_ENABLED, value: "false"}, {name: POLLING_ENABLED, value: "$POLLING"}]
	checks:
	  - name: schema
	    postgres:
	      url: \$(DATABASE_URL)
	      tables: [{name: documents, columns: [id, status, lease_expires_at, processing_attempts]}]
	  - name: completed means tried
	    postgres:
	      url: \$(DATABASE_URL)
	      query: "SELECT count(*) FROM documents WHERE status = 'completed' AND processing_attempts = 0"
	      equals: 0
	  - name: given up means failed
	    postgres:
	      url: \$(DATABASE_URL)
	      query: "SELECT count(*) FROM documents WHERE status <> 'completed' AND status <> 'failed' AND processing_attempts >= max_retries"
	      equals: 0
	  - name: lease procedure
	    required: false
	    postgres:
	      url: \$(DATABASE_URL)
	      claim: "SELECT id FROM documents WHERE status = 'queued' AND acquire_document_lease(id, 'check') LIMIT 1"
	smoke:
	  - name: a document goes through
	    submit: {queue: documents, payload: '{"id": "\$(CANARY)", "filename": "canary.pdf"}'}
	    stages:
	      - {name: completed, within: 30s, postgres: {url: \$(DATABASE_URL), query: "SELECT status, worker_id FROM documents WHERE id = \$(CANARY)", equals: completed}, by: worker_id}
	      - {name: chunked, within: 30s, postgres: {url: \$(DATABASE_URL), query: "SELECT count(*) FROM chunks WHERE document_id = \$(CANARY)", atLeast: 1}}
	    cleanup: {postgres: {url: \$(DATABASE_URL), execute: "DELETE FROM chunks WHERE document_id = \$(CANARY)"}}
	YAML
}

# --- what was wrong, one by one ------------------------------------------------

queued() {
	documents "INSERT INTO documents(id, filename, created_at, updated_at)
	    SELECT 'queued-' || i, 'upload.pdf', now() - interval '3 hours', now() - interval '3 hours' FROM generate_series(1, 12) i"
}

# In work since three hours, and never leased.
without_lease() {
	documents "INSERT INTO documents(id, filename, status, created_at, updated_at)
	    SELECT 'stuck-' || i, 'stuck.pdf', 'processing', now() - interval '3 hours', now() - interval '3 hours' FROM generate_series(1, 3) i"
}

# leased INTERVAL: in work, by a worker that is gone, and its lease ends then.
leased() {
	documents "INSERT INTO documents(id, filename, status, processing_attempts, lease_expires_at, worker_id)
	    VALUES ('leased-1', 'leased.pdf', 'processing', 1, now() + interval '$1', 'audit-worker/0')"
}

broken_procedure() {
	documents "$(cat "$HERE/lease-broken.sql")"
}

never_tried() {
	documents "UPDATE documents SET processing_attempts = 0 WHERE status = 'completed' AND id <> 'done-1'"
}

start_workers() {
	start_supervisor
	wait_until ready audit-worker 2
}

count_is() {
	[ "$(documents "SELECT count(*) FROM documents WHERE status = '$1'")" = "$2" ]
}

all_quiet() {
	judged 0 gate --rollout 30s --timeout 90s --settle 200ms
	wrong gate
	judged 0 diagnose
	wrong diagnose
}
