#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2154
# Jobs as people look at them and move them back: `reeve queue peek`, `dead`,
# `requeue`, `reclaim` and `watch`, on real servers.

load ../lib
load queue_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	start_redis --appendonly yes --appendfsync always
	start_postgres
}

setup() {
	redis FLUSHALL >/dev/null
	LIST="$REDIS_URL/0?list=jobs"
	sql 'DROP TABLE IF EXISTS work;
	CREATE TABLE work(id bigserial PRIMARY KEY, payload text NOT NULL,
	  status text NOT NULL DEFAULT '"'queued'"', lease timestamptz,
	  attempts int NOT NULL DEFAULT 0, error text, owner text,
	  created_at timestamptz NOT NULL DEFAULT now())'
	COLUMNS_OF_WORK='payload=payload&lease=lease&attempts=attempts&error=error'
	COLUMNS_OF_WORK+='&owner=owner&created=created_at&dead=dead'
	TABLE="pgtable+$PG_URL?table=work&$COLUMNS_OF_WORK"
	FILE="sqlite://$(test_dir)/q.db?queue=jobs&create=true"
	XDG_STATE_HOME=$(test_dir)/state
	export XDG_STATE_HOME
	LOG=$XDG_STATE_HOME/reeve/moves.jsonl
}

queue() {
	run --separate-stderr "$REEVE_TOOL" queue "$@"
}

# dead_letters KIND N: sets QUEUE, with N dead letters d-1…
dead_letters() {
	case $1 in
	redis)
		QUEUE=$LIST
		for i in $(seq "$2"); do echo "LPUSH jobs:dead d-$i"; done |
		    redis >/dev/null
		;;
	postgres)
		QUEUE=$TABLE
		sql "INSERT INTO work(payload,status,attempts,error)
		  SELECT 'd-'||n,'dead',5,'boom '||n%2 FROM generate_series(1,$2) n"
		;;
	sqlite)
		QUEUE=$FILE
		queue ls "$FILE"
		sqlite3 "$(test_dir)/q.db" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL
		  SELECT i+1 FROM n WHERE i<$2) INSERT INTO
		  reeve_jobs(queue,payload,status,attempts,error)
		  SELECT 'jobs','d-'||i,'dead',5,'boom '||i%2 FROM n"
		;;
	esac
}

# Every job of the store, one payload a line: waiting KIND, dead KIND.
waiting() {
	case $1 in
	redis) redis LRANGE jobs 0 -1 ;;
	postgres) sql "SELECT payload FROM work WHERE status='queued'" ;;
	sqlite) sqlite3 -cmd '.timeout 10000' "$(test_dir)/q.db" \
	    "SELECT payload FROM reeve_jobs WHERE status='waiting'" ;;
	esac
}

dead() {
	case $1 in
	redis) redis LRANGE jobs:dead 0 -1 ;;
	postgres) sql "SELECT payload FROM work WHERE status='dead'" ;;
	sqlite) sqlite3 -cmd '.timeout 10000' "$(test_dir)/q.db" \
	    "SELECT payload FROM reeve_jobs WHERE status='dead'" ;;
	esac
}

# All of d-1 … d-N are there, each once, waiting or dead.
nothing_doubled_or_lost() {
	diff <({ waiting "$1"; dead "$1"; } | grep . | sort) \
	    <(seq -f d-%g "$2" | sort)
}

count() {
	grep -c . || [ $? = 1 ]
}

log_states() {
	jq -r .state "$LOG" | paste -sd' '
}

