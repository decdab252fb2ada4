// SPDX-License-Identifier: Apache-2.0
// The storage workers of incident 004, on NATS JetStream.
//
//     node storage.mjs setup      what the router makes: streams and consumers
//     node storage.mjs router     setup, then routes each event by its size
//     node storage.mjs worker     takes from NATS_DURABLE_NAME, which it never makes
//     node storage.mjs send SUBJECT SIZE [ID]
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.NODE_DIR}/`);
const { connect } = require('nats');
const { Client } = require('pg');
const MAIN = 'P8FS_STORAGE_EVENTS';
const TIERS = { small: 100e6, medium: 1e9, large: Infinity };
const [command, ...args] = process.argv.slice(2);
const nc = await connect({ servers: new URL(process.env.P8FS_NATS_URL).host, name: process.env.WORKER_TIER ?? command });
const jsm = await nc.jetstreamManager({ checkAPI: false });
const js = nc.jetstream();
const durable = (name) => ({ durable_name: name, ack_policy: 'explicit', max_deliver: 5 });

async function tier(name) {
	await jsm.streams.add({ name: `${MAIN}_${name.toUpperCase()}`, subjects: [`p8fs.storage.events.${name}`], retention: 'workqueue' });
	await jsm.consumers.add(`${MAIN}_${name.toUpperCase()}`, durable(`${name}-workers`));
}

async function setup() {
	await jsm.streams.add({ name: MAIN, subjects: ['p8fs.storage.events'], retention: 'workqueue' });
	await jsm.consumers.add(MAIN, durable('router'));
	for (const name of Object.keys(TIERS)) await tier(name);
}

async function each(stream, consumer, work) {
	const c = await js.consumers.get(stream, consumer);
	process.on('SIGTERM', () => process.exit(0));
	for await (const m of await c.consume({ max_messages: 1, expires: 2000 })) {
		await work(m.string(), m.json());
		await m.ackAck();
	}
}

async function route(text, event) {
	const size = event.entry?.Size ?? event.size;
	const name = Object.keys(TIERS).find((t) => size < TIERS[t]);
	await js.publish(`p8fs.storage.events.${name}`, text);
}

async function work() {
	const db = new Client({ connectionString: process.env.P8FS_DATABASE_URL });
	const tierName = process.env.WORKER_TIER;
	await db.connect();
	await each(`${MAIN}_${tierName.toUpperCase()}`, process.env.NATS_DURABLE_NAME, (text, event) => db.query(
	    'INSERT INTO resources(id, tier, worker) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING',
	    [event.id, tierName, `${process.env.REEVE_WORKER}/${process.env.REEVE_REPLICA}`]));
}

if (command === 'setup') await setup();
else if (command === 'router') {
	await setup();
	await each(MAIN, 'router', route);
} else if (command === 'worker') await work();
else if (command === 'send')
	await js.publish(args[0], JSON.stringify({ id: args[2] ?? `upload-${args[1]}`, size: Number(args[1]) }));
else throw new Error(`no command ${command}`);
await nc.drain();
