#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The queues of cloud services: Google Pub/Sub against its own emulator, Amazon
# SQS against a server that others wrote; what these lack, and Azure Service Bus,
# against stubs that are made from the public protocols and check every signature.

bats_require_minimum_version 1.5.0
load ../lib
load queue_lib

setup() {
	need node jq python3
	node_packages
	cd "$BATS_TEST_TMPDIR" || return
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
	unset PUBSUB_EMULATOR_HOST GOOGLE_APPLICATION_CREDENTIALS
}

# stub NAME [ARGUMENT…]: tests/node/NAME_stub.mjs; its port in $PORT.
stub() {
	PORT=$(free_port)
	start_background "$1" node "$NODE_DIR/$1_stub.mjs" "$PORT" "${@:2}"
	wait_until port_listens "$PORT"
}

# queue ARGUMENTS…: of `reeve queue`, with a log of its own.
queue() {
	run --separate-stderr "$REEVE_TOOL" queue "$@" --log "$PWD/moves.jsonl"
}

peek() {
	run --separate-stderr "$REEVE_TOOL" queue "$@" --output json
}

of() {
	jq -er "$1" <<<"$output"
}

# root_cause ID TEXT URL: what diagnose says of it.
root_cause() {
	run "$REEVE_TOOL" diagnose "$3"
	has "ROOT CAUSE  $1 " && has "$2"
}

# --- Pub/Sub -----------------------------------------------------------------

start_emulator() {
	local jar
	jar=$(echo /usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar)
	need java
	PORT=$(free_port)
	start_background pubsub java -jar "$jar" --host=127.0.0.1 --port="$PORT"
	EMULATOR=http://127.0.0.1:$PORT
	wait_until -t 120 emulator PUT topics/uploads '{}'
	emulator PUT topics/dead '{}'
	emulator PUT subscriptions/jobs '{"topic": "projects/p/topics/uploads",
		"ackDeadlineSeconds": 20, "deadLetterPolicy":
		{"deadLetterTopic": "projects/p/topics/dead", "maxDeliveryAttempts": 7}}'
}

# emulator METHOD PATH [BODY]
emulator() {
	curl -sf -X "$1" -H 'Content-Type: application/json' \
	    ${3+-d "$3"} "$EMULATOR/v1/projects/p/$2"
}

@test "pubsub: what the emulator knows is told, and what it doesn't is unknown" {
	start_emulator
	run_ls "pubsub://p/jobs?topic=uploads&endpoint=$EMULATOR"
	[ "$status" -eq 0 ]
	field waiting null
	[[ $(get why.waiting) == *"no Cloud Monitoring"* ]]
	look observe "pubsub://p/jobs?topic=uploads&endpoint=$EMULATOR"
	state() { printf '%s\n' "$output" | tail -n 1 | jq -er "$@"; }
	state '.queue.lease_ms.value == 20000 and .queue.attempts_limit.value == 7'
	state '.queue.bound.is == "yes" and .queue.dead_kept.is == "yes"'
	state '.queue.backs_off.is == "no"'
}

@test "pubsub: a wrong subscription names the near one, a wrong topic isn't bound, a deleted one neither" {
	start_emulator
	root_cause RV209 'near: jobs' "pubsub://p/job?endpoint=$EMULATOR"
	root_cause RV209 "there is no 'jobs'" "pubsub://other/jobs?endpoint=$EMULATOR"
	root_cause RV222 "subscribed to 'uploads', not to 'upload'" "pubsub://p/jobs?topic=upload&endpoint=$EMULATOR"
	look observe "pubsub://p/job?endpoint=$EMULATOR"
	[ "$(answer cause)" = not-found ]
	[[ $(answer summary) == *"near: jobs"* ]]
	state() { printf '%s\n' "$output" | tail -n 1 | jq -er "$@"; }
	look observe "pubsub://p/jobs?topic=upload&endpoint=$EMULATOR"
	state '.queue.bound.is == "no" and (.queue.bound.why | test("uploads"))'
	emulator DELETE topics/uploads
	look observe "pubsub://p/jobs?topic=uploads&endpoint=$EMULATOR"
	state '.queue.bound.is == "no" and (.queue.bound.why | test("deleted"))'
}

