#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154
# beanstalkd: the real server, with Debian's Ruby client as producer and worker.

load ../lib
load queue_lib
load broker_lib

setup_file() {
	start_beanstalkd
}

# Every test has a tube of its own: they go when nobody uses them.
setup() {
	TUBE=jobs$BATS_TEST_NUMBER
	URL="$BEANSTALK_URL?tube=$TUBE"
}

# start_tube_worker: done, bad, dead… by the job's text.
start_tube_worker() {
	start_background beanstalk.worker ruby -r beaneater -e '
		$stdout.sync = true
		b = Beaneater.new(ARGV[0])
		b.tubes.watch!(ARGV[1])
		puts "ready"
		loop do
			job = b.tubes.reserve
			case job.body
			when /block/ then sleep 3600
			when /fail/ then job.bury
			else job.delete
			end
			puts "had #{job.id}"
		end' "127.0.0.1:$BEANSTALK_PORT" "$TUBE"
	wait_until grep -q ready "$BACKGROUND_LOG"
}

end_tube_worker() {
	kill_started "$BACKGROUND_PID"
	wait_until tube_is current_watching 0
}

# tube_stats KEY: as the client says it.
tube_stats() {
	beaneater 'puts((b.tubes[ARGV[0]].stats[ARGV[1]] rescue 0))' "$TUBE" "$1"
}

tube_is() {
	[ "$(tube_stats "$1")" = "$2" ]
}

put() {
	beaneater 'ARGV[1..].each { |t| puts b.tubes[ARGV[0]].put(t)[:id] }' "$TUBE" "$@"
}

# The client's counts are ours.
same_counts() {
	local ours
	run_ls "$URL"
	expect_status 0
	ours=$(printf '%s\n' "$output" | command jq -c '.queues[0] | [.waiting, .active, .delayed, .dead]')
	[ "$ours" = "[$(tube_stats current_jobs_ready),$(tube_stats current_jobs_reserved),$(tube_stats current_jobs_delayed),$(tube_stats current_jobs_buried)]" ]
}

@test "counts are the server's own in every state, and looking changes nothing" {
	same_counts
	field waiting 0
	field consumers 0
	field oldest_ms null
	put one two fail block
	start_tube_worker
	wait_until tube_is current_jobs_reserved 1
	wait_until tube_is current_jobs_buried 1
	same_counts
	field active 1
	field dead 1
	field waiting 0
	field consumers 1
	field completed 2
	end_tube_worker
	put one
	beaneater 'b.tubes[ARGV[0]].put("later", delay: 1000)' "$TUBE"
	same_counts
	field delayed 1
	field consumers 0
	before=$(beaneater 'p b.tubes[ARGV[0]].stats.to_h.reject { |k, _| k =~ /using/ }' "$TUBE")
	run "$REEVE_TOOL" diagnose "$URL"
	run "$REEVE_TOOL" queue peek "$URL"
	[ "$(beaneater 'p b.tubes[ARGV[0]].stats.to_h.reject { |k, _| k =~ /using/ }' "$TUBE")" = "$before" ]
	# a tube that only we had looked at is not there
	run_ls "$BEANSTALK_URL?tube=never-used"
	run "$REEVE_TOOL" queue peek "$BEANSTALK_URL?tube=never-used"
	beaneater 'p b.tubes.all.map(&:name)' | grep -vq never-used
}

@test "paused, age, and the tube that everybody watches" {
	put one
	run_ls "$URL"
	field quality.oldest_ms at-least
	field paused False
	beaneater 'b.tubes[ARGV[0]].pause(1000)' "$TUBE"
	[ "$(tube_stats pause_time_left)" -gt 0 ]
	run_ls "$URL"
	field paused True
	run "$REEVE_TOOL" diagnose "$URL"
	has RV228
	run_ls "$BEANSTALK_URL?tube=default"
	field consumers 0
	start_background producer ruby -r beaneater -e '
		b = Beaneater.new(ARGV[0]); b.tubes["elsewhere"].put("x"); sleep' "127.0.0.1:$BEANSTALK_PORT"
	wait_until producer_seen
	has "every connection watches"
	kill_started "$BACKGROUND_PID"
}

producer_seen() {
	run_ls "$BEANSTALK_URL?tube=default"
	field consumers null
}

canary_gone() {
	look follow "$URL" '{}'
	[ "$(fact state)" = gone ]
}

@test "a canary goes through the real worker; that it was deleted is all that is told" {
	look submit "$URL" '{"echo":"$(CANARY)"}'
	RECEIPT=$(fact receipt)
	look follow "$URL" '{}'
	[ "$(fact state)" = visible ]
	start_tube_worker
	wait_until canary_gone
	[ "$(fact "done")" = "" ]
	# it says so after the server has done it
	wait_until grep -q "had ${RECEIPT% *}" "$BACKGROUND_LOG"
	end_tube_worker
	look submit "$URL" 'fail'
	RECEIPT=$(fact receipt)
	start_tube_worker
	wait_until canary_is dead
	end_tube_worker
	look remove "$URL" '{}'
	[ "$(fact removed)" = yes ]
	look submit "$URL" 'block'
	RECEIPT=$(fact receipt)
	start_tube_worker
	wait_until canary_is taken
	look remove "$URL" '{}'
	[ "$(fact removed)" != yes ]
	end_tube_worker
}

