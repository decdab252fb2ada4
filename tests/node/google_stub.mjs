// SPDX-License-Identifier: Apache-2.0
// google_stub.mjs PORT CERTIFICATE: a STUB of what the Pub/Sub emulator lacks: the
// endpoint of tokens (the JWT of a service account is checked against the public
// key), the metadata server, Cloud Monitoring, a subscription to look at, and a
// bucket.
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';

const [port, certificate] = process.argv.slice(2);
const key = crypto.createPublicKey(fs.readFileSync(certificate));
const objects = new Map();
const values = {
  num_undelivered_messages: 12,
  num_outstanding_messages: 2,
  oldest_unacked_message_age: 90,
  open_streaming_pulls: 3,
};

function signed(form) {
  const [header, claims, signature] = (new URLSearchParams(form).get('assertion') ?? '..').split('.');
  const said = JSON.parse(Buffer.from(claims, 'base64url'));

  return crypto.verify('RSA-SHA256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url'))
    && said.iss === 'reader@test' && said.exp * 1000 > Date.now();
}

http.createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const url = new URL(request.url, 'http://x');
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };

  if (url.pathname === '/token') {
    return signed(Buffer.concat(parts).toString())
      ? answer(200, { access_token: 'token-of-the-account', expires_in: 3599, token_type: 'Bearer' })
      : answer(400, { error: 'invalid_grant' });
  }
  if (url.pathname.startsWith('/computeMetadata/')) {
    return request.headers['metadata-flavor'] === 'Google'
      ? answer(200, { access_token: 'token-of-the-machine', expires_in: 3599, token_type: 'Bearer' })
      : answer(403, {});
  }
  if (!/^Bearer token-of-the-(account|machine)$/.test(request.headers.authorization ?? '')) {
    return answer(401, { error: { code: 401, message: 'no token', status: 'UNAUTHENTICATED' } });
  }
  // Cloud Storage's XML API: a bucket in memory
  if (url.pathname.startsWith('/bucket/')) {
    if (request.method === 'PUT') objects.set(url.pathname, Buffer.concat(parts));
    const object = objects.get(url.pathname);
    if (request.method === 'DELETE') objects.delete(url.pathname);
    response.writeHead(object === undefined ? 404 : 200);
    return response.end(request.method === 'GET' ? object : '');
  }
  if (url.pathname.endsWith('/timeSeries')) {
    const metric = /subscription\/(\w+)"/.exec(url.searchParams.get('filter'))[1];
    return answer(200, values[metric] === undefined ? {}
      : { timeSeries: [{ points: [{ value: { int64Value: `${values[metric]}` } }] }] });
  }
  return answer(200, { name: 'projects/p/subscriptions/jobs', topic: 'projects/p/topics/uploads', ackDeadlineSeconds: 20, state: 'ACTIVE' });
}).listen(Number(port), '127.0.0.1');
