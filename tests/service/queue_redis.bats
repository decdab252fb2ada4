#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031
# The Redis list driver and the reference worker on it.

load ../lib
load queue_lib

setup_file() {
	start_redis
}

setup() {
	redis FLUSHALL >/dev/null
	QUEUE="$REDIS_URL/0?list=fileprocess:jobs"
}

count_is() {
	[ "$(redis "$1" "$2")" = "$3" ]
}

@test "a plain list: what can be known is, the rest says why" {
	redis LPUSH fileprocess:jobs a b c >/dev/null
	run_ls "$QUEUE"
	expect_status 0
	field waiting 3
	field consumers 0
	field active null
	has "no 'processing' list is declared"
	field quality.delayed not-applicable
	field dead null
	field oldest_ms null
	redis LPUSH fileprocess:jobs:processing x >/dev/null
	redis LPUSH graveyard y z >/dev/null
	run_ls "$QUEUE&processing=fileprocess:jobs:processing&deadLetter=graveyard"
	field active 1
	field dead 2
}

@test "an age out of the payload, by the server's clock" {
	now=$(redis TIME | head -n 1)
	redis LPUSH fileprocess:jobs "{\"meta\":{\"at\":$((now - 90))}}" \
	    "{\"meta\":{\"at\":$now}}" >/dev/null
	run_ls "$QUEUE&ts=meta.at"
	[ "$(get oldest_ms)" -ge 90000 ]
	[ "$(get oldest_ms)" -lt 600000 ]
	run_ls "$QUEUE&ts=meta.when"
	field oldest_ms null
	has 'no time at'
}

@test "a queue that is empty or absent shows the near names, with their length" {
	redis LPUSH fileprocess-jobs a b >/dev/null
	redis -n 3 LPUSH fileprocess:jobs a >/dev/null
	redis LPUSH other:thing a >/dev/null
	run_ls "$QUEUE"
	expect_status 0
	field waiting 0
	field near.0.name fileprocess:jobs
	field near.0.where 'db 3'
	field near.0.waiting 1
	field near.1.name fileprocess-jobs
	field near.1.waiting 2
	field near.1.type list
	lacks other:thing
}

@test "somebody else's protocol is no empty list" {
	redis ZADD fileprocess:jobs 1 a >/dev/null
	run_ls "$QUEUE"
	expect_status 3
	field waiting null
	has 'is a zset, not a list'
}

@test "a client that blocks may be waiting, unless its arguments are too short" {
	start_background popper redis-cli -p "$REDIS_PORT" BRPOP fileprocess-jobs 0
	wait_until redis_blocks 1
	run_ls "$QUEUE"
	field consumers null
	has "Redis doesn't show for which list"
	wait_pid "$QUEUE" "$BACKGROUND_PID"
	redis LPUSH fileprocess-jobs x >/dev/null
	wait_until redis_blocks 0
	start_background short redis-cli -p "$REDIS_PORT" BRPOP ab 0
	wait_until redis_blocks 1
	run_ls "$QUEUE"
	field consumers 0
}

redis_blocks() {
	redis INFO clients | grep -q "^blocked_clients:$1"
}

@test "without the right to CLIENT LIST consumers are unknown, and it says why" {
	redis ACL SETUSER looker on '>looker-password' '~*' +@read +ping +info +select \
	    +time +llen +type >/dev/null
	redis LPUSH fileprocess:jobs a >/dev/null
	run_ls "redis://looker:looker-password@127.0.0.1:$REDIS_PORT/0?list=fileprocess:jobs"
	expect_status 0
	field waiting 1
	field consumers null
	[[ $(get why.consumers) = *NOPERM* ]]
	lacks looker-password
}

@test "a wrong password, a wrong database, a server that is gone" {
	redis ACL SETUSER looker on '>looker-password' '~*' +@all >/dev/null
	run_ls "redis://looker:wrong-password@127.0.0.1:$REDIS_PORT/0?list=a"
	expect_status 3
	has WRONGPASS
	lacks wrong-password
	run_ls "$REDIS_URL/99?list=a"
	expect_status 3
	has 'out of range'
	run_ls "redis://127.0.0.1:$(free_port)/0?list=a"
	expect_status 3
	has 'refuses connections'
}

