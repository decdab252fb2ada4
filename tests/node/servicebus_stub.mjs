// SPDX-License-Identifier: Apache-2.0
// servicebus_stub.mjs PORT [CUT NTH]: a STUB of Azure Service Bus, for no server of it
// can be installed: the management REST, and sending, peek-lock, unlock and
// delete of dead letters as the public protocol and the SDK's own requests have
// them. Signatures are checked; the policy `listen` may not look. A line is
// printed for each message that is sent, locked, unlocked or deleted. CUT is
// what ends the connection the NTH time: `send` before the message is taken,
// `sent` after it, `delete` before the dead letter is gone.
import crypto from 'node:crypto';
import http from 'node:http';

const [port, cut = '', nth] = process.argv.slice(2);
const KEYS = { manage: 'c2VjcmV0LW9mLXRoZS10ZXN0', listen: 'YW5vdGhlci1zZWNyZXQ=' };
const queues = { jobs: ['Active', 7, 3, 1], orders: ['SendDisabled', 0, 0, 0], once: ['Active', 0, 1, 0], idle: ['Active', 0, 0, 0] };

// beyond 2^53, as those of a partitioned queue: never a number of JavaScript
const letter = (queue, n) => ({
  sequence: `7205759403792793${n}`,
  deliveries: 10,
  lock: null,
  body: n === 0 ? Buffer.from('{"id":0}\0\xff', 'latin1') : Buffer.from(`{"id":${n}}`),
  broker: `"MessageId":"${queue}-${n}","CorrelationId":"c${n}","Label":"gr\\u00fc\\u00df \\ud83d\\ude00","TimeToLive":${n === 0 ? '1209600' : '922337203685.47754'},"EnqueuedTimeUtc":"Sun, 22 Nov 2020 13:00:00 GMT"`,
  headers: {
    'Content-Type': 'application/json', Customer: '"12345,ABC"', Priority: '5', Urgent: 'true',
    DeadLetterReason: '"MaxDeliveryCountExceeded"',
    DeadLetterErrorDescription: '"Message could not be consumed after 10 delivery attempts."',
  },
});
const dead = { jobs: [0, 1, 2].map((n) => letter('jobs', n)), once: [letter('once', 0)], 'events/subscriptions/mail': [letter('mail', 0)] };
let cuts = 0;

// POST head, PUT and DELETE of a lock; what of it was done
function settle(method, queue, rest) {
  const letters = dead[queue] ?? [];
  const one = letters.find((each) => (rest === 'head' ? each.lock === null : `${each.sequence}/${each.lock}` === rest));

  if (one === undefined) return null;
  if (method === 'POST') {
    one.lock = crypto.randomUUID();
    one.deliveries++;
  } else if (method === 'PUT') {
    one.lock = null;
  } else {
    letters.splice(letters.indexOf(one), 1);
  }
  console.log(`${{ POST: 'locked', PUT: 'unlocked', DELETE: 'deleted' }[method]} ${queue} ${one.sequence}`);
  return one;
}

const counts = ([, active, letters, later]) => `<CountDetails xmlns:d2p1="http://schemas.microsoft.com/netservices/2011/06/servicebus">
<d2p1:ActiveMessageCount>${active}</d2p1:ActiveMessageCount><d2p1:DeadLetterMessageCount>${letters}</d2p1:DeadLetterMessageCount>
<d2p1:ScheduledMessageCount>${later}</d2p1:ScheduledMessageCount></CountDetails>`;
const description = (kind, queue) => `<${kind} xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect">
<LockDuration>PT1M30S</LockDuration><MaxSizeInMegabytes>1024</MaxSizeInMegabytes><MaxDeliveryCount>10</MaxDeliveryCount>
<RequiresDuplicateDetection>${queue === queues.once}</RequiresDuplicateDetection><Status>${queue[0]}</Status>${counts(queue)}</${kind}>`;
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
  const answer = (status, text, headers = {}) => {
    response.writeHead(status, { 'Content-Type': 'application/atom+xml', ...headers });
    response.end(text);
  };

  if (who === null) return answer(401, '<Error><Code>401</Code><Detail>InvalidSignature: The token has an invalid signature.</Detail></Error>');
  const [, queue, lock] = /^(.*)\/\$DeadLetterQueue\/messages\/(.*)$/.exec(path) ?? [];
  if (lock !== undefined) {
    if (request.method === 'DELETE' && cut === 'delete' && ++cuts === Number(nth)) return request.socket.destroy();
    const one = settle(request.method, queue, lock);
    if (one === null) return answer(lock === 'head' ? 204 : 404, '');
    if (lock !== 'head') return answer(200, '');
    return answer(201, one.body, {
      ...one.headers,
      BrokerProperties: `{"DeliveryCount":${one.deliveries},"LockToken":"${one.lock}","SequenceNumber":${one.sequence},${one.broker}}`,
      Location: `http://127.0.0.1:${port}/${queue}/$DeadLetterQueue/messages/${one.sequence}/${one.lock}?timeout=1`,
    });
  }
  if (request.method === 'POST') {
    if (cut === 'send' && ++cuts === Number(nth)) return request.socket.destroy();
    console.log(`sent ${Buffer.concat(parts)} ${request.headers.brokerproperties}`);
    console.log(`message ${JSON.stringify({ path, body: Buffer.concat(parts).toString('base64'), headers: request.rawHeaders })}`);
    if (cut === 'sent' && ++cuts === Number(nth)) return request.socket.destroy();
    return answer(201, '');
  }
  if (who !== 'manage') return answer(401, '<Error><Code>401</Code><Detail>Manage claim is required for this operation.</Detail></Error>');
  if (!query.includes('api-version=2021-05')) return answer(400, '');
  if (path === '$Resources/Queues') {
    return answer(200, feed(Object.entries(queues).map(([name, queue]) => entry(name, 'QueueDescription', queue))));
  }
  if (path === '$Resources/Topics') return answer(200, feed([entry('events', 'TopicDescription', ['Active', 0, 0, 0])]));
  if (path === 'events/subscriptions/mail') return answer(200, entry('mail', 'SubscriptionDescription', ['Active', 2, 0, 0]));
  if (path === 'events/Subscriptions') return answer(200, feed([entry('mail', 'SubscriptionDescription', ['Active', 2, 0, 0])]));
  if (queues[path]) return answer(200, entry(path, 'QueueDescription', queues[path]));
  // what isn't there is an empty feed
  return answer(200, feed([]));
}).listen(Number(port), '127.0.0.1');
