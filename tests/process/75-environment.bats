#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a worker inherits of the supervisor's own environment.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() { finish; }

@test "a worker has the image's environment, but nothing that was meant for the init alone" {
	cat >"$T/reeve.yaml" <<-END
		apiVersion: reeve/v1
		name: inherits
		workers:
		  - name: a
		    command: [/bin/sh, -c, 'env >$T/env.new && mv $T/env.new $T/env && exec sleep 1000']
	END
	export OF_THE_IMAGE=yes NOTIFY_SOCKET=/nowhere WATCHDOG_USEC=1 LISTEN_PID=1 LISTEN_FDS=2
	launch child run -f "$T/reeve.yaml" >"$T/out" 2>"$T/err"
	until_ok file_there "$T/env"
	grep -qx OF_THE_IMAGE=yes "$T/env"
	run ! grep -E '^(NOTIFY_SOCKET|WATCHDOG_|LISTEN_)' "$T/env"
	kill -TERM "$INIT"
	expect_code 0
}
