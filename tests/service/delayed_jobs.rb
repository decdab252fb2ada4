# SPDX-License-Identifier: Apache-2.0
# A producer and a worker of Delayed Job, as its users write them:
# ruby delayed_jobs.rb URL fill|counts|block|work
require "active_record"
require "delayed_job_active_record"

url, doing = ARGV
ActiveRecord::Base.establish_connection(url)
ActiveRecord::Base.default_timezone = :utc
Delayed::Worker.destroy_failed_jobs = false
Delayed::Worker.max_attempts = 1
Delayed::Worker.sleep_delay = 0.5

Sort = Struct.new(:file) do
  def perform
    raise "no such file" if file == "bad"
    sleep if file == "block"
    puts "works on #{file}"
    $stdout.flush
  end
end

def mine
  Delayed::Job.where(queue: "jobs")
end

case doing
when "fill"
  # as its generator writes the migration
  ActiveRecord::Schema.verbose = false
  ActiveRecord::Schema.define do
    create_table :delayed_jobs do |t|
      t.integer :priority, default: 0, null: false
      t.integer :attempts, default: 0, null: false
      t.text :handler, null: false
      t.text :last_error
      t.datetime :run_at
      t.datetime :locked_at
      t.datetime :failed_at
      t.string :locked_by
      t.string :queue
      t.timestamps null: true
    end
    add_index :delayed_jobs, [:priority, :run_at], name: "delayed_jobs_priority"
  end
  Delayed::Job.enqueue(Sort.new("bad"), queue: "jobs")
  Delayed::Worker.new(queues: ["jobs"], quiet: true).work_off(1)
  3.times { |i| Delayed::Job.enqueue(Sort.new("file#{i}"), queue: "jobs") }
  2.times { Delayed::Job.enqueue(Sort.new("later"), queue: "jobs", run_at: Time.now.utc + 3600) }
  Delayed::Job.enqueue(Sort.new("other"), queue: "others")
when "counts"
  now = Time.now.utc
  free = mine.where(failed_at: nil, locked_at: nil)
  puts [free.where("run_at <= ?", now).count, free.where("run_at > ?", now).count,
        mine.where.not(locked_at: nil).where(failed_at: nil).count,
        mine.where.not(failed_at: nil).count].join(" ")
when "block"
  Delayed::Job.enqueue(Sort.new("block"), queue: "jobs")
when "work"
  puts "ready"
  $stdout.flush
  Delayed::Worker.new(queues: ["jobs"], quiet: true).start
end
