#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The worker's pipeline of incident 000: OCR by an endpoint, then the document's
# row. The job comes on stdin; what it needs comes from the environment, as the
# real worker had it.
set -eu
: "${VOYAGE_API_KEY:?panic: Required environment variable VOYAGE_API_KEY is not set}"
id=$(jq -re .id)
curl -fsS -o /dev/null --max-time 10 -X POST -d '{}' "$MAGEAGENT_URL/api/ocr"
psql -X -q -v ON_ERROR_STOP=1 -v id="$id" \
    -v worker="$REEVE_WORKER/$REEVE_REPLICA" "$DATABASE_URL" <<'SQL'
INSERT INTO documents(id, status, worker_id) VALUES (:'id', 'completed', :'worker')
ON CONFLICT (id) DO UPDATE SET status = 'completed', worker_id = excluded.worker_id;
SQL
