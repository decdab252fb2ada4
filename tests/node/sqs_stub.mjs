// SPDX-License-Identifier: Apache-2.0
// sqs_stub.mjs PORT: a STUB of Amazon SQS, for no server of it can be installed:
// the JSON protocol of its API reference for the actions that reeve uses. Each
// request is signed anew by a client that others wrote, and refused as SQS does
// when the signature differs.
import http from 'node:http';
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
const queues = {
  jobs: {
    ...counts(7, 2, 1),
    RedrivePolicy: JSON.stringify({ deadLetterTargetArn: arn('jobs-dead'), maxReceiveCount: 5 }),
  },
  'jobs-dead': counts(3, 0, 0),
  plain: counts(0, 0, 0),
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
  GetQueueUrl: ({ QueueName }) => (queues[QueueName] ? { QueueUrl: base + QueueName } : missing),
  GetQueueAttributes: ({ QueueUrl }) =>
    (queues[nameOf(QueueUrl)] ? { Attributes: queues[nameOf(QueueUrl)] } : missing),
  ListQueues: () => ({ QueueUrls: Object.keys(queues).map((name) => base + name) }),
  SendMessage: ({ QueueUrl, MessageBody }) => {
    const queue = queues[nameOf(QueueUrl)];
    queue.ApproximateNumberOfMessages = `${Number(queue.ApproximateNumberOfMessages) + 1}`;
    console.log(`sent ${MessageBody}`);
    return { MessageId: '5fea7756-0ea4-451a-a703-a558b933e274' };
  },
};

http.createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts);
  const code = await wrong(request, body);
  const action = (request.headers['x-amz-target'] ?? '').replace('AmazonSQS.', '');
  const answer = code !== null ? { __type: `com.amazon.coral.service#${code}`, message: 'refused' }
    : actions[action](JSON.parse(body));

  console.log(`${action} ${code ?? 'ok'}`);
  response.writeHead(answer.__type ? 400 : 200, { 'content-type': 'application/x-amz-json-1.0' });
  response.end(JSON.stringify(answer));
}).listen(Number(port), '127.0.0.1');
