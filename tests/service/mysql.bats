#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2034
# Looks at a real MariaDB: checks, stages and clean-ups of kind `mysql`.

bats_require_minimum_version 1.5.0
load ../lib
load probe_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	start_mariadb
	my "CREATE USER worker@'%' IDENTIFIED BY 'swordfish-in-the-pond';
	CREATE TABLE app.documents(id char(36) PRIMARY KEY, status varchar(20), worker_id varchar(80),
	  KEY by_status (status));
	CREATE TABLE app.hidden(x int); CREATE TABLE other.events(id int);
	CREATE TABLE app.schema_migrations(version varchar(20));
	INSERT INTO app.schema_migrations VALUES ('001'), ('002');
	GRANT SELECT, DELETE ON app.documents TO worker@'%';
	GRANT SELECT ON app.schema_migrations TO worker@'%'; GRANT SELECT ON other.events TO worker@'%'"
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	URL=mysql://worker:$SECRET@127.0.0.1:$MY_PORT/app
	ID=11111111-1111-4111-8111-111111111111
	my "DELETE FROM app.documents;
	INSERT INTO app.documents VALUES ('$ID', 'completed', 'fileprocess/0')"
}

@test "mysql: who may not log in, by the server's number" {
	look "{\"kind\":\"mysql\",\"url\":\"mysql://worker:wrong-password@127.0.0.1:$MY_PORT/app\"}"
	says failed auth 1045
	step tcp passed
	step auth failed
	look "{\"kind\":\"mysql\",\"url\":\"mysql://worker:$SECRET@127.0.0.1:$MY_PORT/nowhere\"}"
	says failed permission 1044
	look "{\"kind\":\"mysql\",\"url\":\"mysql://worker:$SECRET@127.0.0.1:$(free_port)/app\"}"
	says failed refused
	step tcp failed
	look "{\"kind\":\"mysql\",\"url\":\"mysql://worker:$SECRET@no-such-host.invalid/app\"}"
	says failed dns
	look "{\"kind\":\"mysql\",\"url\":\"$URL?ssl-mode=required\"}"
	says failed tls
	step tls failed
	look "{\"kind\":\"mysql\",\"url\":\"$URL\"}"
	says passed none ""
	step auth passed
	fact database app
	[ "$(jq -r '.identity | length > 3' <<<"$ANSWER")" = true ]
}

@test "mysql: a server that takes the connection and says nothing" {
	serve silent
	LOOK_MS=1500 look "{\"kind\":\"mysql\",\"url\":\"mysql://worker:$SECRET@127.0.0.1:$PORT/app\"}"
	[ "$(jq -r .result <<<"$ANSWER")" = unknown ]
}

@test "mysql: the schema, all that is wrong in one look" {
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"tables\":[{\"name\":\"documents\",\"columns\":[\"id\",\"status\"],\"grants\":[\"SELECT\"]},\"other.events\"],\"indexes\":[\"by_status\",\"documents.PRIMARY\"],\"migration\":{\"table\":\"schema_migrations\",\"version\":\"2\"}}"
	says passed none
	fact "privileges documents" "DELETE SELECT"
	fact "index by_status" valid
	fact migration 002
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"tables\":[{\"name\":\"documents\",\"columns\":[\"id\",\"statusx\"],\"grants\":[\"UPDATE\"]},{\"name\":\"document\"},{\"name\":\"events\"}],\"indexes\":[\"by_age\"],\"migration\":{\"table\":\"schema_migrations\",\"version\":\"003\"}}"
	says failed not-found
	tells "the nearest is status"
	tells "may not UPDATE on documents"
	tells "no index by_age"
	fact "table document" missing
	fact "nearest document" documents
	fact "elsewhere events" other.events
	tells "migration 003 is not applied: the newest is 002"
}

@test "mysql: a query's value, who did it, and what is refused" {
	local query="SELECT status FROM documents WHERE id = \$(CANARY)"
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"query\":\"$query\",\"canary\":\"$ID\",\"equals\":\"completed\",\"by\":\"worker_id\"}"
	says passed none
	fact by fileprocess/0
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"query\":\"$query\",\"canary\":\"22222222-1111-4111-8111-111111111111\",\"equals\":\"completed\"}"
	says failed mismatch no-row
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"query\":\"$query\"}"
	says unknown unresolved
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"query\":\"SELECT x FROM hidden\"}"
	says failed permission 1142
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"query\":\"SELECT nothing FROM documents\"}"
	says failed not-found 1054
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"query\":\"SELECT count(*) FROM documents\",\"atLeast\":2}"
	says failed mismatch
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"query\":\"DELETE FROM documents\"}"
	says failed permission 1792
	[ "$(my 'SELECT count(*) FROM app.documents')" = 1 ]
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"execute\":\"DELETE FROM documents WHERE id = \$(CANARY)\",\"canary\":\"$ID\"}"
	says passed none
	fact rows 1
	[ "$(my 'SELECT count(*) FROM app.documents')" = 0 ]
}

