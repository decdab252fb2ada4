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

@test "looking at a message takes it: that is refused with the reason" {
	amqp_client queue "$NAME" '{}'
	look list "$QUEUE" '' '"part":"waiting","limit":10'
	[ "$(answer result)" = unknown ]
	[ "$(answer code)" = unsupported ]
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
