#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The status server: what it says, to whom, and to a real Prometheus.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	need jq curl promtool
	cd "$BATS_TEST_TMPDIR" || return
	mkdir run
	export REEVE_SOCKET=$PWD/run
	PORT=$(free_port)
}

# manifest [STATUS]: variables WORKERS and QUEUES change the rest.
manifest() {
	local served="{listen: '127.0.0.1:$PORT'}"
	local workers="  - {name: w, command: [sleep, '1000'], replicas: 2}"
	cat >new.yaml <<-YAML
	apiVersion: reeve/v1
	name: st
	${QUEUES:-}
	workers:
	${WORKERS:-$workers}
	supervisor:
	  status: ${1:-$served}
	YAML
	mv new.yaml reeve.yaml
}

supervise() {
	start_background reeve "$REEVE" run -f reeve.yaml
	LOG=$BACKGROUND_LOG
}

URL() { printf 'http://127.0.0.1:%s%s' "$PORT" "$1"; }
get() { curl -sS --max-time 10 "${@:2}" "$(URL "$1")"; }
code() { curl -sS --max-time 10 -o /dev/null -w '%{http_code}' "${@:2}" "$(URL "$1")"; }
code_is() { [ "$(code "$2" "${@:3}")" = "$1" ]; }
ready() { code_is 200 /readyz; }
says() { get /readyz | grep -q -- "$1"; }
# The value of one series, or nothing.
value() { get /metrics | awk -v series="$1" '$1 == series { print $2 }'; }
value_is() { [ "$(value "$1")" = "$2" ]; }
pid_of() { "$REEVE" status --output json | jq -er ".workers[] | select(.name == \"$1\").instances[0].pid"; }
logged() { grep -q -- "$1" "$LOG"; }

@test "without 'status' nothing listens; with 'status: {}' the loopback's 9102 does" {
	manifest
	sed -i '/^supervisor/,$d' reeve.yaml
	supervise
	wait_until "$REEVE" status --live
	[ "$("$REEVE" status --output json | jq .status_server)" = null ]
	run "$REEVE" lint reeve.yaml
	expect_status 0
	manifest '{}'
	run "$REEVE" check -f reeve.yaml --verbose
	lacks "not acted on"
}

@test "an address that is none is an error of the manifest, with its place" {
	manifest '{listen: "localhost:9102"}'
	run "$REEVE" lint reeve.yaml
	expect_status 1
	has "reeve.yaml:7:20"
	has "127.0.0.1:9102, [::1]:9102 and :9102 are"
}

@test "it lives, is ready when everything is, and says what isn't" {
	WORKERS='  - {name: w, command: [sleep, "1000"], replicas: 2}
  - name: late
    command: [sleep, "1000"]
    readinessProbe: {exec: {command: [/bin/sh, -c, "test -e '$PWD'/go"]}, periodSeconds: 1}' manifest
	supervise
	wait_until says '^worker late: 0 of 1 ready; replica 0 is '
	code_is 503 /readyz
	code_is 200 /livez
	touch go
	wait_until ready
	[ "$(get /readyz)" = ok ]
	[ "$(get /livez)" = ok ]
}

@test "an unknown queue is not ready, and none of its numbers is 0" {
	QUEUES="queues: [{name: jobs, kind: redis, list: jobs, url: 'redis://127.0.0.1:$(free_port)/0'}]"
	manifest
	supervise
	wait_until value_is 'reeve_queue_up{queue="jobs",kind="redis"}' 0
	wait_until value_is 'reeve_worker_replicas_ready{worker="w"}' 2
	code_is 503 /readyz
	says '^queue jobs: unknown: .*nothing listens there'
	run -0 get /metrics
	lacks $'\nreeve_queue_depth'
	lacks $'\nreeve_queue_consumers'
}

