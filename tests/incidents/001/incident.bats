#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Incident 001, replayed on a real PostgreSQL: everything was reported as done, and
# no worker was ever deployed; the migration wasn't applied; the worker swallowed
# what failed; the API itself did the "processing", in no time; old rows made the
# tests pass. Each alone, then together and mended.
# shellcheck disable=SC2016,SC2034

bats_require_minimum_version 1.5.0
load ../../lib
load ../lib
load system

@test "001: as it was meant: everything is quiet" {
	migrated
	start_worker
	judged 0 gate --rollout 30s --timeout 90s --settle 200ms
	wrong gate
	jq -e '.coverage | .stages_reached == 3 and .stages_declared == 3' gate.json
	judged 0 diagnose
	wrong diagnose
}

@test "001: no worker was deployed: the gate fails, whatever the API says" {
	migrated
	db "INSERT INTO upload_jobs(id, created_at) SELECT 'doc-' || i, now() - interval '2 days' FROM generate_series(1, 14) i"
	judged 1 gate --rollout 1s --timeout 60s
	roots gate RV301
	names gate RV301 'worker base-worker' '0 look like this worker'
	names gate RV701 'queue jobs' 14
	names gate RV702 'queue jobs' '2 d'
	explained gate RV301 RV701 RV702
	has 'not sent'
}

@test "001: the migration that was 'properly executed' and isn't there" {
	grants
	start_worker
	judged 1 check
	roots check RV402
	names check RV402 'check buffers' 001 002
	names check RV405 'check buffers' document_chunk_buffer document_vector_buffer
	explained check RV402 RV405
	judged 1 gate --rollout 30s --timeout 60s
	has 'not sent'
}

@test "001: the buffers are there, and the worker may not write them" {
	migrated
	db 'REVOKE INSERT ON document_chunk_buffer FROM base_worker'
	start_worker
	judged 1 check
	roots check RV408
	names check RV408 'check buffers' 'may not INSERT on document_chunk_buffer'
}

@test "001: writes that fail silently: taken and called done is not success" {
	migrated
	# nobody declared what the role must be allowed
	GRANTS=SELECT
	db 'REVOKE INSERT ON document_chunk_buffer FROM base_worker'
	SILENT=1
	WITHIN=3s
	manifest
	start_worker
	judged 1 smoke
	roots smoke RV602
	names smoke RV602 'smoke a document goes through' "'chunked' did not come"
	explained smoke RV602 RV601 RV604 RV612
	# the document was called complete, and that alone is there
	jq -e '.coverage | .stages_reached == 1 and .stages_declared == 3' smoke.json
}

@test "001: the API did it all itself" {
	migrated
	api_does_it api
	start_worker
	judged 1 smoke
	names smoke RV620 'smoke a document goes through stage complete' api
}

@test "001: impossible times: done faster than the work can be" {
	migrated
	api_does_it base-worker/0
	FLOOR=20s
	manifest
	start_worker
	judged 1 smoke
	names smoke RV607 'smoke a document goes through' '20 s'
}

@test "001: what is expected already holds, by rows of an earlier test" {
	migrated
	db "INSERT INTO documents(id, processing_status, processed_by, created_at) VALUES ('old', 'complete', 'base-worker/0', '2025-08-06')"
	EXPECTED="processing_status = 'complete'"
	manifest
	start_worker
	judged 1 smoke
	names smoke RV919 'smoke a document goes through stage complete' 'held'
}

@test "001: documents whose status is empty" {
	migrated
	db "INSERT INTO documents(id) SELECT 'doc-' || i FROM generate_series(1, 14) i"
	start_worker
	judged 1 check
	roots check RV407
	names check RV407 'check states that exist' 14
}

@test "001: a description that can't be read is never one that passes" {
	run "$REEVE" lint reeve.yaml "$HERE/render.yaml"
	[ "$status" -ne 0 ]
	has render.yaml
}

@test "001: all of it together, then mended as the findings say" {
	db "INSERT INTO documents(id) SELECT 'doc-' || i FROM generate_series(1, 5) i;
	    INSERT INTO upload_jobs(id, created_at) SELECT 'doc-' || i, now() - interval '2 days' FROM generate_series(1, 5) i"
	grants
	judged 1 gate --rollout 1s --timeout 60s
	roots gate RV301 RV402 RV407
	judged 1 diagnose
	roots diagnose RV301 RV402 RV407
	migrated
	start_worker
	wait_until all_complete
	judged 0 gate --rollout 30s --timeout 90s --settle 200ms
	wrong gate
	judged 0 diagnose
	wrong diagnose
}

all_complete() {
	[ "$(db "SELECT count(*) FROM documents WHERE processing_status = 'complete'")" = 5 ]
}
