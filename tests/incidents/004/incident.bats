#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Incident 004, replayed on a real NATS and a real PostgreSQL: a tier without the
# consumer's name, the store's endpoint under another name, Deployments that lack
# both, a subject that no stream stores, tables that nobody made; each alone, then
# together with a router that never ran, and mended. What else the tiers got wrong
# is in tiers.bats.
# shellcheck disable=SC2034

bats_require_minimum_version 1.5.0
load ../../lib
load ../lib
load ../../service/broker_lib
load system

@test "004: as it was meant: each size by its tier, and everything is quiet" {
	storage setup
	start_all
	storage send p8fs.storage.events 99999999
	storage send p8fs.storage.events 100000000
	wait_until stored upload-99999999 small
	wait_until stored upload-100000000 medium
	judged 0 gate --rollout 30s --timeout 90s --settle 200ms
	wrong gate
	judged 0 diagnose
	wrong diagnose
}

@test "004: a tier without the consumer's name, the endpoint under another one: lint names both" {
	MEDIUM_DURABLE='{name: NATS_SUBJECT, value: p8fs.storage.events.medium}'
	ENDPOINT=P8FS_SEAWEEDFS_FILER
	manifest
	judged 1 lint
	wrong lint RV101
	names lint RV101 'worker storage-worker-medium env NATS_DURABLE_NAME' 'none of the worker'
	names lint RV101 'worker storage-worker-small env P8FS_SEAWEEDFS_ENDPOINT' "'P8FS_SEAWEEDFS_FILER' is given"
	judged 1 gate --rollout 1s --timeout 60s
	has 'not sent'
}

@test "004: the report's own Deployments: what they lack is named before they are applied" {
	manifest
	judged 1 lint reeve.yaml "$HERE/workers.yaml"
	wrong lint RV101 RV301 RV304
	names lint RV301 'worker storage-worker-large in Kubernetes' 'never starts it' workers.yaml
	names lint RV304 'worker storage-worker-medium in Kubernetes' '0 replicas there, 1 declared'
	names lint RV101 'worker storage-worker-medium (Deployment) env NATS_DURABLE_NAME' workers.yaml
	names lint RV101 'worker storage-worker-small (Deployment) env P8FS_NATS_URL' workers.yaml
	names lint RV101 'worker storage-worker-small (Deployment) env P8FS_SEAWEEDFS_ENDPOINT' "'P8FS_SEAWEEDFS_FILER' is given"
}

@test "004: a subject that no stream stores: named with the nearest, and no canary is lost in it" {
	storage setup
	SUBJECT=p8fs.storage.event
	start_all
	judged 1 check
	roots check RV222
	names check RV222 'queue events' "p8fs.storage.event" "p8fs.storage.events"
	judged 1 smoke
	names smoke RV601 'smoke a file goes through' 'nothing was published' p8fs.storage.event
}

@test "004: tables that the code reads and nobody made" {
	storage setup
	sql 'DROP TABLE errors; ALTER TABLE jobs RENAME queued_at TO created_at' "$DATABASE"
	start_all
	judged 1 check
	roots check RV405
	names check RV405 'check tables' errors queued_at
}

@test "004: all of it together, then mended as the findings say" {
	sql 'DROP TABLE errors' "$DATABASE"
	MEDIUM_DURABLE='{name: NATS_SUBJECT, value: p8fs.storage.events.medium}'
	ENDPOINT=P8FS_SEAWEEDFS_FILER
	ROUTER_REPLICAS=0
	manifest
	judged 1 diagnose
	roots diagnose RV101 RV209 RV301 RV405
	judged 1 gate --rollout 1s --timeout 60s
	has 'not sent'
	sql 'CREATE TABLE errors (id text)' "$DATABASE"
	as_meant
	storage setup
	start_all
	judged 0 gate --rollout 30s --timeout 90s --settle 200ms
	wrong gate
	judged 0 diagnose
	wrong diagnose
}