@test "metrics: clean for promtool, OpenMetrics for who asks, bounded labels" {
	manifest
	supervise
	wait_until ready
	[ "$(value 'reeve_output_file_lost_bytes_total{stream="stderr"}')" = 0 ]
	run promtool check metrics < <(get /metrics)
	expect_status 0
	[ -z "$output" ]
	run -0 get /metrics -H 'Accept: application/openmetrics-text; version=1.0.0' -D headers
	[ "${lines[-1]}" = '# EOF' ]
	has '# TYPE reeve_worker_restarts counter'
	has 'reeve_worker_restarts_total{worker="w",class="crash"} 0'
	grep -qi '^content-type: application/openmetrics-text; version=1.0.0' headers
	lacks "$(pid_of w)"
	# the same workers, the same series
	local before
	before=$(get /metrics | sed 's/ [^ ]*$//' | grep -v '^#' | grep -v output | sort)
	kill -KILL "$(pid_of w)"
	wait_until value_is 'reeve_worker_exits_total{worker="w",class="crash"}' 1
	[ "$(get /metrics | sed 's/ [^ ]*$//' | grep -v '^#' | grep -v output | sort)" = "$before" ]
}

@test "a counter doesn't fall when a replica is scaled away" {
	manifest
	supervise
	wait_until ready
	"$REEVE" scale w 3
	wait_until value_is 'reeve_worker_replicas_ready{worker="w"}' 3
	kill -KILL "$("$REEVE" status --output json | jq '.workers[0].instances[2].pid')"
	wait_until value_is 'reeve_worker_restarts_total{worker="w",class="crash"}' 1
	"$REEVE" scale w 1
	wait_until value_is 'reeve_worker_replicas_running{worker="w"}' 1
	"$REEVE" reload
	value_is 'reeve_worker_restarts_total{worker="w",class="crash"}' 1
	# what was asked to end is no crash
	wait_until value_is 'reeve_worker_exits_total{worker="w",class="ordered"}' 2
	value_is 'reeve_worker_exits_total{worker="w",class="crash"}' 1
}

@test "a real Prometheus scrapes it, and sees a kill" {
	need prometheus
	manifest
	supervise
	wait_until ready
	PROM=$(free_port)
	mkdir prom
	cat >prom.yml <<-YAML
	global: {scrape_interval: 250ms, scrape_timeout: 250ms}
	scrape_configs:
	  - {job_name: reeve, static_configs: [{targets: ["127.0.0.1:$PORT"]}]}
	YAML
	promtool check config prom.yml
	start_background prometheus prometheus --config.file=prom.yml \
	    --storage.tsdb.path=prom --web.listen-address=127.0.0.1:"$PROM"
	query() {
		curl -sS -G --max-time 10 --data-urlencode "query=$1" "http://127.0.0.1:$PROM/api/v1/query" |
		    jq -r '.data.result[0].value[1] // empty'
	}
	query_is() { [ "$(query "$1")" = "$2" ]; }
	wait_until query_is 'up{job="reeve"}' 1
	wait_until query_is 'reeve_worker_replicas_ready{worker="w"}' 2
	wait_until query_is 'reeve_worker_restarts_total{class="crash"}' 0
	kill -KILL "$(pid_of w)"
	wait_until query_is 'reeve_worker_restarts_total{class="crash"}' 1
	wait_until query_is 'increase(reeve_worker_restarts_total{class="crash"}[1m]) > bool 0' 1
	wait_until query_is 'reeve_build_info{version!=""}' 1
	# everything has its type and a help in what Prometheus has read
	[ "$(curl -sS "http://127.0.0.1:$PROM/api/v1/metadata" |
	    jq -r '.data.reeve_worker_restarts[0].type // .data.reeve_worker_restarts_total[0].type')" = counter ]
}

@test "for reading only, also where it isn't the loopback" {
	manifest
	supervise
	wait_until ready
	local method
	for method in POST PUT DELETE PATCH OPTIONS; do
		code_is 405 /restart?worker=w -X "$method"
		code_is 405 /status -X "$method"
	done
	code_is 404 /restart?worker=w
	code_is 200 /metrics -I
	run -0 get /status -D -
	has "Content-Security-Policy: default-src 'none'"
	has 'X-Frame-Options: DENY'
	has 'Referrer-Policy: no-referrer'
	run -0 get '/events?limit=1'
	[ "$(jq -r .schema <<<"$output")" = reeve.events/1 ]
	code_is 400 '/events?limit=x'
	[ "$("$REEVE" status --output json | jq '[.workers[].instances[].restarts] | add')" = 0 ]
	# another name for our address: a page of somebody else's
	code_is 421 /status -H 'Host: rebound.example'
	code_is 200 /status -H "Host: localhost:$PORT"
}

