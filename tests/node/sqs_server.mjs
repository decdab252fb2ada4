// SPDX-License-Identifier: Apache-2.0
// sqs_server.mjs PORT: Amazon SQS as others wrote it (fauxqs), with the queue
// `jobs`, whose messages are dead after their second receipt, and `jobs-dead`.
// It checks no signature, and refuses nobody: that is what sqs_stub.mjs does.
import { buildApp } from 'fauxqs';

const port = Number(process.argv[2]);
const app = buildApp({ logger: false });
await app.listen({ port, host: '127.0.0.1' });

const sqs = async (action, body) => {
  const answer = await fetch(`http://127.0.0.1:${port}/`, {
    method: 'POST',
    headers: {
      'x-amz-target': `AmazonSQS.${action}`,
      'content-type': 'application/x-amz-json-1.0',
      authorization: 'AWS4-HMAC-SHA256 Credential=AKTEST/20260101/eu-west-1/sqs/aws4_request, SignedHeaders=host, Signature=0',
    },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${action}: ${await answer.text()}`);
  return answer.json();
};

await sqs('CreateQueue', { QueueName: 'jobs-dead' });
await sqs('CreateQueue', {
  QueueName: 'jobs',
  Attributes: {
    RedrivePolicy: JSON.stringify({
      deadLetterTargetArn: 'arn:aws:sqs:eu-west-1:000000000000:jobs-dead', maxReceiveCount: 2,
    }),
  },
});
console.log('ready');
