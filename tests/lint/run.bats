#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The runner of the tests: nothing that goes wrong counts as passed.
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
}

# suite NAME LINES… : a program that runs these lines of shell.
suite() {
	local name=$1
	shift
	{ printf '#!/bin/bash\n'; printf '%s\n' "$@"; } >"$name"
	chmod +x "$name"
}

run_suites() {
	run env -u CI -u REEVE_RUN_DIR "$REEVE_ROOT/tests/run" "$@"
	[ "$(grep -cE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' \
	    <<<"$output")" = 1 ]
	last=${lines[-1]}
}

@test "what passes is counted over all suites, one line each" {
	suite a 'echo 1..2; echo "ok 1 - x"; echo "ok 2 - y"'
	suite b 'echo 1..1; echo "ok 1 - z"'
	run_suites --check true true "$PWD/a" "$PWD/b"
	expect_status 0
	[ "$last" = "4 passed, 0 failed, 0 skipped" ]
	[ "${#lines[@]}" = 4 ]
}

@test "a failed test fails the run and its output is shown" {
	suite a 'echo 1..2; echo "ok 1 - x"; echo "not ok 2 - y"; echo "# why"; exit 1'
	run_suites "$PWD/a"
	expect_status 1
	[ "$last" = "1 passed, 1 failed, 0 skipped" ]
	has "not ok 2 - y"
	has "# why"
	lacks "ok 1 - x"
}

@test "a suite that crashes in the middle has failed" {
	suite a 'echo 1..3; echo "ok 1 - x"; kill -SEGV $$'
	run_suites "$PWD/a"
	expect_status 1
	[ "$last" = "1 passed, 1 failed, 0 skipped" ]
	has "ended after 1 of 3 tests"
}

@test "a suite that passes all its tests and exits otherwise has failed" {
	suite a 'echo 1..1; echo "ok 1 - x"; exit 23'
	run_suites "$PWD/a"
	expect_status 1
	has "every test passed, but exit 23"
}

@test "a suite that hangs is ended and has failed" {
	suite a 'echo 1..1; exec sleep 1000'
	SECONDS_UNIT=1 run_suites "$PWD/a"
	expect_status 1
	has "out of time"
}

@test "a suite that runs nothing, or isn't there, has failed" {
	suite a 'exit 0'
	run_suites "$PWD/a"
	expect_status 1
	[ "$last" = "0 passed, 1 failed, 0 skipped" ]
	run_suites "$PWD/missing"
	expect_status 1
	run_suites
	expect_status 1
	has "checked nothing"
}

@test "a check that fails has failed" {
	run_suites --check bad 'echo the reason; false'
	expect_status 1
	has "the reason"
}

@test "a skip is counted and said, and fails the run where CI is true" {
	suite a 'echo 1..2; echo "ok 1 - x"; echo "ok 2 - y # SKIP no podman"'
	run_suites "$PWD/a"
	expect_status 0
	[ "$last" = "1 passed, 0 failed, 1 skipped" ]
	has "no podman"
	run env CI=true "$REEVE_ROOT/tests/run" "$PWD/a"
	expect_status 1
}

@test "cmocka and bats are both understood" {
	cat >t.c <<-'C'
		#include <setjmp.h>
		#include <stdarg.h>
		#include <stddef.h>
		#include <stdint.h>
		#include <cmocka.h>
		static void good(void **state) { (void)state; }
		static void bad(void **state) { (void)state; assert_int_equal(1, 2); }
		static void left_out(void **state) { (void)state; skip(); }
		int main(void) {
			const struct CMUnitTest tests[] = {cmocka_unit_test(good),
			    cmocka_unit_test(bad), cmocka_unit_test(left_out)};
			return cmocka_run_group_tests(tests, NULL, NULL);
		}
	C
	gcc -o t t.c -lcmocka
	printf '@test "one" { true; }\n@test "two" { skip "so"; }\n' >t.bats
	run_suites "$PWD/t" "$PWD/t.bats"
	expect_status 1
	[ "$last" = "2 passed, 1 failed, 2 skipped" ]
}

@test "a server that a killed suite left behind is stopped" {
	at=@test # spelled out, this file's bats would take it for its own
	cat >t.bats <<-EOT
		load $REEVE_ROOT/tests/lib
		$at "hangs" {
			start_redis
			echo "\$REDIS_PID" >$PWD/pid
			kill -KILL \$PPID \$\$
		}
	EOT
	run_suites "$PWD/t.bats"
	expect_status 1
	wait_until -t 10 bash -c "! kill -0 $(cat pid)"
}

# --- deps -----------------------------------------------------------------------

# A machine on which nothing is installed, without sudo, and not as root.
bare_machine() {
	mkdir -p bin
	suite bin/dpkg-query 'exit 1'
	suite bin/id 'echo 1000'
	for tool in awk bash cat readlink sed; do
		ln -sf "$(command -v $tool)" "bin/$tool"
	done
}

@test "deps says what it would install and why, and how without root" {
	bare_machine
	PATH=$PWD/bin run bash "$REEVE_ROOT/tests/deps.sh" build
	expect_status 1
	has "libcyaml-dev"
	has "reads reeve.yaml"
	has "nothing of them is started"
	has "--as-root gcc make"
	lacks redis-server
}

@test "deps says nothing where nothing is missing" {
	bare_machine
	suite bin/dpkg-query 'printf installed'
	PATH=$PWD/bin run bash "$REEVE_ROOT/tests/deps.sh" build test lint
	expect_status 0
	[ "$output" = "" ]
}
