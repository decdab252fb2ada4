#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154
# What people get wrong about a queue in a database: each wrong thing is a
# finding of its own that names the nearest real one (docs/queues.md, "What
# people get wrong").

load ../lib
load queue_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	node_packages
	export NODE_PATH=$NODE_DIR/node_modules
	start_postgres
	sql 'CREATE DATABASE app'
	sql 'CREATE DATABASE bare'
	sql "CREATE ROLE blind LOGIN PASSWORD 'p'; CREATE ROLE reader LOGIN SUPERUSER PASSWORD 'p';
	ALTER ROLE reader SET default_transaction_read_only = on"
	sql "CREATE TABLE documents(id int PRIMARY KEY, status text);
	CREATE SCHEMA audit; CREATE TABLE audit.jobs(id int PRIMARY KEY, status text);
	CREATE TABLE tasks(id int PRIMARY KEY, status text, q text);
	INSERT INTO tasks VALUES (1, 'queued', 'jobs')" app
}

setup() {
	AT=127.0.0.1:$PG_PORT
	APP=postgresql://postgres:$PG_PASSWORD@$AT/app
}

# cells: of lines "URL ID TEXT", diagnose names ID as the root cause, and TEXT.
# Four are asked at a time.
cells() {
	local url id text pids=() failed=0 pid
	while read -r url id text; do
		cell "$url" "$id" "$text" 3>&- 4>&- &
		pids+=("$!")
		[ "${#pids[@]}" -lt 4 ] || { wait "${pids[0]}" || failed=1; pids=("${pids[@]:1}"); }
	done
	for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
	return "$failed"
}

cell() {
	local said
	said=$("$REEVE_TOOL" diagnose "$1" 2>&1) || :
	[[ $said == *"ROOT CAUSE  $2 "* && $said == *"$3"* ]] && return 0
	printf '%s: not %s with "%s"\n%s\n' "$1" "$2" "$3" "$said" >&2
	return 1
}

@test "pgtable: table, schema, database, column, role, a value of its column" {
	cells <<-CELLS
	pgtable+$APP?table=document RV405 near: documents
	pgtable+$APP?table=jobs RV202 'jobs' is in schema audit
	pgtable+$APP?table=documents&schema=audit RV202 'documents' is in schema public
	pgtable+$PG_URL?table=documents RV202 'documents' is in database app
	pgtable+$PG_URL?table=jobs RV202 'jobs' is in database app schema audit
	pgtable+${APP%app}ap?table=documents RV202 near: 'app'
	pgtable+${APP%app}elsewhere?table=documents RV202 there are: 'app', 'bare', 'postgres'
	pgtable+$APP?table=documents&status=state RV204 it has 'status'
	pgtable+$APP?table=tasks&queue_column=q&queue=jbos RV203 'jobs' holds 1 that nobody reads; the queue is 'jbos'
	pgtable+postgresql://blind:p@$AT/app?table=documents RV408 permission denied
	pgtable+postgresql://blind:wrong@$AT/app?table=documents RV401 28P01
	pgtable+postgresql://reader:p@$AT/app?table=documents RV226 default_transaction_read_only is on
	CELLS
}

# The libraries, the table by which each is known, and the queue of its fixture.
LIBRARIES='river river_job jobs
oban oban_jobs jobs
solidqueue solid_queue_ready_executions jobs
pgmq meta Jobs
que que_lockers jobs
procrastinate procrastinate_workers jobs
goodjob good_jobs jobs
delayedjob delayed_jobs jobs
pgboss job jobs
graphile _private_jobs jobs'

# each_library FORMAT: a line of each, in which KIND, TABLE and QUEUE stand for
# its own, and SCHEMA for the key by which it has one.
each_library() {
	local kind table queue schema
	while read -r kind table queue; do
		schema=schema
		[ "$kind" != oban ] || schema=prefix
		sed "s/KIND/$kind/g; s/TABLE/$table/g; s/SCHEMA/$schema/g
		    s/QUEUE/$([ "$kind" = graphile ] && echo task || echo queue)=$queue/g
		    s/WRONG/$([ "$kind" = graphile ] && echo task || echo queue)=job_s/g" <<<"$1"
	done <<<"$LIBRARIES"
}

@test "job libraries: not migrated, and laid out by a version that isn't known" {
	each_library "KIND+${APP%app}bare?QUEUE RV209 has no table 'TABLE'" | cells
	sql 'CREATE DATABASE strange'
	while read -r kind table _; do
		sql "CREATE SCHEMA $kind; CREATE TABLE $kind.$table(other int)" strange
	done <<<"$LIBRARIES"
	each_library "KIND+${APP%app}strange?QUEUE&SCHEMA=KIND RV204 not the layout of" | cells
	sql 'DROP DATABASE strange'
}

