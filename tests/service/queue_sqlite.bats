#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031
# The SQLite drivers, embedded and over a table of somebody's own, and the
# reference worker on them.

load ../lib
load queue_lib

setup() {
	DB=$(test_dir)/queue.db
	QUEUE="sqlite://$DB?queue=jobs"
}

lite() {
	sqlite3 -cmd '.timeout 5000' "$DB" "$1"
}

test_lite() {
	[ -n "$(lite "$1")" ]
}

put() {
	local payload
	for payload in "$@"; do
		lite "INSERT INTO reeve_jobs(queue,payload) VALUES ('jobs','$payload')"
	done
}

# The layout, made as a worker makes it.
make_layout() {
	run_ls "$QUEUE&create=true"
	expect_status 0
}

@test "the file is made only when that is asked for" {
	run_ls "$QUEUE"
	expect_status 3
	field waiting null
	has 'there is no database file'
	[ ! -e "$DB" ]
	make_layout
	field waiting 0
	field consumers 0
	run_ls "sqlite:///?queue=a"
	expect_status 3
	run_ls "sqlite://$(test_dir)?queue=a"
	expect_status 3
	has 'not a regular file'
	echo 'this is no database, however long it may be, in any way' >"$(test_dir)/text"
	run_ls "sqlite://$(test_dir)/text?queue=a"
	expect_status 3
	has 'not a database'
}

@test "jobs in each state are counted right" {
	make_layout
	lite "INSERT INTO reeve_jobs(queue,payload,status,attempts,lease,run_at,created) VALUES
	  ('jobs','a','waiting',0,NULL,0,unixepoch()*1000-90000),('jobs','b','waiting',2,NULL,0,unixepoch()*1000),
	  ('jobs','c','waiting',1,NULL,unixepoch()*1000+3600000,unixepoch()*1000),
	  ('jobs','d','active',3,unixepoch()*1000+3600000,0,0),
	  ('jobs','e','active',1,unixepoch()*1000-5000,0,0),('jobs','f','active',1,NULL,0,0),
	  ('jobs','g','dead',5,NULL,0,0),('jobs','h','done',1,NULL,0,0),
	  ('other','i','waiting',0,NULL,0,0)"
	run_ls "$QUEUE"
	expect_status 0
	field waiting 2
	field delayed 1
	field active 3
	field lease_expired 1
	field lease_missing 1
	field dead 1
	field completed 1
	field attempts_max 3
	field quality.failed not-applicable
	[ "$(get oldest_ms)" -ge 90000 ]
	[ "$(get oldest_ms)" -lt 600000 ]
}

@test "a look that is given the URL alone counts as far as one that is given the kind" {
	sqlite3 "$(test_dir)/t.db" "CREATE TABLE jobs(id INTEGER PRIMARY KEY, status TEXT, payload TEXT);
	  INSERT INTO jobs(status) VALUES ('queued'),('queued'),('queued')"
	look observe "sqlitetable+file://$(test_dir)/t.db?table=jobs"
	[ "$(jq -c .queue.waiting <<<"$output")" = '{"know":"exact","value":3}' ]
}

@test "a queue name that is off by one character shows the near one and who reads what" {
	start_worker "sqlite://$DB?queue=file-jobs"
	lite "INSERT INTO reeve_jobs(queue,payload) VALUES ('file:jobs','a'),('file:jobs','b')"
	run_ls "sqlite://$DB?queue=file:jobs"
	field waiting 2
	field consumers 0
	field consumer_list.0.reads file-jobs
	field consumer_list.0.pid "$WORKER_PID"
	run_ls "sqlite://$DB?queue=file-jobs"
	field waiting 0
	field consumers 1
	field near.0.name file:jobs
	field near.0.waiting 2
}

@test "a worker that died is no consumer" {
	start_worker "$QUEUE"
	run_ls "$QUEUE"
	field consumers 1
	kill_worker
	run_ls "$QUEUE"
	field consumers 0
}

@test "a worker does every job, retries, and buries poison after its attempts" {
	start_worker "$QUEUE" --backoff 20ms --max-attempts 3
	put one bad dead two
	wait_until test_lite "SELECT 1 FROM reeve_jobs GROUP BY queue HAVING
	  sum(status='done')=2 AND sum(status='dead')=2"
	[ "$(lite "SELECT attempts||error FROM reeve_jobs WHERE payload='bad'")" = '3exit 3' ]
	[ "$(lite "SELECT attempts||error FROM reeve_jobs WHERE payload='dead'")" = '1exit 78' ]
	[ "$(grep -c bad "$EFFECTS.tries")" = 3 ]
}

