#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What is declared is what runs, or someone is told: the real init, the real
# operator, and a worker that says what happens to it.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	need python3 jq curl
	cd "$BATS_TEST_TMPDIR" || return
	STATE=$PWD/state
	mkdir "$STATE" secret run
	printf 'first-secret-value' >secret/TOKEN
	export REEVE_SOCKET=$PWD/run
	WORKER=$BATS_TEST_DIRNAME/operator-worker.sh
}

# manifest [MODE [LABEL]]: variables REPLICAS, ON_DRIFT, ALERTS, COMMAND, SOURCE
# (of the secret), LOOKS change the rest. Written beside and renamed, as an editor
# does.
manifest() {
	local source=${SOURCE:-"dir: $PWD/${SECRET:-secret}"}
	cat >new.yaml <<-YAML
	apiVersion: reeve/v1
	name: op
	secrets:
	  - {name: s, $source}
	workers:
	  - name: w
	    command: [${COMMAND:-$WORKER}]
	    replicas: ${REPLICAS:-2}
	    env:
	      - {name: STATE, value: $STATE}
	      - {name: MODE, value: ${1:-ok}}
	      - {name: LABEL, value: ${2:-a}}
	      - {name: TOKEN, valueFrom: {secretKeyRef: {name: s, key: TOKEN}}}
	    readinessProbe:
	      exec: {command: [/bin/sh, -c, 'test -e \$STATE/ready.\$REEVE_REPLICA']}
	      periodSeconds: 1
	      failureThreshold: ${LOOKS:-3}
	    terminationGracePeriodSeconds: 5
	    restart: {backoff: {first: 100ms, cap: 1s}, alertAfter: ${ALERT_AFTER:-100 per 1h}}
	    onDrift: ${ON_DRIFT:-{env: restart, secret: restart\}}
	${ALERTS:-}
	YAML
	mv new.yaml reeve.yaml
}

supervise() {
	start_background reeve "$REEVE" run -f reeve.yaml
	LOG=$BACKGROUND_LOG
	wait_until all_ready "${REPLICAS:-2}"
}

pids() { status | jq -c '[.workers[].instances[].pid]'; }
other_pids() { [ "$(pids)" != "$1" ]; }
all_ready() { [ "$(status | jq '[.workers[].instances[] | select(.ready)] | length')" = "$1" ]; }
logged() { grep -q -- "$1" "$LOG"; }
history_is() { [ "$(tr '\n' ' ' <"$STATE/history")" = "$1 " ]; }
environ_of() { tr '\0' '\n' <"/proc/$1/environ"; }
# Every instance runs with NAME=VALUE and is ready.
all_have() {
	local pid
	for pid in $(status | jq '.workers[].instances[] | select(.ready) | .pid'); do
		environ_of "$pid" | grep -qx -- "$1" || return 1
	done
	all_ready "${REPLICAS:-2}"
}
# Another operator than PID answers.
operator_after() { in_status ".operator.state == \"running\" and .operator.pid != $1"; }
environ_has() { environ_of "$(status | jq '.workers[0].instances[0].pid')" | grep -qx "$1"; }
kill_operator() {
	local pid
	pid=$(operator_pid)
	kill -KILL "$pid"
	wait_until operator_after "$pid"
}
# Nothing is left to do: the same twice, some passes apart.
passes() {
	"$REEVE" reload >/dev/null
	"$REEVE" reload >/dev/null
}
no_secret() { ! grep -rqs 'secret-value' "$LOG" run/; }

@test "a rotated secret rolls the replicas one at a time to the new value" {
	manifest
	supervise
	: >"$STATE/history"
	printf 'second-secret-value' >secret/TOKEN
	wait_until all_have TOKEN=second-secret-value
	# each stops, and is ready again before the next one stops
	history_is "stop 0 start 0 ready 0 stop 1 start 1 ready 1"
	run "$REEVE" diff
	expect_status 0
	no_secret
}

