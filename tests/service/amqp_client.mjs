// SPDX-License-Identifier: Apache-2.0
// A client and a worker of RabbitMQ, by the library that most use on Node.js.
//
//     node amqp_client.mjs URL queue NAME ARGUMENTS-JSON
//     node amqp_client.mjs URL send QUEUE COUNT TEXT
//     node amqp_client.mjs URL work QUEUE PREFETCH ack|hold|reject
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';

const require = createRequire(`${process.env.NODE_DIR}/`);
const amqp = require('amqplib');
const [url, command, queue, ...args] = process.argv.slice(2);
const connection = await amqp.connect(url);
const channel = await connection.createConfirmChannel();

async function work(prefetch, how) {
	const seen = [];
	await channel.prefetch(Number(prefetch));
	await channel.consume(queue, (m) => {
		seen.push(m.content.toString());
		writeFileSync(process.env.SEEN, seen.join('\n') + '\n');
		if (how === 'ack') channel.ack(m);
		if (how === 'reject') channel.reject(m, false);
	});
}

if (command === 'work') {
	await work(...args);
} else {
	if (command === 'queue')
		await channel.assertQueue(queue, { arguments: JSON.parse(args[0]) });
	else if (command === 'send')
		for (let i = 0; i < Number(args[0]); i++)
			channel.sendToQueue(queue, Buffer.from(`${args[1]}${i}`));
	else
		throw new Error(`no command ${command}`);
	await channel.waitForConfirms();
	await connection.close();
}
