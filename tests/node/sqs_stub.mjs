// SPDX-License-Identifier: Apache-2.0
// sqs_stub.mjs PORT: a STUB of Amazon SQS, for what the one that others wrote
// (sqs_server.mjs) lacks, signatures and refusals above all: the JSON protocol of
// its API reference for the actions that reeve uses. Each request is signed anew
// by a client that others wrote, and refused as SQS does when the signature differs.
import http from 'node:http';
import { randomUUID } from 'node:crypto';
import { AwsV4Signer } from 'aws4fetch';

const [port] = process.argv.slice(2);
const KEYS = { AKTEST: 'secret-of-the-test' };
const base = `http://127.0.0.1:${port}/123456789012/`;
const arn = (name) => `arn:aws:sqs:eu-west-1:123456789012:${name}`;
const counts = (ready, taken, later) => ({
  ApproximateNumberOfMessages: `${ready}`,
  ApproximateNumberOfMessagesNotVisible: `${taken}`,
  ApproximateNumberOfMessagesDelayed: `${later}`,
  VisibilityTimeout: '30',
  MaximumMessageSize: '262144',
});
const redrive = (name) => JSON.stringify({ deadLetterTargetArn: arn(name), maxReceiveCount: 5 });
const queues = {
  jobs: {
    ...counts(7, 2, 1),
    RedrivePolicy: redrive('jobs-dead'),
  },
  'jobs-dead': counts(3, 0, 0),
  plain: counts(0, 0, 0),
  refusing: counts(0, 0, 0),
  garbled: { ...counts(0, 0, 0), RedrivePolicy: redrive('garbled-dead') },
  'garbled-dead': counts(1, 0, 0),
  bulk: { ...counts(0, 0, 0), RedrivePolicy: redrive('bulk-dead') },
  'bulk-dead': counts(30, 0, 0),
  'orders.fifo': { ...counts(0, 0, 0), RedrivePolicy: redrive('orders-dead.fifo') },
  'orders-dead.fifo': counts(2, 0, 0),
  chained: { ...counts(0, 0, 0), RedrivePolicy: redrive('chained-dead') },
  'chained-dead': { ...counts(0, 0, 0), RedrivePolicy: redrive('plain') },
};

// What is in them: shown to one receiver at a time, until its time is over.
const letter = (source, body, more = {}) => ({
  MessageId: randomUUID(),
  Body: body,
  MessageAttributes: { kind: { DataType: 'String', StringValue: 'mail' },
    raw: { DataType: 'Binary', BinaryValue: 'AAH/' } },
  Attributes: { SentTimestamp: `${Date.now() - 60000}`, DeadLetterQueueSourceArn: arn(source), ...more },
  received: 5,
  hiddenUntil: 0,
});
const range = (n, make) => Array.from({ length: n }, (_, i) => make(i));
const messages = {
  'jobs-dead': range(3, (i) => letter('jobs', `upload ${i}`)),
  'garbled-dead': [letter('garbled', 'page')],
  'bulk-dead': range(30, (i) => letter(i % 5 ? 'bulk' : 'refusing', `bulk ${i}`)),
  'orders-dead.fifo': range(2, (i) => letter('orders.fifo', `order ${i}`,
    { MessageGroupId: 'g', MessageDeduplicationId: `first ${i}` })),
};
const recent = new Set(['first 0', 'first 1']); // ids of deduplication
const held = (name, receipt) => {
  const [id, count] = receipt.split('#');
  return (messages[name] ?? []).find((one) => one.MessageId === id && `${one.received}` === count);
};

async function wrong(request, body) {
  const given = /Credential=([^/]+)\/\d+\/([^/]+)\/sqs\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)/
    .exec(request.headers.authorization ?? '');

  if (given === null) return 'MissingAuthenticationToken';
  const [, accessKeyId, region, names, signature] = given;
  if (KEYS[accessKeyId] === undefined) return 'UnrecognizedClientException';
  const signer = new AwsV4Signer({
    url: `http://${request.headers.host}${request.url}`,
    method: request.method,
    headers: Object.fromEntries(names.split(';')
      .filter((name) => name !== 'host').map((name) => [name, request.headers[name]])),
    body,
    accessKeyId,
    secretAccessKey: KEYS[accessKeyId],
    service: 'sqs',
    region,
    datetime: request.headers['x-amz-date'],
    allHeaders: true,
  });

  return (await signer.signature()) === signature ? null : 'InvalidSignatureException';
}

