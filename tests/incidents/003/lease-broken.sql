-- SPDX-License-Identifier: Apache-2.0
-- acquire_document_lease as the report prints it: the lease's end is compared and
-- was never read, so that a lease that has run out is never taken over; and the
-- row is read by one statement and written by another, without a transaction
-- that holds it.
CREATE OR REPLACE FUNCTION acquire_document_lease(p_id text, p_worker text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
	attempts int; most int; state text; lease_expiry timestamptz;
BEGIN
	SELECT processing_attempts, max_retries, status INTO attempts, most, state
	FROM documents WHERE id = p_id;
	IF attempts < most AND (state = 'queued' OR (state = 'processing' AND lease_expiry < now())) THEN
		UPDATE documents SET status = 'processing', lease_expires_at = now() + interval '5 minutes',
		    processing_attempts = processing_attempts + 1, worker_id = p_worker, updated_at = now()
		WHERE id = p_id;
		RETURN true;
	END IF;
	RETURN false;
END $$;
