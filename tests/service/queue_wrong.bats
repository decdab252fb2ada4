#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031,SC2154
# What people get wrong about a queue, kind by kind: the wrong database, key,
# user or name. Each is a finding of its own that names the nearest real thing.

load ../lib
load queue_lib

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	for _ in $(seq "$(grep -c . <<<"$KINDS")"); do
		start_redis
		redis ACL SETUSER looker on '>looker-password' '~other*' '+@all' >/dev/null
		printf '%s\n' "$REDIS_PORT" >>"$BATS_FILE_TMPDIR/kinds"
	done
}

setup() {
	mapfile -t PORTS <"$BATS_FILE_TMPDIR/kinds"
}

# The kinds on Redis: the keys of each's URL behind the name of its queue, the
# key that a queue "jobs" has, and what puts a job there.
KINDS='
redis|list=NAME|jobs|LPUSH jobs x
redisstream|stream=NAME&group=g|jobs|XGROUP CREATE jobs g 0 MKSTREAM
bullmq|queue=NAME|bull:jobs:wait|HSET bull:jobs:meta a b
bull|queue=NAME|bull:jobs:wait|SET bull:jobs:id 1
bee|queue=NAME|bq:jobs:waiting|HSET bq:jobs:jobs 1 x
rq|queue=NAME|rq:queue:jobs|LPUSH rq:queue:jobs x
celery|queue=NAME|jobs|LPUSH jobs x
sidekiq|queue=NAME|queue:jobs|LPUSH queue:jobs x
resque|queue=NAME|resque:queue:jobs|LPUSH resque:queue:jobs x
'

# each FUNCTION: called with KIND, KEY and MAKE (an array) set; the kinds at the
# same time, each on a server of its own.
each() {
	local line options n=0 pids=() failed=0
	while IFS= read -r line; do
		[ -n "$line" ] || continue
		IFS='|' read -r KIND options KEY MAKE <<<"$line"
		OPTIONS=$options
		read -ra MAKE <<<"$MAKE"
		REDIS_PORT=${PORTS[n]}
		n=$((n + 1))
		(
			redis FLUSHALL >/dev/null
			"$1" || {
				printf 'kind %s\n%s\n' "$KIND" "$output" >&2
				exit 1
			}
		) 3>&- 4>&- &
		pids+=("$!")
	done <<<"$KINDS"
	for line in "${pids[@]}"; do wait "$line" || failed=1; done
	return "$failed"
}

# url NAME [DB [USER]]: of the queue NAME of that kind.
url() {
	local scheme=$KIND+redis
	[ "$KIND" != redis ] || scheme=redis
	printf '%s://%s127.0.0.1:%s/%s?%s' "$scheme" "${3:-}" "$REDIS_PORT" "${2:-0}" \
	    "${OPTIONS/NAME/$1}"
}

# answered FILTER: of the last look.
answered() {
	printf '%s\n' "$output" | tail -n 1 | jq -e "$1" >/dev/null
}

in_another_database() {
	redis -n 1 "${MAKE[@]}" >/dev/null
	case $KIND in bee | bull*) redis -n 1 LPUSH "$KEY" 1 >/dev/null ;; esac
	look observe "$(url jobs)"
	answered '.queue.near[0] | .name == "jobs" and .where == "db 1"' || return 1
	run "$REEVE_TOOL" diagnose "$(url jobs)"
	case $KIND in
	redisstream) has "'jobs' is in db 1" ;;
	*) has "'jobs' holds 1 waiting in db 1" ;;
	esac
	has 'ROOT CAUSE  RV202'
}

@test "Redis: the queue is in another database" {
	each in_another_database
}

out_of_range() {
	redis -n 1 "${MAKE[@]}" >/dev/null
	run "$REEVE_TOOL" diagnose "$(url jobs 99)"
	has 'ROOT CAUSE  RV202' && has 'select db 99 (keys are in db1): ERR DB index is out of range'
}

@test "Redis: a database that the server doesn't have; those with keys are named" {
	each out_of_range
}

misspelt() {
	redis "${MAKE[@]}" >/dev/null
	case $KIND in # what some libraries keep beside the list
	rq) redis SADD rq:queues rq:queue:jobs ;;
	sidekiq) redis SADD queues jobs ;;
	resque) redis SADD resque:queues jobs ;;
	esac >/dev/null
	look observe "$(url jbos)"
	answered '.queue.near | any(.name == "jobs" and .where == "")'
}

