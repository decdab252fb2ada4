// SPDX-License-Identifier: Apache-2.0
// put.mjs BUCKET KEY BODY: puts an object into the store at $S3, with a client
// that others wrote.
import { AwsClient } from 'aws4fetch';

const [bucket, key, body] = process.argv.slice(2);
const client = new AwsClient({
  accessKeyId: process.env.AWS_ACCESS_KEY_ID,
  secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY,
  service: 's3',
  region: 'us-east-1',
});
const path = key.split('/').map(encodeURIComponent).join('/');
const answer = await client.fetch(`${process.env.S3}/${bucket}/${path}`, { method: 'PUT', body });

if (!answer.ok) {
  console.error(answer.status, await answer.text());
  process.exit(1);
}
