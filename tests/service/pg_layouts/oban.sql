-- Schema fixture: the tables of Oban's migrations 1 to 12 that are read, with
-- their index. Then one job in each state.
CREATE TYPE oban_job_state AS ENUM ('available', 'scheduled', 'executing',
  'retryable', 'completed', 'discarded', 'cancelled');
CREATE TABLE oban_jobs(id bigserial PRIMARY KEY,
  state oban_job_state NOT NULL DEFAULT 'available',
  queue text NOT NULL DEFAULT 'default', worker text NOT NULL,
  args jsonb NOT NULL DEFAULT '{}', errors jsonb[] NOT NULL DEFAULT '{}',
  attempt integer NOT NULL DEFAULT 0, max_attempts integer NOT NULL DEFAULT 20,
  inserted_at timestamp NOT NULL DEFAULT timezone('UTC', now()),
  scheduled_at timestamp NOT NULL DEFAULT timezone('UTC', now()),
  attempted_at timestamp, completed_at timestamp, attempted_by text[],
  discarded_at timestamp, priority integer NOT NULL DEFAULT 0,
  tags text[] DEFAULT '{}', meta jsonb DEFAULT '{}', cancelled_at timestamp);
CREATE INDEX ON oban_jobs(state, queue, priority, scheduled_at, id);
CREATE UNLOGGED TABLE oban_peers(name text PRIMARY KEY, node text NOT NULL,
  started_at timestamp NOT NULL, expires_at timestamp NOT NULL);
INSERT INTO oban_jobs(queue, worker, args, state, attempt, priority, scheduled_at,
    attempted_at, attempted_by, errors)
  SELECT 'jobs', 'App.Sort', args::jsonb, state::oban_job_state, attempt, priority,
    utc + scheduled::interval, utc + attempted::interval, by::text[], errors::jsonb[]
  FROM timezone('UTC', now()) utc, (VALUES
  ('{"n":1}', 'available', 0, 0, '-60 s', NULL, NULL, '{}'),
  ('{"n":2}', 'available', 0, 9, '-90 s', NULL, NULL, '{}'),
  ('{}', 'executing', 3, 0, '0', '0', '{host-1}', '{}'),
  ('{}', 'executing', 1, 0, '0', '-2 h', '{host-2}', '{}'),
  ('{}', 'scheduled', 0, 0, '1 h', NULL, NULL, '{}'),
  ('{}', 'retryable', 1, 0, '1 h', '0', NULL, '{}'),
  ('{"n":7}', 'discarded', 1, 0, '0', '0', NULL, '{"{\"error\":\"no such file\"}"}'),
  ('{}', 'completed', 1, 0, '0', '0', NULL, '{}'))
  v(args, state, attempt, priority, scheduled, attempted, by, errors);
INSERT INTO oban_jobs(queue, worker) VALUES ('others', 'App.Sort');
