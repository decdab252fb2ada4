#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Incident 003's leases and tries, each of what was wrong about them alone.

bats_require_minimum_version 1.5.0
load ../../lib
load ../lib
load system

@test "003: in work without a lease: named, counted, and not mended by starting the worker" {
	without_lease
	start_workers
	judged 1 diagnose
	roots diagnose RV409
	names diagnose RV409 'queue documents' '3 jobs' 'starting workers does not mend it' 'reeve queue peek --part active documents'
	wrong diagnose RV409
	count_is processing 3
	# what it says to type shows which they are
	run "$REEVE" queue peek --part active documents
	expect_status 0
	has stuck-1
	has stuck-3
	lacks leased
}

@test "003: a procedure that never takes over a lease that ran out: named while the workers run" {
	broken_procedure
	leased '-1 minute'
	start_workers
	judged 0 diagnose
	wrong diagnose RV416
	names diagnose RV416 'queue documents' '1 lease' 'reeve queue reclaim documents'
	# a lease that is in force is none, though nobody runs who could hold it
	documents "UPDATE documents SET lease_expires_at = now() + interval '4 minutes'"
	judged 0 diagnose
	wrong diagnose
	documents "UPDATE documents SET lease_expires_at = now() - interval '1 minute' WHERE status = 'processing'"
	documents "$(cat "$HERE/lease-mended.sql")"
	wait_until count_is completed 26
	judged 0 diagnose
	wrong diagnose
}

@test "003: a procedure that reads, then writes is not called atomic" {
	queued
	broken_procedure
	judged 1 check --verbose
	jq -e '.findings[] | select(.id == "RV418" and .subject == "check lease procedure") | .result == "unknown" and (.summary | contains("SKIP LOCKED"))' check.json
	documents "$(cat "$HERE/lease-mended.sql")"
	judged 1 check
	jq -e '.findings[] | select(.id == "RV418" and .subject == "check lease procedure") | .result == "passed"' check.json
	count_is queued 12
}

@test "003: completed and never tried, given up and never failed: each is its own finding" {
	never_tried
	start_workers
	judged 1 diagnose
	roots diagnose RV407
	names diagnose RV407 'check completed means tried' 24
	documents "UPDATE documents SET processing_attempts = 1; INSERT INTO documents(id, filename, status, processing_attempts, lease_expires_at)
	    VALUES ('poison-1', 'corrupt.pdf', 'processing', 3, now() + interval '1 hour')"
	judged 1 check
	roots check RV407
	names check RV407 'check given up means failed' 1
}

@test "003: documents that fail at every try: given up, and told as that" {
	documents "INSERT INTO documents(id, filename) SELECT 'bad-' || i, 'corrupt.pdf' FROM generate_series(1, 11) i"
	start_workers
	wait_until count_is failed 11
	judged 1 diagnose
	wrong diagnose RV703
	names diagnose RV703 'queue documents' 11 36 'reeve queue dead documents'
	run "$REEVE" queue dead documents
	has 'PdfReadError'
	# the pipeline itself works
	judged 0 smoke
}

@test "003: the worker crashes, and a broken invariant beside it doesn't hide that" {
	never_tried
	sed -i "s|$PROGRAM|$PWD/no-such-worker.mjs|" reeve.yaml
	start_supervisor
	wait_until in_status '.workers[0].instances | any(.restarts >= 3)'
	judged 1 diagnose
	roots diagnose RV407 RV506
	names diagnose RV506 'worker audit-worker' 'exit code 1' 'reeve logs'
}