@test "a worker whose secret has no such key is not started, and says so; with the key it is" {
	mv secret/TOKEN secret/TOKENS
	manifest
	start_background reeve "$REEVE" run -f reeve.yaml
	LOG=$BACKGROUND_LOG
	wait_until in_status '.workers[0].held == "a declared value is missing"'
	run "$REEVE" check -f reeve.yaml --verbose
	expect_status 1
	has "it is not started: a declared value is missing"
	# nobody ordered that, and no order mends it
	run -1 "$REEVE" diff
	has "not started: a declared value is missing"
	has "fix: reeve check --verbose"
	[ ! -s "$STATE/history" ]
	mv secret/TOKENS secret/TOKEN
	wait_until all_have TOKEN=first-secret-value
	# and what runs is not made incomplete
	local before
	before=$(pids)
	mv secret/TOKEN secret/TOKENS
	wait_until in_status '.workers[0].held == "a declared value is missing"'
	passes
	[ "$(pids)" = "$before" ]
	no_secret
}

@test "a Kubernetes secret volume is followed through its ..data link" {
	mkdir -p volume/..v1 volume/..v2
	printf 'old-secret-value' >volume/..v1/TOKEN
	printf 'new-secret-value' >volume/..v2/TOKEN
	ln -s ..v1 volume/..data
	ln -s ..data/TOKEN volume/TOKEN
	SECRET=volume
	manifest
	supervise
	all_have TOKEN=old-secret-value
	ln -s ..v2 volume/..tmp
	mv -T volume/..tmp volume/..data
	wait_until all_have TOKEN=new-secret-value
}

@test "an env file that is edited, in place or by another one, rolls to the new value" {
	echo TOKEN=first-secret-value >token.env
	SOURCE="envFile: $PWD/token.env"
	manifest
	supervise
	all_have TOKEN=first-secret-value
	: >"$STATE/history"
	echo TOKEN=second-secret-value >token.env
	wait_until all_have TOKEN=second-secret-value
	history_is "stop 0 start 0 ready 0 stop 1 start 1 ready 1"
	echo TOKEN=third-secret-value >token.new
	mv token.new token.env
	wait_until all_have TOKEN=third-secret-value
	no_secret
}

@test "a command's other answer is drift of the secret, without being asked for and by a reload" {
	echo TOKEN=first-secret-value >answer
	SOURCE="command: [/bin/cat, $PWD/answer]"
	ON_DRIFT='{env: alert, secret: alert}'
	manifest
	supervise
	all_have TOKEN=first-secret-value
	local before
	before=$(pids)
	echo TOKEN=second-secret-value >answer
	# it is run once a minute
	wait_until -t 120 in_status '.drift[] | select(.class == "secret" and .key == "TOKEN" and .policy == "alert")'
	run "$REEVE" diff
	expect_status 1
	has TOKEN
	[ "$(pids)" = "$before" ]
	ON_DRIFT='{env: alert, secret: restart}'
	manifest
	wait_until all_have TOKEN=second-secret-value
	echo TOKEN=third-secret-value >answer
	"$REEVE" reload
	wait_until all_have TOKEN=third-secret-value
	# no answer at all is no other value: what runs goes on, and somebody is told
	before=$(pids)
	rm answer
	"$REEVE" reload || [ "$?" -eq 78 ]
	wait_until in_status '.alerts[] | select(.kind == "source-unreadable")'
	[ "$(pids)" = "$before" ]
	no_secret
}

@test "an order to an operator that has just begun is done when it has read the manifest" {
	cat >source <<-END
	#!/bin/sh
	echo >$PWD/asked
	while [ -e $PWD/hold ]; do sleep 0.1; done
	echo TOKEN=first-secret-value
	END
	chmod 755 source
	SOURCE="command: [$PWD/source]"
	manifest
	supervise
	local before
	before=$(pids)
	touch hold
	rm asked
	kill -KILL "$(operator_pid)"
	wait_until test -e asked
	start_background restart "$REEVE" restart w
	wait_until asks_operator "$BACKGROUND_PID"
	rm hold
	wait "$BACKGROUND_PID"
	wait_until others_all "$before"
	wait_until all_ready 2
	[ "$("$REEVE" events --output json | jq -c 'select(.kind == "order")' | wc -l)" -eq 1 ]
}

