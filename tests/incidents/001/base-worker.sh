#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Incident 001's BaseWorker: chunks, embeds, completes. With SILENT set it does
# what the report found: what fails on the way is swallowed, and the job is done.
set -u
id=$(jq -re .id) || exit 1
stage() {
	psql -X -q -v ON_ERROR_STOP=1 -v id="$id" -v by="$REEVE_WORKER/$REEVE_REPLICA" \
	    "$DATABASE_URL" && return 0
	[ -n "${SILENT:-}" ] || exit 1
}
stage <<'SQL'
INSERT INTO document_chunk_buffer SELECT :'id', n FROM generate_series(1, 3) n ON CONFLICT DO NOTHING;
SQL
stage <<'SQL'
INSERT INTO document_vector_buffer SELECT document_id, n FROM document_chunk_buffer WHERE document_id = :'id' ON CONFLICT DO NOTHING;
SQL
stage <<'SQL'
INSERT INTO documents(id, processing_status, processed_by) VALUES (:'id', 'complete', :'by')
ON CONFLICT (id) DO UPDATE SET processing_status = 'complete', processed_by = excluded.processed_by;
SQL
