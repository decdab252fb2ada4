#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031
# The NATS JetStream driver, against a real server and a worker of another
# project.

load ../lib
load queue_lib
load broker_lib

setup_file() {
	need nats-server node
	node_packages
	start_nats
}

# A work queue as incident 004 has them; each test has its own.
setup() {
	TIER=T$BATS_TEST_NUMBER
	STREAM=P8FS_STORAGE_EVENTS_$TIER
	SUBJECT=p8fs.storage.events.$TIER
	nats_client stream "$STREAM" \
	    "{\"subjects\":[\"$SUBJECT\"],\"retention\":\"workqueue\"}"
	QUEUE="$NATS_URL?stream=$STREAM&consumer=small-workers"
	MONITORED="$QUEUE&monitor=http%3A%2F%2F127.0.0.1:$NATS_MONITOR"
}

consumer() {
	nats_client consumer "$STREAM" small-workers "${1:-{\}}"
}

counted() {
	[ "$(nats_client counts "$STREAM" small-workers | jq ".$1")" = "$2" ]
}

# Between two pulls nobody waits.
pulled_by() {
	run_ls "$MONITORED"
	field consumers "$1"
}

took() {
	[ "$(wc -l <"$SEEN")" -ge "$1" ]
}

# state KEY: of the last look's queue, as "value" or its why.
state() {
	printf '%s\n' "$output" | tail -n 1 | jq -r ".queue.$1 | .value // .why"
}

@test "nobody pulls: what waits is counted, and its age, after several looks" {
	consumer
	nats_client publish "$SUBJECT" 3 job
	run_ls "$MONITORED"
	expect_status 0
	field waiting 3
	field active 0
	field dead 0
	field consumers 0
	field delayed null
	[ "$(get oldest_ms)" -ge 0 ]
}

@test "a worker that pulls is seen, and so is that it took everything" {
	consumer
	nats_client publish "$SUBJECT" 2 job
	start_nats_worker "$STREAM" small-workers ack
	wait_until took 2
	wait_until counted messages 0
	wait_until pulled_by 1
	field waiting 0
	field quality.consumers at-least
	field consumer_list.0.id 'client work'
}

@test "a worker that holds what it takes, up to the limit: saturated" {
	consumer '{"max_ack_pending":2}'
	nats_client publish "$SUBJECT" 5 job
	start_nats_worker "$STREAM" small-workers hold
	wait_until counted active 2
	look observe "$QUEUE"
	[ "$(answer result)" = passed ]
	counted waiting 3
	[ "$(state waiting)" = 3 ]
	[ "$(state active)" = 2 ]
	[ "$(state capacity)" = 2 ]
	[ "$(state lease_ms)" = 30000 ]
	printf '%s\n' "$output" | tail -n 1 |
	    jq -e '.queue.stuck.why | contains("max_ack_pending")'
}

@test "what was given up after max_deliver is dead, though no lag shows it" {
	consumer '{"max_deliver":2,"ack_wait":200000000}'
	nats_client publish "$SUBJECT" 2 job
	start_nats_worker "$STREAM" small-workers nak
	wait_until took 4
	wait_until counted active 0
	counted waiting 0
	counted messages 2
	run_ls "$QUEUE"
	field waiting 0
	field active 0
	field dead 2
	[ "$(get attempts_max)" -ge 2 ]
}

