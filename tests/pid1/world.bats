#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Cases 21 and 23 to 27: what is around the init, and what gets through it.

bats_require_minimum_version 1.5.0
load lib
setup_file() { make_world tool; }

# --- 21 ------------------------------------------------------------------------

wrapped_codes() {
	local code
	for code in 0 255 256 257 300 -1; do
		run in_box "$REEVE" run -- "$HELPER" exit $code
		[ "$status" -eq $((code & 255)) ]
	done
	for code in 256:0 300:44 -1:255; do
		printf '%s\n' 'worker a' "arg $HELPER" 'arg exit' "arg ${code%:*}" \
			'restart never' 'worker b' "arg $HELPER" 'arg exit' 'arg 0' \
			'restart never' | plan_of a.plan
		supervise
		expect_code "${code#*:}"
	done
	printf '%s\n' 'worker a' "arg $HELPER" 'arg die' 'arg 9' 'restart never' |
		plan_of a.plan
	supervise
	expect_code 137
}

@test "case 21: exit codes beyond a byte wrap as the kernel wraps them, a signal never becomes 0 [pid1]" { in_mode pid1; wrapped_codes; }
@test "case 21: exit codes beyond a byte wrap as the kernel wraps them, a signal never becomes 0 [subreaper]" { in_mode subreaper; wrapped_codes; }
@test "case 21: exit codes beyond a byte wrap as the kernel wraps them, a signal never becomes 0 [container]" { in_mode container; wrapped_codes; }

# --- 23 ------------------------------------------------------------------------

# No /proc, no /dev, no /tmp, no /run; nothing that can be written.
nothing_there() {
	local uid root=$IMAGE
	if [[ $MODE == container ]]; then
		root=/bare
		CONTAINER=(--user 0:0 --cap-add SYS_CHROOT --cap-add SETUID
			--cap-add SETGID -v "$IMAGE:/bare:ro")
	fi
	unset REEVE_SOCKET
	printf '%s\n' 'worker a' "arg $HELPER" 'arg exit' 'arg 7' \
		'restart never' | plan_of a.plan
	cp "$T/a.plan" "$IMAGE/a.plan"
	for uid in 0 23456; do
		run in_box "$HELPER" readonly "$root" $uid "$REEVE" run -- "$HELPER" exit 9
		expect_status 9
		run in_box "$HELPER" readonly "$root" $uid "$REEVE" run --plan /a.plan
		expect_status 7
	done
}

# A user that nobody knows, a root that can't be written, no capability, and
# (in the container) /run without exec: everything is as anywhere else.
nobodys_user() {
	as_nobody_known
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg drain
		arg $T/ready
		arg $T/mark
		arg 10
		worker b
		arg $HELPER
		arg exit
		arg 1
		backoff 10ms 10ms
	END
	supervise
	until_ok file_there "$T/ready"
	until_ok at_least b/0 restarts 3
	[ "$(awk '/^Uid/ { print $2 }' "/proc/$INIT/status")" = 23456 ]
	[ "$(awk '/^CapEff/ { print $2 }' "/proc/$INIT/status")" = 0000000000000000 ]
	stop_with 0
	[ -e "$T/mark" ]
}

@test "case 23: without /proc, /dev, /tmp and /run, and with nothing to write to [pid1]" { in_mode pid1; nothing_there; }
@test "case 23: without /proc, /dev, /tmp and /run, and with nothing to write to [subreaper]" { in_mode subreaper; nothing_there; }
@test "case 23: without /proc, /dev, /tmp and /run, and with nothing to write to [container]" { in_mode container; nothing_there; }

@test "case 23: as a user that nobody knows, without any right [pid1]" { in_mode pid1; nobodys_user; }
@test "case 23: as a user that nobody knows, without any right [subreaper]" { in_mode subreaper; nobodys_user; }
@test "case 23: as a user that nobody knows, without any right [container]" { in_mode container; nobodys_user; }

# --- 24 ------------------------------------------------------------------------

# above INIT…: reeve supervises below another init; what that one is told
# reaches the workers, and orphans are reeve's all the same.
below() {
	rm -f "$T/ready" "$T/mark" "$T/daemon" "$T/daemon-mark"
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg drain
		arg $T/ready
		arg $T/mark
		arg 50
		worker b
		arg $HELPER
		arg escapee
		arg $T/daemon
		arg $T/daemon-mark
		arg 50
		restart never
	END
	start "$REEVE" run --plan "$T/a.plan" >"$T/out" 2>"$T/err"
	if [[ $MODE == subreaper ]]; then
		# what unshare has started
		until_ok child_of "$TOP"
		INIT=$(child_of "$TOP")
		LAUNCHED+=("$INIT")
	fi
	until_ok file_there "$T/ready"
	until_ok file_there "$T/daemon"
	said 'not PID 1: subreaper'
	stop_with 0
	[ -e "$T/mark" ]
	[ -e "$T/daemon-mark" ]
}

