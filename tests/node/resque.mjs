// SPDX-License-Identifier: Apache-2.0
// resque.mjs PORT enqueue NAME…, resque.mjs PORT counts, or resque.mjs PORT work
// FILE: jobs `work` of the queue `jobs` by node-resque; the worker appends each name
// to FILE, `bad` fails, `block` never ends, `later` is for in an hour.
import fs from 'node:fs';
import { Queue, Worker } from 'node-resque';

const [port, what, ...rest] = process.argv.slice(2);
const connection = { pkg: 'ioredis', host: '127.0.0.1', port: Number(port), database: 0 };
const jobs = {
  work: {
    perform: async (name) => {
      if (name === 'bad') throw new Error('bad job');
      if (name === 'block') await new Promise((done) => setTimeout(done, 3600e3));
      fs.appendFileSync(rest[0], `${name}\n`);
    },
  },
};

if (what === 'enqueue') {
  const queue = new Queue({ connection }, jobs);
  await queue.connect();
  for (const name of rest) {
    if (name === 'later') await queue.enqueueIn(3600e3, 'jobs', 'work', [name]);
    else await queue.enqueue('jobs', 'work', [name]);
  }
  await queue.end();
} else if (what === 'counts') {
  const queue = new Queue({ connection }, jobs);
  await queue.connect();
  const working = Object.values(await queue.allWorkingOn());
  console.log(await queue.length('jobs'), working.filter((one) => one.queue === 'jobs').length,
    await queue.failedCount());
  await queue.end();
} else {
  const worker = new Worker({ connection, queues: ['jobs'], timeout: 100 }, jobs);
  worker.on('error', (error) => console.error(String(error)));
  await worker.connect();
  await worker.start();
}
