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
# the lines are added to its configuration.
start_rabbitmq() {
	local dir epmd dist
	RABBIT_PORT=$(free_port)
	RABBIT_MGMT=$(free_port)
	epmd=$(free_port)
	dist=$(free_port)
	dir=$(mktemp -d "$(test_dir)/rabbit.XXXXXX")
	printf '[rabbitmq_management].\n' >"$dir/plugins"
	printf '%s\n' "listeners.tcp.1 = 127.0.0.1:$RABBIT_PORT" \
	    "management.tcp.ip = 127.0.0.1" \
	    "management.tcp.port = $RABBIT_MGMT" "$@" >"$dir/rabbitmq.conf"
	start_background "epmd.$epmd" epmd -port "$epmd" -address 127.0.0.1
	wait_until port_listens "$epmd"
	start_background "rabbit.$RABBIT_PORT" env HOME="$dir" \
	    ERL_EPMD_PORT="$epmd" ERL_EPMD_ADDRESS=127.0.0.1 \
	    RABBITMQ_NODENAME="reeve$RABBIT_PORT@localhost" \
	    RABBITMQ_DIST_PORT="$dist" RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" \
	    RABBITMQ_ENABLED_PLUGINS_FILE="$dir/plugins" \
	    RABBITMQ_MNESIA_BASE="$dir/mnesia" RABBITMQ_LOG_BASE="$dir/log" \
	    RABBITMQ_LOGS=- RABBITMQ_PID_FILE="$dir/pid" \
	    /usr/lib/rabbitmq/bin/rabbitmq-server
	AMQP_URL=amqp://guest:guest@127.0.0.1:$RABBIT_PORT/%2F
	export RABBIT_PORT RABBIT_MGMT AMQP_URL
	wait_until -t 120 grep -q 'Server startup complete' "$BACKGROUND_LOG" || {
		tail -n 50 "$BACKGROUND_LOG" >&2
		return 1
	}
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