@test "a worker does every job, and its traces make the rest known" {
	start_worker "$QUEUE" --backoff 20ms --max-attempts 3
	for job in one bad dead two; do redis LPUSH fileprocess:jobs "$job" >/dev/null; done
	wait_until count_is LLEN fileprocess:jobs:dead 2
	wait_until grep -q two "$EFFECTS"
	[ "$(grep -c bad "$EFFECTS.tries")" = 3 ]
	[ "$(grep -c dead "$EFFECTS.tries")" = 1 ]
	wait_until redis_blocks 1
	run_ls "$QUEUE"
	field consumers 1
	field consumer_list.0.reads fileprocess:jobs
	wait_pid "$QUEUE" "$WORKER_PID"
	kill -TERM "$WORKER_PID"
	wait_until gone_pid "$WORKER_PID"
	# nothing is left behind but the dead letters
	[ "$(redis KEYS '*')" = fileprocess:jobs:dead ]
}

gone_pid() {
	! kill -0 "$1"
}

# What Redis itself counts in the keys of the layout: waiting, active, delayed, dead.
same_counts() {
	local theirs
	theirs="$(redis LLEN fileprocess:jobs) $(redis LLEN fileprocess:jobs:processing)"
	theirs+=" $(redis ZCARD fileprocess:jobs:reeve:delayed) $(redis LLEN fileprocess:jobs:dead)"
	run_ls "$QUEUE"
	[ "$(get waiting) $(get active) $(get delayed) $(get dead)" = "$theirs" ] || {
		printf 'Redis says: %s\n%s\n' "$theirs" "$output" >&2
		return 1
	}
}

@test "jobs in each state are counted right" {
	start_worker "$QUEUE" --backoff 1h --backoff-cap 1h --max-attempts 2
	redis LPUSH fileprocess:jobs bad >/dev/null
	wait_until count_is ZCARD fileprocess:jobs:reeve:delayed 1
	redis LPUSH fileprocess:jobs dead >/dev/null
	wait_until count_is LLEN fileprocess:jobs:dead 1
	redis LPUSH fileprocess:jobs block1 waits1 waits2 >/dev/null
	wait_until grep -q block1 "$EFFECTS.tries"
	same_counts
	field waiting 2
	field active 1
	field delayed 1
	field dead 1
	field lease_expired 0
	field lease_missing 0
	field consumers 1
	redis LPUSH fileprocess:jobs:processing orphan >/dev/null
	run_ls "$QUEUE"
	field active 2
	field lease_missing 1
}

# Every lease is over, however long it was: with one of a second a worker that is
# held up for longer loses its job, too.
expire_leases() {
	local claim
	while read -r claim; do
		redis ZADD fileprocess:jobs:reeve:lease XX 1 "$claim" >/dev/null
	done < <(redis ZRANGE fileprocess:jobs:reeve:lease 0 -1)
	expired_is 1
}

@test "a lease is as long as was asked for, and longer while the job runs" {
	ends() { redis --raw ZRANGE fileprocess:jobs:reeve:lease 0 -1 WITHSCORES | tail -n 1; }
	longer() { (($(ends) > $1)); }
	local before first
	before=$(date +%s%3N)
	start_worker "$QUEUE" --lease 6s
	redis LPUSH fileprocess:jobs block1 >/dev/null
	wait_until grep -q block1 "$EFFECTS.tries"
	first=$(ends)
	((first >= before + 6000 && first <= $(date +%s%3N) + 6000))
	wait_until longer "$first"
	release_blocked
	wait_until count_is EXISTS fileprocess:jobs:processing 0
}

@test "the job of a killed worker is done by another after its lease, once" {
	start_worker "$QUEUE"
	redis LPUSH fileprocess:jobs block1 >/dev/null
	wait_until grep -q block1 "$EFFECTS.tries"
	kill_worker
	release_blocked
	expire_leases
	start_worker "$QUEUE"
	wait_until grep -q 'block1 2' "$EFFECTS.tries"
	wait_until count_is EXISTS fileprocess:jobs:processing 0
	[ "$(grep -c block1 "$EFFECTS")" = 1 ]
	[ "$(redis KEYS '*')" = '' ]
}

expired_is() {
	run_ls "$QUEUE"
	[ "$(get lease_expired)" = "$1" ]
}

