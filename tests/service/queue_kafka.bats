#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
# Kafka. Neither Debian nor npm has a broker: the server is a stub, librdkafka's
# own mock cluster behind a relay that adds DescribeGroups and ListGroups
# (kafka_mock.c, kafka_relay.py). The producer and the worker are kafka-python's,
# which shares no code with librdkafka.

load ../lib
load queue_lib

PYTHON=/usr/bin/python3

setup() {
	MOCK_ORDERS=$BATS_TEST_TMPDIR/orders
	mkfifo "$MOCK_ORDERS"
	exec 8<>"$MOCK_ORDERS"
	start_background mock bash -c 'exec "$0" jobs:3 dead:1 fileprocess:1 <"$1"' \
	    "$REEVE_BUILD/tests/service/kafka_mock" "$MOCK_ORDERS"
	MOCK_LOG=$BACKGROUND_LOG
	wait_until grep -q 127.0.0.1: "$MOCK_LOG"
	KAFKA_PORT=$(free_port)
	start_background relay "$PYTHON" "$REEVE_ROOT/tests/service/kafka_relay.py" \
	    "$KAFKA_PORT" "$(sed -n 's/^127.0.0.1://p' "$MOCK_LOG")"
	wait_until port_listens "$KAFKA_PORT"
	URL="kafka://127.0.0.1:$KAFKA_PORT?topic=jobs&group=workers"
}

client() {
	"$PYTHON" "$REEVE_ROOT/tests/service/kafka_client.py" "127.0.0.1:$KAFKA_PORT" "$@"
}

mock() {
	local before
	before=$(grep -c ok "$MOCK_LOG" || :)
	printf '%s\n' "$*" >&8
	wait_until mock_said $((before + 1))
}

mock_said() {
	[ "$(grep -c ok "$MOCK_LOG")" -ge "$1" ]
}

start_group_worker() {
	start_background worker "$PYTHON" "$REEVE_ROOT/tests/service/kafka_client.py" \
	    "127.0.0.1:$KAFKA_PORT" work jobs workers
	wait_until grep -q ready "$BACKGROUND_LOG"
}

end_group_worker() {
	kill_started "$BACKGROUND_PID"
}

had() {
	[ "$(grep -c "had" "$BACKGROUND_LOG")" = "$1" ]
}

# What the other client says is what we say.
same_lag() {
	local lag
	lag=$(client lag jobs workers)
	run_ls "$URL"
	expect_status 0
	field waiting "$lag"
}

@test "the lag is what another client counts, with and without a worker" {
	client produce jobs one two three
	start_group_worker
	wait_until had 3
	same_lag
	field waiting 0
	field consumers 1
	field consumer_list.0.id somebody
	field consumer_list.0.address 127.0.0.1
	field consumer_list.0.reads 'jobs 0,1,2'
	field oldest_ms null
	field completed 3
	end_group_worker
	client produce jobs four five six seven
	same_lag
	field waiting 4
	field consumers 0
	[ "$(get oldest_ms)" -ge 0 ]
	field quality.oldest_ms estimate
	run "$REEVE_TOOL" queue peek "$URL"
	expect_status 0
	has four
	has seven
	same_lag
	run "$REEVE_TOOL" diagnose "$URL"
	has RV701
}

@test "no committed offset, no group, no topic: each is named with what is near" {
	client produce jobs one
	run_ls "$URL"
	field waiting null
	has "has committed no offset"
	field consumers 0
	start_group_worker
	wait_until had 1
	end_group_worker
	run "$REEVE_TOOL" diagnose "kafka://127.0.0.1:$KAFKA_PORT?topic=jobs&group=worker"
	has RV209
	look observe "kafka://127.0.0.1:$KAFKA_PORT?topic=jobs&group=worker"
	[[ $output = *"there is no group 'worker'; there is 'workers'"* ]]
	run_ls "kafka://127.0.0.1:$KAFKA_PORT?topic=file_process&group=workers"
	field near.0.name fileprocess
	field near.0.type 'kafka topic'
	run "$REEVE_TOOL" diagnose "kafka://127.0.0.1:$KAFKA_PORT?topic=file_process&group=workers"
	has RV209
	has fileprocess
	# asking for it has not made it
	run_ls "kafka://127.0.0.1:$KAFKA_PORT?topic=file_process&group=workers"
	field waiting null
	run_ls "kafka://127.0.0.1:$KAFKA_PORT?topic=jobs"
	expect_status 3
	has "needs the key 'group'"
}

