#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# RQ, Celery, Sidekiq and Resque on a real Redis, with their own clients and
# workers: in every state the counts are theirs, a canary goes through a worker
# that isn't ours, and what failed is moved back as they do it.

bats_require_minimum_version 1.5.0
load ../lib
load queue_lib

# Debian's own, which has RQ and Celery.
PYTHON=/usr/bin/python3

setup() {
	need jq python3
	cd "$BATS_TEST_TMPDIR" || return
	start_redis
	export PYTHONPATH=$PWD PYTHONDONTWRITEBYTECODE=1
}

# follows OP RESULT…: follow says this sooner or later.
place() {
	look follow "$1" "${PAYLOAD:-}"
	[ "$(fact state)" = "$2" ]
}
# A library takes a job out of one place before it puts it into the next: in
# between it is gone, and not yet done.
done_with() {
	place "$1" gone && [ "$(fact "done")" = yes ]
}
seen_in() { run_ls "$1" && field "$2" "$3"; }
by_reeve() { "$REEVE_TOOL" queue "$@"; }

# --- RQ ------------------------------------------------------------------------

rq_python() {
	"$PYTHON" - <<-END
		import rq, redis, time, builtins
		connection = redis.Redis.from_url("$REDIS_URL/0")
		queue = rq.Queue("jobs", connection=connection)
		$1
	END
}
start_rq() {
	start_background rq /usr/bin/rq worker --url "$REDIS_URL/0" jobs
	wait_until grep -q 'Listening on' "$BACKGROUND_LOG"
}

# What RQ itself counts: waiting, active, delayed, failed, and whether it is paused.
rq_counts() {
	rq_python 'import rq.suspension
print(queue.count, queue.started_job_registry.count, queue.scheduled_job_registry.count,
    queue.failed_job_registry.count, bool(rq.suspension.is_suspended(connection)))'
}

same_rq_counts() {
	local theirs
	theirs=$(rq_counts)
	run_ls "$URL"
	[ "$(get waiting) $(get active) $(get delayed) $(get failed) $(get paused)" = "$theirs" ] || {
		printf 'RQ says: %s\n%s\n' "$theirs" "$output" >&2
		return 1
	}
}

@test "rq: each state as RQ itself counts it; who consumes; a near name" {
	URL="rq+redis://127.0.0.1:$REDIS_PORT/0?queue=jobs"
	same_rq_counts
	field waiting 0
	rq_python 'for i in range(3): queue.enqueue("time.sleep", 0)'
	same_rq_counts
	field waiting 3
	field consumers 0
	[ "$(get oldest_ms)" -ge 0 ]
	rq_python 'queue.enqueue("builtins.int", "x")'
	start_rq
	wait_until seen_in "$URL" failed 1
	wait_until seen_in "$URL" waiting 0
	field consumers 1
	rq_python 'import datetime
queue.enqueue("time.sleep", 600)
for i in range(2): queue.enqueue("time.sleep", 0)
queue.enqueue_in(datetime.timedelta(hours=1), "time.sleep", 0)'
	wait_until seen_in "$URL" active 1
	same_rq_counts
	field waiting 2
	field delayed 1
	field failed 1
	field paused False
	rq_python 'import rq.suspension; rq.suspension.suspend(connection)'
	same_rq_counts
	field paused True
	run "$REEVE_TOOL" diagnose "$URL"
	has RV228
	run_ls "rq+redis://127.0.0.1:$REDIS_PORT/0?queue=job"
	look observe "rq+redis://127.0.0.1:$REDIS_PORT/0?queue=job"
	jq -e ".queue.near[] | select(.name == \"jobs\")" <<<"$(tail -n 1 <<<"$output")"
}

@test "rq: a job whose retries wait, and one whose come at once" {
	URL="rq+redis://127.0.0.1:$REDIS_PORT/0?queue=jobs"
	retried() {
		redis FLUSHALL >/dev/null
		rq_python "queue.enqueue(\"time.sleep\", 0$1)"
		run_ls "$URL"
	}
	retried ''
	[ "$(command jq '.queues[0].server | has("backs_off")' <<<"$output")" = false ]
	retried ', retry=rq.Retry(max=3)'
	field server.backs_off.is False
	retried ', retry=rq.Retry(max=3, interval=[10, 30])'
	field server.backs_off.is True
}

