-- Schema fixture: the tables that PGMQ 1 makes for the queue 'Jobs'. Then one
-- message in each state.
CREATE SCHEMA pgmq;
CREATE TABLE pgmq.meta(queue_name varchar UNIQUE NOT NULL,
  is_partitioned boolean NOT NULL, is_unlogged boolean NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE pgmq.q_jobs(msg_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  read_ct integer NOT NULL DEFAULT 0, enqueued_at timestamptz NOT NULL DEFAULT now(),
  vt timestamptz NOT NULL, message jsonb);
CREATE TABLE pgmq.a_jobs(msg_id bigint PRIMARY KEY, read_ct integer NOT NULL DEFAULT 0,
  enqueued_at timestamptz NOT NULL DEFAULT now(),
  archived_at timestamptz NOT NULL DEFAULT now(), vt timestamptz NOT NULL, message jsonb);
CREATE INDEX ON pgmq.q_jobs(vt);
INSERT INTO pgmq.meta VALUES ('Jobs', false, false), ('mail', false, false);
INSERT INTO pgmq.q_jobs(read_ct, enqueued_at, vt, message) VALUES
  (0, now() - interval '90 s', now() - interval '90 s', '{"n":1}'),
  (3, now() - interval '60 s', now() - interval '1 s', '{"n":2}'),
  (1, now(), now() + interval '1 h', '{}'), (1, now(), now() + interval '1 h', '{}'),
  (0, now(), now() + interval '1 h', '{}'), (0, now(), now() + interval '1 h', '{}');
INSERT INTO pgmq.a_jobs VALUES (100, 1, now(), now(), now(), '{}');
