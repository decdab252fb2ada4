#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The object half of a pipeline: s3 checks, stages and cleanups against a real
# S3 server that checks signatures, and against a folder.

bats_require_minimum_version 1.5.0
load ../lib

# s3rver knows this one account.
export AWS_ACCESS_KEY_ID=S3RVER AWS_SECRET_ACCESS_KEY=S3RVER
WRONG=not-the-secret-of-anybody

setup() {
	need node jq python3
	node_packages
	cd "$BATS_TEST_TMPDIR" || return
	unset AWS_REGION AWS_SESSION_TOKEN
}

start_s3() {
	S3_PORT=$(free_port)
	start_background s3 node "$NODE_DIR/s3.mjs" "$S3_PORT" \
	    "$BATS_TEST_TMPDIR/s3" results uploads
	wait_until port_listens "$S3_PORT"
	S3=http://127.0.0.1:$S3_PORT
}

# manifest S3-KEYS: one check `bucket`.
manifest() {
	cat >reeve.yaml <<-END
		apiVersion: reeve/v1
		name: t
		checks:
		  - name: bucket
		    timeout: 20s
		    s3: {$1}
	END
}

# check [OPTION…]: its report in $REPORT, its code in $CODE.
check() {
	CODE=0
	REPORT=$("$REEVE" check --output json "$@") || CODE=$?
	echo "$REPORT"
	! grep -F -e "$WRONG" <<<"$REPORT"
}

# says RESULT TEXT: the check's finding of RV115.
says() {
	jq -e --arg result "$1" --arg text "$2" '.findings[] |
		select(.id == "RV115") |
		.result == $result and (.summary | contains($text))' \
		<<<"$REPORT"
}

objects() { find "$BATS_TEST_TMPDIR/s3/$1" -type f ! -name '*metadata*'; }

@test "put, get, delete: passes, and leaves nothing" {
	start_s3
	for url in s3://results s3://results/documents/; do
		manifest "url: $url, endpoint: $S3"
		check --verbose
		[ "$CODE" = 0 ]
		says passed "put, got back and deleted"
	done
	run objects results
	[[ $output != *reeve-check* ]]
}

@test "a key: there, not there, with a name that needs encoding" {
	start_s3
	manifest "url: s3://uploads/in, endpoint: $S3, key: 'a b/c+d=é.pdf'"
	check
	[ "$CODE" = 1 ]
	says failed NoSuchKey
	manifest "url: s3://uploads/in, endpoint: $S3, key: 'a b/c+d=é.pdf', exists: false"
	check
	[ "$CODE" = 0 ]
	(cd "$NODE_DIR" && S3=$S3 node put.mjs uploads 'in/a b/c+d=é.pdf' hello)
	manifest "url: s3://uploads/in, endpoint: $S3, key: 'a b/c+d=é.pdf'"
	check --verbose
	[ "$CODE" = 0 ]
	says passed "is there"
	manifest "url: s3://uploads/in, endpoint: $S3, key: 'a b/c+d=é.pdf', exists: false"
	check
	[ "$CODE" = 1 ]
	says failed "should not be"
}

@test "a wrong bucket names the near one; wrong keys are told apart and never shown" {
	start_s3
	manifest "url: s3://result, endpoint: $S3"
	check
	[ "$CODE" = 1 ]
	says failed NoSuchBucket
	says failed "there is a bucket 'results'"
	manifest "url: s3://results, endpoint: $S3, accessKey: S3RVER, secretKey: $WRONG"
	check
	[ "$CODE" = 1 ]
	says failed SignatureDoesNotMatch
	manifest "url: s3://results, endpoint: $S3, accessKey: NOBODY, secretKey: $WRONG"
	check
	[ "$CODE" = 1 ]
	says failed InvalidAccessKeyId
	manifest "url: s3://results, endpoint: $S3"
	AWS_SECRET_ACCESS_KEY='' check
	[ "$CODE" = 3 ]
	jq -e '.findings[] | select(.id == "RV115") | .result == "blocked"' <<<"$REPORT"
}

@test "a store that isn't there, and one that answers garbage, are not called well" {
	port=$(free_port)
	manifest "url: s3://results, endpoint: http://127.0.0.1:$port"
	check
	[ "$CODE" != 0 ]
	jq -e '.findings[] | select(.id == "RV131") | .result == "failed"' <<<"$REPORT"
	start_background garbage python3 "$BATS_TEST_DIRNAME/probes_server.py" \
	    http "$port"
	wait_until port_listens "$port"
	check
	[ "$CODE" = 1 ]
	says failed ""
}

@test "a folder: put, got back and deleted; missing, read-only, and a key that climbs out" {
	mkdir results
	manifest "url: file://$PWD/results"
	check --verbose
	[ "$CODE" = 0 ]
	says passed "put, got back and deleted"
	run -0 ls -A results
	[ -z "$output" ]
	manifest "url: file://$PWD/result"
	check
	[ "$CODE" = 1 ]
	says failed "PUT"
	manifest "url: file://$PWD/results, key: ../reeve.yaml"
	check
	[ "$CODE" = 1 ]
	says failed "leads out of the folder"
	: >results/done.json
	manifest "url: file://$PWD/results, key: done.json"
	check
	[ "$CODE" = 0 ]
}

@test "gs (stub): the machine's own token opens a bucket; without one nothing is asked" {
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
	openssl genrsa 2048 2>/dev/null | openssl rsa -pubout -out public.pem 2>/dev/null
	port=$(free_port)
	start_background google node "$NODE_DIR/google_stub.mjs" "$port" "$PWD/public.pem"
	wait_until port_listens "$port"
	manifest "url: gs://bucket/in, endpoint: http://127.0.0.1:$port"
	export GCE_METADATA_HOST=127.0.0.1:$port
	check --verbose
	[ "$CODE" = 0 ]
	says passed "put, got back and deleted"
	GCE_METADATA_HOST=127.0.0.1:$(free_port) check
	[ "$CODE" != 0 ]
	jq -e '.findings[] | select(.id == "RV115") | .result == "blocked"' <<<"$REPORT"
}

@test "a smoke follows its canary to the object that it must become, and removes it" {
	start_s3
	cat >put.sh <<-END
		#!/bin/bash
		payload=\$(cat)
		cd "$NODE_DIR" && S3=$S3 exec node put.mjs results "out/\${payload}.json" done
	END
	chmod +x put.sh
	start_background worker "$REEVE_TOOL" worker \
	    --queue "sqlite://$PWD/q.db?queue=jobs&create=true" -- "$PWD/put.sh"
	wait_until grep -q queue.connected "$BACKGROUND_LOG"
	cat >reeve.yaml <<-END
		apiVersion: reeve/v1
		name: t
		queues:
		  - {name: jobs, kind: sqlite, url: "sqlite://$PWD/q.db", queue: jobs}
		smoke:
		  - name: a document becomes a result
		    submit: {queue: jobs, payload: \$(CANARY)}
		    stages:
		      - name: stored
		        within: 60s
		        s3: {url: s3://results/out, endpoint: $S3, key: \$(CANARY).json}
		    cleanup:
		      s3: {url: s3://results/out, endpoint: $S3, delete: \$(CANARY).json}
	END
	"$REEVE" smoke
	run objects results
	[[ $output != *.json* ]]
}
