# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the tests of queues: `reeve queue ls` read back, workers that leave traces,
# and single requests to the prober.

bats_require_minimum_version 1.5.0

# The job of the tests: writes what it got to $EFFECTS.tries, then does what the
# payload says: bad fails, dead is never to be tried again, block… waits until
# release_blocked; the others leave their effect in $EFFECTS.
write_job() {
	EFFECTS=$(test_dir)/effects
	export EFFECTS
	: >>"$EFFECTS"
	: >>"$EFFECTS.tries"
	# once: running workers start it all the time
	[ ! -e "$(test_dir)/job" ] || return 0
	cat >"$(test_dir)/job" <<'JOB'
#!/bin/bash
payload=$(cat)
printf '%s %s %s\n' "$payload" "$REEVE_JOB_ATTEMPT" "$REEVE_JOB_ID" >>"$EFFECTS.tries"
case $payload in
*bad*) exit 3 ;;
*dead*) exit 78 ;;
*block*) until [ -e "$EFFECTS.go" ] || [ -e "$EFFECTS.go.$payload" ]; do read -r -t 0.05 <> <(:) || :; done ;;
esac
printf '%s\n' "$payload" >>"$EFFECTS"
JOB
	chmod +x "$(test_dir)/job"
}

# All of them, or that one.
release_blocked() {
	: >"$EFFECTS.go${1:+.$1}"
}

# start_worker URL [OPTIONS]: sets WORKER_PID, WORKER_LOG.
start_worker() {
	local url=$1
	shift
	write_job
	start_worker_command "$url" "$@" -- "$(test_dir)/job"
}

start_worker_command() {
	local url=$1
	shift
	EFFECTS=$(test_dir)/effects
	export EFFECTS
	start_background "worker.$RANDOM" "$REEVE_TOOL" worker --queue "$url" "$@"
	WORKER_PID=$BACKGROUND_PID
	WORKER_LOG=$BACKGROUND_LOG
	wait_until grep -q queue.connected "$WORKER_LOG"
}

kill_worker() {
	kill_started "$WORKER_PID"
}

run_ls() {
	run --separate-stderr "$REEVE_TOOL" queue ls "$@" --output json
}

# get PATH: a value of the first queue that run_ls listed.
# shellcheck disable=SC2154
get() {
	python3 -c '
import json, sys
value = json.loads(sys.argv[1])["queues"][0]
for part in sys.argv[2].split("."):
    value = value[int(part)] if isinstance(value, list) else value.get(part)
print("null" if value is None else value)
' "$output" "$1"
}

# field PATH VALUE
field() {
	local is
	is=$(get "$1")
	[ "$is" = "$2" ] && return 0
	printf 'expected %s = %s, got %s; all of it:\n%s\n' "$1" "$2" "$is" \
	    "$output" >&2
	return 1
}

# wait_pid URL PID: the first of the consumers that are listed is that process.
# Whose a connection is takes a walk over all processes, which ends after two
# seconds on a machine that is busy: it is asked again.
wait_pid() {
	wait_until listed_pid "$1" "$2"
}

listed_pid() {
	run_ls "$1"
	[ "$(get consumer_list.0.pid)" = "$2" ]
}

