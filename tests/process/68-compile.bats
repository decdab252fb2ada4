#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `reeve compile`, and the init with what it wrote.

bats_require_minimum_version 1.5.0
load lib
setup() {
	begin
	cd "$T"
}
teardown() { finish; }

plain() {
	cat >reeve.yaml <<-END
		apiVersion: reeve/v1
		name: t
		queues:
		  - {name: jobs, kind: sqlite, url: "sqlite://$T/q.db", queue: jobs}
		workers:
		  - name: a
		    command: [$HELPER, wait]
		    replicas: 2
		    env: [{name: COLOUR, value: blue}]
	END
}
secret() {
	mkdir -p keys
	printf hunter2-hunter2 >keys/TOKEN
	cat >reeve.yaml <<-END
		apiVersion: reeve/v1
		name: t
		secrets:
		  - {name: keys, dir: $T/keys}
		workers:
		  - name: a
		    command: [$HELPER, wait]
		    env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: TOKEN}}}]
	END
}
environment_of() { tr '\0' '\n' <"/proc/$(figure "$1" pid)/environ"; }

@test "a plan runs as the manifest would, in an empty world, without operator" {
	needs_root
	needs_static
	plain
	sed -i "s,$HELPER,/helper," reeve.yaml
	BUILD_TOKEN=x run -0 --separate-stderr "$REEVE" compile reeve.plan
	[[ $output == "reeve.plan: 1 worker, "*" bytes, 0 secret values" ]]
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *"not in a plan, they are the operator's: queues;"* ]]
	[ "$(stat -c %a reeve.plan)" = 600 ]
	mkdir root
	cp "$REEVE" "$HELPER" reeve.plan root
	export REEVE_SOCKET=/
	unshare -fp chroot root /reeve run --plan /reeve.plan 2>err 3>&- &
	TOP=$!
	until_ok child_of "$TOP"
	INIT=$(child_of "$TOP")
	ALSO+=("$TOP" "$INIT")
	export REEVE_SOCKET=$T/root
	until_ok worker_has a ready 2
	# not the environment of the machine that compiled, nor ours
	worker=$(pgrep -P "$INIT" -f '^/helper wait' | head -n 1)
	tr '\0' '\n' <"/proc/$worker/environ" | sed '/REEVE_REPLICA/d' | sort >environment
	diff - environment <<-END
		COLOUR=blue
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		REEVE_GENERATION=1
		REEVE_WORKER=a
	END
	[ "$("$CTL" show | awk '$1 == "init" { print $4 }')" = none ]
	kill -TERM "$INIT"
	expect_code 0
}

@test "with --with-env: the environment of the command is the base" {
	plain
	BUILD_TOKEN=green "$REEVE" compile --with-env reeve.plan
	supervise child reeve.plan
	until_ok worker_has a ready 2
	environment_of a/0 | grep -qx BUILD_TOKEN=green
	environment_of a/0 | grep -qx COLOUR=blue
}

@test "a secret is written only when that is said; else it is refused by name" {
	secret
	run -78 "$REEVE" compile reeve.plan
	has "worker 'a': 'TOKEN' is a secret (secret keys key TOKEN)"
	has "--with-secrets"
	lacks hunter2
	run ! file_there reeve.plan
	run -0 "$REEVE" compile --with-secrets reeve.plan
	has "1 secret value"
	lacks hunter2
	[ "$(stat -c %a reeve.plan)" = 600 ]
	supervise child reeve.plan
	until_ok worker_has a ready 1
	environment_of a/0 | grep -qx TOKEN=hunter2-hunter2
}

@test "what has no value isn't compiled, and what was there stays" {
	secret
	"$REEVE" compile --with-secrets reeve.plan
	before=$(sha256sum <reeve.plan)
	rm keys/TOKEN
	run -78 "$REEVE" compile --with-secrets reeve.plan
	has "worker 'a': 'TOKEN' has no value"
	sed -i 's/command/comand/' reeve.yaml
	run -78 "$REEVE" compile --with-secrets reeve.plan
	has "comand"
	[ "$(sha256sum <reeve.plan)" = "$before" ]
}

@test "the same manifest gives the same bytes" {
	plain
	"$REEVE" compile one.plan
	"$REEVE" compile two.plan
	cmp one.plan two.plan
	sed -i 's/blue/red/' reeve.yaml
	"$REEVE" compile two.plan
	run ! cmp -s one.plan two.plan
}
