#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A real container, with nothing in it but two static programs. The image is
# made here, from a tar; nothing is pulled.

bats_require_minimum_version 1.5.0
load lib

# crun refuses a host with both cgroup versions mounted, which says nothing
# about reeve; runc takes it. Where only crun is, it gets to see one of them.
pod() {
	local all=(podman --root "$POD/store" --runroot "$POD/run"
		--storage-driver vfs --cgroup-manager cgroupfs)
	if command -v runc >/dev/null; then
		"${all[@]}" --runtime runc "$@"
	elif [[ -d /sys/fs/cgroup/unified ]]; then
		unshare -m sh -c 'umount /sys/fs/cgroup/unified; exec "$@"' - "${all[@]}" "$@"
	else
		"${all[@]}" "$@"
	fi
}

# The limits: what a container within a container may still ask for.
OPTIONS=(--network=none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024)

setup_file() {
	((EUID == 0)) || return 0
	export POD=$BATS_FILE_TMPDIR/pod
	mkdir -p "$POD/root"
	chmod 755 "$POD" "$POD/root"
	cp "$REEVE" "$POD/root/reeve"
	cp "$HELPER" "$POD/root/helper"
	tar -C "$POD/root" -cf "$POD/image.tar" .
	pod import "$POD/image.tar" reeve-test:latest
}

teardown_file() {
	((EUID == 0)) || return 0
	pod rm -af
	pod rmi -af
	# what overlay or vfs left mounted would keep the directory
	rm -rf "$POD"
}

setup() {
	needs_root
	needs_static
	begin
}
teardown() { finish; }

@test "container: reeve is PID 1 and its exit code is the command's" {
	run pod run --rm "${OPTIONS[@]}" reeve-test /reeve run -- /helper exit 7
	[ "$status" -eq 7 ]
	run pod run --rm "${OPTIONS[@]}" reeve-test /reeve run -- /helper die 9
	[ "$status" -eq 137 ]
	run pod run --rm "${OPTIONS[@]}" reeve-test /reeve run -- /helper signals
	[ "${lines[0]}" = "pgid own" ]
}

@test "container: read-only, no /tmp or /run, a uid that nobody knows" {
	run pod run --rm "${OPTIONS[@]}" --read-only --read-only-tmpfs=false \
		--user 12345:12345 --cap-drop=all --security-opt no-new-privileges \
		reeve-test /reeve run -v -- /helper exit 9
	[ "$status" -eq 9 ]
}

@test "container: stop reaches the command, which has time to drain" {
	local id
	id=$(pod run -d "${OPTIONS[@]}" -v "$T:/t" reeve-test \
		/reeve run -- /helper drain /t/ready /t/mark 300)
	until_ok file_there "$T/ready"
	pod stop -t 20 "$id"
	[ -e "$T/mark" ]
	[ "$(pod wait "$id")" = 0 ]
}

@test "container: a daemon that left the command's group and session drains too" {
	run pod run --rm "${OPTIONS[@]}" -v "$T:/t" reeve-test \
		/reeve run -- /helper escapee /t/ready /t/mark 300
	[ "$status" -eq 6 ]
	[ -e "$T/mark" ]
}

@test "container: a plan's workers are restarted, told apart, and drain on stop" {
	"$PLAN" "$T/a.plan" <<-END
		worker a
		arg /helper
		arg drain
		arg /t/ready
		arg /t/mark
		arg 300
		worker b
		arg /helper
		arg exit
		arg 3
		backoff 10ms 20ms
		worker c
		arg /helper
		arg lines
		arg 2
		arg 5
		restart never
	END
	chmod 644 "$T/a.plan"
	local id
	id=$(pod run -d "${OPTIONS[@]}" -v "$T:/t" --read-only \
		--read-only-tmpfs=false reeve-test /reeve run --plan /t/a.plan)
	until_ok file_there "$T/ready"
	crashed_often() { (($(pod logs "$id" 2>&1 | grep -c 'worker.exited worker=b/0') > 3)); }
	until_ok crashed_often
	pod stop -t 20 "$id"
	[ -e "$T/mark" ]
	[ "$(pod wait "$id")" = 0 ]
	pod logs "$id" >"$T/out" 2>/dev/null
	printf '0:aaa\n1:bbb\n' | diff - "$T/out"
}