@test "pubsub: a canary goes through a worker that pulls, and is seen by what it did" {
	start_emulator
	URL="pubsub://p/jobs?topic=uploads&endpoint=$EMULATOR"
	look submit "$URL" '{"id": "$(CANARY)"}'
	[ "$(answer result)" = passed ]
	RECEIPT=$(fact receipt)
	[ -n "$RECEIPT" ]
	pull() {
		emulator POST subscriptions/jobs:pull '{"maxMessages": 1}' >pulled
		jq -er '.receivedMessages[0].message.data' pulled | base64 -d >payload
	}
	wait_until pull
	[ "$(cat payload)" = "{\"id\": \"$CANARY\"}" ]
	jq -e --arg id "$CANARY" '.receivedMessages[0].message.attributes |
		.reeve == "canary" and .canary == $id' pulled
	look follow "$URL"
	[ "$(answer result)" = unknown ]
	look remove "$URL"
	[ "$(answer result)" != passed ]
}

# bury N WORD [ATTRIBUTE VALUE]: to the topic of the dead letters, by hand.
bury() {
	local i
	for i in $(seq "$1"); do
		emulator POST topics/dead:publish "$(jq -nc --arg data "$(printf '%s' "$2 $i" | base64)" \
		    --arg key "${3-kind}" --arg value "${4-mail}" \
		    '{messages: [{data: $data, attributes: {($key): $value}}]}')" >buried
	done
}

# held SUBSCRIPTION: what somebody who pulls there gets, given back.
held() {
	emulator POST "subscriptions/$1:pull" '{"maxMessages": 50, "returnImmediately": true}' >pulled
	jq -c '{ackIds: [.receivedMessages[]?.ackId], ackDeadlineSeconds: 0}' pulled >ids
	[ "$(jq '.ackIds | length' ids)" -eq 0 ] ||
	    emulator POST "subscriptions/$1:modifyAckDeadline" "$(cat ids)" >given
	jq -c '[.receivedMessages[]?.message.data | @base64d] | sort' pulled
}

holds() {
	[ "$(held "$1")" = "$2" ]
}

# A queue in which looking kills nothing, with a subscription of dead letters.
start_graves() {
	start_emulator
	emulator PUT topics/solo '{}'
	emulator PUT subscriptions/solo '{"topic": "projects/p/topics/solo"}'
	emulator PUT subscriptions/graves '{"topic": "projects/p/topics/dead", "ackDeadlineSeconds": 600}'
}

@test "pubsub: dead letters are shown to who asks, and given back" {
	start_emulator
	URL="pubsub://p/jobs?endpoint=$EMULATOR"
	peek dead "$URL"
	expect_status 4
	# shellcheck disable=SC2154 # bats sets it
	[[ $output$stderr == *"'deadLetter' says which"* ]]
	emulator PUT subscriptions/graves '{"topic": "projects/p/topics/dead", "ackDeadlineSeconds": 600}'
	# one that really died, by the seventh delivery
	emulator POST topics/uploads:publish \
	    "{\"messages\": [{\"data\": \"$(printf died | base64)\", \"attributes\": {\"kind\": \"mail\"}}]}"
	died() {
		held jobs >/dev/null
		holds graves '["died"]'
	}
	wait_until -t 60 died
	bury 2 'by hand'
	bury 1 other CloudPubSubDeadLetterSourceSubscription others
	peek dead "$URL"
	expect_status 0
	of '.queues[0] | [.jobs[].payload] | sort == ["by hand 1", "by hand 2", "died"]'
	of '.queues[0].jobs[] | select(.payload == "died") | .attempts >= 5 and .age_ms >= 0 and (.id | length) == 40'
	wait_until holds graves '["by hand 1","by hand 2","died","other 1"]'
	peek peek "$URL"
	expect_status 4
	[[ $output$stderr == *maxDeliveryAttempts* ]]
}

