#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Incident 002, replayed on Google's own Pub/Sub emulator and a real PostgreSQL: a
# worker whose dependency is missing, one that runs old code beside new messages,
# a clean start that is no work, indexes that nobody applied and one whose creation
# failed, and a subscription that gives jobs out again while they are worked on,
# without a pause and without dead letters. Each alone, then together and mended.
# shellcheck disable=SC2016

bats_require_minimum_version 1.5.0
load ../../lib
load ../lib

HERE=$BATS_TEST_DIRNAME
INDEX=idx_content_requests_correlation_status

setup_file() {
	need java node psql jq curl
	node_packages
	start_postgres
	PUBSUB_PORT=$(free_port)
	start_background pubsub java -jar \
	    /usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar \
	    --host=127.0.0.1 --port="$PUBSUB_PORT"
	export PUBSUB_URL=http://127.0.0.1:$PUBSUB_PORT
	wait_until -t 120 pubsub PUT topics/started '{}'
}

# pubsub METHOD PATH BODY
pubsub() {
	curl -sf -o /dev/null -X "$1" -H 'Content-Type: application/json' -d "$3" "$PUBSUB_URL/v1/projects/vividly/$2"
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	DATABASE=vividly$BATS_TEST_NUMBER
	TOPIC=content-requests-$BATS_TEST_NUMBER
	SUBSCRIPTION=content-generation-worker-sub-$BATS_TEST_NUMBER
	DECLARED=$SUBSCRIPTION
	sql "CREATE DATABASE $DATABASE"
	sql "$(cat "$HERE/schema.sql")" "$DATABASE"
	mkdir run secrets app
	printf %s "${PG_URL%/*}/$DATABASE" >secrets/url
	export REEVE_SOCKET=$PWD/run NODE_DIR
	cp "$HERE/content-worker.mjs" app/content-worker.mjs
	chmod +x app/content-worker.mjs
	: >app/monitoring_v3.mjs
	WITHIN=30s
}

as_meant() {
	indexed
	pubsub PUT "topics/$TOPIC" '{}'
	pubsub PUT "topics/$TOPIC-dead" '{}'
	pubsub PUT "subscriptions/$TOPIC-dead-sub" "{\"topic\": \"projects/vividly/topics/$TOPIC-dead\"}"
	good_subscription
}

good_subscription() {
	subscription ', "ackDeadlineSeconds": 600, "retryPolicy": {"minimumBackoff": "10s", "maximumBackoff": "600s"}, "deadLetterPolicy":
	    {"deadLetterTopic": "projects/vividly/topics/'"$TOPIC"'-dead", "maxDeliveryAttempts": 5}'
}

# subscription MORE: of the topic; another is no more.
subscription() {
	pubsub GET "subscriptions/$SUBSCRIPTION" '' && pubsub DELETE "subscriptions/$SUBSCRIPTION" ''
	pubsub PUT "subscriptions/$SUBSCRIPTION" "{\"topic\": \"projects/vividly/topics/$TOPIC\"$1}"
}

indexed() {
	sql "CREATE UNIQUE INDEX $INDEX ON content_requests (correlation_id)" "$DATABASE"
}

manifest() {
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: vividly
	secrets:
	  - {name: database, dir: secrets}
	env:
	  - {name: DATABASE_URL, valueFrom: {secretKeyRef: {name: database, key: url}}}
	queues:
	  - {name: requests, kind: pubsub, url: "pubsub://vividly/$DECLARED", topic: $TOPIC, endpoint: $PUBSUB_URL, jobs: {longest: $LONGEST, mostTries: 10}}
	workers:
	  - name: content-worker
	    command: [$PWD/app/content-worker.mjs]
	    replicas: 1
	    consumes: [{queue: requests}]
	    requires: [DATABASE_URL, PUBSUB_URL, PUBSUB_SUBSCRIPTION, APP]
	    env: [{name: PUBSUB_SUBSCRIPTION, value: $SUBSCRIPTION}, {name: APP, value: "$PWD/app"}, {name: PUBSUB_URL, value: "$PUBSUB_URL"}]
	producers:
	  - {name: api, produces: [{queue: requests}]}
	checks:
	  - name: dependencies
	    command: {command: [node, --input-type=module, -e, 'await import("$PWD/app/monitoring_v3.mjs")']}
	  - name: indexes
	    postgres:
	      url: \$(DATABASE_URL)
	      tables: [{name: content_requests, columns: [correlation_id, status]}]
	      indexes: [$INDEX]
	smoke:
	  - name: a request is done
	    submit: {queue: requests, payload: '{"correlation_id": "\$(CANARY)"}'}
	    stages:
	      - {name: completed, within: $WITHIN, postgres: {url: \$(DATABASE_URL), query: "SELECT status, worker FROM content_requests WHERE correlation_id = \$(CANARY)", equals: completed}, by: worker}
	    cleanup: {postgres: {url: \$(DATABASE_URL), execute: "DELETE FROM content_requests WHERE correlation_id = \$(CANARY)"}}
	YAML
}
LONGEST=5m