@test "job libraries: queue, schema, database, role" {
	while read -r kind _; do
		case $kind in
		pgboss | graphile) node "$BATS_TEST_DIRNAME/pg_jobs.js" "$kind" fill "$APP" >/dev/null ;;
		*) sql "$(cat "$BATS_TEST_DIRNAME/pg_layouts/$kind.sql")" app >/dev/null ;;
		esac
	done <<<"$LIBRARIES"
	sql "GRANT USAGE ON SCHEMA public, pgmq, pgboss, graphile_worker TO blind" app
	each_library "KIND+$APP?WRONG RV20" | sed -E \
	    's/^((pgboss|graphile|pgmq).*) RV20$/\1 RV209 near: /; s/RV20$/RV203 that nobody reads/' | cells
	each_library "KIND+$PG_URL?QUEUE RV202 in database app" | cells
	each_library "KIND+$APP?QUEUE&SCHEMA=audit RV202 in schema" | cells
	each_library "KIND+postgresql://blind:p@$AT/app?QUEUE RV206 42501" | cells
	each_library "KIND+postgresql://reader:p@$AT/app?QUEUE RV226 default_transaction_read_only is on" | cells
}

@test "mysqltable: table, database, column, account, a replica, a value of its column" {
	start_mariadb
	my "CREATE TABLE documents(id int PRIMARY KEY, status varchar(20));
	CREATE TABLE tasks(id int PRIMARY KEY, status varchar(20), q varchar(20));
	INSERT INTO tasks VALUES (1, 'queued', 'jobs')" app
	my "CREATE DATABASE audit; CREATE TABLE audit.jobs(id int PRIMARY KEY, status varchar(20));
	GRANT SELECT ON audit.* TO jobs@'%'; CREATE USER blind@'%' IDENTIFIED BY 'p';
	GRANT INSERT ON app.documents TO blind@'%';
	CREATE USER all_of_it@'%' IDENTIFIED BY 'p'; GRANT SELECT ON *.* TO all_of_it@'%'"
	my=127.0.0.1:$MY_PORT
	cells <<-CELLS
	mysqltable+$MY_URL?table=document RV405 near: documents
	mysqltable+$MY_URL?table=jobs RV202 'jobs' is in database audit
	mysqltable+$MY_URL?table=documents&schema=audit RV202 'documents' is in database app
	mysqltable+mysql://all_of_it:p@$my/ap?table=documents RV202 near: 'app'
	mysqltable+${MY_URL%app}ap?table=documents RV408 near: 'app'
	mysqltable+$MY_URL?table=documents&status=state RV204 it has 'status'
	mysqltable+$MY_URL?table=tasks&queue_column=q&queue=jbos RV203 'jobs' holds 1 that nobody reads; the queue is 'jbos'
	mysqltable+mysql://blind:p@$my/app?table=documents RV408 1142
	mysqltable+mysql://blind:wrong@$my/app?table=documents RV401 1045
	CELLS
	run_ls "mysqltable+$MY_URL?table=documents"
	expect_status 0
	# by which RV202 knows one server by two names
	look observe "mysqltable+$MY_URL?table=documents"
	printf '%s\n' "$output" | tail -n 1 | jq -e --arg id "$(my 'SELECT @@server_uid')" \
	    '.queue.identity == $id + "/app"'
	my 'SET GLOBAL read_only = 1'
	cells <<<"mysqltable+$MY_URL?table=documents RV226 read_only is on"
}

@test "sqlitetable, sqlite: file, table, column, another's file, one that may not be written" {
	dir=$(mktemp -d "${TMPDIR:-/tmp}/reeve-wrong.XXXXXX")
	python3 - "$dir" <<-'PY'
	import sqlite3, sys
	db = sqlite3.connect(sys.argv[1] + "/jobs.db")
	db.execute("CREATE TABLE documents(id integer PRIMARY KEY, status text)")
	db.execute("CREATE TABLE tasks(id integer PRIMARY KEY, status text, q text)")
	db.execute("INSERT INTO tasks VALUES (1, 'queued', 'jobs')")
	db.commit()
	open(sys.argv[1] + "/text", "w").write("words " * 1000)
	PY
	RECEIPT='' look submit "sqlite://$dir/own.sqlite?queue=jobs&create=true" x
	[ "$(answer result)" = passed ]
	cells <<-CELLS
	sqlitetable+file://$dir/job.db?table=documents RV209 near: 'jobs.db'
	sqlitetable+file://$dir/nowhere/jobs.db?table=documents RV209 the folder '$dir/nowhere/': No such file
	sqlitetable+file://$dir/jobs.db?table=document RV209 near: documents
	sqlitetable+file://$dir/jobs.db?table=documents&status=state RV204 it has 'status'
	sqlitetable+file://$dir/jobs.db?table=tasks&queue_column=q&queue=jbos RV203 'jobs' holds 1 that nobody reads; the queue is 'jbos'
	sqlitetable+file://$dir/text?table=documents RV204 file is not a database
	sqlite://$dir/own.sqlit?queue=jobs RV209 near: 'own.sqlite'
	sqlite://$dir/own.sqlite?queue=jbos RV203 'jobs' holds 1 that nobody reads
	sqlite://$dir/jobs.db?queue=jobs RV209 without the tables of reeve's own queue
	CELLS
	# as somebody who may only read
	install -m 755 "$REEVE_TOOL" "$dir/reeve-tool"
	chmod 755 "$dir"
	chmod 444 "$dir/jobs.db"
	said=$(as_nobody "$dir/reeve-tool" diagnose "sqlitetable+file://$dir/jobs.db?table=documents" 2>&1) || :
	rm -r "$dir"
	[[ $said == *"ROOT CAUSE  RV226"*"may not be written by this user"* ]] || { printf '%s\n' "$said" >&2; false; }
}

# as_nobody COMMAND…: root may write everything.
as_nobody() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
	else
		"$@"
	fi
}
