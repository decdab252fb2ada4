#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# pid1-libc.sh ALLOW-LIST OBJECT…: what the init's objects take of libc must be
# on the list (decisions.md 5). A static program has no undefined symbols left,
# so they are read from the objects joined by `ld -r`.
set -euo pipefail
export LC_ALL=C
allow=$1
shift
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

ld -r -o "$work/init.o" "$@"
# __read_chk is read with _FORTIFY_SOURCE
nm -u "$work/init.o" | awk '$NF != "_GLOBAL_OFFSET_TABLE_" { print $NF }' |
    sed -E 's/^__(.*)_chk$/\1/; s/^__isoc99_//' | sort -u >"$work/taken"
sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$allow" | sort -u >"$work/allowed"
if ! comm -23 "$work/taken" "$work/allowed" >"$work/refused" ||
    [ -s "$work/refused" ]; then
	while read -r symbol; do
		for object in "$@"; do
			nm -u "$object" | grep -qE " (__)?$symbol(_chk)?\$" ||
			    continue
			echo "$object: the init may not use '$symbol'" \
			    "(tests/lint/${allow##*/})"
		done
	done <"$work/refused"
	exit 1
fi