another_init() {
	local init
	case $MODE in
	pid1)
		AS=("$REEVE" run --)
		below
		;;
	subreaper)
		for init in 'tini --' 'dumb-init --' 'dumb-init -c --'; do
			read -ra AS <<<"$init"
			# the one above is PID 1 of a namespace, as in a pod
			AS=("${PID1[@]}" -- "${AS[@]}")
			below
		done
		;;
	container)
		CONTAINER=(--init --init-path "$(command -v tini-static)")
		below
		;;
	esac
}

@test "case 24: below another init: its TERM reaches the workers, orphans are adopted [pid1]" { in_mode pid1; another_init; }
@test "case 24: below another init: its TERM reaches the workers, orphans are adopted [subreaper]" { in_mode subreaper; another_init; }
@test "case 24: below another init: its TERM reaches the workers, orphans are adopted [container]" { in_mode container; another_init; }

# --- 25 ------------------------------------------------------------------------

bytes_of_environment() {
	local file
	printf 'PERCENT=%%s%%n 100%%' >"$T/e1"
	printf 'DOLLAR=$HOME $(NAME) ${X} $$' >"$T/e2"
	printf 'LINES=one\ntwo\r\n\n=three=\t' >"$T/e3"
	printf 'LATIN=\377\376\200 \303(' >"$T/e4"
	printf 'EMPTY=' >"$T/e5"
	{ printf 'BIG='; head -c 131067 /dev/urandom | tr '\0' '\1'; } >"$T/e6"
	{
		echo worker a
		echo "arg $HOSTILE"
		echo arg environ
		echo "arg $T/environ"
		for file in 1 2 3 4 5 6; do echo "env-of $T/e$file"; done
	} | plan_of a.plan
	for file in 1 2 3 4 5 6; do
		cat "$T/e$file"
		printf '\0'
	done >"$T/expected"
	supervise
	until_ok file_there "$T/environ"
	head -c "$(wc -c <"$T/expected")" "$T/environ" | cmp - "$T/expected"
	tail -c "+$(($(wc -c <"$T/expected") + 1))" "$T/environ" | tr '\0' '\n' |
		sed 's/^\(REEVE_RUN\)=[0-9]\{1,\}$/\1=N/' >"$T/rest"
	{
		printf '%s\n' REEVE_WORKER=a REEVE_REPLICA=0 REEVE_GENERATION=1
		# by which the guard knows it
		[[ $MODE != subreaper ]] || echo REEVE_RUN=N
	} | diff - "$T/rest"
	stop_with 0
}

@test "case 25: whatever bytes a value is made of, up to 128 KiB, they arrive as they are [pid1]" { in_mode pid1; bytes_of_environment; }
@test "case 25: whatever bytes a value is made of, up to 128 KiB, they arrive as they are [subreaper]" { in_mode subreaper; bytes_of_environment; }
@test "case 25: whatever bytes a value is made of, up to 128 KiB, they arrive as they are [container]" { in_mode container; bytes_of_environment; }

# --- 26 ------------------------------------------------------------------------

SECRET=correct-horse-9417

# Its files in /proc belong to root as long as it isn't dumpable; nor can
# another process of the same user look into it, nor is there a core dump.
shut_to_its_user() {
	[ "$(stat -c %u "/proc/$1/status")" = 0 ]
	run setpriv --reuid 23456 --regid 23456 --clear-groups \
		cat "/proc/$1/environ"
	[ "$status" -ne 0 ]
}

# The init's children that are no workers.
own_children() {
	local pid
	for pid in $(children_of "$INIT"); do
		! grep -qxE 'reeve.*|guard' "/proc/$pid/comm" 2>/dev/null || echo "$pid"
	done
}