@test "peek shows each part of a list, bytes as they are, and changes nothing" {
	redis RPUSH jobs 'first' "$(printf 'b\x01\x1b[2J')" >/dev/null
	redis LPUSH jobs "$(head -c 9000 /dev/zero | tr '\0' x)" >/dev/null
	before=$(redis --no-raw LRANGE jobs 0 -1 | cksum)
	queue peek "$LIST"
	expect_status 0
	has 'jobs: 3 waiting'
	has 'b\x01\x1b[2J'
	has '(9000 bytes)'
	[[ $output != *$'\x1b'* ]]
	queue peek "$LIST" --limit 1 --output json
	[ "$(jq -r '.queues[0] | .total, (.jobs | length)' <<<"$output" |
	    paste -sd' ')" = '3 1' ]
	queue peek "$LIST" --output json
	[ "$(jq -r '.queues[0].jobs[2] | (.payload | length), .payload_bytes' \
	    <<<"$output" | paste -sd' ')" = '4096 9000' ]
	[ "$(redis --no-raw LRANGE jobs 0 -1 | cksum)" = "$before" ]
	redis ZADD jobs:reeve:delayed 9999999999999 "2:ab:later" >/dev/null
	queue peek "$LIST" --part delayed --output json
	[ "$(jq -c '.queues[0].jobs[0] | [.attempts,.payload]' <<<"$output")" = \
	    '[2,"later"]' ]
	queue peek "$LIST" --part half
	expect_status 64
}

@test "bytes that are no text are base64, and a character cut in two is text" {
	printf 'LPUSH jobs "\\x00\\xff\\n"\n' | redis >/dev/null
	queue peek "$LIST" --output json
	[ "$(jq -r '.queues[0].jobs[0].payload_base64' <<<"$output")" = AP8K ]
	redis DEL jobs >/dev/null
	redis LPUSH jobs "x$(yes é | head -n 3000 | tr -d '\n')" >/dev/null
	queue peek "$LIST" --output json
	[ "$(jq -r '.queues[0].jobs[0].payload | length' <<<"$output")" = 2048 ]
}

@test "the value of a declared secret is not shown, nor is what is cut of it" {
	TOKEN=hunter2-hunter2-hunter2
	mkdir "$(test_dir)/secrets"
	printf %s "$TOKEN" >"$(test_dir)/secrets/TOKEN"
	cat >"$(test_dir)/reeve.yaml" <<-YAML
	apiVersion: reeve/v1
	name: t
	secrets: [{name: s, dir: "$(test_dir)/secrets"}]
	queues: [{name: jobs, kind: redis, url: "$REDIS_URL", list: jobs}]
	workers:
	  - name: w
	    command: [/bin/true]
	    env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: s, key: TOKEN}}}]
	YAML
	redis LPUSH jobs:dead "a $TOKEN b" >/dev/null
	redis LPUSH jobs:dead "$(head -c 4086 /dev/zero | tr '\0' x)$TOKEN" >/dev/null
	for form in text json; do
		queue dead jobs -f "$(test_dir)/reeve.yaml" --verbose \
		    --output $form
		expect_status 0
		has '***'
		lacks hunter2
		queue requeue jobs -f "$(test_dir)/reeve.yaml" --verbose \
		    --output $form
		has '***'
		lacks hunter2
	done
}

@test "a dry run changes nothing; --yes moves; twice moves nothing twice" {
	for kind in redis postgres sqlite; do
		dead_letters $kind 5
		queue requeue "$QUEUE"
		expect_status 0
		has 'would be moved: 5'
		has 'Nothing was done'
		[ "$(dead $kind | count)" = 5 ]
		[ ! -e "$LOG" ]
		queue requeue "$QUEUE" --yes --limit 2 --output json
		expect_status 0
		[ "$(jq -r '[.outcome,(.moved|length),.total] | @csv' \
		    <<<"$output")" = '"moved",2,5' ]
		[ "$(waiting $kind | count)" = 2 ]
		queue requeue "$QUEUE" --yes
		expect_status 0
		has 'moved: 3'
		[ "$(waiting $kind | count)" = 5 ]
		queue requeue "$QUEUE" --yes
		has 'Nothing to be moved'
		nothing_doubled_or_lost $kind 5
		[ "$(log_states)" = 'begun moved begun moved' ]
		rm "$LOG"
	done
	[ "$(sql 'SELECT DISTINCT attempts FROM work')" = 0 ]
}

@test "only what is asked for by id; what isn't there is said" {
	dead_letters postgres 4
	queue requeue "$QUEUE" --id 2 --id 4 --yes
	expect_status 0
	[ "$(waiting postgres | paste -sd' ')" = 'd-2 d-4' ]
	queue requeue "$QUEUE" --id 77 --yes
	expect_status 4
	has 'no such id is among them'
	queue requeue "$QUEUE" --id nonsense --yes
	[ "$status" -ne 0 ]
	[ "$(dead postgres | count)" = 2 ]
}

