-- SPDX-License-Identifier: Apache-2.0
-- The migration that "was properly executed": the buffer tables.
CREATE TABLE document_chunk_buffer (document_id text, n int, PRIMARY KEY (document_id, n));
CREATE TABLE document_vector_buffer (document_id text, n int, PRIMARY KEY (document_id, n));
INSERT INTO schema_migrations VALUES ('002');
