# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the process tests share. They wait for events (a file appears, a process
# is gone) up to PATIENCE seconds, never for a time to pass.

# shellcheck source=tests/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../lib.bash"
# shellcheck disable=SC2034 # used by the tests
HELPER=$REEVE_BUILD/tests/process/helper
PATIENCE=${PATIENCE:-60}

# PID 1 of a namespace of its own; root is not needed for that.
PID1=(unshare -fp --mount-proc)
((EUID == 0)) || PID1=(unshare -Urfp --mount-proc)
# Sanitizers' builds aren't static, and find no library in an empty world.
needs_static() {
	! ldd "$REEVE" 2>/dev/null | grep -q '=>' || skip "needs the static build"
}
# A fault from within, on a real-time signal: what is installed has no such orders.
needs_faults() {
	grep -q REEVE_TEST_CRASH_AGAIN_OK "$REEVE" || skip "needs a build for tests"
}
needs_root() { ((EUID == 0)) || skip "needs root"; }

# until_ok COMMAND…: again and again until it succeeds.
until_ok() {
	local end=$((SECONDS + PATIENCE))
	until "$@" >/dev/null 2>&1; do
		if ((SECONDS > end)); then
			echo "never came true within ${PATIENCE}s: $*" >&2
			return 1
		fi
		read -rt 0.02 <> <(:) || :
	done
}

file_there() { [[ -e $1 ]]; }
gone() { ! kill -0 "$1" 2>/dev/null || [[ $(state_of "$1") == [ZX] ]]; }
alive() { ! gone "$1"; }
# The third word of stat, behind a name that may hold anything.
state_of() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -c1; }
children_of() { cat "/proc/$1/task/$1/children" 2>/dev/null; }
# The only child of a process.
child_of() {
	local -a all
	read -ra all < <(children_of "$1") || :
	((${#all[@]} == 1)) || return 1
	echo "${all[0]}"
}
zombies_of() {
	local pid n=0
	for pid in $(children_of "$1"); do
		[[ $(state_of "$pid") == Z ]] && n=$((n + 1))
	done
	echo "$n"
}
no_zombies() { [[ $(zombies_of "$1") == 0 ]]; }
# By name: the init keeps its other facts from everybody but root.
is_reeve() { grep -qx reeve "/proc/$1/comm" 2>/dev/null; }

child_or_gone() { child_of "$1" || gone "$1"; }
reeve_or_gone() { is_reeve "$1" || gone "$1"; }

# launch pid1|child ARG…: `reeve ARG…` in the background, in one of the two
# places that it must work in. $TOP is what to wait for, $INIT the reeve.
launch() {
	local how=$1
	shift
	if [[ $how == pid1 ]]; then
		"${PID1[@]}" -- "$REEVE" "$@" 3>&- &
		TOP=$!
		until_ok child_or_gone "$TOP" || return 1
		INIT=$(child_of "$TOP") || INIT=$TOP
	else
		"$REEVE" "$@" 3>&- &
		TOP=$!
		INIT=$TOP
	fi
	LAUNCHED+=("$INIT")
	until_ok reeve_or_gone "$INIT"
}

# reeve_as pid1|child ARG…: in the foreground.
reeve_as() {
	local how=$1
	shift
	if [[ $how == pid1 ]]; then
		"${PID1[@]}" -- "$REEVE" "$@"
	else
		"$REEVE" "$@"
	fi
}

# ended: waits for $TOP; its exit code is in $CODE.
ended() {
	until_ok gone "$TOP" || return 1
	CODE=0
	wait "$TOP" || CODE=$?
}

expect_code() {
	ended || return 1
	if [[ $CODE != "$1" ]]; then
		echo "exit code $CODE, not $1" >&2
		return 1
	fi
}

# Called by setup() and teardown() of each file.
begin() {
	T=$BATS_TEST_TMPDIR
	chmod 777 "$T"
	LAUNCHED=()
	ALSO=()
}

# The same in the test's own folder, where `reeve COMMAND` finds what it runs.
begin_there() {
	begin
	export REEVE_SOCKET=$T/socket
	cd "$T" || exit
}

# Leaves nothing behind: what we started, by its pid.
finish() {
	local pid
	for pid in "${LAUNCHED[@]}" "${ALSO[@]}"; do
		kill -KILL "$pid" 2>/dev/null || continue
		wait "$pid" 2>/dev/null || :
	done
}

# The same, asked before it is made to.
drain_and_finish() {
	kill -TERM "$INIT" 2>/dev/null || :
	finish
}

# --- a supervised plan ------------------------------------------------------

PLAN=$REEVE_BUILD/tests/process/plan
CTL=$REEVE_BUILD/tests/process/ctl

# plan_of NAME.plan: lines on stdin (tests/process/plan.c).
plan_of() { "$PLAN" "$T/$1"; }

# supervise pid1|child [FILE] [OPTION…]: `reeve run --plan`, its control socket
# in this test's own folder.
supervise() {
	local how=$1 file=${2:-a.plan}
	shift $(($# > 1 ? 2 : 1))
	export REEVE_SOCKET=$T/socket
	launch "$how" run --plan "$T/$file" "$@"
}

# The state of instance WORKER/REPLICA as the init tells it.
shown() { "$CTL" show | awk -v who="$1" '$1 == "instance" && $2 == who { print $3 }'; }
is() { [[ $(shown "$1") == "$2" ]]; }
# A number of its line: pid, restarts.
figure() {
	"$CTL" show | awk -v who="$1" -v what="$2" '$1 == "instance" && $2 == who {
		for (i = 4; i < NF; i++) if ($i == what) print $(i + 1) }'
}
at_least() { (($(figure "$1" "$2") >= $3)); }
none_held() { [[ $(figure "$1" held-bytes) == 0 ]]; }
# "worker/replica pid" of all, and of a worker.
pids() { "$CTL" show | awk '$1 == "instance" { print $2, $5 }' | sort; }
pids_of() { "$CTL" show | awk -v who="^$1/" '$2 ~ who { print $2, $5 }' | sort; }
# How often one was started again, of all together.
restarted() { "$CTL" show | awk '$1 == "instance" { n += $7 } END { print n + 0 }'; }
so_many_restarted() { (($(restarted) >= $1)); }
# Descriptors of the init.
open_files() { find "/proc/$INIT/fd" -mindepth 1 | wc -l; }
# What a worker that counts has said: "line N".
lines_of() { grep -c '^line ' "$T/out"; }
more_lines() { (($(lines_of) >= $1)); }
# So much as when it was asked before.
nothing_comes() {
	local now before=${received:-}
	now=$(figure "$1" received-bytes)
	received=$now
	[[ $now == "$before" ]]
}
# A word of its line about itself: 4 is the state of the operator, 5 its pid.
word_of_init() { "$CTL" show | awk -v at="$1" '$1 == "init" { print $at }'; }
operator_runs() { [[ $(word_of_init 4) == running ]]; }
operator_pid() { word_of_init 5; }
logger_pid() { "$CTL" show | sed -n 's/.* logger \([0-9]*\) .*/\1/p'; }
another_logger() {
	local pid
	pid=$(logger_pid)
	((pid > 1 && pid != $1))
}
# Line WORKER: its desired, running, ready.
worker_figure() {
	"$CTL" show | awk -v who="$1" -v what="$2" '$1 == "worker" && $2 == who {
		for (i = 3; i < NF; i++) if ($i == what) print $(i + 1) }'
}
worker_has() { [[ $(worker_figure "$1" "$2") == "$3" ]]; }
