#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Whatever the other side does, a command ends within its --timeout and says
# what it could not find out.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	need python3
	cd "$BATS_TEST_TMPDIR"
	export REEVE_SOCKET=$PWD
	EVERY_COMMAND=$BATS_TEST_DIRNAME/every-command.sh
}

# A system whose database, queue and endpoint all lie at $1 (host:port).
manifest() {
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: slow
	env:
	  - {name: DATABASE_URL, value: "postgresql://u@$1/db"}
	queues:
	  - {name: jobs, kind: redis, url: "redis://$1/0", list: jobs}
	workers:
	  - name: worker
	    command: [/bin/true]
	    consumes: [{queue: jobs}]
	checks:
	  - {name: endpoint, http: {url: "http://$1/"}}
	  - {name: rows, postgres: {url: \$(DATABASE_URL), tables: [{name: a}]}}
	smoke:
	  - name: a job goes through
	    submit: {queue: jobs, payload: '{"id": "\$(CANARY)"}'}
	    stages: [{name: taken, within: 60s, queue: jobs, state: taken}]
	YAML
}

# Nothing passed, nothing hung, nothing crashed; and each said something.
all_ended() {
	local command
	for command in check smoke gate diagnose "queue ls" "diagnose URL"; do
		has "$command exit "
		lacks "$command exit 0"
		lacks "$command exit 137"
		lacks "$command exit 70"
	done
}

@test "a server that accepts and says nothing" {
	port=$(free_port)
	start_background silent python3 "$BATS_TEST_DIRNAME/silent.py" "$port" silent
	wait_until port_listens "$port"
	manifest "127.0.0.1:$port"
	run "$EVERY_COMMAND" "127.0.0.1:$port"
	all_ended
	run "$REEVE" check -f reeve.yaml --timeout 3s --verbose
	has "endpoint"
	has "jobs"
}

@test "a server that drips a byte a second" {
	port=$(free_port)
	start_background drip python3 "$BATS_TEST_DIRNAME/silent.py" "$port" drip
	wait_until port_listens "$port"
	manifest "127.0.0.1:$port"
	run "$EVERY_COMMAND" "127.0.0.1:$port"
	all_ended
}

@test "an address that answers nothing at all" {
	need ip unshare
	# a namespace of its own, in which 10.99.0.0/24 exists and nobody is there
	cat >inside.sh <<-'SH'
	set -e
	ip link set lo up
	ip link add v0 type veth peer name v1
	ip addr add 10.99.0.1/24 dev v0
	ip link set v0 up; ip link set v1 up
	# a neighbour that is known and never answers: packets leave, none return
	ip neigh add 10.99.0.2 lladdr 02:00:00:00:00:02 dev v0
	exec "$@"
	SH
	manifest 10.99.0.2:6379
	run unshare -n bash inside.sh "$EVERY_COMMAND" 10.99.0.2:6379
	all_ended
	# nobody was reached, and nothing was found: 69 (decisions.md 26); the whole
	# deadline may be over first
	grep -Eq 'diagnose URL exit (69|124)' <<<"$output"
}

@test "a DNS server that never answers" {
	need ip unshare
	manifest no-such-host.example:6379
	cat >inside.sh <<-'SH'
	set -e
	ip link set lo up
	ip link add v0 type veth peer name v1
	ip addr add 10.99.0.1/24 dev v0
	ip link set v0 up; ip link set v1 up
	ip neigh add 10.99.0.2 lladdr 02:00:00:00:00:02 dev v0
	echo 'nameserver 10.99.0.2' >resolv.conf
	mount --bind resolv.conf /etc/resolv.conf
	exec "$@"
	SH
	run unshare -nm bash inside.sh "$EVERY_COMMAND" no-such-host.example:6379
	all_ended
}
