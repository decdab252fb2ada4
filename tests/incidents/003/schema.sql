-- SPDX-License-Identifier: Apache-2.0
-- The documents of incident 003. Its server, SQL Server, can't be had here: what
-- matters of its columns and procedures is the same on PostgreSQL.
CREATE TABLE documents (
	id text PRIMARY KEY,
	filename text NOT NULL,
	status text NOT NULL DEFAULT 'queued',
	lease_expires_at timestamptz,
	processing_attempts int NOT NULL DEFAULT 0,
	max_retries int NOT NULL DEFAULT 3,
	worker_id text,
	error_message text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON documents (status, updated_at);
CREATE TABLE chunks (document_id text NOT NULL, n int NOT NULL, PRIMARY KEY (document_id, n));

CREATE FUNCTION release_document_lease(p_id text, p_success boolean, p_error text) RETURNS void
LANGUAGE sql AS $$
	UPDATE documents SET updated_at = now(), lease_expires_at = NULL, error_message = p_error,
	    status = CASE WHEN p_success THEN 'completed'
	        WHEN processing_attempts >= max_retries THEN 'failed' ELSE 'queued' END
	WHERE id = p_id;
$$;
