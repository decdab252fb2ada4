#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031
# The RabbitMQ driver, against a real broker and a worker of another project.

load ../lib
load queue_lib
load broker_lib

setup_file() {
	need epmd node
	node_packages
	start_rabbitmq
}

# Each test has a queue of its own.
setup() {
	NAME=fileprocess-jobs-$BATS_TEST_NUMBER
	QUEUE="$AMQP_URL?queue=$NAME"
	MANAGED="$QUEUE&mgmt=http%3A%2F%2Fguest%3Aguest%40127.0.0.1:$RABBIT_MGMT"
}

state() {
	printf '%s\n' "$output" | tail -n 1 | jq -r ".queue.$1 | .value // .why"
}

# is KEY VALUE: in a new look by the management API, whose numbers are late.
is() {
	look observe "$MANAGED"
	[ "$(state "$1")" = "$2" ]
}

# What rabbitmqctl says of a queue and what we say, of the management API too,
# whose numbers are late.
same_counts() {
	local theirs
	theirs=$(rabbit_counts "$1")
	[ "$theirs" = "$2" ] || {
		printf 'rabbitmqctl says: %s\n' "$theirs" >&2
		return 1
	}
	wait_until -t 60 counts_are "${MANAGED/queue=$NAME/queue=$1}" "$2"
}

counts_are() {
	look observe "$1"
	[ "$(state waiting) $(state active) $(state consumers)" = "$2" ]
}

@test "every count is the one that rabbitmqctl says" {
	amqp_client queue "$NAME.dead" '{}'
	amqp_client queue "$NAME" \
	    '{"x-dead-letter-exchange":"","x-dead-letter-routing-key":"'"$NAME"'.dead"}'
	same_counts "$NAME" '0 0 0'
	amqp_client send "$NAME" 5 job
	start_amqp_worker "$NAME" 2 hold
	wait_until took_two
	same_counts "$NAME" '3 2 1'
	kill_started "$BACKGROUND_PID"
	start_amqp_worker "$NAME" 1 reject
	wait_until holds "$NAME.dead" 5
	same_counts "$NAME.dead" '5 0 0'
	look observe "$QUEUE&dlq=$NAME.dead"
	[ "$(state dead)" = 5 ]
}

took_two() {
	grep -q job1 "$SEEN"
}

@test "what waits and who consumes is AMQP's own, what is in hand needs more" {
	amqp_client queue "$NAME" '{}'
	amqp_client send "$NAME" 3 job
	look observe "$QUEUE"
	[ "$(answer result)" = passed ]
	[ "$(state waiting)" = 3 ]
	[ "$(state consumers)" = 0 ]
	[[ "$(state active)" = *mgmt* ]]
	[[ "$(state dead)" = *deadLetter* ]]
}

@test "a worker that holds all it may: unacknowledged is at the prefetch" {
	amqp_client queue "$NAME" '{}'
	amqp_client send "$NAME" 5 job
	start_amqp_worker "$NAME" 2 hold
	wait_until -t 60 is active 2
	[ "$(state waiting)" = 3 ]
	[ "$(state consumers)" = 1 ]
	[ "$(state capacity)" = 2 ]
	printf '%s\n' "$output" | tail -n 1 | jq -e '.queue.active.know == "estimate"
	    and .queue.waiting.know == "exact"
	    and (.queue.who[0].address | startswith("127.0.0.1:"))
	    and .queue.held.is == "no"'
}