# look OP URL [PAYLOAD [MEMBERS]]: one request to a prober; CANARY and RECEIPT go
# with it, and more members of a JSON object.
# shellcheck disable=SC2154
look() {
	CANARY=${CANARY:-7d9f1c52-0d4b-4a58-9a3e-52a1a2f0c4f1}
	export CANARY RECEIPT
	run "$REEVE_TOOL" probe < <(python3 -c '
import json, os, sys
request = {"kind": "queue", "subject": "q", "timeout_ms": 10000, "op": sys.argv[1],
    "url": sys.argv[2], "canary": os.environ["CANARY"], "near": True}
if len(sys.argv) > 3:
    request["payload"] = sys.argv[3]
if len(sys.argv) > 4:
    request.update(json.loads("{%s}" % sys.argv[4]))
if os.environ.get("RECEIPT"):
    request["receipt"] = os.environ["RECEIPT"]
print(json.dumps(request))
' "$@")
	[ "$status" -eq 0 ]
}

# fact KEY, answer KEY: of what look answered (its last line; those before it
# are progress).
fact() {
	printf '%s\n' "$output" | tail -n 1 | python3 -c '
import json, sys
facts = json.load(sys.stdin)["facts"]
print((facts if isinstance(facts, dict)
    else {f["key"]: f["value"] for f in facts}).get(sys.argv[1], ""))
' "$1"
}

answer() {
	printf '%s\n' "$output" | tail -n 1 | python3 -c '
import json, sys
print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

test_sql() {
	[ -n "$(sql "$1")" ]
}

# canary_is PLACE: of the queue at URL.
canary_is() {
	look follow "$URL" '{}'
	[ "$(fact state)" = "$1" ]
}

# move_jobs PART ID…: of the queue at URL; MOVED is a JSON array of those that
# were, or why none could be.
# shellcheck disable=SC2154,SC2034
move_jobs() {
	run "$REEVE_TOOL" probe < <(jq -nc --arg url "$URL" --arg part "$1" \
	    '{kind: "queue", subject: "q", op: "move", url: $url, part: $part, ids: $ARGS.positional}' \
	    --args -- "${@:2}")
	[ "$status" -eq 0 ]
	MOVED=$(printf '%s\n' "$output" | tail -n 1 | command jq -c '.moved // .summary')
}

# list_jobs PART: their ids, as a JSON array.
# shellcheck disable=SC2154
list_jobs() {
	run "$REEVE_TOOL" probe < <(jq -nc --arg url "$URL" --arg part "$1" \
	    '{kind: "queue", subject: "q", op: "list", url: $url, part: $part}')
	[ "$status" -eq 0 ]
	printf '%s\n' "$output" | tail -n 1 | command jq -c '.jobs.items | map(.id)'
}

# counts_agree THEIRS OURS=KEY[+KEY]…: `queue ls` counts what the library itself
# does; THEIRS is an object, and a key that it hasn't is 0.
counts_agree() {
	run_ls "$URL"
	expect_status 0
	python3 - "$1" "$output" "${@:2}" <<'PY'
import json, sys
theirs, ours = json.loads(sys.argv[1]), json.loads(sys.argv[2])["queues"][0]
pairs = [pair.split("=") for pair in sys.argv[3:]]
want = {name: sum(theirs.get(key, 0) for key in keys.split("+")) for name, keys in pairs}
got = {name: ours[name] for name in want}
assert got == want, f"{got} is not {want}, of {theirs}"
PY
}

# Everything that a look may not change: all keys of Redis with what they hold,
# by a digest that knows no order (a read moves a hash on that is being rehashed,
# and DUMP writes it in another order then). Needs --enable-debug-command local.
redis_keys() {
	local key digest
	for key in $(redis --raw KEYS '*' | sort); do
		digest=$(redis -e DEBUG DIGEST-VALUE "$key") || return 1
		printf '%s %s\n' "$key" "$digest"
	done
}

# What a worker that is gone has left to expire stays, so that two looks at the
# keys, however far apart, see the same ones.
keep_keys() {
	local key
	for key in $(redis --raw KEYS '*'); do
		redis PERSIST "$key" >/dev/null
	done
}

# start_cut PORT WORD HOW: a proxy before that port, which cuts (cutting_proxy.py);
# sets CUT_PORT.
start_cut() {
	CUT_PORT=$(free_port)
	start_background "cut.$RANDOM" python3 \
	    "$REEVE_ROOT/tests/service/cutting_proxy.py" "$CUT_PORT" "$1" "$2" "$3"
	wait_until port_listens "$CUT_PORT"
}