@test "the job of a killed worker is done by another after its lease, once" {
	start_worker "$QUEUE"
	put block1
	wait_until grep -q block1 "$EFFECTS.tries"
	kill_worker
	release_blocked
	lite 'UPDATE reeve_jobs SET lease=1'
	start_worker "$QUEUE"
	wait_until test_lite "SELECT 1 FROM reeve_jobs WHERE status='done' AND attempts=2"
	[ "$(grep -c block1 "$EFFECTS")" = 1 ]
}

@test "a lease is extended for as long as the job runs" {
	start_worker "$QUEUE" --lease 6s
	put block1
	wait_until grep -q block1 "$EFFECTS.tries"
	first=$(lite 'SELECT lease FROM reeve_jobs')
	wait_until test_lite "SELECT 1 FROM reeve_jobs WHERE lease>$first"
	release_blocked
	wait_until test_lite "SELECT 1 FROM reeve_jobs WHERE status='done' AND attempts=1"
}

@test "a drain that takes too long gives the job back, uncounted" {
	start_worker "$QUEUE" --drain 100ms
	put block1 after
	wait_until grep -q block1 "$EFFECTS.tries"
	kill -TERM "$WORKER_PID"
	wait_until gone_pid "$WORKER_PID"
	[ "$(lite "SELECT count(*) FROM reeve_jobs WHERE status='waiting' AND attempts=0 AND lease IS NULL")" = 2 ]
	[ "$(lite 'SELECT count(*) FROM reeve_consumers')" = 0 ]
}

gone_pid() {
	! kill -0 "$1"
}

@test "two hundred jobs, three workers, random kills: nothing is lost" {
	make_layout
	write_job
	lite "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200)
	  INSERT INTO reeve_jobs(queue,payload) SELECT 'jobs','job-'||i FROM n"
	for _ in 1 2 3; do start_worker "$QUEUE" --lease 1s --concurrency 2; done
	pids=$(cut -d' ' -f1 "$(test_dir)/servers" | tail -n 3)
	killed=0
	for pid in $pids; do
		wait_until effects_beyond $((RANDOM % 30 + killed * 40))
		killed=$((killed + 1))
		kill -KILL "$pid" # it lives: else nothing would be tried
		start_worker "$QUEUE" --lease 1s --concurrency 2
	done
	wait_until test_lite "SELECT 1 FROM reeve_jobs GROUP BY queue HAVING sum(status='done')=200"
	diff <(sort -u "$EFFECTS") <(seq -f job-%g 200 | sort)
}

effects_beyond() {
	[ "$(wc -l <"$EFFECTS")" -ge "$1" ]
}

@test "a table of one's own: times as text, seconds or ms, each read as it is" {
	lite "CREATE TABLE docs(id TEXT PRIMARY KEY, state TEXT, until, tries INT DEFAULT 0, name TEXT, at TEXT);
	INSERT INTO docs VALUES
	  ('a','busy',datetime('now','+1 hour'),1,'n',NULL),('b','busy',datetime('now','-1 hour'),1,'n',NULL),
	  ('c','busy',unixepoch()+3600,1,'n',NULL),('d','busy',unixepoch()*1000-5000,1,'n',NULL)"
	KEYS='table=docs&status=state&waiting=new&active=busy&done=ok&failed=bad&lease=until&attempts=tries&created=at'
	run_ls "sqlitetable+file://$DB?$KEYS"
	expect_status 0
	field active 4
	field lease_expired 2
	field consumers null
	has 'SQLite does not know who reads'
	run_ls "sqlitetable+file://$DB?table=doc"
	expect_status 3
	field near.0.name docs
	run_ls "sqlitetable+file://$DB?table=docs&status=stat"
	expect_status 3
	has "no column 'stat'; it has 'state'"
	run_ls "sqlitetable+file://$DB?$KEYS&where=1);DROP%20TABLE%20docs;--"
	[ "$(lite 'SELECT count(*) FROM docs')" = 4 ]
}

@test "a worker on a table of one's own gets the row" {
	lite "CREATE TABLE docs(id TEXT PRIMARY KEY, state TEXT, until, tries INT DEFAULT 0, name TEXT);
	INSERT INTO docs(id,state,name) VALUES ('x-1','new','block no'),('x-2','new','bad')"
	KEYS='table=docs&status=state&waiting=new&active=busy&done=ok&failed=bad&lease=until&attempts=tries'
	start_worker "sqlitetable+file://$DB?$KEYS" --max-attempts 2 --backoff 20ms
	release_blocked
	wait_until test_lite "SELECT 1 FROM docs GROUP BY 1=1 HAVING sum(state='ok')=1 AND sum(state='bad')=1"
	grep -q '"id":"x-1"' "$EFFECTS"
	grep -q '"name":"block no"' "$EFFECTS"
}

