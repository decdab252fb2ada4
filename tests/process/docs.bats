#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every `reeve …` command that the documentation shows is run, in a folder with
# a manifest and a running supervisor. What it finds may differ there; that it
# is a command, with options that exist, may not. (`reeve demo` and `top` have
# their own tests.)

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR"
	export REEVE_SOCKET=$PWD/run XDG_STATE_HOME=$PWD/state
	mkdir run bin
	ln -s "$REEVE" bin/reeve
	export PATH=$PWD/bin:$PATH
	cat >reeve.yaml <<-YAML
	apiVersion: reeve/v1
	name: docs
	queues:
	  - {name: jobs, kind: sqlite, url: "sqlite://$PWD/queue.db", queue: jobs}
	workers:
	  - name: fileprocess
	    command: [$REEVE, worker, --queue, "sqlite://$PWD/queue.db?queue=jobs", --, /bin/cat]
	    consumes: [{queue: jobs, env: QUEUE_NAME}]
	    terminationGracePeriodSeconds: 5
	smoke:
	  - name: a document goes through
	    submit: {queue: jobs, payload: '{"id": "\$(CANARY)"}'}
	    stages: [{name: taken, within: 10s, queue: jobs, state: taken}]
	YAML
	cp "$REEVE_ROOT"/tests/incidents/000/*.yml "$REEVE_ROOT"/tests/incidents/000/*.yaml .
	start_background run reeve run -f reeve.yaml
	wait_until worker_ready
}

worker_ready() {
	reeve status --output json | jq -e '.workers[0].ready == 1'
}

shown_commands() {
	(cd "$REEVE_ROOT" && awk -f tests/process/docs-commands.awk README.md \
	    docs/*.md docs/findings/*.md | grep -Ev '^reeve (demo|top)' | sort -u)
}

# The exit codes that say "that was not a command", "a bug", or a death.
refused() {
	[ "$1" -eq 64 ] || [ "$1" -eq 70 ] || [ "$1" -ge 126 ]
}

@test "there are commands in the documentation, and each of them runs" {
	local line code failed=0 count=0
	shown_commands >commands
	[ "$(wc -l <commands)" -ge 20 ]
	while read -r line; do
		count=$((count + 1))
		code=0
		# TERM after a while: some of them follow, or supervise
		timeout -k 10 10 sh -c "exec $line" >out 2>&1 </dev/null || code=$?
		# 124: ended by our TERM, as `reeve run` and `--follow` must be
		if [ "$code" -ne 124 ] && refused "$code"; then
			failed=$((failed + 1))
			printf '%s\n  exit %s\n' "$line" "$code"
			sed 's/^/  /' out
		fi
	done <commands
	echo "$count commands, $failed of them refused"
	[ "$failed" -eq 0 ]
}
