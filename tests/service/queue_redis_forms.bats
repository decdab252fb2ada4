#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2154
# The forms that a Redis comes in: TLS, a socket, Sentinel with a failover, a
# cluster; and queues of one and of a million jobs.

load ../lib
load queue_lib

# start_server NAME [OPTIONS]: sets PORT.
start_server() {
	local name=$1
	shift
	PORT=$(free_port)
	mkdir -p "$BATS_TEST_TMPDIR/$name"
	start_background "$name" redis-server --port "$PORT" --save '' --appendonly no \
	    --dir "$BATS_TEST_TMPDIR/$name" "$@"
	wait_until redis-cli -p "$PORT" PING
}

certificate() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$2" \
	    -addext "subjectAltName=DNS:$2" -keyout "$BATS_TEST_TMPDIR/$1.key" \
	    -out "$BATS_TEST_TMPDIR/$1.crt" 2>/dev/null
}

@test "TLS: the authority that is named, another one, a name that isn't the certificate's" {
	local at=$BATS_TEST_TMPDIR tls
	certificate right localhost
	certificate wrong localhost
	tls=$(free_port)
	start_server plain --tls-port "$tls" --tls-cert-file "$at/right.crt" \
	    --tls-key-file "$at/right.key" --tls-auth-clients no --tls-ca-cert-file "$at/right.crt"
	redis-cli -p "$PORT" LPUSH jobs a b >/dev/null
	run_ls "rediss://localhost:$tls/0?list=jobs&tls.ca=$at/right.crt"
	expect_status 0
	field waiting 2
	run_ls "rediss://localhost:$tls/0?list=jobs&tls.ca=$at/wrong.crt"
	expect_status 3
	field waiting null
	run_ls "rediss://127.0.0.1:$tls/0?list=jobs&tls.ca=$at/right.crt"
	expect_status 3
	field waiting null
	# the reference worker over TLS
	start_worker "rediss://localhost:$tls/0?list=jobs&tls.ca=$at/right.crt"
	wait_until grep -q b "$EFFECTS"
}

@test "a unix socket, and several hosts of which the first is down" {
	start_server one --unixsocket "$BATS_TEST_TMPDIR/redis.sock"
	redis-cli -p "$PORT" LPUSH jobs a >/dev/null
	run_ls "redis+unix://$BATS_TEST_TMPDIR/redis.sock?list=jobs"
	expect_status 0
	field waiting 1
	run_ls "redis://127.0.0.1:$(free_port),127.0.0.1:$PORT/0?list=jobs"
	expect_status 0
	field waiting 1
}

@test "a read-only replica says so" {
	start_server master
	local master=$PORT
	start_server replica --replicaof "127.0.0.1 $master"
	look observe "redis://127.0.0.1:$PORT/0?list=jobs"
	printf '%s\n' "$output" | tail -n 1 | jq -e '.queue.read_only.is == "yes"'
}

@test "Sentinel: the master is found, and found again after a failover" {
	start_server a
	local a=$PORT a_pid=$BACKGROUND_PID
	start_server b --replicaof "127.0.0.1 $a"
	local b=$PORT sentinel
	sentinel=$(free_port)
	cat >"$BATS_TEST_TMPDIR/sentinel.conf" <<-CONF
		port $sentinel
		dir $BATS_TEST_TMPDIR
		sentinel monitor jobs-master 127.0.0.1 $a 1
		sentinel down-after-milliseconds jobs-master 1000
		sentinel failover-timeout jobs-master 5000
	CONF
	start_background sentinel redis-server "$BATS_TEST_TMPDIR/sentinel.conf" --sentinel
	wait_until redis-cli -p "$sentinel" PING
	redis-cli -p "$a" LPUSH jobs x y >/dev/null
	wait_until holds "$b" 2
	wait_until sentinel_knows_replica
	local dead
	dead=$(free_port)
	URL="redis+sentinel://127.0.0.1:$dead,127.0.0.1:$sentinel/0?master=jobs-master&list=jobs"
	run_ls "$URL"
	expect_status 0
	field waiting 2
	run_ls "${URL/jobs-master/other-master}"
	expect_status 3
	has "knows no master 'other-master'"
	kill -KILL "$a_pid"
	wait_until -t 60 found_at "$b"
	run_ls "$URL"
	field waiting 2
	field server.read_only.is False
}