@test "pubsub: a dry run moves nothing, then each goes back once, as it was" {
	start_graves
	URL="pubsub://p/solo?dlq=graves&endpoint=$EMULATOR"
	bury 3 upload
	queue requeue "$URL"
	expect_status 0
	has 'would be moved: 3'
	holds solo '[]'
	queue requeue "$URL" --limit 2 --yes --output json
	expect_status 0
	of '.outcome == "moved" and (.moved | length) == 2'
	wait_until holds graves '["upload 3"]'
	wait_until holds solo '["upload 1","upload 2"]'
	jq -e '.receivedMessages[0].message.attributes == {"kind": "mail"}' pulled
	# the same once more: it is known, whatever its messageId
	bury 1 upload
	queue requeue "$URL" --id "$(printf 'upload 1' | sha1sum | cut -d' ' -f1)" --yes
	expect_status 1
	has 'held back'
	# another's subscription would get all of them again
	emulator PUT subscriptions/audit '{"topic": "projects/p/topics/solo"}'
	queue requeue "$URL" --force --yes
	expect_status 1
	has "other subscriptions too ('audit')"
	wait_until holds graves '["upload 1","upload 3"]'
}

@test "pubsub: the connection ends before or after a copy: nothing is lost, and it says what it knows" {
	start_graves
	for how in before after; do
		bury 3 "$how"
		start_cut "$PORT" "$(printf '%s 2' "$how" | base64)" "$how"
		queue requeue "pubsub://p/solo?dlq=graves&endpoint=http://127.0.0.1:$CUT_PORT" --yes --output json
		expect_status 3
		of '.outcome == "unknown" and (.why | contains("perhaps in the queue again"))'
		rm moves.jsonl
		both() {
			[ "$({ held solo; held graves; } | jq -cs 'add | unique')" = \
			    "[\"$how 1\",\"$how 2\",\"$how 3\"]" ]
		}
		wait_until both
		# what it was about is still there, and goes back the second time
		queue requeue "pubsub://p/solo?dlq=graves&endpoint=$EMULATOR" --force --yes
		expect_status 0
		wait_until holds graves '[]'
		emulator POST subscriptions/solo:pull '{"maxMessages": 50, "returnImmediately": true}' |
		    jq -c '{ackIds: [.receivedMessages[].ackId]}' >ids
		emulator POST subscriptions/solo:acknowledge "$(cat ids)"
		wait_until holds solo '[]'
	done
}

@test "pubsub: with a service account's key, or the machine's, Cloud Monitoring counts" {
	openssl genrsa 2048 2>/dev/null >key.pem
	openssl rsa -in key.pem -pubout -out public.pem 2>/dev/null
	stub google "$PWD/public.pem"
	jq -n --rawfile key key.pem --arg uri "http://127.0.0.1:$PORT/token" \
	    '{type: "service_account", client_email: "reader@test",
		private_key: $key, token_uri: $uri}' >account.json
	export CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB=http://127.0.0.1:$PORT
	export CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING=http://127.0.0.1:$PORT
	GOOGLE_APPLICATION_CREDENTIALS=$PWD/account.json run_ls 'pubsub://p/jobs'
	[ "$status" -eq 0 ]
	field waiting 12
	field active 2
	field consumers 3
	field oldest_ms 90000
	field quality.waiting estimate
	field lease_expired null
	GCE_METADATA_HOST=127.0.0.1:$PORT run_ls 'pubsub://p/jobs'
	field waiting 12
	# a key that isn't the account's
	openssl genrsa 2048 2>/dev/null >other.pem
	jq --rawfile key other.pem '.private_key = $key' account.json >wrong.json
	GOOGLE_APPLICATION_CREDENTIALS=$PWD/wrong.json run_ls 'pubsub://p/jobs'
	[ "$status" -ne 0 ]
	[[ $output == *"no token"* ]]
	[[ $output$stderr != *PRIVATE* ]]
}

# --- Service Bus (stub) --------------------------------------------------------

