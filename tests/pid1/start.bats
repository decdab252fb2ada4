#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Cases 01 to 04: how a worker comes to life.

bats_require_minimum_version 1.5.0
load lib

# How many random moments as PID 1; half as many of one command.
MOMENTS=${PID1_MOMENTS:-400}

# --- 01 ------------------------------------------------------------------------

many_starts() {
	printf '%s\n' 'exit-on-term 143' 'logs none' 'worker a' "arg $HELPER" \
		'arg wait' 'replicas 3' | plan_of a.plan
	local how=child
	[[ $MODE != pid1 ]] || how=pid1
	"$HELPER" early "$MOMENTS" $how 143 "$REEVE" run --plan "$T/a.plan" 2>"$T/err"
	"$HELPER" early $((MOMENTS / 2)) $how 143 "$REEVE" run -- "$HELPER" wait
}

# The signal can't come before reeve has blocked it: the kernel would discard
# it. So it waits until that is seen, within a container that is made, and then
# started.
many_containers() {
	local n id
	printf '%s\n' 'exit-on-term 143' 'worker a' "arg $HELPER" 'arg wait' \
		'replicas 3' | plan_of a.plan
	VERB=(create)
	for ((n = 0; n < 8; n++)); do
		box "$REEVE" run --plan "$T/a.plan"
		id=$("${BOXED[@]}")
		"${POD[@]}" init "$id" >"$T/out"
		"$HOSTILE" aim "$("${POD[@]}" inspect -f '{{.State.Pid}}' "$id")" &
		ALSO+=($!)
		"${POD[@]}" start "$id" >"$T/out"
		wait $!
		[ "$("${POD[@]}" wait "$id")" = 143 ]
		"${POD[@]}" rm "$id" >"$T/out"
	done
}

# Workers that crash and come back a thousand times a second; after the drain
# has begun nothing is started.
respawns_in_the_drain() {
	local n
	plan_of a.plan <<-END
		exit-on-term 143
		worker a
		arg $HELPER
		arg exit
		arg 1
		backoff 1ms 1ms
		replicas 4
		worker b
		arg $HELPER
		arg drain
		arg $T/ready
		arg $T/mark
		arg 30
	END
	for ((n = 0; n < ${1}; n++)); do
		rm -f "$T/ready" "$T/mark"
		supervise
		until_ok file_there "$T/ready"
		until_ok at_least a/0 restarts $((n % 4))
		stop_with 143
		[ -e "$T/mark" ]
		said 'from=starting to=running'
		sed '1,/drain.began/d' "$T/err" >"$T/drain"
		run ! grep 'from=starting to=running' "$T/drain"
	done
}

@test "case 01: a TERM in the first milliseconds is never lost [pid1]" { in_mode pid1; many_starts; }
@test "case 01: a TERM in the first milliseconds is never lost [subreaper]" { in_mode subreaper; many_starts; }
@test "case 01: a TERM in the first milliseconds is never lost [container]" { in_mode container; many_containers; }

@test "case 01: nothing is started again once the drain has begun [pid1]" { in_mode pid1; respawns_in_the_drain 12; }
@test "case 01: nothing is started again once the drain has begun [subreaper]" { in_mode subreaper; respawns_in_the_drain 12; }
@test "case 01: nothing is started again once the drain has begun [container]" { in_mode container; respawns_in_the_drain 6; }

# --- 02 ------------------------------------------------------------------------

all_exited_with() { [[ $("$CTL" show | grep -c ' exit 1:5 .* exits 1 ') == "$1" ]]; }

instant_exits() {
	plan_of a.plan <<-END
		logs none
		worker a
		arg $HELPER
		arg exit
		arg 5
		restart never
		replicas 200
		worker stays
		arg $HELPER
		arg wait
	END
	supervise
	until_ok all_exited_with 200
	init_has orphans 0
	[ "$("$CTL" show | grep -c ' finished .* restarts 0 ')" = 200 ]
	is stays/0 ready
	stop_with 0
}

