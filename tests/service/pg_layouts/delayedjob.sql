-- Schema fixture: the table of Delayed Job 4. Then one job in each state; it
-- removes a job that succeeded.
CREATE TABLE delayed_jobs(id bigserial PRIMARY KEY, priority integer NOT NULL DEFAULT 0,
  attempts integer NOT NULL DEFAULT 0, handler text NOT NULL, last_error text,
  run_at timestamp, locked_at timestamp, failed_at timestamp, locked_by varchar,
  queue varchar, created_at timestamp, updated_at timestamp);
INSERT INTO delayed_jobs(queue, handler, attempts, last_error, run_at, locked_at, locked_by, failed_at)
  SELECT queue, '--- !ruby/struct:Sort ' || handler, attempts, error, utc + run::interval,
    utc + locked::interval, by, utc + failed::interval
  FROM timezone('UTC', now()) utc, (VALUES
  ('jobs', '{"n":1}', 0, NULL, '-90 s', NULL, NULL, NULL), ('jobs', '{"n":2}', 3, 'busy', '-60 s', NULL, NULL, NULL),
  ('jobs', '', 0, NULL, '0', '0', 'host:host-1 pid:11', NULL),
  ('jobs', '', 0, NULL, '0', '-5 h', 'host:host-1 pid:12', NULL),
  ('jobs', '', 0, NULL, '1 h', NULL, NULL, NULL), ('jobs', '', 1, 'busy', '1 h', NULL, NULL, NULL),
  ('jobs', '{"n":7}', 25, 'no such file', '0', NULL, NULL, '0'), ('others', '', 0, NULL, '0', NULL, NULL, NULL))
  v(queue, handler, attempts, error, run, locked, by, failed);
