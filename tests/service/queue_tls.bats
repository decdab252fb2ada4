#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Brokers behind TLS, with certificates that the test makes: the right one is
# let in; another authority's and another host's are told apart from a server
# that isn't there.

load ../lib
load queue_lib
load broker_lib

# authority NAME: $CERTS/NAME.pem. certificate AUTHORITY HOST: $CERTS/HOST.pem.
authority() {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" \
	    -keyout "$CERTS/$1.key" -out "$CERTS/$1.pem" 2>/dev/null
}

certificate() {
	openssl req -newkey rsa:2048 -nodes -subj "/CN=$2" \
	    -keyout "$CERTS/$2.key" -out "$CERTS/$2.csr" 2>/dev/null
	openssl x509 -req -in "$CERTS/$2.csr" -CA "$CERTS/$1.pem" \
	    -CAkey "$CERTS/$1.key" -CAcreateserial -days 2 -out "$CERTS/$2.pem" \
	    -extfile <(echo "subjectAltName=DNS:$2") 2>/dev/null
	chmod 644 "$CERTS"/*
}

setup_file() {
	need openssl node epmd
	node_packages
	CERTS=$(test_dir)/certs
	export CERTS
	mkdir "$CERTS"
	authority right
	authority wrong
	certificate right localhost
	AMQPS_PORT=$(free_port)
	export AMQPS_PORT
	start_rabbitmq "listeners.ssl.1 = 127.0.0.1:$AMQPS_PORT" \
	    "ssl_options.cacertfile = $CERTS/right.pem" \
	    "ssl_options.certfile = $CERTS/localhost.pem" \
	    "ssl_options.keyfile = $CERTS/localhost.key" \
	    'ssl_options.verify = verify_none'
	amqp_client queue jobs '{}'
	start_nats "tls { cert_file: \"$CERTS/localhost.pem\", key_file: \"$CERTS/localhost.key\" }"
	NATS_CA=$CERTS/right.pem nats_client stream JOBS \
	    '{"subjects":["jobs"],"retention":"workqueue"}'
}

# told URL TEXT: refused for its certificate, and why.
told() {
	look observe "$1"
	echo "$(answer cause): $(answer summary)"
	[ "$(answer result)" = failed ]
	[ "$(answer cause)" = tls ]
	[[ $(answer summary) == *"$2"* ]]
}

@test "amqps: the right authority is let in, with another one or none it says so" {
	URL="amqps://guest:guest@localhost:$AMQPS_PORT/%2F?queue=jobs"
	look observe "$URL&tls.ca=$CERTS/right.pem"
	[ "$(answer result)" = passed ]
	look submit "$URL&tls.ca=$CERTS/right.pem" hello
	[ "$(answer result)" = passed ]
	told "$URL&tls.ca=$CERTS/wrong.pem" 'certificate'
	told "$URL" 'certificate'
}

@test "amqps: the certificate of another host is refused" {
	told "amqps://guest:guest@127.0.0.1:$AMQPS_PORT/%2F?queue=jobs&tls.ca=$CERTS/right.pem" \
	    hostname
}

@test "amqps: an authority's file that isn't there, plain AMQP on TLS's port and TLS on the plain one" {
	told "amqps://guest:guest@localhost:$AMQPS_PORT/%2F?queue=jobs&tls.ca=$CERTS/absent.pem" \
	    absent.pem
	look observe "amqp://guest:guest@localhost:$AMQPS_PORT/%2F?queue=jobs"
	[ "$(answer result)" != passed ]
	look observe "amqps://guest:guest@localhost:$RABBIT_PORT/%2F?queue=jobs&tls.ca=$CERTS/right.pem"
	[ "$(answer result)" != passed ]
	look observe "amqps://guest:guest@127.0.0.1:$(free_port)/%2F?queue=jobs&tls.ca=$CERTS/right.pem"
	[ "$(answer cause)" = refused ]
}

@test "nats+tls: the right authority is let in, with another one or none it says so" {
	URL="nats+tls://localhost:$NATS_PORT?stream=JOBS"
	look observe "$URL&tls.ca=$CERTS/right.pem"
	[ "$(answer result)" = passed ]
	told "$URL&tls.ca=$CERTS/wrong.pem" 'certificate'
	told "$URL" 'certificate'
}

@test "nats+tls: the certificate of another host is refused, and so is a plain connection" {
	told "nats+tls://127.0.0.1:$NATS_PORT?stream=JOBS&tls.ca=$CERTS/right.pem" 'match'
	told "nats://localhost:$NATS_PORT?stream=JOBS" 'requires TLS'
}
