// SPDX-License-Identifier: Apache-2.0
// A client and a worker of NATS JetStream, by the project's own library: what
// reeve says is compared with what it says.
//
//     node nats_client.mjs URL stream NAME CONFIG-JSON
//     node nats_client.mjs URL consumer STREAM NAME CONFIG-JSON
//     node nats_client.mjs URL publish SUBJECT COUNT TEXT
//     node nats_client.mjs URL fill STREAM SUBJECT COUNT
//     node nats_client.mjs URL counts STREAM CONSUMER
//     node nats_client.mjs URL work STREAM CONSUMER ack|hold|nak
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';

const require = createRequire(`${process.env.NODE_DIR}/`);
const { connect, headers } = require('nats');
const [url, command, ...args] = process.argv.slice(2);
const at = new URL(url);
const nc = await connect({
	servers: at.host,
	user: at.username || undefined,
	pass: at.password || undefined,
	name: `client ${command}`,
	tls: process.env.NATS_CA ? { caFile: process.env.NATS_CA } : undefined,
});
const jsm = await nc.jetstreamManager({ checkAPI: false });

async function counts(stream, consumer) {
	const c = await jsm.consumers.info(stream, consumer);
	const s = await jsm.streams.info(stream);
	console.log(JSON.stringify({
		messages: s.state.messages,
		waiting: c.num_pending,
		active: c.num_ack_pending,
		redelivered: c.num_redelivered,
		pulls: c.num_waiting,
	}));
}

// Takes all the time, and says in $SEEN what it took.
async function work(stream, consumer, how) {
	const c = await nc.jetstream().consumers.get(stream, consumer);
	const messages = await c.consume({ max_messages: 10, expires: 2000 });
	const seen = [];
	for await (const m of messages) {
		seen.push(m.string());
		writeFileSync(process.env.SEEN, seen.join('\n') + '\n');
		if (how === 'ack') m.ack();
		if (how === 'nak') m.nak();
	}
}

// Many at once: nobody waits for each to be stored, only for all.
async function fill(stream, subject, count) {
	const payload = new Uint8Array(16);
	for (let i = 1; i <= count; i++) {
		nc.publish(subject, payload);
		if (i % 10000 === 0) await nc.flush();
	}
	await nc.flush();
	while ((await jsm.streams.info(stream)).state.messages < count)
		await new Promise((resolve) => setTimeout(resolve, 100));
}

if (command === 'stream')
	await jsm.streams.add({ name: args[0], ...JSON.parse(args[1]) });
else if (command === 'consumer')
	await jsm.consumers.add(args[0], {
		durable_name: args[1], ack_policy: 'explicit', ...JSON.parse(args[2]),
	});
else if (command === 'publish')
	for (let i = 0; i < Number(args[1]); i++)
		await nc.jetstream().publish(args[0], `${args[2]}${i}`, {
			headers: (() => { const h = headers(); h.set('Trace', `t${i}`); return h; })(),
		});
else if (command === 'fill')
	await fill(args[0], args[1], Number(args[2]));
else if (command === 'counts')
	await counts(args[0], args[1]);
else if (command === 'work')
	await work(...args);
else
	throw new Error(`no command ${command}`);
await nc.drain();