@test "partitions without a leader, a topic that was made anew, offsets without a group" {
	client produce jobs one two
	client commit jobs workers 0 1
	client commit jobs workers 1 0
	same_lag
	field waiting 1
	field consumers null
	has "assigns its partitions itself"
	mock jobs 1 -1
	run_ls "$URL"
	field waiting 0
	field quality.waiting at-least
	look observe "$URL"
	[[ $output = *"partitions without a leader: 1 of 3"* ]]
	mock jobs 1 1
	client commit jobs workers 0 500
	run_ls "$URL"
	field waiting null
	has "made anew"
}

canary_gone() {
	look follow "$URL" '{}'
	[ "$(fact state)" = gone ]
}

@test "a canary is followed to the group's offset behind it, and no further" {
	client produce jobs one
	look submit "$URL" '{"echo":"$(CANARY)"}'
	RECEIPT=$(fact receipt)
	look follow "$URL" '{}'
	[ "$(fact state)" = visible ]
	[[ $(fact detail) = *'committed nothing'* ]]
	start_group_worker
	wait_until canary_gone
	[ "$(fact "done")" = "" ]
	# it says so after it has committed
	wait_until grep -q "had .*$CANARY" "$BACKGROUND_LOG"
	look remove "$URL" '{}'
	[ "$(fact removed)" != yes ]
	end_group_worker
	look submit "$URL" 'hold this'
	RECEIPT=$(fact receipt)
	start_group_worker
	wait_until grep -q 'holds hold this' "$BACKGROUND_LOG"
	look follow "$URL" '{}'
	[ "$(fact state)" = visible ]
	end_group_worker
	look submit "kafka://127.0.0.1:$KAFKA_PORT?topic=absent&group=workers" x
	[ "$(answer result)" = failed ]
	[[ $output = *"there is no topic 'absent'"* ]]
}

@test "dead letters are counted and shown; nothing can be moved, and that is said" {
	client produce dead lost found
	client produce jobs one
	run_ls "$URL&dlq=dead"
	field quality.dead estimate
	[ "$(get dead)" -ge 1 ]
	run "$REEVE_TOOL" queue dead "$URL&dlq=dead"
	expect_status 0
	has lost
	run "$REEVE_TOOL" queue dead "$URL"
	has 'no topic of dead letters is declared'
	run "$REEVE_TOOL" queue requeue "$URL&dlq=dead" --yes --log "$BATS_TEST_TMPDIR/moves"
	expect_status 1
	has "can't be moved"
}

@test "a broker that is down, silent, or none; no thread is left behind" {
	run_ls "kafka://127.0.0.1:$(free_port)?topic=jobs&group=workers"
	expect_status 3
	has 'refuses connections'
	# of two brokers one is enough
	client commit jobs workers 0 0
	run_ls "kafka://127.0.0.1:$(free_port),127.0.0.1:$KAFKA_PORT?topic=jobs&group=workers"
	expect_status 0
	start_redis
	run_ls "kafka://127.0.0.1:$REDIS_PORT?topic=jobs&group=workers"
	expect_status 3
	silent=$(free_port)
	start_background silent python3 "$REEVE_ROOT/tests/service/silent.py" "$silent" still
	wait_until port_listens "$silent"
	look observe "kafka://127.0.0.1:$silent?topic=jobs&group=workers" '' '"timeout_ms": 3000'
	[ "$(answer result)" = unknown ]
	run_ls "kafka://user:hidden-word@127.0.0.1:$KAFKA_PORT?topic=jobs&group=workers"
	expect_status 3
	[[ $output$stderr != *hidden-word* ]]
	# the prober ends by itself when it has answered
	look observe "$URL"
	[ "$(answer result)" = passed ]
}