@test "a token: from a secret, rotated by a reload, and never shown" {
	mkdir secret
	printf 'first-token-value' >secret/TOKEN
	WITH='{listen: "127.0.0.1:'$PORT'", token: $(TOKEN)}'
	QUEUES="secrets: [{name: s, dir: secret}]
env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: s, key: TOKEN}}}]"
	manifest "$WITH"
	supervise
	wait_until ready
	local path
	for path in / /metrics /status /events /nope; do
		code_is 401 "$path"
		code_is 401 "$path" -H 'Authorization: Bearer wrong'
		code_is 401 "$path" -H 'Authorization: Bearer'
		code_is 401 "$path" -u 'me:wrong'
	done
	code_is 200 /metrics -H 'Authorization: Bearer first-token-value'
	code_is 200 /metrics -u 'me:first-token-value'
	code_is 200 /livez
	# what isn't ready is for those with the token
	kill -STOP "$(pid_of w)"
	"$REEVE" scale w 3
	wait_until code_is 200 /readyz
	QUEUES+="
queues: [{name: jobs, kind: redis, list: jobs, url: 'redis://127.0.0.1:$(free_port)/0'}]"
	manifest "$WITH"
	"$REEVE" reload
	wait_until code_is 503 /readyz
	[ "$(get /readyz)" = 'not ready' ]
	get /readyz -H 'Authorization: Bearer first-token-value' | grep -q '^queue jobs: unknown'
	printf 'second-token-value' >secret/TOKEN
	wait_until code_is 200 /metrics -H 'Authorization: Bearer second-token-value'
	code_is 401 /metrics -H 'Authorization: Bearer first-token-value'
	# a token without a value isn't an open door
	rm secret/TOKEN
	wait_until in_trouble 'its token has no value'
	run ! curl -sS --max-time 10 "$(URL /metrics)"
	printf 'third-token-value' >secret/TOKEN
	wait_until code_is 200 /metrics -H 'Authorization: Bearer third-token-value'
	run ! grep -rqs -e '-token-value' "$LOG" run/
	run -0 "$REEVE" status --output json
	lacks '-token-value'
}

trouble() { "$REEVE" status --output json | jq -r '.status_server.trouble // empty'; }
in_trouble() { trouble | grep -q -- "$1"; }
no_trouble() { "$REEVE" status --output json | jq -e '.status_server.trouble == null and .status_server.listen != null'; }

@test "a port that is taken is said and tried again; nothing else minds" {
	start_background taken python3 -c "
import socket, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', $PORT)); s.listen()
time.sleep(1000)"
	local holder=$BACKGROUND_PID
	wait_until port_listens "$PORT"
	manifest
	supervise
	wait_until in_trouble 'Address already in use'
	logged 'status.unavailable'
	run -0 "$REEVE" status
	has "status server: 127.0.0.1:$PORT"
	local before
	before=$(pid_of w)
	kill "$holder"
	wait_until ready
	no_trouble
	[ "$(pid_of w)" = "$before" ]
}

@test "another address by a reload; one that can't be had leaves the old one" {
	manifest
	supervise
	wait_until ready
	local before old=$PORT
	before=$(pid_of w)
	PORT=$(free_port)
	manifest
	"$REEVE" reload
	wait_until ready
	run ! port_listens "$old"
	# an address that isn't this host's
	manifest '{listen: "192.0.2.1:9102"}'
	"$REEVE" reload
	wait_until in_trouble '192.0.2.1:9102'
	code_is 200 /livez
	manifest
	sed -i '/^supervisor/,$d' reeve.yaml
	"$REEVE" reload
	closed() { ! port_listens "$PORT"; }
	wait_until closed
	manifest
	"$REEVE" reload
	wait_until ready
	[ "$(pid_of w)" = "$before" ]
	# and the operator's death costs it nothing but that
	kill -KILL "$("$REEVE" status --output json | jq .operator.pid)"
	wait_until value_is reeve_operator_restarts_total 1
	value_is 'reeve_worker_replicas_ready{worker="w"}' 2
}