@test "servicebus (stub): a queue, a subscription, their counts and limits" {
	stub servicebus
	end="endpoint=http://127.0.0.1:$PORT"
	export SB_KEY=c2VjcmV0LW9mLXRoZS10ZXN0
	run_ls "servicebus://manage@ns.example/jobs?pass=env:SB_KEY&$end"
	[ "$status" -eq 0 ]
	field waiting 7
	field quality.waiting estimate
	field dead 3
	field delayed 1
	field active null
	[[ $output != *"$SB_KEY"* ]]
	run_ls "servicebus://manage@ns.example/events/mail?pass=env:SB_KEY&$end"
	field waiting 2
	look observe "servicebus://manage@ns.example/orders?pass=env:SB_KEY&$end"
	state() { printf '%s\n' "$output" | tail -n 1 | jq -er "$@"; }
	state '.queue.held.is == "yes" and .queue.lease_ms.value == 90000 and
		.queue.attempts_limit.value == 10'
}

@test "servicebus (stub): a wrong name names the near one; a key that may not look is unknown, not 0" {
	stub servicebus
	end="endpoint=http://127.0.0.1:$PORT"
	bus=servicebus://manage:c2VjcmV0LW9mLXRoZS10ZXN0@ns.example
	root_cause RV209 'near: jobs' "$bus/job?$end"
	root_cause RV209 'near: mail' "$bus/events/mal?$end"
	root_cause RV209 'near: mail (topic events)' "$bus/evnts/mail?$end"
	root_cause RV206 'claim Manage' "servicebus://listen:YW5vdGhlci1zZWNyZXQ=@ns.example/jobs?$end"
	root_cause RV226 SendDisabled "$bus/orders?$end"
	look observe "servicebus://manage:c2VjcmV0LW9mLXRoZS10ZXN0@ns.example/job?$end"
	[ "$(answer cause)" = not-found ]
	[[ $(answer summary) == *"near: jobs"* ]]
	look observe "servicebus://listen:YW5vdGhlci1zZWNyZXQ=@ns.example/jobs?$end"
	[ "$(answer result)" = failed ]
	[ "$(answer cause)" = permission ]
	[[ $(answer summary) == *Manage* ]]
	look observe "servicebus://manage:bm90LXRoZS1rZXk=@ns.example/jobs?$end"
	[ "$(answer cause)" = auth ]
	[[ $output != *bm90LXRoZS1rZXk* ]]
	look submit "servicebus://listen:YW5vdGhlci1zZWNyZXQ=@ns.example/jobs?$end" hello
	[ "$(answer result)" = passed ]
	grep -q "^sent hello .*\"Label\":\"reeve-canary\"" "$BACKGROUND_LOG"
}

# requeue [OPTION…]: of the stub's queue, with a log of its own.
requeue() {
	run --separate-stderr "$REEVE_TOOL" queue requeue \
	    "${QUEUE:-servicebus://manage:$SB_KEY@ns.example/jobs?$end}" \
	    --log "$PWD/moves.jsonl" "$@"
}

# dead_stub [CUT]: the stub with its three dead letters.
dead_stub() {
	stub servicebus "$@"
	end="endpoint=http://127.0.0.1:$PORT"
	SB_KEY=c2VjcmV0LW9mLXRoZS10ZXN0
}

# of FILTER: holds of what was printed.
of() {
	jq -e "$1" <<<"$output"
}

# in_log WORD N: the stub has done that N times.
in_log() {
	[ "$(grep -ac "^$1" "$BACKGROUND_LOG")" = "$2" ]
}

@test "servicebus (stub): dead letters are shown and given back; what waits is never locked" {
	dead_stub
	run --separate-stderr "$REEVE_TOOL" queue dead "servicebus://manage:$SB_KEY@ns.example/jobs?$end" --output json
	expect_status 0
	of '.queues[0] | .total == 3 and ([.jobs[].id] == ["jobs-0", "jobs-1", "jobs-2"])'
	of '.queues[0].jobs[1] | .payload == "{\"id\":1}" and .attempts == 11 and .age_ms > 0'
	of '.queues[0].jobs[0] | .payload_bytes == 10 and .payload_base64 == "eyJpZCI6MH0A/w=="'
	of '.queues[0].jobs | all(.error | startswith("MaxDeliveryCountExceeded: Message could not"))'
	in_log locked 3
	in_log unlocked 3
	# no more than are asked for
	run --separate-stderr "$REEVE_TOOL" queue dead "servicebus://manage:$SB_KEY@ns.example/jobs?$end" --limit 2 --output json
	of '.queues[0].jobs | length == 2'
	in_log locked 5
	in_log unlocked 5
	# of a subscription
	run --separate-stderr "$REEVE_TOOL" queue dead "servicebus://manage:$SB_KEY@ns.example/events/mail?$end" --output json
	of '.queues[0].jobs | length == 1'
	run "$REEVE_TOOL" queue peek "servicebus://manage:$SB_KEY@ns.example/jobs?$end"
	expect_status 4
	has 'counts as a delivery'
	in_log locked 6
	in_log unlocked 6
}

