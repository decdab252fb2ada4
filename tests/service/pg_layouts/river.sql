-- Schema fixture: the tables of River's migrations 2 to 6 that are read, with
-- their indexes. Then one job in each state.
CREATE TYPE river_job_state AS ENUM ('available', 'cancelled', 'completed',
  'discarded', 'pending', 'retryable', 'running', 'scheduled');
CREATE TABLE river_job(id bigserial PRIMARY KEY,
  state river_job_state NOT NULL DEFAULT 'available',
  attempt smallint NOT NULL DEFAULT 0, max_attempts smallint NOT NULL,
  attempted_at timestamptz, created_at timestamptz NOT NULL DEFAULT now(),
  finalized_at timestamptz, scheduled_at timestamptz NOT NULL DEFAULT now(),
  priority smallint NOT NULL DEFAULT 1, args jsonb NOT NULL,
  attempted_by text[], errors jsonb[], kind text NOT NULL,
  metadata jsonb NOT NULL DEFAULT '{}', queue text NOT NULL DEFAULT 'default',
  tags varchar(255)[] NOT NULL DEFAULT '{}', unique_key bytea,
  unique_states bit(8),
  CHECK ((finalized_at IS NULL) = (state NOT IN ('cancelled', 'completed', 'discarded'))));
CREATE INDEX ON river_job(state, queue, priority, scheduled_at, id);
CREATE TABLE river_queue(name text PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT now(), metadata jsonb NOT NULL DEFAULT '{}',
  paused_at timestamptz, updated_at timestamptz NOT NULL);
INSERT INTO river_queue(name, updated_at) VALUES ('jobs', now() - interval '1 h');
INSERT INTO river_job(queue, kind, args, max_attempts, state, attempt, priority,
    scheduled_at, attempted_at, attempted_by, finalized_at, errors) VALUES
  ('jobs', 'sort', '{"n":1}', 25, 'available', 0, 1, now() - interval '60 s', NULL, NULL, NULL, NULL),
  ('jobs', 'sort', '{"n":2}', 25, 'available', 0, 4, now() - interval '90 s', NULL, NULL, NULL, NULL),
  ('jobs', 'sort', '{}', 25, 'running', 3, 1, now(), now(), '{host-1}', NULL, NULL),
  ('jobs', 'sort', '{}', 25, 'running', 1, 1, now(), now() - interval '2 h', '{host-2}', NULL, NULL),
  ('jobs', 'sort', '{}', 25, 'scheduled', 0, 1, now() + interval '1 h', NULL, NULL, NULL, NULL),
  ('jobs', 'sort', '{}', 25, 'retryable', 1, 1, now() + interval '1 h', now(), '{host-1}', NULL, NULL),
  ('jobs', 'sort', '{"n":7}', 1, 'discarded', 1, 1, now(), now(), '{host-1}', now(),
    ARRAY['{"error":"no such file"}'::jsonb]),
  ('jobs', 'sort', '{}', 25, 'completed', 1, 1, now(), now(), '{host-1}', now(), NULL),
  ('others', 'sort', '{}', 25, 'available', 0, 1, now(), NULL, NULL, NULL, NULL);
