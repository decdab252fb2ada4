#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load ../lib

gone_pid() {
	if kill -0 "$1" 2>/dev/null; then return 1; fi
}

@test "redis starts on a free port, answers, and is stopped by its pid" {
	start_redis --requirepass six-bytes
	pid=$REDIS_PID
	run redis ping
	has NOAUTH
	run redis -a six-bytes --no-auth-warning ping
	[ "$output" = PONG ]
	stop_servers
	gone_pid "$pid"
}

@test "postgres starts with scram: the right password opens it, a wrong one doesn't" {
	start_postgres
	pid=$PG_PID dir=$PG_SOCKET_DIR
	[ "$(sql 'SELECT 6 * 7')" = 42 ]
	PG_PASSWORD=wrong run sql 'SELECT 1'
	[ "$status" -ne 0 ]
	has "password authentication failed"
	stop_servers
	gone_pid "$pid"
	[ ! -e "$dir" ]
}

@test "postgres starts with trust too" {
	start_postgres --auth trust -c max_connections=20
	[ "$(sql 'SHOW max_connections')" = 20 ]
}

@test "wait_until gives up and says what it waited for" {
	run wait_until -t 0 false one two
	expect_status 1
	has "waiting for: false one two"
}

@test "two free ports are different" {
	[ "$(free_port)" != "$(free_port)" ]
}