@test "rq: a canary through RQ's own worker; what failed is requeued once" {
	URL="rq+redis://127.0.0.1:$REDIS_PORT/0?queue=jobs"
	look submit "$URL" ''
	RECEIPT=$(fact receipt)
	place "$URL" visible
	start_rq
	wait_until done_with "$URL"
	: >broken
	cat >work.py <<-END
		import os
		def work(name):
		    if os.path.exists("broken"): raise RuntimeError("broken " + name)
		    open("done." + name, "w").close()
	END
	rq_python 'queue.enqueue("work.work", "a")'
	wait_until seen_in "$URL" failed 1
	run by_reeve dead "$URL"
	[[ $output == *"broken a"* ]]
	rm broken
	by_reeve requeue "$URL" --yes --log "$PWD/moves.jsonl"
	wait_until test -e done.a
	wait_until seen_in "$URL" failed 0
}

# --- Celery ----------------------------------------------------------------------

celery_app() {
	cat >app.py <<-END
		import time
		from celery import Celery
		app = Celery("app", broker="$REDIS_URL/0", backend="$REDIS_URL/0")
		app.conf.task_default_queue = "jobs"
		@app.task
		def work(seconds): time.sleep(seconds)
	END
}
# start_celery [POOL]: with "solo" it answers nobody while it works.
start_celery() {
	start_background celery "$PYTHON" -m celery -A app worker -c 1 -P "${1:-solo}" \
	    -Q jobs --without-gossip --without-mingle -l INFO
	wait_until -t 60 grep -q ' ready' "$BACKGROUND_LOG"
}

# celery_counts WORKERS: what Celery itself says: kombu's count of the queue, and
# what inspect says that its workers have.
celery_counts() {
	"$PYTHON" -c 'import app, sys
workers = int(sys.argv[1])
with app.app.connection() as c:
    waiting = c.default_channel._size("jobs")
inspect = app.app.control.inspect(timeout=10, limit=workers)
have = [ask() for ask in (inspect.active, inspect.reserved, inspect.scheduled)] if workers else []
print(waiting, sum(len(tasks) for of in have for tasks in (of or {}).values()))' "$1"
}

same_celery_counts() {
	local theirs
	theirs=$(celery_counts "$1")
	run_ls "$URL"
	[ "$(get waiting) $(get active)" = "$theirs" ] || {
		printf 'Celery says: %s\n%s\n' "$theirs" "$output" >&2
		return 1
	}
}

# All that was sent is done: both say so of the same moment.
celery_rests() {
	same_celery_counts 1 && field waiting 0 && field active 0
}

celery_works() {
	same_celery_counts 1 && [ "$(get active)" -ge 2 ]
}

@test "celery: each state as Celery itself counts it, and a canary by the task that every worker has" {
	URL="celery+redis://127.0.0.1:$REDIS_PORT/0?queue=jobs"
	celery_app
	# else a task is acknowledged, and not to be seen in Redis, when it begins
	echo 'app.conf.task_acks_late = True' >>app.py
	"$PYTHON" -c 'import app
for i in range(3): app.work.delay(0)
app.work.apply_async((0,), priority=6)'
	same_celery_counts 0
	field waiting 4
	field active 0
	field quality.active at-least
	look submit "$URL" ''
	RECEIPT=$(fact receipt)
	place "$URL" visible
	start_celery threads
	wait_until done_with "$URL"
	wait_until celery_rests
	# one worker takes four: it works on one, two wait in it, one for its time
	"$PYTHON" -c 'import app
app.work.apply_async((0,), countdown=3600)
for i in range(4): app.work.delay(600)'
	wait_until celery_works
}

@test "celery: what a killed worker had goes back as kombu would put it, once" {
	URL="celery+redis://127.0.0.1:$REDIS_PORT/0?queue=jobs&idle=1s"
	celery_app
	cat >>app.py <<-END
		import os
		app.conf.task_acks_late = True
		@app.task
		def note(name):
		    open("begun", "a").write(name + "\n")
		    while name == "block" and not os.path.exists("go"): time.sleep(0.1)
		    open("effects", "a").write(name + "\n")
	END
	"$PYTHON" -c 'import app
for name in ("block", "a", "b"): app.note.delay(name)'
	start_celery
	wait_until grep -q block begun
	wait_until seen_in "$URL" active 1
	kill -KILL "$BACKGROUND_PID"
	run --separate-stderr by_reeve peek "$URL" --part active --output json
	jq -e '.queues[0] | .total == 1 and .jobs[0].attempts == 1' <<<"$output"
	run --separate-stderr by_reeve requeue "$URL" --yes --log "$PWD/moves.jsonl"
	[ "$status" -eq 4 ]
	expired() {
		by_reeve peek "$URL" --part expired --output json | jq -e '.queues[0].total == 1'
	}
	wait_until expired
	# with the hour that Celery takes by default none is lost yet
	by_reeve peek "${URL%&*}" --part expired --output json | jq -e '.queues[0].total == 0'
	before=$(redis hvals unacked | jq -cS '.[0] | del(.headers.redelivered, .properties.delivery_info.redelivered)' | sort)
	by_reeve reclaim "$URL" --yes --log "$PWD/moves.jsonl" --output json |
	    jq -e '.moved | length == 1'
	by_reeve reclaim "$URL" --yes --log "$PWD/moves.jsonl" --output json |
	    jq -e '.outcome == "nothing"'
	[ "$(redis exists unacked unacked_index)" = 0 ]
	# it is the next to be taken
	redis lindex jobs -1 >waiting
	jq -es 'length == 1 and all(.headers.redelivered and .properties.delivery_info.redelivered)' waiting
	[ "$(jq -cS 'del(.headers.redelivered, .properties.delivery_info.redelivered)' waiting | sort)" = "$before" ]
	: >go
	start_celery
	done_all() { [ "$(sort effects | paste -sd' ')" = 'a b block' ]; }
	wait_until done_all
}

