#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Incident 003, replayed on a real PostgreSQL (its SQL Server can't be had): 12
# documents wait and no worker runs; three of the four that are in work have no
# lease, which starting the worker doesn't mend; completed documents that were
# never tried; dead letters at a Service Bus (a stub) that is switched off. What
# is about leases alone is in leases.bats.
# shellcheck disable=SC2034

bats_require_minimum_version 1.5.0
load ../../lib
load ../lib
load system

@test "003: as it was meant: everything is quiet" {
	queued
	start_workers
	wait_until count_is completed 37
	all_quiet
	run "$REEVE" lint
	expect_status 0
}

@test "003: no worker runs: the absent worker is the cause, the 12 that wait its symptom" {
	queued
	judged 1 diagnose
	roots diagnose RV301
	names diagnose RV301 'worker audit-worker' '0 look like this worker' 'reeve run'
	names diagnose RV701 'queue documents' 12
	names diagnose RV702 'queue documents' '3 h'
	explained diagnose RV301 RV211 RV701 RV702
	judged 1 gate --rollout 1s --timeout 60s
	roots gate RV301
	# nothing was sent into a system that nobody drains
	has 'not sent'
	count_is queued 12
}

@test "003: no transport is in use: lint and check name the producer" {
	POLLING=false
	manifest
	judged 1 lint
	wrong lint RV214
	names lint RV214 'producer api' POLLING_ENABLED SERVICE_BUS_ENABLED 'jobs go nowhere'
	judged 1 check
	names check RV214 'producer api' POLLING_ENABLED
}

@test "003: dead letters at a bus that is switched off: told, and what to type" {
	BUS=once
	manifest
	start_workers
	judged 0 diagnose
	wrong diagnose RV218
	names diagnose RV218 'queue bus' SERVICE_BUS_ENABLED 'reeve queue dead bus'
}

@test "003: what the Deployment lacks of what Compose gives is named before it is applied" {
	judged 1 lint reeve.yaml "$HERE/deployment.yaml" "$HERE/docker-compose.yml"
	names lint RV101 'worker audit-worker (Deployment) env AZURE_OPENAI_ENDPOINT' deployment.yaml
	wrong lint RV101
	sed '/env:/a\        - {name: AZURE_OPENAI_ENDPOINT, value: "http://127.0.0.1"}' "$HERE/deployment.yaml" >deployment.yaml
	judged 0 lint reeve.yaml deployment.yaml "$HERE/docker-compose.yml"
}

@test "003: all of it together, then mended as the findings say" {
	queued
	without_lease
	leased '4 minutes'
	broken_procedure
	never_tried
	BUS=once
	manifest
	run "$REEVE" queue ls --output json
	expect_status 0
	jq -e '.queues[] | select(.name == "documents") | .waiting == 12 and .active == 4 and .completed == 25 and .lease_expired == 0' <<<"$output"
	judged 1 diagnose
	roots diagnose RV218 RV301 RV407 RV409
	names diagnose RV301 'worker audit-worker'
	names diagnose RV409 'queue documents' '3 jobs'
	names diagnose RV407 'check completed means tried' 24
	names diagnose RV218 'queue bus'
	explained diagnose RV301 RV701 RV702
	judged 1 gate --rollout 1s --timeout 60s
	roots gate RV218 RV301 RV407 RV409

	# the report's own mend: what has a lease or waits is done, the three are not
	start_workers
	wait_until count_is queued 0
	judged 1 diagnose
	roots diagnose RV218 RV407 RV409

	documents "UPDATE documents SET status = 'queued', updated_at = now() WHERE status = 'processing' AND lease_expires_at IS NULL"
	documents "UPDATE documents SET processing_attempts = 1 WHERE status = 'completed'"
	documents "$(cat "$HERE/lease-mended.sql")"
	documents "UPDATE documents SET lease_expires_at = now() WHERE status = 'processing'"
	wait_until count_is completed 41
	stop_supervisor
	BUS=idle
	manifest
	start_workers
	all_quiet
}
