#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing from apt, and starts nothing of it.
#
#     tests/deps.sh [--list] build|test|lint|bench…
#
# Says nothing when all is there. Otherwise it says what it will install and
# why, before it does; with sudo where the caller isn't root.
set -euo pipefail

# Each row: set, package, why.
packages() {
	cat <<-'ROWS'
		build gcc the compiler
		build make the build
		build pkg-config finds the libraries
		build libc6-dev the C library, static too
		build musl-tools the C library of the init
		build libcyaml-dev reads reeve.yaml
		build libyaml-dev reads Kubernetes and Compose files
		build libcjson-dev reads JSON
		build libcurl4-openssl-dev HTTP probes and webhooks
		build libpq-dev PostgreSQL probes and queues
		build libhiredis-dev Redis probes and queues
		build libssl-dev TLS and digests
		build libsqlite3-dev SQLite queues
		build libmicrohttpd-dev the status server
		build libmariadb-dev MySQL tables (WITH_MYSQL=no: without)
		build unixodbc-dev SQL Server tables (WITH_ODBC=no: without)
		build libncurses-dev reeve top
		build libnats-dev NATS JetStream queues
		build librabbitmq-dev RabbitMQ queues
		build librdkafka-dev Kafka's lag (WITH_KAFKA=no: without)
		build zlib1g-dev errors of RQ
		test libcmocka-dev unit tests
		test bats tests of the programs
		test redis-server tests against a real Redis
		test redis-tools looks into it
		test python3-rq a queue of its own
		test python3-celery a queue of its own
		test ruby-sidekiq a queue of its own
		test ruby-delayed-job-active-record a queue of its own
		test ruby-pg what it needs for PostgreSQL
		test python3-kafka a client of Kafka that shares no code with ours
		test beanstalkd tests against a real beanstalkd
		test ruby-beaneater a client of it that others wrote
		test postgresql tests against a real PostgreSQL
		test sqlite3 looks into SQLite queues
		test nats-server tests against a real NATS JetStream
		test rabbitmq-server tests against a real RabbitMQ
		test libsqliteodbc ODBC against SQLite
		test odbc-postgresql ODBC against PostgreSQL
		test tdsodbc the driver of SQL Server
		test mariadb-server tests against a real MariaDB
		test jq reads reports in tests
		test strace shows system calls in tests
		test iproute2 networks of their own for tests
		test procps looks at processes in tests
		test tmux a terminal for tests of reeve top
		test util-linux unshare, setpriv
		test libfaketime a clock that jumps in tests
		test systemd systemd-notify, which tells a worker's state
		test python3 servers that misbehave in tests
		test curl speaks to the control socket in tests
		test prometheus scrapes the status server in tests
		test chromium shows its page in tests
		test prometheus-alertmanager takes alerts in tests
		test openssl certificates for tests
		test podman runs a real container in tests
		test crun a runtime that podman uses
		test runc the runtime that Kubernetes uses
		test uidmap user namespaces for podman
		test user-mode-linux a kernel with cgroup v2 for tests
		test tini an init to compare with
		test dumb-init an init to compare with
		test binutils reads the init's symbols
		lint clang the second compiler
		lint clang-format the format
		lint clang-tidy static analysis
		lint cppcheck static analysis
		lint shellcheck scripts
		lint codespell spelling
		lint gcovr the coverage report
		fuzz clang the compiler that libFuzzer comes with
		fuzz libclang-rt-14-dev libFuzzer and its sanitizers
		bench tini what reeve is measured beside
		bench dumb-init the same
		bench catatonit the same
		bench runit the same
		bench s6 the same
		bench supervisor the same
		bench daemontools multilog, the same
	ROWS
}

installed() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The missing packages of the sets, with why, one a line.
missing() {
	local set package why wanted
	packages | while read -r set package why; do
		for wanted in "$@"; do
			if [ "$set" = "$wanted" ] && ! installed "$package"; then
				printf '%s %s\n' "$package" "$why"
			fi
		done
	done
}

# --- as root -----------------------------------------------------------------

policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.conf
# What stood at these places, to be put back; "" when nothing did.
policy_before='' cluster_before='' cluster_made=''

# invoke-rc.d asks policy-rc.d whether a service may start: 101 is no.
forbid_starting() {
	if [ -e "$policy" ] || [ -L "$policy" ]; then
		policy_before=$(mktemp -u "$policy.reeve.XXXXXX")
		mv "$policy" "$policy_before"
	fi
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	# and no database cluster of the machine's own is made
	mkdir -p "${cluster%/*}"
	if [ -e "$cluster" ]; then
		cluster_before=$(mktemp -u "$cluster.reeve.XXXXXX")
		cp -p "$cluster" "$cluster_before"
	fi
	cluster_made=yes
	printf 'create_main_cluster = false\n' >>"$cluster"
}

restore() {
	rm -f "$policy"
	[ -z "$policy_before" ] || mv "$policy_before" "$policy"
	[ -n "$cluster_made" ] || return 0
	if [ -n "$cluster_before" ]; then
		mv "$cluster_before" "$cluster"
	elif [ -e "$cluster.dpkg-dist" ]; then
		mv "$cluster.dpkg-dist" "$cluster" # the package's own
	else
		rm -f "$cluster"
	fi
	rmdir "${cluster%/*}" 2>/dev/null || true
}

install_as_root() {
	forbid_starting
	trap restore EXIT
	trap 'exit 130' INT TERM HUP
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q
	apt-get install -q -y --no-install-recommends --no-upgrade \
	    -o DPkg::Lock::Timeout=600 \
	    -o Dpkg::Options::=--force-confold "$@"
}

# --- the caller's part ---------------------------------------------------------

main() {
	local list rows package why
	local -a names=()
	if [ "${1:-}" = --as-root ]; then
		shift
		install_as_root "$@"
		return
	fi
	if [ "${1:-}" = --list ]; then
		packages
		return
	fi
	if ! command -v dpkg-query >/dev/null; then
		echo "deps: not a Debian system: nothing is installed;" \
		    "'tests/deps.sh --list' names what is needed" >&2
		return 0
	fi
	rows=$(missing "$@")
	[ -n "$rows" ] || return 0
	while read -r package why; do names+=("$package"); done <<<"$rows"
	echo "deps: installing ${#names[@]} packages with apt; nothing of them is started:"
	while read -r package why; do
		printf '  %-24s %s\n' "$package" "$why"
	done <<<"$rows"
	list=$(readlink -f "$0")
	if [ "$(id -u)" = 0 ]; then
		bash "$list" --as-root "${names[@]}"
	elif command -v sudo >/dev/null; then
		sudo bash "$list" --as-root "${names[@]}"
	else
		echo "deps: not root, and there is no sudo; as root:" >&2
		echo "  bash $list --as-root ${names[*]}" >&2
		return 1
	fi
}

main "$@"