@test "a job that kills its worker each time ends as a dead letter" {
	write_job
	redis LPUSH fileprocess:jobs poison >/dev/null
	cat >"$(test_dir)/killer" <<'JOB'
#!/bin/bash
until [ -e "$EFFECTS.kill$REEVE_JOB_ATTEMPT" ]; do read -r -t 0.05 <> <(:) || :; done
kill -KILL $PPID
JOB
	chmod +x "$(test_dir)/killer"
	for try in 1 2; do
		start_worker_command "$QUEUE" --max-attempts 2 -- "$(test_dir)/killer"
		wait_until grep -q "job.started.*attempt=$try" "$WORKER_LOG"
		: >"$EFFECTS.kill$try"
		wait_until gone_pid "$WORKER_PID"
		expire_leases
	done
	start_worker "$QUEUE" --max-attempts 2
	wait_until count_is LLEN fileprocess:jobs:dead 1
	[ ! -s "$EFFECTS.tries" ]
	[ "$(redis LINDEX fileprocess:jobs:dead 0)" = poison ]
	[ "$(redis KEYS '*')" = fileprocess:jobs:dead ]
}

@test "a drain finishes the running job and takes no new one" {
	start_worker "$QUEUE"
	redis LPUSH fileprocess:jobs block1 after >/dev/null
	wait_until grep -q block1 "$EFFECTS.tries"
	kill -TERM "$WORKER_PID"
	wait_until grep -q worker.draining "$WORKER_LOG"
	release_blocked
	wait_until gone_pid "$WORKER_PID"
	grep -q block1 "$EFFECTS"
	[ "$(redis LRANGE fileprocess:jobs 0 -1)" = after ]
	[ "$(redis KEYS '*')" = fileprocess:jobs ]
}

@test "a second TERM gives the job back, uncounted" {
	start_worker "$QUEUE"
	redis LPUSH fileprocess:jobs block1 >/dev/null
	wait_until grep -q block1 "$EFFECTS.tries"
	kill -TERM "$WORKER_PID"
	wait_until grep -q worker.draining "$WORKER_LOG"
	kill -TERM "$WORKER_PID"
	wait_until gone_pid "$WORKER_PID"
	[ "$(redis LRANGE fileprocess:jobs 0 -1)" = block1 ]
	[ "$(redis KEYS '*')" = fileprocess:jobs ]
	release_blocked
	start_worker "$QUEUE"
	wait_until grep -q block1 "$EFFECTS"
	[ "$(grep -c 'block1 1' "$EFFECTS.tries")" = 2 ]
}

@test "a worker whose lease was taken kills its job and throws the result away" {
	start_worker "$QUEUE" --lease 5s
	redis LPUSH fileprocess:jobs block1 >/dev/null
	wait_until grep -q block1 "$EFFECTS.tries"
	redis DEL fileprocess:jobs:reeve:lease >/dev/null
	wait_until grep -q job.lost "$WORKER_LOG"
	release_blocked
	redis LPUSH fileprocess:jobs next >/dev/null
	wait_until grep -q next "$EFFECTS"
	run grep -c block1 "$EFFECTS"
	[ "$output" = 0 ]
}

@test "the worker outlives its server" {
	start_worker "$QUEUE"
	redis CLIENT KILL TYPE normal SKIPME yes >/dev/null
	wait_until grep -q queue.unreachable "$WORKER_LOG"
	redis LPUSH fileprocess:jobs one >/dev/null
	wait_until grep -q one "$EFFECTS"
}

@test "equal payloads are as many jobs as there are" {
	start_worker "$QUEUE" --backoff 20ms --max-attempts 2 --concurrency 3
	redis LPUSH fileprocess:jobs same same same bad bad >/dev/null
	wait_until count_is LLEN fileprocess:jobs:dead 2
	wait_until effects_are 3
	[ "$(grep -c bad "$EFFECTS.tries")" = 4 ]
}

effects_are() {
	[ "$(wc -l <"$EFFECTS")" = "$1" ]
}

@test "payloads are bytes, and too large ones are dead letters" {
	EFFECTS=$(test_dir)/effects
	printf 'a\0\377\nb' | redis -x LPUSH fileprocess:jobs >/dev/null
	head -c 1048577 /dev/zero | redis -x LPUSH fileprocess:jobs >/dev/null
	start_worker_command "$QUEUE" -- sh -c "od -An -tx1 >>'$EFFECTS'"
	wait_until count_is LLEN fileprocess:jobs:dead 1
	wait_until test -s "$EFFECTS"
	[ "$(tr -d ' \n' <"$EFFECTS")" = 6100ff0a62 ]
}

