# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The system of incident 004, and what was wrong in it, each to be planted alone.

HERE=$BATS_TEST_DIRNAME

setup_file() {
	need nats-server node psql jq
	node_packages
	start_postgres
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	start_nats
	DATABASE=p8fs$BATS_TEST_NUMBER
	sql "CREATE DATABASE $DATABASE"
	sql "CREATE TABLE resources (id text PRIMARY KEY, tier text, worker text, created_at timestamptz DEFAULT now());
	    CREATE TABLE jobs (id text PRIMARY KEY, status text, queued_at timestamptz);
	    CREATE TABLE errors (id text PRIMARY KEY, message text)" "$DATABASE"
	mkdir run
	own_program "$HERE/storage.mjs"
	export REEVE_SOCKET=$PWD/run NODE_DIR
	export P8FS_NATS_URL=$NATS_URL
	as_meant
}

# What the cases change.
as_meant() {
	ROUTER_REPLICAS=1
	MEDIUM_REPLICAS=1
	MEDIUM_DURABLE='{name: NATS_DURABLE_NAME, value: medium-workers}'
	ENDPOINT='P8FS_SEAWEEDFS_ENDPOINT'
	SUBJECT=p8fs.storage.events
	VERIFIED=$DATABASE
	TEST_QUEUE=
	MODE=in-band
	WITHIN=30s
}

manifest() {
	local name
	mkdir -p secrets
	printf %s "${PG_URL%/*}/$DATABASE" >secrets/url
	printf %s "${PG_URL%/*}/$VERIFIED" >secrets/verified
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: p8fs
	secrets:
	  - {name: database, dir: secrets}
	env:
	  - {name: VERIFIED_URL, valueFrom: {secretKeyRef: {name: database, key: verified}}}
	  - {name: P8FS_NATS_URL, value: "$NATS_URL"}
	  - {name: P8FS_DATABASE_URL, valueFrom: {secretKeyRef: {name: database, key: url}}}
	  - {name: $ENDPOINT, value: "$NATS_URL"}
	queues:
	  - {name: events, kind: nats, url: \$(P8FS_NATS_URL), monitor: "http://127.0.0.1:$NATS_MONITOR", stream: P8FS_STORAGE_EVENTS, consumer: router, subject: $SUBJECT$TEST_QUEUE}
	YAML
	for name in small medium large; do
		cat >>reeve.yaml <<-YAML
		  - name: $name
		    kind: nats
		    url: \$(P8FS_NATS_URL)
		    monitor: http://127.0.0.1:$NATS_MONITOR
		    stream: P8FS_STORAGE_EVENTS_${name^^}
		    consumer: $name-workers
		    subject: p8fs.storage.events.$name
		    jobs: {size: size, sizeFrom: $(from $name), sizeBelow: $(below $name)}
		YAML
	done
	cat >>reeve.yaml <<-YAML
	workers:
	  - name: tiered-storage-router
	    command: [node, $PROGRAM, router]
	    replicas: $ROUTER_REPLICAS
	    consumes: [{queue: events}]
	    produces: [small, medium, large]
	    requires: [P8FS_NATS_URL]
	YAML
	worker small 2 '{name: NATS_DURABLE_NAME, value: small-workers}'
	worker medium "$MEDIUM_REPLICAS" "$MEDIUM_DURABLE"
	worker large 1 '{name: NATS_DURABLE_NAME, value: large-workers}'
	cat >>reeve.yaml <<-YAML
	producers:
	  - {name: api, produces: [{queue: events}]}
	checks:
	  - name: tables
	    postgres:
	      url: \$(P8FS_DATABASE_URL)
	      tables: [{name: resources, columns: [id, tier]}, {name: errors}, {name: jobs, columns: [id, status, queued_at]}]
	smoke:
	  - name: a file goes through
	    mode: $MODE
	    submit: {queue: events, payload: '{"id": "\$(CANARY)", "size": 1024}'}
	    stages:
	      - {name: stored, within: $WITHIN, postgres: {url: \$(VERIFIED_URL), query: "SELECT tier, worker FROM resources WHERE id = \$(CANARY)", equals: small}, by: worker}
	    cleanup: {postgres: {url: \$(P8FS_DATABASE_URL), execute: "DELETE FROM resources WHERE id = \$(CANARY)"}}
	YAML
}

from() { case $1 in small) echo 0 ;; medium) echo 100M ;; large) echo 1G ;; esac; }
below() { case $1 in small) echo 100M ;; medium) echo 1G ;; large) echo 1P ;; esac; }

worker() {
	cat >>reeve.yaml <<-YAML
	  - name: storage-worker-$1
	    command: [node, $PROGRAM, worker]
	    replicas: $2
	    consumes: [{queue: $1}]
	    requires: [P8FS_NATS_URL, P8FS_SEAWEEDFS_ENDPOINT, NATS_DURABLE_NAME, WORKER_TIER]
	    env: [{name: WORKER_TIER, value: $1}, $3]
	YAML
}

storage() {
	node "$PROGRAM" "$@"
}

all_ready() {
	in_status '.workers | all(.ready == .desired)'
}

start_all() {
	manifest
	start_supervisor
	wait_until all_ready
}

stored() {
	[ "$(sql "SELECT tier FROM resources WHERE id = '$1'" "$DATABASE")" = "$2" ]
}

waits() {
	"$REEVE" queue ls "$1" --output json | jq -e ".queues[0].waiting == $2"
}
