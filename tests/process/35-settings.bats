#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031 # every test is a process of its own
# shellcheck disable=SC2016 # $(NAME) is for reeve
# What a worker's process is given: read from /proc of the real worker, and
# what happens when it can't be had.

bats_require_minimum_version 1.5.0
load lib
setup() {
	begin
	needs_root
	export REEVE_SOCKET=$T/socket
	# where other users come to
	OPEN=$(mktemp -d)
	chmod 755 "$OPEN"
	cp "$HELPER" "$OPEN/helper"
}
teardown() {
	finish
	rm -rf "$OPEN"
}

# manifest SETTINGS: one worker "a" with these lines among its keys.
manifest() {
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		workers:
		  - name: a
		    command: [$OPEN/helper, wait]
		$1
	END
}
# begun SETTINGS [COMMAND…]: it runs; its process is $PID.
begun() {
	manifest "$1"
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok is a/0 ready
	until_ok has_process
}
has_process() {
	PID=$(figure a/0 pid)
	((PID > 0))
}
# refused SETTINGS TEXT: not started, or not even that; it says why.
refused() {
	manifest "$1"
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok grep -qF "$2" "$T/err"
}
# foretold TEXT: `reeve check` says it as well, without starting anything.
foretold() {
	run "$REEVE" check -f "$T/reeve.yaml"
	echo "$output"
	grep -qF 'RV325' <<<"$output"
	grep -qF "$1" <<<"$output"
}
status_has() { grep -qP "^$1:\t\Q$2\E *$" "/proc/$PID/status" || {
	grep "^$1" "/proc/$PID/status"
	return 1
}; }
limit_has() { grep -qE "^Max $1 +$2 +$3 " "/proc/$PID/limits" || {
	cat "/proc/$PID/limits"
	return 1
}; }
# wrapped COMMAND…: the init, and so all that it starts, is executed by it.
wrapped() {
	REEVE=$T/reeve-wrapped
	printf '#!/bin/sh\nexec %s -- %s/reeve "$@"\n' "$*" "$REEVE_BUILD" >"$REEVE"
	chmod 755 "$REEVE"
}
# Without those capabilities.
without() {
	local drop
	printf -v drop -- ',-%s' "$@"
	wrapped setpriv --bounding-set "${drop#,}" --inh-caps "${drop#,}"
}
bits() { echo $((16#$(awk -v key="$1:" '$1 == key { print $2 }' "/proc/$PID/status"))); }

@test "a user by name: its group and the groups that it is in come along" {
	begun '    securityContext: {runAsUser: nobody, supplementalGroups: [4711, adm]}'
	local uid gid adm
	uid=$(id -u nobody) gid=$(id -g nobody) adm=$(getent group adm | cut -d: -f3)
	status_has Uid "$uid	$uid	$uid	$uid"
	status_has Gid "$gid	$gid	$gid	$gid"
	[ "$(awk '/^Groups:/ { $1 = ""; print }' "/proc/$PID/status" | tr ' ' '\n' | sort -n | xargs)" \
		= "$(printf '%s\n' "$gid" 4711 "$adm" | sort -n | xargs)" ]
}

@test "a user by number that nobody knows has none of our groups" {
	wrapped setpriv --groups 4711,4712
	begun '    securityContext: {runAsUser: 4123456, runAsGroup: 4123457}'
	status_has Uid "4123456	4123456	4123456	4123456"
	status_has Gid "4123457	4123457	4123457	4123457"
	status_has Groups ""
}

@test "a user or group that doesn't exist: exit 78, with its place and the nearest name" {
	refused '    securityContext: {runAsUser: nobodyy}' \
		"$T/reeve.yaml:6:34: worker 'a': securityContext.runAsUser: there is no user 'nobodyy' here; did you mean 'nobody'?"
	foretold "there is no user 'nobodyy' here"
	expect_code 78
	refused '    securityContext: {supplementalGroups: [admm]}' "did you mean 'adm'?"
	expect_code 78
	refused '    securityContext: {runAsNonRoot: true}' 'it would run as user 0; set runAsUser'
	foretold 'it would run as user 0'
	expect_code 78
}

@test "without CAP_SETUID another user can't be had: said with the step, and never run as root instead" {
	without setuid
	refused '    securityContext: {runAsUser: 4123456}' \
		'not started: uid: operation not permitted (EPERM)'
	foretold "securityContext.runAsUser: '4123456' needs CAP_SETUID"
	[ "$(figure a/0 pid)" = 0 ]
}

@test "limits: one number, soft and hard, quantities" {
	begun '    limits: {nofile: "100:200", core: 0, stack: 4Mi, nproc: 500, fsize: "1Gi:unlimited", cpu: 3600, as: 2Gi, data: 1Gi, memlock: 64Ki, sigpending: 50, msgqueue: 1Ki, nice: 0, rtprio: 0, rttime: 5000, rss: 1Gi, locks: 7}'
	limit_has 'open files' 100 200
	limit_has 'core file size' 0 0
	limit_has 'stack size' 4194304 4194304
	limit_has processes 500 500
	limit_has 'file size' 1073741824 unlimited
	limit_has 'cpu time' 3600 3600
	limit_has 'address space' 2147483648 2147483648
	limit_has 'data size' 1073741824 1073741824
	limit_has 'locked memory' 65536 65536
	limit_has 'pending signals' 50 50
	limit_has 'msgqueue size' 1024 1024
	limit_has 'nice priority' 0 0
	limit_has 'realtime priority' 0 0
	limit_has 'realtime timeout' 5000 5000
	limit_has 'resident set' 1073741824 1073741824
	limit_has 'file locks' 7 7
}

@test "without limits it has those that the init was started with" {
	ulimit -Sn 333
	ulimit -Sc 0
	begun '    replicas: 1'
	limit_has 'open files' 333 "$(ulimit -Hn)"
	limit_has 'core file size' 0 "$(ulimit -Hc)"
	# the init itself has all that it may have
	PID=$INIT limit_has 'open files' "$(ulimit -Hn)" "$(ulimit -Hn)"
}

@test "a limit above what may be had: said by its name" {
	without sys_resource
	ulimit -n 4096
	refused '    limits: {nofile: 8192}' \
		'not started: limits.nofile: operation not permitted (EPERM)'
	foretold 'limits.nofile: above our hard limit (4096) needs CAP_SYS_RESOURCE'
}

@test "nice, scheduling, I/O priority and OOM score" {
	begun "$(printf '%s\n' '    nice: 7' '    scheduling: batch' \
		'    ioPriority: {class: best-effort, level: 6}' '    oomScoreAdj: 321')"
	# field 19 of stat is nice, 41 the policy; behind a name that may hold anything
	read -ra stat < <(sed 's/.*) //' "/proc/$PID/stat")
	[ "${stat[16]}" = 7 ]
	[ "${stat[38]}" = 3 ]
	[ "$(ionice -p "$PID")" = 'best-effort: prio 6' ]
	[ "$(<"/proc/$PID/oom_score_adj")" = 321 ]
	[ "$(<"/proc/$INIT/oom_score_adj")" = "$(</proc/self/oom_score_adj)" ]
}

@test "scheduling: idle and ioPriority: idle" {
	begun "$(printf '%s\n' '    scheduling: idle' '    ioPriority: {class: idle}')"
	read -ra stat < <(sed 's/.*) //' "/proc/$PID/stat")
	[ "${stat[38]}" = 5 ]
	[ "$(ionice -p "$PID")" = idle ]
}

@test "without CAP_SYS_NICE nothing goes before others" {
	without sys_nice sys_admin
	refused '    nice: -5' 'not started: nice: permission denied (EACCES)'
	foretold "nice: -5 is below ours ($(nice)), which needs CAP_SYS_NICE"
	finish
	refused '    ioPriority: {class: realtime}' \
		'not started: io priority: operation not permitted (EPERM)'
	foretold "ioPriority: 'realtime' needs CAP_SYS_NICE"
}

@test "without CAP_SYS_RESOURCE nothing is safer from the OOM killer than we are" {
	without sys_resource
	refused '    oomScoreAdj: -999' 'not started: oom_score_adj: permission denied (EACCES)'
	foretold 'oomScoreAdj: -999 is below ours'
}

@test "cpus: exactly those; one that doesn't exist is refused with its place" {
	local last
	last=$(taskset -cp $$ | sed 's/.*[-, ]//')
	begun "    cpus: \"$last\""
	status_has Cpus_allowed_list "$last"
	finish
	refused '    cpus: 0,1023' "$T/reeve.yaml:6:11: worker 'a': cpus: there is no CPU 1023 here; there are "
	expect_code 78
}

@test "cpus that the container hasn't got: not started, rather than on others" {
	(($(nproc) > 1)) || skip "one CPU: there is none that could be missing"
	printf '%s\n' 'worker a' "arg $HELPER" 'arg wait' 'cpus 0 1023' | plan_of a.plan
	supervise child a.plan 2>"$T/err"
	until_ok grep -q 'not started: cpus: no such device (ENODEV)' "$T/err"
}

@test "capabilities of root: what the init has; drop takes them away for good" {
	begun '    securityContext: {capabilities: {drop: [NET_RAW, CHOWN]}}'
	local had
	had=$(PID=$INIT bits CapPrm)
	[ "$(bits CapEff)" = $((had & ~(1 << 13 | 1))) ]
	[ "$(bits CapPrm)" = $((had & ~(1 << 13 | 1))) ]
	[ $(($(bits CapBnd) & (1 << 13 | 1))) = 0 ]
	finish
	begun '    securityContext: {capabilities: {drop: [ALL], add: [KILL]}}'
	[ "$(bits CapEff)" = 32 ]
	[ "$(bits CapBnd)" = 32 ]
}

@test "capabilities of another user: none, but what is added works and outlives exec" {
	begun '    securityContext: {runAsUser: 4123456}'
	[ "$(bits CapPrm)" = 0 ]
	[ "$(bits CapAmb)" = 0 ]
	finish
	begun '    securityContext: {runAsUser: 4123456, capabilities: {add: [NET_BIND_SERVICE], drop: [ALL]}}'
	for set in CapInh CapPrm CapEff CapBnd CapAmb; do
		[ "$(bits $set)" = 1024 ]
	done
	status_has NoNewPrivs 1
}

@test "a capability that the init hasn't got: not started" {
	without sys_time
	refused '    securityContext: {capabilities: {add: [SYS_TIME]}}' \
		'not started: capabilities: operation not permitted (EPERM)'
	foretold 'securityContext.capabilities.add: SYS_TIME is none'
	finish
	refused '    securityContext: {capabilities: {add: [SYSTIME]}}' \
		"unknown capability 'SYSTIME': did you mean 'SYS_TIME'?"
	expect_code 78
}

@test "without root drop: [ALL] is no obstacle, for there is nothing to drop" {
	cp "$REEVE_BUILD/reeve" "$REEVE_BUILD/reeve-tool" "$OPEN"
	cat >"$OPEN/as-nobody" <<-END
		#!/bin/sh
		exec setpriv --reuid 4123456 --regid 4123456 --clear-groups -- $OPEN/reeve "\$@"
	END
	chmod 755 "$OPEN/as-nobody"
	REEVE=$OPEN/as-nobody
	export REEVE_SOCKET=$OPEN/own
	mkdir -m 777 "$OPEN/own"
	T=$OPEN begun '    securityContext: {runAsUser: 4123456, capabilities: {drop: [ALL]}}'
	[ "$(bits CapPrm)" = 0 ]
	status_has NoNewPrivs 1
}

@test "allowPrivilegeEscalation: false unless it says true" {
	begun '    replicas: 1'
	status_has NoNewPrivs 1
	finish
	begun '    securityContext: {allowPrivilegeEscalation: true}'
	status_has NoNewPrivs 0
}

@test "readOnlyRootFilesystem is not a worker's: said, not silently taken" {
	begun '    securityContext: {readOnlyRootFilesystem: true}'
	grep -qF 'not acted on: workers[0].securityContext.readOnlyRootFilesystem' "$T/err"
	run "$REEVE" check -f "$T/reeve.yaml" --output json
	[[ $output == *'workers[0].securityContext.readOnlyRootFilesystem'*'declared, not acted on'* ]]
}

@test "umask: as declared, else 022" {
	umask 077
	begun '    umask: 027'
	status_has Umask 0027
	finish
	begun '    replicas: 1'
	status_has Umask 0022
	finish
	refused '    umask: 0o27' 'must be an octal number such as 027'
	expect_code 78
}

@test "workingDir: there it runs; one that isn't there is said" {
	mkdir "$T/here"
	begun "    workingDir: $T/here"
	[ "$(readlink "/proc/$PID/cwd")" = "$T/here" ]
	finish
	refused "    workingDir: $T/nowhere" 'not started: chdir: no such file or directory (ENOENT)'
}

@test "inheritEnv: everything, some names, or nothing of the supervisor's own" {
	export OF_THE_IMAGE=yes OF_NOBODY=no
	begun '    env: [{name: OWN, value: "$(OF_THE_IMAGE)"}]'
	tr '\0' '\n' <"/proc/$PID/environ" >"$T/env"
	grep -qx OF_THE_IMAGE=yes "$T/env"
	grep -qx OF_NOBODY=no "$T/env"
	grep -qx OWN=yes "$T/env"
	finish
	begun '    inheritEnv: [OF_THE_IMAGE]'
	[ "$(tr '\0' '\n' <"/proc/$PID/environ" | cut -d= -f1 | sort | xargs)" \
		= 'OF_THE_IMAGE REEVE_GENERATION REEVE_REPLICA REEVE_RUN REEVE_WORKER' ]
	finish
	begun "$(printf '%s\n' '    inheritEnv: none' '    env: [{name: OWN, value: it}]')"
	[ "$(tr '\0' '\n' <"/proc/$PID/environ" | cut -d= -f1 | sort | xargs)" \
		= 'OWN REEVE_GENERATION REEVE_REPLICA REEVE_RUN REEVE_WORKER' ]
}

@test "a changed setting is drift by its key, and onDrift: {config: restart} mends it" {
	begun "$(printf '%s\n' '    nice: 3' '    onDrift: {config: alert}')"
	manifest "$(printf '%s\n' '    nice: 4' '    limits: {nofile: 64}' '    onDrift: {config: alert}')"
	"$REEVE" reload
	drifted() { "$REEVE" status --output json | jq -e '[.drift[].key] | contains(["nice", "limits.nofile"])'; }
	until_ok drifted
	[ "$(figure a/0 pid)" = "$PID" ]
	manifest "$(printf '%s\n' '    nice: 4' '    limits: {nofile: 64}' '    onDrift: {config: restart}')"
	"$REEVE" reload
	mended() { is a/0 ready && [[ $(figure a/0 pid) != "$PID" ]]; }
	until_ok mended
	PID=$(figure a/0 pid)
	limit_has 'open files' 64 64
}

@test "what may be executed covers rights: a reload that adds a capability or gives up no_new_privs is refused" {
	begun '    securityContext: {capabilities: {drop: [NET_RAW]}}'
	manifest '    securityContext: {capabilities: {drop: [NET_RAW], add: [KILL]}}'
	"$REEVE" reload || :
	until_ok grep -q 'what is executed may not change while running: a ' "$T/err"
	manifest '    securityContext: {capabilities: {drop: [NET_RAW]}, allowPrivilegeEscalation: true}'
	"$REEVE" reload || :
	twice() { (($(grep -c 'plan.refused.*may not change while running' "$T/err") >= 2)); }
	until_ok twice
	[ "$(figure a/0 pid)" = "$PID" ]
}
