-- Schema fixture: the tables of GoodJob 4 that are read. Then one job in each
-- state.
CREATE TABLE good_jobs(id uuid PRIMARY KEY DEFAULT gen_random_uuid(), queue_name text,
  priority integer, serialized_params jsonb, scheduled_at timestamp,
  performed_at timestamp, finished_at timestamp, error text,
  created_at timestamp NOT NULL, updated_at timestamp NOT NULL, active_job_id uuid,
  concurrency_key text, executions_count integer, job_class text, error_event smallint,
  locked_by_id uuid, locked_at timestamp, lock_type smallint);
CREATE TABLE good_job_processes(id uuid PRIMARY KEY, created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL, state jsonb, lock_type smallint);
INSERT INTO good_job_processes SELECT md5('a')::uuid, utc, utc, '{"hostname":"host-1","pid":11}'
  FROM timezone('UTC', now()) utc;
INSERT INTO good_jobs(queue_name, job_class, serialized_params, scheduled_at, performed_at,
    finished_at, error, executions_count, locked_by_id, created_at, updated_at)
  SELECT queue, 'Sort', params::jsonb, utc + scheduled::interval, utc + performed::interval,
    utc + finished::interval, error, count, md5(by)::uuid, utc, utc
  FROM timezone('UTC', now()) utc, (VALUES
  ('jobs', '{"n":1}', '-90 s', NULL, NULL, NULL, 0, NULL),
  ('jobs', '{"n":2}', '-60 s', NULL, NULL, 'busy', 3, NULL),
  ('jobs', '{}', '0', '0', NULL, NULL, 1, 'a'), ('jobs', '{}', '0', '0', NULL, NULL, 1, 'b'),
  ('jobs', '{}', '1 h', NULL, NULL, NULL, 0, NULL), ('jobs', '{}', '1 h', NULL, NULL, 'busy', 1, NULL),
  ('jobs', '{"n":7}', '0', '0', '0', 'no such file', 1, NULL),
  ('jobs', '{}', '0', '0', '0', NULL, 1, NULL), ('others', '{}', '0', NULL, NULL, NULL, 0, NULL))
  v(queue, params, scheduled, performed, finished, error, count, by);