@test "servicebus (stub): dead letters go back as they were, once; a dry run sends nothing" {
	dead_stub
	requeue
	expect_status 0
	has 'would be moved: 3'
	in_log sent 0
	in_log deleted 0
	requeue --limit 1 --yes --output json
	expect_status 0
	of '.outcome == "moved" and .moved == ["jobs-0"]'
	in_log sent 1
	in_log deleted 1
	grep -a '^message' "$BACKGROUND_LOG" | cut -d' ' -f2- >message
	jq -e '.path == "jobs/messages" and .body == "eyJpZCI6MH0A/w=="' message
	jq -r '.headers | [_nwise(2)] | map(join(": "))[]' message >headers
	grep -x 'Content-Type: application/json' headers
	grep -x 'Customer: "12345,ABC"' headers
	grep -x 'Priority: 5' headers
	grep -x 'Urgent: true' headers
	[ "$(grep -c -i '^DeadLetter' headers)" = 0 ]
	[ "$(LC_ALL=C grep -c '[^ -~]' headers)" = 0 ]
	sed -n 's/^BrokerProperties: //p' headers | jq -e '. == {"MessageId": "jobs-0",
		"CorrelationId": "c0", "Label": "gr\u00fc\u00df \ud83d\ude00", "TimeToLive": 1209600}'
	# one by its id, past another that stays
	requeue --id jobs-2 --yes --output json
	expect_status 0
	of '.moved == ["jobs-2"]'
	requeue --id jobs-2 --yes
	expect_status 4
	requeue --yes --output json
	of '.moved == ["jobs-1"]'
	in_log sent 3
	in_log deleted 3
	# whatever was locked and not deleted was given back
	locked=$(grep -ac '^locked' "$BACKGROUND_LOG")
	in_log unlocked "$((locked - 3))"
	jq -es '[.[] | select(.state == "moved").jobs[].id] == ["jobs-0", "jobs-2", "jobs-1"]' moves.jsonl
}

@test "servicebus (stub): what can't go back safely is refused and stays" {
	dead_stub
	QUEUE="servicebus://manage:$SB_KEY@ns.example/once?$end" requeue --yes
	expect_status 1
	[[ $output$stderr == *"duplicate detection"* ]]
	QUEUE="servicebus://manage:$SB_KEY@ns.example/events/mail?$end" requeue --yes
	expect_status 1
	[[ $output$stderr == *"all of its subscriptions"* ]]
	QUEUE="servicebus://listen:YW5vdGhlci1zZWNyZXQ=@ns.example/jobs?$end" requeue --yes
	expect_status 1
	[[ $output$stderr == *"drops duplicates isn't known"* ]]
	in_log sent 0
	in_log deleted 0
	QUEUE="servicebus://manage:$SB_KEY@ns.example/once?$end" requeue --yes --force
	expect_status 0
	in_log sent 1
	in_log deleted 1
}

# hang_up WHAT NTH: all three are to go back, and the stub hangs up; expects NTH - 1
# gone for good, and the others there.
hang_up() {
	rm -f moves.jsonl
	dead_stub "$@"
	requeue --yes --output json
	expect_status 3
	of '.outcome == "unknown" and (.why | contains("jobs-'"$(($2 - 1))"'") and contains("perhaps"))'
	in_log deleted "$(($2 - 1))"
	[ "$(jq -r .state moves.jsonl | tail -n 1)" = unknown ]
}