@test "an id of several rows moves none of them, and a worker says so" {
	lite "CREATE TABLE docs(id TEXT, payload, status TEXT, lease, attempts INT DEFAULT 0);
	INSERT INTO docs(id,payload,status) VALUES ('x-1','a','failed'),('x-1','b','processing'),('x-2','c','queued'),('x-2','d','queued')"
	url="sqlitetable+file://$DB?table=docs&payload=payload&lease=lease&attempts=attempts"
	lite "INSERT INTO docs(id,payload,status) VALUES ('x-1','e','failed')"
	run "$REEVE_TOOL" queue requeue "$url" --id x-1 --yes --log "$(test_dir)/moves"
	expect_status 1
	has "several rows of 'docs' have the id 'x-1'"
	[ "$(lite "SELECT count(*) FROM docs WHERE status='failed'")" = 2 ]
	start_worker "$url"
	wait_until grep -q "several rows of 'docs' have the id 'x-2'" "$WORKER_LOG"
	[ ! -s "$EFFECTS.tries" ]
}

@test "a canary: put in, seen, taken by whom, done, dead, removed" {
	make_layout
	look submit "$QUEUE" '{"id":"block $(CANARY)"}'
	RECEIPT=$(fact receipt)
	export RECEIPT
	look follow "$QUEUE" x
	[ "$(fact state)" = visible ]
	start_worker "$QUEUE"
	wait_until grep -q block "$EFFECTS.tries"
	look follow "$QUEUE" x
	[ "$(fact state)" = taken ]
	[[ $(fact by) = *"#$WORKER_PID:"* ]]
	look remove "$QUEUE" x
	[ "$(fact removed)" = no ]
	release_blocked
	wait_until test_lite "SELECT 1 FROM reeve_jobs WHERE status='done'"
	look follow "$QUEUE" x
	[ "$(fact state)" = gone ]
	[ "$(fact 'done')" = yes ]
	RECEIPT=
	look submit "$QUEUE" dead
	RECEIPT=$(fact receipt)
	export RECEIPT
	wait_until test_lite "SELECT 1 FROM reeve_jobs WHERE status='dead'"
	look follow "$QUEUE" dead
	[ "$(fact state)" = dead ]
	look remove "$QUEUE" dead
	[ "$(fact removed)" = yes ]
}

@test "a queue's URL is read strictly" {
	run "$REEVE_TOOL" queue ls "sqlite://$DB?queue=a?queue=b"
	expect_status 64
	has "second '?'"
	run "$REEVE_TOOL" queue ls "sqlite://$DB?quue=a"
	expect_status 64
	has "no key 'quue'; did you mean 'queue'?"
	run "$REEVE_TOOL" queue ls "redis://h:1/0/1?list=a"
	expect_status 64
	has 'second path'
	run "$REEVE_TOOL" queue ls "redis://user:top-secret@h:1/0?lst=a"
	expect_status 64
	lacks top-secret
	run "$REEVE_TOOL" queue ls "sqlite://$DB?queue=a&queue=b"
	expect_status 64
	has 'twice'
}

@test "a command that can't be run is found before a job is taken" {
	make_layout
	put one
	run "$REEVE_TOOL" worker --queue "$QUEUE" -- no-such-command
	expect_status 78
	has "no program 'no-such-command'"
	[ "$(lite 'SELECT attempts FROM reeve_jobs')" = 0 ]
	run "$REEVE_TOOL" worker --queue "$QUEUE"
	expect_status 64
	run "$REEVE_TOOL" worker --queue "$QUEUE" --lease 10ms -- true
	expect_status 64
}

done_rows() {
	[ "$(lite "SELECT count(*) FROM reeve_jobs WHERE status='done'")" = "$1" ]
}

@test "done jobs beyond those that are kept are deleted, the oldest first, and still counted" {
	make_layout
	lite "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<350)
	  INSERT INTO reeve_jobs(queue,payload,status) SELECT 'jobs',i,'done' FROM n;
	  INSERT INTO reeve_jobs(queue,payload,status) VALUES ('other','x','done'), ('jobs','dead','dead')"
	start_worker "$QUEUE&keep=100"
	wait_until done_rows 101
	[ "$(lite "SELECT min(id) FROM reeve_jobs WHERE queue='jobs' AND status='done'")" = 251 ]
	[ "$(lite "SELECT count(*) FROM reeve_jobs WHERE queue='other' OR status='dead'")" = 2 ]
	put one
	wait_until grep -q one "$EFFECTS"
	wait_until completed 351
	run_ls "$QUEUE&keep=10"
	expect_status 3
	has keep
}

completed() {
	run_ls "$QUEUE"
	[ "$(get completed)" = "$1" ]
}
