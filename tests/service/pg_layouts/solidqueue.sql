-- Schema fixture: the tables of Solid Queue 1 that are read. Then one job in
-- each state.
CREATE TABLE solid_queue_jobs(id bigserial PRIMARY KEY, queue_name varchar NOT NULL,
  class_name varchar NOT NULL, arguments text, priority integer NOT NULL DEFAULT 0,
  active_job_id varchar, scheduled_at timestamp, finished_at timestamp,
  concurrency_key varchar, created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
CREATE INDEX ON solid_queue_jobs(queue_name, finished_at);
CREATE TABLE solid_queue_ready_executions(id bigserial PRIMARY KEY,
  job_id bigint NOT NULL UNIQUE REFERENCES solid_queue_jobs ON DELETE CASCADE,
  queue_name varchar NOT NULL, priority integer NOT NULL DEFAULT 0,
  created_at timestamp NOT NULL);
CREATE INDEX ON solid_queue_ready_executions(queue_name, priority, job_id);
CREATE TABLE solid_queue_claimed_executions(id bigserial PRIMARY KEY,
  job_id bigint NOT NULL UNIQUE REFERENCES solid_queue_jobs ON DELETE CASCADE,
  process_id bigint, created_at timestamp NOT NULL);
CREATE TABLE solid_queue_scheduled_executions(id bigserial PRIMARY KEY,
  job_id bigint NOT NULL UNIQUE REFERENCES solid_queue_jobs ON DELETE CASCADE,
  queue_name varchar NOT NULL, priority integer NOT NULL DEFAULT 0,
  scheduled_at timestamp NOT NULL, created_at timestamp NOT NULL);
CREATE TABLE solid_queue_blocked_executions(id bigserial PRIMARY KEY,
  job_id bigint NOT NULL UNIQUE REFERENCES solid_queue_jobs ON DELETE CASCADE,
  queue_name varchar NOT NULL, priority integer NOT NULL DEFAULT 0,
  concurrency_key varchar NOT NULL, expires_at timestamp NOT NULL,
  created_at timestamp NOT NULL);
CREATE TABLE solid_queue_failed_executions(id bigserial PRIMARY KEY,
  job_id bigint NOT NULL UNIQUE REFERENCES solid_queue_jobs ON DELETE CASCADE,
  error text, created_at timestamp NOT NULL);
CREATE TABLE solid_queue_pauses(id bigserial PRIMARY KEY,
  queue_name varchar NOT NULL UNIQUE, created_at timestamp NOT NULL);
CREATE TABLE solid_queue_processes(id bigserial PRIMARY KEY, kind varchar NOT NULL,
  last_heartbeat_at timestamp NOT NULL, supervisor_id bigint, pid integer NOT NULL,
  hostname varchar, metadata text, created_at timestamp NOT NULL, name varchar NOT NULL);
INSERT INTO solid_queue_jobs(queue_name, class_name, arguments, finished_at, created_at, updated_at)
  SELECT CASE WHEN n < 9 THEN 'jobs' ELSE 'others' END, 'Sort', '{"n":' || n || '}',
    CASE WHEN n = 8 THEN utc END, utc - interval '90 s', utc
  FROM generate_series(1, 9) n, timezone('UTC', now()) utc;
INSERT INTO solid_queue_ready_executions(job_id, queue_name, created_at)
  SELECT id, queue_name, timezone('UTC', now()) - interval '90 s' FROM solid_queue_jobs
  WHERE id IN (1, 2, 9);
INSERT INTO solid_queue_processes(kind, last_heartbeat_at, pid, hostname, metadata, created_at, name)
  SELECT 'Worker', utc - ago::interval, pid, 'host-1', metadata, utc, 'w' || pid
  FROM timezone('UTC', now()) utc, (VALUES ('5 s', 11, '{"queues":"mail,jo*"}'),
    ('5 s', 12, '{"queues":"mail"}'), ('1 h', 13, '{"queues":"*"}')) v(ago, pid, metadata);
INSERT INTO solid_queue_claimed_executions(job_id, process_id, created_at)
  VALUES (3, 1, timezone('UTC', now())), (4, 3, timezone('UTC', now()));
INSERT INTO solid_queue_scheduled_executions(job_id, queue_name, scheduled_at, created_at)
  SELECT 5, 'jobs', utc + interval '1 h', utc FROM timezone('UTC', now()) utc;
INSERT INTO solid_queue_blocked_executions(job_id, queue_name, concurrency_key, expires_at, created_at)
  SELECT 6, 'jobs', 'one at a time', utc + interval '1 h', utc FROM timezone('UTC', now()) utc;
INSERT INTO solid_queue_failed_executions(job_id, error, created_at)
  VALUES (7, 'no such file', timezone('UTC', now()));
INSERT INTO solid_queue_pauses(queue_name, created_at) VALUES ('others', timezone('UTC', now()));
