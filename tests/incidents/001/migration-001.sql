-- SPDX-License-Identifier: Apache-2.0
-- Incident 001's database before the refactoring.
CREATE TABLE schema_migrations (version text PRIMARY KEY);
INSERT INTO schema_migrations VALUES ('001');
CREATE TABLE upload_jobs (
	id text PRIMARY KEY,
	status text NOT NULL DEFAULT 'uploaded',
	lease timestamptz,
	attempts int NOT NULL DEFAULT 0,
	owner text,
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE documents (
	id text PRIMARY KEY,
	processing_status text NOT NULL DEFAULT '',
	processed_by text,
	created_at timestamptz NOT NULL DEFAULT now()
);
