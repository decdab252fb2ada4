#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Incident 002's content worker: pulls from Pub/Sub, validates, writes the request's
// row. FIELD is what this version of the code calls the request's id; the module of
// metrics is the dependency that was missing.
import { createRequire } from 'node:module';

const FIELD = 'correlation_id';
const require = createRequire(`${process.env.NODE_DIR}/`);
const { Client } = require('pg');
await import(`${process.env.APP}/monitoring_v3.mjs`);

const subscription = `${process.env.PUBSUB_URL}/v1/projects/vividly/subscriptions/${process.env.PUBSUB_SUBSCRIPTION}`;
const call = async (what, body) => (await fetch(`${subscription}:${what}`, {
	method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
})).json();
const db = new Client({ connectionString: process.env.DATABASE_URL });

process.on('SIGTERM', () => process.exit(0));
await db.connect();
console.log('worker started, no errors');
for (;;) {
	const { receivedMessages = [] } = await call('pull', { maxMessages: 1, returnImmediately: true });
	for (const { ackId, message } of receivedMessages) {
		const id = JSON.parse(Buffer.from(message.data, 'base64'))[FIELD];
		if (id === undefined) {
			console.log(`validation failed: no field ${FIELD}`);
			await call('acknowledge', { ackIds: [ackId] });
			continue;
		}
		await db.query('INSERT INTO content_requests(correlation_id, status, worker) VALUES ($1, $2, $3)',
		    [id, 'completed', `${process.env.REEVE_WORKER}/${process.env.REEVE_REPLICA}`]);
		await call('acknowledge', { ackIds: [ackId] });
	}
	if (receivedMessages.length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
}