@test "the dead go back to the waiting ones, each once, with its headers" {
	consumer '{"max_deliver":1,"ack_wait":200000000}'
	nats_client publish "$SUBJECT" 3 job
	start_nats_worker "$STREAM" small-workers nak
	wait_until took 3
	kill "$NATS_WORKER"
	wait_until counted pulls 0
	wait_until counted active 0
	look list "$QUEUE" '' '"part":"dead","limit":10'
	[ "$(answer result)" = passed ]
	printf '%s\n' "$output" | tail -n 1 | jq -e '[.jobs.items[].id] ==
	    ["'"$STREAM"':1","'"$STREAM"':2","'"$STREAM"':3"]
	    and .jobs.total.value == 3 and (.jobs.items[0].payload | @base64d) == "job0"'
	look move "$QUEUE" '' \
	    '"part":"dead","ids":["'"$STREAM"':1","'"$STREAM"':2"]'
	[ "$(answer result)" = passed ]
	counted waiting 2
	counted messages 3
	look move "$QUEUE" '' '"part":"dead","ids":["'"$STREAM"':1"]'
	counted messages 3
	# one that waits is nobody's to move
	look move "$QUEUE" '' '"part":"dead","ids":["'"$STREAM"':4"]'
	[ "$(answer result)" != passed ]
	counted messages 3
	look list "$QUEUE" '' '"part":"waiting","limit":10'
	printf '%s\n' "$output" | tail -n 1 |
	    jq -e '[.jobs.items[].payload | @base64d] == ["job0","job1"]'
}

@test "two movers at once: each message is moved once, and by one of them" {
	consumer '{"max_deliver":1,"ack_wait":200000000}'
	nats_client publish "$SUBJECT" 60 job
	start_nats_worker "$STREAM" small-workers nak
	wait_until took 60
	kill "$NATS_WORKER"
	wait_until counted pulls 0
	wait_until counted active 0
	requeue() {
		"$REEVE_TOOL" queue requeue "$QUEUE" --yes --output json \
		    --log "$(test_dir)/moves.$1" >"$(test_dir)/moved.$1"
	}
	requeue 1 3>&- &
	requeue 2
	wait $!
	[ "$(cat "$(test_dir)"/moved.[12] | jq -s '[.[].moved[]?] | length')" = 60 ]
	counted messages 60
	counted waiting 60
}

@test "the connection ends before or after a message is stored again: nothing is lost, and a second try stores none twice" {
	for how in before after; do
		# each time in a stream of its own
		STREAM=$STREAM-$how SUBJECT=$SUBJECT.$how
		nats_client stream "$STREAM" "{\"subjects\":[\"$SUBJECT\"],\"retention\":\"workqueue\"}"
		consumer '{"max_deliver":1,"ack_wait":200000000}'
		QUEUE="$NATS_URL?stream=$STREAM&consumer=small-workers&subject=$SUBJECT"
		nats_client publish "$SUBJECT" 3 job
		start_nats_worker "$STREAM" small-workers nak
		wait_until took 3
		kill "$NATS_WORKER"
		wait_until counted pulls 0
		wait_until counted active 0
		start_cut "$NATS_PORT" "reeve-requeue-$STREAM-2" "$how"
		log=$(test_dir)/moves.$how
		run --separate-stderr "$REEVE_TOOL" queue requeue \
		    "${QUEUE/:$NATS_PORT/:$CUT_PORT}" --yes --log "$log" --output json
		expect_status 3
		jq -e '.outcome == "unknown" and (.why | contains("1 of 3 moved"))' <<<"$output"
		[ "$(jq -rs 'map(.state) | join(" ")' "$log")" = 'begun unknown' ]
		run --separate-stderr "$REEVE_TOOL" queue requeue "$QUEUE" --yes --log "$log" --output json
		expect_status 0
		jq -e '(.moved | length) == 2 and (.moved_as | length) == 2' <<<"$output"
		counted messages 3
		look list "$QUEUE" '' '"part":"waiting","limit":10'
		printf '%s\n' "$output" | tail -n 1 |
		    jq -e '[.jobs.items[].payload | @base64d] | sort == ["job0","job1","job2"]'
	done
}

