#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# docs/container.md, done: an image whose entry point is `reeve run`, with
# reeve-tool and its libraries, the page's own manifest, and a real Redis. The
# image is made here from this system's files; nothing is pulled.

bats_require_minimum_version 1.5.0
load lib

POD_OPTIONS=(--network=host --ulimit nofile=1024:1024 --ulimit nproc=1024:1024)
HARD=(--read-only --read-only-tmpfs=false --user 1000:1000 --cap-drop=all
	--security-opt no-new-privileges --pids-limit 40)

# As in 90-container.bats.
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

# with_libraries PROGRAM…: into the image's root, each where it is here.
with_libraries() {
	local file library
	for file in "$@"; do
		install -D "$(realpath "$file")" "$ROOT$file"
		while read -r library; do
			[[ -e $ROOT$library ]] || install -D "$(realpath "$library")" "$ROOT$library"
		done < <(ldd "$file" | grep -o '/[^ ]*')
	done
}

setup_file() {
	((EUID == 0)) || return 0
	# AddressSanitizer's reeve is no static program, and has no image
	! ldd "$REEVE" | grep -q '=>' || return 0
	export POD=$BATS_FILE_TMPDIR/pod
	local ROOT=$POD/root tool=/usr/local/libexec/reeve/reeve-tool
	mkdir -p "$ROOT"/{etc/reeve,run/secrets/shop,jobs,dev,proc,sys} "$ROOT/tmp"
	with_libraries /bin/sh /bin/sleep "$REEVE_TOOL"
	# as `make install` has them
	install -D "$REEVE" "$ROOT/usr/local/bin/reeve"
	mkdir -p "$ROOT${tool%/*}"
	mv "$ROOT$REEVE_TOOL" "$ROOT$tool"
	install -D /dev/stdin "$ROOT/app/send-mail" <<-'END'
		#!/bin/sh
		read -r job
		echo "begins $job"
		case $job in slow) until [ -e /jobs/go ]; do sleep 0.1; done ;; esac
		echo "ends $job"
	END
	chmod 755 "$POD" "$ROOT"
	tar -C "$ROOT" -cf "$POD/image.tar" .
	pod import --change 'ENTRYPOINT ["reeve", "run"]' --change 'WORKDIR /etc/reeve' \
		--change 'ENV PATH=/usr/local/bin:/bin' "$POD/image.tar" shop:latest
}

teardown_file() {
	[[ -n ${POD:-} ]] || return 0
	pod rm -af
	pod rmi -af
	rm -rf "$POD"
}

setup() {
	needs_root
	needs_static
	begin
	mkdir -p "$T/etc" "$T/secrets"
	mkdir -m 777 "$T/jobs"
	touch "$T/last"
	chmod 666 "$T/last"
	chmod 755 "$T/etc" "$T/secrets"
	printf 'first-key' >"$T/secrets/api-key"
	page_block apiVersion:\ reeve/v1 >"$T/etc/reeve.yaml"
}
teardown() {
	[[ -z ${ID:-} ]] || pod kill -s KILL "$ID" 2>/dev/null || :
	finish
	stop_servers
}

# The block of docs/container.md that begins with that line.
page_block() {
	awk -v first="$1" '/^```/ { inside = !inside; fresh = 1; next }
		inside && fresh { wanted = $0 == first; fresh = 0 }
		inside && wanted' "$REEVE_ROOT/docs/container.md"
}

# boot OPTION…: the image as the page runs it; sets ID.
boot() {
	ID=$(pod run -d "${POD_OPTIONS[@]}" -v "$T/etc:/etc/reeve:ro" \
		-v "$T/secrets:/run/secrets/shop:ro" -v "$T/jobs:/jobs" \
		-v "$T/last:/dev/termination-log" "$@")
}
# The page's Redis is the test's, its status port a free one.
on_redis() {
	start_redis
	sed -i "s|redis://redis:6379|$REDIS_URL|; s|0.0.0.0:9102|127.0.0.1:$(free_port)|" \
		"$T/etc/reeve.yaml"
	grep -q "$REDIS_URL" "$T/etc/reeve.yaml"
}
in_pod() { pod exec "$ID" reeve "$@"; }
status() { in_pod status --output json; }
all_ready() { in_status '.workers[0].ready == 2'; }
logged() { pod logs "$ID" 2>&1 | grep -q -- "$1"; }
# refuses CODE TEXT [OPTION…] [-- ARG…]: it ends at once, with that.
refuses() {
	local code=$1 text=$2 last
	shift 2
	run timeout -k 5 60 bash -c "$(declare -f pod); "'pod run --rm "$@"' - \
		"${POD_OPTIONS[@]}" -v "$T/etc:/etc/reeve:ro" \
		-v "$T/last:/dev/termination-log" "$@"
	expect_status "$code" || return 1
	has "$text" || return 1
	last=$(<"$T/last")
	[[ $last == *"exit code $code" ]] || { echo "termination-log: $last" >&2; return 1; }
}

