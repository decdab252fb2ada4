// SPDX-License-Identifier: Apache-2.0
// s3.mjs PORT DIRECTORY BUCKET…: an S3 server. s3rver stores, but takes every
// signature of version 4: in front of it each request is signed anew by a client
// that others wrote, and one whose signature differs is refused as S3 does.
import http from 'node:http';
import { createRequire } from 'node:module';
import { AwsV4Signer } from 'aws4fetch';

const S3rver = createRequire(import.meta.url)('s3rver');
const [port, directory, ...buckets] = process.argv.slice(2);
const KEYS = { S3RVER: 'S3RVER' };

const refuse = (response, code) => {
  response.writeHead(403, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>refused</Message></Error>`);
};

async function wrong(request, body) {
  const given = /Credential=([^/]+)\/\d+\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)/
    .exec(request.headers.authorization ?? '');

  if (given === null) return 'AccessDenied';
  const [, accessKeyId, region, names, signature] = given;
  if (KEYS[accessKeyId] === undefined) return 'InvalidAccessKeyId';
  const headers = Object.fromEntries(names.split(';')
    .filter((name) => name !== 'host').map((name) => [name, request.headers[name]]));
  const signer = new AwsV4Signer({
    url: `http://${request.headers.host}${request.url}`,
    method: request.method,
    headers,
    body: body.length > 0 ? body : undefined,
    accessKeyId,
    secretAccessKey: KEYS[accessKeyId],
    service: 's3',
    region,
    datetime: request.headers['x-amz-date'],
    allHeaders: true,
  });
  const digest = Buffer.from(await crypto.subtle.digest('SHA-256', body)).toString('hex');

  if (![digest, 'UNSIGNED-PAYLOAD'].includes(request.headers['x-amz-content-sha256'])) return 'XAmzContentSHA256Mismatch';
  return (await signer.signature()) === signature ? null : 'SignatureDoesNotMatch';
}

const store = new S3rver({
  port: 0, address: '127.0.0.1', silent: true, directory,
  configureBuckets: buckets.map((name) => ({ name })),
});
const { port: behind } = await store.run();

http.createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts);
  const code = await wrong(request, body);

  if (code !== null) return refuse(response, code);
  const { headers } = request;
  const passed = http.request({ port: behind, host: '127.0.0.1', path: request.url, method: request.method, headers },
    (answer) => { response.writeHead(answer.statusCode, answer.headers); answer.pipe(response); });
  passed.end(body);
}).listen(Number(port), '127.0.0.1');
