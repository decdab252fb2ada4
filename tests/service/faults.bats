#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016
# What the operator does beside things that are broken: a prober that is stopped,
# a server whose packets go nowhere, a disk that is full, a clock that jumps.
# What isn't known is said to be unknown, everything else goes on, and when the
# fault is over so is what was said of it.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	need python3 jq curl
	cd "$BATS_TEST_TMPDIR" || return
	mkdir run
	export REEVE_SOCKET=$PWD/run
	WORLD=()
	python3 - <<-'PY'
	import sqlite3
	with sqlite3.connect("near.db") as db:
	    db.execute("CREATE TABLE docs(id INTEGER PRIMARY KEY, status TEXT)")
	PY
}

# manifest REDIS-URL [MORE]: a queue that will be in trouble, and one that won't.
manifest() {
	PORT=$(free_port)
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: fa
	supervisor: {status: {listen: '127.0.0.1:$PORT'}, observe: {every: 1s}}
	queues:
	  - {name: far, kind: redis, url: '$1/0', list: jobs}
	  - {name: near, kind: sqlitetable, url: 'file://$PWD/near.db', table: docs, id: id, status: status}
	workers:
	  - name: w
	    command: [/bin/sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.1; done']
	    replicas: 2
	    terminationGracePeriodSeconds: 5
	    env: [{name: LABEL, value: '${LABEL:-a}'}]
	    restart: {backoff: {first: 100ms, cap: 1s}, startLimit: off}
	${2:-}
	YAML
}
# world COMMAND…: where the supervisor is.
world() { "${WORLD[@]}" "$@"; }
status() { world "$REEVE" status --output json; }
page() { world curl -sS --max-time 10 "http://127.0.0.1:$PORT/"; }
page_has() { grep -qF "$1" <<<"$(page)"; }
# A queue on the page, alone: the word "unknown" is elsewhere on it too.
card() { page | tr -d '\n' | sed -n "s/.*\(<h3>$1 <span\)/\1/; T; s/<\/article>.*//p"; }
card_says() { grep -qF -- "$2" <<<"$(card "$1")"; }
# What isn't known: said to be so, with why, and without any number.
page_unknown() {
	card_says "$1" '>unknown</span>' && card_says "$1" "$2" && ! card_says "$1" '<dt>'
}
page_known() { card_says "$1" '>seen</span>' && card_says "$1" '<dt>depth</dt>'; }
near_at() { status | jq '.queues[] | select(.name == "near") | .at_ms // 0'; }
far() { in_status ".queues[] | select(.name == \"far\") | $1"; }
far_known() { far '.waiting != null and .error == null'; }
far_unknown() { far '.waiting == null and .error != null and .consumers == null'; }
both_ready() { in_status '.workers[0].ready == 2'; }
# Everything else: the other queue is looked at, a worker that dies is started
# again, an order is done, the page and status answer.
goes_on() {
	local before
	before=$(near_at)
	wait_until -t 60 newer_look "$before"
	KILLED=$(status | jq '.workers[0].instances[0].pid')
	kill -KILL "$KILLED"
	wait_until -t 60 another_process "$KILLED"
	world "$REEVE" scale w 3
	wait_until -t 60 in_status '.workers[0].ready == 3'
	world "$REEVE" scale w 2
	wait_until -t 60 in_status '.workers[0].desired == 2 and .workers[0].ready == 2'
}
newer_look() { [ "$(near_at)" != "$1" ] && in_status '.queues[] | select(.name == "near") | .error == null'; }
another_process() {
	in_status '.workers[0].ready == 2' &&
	    in_status ".workers[0].instances[0].pid as \$pid | \$pid != null and \$pid != $1"
}
# The prober that speaks TCP.
redis_prober() {
	local pid
	for pid in $(pgrep -P "$(operator_pid)"); do
		if find "/proc/$pid/fd" -lname 'socket:*' 2>/dev/null | grep -q .; then
			echo "$pid"
			return
		fi
	done
	return 1
}

# COMMAND, while whoever looks at Redis is stopped: the next prober would know the
# queue again before the second question.
while_stopped() {
	local pid
	pid=$(redis_prober) && kill -STOP "$pid"
	"$@"
}

@test "a prober that is stopped: its queue is unknown, then known by another one" {
	need redis-server pgrep
	start_redis
	manifest "$REDIS_URL"
	start_background reeve "$REEVE" run -f reeve.yaml
	wait_until -t 60 both_ready
	wait_until far_known
	wait_until redis_prober
	local prober
	prober=$(redis_prober)
	kill -STOP "$prober"
	wait_until -t 60 while_stopped far \
	    '.waiting == null and .consumers == null and (.error // "" | contains("prober was killed"))'
	wait_until -t 60 while_stopped page_unknown far 'prober was killed'
	wait_until page_known near
	goes_on
	wait_until -t 60 far_known
	wait_until page_known far
	run ! kill -0 "$prober"
	[ "$(redis_prober)" != "$prober" ]
}

# A network of its own, with a server at 10.99.0.2: while nobody has that address
# any more, what is sent there goes nowhere, as behind a firewall that drops.
network() {
	start_background reeve unshare -n sh -c "
		ip link set lo up && ip link add v0 type veth peer name v1 &&
		ip addr add 10.99.0.1/24 dev v0 && ip addr add 10.99.0.2/24 dev v0 &&
		ip link set v0 up && ip link set v1 up &&
		ip neigh add 10.99.0.2 lladdr 02:00:00:00:00:02 dev v0 &&
		exec '$REEVE' run -f reeve.yaml"
	WORLD=(nsenter -t "$BACKGROUND_PID" -n)
}
answers_here() { world redis-cli -h 10.99.0.2 ping; }

@test "a Redis that swallows packets: unknown with a reason, the rest goes on, and over when it answers" {
	need redis-server redis-cli ip unshare nsenter
	manifest redis://10.99.0.2:6379
	network
	wait_until -t 60 both_ready
	# nobody listens there yet: refused is known at once
	wait_until -t 60 far_unknown
	start_background redis "${WORLD[@]}" redis-server --bind 10.99.0.2 \
	    --port 6379 --save '' --protected-mode no --dir "$PWD"
	wait_until -t 60 answers_here
	wait_until -t 90 far_known
	world ip addr del 10.99.0.2/24 dev v0
	wait_until -t 90 far_unknown
	local before
	before=$(status | jq -r '.queues[] | select(.name == "far") | .error')
	wait_until page_unknown far 'last looked at'
	page_known near
	goes_on
	# as long as it lasts no old number is shown as if it were true
	far_unknown
	echo "# swallowed: $before"
	world ip addr add 10.99.0.2/24 dev v0
	# it is asked less often, but at least once a minute
	wait_until -t 120 far_known
	wait_until page_known far
}

recorder() {
	HOOK=$(free_port)
	start_background recorder python3 "$BATS_TEST_DIRNAME/recorder.py" "$HOOK" "$PWD/got"
	wait_until port_listens "$HOOK"
}
got() { jq -es "map(\"\\(.kind) \\(.state)\") | index(\"$1\") != null" got; }
# disk: the state directory on a small disk of its own, in a world of its own.
# Entered by its absolute path: a working directory of the other world would
# lead to the real disk.
disk() {
	start_background reeve unshare -m --propagation private sh -c "
		mount -t tmpfs -o size=2m none '$PWD/run' && exec '$REEVE' run -f '$PWD/reeve.yaml'"
	WORLD=(nsenter -t "$BACKGROUND_PID" -m)
	wait_until world test -S "$PWD/run/operator.sock"
	[ "$(world stat -f -c %T "$PWD/run")" = tmpfs ]
}
# Never more than that disk holds, whatever is there by mistake.
fill() {
	[ "$(world stat -f -c %T "$PWD/run")" = tmpfs ]
	run world dd if=/dev/zero of="$PWD/run/filler" bs=64k count=64
	expect_status 1
	has 'No space left'
}

# Both troubles end as they began, by FUNCTION; WHY is what people are told.
disk_in_trouble() {
	local begin=$1 end=$2 why=$3
	wait_until -t 60 both_ready
	in_status '.operator.spool == "disk" and .operator.history_trouble == null'
	# a receiver that is away, so that something waits
	echo 503 >got.code
	"$begin"
	LABEL=b manifest_again
	wait_until -t 60 in_status '.alerts[] | select(.kind == "drift")'
	wait_until -t 60 in_status ".operator.spool == \"memory\" and (.operator.spool_trouble | test(\"$why\"))"
	wait_until -t 60 in_status '.operator.history_trouble != null'
	page_has 'Alerts that wait are in memory only'
	page_has 'The history isn'
	run world "$REEVE" status
	has 'alerts that wait are in memory only'
	goes_on
	# it is delivered out of memory
	rm got.code
	wait_until -t 90 got 'drift raised'
	echo 503 >got.code
	world "$REEVE" restart w
	wait_until -t 90 in_status '[.alerts[] | select(.kind == "drift")] == []'
	# mended: what waits is on disk, and outlives the operator
	"$end"
	wait_until -t 60 in_status '.operator.spool == "disk" and .operator.spool_trouble == null'
	wait_until -t 60 in_status '.operator.history_trouble == null'
	wait_until -t 60 gap_told
	# who ended meanwhile is told by the init once more, and kept once
	wait_until -t 60 end_kept
	kill -KILL "$(operator_pid)"
	wait_until -t 60 in_status '.operator.state == "running"'
	rm got.code
	wait_until -t 90 got 'drift resolved'
	[ "$(jq -s '[.[] | select(.kind == "drift")] | length' got)" = 2 ]
}
end_kept() {
	world "$REEVE" events --tail 10000 --output json |
	    jq -es "map(select(.kind == \"exited\" and .pid == $KILLED)) | length == 1"
}
empty() { world rm "$PWD/run/filler"; }

@test "a disk that is full: alerts still go out, status says what isn't kept, and what waits is written when there is room" {
	need redis-server unshare nsenter
	start_redis
	recorder
	HOOK_ALERTS="alerts: [{name: hook, webhook: {url: 'http://127.0.0.1:$HOOK/in'}}]"
	manifest "$REDIS_URL" "$HOOK_ALERTS"
	disk
	disk_in_trouble fill empty 'No space left|no space left'
}

# What writes to a failing disk get: SQLite writes by pwrite64, the spool waits
# for its fsync. Nothing else of the operator does either.
fail_writes() {
	start_background strace strace -qq -o "$PWD/trace" -e trace=pwrite64,fsync \
	    -e inject=pwrite64,fsync:error=EIO -p "$(operator_pid)"
	TRACER=("$BACKGROUND_PID" "$(start_time "$BACKGROUND_PID")")
	wait_until test -s trace
}
mend_writes() {
	kill -TERM "${TRACER[0]}"
	wait_until gone "${TRACER[@]}"
}

@test "a disk whose writes fail: the same as one that is full" {
	need redis-server strace
	start_redis
	recorder
	HOOK_ALERTS="alerts: [{name: hook, webhook: {url: 'http://127.0.0.1:$HOOK/in'}}]"
	manifest "$REDIS_URL" "$HOOK_ALERTS"
	start_background reeve "$REEVE" run -f reeve.yaml
	disk_in_trouble fail_writes mend_writes 'Input/output error|input/output error'
	grep -q 'pwrite64.*EIO.*INJECTED' trace
	grep -q 'fsync.*EIO.*INJECTED' trace
	# what was there before is sound
	"$REEVE" events | grep -q 'started, pid'
	run ! test -e run/history.db.unusable
}
manifest_again() {
	local port=$PORT
	manifest "$REDIS_URL" "$HOOK_ALERTS"
	sed -i "s/127.0.0.1:$PORT'}, observe/127.0.0.1:$port'}, observe/" reeve.yaml
	PORT=$port
}
gap_told() { world "$REEVE" events | grep -q 'history could not be written since'; }

@test "an operator that starts on a full disk sets nothing aside, and keeps again when there is room" {
	need redis-server unshare nsenter
	start_redis
	manifest "$REDIS_URL"
	disk
	wait_until -t 60 both_ready
	wait_until -t 60 in_status '.operator.state == "running"'
	local operator
	operator=$(operator_pid)
	fill
	kill -KILL "$operator"
	wait_until -t 60 in_status ".operator.state == \"running\" and .operator.pid != $operator"
	goes_on
	world test -e "$PWD/run/history.db"
	run ! world test -e "$PWD/run/history.db.unusable"
	world rm "$PWD/run/filler"
	operator=$(operator_pid)
	kill -KILL "$operator"
	wait_until -t 60 in_status ".operator.state == \"running\" and .operator.pid != $operator"
	wait_until -t 60 in_status '.operator.history_trouble == null'
	# what was before is still there
	world "$REEVE" events | grep -q 'started, pid'
}

# jump SECONDS: the operator's wall clock from now on; the init's and the workers'
# stays, and so does everybody's monotonic clock.
jump() { printf '%s' "$1" >clock.new && mv clock.new clock; }
FAKETIME_SO() { find /usr/lib -name libfaketimeMT.so.1 -print -quit; }

@test "a clock that jumps: stamps follow, intervals don't, nothing is restarted, raised or over" {
	need redis-server
	local so before restarts
	so=$(FAKETIME_SO)
	[ -n "$so" ] || need libfaketimeMT.so.1
	start_redis
	recorder
	manifest "$REDIS_URL" "alerts: [{name: hook, webhook: {url: 'http://127.0.0.1:$HOOK/in'}}]"
	jump +0
	# the init is static: only the operator and its children see it
	LD_PRELOAD=$so FAKETIME_TIMESTAMP_FILE=$PWD/clock FAKETIME_NO_CACHE=1 \
	    FAKETIME_DONT_FAKE_MONOTONIC=1 start_background reeve "$REEVE" run -f reeve.yaml
	wait_until -t 60 both_ready
	wait_until far_known
	"$REEVE" alert silence 'nobody' --for 2h --reason 'so that there is one'
	restarts=$(pids)
	for by in +86400 -86400 +0; do
		jump "$by"
		before=$(near_at)
		# looks go on by the other clock, and carry the new stamp
		wait_until -t 60 stamped "$by"
		wait_until -t 60 newer_look "$before"
		far_known
		page_known far
		page_known near
		both_ready
		in_status '[.alerts[] | select(.state == "raised")] == []'
		in_status '.silences | length == 1'
	done
	[ "$(pids)" = "$restarts" ]
	in_status '.operator.restarts == 0'
	[ ! -s got ]
}
pids() { status | jq -c '[.workers[0].instances[].pid]'; }
# stamped SECONDS: the last look's stamp is the true time moved by so much.
stamped() {
	local at
	at=$(($(near_at) / 1000))
	(( at - $(date +%s) - $1 < 60 && $(date +%s) + $1 - at < 60 ))
}