@test "what came back with its error is held back, and so are others with it" {
	dead_letters postgres 6 # errors: boom 1, boom 0, …
	queue requeue "$QUEUE" --id 1 --id 2 --yes
	expect_status 0
	sql "UPDATE work SET status='dead', error='boom 1 again' WHERE id=1;
	  UPDATE work SET status='dead', error='boom 0' WHERE id=2"
	queue requeue "$QUEUE" --yes --output json
	expect_status 1
	[ "$(jq -c '[.outcome,[.held_back[].id],.moved]' <<<"$output")" = \
	    '["moved",["2","3","4","5","6"],["1"]]' ]
	queue requeue "$QUEUE" --yes
	expect_status 1
	has 'held back: 5'
	has 'Nothing to be moved'
	queue requeue "$QUEUE" --yes --force
	expect_status 0
	has 'moved: 5'
	nothing_doubled_or_lost postgres 6
}

@test "two movers at once: nothing doubled, nothing lost" {
	for kind in redis postgres sqlite; do
		dead_letters $kind 300
		pids=()
		for n in 1 2 3; do
			# logs of their own, so that nothing keeps them apart
			"$REEVE_TOOL" queue requeue "$QUEUE" --yes --limit 300 \
			    --log "$(test_dir)/log.$n" --output json \
			    >"$(test_dir)/moved.$n" 3>&- 4>&- &
			pids+=($!)
		done
		for pid in "${pids[@]}"; do wait "$pid"; done
		nothing_doubled_or_lost $kind 300
		[ "$(waiting $kind | count)" = 300 ]
		[ "$(jq '.moved | length' "$(test_dir)"/moved.? |
		    awk '{ n += $1 } END { print n }')" = 300 ]
		rm "$(test_dir)"/log.?
	done
}

@test "a worker takes jobs meanwhile: each is done once" {
	for kind in redis postgres sqlite; do
		dead_letters $kind 60
		rm -f "$(test_dir)"/effects*
		start_worker "$QUEUE" --concurrency 2
		for _ in 1 2 3; do
			queue requeue "$QUEUE" --yes --limit 20
			expect_status 0
		done
		wait_until done_all 60
		[ "$(sort "$EFFECTS" | uniq -d)" = '' ]
		kill_worker
	done
}

done_all() {
	[ "$(wc -l <"$EFFECTS")" = "$1" ]
}

@test "where scripts are forbidden a list is moved under WATCH, by two at once too" {
	redis ACL SETUSER plain on '>plain-password' '~*' +@all -eval -evalsha >/dev/null
	dead_letters redis 40
	QUEUE="redis://plain:plain-password@127.0.0.1:$REDIS_PORT/0?list=jobs"
	queue dead "$QUEUE" --limit 3
	expect_status 0
	has d-1
	pids=()
	for n in 1 2; do
		"$REEVE_TOOL" queue requeue "$QUEUE" --yes \
		    --log "$(test_dir)/log.$n" >"$(test_dir)/moved.$n" 3>&- 4>&- &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid"; done
	nothing_doubled_or_lost redis 40
	[ "$(waiting redis | count)" = 40 ]
}

@test "a queue's name that holds no list: nothing is moved, nothing is lost" {
	dead_letters redis 3
	redis SET jobs text >/dev/null
	queue requeue "$QUEUE" --yes
	expect_status 1
	has 'Nothing was moved'
	has "'jobs' is a string, not a list"
	[ "$(dead redis | count)" = 3 ]
	[ "$(log_states)" = 'begun refused' ]
	redis ACL SETUSER plain on '>plain-password' '~*' +@all -eval >/dev/null
	queue requeue "redis://plain:plain-password@127.0.0.1:$REDIS_PORT/0?list=jobs" --yes
	expect_status 1
	[ "$(dead redis | count)" = 3 ]
}

