# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# One look of the prober, and what it says.

# What nothing that the prober says may hold.
SECRET=swordfish-in-the-pond

# serve MODE [ARG…]: probes_server.py; sets PORT.
serve() {
	local mode=$1
	shift
	PORT=$(free_port)
	start_background "$mode$PORT" python3 \
	    "$BATS_TEST_DIRNAME/probes_server.py" "$mode" "$PORT" "$@"
	[ "$mode" = dead-dns ] || wait_until port_listens "$PORT"
}

# look JSON: the verdict line in $ANSWER. Its timeout is LOOK_MS unless it says
# otherwise: 10 s for what answers, so that a busy machine is no silence, and what
# the test says for what doesn't. 20 s more is too late, whatever it looks at.
LOOK_MS=10000
look() {
	local request=$1
	[[ $request = *timeout_ms* ]] ||
	    request="${request%\}},\"timeout_ms\":$LOOK_MS}"
	[[ $request = *subject* ]] || request="{\"subject\":\"it\",${request#\{}"
	printf '%s\n' "$request" |
	    timeout -k 1 $((LOOK_MS / 1000 + 20)) "$REEVE_TOOL" probe >"$BATS_TEST_TMPDIR/out" \
	        2>"$BATS_TEST_TMPDIR/err" || {
		echo "no answer in time, or a crash: $?" >&2
		return 1
	}
	ANSWER=$(grep -v '^{"progress"' "$BATS_TEST_TMPDIR/out")
	echo "$ANSWER"
	[ "$(wc -l <<<"$ANSWER")" = 1 ]
	if cat "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/err" |
	    grep -F -e "$SECRET" -e "${SECRET#*-}"; then
		echo "a secret is shown" >&2
		return 1
	fi
}

# says RESULT CAUSE [CODE]
says() {
	[ "$(jq -r '"\(.result) \(.cause)"' <<<"$ANSWER")" = "$1 $2" ]
	[ $# -lt 3 ] || [ "$(jq -r .code <<<"$ANSWER")" = "$3" ]
}

tells() {
	jq -r .summary <<<"$ANSWER" | grep -q -F -- "$1"
}

fact() {
	[ "$(jq -r --arg k "$1" \
	    '.facts[] | select(.key == $k) | .value' <<<"$ANSWER")" = "$2" ]
}

# step KIND RESULT
step() {
	[ "$(jq -r --arg k "$1" \
	    '[.steps[] | select(.step == $k) | .result] | last' <<<"$ANSWER")" = "$2" ]
}