@test "case 02: 200 replicas that end at once are 200 exits with their codes [pid1]" { in_mode pid1; instant_exits; }
@test "case 02: 200 replicas that end at once are 200 exits with their codes [subreaper]" { in_mode subreaper; instant_exits; }
@test "case 02: 200 replicas that end at once are 200 exits with their codes [container]" { in_mode container; instant_exits; }

# --- 03 ------------------------------------------------------------------------

# failed_as WORKER STAGE ERRNO: as configuration, and never as a crash.
failed_as() {
	"$CTL" show | grep -q "^instance $1/0 backoff .* exit 3:$3 stage $2 .* config [1-9][0-9]* crash 0 "
}

exec_failures() {
	as_nobody_known
	printf 'neither ELF nor a script\n' >"$T/enoexec"
	chmod 755 "$T/enoexec"
	printf 'no right to execute\n' >"$T/eacces"
	chmod 644 "$T/eacces"
	cp "$HELPER" "$T/etxtbsy"
	chmod 755 "$T/etxtbsy"
	{
		printf 'HUGE='
		head -c 140000 /dev/zero | tr '\0' x
	} >"$T/huge"
	{
		echo worker enoent; echo "arg $T/nowhere"
		echo worker eacces; echo "arg $T/eacces"
		echo worker enoexec; echo "arg $T/enoexec"
		echo worker e2big; echo "arg $HELPER"; echo arg wait; echo "env-of $T/huge"
		echo worker etxtbsy; echo "arg $T/etxtbsy"; echo arg wait
		echo worker chdir; echo "arg $HELPER"; echo arg wait; echo "cwd $T/no/such"
		echo worker user; echo "arg $HELPER"; echo arg wait; echo uid 34567
	} | plan_of a.plan
	exec 8>>"$T/etxtbsy"
	supervise
	until_ok failed_as enoent exec 2
	until_ok failed_as eacces exec 13
	until_ok failed_as enoexec exec 8
	until_ok failed_as e2big exec 7
	until_ok failed_as etxtbsy exec 26
	until_ok failed_as chdir chdir 2
	# the user is what can't be; its groups are asked for first
	until_ok failed_as user groups 1
	said 'worker=eacces/0 .*not started: exec: .*EACCES'
	said 'worker=chdir/0 .*not started: chdir: .*ENOENT'
	# not a word of it in what a worker is supposed to have written
	[ ! -s "$T/out" ]
	"$CTL" logs enoent 10 >"$T/lines"
	[ ! -s "$T/lines" ]
	exec 8>&-
	stop_with 0
}

@test "case 03: what can't be executed has a stage and an error, and is no crash [pid1]" { in_mode pid1; exec_failures; }
@test "case 03: what can't be executed has a stage and an error, and is no crash [subreaper]" { in_mode subreaper; exec_failures; }
@test "case 03: what can't be executed has a stage and an error, and is no crash [container]" { in_mode container; exec_failures; }

# --- 04 ------------------------------------------------------------------------

careless_parents() {
	local born
	plan_of a.plan <<-END
		logs none
		worker a
		arg $HELPER
		arg signals
		restart never
		worker b
		arg $HELPER
		arg exit
		arg 7
		restart never
	END
	for born in blocked ignored; do
		in_box "$HELPER" born $born "$REEVE" run -- "$HELPER" signals >"$T/out"
		[ "$(<"$T/out")" = "pgid own" ]
		start "$HELPER" born $born "$REEVE" run --plan "$T/a.plan" >"$T/out" 2>"$T/err"
		# with SIGCHLD ignored, others never hear of this one
		expect_code 7
		[ "$(<"$T/out")" = "pgid own" ]
		start "$HELPER" born $born "$REEVE" run -- "$HELPER" wait "$T/ready.$born"
		until_ok file_there "$T/ready.$born"
		stop_with 143
	done
}

@test "case 04: signals ignored or blocked at the start: ends are seen, workers are born clean [pid1]" { in_mode pid1; careless_parents; }
@test "case 04: signals ignored or blocked at the start: ends are seen, workers are born clean [subreaper]" { in_mode subreaper; careless_parents; }
@test "case 04: signals ignored or blocked at the start: ends are seen, workers are born clean [container]" { in_mode container; careless_parents; }