@test "one consumer holds what another could do, or all that comes: RV231" {
	hoarded() {
		run "$REEVE_TOOL" diagnose "$MANAGED" --verbose --output json
		jq -e --arg r "$1" --arg t "$2" 'any(.findings[]; .id == "RV231" and
		    .result == $r and (.summary | contains($t)))' <<<"$output"
	}
	amqp_client queue "$NAME" '{}'
	start_amqp_worker "$NAME" 10 hold
	wait_until -t 60 is consumers 1
	amqp_client send "$NAME" 5 job
	wait_until -t 60 is active 5
	start_amqp_worker "$NAME" 10 hold
	wait_until -t 60 hoarded failed 'one consumer holds 5, and 1 of 2'
	amqp_client send "$NAME" 2 job
	wait_until -t 60 hoarded passed 'nobody holds what another could do'
	start_amqp_worker "$NAME" 0 hold
	wait_until -t 60 hoarded failed 'have no prefetch'
}

@test "dead letters are counted in their own queue" {
	amqp_client queue "$NAME.dead" '{}'
	amqp_client queue "$NAME" \
	    '{"x-dead-letter-exchange":"","x-dead-letter-routing-key":"'"$NAME"'.dead"}'
	amqp_client send "$NAME" 2 job
	start_amqp_worker "$NAME" 1 reject
	dead() {
		look observe "$QUEUE&dlq=$NAME.dead"
		[ "$(state dead)" = 2 ]
	}
	wait_until dead
	[ "$(state waiting)" = 0 ]
}

@test "a quorum queue counts too" {
	amqp_client queue "$NAME" '{"x-queue-type":"quorum","x-delivery-limit":5}'
	amqp_client send "$NAME" 2 job
	counted() {
		look observe "$MANAGED"
		[ "$(state waiting)" = 2 ] && [ "$(state attempts_limit)" = 5 ]
	}
	wait_until counted
}

@test "a wrong name, vhost and password are told apart, with the near names" {
	amqp_client queue "$NAME" '{}'
	look observe "$AMQP_URL?queue=fileprocess_jobs_$BATS_TEST_NUMBER"
	[ "$(answer cause)" = not-found ]
	has "NOT_FOUND - no queue 'fileprocess_jobs"
	printf '%s\n' "$output" | tail -n 1 |
	    jq -e ".queue.near[0].name == \"$NAME\""
	look observe "${MANAGED/queue=fileprocess/queue=fileproces}"
	printf '%s\n' "$output" | tail -n 1 |
	    jq -e ".queue.near[0].name == \"$NAME\""
	look observe "amqp://guest:guest@127.0.0.1:$RABBIT_PORT/nov?queue=$NAME"
	[ "$(answer cause)" = wrong-database ]
	[ "$(answer code)" = 530 ]
	has 'vhost nov not found'
	run "$REEVE_TOOL" diagnose "amqp://guest:guest@127.0.0.1:$RABBIT_PORT/nov?queue=$NAME"
	has 'ROOT CAUSE  RV202' && has 'vhost nov not found'
	look observe "amqp://guest:swordfish@127.0.0.1:$RABBIT_PORT/%2F?queue=$NAME"
	[ "$(answer cause)" = auth ]
	lacks swordfish
	look observe "amqp://127.0.0.1:$(free_port)/%2F?queue=$NAME"
	[ "$(answer cause)" = refused ]
}

@test "a canary is confirmed, taken by the worker, and no wrong name takes one" {
	amqp_client queue "$NAME" '{}'
	look submit "$QUEUE" '{"canary":"$(CANARY)"}'
	[ "$(answer result)" = passed ]
	look follow "$QUEUE" x
	[ "$(fact state)" = visible ]
	start_amqp_worker "$NAME" 1 ack
	taken() {
		look follow "$QUEUE" x
		[ "$(fact state)" = taken ]
	}
	wait_until taken
	wait_until grep -q "$CANARY" "$SEEN"
	look submit "$AMQP_URL?queue=nobody" x
	[ "$(answer result)" = failed ]
	has NO_ROUTE
}

