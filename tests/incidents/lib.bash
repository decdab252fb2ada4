# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154
# For the incidents, beside ../lib.bash: what `reeve` says of reeve.yaml, asked as
# CI or somebody on call asks it, and held against what the report says was wrong.

# judged CODE COMMAND [OPTION…]: `reeve COMMAND` exits with CODE; its report is in
# COMMAND.json too. What isn't 0 is never called passed.
judged() {
	local code=$1 command=$2 verdict
	shift 2
	run "$REEVE" "$command" "$@" --output text --output "json=$command.json"
	expect_status "$code" || return
	verdict=$(jq -r .verdict "$command.json")
	case $code in
	0) [ "$verdict" = passed ] ;;
	3) [ "$verdict" = inconclusive ] ;;
	*) [ "$verdict" = failed ] ;;
	esac || { printf 'exit %s, and the verdict is %s\n' "$code" "$verdict" >&2; return 1; }
}

# wrong COMMAND [ID…]: just these failed, of whatever severity.
wrong() {
	local command=$1 ids
	shift
	ids=$(jq -r '[.findings[] | select(.result == "failed") | .id] | unique | join(" ")' "$command.json")
	[ "$ids" = "$*" ] && return 0
	printf 'expected %s to find %s, it found %s:\n%s\n' "$command" "$*" "$ids" "$output" >&2
	return 1
}

# roots COMMAND ID…: just these are the causes; each has evidence and a way to mend it.
roots() {
	local command=$1 ids
	shift
	ids=$(jq -r '[.findings[] | select(.role == "root" or .role == "unexplained") | .id] | unique | join(" ")' "$command.json")
	if [ "$ids" != "$*" ]; then
		printf 'expected the causes %s, %s has %s:\n%s\n' "$*" "$command" "$ids" "$output" >&2
		return 1
	fi
	jq -e '[.findings[] | select(.role == "root" or .role == "unexplained")] |
	    all((.evidence | length > 0) and .fix.text != null)' "$command.json" ||
	    { echo "a cause without evidence or fix" >&2; return 1; }
}

# names COMMAND ID SUBJECT TEXT…: the finding about that subject says each TEXT.
names() {
	local command=$1 id=$2 subject=$3 said text
	shift 3
	said=$(jq -r --arg id "$id" --arg subject "$subject" '.findings[] | select(.id == $id and .subject == $subject and .result == "failed") |
	    .summary, (.evidence[] | .source, .observed, .expected), .fix.text, .fix.command, .fix.verify | select(. != null)' "$command.json")
	if [ -z "$said" ]; then
		printf '%s has no failed %s about %s:\n%s\n' "$command" "$id" "$subject" "$output" >&2
		return 1
	fi
	for text in "$@"; do
		if [[ $said != *"$text"* ]]; then
			printf '%s of %s does not say "%s":\n%s\n' "$id" "$subject" "$text" "$said" >&2
			return 1
		fi
	done
}

# explained COMMAND CAUSE ID…: it says of that cause that these follow from it.
explained() {
	local command=$1 cause=$2 id
	shift 2
	for id in "$@"; do
		if ! jq -e --arg cause "$cause" --arg id "$id" '[.findings[] | select(.id == $cause) | .explains[] | select(.id == $id)] | length > 0' "$command.json"; then
			printf '%s does not explain %s:\n%s\n' "$cause" "$id" "$output" >&2
			return 1
		fi
	done
}

# ready WORKER N: so many of its replicas are.
ready() {
	in_status ".workers[] | select(.name == \"$1\") | .ready == $2"
}

start_supervisor() {
	start_background run "$REEVE" run -f reeve.yaml
	SUPERVISOR_PID=$BACKGROUND_PID
}

stop_supervisor() {
	kill "$SUPERVISOR_PID"
	wait_until gone "$SUPERVISOR_PID" "$(start_time "$SUPERVISOR_PID")"
}

# own_program FILE: sets PROGRAM to a link to it whose name no other test's has.
# Workers are looked for among all processes of the host, by that name, and files of
# tests run side by side.
own_program() {
	PROGRAM=$PWD/$(basename "${1%.*}")-${BATS_RUN_TMPDIR##*-}-$BATS_TEST_NUMBER.${1##*.}
	ln -s "$1" "$PROGRAM"
}
