#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Incident 004: what its tiers, its router and its TEST stream got wrong while the
# system ran; the rest is in incident.bats.
# shellcheck disable=SC2034

bats_require_minimum_version 1.5.0
load ../../lib
load ../lib
load ../../service/broker_lib
load system

@test "004: the router never ran: each missing stream is the cause of its workers' end" {
	ROUTER_REPLICAS=0
	manifest
	start_supervisor
	wait_until in_status '[.workers[] | select(.desired > 0) | .instances | any(.restarts >= 3)] | all'
	judged 1 check
	roots check RV209
	names check RV209 'queue small' P8FS_STORAGE_EVENTS_SMALL "worker 'tiered-storage-router' fills it"
	names check RV209 'queue events' P8FS_STORAGE_EVENTS
	names check RV506 'worker storage-worker-small' 'exit code 1'
	explained check RV209 RV506
}

@test "004: jobs for a tier that has no replicas, and nothing that scales it" {
	storage setup
	MEDIUM_REPLICAS=0
	start_all
	storage send p8fs.storage.events 200000000
	wait_until waits medium 1
	judged 1 diagnose
	roots diagnose RV701
	names diagnose RV701 'queue medium' '1 waiting' 'worker storage-worker-medium has 0 replicas' 'scale'
}

@test "004: a file on the border of two tiers, in the wrong one" {
	storage setup
	manifest
	storage send p8fs.storage.events.small 100000000
	judged 1 check
	names check RV219 'queue small' 100000000
}

@test "004: the TEST stream that nobody made, and a smoke that goes nowhere else" {
	storage setup
	TEST_QUEUE=', test: P8FS_STORAGE_EVENTS_TEST'
	MODE=isolated
	start_all
	judged 1 gate --rollout 30s --timeout 60s --settle 200ms
	roots gate RV601 RV624
	names gate RV601 'smoke a file goes through' 'nothing was published' P8FS_STORAGE_EVENTS_TEST
	names gate RV624 smoke P8FS_STORAGE_EVENTS_TEST
}

@test "004: what is read back is another database than the workers write to" {
	storage setup
	sql "CREATE DATABASE tidb$BATS_TEST_NUMBER"
	sql 'CREATE TABLE resources (id text, tier text, worker text)' "tidb$BATS_TEST_NUMBER"
	VERIFIED=tidb$BATS_TEST_NUMBER
	WITHIN=2s
	start_all
	judged 1 smoke
	roots smoke RV602
	names smoke RV602 'smoke a file goes through' 'consumed 1, succeeded 0' "'stored' did not come"
	explained smoke RV602 RV601 RV612
}