@test "a wrong stream, consumer and subject each name the nearest real one" {
	consumer
	run_ls "$NATS_URL?stream=p8fs-storage-events-$TIER&consumer=small-workers"
	expect_status 3
	has 'there is no stream'
	run "$REEVE_TOOL" diagnose "$NATS_URL?stream=p8fs-storage-events-$TIER&consumer=small-workers"
	has 'ROOT CAUSE  RV209' && has "near: $STREAM"
	run_ls "$NATS_URL?stream=p8fs-storage-events-$TIER&consumer=small-workers"
	field near.0.name "$STREAM"
	run_ls "$NATS_URL?stream=$STREAM&consumer=small_workers"
	expect_status 3
	has "has no consumer 'small_workers'"
	field near.0.name small-workers
	look observe "$QUEUE&subject=p8fs.storage.events.${TIER}x"
	printf '%s\n' "$output" | tail -n 1 | jq -e '.queue.bound.is == "no"
	    and (.queue.bound.why | contains("stored by no stream"))
	    and .queue.near[0].name == "'"$SUBJECT"'"'
	run "$REEVE_TOOL" diagnose "$QUEUE&subject=p8fs.storage.events.${TIER}x"
	has RV222
	has "near: $SUBJECT (stream $STREAM)"
}

@test "a canary goes where it is said to go, through the worker, and away" {
	consumer
	look submit "$QUEUE&subject=$SUBJECT" '{"canary":"$(CANARY)"}'
	[ "$(answer result)" = passed ]
	has "subject $SUBJECT, stream $STREAM, consumer small-workers"
	RECEIPT=$(fact receipt)
	look follow "$QUEUE&subject=$SUBJECT" '{"canary":"$(CANARY)"}'
	[ "$(fact state)" = visible ]
	start_nats_worker "$STREAM" small-workers ack
	wait_until counted messages 0
	look follow "$QUEUE&subject=$SUBJECT" '{"canary":"$(CANARY)"}'
	[ "$(fact state)" = gone ]
	[ "$(fact "done")" = "" ]
	grep -q "$CANARY" "$SEEN"
}

@test "a canary that nobody took is removed; one in hand is left alone" {
	consumer
	look submit "$QUEUE" canary
	RECEIPT=$(fact receipt)
	look remove "$QUEUE" canary
	[ "$(fact removed)" = yes ]
	counted messages 0
	start_nats_worker "$STREAM" small-workers hold
	unset RECEIPT
	CANARY=2d9f1c52-0d4b-4a58-9a3e-52a1a2f0c4f1
	look submit "$QUEUE" canary
	RECEIPT=$(fact receipt)
	wait_until counted active 1
	look follow "$QUEUE" canary
	[ "$(fact state)" = taken ]
	look remove "$QUEUE" canary
	[ "$(fact removed)" = no ]
	counted messages 1
}

# Incident 004: a TEST stream is declared, and what is published goes into the
# stream of production.
@test "a canary whose subject another stream stores is never published" {
	nats_client stream "${STREAM}_TEST" \
	    '{"subjects":["p8fs.test.'"$TIER"'"],"retention":"workqueue"}'
	nats_client consumer "${STREAM}_TEST" test-workers '{}'
	consumer
	look submit \
	    "$NATS_URL?stream=${STREAM}_TEST&consumer=test-workers&subject=$SUBJECT" x
	[ "$(answer result)" = failed ]
	has "stored by stream '$STREAM', not by '${STREAM}_TEST'"
	counted messages 0
	look submit "$QUEUE&subject=nobody.stores.this" x
	[ "$(answer result)" = failed ]
	has 'stored by no stream'
}