@test "servicebus (stub): the connection ends before or after one goes back: nothing is lost, and it says so" {
	hang_up sent 1
	of '.still_there | sort == ["jobs-0", "jobs-1", "jobs-2"]'
	hang_up send 2
	of '(.why | contains("1 of 3 moved")) and (.still_there | sort == ["jobs-1", "jobs-2"])'
	hang_up sent 2
	of '(.why | contains("1 of 3 moved")) and (.still_there | sort == ["jobs-1", "jobs-2"])'
	# sent, and not deleted: it is in both
	hang_up delete 2
	of '(.why | contains("2 of 3 moved")) and (.still_there | sort == ["jobs-1", "jobs-2"])'
}

# --- SQS (stub) ----------------------------------------------------------------

@test "sqs: a server that others wrote counts, shows and moves what is dead as our stub does" {
	PORT=$(free_port)
	start_background fauxqs node "$NODE_DIR/sqs_server.mjs" "$PORT"
	wait_until grep -q ready "$BACKGROUND_LOG"
	sqs() { # ACTION BODY: of the queue jobs
		curl -sf "http://127.0.0.1:$PORT/" -H "X-Amz-Target: AmazonSQS.$1" \
		    -H 'Content-Type: application/x-amz-json-1.0' \
		    -H 'Authorization: AWS4-HMAC-SHA256 Credential=AKTEST/20260101/eu-west-1/sqs/aws4_request, SignedHeaders=host, Signature=0' \
		    -d "$(jq -nc --arg q "http://sqs.eu-west-1.localhost:$PORT/000000000000/jobs" "{QueueUrl: \$q} + $2")"
	}
	for i in $(seq 5); do
		sqs SendMessage '{MessageBody: "upload '"$i"' ü", MessageAttributes: {raw: {DataType: "Binary", BinaryValue: "AAH/"}}}' >sent
	done
	at="sqs://AKTEST:secret-of-the-test@eu-west-1/000000000000"
	jobs="$at/jobs?endpoint=http://127.0.0.1:$PORT"
	run_ls "$jobs"
	expect_status 0
	field waiting 5
	field dead 0
	all_dead() { # each is received twice, then it is dead
		sqs ReceiveMessage '{MaxNumberOfMessages: 10, VisibilityTimeout: 0}' >received
		run_ls "$jobs"
		[ "$(get dead)" = 5 ]
	}
	wait_until all_dead
	field waiting 0
	peek dead "$jobs"
	of '.queues[0].jobs | map(.payload) | sort == [range(1; 6) | "upload \(.) ü"]'
	queue requeue "$jobs" --limit 2 --yes
	expect_status 0
	has 'moved: 2'
	run_ls "$jobs"
	field waiting 2
	field dead 3
	[ "$(sqs ReceiveMessage '{MaxNumberOfMessages: 1, MessageAttributeNames: ["All"]}' |
	    jq -r '.Messages[0].MessageAttributes.raw.BinaryValue')" = AAH/ ]
	root_cause RV209 'near: jobs' "$at/job?endpoint=http://127.0.0.1:$PORT"
}

@test "sqs (stub): counts are estimates, dead letters those of its redrive policy" {
	stub sqs
	end="endpoint=http://127.0.0.1:$PORT"
	export AWS_ACCESS_KEY_ID=AKTEST AWS_SECRET_ACCESS_KEY=secret-of-the-test
	run_ls "sqs://eu-west-1/123456789012/jobs?$end"
	[ "$status" -eq 0 ]
	field waiting 7
	field active 2
	field delayed 1
	field dead 3
	field quality.waiting estimate
	field consumers null
	look observe "sqs://eu-west-1/123456789012/plain?$end"
	state() { printf '%s\n' "$output" | tail -n 1 | jq -er "$@"; }
	state '.queue.dead_kept.is == "no" and .queue.lease_ms.value == 30000'
	look submit "sqs://eu-west-1/123456789012/jobs?$end" '{"id": "$(CANARY)"}'
	[ "$(fact receipt)" = 5fea7756-0ea4-451a-a703-a558b933e274 ]
	grep -qF "sent {\"id\": \"$CANARY\"}" "$BACKGROUND_LOG"
	grep -q 'SendMessage ok' "$BACKGROUND_LOG"
	[ "$(grep -c 'ReceiveMessage' "$BACKGROUND_LOG")" = 0 ]
}

