// SPDX-License-Identifier: Apache-2.0
// A client and a worker of RabbitMQ, by the library that most use on Node.js.
//
//     node amqp_client.mjs URL queue NAME ARGUMENTS-JSON
//     node amqp_client.mjs URL send QUEUE COUNT TEXT [OPTIONS-JSON]
//     node amqp_client.mjs URL drain QUEUE      a line of JSON for each message
//     node amqp_client.mjs URL exchange NAME QUEUE KEY
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
			channel.sendToQueue(queue, Buffer.from(`${args[1]}${i}`),
				JSON.parse(args[2] ?? '{}'));
	else if (command === 'drain')
		for (let m; (m = await channel.get(queue, { noAck: true })); )
			console.log(JSON.stringify({ body: m.content.toString(),
				...m.properties, redelivered: m.fields.redelivered }));
	else if (command === 'exchange') {
		await channel.assertExchange(queue, 'direct');
		await channel.bindQueue(args[0], queue, args[1]);
	}
	else
		throw new Error(`no command ${command}`);
	await channel.waitForConfirms();
	await connection.close();
}