@test "a wrong tube is named, and a name that can't be one" {
	TUBE=fileprocess-jobs put one two
	run_ls "$BEANSTALK_URL?tube=fileprocess_jobs"
	field near.0.name fileprocess-jobs
	field near.0.type 'beanstalk tube'
	field near.0.waiting 2
	run "$REEVE_TOOL" diagnose "$BEANSTALK_URL?tube=fileprocess_jobs"
	has RV203
	has fileprocess-jobs
	run_ls "$BEANSTALK_URL?tube=two%20words"
	expect_status 3
	has "can't be a tube"
	run_ls "beanstalk://u:hidden-word@127.0.0.1:$BEANSTALK_PORT?tube=t"
	expect_status 3
	has 'knows no logins'
	[[ $output$stderr != *hidden-word* ]]
}

@test "buried jobs are shown and kicked, each once" {
	start_tube_worker
	ids=$(put fail1 fail2 fail3 | xargs)
	wait_until tube_is current_jobs_buried 3
	end_tube_worker
	put fine
	list_jobs dead
	printf '%s\n' "$output" | tail -n 1 | command jq -e --arg ids "$ids" '.jobs |
	    (.items | map(.id)) == ($ids | split(" ")) and .total.value == 3 and
	    .items[0].payload == ("fail1" | @base64) and .items[0].attempts == 1'
	read -r first second third <<<"$ids"
	move_jobs dead "$first" "$third" 999999 x
	[ "$MOVED" = "[\"$first\",\"$third\"]" ]
	move_jobs dead "$first"
	[ "$MOVED" = '[]' ]
	same_counts
	field waiting 3
	field dead 1
	# a job of another tube isn't ours to move
	URL="$BEANSTALK_URL?tube=another"
	move_jobs dead "$second"
	[ "$MOVED" = '[]' ]
	URL="$BEANSTALK_URL?tube=$TUBE"
	run "$REEVE_TOOL" queue requeue "$URL" --yes --log "$BATS_TEST_TMPDIR/moves"
	expect_status 0
	same_counts
	field dead 0
	run "$REEVE_TOOL" queue reclaim "$URL" --yes --log "$BATS_TEST_TMPDIR/moves"
	expect_status 4
	has 'takes a job back when its time to run is over'
	run "$REEVE_TOOL" queue peek "$URL" --part active
	has 'which jobs are reserved'
}

# buried_and_ready BURIED READY
buried_and_ready() {
	[ "$(tube_stats current_jobs_buried)/$(tube_stats current_jobs_ready)" = "$1/$2" ]
}

@test "the connection ends before or after a kick: nothing is lost, and it says what it knows" {
	for how in before after garbage; do
		beaneater 'b.tubes[ARGV[0]].clear' "$TUBE"
		start_tube_worker
		put fail1 fail2 fail3
		wait_until tube_is current_jobs_buried 3
		end_tube_worker
		start_cut "$BEANSTALK_PORT" kick-job "$how"
		run --separate-stderr "$REEVE_TOOL" queue requeue "${URL/:$BEANSTALK_PORT/:$CUT_PORT}" --yes \
		    --log "$BATS_TEST_TMPDIR/moves.$how" --output json
		expect_status 3
		jq -e '.outcome == "unknown" and (.why | length > 10)' <<<"$output"
		[ "$(jq -rs 'map(.state) | join(" ")' "$BATS_TEST_TMPDIR/moves.$how")" = 'begun unknown' ]
		case $how in
		before) wait_until buried_and_ready 3 0 ;;
		*) wait_until buried_and_ready 2 1 ;;
		esac
		run "$REEVE_TOOL" queue requeue "$URL" --yes --log "$BATS_TEST_TMPDIR/moves.$how"
		expect_status 0
		buried_and_ready 0 3
	done
}

@test "a payload of any bytes and any length is shown by its beginning" {
	beaneater 'b.tubes[ARGV[0]].put("a" * 200_000 + "\r\nOK 3\r\n")' "$TUBE"
	beaneater 'b.tubes[ARGV[0]].put("\x00\xff\r\n")' "$TUBE"
	list_jobs waiting
	printf '%s\n' "$output" | tail -n 1 | command jq -e '.jobs.items |
	    (.[0] | .payload_bytes == 200008 and (.payload | length) < 6000) and
	    (.[1] | .payload_bytes == 4 and .payload == "AP8NCg==")'
}

@test "a server that drains, that starts anew, that dies, and one that is none" {
	start_beanstalkd
	URL="$BEANSTALK_URL?tube=jobs"
	look submit "$URL" 'x'
	RECEIPT=$(fact receipt)
	kill -USR1 "$BEANSTALK_PID"
	wait_until beaneater 'exit b.stats[:draining].to_s == "true"'
	look submit "$URL" 'x'
	[ "$(answer result)" != passed ]
	[[ $output = *DRAINING* ]]
	kill_started "$BEANSTALK_PID"
	run_ls "$URL"
	expect_status 3
	start_background "again" beanstalkd -l 127.0.0.1 -p "$BEANSTALK_PORT"
	wait_until port_listens "$BEANSTALK_PORT"
	look follow "$URL" '{}'
	[ "$(fact state)" = "" ]
	[[ $(fact detail) = *'started anew'* ]]
	start_redis
	run_ls "beanstalk://127.0.0.1:$REDIS_PORT?tube=jobs"
	expect_status 3
	has 'is no answer of beanstalkd'
}