certificate() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" \
	    -addext 'subjectAltName=IP:127.0.0.1' -keyout new.key -out new.pem 2>/dev/null
	mv new.key key.pem
	mv new.pem cert.pem
}
subject() { openssl s_client -connect "127.0.0.1:$PORT" </dev/null 2>/dev/null | openssl x509 -noout -subject; }
subject_is() { [[ $(subject) = *"$1" ]]; }
https() { curl -sS --max-time 10 --cacert cert.pem "https://127.0.0.1:$PORT$1"; }

@test "TLS: a renewed certificate is taken by a reload, a broken one is not" {
	need openssl
	certificate first
	manifest '{listen: "127.0.0.1:'"$PORT"'", tls: {certificate: cert.pem, key: key.pem}}'
	supervise
	wait_until https /livez
	subject_is first
	certificate second
	"$REEVE" reload
	wait_until subject_is second
	[ "$(https /livez)" = ok ]
	echo 'no certificate' >cert.pem
	"$REEVE" reload
	wait_until in_trouble 'certificate'
	subject_is second
	certificate third
	"$REEVE" reload
	wait_until subject_is third
	no_trouble
	run ! curl -sS --max-time 10 "$(URL /livez)"
}

operator_pid() { "$REEVE" status --output json | jq -er .operator.pid; }
another_operator() { local now; now=$(operator_pid) && [ "$now" != "$1" ]; }
# kill_operator: returns once another one answers.
kill_operator() {
	local before
	before=$(operator_pid)
	kill -KILL "$before"
	wait_until -t 60 another_operator "$before"
}
refused() { "$REEVE" status --output json | jq -e '.operator.why // "" | test("reeve.yaml")'; }
# answers [CURL OPTIONS]: it has heard from the init, and could not read.
answers() {
	curl -sS --max-time 10 "$@" "$(URL /status)" |
	    jq -e '.operator.state == "degraded" and .operator.why != null and .workers[0].ready == 2'
}

@test "an operator that begins while the manifest is broken serves by the last one, and says so" {
	QUEUES="queues: [{name: jobs, kind: redis, list: jobs, url: 'redis://127.0.0.1:$(free_port)/0'}]"
	manifest
	supervise
	wait_until value_is 'reeve_worker_replicas_ready{worker="w"}' 2
	cp reeve.yaml sound.yaml
	local before
	before=$(pid_of w)
	echo 'workers: [' >>reeve.yaml
	wait_until refused
	[ "$(get /status | jq -c '[.queues[].name]')" = '["jobs"]' ]
	kill_operator
	wait_until code_is 200 /livez
	wait_until answers
	run -0 get /status
	[[ $(jq -r .operator.why <<<"$output") = *reeve.yaml:* ]]
	[ "$(jq -c '[.queues, .drift_known]' <<<"$output")" = '[null,false]' ]
	[ "$(jq '.workers[0].instances[0].pid' <<<"$output")" = "$before" ]
	run -0 get /
	has "The manifest on disk can&#39;t be read, and this operator has seen none before"
	has 'unknown: this operator has read no manifest yet'
	has '2 of 2 ready'
	code_is 503 /readyz
	says '^unknown: no manifest is in force: .*reeve.yaml:'
	value_is reeve_manifest_refused 1
	run -0 "$REEVE" status
	has 'queues unknown'
	# and a second one, and where the file is gone altogether
	rm reeve.yaml
	kill_operator
	wait_until code_is 200 /livez
	cp sound.yaml reeve.yaml
	sees_all() { get /status | jq -e '.operator.state == "running" and .queues[0].name == "jobs" and .drift_known'; }
	wait_until sees_all
	value_is reeve_manifest_refused 0
	[ "$(pid_of w)" = "$before" ]
	# what is declared no longer isn't served by the next one either
	sed -i '/^supervisor/,$d' reeve.yaml
	"$REEVE" reload
	echo 'workers: [' >>reeve.yaml
	wait_until refused
	kill_operator
	wait_until refused
	[ "$("$REEVE" status --output json | jq .status_server)" = null ]
	run ! port_listens "$PORT"
}