# through_proxy KIND WORD HOW: QUEUE goes through a proxy from now on.
through_proxy() {
	local target=$REDIS_PORT
	[ "$1" = redis ] || target=$PG_PORT
	start_cut "$target" "$2" "$3"
	QUEUE=${QUEUE//:$target/:$CUT_PORT}
}

@test "the connection ends before, in, or after the move: it says so, nothing is half moved" {
	for kind in redis postgres; do
		word='d in string.gmatch'
		[ $kind = redis ] || word='WITH picked>COMMIT'
		for how in before after garbage; do
			redis FLUSHALL >/dev/null
			sql 'TRUNCATE work'
			rm -f "$LOG"
			dead_letters $kind 20
			through_proxy $kind "$word" $how
			queue requeue "$QUEUE" --yes --output json
			expect_status 3
			[ "$(jq -r .outcome <<<"$output")" = unknown ]
			[ "$(jq -r '.why | length > 10' <<<"$output")" = true ]
			nothing_doubled_or_lost $kind 20
			moved=20
			[ $how != before ] || moved=0
			[ "$(waiting $kind | count)" = $moved ]
			# looked at again: it says which are where they were
			[ "$(jq '.still_there | length' <<<"$output")" = $((20 - moved)) ]
			[ "$(log_states)" = 'begun unknown' ]
			# and so it may be asked again
			queue requeue "$QUEUE" --yes
			expect_status 0
			[ "$(waiting $kind | count)" = 20 ]
			nothing_doubled_or_lost $kind 20
		done
	done
}

@test "the server is killed in the middle: after its restart nothing is half moved" {
	dead_letters redis 500
	through_proxy redis 'd in string.gmatch' stall
	"$REEVE_TOOL" queue requeue "$QUEUE" --yes --limit 500 --output json \
	    >"$(test_dir)/out" 3>&- 4>&- &
	mover=$!
	wait_until grep -q stalled "$BACKGROUND_LOG"
	dir=$(redis CONFIG GET dir | tail -n 1)
	kill -KILL "$REDIS_PID"
	rc=0
	wait $mover || rc=$?
	[ "$rc" = 3 ]
	[ "$(jq -r .outcome "$(test_dir)/out")" = unknown ]
	redis-server --port "$REDIS_PORT" --bind 127.0.0.1 --save '' --dir "$dir" \
	    --appendonly yes >"$(test_dir)/redis.log" 2>&1 </dev/null 3>&- 4>&- &
	REDIS_PID=$!
	# of the whole file: setup_file's server is no more
	BATS_TEST_TMPDIR='' remember $REDIS_PID TERM
	wait_until redis_answers "$REDIS_PORT" "$REDIS_PID"
	nothing_doubled_or_lost redis 500
	case $(waiting redis | count) in 0 | 500) ;; *) false ;; esac
}

@test "reeve is killed in between: the next one tells" {
	dead_letters redis 4
	through_proxy redis 'd in string.gmatch' stall
	"$REEVE_TOOL" queue requeue "$QUEUE" --yes >/dev/null 2>&1 3>&- 4>&- &
	mover=$!
	wait_until grep -q stalled "$BACKGROUND_LOG"
	[ "$(log_states)" = begun ]
	kill -KILL $mover
	wait $mover || [ $? = 137 ]
	redis LPUSH jobs:dead d-5 >/dev/null
	run "$REEVE_TOOL" queue requeue "$QUEUE" --yes
	expect_status 0
	has 'a move of 4 jobs that began at'
	has 'moved: 1'
	nothing_doubled_or_lost redis 5
}

@test "a log that can't be written: nothing is moved" {
	dead_letters redis 2
	queue requeue "$QUEUE" --yes --log /dev/full
	[ "$status" -ne 0 ]
	queue requeue "$QUEUE" --yes --log "$(test_dir)"
	[ "$status" -ne 0 ]
	[ "$(dead redis | count)" = 2 ]
	mkdir -p "$(dirname "$LOG")"
	printf '{"schema":"reeve.move/1","state":"beg' >"$LOG"
	queue requeue "$QUEUE" --yes
	expect_status 0
	[ "$(sed 1d "$LOG" | jq -r .state | paste -sd' ')" = 'begun moved' ]
}

