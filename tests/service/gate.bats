#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A gate that can't be talked into green: each case takes away one thing that
# the proof needs. On an SQLite queue, two reference workers under `reeve run`.

bats_require_minimum_version 1.5.0
load ../lib

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	export REEVE_SOCKET=$PWD/run
	mkdir run
	python3 - <<-PY
	import sqlite3
	with sqlite3.connect("documents.db") as db:
	    db.execute("CREATE TABLE documents(id TEXT PRIMARY KEY,"
	               " status TEXT, worker TEXT)")
	PY
	cat >job.sh <<-'SH'
	#!/bin/sh
	# A document's work takes a moment.
	cd "$(dirname "$0")" || exit 1
	exec python3 -c '
	import json, os, sqlite3, sys, time
	id = json.load(sys.stdin)["id"]
	time.sleep(0.3)
	with sqlite3.connect("documents.db", timeout=10) as db:
	    db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (id,
	        "completed", os.environ["REEVE_WORKER"] + "/" +
	        os.environ["REEVE_REPLICA"]))
	'
	SH
	chmod +x job.sh
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: green
	queues:
	  - {name: jobs, kind: sqlite, url: "sqlite://$PWD/queue.db", queue: documents}
	workers:
	  - name: clerk
	    command: [$REEVE, worker, --queue, "sqlite://$PWD/queue.db?queue=\$(QUEUE_NAME)", --, $PWD/job.sh]
	    replicas: 2
	    consumes: [{queue: jobs, env: QUEUE_NAME}]
	    env:
	      - {name: MODE, value: quick}
	    startupProbe: {exec: {command: [test, "!", -e, $PWD/hold]}, periodSeconds: 1, failureThreshold: 600}
	producers:
	  - {name: api, produces: [{queue: jobs, env: JOB_QUEUE}], env: [{name: JOB_QUEUE, value: documents}]}
	smoke:
	  - name: document
	    submit: {queue: jobs, payload: '{"id": "\$(CANARY)"}'}
	    stages:
	      - {name: claimed, within: 20s, queue: jobs, state: taken}
	      - {name: processed, within: 20s, sqlite: {path: $PWD/documents.db, query: "SELECT status, worker FROM documents WHERE id = \$(CANARY)", equals: completed}, by: worker}
	    floor: 20ms
	    cleanup: {sqlite: {path: $PWD/documents.db, execute: "DELETE FROM documents WHERE id = \$(CANARY)"}}
	YAML
	start_background run "$REEVE" run -f reeve.yaml
	wait_until both_ready
}

both_ready() {
	"$REEVE" status --output json | jq -e '.workers[0].ready == 2'
}

setup() {
	cd "$BATS_FILE_TMPDIR"
}

# The manifest with OLD replaced by NEW, as other.yaml.
other() {
	python3 - "$1" "$2" <<-'PY'
	import sys
	text = open("reeve.yaml").read()
	assert sys.argv[1] in text, sys.argv[1]
	open("other.yaml", "w").write(text.replace(sys.argv[1], sys.argv[2]))
	PY
}

@test "gate: green when the work was done" {
	run "$REEVE" gate -f reeve.yaml --settle 200ms
	expect_status 0
}

@test "gate: a supervisor that goes by another manifest is not green" {
	other 'value: quick' 'value: thorough'
	run "$REEVE" gate -f other.yaml --rollout 1s --settle 200ms
	expect_status 1
	has "RV121"
	has "another manifest"
}

# What a new replica needs to be ready is that nobody holds it.
roll() { "$REEVE" restart clerk; }
rolls() { "$REEVE" status --output json | jq -e '[.workers[] | select(.under_way != null and (.under_way | contains("rolling restart")))] | length == 1'; }

@test "gate: a rolling restart that is under way is waited for, and that is said" {
	local before
	before=$("$REEVE" status --output json | jq -c '[.workers[0].instances[].pid]')
	roll
	run "$REEVE" gate -f reeve.yaml --rollout 60s --settle 200ms
	expect_status 0
	# no instance of before is left: it wasn't judged in the middle
	"$REEVE" status --output json |
	    jq -e --argjson before "$before" '[.workers[0].instances[].pid] | any(. as $p | $before | index($p)) | not'
}