# A command has one socket to the init, then one to the operator; or it has
# ended.
asks_operator() {
	[ ! -e "/proc/$1/exe" ] || (($(readlink "/proc/$1"/fd/* | grep -c '^socket:') >= 2))
}
# No process is one of those before: $1, as pids() has them.
others_all() {
	jq -ne --argjson before "$1" --argjson now "$(pids)" \
		'($now | length) == ($before | length) and ($now - $before) == $now' >/dev/null
}

@test "a configuration that never becomes ready is rolled back, held down and alerted" {
	manifest
	supervise
	local second
	second=$(status | jq '.workers[0].instances[] | select(.index == 1) | .pid')
	manifest never
	wait_until logged 'rollback'
	wait_until all_have MODE=ok
	in_status '.alerts[] | select(.kind == "rollback" and .subject == "worker w")'
	in_status '.workers[0].held == "rolled back"'
	# the one that was not tried was never touched
	in_status ".workers[0].instances[] | select(.index == 1 and .pid == $second)"
	: >"$STATE/history"
	passes
	kill_operator
	passes
	[ ! -s "$STATE/history" ]
	# another declaration is another chance, and the alert is over
	manifest ok b
	wait_until all_have LABEL=b
	wait_until in_status '[.alerts[] | select(.kind == "rollback")] == []'
}

@test "a configuration that crashes is rolled back before its time is over" {
	# by its probe it would have ten minutes
	LOOKS=600
	manifest
	supervise
	manifest crash
	wait_until logged 'rollback'
	wait_until all_have MODE=ok
}

@test "the operator killed while a configuration is on trial: it is rolled back all the same" {
	REPLICAS=1
	manifest
	supervise
	manifest never
	wait_until environ_has MODE=never
	kill_operator
	wait_until logged 'rollback'
	wait_until all_have MODE=ok
}

@test "drift that is only to be alerted restarts nothing, and says which key and where" {
	ON_DRIFT='{env: alert, secret: alert}'
	manifest
	supervise
	local before
	before=$(pids)
	manifest ok b
	printf 'first-secret-value\n' >secret/TOKEN
	wait_until in_status '[.drift[] | select(.policy == "alert")] | length == 2'
	in_status '.drift[] | select(.class == "env" and .key == "LABEL" and (.evidence | contains("reeve.yaml:")))'
	in_status '.drift[] | select(.class == "secret" and .key == "TOKEN" and (.summary | contains("same but for a trailing newline")))'
	in_status '.alerts[] | select(.kind == "drift")'
	[ "$(pids)" = "$before" ]
	run "$REEVE" diff
	expect_status 1
	has LABEL
	lacks secret-value
	# asked for, the replicas are replaced
	"$REEVE" restart w
	wait_until all_have LABEL=b
	wait_until in_status '.drift == []'
	wait_until in_status '.alerts == []'
	no_secret
}

@test "the operator killed in the middle of a roll: it ends as it should, nobody twice" {
	REPLICAS=4
	# only by class is it known that the rest is to be restarted
	ON_DRIFT='{secret: restart, env: alert}'
	manifest
	supervise
	: >"$STATE/history"
	touch "$STATE/slow"
	printf 'second-secret-value' >secret/TOKEN
	wait_until grep -q 'stop 1' "$STATE/history"
	kill_operator
	wait_until all_have TOKEN=second-secret-value
	local i
	for i in 0 1 2 3; do
		[ "$(grep -cx "start $i" "$STATE/history")" = 1 ]
		[ "$(grep -cx "stop $i" "$STATE/history")" = 1 ]
	done
}

@test "a reload that changes nothing restarts nothing, also after the operator was killed" {
	manifest
	supervise
	local before
	before=$(pids)
	"$REEVE" reload
	touch reeve.yaml
	manifest
	passes
	kill_operator
	passes
	kill_operator
	wait_until in_status '.operator.restarts == 2'
	[ "$(pids)" = "$before" ]
	in_status '[.workers[].instances[].restarts] | add == 0'
	in_status '.drift == []'
}

@test "a manifest that is refused leaves everything as it is, and somebody is told" {
	manifest
	supervise
	local before
	before=$(pids)
	printf 'workers:\n  - name: w\n    comand: [x]\n' >reeve.yaml
	wait_until in_status '.operator.state == "degraded"'
	in_status '.alerts[] | select(.kind == "manifest-refused" and (.evidence | contains("comand")))'
	run "$REEVE" reload
	expect_status 78
	has 'reeve.yaml:'
	[ "$(pids)" = "$before" ]
	manifest
	wait_until in_status '.operator.state == "running" and .alerts == []'
	[ "$(pids)" = "$before" ]
}

@test "another program than the first manifest allowed is refused whole, and somebody is told" {
	manifest
	supervise
	local before
	before=$(pids)
	COMMAND=/bin/cat
	manifest ok b
	wait_until in_status '.alerts[] | select(.kind == "plan-refused" and (.evidence | contains("/bin/cat")))'
	in_status '.workers[0].held == "refused by the init"'
	[ "$(pids)" = "$before" ]
	# what runs can still be restarted and scaled
	"$REEVE" scale w 3
	wait_until all_ready 3
	unset COMMAND
	REPLICAS=3
	manifest ok b
	wait_until all_have LABEL=b
	wait_until in_status '.alerts == []'
}

@test "SIGHUP reads again" {
	manifest
	supervise
	kill -HUP "$BACKGROUND_PID"
	wait_until logged 'manifest.same'
}

@test "a manifest that can't be read at the start ends with all its errors and 78" {
	printf 'apiVersion: reeve/v1\nname: op\nworkrs: []\nqueus: []\n' >reeve.yaml
	run -78 "$REEVE" run -f reeve.yaml
	has workrs
	has queus
}

@test "an executable that was replaced on disk is drift, and restarts where declared" {
	cp "$WORKER" mine.sh
	COMMAND=$PWD/mine.sh
	ON_DRIFT='{env: restart, secret: restart, executable: alert}'
	manifest
	supervise
	local before
	before=$(pids)
	# the same bytes again are not news
	cp "$WORKER" again && mv again mine.sh
	"$REEVE" reload
	in_status '.drift == []'
	sed 's/^history start/history start # replaced/' "$WORKER" >again
	chmod +x again && mv again mine.sh
	wait_until in_status '.drift[] | select(.class == "executable" and .policy == "alert")'
	[ "$(pids)" = "$before" ]
	# an operator that comes later sees the same
	kill_operator
	wait_until in_status '.drift[] | select(.class == "executable")'
	[ "$(pids)" = "$before" ]
	ON_DRIFT='{env: restart, secret: restart, executable: restart}'
	manifest
	wait_until other_pids "$before"
	wait_until in_status '.drift == []'
	wait_until all_ready 2
}

@test "scale, stop and start; the number stays over a restart of the operator" {
	manifest
	supervise
	"$REEVE" scale w 3
	wait_until all_ready 3
	in_status '.drift[] | select(.class == "replicas")'
	kill_operator
	passes
	all_ready 3
	"$REEVE" scale w 2
	wait_until in_status '.drift == []'
	"$REEVE" stop w
	wait_until in_status '[.workers[].instances[] | select(.pid)] == []'
	passes
	in_status '[.workers[].instances[] | select(.pid)] == []'
	"$REEVE" start w
	wait_until all_ready 2
	run "$REEVE" restart nobody
	expect_status 4
	has "no worker 'nobody'; there "
}

@test "curl speaks to the operator; without it, the init answers" {
	manifest
	supervise
	run curl -sf --unix-socket run/operator.sock http://localhost/status
	expect_status 0
	[ "$(jq -r .schema <<<"$output")" = reeve.status/1 ]
	run curl -s -o /dev/null -w '%{http_code}' --unix-socket run/operator.sock -X POST http://localhost/status
	[ "$output" = 405 ]
	local before operator
	before=$("$REEVE" status --output json | jq '.workers[0].instances[] | select(.index == 1).pid')
	run curl -s -X POST --unix-socket run/operator.sock 'http://localhost/restart?worker=w&replica=1'
	has '"ok":true'
	# another process; a start that was ordered is not counted as a restart
	wait_until in_status ".workers[0].instances[] | select(.index == 1 and .ready and .pid != $before and .restarts == 0)"
	operator=$(operator_pid)
	kill -STOP "$operator"
	run "$REEVE" status --timeout 8s
	expect_status 0
	has 'w  '
	run "$REEVE" diff --timeout 8s
	expect_status 3
	run "$REEVE" stop w/0 --timeout 8s
	expect_status 0
	has 'init alone'
	kill -CONT "$operator"
}

@test "status shows the declared queues; what can't be read is null, with the reason" {
	need redis-server
	start_redis
	redis LPUSH here a b c
	local port
	port=$(free_port)
	ALERTS="queues:
  - {name: here, kind: redis, url: '$REDIS_URL/0', list: here}
  - {name: away, kind: redis, url: 'redis://:hidden-word@127.0.0.1:$port/0', list: x}"
	manifest
	supervise
	wait_until in_status '.queues[] | select(.name == "here" and .waiting == 3)'
	wait_until in_status '.queues[] | select(.name == "away" and .waiting == null and (.error | contains("refuse")))'
	redis LPUSH here d
	wait_until in_status '.queues[] | select(.name == "here" and .waiting == 4)'
	# a server that hangs is unknown, not what it said before
	kill -STOP "$REDIS_PID"
	wait_until in_status '.queues[] | select(.name == "here" and .waiting == null)'
	kill -CONT "$REDIS_PID"
	wait_until in_status '.queues[] | select(.name == "here" and .waiting == 4)'
	run "$REEVE" status --output json
	lacks hidden-word
}

# webhook PORT: an `alerts` section that goes there.
webhook() {
	ALERTS="alerts:
  - name: hook
    webhook: {url: 'http://127.0.0.1:$1/'}"
}
recorder() {
	start_background recorder python3 "$BATS_TEST_DIRNAME/recorder.py" "$1" "$PWD/got"
	wait_until port_listens "$1"
}
got() { [ "$(jq -r '.kind + " " + .state' got 2>/dev/null | tr '\n' ',')" = "$1" ]; }
nothing_waits() { [ "$(echo run/alerts/*)" = run/alerts/active.json ]; }

@test "a receiver that is down delays alerts: each comes once, in order" {
	local port
	port=$(free_port)
	webhook "$port"
	ON_DRIFT='{env: alert, secret: alert}'
	manifest
	supervise
	manifest ok b
	wait_until in_status '.alerts[] | select(.kind == "drift" and .undelivered > 0)'
	manifest
	wait_until in_status '.alerts == []'
	# the operator's death changes nothing
	kill -KILL "$(operator_pid)"
	recorder "$port"
	wait_until got "drift raised,drift resolved,operator-restarted raised,"
	# deleted is what was sent when the answer has come
	wait_until nothing_waits
	[ "$(jq -r .id got | sort -u | wc -l)" = 3 ]
}

@test "a receiver that answers 503 is tried again until it takes it" {
	local port
	port=$(free_port)
	webhook "$port"
	echo 503 >got.code
	recorder "$port"
	manifest
	supervise
	printf 'x: [\n' >reeve.yaml
	wait_until test -s got.refused
	rm got.code
	wait_until got "manifest-refused raised,"
	grep -q '"severity":"error"' got
}

@test "an alert goes to a command, as JSON on its stdin" {
	ALERTS="alerts:
  - name: cmd
    command: [/bin/sh, -c, 'cat >> $PWD/got']"
	manifest
	supervise
	printf 'x: [\n' >reeve.yaml
	wait_until got "manifest-refused raised,"
	jq -e '.schema == "reeve.alert/1" and .system == "op"' got
}

@test "a worker that crash-loops is told once" {
	ALERTS="alerts:
  - name: cmd
    command: [/bin/sh, -c, 'cat >> $PWD/got']"
	ALERT_AFTER='2 per 1h'
	manifest crash
	start_background reeve "$REEVE" run -f reeve.yaml
	LOG=$BACKGROUND_LOG
	wait_until got "crash-looping raised,"
	jq -e '.evidence | contains("exit code 1")' got
	kill_operator
	wait_until grep -q operator-restarted got
	[ "$(grep -c '"kind":"crash-looping"' got)" = 1 ]
}
