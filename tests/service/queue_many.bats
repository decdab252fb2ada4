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