@test "Redis: another name, the real one is near" {
	each misspelt
}

another_type() {
	redis SET "$KEY" text >/dev/null
	look observe "$(url jobs)"
	answered '.result == "failed" and .cause == "wrong-type" and .code == "WRONGTYPE"' || return 1
	run "$REEVE_TOOL" diagnose "$(url jobs)"
	has RV204 && has "'$KEY' is a string, not a $([ "$KIND" = redisstream ] && echo stream || echo list)"
}

@test "Redis: a key of another type is another protocol: the key and its type are named" {
	each another_type
}

# Where each keeps what is dead: 'redis' where it is declared.
foreign_dead() {
	local key dead=dead
	case $KIND in
	redis) key=letters OPTIONS+='&dlq=letters' ;;
	redisstream) return 0 ;; # a stream of its own
	bee) key=bq:jobs:failed ;;
	bull*) key=bull:jobs:failed ;;
	rq) key=rq:failed:jobs ;;
	celery) key=unacked dead=expired ;;
	sidekiq) key=dead ;;
	resque) key=resque:failed ;;
	esac
	redis "${MAKE[@]}" >/dev/null
	redis SET "$key" text >/dev/null
	run "$REEVE_TOOL" diagnose "$(url jobs)"
	has 'ROOT CAUSE  RV204' && has "'$key' is a string, not a" || return 1
	[ "$KIND" != celery ] || redis ZADD unacked_index 1 tag >/dev/null
	run "$REEVE_TOOL" queue peek "$(url jobs)" --part "$dead"
	expect_status 3 && has "'$key' is a string, not a" && lacks Operation || return 1
	redis SET "$KEY" text >/dev/null
	run "$REEVE_TOOL" queue peek "$(url jobs)"
	expect_status 3 && has "'$KEY' is a string, not a list" && lacks Operation
}

@test "Redis: any other key of the layout that is of another type is named too, also by peek" {
	each foreign_dead
}

other_prefix() {
	case $KIND in
	bull*) redis HSET app:jobs:meta a b && redis SET app:jobs:id 1 && redis LPUSH app:jobs:wait 1 ;;
	bee) redis HSET app:jobs:jobs 1 x && redis LPUSH app:jobs:waiting 1 ;;
	resque) redis LPUSH app:queue:jobs x ;;
	*) return 0 ;; # no prefix, or none that tells
	esac >/dev/null
	run "$REEVE_TOOL" diagnose "$(url jobs)"
	has 'ROOT CAUSE  RV223' && has "'jobs' holds 1 waiting in prefix app"
}

@test "Redis: another prefix or namespace" {
	each other_prefix
}

not_permitted() {
	redis "${MAKE[@]}" >/dev/null
	look observe "$(url jobs 0 looker:looker-password@)"
	answered '.result == "failed" and .cause == "permission" and .code == "NOPERM"' || return 1
	lacks looker-password || return 1
	run "$REEVE_TOOL" diagnose "$(url jobs 0 looker:looker-password@)"
	has 'ROOT CAUSE  RV206' && has NOPERM || return 1
	run "$REEVE_TOOL" diagnose "$(url jobs 0 looker:wrong-password@)"
	has 'ROOT CAUSE  RV206' && has WRONGPASS && lacks wrong-password
}

@test "Redis: a user without the keys, and one that isn't let in" {
	each not_permitted
}

read_only() {
	redis "${MAKE[@]}" >/dev/null
	redis REPLICAOF 127.0.0.1 1 >/dev/null
	run "$REEVE_TOOL" diagnose "$(url jobs)"
	has 'ROOT CAUSE  RV226' && has role:slave || return 1
	look observe "$(url jobs)"
	redis REPLICAOF NO ONE >/dev/null
	answered '.queue.read_only | .is == "yes" and (.why | contains("role:slave"))'
}

@test "Redis: a replica takes no jobs" {
	each read_only
}

@test "by a URL alone: the evidence names no manifest, and how to look again is this URL" {
	local url
	url="redis://127.0.0.1:$(free_port)/0?list=jobs"
	run "$REEVE_TOOL" diagnose "$url"
	[ "$status" -eq 1 ]
	[[ "$output" == *"RV131"*"ladder: TCP failed"* ]]
	[[ "$output" == *"verify      reeve diagnose '$url'"* ]]
	[[ "$output" != *declared* ]]
	[[ "$output" != *asked* ]]
}