start_worker() {
	manifest
	start_supervisor
	wait_until ready content-worker 1
}

old_code() {
	sed -i "s/FIELD = 'correlation_id'/FIELD = 'student_id'/" app/content-worker.mjs
}

deploy_new_code() {
	cp "$HERE/content-worker.mjs" app/new
	chmod +x app/new
	mv app/new app/content-worker.mjs
}

# Of Pub/Sub a message can't be taken back: a worker that writes the row before it
# acknowledges may still hold the canary then (RV908, a warning).
green() {
	judged 0 gate --rollout 30s --timeout 90s --settle 200ms
	jq -e '[.findings[] | select(.result == "failed" and .id != "RV908")] == []' gate.json
	judged 0 diagnose
	wrong diagnose
}

@test "002: as it was meant: a request goes through, and everything is quiet" {
	as_meant
	start_worker
	green
}

@test "002: a dependency that isn't there: before it is deployed, and while it crashes" {
	as_meant
	rm app/monitoring_v3.mjs
	manifest
	start_supervisor
	wait_until in_status '.workers[0].instances | any(.restarts >= 3)'
	judged 1 check
	roots check RV119
	names check RV119 'check dependencies' monitoring_v3
	names check RV506 'worker content-worker' 'exit code 1' 'reeve logs'
	explained check RV119 RV506
	judged 1 gate --rollout 1s --timeout 60s
	has 'not sent'
}

@test "002: old code that starts cleanly and takes every message: not success" {
	as_meant
	old_code
	WITHIN=3s
	start_worker
	judged 1 gate --rollout 30s --timeout 60s --settle 200ms
	roots gate RV602 RV908
	names gate RV602 'smoke a request is done' 'consumed 1, succeeded 0'
	# the new code lies there, and the old one runs
	deploy_new_code
	wait_until in_status '.drift | any(.worker == "content-worker")'
	judged 0 check
	wrong check RV318
	names check RV318 'worker content-worker' content-worker.mjs 'reeve restart content-worker'
	"$REEVE" restart content-worker
	green
}

@test "002: indexes that nobody applied, and one that failed half-way" {
	as_meant
	sql "DROP INDEX $INDEX" "$DATABASE"
	start_worker
	judged 1 check
	roots check RV405
	names check RV405 'check indexes' "no index $INDEX"
	sql "INSERT INTO content_requests(correlation_id, status) VALUES ('a', 'completed'), ('a', 'completed')" "$DATABASE"
	run sql "CREATE UNIQUE INDEX CONCURRENTLY $INDEX ON content_requests (correlation_id)" "$DATABASE"
	[ "$status" -ne 0 ]
	judged 1 check
	roots check RV405
	names check RV405 'check indexes' "$INDEX is INVALID"
}

@test "002: a subscription that isn't there, with the nearest that is" {
	as_meant
	DECLARED=content-generation-workers-sub-$BATS_TEST_NUMBER
	start_worker
	judged 1 check
	roots check RV209
	names check RV209 'queue requests' "$DECLARED" "$SUBSCRIPTION"
}

@test "002: a job of 30 minutes at a deadline of 10, given out again at once, and dead nowhere" {
	as_meant
	subscription ', "ackDeadlineSeconds": 600'
	LONGEST=30m
	start_worker
	judged 1 check
	wrong check RV207 RV208 RV212 RV213
	names check RV207 'queue requests' '10 min' '30 min'
	names check RV212 'queue requests' 'no retryPolicy'
	names check RV213 'queue requests' 'deadLetter'
}

@test "002: all of it together, then mended as the findings say" {
	as_meant
	subscription ', "ackDeadlineSeconds": 600'
	sql "DROP INDEX $INDEX" "$DATABASE"
	rm app/monitoring_v3.mjs
	LONGEST=30m
	manifest
	judged 1 gate --rollout 1s --timeout 60s
	names gate RV119 'check dependencies' monitoring_v3
	names gate RV301 'worker content-worker'
	names gate RV405 'check indexes' "$INDEX"
	names gate RV207 'queue requests' '30 min'
	has 'not sent'
	: >app/monitoring_v3.mjs
	LONGEST=5m
	indexed
	good_subscription
	start_worker
	green
}
