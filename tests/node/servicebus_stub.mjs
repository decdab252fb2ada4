// SPDX-License-Identifier: Apache-2.0
// servicebus_stub.mjs PORT: a STUB of Azure Service Bus, for no server of it can
// be installed: the management REST and the sending of messages as the public
// protocol and the SDK's own requests have them. Signatures are checked; the
// policy `listen` may not look.
import crypto from 'node:crypto';
import http from 'node:http';

const [port] = process.argv.slice(2);
const KEYS = { manage: 'c2VjcmV0LW9mLXRoZS10ZXN0', listen: 'YW5vdGhlci1zZWNyZXQ=' };
const queues = { jobs: ['Active', 7, 3, 1], orders: ['SendDisabled', 0, 0, 0] };

const counts = ([, active, dead, later]) => `<CountDetails xmlns:d2p1="http://schemas.microsoft.com/netservices/2011/06/servicebus">
<d2p1:ActiveMessageCount>${active}</d2p1:ActiveMessageCount><d2p1:DeadLetterMessageCount>${dead}</d2p1:DeadLetterMessageCount>
<d2p1:ScheduledMessageCount>${later}</d2p1:ScheduledMessageCount></CountDetails>`;
const description = (kind, queue) => `<${kind} xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect">
<LockDuration>PT1M30S</LockDuration><MaxSizeInMegabytes>1024</MaxSizeInMegabytes><MaxDeliveryCount>10</MaxDeliveryCount>
<Status>${queue[0]}</Status>${counts(queue)}</${kind}>`;
const entry = (name, kind, queue) => `<entry xmlns="http://www.w3.org/2005/Atom"><id>x</id><title type="text">${name}</title>
<content type="application/xml">${description(kind, queue)}</content></entry>`;
const feed = (entries) => `<feed xmlns="http://www.w3.org/2005/Atom">${entries.join('')}</feed>`;

function claims(request) {
  const given = Object.fromEntries((request.headers.authorization ?? '')
    .replace('SharedAccessSignature ', '').split('&').map((pair) => pair.split(/=(.*)/s)));
  const key = KEYS[given.skn];
  const path = request.url.split('?')[0];

  if (key === undefined || Number(given.se) * 1000 < Date.now()) return null;
  if (decodeURIComponent(given.sr) !== `http://127.0.0.1:${port}${path}`) return null;
  const sig = crypto.createHmac('sha256', key).update(`${given.sr}\n${given.se}`).digest('base64');
  return decodeURIComponent(given.sig) === sig ? given.skn : null;
}

http.createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const [path, query] = request.url.slice(1).split('?');
  const who = claims(request);
  const answer = (status, text) => {
    response.writeHead(status, { 'content-type': 'application/atom+xml' });
    response.end(text);
  };

  if (who === null) return answer(401, '<Error><Code>401</Code><Detail>InvalidSignature: The token has an invalid signature.</Detail></Error>');
  if (request.method === 'POST') {
    console.log(`sent ${Buffer.concat(parts)} ${request.headers.brokerproperties}`);
    return answer(201, '');
  }
  if (who !== 'manage') return answer(401, '<Error><Code>401</Code><Detail>Manage claim is required for this operation.</Detail></Error>');
  if (!query.includes('api-version=2021-05')) return answer(400, '');
  if (path === '$Resources/Queues') {
    return answer(200, feed(Object.entries(queues).map(([name, queue]) => entry(name, 'QueueDescription', queue))));
  }
  if (path === 'events/subscriptions/mail') return answer(200, entry('mail', 'SubscriptionDescription', ['Active', 2, 0, 0]));
  if (path === 'events/Subscriptions') return answer(200, feed([entry('mail', 'SubscriptionDescription', ['Active', 2, 0, 0])]));
  if (queues[path]) return answer(200, entry(path, 'QueueDescription', queues[path]));
  // what isn't there is an empty feed
  return answer(200, feed([]));
}).listen(Number(port), '127.0.0.1');
