#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Rules of the init that no case of tests/pid1 is about: who is told what, and
# when, of a container's budget; an exec that never comes to an end; what the
# container leaves as its last message.

bats_require_minimum_version 1.5.0
load lib
setup() {
	begin
	export REEVE_SOCKET=$T/socket
	HANGS=
}
teardown() {
	finish
	[ -z "$HANGS" ] || umount -l "$HANGS" 2>/dev/null || :
}

# --- the budget -----------------------------------------------------------------

# A main process that takes no notice of its TERM, and a member of its group that
# does; each says when.
family() {
	rm -f "$T/up" "$T/main" "$T/member"
	plan_of a.plan <<-END
		worker a
		arg /bin/bash
		arg -c
		arg trap '[ -e $T/main ] || date +%s%3N >$T/main' TERM; (trap 'date +%s%3N >$T/member' TERM; echo >$T/up; while :; do sleep 0.05; done) & while :; do wait; done
		grace $1
	END
}
killed() { grep -q 'worker=a/0 event=kill' "$T/err"; }

@test "a budget shorter than the grace: main process first, its group later, and then KILL" {
	family 1h
	for how in pid1 child; do
		rm -f "$T/up" "$T/main" "$T/member"
		REEVE_GRACE=8s supervise $how 2>"$T/err"
		until_ok file_there "$T/up"
		kill -TERM "$INIT"
		until_ok test -s "$T/main"
		until_ok test -s "$T/member"
		# not both at once: so much later, less what a busy machine takes;
		# and who was told had the time to say so
		(($(<"$T/member") - $(<"$T/main") > 1000))
		expect_code 0
		killed
	done
}

@test "a grace shorter than the budget: the group is killed with it, and not told before" {
	# long enough for the main process to say that it was told
	family 4s
	supervise child a.plan --grace 1h 2>"$T/err"
	until_ok file_there "$T/up"
	kill -TERM "$INIT"
	expect_code 0
	[ -e "$T/main" ]
	[ ! -e "$T/member" ]
	killed
}

# --- between clone and exec -----------------------------------------------------

@test "an exec that never ends is given up, as a failed start; nobody else waits for it" {
	needs_root
	[ -e /dev/fuse ] || skip "needs FUSE"
	HANGS=$T/hang
	mkdir "$HANGS"
	"$REEVE_BUILD/tests/pid1/hostile" hang-fs "$HANGS" "$T/mounted" "$T/asked" 3>&- 4>&- &
	local hanging=$!
	ALSO+=("$hanging")
	until_ok file_there "$T/mounted"
	plan_of a.plan <<-END
		worker a
		arg $HANGS/program
		backoff 1h 1h
		worker b
		arg $HELPER
		arg wait
	END
	supervise child 2>"$T/err"
	until_ok file_there "$T/asked"
	until_ok is b/0 ready
	is a/0 starting
	until_ok is a/0 killing
	"$CTL" live
	kill -KILL "$(figure b/0 pid)"
	until_ok at_least b/0 restarts 1
	# it can be killed when the disk answers
	kill -KILL "$hanging"
	until_ok is a/0 backoff
	grep -q 'worker=a/0 .*not started: exec deadline' "$T/err"
	[ "$("$CTL" show | grep -c '^instance a/0 .* config 1 crash 0 ')" = 1 ]
	kill -TERM "$INIT"
	expect_code 0
}

# --- the last message -----------------------------------------------------------

# last_words ARG…: `reeve run ARG…` where there is a /dev/termination-log, as
# Kubernetes makes it; it is $T/last.
last_words() {
	touch "$T/last"
	# shellcheck disable=SC2016 # its own words
	unshare -m --propagation private sh -c '
		mkdir -p "$1" && mount -t tmpfs none "$1" &&
		cp -a /dev/null /dev/zero /dev/urandom "$1" && touch "$1/termination-log" &&
		mount --bind "$2" "$1/termination-log" && mount --rbind "$1" /dev &&
		shift 2 && exec "$@"' - "$T/dev" "$T/last" \
	    "$REEVE" run "$@" 2>"$T/err" 3>&- &
	TOP=$!
	INIT=$TOP
	LAUNCHED+=("$INIT")
	until_ok reeve_or_gone "$INIT"
}
# shellcheck disable=SC2053 # a pattern
says_last() { [[ "$(<"$T/last")" == $1 ]] || { cat "$T/last"; false; }; }

@test "/dev/termination-log has the reason and the exit code, of every kind of end" {
	needs_root
	plan_of a.plan <<-END
		exit-on-term 143
		worker a
		arg $HELPER
		arg wait
		arg $T/ready
	END
	last_words --plan "$T/a.plan"
	until_ok file_there "$T/ready"
	[ ! -s "$T/last" ]
	kill -TERM "$INIT"
	expect_code 143
	says_last 'reeve: *TERM*; exit code 143'

	plan_of once.plan <<-END
		worker a
		arg $HELPER
		arg exit
		arg 7
		restart never
	END
	last_words --plan "$T/once.plan"
	expect_code 7
	says_last 'reeve: every worker has finished; exit code 7'

	# longer than what comes: nothing of it is left
	head -c 4000 /dev/urandom >"$T/junk.plan"
	printf '%4000s' x >"$T/last"
	last_words --plan "$T/junk.plan"
	expect_code 65
	says_last "reeve: plan '$T/junk.plan'*; exit code 65"

	rm -f "$T/ready"
	last_words --plan "$T/a.plan"
	until_ok file_there "$T/ready"
	kill -SEGV "$INIT"
	until_ok grep -q init.recovered "$T/err"
	kill -SEGV "$INIT"
	expect_code 70
	says_last 'reeve: a fault of the init; exit code 70'
}

@test "/dev/termination-log that is no file of its own is left alone" {
	needs_root
	plan_of once.plan <<-END
		worker a
		arg $HELPER
		arg exit
		arg 7
		restart never
	END
	local what
	for what in 'ln -s /dev/elsewhere' 'mkfifo'; do
		# shellcheck disable=SC2016 # its own words
		run -7 unshare -m --propagation private bash -c '
			mkdir -p "$1" && mount -t tmpfs none "$1" &&
			cp -a /dev/null /dev/zero /dev/urandom "$1" &&
			mount --rbind "$1" /dev && echo mine >/dev/elsewhere &&
			$2 /dev/termination-log &&
			"$3" run --plan "$4"; code=$?
			grep -qx mine /dev/elsewhere || exit 99
			exit $code' - "$T/dev" "$what" "$REEVE" "$T/once.plan"
	done
}
