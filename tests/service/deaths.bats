#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016
# A worker that is killed while it holds a job, with a lease of an hour: another
# one has the job at once, in every store in which it is known who holds what;
# and nobody else's job is touched.

bats_require_minimum_version 1.5.0
load ../lib
load queue_lib

setup() {
	need python3 jq
	cd "$BATS_TEST_TMPDIR" || return
	mkdir run
	export REEVE_SOCKET=$PWD/run
	write_job
}

# supervise QUEUE-KEYS URL: two workers on that queue, leases of an hour.
supervise() {
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: de
	queues:
	  - {name: jobs, $1}
	workers:
	  - name: w
	    command: ['$REEVE_TOOL', worker, --queue, '$2', --lease, 1h, --max-attempts, '3', --, '$BATS_TEST_TMPDIR/job']
	    replicas: 2
	    consumes: [{queue: jobs}]
	    terminationGracePeriodSeconds: 2
	    restart: {backoff: {first: 1s, cap: 1s}}
	YAML
	start_background reeve "$REEVE" run -f reeve.yaml
	wait_until in_status '.queues[0].waiting != null and .workers[0].ready == 2'
}
tried() { [ "$(wc -l <"$EFFECTS.tries")" -ge "$1" ]; }
# The replica that holds the job, by what `status` says.
HOLDER='[.queues[0].consumer_list[] | select(.holds_lease) | .worker] | unique'
holder_known() { in_status "$HOLDER | length == 1"; }
holder_pid() {
	status | jq "($HOLDER)[0] as \$who | .workers[0].instances[] |
		select(\"w/\\(.index)\" == \$who) | .pid"
}
kill_holder() {
	local pid
	wait_until holder_known
	pid=$(holder_pid)
	[[ $pid =~ ^[0-9]+$ ]]
	kill -KILL "$pid"
}
ended() { "$REEVE" events --output json | jq -es '[.[] | (.events? // [.])[] | select(.kind == "leases-ended")] | length == '"$1"; }
# Once each, tried twice: the second time by somebody else, as its second attempt.
taken_over() {
	wait_until -t 60 tried 2
	awk '{ print $2 }' "$EFFECTS.tries" | tr '\n' ' ' | grep -qx '1 2 '
	release_blocked
	wait_until -t 60 test -s "$EFFECTS"
	wait_until ended 1
	[ "$(wc -l <"$EFFECTS")" = 1 ]
	[ "$(wc -l <"$EFFECTS.tries")" = 2 ]
}

# An owner of this very pid namespace: of this shell, which lives; and one of a
# machine that isn't ours, of a pid that nobody has here.
life_of() {
	python3 - "$1" <<-'PY'
	import hashlib, os, socket, sys
	machine = open("/proc/sys/kernel/random/boot_id").read()
	machine += socket.gethostname() + " " + os.readlink("/proc/self/ns/pid")
	stat = open(f"/proc/{sys.argv[1]}/stat").read().rpartition(")")[2].split()
	print("%s.%x.%x" % (hashlib.sha256(machine.encode()).hexdigest()[:16],
	    int(sys.argv[1]), int(stat[19])))
	PY
}
ELSEWHERE=0123456789abcdef.3ffffe.1

@test "a Redis list: another one has the job at once, other hosts' leases stay" {
	need redis-server
	start_redis
	local far here until
	supervise "kind: redis, url: '$REDIS_URL/0', list: jobs" "$REDIS_URL/0?list=jobs"
	# claims of w/0 on another machine, and of a living process of this one
	until=$(($(date +%s) * 1000 + 3600000))
	far="$(printf 'far' | sha1sum | cut -c1-40):$(printf '%032d' 1):1:w/0:$ELSEWHERE"
	here="$(printf 'here' | sha1sum | cut -c1-40):$(printf '%032d' 2):1:w/1:$(life_of $$)"
	redis LPUSH jobs:processing far here >/dev/null
	redis ZADD jobs:reeve:lease "$until" "$far" "$until" "$here" >/dev/null
	redis LPUSH jobs block1 >/dev/null
	wait_until tried 1
	wait_until in_status "$HOLDER"' | length >= 1'
	# by its claim: the others look like replicas too
	local owner pid
	owner=$(redis ZRANGE jobs:reeve:lease 0 -1 | grep "^$(printf block1 | sha1sum | cut -c1-40)")
	pid=$((16#$(cut -d. -f2 <<<"$owner")))
	in_status "[.workers[0].instances[].pid] | index($pid) != null"
	kill -KILL "$pid"
	taken_over
	[ "$(redis ZSCORE jobs:reeve:lease "$far")" = "$until" ]
	[ "$(redis ZSCORE jobs:reeve:lease "$here")" = "$until" ]
}

@test "the embedded queue: who holds a job is known, and another has it at once" {
	db() {
		python3 - "$1" <<-PY
		import sqlite3, sys
		with sqlite3.connect("q.db", timeout=20) as db:
		    for row in db.execute(sys.argv[1]):
		        print(row[0])
		PY
	}
	supervise "kind: sqlite, url: 'sqlite://$PWD/q.db', queue: jobs" "sqlite://$PWD/q.db?queue=jobs"
	db "INSERT INTO reeve_jobs(queue, payload) VALUES ('jobs', 'block1')"
	wait_until tried 1
	db "INSERT INTO reeve_jobs(queue, payload, status, attempts, lease, owner) VALUES
		('jobs', 'far', 'active', 1, 4000000000000, 'w/0:$ELSEWHERE'),
		('jobs', 'here', 'active', 1, 4000000000000, 'v/1:$(life_of $$)')"
	local pid
	pid=$(($(db "SELECT owner FROM reeve_jobs WHERE payload = 'block1'" | cut -d. -f2 | sed 's/^/16#/')))
	wait_until in_status ".queues[0].consumer_list[] | select(.holds_lease and .pid == $pid)"
	kill -KILL "$pid"
	taken_over
	[ "$(db "SELECT count(*) FROM reeve_jobs WHERE status = 'active' AND lease = 4000000000000")" = 2 ]
}

@test "a table with an owner: who holds a job is known, and another has it at once" {
	start_postgres
	sql "CREATE TABLE docs(id serial PRIMARY KEY, status text DEFAULT 'queued',
		payload text, attempts int DEFAULT 0, lease timestamptz, owner text,
		created timestamptz DEFAULT now())"
	local keys='table: docs, payload: payload, attempts: attempts, lease: lease, owner: owner, created: created'
	supervise "kind: pgtable, url: '$PG_URL', $keys" \
	    "pgtable+$PG_URL?table=docs&payload=payload&attempts=attempts&lease=lease&owner=owner&created=created"
	sql "INSERT INTO docs(payload) VALUES ('block1')"
	wait_until tried 1
	kill_holder
	taken_over
}

@test "who died while the operator was dead is found by the next one" {
	need redis-server
	start_redis
	supervise "kind: redis, url: '$REDIS_URL/0', list: jobs" "$REDIS_URL/0?list=jobs"
	redis LPUSH jobs block1 >/dev/null
	wait_until tried 1
	wait_until holder_known
	local pid operator
	pid=$(holder_pid)
	operator=$(operator_pid)
	# it sees nothing any more, then dies
	kill -STOP "$operator"
	kill -KILL "$pid"
	wait_until -t 60 not_alive "$pid"
	kill -KILL "$operator"
	taken_over
}
not_alive() { ! kill -0 "$1" 2>/dev/null; }

@test "many queues of one server are asked by one process" {
	need redis-server
	start_redis
	local i pid owner until before after
	{
		printf '%s\n' 'apiVersion: reeve/v1' 'name: de' 'queues:'
		for i in {1..20}; do
			echo "  - {name: q$i, kind: redis, url: '$REDIS_URL/0', list: q$i}"
		done
		# it says of no queue that it reads it: any may be its
		echo "workers: [{name: w, command: [sleep, infinity], terminationGracePeriodSeconds: 1}]"
	} >reeve.yaml
	start_background reeve "$REEVE" run -f reeve.yaml
	wait_until in_status '([.queues[] | select(.waiting != null)] | length == 20) and .workers[0].ready == 1'
	pid=$(status | jq '.workers[0].instances[0].pid')
	until=$(($(date +%s) * 1000 + 3600000))
	for i in {1..20}; do
		owner="$(printf 'job' | sha1sum | cut -c1-40):$(printf '%032d' 1):1:w/0:$(life_of "$pid")"
		redis LPUSH "q$i:processing" job >/dev/null
		redis ZADD "q$i:reeve:lease" "$until" "$owner" >/dev/null
	done
	before=$(connections)
	kill -KILL "$pid"
	wait_until -t 60 ended 20
	after=$(connections)
	# one of them is the question itself
	((after - before < 10))
}
connections() { redis INFO stats | tr -d '\r' | sed -n 's/^total_connections_received://p'; }

@test "a server that is away is asked again" {
	need redis-server
	start_redis
	supervise "kind: redis, url: '$REDIS_URL/0', list: jobs" "$REDIS_URL/0?list=jobs"
	redis LPUSH jobs block1 >/dev/null
	wait_until tried 1
	wait_until holder_known
	local pid
	pid=$(holder_pid)
	kill -STOP "$REDIS_PID"
	kill -KILL "$pid"
	wait_until -t 60 grep -q 'leases.unknown.*queue=jobs' "$BACKGROUND_LOG"
	kill -CONT "$REDIS_PID"
	taken_over
}

@test "whoever dies while a server is away adds nothing to the log" {
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: de
	queues:
	  - {name: jobs, kind: redis, url: 'redis://127.0.0.1:$(free_port)/0', list: jobs}
	workers:
	  - name: w
	    command: [sh, -c, 'sleep 0.2; exit 3']
	    restart: {backoff: {first: 100ms, cap: 100ms}}
	YAML
	start_background reeve "$REEVE" run -f reeve.yaml
	wait_until -t 60 grep -q 'leases.unknown.*queue=jobs' "$BACKGROUND_LOG"
	wait_until -t 60 in_status '.workers[0].instances[0].restarts >= 10'
	[ "$(grep -c leases.unknown "$BACKGROUND_LOG")" = 1 ]
}
