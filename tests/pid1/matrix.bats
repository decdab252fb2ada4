#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every case, in every mode, and on its page.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	cd "$REEVE_ROOT/tests/pid1"
	PAGE=$REEVE_ROOT/docs/design/pid1-cases.md
}

@test "every case from 01 to 30 has a test in every mode" {
	local n mode missing=0
	for n in {01..30}; do
		for mode in pid1 subreaper container; do
			grep -qE "^@test \"case $n: .* \[$mode\]\" \{ in_mode $mode; " ./*.bats || {
				echo "case $n has no test in mode $mode"
				missing=1
			}
		done
	done
	[ $missing = 0 ]
}

@test "a test's name says the mode that it runs in" {
	grep -hE '^@test "case .* in_mode ' ./*.bats |
		sed -E 's/.*\[([a-z0-9]+)\]" \{ in_mode ([a-z0-9]+);.*/\1 \2/' |
		awk '$1 != $2 { print; exit 1 }'
}

@test "every case is on the page, with the file that it is in" {
	local n file
	for n in {01..30}; do
		file=$(sed -nE "s/^\| $n \| .* \| \`([a-z]+\.bats)\` \|.*/\1/p" "$PAGE")
		[ -n "$file" ] || { echo "case $n is not on the page"; false; }
		grep -q "^@test \"case $n: " "$file" || { echo "case $n is not in $file"; false; }
	done
}

# What supervises sends all through worker/send.c, which refuses pids of 1 and
# less. `run -- CMD` has no state to protect: it stops itself with its terminal,
# and sweeps a namespace from a throw-away child, as the drain after a second
# fault does.
@test "case 12: kill is called in one place, and where nothing is supervised [source]" {
	cd "$REEVE_ROOT"
	grep -rlE '(^|[^_a-z>.])(kill|killpg|tgkill)\(-?[a-z0-9(]' --include='*.c' \
		supervisor/init worker/*.c | sort >"$BATS_TEST_TMPDIR/uses"
	printf '%s\n' supervisor/init/{last,oneshot}.c worker/send.c |
		diff - "$BATS_TEST_TMPDIR/uses"
	[ "$(grep -cE '[^_a-z]kill\(' worker/send.c)" = 1 ]
	grep -q 'pid <= 1' worker/send.c
}
