# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the bats files of process, service, incidents and corpus share:
#
#     load ../lib            # incidents: load ../../lib
#     setup() { start_redis; }
#
# Servers get free ports and temporary folders; each is recorded by its pid and
# start time when it starts, and stopped by that pid in teardown. A file that
# has a teardown of its own calls `stop_servers` in it. Nothing sleeps for a
# fixed time: `wait_until` polls a condition and has a generous deadline.

REEVE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REEVE_BUILD=${REEVE_BUILD:-build/debug}
[[ $REEVE_BUILD = /* ]] || REEVE_BUILD=$REEVE_ROOT/$REEVE_BUILD
REEVE=$REEVE_BUILD/reeve
REEVE_TOOL=$REEVE_BUILD/reeve-tool
export REEVE_ROOT REEVE_BUILD REEVE REEVE_TOOL

# The deadline of wait_until, in seconds. Only a failing test waits that long.
WAIT_SECONDS=${WAIT_SECONDS:-30}

# The folder of the test, or of the file while setup_file and teardown_file run.
test_dir() {
	printf '%s\n' "${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}"
}

# wait_until [-t SECONDS] CMD…: until CMD succeeds; says what it waited for when
# it never does.
wait_until() {
	local seconds=$WAIT_SECONDS
	if [ "$1" = -t ]; then
		seconds=$2
		shift 2
	fi
	local deadline=$((SECONDS + seconds + 1))
	until "$@" >/dev/null 2>&1; do
		if ((SECONDS >= deadline)); then
			echo "gave up after $seconds s waiting for: $*" >&2
			return 1
		fi
		command sleep 0.05
	done
}

# The packages of tests/node, installed once a checkout however many files ask at
# the same time. Programs that need them run in $NODE_DIR.
NODE_DIR=$REEVE_ROOT/tests/node
node_packages() {
	local lock=$NODE_DIR/package-lock.json
	local done=$NODE_DIR/node_modules/.reeve-installed
	(
		flock 9
		cmp -s "$lock" "$done" && exit 0
		cd "$NODE_DIR" && npm ci --ignore-scripts --silent >&2 &&
			cp "$lock" "$done"
	) 9>"$REEVE_BUILD/node.lock"
}

# Is somebody listening on that TCP port? Read from the kernel, so that no
# server sees a stray connection.
port_listens() {
	local hex
	printf -v hex ':%04X' "$1"
	cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
	    awk -v port="$hex$" '$4 == "0A" && $2 ~ port { found = 1 }
		END { exit !found }'
}

# A TCP port that nobody listens on and that no other test of this run was
# given, of any file (a file is a run of bats of its own). Below the kernel's range
# for outgoing connections.
free_port() {
	local taken=${REEVE_RUN_DIR:-${BATS_RUN_TMPDIR:-${TMPDIR:-/tmp}}}/ports port
	mkdir -p "$taken"
	while :; do
		port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
		mkdir "$taken/$port" 2>/dev/null || continue
		port_listens "$port" || break
	done
	printf '%s\n' "$port"
}

# jq 1.6 with -e is content with no input at all: `reeve status | jq -e …` would
# hold when nobody answers.
jq() {
	local out rc=0
	out=$(command jq "$@") || rc=$?
	[[ -z $out ]] || printf '%s\n' "$out"
	[[ $rc != 0 || -n $out || " $* " != *" -e "* ]] || rc=4
	return "$rc"
}

# A process's start time: with the pid it names a process for good.
start_time() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	# shellcheck disable=SC2086 # the fields after the name are what is meant
	set -- ${stat##*) }
	printf '%s\n' "${20}"
}

# remember PID [SIGNAL [FOLDER]]: for stop_servers, which also removes FOLDER.
remember() {
	local line
	line="$1 $(start_time "$1") ${2:-TERM} ${3:-}"
	printf '%s\n' "$line" >>"$(test_dir)/servers"
	# tests/run stops what a suite that was killed left behind
	[ -z "${REEVE_RUN_DIR:-}" ] ||
	    printf '%s\n' "$line" >>"$REEVE_RUN_DIR/servers"
}

same_process() {
	[ "$(start_time "$1")" = "$2" ] &&
	    [ "$(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null)" != Z ]
}

gone() {
	! same_process "$1" "$2"
}

# Stops what this test (in teardown_file: this file) started, the last first; or
# what the list FILE names.
# shellcheck disable=SC2119,SC2120
stop_servers() {
	local list pid born signal folder
	list=${1:-$(test_dir)/servers}
	[ -f "$list" ] || return 0
	while read -r pid born signal folder; do
		if same_process "$pid" "$born"; then
			kill "-$signal" "$pid" 2>/dev/null
			wait_until -t 10 gone "$pid" "$born" 2>/dev/null ||
			    kill -KILL "$pid" 2>/dev/null
		fi
		wait "$pid" 2>/dev/null || true
		[ -n "$folder" ] && rm -rf -- "$folder"
	done < <(tac "$list")
	rm -f "$list"
	return 0
}

# shellcheck disable=SC2119
teardown() {
	stop_servers
}

# shellcheck disable=SC2119
teardown_file() {
	stop_servers
}

# start_background NAME CMD…: runs CMD with its output in NAME.log of the test's
# folder; sets BACKGROUND_PID and BACKGROUND_LOG.
start_background() {
	local name=$1
	shift
	BACKGROUND_LOG=$(test_dir)/$name.log
	# 3 and 4 are bats' own: a server that holds them keeps bats waiting
	"$@" >"$BACKGROUND_LOG" 2>&1 </dev/null 3>&- 4>&- &
	BACKGROUND_PID=$!
	remember "$BACKGROUND_PID"
	export BACKGROUND_PID BACKGROUND_LOG
}

# kill_started PID: what this test started ends by our SIGKILL, and was still
# there until then.
kill_started() {
	local code=0
	kill -KILL "$1"
	wait "$1" 2>/dev/null || code=$?
	if ((code != 128 + 9)); then
		echo "process $1 had ended before it was killed: $code" >&2
		return 1
	fi
}

# start_redis [REDIS-SERVER'S OPTIONS]: sets REDIS_PORT, REDIS_URL, REDIS_PID.
# A password goes in as `--requirepass PW`.
start_redis() {
	local dir try
	for try in 1 2 3; do
		REDIS_PORT=$(free_port)
		dir=$(mktemp -d "$(test_dir)/redis.XXXXXX")
		redis-server --port "$REDIS_PORT" --bind 127.0.0.1 --save '' \
		    --appendonly no --dir "$dir" "$@" \
		    >"$dir/log" 2>&1 </dev/null 3>&- 4>&- &
		REDIS_PID=$!
		remember "$REDIS_PID" TERM "$dir"
		if wait_until -t 10 redis_answers "$REDIS_PORT" "$REDIS_PID"; then
			REDIS_URL=redis://127.0.0.1:$REDIS_PORT
			export REDIS_PORT REDIS_PID REDIS_URL
			return 0
		fi
		cat "$dir/log" >&2
	done
	echo "redis-server did not start ($try times tried)" >&2
	return 1
}

redis_answers() {
	kill -0 "$2" && redis-cli -h 127.0.0.1 -p "$1" ping
}

# redis CMD…: redis-cli against the server that start_redis started.
redis() {
	redis-cli -h 127.0.0.1 -p "$REDIS_PORT" "$@"
}

# In front of a command: as the user that may run PostgreSQL, which refuses
# root.
AS_POSTGRES=(env)
if [ "$(id -u)" = 0 ]; then
	AS_POSTGRES=(setpriv --reuid=postgres --regid=postgres --init-groups --
	    env HOME=/)
fi

postgres_bin() {
	local dir
	for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
		[ -x "$dir/initdb" ] && printf '%s\n' "$dir" && return 0
	done
	dirname "$(command -v initdb)"
}

# start_postgres [--auth scram|trust] [--password PW] [-c NAME=VALUE…]: a new
# cluster, superuser postgres, on 127.0.0.1 and a unix socket. Sets PG_PORT,
# PG_PASSWORD, PG_URL, PG_SOCKET_DIR and PG_PID.
start_postgres() {
	local auth=scram bin dir settings=()
	PG_PASSWORD=correct-horse-battery
	while [ $# -gt 0 ]; do
		case $1 in
		--auth) auth=${2%-sha-256} ;;
		--password) PG_PASSWORD=$2 ;;
		-c) settings+=(-c "$2") ;;
		*) echo "start_postgres: unknown option $1" >&2; return 1 ;;
		esac
		shift 2
	done
	[ "$auth" != scram ] || auth=scram-sha-256
	bin=$(postgres_bin)
	# bats' own folders are closed to other users
	dir=$(mktemp -d "${TMPDIR:-/tmp}/reeve-pg.XXXXXX")
	printf '%s\n' "$PG_PASSWORD" >"$dir/password"
	if [ "$(id -u)" = 0 ]; then chown -R postgres:postgres "$dir"; fi
	if ! "${AS_POSTGRES[@]}" "$bin/initdb" --no-sync -U postgres -E UTF8 \
	    --locale=C -A "$auth" --pwfile="$dir/password" -D "$dir/data" \
	    >"$dir/initdb.log" 2>&1; then
		cat "$dir/initdb.log" >&2
		rm -rf -- "$dir"
		return 1
	fi
	PG_PORT=$(free_port)
	"${AS_POSTGRES[@]}" "$bin/postgres" -D "$dir/data" -p "$PG_PORT" -k "$dir" \
	    -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off \
	    -c synchronous_commit=off -c shared_buffers=16MB \
	    -c max_connections=50 "${settings[@]}" \
	    >"$dir/log" 2>&1 </dev/null 3>&- 4>&- &
	PG_PID=$!
	# INT: the fast shutdown, which doesn't wait for its clients
	remember "$PG_PID" INT "$dir"
	PG_SOCKET_DIR=$dir
	PG_URL=postgresql://postgres:$PG_PASSWORD@127.0.0.1:$PG_PORT/postgres
	export PG_PORT PG_PASSWORD PG_URL PG_SOCKET_DIR PG_PID
	if ! wait_until postgres_answers "$PG_PID"; then
		cat "$dir/log" >&2
		return 1
	fi
}

# start_mariadb: on 127.0.0.1; sets MY_PORT, MY_URL, MY_DIR. Its superuser is
# root, by the socket; the tests' user is jobs.
start_mariadb() {
	local user
	user=$(id -un)
	MY_DIR=$(mktemp -d "${TMPDIR:-/tmp}/reeve-my.XXXXXX")
	MY_PORT=$(free_port)
	if [ "$user" = root ]; then
		user=mysql
		chown mysql:mysql "$MY_DIR"
	fi
	mariadb-install-db --no-defaults --user="$user" --datadir="$MY_DIR/data" \
	    --auth-root-authentication-method=normal --skip-test-db \
	    >"$MY_DIR/install.log" 2>&1 || { cat "$MY_DIR/install.log" >&2; return 1; }
	mariadbd --no-defaults --user="$user" --datadir="$MY_DIR/data" \
	    --socket="$MY_DIR/socket" --port="$MY_PORT" --bind-address=127.0.0.1 \
	    --pid-file="$MY_DIR/pid" --innodb-buffer-pool-size=32M \
	    --innodb-flush-log-at-trx-commit=0 --skip-name-resolve \
	    >"$MY_DIR/log" 2>&1 </dev/null 3>&- 4>&- &
	remember "$!" TERM "$MY_DIR"
	export MY_DIR MY_PORT MY_URL=mysql://jobs:jobs-password@127.0.0.1:$MY_PORT/app
	wait_until my 'SELECT 1' || { cat "$MY_DIR/log" >&2; return 1; }
	my "CREATE DATABASE app; CREATE DATABASE other;
	CREATE USER jobs@'%' IDENTIFIED BY 'jobs-password'; GRANT ALL ON app.* TO jobs@'%'"
}

# my STATEMENTS: as root; rows without headers, tabs between.
my() {
	mariadb --no-defaults -N -B -u root -S "$MY_DIR/socket" "${2:-mysql}" -e "$1"
}

postgres_answers() {
	kill -0 "$1" && sql 'SELECT 1'
}

# sql 'STATEMENTS' [DATABASE]: as the superuser; rows unaligned, without headers.
sql() {
	PGPASSWORD=$PG_PASSWORD PGCONNECT_TIMEOUT=5 psql -X -q -A -t \
	    -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$PG_PORT" -U postgres \
	    -d "${2:-postgres}" -c "$1"
}

# need PROGRAM…: skips the test when one is missing. With CI=true a skip fails
# the run.
need() {
	local program
	for program in "$@"; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
}

# What `reeve status` says of the supervisor that REEVE_SOCKET names. A file whose
# supervisor lives elsewhere defines `status` anew.
status() { "$REEVE" status --output json; }
in_status() { status | jq -e "$1"; }
operator_pid() { status | jq '.operator.pid'; }

# expect_status N, has TEXT, lacks TEXT: after `run`; they show what came.
# shellcheck disable=SC2154
expect_status() {
	[ "$status" -eq "$1" ] && return 0
	printf 'expected exit %s, got %s; output:\n%s\n%s\n' "$1" "$status" "$output" \
	    "${stderr:-}" >&2
	return 1
}

# shellcheck disable=SC2154
has() {
	[[ $output = *"$1"* ]] && return 0
	printf 'expected to find: %s; the output:\n%s\n' "$1" "$output" >&2
	return 1
}

# shellcheck disable=SC2154
lacks() {
	[[ $output != *"$1"* ]] && return 0
	printf 'expected not to find: %s; the output:\n%s\n' "$1" "$output" >&2
	return 1
}
