#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016
# A password with every character that a URL has a use for, as it should be
# written and as people paste it, given to every kind of queue while nothing, or
# something else, answers there: no part of it is in any output or argument.

load ../lib

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	start_background echoing python3 "$BATS_TEST_DIRNAME/echoing.py"
	wait_until test -s echoing.log
}

setup() {
	need jq
	ECHO=127.0.0.1:$(<"$BATS_FILE_TMPDIR/echoing.log")
	DOWN=127.0.0.1:$(free_port)
	export XDG_STATE_HOME=$BATS_TEST_TMPDIR
	cd "$BATS_TEST_TMPDIR"
}

# Each part is in no other word that is shown.
PARTS='Zqone|xJtwo|Kvthr|Wmfou|Hpfiv|Tnsix'
RIGHT='Zqone%40xJtwo%3AKvthr%2FWmfou%25Hpfiv%23Tnsix'
PASTED=("Zqone@xJtwo:Kvthr/Wmfou%Hpfiv#Tnsix?a" "Zqone/xJtwo@Kvthr"
    "123/Zqone" "Zqone?xJtwo" "Zqone#xJtwo" "Zqone xJtwo" "Zqone'xJtwo,Kvthr"
    "Zqone&xJtwo")
KINDS=(
    'redis://:PW@HOST/0?list=jobs' 'redis://PW@HOST/0?list=jobs'
    'rediss://u:PW@HOST/0?list=jobs' 'bullmq+redis://:PW@HOST/0?queue=jobs'
    'pgtable+postgresql://u:PW@HOST/db?table=t'
    'pgtable+postgresql://u@HOST/db?password=PW&table=t'
    'mysqltable+mysql://u:PW@HOST/db?table=t'
    'mssqltable+tds://u:PW@HOST/db?table=t'
    'nats://u:PW@HOST?stream=S&consumer=C' 'nats://PW@HOST?stream=S&consumer=C'
    'nats+tls://PW@HOST?stream=S&consumer=C'
    'amqp://u:PW@HOST/%2F?queue=q'
    'amqp://HOST/%2F?queue=q&mgmt=http%3A%2F%2Fu%3APW%40HOST'
    'servicebus://POLICY:PW@HOST/QUEUE' 'kafka://u:PW@HOST?topic=T&group=G'
    'beanstalk://:PW@HOST?tube=T' 'postgres://u:PW@HOST/db'
    'reds://u:PW@HOST/0?list=jobs')

# says_no_part FILE…: they hold something, and nothing of the password.
says_no_part() {
	local file
	for file in "$@"; do
		[ -s "$file" ] || { echo "$file is empty" >&2; return 1; }
	done
	! grep -E "$PARTS" "$@" >&2
}

# ask PASSWORD HOST COMMAND…: of each kind, all at once. It says something, and
# neither crashes nor hangs.
ask() {
	local password=$1 host=$2 n=0 kind url pids=() pid
	shift 2
	for kind in "${KINDS[@]}"; do
		url=${kind//HOST/"$host"}
		answer "out.$((n += 1))" "$@" "${url/PW/"$password"}" 3>&- 4>&- &
		pids+=("$!")
	done
	for pid in "${pids[@]}"; do wait "$pid"; done
	says_no_part out.*
}

answer() {
	local file=$1 code=0
	shift
	timeout -k 5 60 "$REEVE_TOOL" "$@" --timeout 3s >"$file" 2>&1 </dev/null || code=$?
	if [ "$code" -lt 124 ] && [ "$code" -ne 70 ]; then
		return 0
	fi
	if [ "$code" -eq 124 ] && grep -q 'out of time' "$file"; then
		return 0
	fi
	printf '%s: exit %s\n%s\n' "$*" "$code" "$(<"$file")" >&2
	return 1
}

@test "nobody answers: the password isn't shown" {
	ask "$RIGHT" "$DOWN" diagnose --verbose
	ask "$RIGHT" "$DOWN" queue dead --output json
}

@test "who answers repeats what it was told: the password isn't shown" {
	ask "$RIGHT" "$ECHO" diagnose --verbose
}

@test "a password that was pasted as it is: neither it nor a part of it is shown" {
	local password
	for password in "${PASTED[@]}"; do
		ask "$password" "$DOWN" queue ls
	done
	run "$REEVE_TOOL" diagnose 'redis://:12/Zqone@h:1/0?list=jobs'
	expect_status 64
	has "redis://:***@h:1/0?list=jobs: within a password '/', '?' and '#' are written as %2F, %3F and %23"
}

@test "where the password is may be said, so that a command can be pasted" {
	PW=xJtwo-Kvthr run "$REEVE_TOOL" diagnose "redis://:@$DOWN/0?list=jobs&pass=env:PW"
	expect_status 1
	has "pass=env:PW"
	lacks xJtwo
}

# What all processes were given as arguments; some of them end while we read.
arguments() {
	cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' '
}

@test "a secret within a path, a host, a query, a file or a header: in no report and no argument" {
	mkdir secrets
	printf 'Zqone-xJtwo' >secrets/TOKEN
	printf 'Zqone@xJtwo:Kvthr/Wmfou%%Hpfiv#Tnsix' >secrets/PASSWORD
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: hidden
	secrets: [{name: s, dir: $PWD/secrets}]
	env:
	  - {name: TOKEN, valueFrom: {secretKeyRef: {name: s, key: TOKEN}}}
	  - {name: PASSWORD, valueFrom: {secretKeyRef: {name: s, key: PASSWORD}}}
	queues: [{name: jobs, url: "redis://:\$(TOKEN)@$ECHO/0?list=jobs"}]
	workers: [{name: w, command: ["false"], consumes: [{queue: jobs}]}]
	checks:
	  - {name: webhook, http: {url: "http://$DOWN/hooks/\$(TOKEN)?key=\$(TOKEN)"}}
	  - {name: bearer, http: {url: "http://$ECHO/", headers: {Authorization: "Bearer \$(TOKEN)"}}}
	  - {name: host, dns: {host: \$(TOKEN).invalid}}
	  - {name: file, file: {path: /nowhere/\$(TOKEN)}}
	  - {name: query, postgres: {url: "postgresql://u@$DOWN/db?password=\$(PASSWORD)"}}
	  - {name: raw, mysql: {url: "mysql://u:\$(PASSWORD)@$DOWN/db"}}
	YAML
	"$REEVE_TOOL" check -f reeve.yaml --verbose --timeout 20s --output text=check.txt \
	    --output json=check.json --output junit=check.xml >check.log 2>&1 &
	local pid=$!
	while [ -d "/proc/$pid" ]; do arguments >>arguments.txt; done
	run wait "$pid"
	expect_status 1
	run "$REEVE_TOOL" diagnose -f reeve.yaml --verbose --timeout 20s
	printf '%s\n' "$output" >diagnose.txt
	grep -q '/nowhere/\*\*\*' check.txt
	grep -q 'check raw: .*write it as %23' check.txt
	grep -q 'probe' arguments.txt
	says_no_part check.txt check.json check.xml diagnose.txt arguments.txt
}

@test "without a manifest each command says what to do next" {
	local command
	for command in run lint check diagnose 'queue ls' 'worker --queue jobs -- cat'; do
		# shellcheck disable=SC2086 # some are several words
		run "$REEVE" $command
		[ "$status" -eq 78 ] || [ "$status" -eq 65 ]
		has "open 'reeve.yaml': No such file"
		has "Try: reeve ${command%% *} -f FILE"
	done
}