secrets() {
	local pid
	as_nobody_known
	mkdir "$T/secrets"
	printf %s "$SECRET" >"$T/secrets/TOKEN"
	chmod 755 "$T/secrets"
	chmod 644 "$T/secrets/TOKEN"
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		secrets: [{name: s, dir: $T/secrets}]
		workers:
		  - name: a
		    command: [$HOSTILE, environ, $T/environ]
		    env:
		      - {name: TOKEN, valueFrom: {secretKeyRef: {name: s, key: TOKEN}}}
		  - name: b
		    command: [$HELPER, exit, "3"]
	END
	run_reeve run -f "$T/reeve.yaml"
	until_ok file_there "$T/environ"
	# the worker has it
	tr '\0' '\n' <"$T/environ" | grep -qx "TOKEN=$SECRET"
	until_ok operator_is running
	"$REEVE" status --output json >"$T/status"
	grep -q '"workers"' "$T/status"
	"$CTL" show >"$T/show"
	for pid in "$INIT" $(descendants_of "$INIT"); do
		# b comes and goes
		tr '\0' ' ' <"/proc/$pid/cmdline" || [ ! -e "/proc/$pid" ]
	done >"$T/arguments" 2>/dev/null
	grep -q environ "$T/arguments"
	# a fault, which writes the whole state and executes itself, and another
	kill -SEGV "$INIT"
	said init.recovered
	until_ok "$CTL" live
	shut_to_its_user "$INIT"
	for pid in $(own_children); do
		shut_to_its_user "$pid"
	done
	kill -SEGV "$INIT"
	expect_code 70
	run ! grep -l "$SECRET" "$T/status" "$T/show" "$T/arguments" "$T/err" "$T/out"
	[ -z "$(find "$T" /core* -name 'core*' -newer "$T/reeve.yaml" 2>/dev/null)" ]
}
operator_is() { [[ $("$CTL" show | awk '$1 == "init" { print $4 }') == "$1" ]]; }

@test "case 26: a secret is in no argument, no status, no log and no core dump [pid1]" { in_mode pid1; secrets; }
@test "case 26: a secret is in no argument, no status, no log and no core dump [subreaper]" { in_mode subreaper; secrets; }
@test "case 26: a secret is in no argument, no status, no log and no core dump [container]" { in_mode container; secrets; }

# The worker that ends by the same signal shows that there are core dumps here;
# what dumped one is said in the log.
no_core() {
	local pid killed=0
	ulimit -c unlimited
	# shellcheck disable=SC2016 # its own number
	echo 'kill -SEGV $$' >"$T/crash"
	AS=(env "OF_PID1=$SECRET")
	# AddressSanitizer would limit core dumps, and catch faults itself
	[[ -z ${ASAN_OPTIONS:-} ]] ||
		AS+=("ASAN_OPTIONS=$ASAN_OPTIONS:disable_coredump=0:handle_segv=0")
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: t
		workers:
		  - name: a
		    command: [$HELPER, wait]
		  - name: b
		    command: [sh, $T/crash]
		    workingDir: $T
		    restart: {policy: Never}
	END
	run_reeve run -f "$T/reeve.yaml"
	until_ok operator_is running
	until_ok grep -q 'worker=b/0 .*SIGSEGV, core dumped' "$T/err"
	for pid in "$INIT" $(own_children); do
		kill -SEGV "$pid"
		killed=$((killed + 1))
	done
	((killed >= 3))
	said init.recovered
	said operator.exited
	said logger.exited
	until_ok operator_is running
	# a second fault, at which all ends
	kill -SEGV "$INIT"
	expect_code 70
	[ "$(grep -c 'core dumped' "$T/err")" -eq 1 ]
}

@test "case 26: no fault of ours or of our own children leaves a core dump [pid1]" { in_mode pid1; no_core; }
@test "case 26: no fault of ours or of our own children leaves a core dump [subreaper]" { in_mode subreaper; no_core; }

# --- 27 ------------------------------------------------------------------------

launchers_own() {
	local name names=(NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID LISTEN_PID
		LISTEN_FDS LISTEN_FDNAMES)
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: inherits
		workers:
		  - name: a
		    command: [$HOSTILE, environ, $T/environ]
	END
	for name in "${names[@]}"; do
		AS+=("$name=1")
		CONTAINER+=(--env "$name=1")
	done
	# not in ours: podman would take them for its own
	AS=(env OF_THE_IMAGE=yes "${AS[@]}")
	CONTAINER+=(--env OF_THE_IMAGE=yes)
	run_reeve run -f "$T/reeve.yaml"
	until_ok file_there "$T/environ"
	tr '\0' '\n' <"$T/environ" >"$T/lines"
	grep -qx OF_THE_IMAGE=yes "$T/lines"
	run ! grep -E '^(NOTIFY_SOCKET|WATCHDOG_|LISTEN_)' "$T/lines"
	stop_with 0
}

@test "case 27: a worker has the image's environment, but nothing that was meant for the init alone [pid1]" { in_mode pid1; launchers_own; }
@test "case 27: a worker has the image's environment, but nothing that was meant for the init alone [subreaper]" { in_mode subreaper; launchers_own; }
@test "case 27: a worker has the image's environment, but nothing that was meant for the init alone [container]" { in_mode container; launchers_own; }