@test "... with the same lock and certificate, and none that isn't its own" {
	need openssl
	certificate kept
	mkdir secret
	printf 'kept-token-value' >secret/TOKEN
	QUEUES="secrets: [{name: s, dir: secret}]
env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: s, key: TOKEN}}}]"
	manifest '{listen: "127.0.0.1:'"$PORT"'", token: $(TOKEN), tls: {certificate: cert.pem, key: key.pem}}'
	supervise
	URL() { printf 'https://127.0.0.1:%s%s' "$PORT" "$1"; }
	export CURL_CA_BUNDLE=$PWD/cert.pem
	wait_until ready
	[ "$(stat -c %a run/status.json)" = 600 ]
	run ! grep -rqs kept-token-value "$LOG" run/
	echo 'workers: [' >>reeve.yaml
	wait_until refused
	kill_operator
	wait_until code_is 200 /livez
	wait_until answers -H 'Authorization: Bearer kept-token-value'
	code_is 401 /status
	code_is 401 /status -H 'Authorization: Bearer other'
	code_is 503 /readyz
	[ "$(get /readyz)" = 'not ready' ]
	# a lock that somebody took off
	jq -c '.token = null' run/status.json >changed.json
	mv changed.json run/status.json
	kill_operator
	wait_until refused
	[ "$("$REEVE" status --output json | jq .status_server)" = null ]
	run ! port_listens "$PORT"
}

# --- the page -----------------------------------------------------------------

# page [OPTIONS]: in a real browser; fails on an error of its console.
page() { python3 "$BATS_TEST_DIRNAME/browser.py" "$(URL /)" "$@"; }

@test "the page in a browser: wide, on a phone, dark, without JavaScript; nothing on its console" {
	need chromium python3
	QUEUES="queues: [{name: jobs, kind: redis, list: jobs, url: 'redis://127.0.0.1:$(free_port)/0'}]"
	WORKERS='  - {name: w, command: [sleep, "1000"], replicas: 2}
  - {name: crash, command: [/bin/sh, -c, "exit 3"]}'
	manifest
	supervise
	wait_until value_is 'reeve_worker_replicas_ready{worker="w"}' 2
	wait_until "$REEVE" events crash
	local how
	for how in '' '--width 360' '--dark' '--no-script'; do
		# shellcheck disable=SC2086 # options
		run -0 page $how
		has 'Not ready'
		has '2 of 2 ready'
		has 'exit code 3'
		has 'queue jobs: unknown: '
		has 'nothing listens there'
	done
	# times become ages only with the script
	lacks ' s ago'
	run -0 page --until "document.querySelector('time').textContent.endsWith(' ago')"
	has ' s ago'
}

@test "every text of the page has the contrast of WCAG AA, light and dark" {
	need python3
	run -0 python3 "$BATS_TEST_DIRNAME/contrast.py" "$REEVE_ROOT/supervisor/operator/page/page.css"
}

@test "a page that nobody answers any more says so wherever one looks, and since when" {
	need chromium python3
	manifest
	supervise
	wait_until ready
	# at the end of the page, where its head is out of sight
	page --server-ends --loaded loaded --height 300 --until "
		(window.scrollTo({top: document.body.scrollHeight, behavior: 'instant'}), true) &&
		document.querySelector('h1').getBoundingClientRect().bottom < 0 &&
		document.documentElement.classList.contains('old') &&
		document.getElementById('stale').getBoundingClientRect().top >= 0" >seen &
	local browser=$!
	wait_until test -e loaded
	kill -TERM "$BACKGROUND_PID"
	wait "$browser"
	grep -q 'No answer from reeve (.*) since .*: what is below is old' seen
}