@test "gate: a roll that isn't over in time fails as that, and no canary is sent" {
	touch hold # nobody new is ready: however slow the gate, it isn't over
	roll
	wait_until rolls
	run "$REEVE" gate -f reeve.yaml --rollout 1ms --settle 200ms
	rm hold
	expect_status 1
	has "RV327"
	has "rolling restart"
	has "smoke 'document': not sent, worker clerk"
	wait_until both_ready
	run "$REEVE" gate -f reeve.yaml --settle 200ms
	expect_status 0
}

@test "gate: a scale-up that is under way is waited for" {
	"$REEVE" scale clerk 1
	wait_until scaled_to 1
	"$REEVE" scale clerk 2
	# from the order on, and not only when the operator gets round to it
	"$REEVE" status --output json | jq -e '.workers[0] | .under_way != null or .desired == 2'
	run "$REEVE" gate -f reeve.yaml --rollout 60s --settle 200ms
	expect_status 0
	both_ready
}
scaled_to() { "$REEVE" status --output json | jq -e ".workers[0].desired == $1 and .workers[0].ready == $1"; }

@test "smoke: time that runs out is no failure of the pipeline" {
	run "$REEVE" smoke -f reeve.yaml --timeout 250ms --output text \
	    --output json=late.json
	expect_status 124
	jq -e '[.findings[] | select(.result == "failed")] == []' late.json
}

@test "smoke: a side effect that can't be looked at is unknown" {
	other "sqlite: {path: $PWD/documents.db, query: \"SELECT status, worker FROM documents WHERE id = \$(CANARY)\", equals: completed}, by: worker" \
	    'http: {url: "http://127.0.0.1:1/"}'
	sed -i 's/within: 20s, http/within: 1s, http/' other.yaml
	run "$REEVE" smoke -f other.yaml
	expect_status 3
	lacks "ROOT CAUSE"
}

@test "smoke: a clean-up that leaves the canary's work is told" {
	other 'DELETE FROM documents WHERE id = $(CANARY)' \
	    'DELETE FROM documents WHERE id = $(CANARY) AND 1 = 0'
	run "$REEVE" smoke -f other.yaml --strict
	expect_status 2
	has "RV908"
	has "still finds it"
}

@test "smoke: what held before, what nobody did, what nobody said" {
	other 'SELECT status, worker FROM documents WHERE id = $(CANARY)' \
	    "SELECT 'completed', 'clerk/0' AS worker WHERE \$(CANARY) <> ''"
	run "$REEVE" smoke -f other.yaml
	expect_status 1
	has "RV919"
	other 'SELECT status, worker' "SELECT status, 'api' AS worker"
	run "$REEVE" smoke -f other.yaml
	expect_status 1
	has "RV620"
	other 'SELECT status, worker' "SELECT status, '' AS worker"
	run "$REEVE" smoke -f other.yaml
	expect_status 1
	has "RV619"
	other 'floor: 20ms' 'floor: 15s'
	run "$REEVE" smoke -f other.yaml
	expect_status 1
	has "RV607"
}

@test "smoke: nothing at all equals nothing" {
	other '= $(CANARY)", equals: completed' \
	    '= $(CANARY) AND 1 = 0", equals: ""'
	sed -i 's/within: 20s, sqlite/within: 2s, sqlite/' other.yaml
	run "$REEVE" smoke -f other.yaml
	expect_status 1
	has "RV602"
}

@test "a smoke that is asked for by name is the whole run" {
	cat >two.yaml <<-YAML
	apiVersion: reeve/v1
	name: two
	queues: [{name: jobs, kind: sqlite, url: "sqlite://$PWD/two.db", queue: jobs}]
	workers: [{name: w, command: [/bin/true], consumes: [{queue: jobs}]}]
	smoke:
	  - {name: one, submit: {queue: jobs, payload: '{"id": "\$(CANARY)"}'}, stages: [{name: seen, within: 5s, queue: jobs, state: visible}]}
	  - {name: other, submit: {queue: jobs, payload: '{"id": "\$(CANARY)"}'}, stages: [{name: seen, within: 5s, queue: jobs, state: visible}]}
	YAML
	run "$REEVE" queue ls "sqlite://$PWD/two.db?queue=jobs&create=true"
	run "$REEVE" smoke one -f two.yaml --output json
	[ "$(jq '[.findings[] | select(.subject | contains("smoke one"))] | length > 0' <<<"$output")" = true ]
	[ "$(jq '[.findings[] | select(.subject | contains("smoke other"))] | length' <<<"$output")" = 0 ]
	run "$REEVE" smoke nobody -f two.yaml
	expect_status 4
	has "no smoke 'nobody'"
}
