#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets stderr
# A manifest that is refused has its report too: pipelines read nothing else.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR"
	printf '%s\n' 'apiVersion: reeve/v1' 'name: fileprocess' 'workers:' \
	    '  - name: clerk' '    command: [/app/worker]' '    replcas: 2' \
	    '    consumes: [{queue: jobs}]' >reeve.yaml
}

@test "every error is a finding and a testcase, and the exit code stays 78" {
	for command in check gate smoke diagnose; do
		run --separate-stderr "$REEVE" "$command" -f reeve.yaml --output json --output junit=out.xml
		expect_status 78
		jq -e '.schema == "reeve.report/1" and .exit == 78 and .verdict == "failed"' <<<"$output"
		jq -e '[.findings[] | select(.id == "RV100" and .result == "failed") | .subject] ==
		    ["reeve.yaml:6:5", "reeve.yaml:7:24"]' <<<"$output"
		[ "$(grep -c '<testcase' out.xml)" = 2 ]
		[ "$(grep -c '<failure' out.xml)" = 2 ]
		python3 -c 'import sys, xml.dom.minidom as m; m.parse("out.xml")'
		[[ $stderr == *"reeve.yaml:6:5: "*replicas* ]]
		rm out.xml
	done
}

@test "on a terminal's terms nothing is said twice" {
	run "$REEVE" check -f reeve.yaml
	expect_status 78
	[ "$(grep -c 'replcas' <<<"$output")" = 1 ]
	lacks RV100
}

@test "lint: a wrong file is 1, one that can't be read is 65, each with its report" {
	run --separate-stderr "$REEVE" lint reeve.yaml --output json
	expect_status 1
	jq -e '.exit == 1 and ([.findings[].id] | unique) == ["RV100"]' <<<"$output"
	run --separate-stderr "$REEVE" lint reeve.yaml nowhere.yaml --output json
	expect_status 65
	jq -e '.exit == 65 and (.findings | length) == 3' <<<"$output"
	[[ $stderr == *nowhere.yaml* ]]
	run --separate-stderr "$REEVE" check -f nowhere.yaml --output json
	expect_status 78
	jq -e '.exit == 78 and .findings[0].subject == "nowhere.yaml"' <<<"$output"
}
