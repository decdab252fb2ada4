#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `reeve run --plan FILE`: the init by itself, as PID 1 of a namespace and as
# anybody's child. (Pids in files are those of the namespace.)

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

@test "two replicas run, each with its own number, and drain on TERM within their grace" {
	for how in pid1 child; do
		rm -f "$T"/ready* "$T"/mark*
		plan_of a.plan <<-END
			worker a
			arg /bin/sh
			arg -c
			arg exec '$HELPER' drain $T/ready\$REEVE_REPLICA $T/mark\$REEVE_REPLICA 200
			replicas 2
			grace 20s
		END
		supervise $how
		until_ok file_there "$T/ready0"
		until_ok file_there "$T/ready1"
		kill -TERM "$INIT"
		expect_code 0
		[ -e "$T/mark0" ]
		[ -e "$T/mark1" ]
	done
}

# Whoever looks twice takes another start time for another process.
@test "when a worker was started is the same time whenever it is asked" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		arg $T/ready
	END
	supervise child
	until_ok file_there "$T/ready"
	for _ in {1..40}; do
		"$REEVE" status --output json >"$T/status"
		jq -e '.workers[0].instances[0].started_at' "$T/status" >>"$T/times"
	done
	[ "$(sort -u "$T/times" | wc -l)" -eq 1 ]
}

@test "exitOnTerm: 143 is what a stop by TERM then ends with" {
	plan_of a.plan <<-END
		exit-on-term 143
		worker a
		arg $HELPER
		arg wait
		arg $T/ready
	END
	supervise pid1
	until_ok file_there "$T/ready"
	kill -TERM "$INIT"
	expect_code 143
}

@test "a worker that crashes is restarted, and not before its backoff is over" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg exit
		arg 3
		backoff 10ms 40ms
	END
	for how in pid1 child; do
		supervise $how
		until_ok at_least a/0 restarts 3
		kill -TERM "$INIT"
		ended
	done
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg exit
		arg 3
		backoff 1h 2h
	END
	supervise child
	until_ok is a/0 backoff
	[ "$(figure a/0 restarts)" = 0 ]
	kill -TERM "$INIT"
	ended
}

@test "Never and OnFailure: the init ends by itself with the worst code" {
	plan_of a.plan <<-END
		worker good
		arg $HELPER
		arg exit
		arg 0
		restart on-failure
		worker bad
		arg $HELPER
		arg exit
		arg 7
		restart never
		worker worse
		arg $HELPER
		arg exit
		arg 9
		restart never
	END
	for how in pid1 child; do
		supervise $how
		expect_code 9
	done
}

@test "what the worker sees: clean signals, its own session, exactly its environment" {
	export REEVE_SOCKET=$T/socket
	plan_of a.plan <<-END
		worker the-worker
		arg /bin/sh
		arg -c
		arg '$HELPER' signals >$T/signals; env >$T/env
		env A=b c=d %\$
		env PATH=/usr/bin:/bin
		port web 8080
		restart never
		generation 17
		logs none
	END
	"$HELPER" born ignored "$REEVE" run --plan "$T/a.plan"
	run ! grep -E 'blocked|ignored' "$T/signals"
	grep -qE '^REEVE_RUN=[0-9]+$' "$T/env"
	sort "$T/env" | grep -vE '^(PWD|SHLVL|_|OLDPWD|REEVE_RUN)=' >"$T/got"
	diff - "$T/got" <<-'END'
		A=b c=d %$
		PATH=/usr/bin:/bin
		PORT_WEB=8080
		REEVE_GENERATION=17
		REEVE_REPLICA=0
		REEVE_WORKER=the-worker
	END
}

@test "orders: stop, start, restart, scale, signal" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		replicas 2
		worker b
		arg $HELPER
		arg count
		arg 10
		arg 2
		arg $T/ready
		arg $T/count
	END
	supervise child
	until_ok is a/0 ready
	until_ok is a/1 ready
	until_ok file_there "$T/ready"
	before=$(figure a/1 pid)
	"$CTL" stop a 0
	until_ok is a/0 stopped
	[ "$(figure a/1 pid)" = "$before" ]
	"$CTL" start a 0
	until_ok is a/0 ready
	zero=$(figure a/0 pid)
	"$CTL" restart a 0
	changed() { is a/0 ready && [[ $(figure a/0 pid) != "$zero" ]]; }
	until_ok changed
	[ "$(figure a/1 pid)" = "$before" ]
	"$CTL" scale a -1 4
	until_ok worker_has a ready 4
	"$CTL" scale a -1 1
	until_ok worker_has a running 1
	"$CTL" signal b 0 10
	until_ok grep -qx 1 "$T/count"
	run "$CTL" stop nobody
	[ "$status" -eq 1 ]
	kill -TERM "$INIT"
	expect_code 0
}

@test "a plan that isn't one, or isn't there, is refused at the start" {
	head -c 5000 /dev/urandom >"$T/junk"
	run -65 "$REEVE" run --plan "$T/junk"
	[[ $output == *"$T/junk"* ]]
	run -65 "$REEVE" run --plan "$T/none"
	[[ $output == *"$T/none"* ]]
	run -65 "$REEVE" run --plan "$T"
	[[ $output == *"$T'"* ]]
	# one that is a plan, and can't be had
	printf '%s\n' 'worker a' "arg $HELPER" 'arg wait' 'replicas 3' | plan_of a.plan
	run -78 "$REEVE" run --plan "$T/a.plan" --max-workers 2
	[[ $output == *"2"* ]]
}

@test "exitCode: first is the first that wasn't 0, fixed is 70" {
	for policy in "first 3" "fixed 70" "worst 9"; do
		rm -f "$T/first"
		plan_of a.plan <<-END
			exit-code ${policy% *}
			worker a
			arg /bin/sh
			arg -c
			arg echo \$\$ >$T/first; exit 3
			restart never
			worker b
			arg /bin/sh
			arg -c
			arg until [ -s $T/first ] && ! kill -0 \$(cat $T/first) 2>/dev/null; do sleep 0.02; done; exit 9
			restart never
		END
		supervise child
		expect_code "${policy#* }"
	done
}

@test "an init that isn't PID 1 and is killed takes its workers with it" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg ignore-term
		arg $T/ready
		replicas 1
	END
	supervise child
	until_ok file_there "$T/ready"
	worker=$(<"$T/ready")
	ALSO+=("$worker")
	kill -KILL "$INIT"
	until_ok gone "$worker"
}
