-- Schema fixture: the tables of Procrastinate 3 that are read, with the trigger
-- that writes events. Then one job in each state.
CREATE TYPE procrastinate_job_status AS ENUM ('todo', 'doing', 'succeeded',
  'failed', 'cancelled', 'aborting', 'aborted');
CREATE TABLE procrastinate_workers(id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  last_heartbeat timestamptz NOT NULL DEFAULT now());
CREATE TABLE procrastinate_jobs(id bigserial PRIMARY KEY, queue_name varchar(128) NOT NULL,
  task_name varchar(128) NOT NULL, priority integer NOT NULL DEFAULT 0, lock text,
  queueing_lock text, args jsonb NOT NULL DEFAULT '{}',
  status procrastinate_job_status NOT NULL DEFAULT 'todo', scheduled_at timestamptz,
  attempts integer NOT NULL DEFAULT 0, abort_requested boolean NOT NULL DEFAULT false,
  worker_id bigint REFERENCES procrastinate_workers ON DELETE SET NULL);
CREATE INDEX ON procrastinate_jobs(queue_name);
CREATE TABLE procrastinate_events(id bigserial PRIMARY KEY,
  job_id bigint NOT NULL REFERENCES procrastinate_jobs ON DELETE CASCADE,
  type text, at timestamptz DEFAULT now());
CREATE INDEX ON procrastinate_events(job_id);
CREATE FUNCTION deferred() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO procrastinate_events(job_id, type) VALUES (NEW.id, ''deferred''); RETURN NEW; END';
CREATE TRIGGER deferred AFTER INSERT ON procrastinate_jobs FOR EACH ROW EXECUTE FUNCTION deferred();
-- the first is alive however long the test takes
INSERT INTO procrastinate_workers(last_heartbeat) VALUES (now() + interval '1 h'), (now() - interval '1 h');
INSERT INTO procrastinate_jobs(queue_name, task_name, args, status, scheduled_at, attempts, worker_id) VALUES
  ('jobs', 'sort', '{"n":1}', 'todo', NULL, 0, NULL), ('jobs', 'sort', '{"n":2}', 'todo', NULL, 3, NULL),
  ('jobs', 'sort', '{}', 'doing', NULL, 1, 1), ('jobs', 'sort', '{}', 'doing', NULL, 1, 2),
  ('jobs', 'sort', '{}', 'todo', now() + interval '1 h', 0, NULL),
  ('jobs', 'sort', '{}', 'todo', now() + interval '1 h', 1, NULL),
  ('jobs', 'sort', '{"n":7}', 'failed', NULL, 1, 1), ('jobs', 'sort', '{}', 'succeeded', NULL, 1, 1),
  ('others', 'sort', '{}', 'todo', NULL, 0, NULL);
UPDATE procrastinate_events SET at = now() - interval '90 s' WHERE job_id = 1;
