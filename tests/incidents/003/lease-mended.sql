-- SPDX-License-Identifier: Apache-2.0
-- The same as one statement, which takes over what has run out.
CREATE OR REPLACE FUNCTION acquire_document_lease(p_id text, p_worker text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
	UPDATE documents SET status = 'processing', lease_expires_at = now() + interval '5 minutes',
	    processing_attempts = processing_attempts + 1, worker_id = p_worker, updated_at = now()
	WHERE id = (SELECT id FROM documents WHERE id = p_id AND processing_attempts < max_retries
	    AND (status = 'queued' OR (status = 'processing' AND lease_expires_at < now()))
	    FOR UPDATE SKIP LOCKED);
	RETURN FOUND;
END $$;
