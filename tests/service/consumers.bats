#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# To what workers are really connected, and who else consumes: real Redis, real
# PostgreSQL, real connections.

bats_require_minimum_version 1.5.0
load ../lib
load queue_lib

setup() {
	need python3 jq redis-server
	cd "$BATS_TEST_TMPDIR" || return
	mkdir run
	export REEVE_SOCKET=$PWD/run
}

# manifest QUEUE WORKER…: one queue, and workers, a line each.
manifest() {
	{
		echo 'apiVersion: reeve/v1'
		echo 'name: co'
		echo 'queues:'
		echo "  - $1"
		echo 'workers:'
		shift
		printf '  - %s\n' "$@"
	} >new.yaml
	mv new.yaml reeve.yaml
}
# worker NAME COMMAND [MORE]: by a shell, which stays there.
worker() {
	printf '{name: %s, command: [/bin/sh, -c, "%s; exit 1"], consumes: [{queue: jobs}], terminationGracePeriodSeconds: 1%s}' "$1" "$2" "${3:-}"
}
supervise() {
	start_background reeve "$REEVE" run -f reeve.yaml
	wait_until in_status '.queues[0].error == null and .queues[0].waiting != null'
}
drifts() { in_status ".drift | any(.worker == \"$1\" and .class == \"$2\")"; }
no_drift() { in_status ".drift_known and (.drift | any(.worker == \"$1\" and .class == \"$2\") | not)"; }
on_redis() { echo "{name: jobs, kind: redis, url: '$REDIS_URL/0', list: jobs$1}"; }

@test "a worker in another database of Redis, or at another Redis, is found; one that is right isn't" {
	start_redis
	local port=$REDIS_PORT
	redis-server --port "$port" --bind 127.0.0.2 --save '' >other.log 2>&1 </dev/null 3>&- &
	remember "$!" TERM
	wait_until redis-cli -h 127.0.0.2 -p "$port" PING
	manifest "$(on_redis '')" \
	    "$(worker right "redis-cli -p $port BRPOP jobs 0")" \
	    "$(worker base "redis-cli -p $port -n 1 BRPOP jobs 0")" \
	    "$(worker host "redis-cli -h 127.0.0.2 -p $port BRPOP jobs 0")" \
	    "$(worker none "sleep 1000")"
	supervise
	wait_until -t 90 drifts base queue
	wait_until -t 90 drifts host queue
	in_status '.drift[] | select(.worker == "base") | (.evidence | test("db 1 .*brpop")) and .policy == "alert"'
	in_status ".drift[] | select(.worker == \"host\") | .evidence | test(\"connected to 127.0.0.2:$port\")"
	no_drift right queue
	no_drift none queue
	run "$REEVE" diff
	expect_status 1
	has 'connected to queue jobs, but elsewhere'
}

@test "onDrift.queue: restart: it is replaced, once" {
	start_redis
	manifest "$(on_redis '')" \
	    "$(worker w "n=1; test ! -e $PWD/here || n=0; : >$PWD/here; redis-cli -p $REDIS_PORT -n \$n BRPOP jobs 0" ', onDrift: {queue: restart}')" \
	    "$(worker never "redis-cli -p $REDIS_PORT -n 1 BRPOP jobs 0" ', onDrift: {queue: restart}')"
	supervise
	wait_until in_status '.workers | all(.ready == 1)'
	local pid
	pid=$("$REEVE" status --output json | jq '.workers[] | select(.name == "w") | .instances[0].pid')
	wait_until -t 90 in_status ".workers[] | select(.name == \"w\") | .ready == 1 and .instances[0].pid != $pid"
	wait_until -t 90 no_drift w queue
	# what a restart doesn't mend is told of
	wait_until -t 120 in_status '.drift[] | select(.worker == "never") | .policy == "alert" and (.summary | test("a restart did not mend it"))'
	in_status '.workers[] | select(.name == "w") | .instances[0].restarts <= 1'
}

@test "a worker that reads another list is found by what it says" {
	start_redis
	manifest "$(on_redis '')" \
	    "{name: w, command: ['$REEVE_TOOL', worker, --queue, '$REDIS_URL/0?list=jobs2', --, /bin/true], consumes: [{queue: jobs}], terminationGracePeriodSeconds: 1}" \
	    "{name: x, command: ['$REEVE_TOOL', worker, --queue, '$REDIS_URL/0?list=jobs', --, /bin/true], consumes: [{queue: jobs}], terminationGracePeriodSeconds: 1}"
	supervise
	wait_until -t 90 drifts w queue
	in_status '.drift[] | select(.worker == "w") | .evidence | test("reading jobs2")'
	no_drift x queue
}

@test "a session in another database of PostgreSQL is found" {
	need psql
	start_postgres
	psql "$PG_URL" -qc 'CREATE TABLE jobs(id bigint PRIMARY KEY, status text)' -c 'CREATE DATABASE other'
	manifest "{name: jobs, kind: pgtable, url: '$PG_URL', table: jobs, id: id, status: status, waiting: queued}" \
	    "$(worker right "psql '$PG_URL' -qc 'SELECT pg_sleep(1000)'")" \
	    "$(worker base "psql '${PG_URL%/*}/other' -qc 'SELECT pg_sleep(1000)'")"
	supervise
	wait_until -t 90 drifts base queue
	in_status '.drift[] | select(.worker == "base") | .evidence | test("database other")'
	no_drift right queue
}

@test "a consumer that nobody declared is found; a declared one, and one that may be there, are not" {
	start_redis
	local own="{name: w, command: ['$REEVE_TOOL', worker, --queue, '$REDIS_URL/0?list=jobs', --, /bin/true], consumes: [{queue: jobs}], terminationGracePeriodSeconds: 1}"
	manifest "$(on_redis '')" "$own"
	supervise
	start_worker "$REDIS_URL/0?list=jobs"
	wait_until -t 90 drifts w consumers
	in_status '[.drift[] | select(.class == "consumers")] | length == 1'
	in_status ".drift[] | select(.class == \"consumers\") | .evidence | test(\"pid $WORKER_PID\")"
	wait_until in_status '.alerts | any(.kind == "drift" and (.summary | test("no worker of this manifest")))'
	no_drift w queue
	manifest "$(on_redis ", otherConsumers: ['*']")" "$own"
	"$REEVE" reload
	wait_until -t 60 no_drift w consumers
	manifest "$(on_redis '')" "$own"
	"$REEVE" reload
	wait_until -t 90 drifts w consumers
	kill_worker
	wait_until -t 90 no_drift w consumers
}