holds() {
	[ "$(redis-cli -p "$1" LLEN jobs)" = "$2" ]
}

sentinel_knows_replica() {
	redis-cli -p "$sentinel" SENTINEL replicas jobs-master | grep -q "127.0.0.1:$b"
}

found_at() {
	run_ls "$URL" && [ "$status" -eq 0 ] &&
	    redis-cli -p "$1" ROLE | grep -q master
}

@test "a cluster of three: any node leads to every queue" {
	local nodes=() i
	for i in 1 2 3; do
		start_server "node$i" --cluster-enabled yes --cluster-node-timeout 5000 \
		    --cluster-config-file nodes.conf
		nodes+=("127.0.0.1:$PORT")
	done
	redis-cli --cluster create "${nodes[@]}" --cluster-yes >/dev/null
	wait_until cluster_is_up
	for i in 1 2 3 4 5 6; do
		redis-cli -c -p "$PORT" LPUSH "queue$i" a b c >/dev/null
		run_ls "redis://${nodes[0]}/0?list=queue$i"
		expect_status 0
		field waiting 3
	done
	# all keys of a queue lie together where its prefix is a hash tag
	redis-cli -c -p "$PORT" LPUSH '{jobs}' one >/dev/null
	start_worker "redis://${nodes[0]}/0?list=%7Bjobs%7D"
	wait_until grep -q one "$EFFECTS"
	redis-cli -c -p "$PORT" LPUSH '{jobs}' two >/dev/null
	wait_until grep -q two "$EFFECTS"
}

cluster_is_up() {
	redis-cli -p "$PORT" CLUSTER INFO | grep -q cluster_state:ok
}

@test "a million jobs take the server as long as one" {
	start_server big
	redis-cli -p "$PORT" EVAL "for i=1,1000000 do redis.call('LPUSH',KEYS[1],'{\"n\":'..i..'}') end" 1 jobs >/dev/null
	redis-cli -p "$PORT" EVAL "for i=1,1000000 do redis.call('LPUSH',KEYS[1],i) end for i=1,1000000 do redis.call('ZADD',KEYS[2],i,i) end" \
	    2 bull:big:wait bull:big:failed >/dev/null
	redis-cli -p "$PORT" LPUSH one '{"n":1}' >/dev/null
	redis-cli -p "$PORT" LPUSH bull:small:wait 1 >/dev/null
	local url=redis://127.0.0.1:$PORT/0
	run_ls "$url?list=jobs"
	field waiting 1000000
	run_ls "bullmq+$url?queue=big"
	field waiting 1000000
	field failed 1000000
	same_cost "$url?list=one" "$url?list=jobs"
	same_cost "bullmq+$url?queue=small" "bullmq+$url?queue=big"
}

# cost URL: µs within the server for twenty looks, the logins left out; the
# smallest of three tries.
cost() {
	local best='' now
	for _ in 1 2 3; do
		redis-cli -p "$PORT" CONFIG RESETSTAT >/dev/null
		python3 -c '
import json, sys
for i in range(20):
    print(json.dumps({"kind": "queue", "subject": "q", "url": sys.argv[1]}))
' "$1" | "$REEVE_TOOL" probe >/dev/null
		now=$(redis-cli -p "$PORT" INFO commandstats | tr -d '\r' |
		    awk -F'[:=,]' '/cmdstat_/ && !/info|client|config|command/ { s += $5 } END { print s + 0 }')
		[ -n "$best" ] && [ "$best" -le "$now" ] || best=$now
	done
	printf '%s\n' "$best"
}

same_cost() {
	local small big
	small=$(cost "$1")
	big=$(cost "$2")
	echo "µs for one: $small, for a million: $big"
	[ "$small" -gt 0 ]
	[ "$big" -le $((2 * small + 200)) ]
}