@test "image: hardened, it works, is asked, reads again, and drains on stop" {
	on_redis
	boot "${HARD[@]}" --memory 96m shop
	until_ok all_ready
	run -0 in_pod status --live
	run -0 in_pod check
	has "check PASSED"
	redis rpush shop:mail one two
	until_ok logged '^ends one$'
	until_ok logged '^ends two$'
	run -0 in_pod logs mailer
	has "| ends one"
	run -0 in_pod queue ls
	[[ ${lines[1]} =~ ^mail\ +0\ +0\  ]]

	# a secret that changed is a difference, by name, and restarts nobody
	run -0 in_pod diff
	printf 'second-key' >"$T/secrets/api-key"
	pod kill -s HUP "$ID"
	until_ok logged 'kind=drift'
	run -1 in_pod diff
	has "another API_KEY than declared"
	lacks second-key
	in_status '[.workers[].instances[].restarts] == [0, 0]'

	# the job under way is finished
	redis rpush shop:mail slow
	until_ok logged '^begins slow$'
	pod stop -t 60 "$ID" &
	local stop=$!
	until_ok logged 'drain.began SIGTERM received'
	touch "$T/jobs/go"
	wait "$stop"
	[ "$(pod wait "$ID")" = 0 ]
	logged '^ends slow$'
	[ "$(redis keys 'shop:mail*processing*' | wc -w)" = 0 ]
	[ "$(<"$T/last")" = "reeve: SIGTERM received; exit code 0" ]
}

@test "image: a secret that isn't there stops its worker alone, and comes with the next start" {
	on_redis
	sed -i 's|^supervisor:|  - name: other\n    command: [/bin/sleep, "1000"]\n&|
		s|dir: /run/secrets/shop|&/later|' "$T/etc/reeve.yaml"
	boot shop
	until_ok in_status '.workers | map({(.name): .ready}) | add
	    | .other == 1 and .mailer == 0'
	until_ok logged "API_KEY has no value: directory '/run/secrets/shop/later': No such file"
	run -1 in_pod diff
	has "not started: a declared value is missing"
	mkdir "$T/secrets/later"
	cp "$T/secrets/api-key" "$T/secrets/later"
	pod restart -t 60 "$ID"
	until_ok all_ready
	pod stop -t 60 "$ID"
	[ "$(pod wait "$ID")" = 0 ]
}

@test "image: what is wrong ends it, with the code and the words of the page" {
	refuses 64 "no option '--gracee'" shop --gracee 5s
	refuses 78 "open '/nowhere.yaml': No such file" shop -f /nowhere.yaml
	sed -i 's/    command:/    comand:/' "$T/etc/reeve.yaml"
	refuses 78 "did you mean 'command'?" shop
	refuses 70 "a library of reeve-tool is missing here" \
		-v "$T/last:$(ldd "$REEVE_TOOL" | awk '/libcyaml/ { print $3 }'):ro" shop
	refuses 70 "reeve-tool not found" -v "$T/secrets:/usr/local/libexec/reeve:ro" shop
}

@test "image: the page's Dockerfile has the package of each library, and its snippets agree" {
	local library package
	page_block 'FROM debian:12 AS build' >"$T/Dockerfile"
	ldd "$REEVE_TOOL" >"$T/libraries"
	while read -r library; do
		package=$(dpkg-query -S "$(realpath "$library")" | cut -d: -f1 | head -n 1)
		[[ $package == libc6 ]] || grep -qw -- "$package" "$T/Dockerfile" || {
			echo "$library is of $package, which the Dockerfile lacks" >&2
			return 1
		}
	done < <(objdump -p "$REEVE_TOOL" | awk '$1 == "NEEDED" { print $2 }' |
		awk 'NR == FNR { needed[$1]; next } $1 in needed { print $3 }' - "$T/libraries")
	page_block services: >"$T/compose.yaml"
	page_block 'apiVersion: apps/v1' >"$T/deployment.yaml"
	run -0 "$REEVE" lint --secret "shop-secrets=dir:$T/secrets" \
		"$T/etc/reeve.yaml" "$T/compose.yaml" "$T/deployment.yaml"
}