# --- Sidekiq ---------------------------------------------------------------------

sidekiq_app() {
	cat >work.rb <<-'END'
		require "sidekiq"
		url = { url: ENV["REDIS_URL"] + "/0" }
		Sidekiq.configure_server { |c| c.redis = url }
		Sidekiq.configure_client { |c| c.redis = url }
		class Work
		  include Sidekiq::Worker
		  sidekiq_options queue: "jobs", retry: 0
		  def perform(name)
		    sleep 600 if name == "long"
		    raise "broken #{name}" if File.exist?("broken")
		    File.write("done.#{name}", "")
		  end
		end
	END
}
sidekiq_ruby() { ruby -r ./work.rb -r sidekiq/api -e "$1"; }
start_sidekiq() {
	start_background sidekiq sidekiq -r ./work.rb -q jobs -c 2
	wait_until -t 60 grep -q 'Booting Sidekiq' "$BACKGROUND_LOG"
}

# What Sidekiq's own API counts: waiting, active, delayed (or to be tried again),
# dead.
sidekiq_counts() {
	sidekiq_ruby 'of = ->(set) { set.count { |job| job.queue == "jobs" } }
		puts [Sidekiq::Queue.new("jobs").size,
		  Sidekiq::Workers.new.count { |_, _, work| work["queue"] == "jobs" },
		  of.(Sidekiq::ScheduledSet.new) + of.(Sidekiq::RetrySet.new), of.(Sidekiq::DeadSet.new)].join(" ")'
}

same_sidekiq_counts() {
	local theirs
	theirs=$(sidekiq_counts)
	run_ls "$URL"
	[ "$(get waiting) $(get active) $(get delayed) $(get dead)" = "$theirs" ] || {
		printf 'Sidekiq says: %s\n%s\n' "$theirs" "$output" >&2
		return 1
	}
}

@test "sidekiq: each state as Sidekiq's own API counts it; a canary through its own worker" {
	need ruby sidekiq
	URL="sidekiq+redis://127.0.0.1:$REDIS_PORT/0?queue=jobs"
	sidekiq_app
	same_sidekiq_counts
	field waiting 0
	sidekiq_ruby '3.times { |i| Work.perform_async("n#{i}") }
		Work.perform_in(3600, "later"); Work.set(queue: "other").perform_in(3600, "else")'
	same_sidekiq_counts
	field waiting 3
	field delayed 1
	field consumers 0
	[ "$(get oldest_ms)" -ge 0 ]
	PAYLOAD='{"class": "Work", "args": ["canary"]}'
	look submit "$URL" "$PAYLOAD"
	RECEIPT=$(fact receipt)
	place "$URL" visible
	start_sidekiq
	wait_until place "$URL" gone
	# gone is what was taken; how far it is only its process knows
	wait_until test -e done.canary
	wait_until seen_in "$URL" consumers 1
	sidekiq_ruby 'Work.perform_async("long")'
	# a process tells every ten seconds what it works on
	wait_until -t 60 seen_in "$URL" active 1
	same_sidekiq_counts
}

@test "sidekiq: a dead job is requeued once, its arguments as they were" {
	need ruby sidekiq
	URL="sidekiq+redis://127.0.0.1:$REDIS_PORT/0?queue=jobs"
	sidekiq_app
	: >broken
	sidekiq_ruby 'Work.perform_async("a")'
	start_sidekiq
	wait_until seen_in "$URL" dead 1
	# what it works on is told every ten seconds
	wait_until same_sidekiq_counts
	run by_reeve dead "$URL"
	[[ $output == *"broken a"* ]]
	rm broken
	by_reeve requeue "$URL" --yes --log "$PWD/moves.jsonl"
	wait_until test -e done.a
	seen_in "$URL" dead 0
}