@test "mysql: a claim that two sessions win, and one that is atomic" {
	my "INSERT INTO app.documents VALUES ('a', 'queued', NULL), ('b', 'queued', NULL);
	GRANT UPDATE ON app.documents TO worker@'%'"
	local claim="SELECT id FROM documents WHERE status = 'queued' ORDER BY id LIMIT 1"
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"claim\":\"$claim\",\"timeout_ms\":20000}"
	says passed none
	fact claim twice
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"claim\":\"$claim FOR UPDATE\",\"timeout_ms\":20000}"
	fact claim 'atomic: the second session waits for the first'
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"claim\":\"$claim FOR UPDATE SKIP LOCKED\",\"timeout_ms\":20000}"
	fact claim 'atomic: the second session gets another job'
	my "DELETE FROM app.documents"
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"claim\":\"$claim FOR UPDATE\"}"
	fact claim 'unknown: no job waits that could be claimed'
}

@test "mysql: a statement that takes too long is unknown, and ends" {
	look "{\"kind\":\"mysql\",\"url\":\"$URL\",\"query\":\"SELECT SLEEP(30) FROM documents\",\"timeout_ms\":20000}"
	says unknown deadline 1969
}

@test "mysql: a canary goes from a table through the reference worker, and is removed" {
	my "DROP TABLE IF EXISTS app.jobs; CREATE TABLE app.jobs(id bigint AUTO_INCREMENT PRIMARY KEY,
	  payload longtext NOT NULL, status varchar(20) NOT NULL, lease datetime(3), attempts int NOT NULL DEFAULT 0,
	  owner varchar(120), created datetime(3), KEY (status))"
	cat >job.sh <<-SH
	#!/bin/bash
	sleep 0.2
	id=\$(jq -r .id)
	mariadb --no-defaults -h 127.0.0.1 -P $MY_PORT -u jobs -pjobs-password app \
	    -e "INSERT INTO documents VALUES ('\$id', 'completed', '\$REEVE_WORKER/\$REEVE_REPLICA')"
	SH
	chmod +x job.sh
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: tables
	env:
	  - {name: DATABASE_URL, value: "$MY_URL"}
	queues:
	  - {name: jobs, kind: mysqltable, url: "\$(DATABASE_URL)", table: jobs, payload: payload, lease: lease, attempts: attempts, owner: owner, created: created}
	workers:
	  - name: clerk
	    command: [$REEVE, worker, --queue, "mysqltable+$MY_URL?table=jobs&payload=payload&lease=lease&attempts=attempts&owner=owner&created=created", --, $PWD/job.sh]
	    consumes: [{queue: jobs}]
	checks:
	  - {name: schema, mysql: {url: "\$(DATABASE_URL)", tables: [{name: documents, columns: [id, status]}], indexes: [by_status], migration: {table: schema_migrations, version: "002"}}}
	smoke:
	  - name: document
	    submit: {queue: jobs, payload: '{"id": "\$(CANARY)"}'}
	    stages:
	      - {name: claimed, within: 40s, queue: jobs, state: taken}
	      - {name: processed, within: 40s, mysql: {url: "\$(DATABASE_URL)", query: "SELECT status FROM documents WHERE id = \$(CANARY)", equals: completed}, by: worker_id}
	    cleanup: {mysql: {url: "\$(DATABASE_URL)", execute: "DELETE FROM documents WHERE id = \$(CANARY)"}}
	YAML
	export REEVE_SOCKET=$PWD/run
	mkdir run
	run "$REEVE" check -f reeve.yaml
	lacks 'not acted on'
	start_background run "$REEVE" run -f reeve.yaml
	wait_until in_status '.workers[0].ready == 1'
	run "$REEVE" smoke -f reeve.yaml --output text --output json=smoke.json
	expect_status 0
	jq -e '[.findings[] | select(.id == "RV619") | .result] == ["passed"]' smoke.json
	[ "$(my 'SELECT count(*) FROM app.documents WHERE worker_id = "clerk/0"')" = 0 ]
	[ "$(my 'SELECT status FROM app.jobs')" = completed ] || [ "$(my 'SELECT count(*) FROM app.jobs')" = 0 ]
	# with the effect gone wrong it is no success
	sed -i 's/completed/failed/' job.sh
	sed 's/within: 40s, mysql/within: 2s, mysql/' reeve.yaml >other.yaml
	run "$REEVE" smoke -f other.yaml --output text
	expect_status 1
	has RV602
}