@test "sqs (stub): a wrong name names the near one; wrong keys are told apart and not shown" {
	stub sqs
	end="endpoint=http://127.0.0.1:$PORT"
	sqs=sqs://AKTEST:secret-of-the-test
	root_cause RV209 'near: jobs' "$sqs@eu-west-1/123456789012/job?$end"
	root_cause RV209 "there is no 'jobs'" "$sqs@eu-west-1/999999999999/jobs?$end"
	root_cause RV206 InvalidSignature "sqs://AKTEST:not-the-secret@eu-west-1/123456789012/jobs?$end"
	look observe "sqs://AKTEST:secret-of-the-test@eu-west-1/123456789012/job?$end"
	[ "$(answer cause)" = not-found ]
	[[ $(answer summary) == *"near: jobs"* ]]
	look observe "sqs://AKTEST:not-the-secret@eu-west-1/123456789012/jobs?$end"
	[ "$(answer cause)" = auth ]
	[[ $output != *not-the-secret* ]]
	look observe "sqs://AKNOBODY:not-the-secret@eu-west-1/123456789012/jobs?$end"
	[ "$(answer cause)" = auth ]
	look observe "sqs://eu-west-1/123456789012/jobs?$end"
	[ "$(answer cause)" = unresolved ]
	[[ $(answer summary) == *AWS_ACCESS_KEY_ID* ]]
}

start_sqs() {
	stub sqs
	SQS_PORT=$PORT
	export AWS_ACCESS_KEY_ID=AKTEST AWS_SECRET_ACCESS_KEY=secret-of-the-test
	SQS=sqs://eu-west-1/123456789012
	END="endpoint=http://127.0.0.1:$SQS_PORT"
}

# inside FILTER: of what the stub's queues hold.
inside() {
	curl -sf "http://127.0.0.1:$SQS_PORT/" | jq -e "$1"
}

@test "sqs (stub): dead letters are shown and visible again at once; what waits isn't received" {
	start_sqs
	peek dead "$SQS/jobs?$END"
	expect_status 0
	of '.queues[0] | .total == 3 and [.jobs[].payload] == ["upload 0", "upload 1", "upload 2"]'
	of '.queues[0].jobs[0] | .attempts == 5 and .age_ms >= 60000 and (.id | length) == 36'
	inside '.["jobs-dead"] | all(.received == 6 and .hiddenUntil <= now * 1000)'
	peek peek "$SQS/jobs?$END"
	expect_status 4
	[[ $output$stderr == *maxReceiveCount* ]]
	peek dead "$SQS/plain?$END"
	expect_status 4
	[[ $output$stderr == *"no RedrivePolicy"* ]]
	# each look would move them on there
	peek dead "$SQS/chained?$END"
	expect_status 4
	[[ $output$stderr == *"RedrivePolicy of its own"* ]]
	[ "$(grep -c 'ReceiveMessage' "$BACKGROUND_LOG")" -gt 0 ]
	# others' in the same queue are passed over, more than one request's
	peek dead "$SQS/bulk?$END" --limit 50
	of '.queues[0] | .total == 24 and (.jobs | length) == 24'
	peek dead "$SQS/bulk?$END&dlq=jobs-dead"
	of '.queues[0].jobs | length == 0'
	inside '.["bulk-dead"] | all(.hiddenUntil <= now * 1000)'
}