# dead_letters N [OPTIONS-JSON]: the worker refused jobs job0… of $NAME; they are
# in $NAME.dead.
dead_letters() {
	amqp_client queue "$NAME.dead" '{}'
	amqp_client queue "$NAME" \
	    '{"x-dead-letter-exchange":"","x-dead-letter-routing-key":"'"$NAME"'.dead"}'
	amqp_client send "$NAME" "$1" job "${2:-{\}}"
	start_amqp_worker "$NAME" 10 reject
	local worker=$BACKGROUND_PID
	wait_until holds "$NAME.dead" "$1"
	kill "$worker"
	wait_until unread "$NAME"
}

# holds QUEUE N: that many wait in it.
holds() {
	look observe "$AMQP_URL?queue=$1"
	[ "$(state waiting)" = "$2" ]
}

unread() {
	look observe "$AMQP_URL?queue=$1"
	[ "$(state consumers)" = 0 ]
}

queue() {
	run --separate-stderr "$REEVE_TOOL" queue "$@" --log "$(test_dir)/moves.jsonl"
}

peek() {
	run --separate-stderr "$REEVE_TOOL" queue "$@" --output json
}

of() {
	jq -er "$1" <<<"$output"
}

@test "peek shows what waits and gives it back to its place, marked as redelivered" {
	amqp_client queue "$NAME" '{}'
	amqp_client send "$NAME" 3 job '{"messageId":"m-1","timestamp":1700000000}'
	peek peek "$QUEUE" --limit 2
	expect_status 0
	of '.queues[0] | .total == 3 and ([.jobs[].payload] == ["job0", "job1"])'
	of '.queues[0].jobs[0] | .id == "m-1" and .age_ms > 1000000'
	peek peek "$QUEUE" --part active
	[ "$status" -ne 0 ]
	wait_until holds "$NAME" 3
	amqp_client drain "$NAME" >"$(test_dir)/drained"
	[ "$(jq -rs 'map(.body) | join(" ")' "$(test_dir)/drained")" = 'job0 job1 job2' ]
	[ "$(jq -rs 'map(.redelivered) | join(" ")' "$(test_dir)/drained")" = 'true true false' ]
}

@test "a quorum queue, which would count a look, is not looked into" {
	amqp_client queue "$NAME" '{"x-queue-type":"quorum","x-delivery-limit":2}'
	amqp_client send "$NAME" 1 job
	wait_until counted_quorum
	for _ in 1 2 3 4; do
		look list "$MANAGED" '' '"part":"waiting","limit":10'
		[ "$(answer code)" = unsupported ]
		has 'quorum queue'
	done
	# without the management API the message itself says so, and is given back
	look list "$QUEUE" '' '"part":"waiting","limit":10'
	[ "$(answer code)" = unsupported ]
	has 'quorum queue'
	wait_until holds "$NAME" 1
	amqp_client drain "$NAME" >"$(test_dir)/drained"
	[ "$(jq -r .body "$(test_dir)/drained")" = job0 ]
}

counted_quorum() {
	look observe "$MANAGED"
	[ "$(state attempts_limit)" = 2 ]
}

@test "dead letters are shown and go back confirmed, as they were, without their deaths" {
	dead_letters 3 '{"headers":{"kind":"mail","CC":["elsewhere"],"x-exception-message":"boom 7"},"persistent":true}'
	peek dead "$QUEUE&dlq=$NAME.dead"
	expect_status 0
	of '.queues[0] | .total == 3 and ([.jobs[] | .payload + .error] | sort == ["job0boom 7", "job1boom 7", "job2boom 7"])'
	of '.queues[0].jobs[0] | .attempts == 1 and (.id | length) == 40'
	queue requeue "$QUEUE&dlq=$NAME.dead"
	expect_status 0
	has 'would be moved: 3'
	wait_until holds "$NAME.dead" 3
	queue requeue "$QUEUE&dlq=$NAME.dead" --limit 2 --yes --output json
	expect_status 0
	of '.outcome == "moved" and (.moved | length) == 2'
	wait_until holds "$NAME.dead" 1
	wait_until holds "$NAME" 2
	amqp_client drain "$NAME" >"$(test_dir)/drained"
	jq -es 'all(.headers == {"kind": "mail", "x-exception-message": "boom 7"} and
	    .deliveryMode == 2 and .redelivered == false)' "$(test_dir)/drained"
}

