#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2154
# The forms that a Redis comes in: TLS, a socket, Sentinel with a failover, a
# cluster; and queues of one and of a million jobs.

load ../lib
load queue_lib

# start_server NAME [OPTIONS]: sets PORT. A cluster's node needs a second port,
# PORT + 10000, which somebody may have.
start_server() {
	local name=$1 try
	shift
	for try in 1 2 3; do
		PORT=$(free_port)
		mkdir -p "$BATS_TEST_TMPDIR/$name.$try"
		start_background "$name" redis-server --port "$PORT" --save '' --appendonly no \
		    --dir "$BATS_TEST_TMPDIR/$name.$try" "$@"
		wait_until ended_or_answers "$BACKGROUND_PID" "$PORT"
		! redis-cli -p "$PORT" PING >/dev/null 2>&1 || return 0
		cat "$BACKGROUND_LOG" >&2
	done
	return 1
}

ended_or_answers() {
	[[ "$(ps -o stat= -p "$1")" != [RSD]* ]] || redis-cli -p "$2" PING
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
	local b=$PORT
	start_sentinel "$a"
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

# start_sentinel PORT: of the master there; sets sentinel.
start_sentinel() {
	sentinel=$(free_port)
	cat >"$BATS_TEST_TMPDIR/sentinel.conf" <<-CONF
		port $sentinel
		dir $BATS_TEST_TMPDIR
		sentinel monitor jobs-master 127.0.0.1 $1 1
		sentinel down-after-milliseconds jobs-master 1000
		sentinel failover-timeout jobs-master 5000
	CONF
	start_background sentinel redis-server "$BATS_TEST_TMPDIR/sentinel.conf" --sentinel
	wait_until redis-cli -p "$sentinel" PING
}

# push PORT JOB…: each is on the replica too, or the test knows nothing of it.
push() {
	local port=$1 job
	shift
	for job; do
		printf '%s\n' "LPUSH jobs $job" 'WAIT 1 30000' |
		    redis-cli -p "$port" | tail -n 1 | grep -qx 1
	done
}

# By order: not before the sentinel has had an answer of the replica.
failover() {
	[ "$(redis-cli -p "$sentinel" SENTINEL failover jobs-master)" = OK ]
}

took_all() {
	local job
	for job; do grep -qx "$job" "$EFFECTS" || return 1; done
}

nothing_left() {
	[ "$(redis-cli -p "$1" EXISTS jobs jobs:processing)" = 0 ]
}

@test "Sentinel: a worker goes on when its master is replaced, and when it is killed; nothing is lost" {
	start_server a
	local a=$PORT
	start_server b --replicaof "127.0.0.1 $a"
	local b=$PORT b_pid=$BACKGROUND_PID
	start_sentinel "$a"
	wait_until sentinel_knows_replica
	start_worker "redis+sentinel://127.0.0.1:$sentinel/0?master=jobs-master&list=jobs" --lease 10s
	push "$a" one two block-three
	wait_until took_all one two
	wait_until grep -q block-three "$EFFECTS.tries"
	# its master becomes a replica while it has a job in hand
	wait_until failover
	wait_until -t 120 is_master "$b"
	wait_until -t 120 replica_of "$a" "$b"
	release_blocked
	push "$b" four five
	wait_until -t 120 took_all block-three four five
	rm "$EFFECTS.go"
	# the new one dies, again with a job in hand and one that waits
	push "$b" block-six seven
	wait_until -t 60 grep -q block-six "$EFFECTS.tries"
	kill -KILL "$b_pid"
	release_blocked
	wait_until -t 120 is_master "$a"
	redis-cli -p "$a" LPUSH jobs eight
	wait_until -t 120 took_all block-six seven eight
	wait_until -t 60 nothing_left "$a"
	kill -0 "$WORKER_PID"
}

is_master() {
	redis-cli -p "$1" ROLE | grep -qx master
}

# replica_of REPLICA MASTER: it has all that its master has.
replica_of() {
	redis-cli -p "$1" INFO replication | tr -d '\r' |
	    grep -qx "master_port:$2" &&
	    redis-cli -p "$1" INFO replication | grep -q master_link_status:up
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

# start_cluster: sets nodes, and PORT of the last.
start_cluster() {
	local i
	nodes=()
	for i in 1 2 3; do
		start_server "node$i" --cluster-enabled yes --cluster-node-timeout 5000 \
		    --cluster-config-file nodes.conf
		nodes+=("127.0.0.1:$PORT")
	done
	redis-cli --cluster create "${nodes[@]}" --cluster-yes >/dev/null
	wait_until cluster_is_up
}

@test "a cluster of three: any node leads to every queue, near names come from all" {
	local nodes i
	start_cluster
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
	# none of these is a name that could be guessed: every node is looked through
	for i in 1 2 3 4 5 6; do
		redis-cli -c -p "$PORT" LPUSH "fileproce$i" a >/dev/null
	done
	for i in 0 1 2; do
		[ "$(redis-cli -p "${nodes[i]##*:}" DBSIZE)" -gt 0 ]
	done
	run_ls "redis://${nodes[0]}/0?list=fileprocess"
	jq -e '[.queues[0].near[] | select(.name | test("^fileproce[1-6]$")) | .waiting] ==
	    [1, 1, 1, 1, 1, 1]' <<<"$output"
}

# on NODE COMMAND…: of the cluster.
on() {
	redis-cli -h "${1%:*}" -p "${1#*:}" "${@:2}"
}

# migrate KEY FROM TO: one key of a slot that is on its way.
migrate() {
	on "$2" MIGRATE "${3%:*}" "${3#*:}" "$1" 0 20000 | grep -qx OK
}

@test "a slot on its way from node to node: nothing is half moved, and then it is, once" {
	local nodes slot from to node job
	start_cluster
	slot=$(on "${nodes[0]}" CLUSTER KEYSLOT jobs)
	for node in "${nodes[@]}"; do
		if on "$node" LPUSH '{jobs}' first | grep -qx 1; then from=$node; else to=$node; fi
	done
	for job in one two three; do on "$from" LPUSH '{jobs}:dead' "$job"; done
	URL="redis://$to/0?list=%7Bjobs%7D&dlq=%7Bjobs%7D:dead"
	requeue() {
		run --separate-stderr "$REEVE_TOOL" queue requeue "$URL" --yes --log "$(test_dir)/moves" --output json
	}
	on "$to" CLUSTER SETSLOT "$slot" IMPORTING "$(on "$from" CLUSTER MYID)"
	on "$from" CLUSTER SETSLOT "$slot" MIGRATING "$(on "$to" CLUSTER MYID)"
	# its dead letters are there already, what waits is here still
	migrate '{jobs}:dead' "$from" "$to"
	requeue
	expect_status 3
	jq -e '.outcome != "moved" and .moved == null' <<<"$output"
	has TRYAGAIN
	[ "$(on "$from" LRANGE '{jobs}' 0 -1)" = first ]
	[ "$(printf '%s\n' ASKING 'LRANGE {jobs}:dead 0 -1' | on "$to" | tail -n 3 | paste -sd' ')" = 'three two one' ]
	# all of it is there, and the slot still the other's
	migrate '{jobs}' "$from" "$to"
	requeue
	expect_status 0
	jq -e '.outcome == "moved" and (.moved | length) == 3' <<<"$output"
	for node in "$to" "$from"; do on "$node" CLUSTER SETSLOT "$slot" NODE "$(on "$to" CLUSTER MYID)"; done
	# and a node that is asked and isn't its any more
	URL=${URL/$to/$from}
	on "$to" LPUSH '{jobs}:dead' four
	requeue
	expect_status 0
	[ "$(on "$to" LRANGE '{jobs}' 0 -1 | sort | paste -sd' ')" = 'first four one three two' ]
	[ "$(on "$to" EXISTS '{jobs}:dead')" = 0 ]
}

@test "Sentinel: a move whose master was replaced goes to the new one, and is made once" {
	start_server a
	local a=$PORT
	start_server b --replicaof "127.0.0.1 $a"
	local b=$PORT
	start_sentinel "$a"
	wait_until sentinel_knows_replica
	redis-cli -p "$a" LPUSH jobs:dead one two three
	wait_until replica_of "$b" "$a"
	# the server that is asked for by its own address takes nothing any more
	wait_until failover
	wait_until -t 120 is_master "$b"
	wait_until -t 120 replica_of "$a" "$b"
	run "$REEVE_TOOL" queue requeue "redis://127.0.0.1:$a/0?list=jobs&dlq=jobs:dead" --yes --log "$(test_dir)/moves"
	[ "$status" -ne 0 ]
	has READONLY
	[ "$(redis-cli -p "$b" LLEN jobs:dead)" = 3 ]
	run "$REEVE_TOOL" queue requeue "redis+sentinel://127.0.0.1:$sentinel/0?master=jobs-master&list=jobs&dlq=jobs:dead" \
	    --yes --log "$(test_dir)/moves"
	expect_status 0
	holds "$b" 3
	[ "$(redis-cli -p "$b" EXISTS jobs:dead)" = 0 ]
}

lib() {
	REDIS_CLUSTER=1 REDIS_PREFIX='{bull}' node "$NODE_DIR/bull.js" bullmq5 \
	    "redis://${nodes[0]}/0" fileprocess "$@"
}

@test "BullMQ on a cluster, its prefix a hash tag: counts, a canary through its worker, a near name" {
	local nodes url theirs
	node_packages
	start_cluster
	url="bullmq+redis://${nodes[1]}/0?prefix=%7Bbull%7D&queue=fileprocess"
	lib add '[{"data":{}},{"data":{}},{"data":{},"opts":{"delay":3600000}},{"data":{"fail":true}}]'
	run_ls "$url"
	expect_status 0
	field waiting 3
	field delayed 1
	run_ls "${url%ess}es"
	has '"name": "fileprocess"'
	start_background bull.worker env REDIS_CLUSTER=1 REDIS_PREFIX='{bull}' \
	    node "$NODE_DIR/bull.js" bullmq5 "redis://${nodes[0]}/0" fileprocess work
	wait_until -t 60 grep -q '^failed' "$BACKGROUND_LOG"
	wait_until -t 60 bull_is_empty
	theirs=$(lib counts)
	run_ls "$url"
	field failed "$(jq .failed <<<"$theirs")"
	field completed "$(jq .completed <<<"$theirs")"
	look submit "$url" '{"echo":"$(CANARY)"}'
	RECEIPT=$(fact receipt)
	export RECEIPT
	wait_until -t 60 canary_done "$url" '{"echo":"$(CANARY)"}'
}

bull_is_empty() {
	[ "$(lib counts | jq '.waiting + .active')" = 0 ]
}

canary_done() {
	look follow "$@"
	[ "$(fact "done")" = yes ]
}

# Each node finds that out for itself.
cluster_is_up() {
	local node
	for node in "${nodes[@]}"; do
		redis-cli -p "${node##*:}" CLUSTER INFO | grep -q cluster_state:ok || return 1
	done
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

# cost URL: µs within the server for twenty looks, the logins left out.
cost() {
	redis-cli -p "$PORT" CONFIG RESETSTAT >/dev/null
	python3 -c '
import json, sys
for i in range(20):
    print(json.dumps({"kind": "queue", "subject": "q", "url": sys.argv[1]}))
' "$1" | "$REEVE_TOOL" probe >/dev/null
	redis-cli -p "$PORT" INFO commandstats | tr -d '\r' |
	    awk -F'[:=,]' '/cmdstat_/ && !/info|client|config|command/ { s += $5 } END { print s + 0 }'
}

# The server is measured by the clock, and may be held up in any of its commands:
# what it costs is the least of many tries, of which few will do.
same_cost() {
	local small=0 big=0 now
	for _ in {1..30}; do
		now=$(cost "$1")
		((now > 0))
		((small > 0 && small < now)) || small=$now
		now=$(cost "$2")
		((now > 0))
		((big > 0 && big < now)) || big=$now
		echo "µs for one: $small, for a million: $big"
		((big > 2 * small + 200)) || return 0
	done
	return 1
}
