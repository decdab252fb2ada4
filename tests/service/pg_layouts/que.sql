-- Schema fixture: the tables of Que's migrations 1 to 7 that are read, with the
-- index that it polls by. Then one job in each state; the sessions that hold
-- locks are the test's.
CREATE TABLE que_jobs(priority smallint NOT NULL DEFAULT 100,
  run_at timestamptz NOT NULL DEFAULT now(), id bigserial PRIMARY KEY,
  job_class text NOT NULL, error_count integer NOT NULL DEFAULT 0,
  last_error_message text, queue text NOT NULL DEFAULT 'default',
  last_error_backtrace text, finished_at timestamptz, expired_at timestamptz,
  args jsonb NOT NULL DEFAULT '[]', data jsonb NOT NULL DEFAULT '{}',
  job_schema_version integer NOT NULL, kwargs jsonb NOT NULL DEFAULT '{}');
CREATE INDEX ON que_jobs(job_schema_version, queue, priority, run_at, id)
  WHERE finished_at IS NULL AND expired_at IS NULL;
CREATE UNLOGGED TABLE que_lockers(pid integer PRIMARY KEY, worker_count integer NOT NULL,
  worker_priorities integer[] NOT NULL, ruby_pid integer NOT NULL,
  ruby_hostname text NOT NULL, queues text[] NOT NULL, listening boolean NOT NULL,
  job_schema_version integer DEFAULT 1);
INSERT INTO que_jobs(queue, job_class, args, run_at, error_count, last_error_message,
    finished_at, expired_at, job_schema_version) VALUES
  ('jobs', 'Sort', '[1]', now() - interval '90 s', 0, NULL, NULL, NULL, 2),
  ('jobs', 'Sort', '[2]', now() - interval '60 s', 3, 'busy', NULL, NULL, 2),
  ('jobs', 'Sort', '[3]', now(), 0, NULL, NULL, NULL, 2),
  ('jobs', 'Sort', '[4]', now(), 0, NULL, NULL, NULL, 2),
  ('jobs', 'Sort', '[]', now() + interval '1 h', 0, NULL, NULL, NULL, 2),
  ('jobs', 'Sort', '[]', now() + interval '1 h', 1, 'busy', NULL, NULL, 2),
  ('jobs', 'Sort', '[7]', now(), 15, 'no such file', NULL, now(), 2),
  ('jobs', 'Sort', '[]', now(), 0, NULL, now(), NULL, 2),
  ('others', 'Sort', '[]', now(), 0, NULL, NULL, NULL, 2);
