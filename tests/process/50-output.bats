#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What becomes of the workers' output.

bats_require_minimum_version 1.5.0
load lib
setup() { begin; }
teardown() {
	kill -TERM "$INIT" 2>/dev/null || :
	finish
}

talkers() {
	cat <<-END
		$1
		worker a
		arg $HELPER
		arg lines
		arg 3
		arg 10
		restart never
		worker b
		arg $HELPER
		arg lines
		arg 2
		arg 8
		arg stderr
		restart never
	END
}

@test "plain: the lines as they are, each on its stream" {
	for format in plain none; do
		for how in pid1 child; do
			talkers "logs $format" | plan_of a.plan
			supervise $how >"$T/out" 2>"$T/err"
			expect_code 0
			printf '0:aaaaaaaa\n1:bbbbbbbb\n2:cccccccc\n' | diff - "$T/out"
			grep -qx '0:aaaaaa' "$T/err" || { cat "$T/err"; echo $format $how; false; }
			grep -qx '1:bbbbbb' "$T/err"
		done
	done
}

@test "prefix and json say whose line it is" {
	talkers "logs prefix" | plan_of a.plan
	supervise child >"$T/out" 2>"$T/err"
	expect_code 0
	printf 'a/0 | 0:aaaaaaaa\na/0 | 1:bbbbbbbb\na/0 | 2:cccccccc\n' | diff - "$T/out"
	grep -qx 'b/0 | 1:bbbbbb' "$T/err"
	talkers "logs json" | plan_of a.plan
	supervise child >"$T/out" 2>"$T/err"
	expect_code 0
	[ "$(wc -l <"$T/out")" -eq 3 ]
	grep -q '"worker":"a","replica":0,.*"stream":"stdout","text":"2:cccccccc"}$' "$T/out"
}

@test "50,000 lines of four replicas arrive whole" {
	plan_of a.plan <<-END
		worker a
		arg $HELPER
		arg lines
		arg 12500
		arg 100
		restart never
		replicas 4
	END
	supervise child >"$T/out" 2>"$T/err"
	expect_code 0
	[ "$(wc -l <"$T/out")" -eq 50000 ]
	[ "$(awk 'length($0) != 100' "$T/out" | wc -l)" -eq 0 ]
}

@test "the last lines are kept and served, and followed" {
	plan_of a.plan <<-END
		keep 2
		worker a
		arg /bin/sh
		arg -c
		arg echo one; echo two; echo three; while [ ! -e $T/go ]; do sleep 0.05; done; echo four; exec '$HELPER' wait
	END
	supervise child >"$T/out"
	until_ok grep -q three "$T/out"
	[ "$("$CTL" logs a 10)" = $'a/0 1 two\na/0 1 three' ]
	[ "$("$CTL" logs a 1)" = "a/0 1 three" ]
	"$CTL" logs a 1 follow >"$T/followed" 3>&- &
	ALSO+=($!)
	until_ok grep -q three "$T/followed"
	touch "$T/go"
	until_ok grep -q four "$T/followed"
}

@test "a logger that is killed is started again; the workers don't notice" {
	plan_of a.plan <<-END
		worker a
		arg /bin/sh
		arg -c
		arg n=0; while :; do n=\$((n+1)); echo line \$n; sleep 0.02; done
	END
	supervise child >"$T/out"
	until_ok grep -qx 'line 5' "$T/out"
	pid=$(figure a/0 pid)
	logger=$("$CTL" show | sed -n 's/.* logger \([0-9]*\) .*/\1/p')
	kill -KILL "$logger"
	last=$(tail -1 "$T/out" | cut -d' ' -f2)
	until_ok grep -qx "line $((last + 50))" "$T/out"
	[ "$(figure a/0 pid)" = "$pid" ]
	[ "$(figure a/0 restarts)" = 0 ]
}