@test "the page follows what happens, and asks again only for what changed" {
	need chromium python3
	manifest
	supervise
	wait_until ready
	get /page.json -D headers >first
	local tag
	tag=$(sed -n 's/^ETag: //Ip' headers | tr -d '\r')
	[ -n "$tag" ]
	# nothing happens: nothing is sent
	unchanged() {
		tag=$(get /page.json -D - -o /dev/null | sed -n 's/^ETag: //Ip' | tr -d '\r')
		[ "$(code /page.json -H "If-None-Match: $tag")" = 304 ]
	}
	wait_until unchanged
	page --loaded loaded --until "document.querySelector('#events').innerText.includes('stopping')" >seen &
	local browser=$!
	wait_until test -e loaded
	run ! grep -q stopping <(get /)
	"$REEVE" restart w/0
	wait "$browser"
}

@test "the page with no workers, and with fifty workers and queues" {
	need chromium python3
	WORKERS='    []' manifest
	sed -i 's/^workers:/workers: []/; /^    \[\]/d' reeve.yaml
	supervise
	wait_until code_is 200 /
	run -0 page
	has 'none is declared'
	WORKERS=$(for i in {1..50}; do printf '  - {name: worker-%s, command: [sleep, "1000"]}\n' "$i"; done)
	QUEUES=queues:$'\n'$(for i in {1..50}; do
		printf "  - {name: queue-%s, kind: sqlite, url: 'sqlite://%s/q.db', queue: q%s}\n" "$i" "$PWD" "$i"
	done)
	stop_servers
	PORT=$(free_port)
	manifest
	supervise
	wait_until value_is 'reeve_worker_replicas_ready{worker="worker-50"}' 1
	run -0 page --width 360
	has queue-50
	has worker-50
}

@test "what a stranger says is text on the page" {
	need chromium python3
	cat >nasty.sh <<-'SH'
	#!/bin/sh
	printf 'STATUS=<img src=x onerror=document.title="broken"><script>document.title="broken"</script>\nREADY=1' |
	    systemd-notify --no-block "STATUS=<img src=x onerror=document.title='broken'>\"'&" READY=1
	exec sleep 1000
	SH
	chmod +x nasty.sh
	WORKERS="  - {name: w, command: [$PWD/nasty.sh], notify: {ready: message}}"
	manifest
	supervise
	wait_until ready
	said() { get / | grep -qF '&lt;img src=x onerror=document.title=&#39;broken&#39;&gt;'; }
	wait_until said
	run -0 page --until 'document.title !== "broken"'
	has "<img src=x onerror=document.title='broken'>"
	run ! grep -F '<img' <(get /)
}

page_says() { get / | grep -q -- "$1"; }

@test "the page's curves outlive the operator; silences and their alerts are on it" {
	start_redis
	redis LPUSH jobs a b c d e f g >/dev/null
	QUEUES="queues: [{name: jobs, kind: redis, url: '$REDIS_URL/0', list: jobs, objectives: {depth: 1, for: 1s}}]" manifest
	supervise
	wait_until -t 60 page_says 'Depth over the last .*most 7'
	wait_until -t 60 page_says 'objective, since'
	"$REEVE" alert silence 'objective:*' --for 1h --reason 'the queue is being moved'
	wait_until -t 60 page_says 'the queue is being moved; until'
	[ "$(value reeve_alerts_silenced)" = 1 ]
	[ "$(value reeve_silences)" = 1 ]
	value_is 'reeve_alert_rules{rule="depth",result="failed"}' 1
	redis DEL jobs >/dev/null
	# what comes after the restart alone never was 7
	wait_until -t 60 in_queue '.waiting == 0'
	local operator
	operator=$("$REEVE" status --output json | jq .operator.pid)
	kill -KILL "$operator"
	wait_until -t 60 page_says 'Depth over the last .*now 0.*most 7'
	[ "$("$REEVE" status --output json | jq .operator.pid)" != "$operator" ]
}
in_queue() { "$REEVE" status --output json | jq -e ".queues[0] | $1"; }
