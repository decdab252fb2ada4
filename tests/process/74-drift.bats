#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What runs against what is declared: each class of difference fires and stays
# quiet, `reeve diff` and `reeve plan` say it, and a reload touches nothing else.

# shellcheck disable=SC2030,SC2031 # every test is a process of its own
bats_require_minimum_version 1.5.0
load lib
setup() { begin_there; }
teardown() { drain_and_finish; }

# manifest [FILE]: the lines on stdin are added to worker `a`.
manifest() {
	cat >"${1:-$T/reeve.yaml}" <<-END
		apiVersion: reeve/v1
		name: t
		workers:
		  - name: a
		    command: [$HELPER, wait]
	END
	sed 's/^/    /' >>"${1:-$T/reeve.yaml}"
}

# run_manifest REPLICAS
run_manifest() {
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok worker_has a ready "$1"
	until_ok same
	# two seconds of running: what hasn't settled is replaced at no cost
	until_ok settled
}
settled() {
	plan
	jq -e '.last_pass.actions | any(.action == "good")' "$T/plan"
}

same() { "$REEVE" diff; }
# differs CLASS KEY: `reeve diff` says so, and exits 1.
differs() {
	local code=0
	"$REEVE" diff --output json >"$T/diff" || code=$?
	((code == 1)) && jq -e --arg class "$1" --arg key "$2" \
		'[.findings[] | select(.class == $class and .key == $key)] |
		length > 0' "$T/diff"
}
# replaced PID: another process is ready in its place.
replaced() { [[ $(figure a/0 pid) != "$1" ]] && worker_has a ready 1; }
# plan [OPTION…]: into $T/plan, its code in $CODE.
plan() {
	CODE=0
	"$REEVE" plan --output json "$@" >"$T/plan" || CODE=$?
}
# The plan's actions, "step action worker/replica key" a line.
actions() {
	jq -r '.actions[] | "\(.step) \(.action) \(.worker)/\(.replica // "-") \(.key)"' \
		"$T/plan"
}