@test "what isn't permitted says so at once, and the monitoring port helps out" {
	start_nats '
accounts {
	A { jetstream: enabled, users: [
		{ user: boss, password: pw },
		{ user: worker, password: pw, permissions: {
			publish: { deny: ["$JS.API.>"] } } } ] }
	B { jetstream: enabled, users: [ { user: other, password: pw } ] }
}'
	NATS_USER=boss:pw@ nats_client stream S \
	    '{"subjects":["s"],"retention":"workqueue"}'
	NATS_USER=boss:pw@ nats_client consumer S c '{}'
	NATS_USER=boss:pw@ nats_client publish s 2 job
	at=127.0.0.1:$NATS_PORT
	monitor=monitor=http%3A%2F%2F127.0.0.1:$NATS_MONITOR
	look observe "nats://worker:pw@$at?stream=S&consumer=c" '' '"timeout_ms": 60000'
	[ "$(answer cause)" = permission ]
	has 'Permissions Violation for Publish'
	# not when the time was over
	[ "$(answer elapsed_ms)" -lt 30000 ]
	look observe "nats://worker:pw@$at?stream=S&consumer=c&$monitor&account=A"
	[ "$(answer result)" = passed ]
	[ "$(state waiting)" = 2 ]
	# the right name in another account
	look observe "nats://other:pw@$at?stream=S&consumer=c&$monitor&account=B"
	[ "$(answer cause)" = not-found ]
	printf '%s\n' "$output" | tail -n 1 |
	    jq -e '.queue.near[0].where == "account A"'
	run "$REEVE_TOOL" diagnose "nats://other:pw@$at?stream=S&consumer=c&$monitor&account=B"
	has 'ROOT CAUSE  RV202' && has 'in account A'
	run "$REEVE_TOOL" diagnose "nats://worker:pw@$at?stream=S&consumer=c"
	has 'ROOT CAUSE  RV206' && has 'Permissions Violation'
	look observe "nats://worker:wrong@$at?stream=S&consumer=c"
	[ "$(answer cause)" = auth ]
	lacks wrong
}

@test "no JetStream, no NATS, nothing at all: each is told apart" {
	dir=$(mktemp -d "$(test_dir)/plain.XXXXXX")
	port=$(free_port)
	start_background plain nats-server -a 127.0.0.1 -p "$port"
	wait_until grep -q 'Server is ready' "$BACKGROUND_LOG"
	look observe "nats://127.0.0.1:$port?stream=S&consumer=c"
	[ "$(answer result)" = failed ]
	has 'JetStream is off'
	start_redis
	look observe "nats://127.0.0.1:$REDIS_PORT?stream=S&consumer=c"
	[ "$(answer result)" != passed ]
	has 'NATS server'
	look observe "nats://127.0.0.1:$(free_port)?stream=S&consumer=c"
	[ "$(answer cause)" = refused ]
	rm -rf "$dir"
}

@test "checks and stages of kind nats" {
	consumer
	nats_client publish "$SUBJECT" 1 "of 7d9f1c52-0d4b-4a58-9a3e-52a1a2f0c4f1 "
	ask() {
		run "$REEVE_TOOL" probe <<<"{\"kind\":\"nats\",\"subject\":\"check\",\"timeout_ms\":10000,\"url\":\"$NATS_URL\",$1}"
	}
	ask "\"stream\":\"$STREAM\""
	[ "$(answer result)" = passed ]
	[ "$(fact messages)" = 1 ]
	ask "\"natsSubject\":\"$SUBJECT\",\"canary\":\"7d9f1c52-0d4b-4a58-9a3e-52a1a2f0c4f1\""
	[ "$(answer result)" = passed ]
	ask "\"natsSubject\":\"$SUBJECT\",\"canary\":\"11111111-0d4b-4a58-9a3e-52a1a2f0c4f1\""
	[ "$(answer cause)" = mismatch ]
	cat >"$(test_dir)/reeve.yaml" <<YAML
apiVersion: reeve/v1
name: tiers
workers:
  - {name: small, command: ["true"]}
checks:
  - {name: stored, nats: {url: "$NATS_URL", stream: $STREAM, subject: $SUBJECT}}
  - {name: lost, nats: {url: "$NATS_URL", stream: $STREAM, subject: other.subject}}
YAML
	run "$REEVE_TOOL" check -f "$(test_dir)/reeve.yaml" --output json
	jq -e 'any(.findings[]; .result == "failed" and (.summary + .observed // ""
	    | contains("other.subject")))' <<<"$output"
	lacks "subject '$SUBJECT' is stored by no"
}