@test "expired claims are taken back with their attempts, those that hold are not" {
	start_worker "$LIST"
	redis LPUSH jobs block-1 >/dev/null
	wait_until grep -q block-1 "$EFFECTS.tries"
	queue reclaim "$LIST" --yes
	has '0 expired claims'
	kill_worker
	redis ZADD jobs:reeve:lease XX 1 "$(redis ZRANGE jobs:reeve:lease 0 -1)" >/dev/null
	expired_is 1
	queue reclaim "$LIST" --yes
	expect_status 0
	has 'moved: 1'
	[ "$(waiting redis)" = block-1 ]
	[ "$(redis LLEN jobs:processing)" = 0 ]
	[ "$(redis HVALS jobs:reeve:attempts)" = 1 ]
	sql "INSERT INTO work(payload,status,lease,attempts) VALUES
	  ('a','processing',now()-interval '1 h',3),('b','processing',now()+interval '1 h',1)"
	queue reclaim "$TABLE" --yes
	expect_status 0
	[ "$(sql "SELECT payload,attempts FROM work WHERE status='queued'")" = 'a|3' ]
	[ "$(sql "SELECT count(*) FROM work WHERE status='processing'")" = 1 ]
	queue ls "$FILE"
	sqlite3 "$(test_dir)/q.db" "INSERT INTO reeve_jobs(queue,payload,status,lease,attempts)
	  VALUES('jobs','a','active',1,2)"
	queue reclaim "$FILE" --yes
	expect_status 0
	[ "$(waiting sqlite)" = a ]
}

expired_is() {
	queue peek "$LIST" --part expired --output json
	[ "$(jq '.queues[0].jobs | length' <<<"$output")" = "$1" ]
}

has_lines() {
	[ "$(wc -l <"$1")" -ge "$2" ]
}

@test "watch says whether the queue drained, a line a look, until a signal ends it" {
	# what was taken from a plain list can't be seen
	queue watch "$LIST" --for 100ms
	expect_status 3
	has "no 'processing' list is declared"
	queue watch "$LIST" --for 100ms --output json
	[ "$(jq -s 'all(.drained == null and .waiting == 0)' <<<"$output")" = true ]
	queue watch "$LIST&processing=jobs:taken" --for 100ms
	expect_status 0
	redis LPUSH jobs a b >/dev/null
	"$REEVE_TOOL" queue watch "$LIST" --interval 100ms --output json \
	    >"$(test_dir)/looks" 3>&- 4>&- &
	watch=$!
	wait_until has_lines "$(test_dir)/looks" 2
	kill -INT $watch
	rc=0
	wait $watch || rc=$?
	[ "$rc" = 1 ]
	[ "$(jq -s 'length >= 2 and all(.waiting == 2 and .drained == false)' \
	    "$(test_dir)/looks")" = true ]
	[ "$(jq -s '.[-1] | .head_moving, .net_per_s' -c "$(test_dir)/looks" |
	    paste -sd' ')" = 'false 0' ]
	start_worker "$LIST"
	queue watch "$LIST" --until-drained --for 60s --interval 100ms
	expect_status 0
	has drained
	queue watch "redis://127.0.0.1:$(free_port)/0?list=a" --for 100ms
	expect_status 3
}

@test "jobs in one database, a worker in another: that is the cause, not a missing worker" {
	redis -n 0 LPUSH jobs a b c >/dev/null
	start_background popper redis-cli -p "$REDIS_PORT" -n 1 BRPOP jobs 0
	wait_until somebody_blocks
	run "$REEVE_TOOL" diagnose "$LIST"
	expect_status 1
	has 'ROOT CAUSE  RV202'
	has 'in db 1'
	lacks 'ROOT CAUSE  RV211'
	kill "$BACKGROUND_PID"
	start_worker "$REDIS_URL/1?list=jobs"
	run "$REEVE_TOOL" diagnose "$LIST"
	expect_status 1
	has 'ROOT CAUSE  RV202'
	has "reads 'jobs' in db 1"
}

somebody_blocks() {
	redis INFO clients | grep -q '^blocked_clients:1'
}

@test "a read-only replica and a server that evicts are found" {
	replica=$(free_port)
	start_background replica redis-server --port "$replica" --bind 127.0.0.1 \
	    --save '' --dir "$(test_dir)" --replicaof 127.0.0.1 "$REDIS_PORT"
	wait_until is_replica "$replica"
	run "$REEVE_TOOL" diagnose "redis://127.0.0.1:$replica/0?list=jobs"
	has RV226
	redis CONFIG SET maxmemory-policy allkeys-lru >/dev/null
	run "$REEVE_TOOL" diagnose "$LIST" --verbose
	redis CONFIG SET maxmemory-policy noeviction >/dev/null
	has RV224
}

