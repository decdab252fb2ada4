# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The system of incident 001, and what was wrong in it, each to be planted alone.
# shellcheck disable=SC2016

HERE=$BATS_TEST_DIRNAME

setup_file() {
	need psql jq
	start_postgres
	sql "CREATE ROLE base_worker LOGIN PASSWORD 'worker-s3cret'"
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	DATABASE=insurance$BATS_TEST_NUMBER
	sql "CREATE DATABASE $DATABASE"
	db "$(cat "$HERE/migration-001.sql")"
	mkdir run secrets
	printf 'postgresql://base_worker:worker-s3cret@127.0.0.1:%s/%s' "$PG_PORT" "$DATABASE" >secrets/url
	export REEVE_SOCKET=$PWD/run
	SILENT=
	GRANTS='SELECT, INSERT'
	EXPECTED='id = $(CANARY)'
	FLOOR=1ms
	WITHIN=30s
	manifest
}

db() {
	sql "$1" "$DATABASE"
}

grants() {
	db 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO base_worker'
}

migrated() {
	db "$(cat "$HERE/migration-002.sql")"
	grants
}

manifest() {
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: insurance
	secrets:
	  - {name: database, dir: secrets}
	env:
	  - {name: DATABASE_URL, valueFrom: {secretKeyRef: {name: database, key: url}}}
	queues:
	  - {name: jobs, kind: pgtable, url: \$(DATABASE_URL), table: upload_jobs, waiting: uploaded, active: working, done: complete, failed: failed, lease: lease, attempts: attempts, owner: owner, created: created_at, objectives: {oldest: 1h, failureRatio: 10%}}
	workers:
	  - name: base-worker
	    command: [$REEVE, worker, -f, $PWD/reeve.yaml, --queue, jobs, --max-attempts, "1", --, $HERE/base-worker.sh]
	    replicas: 1
	    consumes: [{queue: jobs}]
	    requires: [DATABASE_URL]
	    env: [{name: SILENT, value: "$SILENT"}]
	producers:
	  - {name: api, produces: [{queue: jobs}]}
	checks:
	  - name: buffers
	    postgres:
	      url: \$(DATABASE_URL)
	      tables: [{name: document_chunk_buffer, columns: [document_id], grants: [$GRANTS]}, {name: document_vector_buffer, columns: [document_id]}]
	      migration: {table: schema_migrations, version: "002"}
	  - name: states that exist
	    postgres: {url: \$(DATABASE_URL), query: "SELECT count(*) FROM documents WHERE processing_status NOT IN ('uploaded', 'chunked', 'complete')", equals: 0}
	smoke:
	  - name: a document goes through
	    submit: {queue: jobs, payload: '{"id": "\$(CANARY)"}'}
	    stages:
	      - {name: chunked, within: $WITHIN, postgres: {url: \$(DATABASE_URL), query: "SELECT count(*) FROM document_chunk_buffer WHERE document_id = \$(CANARY)", atLeast: 1}}
	      - {name: embedded, within: $WITHIN, postgres: {url: \$(DATABASE_URL), query: "SELECT count(*) FROM document_vector_buffer WHERE document_id = \$(CANARY)", atLeast: 1}}
	      - {name: complete, within: $WITHIN, postgres: {url: \$(DATABASE_URL), query: "SELECT processing_status, processed_by FROM documents WHERE $EXPECTED LIMIT 1", equals: complete}, by: processed_by}
	    floor: $FLOOR
	    cleanup: {postgres: {url: \$(DATABASE_URL), execute: "WITH c AS (DELETE FROM document_chunk_buffer WHERE document_id = \$(CANARY)), v AS (DELETE FROM document_vector_buffer WHERE document_id = \$(CANARY)) DELETE FROM documents WHERE id = \$(CANARY)"}}
	YAML
}

start_worker() {
	start_supervisor
	wait_until ready base-worker 1
}

# The API does all of it itself, in the moment of the upload.
api_does_it() {
	db "CREATE FUNCTION api() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \$\$ BEGIN
	    INSERT INTO document_chunk_buffer VALUES (NEW.id, 1);
	    INSERT INTO document_vector_buffer VALUES (NEW.id, 1);
	    INSERT INTO documents(id, processing_status, processed_by) VALUES (NEW.id, 'complete', '$1');
	    NEW.status = 'complete';
	    RETURN NEW; END \$\$;
	    CREATE TRIGGER api BEFORE INSERT ON upload_jobs FOR EACH ROW EXECUTE FUNCTION api()"
}
