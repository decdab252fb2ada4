// SPDX-License-Identifier: Apache-2.0
// A producer as that of incident 003, with clients that others wrote:
//
//     node documents.cjs REDIS-URL POSTGRES-URL list|bullmq send-first|commit-first
//
// Again and again a row of `documents` and the job that refers to it, of the
// list `documents` or of BullMQ's queue of that name: the job is sent within the
// row's transaction, 300 ms before the commit, or after it. The next one follows at
// once. Prints "sent ID" when the job is there, and "committed ID".
'use strict'

const { createRequire } = require('module')
const { randomUUID } = require('crypto')
const bullmq = require('bullmq5')
const Redis = createRequire(require.resolve('bullmq5'))('ioredis')
const { Client } = require('pg')

const [redisUrl, postgresUrl, kind, order] = process.argv.slice(2)
const say = (...words) => process.stdout.write(words.join(' ') + '\n')
const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function main () {
	const database = new Client({ connectionString: postgresUrl })
	await database.connect()
	const redis = new Redis(redisUrl, { maxRetriesPerRequest: null })
	const queue = kind === 'bullmq' && new bullmq.Queue('documents', { connection: redis })
	const send = async (id) => {
		const job = { v: 1, document: { id } }
		if (queue) await queue.add('ocr', job)
		else await redis.lpush('documents', JSON.stringify(job))
		say('sent', id)
	}
	for (;;) {
		const id = randomUUID()
		await database.query('BEGIN')
		await database.query('INSERT INTO documents (id, status) VALUES ($1, $2)', [id, 'queued'])
		if (order === 'send-first') await send(id)
		await rest(300)
		await database.query('COMMIT')
		say('committed', id)
		if (order !== 'send-first') await send(id)
	}
}

main().catch((error) => { console.error(error); process.exit(1) })
