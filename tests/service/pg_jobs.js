// SPDX-License-Identifier: Apache-2.0
// Producers and workers of pg-boss, Graphile Worker and BullMQ 6, as those
// libraries' users write them: node pg_jobs.js LIBRARY DOING URL. A LIBRARY with a
// number is that version of it ("pgboss12", "graphile18"); DOING is fill, work,
// counts (pg-boss' and BullMQ's own), pause, hold (a job in hand, and die).
'use strict'

const [library, doing, url] = process.argv.slice(2)
const version = library.replace(/^[a-z]+/, '')
// the newer ones are modules, which NODE_PATH alone doesn't find
const load = (name) => import(require.resolve(`${name}${version}`))
const later = () => new Date(Date.now() + 3600 * 1000)

const pgboss = {
	async start (options) {
		// from 12 on a module that exports it by name
		const loaded = await load('pg-boss')
		const PgBoss = loaded.PgBoss || loaded.default
		const boss = new PgBoss({ connectionString: url, ...options })
		boss.on('error', (error) => console.error(error))
		await boss.start()
		return boss
	},
	// one job in each state, but three that wait and two that are delayed
	async fill () {
		const boss = await this.start({ supervise: false, schedule: false })
		await boss.createQueue('jobs-dead')
		await boss.createQueue('jobs', { deadLetter: 'jobs-dead' })
		for (const end of ['active', 'completed', 'failed']) {
			await boss.send('jobs', { end }, { retryLimit: 0 })
			const [job] = await boss.fetch('jobs')
			if (end === 'completed') await boss.complete('jobs', job.id)
			if (end === 'failed') await boss.fail('jobs', job.id, new Error('no such file'))
		}
		for (let i = 0; i < 3; i++) await boss.send('jobs', { i })
		for (let i = 0; i < 2; i++) await boss.send('jobs', { i }, { startAfter: later() })
		await boss.stop({ graceful: false })
	},
	async counts () {
		return version === '' ? this.counts10() : this.stats()
	},
	// from 11 on a queue's numbers are kept by its supervisor
	async stats () {
		const boss = await this.start({ supervise: false, schedule: false })
		await boss.supervise()
		// from 12 on a list of what was recorded
		const of = async (name) => [await boss.getQueueStats(name)].flat().at(-1)
		const jobs = await of('jobs')
		const dead = await of('jobs-dead')
		console.log(JSON.stringify({ waiting: jobs.queuedCount - jobs.deferredCount,
			delayed: jobs.deferredCount, active: jobs.activeCount,
			finished: jobs.totalCount - jobs.queuedCount - jobs.activeCount,
			dead: dead.queuedCount }))
		await boss.stop({ graceful: false })
	},
	async counts10 () {
		const boss = await this.start({ monitorStateIntervalSeconds: 1, schedule: false })
		const states = await new Promise((resolve) => {
			boss.on('monitor-states', (all) => all.queues.jobs && resolve(all))
		})
		console.log(JSON.stringify({ ...states.queues.jobs,
			waits: await boss.getQueueSize('jobs'), dead: await boss.getQueueSize('jobs-dead') }))
		await boss.stop({ graceful: false })
	},
	async work () {
		const boss = await this.start({ schedule: false })
		await boss.createQueue('jobs')
		await boss.work('jobs', { pollingIntervalSeconds: 0.5 }, async ([job]) => {
			console.log('works on', JSON.stringify(job.data))
			if (job.data.fail) throw new Error('told to fail')
		})
		console.log('ready')
	}
}

const graphile = {
	async fill () {
		const { makeWorkerUtils, runTaskListOnce } = await load('graphile-worker')
		const utils = await makeWorkerUtils({ connectionString: url })
		await utils.migrate()
		await utils.addJob('jobs', { end: 'failed' }, { maxAttempts: 1 })
		const pool = new (require('pg').Pool)({ connectionString: url })
		const client = await pool.connect()
		await runTaskListOnce({}, { jobs: async () => { throw new Error('no such file') } }, client)
		client.release()
		await pool.end()
		for (let i = 0; i < 3; i++) await utils.addJob('jobs', { i })
		for (let i = 0; i < 2; i++) await utils.addJob('jobs', { i }, { runAt: later() })
		await utils.addJob('others', {})
		await utils.release()
	},
	async work () {
		const { run } = await load('graphile-worker')
		await run({ connectionString: url, concurrency: 1, noHandleSignals: false,
			pollInterval: 500,
			taskList: { jobs: async (payload) => {
				console.log('works on', JSON.stringify(payload))
				if (payload.fail) throw new Error('told to fail')
				while (payload.block) await new Promise((resolve) => setTimeout(resolve, 1000))
			} } })
		console.log('ready')
	}
}

const bullmqpg = {
	async open (make) {
		const bullmq = require('bullmq6')
		bullmq.setDefaultBackendFactory(bullmq.createPostgresBackend)
		return make(bullmq, { connection: { connectionString: url, migrate: true } })
	},
	async queue (use) {
		const queue = await this.open(({ Queue }, options) => new Queue('jobs', options))
		await use(queue)
		await queue.close()
	},
	worker (work, options) {
		return this.open(({ Worker }, common) => new Worker('jobs', work, { ...common, ...options }))
	},
	// one completed and one failed, three that wait (one with a priority), two delayed
	async fill () {
		await this.queue(async (queue) => {
			await queue.add('a', { end: 'completed' })
			await queue.add('a', { end: 'failed' })
			const worker = await this.worker(async (job) => {
				if (job.data.end === 'failed') throw new Error('no such file')
			})
			while ((await queue.getJobCountByTypes('completed', 'failed')) < 2)
				await new Promise((resolve) => setTimeout(resolve, 20))
			await worker.close()
			for (let i = 0; i < 3; i++)
				await queue.add('a', { i }, i === 0 ? { priority: 5 } : { attempts: 3 })
			for (let i = 0; i < 2; i++) await queue.add('a', { i }, { delay: 3600 * 1000 })
		})
	},
	async counts () {
		await this.queue(async (queue) => console.log(JSON.stringify(await queue.getJobCounts())))
	},
	pause () { return this.queue((queue) => queue.pause()) },
	async hold () {
		await this.worker(() => {
			console.log('holds')
			return new Promise(() => {})
		}, { lockDuration: 1000, lockRenewTime: 3600 * 1000, skipStalledCheck: true })
	},
	async work () {
		const worker = await this.worker(async (job) => {
			console.log('works on', JSON.stringify(job.data))
			if (job.data.fail) throw new Error('told to fail')
		}, { name: 'w1', skipStalledCheck: true })
		await worker.waitUntilReady()
		console.log('ready')
	}
}

const run = { pgboss, graphile, bullmqpg }[library.replace(version, '')]
run[doing]().catch((error) => {
	console.error(error)
	process.exit(1)
})