is_replica() {
	redis-cli -p "$1" INFO replication | grep -q 'master_link_status:up'
}

@test "a supervisor remembers what was moved in its queue" {
	REEVE_SOCKET=$(test_dir)/run
	export REEVE_SOCKET
	mkdir "$REEVE_SOCKET"
	dead_letters redis 3
	cat >"$(test_dir)/reeve.yaml" <<-YAML
	apiVersion: reeve/v1
	name: t
	queues: [{name: jobs, kind: redis, url: "$REDIS_URL", list: jobs}]
	workers: [{name: w, command: [/bin/sleep, infinity]}]
	YAML
	start_background run "$REEVE" run -f "$(test_dir)/reeve.yaml"
	wait_until "$REEVE" events
	queue requeue jobs -f "$(test_dir)/reeve.yaml" --yes
	expect_status 0
	run "$REEVE" events --output json
	jq -se 'map(select(.kind == "queue-moved")) | length == 1
	    and (.[0].text | test("requeue of queue .jobs. by uid [0-9]+: 3 of 3"))' \
	    <<<"$output"
}

@test "a database that takes no writes is found" {
	sql "CREATE ROLE reader LOGIN PASSWORD '$PG_PASSWORD'; GRANT SELECT ON work TO reader;
	ALTER ROLE reader SET default_transaction_read_only = on"
	run "$REEVE_TOOL" diagnose "${TABLE/postgres:/reader:}" --verbose
	sql 'DROP OWNED BY reader; DROP ROLE reader'
	has RV226
	has default_transaction_read_only
}

@test "a server that dies or answers garbage while it is looked at: an error that says so" {
	for kind in redis postgres; do
		word=string.sub
		[ $kind = redis ] || word='octet_length'
		for how in after garbage; do
			redis FLUSHALL >/dev/null
			sql 'TRUNCATE work'
			dead_letters $kind 3
			through_proxy $kind "$word" $how
			queue dead "$QUEUE" --output json
			expect_status 3
			[ "$(jq -r '.queues[0] | .total, (.jobs | length),
			    (.error | length > 10)' <<<"$output" |
			    paste -sd' ')" = 'null 0 true' ]
			# the proxy cuts once: the same question again is answered
			queue dead "$QUEUE"
			expect_status 0
		done
	done
	dead_letters redis 1
	QUEUE=$LIST
	through_proxy redis LLEN garbage
	run_ls "$QUEUE"
	expect_status 3
	field waiting null
	[ "$(get error)" != null ]
}

@test "the log knows a queue however its URL is written" {
	dead_letters redis 1
	queue requeue "redis://127.0.0.1:$REDIS_PORT?list=jobs" --yes
	expect_status 0
	redis LMOVE jobs jobs:dead LEFT LEFT >/dev/null
	queue requeue "redis://default:@127.0.0.1:$REDIS_PORT/0?list=jobs&timeout=9s" --yes
	expect_status 1
	has 'held back: 1'
}

@test "a log that became long is begun anew, and the one before it is still known" {
	dead_letters redis 1
	queue requeue "$QUEUE" --yes
	expect_status 0
	head -c 9000000 /dev/zero | tr '\0' x >>"$LOG"
	echo >>"$LOG"
	redis LMOVE jobs jobs:dead LEFT LEFT >/dev/null
	queue requeue "$QUEUE" --yes
	expect_status 1
	has 'held back: 1'
	queue requeue "$QUEUE" --yes --force
	expect_status 0
	[ "$(stat -c %s "$LOG")" -lt 10000 ]
	[ "$(stat -c %s "$LOG.1")" -gt 9000000 ]
	[ "$(log_states)" = 'begun moved' ]
	# there are never more than two
	head -c 9000000 /dev/zero | tr '\0' x >>"$LOG"
	redis LMOVE jobs jobs:dead LEFT LEFT >/dev/null
	queue requeue "$QUEUE" --yes --force
	expect_status 0
	[ "$(find "$(dirname "$LOG")" -type f | wc -l)" = 2 ]
}