# --- Resque ----------------------------------------------------------------------

resque() { (cd "$NODE_DIR" && node resque.mjs "$REDIS_PORT" "$@"); }

# What node-resque itself counts: waiting, active, failed.
same_resque_counts() {
	local theirs
	theirs=$(resque counts)
	run_ls "$URL"
	[ "$(get waiting) $(get active) $(get failed)" = "$theirs" ] || {
		printf 'node-resque says: %s\n%s\n' "$theirs" "$output" >&2
		return 1
	}
}

@test "resque: each state as node-resque itself counts it; a canary through a worker of node-resque" {
	need node
	node_packages
	URL="resque+redis://127.0.0.1:$REDIS_PORT/0?queue=jobs"
	same_resque_counts
	field waiting 0
	field delayed 0
	resque enqueue a b bad later
	same_resque_counts
	field waiting 3
	field consumers 0
	# the schedule is one of all queues
	field delayed null
	PAYLOAD='{"class": "work", "queue": "jobs", "args": ["$(CANARY)"]}'
	look submit "$URL" "$PAYLOAD"
	RECEIPT=$(fact receipt)
	place "$URL" visible
	start_background resque node "$NODE_DIR/resque.mjs" "$REDIS_PORT" work "$PWD/effects"
	wait_until place "$URL" gone
	wait_until grep -q "$CANARY" effects
	wait_until seen_in "$URL" failed 1
	# the last one is in hand until its worker says otherwise
	wait_until same_resque_counts
	field waiting 0
	resque enqueue block
	wait_until seen_in "$URL" active 1
	same_resque_counts
	[ "$(redis scard resque:workers)" = 1 ]
}

@test "resque: a failed job is requeued as Resque does it, and held when it comes back" {
	need node
	node_packages
	URL="resque+redis://127.0.0.1:$REDIS_PORT/0?queue=jobs"
	(cd "$NODE_DIR" && node resque.mjs "$REDIS_PORT" enqueue bad)
	start_background resque node "$NODE_DIR/resque.mjs" "$REDIS_PORT" work "$PWD/effects"
	wait_until seen_in "$URL" failed 1
	run --separate-stderr by_reeve dead "$URL" --output json
	jq -e '.queues[0] | .total == 1 and (.jobs[0].error | contains("bad job"))' <<<"$output"
	by_reeve requeue "$URL" --yes --log "$PWD/moves.jsonl"
	# the old entry stays, marked; the new one is a job that came back
	twice() { [ "$(redis llen resque:failed)" = 2 ]; }
	wait_until twice
	[ "$(redis lrange resque:failed 0 -1 | jq -s 'map(has("retried_at")) | tostring')" = '"[true,false]"' ]
	run_ls "$URL"
	field failed 1
	run --separate-stderr by_reeve requeue "$URL" --yes --log "$PWD/moves.jsonl"
	[ "$status" -eq 1 ]
	[[ $output == *'held back: 1'* ]]
}

@test "resque: the payload's bytes are as they were, other queues' jobs stay" {
	URL="resque+redis://127.0.0.1:$REDIS_PORT/0?queue=jobs"
	payload='{"class":"Work","args":[[],{},12345678901234567890,1.0,"}\"{"]}'
	redis -x rpush resque:failed <<<'{"failed_at":"2026/11/22 10:00:00 UTC","payload":{"class":"Other","args":[]},"exception":"E","error":"x","queue":"others"}' >/dev/null
	redis rpush resque:failed "{\"failed_at\":\"2026/11/22 10:00:00 UTC\",\"payload\":$payload,\"exception\":\"RuntimeError\",\"error\":\"boom\",\"backtrace\":[],\"worker\":\"h:1:jobs\",\"queue\":\"jobs\"}" \
	    'no json' '{"queue":"jobs"}' >/dev/null
	run --separate-stderr by_reeve dead "$URL" --output json
	jq -e '.queues[0] | .total == 1 and (.jobs[0] | .error == "RuntimeError: boom" and .owner == "h:1:jobs" and .age_ms > 0)' <<<"$output"
	pids=()
	for i in 1 2; do
		by_reeve requeue "$URL" --yes --log "$PWD/moves.$i" >"out.$i" 3>&- 4>&- &
		pids+=($!)
	done
	wait "${pids[0]}"
	wait "${pids[1]}"
	[ "$(redis lrange resque:queue:jobs 0 -1)" = "$payload" ]
	[ "$(redis llen resque:failed)" = 4 ]
	[ "$(redis sismember resque:queues jobs)" = 1 ]
	[ "$(redis lindex resque:failed 1 | jq -c .payload.args[1:2])" = '[{}]' ]
}
