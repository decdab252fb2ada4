#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2154
# A thousand queues of one Redis are looked at in one pass; a queue of a million
# jobs takes as long as one of one.

load ../lib
load queue_lib

setup_file() {
	start_redis
}

setup() {
	redis FLUSHALL >/dev/null
	redis CONFIG RESETSTAT >/dev/null
}

# One line that asks for the queues list0 … of both kinds.
many() {
	python3 - "$REDIS_URL/0" "$1" <<'PY'
import json, sys
ask = []
for i in range(int(sys.argv[2])):
    kind, key = (("redis", "list"), ("bullmq", "queue"))[i % 2]
    ask.append({"kind": "queue", "subject": f"q{i}", "timeout_ms": 60000,
        "queueKind": kind, "url": sys.argv[1], "options": {key: f"name{i}"}})
print(json.dumps(ask))
PY
}

calls() {
	redis INFO commandstats | sed -n "s/^cmdstat_$1:calls=\([0-9]*\),.*/\1/p"
}

# How often the prober went from writing to its server to reading from it.
round_trips() {
	awk '/(sendto|sendmsg|write)\(/ { wrote = 1 }
	    /(recvfrom|recvmsg|read)\(/ && wrote && / = [1-9]/ { n++; wrote = 0 }
	    END { print n + 0 }' "$1"
}

@test "a thousand queues: one login, three round trips, each server-wide question once" {
	redis LPUSH name0 a b c >/dev/null
	redis LPUSH bull:name999:wait 1 2 >/dev/null
	many 1000 >"$BATS_TEST_TMPDIR/request"
	strace -f -o "$BATS_TEST_TMPDIR/trace" -yy -e trace=sendto,recvfrom,sendmsg,recvmsg,read,write \
	    "$REEVE_TOOL" probe <"$BATS_TEST_TMPDIR/request" >"$BATS_TEST_TMPDIR/answers"
	grep -v '"progress"' "$BATS_TEST_TMPDIR/answers" >"$BATS_TEST_TMPDIR/verdicts"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/verdicts")" -eq 1000 ]
	command jq -es 'all(.[]; .result == "passed") and .[0].queue.waiting.value == 3 and
	    .[999].queue.waiting.value == 2 and .[1].queue.waiting.value == 0 and
	    [.[].subject] == [range(1000) | "q\(.)"]' "$BATS_TEST_TMPDIR/verdicts"
	grep ":$REDIS_PORT" "$BATS_TEST_TMPDIR/trace" >"$BATS_TEST_TMPDIR/redis.trace"
	trips=$(round_trips "$BATS_TEST_TMPDIR/redis.trace")
	echo "round trips: $trips"
	# PING and CLIENT SETNAME of the login, and two of the pass
	[ "$trips" -ge 2 ]
	[ "$trips" -le 6 ]
	[ "$(calls time)" = 1 ]
	[ "$(calls 'client|list')" = 1 ]
	[ "$(redis INFO stats | sed -n 's/^total_connections_received://p' | tr -d '\r')" -le 8 ]
}

# A manifest with that many queues on the Redis of the tests, of two kinds, and
# the lines given.
manifest_of() {
	local count=$1 i
	shift
	printf '%s\n' 'apiVersion: reeve/v1' 'name: many' 'workers: []' 'queues:'
	for ((i = 0; i < count; i++)); do
		if ((i % 2 == 0)); then
			echo "  - {name: q$i, kind: redis, url: '$REDIS_URL/0', list: 'name$i'}"
		else
			echo "  - {name: q$i, kind: bullmq, url: '$REDIS_URL/0', queue: 'name$i'}"
		fi
	done
	[ $# -eq 0 ] || printf '%s\n' "$@"
}

# Logins that it took since the last reset, that of `redis` included.
logins() {
	redis INFO stats | sed -n 's/^total_connections_received:\([0-9]*\).*/\1/p'
}

@test "queue ls of a thousand queues: one prober, near names in shared passes" {
	redis LPUSH name0 a b c >/dev/null
	redis LPUSH name-998 x >/dev/null
	redis HSET bull:Name999:meta paused 0 >/dev/null
	manifest_of 1000 >"$BATS_TEST_TMPDIR/reeve.yaml"
	redis CONFIG RESETSTAT >/dev/null
	run_ls -f "$BATS_TEST_TMPDIR/reeve.yaml"
	[ "$status" -eq 0 ]
	command jq -e '(.queues | length) == 1000 and all(.queues[]; .error == null) and
	    .queues[0].waiting == 3 and
	    (.queues[998].near | any(.name == "name-998" and .waiting == 1)) and
	    (.queues[999].near | any(.name == "Name999"))' <<<"$output"
	[ "$(logins)" -le 4 ]
	# the keys were gone through once for each kind, not for each queue
	[ "$(calls scan)" -le 4 ]
	[ "$(calls 'client|list')" = 1 ]
}

@test "gate: an endpoint that hangs takes one prober, and delays no other" {
	local port
	port=$(free_port)
	start_background silent python3 "$BATS_TEST_DIRNAME/silent.py" "$port" silent
	wait_until port_listens "$port"
	{
		manifest_of 0
		for i in $(seq 12); do
			echo "  - {name: s$i, kind: redis, url: 'redis://127.0.0.1:$port/0', list: 'x$i'}"
		done
		manifest_of 6 | sed -n '/- {name/p'
	} >"$BATS_TEST_TMPDIR/reeve.yaml"
	redis CONFIG RESETSTAT >/dev/null
	run --separate-stderr "$REEVE_TOOL" queue ls -f "$BATS_TEST_TMPDIR/reeve.yaml" \
	    --jobs 2 --output json
	echo "$output"
	# all twelve say what the first one met, the others are told
	command jq -e '[.queues[] | select(.name | startswith("s")) | .error] |
	    length == 12 and all(test("answers nothing"))' <<<"$output"
	command jq -e '[.queues[] | select(.name | startswith("q"))] |
	    length == 6 and all(.error == null)' <<<"$output"
	[ "$(logins)" -le 3 ]
}

@test "one that can't be looked at says so, the others are answered" {
	redis SET name2 x >/dev/null
	redis LPUSH name4 a >/dev/null
	run "$REEVE_TOOL" probe < <(many 6)
	[ "$(printf '%s\n' "$output" | grep -v '"progress"' | command jq -r .result | tr '\n' ' ')" = \
	    'passed passed failed passed passed passed ' ]
	has 'is a string, not a list'
	run "$REEVE_TOOL" probe < <(printf '[{"kind":"nothing","subject":"a"},7,{}]\n')
	[ "$(printf '%s\n' "$output" | grep -vc '"progress"')" -eq 3 ]
}

@test "a server that closes between two passes is asked again" {
	mkfifo "$BATS_TEST_TMPDIR/in"
	"$REEVE_TOOL" probe <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- 4>&- &
	remember $!
	exec 7>"$BATS_TEST_TMPDIR/in"
	many 4 >&7
	wait_until verdicts_are 4
	redis CLIENT KILL TYPE normal >/dev/null
	many 4 >&7
	wait_until verdicts_are 8
	[ "$(grep -c '"result":"passed"' "$BATS_TEST_TMPDIR/out")" -ge 8 ]
	exec 7>&-
}

verdicts_are() {
	[ "$(grep -vc '"progress"' "$BATS_TEST_TMPDIR/out")" -eq "$1" ]
}
