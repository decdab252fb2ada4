# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Message brokers for the tests of queues, and clients of theirs that others
# wrote (tests/node).

# start_nats [CONFIGURATION]: a server with JetStream; sets NATS_PORT,
# NATS_MONITOR and NATS_URL. The text is added to its configuration file.
start_nats() {
	local dir try
	for try in 1 2 3; do
		NATS_PORT=$(free_port)
		NATS_MONITOR=$(free_port)
		dir=$(mktemp -d "$(test_dir)/nats.XXXXXX")
		printf 'jetstream { store_dir: "%s" }\n%s\n' "$dir" "${1:-}" \
		    >"$dir/nats.conf"
		start_background "nats.$NATS_PORT" nats-server -c "$dir/nats.conf" \
		    -a 127.0.0.1 -p "$NATS_PORT" -m "$NATS_MONITOR"
		NATS_URL=nats://127.0.0.1:$NATS_PORT
		export NATS_PORT NATS_MONITOR NATS_URL
		! wait_until -t 20 grep -q 'Server is ready' "$BACKGROUND_LOG" ||
		    return 0
		cat "$BACKGROUND_LOG" >&2
	done
	echo "nats-server did not start ($try times tried)" >&2
	return 1
}

# nats_client COMMAND…: as $NATS_USER (USER:PASSWORD@) where one is set.
nats_client() {
	NODE_DIR=$NODE_DIR node "$REEVE_ROOT/tests/service/nats_client.mjs" \
	    "nats://${NATS_USER:-}127.0.0.1:$NATS_PORT" "$@"
}

# start_nats_worker STREAM CONSUMER ack|hold|nak: sets SEEN, what it has taken.
start_nats_worker() {
	SEEN=$(test_dir)/seen.$RANDOM
	export SEEN NODE_DIR
	start_background "worker.$RANDOM" node \
	    "$REEVE_ROOT/tests/service/nats_client.mjs" \
	    "nats://${NATS_USER:-}127.0.0.1:$NATS_PORT" work "$@"
	export NATS_WORKER=$BACKGROUND_PID
}

# start_rabbitmq [LINE…]: a broker with its management plugin, user guest; sets
# RABBIT_PORT, RABBIT_MGMT and AMQP_URL. It has an epmd and a cookie of its own;
# the lines are added to its configuration. It takes its ports long after they were
# found free: where somebody was faster, others are tried.
start_rabbitmq() {
	local dist try
	for try in 1 2 3; do
		RABBIT_PORT=$(free_port)
		RABBIT_MGMT=$(free_port)
		RABBIT_EPMD=$(free_port)
		dist=$(free_port)
		RABBIT_DIR=$(mktemp -d "$(test_dir)/rabbit.XXXXXX")
		export RABBIT_PORT RABBIT_MGMT RABBIT_EPMD RABBIT_DIR
		AMQP_URL=amqp://guest:guest@127.0.0.1:$RABBIT_PORT/%2F
		export AMQP_URL
		printf '[rabbitmq_management].\n' >"$RABBIT_DIR/plugins"
		printf '%s\n' "listeners.tcp.1 = 127.0.0.1:$RABBIT_PORT" \
		    "management.tcp.ip = 127.0.0.1" \
		    "management.tcp.port = $RABBIT_MGMT" "$@" >"$RABBIT_DIR/rabbitmq.conf"
		start_background "epmd.$RABBIT_EPMD" epmd -port "$RABBIT_EPMD" \
		    -address 127.0.0.1
		wait_until port_listens "$RABBIT_EPMD"
		rabbit_env
		start_background "rabbit.$RABBIT_PORT" "${RABBIT_ENV[@]}" \
		    RABBITMQ_DIST_PORT="$dist" RABBITMQ_LOGS=- \
		    RABBITMQ_PID_FILE="$RABBIT_DIR/pid" \
		    /usr/lib/rabbitmq/bin/rabbitmq-server
		if wait_until -t 300 rabbit_said "$RABBIT_STARTED" 'BOOT FAILED' &&
		    rabbit_said "$RABBIT_STARTED"; then
			return 0
		fi
		tail -n 50 "$BACKGROUND_LOG" >&2
		rabbit_said eaddrinuse 'is in use' || return 1
	done
	echo "rabbitmq-server found no free ports ($try times tried)" >&2
	return 1
}

RABBIT_STARTED='Server startup complete'

# rabbit_said TEXT…: one of them.
rabbit_said() {
	local text
	for text in "$@"; do
		! grep -q "$text" "$BACKGROUND_LOG" || return 0
	done
	return 1
}

# Sets RABBIT_ENV: in front of a program of the broker.
rabbit_env() {
	RABBIT_ENV=(env HOME="$RABBIT_DIR" ERL_EPMD_PORT="$RABBIT_EPMD"
		ERL_EPMD_ADDRESS=127.0.0.1
		RABBITMQ_NODENAME="reeve$RABBIT_PORT@localhost"
		RABBITMQ_CONFIG_FILE="$RABBIT_DIR/rabbitmq.conf"
		RABBITMQ_ENABLED_PLUGINS_FILE="$RABBIT_DIR/plugins"
		RABBITMQ_MNESIA_BASE="$RABBIT_DIR/mnesia"
		RABBITMQ_LOG_BASE="$RABBIT_DIR/log")
}

# rabbit_counts QUEUE: what the broker's own rabbitmqctl says of it: ready,
# unacknowledged, consumers.
rabbit_counts() {
	rabbit_env
	"${RABBIT_ENV[@]}" /usr/lib/rabbitmq/bin/rabbitmqctl --silent list_queues name messages_ready \
	    messages_unacknowledged consumers | awk -v q="$1" '$1 == q { print $2, $3, $4 }'
}

amqp_client() {
	NODE_DIR=$NODE_DIR node "$REEVE_ROOT/tests/service/amqp_client.mjs" \
	    "$AMQP_URL" "$@"
}

# start_amqp_worker QUEUE PREFETCH ack|hold|reject: sets SEEN.
start_amqp_worker() {
	SEEN=$(test_dir)/seen.$RANDOM
	export SEEN NODE_DIR
	start_background "worker.$RANDOM" node \
	    "$REEVE_ROOT/tests/service/amqp_client.mjs" "$AMQP_URL" work "$@"
}

# start_beanstalkd: sets BEANSTALK_PORT, BEANSTALK_URL and BEANSTALK_PID.
start_beanstalkd() {
	BEANSTALK_PORT=$(free_port)
	start_background "beanstalkd.$BEANSTALK_PORT" beanstalkd -l 127.0.0.1 \
	    -p "$BEANSTALK_PORT" -z 262144
	BEANSTALK_PID=$BACKGROUND_PID
	BEANSTALK_URL=beanstalk://127.0.0.1:$BEANSTALK_PORT
	export BEANSTALK_PORT BEANSTALK_URL BEANSTALK_PID
	wait_until port_listens "$BEANSTALK_PORT"
}

# beaneater SCRIPT [ARGUMENTS]: Ruby with a connection of that client as `b`.
beaneater() {
	ruby -r beaneater -e 'b = Beaneater.new(ARGV.shift); eval(ARGV.shift)' \
	    "127.0.0.1:$BEANSTALK_PORT" "$@"
}