const nameOf = (url) => url.slice(url.lastIndexOf('/') + 1);
const missing = { __type: 'com.amazonaws.sqs#QueueDoesNotExist', message: 'The specified queue does not exist.' };
const actions = {
  GetQueueUrl: ({ QueueName, QueueOwnerAWSAccountId: owner }) => (queues[QueueName] && (!owner || owner === '123456789012') ? { QueueUrl: base + QueueName } : missing),
  GetQueueAttributes: ({ QueueUrl }) =>
    (queues[nameOf(QueueUrl)] ? { Attributes: queues[nameOf(QueueUrl)] } : missing),
  ListQueues: () => ({ QueueUrls: Object.keys(queues).map((name) => base + name) }),
  SendMessage: ({ QueueUrl, MessageBody, ...rest }) => {
    const name = nameOf(QueueUrl);
    const queue = queues[name];
    if (name === 'garbled') return '<html>';
    if (name === 'refusing') return { __type: 'com.amazonaws.sqs#InvalidMessageContents', message: 'no' };
    const MessageId = messages[name]?.length ? randomUUID() : '5fea7756-0ea4-451a-a703-a558b933e274';
    console.log(`sent ${MessageBody}`);
    if (!recent.has(rest.MessageDeduplicationId ?? '')) {
      recent.add(rest.MessageDeduplicationId);
      if (name.endsWith('.fifo') !== (rest.MessageDeduplicationId !== undefined)) throw new Error('deduplication');
      queue.ApproximateNumberOfMessages = `${Number(queue.ApproximateNumberOfMessages) + 1}`;
      (messages[name] ??= []).push({ MessageId, Body: MessageBody, ...rest });
    }
    return { MessageId };
  },
  ReceiveMessage: ({ QueueUrl, MaxNumberOfMessages, VisibilityTimeout }) => {
    const visible = (messages[nameOf(QueueUrl)] ?? []).filter((one) => one.hiddenUntil <= Date.now())
      .slice(0, MaxNumberOfMessages);
    if (visible.length === 0) return {};
    return { Messages: visible.map((one) => {
      one.hiddenUntil = Date.now() + VisibilityTimeout * 1000;
      one.received += 1;
      const { received, hiddenUntil, Attributes, ...rest } = one;
      return { ...rest, ReceiptHandle: `${one.MessageId}#${received}`,
        Attributes: { ...Attributes, ApproximateReceiveCount: `${received}` } };
    }) };
  },
  ChangeMessageVisibilityBatch: ({ QueueUrl, Entries }) => {
    const answer = { Successful: [], Failed: [] };
    for (const { Id, ReceiptHandle, VisibilityTimeout } of Entries) {
      const one = held(nameOf(QueueUrl), ReceiptHandle);
      if (one) one.hiddenUntil = Date.now() + VisibilityTimeout * 1000;
      answer[one ? 'Successful' : 'Failed'].push({ Id, Code: 'ReceiptHandleIsInvalid' });
    }
    return answer;
  },
  DeleteMessage: ({ QueueUrl, ReceiptHandle }) => {
    const name = nameOf(QueueUrl);
    const one = held(name, ReceiptHandle);
    if (!one) return { __type: 'com.amazonaws.sqs#ReceiptHandleIsInvalid', message: 'no' };
    messages[name] = messages[name].filter((other) => other !== one);
    return null;
  },
};

http.createServer(async (request, response) => {
  if (request.method === 'GET') { // the test's own: what is in them, and that its jobs fail
    if (request.url === '/die') {
      messages['jobs-dead'].push(...messages.jobs.splice(0)
        .map((one) => ({ ...letter('jobs', one.Body), MessageId: one.MessageId })));
    }
    response.end(JSON.stringify(messages));
    return;
  }
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts);
  const code = await wrong(request, body);
  const action = (request.headers['x-amz-target'] ?? '').replace('AmazonSQS.', '');
  const answer = code !== null ? { __type: `com.amazon.coral.service#${code}`, message: 'refused' }
    : actions[action](JSON.parse(body));

  console.log(`${action} ${code ?? 'ok'}`);
  response.writeHead(answer?.__type ? 400 : 200, { 'content-type': 'application/x-amz-json-1.0' });
  response.end(answer === null ? '' : typeof answer === 'string' ? answer : JSON.stringify(answer));
}).listen(Number(port), '127.0.0.1');
