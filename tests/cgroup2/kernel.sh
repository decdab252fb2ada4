#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kernel.sh COMMAND…: runs it as root in a Linux of its own (User Mode Linux)
# whose only cgroup hierarchy is version 2 with every controller, over this
# machine's files, read-only. /tmp, /run and the environment are new, but for
# REEVE_*. Its output and exit status are the command's; 125 when the kernel
# didn't get that far.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${REEVE_BUILD:-$root/build/debug}
[[ $build = /* ]] || build=$root/$build
KERNEL_SECONDS=${KERNEL_SECONDS:-500}
# KERNEL_MEM: how much memory it has

# --- inside: process 1 of the other kernel -----------------------------------
if [ "${1:-}" = --inside ]; then
	work=$2
	export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	export HOME=/root TERM=dumb LC_ALL=C
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	ln -sfn /proc/self/fd /dev/fd # in the devtmpfs that the kernel mounted
	mkdir -p /dev/shm /dev/pts
	mount -t devpts devpts /dev/pts
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mount -t tmpfs tmpfs /run
	mkdir -p /run/out /run/tmp /run/root
	mount -t hostfs -o "$work" hostfs /run/out
	# the tree may lie below /tmp, which is covered next
	mkdir -p "/run/root$root"
	mount --bind / /run/root
	mount -t tmpfs tmpfs /tmp
	if [ ! -e "$root" ]; then
		mkdir -p "$root"
		mount --bind "/run/root$root" "$root"
	fi
	# shellcheck source=/dev/null
	source /run/out/command
	rc=0
	(cd "$root" && "${COMMAND[@]}") >/run/out/output 2>&1 </dev/null || rc=$?
	echo "$rc" >/run/out/status
	sync
	echo o >/proc/sysrq-trigger
	while :; do command sleep 1; done
fi

# --- outside -------------------------------------------------------------------
work=$(mktemp -d "${TMPDIR:-/tmp}/reeve-kernel.XXXXXX")
kernel=''
# shellcheck disable=SC2317 # called by the trap
finish() {
	[ -z "$kernel" ] || kill -TERM "$kernel" 2>/dev/null || :
	rm -rf -- "$work"
}
trap finish EXIT
{
	echo "COMMAND=($(printf '%q ' "$@"))"
	echo "export REEVE_BUILD=$(printf '%q' "$build")"
} >"$work/command"

# rootflags: hostfs takes the directory there
LD_PRELOAD=$build/tests/cgroup2/xstate.so \
	timeout -k 5 "$KERNEL_SECONDS" linux.uml \
	mem="${KERNEL_MEM:-512M}" rootfstype=hostfs rootflags=/ root=98:0 ro quiet \
	con=null con0=null,fd:1 uml_dir="$work" umid=k \
	init="$here/kernel.sh" -- --inside "$work" \
	>"$work/console" 2>&1 </dev/null &
kernel=$!
wait "$kernel" || :
kernel=''
if [ ! -s "$work/status" ]; then
	echo "kernel.sh: the command never ended; the kernel's console:" >&2
	tail -40 "$work/console" >&2
	[ ! -s "$work/output" ] || cat "$work/output"
	exit 125
fi
cat "$work/output"
exit "$(cat "$work/status")"
