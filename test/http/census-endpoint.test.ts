/** What /v1/count, /v1/instances and the page answer, as the census behind them moves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { countAnswer, instancesEndpoint } from '../../src/http/census-endpoint.ts';
import type { HttpAnswer } from '../../src/http/answer.ts';
import { pageAnswer, plainPage } from '../../src/http/census-page.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { lease } from '../census/support.ts';
import { World } from './support.ts';

function world(t: TestContext): World {
  const made = new World();
  t.after(() => made.close());
  return made;
}
const parsed = ({ status, body }: HttpAnswer): Record<string, any> => ({
  status,
  ...JSON.parse(typeof body === 'string' ? body : body.map(String).join('')),
});
const gone = new LeaseStoreError('Unavailable', { message: 'no connection' });

test('count: the numbers, of when and by which clock', async (t) => {
  const w = world(t);
  await w.list(
    lease({ hostname: 'a' }),
    lease({ hostname: 'b', renewedAgoMs: 60_000 }),
    lease({ hostname: 'c', holder: '' }),
  );
  await w.clock.advance(2_000);
  const { status, known, instances, live, stale, released, clock, ageSeconds, synced, asOf } = parsed(
    countAnswer(w.census),
  );
  assert.deepEqual(
    { status, known, instances, live, stale, released, clock, ageSeconds, synced, asOf },
    {
      status: 200,
      known: true,
      instances: 2,
      live: 1,
      stale: 1,
      released: 1,
      clock: 'observed',
      ageSeconds: 2,
      synced: true,
      asOf: '2026-01-01T00:00:00.000000Z',
    },
  );
});

test('unknown is 503 with every number null, never 0; too old comes with the last known answer and its age', async (t) => {
  const w = world(t);
  const instances = instancesEndpoint(w.census, w.clock);
  const never = parsed(countAnswer(w.census));
  assert.deepEqual([never.status, never.known, never.reason, never.last], [503, false, 'NotSynced', null]);
  for (const key of ['instances', 'live', 'stale', 'expired', 'released', 'leases', 'ageSeconds', 'asOf']) {
    assert.equal(never[key], null, key);
  }
  const none = parsed(instances());
  assert.deepEqual([none.status, none.counts, none.instances, none.last], [503, null, null, null]);
  assert.match(String(plainPage(w.census, 'x').body), /Unknown: the leases were not read yet\.</);

  await w.list(lease({ hostname: 'a' }), lease({ hostname: 'b' }));
  await w.tell({ type: 'lost', error: gone });
  await w.clock.advance(30_000);
  assert.equal(parsed(countAnswer(w.census)).status, 200, 'within its age it is an answer, and says how old');
  await w.clock.advance(10_000);
  const old = parsed(countAnswer(w.census));
  assert.deepEqual([old.status, old.instances, old.live, old.reason], [503, null, null, 'TooOld']);
  assert.deepEqual([old.last.instances, old.last.live, old.last.ageSeconds], [2, 2, 40]);
  assert.deepEqual(old.error, { code: 'Unavailable', message: 'no connection' });
  const last = parsed(instances());
  assert.deepEqual([last.status, last.instances, last.last.instances.length], [503, null, 2]);
  assert.equal(last.last.instancesAgeSeconds, 40);
  assert.equal(last.last.counts.instances, 2);
  const text = [instances().body].flat().join('').trimEnd();
  assert.equal(JSON.stringify(JSON.parse(text)), text, 'no key twice');
  const page = String(plainPage(w.census, 'x').body);
  assert.match(page, /Unknown: nothing was heard .* \(no connection\)\. Below is what was known last/);
  assert.match(page, /<p id="sum">2 instances<\/p>/);
  assert.match(page, /<p id="fresh">as of 2026-01-01T00:00:00Z, 40 s ago<\/p>/);

  await w.list(lease({ hostname: 'a' }));
  await w.clock.advance(100);
  assert.deepEqual(parsed(countAnswer(w.census)).instances, 1);
});

test('instances: each with its leases; computed at most twice a second, with its age', async (t) => {
  const w = world(t);
  const api = instancesEndpoint(w.census, w.clock);
  await w.list(lease({ hostname: 'a' }), lease({ hostname: 'a', name: 'apiserver-x', renewedAgoMs: 90_000 }));
  const first = parsed(api());
  assert.equal(first.status, 200);
  assert.equal(first.counts.instances, 1);
  assert.deepEqual(
    first.instances.map((i: any) => [i.name, i.hostname, i.state, i.leases.map((l: any) => l.state)]),
    [['a', 'a', 'live', ['stale', 'live']]],
  );
  await w.tell({ type: 'added', lease: lease({ hostname: 'b' }) });
  await w.clock.advance(400);
  const again = parsed(api());
  assert.deepEqual([again.counts.instances, again.instances.length, again.instancesAgeSeconds], [2, 1, 0.4]);
  await w.clock.advance(100);
  assert.equal(parsed(api()).instances.length, 2);
});

test('instances: readers of one list share its bytes', async (t) => {
  const w = world(t);
  const api = instancesEndpoint(w.census, w.clock);
  await w.list(lease({ hostname: 'a' }));
  const lists = [api(), api()].map(({ body }) =>
    (body as readonly unknown[]).filter((piece) => Buffer.isBuffer(piece)),
  );
  assert.equal(lists[0]?.length, 1);
  assert.equal(lists[0]?.[0], lists[1]?.[0]);
});

test('the page without a script shows first what is not live, and no more rows than can be looked at', async (t) => {
  const w = world(t);
  const many = Array.from({ length: 600 }, (_, i) => lease({ hostname: `a-${String(i).padStart(3, '0')}` }));
  await w.list(...many, lease({ hostname: 'z', renewedAgoMs: 60_000 }), lease({ hostname: 'y', renewedAgoMs: 4e6 }));
  const html = String(plainPage(w.census, 'x').body);
  const names = [...html.matchAll(/<tr role="row" class="(\w+)"><td[^>]*>(.*?)</g)].map(
    ([, state, name]) => `${state} ${name}`,
  );
  assert.deepEqual([names.length, ...names.slice(0, 3)], [500, 'stale z', 'expired y', 'live a-000']);
  assert.match(html, /and 102 more: see \/v1\/instances/);
});

test('the page takes text of others as text, allows nothing from elsewhere, and needs no script', async (t) => {
  const w = world(t);
  const evil = '<script>alert(1)</script>"&\'';
  await w.list(lease({ hostname: 'a', annotations: { 'leasekeeper.dev/hostname': evil }, holder: evil }));
  const plain = String(plainPage(w.census, evil).body);
  const { body, headers, status } = pageAnswer(w.census, evil);
  assert.equal(status, 200);
  for (const [html, scripts] of [
    [String(body), 1],
    [plain, 0],
  ] as const) {
    assert.equal(html.split('<script>').length - 1, scripts, 'no script but ours');
    assert.ok(!html.includes('alert(1)</script>'));
    assert.match(html, /&lt;script&gt;alert\(1\)&lt;\/script&gt;&quot;&amp;&#39;/);
    assert.ok(!/https?:\/\//.test(html), 'no address of elsewhere');
  }
  assert.match(plain, /data-label="Renewed">5 s ago<\/td>/);
  assert.match(plain, /<meta http-equiv="refresh" content="5">/);
  assert.match(String(body), /<noscript><meta http-equiv="refresh" content="0;url=\?plain"><\/noscript>/);
  const policy = headers?.['content-security-policy'] ?? '';
  assert.match(policy, /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self'/);
});
