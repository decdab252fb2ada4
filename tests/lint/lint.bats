#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The rules are seen to refuse: each kind of fault is planted and found.
load ../lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	lint=$REEVE_ROOT/tests/lint
}

# --- pid1-libc ----------------------------------------------------------------

# plant CODE: an object as it would lie among the init's.
plant() {
	printf '%s\n' "$1" >planted.c
	gcc -O1 -fPIE -fno-builtin -c -o planted.o planted.c
}

@test "the init with malloc planted in one object is refused" {
	objects=("$REEVE_BUILD"/init/*/*.o)
	[ -f "${objects[0]}" ] || objects=()
	plant '#include <stdlib.h>
void *planted(void);
void *planted(void) { return malloc(17); }'
	run "$lint/pid1-libc.sh" "$lint/pid1-libc.allow" planted.o "${objects[@]}"
	[ "$status" -ne 0 ]
	has "planted.o: the init may not use 'malloc'"
}

@test "so is each function that allocates, opens streams, or looks names up" {
	for call in 'malloc(1)' 'calloc(1,1)' 'realloc(0,1)' 'free(0)' \
	    'strdup("")' 'asprintf(0,"")' 'fopen("","")' 'printf("")' \
	    'fprintf(0,"")' 'puts("")' 'fflush(0)' 'setlocale(0,"")' \
	    'strerror(0)' 'getpwnam("")' 'getpwuid(0)' 'getgrnam("")' \
	    'initgroups("",0)' 'getaddrinfo(0,0,0,0)' 'gethostbyname("")' \
	    'syslog(0,"")' 'openlog("",0,0)' 'opendir("")' 'localtime(0)' \
	    'getline(0,0,0)' 'system("")' 'popen("","")' 'atexit(0)' \
	    'qsort(0,0,0,0)' 'dlopen("",0)' 'pthread_create(0,0,0,0)'; do
		name=${call%%(*}
		printf 'int %s();\nint planted(void) { return %s; }\n' \
		    "$name" "$call" >planted.c
		gcc -w -fno-builtin -c -o planted.o planted.c
		run "$lint/pid1-libc.sh" "$lint/pid1-libc.allow" planted.o
		[ "$status" -ne 0 ] || { echo "$name passed"; return 1; }
		has "'$name'"
	done
}

@test "what is on the list passes, fortified too" {
	plant 'typedef unsigned long size_t;
int __snprintf_chk(char *, size_t, int, size_t, const char *, ...);
int getpid(void);
int planted(void);
int planted(void) { char t[9]; return getpid() + __snprintf_chk(t, 9, 1, 9, "%d", 1); }'
	run "$lint/pid1-libc.sh" "$lint/pid1-libc.allow" planted.o
	expect_status 0
}

# --- layering -----------------------------------------------------------------

layering() {
	awk -f "$lint/layering.awk" "$lint/layers.txt" "$1"
}

# file ROOM LINE: a source of that room with that line.
file() {
	mkdir -p "$1"
	printf '#include "base/base.h"\n%s\n' "$2" >"$1/planted.c"
	run layering "$1/planted.c"
}

@test "every include between rooms that the table doesn't allow is refused" {
	declare -A allowed=()
	rooms=()
	while read -r from to; do
		[[ $from = *: && $from != *!: ]] || continue
		from=${from%:}
		rooms+=("$from")
		for room in $to; do allowed[$from,$room]=1; done
	done <"$lint/layers.txt"
	[ "${#rooms[@]}" -ge 10 ]
	refused=0
	for from in "${rooms[@]}"; do
		for to in "${rooms[@]}"; do
			# a room and those inside it see each other
			[[ $from/ = "$to"/* || $to/ = "$from"/* ]] && continue
			file "$from" "#include \"$to/x.h\""
			may=${allowed[$from,$to]:-${allowed[$from,${to%%/*}]:-}}
			if [ -n "$may" ]; then
				expect_status 0
			else
				expect_status 1
				has "$from/ may not include $to/"
				refused=$((refused + 1))
			fi
		done
	done
	[ "$refused" -gt 40 ]
}

@test "the init includes neither probes nor libraries" {
	file supervisor/init '#include "probes/observed.h"'
	has "supervisor/init/ may not include probes/"
	file supervisor/init '#include "manifests/declared.h"'
	has "supervisor/init/ may not include manifests/"
	file supervisor/init '#include <cjson/cJSON.h>'
	has "supervisor/init/ may not use <cjson/cJSON.h>"
	file base '#include "worker/spec.h"'
	has "base/ may not include worker/"
}

@test "every library is refused in a room that doesn't own it" {
	for pair in base:yaml.h worker:curl/curl.h worker/reference:libpq-fe.h \
	    manifests:hiredis/hiredis.h checks:libpq-fe.h checks:microhttpd.h \
	    supervisor/wire:openssl/sha.h supervisor/operator:yaml.h \
	    cli:hiredis/hiredis.h probes:cyaml/cyaml.h probes:ncurses.h; do
		file "${pair%%:*}" "#include <${pair#*:}>"
		expect_status 1
		has "may not use <${pair#*:}>"
	done
	file probes '#include <curl/curl.h>'
	expect_status 0
}

@test "an include that isn't a full path is refused, and a file in no room" {
	file probes '#include "observed.h"'
	expect_status 1
	has "include by full path"
	file attic ''
	expect_status 1
	has "lies in no room"
}

# --- the house ------------------------------------------------------------------

good_header='/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REEVE_BASE_X_H
#define REEVE_BASE_X_H
#endif'

@test "house rules: licence, guard, base.h first, no open ends" {
	mkdir base
	printf '%s\n' "$good_header" >base/x.h
	run "$lint/house.sh" base/x.h
	expect_status 0
	printf '%s\n' "${good_header/BASE_X/X}" >base/x.h
	run "$lint/house.sh" base/x.h
	expect_status 1
	has "its guard is REEVE_BASE_X_H"
	printf '#include <stdio.h>\n#include "base/base.h"\n' >base/x.c
	run "$lint/house.sh" base/x.c
	expect_status 1
	has "the first line is the licence's"
	has 'includes "base/base.h" first'
	printf '%s\n/* TO%s */\n' "$good_header" DO >base/x.h
	run "$lint/house.sh" base/x.h
	expect_status 1
	has "an open end"
}

@test "house: a finding that an alert names without a row is refused" {
	mkdir -p supervisor checks
	echo 'ROW(713, "a", "b",' >checks/findings.def
	printf '%s\n' '/* SPDX-License-Identifier: Apache-2.0 */' \
	    '#include "base/base.h"' 'const char *id = "RV713";' >supervisor/x.c
	run "$lint/house.sh" supervisor/x.c
	[ "$status" -eq 0 ]
	echo 'const char *other = "RV999";' >>supervisor/x.c
	run "$lint/house.sh" supervisor/x.c
	[ "$status" -eq 1 ]
	[[ "$output" == *"RV999 has no row"* ]]
}

@test "each fuzz target has a row in docs/design/build.md, and a corpus" {
	local source name
	for source in "$REEVE_ROOT"/tests/fuzz/fuzz_*.c; do
		name=${source##*/fuzz_}
		name=${name%.c}
		grep '^|' "$REEVE_ROOT/docs/design/build.md" | grep -qF "\`$name\`" || {
			echo "no row: $name"
			return 1
		}
		[ -n "$(ls "$REEVE_ROOT/tests/fuzz/corpus/$name")" ]
	done
}

@test "faults to plant: conditions, operators and statements, one at a time, and no declaration" {
	printf '\t%s\n' 'int count = 0;' '/* if (a < b) */' 'if (a < b && done(c))' '	return -1;' 'forget(c);' \
	    'log_info("x", "a < b");' >x.c
	[ "$(awk -f "$REEVE_ROOT/tests/mutants.awk" x.c | tr '\t' ' ')" = "$(printf '%s\n' \
	    '1  int count = 1;' \
	    '3  if (!(a < b && done(c)))' '3  if (a <= b && done(c))' '3  if (a < b || done(c))' \
	    '4   return 0;' '4  ;' '5  ;')" ]
}
