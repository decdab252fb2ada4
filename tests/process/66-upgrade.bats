#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031 # every test is a process of its own
# Another build takes over in the same process. $NEXT is this one with another
# version and with other structs.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

NEXT=$REEVE_BUILD/tests/process/next/reeve
# How many upgrades in a row, and with how many workers.
UPGRADES=${REEVE_UPGRADES:-20} WORKERS=${REEVE_UPGRADE_WORKERS:-100}

needs_faults() {
	grep -q REEVE_TEST_TAKE_OVER "$REEVE" || skip "needs a build for tests"
}
version_is() { [[ $("$CTL" version) == "$1" ]]; }
another_operator() { operator_runs && [[ $(word_of_init 5) != "$1" ]]; }
this_version() { "$REEVE" --version | cut -d' ' -f2; }
# reeve upgrade, against the supervisor of this test.
upgrade() { "$REEVE" upgrade --name t "$@"; }

two_workers() {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		arg $T/ready
		replicas 3
		worker b
		arg $HELPER
		arg exit
		arg 3
		backoff 50ms 50ms
	END
}

@test "an upgrade: another version with other structs, the same process and workers" {
	two_workers
	for how in pid1 child; do
		supervise $how 2>"$T/err"
		until_ok worker_has a ready 3
		until_ok at_least b/0 restarts 2
		before=$(pids_of a)
		restarts=$(figure b/0 restarts)
		run -0 upgrade "$NEXT"
		[ "$output" = "reeve $(this_version) -> $(this_version)-next: 3 processes of workers go on" ] ||
		    [ "$output" = "reeve $(this_version) -> $(this_version)-next: 4 processes of workers go on" ]
		is_reeve "$INIT"
		version_is "$(this_version)-next"
		[ "$(pids_of a)" = "$before" ]
		# counted on, and its wait kept
		at_least b/0 restarts "$restarts"
		until_ok at_least b/0 restarts $((restarts + 2))
		grep -q 'init.upgraded.*from=' "$T/err"
		run ! grep -q init.recovered "$T/err"
		# and what came takes orders, and back
		"$CTL" scale a -1 4
		until_ok worker_has a ready 4
		upgrade "$REEVE"
		version_is "$(this_version)"
		[ "$(pids_of a | head -n 3)" = "$before" ]
		kill -TERM "$INIT"
		expect_code 0
	done
}

@test "upgrades in a row under load: no worker changes, no end is missed, no descriptor more" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg wait
		replicas $WORKERS
		worker b
		arg $HELPER
		arg exit
		arg 1
		replicas 5
		backoff 20ms 20ms
	END
	supervise pid1 2>"$T/err"
	until_ok worker_has a ready "$WORKERS"
	before=$(pids_of a)
	upgrade "$NEXT" >/dev/null
	files=$(open_files)
	for ((i = 0; i < UPGRADES / 2; i++)); do
		upgrade --quiet "$REEVE"
		upgrade --quiet "$NEXT"
	done
	[ "$(pids_of a)" = "$before" ]
	# b's pidfds, pipes and reports come and go
	(($(open_files) <= files + 5 * 4))
	# every process that was begun has ended and was counted, or is there
	"$CTL" stop b
	until_ok worker_has b running 0
	until_ok no_zombies "$INIT"
	(($(word_of_init 9) == 0)) # no orphans: none was lost and found
	run ! grep -qE 'init.recovered|upgrade.failed|peer.garbage' "$T/err"
	kill -TERM "$INIT"
	expect_code 0
}

@test "the operator is replaced by what came with the build, the logger goes on; no line is lost" {
	export REEVE_SOCKET=$T/socket
	mkdir "$T/new"
	cp "$NEXT" "$T/new/reeve"
	ln -s "$REEVE_TOOL" "$T/new/reeve-tool"
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		workers:
		  - name: a
		    command: [$HELPER, wait]
		    replicas: 2
		  - name: talker
		    command:
		      - /bin/sh
		      - -c
		      - "i=0; while :; do i=\$((i+1)); echo line \$i; sleep 0.01; done"
	END
	launch pid1 run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok worker_has a ready 2
	until_ok operator_runs
	until_ok more_lines 20
	before=$(pids_of a)
	logger=$(word_of_init 7)
	for program in "$T/new/reeve" "$REEVE" "$T/new/reeve"; do
		operator=$(word_of_init 5)
		upgrade "$program"
		until_ok another_operator "$operator"
		[ "$(pids_of a)" = "$before" ]
		[ "$(word_of_init 7)" = "$logger" ]
	done
	run ! grep -q operator.exited "$T/err"
	until_ok more_lines $(($(lines_of) + 20))
	grep '^line ' "$T/out" | head -n -1 | awk '$2 != NR { exit 1 }'
	# it is heard, and hears; what it knew it knows
	"$REEVE" diff
	sed -i 's/replicas: 2/replicas: 3/' "$T/reeve.yaml"
	"$REEVE" reload
	until_ok worker_has a ready 3
	kill -TERM "$INIT"
	expect_code 0
}