@test "what comes back with the same error is held back" {
	dead_letters 1 '{"headers":{"x-exception-message":"boom"}}'
	queue requeue "$QUEUE&dlq=$NAME.dead" --yes
	expect_status 0
	start_amqp_worker "$NAME" 10 reject
	wait_until holds "$NAME.dead" 1
	queue requeue "$QUEUE&dlq=$NAME.dead" --yes
	expect_status 1
	has 'held back: 1'
	wait_until holds "$NAME.dead" 1
}

@test "others' dead letters in the same queue stay; its own are found by the management API" {
	dead_letters 2
	amqp_client queue "$NAME-other" \
	    '{"x-dead-letter-exchange":"","x-dead-letter-routing-key":"'"$NAME"'.dead","x-message-ttl":1}'
	amqp_client send "$NAME-other" 2 other
	wait_until holds "$NAME.dead" 4
	found() {
		peek dead "$MANAGED" && of '.queues[0] | .total == 2'
	}
	wait_until -t 60 found
	queue requeue "$MANAGED" --yes --output json
	expect_status 0
	of '.moved | length == 2'
	wait_until holds "$NAME" 2
	amqp_client drain "$NAME.dead" | jq -es 'map(.body) | sort == ["other0", "other1"]'
	# through an exchange, to the queue that is bound to it
	amqp_client exchange "$NAME-dlx" "$NAME.dead" k
	amqp_client queue "$NAME-x" '{"x-dead-letter-exchange":"'"$NAME"'-dlx","x-dead-letter-routing-key":"k"}'
	amqp_client send "$NAME-x" 1 job
	start_amqp_worker "$NAME-x" 1 reject
	found_x() {
		peek dead "${MANAGED/queue=$NAME/queue=$NAME-x}" && of '.queues[0].jobs | length == 1'
	}
	wait_until -t 60 found_x
}

@test "a full queue takes none: it is refused, and nothing is moved" {
	dead_letters 2
	amqp_client queue "$NAME-full" '{"x-max-length":1,"x-overflow":"reject-publish"}'
	amqp_client send "$NAME-full" 1 job
	amqp_client queue "$NAME-full.dead" '{}'
	amqp_client send "$NAME-full.dead" 2 job
	queue requeue "$AMQP_URL?queue=$NAME-full&dlq=$NAME-full.dead" --yes
	expect_status 1
	has 'it is full'
	wait_until holds "$NAME-full.dead" 2
	queue requeue "$AMQP_URL?queue=nobody&dlq=$NAME-full.dead" --yes
	expect_status 1
	has "no queue 'nobody'"
	wait_until holds "$NAME-full.dead" 2
}

@test "the connection ends before, in or after a publish: nothing is lost, and it says what it knows" {
	for how in before after; do
		amqp_client drain "$NAME" >/dev/null 2>&1 || :
		amqp_client queue "$NAME" '{}'
		amqp_client queue "$NAME.dead" '{}'
		amqp_client send "$NAME.dead" 3 "$how"
		start_cut "$RABBIT_PORT" "${how}1" "$how"
		queue requeue "${QUEUE/:$RABBIT_PORT/:$CUT_PORT}&dlq=$NAME.dead" --yes --output json
		expect_status 3
		of '.outcome == "unknown" and (.why | contains("1 of 3 moved"))'
		# the message in question may be in both, but is in one at least
		all_there() {
			peek peek "$QUEUE"
			of '.queues[0].jobs | map(.payload) | unique' >"$(test_dir)/there"
			peek peek "$AMQP_URL?queue=$NAME.dead"
			of '.queues[0].jobs | map(.payload) | unique' >>"$(test_dir)/there"
			[ "$(jq -cs 'add | unique' "$(test_dir)/there")" = "[\"${how}0\",\"${how}1\",\"${how}2\"]" ]
		}
		wait_until all_there
		[ "$(jq -r .state "$(test_dir)/moves.jsonl" | tail -n 1)" = unknown ]
		amqp_client drain "$NAME" >/dev/null
		amqp_client drain "$NAME.dead" >/dev/null
	done
}