@test "sqs (stub): a dry run moves nothing, then each goes back once, as it was" {
	start_sqs
	queue requeue "$SQS/jobs?$END"
	expect_status 0
	has 'would be moved: 3'
	inside '.jobs == null and (.["jobs-dead"] | length) == 3'
	[ ! -e moves.jsonl ]
	queue requeue "$SQS/jobs?$END" --limit 2 --yes --output json
	expect_status 0
	of '.outcome == "moved" and (.moved | length) == 2 and
		.moved_as[0] == "5fea7756-0ea4-451a-a703-a558b933e274"'
	inside '[.["jobs-dead"][].Body] == ["upload 2"] and [.jobs[].Body] == ["upload 0", "upload 1"]'
	inside '.jobs[0].MessageAttributes == {"kind": {"DataType": "String", "StringValue": "mail"},
		"raw": {"DataType": "Binary", "BinaryValue": "AAH/"}}'
	[ "$(jq -rs 'map(.state) | join(" ")' moves.jsonl)" = 'begun moved' ]
	# one that comes back under its new id is known
	curl -sf "http://127.0.0.1:$SQS_PORT/die" >died
	queue requeue "$SQS/jobs?$END" --id 5fea7756-0ea4-451a-a703-a558b933e274 --yes
	expect_status 1
	has 'held back'
	inside '.jobs == [] and (.["jobs-dead"] | length) == 3'
	queue requeue "$SQS/jobs?$END" --yes --force
	expect_status 0
	queue requeue "$SQS/jobs?$END" --yes
	expect_status 0
	inside '(.["jobs-dead"] | length) == 0 and (.jobs | length) == 3'
	# only its own leave a queue of several queues' dead letters
	queue requeue "$SQS/bulk?$END" --yes
	expect_status 0
	inside '(.bulk | length) == 24 and (.["bulk-dead"] | length) == 6 and
		(.["bulk-dead"] | all(.hiddenUntil <= now * 1000))'
}

@test "sqs (stub): a FIFO queue doesn't throw a letter away as one it had, and keeps its group" {
	start_sqs
	queue requeue "$SQS/orders.fifo?$END" --yes
	expect_status 0
	inside '[.["orders.fifo"][] | .Body + .MessageGroupId] == ["order 0g", "order 1g"] and
		(.["orders-dead.fifo"] | length) == 0'
}

@test "sqs (stub): the connection ends before or after a copy: nothing is lost, and it says what it knows" {
	for how in before after; do
		start_sqs
		start_cut "$SQS_PORT" "upload 1" "$how"
		queue requeue "$SQS/jobs?endpoint=http://127.0.0.1:$CUT_PORT" --yes --output json
		expect_status 3
		of '.outcome == "unknown" and (.why | contains("1 of 3 moved") and contains("perhaps in the queue again"))'
		of '.still_there | length == 2'
		[ "$(jq -r .state moves.jsonl | tail -n 1)" = unknown ]
		inside '[.["jobs-dead"][].Body] == ["upload 1", "upload 2"] and
			(.["jobs-dead"] | all(.hiddenUntil <= now * 1000))'
		wait_until inside "[.jobs[].Body] == $(
			[ "$how" = before ] && echo '["upload 0"]' || echo '["upload 0", "upload 1"]')"
		rm moves.jsonl
	done
}

@test "sqs (stub): garbage for an answer is no refusal, a refusal moves nothing" {
	start_sqs
	start_cut "$SQS_PORT" "upload 0" garbage
	queue requeue "$SQS/jobs?endpoint=http://127.0.0.1:$CUT_PORT" --yes --output json
	expect_status 3
	of '.outcome == "unknown" and (.why | contains("perhaps in the queue again"))'
	rm moves.jsonl
	queue requeue "$SQS/garbled?$END" --yes --output json
	expect_status 3
	of '.outcome == "unknown"'
	rm moves.jsonl
	queue requeue "$SQS/refusing?dlq=bulk-dead&$END" --yes --output json
	expect_status 1
	of '.outcome == "refused" and (.why | contains("InvalidMessageContents"))'
	inside '(.["bulk-dead"] | length) == 30 and (.["bulk-dead"] | all(.hiddenUntil <= now * 1000))'
}

@test "a cloud queue in a manifest has the name of its URL, and a service that is away is unknown" {
	port=$(free_port)
	cat >reeve.yaml <<-END
		apiVersion: reeve/v1
		name: t
		queues:
		  - {name: jobs, kind: sqs, endpoint: "http://127.0.0.1:$port",
		     url: "sqs://AKTEST:secret-of-the-test@eu-west-1/123456789012/jobs"}
		workers:
		  - {name: w, command: [/bin/true], consumes: [{queue: jobs, env: QUEUE}],
		     env: [{name: QUEUE, value: job}]}
	END
	run -1 "$REEVE" lint
	[[ $output == *RV201* ]]
	run --separate-stderr "$REEVE_TOOL" queue ls --output json
	[ "$status" -ne 0 ]
	jq -e '.queues[0] | .waiting == null and .error != null' <<<"$output"
}