@test "without a path: what lies now where the init came from, also when it was replaced" {
	two_workers
	mkdir "$T/bin"
	cp "$REEVE" "$T/bin/reeve"
	REEVE=$T/bin/reeve supervise pid1 2>"$T/err"
	until_ok worker_has a ready 3
	before=$(pids_of a)
	cp "$NEXT" "$T/bin/new"
	mv "$T/bin/new" "$T/bin/reeve"
	# without an order nothing changes, and a fault goes on with the old one
	kill -SEGV "$INIT"
	until_ok grep -q init.recovered "$T/err"
	until_ok version_is "$(this_version)"
	upgrade
	version_is "$(this_version)-next"
	[ "$(pids_of a)" = "$before" ]
	rm "$T/bin/reeve"
	run -65 upgrade "$T/bin/reeve"
	run -65 upgrade
	has "can't be executed"
	version_is "$(this_version)-next"
	kill -TERM "$INIT"
	expect_code 0
}

@test "what can't take over is refused before anything happens, with the reason" {
	two_workers
	supervise pid1 2>"$T/err"
	until_ok worker_has a ready 3
	before=$(pids_of a)
	files=$(open_files)
	said() { # said LINE: a program that answers that
		printf '#include <stdio.h>\nint main(void){return fputs("%s",stdout)<0;}' "$1" |
		    "${CC:-gcc}" -x c -o "$T/program" -
	}
	said 'reeve-state 9 8 0.9.0\n'
	run -65 upgrade "$T/program"
	has "reeve 0.9.0 takes over states of version 8 to 9, this one's is 1: restart the container instead"
	has "reeve $(this_version) goes on"
	said 'reeve-state 99999999999 1 x\n'
	run -65 upgrade "$T/program"
	has "doesn't say what states it can take over"
	said 'reeve-state 1 1 0.9.0'
	run -65 upgrade "$T/program"
	has "doesn't say what states it can take over"
	run -65 upgrade /bin/false
	has "exit code 1"
	run -65 upgrade /etc/passwd
	has "no program"
	printf '\x7fELFnonsense' >"$T/broken"
	chmod +x "$T/broken"
	run -65 upgrade "$T/broken"
	has "not started: exec"
	run -65 upgrade "$T"
	has "no program"
	[ "$(pids_of a)" = "$before" ]
	version_is "$(this_version)"
	until_ok eval '(($(open_files) <= files + 2))'
	kill -TERM "$INIT"
	expect_code 0
}

@test "a program that says nothing is ended after its deadline; meanwhile the workers go on" {
	two_workers
	printf '#include <unistd.h>\nint main(void){for(;;)pause();}' |
	    "${CC:-gcc}" -x c -o "$T/program" -
	supervise pid1 2>"$T/err"
	until_ok worker_has a ready 3
	upgrade "$T/program" >"$T/said" 2>&1 3>&- &
	asked=$!
	until_ok pgrep -P "$INIT" -fx 'reeve --state'
	restarts=$(figure b/0 restarts)
	until_ok at_least b/0 restarts $((restarts + 2))
	run -75 upgrade "$NEXT"
	has "an upgrade is under way"
	rc=0
	wait "$asked" || rc=$?
	[ "$rc" = 65 ]
	grep -q "didn't say what it is within" "$T/said"
	upgrade "$NEXT"
	kill -TERM "$INIT"
	expect_code 0
}

@test "a build that fails while it takes over hands back; the workers don't notice" {
	needs_faults
	two_workers
	for how in fail fault assert hang; do
		export REEVE_TEST_TAKE_OVER=$how
		supervise pid1 2>"$T/err"
		until_ok worker_has a ready 3
		before=$(pids_of a)
		files=$(open_files)
		for i in 1 2; do
			run -1 upgrade "$NEXT"
			has "could not take over"
			[[ $how != hang ]] || break # that takes its time
		done
		[[ $how != hang ]] || grep -q upgrade.hangs "$T/err"
		version_is "$(this_version)"
		[ "$(pids_of a)" = "$before" ]
		restarts=$(figure b/0 restarts)
		until_ok at_least b/0 restarts $((restarts + 2))
		until_ok eval '(($(open_files) <= files + 4))'
		# a fault afterwards is the first one
		kill -SEGV "$INIT"
		until_ok grep -q init.recovered "$T/err"
		until_ok worker_has a ready 3
		[ "$(pids_of a)" = "$before" ]
		kill -TERM "$INIT"
		expect_code 0
	done
}

@test "a drain that began while the program was asked goes on; nothing is taken over then" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg ignore-term
		arg $T/ready
		grace 20s
	END
	supervise pid1 2>"$T/err"
	until_ok file_there "$T/ready"
	kill -TERM "$INIT"
	until_ok is a/0 stopping
	run -75 upgrade "$NEXT"
	has "the container is ending"
	is a/0 stopping
}
