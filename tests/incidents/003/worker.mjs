// SPDX-License-Identifier: Apache-2.0
// The worker of incident 003: polls the table, acquires a lease by the procedure,
// writes the document's chunks and releases the lease. A document whose name has
// "corrupt" in it fails.
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.NODE_DIR}/`);
const { Client } = require('pg');
const me = `${process.env.REEVE_WORKER}/${process.env.REEVE_REPLICA}`;
const db = new Client({ connectionString: process.env.DATABASE_URL, application_name: 'audit-worker' });
let stopping = false;

process.on('SIGTERM', () => { stopping = true; });
await db.connect();
while (!stopping) {
	const { rows } = await db.query(`SELECT id, filename FROM documents
	    WHERE status IN ('queued', 'processing') ORDER BY updated_at`);
	for (const { id, filename } of rows) {
		const got = await db.query('SELECT acquire_document_lease($1, $2) AS it', [id, me]);
		if (!got.rows[0].it) continue;
		const bad = filename.includes('corrupt');
		if (!bad)
			await db.query('INSERT INTO chunks VALUES ($1, 0) ON CONFLICT DO NOTHING', [id]);
		await db.query('SELECT release_document_lease($1, $2, $3)',
		    [id, !bad, bad ? 'PdfReadError: EOF marker not found' : null]);
	}
	await new Promise((resolve) => setTimeout(resolve, 50));
}
await db.end();
