#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Alerts reach whoever is to be told: a real Alertmanager, a stub of PagerDuty's
# Events API v2, webhooks that behave and that don't.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	need python3 jq curl openssl
	cd "$BATS_TEST_TMPDIR" || return
	mkdir run
	export REEVE_SOCKET=$PWD/run
	PORT=$(free_port)
	LABEL=a
}

# manifest ALERTS [RULES]: a worker whose variable LABEL drifts from what runs.
manifest() {
	ALERTS=$(while read -r line; do echo "  $line"; done <<<"$1")
	RULES=${2:-[]}
	declare_label "$LABEL"
}
declare_label() {
	cat >new.yaml <<-YAML
	apiVersion: reeve/v1
	name: op
	env:
	  - {name: SECRET_KEY, value: the-signing-key}
	workers:
	  - name: w
	    command: [/bin/sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.1; done']
	    env: [{name: LABEL, value: $1}]
	    terminationGracePeriodSeconds: 5
	alerts:
	${ALERTS}
	alertRules: $RULES
	YAML
	mv new.yaml reeve.yaml
}
supervise() {
	start_background reeve "$REEVE" run -f reeve.yaml
	LOG=$BACKGROUND_LOG
	wait_until in_status '.workers[0].ready == 1'
}
# drift; mend: an alert is raised; it is over.
drift() { declare_label b && wait_until in_status '.alerts[] | select(.kind == "drift")'; }
mend() { declare_label a && wait_until in_status '.alerts | map(select(.kind == "drift")) == []'; }
recorder() {
	start_background recorder python3 "$BATS_TEST_DIRNAME/recorder.py" "$PORT" "$PWD/got"
	wait_until port_listens "$PORT"
}
got() { [ "$(jq -r '.kind + " " + .state' got 2>/dev/null | tr '\n' ',')" = "$1" ]; }
lines() { [ "$(wc -l <got)" = "$1" ]; }
# shellcheck disable=SC2016 # reeve expands it
SIGNED=', hmacKey: "$(SECRET_KEY)"'
hook() { printf -- "- {name: hook, webhook: {url: 'http://127.0.0.1:%s/in'%s}%s}" "$PORT" "${1:-}" "${2:-}"; }

@test "a webhook gets the alert signed, with its id as idempotency key" {
	recorder
	manifest "$(hook "$SIGNED")"
	supervise
	drift
	wait_until got "drift raised,"
	jq -e '.schema == "reeve.alert/1" and .system == "op" and .worker == "w" and .finding == "RV121" and (.fix | contains("reeve restart w"))' got
	jq -e --slurpfile got got '.headers["idempotency-key"] == $got[0].id' got.requests
	local header time sum
	header=$(jq -r '.headers["reeve-signature"]' got.requests)
	time=${header#t=} time=${time%%,*}
	sum=$(printf '%s.%s' "$time" "$(jq -r .body got.requests)" | openssl dgst -sha256 -hmac the-signing-key -r)
	[ "$header" = "t=$time,v1=${sum%% *}" ]
	run ! grep -rqs the-signing-key "$LOG" run got
	run ! grep -q the-signing-key <(status)
}

# Each kind of bad answer delays, and what came meanwhile follows in order.
misbehaves() {
	recorder
	echo "$1" >got.code
	manifest "$(hook)"
	supervise
	drift
	wait_until test -s got.refused
	wait_until -t 40 in_status ".receivers[0] | .name == \"hook\" and .undelivered == 1 and (.error | contains(\"$2\"))"
	mend
	rm got.code
	wait_until -t 60 got "drift raised,drift resolved,"
	wait_until in_status '.receivers[0] | .error == null and .undelivered == 0'
	"$REEVE" events | grep -q receiver-down
	"$REEVE" events | grep -q receiver-up
	run ! grep -q "127.0.0.1:$PORT" "$LOG"
}
@test "a receiver that answers 500" { misbehaves 500 'HTTP 500'; }
@test "a receiver that answers 429 is asked again when it said" {
	misbehaves '429 3' 'HTTP 429'
	grep -q 'retry_in_ms=3000' "$LOG"
}
@test "a receiver that hangs" { misbehaves hang ime; }
@test "a receiver that closes without an answer" { misbehaves close 'returned nothing'; }
@test "a receiver that answers garbage" { misbehaves garbage ' '; }

@test "a receiver that is slow gets each alert once" {
	recorder
	echo slow >got.code
	manifest "$(hook)"
	supervise
	drift
	mend
	wait_until got "drift raised,drift resolved,"
}

@test "a certificate that isn't trusted delays, and nothing is sent" {
	openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -subj /CN=x -days 2 2>/dev/null
	start_background tls openssl s_server -accept "127.0.0.1:$PORT" -key key -cert cert -quiet
	wait_until port_listens "$PORT"
	manifest "- {name: hook, webhook: {url: 'https://127.0.0.1:$PORT/'}}"
	supervise
	drift
	wait_until in_status '.receivers[0] | .undelivered == 1 and (.error | test("SSL|certificate"))'
}

@test "a wrong URL is said to be one, and loses nothing: mended, it gets them" {
	recorder
	echo 404 >got.code
	manifest "$(hook)"
	supervise
	drift
	wait_until in_status '.receivers[0].error | contains("HTTP 404") and contains("URL")'
	grep -q 'retry_in_ms=300000' "$LOG"
	mend
	rm got.code
	ALERTS=${ALERTS/\/in/\/other}
	declare_label a
	wait_until got "drift raised,drift resolved,"
}

@test "a message that is refused for what it holds doesn't stop the others" {
	recorder
	echo 400 >got.code
	manifest "$(hook)"
	supervise
	drift
	wait_until test -s got.refused
	rm got.code
	printf 'x: [\n' >reeve.yaml
	wait_until got "manifest-refused raised,"
	# it counts as delivered when the answer has come
	wait_until in_status '.receivers[0].undelivered == 1'
	# its end waits behind its beginning
	mend
	wait_until got "manifest-refused raised,manifest-refused resolved,"
	wait_until in_status '.receivers[0].undelivered == 2'
}

@test "several of one pass go to Slack as one message" {
	recorder
	manifest "- {name: chat, slack: {url: 'http://127.0.0.1:$PORT/'}}"
	supervise
	sed 's/env: \[{/env: [{name: MORE, value: "<x> \& y"}, {/' reeve.yaml >new.yaml
	sed -i 's/value: a}/value: b}/' new.yaml
	mv new.yaml reeve.yaml
	wait_until test -s got
	jq -e '.blocks | length == 2 and all(.type == "section" and .text.type == "mrkdwn")' got
	jq -e '.text | contains("(and 1 more)")' got
	jq -e '.blocks[0].text.text | contains("reeve restart w") and contains("RV121")' got
}

@test "groupWait: a webhook gets one message with all, and later those of one subject" {
	recorder
	manifest "$(hook '' ', groupWait: 1s')"
	supervise
	drift
	mend
	wait_until test -s got
	jq -e '.schema == "reeve.alerts/1" and .alerts[0].state == "raised" and (.alerts | length) == 1' <<<"$(head -1 got)"
	wait_until lines 2
	jq -e '.alerts[0].state == "resolved"' <<<"$(tail -1 got)"
}

@test "PagerDuty: trigger and resolve under one dedup_key, the routing key unseen" {
	recorder
	echo 202 >got.code
	manifest "- {name: pager, pagerduty: {routingKey: 'R0123456789', url: 'http://127.0.0.1:$PORT/v2/enqueue'}}"
	supervise
	drift
	mend
	wait_until lines 2
	jq -s -e '.[0].event_action == "trigger" and .[1].event_action == "resolve" and .[0].dedup_key == .[1].dedup_key and .[0].routing_key == "R0123456789"' got
	jq -s -e '.[0].payload | .severity == "warning" and .source == "op" and .class == "drift" and .component == "worker w" and (.summary | startswith("op: worker w: "))' got
	run ! grep -rqs R0123456789 "$LOG" run
}

start_alertmanager() {
	AM_PORT=$(free_port)
	mkdir -p am
	cat >am.yml <<-YAML
	route: {receiver: hook, group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
	receivers:
	  - name: hook
	    webhook_configs: [{url: 'http://127.0.0.1:$PORT/', send_resolved: true}]
	YAML
	start_background alertmanager prometheus-alertmanager --config.file=am.yml \
	    --storage.path=am --cluster.listen-address= --web.listen-address="127.0.0.1:$AM_PORT"
	wait_until curl -sf "http://127.0.0.1:$AM_PORT/-/ready"
}
am_alerts() { curl -sf "http://127.0.0.1:$AM_PORT/api/v2/alerts"; }
am_has() { am_alerts | jq -e "$1"; }
passed_on() { jq -e "select(.status == \"$1\" and .alerts[0].labels.alertname == \"drift\")" got; }

@test "a real Alertmanager: active, kept beyond its resolve time, passed on, resolved" {
	need prometheus-alertmanager
	recorder
	start_alertmanager
	manifest "- {name: am, alertmanager: {url: 'http://127.0.0.1:$AM_PORT/', resend: 1s}}"
	supervise
	drift
	wait_until am_has '.[] | select(.labels == {alertname: "drift", system: "op", severity: "warning", key: "drift:w:env:LABEL", worker: "w"} and .status.state == "active")'
	am_has '.[0].annotations | .fix == "reeve restart w" and (.description | length) > 0'
	wait_until passed_on firing
	# it would be over by now had it been told only once
	local ends
	ends=$(am_alerts | jq -r '.[0].endsAt')
	wait_until am_has ".[0].endsAt > \"$ends\""
	[ "$(am_alerts | jq length)" = 1 ]
	mend
	wait_until passed_on resolved
	wait_until am_has '. == []'
}

@test "an Alertmanager that was away learns of what began and ended meanwhile" {
	need prometheus-alertmanager
	recorder
	AM_PORT=$(free_port)
	manifest "- {name: am, alertmanager: {url: 'http://127.0.0.1:$AM_PORT'}}"
	supervise
	drift
	wait_until in_status '.receivers[0].error | contains("connect")'
	local port=$AM_PORT
	free_port() { echo "$port"; }
	start_alertmanager
	wait_until passed_on firing
}

@test "minSeverity, for and send: who is told of what" {
	recorder
	manifest "$(hook '' ', minSeverity: error')" '[{kind: drift, severity: info}]'
	supervise
	drift
	printf 'x: [\n' >reeve.yaml
	wait_until got "manifest-refused raised,"
	in_status '.alerts[] | select(.kind == "drift" and .severity == "info")'
	declare_label b
	wait_until got "manifest-refused raised,manifest-refused resolved,"
	RULES='[{kind: drift, for: 1h}]'
	mend
	drift
	in_status '.alerts[] | select(.kind == "drift" and .state == "pending")'
	RULES='[{kind: drift, send: false}]'
	declare_label b
	wait_until in_status '.alerts[] | select(.kind == "drift" and .state == "muted")'
	RULES='[{kind: drift, for: 1s, severity: critical}]'
	declare_label b
	wait_until got "manifest-refused raised,manifest-refused resolved,drift raised,"
}

@test "a silence: told to nobody, shown everywhere, kept over a restart, and over when it is taken back" {
	recorder
	manifest "$(hook)"
	supervise
	run "$REEVE" alert silence 'drift:*' --for 2h
	expect_status 64
	run "$REEVE" alert silence 'drift:*' --for 2h --reason 'w is being moved'
	expect_status 0
	has 'silence 1: 0 alerts'
	drift
	wait_until in_status '.alerts[] | select(.kind == "drift" and .state == "silenced" and .silenced_by == 1)'
	kill -KILL "$(operator_pid)"
	wait_until in_status '.silences | length == 1'
	wait_until in_status '.alerts[] | select(.kind == "drift" and .state == "silenced")'
	# another kind goes out; the silenced one didn't before it
	wait_until got 'operator-restarted raised,'
	run "$REEVE" alert silences
	expect_status 0
	has 'drift:*  until '
	has "by uid $(id -u): w is being moved; alerts it fits now: 1"
	run "$REEVE" status
	has "silence 1 of 'drift:*' until"
	run "$REEVE" diff
	expect_status 1
	has 'LABEL'
	run "$REEVE" events
	has "silence 1 of 'drift:*' by uid"
	has 'alert-silenced'
	run "$REEVE" alert unsilence 7
	expect_status 1
	has "no silence '7'"
	run "$REEVE" alert unsilence 1
	expect_status 0
	wait_until lines 2
	[ "$(jq -r .kind got | tail -n 1)" = drift ]
	in_status '.silences == []'
	[ "$(curl -s -o answer -w '%{http_code}' --unix-socket run/operator.sock -X POST 'http://localhost/silence?match=x&for_ms=60000')" = 400 ]
}

@test "alert test: by the running supervisor, and by the manifest alone" {
	recorder
	manifest "$(hook)
- {name: cmd, command: [/bin/sh, -c, 'cat >cmd.got']}"
	run "$REEVE" alert test
	expect_status 0
	has 'taken   hook (webhook)'
	got "alert-test raised,alert-test resolved,"
	jq -s -e 'all(.test == true)' got
	supervise
	echo 404 >got.code
	run "$REEVE" alert test
	expect_status 1
	has 'FAILED  hook (webhook): it answered HTTP 404'
	has 'taken   cmd (command)'
	rm got.code
	run "$REEVE" alert test hook --output json
	expect_status 0
	jq -e '.receivers == [{"name":"hook","kind":"webhook","taken":true,"error":null}]' <<<"$output"
	# a test that failed isn't sent later
	[ "$(wc -l <got)" = 4 ]
	run "$REEVE" alert test nobody
	expect_status 1
	has nobody
	drift
	run "$REEVE" alert ls
	expect_status 0
	has 'raised    warning  drift:w:env:LABEL'
	has 'receiver hook (webhook): '
}

@test "what follows from another alert is listed with it, and sent once that is over" {
	recorder
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: op
	workers:
	  - name: w
	    command: [/bin/sh, -c, 'test -e $PWD/go || exit 1; trap "exit 0" TERM; while :; do sleep 0.1; done']
	    readinessProbe: {exec: {command: [test, -e, $PWD/ready]}, periodSeconds: 1}
	    terminationGracePeriodSeconds: 5
	    restart: {backoff: {first: 100ms, cap: 200ms}, alertAfter: 3 per 15s}
	alerts:
	  $(hook)
	YAML
	start_background reeve "$REEVE" run -f reeve.yaml
	wait_until in_status '.alerts[] | select(.kind == "not-ready" and .state == "explained" and .explained_by == "crash-looping:w")'
	wait_until got "crash-looping raised,"
	touch go
	wait_until -t 60 got "crash-looping raised,crash-looping resolved,not-ready raised,"
	touch ready
	wait_until got "crash-looping raised,crash-looping resolved,not-ready raised,not-ready resolved,"
}
