// SPDX-License-Identifier: Apache-2.0
// One thing done by BullMQ (bullmq4, bullmq5, bullmq6), Bull or Bee-Queue itself:
//
//     node bull.js LIB REDIS-URL QUEUE add JSON-OF-[{data, opts}, …]
//     node bull.js LIB REDIS-URL QUEUE counts | pause | resume | state ID
//     node bull.js LIB REDIS-URL QUEUE work
//
// With REDIS_CLUSTER=1 the URL is a cluster's, with REDIS_PREFIX the keys begin
// with that.
//
// A worker prints "ready", then "done ID" or "failed ID" for each job. A job
// whose data says {fail: true} fails, {block: true} never ends.
"use strict";

const [lib, url, name, action, arg] = process.argv.slice(2);
const at = new URL(url);
let connection = {
  host: at.hostname,
  port: Number(at.port),
  db: Number(at.pathname.slice(1) || 0),
  username: at.username || undefined,
  password: at.password || undefined,
  maxRetriesPerRequest: null,
};
// Of a cluster any node will do: the library's own client finds the others.
if (process.env.REDIS_CLUSTER) {
  const Redis = require("module").createRequire(require.resolve(lib))("ioredis");
  const cluster = new Redis.Cluster([{ host: at.hostname, port: Number(at.port) }], {
    redisOptions: { maxRetriesPerRequest: null },
  });
  connection = cluster;
}
const where = process.env.REDIS_PREFIX
  ? { connection, prefix: process.env.REDIS_PREFIX }
  : { connection };
const say = (...words) => process.stdout.write(words.join(" ") + "\n");

async function run(job) {
  if (job.data.block) await new Promise((_, no) => setTimeout(no, 3600e3));
  if (job.data.fail) throw new Error("told to fail");
  return job.data.echo === undefined ? "ok" : job.data.echo;
}

const bullmq = (mq) => ({
  queue: () => new mq.Queue(name, where),
  add: (q, j) => q.add(j.name || "job", j.data || {}, j.opts),
  counts: async (q) => ({ ...(await q.getJobCounts()), isPaused: await q.isPaused() }),
  state: async (q, id) => (await q.getJob(id)).getState(),
  work: async () => {
    const w = new mq.Worker(name, run, { ...where, concurrency: 2, name: "w-A" });
    w.on("completed", (j) => say("done", j.id));
    w.on("failed", (j) => say("failed", j.id));
    w.on("error", () => {});
    await w.waitUntilReady();
  },
});

const libraries = {
  bullmq4: () => bullmq(require("bullmq4")),
  bullmq5: () => bullmq(require("bullmq5")),
  bullmq6: () => bullmq(require("bullmq6")),
  bull: () => ({
    queue: () => new (require("bull"))(name, { redis: connection }),
    add: (q, j) => q.add(j.data || {}, j.opts),
    counts: async (q) => ({ ...(await q.getJobCounts()), isPaused: await q.isPaused() }),
    state: async (q, id) => (await q.getJob(id)).getState(),
    work: async (q) => {
      q.on("completed", (j) => say("done", j.id));
      q.on("failed", (j) => say("failed", j.id));
      q.process(2, run);
      await q.isReady();
    },
  }),
  bee: () => ({
    queue: () =>
      new (require("bee-queue"))(name, { redis: connection, activateDelayedJobs: true }),
    add: (q, j) => {
      const job = q.createJob(j.data || {});
      const opts = j.opts || {};
      if (opts.delay) job.delayUntil(Date.now() + opts.delay);
      if (opts.retries) job.retries(opts.retries);
      if (opts.backoff) job.backoff(...opts.backoff);
      return job.save();
    },
    counts: (q) => q.checkHealth(),
    state: async (q, id) => (await q.getJob(id)).status,
    work: async (q) => {
      q.on("succeeded", (j) => say("done", j.id));
      q.on("failed", (j) => say("failed", j.id));
      q.process(2, run);
      await q.ready();
    },
  }),
};

async function main() {
  const kind = libraries[lib]();
  if (action === "work" && lib.startsWith("bullmq")) {
    await kind.work();
    say("ready");
    return;
  }
  const q = kind.queue();
  if (action === "work") {
    await kind.work(q);
    say("ready");
    return;
  }
  if (action === "add") for (const job of JSON.parse(arg)) await kind.add(q, job);
  else if (action === "counts") say(JSON.stringify(await kind.counts(q)));
  else if (action === "state") say(await kind.state(q, arg));
  else await q[action]();
  await q.close();
  if (process.env.REDIS_CLUSTER) connection.disconnect();
}

main().catch((error) => {
  process.stderr.write(String(error.stack) + "\n");
  process.exit(1);
});
