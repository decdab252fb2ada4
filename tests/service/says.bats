#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016
# Stages that go by what a worker says of itself, a log line and a metric: they
# hold for this canary only, and prove nothing by themselves. An SQLite queue,
# the reference worker under a real supervisor, a real Prometheus endpoint.

bats_require_minimum_version 1.5.0
load ../lib

# Counts what it is asked to, and says so: /metrics, POST /did.
counter() {
	cat >counter.py <<-'PY'
	import http.server, sys
	done = 0
	class Counter(http.server.BaseHTTPRequestHandler):
	    def answer(self, text):
	        self.send_response(200)
	        self.end_headers()
	        self.wfile.write(text.encode())
	    def do_GET(self):
	        self.answer('# TYPE jobs_total counter\njobs_total{result="ok"} %d\n'
	                    '# TYPE depth gauge\ndepth 3\n' % done)
	    def do_POST(self):
	        global done
	        done += 1
	        self.answer("")
	    def log_message(self, *_):
	        pass
	http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Counter).serve_forever()
	PY
	PORT=$(free_port)
	export PORT
	start_background counter python3 counter.py "$PORT"
	wait_until port_listens "$PORT"
}

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	cd "$BATS_FILE_TMPDIR"
	export REEVE_SOCKET=$PWD/run
	mkdir run
	counter
	python3 -c 'import sqlite3; sqlite3.connect("documents.db").execute("CREATE TABLE documents(id TEXT PRIMARY KEY)")'
	cat >job.sh <<-'SH'
	#!/bin/sh
	cd "$(dirname "$0")" || exit 1
	exec python3 -c '
	import json, os, sqlite3, sys, urllib.request
	id = json.load(sys.stdin)["id"]
	with sqlite3.connect("documents.db", timeout=10) as db:
	    db.execute("INSERT INTO documents VALUES (?)", (id,))
	urllib.request.urlopen("http://127.0.0.1:%s/did" % os.environ["PORT"], b"")
	open("worker.log", "a").write("document done: %s\n" % id)
	print("document done: %s" % id, flush=True)
	print("another line", flush=True)
	'
	SH
	chmod +x job.sh
	: >worker.log
	manifest '{name: said, within: 40s, log: {worker: clerk, marker: "document done"}}' >reeve.yaml
	start_background run "$REEVE" run -f reeve.yaml
	wait_until in_status '.workers[0].ready == 1'
}

# manifest STAGE…: with these stages beside the one that reads the effect.
manifest() {
	cat <<-YAML
	apiVersion: reeve/v1
	name: says
	queues:
	  - {name: jobs, kind: sqlite, url: "sqlite://$PWD/queue.db", queue: documents}
	workers:
	  - name: clerk
	    command: [$REEVE, worker, --queue, "sqlite://$PWD/queue.db?queue=documents", --, $PWD/job.sh]
	    consumes: [{queue: jobs}]
	smoke:
	  - name: document
	    submit: {queue: jobs, payload: '{"id": "\$(CANARY)"}'}
	    stages:
	YAML
	printf '      - %s\n' "$@"
	printf '      - %s\n' "${EFFECT-{name: processed, within: 40s, sqlite: {path: $PWD/documents.db, query: \"SELECT count(*) FROM documents WHERE id = \$(CANARY)\", equals: 1\}\}}"
	printf '    cleanup: {sqlite: {path: %s, execute: "DELETE FROM documents WHERE id = $(CANARY)"}}\n' "$PWD/documents.db"
}

setup() {
	cd "$BATS_FILE_TMPDIR"
}

smoke() {
	manifest "$@" >other.yaml
	run "$REEVE" smoke -f other.yaml --output text --output json=out.json
}

# finding ID RESULT
finding() {
	jq -e --arg id "$1" --arg r "$2" 'any(.findings[]; .id == $id and .result == $r)' out.json
}

@test "a line of a worker, as the supervisor kept it, and who wrote it" {
	smoke '{name: said, within: 40s, log: {worker: clerk, marker: "document done"}, by: worker}'
	expect_status 0
	finding RV619 passed
	finding RV919 passed
	jq -e 'any(.findings[]; .id == "RV619" and (.summary | contains("clerk/0")))' out.json
}

@test "a line of a file, and of all workers" {
	smoke "{name: said, within: 40s, log: {path: $PWD/worker.log, marker: 'document done'}}" \
	    '{name: also, within: 40s, log: {marker: "done: $(CANARY)"}}'
	expect_status 0
}

@test "a line without the canary's id is no line of it" {
	smoke '{name: said, within: 2s, log: {worker: clerk, marker: "another line"}}'
	expect_status 1
	has RV604
	has "holds 'another line' and this canary"
	finding RV612 passed
}

@test "a counter that rises by this job; one that should rise by more; a gauge" {
	smoke "{name: counted, within: 40s, metric: {url: 'http://127.0.0.1:$PORT/metrics', name: 'jobs_total{result=\"ok\"}'}}"
	expect_status 0
	finding RV919 passed
	smoke "{name: counted, within: 2s, metric: {url: 'http://127.0.0.1:$PORT/metrics', name: jobs_total, atLeast: 2}}"
	expect_status 1
	has 'not by 2'
	smoke "{name: counted, within: 2s, metric: {url: 'http://127.0.0.1:$PORT/metrics', name: depth}}"
	expect_status 1
	has 'is a gauge'
}

@test "an endpoint that answers nobody is unknown, not failed and not passed" {
	smoke "{name: counted, within: 1s, metric: {url: 'http://127.0.0.1:$(free_port)/metrics', name: jobs_total}}"
	expect_status 3
	finding RV601 unknown
}

@test "what a worker says of itself is no proof that the work was done" {
	EFFECT='{name: also, within: 40s, log: {marker: "done: $(CANARY)"}}' \
	    smoke '{name: said, within: 40s, log: {worker: clerk, marker: "document done"}}' \
	    "{name: counted, within: 40s, metric: {url: 'http://127.0.0.1:$PORT/metrics', name: jobs_total}}"
	expect_status 3
	finding RV602 unknown
	has 'no stage reads a side effect back'
}

@test "without the supervisor's lines it is unknown; a worker and a file are one too many" {
	REEVE_SOCKET=$PWD/nowhere smoke '{name: said, within: 1s, log: {worker: clerk, marker: "document done"}}'
	[ "$status" -ne 0 ]
	finding RV601 unknown
	manifest "{name: said, log: {worker: clerk, path: /x, marker: y}}" >other.yaml
	run "$REEVE" lint other.yaml
	expect_status 1
	has 'exclude each other'
}