@test "plan: nothing to do is 0; a new file's restarts in order, one at a time, and nothing is done" {
	manifest <<-'END'
		replicas: 3
		onDrift: {env: restart}
		env: [{name: COLOUR, value: red}]
	END
	run_manifest 3
	before=$(pids)
	plan
	[ "$CODE" -eq 0 ]
	jq -e '.schema == "reeve.plan/1" and .verdict == "nothing" and .actions == []' "$T/plan"
	manifest "$T/new.yaml" <<-'END'
		replicas: 4
		onDrift: {env: restart}
		env: [{name: COLOUR, value: blue}]
	END
	plan -f "$T/new.yaml"
	[ "$CODE" -eq 1 ]
	[ "$(actions)" = "0 start a/3 replicas
1 restart a/0 COLOUR
2 restart a/1 COLOUR
3 restart a/2 COLOUR" ]
	run ! grep -q blue "$T/plan"
	[ "$(pids)" = "$before" ]
	same
	# two at a time where that is allowed
	echo '    maxUnavailable: 2' >>"$T/new.yaml"
	plan -f "$T/new.yaml"
	[ "$(actions | awk '$2 == "restart" { print $1 }' | paste -sd' ')" = "1 1 2" ]
}

@test "plan: what is only alerted about stays; what is gone stops; a wrong file is refused" {
	manifest <<-'END'
		replicas: 2
		env: [{name: COLOUR, value: red}]
	END
	run_manifest 2
	manifest "$T/new.yaml" <<-'END'
		replicas: 2
		env: [{name: COLOUR, value: blue}]
	END
	plan -f "$T/new.yaml"
	[ "$CODE" -eq 0 ]
	jq -e '.left | length == 1 and .[0].key == "COLOUR" and .[0].policy == "alert"' "$T/plan"
	sed -i 's/name: a$/name: b/' "$T/new.yaml"
	plan -f "$T/new.yaml"
	[ "$CODE" -eq 1 ]
	[ "$(actions | sort)" = "0 start b/0 worker
0 start b/1 worker
0 stop a/0 worker
0 stop a/1 worker" ]
	echo 'wrokers: []' >>"$T/new.yaml"
	run -78 "$REEVE" plan -f "$T/new.yaml" --name t
	[[ $output == *wrokers* ]]
	same
}

@test "diff waits for the first look after a reload and after the operator was killed" {
	manifest <<-'END'
		env: [{name: COLOUR, value: red}]
	END
	run_manifest 1
	manifest <<-'END'
		env: [{name: COLOUR, value: blue}]
	END
	"$REEVE" reload
	differs env COLOUR
	before=$(pids)
	kill -KILL "$("$REEVE" status --output json | jq .operator.pid)"
	# neither "same" nor "does not answer", from the moment it is dead
	for _ in 1 2 3 4 5; do differs env COLOUR; done
	[ "$(pids)" = "$before" ]
}

@test "environment: another value in the process fires, and its value is nowhere" {
	cat >"$T/worker" <<-END
		#!/bin/sh
		[ -e "$T/clean" ] || export COLOUR=sesame
		exec '$HELPER' wait
	END
	chmod +x "$T/worker"
	manifest <<-'END'
		env: [{name: COLOUR, value: red}]
	END
	sed -i "s|command: .*|command: [$T/worker]|" "$T/reeve.yaml"
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok worker_has a ready 1
	until_ok differs env COLOUR
	run ! grep -q sesame "$T/diff"
	jq -e '.findings[] | select(.key == "COLOUR") | .id == "RV121" and
		(.evidence[0].source | test("/proc/[0-9]+$"))' "$T/diff"
	: >"$T/clean"
	"$REEVE" restart a
	until_ok same
}

@test "replicas that differ alike are one alert, which names them" {
	cat >"$T/worker" <<-END
		#!/bin/sh
		[ "\$REEVE_REPLICA" = 1 ] || export COLOUR=sesame
		exec '$HELPER' wait
	END
	chmod +x "$T/worker"
	manifest <<-'END'
		env: [{name: COLOUR, value: red}]
		replicas: 3
	END
	sed -i "s|command: .*|command: [$T/worker]|" "$T/reeve.yaml"
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok worker_has a ready 3
	until_ok one_drift_alert_of 'replicas 0, 2: '
}
one_drift_alert_of() {
	"$REEVE" status --output json >"$T/status" &&
		jq -e --arg who "$1" '[.alerts[] | select(.kind == "drift")] |
			length == 1 and (.[0].evidence | startswith($who))' "$T/status"
}

@test "limits: changed from outside fires; with restart it is mended" {
	manifest <<-'END'
		limits: {nofile: "100:200", core: "10:20"}
	END
	run_manifest 1
	first=$(figure a/0 pid)
	# the soft one raised, as Go does to itself, is nothing
	prlimit --pid "$first" --nofile=200:200 --core=5:15
	until_ok differs limits limits.core
	run ! differs limits limits.nofile
	[ "$(figure a/0 pid)" = "$first" ]
	sed -i 's/limits: {nofile/onDrift: {limits: restart}\n    &/' "$T/reeve.yaml"
	"$REEVE" reload
	until_ok replaced "$first"
	until_ok same
}

@test "user: another one than declared fires; a restart that mends nothing isn't repeated" {
	needs_root
	manifest <<-'END'
		securityContext: {runAsUser: 0, allowPrivilegeEscalation: true}
		onDrift: {user: restart}
	END
	sed -i "s|command: .*|command: [setpriv, --reuid, '23457', --clear-groups, $HELPER, wait]|" \
		"$T/reeve.yaml"
	chmod 755 "$T"
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok worker_has a ready 1
	first=$(figure a/0 pid)
	mended_not() {
		differs user runAsUser
		jq -e '.findings[] | select(.class == "user") |
			.policy == "alert" and
			(.summary | test("did not mend"))' "$T/diff"
	}
	until_ok mended_not
	second=$(figure a/0 pid)
	[ "$second" != "$first" ]
	same_pid() { [[ $(figure a/0 pid) == "$second" ]]; }
	until_ok mended_not
	same_pid
}

@test "processes: the same command by hand, and a daemon that left its worker, are strangers" {
	manifest </dev/null
	cat >>"$T/reeve.yaml" <<-END
		  - name: b
		    command: [/bin/sh, -c, "setsid sleep 1000 <&- >&- 2>&- & exec '$HELPER' wait"]
	END
	run_manifest 1
	(cd / && exec "$HELPER" wait) 3>&- &
	by_hand=$!
	ALSO+=("$by_hand")
	until_ok differs processes "pid $by_hand"
	jq -e --arg key "pid $by_hand" '.findings[] | select(.key == $key) |
		.subject == "worker a"' "$T/diff"
	kill "$by_hand"
	until_ok same
	# its worker's child while that lives, the init's when it is gone
	"$REEVE" restart b/0
	stray() {
		"$REEVE" diff --output json >"$T/diff" || :
		jq -e '.findings[] | select(.class == "processes" and
			.subject == "supervisor" and
			.evidence[0].observed == "sleep")' "$T/diff"
	}
	until_ok stray
	kill "$(jq -r '.findings[] | select(.class == "processes") | .key' "$T/diff" |
		head -1 | cut -d' ' -f2)"
}

@test "files: other content fires, the same again is quiet, a deleted one too; also after the operator was killed" {
	echo one >"$T/conf"
	manifest <<-END
		files: [$T/conf]
	END
	run_manifest 1
	same # it has been looked at as it was at the start
	touch "$T/conf"
	same
	echo two >"$T/conf"
	until_ok differs files "$T/conf"
	kill -KILL "$("$REEVE" status --output json | jq .operator.pid)"
	until_ok differs files "$T/conf"
	echo one >"$T/conf"
	until_ok same
	rm "$T/conf"
	until_ok differs files "$T/conf"
	jq -e '.findings[0].summary | test("was deleted")' "$T/diff"
	echo two >"$T/conf"
	sed -i 's/    files:/    onDrift: {files: restart}\n&/' "$T/reeve.yaml"
	first=$(figure a/0 pid)
	until_ok replaced "$first"
	until_ok same
}

@test "executable: the interpreter of a script, named by env, fires when it is replaced" {
	mkdir "$T/bin"
	cp /bin/sh "$T/bin/tool"
	printf '#!/usr/bin/env tool\nexec sleep 1000\n' >"$T/script"
	chmod +x "$T/script"
	manifest <<-END
		env: [{name: PATH, value: "$T/bin:$PATH"}]
	END
	sed -i "s|command: .*|command: [$T/script]|" "$T/reeve.yaml"
	run_manifest 1
	cp /bin/sh "$T/bin/new"
	echo >>"$T/bin/new"
	mv "$T/bin/new" "$T/bin/tool"
	until_ok differs executable "$T/bin/tool"
}
