#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The operator is killed at random moments, while secrets rotate, jobs come and
# go in a real queue, and alerts are raised and over: nothing is lost, nothing
# is done twice. KILLS=1000 makes it a long run.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	need python3 jq redis-server
	cd "$BATS_TEST_TMPDIR" || return
	export STATE=$PWD/state REEVE_SOCKET=$PWD/run
	mkdir state run secret
	: >state/history
	printf 'token-0' >secret/TOKEN
	echo K=v >toggled.env
	WORKER=$BATS_TEST_DIRNAME/operator-worker.sh
	RANDOM=${SEED:-$$}
	# the next operator at once: how long the init waits is another test's
	export REEVE_TEST_OPERATOR_SOON=1
}

manifest() {
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: op
	secrets: [{name: s, dir: $PWD/secret}]
	configs: [{name: toggled, envFile: $PWD/toggled.env}]
	queues:
	  - {name: jobs, kind: redis, url: '$REDIS_URL/0', list: jobs, objectives: {depth: 5, for: 0s}}
	workers:
	  - name: w
	    command: [$WORKER]
	    replicas: 2
	    env:
	      - {name: STATE, value: $STATE}
	      - {name: MODE, value: ok}
	      - {name: TOKEN, valueFrom: {secretKeyRef: {name: s, key: TOKEN}}}
	    readinessProbe:
	      exec: {command: [/bin/sh, -c, 'test -e \$STATE/ready.\$REEVE_REPLICA']}
	      periodSeconds: 1
	    terminationGracePeriodSeconds: 5
	    restart: {backoff: {first: 100ms, cap: 1s}, startLimit: off}
	    onDrift: {secret: restart, env: restart}
	  - name: still
	    command: [/bin/sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.2; done']
	    replicas: 5
	alerts:
	  - {name: hook, webhook: {url: 'http://127.0.0.1:$PORT/in'}}
	alertRules: [{kind: operator-restarted, send: false}]
	YAML
}
operator_runs() { in_status '.operator.state == "running"'; }
pids_of() { status | jq -c "[.workers[] | select(.name == \"$1\") | .instances[].pid]"; }
all_ready() { in_status '[.workers[].instances[] | select(.ready)] | length == 7'; }
token_of() { tr '\0' '\n' <"/proc/$1/environ" | grep -qx "TOKEN=$2"; }
all_have() {
	local pid
	for pid in $(pids_of w | jq '.[]'); do
		token_of "$pid" "$1" || return 1
	done
	all_ready
}
# The operator's pid as the init has it: it answers also while there is none.
operator_pid() { "$REEVE" status --output json 2>/dev/null | jq '.operator.pid // 0'; }

toggle() {
	if [ -e toggled.env ]; then
		mv toggled.env away.env
	else
		mv away.env toggled.env
	fi
}
jobs() {
	local i
	if ((RANDOM % 2)); then
		for ((i = 0; i < 8; i++)); do redis rpush jobs "j$i"; done
	else
		redis del jobs
	fi >/dev/null
}
# One after the other: the one before was complete.
rotations=0
rotate() {
	if all_have "token-$rotations" 2>/dev/null; then
		rotations=$((rotations + 1))
		printf 'token-%d' "$rotations" >secret/TOKEN.new
		mv secret/TOKEN.new secret/TOKEN
	fi
}

# kill_and_disturb COUNT: that many kills, at 0 to 2 s after a new one runs.
kill_and_disturb() {
	local killed=0 pid last=0
	while ((killed < $1)); do
		case $((RANDOM % 4)) in
		0) toggle ;;
		1) jobs ;;
		2) rotate ;;
		esac
		until pid=$(operator_pid) && [[ $pid =~ ^[1-9][0-9]*$ && $pid != "$last" ]]; do
			command sleep 0.05
		done
		command sleep "$((RANDOM % 2)).$((RANDOM % 10))$((RANDOM % 10))"
		kill -KILL "$pid" 2>/dev/null || continue
		last=$pid
		killed=$((killed + 1))
	done
}

# What the receiver has, each id once, as "KEY STATE" in the order of the ids.
told() {
	jq -rs 'unique_by(.id) | sort_by(.id | split("-") | last | tonumber) | .[] | "\(.key) \(.state)"' got
}
# A message that came twice is the very same one, under the same key: that is how
# a receiver knows it.
twice() {
	jq -rs 'group_by(.headers["idempotency-key"])[] | select(length > 1) |
		"\(length) \(map(.body) | unique | length) \(.[0].headers["idempotency-key"])"' got.requests
}
twice_is_the_same() { twice | awk '$2 != 1 { print; bad = 1 } END { exit bad }'; }
# Each alert begins, ends, begins, ends: never twice the same, over at last.
paired() {
	told | awk '{ key = $1; state = $NF }
		state != "raised" && state != "resolved" { next }
		state == last[key] || (state == "resolved" && last[key] == "") {
			print "not paired: " $0; bad = 1 }
		{ last[key] = state }
		END { for (key in last) if (last[key] != "resolved") {
				print "never over: " key; bad = 1 }
			exit bad }'
}
nothing_raised() { in_status '[.alerts[] | select(.state == "raised")] == [] and .receivers[0].undelivered == 0'; }
raised_is_told() { in_status '[.alerts[] | select(.state == "raised" and .kind == "source-unreadable")] != []'; }

@test "killed at random moments: no alert lost or doubled, no action done twice, workers untouched" {
	local kills=${KILLS:-6} still before
	start_redis
	PORT=$(free_port)
	manifest
	start_background recorder python3 "$BATS_TEST_DIRNAME/recorder.py" "$PORT" "$PWD/got"
	wait_until port_listens "$PORT"
	start_background reeve "$REEVE" run -f reeve.yaml
	wait_until all_ready
	wait_until operator_runs
	still=$(pids_of still)
	kill_and_disturb "$kills"
	wait_until -t 90 operator_runs
	# at rest again: no alert, no jobs, the last secret
	[ -e toggled.env ] || toggle
	redis del jobs
	wait_until -t 120 all_have "token-$rotations"
	wait_until -t 120 nothing_raised
	# and it still works: one more, from its beginning to its end
	toggle
	wait_until -t 60 raised_is_told
	toggle
	wait_until -t 60 nothing_raised
	[ "$(pids_of still)" = "$still" ]
	# each replica was started once for each secret, and once at the start
	before=$(grep -c '^start 0$' state/history)
	[ "$before" -eq $((rotations + 1)) ]
	[ "$(grep -c '^start 1$' state/history)" -eq "$before" ]
	wait_until paired || { told; paired; false; }
	# twice comes only what was on its way when we died
	twice_is_the_same || { twice; false; }
	echo "# $kills kills, $rotations rotations, $(told | wc -l) alerts, $(twice | wc -l) of them came twice" >&3
}
