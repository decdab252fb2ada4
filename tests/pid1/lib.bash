# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The thirty cases of docs/design/pid1-cases.md, each in three modes:
#
#     pid1        PID 1 of a pid namespace of its own
#     subreaper   anybody's child
#     container   PID 1 of a container that podman makes, as hard as one gets:
#                 a file system made from nothing but our programs, read-only;
#                 a user that nobody knows, without capabilities; no network;
#                 /run without exec
#
# A case is a function; its tests say in which mode it runs:
#
#     group_outlives() { supervise …; … }
#     @test "case 07: … [pid1]" { in_mode pid1; group_outlives; }
#
# Programs and the test's folder have the same names in all three, and $INIT is
# always a pid of ours, so that the cases needn't know where they run.

# shellcheck source=tests/process/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../process/lib.bash"

# A file's setup_file: make_world, or make_world tool for reeve-tool, a shell
# and their libraries.
# shellcheck disable=SC2120
make_world() {
	((EUID == 0)) || skip "needs root"
	WORLD=$(mktemp -d "${TMPDIR:-/tmp}/reeve-pid1.XXXXXX")
	IMAGE=$WORLD/image
	mkdir -p "$WORLD/bin" "$IMAGE"/{proc,dev,sys,run,bare}
	chmod 755 "$WORLD" "$IMAGE"
	cp "$REEVE" "$HELPER" "$REEVE_BUILD/tests/pid1/hostile" "$WORLD/bin"
	[[ ${1:-} != tool ]] || cp "$REEVE_TOOL" "$WORLD/bin"
	local -a files=("$WORLD"/bin/*)
	[[ ${1:-} != tool ]] || files+=(/bin/sh)
	local file
	for file in "${files[@]}"; do
		mkdir -p "$IMAGE${file%/*}"
		cp "$file" "$IMAGE$file"
		# a static program has none
		while read -r file; do
			mkdir -p "$IMAGE${file%/*}"
			cp -n "$file" "$IMAGE$file"
		done < <(ldd "$file" 2>/dev/null | grep -o '/[^ ]*')
	done
	mkdir -p "$WORLD/pod"
	printf '%s\n' '[engine]' 'lock_type = "file"' 'events_logger = "file"' \
		'cgroup_manager = "cgroupfs"' >"$WORLD/pod/conf"
	export WORLD IMAGE
}

# shellcheck disable=SC2119
setup_file() { make_world; }

teardown_file() {
	[[ -n ${WORLD:-} ]] || return 0
	podman_is
	"${POD[@]}" unpause -a >/dev/null
	"${POD[@]}" rm -af >/dev/null
	rm -rf "$WORLD"
}

# One podman for each file: store, locks and all. crun refuses a host with both
# cgroup versions mounted, which says nothing about reeve; runc takes it. Where
# only crun is, it gets to see one of them.
podman_is() {
	POD=(env CONTAINERS_CONF="$WORLD/pod/conf" podman
		--root "$WORLD/pod/store" --runroot "$WORLD/pod/run"
		--tmpdir "$WORLD/pod/tmp" --storage-driver vfs)
	if command -v runc >/dev/null; then
		POD+=(--runtime runc)
	elif [[ -d /sys/fs/cgroup/unified ]]; then
		POD=(unshare -m sh -c 'umount /sys/fs/cgroup/unified; exec "$@"' -
			"${POD[@]}")
	fi
}

# What a test may change before it starts something:
#   AS         in front of reeve, in the first two modes: setpriv…
#   CONTAINER  options for podman, after ours
#   VERB       what podman is to do: run --rm
setup() {
	REEVE=$WORLD/bin/reeve
	HELPER=$WORLD/bin/helper
	# shellcheck disable=SC2034 # used by the tests
	HOSTILE=$WORLD/bin/hostile
	T=$WORLD/t$BATS_TEST_NUMBER
	mkdir -p "$T" "$IMAGE$T"
	chmod 777 "$T"
	LAUNCHED=()
	ALSO=()
	AS=()
	CONTAINER=()
	VERB=(run --rm)
	export REEVE_SOCKET=$T/socket
	# LeakSanitizer sees nothing of who is traced, or of another namespace's
	# /proc; leaks are looked for in tests/process
	[[ -z ${ASAN_OPTIONS:-} ]] || export ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
	podman_is
	cd "$T" || return 1
}

teardown() {
	finish
	kill_ours
	[[ -z ${TOP:-} ]] || wait "$TOP" 2>/dev/null || :
	[[ -n ${BATS_TEST_COMPLETED:-} ]] || tail -n 15 "$T"/err "$T"/out 2>/dev/null || :
	cd / || return 1
	# after a failed test: what hangs there is over with its process
	umount -l "$T/hang" 2>/dev/null || :
	rm -rf "$T"
}

# Whatever executes a program of this file's world, wherever a failed test has
# left it.
kill_ours() {
	local exe
	[[ -z ${TOP:-} ]] || kill -KILL "$TOP" 2>/dev/null || :
	for exe in /proc/[0-9]*/exe; do
		[[ $(readlink "$exe") != "$WORLD"/bin/* ]] 2>/dev/null ||
			kill -KILL "$(cut -d/ -f3 <<<"$exe")" 2>/dev/null || :
	done
}

in_mode() { MODE=$1; }
as_nobody_known() {
	AS=(setpriv --reuid 23456 --regid 23456 --clear-groups)
}

# What to execute in place of CMD… for it to run in the mode; in $BOXED.
box() {
	case $MODE in
	pid1) BOXED=("${PID1[@]}" -- "${AS[@]}" "$@") ;;
	subreaper) BOXED=("${AS[@]}" "$@") ;;
	container)
		rm -f "$T/container"
		BOXED=("${POD[@]}" "${VERB[@]}" --pidfile "$T/container"
			--network none --read-only --read-only-tmpfs=false
			--tmpfs "/run:rw,noexec,nosuid,size=1m,mode=1777"
			--user 23456:23456 --cap-drop all
			--security-opt no-new-privileges
			--ulimit nofile=1024:1024 --ulimit nproc=1024:1024
			--env REEVE_SOCKET --env ASAN_OPTIONS -v "$T:$T" "${CONTAINER[@]}"
			--rootfs "$IMAGE" "$@")
		;;
	esac
}

# in_box CMD…: in the foreground; the exit code is CMD's.
in_box() {
	box "$@"
	"${BOXED[@]}"
}

# start CMD…: in the background. $TOP is what to wait for, $INIT the first
# process in there, as we see it.
start() {
	box "$@"
	"${BOXED[@]}" </dev/null 3>&- 4>&- &
	TOP=$!
	until_ok first_or_gone || return 1
	INIT=$(first_process) || INIT=$TOP
	LAUNCHED+=("$INIT")
}
first_process() {
	case $MODE in
	pid1) child_of "$TOP" ;;
	subreaper) echo "$TOP" ;;
	container) grep -x '[0-9]*' "$T/container" ;;
	esac
}
first_or_gone() { first_process || gone "$TOP"; }

# supervise [OPTION…]: `reeve run --plan $T/a.plan OPTION…`, what it says in
# $T/err, what its workers say in $T/out.
supervise() { run_reeve run --plan "$T/a.plan" "$@"; }
# run_reeve ARG…: reeve with these, until it is there.
run_reeve() {
	start "$REEVE" "$@" >"$T/out" 2>"$T/err" || return 1
	until_ok reeve_or_gone "$INIT"
}

# stop_with CODE: TERM, and that must be its exit code.
stop_with() {
	kill -TERM "$INIT"
	expect_code "$1"
}

# plan_of NAME.plan as in process, readable for everybody.
plan_of() { "$PLAN" "$T/$1" && chmod 644 "$T/$1"; }

# A process of ours, by the pid that it has in its own namespace.
host_pid() {
	local pid
	for pid in $(descendants_of "$INIT"); do
		[[ $(awk '/^NSpid/ { print $NF }' "/proc/$pid/status") == "$1" ]] &&
			echo "$pid" && return 0
	done
	return 1
}
descendants_of() {
	local pid
	for pid in $(children_of "$1"); do
		echo "$pid"
		descendants_of "$pid"
	done
}
worker_pid() { host_pid "$(figure "$1" pid)"; }
# A container's words come by way of its monitor, and may still be under way.
said() { until_ok grep -q -- "$1" "$T/err"; }
lines_in() { grep -c -- "$1" "$T/err" || :; }
descriptors_of() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
# A number of the init's own line: orphans, dropped, logger.
init_figure() {
	"$CTL" show | awk -v what="$1" '$1 == "init" {
		for (i = 3; i < NF; i++) if ($i == what) print $(i + 1) }'
}
init_has() { [[ $(init_figure "$1") == "$2" ]]; }
# Where the first process starts reeve: what it has started.
inner_reeve() {
	local pid
	for pid in $(descendants_of "$TOP"); do
		is_reeve "$pid" && echo "$pid" && return 0
	done
	return 1
}
# within CMD…: by an outsider, but in the namespace of the processes in there.
within() { nsenter -t "$INIT" -p -- "$@"; }