@test "a canary nobody took is taken back where it would become a dead letter" {
	dead_letters 1
	amqp_client drain "$NAME.dead"
	amqp_client send "$NAME" 2 job
	look submit "$QUEUE&dlq=$NAME.dead" hello
	[ "$(answer result)" = passed ]
	look remove "$QUEUE&dlq=$NAME.dead" x
	[ "$(fact removed)" = yes ]
	look remove "$QUEUE&dlq=$NAME.dead" x
	[ "$(fact removed)" = no ]
	amqp_client drain "$NAME" >"$(test_dir)/drained"
	[ "$(jq -rs 'map(.body) | join(" ")' "$(test_dir)/drained")" = 'job0 job1' ]
	# it has no time to live there, and one of a minute elsewhere
	look submit "$MANAGED" hello
	amqp_client drain "$NAME" | jq -es '.[0] | .messageId and (.expiration == null)'
	look submit "${QUEUE}" hello
	amqp_client drain "$NAME" | jq -es '.[0].expiration == "60000"'
}

@test "a wrong vhost names the near one, and the queue of that name in another" {
	amqp_client queue "$NAME" '{}'
	amqp_client send "$NAME" 1 job
	curl -sf -u guest:guest -X PUT "http://127.0.0.1:$RABBIT_MGMT/api/vhosts/nova" >/dev/null
	wrong="amqp://guest:guest@127.0.0.1:$RABBIT_PORT/nov?queue=$NAME&mgmt=${MANAGED#*mgmt=}"
	near_seen() {
		look observe "$wrong"
		printf '%s\n' "$output" | tail -n 1 |
		    jq -e ".queue.near[0] | .name == \"$NAME\" and .where == \"vhost /\""
	}
	wait_until -t 60 near_seen
	[ "$(answer cause)" = not-found ]
	has "vhost 'nov' not found"
	has "near: 'nova'"
	run "$REEVE_TOOL" diagnose "$wrong"
	has 'ROOT CAUSE  RV202' && has "'$NAME'" && has 'in vhost /'
	has "near: 'nova'"
	look submit "$wrong" x
	[ "$(answer result)" = failed ]
	[ "$(answer code)" = 530 ]
	# a vhost that is there, but not for this user, is another thing
	curl -sf -u guest:guest -X PUT -d '{"password":"pw","tags":"monitoring"}' \
	    "http://127.0.0.1:$RABBIT_MGMT/api/users/alien" >/dev/null
	look observe "amqp://alien:pw@127.0.0.1:$RABBIT_PORT/nova?queue=$NAME&mgmt=${MANAGED#*mgmt=}"
	[ "$(answer cause)" = wrong-database ]
	has 'refused'
}

@test "checks of kind amqp: login, queue and exchange" {
	amqp_client queue "$NAME" '{}'
	amqp_client send "$NAME" 1 job
	ask() {
		run "$REEVE_TOOL" probe <<<"{\"kind\":\"amqp\",\"subject\":\"check\",\"timeout_ms\":10000,\"url\":\"$AMQP_URL\",$1}"
	}
	ask "\"queue\":\"$NAME\",\"exchange\":\"amq.topic\""
	[ "$(answer result)" = passed ]
	[ "$(fact ready)" = 1 ]
	ask "\"exchange\":\"amq.topics\""
	[ "$(answer cause)" = not-found ]
	ask "\"queue\":\"nobody\""
	[ "$(answer cause)" = not-found ]
	has "no queue 'nobody'"
}
