#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# house.sh FILE…: the rules of the house that no compiler knows.
set -euo pipefail
export LC_ALL=C
bad=0

complain() {
	printf '%s: %s\n' "$1" "$2"
	bad=1
}

guard_of() {
	local name=REEVE_$1
	name=${name//[^A-Za-z0-9]/_}
	printf '%s\n' "${name^^}"
}

for file in "$@"; do
	read -r first <"$file" || true
	[ "$first" = '/* SPDX-License-Identifier: Apache-2.0 */' ] ||
	    complain "$file" "the first line is the licence's"
	case $file in
	*.h)
		grep -qx "#ifndef $(guard_of "$file")" "$file" ||
		    complain "$file" "its guard is $(guard_of "$file")"
		;;
	*.c)
		include=$(grep -m1 '^#include' "$file" || true)
		[ "$include" = '#include "base/base.h"' ] ||
		    complain "$file" "includes \"base/base.h\" first"
		;;
	esac
	# alerts name findings too: `reeve explain` must know each
	case $file in
	supervisor/*.c)
		while read -r id; do
			grep -q "^ROW(${id#RV}," checks/findings.def ||
			    complain "$file" "$id has no row in checks/findings.def"
		done < <(grep -oE '"RV[0-9]{3}"' "$file" | tr -d '"')
		;;
	esac
	# spelled so that this file doesn't find itself
	if grep -nwE 'TO''DO|FIX''ME|XX''X' "$file"; then
		complain "$file" "an open end: finish it or write an issue"
	fi
done
exit "$bad"