@test "a canary: put in, seen, taken, gone, dead, removed" {
	look submit "$QUEUE" '{"id":"$(CANARY)"}'
	[ "$(answer result)" = passed ]
	RECEIPT=$(fact receipt)
	export RECEIPT
	look follow "$QUEUE" '{"id":"$(CANARY)"}'
	[ "$(fact state)" = visible ]
	look remove "$QUEUE" '{"id":"$(CANARY)"}'
	[ "$(fact removed)" = yes ]
	look follow "$QUEUE" '{"id":"$(CANARY)"}'
	[ "$(fact state)" = gone ]
	start_worker "$QUEUE"
	look submit "$QUEUE" '{"id":"block $(CANARY)"}'
	wait_until grep -q block "$EFFECTS.tries"
	look follow "$QUEUE" '{"id":"block $(CANARY)"}'
	[ "$(fact state)" = taken ]
	[ -n "$(fact by)" ]
	[ "$(fact attempts)" = 1 ]
	release_blocked
	wait_until grep -q block "$EFFECTS"
	look submit "$QUEUE" '{"id":"dead $(CANARY)"}'
	wait_until count_is LLEN fileprocess:jobs:dead 1
	look follow "$QUEUE" '{"id":"dead $(CANARY)"}'
	[ "$(fact state)" = dead ]
	look remove "$QUEUE" '{"id":"dead $(CANARY)"}'
	[ "$(redis LLEN fileprocess:jobs:dead)" = 0 ]
}

# The reliable list as anybody writes it, with Python's client of Redis.
start_foreign_worker() {
	start_background foreign /usr/bin/python3 -c 'import os, redis, sys, time
r = redis.Redis(port=int(sys.argv[1]))
while True:
    job = r.brpoplpush("fileprocess:jobs", "taken", 0)
    print("works on", job.decode(), flush=True)
    while b"block" in job and not os.path.exists(sys.argv[2]): time.sleep(0.05)
    r.lrem("taken", 1, job)' "$REDIS_PORT" "$(test_dir)/go"
}

canary_of_list_is() {
	look follow "$1" '{"id":"block $(CANARY)"}'
	[ "$(fact state)" = "$2" ]
}

@test "a canary goes through a worker that isn't ours: seen waiting, taken, gone" {
	local url="$QUEUE&processing=taken"
	look submit "$url" '{"id":"block $(CANARY)"}'
	RECEIPT=$(fact receipt)
	canary_of_list_is "$url" visible
	start_foreign_worker
	wait_until canary_of_list_is "$url" taken
	run_ls "$url"
	field waiting "$(redis LLEN fileprocess:jobs)"
	field active "$(redis LLEN taken)"
	field active 1
	: >"$(test_dir)/go"
	wait_until canary_of_list_is "$url" gone
	grep -q "works on.*$CANARY" "$BACKGROUND_LOG"
}

@test "two hundred jobs, three workers, random kills: nothing is lost" {
	write_job
	for i in $(seq 200); do echo "LPUSH fileprocess:jobs job-$i"; done |
	    redis >/dev/null
	for _ in 1 2 3; do start_worker "$QUEUE" --lease 1s --concurrency 2; done
	killed=0
	pids=$(cut -d' ' -f1 "$(test_dir)/servers" | tail -n 3)
	for pid in $pids; do
		wait_until effects_beyond $((RANDOM % 30 + killed * 40))
		killed=$((killed + 1))
		kill -KILL "$pid" # it lives: else nothing would be tried
		start_worker "$QUEUE" --lease 1s --concurrency 2
	done
	wait_until all_done
	diff <(sort -u "$EFFECTS") <(seq -f job-%g 200 | sort)
	[ "$(redis EXISTS fileprocess:jobs:dead)" = 0 ]
}

effects_beyond() {
	[ "$(wc -l <"$EFFECTS")" -ge "$1" ]
}

all_done() {
	[ "$(redis EXISTS fileprocess:jobs fileprocess:jobs:processing \
	    fileprocess:jobs:reeve:lease fileprocess:jobs:reeve:delayed)" = 0 ]
}

@test "health is 200 while the loop turns and the queue answers" {
	port=$(free_port)
	start_worker "$QUEUE" --health "127.0.0.1:$port"
	wait_until curl -sf "http://127.0.0.1:$port/health"
	kill -STOP "$REDIS_PID"
	wait_until answers 503
	kill -CONT "$REDIS_PID"
	wait_until answers 200
}

answers() {
	[ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/health")" = "$1" ]
}
